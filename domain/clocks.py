"""Deadlines as facts: what every process does with the clocks that its timeline implies (design.md 3, points 1 and 2).

A process enumerates its `Clock`s, past ones included. `keep` compares them with the dues written in its stream, proposes the facts
that are missing, and judges each written due. Which clocks there are is the process's business and not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, assert_never

from domain.core import (
    SYSTEM,
    Alarm,
    Because,
    Command,
    EventId,
    Fact,
    Instant,
    Obligation,
    ObligationState,
    Recorded,
    Step,
    StreamId,
    Window,
)

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """The due that another start or basis would have given; shown to auditors, governs nothing."""

    name: str
    due_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSet(Fact):
    """A promise got its instant, under a rule of a policy version. `generation` counts how often this due was written."""

    key: str
    rule: str
    generation: int
    opens_at: Instant
    due_at: Instant
    closes_at: Instant
    policy: str
    cause: tuple[EventId, ...]
    governing: bool = True
    variants: tuple[Variant, ...] = ()
    late_on_arrival: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWithdrawn(Fact):
    """Nothing is owed any more under this due; the reason is the fact that stopped it."""

    key: str
    rule: str
    reason: str
    stopped_by: tuple[EventId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineMissed(Fact):
    """The due passed unmet; `occurred_at` of the record is the due itself. `learned_at` is when we knew of what we owed: after the
    due where `late_on_arrival`."""

    key: str
    rule: str
    due_at: Instant
    policy: str
    governing: bool
    late_on_arrival: bool
    learned_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class MissWithdrawn(Fact):
    """A miss turned out not to be one: something from before the due became known, or the due itself moved."""

    key: str
    rule: str
    due_at: Instant
    reason: str
    evidence: tuple[EventId, ...] = ()


ClockFact = DueSet | DueWithdrawn | DeadlineMissed | MissWithdrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepClock(Command):
    """Write what a plan found out about a due."""

    fact: ClockFact


# --- state ---------------------------------------------------------------------------------------------------------------------


class WrittenDue(NamedTuple):
    """What the stream says of one due: the last `DueSet` and what became of it. Quickly made, as every load makes hundreds."""

    due: DueSet
    set_by: EventId
    withdrawn: DueWithdrawn | None = None
    missed: DeadlineMissed | None = None
    missed_known_at: Instant | None = None
    facts_ever: int = 1


@dataclass(frozen=True, slots=True)
class Clocks:
    """All dues ever written in a stream, by key."""

    written: Mapping[str, WrittenDue] = field(default_factory=dict)

    def evolve(self, recorded: Recorded) -> Clocks:
        return self.evolve_all((recorded,))

    def evolve_all(self, history: Iterable[Recorded]) -> Clocks:
        written = dict(self.written)
        for recorded in history:
            fact = recorded.fact
            old = written.get(fact.key)
            if old is not None:
                written[fact.key] = _evolved(old, fact, recorded)
            elif isinstance(fact, DueSet):
                written[fact.key] = WrittenDue(fact, recorded.event_id)
        return Clocks(written)

    def decide(self, fact: ClockFact) -> tuple[Fact, ...]:
        """The fact, or nothing where the stream already says so."""
        old = self.written.get(fact.key)
        match fact:
            case DueSet():
                already = old is not None and old.withdrawn is None and _same_due(old.due, fact)
            case DueWithdrawn():
                already = old is None or old.withdrawn is not None
            case DeadlineMissed():
                already = old is None or (old.missed is not None and old.missed.due_at == fact.due_at)
            case MissWithdrawn():
                already = old is None or old.missed is None
            case _:
                assert_never(fact)
        return () if already else (fact,)


def _evolved(old: WrittenDue, fact: ClockFact, recorded: Recorded) -> WrittenDue:
    ever = old.facts_ever + 1
    match fact:
        case DueSet():
            return old._replace(due=fact, set_by=recorded.event_id, withdrawn=None, facts_ever=ever)
        case DueWithdrawn():
            return old._replace(withdrawn=fact, facts_ever=ever)
        case DeadlineMissed():
            return old._replace(missed=fact, missed_known_at=recorded.recorded_at, facts_ever=ever)
        case MissWithdrawn():
            return old._replace(missed=None, missed_known_at=None, facts_ever=ever)
        case _:
            assert_never(fact)


def _same_due(a: DueSet, b: DueSet) -> bool:
    return a == b or replace(a, generation=b.generation) == b


# --- planning ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One promise that the timeline of outside facts implies, whatever is written of it so far.

    `key` names rule and cause. `met_at`/`met_by`: the first thing that satisfies it (None: nothing yet); only what has occurred by
    now may be given. `stopped_at`: the instant from which nothing is owed. `suspended_since`: the clock rests from then until
    further notice. `known_at` is when the cause was recorded; `backdated` says that by another start the due had passed
    before we knew of it. `owed_by`: empty where it is owed by whoever is there now, which no timeline implies: `keep` is told.
    """

    key: str
    rule: str
    window: Window
    policy: str
    cause: tuple[EventId, ...]
    known_at: Instant
    subject: StreamId
    owed_by: str = ""
    met_at: Instant | None = None
    met_by: EventId | None = None
    stopped_at: Instant | None = None
    stopped_by: EventId | None = None
    stop_reason: str = ""
    suspended_since: Instant | None = None
    governing: bool = True
    variants: tuple[Variant, ...] = ()
    backdated: bool = False
    act_by: Instant | None = None
    how: str = ""
    feasible: bool = True

    @property
    def as_due(self) -> DueSet:
        return DueSet(
            key=self.key,
            rule=self.rule,
            generation=0,
            opens_at=self.window.opens,
            due_at=self.window.due,
            closes_at=self.window.closes,
            policy=self.policy,
            cause=self.cause,
            governing=self.governing,
            variants=self.variants,
            late_on_arrival=self.backdated or self.known_at >= self.window.due,
        )

    def says(self, due: DueSet) -> bool:
        """Whether a written due of its key is what it implies; how it arrived stays as it was written."""
        return (
            self.window.due == due.due_at
            and self.window.opens == due.opens_at
            and self.window.closes == due.closes_at
            and self.policy == due.policy
            and self.cause == due.cause
            and self.governing == due.governing
            and self.variants == due.variants
            and self.rule == due.rule
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What `keep` found: the steps that bring the written dues up to date, and the obligations that the written dues are."""

    steps: tuple[Step, ...]
    obligations: tuple[Obligation, ...]


def keep(stream: StreamId, clocks: Iterable[Clock], ledger: Clocks, alarm: Alarm, owner: str = "") -> Kept:
    """Compare the clocks that should run with the dues that are written, and judge the written ones at `alarm.now`. `owner`: by
    whom is owed what the clock does not say of."""
    running = tuple(clocks)
    return alarm.as_before("kept", lambda: _keep(stream, running, ledger, alarm, owner), running, ledger, owner)


def _keep(stream: StreamId, clocks: tuple[Clock, ...], ledger: Clocks, alarm: Alarm, owner: str) -> Kept:
    steps: list[Step] = []
    obligations: list[Obligation] = []
    implied: set[str] = set()
    written = ledger.written
    for clock in clocks:
        key = clock.key
        assert key not in implied, f"two clocks share a key: {clock.rule}"
        implied.add(key)
        due = written.get(key)
        obligation, more = alarm.as_before(key, partial(_compared, stream, clock, due, owner, alarm), clock, due, owner)
        steps.extend(more)
        if obligation is not None:
            obligations.append(obligation)
    for key, due in written.items():
        if key not in implied:
            steps.extend(_forget(stream, due, alarm))
    return Kept(tuple(steps), tuple(obligations))


Compared = tuple[Obligation | None, tuple[Step, ...]]
"""The obligation that a written due is, and what is to be written of it. What is past stays judged."""


def _compared(stream: StreamId, clock: Clock, written: WrittenDue | None, owner: str, alarm: Alarm) -> Compared:
    if written is None:
        return None, (_step(stream, clock.as_due, 0, alarm.now),)
    if not clock.says(written.due):
        ever, late = written.facts_ever, written.due.late_on_arrival
        return None, (_step(stream, replace(clock.as_due, generation=ever, late_on_arrival=late), ever, alarm.now),)
    obligation = _judge(clock, written, alarm, owner)
    return obligation, tuple(_verdict_steps(stream, clock, written, obligation.state, alarm))


def _judge(clock: Clock, written: WrittenDue, alarm: Alarm, owner: str = "") -> Obligation:
    due, window = written.due, clock.window  # the clock says what is written, or it is not judged yet
    met_at = clock.met_at
    stopped = clock.stopped_at is not None and alarm.reached(clock.stopped_at)
    rests_at = clock.suspended_since
    if met_at is not None and stopped and clock.stopped_at is not None and met_at > clock.stopped_at:
        met_at = None
    if met_at is not None and _before_due(met_at, rests_at, window):
        state = ObligationState.MET
    elif stopped and clock.stopped_at is not None and _before_due(clock.stopped_at, rests_at, window):
        state = ObligationState.WITHDRAWN
    elif rests_at is not None and rests_at < window.due:
        state = ObligationState.OPEN
    elif not alarm.reached(window.due):
        state = ObligationState.OPEN if clock.feasible else ObligationState.INFEASIBLE
    elif met_at is not None and met_at < window.closes:
        state = ObligationState.MET_LATE
    else:
        state = ObligationState.MISSED
    suspended = state is ObligationState.OPEN and rests_at is not None
    if state is ObligationState.OPEN:
        alarm.reached(window.opens)
    return Obligation(
        key=clock.key,
        window=window,
        act_by=min(clock.act_by or window.due, window.due),
        state=state,
        owed_by=clock.owed_by or owner,
        because=Because(
            rule=clock.rule,
            policy=due.policy,
            facts=tuple(dict.fromkeys((*due.cause, *_evidence(clock, met_at, state)))),
            reason=clock.stop_reason if state is ObligationState.WITHDRAWN else "",
        ),
        subject=clock.subject,
        governing=clock.governing,
        suspended=suspended,
        met_at=met_at if state in (ObligationState.MET, ObligationState.MET_LATE) else None,
        how=clock.how,
    )


def _before_due(at: Instant, rests_at: Instant | None, window: Window) -> bool:
    """Whether something came before the due; that of a clock that rests has not come."""
    return at < window.due or (rests_at is not None and rests_at < window.due and rests_at <= at)


def _evidence(clock: Clock, met_at: Instant | None, state: ObligationState) -> tuple[EventId, ...]:
    if met_at is not None and clock.met_by is not None:
        return (clock.met_by,)
    if state is ObligationState.WITHDRAWN and clock.stopped_by is not None:
        return (clock.stopped_by,)
    return ()


def _verdict_steps(stream: StreamId, clock: Clock, written: WrittenDue, state: ObligationState, alarm: Alarm) -> Iterable[Step]:
    due, generation = written.due, written.facts_ever
    missed = state in (ObligationState.MISSED, ObligationState.MET_LATE)
    if written.missed is not None and (not missed or written.missed.due_at != due.due_at):
        missed_due = written.missed.due_at
        reason = "due_moved" if missed_due != due.due_at else "learned_late" if clock.met_by else clock.stop_reason or "corrected"
        evidence = tuple(e for e in (clock.met_by or clock.stopped_by,) if e is not None)
        withdrawal = MissWithdrawn(key=due.key, rule=due.rule, due_at=missed_due, reason=reason, evidence=evidence)
        yield _step(stream, withdrawal, generation, alarm.now)
    elif missed and written.missed is None:
        yield _step(
            stream,
            DeadlineMissed(
                key=due.key,
                rule=due.rule,
                due_at=due.due_at,
                policy=due.policy,
                governing=due.governing,
                late_on_arrival=clock.known_at >= due.due_at,
                learned_at=clock.known_at,
            ),
            generation,
            due.due_at,
        )
    elif state is ObligationState.WITHDRAWN and written.withdrawn is None:
        stopped_by = (clock.stopped_by,) if clock.stopped_by else ()
        fact_ = DueWithdrawn(key=due.key, rule=due.rule, reason=clock.stop_reason, stopped_by=stopped_by)
        yield _step(stream, fact_, generation, alarm.now)
    elif state is not ObligationState.WITHDRAWN and written.withdrawn is not None:
        yield _step(stream, replace(due, generation=generation), generation, alarm.now)


def _forget(stream: StreamId, written: WrittenDue, alarm: Alarm) -> Iterable[Step]:
    """A due whose cause is gone: it is withdrawn, and so is its miss."""
    due, generation = written.due, written.facts_ever
    if written.missed is not None:
        miss = MissWithdrawn(key=due.key, rule=due.rule, due_at=written.missed.due_at, reason="cause_gone")
        yield _step(stream, miss, generation, alarm.now)
    elif written.withdrawn is None:
        yield _step(stream, DueWithdrawn(key=due.key, rule=due.rule, reason="cause_gone"), generation, alarm.now)


def _step(stream: StreamId, fact: ClockFact, generation: int, as_of: Instant) -> Step:
    key = f"{type(fact).__name__}/{fact.key}/{generation}"
    return Step(key, KeepClock(stream=stream, by=SYSTEM, occurred_at=as_of, fact=fact), as_of)
