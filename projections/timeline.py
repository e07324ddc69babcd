"""Every fact as a line of somebody's history: what, when in the world, when said, when recorded, by whom, under which rule.

One row a fact, in all streams but claims; whose history a stream belongs to is `belonging`'s to say. Nothing personal is in here.
"""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from domain.stay.facts import day_alone
from eventlog.codec import StoredFact
from projections import sentences, sentences_of_the_year, words
from projections.model import ReadModel


class TimelineRow(msgspec.Struct, frozen=True):
    """`key` is the event's id. `kind` is the stream's. `occurred_on` is set where only the local day is known, `due_at` where the
    fact speaks of a due. `sealed`: something personal belongs to it, which only the log can show. A Struct: there is one for each
    fact of the log, and a dataclass takes six times as long to be made."""

    key: str
    position: int
    stream: str
    kind: str
    version: int
    name: str
    sentence: str
    occurred_at: datetime
    occurred_on: date | None
    said_at: datetime | None
    recorded_at: datetime
    actor: str
    rule: str
    policy: str
    due_at: datetime | None
    message_id: str | None
    causation: str | None
    sealed: bool


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return () if stored.recorded.stream.startswith("claim-") else (stored.recorded.event_id,)


def _fold(key: str, row: TimelineRow | None, stored: StoredFact) -> TimelineRow:
    recorded, meta = stored.recorded, stored.meta
    fact = recorded.fact
    return TimelineRow(
        key=key,
        position=recorded.position,
        stream=recorded.stream,
        kind=recorded.stream.partition("-")[0],
        version=recorded.version,
        name=stored.name,
        sentence=sentences.sentence(fact),
        occurred_at=recorded.occurred_at,
        occurred_on=day_alone(recorded),
        said_at=recorded.said_at,
        recorded_at=recorded.recorded_at,
        actor=recorded.actor,
        rule=getattr(fact, "rule", ""),
        policy=meta.policy or str(getattr(fact, "policy", "")),
        due_at=getattr(fact, "due_at", None),
        message_id=recorded.message_id,
        causation=meta.causation,
        sealed=stored.erased,
    )


TIMELINE = ReadModel(
    name="timeline",
    row=TimelineRow,
    keys=_keys,
    fold=_fold,
    append_only=True,
    indexes=("stream, occurred_at, position",),
    sources=(sentences, sentences_of_the_year, words),
)
