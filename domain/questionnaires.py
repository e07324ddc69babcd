"""The questions of an assessment, as a plan's policy file holds them.

They are part of what is adopted: the bytes that a person put into force say which questions there are and which must be answered,
so that a completed assessment can be judged for ever by the version that it was begun under. A questionnaire is never edited:
another text, or another question, is another id (ecm-core@2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

QUESTIONS_MAX = 300
CHOICES_MAX = 20
QUESTION_LENGTH_MAX = 400
ID = re.compile(r"[a-z][a-z0-9-]{0,40}@[0-9]{1,4}")
KEY = re.compile(r"[a-z][a-z0-9_]{0,60}")
ASKED_FOR = "follow_up.assessment.questionnaire"


class Section(StrEnum):
    """What a comprehensive assessment looks into (domain.md 2.1 row 2), and the other programmes to be asked for (G p65)."""

    PHYSICAL = "physical"
    DEVELOPMENTAL = "developmental"
    MENTAL = "mental"
    DEMENTIA = "dementia"
    SUBSTANCE_USE = "substance_use"
    LTSS = "ltss"
    ORAL = "oral"
    PALLIATIVE = "palliative"
    SOCIAL = "social"
    HOUSING = "housing"
    OTHER_PROGRAMMES = "other_programmes"
    MEMBER_VOICE = "member_voice"


class QuestionKind(StrEnum):
    TEXT = "text"
    YES_NO = "yes_no"
    CHOICE = "choice"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`required`: without an answer the assessment cannot be completed. `ltss`: one of the standard LTSS referral questions (G
    p57). `sensitive`: an answer is a record of substance use treatment under 42 CFR Part 2, withheld from those who may not be
    told."""

    key: str
    section: Section
    text: str
    kind: QuestionKind
    required: bool = False
    ltss: bool = False
    sensitive: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Questionnaire:
    """`id`: name and version, such as ecm-core@1."""

    id: str
    question: tuple[Question, ...]

    def named(self, key: str) -> Question | None:
        return next((q for q in self.question if q.key == key), None)

    @property
    def required(self) -> tuple[Question, ...]:
        return tuple(q for q in self.question if q.required)


def named(questionnaires: Iterable[Questionnaire], id: str) -> Questionnaire | None:
    return next((q for q in questionnaires if q.id == id), None)


def contradictions(questionnaires: tuple[Questionnaire, ...], asked_for: str | None) -> Iterator[tuple[str, str]]:
    """Where in a policy file a questionnaire cannot be meant, and why. `asked_for`: the one that the plan's assessment names."""
    if asked_for is not None and not ID.fullmatch(asked_for):
        yield ASKED_FOR, "must name a questionnaire with its version, such as ecm-core@1"
    elif asked_for is not None and named(questionnaires, asked_for) is None:
        yield ASKED_FOR, f"{asked_for!r} is not in the file; add a [[questionnaire]] with this id"
    for index, questionnaire in enumerate(questionnaires):
        path = f"questionnaire[{index}]"
        if not ID.fullmatch(questionnaire.id):
            yield f"{path}.id", "must be a short name, @ and a number, such as ecm-core@1"
        if any(other.id == questionnaire.id for other in questionnaires[:index]):
            yield f"{path}.id", f"{questionnaire.id!r} stands twice"
        if not 1 <= len(questionnaire.question) <= QUESTIONS_MAX:
            yield f"{path}.question", f"must hold between 1 and {QUESTIONS_MAX} questions"
        for place, question in enumerate(questionnaire.question):
            for field, reason in _mistakes(question, questionnaire.question[:place]):
                yield f"{path}.question[{place}].{field}", reason


def _mistakes(question: Question, before: tuple[Question, ...]) -> Iterator[tuple[str, str]]:
    if not KEY.fullmatch(question.key):
        yield "key", "must be a short name of lower-case letters, digits and underscores"
    if any(other.key == question.key for other in before):
        yield "key", f"{question.key!r} stands twice"
    if not 1 <= len(question.text) <= QUESTION_LENGTH_MAX:
        yield "text", f"must have between 1 and {QUESTION_LENGTH_MAX} characters"
    if (question.kind is QuestionKind.CHOICE) != (2 <= len(question.choices) <= CHOICES_MAX):
        yield "choices", f"goes with kind = 'choice', 2 to {CHOICES_MAX} of them, and only with it"
    if question.ltss and not question.required:
        yield "required", "a standard LTSS question must be answered to complete the assessment (domain.md 2.1)"
    if question.section is Section.SUBSTANCE_USE and not question.sensitive:
        yield "sensitive", "answers on substance use are protected by 42 CFR Part 2; set it to true"
