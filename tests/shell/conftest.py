"""Fixtures of the shell's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.shell.world import Post, World, settings_for, system_for, world_of


@pytest.fixture
async def world(database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    """The real programme on a fresh log and a fresh namespace, with the default policy adopted."""
    post = Post()
    with system_for(settings_for(database, temporal_address, temporal_namespace, tmp_path), post) as system:
        there = await world_of(system, post)
        there.adopt()
        yield there
