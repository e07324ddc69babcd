"""How an episode begins, what is authorised, and how it ends: domain.md 7, 30, 36, 37, 45, 64, 67 to 70, 74 and 76c."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.caseload.facts import CaseReleased, CaseTaken
from domain.caseload.state import caseload_of
from domain.core import SYSTEM, ObligationState
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationGranted,
    AuthorisationRequested,
    CareCarriedOver,
    CarryOver,
    ConsiderDiscontinuation,
    DenyAuthorisation,
    GrantAuthorisation,
    RequestAuthorisation,
    authorised,
    covers,
    gaps,
    runs_out_on,
)
from domain.episode.care_plans import CarePlanWritten, Goal, MeetGoal, Task, WriteCarePlan, care_plan
from domain.episode.closing import (
    AgreeStepDown,
    CloseEpisode,
    MakeWarmHandOff,
    NoticeOfActionReceived,
    RecordNoticeOfAction,
    ReinstateEpisode,
    WarmHandOffMade,
)
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import (
    ChoiceExplained,
    Conflict,
    ConflictRaised,
    Enrol,
    EnrolmentStep,
    ExplainChoice,
    RaiseConflict,
    RecordEnrolmentVisit,
    RequestProviderChange,
    SettleConflict,
    SettleProviderChange,
    open_conflicts,
    open_provider_change,
    undone_steps,
)
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed, HoldCode, MemberEnrolled
from domain.episode.holds import Hold, Resume, why_held
from domain.episode.state import Episode
from domain.member.circumstances import Circumstance, EndCircumstance, NoteCircumstance
from domain.member.decider import CorrectIdentity, WithdrawConsent
from domain.member.facts import ConsentGiven
from tests.given import BOSS, DEPUTY, EPISODE, LEAD, MEMBER, NURSE, OFFICE, Story, at

NEXT, YEAR = "episode-2", "followup-1"
CONFLICT, TURNED, CHANGE = "followup.conflict", "followup.turned_21", "followup.provider_change"
RENEWAL, CRITERIA = "followup.authorisation.renewal_request", "followup.authorisation.discontinuation"


def state(story: Story, stream: str = EPISODE) -> Episode:
    found = story.memory.load(stream).state
    assert isinstance(found, Episode)
    return found


def enrolled(starts: str = "2026-11-20 10:00 PST", **changes: int) -> Story:
    story = Story(starts, **changes).assigned()
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="in_person"))
    return story


def with_a_plan(story: Story, stream: str = EPISODE) -> Story:
    """A home and the medicines: two goals, and a task."""
    story.do(
        WriteCarePlan(
            stream=stream,
            by=LEAD,
            goals=(Goal(goal="home", topic="housing"), Goal(goal="pills", topic="medication")),
            tasks=(Task(task="shelter", goal="home", owner=LEAD, due_on=date(2026, 12, 1)),),
            member_took_part="in_person",
            texts={"home": "a room of my own", "pills": "know what they are for", "shelter": "call the shelter"},
        )
    )
    return story


def close(reason: ClosureReason, by: str = LEAD, note: str = "") -> CloseEpisode:
    return CloseEpisode(stream=EPISODE, by=by, reason=reason, note=note)


def closed_as(story: Story, stream: str = EPISODE) -> list[ClosureReason]:
    return [fact.reason for fact in story.facts(EpisodeClosed, stream)]


# --- enrolment -----------------------------------------------------------------------------------------------------------------


def test_30_a_verbal_agreement_says_who_heard_it_when_and_how_and_the_missing_form_stays_visible() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-23 15:30 PST")
    story.do(WithdrawConsent(stream=MEMBER, by=LEAD, scope="data_sharing"))
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone"))
    (agreed,) = story.recorded(MemberEnrolled, EPISODE)
    assert agreed.fact == MemberEnrolled(agreed="verbal", to_whom=LEAD, how="phone")
    assert agreed.occurred_at == at("2026-11-23 15:30 PST")
    assert story.facts(ConsentGiven, MEMBER) == [], "no consent was asked for"
    assert EnrolmentStep.AGREEMENT_DOCUMENTS in undone_steps(state(story).said)


def test_30_one_visit_does_every_step_and_they_may_come_before_the_agreement() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-23 15:30 PST")
    story.do(RecordEnrolmentVisit(stream=EPISODE, by=LEAD, steps=(EnrolmentStep.FIRST_APPOINTMENT,), how="in_person"))
    assert undone_steps(state(story).said) == (
        EnrolmentStep.SCREENING,
        EnrolmentStep.ASSESSMENT,
        EnrolmentStep.AGREEMENT_DOCUMENTS,
    )
    story.do(RecordEnrolmentVisit(stream=EPISODE, by=LEAD, steps=tuple(EnrolmentStep), how="in_person"))
    assert undone_steps(state(story).said) == ()
    assert state(story).enrolled() is None, "steps are steps; the member's word is another thing"


def test_36_an_open_authorisation_with_another_provider_pauses_the_enrolment_until_a_person_settles_it() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-21 10:00 PST")
    checked = date(2026, 11, 21)
    raise_ = RaiseConflict(
        stream=EPISODE, by="source:plan", conflict=Conflict.OTHER_PROVIDER, programme="Bay Care", checked_on=checked
    )
    story.do(raise_)
    story.do(raise_)
    assert len(story.facts(ConflictRaised, EPISODE)) == 1
    enrol = Enrol(stream=EPISODE, by=LEAD, agreed="verbal")
    assert story.refused(enrol) == "conflict_open"
    assert closed_as(story) == [], "it pauses, and ends nothing"
    task = story.owed(CONFLICT, YEAR)
    assert (task.state, task.owed_by, task.how) == (ObligationState.OPEN, LEAD, "settle: other_provider, Bay Care")
    story.on("2026-11-30 10:00 PST")
    story.do(SettleConflict(stream=EPISODE, by=LEAD, outcome="ours", reason="their authorisation ended in October"))
    assert open_conflicts(state(story).said) == ()
    assert story.all_owed(CONFLICT, YEAR) == []
    story.do(enrol)
    assert state(story).enrolled() is not None


def test_36_where_the_other_provider_keeps_the_member_the_episode_closes_as_duplicative() -> None:
    story = Story("2026-11-20 10:00 PST").assigned()
    story.do(RaiseConflict(stream=EPISODE, by=OFFICE, conflict=Conflict.OTHER_PROVIDER, programme="Bay Care"))
    assert story.refused(close(ClosureReason.DUPLICATIVE_PROGRAM)) == "choice_not_explained"
    story.do(SettleConflict(stream=EPISODE, by=LEAD, outcome="theirs"))
    assert story.refused(Enrol(stream=EPISODE, by=LEAD, agreed="verbal")) == "conflict_lost"
    story.do(close(ClosureReason.DUPLICATIVE_PROGRAM))
    assert closed_as(story) == [ClosureReason.DUPLICATIVE_PROGRAM]


@pytest.mark.parametrize(
    ("circumstance", "programme"),
    [
        (Circumstance.IN_HOSPICE, "hospice"),
        (Circumstance.IN_1915C_WAIVER, "1915c_waiver"),
        (Circumstance.IN_PACE, "pace"),
        (Circumstance.IN_INTEGRATED_DUAL_PLAN, "integrated_dual_plan"),
        (Circumstance.IN_COMPLEX_CARE_MANAGEMENT, "complex_care_management"),
    ],
)
def test_37_an_exclusive_programme_is_an_exclusion_and_the_choice_is_explained_before_the_closure(
    circumstance: Circumstance, programme: str
) -> None:
    story = enrolled().on("2027-02-01 10:00 PST")
    story.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, learned_from="hospital"))
    (raised,) = story.recorded(ConflictRaised, EPISODE)
    assert (raised.fact.conflict, raised.fact.programme) == (Conflict.EXCLUSIVE_PROGRAMME, programme)
    assert raised.actor == SYSTEM
    assert story.owed(CONFLICT, YEAR).how == f"settle: exclusive_programme, {programme}"
    assert closed_as(story) == [], "the member chooses, not the programme"
    story.on("2027-02-03 10:00 PST")
    assert story.refused(close(ClosureReason.DUPLICATIVE_PROGRAM)) == "choice_not_explained"
    story.do(ExplainChoice(stream=EPISODE, by=LEAD, how="at home, with the daughter"))
    story.do(SettleConflict(stream=EPISODE, by=LEAD, outcome="member_chose_other"))
    story.on("2027-02-05 10:00 PST").do(close(ClosureReason.DUPLICATIVE_PROGRAM))
    (explained,), (closed,) = story.recorded(ChoiceExplained, EPISODE), story.recorded(EpisodeClosed, EPISODE)
    assert explained.occurred_at < closed.occurred_at


def test_37_a_member_who_chooses_us_stays() -> None:
    story = enrolled().on("2027-02-01 10:00 PST")
    story.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.IN_HOSPICE, learned_from="hospital"))
    story.do(ExplainChoice(stream=EPISODE, by=LEAD))
    story.do(SettleConflict(stream=EPISODE, by=LEAD, outcome="member_chose_us"))
    story.do(EndCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.IN_HOSPICE))
    story.on("2027-04-01 10:00 PDT")
    assert len(story.facts(ConflictRaised, EPISODE)) == 1
    assert story.refused(close(ClosureReason.DUPLICATIVE_PROGRAM)) == "no_conflict"


def test_37_before_the_enrolment_the_exclusion_is_raised_and_the_enrolment_waits() -> None:
    story = Story("2026-11-20 10:00 PST").assigned().on("2026-11-21 10:00 PST")
    pace = NoteCircumstance(stream=MEMBER, by=OFFICE, circumstance=Circumstance.IN_PACE, learned_from="plan_file")
    story.do(replace(pace, occurred_at=at("2026-09-01 10:00 PDT")))
    (raised,) = story.recorded(ConflictRaised, EPISODE)
    assert raised.occurred_at == at("2026-09-01 10:00 PDT"), "it stands in the way since before the assignment"
    assert story.refused(Enrol(stream=EPISODE, by=LEAD, agreed="written")) == "conflict_open"
    story.do(SettleConflict(stream=EPISODE, by=LEAD, outcome="no_conflict", reason="left PACE in August"))
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="written"))
    assert len(story.facts(ConflictRaised, EPISODE)) == 1


# --- from plan to plan ---------------------------------------------------------------------------------------------------------


def came_from_another_plan(received: str = "2027-03-01 09:00 PST") -> Story:
    """Cared for under one plan until February 2027, then given to us by another."""
    story = with_a_plan(enrolled()).on("2027-01-15 10:00 PST")
    story.do(MeetGoal(stream=EPISODE, by=LEAD, goal="pills"))
    story.on("2027-02-01 10:00 PST").do(close(ClosureReason.CHANGED_PLAN))
    story.on(received)
    return story.beside("coast").assigned(episode=NEXT, plan="coast", effective_on=date(2027, 3, 1))


def test_64_care_of_the_last_ninety_days_goes_on_under_the_new_plan_without_a_new_agreement() -> None:
    story = came_from_another_plan()
    task = story.owed("followup.carry_over", "followup-2")
    assert (task.state, task.owed_by) == (ObligationState.OPEN, LEAD), "the worklist says so by itself"
    story.do(CarryOver(stream=NEXT, by=LEAD, previous=EPISODE, evidence="old_plan"))
    assert story.facts(CareCarriedOver, NEXT) == [
        CareCarriedOver(previous=EPISODE, evidence="old_plan", last_service_on=date(2027, 2, 1))
    ]
    assert story.all_owed("followup.carry_over", "followup-2") == []
    (span,) = authorised(state(story, NEXT).said)
    assert (span.basis, span.first_day, span.last_day) == (AuthorisationBasis.CONTINUITY, date(2027, 3, 1), date(2028, 2, 29))
    assert [fact.agreed for fact in story.facts(MemberEnrolled, NEXT)] == ["carried_over"]
    plan = care_plan(state(story, NEXT).said)
    assert plan is not None
    assert (plan.version, plan.carried_over_from) == (1, EPISODE)
    assert {goal.goal: goal.state.value for goal in plan.goals} == {"home": "open", "pills": "met"}
    assert plan.texts["home"] == "a room of my own"
    assert [task.task for task in plan.tasks] == ["shelter"]
    assert story.facts(ConsentGiven, MEMBER) == []
    (received,) = story.facts(AssignmentReceived, NEXT)
    assert received.previous == EPISODE
    assert story.do(CarryOver(stream=NEXT, by=LEAD, previous=EPISODE, evidence="claims")) == ()
    story.on("2027-03-20 10:00 PDT")
    assert story.plan("outreach-2").done, "nobody has to be found who was cared for all along"


def test_64_after_more_than_ninety_days_the_member_is_asked() -> None:
    story = came_from_another_plan("2027-05-03 09:00 PDT")
    late = CarryOver(stream=NEXT, by=LEAD, previous=EPISODE, evidence="member", last_service_on=date(2026, 11, 30))
    assert story.refused(late) == "too_long_ago", "91 days before 1 March"
    story.do(CarryOver(stream=NEXT, by=LEAD, previous=EPISODE, evidence="claims", last_service_on=date(2026, 12, 1)))
    assert len(story.facts(CarePlanWritten, NEXT)) == 1


# --- authorised days -----------------------------------------------------------------------------------------------------------


def test_70_before_the_end_the_member_is_looked_at_anew_and_six_months_more_are_asked_for() -> None:
    story = enrolled(follow_up__authorisation__renewal_request_days_before=60)
    story.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.INITIAL, number="A-1"))
    assert runs_out_on(state(story).said, date(2026, 12, 1)) == date(2027, 11, 19)
    for rule in (RENEWAL, CRITERIA):
        assert story.owed(rule, YEAR).window.due == at("2027-09-20 24:00 PDT"), "sixty days before 19 November"
    story.on("2027-09-20 10:00 PDT")
    ask = RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.RENEWAL)
    assert story.refused(ask) == "not_reassessed"
    story.do(ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="continue", reason="not yet housed"))
    story.do(ask)
    (asked,) = story.facts(AuthorisationRequested, EPISODE)
    assert asked.following == "initial-2026-11-20"
    assert [story.owed(rule, YEAR).state for rule in (RENEWAL, CRITERIA)] == [ObligationState.MET] * 2
    story.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.RENEWAL, number="A-2"))
    assert runs_out_on(state(story).said, date(2027, 9, 20)) == date(2028, 5, 19)
    assert gaps(state(story).said, date(2026, 11, 20), date(2028, 5, 19)) == ()


def test_70_a_lapse_never_ends_the_episode_and_its_days_stay_visible() -> None:
    story = enrolled()
    story.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.INITIAL))
    story.on("2027-12-15 10:00 PST")
    assert closed_as(story) == []
    assert story.owed(RENEWAL, YEAR).state is ObligationState.MISSED
    lapsed = story.owed("followup.authorisation_lapsed", YEAR)
    assert lapsed.how == "nothing is authorised since 2027-11-19; care goes on"
    assert [o for o in story.all_owed("followup.contact", YEAR) if o.state is ObligationState.OPEN and not o.suspended]
    assert covers(state(story).said, date(2027, 12, 15)) is None
    story.do(
        GrantAuthorisation(
            stream=EPISODE, by="source:plan", basis=AuthorisationBasis.RENEWAL, first_day=date(2028, 1, 1), number="late"
        )
    )
    assert gaps(state(story).said, date(2026, 11, 20), date(2028, 6, 30)) == ((date(2027, 11, 20), date(2027, 12, 31)),)


def test_70_an_episode_whose_days_ran_out_may_be_closed_by_its_lead_and_by_nothing_else() -> None:
    story = enrolled()
    story.do(GrantAuthorisation(stream=EPISODE, by="source:plan", basis=AuthorisationBasis.INITIAL))
    story.on("2027-06-01 10:00 PDT")
    assert story.refused(close(ClosureReason.NOT_REAUTHORIZED)) == "not_denied"
    story.on("2027-11-19 23:59 PST")
    assert story.refused(close(ClosureReason.NOT_REAUTHORIZED)) == "not_denied", "the last day is still authorised"
    story.on("2027-11-20 00:00 PST").do(close(ClosureReason.NOT_REAUTHORIZED))
    assert closed_as(story) == [ClosureReason.NOT_REAUTHORIZED]


def test_74_streamlined_days_are_paid_for_until_the_end_of_the_day_of_the_denial() -> None:
    story = Story("2026-11-02 10:00 PST").assigned()
    story.do(GrantAuthorisation(stream=EPISODE, by=OFFICE, basis=AuthorisationBasis.STREAMLINED))
    (span,) = authorised(state(story).said)
    assert (span.first_day, span.last_day) == (date(2026, 11, 2), date(2026, 12, 1)), "thirty days"
    story.do(RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.INITIAL))
    story.on("2026-11-18 10:00 PST")
    story.do(DenyAuthorisation(stream=EPISODE, by="source:plan", communicated_on=date(2026, 11, 17)))
    assert covers(state(story).said, date(2026, 11, 17)) is not None
    assert covers(state(story).said, date(2026, 11, 18)) is None
    assert closed_as(story) == []
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    lapsed = story.owed("followup.authorisation_lapsed", YEAR)
    assert lapsed.how == "nothing is authorised since 2026-11-17; care goes on"
    assert len(lapsed.because.facts) == 2, "the grant and the denial that cut it short"


# --- holds ---------------------------------------------------------------------------------------------------------------------


def test_69_who_is_in_jail_is_held_and_authorised_from_the_day_of_the_release() -> None:
    story = enrolled().on("2027-01-10 10:00 PST")
    story.do(Hold(stream=EPISODE, by=BOSS, reason="incarcerated"))
    assert why_held(state(story), story.memory.now) is HoldCode.INCARCERATED
    story.on("2027-05-31 23:30 PDT").do(Resume(stream=EPISODE, by=BOSS, reason="released at night"))
    (granted,) = story.facts(AuthorisationGranted, EPISODE)
    assert (granted.basis, granted.first_day, granted.last_day) == (
        AuthorisationBasis.RELEASE,
        date(2027, 5, 31),
        date(2028, 5, 30),
    )
    assert why_held(state(story), story.memory.now) is None
    assert closed_as(story) == []


def test_69_a_member_of_the_plan_since_a_later_day_is_authorised_from_that_day() -> None:
    story = Story("2027-05-20 10:00 PDT").assigned(effective_on=date(2027, 6, 1))
    story.do(Hold(stream=EPISODE, by=BOSS, reason="county jail", code=HoldCode.INCARCERATED))
    story.on("2027-05-28 10:00 PDT").do(Resume(stream=EPISODE, by=BOSS, reason="released"))
    assert [fact.first_day for fact in story.facts(AuthorisationGranted, EPISODE)] == [date(2027, 6, 1)]


def test_69_a_closure_for_incarceration_is_another_thing_than_a_hold() -> None:
    story = enrolled().on("2027-01-10 10:00 PST")
    assert story.refused(close(ClosureReason.INCARCERATED)) == "not_incarcerated"
    story.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.INCARCERATED, learned_from="county"))
    assert closed_as(story) == [], "nothing closes by itself"
    story.do(close(ClosureReason.INCARCERATED))
    assert closed_as(story) == [ClosureReason.INCARCERATED]


# --- how it ends ---------------------------------------------------------------------------------------------------------------


def test_68_goals_met_agreed_and_handed_over_warmly_with_the_notice_and_its_appeal() -> None:
    story = with_a_plan(enrolled()).on("2027-08-02 10:00 PDT")
    goals_met = close(ClosureReason.GOALS_MET)
    story.do(MeetGoal(stream=EPISODE, by=LEAD, goal="home"))
    story.do(ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="graduate"))
    assert story.refused(goals_met) == "step_down_not_agreed"
    story.do(AgreeStepDown(stream=EPISODE, by=LEAD, how="in_person"))
    assert story.refused(goals_met) == "no_warm_hand_off"
    story.do(MakeWarmHandOff(stream=EPISODE, by=LEAD, to="primary_care", how="visit together"))
    assert story.refused(goals_met) == "no_warm_hand_off", "a lower level of care is meant"
    story.do(MakeWarmHandOff(stream=EPISODE, by=LEAD, to="basic_population_health", how="three-way call", with_whom="Ms Ito"))
    assert story.refused(goals_met) == "goals_open"
    story.do(MeetGoal(stream=EPISODE, by=LEAD, goal="pills"))
    story.do(goals_met)
    assert closed_as(story) == [ClosureReason.GOALS_MET]
    assert len(story.facts(WarmHandOffMade, EPISODE)) == 2
    story.on("2027-08-10 10:00 PDT")
    notice = RecordNoticeOfAction(
        stream=EPISODE,
        by="source:plan",
        sent_on=date(2027, 8, 9),
        effective_on=date(2027, 8, 19),
        appeal_until=date(2027, 10, 8),
    )
    story.do(notice)
    assert [fact.appeal_until for fact in story.facts(NoticeOfActionReceived, EPISODE)] == [date(2027, 10, 8)]


def test_68_an_unsafe_closure_is_a_supervisor_s() -> None:
    story = enrolled()
    assert story.refused(close(ClosureReason.UNSAFE)) == "not_authorised"
    story.do(close(ClosureReason.UNSAFE, by=BOSS))
    assert closed_as(story) == [ClosureReason.UNSAFE]


def test_68_another_care_manager_does_not_close_what_somebody_else_leads() -> None:
    story = enrolled()
    assert story.refused(close(ClosureReason.MEMBER_WITHDREW, by=NURSE)) == "not_the_lead"
    story.do(close(ClosureReason.MEMBER_WITHDREW, by=DEPUTY))
    assert closed_as(story) == [ClosureReason.MEMBER_WITHDREW]


def test_76c_there_is_no_closure_without_a_reason() -> None:
    story = enrolled()
    assert story.refused(close(ClosureReason.OTHER)) == "note_missing"
    with pytest.raises(TypeError):
        CloseEpisode(stream=EPISODE, by=LEAD)  # type: ignore[call-arg]


def test_45_a_21st_birthday_and_the_end_of_a_pregnancy_end_nothing() -> None:
    story = enrolled("2026-11-20 10:00 PST")
    story.do(CorrectIdentity(stream=MEMBER, by=OFFICE, birth_date="2006-03-15", reason="card shown"))
    story.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.PREGNANT, learned_from="member"))
    story.on("2027-02-01 10:00 PST")
    story.do(EndCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.PREGNANT))
    assert story.owed("followup.pregnancy_ended", YEAR).owed_by == LEAD
    story.on("2027-03-14 23:59 PDT")
    assert story.all_owed(TURNED, YEAR) == []
    story.on("2027-03-16 10:00 PDT")
    assert story.owed(TURNED, YEAR).owed_by == LEAD
    assert closed_as(story) == []
    assert state(story).closure(story.memory.now) is None
    assert not [reason for reason in ClosureReason if "AGE" in reason or "21" in reason or "PREGNAN" in reason]
    story.do(ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="continue", reason="looked at on turning 21"))
    assert story.all_owed(TURNED, YEAR) == story.all_owed("followup.pregnancy_ended", YEAR) == []
    story.on("2027-11-01 10:00 PDT")
    assert closed_as(story) == []


def test_67_another_provider_is_wanted_and_services_go_on() -> None:
    story = with_a_plan(enrolled()).on("2027-02-01 10:00 PST")
    story.do(RequestProviderChange(stream=EPISODE, by=LEAD, reason="closer to work"))
    assert open_provider_change(state(story).said) is not None
    change = story.owed(CHANGE, YEAR)
    assert (change.state, change.window.due) == (ObligationState.OPEN, at("2027-03-03 24:00 PST")), "thirty days"
    story.on("2027-02-10 10:00 PST")
    assert closed_as(story) == []
    assert [o for o in story.all_owed("followup.contact", YEAR) if o.state is ObligationState.OPEN and not o.suspended]
    story.do(MeetGoal(stream=EPISODE, by=LEAD, goal="home"))
    story.do(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="stays"))
    assert open_provider_change(state(story).said) is None
    assert story.owed(CHANGE, YEAR).state is ObligationState.MET
    assert story.refused(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="changed")) == "no_provider_change"


def test_67_a_change_that_nobody_settles_in_thirty_days_is_missed() -> None:
    story = enrolled().on("2027-02-01 10:00 PST")
    story.do(RequestProviderChange(stream=EPISODE, by=LEAD))
    story.on("2027-03-04 10:00 PST")
    assert story.owed(CHANGE, YEAR).state is ObligationState.MISSED
    story.do(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="changed"))
    assert story.owed(CHANGE, YEAR).state is ObligationState.MET_LATE


# --- and begins again ----------------------------------------------------------------------------------------------------------


def test_a_member_who_graduated_comes_back_in_a_new_episode_that_names_the_old_one() -> None:
    story = enrolled().on("2027-08-02 10:00 PDT")
    story.do(close(ClosureReason.MEMBER_WITHDREW))
    assert story.refused(Enrol(stream=EPISODE, by=LEAD, agreed="verbal")) == "episode_closed"
    story.on("2027-12-01 10:00 PST")
    word = {"member": MEMBER, "plan": "default", "received_at": story.memory.now}
    story.do(ReceiveAssignment(stream=NEXT, by=BOSS, reengage=True, referral_source="self", **word))
    (received,) = story.facts(AssignmentReceived, NEXT)
    assert received.previous == EPISODE
    assert state(story, NEXT).enrolled() is None, "the member is asked anew"
    assert state(story).closure(story.memory.now) is not None, "the old one stays as it was"


def test_a_closure_takes_the_member_off_the_lead_s_caseload_and_a_reinstatement_puts_them_back() -> None:
    story = enrolled()
    caseload = caseload_of(LEAD)
    assert len(story.facts(CaseTaken, caseload)) == 1
    story.do(close(ClosureReason.MOVED_COUNTY))
    assert [fact.reason for fact in story.facts(CaseReleased, caseload)] == ["closed"]
    story.on("2026-11-22 10:00 PST").do(ReinstateEpisode(stream=EPISODE, by=BOSS, reason="moved back"))
    assert EPISODE in story.memory.load(caseload).state.cases
    story.on("2026-11-22 11:00 PST").do(close(ClosureReason.MOVED_COUNTY))
    assert EPISODE not in story.memory.load(caseload).state.cases, "and it may be closed again"
