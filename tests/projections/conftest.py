"""What the read models' tests stand on: a real log, a pool, and a pen that writes facts into the log without deciding them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from domain.core import Fact
from eventlog import opening
from eventlog.codec import FIRST_PREVIOUS, Meta
from eventlog.database import open_pool
from eventlog.log import Log
from eventlog.opening import OpenLog
from eventlog.recorder import Check, CommandRow, EventRow, Item, Stored
from projections.model import ReadModel
from projections.runner import Projector
from tests.projections import toy

NOON = datetime(2026, 11, 2, 20, 0, tzinfo=UTC)
MASTER = bytes(range(32))
INDEX_KEY = bytes(range(32, 64))


@dataclass(slots=True)
class Pen:
    """Writes facts into the log as they are given: versions and hashes right, nothing decided."""

    log: Log
    now: datetime = NOON
    _ends: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def write(
        self,
        stream: str,
        *facts: Fact,
        at: datetime | None = None,
        recorded_at: datetime | None = None,
        said_at: datetime | None = None,
        by: str = "system",
        whose: str | None = None,
        message_id: str | None = None,
    ) -> tuple[str, ...]:
        """The ids of the events. `whose` is the member whose key seals personal fields of a stream that is not the member's own."""
        version, previous = self._ends.get(stream, (0, FIRST_PREVIOUS))
        rows: list[EventRow] = []
        for fact in facts:
            version += 1
            meta = Meta(
                occurred_at=at or self.now,
                recorded_at=recorded_at or self.now,
                said_at=said_at,
                actor=by,
                message_id=message_id,
                policy=getattr(fact, "policy", None) or None,
            )
            row = self.log.codec.encode(
                fact, stream=stream, version=version, event_id=uuid4(), meta=meta, key_id=whose or stream, previous=previous
            )
            rows.append(row)
            previous = row.hash
        item = Item(
            events=tuple(rows),
            checks=(Check(stream, version - len(rows), True),),
            commands=(CommandRow(uuid4(), b"pen", stream),),
            command_of=tuple(0 for _ in rows),
        )
        verdict = self.log.recorder.append(item)
        assert isinstance(verdict, Stored), verdict
        self._ends[stream] = (version, previous)
        return tuple(str(row.event_id) for row in rows)


Pool = ConnectionPool[Connection[TupleRow]]


@dataclass(frozen=True, slots=True)
class World:
    url: str
    log: Log
    pool: Pool
    pen: Pen
    facts: Sequence[Any]

    def projector(self, *models: ReadModel[Any], **more: Any) -> Projector:
        """A projector of its own, as another process would have."""
        projector = Projector(self.pool, self.log, models, self.facts, **more)
        projector.create()
        return projector

    def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        with self.pool.connection() as conn:
            return conn.execute(query.encode(), parameters).fetchall()


@pytest.fixture
def world_of(database: str) -> Iterator[Callable[[Sequence[Any]], World]]:
    """Opens a fresh log under a catalog."""
    opening.create(database, database + "_keys")
    opened: list[OpenLog] = []
    pools: list[Pool] = []

    def open_under(facts: Sequence[Any]) -> World:
        log = opening.open_log(database, database + "_keys", master_key=MASTER, facts=facts)
        opened.append(log)
        pool = open_pool(database, size_max=12)
        pools.append(pool)
        return World(database, log.log, pool, Pen(log.log), facts)

    yield open_under
    for pool in pools:
        pool.close()
    for log in opened:
        log.close()


@pytest.fixture
def toys(world_of: Callable[[Sequence[Any]], World]) -> World:
    return world_of(toy.FACTS)


@pytest.fixture(autouse=True)
def _mended() -> Iterator[None]:
    toy.Mended.so_far = False
    yield
    toy.Mended.so_far = False
