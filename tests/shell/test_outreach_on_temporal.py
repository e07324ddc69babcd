"""Outreach end to end: the real plan on a real log and a real Temporal server, with skipped time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.clocks import DeadlineMissed, DueSet
from domain.staff.facts import Role
from tests.shell.world import EVENTS_MAX, PLANTED_PHONE, World

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]


async def test_day_ten_passes_unheeded_and_the_miss_is_recorded(world: World) -> None:
    lead = world.staff(Role.CARE_MANAGER)
    async with world.running():
        outreach = world.assign(world.member(), lead=lead)
        row = await world.settled(outreach)
        assert not row["done"] and row["wake_at"] is not None
        due = next(r.fact for r in world.facts(outreach, DueSet) if r.fact.governing and r.fact.rule.startswith("initial_contact"))
        assert not world.facts(outreach, DeadlineMissed)
        await world.sleep(outreach, timedelta(days=11, hours=2))
        await world.settled(outreach)
    missed = [r for r in world.facts(outreach, DeadlineMissed) if r.fact.key == due.key]
    assert len(missed) == 1
    assert missed[0].occurred_at == due.due_at, "a miss counts as of its instant"
    assert [m.address for m in world.post.sent if m.kind == "text"] == [PLANTED_PHONE]
    assert await world.status(outreach) is WorkflowExecutionStatus.RUNNING
    assert max(length for length, _ in await world.runs(outreach)) < EVENTS_MAX
