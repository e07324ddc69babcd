"""Processes that take part in a measurement: one that begins, says when it is ready, and ends when it is told to."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.ground import Databases
from benchmarks.table import NotMeasured

READY = "ready"
READY_SECONDS_MAX = 240.0
"""A projector has a whole log to catch up with first."""

WAIT_SECONDS_MAX = 60.0


@contextmanager
def process(act: Callable[[Databases, Connection], None], databases: Databases) -> Iterator[Connection]:
    """Run `act` in a process of its own, which sends READY when it is, and ends when it is sent None."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    started = context.Process(target=act, args=(databases, theirs), daemon=True)
    started.start()
    theirs.close()
    try:
        if not ours.poll(READY_SECONDS_MAX):
            raise NotMeasured(f"{act.__name__} did not get ready")
        ours.recv()
        yield ours
        ours.send(None)
    except (EOFError, BrokenPipeError):
        raise NotMeasured(f"{act.__name__} ended early") from None
    finally:
        ours.close()
        started.join(WAIT_SECONDS_MAX)
        if started.is_alive():
            started.terminate()


def asked(end: Connection) -> Any:
    """What this process is asked for next; None: to end, also when whoever asks is gone."""
    try:
        return end.recv()
    except EOFError:
        return None


def paced(a_second: float, count: int, act: Callable[[int], str | None], tell: Connection) -> None:
    """Act so many times, each at its instant or, where the last took too long, at once. Each key that comes of it is told with when
    it was begun and ended; then None."""
    began = time.monotonic()
    for number in range(count):
        pause = began + number / a_second - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        at = time.monotonic()
        key = act(number)
        if key is not None:
            tell.send((key, at, time.monotonic()))
    tell.send(None)
