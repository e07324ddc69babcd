"""What is known of a member's life and health, as far as tiers and populations of focus rest on it (domain.md 2.8, 2.12).

Each is a fact with its day and its source; a rule that uses one names it. What follows from them is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from domain.calendar import local_date
from domain.core import Command, Decision, Fact, Instant, Recorded, Refusal, StreamId, personal
from domain.timeline import Entry, Span, Timeline, put, until

AHEAD_MAX = timedelta(minutes=5)
"""What was learned may be dated ahead by no more than two clocks disagree."""

AGO_MAX = timedelta(days=120 * 366)
"""Nothing of a life lies further back."""

ENTRIES_MAX = 2000
"""Circumstances, diagnoses or visits that are kept of one member, of each."""

CATEGORY_LENGTH = 3
CODE = re.compile(r"[A-Z][0-9][0-9A-Z]([0-9A-Z]{1,4})?")
"""An ICD-10-CM code without its dot: a category of three characters, and up to four more."""

VISIT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,79}")
STAY = "stay-"
"""How the stream of a stay begins: no visit of a claim may be called so."""

# --- facts ---------------------------------------------------------------------------------------------------------------------


class Circumstance(StrEnum):
    """What may be so in a member's life, for as long as it lasts. Of a release, a birth or an exit the day counts, which is when
    the fact occurred."""

    HOMELESS = "homeless"
    UNSTABLY_HOUSED = "unstably_housed"
    FOOD_INSECURE = "food_insecure"
    WITHOUT_TRANSPORT = "without_transport"
    FOUR_ADVERSE_CHILDHOOD_EXPERIENCES = "four_adverse_childhood_experiences"
    LAW_ENFORCEMENT_CONTACT = "law_enforcement_contact"
    CRISIS_SERVICES_USED = "crisis_services_used"
    RELIES_ON_CRISIS_CARE = "relies_on_crisis_care"
    AT_RISK_OF_INSTITUTIONALISATION = "at_risk_of_institutionalisation"
    AT_RISK_OF_OVERDOSE = "at_risk_of_overdose"
    AT_RISK_OF_SUICIDE = "at_risk_of_suicide"
    INCARCERATED = "incarcerated"
    RELEASED_FROM_INCARCERATION = "released_from_incarceration"
    RELEASED_FROM_YOUTH_FACILITY = "released_from_youth_facility"
    PREGNANT = "pregnant"
    GAVE_BIRTH = "gave_birth"
    IN_FOSTER_CARE = "in_foster_care"
    LEFT_FOSTER_CARE = "left_foster_care"
    AGED_OUT_OF_FOSTER_CARE = "aged_out_of_foster_care"
    ADOPTION_ASSISTANCE = "adoption_assistance"
    FAMILY_MAINTENANCE = "family_maintenance"
    IN_CALIFORNIA_CHILDRENS_SERVICES = "in_california_childrens_services"
    IN_WHOLE_CHILD_MODEL = "in_whole_child_model"
    MEETS_NURSING_FACILITY_CRITERIA = "meets_nursing_facility_criteria"
    NEEDS_LOWER_ACUITY_NURSING = "needs_lower_acuity_nursing"
    CAN_STAY_WITH_SUPPORT = "can_stay_with_support"
    LIVES_IN_NURSING_FACILITY = "lives_in_nursing_facility"
    WANTS_TO_MOVE_TO_COMMUNITY = "wants_to_move_to_community"
    CAN_LIVE_IN_COMMUNITY = "can_live_in_community"
    RECEIVES_TRANSITIONAL_RENT = "receives_transitional_rent"
    IN_HOSPICE = "in_hospice"
    IN_1915C_WAIVER = "in_1915c_waiver"
    IN_PACE = "in_pace"
    IN_INTEGRATED_DUAL_PLAN = "in_integrated_dual_plan"
    IN_COMPLEX_CARE_MANAGEMENT = "in_complex_care_management"


MOMENTARY = frozenset(
    {
        Circumstance.LAW_ENFORCEMENT_CONTACT,
        Circumstance.CRISIS_SERVICES_USED,
        Circumstance.RELEASED_FROM_INCARCERATION,
        Circumstance.RELEASED_FROM_YOUTH_FACILITY,
        Circumstance.GAVE_BIRTH,
        Circumstance.LEFT_FOSTER_CARE,
        Circumstance.AGED_OUT_OF_FOSTER_CARE,
    }
)
"""What happens on a day and does not last: a look back counts from that day, and a second time is another one."""


class VisitKind(StrEnum):
    """Utilisation as a plan's claims or a person tells it, beside the stays that hospitals tell of."""

    EMERGENCY = "emergency"
    INPATIENT = "inpatient"
    NURSING_FACILITY = "nursing_facility"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircumstanceNoted(Fact):
    """It is so from `occurred_at` on. `learned_from`: member, staff, plan_file, screening, hospital, county."""

    circumstance: Circumstance
    learned_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircumstanceEnded(Fact):
    """It is no longer so from `occurred_at` on; that it was stays known, and counts where a rule looks back."""

    circumstance: Circumstance
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRecorded(Fact):
    """`code`: ICD-10-CM, with or without its dot."""

    code: str
    learned_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRuledOut(Fact):
    code: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitReported(Fact):
    """A visit that no hospital's message told us of. `visit` is its own id, so that the same claim counts once. `avoidable` is None
    until somebody, or a plan's code list, said so."""

    visit: str
    kind: VisitKind
    on: date
    learned_from: str
    avoidable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitJudged(Fact):
    """A person found that a visit or stay could have been avoided, or not (domain.md 2.8). `visit`: its id, or a stay's stream."""

    visit: str
    avoidable: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountyLearned(Fact):
    """The county in which the member lives: populations of focus start on different days in different counties."""

    county: str
    learned_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyNamed(Fact):
    """Somebody in the member's life whom we may have to speak with: caregiver, guardian, conservator, family. `party` is their
    id."""

    party: str
    relation: str
    name: str | None = personal()
    phone: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityShown(Fact):
    """A party may decide or be told something on the member's behalf. `scope`: decide_services, share_information; `document`: what
    was seen (court order, power of attorney). The member's own word is recorded besides (domain.md scenario 32)."""

    party: str
    scope: str
    document: str
    until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityEnded(Fact):
    party: str
    scope: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSharingAuthorised(Fact):
    """A written word on who may be told what. `authorisation` is its own id; `content`: care_plan, substance_use (42 CFR Part 2),
    mental_health, all; `recipients`: plan, family, facility, primary_care. `given_by`: the member (empty), or the party who decides
    for them; `expires_on` is the last day. Care never waits for it (domain.md 1.3)."""

    authorisation: str
    content: str
    recipients: tuple[str, ...]
    given_by: str = ""
    expires_on: date | None = None
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSharingRevoked(Fact):
    authorisation: str
    reason: str = ""


CircumstanceFact = (
    CircumstanceNoted
    | CircumstanceEnded
    | DiagnosisRecorded
    | DiagnosisRuledOut
    | VisitReported
    | VisitJudged
    | CountyLearned
    | PartyNamed
    | AuthorityShown
    | AuthorityEnded
    | DataSharingAuthorised
    | DataSharingRevoked
)

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteCircumstance(Command):
    """It is so from `occurred_at` on (None: now)."""

    circumstance: Circumstance
    learned_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCircumstance(Command):
    """It is no longer so from `occurred_at` on. Dated at the very instant at which it was noted: it never was."""

    circumstance: Circumstance
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDiagnosis(Command):
    """`code`: ICD-10-CM, with or without its dot, in either case."""

    code: str
    learned_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutDiagnosis(Command):
    code: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportVisit(Command):
    """A visit from a claim, or from what somebody told. The same `visit` with other words corrects what was reported before."""

    visit: str
    kind: VisitKind
    on: date
    learned_from: str
    avoidable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeVisit(Command):
    """`visit`: the id of a reported visit, or the stream of one of the member's stays."""

    visit: str
    avoidable: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnCounty(Command):
    county: str
    learned_from: str


CircumstanceCommand = (
    NoteCircumstance | EndCircumstance | RecordDiagnosis | RuleOutDiagnosis | ReportVisit | JudgeVisit | LearnCounty
)

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was said of a member's life, each sort in the order of the world: whatever was learned when, it is the same."""

    noted: Timeline = ()
    diagnoses: Timeline = ()
    visits: Timeline = ()
    counties: Timeline = ()

    def spells(self, circumstance: Circumstance) -> tuple[Span, ...]:
        """When it was so, earliest first; the last may go on. A momentary one is begun each time, and goes on until somebody
        says that it never was."""
        said = [e for e in self.noted if e.fact.circumstance is circumstance]
        if circumstance not in MOMENTARY:
            return spells_of(said, CircumstanceNoted, circumstance)
        ends = [e for e in said if isinstance(e.fact, CircumstanceEnded)]
        found = []
        for begun in (e for e in said if isinstance(e.fact, CircumstanceNoted)):
            ended = next((e for e in ends if e.at >= begun.at), None)
            if ended is None:
                found.append(Span(begun.at, None, circumstance, begun.event_id))
            elif ended.at > begun.at:
                found.append(Span(begun.at, ended.at, circumstance, begun.event_id, ended.event_id))
        return tuple(found)

    def holds(self, circumstance: Circumstance, at: Instant) -> bool:
        return any(span.since <= at and (span.until is None or at < span.until) for span in self.spells(circumstance))

    def diagnosed(self, code: str) -> tuple[Span, ...]:
        """When a diagnosis stood, by its code without the dot."""
        said = [e for e in self.diagnoses if undotted(e.fact.code) == code]
        return spells_of(said, DiagnosisRecorded, code)

    def visit(self, visit: str, at: Instant) -> VisitReported | None:
        """A visit as it was last reported by an instant."""
        said = [e.fact for e in until(self.visits, at) if isinstance(e.fact, VisitReported) and e.fact.visit == visit]
        return said[-1] if said else None

    def judged(self, visit: str, at: Instant) -> bool | None:
        """What a person last found of it."""
        said = [e.fact for e in until(self.visits, at) if isinstance(e.fact, VisitJudged) and e.fact.visit == visit]
        return said[-1].avoidable if said else None

    def county(self, at: Instant) -> Entry | None:
        """Who last said, by an instant, where the member lives; None where nobody did."""
        said = until(self.counties, at)
        return said[-1] if said else None


def undotted(code: str) -> str:
    return code.strip().upper().replace(".", "")


def county_named(county: str) -> str:
    """A county as rules name it: "San Diego County" is san_diego."""
    name = re.sub(r"[^a-z]+", "_", county.casefold()).strip("_")
    return name.removesuffix("_county")


def spells_of(said: Iterable[Entry], begins: type[Fact], reason: str) -> tuple[Span, ...]:
    """Like `timeline.spans`, but of two facts of the same instant the end comes last, and what never lasted is none."""
    found: list[Span] = []
    begun: Entry | None = None
    for entry in sorted(said, key=lambda e: (e.at, not isinstance(e.fact, begins), e.event_id)):
        if isinstance(entry.fact, begins):
            begun = begun or entry
        elif begun is not None:
            if entry.at > begun.at:
                found.append(Span(begun.at, entry.at, reason, begun.event_id, entry.event_id))
            begun = None
    if begun is not None:
        found.append(Span(begun.at, None, reason, begun.event_id))
    return tuple(found)


# --- evolve --------------------------------------------------------------------------------------------------------------------


def evolve(state: Circumstances, recorded: Recorded) -> Circumstances:
    match recorded.fact:
        case CircumstanceNoted() | CircumstanceEnded():
            return replace(state, noted=put(state.noted, recorded))
        case DiagnosisRecorded() | DiagnosisRuledOut():
            return replace(state, diagnoses=put(state.diagnoses, recorded))
        case VisitReported() | VisitJudged():
            return replace(state, visits=put(state.visits, recorded))
        case CountyLearned():
            return replace(state, counties=put(state.counties, recorded))
        case _:
            return state


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: CircumstanceCommand, state: Circumstances, stays: Container[StreamId], timezone: str, now: Instant) -> Decision:
    """Nothing where it was so already. `stays`: those that are known to be the member's; `timezone`: where the member lives."""
    at = command.occurred_at or now
    if at > now + AHEAD_MAX:
        return Refusal("in_the_future", "occurred_at: lies ahead; record it once it has happened")
    if at < now - AGO_MAX:
        return Refusal("too_long_ago", "occurred_at: lies further back than a life; check the year")
    if max(len(state.noted), len(state.diagnoses), len(state.visits), len(state.counties)) >= ENTRIES_MAX:
        return Refusal("too_many_entries", f"stream: holds {ENTRIES_MAX} entries of a sort already; ask an operator to look at it")
    match command:
        case NoteCircumstance(circumstance=circumstance, learned_from=learned_from):
            if _noted(state, circumstance, at, timezone):
                return ()
            return _told(learned_from) or (CircumstanceNoted(circumstance=circumstance, learned_from=learned_from),)
        case EndCircumstance(circumstance=circumstance, reason=reason):
            return (CircumstanceEnded(circumstance=circumstance, reason=reason),) if state.holds(circumstance, at) else ()
        case RecordDiagnosis(code=code, learned_from=learned_from):
            return _record(code, learned_from, state, at)
        case RuleOutDiagnosis(code=code, reason=reason):
            if not state.diagnosed(undotted(code)):
                return Refusal("unknown_diagnosis", "code: was never recorded of this member; see `throughline timeline`")
            standing = _stands(state.diagnosed(undotted(code)), at)
            return (DiagnosisRuledOut(code=dotted(code), reason=reason),) if standing else ()
        case ReportVisit() as c:
            return _report(c, state, at, local_date(now, timezone))
        case JudgeVisit(visit=visit, avoidable=avoidable, reason=reason):
            if visit not in stays and state.visit(visit, now) is None:
                return Refusal("unknown_visit", "visit: is neither a reported visit nor a stay of this member; report it first")
            return () if state.judged(visit, at) is avoidable else (VisitJudged(visit=visit, avoidable=avoidable, reason=reason),)
        case LearnCounty(county=county, learned_from=learned_from):
            return _learn(county, learned_from, state, at)
        case _:
            assert_never(command)


def dotted(code: str) -> str:
    """As people write it: E119 is E11.9."""
    plain = undotted(code)
    return f"{plain[:CATEGORY_LENGTH]}.{plain[CATEGORY_LENGTH:]}" if len(plain) > CATEGORY_LENGTH else plain


def _told(learned_from: str) -> Refusal | None:
    if not learned_from.strip():
        return Refusal("source_missing", "learned_from: is empty; say who told us, such as member, staff or plan_file")
    return None


def _stands(spells: Iterable[Span], at: Instant) -> bool:
    return any(span.since <= at and (span.until is None or at < span.until) for span in spells)


def _noted(state: Circumstances, circumstance: Circumstance, at: Instant, timezone: str) -> bool:
    if circumstance in MOMENTARY:
        return any(local_date(span.since, timezone) == local_date(at, timezone) for span in state.spells(circumstance))
    return state.holds(circumstance, at)


def _record(code: str, learned_from: str, state: Circumstances, at: Instant) -> Decision:
    if not CODE.fullmatch(undotted(code)):
        return Refusal("no_diagnosis_code", "code: is no ICD-10-CM code; write it like E11.9, with or without the dot")
    if _stands(state.diagnosed(undotted(code)), at):
        return ()
    return _told(learned_from) or (DiagnosisRecorded(code=dotted(code), learned_from=learned_from),)


def _report(command: ReportVisit, state: Circumstances, at: Instant, today: date) -> Decision:
    if not VISIT_ID.fullmatch(command.visit) or command.visit.startswith(STAY):
        return Refusal("no_visit_id", "visit: must be a short id such as a claim's number, of letters, digits and -._:/")
    if command.on > today:
        return Refusal("in_the_future", "on: lies ahead; report the visit once it has been made")
    if command.on < today - AGO_MAX:
        return Refusal("too_long_ago", "on: lies further back than a life; check the year")
    reported = VisitReported(
        visit=command.visit,
        kind=command.kind,
        on=command.on,
        learned_from=command.learned_from,
        avoidable=command.avoidable,
    )
    known = state.visit(command.visit, at)
    if known is not None and replace(reported, learned_from=known.learned_from) == known:
        return ()
    return _told(command.learned_from) or (reported,)


def _learn(county: str, learned_from: str, state: Circumstances, at: Instant) -> Decision:
    if not county_named(county):
        return Refusal("county_missing", "county: is empty; name the county, such as Orange")
    known = state.county(at)
    if known is not None and county_named(known.fact.county) == county_named(county):
        return ()
    return _told(learned_from) or (CountyLearned(county=county_named(county), learned_from=learned_from),)
