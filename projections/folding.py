"""Folds a batch of facts into rows, in memory: which rows they touch, what becomes of them, what has to be set aside.

No table is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from eventlog.codec import StoredFact
from projections.model import ReadModel
from projections.store import Parked

Groups = dict[str, list[StoredFact]]
"""Facts by the row that they touch, each in the order of the log."""


ROWS_KEPT_MAX = 200_000
"""Of one build that is being made. A programme of 50 000 members has more of some kinds; these are read back then."""


class Poison(Exception):
    """A read model that may not skip has met a fact that it cannot take."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Amiss(Exception):
    """A batch cannot be folded in the quick way."""


@dataclass(slots=True)
class Outcome:
    """Of folding one batch: the rows to write, the keys without a row any more, what is set aside."""

    rows: dict[str, Any] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)


@dataclass(slots=True)
class Kept:
    """The rows of a build that is being made, up to a position, so that none is read that was just written. `whole`: the build has
    no others."""

    build: str
    whole: bool
    position: int = 0
    rows: dict[str, Any] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        """Keep what a batch came to."""
        self.rows.update(outcome.rows)
        for key in outcome.gone:
            del self.rows[key]
        if len(self.rows) > ROWS_KEPT_MAX:
            self.forget()

    def forget(self) -> None:
        self.rows, self.whole = {}, False


def grouped(model: ReadModel[Any], facts: Iterable[StoredFact]) -> Groups:
    """The facts by the keys of their rows. Raises Poison where nobody can say whose a fact is."""
    groups: Groups = {}
    keys = model.keys
    for fact in facts:
        try:
            touched = keys(fact)
        except Exception as error:
            raise Poison(f"nobody can say whose the fact at position {fact.recorded.position} is: {where(error)}") from None
        for key in touched:
            if key in groups:
                groups[key].append(fact)
            else:
                groups[key] = [fact]
    return groups


def set_aside(groups: Groups, waiting: frozenset[str], left_out: frozenset[tuple[str, int]]) -> list[Parked]:
    """Take out of the groups what must not be folded: what was discarded, and facts behind one that is parked, which queue."""
    queued = [parked(key, fact) for key in waiting & groups.keys() for fact in groups.pop(key)]
    for key in {key for key, _ in left_out} & groups.keys():
        groups[key] = [fact for fact in groups[key] if (key, fact.recorded.position) not in left_out]
    return queued


def folded(model: ReadModel[Any], rows: Mapping[str, Any], groups: Groups) -> Outcome:
    """Fold each group into its row, of `rows` where there is one. What the fold cannot take is parked, with what is behind it."""
    outcome = Outcome()
    fold, after, find = model.fold, outcome.rows, rows.get
    for key, facts in groups.items():
        row = before = find(key)
        index = 0
        try:
            for index, fact in enumerate(facts):  # noqa: B007
                row = fold(key, row, fact)
        except Exception as error:
            outcome.parked += queue_behind(key, facts[index:], where(error))
        if row is None:
            if before is not None:
                outcome.gone.append(key)
        elif row is not before:
            after[key] = row
    return outcome


def parked(key: str, fact: StoredFact, reason: str = "") -> Parked:
    recorded = fact.recorded
    return Parked(key, recorded.position, recorded.stream, recorded.version, fact.name, reason)


def poured(model: ReadModel[Any], facts: Iterable[StoredFact]) -> Iterator[Any]:
    """The rows of an append-only read model, each as soon as its fact is there. Raises Amiss where a fact cannot be folded: then
    the batch has to be taken with care."""
    keys, fold = model.keys, model.fold
    for fact in facts:
        try:
            for key in keys(fact):
                row = fold(key, None, fact)
                if row is not None:
                    yield row
        except Exception as error:
            raise Amiss(where(error)) from None


def queue_behind(key: str, facts: Sequence[StoredFact], reason: str) -> list[Parked]:
    """The first of the facts parked for a reason, the others behind it."""
    return [parked(key, facts[0], reason), *(parked(key, later) for later in facts[1:])]


def where(error: Exception) -> str:
    """The kind of an error and the place in the fold where it arose; never its text, which may quote what somebody said."""
    if isinstance(error, psycopg.Error):
        return f"{type(error).__name__} {error.sqlstate or ''}".strip()
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_name} line {trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
