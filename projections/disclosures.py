"""What hospitals were told of members' enrolment, or were not told although they asked: one row an answer, for the auditor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.member.disclosures import EnrolmentDisclosed, EnrolmentWithheld
from eventlog.codec import StoredFact
from projections.model import ReadModel

TOLD, WITHHELD = "told", "withheld"


@dataclass(frozen=True, slots=True)
class DisclosureRow:
    """`key` is the fact's id; `inquiry` its number in the access log. `lead`: who was named, if somebody was."""

    key: str
    member: str
    episode: str
    inquiry: str
    asked_by: str
    answered_at: datetime
    answer: str
    why: str = ""
    lead: str | None = None
    evidence: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.event_id,)


def _fold(key: str, row: DisclosureRow | None, stored: StoredFact) -> DisclosureRow | None:
    r = stored.recorded
    match r.fact:
        case EnrolmentDisclosed(inquiry=inquiry, to=to, episode=episode, lead=lead, evidence=evidence):
            return DisclosureRow(key, r.stream, episode, inquiry, to, r.occurred_at, TOLD, "", lead, evidence)
        case EnrolmentWithheld(inquiry=inquiry, to=to, episode=episode, why=why, evidence=evidence):
            return DisclosureRow(key, r.stream, episode, inquiry, to, r.occurred_at, WITHHELD, why, None, evidence)
        case _:
            return row


DISCLOSURES = ReadModel(
    name="disclosures",
    row=DisclosureRow,
    keys=_keys,
    fold=_fold,
    facts=(EnrolmentDisclosed, EnrolmentWithheld),
    indexes=("member, answered_at", "asked_by, answered_at", "answered_at, key"),
    append_only=True,
)
