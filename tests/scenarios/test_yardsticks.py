"""What counts after a stay and what does not: domain.md 7, 55 and 56 (3.1, 3.2).

A discharge on Friday 2026-11-20 is day 0. FUH: a visit within seven days, of which day 0 is none.
"""

from __future__ import annotations

from dataclasses import replace

from domain.core import ObligationState
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.policy import ChecklistItem, Evidence, Policy
from domain.rule_shapes import Basis
from domain.transition.decider import RecordTransitionAttempt
from tests.given import DEFAULT, LEAD, STAY, TRANSITION, at
from tests.scenarios.hospital_story import HospitalStory

FUH = f"psychiatric_follow_up/{STAY}"
OPEN, MET, MISSED = ObligationState.OPEN, ObligationState.MET, ObligationState.MISSED

PAPERS = tuple(f"{item}/{STAY}" for item in ("discharge_document", "discharge_risk_assessment", "follow_up_appointment"))
"""What the lead care manager settles with the facility, the practice and the plan."""


def with_fuh() -> Policy:
    """The default checklist of a plan that also holds us to FUH: in person, days one to seven."""
    item = ChecklistItem(
        key="psychiatric_follow_up", opens_day=1, due_day=7, basis=Basis.CALENDAR, holiday_calendar="none", closes_day=30,
        evidence=Evidence.IN_PERSON,
    )  # fmt: skip
    return replace(DEFAULT, transition=replace(DEFAULT.transition, item=(*DEFAULT.transition.item, item)))


def test_55_a_visit_on_the_day_of_a_psychiatric_discharge_is_no_follow_up_and_one_on_the_next_day_is() -> None:
    story = HospitalStory("2026-11-02 09:00 PST", with_fuh()).admitted("2026-11-16 09:00 PST").discharged("2026-11-20 10:00 PST")
    assert story.due(FUH) == at("2026-11-27 24:00 PST")
    story.visits("2026-11-20 15:00 PST")
    assert story.state(FUH) is OPEN
    assert story.state(f"visit/{STAY}") is MET, "the visit itself, within seven days, was made"
    story.visits("2026-11-21 15:00 PST")
    assert story.state(FUH) is MET


def test_55_only_the_day_of_the_discharge_itself_leaves_it_missed() -> None:
    story = HospitalStory("2026-11-02 09:00 PST", with_fuh()).admitted("2026-11-16 09:00 PST").discharged("2026-11-20 10:00 PST")
    story.visits("2026-11-20 15:00 PST").on("2026-11-28 09:00 PST")
    assert story.state(FUH) is MISSED


def test_56_who_refuses_contact_in_hospital_is_left_alone_and_the_liaison_goes_on() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-16 09:00 PST").on("2026-11-17 11:00 PST")
    refused = RecordTransitionAttempt(stream=TRANSITION, by=LEAD, interaction=Interaction.IN_PERSON, outcome=AttemptOutcome.REFUSED)
    story.do(refused)
    assert f"discharge_review/{STAY}/0" in story.open_keys(), "somebody still looks after the stay"
    story.talks("2026-11-18 10:00 PST", to=SpokenTo.FACILITY)
    story.discharged("2026-11-20 10:00 PST")
    assert {story.state(item) for item in PAPERS} == {OPEN}, "papers and appointment are settled without the member"
    story.completes("discharge_document", "2026-11-20 11:00 PST").completes("discharge_risk_assessment", "2026-11-20 11:05 PST")
    assert {story.state(item) for item in PAPERS[:2]} == {MET}
    assert story.state(f"synchronous_interaction/{STAY}") is OPEN, "a refusal, and a talk with the ward, are no interaction"
