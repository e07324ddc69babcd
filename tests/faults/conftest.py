"""Fault tests kill real processes at named points, and count: a run in which a point was never hit has tested nothing there.

A test that kills is marked `@pytest.mark.kill_point(name)` and gives `kill_count` to its child as THROUGHLINE_KILL_COUNT. After a
session in which all points were to be hit, one that was not makes it fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlog import killpoints

COUNT = pytest.StashKey[Path]()
WANTED = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kill_point(name): kills a child at this point (eventlog/killpoints.py)")


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[WANTED] = {mark.args[0] for item in session.items for mark in item.iter_markers("kill_point")}


@pytest.fixture(scope="session")
def kill_count(ground_folder: Path, pytestconfig: pytest.Config) -> Path:
    """The file to which each kill adds a line."""
    pytestconfig.stash[COUNT] = ground_folder / "kills"
    return pytestconfig.stash[COUNT]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    wanted, count = session.config.stash.get(WANTED, set()), session.config.stash.get(COUNT, None)
    if not wanted or count is None or exitstatus != pytest.ExitCode.OK:
        return
    hits = killpoints.hits(str(count))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("\nkill points hit: " + ", ".join(f"{point} {hits[point]}x" for point in sorted(wanted)))
    if missed := sorted(point for point in wanted if not hits[point]):
        if reporter is not None:
            reporter.write_line(f"never hit: {', '.join(missed)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
