"""SMART backend services: a sender's own client gets a short-lived token for an assertion that it signed (messages.md 2.4).

Errors here are OAuth's (RFC 6749), because its clients read those.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api import tokens
from api.security import Use
from api.services import Services
from domain.staff.facts import Role
from intake.senders.clients import ALGORITHMS, NOTIFIES, SCOPES, NotBelieved, allows, believe, read_assertion

router = APIRouter(prefix="/fhir", tags=["Front door"])

TOKEN_LIFE = timedelta(minutes=5)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenAnswer(BaseModel):
    """A bearer token, its life in seconds, and what it may do."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int
    scope: str


@router.get("/.well-known/smart-configuration", summary="How a sender's backend gets in")
async def configuration(services: Use) -> dict[str, Any]:
    return {
        "token_endpoint": token_url(services),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": list(SCOPES),
        "capabilities": ["client-confidential-asymmetric"],
    }


REQUEST_EXAMPLE = {
    "grant_type": "client_credentials",
    "client_assertion_type": ASSERTION_TYPE,
    "client_assertion": "eyJhbGciOiJFUzM4NCJ9.e30.c2lnbmF0dXJl",
    "scope": NOTIFIES,
}


@router.post(
    "/token",
    summary="A short-lived token for a signed assertion (client_credentials, private_key_jwt)",
    response_model=TokenAnswer,
    responses={
        400: {"description": "The request is not one that we answer, or asks for a scope that is not registered"},
        401: {"description": "The assertion proves nothing: `error_description` says why"},
    },
    openapi_extra={"requestBody": {"content": {"application/x-www-form-urlencoded": {"example": REQUEST_EXAMPLE}}}},
)
def token(
    services: Use,
    grant_type: Annotated[str, Form()] = "",
    client_assertion_type: Annotated[str, Form()] = "",
    client_assertion: Annotated[str, Form()] = "",
    scope: Annotated[str, Form()] = "",
) -> Any:
    """Each assertion counts once, for five minutes at most; so does the token."""
    if grant_type != "client_credentials":
        return _refused(400, "unsupported_grant_type", "grant_type: send client_credentials")
    if client_assertion_type != ASSERTION_TYPE or not client_assertion:
        return _refused(400, "invalid_request", f"client_assertion_type: send {ASSERTION_TYPE}, and the client_assertion")
    now = services.clock.now()
    try:
        assertion = read_assertion(client_assertion)
        source = services.sources.of_client(assertion.client)
        believe(
            assertion, source.jwks if source is not None else (), audience=(token_url(services),), now=now,
            seen=lambda client, jti, until: tokens.presented_before(services.pool, client, jti, until, now),
        )  # fmt: skip
    except NotBelieved as why:
        return _refused(401, "invalid_client", why.said)
    assert source is not None, "nobody was believed"
    asked = tuple(dict.fromkeys(scope.split())) or source.scopes
    excess = [one for one in asked if not allows(source.scopes, one)]
    if excess:
        return _refused(400, "invalid_scope", f"scope: {' '.join(excess)} is not registered for this client")
    _, shown = tokens.mint(
        services.pool, role=Role.HOSPITAL, subject=f"source:{source.name}", now=now, life=TOKEN_LIFE, label="backend service",
        scopes=asked,
    )  # fmt: skip
    said = TokenAnswer(access_token=shown, expires_in=int(TOKEN_LIFE.total_seconds()), scope=" ".join(asked))
    return JSONResponse(said.model_dump(), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def token_url(services: Services) -> str:
    """The token endpoint's address as clients know it: what their assertions are for. It never comes from a request: whoever asks
    could name the address for which an assertion was made that they came by."""
    return f"{services.public_url.rstrip('/')}/v1/fhir/token"


def _refused(status: int, error: str, because: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": because}, status, {"Cache-Control": "no-store", "Pragma": "no-cache"})
