"""What the deciders allow, refuse and find already so: given facts, when a command, then facts or a refusal (tests/given.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from domain.caseload.facts import CaseTaken
from domain.core import SYSTEM, Fact, On, Refusal
from domain.episode.closing import CloseEpisode, ReinstateEpisode
from domain.episode.decider import ReapplyPolicy, ReceiveAssignment, ResendAssignment
from domain.episode.enrolment import Defer, Enrol
from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    ClosureReason,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    MemberEnrolled,
)
from domain.episode.holds import Hold, Resume
from domain.episode.leads import AssignLeadCareManager, HandOver
from domain.episode.referrals import ReceiveReferral, ReferralSource
from domain.episode.state import claim_on_open_episode
from domain.member.decider import (
    CorrectIdentity,
    LearnContactPoint,
    MarkContactPoint,
    OptIn,
    OptOut,
    RegisterMember,
    Relocate,
    WithdrawDeathReport,
)
from domain.member.facts import (
    Channel,
    ChannelOptedIn,
    ChannelOptedOut,
    Claimed,
    ContactPointFoundBad,
    ContactPointLearned,
    DeathReported,
    DeathReportWithdrawn,
    EpisodeBegun,
    MemberRegistered,
    PointKind,
    Released,
)
from domain.member.identity import DisownMessage, RecogniseMessage
from domain.outreach.decider import RecordAttempt, RecordContact, RejectUnableToReach
from domain.outreach.facts import AttemptMade, ContactMade, Outcome, OutreachOpened, UnableToReachProposed, UnableToReachRejected
from domain.policy import PolicyBook
from domain.records import ApproveBackdatedRecord, BackdatedRecordApproved, RecordStruckOut, StrikeOutRecord
from domain.staff.decider import AnnounceAbsence, GrantRole
from domain.staff.facts import AbsenceAnnounced, Role, RoleGranted, StaffJoined, StaffLeft
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, NURSE, OFFICE, OUTREACH, PHONE, Given, Told, at, given, told

DAY_ONE, DAY_TWO, DAY_FIVE = "2026-11-20 10:00 PST", "2026-11-21 10:00 PST", "2026-11-24 10:00 PST"
CLAIM = claim_on_open_episode(MEMBER)
STAFF = tuple(
    told(stream, fact, DAY_ONE)
    for stream, role in ((LEAD, Role.CARE_MANAGER), (NURSE, Role.CARE_MANAGER), (BOSS, Role.SUPERVISOR), (OFFICE, Role.OPERATOR))
    for fact in (StaffJoined(supervisor=BOSS), RoleGranted(role=role))
)
REGISTERED = told(MEMBER, MemberRegistered(), DAY_ONE)
RECEIVED = AssignmentReceived(member=MEMBER, plan="default", received_at=at(DAY_ONE))
ASSIGNED = (
    told(EPISODE, RECEIVED, DAY_ONE),
    told(CLAIM, Claimed(holder=EPISODE), DAY_ONE),
    told(MEMBER, EpisodeBegun(episode=EPISODE), DAY_ONE),
)
OPENED = told(OUTREACH, OutreachOpened(member=MEMBER, episode=EPISODE, plan="default", policy="default@2026.1"), DAY_ONE)


def programme(*more: Told) -> Given:
    """Staff, a member, an assignment, an outreach; and then."""
    return given(*STAFF, REGISTERED, *ASSIGNED, OPENED, *more)


def said(fact: Fact, when: str = DAY_ONE, **more: Any) -> Told:
    return told(EPISODE, fact, when, **more)


# --- one person per CIN, one open episode per member ---------------------------------------------------------------------------


def test_a_member_is_registered_and_holds_the_claim_on_the_cin() -> None:
    command = RegisterMember(stream=MEMBER, by="source:plan", cin_claim="claim-a", cin="91234567A", family_name="Doe")
    registered = MemberRegistered(cin="91234567A", family_name="Doe")
    given(*STAFF).when(command, DAY_ONE).then(registered, On("claim-a", Claimed(holder=MEMBER)))
    given(*STAFF, REGISTERED).when(command, DAY_ONE).then()


def test_a_cin_belongs_to_one_member() -> None:
    taken = told("claim-a", Claimed(holder="member-2"), DAY_ONE)
    given(*STAFF, taken).when(RegisterMember(stream=MEMBER, by=SYSTEM, cin_claim="claim-a"), DAY_ONE).refused("cin_taken")


@pytest.mark.parametrize("said", ["07/09/1961", "19610709", "1961-13-01", "somewhen in July"])
def test_a_birth_date_that_is_none_is_refused(said: str) -> None:
    registering = RegisterMember(stream=MEMBER, by=SYSTEM, cin_claim="claim-a", birth_date=said)
    given(*STAFF).when(registering, DAY_ONE).refused("birth_date_faulty")
    programme().when(CorrectIdentity(stream=MEMBER, by=BOSS, birth_date=said), DAY_TWO).refused("birth_date_faulty")


def test_what_is_no_message_is_nobodys() -> None:
    for command in (RecogniseMessage, DisownMessage):
        programme().when(command(stream=MEMBER, by=BOSS, message="1e999"), DAY_TWO).refused("message_faulty")


def receive(**more: Any) -> ReceiveAssignment:
    fields = {"stream": "episode-2", "by": "source:plan", "member": MEMBER, "plan": "default", "received_at": at(DAY_TWO)}
    return ReceiveAssignment(**(fields | more))


def test_an_assignment_opens_an_episode_and_takes_the_claim() -> None:
    received = AssignmentReceived(member=MEMBER, plan="default", received_at=at(DAY_TWO))
    then = (received, On(CLAIM, Claimed(holder="episode-2")), On(MEMBER, EpisodeBegun(episode="episode-2")))
    given(*STAFF, REGISTERED).when(receive(), DAY_TWO).then(*then)


def test_a_member_has_one_open_episode() -> None:
    programme().when(receive(), DAY_TWO).refused("episode_open")
    programme().when(ResendAssignment(stream=EPISODE, by="source:plan", received_at=at(DAY_TWO)), DAY_TWO).then(
        AssignmentResent(received_at=at(DAY_TWO))
    )


def test_after_a_decline_only_a_person_s_word_opens_another() -> None:
    released = told(CLAIM, Released(holder=EPISODE, because="DECLINED"), DAY_ONE)
    programme(released).when(receive(), DAY_TWO).refused("declined_before")
    again = AssignmentReceived(member=MEMBER, plan="default", received_at=at(DAY_TWO), previous=EPISODE)
    then = (again, On(CLAIM, Claimed(holder="episode-2")), On(MEMBER, EpisodeBegun(episode="episode-2")))
    programme(released).when(receive(by=BOSS, reengage=True), DAY_TWO).then(*then)


def test_nobody_is_assigned_by_a_plan_that_there_is_not() -> None:
    listed = given(*STAFF, REGISTERED, policies=(DEFAULT, replace(DEFAULT, plan="coast-care")))
    listed.when(receive(plan="defualt"), DAY_TWO).refused("plan_unknown")
    refused = listed.when(receive(plan="defualt"), DAY_TWO).decision
    assert refused == Refusal(
        "plan_unknown",
        "plan: 'defualt' is no health plan of ours; write one of coast-care, default; for a new plan adopt its policy first"
        " (throughline policy adopt)",
    )
    assert "Okafor" not in str(listed.when(receive(plan="Okafor Ines"), DAY_TWO).decision), "what is no plan's id may be a name"
    referred = {"referral": "r-1", "source": ReferralSource.FAMILY}
    misspelt = ReceiveReferral(stream="episode-2", by=BOSS, member=MEMBER, plan="defualt", **referred)
    listed.when(misspelt, DAY_TWO).refused("plan_unknown")
    assert PolicyBook().unknown("default") == Refusal(
        "plan_unknown",
        "plan: 'default' is no health plan of ours; no policy was adopted yet: adopt its policy first (throughline policy adopt)",
    )


def test_nobody_is_assigned_who_is_not_registered() -> None:
    given(*STAFF).when(receive(), DAY_TWO).refused("unknown_member")


# --- an episode ----------------------------------------------------------------------------------------------------------------


def test_enrolment_names_who_heard_it_and_happens_once() -> None:
    enrol = Enrol(stream=EPISODE, by=LEAD, agreed="verbal")
    enrolled = MemberEnrolled(agreed="verbal", to_whom=LEAD)
    programme().when(enrol, DAY_TWO).then(enrolled)
    programme(said(enrolled)).when(enrol, DAY_TWO).then()
    programme().when(Enrol(stream=EPISODE, by=LEAD, agreed="nodded"), DAY_TWO).refused("agreement_unknown")


def test_a_deferral_lies_ahead() -> None:
    programme().when(Defer(stream=EPISODE, by=LEAD, until=date(2026, 12, 1)), DAY_TWO).then(DeferralAgreed(until=date(2026, 12, 1)))
    programme().when(Defer(stream=EPISODE, by=LEAD, until=date(2026, 11, 21)), DAY_TWO).refused("deferral_in_the_past")


def test_holding_and_resuming_are_a_supervisor_s() -> None:
    hold, resume = Hold(stream=EPISODE, by=BOSS, reason="jail"), Resume(stream=EPISODE, by=BOSS, reason="out")
    programme().when(Hold(stream=EPISODE, by=LEAD, reason="jail"), DAY_TWO).refused("not_authorised")
    programme().when(hold, DAY_TWO).then(EpisodeHeld(reason="jail"))
    programme().when(resume, DAY_TWO).then()
    programme(said(EpisodeHeld(reason="jail"))).when(hold, DAY_TWO).then()
    programme(said(EpisodeHeld(reason="jail"))).when(resume, DAY_TWO).then(EpisodeResumed(reason="out"))


@pytest.mark.parametrize(
    ("reason", "by", "code"),
    [
        (ClosureReason.UNABLE_TO_REACH, BOSS, "not_proposed"),
        (ClosureReason.UNABLE_TO_REACH, LEAD, "not_authorised"),
        (ClosureReason.DECEASED, BOSS, "no_report_of_death"),
        (ClosureReason.DECLINED, BOSS, "closure_by_another_name"),
        (ClosureReason.ASSIGNMENT_WITHDRAWN, BOSS, "closure_by_another_name"),
    ],
)
def test_a_closure_needs_what_its_reason_says(reason: ClosureReason, by: str, code: str) -> None:
    programme().when(CloseEpisode(stream=EPISODE, by=by, reason=reason), DAY_TWO).refused(code)


def test_a_closure_releases_the_claim_and_is_made_once() -> None:
    close = CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.MOVED_COUNTY)
    closed = EpisodeClosed(reason=ClosureReason.MOVED_COUNTY)
    programme().when(close, DAY_TWO).then(closed, On(CLAIM, Released(holder=EPISODE, because="MOVED_COUNTY")))
    programme(said(closed)).when(close, DAY_TWO).then()
    programme(said(closed)).when(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"), DAY_TWO).refused("episode_closed")


def test_a_closure_is_undone_where_the_member_has_no_other_episode() -> None:
    closed = (
        said(EpisodeClosed(reason=ClosureReason.DECEASED)),
        told(CLAIM, Released(holder=EPISODE, because="DECEASED"), DAY_ONE),
    )
    reinstate = ReinstateEpisode(stream=EPISODE, by=BOSS, reason="namesake")
    programme(*closed).when(reinstate, DAY_TWO).then(EpisodeReinstated(reason="namesake"), On(CLAIM, Claimed(holder=EPISODE)))
    another = told(CLAIM, Claimed(holder="episode-2"), DAY_ONE)
    programme(*closed, another).when(reinstate, DAY_TWO).refused("episode_open")
    programme().when(reinstate, DAY_TWO).then()


def case_taken(stream: str) -> On:
    """A member who is not enrolled, on an empty caseload."""
    assert DEFAULT.caseload is not None
    return On(
        stream,
        CaseTaken(
            episode=EPISODE,
            weight_tenths=DEFAULT.caseload.not_enrolled_tenths,
            grounds=("not_enrolled",),
            cap_tenths=DEFAULT.caseload.full_time_tenths,
            policy=DEFAULT.id,
        ),
    )


def test_a_lead_care_manager_is_a_care_manager_who_works_here() -> None:
    assign = AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=LEAD)
    programme().when(assign, DAY_TWO).then(LeadCareManagerAssigned(staff=LEAD), case_taken("caseload-lead"))
    programme().when(AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=OFFICE), DAY_TWO).refused("no_care_manager")
    gone = told(LEAD, StaffLeft(last_day=date(2026, 11, 20)), DAY_ONE)
    programme(gone).when(assign, DAY_TWO).refused("no_care_manager")


def test_who_has_a_lead_is_handed_over() -> None:
    lead = said(LeadCareManagerAssigned(staff=LEAD))
    programme(lead).when(AssignLeadCareManager(stream=EPISODE, by=BOSS, staff=NURSE), DAY_TWO).refused("has_a_lead")
    hand_over = HandOver(stream=EPISODE, by=LEAD, receiver=NURSE)
    handed_over = LeadCareManagerHandedOver(member=MEMBER, giver=LEAD, receiver=NURSE)
    programme(lead).when(hand_over, DAY_TWO).then(handed_over, case_taken("caseload-nurse"))
    programme().when(hand_over, DAY_TWO).refused("no_lead")


def test_only_an_adopted_policy_is_re_applied() -> None:
    command = ReapplyPolicy(stream=EPISODE, by=BOSS, policy="valley@never", reason="asked")
    programme().when(command, DAY_TWO).refused("unknown_policy")


# --- a member ------------------------------------------------------------------------------------------------------------------


def test_opting_out_and_in_again() -> None:
    out, back = OptOut(stream=MEMBER, by="source:texts", channel=Channel.TEXT), OptIn(stream=MEMBER, by=LEAD, channel=Channel.TEXT)
    opted_out = told(MEMBER, ChannelOptedOut(channel=Channel.TEXT), DAY_ONE)
    programme().when(out, DAY_TWO).then(ChannelOptedOut(channel=Channel.TEXT))
    programme(opted_out).when(out, DAY_TWO).then()
    programme(opted_out).when(back, DAY_TWO).then(ChannelOptedIn(channel=Channel.TEXT))
    programme().when(back, DAY_TWO).then()


def test_a_number_that_staff_found_bad_stays_bad_when_the_file_brings_it_again() -> None:
    learned = ContactPointLearned(point=PHONE, kind=PointKind.PHONE, learned_from="plan_file", value="1")
    bad = told(MEMBER, ContactPointFoundBad(point=PHONE, reason="wrong_number"), DAY_ONE)
    again = LearnContactPoint(
        stream=MEMBER, by="source:plan", point=PHONE, kind=PointKind.PHONE, learned_from="plan_file", value="1"
    )
    after = programme(told(MEMBER, learned, DAY_ONE), bad)
    after.when(again, DAY_TWO).then()
    assert after.memory.load(MEMBER).state.points[PHONE].bad(at(DAY_TWO))
    mark = MarkContactPoint(stream=MEMBER, by=LEAD, point="phone-9", good=False)
    after.when(mark, DAY_TWO).refused("unknown_contact_point")


def test_a_zone_is_one_of_the_world_s() -> None:
    programme().when(Relocate(stream=MEMBER, by=LEAD, timezone="Mars/Base"), DAY_TWO).refused("unknown_zone")


def test_a_report_of_death_is_withdrawn_by_a_supervisor() -> None:
    report = told(MEMBER, DeathReported(source="plan"), DAY_ONE, id="report-1")
    withdraw = WithdrawDeathReport(stream=MEMBER, by=BOSS, report="report-1", reason="namesake")
    programme(report).when(withdraw, DAY_TWO).then(DeathReportWithdrawn(report="report-1", reason="namesake"))
    programme().when(withdraw, DAY_TWO).refused("unknown_report")
    as_lead = WithdrawDeathReport(stream=MEMBER, by=LEAD, report="report-1", reason="namesake")
    programme(report).when(as_lead, DAY_TWO).refused("not_authorised")


# --- outreach ------------------------------------------------------------------------------------------------------------------


def attempt(**more: Any) -> RecordAttempt:
    return RecordAttempt(**({"stream": OUTREACH, "by": LEAD, "channel": Channel.CALL, "outcome": Outcome.NO_ANSWER} | more))


def test_an_attempt_is_recorded_by_who_may() -> None:
    made = AttemptMade(member=MEMBER, channel=Channel.CALL, outcome=Outcome.NO_ANSWER, language="en")
    programme().when(attempt(), DAY_TWO).then(made)
    programme().when(attempt(by=OFFICE), DAY_TWO).refused("not_authorised")
    programme().when(attempt(by="staff-nobody"), DAY_TWO).refused("actor_unknown")
    given(*STAFF, REGISTERED).when(attempt(), DAY_TWO).refused("outreach_not_open")


def test_an_attempt_lies_in_the_past_and_has_a_sensible_length() -> None:
    programme().when(attempt(occurred_at=at(DAY_FIVE)), DAY_TWO).refused("in_the_future")
    programme().when(attempt(minutes=3_000), DAY_TWO).refused("minutes_out_of_range")
    programme().when(attempt(point="phone-9"), DAY_TWO).refused("unknown_contact_point")


def test_a_record_of_the_day_before_yesterday_counts_and_an_older_one_waits() -> None:
    (on_time,) = programme().when(attempt(occurred_at=at("2026-11-22 10:00 PST")), DAY_FIVE).decision
    assert not on_time.approval_needed
    (late,) = programme().when(attempt(occurred_at=at("2026-11-21 23:00 PST")), DAY_FIVE).decision
    assert late.approval_needed


def test_a_backdated_record_is_approved_once_by_a_supervisor_who_did_not_make_it() -> None:
    late = ContactMade(member=MEMBER, channel=Channel.CALL, approval_needed=True)
    record = told(OUTREACH, late, DAY_ONE, recorded=DAY_FIVE, by=LEAD, id="record-1")
    approve = ApproveBackdatedRecord(stream=OUTREACH, by=BOSS, record="record-1")
    approved = BackdatedRecordApproved(record="record-1")
    programme(record).when(approve, DAY_FIVE).then(approved)
    programme(record, told(OUTREACH, approved, DAY_FIVE)).when(approve, DAY_FIVE).then()
    own = told(OUTREACH, late, DAY_ONE, recorded=DAY_FIVE, by=BOSS, id="record-1")
    programme(own).when(approve, DAY_FIVE).refused("own_record")
    programme().when(approve, DAY_FIVE).refused("nothing_to_approve")


def test_a_record_is_struck_out_by_who_made_it_or_a_supervisor() -> None:
    record = told(OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL), DAY_ONE, by=LEAD, id="record-1")

    def strike_out(by: str) -> StrikeOutRecord:
        return StrikeOutRecord(stream=OUTREACH, by=by, record="record-1", reason="another member")

    for by in (LEAD, BOSS):
        programme(record).when(strike_out(by), DAY_TWO).then(RecordStruckOut(record="record-1", reason="another member"))
    programme(record).when(strike_out(NURSE), DAY_TWO).refused("not_authorised")
    programme().when(strike_out(BOSS), DAY_TWO).refused("unknown_record")


def test_going_on_is_decided_by_a_supervisor_and_only_where_that_was_asked() -> None:
    proposed = UnableToReachProposed(attempts=5, channels=(Channel.CALL,), policy="default@2026.1")
    proposal = told(OUTREACH, proposed, DAY_ONE)
    go_on = RejectUnableToReach(stream=OUTREACH, by=BOSS, reason="try the shelter")
    programme(proposal).when(go_on, DAY_TWO).then(UnableToReachRejected(reason="try the shelter"))
    programme().when(go_on, DAY_TWO).then()
    programme(proposal).when(RejectUnableToReach(stream=OUTREACH, by=LEAD, reason="no"), DAY_TWO).refused("not_authorised")


def test_who_left_records_nothing_more() -> None:
    gone = told(LEAD, StaffLeft(last_day=date(2026, 11, 20)), DAY_ONE)
    programme(gone).when(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL), DAY_TWO).refused("actor_unknown")


# --- staff ---------------------------------------------------------------------------------------------------------------------


def test_roles_are_granted_by_those_who_run_the_office() -> None:
    grant = GrantRole(stream=NURSE, by=OFFICE, role=Role.AUDITOR)
    given(*STAFF).when(grant, DAY_TWO).then(RoleGranted(role=Role.AUDITOR))
    given(*STAFF).when(GrantRole(stream=NURSE, by=LEAD, role=Role.SUPERVISOR), DAY_TWO).refused("not_authorised")


def test_an_absence_begins_before_it_ends() -> None:
    first, last = date(2026, 12, 1), date(2026, 12, 5)
    absence = AnnounceAbsence(stream=LEAD, by=BOSS, first_day=first, last_day=last)
    given(*STAFF).when(absence, DAY_TWO).then(AbsenceAnnounced(first_day=first, last_day=last))
    given(*STAFF, told(LEAD, AbsenceAnnounced(first_day=first, last_day=last), DAY_ONE)).when(absence, DAY_TWO).then()
    wrong = AnnounceAbsence(stream=LEAD, by=BOSS, first_day=last, last_day=first)
    given(*STAFF).when(wrong, DAY_TWO).refused("absence_ends_first")


# --- one plan ------------------------------------------------------------------------------------------------------------------


def test_an_assignment_without_an_outreach_plans_its_opening_and_nothing_else() -> None:
    plan = given(*STAFF, REGISTERED, *ASSIGNED).plan(OUTREACH, DAY_TWO)
    assert [step.key for step in plan.steps] == ["opened/0"]
    assert (plan.obligations, plan.effects, plan.done) == ((), (), False)


def test_an_opened_outreach_plans_the_dues_that_its_timeline_implies() -> None:
    plan = programme().plan(OUTREACH, DAY_ONE)
    assigned_by = programme().memory.load(EPISODE).state.assigned_by
    assert [step.key for step in plan.steps] == [
        f"DueSet/initial_contact.attempt/{assigned_by}/0",
        f"DueSet/initial_contact.contact/{assigned_by}/0",
        "DueSet/attempt/0/0",
    ]


def test_without_an_assignment_nothing_is_planned() -> None:
    plan = given(*STAFF, REGISTERED).plan(OUTREACH, DAY_ONE)
    assert (plan.steps, plan.obligations, plan.done) == ((), (), True)
