"""A sign of life of a long-running worker: a file that its loop touches, and a check of the file's age for whoever supervises it.
The file says what the worker waits for, if it does.

`python -m workers.heartbeat router` exits 0 while the router of this home folder beats, else 1. The loop itself beats, not a thread
beside it, so a hung worker stops beating.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Protocol

from workers.settings import load_settings

SILENCE_SECONDS_MAX = 60.0
BEAT_SECONDS_MIN = 5.0
POSTGRESQL, TEMPORAL = "PostgreSQL", "Temporal"
"""What a worker may wait for."""


class Beat(Protocol):
    """What a loop calls in every round. `waits_for`: the server without which it cannot go on now."""

    def __call__(self, waits_for: str = "") -> None: ...


def unheard(waits_for: str = "") -> None:
    """Beats for nobody."""


class Heartbeat:
    """Call it in every round of a loop; it writes at most every `BEAT_SECONDS_MIN`, and at once where what it waits for changes."""

    def __init__(self, home: Path, name: str) -> None:
        self._file = beat_file(home, name)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._last = 0.0
        self._waits_for = ""

    def __call__(self, waits_for: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= BEAT_SECONDS_MIN or not self._last or waits_for != self._waits_for:
            self._last, self._waits_for = now, waits_for
            self._file.write_text(waits_for)
            self._file.touch()  # what is empty already is not written


def beat_file(home: Path, name: str) -> Path:
    """The file that the worker of that name touches."""
    return home / "alive" / name


def silence_seconds(home: Path, name: str) -> float | None:
    """How long ago the worker last beat; None where it never did."""
    try:
        return max(0.0, time.time() - beat_file(home, name).stat().st_mtime)
    except FileNotFoundError:
        return None


def waits_for(home: Path, name: str) -> str:
    """What the worker waited for when it last beat; empty where it works, or never beat."""
    try:
        return beat_file(home, name).read_text()
    except FileNotFoundError:
        return ""


def check(name: str) -> int:
    """Exit status for a supervisor: 0 alive, 1 silent."""
    silence = silence_seconds(load_settings().throughline_home, name)
    return 0 if silence is not None and silence <= SILENCE_SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(check(sys.argv[1] if len(sys.argv) > 1 else ""))
