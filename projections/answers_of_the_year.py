"""What the questions about the year after enrolment answer: plain values, like those of `answers`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from domain.followup.facts import Ground


@dataclass(frozen=True, slots=True)
class FollowUpRow:
    """An episode in the year after its enrolment. `tier` is the one that holds, `tier_found` what the rules found, `plan_tier` the
    plan's own. `agreed_every_days` is 0 where the plan's own interval holds. `next_contact_due_at` is the earliest open due of a
    contact. `missed` counts what was missed and can still be done late. `process` is where contacts and agreements are recorded."""

    process: str
    episode: str
    member: str
    member_name: str
    plan: str
    status: str
    lead: str
    lead_name: str
    enrolled_at: datetime | None
    steps_done: tuple[str, ...]
    steps_undone: tuple[str, ...]
    tier: str
    tier_found: str
    tier_overridden: bool
    override_reason: str
    plan_tier: str
    agreed_every_days: int
    last_contact_at: datetime | None
    last_contact_how: str
    next_contact_due_at: datetime | None
    open: int
    overdue: int
    missed: int
    authorised_until: date | None
    populations_proposed: tuple[str, ...]
    populations_confirmed: tuple[str, ...]
    conflicts_open: int
    provider_change_since: datetime | None
    held_at: datetime | None
    held_because: str


@dataclass(frozen=True, slots=True)
class PopulationRow:
    """A population of focus of an episode. `state`: proposed, confirmed, rejected, or withdrawn (proposed no longer)."""

    episode: str
    population: str
    state: str
    since: datetime
    by: str
    by_name: str
    grounds: tuple[Ground, ...]
    policy: str
    proposed_at: datetime | None
    reason: str
    member: str
    member_name: str
    plan: str
    lead: str


@dataclass(frozen=True, slots=True)
class ContactRow:
    """An exchange or a try. `two_way`: with the member or their caregiver, live. `standing`: counts, awaits_approval, rejected,
    struck_out. `entry_lag_seconds`: how long after it happened it was recorded."""

    event_id: str
    stream: str
    episode: str
    plan: str
    member: str
    member_name: str
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    entry_lag_seconds: float
    how: str
    spoken_to: str
    outcome: str
    minutes: int
    two_way: bool
    by: str
    by_name: str
    standing: str
