"""The 10-day deadline as scenarios: domain.md 7, 11 to 21. Dates are worked out by hand; no test here imports a calendar."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from domain.clocks import DeadlineMissed, DueSet
from domain.core import ObligationState
from domain.episode.decider import ReapplyPolicy, ReceiveAssignment, ResendAssignment
from domain.episode.facts import AssignmentResent
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt, RecordContact
from domain.outreach.facts import AttemptMade, Outcome
from domain.policy import ClockStart, Satisfies
from domain.records import ApproveBackdatedRecord
from domain.rule_shapes import Basis
from tests.given import BOSS, DEFAULT, DEPUTY, EPISODE, LEAD, MEMBER, OUTREACH, PHONE, Story, at, varied

ATTEMPT, CONTACT = "initial_contact.attempt", "initial_contact.contact"
IN_PERSON = "initial_contact.in_person_contact"


def attempt(
    channel: Channel = Channel.CALL, outcome: Outcome = Outcome.NO_ANSWER, *, when: str | None = None, by: str = LEAD, **said: Any
) -> RecordAttempt:
    occurred_at = at(when) if when else None
    return RecordAttempt(stream=OUTREACH, by=by, occurred_at=occurred_at, channel=channel, outcome=outcome, **said)


def test_11_ten_calendar_days_after_friday_the_20th_end_on_monday_the_30th() -> None:
    story = Story("2026-11-20 10:00 PST").assigned()
    owed = story.owed(CONTACT)
    assert owed.window.due == at("2026-11-30 24:00 PST")
    assert owed.state is ObligationState.OPEN and owed.governing


def test_11_ten_federal_business_days_end_on_december_7th_because_of_thanksgiving() -> None:
    story = Story(
        "2026-11-20 10:00 PST", initial_contact__basis=Basis.BUSINESS, initial_contact__holiday_calendar="federal"
    ).assigned()
    assert story.owed(CONTACT).window.due == at("2026-12-07 24:00 PST")


def test_11_with_california_s_day_after_thanksgiving_on_december_8th() -> None:
    changes = {"initial_contact__basis": Basis.BUSINESS, "initial_contact__holiday_calendar": "ca_state"}
    assert Story("2026-11-20 10:00 PST", **changes).assigned().owed(CONTACT).window.due == at("2026-12-08 24:00 PST")


def test_12_a_backdated_assignment_is_due_from_receipt_and_says_so() -> None:
    story = Story("2026-11-20 10:00 PST").assigned(effective_on=date(2026, 10, 1), authorized_on=date(2026, 11, 12))
    (due,) = [d for d in story.facts(DueSet) if d.rule == CONTACT]
    assert due.due_at == at("2026-11-30 24:00 PST")
    assert due.late_on_arrival
    assert {v.name: v.due_at for v in due.variants} == {
        "received": at("2026-11-30 24:00 PST"),
        "assignment_effective": at("2026-10-11 24:00 PDT"),
        "authorized": at("2026-11-22 24:00 PST"),
    }


def test_12_where_the_plan_counts_from_the_effective_date_it_is_missed_on_arrival() -> None:
    story = Story("2026-11-20 10:00 PST", initial_contact__clock_start=ClockStart.ASSIGNMENT_EFFECTIVE)
    story.assigned(effective_on=date(2026, 10, 1))
    (missed,) = [r for r in story.recorded(DeadlineMissed) if r.fact.rule == CONTACT]
    assert missed.occurred_at == missed.fact.due_at == at("2026-10-11 24:00 PDT")
    assert missed.fact.late_on_arrival
    assert missed.fact.learned_at == at("2026-11-20 10:00 PST")


def test_13_a_contact_before_midnight_of_day_10_synced_on_day_12_was_on_time() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-12-02 09:00 PST")
    assert story.owed(CONTACT).state is ObligationState.MISSED
    story.do(attempt(Channel.CALL, Outcome.REACHED, when="2026-11-30 23:58 PST"))
    owed = story.owed(CONTACT)
    assert (owed.state, owed.met_at) == (ObligationState.MET, at("2026-11-30 23:58 PST"))
    (record,) = story.recorded(AttemptMade)
    assert (record.occurred_at, record.recorded_at) == (at("2026-11-30 23:58 PST"), at("2026-12-02 09:00 PST"))


def test_13_by_policy_an_attempt_does_as_well() -> None:
    story = Story("2026-11-20 10:00 PST", initial_contact__satisfied_by=Satisfies.ATTEMPT).assigned().on("2026-12-02 09:00 PST")
    story.do(attempt(Channel.CALL, Outcome.NO_ANSWER, when="2026-11-30 23:58 PST"))
    assert story.owed(ATTEMPT).state is ObligationState.MET
    assert story.owed(ATTEMPT).governing and not story.owed(CONTACT).governing


def test_14_a_record_dated_back_more_than_the_grace_counts_only_after_approval() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-12-03 09:00 PST")
    record = attempt(Channel.VISIT, Outcome.REACHED, when="2026-11-30 15:00 PST")
    story.do(record)
    assert story.owed(CONTACT).state is ObligationState.MISSED
    waiting = story.owed("outreach.review.approval")
    assert waiting.owed_by == BOSS
    (entry,) = story.recorded(AttemptMade)
    assert entry.fact.approval_needed
    assert story.refused(ApproveBackdatedRecord(stream=OUTREACH, by=LEAD, record=entry.event_id)) == "not_authorised"
    story.do(ApproveBackdatedRecord(stream=OUTREACH, by=BOSS, record=entry.event_id, reason="paper log seen"))
    assert story.owed(CONTACT).state is ObligationState.MET
    assert story.all_owed("outreach.review.approval") == []


def test_14_nobody_approves_a_record_of_their_own() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-12-03 09:00 PST")
    story.do(attempt(Channel.VISIT, Outcome.REACHED, when="2026-11-28 15:00 PST", by=BOSS))
    (entry,) = story.recorded(AttemptMade)
    assert story.refused(ApproveBackdatedRecord(stream=OUTREACH, by=BOSS, record=entry.event_id)) == "own_record"
    story.do(ApproveBackdatedRecord(stream=OUTREACH, by=DEPUTY, record=entry.event_id))
    assert story.owed(CONTACT).state is ObligationState.MET


def test_15_a_mass_mailing_is_no_attempt() -> None:
    story = Story("2026-11-20 10:00 PST", initial_contact__satisfied_by=Satisfies.ATTEMPT).assigned().on("2026-11-25 12:00 PST")
    story.do(attempt(Channel.LETTER, Outcome.SENT, individualized=False))
    story.on("2026-12-01 09:00 PST")
    assert story.owed(ATTEMPT).state is ObligationState.MISSED


@pytest.mark.parametrize(("satisfied_by", "state"), [(Satisfies.CONTACT, "missed"), (Satisfies.ATTEMPT, "met")])
def test_16_a_voicemail_on_day_3_is_an_attempt_and_no_contact(satisfied_by: Satisfies, state: str) -> None:
    story = Story("2026-11-20 10:00 PST", initial_contact__satisfied_by=satisfied_by).assigned().on("2026-11-23 11:00 PST")
    story.do(attempt(Channel.CALL, Outcome.VOICEMAIL, point=PHONE))
    story.on("2026-12-01 09:00 PST")
    (governing,) = [o for o in story.all_owed("initial_contact") if o.governing]
    assert governing.state == state
    assert (story.owed(ATTEMPT).state, story.owed(CONTACT).state) == (ObligationState.MET, ObligationState.MISSED)


def test_16_a_phone_call_is_no_contact_in_person() -> None:
    story = Story("2026-11-20 10:00 PST", initial_contact__satisfied_by=Satisfies.IN_PERSON_CONTACT).assigned()
    story.on("2026-11-23 11:00 PST").do(attempt(Channel.CALL, Outcome.REACHED))
    assert (story.owed(IN_PERSON).state, story.owed(IN_PERSON).governing) == (ObligationState.OPEN, True)
    story.on("2026-11-24 11:00 PST").do(attempt(Channel.VISIT, Outcome.REACHED))
    assert story.owed(IN_PERSON).met_at == at("2026-11-24 11:00 PST")


def test_17_a_window_over_the_end_of_daylight_time_ends_at_local_midnight() -> None:
    owed = Story("2026-10-26 10:00 PDT").assigned().owed(CONTACT)
    assert (owed.window.opens, owed.window.due) == (at("2026-10-26 00:00 PDT"), at("2026-11-05 24:00 PST"))


def test_17_a_window_over_the_start_of_daylight_time_ends_at_local_midnight() -> None:
    owed = Story("2026-03-04 10:00 PST").assigned().owed(CONTACT)
    assert (owed.window.opens, owed.window.due) == (at("2026-03-04 00:00 PST"), at("2026-03-14 24:00 PDT"))


def test_18_a_miss_during_an_outage_is_recorded_as_of_its_due_and_told_once() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-29 20:00 PST")
    story.asleep_until("2026-12-01 17:00 PST").on("2026-12-05 17:00 PST")
    (missed,) = [r for r in story.recorded(DeadlineMissed) if r.fact.rule == CONTACT]
    assert missed.occurred_at == at("2026-11-30 24:00 PST")
    assert missed.recorded_at == at("2026-12-01 17:00 PST")
    told = story.alerts("deadline_missed")
    assert sorted(asked.recipient for asked in told) == [BOSS, LEAD]


def test_19_a_re_sent_assignment_does_not_restart_the_clock() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-28 10:00 PST")
    again = ReceiveAssignment(
        stream="episode-2", by="source:plan", member=MEMBER, plan="default", received_at=at("2026-11-28 10:00 PST")
    )
    assert story.refused(again) == "episode_open"
    story.do(ResendAssignment(stream=EPISODE, by="source:plan", received_at=at("2026-11-28 10:00 PST")))
    assert story.facts(AssignmentResent, EPISODE)
    assert story.owed(CONTACT).window.due == at("2026-11-30 24:00 PST")


def test_20_a_shorter_rule_adopted_on_day_5_leaves_an_open_clock_alone_until_it_is_re_applied() -> None:
    shorter = varied(version="2026.2", effective_on=date(2026, 11, 25), initial_contact__days=7)
    story = Story("2026-11-20 10:00 PST", DEFAULT, shorter).assigned().on("2026-11-25 12:00 PST")
    owed = story.owed(CONTACT)
    assert (owed.window.due, owed.because.policy) == (at("2026-11-30 24:00 PST"), "default@2026.1")
    story.do(ReapplyPolicy(stream=EPISODE, by=BOSS, policy="default@2026.2", reason="the plan asked for it in writing"))
    owed = story.owed(CONTACT)
    assert (owed.window.due, owed.because.policy) == (at("2026-11-27 24:00 PST"), "default@2026.2")
    assert story.owed(CONTACT).state is ObligationState.OPEN


def test_20_an_assignment_received_under_the_new_rule_has_the_new_due() -> None:
    shorter = varied(version="2026.2", effective_on=date(2026, 11, 25), initial_contact__days=7)
    story = Story("2026-11-20 10:00 PST", DEFAULT, shorter).on("2026-11-25 12:00 PST").assigned()
    assert story.owed(CONTACT).window.due == at("2026-12-02 24:00 PST")


def test_21_contact_on_day_6_keeps_the_warnings_of_days_7_and_9_away() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-26 12:00 PST")
    story.do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    story.on("2026-12-02 12:00 PST")
    assert story.alerts("deadline_near") == []


def test_21_without_contact_the_owner_is_warned_on_day_7_and_the_supervisor_on_day_9() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-27 20:00 PST")
    near = [asked for asked in story.alerts("deadline_near") if CONTACT in asked.about]
    assert [asked.recipient for asked in near] == [LEAD]
    story.on("2026-11-29 20:00 PST")
    near = [asked for asked in story.alerts("deadline_near") if CONTACT in asked.about]
    assert [asked.recipient for asked in near] == [LEAD, BOSS]


def test_11_a_clock_is_not_started_later_than_the_plan_s_word_came() -> None:
    ahead = ReceiveAssignment(stream=EPISODE, by=BOSS, member=MEMBER, plan="default", received_at=at("2026-11-27 10:00 PST"))
    assert Story("2026-11-20 10:00 PST").refused(ahead) == "received_in_the_future"
