"""Values that fit a field's type and nothing else: whatever is sent, no answer is an error of ours, and nothing is poisoned."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from api.commands import model_of
from api.offers import OFFERS
from api.referrals import SERVICE_REQUEST_EXAMPLE
from domain.staff.facts import Role
from intake.referrals.referral import EXAMPLE
from tests.surfaces.conftest import World, projector_of

ODD: tuple[Any, ...] = (
    "a\x00b", "1e999", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", -1, 2**62,
)  # fmt: skip
WHOM = {"text": "x", "cin": "91234567A", "birth_date": "1961-07-09", "cursor": "x"}
INQUIRY = {"cin": "91234567A", "family_name": "Okafor", "birth_date": "1961-07-09", "record_number": "12", "authority": "x"}


def odd(right: dict[str, Any], more: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """A body with one odd value; `more`: fields that it has besides."""
    for place in (*_places(right), *((name,) for name in more if name not in right)):
        for value in ODD:
            body = copy.deepcopy(right)
            at: Any = body
            for part in place[:-1]:
                at = at[part]
            at[place[-1]] = value
            yield body


def _places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, dict | list):
        for part, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _places(inner, (*place, part))
    else:
        yield place


def test_no_odd_value_of_a_body_is_an_error_of_ours(told: World) -> None:
    ours = {"members": told.member, "episodes": told.episode, "outreach": told.outreach, "staff": told.care_manager}
    bodies: list[tuple[str, Role, dict[str, Any]]] = []
    for offer in OFFERS:
        stream = ours.get(offer.resource, f"{offer.stream}-00000000-0000-4000-8000-0000000000e1")
        path = f"/v1/{offer.resource}/{offer.noun}" if offer.founds else f"/v1/{offer.resource}/{stream}/{offer.noun}"
        right = json.loads(json.dumps(dict(offer.example), default=str))
        bodies += [(path, Role.SUPERVISOR, body) for body in odd(right, tuple(model_of(offer).model_fields))]
    bodies += [("/v1/referrals", Role.CARE_MANAGER, body) for body in odd(EXAMPLE, ("received_at",))]
    bodies += [("/v1/members/searches", Role.SUPERVISOR, body) for body in odd(WHOM)]
    bodies += [("/v1/enrolment-inquiries", Role.HOSPITAL, body) for body in odd(INQUIRY)]
    wrong = []
    for path, role, body in bodies:
        answer = told.post(path, body, role)
        if answer.status_code >= 500 or "\\u0000" in answer.text:
            wrong.append((path, body, answer.status_code))
    assert not wrong, wrong[:20]
    told.door.worker.work_off()
    projector_of(told.system).run_until_caught_up()
    for path in ("worklist", "members", "episodes", "deadlines", "staff", f"members/{told.member}/timeline", "worklist/front-door"):
        assert told.get(f"/v1/{path}", role=Role.SUPERVISOR, names=True).status_code == 200, path


def test_a_message_of_a_hospital_is_kept_with_a_nul_in_it_too(told: World) -> None:
    request = {**SERVICE_REQUEST_EXAMPLE, "identifier": [{"value": "a\x00b"}]}
    headers = {**told.as_role(Role.HOSPITAL), "Content-Type": "application/fhir+json"}
    taken = told.api.post("/v1/fhir/ServiceRequest", content=json.dumps(request).encode(), headers=headers)
    assert taken.status_code == 201, taken.text


def test_a_body_without_a_length_is_too_long_all_the_same(told: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    headers = {**told.as_role(Role.SUPERVISOR), "Content-Type": "application/json"}
    answer = told.api.post("/v1/referrals", content=pieces(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/files?plan=a%00b", 422),
        ("/v1/worklist/front-door?plan=%00", 422),
        ("/v1/members/member-a%00b", 422),
        ("/v1/caseload?as_of=9999-12-31", 422),
        ("/v1/caseload?known_at=0001-01-01T00:00:00%2B14:00", 422),
    ],
)
def test_no_odd_value_of_an_address_is_an_error_of_ours(told: World, path: str, status: int) -> None:
    answer = told.api.get(path, headers=told.as_role(Role.SUPERVISOR))
    assert answer.status_code == status and answer.json()["detail"], answer.text
