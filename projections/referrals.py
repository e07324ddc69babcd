"""Referrals, one by one: who referred whom, until when the plan has to answer, and what it said. Nothing that is sealed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.episode.referrals import ReferralAnswered, ReferralReceived, ReferralWithdrawn
from eventlog.codec import StoredFact
from projections.model import ReadModel

WAITS, APPROVED, DENIED, WITHDRAWN, NOT_ASKED = "waits", "approved", "denied", "withdrawn", "not_asked"
STATES = (WAITS, APPROVED, DENIED, WITHDRAWN, NOT_ASKED)


@dataclass(frozen=True, slots=True)
class ReferralRow:
    """`key` is `<episode>|<referral>`. `state`: what the plan said last, or that it is waited for; `not_asked` where it need not
    say anything. `repeats`: an earlier referral of the same episode."""

    key: str
    episode: str
    referral: str
    state: str
    source: str = ""
    organisation: str = ""
    urgency: str = ""
    populations: tuple[str, ...] = ()
    received_at: datetime | None = None
    recorded_at: datetime | None = None
    by: str = ""
    answer_due_at: datetime | None = None
    policy: str = ""
    repeats: str = ""
    answered_on: date | None = None
    answered_because: str = ""
    appeal_until: date | None = None
    withdrawn_because: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.referral}",)


def _fold(key: str, row: ReferralRow | None, stored: StoredFact) -> ReferralRow:
    r = stored.recorded
    row = row or ReferralRow(key, r.stream, r.fact.referral, NOT_ASKED)
    match r.fact:
        case ReferralReceived() as fact:
            told = replace(
                row,
                source=fact.source.value,
                organisation=fact.organisation,
                urgency=fact.urgency.value,
                populations=fact.populations,
                received_at=r.occurred_at,
                recorded_at=r.recorded_at,
                by=r.actor,
                answer_due_at=fact.answer_due_at,
                policy=fact.policy,
                repeats=fact.repeats,
            )
            return replace(told, state=WAITS) if row.state == NOT_ASKED and fact.answer_due_at is not None else told
        case ReferralAnswered(answer=answer, communicated_on=day, reason=reason, appeal_until=until):
            return replace(row, state=answer.value, answered_on=day, answered_because=reason, appeal_until=until)
        case ReferralWithdrawn(reason=reason):
            return replace(row, state=WITHDRAWN, withdrawn_because=reason)
        case _:
            return row


REFERRALS = ReadModel(
    name="referrals",
    row=ReferralRow,
    keys=_keys,
    fold=_fold,
    facts=(ReferralAnswered, ReferralReceived, ReferralWithdrawn),
    indexes=("episode", "state, received_at", "source, received_at"),
)
