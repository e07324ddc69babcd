"""The door itself: what every transport does with received bytes: look at the header, store, answer (messages.md 1.5, 5.1).

Between the commit and the answer nothing happens; what a message says is read later by the worker.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from opentelemetry import trace as otel

from eventlog import killpoints
from eventlog.clock import Clock
from eventlog.traces import context_of, traceparent_of
from intake.listening.acks import Forms, Seen, Verdict, stamp_of
from intake.listening.mllp import FRAME_BYTES_MAX
from intake.senders.charsets import known_charset
from intake.senders.measured import answered
from intake.senders.sources import AckMode, Source
from intake.senders.throttle import Throttle
from intake.store.inbox import CONTROL_ID_MAX, Arrival, CannotStore, Inbox, Status

HL7_CONTENT_TYPE: Final = "application/hl7-v2"
RECEIPT_HEADER: Final = "Throughline-Receipt"
"""Under which a sender over HTTP can follow what becomes of its message."""
RETRY_AFTER_SECONDS: Final = 5

_TRACE_BYTES: Final = 24
"""Of a trace's id and a span's (W3C Trace Context)."""

_ACK_ID_BITS: Final = 64
_ACK_ID_MAX: Final = (1 << _ACK_ID_BITS) - 1

log = structlog.get_logger("intake.receive")


_tracer = otel.get_tracer("throughline.intake")


class Received(NamedTuple):
    """A message at the door. `trace` is the sender's traceparent, if it has one; `charset` what the transport said of the bytes;
    `mode` how it is to be answered, None: as the source wants it."""

    raw: bytes
    source: Source
    transport: str
    peer: str = ""
    trace: str = ""
    charset: str = ""
    mode: AckMode | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the header says, and the answer; None where the sender wants none."""

    verdict: Verdict
    answer: bytes | None
    readable: bool
    inbox_id: UUID


class Taken(NamedTuple):
    """Messages that were looked at and are to be stored."""

    seen: list[Seen]
    arrivals: list[Arrival]
    spans: Sequence[otel.Span]

    def failed(self, error: BaseException) -> None:
        """They could not be stored."""
        for span in self.spans:
            span.set_attribute("throughline.error", type(error).__name__)
            span.set_status(otel.StatusCode.ERROR)
            span.end()


class Reception:
    """Stores messages and answers them. Thread-safe."""

    def __init__(self, inbox: Inbox, clock: Clock, *, ring: Callable[[], None] = lambda: None) -> None:
        """`ring` tells whoever works the inbox off in this process that there is something."""
        self.inbox = inbox
        self.clock = clock
        self._ring = ring
        self.throttle = Throttle()
        self._forms = Forms()

    def receive(self, received: Received) -> Answered:
        """Store a message and say what to answer. Raises CannotStore: then no answer may be sent."""
        begun_at = time.monotonic()
        (told,) = self.receive_all((received,))
        answered(received.source.name, time.monotonic() - begun_at)
        return told

    def receive_all(self, received: Sequence[Received]) -> tuple[Answered, ...]:
        """Store messages in one commit and say what to answer to each. Raises CannotStore: then none may be answered."""
        return self.store(self.taken(received))

    def store(self, taken: Taken) -> tuple[Answered, ...]:
        """The same, of messages that were looked at already."""
        try:
            stored = self.inbox.store_all(taken.arrivals, self.clock.now())
        except BaseException as error:
            taken.failed(error)
            raise
        answers = self.answers(taken)
        self.tell(taken, repeated=sum(one.repeated for one in stored))
        return tuple(
            Answered(form.verdict, answer, form.readable, at.inbox_id)
            for (_, form), answer, at in zip(taken.seen, answers, stored, strict=True)
        )

    def taken(self, received: Sequence[Received]) -> Taken:
        """The messages as they are to be stored: `store` them; or store them otherwise, ask for their `answers`, and `tell` of
        them."""
        look = self._forms.look
        seen = [look(one.raw, one.source, one.mode) for one in received]
        spans, traces = _spans(received)
        arrivals = [
            Arrival(
                one.raw, control_id_raw[:CONTROL_ID_MAX], one.source.name, one.transport, form.kind, one.peer,
                _FIRST_STATUS[form.verdict], "" if form.verdict.accepted else form.verdict.value, one.charset, trace,
            )
            for one, (control_id_raw, form), trace in zip(received, seen, traces, strict=True)
        ]  # fmt: skip
        return Taken(seen, arrivals, spans)

    def answers(self, taken: Taken) -> list[bytes | None]:
        """What to answer to messages that are stored now."""
        self._ring()
        killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
        stamp, first = stamp_of(self.clock.now()), secrets.randbits(_ACK_ID_BITS)
        return [
            form.answer(stamp, b"T%016x" % (first + n & _ACK_ID_MAX), control_id_raw)
            for n, (control_id_raw, form) in enumerate(taken.seen)
        ]

    def tell(self, taken: Taken, *, repeated: int) -> None:
        """Say how many they were: once they are answered, because nobody waits for it."""
        for span in taken.spans:
            span.end()
        rejected = sum(not form.verdict.accepted for _, form in taken.seen)
        log.info("messages_stored", count=len(taken.seen), repeated=repeated, rejected=rejected)

    def keep(self, received: Received, *, control_id: str, kind: str, status: Status, reason: str) -> UUID:
        """Store a message whose header the transport has read itself; its receipt. Raises CannotStore: then there is none."""
        begun_at = time.monotonic()
        spans, (trace,) = _spans((received,))
        arrival = Arrival(
            raw=received.raw, source_id=received.source.name, transport=received.transport, control_id=control_id, kind=kind,
            peer=received.peer, trace=trace, status=status, reason=reason,
        )  # fmt: skip
        taken = Taken([], [arrival], spans)
        try:
            (stored,) = self.inbox.store_all([arrival], self.clock.now())
        except BaseException as error:
            taken.failed(error)
            raise
        self._ring()
        killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
        for span in spans:
            span.end()
        answered(received.source.name, time.monotonic() - begun_at)
        log.info("messages_stored", count=1, repeated=int(stored.repeated), rejected=int(status is Status.DEAD))
        return stored.inbox_id


def _spans(received: Sequence[Received]) -> tuple[Sequence[otel.Span], Sequence[str]]:
    """A span for each message, in which it is stored, and their traceparents, which the inbox keeps. Where nobody records spans
    there is none but the first, which tells so; a message without a trace still begins one."""
    first = _span(received[0])
    traces = [traceparent_of(first)]
    if first.is_recording():
        spans = [first, *map(_span, received[1:])]
        return spans, traces + [traceparent_of(span) for span in spans[1:]]
    chance = os.urandom(_TRACE_BYTES * len(received)).hex() if traces[0] else ""
    for n, one in enumerate(received[1:]):
        if one.trace:
            traces.append(traceparent_of(_span(one)))
        else:
            at = 2 * _TRACE_BYTES * n
            traces.append(chance and f"00-{chance[at : at + 32]}-{chance[at + 32 : at + 48]}-00")
    return (first,), traces


def _span(one: Received) -> otel.Span:
    return _tracer.start_span(
        "hl7.receive",
        context=context_of(one.trace),
        attributes={
            "throughline.source": one.source.name,
            "throughline.transport": one.transport,
            "throughline.bytes": len(one.raw),
        },
    )


_FIRST_STATUS: Final = {
    Verdict.STORED: Status.RECEIVED,
    Verdict.NOT_HL7: Status.DEAD,
    Verdict.FIELD_MISSING: Status.DEAD,
    Verdict.TYPE_NOT_TAKEN: Status.IGNORED,
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer over HTTP."""

    status: int
    body: bytes
    headers: dict[str, str]


def receive_http(
    reception: Reception, body: bytes, headers: Mapping[str, str], source: Source | None, *, peer: str = ""
) -> HttpAnswer:
    """HL7 over HTTP: every acknowledgement, rejections too, goes with 200; other codes are faults of the transport (table 5.1).

    `source` is whom the bearer token names, None where it names nobody. `headers` are looked up in lower case.
    """
    if source is None or "http" not in source.transports:
        return _problem(401, "Send the bearer token of a registered source.", {"WWW-Authenticate": "Bearer"})
    content_type, _, parameters = headers.get("content-type", HL7_CONTENT_TYPE).partition(";")
    if content_type.strip().lower() not in (HL7_CONTENT_TYPE, "x-application/hl7-v2+er7"):
        return _problem(415, f"Content-Type: send {HL7_CONTENT_TYPE}.")
    if len(body) > FRAME_BYTES_MAX:
        return _problem(413, f"The message is longer than {FRAME_BYTES_MAX} bytes.")
    if wait := reception.throttle.wait_seconds(source):
        return _problem(429, "Too many messages in a minute; send this one again later.", {"Retry-After": str(ceil(wait))})
    charset = next(
        (v.strip(' "') for k, _, v in (p.strip().partition("=") for p in parameters.split(";")) if k.lower() == "charset"), ""
    )
    mode = source.ack_mode if source.ack_mode is AckMode.ENHANCED else AckMode.ORIGINAL
    try:
        told = reception.receive(
            Received(
                body,
                source,
                "http",
                peer=peer,
                trace=headers.get("traceparent", ""),
                charset=charset if known_charset(charset) else "",
                mode=mode,
            )
        )
    except CannotStore as trouble:
        log.error("message_not_stored", source=source.name, failure=str(trouble))
        return _problem(503, "The message could not be stored; send it again.", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return HttpAnswer(
        200 if told.readable else 400, told.answer or b"", {"Content-Type": HL7_CONTENT_TYPE, RECEIPT_HEADER: str(told.inbox_id)}
    )


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
