"""P5, P6, P7: how fast read models are rebuilt, are carried along, and show what was appended.

The log is that of a programme: copies of lived years (`benchmarks.filling`). A rate is the events of the log that a read model goes
past in a second, whether or not it wants them: what somebody waits for who rebuilds it. The lightest and the heaviest of the read
models were found by rebuilding each of them once; which they are is part of the row, and `every` finds them again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from benchmarks import library_runner, visible
from benchmarks.filling import MASTER_KEY, fill
from benchmarks.ground import Databases, Ground
from benchmarks.table import Measured, NotMeasured, Row, at_least, in_turns, told_only
from domain import catalog
from eventlog.database import open_pool
from eventlog.log import Log
from eventlog.opening import open_log
from projections.model import ReadModel
from projections.registry import read_models
from projections.runner import Projector

EVENTS = 200_000
LIVE_EVENTS = 60_000
"""Gone past in one repeat of a live measurement: a second or two, as its reference takes."""

TOGETHER_EVENTS = 20_000
LIBRARY_EVENTS = 1_500

LIGHTEST, HEAVIEST = "policies", "timeline"
LIVE = "deadlines"
"""The read model of P6: every due and what became of it, which each fold reads and writes again."""

LC = "COPY OUT of the same log (LC)"
L1 = "single-row inserts (L1)"


@dataclass(frozen=True, slots=True)
class Opened:
    """A filled log and the projector of all its read models."""

    url: str
    log: Log
    pool: ConnectionPool[Connection[TupleRow]]
    models: tuple[ReadModel[Any], ...]
    events: int

    def projector(self, *names: str) -> Projector:
        return Projector(self.pool, self.log, [m for m in self.models if m.name in names or not names], catalog.FACTS)

    def rebuilt(self, name: str) -> float:
        """Events gone past in a second of a rebuild, from its first query until the new build is shown."""
        projector = self.projector(name)
        projector.create()
        began = time.perf_counter()
        projector.rebuild(name)
        return self.events / (time.perf_counter() - began)

    def carried(self, *names: str, until: int) -> float:
        """Events gone past in a second by live projection, from an empty table on."""
        with psycopg.connect(self.url, autocommit=True) as owner:
            owner.execute("SET client_min_messages = warning")
            owner.execute("DROP SCHEMA IF EXISTS read CASCADE")
            owner.execute("DROP SCHEMA IF EXISTS projections CASCADE")
        projector = self.projector(*names)
        projector.create()
        began = time.perf_counter()
        behind = set(projector.models)
        while behind:
            behind -= projector.step_together(behind, until=until).names
            behind -= {name for name in behind if projector.step(name, until=until).caught_up}
        return until / (time.perf_counter() - began)

    def count(self, name: str) -> int:
        with self.pool.connection() as conn:
            row = conn.execute(f"SELECT count(*) FROM read.{name}".encode()).fetchone()
            assert row is not None
            return int(row[0])


def rows(ground: Ground) -> Iterator[Row]:
    with ground.databases() as databases:
        filled = fill(databases.url, databases.keys_url, count=EVENTS)
        with opened(databases, filled.events) as log:
            yield from _rebuilds(ground, log)
            yield from _live(ground, log)
    with ground.databases() as databases:
        yield _library(ground, databases)
    yield from visible.rows(ground)


@contextmanager
def opened(databases: Databases, events: int) -> Iterator[Opened]:
    """The read models on a log that has so many events."""
    with (
        open_log(databases.url, databases.keys_url, master_key=MASTER_KEY, facts=catalog.FACTS) as log,
        open_pool(databases.url) as pool,
    ):
        yield Opened(databases.url, log.log, pool, read_models(bytes(32)), events)


def every(log: Opened) -> dict[str, float]:
    """The rate of each read model's rebuild, the heaviest first."""
    found = {model.name: log.rebuilt(model.name) for model in log.models}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _rebuilds(ground: Ground, log: Opened) -> Iterator[Row]:
    lightest, lc = in_turns(lambda: log.rebuilt(LIGHTEST), lambda: ground.lc(log.url))
    yield at_least("P5-lightest", f"rebuild of {LIGHTEST}, the lightest read model", lightest, "events/s", LC, lc, 0.3, "LC")
    heaviest, lc = in_turns(lambda: log.rebuilt(HEAVIEST), lambda: ground.lc(log.url))
    yield at_least("P5-heaviest", f"rebuild of {HEAVIEST}, the heaviest read model", heaviest, "events/s", LC, lc, 0.1, "LC")


def _live(ground: Ground, log: Opened) -> Iterator[Row]:
    with log.pool.connection() as conn:
        row = conn.execute(
            "SELECT count(*) FILTER (WHERE NOT starts_with(stream, 'claim-')) FROM log.events WHERE position <= %s", (LIVE_EVENTS,)
        ).fetchone()
        assert row is not None
    live, l1 = in_turns(lambda: log.carried(LIVE, until=LIVE_EVENTS), ground.l1)
    yield at_least("P6", f"live projection of {LIVE}, exactly once", live, "events/s", L1, l1, 2.0, "L1")
    heavy = Measured((log.carried(HEAVIEST, until=LIVE_EVENTS),))
    if log.count(HEAVIEST) != row[0]:
        raise NotMeasured(f"{log.count(HEAVIEST)} rows of {row[0]} facts: the measurement was not of exactly once")
    yield told_only("P6-heaviest", f"live projection of {HEAVIEST}, the heaviest read model", heavy, "events/s", L1, l1)
    together = Measured((log.carried(until=TOGETHER_EVENTS),))
    yield told_only("P6-all", f"live projection of all {len(log.models)} read models", together, "events/s", L1, l1)


def _library(ground: Ground, databases: Databases) -> Row:
    found = Measured((library_runner.projected_a_second(databases, LIBRARY_EVENTS),))
    return told_only(
        "P6-library", "the library's ProjectionRunner, one row an event", found, "events/s", L1, Measured((ground.l1(),))
    )
