"""What the care managers of the invented programme do because it is owed: every working morning they go through the worklist.

Most of it they do some days before it is due; some too late, some never, as the member's life has it (`simulation.lives`). Whether
they do is thrown with dice that always fall the same way for the same member and promise.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

from domain.core import Instant, Obligation, ObligationState, ProcessRef, StreamId
from domain.episode.assessments import AnswerAssessment, BeginAssessment, CompleteAssessment, assessments
from domain.episode.authorisations import AuthorisationBasis, ConsiderDiscontinuation, GrantAuthorisation, RequestAuthorisation
from domain.episode.care_plans import GiveCarePlanCopy, Goal, MeetGoal, ReviewCarePlan, Task, WriteCarePlan, care_plan
from domain.episode.enrolment import EnrolmentStep, RecordEnrolmentVisit
from domain.followup.decider import ConfirmPopulation, RecordFollowUpAttempt, RecordFollowUpContact, ReviewFollowUp
from domain.followup.facts import Finding
from domain.interactions import AttemptOutcome, Interaction
from domain.questionnaires import Question, QuestionKind, named
from simulation.desk import PACIFIC, Desk, Team, local
from simulation.lives import DILIGENCE, LIVES, ORDER, Diligence
from simulation.people import Person
from simulation.virtual import VirtualProgramme

OPENS_AT = 8.75
DAYS_AHEAD_MAX = 4
"""So many days before a due the earliest of them act."""

ANSWERED_AT_FIRST = 12
"""Questions that a first sitting gets through."""

GRANTED_AFTER_DAYS = 6
TASK_DAYS = 30
HIGHEST_THROW = 100


@dataclass
class Office:
    """Works off what the follow-up processes say is owed. `arrivals`: the day of the file of each person."""

    desk: Desk
    run: VirtualProgramme
    team: Team
    arrivals: Mapping[Person, date]
    _followups: dict[ProcessRef, Person] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def open(self, since: Instant, until: Instant) -> None:
        """A working morning for every weekday between two instants."""
        day = since.astimezone(PACIFIC).date() + timedelta(days=2)
        while (at := local(day, OPENS_AT)) < until:
            if day.isoweekday() <= 5:
                self.run.at(at, partial(self.morning, day, until))
            day += timedelta(days=1)

    def morning(self, day: date, until: Instant) -> None:
        """Plan the day: for each member what is to be done, each thing at its hour."""
        for person, ref, owed in tuple(self._owed()):
            if not self._is_to_be_done(person, owed, day):
                continue
            self._done.add(f"{ref.id}/{owed.key}")
            at = local(day, 9.5 + self._throw(person, owed, "hour") % 28 / 4)
            if at < until:
                self.run.at(at, partial(self.carry_out, person, ref, owed.key))

    def _owed(self) -> Iterator[tuple[Person, ProcessRef, Obligation]]:
        for ref, look in self.run.looks.items():
            if ref.kind != "followup":
                continue
            person = self._person(ref)
            for owed in look.plan.obligations:
                running = owed.state in (ObligationState.OPEN, ObligationState.MISSED) and not owed.suspended
                if person is not None and running and f"{ref.id}/{owed.key}" not in self._done:
                    yield person, ref, owed

    def _person(self, ref: ProcessRef) -> Person | None:
        if ref not in self._followups:
            member = self.desk.gateway.load(f"episode-{ref.id}").state.member
            found = [p for p in self.arrivals if self.desk.door.member_of(p.cin) == member]
            if found:
                self._followups[ref] = found[0]
        return self._followups.get(ref)

    # --- when ---

    def _is_to_be_done(self, person: Person, owed: Obligation, day: date) -> bool:
        """Whether this is the morning on which somebody takes it up. What is never done is not looked at again."""
        manner = DILIGENCE.get(_life(person), Diligence())
        if manner.idle_from_day <= (day - self.arrivals[person]).days < manner.idle_until_day:
            return False
        due_day = (owed.window.due - timedelta(seconds=1)).astimezone(PACIFIC).date()
        fate = self._throw(person, owed, "fate") % HIGHEST_THROW
        if fate < manner.never_percent and owed.because.rule.startswith(REPEATED):
            return False
        if fate < manner.never_percent + manner.late_percent:
            return day >= due_day + timedelta(days=1 + fate % 3)
        if owed.because.rule == VISITS:
            return day >= self._visited_on(owed)
        return day >= due_day - timedelta(days=1 + fate % DAYS_AHEAD_MAX) and owed.window.opens <= local(day, OPENS_AT)

    def _visited_on(self, owed: Obligation) -> date:
        """The visits of a period are spread over it, as many as the strictest plan asks for."""
        opens_day = owed.window.opens.astimezone(PACIFIC).date()
        period_days, number = (owed.window.due - owed.window.opens).days, int(owed.key.rpartition("/")[2])
        return opens_day + timedelta(days=period_days * number // (VISITS_MAX + 1))

    def _throw(self, person: Person, owed: Obligation, what: str) -> int:
        name = owed.key.rpartition("/")[2] if owed.because.rule == VISITS else ""
        return zlib.crc32(f"{person.number}/{owed.because.rule}/{owed.window.due.date()}/{name}/{what}".encode())

    # --- what ---

    def carry_out(self, person: Person, ref: ProcessRef, key: str) -> None:
        """Do one thing, if it is still owed when its hour comes."""
        plan = self.run.looks[ref].plan
        owed = next((o for o in plan.obligations if o.key == key and not o.suspended), None)
        if owed is None or owed.state not in (ObligationState.OPEN, ObligationState.MISSED):
            return
        desk, episode = self.desk, f"episode-{ref.id}"
        lead = desk.lead_of(episode)
        if lead is None or not self._is_open(episode):
            return
        match owed.because.rule.split(".")[1:]:
            case ["contact" | "minimum" | "minimum_count"]:
                self._speak(ref.stream, lead, self._throw(person, owed, "how"))
            case ["in_person" | "overlay", *_]:
                desk.tell(ref.stream, RecordFollowUpContact, lead, interaction=Interaction.IN_PERSON, minutes=50)
            case ["assessment", "begin"]:
                self._begin_assessment(episode, lead)
            case ["assessment", *_]:
                self._complete_assessment(episode, lead)
            case ["care_plan", "copy"]:
                desk.tell(episode, GiveCarePlanCopy, lead, to="member", how="in_person")
            case ["care_plan", "clinical_review"]:
                desk.tell(episode, ReviewCarePlan, self.team.nurse, outcome="agreed")
            case ["care_plan", *_]:
                self._look_at_care_plan(episode, lead)
            case ["authorisation", "renewal_request"]:
                self._ask_again(episode, lead)
            case ["authorisation", _]:
                desk.tell(episode, ConsiderDiscontinuation, lead, outcome="continue", reason="goals are still open")
            case ["enrolment_steps"]:
                desk.tell(episode, RecordEnrolmentVisit, lead, steps=tuple(EnrolmentStep), how="in_person")
            case ["population"]:
                desk.tell(ref.stream, ConfirmPopulation, lead, population=key.split("/")[1])
            case _:
                desk.tell(ref.stream, ReviewFollowUp, lead, about=key, finding=Finding.GOES_ON)

    def _speak(self, followup: StreamId, lead: StreamId, throw: int) -> None:
        """By telephone or video; sometimes nobody answers at first, and they try again after lunch."""
        interaction = Interaction.VIDEO if throw % 7 == 0 else Interaction.PHONE
        said: dict[str, Any] = {"interaction": interaction, "minutes": 10 + throw % 25}
        if throw % 5:
            self.desk.tell(followup, RecordFollowUpContact, lead, **said)
            return
        tried = {"interaction": Interaction.PHONE, "outcome": AttemptOutcome.NO_ANSWER}
        self.desk.tell(followup, RecordFollowUpAttempt, lead, **tried)
        again = partial(self._try_again, followup, lead, said)
        self.run.at(self.run.now + timedelta(hours=3), again)

    def _try_again(self, followup: StreamId, lead: StreamId, said: Mapping[str, Any]) -> None:
        if self._is_open(followup.replace("followup-", "episode-", 1)):
            self.desk.tell(followup, RecordFollowUpContact, lead, **said)

    def _is_open(self, episode: StreamId) -> bool:
        return self.desk.gateway.load(episode).state.closure(self.run.now) is None

    def _look_at_care_plan(self, episode: StreamId, lead: StreamId) -> None:
        """A new version, unless all goals are met: then the nurse has another look at the one in force."""
        plan = care_plan(self.desk.gateway.load(episode).state.said)
        if plan is not None and plan.goals_all_settled:
            self.desk.tell(episode, ReviewCarePlan, self.team.nurse, outcome="agreed")
        else:
            write_care_plan(self.desk, episode, lead)

    def _begin_assessment(self, episode: StreamId, lead: StreamId) -> None:
        """The first sitting: it is broken off before the end, and goes on another day."""
        self.desk.tell(episode, BeginAssessment, lead)
        self._answer(episode, lead, self._questions(episode)[:ANSWERED_AT_FIRST])

    def _complete_assessment(self, episode: StreamId, lead: StreamId) -> None:
        questions = self._questions(episode)
        if any(assessment.open for assessment in assessments(self.desk.gateway.load(episode).state.said)):
            questions = questions[ANSWERED_AT_FIRST:]
        else:
            self.desk.tell(episode, BeginAssessment, lead)
        self._answer(episode, lead, questions)
        self.desk.tell(episode, CompleteAssessment, lead)

    def _answer(self, episode: StreamId, lead: StreamId, questions: tuple[Question, ...]) -> None:
        keys, answers = tuple(q.key for q in questions), tuple(_answer_to(q) for q in questions)
        self.desk.tell(episode, AnswerAssessment, lead, questions=keys, answers=answers)

    def _questions(self, episode: StreamId) -> tuple[Question, ...]:
        policy = self.run.book.in_force(self.desk.gateway.load(episode).state.plan, self.run.now)
        assert policy.follow_up is not None and policy.follow_up.assessment is not None
        questionnaire = named(policy.questionnaire, policy.follow_up.assessment.questionnaire)
        assert questionnaire is not None, "a policy that was adopted holds its questionnaire"
        return questionnaire.required

    def _ask_again(self, episode: StreamId, lead: StreamId) -> None:
        """The member is looked at against the criteria of discontinuation, the plan is asked, and says yes some days later."""
        self.desk.tell(episode, ConsiderDiscontinuation, lead, outcome="continue", reason="goals are still open")
        self.desk.tell(episode, RequestAuthorisation, lead, basis=AuthorisationBasis.RENEWAL)
        grant = partial(self.desk.tell, episode, GrantAuthorisation, "source:plan", basis=AuthorisationBasis.RENEWAL)
        self.run.at(self.run.now + timedelta(days=GRANTED_AFTER_DAYS), grant)


VISITS, VISITS_MAX = "followup.in_person", 4
REPEATED = ("followup.contact", VISITS, "followup.overlay")
"""What can be left out once and comes again: the rest is done late rather than never."""


def write_care_plan(desk: Desk, episode: StreamId, lead: StreamId) -> None:
    """A version with two goals, each with a task."""
    goals = (Goal(goal="steady", topic="medication"), Goal(goal="home", topic="housing"))
    until = desk.today() + timedelta(days=TASK_DAYS)
    tasks = (
        Task(task="pillbox", goal="steady", owner=lead, due_on=until),
        Task(task="letter", goal="home", owner="member", due_on=until),
    )
    texts = {
        "steady": "Takes what was prescribed",
        "home": "Stays in the flat",
        "pillbox": "Weekly pill box",
        "letter": "Writes to",
    }
    said = {"goals": goals, "tasks": tasks, "member_took_part": "in_person", "texts": texts}
    desk.tell(episode, WriteCarePlan, lead, **said)


def meet_goals(desk: Desk, episode: StreamId, lead: StreamId) -> None:
    """All goals of the plan in force are met; where there is none yet, it is written first."""
    if care_plan(desk.gateway.load(episode).state.said) is None:
        write_care_plan(desk, episode, lead)
    for goal in ("steady", "home"):
        desk.tell(episode, MeetGoal, lead, goal=goal)


def _answer_to(question: Question) -> str:
    match question.kind:
        case QuestionKind.YES_NO:
            return "no"
        case QuestionKind.CHOICE:
            return question.choices[0]
        case QuestionKind.NUMBER:
            return "2"
        case QuestionKind.TEXT:
            return "as told in the talk"


def _life(person: Person) -> str:
    life = ORDER[person.number % len(ORDER)]
    assert life in LIVES, life
    return life
