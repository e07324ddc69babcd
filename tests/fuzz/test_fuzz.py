"""A short run of the fuzzer, every crash that it ever found, and whether it would find one."""

from __future__ import annotations

from pathlib import Path

import pytest

import intake
from tests.fuzz.loop import CRASHES, fuzz, smaller
from tests.fuzz.targets import TARGETS

FOLDER = Path(intake.__file__).parent
EXECUTIONS = 500
"""The same ones on every machine, however busy it is; `make fuzz` goes on by the clock."""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_that_comes_in_breaks_what_reads_it(name: str) -> None:
    target, seeds = TARGETS[name]
    found = fuzz(target, seeds, seed=20261122, seconds=60.0, folder=FOLDER, executions=EXECUTIONS)
    assert [(type(failure).__name__, str(failure), raw) for raw, failure in found.crashes] == []
    assert found.executions == EXECUTIONS and found.corpus > 1


@pytest.mark.parametrize("file", sorted(CRASHES.glob("*.bin")), ids=lambda file: file.stem)
def test_what_once_crashed_does_so_no_more(file: Path) -> None:
    target, _ = TARGETS[file.stem.partition("-")[0]]
    target(file.read_bytes())


def test_the_fuzzer_is_not_blind(tmp_path: Path) -> None:
    """It finds its way, byte by byte, to a crash that chance alone would not: each step is rewarded with new lines."""
    steps = [f"{'    ' * (n + 1)}if raw[{n}:{n + 1}] == {bytes((wanted,))!r}:" for n, wanted in enumerate(b"|^~&")]
    code = "\n".join(["def planted(raw):", *steps, "    " * 5 + "raise KeyError('found')", ""])
    space: dict[str, object] = {}
    exec(compile(code, str(tmp_path / "planted.py"), "exec"), space)
    planted = space["planted"]
    found = fuzz(planted, (b"MSH",), seed=3, seconds=20.0, folder=tmp_path, executions=60_000)  # type: ignore[arg-type]
    ((raw, failure),) = found.crashes
    assert isinstance(failure, KeyError)
    assert smaller(planted, raw, KeyError) == b"|^~&"  # type: ignore[arg-type]
