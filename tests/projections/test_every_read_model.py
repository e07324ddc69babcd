"""Every read model over every fact of the catalog: none parks what is well-formed, and a rebuild comes to the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from domain import catalog
from domain.core import Fact, personal_fields
from projections.registry import read_models
from projections.runner import ModelState, Projector
from tests.golden.examples import bare, full
from tests.projections.conftest import INDEX_KEY, NOON, World

ROUNDS = 6
KINDS = ("member", "episode", "outreach", "stay", "transition", "followup", "staff", "caseload")


def streams_of(fact: Fact) -> tuple[str, ...]:
    """Where the fact is at home; those of every process, in two processes."""
    kind = type(fact).__module__.split(".")[1]
    if kind in KINDS:
        return (f"{kind}-1", f"{kind}-2")
    return ("policy-sunrise",) if kind == "adoption" else ("outreach-1", "transition-1")


def write_everything(world: World, dice: random.Random) -> int:
    """Every fact of the catalog several times in a random order, with all its fields or only those it demands."""
    written = 0
    for n in range(ROUNDS):
        kinds = [entry.type for entry in catalog.FACTS]
        dice.shuffle(kinds)
        for kind in kinds:
            fact = dice.choice((full, bare))(kind)
            stream = dice.choice(streams_of(fact))
            at = NOON + timedelta(hours=dice.randrange(500))
            own = stream if stream.startswith(("member", "staff")) else "member-1"
            assert personal_fields(kind) or own
            world.pen.write(stream, fact, at=at, recorded_at=NOON + timedelta(hours=n), whose=own)
            written += 1
    return written


def rows_of(world: World, projector: Projector) -> dict[str, Any]:
    return {
        name: world.rows(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY key)) FROM read.{name} t")[0]
        for name in projector.models
    }


def test_rebuild_equals_incremental_for_every_read_model(world_of: Callable[[Sequence[Any]], World]) -> None:
    world = world_of(catalog.FACTS)
    models = read_models(INDEX_KEY)
    live = [world.projector(*models, live_facts_max=limit) for limit in (7, 11)]
    rebuilder = world.projector(*models, rebuild_facts_max=101)
    written = write_everything(world, random.Random(20261102))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda projector: projector.run_until_caught_up(), live))
    incremental = rows_of(world, rebuilder)
    assert sum(row[1] for row in world.rows("SELECT key, facts FROM read.fact_counts")) == written
    assert all(rows > 0 for rows, _ in incremental.values()), "a read model that no fact reaches is not tested"
    for model in models:
        rebuilder.rebuild(model.name)
    assert rows_of(world, rebuilder) == incremental
    for status in rebuilder.status():
        assert (status.state, status.parked, status.lag) == (ModelState.LIVE, 0, 0), status.name
