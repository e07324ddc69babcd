"""The assessments of each episode: begun, saved by whom and how often, completed or abandoned. No answer stands in here.

One row an assessment. What the answers say is unsealed from the log when somebody asks (`care_papers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.episode.assessments import AssessmentAbandoned, AssessmentAnswered, AssessmentBegun, AssessmentCompleted
from eventlog.codec import StoredFact
from projections.model import ReadModel

OPEN, COMPLETED, ABANDONED = "open", "completed", "abandoned"
STATUSES = (OPEN, COMPLETED, ABANDONED)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that has an answer: whose and of when the last one is."""

    question: str
    at: datetime
    by: str
    event_id: str


@dataclass(frozen=True, slots=True)
class AssessmentDirectoryRow:
    """`key` is `<episode>|<assessment>`."""

    key: str
    episode: str
    assessment: str
    status: str
    kind: str = ""
    questionnaire: str = ""
    policy: str = ""
    begun_at: datetime | None = None
    begun_by: str = ""
    answers: tuple[Answered, ...] = ()
    sittings: int = 0
    saved_last_at: datetime | None = None
    saved_last_by: str = ""
    completed_at: datetime | None = None
    completed_by: str = ""
    abandoned_at: datetime | None = None
    abandoned_because: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.assessment}",)


def _fold(key: str, row: AssessmentDirectoryRow | None, stored: StoredFact) -> AssessmentDirectoryRow:
    recorded = stored.recorded
    episode, _, assessment = key.partition("|")
    row = row or AssessmentDirectoryRow(key, episode, assessment, OPEN)
    at = recorded.occurred_at
    match recorded.fact:
        case AssessmentBegun(kind=kind, questionnaire=questionnaire, policy=policy):
            begun = replace(row, kind=kind.value, questionnaire=questionnaire, policy=policy)
            return replace(begun, begun_at=at, begun_by=recorded.actor)
        case AssessmentAnswered(questions=questions):
            told = {a.question: a for a in row.answers}
            for question in questions:
                new = Answered(question, at, recorded.actor, recorded.event_id)
                known = told.get(question)
                if known is None or (known.at, known.event_id) <= (new.at, new.event_id):
                    told[question] = new
            answered = replace(row, answers=tuple(told[q] for q in sorted(told)), sittings=row.sittings + 1)
            if row.saved_last_at is not None and row.saved_last_at > at:
                return answered
            return replace(answered, saved_last_at=at, saved_last_by=recorded.actor)
        case AssessmentCompleted():
            return replace(row, status=COMPLETED, completed_at=at, completed_by=recorded.actor)
        case AssessmentAbandoned(reason=reason):
            return replace(row, status=ABANDONED, abandoned_at=at, abandoned_because=reason)
        case _:
            return row


ASSESSMENTS = ReadModel(
    name="assessments",
    row=AssessmentDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(AssessmentAbandoned, AssessmentAnswered, AssessmentBegun, AssessmentCompleted),
    indexes=("episode, begun_at", "status, saved_last_at"),
)
