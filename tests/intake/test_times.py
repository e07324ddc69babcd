"""Times of messages (messages.md 1.4). Expected instants are worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from intake.reading.times import Precision, Time, Zone, ZoneBasis, offset_of, parse

PACIFIC = Zone("America/Los_Angeles")


def known(text: str, zone: Zone = PACIFIC) -> Time:
    found = parse(text, zone)
    assert found is not None
    return found


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "at", "precision"),
    [
        ("20260310153000", utc(2026, 3, 10, 22, 30), Precision.SECOND),
        ("202603101530", utc(2026, 3, 10, 22, 30), Precision.MINUTE),
        ("2026031015", utc(2026, 3, 10, 22), Precision.HOUR),
        ("20260310153000.1234", datetime(2026, 3, 10, 22, 30, 0, 123400, tzinfo=UTC), Precision.SECOND),
        ("20260310153000-0500", utc(2026, 3, 10, 20, 30), Precision.SECOND),
        ("20260310153000+0215", utc(2026, 3, 10, 13, 15), Precision.SECOND),
        ("20260310240000", utc(2026, 3, 11, 7), Precision.SECOND),
        ("20260115153000", utc(2026, 1, 15, 23, 30), Precision.SECOND),
    ],
)
def test_instants(text: str, at: datetime, precision: Precision) -> None:
    found = known(text)
    assert (found.at, found.precision, found.flags) == (at, precision, ())


def test_a_date_stays_a_date_and_ends_at_the_next_local_midnight() -> None:
    found = known("20260310")
    assert found.at is None
    assert found.day == date(2026, 3, 10)
    assert found.begins(PACIFIC) == utc(2026, 3, 10, 7)
    assert found.ends(PACIFIC) == utc(2026, 3, 11, 7)


def test_the_missing_hour_is_shifted_forward_and_flagged() -> None:
    found = known("20260308023000")
    assert found.at == utc(2026, 3, 8, 10, 30)  # 03:30 Pacific daylight time
    assert found.flags == ("missing_hour",)


def test_the_repeated_hour_is_the_earlier_instant_and_flagged() -> None:
    found = known("20261101013000")
    assert found.at == utc(2026, 11, 1, 8, 30)  # 01:30 Pacific daylight time
    assert found.flags == ("repeated_hour",)
    assert known("20261101013000-0800").at == utc(2026, 11, 1, 9, 30)


def test_header_offset_is_the_default_unless_the_source_ignores_offsets() -> None:
    eastern = Zone("America/Los_Angeles", offset_of("20260310120000-0500"))
    assert (known("20260310153000", eastern).at, known("20260310153000", eastern).zone) == (
        utc(2026, 3, 10, 20, 30),
        ZoneBasis.HEADER,
    )
    ignoring = Zone("America/Los_Angeles", timedelta(hours=-5), ignore_offsets=True)
    for text in ("20260310153000", "20260310153000+0700"):
        assert known(text, ignoring).at == utc(2026, 3, 10, 22, 30)
        assert known(text, ignoring).flags == ("offset_ignored",)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "20261310", "20260230", "202603102560", "2026031015300", "00000000", '""', "20260310 1530"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse(text, PACIFIC) is None
