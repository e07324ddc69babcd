"""News: one poller a process, which wakes everybody who waits for the log to go on.

It asks for the head at short intervals and, when that moved, for the watermark; only the watermark wakes, so whoever is woken finds
something to read or a number that was drawn in vain. Nothing is ever announced from inside a writing transaction (engine.md A1b).
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from eventlog.log import Log
from eventlog.recorder import LogAway

POLL_SECONDS = 0.005
POLL_IDLE_SECONDS = 0.025
IDLE_AFTER_SECONDS = 2.0
AWAY_PAUSE_SECONDS = 0.5


class Poller:
    """Watches the log for a process. Start it once, or use it in a `with`; wait from any thread or event loop."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._news = threading.Condition()
        self._watermark = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="log-poller", daemon=True)

    def start(self) -> Poller:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the watch and wake everybody."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._announce(self._watermark)

    def __enter__(self) -> Poller:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    @property
    def watermark(self) -> int:
        """The watermark as it was last seen."""
        return self._watermark

    def wait_beyond(self, position: int, timeout_seconds: float) -> int:
        """Wait until the watermark is beyond a position, the time is up or the poller stops; the watermark as last seen."""
        with self._news:
            self._news.wait_for(lambda: self._watermark > position or self._stopping.is_set(), timeout_seconds)
            return self._watermark

    async def beyond(self, position: int, timeout_seconds: float) -> int:
        """The same for an event loop."""
        woken = asyncio.Event()
        place = (asyncio.get_running_loop(), woken)
        with self._news:
            self._waiting.add(place)
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._watermark <= position and not self._stopping.is_set():
                    await woken.wait()
                    woken.clear()
        except TimeoutError:
            pass
        finally:
            with self._news:
                self._waiting.discard(place)
        return self._watermark

    def _watch(self) -> None:
        head, idle = -1, 0.0
        while not self._stopping.is_set():
            try:
                now_at = self._log.recorder.head()
                if now_at != head or self._watermark < head:
                    head, idle = now_at, 0.0
                    watermark = self._log.watermark()
                    if watermark != self._watermark:
                        self._announce(watermark)
            except LogAway:
                self._stopping.wait(AWAY_PAUSE_SECONDS)
                continue
            pause = POLL_SECONDS if idle < IDLE_AFTER_SECONDS else POLL_IDLE_SECONDS
            idle += pause
            self._stopping.wait(pause)

    def _announce(self, watermark: int) -> None:
        with self._news:
            self._watermark = watermark
            self._news.notify_all()
            for loop, woken in tuple(self._waiting):
                if not loop.is_closed():
                    loop.call_soon_threadsafe(woken.set)
