"""One worker in a process of its own: `real`, wired as `throughline run worker` wires it, or `empty`, with the empty shell.

Both have the same threads, limits and sandbox, and neither imports its workflow anew for each instance. Arguments: which,
and how many workflows it keeps in memory; settings come from the environment. Ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from temporalio import activity
from temporalio.client import Client

from benchmarks.empty_shell import NOTHING, QUEUE, Empty
from eventlog import gateway
from eventlog.clock import SystemClock
from workers.composition import open_system
from workers.settings import Settings, load_settings
from workers.telemetry import TelemetryTargets, start_telemetry
from workers.temporal_worker import Capacity, activity_worker, run_worker, workflow_worker

REAL, EMPTY = "real", "empty"

STATES_KEPT_MAX = 200
"""The gateway keeps folded states of a bounded number of streams, whatever is open: here so few that all are there early."""


@activity.defn(name=NOTHING)
def nothing(id: str) -> float:
    """When it ran, in seconds since 1970."""
    return SystemClock().now().timestamp()


async def real(settings: Settings, capacity: Capacity, stop: asyncio.Event) -> None:
    log_file = settings.throughline_home / "logs" / "worker.jsonl"
    start_telemetry("worker", TelemetryTargets(log_file=log_file))
    gateway.STATES_CACHED_MAX = STATES_KEPT_MAX
    with open_system(settings) as system:
        await run_worker(system, stop, schedule=False, capacity=capacity)


async def empty(settings: Settings, capacity: Capacity, stop: asyncio.Event) -> None:
    assert settings.temporal_address is not None
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    async with (
        workflow_worker(client, [Empty], build=EMPTY, capacity=capacity, passed_through=("benchmarks.empty_shell",)),
        activity_worker(client, QUEUE, [nothing], build=EMPTY, threads=capacity.advance_threads),
    ):
        await stop.wait()


async def main(which: str, cached_max: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await _WORKERS[which](load_settings(), Capacity(cached_workflows_max=cached_max), stop)


_WORKERS: Mapping[str, Callable[[Settings, Capacity, asyncio.Event], Coroutine[Any, Any, None]]] = {REAL: real, EMPTY: empty}

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
