"""The questionnaires of the plans' files: what they cover, what must be answered, and each mistake named where it stands."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest

from domain.adoption.decider import AdoptPolicy
from domain.core import SYSTEM, Refusal
from domain.policy import PolicyRefused, read_policy
from domain.questionnaires import Section
from tests.given import DEFAULT, POLICIES, at, book, given

TEXTS = {path.stem: path.read_text() for path in sorted(POLICIES.glob("*.toml"))}
PLANS = {name: read_policy(text) for name, text in TEXTS.items()}
FILE = TEXTS["default"]
LINE = next(line for line in FILE.splitlines() if 'key = "company"' in line)
"""A question with choices."""


@pytest.mark.parametrize("plan", PLANS)
def test_an_assessment_looks_into_everything_that_it_must(plan: str) -> None:
    """domain.md 2.1 row 2; other programmes are asked for (G p65)."""
    (questionnaire,) = PLANS[plan].questionnaire
    assert {q.section for q in questionnaire.question} == set(Section)
    assert {q.section for q in questionnaire.required} == set(Section)
    assert sum(q.ltss for q in questionnaire.question) == 10
    assert all(q.required for q in questionnaire.question if q.ltss)
    assert all(q.sensitive for q in questionnaire.question if q.section is Section.SUBSTANCE_USE)


def test_the_standard_ltss_questions_are_the_states_and_alike_in_every_plan() -> None:
    asked = {name: {q for q in plan.questionnaire[0].question if q.ltss} for name, plan in PLANS.items()}
    assert all(asked[one] == asked[other] for one, other in combinations(PLANS, 2))


def test_the_same_id_asks_the_same_everywhere() -> None:
    every = [q for plan in PLANS.values() for q in plan.questionnaire]
    assert len({q.id for q in every}) == len(set(every)) == 2


def faults(*changes: tuple[str, str]) -> list[tuple[int, str, str]]:
    text = FILE
    for line, instead in changes:
        assert text.count(line) == 1, line
        text = text.replace(line, instead)
    with pytest.raises(PolicyRefused) as refused:
        read_policy(text)
    return [(f.line, f.field, f.reason) for f in refused.value.faults]


@pytest.mark.parametrize(
    ("was", "instead", "field", "reason"),
    [
        ('key = "company"', 'key = "Company"', "key", "must be a short name"),
        ('key = "company"', 'key = "food"', "key", "'food' stands twice"),
        ('kind = "choice"', 'kind = "text"', "choices", "goes with kind = 'choice'"),
        ('choices = ["often", "sometimes", "rarely", "never"]', 'choices = ["often"]', "choices", "goes with kind = 'choice'"),
        ("required = true", "ltss = true", "required", "a standard LTSS question must be answered"),
        ('section = "social"', 'section = "substance_use"', "sensitive", "answers on substance use are protected"),
        ('section = "social"', 'section = "weather"', "section", "must be one of"),
        ("text = ", "words = ", "words", "is not known here"),
    ],
)
def test_a_mistake_in_a_question_is_refused(was: str, instead: str, field: str, reason: str) -> None:
    found = faults((LINE, LINE.replace(was, instead)))
    place = [q.key for q in DEFAULT.questionnaire[0].question].index("company")
    assert any(f == f"questionnaire[0].question[{place}].{field}" and why.startswith(reason) for _, f, why in found), found


def test_a_question_without_words_and_a_questionnaire_without_a_version_are_refused() -> None:
    text = LINE[LINE.index("text = ") : LINE.rindex(" }")]
    (wordless,) = faults((LINE, LINE.replace(text, 'text = ""')))
    assert wordless[2] == "must have between 1 and 400 characters"
    named = faults(('id = "ecm-core@1"', 'id = "ecm-core"'))
    assert [field for _, field, _ in named] == ["follow_up.assessment.questionnaire", "questionnaire[0].id"]


def test_a_questionnaire_is_never_edited_under_its_id() -> None:
    """An assessment that was begun under it is judged by it for ever."""
    edited = FILE.replace('version = "2026.1"', 'version = "2026.2"', 1).replace(LINE, LINE.replace("required = true, ", ""))
    given_default = given(policies=(DEFAULT,))
    given_default.when(_adopt(edited), "2026-11-02 10:00 PST").refused("questionnaire_edited")
    another = edited.replace("ecm-core@1", "ecm-core@2")
    decision = given_default.when(_adopt(another), "2026-11-02 10:00 PST").decision
    assert not isinstance(decision, Refusal)
    assert book(DEFAULT).in_force("default", at("2026-11-02 10:00 PST")) == DEFAULT


def _adopt(text: str) -> AdoptPolicy:
    return AdoptPolicy(stream="policy-default", by=SYSTEM, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
