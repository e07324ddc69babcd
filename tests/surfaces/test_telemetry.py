"""Telemetry lets out what the allow-list names, and nothing else."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from eventlog.traces import current_traceparent
from intake.store.inbox import Arrival, Status
from tests.surfaces.conftest import World
from workers.services import projector_of
from workers.telemetry import TelemetryTargets, continued, start_telemetry
from workers.telemetry.allowed import CODE_KEYS, INSTANT_KEYS, NAME_KEYS, NUMBER_KEYS, WITHHELD, allowed_sentence
from workers.telemetry.metrics import as_numbers, watch
from workers.watching import readings

PLANTED = "Maria Quintanilla-Oyelaran"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    written = io.StringIO()
    start_telemetry("test", TelemetryTargets(log_stream=written))
    yield written
    start_telemetry("test")
    structlog.reset_defaults()


def read(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_log_line_keeps_known_keys_and_drops_the_others(lines: io.StringIO) -> None:
    structlog.get_logger().info("router parked a process", process="outreach-1f", position=7, member_name=PLANTED)
    (line,) = read(lines)
    assert line["event"] == "router parked a process" and line["process"] == "outreach-1f" and line["position"] == 7
    assert "member_name" not in line and PLANTED not in lines.getvalue()


@pytest.mark.parametrize("key", sorted(CODE_KEYS | NAME_KEYS | NUMBER_KEYS | INSTANT_KEYS))
def test_no_known_key_carries_a_person(lines: io.StringIO, key: str) -> None:
    for value in ("Quintanilla, Maria", "91234567A", "+1 (415) 555-0199", "1959-04-03T Maria", {"name": PLANTED}, [PLANTED + "!"]):
        if key not in ("timestamp", "level", "pid"):
            structlog.get_logger().info("planted", **{key: value})
    if key not in NAME_KEYS:
        for found in ("Quintanilla", "91234567A", "555-0199"):
            assert found not in lines.getvalue()
    assert PLANTED not in lines.getvalue()


def test_an_event_that_is_no_plain_sentence_is_withheld(lines: io.StringIO) -> None:
    structlog.get_logger().info(f"could not reach {PLANTED}")
    assert read(lines)[0]["event"] == WITHHELD


def test_an_error_leaves_its_class_and_place_but_not_its_text(lines: io.StringIO) -> None:
    try:
        try:
            raise ValueError(f"Key (cin)=({PLANTED}) already exists")
        except ValueError as cause:
            raise RuntimeError(PLANTED) from cause
    except RuntimeError:
        structlog.get_logger().exception("append failed")
    (line,) = read(lines)
    assert line["errors"] == ["RuntimeError", "ValueError"]
    assert any("test_telemetry.py" in frame for frame in line["frames"])
    assert PLANTED not in lines.getvalue()


def test_a_librarys_sentence_stays_inside(lines: io.StringIO) -> None:
    logging.getLogger("temporalio.activity").warning("Completing activity as failed: %s", PLANTED)
    (line,) = read(lines)
    assert line["event"] == "library" and line["logger"] == "temporalio.activity" and line["status"] == "warning"
    assert PLANTED not in lines.getvalue()


def test_a_trace_goes_on_through_a_traceparent_and_spans_are_filtered() -> None:
    with start_telemetry("test").spans_in_memory() as kept:
        with continued("http.receive", None, message_id="0190", member_name=PLANTED):
            traceparent = current_traceparent()
        with suppress(ValueError), continued("router.signal", traceparent, process="outreach-1", reason=PLANTED) as span:
            span.add_event(PLANTED, {"text": PLANTED})
            raise ValueError(PLANTED)
    first, second = kept.get_finished_spans()
    assert first.context is not None and second.context is not None
    assert first.context.trace_id == second.context.trace_id and second.parent is not None
    assert dict(second.attributes or {}) == {
        "throughline.process": "outreach-1", "throughline.reason": WITHHELD, "throughline.error": "ValueError"
    }  # fmt: skip
    assert PLANTED not in "".join(s.to_json() for s in (first, second))


def test_every_log_call_says_a_literal_sentence_that_may_leave() -> None:
    """The allow-list would withhold anything else; better to learn that here than from an empty line at night."""
    wrong = []
    for package in ("eventlog", "intake", "activities", "projections", "workers", "api", "simulation"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                    continue
                logs = isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "_log", "logger", "_logger")
                if not logs or node.func.attr not in ("debug", "info", "warning", "error", "exception", "critical"):
                    continue
                said = node.args[0]
                literal = said.value if isinstance(said, ast.Constant) else None
                if not isinstance(literal, str) or allowed_sentence(literal) == WITHHELD:
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}")
                known = CODE_KEYS | NAME_KEYS | NUMBER_KEYS | INSTANT_KEYS | {"exc_info"}
                wrong += [f"{file.relative_to(ROOT)}:{node.lineno} {k.arg}" for k in node.keywords if k.arg not in known]
    assert not wrong, f"say it in lower case, without values, with keys of workers/telemetry/allowed.py: {wrong}"


def test_what_reconcile_found_and_how_long_ago_are_metrics(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    projector = projector_of(world.system)
    projector.create()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])  # its own: an instrument of the process keeps the first reading that it was given
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)

    def published() -> dict[str, float]:
        numbers, prefix = as_numbers(reader.get_metrics_data()), "throughline.reconcile."
        assert numbers["throughline.parked"] == 0
        return {name.removeprefix(prefix): number for name, number in numbers.items() if name.startswith(prefix)}

    over = watch(lambda: readings(world.system, projector))
    assert published() == {}, "nobody has looked yet, which is not the same as none"
    with world.system.pool.connection() as conn:
        conn.execute("""
            INSERT INTO reconcile_run (at, deep, overdue, behind, missing, orphaned, nudged) VALUES
                (clock_timestamp() - interval '9 minutes', true, 8, 8, 3, 2, 8),
                (clock_timestamp() - interval '90 seconds', false, 4, 1, NULL, NULL, 5)""")
    found = published()
    over()
    assert 90 <= found.pop("age") < 300
    assert found == {"missing": 3, "orphaned": 2, "stale": 5, "rescued": 5}, "visibility was asked in the pass before the last"


def test_how_many_messages_come_and_how_long_some_wait_are_metrics(world: World) -> None:
    projector = projector_of(world.system)
    projector.create()
    source, now = world.door.sources.rows[0], world.clock.now()
    world.door.feeds.look(now)
    found = readings(world.system, projector)
    assert (found.messages[source.name], found.unmatched_age, found.dead_age) == (0, None, None)
    for n, before in enumerate((timedelta(hours=3), timedelta(seconds=30))):
        told = Arrival(b"junk %d" % n, str(n), source.name, "mllp", status=Status.DEAD)
        world.door.inbox.store(told, now - before)
    found = readings(world.system, projector)
    assert (found.messages[source.name], found.unmatched_age, found.dead_age) == (1, None, 10_800.0)
