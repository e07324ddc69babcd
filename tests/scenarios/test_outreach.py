"""Looking for a member, and what ends it, as scenarios: domain.md 7, 22 to 27, 33 to 35, 57, 62 and 63."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn
from domain.core import ObligationState
from domain.episode.closing import CloseEpisode, Decline, ReinstateEpisode
from domain.episode.decider import ReceiveAssignment, ResendAssignment
from domain.episode.enrolment import Defer, Enrol
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed
from domain.episode.holds import Hold, Resume
from domain.member.decider import AttributeStay, LoseCoverage, OptIn, OptOut, ReportDeath, RestoreCoverage, WithdrawDeathReport
from domain.member.facts import Channel, ContactPointFoundBad, DeathReported
from domain.outreach.decider import DismissNewEpisode, RecordAttempt, RecordContact, RejectUnableToReach
from domain.outreach.facts import (
    AttemptMade,
    NewEpisodeProposed,
    Outcome,
    OutreachEnded,
    OutreachOpened,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
)
from domain.requests import DeliveryBegun, MessageRequested, RequestWithdrawn
from domain.stay.decider import EnterAdmission, EnterDischarge
from domain.stay.facts import StayClass
from tests.given import BOSS, EPISODE, LEAD, MEMBER, OUTREACH, PHONE, STAY, Story, at

CONTACT = "initial_contact.contact"


def attempt(channel: Channel = Channel.CALL, outcome: Outcome = Outcome.NO_ANSWER, **said: Any) -> RecordAttempt:
    return RecordAttempt(stream=OUTREACH, by=LEAD, channel=channel, outcome=outcome, **said)


def messages(story: Story, kind: str) -> list[MessageRequested]:
    return [asked for asked in story.facts(MessageRequested) if asked.kind == kind]


def tried_in_vain(**changes: Any) -> Story:
    """Five attempts over two channels in thirty days, all in vain."""
    story = Story("2026-09-01 10:00 PDT", **changes).assigned()
    for day, channel in ((2, Channel.CALL), (4, Channel.CALL), (8, Channel.VISIT), (15, Channel.CALL), (22, Channel.VISIT)):
        story.on(f"2026-09-{day:02} 11:00 PDT").do(attempt(channel))
    return story


# --- the ladder ----------------------------------------------------------------------------------------------------------------


def test_22_after_three_failed_calls_at_the_same_hour_another_channel_and_hour_are_proposed() -> None:
    story = Story("2026-11-20 09:00 PST").assigned()
    for day in (20, 21, 23):
        story.on(f"2026-11-{day} 10:00 PST").do(attempt(Channel.CALL, Outcome.NO_ANSWER, point=PHONE))
    story.on("2026-11-28 09:00 PST")
    (rung,) = [o for o in story.all_owed("outreach.attempt") if o.key == "attempt/5"]
    assert rung.how.startswith("visit, around 14:00")
    assert "not before 2026-11-24T14:00Z" in rung.how
    assert "rather not on a Monday" in rung.how


def test_23_a_wrong_number_is_marked_bad_and_the_attempt_counts() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-20 11:00 PST")
    story.do(attempt(Channel.CALL, Outcome.WRONG_NUMBER, point=PHONE))
    assert story.facts(ContactPointFoundBad, MEMBER) == [ContactPointFoundBad(point=PHONE, reason="wrong_number")]
    assert story.owed("initial_contact.attempt").state is ObligationState.MET
    story.on("2026-11-24 12:00 PST")
    assert messages(story, "text") == [], "a text would go to the same wrong number"
    by_person = next(o for o in story.all_owed("outreach.attempt") if o.key == "attempt/1/by_person")
    assert by_person.how.startswith("visit")


def test_24_stop_blocks_texts_and_nothing_else() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-20 15:00 PST")
    story.do(OptOut(stream=MEMBER, by="source:texts", channel=Channel.TEXT, how="STOP"))
    story.on("2026-11-26 12:00 PST")
    assert messages(story, "text") == []
    assert len(messages(story, "letter")) == 1
    assert [o.key for o in story.all_owed("outreach.attempt") if o.key == "attempt/1/by_person"]


def test_24_a_text_that_waits_for_the_morning_is_withdrawn_by_a_stop() -> None:
    story = Story("2026-11-20 10:00 PST")
    story.memory.carrier = None
    story.assigned().on("2026-11-21 09:00 PST")
    assert len(messages(story, "text")) == 1
    story.do(OptOut(stream=MEMBER, by="source:texts", channel=Channel.TEXT, how="STOP"))
    assert [w.reason for w in story.facts(RequestWithdrawn)] == ["opted_out"]
    assert story.facts(DeliveryBegun) == []


def test_24_texts_are_not_sent_in_the_member_s_night() -> None:
    story = Story("2026-11-20 22:30 PST").assigned().on("2026-11-23 00:00 PST")
    (begun,) = [r for r in story.recorded(DeliveryBegun) if r.fact.key.startswith("rung/1")]
    assert begun.occurred_at == at("2026-11-21 08:00 PST")


def test_22_a_machine_too_keeps_its_distance_from_the_last_try() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-20 19:00 PST")
    story.do(RecordAttempt(stream=OUTREACH, by=LEAD, channel=Channel.CALL, outcome=Outcome.VOICEMAIL))
    story.on("2026-11-23 00:00 PST")
    (begun,) = [r for r in story.recorded(DeliveryBegun) if r.fact.key.startswith("rung/1")]
    assert begun.occurred_at == at("2026-11-21 15:00 PST"), "twenty hours after the call, not at eight in the morning"


def test_24_the_night_is_the_one_of_the_member_s_own_zone() -> None:
    story = Story("2026-11-20 22:30 PST").member("member-east", timezone="America/New_York")
    story.assigned(member="member-east").on("2026-11-23 00:00 PST")
    (begun,) = [r for r in story.recorded(DeliveryBegun) if r.fact.key.startswith("rung/1")]
    assert begun.occurred_at == at("2026-11-21 08:00 EST")


def test_25_a_member_who_speaks_vietnamese_is_written_to_in_vietnamese_and_called_by_somebody_who_speaks_it() -> None:
    story = Story("2026-11-20 10:00 PST").member("member-vi", language="vi").assigned(member="member-vi").on("2026-11-21 12:00 PST")
    assert [asked.language for asked in messages(story, "text")] == ["vi"]
    (call,) = [o for o in story.all_owed("outreach.attempt") if o.key == "attempt/0"]
    assert call.how.endswith("in vi, or with an interpreter")


# --- unable to reach -----------------------------------------------------------------------------------------------------------


def test_26_unable_to_reach_is_proposed_after_the_minimum_and_never_before() -> None:
    story = tried_in_vain().on("2026-09-30 23:59 PDT")
    assert story.facts(UnableToReachProposed) == []
    early = CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.UNABLE_TO_REACH)
    assert story.refused(early) == "not_proposed"
    story.on("2026-10-01 09:00 PDT")
    assert story.facts(UnableToReachProposed) == [
        UnableToReachProposed(attempts=5, channels=(Channel.CALL, Channel.VISIT), policy="default@2026.1")
    ]
    assert story.owed("outreach.decide_unable_to_reach").owed_by == BOSS
    story.on("2026-10-20 09:00 PDT")
    assert story.facts(EpisodeClosed, EPISODE) == [], "no machine closes an episode"


@pytest.mark.parametrize(
    "changes",
    [
        {"outreach__unable_to_reach__attempts_min": 6},
        {"outreach__unable_to_reach__channels_min": 3},
        {"outreach__unable_to_reach__days_min": 60},
    ],
    ids=["attempts", "channels", "days"],
)
def test_26_each_part_of_the_minimum_holds_it_back(changes: dict[str, int]) -> None:
    assert tried_in_vain(**changes).on("2026-10-05 09:00 PDT").facts(UnableToReachProposed) == []


def test_26_contact_withdraws_the_proposal() -> None:
    story = tried_in_vain().on("2026-10-03 09:00 PDT")
    story.do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    assert story.facts(UnableToReachProposalWithdrawn) == [UnableToReachProposalWithdrawn(reason="contact_made")]
    assert story.refused(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.UNABLE_TO_REACH)) == "not_proposed"


def test_26_a_supervisor_decides_and_a_care_manager_does_not() -> None:
    story = tried_in_vain().on("2026-10-03 09:00 PDT")
    assert story.refused(CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.UNABLE_TO_REACH)) == "not_authorised"
    story.do(RejectUnableToReach(stream=OUTREACH, by=BOSS, reason="try the shelter first"))
    assert story.refused(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.UNABLE_TO_REACH)) == "not_proposed"
    story.on("2026-10-06 11:00 PDT").do(attempt(Channel.MEETING, Outcome.NOT_THERE))
    story.on("2026-10-17 10:00 PDT")
    assert len(story.facts(UnableToReachProposed)) == 2, "asked again after a fresh attempt and the policy's interval"


def closed_as_unable_to_reach() -> Story:
    story = tried_in_vain().on("2026-10-03 09:00 PDT")
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.UNABLE_TO_REACH))
    return story.on("2026-10-05 09:00 PDT")


def test_27_a_member_who_calls_after_the_closure_proposes_a_new_episode_with_a_fresh_clock() -> None:
    story = closed_as_unable_to_reach()
    assert story.facts(OutreachEnded)
    story.on("2026-10-20 09:00 PDT").do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    assert len(story.facts(NewEpisodeProposed)) == 1
    assert story.owed("outreach.review.new_episode").owed_by == BOSS
    assert story.facts(AssignmentReceived, "episode-2") == [], "it opens on a person's word"
    opened = ReceiveAssignment(
        stream="episode-2", by=BOSS, member=MEMBER, plan="default", received_at=story.memory.now, reengage=True, previous=EPISODE
    )
    story.do(opened)
    (received,) = story.facts(AssignmentReceived, "episode-2")
    assert received.previous == EPISODE
    assert story.owed(CONTACT, "outreach-2").window.due == at("2026-10-30 24:00 PDT")
    assert story.all_owed("outreach.review.new_episode") == []
    assert story.plan(OUTREACH).done


def test_27_a_person_may_dismiss_the_proposal() -> None:
    story = closed_as_unable_to_reach().on("2026-10-20 09:00 PDT")
    story.do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    (proposed,) = story.facts(NewEpisodeProposed)
    story.do(DismissNewEpisode(stream=OUTREACH, by=BOSS, cause=proposed.cause, reason="moved away"))
    assert story.plan().done


# --- not now, no ---------------------------------------------------------------------------------------------------------------


def test_33_not_now_call_in_june_rests_and_wakes_up_in_june() -> None:
    story = Story("2026-04-01 10:00 PDT").assigned().on("2026-04-02 11:00 PDT")
    story.do(Defer(stream=EPISODE, by=LEAD, until=date(2026, 6, 1)))
    sent = len(story.facts(DeliveryBegun))
    assert story.owed(CONTACT).state is ObligationState.MET, "not now was said to us: a contact"
    story.on("2026-05-31 23:59 PDT")
    assert len(story.facts(DeliveryBegun)) == sent
    assert story.facts(EpisodeClosed, EPISODE) == []
    assert story.owed("outreach.review.deferred").suspended is False
    story.on("2026-06-01 00:00 PDT")
    assert story.owed("outreach.review.enrolment").owed_by == LEAD


def test_34_a_decline_stops_everything_at_once_and_a_re_listing_does_not_restart_it() -> None:
    story = Story("2026-11-20 10:00 PST")
    story.memory.carrier = None
    story.assigned().on("2026-11-21 09:00 PST")
    assert messages(story, "text")
    story.do(Decline(stream=EPISODE, by=LEAD, how="by phone"))
    assert [w.reason for w in story.facts(RequestWithdrawn)] == ["closed_declined"]
    assert story.facts(EpisodeClosed, EPISODE) == [EpisodeClosed(reason=ClosureReason.DECLINED)]
    assert story.plan().done
    written = len(story.memory.streams[OUTREACH])
    again = {"member": MEMBER, "plan": "default", "received_at": at("2026-12-20 09:00 PST")}
    story.on("2026-12-20 09:00 PST")
    assert story.refused(ReceiveAssignment(stream="episode-2", by="source:plan", **again)) == "declined_before"
    story.do(ResendAssignment(stream=EPISODE, by="source:plan", received_at=at("2026-12-20 09:00 PST")))
    story.on("2027-03-01 09:00 PST")
    assert len(story.memory.streams[OUTREACH]) == written
    assert story.facts(DeliveryBegun) == []


def test_34_a_decline_is_a_contact_and_no_miss_follows() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-24 09:00 PST")
    story.do(Decline(stream=EPISODE, by=LEAD))
    story.on("2027-01-10 09:00 PST")
    assert story.owed(CONTACT).state is ObligationState.MET
    assert [m.rule for m in story.facts(DeadlineMissed) if m.rule.startswith("initial_contact")] == []


def test_35_a_revoked_decline_is_tried_again_in_a_new_episode() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-24 09:00 PST")
    story.do(Decline(stream=EPISODE, by=LEAD))
    story.on("2026-12-10 09:00 PST").do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    assert len(story.facts(NewEpisodeProposed)) == 1
    word = {"member": MEMBER, "plan": "default", "received_at": story.memory.now}
    story.do(ReceiveAssignment(stream="episode-2", by=BOSS, reengage=True, **word))
    assert story.owed(CONTACT, "outreach-2").window.due == at("2026-12-20 24:00 PST")


@pytest.mark.parametrize("how", ["declined", "unable_to_reach"])
def test_57_a_stay_after_the_closure_starts_no_timer_and_proposes_re_engagement(how: str) -> None:
    if how == "declined":
        story = Story("2026-10-01 10:00 PDT").assigned().on("2026-10-03 09:00 PDT")
        story.do(Decline(stream=EPISODE, by=LEAD))
    else:
        story = closed_as_unable_to_reach()
    story.on("2026-10-20 09:00 PDT")
    dues = len(story.facts(DueSet))
    story.do(
        EnterAdmission(
            stream=STAY, by=LEAD, facility="General", stay_class=StayClass.INPATIENT, admitted_at=at("2026-10-20 08:00 PDT")
        )
    )
    story.do(AttributeStay(stream=MEMBER, by="source:adt", stay=STAY, episode=None, evidence="cin+birth_date"))
    assert len(story.facts(DueSet)) == dues
    assert len(story.facts(NewEpisodeProposed)) == 1
    assert story.owed("outreach.review.new_episode").owed_by == BOSS
    story.do(EnterDischarge(stream=STAY, by=LEAD, discharged_at=at("2026-10-20 08:30 PDT")))
    assert len(story.facts(NewEpisodeProposed)) == 1


def test_57_before_enrolment_an_admission_tells_the_owner_of_the_outreach() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-24 23:30 PST")
    story.do(
        EnterAdmission(
            stream=STAY, by=LEAD, facility="General", stay_class=StayClass.INPATIENT, admitted_at=at("2026-11-24 21:00 PST")
        )
    )
    story.do(AttributeStay(stream=MEMBER, by="source:adt", stay=STAY, episode=EPISODE, evidence="cin+birth_date"))
    (alert,) = story.alerts("member_in_hospital")
    assert (alert.recipient, alert.about) == (LEAD, STAY)
    begun = [r for r in story.recorded(DeliveryBegun) if r.fact.key.startswith("admitted/")]
    assert [r.occurred_at for r in begun] == [at("2026-11-24 23:30 PST")], "staff alerts keep no quiet hours"


# --- death, coverage, holds ----------------------------------------------------------------------------------------------------


def test_62_a_death_stops_timers_and_messages_and_suppresses_letters() -> None:
    story = Story("2026-11-20 10:00 PST")
    story.memory.carrier = None
    story.assigned().on("2026-11-24 09:00 PST")
    assert messages(story, "letter")
    story.do(ReportDeath(stream=MEMBER, by="source:plan", source="plan"))
    assert {w.reason for w in story.facts(RequestWithdrawn)} == {"death_reported"}
    assert {w.reason for w in story.facts(DueWithdrawn)} == {"death_reported"}
    story.on("2026-12-04 09:00 PST")
    assert story.facts(DeliveryBegun) == []
    assert story.owed(CONTACT).state is ObligationState.WITHDRAWN
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.DECEASED))
    assert story.plan().done


def test_62_a_wrong_report_of_death_restores_the_timers_with_new_dues() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-24 09:00 PST")
    story.do(ReportDeath(stream=MEMBER, by="source:plan", source="plan"))
    (report,) = story.recorded(DeathReported, MEMBER)
    story.on("2026-12-02 09:00 PST")
    story.do(WithdrawDeathReport(stream=MEMBER, by=BOSS, report=report.event_id, reason="namesake"))
    owed = story.owed(CONTACT)
    assert (owed.state, owed.window.due) == (ObligationState.OPEN, at("2026-12-08 24:00 PST")), "eight days were lost"
    assert [m for m in story.facts(DeadlineMissed) if m.rule == CONTACT] == []


def test_62_so_does_the_reinstatement_of_an_episode_that_was_closed_on_the_wrong_report() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-24 09:00 PST")
    story.do(ReportDeath(stream=MEMBER, by="source:plan", source="plan"))
    (report,) = story.recorded(DeathReported, MEMBER)
    story.on("2026-11-25 09:00 PST").do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.DECEASED))
    story.on("2026-12-02 09:00 PST")
    story.do(WithdrawDeathReport(stream=MEMBER, by=BOSS, report=report.event_id, reason="namesake"))
    story.do(ReinstateEpisode(stream=EPISODE, by=BOSS, reason="namesake"))
    owed = story.owed(CONTACT)
    assert (owed.state, owed.window.due) == (ObligationState.OPEN, at("2026-12-08 24:00 PST")), "the days are not counted twice"


def test_63_lost_coverage_holds_and_a_return_within_90_days_resumes_the_same_episode() -> None:
    story = Story("2026-09-25 10:00 PDT").assigned().on("2026-09-30 24:00 PDT")
    story.do(LoseCoverage(stream=MEMBER, by="source:plan"))
    owed = story.owed(CONTACT)
    assert (owed.state, owed.suspended) == (ObligationState.OPEN, True)
    story.on("2026-12-01 09:00 PST").do(RestoreCoverage(stream=MEMBER, by="source:plan"))
    owed = story.owed(CONTACT)
    assert (owed.state, owed.suspended) == (ObligationState.OPEN, False)
    assert owed.window.due == at("2026-12-05 24:00 PST"), "61 local days, from October 1 to December 1, were lost"
    assert [m for m in story.facts(DeadlineMissed) if m.rule == CONTACT] == []


def test_63_coverage_is_not_written_by_those_who_owe_the_calls() -> None:
    story = Story("2026-09-25 10:00 PDT").assigned().on("2026-10-07 09:00 PDT")
    assert story.refused(LoseCoverage(stream=MEMBER, by=LEAD, occurred_at=at("2026-10-01 00:00 PDT"))) == "not_authorised"
    assert story.refused(RestoreCoverage(stream=MEMBER, by=LEAD)) == "not_authorised"
    story.do(LoseCoverage(stream=MEMBER, by=BOSS, occurred_at=at("2026-10-01 00:00 PDT")))
    assert story.owed(CONTACT).suspended


def test_63_coverage_that_does_not_return_in_90_days_ends_what_is_owed_as_of_its_loss() -> None:
    story = Story("2026-09-25 10:00 PDT").assigned().on("2026-09-30 24:00 PDT")
    story.do(LoseCoverage(stream=MEMBER, by="source:plan"))
    story.on("2026-12-31 09:00 PST")
    assert story.owed(CONTACT).state is ObligationState.WITHDRAWN
    assert story.owed("outreach.review.close_coverage_lost").owed_by == BOSS
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.LOST_MEDI_CAL))
    assert story.plan().done


def test_69_a_hold_suspends_the_ladder_and_never_the_initial_deadline() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-21 07:00 PST")
    story.do(Hold(stream=EPISODE, by=BOSS, reason="incarcerated"))
    story.on("2026-12-02 09:00 PST")
    assert story.owed(CONTACT).state is ObligationState.MISSED
    assert messages(story, "text") == []
    story.do(Resume(stream=EPISODE, by=BOSS, reason="released"))
    story.on("2026-12-02 12:00 PST")
    assert len(messages(story, "text")) == 1, "the text of day 1 is due eleven days later"


def test_24_an_opt_in_allows_texts_again() -> None:
    story = Story("2026-11-20 10:00 PST").assigned()
    story.do(OptOut(stream=MEMBER, by=LEAD, channel=Channel.TEXT))
    story.on("2026-11-21 10:00 PST").do(OptIn(stream=MEMBER, by=LEAD, channel=Channel.TEXT))
    assert len(messages(story, "text")) == 1


def test_30_verbal_agreement_without_a_form_is_enough_to_enrol() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-23 10:00 PST")
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    assert story.plan().done
    assert story.facts(OutreachOpened) and story.facts(AttemptMade) == []


SAID_TO_US = (
    Enrol(stream=EPISODE, by=LEAD, agreed="verbal"),
    Decline(stream=EPISODE, by=LEAD),
    Defer(stream=EPISODE, by=LEAD, until=date(2027, 6, 1)),
)


@pytest.mark.parametrize("said", SAID_TO_US, ids=lambda said: type(said).__name__)
def test_14_nobody_mends_a_missed_deadline_with_a_word_dated_back_beyond_the_grace(said: Enrol | Decline | Defer) -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-12-03 09:00 PST")
    assert story.owed(CONTACT).state is ObligationState.MISSED
    assert story.refused(replace(said, occurred_at=at("2026-11-30 15:00 PST"))) == "dated_back"
    assert story.refused(replace(said, occurred_at=at("2026-12-04 15:00 PST"))) == "in_the_future"
    late = Story("2026-11-20 10:00 PST").assigned().on("2026-12-03 09:00 PST")
    late.do(said)
    assert late.owed(CONTACT).state is ObligationState.MET_LATE, "as of now it may be said, and mends nothing"
    story.do(replace(said, by=BOSS, occurred_at=at("2026-11-30 15:00 PST")))
    assert story.owed(CONTACT).state is ObligationState.MET, "a supervisor stands for it"


def test_14_within_the_grace_an_agreement_is_entered_late_without_ado() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-12-02 09:00 PST")
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", occurred_at=at("2026-11-30 15:00 PST")))
    assert story.owed(CONTACT).state is ObligationState.MET
