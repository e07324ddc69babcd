"""PostgreSQL is away for a while: timers fire in vain, nobody fails, nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.clocks import DeadlineMissed
from eventlog.recorder import LogAway
from tests.faults.hasty import HastyOutreach
from tests.shell.world import Post, settings_for, system_for, world_of
from workers.ground.postgres import FOR_TESTS, PostgresServer
from workers.programme import the_programme
from workflows.transition import Transition

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.anyio]


async def test_a_timer_that_fires_while_postgres_is_away_is_heeded_afterwards(
    ground_folder: Path, temporal_address: str, temporal_namespace: str, tmp_path: Path
) -> None:
    server = PostgresServer(ground_folder / "postgres-away", settings=FOR_TESTS)
    await asyncio.to_thread(server.start)
    try:
        post = Post()
        settings = settings_for(server.url("away"), temporal_address, temporal_namespace, tmp_path)
        with system_for(settings, post, replace(the_programme(), workflows=(HastyOutreach, Transition))) as system:
            world = await world_of(system, post)
            world.adopt()
            member = world.member()
            async with world.running():
                outreach = world.assign(member)
                await world.settled(outreach)
                before = len(world.facts(outreach))
                await asyncio.to_thread(server.kill)
                with pytest.raises(LogAway):
                    await asyncio.to_thread(world.facts, outreach)
                woken = asyncio.create_task(world.sleep(outreach, timedelta(days=4)))
                await asyncio.sleep(3.0)
                assert await world.status(outreach) is WorkflowExecutionStatus.RUNNING
                await asyncio.to_thread(server.start)
                await asyncio.wait_for(woken, 60)
                row = await world.settled(outreach, seconds=60)
                assert row["stuck"] == "" and row["last_error"] == ""
                second = world.assign(world.member())
                await world.settled(second, seconds=30)
            assert len(world.facts(outreach)) > before
            assert world.facts(outreach, DeadlineMissed), "the first call was due within the four days"
    finally:
        await asyncio.to_thread(server.stop)
