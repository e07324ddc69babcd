"""Every error of the API as application/problem+json (RFC 9457): what was wrong, in which field, and what to do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from domain.core import Refusal
from eventlog.gateway import Conflict
from eventlog.recorder import LogAway
from intake.files.profiles import PlanUnknown
from intake.reading.faults import InputFault, fault_of
from intake.store.inbox import CannotStore
from projections.answers import BadFilter, NotReady, QueryAway

TYPE_PREFIX = "urn:throughline:problem:"
MEDIA_TYPE = "application/problem+json"
FHIR_PATH, FHIR_MEDIA_TYPE = "/v1/fhir/", "application/fhir+json"
ISSUE_TYPES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict", 413: "too-long",
    415: "not-supported", 422: "invalid", 429: "throttled", 500: "exception", 503: "transient",
}  # fmt: skip
"""OperationOutcome's code for each status."""
FAULTS_MAX = 20

RULED_OUT = frozenset({
    "episode_open", "episode_closed", "declined_before", "cin_taken", "version_taken", "has_a_lead", "no_lead", "not_proposed",
    "command-id-reused", "erased",
})  # fmt: skip
"""Refusals for what stands already, not for what was sent: 409."""

_log = structlog.get_logger()
_FIELD = re.compile(r"([a-z_][a-z0-9_.\[\]]*): (.+)", re.S)


@dataclass(eq=False)
class Problem(Exception):
    """An answer that is an error. `detail` names no person. `as_outcome`: an OperationOutcome wherever it is, because only a FHIR
    client can have asked."""

    status: int
    code: str
    detail: str
    field: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    as_outcome: bool = False


class Unread(HTTPException):
    """The reading of a request was broken off. The framework lets exceptions of its own pass, and takes others for faulty JSON."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status)
        self.problem = problem


def of_refusal(refusal: Refusal, *, said: frozenset[str] = frozenset()) -> Problem:
    """A refusal: 403 where the actor may not, 404 where the stream is nobody's, 422 where a field that was sent (`said`) is at
    fault, else 409."""
    found = _FIELD.fullmatch(refusal.because)
    where, detail = (found[1], found[2]) if found else ("", refusal.because)
    if refusal.code in ("not_authorised", "actor_unknown"):
        status = 403
    elif refusal.code in RULED_OUT:
        status = 409
    elif where == "stream":
        status = 404
    else:
        status = 422 if where in said or refusal.code.endswith("faulty") else 409
    return Problem(status, refusal.code, detail, where)


def of_validation(errors: Sequence[Mapping[str, Any]], content_type: str) -> Problem:
    """What the models found wrong with a request: 400 where its body is no JSON, 415 where it does not say that it is, else 422
    with every fault. `field` and `detail` are of the first one."""
    if any(error["type"] == "json_invalid" for error in errors):
        at = next(error["loc"][-1] for error in errors if error["type"] == "json_invalid")
        return Problem(400, "invalid", f"The body is no JSON from character {at} on; send one JSON object in UTF-8.", "body")
    if not _says_json(content_type) and any(_is_whole_body(error) and error["type"] != "missing" for error in errors):
        return Problem(
            415, "media_type", "The body is not said to be JSON; send it with Content-Type: application/json.", "Content-Type"
        )
    faults = [(str(error["loc"][0]), _fault(error)) for error in errors[:FAULTS_MAX]]
    told = [{"in": where, "field": f.field, "fault": f.fault, "remedy": f.remedy} for where, f in faults]
    first = faults[0][1]
    named = _CALLED.get(faults[0][0], "")
    return Problem(422, "invalid", f"{named}{first.field} {first.fault}; {first.remedy}.", first.field, {"faults": told})


_CALLED = {"query": "The query's ", "path": "The address's ", "header": "The header ", "body": ""}
_HEADERS_MISSING = {
    "Idempotency-Key": "send an id of your own for this request, such as a UUID: the same one again gives the first result",
}
"""What to send where a header is missing."""


def _fault(error: Mapping[str, Any]) -> InputFault:
    found = fault_of(error, skip=1)
    if _is_whole_body(error):
        return dataclasses.replace(found, field="body", remedy="send one JSON object")
    if error["type"] == "missing" and found.field in _HEADERS_MISSING:
        return dataclasses.replace(found, remedy=_HEADERS_MISSING[found.field])
    return found


def _is_whole_body(error: Mapping[str, Any]) -> bool:
    return tuple(error["loc"]) == ("body",)


def _says_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def of_conflict(conflict: Conflict) -> Problem:
    return Problem(
        412,
        "version_moved",
        "The stream has moved on since you read it. Read it again, look whether your command is still right, send it anew.",
        "If-Match",
        {"stream": conflict.stream, "expected": conflict.expected, "actual": conflict.actual},
        {"ETag": f'"{conflict.actual}"'},
    )


def answer(problem: Problem, path: str = "") -> JSONResponse:
    """The problem as its caller reads such things: below /v1/fhir/ as an OperationOutcome. `path` is what was asked for."""
    if problem.as_outcome or path.startswith(FHIR_PATH):
        return _outcome(problem)
    body: dict[str, Any] = {
        "type": f"{TYPE_PREFIX}{problem.code.replace('_', '-')}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.field:
        body["field"] = problem.field
    body |= problem.more
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        body["trace_id"] = f"{context.trace_id:032x}"
    return JSONResponse(body, problem.status, dict(problem.headers), MEDIA_TYPE)


def _outcome(problem: Problem) -> JSONResponse:
    issue: dict[str, Any] = {
        "severity": "error",
        "code": ISSUE_TYPES.get(problem.status, "processing"),
        "diagnostics": problem.detail,
    }
    if problem.field:
        issue["expression"] = [problem.field]
    said = {"resourceType": "OperationOutcome", "issue": [issue]}
    return JSONResponse(said, problem.status, dict(problem.headers), FHIR_MEDIA_TYPE)


_PROBLEM = {
    "title": "Problem",
    "type": "object",
    "description": "What went wrong, in which field, and what to do. It names no person.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "For programs"},
        "detail": {"type": "string", "description": "For people: what is wrong and what to send instead"},
        "field": {"type": "string", "description": "Such as person.birth_date or goals[0].text"},
        "faults": {
            "type": "array",
            "description": f"Every fault of a request with the code `invalid`, at most {FAULTS_MAX}",
            "items": {
                "type": "object",
                "properties": {
                    "in": {"type": "string", "enum": ["body", "query", "path", "header"]},
                    "field": {"type": "string"},
                    "fault": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
        },
        "trace_id": {"type": "string", "description": "Finds the request in our log"},
    },
    "examples": [
        {
            "type": "urn:throughline:problem:invalid", "title": "Unprocessable Entity", "status": 422, "code": "invalid",
            "detail": "person.birth_date is no day; write it as 2026-11-20.", "field": "person.birth_date",
            "faults": [
                {"in": "body", "field": "person.birth_date", "fault": "is no day", "remedy": "write it as 2026-11-20"},
            ],
        },
    ],
}  # fmt: skip
_OF_THE_FRAMEWORK = ("HTTPValidationError", "ValidationError")


def described(made: dict[str, Any]) -> dict[str, Any]:
    """The description of the API with our errors in place of the framework's."""
    schemas = made["components"]["schemas"]
    for name in _OF_THE_FRAMEWORK:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    ours = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in made["paths"].items():
        for operation in operations.values():
            for status, told in operation.get("responses", {}).items():
                if status == "422" and told.get("description") == "Validation Error":
                    told["description"] = "A field is wrong"
                    told["content"] = {FHIR_MEDIA_TYPE: {}} if path.startswith(FHIR_PATH) else ours
                elif MEDIA_TYPE in told.get("content", {}):
                    told["content"] = ours
    return made


def install(app: FastAPI) -> None:
    """Every way in which a request can go wrong ends in `answer`."""

    @app.exception_handler(Problem)
    def own(request: Request, error: Problem) -> Response:
        return answer(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(of_validation(error.errors(), request.headers.get("content-type", "")), request.url.path)

    @app.exception_handler(HTTPException)
    def of_framework(request: Request, error: HTTPException) -> Response:
        if isinstance(error, Unread):
            return answer(error.problem, request.url.path)
        known = {
            400: ("invalid", "The body could not be read; send one JSON object in UTF-8."),
            404: ("unknown_address", "There is nothing here; /v1/openapi.json lists what there is."),
            405: ("method_not_allowed", "The address exists, but not for this method; see /v1/openapi.json."),
        }
        code, detail = known.get(error.status_code, ("request_refused", "The request was refused."))
        return answer(Problem(error.status_code, code, detail, headers=error.headers or {}), request.url.path)

    @app.exception_handler(PlanUnknown)
    def no_such_plan(request: Request, error: PlanUnknown) -> Response:
        return answer(of_refusal(error.refusal, said=frozenset({"plan"})), request.url.path)

    @app.exception_handler(BadFilter)
    def wrong_filter(request: Request, error: BadFilter) -> Response:
        return answer(Problem(422, "filter_faulty", f"{error.field}: {error.because}.", error.field), request.url.path)

    def away(request: Request, error: Exception) -> Response:
        return answer(unavailable("database"), request.url.path)

    for kind in (LogAway, QueryAway, NotReady, PoolTimeout, CannotStore, psycopg.OperationalError):
        app.add_exception_handler(kind, away)


def unavailable(dependency: str) -> Problem:
    return Problem(
        503, f"{dependency}_away", f"The {dependency} does not answer just now; nothing was recorded. Send it again.",
        headers={"Retry-After": "5"},
    )  # fmt: skip


def unexpected(error: Exception) -> Problem:
    """A defect of ours: its class goes to the log, nothing of it to the caller."""
    _log.error("request failed", exc_info=error)
    return Problem(500, "defect", "Something went wrong on our side; it was logged. The trace_id finds it.")
