"""Signals lost, doubled, late and shuffled; a fact that re-opens a process while it closes: it costs time and no truth."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.core import SYSTEM, ProcessRef
from domain.episode.closing import Decline
from domain.member.facts import Channel
from domain.outreach.decider import RecordContact
from domain.outreach.facts import NewEpisodeProposed, OutreachEnded
from tests.shell.world import World, until
from workers.reconcile import Reconciler
from workers.router import Router
from workers.signals import send_news, send_nudge

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]

REOPENED = 12


async def test_a_fact_that_reopens_a_process_while_it_closes_is_never_lost(world: World) -> None:
    """Decline ends the campaign; within 60 ms of its end the member calls. Each race ends with the proposal of a new episode."""
    dice = random.Random(7)
    async with world.running():
        refs = [world.assign(world.member()) for _ in range(REOPENED)]
        for ref in refs:
            await world.settled(ref, seconds=60)

        async def race(number: int) -> None:
            ref = refs[number]
            decline = Decline(stream=f"episode-{ref.id}", by=SYSTEM)
            await asyncio.to_thread(world.do, decline)
            while not await asyncio.to_thread(world.facts, ref, OutreachEnded):
                await asyncio.sleep(0.01)
            await asyncio.sleep(dice.uniform(0, 0.06))
            call = RecordContact(stream=ref.stream, by=SYSTEM, channel=Channel.CALL, initiated_by="member")
            await asyncio.to_thread(world.do, call)

        await asyncio.gather(*(race(number) for number in range(REOPENED)))
        for ref in refs:
            await until(lambda ref=ref: bool(world.facts(ref, NewEpisodeProposed)), 60)
    assert all(world.facts(ref, OutreachEnded) for ref in refs)


async def test_an_advance_comes_with_the_answer_to_the_task_that_asked_for_it(world: World) -> None:
    """It is begun in the very transaction that asked for it; by way of a queue that takes several milliseconds at least."""
    async with world.running():
        refs = [world.assign(world.member()) for _ in range(3)]
        for ref in refs:
            await world.settled(ref)
        waits: list[timedelta] = []
        for ref in refs:
            asked_at: dict[int, datetime] = {}
            for event in (await world.handle(ref).fetch_history()).events:
                at = event.event_time.ToDatetime()
                if event.HasField("activity_task_scheduled_event_attributes"):
                    asked_at[event.event_id] = at
                if event.HasField("activity_task_started_event_attributes"):
                    waits.append(at - asked_at[event.activity_task_started_event_attributes.scheduled_event_id])
    assert min(waits) < timedelta(milliseconds=1)


async def test_doubled_shuffled_and_stale_signals_record_nothing_twice(world: World) -> None:
    async with world.running():
        ref = world.assign(world.member())
        await world.settled(ref)
        before = world.facts(ref)
        positions = [1, 5, 3, 3, world.system.log.watermark(), 2, 5]
        await asyncio.gather(*(send_news(world.client, ref, position) for position in positions))
        await asyncio.gather(*(send_nudge(world.client, ref) for _ in range(3)))
        await world.settled(ref)
    assert world.facts(ref) == before


async def test_reconcile_heals_what_was_never_signalled(world: World) -> None:
    """Every signal is lost: the router tracks, nobody is told. Reconcile finds each of them behind, and starts it."""
    refs = [world.assign(world.member()) for _ in range(3)]
    router_only_tracks(world)
    async with world.running(router=False):
        reconciler = Reconciler(
            world.system.pool, world.client, world.system.clock, world.system.programme.processes, grace=timedelta()
        )
        found = await reconciler.run_pass(deep=True)
        assert found.behind >= len(refs) and found.missing == found.behind and found.nudged >= len(refs)
        for ref in refs:
            await until(lambda ref=ref: world.row(ref) is not None and not world.row(ref)["stuck"], 30)
            assert "OutreachOpened" in world.facts(ref)
        await until(lambda: not world.query(BEHIND), 30)
        # Visibility is told of an end with a delay of up to a second on a busy server.
        async with asyncio.timeout(30):
            while not (found := await reconciler.run_pass(deep=True)).healthy:
                await asyncio.sleep(0.2)
        assert found.nudged == 0, found


async def test_a_nudge_in_vain_is_not_repeated_within_the_hour(world: World) -> None:
    ref = world.assign(world.member())
    router_only_tracks(world)
    reconciler = Reconciler(
        world.system.pool, world.client, world.system.clock, world.system.programme.processes, grace=timedelta()
    )
    first = await reconciler.run_pass(deep=False)
    again = await reconciler.run_pass(deep=False)
    assert first.nudged >= 1 and again.behind == first.behind and again.nudged == 0
    assert await world.status(ref) is WorkflowExecutionStatus.RUNNING


async def test_an_orphan_is_nudged_and_ends_itself(world: World) -> None:
    """A workflow that the log does not know, as after a restore: it looks, finds nothing owed and ends."""
    orphan = ProcessRef("outreach", "00000000-0000-4000-8000-000000000000")
    await send_news(world.client, orphan, 0)
    reconciler = Reconciler(
        world.system.pool, world.client, world.system.clock, world.system.programme.processes, grace=timedelta()
    )
    await asyncio.sleep(1.0)  # visibility follows a moment later
    found = await reconciler.run_pass(deep=True)
    assert found.orphaned == 1
    async with world.running(router=False):
        await asyncio.wait_for(world.handle(orphan).result(), 20)


async def test_the_schedule_runs_reconcile(world: World) -> None:
    async with world.running(router=False, schedule=True):
        await until(lambda: bool(world.query("SELECT 1 FROM reconcile_run")), 30)


BEHIND = "SELECT 1 FROM router_process p LEFT JOIN process_state s USING (process) WHERE p.position > coalesce(s.position, 0)"


def reconciler_of(world: World) -> Reconciler:
    """Without the usual patience."""
    system = world.system
    return Reconciler(system.pool, world.client, system.clock, system.programme.processes, grace=timedelta())


def router_only_tracks(world: World) -> None:
    """Do what the router does with the whole log, but signal nobody."""
    store = world.system.router_store()
    start = store.begin(world.system.log.incarnation())
    batch = world.system.log.after(start, limit=5_000)
    found = Router(world.system.log, store, world.system.programme, world.client).find(batch.facts)
    store.track(start, batch.position, found, {})
