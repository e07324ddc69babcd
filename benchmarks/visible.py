"""P7: how long until an appended fact is a row that somebody can read.

Three processes: one appends real facts through the recorder, so many a second; one runs the projector's loop with every read model
there is; and the one that measures asks for the rows that it has not seen yet, by their keys, over and over, as a reader would. A
fact's time runs from the call of its append until the answer that held its row had arrived: the append itself, its fsync and the
reader's own round trips are in it. All read models move in the transaction that shows the row.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

import psycopg

from benchmarks import library_runner
from benchmarks.filling import MASTER_KEY, Event, events, fill
from benchmarks.ground import Databases, Ground
from benchmarks.processes import READY, WAIT_SECONDS_MAX, asked, paced, process
from benchmarks.table import REPEATS, Measured, NotMeasured, Row, told_only, within
from domain import catalog
from eventlog.database import open_pool
from eventlog.keys import KeyRing
from eventlog.opening import open_log
from eventlog.recorder import Check, CommandRow, EventRow, Item, LogRecorder, Stored
from projections.registry import read_models
from projections.runner import Projector
from workers.projector import project

A_SECOND = 400
SECONDS = 6
LIBRARY_A_SECOND = 50
LIBRARY_SECONDS = 4
LIMIT_MS = 25.0

RATE_KEPT_MIN = 0.98
"""Of the appends asked for a second: below it, another load was measured."""

BEFORE = 10_000
"""Events in the log before the first append, so that rows are found in tables with something in them."""

ASKED_AT_ONCE = 200
PAUSE_SECONDS = 0.001
"""Between two questions of the reader; it counts."""

COPIES_FROM = 1_000_000
"""The numbers of the lives that are appended: beyond those that any filling made."""

_copies = itertools.count(COPIES_FROM)


@dataclass(frozen=True, slots=True)
class Delays:
    """In ms, of all appends of one repeat."""

    p50: float
    p99: float
    longest: float


def rows(ground: Ground) -> Iterator[Row]:
    with ground.databases() as databases, ground.databases() as other:
        fill(databases.url, databases.keys_url, count=BEFORE)
        with ours(databases) as delays, library(other) as librarys:
            found = [(librarys(), delays()) for _ in range(REPEATS)]
    mine, theirs = [m for _, m in found], [t for t, _ in found]
    reference = f"the library's runner at {LIBRARY_A_SECOND}/s"
    p99, p99_of_theirs = Measured(tuple(d.p99 for d in mine)), Measured(tuple(d.p99 for d in theirs))
    what = f"append -> visible row at {A_SECOND}/s, all read models"
    yield within("P7", f"{what}, p99", p99, "ms", LIMIT_MS, reference, p99_of_theirs)
    yield told_only(
        "P7-p50", f"{what}, p50", Measured(tuple(d.p50 for d in mine)), "ms", reference, Measured(tuple(d.p50 for d in theirs))
    )


@contextmanager
def ours(databases: Databases, *, a_second: int = A_SECOND) -> Iterator[Callable[[], Delays]]:
    """The writer and the projector at work on a log; each call measures one repeat. For other measurements, too."""
    with process(_project, databases), process(_append, databases) as writer, psycopg.connect(databases.url) as conn:
        conn.autocommit = True
        yield lambda: _measured(conn, writer, "read.timeline", a_second, SECONDS, RATE_KEPT_MIN)


@contextmanager
def library(databases: Databases) -> Iterator[Callable[[], Delays]]:
    """The library's application and runner, in processes of their own."""
    with (
        process(library_runner.carry, databases),
        process(library_runner.write, databases) as writer,
        psycopg.connect(databases.url) as conn,
    ):
        conn.autocommit = True
        yield lambda: _measured(conn, writer, library_runner.VIEW, LIBRARY_A_SECOND, LIBRARY_SECONDS, 0.0)


def _measured(
    conn: psycopg.Connection[Any], writer: Connection, view: str, a_second: float, seconds: float, kept_min: float
) -> Delays:
    """Have facts appended, and look for their rows meanwhile. Raises NotMeasured where the writer kept less of its rate."""
    writer.send((a_second, int(a_second * seconds)))
    told: list[tuple[str, float, float]] = []
    seen: dict[str, float] = {}
    query = f"SELECT key FROM {view} WHERE key = ANY(%s)".encode()
    open_: list[str] = []
    give_up = time.monotonic() + seconds + WAIT_SECONDS_MAX
    ended = False
    while not ended or open_:
        if time.monotonic() > give_up:
            raise NotMeasured(f"{len(open_)} rows of {view} did not appear")
        while writer.poll():
            answer = writer.recv()
            if answer is None:
                ended = True
                break
            open_.append(answer[0])
            told.append(answer)
        if open_:
            found = {row[0] for row in conn.execute(query, (open_[:ASKED_AT_ONCE],), prepare=True)}
            at = time.monotonic()
            seen.update((key, at) for key in found)
            open_ = [key for key in open_ if key not in found]
        time.sleep(PAUSE_SECONDS)
    kept = (len(told) - 1) / (told[-1][1] - told[0][1])
    if kept < kept_min * a_second:
        raise NotMeasured(f"only {kept:.0f} of {a_second:.0f} appends a second were made")
    delays = sorted((seen[key] - began) * 1000 for key, began, _ in told)
    return Delays(delays[len(delays) // 2], delays[int(len(delays) * 0.99)], delays[-1])


# --- the other processes ---------------------------------------------------------------------------------------------------------


def _project(databases: Databases, end: Connection) -> None:
    """The projector as in production, with every read model; ready when it has caught up."""
    stop = threading.Event()
    with (
        open_log(databases.url, databases.keys_url, master_key=MASTER_KEY, facts=catalog.FACTS) as opened,
        open_pool(databases.url) as pool,
    ):
        projector = Projector(pool, opened.log, read_models(bytes(32)), catalog.FACTS)
        projector.create()
        projector.run_until_caught_up()
        loop = threading.Thread(target=project, args=(projector, stop, lambda: None))
        loop.start()
        end.send(READY)
        asked(end)
        stop.set()
        loop.join()


def _append(databases: Databases, end: Connection) -> None:
    """Appends of one fact each, through the recorder. What no timeline shows is appended, too, and not asked for."""
    with open_log(databases.url, databases.keys_url, master_key=MASTER_KEY, facts=catalog.FACTS) as opened:
        recorder = opened.log.recorder
        end.send(READY)
        while (wish := asked(end)) is not None:
            a_second, count = wish
            items = iter(_items(opened.keys, count))
            paced(a_second, count, partial(_append_next, recorder, items), end)


def _append_next(recorder: LogRecorder, items: Iterator[Item], number: int) -> str | None:
    """Append one; the key of the row that is to appear. The timeline shows no claims."""
    item = next(items)
    verdict = recorder.append(item)
    assert isinstance(verdict, Stored), verdict
    (event,) = item.events
    return None if event.stream.startswith("claim-") else str(event.event_id)


def _items(keys: KeyRing, count: int) -> Sequence[Item]:
    """The first facts of lives that nobody has lived yet, each as an append of its own."""
    return [_item(event) for event in itertools.islice(events(keys, count=count, copies=_copies), count)]


def _item(event: Event) -> Item:
    event_id = UUID(event.event_id)
    row = EventRow(
        event.stream, event.version, event.name, event.schema_version, event_id, event.body, event.sealed, event.meta, event.hash
    )
    command = CommandRow(event_id, event.hash, event.stream)
    return Item(events=(row,), checks=(Check(event.stream, event.version - 1, True),), commands=(command,), command_of=(0,))
