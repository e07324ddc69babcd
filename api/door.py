"""What others send us over HTTP: HL7 messages, member files, a message provider's feedback; and the two health addresses."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.problems import Problem, answer, unavailable
from api.security import Use, only, somebody
from api.tokens import Caller
from domain.staff.facts import Role
from eventlog.traces import current_traceparent
from intake.files.roster import Receipt
from intake.files.tables import FileRefused
from intake.listening.receive import HL7_CONTENT_TYPE, receive_http
from intake.listening.receive_fhir import FHIR_CONTENT_TYPE, receive_bundle, receive_notification
from intake.senders.clients import NOTIFIES
from intake.store.inbox import CannotStore

router = APIRouter(tags=["Front door"])
health = APIRouter(tags=["Health"])

EXAMPLE = (
    "MSH|^~\\&|EPIC|ST-BRENDAN|TL|TL|20261120103000||ADT^A01|MSG00001|P|2.5.1\rEVN||20261120103000\r"
    "PID|1||91234567A^^^MEDI-CAL^MA||OKAFOR^INES||19610709|F\rPV1|1|I|3W^301^1^ST-BRENDAN||||||||||||||||V-1001\r"
)


PATIENT, ENCOUNTER = "urn:uuid:5d1f2a60-0000-4000-8000-000000000001", "urn:uuid:5d1f2a60-0000-4000-8000-000000000002"
BUNDLE_EXAMPLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "id": "discharge-1",
    "type": "message",
    "timestamp": "2026-11-20T15:35:00-08:00",
    "entry": [
        {
            "resource": {
                "resourceType": "MessageHeader",
                "id": "header-1",
                "eventCoding": {
                    "system": "http://hl7.org/fhir/us/davinci-alerts/CodeSystem/notification-event",
                    "code": "notification-discharge",
                },
                "source": {"endpoint": "https://hospital.example/fhir"},
                "focus": [{"reference": ENCOUNTER}],
            }
        },
        {
            "fullUrl": ENCOUNTER,
            "resource": {
                "resourceType": "Encounter",
                "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": "V-1001"}],
                "status": "finished",
                "class": {"code": "IMP"},
                "subject": {"reference": PATIENT},
                "period": {"start": "2026-11-16T09:00:00-08:00", "end": "2026-11-20T15:30:00-08:00"},
                "serviceProvider": {"display": "Valley General Hospital"},
                "hospitalization": {"dischargeDisposition": {"coding": [{"code": "01"}]}},
            },
        },
        {
            "fullUrl": PATIENT,
            "resource": {
                "resourceType": "Patient",
                "identifier": [{"system": "CIN", "value": "91234567A"}],
                "name": [{"family": "OKAFOR", "given": ["INES"]}],
                "birthDate": "1961-07-09",
            },
        },
    ],
}


HEARTBEAT_EXAMPLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "id": "notification-7",
    "type": "history",
    "timestamp": "2026-11-20T15:35:00-08:00",
    "entry": [
        {
            "fullUrl": "urn:uuid:5d1f2a60-0000-4000-8000-000000000003",
            "resource": {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "subscription", "valueReference": {"reference": "https://exchange.example/fhir/Subscription/s-1"}},
                    {"name": "status", "valueCode": "active"},
                    {"name": "type", "valueCode": "heartbeat"},
                    {"name": "events-since-subscription-start", "valueString": "12"},
                ],
            },
        }
    ],
}


def outcome_example(status: int) -> dict[str, Any]:
    """What an OperationOutcome of this status looks like."""
    code, expression, diagnostics = {
        400: ("invalid", "Bundle.type", "send a Bundle whose type is message"),
        422: ("required", "MessageHeader.focus", "refer to the Encounter that the message is about"),
        503: ("transient", "", "the message could not be stored; send it again"),
    }[status]
    issue: dict[str, Any] = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [{**issue, "expression": [expression]} if expression else issue]}


class RowFault(BaseModel):
    row: int
    field: str
    reason: str
    remedy: str


class FileReceipt(BaseModel):
    """What became of a member file. `rows` = accepted + unchanged + rejected + waiting."""

    file_id: UUID
    plan: str
    rows: int
    accepted: int
    unchanged: int
    rejected: int
    waiting: int
    duplicate: bool
    stopped: str = Field(description="Why the whole file waits, and what to do; empty where it does not")
    refused: str = Field(description="Why it could not be read at all, and what to do; empty where it could")
    problems: list[RowFault]
    missing: list[str]
    flags: list[str]
    profile: str = Field(description="Under which profile of the plan it was read")

    @classmethod
    def of(cls, receipt: Receipt) -> FileReceipt:
        return cls(
            file_id=receipt.file_id, plan=receipt.plan, rows=receipt.rows, accepted=receipt.accepted, unchanged=receipt.unchanged,
            rejected=receipt.rejected, waiting=receipt.waiting, duplicate=receipt.duplicate, stopped=receipt.stopped,
            refused=receipt.refused,
            problems=[RowFault(row=p.row, field=p.field, reason=p.reason, remedy=p.remedy) for p in receipt.problems],
            missing=list(receipt.missing), flags=list(receipt.flags), profile=receipt.profile,
        )  # fmt: skip


@router.post(
    "/hl7",
    summary="An HL7 v2 message; answered with its acknowledgement",
    response_class=Response,
    responses={
        200: {"content": {HL7_CONTENT_TYPE: {}}, "description": "Stored; the body is the ACK, AA or AR"},
        503: {"description": "Could not be stored: send it again"},
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {HL7_CONTENT_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}}}
    },
)
async def receive_hl7(request: Request, services: Use, caller: Annotated[Caller, Depends(only(Role.HOSPITAL))]) -> Response:
    """The bytes are safe before the answer leaves. A business problem is never a rejection: unknown members get an AA too."""
    body = await request.body()
    source = services.sources.named(caller.source or "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["traceparent"] = current_traceparent() or ""
    peer = request.client.host if request.client else ""
    told = await run_in_threadpool(lambda: receive_http(services.reception, body, headers, source, peer=peer))
    if told.headers.get("Content-Type", "").startswith("text/plain"):
        code = {
            401: "source_unknown", 413: "body_too_large", 415: "content_type_unknown", 429: "throttled", 503: "database_away",
        }  # fmt: skip
        more = {name: value for name, value in told.headers.items() if name != "Content-Type"}
        return answer(Problem(told.status, code.get(told.status, "message_refused"), told.body.decode(), headers=more))
    return Response(told.body, told.status, told.headers)


@router.post(
    "/fhir/$process-message",
    summary="A FHIR R4 message bundle: the Da Vinci notifications of admission, transfer and discharge",
    response_class=Response,
    responses={
        200: {"description": "Stored; there is no response message"},
        **{
            status: {"content": {FHIR_CONTENT_TYPE: {"example": outcome_example(status)}}, "description": description}
            for status, description in (
                (400, "Not JSON, or no message bundle: kept, not read; do not send it again"),
                (422, "The envelope lacks something that the guide asks for: kept, not read; do not send it again"),
                (503, "Could not be stored: send it again"),
            )
        },
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {FHIR_CONTENT_TYPE: {"schema": {"type": "object"}, "example": BUNDLE_EXAMPLE}}}
    },
)
async def process_message(
    request: Request, services: Use, caller: Annotated[Caller, Depends(only(Role.HOSPITAL, scopes=(NOTIFIES,)))]
) -> Response:
    """The bytes are safe before the answer leaves. Unknown members and events and absent elements are answered with 200 too."""
    body = await request.body()
    source = services.sources.named(caller.source or "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["traceparent"] = current_traceparent() or ""
    peer = request.client.host if request.client else ""
    told = await run_in_threadpool(lambda: receive_bundle(services.reception, body, headers, source, peer=peer))
    return Response(told.body, told.status, told.headers)


@router.post(
    "/fhir/subscription-notifications",
    summary="What a FHIR subscription sends: handshake, heartbeat, events (R5 Backport for R4)",
    response_class=Response,
    responses={
        200: {"description": "Stored"},
        **{
            status: {"content": {FHIR_CONTENT_TYPE: {"example": outcome_example(status)}}, "description": description}
            for status, description in (
                (400, "Not JSON, or no notification bundle: kept, not read; do not send it again"),
                (422, "It does not say of which subscription it is, or what it tells: kept, not read"),
                (503, "Could not be stored: send it again"),
            )
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True, "content": {FHIR_CONTENT_TYPE: {"schema": {"type": "object"}, "example": HEARTBEAT_EXAMPLE}},
        }
    },
)  # fmt: skip
async def subscription_notification(
    request: Request, services: Use, caller: Annotated[Caller, Depends(only(Role.HOSPITAL, scopes=(NOTIFIES,)))]
) -> Response:
    """An encounter that an event brings along is worked off as if it had come as a message. Events that nobody told us of are
    noticed."""
    body = await request.body()
    source = services.sources.named(caller.source or "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["traceparent"] = current_traceparent() or ""
    peer, now = request.client.host if request.client else "", services.clock.now()
    told = await run_in_threadpool(
        lambda: receive_notification(services.reception, services.door.subscriptions, body, headers, source, now=now, peer=peer)
    )
    return Response(told.body, told.status, told.headers)


@router.post(
    "/member-files",
    summary="A health plan's member file (CSV)",
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def receive_member_file(
    request: Request,
    services: Use,
    caller: Annotated[Caller, Depends(only(Role.OPERATOR, Role.SUPERVISOR))],
    plan: Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The health plan", examples=["default"])],
    full_roster: Annotated[
        bool | None, Query(description="The file names every member whom the plan assigned; left out: as the plan's profile says")
    ] = None,
    confirmed: Annotated[bool, Query(description="A person's word that a shrunken full roster is right")] = False,
) -> FileReceipt:
    """Every row that can be read is applied; the others are named with row, field, reason and remedy. The same file again changes
    nothing."""
    body = await request.body()
    try:
        receipt = await run_in_threadpool(
            lambda: services.files.import_file(body, plan=plan, full_roster=full_roster, confirmed=confirmed, peer=caller.by)
        )
    except FileRefused as refused:
        raise Problem(422, "file_refused", str(refused), "body") from None
    except CannotStore:
        raise unavailable("database") from None
    return FileReceipt.of(receipt)


@router.post("/feedback", status_code=202, summary="A message provider's signed report: delivered, bounced, an answer, STOP")
async def receive_feedback(
    request: Request,
    services: Use,
    signature: Annotated[str, Header(alias="Throughline-Signature", description="sha256=<hex> over <timestamp>.<body>")],
    timestamp: Annotated[str, Header(alias="Throughline-Timestamp", description="Whole seconds since 1970")],
) -> dict[str, str]:
    """No token: the signature says who sends it."""
    if services.feedback is None:
        raise Problem(404, "no_feedback_here", "This process takes no feedback; send it to one that does.")
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    feedback = services.feedback
    told = await run_in_threadpool(lambda: feedback(body, headers))
    if told.status >= 400:
        raise Problem(told.status, told.code, told.detail or "The report was refused.")
    return {"outcome": told.code}


@router.get("/whoami", tags=["Tokens"], summary="Whom this token speaks for")
def whoami(caller: Annotated[Caller, Depends(somebody)]) -> dict[str, str]:
    return {"subject": caller.by, "role": caller.role.value, "token_id": str(caller.token_id)}


@health.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    return {"status": "alive"}


@health.get("/readyz", summary="Everything that requests need is there", responses={503: {"description": "Something is missing"}})
def readyz(services: Use) -> Response:
    """`waiting`: requests are answered, hospitals' too, but deadlines wait for what is away."""
    found = services.ready()
    answering = all(dependency.ready for dependency in found if dependency.needed)
    complete = all(dependency.ready for dependency in found)
    said: dict[str, Any] = {
        "status": "ready" if complete else "waiting" if answering else "not_ready",
        "dependencies": {d.name: {"ready": d.ready, "found": d.found} for d in found},
    }
    return JSONResponse(said, 200 if answering else 503)
