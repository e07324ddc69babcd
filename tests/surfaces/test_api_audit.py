"""The hash chains verified over HTTP: by whom, in parts of bounded size, and what is said of an event that was changed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator

from api.audit import EVENTS_MAX
from domain.staff.facts import Role
from tests.surfaces.conftest import World

MAY = (Role.AUDITOR, Role.OPERATOR, Role.SUPERVISOR)


def events_in_all(world: World, where: str = "") -> int:
    with world.system.pool.connection() as conn:
        row = conn.execute(f"SELECT count(*) FROM log.events {where}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def parts(world: World, limit: int) -> list[dict[str, Any]]:
    found = [world.get("/v1/audit", role=Role.AUDITOR, limit=limit).json()]
    while found[-1]["next"] is not None:
        found.append(world.get("/v1/audit", role=Role.AUDITOR, limit=limit, cursor=found[-1]["next"]).json())
    return found


def test_auditor_operator_and_supervisor_verify_and_nobody_else(told: World) -> None:
    assert told.api.get("/v1/audit").status_code == 401
    for role in Role:
        answer = told.get("/v1/audit", role=role)
        assert answer.status_code == (200 if role in MAY else 403), (role, answer.text)
    said = told.get("/v1/audit", role=Role.AUDITOR).json()
    assert said == {"checked": events_in_all(told), "sound": True, "broken_streams": 0, "first_bad": None, "next": None}


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_parts_check_every_event_once_and_none_is_larger_than_asked_but_for_the_rest_of_a_stream(told: World, limit: int) -> None:
    found = parts(told, limit)
    assert len(found) > 1 and sum(part["checked"] for part in found) == events_in_all(told)
    with told.system.pool.connection() as conn:
        row = conn.execute("SELECT max(version) FROM log.events").fetchone()
    assert row is not None and all(part["checked"] < limit + row[0] for part in found)


def test_one_stream_and_what_cannot_be_asked(told: World) -> None:
    own = events_in_all(told, f"WHERE stream = '{told.member}'")
    assert told.get("/v1/audit", role=Role.AUDITOR, stream=told.member).json()["checked"] == own
    assert told.get("/v1/audit", role=Role.AUDITOR, stream=told.member, limit=1).json()["checked"] == own
    for asked, status, field in (
        ({"stream": "member-nobody"}, 404, "stream"),
        ({"stream": told.member, "cursor": told.member}, 422, "cursor"),
        ({"limit": EVENTS_MAX + 1}, 422, "limit"),
        ({"limit": 0}, 422, "limit"),
        ({"cursor": "\x00"}, 422, "cursor"),
    ):
        answer = told.get("/v1/audit", role=Role.AUDITOR, **asked)
        assert answer.status_code == status and answer.json()["field"] == field, answer.text
    assert told.get("/v1/audit", role=Role.AUDITOR, cursor="zzz").json()["checked"] == 0


def test_the_first_bad_event_of_the_log_is_named_wherever_it_lies(world: World) -> None:
    url = world.system.settings.database_url
    assert url is not None
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER ALL")
        owner.execute("UPDATE log.events SET body = body || ' ' WHERE stream = %s AND version = 2", (world.member,))
        owner.execute("UPDATE log.events SET body = body || ' ' WHERE stream = %s AND version = 1", (world.episode,))
        first = owner.execute("SELECT position, name FROM log.events WHERE stream = %s AND version = 2", (world.member,)).fetchone()
        owner.execute("ALTER TABLE log.events ENABLE TRIGGER ALL")
    assert first is not None
    said = world.get("/v1/audit", role=Role.AUDITOR).json()
    assert not said["sound"] and said["broken_streams"] == 2 and said["checked"] == events_in_all(world)
    bad = said["first_bad"]
    assert (bad["stream"], bad["version"], bad["position"], bad["name"]) == (world.member, 2, *first) and "hash" in bad["reason"]
    broken = [part["first_bad"]["stream"] for part in parts(world, 1) if not part["sound"]]
    assert sorted(broken) == sorted([world.member, world.episode]), "and in parts each of them"
    assert world.get("/v1/audit", role=Role.AUDITOR, stream="policy-default").json()["sound"]


def test_its_answer_is_described_with_examples_that_fit(told: World) -> None:
    described = told.api.get("/v1/openapi.json").json()
    answer = described["paths"]["/v1/audit"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = described["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
    fits = Draft202012Validator({**answer, "components": described["components"]})
    assert {example["sound"] for example in schema["examples"]} == {True, False}
    for example in [*schema["examples"], told.get("/v1/audit", role=Role.AUDITOR).json()]:
        fits.validate(example)
