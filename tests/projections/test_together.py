"""Read models that go forward together: exactly once, and none is held up by what another has met."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain import catalog
from projections import store
from projections.registry import read_models
from projections.runner import Projector, ProjectorStopped
from tests.projections.conftest import INDEX_KEY, World
from tests.projections.test_every_read_model import rows_of, write_everything
from tests.projections.test_runner import put, shown
from tests.projections.toy import BROKEN, TOTAL, AmountPut, baskets


def carry(projector: Projector, *names: str) -> int:
    """Carry read models to the end of the log as the loop does; how many facts they folded together."""
    until, behind, shared = projector.log.watermark(), set(names or projector.models), 0
    while behind:
        done = projector.step_together(behind, until=until)
        shared += done.facts
        behind -= done.names
        behind -= {name for name in behind if projector.step(name, until=until).caught_up}
    return shared


def test_together_comes_to_the_same_rows_as_a_rebuild(world_of: Callable[[Sequence[Any]], World]) -> None:
    world = world_of(catalog.FACTS)
    projector = world.projector(*read_models(INDEX_KEY))
    carry(projector)
    for seed in (5, 6):
        assert carry(projector) == 0
        written = write_everything(world, random.Random(seed))
        assert carry(projector) > written
    rows = rows_of(world, projector)
    for name in projector.models:
        projector.rebuild(name)
    assert rows_of(world, projector) == rows


def test_two_that_go_together_count_once(toys: World) -> None:
    stop = threading.Event()
    projectors = [toys.projector(baskets(), TOTAL) for _ in range(2)]
    for projector in projectors:
        carry(projector)

    def run(projector: Projector) -> int:
        shared = 0
        while not stop.is_set():
            shared += carry(projector)
        return shared

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(run, projector) for projector in projectors]
        expected = put(toys, 3_000)
        stop.set()
        assert sum(each.result(60) for each in running) > 0
    carry(projectors[0])
    assert shown(toys) == expected
    assert toys.rows("SELECT facts, amount FROM read.total") == [(3_000, sum(a for _, a in expected.values()))]


def test_what_one_has_met_holds_no_other_up(toys: World) -> None:
    projector = toys.projector(baskets(), TOTAL)
    carry(projector)
    toys.pen.write("toy-1", AmountPut(basket="a", amount=1, label=BROKEN), AmountPut(basket="b", amount=5))
    assert projector.step_together(set(projector.models), until=projector.log.watermark()).names == frozenset()
    projector.step("baskets")
    with pytest.raises(ProjectorStopped):
        projector.step("total")
    assert shown(toys) == {"b": (1, 5)}
    toys.pen.write("toy-1", AmountPut(basket="b", amount=1), AmountPut(basket="a", amount=1))
    carry(projector, "baskets")
    assert shown(toys) == {"b": (2, 6)}, "a waits behind what is parked"
    assert [p.version for p in projector.parked("baskets")] == [1, 4]


def test_one_that_was_rebuilt_meanwhile_goes_on_in_its_new_table(toys: World) -> None:
    projector, other = toys.projector(baskets(), TOTAL), toys.projector(baskets(), TOTAL)
    expected = put(toys, 200)
    carry(projector)
    toys.pen.write("toy-1", AmountPut(basket="a", amount=1))
    other.rebuild("baskets")
    assert "baskets" not in projector.step_together(set(projector.models), until=projector.log.watermark()).names
    carry(projector)
    assert shown(toys) == {**expected, "a": (1, 1)}
    assert toys.rows("SELECT facts FROM read.total") == [(201,)]


def test_rows_are_looked_up_by_a_plan_that_bears_growth(toys: World) -> None:
    """A connection keeps the plan that it made while the table was empty: then every key was compared with every row."""
    projector = toys.projector(baskets())
    carry(projector)
    with toys.pool.connection() as conn:
        found = store.shown_and_incarnation(conn, "baskets")
        assert found is not None
        query = store._by_keys(projector.models["baskets"], found[0].build).replace(b"%b", b"$1")
        conn.execute(b"PREPARE looked AS " + query)
        conn.execute("SET plan_cache_mode = force_generic_plan")
        plan = "\n".join(row[0] for row in conn.execute("EXPLAIN EXECUTE looked ('{}')"))
        conn.execute("RESET plan_cache_mode")
        conn.execute("DEALLOCATE looked")
    assert "Index Scan" in plan and "Seq Scan" not in plan
