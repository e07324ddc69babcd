"""What became of a plan's file, row by row, in words that the plan can act on: the sheet's row, what is wrong, what to do.

A report names no person: whoever has the file has the row. It is made from what stands in the inbox now, so a row that waited and
was settled since is told as settled.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from intake.files.lines import TOLD_MAX, UNCHANGED, Lines, Told
from intake.files.memberfile import RowProblem
from intake.store.inbox import Status


class Outcome(StrEnum):
    """What became of a row. The four add up to all rows of a file."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    WAITING = "waiting"


OUTCOMES: Final[Mapping[Status, Outcome]] = {
    Status.APPLIED: Outcome.ACCEPTED,
    Status.DUPLICATE: Outcome.UNCHANGED,
    Status.DEAD: Outcome.REJECTED,
    Status.IGNORED: Outcome.REJECTED,
    Status.WAITING: Outcome.WAITING,
    Status.UNMATCHED: Outcome.WAITING,
    Status.RECEIVED: Outcome.WAITING,
}

_WORDS: Final = {
    "retrying": ("something of ours failed on it", "nothing: it is tried again by itself"),
    "gave_up": ("something of ours failed on it again and again", "nothing: we look into it"),
    "left_out_of_later_roster": ("a later full roster of yours leaves them out", "nothing: see that file's report"),
    "superseded_by_later_file": ("a later file of yours has it again", "nothing: see that file's report"),
    "bytes_erased": ("what it said was destroyed", "send it again if it still holds"),
    "taken_up_again": ("what it waited for has come", "nothing: it is worked off by itself"),
    "member_became_known": ("the member became known", "nothing: it is worked off by itself"),
}
"""What rows are told of that have no problem of their own, and what is to be done."""


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One thing to know of one row; a row without anything to know has one line too."""

    row: int
    outcome: Outcome
    field: str
    reason: str
    remedy: str


def lines_of(lines: Lines, file: UUID, *, after: int = 0, only_remarkable: bool = False) -> Iterator[ReportLine]:
    """The report of a file below a line, in the sheet's order."""
    while some := lines.told(file, after=after, only_remarkable=only_remarkable):
        for told in some:
            yield from of_row(told)
        after = some[-1].line
        if len(some) < TOLD_MAX:
            return


def of_row(told: Told) -> Iterator[ReportLine]:
    return said_of(told.line, told.status, told.reason, told.outcome)


def said_of(row: int, status: Status, reason: str, outcome: Mapping[str, Any]) -> Iterator[ReportLine]:
    """What is to be known of a row that stands in a state."""
    which = OUTCOMES[status]
    settled = outcome.get("problems" if which in (Outcome.REJECTED, Outcome.WAITING) else "notes", ())
    if reason in _WORDS or not settled:
        because, remedy = _WORDS.get(reason, ("" if reason == UNCHANGED else reason.replace("_", " "), ""))
        yield ReportLine(row, which, "", because, remedy)
        return
    for problem in settled:
        told = RowProblem(**problem)
        yield ReportLine(row, which, told.field, told.reason, told.remedy)


def totals(lines: Iterable[ReportLine]) -> dict[Outcome, int]:
    """How many rows came to each end."""
    counted = Counter({line.row: line.outcome for line in lines}.values())
    return {outcome: counted.get(outcome, 0) for outcome in Outcome}


HEADER: Final = ("row", "outcome", "field", "reason", "remedy")


def as_csv(lines: Iterable[ReportLine]) -> Iterator[str]:
    """The report as CSV, piece by piece."""
    yield _written(HEADER)
    for line in lines:
        yield _written((line.row, line.outcome.value, line.field, line.reason, line.remedy))


def _written(cells: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
