"""The alarm clock of a programme in fast-forward: Temporal's timers run on the machine's time, so whoever's written wake-up has
come on the moved clock is rung here.

Only workflows that live are rung. One that is missing stays silent, as its timer would: to find it is reconcile's work.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import psycopg
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.service import RPCError

from tests.torture.stage import Stage
from workers.composition import System, connect_temporal
from workflows.shell import NUDGE

LOOK_SECONDS = 0.25
RING_AGAIN_SECONDS = 2.0
RINGS_AT_ONCE = 16
STOP_SECONDS = 10.0
_RPC = timedelta(seconds=3)

_DUE = "SELECT process FROM process_state WHERE NOT done AND wake_at <= %s ORDER BY wake_at LIMIT 500"

_OPEN = "SELECT process FROM process_state WHERE NOT done"


class Alarm:
    """Rings in a thread of its own until it is stopped."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._everybody = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="alarm", daemon=True)
        self._rung: dict[str, float] = {}
        self.rings = 0

    def start(self) -> None:
        self._thread.start()

    def ring_all(self) -> None:
        """Let every workflow that lives look once more, so that its timer fits the clock that was moved."""
        self._everybody.set()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    async def _run(self) -> None:
        with self._stage.connect(pool_max=2) as system:
            client = await connect_temporal(self._stage.settings)
            while not self._over.is_set():
                everybody = self._everybody.is_set()
                try:
                    due = await asyncio.to_thread(self._due, system, everybody)
                except (psycopg.Error, PoolTimeout):
                    due, everybody = [], False
                if everybody:
                    self._everybody.clear()
                slots = asyncio.Semaphore(RINGS_AT_ONCE)
                await asyncio.gather(*(self._ring(client, process, slots) for process in due))
                await asyncio.sleep(LOOK_SECONDS)

    def _due(self, system: System, everybody: bool) -> list[str]:
        now = time.monotonic()
        with system.pool.connection(timeout=2.0) as conn:
            rows = conn.execute(_OPEN).fetchall() if everybody else conn.execute(_DUE, (system.clock.now(),)).fetchall()
        found = [row[0] for row in rows if everybody or now - self._rung.get(row[0], 0.0) > RING_AGAIN_SECONDS]
        self._rung.update(dict.fromkeys(found, now))
        return found

    async def _ring(self, client: Client, process: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                await client.get_workflow_handle(process).signal(NUDGE, rpc_timeout=_RPC)
                self.rings += 1
            except (RPCError, RuntimeError):
                self._rung.pop(process, None)
