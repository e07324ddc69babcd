"""`make bench`: run every measurement, print the table, and write it to benchmarks/out/bench.json.

Examples:  python -m benchmarks                     everything, under fifteen minutes on two cores
           python -m benchmarks --only P1 --only P4   some rows
           python -m benchmarks --json                the rows as JSON on standard output
           python -m benchmarks --markdown            the table as docs/performance.md has it

Exit codes: 0 measured (met or not), 1 a row could not be measured, 2 a wrong option.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast

import structlog
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.ground import Ground
from benchmarks.table import Row, machine, not_measured, write

OUT = Path(__file__).parent / "out" / "bench.json"


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are measured together, by `rows(ground)` of a module of this package."""

    module: str
    ids: tuple[str, ...]
    what: str


PARTS: tuple[Part, ...] = (
    Part("appends", ("P1", "P2"), "appends of many callers"),
    Part("order", ("P3",), "a reader follows while the writers are killed"),
    Part("reading", ("P4",), "a member of a thousand events is loaded and folded"),
    Part("read_models", ("P5", "P6", "P7"), "read models are rebuilt, are carried along, show what was appended"),
    Part("front_door", ("P8", "P9", "P10"), "messages come in at the front door, become facts, are seen by staff"),
    Part("simulated", ("P12",), "a year of invented members goes through the pure core"),
    Part("shell", ("P11", "P13", "P14"), "workflows are rebuilt, kept in memory, advanced"),
    Part("growth", ("P15",), "appends, loads and visible rows with ten times the events and members"),
)

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def main(
    only: Annotated[list[str] | None, typer.Option(help="Only this row; may be given several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    known = {id for part in PARTS for id in part.ids}
    for id in only or ():
        if id not in known:
            raise typer.BadParameter(f"{id} is no row; the rows are {', '.join(sorted(known))}", param_hint="--only")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # standard output is the table's
    console, about, rows = Console(stderr=True), machine(), []
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as an account without rights, which must be able to pass
        with Ground(Path(folder)) as ground:
            for part in PARTS:
                if only and not set(part.ids) & set(only):
                    continue
                began = time.monotonic()
                console.print(f"{', '.join(part.ids)}: {part.what}", style="dim")
                rows += _measured(part, ground)
                console.print(f"    {time.monotonic() - began:.0f} s", style="dim")
    if not only:
        write(rows, about, OUT)
    if as_json:
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}))  # noqa: T201
    elif as_markdown:
        print("\n".join(markdown(rows)))  # noqa: T201
    else:
        Console(width=None if console.is_terminal else 200).print(_table(rows))
    raise typer.Exit(1 if any(row.error for row in rows) else 0)


def _measured(part: Part, ground: Ground) -> list[Row]:
    """The part's rows; one error row for each that it owes, and one for what a failure left out."""
    rows: list[Row] = []
    reason, failed = "the measurement yielded no such row", False
    try:
        measure = cast("Callable[[Ground], Iterator[Row]]", import_module(f"benchmarks.{part.module}").rows)
        for row in measure(ground):
            rows.append(row)  # noqa: PERF402
    except Exception as error:
        reason, failed = f"{type(error).__name__}: {error}", True
    there = {row.id.partition("-")[0] for row in rows}
    owed = [id for id in part.ids if id not in there]
    if failed and not owed:
        owed = [f"{part.ids[-1]}-rest"]
    return rows + [not_measured(id, part.what, reason) for id in owed]


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("id", "what", "value", "unit", "reference", "its value", "ratio", "goal", "met", "spread"):
        table.add_column(head, justify="right" if head in {"value", "its value", "ratio", "spread"} else "left")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "[bold red]NO[/]"
        spread = "" if row.spread is None else f"{row.spread:.0%}"
        table.add_row(
            row.id, row.error or row.what, _figure(row.value), row.unit, row.reference, _figure(row.reference_value),
            _figure(row.ratio), row.goal or "", met, spread,
        )  # fmt: skip
    return table


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """The table's lines."""
    yield "| id | what | value | reference | ratio | goal | met | spread |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "**no**"
        cells = (
            row.id, row.error or row.what, f"{_figure(row.value)} {row.unit}", f"{row.reference}: {_figure(row.reference_value)}",
            _figure(row.ratio), row.goal or "", met, "" if row.spread is None else f"{row.spread:.0%}",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    app()
