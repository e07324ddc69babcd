"""The process that runs workflows and activities: three workers on three queues, and the Schedule of reconcile.

It refuses to work on a log that was restored since the workflows were built, at its start and while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.codes import OnlyCodes
from eventlog.recorder import LogAway
from workers.composition import System, connect_temporal
from workers.reconcile import Reconciler, ensure_schedule
from workers.router import check_incarnation
from workflows.reconcile import Reconcile
from workflows.shell import ADVANCE_QUEUE, DELIVER_QUEUE, WORKFLOW_QUEUE

ADVANCE_THREADS = 10
DELIVER_THREADS = 6
"""At most as many activities at once as there are connections for them (engine.md, rule 31)."""

WORKFLOW_TASKS_PER_CORE = 10
CACHED_WORKFLOWS_MAX = 1_000
GRACEFUL_SHUTDOWN = timedelta(seconds=30)
INCARNATION_CHECK_SECONDS = 10.0
AWAY_SECONDS = 1.0
DEPLOYMENT = "throughline"
PASSED_THROUGH = ("domain", "opentelemetry")
"""Modules that every workflow instance shares; whatever is not listed is imported anew for each (engine.md B1)."""

CODE_OF_PROCESSES = ("domain", "workflows", "activities")

_log = structlog.get_logger("throughline.worker")
_T = TypeVar("_T")


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


def workers_of(system: System, client: Client, *, build: str, graceful: timedelta = GRACEFUL_SHUTDOWN) -> tuple[Worker, ...]:
    """The three workers, wired and not started."""
    advance, deliver = system.activities(build)
    reconciler = Reconciler(system.pool, client, system.clock, system.programme.processes)
    version = WorkerDeploymentConfig(WorkerDeploymentVersion(DEPLOYMENT, build), use_worker_versioning=False)
    sandbox = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
    return (
        Worker(
            client,
            task_queue=WORKFLOW_QUEUE,
            workflows=[*system.programme.workflows, Reconcile],
            workflow_runner=sandbox,
            max_concurrent_workflow_tasks=WORKFLOW_TASKS_PER_CORE * (os.cpu_count() or 1),
            max_cached_workflows=CACHED_WORKFLOWS_MAX,
            graceful_shutdown_timeout=graceful,
            deployment_config=version,
        ),
        Worker(
            client,
            task_queue=ADVANCE_QUEUE,
            activities=[advance.advance, reconciler.reconcile],
            activity_executor=ThreadPoolExecutor(ADVANCE_THREADS, "advance"),
            max_concurrent_activities=ADVANCE_THREADS,
            interceptors=[OnlyCodes()],
            graceful_shutdown_timeout=graceful,
            deployment_config=version,
        ),
        Worker(
            client,
            task_queue=DELIVER_QUEUE,
            activities=[deliver.deliver],
            activity_executor=ThreadPoolExecutor(DELIVER_THREADS, "deliver"),
            max_concurrent_activities=DELIVER_THREADS,
            interceptors=[OnlyCodes()],
            graceful_shutdown_timeout=graceful,
            deployment_config=version,
        ),
    )


async def run_worker(
    system: System,
    stop: asyncio.Event,
    *,
    schedule: bool = True,
    graceful: timedelta = GRACEFUL_SHUTDOWN,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Work until told to stop. Raises AnotherIncarnation where the log was restored."""
    store = system.router_store()
    await _patiently(stop, lambda: asyncio.to_thread(check_incarnation, system.log, store))
    client = await _patiently(stop, lambda: connect_temporal(system.settings, lazy=False))
    if schedule and client is not None:
        await _patiently(stop, lambda: ensure_schedule(client))
    if client is None or stop.is_set():
        return
    build = build_id()
    async with contextlib.AsyncExitStack() as running:
        for worker in workers_of(system, client, build=build, graceful=graceful):
            await running.enter_async_context(worker)
        _log.info("worker runs", version=build)
        while not stop.is_set():
            beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), INCARNATION_CHECK_SECONDS)
            with contextlib.suppress(LogAway, psycopg.OperationalError, PoolTimeout):
                await asyncio.to_thread(check_incarnation, system.log, store)


async def _patiently(stop: asyncio.Event, work: Callable[[], Awaitable[_T]]) -> _T | None:
    """Try until it works (the result) or we are told to stop (None): an outage at the start is an outage like any other."""
    while not stop.is_set():
        try:
            return await work()
        except (RPCError, RuntimeError, LogAway, psycopg.OperationalError, PoolTimeout) as error:
            _log.warning("away", error=type(error).__name__, retry_seconds=AWAY_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AWAY_SECONDS)
    return None
