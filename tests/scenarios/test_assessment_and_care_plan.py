"""Assessment, care plan, and who may be told of them: scenarios 31, 32, 38 (its questions), 39 and 43 of domain.md, section 7."""

from __future__ import annotations

from datetime import date

import pytest

from domain.core import Refusal
from domain.episode.assessments import (
    AbandonAssessment,
    AnswerAssessment,
    AssessmentCompleted,
    AssessmentKind,
    BeginAssessment,
    CompleteAssessment,
    assessments,
    questions_of,
)
from domain.episode.assessments import withheld as answers_withheld
from domain.episode.care_plans import (
    CarePlan,
    CarePlanCopyGiven,
    FinishTask,
    GiveCarePlanCopy,
    Goal,
    GoalState,
    MeetGoal,
    ReviewCarePlan,
    Task,
    WriteCarePlan,
    care_plan,
    care_plans,
    shared,
    withheld,
)
from domain.episode.enrolment import Enrol
from domain.episode.leads import HandOver
from domain.member.decider import Member
from domain.member.sharing import (
    Audience,
    AuthoriseDataSharing,
    EndAuthority,
    NameParty,
    RevokeDataSharing,
    ShowAuthority,
    Why,
)
from domain.questionnaires import Question, QuestionKind
from domain.staff.decider import ShowLicence
from domain.staff.facts import Licence
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, NURSE, Story, at, book

QUESTIONS = DEFAULT.questionnaire[0]
FOLLOWUP = "followup-1"
LTSS = tuple(q.key for q in QUESTIONS.question if q.ltss)

HOUSING = Goal(goal="housing-1", topic="housing")
SOBER = Goal(goal="sober-1", topic="substance_use")
CALM = Goal(goal="calm-1", topic="mental_health")
VOUCHER = Task(task="voucher", goal="housing-1", owner=LEAD, due_on=date(2026, 12, 15))
CLINIC = Task(task="clinic", goal="sober-1", owner="substance_use_treatment", due_on=date(2026, 12, 20))
TEXTS = {"housing-1": "A room of my own", "sober-1": "No relapse", "calm-1": "Sleep", "voucher": "Apply", "clinic": "First visit"}


def enrolled(starts: str = "2026-11-02 10:00 PST") -> Story:
    story = Story(starts).assigned()
    story.do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    return story


def an_answer(question: Question) -> str:
    match question.kind:
        case QuestionKind.YES_NO:
            return "no"
        case QuestionKind.CHOICE:
            return question.choices[0]
        case QuestionKind.NUMBER:
            return "2"
        case QuestionKind.TEXT:
            return "said in the member's own words"


def answer(*keys: str, by: str = LEAD, **said: str) -> AnswerAssessment:
    questions = {**{k: an_answer(q) for k in keys if (q := QUESTIONS.named(k)) is not None}, **said}
    return AnswerAssessment(stream=EPISODE, by=by, questions=tuple(questions), answers=tuple(questions.values()))


def write(*goals: Goal, tasks: tuple[Task, ...] = (), by: str = LEAD, **more: object) -> WriteCarePlan:
    texts = {id: TEXTS[id] for id in (*(g.goal for g in goals), *(t.task for t in tasks))}
    return WriteCarePlan(stream=EPISODE, by=by, goals=goals, tasks=tasks, member_took_part="in_person", texts=texts, **more)  # type: ignore[arg-type]


def the_plan(story: Story) -> CarePlan:
    found = care_plan(story.memory.load(EPISODE).state.said)
    assert found is not None
    return found


def the_member(story: Story) -> Member:
    found = story.memory.load(MEMBER).state
    assert isinstance(found, Member)
    return found


def left_out(story: Story, audience: Audience) -> dict[str, str]:
    return {w.id: w.because.value for w in withheld(the_plan(story), audience, the_member(story), story.memory.now)}


# --- 38: the questions that an assessment must answer --------------------------------------------------------------------------


def test_38_an_assessment_is_completed_only_with_the_standard_ltss_questions() -> None:
    story = enrolled()
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    story.do(answer(*(q.key for q in QUESTIONS.required if not q.ltss and q.key != "food")))
    assert story.refused(CompleteAssessment(stream=EPISODE, by=LEAD)) == "questions_missing"
    decision = story.memory.handle(CompleteAssessment(stream=EPISODE, by=LEAD))
    assert isinstance(decision, Refusal)
    for key in (*LTSS, "food"):
        assert key in decision.because
    assert "health_rating" not in decision.because

    story.do(answer(*LTSS))
    assert story.refused(CompleteAssessment(stream=EPISODE, by=LEAD)) == "questions_missing"
    story.do(answer("food"))
    story.do(CompleteAssessment(stream=EPISODE, by=LEAD))
    assert story.facts(AssessmentCompleted, EPISODE) == [AssessmentCompleted(assessment="assessment-1")]


def test_38_a_question_that_the_member_would_rather_not_answer_was_asked() -> None:
    story = enrolled()
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    rest = tuple(q.key for q in QUESTIONS.required if q.key != "ltss_safety")
    story.do(answer(*rest, ltss_safety="declined"))
    story.do(CompleteAssessment(stream=EPISODE, by=LEAD))


def test_38_what_is_answered_after_the_day_of_completion_does_not_complete_it() -> None:
    story = enrolled()
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    story.do(answer(*(q.key for q in QUESTIONS.required if q.key != "food")))
    monday = story.memory.now
    story.on("2026-11-03 10:00 PST").do(answer("food"))
    assert story.refused(CompleteAssessment(stream=EPISODE, by=LEAD, occurred_at=monday)) == "questions_missing"
    story.do(CompleteAssessment(stream=EPISODE, by=LEAD))


def test_38_two_assessments_are_never_open_at_once() -> None:
    story = enrolled()
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    assert story.refused(BeginAssessment(stream=EPISODE, by=NURSE)) == "assessment_open"
    story.do(AbandonAssessment(stream=EPISODE, by=LEAD, reason="broken off"))
    story.do(BeginAssessment(stream=EPISODE, by=NURSE))
    story.do(answer(*(q.key for q in QUESTIONS.required)))
    story.do(CompleteAssessment(stream=EPISODE, by=NURSE))
    assert story.refused(BeginAssessment(stream=EPISODE, by=LEAD, kind=AssessmentKind.INITIAL)) == "assessed_before"
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    kinds = [a.kind for a in assessments(story.memory.load(EPISODE).state.said)]
    assert kinds == [AssessmentKind.INITIAL, AssessmentKind.INITIAL, AssessmentKind.REASSESSMENT]


# --- 39: interrupted, and resumed by somebody else -----------------------------------------------------------------------------


def test_39_each_answer_keeps_its_own_author_and_day() -> None:
    story = enrolled("2026-11-03 10:00 PST")
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    story.do(answer("health_rating", "medicines_count", food="yes"))
    story.on("2026-11-19 09:00 PST").do(HandOver(stream=EPISODE, by=BOSS, receiver=NURSE))
    story.on("2026-11-20 15:30 PST").do(answer(*LTSS, by=NURSE, food="no"))

    (found,) = assessments(story.memory.load(EPISODE).state.said)
    assert (found.answers["health_rating"].author, found.answers["health_rating"].at) == (LEAD, at("2026-11-03 10:00 PST"))
    assert (found.answers["ltss_falls"].author, found.answers["ltss_falls"].at) == (NURSE, at("2026-11-20 15:30 PST"))
    assert (found.answers["food"].text, found.answers["food"].author) == ("no", NURSE)
    assert found.open and {q.key for q in found.missing(QUESTIONS)} == {
        q.key for q in QUESTIONS.required if q.key not in (*LTSS, "health_rating", "medicines_count", "food")
    }


def test_39_what_was_said_earlier_and_written_down_later_does_not_replace_a_later_answer() -> None:
    story = enrolled("2026-11-03 10:00 PST")
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    morning = story.on("2026-11-04 09:00 PST").memory.now
    story.on("2026-11-04 15:00 PST").do(answer(by=NURSE, food="no"))
    first = answer(food="yes")
    story.do(AnswerAssessment(stream=EPISODE, by=LEAD, occurred_at=morning, questions=first.questions, answers=first.answers))
    (found,) = assessments(story.memory.load(EPISODE).state.said)
    assert (found.answers["food"].text, found.answers["food"].author) == ("no", NURSE)


# --- 43: versions, and the copy ------------------------------------------------------------------------------------------------


def test_43_a_change_is_a_new_version_and_the_prior_one_stays_readable() -> None:
    story = enrolled("2026-11-20 10:00 PST")
    story.do(write(HOUSING, tasks=(VOUCHER,)))
    story.on("2026-11-21 10:00 PST").do(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="member", how="in_person"))
    story.on("2026-11-25 10:00 PST").do(FinishTask(stream=EPISODE, by=LEAD, task="voucher"))
    assert the_plan(story).version == 1 and the_plan(story).copy_given_at == at("2026-11-21 10:00 PST")

    story.on("2026-12-01 10:00 PST").do(write(HOUSING, SOBER, tasks=(VOUCHER, CLINIC), replaces=1))
    first, second = care_plans(story.memory.load(EPISODE).state.said)
    assert (first.version, len(first.goals), first.tasks[0].done_on) == (1, 1, date(2026, 11, 25))
    assert (second.version, len(second.goals), second.written_at) == (2, 2, at("2026-12-01 10:00 PST"))
    assert second.texts["sober-1"] == "No relapse"

    assert second.copy_given_at is None, "the new version is owed to the member again"
    assert story.refused(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="member", how="mail", version=1)) == "version_replaced"
    story.do(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="member", how="mail"))
    assert story.facts(CarePlanCopyGiven, EPISODE)[-1] == CarePlanCopyGiven(version=2, to="member", how="mail")


def test_43_a_copy_for_the_plan_is_not_the_members_own() -> None:
    story = enrolled("2026-11-20 10:00 PST")
    story.do(write(HOUSING))
    assert [o.state.value for o in story.all_owed("followup.care_plan.copy", FOLLOWUP)] == ["open"]
    story.do(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="primary_care", how="email"))
    assert [o.state.value for o in story.all_owed("followup.care_plan.copy", FOLLOWUP)] == ["open"]
    story.do(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="member", how="mail"))
    assert [o.state.value for o in story.all_owed("followup.care_plan.copy", FOLLOWUP)] == ["met"]


def test_43_whoever_writes_from_an_old_version_hears_of_the_new_one() -> None:
    story = enrolled()
    story.do(write(HOUSING, replaces=0))
    story.do(write(HOUSING, SOBER, replaces=1))
    assert story.refused(write(HOUSING, CALM, replaces=1, by=NURSE)) == "newer_version"


def test_43_a_goal_is_met_without_another_version() -> None:
    story = enrolled()
    story.do(write(HOUSING, CALM))
    story.do(MeetGoal(stream=EPISODE, by=LEAD, goal="housing-1"))
    plan = the_plan(story)
    assert plan.version == 1 and [g.state for g in plan.goals] == [GoalState.MET, GoalState.OPEN] and not plan.goals_all_settled


def test_43_a_plan_is_reviewed_under_a_licence_that_is_valid_that_day() -> None:
    story = enrolled()
    story.do(write(HOUSING))
    assert story.refused(ReviewCarePlan(stream=EPISODE, by=LEAD, outcome="agreed")) == "no_licence"
    story.do(ShowLicence(stream=LEAD, by=BOSS, licence=Licence.LCSW, expires_on=date(2026, 11, 30)))
    story.on("2026-12-01 00:30 PST")
    assert story.refused(ReviewCarePlan(stream=EPISODE, by=LEAD, outcome="agreed")) == "no_licence"
    story.do(ReviewCarePlan(stream=EPISODE, by=NURSE, outcome="changes_wanted", note="Add the wound care"))
    (review,) = the_plan(story).reviews
    assert (review.licence, review.by, review.outcome) == (Licence.RN, NURSE, "changes_wanted")


# --- 31: substance use and 42 CFR Part 2 ---------------------------------------------------------------------------------------


def test_31_without_an_authorisation_substance_use_is_left_out_and_everything_goes_on() -> None:
    story = enrolled()
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="care_plan", recipients=("family",), how="signed"))
    story.do(write(HOUSING, SOBER, tasks=(VOUCHER, CLINIC)))

    assert left_out(story, Audience.MEMBER) == {}
    for audience in (Audience.PLAN, Audience.FAMILY, Audience.FACILITY):
        assert left_out(story, audience) == {"sober-1": "part_2_not_authorised", "clinic": "part_2_not_authorised"}
    seen, _ = shared(the_plan(story), Audience.FAMILY, the_member(story), story.memory.now)
    assert [g.goal for g in seen.goals] == ["housing-1"] and set(seen.texts) == {"housing-1", "voucher"}

    story.do(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="caregiver", how="in_person"))
    assert story.facts(CarePlanCopyGiven, EPISODE)[-1].withheld == ("sober-1", "clinic")
    story.do(BeginAssessment(stream=EPISODE, by=LEAD))
    why = answers_withheld(QUESTIONS, Audience.PLAN, the_member(story).sharing, story.memory.now, "America/Los_Angeles")
    assert why["alcohol_use"] is Why.PART_2_NOT_AUTHORISED and "housing_now" not in why


def test_31_an_authorisation_is_of_its_audience_until_its_last_day_or_until_it_is_revoked() -> None:
    story = enrolled("2026-11-20 10:00 PST")
    story.do(write(SOBER, HOUSING))
    said = AuthoriseDataSharing(
        stream=MEMBER, by=LEAD, content="substance_use", recipients=("plan",), expires_on=date(2026, 11, 30), how="signed"
    )
    story.do(said)
    assert left_out(story, Audience.PLAN) == {}
    assert left_out(story, Audience.FACILITY) == {"sober-1": "part_2_not_authorised"}
    story.on("2026-11-30 23:59 PST")
    assert left_out(story, Audience.PLAN) == {}
    story.on("2026-12-01 00:00 PST")
    assert left_out(story, Audience.PLAN) == {"sober-1": "part_2_not_authorised"}
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="all", recipients=("plan", "facility"), how="signed"))
    assert left_out(story, Audience.FACILITY) == {}
    story.do(RevokeDataSharing(stream=MEMBER, by=LEAD, authorisation="authorisation-2", reason="changed their mind"))
    assert left_out(story, Audience.FACILITY) == {"sober-1": "part_2_not_authorised"}


def test_31_a_housing_goal_that_speaks_of_drinking_is_protected_by_its_mark() -> None:
    story = enrolled()
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="care_plan", recipients=("family",), how="signed"))
    marked = Task(task="voucher", goal="housing-1", owner="member", due_on=date(2026, 12, 15), sensitive=True)
    story.do(write(HOUSING, tasks=(marked,)))
    assert left_out(story, Audience.FAMILY) == {"voucher": "part_2_not_authorised"}


def test_31_family_is_told_nothing_without_any_word_for_it() -> None:
    story = enrolled()
    story.do(write(HOUSING, CALM))
    assert set(left_out(story, Audience.FAMILY).values()) == {"sharing_not_authorised"}
    assert story.refused(GiveCarePlanCopy(stream=EPISODE, by=LEAD, to="caregiver", how="mail")) == "sharing_not_authorised"
    assert left_out(story, Audience.PRIMARY_CARE) == {}
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="care_plan", recipients=("family",), how="verbal, then signed"))
    assert left_out(story, Audience.FAMILY) == {"calm-1": "sharing_not_authorised"}


# --- 32: a conservator ---------------------------------------------------------------------------------------------------------


def test_32_the_members_own_yes_is_recorded_and_the_legal_authority_is_checked() -> None:
    story = enrolled("2026-11-20 10:00 PST")
    story.do(write(SOBER, HOUSING))
    story.do(NameParty(stream=MEMBER, by=LEAD, relation="conservator", name="Rosa Okafor"))
    story.do(AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="all", recipients=("plan", "family"), how="said yes"))
    (given,) = the_member(story).sharing.authorisations()
    assert (given.given_by, given.recipients) == ("", ("plan", "family")), "the member's own yes stays on record"
    assert left_out(story, Audience.PLAN) == {"sober-1": "legal_authority_not_shown"}
    assert set(left_out(story, Audience.FAMILY).values()) == {"legal_authority_not_shown"}

    by_rosa = AuthoriseDataSharing(stream=MEMBER, by=LEAD, content="all", recipients=("plan",), given_by="party-1", how="signed")
    assert story.refused(by_rosa) == "authority_not_shown"
    shown = ShowAuthority(
        stream=MEMBER, by=LEAD, party="party-1", scope="share_information", document="court order", until=date(2026, 12, 31)
    )
    story.do(shown)
    assert left_out(story, Audience.LEGAL_REPRESENTATIVE) == {}
    assert left_out(story, Audience.PLAN) == {"sober-1": "legal_authority_not_shown"}, "a document seen is not yet a yes"
    story.do(by_rosa)
    assert left_out(story, Audience.PLAN) == {}
    assert set(left_out(story, Audience.FAMILY).values()) == {"legal_authority_not_shown"}

    story.on("2027-01-01 00:00 PST")
    assert left_out(story, Audience.PLAN) == {"sober-1": "legal_authority_not_shown"}, "the order has run out"
    story.do(EndAuthority(stream=MEMBER, by=LEAD, party="party-1", scope="share_information", reason="conservatorship ended"))
    assert left_out(story, Audience.PLAN) == {}, "the member's own word counts again"


@pytest.mark.parametrize("policy", ["default@2026.1"])
def test_the_questions_are_those_that_were_adopted(policy: str) -> None:
    assert DEFAULT.id == policy
    assert questions_of("ecm-core@1", book(DEFAULT)) == QUESTIONS
    assert questions_of("ecm-core@9", book(DEFAULT)) is None
