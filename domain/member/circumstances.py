"""What is known of a member's life and health, as far as tiers and populations of focus rest on it (domain.md 2.8, 2.12).

Each is a fact with its day and its source; a rule that uses one names it. What follows from them is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import Fact, personal

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
