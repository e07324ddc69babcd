"""The shell: rebuild of the workflows from the log (P11), a worker's memory (P13), processes advanced a second (P14).

The reference of each is an empty shell (benchmarks/empty_shell.py) on the same Temporal server, in turns with the real one. What
P14 counts stands in the server's own histories: from the first start to the last timer with which a first wait began.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
from pydantic import SecretStr
from temporalio import client as temporal
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from benchmarks.empty_shell import Empty
from benchmarks.episodes import begin
from benchmarks.filling import MASTER_KEY, fill
from benchmarks.ground import Ground
from benchmarks.table import REPEATS, Measured, NotMeasured, Row, at_least, at_most, told_only
from benchmarks.worker_process import EMPTY, REAL
from domain.core import ProcessRef
from workers.composition import System, connect_temporal, open_system, prepare
from workers.rebuild import IN_FLIGHT, READ_BATCH, indexed, rebuild
from workers.settings import Settings
from workers.signals import send_news
from workflows.shell import NEWS, WORKFLOW_QUEUE

ADVANCED = 150
WARMED = 30
QUIET_KINDS, SENDING_KINDS = ("outreach", "followup"), ("transition",)
"""Processes of one turn of P14, and how many of them are not counted: the worker's first ones."""

OPEN_FEW, OPEN_MANY = 250, 750
"""Open workflows between which a worker's growth is measured: its threads and its bounded caches are there by the first."""

MEMORY_REPEATS = 2
CACHED_MAX = 10_000
REBUILT_EVENTS = 80_000
BARE = 600
"""Bare starts of one turn of P11's reference."""

WAITING_SECONDS_MAX = 120.0
DUE_WITHIN = timedelta(hours=1)
DUE_SHARE = 0.1
DUE_SECONDS = 5.0
SHARE_OF_S = 0.8
NOT_LIMITED = 1e6

Begun = Sequence[ProcessRef] | Sequence[str]
"""Real processes, or ids of empty ones."""


def rows(ground: Ground) -> Iterator[Row]:
    yield from _rebuilt(ground)
    with _stage(ground) as stage:
        yield from _remembered(stage)
        yield from _advanced(stage)


# --- P14 -------------------------------------------------------------------------------------------------------------------------


def _advanced(stage: Stage) -> Iterator[Row]:
    """Processes that have nothing to send at first, as the empty shell has; those that have stand beside them."""
    real, empty, sending = [], [], []
    for turn in range(REPEATS):
        empty.append(_one_worker(stage, EMPTY, _empty_ids(ADVANCED)))
        real.append(_one_worker(stage, REAL, begin(stage.system, ADVANCED, seed=turn, kinds=QUIET_KINDS)))
    sending.append(_one_worker(stage, REAL, begin(stage.system, ADVANCED // 2, seed=REPEATS, kinds=SENDING_KINDS)))
    yield at_least(
        "P14", "processes advanced by one worker, start to first wait", _of(real, lambda w: w.per_second), "1/s",
        "empty shell", _of(empty, lambda w: w.per_second), 0.8, "empty shell",
    )  # fmt: skip
    yield told_only(
        "P14-sending", "the same, with an alert delivered before the wait", _of(sending, lambda w: w.per_second), "1/s",
        "empty shell", _of(empty, lambda w: w.per_second),
    )  # fmt: skip
    for id, what, figure in _COSTS:
        unit = "events" if id == "P14-events" else "ms"
        yield told_only(id, what, _of(real, figure), unit, "empty shell", _of(empty, figure))


@dataclass(frozen=True, slots=True)
class Waits:
    """What one worker did until all of its workflows waited: how many a second; of each, the processor time and the events."""

    per_second: float
    worker_ms: float
    temporal_ms: float
    postgres_ms: float
    events: float


_COSTS: tuple[tuple[str, str, Callable[[Waits], float]], ...] = (
    ("P14-worker", "the worker's processor time of it", lambda w: w.worker_ms),
    ("P14-server", "Temporal's processor time of it", lambda w: w.temporal_ms),
    ("P14-database", "PostgreSQL's processor time of it", lambda w: w.postgres_ms),
    ("P14-events", "history events until the first wait", lambda w: w.events),
)


def _one_worker(stage: Stage, which: str, begun: Begun) -> Waits:
    """The worker polls and has seen some before it counts."""
    namespace = stage.ground.namespace()
    with stage.worker(which, namespace) as worker:
        asyncio.run(_start(stage, namespace, begun[:WARMED]))
        asyncio.run(_waiting(stage, namespace, begun[:WARMED]))
        servers, own = stage.ground.processor_seconds(), sum(worker.cpu_times()[:2])
        asyncio.run(_start(stage, namespace, begun[WARMED:]))
        histories = asyncio.run(_waiting(stage, namespace, begun[WARMED:]))
        own = sum(worker.cpu_times()[:2]) - own
        used = stage.ground.processor_seconds()
    began = min(h.events[0].event_time.ToNanoseconds() for h in histories)
    waited = max(h.events[_until_timer(h) - 1].event_time.ToNanoseconds() for h in histories)
    each = 1_000 / len(histories)
    return Waits(
        len(histories) / ((waited - began) / 1e9),
        own * each, (used.temporal - servers.temporal) * each, (used.postgres - servers.postgres) * each,
        statistics.fmean(_until_timer(h) for h in histories),
    )  # fmt: skip


def _until_timer(history: WorkflowHistory) -> int:
    return next(n for n, e in enumerate(history.events, 1) if e.event_type == _TIMER)


_TIMER = EventType.EVENT_TYPE_TIMER_STARTED


async def _waiting(stage: Stage, namespace: str, begun: Begun) -> list[WorkflowHistory]:
    """The histories, once every workflow has begun its first wait. Asked for one by one, the last first."""
    client = await stage.client(namespace)
    until = time.monotonic() + WAITING_SECONDS_MAX
    found = []
    for id in reversed([each if isinstance(each, str) else each.stream for each in begun]):
        while True:
            history = await client.get_workflow_handle(id).fetch_history()
            if any(e.event_type == _TIMER for e in history.events):
                break
            if time.monotonic() > until:
                raise NotMeasured(f"a workflow did not begin to wait within {WAITING_SECONDS_MAX:g} s: see the worker's log")
            await asyncio.sleep(0.25)
        found.append(history)
    return found


# --- P13 -------------------------------------------------------------------------------------------------------------------------


def _remembered(stage: Stage) -> Iterator[Row]:
    real, empty = [], []
    for turn in range(MEMORY_REPEATS):
        empty.append(_growth(stage, EMPTY, _empty_ids(OPEN_MANY)))
        real.append(_growth(stage, REAL, begin(stage.system, OPEN_MANY, seed=100 + turn)))
    yield at_most(
        "P13", "a worker's memory per open workflow", Measured(tuple(real)), "KiB",
        "empty shell", Measured(tuple(empty)), 1.3, "empty shell",
    )  # fmt: skip


def _growth(stage: Stage, which: str, begun: Begun) -> float:
    """KiB of resident memory that one more open workflow costs a worker which keeps all of them."""
    namespace = stage.ground.namespace()
    resident = []
    with stage.worker(which, namespace) as worker:
        for some in (begun[:OPEN_FEW], begun[OPEN_FEW:]):
            asyncio.run(_start(stage, namespace, some))
            asyncio.run(_waiting(stage, namespace, some))
            resident.append(worker.memory_info().rss)
    return float(resident[1] - resident[0]) / 1024 / (OPEN_MANY - OPEN_FEW)


# --- P11 -------------------------------------------------------------------------------------------------------------------------


def _rebuilt(ground: Ground) -> Iterator[Row]:
    """A log of lived years, its workflows lost. No worker polls, neither in the rebuild nor in the reference."""
    rates, bare, times, limits, folds = [], [], [], [], []
    with _stage(ground) as stage:
        fill(stage.settings.database_url or "", stage.settings.keys_database_url or "", count=REBUILT_EVENTS)
        _told(stage.system)
        asyncio.run(_start(stage, ground.namespace(), _empty_ids(BARE // 3)))  # a server's first starts are slow
        for _ in range(REPEATS):
            s = asyncio.run(_start(stage, ground.namespace(), _empty_ids(BARE)))
            told = asyncio.run(_rebuild(stage, ground.namespace()))
            bare.append(s)
            rates.append(told.count / told.seconds)
            folds.append(told.first_seconds)
            times.append(told.due_seconds)
            limits.append(DUE_SECONDS + told.due_count / (SHARE_OF_S * s))
    name = f"S: bare signal-with-start, {IN_FLIGHT} in flight"
    yield at_least(
        "P11", f"workflows rebuilt from a log of {REBUILT_EVENTS:,} events, no worker running", Measured(tuple(rates)), "1/s",
        name, Measured(tuple(bare)), SHARE_OF_S, "S",
    )  # fmt: skip
    yield at_most(
        "P11-due", "until every process due within the hour is started", Measured(tuple(times)), "s",
        f"{DUE_SECONDS:g} s + their number / ({SHARE_OF_S:g} S)", Measured(tuple(limits)), 1.0, "that",
    )  # fmt: skip
    yield told_only(
        "P11-first", "until the first is started: the log is folded", Measured(tuple(folds)), "s",
        f"{DUE_SECONDS:g} s + their number / ({SHARE_OF_S:g} S)", Measured(tuple(limits)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What a rebuild took, in seconds from its call: as a whole, until the first start was acknowledged, and until the last of
    those that are due within the hour was."""

    count: int
    seconds: float
    first_seconds: float
    due_count: int
    due_seconds: float


async def _rebuild(stage: Stage, namespace: str) -> Rebuilding:
    acknowledged: dict[str, float] = {}
    client = await connect_temporal(stage.settings_in(namespace), lazy=False)
    settings = client.config()
    settings["interceptors"] = [*settings["interceptors"], _Acknowledged(acknowledged)]
    due = await asyncio.to_thread(_looked_at, stage.system)
    began = time.perf_counter()
    done = await rebuild(
        stage.system.log, stage.system.pool, temporal.Client(**settings), stage.system.programme, per_second=NOT_LIMITED
    )
    seconds = time.perf_counter() - began
    if done.started != len(acknowledged) or not due <= acknowledged.keys():
        raise NotMeasured(f"{done.started} of {done.total} were started, {len(acknowledged)} acknowledged: the rebuild is broken")
    return Rebuilding(
        done.started, seconds, min(acknowledged.values()) - began, len(due), max(acknowledged[id] for id in due) - began
    )


class _Acknowledged(temporal.Interceptor):
    """Notes when each start was acknowledged."""

    def __init__(self, acknowledged: dict[str, float]) -> None:
        self._acknowledged = acknowledged

    def intercept_client(self, next: temporal.OutboundInterceptor) -> temporal.OutboundInterceptor:
        return _Noting(next, self._acknowledged)


class _Noting(temporal.OutboundInterceptor):
    def __init__(self, next: temporal.OutboundInterceptor, acknowledged: dict[str, float]) -> None:
        super().__init__(next)
        self._acknowledged = acknowledged

    async def start_workflow(self, input: temporal.StartWorkflowInput) -> temporal.WorkflowHandle[Any, Any]:
        handle = await super().start_workflow(input)
        self._acknowledged[input.id] = time.perf_counter()
        return handle


def _told(system: System) -> None:
    """Let the router have told every process of the log."""
    store, at = system.router_store(), 0
    store.begin(system.log.incarnation())
    while (batch := system.log.after(at, limit=READ_BATCH)).position > at:
        store.track(at, batch.position, indexed(batch.facts, system.programme), {})
        at = batch.position


def _looked_at(system: System) -> set[str]:
    """Let each process have been looked at: one in ten wakes within the hour, the others within a month. The first."""
    with system.pool.connection() as conn:
        conn.execute(_STATES, (100 * DUE_SHARE,))
        rows = conn.execute(
            "SELECT process FROM process_state s JOIN router_process p USING (process)"
            " WHERE p.open AND s.wake_at < clock_timestamp() + %s", (DUE_WITHIN,),
        ).fetchall()  # fmt: skip
    return {row[0] for row in rows}


_STATES = """
INSERT INTO process_state (process, kind, position, done, wake_at, began_at, updated_at)
SELECT process, kind, position, NOT open,
       clock_timestamp() + CASE WHEN abs(hashtext(process)) %% 100 < %s THEN interval '30 minutes'
                                ELSE interval '2 hours' + random() * interval '30 days' END,
       clock_timestamp(), clock_timestamp()
FROM router_process
ON CONFLICT (process) DO UPDATE SET wake_at = excluded.wake_at, position = excluded.position"""


# --- the stage -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """The real programme on a log of its own, and a way to start workers and workflows."""

    ground: Ground
    settings: Settings
    system: System

    def settings_in(self, namespace: str) -> Settings:
        return self.settings.model_copy(update={"temporal_namespace": namespace})

    async def client(self, namespace: str) -> Client:
        """A client with nothing in between."""
        return await Client.connect(self.ground.temporal, namespace=namespace)

    @contextmanager
    def worker(self, which: str, namespace: str) -> Iterator[psutil.Process]:
        """One worker in a process of its own, ended afterwards."""
        settings = self.settings_in(namespace)
        named = {
            "DATABASE_URL": settings.database_url,
            "KEYS_DATABASE_URL": settings.keys_database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "TEMPORAL_NAMESPACE": namespace,
            "THROUGHLINE_HOME": str(settings.throughline_home),
            "THROUGHLINE_MASTER_KEY": b64encode(MASTER_KEY).decode(),
        }
        said = (settings.throughline_home / "worker.err").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker_process", which, str(CACHED_MAX)],
            env={**os.environ, **{name: value for name, value in named.items() if value}}, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            said.close()


@contextmanager
def _stage(ground: Ground) -> Iterator[Stage]:
    with ground.databases() as databases, ground.folder() as home:
        settings = Settings(
            database_url=databases.url,
            keys_database_url=databases.keys_url,
            temporal_address=ground.temporal,
            throughline_home=home,
            throughline_master_key=SecretStr(b64encode(MASTER_KEY).decode()),
        )
        prepare(settings)
        with open_system(settings) as system:
            yield Stage(ground, settings, system)


async def _start(stage: Stage, namespace: str, begun: Begun) -> float:
    """Signal-with-start for all, many at a time: real ones as the router does it, empty ones barely. How many a second."""
    real = await connect_temporal(stage.settings_in(namespace), lazy=False)
    bare = await stage.client(namespace)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(each: ProcessRef | str) -> None:
        async with slots:
            if isinstance(each, ProcessRef):
                await send_news(real, each, 1)
            else:
                await start_empty(bare, each)

    began = time.perf_counter()
    await asyncio.gather(*(one(each) for each in begun))
    return len(begun) / (time.perf_counter() - began)


def _empty_ids(count: int) -> tuple[str, ...]:
    return tuple(f"empty-{uuid.uuid4()}" for _ in range(count))


async def start_empty(client: Client, id: str) -> None:
    """Bare signal-with-start of an empty shell."""
    await client.start_workflow(
        Empty.run, id, id=id, task_queue=WORKFLOW_QUEUE, start_signal=NEWS, start_signal_args=[1],
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )  # fmt: skip


def _of(waits: Sequence[Waits], figure: Callable[[Waits], float]) -> Measured:
    return Measured(tuple(map(figure, waits)))
