"""What hospitals and people say of a stay. Each fact is a statement; the stay is what they add up to (messages.md, decision 6).

`order` ranks a statement among those about the same stay: statements whose `said_at` can be believed above the rest, then by
`said_at`, control id and digest. `received_at` is when the message reached us. `source` is the feed, or `by_hand`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from enum import StrEnum

from domain.core import Fact, Instant

BY_HAND = "by_hand"
"""The source of what a person entered."""

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
    """A01, A04 class E, or a person's word. `admitted_on` is set where only the local day is known."""

    order: str
    received_at: Instant
    source: str
    facility: str
    stay_class: StayClass
    admitted_at: Instant
    admitted_on: date | None = None
    expected_discharge_on: date | None = None
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
    """A08: fills in or corrects; never opens, closes or reopens. What is None was not said."""

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


StayStatement = MemberAdmitted | MemberDischarged | StayDescribed | AdmissionCancelled | DischargeCancelled


def order_of(said_at: Instant | None, received_at: Instant, control_id: str, digest: str) -> str:
    """The rank of a statement among those about the same stay: sorts as text. `digest` is of the raw bytes."""
    earliest, latest = received_at - timedelta(days=SAID_BEFORE_RECEIPT_DAYS_MAX), received_at + SAID_AFTER_RECEIPT_MAX
    believed = said_at is not None and earliest <= said_at <= latest
    when = said_at.astimezone(UTC).isoformat(timespec="microseconds") if said_at is not None else ""
    return f"{int(believed)}|{when}|{control_id}|{digest}"
