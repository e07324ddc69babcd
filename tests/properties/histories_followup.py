"""Histories of a member's year after the enrolment: what everybody says of them, and the policies that ask for something.

Tier rules and numbers are small, so that a history of a few weeks crosses phases, periods and reviews; some last more than a year.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from domain.episode.assessments import AssessmentAbandoned, AssessmentAnswered, AssessmentBegun, AssessmentCompleted, AssessmentKind
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    DiscontinuationConsidered,
)
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten, Goal
from domain.episode.enrolment import (
    Conflict,
    ConflictRaised,
    ConflictSettled,
    EnrolmentStep,
    EnrolmentStepDone,
    PlanTierReported,
    ProviderChangeRequested,
    ProviderChangeSettled,
    ScreeningAnswered,
)
from domain.episode.facts import (
    ClosureReason,
    EpisodeClosed,
    EpisodeReinstated,
    LeadCareManagerHandedOver,
    LeadCareManagerReleased,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.episode.referrals import PlanAnswer, ReferralAnswered, ReferralReceived, ReferralSource, ReferralWithdrawn
from domain.follow_up_policy import (
    ANY_TIER,
    Assessment,
    Authorisation,
    Cadence,
    CarePlan,
    Condition,
    ConditionKind,
    CountedFrom,
    FollowUp,
    InPerson,
    Launch,
    MinimumCount,
    Overlay,
    Phase,
    PhaseAnchor,
    Population,
    StepUp,
    StepUpAfter,
    TierRule,
    Tiers,
)
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    CadenceAgreementEnded,
    Finding,
    FollowUpAttemptMade,
    FollowUpContactMade,
    FollowUpReviewed,
    PopulationConfirmed,
    PopulationRejected,
    ReferralProposalDismissed,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.circumstances import (
    Circumstance,
    CircumstanceEnded,
    CircumstanceNoted,
    CountyLearned,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    VisitJudged,
    VisitKind,
    VisitReported,
)
from domain.member.facts import Channel, DeathReported, StayAttributed
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.policy import Policy
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.rule_shapes import Basis, Warn
from domain.staff.facts import AbsenceAnnounced, Licence
from domain.stay.facts import AdmissionCancelled, MemberAdmitted, StayClass
from domain.transition.facts import TransitionContactMade
from tests.given import BOSS, EPISODE, LEAD, MEMBER, NURSE, OUTREACH, TRANSITION, Told, varied
from tests.properties.histories import (
    ANSWERS,
    DAY,
    FEATURES,
    NEVER,
    PACIFIC,
    SHORT,
    Draft,
    History,
    a_death,
    a_hold,
    a_stay,
    admitted,
    away,
    beginning,
    coverage_lost,
    features,
    local,
    policies,
    source_of,
)

# --- policies ------------------------------------------------------------------------------------------------------------------

FOLLOWUP = "followup-1"
HIGH, LOW, STEADY = "high", "low", "steady"


def _when(kind: ConditionKind, *any_of: str, **limits: int) -> tuple[tuple[Condition, ...], ...]:
    return ((Condition(kind=kind, any_of=any_of, **limits),),)


TIERS = Tiers(
    order=(HIGH, STEADY, LOW),
    otherwise=LOW,
    rule=(
        TierRule(key="homeless", tier=HIGH, when=_when(ConditionKind.CIRCUMSTANCE, "homeless")),
        TierRule(key="the_plan_says_so", tier=HIGH, when=_when(ConditionKind.PLAN_TIER, "1")),
        TierRule(
            key="often_in_hospital",
            tier=HIGH,
            when=_when(ConditionKind.VISITS, "emergency", "inpatient", at_least=2, within_days=30),
        ),
        TierRule(key="heart_failure", tier=STEADY, when=_when(ConditionKind.DIAGNOSIS, "heart_failure")),
        TierRule(key="screened", tier=STEADY, when=_when(ConditionKind.SCREENING, "short", at_least=8)),
        TierRule(key="pregnant", tier=STEADY, when=_when(ConditionKind.CIRCUMSTANCE, "pregnant", within_days=20)),
    ),
)
GROUPS = {"heart_failure": ("I50",)}
POPULATION = Population(
    key="homeless_adults",
    code="1a",
    launch=(Launch(county="every", on=date(2026, 1, 1)), Launch(county="orange", on=date(2026, 11, 15))),
    when=_when(ConditionKind.CIRCUMSTANCE, "homeless"),
)


OFTEN = Population(
    key="avoidable_use",
    code="2a",
    launch=(Launch(county="every", on=date(2026, 1, 1)),),
    when=_when(ConditionKind.AVOIDABLE_VISITS, "emergency", "inpatient", at_least=2, within_days=30),
)


def phase(until_day: int, every: int | dict[str, int], from_day: int = 0, anchor: PhaseAnchor = PhaseAnchor.ENROLMENT) -> Phase:
    every_days = {ANY_TIER: every} if isinstance(every, int) else every
    return Phase(anchor=anchor, from_day=from_day, until_day=until_day, every_days=every_days)


CADENCE = Cadence(
    basis=Basis.CALENDAR,
    holiday_calendar="none",
    closes_after_days=30,
    rests_in_hospital=False,
    caregiver_counts=False,
    phase=(phase(30, {HIGH: 7, STEADY: 14, LOW: 20}), phase(3660, {HIGH: 14, STEADY: 20, LOW: 30}, from_day=30)),
)
PLAIN = FollowUp(
    review_every_days=30, provider_change_days=30, warn=(Warn(days_before=2, to="owner"),), cadence=CADENCE, tiers=TIERS
)
AT_HOME = Overlay(key="transitional_rent", circumstance="receives_transitional_rent", every_days=14, in_person=True)
ASSESSMENT = Assessment(
    questionnaire="core", begin_days=10, complete_days=20, closes_after_days=15, again_days={HIGH: 25, STEADY: 40}
)
CARE_PLAN = CarePlan(
    written_within_days=10,
    copy_within_days=7,
    clinical_review_within_days=14,
    closes_after_days=20,
    review_days={HIGH: 15, ANY_TIER: 40},
)
AUTHORISATION = Authorisation(
    first_months=12,
    renewal_months=6,
    streamlined_days=30,
    streamlined_request_business_days_before=5,
    renewal_request_days_before=60,
    carried_over_within_days=90,
    holiday_calendar="federal",
)


def _cadence(**changes: Any) -> FollowUp:
    return replace(PLAIN, cadence=replace(CADENCE, **changes))


FOLLOW_UPS: tuple[FollowUp, ...] = (
    PLAIN,
    _cadence(
        step_up=(
            StepUp(after=StepUpAfter.ADMISSION, every_days=5, for_days=10),
            StepUp(after=StepUpAfter.DISCHARGE, every_days=4, for_days=20),
            StepUp(after=StepUpAfter.EMERGENCY, every_days=3, for_days=6),
        ),
        caregiver_counts=True,
    ),
    _cadence(
        rests_in_hospital=True,
        closes_after_days=0,
        overlay=(AT_HOME,),
        phase=(phase(25, 15), phase(45, {HIGH: 6, ANY_TIER: 9}, from_day=25), phase(3660, 25, from_day=50)),
    ),
    _cadence(
        basis=Basis.BUSINESS,
        holiday_calendar="federal",
        phase=(phase(20, 3), phase(80, {HIGH: 5, ANY_TIER: 10}, from_day=20), phase(3660, 15, from_day=80)),
    ),
    _cadence(
        phase=(phase(3660, 25), phase(30, 6, anchor=PhaseAnchor.FACILITY_EXIT)),
        in_person=(InPerson(tier=HIGH, count=2, per_days=30), InPerson(tier=ANY_TIER, count=1, per_days=45)),
    ),
    replace(
        _cadence(phase=(), minimum_count=MinimumCount(count=3, counted_from=CountedFrom.ENROLMENT, within_days=30)), tiers=None
    ),
    replace(
        _cadence(phase=(), minimum_count=MinimumCount(count=2, counted_from=CountedFrom.ASSESSMENT, within_days=0)),
        tiers=None,
        assessment=ASSESSMENT,
    ),
    replace(
        _cadence(phase=(phase(3660, 30),), overlay=(replace(AT_HOME, in_person=False),)),
        assessment=ASSESSMENT,
        care_plan=CARE_PLAN,
        authorisation=AUTHORISATION,
    ),
    replace(_cadence(phase=(phase(60, 10),)), assessment=replace(ASSESSMENT, again_days={}), care_plan=CARE_PLAN, tiers=None),
)
SELDOM = _cadence(phase=(phase(90, {HIGH: 20, ANY_TIER: 30}), phase(3660, 60, from_day=90)), closes_after_days=20)
"""For histories of more than a year: what the laws say of ten intervals they say of fifty, and sooner."""

WHOLE_YEAR = (
    SELDOM,
    replace(
        SELDOM,
        assessment=replace(ASSESSMENT, again_days={ANY_TIER: 90}),
        authorisation=AUTHORISATION,
        care_plan=replace(CARE_PLAN, review_days={ANY_TIER: 120}),
    ),
)


def policy_of(follow_up: FollowUp) -> Policy:
    changes: dict[str, Any] = {**SHORT, "follow_up": follow_up, "diagnosis_groups": GROUPS, "population": (POPULATION, OFTEN)}
    return varied(**changes)


POLICIES = tuple(policy_of(follow_up) for follow_up in FOLLOW_UPS)
POLICIES_OF_CARE = tuple(p for p in POLICIES if p.follow_up is not None and p.follow_up.assessment is not None)
POLICIES_OF_A_YEAR = tuple(policy_of(follow_up) for follow_up in WHOLE_YEAR)

# --- contacts ------------------------------------------------------------------------------------------------------------------

LIVE = (Interaction.IN_PERSON, Interaction.PHONE, Interaction.VIDEO)


def _settled(d: Draft, record: Told, stream: str) -> None:
    """What becomes of a record afterwards: approved or rejected where it waits for that, now and then struck out."""
    if getattr(record.fact, "approval_needed", False):
        verdict = BackdatedRecordRejected if d.draw(st.integers(1, 3)) == 1 else BackdatedRecordApproved
        d.add(stream, verdict(record=record.id or "", reason="paper log"), after=record.recorded_at)
    if d.draw(st.integers(1, 6)) == 1:
        d.add(stream, RecordStruckOut(record=record.id or "", reason="another member"), after=record.recorded_at)


def a_contact(d: Draft) -> None:
    interaction = d.draw(st.sampled_from((*LIVE, Interaction.PHONE, Interaction.IN_PERSON, *tuple(Interaction))))
    spoken_to = d.draw(st.sampled_from((SpokenTo.MEMBER, SpokenTo.MEMBER, SpokenTo.MEMBER, *tuple(SpokenTo))))
    needs = d.draw(st.integers(1, 7)) == 1
    fact = FollowUpContactMade(member=MEMBER, interaction=interaction, spoken_to=spoken_to, approval_needed=needs)
    record = d.add(FOLLOWUP, fact)
    d.again()
    _settled(d, record, FOLLOWUP)


def contacts_as_they_should_be(d: Draft) -> None:
    """Every so many days, most of them in time."""
    every, interaction = (
        d.draw(st.sampled_from((4, 7, 13, 20))),
        d.draw(st.sampled_from((Interaction.PHONE, Interaction.IN_PERSON))),
    )
    day = d.day
    for _ in range(d.draw(st.integers(2, 6))):
        day += (every + d.draw(st.integers(-2, 2))) * DAY
        if day > d.day + d.days_max * DAY:
            return
        fact = FollowUpContactMade(member=MEMBER, interaction=interaction, spoken_to=SpokenTo.MEMBER, minutes=20)
        d.add(FOLLOWUP, fact, local(day, d.draw(st.sampled_from((9, 15, 23.75)))))


def an_attempt(d: Draft) -> None:
    interaction = d.draw(st.sampled_from(tuple(Interaction)))
    fact = FollowUpAttemptMade(member=MEMBER, interaction=interaction, outcome=d.draw(st.sampled_from(tuple(AttemptOutcome))))
    d.add(FOLLOWUP, fact)


def a_contact_of_outreach(d: Draft) -> None:
    """Outreach had a talk with the member, on the day of the enrolment or whenever."""
    at = d.draw(st.sampled_from((None, *(f.at for f in d.facts if isinstance(f.fact, MemberEnrolled)))))
    talks = (
        ContactMade(member=MEMBER, channel=Channel.CALL),
        ContactMade(member=MEMBER, channel=Channel.VISIT, in_person=True),
        AttemptMade(member=MEMBER, channel=Channel.CALL, outcome=Outcome.REACHED),
        AttemptMade(member=MEMBER, channel=Channel.VISIT, outcome=Outcome.NO_ANSWER, in_person=True),
    )
    d.add(OUTREACH, d.draw(st.sampled_from(talks)), at)


def a_contact_of_a_transition(d: Draft) -> None:
    if any(f.stream.startswith("stay-") for f in d.facts):
        interaction = d.draw(st.sampled_from((*LIVE, Interaction.VOICEMAIL)))
        spoken_to = d.draw(st.sampled_from((SpokenTo.MEMBER, SpokenTo.MEMBER, SpokenTo.FACILITY)))
        d.add(TRANSITION, TransitionContactMade(member=MEMBER, interaction=interaction, spoken_to=spoken_to))


# --- tier and cadence ----------------------------------------------------------------------------------------------------------


def a_circumstance(d: Draft) -> None:
    known = (Circumstance.HOMELESS, Circumstance.HOMELESS, Circumstance.PREGNANT, Circumstance.FOOD_INSECURE)
    _for_a_time(d, d.draw(st.sampled_from(known)))


def transitional_rent(d: Draft) -> None:
    _for_a_time(d, Circumstance.RECEIVES_TRANSITIONAL_RENT)


def _for_a_time(d: Draft, circumstance: Circumstance) -> None:
    since, until = d.two_moments()
    d.add(MEMBER, CircumstanceNoted(circumstance=circumstance, learned_from="staff"), since)
    d.again()
    if d.draw(st.integers(1, 3)) > 1:
        d.add(MEMBER, CircumstanceEnded(circumstance=circumstance), until)


def a_diagnosis(d: Draft) -> None:
    since, until = d.two_moments()
    code = d.draw(st.sampled_from(("I50.9", "I509", "E11.9")))
    d.add(MEMBER, DiagnosisRecorded(code=code, learned_from="plan_file"), since)
    if d.draw(st.booleans()):
        d.add(MEMBER, DiagnosisRuledOut(code=code), until)


def the_plans_tier(d: Draft) -> None:
    d.add(EPISODE, PlanTierReported(tier=d.draw(st.sampled_from(("1", "2", "3")))))


def a_screening(d: Draft) -> None:
    scores = d.draw(st.sampled_from(((2, 3), (4, 4), (9, 0))))
    d.add(EPISODE, ScreeningAnswered(questionnaire="short", questions=("mood", "sleep"), scores=scores))


def visits_by_claims(d: Draft) -> None:
    for n in range(d.draw(st.integers(1, 3))):
        at = d.moment()
        kind, visit = d.draw(st.sampled_from((VisitKind.EMERGENCY, VisitKind.INPATIENT))), f"visit-{len(d.facts)}-{n}"
        on = at.astimezone(PACIFIC).date() - d.draw(st.sampled_from((0, 0, 3, 20))) * DAY
        d.add(MEMBER, VisitReported(visit=visit, kind=kind, on=on, learned_from="plan_file"), at)


def often_in_hospital(d: Draft) -> None:
    """Visits close to each other, of which somebody says later whether they could have been avoided; or does not."""
    since, later = d.two_moments()
    for n in range(d.draw(st.integers(2, 4))):
        visit, on = f"often-{len(d.facts)}-{n}", since.astimezone(PACIFIC).date() - n * DAY
        d.add(MEMBER, VisitReported(visit=visit, kind=VisitKind.EMERGENCY, on=on, learned_from="plan_file"), since)
        if d.draw(st.integers(1, 3)) > 1:
            d.add(MEMBER, VisitJudged(visit=visit, avoidable=d.draw(st.integers(1, 4)) > 1, reason="seen"), later)
    if d.draw(st.integers(1, 4)) == 1:
        d.add(FOLLOWUP, ReferralProposalDismissed(population=OFTEN.key, reason="has a clinic now"), later + DAY)


def a_referral(d: Draft) -> None:
    """The plan has some days to answer, and does, or does not."""
    at, later = d.two_moments()
    name, due_at = f"referral-{len(d.facts)}", at + d.draw(st.sampled_from((1, 3, 10))) * DAY
    received = ReferralReceived(
        referral=name, source=ReferralSource.PHYSICIAN, answer_due_at=due_at, policy="default@2026.1"
    )  # fmt: skip
    d.add(EPISODE, received, at)
    day = later.astimezone(PACIFIC).date()
    match d.draw(st.integers(1, 4)):
        case 1:
            d.add(EPISODE, ReferralAnswered(referral=name, answer=PlanAnswer.APPROVED, communicated_on=day), later)
        case 2:
            d.add(EPISODE, ReferralAnswered(referral=name, answer=PlanAnswer.DENIED, communicated_on=day, reason="criteria"), later)
        case 3:
            d.add(EPISODE, ReferralWithdrawn(referral=name, reason="by mistake"), later)
        case _:
            pass


def a_tier_overridden(d: Draft) -> None:
    since, until = d.two_moments()
    d.add(FOLLOWUP, TierOverridden(tier=d.draw(st.sampled_from((HIGH, LOW, STEADY, NO_TIER))), reason="knows her well"), since)
    if d.draw(st.booleans()):
        d.add(FOLLOWUP, TierOverrideLifted(reason="found out"), until)


def a_wish(d: Draft) -> None:
    """The member wants fewer or more contacts, for a time."""
    since, until = d.two_moments()
    d.add(FOLLOWUP, CadenceAgreed(every_days=d.draw(st.sampled_from((6, 12, 45))), reason="asked"), since)
    if d.draw(st.booleans()):
        d.add(FOLLOWUP, CadenceAgreementEnded(reason="asked again"), until)


def a_county(d: Draft) -> None:
    d.add(MEMBER, CountyLearned(county=d.draw(st.sampled_from(("orange", "kern"))), learned_from="member"))


def a_population_settled(d: Draft) -> None:
    made = d.draw(st.sampled_from((PopulationConfirmed, PopulationRejected)))
    d.add(FOLLOWUP, made(population=POPULATION.key, reason="seen"))


# --- assessment, care plan, authorisation --------------------------------------------------------------------------------------


def an_assessment(d: Draft) -> None:
    since, until = d.two_moments()
    name, kind = f"assessment-{len(d.facts)}", d.draw(st.sampled_from(tuple(AssessmentKind)))
    d.add(EPISODE, AssessmentBegun(assessment=name, kind=kind, questionnaire="core@1"), since)
    if d.draw(st.booleans()):
        d.add(EPISODE, AssessmentAnswered(assessment=name, questions=("housing",)), since + timedelta(hours=1))
    match d.draw(st.integers(1, 4)):
        case 1:
            d.add(EPISODE, AssessmentAbandoned(assessment=name, reason="broke off"), until)
        case 2 | 3:
            d.add(EPISODE, AssessmentCompleted(assessment=name), until)
        case _:
            pass


def an_assessment_in_time(d: Draft) -> None:
    day = d.day + d.draw(st.integers(1, 15)) * DAY
    d.add(EPISODE, AssessmentBegun(assessment="first", kind=AssessmentKind.INITIAL, questionnaire="core@1"), local(day, 9))
    d.add(EPISODE, AssessmentCompleted(assessment="first"), local(day + d.draw(st.integers(0, 6)) * DAY, 12))


def a_care_plan(d: Draft) -> None:
    version = 1 + sum(isinstance(f.fact, CarePlanWritten) for f in d.facts)
    since, until = d.two_moments()
    goals = (Goal(goal="g1", topic="housing"),)
    d.add(EPISODE, CarePlanWritten(version=version, goals=goals, tasks=(), member_took_part="phone"), since)
    if d.draw(st.booleans()):
        to = d.draw(st.sampled_from(("member", "member", "guardian", "plan")))
        d.add(EPISODE, CarePlanCopyGiven(version=version, to=to, how="by hand"), until)
    if d.draw(st.booleans()):
        outcome = d.draw(st.sampled_from(("agreed", "agreed", "changes_wanted")))
        d.add(EPISODE, CarePlanReviewed(version=version, outcome=outcome, licence=Licence.RN), until)


def an_authorisation(d: Draft) -> None:
    """Granted on a day, for a time from then on, and perhaps asked for again."""
    at, later = d.two_moments()
    first_day = at.astimezone(PACIFIC).date()
    basis, days = d.draw(
        st.sampled_from(((AuthorisationBasis.INITIAL, 365), (AuthorisationBasis.STREAMLINED, 29), (AuthorisationBasis.RENEWAL, 90)))
    )
    name, last_day = f"authorisation-{len(d.facts)}", first_day + days * DAY
    granted = AuthorisationGranted(authorisation=name, basis=basis, first_day=first_day, last_day=last_day)
    d.add(EPISODE, granted, at)
    match d.draw(st.integers(1, 3)):
        case 1:
            asked = AuthorisationRequested(request=f"{name}-again", basis=AuthorisationBasis.RENEWAL, following=name)
            d.add(EPISODE, asked, later)
            if d.draw(st.booleans()):
                said_no = AuthorisationDenied(request=f"{name}-again", communicated_on=later.astimezone(PACIFIC).date() + DAY)
                d.add(EPISODE, said_no, later + DAY)
        case 2:
            d.add(EPISODE, DiscontinuationConsidered(outcome="continue"), later)
        case _:
            pass


def a_conflict(d: Draft) -> None:
    since, until = d.two_moments()
    conflict = d.draw(st.sampled_from(tuple(Conflict)))
    raised = d.add(EPISODE, ConflictRaised(conflict=conflict, programme="hospice"), since)
    if d.draw(st.booleans()):
        d.add(EPISODE, ConflictSettled(raised=raised.id or "", outcome="ours"), until)


def another_provider(d: Draft) -> None:
    since, until = d.two_moments()
    asked = d.add(EPISODE, ProviderChangeRequested(), since)
    if d.draw(st.integers(1, 3)) > 1:
        outcome = d.draw(st.sampled_from(("changed", "stays", "withdrawn")))
        d.add(EPISODE, ProviderChangeSettled(requested=asked.id or "", outcome=outcome), until)


def an_enrolment_step(d: Draft) -> None:
    d.add(EPISODE, EnrolmentStepDone(step=d.draw(st.sampled_from(tuple(EnrolmentStep))), how="in_person"))


# --- whose member it is, and whether anything goes on --------------------------------------------------------------------------


def a_hand_over(d: Draft) -> None:
    d.add(EPISODE, LeadCareManagerHandedOver(member=MEMBER, giver=LEAD, receiver=NURSE))


def a_release(d: Draft) -> None:
    d.add(EPISODE, LeadCareManagerReleased(staff=LEAD, reason="leaves"))


def long_away(d: Draft) -> None:
    first = d.day + d.draw(st.integers(0, d.days_max)) * DAY
    d.add(d.draw(st.sampled_from((LEAD, BOSS))), AbsenceAnnounced(first_day=first, last_day=first + 20 * DAY), local(d.day, 12))


def closed(d: Draft) -> None:
    since, until = d.two_moments()
    reasons = (ClosureReason.MEMBER_WITHDREW, ClosureReason.GOALS_MET, ClosureReason.OTHER, ClosureReason.DECEASED)
    d.add(EPISODE, EpisodeClosed(reason=d.draw(st.sampled_from(reasons))), since)
    if d.draw(st.booleans()):
        d.add(EPISODE, EpisodeReinstated(reason="by mistake"), until)


def re_applied(d: Draft) -> None:
    d.add(EPISODE, PolicyReapplied(policy=d.draw(st.sampled_from(("default@2026.1", "default@2026.2"))), reason="asked"))


def enrolled(d: Draft) -> None:
    """The word of the enrolment arrives like any other."""
    d.add(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), local(d.day + d.draw(st.integers(0, 9)) * DAY, 11))


def a_look(d: Draft) -> None:
    finding = d.draw(st.sampled_from(tuple(Finding)))
    about = d.draw(st.sampled_from(("minimum_count", "conflict", *(f.id or "" for f in d.facts[-2:]))))
    d.add(FOLLOWUP, FollowUpReviewed(about=about, finding=finding))


def a_stay_of_theirs(d: Draft) -> None:
    a_stay(d, "stay-1", stay_class=d.draw(st.sampled_from((StayClass.INPATIENT, StayClass.INPATIENT, StayClass.EMERGENCY))))


def a_cancelled_stay(d: Draft) -> None:
    """The hospital takes its admission back."""
    came, never = d.two_moments()
    d.add("stay-2", admitted(came), came)
    d.add("stay-2", AdmissionCancelled(**source_of(never)), never)
    d.add(MEMBER, StayAttributed(stay="stay-2", episode=EPISODE, evidence="cin+name"), came)


def two_stays(d: Draft) -> None:
    a_stay(d, "stay-1")
    a_stay(d, "stay-2", stay_class=d.draw(st.sampled_from((StayClass.INPATIENT, StayClass.EMERGENCY))))


# --- a year --------------------------------------------------------------------------------------------------------------------

ANY_OF_FOLLOWUP = (
    a_contact, a_contact, a_contact, contacts_as_they_should_be, an_attempt, a_contact_of_outreach, a_contact_of_outreach,
    a_contact_of_a_transition, a_circumstance, a_circumstance, transitional_rent, transitional_rent, a_diagnosis,
    the_plans_tier, a_screening,
    visits_by_claims, often_in_hospital, a_referral, a_tier_overridden, a_tier_overridden,
    a_wish, a_county, a_population_settled, an_assessment, a_care_plan,
    an_authorisation, a_conflict, another_provider, an_enrolment_step, a_hand_over, a_release, long_away, away, coverage_lost,
    a_hold, a_death, closed, re_applied, enrolled, a_look, a_stay_of_theirs,
)  # fmt: skip
THEMES_OF_FOLLOWUP = (
    (contacts_as_they_should_be,), (contacts_as_they_should_be, a_circumstance), (contacts_as_they_should_be, a_wish),
    (contacts_as_they_should_be, a_tier_overridden), (contacts_as_they_should_be, a_hold),
    (contacts_as_they_should_be, coverage_lost),
    (a_contact, a_death), (a_contact, closed), (transitional_rent, contacts_as_they_should_be), (a_circumstance, a_circumstance),
    (two_stays, a_contact), (a_stay_of_theirs, contacts_as_they_should_be), (a_cancelled_stay, a_contact_of_a_transition),
    (a_contact_of_outreach, transitional_rent, a_contact),
    (a_conflict, another_provider), (a_contact, a_contact, a_contact), (often_in_hospital, closed), (a_referral, a_contact), (),
)  # fmt: skip
THEMES_OF_CARE = (
    (an_assessment_in_time, a_care_plan, a_care_plan), (an_assessment_in_time, an_assessment, a_care_plan),
    (an_assessment, an_authorisation, an_authorisation), (an_authorisation, a_hold, a_care_plan),
)  # fmt: skip
"""Histories that are about more than contacts, under policies that ask for it."""
DAYS_OF_FOLLOWUP = (
    date(2026, 2, 2), date(2026, 2, 20), date(2026, 8, 31), date(2026, 9, 28), date(2026, 10, 12), date(2026, 11, 16),
    date(2026, 12, 7), date(2027, 1, 4), date(2026, 5, 18),
)  # fmt: skip
"""Days of enrolment: before both changes of clocks, before holidays and the end of the year, and in plain times."""

WEEKS, A_YEAR = (60, 60, 75, 90), 400
FACTS_MAX = 34


@st.composite
def followup_histories(draw: st.DrawFn, answers: tuple[str, ...] | None = (NEVER,)) -> History:
    """A member of the programme. Most were enrolled at once, some later, or so it is told later; some never."""
    day = draw(st.sampled_from(DAYS_OF_FOLLOWUP))
    year = draw(st.integers(1, 10)) == 1
    d = Draft(draw, day, A_YEAR if year else draw(st.sampled_from(WEEKS)))
    assigned_at = local(day - draw(st.sampled_from((0, 0, 3))) * DAY, draw(st.sampled_from((0, 9))))
    beginning(d, assigned_at, plan_tier=draw(st.sampled_from(("", "", "1", "3"))))
    how = draw(st.integers(1, 10))
    if how <= 8:
        d.base(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), local(day, draw(st.sampled_from((10, 10, 16, 23.9)))))
    elif how == 9:
        enrolled(d)
    theme = draw(st.sampled_from((*THEMES_OF_FOLLOWUP, *THEMES_OF_CARE)))
    for happens in theme:
        happens(d)
    for happens in draw(st.lists(st.sampled_from(ANY_OF_FOLLOWUP), max_size=8)):
        if len(d.facts) < FACTS_MAX:
            happens(d)
    if answers is None:
        answers = tuple(draw(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4)))
    among = POLICIES_OF_CARE if theme in THEMES_OF_CARE else POLICIES
    return d.history("followup", draw(policies(day, POLICIES_OF_A_YEAR if year else among)), answers)


# --- what is covered -----------------------------------------------------------------------------------------------------------

FEATURES_OF_FOLLOWUP = (
    *(name for name in FEATURES if name != "two stays"), "a stay", "end of the year", "more than a year", "not enrolled at first",
    "a chain of contacts", "another channel's contact", "a circumstance", "an overlay", "a tier's override", "an agreed cadence",
    "an assessment", "a care plan", "an authorisation", "a conflict", "a closure or death", "a second policy", "judged visits",
    "a referral",
)  # fmt: skip


def features_of_followup(history: History) -> frozenset[str]:
    """What a history covers, by looking at it."""
    kinds = [type(f.fact) for f in history.facts]
    began = history.facts[0].at
    enrolments = [f for f in history.facts if isinstance(f.fact, MemberEnrolled)]
    rents = [f for f in history.facts if getattr(f.fact, "circumstance", "") == Circumstance.RECEIVES_TRANSITIONAL_RENT]
    looked_at = {
        "a stay": MemberAdmitted in kinds,
        "end of the year": began.year != history.until.year,
        "more than a year": history.until - began > 366 * DAY,
        "not enrolled at first": not enrolments or enrolments[0] in history.drawn,
        "a chain of contacts": kinds.count(FollowUpContactMade) >= 3,
        "another channel's contact": ContactMade in kinds or AttemptMade in kinds or TransitionContactMade in kinds,
        "a circumstance": CircumstanceNoted in kinds,
        "an overlay": bool(rents),
        "a tier's override": TierOverridden in kinds,
        "an agreed cadence": CadenceAgreed in kinds,
        "an assessment": AssessmentCompleted in kinds,
        "a care plan": CarePlanWritten in kinds,
        "an authorisation": AuthorisationGranted in kinds,
        "a conflict": ConflictRaised in kinds,
        "a closure or death": bool({EpisodeClosed, DeathReported} & set(kinds)),
        "a second policy": len(history.policies) > 1,
        "judged visits": VisitJudged in kinds,
        "a referral": ReferralReceived in kinds,
    }
    return features(history) | {name for name, so in looked_at.items() if so}
