"""What becomes of a piece of work when somebody takes it up: whom they reach, what they write down, how many minutes it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain.alerts import AcknowledgeAlert
from domain.episode.assessments import AnswerAssessment, BeginAssessment, CompleteAssessment, assessments
from domain.episode.authorisations import AuthorisationBasis, ConsiderDiscontinuation, GrantAuthorisation, RequestAuthorisation
from domain.episode.care_plans import GiveCarePlanCopy, Goal, ReviewCarePlan, WriteCarePlan
from domain.episode.closing import CloseEpisode, Decline
from domain.episode.enrolment import Enrol, EnrolmentStep, RecordEnrolmentVisit
from domain.episode.facts import ClosureReason
from domain.followup.decider import ConfirmPopulation, RecordFollowUpAttempt, RecordFollowUpContact, ReviewFollowUp
from domain.followup.facts import Finding
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt
from domain.outreach.facts import Outcome
from domain.questionnaires import named
from domain.requests import RequestState
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact, ReviewStay
from domain.transition.facts import Finding as StayFinding
from simulation.distributions.reading import Range
from simulation.tasks import Task, Work
from simulation.workload import Worker

if TYPE_CHECKING:
    from simulation.programme_year import Member, ProgrammeYear

FACE_TO_FACE = (Channel.VISIT, Channel.MEETING)
REASONS = {
    "deceased": ClosureReason.DECEASED,
    "death": ClosureReason.DECEASED,
    "died": ClosureReason.DECEASED,
    "declined": ClosureReason.DECLINED,
}


class Carers:
    """Carries out tasks for a run."""

    def __init__(self, run: ProgrammeYear) -> None:
        self._run = run
        self._minutes = run.found.minutes

    def expected_minutes(self, task: Task, worker: Worker) -> float:
        """What the work takes if it succeeds."""
        spoken = 1.0 if self._run.speaks(worker, task) else self._minutes.interpreter.is_
        return self._throw(task, self._range(task), "minutes") * spoken

    def carry_out(self, task: Task, worker: Worker) -> float:
        """Do it now; the minutes that it took."""
        run, member = self._run, self._run.member_of(task.ref)
        whole = self.expected_minutes(task, worker)
        followup, transition, episode, by = (
            f"followup-{member.number}", f"transition-{member.number}", member.episode, worker.stream,
        )  # fmt: skip
        match task.work:
            case Work.TRY:
                return self._try(task, member, worker, whole)
            case Work.SPEAK | Work.VISIT:
                if not self._keeps(task, member):
                    how = Interaction.IN_PERSON if task.work is Work.VISIT else Interaction.PHONE
                    outcome = AttemptOutcome.NOT_THERE if task.work is Work.VISIT else AttemptOutcome.NO_ANSWER
                    run.tell(RecordFollowUpAttempt, followup, by, interaction=how, outcome=outcome)
                    return self._in_vain(task)
                how = Interaction.IN_PERSON if task.work is Work.VISIT else Interaction.PHONE
                run.tell(RecordFollowUpContact, followup, by, interaction=how, minutes=round(whole))
            case Work.TALK_ITEM | Work.HOME_ITEM:
                if not self._keeps(task, member):
                    how = Interaction.IN_PERSON if task.work is Work.HOME_ITEM else Interaction.PHONE
                    outcome = AttemptOutcome.NOT_THERE if task.work is Work.HOME_ITEM else AttemptOutcome.NO_ANSWER
                    run.tell(RecordTransitionAttempt, transition, by, interaction=how, outcome=outcome)
                    return self._in_vain(task)
                self._talk(task, transition, by, whole)
            case Work.LICENSED_ITEM | Work.CARE_ITEM:
                how = Interaction.PHONE if task.work is Work.LICENSED_ITEM else Interaction.DOCUMENT
                spoken_to = SpokenTo.MEMBER if task.work is Work.LICENSED_ITEM else SpokenTo.PRACTICE
                run.tell(CompleteItem, transition, by, item=_item_of(task), interaction=how, spoken_to=spoken_to)
            case Work.LOOK_AT_STAY:
                stay = task.key.split("/")[1]
                known = self._run.core.load(transition).state.opened
                about = stay if stay in known else next(iter(known))
                run.tell(ReviewStay, transition, by, stay=about, finding=StayFinding.NEEDS_OUTSTANDING)
            case Work.READ_NOTICE:
                self._read(transition, by)
            case Work.BEGIN_ASSESSMENT:
                run.tell(BeginAssessment, episode, by)
            case Work.ASSESS:
                self._assess(member, by)
            case Work.WRITE_CARE_PLAN:
                goals = (Goal(goal="steady", topic="medication"), Goal(goal="home", topic="housing"))
                texts = {"steady": "Takes what was prescribed", "home": "Stays in the flat"}
                run.tell(WriteCarePlan, episode, by, goals=goals, member_took_part="in_person", texts=texts)
            case Work.GIVE_COPY:
                run.tell(GiveCarePlanCopy, episode, by, to="member", how="in_person")
            case Work.CLINICAL_REVIEW:
                run.tell(ReviewCarePlan, episode, by, outcome="agreed")
            case Work.ENROLMENT_STEPS:
                run.tell(RecordEnrolmentVisit, episode, by, steps=tuple(EnrolmentStep), how="phone")
            case Work.CONFIRM_POPULATION:
                run.tell(ConfirmPopulation, followup, by, population=task.key.split("/")[1])
            case Work.CONSIDER:
                run.tell(ConsiderDiscontinuation, episode, by, outcome="continue", reason="goals are still open")
            case Work.ASK_FOR_RENEWAL:
                run.tell(ConsiderDiscontinuation, episode, by, outcome="continue", reason="goals are still open")
                run.tell(RequestAuthorisation, episode, by, basis=AuthorisationBasis.RENEWAL)
                self._authorised(member, AuthorisationBasis.RENEWAL)
            case Work.LOOK:
                run.tell(ReviewFollowUp, followup, by, about=task.key, finding=Finding.GOES_ON)
            case Work.DECIDE:
                run.tell(CloseEpisode, episode, by, reason=ClosureReason.UNABLE_TO_REACH)
            case Work.CLOSE:
                reason = REASONS.get(task.rule.partition("close_")[2], ClosureReason.OTHER)
                note = {"note": "nothing more can be done"} if reason is ClosureReason.OTHER else {}
                run.tell(CloseEpisode, episode, by, reason=reason, **note)
        return whole

    # --- outreach ---

    def _try(self, task: Task, member: Member, worker: Worker, whole: float) -> float:
        """One attempt by the channel that the ladder suggests; who is reached and agrees is enrolled at once."""
        run, stream = self._run, f"outreach-{member.number}"
        channel = _channel(task)
        answers = member.population.answers_visit if channel in FACE_TO_FACE else member.population.answers_call
        reached = member.findable and channel is not Channel.LETTER and self._again(task, member, "answers") < answers.is_
        if not reached:
            vain = {Channel.LETTER: Outcome.SENT, Channel.CALL: Outcome.NO_ANSWER}.get(channel, Outcome.NOT_THERE)
            run.tell(RecordAttempt, stream, worker.stream, channel=channel, outcome=vain, minutes=0)
            return whole if channel is Channel.LETTER else self._in_vain(task)
        run.tell(RecordAttempt, stream, worker.stream, channel=channel, outcome=Outcome.REACHED, minutes=round(whole))
        if run.throws.of("member", member.number, "agrees") < member.population.agrees.is_:
            more = self._throw(task, self._minutes.enrolment, "enrolment")
            how = "in_person" if channel in FACE_TO_FACE else "phone"
            if run.tell(Enrol, member.episode, worker.stream, agreed="verbal", how=how):
                steps = (EnrolmentStep.SCREENING, EnrolmentStep.AGREEMENT_DOCUMENTS)
                run.tell(RecordEnrolmentVisit, member.episode, worker.stream, steps=steps, how=how)
                self._authorised(member, AuthorisationBasis.INITIAL)
            return whole + more
        run.tell(Decline, member.episode, worker.stream, how="said so")
        return whole

    def _authorised(self, member: Member, basis: AuthorisationBasis) -> None:
        """The plan grants it some days later."""
        run = self._run
        after = run.found.health_plan.authorises_after_days.at(run.throws.of("member", member.number, basis))
        run.at(run.core.now + timedelta(days=after), lambda: self._granted(member, basis))

    def _granted(self, member: Member, basis: AuthorisationBasis) -> None:
        run = self._run
        if run.is_open(member):
            first_day = {"first_day": run.today} if basis is AuthorisationBasis.INITIAL else {}
            run.tell(GrantAuthorisation, member.episode, "source:plan", basis=basis, **first_day)

    # --- care ---

    def _keeps(self, task: Task, member: Member) -> bool:
        return self._again(task, member, "keeps") < member.population.keeps_contact.is_

    def _talk(self, task: Task, transition: str, by: str, whole: float) -> None:
        """One talk goes through everything that wants just that."""
        wanted = (Work.TALK_ITEM,) if task.work is Work.TALK_ITEM else (Work.TALK_ITEM, Work.HOME_ITEM)
        items = dict.fromkeys(_item_of(t) for t in self._run.todo(task.ref) if t.work in wanted and t.from_at <= self._run.core.now)
        listed = dict.fromkeys((_item_of(task), *items))
        how = Interaction.IN_PERSON if task.work is Work.HOME_ITEM else Interaction.PHONE
        said: dict[str, Any] = {"interaction": how, "spoken_to": SpokenTo.MEMBER, "minutes": round(whole), "items": tuple(listed)}
        self._run.tell(RecordTransitionContact, transition, by, **said)

    def _read(self, transition: str, by: str) -> None:
        requests = self._run.core.load(transition).state.requests.by_key.values()
        for request in tuple(requests):
            unread = request.state is RequestState.SENT and request.acknowledged_at is None
            if unread and request.asked.template == "admission_notice" and request.asked.recipient == by:
                self._run.tell(AcknowledgeAlert, transition, by, key=request.asked.key)

    def _assess(self, member: Member, by: str) -> None:
        run, episode = self._run, member.episode
        state = run.core.load(episode).state
        policy = run.book.in_force(state.plan, run.core.now)
        assert policy.follow_up is not None and policy.follow_up.assessment is not None
        asked = named(policy.questionnaire, policy.follow_up.assessment.questionnaire)
        assert asked is not None
        if not any(assessment.open for assessment in assessments(state.said)):
            run.tell(BeginAssessment, episode, by)
        keys = tuple(question.key for question in asked.required)
        answers = tuple(question.choices[0] if question.choices else _ANSWERS[question.kind] for question in asked.required)
        run.tell(AnswerAssessment, episode, by, questions=keys, answers=answers)
        run.tell(CompleteAssessment, episode, by)

    # --- minutes and dice ---

    def _range(self, task: Task) -> Range:
        m = self._minutes
        match task.work:
            case Work.TRY:
                channel = _channel(task)
                return m.letter if channel is Channel.LETTER else m.visit if channel in FACE_TO_FACE else m.call_answered
            case Work.SPEAK | Work.TALK_ITEM:
                return m.call_answered
            case Work.VISIT | Work.HOME_ITEM:
                return m.visit
            case Work.ASSESS:
                return m.assessment
            case Work.WRITE_CARE_PLAN:
                return m.care_plan
            case Work.CLINICAL_REVIEW:
                return m.clinical_review
            case Work.LICENSED_ITEM:
                return m.reconciliation
            case Work.READ_NOTICE | Work.DECIDE | Work.CLOSE | Work.LOOK | Work.LOOK_AT_STAY:
                return m.decision
            case _:
                return m.paperwork

    def _in_vain(self, task: Task) -> float:
        visited = task.work in (Work.VISIT, Work.HOME_ITEM) or (task.work is Work.TRY and _channel(task) in FACE_TO_FACE)
        return self._throw(task, self._minutes.visit_in_vain if visited else self._minutes.call_in_vain, "vain")

    def _throw(self, task: Task, range_: Range, what: str) -> float:
        return range_.at(self._run.throws.of(task.ref.id, task.rule, task.due.date(), what))

    def _again(self, task: Task, member: Member, what: str) -> float:
        """A throw for this day's try."""
        return self._run.throws.of("member", member.number, task.work, self._run.today, what)


_ANSWERS = {"yes_no": "no", "number": "2", "text": "as told in the talk", "choice": ""}


CHANNELS = {channel.value: channel for channel in Channel}


def _channel(task: Task) -> Channel:
    """What the ladder suggests; before the initial contact is due a call, or a visit where the plan wants one."""
    if task.rule == "initial_contact.in_person_contact":
        return Channel.VISIT
    word = task.how.partition(",")[0]
    return CHANNELS.get(word, Channel.CALL)


def _item_of(task: Task) -> str:
    return task.rule.partition(".")[2]
