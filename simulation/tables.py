"""A run's findings as files: one CSV a table, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from simulation.core import Promises
from simulation.findings import Caseload, Enrolments, Findings, WorkWeek


def write_tables(found: Findings, folder: Path) -> tuple[Path, ...]:
    """Every table of the findings; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _write(folder / "promises.csv", (*_names(Promises), "met"), ((*astuple(p), _blank(p.met_share)) for p in found.promises)),
        _write(folder / "contacts.csv", ("kind", "count"), found.contacts),
        _write(folder / "enrolments.csv", (*_names(Enrolments), "success"), ((*astuple(e), e.success) for e in found.enrolments)),
        _write(folder / "tiers.csv", ("tier", "members"), found.tiers),
        _write(folder / "caseloads.csv", _names(Caseload), (_flat(astuple(c)) for c in found.caseloads)),
        _write(folder / "weeks.csv", (*_names(WorkWeek), "load"), ((*astuple(w), _blank(w.load)) for w in found.weeks)),
    )


def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def _blank(value: float | None) -> Any:
    return "" if value is None else value


def _flat(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(" ".join(value) if isinstance(value, tuple) else value for value in row)


def _write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        writer.writerows(rows)
    return file
