"""The tables process_state and process_obligation: the worklist as `advance` last saw it. A cache; the log decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from domain.core import Instant, Obligation, ProcessRef

Pool = ConnectionPool[Connection[TupleRow]]

STUCK_AFTER = timedelta(minutes=10)
"""Without success for this long, a process counts as stuck (design.md 4)."""

SCHEMA_LOCK = 0x70726F63657373
"""Two processes that set up one database take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One process, as it was planned at `now` with the log read up to `position`."""

    process: ProcessRef
    position: int
    now: Instant
    wake_at: Instant | None
    done: bool
    stuck: str
    waiting_for: str
    effects: tuple[str, ...]
    obligations: tuple[Obligation, ...]
    member: str = ""
    plan: str = ""
    phase: str = ""
    turn: int | None = None
    turns_max: int | None = None


def create_tables(pool: Pool) -> None:
    """Create what is missing. Safe to repeat, and at the same time from several processes."""
    statements = resources.files("activities").joinpath("process_state.sql").read_text()
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        conn.execute("SET LOCAL client_min_messages = warning")
        conn.execute(statements.encode())


class ProcessStates:
    """Writes what `advance` found. Thread-safe."""

    def __init__(self, pool: Pool, *, code: str = "") -> None:
        self._pool = pool
        self._code = code

    def write(self, seen: Seen) -> bool:
        """Store state and obligations, unless a later look is stored already. Whether it was stored."""
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute(_UPSERT, self._row(seen)).fetchone()
            if row is None:
                return False
            conn.execute("DELETE FROM process_obligation WHERE process = %s", (seen.process.stream,))
            if seen.obligations:
                with conn.cursor() as cursor:
                    cursor.executemany(_INSERT_OBLIGATION, [_obligation(seen, owed) for owed in seen.obligations])
        return True

    def failed(self, process: ProcessRef, code: str, now: Instant) -> None:
        """An advance failed: count it, and call the process stuck after ten minutes without success. Says nothing where it
        cannot be stored, because the failure itself is what matters."""
        try:
            with self._pool.connection(timeout=2.0) as conn:
                conn.execute(
                    _FAILED,
                    {"process": process.stream, "kind": process.kind, "code": code, "now": now, "after": STUCK_AFTER},
                )
        except psycopg.Error:
            return

    def attempts(self, process: ProcessRef) -> int:
        """How often in a row the process was found stuck."""
        with self._pool.connection() as conn:
            row = conn.execute("SELECT attempts FROM process_state WHERE process = %s", (process.stream,)).fetchone()
        return int(row[0]) if row else 0

    def _row(self, seen: Seen) -> dict[str, Any]:
        return {
            "process": seen.process.stream,
            "kind": seen.process.kind,
            "position": seen.position,
            "wake_at": seen.wake_at,
            "done": seen.done,
            "stuck": seen.stuck,
            "waiting_for": seen.waiting_for,
            "phase": seen.phase,
            "turn": seen.turn,
            "turns_max": seen.turns_max,
            "effects": list(seen.effects),
            "member": seen.member,
            "plan": seen.plan,
            "now": seen.now,
            "code": self._code,
        }


def _obligation(seen: Seen, owed: Obligation) -> Sequence[Any]:
    because, window = owed.because, owed.window
    return (
        seen.process.stream, owed.key, seen.process.kind, because.rule, window.opens, window.due, window.closes, owed.act_by,
        owed.state.value, owed.owed_by, owed.subject, owed.governing, owed.suspended, because.policy, list(because.facts),
        because.reason, owed.how, owed.met_at, seen.member, seen.plan, seen.position,
    )  # fmt: skip


_UPSERT = """
INSERT INTO process_state (process, kind, position, wake_at, done, stuck, waiting_for, phase, turn, turns_max, effects, member,
                           plan, last_error, failing_since, attempts, began_at, updated_at, code)
VALUES (%(process)s, %(kind)s, %(position)s, %(wake_at)s, %(done)s, %(stuck)s, %(waiting_for)s, %(phase)s, %(turn)s, %(turns_max)s,
        %(effects)s, %(member)s, %(plan)s, %(stuck)s, CASE WHEN %(stuck)s <> '' THEN %(now)s::timestamptz END,
        (%(stuck)s <> '')::integer, %(now)s, %(now)s, %(code)s)
ON CONFLICT (process) DO UPDATE SET
    position = excluded.position, wake_at = excluded.wake_at, done = excluded.done, stuck = excluded.stuck,
    waiting_for = excluded.waiting_for, phase = excluded.phase, turn = excluded.turn, turns_max = excluded.turns_max,
    effects = excluded.effects, member = excluded.member, plan = excluded.plan, last_error = excluded.last_error,
    failing_since = CASE WHEN excluded.stuck <> '' THEN coalesce(process_state.failing_since, excluded.failing_since) END,
    attempts = CASE WHEN excluded.stuck <> '' THEN process_state.attempts + 1 ELSE 0 END,
    updated_at = excluded.updated_at, stored_at = clock_timestamp(), code = excluded.code
WHERE process_state.position <= excluded.position
RETURNING attempts"""

_FAILED = """
INSERT INTO process_state (process, kind, position, last_error, failing_since, attempts, began_at, updated_at)
VALUES (%(process)s, %(kind)s, 0, %(code)s, %(now)s, 1, %(now)s, %(now)s)
ON CONFLICT (process) DO UPDATE SET
    last_error = excluded.last_error, attempts = process_state.attempts + 1,
    failing_since = coalesce(process_state.failing_since, excluded.failing_since),
    stuck = CASE WHEN excluded.failing_since - process_state.failing_since >= %(after)s THEN excluded.last_error
                 ELSE process_state.stuck END"""

_INSERT_OBLIGATION = """
INSERT INTO process_obligation (process, key, kind, rule, opens, due, closes, act_by, state, owed_by, subject, governing, suspended,
                                policy, facts, reason, how, met_at, member, plan, position)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
