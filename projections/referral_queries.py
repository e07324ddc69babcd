"""The questions about ways in: which referrals came, what the plan said to them, and from where they come (domain.md 2.12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import TupleRow

from domain.core import StreamId
from domain.episode.referrals import ReferralSource
from projections import referrals as referral_states
from projections.answers import Page
from projections.asking import LIMIT_DEFAULT, Ask, known
from projections.reader import Reader

REFERRALS = """SELECT r.referral, r.episode, coalesce(e.member, ''), '', coalesce(e.plan, ''), coalesce(e.lead, ''), r.state,
    r.source, r.organisation, r.urgency, r.populations, r.received_at, r.recorded_at, r.by, r.answer_due_at, r.policy, r.repeats,
    r.answered_on, r.answered_because, r.appeal_until, r.withdrawn_because,
    coalesce(r.state = 'waits' AND r.answer_due_at <= %s, false)
FROM read.referrals r LEFT JOIN read.episodes e ON e.key = r.episode"""

MIX = """SELECT e.referral_source, e.plan, count(*), count(e.enrolled_at), min(e.received_at), max(e.received_at)
FROM read.episodes e WHERE e.received_at >= %s AND (%s::text IS NULL OR e.plan = %s)
GROUP BY e.referral_source, e.plan ORDER BY e.plan, count(*) DESC, e.referral_source"""

EVER = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class ReferralAnswer:
    """A referral. `state`: waits, approved, denied, withdrawn, or not_asked (the plan need not answer). `overdue`: the plan's day
    has passed. `by`: who recorded it, a member of staff or a feed."""

    referral: str
    episode: str
    member: str
    member_name: str
    plan: str
    lead: str
    state: str
    source: str
    organisation: str
    urgency: str
    populations: tuple[str, ...]
    received_at: datetime | None
    recorded_at: datetime | None
    by: str
    answer_due_at: datetime | None
    policy: str
    repeats: str
    answered_on: date | None
    answered_because: str
    appeal_until: date | None
    withdrawn_because: str
    overdue: bool


@dataclass(frozen=True, slots=True)
class WayIn:
    """How many episodes began by one way in, and how many of them came to an enrolment."""

    source: str
    plan: str
    episodes: int
    enrolled: int
    first_at: datetime
    last_at: datetime


class ReferralQueries(Reader):
    """Asks about ways in."""

    def referrals(
        self,
        *,
        now: datetime,
        state: str | None = None,
        source: str | None = None,
        plan: str | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        overdue: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[ReferralAnswer]:
        """Referrals, the newest first: from whom, until when the plan answers, and what it said."""
        ask = Ask(REFERRALS).given(now)
        if state is not None:
            known("state", (state,), referral_states.STATES)
        if source is not None:
            known("source", (source,), tuple(ReferralSource))
        ask.equal("r.state", state).equal("r.source", source).equal("e.plan", plan).equal("e.member", member)
        ask.equal("r.episode", episode)
        if overdue:
            ask.where("r.state = 'waits' AND r.answer_due_at <= %s", now)
        ask.where("r.received_at IS NOT NULL")
        ask.order("r.received_at", "r.key", newest_first=True).page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _referral)
        return self._named(page, names, {"member_name": "member"})

    def ways_in(self, *, since: datetime | None = None, plan: str | None = None) -> tuple[WayIn, ...]:
        """The mix of sources: where the episodes that began since then came from."""
        return tuple(WayIn(*row) for row in self._rows(MIX, (since or EVER, plan, plan)))


def _referral(row: TupleRow) -> ReferralAnswer:
    said: list[Any] = list(row)
    said[10] = tuple(row[10])
    return ReferralAnswer(*said)
