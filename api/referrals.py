"""Other ways in over HTTP (domain.md 2.12): a referral as JSON or as a FHIR ServiceRequest, a file of them, and the mix of sources.

Who refers is told that the referral is kept, and never who is a member: that is another question, with rules of its own.
"""

from __future__ import annotations

import json
from datetime import datetime
from math import ceil
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from api.door import RowFault
from api.offering import READERS
from api.problems import Problem, unavailable
from api.reading import may_see_names
from api.security import Use, only
from api.tokens import Caller
from domain.staff.facts import Role
from eventlog.traces import current_traceparent
from intake.files.memberfile import RowProblem
from intake.files.tables import FileRefused
from intake.referrals.desk import BY_STAFF, Taken
from intake.referrals.receive import FHIR_CONTENT_TYPE, outcome_of, receive_service_request
from intake.referrals.referral import ReferralForm
from intake.referrals.strangers import Stranger, UnknownStranger
from intake.senders.clients import REFERS
from intake.store.inbox import CannotStore, Status
from projections.referral_queries import WayIn

routes = APIRouter(tags=["Ways in"])

OURS = (Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR)
REFERRERS = (*OURS, Role.HOSPITAL)
PLAN = r"^[a-z0-9][a-z0-9-]{0,62}$"

SERVICE_REQUEST_EXAMPLE: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "identifier": [{"value": "SB-2026-0117"}],
    "status": "active",
    "intent": "order",
    "priority": "routine",
    "code": {"text": "Enhanced Care Management"},
    "subject": {"reference": "#patient"},
    "requester": {"reference": "#physician"},
    "reasonCode": [{"text": "Third emergency visit in two months"}],
    "orderDetail": [{"coding": [{"code": "2a"}]}],
    "contained": [
        {
            "resourceType": "Patient",
            "id": "patient",
            "identifier": [{"system": "CIN", "value": "91234567A"}],
            "name": [{"family": "Okafor", "given": ["Ines"]}],
            "birthDate": "1961-07-09",
            "telecom": [{"system": "phone", "value": "+1-415-555-0142"}],
        },
        {"resourceType": "Practitioner", "id": "physician", "name": [{"family": "Osei", "given": ["Amara"]}]},
    ],
}


class ReferralReceipt(BaseModel):
    """What became of a referral. `state`: received (kept, and taken care of), repeated (it was here before), or refused (it cannot
    be read). The rest is for staff only."""

    inbox_id: UUID
    state: str = Field(examples=["received"])
    problems: list[RowFault] = []
    referral: str | None = Field(None, examples=["0d7a3d55-3f0e-4b5e-a8c5-1a2b8f8f4a10"])
    status: str | None = Field(None, description="As of every message at the front door", examples=["applied"])
    reason: str | None = Field(None, description="Why it waits, or what it led to", examples=["added_to_open_episode"])
    member: str | None = None
    episode: str | None = None
    answer_due_at: datetime | None = Field(None, description="Until when the plan has to say yes or no")


class ReferralFileReport(BaseModel):
    """What became of a file of referrals. `rows` = accepted + repeated + waiting + rejected."""

    file_id: UUID
    rows: int
    accepted: int
    repeated: int
    waiting: int
    rejected: int
    duplicate: bool
    problems: list[RowFault]


@routes.post("/referrals", status_code=201, summary="Somebody refers a person", response_model_exclude_none=True)
async def refer(
    request: Request,
    services: Use,
    caller: Annotated[Caller, Depends(only(*REFERRERS, scopes=(REFERS,)))],
    said: ReferralForm,
    response: Response,
    key: Annotated[
        str, Header(alias="Idempotency-Key", max_length=100, description="Where the referral has no id of its own: yours")
    ] = "",
) -> ReferralReceipt:
    """A known member gets it on their episode, somebody unknown becomes a member with an episode and the same deadlines as in a
    plan's file, and where the match is doubtful it waits for a person. The same referral again is nothing new."""
    body, staff = await request.body(), caller.source is None
    by, source = (caller.by, BY_STAFF) if staff else ("", caller.source or "")
    registered = services.sources.named(source)
    if registered is not None and (wait := services.reception.throttle.wait_seconds(registered)):
        retry = {"Retry-After": str(ceil(wait))}
        raise Problem(429, "throttled", "Your source sent too many messages within a minute; send this one later.", headers=retry)
    await run_in_threadpool(services.referrals.expect_plan, said.plan)
    try:
        taken = await run_in_threadpool(
            lambda: services.referrals.take(
                body, source_id=source, control_id=said.id or key, by=by, trace=current_traceparent() or ""
            )
        )
    except CannotStore:
        raise unavailable("database") from None
    if taken.repeated:
        response.status_code = 200
    return _receipt(taken, staff=staff)


@routes.get("/referrals/{inbox_id}/receipt", summary="What became of a referral that you sent", response_model_exclude_none=True)
def receipt(
    services: Use, caller: Annotated[Caller, Depends(only(*REFERRERS, scopes=(REFERS,)))], inbox_id: UUID
) -> ReferralReceipt:
    """For who sent it: that it is kept. For staff: whose it is, and until when the plan answers."""
    taken = services.referrals.found(inbox_id, source=caller.source)
    if taken is None:
        raise Problem(404, "unknown_referral", "There is no such referral of yours.", "inbox_id")
    return _receipt(taken, staff=caller.source is None)


@routes.post(
    "/referral-files",
    summary="A file of referrals (CSV or XLSX)",
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def receive_file(
    request: Request,
    services: Use,
    caller: Annotated[Caller, Depends(only(*OURS))],
    plan: Annotated[
        str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The health plan of rows that name none", examples=["default"])
    ],
) -> ReferralFileReport:
    """Every row that can be read is taken; the others are named with row, field, reason and remedy. The same file again changes
    nothing."""
    body = await request.body()
    try:
        found = await run_in_threadpool(lambda: services.referrals.import_file(body, plan=plan, by=caller.by))
    except FileRefused as refused:
        raise Problem(422, "file_refused", str(refused), "body") from None
    except CannotStore:
        raise unavailable("database") from None
    return ReferralFileReport(
        file_id=found.file_id, rows=found.rows, accepted=found.accepted, repeated=found.repeated, waiting=found.waiting,
        rejected=found.rejected, duplicate=found.duplicate, problems=[_fault(p) for p in found.problems],
    )  # fmt: skip


@routes.post(
    "/fhir/ServiceRequest",
    status_code=201,
    summary="A referral as a FHIR R4 ServiceRequest, alone or in a Bundle",
    response_class=Response,
    responses={
        201: {
            "content": {
                FHIR_CONTENT_TYPE: {"example": json.loads(outcome_of("information", "informational", "", "kept: 1 referral"))}
            },
            "description": "Kept; Location says where to ask what became of it",
        },
        **{
            status: {
                "content": {FHIR_CONTENT_TYPE: {"example": json.loads(outcome_of("error", code, where, said))}},
                "description": description,
            }
            for status, code, where, said, description in (
                (400, "invalid", "resourceType", "send a ServiceRequest, or a Bundle with one", "Neither of both"),
                (
                    422,
                    "not-found",
                    "ServiceRequest.subject",
                    "the Patient is neither contained nor in the Bundle",
                    "Lacks something",
                ),
                (429, "throttled", "", "too many in a minute; send this later", "Too many within a minute: later again"),
                (503, "transient", "", "the referral could not be stored; send it again", "Could not be stored: send it again"),
            )
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {FHIR_CONTENT_TYPE: {"schema": {"type": "object"}, "example": SERVICE_REQUEST_EXAMPLE}},
        }
    },
)
async def service_request(
    request: Request, services: Use, caller: Annotated[Caller, Depends(only(Role.HOSPITAL, scopes=(REFERS,)))]
) -> Response:
    """The Patient is contained or in the Bundle. A request with status `revoked` takes back the earlier one of the same
    identifier."""
    body = await request.body()
    source = services.sources.named(caller.source or "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["traceparent"] = current_traceparent() or ""
    told = await run_in_threadpool(
        lambda: receive_service_request(services.referrals, services.reception.throttle, body, headers, source)
    )
    return Response(told.body, told.status, told.headers)


@routes.get("/strangers", summary="People whom nobody knows and who come to hospitals again and again")
def strangers(
    services: Use,
    caller: Annotated[Caller, Depends(only(*OURS))],
    plan: Annotated[str, Query(pattern=PLAN, description="Whose rules screen them")] = "default",
    names: Annotated[bool, Query(description="Unseal who they are, for this answer")] = False,
) -> list[Stranger]:
    """Their messages wait in the inbox. Whoever would belong to a population of focus if their visits could have been avoided is
    listed, whoever came last first."""
    may_see_names(caller, names=names)
    services.strangers.expect_plan(plan)
    return list(services.strangers.candidates(plan=plan, names=names))


class StrangersReferral(BaseModel):
    """`plan`: the health plan of the person; `reason`: why they are referred."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"plan": "default", "reason": "five visits, no home"}]}
    )

    plan: Annotated[str, StringConstraints(pattern=PLAN)] = "default"
    reason: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True)] = ""


class StrangersDismissal(BaseModel):
    """`reason`: why they are not referred."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"plan": "default", "reason": "lives abroad"}]})

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
    plan: Annotated[str, StringConstraints(pattern=PLAN)] = "default"


StrangerId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="As the list shows it")]


@routes.post("/strangers/{stranger}/referrals", status_code=201, summary="Refer somebody whom nobody knows")
def refer_stranger(
    services: Use, caller: Annotated[Caller, Depends(only(*OURS))], stranger: StrangerId, said: StrangersReferral
) -> ReferralReceipt:
    """With a CIN they become a member, to whom their messages then belong. Without one the referral waits for who knows it."""
    try:
        taken = services.strangers.refer(stranger, plan=said.plan, by=caller.by, reason=said.reason)
    except UnknownStranger:
        raise _no_stranger() from None
    except CannotStore:
        raise unavailable("database") from None
    return _receipt(taken, staff=True)


@routes.post("/strangers/{stranger}/dismissals", status_code=202, summary="They are not referred, until they come again")
def dismiss_stranger(
    services: Use, caller: Annotated[Caller, Depends(only(*OURS))], stranger: StrangerId, said: StrangersDismissal
) -> dict[str, str]:
    try:
        services.strangers.dismiss(stranger, plan=said.plan, by=caller.by, reason=said.reason)
    except UnknownStranger:
        raise _no_stranger() from None
    return {"stranger": stranger}


def _no_stranger() -> Problem:
    return Problem(404, "unknown_stranger", "Nobody of this id is a candidate now; the list shows who is.", "stranger")


@routes.get("/ways-in", summary="From where members come: episodes and enrolments by source")
def ways_in(
    services: Use,
    caller: Annotated[Caller, Depends(only(*READERS))],
    since: Annotated[datetime | None, Query(description="Episodes that began since then")] = None,
    plan: Annotated[str | None, Query(description="Of this health plan")] = None,
) -> list[WayIn]:
    return list(services.queries.ways_in(since=since, plan=plan))


def _receipt(taken: Taken, *, staff: bool) -> ReferralReceipt:
    state = "refused" if taken.status is Status.DEAD else "repeated" if taken.repeated else "received"
    kept = ReferralReceipt(inbox_id=taken.inbox_id, state=state, problems=[_fault(p) for p in taken.problems])
    if not staff:
        return kept
    return kept.model_copy(
        update={
            "referral": taken.referral or None, "status": taken.status.value, "reason": taken.reason or None,
            "member": taken.member, "episode": taken.episode, "answer_due_at": taken.answer_due_at,
        }
    )  # fmt: skip


def _fault(problem: RowProblem) -> RowFault:
    return RowFault(row=problem.row, field=problem.field, reason=problem.reason, remedy=problem.remedy)
