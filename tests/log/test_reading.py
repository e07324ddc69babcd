"""Reading: a stream, as it was and as it was known, the whole log without gaps, news; and how fast."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from datetime import date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from eventlog.clock import FixedClock, OffsetClock, SystemClock
from eventlog.opening import create
from eventlog.recorder import Check, CommandRow, Item, Stored
from eventlog.wake import Poller
from tests.log import toy
from tests.log.conftest import NOON, Opener, World, created_for_each

created = created_for_each()

LONG = 1_000


def test_a_stream_as_of_a_version_and_as_it_was_known(world: World) -> None:
    member = world.member()
    world.clock.advance(timedelta(days=1))
    late = world.do(toy.WithdrawConsent(stream=member, by="system", occurred_at=NOON - timedelta(days=3)))
    assert [r.version for r in world.log.read(member)] == [1, 2, 3]
    assert [r.version for r in world.log.read(member, version=2)] == [1, 2]
    assert [r.version for r in world.log.read(member, after=1, version=2)] == [2]
    assert [r.version for r in world.log.read(member, known_at=NOON)] == [1, 2], "recorded later, whenever it occurred"
    assert [r.version for r in world.log.read(member, known_at=late.facts[0].recorded_at)] == [1, 2, 3]
    assert [s.recorded for s in world.log.read_stored(member, known_at=NOON)] == list(world.log.read(member, known_at=NOON))
    assert world.log.read("member-unknown") == () and world.log.version("member-unknown") == 0 and world.log.version(member) == 3


def test_several_streams_at_once(world: World) -> None:
    first, second = world.member(), world.member(consents=False)
    assert {s: len(facts) for s, facts in world.log.read_many([first, second, "member-x"]).items()} == {
        first: 2,
        second: 1,
        "member-x": 0,
    }
    assert world.log.streams("member") == tuple(sorted([first, second])) and world.log.streams("policy") == ()
    assert world.log.newest("member") == (3, world.log.watermark()) and world.log.newest("policy") == (0, 0)
    event = world.log.read(first)[0]
    found = world.log.event(first, event.event_id)
    assert found is not None and found.recorded == event and world.log.event(second, event.event_id) is None


def test_the_log_is_read_in_batches_across_holes(world: World) -> None:
    first = world.member()
    with psycopg.connect(world.url, autocommit=True) as owner:  # numbers drawn by an append that failed
        owner.execute("SELECT nextval('log.events_position_seq') FROM generate_series(1, 10)")
    second = world.member()
    expected = [(first, 1), (first, 2), (second, 1), (second, 2)]
    seen, position = [], 0
    for _ in range(10):
        batch = world.log.after(position, limit=1)
        seen += [(f.recorded.stream, f.recorded.version) for f in batch.facts]
        position = batch.position
    assert seen == expected and position == world.log.watermark()
    assert [(f.recorded.stream, f.recorded.version) for f in world.log.all(batch=3)] == expected
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute("SELECT nextval('log.events_position_seq')")
    assert world.log.after(position).position == position + 1, "a hole at the end is passed, so that nobody waits before it"
    assert [f.recorded.stream for f in world.log.after(0, until=2).facts] == [first, first]


def test_meta_is_kept(world: World) -> None:
    member = world.member()
    outreach = f"outreach-{uuid4()}"
    world.do(toy.SendLetter(stream=outreach, by="system", member=member, text="hello"))
    (stored,) = world.log.read_stored(outreach)
    assert stored.meta.policy == "toy@1" and stored.meta.tags == ()


def _long_stream(world: World, length: int) -> str:
    """A stream of letters, each sealed, as the codec writes them."""
    from eventlog.codec import FIRST_PREVIOUS, Meta

    member, stream, previous, rows = world.member(), f"outreach-{uuid4()}", FIRST_PREVIOUS, []
    for version in range(1, length + 1):
        fact = toy.LetterSent(
            member=member, due_at=NOON + timedelta(minutes=version), policy="toy@1", enclosures=(toy.Enclosure("map"),),
            text="a short letter" if version % 3 == 0 else None,
        )  # fmt: skip
        meta = Meta(occurred_at=NOON, recorded_at=NOON, actor="system", command_id=str(uuid4()), tags=(member,), policy="toy@1")
        row = world.log.codec.encode(
            fact, stream=stream, version=version, event_id=uuid4(), meta=meta, key_id=member, previous=previous
        )
        rows.append(row)
        previous = row.hash
    stored = world.log.recorder.append(Item(tuple(rows), (Check(stream, 0, True),), (CommandRow(uuid4(), b"f", stream),)))
    assert isinstance(stored, Stored)
    return stream


def test_a_thousand_events_are_read_in_single_milliseconds(world: World) -> None:
    """Measured on two quiet cores: 6 ms, a third of the events sealed. What is asserted is the reader's own time, because the
    machine may have others to serve."""
    stream = _long_stream(world, LONG)
    milliseconds, own = [], []
    for _ in range(40):
        started, began = time.perf_counter(), time.thread_time()
        facts = world.log.read(stream)
        milliseconds.append((time.perf_counter() - started) * 1000)
        own.append((time.thread_time() - began) * 1000)
    assert len(facts) == LONG
    folded = []
    for _ in range(20):
        world.gateway.forget()
        started = time.perf_counter()
        assert world.gateway.load(stream).state.letters == LONG
        folded.append((time.perf_counter() - started) * 1000)
    again = []
    for _ in range(20):
        started = time.perf_counter()
        assert world.gateway.load(stream).version == LONG
        again.append((time.perf_counter() - started) * 1000)
    milliseconds.sort()
    print(
        f"read {LONG} events: p50 {statistics.median(milliseconds):.1f} ms, best {milliseconds[0]:.1f} ms,"
        f" p95 {milliseconds[-2]:.1f} ms, own time p50 {statistics.median(own):.1f} ms;"
        f" read and folded p50 {statistics.median(folded):.1f} ms; from the cache p50 {statistics.median(again):.2f} ms"
    )
    assert statistics.median(own) < 15
    assert min(again) < min(folded)


def test_a_stream_too_long_to_be_one_stops_the_reader(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _long_stream(world, 12)
    monkeypatch.setattr("eventlog.log.STREAM_LENGTH_MAX", 10)
    with pytest.raises(AssertionError, match="more than 10 events"):
        world.log.read(stream)


def test_cached_states_follow_what_others_write(world: World, another: Opener) -> None:
    from tests.log.conftest import gateway_of

    member, elsewhere = world.member(), gateway_of(another(), world.clock)
    for n in range(3):
        assert len(world.gateway.load(member).state.scopes) == len(elsewhere.load(member).state.scopes) == n + 1
        (world.gateway, elsewhere)[n % 2].handle(toy.GiveConsent(stream=member, by="system", scope=f"s{n}"), command_id=uuid4())


# -- news


def test_who_waits_is_woken_soon_and_without_any_notification(world: World) -> None:
    member = world.member(consents=False)
    with Poller(world.log) as poller:
        start = world.log.watermark()
        assert poller.wait_beyond(start, 0.05) <= start
        waits: list[float] = []
        for n in range(5):
            woken = threading.Event()

            def wait(position: int = start + n, woken: threading.Event = woken) -> None:
                poller.wait_beyond(position, 10.0)
                woken.set()

            thread = threading.Thread(target=wait)
            thread.start()
            world.do(toy.GiveConsent(stream=member, by="system", scope=f"s{n}"))
            began = time.perf_counter()
            assert woken.wait(10.0)
            waits.append(time.perf_counter() - began)
            thread.join()
        assert sorted(waits)[2] < 0.25
        assert poller.watermark == world.log.watermark()


def test_an_event_loop_waits_too(world: World) -> None:
    member = world.member(consents=False)

    async def main() -> tuple[int, int]:
        with Poller(world.log) as poller:
            position = world.log.watermark()
            idle = await poller.beyond(position, 0.05)
            waiting = [asyncio.create_task(poller.beyond(position, 10.0)) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.to_thread(world.do, toy.GiveConsent(stream=member, by="system"))
            found = await asyncio.gather(*waiting)
            assert len(set(found)) == 1
            return idle - position, found[0] - position

    assert asyncio.run(main()) == (0, 1)


def test_the_watch_survives_cut_connections(world: World) -> None:
    """The library's subscription ends when its connection is cut and can sleep through the first news (engine.md 0.4)."""
    member = world.member(consents=False)
    with Poller(world.log) as poller:
        for n in range(3):
            position = world.log.watermark()
            with psycopg.connect(world.url, autocommit=True) as owner:
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            world.do(toy.GiveConsent(stream=member, by="system", scope=f"s{n}"))
            assert poller.wait_beyond(position, 15.0) > position


def test_a_hole_at_the_head_does_not_keep_readers_spinning(world: World) -> None:
    """A number under way is no news: only the watermark wakes."""
    world.member()
    with Poller(world.log) as poller, psycopg.connect(world.url) as slow:
        position = world.log.watermark()
        assert poller.wait_beyond(position - 1, 5.0) == position
        slow.execute("SELECT pg_advisory_xact_lock_shared(1414287184, %s::int)", (position,))
        slow.execute("SELECT nextval('log.events_position_seq')")
        assert poller.wait_beyond(position, 0.2) == position
        slow.rollback()
        assert poller.wait_beyond(position, 5.0) == position + 1


def test_a_library_subscription_does_not_sleep_through_the_first_news(world: World) -> None:
    """What fails in the library when an append falls between its first look and its LISTEN (engine.md A2)."""
    world.member(consents=False)
    with world.log.recorder.subscribe(gt=0) as subscription:
        assert next(subscription).id == 1
        world.member(consents=False)
        assert next(subscription).id == 2


# -- the policy book


def test_the_policy_book_follows_the_log(database: str) -> None:
    from dataclasses import dataclass
    from importlib.resources import files
    from pathlib import Path

    from domain.adoption.facts import PolicyAdopted
    from eventlog.gateway import Gateway
    from eventlog.opening import PolicyShelf, open_log
    from tests.log.conftest import MASTER

    @dataclass(frozen=True, slots=True)
    class Entry:
        name: str
        version: int
        type: type

    text = (Path(str(files("eventlog"))).parent / "policies" / "default.toml").read_text()
    create(database, database + "_keys")
    with open_log(database, database + "_keys", master_key=MASTER, facts=[Entry("policy.adopted", 1, PolicyAdopted)]) as opened:
        shelf = PolicyShelf(opened.log)
        gateway = Gateway(opened.log, clock=FixedClock(NOON), deciders={}, fingerprint_key=b"f" * 32, books=shelf)
        assert shelf().policies == ()
        fact = PolicyAdopted(plan="default", version="v", effective_on=date(2026, 1, 1), text=text, sha256="")
        gateway.append_facts("policy-default", [fact], command_id=uuid4(), by="system", versions={"policy-default": 0})
        book = shelf()
        assert len(book.policies) == 1 and shelf() is book, "folded once"


# -- clocks


def test_clocks_tell_aware_instants() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
    ahead = OffsetClock(lambda: timedelta(days=3))
    assert timedelta(days=2, hours=23) < ahead.now() - SystemClock().now() < timedelta(days=3, hours=1)
    fixed = FixedClock(NOON)
    fixed.advance(timedelta(hours=1))
    assert fixed.now() == NOON + timedelta(hours=1)
    with pytest.raises(AssertionError):
        fixed.set(datetime(2026, 1, 1))  # noqa: DTZ001
