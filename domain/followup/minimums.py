"""The least number of contacts: in person in each period, and after the enrolment or the assessment (domain.md 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from domain.calendar import end_of_day, local_date
from domain.clocks import Clock
from domain.core import EventId, Instant, Window
from domain.episode.assessments import AssessmentCompleted
from domain.follow_up_policy import ANY_TIER, CountedFrom, InPerson, MinimumCount
from domain.followup.cadence import cadence_days, counting, period_days
from domain.followup.sight import Contact, Sight, Version, kept_version
from domain.timeline import Entry

PERIODS_MAX = 6
"""So many periods, the newest, are in sight; of older ones stands what is written."""

MINIMUM = "followup.minimum"
COUNTED_MAX = 20
"""Of a larger least number only the last so many contacts have a clock of their own."""


# --- in person -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """So many days of the year: the `number`-th since the enrolment, from `opens` (its first at the enrolment itself) to `due`."""

    per_days: int
    number: int
    opens: Instant
    due: Instant
    resting_since: Instant | None


def in_person(sight: Sight, visits: tuple[Contact, ...]) -> Iterator[Clock]:
    """The k-th visit of a period closes its k-th clock. What is owed is the least number that held during the whole period: of a
    tier that rose within it counts the next one, of one that fell the lower number."""
    for per_days in _lengths(sight):
        for period in periods(sight, per_days)[-PERIODS_MAX:]:
            yield from _clocks_of(sight, period, visits)


def past_periods(sight: Sight) -> frozenset[str]:
    """The first parts of the keys of periods that have left the sight."""
    return frozenset(_name(p) for per_days in _lengths(sight) for p in periods(sight, per_days)[:-PERIODS_MAX])


def periods(sight: Sight, per_days: int) -> tuple[Period, ...]:
    """The periods that have begun; a rest makes the one in which it lies longer, and while it goes on none begins."""
    return sight.alarm.as_before(("periods", per_days), lambda: _periods(sight, per_days), sight.frame)


def _periods(sight: Sight, per_days: int) -> tuple[Period, ...]:
    days, found = period_days(sight), list[Period]()
    opens, number = sight.started.at, 0
    while not sight.over(opens) and sight.alarm.reached(opens):
        due = days.due(sight.started.at, (number + 1) * per_days)
        rests = days.resting_since(opens)
        found.append(Period(per_days, number, opens, due, rests if rests is not None and rests < due else None))
        if found[-1].resting_since is not None:
            break
        opens, number = due, number + 1
    return tuple(found)


def _lengths(sight: Sight) -> tuple[int, ...]:
    rules = (v.rules for v in sight.versions if v.rules is not None)
    return tuple(sorted({rule.per_days for r in rules for rule in r.cadence.in_person}))


def _name(period: Period) -> str:
    return f"in_person/{period.per_days}/{period.number}"


def _clocks_of(sight: Sight, period: Period, visits: tuple[Contact, ...]) -> tuple[Clock, ...]:
    """The clocks of a period; what came after it changes none of a period that is past."""
    mine = tuple(c for c in visits if c.at >= period.opens)
    return sight.alarm.as_before(_name(period), lambda: tuple(_of_period(sight, period, mine)), sight.frame, period, mine)


def _of_period(sight: Sight, period: Period, visits: tuple[Contact, ...]) -> Iterator[Clock]:
    """The clocks of a period, under the version that was kept when it began."""
    version = sight.version_at(period.opens)
    if version.rules is None:
        return
    listed = [r for r in version.rules.cadence.in_person if r.per_days == period.per_days]
    closing_day = local_date(period.due, sight.office) + timedelta(days=version.rules.cadence.closes_after_days - 1)
    for k in range(1, _wanted(listed, sight.tier_at(period.opens)) + 1):
        turns = (t for t in sight.tiers if period.opens < t.since < period.due)
        fell_at = next((t.since for t in turns if _wanted(listed, t.tier) < k), None)
        stop_at, stop_by, reason = _first_stop(sight, fell_at)
        visit = visits[k - 1] if k <= len(visits) else None
        yield Clock(
            key=f"{_name(period)}/{k}",
            rule="followup.in_person",
            window=Window(period.opens, period.due, max(period.due, end_of_day(closing_day, sight.office))),
            policy=version.policy.id,
            cause=(sight.started.event_id,),
            known_at=sight.started.recorded_at,
            subject=sight.episode.member,
            met_at=visit.at if visit else None,
            met_by=visit.event_id if visit else None,
            stopped_at=stop_at,
            stopped_by=stop_by,
            stop_reason=reason,
            suspended_since=period.resting_since,
            act_by=sight.guard.quiet_hours.hours.last_allowed(period.due, sight.member.timezone),
            how=f"visit {k} of {period.per_days} days, in person",
        )


def _wanted(rules: Iterable[InPerson], tier: str) -> int:
    table = {rule.tier: rule.count for rule in rules}
    return table.get(tier, table.get(ANY_TIER, 0))


def _first_stop(sight: Sight, fell_at: Instant | None) -> tuple[Instant | None, EventId | None, str]:
    stop = sight.stop
    if fell_at is not None and (stop is None or fell_at < stop.at):
        return fell_at, None, "tier_fell"
    return (stop.at, stop.by, stop.reason) if stop is not None else (None, None, "")


# --- a least number ------------------------------------------------------------------------------------------------------------


def counted_from(sight: Sight, rule: MinimumCount) -> Entry | None:
    """What the number counts from; None while there was no completed assessment yet."""
    if rule.counted_from is CountedFrom.ENROLMENT:
        return sight.started
    done = (e for e in sight.told if isinstance(e.fact, AssessmentCompleted))
    first = next(done, None)
    return first if first is None or first.at >= sight.started.at else first._replace(at=sight.started.at)


def minimum_count(sight: Sight) -> Iterator[Clock]:
    """The k-th contact closes the k-th clock; all are due on the last day. A version that is re-applied moves what was open."""
    known = {rule.counted_from: None for v in sight.versions if (rule := _rule(v)) is not None and rule.within_days > 0}
    for source in known:
        rule = next(r for v in sight.versions if (r := _rule(v)) is not None and r.counted_from is source)
        start = counted_from(sight, rule)
        if start is not None and not sight.over(start.at):
            yield from _of_count(sight, source, start)


def _rule(version: Version) -> MinimumCount | None:
    return version.rules.cadence.minimum_count if version.rules is not None else None


def _of_count(sight: Sight, source: CountedFrom, start: Entry) -> Iterator[Clock]:
    days = cadence_days(sight)

    def due_of(version: Version) -> Instant | None:
        rule = _rule(version)
        asked = rule is not None and rule.within_days > 0 and rule.counted_from is source
        return days.due(start.at, rule.within_days) if rule is not None and asked else None

    kept = kept_version(sight, start.at, None, due_of)
    if kept is None:
        return
    version, due = kept
    rule = _rule(version)
    assert rule is not None and version.rules is not None
    rests = days.resting_since(start.at)
    closing_day = local_date(due, days.zone) + timedelta(days=version.rules.cadence.closes_after_days - 1)
    contacts = since(sight, start)
    reaches = days.reaches(start.at, rule.within_days)
    for k in range(max(1, rule.count - COUNTED_MAX + 1), rule.count + 1):
        contact = contacts[k - 1] if k <= len(contacts) else None
        yield Clock(
            key=f"minimum/{start.event_id}/{k}",
            rule=MINIMUM,
            window=Window(start.at, due, max(due, end_of_day(closing_day, days.zone))),
            policy=version.policy.id,
            cause=(start.event_id,),
            known_at=start.recorded_at,
            subject=sight.episode.member,
            met_at=contact.at if contact else None,
            met_by=contact.event_id if contact else None,
            stopped_at=sight.stop.at if sight.stop else None,
            stopped_by=sight.stop.by if sight.stop else None,
            stop_reason=sight.stop.reason if sight.stop else "",
            suspended_since=rests if rests is not None and rests < due else None,
            act_by=sight.guard.quiet_hours.hours.last_allowed(due, sight.member.timezone),
            how=f"contact {k} of {rule.count} in {rule.within_days} days",
            feasible=reaches,
        )


@dataclass(frozen=True, slots=True)
class Count:
    """A least number for which the plan names no day: what it counts from, and what was done so far."""

    start: Entry
    wanted: int
    done: tuple[Contact, ...]

    @property
    def reached(self) -> bool:
        return len(self.done) >= self.wanted

    @property
    def how(self) -> str:
        return f"{min(len(self.done), self.wanted)} of {self.wanted}; the plan names no day"


def without_a_day(sight: Sight) -> Count | None:
    """The least number without a day that the version kept now asks for."""
    rule = _rule(sight.versions[-1])
    if rule is None or rule.within_days > 0 or (start := counted_from(sight, rule)) is None or sight.over(start.at):
        return None
    return Count(start, rule.count, since(sight, start))


def since(sight: Sight, start: Entry) -> tuple[Contact, ...]:
    return tuple(c for c in counting(sight) if c.at >= start.at)
