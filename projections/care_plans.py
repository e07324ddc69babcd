"""The care plan of each episode as it stands: which version, how far its goals and tasks are, the copy given, the clinical review.

One row an episode, of the version in force. Texts and prior versions are read from the log when somebody asks (`care_papers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.calendar import local_date
from domain.episode.care_plans import (
    CarePlanCopyGiven,
    CarePlanReviewed,
    CarePlanWritten,
    CareTaskFinished,
    Goal,
    GoalGivenUp,
    GoalMet,
    GoalState,
    Task,
)
from domain.staff.facts import OFFICE_ZONE
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class CarePlanDirectoryRow:
    """`key` is the episode's stream. `next_due_on`: the earliest day of a task that is not done. `tasks_of`: who owes open
    tasks."""

    key: str
    version: int = 0
    written_at: datetime | None = None
    written_by: str = ""
    member_took_part: str = ""
    carried_over_from: str = ""
    goals_open: int = 0
    goals_met: int = 0
    goals_given_up: int = 0
    tasks_open: int = 0
    tasks_done: int = 0
    next_due_on: date | None = None
    tasks_of: tuple[str, ...] = ()
    copy_given_at: datetime | None = None
    copies: int = 0
    reviewed_at: datetime | None = None
    reviewed_by: str = ""
    review_outcome: str = ""
    goals: tuple[Goal, ...] = ()
    tasks: tuple[Task, ...] = ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: CarePlanDirectoryRow | None, stored: StoredFact) -> CarePlanDirectoryRow:
    after = _after(row or CarePlanDirectoryRow(key), stored)
    open_tasks = [t for t in after.tasks if t.done_on is None]
    return replace(
        after,
        goals_open=sum(g.state is GoalState.OPEN for g in after.goals),
        goals_met=sum(g.state is GoalState.MET for g in after.goals),
        goals_given_up=sum(g.state is GoalState.GIVEN_UP for g in after.goals),
        tasks_open=len(open_tasks),
        tasks_done=len(after.tasks) - len(open_tasks),
        next_due_on=min((t.due_on for t in open_tasks if t.due_on is not None), default=None),
        tasks_of=tuple(sorted({t.owner for t in open_tasks})),
    )


def _after(row: CarePlanDirectoryRow, stored: StoredFact) -> CarePlanDirectoryRow:
    recorded = stored.recorded
    at, fact = recorded.occurred_at, recorded.fact
    if isinstance(fact, CarePlanWritten):
        if fact.version < row.version:
            return row
        return CarePlanDirectoryRow(
            key=row.key,
            version=fact.version,
            written_at=at,
            written_by=recorded.actor,
            member_took_part=fact.member_took_part,
            carried_over_from=fact.carried_over_from,
            goals=fact.goals,
            tasks=fact.tasks,
        )
    if fact.version != row.version:
        return row
    match fact:
        case GoalMet(goal=id):
            return replace(row, goals=_with_state(row.goals, id, GoalState.MET))
        case GoalGivenUp(goal=id):
            return replace(row, goals=_with_state(row.goals, id, GoalState.GIVEN_UP))
        case CareTaskFinished(task=id):
            day = local_date(at, OFFICE_ZONE)
            return replace(row, tasks=tuple(replace(t, done_on=day) if t.task == id else t for t in row.tasks))
        case CarePlanCopyGiven() as copy:
            own = at if copy.is_members_own else None
            first = min((i for i in (row.copy_given_at, own) if i is not None), default=None)
            return replace(row, copies=row.copies + 1, copy_given_at=first)
        case CarePlanReviewed(outcome=outcome) if row.reviewed_at is None or row.reviewed_at <= at:
            return replace(row, reviewed_at=at, reviewed_by=recorded.actor, review_outcome=outcome)
        case _:
            return row


def _with_state(goals: tuple[Goal, ...], id: str, state: GoalState) -> tuple[Goal, ...]:
    return tuple(replace(g, state=state) if g.goal == id else g for g in goals)


CARE_PLANS = ReadModel(
    name="care_plans",
    row=CarePlanDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten, CareTaskFinished, GoalGivenUp, GoalMet),
    indexes=("written_at, key", "next_due_on", "USING gin (tasks_of)"),
)
