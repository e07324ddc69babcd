"""Keeps the read models going: all together, or one by one where one of them has met something.

A read model that stops (a fact that a total cannot count, a fold at fault) is logged, shown and tried again after a pause; the
others go on meanwhile. So do those that need no keys while the keys are away. While the database is away nothing moves; an outage
parks nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from eventlog.recorder import LogAway
from projections.runner import KeysAway, Projector, ProjectorAway, ProjectorStopped

POLL_SECONDS = 0.004
"""From one look for news to the next: what a reader waits at most, besides the fold. Less would only make smaller batches."""

IDLE_SECONDS, IDLE_AFTER_SECONDS = 0.02, 2.0
"""The same where nothing has come for a while."""

AWAY_SECONDS_MIN, AWAY_SECONDS_MAX = 0.5, 10.0
KEYS_AWAY_SECONDS = 5.0

STOPPED_SECONDS = 30.0
"""A stopped read model is tried again after so long: somebody may have mended what stopped it."""

SWEEP_SECONDS = 60.0

_log = structlog.get_logger()


def project(projector: Projector, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Fold whatever the log gains, until told to stop. `beat` is called at least every ten seconds while all is well."""
    _Round(projector, stop, beat).run()


class _Round:
    """The read models in turn, with those that rest."""

    def __init__(self, projector: Projector, stop: threading.Event, beat: Callable[[], None]) -> None:
        self._projector = projector
        self._stop = stop
        self._beat = beat
        self._resting: dict[str, float] = {}
        self._behind = set(projector.models)
        self._seen = -1
        self._swept_at = time.monotonic()
        self._moved_at = time.monotonic()

    def run(self) -> None:
        pause = AWAY_SECONDS_MIN
        while not self._stop.is_set():
            self._beat()
            began = time.monotonic()
            try:
                if self._once():
                    self._moved_at = began
                pause = AWAY_SECONDS_MIN
            except (ProjectorAway, LogAway) as away:
                _log.warning("projector waits", error=type(away).__name__)
                self._stop.wait(pause)
                pause = min(AWAY_SECONDS_MAX, 2 * pause)
                continue
            if not self._behind.difference(self._resting):
                until = began + (POLL_SECONDS if began < self._moved_at + IDLE_AFTER_SECONDS else IDLE_SECONDS)
                self._stop.wait(max(0.0, until - time.monotonic()))

    def _once(self) -> bool:
        """One step of each read model that has something to do; whether there was any."""
        watermark = self._projector.log.watermark()
        if watermark != self._seen:
            self._seen = watermark
            self._behind = set(self._projector.models)
        now = time.monotonic()
        for name in [name for name, until in self._resting.items() if until <= now]:
            del self._resting[name]
            self._behind.add(name)
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            self._projector.sweep()
        due = [name for name in self._projector.models if name in self._behind and name not in self._resting]
        together = self._projector.step_together(due, until=watermark).names
        self._behind -= together
        for name in due:
            if self._stop.is_set():
                break
            if name not in together:
                self._step(name, watermark)
        return bool(due)

    def _step(self, name: str, watermark: int) -> None:
        try:
            done = self._projector.step(name, until=watermark)
        except ProjectorStopped:
            _log.error("read model stopped; a person has to look", model=name)
            self._resting[name] = time.monotonic() + STOPPED_SECONDS
            return
        except KeysAway:
            _log.warning("read model waits for the keys", model=name)
            self._resting[name] = time.monotonic() + KEYS_AWAY_SECONDS
            return
        if done.parked:
            _log.error("facts were parked; a person has to look", model=name, facts=done.parked)
        if done.caught_up:
            self._behind.discard(name)
