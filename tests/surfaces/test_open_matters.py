"""What the front door leaves for a person: one list, with why, since when and what to do, and nothing that a role may not see.

What it proposes to do is tried as it stands, with what only a person knows filled in.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from api.open_matters import MAY_LOOK, MatterKind
from domain.core import ProcessRef
from domain.episode.closing import Decline
from domain.episode.enrolment import RaiseConflict
from domain.member.facts import PointKind
from domain.member.identity import ProposeContactPoint
from domain.staff.facts import Role
from intake.senders.notices import Kind as NoticeKind
from intake.store.inbox import Status
from tests.intake.making import CSV_HEADER, Person
from tests.surfaces.conftest import CIN, PLANTED_NAME, World, plan_and_project
from tests.surfaces.test_api_feeds import message, sent
from workers.cli import app, frame
from workers.cli.sending import built

TWIN = Person(cin="98765432D", mrn="", family=PLANTED_NAME, given="Maria", born="19590403")
ROSTER = [Person(cin=f"9444000{n}A", mrn="", family=f"Rowan{chr(97 + n)}", given="Ada", born=f"195{n}0202") for n in range(6)]


@pytest.fixture
def terminal(world: World) -> Iterator[World]:
    before, frame.asked.settings = frame.asked.settings, world.system.settings
    plan_and_project(world)
    yield world
    frame.asked.settings = before


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "220", "TERM": "dumb"})


def left(world: World, role: Role = Role.SUPERVISOR, **asked: Any) -> list[dict[str, Any]]:
    answer = world.get("/v1/worklist/front-door", role=role, **asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def only(world: World, kind: MatterKind, **asked: Any) -> dict[str, Any]:
    (item,) = left(world, kind=kind.value, **asked)
    return item


def carried_out(world: World, todo: dict[str, Any], role: Role = Role.SUPERVISOR, **filled: Any) -> dict[str, Any]:
    """The call as it stands, with what only a person knows filled in; and the command exists, with these options."""
    assert role.value in todo["roles"]
    runnable(todo["command"])
    method, path = todo["call"].split(" ", 1)
    body = {name: filled.get(name, value) for name, value in todo["body"].items()}
    assert "…" not in str(body) and not any("|" in str(value) for value in body.values()), body
    answer = world.api.get(path, headers=world.as_role(role)) if method == "GET" else world.post(path, body, role=role)
    assert answer.status_code < 300, (todo, answer.text)
    if not answer.headers["content-type"].startswith("application/json"):
        return {}
    told: dict[str, Any] | list[Any] = answer.json()
    return told if isinstance(told, dict) else {"items": told}


def runnable(command: str) -> None:
    """Whether a command with such arguments and options exists."""
    words = shlex.split(command)
    assert words[0] == "throughline"
    at = get_command(app)
    rest = words[1:]
    while rest and rest[0] in getattr(at, "commands", {}):
        at = at.commands[rest.pop(0)]  # type: ignore[attr-defined]
    assert not hasattr(at, "commands"), command
    known = {option for parameter in at.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= known, command


def roster(world: World, people: list[Person]) -> Any:
    rows = [f"{p.cin},{p.family},{p.given},{p.born},{p.sex},English,{p.phone},2026-11-01" for p in people]
    raw = "\r\n".join([CSV_HEADER, *rows, ""]).encode()
    headers = {**world.as_role(Role.OPERATOR), "Content-Type": "text/csv"}
    return world.api.post("/v1/files", content=raw, params={"plan": "default", "full_roster": True}, headers=headers).json()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_silent_feed_and_other_notices_come_first(terminal: World) -> None:
    world, now = terminal, terminal.clock.now()
    assert left(world) == []
    every = "a message is expected every 90 minutes"
    world.door.notices.note(NoticeKind.SILENT_FEED, "valley-general", every, now, since=now - timedelta(hours=5))
    silent = only(world, MatterKind.NOTICE)
    assert at(silent["since"]) == now - timedelta(hours=5) and silent["why"].startswith("valley-general is silent")
    assert [todo["command"] for todo in silent["todo"]] == ["throughline inbox feeds"], "it ends by itself once the feed is heard"
    world.door.notices.note(NoticeKind.MISSED_EVENTS, "county-exchange", "events 5 to 6 of s-1", now)
    _, missed = left(world)
    for todo in missed["todo"]:
        carried_out(world, todo)
    world.door.notices.note(NoticeKind.UNKNOWN_CODE, "county-exchange", "a facility", now)
    assert "`throughline inbox list --source county-exchange`" in left(world)[1]["todo"][0]["what"]
    shown = typed("worklist").stdout
    assert "Front door: 2 notices" in shown and ".: throughline" not in shown
    carried_out(world, left(world)[1]["todo"][1])
    assert len(left(world)) == 1
    assert left(world, role=Role.CARE_MANAGER) == []


def test_dead_letters_are_one_thing_a_cause_and_are_replayed_or_set_aside_together(terminal: World) -> None:
    world = terminal
    for n in range(3):
        content = f"MSH|^~\\&|A|B|C|D|1||ORU^R01|R-{n}|P|2.5\r".encode()
        sent(world, content)
    raw = message(world)
    sent(world, raw)
    with world.system.pool.connection() as conn:  # as after a release whose parser could not read them
        conn.execute("UPDATE intake.inbox SET status = 'dead', reason = 'not_hl7' WHERE kind NOT LIKE 'ADT%'")
        conn.execute("UPDATE intake.inbox SET status = 'dead', reason = 'gave_up', error = 'KeyError' WHERE kind LIKE 'ADT%'")
    heap, failed = left(world, kind="dead_letter")
    assert (heap["count"], heap["why"]) == (3, "3 messages that could not be understood: not hl7")
    assert (failed["count"], failed["why"]) == (1, "1 message that could not be understood: gave up: KeyError")
    assert CIN not in str((heap, failed)) and PLANTED_NAME not in str((heap, failed))
    look, again, aside = heap["todo"]
    assert len(carried_out(world, look)["items"]) == 3
    assert len(carried_out(world, again)["rehearsed"]) == 3
    assert carried_out(world, aside, because="port_scanner") == {"set_aside": 3}
    (row,) = world.door.inbox.find(status=Status.DEAD)
    assert world.door.inbox.find(status=Status.IGNORED)[0].reason == "port_scanner"
    shown = typed("inbox", "discard", "--status=dead", "--left-for=gave_up", "--reason=not_needed", "--as", world.supervisor)
    assert shown.exit_code == 0 and "1 set aside" in shown.stdout
    assert left(world) == [] and world.door.inbox.show(row.inbox_id).row.reason == "not_needed"
    assert typed("inbox", "discard", "--reason", "nothing_said").exit_code == frame.USAGE
    assert typed("inbox", "discard", "--status", "applied", "--reason", "never").exit_code == frame.USAGE


def test_a_file_that_stopped_and_rows_that_were_rejected(terminal: World) -> None:
    world = terminal
    roster(world, ROSTER)
    receipt = roster(world, ROSTER[:2])
    waiting = only(world, MatterKind.FILE)
    assert (waiting["id"], waiting["source"]) == (receipt["file_id"], "default")
    assert waiting["why"] == "a plan's file stopped: 4 of 6 members listed before are missing from this full roster"
    assert only(world, MatterKind.FILE, role=Role.AUDITOR)["todo"][0]["call"] == f"GET /v1/files/{receipt['file_id']}"
    assert len(only(world, MatterKind.FILE, role=Role.AUDITOR)["todo"]) == 1, "who may not decide is not asked to"
    carried_out(world, waiting["todo"][0])
    carried_out(world, waiting["todo"][2], role=Role.OPERATOR, reason="plan_sends_it_again")
    assert left(world) == []
    faulty = roster(world, [*ROSTER, replace(ROSTER[0], cin="91234567B")])
    rejected = only(world, MatterKind.DEAD_LETTER, plan="default")
    assert (rejected["id"], rejected["why"]) == (faulty["file_id"], "1 row of a plan's file could not be taken")
    assert left(world, plan="another") == []
    for todo in rejected["todo"]:
        carried_out(world, todo)
    assert left(world) == []


def test_questions_about_who_somebody_is_wait_for_the_office_and_name_nobody(terminal: World) -> None:
    world = terminal
    (row,) = world.door.inbox.find(part_of=UUID(roster(world, [TWIN])["file_id"]))
    world.door.inbox.release(row.inbox_id, by=world.supervisor, now=world.clock.now())  # so there are two of one name
    world.do(ProposeContactPoint(
        stream=world.member, by="source:valley-general", point="p-9", kind=PointKind.PHONE, learned_from="hospital",
        source="valley-general", value="+16615550177",
    ))  # fmt: skip
    world.door.worker.work_off()
    world.clock.advance(timedelta(hours=3))
    questions = left(world, role=Role.CARE_MANAGER, kind="identity")
    assert len(questions) == 2 and PLANTED_NAME not in str(questions) and CIN not in str(questions)
    point = next(q for q in questions if "contact point" in q["why"])
    assert world.clock.now() - at(point["since"]) == timedelta(hours=3) and point["members"] == [world.member]
    see, decide = point["todo"]
    assert carried_out(world, see, role=Role.CARE_MANAGER)["sides"]
    carried_out(world, decide, role=Role.CARE_MANAGER, decision="accept", reason="called her")
    world.door.worker.work_off()
    (pair,) = left(world, kind="identity")
    assert pair["why"].startswith("are these two members one person?") and world.member in pair["members"]
    carried_out(world, pair["todo"][1], decision="keep_apart", reason="twins")
    world.door.worker.work_off()
    assert left(world, kind="identity") == []


def test_a_stranger_who_comes_often_is_referred_or_dismissed_and_named_only_where_asked(terminal: World) -> None:
    world = terminal
    facility = world.door.sources.rows[0].facilities[0].aliases[0]
    for number in range(5):
        came_at = world.clock.now() - timedelta(days=20 * number + 1)
        sent(world, built(
            "A04", cin="98765432D", name="BRACKWATER^TOMAS", born="1948-09-30", visit=f"V-{number}", facility=facility,
            patient_class="E", disposition="", at=came_at, now=came_at,
        ))  # fmt: skip
    world.door.worker.work_off()
    unmatched = only(world, MatterKind.UNMATCHED)
    assert unmatched["count"] == 5 and unmatched["why"].startswith("5 messages of which nobody was found to be meant")
    stranger = only(world, MatterKind.STRANGER, role=Role.CARE_MANAGER)
    assert "came for 5 visits: population of focus 2a" in stranger["why"] and stranger["who"] == ""
    assert only(world, MatterKind.STRANGER, names=True)["who"] == "TOMAS BRACKWATER 1948-09-30"
    assert world.get("/v1/worklist/front-door", role=Role.OPERATOR, names=True).status_code == 403
    assert left(world, role=Role.AUDITOR, kind="stranger") == []
    shown = typed("worklist")
    assert shown.exit_code == 0, shown.output
    assert "TOMAS BRACKWATER" in shown.stdout and "throughline strangers refer" in shown.stdout
    assert "TOMAS" not in typed("worklist", "--no-names").stdout
    refer, dismiss = stranger["todo"]
    runnable(dismiss["command"])
    assert carried_out(world, refer, role=Role.CARE_MANAGER)["status"] == "applied"
    world.door.worker.work_off()
    assert left(world) == [], "the messages are the new member's"


def test_who_declined_and_is_in_hospital_is_offered_anew(terminal: World) -> None:
    world = terminal
    world.do(Decline(stream=world.episode, by=world.care_manager, how="phone"))
    world.clock.advance(timedelta(days=3))
    sent(world, message(world, "A01"))
    world.door.worker.work_off()
    plan_and_project(world)
    came_at = world.clock.now()
    world.clock.advance(timedelta(days=15))  # one look in fourteen days was not taken
    plan_and_project(world)
    offered = only(world, MatterKind.DECISION, role=Role.CARE_MANAGER)
    assert "a new episode is proposed" in offered["why"] and offered["members"] == [world.member]
    assert at(offered["since"]) == came_at, "not the turn that runs now"
    owed = world.get("/v1/worklist", member=world.member).json()["items"]
    assert (offered["process"], offered["key"]) in {(item["process"], item["key"]) for item in owed}
    shown = typed("worklist")
    assert "throughline record dismiss-new-episode" in shown.stdout
    anew, dismiss = offered["todo"]
    runnable(anew["command"])
    carried_out(world, dismiss, role=Role.CARE_MANAGER, reason="has moved away")
    plan_and_project(world)
    assert left(world, kind="decision") == []


def test_a_conflict_that_a_file_told_of_is_settled(terminal: World) -> None:
    world = terminal
    world.do(RaiseConflict(stream=world.episode, by=world.care_manager, conflict="other_provider", programme="Harbor House"))
    follow_up(world)
    conflict = only(world, MatterKind.DECISION)
    (settle,) = conflict["todo"]
    carried_out(world, settle, outcome="ours", reason="said the plan")
    follow_up(world)
    assert left(world) == []


def follow_up(world: World) -> None:
    advance, _ = world.system.activities("test")
    advance.advance(ProcessRef.of(world.episode.replace("episode-", "followup-")), world.clock.now(), 0)
    plan_and_project(world)


def test_the_screen_has_both_parts_and_narrows(terminal: World) -> None:
    world = terminal
    quiet = typed("worklist")
    assert "Owed on" in quiet.stdout and "Nothing waits at the front door." in quiet.stdout
    assert json.loads(typed("worklist", "--json").stdout)["front_door"] == []
    assert "front_door" not in json.loads(typed("worklist", "--overdue", "--json").stdout)
    world.door.notices.note(NoticeKind.MISSED_EVENTS, "valley-general", "events 5 to 6 of s-1", world.clock.now())
    said = json.loads(typed("worklist", "--json").stdout)
    assert said["front_door_counts"] == {"notice": 1} and said["items"]
    shown = typed("worklist").stdout
    assert "Front door: 1 notice" in shown and re.search(r"say that it was seen to: throughline inbox end-notice \d", shown)
    assert "events 5 to 6" in typed("worklist", "--overdue").stderr
    assert "Front door" in typed("worklist", "--overdue", "--front-door").stdout
    assert "Front door" not in typed("worklist", "--no-front-door").stdout


def test_a_faulty_registry_does_not_hide_what_is_owed(terminal: World, tmp_path: Path) -> None:
    faulty = tmp_path / "sources.toml"
    faulty.write_text('[[source]]\nname = "far"\ntimezone = "Eastern"\n')
    frame.asked.settings = terminal.system.settings.model_copy(update={"throughline_sources": faulty})
    shown = typed("worklist")
    assert shown.exit_code == 0 and "Owed on" in shown.stdout and "line 3" in shown.stderr


def test_every_kind_has_its_readers() -> None:
    assert set(MAY_LOOK) == set(MatterKind)
    assert all(Role.HOSPITAL not in roles for roles in MAY_LOOK.values())
