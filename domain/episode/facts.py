"""What is said of one episode, from a plan's assignment to its closure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import Fact, Instant, StreamId, personal


class ClosureReason(StrEnum):
    """The canonical reasons of domain.md 2.7."""

    GOALS_MET = "GOALS_MET"
    STEP_DOWN = "STEP_DOWN"
    MEMBER_WITHDREW = "MEMBER_WITHDREW"
    UNSAFE = "UNSAFE"
    UNABLE_TO_REACH = "UNABLE_TO_REACH"
    DECLINED = "DECLINED"
    INCARCERATED = "INCARCERATED"
    DUPLICATIVE_PROGRAM = "DUPLICATIVE_PROGRAM"
    LOST_MEDI_CAL = "LOST_MEDI_CAL"
    CHANGED_PLAN = "CHANGED_PLAN"
    MOVED_COUNTY = "MOVED_COUNTY"
    MOVED_COUNTRY = "MOVED_COUNTRY"
    NOT_REAUTHORIZED = "NOT_REAUTHORIZED"
    DECEASED = "DECEASED"
    ASSIGNMENT_WITHDRAWN = "ASSIGNMENT_WITHDRAWN"
    OTHER = "OTHER"


MEMBER_SAID_NO = (ClosureReason.DECLINED, ClosureReason.MEMBER_WITHDREW)
"""Reasons after which a plan's list opens no new episode by itself: it takes a person's word that the member wants one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentReceived(Fact):
    """A plan gave the member to us. `received_at` is when its file landed and was accepted; `effective_on` and `authorized_on` are
    the plan's own dates; `plan_tier` is the plan's and never overwritten; `previous` is the episode that this one follows."""

    member: StreamId
    plan: str
    received_at: Instant
    effective_on: date | None = None
    authorized_on: date | None = None
    referral_source: str = "plan_file"
    plan_tier: str = ""
    previous: StreamId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentResent(Fact):
    """The plan listed the member again; no clock restarts (domain.md 2.3)."""

    received_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentWithdrawn(Fact):
    """The plan, or an authorised person, took the assignment back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCareManagerAssigned(Fact):
    staff: StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCareManagerHandedOver(Fact):
    """From one lead care manager to another, with a note. Open clocks keep their due dates (domain.md scenario 65)."""

    member: StreamId
    giver: StreamId
    receiver: StreamId
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCareManagerReleased(Fact):
    """Nobody is lead care manager now: explicit, and shown."""

    staff: StreamId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnrolled(Fact):
    """The member takes part: the benefit starts. `agreed`: verbal, written, or carried_over from another plan's episode; `to_whom`:
    the staff member who heard it; `how`: in_person, phone, video."""

    agreed: str
    to_whom: StreamId
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDeclined(Fact):
    """The member does not want the programme. Everything stops at once."""

    member: StreamId
    how: str = ""
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralAgreed(Fact):
    """The member said "not now, call in June": outreach rests until that local day (domain.md scenario 33)."""

    until: date


class HoldCode(StrEnum):
    """Why an episode rests."""

    INCARCERATED = "incarcerated"
    INPATIENT = "inpatient"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeHeld(Fact):
    """`reason`: in somebody's words."""

    reason: str
    code: HoldCode = HoldCode.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeResumed(Fact):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReapplied(Fact):
    """Open clocks of this episode move to another policy version, by a person's explicit word (domain.md 2.3)."""

    policy: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeClosed(Fact):
    reason: ClosureReason
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeReinstated(Fact):
    """A closure that rested on an error (a wrong report of death) was undone."""

    reason: str
