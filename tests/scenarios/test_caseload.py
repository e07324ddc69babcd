"""Scenarios 65 and 66 of domain.md 7: who leaves keeps nobody silently; who is full takes nobody without a word. Figures by hand.

The caseload that they speak of: a cap of 60.0 points, of which 59.0 are carried (19 members of tier T1 at 3.0, two of T3 at 1.0).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.caseload.decider import WeighCase
from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.clocks import DueSet
from domain.core import SYSTEM, On, Refusal
from domain.episode.closing import CloseEpisode, ReinstateEpisode
from domain.episode.enrolment import Enrol
from domain.episode.facts import (
    AssignmentReceived,
    ClosureReason,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    LeadCareManagerReleased,
    MemberEnrolled,
)
from domain.episode.leads import AssignLeadCareManager, HandOver, ReleaseLeadCareManager
from domain.follow_up_policy import Cap, Caseload
from domain.followup.facts import TierFound, TierOverridden
from domain.policy import Policy
from domain.staff.decider import AgreeFullTimeShare, CompleteTraining, LeaveStaff, NameLanguages, Staff
from domain.staff.facts import FullTimeShareAgreed, LanguagesNamed, Role, RoleGranted, StaffJoined, StaffLeft, TrainingCompleted
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, NURSE, Given, Story, Told, at, given, told

DAY_ONE, DAY_TWO = "2026-11-20 10:00 PST", "2026-11-21 10:00 PST"
LEADS_CASES, NURSES_CASES, FOLLOW_UP = "caseload-lead", "caseload-nurse", "followup-1"
CASES = Caseload(
    full_time_tenths=600,
    cap=Cap.HARD,
    weight_tenths={"T1": 30, "T2": 20, "T3": 10},
    not_enrolled_tenths=5,
    transition_tenths=15,
    transition_days=30,
    overlay_tenths={"transitional_rent": 10},
)
HARD = replace(DEFAULT, caseload=CASES)
SOFT = replace(DEFAULT, caseload=replace(CASES, cap=Cap.SOFT))

STAFF = tuple(
    told(stream, fact, DAY_ONE)
    for stream, role in ((LEAD, Role.CARE_MANAGER), (NURSE, Role.CARE_MANAGER), (BOSS, Role.SUPERVISOR))
    for fact in (StaffJoined(supervisor=BOSS), RoleGranted(role=role))
)
CARRIED = (*(("T1", 30) for _ in range(19)), ("T3", 10), ("T3", 10))
FULL = tuple(
    told(LEADS_CASES, CaseTaken(episode=f"episode-{100 + n}", weight_tenths=tenths, grounds=(f"tier:{tier}",)), DAY_ONE)
    for n, (tier, tenths) in enumerate(CARRIED)
)
assert sum(tenths for _, tenths in CARRIED) == 590


def full(*more: Told, policy: Policy = HARD, tier: str = "T1") -> Given:
    """A full caseload, an enrolled member of the tier without a lead; and then."""
    member = (
        told(EPISODE, AssignmentReceived(member=MEMBER, plan="valley", received_at=at(DAY_ONE)), DAY_ONE),
        told(EPISODE, MemberEnrolled(agreed="verbal", to_whom=BOSS), DAY_ONE),
        told(FOLLOW_UP, TierFound(tier=tier, grounds=(), policy=policy.id), DAY_ONE),
    )
    return given(*STAFF, *FULL, *member, *more, policies=(policy,))


def taken(tenths: int, because: str = "", tier: str = "T1") -> On:
    return On(
        LEADS_CASES,
        CaseTaken(
            episode=EPISODE,
            weight_tenths=tenths,
            over_cap_because=because,
            grounds=(f"tier:{tier}",),
            load_tenths=590,
            cap_tenths=600,
            policy="default@2026.1",
        ),
    )


ASSIGN = AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=LEAD)
ASSIGNED = LeadCareManagerAssigned(staff=LEAD)

# --- 66: the cap ---------------------------------------------------------------------------------------------------------------


def test_66_beyond_a_hard_cap_nobody_goes_and_the_figures_say_why() -> None:
    then = full().when(ASSIGN, DAY_TWO)
    then.refused("over_cap")
    assert isinstance(then.decision, Refusal)
    assert "they carry 59.0 of 60.0 points, and this member weighs 3.0" in then.decision.because


def test_66_a_lighter_member_fits_exactly() -> None:
    full(tier="T3").when(ASSIGN, DAY_TWO).then(ASSIGNED, taken(10, tier="T3"))
    full(tier="T2").when(ASSIGN, DAY_TWO).refused("over_cap")


def test_66_a_supervisor_goes_beyond_it_with_a_reason_that_is_in_the_facts() -> None:
    with_reason = replace(ASSIGN, over_cap_because="knows the family")
    full().when(with_reason, DAY_TWO).then(ASSIGNED, taken(30, "knows the family"))
    full(tier="T3").when(with_reason, DAY_TWO).then(ASSIGNED, taken(10, "", tier="T3"))


def test_66_nobody_else_goes_beyond_a_hard_cap() -> None:
    nurse_leads = told(EPISODE, LeadCareManagerAssigned(staff=NURSE), DAY_ONE)
    hand_over = HandOver(stream=EPISODE, by=NURSE, receiver=LEAD, over_cap_because="I am away")
    full(nurse_leads).when(hand_over, DAY_TWO).refused("over_cap")
    handed_over = LeadCareManagerHandedOver(member=MEMBER, giver=NURSE, receiver=LEAD)
    full(nurse_leads).when(replace(hand_over, by=BOSS), DAY_TWO).then(handed_over, taken(30, "I am away"))


def test_66_beyond_a_soft_cap_everybody_goes_and_it_is_flagged() -> None:
    full(policy=SOFT).when(ASSIGN, DAY_TWO).then(ASSIGNED, taken(30, "over the soft cap"))
    full(policy=SOFT).when(replace(ASSIGN, over_cap_because="asked for her"), DAY_TWO).then(ASSIGNED, taken(30, "asked for her"))
    full(policy=SOFT, tier="T3").when(ASSIGN, DAY_TWO).then(ASSIGNED, taken(10, tier="T3"))


def test_66_a_person_s_word_on_the_tier_weighs() -> None:
    says_three = told(FOLLOW_UP, TierOverridden(tier="T3", reason="stable"), DAY_ONE)
    full(says_three).when(ASSIGN, DAY_TWO).then(ASSIGNED, taken(10, tier="T3"))


def test_66_before_the_enrolment_a_member_weighs_what_the_plan_says() -> None:
    received = told("episode-2", AssignmentReceived(member="member-2", plan="valley", received_at=at(DAY_ONE)), DAY_ONE)
    assign = replace(ASSIGN, stream="episode-2")
    case = CaseTaken(
        episode="episode-2", weight_tenths=5, grounds=("not_enrolled",), load_tenths=590, cap_tenths=600, policy="default@2026.1"
    )
    full(received).when(assign, DAY_TWO).then(ASSIGNED, On(LEADS_CASES, case))


@pytest.mark.parametrize(("day", "refused"), [(date(2026, 11, 21), True), (date(2026, 11, 22), False)])
def test_66_who_works_half_the_time_carries_half(day: date, refused: bool) -> None:
    """From 21 November half of 60.0: with 29.0 on the nurse's caseload a T1 is too much on that day, and not before."""
    nurse = (
        told(NURSES_CASES, CaseTaken(episode="episode-200", weight_tenths=290), DAY_ONE),
        told(NURSE, FullTimeShareAgreed(percent=50, from_day=day), DAY_ONE),
    )
    then = full(*nurse).when(replace(ASSIGN, staff=NURSE), DAY_TWO)
    if refused:
        then.refused("over_cap")
        assert isinstance(then.decision, Refusal) and "29.0 of 30.0" in then.decision.because
    else:
        assert not isinstance(then.decision, Refusal)


def test_66_a_plan_without_caseloads_caps_nobody() -> None:
    case = CaseTaken(episode=EPISODE, weight_tenths=0, load_tenths=590)
    full(policy=replace(DEFAULT, caseload=None)).when(ASSIGN, DAY_TWO).then(ASSIGNED, On(LEADS_CASES, case))


def test_66_the_weight_goes_with_the_member() -> None:
    """In transition a T3 weighs 2.5 on the nurse's caseload: so it does on the lead's, and does not fit there."""
    nurse_leads = (
        told(EPISODE, LeadCareManagerAssigned(staff=NURSE), DAY_ONE),
        told(NURSES_CASES, CaseTaken(episode=EPISODE, weight_tenths=10, grounds=("tier:T3",)), DAY_ONE),
        told(NURSES_CASES, CaseWeighed(episode=EPISODE, weight_tenths=25, grounds=("tier:T3", "transition")), DAY_ONE),
    )
    full(*nurse_leads, tier="T3").when(HandOver(stream=EPISODE, by=NURSE, receiver=LEAD), DAY_TWO).refused("over_cap")
    given_back = told(LEADS_CASES, CaseReleased(episode="episode-100", reason="closed"), DAY_ONE)
    case = CaseTaken(
        episode=EPISODE,
        weight_tenths=25,
        grounds=("tier:T3", "transition"),
        load_tenths=560,
        cap_tenths=600,
        policy="default@2026.1",
    )
    full(*nurse_leads, given_back, tier="T3").when(HandOver(stream=EPISODE, by=NURSE, receiver=LEAD), DAY_TWO).then(
        LeadCareManagerHandedOver(member=MEMBER, giver=NURSE, receiver=LEAD),
        On(NURSES_CASES, CaseReleased(episode=EPISODE, reason="handed_over")),
        On(LEADS_CASES, case),
    )


def test_66_what_a_case_weighs_is_the_follow_up_s_to_say() -> None:
    weigh = WeighCase(stream=LEADS_CASES, by=SYSTEM, episode="episode-100", weight_tenths=45, grounds=("tier:T1", "transition"))
    weighed = CaseWeighed(episode="episode-100", weight_tenths=45, grounds=("tier:T1", "transition"))
    full().when(weigh, DAY_TWO).then(weighed)
    full(told(LEADS_CASES, weighed, DAY_ONE)).when(weigh, DAY_TWO).then()
    full().when(replace(weigh, episode="episode-999"), DAY_TWO).then()
    full().when(replace(weigh, by=LEAD), DAY_TWO).refused("not_authorised")


# --- 65: somebody leaves -------------------------------------------------------------------------------------------------------


def three_members() -> Story:
    """The lead has three members, received on Friday 20 November 2026 and looked for since."""
    story = Story("2026-11-20 10:00 PST")
    for n in (1, 2, 3):
        member = f"member-{n}"
        if n > 1:
            story.member(member)
        story.assigned(episode=f"episode-{n}", member=member)
    return story


def carried(story: Story, stream: str = LEADS_CASES) -> set[str]:
    return set(story.memory.load(stream).state.cases)


def dues(story: Story) -> list[tuple[str, str]]:
    return [(due.key, f"{due.due_at}") for n in (1, 2, 3) for due in story.facts(DueSet, f"outreach-{n}")]


def test_65_nobody_leaves_while_they_lead_members() -> None:
    story = three_members()
    today = LeaveStaff(stream=LEAD, by=BOSS, last_day=date(2026, 11, 20))
    assert story.refused(today) == "still_leads"
    for n in (1, 2, 3):
        story.do(HandOver(stream=f"episode-{n}", by=BOSS, receiver=NURSE, note="prefers mornings"))
    assert carried(story) == set() and carried(story, NURSES_CASES) == {"episode-1", "episode-2", "episode-3"}
    assert story.do(today) == (StaffLeft(last_day=date(2026, 11, 20)),)


def test_65_a_hand_over_moves_no_clock() -> None:
    story = three_members().on("2026-11-24 10:00 PST")
    before = dues(story)
    assert before
    story.do(HandOver(stream="episode-1", by=BOSS, receiver=NURSE))
    assert dues(story) == before
    assert story.owed("initial_contact.contact").owed_by == NURSE
    assert story.owed("initial_contact.contact").window.due == at("2026-11-30 24:00 PST")


def test_65_or_they_are_left_without_a_lead_by_name_and_no_clock_moves() -> None:
    story = three_members().on("2026-11-20 11:00 PST")
    story.do(HandOver(stream="episode-2", by=BOSS, receiver=NURSE))
    before = dues(story)
    because = "left the organisation"
    left = story.do(LeaveStaff(stream=LEAD, by=BOSS, last_day=date(2026, 11, 20), unassign_because=because))
    assert left == (
        StaffLeft(last_day=date(2026, 11, 20)),
        On("episode-1", LeadCareManagerReleased(staff=LEAD, reason=because)),
        On(LEADS_CASES, CaseReleased(episode="episode-1", reason="left")),
        On("episode-3", LeadCareManagerReleased(staff=LEAD, reason=because)),
        On(LEADS_CASES, CaseReleased(episode="episode-3", reason="left")),
    )
    assert carried(story) == set() and carried(story, NURSES_CASES) == {"episode-2"}
    assert dues(story) == before
    assert story.memory.load("episode-1").state.lead_care_manager(story.memory.now) is None
    owed = story.owed("initial_contact.contact", "outreach-1")
    assert owed.owed_by != LEAD and owed.window.due == at("2026-11-30 24:00 PST"), "still owed, and visibly by nobody's lead"


def test_65_a_departure_is_announced_ahead_and_the_last_day_is_not_silent() -> None:
    story = three_members()
    ahead = LeaveStaff(stream=LEAD, by=BOSS, last_day=date(2026, 12, 4))
    assert story.do(ahead) == (StaffLeft(last_day=date(2026, 12, 4)),)
    story.member("member-4").assigned(episode="episode-4", member="member-4", lead=None)
    assert story.refused(AssignLeadCareManager(stream="episode-4", by=BOSS, staff=LEAD)) == "leaving"
    story.on("2026-12-04 17:00 PST")
    assert story.refused(ahead) == "still_leads", "said again on the last day: they still lead three members"
    told_now = story.do(replace(ahead, unassign_because="left"))
    assert len(told_now) == 6 and carried(story) == set()


def test_65_whom_nobody_placed_has_no_lead_after_the_last_day_by_name_and_keeps_every_due() -> None:
    story = three_members()
    story.on("2026-11-23 10:00 PST").do(LeaveStaff(stream=LEAD, by=BOSS, last_day=date(2026, 11, 25)))
    story.do(HandOver(stream="episode-2", by=BOSS, receiver=NURSE))
    due = story.owed("initial_contact.contact", "outreach-1").window.due
    story.on("2026-11-25 23:59 PST")
    assert carried(story) == {"episode-1", "episode-3"}
    story.on("2026-11-26 00:00 PST")
    assert (carried(story), carried(story, NURSES_CASES)) == (set(), {"episode-2"})
    for n in (1, 3):
        (released,) = story.recorded(LeadCareManagerReleased, f"episode-{n}")
        assert (released.fact, released.actor) == (LeadCareManagerReleased(staff=LEAD, reason="left"), SYSTEM)
        assert released.occurred_at == at("2026-11-26 00:00 PST")
    assert story.owed("initial_contact.contact", "outreach-1").window.due == due


def test_65_members_over_the_cap_need_a_recorded_override() -> None:
    """The receiver has room for one T1 of the three."""
    policy = replace(HARD, caseload=replace(CASES, full_time_tenths=12))
    story = Story("2026-11-20 10:00 PST", policy)
    for n in (1, 2, 3):
        if n > 1:
            story.member(f"member-{n}")
        story.assigned(episode=f"episode-{n}", member=f"member-{n}", lead=LEAD if n < 3 else NURSE)
    story.do(HandOver(stream="episode-1", by=BOSS, receiver=NURSE))
    assert story.refused(HandOver(stream="episode-2", by=BOSS, receiver=NURSE)) == "over_cap"
    story.do(HandOver(stream="episode-2", by=BOSS, receiver=NURSE, over_cap_because="until January"))
    (_, _, last) = story.facts(CaseTaken, NURSES_CASES)
    assert (last.over_cap_because, last.load_tenths, last.cap_tenths) == ("until January", 10, 12)


# --- whose caseload a member is on ---------------------------------------------------------------------------------------------


def test_a_closed_episode_weighs_on_nobody_and_weighs_again_when_the_closure_is_undone() -> None:
    story = three_members()
    story.do(CloseEpisode(stream="episode-1", by=BOSS, reason=ClosureReason.UNSAFE))
    assert carried(story) == {"episode-2", "episode-3"}
    story.on("2026-11-20 11:00 PST").do(ReinstateEpisode(stream="episode-1", by=BOSS, reason="another member"))
    assert carried(story) == {"episode-1", "episode-2", "episode-3"}
    story.on("2026-11-20 12:00 PST").do(ReleaseLeadCareManager(stream="episode-1", by=BOSS, reason="asked for another"))
    assert carried(story) == {"episode-2", "episode-3"}


def test_what_puts_the_past_right_moves_nobody_s_caseload() -> None:
    """The lead began on Tuesday. That the nurse had led since Saturday is learned on Wednesday: she carries nobody now."""
    story = Story("2026-11-20 10:00 PST").assigned(lead=None)
    story.on("2026-11-24 10:00 PST").do(AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=LEAD))
    story.on("2026-11-25 10:00 PST")
    story.do(AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=NURSE, occurred_at=at("2026-11-21 09:00 PST")))
    assert story.memory.load(EPISODE).state.lead_care_manager(at("2026-11-22 09:00 PST")) == NURSE
    assert (carried(story), carried(story, NURSES_CASES)) == ({EPISODE}, set())


def test_an_enrolment_weighs_more_than_the_search() -> None:
    story = Story("2026-11-20 10:00 PST").assigned()
    weight = story.memory.load(LEADS_CASES).state.cases[EPISODE]
    assert weight.grounds == ("not_enrolled",)
    story.on("2026-11-23 10:00 PST").do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    assert story.memory.load(LEADS_CASES).state.cases[EPISODE].grounds[0].startswith("tier:")


# --- what else is known of people ----------------------------------------------------------------------------------------------


def test_languages_shares_and_trainings_are_facts() -> None:
    here = given(*STAFF)
    name = NameLanguages(stream=LEAD, by=BOSS, languages=("en", " VI ", "vi"))
    here.when(name, DAY_TWO).then(LanguagesNamed(languages=("en", "vi")))
    given(*STAFF, told(LEAD, LanguagesNamed(languages=("en", "vi")), DAY_ONE)).when(name, DAY_TWO).then()
    here.when(replace(name, languages=()), DAY_TWO).refused("languages_missing")
    share = AgreeFullTimeShare(stream=LEAD, by=BOSS, percent=60, from_day=date(2026, 12, 1))
    here.when(share, DAY_TWO).then(FullTimeShareAgreed(percent=60, from_day=date(2026, 12, 1)))
    here.when(replace(share, percent=0), DAY_TWO).refused("share_out_of_range")
    here.when(replace(share, by=LEAD), DAY_TWO).refused("not_authorised")
    training = CompleteTraining(
        stream=LEAD, by=BOSS, training="person_centred_planning", completed_on=date(2026, 11, 2), expires_on=date(2027, 11, 1)
    )
    here.when(training, DAY_TWO).then(
        TrainingCompleted(training="person_centred_planning", completed_on=date(2026, 11, 2), expires_on=date(2027, 11, 1))
    )
    here.when(replace(training, expires_on=date(2026, 11, 1)), DAY_TWO).refused("training_expired")


def test_shares_and_trainings_hold_for_their_days() -> None:
    here = given(
        *STAFF,
        told(LEAD, FullTimeShareAgreed(percent=60, from_day=date(2026, 12, 1)), DAY_ONE),
        told(LEAD, FullTimeShareAgreed(percent=80, from_day=date(2027, 1, 1)), DAY_ONE),
        told(LEAD, TrainingCompleted(training="pcp", completed_on=date(2026, 11, 2), expires_on=date(2026, 12, 31)), DAY_ONE),
    )
    lead: Staff = here.memory.load(LEAD).state
    shares = [lead.share_percent(at(f"{day} 12:00 PST")) for day in ("2026-11-30", "2026-12-01", "2026-12-31", "2027-01-01")]
    assert shares == [100, 60, 60, 80]
    assert [lead.trained("pcp", at(f"{day} 12:00 PST")) for day in ("2026-11-01", "2026-11-02", "2026-12-31", "2027-01-01")] == [
        False, True, True, False,
    ]  # fmt: skip
