"""Case 24, smaller: the listener is killed between the commit and the acknowledgement, again and again, in a stream of discharges.

Every message that was acknowledged is in the inbox, and each was applied once, however often its sender had to resend it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventlog import killpoints
from intake.listening.mllp import framed
from intake.store.inbox import Status
from tests.faults import kills
from tests.faults.kills import message
from tests.intake.conftest import open_world
from tests.intake.making import MARISOL

MESSAGES = 200
KILLS = 4
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.kills
@pytest.mark.slow
def test_24_every_acknowledged_message_is_kept_and_applied_once(database: str, tmp_path: Path) -> None:
    world = open_world(database)
    world.register(MARISOL)
    counted = tmp_path / "kills"
    sender = Sender(database, str(counted))
    acknowledged = asyncio.run(sender.send_all([message(n) for n in range(MESSAGES)]))
    assert killpoints.hits(str(counted))[killpoints.STORE_ACKNOWLEDGE] == KILLS
    assert len(acknowledged) == MESSAGES
    world.door.worker.work_off()
    rows = world.door.inbox.find(limit=1_000, files=False)
    assert {row.control_id for row in rows} == {f"D-{n}" for n in range(MESSAGES)}
    assert {row.status for row in rows} == {Status.APPLIED}
    assert sum(row.repeats for row in rows) == KILLS, "each kill left one message stored and not acknowledged"
    assert len(world.facts("stay-")) == MESSAGES
    world.door.close()
    world.opened.close()


@pytest.mark.kills
@pytest.mark.slow
def test_24_listener_and_appliers_are_killed_at_random(database: str) -> None:
    """The same run as `make kills`, which has 10,000 messages and 100 kills."""
    world = open_world(database)
    world.register(MARISOL)
    outcome = kills.Run(database, messages=200, kills=4, seed=2).run()
    assert sum(outcome.kills.values()) == 4 and set(outcome.kills) == {"listener", "applier"}
    kills.check(world, outcome, 200)
    world.door.close()
    world.opened.close()


class Sender:
    """A hospital: one connection at a time, resends on silence, notices a new port as it would a restarted service."""

    def __init__(self, url: str, counted: str) -> None:
        self._environment = {**os.environ, "TEST_DATABASE_URL": url, killpoints.KILL_COUNT: counted}
        self._kills_left = KILLS
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    async def send_all(self, messages: list[bytes]) -> list[bytes]:
        acknowledged = []
        self._restart()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for raw in messages:
                while True:
                    try:
                        writer.write(framed(raw))
                        said = await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 20)
                        assert b"MSA|AA|" in said
                        acknowledged.append(raw)
                        break
                    except (ConnectionError, asyncio.IncompleteReadError):
                        writer.close()
                        self._restart()
                        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.close()
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
        return acknowledged

    def _restart(self) -> None:
        if self._process is not None:
            self._process.wait(20)
        environment = dict(self._environment)
        if self._kills_left > 0:
            environment[killpoints.KILL_AT] = f"{killpoints.STORE_ACKNOWLEDGE}:{MESSAGES // (KILLS + 1)}"
            self._kills_left -= 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.front_door_process"],
            env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._port = next(int(line) for line in self._process.stdout if line.strip().isdigit())
