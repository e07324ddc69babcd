"""Plans' files over API and command line: tried, loaded, reported row by row, confirmed or rejected where they stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.open_matters import MatterKind, open_matters
from domain.staff.facts import Role
from intake.referrals.referral import EXAMPLE
from tests.intake.making import CSV_HEADER
from tests.intake.rosters import COAST_HEADER, coast, workbook
from tests.surfaces.conftest import World
from workers.cli import app, frame

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def roster(*numbers: int, header: str = CSV_HEADER) -> bytes:
    rows = [f"9{n:07d}A,Family{chr(65 + n)},Ann,1961-04-12,F,English,661-555-0{100 + n},2026-11-01" for n in numbers]
    return "\r\n".join([header, *rows, ""]).encode()


def post(world: World, path: str, body: bytes | dict[str, str], role: Role = Role.OPERATOR, kind: str = "text/csv"):  # type: ignore[no-untyped-def]
    headers = world.as_role(role)
    if isinstance(body, dict):
        return world.api.post(path, json=body, headers=headers)
    return world.api.post(path, content=body, headers={**headers, "Content-Type": kind})


def test_a_file_is_tried_loaded_and_told_row_by_row(world: World) -> None:
    world.adopt("coast-care")
    raw = workbook(COAST_HEADER, [coast(41), coast(42, cin="90000042B"), coast(43, cin="90000043a 3 9180"), coast(44, born="?")])
    where = "plan=coast-care&file_name=CC_MIF_202611.xlsx"
    tried = post(world, f"/v1/files/previews?{where}", raw, kind=XLSX).json()
    assert (tried["accepted"], tried["rejected"], tried["profile"], tried["stops"]) == (2, 2, "coast-care", False)
    assert world.door.inbox.find(files=True) == (), "nothing is kept of a file that was tried"
    receipt = post(world, f"/v1/files?{where}", raw, kind=XLSX).json()
    assert (receipt["rows"], receipt["accepted"], receipt["rejected"], receipt["waiting"]) == (4, 2, 2, 0)
    at = f"/v1/files/{receipt['file_id']}"
    assert world.get(at, role=Role.AUDITOR).json()["accepted"] == 2
    page = world.get(f"{at}/rows", role=Role.OPERATOR, limit=2).json()
    assert [(i["row"], i["outcome"], i["field"]) for i in page["items"]] == [(4, "accepted", ""), (5, "rejected", "cin")]
    rest = world.get(f"{at}/rows", role=Role.OPERATOR, after=page["next"]).json()
    assert [(i["row"], i["outcome"], i["field"]) for i in rest["items"]] == [(6, "accepted", "cin"), (7, "rejected", "birth_date")]
    assert rest["next"] is None
    report = world.get(f"{at}/report", role=Role.OPERATOR)
    assert (
        report.headers["Content-Type"].startswith("text/csv") and report.text.splitlines()[0] == "row,outcome,field,reason,remedy"
    )
    assert "Tidewater" not in report.text, "a report names nobody"
    again = post(world, f"/v1/files?{where}", raw, kind=XLSX).json()
    assert again["duplicate"] and again["file_id"] == receipt["file_id"]
    assert post(world, f"/v1/files?{where}", raw, role=Role.CARE_MANAGER).status_code == 403
    assert world.get("/v1/files/00000000-0000-0000-0000-000000000000", role=Role.OPERATOR).json()["code"] == "unknown_file"


def test_28_a_shrunken_roster_stops_until_somebody_confirms_or_rejects_it(world: World) -> None:
    everybody = range(10)
    post(world, "/v1/files?plan=default&full_roster=true", roster(*everybody))
    stopped = post(world, "/v1/files?plan=default&full_roster=true", roster(0, 1, 2, 3)).json()
    assert "6 of 10" in stopped["stopped"]
    (waiting,) = world.get("/v1/files", role=Role.OPERATOR, waiting=True).json()["items"]
    assert waiting["file_id"] == stopped["file_id"]
    at = f"/v1/files/{stopped['file_id']}"
    assert post(world, f"{at}/confirmations", {"reason": "Because!"}).status_code == 422
    assert post(world, f"{at}/rejections", {"reason": "plan_sends_it_again"}).status_code == 200
    assert post(world, f"{at}/confirmations", {"reason": "plan_confirmed"}).status_code == 404
    told = world.get(f"/v1/inbox/{stopped['file_id']}", role=Role.OPERATOR).json()
    assert (told["status"], told["reason"]) == ("ignored", "plan_sends_it_again")
    assert told["steps"][-1]["by"].startswith("staff-")
    second = post(world, "/v1/files?plan=default&full_roster=true", roster(0, 1, 2, 3, 4)).json()
    confirmed = post(world, f"/v1/files/{second['file_id']}/confirmations", {"reason": "plan_confirmed_by_phone"}).json()
    assert (confirmed["unchanged"], len(confirmed["missing"]), confirmed["stopped"]) == (5, 5, "")


@pytest.fixture
def settings(world: World) -> Iterator[None]:
    before, frame.asked.settings = frame.asked.settings, world.system.settings
    yield
    frame.asked.settings = before


def call(*words: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == status, done.output
    return done


def test_the_command_line_tries_loads_reports_and_asks(world: World, settings: None, tmp_path: Path) -> None:
    world.adopt("coast-care")
    file = tmp_path / "CC_MIF_202611.xlsx"
    file.write_bytes(workbook(COAST_HEADER, [coast(n) for n in range(10)] + [coast(42, cin="90000042B")]))
    tried = call("files", "load", str(file), "--dry-run").stdout
    assert "nothing was written" in tried and "10 accepted" in tried and "1 rejected" in tried
    loaded = json.loads(call("files", "load", str(file), "--json").stdout)
    assert (loaded["accepted"], loaded["rejected"], loaded["profile"]) == (10, 1, "coast-care")
    assert "duplicate file" in call("files", "load", str(file)).stdout
    out = tmp_path / "report.csv"
    call("files", "report", loaded["file_id"], "--to", str(out))
    assert len(out.read_text().splitlines()) == 12
    short = tmp_path / "CC_MIF_202612.xlsx"
    short.write_bytes(workbook(COAST_HEADER, [coast(n) for n in range(4)]))
    stopped = call("files", "load", str(short), status=1)
    assert "control_id_reused" not in call("files", "list", "--json").stdout, "another file of a plan's is nothing odd"
    named = call("files", "report", "CC_MIF_202611.xlsx", status=2).stderr
    assert "file_id: that is no id" in named and "throughline files list" in named
    assert "6 of 10 members" in " ".join(stopped.stderr.split())
    (waiting,) = json.loads(call("files", "list", "--waiting", "--json").stdout)
    confirmed = json.loads(
        call("files", "confirm", waiting["file_id"], "--reason", "ok", "--as", world.supervisor, "--json").stdout
    )
    assert (confirmed["unchanged"], len(confirmed["missing"])) == (4, 6)
    assert "coast-care" in call("files", "profiles").stdout
    profiles = json.loads(call("files", "profiles", "--json").stdout)
    usual = [(p["id"], p["kind"], p["name"]) for p in profiles if p["plan"] == "default"]
    assert usual == [("default", "members", "canonical"), ("default.authorisations", "authorisations", "canonical authorisations")]
    assert profiles[0]["required"] == ["cin", "last_name", "first_name", "birth_date"], "what a newcomer has to write"
    back = tmp_path / "return.csv"
    call("files", "new-contact-points", "--plan", "coast-care", "--to", str(back))
    assert back.read_text().startswith("MCP Identifier,")


UNKNOWN = (
    "plan: 'coast-car' is no health plan of ours; write one of default; for a new plan adopt its policy first"
    " (throughline policy adopt)"
)


@pytest.mark.parametrize(
    "words",
    [
        ("files", "load", "FILE", "--plan", "coast-car"),
        ("files", "load", "FILE", "--plan", "coast-car", "--dry-run"),
        ("files", "load", "FILE", "--plan", "coast-car", "--what", "authorisations"),
        ("files", "new-contact-points", "--plan", "coast-car", "--to", "FILE"),
        ("import-members", "FILE", "--plan", "coast-car"),
        ("import-referrals", "FILE", "--plan", "coast-car", "--as", "STAFF"),
        ("strangers", "list", "--plan", "coast-car"),
        ("refer", "--family-name", "Vega", "--born", "1961-07-09", "--source", "family", "--plan", "coast-car", "--as", "STAFF"),
    ],
)
def test_a_plan_that_there_is_not_is_a_slip_on_the_command_line(
    shared_world: World, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before, frame.asked.settings = frame.asked.settings, shared_world.system.settings
    try:
        file = tmp_path / "roster.csv"
        file.write_bytes(roster(1))
        facts = shared_world.system.log.watermark()
        said = call(*(str(file) if w == "FILE" else shared_world.supervisor if w == "STAFF" else w for w in words), status=2)
    finally:
        frame.asked.settings = before
    assert UNKNOWN in " ".join(said.stderr.split())
    assert shared_world.system.log.watermark() == facts and shared_world.door.inbox.find(files=True) == ()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/files?plan=coast-car", roster(1)),
        ("/v1/files?plan=coast-car&what=authorisations", roster(1)),
        ("/v1/files/previews?plan=coast-car", roster(1)),
        ("/v1/member-files?plan=coast-car", roster(1)),
        ("/v1/referral-files?plan=coast-car", roster(1)),
        ("/v1/referrals", {**EXAMPLE, "plan": "coast-car"}),
        ("/v1/strangers/0123456789abcdef/referrals", {"plan": "coast-car"}),
    ],
)
def test_a_plan_that_there_is_not_is_refused_over_the_api(shared_world: World, path: str, body: Any) -> None:
    facts = shared_world.system.log.watermark()
    answer = post(shared_world, path, body)
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (422, "plan_unknown", "plan")
    assert f"plan: {told['detail']}" == UNKNOWN
    assert shared_world.system.log.watermark() == facts and shared_world.door.inbox.find(files=True) == ()


def test_an_assignment_by_a_plan_that_there_is_not_is_refused_over_the_api(shared_world: World) -> None:
    said = {"member": shared_world.member, "plan": "coast-car", "received_at": "2026-11-16T09:00:00-08:00"}
    told = shared_world.post("/v1/episodes/assignments", said).json()
    assert (told["code"], told["field"], told["status"]) == ("episode_open", "member", 409), "that comes first"
    assert shared_world.get("/v1/files/returns/contact-points", role=Role.OPERATOR, plan="coast-car").status_code == 422


@pytest.mark.parametrize("path", ["/v1/files", "/v1/files/previews"])
def test_what_cannot_be_read_is_refused_with_a_remedy(world: World, path: str) -> None:
    refused = post(world, f"{path}?plan=default", b"nothing here")
    assert refused.status_code == 422 and "column" in refused.json()["detail"]


def test_why_a_file_was_refused_is_still_known_when_the_answer_is_forgotten(world: World, settings: None, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(b"last name,first name,dob\nTidewater,Ann,1961-04-12\n")
    said = "the file has no column for cin; give it one"
    assert said in " ".join(call("files", "load", str(file), "--plan", "default", status=1).stderr.split())
    (listed,) = json.loads(call("files", "list", "--json").stdout)
    assert listed["reason"] == "file_refused" and listed["error"].startswith(said) and "Tidewater" not in listed["error"]
    assert said in call("files", "list").stdout and said in call("files", "show", listed["file_id"]).stdout
    assert world.get(f"/v1/files/{listed['file_id']}", role=Role.OPERATOR).json()["refused"] == listed["error"]
    assert world.get("/v1/files", role=Role.OPERATOR).json()["items"][0]["error"] == listed["error"]
    (matter,) = open_matters(world.door, world.services.queries, world.system.clock.now(), kind=MatterKind.DEAD_LETTER)
    assert said in matter.why and matter.why.startswith("a plan's file could not be taken")
    file.write_bytes(file.read_bytes().replace(b"dob", b"date"))
    call("files", "load", str(file), "--plan", "default", status=1)
    assert len(json.loads(call("files", "list", "--json").stdout)) == 2, "another file is another refusal"


def test_a_script_can_tell_that_nothing_of_a_file_was_taken(world: World, settings: None, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    bad = f"{CSV_HEADER}\r\n9000000?A,Family,Ann,1961-04-12,F,English,661-555-0100,2026-11-01\r\n".encode()
    file.write_bytes(bad)
    assert "1 row would be:" in call("files", "load", str(file), "--plan", "default", "--dry-run").stdout
    none = call("files", "load", str(file), "--plan", "default", status=1).stdout
    assert "1 row: 0 accepted, 0 unchanged, 1 rejected, 0 waiting." in none
    (listed,) = json.loads(call("files", "list", "--json").stdout)
    call("files", "show", listed["file_id"])
    file.write_bytes(bad + roster(41).partition(b"\r\n")[2])
    assert "2 rows: 1 accepted" in call("files", "load", str(file), "--plan", "default").stdout
