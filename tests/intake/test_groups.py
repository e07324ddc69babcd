"""What waits at the same time is stored in one commit, and nobody's message suffers for another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventlog import arrays
from intake import inbox as intake_inbox
from intake import worker as intake_worker
from intake.arrivals import MESSAGES_MAX, Arrivals
from intake.inbox import FLAG_CONTROL_ID_REUSED, Arrival, CannotStore, Inbox, Status, Stored
from intake.mllp import Answers, Listener
from tests.intake.conftest import NOW, World
from tests.intake.making import MARISOL, adt


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


def handed_over(world: World, groups: list[list[bytes]]) -> list[Answers]:
    """The answers to what several connections hand over at once; none where it could not be stored."""

    async def hand_over() -> list[Answers]:
        with ThreadPoolExecutor(2) as threads:
            arrivals = Arrivals(world.door.reception, threads)
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
    (thread,) = world.door.start_workers(stop, threads=1)
    world.send(adt("A01"))
    for _ in range(200):
        if world.rows()[0].status is Status.APPLIED:
            break
        stop.wait(0.05)
    assert world.rows()[0].status is Status.APPLIED
    stop.set()
    world.door.worker.bell.set()
    thread.join(10)


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
