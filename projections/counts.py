"""How many facts of each name the log has: the whole log in one page, and the first thing that would show a fact counted twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class FactCount:
    """`key` is the fact's stable name."""

    key: str
    facts: int
    last_position: int
    last_recorded_at: datetime


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.name,)


def _fold(key: str, row: FactCount | None, stored: StoredFact) -> FactCount:
    recorded = stored.recorded
    return FactCount(key, 1 if row is None else row.facts + 1, recorded.position, recorded.recorded_at)


FACT_COUNTS = ReadModel(name="fact_counts", row=FactCount, keys=_keys, fold=_fold, on_poison="stop")
"""A count that leaves something out is wrong, so poison stops it."""
