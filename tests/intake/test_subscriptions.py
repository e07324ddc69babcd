"""Notifications of FHIR subscriptions: acknowledged, counted, read as messages where they bring what they are about."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from domain.stay.facts import Move
from intake.listening.receive import HttpAnswer
from intake.listening.receive_fhir import receive_notification
from intake.reading.fhir import Refused
from intake.reading.subscriptions import Notified, read
from intake.store.inbox import Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL

SUBSCRIPTION = "https://exchange.example/fhir/Subscription/s-1"
ENCOUNTER, PATIENT = "https://exchange.example/fhir/Encounter/e-1", "https://exchange.example/fhir/Patient/p-1"


def notification(
    kind: str,
    *,
    events: tuple[int, ...] = (),
    total: int | None = None,
    status: str = "active",
    payload: str = "full",
    state: str = "",
) -> bytes:
    """A Backport notification for R4. `payload`: full, id-only or empty."""
    parameters: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": SUBSCRIPTION}},
        {"name": "topic", "valueCanonical": "https://exchange.example/topic/encounters"},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
    ]
    if total is not None:
        parameters.append({"name": "events-since-subscription-start", "valueString": str(total)})
    for number in events:
        part = [
            {"name": "event-number", "valueString": str(number)},
            {"name": "timestamp", "valueInstant": "2026-03-10T22:35:00Z"},
        ]
        if payload != "empty":
            part.append({"name": "focus", "valueReference": {"reference": ENCOUNTER}})
        parameters.append({"name": "notification-event", "part": part})
    entries: list[dict[str, Any]] = [{"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Parameters", "parameter": parameters}}]
    if payload == "full" and events:
        discharged = state == "finished"
        entries += [
            {"fullUrl": ENCOUNTER, "resource": {
                "resourceType": "Encounter", "id": "e-1", "status": state or "in-progress", "class": {"code": "IMP"},
                "subject": {"reference": PATIENT}, "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": "V-77"}],
                "period": {"start": "2026-03-08T09:00:00-07:00", **({"end": "2026-03-10T15:30:00-07:00"} if discharged else {})},
                "hospitalization": {"dischargeDisposition": {"coding": [{"code": "01"}]}} if discharged else {},
            }},
            {"fullUrl": PATIENT, "resource": {
                "resourceType": "Patient", "id": "p-1", "identifier": [{"system": "CIN", "value": MARISOL.cin}],
                "name": [{"family": MARISOL.family, "given": [MARISOL.given]}], "birthDate": "1961-04-12",
            }},
        ]  # fmt: skip
    said = {"resourceType": "Bundle", "id": f"n-{kind}-{events}-{total}", "type": "history", "timestamp": "2026-03-10T22:35:00Z"}
    return json.dumps({**said, "entry": entries}).encode()


def send(world: World, body: bytes) -> HttpAnswer:
    headers = {"content-type": "application/fhir+json"}
    return receive_notification(world.door.reception, world.door.subscriptions, body, headers, world.source, now=world.clock.now())


def test_a_handshake_and_a_heartbeat_are_acknowledged_and_nothing_follows(world: World) -> None:
    world.register(MARISOL)
    assert send(world, notification("handshake", total=0)).status == 200
    assert send(world, notification("heartbeat", total=0)).status == 200
    world.door.worker.work_off()
    assert {(row.status, row.reason, row.kind) for row in world.rows()} == {
        (Status.IGNORED, "handshake", "subscription-handshake"), (Status.IGNORED, "heartbeat", "subscription-heartbeat"),
    }  # fmt: skip
    assert world.facts("stay-") == [] and world.door.notices.open() == ()


def test_events_that_bring_their_encounter_are_worked_off_as_messages(world: World) -> None:
    world.register(MARISOL)
    send(world, notification("handshake", total=0))
    admitted, left = (
        notification("event-notification", events=(1,), total=1),
        notification("event-notification", events=(2,), total=2, state="finished"),
    )
    for body in (admitted, left, left):
        assert send(world, body).status == 200
    world.door.worker.work_off()
    course = world.course(MARISOL)
    assert course.admission is not None and course.discharge is not None and course.discharge.disposition == "01"
    whole = [row for row in world.rows() if row.kind == "subscription-event-notification" and row.part_of is None]
    assert [(row.status, row.repeats) for row in whole] == [(Status.APPLIED, 1), (Status.APPLIED, 0)]
    assert world.door.inbox.raw(whole[0].inbox_id) == left
    assert world.door.notices.open() == ()


def test_an_encounter_that_is_planned_or_of_unknown_status_is_no_admission(world: World) -> None:
    world.register(MARISOL)
    send(world, notification("handshake", total=0))
    for number, state in enumerate(("unknown", "planned"), start=1):
        assert send(world, notification("event-notification", events=(number,), total=number, state=state)).status == 200
        world.door.worker.work_off()
        assert world.course(MARISOL).admissions == ()
    assert [(a.move, a.expected_on) for a in world.course(MARISOL).announced] == [(Move.ADMISSION, date(2026, 3, 8))]
    assert {row.status for row in world.rows()} == {Status.IGNORED, Status.APPLIED}
    send(world, notification("event-notification", events=(3,), total=3, state="onleave"))
    world.door.worker.work_off()
    assert world.course(MARISOL).admission is not None and world.course(MARISOL).announced == ()


@pytest.mark.parametrize("payload", ["id-only", "empty"])
def test_an_event_without_its_content_waits_for_somebody_to_fetch_it(world: World, payload: str) -> None:
    send(world, notification("handshake", total=0))
    assert send(world, notification("event-notification", events=(1,), total=1, payload=payload)).status == 200
    world.door.worker.work_off()
    (row,) = world.rows(Status.WAITING)
    assert (row.reason, row.kind) == ("payload_not_sent", "subscription-event-notification")


def test_events_that_nobody_told_us_of_are_noticed(world: World) -> None:
    send(world, notification("heartbeat", total=3))
    assert world.door.notices.open() == (), "the first that we hear begins the count"
    send(world, notification("event-notification", events=(4,), total=4))
    assert world.door.notices.open() == ()
    send(world, notification("event-notification", events=(7, 9), total=9))
    send(world, notification("heartbeat", total=11))
    send(world, notification("heartbeat", total=11, status="error"))
    said = [notice.said for notice in world.door.notices.open()]
    assert said == [
        f"valley-general: events are missing: events 5 to 6 of {SUBSCRIPTION}",
        f"valley-general: events are missing: event 8 of {SUBSCRIPTION}",
        f"valley-general: events are missing: events 10 to 11 of {SUBSCRIPTION}",
        f"valley-general: events are missing: {SUBSCRIPTION} is error",
    ]
    assert "$events" in world.door.notices.open()[0].remedy


@pytest.mark.parametrize(
    ("body", "status", "expression"),
    [
        (b"nothing", 400, "Bundle"),
        (b'{"resourceType":"Bundle","type":"message"}', 400, "Bundle.type"),
        (b'{"resourceType":"Bundle","type":"history"}', 422, "Bundle.entry[0]"),
        (b'{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":"Parameters"}}]}', 422, "subscription"),
        (notification("gossip"), 422, "type"),
        (notification("event-notification", events=tuple(range(1, 1_002)), payload="id-only"), 413, "notificationEvent"),
    ],
)
def test_what_is_no_notification_is_kept_and_refused(world: World, body: bytes, status: int, expression: str) -> None:
    answer = send(world, body)
    assert answer.status == status and expression in json.loads(answer.body)["issue"][0]["expression"][0]
    (row,) = world.rows()
    assert row.status is Status.DEAD and world.door.inbox.raw(row.inbox_id) == body


def test_r4b_says_the_same_in_its_own_resource() -> None:
    body = {
        "resourceType": "Bundle", "type": "history", "id": "x",
        "entry": [{"resource": {
            "resourceType": "SubscriptionStatus", "type": "event-notification", "status": "active",
            "subscription": {"reference": SUBSCRIPTION}, "eventsSinceSubscriptionStart": "5",
            "notificationEvent": [{"eventNumber": "5", "focus": {"reference": "Encounter/e-1"}}],
        }}],
    }  # fmt: skip
    said = read(json.dumps(body).encode())
    assert isinstance(said, Notified) and (said.events, said.total, said.bundles) == ((5,), 5, ())
    assert isinstance(read(b"[]"), Refused)


@pytest.mark.parametrize(
    ("said", "hostile"),
    [
        (b'"7"', b'"99999999999999999999"'),
        (b'"7"', b'"' + b"9" * 5_000 + b'"'),
        (b'"active"', b'"\\ud800"'),
        (b"/topic/", b"\\u0000"),
    ],
)
def test_values_that_no_server_means_are_kept_and_answered(world: World, said: bytes, hostile: bytes) -> None:
    body = notification("heartbeat", total=7)
    assert said in body
    body = body.replace(said, hostile)
    assert send(world, body).status == 200 and [row.reason for row in world.rows()] == ["heartbeat"]
