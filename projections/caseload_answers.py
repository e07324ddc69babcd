"""What the questions about caseloads answer. Points are counted in tenths; names are filled only where they were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class TierPoints:
    """How many members of a tier (or not_enrolled) somebody carries, and what they weigh together."""

    tier: str
    members: int
    points_tenths: int


@dataclass(frozen=True, slots=True)
class BeyondCap:
    """A member who was taken beyond the cap and is carried still: the caseload before, its cap, who allowed it, and why."""

    staff: str
    staff_name: str
    episode: str
    member: str
    member_name: str
    plan: str
    weight_tenths: int
    load_tenths: int
    cap_tenths: int
    because: str
    allowed_by: str
    allowed_by_name: str
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Caseload:
    """What one lead care manager has; `staff` is empty for what nobody has.

    `members` is the raw ratio, 1 to so many. `cap_tenths`: by the share of full time under the strictest policy of the members'
    plans (None: no cap). `over_cap`: more points than that are carried. `beyond`: who was taken beyond the cap, and who allowed it.
    Looked at on another day, `held`, `owed` and `overdue` are not known.
    """

    staff: str
    name: str
    assigned: int
    enrolled: int
    held: int | None
    in_transition: int
    owed: int | None
    overdue: int | None
    members: int = 0
    points_tenths: int = 0
    share_percent: int = 100
    cap_tenths: int | None = None
    cap: str = ""
    free_tenths: int | None = None
    over_cap: bool = False
    by_tier: tuple[TierPoints, ...] = ()
    beyond: tuple[BeyondCap, ...] = ()
    away: bool = False
    last_day: date | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WithoutLead:
    """A member in care whose care nobody leads. `because`: never_assigned, released, left (whose last day has passed), and so
    on, as the case was let go. `next_due_at`: what is owed to them next."""

    episode: str
    member: str
    member_name: str
    plan: str
    status: str
    language: str
    received_at: datetime
    since: datetime
    because: str
    last_lead: str
    last_lead_name: str
    next_due_at: datetime | None
    next_due_rule: str


@dataclass(frozen=True, slots=True)
class LeadOffer:
    """A care manager who could take a member: present, and not about to leave. `over_cap`: it would be beyond the cap, which is
    `hard` or `soft`."""

    staff: str
    name: str
    language_match: bool
    interpreter_needed: bool
    languages: tuple[str, ...]
    members: int
    points_tenths: int
    cap_tenths: int | None
    free_tenths: int | None
    cap: str
    over_cap: bool
    share_percent: int
