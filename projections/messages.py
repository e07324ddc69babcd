"""What was asked to be sent, and what became of it. No text and no address: only kinds, templates and codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.requests import (
    AlertAcknowledged,
    DeliveryBegun,
    DeliveryOutcomeUnknown,
    MessageBounced,
    MessageDelivered,
    MessageFailed,
    MessageRequested,
    MessageSent,
    RequestExpired,
    RequestState,
    RequestWithdrawn,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class MessageDirectoryRow:
    """`key` is `<stream>|<request key>`."""

    key: str
    stream: str
    request_key: str
    episode: str
    want: str
    turn: int
    kind: str
    recipient: str
    template: str
    language: str
    point: str
    about: str
    policy: str
    state: str
    asked_at: datetime
    expires_at: datetime
    changed_at: datetime
    begun_at: datetime | None = None
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    code: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.key}",)


def _fold(key: str, row: MessageDirectoryRow | None, stored: StoredFact) -> MessageDirectoryRow | None:
    fact, at = stored.recorded.fact, stored.recorded.occurred_at
    if isinstance(fact, MessageRequested):
        return row or _asked(key, stored.recorded.stream, fact, at)
    if row is None:
        return None
    if isinstance(fact, AlertAcknowledged):
        return replace(row, acknowledged_at=at)
    state, code = _state(fact)
    after = replace(row, state=state.value, changed_at=at, code=code)
    if isinstance(fact, DeliveryBegun):
        return replace(after, begun_at=at)
    return replace(after, sent_at=at) if isinstance(fact, MessageSent) else after


def _asked(key: str, stream: str, asked: MessageRequested, at: datetime) -> MessageDirectoryRow:
    return MessageDirectoryRow(
        key=key,
        stream=stream,
        request_key=asked.key,
        episode="episode-" + stream.partition("-")[2],
        want=asked.want,
        turn=asked.turn,
        kind=asked.kind,
        recipient=asked.recipient,
        template=asked.template,
        language=asked.language,
        point=asked.point,
        about=asked.about,
        policy=asked.policy,
        state=RequestState.REQUESTED.value,
        asked_at=at,
        expires_at=asked.expires_at,
        changed_at=at,
    )


def _state(fact: object) -> tuple[RequestState, str]:
    match fact:
        case DeliveryBegun():
            return RequestState.BEGUN, ""
        case MessageSent():
            return RequestState.SENT, ""
        case MessageFailed(permanent=permanent, code=code):
            return RequestState.FAILED_FOR_GOOD if permanent else RequestState.FAILED, code
        case DeliveryOutcomeUnknown():
            return RequestState.UNKNOWN, ""
        case RequestExpired():
            return RequestState.EXPIRED, ""
        case RequestWithdrawn(reason=reason):
            return RequestState.WITHDRAWN, reason
        case MessageDelivered():
            return RequestState.DELIVERED, ""
        case MessageBounced(code=code):
            return RequestState.BOUNCED, code
        case _:
            raise TypeError(type(fact).__name__)


MESSAGES = ReadModel(
    name="messages",
    row=MessageDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(
        AlertAcknowledged,
        DeliveryBegun,
        DeliveryOutcomeUnknown,
        MessageBounced,
        MessageDelivered,
        MessageFailed,
        MessageRequested,
        MessageSent,
        RequestExpired,
        RequestWithdrawn,
    ),
    indexes=("episode, asked_at", "asked_at, key", "recipient, state"),
)
