"""The tables process_state and process_obligation: the worklist as `advance` last saw it. A cache; the log decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import Any

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from domain.core import Instant, Obligation, ProcessRef
from eventlog.recorder import Statement

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
        with self._pool.connection() as conn:
            return _WRITE.sent(conn.pgconn, (_JSONB + msgspec.json.encode(self._row(seen)),)).ntuples > 0

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
            "effects": seen.effects,
            "member": seen.member,
            "plan": seen.plan,
            "now": seen.now,
            "code": self._code,
            "owed": [_obligation(owed) for owed in seen.obligations],
        }


def _obligation(owed: Obligation) -> dict[str, Any]:
    because, window = owed.because, owed.window
    return {
        "key": owed.key, "rule": because.rule, "opens": window.opens, "due": window.due,
        "closes": window.closes, "act_by": owed.act_by, "state": owed.state.value, "owed_by": owed.owed_by,
        "subject": owed.subject, "governing": owed.governing, "suspended": owed.suspended, "policy": because.policy,
        "facts": because.facts, "reason": because.reason, "how": owed.how, "met_at": owed.met_at,
    }  # fmt: skip


_JSONB = b"\x01"
"""What PostgreSQL's binary form of jsonb begins with: its version."""

_WRITE = Statement(
    "process_state.write",
    """
WITH said AS (
    SELECT * FROM jsonb_to_record($1::jsonb) AS s (
        process text, kind text, position bigint, wake_at timestamptz, done boolean, stuck text, waiting_for text, phase text,
        turn integer, turns_max integer, effects text[], member text, plan text, now timestamptz, code text, owed jsonb)
), stored AS (
    INSERT INTO process_state (process, kind, position, wake_at, done, stuck, waiting_for, phase, turn, turns_max, effects, member,
                               plan, last_error, failing_since, attempts, began_at, updated_at, code)
    SELECT process, kind, position, wake_at, done, stuck, waiting_for, phase, turn, turns_max, effects, member, plan, stuck,
           CASE WHEN stuck <> '' THEN now END, (stuck <> '')::integer, now, now, code
    FROM said
    ON CONFLICT (process) DO UPDATE SET
        position = excluded.position, wake_at = excluded.wake_at, done = excluded.done, stuck = excluded.stuck,
        waiting_for = excluded.waiting_for, phase = excluded.phase, turn = excluded.turn, turns_max = excluded.turns_max,
        effects = excluded.effects, member = excluded.member, plan = excluded.plan, last_error = excluded.last_error,
        failing_since = CASE WHEN excluded.stuck <> '' THEN coalesce(process_state.failing_since, excluded.failing_since) END,
        attempts = CASE WHEN excluded.stuck <> '' THEN process_state.attempts + 1 ELSE 0 END,
        updated_at = excluded.updated_at, stored_at = clock_timestamp(), code = excluded.code
    WHERE process_state.position <= excluded.position
    RETURNING process, kind, member, plan, position
), owed AS (
    SELECT s.process, o.key, s.kind, o.rule, o.opens, o.due, o.closes, o.act_by, o.state, o.owed_by, o.subject, o.governing,
           o.suspended, o.policy, o.facts, o.reason, o.how, o.met_at, s.member, s.plan, s.position
    FROM stored s, said, jsonb_to_recordset(said.owed) AS o (
        key text, rule text, opens timestamptz, due timestamptz, closes timestamptz, act_by timestamptz, state text, owed_by text,
        subject text, governing boolean, suspended boolean, policy text, facts text[], reason text, how text, met_at timestamptz)
), gone AS (
    DELETE FROM process_obligation p USING stored s WHERE p.process = s.process
    AND NOT EXISTS (SELECT FROM owed WHERE owed.key = p.key)
), kept AS (
    INSERT INTO process_obligation AS p (process, key, kind, rule, opens, due, closes, act_by, state, owed_by, subject, governing,
                                         suspended, policy, facts, reason, how, met_at, member, plan, position)
    SELECT * FROM owed
    ON CONFLICT (process, key) DO UPDATE SET
        kind = excluded.kind, rule = excluded.rule, opens = excluded.opens, due = excluded.due, closes = excluded.closes,
        act_by = excluded.act_by, state = excluded.state, owed_by = excluded.owed_by, subject = excluded.subject,
        governing = excluded.governing, suspended = excluded.suspended, policy = excluded.policy, facts = excluded.facts,
        reason = excluded.reason, how = excluded.how, met_at = excluded.met_at, member = excluded.member, plan = excluded.plan,
        position = excluded.position
)
SELECT process FROM stored""",
)
"""One round trip: the state, and of the obligations those that are owed now; nothing where a later look is stored."""

_FAILED = """
INSERT INTO process_state (process, kind, position, last_error, failing_since, attempts, began_at, updated_at)
VALUES (%(process)s, %(kind)s, 0, %(code)s, %(now)s, 1, %(now)s, %(now)s)
ON CONFLICT (process) DO UPDATE SET
    last_error = excluded.last_error, attempts = process_state.attempts + 1,
    failing_since = coalesce(process_state.failing_since, excluded.failing_since),
    stuck = CASE WHEN excluded.failing_since - process_state.failing_since >= %(after)s THEN excluded.last_error
                 ELSE process_state.stuck END"""
