"""What an error is called outside of the process where it happened: a short code, never its own words, which may quote values."""

from __future__ import annotations

import psycopg

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
