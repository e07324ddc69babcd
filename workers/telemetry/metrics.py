"""Metrics: how many appends and how slow, how far each reader is behind, what is open, overdue, stuck, parked and unmatched
and since when, how many messages come, and what reconcile found."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from workers.telemetry.files import lines_to

APPEND_SPAN = "log.append"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Readings:
    """The state of the system as numbers. `lag`: positions behind the log's head, by reader.

    Reconcile's are those of its last pass, missing and orphaned of the last one that asked visibility; None, and then not
    published, where there was none: a zero would say that somebody had looked. `messages`: those of the last minute, by source;
    `unmatched_age` and `dead_age`: seconds since the receipt of the oldest, None where there is none.
    """

    lag: Mapping[str, int] = field(default_factory=dict)
    processes_open: int = 0
    processes_overdue: int = 0
    processes_stuck: int = 0
    parked: int = 0
    unmatched: int = 0
    dead: int = 0
    unmatched_age: float | None = None
    dead_age: float | None = None
    messages: Mapping[str, int] = field(default_factory=dict)
    feeds_silent: int = 0
    notices: int = 0
    reconcile_missing: int | None = None
    reconcile_orphaned: int | None = None
    reconcile_stale: int | None = None
    reconcile_rescued: int | None = None
    reconcile_age: float | None = None


class Appends(SpanProcessor):
    """Counts appends and their seconds from the spans that the log makes of them."""

    def __init__(self) -> None:
        meter = metrics.get_meter("throughline")
        self._count = meter.create_counter("throughline.append.events", unit="{event}", description="Events appended to the log")
        self._seconds = meter.create_histogram(
            "throughline.append.duration", unit="s", description="One append", explicit_bucket_boundaries_advisory=SECONDS
        )

    def on_end(self, span: ReadableSpan) -> None:
        if span.name == APPEND_SPAN and span.start_time is not None and span.end_time is not None:
            events = (span.attributes or {}).get("throughline.events", 0)
            self._count.add(events if isinstance(events, int) else 0)
            self._seconds.record((span.end_time - span.start_time) / 1e9)


def watch(read: Callable[[], Readings]) -> Callable[[], None]:
    """Publish what `read` finds, each time somebody collects, until what this returns is called. A failing reading is logged and
    left out."""
    over = threading.Event()
    last: dict[str, Readings] = {}
    lock = threading.Lock()

    def fresh() -> Readings | None:
        if over.is_set():
            return None
        try:
            readings = read()
        except Exception as error:
            _log.warning("metrics cannot be read", error=type(error).__name__)
            return None
        with lock:
            last["readings"] = readings
        return readings

    def lag(options: CallbackOptions) -> Iterable[Observation]:
        readings = fresh()  # the first instrument reads for all of a collection
        return [] if readings is None else [Observation(n, {"reader": reader}) for reader, n in readings.lag.items()]

    def one(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            readings = None if over.is_set() else last.get("readings")
            found = None if readings is None else getattr(readings, name)
            return [] if found is None else [Observation(found)]

        return observe

    def came(options: CallbackOptions) -> Iterable[Observation]:
        readings = None if over.is_set() else last.get("readings")
        return [] if readings is None else [Observation(n, {"source": source}) for source, n in readings.messages.items()]

    meter = metrics.get_meter("throughline")
    meter.create_observable_gauge("throughline.reader.lag", [lag], unit="{event}", description="Behind the head of the log")
    meter.create_observable_gauge("throughline.messages", [came], unit="{message}/min", description="Received in the last minute")
    for name, unit, description in (
        ("processes_open", "1", "Processes that owe or wait for something"),
        ("processes_overdue", "1", "Processes whose wake-up has passed"),
        ("processes_stuck", "1", "Processes with a step that cannot be carried out"),
        ("parked", "1", "Rows of read models, and processes, that were set aside"),
        ("unmatched", "1", "Messages that a person has to match"),
        ("dead", "1", "Messages that could not be read"),
        ("unmatched_age", "s", "Since the oldest message that a person has to match was received"),
        ("dead_age", "s", "Since the oldest message that could not be read was received"),
        ("feeds_silent", "1", "Sources that were not heard of when they should have been"),
        ("notices", "1", "Open notices about the front door: silent feeds, missed events, refused senders"),
        ("reconcile_missing", "1", "Processes that are open by the log and do not run"),
        ("reconcile_orphaned", "1", "Processes that run and are not open by the log"),
        ("reconcile_stale", "1", "Processes late with a wake-up, and those late with news: one may be both"),
        ("reconcile_rescued", "1", "Processes that reconcile had to nudge"),
        ("reconcile_age", "s", "Since reconcile's last pass"),
    ):
        meter.create_observable_gauge(f"throughline.{name.replace('_', '.')}", [one(name)], unit=unit, description=description)
    return over.set


class MetricLines(MetricExporter):
    """Each collection as a line of a file, for local runs."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._to = lines_to(file)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self._to.write(json.dumps(as_numbers(metrics_data), separators=(",", ":")) + "\n")
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._to.close()


def as_numbers(collected: MetricsData | None) -> dict[str, float]:
    """A collection in short: name (and reader) -> number; a histogram as its count and its sum."""
    numbers: dict[str, float] = {}
    for resource in collected.resource_metrics if collected else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    said = "".join(f"{{{k}={v!s}}}" for k, v in (point.attributes or {}).items())
                    if isinstance(point, HistogramDataPoint):
                        numbers[f"{metric.name}.count{said}"] = point.count
                        numbers[f"{metric.name}.sum{said}"] = point.sum
                    elif isinstance(point, NumberDataPoint):
                        numbers[f"{metric.name}{said}"] = point.value
    return numbers
