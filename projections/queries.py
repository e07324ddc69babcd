"""The questions that command line and API ask, answered from the read models, the shell's worklist and the inbox.

One function a question; filters narrow, a cursor goes on. Names and notes are unsealed only where the caller asks for them, from
the log and for the page at hand; nothing here decides and nothing writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec
from psycopg.rows import TupleRow

from domain.clocks import Variant
from domain.core import ObligationState, StreamId, personal_fields
from projections import episodes as episode_directory
from projections import questions
from projections.answers import (
    BadFilter,
    Deadline,
    EpisodeRow,
    InboxCount,
    InboxRow,
    MemberCard,
    MemberRow,
    MessageRow,
    NotReady,
    Page,
    PolicyRow,
    ProcessRow,
    QueryAway,
    StaffRow,
    TimelineEntry,
    TransitionRow,
    WorkItem,
)
from projections.asking import LIMIT_DEFAULT, LIMIT_MAX, Ask, away, known, limited
from projections.avoidable_queries import AvoidableQueries
from projections.care_papers import CarePaperQueries
from projections.caseload_queries import CaseloadQueries
from projections.counts import FactCount
from projections.deadlines import EarlierDue
from projections.disclosure_queries import DisclosureQueries
from projections.follow_up_queries import FollowUpQueries, no_contact_since
from projections.lookup import digest, name_digests, normal_cin, words
from projections.members import ContactPoint
from projections.referral_queries import ReferralQueries
from projections.staff import Absence, DoneTraining, HeldLicence, ShareOfFullTime
from projections.words import promise

__all__ = ["BadFilter", "NotReady", "Page", "Queries", "QueryAway"]

CANDIDATES_MAX = 5_000
"""Members with the same first letters of a name that one search unseals."""

NOT_CHECKLIST = ("notice", "notice_read")
"""Rules of transitional care that set dues, but no items of the checklist after a discharge."""

SUSPENDED, NOT_MISSED = "suspended", "not_missed"
WORK_STATES = (*(s.value for s in ObligationState), SUSPENDED)
VERDICTS = (*WORK_STATES, NOT_MISSED)
TRANSITION_STATUSES = ("admitted", "discharged", "cancelled", "ended", "in_care")
INBOX_STATUSES = ("received", "applied", "duplicate", "unmatched", "waiting", "ignored", "dead")

T = TypeVar("T")


class Queries(FollowUpQueries, CaseloadQueries, CarePaperQueries, ReferralQueries, DisclosureQueries, AvoidableQueries):
    """Asks. Thread-safe. `index_key` is needed for looking members up by name, CIN or birth date."""

    # --- what is owed ----------------------------------------------------------------------------------------------------------

    def worklist(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        kind: str | None = None,
        rule: str | None = None,
        member: StreamId | None = None,
        process: StreamId | None = None,
        due_after: datetime | None = None,
        due_before: datetime | None = None,
        overdue: bool = False,
        states: Sequence[str] = (),
        governing: bool | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[WorkItem]:
        """What is owed, by the last moment at which it can be done. Without `states`: what can still be done, on time or late.

        `care_manager` finds what they owe and what is owed to members whose lead they are. `rule` is how a rule's name begins.
        """
        ask = Ask(questions.WORK)
        known("states", states, WORK_STATES)
        if states:
            ask.where("(CASE WHEN o.suspended AND o.state = 'open' THEN 'suspended' ELSE o.state END) = ANY(%s)", list(states))
        else:
            ask.where(
                "NOT o.suspended AND (o.state IN ('open', 'infeasible') OR (o.state = 'missed' AND o.closes > %s AND NOT s.done))",
                now,
            )
        ask.equal("o.plan", plan).equal("o.kind", kind).one_of("o.member", self._person(member)).equal("o.process", process)
        ask.equal("o.governing", governing).starts("o.rule", rule)
        ask.if_given("(o.owed_by = %s OR e.lead = %s)", care_manager, twice=True)
        ask.if_given("o.due >= %s", due_after).if_given("o.due < %s", due_before)
        if overdue:
            ask.where("o.due <= %s AND o.state IN ('open', 'missed', 'infeasible')", now)
        ask.order("o.act_by", "o.process", "o.key").page(limit, cursor)
        rows = self._rows(*ask.sql())
        page = ask.paged(rows, lambda row: _work_item(row, now))
        return self._named(page, names, {"owed_by_name": "owed_by", "member_name": "member"})

    def asked_of_people(
        self, rules: Sequence[str], *, now: datetime, plan: str | None = None, limit: int = LIMIT_MAX
    ) -> tuple[WorkItem, ...]:
        """What waits for somebody's word under some rules, in every process, by the last moment at which it can be given."""
        ask = Ask(questions.WORK).where("o.rule = ANY(%s) AND o.state = 'open' AND NOT o.suspended", list(rules))
        ask.equal("o.plan", plan).order("o.act_by", "o.process", "o.key").page(limit, None)
        return ask.paged(self._rows(*ask.sql()), lambda row: _work_item(row, now)).items

    def deadlines(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        kind: str | None = None,
        rule: str | None = None,
        member: StreamId | None = None,
        process: StreamId | None = None,
        subject: StreamId | None = None,
        due_after: datetime | None = None,
        due_before: datetime | None = None,
        verdicts: Sequence[str] = (),
        governing: bool | None = None,
        late_on_arrival: bool | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[Deadline]:
        """Every due that was ever set, by due instant, with what became of it."""
        ask = Ask(questions.DEADLINES)
        ask.given(now)
        known("verdicts", verdicts, VERDICTS)
        if verdicts:
            ask.where("q.verdict = ANY(%s)", list(verdicts))
        ask.equal("q.plan", plan).equal("q.kind", kind).one_of("q.member", self._person(member)).equal("q.stream", process)
        ask.equal("q.subject", subject).equal("q.governing", governing).equal("q.late_on_arrival", late_on_arrival)
        ask.starts("q.rule", rule)
        ask.if_given("(q.owed_by = %s OR q.lead = %s)", care_manager, twice=True)
        ask.if_given("q.due_at >= %s", due_after).if_given("q.due_at < %s", due_before)
        ask.order("q.due_at", "q.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _deadline)
        return self._named(page, names, {"member_name": "member"})

    def transitions(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        status: str | None = None,
        overdue: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[TransitionRow]:
        """The board of transitional care: one row a stay and episode, newest first. `in_care`: neither ended nor cancelled."""
        ask = Ask(questions.TRANSITIONS)
        ask.given(list(NOT_CHECKLIST), now, now)
        if status is not None:
            known("status", (status,), TRANSITION_STATUSES)
            if status == "in_care":
                ask.where("q.status IN ('admitted', 'discharged')")
            else:
                ask.where("q.status = %s", status)
        ask.equal("q.plan", plan).equal("q.lead", care_manager).one_of("q.member", self._person(member)).equal("q.episode", episode)
        if overdue:
            ask.where("q.overdue > 0")
        ask.order("q.opened_at", "q.key", newest_first=True).page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: TransitionRow(*row[: len(fields(TransitionRow))]))
        return self._named(page, names, {"lead_name": "lead", "member_name": "member"})

    # --- histories -------------------------------------------------------------------------------------------------------------

    def timeline(
        self,
        *,
        member: StreamId,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Sequence[str] = (),
        order: str = "occurred",
        newest_first: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        unseal: bool = False,
    ) -> Page[TimelineEntry]:
        """Every fact of a member over all streams.

        `as_of`: what had occurred by then. `known_at`: what was recorded by then, of the streams that were known by then to be the
        member's. Both instants are included. `since` and `until` narrow by occurrence, half-open. `kinds` are kinds of streams.
        """
        ask = Ask(questions.TIMELINE)
        ask.one_of("b.member", self._person(member, known_at))
        if known_at is None:
            ask.where("b.known_until IS NULL")
        else:
            ask.where("b.known_since <= %s AND (b.known_until IS NULL OR b.known_until > %s)", known_at, known_at)
        return self._history(ask, as_of, known_at, since, until, kinds, order, newest_first, limit, cursor, unseal)

    def stream_timeline(
        self,
        *,
        stream: StreamId,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: str = "occurred",
        newest_first: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        unseal: bool = False,
    ) -> Page[TimelineEntry]:
        """Every fact of one stream: of a stay, of a member of staff, of a plan's policy."""
        ask = Ask(questions.STREAM_TIMELINE)
        ask.where("t.stream = %s", stream)
        return self._history(ask, as_of, known_at, since, until, (), order, newest_first, limit, cursor, unseal)

    def _history(
        self,
        ask: Ask,
        as_of: datetime | None,
        known_at: datetime | None,
        since: datetime | None,
        until: datetime | None,
        kinds: Sequence[str],
        order: str,
        newest_first: bool,
        limit: int,
        cursor: str | None,
        unseal: bool,
    ) -> Page[TimelineEntry]:
        known("order", (order,), ("occurred", "recorded"))
        ask.if_given("t.occurred_at <= %s", as_of).if_given("t.recorded_at <= %s", known_at)
        ask.if_given("t.occurred_at >= %s", since).if_given("t.occurred_at < %s", until)
        if kinds:
            ask.where("t.kind = ANY(%s)", list(kinds))
        ask.order(*(("t.occurred_at", "t.position") if order == "occurred" else ("t.position",)), newest_first=newest_first)
        ask.page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: TimelineEntry(*row[: len(fields(TimelineEntry)) - 1]))
        return replace(page, items=self._unsealed(page.items)) if unseal else page

    def _unsealed(self, entries: tuple[TimelineEntry, ...]) -> tuple[TimelineEntry, ...]:
        wanted = [e.position for e in entries if e.sealed]
        with away():
            found = {s.recorded.position: s.recorded.fact for s in self._log.at(wanted)}
        said = {
            at: tuple((name, str(v)) for name in personal_fields(type(fact)) if (v := getattr(fact, name)) is not None)
            for at, fact in found.items()
        }
        return tuple(replace(e, personal=said[e.position]) if e.position in said else e for e in entries)

    # --- people and episodes ---------------------------------------------------------------------------------------------------

    def members(
        self,
        *,
        text: str | None = None,
        cin: str | None = None,
        birth_date: date | None = None,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        status: str | None = None,
        tier: str | None = None,
        no_contact_days: int | None = None,
        now: datetime | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[MemberRow]:
        """Members by the instant of registration. `text` is the beginning of names: three letters or more of each, or a whole short
        one; `cin` as on the card; `status` and `tier` of the newest episode. `no_contact_days`: of those with an episode under way,
        with whom nobody spoke for so many days before `now`, nor were they assigned since."""
        ask = self._ask_members(cin=cin, birth_date=birth_date, plan=plan, care_manager=care_manager, status=status)
        ask.equal("t.tier", tier)
        if no_contact_days is not None:
            assert now is not None, "no_contact_days counts back from an instant"
            if status is None:
                ask.where("e.status = ANY(%s)", list(episode_directory.UNDER_WAY))
            ask.where("greatest(c.last_contact_at, e.received_at) < %s", no_contact_since(now, no_contact_days))
        if text is not None:
            return self._by_name(ask, text, limit, cursor, names)
        ask.page(limit, cursor)
        return self._named(ask.paged(self._rows(*ask.sql()), _member), names, {"name": "member"})

    def member(self, member: StreamId, *, names: bool = False) -> MemberCard | None:
        """One member with all their episodes; None where there is no such member."""
        ask = self._ask_members()
        ask.where("m.key = %s", member).page(1, None)
        found = self._named(ask.paged(self._rows(*ask.sql()), _member), names, {"name": "member"}).items
        if not found:
            return None
        return MemberCard(found[0], self.episodes(member=member, limit=LIMIT_MAX, names=names).items)

    def _ask_members(
        self,
        *,
        cin: str | None = None,
        birth_date: date | None = None,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        status: str | None = None,
    ) -> Ask:
        ask = Ask(questions.MEMBERS)
        if cin is not None:
            ask.where("l.cin = %s", digest(self._key("cin"), "cin", normal_cin(cin)))
        if birth_date is not None:
            ask.where("l.birth_date = %s", digest(self._key("birth_date"), "birth_date", birth_date.isoformat()))
        if status is not None:
            known("status", (status,), episode_directory.STATUSES)
        ask.equal("e.plan", plan).equal("e.lead", care_manager).equal("e.status", status)
        return ask.order("m.registered_at", "m.key")

    def _by_name(self, ask: Ask, text: str, limit: int, cursor: str | None, names: bool) -> Page[MemberRow]:
        """The digests find those whose names begin alike; the rest of each name is compared here."""
        wanted = words(text)
        if not wanted:
            raise BadFilter("text", "give the beginning of a name, in letters")
        for prefix in name_digests(self._key("text"), text):
            ask.where("(l.family @> ARRAY[%s] OR l.given @> ARRAY[%s])", prefix, prefix)
        limited(limit)
        found: list[MemberRow] = []
        seen = 0
        while len(found) <= limit and seen < CANDIDATES_MAX:
            candidates = ask.again().page(min(LIMIT_MAX, 200), cursor)
            page = candidates.paged(self._rows(*candidates.sql()), _member)
            seen += len(page.items)
            called = self.names([m.member for m in page.items])
            for each in page.items:
                name = called.get(each.member, "")
                parts = words(name)
                if all(any(part.startswith(word) for part in parts) for word in wanted):
                    found.append(replace(each, name=name if names else ""))
            cursor = page.next_cursor
            if cursor is None:
                break
        if len(found) > limit:
            last = found[limit - 1]
            return Page(tuple(found[:limit]), ask.cursor_after((last.registered_at, last.member)))
        return Page(tuple(found), cursor)

    def episodes(
        self,
        *,
        plan: str | None = None,
        care_manager: StreamId | None = None,
        status: str | None = None,
        member: StreamId | None = None,
        episode: StreamId | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[EpisodeRow]:
        """Episodes by the instant at which the plan's assignment was received."""
        ask = Ask(questions.EPISODES)
        if status is not None:
            known("status", (status,), episode_directory.STATUSES)
        ask.equal("e.plan", plan).equal("e.lead", care_manager).equal("e.status", status).one_of("e.member", self._person(member))
        ask.equal("e.key", episode).order("e.received_at", "e.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: EpisodeRow(*row))
        return self._named(page, names, {"lead_name": "lead", "member_name": "member"})

    def episode(self, episode: StreamId, *, names: bool = False) -> EpisodeRow | None:
        """One episode."""
        return next(iter(self.episodes(episode=episode, limit=1, names=names).items), None)

    def staff(
        self,
        *,
        role: str | None = None,
        absent_on: date | None = None,
        working_on: date | None = None,
        staff: StreamId | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[StaffRow]:
        """The staff directory, by the instant of joining. Days are local days of the office, both ends included."""
        ask = Ask(questions.STAFF)
        ask.if_given("f.roles @> ARRAY[%s]", role)
        is_away = (
            "EXISTS (SELECT FROM jsonb_to_recordset(f.absences) AS a (first_day date, last_day date)"
            " WHERE %s BETWEEN a.first_day AND a.last_day)"
        )
        ask.if_given(is_away, absent_on)
        ask.if_given(f"(f.last_day IS NULL OR f.last_day >= %s) AND NOT {is_away}", working_on, twice=True)
        ask.equal("f.key", staff).order("f.joined_at", "f.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), _staff)
        return self._named(page, names, {"name": "staff"})

    def staff_member(self, staff: StreamId, *, names: bool = False) -> StaffRow | None:
        """One member of staff."""
        return next(iter(self.staff(staff=staff, limit=1, names=names).items), None)

    def policies(self, *, plan: str | None = None) -> tuple[PolicyRow, ...]:
        """The policy versions that were adopted, by plan and day of effect."""
        ask = Ask(questions.POLICIES)
        ask.equal("p.plan", plan).order("p.plan", "p.effective_on", "p.adopted_at", "p.key").page(LIMIT_MAX, None)
        return tuple(PolicyRow(*row[:7]) for row in self._rows(*ask.sql()))

    # --- what the machinery does -----------------------------------------------------------------------------------------------

    def processes(
        self,
        *,
        now: datetime,
        kind: str | None = None,
        plan: str | None = None,
        member: StreamId | None = None,
        process: StreamId | None = None,
        stuck: bool | None = None,
        failing: bool | None = None,
        overdue: bool = False,
        done: bool | None = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[ProcessRow]:
        """The processes as each was last advanced, by id. `done` None: those that ended too."""
        ask = Ask(questions.PROCESSES)
        ask.given(now, now)
        ask.equal("s.kind", kind).equal("s.plan", plan).equal("s.member", member).equal("s.process", process)
        ask.equal("s.done", done).equal("s.stuck <> ''", stuck).equal("s.failing_since IS NOT NULL", failing)
        if overdue:
            ask.where("NOT s.done AND s.wake_at <= %s", now)
        ask.order("s.process").page(limit, cursor)
        return ask.paged(self._rows(*ask.sql()), _process)

    def process(self, process: StreamId, *, now: datetime) -> ProcessRow | None:
        """One process."""
        return next(iter(self.processes(now=now, process=process, done=None, limit=1).items), None)

    def messages(
        self,
        *,
        member: StreamId | None = None,
        process: StreamId | None = None,
        state: str | None = None,
        kind: str | None = None,
        recipient: str | None = None,
        unacknowledged: bool = False,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[MessageRow]:
        """What was to be sent, the newest first. `unacknowledged`: alerts that went out and that nobody has seen."""
        ask = Ask(questions.MESSAGES)
        ask.equal("e.member", member).equal("g.stream", process).equal("g.state", state).equal("g.kind", kind)
        ask.equal("g.recipient", recipient)
        if unacknowledged:
            ask.where("g.kind = 'alert' AND g.acknowledged_at IS NULL AND g.state IN ('sent', 'delivered', 'unknown')")
        ask.order("g.asked_at", "g.key", newest_first=True).page(limit, cursor)
        return ask.paged(self._rows(*ask.sql()), lambda row: MessageRow(*row[: len(fields(MessageRow))]))

    def inbox(
        self,
        *,
        now: datetime,
        status: str | None = None,
        source: str | None = None,
        kind: str | None = None,
        reason: str | None = None,
        flag: str | None = None,
        member: StreamId | None = None,
        received_after: datetime | None = None,
        received_before: datetime | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[InboxRow]:
        """The messages at the front door, the newest first."""
        ask = Ask(questions.INBOX)
        ask.given(now)
        if status is not None:
            known("status", (status,), INBOX_STATUSES)
        ask.equal("i.status", status).equal("i.source_id", source).equal("i.reason", reason)
        ask.one_of("i.member", self._person(member))
        ask.starts("i.kind", kind)
        ask.if_given("%s = ANY(i.flags)", flag)
        ask.if_given("i.received_at >= %s", received_after).if_given("i.received_at < %s", received_before)
        ask.order("i.received_at", "i.inbox_id", newest_first=True).page(limit, cursor)
        return ask.paged(self._rows(*ask.sql()), _inbox_row)

    def inbox_counts(self, *, now: datetime) -> tuple[InboxCount, ...]:
        """How many messages stand in each status, all seven of them, and since when the oldest does."""
        rows = {row[0]: row for row in self._rows(questions.INBOX_COUNTS, ())}
        return tuple(
            InboxCount(
                status,
                rows[status][1] if status in rows else 0,
                oldest := rows[status][2] if status in rows else None,
                max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
            )
            for status in INBOX_STATUSES
        )

    def fact_counts(self) -> tuple[FactCount, ...]:
        """How many facts of each name the log has."""
        rows = self._rows("SELECT key, facts, last_position, last_recorded_at FROM read.fact_counts ORDER BY key", ())
        return tuple(FactCount(*row) for row in rows)


# --- rows to answers -----------------------------------------------------------------------------------------------------------


def _work_item(row: TupleRow, now: datetime) -> WorkItem:
    (process, key, kind, rule, state, opens_at, due_at, closes_at, act_by, owed_by, member, episode, plan, lead, subject) = row[:15]
    (governing, suspended, policy, facts, reason, how, met_at) = row[15:]
    return WorkItem(
        process=process,
        key=key,
        kind=kind,
        rule=rule,
        what=promise(rule),
        state=state,
        opens_at=opens_at,
        due_at=due_at,
        closes_at=closes_at,
        act_by=act_by,
        overdue=due_at <= now and state in ("open", "missed", "infeasible"),
        owed_by=owed_by,
        owed_by_name="",
        member=member,
        member_name="",
        episode=episode,
        plan=plan,
        lead=lead,
        subject=subject,
        governing=governing,
        suspended=suspended,
        policy=policy,
        facts=tuple(facts),
        reason=reason,
        how=how,
        met_at=met_at,
    )


_DEADLINE_FIELDS = tuple(f.name for f in fields(Deadline) if f.name not in ("what", "member_name"))


def _deadline(row: TupleRow) -> Deadline:
    found: dict[str, Any] = dict(zip(_DEADLINE_FIELDS, row, strict=True))
    found["earlier"] = msgspec.convert(found["earlier"], tuple[EarlierDue, ...])
    found["variants"] = msgspec.convert(found["variants"], tuple[Variant, ...])
    found["cause"] = tuple(found["cause"])
    return Deadline(what=promise(found["rule"]), member_name="", **found)


def _member(row: TupleRow) -> MemberRow:
    (member, registered_at, language, timezone, episode, plan, status, lead, opted_out, consents, points) = row[:11]
    return MemberRow(
        member,
        "",
        registered_at,
        language,
        timezone,
        episode,
        plan,
        status,
        lead,
        tuple(opted_out),
        tuple(consents),
        msgspec.convert(points, tuple[ContactPoint, ...]),
        *row[11:16],
    )


def _staff(row: TupleRow) -> StaffRow:
    (staff, joined_at, last_day, roles, licences, absences, languages, supervisor, shares, trainings) = row[:10]
    return StaffRow(
        staff,
        "",
        joined_at,
        last_day,
        tuple(roles),
        msgspec.convert(licences, tuple[HeldLicence, ...]),
        msgspec.convert(absences, tuple[Absence, ...]),
        tuple(languages),
        supervisor,
        msgspec.convert(shares, tuple[ShareOfFullTime, ...]),
        msgspec.convert(trainings, tuple[DoneTraining, ...]),
    )


def _process(row: TupleRow) -> ProcessRow:
    found: dict[str, Any] = dict(zip((f.name for f in fields(ProcessRow)), row, strict=True))
    return ProcessRow(**{**found, "effects": tuple(found["effects"])})


def _inbox_row(row: TupleRow) -> InboxRow:
    found: dict[str, Any] = dict(zip((f.name for f in fields(InboxRow)), row, strict=True))
    return InboxRow(**{**found, "flags": tuple(found["flags"])})
