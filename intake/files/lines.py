"""Rows of files in work: taken in batches under row locks, settled in one transaction with what the plans' lists said.

A row is a message of its own (`file_hash:line`); what is here is what rows need beyond that: the memory of what a plan's file last
said of each member, and the files as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from domain.core import Command, StreamId
from eventlog.arrays import booleans, byteas, texts, uuids
from eventlog.gateway import Order
from intake.files.memberfile import AuthorisationRow, RosterRow, RowProblem
from intake.files.profiles import Profile
from intake.people.identity import IdentityKeys
from intake.store.claims import INDEX_LOCK, Messages
from intake.store.inbox import ENDS_LATER, ROW_COLUMNS, Inbox, Row, Settlement, Status, UnknownMessage, month_key, tell, uuid7

BATCH_MAX: Final = 64
"""Rows of one batch: one look and a few appends for all of them."""

PER_INSERT: Final = 500
TOLD_MAX: Final = 1_000
ROW_PARSER: Final = "rows/2"
UNCHANGED: Final = "unchanged"
SUPERSEDED: Final = "superseded_by_later_file"
LEFT_OUT: Final = "left_out_of_later_roster"
REJECTED: Final = "row_rejected"


@dataclass(frozen=True, slots=True)
class Reading:
    """A row that could be read. `key` is the keyed digest of its CIN, `digest` that of all that it says, `person` that of the last
    name and birth date."""

    row: Row
    profile: Profile
    said: RosterRow | AuthorisationRow
    key: bytes
    digest: bytes
    slot: bytes = b""
    person: bytes = b""

    @property
    def subject(self) -> bytes:
        """What the row is about: a later row about the same takes its place where it waits."""
        return self.slot or self.key

    @property
    def plan(self) -> str:
        return self.profile.plan

    @property
    def file(self) -> UUID:
        return self.row.part_of or self.row.inbox_id

    def problem(self, column: str, reason: str, remedy: str) -> RowProblem:
        return RowProblem(self.row.line or 0, column, reason, remedy)

    def waits(self, reason: str, column: str, because: str, remedy: str, member: StreamId | None = None) -> Settlement:
        """The row is kept for a person, or for what has to come first."""
        return not_taken(Status.WAITING, reason, (self.problem(column, because, remedy), *self.said.notes), member)

    def left_out(self, reason: str, column: str, because: str, remedy: str) -> Settlement:
        """Nothing is to follow from the row."""
        return not_taken(Status.IGNORED, reason, (self.problem(column, because, remedy), *self.said.notes))


@dataclass(slots=True)
class Asked:
    """What a row asks of the log: the commands in the order in which they have to be decided, and what is to be kept of it.

    `waiting`: the rest of the row waits, and what is asked for does not. `done_before` names what the row may have asked for
    already: by that it is known what an attempt that broke off has done."""

    reading: Reading
    identity: IdentityKeys
    member: StreamId
    by: str
    evidence: str = "cin"
    reason: str = ""
    orders: list[Order] = field(default_factory=list)
    done_before: list[str] = field(default_factory=list)
    notes: list[RowProblem] = field(default_factory=list)
    listing: Listing | None = None
    registers: bool = False
    waiting: Settlement | None = None

    def add(self, what: str, command: Command) -> None:
        inbox_id = self.reading.row.inbox_id
        self.orders.append(Order(
            command=command, command_id=self.identity.command(inbox_id, what), causation=str(inbox_id),
            correlation=str(self.reading.file),
        ))  # fmt: skip

    def may_have(self, *whats: str) -> None:
        """Commands that are not needed now and may have been carried out by an attempt that broke off."""
        self.done_before += whats

    @property
    def ids(self) -> list[UUID]:
        """The ids of those commands."""
        return [self.identity.command(self.reading.row.inbox_id, what) for what in self.done_before]

    def note(self, column: str, reason: str, remedy: str) -> None:
        self.notes.append(self.reading.problem(column, reason, remedy))

    def said(self) -> dict[str, Any]:
        """What all commands of the row have in common."""
        row = self.reading.row
        return {"by": self.by, "occurred_at": row.received_at, "message_id": str(row.inbox_id)}


def not_taken(status: Status, reason: str, problems: Sequence[RowProblem], member: StreamId | None = None) -> Settlement:
    outcome = {"problems": [asdict(problem) for problem in problems]}
    return Settlement(status=status, reason=reason, outcome=outcome, member=member, parser=ROW_PARSER)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a plan's file last said of a member: a digest of the row, whether it listed them, in which file, with which contact
    points (their ids)."""

    member: StreamId
    digest: bytes
    listed: bool
    file: UUID
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one row. `outcome` holds problems, where it was not taken, and notes."""

    line: int
    inbox_id: UUID
    status: Status
    reason: str
    outcome: dict[str, Any]


@contextmanager
def next_rows(
    inbox: Inbox, now: datetime, *, limit: int = BATCH_MAX, file: UUID | None = None, after: int = 0, row: UUID | None = None
) -> Iterator[Rows]:
    """Rows of files, held for this caller alone until the block ends: those that are due, or those of one file below a line
    whenever they are due, or one. The identity index stands still meanwhile, as for messages."""
    if row is not None:
        which = "inbox_id = %(row)s"
    elif file is not None:
        which = "part_of = %(file)s AND line > %(after)s"
    else:
        which = "next_attempt_at <= %(now)s"
    with inbox.pool.connection() as conn, conn.pipeline(), conn.transaction():
        conn.execute(f"SELECT pg_advisory_xact_lock_shared({INDEX_LOCK})")
        found = conn.execute(
            f"SELECT sealed, key_id, {ROW_COLUMNS} FROM intake.inbox"
            f" WHERE status = 'received' AND transport = 'file' AND line IS NOT NULL AND {which}"
            " ORDER BY part_of, line LIMIT %(limit)s FOR UPDATE SKIP LOCKED",
            {"now": now, "limit": limit, "file": file, "after": after, "row": row},
            binary=True,
        ).fetchall()
        yield Rows(inbox, conn, found)


class Rows(Messages):
    """A batch of rows in work. Everything written here is committed with it."""

    def make_keys(self, members: Iterable[StreamId]) -> None:
        """The keys of people who are about to become known, at once. Raises KeysAway."""
        self._inbox.keys.make(members)

    def listings(self, asked: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], Listing]:
        """What the plans' files last said of CINs: (plan, key of the CIN)."""
        rows = self.conn.execute(
            "SELECT r.plan, r.cin_key, r.member, r.row_digest, r.listed, r.file_id, r.points FROM intake.roster r"
            " JOIN unnest(%s::text[], %s::bytea[]) AS asked (plan, key) ON r.plan = asked.plan AND r.cin_key = asked.key",
            (texts([plan for plan, _ in asked]), byteas([key for _, key in asked])),
        ).fetchall()
        return {(row[0], row[1]): Listing(row[2], row[3], row[4], row[5], tuple(row[6])) for row in rows}

    def keep(self, said: Mapping[tuple[str, bytes], Listing]) -> None:
        """What the files of this batch said of CINs, from now on. Naming somebody again ends their being missed."""
        self.conn.execute(
            "INSERT INTO intake.roster (plan, cin_key, member, row_digest, listed, file_id, points)"
            " SELECT s.plan, s.key, s.member, s.digest, s.listed, s.file, s.points::text[]"
            " FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::bytea[], %s::boolean[], %s::uuid[], %s::text[])"
            " AS s (plan, key, member, digest, listed, file, points)"
            " ON CONFLICT (plan, cin_key) DO UPDATE SET member = EXCLUDED.member, row_digest = EXCLUDED.row_digest,"
            " listed = EXCLUDED.listed, file_id = EXCLUDED.file_id, points = EXCLUDED.points",
            (
                texts([plan for plan, _ in said]),
                byteas([key for _, key in said]),
                texts([one.member for one in said.values()]),
                byteas([one.digest for one in said.values()]),
                booleans([one.listed for one in said.values()]),
                uuids([one.file for one in said.values()]),
                texts(["{" + ",".join(one.points) + "}" for one in said.values()]),
            ),
        )

    def supersede(self, subjects: Mapping[bytes, UUID], now: datetime) -> None:
        """Rows of earlier files that wait about these subjects give way to the rows of this file."""
        rows = self.conn.execute(
            f"UPDATE intake.inbox i SET status = 'ignored', reason = '{SUPERSEDED}', settled_at = %s"
            " FROM unnest(%s::bytea[], %s::uuid[]) AS s (subject, file) WHERE i.semantic_hash = s.subject"
            " AND i.status IN ('waiting', 'unmatched') AND i.transport = 'file' AND i.part_of < s.file RETURNING i.inbox_id",
            (now, byteas(list(subjects)), uuids(list(subjects.values()))),
        ).fetchall()
        self._tell([(id, now, Status.IGNORED.value, SUPERSEDED, "", "system") for (id,) in rows])


class Lines:
    """The rows of files in the inbox, as a whole. Every method is one transaction."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def store(self, file: Row, lines: Sequence[tuple[int, bytes]], *, kind: str, due: datetime) -> None:
        """The rows of a file, each as a message of its own: `file_hash:line`. What is here already stays as it is."""
        key_id, now, name = month_key(file.received_at), file.received_at, file.sha256.hex()
        for start in range(0, len(lines), PER_INSERT):
            batch = [(uuid7(now), number, raw) for number, raw in lines[start : start + PER_INSERT]]
            with self._inbox.pool.connection() as conn:
                conn.execute(
                    "INSERT INTO intake.inbox (inbox_id, source_id, transport, control_id, kind, sha256, sealed, key_id,"
                    " received_at, status, next_attempt_at, part_of, line)"
                    " SELECT l.id, %s, 'file', %s || ':' || l.line, %s, l.sha, l.sealed, %s, %s, 'received', %s, %s, l.line"
                    " FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[]) AS l (id, line, sha, sealed)"
                    " ON CONFLICT (source_id, control_id, sha256) DO NOTHING",
                    (
                        file.source_id, name, kind, key_id, now, due, file.inbox_id, uuids([id for id, _, _ in batch]),
                        [number for _, number, _ in batch], byteas([hashlib.sha256(raw).digest() for _, _, raw in batch]),
                        byteas([self._inbox.seal(raw, id, key_id) for id, _, raw in batch]),
                    ),
                )  # fmt: skip

    def counts(self, file: UUID) -> dict[Status, int]:
        """How many rows of a file are in each state."""
        with self._inbox.pool.connection() as conn:
            rows = conn.execute("SELECT status, count(*) FROM intake.inbox WHERE part_of = %s GROUP BY status", (file,)).fetchall()
        return {Status(status): count for status, count in rows}

    def told(self, file: UUID, *, after: int = 0, limit: int = TOLD_MAX, only_remarkable: bool = False) -> tuple[Told, ...]:
        """What became of a file's rows below a line, in the sheet's order. `only_remarkable`: those of which there is something to
        say."""
        remarkable = " AND (status NOT IN ('applied', 'duplicate') OR outcome IS NOT NULL)" if only_remarkable else ""
        with self._inbox.pool.connection() as conn:
            rows = conn.execute(
                f"SELECT line, inbox_id, status, reason, outcome FROM intake.inbox WHERE part_of = %s AND line > %s{remarkable}"
                " ORDER BY line LIMIT %s",
                (file, after, limit),
            ).fetchall()
        return tuple(Told(line, id, Status(status), reason, outcome or {}) for line, id, status, reason, outcome in rows)

    def listed(self, plan: str, *, until: UUID | None = None) -> tuple[tuple[bytes, StreamId], ...]:
        """The members whom a plan's files list now: (key of the CIN, member). `until`: as far as files up to this one say so."""
        with self._inbox.pool.connection() as conn:
            rows = conn.execute(
                "SELECT cin_key, member FROM intake.roster WHERE plan = %s AND listed AND (%s::uuid IS NULL OR file_id <= %s)"
                " ORDER BY member",
                (plan, until, until),
            ).fetchall()
        return tuple((row[0], row[1]) for row in rows)

    def knows(self, plan: str, *, after: StreamId = "", limit: int = TOLD_MAX) -> tuple[tuple[StreamId, tuple[str, ...]], ...]:
        """The members whom a plan lists, in the order of their ids, with the contact points that its files named last."""
        with self._inbox.pool.connection() as conn:
            rows = conn.execute(
                "SELECT member, points FROM intake.roster WHERE plan = %s AND listed AND member > %s ORDER BY member LIMIT %s",
                (plan, after, limit),
            ).fetchall()
        return tuple((member, tuple(points)) for member, points in rows)

    def unlist(self, plan: str, members: Sequence[StreamId]) -> None:
        """A full roster no longer names these members. Their episodes go on until somebody ends them."""
        with self._inbox.pool.connection() as conn:
            conn.execute("UPDATE intake.roster SET listed = false WHERE plan = %s AND member = ANY(%s)", (plan, list(members)))

    def give_way(self, roster: Row, named: Sequence[bytes], now: datetime) -> None:
        """A full roster is the plan's whole word: rows about members that wait in its earlier files and that it does not name are
        over, but for those that end an assignment. `named`: whom it is about."""
        with self._inbox.pool.connection() as conn, conn.transaction():
            rows = conn.execute(
                "UPDATE intake.inbox SET status = 'ignored', reason = %s, settled_at = %s"
                " WHERE source_id = %s AND status IN ('waiting', 'unmatched') AND transport = 'file' AND line IS NOT NULL"
                " AND split_part(kind, ':', 1) = 'row' AND part_of < %s AND reason <> %s"
                " AND semantic_hash IS NOT NULL AND NOT semantic_hash = ANY(%s) RETURNING inbox_id",
                (LEFT_OUT, now, roster.source_id, roster.inbox_id, ENDS_LATER, list(named)),
            ).fetchall()
            for (inbox_id,) in rows:
                tell(conn, inbox_id, now, Status.IGNORED, LEFT_OUT, "", "system")

    def refuse(self, file: UUID, *, reason: str, error: str) -> None:
        """Why a refused file cannot be read, in words that name no person: what its sender should know outlives the answer."""
        with self._inbox.pool.connection() as conn:
            conn.execute(
                "UPDATE intake.inbox SET error = %s WHERE inbox_id = %s AND status = 'dead' AND reason = %s", (error, file, reason)
            )

    def read_anew(self, file: UUID, kind: str, *, by: str, now: datetime) -> None:
        """A file that could not be read as a whole is taken up again, as what it is now said to be."""
        with self._inbox.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'received', reason = 'read_anew', error = '', kind = %s, attempts = 0,"
                " settled_at = NULL"
                " WHERE inbox_id = %s AND status = 'dead' AND line IS NULL RETURNING inbox_id",
                (kind, file),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no refused file {file}")
            tell(conn, file, now, Status.RECEIVED, "read_anew", "", by)

    def confirm(self, file: UUID, *, reason: str, by: str, now: datetime) -> None:
        """A person says that a file which stopped is right. Raises UnknownMessage where it does not wait."""
        with self._inbox.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'received', reason = %s, released_by = %s, attempts = 0, next_attempt_at = %s,"
                " settled_at = NULL WHERE inbox_id = %s AND status = 'waiting' AND line IS NULL AND transport = 'file'"
                " RETURNING inbox_id",
                (reason, by, now, file),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no file {file} that waits for somebody's word; see `throughline files list`")
            tell(conn, file, now, Status.RECEIVED, reason, "", by)

    def reject(self, file: UUID, *, reason: str, by: str, now: datetime) -> None:
        """A person says that nothing is to follow from a file which stopped. Raises UnknownMessage where it does not wait."""
        with self._inbox.pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "UPDATE intake.inbox SET status = 'ignored', reason = %s, settled_at = %s"
                " WHERE inbox_id = %s AND status = 'waiting' AND line IS NULL AND transport = 'file' RETURNING inbox_id",
                (reason, now, file),
            ).fetchone()
            if found is None:
                raise UnknownMessage(f"there is no file {file} that waits for somebody's word; see `throughline files list`")
            tell(conn, file, now, Status.IGNORED, reason, "", by)

    def file(self, file: UUID) -> Row | None:
        """A file's own row, without its bytes."""
        with self._inbox.pool.connection() as conn, conn.cursor(row_factory=class_row(Row)) as cursor:
            return cursor.execute(
                f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE inbox_id = %s AND transport = 'file' AND line IS NULL", (file,)
            ).fetchone()

    def followed(self, file: Row) -> bool:
        """Whether another file of the same kind from the same plan was taken in since."""
        with self._inbox.pool.connection() as conn:
            found = conn.execute(
                "SELECT EXISTS (SELECT FROM intake.inbox WHERE source_id = %s AND kind = %s AND transport = 'file' AND line IS NULL"
                " AND status = 'applied' AND inbox_id > %s)",
                (file.source_id, file.kind, file.inbox_id),
            ).fetchone()
        return found is not None and bool(found[0])

    def files(
        self, *, plan: str = "", status: Status | None = None, before: UUID | None = None, limit: int = 100
    ) -> tuple[Row, ...]:
        """The files themselves, without their rows, the newest first; `before`: the id after which the next page begins."""
        source, state = f"plan-{plan}" if plan else None, status.value if status else None
        wanted = {"source": source, "status": state, "before": before, "limit": limit}
        with self._inbox.pool.connection() as conn, conn.cursor(row_factory=class_row(Row)) as cursor:
            return tuple(cursor.execute(
                f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE transport = 'file' AND line IS NULL"
                " AND (%(source)s::text IS NULL OR source_id = %(source)s) AND (%(status)s::text IS NULL OR status = %(status)s)"
                " AND (%(before)s::uuid IS NULL OR inbox_id < %(before)s) ORDER BY inbox_id DESC LIMIT %(limit)s",
                wanted,
            ).fetchall())  # fmt: skip
