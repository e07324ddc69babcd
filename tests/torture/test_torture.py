"""A short run with a fixed seed: every kind of fault, every kill point, every check; and a run that is told to stop leaves nothing.

It ends as soon as each fault was done: about a minute on an idle machine, and at the latest after `MINUTES`.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from eventlog import killpoints
from tests.torture.chaos import KINDS
from tests.torture.checks import CHECKS
from tests.torture.deeds import message_of
from tests.torture.script import MESSAGES, make_script, start_after

ROOT = Path(__file__).resolve().parents[2]
SEED, MINUTES, MEMBERS, DAYS = 20270301, 4.0, 24, 24
STOP_SECONDS_MAX = 90.0
STARTED_IN = re.compile(r"throughline-torture-\w+")


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "tests.torture", "--seed", str(SEED), "--members", str(MEMBERS), "--days", str(DAYS), *flags]


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.temporal
@pytest.mark.timeout(MINUTES * 60 + STOP_SECONDS_MAX)
def test_whatever_breaks_nothing_is_lost_doubled_or_judged_otherwise() -> None:
    flags = ("--minutes", str(MINUTES), "--short", "--json")
    ran = subprocess.run(command(*flags), cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr[-2_000:]
    report = json.loads(ran.stdout)
    assert report["findings"] == [] and ran.returncode == 0, f"seed {SEED}: {ran.stdout[-4_000:]}"
    assert set(report["faults"]) == set(KINDS) and all(report["faults"].values())
    assert set(report["kill_points"]) == set(killpoints.POINTS) and all(report["kill_points"].values())
    assert {check["check"] for check in report["checks"]} == set(CHECKS) and all(check["looked_at"] for check in report["checks"])


@pytest.mark.slow
@pytest.mark.temporal
@pytest.mark.timeout(3 * STOP_SECONDS_MAX)
def test_a_run_that_is_told_to_stop_ends_whatever_it_started() -> None:
    run = subprocess.Popen(command("--minutes", "5"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert run.stderr is not None
        home = next(found[0] for line in run.stderr if (found := STARTED_IN.search(line)))
        next(line for line in run.stderr if "days;" in line)
        assert living_in(home)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=STOP_SECONDS_MAX)
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    assert run.returncode == 1
    assert living_in(home) == []
    assert not Path(tempfile.gettempdir(), home).exists()


def living_in(home: str) -> list[int]:
    """The processes that were started with a run's home folder in their command line or environment."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            words = [*(process.info["cmdline"] or ()), *process.environ().values()]
        except psutil.Error:
            continue
        if any(home in word for word in words):
            found.append(process.pid)
    return found


def test_a_seed_tells_the_same_story_each_time() -> None:
    start = start_after(datetime(2026, 11, 22, tzinfo=UTC))
    one, again, other = (make_script(seed, 40, 24, start) for seed in (7, 7, 8))
    assert one == again and one.happenings != other.happenings
    messages = [h for h in one.happenings if h.what in MESSAGES]
    assert [message_of(h, one) for h in messages] == [message_of(h, again) for h in messages]
    assert len({message_of(h, one) for h in messages}) == len(messages) > 10
    assert len({h.id for h in one.happenings}) == len(one.happenings)


def test_a_run_begins_ahead_of_the_machine_on_a_monday_of_march() -> None:
    for now in (datetime(2026, 11, 22, tzinfo=UTC), datetime(2027, 3, 1, 14, tzinfo=UTC), datetime(2030, 7, 1, tzinfo=UTC)):
        start = start_after(now)
        assert start > now + timedelta(days=1) and (start.isoweekday(), start.month) == (1, 3) and start.day <= 7
