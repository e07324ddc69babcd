"""Where a trace goes on: a W3C traceparent, kept with every message and every fact."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """The traceparent of the span that we are in; None where there is none."""
    return traceparent_of(trace.get_current_span()) or None


def traceparent_of(span: trace.Span) -> str:
    """The traceparent of a span; empty where there is no tracing at all."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def context_of(traceparent: str | None) -> Context | None:
    """The context in which a span is a child of the traceparent; None, the current one, where there is none or it is malformed."""
    if not traceparent:
        return None
    context = _propagator.extract({"traceparent": traceparent})
    return context if trace.get_current_span(context).get_span_context().is_valid else None
