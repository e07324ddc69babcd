"""The log in memory that keeps in mind what its plans said: which promises were kept late, and which could not be kept at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.core import Obligation, ObligationState, Plan, ProcessRef, StreamId
from domain.requests import MessageRequested, MessageSent, RequestFact
from simulation.memory import Memory

WITH_CLOCKS = ("outreach", "transition", "followup")


@dataclass(frozen=True, slots=True)
class Promises:
    """What became of the promises of one rule."""

    rule: str
    met: int = 0
    met_late: int = 0
    missed: int = 0
    infeasible: int = 0
    withdrawn: int = 0
    open: int = 0

    @property
    def judged(self) -> int:
        return self.met + self.met_late + self.missed + self.infeasible

    @property
    def met_share(self) -> float | None:
        """Of those that came due, how many were met in time; None where none did."""
        return self.met / self.judged if self.judged else None


def in_all(of: tuple[Promises, ...]) -> Promises:
    """All rules together."""
    return Promises("all", **{state.value: sum(getattr(p, state.value) for p in of) for state in ObligationState})


def always_sent(asked: MessageRequested) -> tuple[RequestFact, ...]:
    """Every channel takes every message."""
    return (MessageSent(key=asked.key),)


@dataclass
class Core(Memory):
    """`seen` is told of every plan that owes anything else than the one before."""

    seen: Callable[[ProcessRef, Plan], None] | None = None
    shown: dict[ProcessRef, tuple[Obligation, ...]] = field(default_factory=dict)
    late: set[tuple[StreamId, str]] = field(default_factory=set)
    infeasible: set[tuple[StreamId, str]] = field(default_factory=set)

    def advance(self, ref: ProcessRef) -> Plan:
        plan = super().advance(ref)
        if plan.obligations is self.shown.get(ref):
            return plan
        self.shown[ref] = plan.obligations
        for owed in plan.obligations:
            if owed.state is ObligationState.MET_LATE:
                self.late.add((ref.stream, owed.key))
            elif owed.state is ObligationState.INFEASIBLE:
                self.infeasible.add((ref.stream, owed.key))
        if self.seen is not None:
            self.seen(ref, plan)
        return plan

    def verdicts(self) -> dict[tuple[StreamId, str], tuple[str, ObligationState]]:
        """What became of each written due that governs, with its rule. Done late is what a plan said so of, as long as the miss
        stands; neither missed nor withdrawn is met, unless the last plan says that it is open."""
        plans = self.plans.items()
        still_open = {(ref.stream, o.key) for ref, plan in plans for o in plan.obligations if o.state is ObligationState.OPEN}
        found: dict[tuple[StreamId, str], tuple[str, ObligationState]] = {}
        for stream, loaded in self.folded.items():
            if stream.partition("-")[0] not in WITH_CLOCKS:
                continue
            for key, written in loaded.state.clocks.written.items():
                owed = (stream, key)
                if written.missed is not None:
                    state = ObligationState.MET_LATE if owed in self.late else ObligationState.MISSED
                elif written.withdrawn is not None:
                    state = ObligationState.WITHDRAWN
                elif owed in self.infeasible:
                    state = ObligationState.INFEASIBLE
                else:
                    state = ObligationState.OPEN if owed in still_open else ObligationState.MET
                if written.due.governing:
                    found[owed] = (written.due.rule, state)
        return found

    def promises(self) -> tuple[Promises, ...]:
        """How many of each rule came out how."""
        counts = Counter(self.verdicts().values())
        rules = sorted({rule for rule, _ in counts})
        return tuple(Promises(rule, **{state.value: counts[rule, state] for state in ObligationState}) for rule in rules)
