"""FHIR at the door: `$process-message` of the Da Vinci notifications, and what subscriptions send (messages.md 2.1, 2.3, 5.1).

Stored, then answered. Errors are OperationOutcomes, and what their sender does next follows from the status: 4xx is not sent again,
429 later, 5xx again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from intake.listening.mllp import FRAME_BYTES_MAX
from intake.listening.receive import RECEIPT_HEADER, RETRY_AFTER_SECONDS, HttpAnswer, Received, Reception
from intake.reading import fhir
from intake.reading.forms import FHIR_TRANSPORT
from intake.reading.subscriptions import EVENT_NOTIFICATION, PAYLOAD_NOT_SENT, Notified, Subscriptions
from intake.reading.subscriptions import read as subscriptions_in
from intake.senders.sources import Source
from intake.store.inbox import CannotStore, Status

FHIR_CONTENT_TYPE: Final = "application/fhir+json"
_TAKEN: Final = frozenset({FHIR_CONTENT_TYPE, "application/json"})
KIND_CHARS_MAX: Final = 40

log = structlog.get_logger("intake.receive")


def receive_bundle(
    reception: Reception, body: bytes, headers: Mapping[str, str], source: Source | None, *, peer: str = ""
) -> HttpAnswer:
    """Store a message bundle and answer. `source` is whom the credentials name, None where they name nobody. `headers` are looked
    up in lower case. What is refused is kept too, as dead: nobody can say later that it was never sent."""
    if source is None or "http" not in source.transports:
        return _outcome(401, "login", "", "send the bearer token of a registered source", {"WWW-Authenticate": "Bearer"})
    content_type = headers.get("content-type", FHIR_CONTENT_TYPE).partition(";")[0].strip().lower()
    if content_type not in _TAKEN:
        return _outcome(415, "not-supported", "", f"send {FHIR_CONTENT_TYPE}")
    if len(body) > FRAME_BYTES_MAX:
        return _outcome(413, "too-long", "Bundle", f"the message is longer than {FRAME_BYTES_MAX} bytes")
    if wait := reception.throttle.wait_seconds(source):
        retry = {"Retry-After": str(ceil(wait))}
        return _outcome(429, "throttled", "", "too many messages in a minute; send this one again later", retry)
    read = fhir.read(body)
    refused = read if isinstance(read, fhir.Refused) else None
    received = Received(body, source, FHIR_TRANSPORT, peer=peer, trace=headers.get("traceparent", ""))
    try:
        receipt = reception.keep(
            received,
            control_id=read.control_id if isinstance(read, fhir.Bundle) else "",
            kind=read.event[:KIND_CHARS_MAX] if isinstance(read, fhir.Bundle) else "",
            status=Status.RECEIVED if refused is None else Status.DEAD,
            reason="" if refused is None else refused.as_reason,
        )
    except CannotStore as trouble:
        log.error("message_not_stored", source=source.name, failure=str(trouble))
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return _outcome(503, "transient", "", "the message could not be stored; send it again", retry)
    if refused is not None:
        return _outcome(refused.status, refused.code, refused.expression, refused.remedy)
    return HttpAnswer(200, b"", {"Content-Type": FHIR_CONTENT_TYPE, RECEIPT_HEADER: str(receipt)})


def receive_notification(
    reception: Reception,
    subscriptions: Subscriptions,
    body: bytes,
    headers: Mapping[str, str],
    source: Source | None,
    *,
    now: datetime,
    peer: str = "",
) -> HttpAnswer:
    """Store what a subscription of ours sends (messages.md 2.3) and answer: a handshake and a heartbeat are acknowledged and set
    aside, events are worked off, and a gap in their count is noticed. `source` and `headers` as for `receive_bundle`."""
    if source is None or "http" not in source.transports:
        return _outcome(401, "login", "", "send the bearer token of a registered source", {"WWW-Authenticate": "Bearer"})
    content_type = headers.get("content-type", FHIR_CONTENT_TYPE).partition(";")[0].strip().lower()
    if content_type not in _TAKEN:
        return _outcome(415, "not-supported", "", f"send {FHIR_CONTENT_TYPE}")
    if len(body) > FRAME_BYTES_MAX:
        return _outcome(413, "too-long", "Bundle", f"the notification is longer than {FRAME_BYTES_MAX} bytes")
    if wait := reception.throttle.wait_seconds(source):
        return _outcome(429, "throttled", "", "too many in a minute; send this one later", {"Retry-After": str(ceil(wait))})
    read = subscriptions_in(body)
    refused = read if isinstance(read, fhir.Refused) else None
    status, reason = (Status.DEAD, refused.as_reason) if refused else _standing(read)
    received = Received(body, source, FHIR_TRANSPORT, peer=peer, trace=headers.get("traceparent", ""))
    try:
        receipt = reception.keep(
            received,
            control_id=read.control_id if isinstance(read, Notified) else "",
            kind=read.kind[:KIND_CHARS_MAX] if isinstance(read, Notified) else "",
            status=status,
            reason=reason,
        )
        if isinstance(read, Notified):
            subscriptions.heard(source.name, read, now)
    except (CannotStore, psycopg.Error, PoolTimeout) as trouble:
        log.error("message_not_stored", source=source.name, failure=type(trouble).__name__)
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return _outcome(503, "transient", "", "the notification could not be stored; send it again", retry)
    if refused is not None:
        return _outcome(refused.status, refused.code, refused.expression, refused.remedy)
    return HttpAnswer(200, b"", {"Content-Type": FHIR_CONTENT_TYPE, RECEIPT_HEADER: str(receipt)})


def _standing(read: Notified | fhir.Refused) -> tuple[Status, str]:
    """Where a notification stands when it comes in."""
    assert isinstance(read, Notified)
    if read.type != EVENT_NOTIFICATION:
        return Status.IGNORED, read.type
    return (Status.RECEIVED, "") if read.bundles else (Status.WAITING, PAYLOAD_NOT_SENT)


def _outcome(status: int, code: str, expression: str, diagnostics: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    issue: dict[str, object] = {"severity": "error", "code": code, "diagnostics": diagnostics}
    if expression:
        issue["expression"] = [expression]
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    return HttpAnswer(status, body, {"Content-Type": FHIR_CONTENT_TYPE, **(headers or {})})
