"""Every exchange and every try, of whichever process: when, how, with whom, by whom, and whether it counts.

One row a record; a record struck out or rejected stays, and no longer counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.followup.facts import FollowUpAttemptMade, FollowUpContactMade
from domain.interactions import SYNCHRONOUS
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.transition.facts import TransitionAttemptMade, TransitionContactMade
from eventlog.codec import StoredFact
from projections.model import ReadModel

CONTACT, ATTEMPT = "contact", "attempt"
COUNTS, AWAITS_APPROVAL, REJECTED, STRUCK_OUT = "counts", "awaits_approval", "rejected", "struck_out"
WITH_MEMBER = ("member", "caregiver")
"""Whom one has to have spoken with for an exchange with the member (domain.md 1.10)."""

_LIVE = frozenset(i.value for i in SYNCHRONOUS)
_SETTLING = (BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut)


@dataclass(frozen=True, slots=True)
class ContactRecordRow:
    """`key` is the record's event id. `two_way`: an exchange with the member or their caregiver, not only with a ward. `standing`:
    counts, awaits_approval, rejected, struck_out."""

    key: str
    stream: str
    episode: str
    member: str
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    how: str
    spoken_to: str
    outcome: str
    minutes: int
    two_way: bool
    by: str
    standing: str


def is_exchange(fact: object) -> bool:
    """Whether somebody spoke with the member, or their caregiver, live: not only with a ward, and not only left a message."""
    match fact:
        case ContactMade() | AttemptMade(outcome=Outcome.REACHED):
            return True
        case TransitionContactMade() | FollowUpContactMade() as met:
            return met.interaction.value in _LIVE and met.spoken_to.value in WITH_MEMBER
        case _:
            return False


def _keys(stored: StoredFact) -> tuple[str, ...]:
    fact = stored.recorded.fact
    return (fact.record,) if isinstance(fact, _SETTLING) else (stored.recorded.event_id,)


def _fold(key: str, row: ContactRecordRow | None, stored: StoredFact) -> ContactRecordRow | None:
    match stored.recorded.fact:
        case BackdatedRecordApproved():
            return row if row is None or row.standing != AWAITS_APPROVAL else replace(row, standing=COUNTS)
        case BackdatedRecordRejected():
            return row if row is None or row.standing != AWAITS_APPROVAL else replace(row, standing=REJECTED)
        case RecordStruckOut():
            return row if row is None else replace(row, standing=STRUCK_OUT)
        case ContactMade() as met:
            return _row(key, stored, CONTACT, how=met.channel.value, spoken_to="member", minutes=met.minutes)
        case AttemptMade(outcome=Outcome.REACHED) as met:
            return _row(key, stored, CONTACT, how=met.channel.value, spoken_to="member", minutes=met.minutes)
        case AttemptMade() as tried:
            return _row(key, stored, ATTEMPT, how=tried.channel.value, outcome=tried.outcome.value, minutes=tried.minutes)
        case TransitionContactMade() | FollowUpContactMade() as met:
            return _row(key, stored, CONTACT, how=met.interaction.value, spoken_to=met.spoken_to.value, minutes=met.minutes)
        case TransitionAttemptMade() | FollowUpAttemptMade() as tried:
            return _row(key, stored, ATTEMPT, how=tried.interaction.value, outcome=tried.outcome.value)
        case _:
            return row


def _row(
    key: str,
    stored: StoredFact,
    kind: str,
    *,
    how: str,
    spoken_to: str = "",
    outcome: str = "",
    minutes: int = 0,
) -> ContactRecordRow:
    recorded, fact = stored.recorded, stored.recorded.fact
    return ContactRecordRow(
        key=key,
        stream=recorded.stream,
        episode="episode-" + recorded.stream.partition("-")[2],
        member=fact.member,
        kind=kind,
        occurred_at=recorded.occurred_at,
        recorded_at=recorded.recorded_at,
        how=how,
        spoken_to=spoken_to,
        outcome=outcome,
        minutes=minutes,
        two_way=is_exchange(fact),
        by=recorded.actor,
        standing=AWAITS_APPROVAL if fact.approval_needed else COUNTS,
    )


CONTACTS = ReadModel(
    name="contacts",
    row=ContactRecordRow,
    keys=_keys,
    fold=_fold,
    facts=(
        AttemptMade,
        BackdatedRecordApproved,
        BackdatedRecordRejected,
        ContactMade,
        FollowUpAttemptMade,
        FollowUpContactMade,
        RecordStruckOut,
        TransitionAttemptMade,
        TransitionContactMade,
    ),
    indexes=("member, occurred_at", "episode, occurred_at", "occurred_at, key"),
)
