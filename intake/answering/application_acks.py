"""Application acknowledgements of enhanced mode: what became of a message, sent later as a message of its own (messages.md 1.5).

Only to sources that say where they take them (`application_acks_to`), and only for messages that ask for one in MSH-16. A business
problem is no error here either: AE says that a message could not be read after all. Tried for a day; the same acknowledgement has
the same control id however often it is sent.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from eventlog.clock import Clock
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.listening.acks import Header, Verdict, accept_code, acknowledge, judge, peek
from intake.listening.mllp import END_BLOCK, framed
from intake.senders.notices import Trouble
from intake.senders.sources import AckMode, Source, Sources
from intake.store.inbox import Inbox, Status, id_at

LOOK_SECONDS: Final = 2.0
ANSWER_SECONDS_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
AT_ONCE_MAX: Final = 50
TRIED_FOR: Final = timedelta(days=1)
PAUSE_MIN, PAUSE_MAX = timedelta(seconds=5), timedelta(hours=1)
DOUBLINGS_MAX: Final = 10

log = structlog.get_logger("intake.application_acks")

Send = Callable[[bytes, str, int], bool]
"""(acknowledgement, host, port) -> whether the other side took it."""


def send_over_mllp(message: bytes, host: str, port: int) -> bool:
    """Whether it was acknowledged. Raises OSError."""
    with socket.create_connection((host, port), timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(framed(message))
        answer = b""
        while bytes((END_BLOCK,)) not in answer and len(answer) < ANSWER_BYTES_MAX:
            received = connection.recv(4096)
            if not received:
                return False
            answer += received
    return any(line[3:4] and line.split(line[3:4])[1:2] in ([b"AA"], [b"CA"]) for line in answer.split(b"\r") if line[:3] == b"MSA")


class ApplicationAcks:
    """Sends what is due. Two that look at once may send one twice, which its control id tells the receiver."""

    def __init__(self, inbox: Inbox, sources: Sources, clock: Clock, send: Send = send_over_mllp) -> None:
        self._inbox = inbox
        self._sources = {row.name: row for row in sources.rows if row.application_acks_to}
        self._clock = clock
        self._send = send
        self._away: dict[str, tuple[int, datetime]] = {}
        """Sources that could not be reached: how often in a row, and until when they are left alone."""

    def run(self, stop: threading.Event, trouble: Trouble) -> None:
        """Send until told to stop; nothing to do where no source wants any."""
        while self._sources and not stop.is_set():
            try:
                self.send_due(self._clock.now())
                trouble.round_went_well()
            except (psycopg.Error, PoolTimeout, CannotUnwrap, LogAway) as away:
                log.warning("acknowledgements_wait", failure=type(away).__name__)
                trouble.met(type(away))
            stop.wait(LOOK_SECONDS)

    def send_due(self, now: datetime) -> int:
        """Send what is due; how many were taken."""
        there = [name for name in self._sources if name not in self._away or self._away[name][1] <= now]
        with self._inbox.pool.connection() as conn:
            due = conn.execute(
                "SELECT i.inbox_id, i.source_id, i.status, i.received_at, coalesce(a.attempts, 0) FROM intake.inbox i"
                " LEFT JOIN intake.application_acks a USING (inbox_id)"
                " WHERE i.source_id = ANY(%s) AND i.transport = 'mllp' AND i.part_of IS NULL AND i.status <> 'received'"
                " AND i.inbox_id > %s AND (a.inbox_id IS NULL OR a.next_at <= %s) ORDER BY i.inbox_id LIMIT %s",
                (there, id_at(now - TRIED_FOR), now, AT_ONCE_MAX),
            ).fetchall()
        taken = 0
        for inbox_id, name, status, received_at, attempts in due:
            # Whoever does not answer holds up the others once, and not with every message.
            if name not in self._away or self._away[name][1] <= now:
                taken += self._one(self._sources[name], inbox_id, Status(status), received_at, attempts, now)
        return taken

    def _one(self, source: Source, inbox_id: UUID, status: Status, received_at: datetime, attempts: int, now: datetime) -> bool:
        raw = self._inbox.raw(inbox_id)
        header = peek(raw, source) if raw is not None else None
        code = "AE" if status is Status.DEAD else "AA"
        if header is None or not wanted(header, source, code):
            self._told(inbox_id, None, attempts, "not_wanted")
            return False
        host, _, port = source.application_acks_to.rpartition(":")
        try:
            taken = self._send(acknowledgement(header, code, inbox_id, now), host, int(port))
            self._away.pop(source.name, None)
        except (OSError, UnicodeError) as failure:  # the latter: a host that can be nobody's name
            taken = False
            failures, _ = self._away.get(source.name, (0, now))
            self._away[source.name] = failures + 1, now + _pause(failures)
            log.info("acknowledgement_not_taken", source=source.name, failure=type(failure).__name__)
        pause = _pause(attempts)
        over = taken or now + pause > received_at + TRIED_FOR
        self._told(inbox_id, None if over else now + pause, attempts + 1, "taken" if taken else "not_taken")
        return taken

    def _told(self, inbox_id: UUID, next_at: datetime | None, attempts: int, outcome: str) -> None:
        with self._inbox.pool.connection() as conn:
            conn.execute(
                "INSERT INTO intake.application_acks VALUES (%s, %s, %s, %s) ON CONFLICT (inbox_id) DO UPDATE SET"
                " next_at = EXCLUDED.next_at, attempts = EXCLUDED.attempts, outcome = EXCLUDED.outcome",
                (inbox_id, next_at, attempts, outcome),
            )


def _pause(failures: int) -> timedelta:
    return min(PAUSE_MIN * (1 << min(failures, DOUBLINGS_MAX)), PAUSE_MAX)


def wanted(header: Header, source: Source, code: str) -> bool:
    """Whether MSH-16 asks for it (table 0155), of a message that was accepted at the door and not answered there once and for all:
    AA is an application acknowledgement already, and of what was rejected there is nothing more to say."""
    verdict = judge(header, source)
    if not verdict.accepted or accept_code(header, verdict, source.ack_mode) not in ("CA", None):
        return False
    return header.application_ack == "AL" or header.application_ack == ("SU" if code == "AA" else "ER")


def acknowledgement(header: Header, code: str, inbox_id: UUID, now: datetime) -> bytes:
    """The message that says so; its control id is always the same for the same message."""
    said = acknowledge(header, Verdict.STORED, AckMode.ORIGINAL, now, f"A{inbox_id.hex[-16:]}")
    assert said is not None
    mark = header.delimiters.field
    return said.replace(f"MSA{mark}AA{mark}".encode(), f"MSA{mark}{code}{mark}".encode(), 1)
