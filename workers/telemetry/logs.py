"""Log lines: one JSON object a line, filtered by the allow-list.

Libraries log sentences with values in them (an address, a row, a statement), so of their records only the place in the code and the
classes of the errors leave; place and version of the library name the sentence.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from opentelemetry import trace

from workers.telemetry.allowed import allowed_fields, allowed_sentence
from workers.telemetry.files import lines_to

FRAMES_MAX = 12
CAUSES_MAX = 6

QUIET_LIBRARIES = ("uvicorn.access", "httpx", "httpcore", "mail.log", "asyncio.sslproto")
"""Their every line would hold an address or a URL."""


def configure_logging(*, role: str, file: Path | None = None, stream: TextIO | None = None, level: str = "info") -> None:
    """Send every log line of this process to a file, or to a stream (none: stderr). May be called again."""
    target = lines_to(file) if file is not None else (stream or sys.stderr)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _Origin(role),
            describe_error,
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_OfLibraries()]
    root.setLevel(max(threshold, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).disabled = True
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def only_allowed(logger: Any, method: str, said: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The last processor before the writing: drops what the allow-list does not know."""
    return {"event": allowed_sentence(said.get("event")), **allowed_fields(said)}


def describe_error(logger: Any, method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as the classes of itself and its causes and the places in the code: never its text."""
    given = said.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        said.update(described(error))
    return said


def described(error: BaseException) -> dict[str, Any]:
    """`errors`: class names, the outermost first; `frames`: where it came from, the innermost last."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < CAUSES_MAX:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return {"errors": names, "frames": [f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]}


def _module(file: str) -> str:
    parts = Path(file).parts
    for marker in ("site-packages", "main", "app"):
        if marker in parts:
            parts = parts[len(parts) - parts[::-1].index(marker) :]
            break
    return "/".join(parts[-4:]).replace("\\", "/")


class _Origin:
    """Adds which process says it, and under which trace."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, logger: Any, method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        said.setdefault("role", self._role)
        said["pid"] = os.getpid()
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            said["trace_id"], said["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        return said


class _OfLibraries(logging.Handler):
    """A library's record: where in its code, how grave, which errors."""

    def emit(self, record: logging.LogRecord) -> None:
        said: dict[str, Any] = {
            "logger": record.name,
            "where": f"{_module(record.pathname)}:{record.lineno}",
            "status": record.levelname.lower(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            said.update(described(record.exc_info[1]))
        structlog.get_logger().log(max(record.levelno, logging.DEBUG), "library", **said)


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    structlog.get_logger().critical("uncaught", **described(error))


def _uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        structlog.get_logger().critical("uncaught in a thread", **described(told.exc_value))
