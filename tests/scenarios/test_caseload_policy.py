"""Every field of a plan's caseload changes what somebody carries, or whether they may take one more (domain.md 4).

The lead care manager has one member, assigned and enrolled on Monday 2 November 2026; then there is a second one for them to take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from domain.core import Refusal
from domain.episode.leads import AssignLeadCareManager
from domain.follow_up_policy import ANY_TIER, Cap, Caseload
from domain.member.circumstances import Circumstance, NoteCircumstance
from tests.given import BOSS, LEAD, MEMBER
from tests.scenarios.hospital_story import HospitalStory
from tests.scenarios.test_follow_up_policy import BASE, STARTS

CASELOAD = "caseload-lead"
RULES = Caseload(
    full_time_tenths=20,
    cap=Cap.HARD,
    weight_tenths={"high": 3, ANY_TIER: 12},
    not_enrolled_tenths=9,
    transition_tenths=6,
    transition_days=10,
    overlay_tenths={"rent": 5},
)


@dataclass(frozen=True)
class Case:
    """`shows` looks at a story told under the rules; `changes` is what differs, `before` and `after` what it shows."""

    changes: dict[str, Any] | None
    shows: Callable[[HospitalStory], Any]
    before: Any
    after: Any


def told(shows: Callable[[HospitalStory], Any], changes: dict[str, Any] | None = None) -> Any:
    rules = None if changes is None else replace(RULES, **changes)
    return shows(HospitalStory(STARTS, replace(BASE, caseload=rules)))


def carries(story: HospitalStory) -> int:
    tenths: int = story.memory.load(CASELOAD).state.tenths
    return tenths


def takes_a_second_one(story: HospitalStory) -> str:
    """12 are carried, 9 come to them, 20 is the cap."""
    story.member("member-2").assigned(episode="episode-2", member="member-2", lead=None)
    decision = story.memory.handle(AssignLeadCareManager(stream="episode-2", by=BOSS, staff=LEAD))
    return decision.code if isinstance(decision, Refusal) else "taken"


def after_a_discharge(until: str) -> Callable[[HospitalStory], int]:
    def shows(story: HospitalStory) -> int:
        story.admitted("2026-11-05 09:00 PST").discharged("2026-11-09 15:00 PST").on(until)
        return carries(story)

    return shows


def renting(story: HospitalStory) -> int:
    rent = Circumstance.RECEIVES_TRANSITIONAL_RENT
    story.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=rent, learned_from="member"))
    return carries(story)


CASES: dict[str, Case] = {
    "caseload": Case(None, takes_a_second_one, "over_cap", "taken"),
    "caseload.full_time_tenths": Case({"full_time_tenths": 21}, takes_a_second_one, "over_cap", "taken"),
    "caseload.cap": Case({"cap": Cap.SOFT}, takes_a_second_one, "over_cap", "taken"),
    "caseload.weight_tenths": Case({"weight_tenths": {ANY_TIER: 11}}, takes_a_second_one, "over_cap", "taken"),
    "caseload.not_enrolled_tenths": Case({"not_enrolled_tenths": 8}, takes_a_second_one, "over_cap", "taken"),
    "caseload.transition_tenths": Case({"transition_tenths": 7}, after_a_discharge("2026-11-12 09:00 PST"), 18, 19),
    "caseload.transition_days": Case({"transition_days": 20}, after_a_discharge("2026-11-24 09:00 PST"), 12, 18),
    "caseload.overlay_tenths": Case({"overlay_tenths": {}}, renting, 17, 12),
}


@pytest.mark.parametrize("path", sorted(CASES))
def test_every_field_changes_what_somebody_carries_or_may_take(path: str) -> None:
    case = CASES[path]
    assert told(case.shows, {}) == case.before
    assert told(case.shows, case.changes) == case.after


def test_every_field_has_its_case() -> None:
    assert {path.partition(".")[2] for path in CASES} - {""} == {f.name for f in fields(Caseload)}


def test_a_tier_that_is_not_named_weighs_what_any_does_though_another_is_lighter() -> None:
    story = HospitalStory(STARTS, replace(BASE, caseload=RULES))
    assert carries(story) == 12
