"""The door itself: what every transport does with received bytes: look at the header, store, answer (messages.md 1.5, 5.1).

Between the commit and the answer nothing happens; what a message says is read later by the worker.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import structlog
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventlog import killpoints
from eventlog.clock import Clock
from intake.acks import Verdict, acknowledge, judge, peek
from intake.er7 import known_charset
from intake.inbox import CannotStore, Inbox, Status
from intake.mllp import FRAME_BYTES_MAX, Handle
from intake.sources import AckMode, Source

HL7_CONTENT_TYPE: Final = "application/hl7-v2"
RETRY_AFTER_SECONDS: Final = 5

log = structlog.get_logger("intake.receive")


_tracer = otel.get_tracer("throughline.intake")
_propagator = TraceContextTextMapPropagator()


class Reception:
    """Stores messages and answers them. Thread-safe."""

    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock

    def receive(self, raw: bytes, source: Source, *, transport: str, peer: str = "", trace: str = "") -> bytes | None:
        """Stores a message and gives the answer, None where the sender wants none. CannotStore: then no answer may be sent."""
        return self.take(raw, source, transport=transport, peer=peer, trace=trace, mode=source.ack_mode)[1]

    def take(
        self, raw: bytes, source: Source, *, transport: str, peer: str, trace: str, mode: AckMode, charset: str = ""
    ) -> tuple[Verdict, bytes | None, bool]:
        """(verdict, answer, whether the header could be read). `trace` is the sender's traceparent, if it has one."""
        parent = _propagator.extract({"traceparent": trace}) if trace else None
        with _tracer.start_as_current_span("intake.receive", context=parent, record_exception=False) as span:
            span.set_attribute("throughline.source", source.name)
            span.set_attribute("throughline.transport", transport)
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
            return self._take(raw, source, transport, peer, carrier.get("traceparent", trace), mode, charset)

    def _take(
        self, raw: bytes, source: Source, transport: str, peer: str, trace: str, mode: AckMode, charset: str
    ) -> tuple[Verdict, bytes | None, bool]:
        header = peek(raw, source)
        verdict = judge(header, source)
        stored = self._inbox.store(
            raw,
            source_id=source.name,
            transport=transport,
            control_id=header.control_id if header else "",
            kind=f"{header.type}^{header.trigger}".strip("^")[:20] if header else "",
            now=self._clock.now(),
            peer=peer,
            trace=trace,
            status=_FIRST_STATUS[verdict],
            reason="" if verdict.accepted else verdict.value,
            charset=charset,
        )
        killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
        log.info(
            "message_stored", source=source.name, inbox_id=str(stored.inbox_id), repeated=stored.repeated, verdict=verdict.value
        )
        answer = acknowledge(header, verdict, mode, self._clock.now(), f"T{secrets.token_hex(8)}")
        return verdict, answer, header is not None

    def over_mllp(self, threads: Executor) -> Handle:
        """The listener's `handle`: the same, in a thread, because the database's driver blocks."""

        async def handle(frame: bytes, source: Source, peer: str) -> bytes | None:
            return await asyncio.get_running_loop().run_in_executor(
                threads, lambda: self.receive(frame, source, transport="mllp", peer=peer)
            )

        return handle


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
        _, answer, readable = reception.take(
            body,
            source,
            transport="http",
            peer=peer,
            trace=headers.get("traceparent", ""),
            mode=mode,
            charset=charset if known_charset(charset) else "",
        )
    except CannotStore as trouble:
        log.error("message_not_stored", source=source.name, failure=str(trouble))
        return _problem(503, "The message could not be stored; send it again.", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    if not readable:
        return HttpAnswer(400, answer or b"", {"Content-Type": HL7_CONTENT_TYPE})
    return HttpAnswer(200, answer or b"", {"Content-Type": HL7_CONTENT_TYPE})


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
