"""What every question needs: a connection, one page of rows, and names where the caller asks for them.

Names are unsealed from the log for the page at hand; nothing here decides and nothing writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from domain.catalog import entry_of
from domain.core import StreamId
from domain.member.facts import IdentityCorrected, MemberRegistered
from domain.staff.facts import StaffJoined
from eventlog.log import Log
from projections import questions
from projections.answers import BadFilter, Page
from projections.asking import away
from projections.links import Span

NAMES_AT_ONCE = 1_000

T = TypeVar("T")


class Reader:
    """Asks. Thread-safe. `index_key` is needed for looking members up by name, CIN or birth date."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]], log: Log, *, index_key: bytes | None = None) -> None:
        self._pool = pool
        self._log = log
        self._index_key = index_key

    def names(self, streams: Sequence[StreamId]) -> dict[StreamId, str]:
        """The display names of members and staff. Who was erased, or is not known, is left out."""
        wanted = sorted({s for s in streams if s and s.partition("-")[0] in ("member", "staff")})
        found: dict[StreamId, str] = {}
        for start in range(0, len(wanted), NAMES_AT_ONCE):
            found.update(self._names(wanted[start : start + NAMES_AT_ONCE]))
        return found

    def _names(self, streams: list[StreamId]) -> dict[StreamId, str]:
        naming = [entry_of(kind).name for kind in (MemberRegistered, IdentityCorrected, StaffJoined)]
        said: dict[StreamId, dict[str, str]] = {}
        with away():
            rows = self._log.recorder.rows(questions.NAMING, (streams, naming))
            self._log.codec.fetch_keys(rows)
            for row in rows:
                recorded = self._log.codec.decode(row)
                match recorded.fact:
                    case (
                        MemberRegistered(given_name=given, family_name=family)
                        | IdentityCorrected(given_name=given, family_name=family)
                    ):
                        parts = said.setdefault(recorded.stream, {})
                        parts.update({k: v for k, v in (("given", given), ("family", family)) if v is not None})
                    case StaffJoined(name=name) if name is not None:
                        said[recorded.stream] = {"given": name}
                    case _:
                        pass
        called = {s: " ".join(p for p in (n.get("given"), n.get("family")) if p) for s, n in said.items()}
        return {stream: name for stream, name in called.items() if name}

    def _key(self, field: str) -> bytes:
        if self._index_key is None:
            raise BadFilter(field, "looking up needs THROUGHLINE_INDEX_KEY")
        return self._index_key

    def _person(self, member: StreamId | None, known_at: datetime | None = None) -> tuple[StreamId, ...] | None:
        """The member and whoever is the same person, or was held to be at an instant. A link leads to who goes on, and from there
        to all others."""
        if member is None:
            return None
        found, reached = {member: None}, [member]
        while reached:
            rows = self._rows("SELECT other, merged, spans FROM read.links WHERE member = %s ORDER BY other", (reached.pop(),))
            for other, merged, spans in rows:
                holds = merged if known_at is None else any(span.holds(known_at) for span in msgspec.convert(spans, list[Span]))
                if holds and other not in found:
                    found[other] = None
                    reached.append(other)
        return tuple(found)

    def _rows(self, query: str, parameters: Sequence[Any]) -> list[TupleRow]:
        with away(), self._pool.connection() as conn:
            return conn.execute(query.encode(), parameters).fetchall()

    def _named(self, page: Page[T], names: bool, where: dict[str, str]) -> Page[T]:
        """Fill in names: `where` maps the field to fill to the field that says whose."""
        if not names:
            return page
        called = self.names([getattr(item, whose) for item in page.items for whose in where.values()])
        return replace(
            page,
            items=tuple(
                replace(item, **{name: called.get(getattr(item, whose), "") for name, whose in where.items()})  # type: ignore[type-var]
                for item in page.items
            ),
        )
