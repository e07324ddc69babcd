"""What comes back from the provider by a signed webhook: delivered, bounced, answered, STOP, START. As commands, not sentences.

`receive_feedback` is a plain function: the API mounts it, commits the commands through the gateway and answers 2xx only then. The
provider may send the same report again: its id makes the command's id, so twice is once.

    POST {"id": "...", "event": "delivered", "at": "2026-11-22T14:00:00Z", "context": {...as we sent it...}, "code": "..."}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from activities.channels.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, is_recent, is_signed
from domain.core import Command, Instant
from domain.member.decider import MarkContactPoint, OptIn, OptOut
from domain.member.facts import Channel
from domain.outreach.decider import RecordContact
from domain.requests import KeepRequest, MessageBounced, MessageDelivered

SOURCE = "source:message-provider"
REPORTS = UUID("0b1f6f0e-2f0b-4f5e-9a58-6a7a2f1f8c11")
"""The name space of command ids made from the provider's report ids."""

BODY_BYTES_MAX = 16 * 1024
EVENTS = ("delivered", "bounced", "answered", "stop", "start")
STREAM = re.compile(r"[a-z]{1,20}-[0-9a-f-]{36}")
CODE = re.compile(r"[a-z0-9_]{1,40}")
REQUEST_CHARACTERS_MAX = 300

HOW = "message"


class BadFeedback(Exception):
    """Not to be believed, or not to be understood. `status` is the HTTP answer; the text names field and remedy, and no value."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Order:
    """A command to carry out under an id that is the same each time that the report comes."""

    command: Command
    command_id: UUID


def receive_feedback(body: bytes, headers: Mapping[str, str], secret: bytes, now: Instant) -> tuple[Order, ...]:
    """The commands that a report amounts to. Raises BadFeedback: 401 unsigned or too old, 413 too large, 422 not understood."""
    _check_signature(body, headers, secret, now)
    said = _report(body)
    event = said.get("event")
    if event not in EVENTS:
        raise BadFeedback(422, f"event: must be one of {', '.join(EVENTS)}")
    report_id = said.get("id")
    if not isinstance(report_id, str) or not 0 < len(report_id) <= 200:
        raise BadFeedback(422, "id: must be a text of 1 to 200 characters, the same when the report is repeated")
    at = _instant(said.get("at"), now)
    context = said.get("context")
    if not isinstance(context, dict):
        raise BadFeedback(422, "context: must be the object that came with the message")
    commands = _commands(event, context, at, _code(said.get("code")))
    return tuple(Order(command, uuid5(REPORTS, f"{report_id}/{n}")) for n, command in enumerate(commands))


def _commands(event: str, context: Mapping[str, Any], at: Instant, code: str) -> tuple[Command, ...]:
    if event in ("delivered", "bounced"):
        return _about_request(event, context, at, code)
    if event == "answered":
        return (_answer(context, at),)
    member, channel = _stream(context, "recipient", "member"), _channel(context)
    if event == "stop":
        return (OptOut(stream=member, by=SOURCE, occurred_at=at, channel=channel, how=HOW),)
    return (OptIn(stream=member, by=SOURCE, occurred_at=at, channel=channel, how=HOW),)


def _about_request(event: str, context: Mapping[str, Any], at: Instant, code: str) -> tuple[Command, ...]:
    process, key = _stream(context, "process"), context.get("request")
    if not isinstance(key, str) or not 0 < len(key) <= REQUEST_CHARACTERS_MAX:
        raise BadFeedback(422, "context.request: must be the request that came with the message")
    if event == "delivered":
        return (KeepRequest(stream=process, by=SOURCE, occurred_at=at, fact=MessageDelivered(key=key)),)
    bounced = KeepRequest(stream=process, by=SOURCE, occurred_at=at, fact=MessageBounced(key=key, code=code or "bounced"))
    point, recipient = context.get("point"), context.get("recipient")
    if not isinstance(point, str) or not point or not str(recipient).startswith("member-"):
        return (bounced,)
    member = _stream(context, "recipient", "member")
    return (bounced, MarkContactPoint(stream=member, by=SOURCE, occurred_at=at, point=point, good=False, reason="bounced"))


def _answer(context: Mapping[str, Any], at: Instant) -> Command:
    """The member wrote or called back: a two-way contact on the outreach that the message belonged to."""
    process = _stream(context, "process", "outreach")
    return RecordContact(stream=process, by=SOURCE, occurred_at=at, channel=_channel(context), initiated_by="member")


def _check_signature(body: bytes, headers: Mapping[str, str], secret: bytes, now: Instant) -> None:
    if len(body) > BODY_BYTES_MAX:
        raise BadFeedback(413, f"body: at most {BODY_BYTES_MAX} bytes")
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signed = given.get(TIMESTAMP_HEADER.lower(), ""), given.get(SIGNATURE_HEADER.lower(), "")
    if not timestamp or not signed:
        raise BadFeedback(401, f"{TIMESTAMP_HEADER}, {SIGNATURE_HEADER}: both headers are needed")
    if not is_signed(secret, timestamp, signed, body):
        raise BadFeedback(401, f"{SIGNATURE_HEADER}: does not fit the body; sign `<timestamp>.<body>` with the shared secret")
    if not is_recent(timestamp, now):
        raise BadFeedback(401, f"{TIMESTAMP_HEADER}: lies too far from now; sign each sending anew")


def _report(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        raise BadFeedback(422, "body: must be JSON") from None
    if not isinstance(said, dict):
        raise BadFeedback(422, "body: must be a JSON object")
    return said


def _instant(said: Any, now: Instant) -> Instant:
    if said is None:
        return now
    try:
        at = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        raise BadFeedback(422, "at: must be an instant such as 2026-11-22T14:00:00Z") from None
    if at.tzinfo is None:
        raise BadFeedback(422, "at: must name its time zone, such as Z")
    return min(at.astimezone(UTC), now)


def _stream(context: Mapping[str, Any], field: str, kind: str = "") -> str:
    value = context.get(field)
    if not isinstance(value, str) or not STREAM.fullmatch(value) or (kind and not value.startswith(f"{kind}-")):
        raise BadFeedback(422, f"context.{field}: must be the id that came with the message")
    return value


def _channel(context: Mapping[str, Any]) -> Channel:
    try:
        return Channel(str(context.get("channel")))
    except ValueError:
        raise BadFeedback(422, "context.channel: must be the channel that came with the message") from None


def _code(said: Any) -> str:
    return said if isinstance(said, str) and CODE.fullmatch(said) else ""
