"""What is said of wrong input, of every field of every address: in our words, with what to send instead, and without the value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic_core import core_schema

from api.app import create_app
from api.services import Services
from domain.staff.facts import Role
from intake.reading.faults import FORMS, HIDDEN, OTHERWISE, WORDS, fault_of, path_of
from intake.referrals.referral import EXAMPLE
from tests.surfaces.conftest import World

SECRET = "Quintanilla"
WRONG: tuple[Any, ...] = (
    None, True, -1, 2**70, 1.5, "", "x", SECRET, "Y" * 5_000, "2026-13-45", "2026-02-30T10:00:00", "2026-11-20T10:00:00",
    "00000000-0000-0000-0000-00000000000g", [], [SECRET], [None], list(range(400)), {}, {SECRET: SECRET}, "\ud800",
)  # fmt: skip
THEIRS = ("Input should", "Field required", "should be", "should have", "should match", "Value error", "valid ", "Extra inputs")


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every address, those of included routers too."""
    for route in _flat(app.routes):
        if isinstance(route, APIRoute):
            yield route


def _flat(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if inner:
            yield from _flat(inner)
        else:
            yield route


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Services.__new__(Services))


def wrong_bodies(schema: dict[str, Any], models: dict[str, Any], right: Any) -> Iterator[Any]:
    """A right body with one thing wrong at a time, at every depth."""
    yield from WRONG
    schema = resolved(schema, models)
    if schema.get("type") == "array" and schema.get("items"):
        yield from ([wrong] for wrong in wrong_bodies(schema["items"], models, None))
    if extra := schema.get("additionalProperties"):
        yield from ({"a": wrong} for wrong in wrong_bodies(extra if isinstance(extra, dict) else {}, models, None))
    there = right if isinstance(right, dict) else {}
    for name, of in schema.get("properties", {}).items():
        yield {key: value for key, value in there.items() if key != name}
        for wrong in wrong_bodies(of, models, there.get(name)):
            yield {**there, name: wrong}


def resolved(schema: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    while True:
        if "$ref" in schema:
            schema = models[schema["$ref"].rpartition("/")[2]]
        elif chosen := next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), None):
            schema = chosen
        else:
            return schema


def errors_of(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every error that any field of any address finds in wrong input: (address, error)."""
    seen: set[type] = set()
    for route in routes_of(app):
        dependant = route.dependant
        for given in (*dependant.path_params, *dependant.query_params, *dependant.header_params):
            for wrong in ("", "x", SECRET, "Y" * 5_000, "-1", "99999999999999999999999", "2026-13-45", ["x"], None):
                _, errors = given.validate(wrong, {}, loc=("query", given.alias))
                yield from ((route.path, error) for error in errors or ())
        if route.body_field is None:
            continue
        model = route.body_field.field_info.annotation
        if model in seen:
            continue
        seen.add(model)
        schema = model.model_json_schema()
        models, name = schema.get("$defs", {}), model.__name__
        right = (schema.get("examples") or [{}])[0]
        _, errors = route.body_field.validate(right, {}, loc=("body",))
        assert not errors, (name, errors)
        for wrong in wrong_bodies(schema, models, right):
            _, errors = route.body_field.validate(wrong, {}, loc=("body",))
            yield from ((f"{route.path} {name}", error) for error in errors or ())


def test_every_fault_that_a_field_can_have_is_said_in_our_words(app: FastAPI) -> None:
    kinds: set[str] = set()
    addresses: set[str] = set()
    for address, error in errors_of(app):
        kinds.add(error["type"])
        addresses.add(address)
        said = fault_of(error, skip=1)
        assert error["type"] in WORDS, (address, error["type"], error["msg"])
        assert (said.fault, said.remedy) != OTHERWISE and said.fault and said.remedy, (address, error)
        assert not any(word in str(said) for word in THEIRS), (address, str(said))
        assert SECRET not in str(said), (address, str(said))
        if error["type"] == "string_pattern_mismatch":
            assert str(said) != "is not of the form that it must have; write it as the description of the API shows it", error[
                "ctx"
            ]
    assert len(kinds) >= 20 and len(addresses) > 100, (sorted(kinds), len(addresses))


def test_every_pattern_that_is_described_has_words(app: FastAPI) -> None:
    patterns = {value for key, value in _leaves(app.openapi()) if key == "pattern"}
    told = {pattern: fault_of({"type": "string_pattern_mismatch", "loc": (), "ctx": {"pattern": pattern}}) for pattern in patterns}
    assert set(FORMS) - patterns == {"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"} - patterns
    assert all("is not of the form" not in said.fault for said in told.values()), told


def _leaves(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value)
            if isinstance(value, str):
                yield key, value
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value)


def test_the_words_are_of_errors_that_there_are_and_others_have_some_too() -> None:
    assert set(WORDS) <= set(get_args(core_schema.ErrorType))
    assert fault_of({"type": "brand_new", "loc": ("body", "a", 2, "b"), "msg": "Input should"}, skip=1).field == "a[2].b"
    assert path_of(("answers", "Ines Okafor", "[key]")) == f"answers.{HIDDEN}"


def test_the_description_says_what_errors_look_like(app: FastAPI) -> None:
    described = app.openapi()
    assert "HTTPValidationError" not in json.dumps(described)
    refused = described["paths"]["/v1/members/searches"]["post"]["responses"]["422"]
    assert refused["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "field", "detail"),
    [
        ("POST", "/v1/referrals", {"json": {**EXAMPLE, "person": {**EXAMPLE["person"], "birth_date": SECRET}}}, 422,
         "person.birth_date", "person.birth_date is no day; write it as 2026-11-20."),
        ("POST", "/v1/referrals", {"json": {**EXAMPLE, "populations": ["2a", "no such!"]}}, 422, "populations[1]",
         "populations[1] is not a code; write up to 40 letters, digits, hyphens and underlines, such as 2a."),
        ("POST", "/v1/referrals", {"json": {**EXAMPLE, "source": SECRET}}, 422, "source",
         "source is none of the values that it may have; write one of hospital, "),
        ("POST", "/v1/referrals", {"json": {**EXAMPLE, "received_at": "2026-11-20T10:00:00"}}, 422, "received_at",
         "received_at does not say its time zone; write it with its zone, such as 2026-11-20T15:00:00-08:00."),
        ("POST", "/v1/referrals", {"json": {**EXAMPLE, "reason": "x" * 2_001}}, 422, "reason",
         "reason is too long; send at most 2000 characters."),
        ("POST", "/v1/referrals", {"json": [EXAMPLE]}, 422, "body", "body is no object; send one JSON object."),
        ("POST", "/v1/referrals", {"content": b"", "headers": {"Content-Type": "application/json"}}, 422, "body",
         "body is missing; send one JSON object."),
        ("POST", "/v1/referrals", {"content": b'{"plan": ', "headers": {"Content-Type": "application/json"}}, 400, "body",
         "The body is no JSON from character 9 on; send one JSON object in UTF-8."),
        ("POST", "/v1/referrals", {"content": b'{"plan": "\xff"}', "headers": {"Content-Type": "application/json"}}, 400, None,
         "The body could not be read; send one JSON object in UTF-8."),
        ("POST", "/v1/referrals", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, None,
         "The body could not be read; send one JSON object in UTF-8."),
        ("POST", "/v1/referrals", {"content": b"plan=default", "headers": {"Content-Type": "text/plain"}}, 415, "Content-Type",
         "The body is not said to be JSON; send it with Content-Type: application/json."),
        ("GET", "/v1/worklist?limit=many", {}, 422, "limit", "The query's limit is no whole number; send digits alone, such as 3."),
        ("GET", "/v1/worklist?limit=0", {}, 422, "limit", "The query's limit is too small; send a number of at least 1."),
        ("GET", "/v1/files/17", {}, 422, "file_id",
         "The address's file_id is no id; send it as you got it, such as 0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90."),
        ("GET", "/v1/members/somebody", {}, 422, "member",
         "The address's member is no member id; write it as the lists show it, such as member-0192f3a4-"),
        ("GET", "/v1/worklist?cursor=zzz", {}, 422, "cursor", ""),
        ("GET", f"/v1/members/member-1/history?as_of={SECRET}", {}, 422, "as_of", "Write a day (2026-11-20) or an instant"),
        ("POST", "/v1/members/registrations", {"json": {}}, 422, "Idempotency-Key",
         "The header Idempotency-Key is missing; send an id of your own"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_plainly(
    shared_world: World, method: str, path: str, sent: dict[str, Any], status: int, field: str | None, detail: str
) -> None:
    headers = {**shared_world.as_role(Role.SUPERVISOR), **sent.pop("headers", {})}
    told = shared_world.api.request(method, path, headers=headers, **sent)
    assert told.status_code == status and told.headers["Content-Type"] == "application/problem+json", told.text
    said = told.json()
    assert said.get("field") == field and said["detail"].startswith(detail), said
    assert SECRET not in told.text
    assert {"type", "title", "status", "code", "detail"} <= said.keys()
