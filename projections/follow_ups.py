"""The follow-up of each episode: under which policy it runs, whether it goes on, and which interval was agreed with the member."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.followup.facts import (
    CadenceAgreed,
    CadenceAgreementEnded,
    FollowUpEnded,
    FollowUpOpened,
    FollowUpResumed,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class FollowUpCourse:
    """`key` is the episode's stream, `process` that of its follow-up. `agreed_every_days` is 0 where nothing was agreed: the plan's
    own interval holds."""

    key: str
    process: str
    member: str = ""
    policy: str = ""
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    ended_because: str = ""
    agreed_every_days: int = 0
    agreed_because: str = ""
    agreed_at: datetime | None = None


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return ("episode-" + stored.recorded.stream.partition("-")[2],)


def _fold(key: str, row: FollowUpCourse | None, stored: StoredFact) -> FollowUpCourse:
    recorded = stored.recorded
    row = row or FollowUpCourse(key, recorded.stream)
    at = recorded.occurred_at
    match recorded.fact:
        case FollowUpOpened() as opened:
            return replace(row, member=opened.member, policy=opened.policy, opened_at=opened.since, ended_at=None, ended_because="")
        case FollowUpEnded(reason=reason):
            return replace(row, ended_at=at, ended_because=reason)
        case FollowUpResumed():
            return replace(row, ended_at=None, ended_because="")
        case CadenceAgreed() | CadenceAgreementEnded() if row.agreed_at is not None and row.agreed_at > at:
            return row
        case CadenceAgreed(every_days=days, reason=reason):
            return replace(row, agreed_every_days=days, agreed_because=reason, agreed_at=at)
        case CadenceAgreementEnded():
            return replace(row, agreed_every_days=0, agreed_because="", agreed_at=at)
        case _:
            return row


FOLLOW_UPS = ReadModel(
    name="follow_ups",
    row=FollowUpCourse,
    keys=_keys,
    fold=_fold,
    facts=(CadenceAgreed, CadenceAgreementEnded, FollowUpEnded, FollowUpOpened, FollowUpResumed),
)
