"""Following the log while its writers are maltreated: the reader, the blows, and what was seen against what is stored.

For the measurement of order and for the permanent test of it.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from eventlog.codec import StoredFact
from eventlog.log import Batch, Log
from eventlog.recorder import LogAway

BATCH = 500
BACKENDS_AT_ONCE = 2


class Reader(threading.Thread):
    """Follows the log as a projector does, and keeps of each fact what `keep` says of it. `failed`: what ended it too early."""

    def __init__(self, log: Log, keep: Callable[[StoredFact], None] = lambda stored: None) -> None:
        super().__init__(daemon=True)
        self.log = log
        self.seen: list[int] = []
        self.position = self.away = 0
        self.failed: BaseException | None = None
        self._keep = keep
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self.read_on()
        except BaseException as error:
            self.failed = error

    def read_on(self) -> None:
        """Read what follows, if the log can be reached."""
        try:
            batch = self.look()
        except LogAway:
            self.away += 1
            return
        for stored in batch.facts:
            self.seen.append(stored.recorded.position)
            self._keep(stored)
        self.position = batch.position
        if not batch.facts:
            self._ended.wait(0.002)

    def look(self) -> Batch:
        """What follows, up to where nothing can appear any more."""
        return self.log.after(self.position, limit=BATCH)

    def drain(self) -> None:
        """End the following and read the rest: only once every writer has gone, or what they were writing would count as missed."""
        self._ended.set()
        if self.is_alive():
            self.join()
        if self.failed is not None:
            raise self.failed
        while self.position < self.log.watermark():
            self.read_on()


class CarelessReader(Reader):
    """Reads up to the newest number and forgets that lower ones may still be under way: what must be caught."""

    def look(self) -> Batch:
        return self.log.after(self.position, limit=BATCH, bound=self.log.recorder.head())


class Writers:
    """Processes that write until they are killed, each followed by another. `spawn(seed)` starts one."""

    def __init__(self, spawn: Callable[[int], subprocess.Popen[bytes]], processes: int, dice: random.Random) -> None:
        self._spawn, self._dice = spawn, dice
        self._seeds = iter(range(1, 1_000_000))
        self._running = [spawn(next(self._seeds)) for _ in range(processes)]
        self.killed = 0

    def kill_one(self) -> None:
        """SIGKILL one of them and start another in its place."""
        place = self._dice.randrange(len(self._running))
        self._running[place].send_signal(signal.SIGKILL)
        self._running[place].wait()
        self.killed += 1
        self._running[place] = self._spawn(next(self._seeds))

    def joined(self, timeout_seconds: float = 60.0) -> list[int]:
        """Wait until all that were told to end have ended; their exit codes."""
        return [process.wait(timeout=timeout_seconds) for process in self._running]


def terminate_backends(conn: psycopg.Connection[tuple[int]]) -> int:
    """Cut some connections to this database, whoever holds them; how many."""
    cut = conn.execute(
        "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        f" ORDER BY random() LIMIT {BACKENDS_AT_ONCE}"
    )
    return sum(row[0] for row in cut.fetchall())


@dataclass(frozen=True, slots=True)
class Order:
    """What became of the events that are stored: never seen, seen after a later one, seen more than once."""

    missed: int
    reordered: int
    doubled: int

    @property
    def wrong(self) -> int:
        return self.missed + self.reordered + self.doubled


def compared(seen: Sequence[int], stored: Sequence[int]) -> Order:
    """The positions as they were seen, against those that are stored."""
    once = set(seen)
    highest, reordered = 0, 0
    for position in seen:
        reordered += position < highest
        highest = max(highest, position)
    return Order(len(set(stored) - once), reordered, len(seen) - len(once))
