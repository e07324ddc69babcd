"""Recreates every open workflow from the log: Temporal is disposable (engine.md B4). Resumable, rate-limited, soonest due first.

The namespace must be empty, or is emptied first: a workflow of another life of the log would believe in positions that are gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
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
                run = await asyncio.to_thread(_begin, log, pool, programme, incarnation, client.namespace)
            started = await _start_all(pool, client, run, per_second, in_flight, progress)
            total, position = await asyncio.to_thread(_finish, pool, run)
        finally:
            lock.execute("SELECT pg_advisory_unlock(%s)", (REBUILD_LOCK,))
    _log.info("workflows rebuilt", position=position, rebuilt=started, total=total)
    return Rebuilt(position, total, started, resumed)


def _unfinished(pool: Pool, incarnation: UUID, namespace: str) -> int | None:
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT id FROM rebuild_run WHERE incarnation = %s AND namespace = %s AND finished_at IS NULL ORDER BY id DESC LIMIT 1",
            (incarnation, namespace),
        ).fetchone()
    return int(row[0]) if row else None


def _begin(log: Log, pool: Pool, programme: Programme, incarnation: UUID, namespace: str) -> int:
    """Fold the log into the router's index and list what is open. One transaction: the old index holds until the new one does."""
    position = log.watermark()
    with pool.connection() as conn, conn.transaction():
        conn.execute("DELETE FROM router_index")
        conn.execute("DELETE FROM router_process")
        conn.execute("DELETE FROM router_parked")
        conn.execute("DELETE FROM router_sweep")
        conn.execute("DELETE FROM process_nudge")
        at = 0
        while at < position:
            batch = log.after(at, limit=READ_BATCH, until=position)
            index(conn, _indexed(batch.facts, programme))
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
        row = conn.execute(
            "INSERT INTO rebuild_run (incarnation, namespace, position, total) VALUES (%s, %s, %s, 0) RETURNING id",
            (incarnation, namespace, position),
        ).fetchone()
        assert row is not None
        listed = conn.execute(_LIST, (row[0],))
        conn.execute("UPDATE rebuild_run SET total = %s WHERE id = %s", (listed.rowcount, row[0]))
    return int(row[0])


def _indexed(facts: tuple[StoredFact, ...], programme: Programme) -> Findings:
    """What the router would have found out about processes, without telling anybody."""
    found = Findings()
    for stored in facts:
        recorded = stored.recorded
        own = programme.process_of(recorded.stream)
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


async def _start_all(pool: Pool, client: Client, run: int, per_second: float, in_flight: int, progress: Progress) -> int:
    """Start what is left of the list in its order, at the rate; what is acknowledged is crossed off in batches. How many were."""
    listed: asyncio.Queue[tuple[str, int] | None] = asyncio.Queue(2 * PAGE)
    acknowledged: list[str] = []
    taken = started = 0
    began = time.monotonic()

    async def read() -> None:
        async for process in _left(pool, run):
            await listed.put(process)
        for _ in range(in_flight):
            await listed.put(None)

    async def start() -> None:
        nonlocal taken, started
        while (item := await listed.get()) is not None:
            turn, taken = began + taken / per_second, taken + 1
            if turn > time.monotonic():
                await asyncio.sleep(turn - time.monotonic())
            await send_news(client, ProcessRef.of(item[0]), item[1])
            started += 1
            acknowledged.append(item[0])
            if len(acknowledged) >= CHUNK:
                await cross_off()

    async def cross_off() -> None:
        done = tuple(acknowledged)
        acknowledged.clear()
        progress(*await asyncio.to_thread(_cross_off, pool, run, done))

    work = [asyncio.create_task(each) for each in (read(), *(start() for _ in range(in_flight)))]
    try:
        await asyncio.gather(*work)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await cross_off()
    return started


async def _left(pool: Pool, run: int) -> AsyncIterator[tuple[str, int]]:
    """What is left of the list, soonest due first, with the news of it."""
    last = ("-infinity", "")
    while page := await asyncio.to_thread(_page, pool, run, last):
        for due, process, position in page:
            last = (due, process)
            yield process, position


def _page(pool: Pool, run: int, after: tuple[str, str]) -> list[tuple[str, str, int]]:
    with pool.connection() as conn:
        return conn.execute(_PAGE, (run, *after, PAGE)).fetchall()


def _cross_off(pool: Pool, run: int, processes: Sequence[str]) -> tuple[int, int]:
    """How many of how many are started."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("DELETE FROM rebuild_item WHERE run = %s AND process = ANY(%s)", (run, list(processes)))
        row = conn.execute(
            "SELECT total - (SELECT count(*) FROM rebuild_item i WHERE i.run = r.id), total FROM rebuild_run r WHERE id = %s",
            (run,),
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _finish(pool: Pool, run: int) -> tuple[int, int]:
    with pool.connection() as conn:
        row = conn.execute(
            "UPDATE rebuild_run SET finished_at = clock_timestamp() WHERE id = %s RETURNING total, position", (run,)
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


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
WHERE p.open AND NOT (coalesce(s.done, false) AND s.position >= p.position)"""
"""What has news that nobody has looked at is due at once; what waits for news only is due last."""

_PAGE = """
SELECT i.wake_at::text, i.process, p.position FROM rebuild_item i JOIN router_process p USING (process)
WHERE i.run = %s AND (coalesce(i.wake_at, '-infinity'), i.process) > (%s::timestamptz, %s)
ORDER BY coalesce(i.wake_at, '-infinity'), i.process LIMIT %s"""
