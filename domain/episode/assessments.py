"""The comprehensive assessment: begun, saved in parts by whoever sat with the member, completed when nothing required is missing.

Which questions there are and which are required is data (`policies/questionnaires/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.core import Fact, personal

# --- facts ---------------------------------------------------------------------------------------------------------------------


class AssessmentKind(StrEnum):
    INITIAL = "initial"
    REASSESSMENT = "reassessment"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentBegun(Fact):
    """`assessment` is its own id; `questionnaire` names the version of the questions, such as ecm-core@1."""

    assessment: str
    kind: AssessmentKind
    questionnaire: str


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
