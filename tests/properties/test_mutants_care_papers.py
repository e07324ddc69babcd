"""Mistakes planted in assessment, care plan and sharing: each must break the law that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain.calendar import local_date
from domain.episode import assessments, care_plans
from domain.member import sharing
from domain.member.circumstances import AuthorityShown
from tests.properties import test_care_papers as laws

FOLDED_ASSESSMENT, FOLDED_PLAN = assessments._folded, care_plans._folded


def first_answer_stays(found: assessments.Assessment, said: Any) -> assessments.Assessment:
    return FOLDED_ASSESSMENT(found, tuple(reversed(said)))


def nothing_is_missing(self: assessments.Assessment, questionnaire: Any) -> tuple[Any, ...]:
    return ()


def ltss_is_optional(self: assessments.Assessment, questionnaire: Any) -> tuple[Any, ...]:
    return tuple(q for q in questionnaire.required if q.key not in self.answers and not q.ltss)


def goals_are_met_in_every_version(plan: care_plans.CarePlan, said: Any) -> care_plans.CarePlan:
    moved = (e._replace(fact=replace(e.fact, version=plan.version)) if isinstance(e.fact, care_plans.GoalMet) else e for e in said)
    return FOLDED_PLAN(plan, tuple(moved))


def a_mark_is_overlooked(goal: care_plans.Goal, *, sensitive: bool = False) -> str:
    return goal.topic


def nothing_expires(self: sharing.Authorisation, at: Any, zone_name: str) -> bool:
    return self.since <= at and (self.revoked_at is None or at < self.revoked_at)


def nothing_is_revoked(self: sharing.Authorisation, at: Any, zone_name: str) -> bool:
    return self.since <= at and (self.expires_on is None or local_date(at, zone_name) <= self.expires_on)


def the_last_day_is_left_out(self: sharing.Authorisation, at: Any, zone_name: str) -> bool:
    return nothing_expires(self, at, zone_name) and (self.expires_on is None or local_date(at, zone_name) < self.expires_on)


def every_word_covers_all(self: sharing.Authorisation, topic: str) -> bool:
    return True


def nobody_decides_by_law(self: sharing.Sharing, at: Any) -> tuple[Any, ...]:
    return ()


def a_document_holds_for_ever(self: sharing.Sharing, party: str, scope: str, at: Any, zone_name: str) -> bool:
    return isinstance(self.last_said(party, scope, at), AuthorityShown)


ORDER = laws.test_answers_saved_by_anybody_in_any_order_come_to_the_same_assessment
COMPLETE = laws.test_an_assessment_is_complete_exactly_when_no_required_answer_is_missing
VERSIONS = laws.test_every_version_of_a_plan_can_be_told_again_from_the_facts
SHARED = laws.test_a_shared_plan_has_no_word_of_what_is_left_out
JUDGED = laws.test_nobody_is_told_what_the_judge_would_withhold

MUTANTS: tuple[tuple[Any, str, Any, Callable[[], None]], ...] = (
    (assessments, "_folded", first_answer_stays, ORDER),
    (
        assessments.Assessment,
        "missing",
        nothing_is_missing,
        COMPLETE,
    ),
    (
        assessments.Assessment,
        "missing",
        ltss_is_optional,
        COMPLETE,
    ),
    (care_plans, "_folded", goals_are_met_in_every_version, VERSIONS),
    (care_plans, "topic_of", a_mark_is_overlooked, SHARED),
    (sharing.Authorisation, "stands", nothing_expires, JUDGED),
    (sharing.Authorisation, "stands", nothing_is_revoked, JUDGED),
    (sharing.Authorisation, "stands", the_last_day_is_left_out, JUDGED),
    (sharing.Authorisation, "covers", every_word_covers_all, JUDGED),
    (sharing.Sharing, "decided_by_law", nobody_decides_by_law, JUDGED),
    (sharing.Sharing, "holds_authority", a_document_holds_for_ever, JUDGED),
)


@pytest.mark.parametrize(("where", "name", "mutant", "law"), MUTANTS, ids=[m[2].__name__ for m in MUTANTS])
def test_every_mistake_breaks_its_law(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, mutant: Any, law: Callable[[], None]
) -> None:
    monkeypatch.setattr(where, name, mutant)
    with pytest.raises(AssertionError):
        law()
