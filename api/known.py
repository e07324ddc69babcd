"""The streams as they were known at an instant, folded: what every look back, and every explanation, stands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from domain.catalog import DECIDERS, PROCESSES
from domain.core import READ_ROUNDS, Instant, Loaded, Plan, ProcessRef, Recorded, StreamId, fold
from domain.policy import PolicyBook, read_policy
from domain.stay.facts import day_alone
from eventlog.log import Log
from projections.sentences import sentence

STREAMS_MAX = 500
"""Of one member's history; beyond it something writes in a loop."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that something rests on, in words. `occurred_on`: the local day, where no more is known."""

    event_id: str
    stream: StreamId
    sentence: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    occurred_on: date | None


class Known:
    """The streams as they were known at an instant. Nothing that was recorded later is in here."""

    def __init__(self, log: Log, known_at: Instant) -> None:
        self._log, self._known_at = log, known_at
        self._streams: dict[StreamId, tuple[Recorded, ...]] = {}
        self._states: dict[StreamId, Loaded] = {}

    def read(self, streams: Iterable[StreamId]) -> None:
        missing = [s for s in dict.fromkeys(streams) if s not in self._streams]
        assert len(missing) + len(self._streams) <= STREAMS_MAX
        for stream, facts in self._log.read_many(missing).items() if missing else ():
            self._streams[stream] = tuple(r for r in facts if r.recorded_at <= self._known_at)

    def facts(self, stream: StreamId) -> tuple[Recorded, ...]:
        self.read((stream,))
        return self._streams[stream]

    def state(self, stream: StreamId) -> Loaded:
        if stream not in self._states:
            decider = DECIDERS.get(stream.partition("-")[0])
            facts = self.facts(stream)
            self._states[stream] = Loaded(None, len(facts)) if decider is None else fold(decider, stream, facts)
        return self._states[stream]

    def book(self) -> PolicyBook:
        book = PolicyBook()
        for policy in self._log.streams("policy"):
            for recorded in self.facts(policy):
                if isinstance(text := getattr(recorded.fact, "text", None), str):
                    book = book.with_adopted(read_policy(text))
        return book

    def planned(self, ref: ProcessRef, book: PolicyBook, now: Instant) -> Plan:
        process, own = PROCESSES[ref.kind], self.state(ref.stream)
        context: dict[StreamId, Loaded] = {}
        for _ in range(READ_ROUNDS + 1):
            wanted = [s for s in process.reads(ref, own.state, context) if s != ref.stream and s not in context]
            if not wanted:
                break
            self.read(wanted)
            context |= {s: self.state(s) for s in wanted}
        return process.plan(own.state, context, book, now)

    def fact(self, event_id: str) -> Fact | None:
        for facts in self._streams.values():
            for r in facts:
                if r.event_id == event_id:
                    return Fact(
                        r.event_id, r.stream, sentence(r.fact), r.occurred_at, r.recorded_at, r.actor, day_alone(r)
                    )  # fmt: skip
        return None
