"""A row of the table: what was measured, its reference of the same run, the ratio of both, and whether that meets the goal.

A figure is the median of its repeats; its spread is the distance between the lowest and the highest as a share of the median.
Value and reference are measured in turns, so that a machine that is busy for a while is busy for both. A row that could not be
measured is an error and never `met`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

REPEATS = 3


class NotMeasured(Exception):
    """A reference or a figure could not be measured. The text names what is missing and the remedy."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The repeats of one figure."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.values, "nothing was measured"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(highest - lowest) / median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """`ratio` is `value / reference_value`. `goal` is what is asked of it, in words; None: shown for what it tells, nothing is
    asked, and `met` is None too. `error`: why it was not measured; everything else of it is None then and `met` is False."""

    id: str
    what: str
    value: float | None
    unit: str
    reference: str
    reference_value: float | None
    ratio: float | None
    goal: str | None
    met: bool | None
    spread: float | None
    error: str | None = None


def in_turns(value: Callable[[], float], reference: Callable[[], float], *, repeats: int = REPEATS) -> tuple[Measured, Measured]:
    """Both figures, measured alternately."""
    values, references = [], []
    for _ in range(repeats):
        references.append(reference())
        values.append(value())
    return Measured(tuple(values)), Measured(tuple(references))


def at_least(
    id: str, what: str, value: Measured, unit: str, reference: str, reference_value: Measured, share: float, name: str
) -> Row:
    """A rate that must reach a share of its reference, which the goal calls by `name`."""
    told = told_only(id, what, value, unit, reference, reference_value)
    return replace(told, goal=f">= {share:g} {name}", met=told.ratio is not None and told.ratio >= share)


def at_most(
    id: str, what: str, value: Measured, unit: str, reference: str, reference_value: Measured, share: float, name: str
) -> Row:
    """A time, or another cost, that must not exceed a share of its reference, which the goal calls by `name`."""
    told = told_only(id, what, value, unit, reference, reference_value)
    return replace(told, goal=f"<= {share:g} {name}", met=told.ratio is not None and told.ratio <= share)


def within(id: str, what: str, value: Measured, unit: str, limit: float, reference: str, reference_value: Measured) -> Row:
    """A figure that must not exceed a fixed limit; the reference says what the machine was worth meanwhile."""
    told = told_only(id, what, value, unit, reference, reference_value)
    return replace(told, goal=f"<= {limit:g} {unit}", met=value.median <= limit)


def told_only(id: str, what: str, value: Measured, unit: str, reference: str, reference_value: Measured) -> Row:
    """A figure of which nothing is asked."""
    ratio = value.median / reference_value.median if reference_value.median else None
    return Row(id, what, value.median, unit, reference, reference_value.median, ratio, None, None, value.spread)


def not_measured(id: str, what: str, error: str) -> Row:
    return Row(id, what, None, "", "", None, None, "to be measured", False, None, error)


def machine() -> dict[str, Any]:
    """What the figures were measured on, as far as that says something to others."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write(rows: Sequence[Row], about: dict[str, Any], path: Path) -> None:
    """The rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
