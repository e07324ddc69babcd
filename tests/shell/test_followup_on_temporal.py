"""A whole year of follow-up on a real log and a real Temporal server, with skipped time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.clocks import DeadlineMissed, DueSet
from domain.core import ProcessRef
from domain.episode.closing import CloseEpisode
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.followup.decider import RecordFollowUpContact
from domain.followup.facts import FollowUpContactMade, FollowUpEnded, FollowUpOpened
from domain.interactions import Interaction
from domain.staff.facts import Role
from eventlog.clock import OffsetClock
from tests.shell.world import EVENTS_MAX, POLICIES, Post, World, settings_for, system_for, until, world_of

pytestmark = [pytest.mark.temporal, pytest.mark.anyio, pytest.mark.slow]

FEW_ALERTS = "[follow_up]\nreview_every_days = 180\nprovider_change_days = 30\nwarn = []\n\n"
"""The test is about dues: each alert on the way would cost it a second."""

AHEAD = {"days": 0}
"""How far the log's clock was moved, in step with the server's skipped time: people live in the year too."""


@pytest.fixture
async def world(database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    AHEAD["days"] = 0
    post, clock = Post(), OffsetClock(lambda: timedelta(**AHEAD))
    with system_for(settings_for(database, temporal_address, temporal_namespace, tmp_path), post, clock=clock) as system:
        there = await world_of(system, post)
        said = re.search(r"\[follow_up\]\n.*?\n\n", (POLICIES / "default.toml").read_text(), re.DOTALL)
        assert said is not None
        there.adopt(**{said[0]: FEW_ALERTS})
        yield there


CALLS = (25, 50, 75, 100, 125, 150, 175, 200, 225, 300, 325, 350)
"""Days of the year on which somebody speaks with the member: every 30 days is asked for, so 255 and 285 pass unheeded."""

VISITS = (50, 125, 200)
"""Of these in person: one in each ninety days is asked for, so day 360 ends a period without one."""


async def test_a_year_of_contacts_with_a_gap_in_autumn(world: World) -> None:
    lead, boss = world.staff(Role.CARE_MANAGER), world.staff(Role.SUPERVISOR)
    async with world.running():
        id = world.assign(world.member(), lead=lead).id
        followup, episode = ProcessRef("followup", id), f"episode-{id}"
        await until(lambda: bool(world.facts(followup, FollowUpOpened)), 30)
        world.do(Enrol(stream=episode, by=lead, agreed="verbal"))
        await world.settled(followup)
        for day in (*CALLS, 365):
            await world.sleep(followup, timedelta(days=day - AHEAD["days"]))
            AHEAD["days"] = day
            if day in CALLS:
                how = Interaction.IN_PERSON if day in VISITS else Interaction.PHONE
                world.do(RecordFollowUpContact(stream=followup.stream, by=lead, interaction=how, minutes=20))
                await world.settled(followup)
        row = await world.settled(followup)
        assert not row["done"] and not row["stuck"] and row["wake_at"] > world.system.clock.now()
        assert await world.status(followup) is WorkflowExecutionStatus.RUNNING
        runs = await world.runs(followup)
        assert max(length for length, _ in runs) < EVENTS_MAX and len(runs) > 5, "a run lives for thirty days at most"
        world.do(CloseEpisode(stream=episode, by=boss, reason=ClosureReason.MEMBER_WITHDREW))
        await until(lambda: bool(world.facts(followup, FollowUpEnded)), 30)
        await until(lambda: bool((row := world.row(followup)) and row["done"]), 30)
    assert len(world.facts(followup, FollowUpContactMade)) == len(CALLS)
    missed = list(world.facts(followup, DeadlineMissed))
    by_rule = sorted(r.fact.rule for r in missed if r.fact.rule in ("followup.contact", "followup.in_person"))
    assert by_rule == ["followup.contact", "followup.contact", "followup.in_person"]
    assert all(r.occurred_at == r.fact.due_at for r in missed), "a miss counts as of its instant"
    dues = [r.fact for r in world.facts(followup, DueSet) if r.fact.rule == "followup.contact"]
    assert len({due.key for due in dues}) == 15, "thirteen after the enrolment and each contact, two that followed a miss"
