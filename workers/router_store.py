"""The router's tables. Everything here can be dropped and rebuilt from the log (workers/rebuild.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from activities.process_states import SCHEMA_LOCK, Pool
from domain.core import ProcessRef

NAME = "router"

PARK_WAIT = timedelta(minutes=1)
PARK_WAIT_MAX = timedelta(hours=1)


class AnotherIncarnation(Exception):
    """The log is another one than the workflows know: its positions went backwards. The text has the remedy."""

    def __init__(self) -> None:
        super().__init__(
            "The log was restored since the workflows were last built: its positions went backwards. "
            "Run `throughline workflows rebuild` before routers and workers are started."
        )


class AnotherRouter(Exception):
    """Somebody else moved the router's position: start again from where it is now."""


@dataclass(slots=True)
class Findings:
    """What one batch of facts means for processes."""

    news: dict[ProcessRef, int] = field(default_factory=dict)
    sweep: dict[ProcessRef, int] = field(default_factory=dict)
    tags: set[tuple[str, str]] = field(default_factory=set)
    open: dict[ProcessRef, bool] = field(default_factory=dict)
    traces: dict[ProcessRef, str] = field(default_factory=dict)

    def tell(self, process: ProcessRef, position: int) -> None:
        self.news[process] = max(self.news.get(process, 0), position)


def create_tables(pool: Pool) -> None:
    """Create what is missing. Safe to repeat."""
    statements = resources.files("workers").joinpath("router.sql").read_text()
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        conn.execute("SET LOCAL client_min_messages = warning")
        conn.execute(statements.encode())


class RouterStore:
    """Reads and writes the router's tables. Thread-safe."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def begin(self, incarnation: UUID) -> int:
        """The position to go on from; 0 on the first start. Raises AnotherIncarnation."""
        begun = "SELECT position, incarnation FROM router_tracking WHERE name = %s"
        with self.pool.connection() as conn:
            row = conn.execute(begun, (NAME,)).fetchone()
            if row is None:
                conn.execute(
                    "INSERT INTO router_tracking (name, position, incarnation) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING",
                    (NAME, incarnation),
                )
                row = conn.execute(begun, (NAME,)).fetchone()
        assert row is not None
        if row[1] != incarnation:
            raise AnotherIncarnation
        return int(row[0])

    def known_incarnation(self) -> UUID | None:
        """The log's life that the workflows were built from; None before the first start."""
        with self.pool.connection() as conn:
            row = conn.execute("SELECT incarnation FROM router_tracking WHERE name = %s", (NAME,)).fetchone()
        return row[0] if row else None

    def tagged(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[ProcessRef, ...]]:
        """The processes of a kind that carry a tag, or one that it is tied to, for many pairs of kind and tag."""
        pairs = set(wanted)
        found: dict[tuple[str, str], list[ProcessRef]] = {pair: [] for pair in pairs}
        with self.pool.connection() as conn:
            rows = conn.execute(_TAGGED, (sorted({tag for _, tag in pairs}),)).fetchall()
        for tag, process in rows:
            ref = ProcessRef.of(process)
            if (ref.kind, tag) in found:
                found[ref.kind, tag].append(ref)
        return {pair: tuple(refs) for pair, refs in found.items()}

    def closed(self, processes: Iterable[ProcessRef]) -> set[ProcessRef]:
        """Those of the processes that ended."""
        with self.pool.connection() as conn:
            rows = conn.execute(
                "SELECT process FROM router_process WHERE process = ANY(%s) AND NOT open", ([p.stream for p in processes],)
            ).fetchall()
        return {ProcessRef.of(row[0]) for row in rows}

    def track(self, start: int, position: int, found: Findings, failed: Mapping[ProcessRef, str]) -> None:
        """Move from `start` to `position` with all that follows from the facts between, or not at all. Raises AnotherRouter."""
        with self.pool.connection() as conn, conn.transaction():
            moved = conn.execute(
                "UPDATE router_tracking SET position = %s, updated_at = clock_timestamp() WHERE name = %s AND position = %s",
                (position, NAME, start),
            )
            if moved.rowcount != 1:
                raise AnotherRouter
            index(conn, found)
            for process, code in failed.items():
                conn.execute(_PARK, (process.stream, found.news.get(process, position), code, PARK_WAIT))
            with conn.cursor() as cursor:
                cursor.executemany(_SWEEP, [(process.stream, at) for process, at in found.sweep.items()])

    def position(self) -> int:
        with self.pool.connection() as conn:
            row = conn.execute("SELECT position FROM router_tracking WHERE name = %s", (NAME,)).fetchone()
        return int(row[0]) if row else 0

    def take_sweep(self, limit: int) -> dict[ProcessRef, int]:
        """The next processes of a sweep; they stay in the table until `swept`."""
        with self.pool.connection() as conn:
            rows = conn.execute("SELECT process, position FROM router_sweep ORDER BY process LIMIT %s", (limit,)).fetchall()
        return {ProcessRef.of(process): int(position) for process, position in rows}

    def swept(self, processes: Mapping[ProcessRef, int]) -> None:
        with self.pool.connection() as conn:
            with conn.cursor() as cursor:
                cursor.executemany(
                    "DELETE FROM router_sweep WHERE process = %s AND position <= %s",
                    [(p.stream, at) for p, at in processes.items()],
                )

    def parked_due(self, limit: int) -> dict[ProcessRef, int]:
        """Parked processes whose next try is due."""
        with self.pool.connection() as conn:
            rows = conn.execute(
                "SELECT process, position FROM router_parked WHERE next_at <= clock_timestamp() ORDER BY next_at LIMIT %s", (limit,)
            ).fetchall()
        return {ProcessRef.of(process): int(position) for process, position in rows}

    def released(self, processes: Sequence[ProcessRef]) -> None:
        with self.pool.connection() as conn:
            conn.execute("DELETE FROM router_parked WHERE process = ANY(%s)", ([p.stream for p in processes],))

    def parked_again(self, process: ProcessRef, position: int, code: str) -> None:
        with self.pool.connection() as conn:
            conn.execute(_PARK, (process.stream, position, code, PARK_WAIT))


def index(conn: Connection[TupleRow], found: Findings) -> None:
    """Write tags and processes: in the tracking transaction, or in that of a rebuild."""
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO router_index (tag, process) VALUES (%s, %s) ON CONFLICT DO NOTHING", sorted(found.tags))
        rows = sorted(
            (process.stream, process.kind, found.open.get(process), found.news.get(process, 0))
            for process in {*found.news, *found.open}
        )
        cursor.executemany(_PROCESS, [(stream, kind, told, at, told) for stream, kind, told, at in rows])


_TAGGED = """
WITH direct AS (SELECT tag, process FROM router_index WHERE tag = ANY(%s)),
tied AS (SELECT d.tag, i.process FROM direct d JOIN router_index i ON i.tag = d.process WHERE d.process LIKE 'member-%%')
SELECT tag, process FROM direct UNION SELECT tag, process FROM tied
UNION SELECT t.tag, i.process FROM tied t JOIN router_index i ON i.tag = t.process WHERE t.process LIKE 'member-%%'"""
"""A tag's processes, and those of the streams that it is tied to: one member's, or one's of whom that one goes on as."""

_PROCESS = """
INSERT INTO router_process (process, kind, open, position) VALUES (%s, %s, coalesce(%s::boolean, true), %s)
ON CONFLICT (process) DO UPDATE SET
    open = coalesce(%s::boolean, router_process.open), position = greatest(router_process.position, excluded.position),
    updated_at = clock_timestamp()"""

_PARK = """
INSERT INTO router_parked (process, position, code, next_at) VALUES (%s, %s, %s, clock_timestamp() + %s)
ON CONFLICT (process) DO UPDATE SET
    position = greatest(router_parked.position, excluded.position), code = excluded.code, attempts = router_parked.attempts + 1,
    next_at = clock_timestamp() + least(interval '1 minute' * power(2, least(router_parked.attempts, 6)), interval '1 hour')"""

_SWEEP = """
INSERT INTO router_sweep (process, position) VALUES (%s, %s)
ON CONFLICT (process) DO UPDATE SET position = greatest(router_sweep.position, excluded.position)"""
