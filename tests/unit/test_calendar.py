"""Local days, business days and quiet hours; dates and offsets are worked out by hand (domain.md 2.3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from domain.calendar import (
    BUSINESS_DAYS_MAX,
    NO_HOLIDAYS,
    Holidays,
    QuietHours,
    add_business_days,
    add_days,
    days_between,
    end_of_day,
    instant_at,
    local_date,
    local_time,
    shown,
    start_of_day,
)
from tests.given import DEFAULT, at

PACIFIC, EASTERN = "America/Los_Angeles", "America/New_York"
FEDERAL, CALIFORNIA = DEFAULT.calendar("federal"), DEFAULT.calendar("ca_state")
NIGHT = QuietHours(time(20), time(8))
SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)
"""The days of 2026 on which the clocks of California go forward and back."""


# --- days ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "begins", "ends", "hours"),
    [
        (SPRING, "2026-03-08 00:00 PST", "2026-03-09 00:00 PDT", 23),
        (AUTUMN, "2026-11-01 00:00 PDT", "2026-11-02 00:00 PST", 25),
        (date(2026, 11, 20), "2026-11-20 00:00 PST", "2026-11-21 00:00 PST", 24),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_however_many_hours_that_is(day: date, begins: str, ends: str, hours: int) -> None:
    assert (start_of_day(day, PACIFIC), end_of_day(day, PACIFIC)) == (at(begins), at(ends))
    assert end_of_day(day, PACIFIC) - start_of_day(day, PACIFIC) == timedelta(hours=hours)


@pytest.mark.parametrize(("received", "hours"), [(date(2026, 10, 26), 241), (date(2026, 3, 4), 239), (date(2026, 11, 20), 240)])
def test_ten_days_are_counted_by_date_and_never_as_240_hours(received: date, hours: int) -> None:
    tenth = add_days(received, 10, "calendar", NO_HOLIDAYS)
    assert tenth is not None
    due = end_of_day(tenth, PACIFIC)
    assert local_time(due, PACIFIC) == time(0)
    assert due - end_of_day(received, PACIFIC) == timedelta(hours=hours)


def test_the_missing_hour_of_spring_is_shifted_forward() -> None:
    assert instant_at(SPRING, time(2, 30), PACIFIC) == at("2026-03-08 03:30 PDT")


def test_of_the_repeated_hour_of_autumn_the_earlier_one_is_meant() -> None:
    assert instant_at(AUTUMN, time(1, 30), PACIFIC) == at("2026-11-01 01:30 PDT")
    again = at("2026-11-01 01:30 PST")
    assert (local_date(again, PACIFIC), local_time(again, PACIFIC)) == (AUTUMN, time(1, 30))


def test_instants_are_of_utc() -> None:
    assert instant_at(AUTUMN, time(9), PACIFIC).tzinfo is UTC


@pytest.mark.parametrize(
    ("zone", "day"), [(PACIFIC, date(2026, 11, 20)), (EASTERN, date(2026, 11, 21)), ("Pacific/Honolulu", date(2026, 11, 20))]
)
def test_the_same_instant_falls_on_another_day_elsewhere(zone: str, day: date) -> None:
    assert local_date(at("2026-11-20 22:30 PST"), zone) == day


def test_days_between_are_local_dates_apart_and_negative_backwards() -> None:
    late, early = at("2026-10-31 23:59 PDT"), at("2026-11-02 00:00 PST")
    assert days_between(late, early, PACIFIC) == 2
    assert days_between(early, late, PACIFIC) == -2
    assert days_between(late, late + timedelta(minutes=1), PACIFIC) == 1
    assert days_between(late, late + timedelta(minutes=1), EASTERN) == 0


# --- business days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("basis", "holidays", "day"),
    [
        ("calendar", NO_HOLIDAYS, date(2026, 11, 30)),
        ("calendar", FEDERAL, date(2026, 11, 30)),
        ("business", NO_HOLIDAYS, date(2026, 12, 4)),
        ("business", FEDERAL, date(2026, 12, 7)),
        ("business", CALIFORNIA, date(2026, 12, 8)),
    ],
    ids=["calendar", "calendar days know no holidays", "weekdays", "federal", "with the day after Thanksgiving"],
)
def test_ten_days_after_friday_the_20th_of_november(basis: str, holidays: Holidays, day: date) -> None:
    assert add_days(date(2026, 11, 20), 10, basis, holidays) == day


@pytest.mark.parametrize(
    ("start", "count", "day"),
    [
        (date(2026, 11, 20), 0, date(2026, 11, 20)),
        (date(2026, 11, 22), 0, date(2026, 11, 22)),
        (date(2026, 11, 20), 1, date(2026, 11, 23)),
        (date(2026, 11, 21), 1, date(2026, 11, 23)),
        (date(2026, 11, 22), 1, date(2026, 11, 23)),
        (date(2026, 11, 25), 1, date(2026, 11, 27)),
        (date(2026, 11, 26), 1, date(2026, 11, 27)),
        (date(2026, 12, 24), 2, date(2026, 12, 29)),
        (date(2026, 12, 31), 1, date(2027, 1, 4)),
    ],
)
def test_the_day_itself_is_day_0_and_only_business_days_after_it_count(start: date, count: int, day: date) -> None:
    assert add_business_days(start, count, FEDERAL) == day


def test_a_holiday_calendar_that_does_not_reach_that_far_gives_no_day() -> None:
    short = Holidays("short", frozenset({date(2026, 11, 26)}), known_until=date(2026, 12, 4))
    assert add_business_days(date(2026, 11, 20), 9, short) == date(2026, 12, 4)
    assert add_business_days(date(2026, 11, 20), 10, short) is None
    assert add_days(date(2026, 11, 20), 10, "business", short) is None
    assert add_days(date(2026, 11, 20), 30, "calendar", short) == date(2026, 12, 20), "calendar days need no list"


def test_a_day_within_reach_is_given_though_the_reach_ends_on_that_very_day() -> None:
    friday = Holidays("short", frozenset(), known_until=date(2026, 11, 23))
    assert add_business_days(date(2026, 11, 20), 1, friday) == date(2026, 11, 23)


@pytest.mark.parametrize("count", [-1, BUSINESS_DAYS_MAX + 1])
def test_a_count_beyond_every_rule_is_a_defect(count: int) -> None:
    with pytest.raises(AssertionError):
        add_business_days(date(2026, 11, 20), count, NO_HOLIDAYS)


def test_no_holidays_still_has_weekends() -> None:
    assert NO_HOLIDAYS.is_business_day(date(2026, 11, 26))
    assert not NO_HOLIDAYS.is_business_day(date(2026, 11, 28))
    assert not FEDERAL.is_business_day(date(2026, 11, 26))
    assert FEDERAL.is_business_day(date(2026, 11, 27)) and not CALIFORNIA.is_business_day(date(2026, 11, 27))


# --- quiet hours ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "covered"),
    [
        ("2026-11-20 19:59:59 PST", False),
        ("2026-11-20 20:00:00 PST", True),
        ("2026-11-20 24:00:00 PST", True),
        ("2026-11-21 07:59:59 PST", True),
        ("2026-11-21 08:00:00 PST", False),
    ],
)
def test_the_night_begins_in_the_evening_and_ends_in_the_morning(when: str, covered: bool) -> None:
    assert NIGHT.covers(at(when), PACIFIC) is covered


def test_the_night_is_the_one_of_the_zone() -> None:
    assert not NIGHT.covers(at("2026-11-20 18:00 PST"), PACIFIC)
    assert NIGHT.covers(at("2026-11-20 18:00 PST"), EASTERN)


@pytest.mark.parametrize(
    ("when", "allowed"),
    [
        ("2026-11-20 12:00 PST", "2026-11-20 12:00 PST"),
        ("2026-11-20 20:00 PST", "2026-11-21 08:00 PST"),
        ("2026-11-21 00:30 PST", "2026-11-21 08:00 PST"),
        ("2026-10-31 23:00 PDT", "2026-11-01 08:00 PST"),
        ("2026-03-07 23:00 PST", "2026-03-08 08:00 PDT"),
    ],
)
def test_who_waits_for_the_morning_waits_for_the_next_one(when: str, allowed: str) -> None:
    assert NIGHT.next_allowed(at(when), PACIFIC) == at(allowed)


@pytest.mark.parametrize(
    ("before", "last"),
    [
        ("2026-11-30 24:00 PST", "2026-11-30 19:59:59 PST"),
        ("2026-11-30 07:00 PST", "2026-11-29 19:59:59 PST"),
        ("2026-11-30 20:00 PST", "2026-11-30 19:59:59 PST"),
        ("2026-11-30 12:00 PST", "2026-11-30 11:59:59 PST"),
        ("2026-11-01 24:00 PST", "2026-11-01 19:59:59 PST"),
        ("2026-11-02 06:00 PST", "2026-11-01 19:59:59 PST"),
        ("2026-03-08 07:00 PDT", "2026-03-07 19:59:59 PST"),
    ],
)
def test_the_last_moment_before_a_due_lies_before_the_night(before: str, last: str) -> None:
    assert NIGHT.last_allowed(at(before), PACIFIC) == at(last)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ("2026-11-20 12:00 PST", "2026-11-20 20:00 PST"),
        ("2026-11-20 20:00 PST", "2026-11-21 08:00 PST"),
        ("2026-11-20 23:00 PST", "2026-11-21 08:00 PST"),
        ("2026-11-21 08:00 PST", "2026-11-21 20:00 PST"),
        ("2026-10-31 20:00 PDT", "2026-11-01 08:00 PST"),
    ],
)
def test_the_next_change_lies_strictly_ahead(after: str, change: str) -> None:
    assert NIGHT.next_change(at(after), PACIFIC) == at(change)


def test_quiet_hours_may_lie_within_a_day() -> None:
    noon = QuietHours(time(12), time(14))
    assert noon.covers(at("2026-11-20 12:00 PST"), PACIFIC) and not noon.covers(at("2026-11-20 14:00 PST"), PACIFIC)
    assert noon.next_allowed(at("2026-11-20 13:00 PST"), PACIFIC) == at("2026-11-20 14:00 PST")
    assert noon.last_allowed(at("2026-11-20 13:00 PST"), PACIFIC) == at("2026-11-20 11:59:59 PST")


def test_quiet_hours_that_end_when_they_begin_are_none() -> None:
    never = QuietHours(time(0), time(0))
    for hour in range(24):
        moment = datetime(2026, 11, 20, hour, tzinfo=UTC)
        assert not never.covers(moment, PACIFIC)
        assert never.next_allowed(moment, PACIFIC) == moment


# --- shown ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "text"),
    [
        ("2026-11-30 24:00 PST", "Mon 2026-11-30 23:59:59 PST"),
        ("2026-12-07 24:00 PST", "Mon 2026-12-07 23:59:59 PST"),
        ("2026-11-01 24:00 PST", "Sun 2026-11-01 23:59:59 PST"),
        ("2026-11-01 00:00 PDT", "Sat 2026-10-31 23:59:59 PDT"),
        ("2026-11-30 10:15 PST", "Mon 2026-11-30 10:15:00 PST"),
    ],
)
def test_a_midnight_is_shown_as_the_last_second_of_the_day_before(due: str, text: str) -> None:
    assert shown(at(due), PACIFIC) == text
