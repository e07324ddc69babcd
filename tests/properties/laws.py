"""The laws of design.md 3, each a function that runs a history and raises `Broken` with its name.

They know no plan: what is planned is asked of `domain.catalog.PROCESSES`, and compared with what the same facts gave otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

from domain.catalog import PROCESSES, decider_of
from domain.core import Context, Instant, Loaded, Obligation, ObligationState, Plan, ProcessRef, Recorded, Refusal
from domain.policy import PolicyBook
from domain.remembered import Notebook
from domain.requests import DeliveryBegun, MessageRequested
from simulation.memory import ROUNDS_MAX, Memory
from tests.given import LEAD, book, keep
from tests.golden.examples import bare
from tests.properties.histories import DAY, NEVER, History

STEPS_MAX = 80
OBLIGATIONS_MAX = 80
FACTS_MAX = 800
"""Of one plan, and of one process over a whole history: limits that no drawn history comes near unless something loops."""


class Broken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, why: str) -> None:
        super().__init__(f"{law}: {why}")
        self.law = law


@dataclass
class Watched(Memory):
    """A log in memory whose every advance is checked against quiet, agreed, live and bounded."""

    on_quiet: Callable[[Watched, ProcessRef, Plan], None] | None = None
    on_plan: Callable[[Watched, ProcessRef, Plan], None] | None = None
    used: set[tuple[str, str]] = field(default_factory=set)

    def looked(self, ref: ProcessRef) -> tuple[Any, Context]:
        state = self.load(ref.stream).state
        return state, self.context(ref, state, PROCESSES[ref.kind].reads)

    def advance(self, ref: ProcessRef) -> Plan:
        for _ in range(ROUNDS_MAX):
            state, context = self.looked(ref)
            plan = PROCESSES[ref.kind].plan(state, context, self.book, self.now)
            if self.on_plan is not None:
                self.on_plan(self, ref, plan)
            live(plan, self.now)
            bounded(plan, len(self.streams.get(ref.stream, ())))
            if not plan.steps:
                self.plans[ref] = plan
                if self.on_quiet is not None:
                    self.on_quiet(self, ref, plan)
                return plan
            agreed(plan, state, context, self.book, self.now, ref)
            for step in plan.steps:
                command_id = f"{ref.stream}/{step.key}"
                if command_id in self.remembered:
                    raise Broken("quiet", f"{step.key} was carried out before and is planned again")
                self.handle(step.command, command_id)
        raise Broken("quiet", f"steps after {ROUNDS_MAX} rounds: {[s.key for s in self.plan(ref).steps]}")


def run(history: History, *, asleep: tuple[bool, ...] = (), **watch: Any) -> Watched:
    """Live through a history. Where `asleep`, nothing runs between one fact and the next, however long that is."""
    memory = Watched(book(*history.policies), history.facts[0].recorded_at, carrier=history.carrier, **watch)
    for n, told in enumerate(history.facts):
        if n < len(asleep) and asleep[n]:
            memory.now = max(memory.now, told.recorded_at)
        else:
            memory.run_until(max(memory.now, told.recorded_at))
        keep(memory, told)
    memory.run_until(history.until)
    return memory


# --- of one plan ---------------------------------------------------------------------------------------------------------------


def live(plan: Plan, now: Instant) -> None:
    """Not done implies a step, an effect or a wake-up ahead."""
    if not plan.done and not plan.steps and not plan.effects and plan.wake_at is None:
        raise Broken("live", f"waits for {plan.waiting_for} and nothing wakes it")
    if plan.wake_at is not None and plan.wake_at <= now:
        raise Broken("live", f"wakes at {plan.wake_at}, and it is {now}")


def bounded(plan: Plan, written: int) -> None:
    if written > FACTS_MAX:
        raise Broken("bounded", f"{written} facts of one process")
    if len(plan.steps) > STEPS_MAX or len(plan.obligations) > OBLIGATIONS_MAX:
        raise Broken("bounded", f"{len(plan.steps)} steps, {len(plan.obligations)} obligations")


def agreed(plan: Plan, state: Any, context: Context, policies: PolicyBook, now: Instant, ref: ProcessRef) -> None:
    """Decide never refuses or ignores a step that was planned on the same state, context and now."""
    for step in plan.steps:
        stream = step.command.stream
        if stream != ref.stream and stream not in context:
            raise Broken("agreed", f"{step.key} is for a stream that the plan did not read")
        of = state if stream == ref.stream else context[stream].state
        decision = decider_of(stream).decide(step.command, of, context, policies, now)
        if isinstance(decision, Refusal) or not decision:
            raise Broken("agreed", f"{step.key}: {decision or 'nothing new'}")


# --- of a whole history --------------------------------------------------------------------------------------------------------


def quiet_agreed_live_bounded(history: History) -> None:
    """One run answers for four laws; `Broken.law` says which one fails."""
    run(history)


def punctual(history: History) -> None:
    """Between a quiet plan and its wake-up no step, effect or change of an obligation's state appears; after a plan that is done,
    never."""
    run(history, on_quiet=_punctual)


def _punctual(memory: Watched, ref: ProcessRef, plan: Plan) -> None:
    state, context = memory.looked(ref)
    standing, effects = _standing(plan), {effect.key for effect in plan.effects}
    for instant in _instants(memory.now, plan):
        then = PROCESSES[ref.kind].plan(state, context, memory.book, instant)
        if then.steps:
            raise Broken("punctual", f"a step {then.steps[0].key} at {instant}, quiet at {memory.now}, wake-up {plan.wake_at}")
        if {effect.key for effect in then.effects} - effects:
            raise Broken("punctual", f"an effect appears at {instant}, quiet at {memory.now}, wake-up {plan.wake_at}")
        if _standing(then) != standing:
            moved = _standing(then) ^ standing
            raise Broken("punctual", f"{sorted(moved)} at {instant}, quiet at {memory.now}, wake-up {plan.wake_at}")


def _instants(now: Instant, plan: Plan) -> Iterator[Instant]:
    if plan.done or plan.wake_at is None:
        yield from (now + n * DAY for n in (0.1, 1.3, 9, 95, 420))
        return
    span = plan.wake_at - now
    yield from (now + span * part for part in (0.3, 0.7))
    yield plan.wake_at - timedelta(microseconds=1)


def _standing(plan: Plan) -> frozenset[tuple[str, str, Instant]]:
    return frozenset((o.key, o.state.value, o.window.due) for o in plan.obligations)


def remembered(history: History) -> None:
    """What a process remembers of its last plans changes no plan: from nothing it is the same, at any instant, whichever was asked
    for before (domain.remembered). Not one of design.md's laws, but what lets a plan keep what it found."""
    run(history, on_plan=_remembered)


def _remembered(memory: Watched, ref: ProcessRef, plan: Plan) -> None:
    state, context = memory.looked(ref)
    for instant in (memory.now, (plan.wake_at or memory.now) + 3 * DAY, memory.now - 2 * DAY):
        now = PROCESSES[ref.kind].plan(state, context, memory.book, instant)
        from_nothing = PROCESSES[ref.kind].plan(replace(state, notebook=Notebook()), context, memory.book, instant)
        if now != from_nothing:
            differ = [f.name for f in fields(Plan) if getattr(now, f.name) != getattr(from_nothing, f.name)]
            raise Broken("remembered", f"{differ} at {instant}, planned at {memory.now}:\n{now}\n{from_nothing}")


def heeded(history: History) -> None:
    """What a process ignores never changes what it plans, but perhaps when it looks again: nobody need wake it."""
    run(history, on_quiet=_heeded)


def _heeded(memory: Watched, ref: ProcessRef, plan: Plan) -> None:
    state, context = memory.looked(ref)
    stream, ignores = f"episode-{ref.id}", PROCESSES[ref.kind].ignores
    if stream not in context or not ignores:
        return
    at = (memory.log[0].recorded_at, memory.now, memory.now + 3 * DAY)
    said = [Recorded(bare(kind), f"ignored-{n}", stream, 0, 0, t, None, t, LEAD) for n, kind in enumerate(ignores) for t in at]
    episode = decider_of(stream).evolve_all(context[stream].state, said)
    with_them = {**context, stream: Loaded(episode, 0)}
    then = PROCESSES[ref.kind].plan(replace(state, notebook=Notebook()), with_them, memory.book, memory.now)
    if replace(then, wake_at=plan.wake_at) != plan:
        raise Broken("heeded", f"of what {ref.kind} ignores comes {then} for {plan}")


def consent(history: History, allowed: Callable[[History, Instant, MessageRequested], bool]) -> None:
    """Nothing begins to be sent to a member after withdrawal, opt-out, decline or death were recorded."""
    memory = run(history)
    asked = {r.fact.key: r.fact for r in memory.streams.get(history.process, ()) if isinstance(r.fact, MessageRequested)}
    for recorded in memory.streams.get(history.process, ()):
        if isinstance(recorded.fact, DeliveryBegun):
            message = asked[recorded.fact.key]
            if message.recipient.startswith("member-") and not allowed(history, recorded.recorded_at, message):
                raise Broken("consent", f"{message.kind} begun at {recorded.recorded_at}")


ALERTS_OVER = 10 * DAY
"""A process that learned late tells somebody late, and ends after that: both runs are compared when no alert is under way."""


BY_MESSAGES = re.compile(r"outreach\.|initial_contact\.attempt|transition\.notice")
"""Rules whose verdict depends on what became of messages: another order of recording sends others; the rest is the same."""


def order(history: History, other: History, asleep: tuple[bool, ...] = ()) -> None:
    """The same outside facts, recorded in another order: the same obligations, misses and end."""
    until = max(history.until, other.until) + ALERTS_OVER
    one, another = _ended(run(history), history, until), _ended(run(other, asleep=asleep), other, until)
    if history.answers != (NEVER,):
        one, another = _whatever_was_sent(one), _whatever_was_sent(another)
    _same("order", one, another)


def _whatever_was_sent(found: frozenset[tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
    return frozenset(told for told in found if told[0] == "obligation" and not any(BY_MESSAGES.match(part) for part in told[1:3]))


def catch_up(history: History, asleep: tuple[bool, ...]) -> None:
    """Sleeping through wake-ups changes no verdict."""
    until = history.until + ALERTS_OVER
    _same("catch-up", _ended(run(history), history, until), _ended(run(history, asleep=asleep), history, until))


def _same(law: str, one: Any, other: Any) -> None:
    if one != other:
        raise Broken(law, f"\nonly here:  {sorted(one - other)}\nonly there: {sorted(other - one)}")


def _ended(memory: Watched, history: History, until: Instant) -> frozenset[tuple[str, ...]]:
    """Obligations, misses and end at an instant, by rule and cause; what the software wrote itself has no name of its own."""
    memory.run_until(until)
    ref = ProcessRef.of(history.process)
    state, plan = memory.load(history.process).state, memory.plan(ref)
    found = {("obligation", *_told(o)) for o in plan.obligations}
    for written in state.clocks.written.values():
        if written.missed is not None and written.due.rule not in SINCE_ASKED:
            found.add(("miss", _named(written.due.key), str(written.missed.due_at)))
    found.add(("end", str(plan.done)))
    return frozenset(found)


OWN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SINCE_ASKED = (
    "outreach.review.approval", "outreach.review.new_episode", "outreach.decide_unable_to_reach", "transition.approval",
    "transition.contradiction",
)  # fmt: skip
"""Rules whose clock begins when the software asked somebody, which depends on when it learned or looked: only that they are owed is
compared, not since when."""


def _named(key: str) -> str:
    return OWN_ID.sub("own", key)


def _told(o: Obligation) -> tuple[str, ...]:
    if o.because.rule in SINCE_ASKED:
        return (o.because.rule,)
    return (_named(o.key), o.because.rule, o.state.value, str(o.window), str(o.governing), str(o.suspended))


# --- verdicts ------------------------------------------------------------------------------------------------------------------

VERDICTS = {
    ObligationState.MET: "met",
    ObligationState.MET_LATE: "missed",
    ObligationState.MISSED: "missed",
    ObligationState.WITHDRAWN: "withdrawn",
    ObligationState.OPEN: "open",
    ObligationState.INFEASIBLE: "infeasible",
}


def verdicts(memory: Memory, process: str) -> dict[str, tuple[str, Instant]]:
    """Of every written due: the verdict, and the due itself."""
    state, plan = memory.load(process).state, memory.plan(ProcessRef.of(process))
    return {o.key: (VERDICTS[o.state], o.window.due) for o in plan.obligations if o.key in state.clocks.written}


def final(history: History, corrects: Callable[[History, Any, Instant], bool]) -> None:
    """Facts at or after a due never change its verdict, corrections apart: without them it is the same. The due of a clock that
    rested then had not come."""
    ref = ProcessRef.of(history.process)
    whole = verdicts(run(history), history.process)
    decided = {key: found for key, found in whole.items() if found[0] in ("met", "missed") and not OWN_ID.search(key)}
    runs: dict[tuple[str | None, ...], Watched] = {}
    for due in sorted({due for _, due in decided.values()}):
        later = tuple(f.id for f in history.drawn if f.at >= due and not corrects(history, f, due))
        if not later:
            continue
        memory = runs[later] = runs.get(later) or run(history.without(*later))
        before = verdicts(memory, history.process)
        ran = {o.key for o in memory.plan(ref, due).obligations if not o.suspended}
        for key, found in decided.items():
            verdict = before[key][0] if key in before else "nothing"
            if found[1] == due and verdict != found[0] and (key in ran or key not in before):
                raise Broken("final", f"{key}: {found} with what came after the due, {verdict} without")


def oracle(history: History, judge: Callable[[History], dict[str, str]], complete: tuple[str, ...] = ()) -> None:
    """Verdicts equal those of an independent judge, who knows every due whose key begins with one of `complete`. What has left the
    plan's sight (written, not withdrawn, looked at no more) is not compared."""
    memory = run(history)
    found, judged = verdicts(memory, history.process), judge(history)
    written = memory.load(history.process).state.clocks.written
    for key, verdict in judged.items():
        past = key in written and key not in found and written[key].withdrawn is None
        if found.get(key, ("none", None))[0] != verdict and not past:
            raise Broken("oracle", f"{key}: the plan says {found.get(key)}, the judge {verdict}")
    for key in found if judged else ():
        if key.startswith(complete) and key not in judged:
            raise Broken("oracle", f"{key}: the plan says {found[key]}, the judge knows of nothing")
