"""Commands over HTTP: who may, once only, on the version seen, and refusals that say field and remedy."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from api.offering import Offer
from api.offers import OFFERS
from domain.staff.facts import Role
from tests.surfaces.conftest import PLANTED_NAME, World
from workers.cli import app as cli

PROBLEM = "application/problem+json"


def test_a_command_becomes_a_fact_with_the_tokens_actor(world: World) -> None:
    answer = world.post(f"/v1/members/{world.member}/opt-outs", {"channel": "text", "how": "said on the phone"})
    assert answer.status_code == 200, answer.text
    (fact,) = answer.json()["facts"]
    assert fact["fact"] == "member.channel-opted-out" and answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    (recorded,) = world.system.log.read(world.member)[-1:]
    assert recorded.actor == world.care_manager and recorded.event_id == fact["event_id"]


def test_the_same_key_again_gives_the_first_result_and_another_body_under_it_is_refused(world: World) -> None:
    path, key = f"/v1/members/{world.member}/consents", str(uuid4())
    first = world.post(path, {"scope": "services"}, key=key)
    again = world.post(path, {"scope": "services"}, key=key)
    assert again.json()["facts"] == first.json()["facts"] and again.json()["repeated"] and not first.json()["repeated"]
    other = world.post(path, {"scope": "data_sharing"}, key=key)
    assert other.status_code == 409 and other.json()["code"] == "command-id-reused"


def test_a_key_is_each_senders_own(world: World) -> None:
    path = f"/v1/members/{world.member}/consents"
    first = world.post(path, {"scope": "services"}, key="same")
    second = world.post(path, {"scope": "services"}, role=Role.SUPERVISOR, key="same")
    assert second.status_code == 200 and second.json()["facts"] != first.json()["facts"]


def test_without_a_key_nothing_happens(world: World) -> None:
    answer = world.api.post(
        f"/v1/members/{world.member}/consents", json={"scope": "services"}, headers=world.as_role(Role.CARE_MANAGER)
    )
    assert answer.status_code == 422 and answer.json()["field"] == "Idempotency-Key"
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("way", ["header", "field"])
def test_a_stale_version_is_refused_with_412(world: World, way: str) -> None:
    path = f"/v1/members/{world.member}/consents"
    seen = world.post(path, {"scope": "services"}).json()["version"]
    world.post(path, {"scope": "contact"})
    body = {"scope": "data_sharing"} | ({"expected_version": seen} if way == "field" else {})
    headers = {"If_Match": f'"{seen}"'} if way == "header" else {}
    stale = world.post(path, body, **headers)
    assert stale.status_code == 412 and stale.json()["actual"] == seen + 1 and stale.headers["ETag"] == f'"{seen + 1}"'
    assert world.post(path, body | ({"expected_version": seen + 1} if way == "field" else {}), If_Match=f'"{seen + 1}"').is_success


@pytest.mark.parametrize(
    ("path", "body", "role", "status", "code", "field"),
    [
        ("/v1/episodes/{episode}/enrolments", {"agreed": "maybe"}, Role.CARE_MANAGER, 422, "agreement_unknown", "agreed"),
        ("/v1/episodes/{episode}/deferrals", {"until": "2020-01-01"}, Role.CARE_MANAGER, 422, "deferral_in_the_past", "until"),
        ("/v1/episodes/{episode}/closures", {"reason": "UNABLE_TO_REACH"}, Role.CARE_MANAGER, 403, "not_authorised", "by"),
        ("/v1/episodes/{episode}/closures", {"reason": "UNABLE_TO_REACH"}, Role.SUPERVISOR, 409, "not_proposed", "reason"),
        ("/v1/episodes/{episode}/holds", {"reason": "x"}, Role.CARE_MANAGER, 403, "role_missing", ""),
        ("/v1/members/member-0/consents", {"scope": "services"}, Role.CARE_MANAGER, 404, "unknown_member", "stream"),
        ("/v1/members/{member}/relocations", {"timezone": "Mars/Base"}, Role.CARE_MANAGER, 422, "unknown_zone", "timezone"),
        ("/v1/members/{member}/opt-outs", {"channel": "pigeon"}, Role.CARE_MANAGER, 422, "invalid", "channel"),
        ("/v1/members/{member}/opt-outs", {"channel": "text", "by": "system"}, Role.CARE_MANAGER, 422, "invalid", "by"),
        ("/v1/members/{episode}/opt-outs", {"channel": "text"}, Role.CARE_MANAGER, 422, "invalid", "stream"),
        ("/v1/members/registrations", {"cin": "91234567B"}, Role.OPERATOR, 422, "cin_faulty", "cin"),
        ("/v1/members/{member}/consents", {"scope": "s", "occurred_at": "2026-11-16T10:00:00"}, Role.CARE_MANAGER, 422, "invalid",
         "occurred_at"),
    ],
)  # fmt: skip
def test_a_refusal_says_code_field_and_remedy(
    shared_world: World, path: str, body: dict[str, object], role: Role, status: int, code: str, field: str
) -> None:
    w = shared_world
    answer = w.post(path.format(member=w.member, episode=w.episode), body, role=role)
    said = answer.json()
    assert (answer.status_code, said["code"], said.get("field", "")) == (status, code, field), answer.text
    assert answer.headers["content-type"] == PROBLEM and said["status"] == status and len(said["detail"]) > 10
    assert said["type"].startswith("urn:throughline:problem:") and len(said["trace_id"]) == 32


def test_registering_a_member_derives_stream_and_claim_from_the_cin(world: World) -> None:
    body = {"cin": "9 8765432-c", "family_name": "Okafor", "given_name": "Ines", "birth_date": "1961-07-09"}
    first = world.post("/v1/members/registrations", body, role=Role.OPERATOR)
    assert first.status_code == 201 and first.json()["stream"] == world.door.identity.member("98765432C")
    taken = world.post("/v1/members/registrations", body, role=Role.OPERATOR)
    assert taken.status_code == 201 and taken.json()["facts"] == []


def test_a_supervisor_erases_a_person_for_good(world: World) -> None:
    path, reason = f"/v1/members/{world.member}/erasures", {"reason": "asked in writing"}
    assert world.system.opened.keys.not_destroyed([world.member]) == (world.member,)
    assert world.post(path, reason, role=Role.CARE_MANAGER).status_code == 403
    assert world.post(path, reason, role=Role.OPERATOR).status_code == 403
    erased = world.post(path, reason, role=Role.SUPERVISOR)
    assert [f["fact"] for f in erased.json()["facts"]] == ["member.personal-data-erased"], erased.text
    assert world.system.opened.keys.not_destroyed([world.member]) == ()
    assert not any(PLANTED_NAME in repr(stored.recorded) for stored in world.system.log.read_stored(world.member))
    assert world.post(path, reason, role=Role.SUPERVISOR).json()["facts"] == [], "once is enough"
    late = world.post(f"/v1/members/{world.member}/identity-corrections", {"given_name": "Ines", "reason": "card"})
    assert late.status_code == 409 and late.json()["code"] == "erased"


def test_whoever_erases_is_told_what_stays_readable_and_until_when(world: World) -> None:
    described = world.api.get("/v1/openapi.json").json()["paths"]
    (offered,) = (methods["post"] for path, methods in described.items() if path.endswith("/erasures"))
    helped = CliRunner().invoke(cli, ["record", "erase", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert helped.exit_code == 0
    for text in (offered["description"], helped.stdout):
        words = " ".join(re.sub(r"[│|]", " ", text).split())
        assert "Raw messages and files that name the member stay in the inbox" in words
        assert "sealed under their month's key, until that key is destroyed; this command does not destroy it." in words


def test_a_policy_is_adopted_as_it_is_and_refused_with_line_and_reason(world: World) -> None:
    from tests.surfaces.conftest import POLICY

    text = POLICY.read_text().replace('version = "2026.1"', 'version = "2026.9"', 1)
    headers = {**world.as_role(Role.SUPERVISOR), "Idempotency-Key": "p1", "Content-Type": "application/toml"}
    adopted = world.api.post("/v1/policies", content=text.encode(), headers=headers)
    assert adopted.status_code == 201, adopted.text
    wrong = world.api.post(
        "/v1/policies", content=text.replace("days = 10", "days = 0", 1).encode(), headers=headers | {"Idempotency-Key": "p2"}
    )
    assert wrong.status_code == 422 and "line " in wrong.json()["detail"] and wrong.json()["code"] == "policy_faulty"


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.verb)
def test_every_offer_has_an_example_that_its_model_takes(offer: Offer) -> None:
    from api.commands import model_of

    model_of(offer).model_validate(dict(offer.example))


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.verb)
def test_nobody_writes_without_a_token_of_one_of_the_roles(shared_world: World, offer: Offer) -> None:
    path = f"/v1/{offer.resource}/{offer.noun}" if offer.founds else f"/v1/{offer.resource}/{offer.stream}-0/{offer.noun}"
    assert shared_world.api.post(path, json=dict(offer.example), headers={"Idempotency-Key": "x"}).status_code == 401
    wrong = shared_world.api.post(
        path, json=dict(offer.example), headers={"Idempotency-Key": "x", "Authorization": "Bearer tl_not-a-token"}
    )
    assert wrong.status_code == 401 and wrong.headers["WWW-Authenticate"].startswith("Bearer")
    for role in Role:
        answer = shared_world.post(path, dict(offer.example), role=role)
        assert (answer.status_code == 403 and answer.json()["code"] == "role_missing") is (role not in offer.roles), role
        assert answer.status_code < 500, answer.text
