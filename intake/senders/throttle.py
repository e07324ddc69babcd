"""How much a source may send: a bucket of a minute's messages for each, in this process (messages.md 5.1, 429).

Over MLLP nobody is turned away: what came is taken, then reading pauses for as long as it was too much, and TCP slows the sender.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from intake.senders.sources import Source

MINUTE_SECONDS: Final = 60.0


class Throttle:
    """Counts each source's messages. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, source: Source) -> float:
        """0, and the message counts; else how long the source has to wait, and it does not count."""
        if not source.messages_per_minute:
            return 0.0
        each, now = MINUTE_SECONDS / source.messages_per_minute, time.monotonic()
        with self._lock:
            left, at = self._left.get(source.name, (float(source.messages_per_minute), now))
            left = min(float(source.messages_per_minute), left + (now - at) / each)
            if left < 1.0:
                self._left[source.name] = (left, now)
                return (1.0 - left) * each
            self._left[source.name] = (left - 1.0, now)
        return 0.0

    def took(self, source: Source, count: int) -> float:
        """Messages that were taken whatever the limit says: how many seconds nothing more is to be taken of the source."""
        if not source.messages_per_minute:
            return 0.0
        each, now = MINUTE_SECONDS / source.messages_per_minute, time.monotonic()
        with self._lock:
            left, at = self._left.get(source.name, (float(source.messages_per_minute), now))
            left = min(float(source.messages_per_minute), left + (now - at) / each) - count
            self._left[source.name] = (left, now)
        return max(0.0, -left * each)
