"""The inbox: every message as it came, sealed, with what became of it (messages.md 5).

A message is here before it is acknowledged, and it always stands in exactly one of seven states. Rows are never removed and their
bytes never change; a state changes only through `settle`, `fail` or an operator's word, each of which leaves a line behind it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import resources
from typing import Any, Final, LiteralString, NamedTuple, Protocol, cast
from uuid import UUID

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection, sql
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool, PoolTimeout

from domain.core import Recorded, StreamId
from eventlog.arrays import Packed, booleans, byteas, integers, packed_uuids, texts, timestamp
from eventlog.database import connect
from eventlog.keys import CannotUnwrap, Erased
from eventlog.recorder import LogAway

ATTEMPTS_MAX: Final = 5
"""A message that fails as often as this is dead until somebody replays it."""

RETRY_SECONDS: Final = (1, 5, 30, 120)
"""Before the second, third, fourth and fifth attempt."""

STORE_SECONDS_MAX: Final = 5.0
"""To wait for a connection: well below the time after which no acknowledgement is sent any more."""

COMMIT_MS_MAX: Final = 8_000
"""Then no sender waits any more: what stalls must not keep others from being stored."""

LIST_MAX: Final = 1_000
REPLAY_MAX: Final = 10_000

FLAG_CONTROL_ID_REUSED: Final = "control_id_reused"

CONTROL_ID_MAX: Final = 250
"""Longer than any version allows (199); what is beyond cannot be an id and is not kept in a column."""

REPLAYED: Final = "replayed"
"""The reason of a message that was taken up again."""

PARTS_OPEN: Final = "parts_open"
"""Why a message about several people waits: for what is said of each of them."""

ENDS_LATER: Final = "ends_later"
"""Why rows wait that are taken up again when the plan's own last day is over."""

ANOTHER_PLAN: Final = "assigned_under_another_plan"
NOT_ASSIGNED: Final = "not_assigned_here"
"""Why rows wait that are taken up again when an assignment ends or begins."""

DEATH_TAKEN_BACK: Final = "death_taken_back"
"""Why a message waits: the hospital took a death back that the member's own stream still has; a supervisor withdraws it there."""

HOUSE_UNCLEAR: Final = "house_unclear"
"""Why a message waits: it does not say which of its sender's houses it is about, and several have the visit."""

_CREATE_LOCK: Final = 0x696E746B
_NONCE_BYTES: Final = 12


class Status(StrEnum):
    RECEIVED = "received"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    UNMATCHED = "unmatched"
    WAITING = "waiting"
    IGNORED = "ignored"
    DEAD = "dead"


class CannotStore(Exception):
    """The message could not be made safe: it must not be acknowledged. The text is a code; the database's own words stay out.

    `at_fault`: it was a message's own doing, so others that were to be stored with it may be tried without it."""

    def __init__(self, code: str, *, at_fault: bool = False) -> None:
        super().__init__(code)
        self.at_fault = at_fault


class UnknownMessage(LookupError):
    """There is no message with this id, or it is not in the state that the request needs."""


class MonthlyKeys(Protocol):
    """What the front door needs of `eventlog.keys.KeyRing`, which keeps people's keys too."""

    def make(self, key_ids: Iterable[str]) -> None: ...
    def to_seal(self, key_id: str) -> AESGCM: ...
    def to_unseal(self, key_id: str) -> AESGCM | None: ...
    def at_hand(self, key_id: str) -> bool: ...


class Arrival(NamedTuple):
    """A message as it came in. `charset` is what the transport said of the bytes, `status` and `reason` what the door made of its
    header."""

    raw: bytes
    control_id: str
    source_id: str
    transport: str
    kind: str = ""
    peer: str = ""
    status: Status = Status.RECEIVED
    reason: str = ""
    charset: str = ""
    trace: str = ""

    @property
    def origin(self) -> tuple[str, ...]:
        """What it has in common with others of the same group: the columns in the order in which `STORE` names them."""
        return cast("tuple[str, ...]", self[2:9])


@dataclass(frozen=True, slots=True)
class Packing:
    """Messages as one statement takes them; their ids and digests in the order in which they came."""

    ids: Sequence[bytes]
    digests: Sequence[bytes]
    parameters: tuple[Packed, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What `store` did. `repeated`: the same bytes under the same control id were here before."""

    inbox_id: UUID
    repeated: bool
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message's row without its bytes."""

    inbox_id: UUID
    source_id: str
    transport: str
    peer: str
    control_id: str
    kind: str
    sha256: bytes
    received_at: datetime
    charset: str
    status: Status
    reason: str
    flags: list[str]
    error: str
    attempts: int
    next_attempt_at: datetime
    settled_at: datetime | None
    parser: str
    trace: str
    repeats: int
    stay: str | None
    member: str | None
    evidence: str
    proposed: list[str]
    released_by: str
    part_of: UUID | None
    line: int | None
    outcome: dict[str, Any] | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))


ROW_COLUMNS: Final[LiteralString] = (
    "inbox_id, source_id, transport, peer, control_id, kind, sha256, received_at, charset, status, reason, flags, error, attempts,"
    " next_attempt_at, settled_at, parser, trace, repeats, stay, member, evidence, proposed, released_by, part_of, line, outcome"
)


@dataclass(frozen=True, slots=True)
class Caused:
    """A fact of the log that a message led to."""

    position: int
    event_id: UUID
    stream: StreamId
    fact: str


@dataclass(frozen=True, slots=True)
class Transition:
    at: datetime
    status: str
    reason: str
    error: str
    by: str


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything about one message. `raw` is None where its month's key was destroyed."""

    row: Row
    raw: bytes | None
    caused: tuple[Caused, ...]
    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a message. Names no person: `evidence` says how somebody was recognised, not who.

    `again_at`: when a row that waits for a day is taken up again by itself."""

    status: Status
    reason: str = ""
    flags: tuple[str, ...] = ()
    stay: StreamId | None = None
    member: StreamId | None = None
    evidence: str = ""
    lookup: tuple[bytes, ...] = ()
    proposed: tuple[StreamId, ...] = ()
    statement_key: bytes | None = None
    semantic_hash: bytes | None = None
    parser: str = ""
    outcome: Mapping[str, Any] | None = None
    caused: tuple[tuple[Recorded, str], ...] = ()
    again_at: datetime | None = None


def create(url: str) -> None:
    """Create or complete the front door's tables in the log's database. Safe to repeat; after `eventlog.database.create`."""
    with connect(url) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))
        try:
            with conn.transaction():
                conn.execute("SET LOCAL client_min_messages = warning")
                conn.execute(resources.files("intake.store").joinpath("schema.sql").read_bytes())
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (_CREATE_LOCK,))


def uuid7(now: datetime) -> UUID:
    """An id that sorts by time (RFC 9562): 48 bits of milliseconds, then chance; within a millisecond it counts upwards, so that
    what one process took in one after the other stays in that order."""
    return UUID(bytes=_uuid7s(now, 1)[0])


def id_at(instant: datetime) -> UUID:
    """An id below those of all messages received from this instant on."""
    return UUID(int=max(0, int(instant.timestamp() * 1000)) << 80)


def _uuid7s(now: datetime, count: int) -> list[bytes]:
    millis, chance = int(now.timestamp() * 1000), os.urandom(4 * count)
    with _tail_lock:
        tail = _tails.get(millis)
        if tail is None:
            _tails.clear()
            tail = int.from_bytes(os.urandom(10), "big") >> 7  # 73 of 74 bits: room to count
        found = []
        for at in range(0, 4 * count, 4):
            tail += 1 + int.from_bytes(chance[at : at + 4], "big")
            number = (millis << 80) | (0x7 << 76) | (tail >> 62) << 64 | (0x2 << 62) | tail & _TAIL_LOW
            found.append(number.to_bytes(16, "big"))
        _tails[millis] = tail
    return found


_TAIL_LOW: Final = (1 << 62) - 1
_tails: dict[int, int] = {}
_tail_lock = threading.Lock()


def month_key(received_at: datetime) -> str:
    """The name of the key that seals what was received in a month: `inbox-2026-11`."""
    return f"inbox-{received_at.astimezone(UTC):%Y-%m}"


class Inbox:
    """Stores and finds messages. Thread-safe; every method is one transaction."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]], keys: MonthlyKeys) -> None:
        self.pool = pool
        self.keys = keys

    # -- receiving

    def store(self, arrival: Arrival, now: datetime, *, due: datetime | None = None) -> Stored:
        """Make a message safe: after this returns it survives us. `due`: when a worker may take it up (now). Raises CannotStore."""
        return self.store_all((arrival,), now, due=due)[0]

    def store_all(self, arrivals: Sequence[Arrival], now: datetime, *, due: datetime | None = None) -> tuple[Stored, ...]:
        """Make messages safe in one round trip and one commit; where the same one stands among them again, in another.

        The same bytes under the same control id again only raise a counter. Raises CannotStore.
        """
        stored: dict[int, Stored] = {}
        rest = list(enumerate(arrivals))
        while rest:
            wave, rest = _without_repeats(rest)
            found = self._store_wave([arrival for _, arrival in wave], now, due or now)
            stored |= {n: one for (n, _), one in zip(wave, found, strict=True)}
        return tuple(stored[n] for n in range(len(arrivals)))

    def _store_wave(self, arrivals: Sequence[Arrival], now: datetime, due: datetime) -> list[Stored]:
        try:
            packing = self.pack(arrivals, now, due)
            with self.pool.connection(timeout=STORE_SECONDS_MAX) as conn, conn.cursor(binary=True) as cursor:
                with conn.pipeline():  # one round trip and, because nothing lies between, one transaction
                    conn.execute("SELECT set_config('statement_timeout', %s, true)", (str(COMMIT_MS_MAX),), prepare=True)
                    cursor.execute(STORE, packing.parameters, prepare=True)
                repeated = cursor.fetchall()
        except (psycopg.Error, PoolTimeout, CannotUnwrap, Erased, LogAway) as trouble:
            raise CannotStore(type(trouble).__name__, at_fault=isinstance(trouble, psycopg.DataError)) from None
        here = {(source, control, sha): Stored(id, True, Status(status)) for source, control, sha, id, status in repeated}
        return [
            here.get((a.source_id, a.control_id, sha)) or Stored(UUID(bytes=id), False, a.status)
            for a, id, sha in zip(arrivals, packing.ids, packing.digests, strict=True)
        ]

    def ready(self, now: datetime) -> bool:
        """Whether messages can be packed without waiting for the key that seals them."""
        return self.keys.at_hand(month_key(now))

    def pack(self, arrivals: Sequence[Arrival], now: datetime, due: datetime) -> Packing:
        """Messages, sealed, as `STORE` takes them. None of them may be there twice. Raises CannotUnwrap, Erased, KeysAway."""
        key_id = month_key(now)
        encrypt = self.keys.to_seal(key_id).encrypt
        ids, chance = _uuid7s(now, len(arrivals)), os.urandom(_NONCE_BYTES * len(arrivals))
        nonces = [chance[at : at + _NONCE_BYTES] for at in range(0, len(chance), _NONCE_BYTES)]
        digests = [hashlib.sha256(a.raw).digest() for a in arrivals]
        # In one order for everybody: two batches that hold the same messages wait for each other instead of dead-locking.
        order = sorted(range(len(arrivals)), key=digests.__getitem__)
        origins = {origin: n for n, origin in enumerate(dict.fromkeys([a.origin for a in arrivals]), start=1)}
        control_ids = [arrivals[n].control_id for n in order]
        reused = _reused(arrivals) if len(set(control_ids)) < len(arrivals) else ()
        parameters = (
            packed_uuids([ids[n] for n in order]),
            texts(control_ids),
            byteas([digests[n] for n in order]),
            byteas([nonces[n] + encrypt(nonces[n], arrivals[n].raw, ids[n]) for n in order]),
            integers([origins[arrivals[n].origin] for n in order]),
            # Shorter columns are filled up with NULL.
            texts([arrivals[n].trace for n in order] if any(a.trace for a in arrivals) else ()),
            booleans([n in reused for n in order] if reused else ()),
            *(texts(column) for column in zip(*origins, strict=True)),
            *(Packed(value) for value in (timestamp(now), key_id.encode(), FLAG_CONTROL_ID_REUSED.encode(), timestamp(due))),
        )
        return Packing(ids, digests, parameters)

    def store_parts(self, conn: Connection[TupleRow], whole: Row, parts: Sequence[bytes], now: datetime) -> None:
        """The parts of a message as messages of their own. Those that are here already are taken up again: all with a replay, else
        those that are open, because a released whole says nothing against what somebody discarded."""
        key_id, replayed = month_key(now), whole.reason == REPLAYED
        for line, raw in enumerate(parts, start=1):
            inbox_id = uuid7(now)
            taken_up = conn.execute(
                "INSERT INTO intake.inbox (inbox_id, source_id, transport, peer, control_id, kind, sha256, sealed, key_id, charset,"
                " received_at, status, next_attempt_at, trace, part_of, line)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'received', %s, %s, %s, %s)"
                " ON CONFLICT (source_id, control_id, sha256) DO UPDATE SET status = 'received', reason = %s, attempts = 0,"
                " next_attempt_at = EXCLUDED.next_attempt_at, settled_at = NULL WHERE inbox.status <> 'received'"
                " AND (%s OR inbox.status IN ('unmatched', 'waiting', 'dead')) RETURNING inbox_id, reason",
                (
                    inbox_id, whole.source_id, whole.transport, whole.peer, f"{whole.sha256.hex()}:{line}", whole.kind,
                    hashlib.sha256(raw).digest(), self.seal(raw, inbox_id, key_id), key_id, whole.charset, whole.received_at, now,
                    whole.trace, whole.inbox_id, line, whole.reason or REPLAYED, replayed,
                ),
            ).fetchone()  # fmt: skip
            if taken_up is not None:
                by = f"source:{whole.source_id}" if taken_up[0] == inbox_id else whole.released_by or "system"
                tell(conn, taken_up[0], now, Status.RECEIVED, taken_up[1], "", by)

    # -- working

    def has_work(self, now: datetime) -> bool:
        """Whether something is due, in whoever's hands it may be."""
        with self.pool.connection() as conn:
            row = conn.execute(
                "SELECT EXISTS (SELECT FROM intake.inbox WHERE status = 'received' AND next_attempt_at <= %s)", (now,), prepare=True
            ).fetchone()
        return row is not None and bool(row[0])

    def fail(self, inbox_id: UUID, error: str, now: datetime) -> Status:
        """An attempt went wrong: again later, dead after the fifth; unless it was settled since. `error` is a code."""
        with self.pool.connection() as conn, conn.transaction():
            row = conn.execute("SELECT attempts, status FROM intake.inbox WHERE inbox_id = %s FOR UPDATE", (inbox_id,)).fetchone()
            assert row is not None, inbox_id
            if row[1] != Status.RECEIVED:
                return Status(row[1])
            attempts = int(row[0]) + 1
            status = Status.DEAD if attempts >= ATTEMPTS_MAX else Status.RECEIVED
            reason = "gave_up" if status is Status.DEAD else "retrying"
            pause = timedelta(seconds=RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1])
            conn.execute(
                "UPDATE intake.inbox SET attempts = %s, status = %s, reason = %s, error = %s, next_attempt_at = %s, settled_at = %s"
                " WHERE inbox_id = %s",
                (attempts, status.value, reason, error, now + pause, now if status is Status.DEAD else None, inbox_id),
            )
            tell(conn, inbox_id, now, status, reason, error, "system")
        return status

    # -- showing

    def show(self, inbox_id: UUID) -> Shown:
        """A message with its bytes, the facts that it caused and how it came to its state. Raises UnknownMessage."""
        with self.pool.connection() as conn:
            with conn.cursor(row_factory=class_row(Row)) as cursor:
                row = cursor.execute(f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE inbox_id = %s", (inbox_id,)).fetchone()
            if row is None:
                raise UnknownMessage(f"there is no message {inbox_id} in the inbox")
            caused = conn.execute(
                "SELECT position, event_id, stream, fact FROM intake.caused WHERE inbox_id = %s ORDER BY position", (inbox_id,)
            ).fetchall()
            told = conn.execute(
                "SELECT at, status, reason, error, by FROM intake.transitions WHERE inbox_id = %s ORDER BY number", (inbox_id,)
            ).fetchall()
        return Shown(row, self.raw(inbox_id), tuple(Caused(*c) for c in caused), tuple(Transition(*t) for t in told))

    def raw(self, inbox_id: UUID) -> bytes | None:
        """The bytes as they were received; None where their month's key was destroyed. Raises UnknownMessage, CannotUnwrap."""
        with self.pool.connection() as conn:
            row = conn.execute("SELECT sealed, key_id FROM intake.inbox WHERE inbox_id = %s", (inbox_id,)).fetchone()
        if row is None:
            raise UnknownMessage(f"there is no message {inbox_id} in the inbox")
        return self.unseal(row[0], inbox_id, row[1])

    def find(
        self,
        *,
        inbox_id: UUID | None = None,
        status: Status | None = None,
        source_id: str | None = None,
        control_id: str | None = None,
        stay: StreamId | None = None,
        part_of: UUID | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        files: bool | None = None,
        before: UUID | None = None,
        limit: int = 100,
    ) -> tuple[Row, ...]:
        """Messages, the newest first; `before` is the id after which the next page begins. `files`: only, or none, of member
        files and their rows."""
        assert 0 < limit <= LIST_MAX
        where, values = _filter(
            inbox_id=inbox_id, status=status, source_id=source_id, control_id=control_id, stay=stay, part_of=part_of, reason=reason
        )
        if since is not None:
            where.append(sql.SQL("received_at >= {}").format(sql.Placeholder("since")))
        if before is not None:
            where.append(sql.SQL("inbox_id < {}").format(sql.Placeholder("before")))
        if files is not None:
            where.append(sql.SQL("transport = 'file'" if files else "transport <> 'file'"))
        query = sql.SQL("SELECT {} FROM intake.inbox WHERE {} ORDER BY inbox_id DESC LIMIT {}").format(
            sql.SQL(ROW_COLUMNS), sql.SQL(" AND ").join([sql.SQL("true"), *where]), sql.Placeholder("limit")
        )
        with self.pool.connection() as conn, conn.cursor(row_factory=class_row(Row)) as cursor:
            return tuple(cursor.execute(query, {**values, "since": since, "before": before, "limit": limit}).fetchall())

    # -- an operator's word

    def replay(self, inbox_id: UUID, *, by: str, now: datetime) -> None:
        """Take a message up again with the present parser. It keeps its id, so what it has caused is not caused twice."""
        with self.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'received', reason = %s, error = '', attempts = 0, next_attempt_at = %s,"
                " settled_at = NULL WHERE inbox_id = %s AND status <> 'received' RETURNING inbox_id",
                (REPLAYED, now, inbox_id),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no message {inbox_id} that could be replayed")
            tell(conn, inbox_id, now, Status.RECEIVED, REPLAYED, "", by)

    def resolve(self, inbox_id: UUID, member: StreamId, *, by: str, now: datetime) -> None:
        """A person says whose message this is. It is then applied to that member, with that person's name on it.

        Raises UnknownMessage where the message neither is unmatched nor waits.
        """
        self._release(inbox_id, by=by, now=now, member=member, reason="resolved_by_hand")

    def release(self, inbox_id: UUID, *, by: str, now: datetime) -> None:
        """A person has looked at a message that waits, and lets it be applied as it is."""
        self._release(inbox_id, by=by, now=now, member=None, reason="released_by_hand")

    def discard(
        self,
        inbox_id: UUID,
        *,
        reason: str,
        by: str,
        now: datetime,
        only: Sequence[Status] = (Status.UNMATCHED, Status.WAITING, Status.DEAD),
    ) -> None:
        """Somebody has looked at a message and says that nothing is to follow from it. It stays in the inbox."""
        with self.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'ignored', reason = %s, settled_at = %s"
                " WHERE inbox_id = %s AND status = ANY(%s) RETURNING part_of",
                (reason, now, inbox_id, [status.value for status in only]),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no open message {inbox_id}: only unmatched, waiting and dead ones can be discarded")
            tell(conn, inbox_id, now, Status.IGNORED, reason, "", by)
            if found[0] is not None:
                settle_wholes(conn, found, now)

    def wake_unmatched(self, conn: Connection[TupleRow], keys: Sequence[bytes], now: datetime) -> int:
        """Somebody became known under one of these look-up keys: the messages that wait for them are taken up again, together with
        what else is written on the connection."""
        rows = conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = 'member_became_known', attempts = 0, next_attempt_at = %s,"
            " settled_at = NULL WHERE status = 'unmatched' AND lookup && %s::bytea[] RETURNING inbox_id",
            (now, list(keys)),
        ).fetchall()
        for (inbox_id,) in rows:
            tell(conn, inbox_id, now, Status.RECEIVED, "member_became_known", "", "system")
        return len(rows)

    def wake_waiting(self, conn: Connection[TupleRow], members: Sequence[StreamId], reasons: Iterable[str], now: datetime) -> int:
        """Somebody decided something about who these members are: the messages that wait with one of them proposed are taken up."""
        rows = conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = 'identity_decided', attempts = 0, next_attempt_at = %s,"
            " settled_at = NULL WHERE status IN ('waiting', 'unmatched') AND reason = ANY(%s)"
            " AND proposed && %s::text[] RETURNING inbox_id",
            (now, list(reasons), list(members)),
        ).fetchall()
        for (inbox_id,) in rows:
            tell(conn, inbox_id, now, Status.RECEIVED, "identity_decided", "", "system")
        return len(rows)

    def wake_rows(self, conn: Connection[TupleRow], members: Sequence[StreamId], reason: str, now: datetime) -> int:
        """What rows of files about these members waited for has come: they are taken up again."""
        rows = conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = 'taken_up_again', attempts = 0, next_attempt_at = %s,"
            " settled_at = NULL WHERE status = 'waiting' AND transport = 'file' AND line IS NOT NULL"
            " AND member = ANY(%s) AND reason = %s RETURNING inbox_id",
            (now, list(members), reason),
        ).fetchall()
        for (inbox_id,) in rows:
            tell(conn, inbox_id, now, Status.RECEIVED, "taken_up_again", "", "system")
        return len(rows)

    def wake_at_their_day(self, conn: Connection[TupleRow], reason: str, now: datetime) -> int:
        """The day that rows of files waited for has come: they are taken up again."""
        rows = conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = 'taken_up_again', attempts = 0, settled_at = NULL"
            " WHERE status = 'waiting' AND transport = 'file' AND line IS NOT NULL AND reason = %s AND next_attempt_at <= %s"
            " RETURNING inbox_id",
            (reason, now),
        ).fetchall()
        for (inbox_id,) in rows:
            tell(conn, inbox_id, now, Status.RECEIVED, "taken_up_again", "", "system")
        return len(rows)

    def recognised(
        self, conn: Connection[TupleRow], inbox_id: UUID, member: StreamId | None, *, by: str, now: datetime, still_open: str = ""
    ) -> int:
        """Somebody said whose a message is (None: whose not), and it is taken up again if it still is open. A row of a file that is
        not about whom it names is over, but for one that waits for the reason `still_open`: that one is somebody else's."""
        if member is None:
            settled = conn.execute(
                "UPDATE intake.inbox SET status = 'ignored', reason = 'kept_apart', settled_at = %s"
                " WHERE inbox_id = %s AND transport = 'file' AND status = 'waiting' AND reason <> %s RETURNING inbox_id",
                (now, inbox_id, still_open),
            ).fetchone()
            if settled is not None:
                tell(conn, inbox_id, now, Status.IGNORED, "kept_apart", "", by)
                return 0
        reason = "disowned_by_hand" if member is None else "resolved_by_hand"
        found = conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = %s, released_by = CASE WHEN %s::text IS NULL THEN released_by"
            " ELSE %s END, member = coalesce(%s, member), attempts = 0, next_attempt_at = %s, settled_at = NULL"
            " WHERE inbox_id = %s AND status IN ('unmatched', 'waiting') RETURNING inbox_id",
            (reason, member, by, member, now, inbox_id),
        ).fetchone()
        if found is None:
            return 0
        tell(conn, inbox_id, now, Status.RECEIVED, reason, "", by)
        return 1

    # -- inside

    def _release(self, inbox_id: UUID, *, by: str, now: datetime, member: StreamId | None, reason: str) -> None:
        with self.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'received', reason = %s, released_by = %s, member = coalesce(%s, member),"
                " attempts = 0, next_attempt_at = %s, settled_at = NULL"
                " WHERE inbox_id = %s AND status IN ('unmatched', 'waiting') RETURNING inbox_id",
                (reason, by, member, now, inbox_id),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no message {inbox_id} that is unmatched or waits; see `throughline inbox`")
            tell(conn, inbox_id, now, Status.RECEIVED, reason, "", by)

    def seal(self, raw: bytes, inbox_id: UUID, key_id: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.keys.to_seal(key_id).encrypt(nonce, raw, inbox_id.bytes)

    def unseal(self, sealed: bytes, inbox_id: UUID, key_id: str) -> bytes | None:
        """The bytes in the clear; None where their month's key was destroyed. Raises CannotUnwrap."""
        cipher = self.keys.to_unseal(key_id)
        if cipher is None:
            return None
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], inbox_id.bytes)
        except InvalidTag:
            raise CannotUnwrap(f"the stored bytes of message {inbox_id} are damaged: restore the inbox") from None


def _without_repeats(arrivals: Sequence[tuple[int, Arrival]]) -> tuple[list[tuple[int, Arrival]], list[tuple[int, Arrival]]]:
    """Those that differ from one another, and the rest, in order: one statement cannot store and count the same message."""
    wave: list[tuple[int, Arrival]] = []
    rest: list[tuple[int, Arrival]] = []
    seen: set[tuple[str, str, bytes]] = set()
    for n, arrival in arrivals:
        key = (arrival.source_id, arrival.control_id, arrival.raw)
        (rest if key in seen else wave).append((n, arrival))
        seen.add(key)
    return wave, rest


def repeats_among(arrivals: Sequence[Arrival]) -> bool:
    """Whether one of the messages may stand among them twice."""
    return len({(a.source_id, a.control_id) for a in arrivals}) < len(arrivals)


def _reused(arrivals: Sequence[Arrival]) -> frozenset[int]:
    """Those, by number, whose control id another message of the same batch had before them."""
    seen: set[tuple[str, str]] = set()
    found: set[int] = set()
    for n, arrival in enumerate(arrivals):
        name = (arrival.source_id, arrival.control_id)
        if arrival.control_id and name in seen:
            found.add(n)
        seen.add(name)
    return frozenset(found)


STORE: Final[LiteralString] = """
WITH stored AS (
    INSERT INTO intake.inbox (inbox_id, source_id, transport, peer, control_id, kind, status, reason, trace, charset, sha256,
        sealed, flags, received_at, key_id, next_attempt_at, settled_at)
    SELECT a.id, o.source[a.o], o.transport[a.o], o.peer[a.o], a.control, o.kind[a.o], o.status[a.o], o.reason[a.o],
        coalesce(a.trace, ''), o.charset[a.o], a.sha, a.sealed,
        CASE WHEN a.reused OR a.control <> '' AND o.transport[a.o] <> 'file' AND EXISTS (SELECT FROM intake.inbox i
                WHERE i.source_id = o.source[a.o] AND i.control_id = a.control AND i.sha256 <> a.sha)
            THEN ARRAY[o.reused] ELSE '{}'::text[] END,
        o.now, o.key, o.due, CASE WHEN o.status[a.o] <> 'received' THEN o.now END
    FROM unnest(%b::uuid[], %b::text[], %b::bytea[], %b::bytea[], %b::integer[], %b::text[], %b::boolean[])
            AS a (id, control, sha, sealed, o, trace, reused),
        (SELECT %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
                %b::timestamptz, %b::text, %b::text, %b::timestamptz)
            AS o (source, transport, kind, peer, status, reason, charset, now, key, reused, due)
    ON CONFLICT (source_id, control_id, sha256) DO UPDATE SET repeats = inbox.repeats + 1, repeated_at = EXCLUDED.received_at
    RETURNING inbox_id, source_id, control_id, sha256, status, reason, received_at, repeats
), told AS (
    INSERT INTO intake.transitions (inbox_id, at, status, reason, error, by)
    SELECT inbox_id, received_at, status, reason, '', 'source:' || source_id FROM stored WHERE repeats = 0
)
SELECT source_id, control_id, sha256, inbox_id, status FROM stored WHERE repeats > 0"""
"""Stores messages; tells those that were here before. What they have in common is sent once, and named by its number."""


def settle_wholes(conn: Connection[TupleRow], wholes: Iterable[UUID], now: datetime) -> None:
    """A message that was taken apart is applied once all its parts are settled; it waits as long as one of them does."""
    if not (ids := sorted(wholes)):
        return
    # Of two who settle its last two parts at the same time, the later one sees both.
    conn.execute("SELECT FROM intake.inbox WHERE inbox_id = ANY(%s) AND status = 'waiting' ORDER BY inbox_id FOR UPDATE", (ids,))
    rows = conn.execute(
        "UPDATE intake.inbox w SET status = 'applied', reason = 'parts_settled', settled_at = %s WHERE inbox_id = ANY(%s)"
        " AND status = 'waiting' AND reason = %s AND NOT EXISTS (SELECT FROM intake.inbox p WHERE p.part_of = w.inbox_id"
        " AND p.status NOT IN ('applied', 'duplicate', 'ignored')) RETURNING inbox_id",
        (now, ids, PARTS_OPEN),
    ).fetchall()
    for (inbox_id,) in rows:
        tell(conn, inbox_id, now, Status.APPLIED, "parts_settled", "", "system")


def tell(conn: Connection[TupleRow], inbox_id: UUID, at: datetime, status: Status, reason: str, error: str, by: str) -> None:
    """Write down how a message came to its state."""
    conn.execute(TELL, (inbox_id, at, status.value, reason, error, by))


TELL: Final[LiteralString] = (
    "INSERT INTO intake.transitions (inbox_id, at, status, reason, error, by) VALUES (%s, %s, %s, %s, %s, %s)"
)


def _filter(**wanted: Any) -> tuple[list[sql.Composable], dict[str, Any]]:
    given = {name: value.value if isinstance(value, Status) else value for name, value in wanted.items() if value is not None}
    return [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in given], given
