"""The runner against a real PostgreSQL: exactly once, poison, rebuild beside, swap, outages."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from eventlog.codec import StoredFact
from projections.runner import Projector, ProjectorAway, ProjectorStopped
from tests.projections import toy
from tests.projections.conftest import World
from tests.projections.toy import BROKEN, TOTAL, AmountPut, BellRung, Mended, baskets


def put(world: World, count: int, *, seed: int = 1, streams: int = 12, baskets_max: int = 40) -> dict[str, tuple[int, int]]:
    """Writes facts in clumps; what the baskets must come to, counted by another way than folding."""
    dice = random.Random(seed)
    expected: dict[str, tuple[int, int]] = {}
    left = count
    while left:
        clump = []
        for _ in range(min(left, dice.randint(1, 200))):
            fact = AmountPut(basket=f"basket-{dice.randrange(baskets_max)}", amount=dice.randrange(100))
            facts, amount = expected.get(fact.basket, (0, 0))
            expected[fact.basket] = (facts + 1, amount + fact.amount)
            clump.append(fact)
        left -= len(clump)
        world.pen.write(f"toy{seed}-{dice.randrange(streams)}", *clump)
    return expected


def shown(world: World) -> dict[str, tuple[int, int]]:
    return {row[0]: (row[1], row[2]) for row in world.rows("SELECT key, facts, amount FROM read.baskets")}


def test_facts_become_rows(toys: World) -> None:
    expected = put(toys, 500)
    toys.pen.write("toy-bell", BellRung())
    projector = toys.projector(baskets())
    assert projector.run_until_caught_up() == 500
    assert shown(toys) == expected
    assert projector.run_until_caught_up() == 0


def test_the_view_names_its_columns(toys: World) -> None:
    toys.projector(baskets())
    (definition,) = toys.rows("SELECT pg_get_viewdef('read.baskets'::regclass)")[0]
    assert "*" not in definition and "last_at" in definition


def test_two_projectors_on_one_read_model_count_once(toys: World) -> None:
    """With "greater than" instead of compare-and-swap, two projectors counted 9 493 of 6 000 (engine.md A2)."""
    expected = put(toys, 6_000)
    projectors = [toys.projector(baskets(), TOTAL, live_facts_max=limit) for limit in (70, 110)]
    with ThreadPoolExecutor(2) as pool:
        folded = sum(pool.map(lambda p: p.run_until_caught_up(), projectors))
    assert folded == 2 * 6_000, "both read models, each fact by one projector only"
    assert shown(toys) == expected
    assert toys.rows("SELECT facts, amount FROM read.total") == [(6_000, sum(a for _, a in expected.values()))]


def test_rebuild_equals_incremental_while_two_projectors_run(toys: World) -> None:
    stop = threading.Event()
    live = [toys.projector(baskets(), live_facts_max=90) for _ in range(2)]
    rebuilder = toys.projector(baskets(), rebuild_facts_max=300)
    writers: list[dict[str, tuple[int, int]]] = []

    def run(projector: Projector) -> None:
        while not stop.is_set():
            projector.run_until_caught_up()

    def write() -> None:
        writers.extend(put(toys, 700, seed=seed) for seed in range(1, 7))

    put_first = put(toys, 1_000, seed=99)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, p) for p in live]
        writing = pool.submit(write)
        builds = [rebuilder.rebuild("baskets").build for _ in range(3)]
        writing.result(60)
        builds.append(rebuilder.rebuild("baskets").build)
        live[0].run_until_caught_up()
        stop.set()
        for each in running:
            each.result(30)
    incremental = shown(toys)
    rebuilder.rebuild("baskets")
    assert shown(toys) == incremental
    expected: dict[str, tuple[int, int]] = {}
    for part in (put_first, *writers):
        for basket, (facts, amount) in part.items():
            before = expected.get(basket, (0, 0))
            expected[basket] = (before[0] + facts, before[1] + amount)
    assert incremental == expected
    assert all(one != other for one, other in pairwise(builds)), "each rebuild is a table of its own"


def test_readers_see_every_position_once_while_tables_are_swapped(toys: World) -> None:
    """Prepared statements never fail and never see fewer facts than before, though the table under the view changes."""
    put(toys, 400)
    projector = toys.projector(baskets())
    projector.run_until_caught_up()
    stop = threading.Event()

    def read() -> int:
        reads, before = 0, 0
        with psycopg.connect(toys.url, autocommit=True) as conn:
            while not stop.is_set():
                row = conn.execute("SELECT sum(facts) FROM read.baskets WHERE key = ANY(%s) OR true", (["x"],), prepare=True)
                (facts,) = row.fetchone() or (0,)
                assert facts >= before, "a reader went back in time"
                before = facts
                reads += 1
        return reads

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for seed in range(2, 10):
            put(toys, 50, seed=seed)
            projector.run_until_caught_up()
            projector.rebuild("baskets")
        stop.set()
        assert all(reader.result(30) > 20 for reader in readers)
    projector.sweep()
    tables = toys.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'read' AND tablename LIKE 'baskets%%'")
    assert tables == [(1,)], "old tables are dropped"


def test_poison_is_parked_by_its_key_and_later_facts_queue(toys: World) -> None:
    stream = "toy-1"
    toys.pen.write(stream, AmountPut(basket="a", amount=1), AmountPut(basket="b", amount=10))
    toys.pen.write(stream, AmountPut(basket="a", amount=2, label=BROKEN))
    toys.pen.write(stream, AmountPut(basket="a", amount=3), AmountPut(basket="b", amount=20))
    projector = toys.projector(baskets())
    projector.run_until_caught_up()
    assert shown(toys) == {"a": (1, 1), "b": (2, 30)}, "what came before stays, other keys go on"

    toys.pen.write(stream, AmountPut(basket="a", amount=4))
    projector.run_until_caught_up()
    parked = projector.parked("baskets")
    assert [(p.key, p.version, bool(p.reason)) for p in parked] == [("a", 3, True), ("a", 4, False), ("a", 6, False)]
    assert parked[0].reason.startswith("ValueError in fold line ") and "quotes" not in parked[0].reason

    assert projector.retry_parked("baskets").folded == 0
    assert projector.parked("baskets")[0].attempts == 2
    Mended.so_far = True
    retried = projector.retry_parked("baskets")
    assert (retried.folded, retried.waiting) == (3, 0)
    assert shown(toys) == {"a": (4, 10), "b": (2, 30)}


def test_a_row_that_the_table_refuses_is_parked_alone(toys: World) -> None:
    toys.pen.write("toy-1", AmountPut(basket="a", amount=1), AmountPut(basket="b", amount=1))
    toys.pen.write(
        "toy-1", AmountPut(basket="a", amount=2**62), AmountPut(basket="a", amount=2**62), AmountPut(basket="b", amount=1)
    )
    projector = toys.projector(baskets())
    projector.run_until_caught_up()
    assert shown(toys) == {"a": (2, 2**62 + 1), "b": (2, 2)}
    (parked,) = projector.parked("baskets")
    assert "NumericValueOutOfRange" in parked.reason or "DataError" in parked.reason


def test_a_parked_fact_is_discarded_by_a_persons_word_only_and_kept(toys: World) -> None:
    toys.pen.write("toy-1", AmountPut(basket="a", amount=1, label=BROKEN), AmountPut(basket="a", amount=2))
    projector = toys.projector(baskets())
    projector.run_until_caught_up()
    (poison, _) = projector.parked("baskets")
    with pytest.raises(KeyError):
        projector.discard_parked("baskets", key="a", position=poison.position + 100, by="staff-1", because="typed twice")
    projector.discard_parked("baskets", key="a", position=poison.position, by="staff-1", because="typed twice")
    assert shown(toys) == {"a": (1, 2)} and projector.parked("baskets") == ()
    assert toys.rows("SELECT discarded_by, because FROM projections.discarded") == [("staff-1", "typed twice")]
    projector.rebuild("baskets")
    assert shown(toys) == {"a": (1, 2)}, "the same fold leaves it out again"


def test_a_total_stops_instead_of_counting_wrong(toys: World) -> None:
    toys.pen.write("toy-1", AmountPut(basket="a", amount=1))
    projector = toys.projector(TOTAL, baskets())
    projector.run_until_caught_up()
    toys.pen.write("toy-1", AmountPut(basket="a", amount=2, label=BROKEN), AmountPut(basket="a", amount=3))
    with pytest.raises(ProjectorStopped, match=r"total: the fact at position \d+ cannot be counted: ValueError"):
        projector.run_until_caught_up("total")
    assert toys.rows("SELECT facts FROM read.total") == [(1,)] and projector.parked("total") == ()
    (status,) = [s for s in projector.status() if s.name == "total"]
    assert status.state == "stopped" and "cannot be counted" in status.stopped_because
    Mended.so_far = True
    projector.run_until_caught_up()
    assert toys.rows("SELECT facts, amount FROM read.total") == [(3, 6)]
    assert all(s.state == "live" for s in projector.status())


def test_a_fold_at_fault_stops_instead_of_parking_everything(toys: World) -> None:
    toys.pen.write("toy-1", *(AmountPut(basket=f"b{n}", amount=1, label=BROKEN) for n in range(50)))
    projector = toys.projector(baskets(), parked_facts_max=20)
    with pytest.raises(ProjectorStopped, match="the fold is at fault"):
        projector.run_until_caught_up()
    assert projector.parked("baskets") == () and shown(toys) == {}


def test_an_outage_parks_nothing(toys: World) -> None:
    """Every connection is cut while a batch is half folded: nothing is written, nothing parked, and the next try starts over."""
    expected = put(toys, 2_000)
    cuts, armed = 0, True

    def fold_and_cut(key: str, row: toy.Basket | None, stored: StoredFact) -> toy.Basket:
        nonlocal cuts, armed
        if stored.recorded.fact.amount == 50 and armed:
            cuts, armed = cuts + 1, False
            with psycopg.connect(toys.url, autocommit=True) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                )
        return toy.fold(key, row, stored)

    model = replace(baskets(), fold=fold_and_cut)
    projector = toys.projector(model, live_facts_max=500)
    away = 0
    while True:
        try:
            projector.run_until_caught_up()
            break
        except ProjectorAway:
            away, armed = away + 1, cuts < 3
    assert away >= cuts == 3
    assert projector.parked("baskets") == ()
    assert shown(toys) == expected


def test_a_changed_fold_is_built_beside_and_then_shown(toys: World) -> None:
    expected = put(toys, 300)
    old = toys.projector(baskets())
    old.run_until_caught_up()
    new = toys.projector(baskets(version=2))
    assert shown(toys) == expected, "the old rows are shown until the new ones are there"
    new.run_until_caught_up()
    assert {s.fingerprint for s in new.status()} == {baskets(version=2).fingerprint}
    more = put(toys, 100, seed=7, baskets_max=3)
    assert old.step("baskets").overtaken, "the old program does not write any more, and does not swap back"
    new.run_until_caught_up()
    assert sum(facts for facts, _ in shown(toys).values()) == 400
    assert [s.state for s in old.status()] == ["other_program"] and [s.state for s in new.status()] == ["live"]
    assert sum(facts for facts, _ in more.values()) == 100
    old.rebuild("baskets")
    assert [s.state for s in old.status()] == ["live"], "a person may take it back"


def test_a_rebuild_goes_on_where_it_was_interrupted(toys: World) -> None:
    put(toys, 900)
    toys.projector(baskets()).run_until_caught_up()
    seen: list[int] = []

    class Interrupted(Exception):
        pass

    def progress(position: int, head: int) -> None:
        seen.append(position)
        if len(seen) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        toys.projector(baskets(), rebuild_facts_max=200).rebuild("baskets", progress=progress)
    again: list[int] = []
    toys.projector(baskets(), rebuild_facts_max=200).rebuild("baskets", progress=lambda position, head: again.append(position))
    assert again[0] > seen[-1]


def test_a_restored_log_is_projected_anew(toys: World) -> None:
    from eventlog.database import new_incarnation

    expected = put(toys, 200)
    projector = toys.projector(baskets())
    projector.run_until_caught_up()
    build: Any = projector.status()[0].build
    new_incarnation(toys.url)
    projector.run_until_caught_up()
    assert shown(toys) == expected and projector.status()[0].build != build
