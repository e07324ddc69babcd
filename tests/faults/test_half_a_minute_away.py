"""Case 23 of messages.md 6: PostgreSQL is stopped for half a minute in front of a system at work. Fifty discharges are sent
meanwhile, by hospitals that send again on silence; nobody hears anything but the end of the connection, and afterwards there are
fifty rows, fifty discharges and fifty clocks.

The only test that lets so much real time pass: alone in its file, so that others run beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest

from api import tokens
from domain.clocks import DueSet
from domain.core import ProcessRef
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.staff.facts import Role
from domain.stay.facts import MemberDischarged
from intake.door import FrontDoor
from intake.listening.mllp import ANSWER_SECONDS_MAX
from intake.store.inbox import Status
from tests.faults.senders import Heard, Hospital, control_id
from tests.intake.making import Person, adt, member_file
from tests.shell.world import Post, World, settings_for, system_for, until, world_of
from tests.surfaces.test_whole import at_work
from workers.ground.child import free_ports
from workers.ground.postgres import FOR_TESTS, PostgresServer
from workers.services import door_of, prepare_door, projector_of

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.slow, pytest.mark.timeout(400)]

AWAY_SECONDS = 30.0
MESSAGES = 50
HOSPITALS = 5
ENHANCED_EVERY = 5
"""One in so many asks for a commit acknowledgement."""

BUSY_SECONDS = 6.0
"""The machine may be so late with everything."""

PACIFIC = ZoneInfo("America/Los_Angeles")


def person(n: int) -> Person:
    return Person(cin=f"92345{n:03d}A", mrn=f"AWAY-{n}", family=f"Quill{chr(97 + n // 26)}{chr(97 + n % 26)}", given="Marisol")


def test_23_half_a_minute_without_a_database(
    ground_folder: Path, temporal_address: str, temporal_namespace: str, tmp_path: Path
) -> None:
    server = PostgresServer(ground_folder / "half-a-minute" / "postgres", settings=FOR_TESTS).start()
    hl7_port, api_port = free_ports(2)
    settings = settings_for(server.url("away"), temporal_address, temporal_namespace, tmp_path)
    settings = settings.model_copy(update={"throughline_hl7_port": hl7_port, "throughline_api_port": api_port})
    try:
        with system_for(settings, Post()) as system:
            prepare_door(system)
            projector_of(system).create()
            world = asyncio.run(world_of(system, Post()))
            world.adopt()
            door = door_of(system)
            people = [person(n) for n in range(MESSAGES)]
            assert door.files.import_file(member_file(*people), plan="default").accepted == MESSAGES
            lead, processes = world.staff(Role.CARE_MANAGER), []
            for who in people:
                member = system.gateway.load(door.identity.cin_claim(who.cin)).state.holder
                episode = system.gateway.load(str(member)).state.episodes[-1]
                world.do(AssignLeadCareManager(stream=episode, by="system", staff=lead))
                world.do(Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=system.clock.now() - timedelta(days=1)))
                processes.append(ProcessRef("transition", episode.removeprefix("episode-")))
            _, token = tokens.mint(
                system.pool, role=Role.HOSPITAL, subject="source:valley-general", now=system.clock.now(), life=timedelta(days=1)
            )
            left_at = (system.clock.now() - timedelta(hours=2)).replace(microsecond=0)
            said = left_at.astimezone(PACIFIC).strftime("%Y%m%d%H%M%S")
            messages = [
                adt("A03", person=who, control_id=f"AWAY-{n}", sent=said, discharged=said, disposition="01", visit=who.mrn,
                    accept_ack="" if n % ENHANCED_EVERY else "AL").encode()
                for n, who in enumerate(people)
            ]  # fmt: skip
            with at_work(system, "worker", "router", "projector", "intake", "api"):
                api = f"http://127.0.0.1:{api_port}"
                asyncio.run(until(lambda: _ready(api), 60.0))
                heard, (gone_at, back_at) = asyncio.run(sent_while_away(messages, server, hl7_port, api, token))
                assert back_at - gone_at >= AWAY_SECONDS
                assert not heard.answered_between(0.0, back_at), "acknowledged while there was no database"
                assert len([end for _, end in heard.closed if end <= back_at]) >= HOSPITALS * 2, "closed, and closed again"
                late = [round(end - since, 1) for since, end in heard.closed if end - since > ANSWER_SECONDS_MAX + BUSY_SECONDS]
                assert not late, f"left waiting: {late}"
                codes = {a.split(b"\r")[1].split(b"|")[2]: a.split(b"\r")[1].split(b"|")[1] for _, a in heard.answers}
                assert codes == {control_id(m): b"AA" if n % ENHANCED_EVERY else b"CA" for n, m in enumerate(messages)}
                assert len(heard.answers) == MESSAGES

                asyncio.run(until(lambda: _settled(door), 90.0))
                rows = door.inbox.find(files=False, limit=1_000)
                assert Counter(row.control_id for row in rows) == Counter(f"AWAY-{n}" for n in range(MESSAGES))
                assert {row.status for row in rows} == {Status.APPLIED}
                for row in rows:
                    assert door.inbox.raw(row.inbox_id) == messages[int(row.control_id.removeprefix("AWAY-"))]
                told = [s.recorded.fact for s in system.log.all() if isinstance(s.recorded.fact, MemberDischarged)]
                assert len(told) == MESSAGES and {fact.discharged_at for fact in told} == {left_at}
                asyncio.run(until(lambda: all(_clocks(world, process) for process in processes), 120.0))
                assert {due.opens_at for process in processes for due in _clocks(world, process)} == {left_at}
                assert all(len(_clocks(world, process)) == 1 for process in processes)
            door.close()
    finally:
        server.stop()


async def sent_while_away(
    messages: list[bytes], server: PostgresServer, hl7_port: int, api: str, token: str
) -> tuple[Heard, tuple[float, float]]:
    """What the hospitals heard, and from when to when there was no database. Over HTTP they are told to come again."""
    heard = Heard()
    await asyncio.to_thread(server.stop)
    gone_at = time.monotonic()
    hospitals = [Hospital(hl7_port, messages[n::HOSPITALS], heard) for n in range(HOSPITALS)]
    sending = [asyncio.create_task(hospital.send_all()) for hospital in hospitals]
    async with httpx.AsyncClient(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=30.0) as client:
        for path, kind in (("/v1/hl7", "application/hl7-v2"), ("/v1/fhir/$process-message", "application/fhir+json")):
            answer = await client.post(path, content=messages[0], headers={"Content-Type": kind})
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, answer.text
            if "fhir" in path:
                assert answer.json()["issue"][0]["code"] == "transient"
    await asyncio.sleep(max(0.0, gone_at + AWAY_SECONDS - time.monotonic()))
    back_at = time.monotonic()
    await asyncio.to_thread(server.start)
    await asyncio.gather(*sending)
    return heard, (gone_at, back_at)


def _settled(door: FrontDoor) -> bool:
    with suppress(psycopg.OperationalError):  # the pool still has connections to the server that is gone
        return not door.inbox.find(status=Status.RECEIVED, files=False)
    return False


def _clocks(world: World, process: ProcessRef) -> list[DueSet]:
    return [r.fact for r in world.facts(process, DueSet) if r.fact.rule == "transition.visit"]


def _ready(api: str) -> bool:
    try:
        return httpx.get(f"{api}/readyz", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False
