"""Transitional care: which stay concerns which episode, and whether support still goes on.

Two read models, one row a stay and one a process; what is owed stands in `deadlines`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.transition.facts import (
    ChecklistItemDone,
    ChecklistItemReopened,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionContactMade,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class TransitionStay:
    """`key` is `<transition stream>|<stay>`."""

    key: str
    process: str
    stay: str
    member: str
    episode: str
    plan: str
    policy: str
    since: datetime
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class TransitionCare:
    """`key` is the transition's stream. `items_done` and `items_reopened` count records, not promises."""

    key: str
    ended_at: datetime | None = None
    ended_because: str = ""
    contacts: int = 0
    attempts: int = 0
    items_done: int = 0
    items_reopened: int = 0
    last_contact_at: datetime | None = None


def _stay_keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.stay}",)


def _fold_stay(key: str, row: TransitionStay | None, stored: StoredFact) -> TransitionStay:
    opened: TransitionalCareOpened = stored.recorded.fact
    return TransitionStay(
        key=key,
        process=stored.recorded.stream,
        stay=opened.stay,
        member=opened.member,
        episode=opened.episode,
        plan=opened.plan,
        policy=opened.policy,
        since=opened.since,
        opened_at=stored.recorded.recorded_at if row is None else row.opened_at,
    )


def _care_keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold_care(key: str, row: TransitionCare | None, stored: StoredFact) -> TransitionCare:
    at = stored.recorded.occurred_at
    row = row or TransitionCare(key)
    match stored.recorded.fact:
        case TransitionalCareEnded(reason=reason):
            return replace(row, ended_at=at, ended_because=reason)
        case TransitionalCareResumed() | TransitionalCareOpened():
            return replace(row, ended_at=None, ended_because="")
        case TransitionContactMade():
            return replace(row, contacts=row.contacts + 1, last_contact_at=_later(row.last_contact_at, at))
        case TransitionAttemptMade():
            return replace(row, attempts=row.attempts + 1)
        case ChecklistItemDone():
            return replace(row, items_done=row.items_done + 1, last_contact_at=_later(row.last_contact_at, at))
        case ChecklistItemReopened():
            return replace(row, items_reopened=row.items_reopened + 1)
        case _:
            return row


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


TRANSITION_STAYS = ReadModel(
    name="transition_stays",
    row=TransitionStay,
    keys=_stay_keys,
    fold=_fold_stay,
    facts=(TransitionalCareOpened,),
    indexes=("process", "stay", "opened_at, key"),
)

TRANSITION_CARE = ReadModel(
    name="transition_care",
    row=TransitionCare,
    keys=_care_keys,
    fold=_fold_care,
    facts=(
        ChecklistItemDone,
        ChecklistItemReopened,
        TransitionAttemptMade,
        TransitionContactMade,
        TransitionalCareEnded,
        TransitionalCareOpened,
        TransitionalCareResumed,
    ),
)
