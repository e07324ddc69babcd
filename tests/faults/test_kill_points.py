"""A router or worker dies between two steps that belong together, for real; afterwards the log says what it would have said anyway,
and nothing was sent twice that must not be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from domain.core import ProcessRef
from domain.requests import DeliveryBegun, DeliveryOutcomeUnknown, MessageSent
from eventlog import killpoints
from tests.faults.hasty import HastyOutreach
from tests.faults.program import IDEMPOTENT, LEDGER, Ledger
from tests.shell.world import Post, World, settings_for, system_for, until, world_of
from workers.programme import the_programme
from workflows.transition import Transition

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.anyio]

AT_ONCE = {
    "begins = 20:00:00\nends = 08:00:00": "begins = 00:00:00\nends = 00:00:00",
    'opens_day = 1\ndue_day = 3\nchannel = "text"': 'opens_day = 0\ndue_day = 3\nchannel = "text"',
}
"""No quiet hours, and a text on the first day: the message goes out while the test watches."""

USUAL = ["OutreachOpened", "DueSet", "DueSet", "DueSet", "MessageRequested", "DeliveryBegun"]


@pytest.fixture
def idempotent() -> bool:
    """Whether the channel honours keys."""
    return True


@pytest.fixture
async def world(
    database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path, idempotent: bool
) -> AsyncIterator[World]:
    """As the child has it: the hasty workflow, the ledger as channel."""
    programme = replace(the_programme(), workflows=(HastyOutreach, Transition))
    settings = settings_for(database, temporal_address, temporal_namespace, tmp_path)
    with system_for(settings, Ledger(tmp_path / "ledger", idempotent), programme) as system:
        there = await world_of(system, Post())
        there.adopt(**AT_ONCE)
        yield there


@contextmanager
def child(
    world: World, role: str, home: Path, *, kill_at: str = "", count: Path, idempotent: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """A router or worker of its own; ended with the test."""
    settings = world.system.settings
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": settings.database_url or "",
        "KEYS_DATABASE_URL": settings.keys_database_url or "",
        "TEMPORAL_ADDRESS": settings.temporal_address or "",
        "TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "THROUGHLINE_HOME": str(home),
        LEDGER: str(home / "ledger"),
        IDEMPOTENT: "yes" if idempotent else "no",
        killpoints.KILL_AT: kill_at,
        killpoints.KILL_COUNT: str(count),
    }
    log = (home / f"{role}.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.program", role], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


async def killed(process: subprocess.Popen[bytes]) -> None:
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL, "it was to die of its kill point"


def ledger(home: Path) -> Counter[str]:
    file = home / "ledger"
    return Counter(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else Counter()


def outcomes(world: World, outreach: ProcessRef) -> bool:
    names = world.facts(outreach)
    return any(name in names for name in ("MessageSent", "DeliveryOutcomeUnknown"))


@pytest.mark.parametrize(
    ("point", "role"),
    [
        pytest.param(point, role, marks=pytest.mark.kill_point(point), id=point)
        for point, role in (
            (killpoints.LOAD_APPEND, "worker"),
            (killpoints.BEGUN_SEND, "worker"),
            (killpoints.SEND_OUTCOME, "worker"),
            (killpoints.SIGNAL_TRACKING, "router"),
        )
    ],
)
async def test_whoever_dies_leaves_nothing_undone_and_nothing_doubled(
    world: World, tmp_path: Path, kill_count: Path, idempotent: bool, point: str, role: str
) -> None:
    outreach = world.assign(world.member())
    worker_dies = role == "worker"
    async with world.running(router=worker_dies, worker=not worker_dies):
        with child(world, role, tmp_path, kill_at=point, count=kill_count, idempotent=idempotent) as doomed:
            await killed(doomed)
        async with world.running(router=not worker_dies, worker=worker_dies):
            await until(lambda: outcomes(world, outreach), 40)
            await world.settled(outreach)
    names = world.facts(outreach)
    assert names[: len(USUAL)] == USUAL and names.count("MessageSent") == 1, names
    begun, sent = world.facts(outreach, DeliveryBegun), world.facts(outreach, MessageSent)
    assert len(begun) == len(sent) == 1
    handed_over = ledger(tmp_path)
    assert len(handed_over) == 1, "one key, however often it was handed over to a channel that honours keys"
    assert max(handed_over.values()) == (2 if point == killpoints.SEND_OUTCOME else 1)


@pytest.mark.parametrize("idempotent", [False])
@pytest.mark.kill_point(killpoints.SEND_OUTCOME)
async def test_what_may_have_been_sent_is_not_sent_again_where_twice_is_twice(
    world: World, tmp_path: Path, kill_count: Path
) -> None:
    outreach = world.assign(world.member())
    async with world.running(worker=False):
        with child(world, "worker", tmp_path, kill_at=killpoints.SEND_OUTCOME, count=kill_count, idempotent=idempotent) as doomed:
            await killed(doomed)
        async with world.running(router=False):
            await until(lambda: outcomes(world, outreach), 40)
            await world.settled(outreach)
    assert len(world.facts(outreach, DeliveryOutcomeUnknown)) == 1
    assert list(ledger(tmp_path).values()) == [1]


def test_every_kill_point_has_a_test_that_dies_there() -> None:
    """Names in the sources of the fault tests; that each was really hit is counted (conftest.py, and in the tests themselves)."""
    names = {name for name, value in vars(killpoints).items() if value in killpoints.POINTS}
    assert len(names) == len(killpoints.POINTS)
    sources = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert not {name for name in names if f"killpoints.{name}" not in sources}
