"""What is said of transitional care: what is owed after each hospital stay of an episode, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.core import EventId, Fact, Instant, StreamId, personal
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.staff.facts import Licence


class Finding(StrEnum):
    """What came out when somebody looked at a stay or at a transition that goes on."""

    STILL_ADMITTED = "still_admitted"
    ASKED_FACILITY = "asked_facility"
    SETTLED = "settled"
    NEEDS_OUTSTANDING = "needs_outstanding"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionalCareOpened(Fact):
    """A stay of the member concerns this episode. `policy` is the version that its clocks keep; it was chosen for `since`, the
    instant at which the stay began as far as is known, and is chosen anew only where that is corrected."""

    stay: StreamId
    member: StreamId
    episode: StreamId
    plan: str
    policy: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionEntrusted(Fact):
    """Whose transition it is now: the lead care manager and their supervisor, as far as there are such."""

    lead: StreamId | None
    supervisor: StreamId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionContactMade(Fact):
    """A live exchange about the transition. Whether it meets an item follows from how and with whom it was.
    `approval_needed`: dated back further than the grace, so it counts only once a supervisor approves."""

    member: StreamId
    interaction: Interaction
    spoken_to: SpokenTo
    minutes: int = 0
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionAttemptMade(Fact):
    """Somebody tried and did not get through: credited as an attempt, never an interaction (domain.md 60a)."""

    member: StreamId
    interaction: Interaction
    outcome: AttemptOutcome
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItemDone(Fact):
    """A named item of the checklist was done: how, with whom, and under which licence where the policy wants one."""

    member: StreamId
    item: str
    interaction: Interaction
    spoken_to: SpokenTo
    licence: Licence | None = None
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItemReopened(Fact):
    """What was recorded as done was not, or not well: `done` names the record, which stays readable and no longer counts."""

    item: str
    done: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StayReviewed(Fact):
    """A person looked: at a stay whose discharge message has not come, at a contradiction, or at support that goes on."""

    stay: StreamId
    finding: Finding
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionalCareEnded(Fact):
    """Nothing is owed here any more: supported, no_stay, death, closed, not_enrolled."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionalCareResumed(Fact):
    """Something is owed again: another stay, a correction, a reversal."""

    reason: str
