"""The process that runs workflows and activities: two workers on two queues, and the Schedule of reconcile.

It refuses to work on a log that was restored since the workflows were built, at its start and while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.only_codes import OnlyCodes
from eventlog.recorder import LogAway
from workers.composition import System, connect_temporal
from workers.heartbeat import POSTGRESQL, TEMPORAL, Beat, unheard
from workers.reconcile import Reconciler, ensure_schedule
from workers.router import check_incarnation
from workers.settings import Settings
from workflows.reconcile import Reconcile
from workflows.shell import DELIVER_QUEUE, WORKFLOW_QUEUE

WORKFLOW_TASKS_PER_CORE = 10
GRACEFUL_SHUTDOWN = timedelta(seconds=30)
INCARNATION_CHECK_SECONDS = 10.0
AWAY_SECONDS = 1.0
ANSWER_SECONDS = 10.0
"""At the start: a server that takes a connection and says nothing is away too."""

SWITCH_SECONDS = 0.001
M_ARENA_MAX, ARENAS_MAX = -8, 2
"""An option of glibc's mallopt, and its value."""

COLLECTED_AFTER = 10_000
"""Objects between two looks of the collector: a single advance makes hundreds, nearly all without circles."""

DEPLOYMENT = "throughline"
PASSED_THROUGH = ("domain", "opentelemetry", "workflows")
"""Modules that every workflow instance shares; whatever is not listed is imported anew for each (engine.md B1), which took four
fifths of the memory of an open workflow and two thirds of the time of its first step. So the sandbox does not look into
`workflows`: a tidy test holds its imports and calls to what is the same at every replay."""

CODE_OF_PROCESSES = ("domain", "workflows", "activities")

_log = structlog.get_logger("throughline.worker")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much one worker takes on. Threads: at most as many activities at once as there are connections for them (engine.md, rule
    31). A workflow that is not kept in memory is replayed when it wakes."""

    advance_threads: int = 10
    deliver_threads: int = 6
    workflow_tasks: int = WORKFLOW_TASKS_PER_CORE * (os.cpu_count() or 1)
    cached_workflows_max: int = 1_000


def build_id() -> str:
    """The version of the package and a digest of the code that runs processes: another one renews every run as it wakes."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in CODE_OF_PROCESSES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(file.read_bytes())
    try:
        version = metadata.version("throughline")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{version}-{digest.hexdigest()[:12]}"


def workers_of(
    system: System, client: Client, *, build: str, capacity: Capacity = Capacity(), graceful: timedelta = GRACEFUL_SHUTDOWN
) -> tuple[Worker, ...]:
    """The two workers, wired and not started."""
    advance, deliver = system.activities(build)
    reconciler = Reconciler(system.pool, client, system.clock, system.programme.processes)
    advancing: list[Callable[..., Any]] = [advance.advance, reconciler.reconcile]
    return (
        workflow_worker(
            client, [*system.programme.workflows, Reconcile], advancing, build=build, capacity=capacity, graceful=graceful
        ),
        activity_worker(client, DELIVER_QUEUE, [deliver.deliver], build=build, threads=capacity.deliver_threads, graceful=graceful),
    )


def workflow_worker(
    client: Client,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]] = (),
    *,
    build: str,
    capacity: Capacity,
    graceful: timedelta = GRACEFUL_SHUTDOWN,
    passed_through: Sequence[str] = PASSED_THROUGH,
) -> Worker:
    """The worker of the queue of workflow tasks, and of the activities that workflows ask for on it: what one of its own tasks asks
    for it gets at once, while it has a thread to spare; else whoever asks the queue first."""
    doing = _activities(activities, WORKFLOW_QUEUE, capacity.advance_threads) if activities else {}
    return Worker(
        client,
        task_queue=WORKFLOW_QUEUE,
        workflows=workflows,
        **doing,
        workflow_runner=SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*passed_through)),
        max_concurrent_workflow_tasks=capacity.workflow_tasks,
        max_cached_workflows=capacity.cached_workflows_max,
        graceful_shutdown_timeout=graceful,
        deployment_config=_version(build),
    )


def activity_worker(
    client: Client,
    queue: str,
    activities: Sequence[Callable[..., Any]],
    *,
    build: str,
    threads: int,
    graceful: timedelta = GRACEFUL_SHUTDOWN,
) -> Worker:
    """A worker of a queue of activities."""
    return Worker(
        client,
        task_queue=queue,
        graceful_shutdown_timeout=graceful,
        deployment_config=_version(build),
        **_activities(activities, queue, threads),
    )


def _activities(activities: Sequence[Callable[..., Any]], queue: str, threads: int) -> dict[str, Any]:
    """What a worker is told about its activities."""
    return {
        "activities": activities,
        "activity_executor": ThreadPoolExecutor(threads, queue),
        "max_concurrent_activities": threads,
        "interceptors": [OnlyCodes()],
    }


def _version(build: str) -> WorkerDeploymentConfig:
    return WorkerDeploymentConfig(WorkerDeploymentVersion(DEPLOYMENT, build), use_worker_versioning=False)


async def run_worker(
    system: System,
    stop: asyncio.Event,
    *,
    schedule: bool = True,
    capacity: Capacity = Capacity(),
    graceful: timedelta = GRACEFUL_SHUTDOWN,
    beat: Beat = unheard,
) -> None:
    """Work, as soon as PostgreSQL and Temporal are there, until told to stop. Raises AnotherIncarnation where the log was
    restored."""
    few_arenas()
    store = system.router_store()

    def check() -> None:
        check_incarnation(system.log, store)

    await _patiently(stop, POSTGRESQL, beat, lambda: asyncio.to_thread(check))
    build = build_id()
    while not stop.is_set():
        client = await _patiently(stop, TEMPORAL, beat, lambda: _connected(system.settings, schedule))
        if client is None:
            return
        try:
            await _serve(workers_of(system, client, build=build, capacity=capacity, graceful=graceful), stop, beat, check)
        except (RPCError, RuntimeError) as error:  # Temporal went away again before they had begun
            _log.error("worker ended", error=type(error).__name__, retry_seconds=AWAY_SECONDS)
            await _pause(stop, TEMPORAL, beat)


async def _connected(settings: Settings, schedule: bool) -> Client:
    """A client of its own for each try: the SDK takes no second worker of a queue on one."""
    client = await connect_temporal(settings, lazy=False)
    if schedule:
        await ensure_schedule(client)
    return client


async def _serve(workers: Sequence[Worker], stop: asyncio.Event, beat: Beat, check: Callable[[], None]) -> None:
    """Run both workers until told to stop, and `check` from time to time. Raises what ended the first of them."""
    stopped = asyncio.create_task(stop.wait())
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        settle_interpreter()
        _log.info("worker runs")
        while True:
            beat()
            ended, _ = await asyncio.wait(
                (stopped, *running), timeout=INCARNATION_CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if ended:
                break
            with contextlib.suppress(LogAway, psycopg.OperationalError, PoolTimeout):
                await asyncio.to_thread(check)
    finally:
        stopped.cancel()
        for each in running:
            each.cancel()  # gracefully: it finishes what it has begun
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


@cache
def few_arenas() -> None:
    """Let threads share the C library's memory, where it can be told so: else each of two dozen keeps what it once needed."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS_MAX)


@cache
def settle_interpreter() -> None:
    """What is loaded by now stays for good: the garbage collector need not look at it again every few workflows. And whoever hands
    tasks out does not wait for long behind a thread that plans. Once a process."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])


async def _patiently(stop: asyncio.Event, server: str, beat: Beat, work: Callable[[], Awaitable[_T]]) -> _T | None:
    """Try until it works (the result) or we are told to stop (None): an outage at the start is an outage like any other."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await work()
        except (RPCError, RuntimeError, TimeoutError, LogAway, psycopg.OperationalError, PoolTimeout) as error:
            _log.warning("away", waiting_for=server.lower(), error=type(error).__name__, retry_seconds=AWAY_SECONDS)
            await _pause(stop, server, beat)
    return None


async def _pause(stop: asyncio.Event, waits_for: str, beat: Beat) -> None:
    beat(waits_for)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), AWAY_SECONDS)
