"""A real member of a thousand events: the invented programme's own homeless member, cared for week after week over four years.

`long_life.jsonl.gz` holds what the real core made of that life (dues, contacts, messages, misses, assessments) and the real gateway
wrote, unsealed; the person is invented. It is written once more, fact by fact, through the real gateway: sealed, chained and with
all that surrounds it. Where a care manager's contact carries no note, it is given one: people write notes, and notes are sealed.

`python -m benchmarks.long_life` lives the life again and writes the file anew: after facts have changed.
"""

from __future__ import annotations

import gzip
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec
import structlog

from benchmarks.ground import Databases, Ground
from benchmarks.table import NotMeasured
from domain import catalog, routing
from domain.catalog import FACTS
from domain.core import Fact, ProcessRef, StreamId
from domain.member.facts import EpisodeBegun
from eventlog.clock import FixedClock
from eventlog.codec import Meta, StoredFact
from eventlog.gateway import Accepted, Gateway
from eventlog.opening import OpenLog, open_log
from intake.store import inbox
from workers import composition
from workers.composition import open_system
from workers.demo import write_history
from workers.settings import load_settings

FILE = Path(__file__).parent / "long_life.jsonl.gz"
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

    facts: tuple[Lived, ...]

    @property
    def longest(self) -> StreamId:
        """The stream with most of it."""
        return Counter(f.stream for f in self.facts).most_common(1)[0][0]

    def whole(self, events: int = EVENTS) -> tuple[Lived, ...]:
        """The first so many facts of the member, whatever their stream."""
        return _enough(self.facts, events)

    def one_stream(self, events: int = EVENTS) -> tuple[Lived, ...]:
        """The first so many facts of the longest stream: twice what a stream is meant to hold."""
        return _enough([f for f in self.facts if f.stream == self.longest], events)


class Line(msgspec.Struct):
    """A fact of the file."""

    stream: StreamId
    event_id: str
    name: str
    fact: Any
    meta: Meta


@dataclass(frozen=True, slots=True)
class Lived:
    """A fact as it was recorded, with its id and what surrounds it."""

    stream: StreamId
    event_id: str
    fact: Fact
    meta: Meta


@cache
def lived() -> Life:
    """The life in the file."""
    types = {entry.name: entry.type for entry in FACTS}
    with gzip.open(FILE, "rb") as file:
        found = [msgspec.json.decode(line, type=Line) for line in file]
    return Life(tuple(Lived(f.stream, f.event_id, msgspec.convert(f.fact, types[f.name]), f.meta) for f in found))


def keep(facts: Iterable[StoredFact]) -> None:
    """Write the file."""
    with gzip.open(FILE, "wb") as file:
        for stored in facts:
            r = stored.recorded
            line = {"stream": r.stream, "event_id": r.event_id, "name": stored.name, "fact": r.fact, "meta": stored.meta}
            file.write(msgspec.json.encode(line) + b"\n")


def live() -> None:
    """Have the programme live some years, and keep what happened to whoever has most facts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="throughline-life-") as name:
        Path(name).chmod(0o711)
        with Ground(Path(name)) as ground, ground.databases() as databases, ground.folder() as home:
            here = {"throughline_home": home, "database_url": databases.url, "keys_database_url": databases.keys_url}
            own = load_settings().model_copy(update=here)
            composition.prepare(own)
            inbox.create(databases.url)
            write_history(own, lambda what, share: None, CAST, DAYS)
            with open_system(own) as system:
                facts = tuple(system.log.all())
    whose = _members(facts)
    most = Counter(whose[f.recorded.stream] for f in facts if f.recorded.stream in whose).most_common(1)[0][0]
    keep(f for f in facts if whose.get(f.recorded.stream) == most)


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


def write(gateway: Gateway, clock: FixedClock, facts: Iterable[Lived]) -> tuple[StreamId, ...]:
    """Record these facts as they were recorded once; the streams that hold them."""
    versions: dict[StreamId, int] = {}
    for lived in facts:
        stream, meta = lived.stream, lived.meta
        clock.set(meta.recorded_at)
        outcome = gateway.append_facts(
            stream,
            (_with_note(lived.fact),),
            command_id=uuid5(NAMESPACE_OID, lived.event_id),
            by=meta.actor,
            versions={stream: versions.get(stream, 0)},
            occurred_at=meta.occurred_at,
            causation=meta.causation,
            correlation=meta.correlation,
        )
        assert isinstance(outcome, Accepted), outcome
        versions[stream] = outcome.version
    return tuple(versions)


def _enough(facts: Sequence[Lived], events: int) -> tuple[Lived, ...]:
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


if __name__ == "__main__":
    live()
