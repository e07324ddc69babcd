"""The clock of a process: the machine's own, or, for the demo, the machine's moved by an offset that is kept in the home folder."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from eventlog.clock import Clock, OffsetClock, SystemClock

OFFSET_FILE = "clock-offset"
OFFSET_DAYS_MAX = 3_660


class StoredOffset:
    """How far the clock was moved, in seconds, in a file that every process of the demo reads."""

    def __init__(self, home: Path) -> None:
        self._file = home / OFFSET_FILE

    def __call__(self) -> timedelta:
        """The offset now; none where the clock was never moved."""
        try:
            return timedelta(seconds=float(self._file.read_text()))
        except (FileNotFoundError, ValueError):
            return timedelta()

    def advance(self, by: timedelta) -> timedelta:
        """Move the clock ahead. Backwards it cannot go, because facts are recorded already. Then nudge every process
        (workers.reconcile.nudge_all)."""
        assert timedelta() <= by <= timedelta(days=OFFSET_DAYS_MAX)
        offset = self() + by
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_name(f"{OFFSET_FILE}.{os.getpid()}")
        unfinished.write_text(f"{offset.total_seconds()}\n")
        os.replace(unfinished, self._file)
        return offset

    def clear(self) -> None:
        """Back to the machine's clock, for a new demo on a new log."""
        self._file.unlink(missing_ok=True)


def clock_of(home: Path, *, movable: bool) -> Clock:
    """The clock of every process of an installation. `movable`: of the demo and of development, never of production."""
    return OffsetClock(StoredOffset(home)) if movable else SystemClock()
