"""The year after enrolment as scenarios: domain.md 7, 38, 40 to 42, 44, 45, 65, 69 and 70. Dates are worked out by hand; no test
imports a calendar.

The member is enrolled on Monday, November 2, 2026. Whoever is not homeless is spoken with every 14 days for 60 days, then every 30;
the homeless every 7, then every 14. In 2026 Thanksgiving (a federal holiday) is on November 26, a Thursday.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

from domain.caseload.facts import CaseWeighed
from domain.clocks import DeadlineMissed, DueSet, MissWithdrawn, Variant
from domain.core import Obligation, ObligationState
from domain.episode.assessments import AssessmentBegun, AssessmentCompleted, AssessmentKind
from domain.episode.authorisations import AuthorisationBasis, ConsiderDiscontinuation, GrantAuthorisation, RequestAuthorisation
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanWritten
from domain.episode.closing import CloseEpisode, ReinstateEpisode
from domain.episode.decider import ReapplyPolicy
from domain.episode.enrolment import Enrol, RequestProviderChange, SettleProviderChange
from domain.episode.facts import ClosureReason, EpisodeClosed, MemberEnrolled
from domain.episode.holds import Hold, Resume
from domain.episode.leads import HandOver
from domain.follow_up_policy import (
    Assessment,
    Authorisation,
    Cadence,
    Cap,
    CarePlan,
    Caseload,
    Condition,
    ConditionKind,
    CountedFrom,
    FollowUp,
    InPerson,
    MinimumCount,
    Overlay,
    Phase,
    PhaseAnchor,
    StepUp,
    StepUpAfter,
    TierRule,
    Tiers,
)
from domain.followup.cadence import LINKS_MAX
from domain.followup.decider import (
    AgreeCadence,
    EndCadenceAgreement,
    LiftTierOverride,
    OverrideTier,
    RecordFollowUpAttempt,
    RecordFollowUpContact,
    ReviewFollowUp,
)
from domain.followup.facts import Finding, FollowUpContactMade, FollowUpEnded, FollowUpOpened, TierFound, TierOverridden
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.circumstances import Circumstance, EndCircumstance, NoteCircumstance
from domain.member.decider import OptOut, ReportDeath, WithdrawDeathReport
from domain.member.facts import Channel, DeathReported
from domain.records import ApproveBackdatedRecord, StrikeOutRecord
from domain.rule_shapes import Basis, Warn
from domain.stay.facts import MemberAdmitted, StayClass
from domain.transition.decider import RecordTransitionContact
from tests.given import BOSS, EPISODE, LEAD, MEMBER, NURSE, STAY, TRANSITION, at, varied
from tests.scenarios.hospital_story import HospitalStory

FOLLOWUP = EPISODE.replace("episode", "followup", 1)
CASELOAD = LEAD.replace("staff", "caseload", 1)
OPEN, MET, MISSED = ObligationState.OPEN, ObligationState.MET, ObligationState.MISSED
LATE, WITHDRAWN = ObligationState.MET_LATE, ObligationState.WITHDRAWN
ENROLLED = "2026-11-02 10:00 PST"

HOMELESS = TierRule(key="homeless", tier="high", when=((Condition(kind=ConditionKind.CIRCUMSTANCE, any_of=("homeless",)),),))
FIRST_WEEKS = Phase(anchor=PhaseAnchor.ENROLMENT, from_day=0, until_day=60, every_days={"high": 7, "any": 14})
AFTERWARDS = Phase(anchor=PhaseAnchor.ENROLMENT, from_day=60, until_day=400, every_days={"high": 14, "any": 30})
RENT = Overlay(key="transitional_rent", circumstance="receives_transitional_rent", every_days=7, in_person=True)

CADENCE = Cadence(
    basis=Basis.CALENDAR,
    holiday_calendar="none",
    closes_after_days=20,
    rests_in_hospital=False,
    caregiver_counts=False,
    phase=(FIRST_WEEKS, AFTERWARDS),
    step_up=(StepUp(after=StepUpAfter.ADMISSION, every_days=7, for_days=30),),
    overlay=(RENT,),
)
RULES = FollowUp(
    review_every_days=30,
    provider_change_days=30,
    warn=(Warn(days_before=1, to="owner"),),
    cadence=CADENCE,
    assessment=Assessment(
        questionnaire="ecm-core@1", begin_days=30, complete_days=60, closes_after_days=30, again_days={"high": 90, "any": 180}
    ),
    authorisation=Authorisation(
        first_months=12,
        renewal_months=6,
        streamlined_days=30,
        streamlined_request_business_days_before=5,
        renewal_request_days_before=60,
        carried_over_within_days=90,
        holiday_calendar="federal",
    ),
    tiers=Tiers(order=("high", "low"), otherwise="low", rule=(HOMELESS,)),
)


class FollowedUp(HospitalStory):
    """A member who was enrolled on Monday, November 2."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(ENROLLED, varied(follow_up=varied(RULES, **changes)))

    def on(self, when: str) -> FollowedUp:
        super().on(when)
        return self

    def spoken(
        self, when: str, how: Interaction = Interaction.PHONE, *, with_: SpokenTo = SpokenTo.MEMBER, recorded: str | None = None
    ) -> FollowedUp:
        self.on(recorded or when)
        self.do(RecordFollowUpContact(stream=FOLLOWUP, by=LEAD, occurred_at=at(when), interaction=how, spoken_to=with_))
        return self

    def noted(self, when: str, circumstance: Circumstance) -> FollowedUp:
        self.on(when).do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, learned_from="member"))
        return self

    def over(self, when: str, circumstance: Circumstance) -> FollowedUp:
        self.on(when).do(EndCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance))
        return self

    def contacts(self, rule: str = "followup.contact") -> list[tuple[ObligationState, str]]:
        """The contacts of a rule in order, each with the last day of its due as people say it."""
        return [(o.state, last_day(o)) for o in self.all_owed(rule, FOLLOWUP)]

    def missed(self, rule: str = "followup.contact") -> list[str]:
        """The days whose miss stands: written, and not withdrawn since."""
        stands = [w.missed for w in self.memory.load(FOLLOWUP).state.clocks.written.values() if w.missed is not None]
        return sorted(day_before(miss.due_at) for miss in stands if miss.rule == rule)


def last_day(owed: Obligation) -> str:
    return day_before(owed.window.due)


def day_before(midnight: Any) -> str:
    """A local midnight of November to February as the day that it ends."""
    assert midnight.hour == 8, "midnight in Pacific standard time"
    return date.fromordinal(midnight.toordinal() - 1).strftime("%b %d")


# --- the interval --------------------------------------------------------------------------------------------------------------


def test_the_first_contact_is_due_fourteen_days_after_the_enrolment() -> None:
    told = FollowedUp()
    (owed,) = told.all_owed("followup.contact", FOLLOWUP)
    assert (owed.window.due, owed.state, owed.owed_by) == (at("2026-11-16 24:00 PST"), OPEN, LEAD)
    assert owed.act_by == at("2026-11-16 19:59:59 PST"), "then the member's quiet hours begin"
    assert owed.how == "every 14 days: phase 1, tier low"


def test_an_early_contact_moves_the_next_due_to_count_from_it() -> None:
    """Scenario 42, its first half."""
    told = FollowedUp().spoken("2026-11-10 15:00 PST").on("2026-11-17 09:00 PST")
    assert told.contacts() == [(MET, "Nov 16"), (OPEN, "Nov 24")]
    assert told.facts(DeadlineMissed, FOLLOWUP) == []


def test_a_miss_is_kept_and_the_next_due_is_not_moved_twice() -> None:
    """Scenario 42, its second half: missed on the 16th, made up for on the 18th; from then on the next fourteen days count."""
    told = FollowedUp().on("2026-11-17 09:00 PST")
    assert told.contacts() == [(MISSED, "Nov 16"), (OPEN, "Nov 30")]
    told.spoken("2026-11-18 15:00 PST").on("2026-11-19 09:00 PST")
    assert told.contacts() == [(LATE, "Nov 16"), (MET, "Nov 30"), (OPEN, "Dec 02")]
    assert told.missed() == ["Nov 16"]
    assert [r.occurred_at for r in told.recorded(DeadlineMissed, FOLLOWUP)] == [at("2026-11-16 24:00 PST")]


def test_every_interval_without_a_contact_is_a_miss_of_its_own() -> None:
    told = FollowedUp().on("2027-01-02 09:00 PST")
    assert told.missed() == ["Dec 14", "Dec 28", "Nov 16", "Nov 30"]
    assert told.contacts()[-1] == (OPEN, "Jan 27"), "the second phase began at the end of January 1: December 28 and thirty days"


def test_the_interval_grows_with_the_second_phase_and_nothing_becomes_overdue() -> None:
    """Day 60 is January 1. A contact on December 24 is good for fourteen days, up to January 7; from the 2nd on for thirty."""
    told = FollowedUp()
    for day in ("11-16", "11-30", "12-14", "12-24"):
        told.spoken(f"2026-{day} 12:00 PST")
    assert told.contacts()[-1] == (OPEN, "Jan 23")
    assert told.on("2027-01-22 09:00 PST").missed() == []


def test_an_attempt_moves_no_due_and_a_talk_with_the_ward_neither() -> None:
    told = (
        FollowedUp()
        .spoken("2026-11-10 12:00 PST", with_=SpokenTo.FACILITY)
        .spoken("2026-11-11 12:00 PST", with_=SpokenTo.CAREGIVER)
    )
    told.do(RecordFollowUpAttempt(stream=FOLLOWUP, by=LEAD, interaction=Interaction.PHONE, outcome=AttemptOutcome.NO_ANSWER))
    assert told.contacts() == [(OPEN, "Nov 16")]
    assert told.owed("followup.contact", FOLLOWUP).how.endswith("1 attempts without an exchange")
    caring = FollowedUp(cadence__caregiver_counts=True).spoken("2026-11-11 12:00 PST", with_=SpokenTo.CAREGIVER)
    assert caring.contacts() == [(MET, "Nov 16"), (OPEN, "Nov 25")]


def test_a_talk_after_a_discharge_is_a_contact_too() -> None:
    told = FollowedUp()
    told.admitted("2026-11-04 09:00 PST").discharged("2026-11-05 14:00 PST")
    talk = {"interaction": Interaction.PHONE, "spoken_to": SpokenTo.MEMBER}
    told.on("2026-11-06 11:00 PST").do(RecordTransitionContact(stream=TRANSITION, by=LEAD, **talk))
    assert told.contacts() == [(MET, "Nov 11"), (OPEN, "Nov 13")], "every seven days for thirty days after the admission"


def test_business_days_leave_out_the_holiday() -> None:
    """Ten business days after Monday the 16th: the 17th to the 20th, 23rd to 25th, 27th, 30th and December 1."""
    every_ten = (varied(FIRST_WEEKS, every_days={"any": 10}),)
    told = FollowedUp(cadence__basis=Basis.BUSINESS, cadence__holiday_calendar="federal", cadence__phase=every_ten)
    told.spoken("2026-11-16 12:00 PST")
    assert told.contacts()[-1] == (OPEN, "Dec 01")


# --- tiers ---------------------------------------------------------------------------------------------------------------------


def test_a_rising_tier_takes_the_earlier_due() -> None:
    """Scenario 40: homeless from the 5th on, every seven days from that day: the 12th."""
    told = FollowedUp().noted("2026-11-05 12:00 PST", Circumstance.HOMELESS)
    assert told.contacts() == [(OPEN, "Nov 12")]
    assert [f.tier for f in told.facts(TierFound, FOLLOWUP)] == ["low", "high"]
    assert told.facts(TierFound, FOLLOWUP)[-1].grounds[0].rule == "homeless"


def test_a_tier_that_rises_shortly_before_the_due_leaves_it() -> None:
    assert FollowedUp().noted("2026-11-14 12:00 PST", Circumstance.HOMELESS).contacts() == [(OPEN, "Nov 16")]


def test_a_falling_tier_makes_nothing_overdue() -> None:
    """Due on the 9th while homeless. Housed on the 8th: fourteen days from the enrolment, the 16th."""
    told = FollowedUp().noted("2026-11-02 12:00 PST", Circumstance.HOMELESS)
    assert told.contacts() == [(OPEN, "Nov 09")]
    assert told.over("2026-11-08 12:00 PST", Circumstance.HOMELESS).contacts() == [(OPEN, "Nov 16")]
    assert told.on("2026-11-16 12:00 PST").missed() == []


def test_a_tier_that_fell_after_a_miss_leaves_the_miss() -> None:
    told = FollowedUp().noted("2026-11-02 12:00 PST", Circumstance.HOMELESS).over("2026-11-11 12:00 PST", Circumstance.HOMELESS)
    assert told.contacts() == [(MISSED, "Nov 09"), (OPEN, "Nov 23")], "the 9th and fourteen days"


def test_a_person_says_which_tier_it_is_until_they_take_it_back() -> None:
    told = FollowedUp()
    told.on("2026-11-04 09:00 PST").do(OverrideTier(stream=FOLLOWUP, by=LEAD, tier="high", reason="lives in a car"))
    assert told.contacts() == [(OPEN, "Nov 11")]
    assert [f.tier for f in told.facts(TierFound, FOLLOWUP)] == ["low"], "what the rules find stays beside it"
    told.on("2026-11-06 09:00 PST").do(LiftTierOverride(stream=FOLLOWUP, by=LEAD))
    assert told.contacts() == [(OPEN, "Nov 16")]
    assert told.refused(OverrideTier(stream=FOLLOWUP, by=LEAD, tier="gold", reason="x")) == "unknown_tier"


def test_a_due_names_the_words_that_it_rests_on() -> None:
    told = FollowedUp().on("2026-11-04 09:00 PST")
    told.do(OverrideTier(stream=FOLLOWUP, by=LEAD, tier="high", reason="lives in a car"))
    enrolment, word = told.recorded(MemberEnrolled, EPISODE)[0], told.recorded(TierOverridden, FOLLOWUP)[0]
    assert told.owed("followup.contact", FOLLOWUP).because.facts == (enrolment.event_id, word.event_id)
    told.admitted("2026-11-04 10:00 PST")
    told.do(LiftTierOverride(stream=FOLLOWUP, by=LEAD))
    admission = told.recorded(MemberAdmitted, STAY)[0]
    assert told.owed("followup.contact", FOLLOWUP).because.facts == (enrolment.event_id, admission.event_id)


# --- what the member wants -----------------------------------------------------------------------------------------------------


def test_fewer_contacts_are_agreed_and_the_default_stays_visible() -> None:
    """Scenario 41."""
    told = FollowedUp().on("2026-11-04 09:00 PST")
    told.do(AgreeCadence(stream=FOLLOWUP, by=LEAD, every_days=28, reason="wants to be left alone", wish="call me monthly"))
    (owed,) = told.all_owed("followup.contact", FOLLOWUP)
    assert (last_day(owed), owed.how) == ("Nov 30", "every 28 days: agreed with the member")
    due = told.facts(DueSet, FOLLOWUP)[-1]
    assert due.variants == (Variant("agreed", at("2026-11-30 24:00 PST")), Variant("default", at("2026-11-16 24:00 PST")))
    assert told.on("2026-11-20 09:00 PST").missed() == []
    told.do(EndCadenceAgreement(stream=FOLLOWUP, by=LEAD, reason="wants calls again"))
    assert told.contacts() == [(OPEN, "Nov 30")], "fourteen days from that day would be December 4"


def test_more_contacts_are_agreed() -> None:
    told = FollowedUp().on("2026-11-04 09:00 PST")
    told.do(AgreeCadence(stream=FOLLOWUP, by=LEAD, every_days=5, reason="feels alone"))
    assert told.contacts() == [(OPEN, "Nov 09")]


def test_an_agreement_leaves_the_step_up_and_the_visits() -> None:
    told = FollowedUp().on("2026-11-04 09:00 PST")
    told.do(AgreeCadence(stream=FOLLOWUP, by=LEAD, every_days=28, reason="wants to be left alone"))
    told.admitted("2026-11-05 09:00 PST").noted("2026-11-05 12:00 PST", Circumstance.RECEIVES_TRANSITIONAL_RENT)
    assert told.contacts() == [(OPEN, "Nov 12")]
    assert told.contacts("followup.overlay.transitional_rent") == [(OPEN, "Nov 12")]


def test_nobody_dates_an_agreement_back_to_hide_a_miss() -> None:
    told = FollowedUp().on("2026-11-25 09:00 PST")
    backdated = {"stream": FOLLOWUP, "every_days": 60, "reason": "x", "occurred_at": at("2026-11-03 09:00 PST")}
    assert told.refused(AgreeCadence(by=LEAD, **backdated)) == "dated_back"
    told.do(AgreeCadence(by=BOSS, **backdated))
    assert told.missed() == []


def test_an_opt_out_from_machines_calls_does_not_end_the_talks_of_people() -> None:
    told = FollowedUp().on("2026-11-04 09:00 PST")
    told.do(OptOut(stream=MEMBER, by=LEAD, channel=Channel.CALL))
    assert told.spoken("2026-11-10 12:00 PST").contacts() == [(MET, "Nov 16"), (OPEN, "Nov 24")]


# --- in person -----------------------------------------------------------------------------------------------------------------


def test_transitional_rent_wants_weekly_visits_and_a_call_does_not_do() -> None:
    """Scenario 44: from Tuesday the 3rd on, so by the 10th, whatever was said on the phone."""
    told = FollowedUp().noted("2026-11-03 12:00 PST", Circumstance.RECEIVES_TRANSITIONAL_RENT).spoken("2026-11-09 12:00 PST")
    assert told.contacts("followup.overlay.transitional_rent") == [(OPEN, "Nov 10")]
    told.on("2026-11-11 09:00 PST")
    assert told.contacts("followup.overlay.transitional_rent") == [(MISSED, "Nov 10"), (OPEN, "Nov 17")]
    told.spoken("2026-11-12 12:00 PST", Interaction.IN_PERSON)
    assert told.contacts("followup.overlay.transitional_rent") == [(LATE, "Nov 10"), (MET, "Nov 17"), (OPEN, "Nov 19")]
    told.over("2026-11-15 12:00 PST", Circumstance.RECEIVES_TRANSITIONAL_RENT)
    assert told.contacts("followup.overlay.transitional_rent")[-1] == (WITHDRAWN, "Nov 19")


VISITS = (InPerson(tier="high", count=2, per_days=30), InPerson(tier="low", count=1, per_days=30))


def test_so_many_visits_in_thirty_days() -> None:
    """Days 1 to 30 end on December 2, days 31 to 60 on January 1."""
    told = FollowedUp(cadence__in_person=VISITS)
    assert told.contacts("followup.in_person") == [(OPEN, "Dec 02")]
    told.spoken("2026-11-20 12:00 PST", Interaction.IN_PERSON).spoken("2026-12-01 12:00 PST").on("2027-01-02 09:00 PST")
    assert told.contacts("followup.in_person")[:2] == [(MET, "Dec 02"), (MISSED, "Jan 01")]


def test_a_tier_that_rises_counts_from_the_next_period_and_one_that_falls_at_once() -> None:
    told = FollowedUp(cadence__in_person=VISITS).noted("2026-11-20 12:00 PST", Circumstance.HOMELESS)
    assert told.contacts("followup.in_person") == [(OPEN, "Dec 02")]
    told.on("2026-12-03 09:00 PST")
    assert told.contacts("followup.in_person") == [(MISSED, "Dec 02"), (OPEN, "Jan 01"), (OPEN, "Jan 01")]
    told.over("2026-12-10 09:00 PST", Circumstance.HOMELESS)
    assert told.contacts("followup.in_person") == [(MISSED, "Dec 02"), (OPEN, "Jan 01"), (WITHDRAWN, "Jan 01")]


# --- a least number ------------------------------------------------------------------------------------------------------------


def test_a_least_number_within_days() -> None:
    rule = MinimumCount(count=3, counted_from=CountedFrom.ENROLMENT, within_days=30)
    told = FollowedUp(cadence__phase=(), cadence__minimum_count=rule).spoken("2026-11-05 12:00 PST").spoken("2026-12-02 12:00 PST")
    told.on("2026-12-03 09:00 PST")
    assert told.contacts("followup.minimum") == [(MET, "Dec 02"), (MET, "Dec 02"), (MISSED, "Dec 02")]
    assert told.contacts() == [], "the plan asks for no interval"


def test_a_least_number_after_the_assessment_for_which_the_plan_names_no_day() -> None:
    rule = MinimumCount(count=3, counted_from=CountedFrom.ASSESSMENT, within_days=0)
    told = FollowedUp(cadence__phase=(), cadence__minimum_count=rule).spoken("2026-11-05 12:00 PST")
    assert told.all_owed("followup.minimum", FOLLOWUP) == []
    assessed(told, "2026-11-09 12:00 PST")
    told.spoken("2026-11-20 12:00 PST")
    owed = told.owed("followup.minimum", FOLLOWUP)
    assert (owed.state, owed.how, owed.window.due) == (OPEN, "1 of 3; the plan names no day", at("2026-12-09 12:00 PST"))
    told.do(ReviewFollowUp(stream=FOLLOWUP, by=LEAD, about=owed.key, finding=Finding.GOES_ON))
    assert told.owed("followup.minimum", FOLLOWUP).state is MET, "looked at in these thirty days"
    told.spoken("2026-12-10 12:00 PST").spoken("2027-01-10 12:00 PST")
    owed = told.owed("followup.minimum", FOLLOWUP)
    assert (owed.state, owed.met_at, owed.how) == (MET, at("2027-01-10 12:00 PST"), "3 of 3; the plan names no day")


def assessed(told: FollowedUp, when: str) -> None:
    """An assessment was begun and completed; what it takes to be complete is told elsewhere."""
    told.on(when)
    for fact in (
        AssessmentBegun(assessment="a-1", kind=AssessmentKind.INITIAL, questionnaire="ecm-core@1"),
        AssessmentCompleted(assessment="a-1"),
    ):
        told.memory.keep(EPISODE, fact, at=told.memory.now, by=LEAD)
    told.memory.settle()


# --- hospitals -----------------------------------------------------------------------------------------------------------------


def test_an_admission_steps_the_interval_up() -> None:
    told = FollowedUp()
    told.admitted("2026-11-05 09:00 PST")
    assert told.contacts() == [(OPEN, "Nov 12")]
    assert told.owed("followup.contact", FOLLOWUP).how == "every 7 days: after admission"
    told.admission_cancelled("2026-11-06 09:00 PST")
    assert told.contacts() == [(OPEN, "Nov 16")], "it never was"


def test_an_emergency_visit_is_no_admission() -> None:
    told = FollowedUp()
    told.admitted("2026-11-05 09:00 PST", as_=StayClass.EMERGENCY)
    assert told.contacts() == [(OPEN, "Nov 16")]


def test_after_an_exit_a_phase_of_its_own() -> None:
    after = Phase(anchor=PhaseAnchor.FACILITY_EXIT, from_day=0, until_day=30, every_days={"any": 3})
    told = FollowedUp(cadence__phase=(FIRST_WEEKS, after), cadence__step_up=())
    told.admitted("2026-11-04 09:00 PST", as_=StayClass.NURSING_FACILITY).spoken("2026-11-16 12:00 PST")
    assert told.contacts()[-1] == (OPEN, "Nov 30")
    told.discharged("2026-11-20 14:00 PST")
    assert told.contacts()[-1] == (OPEN, "Nov 23")


def test_the_cadence_rests_in_hospital_where_the_plan_says_so() -> None:
    """Admitted on the 10th, home on the 15th: five days later than the 16th."""
    told = FollowedUp(cadence__rests_in_hospital=True, cadence__step_up=())
    told.admitted("2026-11-10 09:00 PST")
    assert told.owed("followup.contact", FOLLOWUP).suspended
    assert told.owed("followup.rest_in_hospital", FOLLOWUP).owed_by == BOSS
    told.discharged("2026-11-15 14:00 PST")
    assert told.contacts() == [(OPEN, "Nov 21")]
    assert not told.owed("followup.assessment.begin", FOLLOWUP).suspended
    assert last_day(told.owed("followup.assessment.begin", FOLLOWUP)) == "Dec 02", "which does not rest there"


# --- holds, people, machines ---------------------------------------------------------------------------------------------------


def test_a_hold_for_incarceration_rests_everything_until_the_release() -> None:
    """Scenario 69: held on the 6th, released on the 20th: fourteen local days, so the 30th instead of the 16th."""
    told = FollowedUp().on("2026-11-06 09:00 PST")
    told.do(Hold(stream=EPISODE, by=BOSS, reason="incarcerated"))
    told.on("2026-11-18 09:00 PST")
    assert told.owed("followup.contact", FOLLOWUP).suspended
    assert told.missed() == []
    told.on("2026-11-20 09:00 PST").do(Resume(stream=EPISODE, by=BOSS, reason="released"))
    assert told.contacts() == [(OPEN, "Nov 30")]
    assert last_day(told.owed("followup.assessment.begin", FOLLOWUP)) == "Dec 16"


def test_a_hand_over_moves_no_clock() -> None:
    """Scenario 65."""
    told = FollowedUp().on("2026-11-10 09:00 PST")
    before = {o.key: o.window for o in told.plan(FOLLOWUP).obligations}
    told.do(HandOver(stream=EPISODE, by=BOSS, receiver=NURSE))
    after = told.plan(FOLLOWUP).obligations
    assert {o.key: o.window for o in after} == before
    assert {o.owed_by for o in after} == {NURSE}
    assert len([r for r in told.recorded(DueSet, FOLLOWUP) if r.recorded_at >= at("2026-11-10 09:00 PST")]) == 0


def test_a_birthday_and_the_end_of_a_pregnancy_close_nothing() -> None:
    """Scenario 45."""
    told = FollowedUp().noted("2026-11-03 12:00 PST", Circumstance.PREGNANT).over("2026-11-20 12:00 PST", Circumstance.PREGNANT)
    told.on("2026-12-20 09:00 PST")
    assert told.facts(EpisodeClosed, EPISODE) == []
    assert told.contacts()[-1] == (OPEN, "Dec 28")


def test_three_days_asleep_change_no_verdict() -> None:
    awake, asleep = FollowedUp(), FollowedUp()
    awake.on("2026-11-19 09:00 PST")
    asleep.on("2026-11-15 09:00 PST").asleep_until("2026-11-19 09:00 PST").on("2026-11-19 09:00 PST")
    assert asleep.contacts() == awake.contacts() == [(MISSED, "Nov 16"), (OPEN, "Nov 30")]
    for told in (awake, asleep):
        (miss,) = told.recorded(DeadlineMissed, FOLLOWUP)
        assert (miss.occurred_at, miss.fact.late_on_arrival) == (at("2026-11-16 24:00 PST"), False)
        assert sorted(a.recipient for a in told.alerts("deadline_missed", FOLLOWUP)) == [BOSS, LEAD]


# --- what is written down late or wrongly --------------------------------------------------------------------------------------


def test_a_contact_that_is_recorded_late_takes_the_miss_back() -> None:
    told = FollowedUp().on("2026-11-17 09:00 PST")
    assert told.missed() == ["Nov 16"]
    told.spoken("2026-11-15 12:00 PST", recorded="2026-11-17 10:00 PST")
    assert told.contacts() == [(MET, "Nov 16"), (OPEN, "Nov 29")]
    assert told.missed() == [] and told.facts(MissWithdrawn, FOLLOWUP)


def test_beyond_the_grace_it_counts_once_a_supervisor_approves() -> None:
    told = FollowedUp().spoken("2026-11-15 12:00 PST", recorded="2026-11-27 10:00 PST")
    assert told.missed() == ["Nov 16"]
    waits = told.owed("followup.approval", FOLLOWUP)
    assert waits.owed_by == BOSS
    told.do(ApproveBackdatedRecord(stream=FOLLOWUP, by=BOSS, record=waits.because.facts[0]))
    assert told.missed() == [] and told.all_owed("followup.approval", FOLLOWUP) == []


def test_a_contact_that_never_was_is_struck_out() -> None:
    told = FollowedUp().spoken("2026-11-10 12:00 PST").on("2026-11-20 09:00 PST")
    assert told.contacts() == [(MET, "Nov 16"), (OPEN, "Nov 24")]
    (record,) = told.memory.load(FOLLOWUP).state.said
    told.do(StrikeOutRecord(stream=FOLLOWUP, by=LEAD, record=record.event_id, reason="another member"))
    assert told.contacts() == [(MISSED, "Nov 16"), (OPEN, "Nov 30")]


def test_before_the_enrolment_nothing_is_recorded_here() -> None:
    told = FollowedUp()
    early = {"occurred_at": at("2026-11-01 10:00 PST"), "interaction": Interaction.PHONE}
    assert told.refused(RecordFollowUpContact(stream=FOLLOWUP, by=LEAD, **early)) == "not_enrolled"
    voicemail = RecordFollowUpContact(stream=FOLLOWUP, by=LEAD, interaction=Interaction.VOICEMAIL)
    assert told.refused(voicemail) == "no_exchange"


# --- assessment and authorisation ----------------------------------------------------------------------------------------------


def test_the_assessment_is_begun_in_thirty_days_and_complete_in_sixty() -> None:
    """Scenario 38: December 2 and January 1; begun closes only the first."""
    told = FollowedUp()
    begin, complete = told.owed("followup.assessment.begin", FOLLOWUP), told.owed("followup.assessment.complete", FOLLOWUP)
    assert (last_day(begin), last_day(complete)) == ("Dec 02", "Jan 01")
    told.on("2026-11-30 12:00 PST")
    begun = AssessmentBegun(assessment="a-1", kind=AssessmentKind.INITIAL, questionnaire="ecm-core@1")
    told.memory.keep(EPISODE, begun, at=told.memory.now, by=LEAD)
    told.on("2027-01-02 09:00 PST")
    assert told.owed("followup.assessment.begin", FOLLOWUP).state is MET
    assert told.owed("followup.assessment.complete", FOLLOWUP).state is MISSED


def test_the_next_assessment_counts_from_the_completed_one_by_tier() -> None:
    told = FollowedUp()
    assessed(told, "2026-11-20 12:00 PST")
    (again,) = told.all_owed("followup.assessment.again", FOLLOWUP)
    assert again.window.due == at("2027-05-19 23:00 PST"), "180 days: the end of May 19, in summer time"
    told.noted("2026-12-01 12:00 PST", Circumstance.HOMELESS)
    (again,) = told.all_owed("followup.assessment.again", FOLLOWUP)
    assert again.window.due == at("2027-03-01 24:00 PST"), "90 days from the day on which the tier rose"


PLANNING = CarePlan(
    written_within_days=30,
    copy_within_days=14,
    clinical_review_within_days=21,
    closes_after_days=30,
    review_days={"high": 30, "any": 60},
)


def test_a_care_plan_is_written_given_reviewed_and_looked_at_again() -> None:
    """Assessed on the 9th: written by December 9. Written on the 20th: the copy by December 4, the review by the 11th, the next
    look by January 19. A second version on December 1 takes the place of the first."""
    told = FollowedUp(care_plan=PLANNING)
    assert told.all_owed("followup.care_plan", FOLLOWUP) == []
    assessed(told, "2026-11-09 12:00 PST")
    assert told.contacts("followup.care_plan.first") == [(OPEN, "Dec 09")]
    written(told, "2026-11-20 12:00 PST", 1)
    assert told.contacts("followup.care_plan.first") == [(MET, "Dec 09")]
    assert told.contacts("followup.care_plan.copy") == [(OPEN, "Dec 04")]
    assert told.contacts("followup.care_plan.clinical_review") == [(OPEN, "Dec 11")]
    assert told.contacts("followup.care_plan.review") == [(OPEN, "Jan 19")]
    written(told, "2026-12-01 12:00 PST", 2)
    assert told.contacts("followup.care_plan.copy") == [(WITHDRAWN, "Dec 04"), (OPEN, "Dec 15")]
    told.on("2026-12-02 12:00 PST")
    told.memory.keep(EPISODE, CarePlanCopyGiven(version=2, to="member", how="in_person"), at=told.memory.now, by=LEAD)
    told.on("2026-12-23 09:00 PST")
    assert told.contacts("followup.care_plan.copy")[-1] == (MET, "Dec 15")
    assert told.missed("followup.care_plan.clinical_review") == ["Dec 22"]
    assert told.contacts("followup.care_plan.review") == [(MET, "Jan 19"), (OPEN, "Jan 30")]


def written(told: FollowedUp, when: str, version: int) -> None:
    told.on(when)
    plan = CarePlanWritten(version=version, goals=(), tasks=(), member_took_part="in_person")
    told.memory.keep(EPISODE, plan, at=told.memory.now, by=LEAD)
    told.memory.settle()


def test_a_change_of_provider_is_settled_in_thirty_days_and_nothing_rests_meanwhile() -> None:
    """Scenario 67: asked on the 10th, so by December 10; a hold in between moves the contacts and not this."""
    told = FollowedUp().on("2026-11-10 09:00 PST")
    told.do(RequestProviderChange(stream=EPISODE, by=LEAD, reason="wants somebody who speaks Hmong"))
    told.do(Hold(stream=EPISODE, by=BOSS, reason="other"))
    told.on("2026-11-15 09:00 PST").do(Resume(stream=EPISODE, by=BOSS, reason="over"))
    assert told.contacts("followup.provider_change") == [(OPEN, "Dec 10")]
    assert told.contacts() == [(OPEN, "Nov 21")]
    told.do(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="stays"))
    assert told.contacts("followup.provider_change") == [(MET, "Dec 10")]


def test_sixty_days_before_the_authorisation_ends_both_are_asked_for() -> None:
    """Scenario 70: January 31 is 60 days after December 2."""
    told = FollowedUp()
    told.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.INITIAL, first_day=date(2026, 11, 2),
                               last_day=date(2027, 1, 31)))  # fmt: skip
    renewal, consider = (told.owed(f"followup.authorisation.{rule}", FOLLOWUP) for rule in ("renewal_request", "discontinuation"))
    assert (last_day(renewal), last_day(consider), renewal.state) == ("Dec 02", "Dec 02", OPEN)
    told.on("2026-12-01 09:00 PST").do(ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="continue"))
    told.do(RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.RENEWAL))
    told.on("2027-02-02 09:00 PST")
    assert {o.state for o in told.all_owed("followup.authorisation", FOLLOWUP)} == {MET}
    lapsed = told.owed("followup.authorisation_lapsed", FOLLOWUP)
    assert (lapsed.window.opens, lapsed.owed_by) == (at("2027-01-31 24:00 PST"), BOSS)
    assert told.facts(EpisodeClosed, EPISODE) == [] and told.contacts()[-1][0] is OPEN, "a lapse ends nothing"


def test_a_streamlined_authorisation_asks_for_its_request_five_business_days_before_its_end() -> None:
    """Its thirty days end on Friday, December 4; the 3rd, 2nd, 1st, November 30 and, after the holiday, the 27th."""
    told = FollowedUp()
    told.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.STREAMLINED, first_day=date(2026, 11, 5),
                               last_day=date(2026, 12, 4)))  # fmt: skip
    assert told.contacts("followup.authorisation.streamlined_request") == [(OPEN, "Nov 27")]
    told.on("2026-11-27 12:00 PST").do(RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.INITIAL))
    assert told.contacts("followup.authorisation.streamlined_request") == [(MET, "Nov 27")]


# --- the beginning and what is undone ------------------------------------------------------------------------------------------


def test_the_year_opens_with_the_assignment_and_chooses_its_policy_with_the_enrolment() -> None:
    told = HospitalStory("2026-10-26 10:00 PDT", varied(follow_up=RULES), enrolled=False)
    (opened,) = told.facts(FollowUpOpened, FOLLOWUP)
    assert opened.since == at("2026-10-26 10:00 PDT")
    assert told.plan(FOLLOWUP).done, "nothing is owed before the enrolment"
    told.on("2026-11-02 10:00 PST").do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    assert told.facts(FollowUpOpened, FOLLOWUP)[-1].since == at(ENROLLED)
    assert not told.plan(FOLLOWUP).done


def test_undone_steps_of_the_enrolment_are_in_sight() -> None:
    told = FollowedUp()
    undone = told.owed("followup.enrolment_steps", FOLLOWUP)
    assert undone.how == "undone: screening, assessment, agreement_documents, first_appointment"


def test_a_long_silence_is_handed_to_the_supervisor() -> None:
    """Thirteen intervals without a word: nobody counts on, somebody decides."""
    weekly = (varied(FIRST_WEEKS, until_day=400, every_days={"any": 7}),)
    told = FollowedUp(cadence__phase=weekly).on("2027-02-02 09:00 PST")
    assert len(told.missed()) == 13 and told.contacts()[-1] == (MISSED, "Feb 01")
    silence = told.owed("followup.silence", FOLLOWUP)
    assert (silence.owed_by, silence.how) == (BOSS, "no contact in 13 intervals: decide how to go on")
    told.spoken("2027-02-05 12:00 PST")
    assert told.contacts()[-1] == (OPEN, "Feb 12") and told.all_owed("followup.silence", FOLLOWUP) == []


# --- rules that change, and the caseload ---------------------------------------------------------------------------------------


def test_a_policy_that_is_reapplied_moves_what_is_open() -> None:
    """Every ten days instead of fourteen, from the word on the 4th: the 14th. A policy that is only adopted moves nothing."""
    told = FollowedUp()
    quicker = varied(
        told.policy, version="2026.9", effective_on=date(2026, 11, 3), follow_up__cadence__phase__0__every_days={"any": 10}
    )
    told.memory.book = told.memory.book.with_adopted(quicker)
    told.on("2026-11-04 09:00 PST")
    assert told.contacts() == [(OPEN, "Nov 16")]
    told.do(ReapplyPolicy(stream=EPISODE, by=BOSS, policy=quicker.id, reason="the plan insists"))
    assert told.contacts() == [(OPEN, "Nov 14")]
    told.spoken("2026-11-09 12:00 PST")
    assert told.contacts() == [(MET, "Nov 14"), (OPEN, "Nov 19")]
    assert {o.because.policy for o in told.all_owed("followup.contact", FOLLOWUP)[1:]} == {quicker.id}


CASES = Caseload(
    full_time_tenths=600,
    cap=Cap.SOFT,
    weight_tenths={"high": 30, "low": 10},
    not_enrolled_tenths=3,
    transition_tenths=15,
    transition_days=30,
    overlay_tenths={"transitional_rent": 10},
)


def test_the_case_weighs_on_its_care_manager_what_the_policy_says() -> None:
    """Before the enrolment 0.3; then 1.0; homeless 3.0; with Transitional Rent 4.0; after a discharge 1.5 more for thirty days."""
    told = HospitalStory(ENROLLED, varied(follow_up=RULES, caseload=CASES))
    weighs = [f.weight_tenths for f in told.facts(CaseWeighed, CASELOAD)]
    assert weighs[-1] == 10
    told.on("2026-11-03 12:00 PST").do(
        NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.HOMELESS, learned_from="member")
    )
    told.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.RECEIVES_TRANSITIONAL_RENT, learned_from="member"))
    told.admitted("2026-11-04 09:00 PST").discharged("2026-11-05 14:00 PST").on("2026-12-06 09:00 PST")
    weighs = [f.weight_tenths for f in told.facts(CaseWeighed, CASELOAD)]
    assert weighs[-4:] == [30, 40, 55, 40]
    over = told.recorded(CaseWeighed, CASELOAD)[-1]
    assert over.occurred_at == at("2026-12-05 24:00 PST"), "the thirtieth day after November 5 is over"


# --- the end -------------------------------------------------------------------------------------------------------------------


def test_a_closure_withdraws_what_is_open_and_leaves_what_was_missed() -> None:
    told = FollowedUp().on("2026-11-18 09:00 PST")
    told.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.MEMBER_WITHDREW))
    assert told.contacts() == [(MISSED, "Nov 16"), (WITHDRAWN, "Nov 30")]
    assert told.plan(FOLLOWUP).done
    assert told.facts(FollowUpEnded, FOLLOWUP)[-1].reason == "closed_member_withdrew"
    told.on("2026-11-21 09:00 PST").do(ReinstateEpisode(stream=EPISODE, by=BOSS, reason="another member"))
    assert told.contacts() == [(MISSED, "Nov 16"), (OPEN, "Dec 03")], "three days more, for three days of a mistake"


def test_a_death_stops_everything_and_its_correction_brings_it_back() -> None:
    told = FollowedUp().on("2026-11-10 09:00 PST")
    told.do(ReportDeath(stream=MEMBER, by=LEAD, source="family"))
    assert told.contacts() == [(WITHDRAWN, "Nov 16")]
    report = told.recorded(DeathReported, MEMBER)[0].event_id
    told.on("2026-11-12 09:00 PST").do(WithdrawDeathReport(stream=MEMBER, by=BOSS, report=report, reason="mistaken identity"))
    assert told.contacts() == [(OPEN, "Nov 18")]


# --- limits --------------------------------------------------------------------------------------------------------------------


def test_a_year_of_daily_contacts_is_planned_at_once() -> None:
    told = FollowedUp()
    for day in range(1, 365):
        spoken_at = told.memory.now = at("2026-11-02 12:00 PST") + timedelta(days=day)
        contact = FollowUpContactMade(member=MEMBER, interaction=Interaction.PHONE, spoken_to=SpokenTo.MEMBER)
        told.memory.keep(FOLLOWUP, contact, at=spoken_at, by=LEAD)
    told.memory.settle()
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        plan = told.plan(FOLLOWUP)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.05, took
    assert len([o for o in plan.obligations if o.because.rule == "followup.contact"]) == LINKS_MAX
    assert len(plan.obligations) < 80
