"""What a notification states about a stay, in the log's words (messages.md 1.1, 1.2). Nothing is looked up, nothing decided."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from domain.core import Instant
from domain.stay.facts import (
    AdmissionCancelled,
    AnnouncementWithdrawn,
    DischargeCancelled,
    LeaveBegun,
    LeaveEnded,
    MemberAdmitted,
    MemberDischarged,
    MemberMoved,
    Move,
    MoveAnnounced,
    MoveCancelled,
    StayClass,
    StayDescribed,
    StayStatement,
    VisitBecame,
    order_of,
)
from intake.reading.er7 import DELETED
from intake.reading.notification import UNKNOWN_CLASS, Kind, Notification
from intake.reading.times import Precision, Time
from intake.senders.sources import Source
from intake.store.inbox import Row

_EXPIRED: Final = ("20", "40", "41", "42")


def occurred_at_of(said: Notification, received_at: Instant) -> Instant:
    """When it happened; a discharge of which only the day is known, at the end of that day."""
    if said.occurred is None:
        return received_at
    return said.occurred.ends(said.zone) if said.kind is Kind.DISCHARGED else said.occurred.begins(said.zone)


def rank_of(said: Notification, row: Row) -> str:
    """Which of two messages about a stay was said later (domain.stay.facts.order_of). One that came inside another has no control
    id in the inbox, but may have one where it was written, and in any case its place there."""
    control_id = row.control_id if row.part_of is None else f"{said.control_id}:{row.line}"
    return order_of(said.said_at, row.received_at, control_id, row.sha256.hex())


def statements_of(said: Notification, source: Source, received_at: Instant, order: str) -> Iterator[StayStatement]:
    """The statements about the notification's own stay. `order` ranks them (domain.stay.facts.order_of)."""
    who: dict[str, Any] = {
        "order": order, "received_at": received_at, "source": source.name, "facility": said.facility, "trigger": said.trigger,
    }  # fmt: skip
    at = occurred_at_of(said, received_at)
    stay_class = StayClass(said.stay_class)
    heard_class = None if said.stay_class == UNKNOWN_CLASS else stay_class
    disposition = said.disposition
    admitted_at = said.admitted.begins(said.zone) if said.admitted is not None else None
    discharged = said.discharged if said.discharged is not None and said.discharged is not DELETED else None
    discharged_at = discharged.ends(said.zone) if discharged is not None else None
    died_at = said.died_at.begins(said.zone) if said.died_at is not None else None
    match said.kind:
        case Kind.ADMITTED | Kind.REGISTERED:
            yield MemberAdmitted(
                **who, stay_class=stay_class, admitted_at=admitted_at or received_at, admitted_on=_day_only(said.admitted),
                expected_discharge_on=said.expected_discharge, location=said.location,
            )  # fmt: skip
        case Kind.MOVED if said.prior_facility:
            yield MemberAdmitted(**who, stay_class=stay_class, admitted_at=at, location=said.location)
        case Kind.DISCHARGED:
            yield MemberDischarged(
                **who, discharged_at=discharged_at or received_at, discharged_on=_day_only(discharged),
                disposition=disposition.code if disposition else "", disposition_said=disposition.said if disposition else "",
                stay_class=heard_class, admitted_at=admitted_at,
            )  # fmt: skip
        case Kind.DESCRIBED:
            yield StayDescribed(
                **who, stay_class=heard_class, admitted_at=admitted_at, discharged_at=discharged_at,
                discharged_on=_day_only(discharged), disposition=disposition.code if disposition else None,
                disposition_said=disposition.said if disposition else "", died=bool(said.died), died_at=died_at,
                alive=said.died is False,
            )  # fmt: skip
        case Kind.BECAME:
            yield VisitBecame(**who, stay_class=stay_class, changed_at=at, admitted_at=admitted_at, location=said.location)
        case Kind.MOVED:
            yield MemberMoved(**who, moved_at=at, location=said.location)
        case Kind.ADMISSION_CANCELLED:
            yield AdmissionCancelled(**who)
        case Kind.DISCHARGE_CANCELLED:
            yield DischargeCancelled(**who)
        case Kind.MOVE_CANCELLED:
            yield MoveCancelled(**who)
        case Kind.ANNOUNCED:
            yield MoveAnnounced(**who, move=Move(said.move), expected_on=said.expected)
        case Kind.CALLED_OFF:
            yield AnnouncementWithdrawn(**who, move=Move(said.move))
        case Kind.LEAVE_BEGUN:
            yield LeaveBegun(**who, left_at=at)
        case Kind.LEAVE_ENDED:
            yield LeaveEnded(**who, back_at=at)
        case Kind.RENUMBERED:
            pass
    expired = disposition is not None and disposition.code in _EXPIRED
    if said.died and not expired and said.kind is not Kind.DESCRIBED:
        yield StayDescribed(**who, died=True, died_at=died_at)
    if said.died is False and said.kind is Kind.DISCHARGE_CANCELLED:  # what was said at the discharge is taken back with it
        yield StayDescribed(**who, alive=True)


def _day_only(time: Time | None) -> date | None:
    """The local day of a time of which no more is known."""
    return time.day if time is not None and time.precision < Precision.HOUR else None
