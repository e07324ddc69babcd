"""The care management plan: versions with goals and tasks, the member's part in it, the copy given, the clinical review.

A prior version stays readable for ever. Texts are sealed; what rules look at (states, days, who owes a task) is not. What was
reached or finished meanwhile is a fact of its own, so that a version, which a copy and a review are owed for, begins only with new
content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import assert_never

from domain.calendar import local_date
from domain.core import Command, Context, Decision, Fact, Instant, Refusal, StreamId, personal
from domain.episode.state import Episode
from domain.member.sharing import Audience, Shares, Sharing, Why, withheld_because
from domain.staff.decider import OFFICE_ZONE, staff_in
from domain.staff.facts import Licence
from domain.timeline import Timeline

GOALS_MAX = 30
TASKS_MAX = 50
VERSIONS_MAX = 200
TEXT_LENGTH_MAX = 2_000
COPIES_MAX = 50
"""Of one version."""

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")

TOPICS = (
    "physical_health",
    "medication",
    "developmental",
    "mental_health",
    "dementia",
    "substance_use",
    "ltss",
    "oral_health",
    "palliative_care",
    "social",
    "housing",
    "food",
    "transport",
    "income_and_benefits",
    "legal",
    "family",
    "education",
    "care_coordination",
    "other",
)
"""What a goal may be about: named, because a slip of the pen must not show what is protected."""

TEAM = (
    "member",
    "caregiver",
    "lead_care_manager",
    "nurse",
    "social_worker",
    "community_health_worker",
    "pharmacist",
    "primary_care",
    "specialist",
    "behavioural_health",
    "substance_use_treatment",
    "housing_navigator",
    "facility",
    "plan",
    "community_supports",
)
"""Who may owe a task, besides a person on the staff."""

TOOK_PART = ("in_person", "phone", "video", "caregiver", "declined")
COPY_WAYS = ("in_person", "mail", "email", "portal")
COPY_TO = {
    "member": Audience.MEMBER,
    "caregiver": Audience.FAMILY,
    "guardian": Audience.LEGAL_REPRESENTATIVE,
    "conservator": Audience.LEGAL_REPRESENTATIVE,
    "plan": Audience.PLAN,
    "facility": Audience.FACILITY,
    "primary_care": Audience.PRIMARY_CARE,
}
OWN = (Audience.MEMBER, Audience.LEGAL_REPRESENTATIVE)
"""A copy to these is the member's own, which is owed of every version."""

OUTCOMES = ("agreed", "changes_wanted")
CLINICAL_LICENCES = (Licence.PRESCRIBER, Licence.RN, Licence.LCSW, Licence.PHARMACIST)
"""Under which a plan may be reviewed; an LVN works under somebody else's."""

# --- facts ---------------------------------------------------------------------------------------------------------------------


class GoalState(StrEnum):
    OPEN = "open"
    MET = "met"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`topic`: housing, medication, substance_use, …; a topic under 42 CFR Part 2 is withheld from those who may not be told.
    `sensitive`: its text says something of substance use, whatever the topic."""

    goal: str
    topic: str
    state: GoalState = GoalState.OPEN
    sensitive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What somebody does towards a goal. `owner`: a staff stream, member, caregiver, or a team role. `sensitive`: as of a goal."""

    task: str
    goal: str
    owner: str
    due_on: date | None = None
    done_on: date | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanWritten(Fact):
    """A version of the whole plan, from 1 on. `member_took_part`: in_person, phone, video, declined, caregiver.
    `carried_over_from`: the episode whose plan it goes on with. `texts` by goal and task id."""

    version: int
    goals: tuple[Goal, ...]
    tasks: tuple[Task, ...]
    member_took_part: str
    carried_over_from: StreamId = ""
    texts: Mapping[str, str] | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalMet(Fact):
    """The member reached a goal of the version."""

    version: int
    goal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalGivenUp(Fact):
    """Nobody pursues the goal any longer: the member's wish, or what came between."""

    version: int
    goal: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CareTaskFinished(Fact):
    """Somebody did what they owed, on the day of `occurred_at`."""

    version: int
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanCopyGiven(Fact):
    """To whom, how, and that they know how to ask for changes (G p61-62). `to`: member, caregiver, guardian, … `withheld`: the
    goals and tasks that the copy left out."""

    version: int
    to: str
    how: str
    withheld: tuple[str, ...] = ()

    @property
    def is_members_own(self) -> bool:
        """Given to the member, or to who decides for them."""
        return COPY_TO.get(self.to) in OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlanReviewed(Fact):
    """Somebody with a licence looked at the version (G p58). `outcome`: agreed, changes_wanted."""

    version: int
    outcome: str
    licence: Licence
    note: str | None = personal()


CarePlanFact = CarePlanWritten | GoalMet | GoalGivenUp | CareTaskFinished | CarePlanCopyGiven | CarePlanReviewed

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCarePlan(Command):
    """A whole new version. `replaces`: the version that the author had before them (0: none yet); refused where a newer one exists.
    Left out, it is not asked. `texts`: what each goal and task says, by its id."""

    goals: tuple[Goal, ...]
    member_took_part: str
    tasks: tuple[Task, ...] = ()
    replaces: int | None = None
    texts: Mapping[str, str] | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetGoal(Command):
    goal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpGoal(Command):
    goal: str
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTask(Command):
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveCarePlanCopy(Command):
    """Whoever gets it is also told how to ask for changes. `version` 0: the one in force."""

    to: str
    how: str
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCarePlan(Command):
    """By somebody whose clinical licence is valid on that day. `version` 0: the one in force."""

    outcome: str
    version: int = 0
    note: str | None = personal()


CarePlanCommand = WriteCarePlan | MeetGoal | GiveUpGoal | FinishTask | GiveCarePlanCopy | ReviewCarePlan

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    to: str
    how: str
    at: Instant
    by: StreamId
    withheld: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
    outcome: str
    licence: Licence
    at: Instant
    by: StreamId
    note: str | None


@dataclass(frozen=True, slots=True)
class CarePlan:
    """A version with all that became of it. `texts` is empty where the member's personal data was erased."""

    version: int
    written_at: Instant
    written_by: StreamId
    goals: tuple[Goal, ...]
    tasks: tuple[Task, ...]
    member_took_part: str
    carried_over_from: StreamId
    texts: Mapping[str, str]
    copies: tuple[Copy, ...] = ()
    reviews: tuple[Review, ...] = ()

    @property
    def copy_given_at(self) -> Instant | None:
        """When the member, or who decides for them, first had a copy of it."""
        return next((c.at for c in self.copies if COPY_TO.get(c.to) in OWN), None)

    @property
    def reviewed_at(self) -> Instant | None:
        return self.reviews[0].at if self.reviews else None

    @property
    def goals_all_settled(self) -> bool:
        """Whether none is open: one ground for graduation."""
        return all(g.state is not GoalState.OPEN for g in self.goals)

    def goal(self, id: str) -> Goal | None:
        return next((g for g in self.goals if g.goal == id), None)

    def task(self, id: str) -> Task | None:
        return next((t for t in self.tasks if t.task == id), None)

    def going_on(self, carried_over_from: StreamId) -> CarePlanWritten:
        """The first version of an episode that goes on with this plan (domain.md scenario 64)."""
        return CarePlanWritten(
            version=1,
            goals=self.goals,
            tasks=self.tasks,
            member_took_part=self.member_took_part,
            carried_over_from=carried_over_from,
            texts=dict(self.texts) or None,
        )


def care_plans(said: Timeline) -> tuple[CarePlan, ...]:
    """Every version of an episode's plan, earliest first, each as it was left. `said`: everything said of the episode, or what was
    said by an instant."""
    written = sorted((e for e in said if isinstance(e.fact, CarePlanWritten)), key=lambda e: e.fact.version)
    return tuple(
        _folded(
            CarePlan(
                version=e.fact.version,
                written_at=e.at,
                written_by=e.actor,
                goals=e.fact.goals,
                tasks=e.fact.tasks,
                member_took_part=e.fact.member_took_part,
                carried_over_from=e.fact.carried_over_from,
                texts=e.fact.texts or {},
            ),
            said,
        )
        for e in written
    )


def care_plan(said: Timeline) -> CarePlan | None:
    """The version in force."""
    written = care_plans(said)
    return written[-1] if written else None


def _folded(plan: CarePlan, said: Timeline) -> CarePlan:
    for entry in said:
        match entry.fact:
            case GoalMet(version=version, goal=id) if version == plan.version:
                plan = replace(plan, goals=_with_state(plan.goals, id, GoalState.MET))
            case GoalGivenUp(version=version, goal=id) if version == plan.version:
                plan = replace(plan, goals=_with_state(plan.goals, id, GoalState.GIVEN_UP))
            case CareTaskFinished(version=version, task=id) if version == plan.version:
                day = local_date(entry.at, OFFICE_ZONE)
                plan = replace(plan, tasks=tuple(replace(t, done_on=day) if t.task == id else t for t in plan.tasks))
            case CarePlanCopyGiven(version=version) as f if version == plan.version:
                plan = replace(plan, copies=(*plan.copies, Copy(f.to, f.how, entry.at, entry.actor, f.withheld)))
            case CarePlanReviewed(version=version) as f if version == plan.version:
                plan = replace(plan, reviews=(*plan.reviews, Review(f.outcome, f.licence, entry.at, entry.actor, f.note)))
            case _:
                pass
    return plan


def _with_state(goals: tuple[Goal, ...], id: str, state: GoalState) -> tuple[Goal, ...]:
    return tuple(replace(g, state=state) if g.goal == id else g for g in goals)


# --- what others may see -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Withheld:
    """A goal or a task that is left out of what an audience sees, and why."""

    id: str
    because: Why


def topic_of(goal: Goal, *, sensitive: bool = False) -> str:
    return "substance_use" if sensitive or goal.sensitive else goal.topic


def withheld(plan: CarePlan, audience: Audience, member: Shares, at: Instant) -> tuple[Withheld, ...]:
    """The goals and tasks that an audience may not be told of at an instant, in the order of the plan. A task of a goal that is
    left out is left out with it (domain.md scenarios 31, 32)."""
    return tuple(_withheld(plan.goals, plan.tasks, audience, member.sharing, at, member.timezone))


def _withheld(
    goals: tuple[Goal, ...], tasks: tuple[Task, ...], audience: Audience, sharing: Sharing, at: Instant, zone_name: str
) -> Iterator[Withheld]:
    of_goal = {g.goal: g for g in goals}
    for goal in goals:
        if why := withheld_because(topic_of(goal), audience, sharing, at, zone_name):
            yield Withheld(goal.goal, why)
    for task in tasks:
        topic = topic_of(of_goal[task.goal], sensitive=task.sensitive)
        if why := withheld_because(topic, audience, sharing, at, zone_name):
            yield Withheld(task.task, why)


def shared(plan: CarePlan, audience: Audience, member: Shares, at: Instant) -> tuple[CarePlan, tuple[Withheld, ...]]:
    """The plan as an audience may see it, and what was left out. Reviews' notes stay with the team and the member."""
    left_out = withheld(plan, audience, member, at)
    gone = {w.id for w in left_out}
    kept = replace(
        plan,
        goals=tuple(g for g in plan.goals if g.goal not in gone),
        tasks=tuple(t for t in plan.tasks if t.task not in gone),
        texts={id: text for id, text in plan.texts.items() if id not in gone},
        reviews=plan.reviews if audience is Audience.MEMBER else tuple(replace(r, note=None) for r in plan.reviews),
    )
    return kept, left_out


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: CarePlanCommand, state: Episode, context: Context, at: Instant, now: Instant) -> Decision:
    """Who may do it, and whether it is dated too far back, was checked by the episode's own decider."""
    written = care_plans(state.said)
    newest = written[-1] if written else None
    if isinstance(command, WriteCarePlan):
        return _write(command, newest, context, at, now)
    asked_for = getattr(command, "version", 0)
    plan = newest if asked_for == 0 else next((p for p in written if p.version == asked_for), None)
    if plan is None or newest is None:
        return Refusal("no_care_plan", "version: there is no such version of a care plan; write one first")
    if at < plan.written_at:
        return Refusal(
            "before_it_was_written", "occurred_at: lies before the version was written; give the instant of what was done"
        )
    match command:
        case MeetGoal(goal=id):
            return _settle(plan, id, GoalState.MET, GoalMet(version=plan.version, goal=id))
        case GiveUpGoal(goal=id, reason=reason):
            return _settle(plan, id, GoalState.GIVEN_UP, GoalGivenUp(version=plan.version, goal=id, reason=reason))
        case FinishTask(task=id):
            task = plan.task(id)
            if task is None:
                return Refusal("unknown_task", "task: the plan in force has no such task; its ids stand in the plan")
            return () if task.done_on is not None else (CareTaskFinished(version=plan.version, task=id),)
        case GiveCarePlanCopy():
            return _give_copy(command, plan, newest, context[state.member].state, at)
        case ReviewCarePlan():
            return _review(command, plan, context, at)
        case _:
            assert_never(command)


def _settle(plan: CarePlan, id: str, state: GoalState, fact: GoalMet | GoalGivenUp) -> Decision:
    goal = plan.goal(id)
    if goal is None:
        return Refusal("unknown_goal", "goal: the plan in force has no such goal; its ids stand in the plan")
    if goal.state is state:
        return ()
    if goal.state is not GoalState.OPEN:
        return Refusal("goal_settled", f"goal: was {goal.state} already; write a new version to take it up again")
    return (fact,)


def _write(command: WriteCarePlan, newest: CarePlan | None, context: Context, at: Instant, now: Instant) -> Decision:
    version = newest.version if newest else 0
    if newest is not None and at < newest.written_at:
        return Refusal("before_it_was_written", "occurred_at: lies before the version in force; give the instant of the new one")
    if command.replaces is not None and command.replaces != version:
        return Refusal("newer_version", f"replaces: version {version} is in force; read it and write anew from there")
    if version >= VERSIONS_MAX:
        return Refusal("too_many_versions", f"stream: has {VERSIONS_MAX} versions already; ask an operator to look at it")
    if command.member_took_part not in TOOK_PART:
        return Refusal("participation_unknown", f"member_took_part: must be one of {', '.join(TOOK_PART)}")
    texts = command.texts or {}
    if refusal := next(_mistakes(command, texts, context, now), None):
        return refusal
    written = CarePlanWritten(
        version=version + 1,
        goals=command.goals,
        tasks=command.tasks,
        member_took_part=command.member_took_part,
        texts=dict(texts),
    )
    same = newest is not None and (newest.goals, newest.tasks, dict(newest.texts), newest.member_took_part)
    return () if same == (written.goals, written.tasks, dict(texts), written.member_took_part) else (written,)


def _mistakes(command: WriteCarePlan, texts: Mapping[str, str], context: Context, now: Instant) -> Iterator[Refusal]:
    """What is wrong with the content of a version; the first is what its author hears of."""
    goals, tasks = command.goals, command.tasks
    if not 1 <= len(goals) <= GOALS_MAX:
        yield Refusal("number_of_goals", f"goals: must be between 1 and {GOALS_MAX}")
    if len(tasks) > TASKS_MAX:
        yield Refusal("number_of_tasks", f"tasks: must be at most {TASKS_MAX}")
    ids = [g.goal for g in goals] + [t.task for t in tasks]
    if not all(ID.fullmatch(id) for id in ids):
        yield Refusal("id_faulty", "goals, tasks: ids must be short, of lower-case letters, digits and hyphens, such as housing-1")
    if len(set(ids)) != len(ids):
        yield Refusal("id_twice", "goals, tasks: an id stands twice; give each goal and task its own")
    if any(g.topic not in TOPICS for g in goals):
        yield Refusal("unknown_topic", f"goals: topic must be one of {', '.join(TOPICS)}")
    known = {g.goal for g in goals}
    for task in tasks:
        if task.goal not in known:
            yield Refusal("task_without_goal", "tasks: one names a goal that this version has not; each task belongs to a goal")
        if task.due_on is None and task.done_on is None:
            yield Refusal("task_without_due", "tasks: one has no due_on; say by which day it is to be done")
        if task.owner.startswith("staff-"):
            if not staff_in(context, task.owner).works(now):
                yield Refusal("unknown_owner", "tasks: an owner is nobody who works here; see `throughline staff list`")
        elif task.owner not in TEAM:
            yield Refusal("unknown_owner", f"tasks: owner must be a staff id or one of {', '.join(TEAM)}")
    if set(texts) - set(ids):
        yield Refusal("text_of_nothing", "texts: one belongs to no goal or task of this version; take its id from them")
    if any(not texts.get(id, "").strip() for id in ids):
        yield Refusal("text_missing", "texts: every goal and task needs one that says what is meant")
    if any(len(text) > TEXT_LENGTH_MAX for text in texts.values()):
        yield Refusal("text_too_long", f"texts: each at most {TEXT_LENGTH_MAX} characters")


def _give_copy(command: GiveCarePlanCopy, plan: CarePlan, newest: CarePlan, member: Shares, at: Instant) -> Decision:
    if plan is not newest:
        return Refusal("version_replaced", f"version: {newest.version} is in force; give a copy of that one")
    audience = COPY_TO.get(command.to)
    if audience is None:
        return Refusal("recipient_unknown", f"to: must be one of {', '.join(COPY_TO)}")
    if command.how not in COPY_WAYS:
        return Refusal("way_unknown", f"how: must be one of {', '.join(COPY_WAYS)}")
    if len(plan.copies) >= COPIES_MAX:
        return Refusal("too_many_copies", f"to: {COPIES_MAX} copies of this version were given already")
    left_out = withheld(plan, audience, member, at)
    if len(left_out) == len(plan.goals) + len(plan.tasks):
        why = left_out[0].because
        return Refusal(why, "to: may be told nothing of the plan; record who authorised it, or the authority that was shown, first")
    ids = tuple(w.id for w in left_out)
    return (CarePlanCopyGiven(version=plan.version, to=command.to, how=command.how, withheld=ids),)


def _review(command: ReviewCarePlan, plan: CarePlan, context: Context, at: Instant) -> Decision:
    if command.outcome not in OUTCOMES:
        return Refusal("outcome_unknown", f"outcome: must be one of {', '.join(OUTCOMES)}")
    licence = staff_in(context, command.by).licensed(CLINICAL_LICENCES, at)
    if licence is None:
        wanted = ", ".join(CLINICAL_LICENCES)
        return Refusal("no_licence", f"by: has no clinical licence that was valid on that day; needed is one of {wanted}")
    if command.note is not None and len(command.note) > TEXT_LENGTH_MAX:
        return Refusal("text_too_long", f"note: at most {TEXT_LENGTH_MAX} characters")
    return (CarePlanReviewed(version=plan.version, outcome=command.outcome, licence=licence, note=command.note),)


def reads(command: CarePlanCommand, member: StreamId) -> tuple[StreamId, ...]:
    """The streams that deciding needs besides the episode's and the actor's."""
    match command:
        case WriteCarePlan(tasks=tasks):
            return tuple(dict.fromkeys(t.owner for t in tasks[: TASKS_MAX + 1] if t.owner.startswith("staff-")))
        case GiveCarePlanCopy():
            return (member,) if member else ()
        case _:
            return ()
