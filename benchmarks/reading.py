"""P4: a member of a thousand events is loaded and folded, with no snapshot and no folded state kept.

Beside it the library loads one of its own aggregates from the same server: a thousand events that say the same, by its default
transcoder. Its aggregate only counts what it is told, so that its time is that of reading.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from benchmarks import long_life
from benchmarks.ground import Databases, Ground
from benchmarks.long_life import Lived
from benchmarks.table import Measured, Row, at_most, in_turns, told_only, within
from domain.core import StreamId
from eventlog.clock import FixedClock, SystemClock
from eventlog.gateway import Gateway

LOADS, LIBRARY_LOADS = 100, 12
SHARE, P50_MS_MAX = 0.1, 5.0
LIBRARY = "the library's repository.get"


def rows(ground: Ground) -> Iterator[Row]:
    life = long_life.lived()
    whole = f"load and fold of a member of {long_life.EVENTS} events over all their streams, no snapshot"
    yield from _measured(ground, "P4", whole, life.whole())
    yield from _measured(ground, "P4-one-stream", f"the same of one stream of {long_life.EVENTS} events", life.one_stream())


def _measured(ground: Ground, id: str, what: str, facts: Sequence[Lived]) -> Iterator[Row]:
    with ground.databases() as databases, long_life.open_for(databases) as opened:
        clock = FixedClock(SystemClock().now())
        streams = long_life.write(long_life.gateway_for(opened, clock), clock, facts)
        load, library = fresh_load(long_life.gateway_for(opened, clock), streams), library_load(databases, facts)
        ours, theirs = in_turns(lambda: p50_ms(load, LOADS), lambda: p50_ms(library, LIBRARY_LOADS))
        yield at_most(id, what, ours, "ms", LIBRARY, theirs, SHARE, "of the library's time")
        yield within(f"{id}-p50", what, ours, "ms", P50_MS_MAX, LIBRARY, theirs)
        reading = Measured((p50_ms(lambda: opened.log.read_many(streams), LOADS),))
        yield told_only(f"{id}-reading", "of it: reading and decoding, not folded", reading, "ms", "load and fold", ours)


def fresh_load(gateway: Gateway, streams: Sequence[StreamId]) -> Callable[[], object]:
    """Load a member of whom nothing is kept; the keys are, as they are for a minute after they were asked for."""

    def load() -> object:
        gateway.forget()
        return gateway.load_many(streams)

    return load


def library_load(databases: Databases, facts: Sequence[Lived]) -> Callable[[], object]:
    """Load an aggregate of the library with events that say the same."""
    address = conninfo_to_dict(databases.url)
    application: Application[Any] = Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(address["dbname"]),
            "POSTGRES_HOST": str(address.get("host") or ""),
            "POSTGRES_PORT": str(address.get("port") or ""),
            "POSTGRES_USER": str(address.get("user") or ""),
            "POSTGRES_PASSWORD": str(address.get("password") or ""),
        }
    )
    told = Told()
    for lived in facts[1:]:  # that it was created is its first event
        said = msgspec.to_builtins(lived.fact, builtin_types=(datetime,))
        told.hear(type(lived.fact).__name__, said, lived.meta.occurred_at, lived.meta.actor, UUID(lived.meta.command_id))
    application.save(told)
    return lambda: application.repository.get(told.id)


class Told(Aggregate):
    """An aggregate of the library that keeps nothing but the number of what it was told."""

    def __init__(self) -> None:
        self.heard = 0

    @event("Heard")
    def hear(self, name: str, said: dict[str, Any], occurred_at: datetime, actor: str, command_id: UUID) -> None:
        self.heard += 1


def p50_ms(act: Callable[[], object], times: int) -> float:
    """The median time of an act in milliseconds, after one that does not count."""
    act()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken)
