"""Every field of a questionnaire changes what happens to somebody: one story under the programme's questions, and under others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from domain.core import Refusal
from domain.episode.assessments import (
    AnswerAssessment,
    BeginAssessment,
    CompleteAssessment,
    assessments,
    questions_of,
    withheld,
)
from domain.member.sharing import Audience, AuthoriseDataSharing
from domain.questionnaires import Question, QuestionKind, Questionnaire, Section
from tests.given import DEFAULT, EPISODE, LEAD, MEMBER, Story, varied

CORE = DEFAULT.questionnaire[0]
Changed = Callable[[Questionnaire], tuple[Questionnaire, ...]]


def with_question(which: str, **changes: Any) -> Changed:
    def changed(core: Questionnaire) -> tuple[Questionnaire, ...]:
        return (replace(core, question=tuple(replace(q, **changes) if q.key == which else q for q in core.question)),)

    return changed


@dataclass(frozen=True)
class Case:
    """What a story under the programme's questions shows, and under changed ones."""

    changed: Changed
    shows: Callable[[Story], Any]
    before: Any
    after: Any

    def told(self, questionnaires: tuple[Questionnaire, ...]) -> Any:
        asked_for = questionnaires[0].id if questionnaires else CORE.id
        policy = varied(questionnaire=questionnaires, follow_up__assessment__questionnaire=asked_for)
        return self.shows(Story("2026-11-02 10:00 PST", policy).assigned())


def begun(story: Story) -> str:
    decision = story.memory.handle(BeginAssessment(stream=EPISODE, by=LEAD))
    return decision.code if isinstance(decision, Refusal) else str(decision[0].questionnaire)  # type: ignore[union-attr]


def answered(key: str, text: str) -> Callable[[Story], str]:
    def shows(story: Story) -> str:
        begun(story)
        said = AnswerAssessment(stream=EPISODE, by=LEAD, questions=(key,), answers=(text,))
        decision = story.memory.handle(said)
        return decision.code if isinstance(decision, Refusal) else "saved"

    return shows


def completed_without_food(story: Story) -> str:
    begun(story)
    for question in CORE.required:
        if question.key != "food":
            said = AnswerAssessment(stream=EPISODE, by=LEAD, questions=(question.key,), answers=("declined",))
            assert not isinstance(story.memory.handle(said), Refusal)
    decision = story.memory.handle(CompleteAssessment(stream=EPISODE, by=LEAD))
    return decision.because.partition("first: ")[2] if isinstance(decision, Refusal) else "completed"


def kept_from(audience: Audience, key: str) -> Callable[[Story], bool]:
    """Whether an answer is withheld from an audience that may be told the rest."""

    def shows(story: Story) -> bool:
        begun(story)
        recipients = ("family", "plan")
        story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="care_plan", recipients=recipients, how="signed"))
        sharing = story.memory.load(MEMBER).state.sharing
        return key in withheld(_asked(story), audience, sharing, story.memory.now, "America/Los_Angeles")

    return shows


def read_out(key: str) -> Callable[[Story], str]:
    def shows(story: Story) -> str:
        begun(story)
        question = _asked(story).named(key)
        assert question is not None
        return question.text

    return shows


def _asked(story: Story) -> Questionnaire:
    (found,) = assessments(story.memory.load(EPISODE).state.said)
    questions = questions_of(found.questionnaire, story.memory.book)
    assert questions is not None
    return questions


def said(key: str) -> str:
    question = CORE.named(key)
    assert question is not None
    return question.text


def without_food(core: Questionnaire) -> tuple[Questionnaire, ...]:
    return (replace(core, question=tuple(q for q in core.question if q.key != "food")),)


CASES: dict[str, Case] = {
    "questionnaire": Case(lambda core: (), begun, "ecm-core@1", "no_questionnaire"),
    "questionnaire.id": Case(lambda core: (replace(core, id="ecm-core@2"),), begun, "ecm-core@1", "ecm-core@2"),
    "questionnaire.question": Case(without_food, completed_without_food, "food", "completed"),
    "questionnaire.question.key": Case(with_question("food", key="meals"), answered("food", "yes"), "saved", "unknown_question"),
    "questionnaire.question.section": Case(
        with_question("company", section=Section.MENTAL), kept_from(Audience.FAMILY, "company"), False, True
    ),
    "questionnaire.question.text": Case(
        with_question("food", text="Do you go hungry?"), read_out("food"), said("food"), "Do you go hungry?"
    ),
    "questionnaire.question.kind": Case(
        with_question("food", kind=QuestionKind.TEXT), answered("food", "at the month's end"), "answer_unfit", "saved"
    ),
    "questionnaire.question.required": Case(with_question("food", required=False), completed_without_food, "food", "completed"),
    "questionnaire.question.ltss": Case(
        with_question("food", ltss=True), completed_without_food, "food", "the standard LTSS questions food"
    ),
    "questionnaire.question.sensitive": Case(with_question("food", sensitive=True), kept_from(Audience.PLAN, "food"), False, True),
    "questionnaire.question.choices": Case(
        with_question("company", choices=("daily", "never")), answered("company", "often"), "saved", "answer_unfit"
    ),
}


@pytest.mark.parametrize("path", sorted(CASES))
def test_every_field_of_a_questionnaire_changes_an_outcome(path: str) -> None:
    case = CASES[path]
    assert case.told((CORE,)) == case.before
    assert case.told(case.changed(CORE)) == case.after


def test_no_field_is_left_out() -> None:
    of_question = {f"questionnaire.question.{f.name}" for f in fields(Question)}
    assert set(CASES) == {"questionnaire", *(f"questionnaire.{f.name}" for f in fields(Questionnaire)), *of_question}
