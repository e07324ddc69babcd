"""Queries over HTTP: pages, filters, roles, what is hidden, and the description of it all."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from api.reading import QUESTIONS
from domain.staff.facts import Role
from tests.surfaces.conftest import CIN, PLANTED_NAME, World


def test_the_worklist_says_what_is_owed_by_when_and_why(told: World) -> None:
    page = told.get("/v1/worklist").json()
    first = next(item for item in page["items"] if item["governing"] and "initial_contact" in item["rule"])
    assert first["member"] == told.member and first["due_at"] == "2026-11-27T08:00:00Z" and first["policy"] == "default@2026.1"
    assert first["member_name"] == ""
    named = told.get("/v1/worklist", names=True).json()
    assert PLANTED_NAME in named["items"][0]["member_name"]


def test_names_are_not_for_operators(told: World) -> None:
    answer = told.get("/v1/worklist", role=Role.OPERATOR, names=True)
    assert answer.status_code == 403 and answer.json()["field"] == "names"


def test_pages_go_on_with_a_cursor_and_a_foreign_cursor_is_refused(told: World) -> None:
    whole = [e["event_id"] for e in told.get(f"/v1/members/{told.member}/timeline", limit=100).json()["items"]]
    seen, cursor = [], None
    while True:
        query: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = told.get(f"/v1/members/{told.member}/timeline", **query).json()
        seen += [e["event_id"] for e in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == whole and len(whole) > 4
    wrong = told.get("/v1/deadlines", cursor="bm9wZQ")
    assert (
        wrong.status_code == 422
        and wrong.json()["field"] == "cursor"
        and wrong.headers["content-type"].startswith("application/problem")
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.method)
def test_every_question_answers_its_roles_and_nobody_else(told: World, question: Any) -> None:
    path = "/v1" + question.path.format(member=told.member, stream=told.episode)
    assert told.api.get(path).status_code == 401
    for role in Role:
        answer = told.get(path, role=role)
        assert answer.status_code == (200 if role in question.roles else 403), answer.text
    if "stream" not in question.path and "member" not in question.path:
        assert told.get(path, role=Role.SUPERVISOR, limit=0).status_code == 422


def test_single_answers_and_404(told: World) -> None:
    assert told.get(f"/v1/members/{told.member}").json()["episodes"][0]["episode"] == told.episode
    assert told.get(f"/v1/episodes/{told.episode}").headers["ETag"] == '"1"'
    assert told.get(f"/v1/processes/{told.outreach}", role=Role.OPERATOR).json()["kind"] == "outreach"
    assert told.get("/v1/policies").json()[0]["version"] == "2026.1"
    assert told.get("/v1/caseload").status_code == 200
    for path in (
        "/v1/members/member-0",
        "/v1/episodes/episode-0",
        "/v1/members/member-0/history",
        "/v1/members/member-0/explanation",
    ):
        missing = told.get(path)
        assert missing.status_code == 404 and missing.json()["detail"], path


def test_an_explanation_names_rule_policy_and_the_facts_behind(told: World) -> None:
    (outreach,) = [e for e in told.get(f"/v1/members/{told.member}/explanation").json() if e["kind"] == "outreach"]
    owed = next(o for o in outreach["owed"] if "initial_contact" in o["rule"] and o["governing"])
    assert owed["policy"] == "default@2026.1" and owed["state"] == "open" and owed["due_at"] == "2026-11-27T08:00:00Z"
    assert any(fact["stream"] == told.episode for fact in owed["because"])
    assert outreach["looks_again_at"] and not outreach["done"]
    (text,) = outreach["then"]
    assert text["as_of"] == "2026-11-17T16:00:00Z" and "text" in text["what"].lower(), "the rung of day 1, when the night is over"


def test_a_person_is_searched_by_post_never_in_an_address(told: World) -> None:
    found = told.api.post("/v1/members/searches", json={"cin": CIN}, headers=told.as_role(Role.CARE_MANAGER)).json()
    assert [m["member"] for m in found["items"]] == [told.member] and found["items"][0]["name"] == ""
    assert "cin" not in str(told.api.get("/v1/openapi.json").json()["paths"]["/v1/members"]["get"]["parameters"])


def test_history_tells_the_day_and_the_knowledge_of_a_day(told: World) -> None:
    said = told.get(f"/v1/members/{told.member}/history", as_of="2026-11-16", names=True).json()
    assert said["family_name"] == PLANTED_NAME and said["episodes"][0]["status"] == "assigned" and said["covered"]
    assert told.get(f"/v1/members/{told.member}/history", as_of="2026-10-01", known_at="2026-10-01").status_code == 404
    assert told.get(f"/v1/members/{told.member}/history", as_of="yesterday").json()["field"] == "as_of"


def test_the_description_is_complete(told: World) -> None:
    described = told.api.get("/v1/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            if method == "post" and path.count("/") > 2 and "/inbox/" not in path and "/notices/" not in path:
                content = operation["requestBody"]["content"]
                if "application/json" not in content:
                    assert all(shown.get("example") for shown in content.values()), path
                    continue
                schema = content["application/json"].get("schema", {}).get("$ref", "").rpartition("/")[2]
                assert described["components"]["schemas"][schema].get("examples"), path
    assert "HTTPBearer" in described["components"]["securitySchemes"]


def test_every_answer_has_an_example_that_fits_its_schema(told: World) -> None:
    described = told.api.get("/v1/openapi.json").json()
    shown = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                body = answer.get("content", {}).get("application/json")
                if status.startswith("2") and body is not None:
                    schema = {**body["schema"], "components": described["components"]}
                    jsonschema.validate(body["example"], schema)
                    free = body["schema"].get("additionalProperties") is True or not body["schema"]
                    assert free or body["example"] not in (None, {}, []), (method, path)
                    shown += 1
    assert shown > 50
    page = described["paths"]["/v1/episodes"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert page["items"][0]["member"].startswith("member-") and page["items"][0]["plan"] == "valley-health"


def test_the_documentation_loads_nothing_from_elsewhere(told: World) -> None:
    page = told.api.get("/v1/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    allowed = page.headers["Content-Security-Policy"]
    assert "http" not in allowed and "unsafe" not in allowed and "default-src 'none'" in allowed
    assert not re.search(r"<script>|\son[a-z]+=|<style|style=", page.text), "the policy forbids what is written into a page"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 5 and all(each.startswith(("/v1/", "data:")) for each in loaded), loaded
    for each in loaded:
        if not each.startswith("data:"):
            answer = told.api.get(each)
            assert answer.status_code == 200 and answer.content, each
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"SwaggerUIBundle" in told.api.get("/v1/docs/swagger-ui-bundle.js").content
    assert "/v1/docs" not in told.api.get("/v1/openapi.json").json()["paths"]


def test_headers_limits_and_unknown_addresses(told: World) -> None:
    answer = told.api.get("/livez")
    assert answer.status_code == 200 and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store" and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    unknown = told.api.get("/v1/nothing")
    assert unknown.status_code == 404 and unknown.json()["code"] == "unknown_address"
    huge = told.api.post("/v1/members/searches", content=b"x" * 300_000, headers=told.as_role(Role.CARE_MANAGER))
    assert huge.status_code == 413 and huge.json()["code"] == "body_too_large"
    broken = told.api.post(
        "/v1/members/searches", content=b"{", headers=told.as_role(Role.CARE_MANAGER) | {"Content-Type": "application/json"}
    )
    assert broken.status_code == 400 and broken.json()["code"] == "invalid"


def test_readyz_names_what_is_missing(told: World) -> None:
    said = told.api.get("/readyz")
    assert said.status_code == 200 and said.json()["dependencies"]["database"]["ready"]


def test_an_expired_and_a_revoked_token_are_nobodys(told: World) -> None:
    from api import tokens

    now = told.clock.now()
    pool = told.system.pool
    made, shown = tokens.mint(pool, role=Role.AUDITOR, subject="staff-00", now=now, life=timedelta(hours=1))
    assert told.api.get("/v1/whoami", headers={"Authorization": f"Bearer {shown}"}).json()["role"] == "auditor"
    assert tokens.caller_of(pool, shown, now + timedelta(hours=1)) is None
    assert tokens.revoke(pool, made.token_id, now)
    assert told.api.get("/v1/whoami", headers={"Authorization": f"Bearer {shown}"}).status_code == 401
    with pool.connection() as conn:
        assert shown not in str(conn.execute("SELECT * FROM api_token").fetchall())
