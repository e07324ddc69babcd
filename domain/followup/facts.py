"""What is said of following a member up: contacts, the tier and the populations of focus that were found, what was agreed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.core import EventId, Fact, Instant, StreamId, personal
from domain.interactions import AttemptOutcome, Interaction, SpokenTo

NO_TIER = "none"
"""A small provider has no tiers, and a member need not have one (domain.md 2.12)."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Why something was found: the rule's key in its policy, and the facts that it rests on."""

    rule: str
    facts: tuple[EventId, ...] = ()


class Finding(StrEnum):
    """What came out when somebody looked at a follow-up that goes on, a conflict or a rest."""

    GOES_ON = "goes_on"
    ASKED = "asked"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpOpened(Fact):
    """`policy` is the version that the clocks of the year keep; it was chosen for `since`, the enrolment (or the assignment,
    where the member is not enrolled)."""

    member: StreamId
    episode: StreamId
    plan: str
    policy: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpEntrusted(Fact):
    """Whose member it is now: the lead care manager and their supervisor, as far as there are such."""

    lead: StreamId | None
    supervisor: StreamId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StayNoticed(Fact):
    """A stay is said to be the member's: from now on what hospitals say of it concerns their follow-up."""

    stay: StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpContactMade(Fact):
    """A two-way exchange. `approval_needed`: dated back further than the grace, so it counts only once a supervisor approves."""

    member: StreamId
    interaction: Interaction
    spoken_to: SpokenTo
    minutes: int = 0
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpAttemptMade(Fact):
    """Somebody tried and did not get through: credited as an attempt, moves no due."""

    member: StreamId
    interaction: Interaction
    outcome: AttemptOutcome
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CadenceAgreed(Fact):
    """The member wants fewer or more contacts: every so many days until further notice. The plan's own interval stays visible
    (domain.md scenario 41)."""

    every_days: int
    reason: str
    wish: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CadenceAgreementEnded(Fact):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierFound(Fact):
    """The tier that the policy's rules give, from `occurred_at` on, each reason with its rule and its facts."""

    tier: str
    grounds: tuple[Ground, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierOverridden(Fact):
    """A person says otherwise, and why; what the rules find stays visible beside it."""

    tier: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierOverrideLifted(Fact):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationProposed(Fact):
    """The member meets the criteria of a population of focus, on these grounds; staff confirm or reject it (domain.md 2.8)."""

    population: str
    grounds: tuple[Ground, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationProposalWithdrawn(Fact):
    """The criteria are no longer met, and nobody had confirmed it."""

    population: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationConfirmed(Fact):
    population: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationRejected(Fact):
    population: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralProposed(Fact):
    """The episode is over, and visits since show that the member meets the criteria of a population of focus: a person decides
    whether they are referred anew (domain.md 2.8)."""

    population: str
    grounds: tuple[Ground, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralProposalWithdrawn(Fact):
    """`reason`: taken_up (another episode began), or no_longer_met."""

    population: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralProposalDismissed(Fact):
    population: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpReviewed(Fact):
    """A person looked at something that goes on: `about` is the key of what asked for it."""

    about: str
    finding: Finding
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpEnded(Fact):
    """Everything has stopped and nothing is owed here any more: closed_<reason>, death_reported, coverage_lost."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpResumed(Fact):
    reason: str
