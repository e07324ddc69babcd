"""FHIR ServiceRequests at the door: stored, then answered with 201, or with an OperationOutcome that says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from typing import Final

import structlog

from intake.listening.receive import RETRY_AFTER_SECONDS, HttpAnswer
from intake.reading.fhir import Refused
from intake.referrals import service_request
from intake.referrals.desk import FHIR_KIND, ReferralDesk
from intake.senders.sources import Source
from intake.senders.throttle import Throttle
from intake.store.inbox import CannotStore, Status

FHIR_CONTENT_TYPE: Final = "application/fhir+json"
_TAKEN: Final = frozenset({FHIR_CONTENT_TYPE, "application/json"})
BODY_BYTES_MAX: Final = 1024 * 1024
PARTS_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
"""Of the requests of one body, each with what it refers to."""

TAKEN_APART: Final = "taken_apart"
"""What became of a body whose requests are messages of their own."""

log = structlog.get_logger("intake.receive")


def receive_service_request(
    desk: ReferralDesk, throttle: Throttle, body: bytes, headers: Mapping[str, str], source: Source | None
) -> HttpAnswer:
    """Store the requests of a body and answer; one by itself is worked off first, several are left to a worker. `source` is whom
    the credentials name, None where they name nobody. `headers` are looked up in lower case. What is refused is kept too, as
    dead. Each request counts as a message of its source's minute."""
    if source is None or "http" not in source.transports:
        return _refused(401, "login", "", "send the bearer token of a registered source", {"WWW-Authenticate": "Bearer"})
    content_type = headers.get("content-type", FHIR_CONTENT_TYPE).partition(";")[0].strip().lower()
    if content_type not in _TAKEN:
        return _refused(415, "not-supported", "", f"send {FHIR_CONTENT_TYPE}")
    if len(body) > BODY_BYTES_MAX:
        return _refused(413, "too-long", "Bundle", f"send at most {BODY_BYTES_MAX} bytes")
    if wait := throttle.wait_seconds(source):
        return _refused(429, "throttled", "", "too many in a minute; send this later", {"Retry-After": str(ceil(wait))})
    trace = headers.get("traceparent", "")
    found = service_request.read_requests(body)
    try:
        if not isinstance(found, Refused) and (plan := service_request.unknown_plan(found, desk.plans())):
            found = Refused(422, "code-invalid", "Coverage.payor", desk.no_plan(plan))
        if isinstance(found, Refused):
            because = found.as_reason
            desk.keep(body, source_id=source.name, status=Status.DEAD, reason=because, trace=trace)
            return _refused(found.status, found.code, found.expression, found.remedy)
        parts = service_request.taken_apart(body, found)
        if sum(map(len, parts)) > PARTS_BYTES_MAX:
            return _refused(413, "too-long", "Bundle.entry", "the requests share too much; send fewer of them at once")
        if len(parts) > 1:
            desk.keep(body, source_id=source.name, status=Status.APPLIED, reason=TAKEN_APART, trace=trace)
            throttle.took(source, len(parts) - 1)
        taken = [
            desk.take(
                part, source_id=source.name, control_id=f"{service_request.external_id(found, n)}#{n}", kind=FHIR_KIND, trace=trace,
                at_once=len(parts) == 1,
            )
            for n, part in enumerate(parts)
        ]  # fmt: skip
    except CannotStore as trouble:
        log.error("referral_not_stored", source=source.name, failure=str(trouble))
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return _refused(503, "transient", "", "the referral could not be stored; send it again", retry)
    kept = f"kept: {len(taken)} referral{'s' if len(taken) > 1 else ''}"
    where = {"Location": f"/v1/referrals/{taken[0].inbox_id}/receipt"}
    status = 200 if all(one.repeated for one in taken) else 201
    return HttpAnswer(status, outcome_of("information", "informational", "", kept), {"Content-Type": FHIR_CONTENT_TYPE, **where})


def outcome_of(severity: str, code: str, expression: str, diagnostics: str) -> bytes:
    """An OperationOutcome with one issue."""
    issue: dict[str, object] = {"severity": severity, "code": code, "diagnostics": diagnostics}
    if expression:
        issue["expression"] = [expression]
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


def _refused(status: int, code: str, expression: str, remedy: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, outcome_of("error", code, expression, remedy), {"Content-Type": FHIR_CONTENT_TYPE, **(headers or {})})
