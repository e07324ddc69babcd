"""What waits at the same time is stored in one commit, and nobody's message suffers for another's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace

import psycopg
import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from eventlog import arrays
from eventlog.keys import KeysAway
from intake import door as intake_door
from intake import worker as intake_worker
from intake.answering import application_acks
from intake.answering.application_acks import ApplicationAcks
from intake.listening import arrivals as intake_arrivals
from intake.listening import receive as intake_receive
from intake.listening.arrivals import COMMITS_AT_ONCE, MESSAGES_MAX, Arrivals
from intake.listening.loop_connection import opened
from intake.listening.mllp import Answers, Listener
from intake.listening.receive import Reception
from intake.people.index import IdentityIndex
from intake.senders import feeds as intake_feeds
from intake.senders import notices as intake_notices
from intake.senders.feeds import FeedWatch
from intake.senders.notices import FAILURES_MIN, Kind, Notices, Trouble
from intake.store import inbox as intake_inbox
from intake.store.inbox import FLAG_CONTROL_ID_REUSED, Arrival, CannotStore, Inbox, Status, Stored
from tests.intake.conftest import NOW, World
from tests.intake.making import MARISOL, TOMAS, adt


def arrival(text: str, control_id: str) -> Arrival:
    return Arrival(raw=text.encode(), source_id="s", transport="mllp", control_id=control_id)


def test_a_batch_tells_repeats_and_reused_ids_apart(world: World) -> None:
    first, other, new = arrival("a", "1"), arrival("b", "1"), arrival("c", "2")
    stored = world.door.inbox.store_all([first, other, first, new], NOW)
    assert [one.repeated for one in stored] == [False, False, True, False]
    assert stored[0].inbox_id == stored[2].inbox_id
    rows = {world.door.inbox.raw(row.inbox_id): row for row in world.rows()}
    assert (rows[b"a"].repeats, rows[b"b"].flags, rows[b"a"].flags) == (1, [FLAG_CONTROL_ID_REUSED], [])
    assert [t.status for t in world.door.inbox.show(stored[0].inbox_id).transitions] == ["received"]
    again = world.door.inbox.store_all([new, arrival("d", "2")], NOW)
    assert [one.repeated for one in again] == [True, False]
    assert world.door.inbox.show(again[1].inbox_id).row.flags == [FLAG_CONTROL_ID_REUSED], "the first of them was here before"


def test_messages_of_many_connections_share_commits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    usual = Inbox.store_all

    def counted(self: Inbox, arrivals: Sequence[Arrival], now: object, **more: object) -> tuple[Stored, ...]:
        commits.append(len(arrivals))
        return usual(self, arrivals, now, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Inbox, "store_all", counted)
    answers = handed_over(world, [[adt("A60", control_id=f"{c}-{n}").encode() for n in range(10)] for c in range(20)])
    assert [b"MSA|AA|" in answer for group in answers for answer in group if answer] == [True] * 200
    assert [f"MSA|AA|{c}-{n}" in (answers[c][n] or b"").decode() for c in range(20) for n in range(10)] == [True] * 200
    assert sum(commits) == 200 and len(commits) <= 3 and max(commits) <= MESSAGES_MAX


def test_a_message_that_cannot_be_stored_is_alone_unanswered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(values: Sequence[str | None]) -> object:
        return arrays.texts([value + "\0" if value == "BAD" else value for value in values if value is not None])

    monkeypatch.setattr(intake_inbox, "texts", refusing)
    good, bad = [adt("A60", control_id="GOOD").encode()], [adt("A60", control_id="BAD").encode()]
    answers = handed_over(world, [good, bad])
    assert b"MSA|AA|GOOD" in (answers[0][0] or b"") and answers[1] == []
    assert [row.control_id for row in world.rows()] == ["GOOD"]


def test_while_the_database_is_away_nobody_is_answered(world: World) -> None:
    world.door.inbox.pool.close()
    assert handed_over(world, [[adt("A60").encode()], [adt("A60", control_id="C2").encode()]]) == [[], []]


def test_while_the_keys_are_away_nobody_is_answered_and_nobody_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise KeysAway("OperationalError")

    monkeypatch.setattr(world.door.inbox, "keys", SimpleNamespace(to_seal=away, at_hand=lambda _: True))
    for url in ("", world.url):
        assert handed_over(world, [[adt("A60").encode()], [adt("A60", control_id="C2").encode()]], url=url) == [[], []]
    with pytest.raises(CannotStore, match="KeysAway"):
        world.door.inbox.store(arrival("a", "1"), NOW)


@pytest.mark.parametrize("url", [False, True])
def test_whatever_goes_wrong_at_the_door_a_sender_is_told_at_once(world: World, monkeypatch: pytest.MonkeyPatch, url: bool) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    handed_over(world, [[adt("A60", control_id="0").encode()]])
    where = world.url if url else ""
    with monkeypatch.context() as patch:
        patch.setattr(Reception, "answers", broken)
        assert handed_over(world, [[adt("A60", control_id="1").encode()]], url=where) == [[]]
    with monkeypatch.context() as patch:
        patch.setattr(Reception, "taken", broken)
        assert handed_over(world, [[adt("A60", control_id="2").encode()]], url=where) == [[]]
    (answers,) = handed_over(world, [[adt("A60", control_id="1").encode()]], url=where)
    assert b"MSA|AA|1" in (answers[0] or b""), "stored before, unanswered: the sender sends it again"
    assert len(world.rows()) == 2


def test_the_loops_own_connections_store_what_threads_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = adt("A60", control_id="1").encode(), adt("A60", control_id="1", person=TOMAS).encode()
    handed_over(world, [[first]])  # the ordinary way: the key to seal with has to be fetched

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left for threads")

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "store_all", never)
        assert [len(one) for _ in range(2) for one in handed_over(world, [[first]], url=world.url)] == [1, 1]
        both = handed_over(world, [[again], [adt("A60", control_id="2").encode()]], url=world.url)
        assert [len(one) for one in both] == [1, 1]
    rows = {world.door.inbox.raw(row.inbox_id): row for row in world.rows()}
    assert (len(rows), rows[first].repeats, rows[again].flags) == (3, 2, [FLAG_CONTROL_ID_REUSED])
    assert [t.status for t in world.door.inbox.show(rows[again].inbox_id).transitions] == ["received"]
    twice = handed_over(world, [[first, first, again]], url=world.url)  # one statement cannot count a message twice
    assert [len(answers) for answers in twice] == [3]
    assert world.row_of(first).repeats == 4


def test_what_the_database_refuses_of_a_group_is_found_by_trying_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over(world, [[adt("A60", control_id="0").encode()]])

    def refusing(values: Sequence[str | None]) -> object:
        return arrays.texts([value + "\0" if value == "BAD" else value for value in values if value is not None])

    monkeypatch.setattr(intake_inbox, "texts", refusing)
    good, bad = [adt("A60", control_id="GOOD").encode()], [adt("A60", control_id="BAD").encode()]
    answers = handed_over(world, [good, bad], url=world.url)
    assert b"MSA|AA|GOOD" in (answers[0][0] or b"") and answers[1] == []


def test_every_span_that_is_begun_at_the_door_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = [], []

    class Watching(SpanProcessor):
        def on_start(self, span: Span, parent_context: object = None) -> None:
            begun.append(span)

        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    tracers = TracerProvider()
    tracers.add_span_processor(Watching())
    handed_over(world, [[adt("A60", control_id="0").encode()]])
    monkeypatch.setattr(intake_receive, "_tracer", tracers.get_tracer("test"))
    one, other = adt("A60", control_id="1").encode(), adt("A60", control_id="2").encode()
    handed_over(world, [[one, one], [other]], url=world.url)  # a repeat among them: for a thread
    assert (len(begun), len(ended)) == (3, 3)
    with monkeypatch.context() as patch:
        patch.setattr(intake_inbox, "texts", lambda _: arrays.texts(["a", "\0"]))
        assert handed_over(world, [[one], [other]], url=world.url) == [[], []]  # refused together, then each alone
    assert len(begun) > 5 and len(begun) == len(ended)


def test_whoever_knocks_does_not_hold_up_who_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(Notices, "note", lambda *_: goes_on.wait(60))
    try:
        for n in range(COMMITS_AT_ONCE):
            world.door.listener().refused("unknown_sender", f"192.0.2.{n}")
        assert "MSA|AA|" in world.send(adt("A60"))[0]
    finally:
        goes_on.set()


def test_a_lost_connection_is_opened_again(world: World) -> None:
    handed_over(world, [[adt("A60", control_id="0").encode()]])

    async def lose_it() -> None:
        async with opened_arrivals(world, world.url) as arrivals:
            with psycopg.connect(world.url, autocommit=True) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE '%INSERT INTO intake.inbox%' AND pid <> pg_backend_pid()"
                )
            await until(lambda: arrivals.connected == 0)
            await until(lambda: arrivals.connected == COMMITS_AT_ONCE)
            answers = await sent(world, arrivals, "1")
            assert b"MSA|AA|1" in (answers[0] or b"")

    asyncio.run(lose_it())
    world.door.inbox.pool.check()  # its connections were ended too
    assert len(world.rows()) == 2


def test_a_commit_that_stalls_ends_and_what_nobody_waits_for_is_not_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox is locked: nothing is told of it, as by a server that is gone without a word."""
    handed_over(world, [[adt("A60", control_id="0").encode()]])
    monkeypatch.setattr(intake_arrivals, "COMMIT_SECONDS_MAX", 0.3)
    monkeypatch.setattr(intake_inbox, "COMMIT_MS_MAX", 300)

    async def stall(url: str) -> None:
        async with opened_arrivals(world, url) as arrivals:
            with psycopg.connect(world.url) as conn:
                conn.execute("LOCK TABLE intake.inbox IN EXCLUSIVE MODE")
                stalled = []
                for name in ("1", "2"):  # a turn of the loop between them: two commits
                    stalled.append(sent(world, arrivals, name))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                left, waits = sent(world, arrivals, "LEFT"), sent(world, arrivals, "WAITS")
                left.cancel()
                async with asyncio.timeout(5):
                    assert [type(one) for one in await asyncio.gather(*stalled, return_exceptions=True)] == [CannotStore] * 2
            async with asyncio.timeout(10):
                if not waits.done() or waits.exception() is not None:
                    await asyncio.gather(waits, return_exceptions=True)
                    waits = sent(world, arrivals, "WAITS")
                assert b"MSA|AA|WAITS" in ((await waits)[0] or b"")
            await until(lambda: not url or arrivals.connected == COMMITS_AT_ONCE)

    for url in ("", world.url):
        asyncio.run(stall(url))
    assert "LEFT" not in {row.control_id for row in world.rows()}


def test_a_connection_that_is_lost_with_a_statement_under_way_closes_its_senders(world: World) -> None:
    handed_over(world, [[adt("A60", control_id="0").encode()]])

    async def lose_it() -> None:
        async with opened_arrivals(world, world.url) as arrivals:
            with psycopg.connect(world.url) as conn, psycopg.connect(world.url, autocommit=True) as other:
                conn.execute("LOCK TABLE intake.inbox IN EXCLUSIVE MODE")
                waits = sent(world, arrivals, "1")
                await until(lambda: other.execute(STUCK).fetchone() is not None)
                other.execute(f"SELECT pg_terminate_backend(pid) FROM ({STUCK}) AS stuck")
                async with asyncio.timeout(5):
                    with pytest.raises(CannotStore, match="LOST"):
                        await waits
            await until(lambda: arrivals.connected == COMMITS_AT_ONCE)

    asyncio.run(lose_it())


def test_a_sender_that_leaves_with_its_statement_under_way_hurts_nobody(world: World) -> None:
    handed_over(world, [[adt("A60", control_id="0").encode()]])

    async def leave() -> None:
        async with opened_arrivals(world, world.url) as arrivals:
            with psycopg.connect(world.url) as conn, psycopg.connect(world.url, autocommit=True) as other:
                conn.execute("LOCK TABLE intake.inbox IN EXCLUSIVE MODE")
                left, stays = (sent(world, arrivals, n) for n in "12")
                await until(lambda: other.execute(STUCK).fetchone() is not None)
                left.cancel()
            async with asyncio.timeout(10):
                assert b"MSA|AA|2" in ((await stays)[0] or b"")
                later = await sent(world, arrivals, "3")
            assert b"MSA|AA|3" in (later[0] or b"") and arrivals.connected == COMMITS_AT_ONCE

    asyncio.run(leave())
    assert {row.control_id for row in world.rows()} == {"0", "1", "2", "3"}


def test_a_statement_that_cannot_be_prepared_is_no_connection(world: World) -> None:
    with pytest.raises(psycopg.OperationalError, match="cannot be prepared"):
        opened(world.url, "SELECT * FROM intake.nothing_of_the_kind WHERE id = %b")


async def until(so: Callable[[], bool]) -> None:
    """Wait, but not for ever."""
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0)


@asynccontextmanager
async def opened_arrivals(world: World, url: str) -> AsyncIterator[Arrivals]:
    """With `url` over connections of the loop's own, all of them open; else over threads."""
    with ThreadPoolExecutor(2) as threads:
        arrivals = Arrivals(world.door.reception, threads, url)
        arrivals.open()
        await until(lambda: not url or arrivals.connected == COMMITS_AT_ONCE)
        try:
            yield arrivals
        finally:
            arrivals.close()


def sent(world: World, arrivals: Arrivals, control_id: str) -> asyncio.Future[Answers]:
    return arrivals.handle([adt("A60", control_id=control_id).encode()], world.source, "127.0.0.1")


STUCK = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
"""What waits for a lock."""


def handed_over(world: World, groups: list[list[bytes]], *, url: str = "") -> list[Answers]:
    """The answers to what several connections hand over at once; none where it could not be stored. With `url` over connections
    of the loop's own."""

    async def hand_over() -> list[Answers]:
        async with opened_arrivals(world, url) as arrivals:
            async with asyncio.timeout(10):
                found = await asyncio.gather(
                    *(arrivals.handle(frames, world.source, "127.0.0.1") for frames in groups), return_exceptions=True
                )
        assert all(isinstance(one, list | CannotStore) for one in found)
        return [one if isinstance(one, list) else [] for one in found]

    return asyncio.run(hand_over())


def test_a_stored_message_wakes_who_works_the_inbox_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_worker, "POLL_SECONDS", 60.0)
    world.register(MARISOL)
    stop = threading.Event()
    threads = world.door.start_workers(stop, threads=1)
    world.send(adt("A01"))
    for _ in range(200):
        if world.rows()[0].status is Status.APPLIED:
            break
        stop.wait(0.05)
    assert world.rows()[0].status is Status.APPLIED
    stop.set()
    world.door.worker.bell.set()
    for thread in threads:
        thread.join(10)


def test_a_defect_ends_no_thread_without_a_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index, the feeds and the acknowledgements fail in a way that nobody expects; then they do not."""
    monkeypatch.setattr(intake_door, "AGAIN_SECONDS", 0.01)
    world.door.application_acks._sources["valley-general"] = world.source
    world.register(MARISOL)
    failed: list[str] = []

    def fails_once(owner: type, name: str) -> None:
        usual = getattr(owner, name)

        def once(*given: object) -> object:
            if name not in failed:
                failed.append(name)
                raise AssertionError(name)
            return usual(*given)

        monkeypatch.setattr(owner, name, once)

    fails_once(IdentityIndex, "catch_up")
    fails_once(FeedWatch, "look")
    fails_once(ApplicationAcks, "send_due")
    stop = threading.Event()
    with structlog.testing.capture_logs() as said:
        threads = world.door.start_workers(stop, threads=1)
        world.send(adt("A01"))
        for _ in range(200):
            if world.rows()[0].status is Status.APPLIED and len(failed) == 3:
                break
            stop.wait(0.05)
        assert all(thread.is_alive() for thread in threads)
        stop.set()
        for thread in threads:
            thread.join(10)
    assert world.rows()[0].status is Status.APPLIED
    told = [line["operation"] for line in said if line["event"] == "thread_failed"]
    assert sorted(told) == ["intake-0", "intake-application-acks", "intake-feeds"]


def open_notices(world: World) -> set[tuple[str, str, str]]:
    return {(notice.kind, notice.source_id, notice.subject) for notice in world.door.notices.open()}


def noticed(world: World, wanted: set[tuple[str, str, str]]) -> bool:
    for _ in range(200):
        if open_notices(world) == wanted:
            return True
        time.sleep(0.05)
    return False


def test_what_fails_again_and_again_is_shown_until_it_goes_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in each of the loops: one that nobody expects, one that looks like an outage and is none, and an outage."""
    monkeypatch.setattr(intake_door, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(intake_feeds, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(application_acks, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(intake_notices, "WELL_SECONDS", 0.3)
    world.door.application_acks._sources["valley-general"] = world.source
    broken = True

    def fails(owner: type, name: str, failure: Exception) -> None:
        usual = getattr(owner, name)

        def at_first(*given: object) -> object:
            if broken:
                raise failure
            return usual(*given)

        monkeypatch.setattr(owner, name, at_first)

    fails(IdentityIndex, "is_behind", ZeroDivisionError("Tomas Quintanilla"))
    fails(FeedWatch, "look", psycopg.errors.UndefinedTable("Tomas Quintanilla"))
    fails(ApplicationAcks, "send_due", psycopg.OperationalError("Tomas Quintanilla"))
    stop = threading.Event()
    threads = world.door.start_workers(stop, threads=2)
    try:
        failing = {("failing_work", "intake", "ZeroDivisionError"), ("failing_work", "intake-feeds", "UndefinedTable")}
        assert noticed(world, failing), open_notices(world)
        (first, *_) = (notice for notice in world.door.notices.open() if notice.source_id == "intake")
        assert first.times >= FAILURES_MIN and first.since == NOW
        assert first.said == "working messages and files off fails again and again (ZeroDivisionError)"
        assert "Quintanilla" not in str(world.door.notices.all())
        broken = False
        assert noticed(world, set()), open_notices(world)
        assert {notice.ended_by for notice in world.door.notices.all()} == {"system"}
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def test_what_failed_once_or_in_a_life_before_is_not_shown(world: World) -> None:
    notices = world.door.notices
    notices.note(Kind.FAILING_WORK, "intake", "ZeroDivisionError", NOW)
    trouble = Trouble(notices, world.clock, "intake")
    trouble.round_went_well()
    assert notices.open() == (), "whoever met it is gone, and it went well since"
    for _ in range(FAILURES_MIN - 1):
        trouble.met(ZeroDivisionError)
    assert notices.open() == ()
    trouble.round_went_well()
    trouble.met(ZeroDivisionError)
    (notice,) = notices.open()
    assert notice.times == FAILURES_MIN, "one round in between is not yet well"


def test_two_listeners_share_a_port_only_where_both_are_told_to(world: World) -> None:
    async def bind() -> None:
        one, other = world.door.listener(shared=True), world.door.listener(shared=True)
        other.port = await one.start()
        assert await other.start() == one.port
        alone: Listener = world.door.listener(port=one.port)
        with pytest.raises(OSError):
            await alone.start()
        await one.stop()
        await other.stop()

    asyncio.run(bind())
