"""Group commit: the appends of callers who come at the same time go into the log in one call and one transaction.

There is no thread for it, and nobody waits for company. Who comes while no batch is under way stores at once, as without a
committer; who comes meanwhile waits, and the first of those takes along all that fits as soon as the batch is through. So a lone
caller loses nothing, and the more callers there are, the larger the batches. Each gets the verdict of its own item; a conflict, or
a failure, goes to its owner only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from eventlog.recorder import LOCKS_MAX, Item, LogRecorder, Verdict

EVENTS_MAX = 1_000
"""Events of one batch: what is written must not hold readers back for long."""

CHAINS = 2
"""Who was stored with others is woken one after the other, each by the one before, along so many chains. All at once they would
contend for the interpreter's lock, at two to three more switches of threads for each; along one chain a thread that has to wait for
a processor would keep all behind it waiting."""

WAIT_SECONDS_MAX = 20.0
"""Twice what the log lets an append wait for a lock. Who was not woken until then stores alone: whoever was to wake it was
interrupted. Should it have been stored meanwhile, it is known."""


class Committer:
    """Stores items for many threads; one for each process is enough."""

    def __init__(self, recorder: LogRecorder) -> None:
        self._recorder = recorder
        self._mutex = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._led = False
        """Whether somebody stores a batch, or was told to."""

    def append(self, item: Item) -> Verdict:
        """Store the item, alone or with others; its verdict. Raises what the recorder raises for this item."""
        assert item.locks <= LOCKS_MAX
        own = _Waiting(item)
        with self._mutex:
            self._waiting.append(own)
            leads, self._led = not self._led, True
        if leads or own.called_to_lead():
            self._lead(own)
        return own.verdict or self._alone(own)

    def _lead(self, own: _Waiting) -> None:
        """Store what waits, one's own first, then let the next lead."""
        with self._mutex:
            batch, self._waiting = _apart(self._waiting)
        assert batch[0] is own
        try:
            for one, verdict in zip(batch, self._recorder.append_batch([one.item for one in batch]), strict=True):
                one.verdict = verdict
        except Exception:
            if len(batch) == 1:
                raise
        finally:
            with self._mutex:
                self._hand_over()
            others = batch[1:]
            for one, next_one in zip(others, others[CHAINS:], strict=False):
                one.next = next_one
            for one in others[:CHAINS]:
                one.wake()

    def _hand_over(self) -> None:
        """Let the first of those who wait lead; the mutex is held."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].wake(to_lead=True)

    def _alone(self, own: _Waiting) -> Verdict:
        """Store what has no verdict though its time has come. The batch failed: whose fault it was shows when each owner stores by
        itself. Or nobody took it along."""
        with self._mutex:
            if own in self._waiting:
                self._waiting.remove(own)
                if own.leads:
                    self._hand_over()
        return self._recorder.append(own.item)


class _Waiting:
    """An item, and the place where its owner waits for a verdict or for the lead. `next`: who is to be woken after it."""

    __slots__ = ("_asleep", "item", "leads", "next", "verdict")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.verdict: Verdict | None = None
        self.next: _Waiting | None = None
        self.leads = False
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def called_to_lead(self) -> bool:
        """Sleep until woken, and wake the next; whether it was to lead the next batch."""
        self._asleep.acquire(timeout=WAIT_SECONDS_MAX)
        if self.next is not None:
            self.next.wake()
        return self.leads

    def wake(self, *, to_lead: bool = False) -> None:
        self.leads = to_lead
        self._asleep.release()


def _apart(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """Those that fit into one batch and touch no stream that another of them writes; and the rest, in order, for the next."""
    batch: list[_Waiting] = []
    rest: list[_Waiting] = []
    touched: dict[object, bool] = {}
    locks = events = 0
    for one in waiting:
        item = one.item
        clash = any(c.stream in touched and (c.written or touched[c.stream]) for c in item.checks) or any(
            c.command_id in touched for c in item.commands
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
        touched.update((c.command_id, True) for c in item.commands)
    return batch, rest
