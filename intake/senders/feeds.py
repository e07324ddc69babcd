"""Watches the feeds: a dead one is the worst failure, because nothing fails. And lets go of what nobody was found for.

Silence is counted in the hours in which a source is expected to send: a clinic that sends by day is not silent at night.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from domain.core import SYSTEM
from eventlog.clock import Clock
from intake.senders.notices import Kind, Notices, Trouble
from intake.senders.sources import WEEK, Source, Sources
from intake.store.inbox import Inbox, Status, UnknownMessage, id_at

LOOK_SECONDS: Final = 30.0
LATE_COMMIT: Final = timedelta(minutes=2)
"""A message's id is made before it is committed: a look goes back so far behind the one before."""
SILENT_DAYS_COUNTED_MAX: Final = 400
EXPIRED_AT_ONCE_MAX: Final = 1_000
EXPIRED: Final = "nobody_found_in_time"

log = structlog.get_logger("intake.feeds")


@dataclass(frozen=True, slots=True)
class Feed:
    """A source and when it was last heard of. `silent_for`: within its expected hours; None where nothing is expected of it."""

    source: str
    known_since: datetime
    heard_at: datetime | None
    expected_every: timedelta | None
    silent_for: timedelta | None

    @property
    def silent(self) -> bool:
        return self.silent_for is not None and self.expected_every is not None and self.silent_for > self.expected_every


class FeedWatch:
    """Looks at all feeds from time to time. Any number may look at a time."""

    def __init__(self, inbox: Inbox, notices: Notices, sources: Sources, clock: Clock) -> None:
        self._inbox = inbox
        self._notices = notices
        self._sources = sources
        self.clock = clock

    def run(self, stop: threading.Event, trouble: Trouble) -> None:
        """Look until told to stop. Survives PostgreSQL's absence."""
        while not stop.is_set():
            try:
                self.look(self.clock.now())
                trouble.round_went_well()
            except (psycopg.Error, PoolTimeout) as away:
                log.warning("feeds_not_watched", failure=type(away).__name__)
                trouble.met(type(away))
            stop.wait(LOOK_SECONDS)

    def look(self, now: datetime) -> tuple[Feed, ...]:
        """Notice who fell silent and who is heard again, and expire what nobody was found for."""
        feeds = self.feeds(now)
        for feed in feeds:
            if feed.silent:
                since = feed.heard_at or feed.known_since
                assert feed.expected_every is not None
                minutes = int(feed.expected_every.total_seconds() // 60)
                subject = f"a message is expected every {minutes} minutes"
                if self._notices.note(Kind.SILENT_FEED, feed.source, subject, now, since=since):
                    log.error("feed_silent", source=feed.source, age_seconds=(now - since).total_seconds())
            elif self._notices.end(Kind.SILENT_FEED, feed.source, now):
                log.info("feed_heard_again", source=feed.source)
        self._notices.end_old_refusals(now)
        self.expire(now)
        return feeds

    def feeds(self, now: datetime) -> tuple[Feed, ...]:
        """Every source of the registry, with its silence."""
        heard = self._heard(now)
        return tuple(_feed(row, *heard[row.name], now) for row in self._sources.rows)

    def expire(self, now: datetime) -> int:
        """Messages for which nobody was found within their source's `unmatched_days` are ignored, with that reason; how many."""
        found: list[UUID] = []
        with self._inbox.pool.connection() as conn:
            for source in self._sources.rows:
                rows = conn.execute(
                    "SELECT inbox_id FROM intake.inbox WHERE status = 'unmatched' AND source_id = %s AND received_at < %s"
                    " ORDER BY inbox_id LIMIT %s",
                    (source.name, now - timedelta(days=source.unmatched_days), EXPIRED_AT_ONCE_MAX),
                ).fetchall()
                found += [row[0] for row in rows]
        for inbox_id in found:
            try:
                self._inbox.discard(inbox_id, reason=EXPIRED, by=SYSTEM, now=now, only=(Status.UNMATCHED,))
            except UnknownMessage:
                continue  # somebody was found just now
        if found:
            log.warning("unmatched_expired", count=len(found))
        return len(found)

    def _heard(self, now: datetime) -> dict[str, tuple[datetime, datetime | None]]:
        """(known since, last heard) of every source. Only what came since the last look is read."""
        names = [row.name for row in self._sources.rows]
        with self._inbox.pool.connection() as conn, conn.transaction():
            conn.execute(
                "INSERT INTO intake.feeds (source_id, known_since, looked_at)"
                " SELECT name, %s, 'epoch' FROM unnest(%s::text[]) AS name ON CONFLICT DO NOTHING",
                (now, names),
            )
            looked = conn.execute("SELECT min(looked_at) FROM intake.feeds WHERE source_id = ANY(%s)", (names,)).fetchone()
            assert looked is not None
            came = conn.execute(
                "SELECT source_id, max(received_at) FROM intake.inbox WHERE inbox_id > %s AND transport <> 'file'"
                " GROUP BY source_id",
                (id_at(looked[0] - LATE_COMMIT),),
            ).fetchall()
            conn.execute(
                "UPDATE intake.feeds f SET heard_at = greatest(f.heard_at, c.at) FROM unnest(%s::text[], %s::timestamptz[])"
                " AS c (source_id, at) WHERE f.source_id = c.source_id",
                ([row[0] for row in came], [row[1] for row in came]),
            )
            conn.execute("UPDATE intake.feeds SET looked_at = greatest(looked_at, %s) WHERE source_id = ANY(%s)", (now, names))
            rows = conn.execute(
                "SELECT source_id, known_since, heard_at FROM intake.feeds WHERE source_id = ANY(%s)", (names,)
            ).fetchall()
        return {name: (since, at) for name, since, at in rows}


def expected_between(source: Source, begin: datetime, end: datetime) -> timedelta:
    """How much of the time between two instants lies in the hours in which the source is expected to send."""
    zone = ZoneInfo(source.timezone)
    first, last = begin.astimezone(zone).date(), end.astimezone(zone).date()
    days = min((last - first).days, SILENT_DAYS_COUNTED_MAX)
    hours = (
        tuple(datetime.combine(day, at, zone).astimezone(UTC) for at in (source.expected_from, source.expected_until))
        for day in (first + timedelta(days=n) for n in range(days + 1))
        if WEEK[day.weekday()] in source.expected_on
    )
    return sum((max(timedelta(0), min(end, to) - max(begin, since)) for since, to in hours), timedelta(0))


def _feed(source: Source, known_since: datetime, heard_at: datetime | None, now: datetime) -> Feed:
    if not source.expected_every_minutes:
        return Feed(source.name, known_since, heard_at, None, None)
    silent_for = expected_between(source, heard_at or known_since, now)
    return Feed(source.name, known_since, heard_at, timedelta(minutes=source.expected_every_minutes), silent_for)
