"""Temporal is disposable: killed and started again, its database deleted and rebuilt from the log, another life of the log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.core import ProcessRef
from domain.staff.facts import Role
from eventlog import database as ground
from tests.shell.world import Post, World, settings_for, system_for, until, world_of
from workers.clock import StoredOffset
from workers.ground.temporal import TemporalServer, register_namespace
from workers.ground.temporal_program import find_program
from workers.rebuild import NamespaceNotEmpty, rebuild
from workers.reconcile import nudge_all
from workers.router import Router
from workers.router_store import AnotherIncarnation
from workers.temporal_worker import run_worker

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.anyio]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STEP = timedelta(hours=18)
STEPS = 16
LOST_AFTER = 5
MEMBERS = 2


@pytest.fixture
async def server(ground_folder: Path) -> AsyncIterator[TemporalServer]:
    """A Temporal of this test's own, to be killed."""
    server = TemporalServer(ground_folder / "temporal-lost", program=find_program(at_once=True))
    await asyncio.to_thread(server.start)
    await register_namespace(server.address, "lost")
    yield server
    await asyncio.to_thread(server.stop)


@asynccontextmanager
async def world_on(address: str, namespace: str, url: str, home: Path) -> AsyncIterator[World]:
    """A world whose clock can be moved, as the demo moves it."""
    home.mkdir()
    with ExitStack() as stack:
        system = stack.enter_context(system_for(settings_for(url, address, namespace, home), Post()))
        there = await world_of(system, Post())
        there.adopt()
        yield there


async def pass_time(world: World, processes: list[ProcessRef], steps: int) -> None:
    """Move the clock and nudge, as `throughline demo advance` does; wait until all have looked."""
    offset = StoredOffset(world.system.settings.throughline_home)
    for _ in range(steps):
        offset.advance(STEP)
        now = world.system.clock.now() - timedelta(seconds=5)
        await nudge_all(world.system.pool, world.client)
        for process in processes:
            await until(lambda process=process, now=now: _looked(world, process, now), 60)


def _looked(world: World, process: ProcessRef, now: datetime) -> bool:
    row = world.row(process)
    return row is not None and row["updated_at"] >= now and not row["effects"]


def story(world: World, process: ProcessRef) -> list[tuple[Any, ...]]:
    """What the log says, without ids and seconds."""
    return [
        (
            type(r.fact).__name__,
            UUID.sub("*", getattr(r.fact, "key", "")),
            getattr(r.fact, "due_at", None),
            r.occurred_at.replace(second=0, microsecond=0) if type(r.fact).__name__ == "DeadlineMissed" else None,
        )
        for r in world.system.log.read(process.stream)
    ]


async def test_a_lost_temporal_changes_nothing_that_is_recorded(
    server: TemporalServer, temporal_address: str, temporal_namespace: str, database: str, postgres_url: str, tmp_path: Path
) -> None:
    """The same campaigns twice: once undisturbed, once with Temporal killed, then its database deleted and rebuilt."""
    from workers.ground.postgres import drop_database, with_database

    other = with_database(postgres_url, "lost_" + tmp_path.name.replace("-", "_")[-20:])
    try:
        async with (
            world_on(temporal_address, temporal_namespace, database, tmp_path / "calm") as calm,
            world_on(server.address, "lost", other, tmp_path / "stormy") as stormy,
        ):
            received_at = calm.system.clock.now().replace(microsecond=0)
            told = {}
            for world in (calm, stormy):
                lead = world.staff(Role.CARE_MANAGER)
                told[id(world)] = [world.assign(world.member(), received_at=received_at, lead=lead) for _ in range(MEMBERS)]
            undisturbed, disturbed = told[id(calm)], told[id(stormy)]

            async with calm.running():
                await _begun(calm, undisturbed)
                await pass_time(calm, undisturbed, STEPS)

            async with stormy.running():
                await _begun(stormy, disturbed)
                await pass_time(stormy, disturbed, LOST_AFTER)
                await asyncio.to_thread(server.kill)
                late = stormy.assign(stormy.member(), received_at=received_at)
                await asyncio.sleep(1.0)
                assert stormy.row(late) is None, "nobody could be told"
                await asyncio.to_thread(server.start)
                await stormy.settled(late, seconds=60)
                await pass_time(stormy, disturbed, 2)

            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.drop_database)
            await asyncio.to_thread(server.start)
            await register_namespace(server.address, "lost")
            seen: list[tuple[int, int]] = []
            rebuilt = await rebuild(
                stormy.system.log, stormy.system.pool, stormy.client, stormy.system.programme, progress=lambda *n: seen.append(n)
            )
            assert rebuilt.total == rebuilt.started == MEMBERS + 1
            assert seen[-1] == (MEMBERS + 1, MEMBERS + 1)
            async with stormy.running():
                await pass_time(stormy, disturbed, STEPS - LOST_AFTER - 2)

            for one, another in zip(undisturbed, disturbed, strict=True):
                assert story(calm, one) == story(stormy, another)
            assert any(entry[0] == "DeadlineMissed" for entry in story(stormy, disturbed[0]))
    finally:
        drop_database(other)
        drop_database(other + "_keys")


async def _begun(world: World, processes: list[ProcessRef]) -> None:
    for process in processes:
        await world.settled(process, seconds=60)


async def test_after_a_restore_of_the_log_nobody_works_until_the_workflows_are_rebuilt(
    database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path
) -> None:
    async with world_on(temporal_address, temporal_namespace, database, tmp_path / "home") as world:
        async with world.running():
            outreach = world.assign(world.member())
            await world.settled(outreach)
        ground.new_incarnation(database)
        with pytest.raises(AnotherIncarnation):
            await Router(world.system.log, world.system.router_store(), world.system.programme, world.client).run(asyncio.Event())
        with pytest.raises(AnotherIncarnation):
            await run_worker(world.system, asyncio.Event(), schedule=False)
        with pytest.raises(NamespaceNotEmpty):
            await rebuild(world.system.log, world.system.pool, world.client, world.system.programme)
        rebuilt = await rebuild(world.system.log, world.system.pool, world.client, world.system.programme, terminate=True)
        assert rebuilt.total == 1
        async with world.running():
            await world.settled(outreach)
