"""Every due that was ever set, what it was before it moved, and what the log says of it: missed, withdrawn, a miss taken back.

That a promise was *kept* is no fact of the log but follows from the plan; `queries` joins what the shell found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn, Variant
from eventlog.codec import StoredFact
from projections.model import ReadModel

EARLIER_MAX = 50
"""Of one due. More than a handful is a fault in a plan, and the row must stay small."""


@dataclass(frozen=True, slots=True)
class EarlierDue:
    """What the due was before it was written anew."""

    due_at: datetime
    policy: str
    recorded_at: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class DeadlineRow:
    """`key` is `<stream>|<due key>`; `episode` the episode whose process wrote it; `subject` the stay that it is about, if any."""

    key: str
    stream: str
    due_key: str
    episode: str
    subject: str
    rule: str
    generation: int
    opens_at: datetime
    due_at: datetime
    closes_at: datetime
    policy: str
    governing: bool
    late_on_arrival: bool
    cause: tuple[str, ...]
    variants: tuple[Variant, ...]
    set_at: datetime
    earlier: tuple[EarlierDue, ...] = ()
    missed_at: datetime | None = None
    miss_recorded_at: datetime | None = None
    learned_at: datetime | None = None
    miss_withdrawn_at: datetime | None = None
    miss_withdrawn_because: str = ""
    withdrawn_at: datetime | None = None
    withdrawn_because: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.key}",)


def _fold(key: str, row: DeadlineRow | None, stored: StoredFact) -> DeadlineRow | None:
    recorded = stored.recorded
    match recorded.fact:
        case DueSet() as due:
            return _set(key, row, stored, due)
        case _ if row is None:
            return None
        case DueWithdrawn(reason=reason):
            return replace(row, withdrawn_at=recorded.occurred_at, withdrawn_because=reason)
        case DeadlineMissed() as missed:
            return replace(
                row,
                missed_at=missed.due_at,
                miss_recorded_at=recorded.recorded_at,
                learned_at=missed.learned_at,
                late_on_arrival=missed.late_on_arrival,
                miss_withdrawn_at=None,
                miss_withdrawn_because="",
            )
        case MissWithdrawn(reason=reason):
            return replace(row, missed_at=None, miss_withdrawn_at=recorded.recorded_at, miss_withdrawn_because=reason)
        case _:
            return row


def _set(key: str, row: DeadlineRow | None, stored: StoredFact, due: DueSet) -> DeadlineRow:
    stream = stored.recorded.stream
    fresh = DeadlineRow(
        key=key,
        stream=stream,
        due_key=due.key,
        episode="episode-" + stream.partition("-")[2],
        subject=next((part for part in due.key.split("/") if part.startswith("stay-")), ""),
        rule=due.rule,
        generation=due.generation,
        opens_at=due.opens_at,
        due_at=due.due_at,
        closes_at=due.closes_at,
        policy=due.policy,
        governing=due.governing,
        late_on_arrival=due.late_on_arrival,
        cause=due.cause,
        variants=due.variants,
        set_at=stored.recorded.recorded_at,
    )
    if row is None:
        return fresh
    before = EarlierDue(row.due_at, row.policy, row.set_at, row.generation)
    return replace(
        fresh,
        earlier=(*row.earlier, before)[-EARLIER_MAX:],
        missed_at=row.missed_at,
        miss_recorded_at=row.miss_recorded_at,
        learned_at=row.learned_at,
        miss_withdrawn_at=row.miss_withdrawn_at,
        miss_withdrawn_because=row.miss_withdrawn_because,
    )


DEADLINES = ReadModel(
    name="deadlines",
    row=DeadlineRow,
    keys=_keys,
    fold=_fold,
    facts=(DueSet, DueWithdrawn, DeadlineMissed, MissWithdrawn),
    indexes=("due_at, key", "episode, due_at", "stream, subject"),
)
