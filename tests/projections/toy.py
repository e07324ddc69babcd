"""A small world for the runner's tests: amounts put into baskets, and facts that a fold cannot take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.core import Fact
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountPut(Fact):
    basket: str
    amount: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BellRung(Fact):
    """Nobody listens to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    version: int
    type: type[Fact]


FACTS = (Entry("toy.amount-put", 1, AmountPut), Entry("toy.bell-rung", 1, BellRung))


@dataclass(frozen=True, slots=True)
class Basket:
    key: str
    facts: int
    amount: int
    label: str
    last_at: datetime


BROKEN = "broken"
"""A label that the broken fold cannot take."""


class Mended:
    """Whether the fold has been mended meanwhile, as a new program would be."""

    so_far = False


def keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.fact.basket,)


def fold(key: str, row: Basket | None, stored: StoredFact) -> Basket:
    fact: AmountPut = stored.recorded.fact
    if fact.label == BROKEN and not Mended.so_far:
        raise ValueError("a text that quotes nobody must see")
    before = (0, 0) if row is None else (row.facts, row.amount)
    return Basket(key, before[0] + 1, before[1] + fact.amount, fact.label, stored.recorded.occurred_at)


def baskets(**more: Any) -> ReadModel[Basket]:
    return ReadModel(name="baskets", row=Basket, keys=keys, fold=fold, facts=(AmountPut,), **more)


@dataclass(frozen=True, slots=True)
class Total:
    key: str
    facts: int
    amount: int


def total_keys(stored: StoredFact) -> tuple[str, ...]:
    return ("all",)


def fold_total(key: str, row: Total | None, stored: StoredFact) -> Total:
    fact: AmountPut = stored.recorded.fact
    if fact.label == BROKEN and not Mended.so_far:
        raise ValueError("a text that quotes nobody must see")
    return Total(key, 1 if row is None else row.facts + 1, fact.amount + (0 if row is None else row.amount))


TOTAL = ReadModel(name="total", row=Total, keys=total_keys, fold=fold_total, facts=(AmountPut,), on_poison="stop")
