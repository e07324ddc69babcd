"""Other ways in (domain.md 2.2, 2.5, 2.12): a referral starts what a file's row starts, and the plan's days to answer it.

Dates by hand: Friday 2026-11-20, five business days later without the federal Thanksgiving (Thu 11-26): Mon 11-30.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.core import ObligationState
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    GrantAuthorisation,
)
from domain.episode.closing import CloseEpisode, Decline
from domain.episode.enrolment import Enrol
from domain.episode.facts import AssignmentReceived, ClosureReason
from domain.episode.referrals import (
    AnswerReferral,
    PlanAnswer,
    ReceiveReferral,
    ReferralAnswered,
    ReferralReceived,
    ReferralSource,
    ReferralWithdrawn,
    Urgency,
    WithdrawReferral,
)
from domain.outreach.facts import NewEpisodeProposed
from tests.given import BOSS, EPISODE, LEAD, MEMBER, OFFICE, Story, at

YEAR = "followup-1"
ANSWER, REFUSED = "followup.referral.answer", "followup.referral_denied"
CONTACT = "initial_contact.contact"


def referral(id: str = "r-1", source: ReferralSource = ReferralSource.HOSPITAL, by: str = OFFICE) -> ReceiveReferral:
    return ReceiveReferral(
        stream=EPISODE, by=by, member=MEMBER, plan="default", referral=id, source=source, organisation="Mercy",
        populations=("2a",), referred_by="Dr. Osei", reason="third visit in a month",
    )  # fmt: skip


def referred(starts: str = "2026-11-20 10:00 PST", **said: object) -> Story:
    story = Story(starts)
    story.do(replace(referral(), **said))  # type: ignore[arg-type]
    return story


def answer(said: PlanAnswer, **more: object) -> AnswerReferral:
    return AnswerReferral(stream=EPISODE, by=OFFICE, answer=said, communicated_on=date(2026, 11, 24), **more)  # type: ignore[arg-type]


def test_a_referral_opens_an_episode_with_the_deadline_of_a_files_row_and_asks_the_plan() -> None:
    story = referred()
    (assigned,) = story.facts(AssignmentReceived, EPISODE)
    assert (assigned.received_at, assigned.referral_source) == (at("2026-11-20 10:00 PST"), "hospital")
    assert story.owed(CONTACT).window.due == at("2026-11-30 24:00 PST"), "the ten days, as scenario 11 has them"
    (asked,) = story.facts(AuthorisationRequested, EPISODE)
    assert (asked.request, asked.basis) == ("referral-r-1", AuthorisationBasis.INITIAL)
    owed = story.owed(ANSWER, YEAR)
    assert owed.window.opens == at("2026-11-20 10:00 PST")
    assert owed.window.due == at("2026-11-30 24:00 PST"), "five business days: 23, 24, 25, 27, 30; the 26th is a holiday"


def test_an_expedited_referral_is_answered_within_seventy_two_hours_across_a_weekend() -> None:
    story = referred(urgency=Urgency.EXPEDITED)
    assert story.owed(ANSWER, YEAR).window.due == at("2026-11-23 10:00 PST")


def test_each_plan_has_its_own_days_to_answer() -> None:
    story = Story(
        "2026-11-20 10:00 PST",
        follow_up__authorisation__decided_within_business_days=3,
        follow_up__authorisation__decided_within_hours_expedited=24,
    )
    story.do(referral())
    assert story.owed(ANSWER, YEAR).window.due == at("2026-11-25 24:00 PST")
    urgent = Story("2026-11-20 10:00 PST", follow_up__authorisation__decided_within_hours_expedited=24)
    urgent.do(replace(referral(), urgency=Urgency.EXPEDITED))
    assert urgent.owed(ANSWER, YEAR).window.due == at("2026-11-21 10:00 PST")


def test_the_plan_says_yes_and_the_days_are_authorised() -> None:
    story = referred().on("2026-11-24 15:00 PST")
    story.do(answer(PlanAnswer.APPROVED, number="A-1"))
    (days,) = story.facts(AuthorisationGranted, EPISODE)
    assert (days.first_day, days.last_day, days.number) == (date(2026, 11, 20), date(2027, 11, 19), "A-1")
    assert story.owed(ANSWER, YEAR).state is ObligationState.MET
    assert story.do(answer(PlanAnswer.APPROVED, number="A-1")) == (), "said twice is said once"


def test_the_same_days_in_a_plans_authorisation_file_answer_it_too() -> None:
    story = referred().on("2026-11-24 15:00 PST")
    story.do(GrantAuthorisation(stream=EPISODE, by="source:plan-default", basis=AuthorisationBasis.INITIAL))
    assert story.owed(ANSWER, YEAR).state is ObligationState.MET


def test_a_plan_that_says_nothing_has_missed_its_day_and_may_still_answer() -> None:
    story = referred().on("2026-12-01 09:00 PST")
    assert story.owed(ANSWER, YEAR).state is ObligationState.MISSED
    story.do(replace(answer(PlanAnswer.APPROVED), communicated_on=date(2026, 12, 1)))
    assert story.owed(ANSWER, YEAR).state is ObligationState.MET_LATE


def test_where_the_holidays_are_not_known_so_far_ahead_the_plan_is_asked_by_weekdays() -> None:
    story = Story("2031-11-21 10:00 PST")
    story.do(referral())
    assert story.facts(ReferralReceived, EPISODE)[0].answer_due_at == at("2031-11-28 24:00 PST"), "24, 25, 26, 27, 28"


def test_the_plan_says_no_with_a_reason_and_the_last_day_of_appeal() -> None:
    story = referred().on("2026-11-24 15:00 PST")
    assert story.refused(answer(PlanAnswer.DENIED)) == "reason_missing"
    story.do(answer(PlanAnswer.DENIED, reason="criteria not met", appeal_until=date(2027, 1, 23)))
    (denial,) = story.facts(AuthorisationDenied, EPISODE)
    assert (denial.request, denial.communicated_on, denial.reason) == ("referral-r-1", date(2026, 11, 24), "criteria not met")
    assert story.owed(ANSWER, YEAR).state is ObligationState.MET
    owed = story.owed(REFUSED, YEAR)
    assert owed.how == "the plan said no, appeal until 2027-01-23: decide how to go on"
    assert story.owed(CONTACT).state is ObligationState.OPEN, "care does not stop by itself"
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.NOT_REAUTHORIZED))
    assert story.all_owed(REFUSED, YEAR) == []


def test_an_appeal_that_succeeds_settles_it() -> None:
    story = referred().on("2026-11-24 15:00 PST")
    story.do(answer(PlanAnswer.DENIED, reason="criteria not met"))
    story.on("2026-12-10 10:00 PST")
    story.do(replace(answer(PlanAnswer.APPROVED), communicated_on=date(2026, 12, 10)))
    assert story.all_owed(REFUSED, YEAR) == []
    assert [f.answer for f in story.facts(ReferralAnswered, EPISODE)] == [PlanAnswer.DENIED, PlanAnswer.APPROVED]


def test_a_referral_that_is_taken_back_is_answered_by_nobody() -> None:
    story = referred().on("2026-11-23 09:00 PST")
    story.do(WithdrawReferral(stream=EPISODE, by=OFFICE, reason="sent for another patient"))
    assert story.owed(ANSWER, YEAR).state is ObligationState.WITHDRAWN
    assert len(story.facts(ReferralWithdrawn, EPISODE)) == 1
    assert story.refused(answer(PlanAnswer.APPROVED)) == "referral_missing", "none waits any more"


def test_a_second_referral_is_kept_and_starts_no_second_clock() -> None:
    story = referred().on("2026-11-23 09:00 PST")
    story.do(replace(referral("r-2", ReferralSource.PHYSICIAN), stream=EPISODE))
    first, second = story.facts(ReferralReceived, EPISODE)
    assert (first.repeats, second.repeats, second.answer_due_at) == ("", "r-1", None)
    assert len(story.facts(AuthorisationRequested, EPISODE)) == 1
    assert story.owed(ANSWER, YEAR).window.due == at("2026-11-30 24:00 PST")
    assert story.owed(CONTACT).window.due == at("2026-11-30 24:00 PST")
    assert story.do(referral("r-2", ReferralSource.PHYSICIAN)) == (), "the same referral again is nothing new"


def test_after_a_no_another_referral_asks_the_plan_again() -> None:
    story = referred().on("2026-11-24 15:00 PST")
    story.do(answer(PlanAnswer.DENIED, reason="criteria not met"))
    story.on("2026-12-07 10:00 PST")
    story.do(referral("r-2"))
    (again,) = [o for o in story.all_owed(ANSWER, YEAR) if o.key == "referral_answer/r-2"]
    assert again.window.due == at("2026-12-14 24:00 PST")


def test_who_is_assigned_by_the_plan_already_needs_no_answer() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-23 09:00 PST")
    story.do(replace(referral(), plan="default"))
    (fact,) = story.facts(ReferralReceived, EPISODE)
    assert (fact.answer_due_at, fact.repeats) == (None, "")
    assert story.all_owed(ANSWER, YEAR) == []


def test_a_referral_by_the_plan_itself_asks_nobody() -> None:
    story = referred(source=ReferralSource.PLAN)
    assert story.facts(AuthorisationRequested, EPISODE) == []
    assert story.all_owed(ANSWER, YEAR) == []
    assert story.owed(CONTACT).state is ObligationState.OPEN


def test_an_enrolment_moves_no_day_of_the_plans() -> None:
    story = referred().on("2026-11-23 09:00 PST")
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone"))
    assert story.owed(ANSWER, YEAR).window.due == at("2026-11-30 24:00 PST")


def test_57_the_referral_of_somebody_who_declined_is_offered_and_reopens_nothing() -> None:
    story = Story("2026-10-01 10:00 PDT").assigned().on("2026-10-02 10:00 PDT")
    story.do(Decline(stream=EPISODE, by=LEAD, how="phone"))
    story.on("2026-11-20 10:00 PST")
    story.do(referral())
    (fact,) = story.recorded(ReferralReceived, EPISODE)
    assert [f.cause for f in story.facts(NewEpisodeProposed)] == [fact.event_id]
    assert len(story.facts(AssignmentReceived, EPISODE)) == 1
    assert fact.fact.answer_due_at is None
    assert [o.state for o in story.all_owed("initial_contact")] == [ObligationState.MET, ObligationState.MET], "what ran is over"
    assert story.owed("outreach.review.new_episode").owed_by == BOSS


@pytest.mark.parametrize("by", ["source:mercy", LEAD, BOSS])
def test_a_referral_comes_from_a_feed_or_from_staff(by: str) -> None:
    story = Story("2026-11-20 10:00 PST")
    story.do(referral(by=by))
    assert len(story.facts(ReferralReceived, EPISODE)) == 1


def test_a_referral_of_tomorrow_is_refused() -> None:
    story = Story("2026-11-20 10:00 PST")
    assert story.refused(replace(referral(), occurred_at=at("2026-11-22 10:00 PST"))) == "received_in_the_future"
