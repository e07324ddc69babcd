"""What stands before every request: size limit, headers, the span, the log line, the bearer token."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qsl

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import docs
from api.problems import FHIR_PATH, Problem, Unread, answer, unexpected
from api.services import Services
from api.tokens import Caller, caller_of
from domain.staff.facts import Role
from eventlog.traces import context_of
from intake.senders.clients import allows

BODY_BYTES_MAX = 256 * 1024
BODY_BYTES_MAX_AT = {
    "/v1/hl7": 16 * 1024 * 1024,
    "/v1/fhir/$process-message": 16 * 1024 * 1024,
    "/v1/fhir/subscription-notifications": 16 * 1024 * 1024,
    "/v1/member-files": 64 * 1024 * 1024,
    "/v1/files": 64 * 1024 * 1024,
    "/v1/files/previews": 64 * 1024 * 1024,
    "/v1/referral-files": 64 * 1024 * 1024,
    "/v1/fhir/ServiceRequest": 1024 * 1024,
}
"""Where more than a command is sent."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
LOOKED_BACK_BYTES = 16
"""How much of a body's last piece is looked at again with the next one."""
QUIET = ("/livez", "/readyz")

_log = structlog.get_logger()
_tracer = trace.get_tracer("throughline.api")
_bearer = HTTPBearer(auto_error=False, description="A token of `throughline token create`")


class Doorway:
    """ASGI middleware, the outermost: nothing that happens inside leaves without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"].isalpha() else "OTHER"
        parent = context_of(headers.get("traceparent"))
        began, told = time.perf_counter(), _Told()
        with _tracer.start_as_current_span(
            f"{method} request", context=parent, kind=SpanKind.SERVER, attributes={"http.request.method": method},
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                await self._guarded(scope, headers, receive, _adorned(send, scope["path"], told))
            finally:
                route = _route(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", told.status)
                if told.status >= 500:
                    span.set_status(StatusCode.ERROR)
                if scope["path"] not in QUIET:
                    spent = round((time.perf_counter() - began) * 1000, 1)
                    _log.info("request", method=method.lower(), route=route, http_status=told.status, duration_ms=spent)

    async def _guarded(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        limit = BODY_BYTES_MAX_AT.get(scope["path"], BODY_BYTES_MAX)
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > limit:
            await answer(_too_large(limit), scope["path"])(scope, receive, send)
            return
        if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            await answer(_unspeakable(scope["query_string"]), scope["path"])(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, _limited(receive, limit, json=_is_read_by_a_model(scope["path"], headers)), sending)
        except Unread as unread:
            if not started:
                await answer(unread.problem, scope["path"])(scope, receive, send)
        except Exception as error:
            problem = unexpected(error)
            if not started:
                await answer(problem, scope["path"])(scope, receive, send)


_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_UNSPEAKABLE = Problem(422, "invalid", "The request holds the character NUL, which no text has; leave it out.")


def _unspeakable(query: bytes) -> Problem:
    """What is wrong with an address that holds a NUL: of which of its parameters, where it is one's."""
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return replace(_UNSPEAKABLE, field=next((name for name, value in asked if "\x00" in value and "\x00" not in name), ""))


class _Told:
    status = 0


def _route(scope: Scope) -> str:
    """The address as it is declared, without what it was asked for."""
    path = getattr(scope.get("route"), "path", "") or "unknown"
    prefix = "/v1" if scope["path"].startswith("/v1/") and not path.startswith("/v1") else ""
    return f"{prefix}{path}" if path.startswith("/") else path


def _is_read_by_a_model(path: str, headers: Headers) -> bool:
    """Whether a body is JSON for our own models. What hospitals send as FHIR is kept whatever it is, and read with care."""
    return "json" in headers.get("content-type", "") and not path.startswith(FHIR_PATH)


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body may have at most {limit} bytes here; send less, or send it in parts.")


def _limited(receive: Receive, limit: int, *, json: bool) -> Receive:
    """What is received, as long as it is not too much, and no text of a JSON body has a NUL: the database has no such texts, and
    what was recorded with one could not be read into any table."""
    seen, last = 0, b""

    async def receiving() -> Message:
        nonlocal seen, last
        message = await receive()
        body = message.get("body", b"")
        seen += len(body)
        if seen > limit:
            raise Unread(_too_large(limit))
        if json and _NUL_IN_JSON.search(last + body):
            raise Unread(_UNSPEAKABLE)
        last = body[-LOOKED_BACK_BYTES:]
        return message

    return receiving


def _adorned(send: Send, path: str, told: _Told) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            told.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                if name not in headers:
                    headers[name] = value
            if path.startswith(docs.DOCS):
                headers["Content-Security-Policy"] = docs.POLICY
            context = trace.get_current_span().get_span_context()
            if context.is_valid:
                headers["Trace-Id"] = f"{context.trace_id:032x}"
        await send(message)

    return sending


def services_of(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Use = Annotated[Services, Depends(services_of)]


def somebody(services: Use, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Whoever the token names. 401 where it names nobody: one that never was and one that is over are answered alike."""
    if credentials is None:
        raise Problem(
            401, "token_needed", "Send Authorization: Bearer <token>; `throughline token create` makes one.",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )  # fmt: skip
    caller = caller_of(services.pool, credentials.credentials, services.clock.now())
    if caller is None:
        raise Problem(
            401, "token_unknown", "This token is not known, or it is over. See whether it is whole; else ask for another.",
            headers={"WWW-Authenticate": 'Bearer realm="throughline", error="invalid_token"'},
        )  # fmt: skip
    return caller


def only(*roles: Role, scopes: tuple[str, ...] = ()) -> Callable[..., Caller]:
    """A dependency: a caller in one of the roles. 403 for everybody else. `scopes`: one of these is what a backend service's token
    needs; without any such a token has no business here."""
    wanted = " or ".join(role.value for role in roles)

    def allowed(caller: Annotated[Caller, Depends(somebody)]) -> Caller:
        if caller.role not in roles:
            raise Problem(403, "role_missing", f"This needs a token of the role {wanted}; yours is {caller.role.value}.")
        if caller.scopes is not None and not any(allows(caller.scopes, scope) for scope in scopes):
            needs = f"needs the scope {' or '.join(scopes)}; ask for it with the token" if scopes else "is for no backend service"
            challenge = f'Bearer realm="throughline", error="insufficient_scope", scope="{" ".join(scopes)}"'
            raise Problem(403, "scope_missing", f"This {needs}.", headers={"WWW-Authenticate": challenge}, as_outcome=True)
        return caller

    return allowed
