"""`throughline demo --exit` as a user runs it: it tells its story, ends with 0, leaves no process; a second one gives way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workers.ground.child import free_ports

MEMBERS = 6
SECONDS_MAX = 600
CHAPTERS = (
    "A health plan's member file arrives",
    "A hospital admits an enrolled member",
    "The hospital discharges",
    "A member's year: which tier, on which facts",
    "the next contact is due so many days after this one",
    "A care manager goes on leave: their members are handed over",
    "A deadline is near: what is owed until then",
    "nobody called, and the miss says why",
    "An auditor asks",
    "The story is told; everything is stopped again.",
)


def _demo(home: Path, *more: str) -> subprocess.Popen[str]:
    api, hl7, web = free_ports(3)
    ports = {"THROUGHLINE_API_PORT": api, "THROUGHLINE_HL7_PORT": hl7, "THROUGHLINE_TEMPORAL_UI_PORT": web}
    return subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "demo", "--exit", "--members", str(MEMBERS), *more],
        env={**os.environ, "THROUGHLINE_HOME": str(home), **{name: str(port) for name, port in ports.items()}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _of(home: Path) -> list[str]:
    """The processes that work in a folder."""
    named = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        said = " ".join(process.info["cmdline"] or ()) + (process.info["environ"] or {}).get("THROUGHLINE_HOME", "")
        if str(home) in said:
            named.append(said)
    return named


@pytest.mark.timeout(SECONDS_MAX)
def test_the_demo_tells_its_story_and_leaves_nothing_running(ground_folder: Path, temporal_address: str) -> None:
    # A folder whose path an unprivileged PostgreSQL can enter; the Temporal fixture says that its program is there.
    home = ground_folder / "demo-home"
    demo = _demo(home)
    while not (home / "demo" / "ground.json").exists() and demo.poll() is None:
        time.sleep(0.1)
    second = _demo(home)
    _, refused = second.communicate(timeout=60)
    told, problems = demo.communicate(timeout=SECONDS_MAX)
    assert demo.returncode == 0, problems[-2000:]
    for chapter in CHAPTERS:
        assert chapter in told
    assert "✗" not in told, "a command of the story failed"
    assert "Nothing is owed." not in told, "every chapter has something to show"
    assert "MSA|AA|" in told
    assert second.returncode == 1
    assert "A demo runs already" in refused
    assert "Ctrl-C" in refused
    assert _of(home) == []


@pytest.mark.timeout(SECONDS_MAX)
def test_a_demo_that_is_told_to_end_stops_what_it_started(ground_folder: Path, temporal_address: str) -> None:
    home = ground_folder / "demo-ended"
    demo = _demo(home)
    while not (home / "demo" / "ground.json").exists() and demo.poll() is None:
        time.sleep(0.1)
    demo.terminate()
    _, problems = demo.communicate(timeout=90)
    assert demo.returncode not in (0, None) and "Traceback" not in problems
    assert _of(home) == []
