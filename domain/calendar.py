"""Local days, business days, quiet hours: all Pacific-time arithmetic of the programme, and nothing else knows a zone.

Instants are aware datetimes in UTC; days are local dates of a zone. A day window ends at the next local midnight (domain.md 2.3),
so a window across a change of clocks is never a multiple of 24 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.core import Instant

BUSINESS_DAYS_MAX = 400
"""No rule counts further ahead; a longer search is a defect."""

DAYS_REMEMBERED = 20_000
"""The same local days and midnights are asked for again and again: looking one up in the zone's table costs ten times as much."""


ONE_DAY = timedelta(days=1)
MIDNIGHT = time(0)


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=DAYS_REMEMBERED)
def local_date(instant: Instant, zone_name: str) -> date:
    """The local day on which an instant falls."""
    return instant.astimezone(zone(zone_name)).date()


def local_time(instant: Instant, zone_name: str) -> time:
    return instant.astimezone(zone(zone_name)).time()


@lru_cache(maxsize=DAYS_REMEMBERED)
def instant_at(day: date, clock: time, zone_name: str) -> Instant:
    """The instant at which a local clock shows a time: the earlier one of a repeated hour, shifted forward in a missing one."""
    naive = datetime.combine(day, clock)
    there = naive.replace(tzinfo=zone(zone_name), fold=0).astimezone(UTC)
    return there


def start_of_day(day: date, zone_name: str) -> Instant:
    return instant_at(day, MIDNIGHT, zone_name)


def end_of_day(day: date, zone_name: str) -> Instant:
    """The next local midnight: shown as 23:59:59 of the day, counted as the first instant that is too late."""
    return instant_at(day + ONE_DAY, MIDNIGHT, zone_name)


def days_between(since: Instant, until: Instant, zone_name: str) -> int:
    """Local days from one instant's day to another's; negative where `until` comes first."""
    return (local_date(until, zone_name) - local_date(since, zone_name)).days


@dataclass(frozen=True, slots=True)
class Holidays:
    """The days of a named holiday calendar, known up to and including `known_until`."""

    name: str
    days: frozenset[date]
    known_until: date

    def is_business_day(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.days


NO_HOLIDAYS = Holidays("none", frozenset(), date.max)


@lru_cache(maxsize=DAYS_REMEMBERED)
def add_business_days(day: date, count: int, holidays: Holidays) -> date | None:
    """The `count`-th business day after `day` (which is day 0); None where the calendar does not reach that far."""
    assert 0 <= count <= BUSINESS_DAYS_MAX, count
    while count > 0:
        day += timedelta(days=1)
        if day > holidays.known_until:
            return None
        if holidays.is_business_day(day):
            count -= 1
    return day


def business_days_before(day: date, count: int, holidays: Holidays) -> date:
    """The `count`-th business day before `day`: what is to be done so many business days before an end is done on it."""
    assert 0 <= count <= BUSINESS_DAYS_MAX, count
    while count > 0:
        day -= timedelta(days=1)
        if holidays.is_business_day(day):
            count -= 1
    return day


def add_days(day: date, count: int, basis: str, holidays: Holidays) -> date | None:
    """Day `count` after `day`, counted in calendar or business days; None beyond a holiday calendar's reach."""
    if basis == "business":
        return add_business_days(day, count, holidays)
    return day + timedelta(days=count)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The local hours in which a member is left alone: from `begins` in the evening until `ends` in the morning."""

    begins: time
    ends: time

    def covers(self, instant: Instant, zone_name: str) -> bool:
        clock = local_time(instant, zone_name)
        if self.begins == self.ends:
            return False
        if self.begins > self.ends:
            return clock >= self.begins or clock < self.ends
        return self.begins <= clock < self.ends

    def next_allowed(self, instant: Instant, zone_name: str) -> Instant:
        """The instant itself, or the end of the quiet hours that cover it."""
        if not self.covers(instant, zone_name):
            return instant
        day = local_date(instant, zone_name)
        ends = instant_at(day, self.ends, zone_name)
        return ends if ends > instant else instant_at(day + timedelta(days=1), self.ends, zone_name)

    @lru_cache(maxsize=DAYS_REMEMBERED)  # noqa: B019 (hours live as long as the policies that they belong to)
    def last_allowed(self, before: Instant, zone_name: str) -> Instant:
        """The last moment (to the second) before an instant at which a member may still be contacted."""
        moment = before - timedelta(seconds=1)
        if not self.covers(moment, zone_name):
            return moment
        day = local_date(moment, zone_name)
        begins = instant_at(day, self.begins, zone_name)
        if begins > moment:
            begins = instant_at(day - timedelta(days=1), self.begins, zone_name)
        return begins - timedelta(seconds=1)

    def next_change(self, after: Instant, zone_name: str) -> Instant:
        """The next instant strictly after `after` at which quiet hours begin or end."""
        day = local_date(after, zone_name)
        days = (day + timedelta(days=ahead) for ahead in (-1, 0, 1, 2))
        candidates = (instant_at(d, clock, zone_name) for d in days for clock in (self.begins, self.ends))
        return min(c for c in candidates if c > after)


def shown(due: Instant, zone_name: str) -> str:
    """A due instant as people read it: a local midnight is shown as 23:59:59 of the day before (domain.md 2.3)."""
    local = due.astimezone(zone(zone_name))
    if local.time() == time(0):
        local -= timedelta(seconds=1)
    return local.strftime("%a %Y-%m-%d %H:%M:%S %Z")
