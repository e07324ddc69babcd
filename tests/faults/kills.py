"""Case 24 of messages.md 6: messages without end while the listener and the appliers are killed at random, again and again.

    make kills FLAGS="--seed 7 --messages 10000 --kills 100"

Hospitals resend on silence. At the end every acknowledged message is in the inbox, and each was applied once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from intake.listening.mllp import framed
from intake.store.inbox import Status
from tests.intake.conftest import World, open_world
from tests.intake.making import MARISOL, adt
from workers.ground.child import free_ports

ROOT = Path(__file__).resolve().parents[2]
HOSPITALS = 4
WINDOW = 8
"""Messages under way on a connection."""
ANSWER_SECONDS = 20.0
SETTLED_SECONDS = 120.0


def message(n: int) -> bytes:
    """Two discharges of each visit, each of which says something else."""
    return adt(
        "A03", control_id=f"D-{n}", visit=f"V-{n // 2}", sent=f"20260310150{n % 10}00", discharged=f"202603101{n % 4}{n % 60:02d}00"
    ).encode()


@dataclass
class Part:
    """A process of the front door, and how often it was killed."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    kills: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.front_door_process", *self.arguments],
            env=self.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass
class Outcome:
    """What a run came to. `sent`: with every resend."""

    acknowledged: set[int] = field(default_factory=set)
    sent: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Run:
    """Hospitals, the front door's processes, and whoever kills them."""

    def __init__(self, url: str, *, messages: int, kills: int, seed: int) -> None:
        chance = random.Random(seed)
        (self._port,) = free_ports(1)
        environment = {**os.environ, "TEST_DATABASE_URL": url}
        self._parts = [
            Part("listener", ("listen", str(self._port)), environment),
            *(Part("applier", ("apply",), environment) for _ in range(2)),
        ]
        self._messages = messages
        self._kill_at = sorted(chance.sample(range(1, messages), kills))
        self._victims = [chance.choice(self._parts) for _ in range(kills)]
        self._one_at_a_time = asyncio.Lock()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        began = time.monotonic()
        for part in self._parts:
            part.start()
        try:
            asyncio.run(self._send_all())
        finally:
            for part in self._parts:
                part.kill()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    async def _send_all(self) -> None:
        await asyncio.gather(*(self._hospital(range(n, self._messages, HOSPITALS)) for n in range(HOSPITALS)))
        assert not self._kill_at, "every kill fell into the stream"

    async def _hospital(self, numbers: range) -> None:
        """Sends its messages in order, several under way; whatever was not acknowledged when a connection ends is sent again."""
        waiting = list(numbers)
        while waiting:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionError:
                await asyncio.sleep(0.05)
                continue
            try:
                while waiting:
                    window = waiting[:WINDOW]
                    writer.write(b"".join(framed(message(n)) for n in window))
                    self.outcome.sent += len(window)
                    for n in window:
                        said = await asyncio.wait_for(reader.readuntil(b"\x1c\r"), ANSWER_SECONDS)
                        assert f"MSA|AA|D-{n}\r".encode() in said, "an answer to another message"
                        waiting.remove(n)
                        self.outcome.acknowledged.add(n)
                        await self._kill_if_due()
            except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.sleep(0.02)
            finally:
                writer.close()

    async def _kill_if_due(self) -> None:
        async with self._one_at_a_time:
            while self._kill_at and len(self.outcome.acknowledged) >= self._kill_at[0]:
                alive = (part.process is not None and part.process.poll() is None for part in self._parts)
                assert all(alive), "one died without being killed"
                self._kill_at.pop(0)
                victim = self._victims.pop()
                await asyncio.to_thread(victim.kill)
                victim.kills += 1
                self.outcome.kills[victim.name] += 1
                victim.start()


def check(world: World, run: Outcome, messages: int) -> None:
    """Nothing acknowledged is missing, and nothing was applied twice."""
    give_up = time.monotonic() + SETTLED_SECONDS
    while world.door.worker.work_off() or world.door.inbox.has_work(world.clock.now()):
        assert time.monotonic() < give_up, "messages stay in work"
    with world.door.inbox.pool.connection() as conn:
        rows = conn.execute("SELECT control_id, status, reason, attempts FROM intake.inbox WHERE transport = 'mllp'").fetchall()
    assert run.acknowledged == set(range(messages))
    assert Counter(row[0] for row in rows) == Counter(f"D-{n}" for n in range(messages)), "one row each"
    assert {row[1] for row in rows} == {Status.APPLIED.value}, Counter((row[1], row[2]) for row in rows)
    assert {row[3] for row in rows} == {1}, "whoever is killed has not tried: no message was at fault"
    told = [fact.order for fact in world.facts("stay-")]
    assert len(told) == len(set(told)) == messages, "one fact each"


def main() -> int:
    asked = argparse.ArgumentParser(prog="make kills FLAGS=…", description="Messages under random kills of the front door.")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--messages", type=int, default=10_000)
    asked.add_argument("--kills", type=int, default=100)
    said = asked.parse_args()
    from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database, with_database

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres", settings=FOR_TESTS).start()
        try:
            url = with_database(server.url(), "kills")
            ensure_database(url)
            ensure_database(url + "_keys")
            world = open_world(url)
            world.register(MARISOL)
            outcome = Run(url, messages=said.messages, kills=said.kills, seed=said.seed).run()
            check(world, outcome, said.messages)
            world.door.close()
            world.opened.close()
        finally:
            server.stop()
    print(
        f"{said.messages} messages, {outcome.sent} sent with resends, {sum(outcome.kills.values())} kills {dict(outcome.kills)} in "
        f"{outcome.seconds:.0f} s: all acknowledged, all in the inbox, each applied once"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
