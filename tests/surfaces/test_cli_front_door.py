"""The front door on the command line: replays with their rehearsal, feeds and notices, the registry; and notices in `doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from domain.staff.facts import Role
from intake.senders.notices import FAILURES_MIN, Kind, Trouble
from tests.surfaces.conftest import CIN, PLANTED_NAME, World
from tests.surfaces.test_api_feeds import message, sent
from workers.cli import app, frame, sending
from workers.doctor import Status, examine


@pytest.fixture
def terminal(world: World) -> Iterator[World]:
    before, frame.asked.settings = frame.asked.settings, world.system.settings
    yield world
    frame.asked.settings = before


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "220", "TERM": "dumb"})


def test_messages_are_rehearsed_replayed_and_notices_are_shown_and_ended(terminal: World) -> None:
    sent(terminal, message(terminal))
    terminal.door.worker.work_off()
    (row,) = terminal.door.inbox.find()
    told = json.loads(typed("inbox", "replay", str(row.inbox_id), "--dry-run", "--json").stdout)
    assert [(one["differs"], one["now"]["status"]) for one in told] == [(False, "applied")]
    assert CIN not in str(told) and PLANTED_NAME not in str(told)
    shown = typed("inbox", "replay", "--status", "applied", "--trigger", "A03", "--dry-run")
    assert "no difference" in shown.stdout and "nothing was changed" in shown.stdout
    assert typed("inbox", "replay", "--trigger", "A03", "--as", terminal.supervisor).stdout.startswith("1 taken up again")
    assert typed("inbox", "replay", "--dry-run").exit_code == frame.USAGE
    assert json.loads(typed("inbox", "list", "--flag", "class_unknown", "--json").stdout)["items"] == []
    assert json.loads(typed("inbox", "replay", "--flag", "class_unknown", "--dry-run", "--json").stdout) == []

    terminal.door.notices.note(Kind.MISSED_EVENTS, "valley-general", "events 5 to 6 of s-1", terminal.clock.now())
    feeds = typed("inbox", "feeds")
    assert "valley-general" in feeds.stdout and "events 5 to 6 of s-1" in feeds.stdout and "$events" in feeds.stdout
    found = [check for check in examine(terminal.system.settings) if check.name == "front door"]
    assert [check.status for check in found] == [Status.WARN] and "missed events" in found[0].found
    number = str(terminal.door.notices.open()[0].notice_id)
    ended = typed("inbox", "end-notice", number, "--as", terminal.supervisor, "--json")
    assert json.loads(ended.stdout) == {"notice_id": int(number)}
    assert typed("inbox", "end-notice", number, "--as", terminal.supervisor).exit_code == frame.REFUSED
    assert terminal.door.notices.open() == ()


def test_a_registry_is_shown_and_checked_before_its_use(terminal: World, tmp_path: Path) -> None:
    assert "valley-general" in typed("inbox", "sources").stdout
    (row,) = json.loads(typed("inbox", "sources", "--json").stdout)
    assert row["name"] == "valley-general" and row["addresses"]
    faulty = tmp_path / "new.toml"
    faulty.write_text('[[source]]\nname = "far"\ntimezone = "Eastern"\n')
    refused = typed("inbox", "sources", "--file", str(faulty))
    assert refused.exit_code == frame.REFUSED and "line 3" in refused.output + refused.stderr


def test_a_message_goes_where_our_own_listener_takes_it_without_tls(terminal: World) -> None:
    settings = terminal.system.settings.model_copy(update={"throughline_hl7_loopback_port": 2576})
    assert sending.where_to(None, settings) == ("127.0.0.1", 2575)  # without a certificate that port is not bound
    with_tls = settings.model_copy(update={"throughline_hl7_certificate": Path("listener.pem")})
    assert sending.where_to(None, with_tls) == ("127.0.0.1", 2576)
    assert sending.where_to("localhost:2577", with_tls) == ("localhost", 2577)
    frame.asked.settings = with_tls.model_copy(update={"throughline_hl7_loopback_port": None})
    refused = typed("send-hl7", "--cin", CIN)
    assert refused.exit_code == frame.REFUSED and "THROUGHLINE_HL7_LOOPBACK_PORT" in refused.output + refused.stderr


def test_a_hospitals_token_is_of_a_registered_source_that_sends_over_http(terminal: World) -> None:
    def made(name: str) -> Result:
        return typed("token", "create", "--role", "hospital", "--for", name, "--as", terminal.supervisor, "--json")

    for name in ("valley-general", "source:valley-general"):
        assert json.loads(made(name).stdout)["subject"] == "source:valley-general"
    refused = made("vally-general")
    assert refused.exit_code == frame.REFUSED
    assert json.loads(refused.stderr)["remedy"] == "write one of valley-general; see `throughline inbox sources`"


def test_an_option_without_its_value_points_to_its_own_commands_help() -> None:
    asked = typed("inbox", "list", "--status")
    assert asked.exit_code == frame.USAGE and "see `throughline inbox list --help`" in asked.stderr
    assert "see `throughline --help`" in typed("--no-such-option").stderr


def test_a_feed_is_expected_in_the_minutes_that_the_registry_says(terminal: World, tmp_path: Path) -> None:
    registry = tmp_path / "sources.toml"
    registry.write_text('[[source]]\nname = "hourly"\nexpected_every_minutes = 120\n')
    frame.asked.settings = terminal.system.settings.model_copy(update={"throughline_sources": registry})
    assert "every 120 minutes" in typed("inbox", "feeds").stdout


def test_a_batch_is_its_messages_and_the_words_within_begin_none() -> None:
    said = b"\xef\xbb\xbfFHS|^~\\&\nBHS|^~\\&\r\nMSH|^~\\&|A\r\nNTE|1||see MSH|9\r\n\x1c\r\x0bMSH#^~\\&#B\n"
    assert sending._messages(said) == (b"MSH|^~\\&|A\rNTE|1||see MSH|9\r", b"MSH#^~\\&#B\r")


def test_work_that_keeps_failing_is_shown_wherever_operations_look(terminal: World) -> None:
    trouble = Trouble(terminal.door.notices, terminal.clock, "intake")
    for _ in range(FAILURES_MIN):
        trouble.met(ZeroDivisionError)
    found = {check.name: check for check in examine(terminal.system.settings)}["front door"]
    assert found.status is Status.WARN and "failing work intake: ZeroDivisionError, since 2026-11-16" in found.found
    assert found.found.endswith(f"{FAILURES_MIN} times") and "Nothing is lost" in found.remedy
    assert "fails again and again (ZeroDivisionError)" in typed("inbox", "feeds").stdout
    assert "working messages and files off fails again and again" in typed("worklist").output
    (matter,) = terminal.get("/v1/worklist/front-door", role=Role.OPERATOR, kind="notice").json()["items"]
    assert [todo["what"].split(":")[0] for todo in matter["todo"]] == ["Nothing is lost"], "it ends by itself"
    ready = terminal.api.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "waiting"), "requests are answered all the same"
    assert "intake (ZeroDivisionError)" in ready.json()["dependencies"]["work"]["found"]
    Trouble(terminal.door.notices, terminal.clock, "intake").round_went_well()
    assert terminal.api.get("/readyz").json()["status"] == "ready"
    assert {check.name: check for check in examine(terminal.system.settings)}["front door"].status is Status.OK
