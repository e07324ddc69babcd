"""A worker that beats is alive; one that never beat or fell silent is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from workers.heartbeat import SILENCE_SECONDS_MAX, TEMPORAL, Heartbeat, beat_file, check, silence_seconds, waits_for


def test_a_worker_is_alive_while_it_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    assert (silence_seconds(tmp_path, "router"), check("router")) == (None, 1)
    Heartbeat(tmp_path, "router")()
    assert check("router") == 0
    assert check("worker") == 1
    long_ago = time.time() - SILENCE_SECONDS_MAX - 1
    os.utime(beat_file(tmp_path, "router"), (long_ago, long_ago))
    assert check("router") == 1


def test_a_beat_says_at_once_what_the_worker_waits_for_and_when_that_is_over(tmp_path: Path) -> None:
    beat = Heartbeat(tmp_path, "router")
    assert waits_for(tmp_path, "router") == ""
    for server in ("", TEMPORAL, TEMPORAL, ""):
        beat(server)
        assert waits_for(tmp_path, "router") == server
    assert silence_seconds(tmp_path, "router") is not None
