"""Named places at which a fault test kills its process for real. Without the two environment variables, passing one costs nothing.

`THROUGHLINE_KILL_AT=<name>[:<n>]` kills at the n-th passing (default the first). `THROUGHLINE_KILL_COUNT=<file>` gets a line per
kill, so that a test run in which a point was never hit can fail.
"""

from __future__ import annotations

import os
import signal
import threading

KILL_AT = "THROUGHLINE_KILL_AT"
KILL_COUNT = "THROUGHLINE_KILL_COUNT"

LOAD_APPEND = "load|append"
BEGUN_SEND = "begun|send"
SEND_OUTCOME = "send|outcome"
SIGNAL_TRACKING = "signal|tracking"
STORE_ACKNOWLEDGE = "store|acknowledge"

POINTS = (LOAD_APPEND, BEGUN_SEND, SEND_OUTCOME, SIGNAL_TRACKING, STORE_ACKNOWLEDGE)

_armed, _, _turn = os.environ.get(KILL_AT, "").partition(":")
_left = int(_turn or 1)
_lock = threading.Lock()
assert not _armed or _armed in POINTS, f"{KILL_AT} names no kill point"


def passing(point: str) -> None:
    """Die here if this point is armed and its turn has come."""
    global _left
    if point != _armed:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            _count(point)
            os.kill(os.getpid(), signal.SIGKILL)


def hits(file: str) -> dict[str, int]:
    """How often each point killed a process, from the file of counts."""
    try:
        with open(file, encoding="utf-8") as counted:
            lines = counted.read().splitlines()
    except FileNotFoundError:
        lines = []
    return {point: lines.count(point) for point in POINTS}


def _count(point: str) -> None:
    if file := os.environ.get(KILL_COUNT):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, point.encode() + b"\n")
        os.fsync(handle)
        os.close(handle)
