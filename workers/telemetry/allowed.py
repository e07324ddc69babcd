"""The allow-list of telemetry: which keys may leave, and what a value must look like to leave under them.

A name or a number of a person has capital letters, blanks or digits in a row that no code has; so codes are lower-case here, class
names stand under their own keys, and everything else is withheld.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

WITHHELD = "(withheld)"
TEXT_MAX = 200
ITEMS_MAX = 20

CODE_KEYS = frozenset({
    "activity", "actor_role", "address", "because", "channel", "code", "dependency", "disposition", "effect", "event_id",
    "exporter", "file_kind", "inbox_id", "incarnation", "index", "key", "kind", "level", "message_id", "method", "model",
    "namespace", "operation", "phase", "policy", "process", "projection", "queue", "reader", "reason", "repeated", "role",
    "route", "row", "rule", "run_id", "schedule", "source", "source_id", "span_id", "state", "status", "step", "stream",
    "table", "task", "trace_id", "transport", "verdict", "waiting_for", "workflow_id",
})  # fmt: skip
"""Keys whose values are lower-case codes, opaque ids or numbers."""

NUMBER_KEYS = frozenset({
    "age_seconds", "applied", "attempt", "attempts", "batch", "behind", "bytes", "calls", "closed", "count", "dead", "done",
    "duration_ms", "effects", "events", "facts", "failed", "gap_seconds", "head", "http_status", "idle_seconds",
    "interval_seconds", "lag", "limit", "missing", "nudged", "open", "orphaned", "overdue", "parked", "pid", "port",
    "position", "processes", "rebuilt", "rejected", "retries", "retry_seconds", "rounds", "rows", "seconds", "signals",
    "size", "skipped", "stale", "started", "steps", "streams", "stuck", "total", "unmatched", "version", "wait_seconds",
    "waiting", "watermark", "written",
})  # fmt: skip

NAME_KEYS = frozenset({
    "cause", "command", "error", "errors", "fact", "failure", "frames", "logger", "outcome", "trigger", "where", "workflow",
})  # fmt: skip
"""Keys whose values are names from the source code: classes, modules, functions, and HL7 trigger events."""

INSTANT_KEYS = frozenset({"at", "due_at", "timestamp", "until", "wake_at", "expires_at"})

_CODE = re.compile(r"[a-z0-9_.:/{}@+=,\[\]-]{1,200}")
_NAME = re.compile(r"[A-Za-z_<][A-Za-z0-9_.:/<>^ -]{0,199}")
_SENTENCE = re.compile(r"[a-z][a-z0-9 _.,:;'()/-]{0,119}")
_SPAN = re.compile(r"((GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) )?[a-z0-9_./{}:-]{1,120}")
_LONG_NUMBER = re.compile(r"(?<![0-9a-f-])[0-9]{7,}(?![0-9a-f-])")
"""A run of digits that belongs to no uuid or hash: a telephone number, a card, a record number."""


def allowed_fields(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of a log line or of a span's attributes may leave."""
    return {key: value for key, given in said.items() if (value := allowed_value(key, given)) is not None}


def allowed_value(key: str, value: Any) -> Any:
    """The value as it may leave under the key; None where the key is not known, `WITHHELD` where the value has not its shape."""
    if value is None:
        return None
    if key in NUMBER_KEYS:
        return value if isinstance(value, int | float) else WITHHELD
    if key in INSTANT_KEYS:
        return _instant(value)
    if key not in CODE_KEYS and key not in NAME_KEYS:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [allowed_value(key, item) for item in value[:ITEMS_MAX]]
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        return WITHHELD
    shape = _NAME if key in NAME_KEYS else _CODE
    fits = shape.fullmatch(value) is not None and (key in NAME_KEYS or _LONG_NUMBER.search(value) is None)
    return value if fits else WITHHELD


def allowed_sentence(text: Any) -> str:
    """A log line's event: a lower-case sentence or dotted name that stands in the source as it is."""
    return text if isinstance(text, str) and _SENTENCE.fullmatch(text) else WITHHELD


def allowed_span_name(name: str) -> str:
    return name if _SPAN.fullmatch(name) else WITHHELD


def _instant(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, str) and re.fullmatch(r"[0-9T:.+Z-]{8,40}", value) else WITHHELD
