"""P3: a reader that follows the log misses nothing and sees everything in order, while its writers are killed at random.

Twelve callers in three processes append through the real recorder, each second process in groups; every fourth append has up to
twenty events. Processes are killed and connections cut all the time. Compared is only after every writer has gone.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks.ground import Databases, Ground
from benchmarks.order_writer import MASTER
from benchmarks.table import Measured, NotMeasured, Row, told_only, within
from benchmarks.tailing import Reader, Writers, compared, terminate_backends
from domain.catalog import FACTS
from eventlog.opening import OpenLog, open_log

EVENTS_MIN = 100_000
SECONDS_MIN, SECONDS_MAX = 25.0, 60.0
PROCESSES, THREADS = 3, 4
PAUSE_SECONDS = (0.1, 0.4)
KILL_SHARE = 0.2
EVENTS_BETWEEN_BLOWS = 500
SEED = 2026


def rows(ground: Ground, *, events_min: int = EVENTS_MIN, seconds_min: float = SECONDS_MIN) -> Iterator[Row]:
    dice, began = random.Random(SEED), time.monotonic()
    with ground.databases() as databases, ground.folder() as folder, opened_log(databases) as opened:
        reader, cut, stop = Reader(opened.log), 0, folder / "stop"
        writers = Writers(lambda seed: _writer(databases, seed, stop), PROCESSES, dice)
        reader.start()
        try:
            with psycopg.connect(databases.url, autocommit=True) as conn:
                struck_at = 0
                while reader.failed is None and (seconds := time.monotonic() - began) < SECONDS_MAX:
                    if len(reader.seen) >= events_min and seconds >= seconds_min:
                        break
                    time.sleep(dice.uniform(*PAUSE_SECONDS))
                    if len(reader.seen) < struck_at + EVENTS_BETWEEN_BLOWS:
                        continue  # let them write something worth losing
                    struck_at = len(reader.seen)
                    cut += terminate_backends(conn)
                    if dice.random() < KILL_SHARE:
                        writers.kill_one()
        finally:
            stop.touch()
            codes = writers.joined()
        if any(codes):
            raise NotMeasured(f"a writer ended by itself with {max(codes)}")
        reader.drain()
        with psycopg.connect(databases.url) as conn:
            stored = [row[0] for row in conn.execute("SELECT position FROM log.events").fetchall()]
    seconds, order = time.monotonic() - began, compared(reader.seen, stored)
    if len(stored) < events_min:
        raise NotMeasured(
            f"only {len(stored):,} events were written in {SECONDS_MAX:.0f} s: run it on a machine that does nothing else"
        )
    written = Measured((float(len(stored)),))
    what = f"events missed, re-ordered or doubled by a reader while {PROCESSES * THREADS} writers are killed at random"
    yield within("P3", what, Measured((float(order.wrong),)), "events", 0, "events written", written)
    for id, told, figure, unit in (
        ("P3-killed", "processes killed with 4 writers each", writers.killed, "processes"),
        ("P3-cut", "connections cut", cut, "connections"),
        ("P3-holes", "numbers that were drawn and never used", max(stored) - len(stored), "numbers"),
        ("P3-seconds", "how long it took", seconds, "s"),
    ):
        yield told_only(id, told, Measured((float(figure),)), unit, "events written", written)


def opened_log(databases: Databases) -> OpenLog:
    return open_log(databases.url, databases.keys_url, master_key=MASTER, facts=FACTS)


def _writer(databases: Databases, seed: int, stop: Path) -> subprocess.Popen[bytes]:
    way = "grouped" if seed % 2 else "direct"
    arguments = [databases.url, databases.keys_url, str(seed), str(THREADS), way, str(stop)]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.order_writer", *arguments], cwd=Path(__file__).parents[1])
