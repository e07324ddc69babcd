"""The programme on a virtual clock, but on the real log: the same gateway, rounds and deliveries as in production, no Temporal.

Months of history take minutes this way. What it leaves behind is an ordinary log, from which the workflows are then rebuilt.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import timedelta

from activities.channels.port import Outgoing, Sent, Told
from activities.delivery import Delivery
from activities.rounds import Look, Rounds
from domain.core import Instant, ProcessRef, Recorded
from domain.policy import PolicyBook
from domain.routing import route, tags
from eventlog.clock import FixedClock
from eventlog.log import Log

UNSURE_AFTER = timedelta(minutes=1)
TURNS_MAX = 1_000_000

Action = Callable[[], object]


class Accepting:
    """A channel that takes every message and keeps none."""

    idempotent = True

    def send(self, message: Outgoing) -> Told:
        return Sent(message.key)


class VirtualProgramme:
    """Runs scripted actions and the processes that they wake, each at its instant. `looks`: each process as it was seen last."""

    def __init__(self, log: Log, rounds: Rounds, delivery: Delivery, clock: FixedClock, kinds: frozenset[str]) -> None:
        self._log = log
        self._rounds = rounds
        self._delivery = delivery
        self._clock = clock
        self._kinds = kinds
        self._position = log.watermark()
        self._index: dict[str, set[ProcessRef]] = {}
        self._agenda: list[tuple[Instant, int, Action]] = []
        self._wakes: dict[ProcessRef, Instant] = {}
        self.looks: dict[ProcessRef, Look] = {}
        self._number = 0

    @property
    def now(self) -> Instant:
        return self._clock.now()

    @property
    def book(self) -> PolicyBook:
        """The policies as a process saw them last. AssertionError before any process ran."""
        look = next(iter(self.looks.values()), None)
        assert look is not None, "no process ran yet"
        book: PolicyBook = look.loaded.book
        return book

    def at(self, instant: Instant, action: Action) -> None:
        """Have something done at an instant that is not over yet."""
        self._number += 1
        heapq.heappush(self._agenda, (max(instant, self.now), self._number, action))

    def run_until(self, until: Instant, progress: Callable[[Instant], None] = lambda now: None) -> None:
        """Move the clock, doing what is due on the way. What lies beyond stays on the agenda."""
        for _ in range(TURNS_MAX):
            self._settle()
            wake_at = min(self._wakes.values(), default=None)
            act_at = self._agenda[0][0] if self._agenda else None
            next_at = min((i for i in (wake_at, act_at) if i is not None), default=None)
            if next_at is None or next_at > until:
                break
            if next_at > self.now:
                self._clock.set(next_at)
                progress(next_at)
            if act_at is not None and act_at <= self.now:
                heapq.heappop(self._agenda)[2]()
            else:
                due = [ref for ref, at in self._wakes.items() if at <= self.now]
                for ref in due:
                    self._advance(ref)
        else:
            raise AssertionError("the programme does not come to rest")
        if until > self.now:
            self._clock.set(until)

    def _settle(self) -> None:
        """Route what is new in the log, until nothing is."""
        while woken := self._news():
            for ref in woken:
                self._advance(ref)

    def _news(self) -> set[ProcessRef]:
        batch = self._log.after(self._position)
        self._position = batch.position
        woken: set[ProcessRef] = set()
        for stored in batch.facts:
            recorded = stored.recorded
            own = recorded.stream.partition("-")[0]
            if own in self._kinds:
                for tag in tags(recorded):
                    self._index.setdefault(tag, set()).add(ProcessRef.of(recorded.stream))
            for target in route(recorded):
                if isinstance(target, ProcessRef):
                    found = {target}
                else:
                    found = {ref for ref in self._index.get(target.tag, ()) if ref.kind == target.kind}
                woken.update(ref for ref in found if ref.kind in self._kinds and not self._has_planned_on(ref, recorded))
        return woken

    def _has_planned_on(self, ref: ProcessRef, recorded: Recorded) -> bool:
        """Whether the fact was in the log when the process was loaded last: above all what it wrote itself."""
        look = self.looks.get(ref)
        return look is not None and recorded.position <= look.loaded.watermark

    def _advance(self, ref: ProcessRef) -> None:
        quiet = self._rounds.until_quiet(ref, self.now)
        assert not quiet.stuck, f"{ref.kind} is stuck: {quiet.stuck}"
        self.looks[ref] = quiet.look
        plan = quiet.look.plan
        for effect in plan.effects:
            self._delivery.deliver(ref, effect.key, self.now, UNSURE_AFTER)
        if plan.done or plan.wake_at is None:
            self._wakes.pop(ref, None)
        else:
            self._wakes[ref] = plan.wake_at
