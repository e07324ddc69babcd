"""The directory of episodes: whose, of which plan, how far, with which lead care manager."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    AssignmentWithdrawn,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    LeadCareManagerReleased,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

ASSIGNED, ENROLLED, HELD, DECLINED, WITHDRAWN, CLOSED = "assigned", "enrolled", "held", "declined", "withdrawn", "closed"
STATUSES = (ASSIGNED, ENROLLED, HELD, DECLINED, WITHDRAWN, CLOSED)
UNDER_WAY = (ASSIGNED, ENROLLED, HELD)


@dataclass(frozen=True, slots=True)
class EpisodeDirectoryRow:
    """`key` is the episode's stream. `status` is the last word of all that follows from the other fields; `lead_told_at`: when what
    was said of the lead last occurred."""

    key: str
    member: str
    plan: str
    status: str
    received_at: datetime
    received_last_at: datetime
    effective_on: date | None
    referral_source: str
    plan_tier: str
    previous: str | None
    lead: str | None = None
    lead_since: datetime | None = None
    enrolled_at: datetime | None = None
    declined_at: datetime | None = None
    deferred_until: date | None = None
    held_at: datetime | None = None
    held_because: str = ""
    withdrawn_at: datetime | None = None
    closed_at: datetime | None = None
    closed_because: str = ""
    policy_reapplied: str = ""
    lead_told_at: datetime | None = None


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: EpisodeDirectoryRow | None, stored: StoredFact) -> EpisodeDirectoryRow | None:
    fact, at = stored.recorded.fact, stored.recorded.occurred_at
    if isinstance(fact, AssignmentReceived):
        return EpisodeDirectoryRow(
            key=key,
            member=fact.member,
            plan=fact.plan,
            status=ASSIGNED,
            received_at=fact.received_at,
            received_last_at=fact.received_at,
            effective_on=fact.effective_on,
            referral_source=fact.referral_source,
            plan_tier=fact.plan_tier,
            previous=fact.previous,
        )
    if row is None:
        return None
    after = _after(row, fact, at)
    return replace(after, status=_status(after))


def _after(row: EpisodeDirectoryRow, fact: object, at: datetime) -> EpisodeDirectoryRow:
    match fact:
        case AssignmentResent(received_at=received_at):
            return replace(row, received_last_at=received_at)
        case AssignmentWithdrawn():
            return replace(row, withdrawn_at=at)
        case LeadCareManagerAssigned() | LeadCareManagerHandedOver() | LeadCareManagerReleased():
            return row if row.lead_told_at is not None and at < row.lead_told_at else replace(_led(row, fact, at), lead_told_at=at)
        case MemberEnrolled():
            return replace(row, enrolled_at=at, declined_at=None)
        case MemberDeclined():
            return replace(row, declined_at=at)
        case DeferralAgreed(until=until):
            return replace(row, deferred_until=until)
        case EpisodeHeld(reason=reason):
            return replace(row, held_at=at, held_because=reason)
        case EpisodeResumed():
            return replace(row, held_at=None, held_because="")
        case PolicyReapplied(policy=policy):
            return replace(row, policy_reapplied=policy)
        case EpisodeClosed(reason=reason):
            return replace(row, closed_at=at, closed_because=reason.value)
        case EpisodeReinstated():
            return replace(row, closed_at=None, closed_because="")
        case _:
            return row


def _led(row: EpisodeDirectoryRow, fact: object, at: datetime) -> EpisodeDirectoryRow:
    """Who leads since then; what puts right the past only never comes here."""
    match fact:
        case LeadCareManagerAssigned(staff=staff) | LeadCareManagerHandedOver(receiver=staff):
            return replace(row, lead=staff, lead_since=at)
        case LeadCareManagerReleased(staff=staff) if staff == row.lead:
            return replace(row, lead=None, lead_since=None)
        case _:
            return row


def _status(row: EpisodeDirectoryRow) -> str:
    if row.closed_at is not None:
        return CLOSED
    if row.withdrawn_at is not None:
        return WITHDRAWN
    if row.declined_at is not None:
        return DECLINED
    if row.held_at is not None:
        return HELD
    return ASSIGNED if row.enrolled_at is None else ENROLLED


EPISODES = ReadModel(
    name="episodes",
    row=EpisodeDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(
        AssignmentReceived,
        AssignmentResent,
        AssignmentWithdrawn,
        DeferralAgreed,
        EpisodeClosed,
        EpisodeHeld,
        EpisodeReinstated,
        EpisodeResumed,
        LeadCareManagerAssigned,
        LeadCareManagerHandedOver,
        LeadCareManagerReleased,
        MemberDeclined,
        MemberEnrolled,
        PolicyReapplied,
    ),
    indexes=("member, received_at", "lead, status", "plan, status"),
)
