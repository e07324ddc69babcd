"""A file whose importer dies in its middle goes on exactly where it stopped: every row once, told as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.episode.facts import AssignmentReceived
from domain.member.facts import ContactPointLearned, MemberRegistered
from intake.files.lines import BATCH_MAX, Rows
from intake.store.inbox import Status
from tests.intake.conftest import World, open_world
from tests.intake.making import Person

ROOT = Path(__file__).resolve().parents[2]
ROWS = 5 * BATCH_MAX
PEOPLE = [
    Person(cin=f"9{n:07d}A", family=f"Family{chr(65 + n % 26)}{chr(97 + n // 26)}", phone=f"661-555-{1000 + n}")
    for n in range(ROWS)
]
IMPORTER = """
import os, sys
from tests.faults.test_plan_files import PEOPLE
from tests.intake.conftest import open_world
def told(done, of):
    sys.stdout.write(f"{done}\\n"); sys.stdout.flush()
open_world(os.environ["TEST_DATABASE_URL"]).register(*PEOPLE, progress=told)
"""


@pytest.fixture
def world(database: str) -> Iterator[World]:
    world = open_world(database)
    yield world
    world.door.close()
    world.opened.close()


def check(world: World) -> None:
    """The file is imported by whoever comes next; afterwards nothing shows that somebody died."""
    receipt = world.register(*PEOPLE)
    assert (receipt.rows, receipt.accepted, receipt.duplicate) == (ROWS, ROWS, False)
    facts = world.facts()
    for kind in (MemberRegistered, AssignmentReceived, ContactPointLearned):
        assert len([f for f in facts if isinstance(f, kind)]) == ROWS, kind.__name__
    lines = world.door.inbox.find(part_of=receipt.file_id, limit=ROWS)
    assert {line.status for line in lines} == {Status.APPLIED} and len(lines) == ROWS
    assert all(world.caused(line) for line in lines[:: BATCH_MAX // 2]), "each row names the facts that it led to"
    assert world.register(*PEOPLE).duplicate


@pytest.mark.kills
def test_an_importer_that_is_killed(world: World, database: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", IMPORTER],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": database},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert [child.stdout.readline().strip() for _ in range(2)] == [str(BATCH_MAX), str(2 * BATCH_MAX)]
    child.kill()
    child.wait()
    check(world)


def test_an_importer_that_dies_between_the_log_and_the_inbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of a batch are recorded, and that its rows led to them is not written down any more."""

    class DiedError(BaseException):
        pass

    died = []

    def die(self: Rows, said: object) -> None:
        died.append(said)
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "keep", die)
        with pytest.raises(DiedError):
            world.register(*PEOPLE)
    assert died and len([f for f in world.facts("member-") if isinstance(f, MemberRegistered)]) == BATCH_MAX
    check(world)
