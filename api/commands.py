"""Commands over HTTP and from the command line: one mapping from what was sent to the domain's command, through the allow-list.

The body's model is made from the command's dataclass, so a field that the domain gains is a field here; actor, stream and message
come from elsewhere and cannot be sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from uuid import UUID, uuid5

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, create_model

from api.offering import Given, Offer, is_mapping, part_of, plain
from domain.core import Command, Refusal, StreamId
from domain.member.decider import LearnContactPoint, RegisterMember
from domain.member.identity import ForgetFormerCin, LearnFormerCin, ReplaceCin, WithdrawCinReplacement
from eventlog.gateway import Gateway, Outcome
from intake.people.identity import IdentityKeys
from intake.people.identity_desk import ask_instead
from intake.reading.identifiers import CinProblem, cin_of

TEXT_MAX = 4_000
ITEMS_MAX = 300
"""Of one list, such as the answers of one sitting."""

NAME_MAX = 200

_OF_A_CIN = (ReplaceCin, WithdrawCinReplacement, LearnFormerCin, ForgetFormerCin)
"""Commands that name a CIN besides the one under which somebody is registered."""

KEY_MAX = 200
COMMAND_IDS = UUID("8f4a0f3c-7a52-4d0f-9d35-6a1d2c9be6f0")
"""The name space of command ids; never to be changed, or a repeated request would be carried out again."""

YEAR_MIN, YEAR_MAX = 1900, 2199


def _within_calendars(said: date) -> date:
    if not YEAR_MIN <= said.year <= YEAR_MAX:
        raise ValueError(f"is off by centuries; its year lies between {YEAR_MIN} and {YEAR_MAX}")
    return said


Day = Annotated[date, AfterValidator(_within_calendars)]
Instant = Annotated[AwareDatetime, AfterValidator(_within_calendars)]
MemberId = Annotated[str, Field(pattern=r"^member-[0-9A-Za-z-]{1,64}$")]

_STRICT = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Sent(BaseModel):
    """What every command may say besides its own fields."""

    model_config = _STRICT

    occurred_at: Instant | None = Field(None, description="When it happened, with its zone; left out: now")
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
    kind = _sent_type(given.type)
    if plain(given.type) is datetime and not given.required:
        kind = Instant | None
    if given.name == "member":
        kind = MemberId if given.required else MemberId | None
    about = f"One of: {', '.join(given.takes)}" if given.takes else None
    return kind, Field(... if given.required else given.default, description=about)


def _sent_type(hint: Any) -> Any:
    """A field's type as it may be sent: texts, lists and objects of limited length, instants with a zone, parts without surplus."""
    kind, optional = plain(hint), hint is not plain(hint)
    if kind is str:
        kind = Annotated[str, Field(max_length=TEXT_MAX)]
    elif kind is datetime:
        kind = Instant
    elif kind is date:
        kind = Day
    elif is_mapping(kind):
        value = _sent_type(get_args(kind)[1])
        kind = Annotated[dict[Annotated[str, Field(max_length=NAME_MAX)], value], Field(max_length=ITEMS_MAX)]  # type: ignore[valid-type]
    elif (part := part_of(kind)) is not None:
        kind = Annotated[tuple[_part_model(part), ...], Field(max_length=ITEMS_MAX)]  # type: ignore[misc]
    elif get_origin(kind) is tuple:
        kind = Annotated[tuple[_sent_type(get_args(kind)[0]), ...], Field(max_length=ITEMS_MAX)]  # type: ignore[misc]
    return kind | None if optional else kind


@cache
def _part_model(part: type) -> type[BaseModel]:
    """The model of a part of a command, such as a goal of a care plan: what it does not know is refused, never passed over."""
    hints = get_type_hints(part)
    made: dict[str, Any] = {
        f.name: (_sent_type(hints[f.name]), ... if f.default is MISSING else f.default) for f in fields(part)
    }  # fmt: skip
    return create_model(part.__name__, __config__=_STRICT, __doc__=(part.__doc__ or "").replace("`", ""), **made)


def _meant(given: Given, value: Any) -> Any:
    """What was sent as the command takes it."""
    part = part_of(given.type)
    if part is None or value is None:
        return value
    return tuple(part(**{f.name: getattr(each, f.name) for f in fields(part)}) for each in value)


def command_id_of(key: str, subject: str) -> UUID:
    """The command id of an idempotency key: the same key of the same sender is the same command."""
    return uuid5(uuid5(COMMAND_IDS, subject), key)


def prepare(
    offer: Offer, said: Sent, *, stream: StreamId | None, by: str, command_id: UUID, identity: IdentityKeys
) -> Prepared | Refusal:
    """The command that was sent. A refusal where its identifiers cannot be used."""
    values = {given.name: _meant(given, getattr(said, given.name)) for given in offer.given}
    values["occurred_at"] = said.occurred_at
    if offer.paired is not None:
        first, second = offer.paired
        values |= {first: tuple(values[second]), second: tuple(values[second].values())}
    if offer.founds:
        stream = f"{offer.stream}-{uuid5(command_id, 'stream')}"
    assert stream is not None and stream.partition("-")[0] == offer.stream, offer.verb
    if offer.command is RegisterMember:
        cin = cin_of(values["cin"] or "")
        if isinstance(cin, CinProblem):
            return Refusal("cin_faulty", f"cin: {cin.because}")
        stream = identity.member(cin)
        values |= {"cin": cin, "cin_claim": identity.cin_claim(cin)}
    if offer.command in _OF_A_CIN:
        cin = cin_of(values["cin"] or "")
        if isinstance(cin, CinProblem):
            return Refusal("cin_faulty", f"cin: {cin.because}")
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
    outcome = gateway.handle(prepared.command, command_id=command_id, expected_version=expected, trace=trace)
    return ask_instead(gateway, prepared.command, command_id, outcome)


def as_model(offer: Offer, values: Mapping[str, Any]) -> Sent:
    """The body from loose values, as the command line has them. Raises pydantic.ValidationError."""
    return model_of(offer).model_validate(dict(values))


def plan_of(text: str) -> str | None:
    """The plan that a policy file names; None where it names none."""
    found = re.search(r'^plan\s*=\s*"([a-z0-9][a-z0-9-]{0,62})"', text, re.MULTILINE)
    return found[1] if found else None
