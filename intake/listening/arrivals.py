"""Group commit at the door: the messages that wait at the same time, of all connections, are stored in one commit.

Nothing waits for company: what has come in by the end of a turn of the event loop is stored at once, and what comes while commits
are under way is stored with the next. So a lone message is as fast as it can be, and a crowd costs a commit, not a commit each.

A group goes over a connection of the event loop's own. Where there is none yet, where the sealing key has to be fetched, or where
the database refuses the group, it goes the ordinary way, in a thread, which also finds out whose message is at fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from intake.listening.loop_connection import LoopConnection, Trouble, opened
from intake.listening.mllp import ANSWER_SECONDS_MAX, Answers
from intake.listening.receive import Received, Reception, Taken
from intake.senders.sources import Source
from intake.store.inbox import STORE, CannotStore, repeats_among

COMMITS_AT_ONCE: Final = 2
"""While one waits for the disk, the next is made ready. Each takes a connection, or a thread."""

MESSAGES_MAX: Final = 256
BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one commit; a single connection's share may go beyond it."""

COMMIT_SECONDS_MAX: Final = ANSWER_SECONDS_MAX
"""Then nobody waits for it any more, and a connection that does not answer stands in the way of one that would."""

REOPEN_SECONDS: Final = 1.0
"""Between two attempts to connect."""

log = structlog.get_logger("intake.arrivals")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What one connection handed over, and where its answers go."""

    received: tuple[Received, ...]
    answers: asyncio.Future[Answers]

    @property
    def bytes(self) -> int:
        return sum([len(one.raw) for one in self.received])


_Group = Sequence[_Waiting]


class Arrivals:
    """The listener's `handle`. Belongs to one event loop; the threads are for the database's driver where it blocks."""

    def __init__(self, reception: Reception, threads: Executor, url: str = "") -> None:
        """`url` is the database's; empty: everything goes the ordinary way."""
        self._reception = reception
        self._threads = threads
        self._url = url
        self._waiting: deque[_Waiting] = deque()
        self._under_way = 0
        self._called = False
        self._connections: list[LoopConnection] = []
        self._opening: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def connected(self) -> int:
        """How many connections the loop has."""
        return len(self._connections)

    def open(self) -> None:
        """Connect; what comes meanwhile goes the ordinary way."""
        if self._url and not self._closed and (self._opening is None or self._opening.done()):
            self._opening = asyncio.ensure_future(self._open())

    def close(self) -> None:
        """Let go of the connections: after the last answer."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    async def _open(self) -> None:
        while len(self._connections) < COMMITS_AT_ONCE:
            connecting = asyncio.get_running_loop().run_in_executor(None, opened, self._url, STORE)
            try:
                conn = await asyncio.shield(connecting)
            except psycopg.Error as away:
                log.warning("door_waits", failure=type(away).__name__)
                await asyncio.sleep(REOPEN_SECONDS)
            except asyncio.CancelledError:
                connecting.add_done_callback(_forsaken)
                raise
            else:
                self._connections.append(LoopConnection(conn, STORE.count("%b"), self._lost, COMMIT_SECONDS_MAX))

    def handle(self, frames: Sequence[bytes], source: Source, peer: str) -> asyncio.Future[Answers]:
        """The answers, once everything is stored. Fails with CannotStore."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(tuple([Received(frame, source, "mllp", peer) for frame in frames]), loop.create_future())
        while self._waiting and self._waiting[0].answers.done():
            self._waiting.popleft()  # whose sender has gone: those who came first go first
        self._waiting.append(waiting)
        if not self._called and self._under_way < COMMITS_AT_ONCE:
            self._called = True
            loop.call_soon(self._commit)
        return waiting.answers

    def _commit(self) -> None:
        self._called = False
        while self._under_way < COMMITS_AT_ONCE and (group := self._next_group()):
            self._under_way += 1
            self._store(group)

    def _next_group(self) -> list[_Waiting]:
        """Of those who still wait for an answer; nobody, where there is none."""
        group: list[_Waiting] = []
        messages, size = 0, 0
        while self._waiting:
            if (waiting := self._waiting[0]).answers.done():
                self._waiting.popleft()
                continue
            messages, size = messages + len(waiting.received), size + waiting.bytes
            if group and (messages > MESSAGES_MAX or size > BYTES_MAX):
                break
            group.append(self._waiting.popleft())
        return group

    def _store(self, group: _Group) -> None:
        """Over one of the loop's connections where it can be, else in a thread, which finds out whose message is at fault."""
        connection = next((c for c in self._connections if c.idle), None)
        now = self._reception.clock.now()
        if connection is None or not self._reception.inbox.ready(now):
            self._store_in_a_thread(group)
            return
        taken: Taken | None = None
        try:
            taken = self._reception.taken(_messages(group))
            repeats = repeats_among(taken.arrivals)
            packing = None if repeats else self._reception.inbox.pack(taken.arrivals, now, now)
        except Exception as trouble:
            log.warning("group_not_packed", failure=type(trouble).__name__)
            if taken is not None:
                taken.failed(trouble)
            self._store_in_a_thread(group)
            return
        if packing is None:
            self._store_in_a_thread(group, taken)
        else:
            connection.execute(packing.parameters, partial(self._stored, group, taken))

    # -- on the loop's own connection

    def _stored(self, group: _Group, taken: Taken, outcome: int | Trouble) -> None:
        if isinstance(outcome, Trouble):
            failed = CannotStore(outcome.name)
            taken.failed(failed)
            if outcome is Trouble.REFUSED:
                log.warning("group_refused", count=len(taken.arrivals))
                if still := [waiting for waiting in group if not waiting.answers.done()]:
                    self._store_in_a_thread(still)
                    return
            self._under_way -= 1
            self._answer([(waiting, failed) for waiting in group])
        else:
            self._under_way -= 1
            try:
                answers = self._reception.answers(taken)
            except Exception as trouble:
                self._answer(_none_of(group, trouble))
            else:
                ends = accumulate([len(waiting.received) for waiting in group])
                self._answer([(w, answers[end - len(w.received) : end]) for w, end in zip(group, ends, strict=True)])
            # The answers are written in the next turn of the loop; this comes after them.
            asyncio.get_running_loop().call_soon(partial(self._reception.tell, taken, repeated=outcome))
        self._commit()

    def _lost(self, connection: LoopConnection) -> None:
        self._connections.remove(connection)
        log.warning("door_connection_lost")
        self.open()

    # -- in a thread

    def _store_in_a_thread(self, group: _Group, taken: Taken | None = None) -> None:
        """`taken`: the group's messages, where they were looked at already and nothing has become of them."""
        stored = asyncio.get_running_loop().run_in_executor(self._threads, _store, self._reception, group, taken)
        stored.add_done_callback(partial(self._committed, group))

    def _committed(self, group: _Group, stored: asyncio.Future[list[tuple[_Waiting, Answers | CannotStore]]]) -> None:
        self._under_way -= 1
        trouble = asyncio.CancelledError() if stored.cancelled() else stored.exception()
        self._answer(stored.result() if trouble is None else _none_of(group, trouble))
        self._commit()

    @staticmethod
    def _answer(outcomes: Iterable[tuple[_Waiting, Answers | CannotStore]]) -> None:
        for waiting, outcome in outcomes:
            if waiting.answers.done():
                continue  # the connection is gone, or waited too long
            if isinstance(outcome, CannotStore):
                waiting.answers.set_exception(outcome)
            else:
                waiting.answers.set_result(outcome)


def _none_of(group: _Group, trouble: BaseException) -> list[tuple[_Waiting, CannotStore]]:
    """Nobody of the group is answered, and nobody is left waiting: whatever it was, their connections are closed at once."""
    log.error("group_not_stored", failure=type(trouble).__name__)
    return [(waiting, CannotStore(type(trouble).__name__)) for waiting in group]


def _forsaken(connecting: asyncio.Future[Connection[TupleRow]]) -> None:
    """Nobody waits for this connection any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def _messages(group: _Group) -> list[Received]:
    return [one for waiting in group for one in waiting.received]


def _store(reception: Reception, group: _Group, taken: Taken | None) -> list[tuple[_Waiting, Answers | CannotStore]]:
    """Store what several connections handed over, together; one by one where something among it cannot be stored."""
    try:
        answered = iter(reception.store(taken if taken is not None else reception.taken(_messages(group))))
    except CannotStore as trouble:
        if trouble.at_fault and len(group) > 1:
            return [each for waiting in group for each in _store(reception, (waiting,), None)]
        return [(waiting, trouble) for waiting in group]
    return [(waiting, [next(answered).answer for _ in waiting.received]) for waiting in group]
