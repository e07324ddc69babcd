"""What a read model is: a name, the rows that a fact touches, and a pure fold from row and fact to row.

The columns of its table are the fields of its row class; the fingerprint covers them and the source of the fold, so that a changed
read model is rebuilt beside the old one and never folded further on rows of another making.
"""

from __future__ import annotations

import ast
import hashlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from inspect import getsource
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from domain.core import Fact
from eventlog import arrays
from eventlog.arrays import Packed
from eventlog.codec import StoredFact

Row = TypeVar("Row")

Fold = Callable[[str, Row | None, StoredFact], Row | None]
"""(key, the row so far, fact) -> the row after it; None: there is no such row (any more)."""

Keys = Callable[[StoredFact], tuple[str, ...]]
"""The keys of the rows that a fact touches; none: it says nothing here."""

KEY = "key"
"""Every row's first field: what the table, the parking and the queue behind a parked fact go by."""

FINGERPRINT_LENGTH = 10
NAME_LENGTH_MAX = 40
"""PostgreSQL cuts names off at 63 bytes; `__`, the fingerprint and a number must fit behind."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its SQL type, and how a value gets there and back.

    A whole column is passed as an array of `passed_as`, of values that `to_sql` made. Copied in, a value is what `to_copy` made of
    it: where that is set, the bytes as they go over the wire."""

    name: str
    sql_type: str
    passed_as: str
    to_sql: Callable[[Any], Any] | None = None
    to_copy: Callable[[Any], Any] | None = None
    from_sql: Callable[[Any], Any] | None = None

    def packed(self, values: Sequence[Any]) -> Packed:
        """A column of values as one array."""
        if self.to_sql is not None:
            values = [None if v is None else self.to_sql(v) for v in values]
        return _PACKED[self.passed_as](values)


@dataclass(frozen=True)
class ReadModel(Generic[Row]):
    """One read model.

    `facts` are the classes it listens to (empty: all). `version` is raised to force a rebuild that no source shows. `unseals`: its
    fold needs personal data (to make look-ups of it; it must never store any). `on_poison`: `park` sets the row aside and goes on;
    `stop` is for rows that sum over everything, where going on would be a wrong number. `append_only`: no key ever comes twice, so
    nothing need be loaded and rows are copied in. `sources`: modules besides the fold's own that shape the rows.
    """

    name: str
    row: type[Row]
    keys: Keys
    fold: Fold[Row]
    facts: tuple[type[Fact], ...] = ()
    version: int = 1
    indexes: tuple[str, ...] = ()
    unseals: bool = False
    append_only: bool = False
    on_poison: Literal["park", "stop"] = "park"
    sources: tuple[types.ModuleType, ...] = ()

    def __post_init__(self) -> None:
        assert self.name.isidentifier() and len(self.name) <= NAME_LENGTH_MAX, self.name
        assert next(iter(get_type_hints(self.row))) == KEY, f"the first field of {self.row.__name__} must be `{KEY}`"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return tuple(_column(name, hint) for name, hint in get_type_hints(self.row).items())

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the table's shape and with the code of the fold; comments and layout aside."""
        import sys

        digest = hashlib.sha256(repr((self.name, self.version, self.indexes, self.unseals)).encode())
        digest.update(repr([(c.name, c.sql_type) for c in self.columns]).encode())
        for module in (sys.modules[self.fold.__module__], *self.sources):
            digest.update(ast.dump(_without_docstrings(ast.parse(getsource(module)))).encode())
        return digest.hexdigest()[:FINGERPRINT_LENGTH]

    def of_sql(self, values: Sequence[Any]) -> Row:
        """A row of the table as the row class."""
        return self.row(
            *(v if c.from_sql is None or v is None else c.from_sql(v) for c, v in zip(self.columns, values, strict=True))
        )

    @cached_property
    def values(self) -> Callable[[Row], tuple[Any, ...]]:
        """A row's values, in the order of the columns."""
        values: Callable[[Any], tuple[Any, ...]] = astuple if issubclass(self.row, Struct) else attrgetter(*self.column_names)
        return values

    def to_arrays(self, rows: Sequence[Row]) -> list[Packed]:
        """Rows as one array a column, as `unnest` takes them."""
        return [c.packed(values) for c, values in zip(self.columns, zip(*map(self.values, rows), strict=True), strict=True)]

    def to_copy(self, rows: Iterable[Row]) -> Iterator[Sequence[Any]]:
        """Rows as they are copied in, one after another."""
        told = [(at, c.to_copy) for at, c in enumerate(self.columns) if c.to_copy is not None]
        if not told:
            yield from map(self.values, rows)
            return
        for row in rows:
            values = list(self.values(row))
            for at, to_copy in told:
                if values[at] is not None:
                    values[at] = to_copy(values[at])
            yield values


_PLAIN: Mapping[Any, str] = {str: "text", int: "bigint", bool: "boolean", datetime: "timestamptz", date: "date"}

_PACKED: Mapping[str, Callable[[Sequence[Any]], Packed]] = {
    "text": arrays.texts,
    "bigint": arrays.bigints,
    "boolean": arrays.booleans,
    "timestamptz": arrays.timestamps,
    "date": arrays.dates,
}

_JSONB_VERSION = b"\x01"
"""Stands before a jsonb value on the wire."""


def _column(name: str, hint: Any) -> Column:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (a for a in get_args(hint) if a is not type(None))
    if hint in _PLAIN:
        return Column(name, _PLAIN[hint], _PLAIN[hint])
    if isinstance(hint, type) and issubclass(hint, str):
        return Column(name, "text", "text", str, str, hint)
    if hint == tuple[str, ...]:
        return Column(name, "text[]", "text", _array_literal, arrays.texts, tuple)
    return Column(
        name,
        "jsonb",
        "text",
        lambda value: msgspec.json.encode(value).decode(),
        lambda value: _JSONB_VERSION + msgspec.json.encode(value),
        lambda value: msgspec.convert(value, hint),
    )


def _array_literal(values: Sequence[str]) -> str:
    """unnest would flatten an array of arrays, so each goes as a literal."""
    quoted = ('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return "{" + ",".join(quoted) + "}"


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return tree
