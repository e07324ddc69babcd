"""Several at the same time: write skew, the same command twice, hot streams, lost connections, group commit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from domain.core import READ_ROUNDS, Command, Context, Decision, Refusal
from eventlog.gateway import Accepted, Conflict, Gateway
from eventlog.recorder import Check, CommandRow, Item, LogAway, LogRecorder, Stored, Verdict
from tests.log import toy
from tests.log.conftest import FINGERPRINTS, Opener, World, created_for_each, gateway_of

created = created_for_each()


class Interrupted:
    """An appender that does something first, once: what happens between a load and its append."""

    def __init__(self, recorder: LogRecorder, act: Callable[[], object]) -> None:
        self.recorder, self.act, self.calls = recorder, act, 0

    def append(self, item: Item) -> Verdict:
        self.calls += 1
        if self.calls == 1:
            self.act()
        return self.recorder.append(item)


def test_consent_withdrawn_between_load_and_append_stops_the_letter(world: World) -> None:
    member = world.member()
    appender = Interrupted(world.log.recorder, lambda: world.do(toy.WithdrawConsent(stream=member, by="system")))
    gateway = gateway_of(world.open, world.clock, appender=appender)
    letter = toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member, text="hello")
    outcome = gateway.handle(letter, command_id=uuid4())
    assert isinstance(outcome, Refusal) and outcome.code == "no-consent", "decided anew on what is so now"
    assert appender.calls == 1 and world.log.read(letter.stream) == ()


def test_already_so_is_true_at_the_moment_it_is_remembered(world: World) -> None:
    member = world.member()
    appender = Interrupted(world.log.recorder, lambda: world.do(toy.WithdrawConsent(stream=member, by="system")))
    gateway = gateway_of(world.open, world.clock, appender=appender)
    outcome = gateway.handle(toy.GiveConsent(stream=member, by="system"), command_id=uuid4())
    assert isinstance(outcome, Accepted) and outcome.version == 4, "it was no longer so, and is again"


def test_the_same_command_in_two_places_at_once_is_carried_out_once(world: World, another: Opener) -> None:
    member = world.member()
    gateways = [world.gateway, gateway_of(another(), world.clock)]
    for _ in range(10):
        command_id = uuid4()
        letter = toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member, text="hello", times=2)
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda n: gateways[n % 2].handle(letter, command_id=command_id), range(8)))  # noqa: B023
        assert all(isinstance(o, Accepted) for o in outcomes)
        assert len({tuple(f.event_id for f in o.facts) for o in outcomes if isinstance(o, Accepted)}) == 1
        assert sum(not o.repeated for o in outcomes if isinstance(o, Accepted)) == 1
        assert len(world.log.read(letter.stream)) == 2


def test_a_command_id_on_two_streams_at_once_counts_for_one(world: World) -> None:
    for _ in range(10):
        command_id = uuid4()
        commands = [toy.GiveConsent(stream=f"member-{uuid4()}", by="system") for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda c: world.gateway.handle(c, command_id=command_id), commands))  # noqa: B023
        assert sorted(type(o).__name__ for o in outcomes) == ["Accepted", "Refusal", "Refusal", "Refusal"]


def test_hot_streams_neither_dead_lock_nor_lose(world: World, another: Opener) -> None:
    """Sixteen callers, each writing to three of a few streams, in whatever order they name them."""
    gateways = [world.gateway, gateway_of(another(), world.clock)]
    members = [world.member() for _ in range(6)]
    dice = random.Random(7)
    plans = [dice.sample(members, 3) for _ in range(120)]

    def one(n: int) -> bool:
        from eventlog.gateway import Order

        orders = [Order(command=toy.GiveConsent(stream=m, by="system", scope=f"scope {n}"), command_id=uuid4()) for m in plans[n]]
        return isinstance(gateways[n % 2].handle_many(orders), tuple)

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(one, range(len(plans))))
    for member in members:
        scopes = {r.fact.scope for r in world.log.read(member, after=2)}
        assert scopes == {f"scope {n}" for n, plan in enumerate(plans) if member in plan and done[n]}
    assert sum(done) > 100, "a busy stream may turn a few away, not many"
    with psycopg.connect(world.url) as conn:
        assert conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone() == (0,)
    assert list(world.log.verify()) == []


def test_a_stream_that_stays_busy_ends_in_a_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.gateway.ATTEMPTS_MAX", 3)
    member = world.member()
    scopes = iter(f"scope {n}" for n in range(99))

    class Busy(Interrupted):
        def append(self, item: Item) -> Verdict:
            self.calls = 0
            return super().append(item)

    busy = Busy(world.log.recorder, lambda: world.do(toy.GiveConsent(stream=member, by="system", scope=next(scopes))))
    outcome = gateway_of(world.open, world.clock, appender=busy).handle(
        toy.WithdrawConsent(stream=member, by="system"), command_id=uuid4()
    )
    assert outcome == Conflict(member, expected=4, actual=5)


def test_a_connection_lost_after_the_commit_is_no_second_append(world: World) -> None:
    """The commit is done and its answer is lost: the repetition finds the command remembered (engine.md, rule 8)."""
    member = world.member()
    recorder = world.log.recorder

    class Lossy:
        lost = 0

        def append(self, item: Item) -> Verdict:
            real = recorder.again_while_away

            def lose(act: Callable[[Any], Any]) -> Any:
                def act_and_lose(conn: Any) -> Any:
                    found = act(conn)
                    if not self.lost:
                        self.lost += 1
                        raise psycopg.OperationalError("server closed the connection unexpectedly")
                    return found

                return real(act_and_lose)

            recorder.again_while_away = lose  # type: ignore[method-assign, assignment]
            try:
                return recorder.append(item)
            finally:
                del recorder.again_while_away

    lossy = Lossy()
    outcome = gateway_of(world.open, world.clock, appender=lossy).handle(
        toy.WithdrawConsent(stream=member, by="system"), command_id=uuid4()
    )
    assert lossy.lost == 1
    assert isinstance(outcome, Accepted) and outcome.version == 3 and len(outcome.facts) == 1
    assert len(world.log.read(member)) == 3


def test_cut_connections_are_replaced_without_anybody_noticing(world: World) -> None:
    member = world.member()
    with ThreadPoolExecutor(8) as pool:  # fill the pool
        list(pool.map(lambda _: world.log.read(member), range(32)))
    with psycopg.connect(world.url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert world.do(toy.WithdrawConsent(stream=member, by="system")).version == 3


def test_a_log_that_is_away_says_so_and_quotes_nothing(world: World) -> None:
    member = world.member("Wilhelmina Planted")
    world.open.datastore.close()
    started = time.monotonic()
    with pytest.raises(LogAway) as raised:
        world.gateway.handle(toy.Register(stream=f"member-{uuid4()}", by="system", name="Wilhelmina Planted"), command_id=uuid4())
    assert time.monotonic() - started < 15
    assert "Planted" not in str(raised.value) and member not in str(raised.value) and raised.value.__cause__ is None


def test_a_command_waits_for_a_lock_but_not_for_ever(world: World, another: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    member = world.member()
    with psycopg.connect(world.url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (member,))
        released = threading.Timer(0.5, holder.rollback)
        released.start()
        assert world.do(toy.WithdrawConsent(stream=member, by="system")).version == 3
        released.join()
        monkeypatch.setattr("eventlog.database.LOCK_TIMEOUT_MS", 200)
        impatient = gateway_of(another(), world.clock)
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (member,))
        with pytest.raises(LogAway, match="LockNotAvailable"):
            impatient.handle(toy.GiveConsent(stream=member, by="system"), command_id=uuid4())


def test_an_append_names_at_most_256_streams(world_recorder: LogRecorder) -> None:
    with pytest.raises(AssertionError):
        world_recorder.append(
            Item((), tuple(Check(f"toy-{n}", 0, False) for n in range(257)), (CommandRow(uuid4(), b"f", "toy-1"),))
        )
    fits = Item((), tuple(Check(f"toy-{n}", 0, False) for n in range(256)), (CommandRow(uuid4(), b"f", "toy-1"),))
    assert world_recorder.append(fits) == Stored(())


def test_reads_that_do_not_settle_are_a_defect(world: World) -> None:
    from dataclasses import replace

    def endless(command: Any, state: Any, context: Context) -> tuple[str, ...]:
        return (f"member-{len(context)}",)

    def never(command: Command, state: Any, context: Context, book: Any, now: Any) -> Decision:
        raise AssertionError("not reached")

    deciders = {**toy.DECIDERS, "outreach": replace(toy.DECIDERS["outreach"], reads=endless, decide=never)}
    gateway = Gateway(world.log, clock=world.clock, deciders=deciders, fingerprint_key=FINGERPRINTS)
    with pytest.raises(AssertionError, match=f"{READ_ROUNDS} rounds"):
        gateway.handle(toy.SendLetter(stream="outreach-1", by="system", member="member-1"), command_id=uuid4())
