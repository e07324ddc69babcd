"""What was said of something, in the order in which it happened: how states keep facts whose order of arrival must not matter."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from domain.calendar import end_of_day, local_date
from domain.core import Alarm, EventId, Instant, Recorded


class Entry(NamedTuple):
    """A fact and when it happened, came to be known, and who said so."""

    at: Instant
    event_id: EventId
    fact: Any
    recorded_at: Instant
    actor: str

    @property
    def order(self) -> tuple[Instant, EventId]:
        return (self.at, self.event_id)


Timeline = tuple[Entry, ...]


def put(timeline: Timeline, recorded: Recorded) -> Timeline:
    """The timeline with one more fact, at its place by `occurred_at`; the same event twice counts once."""
    place = bisect_left(timeline, (recorded.occurred_at, recorded.event_id), key=_order)
    if place < len(timeline) and timeline[place].event_id == recorded.event_id:
        return timeline
    return (*timeline[:place], _entry(recorded), *timeline[place:])


def put_all(timeline: Timeline, history: Iterable[Recorded]) -> Timeline:
    """The timeline with several facts more, each at its place."""
    by_order = {_order(entry): entry for entry in (*map(_entry, history), *timeline)}
    return tuple(by_order[order] for order in sorted(by_order))


def _entry(r: Recorded) -> Entry:
    return Entry(r.occurred_at, r.event_id, r.fact, r.recorded_at, r.actor)


_order = attrgetter("at", "event_id")


def so_far(timeline: Timeline, alarm: Alarm) -> Timeline:
    """What has happened by now; of what is dated ahead, the alarm keeps the instant."""
    return tuple(entry for entry in timeline if alarm.reached(entry.at))


def until(timeline: Timeline, now: Instant) -> Timeline:
    return tuple(entry for entry in timeline if entry.at <= now)


@dataclass(frozen=True, slots=True)
class Span:
    """Something lasted from `since` until `until` (None: still), begun by one fact and ended by another."""

    since: Instant
    until: Instant | None
    reason: str
    begun_by: EventId
    ended_by: EventId | None = None


def spans(timeline: Timeline, begins: type | tuple[type, ...], ends: type | tuple[type, ...], reason: str) -> tuple[Span, ...]:
    """The intervals between facts of the one sort and the next of the other; a repeated beginning changes nothing."""
    found: list[Span] = []
    open_since: Entry | None = None
    for entry in timeline:
        if isinstance(entry.fact, begins) and open_since is None:
            open_since = entry
        elif isinstance(entry.fact, ends) and open_since is not None:
            found.append(Span(open_since.at, entry.at, reason, open_since.event_id, entry.event_id))
            open_since = None
    if open_since is not None:
        found.append(Span(open_since.at, None, reason, open_since.event_id))
    return tuple(found)


def merged(rests: Iterable[Span], alarm: Alarm) -> tuple[Span, ...]:
    """The rests that have begun by now, joined where they touch, so that no day counts twice; the first one's reason stands.

    A rest whose end lies ahead is still open."""
    found: list[Span] = []
    begun = (span for span in rests if alarm.reached(span.since))
    seen = (s if s.until is not None and alarm.reached(s.until) else replace(s, until=None, ended_by=None) for s in begun)
    for span in sorted(seen, key=lambda s: (s.since, s.begun_by)):
        last = found[-1] if found else None
        if last is None or (last.until is not None and span.since > last.until):
            found.append(span)
        elif last.until is not None and (span.until is None or span.until > last.until):
            found[-1] = replace(last, until=span.until, ended_by=span.ended_by)
    return tuple(found)


def before(rests: Iterable[Span], stopped_at: Instant | None) -> tuple[Span, ...]:
    """The rests as they were when everything stopped: what began later is none, and what went on then never ended."""
    if stopped_at is None:
        return tuple(rests)
    begun = (span for span in rests if span.since < stopped_at)
    return tuple(s if s.until is not None and s.until <= stopped_at else replace(s, until=None, ended_by=None) for s in begun)


def moved_day(day: date, rests: Iterable[Span], zone_name: str) -> date:
    """A day moved on by the local days of every rest that is over and began before the day was."""
    for span in rests:
        if span.until is not None and span.since < end_of_day(day, zone_name):
            day += timedelta(days=(local_date(span.until, zone_name) - local_date(span.since, zone_name)).days)
    return day
