"""The programme is started while Temporal cannot be reached: hospitals are answered at once, and the rest comes up by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.faults.relay import Relay
from tests.shell.world import Post, settings_for, system_for, until, world_of
from tests.surfaces.conftest import CIN, PLANTED_NAME
from workers import temporal_worker
from workers.ground.child import free_ports
from workers.ground.postgres import FOR_TESTS, PostgresServer
from workers.ground.temporal import TemporalServer, begin_temporal
from workers.ground.temporal_program import find_program
from workers.temporal_worker import run_worker

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
ROSTER = f"CIN,Last Name,First Name,DOB,Language,Phone\n{CIN},{PLANTED_NAME},Maria,1959-04-03,en,4155550142\n"
WAIT_SECONDS = 90.0


@dataclass
class Started:
    """`throughline up`, or one role, in a process of its own, with an address of Temporal on which nothing listens yet."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    relay: Relay

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environment['THROUGHLINE_API_PORT']}"

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workers.cli", *words]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=90, check=False)

    def hears(self) -> bool:
        """Whether a hospital's admission is acknowledged now."""
        sent = self.call(
            "send-hl7", "--cin", CIN, "--name", f"{PLANTED_NAME}^MARIA", "--born", "1959-04-03", "--facility", "VALLEYGEN"
        )
        return "AA" in sent.stdout

    def checks(self) -> dict[str, dict[str, str]]:
        return {check["name"]: check for check in json.loads(self.call("doctor", "--json").stdout)}

    def until(self, what: str, holds: Callable[[], object]) -> None:
        give_up = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.process.communicate()[0]
            if holds():
                return
            time.sleep(0.2)
        pytest.fail(f"{what}: not so after {WAIT_SECONDS:.0f} s")


@pytest.fixture
def start(database: str, temporal_address: str, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    running: list[Started] = []

    def started(*words: str) -> Started:
        relay = Relay(temporal_address)
        api_port, hl7_port, ui_port = free_ports(3)
        environment = {
            **os.environ, "DATABASE_URL": database, "KEYS_DATABASE_URL": f"{database}_keys", "TEMPORAL_ADDRESS": relay.address,
            "TEMPORAL_NAMESPACE": f"away-{uuid4().hex[:12]}", "THROUGHLINE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1",
            "THROUGHLINE_API_PORT": str(api_port), "THROUGHLINE_HL7_PORT": str(hl7_port),
            "THROUGHLINE_TEMPORAL_UI_PORT": str(ui_port),
        }  # fmt: skip
        command = [sys.executable, "-m", "workers.cli", *words]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        running.append(Started(process, environment, relay))
        return running[-1]

    yield started
    for each in running:
        each.relay.cut()
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait(30)


def test_hospitals_are_answered_without_temporal_and_deadlines_follow_once_it_is_there(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    up = start("up")
    up.until("the admission of somebody unknown is acknowledged", up.hears)
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    assert json.loads(up.call("import-members", str(roster), "--json").stdout)["accepted"] == 1
    assert up.hears()
    up.until("what was acknowledged is applied", lambda: _statuses(up) == {"applied"})

    ready = httpx.get(f"{up.api}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "waiting"), "the hospitals' HTTP door stays in front of its clients"
    assert not ready.json()["dependencies"]["temporal"]["ready"]
    found = up.checks()
    assert found["temporal"]["status"] == "fail" and "hospitals are answered" in found["temporal"]["remedy"]
    for role in ("worker", "router"):
        assert found[role]["status"] == "warn" and "waits for Temporal" in found[role]["found"], found[role]
    assert found["intake"]["status"] == found["projector"]["status"] == "ok"
    time.sleep(2 * temporal_worker.AWAY_SECONDS)
    assert up.process.poll() is None

    up.relay.open()
    up.until("the deadline is on the worklist", lambda: any(r.startswith("initial_contact") for r in _owed(up)))
    up.until("all is ready", lambda: httpx.get(f"{up.api}/readyz").json()["status"] == "ready")
    up.until("nobody waits", lambda: {up.checks()[role]["status"] for role in ("worker", "router")} == {"ok"})
    up.process.send_signal(signal.SIGINT)
    output, _ = up.process.communicate(timeout=60)
    assert up.process.returncode == 0 and "Traceback" not in output, output
    logged = [json.loads(line) for line in (tmp_path / "logs" / "up.jsonl").read_text().splitlines()]
    assert any(line.get("waiting_for") == "temporal" for line in logged)


def _statuses(up: Started) -> set[str]:
    return {row["status"] for row in json.loads(up.call("inbox", "list", "--json").stdout)["items"]}


def _owed(up: Started) -> list[str]:
    return [item["rule"] for item in json.loads(up.call("worklist", "--json").stdout)["items"]]


def test_a_worker_alone_says_that_it_waits_and_ends_when_it_is_told_to(start: Callable[..., Started]) -> None:
    worker = start("run", "worker")
    output = worker.process.stdout
    assert output is not None
    said = iter(output.readline, "")
    line = next(line for line in said if "does not answer" in line)
    assert worker.relay.address in line and "TEMPORAL_ADDRESS" in line
    worker.relay.open()
    next(line for line in said if "answers." in line and worker.relay.address in line)
    worker.until("it works", lambda: worker.checks()["worker"]["found"].startswith("alive") and _works(worker))
    worker.relay.cut()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0


def test_a_front_door_alone_knows_the_plans_before_any_worker_ever_ran(start: Callable[..., Started], tmp_path: Path) -> None:
    door = start("run", "intake")
    door.until("an admission is acknowledged", door.hears)
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    loaded = door.call("import-members", str(roster), "--plan", "default", "--json")
    assert json.loads(loaded.stdout)["accepted"] == 1, loaded.stderr


def _works(worker: Started) -> bool:
    return "waits" not in worker.checks()["worker"]["found"]


@pytest.mark.anyio
async def test_a_temporal_that_goes_away_between_two_steps_of_the_start_ends_nothing(
    database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, ensured = Relay(temporal_address), temporal_worker.ensure_schedule
    flaws = [relay.cut]

    async def ensure_and_cut(client: temporal_worker.Client) -> None:
        await ensured(client)
        if flaws:
            flaws.pop()()

    monkeypatch.setattr(temporal_worker, "ensure_schedule", ensure_and_cut)
    waited: list[str] = []
    relay.open()
    with system_for(settings_for(database, temporal_address, temporal_namespace, tmp_path), Post()) as system:
        world = await world_of(system, Post())
        world.adopt()
        process = world.assign(world.member())
        through = settings_for(database, relay.address, temporal_namespace, tmp_path)
        stop = asyncio.Event()
        with system_for(through, Post()) as there:
            working = asyncio.create_task(run_worker(there, stop, beat=lambda waits_for="": waited.append(waits_for)))
            await until(lambda: not flaws and (working.done() or "Temporal" in waited), 90)
            assert not working.done(), working.exception()
            relay.open()
            async with world.running(worker=False):
                await world.settled(process, seconds=60)
            stop.set()
            await working
    relay.cut()


def test_a_server_that_is_on_its_way_out_is_not_waited_for(ground_folder: Path) -> None:
    """Whoever is started right after a crash finds the servers of the one before still ending."""
    postgres = PostgresServer(ground_folder / "postgres-ending", settings=FOR_TESTS).start()
    temporal = TemporalServer(ground_folder / "ending" / "temporal", program=find_program(at_once=True)).start()
    ended = [postgres, temporal]
    assert postgres.pid is not None and temporal.pid is not None
    os.kill(postgres.pid, signal.SIGSTOP)
    os.kill(temporal.pid, signal.SIGSTOP)
    later = threading.Timer(1.0, lambda: [server.kill() for server in ended])  # type: ignore[attr-defined]
    later.start()
    second = PostgresServer(ground_folder / "postgres-ending", settings=FOR_TESTS)
    ground = begin_temporal(ground_folder / "ending", address=None)
    try:
        began = time.monotonic()
        assert second.start().owned
        asyncio.run(ground.answers())
        assert time.monotonic() - began < 30
        assert ground.server is not None and ground.server.owned and ground.server.address == ground.address
    finally:
        later.join()
        second.stop()
        ground.stop()
