"""How a question is put to PostgreSQL: conditions, order, one page and a cursor to the next. Values are parameters, always."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from projections.answers import BadFilter, NotReady, Page, QueryAway

LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
CURSOR_CHARACTERS_MAX = 2_000
CURSOR_TEXT_MAX = 500

T = TypeVar("T")


@dataclass(slots=True)
class Ask:
    """A query that is put together: conditions, order, page. Values are parameters, always."""

    base: str
    before: list[Any] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    by: tuple[str, ...] = ()
    newest_first: bool = False
    limit: int = LIMIT_DEFAULT
    after: tuple[Any, ...] | None = None

    def given(self, *values: Any) -> Ask:
        """The parameters of the base itself."""
        self.before.extend(values)
        return self

    def where(self, condition: str, *values: Any) -> Ask:
        self.conditions.append(condition)
        self.values.extend(values)
        return self

    def if_given(self, condition: str, value: Any, *, twice: bool = False) -> Ask:
        return self if value is None else self.where(condition, *((value, value) if twice else (value,)))

    def equal(self, column: str, value: Any) -> Ask:
        return self.if_given(f"({column}) = %s", value)

    def one_of(self, column: str, values: Sequence[Any] | None) -> Ask:
        """One of some values; of a single one, that."""
        if values is None or len(values) < 2:
            return self.equal(column, None if values is None else values[0])
        return self.where(f"({column}) = ANY(%s)", list(values))

    def starts(self, column: str, prefix: str | None) -> Ask:
        return self.if_given(f"starts_with({column}, %s)", prefix)

    def order(self, *by: str, newest_first: bool = False) -> Ask:
        self.by, self.newest_first = by, newest_first
        return self

    def page(self, limit: int, cursor: str | None) -> Ask:
        self.limit = limited(limit)
        self.after = None if cursor is None else _opened(cursor, self._shape(), self.by)
        return self

    def again(self) -> Ask:
        """A copy, to ask for another page."""
        return replace(self, before=list(self.before), conditions=list(self.conditions), values=list(self.values))

    def sql(self) -> tuple[str, list[Any]]:
        conditions, values = list(self.conditions), list(self.values)
        if self.after is not None:
            sign = "<" if self.newest_first else ">"
            conditions.append(f"({', '.join(self.by)}) {sign} ({', '.join('%s' for _ in self.by)})")
            values.extend(self.after)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        direction = " DESC" if self.newest_first else ""
        order = ", ".join(f"{column}{direction}" for column in self.by)
        select, _, rest = self.base.partition("\nFROM ")
        query = f"{select}, {', '.join(self.by)}\nFROM {rest}{where} ORDER BY {order} LIMIT %s"
        return query, [*self.before, *values, self.limit + 1]

    def paged(self, rows: list[TupleRow], make: Callable[[TupleRow], T]) -> Page[T]:
        """The answers of one row more than was asked for: the columns of the order stand at each row's end."""
        width = len(self.by)
        items = tuple(make(row[:-width]) for row in rows[: self.limit])
        return Page(items, self.cursor_after(rows[self.limit - 1][-width:]) if len(rows) > self.limit else None)

    def cursor_after(self, at: Sequence[Any]) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode([self._shape(), *at])).decode().rstrip("=")

    def _shape(self) -> str:
        """A cursor is of use only to the question that gave it."""
        return f"{','.join(self.by)}{'-' if self.newest_first else ''}"


_INSTANT = Annotated[datetime, msgspec.Meta(tz=True)]
_POSITION = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_TEXT = Annotated[str, msgspec.Meta(max_length=CURSOR_TEXT_MAX, pattern=r"^[^\x00]*$")]


def type_of(column: str) -> Any:
    """What a column of an order holds, by its name, as the read models call such columns."""
    name = column.rpartition(".")[2]
    if name.endswith("_at") or name in ("due", "act_by", "since"):
        return _INSTANT
    if name.endswith("_on"):
        return date
    if name == "position":
        return _POSITION
    return UUID if name == "inbox_id" else _TEXT


def _opened(cursor: str, shape: str, by: tuple[str, ...]) -> tuple[Any, ...]:
    """Where the last page ended. A cursor comes from outside, so only values of the columns' own types get to PostgreSQL."""
    kinds: Any = tuple[tuple(type_of(column) for column in by)]  # type: ignore[misc]
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError
        parts = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[Any])
        if not parts or parts[0] != shape:
            raise ValueError
        found: tuple[Any, ...] = msgspec.convert(parts[1:], type=kinds)
        return found
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BadFilter("cursor", "it is not one that this query gave; start without one") from None


def limited(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise BadFilter("limit", f"it must lie between 1 and {LIMIT_MAX}")
    return limit


def known(field: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise BadFilter(field, f"it must be one of {', '.join(allowed)}")


@contextmanager
def away() -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedColumn):
        raise NotReady("the tables of the read models are not there, or of another version: run `throughline up` first") from None
    except psycopg.DataError:
        raise BadFilter("filters", "a value, or the cursor, cannot be read; look at each once more") from None
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, LogAway, CannotUnwrap) as error:
        raise QueryAway(type(error).__name__) from None
