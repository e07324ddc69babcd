"""Assessment, care plan and sharing, decision by decision: given what was said, when somebody asks, then facts or a refusal."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from domain.core import Command
from domain.episode.assessments import (
    ANSWER_LENGTH_MAX,
    SITTINGS_MAX,
    AbandonAssessment,
    AnswerAssessment,
    AssessmentAbandoned,
    AssessmentAnswered,
    AssessmentBegun,
    AssessmentCompleted,
    AssessmentKind,
    BeginAssessment,
    CompleteAssessment,
)
from domain.episode.care_plans import (
    GOALS_MAX,
    TASKS_MAX,
    TEXT_LENGTH_MAX,
    CarePlanCopyGiven,
    CarePlanReviewed,
    CarePlanWritten,
    CareTaskFinished,
    FinishTask,
    GiveCarePlanCopy,
    GiveUpGoal,
    Goal,
    GoalGivenUp,
    GoalMet,
    GoalState,
    MeetGoal,
    ReviewCarePlan,
    Task,
    WriteCarePlan,
)
from domain.episode.closing import CloseEpisode, StepDownAgreed, WarmHandOffMade
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed, MemberEnrolled
from domain.member.circumstances import (
    AuthorityEnded,
    AuthorityShown,
    DataSharingAuthorised,
    DataSharingRevoked,
    PartyNamed,
)
from domain.member.facts import MemberRegistered, PersonalDataErased
from domain.member.sharing import (
    PARTIES_MAX,
    AuthoriseDataSharing,
    EndAuthority,
    NameParty,
    RevokeDataSharing,
    ShowAuthority,
)
from domain.staff.facts import Licence, LicenceShown, Role, RoleGranted, StaffJoined
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, NURSE, OFFICE, Given, Told, at, given, told, varied

MONDAY, TUESDAY, FRIDAY = "2026-11-02 10:00 PST", "2026-11-03 10:00 PST", "2026-11-06 10:00 PST"
QUESTIONS = DEFAULT.questionnaire[0]
REQUIRED = tuple(q.key for q in QUESTIONS.required)

STAFF = (
    *(told(who, StaffJoined(), MONDAY) for who in (LEAD, NURSE, BOSS, OFFICE)),
    told(LEAD, RoleGranted(role=Role.CARE_MANAGER), MONDAY),
    told(NURSE, RoleGranted(role=Role.CARE_MANAGER), MONDAY),
    told(BOSS, RoleGranted(role=Role.SUPERVISOR), MONDAY),
    told(OFFICE, RoleGranted(role=Role.OPERATOR), MONDAY),
    told(NURSE, LicenceShown(licence=Licence.RN, expires_on=date(2026, 11, 5)), MONDAY),
)
ASSIGNED = told(EPISODE, AssignmentReceived(member=MEMBER, plan="valley", received_at=at(MONDAY)), MONDAY)
KNOWN = (*STAFF, told(MEMBER, MemberRegistered(), MONDAY), ASSIGNED)

BEGUN = told(
    EPISODE,
    AssessmentBegun(assessment="assessment-1", kind=AssessmentKind.INITIAL, questionnaire="ecm-core@1", policy=DEFAULT.id),
    MONDAY,
    by=LEAD,
)
ANSWERED = told(
    EPISODE,
    AssessmentAnswered(assessment="assessment-1", questions=REQUIRED, answers=tuple("declined" for _ in REQUIRED)),
    MONDAY,
    by=LEAD,
)
COMPLETED = told(EPISODE, AssessmentCompleted(assessment="assessment-1"), MONDAY, by=LEAD)

HOUSING, SOBER = Goal(goal="housing-1", topic="housing"), Goal(goal="sober-1", topic="substance_use")
APPLY = Task(task="apply", goal="housing-1", owner=LEAD, due_on=date(2026, 12, 1))
TEXTS = {"housing-1": "A room of my own", "sober-1": "No relapse", "apply": "Apply for a voucher"}
WRITTEN = told(
    EPISODE,
    CarePlanWritten(version=1, goals=(HOUSING, SOBER), tasks=(APPLY,), member_took_part="phone", texts=TEXTS),
    MONDAY,
    by=LEAD,
)
CONSERVATOR = told(MEMBER, PartyNamed(party="party-1", relation="conservator", name="Rosa"), MONDAY)
SHOWN = told(MEMBER, AuthorityShown(party="party-1", scope="share_information", document="order", until=date(2026, 12, 31)), MONDAY)


def known(*more: Told) -> Given:
    return given(*KNOWN, *more)


def asked(kind: type[Command], by: str = LEAD, stream: str = EPISODE, **said: Any) -> Command:
    return kind(stream=stream, by=by, **said)


# --- assessment ----------------------------------------------------------------------------------------------------------------


def test_an_assessment_begins_with_the_questions_of_the_policy_in_force() -> None:
    begun = AssessmentBegun(
        assessment="assessment-1", kind=AssessmentKind.INITIAL, questionnaire="ecm-core@1", policy="default@2026.1"
    )
    known().when(asked(BeginAssessment), TUESDAY).then(begun)
    again = AssessmentBegun(
        assessment="assessment-2", kind=AssessmentKind.REASSESSMENT, questionnaire="ecm-core@1", policy="default@2026.1"
    )
    known(BEGUN, ANSWERED, COMPLETED).when(asked(BeginAssessment), TUESDAY).then(again)


def test_without_questions_no_assessment_begins() -> None:
    silent = varied(questionnaire=())
    given(*KNOWN, policies=(silent,)).when(asked(BeginAssessment), TUESDAY).refused("no_questionnaire")
    given(*KNOWN, policies=(varied(questionnaire=(), follow_up=None),)).when(asked(BeginAssessment), TUESDAY).refused(
        "no_questionnaire"
    )
    without_the_year = varied(follow_up=None)
    decision = given(*KNOWN, policies=(without_the_year,)).when(asked(BeginAssessment), TUESDAY).decision
    assert isinstance(decision, tuple) and decision[0].questionnaire == "ecm-core@1"  # type: ignore[union-attr]


def answers(*pairs: tuple[str, str], **more: Any) -> Command:
    return asked(AnswerAssessment, questions=tuple(k for k, _ in pairs), answers=tuple(v for _, v in pairs), **more)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (answers(), "answers_do_not_fit"),
        (asked(AnswerAssessment, questions=("food", "pain"), answers=("yes",)), "answers_do_not_fit"),
        (asked(AnswerAssessment, questions=("food",)), "answers_do_not_fit"),
        (answers(("food", "yes"), ("food", "no")), "question_twice"),
        (answers(("favourite_colour", "blue")), "unknown_question"),
        (answers(("food", "sometimes")), "answer_unfit"),
        (answers(("food", " ")), "answer_unfit"),
        (answers(("medicines_count", "a few")), "answer_unfit"),
        (answers(("health_rating", "splendid")), "answer_unfit"),
        (answers(("member_goals", "x" * (ANSWER_LENGTH_MAX + 1))), "answer_unfit"),
        (answers(("food", "yes"), assessment="assessment-9"), "unknown_assessment"),
        (answers(("food", "yes"), occurred_at=at("2026-11-02 09:00 PST")), "before_it_began"),
        (answers(("food", "yes"), occurred_at=at(FRIDAY)), "in_the_future"),
        (answers(("food", "yes"), by="source:plan"), "actor_unknown"),
        (answers(("food", "yes"), by=OFFICE), "not_authorised"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused(command: Command, code: str) -> None:
    known(BEGUN).when(command, TUESDAY).refused(code)


def test_answers_are_saved_as_they_are_given() -> None:
    pairs = (("food", "yes"), ("medicines_count", "12"), ("health_rating", "fair"), ("ltss_falls", "declined"))
    saved = AssessmentAnswered(assessment="assessment-1", questions=tuple(k for k, _ in pairs), answers=tuple(v for _, v in pairs))
    known(BEGUN).when(answers(*pairs, by=NURSE), TUESDAY).then(saved)


def test_an_assessment_is_saved_so_many_times_at_most() -> None:
    one = AssessmentAnswered(assessment="assessment-1", questions=("food",), answers=("yes",))
    saved = [told(EPISODE, one, MONDAY, by=LEAD) for _ in range(SITTINGS_MAX)]
    known(BEGUN, *saved).when(answers(("food", "no")), TUESDAY).refused("too_many_sittings")


def test_what_is_over_stays_as_it_is() -> None:
    over = known(BEGUN, ANSWERED, COMPLETED)
    over.when(answers(("food", "no")), TUESDAY).refused("assessment_completed")
    over.when(asked(CompleteAssessment), TUESDAY).then()
    over.when(asked(AbandonAssessment, reason="late"), TUESDAY).refused("assessment_completed")
    abandoned = known(BEGUN, told(EPISODE, AssessmentAbandoned(assessment="assessment-1", reason="broke off"), MONDAY))
    abandoned.when(answers(("food", "no")), TUESDAY).refused("assessment_abandoned")
    abandoned.when(asked(CompleteAssessment), TUESDAY).refused("assessment_abandoned")
    abandoned.when(asked(AbandonAssessment, reason="again"), TUESDAY).then()
    known().when(asked(CompleteAssessment), TUESDAY).refused("unknown_assessment")


def test_an_erased_members_assessment_can_still_be_completed() -> None:
    """Which questions were answered stays known; what was said does not."""
    erased = told(EPISODE, AssessmentAnswered(assessment="assessment-1", questions=REQUIRED, answers=None), MONDAY, by=LEAD)
    known(BEGUN, erased, told(MEMBER, PersonalDataErased(reason="asked"), MONDAY)).when(asked(CompleteAssessment), TUESDAY).then(
        AssessmentCompleted(assessment="assessment-1")
    )


def test_what_is_dated_back_beyond_the_grace_needs_a_supervisor() -> None:
    complete: dict[str, Any] = {"occurred_at": at("2026-11-02 12:00 PST")}
    known(BEGUN, ANSWERED).when(asked(CompleteAssessment, **complete), FRIDAY).refused("dated_back")
    known(BEGUN, ANSWERED).when(asked(CompleteAssessment, by=BOSS, **complete), FRIDAY).then(
        AssessmentCompleted(assessment="assessment-1")
    )


def test_a_closed_episode_takes_neither_answers_nor_plans() -> None:
    closed = told(EPISODE, EpisodeClosed(reason=ClosureReason.OTHER), MONDAY)
    known(BEGUN, closed).when(answers(("food", "no")), TUESDAY).refused("episode_closed")
    known(WRITTEN, closed).when(asked(MeetGoal, goal="housing-1"), TUESDAY).refused("episode_closed")


# --- care plan -----------------------------------------------------------------------------------------------------------------


def write(**said: Any) -> Command:
    fields = {"goals": (HOUSING,), "tasks": (APPLY,), "member_took_part": "in_person"} | said
    ids = [*(g.goal for g in fields["goals"]), *(t.task for t in fields["tasks"])]
    fields.setdefault("texts", {id: TEXTS.get(id, "words") for id in ids})
    return asked(WriteCarePlan, **fields)


def many(count: int) -> tuple[Goal, ...]:
    return tuple(Goal(goal=f"g-{n}", topic="food") for n in range(count))


def chores(count: int) -> tuple[Task, ...]:
    return tuple(Task(task=f"t-{n}", goal="housing-1", owner="nurse", due_on=date(2026, 12, 1)) for n in range(count))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (write(goals=(), tasks=()), "number_of_goals"),
        (write(goals=many(GOALS_MAX + 1), tasks=()), "number_of_goals"),
        (write(tasks=chores(TASKS_MAX + 1)), "number_of_tasks"),
        (write(goals=(Goal(goal="A room!", topic="housing"),), tasks=()), "id_faulty"),
        (write(goals=(HOUSING, HOUSING), tasks=()), "id_twice"),
        (write(goals=(Goal(goal="g-1", topic="substance-use"),), tasks=()), "unknown_topic"),
        (write(tasks=(Task(task="t-1", goal="nowhere", owner="nurse", due_on=date(2026, 12, 1)),)), "task_without_goal"),
        (write(tasks=(Task(task="t-1", goal="housing-1", owner="nurse"),)), "task_without_due"),
        (write(tasks=(Task(task="t-1", goal="housing-1", owner="somebody", due_on=date(2026, 12, 1)),)), "unknown_owner"),
        (write(tasks=(Task(task="t-1", goal="housing-1", owner="staff-gone", due_on=date(2026, 12, 1)),)), "unknown_owner"),
        (write(texts={"housing-1": "x"}), "text_missing"),
        (write(texts={"housing-1": "x", "apply": "x", "ghost": "x"}), "text_of_nothing"),
        (write(texts={"housing-1": "x" * (TEXT_LENGTH_MAX + 1), "apply": "x"}), "text_too_long"),
        (write(member_took_part="telepathy"), "participation_unknown"),
        (write(replaces=3), "newer_version"),
        (write(by=OFFICE), "not_authorised"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_meant_is_refused(command: Command, code: str) -> None:
    known().when(command, TUESDAY).refused(code)


def test_a_plan_is_written_as_the_next_version() -> None:
    texts = {"housing-1": "A room of my own", "apply": "Apply for a voucher"}
    known().when(write(), TUESDAY).then(
        CarePlanWritten(version=1, goals=(HOUSING,), tasks=(APPLY,), member_took_part="in_person", texts=texts)
    )
    known(WRITTEN).when(write(replaces=1), TUESDAY).then(
        CarePlanWritten(version=2, goals=(HOUSING,), tasks=(APPLY,), member_took_part="in_person", texts=texts)
    )
    same = write(goals=(HOUSING, SOBER), member_took_part="phone")
    known(WRITTEN).when(same, TUESDAY).then()
    known(told(EPISODE, CarePlanWritten(version=1, goals=(HOUSING,), tasks=(), member_took_part="phone"), TUESDAY)).when(
        write(occurred_at=at("2026-11-03 09:00 PST")), "2026-11-03 12:00 PST"
    ).refused("before_it_was_written")


def test_goals_and_tasks_are_settled_once() -> None:
    known(WRITTEN).when(asked(MeetGoal, goal="housing-1"), TUESDAY).then(GoalMet(version=1, goal="housing-1"))
    given_up = GoalGivenUp(version=1, goal="sober-1", reason="wants to wait")
    known(WRITTEN).when(asked(GiveUpGoal, goal="sober-1", reason="wants to wait"), TUESDAY).then(given_up)
    known(WRITTEN).when(asked(FinishTask, task="apply"), TUESDAY).then(CareTaskFinished(version=1, task="apply"))
    done = known(
        WRITTEN,
        told(EPISODE, GoalMet(version=1, goal="housing-1"), TUESDAY),
        told(EPISODE, CareTaskFinished(version=1, task="apply"), TUESDAY),
    )
    done.when(asked(MeetGoal, goal="housing-1"), TUESDAY).then()
    done.when(asked(GiveUpGoal, goal="housing-1"), TUESDAY).refused("goal_settled")
    done.when(asked(FinishTask, task="apply"), TUESDAY).then()
    done.when(asked(MeetGoal, goal="nothing"), TUESDAY).refused("unknown_goal")
    done.when(asked(FinishTask, task="nothing"), TUESDAY).refused("unknown_task")
    known().when(asked(MeetGoal, goal="housing-1"), TUESDAY).refused("no_care_plan")
    met = Goal(goal="housing-1", topic="housing", state=GoalState.MET)
    carried = told(EPISODE, CarePlanWritten(version=1, goals=(met,), tasks=(), member_took_part="phone"), MONDAY)
    known(carried).when(asked(MeetGoal, goal="housing-1"), TUESDAY).then()
    late = asked(MeetGoal, goal="housing-1", occurred_at=at("2026-11-02 09:00 PST"))
    known(WRITTEN).when(late, "2026-11-02 12:00 PST").refused("before_it_was_written")


def test_goals_that_were_given_up_are_not_met() -> None:
    close = asked(CloseEpisode, reason=ClosureReason.GOALS_MET)
    enrolled = told(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), MONDAY)
    agreed = told(EPISODE, StepDownAgreed(how="in_person"), MONDAY)
    handed = told(EPISODE, WarmHandOffMade(to="basic_population_health", how="phone"), MONDAY)
    met, given_up = GoalMet(version=1, goal="housing-1"), [GoalGivenUp(version=1, goal=g) for g in ("housing-1", "sober-1")]
    base = (enrolled, agreed, handed, WRITTEN)
    known(*base, told(EPISODE, met, MONDAY)).when(close, TUESDAY).refused("goals_open")
    known(*base, *(told(EPISODE, fact, MONDAY) for fact in given_up)).when(close, TUESDAY).refused("no_goal_met")
    settled = known(*base, told(EPISODE, met, MONDAY), told(EPISODE, given_up[1], MONDAY)).when(close, TUESDAY).decision
    assert isinstance(settled, tuple) and EpisodeClosed(reason=ClosureReason.GOALS_MET) in settled


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"to": "neighbour", "how": "mail"}, "recipient_unknown"),
        ({"to": "member", "how": "pigeon"}, "way_unknown"),
        ({"to": "member", "how": "mail", "version": 2}, "no_care_plan"),
        ({"to": "caregiver", "how": "mail"}, "sharing_not_authorised"),
        ({"to": "guardian", "how": "mail"}, "legal_authority_not_shown"),
    ],
)
def test_a_copy_that_may_not_be_given_is_refused(said: dict[str, Any], code: str) -> None:
    known(WRITTEN).when(asked(GiveCarePlanCopy, **said), TUESDAY).refused(code)


def test_a_copy_says_what_it_left_out() -> None:
    known(WRITTEN).when(asked(GiveCarePlanCopy, to="member", how="mail"), TUESDAY).then(
        CarePlanCopyGiven(version=1, to="member", how="mail")
    )
    known(WRITTEN).when(asked(GiveCarePlanCopy, to="primary_care", how="email"), TUESDAY).then(
        CarePlanCopyGiven(version=1, to="primary_care", how="email", withheld=("sober-1",))
    )
    known(WRITTEN, CONSERVATOR, SHOWN).when(asked(GiveCarePlanCopy, to="conservator", how="mail"), TUESDAY).then(
        CarePlanCopyGiven(version=1, to="conservator", how="mail")
    )


def test_a_review_stands_under_a_licence_of_that_day() -> None:
    reviewed = CarePlanReviewed(version=1, outcome="agreed", licence=Licence.RN, note="fine")
    review = {"outcome": "agreed", "note": "fine"}
    known(WRITTEN).when(asked(ReviewCarePlan, NURSE, **review), "2026-11-05 23:00 PST").then(reviewed)
    known(WRITTEN).when(asked(ReviewCarePlan, NURSE, **review), "2026-11-06 00:30 PST").refused("no_licence")
    yesterday = asked(ReviewCarePlan, NURSE, **review, occurred_at=at("2026-11-05 10:00 PST"))
    known(WRITTEN).when(yesterday, "2026-11-06 00:30 PST").then(reviewed)
    known(WRITTEN).when(asked(ReviewCarePlan, LEAD, **review), TUESDAY).refused("no_licence")
    practical = told(LEAD, LicenceShown(licence=Licence.LVN, expires_on=date(2027, 1, 1)), MONDAY)
    known(WRITTEN, practical).when(asked(ReviewCarePlan, LEAD, **review), TUESDAY).refused("no_licence")
    known(WRITTEN).when(asked(ReviewCarePlan, NURSE, outcome="shrug"), TUESDAY).refused("outcome_unknown")
    long = "x" * (TEXT_LENGTH_MAX + 1)
    known(WRITTEN).when(asked(ReviewCarePlan, NURSE, outcome="agreed", note=long), TUESDAY).refused("text_too_long")


# --- sharing -------------------------------------------------------------------------------------------------------------------


def of_member(kind: type[Command], by: str = LEAD, **said: Any) -> Command:
    return asked(kind, by, MEMBER, **said)


def test_people_are_named_and_put_right() -> None:
    rosa = PartyNamed(party="party-1", relation="conservator", name="Rosa", phone=None)
    known().when(of_member(NameParty, relation="conservator", name="Rosa"), TUESDAY).then(rosa)
    known().when(of_member(NameParty, relation="landlord", name="Rosa"), TUESDAY).refused("unknown_relation")
    known().when(of_member(NameParty, relation="sibling"), TUESDAY).refused("name_missing")
    known().when(of_member(NameParty, relation="sibling", party="party-4", name="Al"), TUESDAY).refused("unknown_party")
    known(CONSERVATOR).when(of_member(NameParty, relation="conservator", party="party-1"), TUESDAY).then()
    known(CONSERVATOR).when(of_member(NameParty, relation="conservator", party="party-1", phone="+1415"), TUESDAY).then(
        PartyNamed(party="party-1", relation="conservator", phone="+1415")
    )
    crowd = [told(MEMBER, PartyNamed(party=f"party-{n + 1}", relation="friend", name="F"), MONDAY) for n in range(PARTIES_MAX)]
    known(*crowd).when(of_member(NameParty, relation="friend", name="One more"), TUESDAY).refused("too_many_parties")


def test_authority_is_shown_by_a_document_that_holds() -> None:
    show: dict[str, Any] = {
        "party": "party-1",
        "scope": "share_information",
        "document": "order",
        "until": date(2026, 12, 31),
    }
    known(CONSERVATOR).when(of_member(ShowAuthority, **show), TUESDAY).then(AuthorityShown(**show))
    known(CONSERVATOR, SHOWN).when(of_member(ShowAuthority, **show), TUESDAY).then()
    known().when(of_member(ShowAuthority, **show), TUESDAY).refused("unknown_party")
    known(CONSERVATOR).when(of_member(ShowAuthority, **(show | {"scope": "everything"})), TUESDAY).refused("unknown_scope")
    known(CONSERVATOR).when(of_member(ShowAuthority, **(show | {"document": ""})), TUESDAY).refused("document_missing")
    old = show | {"until": date(2026, 11, 2)}
    known(CONSERVATOR).when(of_member(ShowAuthority, **old), TUESDAY).refused("document_expired")
    end = {"party": "party-1", "scope": "share_information", "reason": "order lifted"}
    known(CONSERVATOR, SHOWN).when(of_member(EndAuthority, **end), TUESDAY).then(AuthorityEnded(**end))
    known(CONSERVATOR).when(of_member(EndAuthority, **end), TUESDAY).then(AuthorityEnded(**end))
    known(CONSERVATOR, told(MEMBER, AuthorityEnded(**end), MONDAY)).when(of_member(EndAuthority, **end), TUESDAY).then()
    known(CONSERVATOR).when(of_member(ShowAuthority, "source:plan", **show), TUESDAY).refused("not_authorised")


def test_a_word_on_sharing_is_given_and_taken_back() -> None:
    say: dict[str, Any] = {"content": "substance_use", "recipients": ("plan", "plan"), "how": "signed form"}
    given_word = DataSharingAuthorised(
        authorisation="authorisation-1", content="substance_use", recipients=("plan",), how="signed form"
    )
    stands = told(MEMBER, given_word, MONDAY)
    known().when(of_member(AuthoriseDataSharing, **say), TUESDAY).then(given_word)
    known(stands).when(of_member(AuthoriseDataSharing, **say), TUESDAY).then()
    for changed, code in (
        ({"content": "gossip"}, "unknown_content"),
        ({"recipients": ()}, "unknown_recipient"),
        ({"recipients": ("press",)}, "unknown_recipient"),
        ({"given_by": "party-9"}, "unknown_party"),
        ({"expires_on": date(2026, 11, 2)}, "expired_already"),
        ({"how": "x" * 201}, "too_long"),
    ):
        known().when(of_member(AuthoriseDataSharing, **(say | changed)), TUESDAY).refused(code)
    by_rosa = of_member(AuthoriseDataSharing, **(say | {"given_by": "party-1"}))
    known(CONSERVATOR).when(by_rosa, TUESDAY).refused("authority_not_shown")
    known(CONSERVATOR, SHOWN).when(by_rosa, TUESDAY).then(
        DataSharingAuthorised(
            authorisation="authorisation-1", content="substance_use", recipients=("plan",), given_by="party-1", how="signed form"
        )
    )
    revoke = of_member(RevokeDataSharing, authorisation="authorisation-1", reason="on the phone")
    revoked = DataSharingRevoked(authorisation="authorisation-1", reason="on the phone")
    known(stands).when(revoke, TUESDAY).then(revoked)
    known(stands, told(MEMBER, revoked, TUESDAY)).when(revoke, TUESDAY).then()
    known().when(revoke, TUESDAY).refused("unknown_authorisation")
    renewed = known(stands, told(MEMBER, revoked, TUESDAY)).when(of_member(AuthoriseDataSharing, **say), FRIDAY).decision
    assert isinstance(renewed, tuple) and renewed[0].authorisation == "authorisation-2"  # type: ignore[union-attr]


def test_names_are_forgotten_with_the_member() -> None:
    state = known(CONSERVATOR, told(MEMBER, PersonalDataErased(reason="asked"), TUESDAY)).memory.load(MEMBER).state
    (party,) = state.sharing.parties()
    assert (party.relation, party.name) == ("conservator", None)
