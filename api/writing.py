"""The writing addresses, one for each offer, and the adoption of policies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.commands import KEY_MAX, Sent, carry_out, command_id_of, model_of, plan_of, prepare
from api.offering import KINDS, RUNNING, Offer
from api.offers import OFFERS
from api.problems import Problem, of_conflict, of_refusal
from api.security import Use, only
from api.tokens import Caller
from domain.adoption.decider import AdoptPolicy
from domain.core import Refusal
from eventlog.gateway import Accepted, Conflict, Outcome
from eventlog.traces import current_traceparent

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/problem+json": {}}}
    for status, description in (
        (401, "No valid token"), (403, "The token's role, or the person's, does not allow it"), (404, "There is no such stream"),
        (409, "Refused: the rules do not allow it as things stand"), (412, "The stream has moved on"), (422, "A field is wrong"),
    )
}  # fmt: skip

TAGS = {
    "members": "Members", "episodes": "Episodes", "outreach": "Outreach", "stays": "Stays by hand", "staff": "Staff",
    "transitions": "Transitional care", "follow-ups": "Follow-up",
}  # fmt: skip

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=KEY_MAX, examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"],
        description="Your own id of this request. The same key again gives the first result, and nothing happens twice.",
    ),
]  # fmt: skip
IfMatch = Annotated[str | None, Header(alias="If-Match", description="The stream's version that you have seen", examples=['"7"'])]


class FactOut(BaseModel):
    """A fact that was recorded."""

    event_id: str
    fact: str = Field(examples=["outreach.attempt-made"])
    stream: str
    version: int
    occurred_at: datetime
    recorded_at: datetime


class Done(BaseModel):
    """What a command led to. No facts: it was already so. `repeated`: carried out before, these are the facts of then."""

    stream: str
    version: int
    position: int
    repeated: bool
    facts: list[FactOut]


def routes() -> APIRouter:
    """One POST for each offer."""
    router = APIRouter()
    for offer in OFFERS:
        path = f"/{offer.resource}/{offer.noun}" if offer.founds else f"/{offer.resource}/{{stream}}/{offer.noun}"
        router.add_api_route(
            path, _endpoint(offer), methods=["POST"], response_model=Done, status_code=201 if offer.founds else 200,
            summary=offer.summary,
            tags=[offer.group or TAGS[offer.resource]], name=f"{offer.resource}_{offer.verb}".replace("-", "_"),
            description=offer.remark or None, responses=PROBLEMS,
        )  # fmt: skip
    router.add_api_route(
        "/policies", adopt, methods=["POST"], response_model=Done, status_code=201, tags=["Policies"], responses=PROBLEMS,
        summary="Adopt a policy file: its bytes become an event", openapi_extra=_TOML_BODY,
    )  # fmt: skip
    return router


def _endpoint(offer: Offer) -> Callable[..., Done]:
    model, kind = model_of(offer), KINDS[offer.resource]
    caller_type = Annotated[Caller, Depends(only(*offer.roles))]

    def found(services: Use, caller: Caller, said: Sent, response: Response, key: Key) -> Done:
        return _carry_out(services, offer, said, None, caller, key, None, response)

    def send(
        services: Use, caller: Caller, said: Sent, response: Response, key: Key, stream: str, if_match: IfMatch = None
    ) -> Done:
        return _carry_out(services, offer, said, stream, caller, key, if_match, response)

    chosen: Callable[..., Done] = found if offer.founds else send
    annotations: dict[str, Any] = {**chosen.__annotations__, "caller": caller_type, "said": model}
    annotations |= {"services": Use, "response": Response, "key": Key, "return": Done}
    if not offer.founds:
        annotations["if_match"] = IfMatch
        annotations["stream"] = Annotated[
            str, Path(pattern=rf"^{kind}-[0-9a-zA-Z-]{{1,64}}$", description=f"The id of the {kind} stream")
        ]
    chosen.__annotations__ = annotations
    return chosen


def _carry_out(
    services: Use, offer: Offer, said: Sent, stream: str | None, caller: Caller, key: str, if_match: str | None, response: Response
) -> Done:
    command_id = command_id_of(key, caller.by)
    prepared = prepare(offer, said, stream=stream, by=caller.by, command_id=command_id, identity=services.identity)
    if isinstance(prepared, Refusal):
        raise of_refusal(prepared, said=frozenset(type(said).model_fields))
    outcome = carry_out(
        services.gateway, prepared, command_id=command_id, expected_version=_version(if_match), trace=current_traceparent()
    )
    return done(services, outcome, response, said=frozenset(type(said).model_fields))


def done(services: Use, outcome: Outcome, response: Response, *, said: frozenset[str] = frozenset()) -> Done:
    """The answer to a command. Raises Problem for a refusal and for a conflict."""
    match outcome:
        case Accepted() as accepted:
            response.headers["ETag"] = f'"{accepted.version}"'
            name_of = services.gateway.log.codec.name_of
            return Done(
                stream=accepted.stream,
                version=accepted.version,
                position=accepted.position,
                repeated=accepted.repeated,
                facts=[
                    FactOut(
                        event_id=r.event_id, fact=name_of(r.fact), stream=r.stream, version=r.version, occurred_at=r.occurred_at,
                        recorded_at=r.recorded_at,
                    )
                    for r in accepted.facts
                ],
            )  # fmt: skip
        case Refusal() as refusal:
            raise of_refusal(refusal, said=said)
        case Conflict() as conflict:
            raise of_conflict(conflict)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'\s*(?:W/)?"?(\d{1,18})"?\s*', if_match)
    if found is None:
        raise Problem(422, "if_match_faulty", 'Write the version as the ETag showed it, such as "7".', "If-Match")
    return int(found[1])


_TOML_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/toml": {"schema": {"type": "string"}, "example": 'plan = "default"\nversion = "2026.2"\n…'}},
    }
}


async def adopt(
    request: Request, services: Use, caller: Annotated[Caller, Depends(only(*RUNNING))], response: Response, key: Key
) -> Done:
    """The file as it is. Refused with line and reason where it has a mistake, or names a version that was adopted otherwise."""
    return await run_in_threadpool(_adopt, services, caller, response, key, await request.body())


def _adopt(services: Use, caller: Caller, response: Response, key: str, body: bytes) -> Done:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(422, "policy_faulty", "The file is not UTF-8; save it as such.", "body") from None
    plan = plan_of(text)
    if plan is None:
        raise Problem(422, "policy_faulty", 'The file names no plan; begin with plan = "…".', "plan")
    command = AdoptPolicy(stream=f"policy-{plan}", by=caller.by, text=text, sha256=hashlib.sha256(body).hexdigest())
    outcome = services.gateway.handle(command, command_id=command_id_of(key, caller.by), trace=current_traceparent())
    return done(services, outcome, response)
