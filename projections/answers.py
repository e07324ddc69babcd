"""What the queries answer: plain values, the same for command line and API. Instants are in UTC; ids are stream ids.

Fields that end in `_name` are filled only where names were asked for, and empty where a person was erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from domain.clocks import Variant
from projections.deadlines import EarlierDue
from projections.members import ContactPoint
from projections.staff import Absence, DoneTraining, HeldLicence, ShareOfFullTime

T = TypeVar("T")


class BadFilter(ValueError):
    """A filter that cannot be meant: `field` names it, the text says what would be right."""

    def __init__(self, field: str, because: str) -> None:
        super().__init__(f"{field}: {because}")
        self.field = field
        self.because = because


class NotReady(Exception):
    """The tables are not there yet. The text says what to do."""


class QueryAway(Exception):
    """The database cannot be reached now."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the answers, in order. `next_cursor` asks for those after them; None: there are no more."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Something that is owed, as the process last planned it. `what` is the rule in words; `how` what the plan advises."""

    process: str
    key: str
    kind: str
    rule: str
    what: str
    state: str
    opens_at: datetime
    due_at: datetime
    closes_at: datetime
    act_by: datetime
    overdue: bool
    owed_by: str
    owed_by_name: str
    member: str
    member_name: str
    episode: str
    plan: str
    lead: str
    subject: str
    governing: bool
    suspended: bool
    policy: str
    facts: tuple[str, ...]
    reason: str
    how: str
    met_at: datetime | None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A due that was set, with its verdict. `not_missed`: its due has passed, no miss is written, and no plan said more."""

    process: str
    key: str
    kind: str
    rule: str
    what: str
    verdict: str
    opens_at: datetime
    due_at: datetime
    closes_at: datetime
    policy: str
    governing: bool
    late_on_arrival: bool
    learned_at: datetime | None
    met_at: datetime | None
    missed_at: datetime | None
    miss_recorded_at: datetime | None
    miss_withdrawn_at: datetime | None
    miss_withdrawn_because: str
    withdrawn_at: datetime | None
    withdrawn_because: str
    generation: int
    earlier: tuple[EarlierDue, ...]
    variants: tuple[Variant, ...]
    cause: tuple[str, ...]
    subject: str
    member: str
    member_name: str
    episode: str
    plan: str
    lead: str
    owed_by: str


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A fact in a history. `occurred_on`: the local day, where no more is known. `personal` holds (field, text) of what is sealed,
    where it was asked for and can still be read."""

    event_id: str
    position: int
    stream: str
    kind: str
    version: int
    name: str
    sentence: str
    occurred_at: datetime
    occurred_on: date | None
    said_at: datetime | None
    recorded_at: datetime
    actor: str
    rule: str
    policy: str
    due_at: datetime | None
    message_id: str | None
    causation: str | None
    sealed: bool
    personal: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A stay in transitional care, with what is owed after it. `status`: admitted, discharged, cancelled or ended."""

    process: str
    stay: str
    status: str
    member: str
    member_name: str
    episode: str
    plan: str
    lead: str
    lead_name: str
    stay_class: str
    facility: str
    admitted_at: datetime | None
    admitted_on: date | None
    discharged_at: datetime | None
    discharged_on: date | None
    disposition: str
    disposition_class: str
    doubtful: bool
    items_open: int
    items_met: int
    items_missed: int
    items_withdrawn: int
    next_due_at: datetime | None
    next_due_rule: str
    opened_at: datetime
    ended_at: datetime | None
    ended_because: str


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A message at the front door, without its content."""

    inbox_id: str
    source: str
    transport: str
    kind: str
    control_id: str
    status: str
    reason: str
    flags: tuple[str, ...]
    error: str
    attempts: int
    received_at: datetime
    settled_at: datetime | None
    next_attempt_at: datetime
    repeats: int
    stay: str | None
    member: str | None
    part_of: str | None
    line: int | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class InboxCount:
    """How many messages stand in a status, and how long the oldest has."""

    status: str
    messages: int
    oldest_at: datetime | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process as it was last advanced. `overdue_seconds`: how far its wake-up lies back; 0 where it does not."""

    process: str
    kind: str
    phase: str
    turn: int | None
    turns_max: int | None
    position: int
    wake_at: datetime | None
    waiting_for: str
    done: bool
    stuck: str
    last_error: str
    failing_since: datetime | None
    attempts: int
    effects: tuple[str, ...]
    member: str
    plan: str
    began_at: datetime
    updated_at: datetime
    code: str
    age_seconds: float
    overdue_seconds: float


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    episode: str
    member: str
    member_name: str
    plan: str
    status: str
    received_at: datetime
    received_last_at: datetime
    effective_on: date | None
    referral_source: str
    plan_tier: str
    previous: str | None
    lead: str
    lead_name: str
    lead_since: datetime | None
    enrolled_at: datetime | None
    declined_at: datetime | None
    deferred_until: date | None
    held_at: datetime | None
    held_because: str
    withdrawn_at: datetime | None
    closed_at: datetime | None
    closed_because: str
    policy_reapplied: str


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member, with the newest episode, its tier, and when somebody last spoke with them or their caregiver."""

    member: str
    name: str
    registered_at: datetime
    language: str
    timezone: str
    episode: str | None
    plan: str
    status: str
    lead: str
    opted_out: tuple[str, ...]
    consents: tuple[str, ...]
    points: tuple[ContactPoint, ...]
    coverage_lost_at: datetime | None
    died_at: datetime | None
    erased_at: datetime | None
    tier: str = ""
    last_contact_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MemberCard:
    """A member with all their episodes."""

    member: MemberRow
    episodes: tuple[EpisodeRow, ...]


@dataclass(frozen=True, slots=True)
class StaffRow:
    staff: str
    name: str
    joined_at: datetime
    last_day: date | None
    roles: tuple[str, ...]
    licences: tuple[HeldLicence, ...]
    absences: tuple[Absence, ...]
    languages: tuple[str, ...]
    supervisor: str | None
    shares: tuple[ShareOfFullTime, ...] = ()
    trainings: tuple[DoneTraining, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRow:
    plan: str
    version: str
    effective_on: date
    sha256: str
    adopted_at: datetime
    adopted_by: str
    event_id: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    """Something that was to be sent, and what became of it."""

    process: str
    key: str
    kind: str
    template: str
    recipient: str
    state: str
    asked_at: datetime
    expires_at: datetime
    begun_at: datetime | None
    sent_at: datetime | None
    changed_at: datetime
    acknowledged_at: datetime | None
    code: str
    turn: int
    language: str
    point: str
    about: str
    policy: str
    episode: str
    member: str


Answer = Any
