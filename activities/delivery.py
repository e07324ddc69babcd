"""Carrying out one request: begun, sent once, outcome (design.md 4, `deliver`). Whether it may be sent is the plan's word."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import assert_never

import structlog

from activities.addressing import Addressing
from activities.channels.port import Channel, Failed, Outgoing, Sent, Told, Unsure
from activities.codes import Coded
from activities.rounds import Look, Rounds, command_id
from domain.core import SYSTEM, Instant, ProcessRef
from domain.requests import (
    DeliveryBegun,
    DeliveryOutcomeUnknown,
    KeepRequest,
    MessageFailed,
    MessageSent,
    Request,
    RequestFact,
    RequestState,
)
from eventlog import killpoints
from eventlog.gateway import Accepted, Conflict, Gateway

_log = structlog.get_logger("throughline.delivery")

LOOKS_MAX = 3
"""How often the plan is asked again because a stream that it read had moved before the beginning was written."""


class Move(Enum):
    """What is to be done about a request now."""

    BEGIN = auto()
    RESEND = auto()
    GIVE_UP = auto()
    LEAVE = auto()


def next_move(request: Request | None, listed: bool, now: Instant, unsure_after: timedelta, idempotent: bool) -> Move:
    """Begin what is listed. What was begun long ago and has no outcome is sent again where twice is once, else given up."""
    if request is None or not listed:
        return Move.LEAVE
    if request.state is RequestState.REQUESTED:
        return Move.BEGIN
    if request.state is not RequestState.BEGUN or now - request.changed_at < unsure_after:
        return Move.LEAVE
    return Move.RESEND if idempotent else Move.GIVE_UP


class Delivery:
    """Delivers requests through their channels. Thread-safe."""

    def __init__(self, gateway: Gateway, rounds: Rounds, addressing: Addressing, channels: Mapping[str, Channel]) -> None:
        self._gateway = gateway
        self._rounds = rounds
        self._addressing = addressing
        self._channels = channels

    def deliver(self, process: ProcessRef, key: str, now: Instant, unsure_after: timedelta) -> bool:
        """Bring one request to an outcome. Whether anything was written: False where it is no longer listed, or where another
        attempt at it may still be running."""
        for _ in range(LOOKS_MAX):
            look = self._rounds.look(process, now)
            request = look.loaded.state.requests.by_key.get(key)
            listed = any(effect.key == key for effect in look.plan.effects)
            idempotent = request is not None and request.asked.kind in self._channels and self._channel(request).idempotent
            match next_move(request, listed, look.now, unsure_after, idempotent):
                case Move.LEAVE:
                    return False
                case Move.GIVE_UP:
                    return self._record(process, DeliveryOutcomeUnknown(key=key), look.now)
                case Move.BEGIN if not self._begun(look, key):
                    continue
                case Move.BEGIN | Move.RESEND:
                    assert request is not None
                    return self._record(process, self._sent(process, request, look.now), look.now)
                case never:
                    assert_never(never)
        return False

    def _begun(self, look: Look, key: str) -> bool:
        """Write that it begins, if everything that the plan read is still as it was."""
        process = look.loaded.ref
        outcome = self._gateway.append_facts(
            process.stream,
            (DeliveryBegun(key=key),),
            command_id=command_id(process, f"begun/{key}"),
            by=SYSTEM,
            versions=look.loaded.versions,
            occurred_at=look.now,
            causation=key,
            correlation=process.stream,
            now=look.now,
        )
        match outcome:
            case Accepted(repeated=repeated):
                return not repeated
            case Conflict():
                return False
            case _:
                raise Coded("delivery_refused")

    def _sent(self, process: ProcessRef, request: Request, now: Instant) -> RequestFact:
        key = request.asked.key
        message = self._addressing.outgoing(process, request.asked, str(command_id(process, f"send/{key}")), now)
        killpoints.passing(killpoints.BEGUN_SEND)
        told = self._told(request, message)
        killpoints.passing(killpoints.SEND_OUTCOME)
        match told:
            case Sent(reference=reference):
                return MessageSent(key=key, reference=reference)
            case Failed(permanent=permanent, code=code):
                return MessageFailed(key=key, permanent=permanent, code=code)
            case Unsure():
                return DeliveryOutcomeUnknown(key=key)
            case _:
                assert_never(told)

    def _told(self, request: Request, message: Outgoing | Failed) -> Told:
        if isinstance(message, Failed):
            return message
        if request.asked.kind not in self._channels:
            return Failed(True, "no_channel")
        try:
            return self._channel(request).send(message)
        except Exception as error:  # a defect of a sender: whether the message left before it, nobody can say
            _log.error("sender failed", process=message.process, channel=message.kind, error=type(error).__name__)
            return Unsure()

    def _channel(self, request: Request) -> Channel:
        return self._channels[request.asked.kind]

    def _record(self, process: ProcessRef, fact: RequestFact, now: Instant) -> bool:
        command = KeepRequest(stream=process.stream, by=SYSTEM, occurred_at=now, fact=fact)
        name = f"{type(fact).__name__}/{fact.key}"
        outcome = self._gateway.handle(
            command, command_id=command_id(process, name), causation=fact.key, correlation=process.stream, now=now
        )
        if not isinstance(outcome, Accepted):
            raise Coded("outcome_not_recorded")
        return True
