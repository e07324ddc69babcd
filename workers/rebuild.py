"""Recreates every open workflow from the log: Temporal is disposable (engine.md B4). Resumable, rate-limited, soonest due first.

What the worklist shows as open is started at once, while the log is folded anew: what is due does not wait for years to be read.
What only the log knows follows. A workflow that the worklist was wrong about looks into the log, finds nothing and ends itself.

The namespace must be empty, or is emptied first: a workflow of another life of the log would believe in positions that are gone.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from activities.process_states import Pool
from domain.core import AllOpen, ProcessRef
from eventlog.codec import StoredFact
from eventlog.log import Log
from workers.programme import Programme
from workers.router_store import NAME, Findings, index
from workers.signals import TemporalAway, send_news

READ_BATCH = 5_000
PER_SECOND = 100.0
"""Leaves a small server room for the work that the workflows begin as soon as they are started."""

IN_FLIGHT = 32
PAGE = 2_000
CHUNK = 200
EMPTYING_SECONDS_MAX = 60.0
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the others waiting; Python's own 5 ms are as long as Temporal takes for a start."""

COLLECTED_AFTER = 50_000
"""Objects between two looks of the garbage collector."""

REBUILD_LOCK = 0x72656275696C64
"""Held while a rebuild runs: two at once would undo each other."""

Progress = Callable[[int, int], None]


_log = structlog.get_logger("throughline.rebuild")


class NamespaceNotEmpty(Exception):
    """Workflows run in the namespace. The text has the remedy."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} or more workflows run in the namespace. Rebuild into an empty one, or have them ended first (--terminate)."
        )


class RebuildRuns(Exception):
    """Another rebuild runs on this database."""

    def __init__(self) -> None:
        super().__init__("Another rebuild runs on this database. Wait for it, or stop it: this one would then go on where it was.")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. `started` counts this call, `total` the whole rebuild; they differ where it was resumed."""

    position: int
    total: int
    started: int
    resumed: bool


async def rebuild(
    log: Log,
    pool: Pool,
    client: Client,
    programme: Programme,
    *,
    terminate: bool = False,
    per_second: float = PER_SECOND,
    in_flight: int = IN_FLIGHT,
    progress: Progress = lambda done, total: None,
) -> Rebuilt:
    """Index the log anew, start every open process, and know the log's present life from then on.

    Stop router and workers first. A call after one that was cut short goes on where it was. Raises NamespaceNotEmpty, RebuildRuns,
    TemporalAway.
    """
    with pool.connection() as lock:
        row = lock.execute("SELECT pg_try_advisory_lock(%s)", (REBUILD_LOCK,)).fetchone()
        if not row or not row[0]:
            raise RebuildRuns
        try:
            incarnation = await asyncio.to_thread(log.incarnation)
            run = await asyncio.to_thread(_unfinished, pool, incarnation, client.namespace)
            resumed = run is not None
            if run is None:
                await _empty(client, programme, terminate)
                run = await asyncio.to_thread(_begin, pool, incarnation, client.namespace)
            starts = _Starts(pool, client, run, per_second, in_flight, progress)
            with _sharing():
                folded = asyncio.create_task(asyncio.to_thread(_fold, log, pool, programme, incarnation, run))
                try:
                    await starts.all_listed()
                finally:
                    position = await folded
            await starts.all_listed()
            total = await asyncio.to_thread(_finish, pool, run)
        finally:
            lock.execute("SELECT pg_advisory_unlock(%s)", (REBUILD_LOCK,))
    _log.info("workflows rebuilt", position=position, rebuilt=starts.started, total=total)
    return Rebuilt(position, total, starts.started, resumed)


@contextmanager
def _sharing() -> Iterator[None]:
    """While starts and the fold share this process: an answer of Temporal does not wait for long behind the fold, and what is
    folded, which holds no circles, is seldom searched for garbage."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(COLLECTED_AFTER, *thresholds[1:])
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


def _unfinished(pool: Pool, incarnation: UUID, namespace: str) -> int | None:
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT id FROM rebuild_run WHERE incarnation = %s AND namespace = %s AND finished_at IS NULL ORDER BY id DESC LIMIT 1",
            (incarnation, namespace),
        ).fetchone()
    return int(row[0]) if row else None


def _begin(pool: Pool, incarnation: UUID, namespace: str) -> int:
    """List what is open by the worklist and the router's index as they are."""
    with pool.connection() as conn, conn.transaction():
        row = conn.execute(
            "INSERT INTO rebuild_run (incarnation, namespace, position, total) VALUES (%s, %s, 0, 0) RETURNING id",
            (incarnation, namespace),
        ).fetchone()
        assert row is not None
        run = int(row[0])
        _list(conn, run)
    return run


def _fold(log: Log, pool: Pool, programme: Programme, incarnation: UUID, run: int) -> int:
    """Fold the log into the router's index and list what is open by it; up to which position. One transaction: the old index holds
    until the new one does. A rebuild that goes on after it does not do it again."""
    position = log.watermark()
    with pool.connection() as conn, conn.transaction():
        row = conn.execute("SELECT position FROM rebuild_run WHERE id = %s", (run,)).fetchone()
        assert row is not None
        if row[0]:
            return int(row[0])
        conn.execute("DELETE FROM router_index")
        conn.execute("DELETE FROM router_process")
        conn.execute("DELETE FROM router_parked")
        conn.execute("DELETE FROM router_sweep")
        conn.execute("DELETE FROM process_nudge")
        at = 0
        while at < position:
            batch = log.after(at, limit=READ_BATCH, until=position)
            index(conn, indexed(batch.facts, programme))
            at = batch.position
        # The tracking row lives and is restored with the log, so it still says what nobody was told yet: the router goes on there.
        conn.execute(
            "INSERT INTO router_tracking AS t (name, position, incarnation) VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE"
            " SET position = least(t.position, excluded.position), incarnation = excluded.incarnation,"
            " updated_at = clock_timestamp()",
            (NAME, position, incarnation),
        )
        # What was cached under positions of another life must give way to any new look.
        conn.execute("UPDATE process_state SET position = 0 WHERE position > %s", (position,))
        _list(conn, run)
        conn.execute("UPDATE rebuild_run SET position = %s WHERE id = %s", (position, run))
    return position


def _list(conn: Connection[TupleRow], run: int) -> None:
    """Add what is open and not listed."""
    listed = conn.execute(_LIST, (run,))
    conn.execute("UPDATE rebuild_run SET total = total + %s WHERE id = %s", (listed.rowcount, run))


def indexed(facts: tuple[StoredFact, ...], programme: Programme) -> Findings:
    """What the router would have found out about processes, without telling anybody."""
    found = Findings()
    for stored in facts:
        recorded = stored.recorded
        own = programme.process_of(recorded.stream)
        found.tags.update((tied, recorded.stream) for tied in programme.ties(recorded))
        if own is not None:
            found.tell(own, recorded.position)
            found.tags.update((tag, own.stream) for tag in programme.tags(recorded))
            if (ended := programme.ends(recorded)) is not None:
                found.open[own] = not ended
        for target in programme.route(recorded):
            match target:
                case ProcessRef():
                    found.tell(target, recorded.position)
                case AllOpen():
                    continue
    return found


class _Starts:
    """Starts what is listed and not started, at the rate."""

    def __init__(self, pool: Pool, client: Client, run: int, per_second: float, in_flight: int, progress: Progress) -> None:
        self._pool = pool
        self._client = client
        self._run = run
        self._per_second = per_second
        self._in_flight = in_flight
        self._progress = progress
        self._began = time.monotonic()
        self._taken = 0
        self._acknowledged: list[str] = []
        self.started = 0

    async def all_listed(self) -> None:
        """In the list's order; what is acknowledged is crossed off in batches."""
        listed: asyncio.Queue[str | None] = asyncio.Queue(2 * PAGE)
        work = [
            asyncio.create_task(self._read(listed)),
            *(asyncio.create_task(self._start(listed)) for _ in range(self._in_flight)),
        ]
        try:
            await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._cross_off()

    async def _read(self, listed: asyncio.Queue[str | None]) -> None:
        last = ("-infinity", "")
        while page := await asyncio.to_thread(_page, self._pool, self._run, last):
            for due, process in page:
                last = (due, process)
                await listed.put(process)
        for _ in range(self._in_flight):
            await listed.put(None)

    async def _start(self, listed: asyncio.Queue[str | None]) -> None:
        while (process := await listed.get()) is not None:
            turn, self._taken = self._began + self._taken / self._per_second, self._taken + 1
            if turn > time.monotonic():
                await asyncio.sleep(turn - time.monotonic())
            # No position: a new workflow begins by reading the log as far as it goes.
            await send_news(self._client, ProcessRef.of(process), 0)
            self.started += 1
            self._acknowledged.append(process)
            if len(self._acknowledged) >= CHUNK:
                await self._cross_off()

    async def _cross_off(self) -> None:
        done, self._acknowledged = self._acknowledged, []
        self._progress(*await asyncio.to_thread(_cross_off, self._pool, self._run, done))


def _page(pool: Pool, run: int, after: tuple[str, str]) -> list[tuple[str, str]]:
    with pool.connection() as conn:
        return conn.execute(_PAGE, (run, *after, PAGE)).fetchall()


def _cross_off(pool: Pool, run: int, processes: Sequence[str]) -> tuple[int, int]:
    """How many of how many are started."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("UPDATE rebuild_item SET started = true WHERE run = %s AND process = ANY(%s)", (run, list(processes)))
        row = conn.execute(
            "UPDATE rebuild_run SET started = started + %s WHERE id = %s RETURNING started, total", (len(processes), run)
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _finish(pool: Pool, run: int) -> int:
    with pool.connection() as conn, conn.transaction():
        conn.execute("DELETE FROM rebuild_item WHERE run = %s", (run,))
        row = conn.execute(
            "UPDATE rebuild_run SET finished_at = clock_timestamp() WHERE id = %s RETURNING total", (run,)
        ).fetchone()
    assert row is not None
    return int(row[0])


async def _empty(client: Client, programme: Programme, terminate: bool) -> None:
    """Make sure that no process runs in the namespace."""
    until = time.monotonic() + EMPTYING_SECONDS_MAX
    while True:
        running = [execution.id async for execution in _listed(client, programme)]
        if not running:
            return
        if not terminate or time.monotonic() > until:
            raise NamespaceNotEmpty(len(running))
        for workflow_id in running:
            try:
                await client.get_workflow_handle(workflow_id).terminate(reason="rebuild")
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        await asyncio.sleep(0.2)  # visibility follows a moment later


async def _listed(client: Client, programme: Programme) -> AsyncIterator[WorkflowExecution]:
    kinds = ", ".join(f"'{kind}'" for kind in sorted(programme.processes))
    try:
        async for execution in client.list_workflows(f'ExecutionStatus = "Running" AND WorkflowType IN ({kinds})', limit=1_000):
            yield execution
    except RuntimeError:
        raise TemporalAway from None


_LIST = """
INSERT INTO rebuild_item (run, process, wake_at)
SELECT %s, p.process, CASE WHEN s.position >= p.position THEN coalesce(s.wake_at, 'infinity') ELSE '-infinity' END
FROM router_process p LEFT JOIN process_state s USING (process)
WHERE p.open AND NOT (coalesce(s.done, false) AND s.position >= p.position)
ON CONFLICT DO NOTHING"""
"""What has news that nobody has looked at is due at once; what waits for news only is due last."""

_PAGE = """
SELECT due::text, process FROM rebuild_item, coalesce(wake_at, '-infinity') AS due
WHERE run = %s AND NOT started AND (due, process) > (%s::timestamptz, %s) ORDER BY due, process LIMIT %s"""
