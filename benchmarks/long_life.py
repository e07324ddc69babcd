"""A real member of a thousand events: the invented programme's own homeless member, cared for week after week over four years.

The life is lived by the real core (dues, contacts, messages, misses, assessments) and then written once more, fact by fact, through
the real gateway: sealed, chained and with all that surrounds it. Where a care manager's contact carries no note, it is given one,
because people write notes and what they write is sealed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import structlog

from benchmarks.ground import Databases, Ground
from benchmarks.table import NotMeasured
from domain import catalog, routing
from domain.catalog import FACTS
from domain.core import ProcessRef, StreamId
from domain.member.facts import EpisodeBegun
from eventlog.clock import FixedClock
from eventlog.codec import StoredFact
from eventlog.gateway import Accepted, Gateway
from eventlog.opening import OpenLog, open_log
from intake import inbox
from workers import composition
from workers.composition import open_system
from workers.demo import write_history
from workers.settings import load_settings

EVENTS = 1_000
CAST = 3
"""The third of the invented people is homeless: they are to be spoken with every week."""

DAYS = 1_490
MASTER, FINGERPRINTS = bytes(range(32)), bytes(32)
OF_AN_EPISODE = ("episode", *catalog.PROCESSES)
"""The streams that share an episode's id."""

NOTE = "Spoke for a while about the new room, the walk to the clinic and the pills; will bring the letter from the county."


@dataclass(frozen=True, slots=True)
class Life:
    """What happened to one member, in the order of the log, over all streams that are theirs."""

    facts: tuple[StoredFact, ...]

    @property
    def longest(self) -> StreamId:
        """The stream with most of it."""
        return Counter(f.recorded.stream for f in self.facts).most_common(1)[0][0]

    def whole(self, events: int = EVENTS) -> tuple[StoredFact, ...]:
        """The first so many facts of the member, whatever their stream."""
        return _enough(self.facts, events)

    def one_stream(self, events: int = EVENTS) -> tuple[StoredFact, ...]:
        """The first so many facts of the longest stream: twice what a stream is meant to hold."""
        return _enough([f for f in self.facts if f.recorded.stream == self.longest], events)


@cache
def lived(ground: Ground) -> Life:
    """The life of whoever has most facts in a history of some years. Takes about ten seconds, the first time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ground.databases() as databases, ground.folder() as home:
        here = {"throughline_home": home, "database_url": databases.url, "keys_database_url": databases.keys_url}
        own = load_settings().model_copy(update=here)
        composition.prepare(own)
        inbox.create(databases.url)
        write_history(own, lambda what, share: None, CAST, DAYS)
        with open_system(own) as system:
            facts = tuple(system.log.all())
    whose = _members(facts)
    most = Counter(whose[f.recorded.stream] for f in facts if f.recorded.stream in whose).most_common(1)[0][0]
    return Life(tuple(f for f in facts if whose.get(f.recorded.stream) == most))


def open_for(databases: Databases) -> OpenLog:
    return open_log(databases.url, databases.keys_url, master_key=MASTER, facts=FACTS)


def gateway_for(opened: OpenLog, clock: FixedClock) -> Gateway:
    """A gateway as in production, which has folded nothing yet."""
    return Gateway(
        opened.log,
        clock=clock,
        deciders=catalog.DECIDERS,
        processes=catalog.PROCESSES,
        fingerprint_key=FINGERPRINTS,
        tags=routing.tags,
        forget_key=opened.keys.forget,
    )


def write(gateway: Gateway, clock: FixedClock, facts: Iterable[StoredFact]) -> tuple[StreamId, ...]:
    """Record these facts as they were recorded once; the streams that hold them."""
    versions: dict[StreamId, int] = {}
    for stored in facts:
        recorded, meta = stored.recorded, stored.meta
        stream = recorded.stream
        clock.set(recorded.recorded_at)
        outcome = gateway.append_facts(
            stream,
            (_with_note(recorded.fact),),
            command_id=uuid5(NAMESPACE_OID, recorded.event_id),
            by=recorded.actor,
            versions={stream: versions.get(stream, 0)},
            occurred_at=recorded.occurred_at,
            causation=meta.causation,
            correlation=meta.correlation,
        )
        assert isinstance(outcome, Accepted), outcome
        versions[stream] = outcome.version
    return tuple(versions)


def _enough(facts: Sequence[StoredFact], events: int) -> tuple[StoredFact, ...]:
    if len(facts) < events:
        raise NotMeasured(f"the life has {len(facts)} facts only: let it last longer (DAYS in {__name__})")
    return tuple(facts[:events])


def _members(facts: Sequence[StoredFact]) -> dict[StreamId, StreamId]:
    """Whose each stream is, of those that are a member's."""
    whose: dict[StreamId, StreamId] = {}
    for recorded in (f.recorded for f in facts):
        if isinstance(recorded.fact, EpisodeBegun):
            id = ProcessRef.of(recorded.fact.episode).id
            whose |= dict.fromkeys((recorded.stream, *(f"{kind}-{id}" for kind in OF_AN_EPISODE)), recorded.stream)
    return whose


def _with_note(fact: Any) -> Any:
    return replace(fact, note=NOTE) if getattr(fact, "note", "") is None else fact
