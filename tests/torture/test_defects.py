"""Eight planted defects, and the check that catches each; the same short run without the defect finds nothing.

The defects are planted into the processes of the run (tests/torture/defects.py); the checks are those of every run.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from eventlog import killpoints
from tests.torture import checks, members, targeted
from tests.torture.options import Finding, Run
from tests.torture.targeted import START, place

pytestmark = pytest.mark.kills

LOG = ("positions", "facts", "steps", "told", "hash chains", "deliveries", "consent")


def findings(run: Run, *names: str) -> list[Finding]:
    """What the checks found. One that could not be made has noticed nothing."""
    found = [finding for checked in checks.run(run, *names) for finding in checked.findings]
    assert not [finding for finding in found if finding.what.startswith(checks.NOT_MADE)], found
    return found


def named(run: Run, *names: str) -> set[str]:
    """The checks that found something."""
    return {finding.check for finding in findings(run, *names)}


def contended(database: str, home: Path, defect: str) -> set[str]:
    there = place(database, home, defect=defect)
    assert there.do("contend") == 0, (home / "contend.log").read_text()[-2000:]
    return named(there.finished(members.instant(START, targeted.CONTENDED_AT)), *LOG)


@pytest.mark.parametrize(
    ("defect", "caught"),
    [("", set()), ("skip-a-lock", {"consent"}), ("ignore-read-versions", {"consent"}), ("drop-the-duplicate-check", {"facts"})],
)
def test_many_at_the_same_moment(database: str, tmp_path: Path, defect: str, caught: set[str]) -> None:
    assert caught <= (found := contended(database, tmp_path, defect)) and bool(found) == bool(defect), found


@pytest.mark.parametrize(("defect", "caught"), [("", set()), ("resend-after-an-unknown-outcome", {"deliveries"})])
def test_death_between_the_hand_over_and_its_outcome(database: str, tmp_path: Path, defect: str, caught: set[str]) -> None:
    there = place(database, tmp_path, defect=defect)
    assert there.do("warn") == 0
    for _ in range(3):
        armed = {killpoints.KILL_AT: killpoints.SEND_OUTCOME, killpoints.KILL_COUNT: str(tmp_path / "kills")}
        assert there.do("send", **armed) == -signal.SIGKILL
    assert there.do("send") == 0
    assert killpoints.hits(str(tmp_path / "kills"))[killpoints.SEND_OUTCOME] == 3
    found = named(there.finished(members.instant(START, targeted.WARNED_AT)), "facts", "steps", "hash chains", "deliveries")
    assert found == caught


@pytest.mark.parametrize(("defect", "caught"), [("", set()), ("acknowledge-before-storing", {"messages"})])
def test_death_between_storing_and_acknowledging(database: str, tmp_path: Path, defect: str, caught: set[str]) -> None:
    there = place(database, tmp_path, defect=defect)
    armed = {killpoints.KILL_AT: f"{killpoints.STORE_ACKNOWLEDGE}:9", killpoints.KILL_COUNT: str(tmp_path / "kills")}
    targeted.hospital(there, 3, **armed)
    assert killpoints.hits(str(tmp_path / "kills"))[killpoints.STORE_ACKNOWLEDGE] >= 1
    assert named(there.finished(START), "facts", "hash chains", "messages") == caught


@pytest.mark.parametrize(("defect", "caught"), [("", set()), ("track-before-writing", {"read models"})])
def test_connections_cut_while_read_models_go_forward(database: str, tmp_path: Path, defect: str, caught: set[str]) -> None:
    there = place(database, tmp_path, defect=defect)
    assert named(there.finished(targeted.cut(there)), "read models") == caught


@pytest.mark.temporal
@pytest.mark.parametrize(
    ("deed", "defect"), [("close", ""), ("close", "forget-the-position-at-done"), ("drop", ""), ("drop", "forget-the-reconcile")]
)
def test_news_while_a_process_closes_and_news_that_never_comes(
    database: str, tmp_path: Path, temporal_address: str, temporal_namespace: str, deed: str, defect: str
) -> None:
    there = place(database, tmp_path, defect=defect, address=temporal_address, namespace=temporal_namespace)
    assert there.do(deed) == 0, (tmp_path / f"{deed}.log").read_text()[-2000:]
    found = findings(there.finished(members.instant(START, targeted.CONTENDED_AT)), "steps", "wake-ups", "re-planned", "verdicts")
    if not defect:
        assert found == []
    assert bool(defect) == any(f.check == "wake-ups" and f.what.startswith("behind") for f in found), found
