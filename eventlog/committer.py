"""Group commit: the appends of many callers in one call and one transaction, when more than a few wait at the same time.

A single command is faster without it (ADR 0005); inbound messages and the API's bursts are faster with it. Whoever calls `append`
waits for the verdict of its own item; a conflict goes to its owner only.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType

from eventlog.recorder import LOCKS_MAX, Item, LogAway, LogRecorder, Verdict

EVENTS_MAX = 1_000
"""Events of one batch: what is written must not hold readers back for long."""

QUEUE_MAX = 10_000


class Committer:
    """Stores items for many threads. One committer thread a process is enough; start it once, or use it in a `with`."""

    def __init__(self, recorder: LogRecorder, *, threads: int = 1) -> None:
        self._recorder = recorder
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(QUEUE_MAX)
        self._threads = [threading.Thread(target=self._commit, name=f"committer-{n}", daemon=True) for n in range(threads)]
        self._stopped = False

    def start(self) -> Committer:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Store what is waiting, then end."""
        self._stopped = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        while not self._queue.empty():  # came in while we were stopping
            late = self._queue.get_nowait()
            if late is not None:
                late.verdict.set_exception(LogAway("the committer has stopped"))

    def __enter__(self) -> Committer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def append(self, item: Item) -> Verdict:
        """Store the item with whatever else is waiting; its verdict. Raises LogAway."""
        assert item.locks <= LOCKS_MAX and not self._stopped
        waiting = _Waiting(item)
        self._queue.put(waiting)
        return waiting.verdict.result()

    def _commit(self) -> None:
        postponed: list[_Waiting] = []
        ending = False
        while not ending or postponed:
            if not postponed:
                first = self._queue.get()
                if first is None:
                    ending = True
                else:
                    postponed.append(first)
            while len(postponed) < LOCKS_MAX and not ending:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                else:
                    postponed.append(more)
            batch, postponed = _apart(postponed)
            if batch:
                self._store(batch)

    def _store(self, batch: Sequence[_Waiting]) -> None:
        try:
            verdicts = self._recorder.append_batch([w.item for w in batch])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].verdict.set_exception(error)
                return
            for waiting in batch:  # one of them is at fault: its owner alone shall hear of it
                self._store((waiting,))
            return
        for waiting, verdict in zip(batch, verdicts, strict=True):
            waiting.verdict.set_result(verdict)


class _Waiting:
    """An item and the place where its owner waits."""

    __slots__ = ("item", "verdict")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.verdict: Future[Verdict] = Future()


def _apart(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """Those that fit into one batch and touch no stream that another of them writes; and the rest, in order, for the next."""
    batch: list[_Waiting] = []
    rest: list[_Waiting] = []
    touched: dict[str, bool] = {}
    locks = events = 0
    for one in waiting:
        item = one.item
        clash = any(c.stream in touched and (c.written or touched[c.stream]) for c in item.checks) or any(
            c.command_id.hex in touched for c in item.commands
        )
        fits = locks + item.locks <= LOCKS_MAX and (not batch or events + len(item.events) <= EVENTS_MAX)
        if clash or not fits:
            rest.append(one)
        else:
            batch.append(one)
            locks += item.locks
            events += len(item.events)
        # Also what is postponed counts, so that nobody overtakes it on its own stream.
        touched.update((c.stream, c.written or touched.get(c.stream, False)) for c in item.checks)
        touched.update((c.command_id.hex, True) for c in item.commands)
    return batch, rest
