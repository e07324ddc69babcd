"""Fault tests kill real processes at named points, and count: a run in which a point was never hit has tested nothing there, and
fails.

A test that kills is marked `@pytest.mark.kill_point(name)` and gives `kill_count` to its child as THROUGHLINE_KILL_COUNT.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog import killpoints


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kill_point(name): kills a child at this point (eventlog/killpoints.py)")


@pytest.fixture(scope="module")
def kill_count(ground_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The file to which each kill adds a line. After the module, every point that its tests name must have been hit."""
    file = ground_folder / f"kills-{request.module.__name__}"
    failed_before = request.session.testsfailed
    yield file
    wanted = {
        mark.args[0] for item in request.session.items if item.path == request.path for mark in item.iter_markers("kill_point")
    }
    hits = killpoints.hits(str(file))
    if request.session.testsfailed == failed_before:
        assert all(hits[point] for point in wanted), f"never hit: {sorted(point for point in wanted if not hits[point])}"
