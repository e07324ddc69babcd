"""The questions about the year after enrolment: where each member stands, populations of focus, who was spoken with and when."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from psycopg.rows import TupleRow

from domain.core import StreamId
from domain.episode.enrolment import EnrolmentStep
from domain.followup.facts import Ground
from projections import contacts as contact_records
from projections import episodes as episode_directory
from projections import populations as population_states
from projections import questions_of_the_year as questions
from projections.answers import BadFilter, Page
from projections.answers_of_the_year import ContactRow, FollowUpRow, PopulationRow
from projections.asking import LIMIT_DEFAULT, Ask, known
from projections.reader import Reader

NO_CONTACT_DAYS_MAX = 3_660
IN_FOLLOW_UP = (episode_directory.ENROLLED, episode_directory.HELD)
STANDINGS = (contact_records.COUNTS, contact_records.AWAITS_APPROVAL, contact_records.REJECTED, contact_records.STRUCK_OUT)
STEPS = tuple(step.value for step in EnrolmentStep)


class FollowUpQueries(Reader):
    """Asks about the year after enrolment."""

    def follow_ups(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        status: str | None = None,
        tier: str | None = None,
        tier_overridden: bool | None = None,
        step_undone: str | None = None,
        no_contact_days: int | None = None,
        authorised_before: date | None = None,
        conflict_open: bool | None = None,
        overdue: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[FollowUpRow]:
        """Where each member stands in the year after enrolment, by the next contact's due. Without `status`: who is enrolled, held
        or not.

        `no_contact_days`: nobody spoke with them for so many days, nor were they enrolled since. `authorised_before`: what is
        authorised ends before that day, or nothing is.
        """
        ask = Ask(questions.FOLLOW_UPS)
        ask.given(now, now)
        if status is None and episode is None:
            ask.where("q.status = ANY(%s)", list(IN_FOLLOW_UP))
        elif status is not None:
            known("status", (status,), episode_directory.STATUSES)
            ask.where("q.status = %s", status)
        if step_undone is not None:
            known("step_undone", (step_undone,), STEPS)
            ask.where("NOT q.steps @> ARRAY[%s]", step_undone)
        ask.equal("q.plan", plan).equal("q.lead", care_manager).one_of("q.member", self._person(member)).equal("q.episode", episode)
        ask.equal("q.tier", tier).equal("q.overridden", tier_overridden).equal("q.conflicts_open > 0", conflict_open)
        if (since := no_contact_since(now, no_contact_days)) is not None:
            ask.where("greatest(q.last_contact_at, q.enrolled_at, q.received_at) < %s", since)
        ask.if_given("(q.authorised_until IS NULL OR q.authorised_until < %s)", authorised_before)
        if overdue:
            ask.where("q.overdue + q.missed > 0")
        ask.order("q.sorted_at", "q.episode").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _follow_up)
        return self._named(page, names, {"lead_name": "lead", "member_name": "member"})

    def populations(
        self,
        *,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        population: str | None = None,
        state: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[PopulationRow]:
        """Populations of focus by the instant of the last word on them: proposed, confirmed, rejected, or proposed no longer."""
        ask = Ask(questions.POPULATIONS)
        if state is not None:
            known("state", (state,), population_states.STATES)
        ask.one_of("e.member", self._person(member)).equal("p.episode", episode).equal("e.plan", plan).equal("e.lead", care_manager)
        ask.equal("p.population", population).equal("p.state", state)
        ask.order("p.since", "p.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _population)
        return self._named(page, names, {"by_name": "by", "member_name": "member"})

    def contacts(
        self,
        *,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        plan: str | None = None,
        by: StreamId | None = None,
        kind: str | None = None,
        standing: str | None = None,
        two_way: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        newest_first: bool = True,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[ContactRow]:
        """Every exchange and every try, of whichever process, with how late it was entered."""
        ask = Ask(questions.CONTACTS)
        if kind is not None:
            known("kind", (kind,), (contact_records.CONTACT, contact_records.ATTEMPT))
        if standing is not None:
            known("standing", (standing,), STANDINGS)
        ask.one_of("c.member", self._person(member))
        ask.equal("c.episode", episode).equal("e.plan", plan).equal("c.by", by).equal("c.kind", kind)
        ask.equal("c.standing", standing).equal("c.two_way", two_way)
        ask.if_given("c.occurred_at >= %s", since).if_given("c.occurred_at < %s", until)
        ask.order("c.occurred_at", "c.key", newest_first=newest_first).page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: ContactRow(*row))
        return self._named(page, names, {"by_name": "by", "member_name": "member"})


def no_contact_since(now: datetime, days: int | None) -> datetime | None:
    """The instant since which nobody may have spoken with the member. Raises BadFilter."""
    if days is None:
        return None
    if not 1 <= days <= NO_CONTACT_DAYS_MAX:
        raise BadFilter("no_contact_days", f"it must lie between 1 and {NO_CONTACT_DAYS_MAX}")
    return now - timedelta(days=days)


def _follow_up(row: TupleRow) -> FollowUpRow:
    done = set(row[9])
    steps = (tuple(s for s in STEPS if s in done), tuple(s for s in STEPS if s not in done))
    populations = (tuple(row[23] or ()), tuple(row[24] or ()))
    said: list[Any] = [*row[:9], *steps, *row[10:23], *populations, *row[25:]]
    return FollowUpRow(*said)


def _population(row: TupleRow) -> PopulationRow:
    said: list[Any] = list(row)
    said[6] = msgspec.convert(said[6], tuple[Ground, ...])
    return PopulationRow(*said)
