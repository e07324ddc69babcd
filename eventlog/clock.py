"""Where "now" comes from: the one port through which the shell and the gateway learn the time.

The core is always given `now`; nothing in `domain/` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the instant, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> datetime:
        return datetime.now(UTC)


class OffsetClock:
    """The machine's clock moved by an offset that is asked for each time: the demo stores one and moves it."""

    __slots__ = ("_offset",)

    def __init__(self, offset: Callable[[], timedelta]) -> None:
        self._offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset()


class FixedClock:
    """Stands still until it is moved; for tests and for made-up history."""

    __slots__ = ("_now",)

    def __init__(self, now: datetime) -> None:
        self.set(now)

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        assert now.tzinfo is not None, "a clock tells aware instants"
        self._now = now.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        self._now += by
