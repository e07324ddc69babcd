"""The table of measurements: its arithmetic, and that what was not measured is an error and never met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as bench
from benchmarks.ground import Ground
from benchmarks.table import (
    Measured,
    NotMeasured,
    Row,
    at_least,
    at_most,
    in_turns,
    machine,
    not_measured,
    told_only,
    within,
    write,
)

IDS = tuple(f"P{n}" for n in range(1, 16))
"""The rows that the project owes."""

HUNDRED = Measured((100.0,))


def test_a_figure_is_the_median_of_its_repeats_with_their_spread() -> None:
    measured = Measured((90.0, 120.0, 100.0))
    assert measured.median == 100.0 and measured.spread == pytest.approx(0.3)
    assert Measured((0.0,)).spread == 0.0
    with pytest.raises(AssertionError):
        Measured(())


def test_value_and_reference_are_measured_in_turns() -> None:
    said: list[str] = []

    def says(word: str, figure: float) -> float:
        said.append(word)
        return figure

    value, reference = in_turns(lambda: says("v", 2.0), lambda: says("r", 1.0))
    assert said == ["r", "v"] * 3 and value.values == (2.0,) * 3 and reference.values == (1.0,) * 3


@pytest.mark.parametrize(("value", "met"), [(24.9, False), (25.0, True), (90.0, True)])
def test_a_rate_must_reach_its_share(value: float, met: bool) -> None:
    row = at_least("P1", "what", Measured((value,)), "/s", "L1", HUNDRED, 0.25, "L1")
    assert (row.met, row.goal) == (met, ">= 0.25 L1") and row.ratio == pytest.approx(value / 100)


@pytest.mark.parametrize(("value", "met"), [(9.0, True), (10.0, True), (10.1, False)])
def test_a_cost_must_not_exceed_its_share(value: float, met: bool) -> None:
    row = at_most("P4", "what", Measured((value,)), "ms", "library", HUNDRED, 0.1, "library")
    assert (row.met, row.goal) == (met, "<= 0.1 library")


@pytest.mark.parametrize(("value", "met"), [(35.0, True), (35.1, False)])
def test_a_limit_stands_by_itself(value: float, met: bool) -> None:
    row = within("P2-p99", "what", Measured((value,)), "ms", 35, "L1", HUNDRED)
    assert (row.met, row.goal, row.reference_value) == (met, "<= 35 ms", 100.0)


def test_of_a_row_that_only_tells_nothing_is_asked() -> None:
    row = told_only("P1-alone", "what", HUNDRED, "ms", "direct", Measured((50.0,)))
    assert (row.goal, row.met, row.ratio) == (None, None, 2.0)


def test_without_a_reference_nothing_is_met() -> None:
    nothing = Measured((0.0,))
    assert at_least("P1", "what", HUNDRED, "/s", "L1", nothing, 0.0, "L1").met is False
    assert at_most("P1", "what", nothing, "/s", "L1", nothing, 1.0, "L1").met is False


def test_what_was_not_measured_is_an_error_and_not_met() -> None:
    row = not_measured("P1", "what", "pgbench is missing")
    assert row.met is False and row.error == "pgbench is missing"
    assert (row.value, row.reference_value, row.ratio, row.spread) == (None, None, None, None)


def test_the_rows_are_written_as_the_project_promises(tmp_path: Path) -> None:
    write([told_only("P1", "what", HUNDRED, "/s", "L1", HUNDRED)], machine(), tmp_path / "out" / "bench.json")
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert set(found) == {"machine", "rows"} and found["machine"]["processors"] > 0
    asked = {"id", "what", "value", "unit", "reference", "reference_value", "ratio", "goal", "met", "spread"}
    assert asked <= set(found["rows"][0])


def _part(monkeypatch: pytest.MonkeyPatch, rows: Any) -> bench.Part:
    """The part of a module of one function."""
    module = ModuleType("benchmarks.measured")
    module.rows = rows  # type: ignore[attr-defined]
    monkeypatch.setattr(bench, "import_module", lambda name: module)
    return bench.Part("measured", ("P1", "P2"), "appends")


def _measured(part: bench.Part) -> list[Row]:
    return bench._measured(part, cast("Ground", None))


def test_a_part_that_fails_owes_its_rows_still(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(ground: Ground) -> Iterator[Row]:
        yield told_only("P1-alone", "what", HUNDRED, "/s", "L1", HUNDRED)
        raise NotMeasured("pgbench is missing")

    first, owed = _measured(_part(monkeypatch, rows))
    assert first.error is None
    assert (owed.id, owed.met, owed.error) == ("P2", False, "NotMeasured: pgbench is missing")


def test_a_part_that_fails_in_its_sub_rows_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(ground: Ground) -> Iterator[Row]:
        yield told_only("P1", "what", HUNDRED, "/s", "L1", HUNDRED)
        yield told_only("P2", "what", HUNDRED, "/s", "L1", HUNDRED)
        raise NotMeasured("a process of callers ended")

    *_, last = _measured(_part(monkeypatch, rows))
    assert (last.id, last.met, last.error) == ("P2-rest", False, "NotMeasured: a process of callers ended")


def test_a_row_that_a_part_forgets_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _measured(_part(monkeypatch, lambda ground: iter(())))
    assert [(row.id, row.met, row.error) for row in rows] == [
        ("P1", False, "the measurement yielded no such row"),
        ("P2", False, "the measurement yielded no such row"),
    ]


def test_each_row_is_owed_by_one_part() -> None:
    owed = [id for part in bench.PARTS for id in part.ids]
    assert sorted(owed, key=IDS.index) == list(IDS)


@pytest.mark.parametrize("part", bench.PARTS, ids=lambda part: part.module)
def test_a_part_is_there(part: bench.Part) -> None:
    assert (Path(bench.__file__).parent / f"{part.module}.py").exists() or (Path(bench.__file__).parent / part.module).is_dir()


def test_a_row_that_does_not_exist_is_named() -> None:
    ran = CliRunner().invoke(bench.app, ["--only", "P99"])
    assert ran.exit_code == 2 and "P99 is no row" in ran.output
