"""What an error is called outside of the process where it happened: a short code, never its own words, which may quote values."""

from __future__ import annotations

from typing import Any

import psycopg
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from eventlog.codec import UnknownFact
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway

CODES: tuple[tuple[type[BaseException], str], ...] = (
    (LogAway, "log_away"),
    (CannotUnwrap, "key_unusable"),
    (UnknownFact, "unknown_fact"),
    (psycopg.OperationalError, "database_away"),
    (psycopg.Error, "database_error"),
    (AssertionError, "defect_assertion"),
    (TimeoutError, "timeout"),
    (OSError, "system_error"),
)
"""The first that fits gives the code; what is not listed is a defect."""

DEFECT = "defect"


class Coded(Exception):
    """An error of ours whose code may be shown; it carries no text besides."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def code_of(error: BaseException) -> str:
    """The code of any error: one of a fixed list."""
    if isinstance(error, Coded):
        return error.code
    if type(error).__name__ in ("PoolTimeout", "PoolClosed"):
        return "database_away"
    return next((code for kind, code in CODES if isinstance(error, kind)), DEFECT)


class OnlyCodes(Interceptor):
    """Replaces every exception that an activity would hand to Temporal by its code: no text, no cause, no traceback."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _OnlyCodes(next)


class _OnlyCodes(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except (CancelledError, activity._CompleteAsyncError):
            raise
        except Exception as error:
            code = code_of(error)
        raise ApplicationError(code, type=code)
