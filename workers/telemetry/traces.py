"""Traces: one trace id from an HTTP request or an HL7 message over append, router and workflow to the activity.

The trace travels as a W3C traceparent: in the inbox row, in the meta of every fact, in a header of the signal and of the activity.
Spans are filtered before any exporter sees them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.util.types import Attributes

from eventlog.traces import context_of
from workers.telemetry.allowed import allowed_span_name, allowed_value
from workers.telemetry.files import lines_to

PREFIX = "throughline."
HTTP = {"http.request.method": "method", "http.route": "route", "http.response.status_code": "http_status"}
_tracer = trace.get_tracer("throughline.workers")


@contextmanager
def continued(name: str, traceparent: str | None, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> Iterator[trace.Span]:
    """A span that goes on with the trace of a traceparent; where there is none, with the current one, else a new one.

    An error leaves its class in the span, never its text. Attributes stand under `throughline.` and pass the allow-list.
    """
    said = {f"{PREFIX}{key}": value for key, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(
        name, context=context_of(traceparent), kind=kind, attributes=said, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute(f"{PREFIX}error", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


class WantedSpans(Sampler):
    """Records every span where somebody exports them, else only those that are counted: a span costs as much as a small message.
    The trace's id travels in any case."""

    def __init__(self, counted: Set[str], *, all: bool) -> None:
        self._counted, self.all = counted, all

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        wanted = self.all or name in self._counted
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP, attributes)

    def get_description(self) -> str:
        return "WantedSpans"


class SafeSpans(SpanExporter):
    """Lets another exporter see only what the allow-list lets pass: no unknown attribute, no exception's text, no raw URL."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export(tuple(map(safe_span, spans)))

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def safe_span(span: ReadableSpan) -> ReadableSpan:
    """The span without what may not leave."""
    return ReadableSpan(
        name=allowed_span_name(span.name),
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_safe_attributes(span.attributes or {}),
        events=tuple(Event(allowed_span_name(e.name), None, e.timestamp) for e in span.events),
        links=tuple(Link(link.context) for link in span.links),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _safe_attributes(attributes: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in attributes.items():
        name = HTTP.get(key) or (key.removeprefix(PREFIX) if key.startswith(PREFIX) else "")
        if key == "http.request.method":
            kept[key] = value if isinstance(value, str) and value.isalpha() and len(value) < 10 else "_OTHER"
        elif name and (safe := allowed_value(name, value)) is not None:
            kept[key] = safe
    return kept


class JsonLines(SpanExporter):
    """Spans as lines of a file, for local runs."""

    def __init__(self, file: Path) -> None:
        self._to = lines_to(file)
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            for span in spans:
                self._to.write(json.dumps(as_row(span), separators=(",", ":")) + "\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._to.close()


def as_row(span: ReadableSpan) -> dict[str, Any]:
    """A span in short: what one greps for."""
    own = span.get_span_context()
    return {
        "trace_id": f"{own.trace_id:032x}" if own else None,
        "span_id": f"{own.span_id:016x}" if own else None,
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "start_ns": span.start_time,
        "duration_ms": round(((span.end_time or 0) - (span.start_time or 0)) / 1e6, 3),
        "status": span.status.status_code.name.lower(),
        "attributes": dict(span.attributes or {}),
    }
