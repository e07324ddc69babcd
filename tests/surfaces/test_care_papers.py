"""Assessment and care plan over HTTP and on the command line: written, read, shared, and kept from those who may not see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from api.offers import OFFERS
from domain.episode.assessments import AnswerAssessment, BeginAssessment
from domain.episode.care_plans import GiveCarePlanCopy, Goal, Task, WriteCarePlan
from domain.staff.facts import Role
from tests.surfaces.conftest import CIN, World
from workers.cli import app, frame
from workers.services import projector_of

SOBER = "Stay away from the bottle"


@pytest.fixture(scope="module")
def written(shared_world: World) -> World:
    world = shared_world
    said: dict[str, Any] = {"stream": world.episode, "by": world.care_manager}
    world.do(BeginAssessment(**said))
    world.do(AnswerAssessment(**said, questions=("food", "alcohol_use"), answers=("yes", "most_days")))
    goals = (Goal(goal="housing-1", topic="housing"), Goal(goal="sober-1", topic="substance_use"))
    tasks = (Task(task="apply", goal="housing-1", owner="nurse", due_on=world.clock.now().date()),)
    texts = {"housing-1": "A lease of her own", "sober-1": SOBER, "apply": "Bring the letter"}
    world.do(WriteCarePlan(**said, goals=goals, tasks=tasks, texts=texts, member_took_part="in_person"))
    world.do(GiveCarePlanCopy(**said, to="member", how="in_person"))
    projector = projector_of(world.system)
    projector.create()
    projector.run_until_caught_up()
    return world


def test_the_assessment_says_what_was_answered_by_whom_and_what_is_missing(written: World) -> None:
    answer = written.get(f"/v1/episodes/{written.episode}/assessment", names=True)
    paper = answer.json()
    asked = {q["question"]: q for q in paper["questions"]}
    assert answer.headers["ETag"].strip('"').isdigit()
    assert (asked["food"]["answer"], asked["food"]["answered_by_name"]) == ("yes", "Dana Whitfield")
    assert "ltss_falls" in paper["missing"] and "food" not in paper["missing"]
    shared = written.get(f"/v1/episodes/{written.episode}/assessment", shared_with="plan").json()
    assert {q["question"]: (q["answer"], q["withheld"]) for q in shared["questions"]}["alcohol_use"] == (
        "",
        "part_2_not_authorised",
    )


def test_a_care_plan_is_shared_without_what_nobody_authorised(written: World) -> None:
    whole = written.get(f"/v1/episodes/{written.episode}/care-plan").json()
    assert [g["text"] for g in whole["goals"]] == ["A lease of her own", SOBER] and whole["copy_owed"] is False
    shared = written.get(f"/v1/episodes/{written.episode}/care-plan", shared_with="facility")
    assert SOBER not in shared.text and [w["because"] for w in shared.json()["withheld"]] == ["part_2_not_authorised"]
    wrong = written.get(f"/v1/episodes/{written.episode}/care-plan", shared_with="neighbour")
    assert wrong.status_code == 422 or wrong.json()["field"] == "shared_with"
    assert written.get(f"/v1/episodes/{written.episode}/care-plan", version=9).status_code == 404
    assert written.get(f"/v1/episodes/{written.episode}/care-plan", as_of="2026-01-01").status_code == 404
    assert written.get(f"/v1/episodes/{written.episode}/care-plan", as_of="yesterday").json()["field"] == "as_of"


def test_what_the_papers_say_is_not_for_operators(written: World) -> None:
    for paper in ("assessment", "care-plan"):
        answer = written.get(f"/v1/episodes/{written.episode}/{paper}", role=Role.OPERATOR)
        assert answer.status_code == 403 and SOBER not in answer.text
    assert written.get("/v1/care-plans", role=Role.OPERATOR).status_code == 200


def test_the_lists_have_no_word_of_what_was_said(written: World) -> None:
    plans = written.get("/v1/care-plans", task_of="nurse", copy_owed=False)
    assert [(p["episode"], p["version"], p["goals_open"]) for p in plans.json()["items"]] == [(written.episode, 1, 2)]
    assert SOBER not in plans.text
    assert [a["answered"] for a in written.get("/v1/assessments", status="open").json()["items"]] == [2]
    assert written.get("/v1/assessments", status="lost").json()["field"] == "status"


def test_everything_that_people_do_with_them_is_offered() -> None:
    offered = {offer.command.__name__ for offer in OFFERS}
    assert {
        "BeginAssessment", "AnswerAssessment", "CompleteAssessment", "AbandonAssessment", "WriteCarePlan", "MeetGoal", "GiveUpGoal",
        "FinishTask", "GiveCarePlanCopy", "ReviewCarePlan", "NameParty", "ShowAuthority", "EndAuthority", "AuthoriseDataSharing",
        "RevokeDataSharing",
    } <= offered  # fmt: skip


def test_a_visit_over_http(world: World) -> None:
    at = f"/v1/episodes/{world.episode}"
    assert world.post(f"{at}/assessments", {}).status_code == 200
    assert world.post(f"{at}/assessments", {}).json()["code"] == "assessment_open"
    assert world.post(f"{at}/assessment-answers", {"answers": {"food": "yes", "ltss_falls": "declined"}}).status_code == 200
    wrong = world.post(f"{at}/assessment-answers", {"answers": {"food": "perhaps"}}).json()
    assert (wrong["code"], wrong["field"]) == ("answer_unfit", "answers")
    missing = world.post(f"{at}/assessment-completions", {}).json()
    assert missing["code"] == "questions_missing" and "ltss_safety" in missing["detail"] and "ltss_falls" not in missing["detail"]

    plan = {
        "goals": [{"goal": "housing-1", "topic": "housing"}],
        "tasks": [{"task": "apply", "goal": "housing-1", "owner": "nurse", "due_on": "2026-12-15"}],
        "texts": {"housing-1": "A lease of her own", "apply": "Bring the letter"},
        "member_took_part": "in_person",
    }
    assert world.post(f"{at}/care-plans", plan | {"goals": [{"goal": "housing-1", "topic": "house"}]}).json()["field"] == "goals"
    assert world.post(f"{at}/care-plans", plan).status_code == 200
    assert world.post(f"{at}/met-goals", {"goal": "housing-1"}).status_code == 200
    assert world.post(f"{at}/care-plan-copies", {"to": "caregiver", "how": "mail"}).json()["code"] == "sharing_not_authorised"
    assert world.post(f"{at}/care-plan-copies", {"to": "member", "how": "in_person"}).status_code == 200
    assert world.post(f"{at}/care-plan-reviews", {"outcome": "agreed"}).json()["code"] == "no_licence"
    paper = world.get(f"{at}/care-plan").json()
    assert world.post(f"/v1/members/{world.member}/parties", {"relation": "caregiver", "name": "Al"}).status_code == 200
    shares = world.get(f"/v1/members/{world.member}/sharing", names=True).json()
    assert [(p["party"], p["name"]) for p in shares["parties"]] == [("party-1", "Al")]
    assert world.get(f"/v1/members/{world.member}/sharing", role=Role.OPERATOR, names=True).status_code == 403
    assert (paper["goals"][0]["state"], paper["copy_owed"], paper["tasks"][0]["text"]) == ("met", False, "Bring the letter")


def test_on_the_command_line_too(written: World) -> None:
    before, frame.asked.settings = frame.asked.settings, written.system.settings
    try:
        plan = _run("care-plan", "show", CIN)
        assert SOBER in plan and "version 1 of 1 (in force)" in plan and "copy to member by in person" in plan
        family = _run("care-plan", "show", CIN, "--shared-with", "family")
        assert SOBER not in family and "left out: sober-1 (part_2_not_authorised)" in family
        answers = _run("assessment", "show", CIN)
        assert "How often do you drink alcohol?" in answers and "most_days" in answers and "Dana Whitfield" in answers
        missing = _run("assessment", "show", CIN, "--missing", "--shared-with", "plan")
        assert "(LTSS)" in missing and "most_days" not in missing
        assert "A lease of her own" not in _run("care-plan", "list", "--copy-given")
        assert "part_2_not_authorised" in _run("sharing", CIN)
        assert "ecm-core@1" in _run("assessment", "list", "--status", "open")
        assert json.loads(_run("care-plan", "show", CIN, "--json"))["version"] == 1
        nothing = CliRunner().invoke(app, ["care-plan", "show", CIN, "--version", "7"])
        assert nothing.exit_code == 1 and "write one" in nothing.output
    finally:
        frame.asked.settings = before


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output
