"""A small programme on a real database: two people on the staff, one member with an open episode, the API in front of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from api import tokens
from api.app import create_app
from api.services import Services
from domain.adoption.decider import AdoptPolicy
from domain.core import Command, ProcessRef, StreamId
from domain.episode.decider import ReceiveAssignment
from domain.member.decider import LearnContactPoint, RegisterMember
from domain.member.facts import PointKind
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from eventlog.clock import FixedClock
from eventlog.gateway import Accepted
from intake.door import FrontDoor
from workers.composition import System, open_system, prepare
from workers.services import door_of, prepare_door, projector_of, services_of
from workers.settings import load_settings
from workers.telemetry import TelemetryTargets, start_telemetry

MONDAY = datetime(2026, 11, 16, 18, 0, tzinfo=UTC)
"""10:00 in California."""

PLANTED_NAME = "Quintanilla-Oyelaran"
CIN = "91234567A"
POLICY = Path(__file__).parents[2] / "policies" / "default.toml"


class Api:
    """The application, called through its ASGI interface."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self.app, self._portal = app, portal

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return await client.request(method, path, **sent)

        return self._portal.call(ask)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("POST", path, **sent)


@dataclass
class World:
    """The programme under test. `tokens` has one for each role."""

    system: System
    door: FrontDoor
    clock: FixedClock
    api: Api
    services: Services
    care_manager: StreamId = "staff-00000000-0000-4000-8000-000000000001"
    supervisor: StreamId = "staff-00000000-0000-4000-8000-000000000002"
    member: StreamId = ""
    episode: StreamId = "episode-00000000-0000-4000-8000-0000000000e1"
    tokens: dict[Role, str] = field(default_factory=dict)

    @property
    def outreach(self) -> StreamId:
        return self.episode.replace("episode-", "outreach-")

    def do(self, command: Command, **more: Any) -> Accepted:
        outcome = self.system.gateway.handle(command, command_id=uuid4(), **more)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def adopt(self, *plans: str) -> None:
        """The policies of plans; of a plan that has none of its own, the default one under its name."""
        for plan in plans:
            own = POLICY.with_stem(plan)
            text = (own if own.exists() else POLICY).read_text().replace('plan = "default"', f'plan = "{plan}"')
            self.do(AdoptPolicy(stream=f"policy-{plan}", by="system", text=text, sha256=hashlib.sha256(text.encode()).hexdigest()))

    def as_role(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def post(self, path: str, body: Any, role: Role = Role.CARE_MANAGER, key: str | None = None, **headers: str) -> httpx.Response:
        sent = {
            **self.as_role(role),
            "Idempotency-Key": key or str(uuid4()),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        return self.api.post(path, json=body, headers=sent)

    def get(self, path: str, role: Role = Role.CARE_MANAGER, **query: Any) -> httpx.Response:
        return self.api.get(path, params=query, headers=self.as_role(role))


def seed(world: World) -> None:
    """Staff, the default policy, a member with a phone, an assignment of today."""
    gateway_do = world.do
    world.adopt("default")
    for stream, name, roles in (
        (world.supervisor, "Rosa Lindqvist", (Role.SUPERVISOR, Role.OPERATOR)),
        (world.care_manager, "Dana Whitfield", (Role.CARE_MANAGER,)),
    ):
        email = f"{name.split()[0].lower()}@example.org"
        gateway_do(JoinStaff(stream=stream, by="system", name=name, email=email, roles=roles, supervisor=world.supervisor))
    world.member = world.door.identity.member(CIN)
    gateway_do(
        RegisterMember(
            stream=world.member,
            by="source:plan",
            cin_claim=world.door.identity.cin_claim(CIN),
            cin=CIN,
            family_name=PLANTED_NAME,
            given_name="Maria",
            birth_date="1959-04-03",
        )
    )
    point = world.door.identity.contact_point(world.member, "phone", "+14155550142")
    gateway_do(
        LearnContactPoint(
            stream=world.member, by="source:plan", point=point, kind=PointKind.PHONE, learned_from="plan_file", value="+14155550142"
        )
    )
    gateway_do(
        ReceiveAssignment(
            stream=world.episode,
            by="source:plan",
            member=world.member,
            plan="default",
            received_at=world.clock.now(),
            effective_on=world.clock.now().date(),
        )
    )
    subjects = {
        Role.CARE_MANAGER: world.care_manager, Role.SUPERVISOR: world.supervisor, Role.OPERATOR: world.supervisor,
        Role.AUDITOR: "staff-00000000-0000-4000-8000-000000000009", Role.HOSPITAL: f"source:{world.door.sources.rows[0].name}",
    }  # fmt: skip
    for role, subject in subjects.items():
        _, shown = tokens.mint(
            world.system.pool, role=role, subject=subject, now=world.clock.now(), life=timedelta(days=300), label="test"
        )
        world.tokens[role] = shown


@pytest.fixture(scope="session", autouse=True)
def quiet(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Log lines of these tests go to a file, as in a real run."""
    start_telemetry("test", TelemetryTargets(log_file=tmp_path_factory.mktemp("logs") / "test.jsonl"))


def open_world(database: str, clock: FixedClock) -> Iterator[World]:
    settings = load_settings().model_copy(update={"database_url": database, "keys_database_url": f"{database}_keys"})
    prepare(settings)
    with open_system(settings, clock=clock, pool_max=6) as system:
        prepare_door(system)
        door = door_of(system)
        try:
            services = services_of(system, door)
            with start_blocking_portal() as portal:
                world = World(system, door, clock, Api(create_app(services), portal), services)
                seed(world)
                yield world
        finally:
            door.close()


def plan_and_project(world: World) -> None:
    """What worker and projector would do: the outreach planned, the read models caught up."""
    advance, _ = world.system.activities("test")
    advance.advance(ProcessRef.of(world.outreach), world.clock.now(), 0)
    projector = projector_of(world.system)
    projector.create()
    projector.run_until_caught_up()


@pytest.fixture(scope="module")
def told(module_database: str) -> Iterator[World]:
    """The world with its outreach planned, read models caught up."""
    for world in open_world(module_database, FixedClock(MONDAY)):
        plan_and_project(world)
        yield world


@pytest.fixture
def world(database: str) -> Iterator[World]:
    yield from open_world(database, FixedClock(MONDAY))


@pytest.fixture(scope="module")
def shared_world(module_database: str) -> Iterator[World]:
    """For tests that only read, or write where nobody else does."""
    yield from open_world(module_database, FixedClock(MONDAY))
