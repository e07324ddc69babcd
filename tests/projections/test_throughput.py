"""How fast read models are rebuilt and carried along, printed with what COPY makes of the same rows in the same run (rule 18)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain import catalog
from domain.clocks import DueSet
from domain.episode.facts import AssignmentReceived
from domain.member.facts import Channel, MemberRegistered
from domain.outreach.facts import AttemptMade, Outcome
from projections.deadlines import DEADLINES
from projections.episodes import EPISODES
from projections.model import ReadModel
from projections.runner import LIVE_FACTS_MAX, REBUILD_FACTS_MAX
from projections.timeline import TIMELINE
from tests.projections.conftest import NOON, World

MEMBERS = 1_500
FACTS_A_MEMBER = 20
FACTS_PER_PROCESSOR_SECOND_MIN = 25_000
"""Of our own processor time, because the machine may be busy with something else; the printed figures are what counts."""


def history(world: World) -> int:
    """A made-up past: members, their assignment, their promises, the attempts to reach them."""
    dice = random.Random(7)
    for _ in range(MEMBERS):
        uuid = str(UUID(int=dice.getrandbits(128)))
        world.pen.write(f"member-{uuid}", MemberRegistered(language="es"))
        world.pen.write(f"episode-{uuid}", AssignmentReceived(member=f"member-{uuid}", plan="sunrise", received_at=NOON))
        dues = [
            DueSet(key=f"k{n}", rule="initial_contact.contact", generation=0, opens_at=NOON, due_at=NOON + timedelta(days=n),
                   closes_at=NOON + timedelta(days=90), policy="sunrise@1", cause=())
            for n in range(FACTS_A_MEMBER // 2)
        ]  # fmt: skip
        tried = [
            AttemptMade(member=f"member-{uuid}", channel=Channel.CALL, outcome=Outcome.VOICEMAIL, minutes=n)
            for n in range(FACTS_A_MEMBER // 2 - 2)
        ]
        world.pen.write(f"outreach-{uuid}", *dues, *tried)
    return MEMBERS * FACTS_A_MEMBER


@pytest.mark.slow
@pytest.mark.parametrize("model", [EPISODES, DEADLINES, TIMELINE], ids=lambda m: m.name)
def test_a_rebuild_takes_seconds(
    world_of: Callable[[Sequence[Any]], World], model: ReadModel[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(catalog.FACTS)
    facts = history(world)
    projector = world.projector(model)
    began = time.perf_counter()
    projector.run_until_caught_up()
    live = time.perf_counter() - began
    shown = world.rows(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY key)) FROM read.{model.name} t")
    began, cpu_began = time.perf_counter(), time.process_time()
    projector.rebuild(model.name)
    rebuilt, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    assert world.rows(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY key)) FROM read.{model.name} t") == shown
    began = time.perf_counter()
    with (
        psycopg.connect(world.url) as conn,
        conn.cursor() as cursor,
        cursor.copy("COPY log.events TO STDOUT (FORMAT binary)") as copy,
    ):
        rows = sum(1 for _ in copy)
    copied = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n  {model.name}: rebuild {facts / rebuilt:,.0f} facts/s, {facts / cpu:,.0f} a second of our own processor time"
            f" (at most {REBUILD_FACTS_MAX:,} a transaction),"
            f" live {facts / live:,.0f} facts/s (at most {LIVE_FACTS_MAX:,}); COPY of the same log {rows / copied:,.0f} rows/s"
        )
    assert facts / cpu > FACTS_PER_PROCESSOR_SECOND_MIN
