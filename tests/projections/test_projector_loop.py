"""The loop that keeps read models going: news arrives by itself, one that stops does not stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.projections.conftest import World
from tests.projections.toy import BROKEN, TOTAL, AmountPut, Mended, baskets
from workers import projector as loop
from workers.projector import project


@contextmanager
def running(world: World) -> Iterator[Callable[[], int]]:
    """The loop in a thread of its own; gives the number of beats so far."""
    stop, beats = threading.Event(), 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    thread = threading.Thread(target=project, args=(world.projector(baskets(), TOTAL), stop, beat))
    thread.start()
    try:
        yield lambda: beats
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(told: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def amount(world: World, basket: str) -> int:
    rows = world.rows("SELECT amount FROM read.baskets WHERE key = %s", basket)
    return int(rows[0][0]) if rows else 0


def test_news_is_folded_by_itself(toys: World) -> None:
    with running(toys) as beats:
        for n in range(1, 4):
            toys.pen.write("toy-1", AmountPut(basket="a", amount=1))
            until(lambda n=n: amount(toys, "a") == n)  # type: ignore[misc]
        assert beats() > 0


def test_one_that_stops_does_not_stop_the_others(toys: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STOPPED_SECONDS", 0.2)
    with running(toys):
        toys.pen.write("toy-1", AmountPut(basket="a", amount=1, label=BROKEN))
        toys.pen.write("toy-1", AmountPut(basket="b", amount=5))
        until(lambda: amount(toys, "b") == 5)
        stopped = "SELECT stopped_because FROM projections.builds WHERE name = 'total'"
        until(lambda: "cannot be counted" in toys.rows(stopped)[0][0])
        Mended.so_far = True
        until(lambda: toys.rows("SELECT amount FROM read.total") == [(6,)])


def test_the_loop_outlives_an_outage(toys: World) -> None:
    with running(toys):
        for n in range(3):
            with psycopg.connect(toys.url, autocommit=True) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                )
            written = 0
            while not written:
                try:
                    toys.pen.write(f"toy-{n}", AmountPut(basket="a", amount=1))
                    written = 1
                except psycopg.OperationalError:
                    continue

            def told(n: int = n) -> bool:
                try:
                    return amount(toys, "a") == n + 1
                except psycopg.OperationalError:
                    return False

            until(told)
        assert toys.rows("SELECT count(*) FROM projections.parked") == [(0,)]
