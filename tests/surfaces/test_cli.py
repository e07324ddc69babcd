"""The command line, through its own entry: tables for people, JSON for programs, refusals that say what to do, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner, Result

import eventlog.database
from api.offers import OFFERS
from tests.surfaces.conftest import CIN, PLANTED_NAME, POLICY, World
from workers.cli import app, frame
from workers.heartbeat import Heartbeat, beat_file

ROOT = Path(__file__).parents[2]
LAYERS = ("domain", "eventlog", "intake", "projections", "activities", "api", "simulation", "workers")
Call = Callable[..., Result]


@pytest.fixture
def call(told: World) -> Iterator[Call]:
    """Give a command to the world of the module."""
    before, frame.asked.settings = frame.asked.settings, told.system.settings

    def give(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(words), input=stdin)

    yield give
    frame.asked.settings = before


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(command: Any, path: tuple[str, ...]) -> None:
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                walk(inner, (*path, name))
        else:
            found.append(path)

    walk(get_command(app), ())
    return found


def named_commands() -> list[tuple[str, str]]:
    """What texts for people call a command of ours, and the file where they do."""
    texts = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", *(f for p in LAYERS for f in (ROOT / p).rglob("*.py"))]
    said = re.compile(r"`throughline ((?:--demo )?[a-z][^`]*)`")
    return [(found[1].removeprefix("--demo "), str(f.relative_to(ROOT))) for f in texts for found in said.finditer(f.read_text())]


def test_every_command_that_a_text_names_is_there() -> None:
    """A remedy that names a command which does not exist sends people into a wall."""
    known = set(commands())
    groups = {path[:n] for path in known for n in range(len(path))}
    named = named_commands()
    assert len(named) > 40
    for words, where in named:
        path: tuple[str, ...] = ()
        for word in words.split():
            if path not in groups:
                break
            path = (*path, word)
            assert path in groups | known or word.startswith(("-", "…", "{")), f"{where}: throughline {words}"


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_help_has_an_example(path: tuple[str, ...]) -> None:
    if path[0] == "demo":
        pytest.skip("the demo has tests of its own")
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "Example" in shown.output and f"throughline {' '.join(path)}" in shown.output


def test_every_command_that_ends_can_speak_json() -> None:
    def speaks(path: tuple[str, ...]) -> bool:
        command: Any = get_command(app)
        for word in path:
            command = command.commands[word]
        return any("--json" in option.opts for option in command.params)

    assert [path for path in commands() if not speaks(path)] == [("up",), ("run",)]


def test_every_offer_is_a_command() -> None:
    given = {path[1] for path in commands() if path[0] in ("record", "staff")}
    assert {offer.verb for offer in OFFERS} <= given


READING = [
    ("worklist",), ("deadlines",), ("transitions",), ("members",), ("caseload",), ("timeline", CIN), ("history", CIN),
    ("explain", CIN), ("staff", "list"), ("policy", "list"), ("projections", "list"),
    ("projections", "parked"), ("inbox", "list"), ("token", "list"),
    ("audit", "verify"), ("projections", "run"),
]  # fmt: skip


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_reading_command_shows_a_table_and_parses_as_json(call: Call, words: tuple[str, ...]) -> None:
    shown = call(*words)
    assert shown.exit_code == 0, shown.output
    as_json = call(*words, "--json")
    assert as_json.exit_code == 0, as_json.output
    json.loads(as_json.stdout)


def test_the_worklist_shows_who_what_and_why_and_filters(call: Call, told: World) -> None:
    shown = call("worklist")
    assert PLANTED_NAME in shown.stdout and "default@2026.1" in shown.stdout
    assert PLANTED_NAME not in call("worklist", "--no-names").stdout
    assert "Nothing is owed" in call("worklist", "--plan", "another").stdout
    assert "Nothing is owed" in call("worklist", "--due-after", "2030-01-01").stdout
    found = json.loads(call("worklist", "--json", "--member", CIN, "--kind", "outreach").stdout)
    assert found["items"] and all(item["member"] == told.member for item in found["items"])


def test_explain_names_due_rule_policy_and_facts(call: Call) -> None:
    shown = call("explain", CIN)
    assert "initial_contact.contact" in shown.stdout and "Thu 2026-11-26 23:59" in shown.stdout and "default@2026.1" in shown.stdout


def test_recording_by_cin_and_as_a_person(call: Call, told: World) -> None:
    done = call(
        "record", "attempt", CIN, "--channel", "call", "--outcome", "voicemail", "--as", "dana@example.org", "--note", "-",
        "--at", "2026-11-16T10:30", stdin="left a word for the sister",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    fact = told.system.log.read(told.outreach)[-1]
    assert fact.fact.note == "left a word for the sister" and fact.actor == told.care_manager
    assert fact.occurred_at.isoformat() == "2026-11-16T18:30:00+00:00"


def test_the_same_command_key_again_changes_nothing(call: Call) -> None:
    words = ("record", "consent", CIN, "--scope", "services", "--as", "dana@example.org", "--command-key", "k-1", "--json")
    first, again = json.loads(call(*words).stdout), json.loads(call(*words).stdout)
    assert first["facts"] == again["facts"] and again["repeated"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("record", "enrol", CIN, "--agreed", "maybe", "--as", "dana@example.org"), 1, "agreed: must be verbal or written"),
        (("record", "hold", CIN, "--reason", "x", "--as", "dana@example.org"), 1, "supervisor"),
        (("record", "enrol", CIN, "--agreed", "verbal"), 2, "--as: Say who you are"),
        (("record", "enrol", CIN, "--agreed", "verbal", "--as", "nobody@example.org"), 1, "mail address"),
        (("record", "consent", "member-ffffffff", "--scope", "services", "--as", "dana@example.org"), 1, "no member"),
        (("record", "consent", "Maria", "--scope", "services", "--as", "dana@example.org"), 1, "neither a stream id"),
        (("record", "consent", CIN, "--as", "dana@example.org"), 2, "--scope"),
        (("record", "attempt", CIN, "--channel", "pigeon", "--outcome", "voicemail"), 2, "pigeon"),
        (("record", "consent", CIN, "--scope", "s", "--expected-version", "99", "--as", "dana@example.org"), 1, "moved on"),
        (("timeline", "98765432C"), 1, "Nobody is registered"),
        (("history", CIN, "--as-of", "soon"), 2, "--as-of"),
        (("worklist", "--cursor", "bm9wZQ"), 1, "cursor"),
        (("worklist", "--kind", "nope"), 2, "--kind: there is no kind nope"),
        (("inbox", "show", "1234"), 2, "inbox_id: that is no id"),
        (("policy", "show", "default@1900"), 1, "never adopted"),
        (("projections", "rebuild", "nothing"), 1, "no read model"),
        (("inbox", "show", "00000000-0000-7000-8000-000000000000"), 1, "no message"),
        (("inbox", "replay"), 2, "which message"),
        (("token", "create", "--role", "supervisor", "--for", "dana@example.org", "--as", "rosa@example.org"), 1, "role"),
        (("send-hl7", "--cin", CIN, "--to", "127.0.0.1:1"), 3, "acknowledged"),
        (("send-hl7", "--to", "nowhere", "--cin", CIN), 2, "--to"),
        (("send-hl7", str(ROOT / "pyproject.toml")), 1, "does not begin with MSH"),
        (("nothing",), 2, "No such command"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else "",
)
def test_what_goes_wrong_says_field_and_remedy(call: Call, words: tuple[str, ...], status: int, said: str) -> None:
    result = call(*words)
    assert result.exit_code == status, result.output
    assert said in result.stderr and "Traceback" not in result.output
    assert "→" in result.stderr or ";" in result.stderr or ":" in result.stderr
    as_json = call(*words, "--json")
    if as_json.exit_code == status and as_json.stderr.startswith("{"):
        assert json.loads(as_json.stderr)["error"]


def test_no_command_waits_for_what_only_some_commands_use() -> None:
    heavy = ("fastapi", "httpx", "openpyxl", "uvicorn")
    looked = f"import sys, workers.cli; print(*(m for m in {heavy} if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", looked], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.split() == []


def test_a_defect_shows_its_place_and_never_its_text(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise ValueError(f"duplicate key (name)=({PLANTED_NAME})")

    monkeypatch.setattr("workers.cli.looking.queries_of", broken)
    result = call("worklist")
    assert result.exit_code == 4 and "ValueError" in result.stderr and PLANTED_NAME not in result.output


def test_a_policy_is_checked_with_line_and_reason_adopted_and_compared(call: Call, tmp_path: Path) -> None:
    assert call("policy", "check", str(POLICY)).exit_code == 0
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(POLICY.read_text().replace("days = 10", "days = 0", 1))
    refused = call("policy", "check", str(wrong))
    assert refused.exit_code == 1 and f"{wrong}:" in refused.stdout
    better = tmp_path / "better.toml"
    better.write_text(POLICY.read_text().replace('version = "2026.1"', 'version = "2026.7"', 1))
    adopted = call("policy", "adopt", str(better), "--as", "rosa@example.org")
    assert adopted.exit_code == 0, adopted.output
    assert call("policy", "show", "default@2026.7").stdout == better.read_text()
    assert json.loads(call("policy", "show", "default@2026.7", "--json").stdout)["text"] == better.read_text()
    assert '+version = "2026.7"' in call("policy", "diff", "default@2026.1", "default@2026.7").stdout
    compared = json.loads(call("policy", "diff", "default@2026.1", "default@2026.7", "--json").stdout)
    assert compared["differs"] and '+version = "2026.7"' in compared["lines"]
    assert not json.loads(call("policy", "diff", "default@2026.7", str(better), "--json").stdout)["differs"]


def test_a_member_file_is_imported_with_rejects_named(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text(
        "CIN,Last Name,First Name,DOB,Language\n98765432C,Okafor,Ines,1961-07-09,en\n91234567B,Wrong,Letter,1960-01-01,en\n"
    )
    done = json.loads(call("import-members", str(file), "--plan", "default", "--json").stdout)
    assert (done["rows"], done["accepted"], done["rejected"]) == (2, 1, 1) and done["problems"][0]["field"]
    again = call("import-members", str(file), "--plan", "default")
    assert again.exit_code == 0 and "here before" in again.stdout


def test_audit_verify_names_the_first_event_that_was_tampered_with(call: Call, told: World) -> None:
    assert json.loads(call("audit", "verify", "--json").stdout)["sound"]
    url = told.system.settings.database_url
    assert url is not None
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER ALL")
        row = owner.execute("SELECT body FROM log.events WHERE stream = %s AND version = 2", (told.member,)).fetchone()
        assert row is not None
        owner.execute("UPDATE log.events SET body = body || ' ' WHERE stream = %s AND version = 2", (told.member,))
        try:
            found = call("audit", "verify")
            assert found.exit_code == 1 and f"version 2 of {told.member}" in found.stdout
            (bad,) = json.loads(call("audit", "verify", "--json").stdout)["bad"]
            assert (bad["stream"], bad["version"]) == (told.member, 2)
        finally:
            owner.execute("UPDATE log.events SET body = %s WHERE stream = %s AND version = 2", (row[0], told.member))
            owner.execute("ALTER TABLE log.events ENABLE TRIGGER ALL")
    assert call("audit", "verify", told.member).exit_code == 0


def test_a_log_put_back_from_a_copy_begins_a_new_life(call: Call, told: World) -> None:
    url, home = told.system.settings.database_url, told.system.settings.throughline_home
    assert url is not None
    before = eventlog.database.incarnation(url).id
    unsure = call("audit", "restored")
    assert unsure.exit_code == 1 and "--yes" in unsure.stderr and eventlog.database.incarnation(url).id == before
    Heartbeat(home, "router")()
    try:
        running = call("audit", "restored", "--yes")
        assert running.exit_code == 1 and "router" in running.stderr and eventlog.database.incarnation(url).id == before
    finally:
        beat_file(home, "router").unlink()
    done = json.loads(call("audit", "restored", "--yes", "--json").stdout)
    assert done["incarnation"] == str(eventlog.database.incarnation(url).id) != str(before)


def test_tokens_are_shown_once_and_revoked(call: Call, told: World) -> None:
    made = json.loads(
        call("token", "create", "--role", "care_manager", "--for", "dana@example.org", "--as", "rosa@example.org", "--json").stdout
    )
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert made["token"] not in call("token", "list").stdout
    revoked = call("token", "revoke", made["token_id"], "--as", "rosa@example.org", "--json")
    assert json.loads(revoked.stdout) == {"token_id": made["token_id"]}
    over, unknown, none = (
        told.api.get("/v1/whoami", headers=sent) for sent in (headers, {"Authorization": "Bearer tl_mistyped"}, {})
    )
    assert (over.status_code, unknown.status_code, none.status_code) == (401, 401, 401)
    assert "not known, or it is over" in over.json()["detail"] and none.json()["code"] == "token_needed"
    assert 'error="invalid_token"' in over.headers["WWW-Authenticate"] and "error" not in none.headers["WWW-Authenticate"]
    alike = [(answer.json() | {"trace_id": ""}, answer.headers["WWW-Authenticate"]) for answer in (over, unknown)]
    assert alike[0] == alike[1], "nobody learns which tokens there were"


def as_process(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    settings = world.system.settings
    assert settings.database_url and settings.keys_database_url
    environment = {**os.environ, "DATABASE_URL": settings.database_url, "KEYS_DATABASE_URL": settings.keys_database_url}
    command = [sys.executable, "-m", "workers.cli", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_as_a_real_process(told: World) -> None:
    done = as_process(told, "worklist", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["items"], done.stderr
    refused = as_process(told, "record", "enrol", CIN, "--agreed", "maybe", "--as", "dana@example.org")
    assert refused.returncode == 1 and "agreed" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("words", [("worklist",), ("simulate", "--history")])
def test_without_a_database_it_says_so(told: World, words: tuple[str, ...]) -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://nobody:secret-word@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3 and "doctor" in done.stderr and "secret-word" not in done.stderr and "Traceback" not in done.stderr
