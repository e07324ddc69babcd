"""Who was told that a member is enrolled, who asked in vain, and how often each hospital asks (domain.md 8, question 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.core import StreamId
from projections.answers import Page
from projections.asking import LIMIT_DEFAULT, Ask, known
from projections.disclosures import TOLD, WITHHELD
from projections.reader import Reader

DISCLOSURES = """SELECT d.key, d.member, '', d.episode, d.inquiry, d.asked_by, d.answered_at, d.answer, d.why, coalesce(d.lead, ''),
    '', d.evidence
FROM read.disclosures d"""

ASKED = """SELECT source_id, count(*), count(*) FILTER (WHERE answer = 'told'), count(*) FILTER (WHERE answer = 'nothing_to_tell'),
    count(*) FILTER (WHERE answer = 'unanswered'), min(asked_at), max(asked_at)
FROM intake.inquiries WHERE (%s::timestamptz IS NULL OR asked_at >= %s) AND (%s::text IS NULL OR source_id = %s)
GROUP BY source_id ORDER BY source_id"""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """An answer about a member who is enrolled. `answer`: told (with `lead` as the care manager who was named) or withheld (`why`).
    `evidence`: how the hospital named the member. `inquiry`: the answer's number, which the hospital has too."""

    event_id: str
    member: str
    member_name: str
    episode: str
    inquiry: str
    asked_by: str
    answered_at: datetime
    answer: str
    why: str
    lead: str
    lead_name: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Asking:
    """How often a source asked. The access log knows no persons: what was told of whom are the disclosures."""

    source: str
    asked: int
    told: int
    nothing_to_tell: int
    unanswered: int
    first_at: datetime
    last_at: datetime


class DisclosureQueries(Reader):
    """Asks about what became known outside."""

    def disclosures(
        self,
        *,
        member: StreamId | None = None,
        source: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[Disclosure]:
        """What hospitals were told of members, or were not told although they asked, the newest first."""
        ask = Ask(DISCLOSURES)
        if status is not None:
            known("status", (status,), (TOLD, WITHHELD))
        ask.equal("d.member", member).equal("d.asked_by", source).equal("d.answer", status)
        ask.if_given("d.answered_at >= %s", since).if_given("d.answered_at < %s", until)
        ask.order("d.answered_at", "d.key", newest_first=True).page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: Disclosure(*row))
        return self._named(page, names, {"member_name": "member", "lead_name": "lead"})

    def inquiries(self, *, since: datetime | None = None, source: str | None = None) -> tuple[Asking, ...]:
        """How often each source asked, and what it was answered."""
        return tuple(Asking(*row) for row in self._rows(ASKED, (since, since, source, source)))
