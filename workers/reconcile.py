"""Compares what should be with what is, each minute, and nudges the difference (design.md 4). In health it finds nothing.

Overdue: the wake-up passed and nobody looked. Behind: the router told it something that it has not read. Missing: open by the log
and not running in Temporal. Orphaned: the reverse. A nudge is harmless; each one is an incident to explain (engine.md, rule 40).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from activities.process_states import Pool
from domain.core import ProcessRef
from eventlog.clock import Clock
from workers.signals import TemporalAway, send_nudge
from workflows.reconcile import RECONCILE, Reconcile
from workflows.shell import WORKFLOW_QUEUE

SCHEDULE_ID = "reconcile"
EVERY = timedelta(minutes=1)
DEEP_EVERY = timedelta(minutes=15)
GRACE = timedelta(minutes=2)
"""A process is overdue or behind only after this long: signals and timers are quick, not immediate."""

NUDGE_AGAIN_AFTER = timedelta(hours=1)
NUDGES_MAX = 500
NUDGES_IN_FLIGHT = 16

_log = structlog.get_logger("throughline.reconcile")


@dataclass(frozen=True, slots=True)
class Found:
    """One pass: how many of each, and how many were nudged. None: visibility was not asked this time."""

    overdue: int
    behind: int
    missing: int | None
    orphaned: int | None
    nudged: int

    @property
    def healthy(self) -> bool:
        return not (self.overdue or self.behind or self.missing or self.orphaned)


class Reconciler:
    """Runs passes. `kinds` are the kinds of process, which are also the names of their workflows."""

    def __init__(self, pool: Pool, client: Client, clock: Clock, kinds: Iterable[str], *, grace: timedelta = GRACE) -> None:
        self._grace = grace
        self._pool = pool
        self._client = client
        self._clock = clock
        self._kinds = tuple(sorted(kinds))

    @activity.defn(name=RECONCILE)
    async def reconcile(self) -> None:
        """One pass; deep each quarter of an hour."""
        await self.run_pass(deep=await asyncio.to_thread(self._deep_is_due))

    async def run_pass(self, *, deep: bool) -> Found:
        """Look, nudge at most one an hour without progress, and write down what was found. Raises TemporalAway."""
        overdue, behind = await asyncio.to_thread(self._late)
        missing: set[str] | None = None
        orphaned: set[str] | None = None
        if deep:
            running = await self._running()
            missing, orphaned = await asyncio.to_thread(self._compare, running)
        wanted = overdue | behind | (missing or set()) | (orphaned or set())
        allowed = await asyncio.to_thread(self._allowed, wanted)
        nudged = await self._nudge(allowed)
        found = Found(
            len(overdue),
            len(behind),
            None if missing is None else len(missing),
            None if orphaned is None else len(orphaned),
            nudged,
        )
        await asyncio.to_thread(self._write, found, deep)
        tell = _log.info if found.healthy else _log.warning
        tell(
            "reconciled",
            overdue=found.overdue,
            behind=found.behind,
            missing=found.missing,
            orphaned=found.orphaned,
            nudged=nudged,
        )
        return found

    def _late(self) -> tuple[set[str], set[str]]:
        now = self._clock.now()
        with self._pool.connection() as conn:
            overdue = conn.execute(
                "SELECT process FROM process_state WHERE NOT done AND wake_at < %s", (now - self._grace,)
            ).fetchall()
            behind = conn.execute(_BEHIND, (self._grace,)).fetchall()
        return {row[0] for row in overdue}, {row[0] for row in behind}

    async def _running(self) -> set[str]:
        """What visibility lists as running. It may be a second behind, so this only names candidates."""
        kinds = ", ".join(f"'{kind}'" for kind in self._kinds)
        query = f'ExecutionStatus = "Running" AND WorkflowType IN ({kinds})'
        try:
            return {execution.id async for execution in self._client.list_workflows(query)}
        except (RPCError, RuntimeError):
            raise TemporalAway from None

    def _compare(self, running: set[str]) -> tuple[set[str], set[str]]:
        with self._pool.connection() as conn:
            rows = conn.execute(_EXPECTED, (self._grace,)).fetchall()
        expected = {row[0] for row in rows if row[1]}
        settled = {row[0] for row in rows if row[2]}
        known = {row[0] for row in rows}
        return (expected & settled) - running, {
            process for process in running - expected if process in settled or process not in known
        }

    def _allowed(self, wanted: set[str]) -> list[str]:
        """At most one nudge an hour, unless there was progress since the last one."""
        with self._pool.connection() as conn:
            rows = conn.execute(_NUDGED_IN_VAIN, (sorted(wanted), NUDGE_AGAIN_AFTER)).fetchall()
        return sorted(wanted - {row[0] for row in rows})[:NUDGES_MAX]

    async def _nudge(self, processes: list[str]) -> int:
        slots = asyncio.Semaphore(NUDGES_IN_FLIGHT)

        async def one(process: str) -> bool:
            async with slots:
                try:
                    await send_nudge(self._client, ProcessRef.of(process))
                except RPCError as error:
                    _log.error("nudge refused", process=process, code=f"temporal_{error.status.name.lower()}")
                    return False
                return True

        sent = await asyncio.gather(*(one(process) for process in processes))
        reached = [process for process, told in zip(processes, sent, strict=True) if told]
        await asyncio.to_thread(self._remember, reached)
        return len(reached)

    def _remember(self, processes: list[str]) -> None:
        with self._pool.connection() as conn, conn.cursor() as cursor:
            cursor.executemany(_REMEMBER, [(process,) for process in processes])

    def _write(self, found: Found, deep: bool) -> None:
        with self._pool.connection() as conn:
            conn.execute(
                "INSERT INTO reconcile_run (deep, overdue, behind, missing, orphaned, nudged) VALUES (%s, %s, %s, %s, %s, %s)",
                (deep, found.overdue, found.behind, found.missing, found.orphaned, found.nudged),
            )
            conn.execute("DELETE FROM reconcile_run WHERE at < clock_timestamp() - interval '7 days'")

    def _deep_is_due(self) -> bool:
        with self._pool.connection() as conn:
            row = conn.execute(
                "SELECT NOT EXISTS (SELECT FROM reconcile_run WHERE deep AND at > clock_timestamp() - %s)",
                (DEEP_EVERY - EVERY / 2,),
            ).fetchone()
        return bool(row and row[0])


def age_of_last_pass(pool: Pool) -> timedelta | None:
    """How long ago reconcile last ran; None where it never did. The router alarms on it."""
    with pool.connection() as conn:
        row = conn.execute("SELECT clock_timestamp() - max(at) FROM reconcile_run").fetchone()
    return row[0] if row else None


async def nudge_all(pool: Pool, client: Client) -> int:
    """Make every open process look again: after the demo's clock was moved. How many were nudged."""

    def listed() -> list[Any]:
        with pool.connection() as conn:
            return conn.execute(_OPEN).fetchall()

    processes = [ProcessRef.of(row[0]) for row in await asyncio.to_thread(listed)]
    slots = asyncio.Semaphore(NUDGES_IN_FLIGHT)

    async def one(process: ProcessRef) -> None:
        async with slots:
            await send_nudge(client, process)

    await asyncio.gather(*(one(process) for process in processes))
    return len(processes)


async def ensure_schedule(client: Client) -> None:
    """Make the Schedule, or bring it up to date: at every start of a worker, because Temporal's database may be new."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(Reconcile.run, id=SCHEDULE_ID, task_queue=WORKFLOW_QUEUE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=EVERY),
    )

    def updated(told: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule=schedule)

    try:
        await client.create_schedule(SCHEDULE_ID, schedule, trigger_immediately=True)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(SCHEDULE_ID).update(updated)


_OPEN = """
SELECT p.process FROM router_process p LEFT JOIN process_state s USING (process)
WHERE p.open AND NOT (coalesce(s.done, false) AND s.position >= p.position)"""

_BEHIND = """
SELECT p.process FROM router_process p LEFT JOIN process_state s USING (process)
WHERE (p.open OR s.process IS NOT NULL) AND p.position > coalesce(s.position, 0) AND p.updated_at < clock_timestamp() - %s
  AND coalesce(s.stuck, '') = ''"""

_EXPECTED = """
SELECT p.process, p.open AND NOT (coalesce(s.done, false) AND s.position >= p.position),
       p.updated_at < clock_timestamp() - %s::interval
FROM router_process p LEFT JOIN process_state s USING (process)"""

_NUDGED_IN_VAIN = """
SELECT n.process FROM process_nudge n LEFT JOIN process_state s USING (process)
WHERE n.process = ANY(%s) AND n.nudged_at > clock_timestamp() - %s AND coalesce(s.stored_at, '-infinity') < n.nudged_at"""

_REMEMBER = """
INSERT INTO process_nudge (process, nudged_at) VALUES (%s, clock_timestamp())
ON CONFLICT (process) DO UPDATE SET nudged_at = clock_timestamp(), count = process_nudge.count + 1"""
