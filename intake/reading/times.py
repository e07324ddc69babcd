"""Reads the times of hospital messages without pretending to know more than they say (messages.md 1.4).

A time keeps its text, its precision and who named its zone. A date stays a date: it has a day, and no instant of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import IntEnum, StrEnum
from typing import Final
from zoneinfo import ZoneInfo

FLAG_REPEATED_HOUR: Final = "repeated_hour"
FLAG_MISSING_HOUR: Final = "missing_hour"
FLAG_OFFSET_IGNORED: Final = "offset_ignored"
FLAG_DAY_MISSING: Final = "day_missing"
"""Only the month or the year of something is said: another field dates it."""

OFFSET_HOURS_MAX: Final = 14
"""The widest offset that any place on earth keeps."""

_TS = re.compile(r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d+))?)?)?)?)?)?\s*([+-]\d{4})?")


class Precision(IntEnum):
    YEAR = 4
    MONTH = 6
    DAY = 8
    HOUR = 10
    MINUTE = 12
    SECOND = 14


class ZoneBasis(StrEnum):
    """Who named the zone of a time."""

    FIELD = "field"
    HEADER = "msh7"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Zone:
    """What to assume for times without a zone of their own: MSH-7's offset where it has one, else the source's zone."""

    name: str
    header_offset: timedelta | None = None
    ignore_offsets: bool = False

    @property
    def local(self) -> ZoneInfo:
        return ZoneInfo(self.name)


@dataclass(frozen=True, slots=True)
class Time:
    """A time as a message said it. `at` is None where less than an hour is known; `day` is the local day of what was said."""

    text: str
    precision: Precision
    day: date
    at: datetime | None
    zone: ZoneBasis
    flags: tuple[str, ...] = ()

    @property
    def is_instant(self) -> bool:
        return self.at is not None

    def begins(self, zone: Zone) -> datetime:
        """The earliest instant that this can mean."""
        return self.at or local_instant(datetime.combine(self.day, time()), zone.local)[0]

    def ends(self, zone: Zone) -> datetime:
        """The instant, or the end of the day (the next local midnight) where only the day is known."""
        if self.at is not None:
            return self.at
        return local_instant(datetime.combine(self.day + timedelta(days=1), time()), zone.local)[0]


def offset_of(text: str) -> timedelta | None:
    """The offset that a time carries, e.g. of MSH-7: the default for the whole message."""
    if "+" not in text and "-" not in text:
        return None
    found = _TS.fullmatch(text.strip())
    return _offset(found[8]) if found and found[8] else None


def parse(text: str, zone: Zone) -> Time | None:
    """A time out of an HL7 TS or DTM value; None where it is not one (an empty field, a word, the thirteenth month)."""
    text = text.strip()
    if not text:
        return None
    if len(text) == Precision.SECOND and text.isascii() and text.isdigit() and zone.header_offset is None:
        usual = _to_the_second(text, zone)
        if usual is not None:
            return usual
    found = _TS.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, offset_text = found.groups()
    try:
        naive = datetime.combine(date(int(year), int(month or 1), int(day or 1)), time()) + _clock(hour, minute, second, fraction)
    except (ValueError, OverflowError):
        return None
    precision = (
        Precision.SECOND if second else Precision.MINUTE if minute else Precision.HOUR if hour
        else Precision.DAY if day else Precision.MONTH if month else Precision.YEAR
    )  # fmt: skip
    said_offset = _offset(offset_text) if offset_text else None
    flags: tuple[str, ...] = ()
    if zone.ignore_offsets and (said_offset is not None or zone.header_offset is not None):
        flags = (FLAG_OFFSET_IGNORED,)
    basis, offset = ZoneBasis.SOURCE, None
    if not zone.ignore_offsets:
        if said_offset is not None:
            basis, offset = ZoneBasis.FIELD, said_offset
        elif zone.header_offset is not None:
            basis, offset = ZoneBasis.HEADER, zone.header_offset
    if precision < Precision.HOUR:
        return Time(text, precision, naive.date(), None, basis, flags)
    try:
        if offset is not None:
            return Time(text, precision, naive.date(), naive.replace(tzinfo=timezone(offset)).astimezone(UTC), basis, flags)
        at, doubt = local_instant(naive, zone.local)
    except OverflowError:
        return None
    return Time(text, precision, naive.date(), at, basis, flags + doubt)


def on_a_day(said: Time | None, flags: list[str]) -> Time | None:
    """A time by which something can be dated: a month or a year says too little, and is flagged and left aside."""
    if said is not None and said.precision < Precision.DAY:
        flags.append(FLAG_DAY_MISSING)
        return None
    return said


def _to_the_second(text: str, zone: Zone) -> Time | None:
    """The usual form, fourteen digits in the source's own zone; None where it is no such time, or an odd one."""
    try:
        naive = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
        at, doubt = local_instant(naive, zone.local)
    except (ValueError, OverflowError):
        return None
    return Time(text, Precision.SECOND, naive.date(), at, ZoneBasis.SOURCE, doubt)


def local_instant(naive: datetime, local: ZoneInfo) -> tuple[datetime, tuple[str, ...]]:
    """The instant of a wall clock time: the earlier of a repeated hour, shifted forward out of a missing one, each flagged."""
    there = naive.replace(tzinfo=local, fold=0)
    if there.utcoffset() == there.replace(fold=1).utcoffset():  # all hours but two a year
        return there.astimezone(UTC), ()
    at = there.astimezone(UTC)
    if at.astimezone(local).replace(tzinfo=None) != naive:
        return at, (FLAG_MISSING_HOUR,)
    if naive.replace(tzinfo=local, fold=1).astimezone(UTC) != at:
        return at, (FLAG_REPEATED_HOUR,)
    return at, ()


def _clock(hour: str | None, minute: str | None, second: str | None, fraction: str | None) -> timedelta:
    if not hour:
        return timedelta()
    hours, minutes, seconds = int(hour), int(minute or 0), int(second or 0)
    if hours > 24 or minutes > 59 or seconds > 60 or (hours == 24 and (minutes or seconds)):
        raise ValueError("not a time of day")
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)


def _offset(text: str) -> timedelta | None:
    hours, minutes = int(text[1:3]), int(text[3:5])
    if hours > OFFSET_HOURS_MAX or minutes > 59:
        return None
    size = timedelta(hours=hours, minutes=minutes)
    return -size if text[0] == "-" else size
