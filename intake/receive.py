"""The door itself: what every transport does with received bytes: look at the header, store, answer (messages.md 1.5, 5.1).

Between the commit and the answer nothing happens; what a message says is read later by the worker.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventlog import killpoints
from eventlog.clock import Clock
from intake.acks import Header, Verdict, acknowledge, judge, peek
from intake.er7 import known_charset
from intake.inbox import Arrival, CannotStore, Inbox, Status
from intake.mllp import FRAME_BYTES_MAX
from intake.sources import AckMode, Source

HL7_CONTENT_TYPE: Final = "application/hl7-v2"
RECEIPT_HEADER: Final = "Throughline-Receipt"
"""Under which a sender over HTTP can follow what becomes of its message."""
RETRY_AFTER_SECONDS: Final = 5

log = structlog.get_logger("intake.receive")


_tracer = otel.get_tracer("throughline.intake")
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Received:
    """A message at the door. `trace` is the sender's traceparent, if it has one; `charset` what the transport said of the bytes."""

    raw: bytes
    source: Source
    transport: str
    peer: str = ""
    trace: str = ""
    charset: str = ""
    mode: AckMode | None = None
    """How it is to be answered; None: as the source wants it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the header says, and the answer; None where the sender wants none."""

    verdict: Verdict
    answer: bytes | None
    readable: bool
    inbox_id: UUID


class Reception:
    """Stores messages and answers them. Thread-safe."""

    def __init__(self, inbox: Inbox, clock: Clock, *, ring: Callable[[], None] = lambda: None) -> None:
        """`ring` tells whoever works the inbox off in this process that there is something."""
        self._inbox = inbox
        self._clock = clock
        self._ring = ring

    def receive(self, received: Received) -> Answered:
        """Store a message and say what to answer. Raises CannotStore: then no answer may be sent."""
        return self.receive_all((received,))[0]

    def receive_all(self, received: Sequence[Received]) -> tuple[Answered, ...]:
        """Store messages in one commit and say what to answer to each. Raises CannotStore: then none may be answered."""
        now = self._clock.now()
        headers = [peek(one.raw, one.source) for one in received]
        verdicts = [judge(header, one.source) for header, one in zip(headers, received, strict=True)]
        with _spans(received) as traces:
            stored = self._inbox.store_all([_arrival(*each) for each in zip(received, headers, verdicts, traces, strict=True)], now)
        self._ring()
        killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
        log.info(
            "messages_stored", count=len(stored), repeated=sum(s.repeated for s in stored),
            rejected=sum(not verdict.accepted for verdict in verdicts),
        )  # fmt: skip
        now = self._clock.now()
        return tuple(
            Answered(
                verdict,
                acknowledge(header, verdict, one.mode or one.source.ack_mode, now, f"T{secrets.token_hex(8)}"),
                header is not None,
                at.inbox_id,
            )
            for one, header, verdict, at in zip(received, headers, verdicts, stored, strict=True)
        )

    def keep(self, received: Received, *, control_id: str, kind: str, status: Status, reason: str) -> UUID:
        """Store a message whose header the transport has read itself; its receipt. Raises CannotStore: then there is none."""
        with _spans((received,)) as (trace,):
            arrival = Arrival(
                raw=received.raw, source_id=received.source.name, transport=received.transport, control_id=control_id, kind=kind,
                peer=received.peer, trace=trace, status=status, reason=reason,
            )  # fmt: skip
            (stored,) = self._inbox.store_all([arrival], self._clock.now())
        self._ring()
        killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
        log.info("messages_stored", count=1, repeated=int(stored.repeated), rejected=int(status is Status.DEAD))
        return stored.inbox_id


def _arrival(received: Received, header: Header | None, verdict: Verdict, trace: str) -> Arrival:
    return Arrival(
        raw=received.raw,
        source_id=received.source.name,
        transport=received.transport,
        control_id=header.control_id if header else "",
        kind=f"{header.type}^{header.trigger}".strip("^")[:20] if header else "",
        peer=received.peer,
        trace=trace,
        status=_FIRST_STATUS[verdict],
        reason="" if verdict.accepted else verdict.value,
        charset=received.charset,
    )


@contextmanager
def _spans(received: Sequence[Received]) -> Iterator[list[str]]:
    """A span for each message, in which it is stored; their traceparents, which the inbox keeps."""
    spans = [
        _tracer.start_span(
            "hl7.receive",
            context=_propagator.extract({"traceparent": one.trace}) if one.trace else None,
            attributes={
                "throughline.source": one.source.name,
                "throughline.transport": one.transport,
                "throughline.bytes": len(one.raw),
            },
        )
        for one in received
    ]
    try:
        yield [traceparent_of(span) for span in spans]
    except BaseException as error:
        for span in spans:
            span.set_attribute("throughline.error", type(error).__name__)
            span.set_status(otel.StatusCode.ERROR)
        raise
    finally:
        for span in spans:
            span.end()


def traceparent_of(span: otel.Span) -> str:
    """The W3C form of where a span stands; empty where there is no tracing at all."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


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
