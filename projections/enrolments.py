"""What an enrolment consists of, episode by episode: steps done, conflicts raised and settled, the wish for another provider.

One row an episode. What is undone is whatever is not in here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.episode.enrolment import (
    ChoiceExplained,
    ConflictRaised,
    ConflictSettled,
    EnrolmentStepDone,
    ProviderChangeRequested,
    ProviderChangeSettled,
    ScreeningAnswered,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

KEPT_MAX = 50
"""Of the conflicts, screenings and wishes of one episode: the row must stay small."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """An enrolment step, as first done."""

    step: str
    at: datetime
    how: str
    by: str


@dataclass(frozen=True, slots=True)
class Screening:
    """A screening that was answered; single scores stay in the log."""

    questionnaire: str
    at: datetime
    score: int


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """`raised` is the event that raised it; it is open while `settled_at` is None."""

    raised: str
    conflict: str
    programme: str
    at: datetime
    checked_on: date | None = None
    choice_explained_at: datetime | None = None
    settled_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ProviderChange:
    """The member's wish for another provider; it runs while `settled_at` is None."""

    requested: str
    at: datetime
    settled_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class EnrolmentRow:
    """`key` is the episode's stream. `conflicts_open` and `provider_change_since` follow from the lists."""

    key: str
    steps: tuple[StepDone, ...] = ()
    screenings: tuple[Screening, ...] = ()
    conflicts: tuple[ConflictSeen, ...] = ()
    changes: tuple[ProviderChange, ...] = ()
    conflicts_open: int = 0
    provider_change_since: datetime | None = None


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: EnrolmentRow | None, stored: StoredFact) -> EnrolmentRow:
    after = _after(row or EnrolmentRow(key), stored)
    return replace(
        after,
        conflicts_open=sum(c.settled_at is None for c in after.conflicts),
        provider_change_since=min((c.at for c in after.changes if c.settled_at is None), default=None),
    )


def _after(row: EnrolmentRow, stored: StoredFact) -> EnrolmentRow:
    recorded = stored.recorded
    at = recorded.occurred_at
    match recorded.fact:
        case EnrolmentStepDone(step=step, how=how):
            return replace(row, steps=_first((*row.steps, StepDone(step.value, at, how, recorded.actor))))
        case ScreeningAnswered(questionnaire=name, scores=scores):
            answered = sorted((*row.screenings, Screening(name, at, sum(scores))), key=lambda s: s.at)
            return replace(row, screenings=tuple(answered)[-KEPT_MAX:])
        case ConflictRaised(conflict=conflict, programme=programme, checked_on=day):
            seen = ConflictSeen(recorded.event_id, conflict.value, programme, at, day)
            return replace(row, conflicts=(*row.conflicts, seen)[-KEPT_MAX:])
        case ChoiceExplained(raised=raised):
            return replace(row, conflicts=tuple(
                replace(c, choice_explained_at=at) if c.raised == raised else c for c in row.conflicts
            ))  # fmt: skip
        case ConflictSettled(raised=raised, outcome=outcome):
            return replace(row, conflicts=tuple(
                replace(c, settled_at=at, outcome=outcome) if c.raised == raised else c for c in row.conflicts
            ))  # fmt: skip
        case ProviderChangeRequested():
            return replace(row, changes=(*row.changes, ProviderChange(recorded.event_id, at))[-KEPT_MAX:])
        case ProviderChangeSettled(requested=requested, outcome=outcome):
            return replace(row, changes=tuple(
                replace(c, settled_at=at, outcome=outcome) if c.requested == requested else c for c in row.changes
            ))  # fmt: skip
        case _:
            return row


def _first(steps: Iterable[StepDone]) -> tuple[StepDone, ...]:
    """Of each step the earliest record, in the order in which they were done."""
    found: dict[str, StepDone] = {}
    for done in sorted(steps, key=lambda s: s.at):
        found.setdefault(done.step, done)
    return tuple(found.values())


ENROLMENTS = ReadModel(
    name="enrolments",
    row=EnrolmentRow,
    keys=_keys,
    fold=_fold,
    facts=(
        ChoiceExplained,
        ConflictRaised,
        ConflictSettled,
        EnrolmentStepDone,
        ProviderChangeRequested,
        ProviderChangeSettled,
        ScreeningAnswered,
    ),
)
