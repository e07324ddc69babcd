"""A rebuild of the workflows: in which order it starts them, and that it goes on where it was cut short."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio import client as temporal

from domain.core import ProcessRef
from tests.shell.world import World
from workers.rebuild import Rebuilt, rebuild
from workers.signals import TemporalAway

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]

KINDS = ("outreach", "transition", "followup")


class Counting(temporal.Interceptor, temporal.OutboundInterceptor):
    """Notes what is started, in order; after so many Temporal is away."""

    def __init__(self, away_after: int | None = None) -> None:
        self.started: list[str] = []
        self._away_after = away_after

    def intercept_client(self, next: temporal.OutboundInterceptor) -> temporal.OutboundInterceptor:
        self.next = next
        return self

    async def start_workflow(self, input: temporal.StartWorkflowInput) -> temporal.WorkflowHandle[Any, Any]:
        if len(self.started) == self._away_after:
            raise TemporalAway
        self.started.append(input.id)
        return await super().start_workflow(input)


async def rebuilt(world: World, counting: Counting, **more: Any) -> Rebuilt:
    client = temporal.Client(**{**world.client.config(), "interceptors": [counting]})
    system = world.system
    return await rebuild(system.log, system.pool, client, system.programme, per_second=1_000, in_flight=1, **more)


def processes(world: World, members: int) -> set[str]:
    episodes = [world.assign(world.member()).id for _ in range(members)]
    return {ProcessRef(kind, id).stream for id in episodes for kind in KINDS}


async def test_a_rebuild_that_was_cut_short_goes_on_where_it_was(world: World) -> None:
    listed = processes(world, 3)
    first, second = Counting(away_after=4), Counting()
    with pytest.raises(TemporalAway):
        await rebuilt(world, first)
    told: list[tuple[int, int]] = []
    done = await rebuilt(world, second, progress=lambda *n: told.append(n))
    assert done == Rebuilt(position=world.system.log.watermark(), total=len(listed), started=len(listed) - 4, resumed=True)
    assert sorted(first.started + second.started) == sorted(listed), "each once"
    assert told[-1] == (len(listed), len(listed))


async def test_what_is_due_first_is_started_first_and_what_waits_for_news_last(world: World) -> None:
    listed = processes(world, 3)
    await rebuilt(world, Counting())
    now = world.system.clock.now()
    outreaches = sorted(name for name in listed if name.startswith("outreach"))
    wakes = dict(zip(outreaches, (now + timedelta(hours=hours) for hours in (3, 1, 2)), strict=True))
    behind, *news_only = sorted(listed - wakes.keys())
    with world.system.pool.connection() as conn:
        for name in (*wakes, *news_only):
            conn.execute(
                "INSERT INTO process_state (process, kind, position, wake_at, began_at, updated_at)"
                " SELECT process, kind, position, %s, %s, %s FROM router_process WHERE process = %s",
                (wakes.get(name), now, now, name),
            )
    counting = Counting()
    await rebuilt(world, counting, terminate=True)
    assert counting.started == [behind, *sorted(wakes, key=lambda name: wakes[name]), *news_only]
