"""What is allowed, refused and already so in an episode's year: enrolment, conflicts, authorisations, holds, closures."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from domain.core import SYSTEM, Fact, On
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    CareCarriedOver,
    CarryOver,
    ConsiderDiscontinuation,
    DenyAuthorisation,
    DiscontinuationConsidered,
    GrantAuthorisation,
    RequestAuthorisation,
    authorised,
    care_to_carry_over,
    covers,
    gaps,
    last_day_after_months,
    open_requests,
    runs_out_on,
)
from domain.episode.care_plans import CarePlanWritten, Goal, GoalState, Task
from domain.episode.closing import (
    AgreeStepDown,
    CloseEpisode,
    Decline,
    MakeWarmHandOff,
    NoticeOfActionReceived,
    RecordNoticeOfAction,
    ReinstateEpisode,
    StepDownAgreed,
    WarmHandOffMade,
)
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import (
    AnswerScreening,
    ChoiceExplained,
    Conflict,
    ConflictRaised,
    ConflictSettled,
    Enrol,
    EnrolmentStep,
    EnrolmentStepDone,
    ExplainChoice,
    PlanTierReported,
    ProviderChangeRequested,
    ProviderChangeSettled,
    RaiseConflict,
    RecordEnrolmentVisit,
    ReportPlanTier,
    RequestProviderChange,
    ScreeningAnswered,
    SettleConflict,
    SettleProviderChange,
    exclusions_to_raise,
    open_conflicts,
    steps_done,
    undone_steps,
)
from domain.episode.facts import (
    AssignmentReceived,
    ClosureReason,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeResumed,
    HoldCode,
    LeadCareManagerAssigned,
    MemberDeclined,
    MemberEnrolled,
)
from domain.episode.holds import Hold, Resume, why_held
from domain.episode.milestones import PREGNANCY_ENDED, TURNED_21, Milestone, milestones, to_consider
from domain.episode.state import claim_on_open_episode
from domain.member.circumstances import Circumstance, CircumstanceEnded, CircumstanceNoted
from domain.member.facts import Claimed, CoverageLost, CoverageRestored, EpisodeBegun, IdentityCorrected, MemberRegistered, Released
from domain.staff.facts import Role, RoleGranted, StaffJoined
from domain.timeline import Timeline
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, NURSE, OFFICE, Given, Told, at, given, told, varied

DAY_ONE, DAY_TWO, LATER = "2026-11-20 10:00 PST", "2026-11-21 10:00 PST", "2027-03-01 10:00 PST"
CLAIM = claim_on_open_episode(MEMBER)
STAFF = tuple(
    told(stream, fact, DAY_ONE)
    for stream, role in ((LEAD, Role.CARE_MANAGER), (NURSE, Role.CARE_MANAGER), (BOSS, Role.SUPERVISOR), (OFFICE, Role.OPERATOR))
    for fact in (StaffJoined(supervisor=BOSS), RoleGranted(role=role))
)
ASSIGNED = (
    told(MEMBER, MemberRegistered(), DAY_ONE),
    told(EPISODE, AssignmentReceived(member=MEMBER, plan="default", received_at=at(DAY_ONE), plan_tier="high"), DAY_ONE),
    told(CLAIM, Claimed(holder=EPISODE), DAY_ONE),
    told(MEMBER, EpisodeBegun(episode=EPISODE), DAY_ONE),
)


def programme(*more: Told) -> Given:
    return given(*STAFF, *ASSIGNED, *more)


def said(fact: Fact, when: str = DAY_ONE, **more: Any) -> Told:
    return told(EPISODE, fact, when, **more)


ENROLLED = said(MemberEnrolled(agreed="verbal", to_whom=LEAD))


def episode_said(*more: Told) -> Timeline:
    """The episode's timeline after these facts."""
    timeline: Timeline = programme(*more).memory.load(EPISODE).state.said
    return timeline


# --- the steps of an enrolment -------------------------------------------------------------------------------------------------


def visit(*steps: EnrolmentStep, how: str = "in_person") -> RecordEnrolmentVisit:
    return RecordEnrolmentVisit(stream=EPISODE, by=LEAD, steps=steps, how=how)


def test_one_visit_can_do_all_steps_in_any_order() -> None:
    reversed_ = tuple(EnrolmentStep)[::-1]
    done = tuple(EnrolmentStepDone(step=step, how="in_person") for step in reversed_)
    programme().when(visit(*reversed_), DAY_TWO).then(*done)
    programme(*(said(fact) for fact in done)).when(visit(*EnrolmentStep), DAY_TWO).then()


def test_a_visit_leaves_out_what_was_done_before() -> None:
    screened = said(EnrolmentStepDone(step=EnrolmentStep.SCREENING, how="phone"))
    again = visit(EnrolmentStep.SCREENING, EnrolmentStep.FIRST_APPOINTMENT, EnrolmentStep.FIRST_APPOINTMENT)
    appointment = EnrolmentStepDone(step=EnrolmentStep.FIRST_APPOINTMENT, how="in_person")
    programme(screened).when(again, DAY_TWO).then(appointment)


def test_a_visit_names_a_step_and_how_it_was_held() -> None:
    programme().when(visit(), DAY_TWO).refused("no_step")
    programme().when(visit(EnrolmentStep.SCREENING, how="letter"), DAY_TWO).refused("how_unknown")


def test_what_shows_that_a_step_is_done_counts_as_that_step() -> None:
    assert undone_steps(episode_said()) == tuple(EnrolmentStep)
    screened = said(ScreeningAnswered(questionnaire="needs@1", questions=("food",), scores=(2,)))
    assert undone_steps(episode_said(screened, ENROLLED)) == (
        EnrolmentStep.ASSESSMENT,
        EnrolmentStep.AGREEMENT_DOCUMENTS,
        EnrolmentStep.FIRST_APPOINTMENT,
    ), "a verbal agreement leaves the documents to be done"
    written = said(MemberEnrolled(agreed="written", to_whom=LEAD), id="enrolled-1")
    assert steps_done(episode_said(written)) == {EnrolmentStep.AGREEMENT_DOCUMENTS: "enrolled-1"}


def test_a_screening_is_answered_question_by_question() -> None:
    def answers(**more: Any) -> AnswerScreening:
        fields = {"stream": EPISODE, "by": LEAD, "questionnaire": "needs@1", "questions": ("food", "home"), "scores": (2, 0)}
        return AnswerScreening(**(fields | more))

    answered = ScreeningAnswered(questionnaire="needs@1", questions=("food", "home"), scores=(2, 0))
    programme().when(answers(), DAY_TWO).then(answered)
    programme(said(answered, DAY_TWO)).when(answers(), DAY_TWO).then()
    programme(said(answered, DAY_ONE)).when(answers(), DAY_TWO).then(answered)  # another day is another screening
    programme().when(answers(scores=(2,)), DAY_TWO).refused("scores_wrong")
    programme().when(answers(scores=(2, -1)), DAY_TWO).refused("scores_wrong")
    programme().when(answers(questions=("food", "food")), DAY_TWO).refused("questions_wrong")
    programme().when(answers(questionnaire=""), DAY_TWO).refused("questionnaire_missing")


def test_the_plan_s_tier_is_kept_and_said_once() -> None:
    report = ReportPlanTier(stream=EPISODE, by="source:plan", tier="low")
    programme().when(report, DAY_TWO).then(PlanTierReported(tier="low"))
    programme(said(PlanTierReported(tier="low"))).when(report, DAY_TWO).then()
    programme().when(ReportPlanTier(stream=EPISODE, by="source:plan", tier="high"), DAY_TWO).then()


# --- conflicts -----------------------------------------------------------------------------------------------------------------

ELSEWHERE = said(ConflictRaised(conflict=Conflict.OTHER_PROVIDER, programme="Bay Care"), id="conflict-1")
HOSPICE = said(ConflictRaised(conflict=Conflict.EXCLUSIVE_PROGRAMME, programme="hospice"), id="conflict-2")
ENROL = Enrol(stream=EPISODE, by=LEAD, agreed="verbal", how="phone")
AGREED = MemberEnrolled(agreed="verbal", to_whom=LEAD, how="phone")


def test_an_enrolment_waits_for_a_conflict_and_for_nothing_else() -> None:
    programme().when(ENROL, DAY_TWO).then(AGREED)
    programme(ELSEWHERE).when(ENROL, DAY_TWO).refused("conflict_open")
    ours = said(ConflictSettled(raised="conflict-1", outcome="ours"))
    programme(ELSEWHERE, ours).when(ENROL, DAY_TWO).then(AGREED)
    theirs = said(ConflictSettled(raised="conflict-1", outcome="theirs"))
    programme(ELSEWHERE, theirs).when(ENROL, DAY_TWO).refused("conflict_lost")
    programme(ELSEWHERE, ours, HOSPICE).when(ENROL, DAY_TWO).refused("conflict_open")


def test_a_conflict_is_raised_once_while_it_is_open() -> None:
    command = RaiseConflict(stream=EPISODE, by="source:plan", conflict=Conflict.OTHER_PROVIDER, programme="Bay Care")
    raised = ConflictRaised(conflict=Conflict.OTHER_PROVIDER, programme="Bay Care")
    programme().when(command, DAY_TWO).then(raised)
    programme(ELSEWHERE).when(command, DAY_TWO).then()
    settled = said(ConflictSettled(raised="conflict-1", outcome="ours"))
    programme(ELSEWHERE, settled).when(command, DAY_TWO).then(raised)
    unknown = RaiseConflict(stream=EPISODE, by=LEAD, conflict=Conflict.EXCLUSIVE_PROGRAMME, programme="hospitz")
    programme().when(unknown, DAY_TWO).refused("programme_unknown")
    ahead = RaiseConflict(stream=EPISODE, by=LEAD, conflict=Conflict.OTHER_PROVIDER, checked_on=date(2026, 11, 22))
    programme().when(ahead, DAY_TWO).refused("checked_in_the_future")


def test_a_settlement_names_its_conflict_unless_only_one_is_open() -> None:
    def settle(outcome: str, raised: str = "") -> SettleConflict:
        return SettleConflict(stream=EPISODE, by=LEAD, outcome=outcome, raised=raised)

    programme(ELSEWHERE).when(settle("ours"), DAY_TWO).then(ConflictSettled(raised="conflict-1", outcome="ours"))
    programme(ELSEWHERE, HOSPICE).when(settle("ours"), DAY_TWO).refused("several_conflicts")
    programme().when(settle("ours"), DAY_TWO).refused("no_conflict_open")
    programme(ELSEWHERE).when(settle("ours", "conflict-9"), DAY_TWO).refused("unknown_conflict")
    programme(ELSEWHERE).when(settle("member_chose_us"), DAY_TWO).refused("outcome_unknown")
    theirs = said(ConflictSettled(raised="conflict-1", outcome="theirs"))
    programme(ELSEWHERE, theirs).when(settle("theirs", "conflict-1"), DAY_TWO).then()
    again = ConflictSettled(raised="conflict-1", outcome="ours")
    programme(ELSEWHERE, theirs).when(settle("ours", "conflict-1"), DAY_TWO).then(again)


def test_the_choice_is_explained_once() -> None:
    explain = ExplainChoice(stream=EPISODE, by=LEAD, how="phone")
    explained = ChoiceExplained(raised="conflict-2", how="phone")
    programme(HOSPICE).when(explain, DAY_TWO).then(explained)
    programme(HOSPICE, said(explained)).when(explain, DAY_TWO).then()


def test_an_exclusive_circumstance_has_to_be_raised_and_stops_an_enrolment_already() -> None:
    noted = told(MEMBER, CircumstanceNoted(circumstance=Circumstance.IN_HOSPICE, learned_from="hospital"), DAY_TWO, id="noted-1")
    after = programme(noted)
    life = after.memory.load(MEMBER).state.life
    (found,) = exclusions_to_raise(after.memory.load(EPISODE).state.said, life, at(DAY_TWO))
    assert (found.programme, found.since, found.noted_by) == ("hospice", at(DAY_TWO), "noted-1")
    after.when(ENROL, DAY_TWO).refused("conflict_open")
    before = said(ConflictRaised(conflict=Conflict.EXCLUSIVE_PROGRAMME, programme="hospice"), DAY_ONE, id="conflict-2")
    assert exclusions_to_raise(episode_said(before), life, at(DAY_TWO)) == (), "it waits already"
    settled = said(ConflictSettled(raised="conflict-2", outcome="no_conflict"), DAY_ONE)
    assert exclusions_to_raise(episode_said(before, settled), life, at(DAY_TWO)), "what was settled before it began was another one"
    since = said(ConflictRaised(conflict=Conflict.EXCLUSIVE_PROGRAMME, programme="hospice"), DAY_TWO, id="conflict-2")
    assert exclusions_to_raise(episode_said(since, settled), life, at(LATER)) == ()
    assert [e.event_id for e in open_conflicts(episode_said(since))] == ["conflict-2"]


def test_another_provider_is_asked_for_and_that_is_settled_once() -> None:
    asked = said(ProviderChangeRequested(), id="asked-1")
    ask = RequestProviderChange(stream=EPISODE, by=LEAD)
    settle = SettleProviderChange(stream=EPISODE, by=LEAD, outcome="stays")
    settled = ProviderChangeSettled(requested="asked-1", outcome="stays")
    programme().when(ask, DAY_TWO).then(ProviderChangeRequested())
    programme(asked).when(ask, DAY_TWO).then()
    programme(asked).when(settle, DAY_TWO).then(settled)
    programme().when(settle, DAY_TWO).refused("no_provider_change")
    programme(asked).when(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="gone"), DAY_TWO).refused("outcome_unknown")
    over = programme(asked, said(settled))
    over.when(SettleProviderChange(stream=EPISODE, by=LEAD, outcome="stays", requested="asked-1"), DAY_TWO).then()
    changed = SettleProviderChange(stream=EPISODE, by=LEAD, outcome="changed", requested="asked-1")
    over.when(changed, DAY_TWO).refused("settled_before")
    over.when(ask, DAY_TWO).then(ProviderChangeRequested())


# --- authorised days -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_day", "months", "last_day"),
    [
        (date(2026, 1, 15), 12, date(2027, 1, 14)),
        (date(2026, 11, 1), 6, date(2027, 4, 30)),
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2026, 8, 29), 6, date(2027, 2, 28)),
        (date(2026, 8, 28), 6, date(2027, 2, 27)),
        (date(2027, 3, 1), 12, date(2028, 2, 29)),
        (date(2028, 2, 29), 12, date(2029, 2, 28)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2026, 12, 1), 1, date(2026, 12, 31)),
    ],
)
def test_months_end_where_people_expect_it(first_day: date, months: int, last_day: date) -> None:
    assert last_day_after_months(first_day, months) == last_day


def grant(basis: str, first_day: date, last_day: date, authorisation: str = "", when: str = DAY_ONE) -> Told:
    id = authorisation or f"{basis}-{first_day}"
    fact = AuthorisationGranted(authorisation=id, basis=AuthorisationBasis(basis), first_day=first_day, last_day=last_day)
    return said(fact, when)


def test_a_grant_without_a_last_day_lasts_as_long_as_the_policy_says() -> None:
    def granting(basis: AuthorisationBasis, **more: Any) -> GrantAuthorisation:
        return GrantAuthorisation(stream=EPISODE, by="source:plan", basis=basis, **more)

    initial = granting(AuthorisationBasis.INITIAL, number="A1")
    year = AuthorisationGranted(
        authorisation="initial-2026-11-20",
        basis=AuthorisationBasis.INITIAL,
        first_day=date(2026, 11, 20),
        last_day=date(2027, 11, 19),
        number="A1",
    )
    programme().when(initial, DAY_TWO).then(year)
    programme(said(year)).when(initial, DAY_TWO).then()
    programme().when(granting(AuthorisationBasis.RENEWAL), DAY_TWO).refused("first_day_missing")
    half = AuthorisationGranted(
        authorisation="renewal-2027-11-20",
        basis=AuthorisationBasis.RENEWAL,
        first_day=date(2027, 11, 20),
        last_day=date(2028, 5, 19),
    )
    programme(said(year)).when(granting(AuthorisationBasis.RENEWAL), "2027-10-20 10:00 PDT").then(half)
    month = AuthorisationGranted(
        authorisation="streamlined-2026-12-01",
        basis=AuthorisationBasis.STREAMLINED,
        first_day=date(2026, 12, 1),
        last_day=date(2026, 12, 30),
    )
    programme().when(granting(AuthorisationBasis.STREAMLINED, first_day=date(2026, 12, 1)), DAY_TWO).then(month)
    backwards = granting(AuthorisationBasis.INITIAL, first_day=date(2026, 12, 2), last_day=date(2026, 12, 1))
    programme().when(backwards, DAY_TWO).refused("last_day_wrong")
    programme().when(granting(AuthorisationBasis.RELEASE), DAY_TWO).refused("first_day_missing")


def test_a_plan_without_rules_of_authorisation_names_the_last_day_itself() -> None:
    bare = given(*STAFF, *ASSIGNED, policies=(varied(follow_up=None),))
    initial = GrantAuthorisation(stream=EPISODE, by=OFFICE, basis=AuthorisationBasis.INITIAL)
    bare.when(initial, DAY_TWO).refused("last_day_missing")


def test_the_last_word_on_an_authorisation_counts() -> None:
    first = grant("initial", date(2026, 11, 1), date(2027, 10, 31), "A")
    mended = grant("initial", date(2026, 11, 1), date(2027, 1, 31), "A", DAY_TWO)
    (span,) = authorised(episode_said(first, mended))
    assert span.last_day == date(2027, 1, 31)


def test_streamlined_days_end_with_the_day_of_a_communicated_denial() -> None:
    streamlined = grant("streamlined", date(2026, 11, 1), date(2026, 11, 30))
    asked = AuthorisationRequested(request="R", basis=AuthorisationBasis.INITIAL, following="streamlined-2026-11-01")
    denied = AuthorisationDenied(request="R", communicated_on=date(2026, 11, 18))
    timeline = episode_said(streamlined, said(asked), said(denied, DAY_TWO, id="denied-1"))
    (span,) = authorised(timeline)
    assert (span.last_day, span.cut_short_by) == (date(2026, 11, 18), "denied-1")
    assert covers(timeline, date(2026, 11, 18)) is not None, "the day itself is still paid for"
    assert covers(timeline, date(2026, 11, 19)) is None
    (uncut,) = authorised(episode_said(streamlined, said(asked)))
    assert uncut.last_day == date(2026, 11, 30)
    late = AuthorisationDenied(request="R", communicated_on=date(2026, 12, 3))
    (span,) = authorised(episode_said(streamlined, said(asked), said(late, DAY_TWO)))
    assert span.last_day == date(2026, 11, 30), "thirty days and not more"


def test_a_denied_renewal_leaves_the_running_year_alone() -> None:
    year = grant("initial", date(2026, 1, 1), date(2026, 12, 31))
    asked = AuthorisationRequested(request="R", basis=AuthorisationBasis.RENEWAL, following="initial-2026-01-01")
    denied = AuthorisationDenied(request="R", communicated_on=date(2026, 11, 20))
    assert covers(episode_said(year, said(asked), said(denied)), date(2026, 12, 31)) is not None


def test_gaps_and_the_end_of_an_unbroken_run() -> None:
    timeline = episode_said(
        grant("initial", date(2026, 1, 1), date(2026, 6, 30)),
        grant("renewal", date(2026, 7, 1), date(2026, 9, 30)),
        grant("renewal", date(2026, 11, 1), date(2026, 12, 31)),
        grant("continuity", date(2026, 8, 1), date(2026, 8, 31)),
    )
    assert gaps(timeline, date(2025, 12, 30), date(2027, 1, 2)) == (
        (date(2025, 12, 30), date(2025, 12, 31)),
        (date(2026, 10, 1), date(2026, 10, 31)),
        (date(2027, 1, 1), date(2027, 1, 2)),
    )
    assert gaps(timeline, date(2026, 2, 1), date(2026, 9, 30)) == ()
    assert runs_out_on(timeline, date(2026, 3, 1)) == date(2026, 9, 30)
    assert runs_out_on(timeline, date(2026, 10, 15)) == date(2026, 9, 30)
    assert runs_out_on(timeline, date(2026, 11, 2)) == date(2026, 12, 31)
    assert runs_out_on(timeline, date(2025, 1, 1)) is None
    assert gaps(episode_said(), date(2026, 1, 1), date(2026, 1, 1)) == ((date(2026, 1, 1), date(2026, 1, 1)),)


def test_a_renewal_is_asked_for_after_a_look_at_the_criteria() -> None:
    year = grant("initial", date(2025, 11, 21), date(2026, 11, 20))
    ask = RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.RENEWAL)
    programme(ENROLLED, year).when(ask, DAY_ONE).refused("not_reassessed")
    graduate = said(DiscontinuationConsidered(outcome="graduate"))
    programme(ENROLLED, year, graduate).when(ask, DAY_ONE).refused("not_to_be_continued")
    go_on = said(DiscontinuationConsidered(outcome="continue"))
    requested = AuthorisationRequested(
        request="renewal-2026-11-20", basis=AuthorisationBasis.RENEWAL, following="initial-2025-11-21"
    )
    programme(ENROLLED, year, go_on).when(ask, DAY_ONE).then(requested)
    programme(ENROLLED, year, go_on, said(requested)).when(ask, DAY_ONE).then()
    unknown = RequestAuthorisation(stream=EPISODE, by=LEAD, basis=AuthorisationBasis.INITIAL, following="nothing")
    programme().when(unknown, DAY_TWO).refused("unknown_authorisation")


def test_the_criteria_are_for_members_who_are_enrolled() -> None:
    consider = ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="continue", reason="goals open")
    considered = DiscontinuationConsidered(outcome="continue", reason="goals open")
    programme().when(consider, DAY_TWO).refused("not_enrolled")
    programme(ENROLLED).when(consider, DAY_TWO).then(considered)
    programme(ENROLLED, said(considered, DAY_TWO)).when(consider, DAY_TWO).then()
    programme(ENROLLED, said(considered, DAY_ONE)).when(consider, DAY_TWO).then(considered)
    programme(ENROLLED).when(ConsiderDiscontinuation(stream=EPISODE, by=LEAD, outcome="perhaps"), DAY_TWO).refused(
        "outcome_unknown"
    )


def test_a_denial_is_of_a_request_and_not_of_tomorrow() -> None:
    def deny(**more: Any) -> DenyAuthorisation:
        return DenyAuthorisation(**({"stream": EPISODE, "by": OFFICE, "communicated_on": date(2026, 11, 21)} | more))

    asked = said(AuthorisationRequested(request="R", basis=AuthorisationBasis.INITIAL))
    denied = AuthorisationDenied(request="R", communicated_on=date(2026, 11, 21))
    programme(asked).when(deny(), DAY_TWO).then(denied)
    programme(asked, said(denied)).when(deny(request="R"), DAY_TWO).then()
    programme().when(deny(), DAY_TWO).refused("request_missing")
    programme(asked).when(deny(request="Q"), DAY_TWO).refused("unknown_request")
    programme(asked).when(deny(communicated_on=date(2026, 11, 22)), DAY_TWO).refused("communicated_in_the_future")
    assert open_requests(episode_said(asked, said(denied))) == ()
    granted = grant("initial", date(2026, 11, 21), date(2027, 11, 20), when=DAY_TWO)
    assert open_requests(episode_said(asked, granted)) == ()
    assert len(open_requests(episode_said(asked))) == 1


# --- carried over from another plan --------------------------------------------------------------------------------------------

OLD, NEW = EPISODE, "episode-2"
GOALS = (Goal(goal="g1", topic="housing"), Goal(goal="g2", topic="medication", state=GoalState.MET))
TASKS = (Task(task="t1", goal="g1", owner=LEAD, due_on=date(2026, 12, 1)),)
OLD_PLAN = (
    CarePlanWritten(version=1, goals=GOALS[:1], tasks=(), member_took_part="phone"),
    CarePlanWritten(version=2, goals=GOALS, tasks=TASKS, member_took_part="in_person", texts={"g1": "a home of her own"}),
)


def moved(
    *more: Told,
    plan: str = "coast",
    received: str = "2027-03-01 10:00 PST",
    enrolled: bool = True,
    because: ClosureReason = ClosureReason.CHANGED_PLAN,
) -> Given:
    """A member whose old episode was closed on 1 February 2027 and whom another plan gave to us in March."""
    closed = EpisodeClosed(reason=because)
    return programme(
        *((ENROLLED,) if enrolled else ()),
        *(said(version, DAY_TWO) for version in OLD_PLAN),
        said(closed, "2027-02-01 10:00 PST"),
        told(CLAIM, Released(holder=OLD, because="CHANGED_PLAN"), "2027-02-01 10:00 PST"),
        told(NEW, AssignmentReceived(member=MEMBER, plan=plan, received_at=at(received), previous=OLD), received),
        told(CLAIM, Claimed(holder=NEW), received),
        told(MEMBER, EpisodeBegun(episode=NEW), received),
        *more,
    )


def carry(**more: Any) -> CarryOver:
    return CarryOver(**({"stream": NEW, "by": LEAD, "previous": OLD, "evidence": "old_plan"} | more))


def test_care_that_was_received_lately_is_carried_over_with_all_that_belongs_to_it() -> None:
    moved().when(carry(), LATER).then(
        CareCarriedOver(previous=OLD, evidence="old_plan", last_service_on=date(2027, 2, 1)),
        AuthorisationGranted(
            authorisation="continuity-2027-03-01",
            basis=AuthorisationBasis.CONTINUITY,
            first_day=date(2027, 3, 1),
            last_day=date(2028, 2, 29),
        ),
        MemberEnrolled(agreed="carried_over", to_whom=LEAD),
        CarePlanWritten(
            version=1,
            goals=GOALS,
            tasks=TASKS,
            member_took_part="in_person",
            carried_over_from=OLD,
            texts={"g1": "a home of her own"},
        ),
    )


def test_what_is_no_episode_at_all_carries_nothing_over() -> None:
    moved().when(carry(previous=MEMBER), LATER).refused("no_other_plan")


def test_ninety_days_are_counted_to_the_day_on_which_the_plan_took_over() -> None:
    (over, *_) = moved().when(carry(last_service_on=date(2026, 12, 1)), LATER).decision
    assert over == CareCarriedOver(previous=OLD, evidence="old_plan", last_service_on=date(2026, 12, 1))
    moved().when(carry(last_service_on=date(2026, 11, 30)), LATER).refused("too_long_ago")
    moved().when(carry(last_service_on=date(2027, 3, 2)), LATER).refused("last_service_in_the_future")


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, True),
        ({"because": ClosureReason.GOALS_MET}, False),
        ({"because": ClosureReason.MEMBER_WITHDREW}, False),
        ({"enrolled": False}, False),
        ({"plan": "default"}, False),
        ({"received": "2027-05-02 10:00 PDT"}, True),
        ({"received": "2027-05-03 10:00 PDT"}, False),
    ],
)
def test_care_to_carry_over_is_known_by_itself(changes: dict[str, Any], offered: bool) -> None:
    memory = moved(**changes).memory
    rules = DEFAULT.follow_up.authorisation if DEFAULT.follow_up else None
    found = care_to_carry_over(memory.load(NEW).state, memory.load(OLD).state, rules, DEFAULT.timezone)
    assert found is offered


def test_nothing_is_carried_over_that_was_not_there() -> None:
    moved(enrolled=False).when(carry(), LATER).refused("no_care_before")
    moved(plan="default").when(carry(), LATER).refused("no_other_plan")
    moved(because=ClosureReason.MEMBER_WITHDREW).when(carry(), LATER).refused("said_no_before")
    moved().when(carry(previous="episode-9"), LATER).refused("no_other_plan")
    moved().when(carry(previous="nonsense"), LATER).refused("no_other_plan")
    moved().when(carry(evidence="hearsay"), LATER).refused("evidence_unknown")
    here = told(NEW, MemberEnrolled(agreed="verbal", to_whom=LEAD), LATER)
    moved(here).when(carry(), LATER).refused("enrolled_before")
    done = told(NEW, CareCarriedOver(previous=OLD, evidence="claims", last_service_on=date(2027, 2, 1)), LATER)
    moved(done).when(carry(), LATER).then()
    conflict = told(NEW, ConflictRaised(conflict=Conflict.OTHER_PROVIDER), LATER)
    moved(conflict).when(carry(), LATER).refused("conflict_open")


# --- holds ---------------------------------------------------------------------------------------------------------------------


def test_a_hold_says_why_and_a_release_is_authorised_from_its_day() -> None:
    hold = Hold(stream=EPISODE, by=BOSS, reason="county jail", code=HoldCode.INCARCERATED)
    held = EpisodeHeld(reason="county jail", code=HoldCode.INCARCERATED)
    programme().when(hold, DAY_TWO).then(held)
    programme().when(Hold(stream=EPISODE, by=BOSS, reason="inpatient"), DAY_TWO).then(
        EpisodeHeld(reason="inpatient", code=HoldCode.INPATIENT)
    )
    assert why_held(programme(said(held)).memory.load(EPISODE).state, at(DAY_TWO)) is HoldCode.INCARCERATED
    before_codes = programme(said(EpisodeHeld(reason="Incarcerated"))).memory.load(EPISODE).state
    assert why_held(before_codes, at(DAY_TWO)) is HoldCode.INCARCERATED
    resume = Resume(stream=EPISODE, by=BOSS, reason="released")
    released = AuthorisationGranted(
        authorisation="release-2027-03-01",
        basis=AuthorisationBasis.RELEASE,
        first_day=date(2027, 3, 1),
        last_day=date(2028, 2, 29),
    )
    programme(said(held)).when(resume, LATER).then(EpisodeResumed(reason="released"), released)
    authorised_already = grant("initial", date(2026, 11, 20), date(2027, 11, 19))
    programme(said(held), authorised_already).when(resume, LATER).then(EpisodeResumed(reason="released"))
    in_hospital = said(EpisodeHeld(reason="ward", code=HoldCode.INPATIENT))
    programme(in_hospital).when(resume, LATER).then(EpisodeResumed(reason="released"))


# --- closures ------------------------------------------------------------------------------------------------------------------

STEPPED_DOWN = (said(StepDownAgreed(how="phone")), said(WarmHandOffMade(to="basic_population_health", how="three-way call")))
GOALS_DONE = said(CarePlanWritten(version=2, goals=(GOALS[1],), tasks=(), member_took_part="in_person"))


def close(reason: ClosureReason, by: str = LEAD, note: str = "") -> CloseEpisode:
    return CloseEpisode(stream=EPISODE, by=by, reason=reason, note=note)


def closed(reason: ClosureReason, note: str = "") -> tuple[Fact | On, ...]:
    return (EpisodeClosed(reason=reason, note=note), On(CLAIM, Released(holder=EPISODE, because=reason)))


NO_REASON_YET = [
    (ClosureReason.GOALS_MET, (), "never_enrolled"),
    (ClosureReason.GOALS_MET, (ENROLLED,), "step_down_not_agreed"),
    (ClosureReason.GOALS_MET, (ENROLLED, STEPPED_DOWN[0]), "no_warm_hand_off"),
    (ClosureReason.GOALS_MET, (ENROLLED, *STEPPED_DOWN), "no_care_plan"),
    (ClosureReason.GOALS_MET, (ENROLLED, *STEPPED_DOWN, said(OLD_PLAN[1])), "goals_open"),
    (ClosureReason.STEP_DOWN, (ENROLLED, STEPPED_DOWN[1]), "step_down_not_agreed"),
    (
        ClosureReason.STEP_DOWN,
        (ENROLLED, STEPPED_DOWN[0], said(WarmHandOffMade(to="primary_care", how=""))),
        "no_warm_hand_off",
    ),
    (ClosureReason.MEMBER_WITHDREW, (), "never_enrolled"),
    (ClosureReason.INCARCERATED, (), "not_incarcerated"),
    (ClosureReason.INCARCERATED, (said(EpisodeHeld(reason="ward", code=HoldCode.INPATIENT)),), "not_incarcerated"),
    (ClosureReason.DUPLICATIVE_PROGRAM, (), "no_conflict"),
    (ClosureReason.DUPLICATIVE_PROGRAM, (HOSPICE,), "choice_not_explained"),
    (ClosureReason.DUPLICATIVE_PROGRAM, (ELSEWHERE,), "choice_not_explained"),
    (ClosureReason.DUPLICATIVE_PROGRAM, (ELSEWHERE, said(ConflictSettled(raised="conflict-1", outcome="ours"))), "no_conflict"),
    (ClosureReason.LOST_MEDI_CAL, (), "coverage_not_lost"),
    (
        ClosureReason.LOST_MEDI_CAL,
        (told(MEMBER, CoverageLost(), DAY_ONE), told(MEMBER, CoverageRestored(), DAY_TWO)),
        "coverage_not_lost",
    ),
    (ClosureReason.NOT_REAUTHORIZED, (), "not_denied"),
    (ClosureReason.NOT_REAUTHORIZED, (grant("initial", date(2026, 11, 20), date(2027, 3, 1)),), "not_denied"),
    (ClosureReason.OTHER, (), "note_missing"),
]


@pytest.mark.parametrize(("reason", "before", "code"), NO_REASON_YET, ids=lambda v: v if isinstance(v, str) else None)
def test_a_reason_rests_on_what_is_on_record(reason: ClosureReason, before: tuple[Told, ...], code: str) -> None:
    programme(*before).when(close(reason), LATER).refused(code)


REASON_ENOUGH = [
    (ClosureReason.GOALS_MET, (ENROLLED, *STEPPED_DOWN, said(OLD_PLAN[0]), GOALS_DONE)),
    (ClosureReason.STEP_DOWN, (ENROLLED, *STEPPED_DOWN)),
    (ClosureReason.MEMBER_WITHDREW, (ENROLLED,)),
    (ClosureReason.INCARCERATED, (said(EpisodeHeld(reason="jail", code=HoldCode.INCARCERATED)),)),
    (
        ClosureReason.INCARCERATED,
        (told(MEMBER, CircumstanceNoted(circumstance=Circumstance.INCARCERATED, learned_from="county"), DAY_ONE),),
    ),
    (ClosureReason.DUPLICATIVE_PROGRAM, (HOSPICE, said(ChoiceExplained(raised="conflict-2", how="phone")))),
    (ClosureReason.DUPLICATIVE_PROGRAM, (ELSEWHERE, said(ConflictSettled(raised="conflict-1", outcome="theirs")))),
    (ClosureReason.LOST_MEDI_CAL, (told(MEMBER, CoverageLost(), DAY_ONE),)),
    (ClosureReason.NOT_REAUTHORIZED, (grant("initial", date(2026, 11, 20), date(2027, 2, 28)),)),
    (
        ClosureReason.NOT_REAUTHORIZED,
        (
            said(AuthorisationRequested(request="R", basis=AuthorisationBasis.INITIAL)),
            said(AuthorisationDenied(request="R", communicated_on=date(2026, 11, 20)), DAY_TWO),
        ),
    ),
    (ClosureReason.CHANGED_PLAN, ()),
    (ClosureReason.MOVED_COUNTY, ()),
    (ClosureReason.MOVED_COUNTRY, ()),
]


@pytest.mark.parametrize(("reason", "before"), REASON_ENOUGH, ids=lambda v: v if isinstance(v, str) else None)
def test_a_reason_that_is_on_record_closes(reason: ClosureReason, before: tuple[Told, ...]) -> None:
    programme(*before).when(close(reason), LATER).then(*closed(reason))


def test_another_reason_is_said_in_words() -> None:
    programme().when(close(ClosureReason.OTHER, note="  "), DAY_TWO).refused("note_missing")
    programme().when(close(ClosureReason.OTHER, note="joined a trial"), DAY_TWO).then(
        *closed(ClosureReason.OTHER, "joined a trial")
    )


def test_every_reason_is_decided_on_by_somebody_and_tried_here() -> None:
    elsewhere = {ClosureReason.UNSAFE, ClosureReason.UNABLE_TO_REACH, ClosureReason.DECEASED, ClosureReason.OTHER}
    by_another_name = {ClosureReason.DECLINED, ClosureReason.ASSIGNMENT_WITHDRAWN}
    assert {reason for reason, _ in REASON_ENOUGH} | elsewhere | by_another_name == set(ClosureReason)


def test_a_granted_appeal_takes_the_denial_back() -> None:
    asked = said(AuthorisationRequested(request="R", basis=AuthorisationBasis.INITIAL))
    denied = said(AuthorisationDenied(request="R", communicated_on=date(2026, 11, 20)))
    granted = grant("initial", date(2026, 11, 20), date(2027, 11, 19), when=DAY_TWO)
    programme(asked, denied, granted).when(close(ClosureReason.NOT_REAUTHORIZED), LATER).refused("not_denied")


def test_a_closure_is_the_lead_s_to_decide_and_a_supervisor_s() -> None:
    led = said(LeadCareManagerAssigned(staff=LEAD))
    reason = ClosureReason.MOVED_COUNTY
    programme(led).when(close(reason), DAY_TWO).then(*closed(reason))
    programme(led).when(close(reason, by=NURSE), DAY_TWO).refused("not_the_lead")
    programme(led).when(close(reason, by=BOSS), DAY_TWO).then(*closed(reason))
    programme(led).when(close(reason, by=SYSTEM), DAY_TWO).then(*closed(reason))
    programme().when(close(reason, by=NURSE), DAY_TWO).then(*closed(reason))  # where nobody leads, any care manager decides
    programme(led).when(close(reason, by=OFFICE), DAY_TWO).refused("not_authorised")
    programme(led).when(close(ClosureReason.UNSAFE), DAY_TWO).refused("not_authorised")
    programme(led).when(close(ClosureReason.UNSAFE, by=BOSS), DAY_TWO).then(*closed(ClosureReason.UNSAFE))


@pytest.mark.parametrize(("before", "reason"), [((), ClosureReason.DECLINED), ((ENROLLED,), ClosureReason.MEMBER_WITHDREW)])
def test_a_member_s_no_closes_at_once_and_is_named_by_whether_they_took_part(
    before: tuple[Told, ...], reason: ClosureReason
) -> None:
    decline = Decline(stream=EPISODE, by=LEAD, how="phone", reason="enough")
    declined = MemberDeclined(member=MEMBER, how="phone", reason="enough")
    programme(*before).when(decline, DAY_TWO).then(declined, *closed(reason))
    over = (
        *before,
        said(declined),
        said(EpisodeClosed(reason=reason)),
        told(CLAIM, Released(holder=EPISODE, because=reason), DAY_ONE),
    )
    programme(*over).when(decline, DAY_TWO).then()
    listed = ReceiveAssignment(stream=NEW, by="source:plan", member=MEMBER, plan="default", received_at=at(DAY_TWO))
    programme(*over).when(listed, DAY_TWO).refused("declined_before")


def test_what_goes_before_a_step_down() -> None:
    agree = AgreeStepDown(stream=EPISODE, by=LEAD, how="in_person")
    programme().when(agree, DAY_TWO).then(StepDownAgreed(how="in_person"))
    programme(STEPPED_DOWN[0]).when(agree, DAY_TWO).then()
    hand_off = MakeWarmHandOff(stream=EPISODE, by=LEAD, to="complex_care_management", how="call", with_whom="Ms Ito")
    made = WarmHandOffMade(to="complex_care_management", how="call", with_whom="Ms Ito")
    programme(STEPPED_DOWN[1]).when(hand_off, DAY_TWO).then(made)
    programme(said(made)).when(hand_off, DAY_TWO).then()
    programme().when(MakeWarmHandOff(stream=EPISODE, by=LEAD, to="nobody", how="call"), DAY_TWO).refused("hand_off_unknown")


def test_a_notice_of_action_comes_also_after_the_closure() -> None:
    def notice(**more: Any) -> RecordNoticeOfAction:
        days = {"sent_on": date(2026, 11, 20), "effective_on": date(2026, 12, 1), "appeal_until": date(2027, 1, 19)}
        return RecordNoticeOfAction(**({"stream": EPISODE, "by": OFFICE} | days | more))

    received = NoticeOfActionReceived(sent_on=date(2026, 11, 20), effective_on=date(2026, 12, 1), appeal_until=date(2027, 1, 19))
    programme().when(notice(), DAY_TWO).then(received)
    over = said(EpisodeClosed(reason=ClosureReason.MOVED_COUNTY))
    programme(over).when(notice(), DAY_TWO).then(received)
    programme(over, said(received)).when(notice(), DAY_TWO).then()
    programme().when(notice(appeal_until=date(2026, 11, 19)), DAY_TWO).refused("notice_ends_first")
    programme().when(notice(sent_on=date(2026, 11, 22)), DAY_TWO).refused("sent_in_the_future")


def test_a_new_episode_names_one_of_the_same_member_as_the_one_before() -> None:
    over = (
        said(EpisodeClosed(reason=ClosureReason.MOVED_COUNTY)),
        told(CLAIM, Released(holder=EPISODE, because="MOVED_COUNTY"), DAY_ONE),
    )
    again = ReceiveAssignment(stream=NEW, by=BOSS, member=MEMBER, plan="default", received_at=at(DAY_TWO), reengage=True)
    (received, *_) = programme(*over).when(again, DAY_TWO).decision
    assert isinstance(received, AssignmentReceived) and received.previous == EPISODE
    theirs = ReceiveAssignment(stream=NEW, by=BOSS, member=MEMBER, plan="default", received_at=at(DAY_TWO), previous="episode-9")
    programme(*over).when(theirs, DAY_TWO).refused("not_their_episode")
    programme().when(ReinstateEpisode(stream=EPISODE, by=BOSS, reason="mistake"), DAY_TWO).then()


# --- turning points that end nothing -------------------------------------------------------------------------------------------


def test_a_21st_birthday_and_the_end_of_a_pregnancy_ask_for_a_look_at_the_criteria() -> None:
    born = told(MEMBER, IdentityCorrected(birth_date="2006-02-15", reason="card"), DAY_ONE, id="born-1")
    pregnant = told(MEMBER, CircumstanceNoted(circumstance=Circumstance.PREGNANT, learned_from="member"), DAY_ONE)
    ended = told(MEMBER, CircumstanceEnded(circumstance=Circumstance.PREGNANT), "2027-01-10 10:00 PST", id="ended-1")
    after = programme(ENROLLED, born, pregnant, ended)
    member, episode = after.memory.load(MEMBER).state, after.memory.load(EPISODE).state
    zone = "America/Los_Angeles"
    assert milestones(member, at(DAY_ONE), zone) == (
        Milestone(PREGNANCY_ENDED, at("2027-01-10 10:00 PST"), "ended-1"),
        Milestone(TURNED_21, at("2027-02-15 00:00 PST"), "born-1"),
    )
    assert [m.reason for m in to_consider(episode.said, member, at(DAY_ONE), zone)] == [PREGNANCY_ENDED, TURNED_21]
    looked = episode_said(ENROLLED, said(DiscontinuationConsidered(outcome="continue"), "2027-01-20 10:00 PST"))
    assert [m.reason for m in to_consider(looked, member, at(DAY_ONE), zone)] == [TURNED_21]
    assert milestones(member, at("2027-02-15 00:00 PST"), zone) == ()
