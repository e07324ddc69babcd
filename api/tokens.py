"""Bearer tokens: who calls, and in which role. A token is shown once; the table holds its digest only.

A token speaks for a member of staff (`staff-…`), whose own roles the deciders check besides, or for a hospital (`source:<name>`).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool

from domain.core import SYSTEM
from domain.staff.facts import Role

Pool = ConnectionPool[Connection[TupleRow]]

PREFIX = "tl_"
SECRET_BYTES = 32
LIFE_MAX = timedelta(days=366)
LIST_MAX = 1_000
_SCHEMA_LOCK = 0x746F6B656E


@dataclass(frozen=True, slots=True)
class Token:
    """A token's row, without anything that could be used as one."""

    token_id: UUID
    role: Role
    subject: str
    label: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `by` is the actor that facts name: a staff stream, or `source:<name>`."""

    by: str
    role: Role
    token_id: UUID
    scopes: tuple[str, ...] | None = None
    """What a backend service's token may do; None: whatever its role may."""

    @property
    def source(self) -> str | None:
        return self.by.removeprefix("source:") if self.by.startswith("source:") else None


class TokenRefused(ValueError):
    """A token cannot be made so. The text names field and remedy."""


def create_tables(pool: Pool) -> None:
    """Create what is missing. Safe to repeat."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        conn.execute("SET LOCAL client_min_messages = warning")
        conn.execute(resources.files("api").joinpath("schema.sql").read_bytes())


def mint(
    pool: Pool, *, role: Role, subject: str, now: datetime, life: timedelta, label: str = "", by: str = SYSTEM,
    scopes: tuple[str, ...] | None = None,
) -> tuple[Token, str]:  # fmt: skip
    """A new token and the only sight of it; with `scopes` it may do only that, and those of its kind that expired are forgotten:
    a client gets one every few minutes. Raises TokenRefused."""
    if role is Role.HOSPITAL and not subject.startswith("source:"):
        raise TokenRefused("subject: a hospital's token names its source, such as source:st-brendan")
    if role is not Role.HOSPITAL and not subject.startswith("staff-"):
        raise TokenRefused("subject: must be a staff stream id; see `throughline staff list`")
    if not timedelta(0) < life <= LIFE_MAX:
        raise TokenRefused(f"days: a token lives between a moment and {LIFE_MAX.days} days")
    token_id, secret = uuid4(), secrets.token_urlsafe(SECRET_BYTES)
    shown = f"{PREFIX}{secret}"
    row = (token_id, role.value, subject, label, now, by, now + life, _digest(shown), None if scopes is None else list(scopes))
    with pool.connection() as conn, conn.transaction():
        if scopes is not None:
            conn.execute("DELETE FROM api_token WHERE scopes IS NOT NULL AND expires_at <= %s", (now,))
        conn.execute(
            "INSERT INTO api_token (token_id, role, subject, label, created_at, created_by, expires_at, digest, scopes)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            row,
        )
    return Token(token_id, role, subject, label, now, by, now + life, None), shown


def caller_of(pool: Pool, shown: str, now: datetime) -> Caller | None:
    """Whose token this is; None where it is nobody's, has expired or was revoked."""
    if not shown.startswith(PREFIX) or len(shown) > 200:
        return None
    with pool.connection(timeout=3.0) as conn:
        row = conn.execute(
            "SELECT subject, role, token_id, scopes FROM api_token WHERE digest = %s AND expires_at > %s AND revoked_at IS NULL",
            (_digest(shown), now),
        ).fetchone()
    return None if row is None else Caller(row[0], Role(row[1]), row[2], None if row[3] is None else tuple(row[3]))


def presented_before(pool: Pool, client: str, jti: str, until: datetime, now: datetime) -> bool:
    """Whether a client's assertion was presented before. It is remembered for as long as it could be believed."""
    with pool.connection(timeout=3.0) as conn, conn.transaction():
        conn.execute("DELETE FROM api_assertion WHERE expires_at < %s", (now,))
        done = conn.execute(
            "INSERT INTO api_assertion (client_id, jti, expires_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (client, jti, until),
        )
    return done.rowcount == 0


def listed(pool: Pool) -> tuple[Token, ...]:
    """All tokens, the newest first."""
    with pool.connection() as conn, conn.cursor(row_factory=class_row(Token)) as cursor:
        return tuple(
            cursor.execute(
                "SELECT token_id, role, subject, label, created_at, created_by, expires_at, revoked_at FROM api_token"
                " WHERE scopes IS NULL ORDER BY created_at DESC LIMIT %s",
                (LIST_MAX,),
            ).fetchall()
        )


def revoke(pool: Pool, token_id: UUID, now: datetime) -> bool:
    """From now on nobody gets in with it. Whether there was such a token."""
    with pool.connection() as conn:
        done = conn.execute("UPDATE api_token SET revoked_at = coalesce(revoked_at, %s) WHERE token_id = %s", (now, token_id))
    return done.rowcount == 1


def _digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode()).digest()
