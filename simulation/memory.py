"""The log in memory and the shell as a loop: the same core as in production, on a virtual clock (design.md 2).

Property tests, scenarios and what-if run on it. It keeps the rules of the real log that the core relies on: versions, command
memory, `recorded_at` never going back. Nothing here is durable.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain.catalog import PROCESSES, decider_of
from domain.core import (
    READ_ROUNDS,
    SYSTEM,
    Command,
    Context,
    Decision,
    Effect,
    EventId,
    Instant,
    Loaded,
    On,
    Plan,
    ProcessRef,
    Recorded,
    Refusal,
    StreamId,
    fold,
)
from domain.policy import PolicyBook
from domain.requests import DeliveryBegun, KeepRequest, MessageRequested, RequestFact, RequestState
from domain.routing import route, tags, ties

ROUNDS_MAX = 8
"""Rounds of planning until a process must be quiet (design.md 4)."""

WAKES_MAX = 20_000


Carrier = Callable[[MessageRequested], tuple[RequestFact, ...] | None]
"""The outside world of the senders: what becomes of a message that was begun; None where nobody takes it up."""


class Unsettled(AssertionError):
    """A process that is not quiet after `ROUNDS_MAX` rounds, or a step that was refused: a defect of its plan."""


@dataclass
class Memory:
    """A log, a clock and the processes that were woken.

    `run_until` moves the clock and lets every process act at each instant at which it wants to wake. `carrier` answers for
    the outside world; without one no message is ever taken up. `woken` and `index` are used as sets that keep their order: the
    same facts give the same log."""

    book: PolicyBook
    now: Instant
    log: list[Recorded] = field(default_factory=list)
    streams: dict[StreamId, list[Recorded]] = field(default_factory=dict)
    folded: dict[StreamId, Loaded] = field(default_factory=dict)
    remembered: dict[str, Decision] = field(default_factory=dict)
    plans: dict[ProcessRef, Plan] = field(default_factory=dict)
    index: dict[str, dict[ProcessRef, None]] = field(default_factory=dict)
    tied: dict[str, set[str]] = field(default_factory=dict)
    woken: dict[ProcessRef, None] = field(default_factory=dict)
    wakes: list[tuple[Instant, str, ProcessRef]] = field(default_factory=list)
    read: dict[ProcessRef, tuple[StreamId, ...]] = field(default_factory=dict)
    carrier: Carrier | None = None
    plans_made: int = 0

    # --- the log ---

    def load(self, stream: StreamId, known_at: Instant | None = None) -> Loaded:
        """The state of a stream as it is, or as it was known at an instant."""
        if known_at is None and (loaded := self.folded.get(stream)) is not None:
            return loaded
        decider = decider_of(stream)
        if known_at is None:
            return Loaded(decider.initial(stream), 0)
        return fold(decider, stream, (r for r in self.streams.get(stream, ()) if r.recorded_at <= known_at))

    def context(self, wanted: Any, state: Any, reads: Any) -> Context:
        """The streams that a command or process reads, asked repeatedly as in production."""
        context: dict[StreamId, Loaded] = {}
        for _ in range(READ_ROUNDS):
            missing = [s for s in reads(wanted, state, context) if s not in context]
            if not missing:
                return context
            context.update({stream: self.load(stream) for stream in missing})
        assert not [s for s in reads(wanted, state, context) if s not in context], "reads asks for more than READ_ROUNDS rounds"
        return context

    def around(self, ref: ProcessRef, state: Any) -> Context:
        """The streams that a process reads: those that it read last, unless it asks for others now."""
        reads, last = PROCESSES[ref.kind].reads, self.read.get(ref)
        if last is not None:
            folded = self.folded
            context = {stream: folded.get(stream) or self.load(stream) for stream in last}
            if reads(ref, state, context) == last:
                return context
        context = dict(self.context(ref, state, reads))
        self.read[ref] = reads(ref, state, context)
        return context

    def handle(self, command: Command, command_id: str | None = None) -> Decision:
        """Decide a command and keep its facts; a command id that is known returns its first result."""
        if command_id is not None and command_id in self.remembered:
            return ()
        decider = decider_of(command.stream)
        state = self.load(command.stream).state
        decision = decider.decide(command, state, self.context(command, state, decider.reads), self.book, self.now)
        if isinstance(decision, Refusal):
            return decision
        if command_id is not None and decision:
            self.remembered[command_id] = decision
        for fact in decision:
            stream, written, at = (
                (fact.stream, fact.fact, fact.occurred_at) if isinstance(fact, On) else (command.stream, fact, None)
            )
            self.keep(
                stream,
                written,
                at=at or command.occurred_at or self.now,
                by=command.by,
                said_at=command.said_at,
                message_id=command.message_id,
            )
        return decision

    def keep(
        self,
        stream: StreamId,
        fact: Any,
        *,
        at: Instant,
        by: str,
        said_at: Instant | None = None,
        message_id: str | None = None,
        event_id: EventId | None = None,
    ) -> Recorded:
        """Append a fact undecided, recorded now, and wake whom it concerns."""
        history = self.streams.setdefault(stream, [])
        recorded = Recorded(
            fact=fact,
            event_id=event_id or f"{stream}/{len(history) + 1}",
            stream=stream,
            version=len(history) + 1,
            position=len(self.log) + 1,
            occurred_at=at,
            said_at=said_at,
            recorded_at=self.now,
            actor=by,
            message_id=message_id,
        )
        history.append(recorded)
        self.log.append(recorded)
        self.folded[stream] = Loaded(decider_of(stream).evolve(self.load(stream).state, recorded), recorded.version)
        self._route(recorded)
        return recorded

    def _route(self, recorded: Recorded) -> None:
        kind, _, id = recorded.stream.partition("-")
        for tag in tags(recorded):
            self.index.setdefault(tag, {})[ProcessRef(kind, id)] = None
        for stream in ties(recorded):
            self.tied.setdefault(stream, set()).add(recorded.stream)
        for target in route(recorded):
            found = (target,) if isinstance(target, ProcessRef) else self._tagged(target.tag)
            self.woken.update(dict.fromkeys(p for p in found if p.kind == target.kind and p.kind in PROCESSES))

    def _tagged(self, tag: str) -> dict[ProcessRef, None]:
        """The processes of a tag, and of the streams that it is tied to."""
        reached, found = {tag: None}, dict(self.index.get(tag, {}))
        waiting = [tag]
        while waiting:
            fresh = [stream for stream in self.tied.get(waiting.pop(), ()) if stream not in reached]
            for stream in fresh:
                reached[stream] = None
                found |= self.index.get(stream, {})
            waiting += fresh
        return found

    # --- the shell ---

    def plan(self, ref: ProcessRef, now: Instant | None = None) -> Plan:
        process = PROCESSES[ref.kind]
        state = self.load(ref.stream).state
        self.plans_made += 1
        return process.plan(state, self.around(ref, state), self.book, now or self.now)

    def advance(self, ref: ProcessRef) -> Plan:
        """Carry out the steps of a process until it is quiet."""
        for _ in range(ROUNDS_MAX):
            plan = self.plan(ref)
            if not plan.steps:
                self.plans[ref] = plan
                return plan
            for step in plan.steps:
                before = len(self.log)
                decision = self.handle(step.command, f"{ref.stream}/{step.key}")
                if isinstance(decision, Refusal) or len(self.log) == before:
                    raise Unsettled(f"{step.key}: {decision}")
        raise Unsettled(f"{ref.kind}: steps after {ROUNDS_MAX} rounds: {[s.key for s in self.plan(ref).steps]}")

    def settle(self) -> None:
        """Let every woken process act until none is left."""
        for _ in range(WAKES_MAX):
            if not self.woken:
                return
            ref = next(iter(self.woken))
            plan = self.advance(ref)
            planned_on = len(self.log)
            self.woken.pop(ref, None)  # what it wrote itself it has planned on
            if plan.wake_at is not None and not plan.done:
                heapq.heappush(self.wakes, (plan.wake_at, ref.stream, ref))
            for effect in plan.effects:
                self._deliver(ref, effect, planned_on)
        raise Unsettled("the processes keep waking each other")

    def _deliver(self, ref: ProcessRef, effect: Effect, planned_on: int) -> None:
        """Begin what is still listed, and write what became of it. `planned_on`: how long the log was when it was listed."""
        request = self.load(ref.stream).state.requests.by_key[effect.key]
        outcome = self.carrier(request.asked) if self.carrier is not None and request.state is RequestState.REQUESTED else None
        if outcome is None:
            return
        if len(self.log) > planned_on and effect.key not in {listed.key for listed in self.plan(ref).effects}:
            return
        for fact in (DeliveryBegun(key=effect.key), *outcome):
            self.handle(KeepRequest(stream=ref.stream, by=SYSTEM, occurred_at=self.now, fact=fact))

    def wake_due(self) -> None:
        """Wake whoever wanted to by now."""
        while self.wakes and self.wakes[0][0] <= self.now:
            at, _, ref = heapq.heappop(self.wakes)
            if self.plans[ref].wake_at == at:
                self.woken[ref] = None

    def next_wake(self) -> Instant | None:
        """The earliest instant at which a process wants to wake; what it wanted before its last plan does not count."""
        while self.wakes and self.plans[self.wakes[0][2]].wake_at != self.wakes[0][0]:
            heapq.heappop(self.wakes)
        return self.wakes[0][0] if self.wakes else None

    def run_until(self, until: Instant) -> None:
        """Move the clock to an instant, waking processes on the way."""
        self.settle()
        for _ in range(WAKES_MAX):
            wake_at = self.next_wake()
            if wake_at is None or wake_at > until:
                break
            self.now = max(self.now, wake_at)
            self.wake_due()
            self.settle()
        else:
            raise Unsettled("a process wakes too often")
        self.now = max(self.now, until)
        self.wake_due()
        self.settle()

    def run_for(self, duration: timedelta) -> None:
        self.run_until(self.now + duration)

    def facts(self, stream: StreamId, *kinds: type) -> list[Any]:
        return [r.fact for r in self.streams.get(stream, ()) if not kinds or isinstance(r.fact, kinds)]

    def obligations(self) -> Iterable[tuple[ProcessRef, Any]]:
        return ((ref, owed) for ref, plan in self.plans.items() for owed in plan.obligations)
