"""Commands over HTTP and from the command line: one mapping from what was sent to the domain's command, through the allow-list.

The body's model is made from the command's dataclass, so a field that the domain gains is a field here; actor, stream and message
come from elsewhere and cannot be sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from api.offering import Given, Offer, plain
from domain.core import Command, Refusal, StreamId
from domain.member.decider import LearnContactPoint, RegisterMember
from eventlog.gateway import Gateway, Outcome
from intake.identifiers import CinProblem, cin_of
from intake.identity import IdentityKeys

TEXT_MAX = 4_000
ITEMS_MAX = 50

KEY_MAX = 200
COMMAND_IDS = UUID("8f4a0f3c-7a52-4d0f-9d35-6a1d2c9be6f0")
"""The name space of command ids; never to be changed, or a repeated request would be carried out again."""


class Sent(BaseModel):
    """What every command may say besides its own fields."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    occurred_at: AwareDatetime | None = Field(None, description="When it happened, with its zone; left out: now")
    expected_version: int | None = Field(
        None, ge=0, description="The stream's version that you have seen; instead of If-Match. Refused with 412 when it moved on"
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command, ready for the gateway."""

    command: Command
    expected_version: int | None


@cache
def model_of(offer: Offer) -> type[Sent]:
    """The model of an offer's body."""
    made: dict[str, Any] = {given.name: _field(given) for given in offer.given}
    model = create_model(offer.command.__name__, __base__=Sent, __doc__=offer.summary, **made)
    model.model_config["json_schema_extra"] = {"examples": [dict(offer.example)]}
    return model


def _field(given: Given) -> tuple[Any, Any]:
    kind = given.type
    if plain(kind) is str:
        kind = Annotated[kind, Field(max_length=TEXT_MAX)]
    elif plain(kind) is datetime:
        kind = AwareDatetime if given.required else AwareDatetime | None
    elif getattr(kind, "__origin__", None) is tuple:
        kind = Annotated[kind, Field(max_length=ITEMS_MAX)]
    return (kind, ...) if given.required else (kind, given.default)


def command_id_of(key: str, subject: str) -> UUID:
    """The command id of an idempotency key: the same key of the same sender is the same command."""
    return uuid5(uuid5(COMMAND_IDS, subject), key)


def prepare(
    offer: Offer, said: Sent, *, stream: StreamId | None, by: str, command_id: UUID, identity: IdentityKeys
) -> Prepared | Refusal:
    """The command that was sent. A refusal where its identifiers cannot be used."""
    values = {name: getattr(said, name) for name in type(said).model_fields if name != "expected_version"}
    if offer.founds:
        stream = f"{offer.stream}-{uuid5(command_id, 'stream')}"
    assert stream is not None and stream.partition("-")[0] == offer.stream, offer.verb
    if offer.command is RegisterMember:
        cin = cin_of(values["cin"] or "")
        if isinstance(cin, CinProblem):
            return Refusal("cin_faulty", f"cin: {cin.because}")
        stream = identity.member(cin)
        values |= {"cin": cin, "cin_claim": identity.cin_claim(cin)}
    if offer.command is LearnContactPoint:
        if not values["value"]:
            return Refusal("value_missing", "value: say the number or the address")
        values["point"] = identity.contact_point(stream, values["kind"].value, values["value"])
    return Prepared(offer.command(stream=stream, by=by, **values), said.expected_version)


def carry_out(
    gateway: Gateway, prepared: Prepared, *, command_id: UUID, expected_version: int | None = None, trace: str | None = None
) -> Outcome:
    """Hand the command to the only writer. Raises LogAway."""
    expected = prepared.expected_version if expected_version is None else expected_version
    return gateway.handle(prepared.command, command_id=command_id, expected_version=expected, trace=trace)


def as_model(offer: Offer, values: Mapping[str, Any]) -> Sent:
    """The body from loose values, as the command line has them. Raises pydantic.ValidationError."""
    return model_of(offer).model_validate(dict(values))


def plan_of(text: str) -> str | None:
    """The plan that a policy file names; None where it names none."""
    found = re.search(r'^plan\s*=\s*"([a-z0-9][a-z0-9-]{0,62})"', text, re.MULTILINE)
    return found[1] if found else None
