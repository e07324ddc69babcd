"""The comprehensive assessment: begun, saved in parts by whoever sat with the member, completed when nothing required is missing.

Which questions there are and which are required is data of the plan's policy (`domain/questionnaires.py`); an assessment is judged
by the version that it was begun under.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from domain.core import Command, Decision, EventId, Fact, Instant, Refusal, StreamId, personal
from domain.episode.state import Episode
from domain.member.sharing import Audience, Content, Sharing, Why, withheld_because
from domain.policy import PolicyBook
from domain.questionnaires import Question, QuestionKind, Questionnaire, Section, named
from domain.timeline import Timeline

ANSWER_LENGTH_MAX = 4_000
SITTINGS_MAX = 200
"""Times that one assessment may be saved."""

ASSESSMENTS_MAX = 30
"""Of one episode."""

NOT_ANSWERED_BY_CHOICE = "declined"
"""The member was asked and would rather not say: an answer to every kind of question."""

NUMBER = re.compile(r"-?[0-9]{1,9}([.,][0-9]{1,4})?")

# --- facts ---------------------------------------------------------------------------------------------------------------------


class AssessmentKind(StrEnum):
    INITIAL = "initial"
    REASSESSMENT = "reassessment"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentBegun(Fact):
    """`assessment` is its own id; `questionnaire` names the version of the questions, such as ecm-core@1; `policy` the adopted
    version that asked for them."""

    assessment: str
    kind: AssessmentKind
    questionnaire: str
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentAnswered(Fact):
    """Answers of one sitting by one author: actor and `occurred_at` of the record are each answer's (domain.md scenario 39).
    `questions` and `answers` belong together by place; a later answer to the same question replaces an earlier one."""

    assessment: str
    questions: tuple[str, ...]
    answers: tuple[str, ...] | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentCompleted(Fact):
    """Every required question has an answer, the standard LTSS questions among them."""

    assessment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentAbandoned(Fact):
    """It will not be finished: the member broke it off, or another one was begun instead."""

    assessment: str
    reason: str = ""


AssessmentFact = AssessmentBegun | AssessmentAnswered | AssessmentCompleted | AssessmentAbandoned

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginAssessment(Command):
    """`kind` left out: the first one is initial, every later one a reassessment."""

    kind: AssessmentKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerAssessment(Command):
    """What was answered in one sitting, or until it was interrupted. `assessment` left out: the open one."""

    questions: tuple[str, ...]
    assessment: str = ""
    answers: tuple[str, ...] | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteAssessment(Command):
    assessment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonAssessment(Command):
    reason: str
    assessment: str = ""


AssessmentCommand = BeginAssessment | AnswerAssessment | CompleteAssessment | AbandonAssessment

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer to a question. `text` is None where the member's personal data was erased."""

    question: str
    text: str | None
    author: StreamId
    at: Instant
    event_id: EventId


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment as it is after what was said of it, whatever the order in which that was recorded."""

    id: str
    kind: AssessmentKind
    questionnaire: str
    policy: str
    begun_at: Instant
    begun_by: StreamId
    answers: Mapping[str, Answer] = field(default_factory=dict)
    sittings: int = 0
    completed_at: Instant | None = None
    completed_by: StreamId = ""
    abandoned_at: Instant | None = None
    abandoned_because: str = ""

    @property
    def open(self) -> bool:
        return self.completed_at is None and self.abandoned_at is None

    def missing(self, questionnaire: Questionnaire) -> tuple[Question, ...]:
        """The required questions without an answer, in the order of the questionnaire."""
        return tuple(q for q in questionnaire.required if q.key not in self.answers)


def assessments(said: Timeline) -> tuple[Assessment, ...]:
    """Every assessment of an episode, in the order in which they were begun. `said`: everything said of the episode, or what was
    said by an instant."""
    begun = (e for e in said if isinstance(e.fact, AssessmentBegun))
    in_turn = sorted(begun, key=lambda e: (e.at, len(e.fact.assessment), e.fact.assessment))
    return tuple(
        _folded(Assessment(e.fact.assessment, e.fact.kind, e.fact.questionnaire, e.fact.policy, e.at, e.actor), said)
        for e in in_turn
    )


def _folded(found: Assessment, said: Timeline) -> Assessment:
    for entry in said:
        match entry.fact:
            case AssessmentAnswered(assessment=id, questions=questions, answers=answers) if id == found.id:
                texts = answers or (None,) * len(questions)
                told = {q: Answer(q, t, entry.actor, entry.at, entry.event_id) for q, t in zip(questions, texts, strict=True)}
                found = replace(found, answers={**found.answers, **told}, sittings=found.sittings + 1)
            case AssessmentCompleted(assessment=id) if id == found.id:
                found = replace(found, completed_at=entry.at, completed_by=entry.actor)
            case AssessmentAbandoned(assessment=id, reason=reason) if id == found.id:
                found = replace(found, abandoned_at=entry.at, abandoned_because=reason)
            case _:
                pass
    return found


def questions_of(questionnaire: str, book: PolicyBook) -> Questionnaire | None:
    """The questions as they were adopted: the same under an id in whatever file they stand (`domain/adoption` sees to that)."""
    return next((found for p in book.policies if (found := named(p.questionnaire, questionnaire)) is not None), None)


# --- what others may see -------------------------------------------------------------------------------------------------------


def topic_of(question: Question) -> str:
    """The topic under which the member's word on sharing is asked."""
    if question.sensitive:
        return Content.SUBSTANCE_USE
    return Content.MENTAL_HEALTH if question.section is Section.MENTAL else question.section.value


def withheld(questionnaire: Questionnaire, audience: Audience, sharing: Sharing, at: Instant, zone_name: str) -> dict[str, Why]:
    """The questions whose answers an audience may not be told, each with the reason (domain.md scenario 31)."""
    found = {q.key: withheld_because(topic_of(q), audience, sharing, at, zone_name) for q in questionnaire.question}
    return {key: why for key, why in found.items() if why is not None}


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: AssessmentCommand, state: Episode, book: PolicyBook, at: Instant) -> Decision:
    """Who may do it, and whether it is dated too far back, was checked by the episode's own decider."""
    every = assessments(state.said)
    if isinstance(command, BeginAssessment):
        return _begin(command, every, state.plan, book, at)
    found = _meant(command.assessment, every)
    if isinstance(found, Refusal):
        return found
    if at < found.begun_at:
        return Refusal("before_it_began", "occurred_at: lies before the assessment was begun; give the instant of the sitting")
    match command:
        case AbandonAssessment(reason=reason):
            if found.abandoned_at is not None:
                return ()
            if found.completed_at is not None:
                return Refusal("assessment_completed", "assessment: was completed; begin a reassessment instead")
            return (AssessmentAbandoned(assessment=found.id, reason=reason),)
        case CompleteAssessment():
            if found.completed_at is not None:
                return ()
            return _not_open(found) or _complete(found.id, state.said, book, at)
        case AnswerAssessment():
            return _not_open(found) or _answer(command, found, book)
        case _:
            assert_never(command)


def _begin(command: BeginAssessment, every: tuple[Assessment, ...], plan: str, book: PolicyBook, at: Instant) -> Decision:
    if any(a.open for a in every):
        return Refusal("assessment_open", "stream: has an open assessment; complete it, or abandon it with a reason")
    if len(every) >= ASSESSMENTS_MAX:
        return Refusal("too_many_assessments", f"stream: has {ASSESSMENTS_MAX} assessments already; ask an operator to look at it")
    policy = book.in_force(plan, at)
    asked_for = policy.follow_up.assessment if policy.follow_up else None
    questionnaire = asked_for.questionnaire if asked_for else next((q.id for q in policy.questionnaire), "")
    if named(policy.questionnaire, questionnaire) is None:
        return Refusal("no_questionnaire", f"stream: {policy.id} holds no questions; adopt a version that does")
    assessed = any(a.completed_at is not None for a in every)
    if command.kind is AssessmentKind.INITIAL and assessed:
        return Refusal("assessed_before", "kind: the initial assessment was completed; begin a reassessment")
    kind = command.kind or (AssessmentKind.REASSESSMENT if assessed else AssessmentKind.INITIAL)
    begun = AssessmentBegun(assessment=f"assessment-{len(every) + 1}", kind=kind, questionnaire=questionnaire, policy=policy.id)
    return (begun,)


def _meant(id: str, every: tuple[Assessment, ...]) -> Assessment | Refusal:
    """The assessment of that id; without one the open one, or else the last."""
    if id:
        found = next((a for a in every if a.id == id), None)
    else:
        found = next((a for a in every if a.open), every[-1] if every else None)
    return found or Refusal("unknown_assessment", "assessment: was never begun in this episode; begin one first")


def _not_open(found: Assessment) -> Refusal | None:
    if found.open:
        return None
    done = "completed" if found.completed_at is not None else "abandoned"
    return Refusal(f"assessment_{done}", f"assessment: was {done}; begin another one")


def _answer(command: AnswerAssessment, found: Assessment, book: PolicyBook) -> Decision:
    answers = command.answers or ()
    if not command.questions or len(command.questions) != len(answers):
        return Refusal(
            "answers_do_not_fit", "answers: must be as many as questions, each at its question's place; give at least one"
        )
    if len(set(command.questions)) != len(command.questions):
        return Refusal("question_twice", "questions: one stands twice; give each question once")
    if found.sittings >= SITTINGS_MAX:
        return Refusal("too_many_sittings", f"assessment: was saved {SITTINGS_MAX} times; complete or abandon it")
    questionnaire = questions_of(found.questionnaire, book)
    if questionnaire is None:
        return Refusal("unknown_questionnaire", f"assessment: its questions, {found.questionnaire}, are not among the adopted ones")
    for key, text in zip(command.questions, answers, strict=True):
        question = questionnaire.named(key)
        if question is None:
            return Refusal("unknown_question", f"questions: {questionnaire.id} has no such question; its keys are listed with it")
        if why := _unfit(question, text):
            return Refusal("answer_unfit", f"answers: {key}: {why}")
    return (AssessmentAnswered(assessment=found.id, questions=command.questions, answers=tuple(answers)),)


def _unfit(question: Question, text: str) -> str:
    """Why a text is no answer to a question; nothing where it is one."""
    if not text.strip():
        return f"is empty; leave the question out, or say {NOT_ANSWERED_BY_CHOICE} where the member would rather not"
    if text == NOT_ANSWERED_BY_CHOICE:
        return ""
    match question.kind:
        case QuestionKind.YES_NO:
            return "" if text in ("yes", "no") else "must be yes, no or declined"
        case QuestionKind.CHOICE:
            return "" if text in question.choices else f"must be one of {', '.join(question.choices)}, or declined"
        case QuestionKind.NUMBER:
            return "" if NUMBER.fullmatch(text) else "must be a number, or declined"
        case QuestionKind.TEXT:
            return "" if len(text) <= ANSWER_LENGTH_MAX else f"must have at most {ANSWER_LENGTH_MAX} characters"
        case _:
            assert_never(question.kind)


def _complete(id: str, said: Timeline, book: PolicyBook, at: Instant) -> Decision:
    """Judged by what had been answered at the instant of completion: an answer that is dated later does not count."""
    found = next(a for a in assessments(tuple(e for e in said if e.at <= at)) if a.id == id)
    questionnaire = questions_of(found.questionnaire, book)
    if questionnaire is None:
        return Refusal("unknown_questionnaire", f"assessment: its questions, {found.questionnaire}, are not among the adopted ones")
    missing = found.missing(questionnaire)
    if not missing:
        return (AssessmentCompleted(assessment=id),)
    ltss = [q.key for q in missing if q.ltss]
    others = [q.key for q in missing if not q.ltss]
    parts = [f"the standard LTSS questions {', '.join(ltss)}"] if ltss else []
    parts += [", ".join(others)] if others else []
    return Refusal("questions_missing", f"assessment: these must be answered first: {'; '.join(parts)}")
