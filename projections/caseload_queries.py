"""The questions about caseloads: who carries whom, who was over the cap on a day and who allowed it, who has nobody, who has
room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import msgspec

from domain.calendar import local_date
from domain.caseload.state import FULL_TIME_PERCENT, NOT_ENROLLED, TRANSITION
from domain.core import StreamId
from domain.policy import DEFAULT_PLAN
from domain.staff.facts import OFFICE_ZONE, Role
from projections import questions
from projections.answers import Page
from projections.asking import LIMIT_DEFAULT, Ask
from projections.caseload_answers import BeyondCap, Caseload, LeadOffer, TierPoints, WithoutLead
from projections.caseloads import BETWEEN_GROUNDS
from projections.reader import Reader
from projections.staff import Absence, ShareOfFullTime

CASES_AT = """SELECT c.staff, c.episode, coalesce(e.member, ''), coalesce(e.plan, ''), c.weight_tenths, c.grounds, t.occurred_at,
    t.because, t.load_tenths, t.cap_tenths, t.told_by
FROM (SELECT DISTINCT ON (w.staff, w.episode) w.staff, w.episode, w.said, w.weight_tenths, w.grounds FROM read.cases w
    WHERE w.occurred_at <= %s AND w.recorded_at <= coalesce(%s::timestamptz, 'infinity')
    ORDER BY w.staff, w.episode, w.position DESC) AS c
CROSS JOIN LATERAL (SELECT w.occurred_at, w.because, w.load_tenths, w.cap_tenths, w.told_by FROM read.cases w
    WHERE w.staff = c.staff AND w.episode = c.episode AND w.said = 'taken' AND w.occurred_at <= %s
        AND w.recorded_at <= coalesce(%s::timestamptz, 'infinity') ORDER BY w.position DESC LIMIT 1) AS t
LEFT JOIN read.episodes e ON e.key = c.episode
WHERE c.said <> 'released' ORDER BY c.staff, c.episode"""

PEOPLE = "SELECT key, roles, absences, languages, last_day, shares, joined_at FROM read.staff ORDER BY joined_at, key"

RULES = "SELECT plan, effective_on, timezone, cap, full_time_tenths FROM read.caseload_rules ORDER BY effective_on, key"

WITHOUT_LEAD = """SELECT key, member, '', plan, status, language, received_at, since, because, last_lead, '', due, rule
FROM (SELECT e.key, e.member, e.plan, e.status, coalesce(m.language, '') AS language, e.received_at,
        CASE WHEN w.said IS NULL THEN 'never_assigned' WHEN w.said = 'released' THEN w.because ELSE 'left' END AS because,
        CASE WHEN w.said = 'released' THEN w.occurred_at ELSE e.received_at END AS since,
        coalesce(w.staff, '') AS last_lead, o.due, coalesce(o.rule, '') AS rule
    FROM read.episodes e
    LEFT JOIN read.members m ON m.key = e.member
    LEFT JOIN LATERAL (SELECT c.staff, c.said, c.because, c.occurred_at FROM read.cases c WHERE c.episode = e.key
        ORDER BY c.position DESC LIMIT 1) AS w ON true
    LEFT JOIN read.staff f ON f.key = w.staff
    LEFT JOIN LATERAL (SELECT p.due, p.rule FROM process_obligation p
        WHERE p.process IN ('outreach' || substr(e.key, 8), 'transition' || substr(e.key, 8), 'followup' || substr(e.key, 8))
            AND p.state IN ('open', 'infeasible') AND p.governing AND NOT p.suspended ORDER BY p.due LIMIT 1) AS o ON true
    WHERE e.status IN ('assigned', 'enrolled', 'held') AND (w.said IS NULL OR w.said = 'released' OR f.last_day < %s)) AS q"""


@dataclass(frozen=True, slots=True)
class _Case:
    """A case as it is carried at an instant, with how it was taken."""

    staff: str
    episode: str
    member: str
    plan: str
    weight_tenths: int
    grounds: tuple[str, ...]
    taken_at: datetime
    because: str
    load_tenths: int
    cap_tenths: int
    taken_by: str

    @property
    def tier(self) -> str:
        """The tier that it weighs by; not_enrolled, or empty where the plan gives no weights."""
        first = self.grounds[0] if self.grounds else ""
        return first.removeprefix("tier:")


@dataclass(frozen=True, slots=True)
class _Rule:
    cap: str
    full_time_tenths: int


@dataclass(frozen=True, slots=True)
class _Person:
    """A member of staff on a local day."""

    staff: str
    care_manager: bool
    languages: tuple[str, ...]
    share_percent: int
    away: bool
    last_day: date | None
    joined: bool

    def works(self, day: date) -> bool:
        return self.joined and (self.last_day is None or day <= self.last_day)


class CaseloadQueries(Reader):
    """Asks about caseloads."""

    def caseload(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        over_cap: bool = False,
        names: bool = False,
    ) -> tuple[Caseload, ...]:
        """What each care manager has, or had `as_of` an instant as far as it was `known_at` another; the row without staff is what
        nobody has. `plan` narrows the members that are counted, not the points. `over_cap`: only who carries more than the cap, or
        somebody who was taken beyond it."""
        at = as_of or now
        cases, rules, people = self._cases(at, known_at), self._rules(at), self._people(at)
        replayed = as_of is not None or known_at is not None
        counted = _counted_then(cases, plan) if replayed else self._counted_now(now, plan)
        day = local_date(at, OFFICE_ZONE)
        rows = []
        listed = {*counted, *(case.staff for case in cases), *(p.staff for p in people.values() if p.care_manager and p.works(day))}
        for staff in sorted(listed):
            row = counted.get(staff, Caseload(staff, "", 0, 0, *((None, 0, None, None) if replayed else (0, 0, 0, 0))))
            own = tuple(case for case in cases if case.staff == staff)
            rows.append(_weighed(row, own, people.get(staff), rules, plan) if staff else row)
        if over_cap:
            rows = [row for row in rows if row.over_cap or row.beyond]
        return self._called(rows) if names else tuple(rows)

    def without_lead(
        self,
        *,
        now: datetime,
        plan: str | None = None,
        limit: int = LIMIT_DEFAULT,
        cursor: str | None = None,
        names: bool = False,
    ) -> Page[WithoutLead]:
        """Members in care whose care nobody leads, or somebody whose last day has passed; who has waited longest first."""
        ask = Ask(WITHOUT_LEAD)
        ask.given(local_date(now, OFFICE_ZONE))
        ask.equal("q.plan", plan).order("q.since", "q.key").page(limit, cursor)
        page = ask.paged(self._rows(*ask.sql()), lambda row: WithoutLead(*row[:13]))
        return self._named(page, names, {"member_name": "member", "last_lead_name": "last_lead"})

    def lead_offers(
        self, *, now: datetime, plan: str, language: str, weight_tenths: int, not_to: StreamId | None = None, names: bool = False
    ) -> tuple[LeadOffer, ...]:
        """Who could take a member of a plan who speaks a language and weighs so much: who speaks it first, who has room before who
        has not, and of those who has most. The county is not asked for."""
        day = local_date(now, OFFICE_ZONE)
        rule = self._rules(now).get(plan)
        carried: dict[str, list[_Case]] = {}
        for case in self._cases(now, None):
            carried.setdefault(case.staff, []).append(case)
        offers = []
        for person in self._people(now).values():
            if (
                not person.care_manager
                or person.last_day is not None
                or person.away
                or not person.works(day)
                or person.staff == not_to
            ):
                continue
            own = carried.get(person.staff, [])
            load = sum(case.weight_tenths for case in own)
            cap = None if rule is None or not rule.cap else rule.full_time_tenths * person.share_percent // FULL_TIME_PERCENT
            match = language in person.languages
            offers.append(
                LeadOffer(
                    staff=person.staff,
                    name="",
                    language_match=match,
                    interpreter_needed=not match,
                    languages=person.languages,
                    members=len(own),
                    points_tenths=load,
                    cap_tenths=cap,
                    free_tenths=None if cap is None else cap - load,
                    cap=rule.cap if rule is not None else "",
                    over_cap=cap is not None and weight_tenths > 0 and load + weight_tenths > cap,
                    share_percent=person.share_percent,
                )
            )
        offers.sort(key=lambda o: (not o.language_match, o.over_cap, -(o.free_tenths or 0), o.members, o.staff))
        return self._named(Page(tuple(offers)), names, {"name": "staff"}).items

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _cases(self, at: datetime, known_at: datetime | None) -> tuple[_Case, ...]:
        rows = self._rows(CASES_AT, (at, known_at, at, known_at))
        return tuple(_Case(*row) for row in ((*row[:5], _grounds(row[5]), *row[6:]) for row in rows))

    def _people(self, at: datetime) -> dict[str, _Person]:
        day = local_date(at, OFFICE_ZONE)
        found = {}
        for staff, roles, absences, languages, last_day, shares, joined_at in self._rows(PEOPLE, ()):
            agreed = msgspec.convert(shares, tuple[ShareOfFullTime, ...])
            gone = msgspec.convert(absences, tuple[Absence, ...])
            found[staff] = _Person(
                staff=staff,
                care_manager=Role.CARE_MANAGER.value in roles,
                languages=tuple(languages),
                share_percent=next((s.percent for s in reversed(agreed) if s.from_day <= day), FULL_TIME_PERCENT),
                away=any(a.first_day <= day <= a.last_day for a in gone),
                last_day=last_day,
                joined=joined_at <= at,
            )
        return found

    def _rules(self, at: datetime) -> _RulesThen:
        """The rule of each plan that was in force, the last one that had begun; before the first one, the first one."""
        found: dict[str, _Rule] = {}
        for plan, effective_on, timezone, cap, full_time_tenths in self._rows(RULES, ()):
            if plan not in found or effective_on <= local_date(at, timezone):
                found[plan] = _Rule(cap, full_time_tenths)
        return _RulesThen(found)

    def _counted_now(self, now: datetime, plan: str | None) -> dict[str, Caseload]:
        rows = self._rows(questions.CASELOAD, (plan, plan, now, plan, plan))
        return {row[0]: replace(Caseload(*row), members=row[2] + row[3] + row[4]) for row in rows}

    def _called(self, rows: Sequence[Caseload]) -> tuple[Caseload, ...]:
        beyond = [b for row in rows for b in row.beyond]
        called = self.names([*(r.staff for r in rows), *(b.member for b in beyond), *(b.allowed_by for b in beyond)])
        return tuple(
            replace(
                row,
                name=called.get(row.staff, ""),
                beyond=tuple(
                    replace(
                        b,
                        staff_name=called.get(b.staff, ""),
                        member_name=called.get(b.member, ""),
                        allowed_by_name=called.get(b.allowed_by, ""),
                    )
                    for b in row.beyond
                ),
            )
            for row in rows
        )


def _grounds(text: str) -> tuple[str, ...]:
    return tuple(text.split(BETWEEN_GROUNDS)) if text else ()


@dataclass(frozen=True, slots=True)
class _RulesThen:
    """The rules of all plans at an instant; a plan without any of its own follows the default."""

    by_plan: dict[str, _Rule]

    def get(self, plan: str) -> _Rule | None:
        return self.by_plan.get(plan, self.by_plan.get(DEFAULT_PLAN))

    def strictest(self, plans: Iterable[str]) -> _Rule | None:
        capping = [rule for plan in sorted({*plans}) if (rule := self.get(plan)) is not None and rule.cap]
        return min(capping, key=lambda rule: (rule.full_time_tenths, rule.cap), default=None)


def _counted_then(cases: Iterable[_Case], plan: str | None) -> dict[str, Caseload]:
    found: dict[str, Caseload] = {}
    for case in cases:
        if plan not in (None, case.plan):
            continue
        row = found.get(case.staff, Caseload(case.staff, "", 0, 0, None, 0, None, None))
        waits = case.tier == NOT_ENROLLED
        found[case.staff] = replace(
            row,
            members=row.members + 1,
            assigned=row.assigned + waits,
            enrolled=row.enrolled + (not waits),
            in_transition=row.in_transition + (TRANSITION in case.grounds),
        )
    return found


def _weighed(row: Caseload, cases: tuple[_Case, ...], person: _Person | None, rules: _RulesThen, plan: str | None) -> Caseload:
    load = sum(case.weight_tenths for case in cases)
    rule = rules.strictest([case.plan for case in cases] or [plan or DEFAULT_PLAN])
    share = person.share_percent if person else FULL_TIME_PERCENT
    cap = None if rule is None else rule.full_time_tenths * share // FULL_TIME_PERCENT
    members, points = Counter(case.tier for case in cases), Counter[str]()
    for case in cases:
        points[case.tier] += case.weight_tenths
    return replace(
        row,
        points_tenths=load,
        share_percent=share,
        cap_tenths=cap,
        cap=rule.cap if rule else "",
        free_tenths=None if cap is None else cap - load,
        over_cap=cap is not None and load > cap,
        by_tier=tuple(TierPoints(tier, members[tier], points[tier]) for tier in sorted(members)),
        beyond=tuple(_beyond(case) for case in cases if case.because),
        away=person is not None and person.away,
        last_day=person.last_day if person else None,
        languages=person.languages if person else (),
    )


def _beyond(case: _Case) -> BeyondCap:
    found: dict[str, Any] = {
        "staff": case.staff, "episode": case.episode, "member": case.member, "plan": case.plan, "because": case.because,
        "load_tenths": case.load_tenths, "cap_tenths": case.cap_tenths, "allowed_by": case.taken_by, "taken_at": case.taken_at,
    }  # fmt: skip
    return BeyondCap(staff_name="", member_name="", allowed_by_name="", weight_tenths=case.weight_tenths, **found)
