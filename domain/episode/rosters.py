"""What a plan's lists say of an assignment that stands: that the member is missing from one, and what the plan calls them.

Absence ends nothing: a list may be cut off, late or another plan's. It is a question to a person, who says whether the assignment
stands (domain.md scenario 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from domain.core import Command, Decision, EventId, Fact, Instant, Refusal
from domain.episode.state import Episode
from domain.timeline import Span, Timeline, spans

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedOnRoster(Fact):
    """A full list of the plan's members does not name the member any more. `file` is its id in the inbox."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOnRosterAgain(Fact):
    """A later list names the member: the absence was the list's."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterAbsenceSettled(Fact):
    """Somebody asked the plan. `stands`: the assignment goes on; otherwise it is withdrawn with this."""

    stands: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPopulationsReported(Fact):
    """The populations of focus under which the plan lists the member, kept beside ours and never overwritten by them."""

    populations: tuple[str, ...]
    learned_from: str = "plan_file"


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MissOnRoster(Command):
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameOnRosterAgain(Command):
    file: str


class Standing(StrEnum):
    """What the plan says when it is asked about somebody who is missing from its list."""

    STANDS = "stands"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRosterAbsence(Command):
    """A person's word on an absence. Withdrawn: the episode is closed with it, as a withdrawn assignment."""

    assignment: Standing
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlanPopulations(Command):
    populations: tuple[str, ...]
    learned_from: str = "plan_file"


RosterCommand = MissOnRoster | NameOnRosterAgain | SettleRosterAbsence | ReportPlanPopulations

POPULATIONS_MAX = 20

# --- what is known -------------------------------------------------------------------------------------------------------------


def absences(said: Timeline) -> tuple[Span, ...]:
    """The times for which a list missed the member, until one named them again or a person settled it."""
    return spans(said, MissedOnRoster, (NamedOnRosterAgain, RosterAbsenceSettled), "missing_from_roster")


def missing(said: Timeline) -> tuple[Instant, EventId] | None:
    """Since when, and by which fact, the member is missing from the plan's list; None where they are not."""
    found = absences(said)
    return (found[-1].since, found[-1].begun_by) if found and found[-1].until is None else None


def plan_populations(said: Timeline) -> tuple[str, ...]:
    """What the plan's file last said."""
    told = [e.fact.populations for e in said if isinstance(e.fact, PlanPopulationsReported)]
    return told[-1] if told else ()


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: RosterCommand, state: Episode) -> Decision:
    """What a command says of the absence; where an assignment is withdrawn with it, its closure comes from `closing`."""
    absent = missing(state.said)
    match command:
        case MissOnRoster(file=file):
            return () if absent is not None else (MissedOnRoster(file=file),)
        case NameOnRosterAgain(file=file):
            return () if absent is None else (NamedOnRosterAgain(file=file),)
        case SettleRosterAbsence(assignment=assignment, reason=reason):
            if absent is None:
                return Refusal("not_missing", "stream: the member is not missing from the plan's list; there is nothing to settle")
            if not reason.strip():
                return Refusal("reason_missing", "reason: say what the plan answered")
            return (RosterAbsenceSettled(stands=assignment is Standing.STANDS, reason=reason),)
        case ReportPlanPopulations(populations=populations, learned_from=learned_from):
            if not populations or len(populations) > POPULATIONS_MAX:
                return Refusal("populations_wrong", f"populations: between 1 and {POPULATIONS_MAX}")
            if plan_populations(state.said) == populations:
                return ()
            return (PlanPopulationsReported(populations=populations, learned_from=learned_from),)
        case _:
            assert_never(command)
