"""The recorder: eventsourcing's PostgreSQL recorder with an append of one round trip, and an order without a table lock.

Three things are ours (docs/adr/0005-recorder-lock.md): `append`, which calls `log.append` and returns conflicts as values; the
watermark, below which nothing can appear any more; and reads bounded by it. The library's interfaces (insert_events,
select_events, select_notifications, subscribe) stand on these and pass the library's own test cases.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    Notification,
    StoredEvent,
    Subscription,
    Tracking,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresProcessRecorder
from psycopg import Connection, Cursor
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import PoolTimeout

from eventlog.arrays import Packed, bigints, bigints_of, booleans, byteas, integers, integers_of, texts, uuids

LOCKS_MAX = 256
"""Streams and commands that one call of `log.append` may lock."""

AWAY_ATTEMPTS_MAX = 5
"""How often a call is repeated when the connection was lost; with the pauses between, about three seconds. A server that does not
answer at all is given up after one wait for a connection."""

CONNECTION_WAIT_SECONDS = 10.0
RECONNECT_SECONDS = 3.0
"""How long a pool tries to reconnect by itself before it leaves that to the next caller: its own pauses double and would outlast
the outage."""

POLL_SECONDS = 0.005
POLL_IDLE_SECONDS = 0.05
SUBSCRIPTION_BATCH = 500


class LogAway(Exception):
    """PostgreSQL cannot be reached or gave up waiting for a lock. Its own words stay out: they may quote values."""


class LogRefused(Exception):
    """PostgreSQL refused a statement: a defect. Only its class and code are told; its own words may quote values."""


class EventRow(NamedTuple):
    """One event as it is stored. `sealed` is None where the fact has nothing personal."""

    stream: str
    version: int
    name: str
    schema_version: int
    event_id: UUID
    body: bytes
    sealed: bytes | None
    meta: bytes
    hash: bytes


class CommandRow(NamedTuple):
    """A command whose result is to be remembered."""

    command_id: UUID
    fingerprint: bytes
    stream: str


class Check(NamedTuple):
    """The version at which a stream was seen. `written` takes the exclusive lock. None: lock it, but do not compare."""

    stream: str
    version: int | None
    written: bool


class Item(NamedTuple):
    """What is stored whole or not at all.

    `command_of[i]` is the index in `commands` of the one that led to `events[i]`; those of one command stand together. Left out:
    all events are the first command's.
    """

    events: tuple[EventRow, ...]
    checks: tuple[Check, ...]
    commands: tuple[CommandRow, ...] = ()
    command_of: tuple[int, ...] = ()

    def assert_sound(self) -> None:
        streams = {c.stream: c.written for c in self.checks}
        assert len(streams) == len(self.checks), "a stream stands twice among the checks"
        for event in self.events:
            assert streams.get(event.stream), "an event's stream must be among the checks, as written"
        if self.command_of:
            assert len(self.command_of) == len(self.events)
            in_order = list(self.command_of) == sorted(self.command_of)
            assert in_order, "the events of one command stand together, in the commands' order"

    @property
    def locks(self) -> int:
        return len(self.checks)

    @property
    def events_of_commands(self) -> list[tuple[int, int]]:
        """For each command the numbers, from 1, of the first and the last of its events; last < first where it has none."""
        if len(self.commands) == 1:
            return [(1, len(self.events))]
        of = self.command_of or (0,) * len(self.events)
        found, first = [], 1
        for index in range(len(self.commands)):
            last = first + of.count(index) - 1
            found.append((first, last))
            first = last + 1
        return found


@dataclass(frozen=True, slots=True)
class Stored:
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A command of the item was carried out before; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The stream is at another version than was seen; nothing was stored."""

    stream: str
    version: int


Verdict = Stored | Known | Moved


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first result of a command."""

    fingerprint: bytes
    stream: str
    positions: tuple[int, ...]


class Statement:
    """A statement that each connection prepares once, sent past the driver's cursor, which would take most of the time of a small
    question. Its parameters are $1, $2 and so on, already packed (`eventlog.arrays`); its answer comes in binary."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name.encode(), text.encode()

    def sent(self, pgconn: PGconn, arguments: Sequence[bytes]) -> PGresult:
        """The answer. Raises what the driver would raise."""
        binary = [Format.BINARY] * len(arguments)
        result = pgconn.exec_prepared(self._name, arguments, binary, Format.BINARY)
        if result.error_field(DiagnosticField.SQLSTATE) == _NOT_PREPARED:
            _checked(pgconn, pgconn.prepare(self._name, self._text))
            result = pgconn.exec_prepared(self._name, arguments, binary, Format.BINARY)
        return _checked(pgconn, result)

    def sent_unprepared(self, pgconn: PGconn, arguments: Sequence[bytes]) -> PGresult:
        """The same inside a transaction that is under way, where a first attempt must not fail."""
        return _checked(pgconn, pgconn.exec_params(self._text, arguments, None, [Format.BINARY] * len(arguments), Format.BINARY))


_T = TypeVar("_T")

_TYPES = (
    "uuid[]", "bytea[]", "text[]", "integer[]", "integer[]",
    "text[]", "bigint[]", "boolean[]",
    "text[]", "bigint[]", "text[]", "integer[]", "uuid[]", "bytea[]", "bytea[]", "bytea[]", "bytea[]",
)  # fmt: skip
_PARAMETERS = ", ".join(f"${n}::{type}" for n, type in enumerate(_TYPES, start=1))
_APPEND = Statement("log.append", f"SELECT positions, known, moved, moved_to FROM log.append({_PARAMETERS})")
_WATERMARK = Statement("log.watermark", "SELECT log.watermark()")

_SELECT = "SELECT position, stream, version, name, schema_version, event_id, body, sealed, meta, hash FROM log.events"


class LogRecorder(PostgresApplicationRecorder):
    """The log's recorder. Thread-safe: each call takes a connection of the datastore's pool."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "events") -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements.clear()  # eventlog.database.create makes the tables, so `create_table` has nothing to do

    # -- appending

    def append(self, item: Item) -> Verdict:
        """Store the item, in one round trip. Repeats itself when the connection is lost: the command memory makes that harmless.

        Raises LogAway when PostgreSQL stays away.
        """
        return self.append_batch((item,))[0]

    def append_batch(self, items: Sequence[Item]) -> tuple[Verdict, ...]:
        """Store several items in one transaction, each whole or not at all. No two may touch one stream that either writes.

        The log stores all that it is given or nothing, so after a conflict what is left is given to it again.
        """
        assert items and sum(len(i.checks) for i in items) <= LOCKS_MAX
        for item in items:
            item.assert_sound()
            assert item.commands, "without a command id a repetition could not be told from a conflict"
        found: dict[int, Verdict] = {}
        left: Sequence[int] = range(len(items))
        while left:
            verdicts = self._given([items[n] for n in left])
            found |= {left[n]: verdict for n, verdict in verdicts.items()}
            left = [n for n in left if n not in found]
        return tuple(found[n] for n in range(len(items)))

    def _given(self, items: Sequence[Item]) -> dict[int, Verdict]:
        """The verdicts of one call, by the number of the item: of all, or of those that stood against the others."""
        call = _Call(items)

        def store(conn: Connection[Any]) -> PGresult:
            try:
                return _APPEND.sent(conn.pgconn, call.arguments)
            except psycopg.errors.UniqueViolation as raced:
                if raced.diag.constraint_name != "commands_pkey":
                    raise
                # Somebody stored a command meanwhile, under other streams: now it is known.
                return _APPEND.sent(conn.pgconn, call.arguments)

        return call.verdicts(self.again_while_away(store))

    # -- reading

    def watermark(self) -> int:
        """The position up to which everything that will ever be there is there."""
        return int(self.answer(_WATERMARK, ())[0][0])

    def head(self) -> int:
        """The highest number drawn, by an append that may still be under way or have failed. For noticing news only."""
        return int(self.rows("SELECT log.head()", ())[0][0])

    def rows(self, query: str, parameters: Sequence[Any]) -> list[TupleRow]:
        """The rows of a query as tuples, transferred in binary."""

        def read(conn: Connection[Any]) -> list[TupleRow]:
            with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
                return cursor.execute(query, parameters, prepare=True).fetchall()

        return self.again_while_away(read)

    def answer(self, statement: Statement, arguments: Sequence[bytes]) -> list[TupleRow]:
        """The rows that a statement answers with, its parameters packed: what is asked for with every command."""

        def ask(conn: Connection[Any]) -> list[TupleRow]:
            result = statement.sent(conn.pgconn, arguments)
            reader = Transformer(conn)
            reader.set_pgresult(result)
            return reader.load_rows(0, result.ntuples, tuple)

        return self.again_while_away(ask)

    def again_while_away(self, act: Callable[[Connection[Any]], _T]) -> _T:
        """Do it, again after a pause when the connection was lost. `act` must bear repetition."""
        for attempt in range(1, AWAY_ATTEMPTS_MAX + 1):
            try:
                return self._with_connection(act)
            except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
                if attempt == AWAY_ATTEMPTS_MAX or isinstance(lost, _FINAL):
                    raise LogAway(f"the log cannot be reached ({type(lost).__name__})") from None
                self.datastore.pool.check()  # where one connection died, others did
                time.sleep(min(1.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))
            except psycopg.Error as refused:
                code = refused.sqlstate or "no code"
                raise LogRefused(f"the log refused a statement ({type(refused).__name__}, {code})") from None
        raise AssertionError("unreachable")

    def _with_connection(self, act: Callable[[Connection[Any]], _T]) -> _T:
        """What the library's datastore does around a call, for connections that commit by themselves: nothing is left to be
        committed, and the pool takes back what is broken."""
        pool = self.datastore.pool
        if pool.closed:
            pool.open()  # refused by a pool that was open before
        conn = pool.getconn()
        try:
            return act(conn)
        finally:
            pool.putconn(conn)

    # -- the library's interface

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The library's way in: bare events without envelope or hash chain, which `verify` would therefore name. Tests only."""
        rows = tuple(
            EventRow(str(e.originator_id), e.originator_version, e.topic, 1, uuid4(), e.state, None, b"{}", b"")
            for e in stored_events
        )
        with self.datastore.get_connection() as conn, conn.transaction():
            with conn.cursor() as cursor:
                self._insert_events(cursor, stored_events, **kwargs)
            if not rows:
                return None
            item = Item(events=rows, checks=tuple(Check(s, None, True) for s in sorted({r.stream for r in rows})))
            call = _Call((item,))
            (verdict,) = call.verdicts(_APPEND.sent_unprepared(conn.pgconn, call.arguments)).values()
        assert isinstance(verdict, Stored)
        return list(verdict.positions)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        rows = self.rows(
            "SELECT stream, version, name, body FROM log.events WHERE stream = %b AND version > %b AND version <= %b"
            f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %b",
            (str(originator_id), -1 if gt is None else gt, _BIGINT_MAX if lte is None else lte, limit),
        )
        return [StoredEvent(row[0], row[1], row[2], row[3]) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        lowest = 0 if start is None else start - 1 if inclusive_of_start else start
        query = "SELECT position, stream, version, name, body FROM log.events WHERE position > %b AND position <= %b"
        parameters: list[Any] = [lowest, min(self.watermark(), _BIGINT_MAX if stop is None else stop)]
        if topics:
            query += " AND name = ANY(%b)"
            parameters.append(list(topics))
        rows = self.rows(query + " ORDER BY position LIMIT %b", (*parameters, limit))
        return [
            Notification(id=row[0], originator_id=row[1], originator_version=row[2], topic=row[3], state=row[4]) for row in rows
        ]

    def max_notification_id(self) -> int | None:
        maximum: int | None = self.rows("SELECT max(position) FROM log.events WHERE position <= %b", (self.watermark(),))[0][0]
        return maximum

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return PollingSubscription(recorder=self, gt=gt, topics=topics)


class LogProcessRecorder(PostgresProcessRecorder, LogRecorder):
    """The recorder that also keeps the library's tracking, in the append's transaction."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        assert len(self.sql_create_statements) == 1, "only the tracking table is the library's to create"

    def _insert_events(self, curs: Cursor[Any], stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is not None:
            self._insert_tracking(curs, tracking=tracking)


class PollingSubscription(Subscription[LogRecorder]):
    """Asks for news at short intervals. Needs no notification, so none can be lost, and survives a lost connection."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._position = gt or 0
        self._waiting: list[Notification] = []

    def __next__(self) -> Notification:
        pause = POLL_SECONDS
        while not self._has_been_stopped:
            if self._waiting:
                return self._waiting.pop()
            bound = self._recorder.watermark()
            found = self._recorder.select_notifications(
                self._position, SUBSCRIPTION_BATCH, stop=bound, topics=self._topics, inclusive_of_start=False
            )
            if found:
                self._waiting = list(reversed(found))
                self._position = found[-1].id
                pause = POLL_SECONDS
                continue
            self._position = max(self._position, bound)
            time.sleep(pause)
            pause = min(pause * 2, POLL_IDLE_SECONDS)
        raise StopIteration


_BIGINT_MAX = 2**63 - 1

_NOT_PREPARED = b"26000"
"""The SQLSTATE of a prepared statement that this connection does not know (yet)."""

_FINAL = (PoolTimeout, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
"""What has waited long enough already."""


def _checked(pgconn: PGconn, result: PGresult) -> PGresult:
    """The result, or what went wrong as the driver would raise it."""
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    error = psycopg.errors.error_from_result(result)
    if pgconn.status == ConnStatus.BAD and not isinstance(error, psycopg.OperationalError):
        raise psycopg.OperationalError("the connection was lost")
    raise error


class _Call:
    """One call of `log.append`: the items' rows turned into columns, and what its answer means for each item."""

    __slots__ = ("_checks", "_commands", "_items", "arguments")

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        # In the order in which they are locked, and inserted: so that no dead-lock can form between two calls.
        self._checks = sorted([(*check, n) for n, item in enumerate(items) for check in item.checks], key=_by_stream)
        events: list[EventRow] = []
        commands: list[tuple[UUID, bytes, str, int, int, int]] = []
        for n, item in enumerate(items):
            before = len(events)
            events += item.events
            for command, (first, last) in zip(item.commands, item.events_of_commands, strict=True):
                commands.append((*command, before + first, before + last, n))
        commands.sort(key=_by_id)
        self._commands = commands
        self.arguments: tuple[bytes, ...] = (
            *_packed(commands, (uuids, byteas, texts, integers, integers)),
            *_packed(self._checks, (texts, bigints, booleans)),
            *_packed(events, (texts, bigints, texts, integers, uuids, byteas, byteas, byteas, byteas)),
        )

    def verdicts(self, answer: PGresult) -> dict[int, Verdict]:
        """By the number of the item: of every item, when all was stored; else of those that stood against it."""
        positions = answer.get_value(0, 0)
        if positions is not None:
            drawn, first, stored = bigints_of(positions), 0, {}
            for n, item in enumerate(self._items):
                last = first + len(item.events)
                stored[n] = Stored(drawn[first:last])
                first = last
            return dict(stored)
        known, moved, moved_to = (answer.get_value(0, column) or b"" for column in range(1, 4))
        refused: dict[int, Verdict] = {}
        for number, version in zip(integers_of(moved), bigints_of(moved_to), strict=True):
            stream, *_, n = self._checks[number - 1]
            refused.setdefault(n, Moved(stream, version))
        return refused | {self._commands[number - 1][-1]: Known() for number in integers_of(known)}


_by_stream = itemgetter(0)


def _by_id(command: tuple[UUID, bytes, str, int, int, int]) -> int:
    return command[0].int


def _packed(rows: Sequence[tuple[Any, ...]], columns: tuple[Callable[[Sequence[Any]], Packed], ...]) -> list[Packed]:
    """The rows' first columns, each packed as its type wants it."""
    if not rows:
        return [pack(()) for pack in columns]
    return [pack(values) for pack, values in zip(columns, zip(*rows, strict=True), strict=False)]
