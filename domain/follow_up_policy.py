"""The rule shapes of the year after enrolment: tier, cadence, assessment, care plan, authorisation, caseload, populations of
focus.

Every number stands in `policies/*.toml` (domain.md 4 has the defaults). A tier is a name that the plan's own file gives it; a
table by tier may hold `any` for every tier that it does not name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from domain.rule_shapes import Basis, Warn, within

ANY_TIER = "any"
EVERY_COUNTY = "every"


class ConditionKind(StrEnum):
    """What a condition looks at. `any_of` names, by kind: circumstances; diagnosis groups; classes of stay or visit; the plan's
    tiers; questionnaires, or single questions as questionnaire/question; races."""

    CIRCUMSTANCE = "circumstance"
    DIAGNOSIS = "diagnosis"
    VISITS = "visits"
    AVOIDABLE_VISITS = "avoidable_visits"
    PLAN_TIER = "plan_tier"
    SCREENING = "screening"
    AGE = "age"
    RACE = "race"
    POPULATION = "population"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that must be so. `at_least` counts visits, diagnoses or circumstances, sums a screening's scores, is the lowest
    age; `at_most` is the highest age. `within_days`: what lies further back does not count (0: it counts for as long as it
    lasts)."""

    kind: ConditionKind
    any_of: tuple[str, ...] = ()
    at_least: int = field(default=1, metadata={"limits": (0, 1000)})
    at_most: int = field(default=1000, metadata={"limits": (0, 1000)})
    within_days: int = field(default=0, metadata={"limits": (0, 3660)})


Formula = tuple[tuple[Condition, ...], ...]
"""All of these, of each line any one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """A reason for a tier; `key` names it to people."""

    key: str
    tier: str
    when: Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """`order`: highest first. The highest tier of which any rule holds is the member's; `otherwise` where none does."""

    order: tuple[str, ...]
    otherwise: str
    rule: tuple[TierRule, ...]


class PhaseAnchor(StrEnum):
    ENROLMENT = "enrolment"
    FACILITY_EXIT = "facility_exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """From the end of local day `from_day` after the anchor (day 0) to the end of `until_day`, a contact every so many days by
    tier. Where several phases hold, the shortest interval does."""

    anchor: PhaseAnchor
    from_day: int = within(0, 3660)
    until_day: int = within(1, 3660)
    every_days: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class InPerson:
    """At least so many contacts in person in every `per_days` from the enrolment on."""

    tier: str
    count: int = within(1, 31)
    per_days: int = within(1, 366)


class CountedFrom(StrEnum):
    ENROLMENT = "enrolment"
    ASSESSMENT = "assessment"


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumCount:
    """A least number of contacts after the enrolment or the completed assessment: within so many days, or (0) without a day, as
    some plans have it."""

    count: int = within(1, 366)
    counted_from: CountedFrom
    within_days: int = within(0, 3660)


class StepUpAfter(StrEnum):
    ADMISSION = "admission"
    DISCHARGE = "discharge"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """After an event a contact every so many days, for so many days."""

    after: StepUpAfter
    every_days: int = within(1, 365)
    for_days: int = within(1, 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Contacts that a circumstance asks for besides the cadence: weekly in person for Transitional Rent (G p18)."""

    key: str
    circumstance: str
    every_days: int = within(1, 365)
    in_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often the lead care manager and the member speak. No `phase`: no interval is asked for."""

    basis: Basis
    holiday_calendar: str
    closes_after_days: int = within(0, 365)
    rests_in_hospital: bool
    caregiver_counts: bool
    phase: tuple[Phase, ...] = ()
    in_person: tuple[InPerson, ...] = ()
    minimum_count: MinimumCount | None = None
    step_up: tuple[StepUp, ...] = ()
    overlay: tuple[Overlay, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Days from the enrolment to begin and to complete the assessment; then days from each completed one to the next, by tier (a
    tier that is not named has none)."""

    questionnaire: str
    begin_days: int = within(0, 365)
    complete_days: int = within(0, 365)
    closes_after_days: int = within(0, 365)
    again_days: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlan:
    """Days from the completed assessment to the first plan; days from each version, or review, to the next review by tier; days
    from each version to the copy for the member and to the clinical review (0: not asked for)."""

    written_within_days: int = within(0, 365)
    copy_within_days: int = within(0, 365)
    clinical_review_within_days: int = within(0, 365)
    closes_after_days: int = within(0, 365)
    review_days: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """How long the plan authorises, when we have to ask again, and until when it answers a referral (domain.md 2.2). What it has to
    answer with stands in files since there are referrals; an earlier file means what the state asks of every plan (G p104)."""

    first_months: int = within(1, 60)
    renewal_months: int = within(1, 60)
    streamlined_days: int = within(1, 366)
    streamlined_request_business_days_before: int = within(0, 60)
    renewal_request_days_before: int = within(0, 366)
    carried_over_within_days: int = within(0, 366)
    holiday_calendar: str
    decided_within_business_days: int = field(default=5, metadata={"limits": (1, 60)})
    decided_within_hours_expedited: int = field(default=72, metadata={"limits": (1, 720)})


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """The year after enrolment. `provider_change_days`: G p113. No `tiers`: the plan, or a small provider, has none."""

    review_every_days: int = within(1, 180)
    provider_change_days: int = within(1, 180)
    warn: tuple[Warn, ...]
    cadence: Cadence
    assessment: Assessment | None = None
    care_plan: CarePlan | None = None
    authorisation: Authorisation | None = None
    tiers: Tiers | None = None


class Cap(StrEnum):
    """What happens beyond the cap: nobody may, or whoever gives a reason may."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caseload:
    """Weights in tenths of a point. `full_time_tenths`: what a full-time care manager carries; a share of full time carries its
    share. `hard` needs a supervisor's reason, `soft` flags."""

    full_time_tenths: int = within(1, 100_000)
    cap: Cap
    weight_tenths: dict[str, int]
    not_enrolled_tenths: int = within(0, 1000)
    transition_tenths: int = within(0, 1000)
    transition_days: int = within(0, 365)
    overlay_tenths: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """From that day on in the county (`every`: in all others)."""

    county: str
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """A population of focus: who belongs to it, and where from which day (domain.md 2.8). `code`: as files name it, such as 1a."""

    key: str
    code: str
    launch: tuple[Launch, ...]
    when: Formula
