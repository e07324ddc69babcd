"""Missing from a plan's list, named again, settled by a person; whose a member is, as plans say (domain.md scenarios 7, 9)."""

from __future__ import annotations

from datetime import date

import pytest

from domain.core import Fact, ObligationState, On
from domain.episode.facts import AssignmentWithdrawn, ClosureReason, EpisodeClosed
from domain.episode.rosters import (
    MissedOnRoster,
    MissOnRoster,
    NamedOnRosterAgain,
    NameOnRosterAgain,
    PlanPopulationsReported,
    ReportPlanPopulations,
    RosterAbsenceSettled,
    SettleRosterAbsence,
    Standing,
)
from domain.member.decider import ListByPlan, TakeOffByPlan
from domain.member.facts import ListedByPlan, Released, TakenOffByPlan
from projections.sentences import sentence
from tests.given import BOSS, EPISODE, LEAD, MEMBER, given, told
from tests.scenarios.test_enrolment_and_closing import YEAR, enrolled
from tests.unit.test_deciders import CLAIM, DAY_TWO, REGISTERED, STAFF, programme, said

FEED = "source:plan-valley"
MISSED = MissedOnRoster(file="file-2")


def settle(assignment: Standing, by: str = BOSS, reason: str = "left out by mistake") -> SettleRosterAbsence:
    return SettleRosterAbsence(stream=EPISODE, by=by, assignment=assignment, reason=reason)


def test_who_is_missing_is_missing_once_until_named_again() -> None:
    programme().when(MissOnRoster(stream=EPISODE, by=FEED, file="file-2"), DAY_TWO).then(MISSED)
    gone = programme(said(MISSED))
    gone.when(MissOnRoster(stream=EPISODE, by=FEED, file="file-3"), DAY_TWO).then()
    gone.when(NameOnRosterAgain(stream=EPISODE, by=FEED, file="file-3"), DAY_TWO).then(NamedOnRosterAgain(file="file-3"))
    programme().when(NameOnRosterAgain(stream=EPISODE, by=FEED, file="file-3"), DAY_TWO).then()


def test_a_supervisor_says_whether_the_assignment_stands() -> None:
    gone = programme(said(MISSED))
    gone.when(settle(Standing.STANDS, by=LEAD), DAY_TWO).refused("not_authorised")
    gone.when(settle(Standing.STANDS, reason=" "), DAY_TWO).refused("reason_missing")
    gone.when(settle(Standing.STANDS), DAY_TWO).then(RosterAbsenceSettled(stands=True, reason="left out by mistake"))
    programme().when(settle(Standing.STANDS), DAY_TWO).refused("not_missing")
    withdrawn = (AssignmentWithdrawn(reason="left out by mistake"), EpisodeClosed(
        reason=ClosureReason.ASSIGNMENT_WITHDRAWN, note="left out by mistake"
    ))  # fmt: skip
    settled = RosterAbsenceSettled(stands=False, reason="left out by mistake")
    released = On(CLAIM, Released(holder=EPISODE, because=ClosureReason.ASSIGNMENT_WITHDRAWN))
    programme(said(MISSED)).when(settle(Standing.WITHDRAWN), DAY_TWO).then(settled, *withdrawn, released)


def test_an_absence_stands_on_the_worklist_until_it_is_settled() -> None:
    story = enrolled().on("2027-01-05 10:00 PST")
    story.do(MissOnRoster(stream=EPISODE, by=FEED, file="file-2"))
    owed = story.owed("followup.missing_from_roster", YEAR)
    assert owed.state is ObligationState.OPEN and "ask the plan" in owed.how
    story.on("2027-01-06 10:00 PST").do(settle(Standing.STANDS))
    assert story.all_owed("followup.missing_from_roster", YEAR) == []


def test_populations_of_the_plan_are_said_once() -> None:
    command = ReportPlanPopulations(stream=EPISODE, by=FEED, populations=("homelessness",))
    programme().when(command, DAY_TWO).then(PlanPopulationsReported(populations=("homelessness",)))
    programme(said(PlanPopulationsReported(populations=("homelessness",)))).when(command, DAY_TWO).then()
    programme().when(ReportPlanPopulations(stream=EPISODE, by=FEED, populations=()), DAY_TWO).refused("populations_wrong")


def test_two_plans_may_list_a_member_and_each_takes_them_off_for_itself() -> None:
    valley, coast = (ListByPlan(stream=MEMBER, by=f"source:plan-{plan}", plan=plan) for plan in ("valley", "coast"))
    known = (told(MEMBER, ListedByPlan(plan="valley"), DAY_TWO), told(MEMBER, ListedByPlan(plan="coast"), DAY_TWO))
    given(*STAFF, REGISTERED).when(valley, DAY_TWO).then(ListedByPlan(plan="valley"))
    given(*STAFF, REGISTERED, known[0]).when(coast, DAY_TWO).then(ListedByPlan(plan="coast"))
    given(*STAFF, REGISTERED, *known).when(coast, DAY_TWO).then()
    off = TakeOffByPlan(stream=MEMBER, by="source:plan-valley", plan="valley", reason="moved_county")
    given(*STAFF, REGISTERED, *known).when(off, DAY_TWO).then(TakenOffByPlan(plan="valley", reason="moved_county"))
    given(*STAFF, REGISTERED, known[1]).when(off, DAY_TWO).then()


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (MISSED, "Missing from the plan's full list; nothing ends by that"),
        (NamedOnRosterAgain(file="file-3"), "The plan's list names the member again"),
        (RosterAbsenceSettled(stands=True, reason="a mistake"), "Asked the plan: the assignment stands (a mistake)"),
        (RosterAbsenceSettled(stands=False, reason="moved"), "Asked the plan: the assignment is withdrawn (moved)"),
        (PlanPopulationsReported(populations=("smi_sud", "homelessness")),
         "Populations of focus as the plan says: smi sud, homelessness"),
        (ListedByPlan(plan="coast-care", first_day=date(2026, 3, 1)),
         "The plan coast-care lists the member as its own, from 2026-03-01"),
        (TakenOffByPlan(plan="coast", reason="lost_medi_cal"), "The plan coast no longer lists the member (lost medi cal)"),
    ],
)  # fmt: skip
def test_in_words(fact: Fact, words: str) -> None:
    assert sentence(fact) == words
