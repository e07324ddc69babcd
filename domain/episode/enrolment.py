"""From the assignment to the benefit: the steps of an enrolment, and what stands in its way (domain.md 2.5, 2.8, 2.12).

Consent is never a gate. The steps may come in any order and all in one visit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import assert_never

from domain.calendar import local_date
from domain.core import Command, Context, Decision, EventId, Fact, Instant, Refusal, personal
from domain.episode.assessments import AssessmentCompleted
from domain.episode.facts import DeferralAgreed, MemberEnrolled
from domain.episode.state import Episode, zone_of
from domain.interactions import SYNCHRONOUS
from domain.member.circumstances import Circumstance, Circumstances
from domain.member.decider import Member
from domain.timeline import Entry, Timeline, until

# --- facts ---------------------------------------------------------------------------------------------------------------------


class EnrolmentStep(StrEnum):
    SCREENING = "screening"
    ASSESSMENT = "assessment"
    AGREEMENT_DOCUMENTS = "agreement_documents"
    FIRST_APPOINTMENT = "first_appointment"


class Conflict(StrEnum):
    """What an enrolment waits for, or an enrolled member's care is questioned by, until a person settles it."""

    OTHER_PROVIDER = "other_provider"
    EXCLUSIVE_PROGRAMME = "exclusive_programme"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentStepDone(Fact):
    """`how`: in_person, phone, video; the lead care manager's first appointment is one of the steps."""

    step: EnrolmentStep
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningAnswered(Fact):
    """A short questionnaire. `questions` and `scores` belong together by place; a rule looks at single scores or at their sum."""

    questionnaire: str
    questions: tuple[str, ...]
    scores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTierReported(Fact):
    """The plan's own tier, kept beside ours and never overwritten by it."""

    tier: str
    learned_from: str = "plan_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictRaised(Fact):
    """`programme`: which exclusive programme, or which provider's authorisation; `checked_on`: the day on which that was looked
    up."""

    conflict: Conflict
    programme: str = ""
    checked_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictSettled(Fact):
    """`raised` names the conflict; `outcome`: ours, theirs, no_conflict, member_chose_us, member_chose_other."""

    raised: EventId
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceExplained(Fact):
    """The member was told what each programme offers and that it is one or the other (domain.md scenario 37)."""

    raised: EventId
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChangeRequested(Fact):
    """The member wants another ECM provider: thirty days, and services go on meanwhile (domain.md scenario 67)."""

    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChangeSettled(Fact):
    """`outcome`: changed, stays, withdrawn."""

    requested: EventId
    outcome: str


EnrolmentFact = (
    EnrolmentStepDone
    | ScreeningAnswered
    | PlanTierReported
    | ConflictRaised
    | ConflictSettled
    | ChoiceExplained
    | ProviderChangeRequested
    | ProviderChangeSettled
)


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEnrolmentVisit(Command):
    """What one meeting or call got done: any of the steps, in any order, all of them if need be. `how`: in_person, phone, video."""

    steps: tuple[EnrolmentStep, ...]
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScreening(Command):
    """`questions` and `scores` belong together by place."""

    questionnaire: str
    questions: tuple[str, ...]
    scores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlanTier(Command):
    tier: str
    learned_from: str = "plan_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseConflict(Command):
    """`programme`: one of PROGRAMMES, or the other provider whose authorisation is open."""

    conflict: Conflict
    programme: str = ""
    checked_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleConflict(Command):
    """`raised`: the fact that raised it; empty where only one is open. `outcome`: one of OUTCOMES of its kind."""

    outcome: str
    raised: EventId = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainChoice(Command):
    """`raised`: the fact that raised the conflict; empty where only one is open."""

    raised: EventId = ""
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProviderChange(Command):
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleProviderChange(Command):
    """`requested`: the fact by which it was asked for; empty for the open one. `outcome`: changed, stays, withdrawn."""

    outcome: str
    requested: EventId = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(Command):
    """`agreed`: verbal or written; `how`: in_person, phone, video, where that was said."""

    agreed: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer(Command):
    until: date


EnrolmentCommand = (
    RecordEnrolmentVisit
    | AnswerScreening
    | ReportPlanTier
    | RaiseConflict
    | SettleConflict
    | ExplainChoice
    | RequestProviderChange
    | SettleProviderChange
    | Enrol
    | Defer
)
QUESTIONS_MAX = 200
"""Questions of one screening; an assessment is another thing."""

SCORE_MAX = 1_000
AGREEMENTS = ("verbal", "written")
PROVIDER_CHANGE_OUTCOMES = ("changed", "stays", "withdrawn")

OUTCOMES = {
    Conflict.OTHER_PROVIDER: ("ours", "theirs", "no_conflict"),
    Conflict.EXCLUSIVE_PROGRAMME: ("member_chose_us", "member_chose_other", "no_conflict"),
}
FOR_THE_OTHERS = ("theirs", "member_chose_other")
"""Outcomes after which the member is not ours to care for."""

EXCLUSIVE = {
    Circumstance.IN_HOSPICE: "hospice",
    Circumstance.IN_1915C_WAIVER: "1915c_waiver",
    Circumstance.IN_PACE: "pace",
    Circumstance.IN_INTEGRATED_DUAL_PLAN: "integrated_dual_plan",
    Circumstance.IN_COMPLEX_CARE_MANAGEMENT: "complex_care_management",
}
"""The circumstances of a member that exclude enhanced care management, and the programme of each (domain.md 2.8)."""

PROGRAMMES = (*EXCLUSIVE.values(), "community_transitions", "family_mosaic", "targeted_case_management")


# --- what is known -------------------------------------------------------------------------------------------------------------


def steps_done(said: Timeline) -> dict[EnrolmentStep, EventId]:
    """The steps of the enrolment that are done, each with the first fact that shows it: said so at a visit, or the thing itself."""
    found: dict[EnrolmentStep, EventId] = {}
    for entry in said:
        match entry.fact:
            case EnrolmentStepDone(step=step):
                found.setdefault(step, entry.event_id)
            case ScreeningAnswered():
                found.setdefault(EnrolmentStep.SCREENING, entry.event_id)
            case AssessmentCompleted():
                found.setdefault(EnrolmentStep.ASSESSMENT, entry.event_id)
            case MemberEnrolled(agreed="written" | "carried_over"):
                found.setdefault(EnrolmentStep.AGREEMENT_DOCUMENTS, entry.event_id)
    return found


def undone_steps(said: Timeline) -> tuple[EnrolmentStep, ...]:
    done = steps_done(said)
    return tuple(step for step in EnrolmentStep if step not in done)


@dataclass(frozen=True, slots=True)
class RaisedConflict:
    """A conflict and what became of it: the last settlement counts."""

    raised: Entry
    settled: Entry | None = None
    explained: Entry | None = None

    @property
    def lost(self) -> bool:
        return self.settled is not None and self.settled.fact.outcome in FOR_THE_OTHERS


def conflicts(said: Timeline) -> tuple[RaisedConflict, ...]:
    """Every conflict that was raised, earliest first."""
    found = {e.event_id: RaisedConflict(e) for e in said if isinstance(e.fact, ConflictRaised)}
    for entry in said:
        match entry.fact:
            case ConflictSettled(raised=raised) if raised in found:
                found[raised] = replace(found[raised], settled=entry)
            case ChoiceExplained(raised=raised) if raised in found:
                found[raised] = replace(found[raised], explained=found[raised].explained or entry)
    return tuple(found.values())


def open_conflicts(said: Timeline) -> tuple[Entry, ...]:
    """What an enrolment waits for."""
    return tuple(c.raised for c in conflicts(said) if c.settled is None)


def lost_conflicts(said: Timeline) -> tuple[Entry, ...]:
    return tuple(c.raised for c in conflicts(said) if c.lost)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A programme that the member is in since an instant, and that excludes ours; `noted_by` is the fact that says so."""

    circumstance: Circumstance
    programme: str
    since: Instant
    noted_by: EventId


def exclusions_to_raise(said: Timeline, life: Circumstances, now: Instant) -> tuple[Exclusion, ...]:
    """The exclusive programmes that the member is in now and for which no conflict is open, nor was raised since they began."""
    known = conflicts(said)
    found = []
    for circumstance, programme in EXCLUSIVE.items():
        of_it = [c for c in known if c.raised.fact.programme == programme]
        for spell in life.spells(circumstance):
            lasts = spell.since <= now and (spell.until is None or now < spell.until)
            if lasts and not any(c.settled is None or c.raised.at >= spell.since for c in of_it):
                found.append(Exclusion(circumstance, programme, spell.since, spell.begun_by))
    return tuple(found)


def provider_changes(said: Timeline) -> tuple[tuple[Entry, Entry | None], ...]:
    """Each wish for another provider, and how it was settled."""
    settled = {e.fact.requested: e for e in said if isinstance(e.fact, ProviderChangeSettled)}
    return tuple((e, settled.get(e.event_id)) for e in said if isinstance(e.fact, ProviderChangeRequested))


def open_provider_change(said: Timeline) -> Entry | None:
    return next((asked for asked, settled in provider_changes(said) if settled is None), None)


def plan_tier(state: Episode, at: Instant) -> str:
    """The plan's own tier as it was said last, else as the assignment said it; empty where the plan has none."""
    told = [e.fact.tier for e in until(state.said, at) if isinstance(e.fact, PlanTierReported)]
    return told[-1] if told else (state.assignment.plan_tier if state.assignment else "")


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: EnrolmentCommand, state: Episode, context: Context, at: Instant, now: Instant) -> Decision:
    match command:
        case RecordEnrolmentVisit():
            return _visit(command, state)
        case AnswerScreening():
            return _screening(command, state, context, at)
        case ReportPlanTier(tier=tier, learned_from=learned_from):
            return () if plan_tier(state, at) == tier else (PlanTierReported(tier=tier, learned_from=learned_from),)
        case RaiseConflict():
            return _raise(command, state, context, now)
        case SettleConflict():
            return _settle(command, state)
        case ExplainChoice():
            return _explain(command, state)
        case RequestProviderChange(reason=reason):
            return () if open_provider_change(state.said) else (ProviderChangeRequested(reason=reason),)
        case SettleProviderChange():
            return _settle_provider_change(command, state)
        case Enrol():
            return _enrol(command, state, context, now)
        case Defer(until=day):
            if day <= local_date(at, zone_of(state, context)):
                return Refusal("deferral_in_the_past", "until: must be a day after the conversation")
            return (DeferralAgreed(until=day),)
        case _:
            assert_never(command)


def _visit(command: RecordEnrolmentVisit, state: Episode) -> Decision:
    if command.how not in SYNCHRONOUS:
        return Refusal("how_unknown", f"how: must be one of {', '.join(SYNCHRONOUS)}")
    if not command.steps:
        return Refusal("no_step", f"steps: name at least one of {', '.join(EnrolmentStep)}")
    done = steps_done(state.said)
    new = [step for step in dict.fromkeys(command.steps) if step not in done]
    return tuple(EnrolmentStepDone(step=step, how=command.how) for step in new)


def _screening(command: AnswerScreening, state: Episode, context: Context, at: Instant) -> Decision:
    if not command.questionnaire:
        return Refusal("questionnaire_missing", "questionnaire: name it, with its version where it has one")
    if not 0 < len(command.questions) <= QUESTIONS_MAX or len(set(command.questions)) != len(command.questions):
        return Refusal("questions_wrong", f"questions: between 1 and {QUESTIONS_MAX}, each once")
    if len(command.scores) != len(command.questions):
        return Refusal("scores_wrong", "scores: as many as there are questions, each at its question's place")
    if any(not 0 <= score <= SCORE_MAX for score in command.scores):
        return Refusal("scores_wrong", f"scores: each between 0 and {SCORE_MAX}")
    answered = ScreeningAnswered(questionnaire=command.questionnaire, questions=command.questions, scores=command.scores)
    zone = zone_of(state, context)
    today = local_date(at, zone)
    known = any(e.fact == answered and local_date(e.at, zone) == today for e in state.said)
    return () if known else (answered,)


def _raise(command: RaiseConflict, state: Episode, context: Context, now: Instant) -> Decision:
    if command.conflict is Conflict.EXCLUSIVE_PROGRAMME and command.programme not in PROGRAMMES:
        return Refusal("programme_unknown", f"programme: must be one of {', '.join(PROGRAMMES)}")
    if command.checked_on is not None and command.checked_on > local_date(now, zone_of(state, context)):
        return Refusal("checked_in_the_future", "checked_on: lies ahead; name the day on which it was looked up")
    for waiting in open_conflicts(until(state.said, now)):
        if (waiting.fact.conflict, waiting.fact.programme) == (command.conflict, command.programme):
            return ()
    return (ConflictRaised(conflict=command.conflict, programme=command.programme, checked_on=command.checked_on),)


def _named(raised: EventId, state: Episode) -> RaisedConflict | Refusal:
    """The conflict that a command is about."""
    known = conflicts(state.said)
    if raised:
        found = next((c for c in known if c.raised.event_id == raised), None)
        return found or Refusal("unknown_conflict", "raised: is no conflict of this episode; see `throughline timeline`")
    waiting = [c for c in known if c.settled is None]
    match waiting:
        case [only]:
            return only
        case []:
            return Refusal("no_conflict_open", "raised: no conflict waits; name the fact that raised the one you mean")
        case _:
            return Refusal("several_conflicts", "raised: more than one conflict waits; name the fact that raised the one you mean")


def _settle(command: SettleConflict, state: Episode) -> Decision:
    conflict = _named(command.raised, state)
    if isinstance(conflict, Refusal):
        return conflict
    allowed = OUTCOMES[conflict.raised.fact.conflict]
    if command.outcome not in allowed:
        return Refusal("outcome_unknown", f"outcome: must be one of {', '.join(allowed)}")
    if conflict.settled is not None and conflict.settled.fact.outcome == command.outcome:
        return ()
    return (ConflictSettled(raised=conflict.raised.event_id, outcome=command.outcome, reason=command.reason),)


def _explain(command: ExplainChoice, state: Episode) -> Decision:
    conflict = _named(command.raised, state)
    if isinstance(conflict, Refusal):
        return conflict
    return () if conflict.explained else (ChoiceExplained(raised=conflict.raised.event_id, how=command.how),)


def _settle_provider_change(command: SettleProviderChange, state: Episode) -> Decision:
    if command.outcome not in PROVIDER_CHANGE_OUTCOMES:
        return Refusal("outcome_unknown", f"outcome: must be one of {', '.join(PROVIDER_CHANGE_OUTCOMES)}")
    wanted = provider_changes(state.said)
    if command.requested:
        found = next(((asked, settled) for asked, settled in wanted if asked.event_id == command.requested), None)
    else:
        found = next(((asked, settled) for asked, settled in wanted if settled is None), None)
    if found is None:
        return Refusal("no_provider_change", "requested: the member asked for no other provider, or that was settled")
    asked, settled = found
    if settled is not None:
        if settled.fact.outcome == command.outcome:
            return ()
        return Refusal("settled_before", f"requested: was settled as {settled.fact.outcome}; a new wish is requested anew")
    return (ProviderChangeSettled(requested=asked.event_id, outcome=command.outcome),)


def _enrol(command: Enrol, state: Episode, context: Context, now: Instant) -> Decision:
    if command.agreed not in AGREEMENTS:
        return Refusal("agreement_unknown", "agreed: must be verbal or written")
    if command.how and command.how not in SYNCHRONOUS:
        return Refusal("how_unknown", f"how: must be one of {', '.join(SYNCHRONOUS)}")
    if state.enrolled():
        return ()
    return in_the_way(state, context, now) or (MemberEnrolled(agreed=command.agreed, to_whom=command.by, how=command.how),)


def in_the_way(state: Episode, context: Context, now: Instant) -> Refusal | None:
    """The conflict for which an enrolment has to wait. Nothing else ever stands in its way, least of all a missing form."""
    if waiting := open_conflicts(state.said):
        named = waiting[0].fact.programme or waiting[0].fact.conflict
        return Refusal("conflict_open", f"stream: the enrolment waits for a conflict ({named}) to be settled; settle it first")
    if lost := lost_conflicts(state.said):
        named = lost[0].fact.programme or lost[0].fact.conflict
        return Refusal("conflict_lost", f"stream: a conflict ({named}) was settled for the other side; settle it anew, or close")
    member = context[state.member].state if state.member in context else Member()
    if excluded := exclusions_to_raise(state.said, member.life, now):
        programme = excluded[0].programme
        return Refusal("conflict_open", f"stream: a programme that excludes this one ({programme}) is on record; settle it")
    return None
