"""What somebody has to look at beside single messages: kept until it is over, shown wherever the state of the system is shown.

A notice has a kind, a source and a subject; while it is open, the same trouble again only counts. It names no person.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, LiteralString

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool, PoolTimeout

from domain.core import SYSTEM
from eventlog.clock import Clock
from eventlog.recorder import LogAway

Pool = ConnectionPool[Connection[TupleRow]]

SUBJECT_CHARS_MAX: Final = 200
LIST_MAX: Final = 1_000
REFUSAL_SECONDS: Final = 60.0
ODD_SECONDS: Final = 60.0
"""What is odd about a source's messages is noted once a minute at most."""
REFUSALS_MAX: Final = 200
"""The same refusal is noted once a minute, and so many different ones at most."""
FAILURES_MIN: Final = 3
WELL_SECONDS: Final = 30.0
"""Work that fails so often, without having gone well for so long in between, fails again and again."""

OUTAGES: Final = (LogAway, psycopg.OperationalError, PoolTimeout)
REFUSED_FOR: Final = timedelta(days=1)
"""A refusal that did not come again for so long is over: somebody scanned the port, or the sender was put right."""


log = structlog.get_logger("intake.notices")


class Kind(StrEnum):
    SILENT_FEED = "silent_feed"
    MISSED_EVENTS = "missed_events"
    REFUSED_SENDER = "refused_sender"
    TEST_MESSAGES = "test_messages"
    UNKNOWN_CODE = "unknown_code"
    INPATIENT_REGISTRATIONS = "inpatient_registrations"
    FAILING_WORK = "failing_work"


ENDS_BY_ITSELF: Final = (Kind.SILENT_FEED, Kind.FAILING_WORK)
"""What a person need not end: it is over once the feed is heard again, or the work goes well."""

REMEDIES: Final = {
    Kind.SILENT_FEED: "Call the sender: is its interface engine running, does it resend? What it sends late is applied at its own "
    "time.",
    Kind.MISSED_EVENTS: "Ask the sender's server for the events in between ($events of the subscription), have them sent, then end "
    "this notice.",
    Kind.REFUSED_SENDER: "Is it a hospital of yours? Then put its certificate or address into the registry of sources. Else look"
    " at who may reach the port.",
    Kind.TEST_MESSAGES: "Is the sender still testing? Nothing follows from these. When it goes live it has to send P in MSH-11.",
    Kind.UNKNOWN_CODE: "`throughline inbox list --source {source}` shows the messages with their flags. Ask the sender what it"
    " means, put that into the registry of sources, then replay what came meanwhile, by its flag:"
    " `throughline inbox replay --source {source} --flag …`.",
    Kind.INPATIENT_REGISTRATIONS: "Are these admissions? Nothing follows from an A04 of an inpatient class. Ask the sender to send"
    " an A01 for each, or put what its class means into the registry of sources.",
    Kind.FAILING_WORK: "Nothing is lost: what came is kept, and worked off once this is mended. CannotUnwrap or KeysAway: is the"
    " keys' database up, and THROUGHLINE_MASTER_KEY the one that sealed? Anything else is a defect of ours: report it, with the"
    " log's lines of that time (logs/up.jsonl in THROUGHLINE_HOME), which name its place.",
}


def remedy_of(kind: Kind, source_id: str) -> str:
    """What to do about a notice of a source, with commands that can be pasted."""
    return REMEDIES[kind].format(source=shlex.quote(source_id))


INTAKE, FEEDS, ACKS = "intake", "intake-feeds", "intake-application-acks"
OUR_WORK: Final = {
    INTAKE: "working messages and files off",
    FEEDS: "watching the feeds",
    ACKS: "sending application acknowledgements",
}
"""What a thread of ours does, by its name; a notice of failing work has the name as its source."""

ODD_FLAGS: Final = {
    "class_unknown": "a class (PV1-2)",
    "disposition_unmapped": "a disposition (PV1-36)",
    "facility_unknown": "a facility",
}
"""Codes of a source's own that somebody should put into the registry (messages.md, decision 3), by the messages' flags."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One trouble. `since`: when it began, as far as we know; `last_at`: when it was last seen; `times`: how often."""

    notice_id: int
    kind: str
    source_id: str
    subject: str
    since: datetime
    noticed_at: datetime
    last_at: datetime
    times: int
    ended_at: datetime | None
    ended_by: str

    @property
    def remedy(self) -> str:
        return remedy_of(Kind(self.kind), self.source_id)

    @property
    def said(self) -> str:
        """The trouble in one sentence, without its times."""
        match Kind(self.kind):
            case Kind.SILENT_FEED:
                return f"{self.source_id} is silent: {self.subject}"
            case Kind.MISSED_EVENTS:
                return f"{self.source_id}: events are missing: {self.subject}"
            case Kind.REFUSED_SENDER:
                return f"a sender was refused at the listener: {self.subject}"
            case Kind.TEST_MESSAGES:
                return f"{self.source_id} sends {self.subject}"
            case Kind.UNKNOWN_CODE:
                return f"{self.source_id} writes {self.subject} that the registry does not know"
            case Kind.INPATIENT_REGISTRATIONS:
                return f"{self.source_id} registers inpatients: {self.subject}"
            case Kind.FAILING_WORK:
                return f"{OUR_WORK.get(self.source_id, self.source_id)} fails again and again ({self.subject})"


class Refusals:
    """Notes refused senders without holding up the listener, and without being driven by whoever knocks without end."""

    def __init__(self, notices: Notices, clock: Clock, submit: Callable[[Callable[[], None]], object]) -> None:
        self._notices = notices
        self._clock = clock
        self._submit = submit
        self._noted: dict[str, float] = {}

    def __call__(self, reason: str, who: str) -> None:
        subject, now = f"{reason.replace('_', ' ')}: {who}", time.monotonic()
        if now - self._noted.get(subject, -REFUSAL_SECONDS) < REFUSAL_SECONDS:
            return
        if len(self._noted) >= REFUSALS_MAX:
            self._noted = {s: at for s, at in self._noted.items() if now - at < REFUSAL_SECONDS}
            if len(self._noted) >= REFUSALS_MAX:
                return
        self._noted[subject] = now
        self._submit(lambda: self._note(subject))

    def _note(self, subject: str) -> None:
        try:
            self._notices.note(Kind.REFUSED_SENDER, "", subject, self._clock.now())
        except (psycopg.Error, PoolTimeout) as away:
            log.warning("refusal_not_noted", failure=type(away).__name__)


class Oddities:
    """Notes what is odd about a source's messages and is the registry's business: once, however many there are. Thread-safe."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._noted: dict[tuple[Kind, str, str], float] = {}

    def look(self, source_id: str, reason: str, flags: Iterable[str], now: datetime) -> None:
        """A message was settled."""
        if reason == "not_production":
            self._note(Kind.TEST_MESSAGES, source_id, "test messages (MSH-11 is T or D)", now)
        if reason == "registration_class_unknown":
            self._note(Kind.UNKNOWN_CODE, source_id, ODD_FLAGS["class_unknown"], now)
        if reason == "inpatient_registration":
            self._note(Kind.INPATIENT_REGISTRATIONS, source_id, "an A04 with an inpatient class (PV1-2)", now)
        for flag in flags:
            if flag in ODD_FLAGS:
                self._note(Kind.UNKNOWN_CODE, source_id, ODD_FLAGS[flag], now)

    def _note(self, kind: Kind, source_id: str, subject: str, now: datetime) -> None:
        key, at = (kind, source_id, subject), time.monotonic()
        if at - self._noted.get(key, -ODD_SECONDS) >= ODD_SECONDS:
            self._noted[key] = at
            try:
                self._notices.note(kind, source_id, subject, now)
            except (psycopg.Error, PoolTimeout) as away:
                log.warning("oddity_not_noted", failure=type(away).__name__)


class Trouble:
    """What goes wrong in one thread of ours again and again: noted from the third time on, until it has gone well for a while. An
    outage of PostgreSQL is none: nothing could be noted, and everybody sees it."""

    def __init__(self, notices: Notices, clock: Clock, work: str) -> None:
        self._notices = notices
        self._clock = clock
        self._work = work
        self._times = 0
        self._since = clock.now()
        self._failed_at = -WELL_SECONDS
        self._noted = True
        """Or may be: somebody may have died of it."""

    def met(self, failure: type[Exception]) -> None:
        """A round failed. Only the kind of failure is kept: its text may quote what a message says."""
        if issubclass(failure, OUTAGES):
            return
        now, self._failed_at = self._clock.now(), time.monotonic()
        self._since = self._since if self._times else now
        self._times += 1
        if self._times >= FAILURES_MIN:
            self._noted = True
            try:
                self._notices.note(Kind.FAILING_WORK, self._work, failure.__name__, now, since=self._since, times=self._times)
            except (psycopg.Error, PoolTimeout) as away:
                log.warning("trouble_not_noted", failure=type(away).__name__)

    def round_went_well(self) -> None:
        if (self._noted or self._times) and time.monotonic() - self._failed_at >= WELL_SECONDS:
            if self._noted:
                self._notices.end(Kind.FAILING_WORK, self._work, self._clock.now())
            self._noted, self._times = False, 0


class UnknownNotice(LookupError):
    """There is no open notice with this number."""


class Notices:
    """Keeps notices. Thread-safe; every method is one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def note(
        self, kind: Kind, source_id: str, subject: str, now: datetime, *, since: datetime | None = None, times: int = 1
    ) -> bool:
        """Note a trouble; whether it is a new one. `times`: how often it was met before it was first noted, this time included."""
        with self._pool.connection() as conn:
            row = conn.execute(
                "INSERT INTO intake.notices (kind, source_id, subject, since, noticed_at, last_at, times)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (kind, source_id, subject) WHERE ended_at IS NULL"
                " DO UPDATE SET times = notices.times + 1, last_at = EXCLUDED.last_at RETURNING times",
                (kind.value, source_id, subject[:SUBJECT_CHARS_MAX], since or now, now, now, times),
            ).fetchone()
        return row is not None and row[0] == times

    def end(self, kind: Kind, source_id: str, now: datetime, *, by: str = SYSTEM) -> int:
        """A source's trouble of a kind is over; how many notices that ended."""
        with self._pool.connection() as conn:
            return conn.execute(
                "UPDATE intake.notices SET ended_at = %s, ended_by = %s WHERE kind = %s AND source_id = %s AND ended_at IS NULL",
                (now, by, kind.value, source_id),
            ).rowcount

    def end_one(self, notice_id: int, now: datetime, *, by: str) -> None:
        """A person has seen to it. Raises UnknownNotice."""
        with self._pool.connection() as conn:
            ended = conn.execute(
                "UPDATE intake.notices SET ended_at = %s, ended_by = %s WHERE notice_id = %s AND ended_at IS NULL",
                (now, by, notice_id),
            )
        if not ended.rowcount:
            raise UnknownNotice(f"there is no open notice {notice_id}")

    def end_old_refusals(self, now: datetime) -> int:
        with self._pool.connection() as conn:
            return conn.execute(
                "UPDATE intake.notices SET ended_at = %s, ended_by = %s WHERE kind = %s AND last_at < %s AND ended_at IS NULL",
                (now, SYSTEM, Kind.REFUSED_SENDER.value, now - REFUSED_FOR),
            ).rowcount

    def open(self) -> tuple[Notice, ...]:
        """What is the matter now, the oldest first."""
        return self._found("ended_at IS NULL ORDER BY since, notice_id")

    def all(self) -> tuple[Notice, ...]:
        """What is or was the matter, the newest first."""
        return self._found("true ORDER BY notice_id DESC")

    def _found(self, which: LiteralString) -> tuple[Notice, ...]:
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(Notice)) as cursor:
            return tuple(
                cursor.execute(
                    "SELECT notice_id, kind, source_id, subject, since, noticed_at, last_at, times, ended_at, ended_by"
                    f" FROM intake.notices WHERE {which} LIMIT {LIST_MAX}"
                ).fetchall()
            )
