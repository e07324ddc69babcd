"""What a simulated year came to: promises by rule, contacts by kind, enrolments, tiers, caseloads, and everybody's weeks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

from domain.episode.facts import EpisodeClosed, MemberDeclined, MemberEnrolled
from domain.followup.facts import NO_TIER, FollowUpAttemptMade, FollowUpContactMade
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.staff.facts import Role
from domain.transition.facts import TransitionAttemptMade, TransitionContactMade
from simulation.core import Promises, in_all
from simulation.programme_year import ProgrammeYear
from simulation.workload import Worker


@dataclass(frozen=True, slots=True)
class Enrolments:
    """How the members of one population fared."""

    population: str
    plan: str
    assigned: int
    reached: int
    enrolled: int
    declined: int
    closed: int

    @property
    def success(self) -> float:
        return self.enrolled / self.assigned if self.assigned else 0.0


@dataclass(frozen=True, slots=True)
class Caseload:
    """How many members somebody led: on the average of the weeks, at most; and at most per full-time post."""

    worker: str
    team: str
    percent: int
    languages: tuple[str, ...]
    mean: float
    most: int
    most_per_full_time: float


@dataclass(frozen=True, slots=True)
class WorkWeek:
    """One person's week, in minutes. `needed`: what was done, and what was due by its end and was not."""

    worker: str
    team: str
    week: date
    available: float
    spent: float
    needed: float
    members: int

    @property
    def load(self) -> float | None:
        """Needed against available; None in a week of leave."""
        return self.needed / self.available if self.available else None


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a run has to say."""

    policies: tuple[str, ...]
    members: int
    days: int
    seed: int
    facts: int
    promises: tuple[Promises, ...]
    contacts: tuple[tuple[str, int], ...]
    enrolments: tuple[Enrolments, ...]
    tiers: tuple[tuple[str, int], ...]
    caseloads: tuple[Caseload, ...]
    weeks: tuple[WorkWeek, ...]
    refused: tuple[str, ...] = ()

    @property
    def all_promises(self) -> Promises:
        return in_all(self.promises)


def findings(run: ProgrammeYear) -> Findings:
    """What a run that is over came to."""
    return Findings(
        policies=tuple(policy.id for policy in run.book.policies),
        members=run.members,
        days=run.days,
        seed=run.throws.seed,
        facts=len(run.core.log),
        promises=run.core.promises(),
        contacts=tuple(sorted(_contacts(run).items())),
        enrolments=tuple(_enrolments(run)),
        tiers=tuple(sorted(_tiers(run).items())),
        caseloads=tuple(_caseload(worker) for worker in run.staff if worker.role is Role.CARE_MANAGER and not worker.licence),
        weeks=tuple(week for worker in run.staff for week in _weeks(worker)),
        refused=tuple(run.refused),
    )


def _contacts(run: ProgrammeYear) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for recorded in run.core.log:
        fact = recorded.fact
        match fact:
            case AttemptMade():
                kinds[f"outreach: {fact.channel}, {'reached' if fact.outcome is Outcome.REACHED else 'in vain'}"] += 1
            case ContactMade():
                kinds["outreach: the member came or called"] += 1
            case FollowUpContactMade():
                kinds[f"follow-up: {fact.interaction}"] += 1
            case TransitionContactMade():
                kinds[f"transition: {fact.interaction}"] += 1
            case FollowUpAttemptMade():
                kinds[f"follow-up: {fact.interaction}, in vain"] += 1
            case TransitionAttemptMade():
                kinds[f"transition: {fact.interaction}, in vain"] += 1
    return kinds


def _enrolments(run: ProgrammeYear) -> list[Enrolments]:
    enrolled, declined, closed, reached = (set[str]() for _ in range(4))
    for recorded in run.core.log:
        number = recorded.stream.partition("-")[2]
        match recorded.fact:
            case MemberEnrolled():
                enrolled.add(number)
            case MemberDeclined():
                declined.add(number)
            case EpisodeClosed():
                closed.add(number)
            case AttemptMade(outcome=Outcome.REACHED):
                reached.add(number)
    found = []
    for population in run.found.population:
        own = {str(m.number) for m in run.cast if m.population is population and m.episode in run.core.streams}
        counts = (len(own & told) for told in (reached, enrolled, declined, closed))
        found.append(Enrolments(population.name, population.plan, len(own), *counts))
    return found


def _tiers(run: ProgrammeYear) -> Counter[str]:
    """The tier of each enrolled member as it was found last."""
    tiers: Counter[str] = Counter()
    for member in run.cast:
        if member.episode in run.core.folded and run.core.load(member.episode).state.enrolled() is not None:
            found = run.core.load(f"followup-{member.number}").state.found
            tiers[found.tier if found is not None else NO_TIER] += 1
    return tiers


def _caseload(worker: Worker) -> Caseload:
    counts = list(worker.carried.values()) or [0]
    mean, most = sum(counts) / len(counts), max(counts)
    return Caseload(worker.name, worker.team, worker.percent, worker.languages, mean, most, most / worker.posts)


def _weeks(worker: Worker) -> list[WorkWeek]:
    return [
        WorkWeek(
            worker.name,
            worker.team,
            week,
            worker.available(week),
            worker.spent.get(week, 0.0),
            worker.spent.get(week, 0.0) + worker.waiting.get(week, 0.0),
            members,
        )
        for week, members in sorted(worker.carried.items())
    ]
