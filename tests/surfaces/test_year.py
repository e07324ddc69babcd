"""A member's year from the outside: every command of the year by API and command line, and what every surface then shows of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.offering import Offer
from api.offers_of_follow_up import OFFERS_OF_FOLLOW_UP
from api.offers_of_the_year import OFFERS_OF_THE_YEAR
from api.year import years_then
from domain.catalog import PROCESSES
from domain.core import ProcessRef
from domain.episode import leads
from domain.episode.enrolment import Enrol
from domain.followup.decider import AgreeCadence, OverrideTier, RecordFollowUpContact
from domain.interactions import Interaction
from domain.member.circumstances import Circumstance, NoteCircumstance, RecordDiagnosis
from domain.staff.decider import ShowLicence
from domain.staff.facts import Licence, Role
from eventlog.clock import FixedClock
from tests.surfaces.conftest import CIN, MONDAY, PLANTED_NAME, World, open_world
from workers.cli import app, frame
from workers.cli.recording import example_of
from workers.composition import open_system
from workers.services import projector_of

DAY = timedelta(days=1)
ENROLLED = MONDAY + 2 * DAY
OFFERED = (*OFFERS_OF_THE_YEAR, *OFFERS_OF_FOLLOW_UP)
Call = Callable[..., Result]


def settle(world: World) -> None:
    """What the workers would do until nothing is left to write, and the read models after it."""
    advance, _ = world.system.activities("test")
    for _ in range(3):
        for kind in PROCESSES:
            advance.advance(ProcessRef.of(world.episode.replace("episode", kind)), world.clock.now(), 0)
    projector = projector_of(world.system)
    projector.create()
    projector.run_until_caught_up()


def at(world: World, when: datetime) -> None:
    world.clock.set(when)


def enrol(world: World) -> None:
    """Led by Dana, a nurse; homeless, with two diagnoses; enrolled on Wednesday by word of mouth."""
    settle(world)
    world.do(ShowLicence(stream=world.care_manager, by="system", licence=Licence.RN, expires_on=(MONDAY + 900 * DAY).date()))
    world.do(leads.AssignLeadCareManager(stream=world.episode, by=world.supervisor, staff=world.care_manager))
    for circumstance in (Circumstance.HOMELESS, Circumstance.FOOD_INSECURE):
        world.do(NoteCircumstance(stream=world.member, by=world.care_manager, circumstance=circumstance, learned_from="member"))
    for code in ("E11.9", "I50.9"):
        world.do(RecordDiagnosis(stream=world.member, by=world.care_manager, code=code, learned_from="plan_file"))
    at(world, ENROLLED)
    world.do(Enrol(stream=world.episode, by=world.care_manager, agreed="verbal", how="phone"))
    settle(world)


@pytest.fixture
def year(database: str) -> Iterator[World]:
    for world in open_world(database, FixedClock(MONDAY)):
        enrol(world)
        yield world


@pytest.fixture(scope="module")
def lived(module_database: str) -> Iterator[World]:
    """A year that others only read."""
    for world in open_world(module_database, FixedClock(MONDAY)):
        enrol(world)
        followup = world.episode.replace("episode", "followup")
        at(world, ENROLLED + 3 * DAY)
        world.do(RecordFollowUpContact(stream=followup, by=world.care_manager, interaction=Interaction.PHONE, minutes=9))
        at(world, ENROLLED + 4 * DAY)
        world.do(AgreeCadence(stream=followup, by=world.care_manager, every_days=21, reason="works nights"))
        at(world, ENROLLED + 5 * DAY)
        world.do(OverrideTier(stream=followup, by=world.care_manager, tier="low", reason="family moved in"))
        settle(world)
        yield world


def calling(world: World) -> Iterator[Call]:
    """Give a command to this world, at its time."""
    before, frame.asked.settings = (frame.asked.settings, frame.open_system), world.system.settings
    frame.open_system = partial(open_system, clock=world.clock)
    yield lambda *words, stdin=None: CliRunner().invoke(app, list(words), input=stdin, env={"COLUMNS": "240"})
    frame.asked.settings, frame.open_system = before


@pytest.fixture
def call(lived: World) -> Iterator[Call]:
    yield from calling(lived)


# --- every offer can be sent ---------------------------------------------------------------------------------------------------

CANNOT_YET = {
    "complete-assessment": "questions_missing",
    "abandon-assessment": "",
    "carry-over": "",
    "explain-choice": "",
    "settle-conflict": "",
    "review-follow-up": "",
    "answer-referral": "",
    "withdraw-referral": "",
    "dismiss-referral": "not_proposed",
    "settle-roster-absence": "not_missing",
}
"""Examples that need more than this story holds, with the code of the refusal where it is always the same."""

RECORD_VERBS = ("strike-out-follow-up", "approve-backdated-follow-up", "reject-backdated-follow-up", "acknowledge-follow-up")
"""They name a record or an alert, which an example cannot know."""

ORDER = {verb: place for place, verb in enumerate((
    "party", "authority", "authorise-sharing", "diagnosis", "rule-out-diagnosis", "end-circumstance", "circumstance",
    "begin-assessment", "answer-assessment", "care-plan", "authorisation", "consider-discontinuation",
    "request-authorisation", "deny-authorisation",
    "conflict", "explain-choice", "settle-conflict", "request-provider-change", "settle-provider-change", "visit", "judge-visit",
    "override-tier", "lift-tier-override", "agree-cadence", "end-cadence", "follow-up-contact",
))}  # fmt: skip


def stream_of(world: World, offer: Offer) -> str:
    return world.member if offer.stream == "member" else world.episode.replace("episode", offer.stream)


def role_of(offer: Offer) -> Role:
    return Role.CARE_MANAGER if Role.CARE_MANAGER in offer.roles else Role.SUPERVISOR


def test_every_example_can_be_sent_and_writes_a_fact(year: World) -> None:
    at(year, ENROLLED + 30 * DAY)
    for offer in sorted(OFFERED, key=lambda o: ORDER.get(o.verb, len(ORDER))):
        if offer.verb in RECORD_VERBS or offer.founds:
            continue
        body = {**offer.example, **({"occurred_at": (ENROLLED + 29 * DAY).isoformat()} if "occurred_at" in offer.example else {})}
        answer = year.post(f"/v1/{offer.resource}/{stream_of(year, offer)}/{offer.noun}", body, role=role_of(offer))
        if offer.verb in CANNOT_YET and answer.status_code != 200:
            assert answer.status_code in (409, 422) and answer.json()["code"].startswith(CANNOT_YET[offer.verb]), answer.text
            continue
        assert answer.status_code == 200, (offer.verb, answer.text)
        assert answer.json()["facts"], f"{offer.verb}: its example changes nothing"


def test_every_example_can_be_given_on_the_command_line(year: World, tmp_path: Path) -> None:
    at(year, ENROLLED + 30 * DAY)
    for call in calling(year):
        for offer in sorted(OFFERED, key=lambda o: ORDER.get(o.verb, len(ORDER))):
            if offer.verb in (*RECORD_VERBS, *CANNOT_YET) or offer.founds:
                continue
            if offer.has_parts:
                file = tmp_path / f"{offer.verb}.json"
                file.write_text(json.dumps(dict(offer.example)))
                said = ["--from-file", str(file)]
            else:
                said = shlex.split(example_of(offer, "record"))[4:]
                if "--at" in said:
                    said[said.index("--at") + 1] = (ENROLLED + 29 * DAY).isoformat()
            done = call("record", offer.verb, CIN, *said, "--as", "dana@example.org", "--json")
            assert done.exit_code == 0, (offer.verb, done.output)


@pytest.mark.parametrize("offer", [o for o in OFFERED if o.takes], ids=lambda offer: offer.verb)
def test_the_words_that_a_field_takes_are_those_of_a_field_and_the_example_uses_one(offer: Offer) -> None:
    for name, words in offer.takes.items():
        given = next(g for g in offer.given if g.name == name)
        said = offer.example.get(name, next(iter(words)))
        assert all(each in given.takes for each in (said if isinstance(said, list) else [said])), name
        assert given.takes[0] in CliRunner().invoke(app, ["record", offer.verb, "--help"], env={"COLUMNS": "240"}).output


# --- parts on the command line -------------------------------------------------------------------------------------------------


def test_a_care_plan_is_given_in_options_and_an_option_wins_over_the_file(year: World, tmp_path: Path) -> None:
    for call in calling(year):
        file = tmp_path / "plan.json"
        file.write_text(json.dumps({"goals": [{"goal": "g-1", "topic": "housing"}], "member_took_part": "phone"}))
        told = call(
            "record", "care-plan", CIN, "--from-file", str(file), "--member-took-part", "in_person",
            "--tasks", "task=t-1,goal=g-1,owner=member,due_on=2026-12-15", "--texts", "g-1=A lease, in her own name",
            "--texts", "t-1=Bring the letter", "--as", "dana@example.org",
        )  # fmt: skip
        assert told.exit_code == 0, told.output
        settle(year)
        shown = json.loads(call("timeline", CIN, "--newest-first", "--unseal", "--json").stdout)["items"]
        (written,) = (e for e in shown if e["name"] == "episode.care-plan-written")
        assert written["sentence"] == "Care plan, version 1: 1 goal, 1 task; the member took part (in person)"
        assert "A lease, in her own name" in json.dumps(written["personal"]) and "A lease" not in written["sentence"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (("--goals", "topic=housing", "--member-took-part", "phone"), "goal"),
        (("--goals", "housing", "--member-took-part", "phone"), "--goals"),
        (("--goals", "goal=g-1,topic=housing,colour=red", "--member-took-part", "phone"), "colour"),
        (("--member-took-part", "phone"), "goals"),
        (("--from-file", "/nowhere/plan.json"), "--from-file"),
    ],
)
def test_a_part_that_cannot_be_meant_is_named(call: Call, said: tuple[str, ...], told: str) -> None:
    refused = call("record", "care-plan", CIN, *said, "--as", "dana@example.org")
    assert refused.exit_code == 2 and told in refused.stderr and "Traceback" not in refused.output, refused.output


def test_a_file_may_come_from_standard_input_and_must_be_an_object(call: Call) -> None:
    refused = call("record", "screening", CIN, "--from-file", "-", "--as", "dana@example.org", stdin="[1, 2]")
    assert refused.exit_code == 2 and "no JSON object" in refused.stderr


# --- reading -------------------------------------------------------------------------------------------------------------------


def test_a_members_year_at_a_glance(call: Call, lived: World) -> None:
    shown = call("member", "show", CIN)
    assert shown.exit_code == 0, shown.output
    for words in (
        PLANTED_NAME, "tier low", "set by hand", "Dana Whitfield", "family moved in", "0 of 4 steps done", "screening: undone",
        "agreed with the member: every 21 days (works nights)", "by the plan's own interval it would be due",
        "Circumstance noted: homeless (from member)", "authorisation none; care goes on", "care plan none yet",
    ):  # fmt: skip
        assert words in shown.stdout, f"{words!r} is not in\n{shown.stdout}"
    assert PLANTED_NAME not in call("member", "show", CIN, "--no-names").stdout
    (year,) = json.loads(call("member", "show", CIN, "--json").stdout)
    assert year["tier"]["found"] != "low" and year["tier"]["overridden"] and year["steps"][0]["done_at"] is None


def test_who_led_in_which_tier_on_which_evidence_on_a_day(call: Call, lived: World) -> None:
    """Question 1 of an auditor, by one command and one address."""
    said = (ENROLLED + DAY).date().isoformat()
    then = json.loads(call("history", CIN, "--as-of", said, "--json").stdout)
    (episode,) = then["episodes"]
    tier = episode["year"]["tier"]
    assert episode["lead_care_manager"] == lived.care_manager and episode["status"] == "enrolled"
    assert not tier["overridden"] and tier["tier"] == tier["found"] and tier["policy"] == "default@2026.1"
    assert any("homeless" in fact["sentence"] for ground in tier["grounds"] for fact in ground["facts"])
    shown = call("history", CIN, "--as-of", said).stdout
    assert "by the rules of default@2026.1" in shown and "Circumstance noted: homeless" in shown
    answer = lived.get(f"/v1/members/{lived.member}/year", as_of=said)
    assert answer.status_code == 200 and answer.json()[0]["tier"]["tier"] == tier["tier"]
    before = lived.get(f"/v1/members/{lived.member}/year", as_of=said, known_at=(MONDAY - DAY).date().isoformat())
    assert before.json() == [], "nothing was known yet"
    assert lived.get("/v1/members/member-0/year").status_code == 404


def test_why_it_is_that_tier(call: Call) -> None:
    shown = call("tier", CIN)
    assert shown.exit_code == 0, shown.output
    assert "the rules of default@2026.1 find" in shown.stdout and "tier low" in shown.stdout
    earlier = call("tier", CIN, "--as-of", (ENROLLED + DAY).date().isoformat())
    assert "set by hand" not in earlier.stdout and "Circumstance noted: homeless" in earlier.stdout


def test_populations_of_focus_of_one_and_of_all(call: Call, lived: World) -> None:
    of_one = call("populations", CIN)
    assert of_one.exit_code == 0 and "homeless adults: proposed" in of_one.stdout, of_one.output
    assert "criteria of default@2026.1" in of_one.stdout and "Circumstance noted: homeless" in of_one.stdout
    of_all = call("populations", "--state", "proposed")
    assert PLANTED_NAME in of_all.stdout and "homeless adults" in of_all.stdout
    assert "None was proposed" in call("populations", "--state", "rejected").stdout
    assert call("populations", "--state", "dancing").exit_code == 1
    assert lived.get("/v1/populations", state="proposed").json()["items"][0]["population"] == "homeless-adults"


def test_the_worklist_and_explain_say_follow_up_in_words(call: Call) -> None:
    shown = call("worklist", "--kind", "followup")
    assert "follow-up: contact with the member" in shown.stdout and "follow-up: finish the steps of the enrolment" in shown.stdout
    why = call("explain", CIN, "--rule", "followup.contact")
    assert "follow-up: contact with the member" in why.stdout
    assert "Follow-up contact by phone with the member, 9 min" in why.stdout, "which contact it counts from"
    assert "as agreed; by the plan's own interval" in call("deadlines", "--rule", "followup.contact").stdout
    assert "by the plan's own interval it would be due" in why.stdout and "rule followup.contact of default@2026.1" in why.stdout


def test_the_board_and_who_was_not_spoken_with(call: Call, lived: World) -> None:
    board = call("follow-ups")
    assert board.exit_code == 0 and "0 of 4" in board.stdout and "low by hand" in board.stdout and "every 21 d" in board.stdout
    assert "Nobody is followed up" in call("follow-ups", "--no-contact-days", "30").stdout
    assert "Nobody is followed up" in call("follow-ups", "--tier", "high").stdout
    assert PLANTED_NAME in call("follow-ups", "--step-undone", "screening", "--overridden").stdout
    at_first = lived.clock.now()
    at(lived, ENROLLED + 40 * DAY)
    try:
        (found,) = lived.get("/v1/members", no_contact_days=30).json()["items"]
        assert found["member"] == lived.member and found["tier"] == "low"
        assert lived.get("/v1/members", no_contact_days=60).json()["items"] == []
    finally:
        at(lived, at_first)
    assert lived.get("/v1/members", no_contact_days=0).status_code == 422


def test_contacts_with_how_late_they_were_written_down(call: Call, lived: World) -> None:
    shown = call("contacts", CIN)
    assert shown.exit_code == 0 and "9 min" in shown.stdout and "Dana Whitfield" in shown.stdout and "at once" in shown.stdout
    (one,) = lived.get("/v1/contacts", member=lived.member, kind="contact").json()["items"]
    assert one["two_way"] and one["standing"] == "counts"


@pytest.mark.parametrize(
    "words",
    [("member", "show", CIN), ("tier", CIN), ("populations",), ("populations", CIN), ("follow-ups",), ("contacts",),
     ("members", "--no-contact-days", "9")], ids=" ".join,
)  # fmt: skip
def test_each_parses_as_json(call: Call, words: tuple[str, ...]) -> None:
    told = call(*words, "--json")
    assert told.exit_code == 0, told.output
    json.loads(told.stdout)


def test_no_address_of_the_year_shows_sealed_text(lived: World) -> None:
    for path in (f"/v1/members/{lived.member}/year", "/v1/follow-ups", "/v1/populations", "/v1/contacts"):
        assert PLANTED_NAME not in lived.get(path).text
    assert PLANTED_NAME in lived.get("/v1/follow-ups", names=True).text
    assert lived.get("/v1/follow-ups", role=Role.OPERATOR, names=True).status_code == 403


def test_the_day_before_the_enrolment_there_was_no_year_yet(lived: World) -> None:
    def then(when: datetime) -> Any:
        (found,) = years_then(lived.system.log, lived.member, as_of=when, known_at=lived.clock.now())
        return found

    assert then(MONDAY + DAY).enrolled_at is None and then(ENROLLED + DAY).enrolled_at == ENROLLED
    assert then(ENROLLED + DAY).cadence.agreed_every_days == 0 and then(ENROLLED + 4 * DAY).cadence.agreed_every_days == 21
