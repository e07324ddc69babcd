"""A database connection that belongs to an event loop: a statement is sent, the loop goes on, and is called when it is done.

For the door's one statement. Neither a thread nor the driver's coroutines stand between the socket of a sender and that of the
database: for a lone message they took as long as the commit itself. Whatever goes wrong here is for the caller to do again in the
ordinary way, or to give up; nothing is tried twice here.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import psycopg
from psycopg import Connection, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from eventlog.database import connect

_NAME: Final = b"door"

_SOON: Final = {
    "connect_timeout": 5, "tcp_user_timeout": 8_000, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 2,
}  # fmt: skip
"""A server that went without a word is noticed in the time that an answer may take; left alone, TCP needs a quarter of an hour."""


class Trouble(Enum):
    """Why there is no answer. REFUSED: the server did not carry it out. LOST: whether it was carried out, nobody knows."""

    REFUSED = "refused"
    LOST = "lost"


Done = Callable[[int | Trouble], None]
"""Told how many rows the statement gave, or why there are none."""


class LoopConnection:
    """One connection with one prepared statement. Not for threads: everything but `opened` is called on its loop."""

    def __init__(
        self, conn: Connection[TupleRow], columns: int, lost: Callable[[LoopConnection], None], seconds_max: float
    ) -> None:
        """`lost` is called once, when the connection breaks, before the `Done` of a statement that was under way. A statement that
        is not done after `seconds_max` breaks it: a server that is gone without a word is noticed by nothing else."""
        self._conn = conn
        self._pgconn = conn.pgconn
        self._formats = [pq.Format.BINARY] * columns
        self._lost = lost
        self._seconds_max = seconds_max
        self._done: Done | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._outcome: int | Trouble = Trouble.REFUSED
        self._writing = False
        self._broken = False
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._pgconn.nonblocking = 1
        self._loop.add_reader(self._socket, self._readable)

    @property
    def idle(self) -> bool:
        return self._done is None

    def execute(self, parameters: Sequence[bytes], done: Done) -> None:
        """Send the statement with its parameters in binary form; `done` is called later."""
        assert self._done is None, "a statement is under way"
        self._done = done
        self._deadline = self._loop.call_later(self._seconds_max, self._break)
        try:
            self._pgconn.send_query_prepared(_NAME, parameters, self._formats, pq.Format.BINARY)
            self._flush()
        except psycopg.Error:
            self._loop.call_soon(self._break)

    def close(self) -> None:
        """Let go of the connection."""
        self._broken = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._loop.remove_reader(self._socket)
        if self._writing:
            self._loop.remove_writer(self._socket)
        self._conn.close()

    def _flush(self) -> None:
        waits = bool(self._pgconn.flush())
        if waits and not self._writing:
            self._loop.add_writer(self._socket, self._writable)
        elif self._writing and not waits:
            self._loop.remove_writer(self._socket)
        self._writing = waits

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error:
            self._break()

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            if self._writing:
                self._flush()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    break
                self._outcome = result.ntuples if result.status == pq.ExecStatus.TUPLES_OK else Trouble.REFUSED
            else:
                return
        except psycopg.Error:
            self._break()
            return
        if (done := self._over()) is not None:
            done(self._outcome)

    def _over(self) -> Done | None:
        """Whom to tell of the statement that was under way."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        done, self._done = self._done, None
        return done

    def _break(self) -> None:
        if self._broken:
            return
        done = self._over()
        self.close()
        self._lost(self)
        if done is not None:
            done(Trouble.LOST)


def opened(url: str, statement: str) -> Connection[TupleRow]:
    """A connection in the application's role that knows the statement, planned once and for all. Blocks: for a thread.

    Raises psycopg.Error."""
    conn = connect(soon_noticed(url))
    try:
        # Planning costs more than storing a message; and a plan made while the inbox was small must not be a scan that is kept.
        conn.execute(
            "SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false)"
        )
        numbers = itertools.count(1)
        prepared = conn.pgconn.prepare(_NAME, re.sub("%b", lambda _: f"${next(numbers)}", statement).encode())
        if prepared.status != pq.ExecStatus.COMMAND_OK:  # no table yet, or no right to it: told by the result alone
            raise psycopg.OperationalError("the statement cannot be prepared")
    except BaseException:
        conn.close()
        raise
    return conn


def soon_noticed(url: str) -> str:
    """A database's address, with what lets a connection to it notice soon that the server is gone. What the address says counts."""
    return make_conninfo("", **{**_SOON, **conninfo_to_dict(url)})
