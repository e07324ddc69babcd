"""What hospitals and people say of a stay. Each fact is a statement; the stay is what they add up to (messages.md, decision 6).

`order` ranks a statement among those about the same stay: statements whose `said_at` can be believed above the rest, then by
`said_at`, control id and digest. `received_at` is when the message reached us. `source` is the feed, or `by_hand`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from enum import StrEnum

from domain.core import Fact, Instant, Recorded

BY_HAND = "by_hand"
"""The source of what a person entered."""

MOVED_AWAY = "A02"
"""The trigger of a discharge that nobody stated but a move to another facility: it ends with the move's cancellation (A12)."""

SAID_BEFORE_RECEIPT_DAYS_MAX = 30
SAID_AFTER_RECEIPT_MAX = timedelta(hours=1)
"""Between these a `said_at` can be believed; outside, the statement ranks below all that are inside (messages.md, decision 6)."""


class StayClass(StrEnum):
    """Table 0004, and the settings that a person can enter by hand."""

    INPATIENT = "inpatient"
    EMERGENCY = "emergency"
    OBSERVATION = "observation"
    OUTPATIENT = "outpatient"
    NURSING_FACILITY = "nursing_facility"
    JAIL = "jail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAdmitted(Fact):
    """A01, A04 class E, or a person's word. `admitted_on` is set where only the local day is known; `location` is the unit, room
    and bed as the hospital writes them."""

    order: str
    received_at: Instant
    source: str
    facility: str
    stay_class: StayClass
    admitted_at: Instant
    admitted_on: date | None = None
    expected_discharge_on: date | None = None
    location: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDischarged(Fact):
    """A03, or a person's word. `disposition` is the normalised code of messages.md 1.3 ("" where unmapped); `disposition_said` is
    what the message had. `discharged_on` is set where only the local day is known: `discharged_at` is then the end of that day."""

    order: str
    received_at: Instant
    source: str
    facility: str
    discharged_at: Instant
    discharged_on: date | None = None
    disposition: str = ""
    disposition_said: str = ""
    stay_class: StayClass | None = None
    admitted_at: Instant | None = None
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StayDescribed(Fact):
    """A08: fills in or corrects; never opens, closes or reopens. What is None was not said. `died_at`: when, where the message says
    so of a death; `alive`: it says that the patient has not died."""

    order: str
    received_at: Instant
    source: str
    facility: str
    stay_class: StayClass | None = None
    admitted_at: Instant | None = None
    discharged_at: Instant | None = None
    discharged_on: date | None = None
    disposition: str | None = None
    disposition_said: str = ""
    died: bool = False
    trigger: str = ""
    died_at: Instant | None = None
    alive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionCancelled(Fact):
    """A11: the stay never was."""

    order: str
    received_at: Instant
    source: str
    facility: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargeCancelled(Fact):
    """A13: the member is still there."""

    order: str
    received_at: Instant
    source: str
    facility: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitBecame(Fact):
    """A06, A07: an outpatient or emergency visit became an admission, or an admission became observation. The stay goes on; it is
    opened where nothing was heard of it before. `admitted_at` is when the member came, where the message says so."""

    order: str
    received_at: Instant
    source: str
    facility: str
    stay_class: StayClass
    changed_at: Instant
    admitted_at: Instant | None = None
    location: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberMoved(Fact):
    """A02, A17: to another bed or unit of the same facility. A move to another facility is a discharge here, an admission there."""

    order: str
    received_at: Instant
    source: str
    facility: str
    moved_at: Instant
    location: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCancelled(Fact):
    """A12: the member is back where they were before the latest move, also where that had taken them to another facility."""

    order: str
    received_at: Instant
    source: str
    facility: str = ""
    trigger: str = ""


class Move(StrEnum):
    """What can be announced before it happens."""

    ADMISSION = "admission"
    TRANSFER = "transfer"
    DISCHARGE = "discharge"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAnnounced(Fact):
    """A05, A14, A15, A16: what the hospital expects to happen. No clock starts with it. `expected_on` is the local day."""

    order: str
    received_at: Instant
    source: str
    facility: str
    move: Move
    expected_on: date | None = None
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementWithdrawn(Fact):
    """A25, A26, A27, A38: it is not expected any more."""

    order: str
    received_at: Instant
    source: str
    move: Move
    facility: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveBegun(Fact):
    """A21: out for a while and expected back; not a discharge."""

    order: str
    received_at: Instant
    source: str
    facility: str
    left_at: Instant
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveEnded(Fact):
    """A22: back from a leave."""

    order: str
    received_at: Instant
    source: str
    facility: str
    back_at: Instant
    trigger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StayContinuedElsewhere(Fact):
    """The hospital gave the visit another number, or found that two numbers are one visit (A06 with a prior visit, A44, A45, A47):
    what was said under this one, and whatever will be, counts for `stay`."""

    stay: str
    source: str
    trigger: str = ""


StayStatement = (
    MemberAdmitted
    | MemberDischarged
    | StayDescribed
    | AdmissionCancelled
    | DischargeCancelled
    | VisitBecame
    | MemberMoved
    | MoveCancelled
    | MoveAnnounced
    | AnnouncementWithdrawn
    | LeaveBegun
    | LeaveEnded
)


def day_alone(recorded: Recorded) -> date | None:
    """The local day on which somebody came or left, where nobody said at what time: `occurred_at` is then only where the day counts
    from, and is shown to nobody (messages.md 1.4)."""
    match recorded.fact:
        case MemberAdmitted(admitted_at=at, admitted_on=on) | MemberDischarged(discharged_at=at, discharged_on=on):
            return on if recorded.occurred_at == at else None
        case _:
            return None


def order_of(said_at: Instant | None, received_at: Instant, control_id: str, digest: str) -> str:
    """The rank of a statement among those about the same stay: sorts as text. `digest` is of the raw bytes."""
    earliest, latest = received_at - timedelta(days=SAID_BEFORE_RECEIPT_DAYS_MAX), received_at + SAID_AFTER_RECEIPT_MAX
    believed = said_at is not None and earliest <= said_at <= latest
    when = said_at.astimezone(UTC).isoformat(timespec="microseconds") if said_at is not None else ""
    return f"{int(believed)}|{when}|{control_id}|{digest}"
