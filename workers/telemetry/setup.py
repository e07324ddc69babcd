"""Puts the pieces together once a process: who exports, and where to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TextIO

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from workers.telemetry.logs import configure_logging
from workers.telemetry.metrics import APPEND_SPAN, Appends, MetricLines, Readings, as_numbers, watch
from workers.telemetry.traces import JsonLines, SafeSpans, WantedSpans

METRICS_EVERY_MS = 15_000


class TelemetryMissing(Exception):
    """An exporter was asked for whose library is not installed. The text has the remedy."""


@dataclass(frozen=True, slots=True)
class TelemetryTargets:
    """Where telemetry goes. All None: log lines to stderr, traces and metrics nowhere."""

    log_file: Path | None = None
    log_stream: TextIO | None = None
    spans_file: Path | None = None
    metrics_file: Path | None = None
    otlp_endpoint: str | None = None
    level: str = "info"


class Telemetry:
    """The telemetry of this process: `watch` it, take its numbers, stop it."""

    def __init__(
        self, tracing: TracerProvider, metering: MeterProvider, numbers: InMemoryMetricReader, wanted: WantedSpans
    ) -> None:
        self._tracing, self._metering, self._numbers, self._wanted = tracing, metering, numbers, wanted

    @contextmanager
    def watching(self, read: Callable[[], Readings]) -> Iterator[None]:
        """Publish the state of the system with every collection, for as long as it can be read."""
        over = watch(read)
        try:
            yield
        finally:
            over()

    def numbers(self) -> dict[str, float]:
        """All metrics as they are now."""
        return as_numbers(self._numbers.get_metrics_data())

    @contextmanager
    def spans_in_memory(self) -> Iterator[InMemorySpanExporter]:
        """The spans that end inside, as an exporter would get them; for tests."""
        kept = InMemorySpanExporter()
        processor = _While(SimpleSpanProcessor(SafeSpans(kept)))
        self._tracing.add_span_processor(processor)
        before, self._wanted.all = self._wanted.all, True
        try:
            yield kept
        finally:
            processor.over = True
            self._wanted.all = before

    def flush(self) -> None:
        """Hand over what was collected, before the process ends."""
        self._tracing.force_flush(2_000)
        self._metering.force_flush(2_000)


_started: Telemetry | None = None
_lock = threading.Lock()


def start_telemetry(role: str, targets: TelemetryTargets | None = None) -> Telemetry:
    """Configure logs, traces and metrics of this process. The second time only the logs: OpenTelemetry can be set once.

    Raises TelemetryMissing where OTLP is asked for and not installed.
    """
    global _started
    to = targets or TelemetryTargets()
    configure_logging(role=role, file=to.log_file, stream=to.log_stream, level=to.level)
    with _lock:
        if _started is None:
            _started = _start(role, to)
        return _started


def _start(role: str, to: TelemetryTargets) -> Telemetry:
    resource = Resource.create({"service.name": "throughline", "service.instance.role": role})
    numbers = InMemoryMetricReader()
    readers: list[MetricReader] = [numbers]
    wanted = WantedSpans({APPEND_SPAN}, all=to.spans_file is not None or to.otlp_endpoint is not None)
    tracing = TracerProvider(resource=resource, sampler=wanted)
    if to.metrics_file is not None:
        readers.append(PeriodicExportingMetricReader(MetricLines(to.metrics_file), export_interval_millis=METRICS_EVERY_MS))
    if to.spans_file is not None:
        tracing.add_span_processor(BatchSpanProcessor(SafeSpans(JsonLines(to.spans_file)), schedule_delay_millis=500))
    if to.otlp_endpoint is not None:
        spans, reader = _otlp(to.otlp_endpoint)
        tracing.add_span_processor(BatchSpanProcessor(SafeSpans(spans)))
        readers.append(reader)
    metering = MeterProvider(resource=resource, metric_readers=readers)
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(metering)
    tracing.add_span_processor(Appends())
    return Telemetry(tracing, metering, numbers, wanted)


def _otlp(endpoint: str) -> tuple[SpanExporter, MetricReader]:
    try:
        of_spans = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        of_metrics = import_module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
    except ImportError:
        raise TelemetryMissing(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but its exporter is not installed: pip install 'throughline[otlp]', or unset it"
        ) from None
    base = endpoint.rstrip("/")
    return (
        of_spans.OTLPSpanExporter(endpoint=f"{base}/v1/traces"),
        PeriodicExportingMetricReader(of_metrics.OTLPMetricExporter(endpoint=f"{base}/v1/metrics")),
    )


class _While(SpanProcessor):
    """Hands spans on until it is over: OpenTelemetry cannot take a processor away again."""

    def __init__(self, to: SpanProcessor) -> None:
        self._to, self.over = to, False

    def on_end(self, span: ReadableSpan) -> None:
        if not self.over:
            self._to.on_end(span)
