"""Notifications of FHIR subscriptions (R5 Backport, R4 and R4B) at which we are the receiver (messages.md 2.3).

A notification is a Bundle whose first entry says of which subscription it is, of what type, and which events it tells, by number.
An event that brings its Encounter and Patient is read as the message that a hospital would have sent; of one that brings only ids,
or nothing, it is kept that it happened: somebody has to fetch it. A gap in the numbers is an event that we never heard of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from intake.reading.fhir import DESCRIBED, PLANNED, Refused, text_of
from intake.senders.notices import Kind, Notices
from intake.store.inbox import CONTROL_ID_MAX

HANDSHAKE: Final = "handshake"
HEARTBEAT: Final = "heartbeat"
EVENT_NOTIFICATION: Final = "event-notification"
QUERY_STATUS: Final = "query-status"
TYPES: Final = (HANDSHAKE, HEARTBEAT, EVENT_NOTIFICATION, QUERY_STATUS)
PAYLOAD_NOT_SENT: Final = "payload_not_sent"
EVENTS_MAX: Final = 1_000
"""Of one notification; each is read as a message with everything that the notification brought. More are refused, not left out."""
COUNT_DIGITS_MAX: Final = 18
"""As many as a bigint surely holds."""

_BROKEN: Final = ("error", "off")
_ADMIT, _DISCHARGE = "notification-admit", "notification-discharge"
_EVENT_OF: Final = {
    "planned": PLANNED, "arrived": _ADMIT, "triaged": _ADMIT, "in-progress": _ADMIT, "onleave": _ADMIT, "finished": _DISCHARGE,
    "cancelled": _ADMIT, "entered-in-error": _ADMIT,
}  # fmt: skip
"""A subscription's topic says that an encounter changed; what it became says the encounter's status (messages.md 2.2). Of any other
status nothing is known but that there is an encounter."""


@dataclass(frozen=True, slots=True)
class Notified:
    """What a subscription says. `events`: the numbers of the events told here; `total`: how many there were since its beginning.
    `bundles`: a message about each event that brought what it is about."""

    id: str
    subscription: str
    topic: str
    status: str
    type: str
    events: tuple[int, ...]
    total: int | None
    bundles: tuple[bytes, ...]

    @property
    def kind(self) -> str:
        return f"subscription-{self.type}"

    @property
    def control_id(self) -> str:
        numbers = ",".join(map(str, self.events[:20]))
        return f"{self.id}/{self.subscription}/{numbers}"[:CONTROL_ID_MAX]


def is_notification(body: Mapping[str, Any]) -> bool:
    """Whether a Bundle is one of a subscription."""
    return body.get("resourceType") == "Bundle" and body.get("type") in ("history", "subscription-notification")


def read(raw: bytes) -> Notified | Refused:
    """What a body says, checked for what a receiver needs."""
    try:
        body = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return Refused(400, "invalid", "Bundle", "the body is not JSON in UTF-8; send one FHIR R4 Bundle as application/fhir+json")
    if not isinstance(body, dict) or not is_notification(body):
        return Refused(400, "invalid", "Bundle.type", "send a Bundle whose type is history, as the Backport guide has it for R4")
    entries = body.get("entry")
    first = entries[0].get("resource") if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None
    if not isinstance(first, dict) or first.get("resourceType") not in ("Parameters", "SubscriptionStatus"):
        return Refused(422, "required", "Bundle.entry[0]", "the first entry says of which subscription it is: Parameters")
    said = dict(_parameters(first)) if first["resourceType"] == "Parameters" else first
    subscription, kind = text_of(said.get("subscription"), "reference"), said.get("type")
    if not subscription:
        return Refused(422, "required", "Bundle.entry[0].resource.subscription", "name the Subscription that this is of")
    if kind not in TYPES:
        return Refused(422, "value", "Bundle.entry[0].resource.type", f"write one of {', '.join(TYPES)}")
    told = said.get("notificationEvent")
    events = [e for e in told if isinstance(e, dict)] if isinstance(told, list) else []
    if len(events) > EVENTS_MAX:
        many = f"tell of at most {EVENTS_MAX} events in a notification; send these again, in several"
        return Refused(413, "too-long", "Bundle.entry[0].resource.notificationEvent", many)
    resources = _resources(entries[1:] if isinstance(entries, list) else [])
    try:
        bundles = tuple(_messages(body, subscription, events, resources)) if kind == EVENT_NOTIFICATION else ()
    except RecursionError:
        return Refused(400, "invalid", "Bundle", "something in it is nested too deeply to be written again")
    return Notified(
        id=text_of(body, "id"),
        subscription=subscription,
        topic=text_of(said, "topic"),
        status=text_of(said, "status"),
        type=kind,
        events=tuple(sorted(n for e in events if (n := _number(e.get("eventNumber"))) is not None)),
        total=_number(said.get("eventsSinceSubscriptionStart")),
        bundles=bundles,
    )


class Subscriptions:
    """Remembers how far each subscription has told us, and notices what it left out."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]], notices: Notices) -> None:
        self._pool = pool
        self._notices = notices

    def heard(self, source: str, said: Notified, now: datetime) -> None:
        """Take in a notification that is stored. The first ever heard of a subscription begins its count."""
        highest = max((*said.events, *(() if said.total is None else (said.total,))), default=None)
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute(
                "SELECT events FROM intake.subscriptions WHERE source_id = %s AND subscription = %s FOR UPDATE",
                (source, said.subscription),
            ).fetchone()
            before = None if row is None else int(row[0])
            conn.execute(
                "INSERT INTO intake.subscriptions (source_id, subscription, topic, status, events, heard_at)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (source_id, subscription) DO UPDATE SET topic = EXCLUDED.topic,"
                " status = EXCLUDED.status, events = greatest(subscriptions.events, EXCLUDED.events), heard_at = EXCLUDED.heard_at",
                (source, said.subscription, said.topic, said.status, highest or 0, now),
            )
        for missing in _gaps(before, said):
            self._notices.note(Kind.MISSED_EVENTS, source, f"{missing} of {said.subscription}", now)
        if said.status in _BROKEN:
            self._notices.note(Kind.MISSED_EVENTS, source, f"{said.subscription} is {said.status}", now)


def _gaps(before: int | None, said: Notified) -> Iterator[str]:
    """The events between what we knew and what is told here, of which nobody told us."""
    if before is None:
        return
    known = before
    for number in said.events:
        if number > known + 1:
            yield _numbers(known + 1, number - 1)
        known = max(known, number)
    if said.total is not None and said.total > known and said.type in (HEARTBEAT, EVENT_NOTIFICATION, QUERY_STATUS):
        yield _numbers(known + 1, said.total)


def _numbers(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"


def _parameters(resource: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """R4's Parameters as R4B's SubscriptionStatus has them."""
    events: list[dict[str, Any]] = []
    parameters = resource.get("parameter")
    for parameter in parameters if isinstance(parameters, list) else ():
        if not isinstance(parameter, dict):
            continue
        name = str(parameter.get("name", ""))
        if name == "notification-event":
            parts = parameter.get("part")
            events.append(
                {_camel(str(p.get("name", ""))): _value(p) for p in parts if isinstance(p, dict)} if isinstance(parts, list) else {}
            )
        else:
            yield _camel(name), _value(parameter)
    yield "notificationEvent", events


def _value(parameter: Mapping[str, Any]) -> Any:
    return next((value for key, value in parameter.items() if key.startswith("value")), None)


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _number(value: object) -> int | None:
    """R4 writes these counts as text (integer64 came later). What no count can be is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        if len(value) > COUNT_DIGITS_MAX or not value.isascii() or not value.isdigit():
            return None
        value = int(value)
    return value if 0 <= value < 10**COUNT_DIGITS_MAX else None


def _resources(entries: list[Any]) -> dict[str, dict[str, Any]]:
    """What the notification brought, by every name that a reference may use."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict):
            local = f"{resource.get('resourceType', '')}/{text_of(resource, 'id')}"
            found |= dict.fromkeys(filter(None, (text_of(entry, "fullUrl"), local)), resource)
    return found


def _messages(
    body: Mapping[str, Any], subscription: str, events: list[dict[str, Any]], resources: Mapping[str, dict[str, Any]]
) -> Iterator[bytes]:
    """A message bundle for each event whose encounter was brought along, with everything that came with it."""
    for event in events:
        reference = text_of(event.get("focus"), "reference")
        encounter = resources.get(reference) or resources.get("/".join(reference.split("/")[-2:]))
        if encounter is None or encounter.get("resourceType") != "Encounter":
            continue
        number = _number(event.get("eventNumber"))
        stamp = event.get("timestamp") or body.get("timestamp") or ""
        header = {
            "resourceType": "MessageHeader", "id": f"{subscription}/{number}", "source": {"endpoint": subscription},
            "eventCoding": {"code": _EVENT_OF.get(str(encounter.get("status")), DESCRIBED)}, "focus": [{"reference": reference}],
        }  # fmt: skip
        brought = [{"fullUrl": name, "resource": resource} for name, resource in resources.items()]
        if reference not in resources:
            brought.append({"fullUrl": reference, "resource": encounter})
        message = {
            "resourceType": "Bundle", "id": f"{subscription}/{number}", "type": "message", "timestamp": stamp,
            "entry": [{"resource": header}, *brought],
        }  # fmt: skip
        yield json.dumps(message).encode()
