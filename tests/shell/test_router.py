"""The router: who is told of what, in one transaction with how far it is; what it does when somebody cannot be told."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.core import SYSTEM, ProcessRef
from domain.episode.closing import Decline
from domain.episode.holds import Hold
from domain.member.decider import OptOut
from domain.member.facts import Channel
from domain.member.identity import MergeMembers
from domain.outreach.facts import OutreachEnded
from tests.shell.world import PACE, World, until
from workers import signals
from workers.ground.child import free_ports
from workers.router import Router
from workers.router_store import AnotherRouter, Findings
from workers.signals import TemporalAway

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]


def router_of(world: World, client: Client | None = None) -> Router:
    return Router(world.system.log, world.system.router_store(), world.system.programme, client or world.client, PACE)


async def told(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Route everything that is new; who was told of which positions. Temporal is not asked."""
    heard: dict[str, list[int]] = {}

    async def hear(client: Client, process: ProcessRef, position: int) -> None:
        heard.setdefault(process.stream, []).append(position)

    monkeypatch.setattr("workers.router.send_news", hear)
    router = router_of(world)
    while await router.turn() < world.system.log.watermark():
        continue
    return heard


async def test_a_fact_of_a_member_wakes_the_processes_of_that_member_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = world.member(), world.member()
    async with world.running():
        refs = [world.assign(one), world.assign(other)]
        for ref in refs:
            await world.settled(ref)
    world.do(OptOut(stream=one, by=SYSTEM, channel=Channel.TEXT))
    heard = await told(world, monkeypatch)
    assert refs[0].stream in heard and refs[1].stream not in heard
    assert heard[refs[0].stream] == [world.system.log.watermark()], "many facts of one batch are one signal"


async def test_a_fact_of_a_merged_member_wakes_the_processes_of_whoever_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, third = world.member(), world.member(), world.member()
    async with world.running():
        ref = world.assign(one)
        await world.settled(ref)
    for retired in (other, third):
        world.do(MergeMembers(stream=one, by=SYSTEM, retired=retired))
    assert ref.stream in await told(world, monkeypatch)
    for retired in (other, third):
        world.do(OptOut(stream=retired, by=SYSTEM, channel=Channel.TEXT))
        assert (await told(world, monkeypatch))[ref.stream] == [world.system.log.watermark()]


async def test_what_ended_can_still_be_woken_by_a_late_fact_but_not_by_a_policy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, going_on = world.member(), world.member()
    async with world.running():
        ended, open_ = world.assign(member), world.assign(going_on)
        await world.settled(ended)
        await world.settled(open_)
        world.do(Decline(stream=f"episode-{ended.id}", by=SYSTEM))
        await until(lambda: bool(world.facts(ended, OutreachEnded)))
        await world.settled(ended)
    world.do(OptOut(stream=member, by=SYSTEM, channel=Channel.TEXT))
    assert ended.stream in await told(world, monkeypatch)
    world.adopt(**{'version = "2026.1"': 'version = "2026.2"'})
    assert not await told(world, monkeypatch), "a policy starts a sweep, at its own pace"
    swept = {row[0] for row in world.query("SELECT process FROM router_sweep")}
    assert open_.stream in swept and ended.stream not in swept


async def test_a_sweep_reaches_everybody_and_is_over(world: World) -> None:
    async with world.running():
        refs = [world.assign(world.member()) for _ in range(3)]
        for ref in refs:
            await world.settled(ref)
        world.adopt(**{'version = "2026.1"': 'version = "2026.2"'})
        adopted = world.system.log.watermark()
        await until(lambda: all((row := world.row(ref)) is not None and row["position"] >= adopted for ref in refs), 30)
        await until(lambda: not world.query("SELECT 1 FROM router_sweep"))


async def test_a_process_that_temporal_refuses_is_parked_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [world.assign(world.member()) for _ in range(2)]
    refused = refs[0].stream
    sound = signals.send_news

    async def refuse(client: Client, process: ProcessRef, position: int) -> None:
        if process.stream == refused:
            raise RPCError("a text that may quote values", RPCStatusCode.RESOURCE_EXHAUSTED, b"")
        await sound(client, process, position)

    monkeypatch.setattr("workers.router.send_news", refuse)
    async with world.running():
        await until(lambda: world.row(refs[1]) is not None, 30)
        await until(lambda: bool(world.query("SELECT 1 FROM router_parked")), 30)
        assert world.query("SELECT process, code FROM router_parked") == [(refused, "temporal_resource_exhausted")]
        assert world.row(refs[0]) is None
        monkeypatch.setattr("workers.router.send_news", sound)
        world.query("UPDATE router_parked SET next_at = clock_timestamp() RETURNING 1")
        await until(lambda: world.row(refs[0]) is not None, 30)
        await until(lambda: not world.query("SELECT 1 FROM router_parked"), 30)


async def test_processes_of_one_episode_are_told_one_after_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    news = {ProcessRef(kind, id): 7 for id in (one, other) for kind in ("transition", "followup")}
    under_way: list[ProcessRef] = []
    beside: list[set[str]] = []

    async def hear(client: Client, process: ProcessRef, position: int) -> None:
        under_way.append(process)
        await asyncio.sleep(0)
        beside.append({each.stream for each in under_way})
        under_way.remove(process)

    monkeypatch.setattr("workers.router.send_news", hear)
    await router_of(world)._tell(news, {})
    assert beside[0] == {f"transition-{one}", f"transition-{other}"}, "those of different episodes do not wait for each other"
    assert len(beside) == 4 and all(len({stream.partition("-")[2] for stream in at_once}) == len(at_once) for at_once in beside)


async def test_when_temporal_is_away_nothing_is_tracked(world: World) -> None:
    (port,) = free_ports(1)
    nowhere = await Client.connect(f"127.0.0.1:{port}", lazy=True)
    world.assign(world.member())
    before = world.system.router_store().position()
    with pytest.raises(TemporalAway):
        await asyncio.wait_for(router_of(world, nowhere).turn(), 60)
    assert world.system.router_store().position() == before


async def test_two_routers_side_by_side_track_once(world: World) -> None:
    store = world.system.router_store()
    start = store.begin(world.system.log.incarnation())
    store.track(start, start + 1, Findings(), {})
    with pytest.raises(AnotherRouter):
        store.track(start, start + 1, Findings(), {})
    ref = world.assign(world.member())
    async with world.running(), world.running(worker=False):
        await world.settled(ref, seconds=30)
        world.do(Hold(stream=f"episode-{ref.id}", by=SYSTEM, reason="asked"))
        await world.settled(ref, seconds=30)
    assert world.facts(ref).count("OutreachOpened") == 1


async def test_a_router_that_meets_another_one_pauses_before_its_next_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    met, beats = [0], [0]

    async def beaten(router: Router, watermark: int | None = None) -> int:
        met[0] += 1
        await asyncio.sleep(0)
        raise AnotherRouter

    def beat() -> None:
        beats[0] += 1

    monkeypatch.setattr(Router, "turn", beaten)
    system, stop = world.system, asyncio.Event()
    patient = Router(system.log, system.router_store(), system.programme, world.client, replace(PACE, away_seconds=600.0))
    running = asyncio.create_task(patient.run(stop, beat))
    await until(lambda: met[0] > 0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert met == [1] and beats == [1], "it waits, and says that it is well"
    stop.set()
    await asyncio.wait_for(running, 30)


async def test_an_index_row_is_written_with_the_position_or_not_at_all(world: World) -> None:
    store = world.system.router_store()
    start = store.begin(world.system.log.incarnation())
    ref = ProcessRef("outreach", str(uuid.uuid4()))
    broken: Any = Findings(tags={("member-x", ref.stream)}, open={ref: True})
    with pytest.raises(AnotherRouter):
        store.track(start + 7, start + 8, broken, {})
    assert not world.query("SELECT 1 FROM router_index WHERE process = %s", ref.stream)
