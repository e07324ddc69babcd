"""Messages in work: held by row locks, so that a worker that dies lets go of them, and settled in one transaction with everything
else that was written about them.

Messages are taken in batches, because what the front door costs is its round trips; rows of member files one by one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from domain.core import StreamId
from eventlog.arrays import bigints, byteas, texts, timestamps, uuids
from intake.store.inbox import ROW_COLUMNS, TELL, Inbox, Row, Settlement, Status, settle_wholes

RESEND_WITHIN: Final = timedelta(hours=72)
"""The same content under another control id within this time is a probable resend."""

CAUSED_MAX: Final = 64

NUMBERS_MAX: Final = 8
"""How often a visit may get another number before somebody has to look."""
_VISIT_LOCK_CLASS: Final = 0x7669
INDEX_LOCK: Final = "hashtext('intake.index'), 0"
"""Whoever works messages off shares it; whoever takes news into the identity index has it alone."""

_DUE: Final = "status = 'received' AND next_attempt_at <= %(now)s"


@contextmanager
def next_messages(inbox: Inbox, now: datetime, *, limit: int, inbox_id: UUID | None = None) -> Iterator[Messages]:
    """The messages that are due, or the one with the id, held for this caller alone until the block ends; no file, no referral.

    In a pipeline: a statement whose answer nobody reads travels with the next one. The identity index stands still meanwhile: or
    somebody who becomes known in this very moment would be found neither by the message nor the message by them."""
    with inbox.pool.connection() as conn, conn.pipeline(), conn.transaction():
        conn.execute(f"SELECT pg_advisory_xact_lock_shared({INDEX_LOCK})")
        rows = conn.execute(
            f"SELECT sealed, key_id, {ROW_COLUMNS} FROM intake.inbox WHERE {_DUE} AND transport NOT IN ('file', 'referral')"
            " AND (%(id)s::uuid IS NULL OR inbox_id = %(id)s)"
            " ORDER BY next_attempt_at, inbox_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED",
            {"now": now, "id": inbox_id, "limit": limit},
            binary=True,
        ).fetchall()
        yield Messages(inbox, conn, rows)


def these_messages(inbox: Inbox, conn: Connection[TupleRow], ids: Sequence[UUID]) -> Messages:
    """Some messages with their bytes, in one look, in the order of their ids: to be read, not to be worked off."""
    rows = conn.execute(
        f"SELECT sealed, key_id, {ROW_COLUMNS} FROM intake.inbox WHERE inbox_id = ANY(%s) ORDER BY inbox_id", (list(ids),)
    ).fetchall()
    return Messages(inbox, conn, rows)


@contextmanager
def next_of_files(inbox: Inbox, now: datetime, inbox_id: UUID | None = None) -> Iterator[Claim | None]:
    """The file, row of one, or referral that is due, or the one with the id whenever it is due; None where there is none.

    The identity index stands still meanwhile, as for messages: a referral that finds nobody is woken by whoever is known next."""
    which = f"{_DUE} AND transport IN ('file', 'referral')" if inbox_id is None else "status = 'received' AND inbox_id = %(id)s"
    with inbox.pool.connection() as conn, conn.transaction(), conn.cursor(row_factory=class_row(Row)) as cursor:
        conn.execute(f"SELECT pg_advisory_xact_lock_shared({INDEX_LOCK})")
        row = cursor.execute(
            f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE {which}"
            " ORDER BY next_attempt_at, inbox_id LIMIT 1 FOR UPDATE SKIP LOCKED",
            {"now": now, "id": inbox_id},
        ).fetchone()
        yield None if row is None else Claim(inbox, conn, row)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be found out about a message that could be read. Without a stay only whether it is a resend."""

    row: Row
    semantic_hash: bytes
    stay: StreamId | None = None
    statement_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the inbox has heard already. `resent`: the same content under another control id lately; `said_before`: an applied
    message said exactly the same of the same stay at the same time; `member`: whose the stay is."""

    resent: bool
    said_before: bool
    member: StreamId | None


class Messages:
    """A batch of messages in work. Everything written here is committed with it."""

    def __init__(self, inbox: Inbox, conn: Connection[TupleRow], found: Sequence[TupleRow]) -> None:
        names = tuple(name.strip() for name in ROW_COLUMNS.split(","))
        self._inbox = inbox
        self.conn = conn
        self.rows = tuple(Row(**dict(zip(names, row[2:], strict=True))) for row in found)
        self._sealed = {row.inbox_id: (sealed, key_id) for row, (sealed, key_id, *_) in zip(self.rows, found, strict=True)}

    def raw(self, row: Row) -> bytes | None:
        """The bytes as they came; None where their month's key was destroyed. Raises CannotUnwrap."""
        sealed, key_id = self._sealed[row.inbox_id]
        return self._inbox.unseal(sealed, row.inbox_id, key_id)

    def one_at_a_time(self, stays: Iterable[StreamId]) -> None:
        """Holds back other workers from messages of the same stays until this batch ends."""
        self.conn.execute(
            "SELECT pg_advisory_xact_lock(%s, hashed.key) FROM"
            " (SELECT DISTINCT hashtext(stay) AS key FROM unnest(%s::text[]) AS stay ORDER BY key) AS hashed",
            (_VISIT_LOCK_CLASS, texts(tuple(stays))),
        )

    def heard(self, questions: Sequence[Question]) -> dict[UUID, Heard]:
        """What was heard before each of the messages, those of this batch that are settled included."""
        columns = (
            uuids([q.row.inbox_id for q in questions]),
            byteas([q.semantic_hash for q in questions]),
            timestamps([q.row.received_at for q in questions]),
            texts([q.stay for q in questions]),
            byteas([q.statement_key for q in questions]),
        )
        rows = self.conn.execute(
            """
            SELECT asked.id,
                EXISTS (SELECT FROM intake.inbox i WHERE i.semantic_hash = asked.semantic AND i.inbox_id <> asked.id
                        AND i.received_at BETWEEN asked.received_at - %s AND asked.received_at + %s),
                EXISTS (SELECT FROM intake.inbox i WHERE i.statement_key = asked.statement AND i.status = 'applied'
                        AND i.inbox_id <> asked.id),
                (SELECT s.member FROM intake.stay_member s WHERE s.stay = asked.stay)
            FROM unnest(%s::uuid[], %s::bytea[], %s::timestamptz[], %s::text[], %s::bytea[])
                AS asked (id, semantic, received_at, stay, statement)
            """,
            (RESEND_WITHIN, RESEND_WITHIN, *columns),
        ).fetchall()
        return {id: Heard(resent, said_before, member) for id, resent, said_before, member in rows}

    def continued(self, stays: Iterable[StreamId]) -> dict[StreamId, StreamId]:
        """Of these stays, those whose messages count for another one, and for which: visits that got another number."""
        rows = self.conn.execute(
            "WITH RECURSIVE way (stay, at, steps) AS ("
            " SELECT s, s, 0 FROM unnest(%s::text[]) AS s UNION ALL"
            " SELECT w.stay, c.continued_as, w.steps + 1 FROM way w JOIN intake.stay_continued c ON c.stay = w.at"
            " WHERE w.steps < %s) SELECT DISTINCT ON (stay) stay, at FROM way ORDER BY stay, steps DESC",
            (texts(tuple(stays)), NUMBERS_MAX),
        ).fetchall()
        return {stay: at for stay, at in rows if stay != at}

    def owners(self, stays: Collection[StreamId]) -> dict[StreamId, StreamId]:
        """Whose some stays are, under whatever number they go on; without those that are nobody's yet."""
        if not stays:
            return {}
        goes_on = self.continued(stays)
        counts = {stay: goes_on.get(stay, stay) for stay in stays}
        rows = self.conn.execute(
            "SELECT stay, member FROM intake.stay_member WHERE stay = ANY(%s)", (list({*counts, *counts.values()}),)
        ).fetchall()
        known: dict[StreamId, StreamId] = dict(rows)
        found = {stay: known.get(at) or known.get(stay) for stay, at in counts.items()}
        return {stay: member for stay, member in found.items() if member is not None}

    def released(self, reason: str, source: str, ids: Sequence[UUID], stay: StreamId | None, since: datetime) -> bool:
        """Whether somebody released since then a message that waited for this reason: of the stay, or of the source among `ids`."""
        row = self.conn.execute(
            "SELECT EXISTS (SELECT FROM intake.inbox i WHERE (i.stay = %s OR i.inbox_id = ANY(%s) AND i.source_id = %s)"
            " AND i.status = 'applied' AND i.reason = %s AND i.released_by <> '' AND i.settled_at >= %s"
            " AND EXISTS (SELECT FROM intake.transitions t WHERE t.inbox_id = i.inbox_id AND t.status = 'waiting'"
            " AND t.reason = i.reason))",
            (stay, list(ids), source, reason, since),
        ).fetchone()
        return row is not None and bool(row[0])

    def attribute(self, members: Mapping[StreamId, StreamId], now: datetime) -> None:
        """Whose each stay is, from now on. Messages of these stays for which nobody was found are tried again."""
        self.conn.execute(
            "INSERT INTO intake.stay_member SELECT * FROM unnest(%s::text[], %s::text[])"
            " ON CONFLICT (stay) DO UPDATE SET member = EXCLUDED.member",
            (texts(tuple(members)), texts(tuple(members.values()))),
        )
        rows = self.conn.execute(
            "UPDATE intake.inbox SET status = 'received', reason = 'stay_attributed', attempts = 0, next_attempt_at = %s,"
            " settled_at = NULL WHERE status = 'unmatched' AND stay = ANY(%s::text[]) RETURNING inbox_id",
            (now, texts(tuple(members))),
        ).fetchall()
        self._tell([(inbox_id, now, Status.RECEIVED.value, "stay_attributed", "", "system") for (inbox_id,) in rows])

    def renumber(self, goes_on: Mapping[StreamId, StreamId]) -> None:
        """Messages that wait under a former number wait for what is said of the stay that goes on."""
        if goes_on:
            self.conn.execute(
                "UPDATE intake.inbox i SET stay = n.at FROM unnest(%s::text[], %s::text[]) AS n (stay, at)"
                " WHERE i.stay = n.stay AND i.status = 'waiting' AND n.at <> n.stay",
                (texts(tuple(goes_on)), texts(tuple(goes_on.values()))),
            )

    def settle_doubts(self, standing: Mapping[StreamId, Sequence[str]], besides: Sequence[UUID], now: datetime) -> None:
        """Messages of a stay wait only as long as the stay's doubt about them stands: a later message may have settled it."""
        doubts = [(stay, code) for stay, codes in standing.items() for code in codes]
        rows = self.conn.execute(
            "UPDATE intake.inbox SET status = 'applied', reason = 'settled_by_later_message', settled_at = %s"
            " WHERE stay = ANY(%s::text[]) AND status = 'waiting' AND statement_key IS NOT NULL AND inbox_id <> ALL(%s::uuid[])"
            " AND (stay, reason) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[])) RETURNING inbox_id, part_of",
            (now, texts(tuple(standing)), uuids(besides), texts([stay for stay, _ in doubts]), texts([code for _, code in doubts])),
        ).fetchall()
        self._tell([(inbox_id, now, Status.APPLIED.value, "settled_by_later_message", "", "system") for inbox_id, _ in rows])
        self.settle_wholes((whole for _, whole in rows if whole is not None), now)

    def take_apart(self, row: Row, parts: Sequence[bytes], now: datetime) -> None:
        """A message about several people goes on as one for each, in the order in which it names them; again with every replay."""
        self._inbox.store_parts(self.conn, row, parts, now)

    def settle_wholes(self, wholes: Iterable[UUID], now: datetime) -> None:
        """A message that was taken apart is applied once all its parts are settled; it waits as long as one of them does."""
        settle_wholes(self.conn, wholes, now)

    def _tell(self, told: Sequence[tuple[UUID, datetime, str, str, str, str]]) -> None:
        """How messages came to be where they are."""
        if told:
            with self.conn.cursor() as cursor:
                cursor.executemany(TELL, told)

    def settle(self, settled: Sequence[tuple[Row, Settlement]], now: datetime) -> None:
        """Write down what became of messages."""
        _settle(self.conn, settled, now)


class Claim:
    """A file, or a row of one, in work. Everything written here is committed with the claim."""

    def __init__(self, inbox: Inbox, conn: Connection[TupleRow], row: Row) -> None:
        self._inbox = inbox
        self.conn = conn
        self.row = row

    def raw(self) -> bytes | None:
        return self._inbox.raw(self.row.inbox_id)

    def one_at_a_time(self, key: str) -> None:
        """Holds back other workers from what goes by the same key until this claim ends."""
        self.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_VISIT_LOCK_CLASS, key))

    def settle(self, to: Settlement, now: datetime) -> None:
        """Write down what became of it."""
        _settle(self.conn, ((self.row, to),), now)


def _settle(conn: Connection[TupleRow], settled: Sequence[tuple[Row, Settlement]], now: datetime) -> None:
    if not settled:
        return
    assert all(to.status is not Status.RECEIVED and len(to.caused) <= CAUSED_MAX for _, to in settled)
    caused = [(row.inbox_id, fact, name) for row, to in settled for fact, name in to.caused]
    outcomes = [None if to.outcome is None else json.dumps(to.outcome) for _, to in settled]
    parameters = (
        now,
        uuids([row.inbox_id for row, _ in settled]),
        texts([to.status.value for _, to in settled]),
        texts([to.reason for _, to in settled]),
        texts([_list((*row.flags, *to.flags)) for row, to in settled]),
        texts([to.stay for _, to in settled]),
        texts([to.member for _, to in settled]),
        texts([to.evidence for _, to in settled]),
        texts([_list(f'"\\\\x{key.hex()}"' for key in to.lookup) for _, to in settled]),
        texts([_list(to.proposed) for _, to in settled]),
        byteas([to.statement_key for _, to in settled]),
        byteas([to.semantic_hash for _, to in settled]),
        texts([to.parser for _, to in settled]),
        texts(outcomes),
        texts([row.released_by or "system" for row, _ in settled]),
        texts([to.again_at.isoformat() if to.again_at is not None else None for _, to in settled]),
        uuids([inbox_id for inbox_id, _, _ in caused]),
        bigints([fact.position for _, fact, _ in caused]),
        uuids([UUID(fact.event_id) for _, fact, _ in caused]),
        texts([fact.stream for _, fact, _ in caused]),
        texts([name for _, _, name in caused]),
    )
    with conn.cursor(binary=True) as cursor:
        cursor.execute(_SETTLE, parameters, prepare=True)


def _list(values: Iterable[str]) -> str:
    """PostgreSQL's way of writing an array of codes, each once; none of them needs quoting that has none."""
    return "{" + ",".join(dict.fromkeys(values)) + "}"


_SETTLE: Final[LiteralString] = """
WITH all_of (now) AS (VALUES (%b::timestamptz)),
said AS (
    SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
            %b::bytea[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[])
        AS s (id, status, reason, flags, stay, member, evidence, lookup, proposed, statement, semantic, parser, outcome, by, again)
), settled AS (
    UPDATE intake.inbox i SET status = s.status, reason = s.reason, flags = s.flags::text[], error = '', stay = s.stay,
        member = coalesce(s.member, i.member), evidence = s.evidence, lookup = s.lookup::bytea[], proposed = s.proposed::text[],
        statement_key = s.statement, semantic_hash = s.semantic, parser = s.parser, outcome = s.outcome::jsonb,
        attempts = i.attempts + 1, settled_at = all_of.now,
        next_attempt_at = coalesce(s.again::timestamptz, i.next_attempt_at)
    FROM said s, all_of WHERE i.inbox_id = s.id
), caused AS (
    INSERT INTO intake.caused (inbox_id, position, event_id, stream, fact)
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING
)
INSERT INTO intake.transitions (inbox_id, at, status, reason, error, by)
SELECT id, all_of.now, status, reason, '', by FROM said, all_of"""
