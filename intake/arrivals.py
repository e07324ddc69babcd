"""Group commit at the door: the messages that wait at the same time, of all connections, are stored in one commit.

Nothing waits for company: what has come in by the end of a turn of the event loop is stored at once, and what comes while commits
are under way is stored with the next. So a lone message is as fast as it can be, and a crowd costs a commit, not a commit each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from intake.inbox import CannotStore
from intake.mllp import Answers
from intake.receive import Received, Reception
from intake.sources import Source

COMMITS_AT_ONCE: Final = 2
"""While one waits for the disk, the next is made ready. Each takes a thread and a connection."""

MESSAGES_MAX: Final = 256
BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one commit; a single connection's share may go beyond it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What one connection handed over, and where its answers go."""

    received: tuple[Received, ...]
    answers: asyncio.Future[Answers]

    @property
    def bytes(self) -> int:
        return sum(len(one.raw) for one in self.received)


class Arrivals:
    """The listener's `handle`. Belongs to one event loop; the threads are for the database's driver, which blocks."""

    def __init__(self, reception: Reception, threads: Executor) -> None:
        self._reception = reception
        self._threads = threads
        self._waiting: deque[_Waiting] = deque()
        self._under_way = 0
        self._called = False

    def handle(self, frames: Sequence[bytes], source: Source, peer: str) -> asyncio.Future[Answers]:
        """The answers, once everything is stored. Fails with CannotStore."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(tuple(Received(frame, source, "mllp", peer) for frame in frames), loop.create_future())
        self._waiting.append(waiting)
        if not self._called and self._under_way < COMMITS_AT_ONCE:
            self._called = True
            loop.call_soon(self._commit)
        return waiting.answers

    def _commit(self) -> None:
        self._called = False
        while self._waiting and self._under_way < COMMITS_AT_ONCE:
            group = self._next_group()
            self._under_way += 1
            stored = asyncio.get_running_loop().run_in_executor(self._threads, _store, self._reception, group)
            stored.add_done_callback(self._committed)

    def _next_group(self) -> list[_Waiting]:
        group = [self._waiting.popleft()]
        messages, size = len(group[0].received), group[0].bytes
        while self._waiting:
            messages, size = messages + len(self._waiting[0].received), size + self._waiting[0].bytes
            if messages > MESSAGES_MAX or size > BYTES_MAX:
                break
            group.append(self._waiting.popleft())
        return group

    def _committed(self, stored: asyncio.Future[list[tuple[_Waiting, Answers | CannotStore]]]) -> None:
        self._under_way -= 1
        for waiting, outcome in stored.result():
            if waiting.answers.done():
                continue  # the connection is gone, or waited too long
            if isinstance(outcome, CannotStore):
                waiting.answers.set_exception(outcome)
            else:
                waiting.answers.set_result(outcome)
        self._commit()


def _store(reception: Reception, group: Sequence[_Waiting]) -> list[tuple[_Waiting, Answers | CannotStore]]:
    """Store what several connections handed over, together; one by one where something among it cannot be stored."""
    try:
        answered = iter(reception.receive_all([one for waiting in group for one in waiting.received]))
    except CannotStore as trouble:
        if trouble.at_fault and len(group) > 1:
            return [each for waiting in group for each in _store(reception, (waiting,))]
        return [(waiting, trouble) for waiting in group]
    return [(waiting, [next(answered).answer for _ in waiting.received]) for waiting in group]
