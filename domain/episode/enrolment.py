"""From the assignment to the benefit: the steps of an enrolment, and what stands in its way (domain.md 2.5, 2.8, 2.12).

Consent is never a gate. The steps may come in any order and all in one visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import EventId, Fact, personal

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
