"""A writer of the measurement of order, in a process of its own: it appends until it is killed or told to end.

python -m benchmarks.order_writer URL KEYS_URL SEED THREADS direct|grouped STOP_FILE
"""

from __future__ import annotations

import random
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from eventsourcing.persistence import PersistenceError

from domain.catalog import FACTS
from domain.followup.facts import StayNoticed
from eventlog.codec import FIRST_PREVIOUS, Codec, Meta
from eventlog.committer import Committer
from eventlog.gateway import Appender
from eventlog.opening import OpenLog, open_log
from eventlog.recorder import Check, CommandRow, EventRow, Item, LogAway, Stored

MASTER = bytes(range(32))
MANY_SHARE, EVENTS_MAX = 0.25, 20
AFRESH_SHARE = 0.5
"""How often a writer begins another stream instead of going on with its own."""

META = Meta(occurred_at=datetime(2026, 11, 2, 20, tzinfo=UTC), recorded_at=datetime(2026, 11, 2, 20, tzinfo=UTC), actor="system")


class Writer:
    """One caller: it appends one event at a time, or up to twenty at once."""

    def __init__(self, appender: Appender, codec: Codec, dice: random.Random) -> None:
        self._appender, self._codec, self._dice = appender, codec, dice
        self._begin()

    def write(self) -> None:
        """Append once, to this writer's stream or to a new one. Raises LogAway."""
        if self._dice.random() < AFRESH_SHARE:
            self._begin()
        events = self._dice.randint(2, EVENTS_MAX) if self._dice.random() < MANY_SHARE else 1
        rows = tuple(self._next() for _ in range(events))
        item = Item(rows, (Check(self._stream, self._version, True),), (CommandRow(self._id(), b"order", self._stream),))
        if isinstance(self._appender.append(item), Stored):
            self._version += events
        else:
            self._begin()

    def _begin(self) -> None:
        self._stream, self._version, self._written, self._hash = f"followup-{self._id()}", 0, 0, FIRST_PREVIOUS

    def _next(self) -> EventRow:
        self._written += 1
        row = self._codec.encode(
            StayNoticed(stay=f"stay-{self._id()}"), stream=self._stream, version=self._written, event_id=self._id(), meta=META,
            key_id=None, previous=self._hash,
        )  # fmt: skip
        self._hash = row.hash
        return row

    def _id(self) -> UUID:
        return UUID(int=self._dice.getrandbits(128), version=4)


def main(url: str, keys_url: str, seed: str, threads: int, way: str, stop: Path) -> None:
    with opened_somehow(url, keys_url, threads + 1, stop) as opened:
        appender: Appender = Committer(opened.log.recorder) if way == "grouped" else opened.log.recorder

        def work(number: int) -> None:
            writer = Writer(appender, opened.log.codec, random.Random(f"{seed} {number}"))
            while not stop.exists():
                try:
                    writer.write()
                except LogAway:
                    writer = Writer(appender, opened.log.codec, random.Random())

        working = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()


def opened_somehow(url: str, keys_url: str, pool_max: int, stop: Path) -> OpenLog:
    """The log, opened again when the connections are cut that were just being made."""
    while True:
        try:
            return open_log(url, keys_url, master_key=MASTER, facts=FACTS, pool_max=pool_max)
        except PersistenceError:
            if stop.exists():
                sys.exit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], Path(sys.argv[6]))
