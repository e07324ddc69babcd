"""What others send over HTTP: HL7, member files, signed feedback, and an operator's words about a message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from anyio.from_thread import start_blocking_portal

from activities.channels.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, timestamp_of
from api.app import create_app
from domain.member.facts import Channel
from domain.staff.facts import Role
from tests.surfaces.conftest import CIN, PLANTED_NAME, Api, World, plan_and_project
from workers.cli.sending import built
from workers.composition import webhook_secret
from workers.roles import feedback_of

HL7 = {"Content-Type": "application/hl7-v2"}


@pytest.fixture
def door(world: World) -> Iterator[World]:
    """The world, with the message provider's feedback mounted."""
    services = replace(world.services, feedback=feedback_of(world.system))
    with start_blocking_portal() as portal:
        world.api = Api(create_app(services), portal)
        yield world


def admission(world: World, *, cin: str = CIN, name: str = f"{PLANTED_NAME.upper()}^MARIA", trigger: str = "A01") -> bytes:
    now = world.clock.now()
    facility = world.door.sources.rows[0].facilities[0].aliases[0]
    return built(
        trigger, cin=cin, name=name, born="1959-04-03", visit="V-77", facility=facility, patient_class="I", disposition="01",
        at=now, now=now,
    )  # fmt: skip


def send(world: World, message: bytes, role: Role = Role.HOSPITAL, **headers: str):  # type: ignore[no-untyped-def]
    return world.api.post("/v1/hl7", content=message, headers={**world.as_role(role), **HL7, **headers})


def test_a_message_is_acknowledged_stored_and_applied_with_its_trace(door: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = send(door, admission(door), traceparent=trace)
    assert answer.status_code == 200 and b"MSA|AA|" in answer.content and answer.headers["Trace-Id"] == trace[3:35]
    assert door.door.worker.work_off() == 1
    (stored,) = door.door.inbox.find()
    assert stored.status.value == "applied" and stored.member == door.member and stored.trace[3:35] == trace[3:35]
    shown = door.get(f"/v1/inbox/{stored.inbox_id}", role=Role.OPERATOR).json()
    assert {fact["fact"] for fact in shown["caused"]} >= {"stay.member-admitted", "member.stay-attributed"}
    raw = door.get(f"/v1/inbox/{stored.inbox_id}/raw", role=Role.OPERATOR)
    assert raw.content.startswith(b"MSH|") and PLANTED_NAME.upper().encode() in raw.content
    assert door.get(f"/v1/inbox/{stored.inbox_id}/raw", role=Role.AUDITOR).status_code == 403
    (fact, *_) = door.system.log.read_stored(str(stored.stay))
    assert (fact.meta.trace or "")[3:35] == trace[3:35], "the fact carries the trace of the message"


def test_only_hospitals_send_messages_and_an_unknown_patient_is_no_rejection(door: World) -> None:
    assert send(door, admission(door), role=Role.SUPERVISOR).status_code == 403
    assert door.api.post("/v1/hl7", content=admission(door), headers=HL7).status_code == 401
    answer = send(door, admission(door, cin="98765432C", name="SOMEBODY^ELSE"))
    assert answer.status_code == 200 and b"MSA|AA|" in answer.content
    door.door.worker.work_off()
    (row,) = door.get("/v1/inbox", role=Role.OPERATOR, status="unmatched").json()["items"]
    resolved = door.api.post(
        f"/v1/inbox/{row['inbox_id']}/resolutions", json={"member": door.member}, headers=door.as_role(Role.OPERATOR)
    )
    assert resolved.status_code == 202
    door.door.worker.work_off()
    told = door.get(f"/v1/inbox/{row['inbox_id']}", role=Role.OPERATOR).json()
    assert told["status"] == "applied" and any(step["by"] == door.supervisor for step in told["steps"])
    again = door.api.post(
        f"/v1/inbox/{row['inbox_id']}/resolutions", json={"member": door.member}, headers=door.as_role(Role.OPERATOR)
    )
    assert again.status_code == 404 and again.json()["code"] == "unknown_message"


def test_what_is_no_hl7_is_a_fault_of_the_transport(door: World) -> None:
    assert send(door, b"{}", **{"Content-Type": "application/json"}).json()["code"] == "content_type_unknown"
    assert send(door, b"not hl7").status_code == 400


def test_a_member_file_comes_back_with_its_rejects(door: World) -> None:
    file = b"CIN,Last Name,First Name,DOB,Language\n98765432C,Okafor,Ines,1961-07-09,en\n91234567B,Wrong,Letter,1960-01-01,en\n"
    headers = {**door.as_role(Role.OPERATOR), "Content-Type": "text/csv"}
    receipt = door.api.post("/v1/member-files?plan=default", content=file, headers=headers).json()
    assert (receipt["accepted"], receipt["rejected"]) == (1, 1) and receipt["problems"][0]["field"]
    assert door.api.post("/v1/member-files?plan=default", content=file, headers=headers).json()["duplicate"]
    refused = door.api.post("/v1/member-files?plan=default", content=b"nothing here", headers=headers)
    assert refused.status_code == 422 and refused.json()["code"] == "file_refused"
    hospital = {**door.as_role(Role.HOSPITAL), "Content-Type": "text/csv"}
    assert door.api.post("/v1/member-files?plan=default", content=file, headers=hospital).status_code == 403


def test_feedback_is_believed_only_with_a_fresh_signature(door: World) -> None:
    plan_and_project(door)
    secret, now = webhook_secret(door.system.settings), door.clock.now()
    context = {
        "process": door.outreach, "request": "r", "recipient": door.member, "point": next(iter(_points(door))), "channel": "text",
    }  # fmt: skip
    body = json.dumps({"id": "report-1", "event": "stop", "context": context}).encode()

    def report(stamp: str, signed: str) -> int:
        return door.api.post("/v1/feedback", content=body, headers={TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signed}).status_code

    stamp = timestamp_of(now)
    assert report(stamp, "sha256=" + "0" * 64) == 401
    old = timestamp_of(now - timedelta(minutes=6))
    assert report(old, signature(secret, old, body)) == 401
    assert not door.system.gateway.load(door.member).state.opted_out(Channel.TEXT, now)
    assert report(stamp, signature(secret, stamp, body)) == 202
    assert report(stamp, signature(secret, stamp, body)) == 202
    assert door.system.gateway.load(door.member).state.opted_out(Channel.TEXT, now)
    said = [r for r in door.system.log.read(door.member) if type(r.fact).__name__ == "ChannelOptedOut"]
    assert len(said) == 1, "twice is once"


def _points(world: World) -> dict[str, object]:
    return dict(world.system.gateway.load(world.member).state.points)


def test_the_files_bytes_are_nowhere_in_clear(door: World) -> None:
    send(door, admission(door))
    with door.system.pool.connection() as conn:
        (sealed,) = conn.execute("SELECT sealed FROM intake.inbox").fetchone() or (b"",)
    assert PLANTED_NAME.upper().encode() not in bytes(sealed) and hashlib.sha256(b"").digest() not in bytes(sealed)
