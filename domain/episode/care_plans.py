"""The care management plan: versions with goals and tasks, the member's part in it, the copy given, the clinical review.

A prior version stays readable for ever. Texts are sealed; what rules look at (states, days, who owes a task) is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import Fact, StreamId, personal
from domain.staff.facts import Licence

# --- facts ---------------------------------------------------------------------------------------------------------------------


class GoalState(StrEnum):
    OPEN = "open"
    MET = "met"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`topic`: housing, medication, substance_use, …; a topic under 42 CFR Part 2 is withheld from those who may not be told."""

    goal: str
    topic: str
    state: GoalState = GoalState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What somebody does towards a goal. `owner`: a staff stream, member, caregiver, or a team role."""

    task: str
    goal: str
    owner: str
    due_on: date | None = None
    done_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanWritten(Fact):
    """A version of the whole plan, from 1 on. `member_took_part`: in_person, phone, declined, caregiver. `texts` by goal and
    task id."""

    version: int
    goals: tuple[Goal, ...]
    tasks: tuple[Task, ...]
    member_took_part: str
    carried_over_from: StreamId = ""
    texts: Mapping[str, str] | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanCopyGiven(Fact):
    """To whom, how, and that they know how to ask for changes (G p61-62). `to`: member, caregiver, guardian."""

    version: int
    to: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanReviewed(Fact):
    """Somebody with a licence looked at the version (G p58). `outcome`: agreed, changes_wanted."""

    version: int
    outcome: str
    licence: Licence
    note: str | None = personal()


CarePlanFact = CarePlanWritten | CarePlanCopyGiven | CarePlanReviewed
