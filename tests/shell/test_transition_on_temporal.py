"""Transitional care end to end on a real server: a Friday discharge before a holiday."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from domain.clocks import DeadlineMissed, DueSet
from domain.core import ProcessRef
from domain.episode.enrolment import Enrol
from domain.staff.facts import Role
from domain.stay.decider import EnterAdmission, EnterDischarge
from domain.stay.facts import StayClass
from eventlog.clock import OffsetClock, SystemClock
from tests.shell.world import EVENTS_MAX, POLICIES, Post, World, settings_for, system_for, world_of

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]

PACIFIC = ZoneInfo("America/Los_Angeles")


def next_friday_noon() -> datetime:
    now = SystemClock().now().astimezone(PACIFIC)
    friday = now.date() + timedelta(days=(4 - now.weekday()) % 7 or 7)
    return datetime.combine(friday, time(12), PACIFIC).astimezone(UTC)


@pytest.fixture
async def world(database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    """It is noon of the coming Friday, and the Monday after it is a holiday."""
    offset = next_friday_noon() - SystemClock().now()
    post = Post()
    with system_for(
        settings_for(database, temporal_address, temporal_namespace, tmp_path), post, clock=OffsetClock(lambda: offset)
    ) as system:
        there = await world_of(system, post)
        monday = next_friday_noon().astimezone(PACIFIC).date() + timedelta(days=3)
        federal = re.search(r"\[holidays\.federal\]\n.*\ndays = \[\n", (POLICIES / "default.toml").read_text())
        assert federal is not None
        there.adopt(**{federal[0]: f"{federal[0]}    {monday.isoformat()},\n"})
        yield there


async def test_a_friday_discharge_before_a_holiday_leaves_until_wednesday(world: World) -> None:
    lead = world.staff(Role.CARE_MANAGER)
    friday = next_friday_noon().astimezone(PACIFIC).date()
    async with world.running():
        member = world.member()
        id = world.assign(
            member, lead=lead, received_at=datetime.combine(friday - timedelta(days=4), time(9), PACIFIC).astimezone(UTC)
        ).id
        transition = ProcessRef("transition", id)
        enrolled_at = datetime.combine(friday - timedelta(days=2), time(8), PACIFIC).astimezone(UTC)
        world.do(Enrol(stream=f"episode-{id}", by=lead, agreed="verbal", occurred_at=enrolled_at))
        stay = "stay-" + id
        admitted_at = datetime.combine(friday - timedelta(days=2), time(9), PACIFIC).astimezone(UTC)
        discharged_at = datetime.combine(friday, time(11), PACIFIC).astimezone(UTC)
        world.do(
            EnterAdmission(
                stream=stay,
                by=lead,
                facility="general",
                stay_class=StayClass.INPATIENT,
                admitted_at=admitted_at,
                member=member,
                episode=f"episode-{id}",
            )
        )
        world.do(EnterDischarge(stream=stay, by=lead, facility="general", discharged_at=discharged_at, disposition="01"))
        await world.settled(transition, seconds=60)
        call = next(r.fact for r in world.facts(transition, DueSet) if r.fact.rule == "transition.call")
        # Monday is a holiday: Tuesday is the first business day, Wednesday the second; the window ends with it.
        thursday = datetime.combine(friday + timedelta(days=6), time(0), PACIFIC).astimezone(UTC)
        assert call.due_at == thursday
        ahead = next_friday_noon() - SystemClock().now()
        await world.sleep(transition, ahead + timedelta(days=7))
        await world.settled(transition, seconds=60)
    missed = [r for r in world.facts(transition, DeadlineMissed) if r.fact.key == call.key]
    assert [r.occurred_at for r in missed] == [thursday]
    assert max(length for length, _ in await world.runs(transition)) < EVENTS_MAX
