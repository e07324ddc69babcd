"""Who somebody is, over the API and the command line: the list, both sides, and what a person found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import pytest
from typer.testing import CliRunner

from domain.member.decider import RegisterMember
from domain.staff.facts import Role
from tests.surfaces.conftest import CIN, PLANTED_NAME, World
from tests.surfaces.test_api_door import send
from workers.cli import app, frame
from workers.cli.sending import built


def doubtful(world: World) -> bytes:
    """The member's CIN under another name and another birth date."""
    now, facility = world.clock.now(), world.door.sources.rows[0].facilities[0].aliases[0]
    return built(
        "A01", cin=CIN, name="SOMEBODY^ELSE", born="1999-01-01", visit="V-78", facility=facility, patient_class="I",
        disposition="01", at=now, now=now,
    )  # fmt: skip


def test_a_question_is_listed_shown_and_decided(world: World) -> None:
    assert send(world, doubtful(world)).status_code == 200
    world.door.worker.work_off()
    (row,) = world.get("/v1/identity/questions?kind=message", role=Role.AUDITOR).json()
    assert (row["reason"], row["members"], row["decisions"]) == ("cin_contradicted", [world.member], ["attach", "keep_apart"])
    assert row["waits_seconds"] >= 0
    assert PLANTED_NAME.casefold() not in str(row).casefold()
    shown = world.get(f"/v1/identity/questions/{row['id']}", role=Role.CARE_MANAGER).json()
    assert [side["who"] for side in shown["sides"]] == ["message", world.member]
    assert shown["sides"][0]["family_name"] == "SOMEBODY"
    assert world.get(f"/v1/identity/questions/{row['id']}", role=Role.AUDITOR).status_code == 403

    def decide(key: str, **said: str):  # type: ignore[no-untyped-def]
        headers = {**world.as_role(Role.CARE_MANAGER), "Idempotency-Key": key}
        return world.api.post(f"/v1/identity/questions/{row['id']}/decisions", json=said, headers=headers)

    wrong = decide("k-0", decision="merge", reason="?")
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["field"]) == (422, "no_such_decision", "decision")
    done = decide("k-1", decision="keep_apart", reason="somebody else")
    assert done.status_code == 200, done.text
    assert [fact["fact"] for fact in done.json()["facts"]] == ["member.message-disowned"]
    world.door.worker.work_off()
    again = decide("k-1", decision="keep_apart", reason="somebody else").json()
    assert again["repeated"] and again["facts"] == done.json()["facts"]
    assert world.get("/v1/identity/questions?kind=message", role=Role.OPERATOR).json() == []
    assert world.door.inbox.show(UUID(row["id"])).row.status.value == "unmatched"


def test_what_does_not_wait_is_not_found(world: World) -> None:
    gone = world.get("/v1/identity/questions/0b0e8c52-4a3e-5b51-9c5d-2f6b6a7a9d10", role=Role.OPERATOR)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_question")


@pytest.fixture
def cli(world: World) -> Iterator[CliRunner]:
    before, frame.asked.settings = frame.asked.settings, world.system.settings
    yield CliRunner()
    frame.asked.settings = before


def test_the_command_line_lists_shows_decides_and_moves_a_stay(world: World, cli: CliRunner) -> None:
    send(world, doubtful(world))
    world.door.worker.work_off()
    listed = cli.invoke(app, ["identity", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    (question,) = json.loads(listed.output)["items"]
    shown = cli.invoke(app, ["identity", "show", question["id"], "--json"])
    assert json.loads(shown.output)["sides"][0]["family_name"] == "SOMEBODY"
    words = ["identity", "decide", question["id"], "attach", "--reason", "her new name", "--as", world.supervisor, "--json"]
    done = cli.invoke(app, words)
    assert done.exit_code == 0, done.output
    world.door.worker.work_off()
    row = world.door.inbox.show(UUID(question["id"])).row
    assert (row.status.value, row.member, row.evidence) == ("applied", world.member, "by_hand")
    other, claim = world.door.identity.member("98765432D"), world.door.identity.cin_claim("98765432D")
    world.do(RegisterMember(stream=other, by="source:plan", cin_claim=claim, cin="98765432D", family_name="Somebody"))
    words = ["identity", "move-stay", str(row.stay), "--to", other, "--reason", "mistaken_identity", "--as", world.supervisor]
    moved = cli.invoke(app, words)
    assert moved.exit_code == 0, moved.output
    stays = {m: world.system.gateway.load(m).state.stays for m in (world.member, other)}
    assert row.stay not in stays[world.member] and row.stay in stays[other]
    gone = cli.invoke(app, ["identity", "show", question["id"]])
    assert gone.exit_code == 1 and "identity list" in gone.output


def test_an_older_cin_is_recorded_and_one_of_another_member_is_asked_about(world: World, cli: CliRunner) -> None:
    headers = {**world.as_role(Role.SUPERVISOR), "Idempotency-Key": "older"}
    done = world.api.post(
        f"/v1/members/{world.member}/former-cins", json={"cin": "9765 4321E", "reason": "a card"}, headers=headers
    )
    assert [fact["fact"] for fact in done.json()["facts"]] == ["member.former-cin-learned", "claim.claimed"], done.text
    assert world.system.gateway.load(world.member).state.cins() == (CIN, "97654321E")
    words = ["record", "forget-former-cin", world.member, "--cin", "97654321E", "--as", world.supervisor]
    back = cli.invoke(app, words)
    assert back.exit_code == 0, back.output
    assert world.system.gateway.load(world.member).state.cins() == (CIN,)
    other, claim = world.door.identity.member("98765432D"), world.door.identity.cin_claim("98765432D")
    world.do(RegisterMember(stream=other, by="source:plan", cin_claim=claim, cin="98765432D", family_name="Somebody"))
    words = ["record", "learn-former-cin", world.member, "--cin", "98765432D", "--as", world.supervisor]
    refused = cli.invoke(app, words)
    assert refused.exit_code == 1 and "identity list" in refused.output
    world.door.worker.work_off()
    (question,) = world.get("/v1/identity/questions?kind=pair", role=Role.OPERATOR).json()
    assert (question["reason"], set(question["members"])) == ("said_to_be_one", {world.member, other})
