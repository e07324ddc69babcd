"""The tables of the projector: which build of a read model is shown, how far each build is, what is parked.

A *build* is one table of a read model, `read.<name>__<build>`, with its own position in the log. Readers see the view
`read.<name>` over the active one. Every function works inside the caller's transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, Cursor, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

from eventlog.arrays import texts
from projections.model import KEY, ReadModel

Conn = Connection[TupleRow]

CREATE_LOCK = 0x70726F6A65637473  # 'projects': two processes that set up one database take turns

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS read;
CREATE SCHEMA IF NOT EXISTS projections;

-- One row a table of a read model. `position` is where it stands in the log: moved by compare-and-swap only.
CREATE TABLE IF NOT EXISTS projections.builds (
    name            text        NOT NULL,
    build           text        NOT NULL,
    fingerprint     text        NOT NULL,
    incarnation     uuid        NOT NULL,
    position        bigint      NOT NULL DEFAULT 0,
    indexed         boolean     NOT NULL DEFAULT false,
    retired         boolean     NOT NULL DEFAULT false,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    stopped_at      timestamptz,
    stopped_because text        NOT NULL DEFAULT '',
    PRIMARY KEY (name, build)
) WITH (fillfactor = 50);

-- Which build readers see. The row is locked while it is swapped.
CREATE TABLE IF NOT EXISTS projections.active (
    name            text        NOT NULL PRIMARY KEY,
    build           text        NOT NULL
);

-- Every fingerprint that was ever shown: one that was replaced comes back by command only, or two programs would swap for ever.
CREATE TABLE IF NOT EXISTS projections.shown (
    name            text        NOT NULL,
    fingerprint     text        NOT NULL,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, fingerprint)
);

-- Facts that a row could not take (`reason` set), and those of the same key that queue behind them (`reason` empty).
CREATE TABLE IF NOT EXISTS projections.parked (
    name            text        NOT NULL,
    build           text        NOT NULL,
    key             text        NOT NULL,
    position        bigint      NOT NULL,
    stream          text        NOT NULL,
    version         bigint      NOT NULL,
    fact            text        NOT NULL,
    reason          text        NOT NULL DEFAULT '',
    attempts        integer     NOT NULL DEFAULT 0,
    parked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at        timestamptz,
    PRIMARY KEY (name, build, key, position)
);

-- What a person decided to leave out of a row, and why: for this fingerprint of the fold only.
CREATE TABLE IF NOT EXISTS projections.discarded (
    name            text        NOT NULL,
    fingerprint     text        NOT NULL,
    key             text        NOT NULL,
    position        bigint      NOT NULL,
    reason          text        NOT NULL,
    discarded_by    text        NOT NULL,
    because         text        NOT NULL,
    discarded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, fingerprint, key, position)
);
"""


@dataclass(frozen=True, slots=True)
class Build:
    """One table of a read model and how far it is."""

    name: str
    build: str
    fingerprint: str
    incarnation: UUID
    position: int
    indexed: bool
    retired: bool
    started_at: datetime
    moved_at: datetime
    stopped_at: datetime | None
    stopped_because: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A fact that waits for its row. `reason` is empty where it only queues behind another. Reasons never quote values."""

    key: str
    position: int
    stream: str
    version: int
    fact: str
    reason: str = ""
    attempts: int = 0
    parked_at: datetime | None = None
    tried_at: datetime | None = None


_SHOWN = """SELECT name, build, fingerprint, incarnation, position, indexed, retired, started_at, moved_at, stopped_at,
    stopped_because, (SELECT id FROM log.incarnations ORDER BY number DESC LIMIT 1)
FROM projections.active JOIN projections.builds USING (name, build) WHERE name = %s"""

_BUILD = "name, build, fingerprint, incarnation, position, indexed, retired, started_at, moved_at, stopped_at, stopped_because"


def create(conn: Conn) -> None:
    """The projector's own tables. Safe to repeat, and at the same time from several processes."""
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
        conn.execute("SET LOCAL client_min_messages = warning")
        conn.execute(_SCHEMA)


# --- builds ----------------------------------------------------------------------------------------------------------------------


def builds(conn: Conn, name: str) -> tuple[Build, ...]:
    rows = conn.execute(f"SELECT {_BUILD} FROM projections.builds WHERE name = %s ORDER BY started_at", (name,)).fetchall()
    return tuple(Build(*row) for row in rows)


def all_builds(conn: Conn) -> tuple[Build, ...]:
    return tuple(Build(*row) for row in conn.execute(f"SELECT {_BUILD} FROM projections.builds ORDER BY name, started_at"))


def active_builds(conn: Conn) -> dict[str, str]:
    return {row[0]: row[1] for row in conn.execute("SELECT name, build FROM projections.active")}


def active(conn: Conn, name: str, *, lock: bool = False) -> Build | None:
    """The build that readers see. `lock`: nobody may swap it until the transaction ends."""
    row = conn.execute(f"SELECT build FROM projections.active WHERE name = %s{' FOR UPDATE' if lock else ''}", (name,)).fetchone()
    return None if row is None else build(conn, name, row[0])


def shown_and_incarnation(conn: Conn, name: str) -> tuple[Build, UUID] | None:
    """The build that readers see, and the log's present life."""
    row = conn.execute(_SHOWN, (name,), prepare=True).fetchone()
    return None if row is None else (Build(*row[:-1]), row[-1])


def build(conn: Conn, name: str, build: str, *, lock: bool = False) -> Build | None:
    row = conn.execute(
        f"SELECT {_BUILD} FROM projections.builds WHERE name = %s AND build = %s{' FOR UPDATE' if lock else ''}", (name, build)
    ).fetchone()
    return None if row is None else Build(*row)


def was_shown(conn: Conn, name: str, fingerprint: str) -> bool:
    return bool(conn.execute("SELECT FROM projections.shown WHERE (name, fingerprint) = (%s, %s)", (name, fingerprint)).rowcount)


def begin(conn: Conn, model: ReadModel[Any], incarnation: UUID) -> Build:
    """A new, empty build: the next free number behind the fingerprint."""
    taken = {b.build for b in builds(conn, model.name)}
    number = 1
    while (found := model.fingerprint if number == 1 else f"{model.fingerprint}_{number}") in taken:
        number += 1
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(c.name), sql.SQL(c.sql_type), sql.SQL(' COLLATE "C" NOT NULL PRIMARY KEY' if c.name == KEY else "")
        )
        for c in model.columns
    )
    conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table(model.name, found)))
    conn.execute(sql.SQL("CREATE TABLE {} ({}) WITH (fillfactor = 85)").format(table(model.name, found), columns))
    conn.execute(
        "INSERT INTO projections.builds (name, build, fingerprint, incarnation) VALUES (%s, %s, %s, %s)",
        (model.name, found, model.fingerprint, incarnation),
    )
    begun = build(conn, model.name, found)
    assert begun is not None
    return begun


def index(conn: Conn, model: ReadModel[Any], of: str) -> None:
    """The build's secondary indexes: made once, after the bulk of a rebuild."""
    conn.execute("SET LOCAL statement_timeout = 0")
    for number, columns in enumerate(model.indexes, start=1):
        conn.execute(
            sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} {}").format(
                sql.Identifier(f"{model.name}__{of}__by_{number}"),
                table(model.name, of),
                sql.SQL(columns if columns.startswith("USING") else f"({columns})"),
            )
        )
    conn.execute("UPDATE projections.builds SET indexed = true WHERE (name, build) = (%s, %s)", (model.name, of))


def show(conn: Conn, model: ReadModel[Any], of: Build) -> None:
    """Let readers see this build from the transaction's end on: view and active build together."""
    view = sql.Identifier("read", model.name)
    row = conn.execute(
        "SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (f'read."{model.name}"',),
    ).fetchone()
    same = row is not None and row[0] == [f"{c.name} {_long(c.sql_type)}" for c in model.columns]
    if not same:
        conn.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
    conn.execute(
        sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}").format(
            view, sql.SQL(", ").join(map(sql.Identifier, model.column_names)), table(model.name, of.build)
        )
    )
    conn.execute(
        "INSERT INTO projections.active (name, build) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET build = excluded.build",
        (model.name, of.build),
    )
    conn.execute(
        "INSERT INTO projections.shown (name, fingerprint) VALUES (%s, %s) ON CONFLICT DO NOTHING", (model.name, of.fingerprint)
    )


def retire(conn: Conn, name: str, of: str) -> None:
    conn.execute("UPDATE projections.builds SET retired = true WHERE (name, build) = (%s, %s)", (name, of))


def drop(conn: Conn, name: str, of: str) -> None:
    """Remove a build that nobody is shown. Waits a second at most for readers that still hold its table."""
    conn.execute("SET LOCAL lock_timeout = 1000")
    conn.execute("DELETE FROM projections.builds WHERE (name, build) = (%s, %s)", (name, of))
    conn.execute("DELETE FROM projections.parked WHERE (name, build) = (%s, %s)", (name, of))
    conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table(name, of)))


@dataclass(frozen=True, slots=True)
class Advanced:
    """The position moved. Whether anything may be parked, or was ever discarded, so that most batches need not look."""

    some_parked: bool
    some_discarded: bool


_ADVANCE = """UPDATE projections.builds b
SET position = %s, moved_at = clock_timestamp(), stopped_at = NULL, stopped_because = ''
WHERE name = %s AND build = %s AND position = %s AND NOT retired
RETURNING EXISTS (SELECT FROM projections.parked p WHERE (p.name, p.build) = (b.name, b.build)),
    EXISTS (SELECT FROM projections.discarded d WHERE (d.name, d.fingerprint) = (b.name, b.fingerprint)),
    set_config('synchronous_commit', 'off', true)"""


def advance(conn: Conn, name: str, of: str, *, start: int, end: int) -> Advanced | None:
    """Move the build's position, if it still is where the batch began. None: another projector was faster, or it was dropped.

    The transaction need not wait for the disk: position and rows are lost together, and folded again. Facts are parked only in
    transactions that move the position or hold its row, so "nothing parked" cannot be out of date here.
    """
    row = conn.execute(_ADVANCE, (end, name, of, start), prepare=True).fetchone()
    return None if row is None else Advanced(row[0], row[1])


_ADVANCE_ALL = """WITH ours AS (
    SELECT b.name, b.build FROM unnest(%b::text[], %b::text[]) AS wanted (name, build)
        JOIN projections.active USING (name, build) JOIN projections.builds b USING (name, build)
    WHERE b.position = %b AND NOT b.retired AND b.incarnation = (SELECT id FROM log.incarnations ORDER BY number DESC LIMIT 1)
        AND NOT EXISTS (SELECT FROM projections.parked p WHERE (p.name, p.build) = (b.name, b.build))
        AND NOT EXISTS (SELECT FROM projections.discarded d WHERE (d.name, d.fingerprint) = (b.name, b.fingerprint))
    ORDER BY b.name FOR UPDATE OF b)
UPDATE projections.builds b SET position = %b, moved_at = clock_timestamp(), stopped_at = NULL, stopped_because = ''
FROM ours WHERE (b.name, b.build) = (ours.name, ours.build)
RETURNING b.name, set_config('synchronous_commit', 'off', true)"""


def advance_all(conn: Conn, builds: Mapping[str, str], *, start: int, end: int) -> Cursor[TupleRow]:
    """As `advance`, for several read models, name to build, that stand at one place. Gives the names of those that moved: not one
    that stands elsewhere meanwhile, is not shown any more, or has something parked or discarded."""
    values = (texts(tuple(builds)), texts(tuple(builds.values())), start, end)
    return conn.cursor(binary=True).execute(_ADVANCE_ALL, values, prepare=True)


def stop(conn: Conn, name: str, of: str, because: str) -> None:
    """Remember why a build does not go on; the next batch that succeeds forgets it."""
    conn.execute(
        "UPDATE projections.builds SET stopped_at = coalesce(stopped_at, clock_timestamp()), stopped_because = %s"
        " WHERE (name, build) = (%s, %s)",
        (because, name, of),
    )


# --- rows ------------------------------------------------------------------------------------------------------------------------


def table(name: str, of: str) -> sql.Identifier:
    return sql.Identifier("read", f"{name}__{of}")


def load(conn: Conn, model: ReadModel[Any], of: str, keys: Sequence[str]) -> dict[str, Any]:
    """The rows with these keys."""
    return loaded(model, ask(conn, model, of, keys)) if keys and not model.append_only else {}


def ask(conn: Conn, model: ReadModel[Any], of: str, keys: Sequence[str]) -> Cursor[TupleRow]:
    """Ask for the rows with these keys. In a pipeline the answer need not have come yet."""
    return conn.cursor(binary=True).execute(_by_keys(model, of), (texts(keys),), prepare=True)


def loaded(model: ReadModel[Any], asked: Cursor[TupleRow]) -> dict[str, Any]:
    """The rows that were asked for."""
    return {row[0]: model.of_sql(row) for row in asked}


@cache
def _by_keys(model: ReadModel[Any], of: str) -> bytes:
    """Key by key through the index. Of `key = ANY (...)` a plan is kept that was made while the table was empty: one that compares
    every row with every key, until somebody analyses the table."""
    columns = sql.SQL(", ").join(map(sql.Identifier, model.column_names))
    one = sql.SQL("SELECT {} FROM {} AS t WHERE t.key = wanted.key LIMIT 1").format(columns, table(model.name, of))
    query = "SELECT found.* FROM unnest(%b::text[]) AS wanted (key) CROSS JOIN LATERAL ({}) AS found"
    return sql.SQL(query).format(one).as_bytes(None)


def save(conn: Conn, model: ReadModel[Any], of: str, rows: Sequence[Any], gone: Sequence[str]) -> None:
    """Write rows whole, whether they were there before or not; remove those that are gone. Waits for no answer in a pipeline."""
    if rows:
        with _fitting():
            values = model.to_arrays(rows)
        conn.execute(_write(model, of), values, prepare=True)
    if gone:
        conn.execute(sql.SQL("DELETE FROM {} WHERE key = ANY(%b::text[])").format(table(model.name, of)), (texts(gone),))


def insert(conn: Conn, model: ReadModel[Any], of: str, rows: Iterable[Any]) -> None:
    """The quick way in for rows that are not there yet: a key that is there is an integrity error. PostgreSQL takes the first while
    the last are still being made."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        table(model.name, of), sql.SQL(", ").join(map(sql.Identifier, model.column_names))
    )
    with conn.cursor() as cursor:
        for ready in (_ReadyArray, _ReadyJson):
            cursor.adapters.register_dumper(bytes, ready)
        with cursor.copy(statement) as copy:
            copy.set_types([c.sql_type for c in model.columns])
            write = copy.write_row
            with _fitting():
                for row in model.to_copy(rows):
                    write(row)


@contextmanager
def _fitting() -> Iterator[None]:
    """A value that cannot be brought into its column's form is refused like one that the table refuses."""
    try:
        yield
    except (struct.error, OverflowError, UnicodeEncodeError) as unfit:
        raise psycopg.DataError(type(unfit).__name__) from None


@cache
def _write(model: ReadModel[Any], of: str) -> bytes:
    names = [sql.Identifier(c.name) for c in model.columns]
    values = [
        sql.SQL("u.{}").format(i) if c.sql_type == c.passed_as else sql.SQL("u.{}::{}").format(i, sql.SQL(c.sql_type))
        for i, c in zip(names, model.columns, strict=True)
    ]
    over = sql.SQL(" ON CONFLICT (key) DO UPDATE SET ({}) = ROW({})").format(
        sql.SQL(", ").join(names), sql.SQL(", ").join(sql.SQL("excluded.{}").format(n) for n in names)
    )
    return (
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS u ({}){}")
        .format(
            table(model.name, of),
            sql.SQL(", ").join(names),
            sql.SQL(", ").join(values),
            sql.SQL(", ").join(sql.SQL("%b::{}[]").format(sql.SQL(c.passed_as)) for c in model.columns),
            sql.SQL(", ").join(names),
            sql.SQL("") if model.append_only else over,
        )
        .as_bytes(None)
    )


class _Ready(Dumper):
    """Copies in what is on the wire's form already."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class _ReadyArray(_Ready):
    oid = 1009
    """text[]"""


class _ReadyJson(_Ready):
    oid = 3802
    """jsonb"""


# --- parked ----------------------------------------------------------------------------------------------------------------------


def parked_keys(conn: Conn, name: str, of: str) -> frozenset[str]:
    rows = conn.execute("SELECT DISTINCT key FROM projections.parked WHERE (name, build) = (%s, %s)", (name, of))
    return frozenset(row[0] for row in rows)


def parked_count(conn: Conn, name: str, of: str) -> int:
    row = conn.execute("SELECT count(*) FROM projections.parked WHERE (name, build) = (%s, %s)", (name, of)).fetchone()
    assert row is not None
    return int(row[0])


def parked(conn: Conn, name: str, of: str, key: str | None = None) -> tuple[Parked, ...]:
    """What is parked, in the order in which it is to be folded."""
    rows = conn.execute(
        "SELECT key, position, stream, version, fact, reason, attempts, parked_at, tried_at FROM projections.parked"
        f" WHERE (name, build) = (%s, %s){'' if key is None else ' AND key = %s'} ORDER BY key, position",
        (name, of) if key is None else (name, of, key),
    )
    return tuple(Parked(*row) for row in rows)


def park(conn: Conn, name: str, of: str, waiting: Iterable[Parked]) -> None:
    """Set facts aside; one that is parked already gets another attempt and the newest reason."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO projections.parked (name, build, key, position, stream, version, fact, reason, attempts, tried_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, (%s <> '')::int, CASE WHEN %s <> '' THEN clock_timestamp() END)"
            " ON CONFLICT (name, build, key, position) DO UPDATE SET reason = excluded.reason,"
            " attempts = projections.parked.attempts + excluded.attempts,"
            " tried_at = coalesce(excluded.tried_at, projections.parked.tried_at)",
            [(name, of, p.key, p.position, p.stream, p.version, p.fact, p.reason, p.reason, p.reason) for p in waiting],
        )


def unpark(conn: Conn, name: str, of: str, key: str, positions: Sequence[int]) -> None:
    conn.execute(
        "DELETE FROM projections.parked WHERE (name, build, key) = (%s, %s, %s) AND position = ANY(%s)",
        (name, of, key, list(positions)),
    )


def discarded(conn: Conn, name: str, fingerprint: str) -> frozenset[tuple[str, int]]:
    rows = conn.execute("SELECT key, position FROM projections.discarded WHERE (name, fingerprint) = (%s, %s)", (name, fingerprint))
    return frozenset((row[0], row[1]) for row in rows)


def discard(conn: Conn, of: Build, what: Parked, by: str, because: str) -> None:
    conn.execute(
        "INSERT INTO projections.discarded (name, fingerprint, key, position, reason, discarded_by, because)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (of.name, of.fingerprint, what.key, what.position, what.reason, by, because),
    )
    unpark(conn, of.name, of.build, what.key, (what.position,))


def _long(sql_type: str) -> str:
    return {"timestamptz": "timestamp with time zone"}.get(sql_type, sql_type)
