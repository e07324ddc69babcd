"""Assessments and care plans as they are read: lists, the papers themselves, what an audience sees, and what was known when."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain import catalog
from domain.adoption.facts import PolicyAdopted
from domain.episode.assessments import (
    AssessmentAbandoned,
    AssessmentAnswered,
    AssessmentBegun,
    AssessmentCompleted,
    AssessmentKind,
)
from domain.episode.care_plans import (
    CarePlanCopyGiven,
    CarePlanReviewed,
    CarePlanWritten,
    CareTaskFinished,
    Goal,
    GoalMet,
    Task,
)
from domain.episode.facts import AssignmentReceived, LeadCareManagerAssigned
from domain.member.circumstances import AuthorityShown, DataSharingAuthorised, DataSharingRevoked, PartyNamed
from domain.member.facts import MemberRegistered
from domain.staff.facts import Licence, StaffJoined
from projections.answers import BadFilter
from projections.queries import Queries
from projections.registry import read_models
from tests.given import DEFAULT, POLICIES
from tests.projections.conftest import INDEX_KEY, World

MEMBER, EPISODE, LEAD, NURSE = "member-1", "episode-1", "staff-lead", "staff-nurse"
MONDAY = datetime(2026, 11, 2, 18, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = MONDAY + 30 * DAY

HOUSING, SOBER = Goal(goal="housing-1", topic="housing"), Goal(goal="sober-1", topic="substance_use")
VOUCHER = Task(task="voucher", goal="housing-1", owner=LEAD, due_on=date(2026, 11, 20))
CLINIC = Task(task="clinic", goal="sober-1", owner="substance_use_treatment", due_on=date(2026, 12, 20))
TEXTS = {"housing-1": "A room of my own", "sober-1": "No relapse", "voucher": "Apply", "clinic": "First visit"}


def the_world(world_of: Callable[[Sequence[Any]], World]) -> tuple[World, Queries]:
    world = world_of(catalog.FACTS)
    text = (POLICIES / "default.toml").read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    adopted = PolicyAdopted(plan="default", version=DEFAULT.version, effective_on=DEFAULT.effective_on, text=text, sha256=digest)
    pen = world.pen
    pen.now = MONDAY
    pen.write("policy-default", adopted)
    pen.write(LEAD, StaffJoined(name="Dana Whitfield"))
    pen.write(NURSE, StaffJoined(name="Noor Haddad"))
    pen.write(MEMBER, MemberRegistered(given_name="Ines", family_name="Okafor"))
    pen.write(EPISODE, AssignmentReceived(member=MEMBER, plan="valley", received_at=MONDAY), by="source:plan")
    pen.write(EPISODE, LeadCareManagerAssigned(staff=LEAD), by=LEAD)
    return world, Queries(world.pool, world.log, index_key=INDEX_KEY)


def write_assessment(world: World) -> None:
    pen = world.pen
    begun = AssessmentBegun(assessment="assessment-1", kind=AssessmentKind.INITIAL, questionnaire="ecm-core@1", policy=DEFAULT.id)
    pen.write(EPISODE, begun, at=MONDAY, by=LEAD)
    first = AssessmentAnswered(
        assessment="assessment-1", questions=("food", "alcohol_use", "self_harm"), answers=("yes", "weekly", "no")
    )
    pen.write(EPISODE, first, at=MONDAY + DAY, by=LEAD, whose=MEMBER)
    # written down in the evening, said in the morning of the day before: it does not replace what was said later
    late = AssessmentAnswered(assessment="assessment-1", questions=("food",), answers=("no",))
    pen.write(EPISODE, late, at=MONDAY + timedelta(hours=1), recorded_at=MONDAY + 2 * DAY, by=NURSE, whose=MEMBER)
    other = AssessmentAnswered(assessment="assessment-1", questions=("ltss_falls",), answers=("yes",))
    pen.write(EPISODE, other, at=MONDAY + 3 * DAY, recorded_at=MONDAY + 3 * DAY, by=NURSE, whose=MEMBER)


def write_care_plan(world: World) -> None:
    pen = world.pen
    first = {id: TEXTS[id] for id in ("housing-1", "voucher")}
    one = CarePlanWritten(version=1, goals=(HOUSING,), tasks=(VOUCHER,), member_took_part="in_person", texts=first)
    two = CarePlanWritten(version=2, goals=(HOUSING, SOBER), tasks=(VOUCHER, CLINIC), member_took_part="phone", texts=TEXTS)
    reviewed = CarePlanReviewed(version=2, outcome="agreed", licence=Licence.RN, note="Watch the wound")
    for day, fact, by in (
        (1, one, LEAD),
        (2, CarePlanCopyGiven(version=1, to="member", how="in_person"), LEAD),
        (3, CareTaskFinished(version=1, task="voucher"), LEAD),
        (10, two, LEAD),
        (11, CarePlanCopyGiven(version=2, to="caregiver", how="mail", withheld=("sober-1", "clinic")), LEAD),
        (12, reviewed, NURSE),
        (13, GoalMet(version=2, goal="housing-1"), LEAD),
    ):
        pen.write(EPISODE, fact, at=MONDAY + day * DAY, recorded_at=MONDAY + day * DAY, by=by, whose=MEMBER)


def test_an_assessment_is_read_with_each_answers_own_author_and_day(world_of: Callable[[Sequence[Any]], World]) -> None:
    world, queries = the_world(world_of)
    assert queries.assessment(EPISODE, now=NOW) is None
    write_assessment(world)
    paper = queries.assessment(EPISODE, now=NOW, names=True)
    assert paper is not None
    asked = {q.question: q for q in paper.questions}
    assert (paper.status, paper.kind, len(asked)) == ("open", "initial", len(DEFAULT.questionnaire[0].question))
    assert (asked["food"].answer, asked["food"].answered_by_name) == ("yes", "Dana Whitfield")
    assert (asked["ltss_falls"].answer, asked["ltss_falls"].answered_at) == ("yes", MONDAY + 3 * DAY)
    assert (asked["ltss_falls"].ltss, asked["ltss_falls"].answered_by_name) == (True, "Noor Haddad")
    assert "ltss_safety" in paper.missing and "ltss_falls" not in paper.missing and "children" not in paper.missing
    then = queries.assessment(EPISODE, now=NOW, known_at=MONDAY + 2 * DAY)
    assert then is not None and "ltss_falls" in then.missing


def test_answers_on_substance_use_are_left_out_for_whom_they_are_not_meant(
    world_of: Callable[[Sequence[Any]], World],
) -> None:
    world, queries = the_world(world_of)
    write_assessment(world)
    for_the_plan = queries.assessment(EPISODE, now=NOW, shared_with="plan")
    assert for_the_plan is not None
    shown = {q.question: (q.answer, q.withheld) for q in for_the_plan.questions}
    assert shown["alcohol_use"] == ("", "part_2_not_authorised")
    assert shown["food"] == ("yes", "") and shown["self_harm"] == ("no", "")
    world.pen.write(
        MEMBER, DataSharingAuthorised(authorisation="a-1", content="substance_use", recipients=("plan",)), at=MONDAY + 5 * DAY
    )
    later = queries.assessment(EPISODE, now=NOW, shared_with="plan")
    before = queries.assessment(EPISODE, now=NOW, shared_with="plan", as_of=MONDAY + 4 * DAY)
    assert later is not None and {q.question: q.answer for q in later.questions}["alcohol_use"] == "weekly"
    assert before is not None and {q.question: q.withheld for q in before.questions}["alcohol_use"] == "part_2_not_authorised"
    with pytest.raises(BadFilter):
        queries.assessment(EPISODE, now=NOW, shared_with="neighbour")


def test_every_version_of_a_care_plan_stays_readable(world_of: Callable[[Sequence[Any]], World]) -> None:
    world, queries = the_world(world_of)
    assert queries.care_plan(EPISODE, now=NOW) is None
    write_care_plan(world)
    paper = queries.care_plan(EPISODE, now=NOW, names=True)
    assert paper is not None
    assert (paper.version, paper.versions, paper.in_force, paper.copy_owed) == (2, (1, 2), True, True)
    assert [(g.goal, g.state, g.text) for g in paper.goals] == [
        ("housing-1", "met", "A room of my own"),
        ("sober-1", "open", "No relapse"),
    ]
    assert [(t.task, t.owner_name, t.text) for t in paper.tasks] == [
        ("voucher", "Dana Whitfield", "Apply"),
        ("clinic", "", "First visit"),
    ]
    assert [(r.by_name, r.licence, r.note) for r in paper.reviews] == [("Noor Haddad", "rn", "Watch the wound")]
    first = queries.care_plan(EPISODE, now=NOW, version=1)
    assert first is not None and (first.version, first.in_force, first.copy_owed) == (1, False, False)
    assert [(g.goal, g.state) for g in first.goals] == [("housing-1", "open")]
    assert [t.done_on for t in first.tasks] == [date(2026, 11, 5)]
    assert queries.care_plan(EPISODE, now=NOW, version=3) is None
    then = queries.care_plan(EPISODE, now=NOW, as_of=MONDAY + 5 * DAY)
    assert then is not None and (then.version, then.versions) == (1, (1,))


def test_a_care_plan_for_the_facility_has_no_word_on_substance_use(world_of: Callable[[Sequence[Any]], World]) -> None:
    world, queries = the_world(world_of)
    write_care_plan(world)
    shared = queries.care_plan(EPISODE, now=NOW, shared_with="facility")
    assert shared is not None
    assert [g.goal for g in shared.goals] == ["housing-1"] and [t.task for t in shared.tasks] == ["voucher"]
    assert [(w.id, w.because) for w in shared.withheld] == [
        ("sober-1", "part_2_not_authorised"),
        ("clinic", "part_2_not_authorised"),
    ]
    assert "relapse" not in str((shared.goals, shared.tasks, shared.reviews)) and shared.reviews[0].note == ""
    family = queries.care_plan(EPISODE, now=NOW, shared_with="family")
    assert (
        family is not None
        and family.goals == ()
        and {w.because for w in family.withheld}
        == {
            "sharing_not_authorised",
            "part_2_not_authorised",
        }
    )


def test_who_may_be_told_what_and_on_whose_word(world_of: Callable[[Sequence[Any]], World]) -> None:
    world, queries = the_world(world_of)
    pen = world.pen
    pen.write(MEMBER, PartyNamed(party="party-1", relation="conservator", name="Rosa Okafor", phone="+14155550107"), at=MONDAY)
    word = DataSharingAuthorised(authorisation="authorisation-1", content="all", recipients=("plan",))
    pen.write(MEMBER, word, at=MONDAY + DAY)
    before = queries.sharing(MEMBER, now=NOW)
    assert [(p.party, p.name, p.decides, p.authorities) for p in before.parties] == [("party-1", "", True, ())]
    assert [(a.authorisation, a.given_by, a.stands) for a in before.authorisations] == [("authorisation-1", "", True)]
    told = {t.audience: t for t in before.may_be_told}
    assert (told["plan"].substance_use, told["plan"].all_else) == ("legal_authority_not_shown", "")
    assert (told["family"].all_else, told["member"].substance_use) == ("legal_authority_not_shown", "")

    pen.write(MEMBER, AuthorityShown(party="party-1", scope="share_information", document="order"), at=MONDAY + 2 * DAY)
    by_rosa = DataSharingAuthorised(
        authorisation="authorisation-2", content="substance_use", recipients=("plan",), given_by="party-1"
    )
    pen.write(MEMBER, by_rosa, at=MONDAY + 2 * DAY)
    pen.write(MEMBER, DataSharingRevoked(authorisation="authorisation-1"), at=MONDAY + 3 * DAY)
    after = queries.sharing(MEMBER, now=NOW, names=True)
    assert [(p.name, p.phone, [(a.scope, a.holds) for a in p.authorities]) for p in after.parties] == [
        ("Rosa Okafor", "+14155550107", [("share_information", True)])
    ]
    assert [(a.stands, a.revoked_at) for a in after.authorisations] == [(False, MONDAY + 3 * DAY), (True, None)]
    assert {t.audience: t for t in after.may_be_told}["plan"].substance_use == ""
    then = queries.sharing(MEMBER, now=NOW, as_of=MONDAY)
    assert then.authorisations == () and len(then.parties) == 1


def test_the_lists_say_how_far_assessments_and_plans_are(world_of: Callable[[Sequence[Any]], World]) -> None:
    world, queries = the_world(world_of)
    write_assessment(world)
    write_care_plan(world)
    projector = world.projector(*read_models(INDEX_KEY))
    projector.run_until_caught_up()
    (row,) = queries.assessments(care_manager=LEAD, names=True).items
    assert (row.status, row.answered, row.sittings, row.member_name) == ("open", 4, 3, "Ines Okafor")
    assert (row.saved_last_by, row.saved_last_at) == (NURSE, MONDAY + 3 * DAY)
    assert queries.assessments(status="completed").items == ()
    (plan,) = queries.care_plans(episode=EPISODE).items
    assert (plan.version, plan.goals_open, plan.goals_met, plan.tasks_open, plan.copies) == (2, 1, 1, 2, 1)
    assert (plan.next_due_on, plan.tasks_of) == (date(2026, 11, 20), (LEAD, "substance_use_treatment"))
    assert (plan.copy_given_at, plan.reviewed_by, plan.review_outcome) == (None, NURSE, "agreed")
    assert len(queries.care_plans(copy_owed=True, task_of=LEAD, due_before=date(2026, 11, 21), reviewed=True).items) == 1
    assert queries.care_plans(copy_owed=False).items == queries.care_plans(due_before=date(2026, 11, 20)).items == ()

    world.pen.write(EPISODE, AssessmentCompleted(assessment="assessment-1"), at=MONDAY + 6 * DAY, by=NURSE)
    world.pen.write(EPISODE, AssessmentAbandoned(assessment="assessment-2", reason="moved"), at=MONDAY + 6 * DAY, by=NURSE)
    world.pen.write(EPISODE, CarePlanCopyGiven(version=2, to="guardian", how="mail"), at=MONDAY + 14 * DAY, by=LEAD)
    projector.run_until_caught_up()
    assert [(a.assessment, a.status) for a in queries.assessments().items] == [
        ("assessment-1", "completed"),
        ("assessment-2", "abandoned"),
    ]
    assert queries.care_plans(episode=EPISODE).items[0].copy_given_at == MONDAY + 14 * DAY
    with pytest.raises(BadFilter):
        queries.assessments(status="forgotten")
