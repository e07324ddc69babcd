"""A sign of life of a long-running worker: a file that its loop touches, and a check of the file's age for whoever supervises it.

`python -m workers.heartbeat router` exits 0 while the router of this home folder beats, else 1. The loop itself beats, not a thread
beside it, so a hung worker stops beating.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from workers.settings import load_settings

SILENCE_SECONDS_MAX = 60.0
BEAT_SECONDS_MIN = 5.0


class Heartbeat:
    """Call it in every round of a loop; it writes at most every `BEAT_SECONDS_MIN`."""

    def __init__(self, home: Path, name: str) -> None:
        self._file = beat_file(home, name)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._last = 0.0

    def __call__(self) -> None:
        """Beat."""
        now = time.monotonic()
        if now - self._last >= BEAT_SECONDS_MIN or not self._last:
            self._last = now
            self._file.touch()


def beat_file(home: Path, name: str) -> Path:
    """The file that the worker of that name touches."""
    return home / "alive" / name


def silence_seconds(home: Path, name: str) -> float | None:
    """How long ago the worker last beat; None where it never did."""
    try:
        return max(0.0, time.time() - beat_file(home, name).stat().st_mtime)
    except FileNotFoundError:
        return None


def check(name: str) -> int:
    """Exit status for a supervisor: 0 alive, 1 silent."""
    silence = silence_seconds(load_settings().throughline_home, name)
    return 0 if silence is not None and silence <= SILENCE_SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(check(sys.argv[1] if len(sys.argv) > 1 else ""))
