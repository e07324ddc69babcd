"""Group commit: who stores at once and who is taken along, and that everybody gets the verdict of their own item."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from eventlog.committer import Committer, _apart, _Waiting
from eventlog.gateway import Accepted, Conflict
from eventlog.recorder import Check, CommandRow, EventRow, Item, Known, LogRecorder, LogRefused, Moved, Stored, Verdict
from tests.log import toy
from tests.log.conftest import World, created_for_each, gateway_of

created = created_for_each()

SECONDS_MAX = 20.0


class Held(LogRecorder):
    """The recorder, with a gate before its first batch; remembers who stored how much."""

    def __init__(self, recorder: LogRecorder, *, then: BaseException | None = None) -> None:
        super().__init__(recorder.datastore)
        self.reached, self.open, self.then = threading.Event(), threading.Event(), then
        self.batches: list[tuple[str, int]] = []

    def append_batch(self, items: Sequence[Item]) -> tuple[Verdict, ...]:
        self.batches.append((threading.current_thread().name, len(items)))
        if len(self.batches) == 1:
            self.reached.set()
            assert self.open.wait(SECONDS_MAX)
            if self.then is not None:
                raise self.then
        return super().append_batch(items)


def _item(stream: str, version: int, *reads: tuple[str, int], command_id: UUID | None = None, name: str = "toy.claimed") -> Item:
    row = EventRow(stream, version, name, 1, uuid4(), b"{}", None, b"{}", b"")
    return Item(
        (row,),
        (Check(stream, version - 1, True), *(Check(s, v, False) for s, v in reads)),
        (CommandRow(command_id or uuid4(), b"f", stream),),
    )


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + SECONDS_MAX
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.002)


def _waiting(committer: Committer, pool: ThreadPoolExecutor, items: Sequence[Item]) -> list[Future[Verdict]]:
    """The items' appends, which came in this order and wait for the one that is under way."""
    begun = []
    for item in items:
        before = len(committer._waiting)
        begun.append(pool.submit(committer.append, item))
        _until(lambda before=before: len(committer._waiting) > before)  # type: ignore[misc]
    return begun


def test_each_of_a_batch_hears_its_own_verdict(world_recorder: LogRecorder) -> None:
    known = _item("toy-known", 1)
    world_recorder.append(known)
    verdicts = world_recorder.append_batch(
        [_item("toy-1", 1), _item("toy-2", 5), known, _item("toy-3", 1, ("toy-4", 1)), _item("toy-5", 1)]
    )
    assert [type(v) for v in verdicts] == [Stored, Moved, Known, Moved, Stored]
    assert verdicts[1] == Moved("toy-2", 0) and verdicts[3] == Moved("toy-4", 0)
    assert [e.originator_id for e in world_recorder.select_notifications(None, 10)] == ["toy-known", "toy-1", "toy-5"]


def test_each_command_of_a_batch_remembers_its_own_events(world: World) -> None:
    def row(stream: str, version: int) -> EventRow:
        return EventRow(stream, version, "toy.claimed", 1, uuid4(), b"{}", None, b"{}", b"")

    first, without, last, other = (CommandRow(uuid4(), b"f", "toy-1") for _ in range(4))
    two = Item((row("toy-1", 1), row("toy-1", 2), row("toy-1", 3)), (Check("toy-1", 0, True),), (first, without, last), (0, 0, 2))
    one, three = _item("toy-0", 1), Item((row("toy-2", 1),), (Check("toy-2", 0, True),), (other,))
    stored = world.log.recorder.append_batch([one, two, three])
    assert [len(v.positions) for v in stored if isinstance(v, Stored)] == [1, 3, 1]
    with psycopg.connect(world.url) as conn:
        found = {row[0]: tuple(row[1]) for row in conn.execute("SELECT command_id, positions FROM log.commands").fetchall()}
    _, of_two, of_three = (v.positions for v in stored if isinstance(v, Stored))
    assert (found[first.command_id], found[without.command_id], found[last.command_id]) == (of_two[:2], (), of_two[2:])
    assert found[other.command_id] == of_three


def test_one_command_stored_at_the_same_time_under_other_streams_is_known(world: World) -> None:
    command_id = uuid4()
    with psycopg.connect(world.url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("INSERT INTO log.commands VALUES (%s, 'f', 'toy-1', '{}')", (command_id,))
        late = pool.submit(world.log.recorder.append_batch, [_item("toy-2", 1, command_id=command_id), _item("toy-3", 1)])
        with psycopg.connect(world.url, autocommit=True) as eyes:
            _until(lambda: eyes.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'transactionid'").rowcount > 0)
        other.commit()
        assert [type(v) for v in late.result(SECONDS_MAX)] == [Known, Stored]
    assert world.log.version("toy-2") == 0


def test_a_batch_with_a_conflict_is_given_again_without_it(world_recorder: LogRecorder) -> None:
    """All or nothing in the log; each for itself to the callers: nothing is drawn for what was refused."""
    again = _item("toy-9", 1)
    world_recorder.append(again)
    head = world_recorder.head()
    batch = [_item("toy-1", 1), _item("toy-2", 5), again, _item("toy-0", 1, ("toy-9", 0)), _item("toy-3", 1)]
    first, moved, known, read, last = world_recorder.append_batch(batch)
    assert (first, last) == (Stored((head + 1,)), Stored((head + 2,)))
    assert (moved, known, read) == (Moved("toy-2", 0), Known(), Moved("toy-9", 1))


def test_the_connection_used_last_is_used_next(world_recorder: LogRecorder) -> None:
    def asleep(_: int) -> object:
        return world_recorder.rows("SELECT pg_sleep(0.2)", ())

    with ThreadPoolExecutor(3) as several:
        list(several.map(asleep, range(3)))
    assert len({world_recorder.rows("SELECT pg_backend_pid()", ())[0][0] for _ in range(6)}) == 1


def test_items_of_one_batch_are_kept_apart() -> None:
    same = uuid4()
    waiting = [
        _Waiting(item)
        for item in (
            _item("a", 1), _item("b", 1, ("r", 1)), _item("c", 1, ("r", 1)), _item("a", 2), _item("r", 2), _item("d", 1, ("a", 1)),
            _item("e", 1, command_id=same), _item("f", 1, command_id=same), _item("g", 1),
        )
    ]  # fmt: skip
    batch, rest = _apart(waiting)
    assert [w.item.events[0].stream for w in batch] == ["a", "b", "c", "e", "g"]
    assert [w.item.events[0].stream for w in rest] == ["a", "r", "d", "f"]
    wide = [_Waiting(_item(f"s{n}", 1, *((f"r{n} {m}", 0) for m in range(31)))) for n in range(20)]
    batch, rest = _apart(wide)
    assert sum(w.item.locks for w in batch) == 256 and len(batch) == 8 and len(rest) == 12


def test_a_lone_caller_stores_at_once_in_its_own_thread(world_recorder: LogRecorder) -> None:
    recorder = Held(world_recorder)
    recorder.open.set()
    committer = Committer(recorder)
    for version in range(1, 4):
        assert isinstance(committer.append(_item("toy-1", version)), Stored)
    assert recorder.batches == [(threading.current_thread().name, 1)] * 3 and not committer._waiting


def test_who_comes_meanwhile_is_taken_along_by_the_first_of_them(world_recorder: LogRecorder) -> None:
    recorder = Held(world_recorder)
    committer = Committer(recorder)
    with ThreadPoolExecutor(9, thread_name_prefix="caller") as pool:
        first = pool.submit(committer.append, _item("toy-0", 1))
        assert recorder.reached.wait(SECONDS_MAX)
        others = _waiting(committer, pool, [_item(f"toy-{n}", 1) for n in range(1, 8)] + [_item("toy-3", 1)])
        recorder.open.set()
        verdicts = [each.result(SECONDS_MAX) for each in (first, *others)]
    assert all(isinstance(v, Stored) for v in verdicts[:-1])
    assert verdicts[-1] == Moved("toy-3", 1), "the second on one stream comes in the batch after"
    assert [size for _, size in recorder.batches] == [1, 7, 1]
    assert len({name for name, _ in recorder.batches}) == 3
    assert isinstance(committer.append(_item("toy-9", 1)), Stored)


def test_many_callers_are_committed_together_and_none_gets_anothers_answer(world: World) -> None:
    members = [world.member(consents=False) for _ in range(20)]
    before = world.log.watermark()
    gateway = gateway_of(world.open, world.clock, appender=Committer(world.log.recorder))

    def one(n: int) -> tuple[str, str, Any]:
        member, scope = members[n % len(members)], f"scope {n}"
        return member, scope, gateway.handle(toy.GiveConsent(stream=member, by="system", scope=scope), command_id=uuid4())

    with ThreadPoolExecutor(32) as pool:
        done = list(pool.map(one, range(400)))
    accepted = 0
    for member, scope, outcome in done:
        if isinstance(outcome, Accepted):
            (recorded,) = outcome.facts
            assert recorded.stream == member and recorded.fact == toy.ConsentGiven(scope=scope)
            assert world.log.at([recorded.position])[0].recorded == recorded
            accepted += 1
        else:
            assert isinstance(outcome, Conflict)
    assert accepted > 350
    assert len(world.log.after(before, limit=1000).facts) == accepted
    assert list(world.log.verify()) == []


def test_a_broken_item_fails_alone(world_recorder: LogRecorder) -> None:
    recorder = Held(world_recorder)
    committer = Committer(recorder)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(committer.append, _item("toy-0", 1))
        assert recorder.reached.wait(SECONDS_MAX)
        *good, bad = _waiting(committer, pool, [*(_item(f"toy-{n}", 1) for n in range(1, 8)), _item("toy-8", 1, name="n\0")])
        recorder.open.set()
        assert all(isinstance(each.result(SECONDS_MAX), Stored) for each in (first, *good))
        with pytest.raises(LogRefused, match="CharacterNotInRepertoire") as refused:
            bad.result(SECONDS_MAX)
    assert refused.value.__cause__ is None
    assert [size for _, size in recorder.batches] == [1, 8, *[1] * 8]


def test_a_lead_that_is_interrupted_fails_for_itself_only(world_recorder: LogRecorder) -> None:
    recorder = Held(world_recorder, then=KeyboardInterrupt())
    committer = Committer(recorder)
    with ThreadPoolExecutor(5) as pool:
        interrupted = pool.submit(committer.append, _item("toy-0", 1))
        assert recorder.reached.wait(SECONDS_MAX)
        others = _waiting(committer, pool, [_item(f"toy-{n}", 1) for n in range(1, 5)])
        recorder.open.set()
        assert all(isinstance(each.result(SECONDS_MAX), Stored) for each in others)
        with pytest.raises(KeyboardInterrupt):
            interrupted.result(SECONDS_MAX)
    assert isinstance(committer.append(_item("toy-0", 1)), Stored)


def test_who_was_forgotten_stores_alone(world_recorder: LogRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.committer.WAIT_SECONDS_MAX", 0.05)
    recorder = Held(world_recorder)
    committer = Committer(recorder)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(committer.append, _item("toy-0", 1))
        assert recorder.reached.wait(SECONDS_MAX)
        assert isinstance(pool.submit(committer.append, _item("toy-1", 1)).result(SECONDS_MAX), Stored)
        assert not committer._waiting and not slow.done()
        recorder.open.set()
        assert isinstance(slow.result(SECONDS_MAX), Stored)
    assert isinstance(committer.append(_item("toy-2", 1)), Stored)


def test_a_batch_whose_connection_is_cut_is_stored_once(world: World) -> None:
    recorder = Held(world.log.recorder)
    committer = Committer(recorder)
    with ThreadPoolExecutor(5) as pool, psycopg.connect(world.url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('toy-3', 0))")
        first = pool.submit(committer.append, _item("toy-0", 1))
        assert recorder.reached.wait(SECONDS_MAX)
        others = _waiting(committer, pool, [_item(f"toy-{n}", 1) for n in range(1, 5)])
        recorder.open.set()
        with psycopg.connect(world.url, autocommit=True) as eyes:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'"
            _until(lambda: eyes.execute(cut).rowcount > 0)
        holder.rollback()
        assert all(isinstance(each.result(SECONDS_MAX), Stored) for each in (first, *others))
    assert [world.log.recorder.rows("SELECT count(*), count(DISTINCT stream) FROM log.events", ())] == [[(5, 5)]]
    assert [size for _, size in recorder.batches] == [1, 4]
