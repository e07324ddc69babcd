"""`throughline up` as a user runs it: it comes up, says where it listens, works, and Ctrl-C ends all of it with status 0."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.surfaces.conftest import CIN, PLANTED_NAME
from workers.ground.child import free_ports, port_is_free

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
ROSTER = f"CIN,Last Name,First Name,DOB,Language,Phone\n{CIN},{PLANTED_NAME},Maria,1959-04-03,en,4155550142\n"


@dataclass
class Up:
    process: subprocess.Popen[str]
    environment: dict[str, str]
    api: str
    hl7_port: int

    def call(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workers.cli", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True, timeout=90, check=False
        )


@pytest.fixture
def up(database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path) -> Iterator[Up]:
    api_port, hl7_port, ui_port = free_ports(3)
    environment = {
        **os.environ, "DATABASE_URL": database, "KEYS_DATABASE_URL": f"{database}_keys", "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_NAMESPACE": temporal_namespace, "THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_API_PORT": str(api_port),
        "THROUGHLINE_HL7_PORT": str(hl7_port), "THROUGHLINE_TEMPORAL_UI_PORT": str(ui_port),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "up"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield Up(process, environment, f"http://127.0.0.1:{api_port}", hl7_port)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def until(up: Up, what: str, seconds: float = 90.0) -> None:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        assert up.process.poll() is None, up.process.stdout and up.process.stdout.read()
        try:
            if httpx.get(f"{up.api}{what}", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    pytest.fail(f"{what} did not answer")


def test_everything_comes_up_works_and_ends(up: Up, tmp_path: Path) -> None:
    until(up, "/readyz")
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER)
    imported = up.call("import-members", str(roster), "--json")
    assert imported.returncode == 0 and json.loads(imported.stdout)["accepted"] == 1, imported.stderr
    sent = up.call("send-hl7", "--cin", CIN, "--name", f"{PLANTED_NAME}^MARIA", "--born", "1959-04-03", "--facility", "VALLEYGEN")
    assert sent.returncode == 0 and "AA" in sent.stdout, sent.stderr
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        owed = json.loads(up.call("worklist", "--json").stdout)["items"]
        if any(item["rule"].startswith("initial_contact") and PLANTED_NAME in item["member_name"] for item in owed):
            break
    else:
        pytest.fail(f"the deadline is not on the worklist: {owed}")
    inbox = json.loads(up.call("inbox", "list", "--json").stdout)["items"]
    assert {row["status"] for row in inbox} == {"applied"}
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    output, _ = up.process.communicate(timeout=60)
    assert up.process.returncode == 0, output
    assert "HL7 listener" in output and "API" in output and "Stopped." in output and "Traceback" not in output
    assert not [child for child in children if child.is_running()]
    assert port_is_free(up.hl7_port) and "throughline staff add" in output
    logs = tmp_path / "logs"
    spans = [json.loads(line) for line in (logs / "spans.jsonl").read_text().splitlines()]
    assert {"hl7.receive", "log.append", "activity.advance"} <= {span["name"] for span in spans}
    numbers = json.loads((logs / "metrics.jsonl").read_text().splitlines()[-1])
    assert numbers["throughline.append.events"] > 3
    for file in logs.iterdir():
        for line in file.read_text().splitlines():
            json.loads(line)
        assert PLANTED_NAME.lower() not in file.read_text().lower() and CIN not in file.read_text(), file


def test_a_taken_port_is_said_with_the_remedy(up: Up) -> None:
    until(up, "/livez")
    for role in ("api", "intake"):
        second = up.call("run", role)
        assert second.returncode == 3 and "port" in second.stderr and "doctor" in second.stderr and "Traceback" not in second.stderr
