"""The log's ground in PostgreSQL: connections in the application's role, set-up, privileges, the incarnation.

The owner creates (`create`); everybody else works as the role `throughline_app`, which may read the log and call `log.append`,
and may not insert into, change or remove its rows. Where the server does not let us make a role, `create` says so in its answer and
the immutability triggers still hold.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from eventlog import arrays
from eventlog.recorder import CONNECTION_WAIT_SECONDS, RECONNECT_SECONDS

APP_ROLE = "throughline_app"
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 60_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
CREATE_LOCK = 0x7468726F7567686C  # 'throughl': two processes that set up one database take turns


@dataclass(frozen=True, slots=True)
class Ground:
    """What `create` made. `role_split` is False where the application has to work as the owner, with `why` saying why."""

    incarnation: UUID
    role_split: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of the log: a restore begins the next."""

    id: UUID
    created_at: datetime


def create(url: str) -> Ground:
    """Create or complete the log in the database at `url`, as its owner.

    Safe to repeat, and at the same time from several processes.
    """
    files = resources.files("eventlog")
    statements = [files.joinpath(name).read_bytes() for name in ("schema.sql", "append.sql")]
    stamp = f"throughline {hashlib.sha256(b''.join(statements)).hexdigest()}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SET client_min_messages = warning")
        owner.execute("SELECT pg_advisory_lock(%s)", (CREATE_LOCK,))
        try:
            why = ""
            if _stamp(owner) != stamp:  # else nothing is touched: DDL would make running appends wait
                with owner.transaction():
                    for each in statements:
                        owner.execute(each)
                why = _split_roles(owner)
                if not why:
                    owner.execute(sql.SQL("COMMENT ON SCHEMA log IS {}").format(stamp))
            owner.execute("SELECT log.notice_restore()")
        finally:
            owner.execute("SELECT pg_advisory_unlock(%s)", (CREATE_LOCK,))
        return Ground(incarnation=_incarnation(owner).id, role_split=not why, why=why)


def incarnation(url: str) -> Incarnation:
    """The log's present life. Readers keep the id with their position and refuse to go on when it differs."""
    with connect(url) as conn:
        return _incarnation(conn)


def new_incarnation(url: str) -> Incarnation:
    """Begin a new life of the log: to be called, as the owner, after every restore of its database."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SELECT log.new_incarnation()")
        return _incarnation(owner)


def connect(url: str, *, autocommit: bool = True) -> Connection[TupleRow]:
    """One connection in the application's role."""
    conn = psycopg.connect(url, autocommit=True)
    try:
        settle(conn)
    except BaseException:
        conn.close()
        raise
    conn.autocommit = autocommit
    return conn


def open_pool(url: str, *, size_max: int = 10, size_min: int = 1, name: str | None = None) -> ConnectionPool[Connection[TupleRow]]:
    """A pool of autocommit connections in the application's role, for whoever keeps tables beside the log."""
    return ConnectionPool(
        url,
        kwargs={"autocommit": True},
        min_size=size_min,
        max_size=size_max,
        configure=settle,
        open=True,
        name=name,
        timeout=CONNECTION_WAIT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
    )


def settle(conn: Connection[Any]) -> None:
    """Put a fresh connection under the application's role, limits and time zone."""
    conn.autocommit = True
    with conn.cursor() as cursor:
        row: Any = cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s AND pg_has_role(oid, 'MEMBER')) AS member", (APP_ROLE,)
        ).fetchone()
        if row[0] if isinstance(row, tuple) else row["member"]:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(APP_ROLE)))
    _only_limits(conn)


def _only_limits(conn: Connection[Any]) -> None:
    conn.autocommit = True
    arrays.teach(conn.adapters)
    conn.execute(
        sql.SQL(
            "SELECT set_config('lock_timeout', '{}', false), set_config('statement_timeout', '{}', false),"
            " set_config('idle_in_transaction_session_timeout', '{}', false), set_config('TimeZone', 'UTC', false)"
        ).format(LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, IDLE_IN_TRANSACTION_TIMEOUT_MS)
    )


class _LastUsedFirst(deque[Any]):
    """The idle connections of a pool. Their server processes find their own work still in the processor's caches, if few of them
    do it; the library's order would go round through all."""

    popleft = deque.pop


class LogDatastore(PostgresDatastore):
    """The library's datastore, opened by URL and put under the application's role (unless the owner needs it, to create)."""

    def __init__(self, url: str, *, pool_size: int = 2, pool_max: int = 12, as_owner: bool = False) -> None:
        self._as_owner = as_owner
        parts = conninfo_to_dict(url)
        super().__init__(
            dbname=str(parts.get("dbname") or ""),
            host=str(parts.get("host") or ""),
            port=str(parts.get("port") or ""),
            user=str(parts.get("user") or ""),
            password=str(parts.get("password") or ""),
            pool_size=pool_size,
            max_overflow=pool_max - pool_size,
            schema="log",
            originator_id_type="text",
            connect_timeout=CONNECTION_WAIT_SECONDS,
        )
        self.pool.reconnect_timeout = RECONNECT_SECONDS
        self.pool._pool = _LastUsedFirst()
        # The URL may say more than the library asks for (sslmode, options, application_name): all of it counts.
        kept = self.pool.kwargs
        assert isinstance(kept, dict)
        self.pool.kwargs = {**{k: v for k, v in kept.items() if v != ""}, **{k: v for k, v in parts.items() if v is not None}}

    def after_connect_func(self) -> Callable[[Connection[Any]], None]:
        as_owner = self._as_owner

        def after_connect(conn: Connection[Any]) -> None:
            (_only_limits if as_owner else settle)(conn)
            # The log is asked by key only. Planning anew costs as much as the answer, and a plan made while the log was small
            # must not be a scan that is kept when it is large. By way of a bitmap a stream would come unsorted.
            conn.execute(
                "SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),"
                " set_config('enable_bitmapscan', 'off', false)"
            )

        return after_connect


def _stamp(owner: Connection[TupleRow]) -> str | None:
    row = owner.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'log'"
        " AND EXISTS (SELECT FROM pg_roles WHERE rolname = %s)",  # a dump brings the stamp to a server without the role
        (APP_ROLE,),
    ).fetchone()
    return None if row is None else row[0]


def _incarnation(conn: Connection[TupleRow]) -> Incarnation:
    row = conn.execute("SELECT id, created_at FROM log.incarnations ORDER BY number DESC LIMIT 1").fetchone()
    assert row is not None, "the log was never created: run `throughline up` first"
    return Incarnation(id=row[0], created_at=row[1])


def _split_roles(owner: Connection[TupleRow]) -> str:
    """Give the application its own role. Answers why not, where the server does not allow it."""
    role, owner_name = sql.Identifier(APP_ROLE), sql.Identifier(_current_user(owner))
    try:
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            owner.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
        row = owner.execute("SELECT pg_has_role(%s, 'MEMBER')", (APP_ROLE,)).fetchone()
        if row is not None and not row[0]:
            owner.execute(sql.SQL("GRANT {} TO {}").format(role, owner_name))
        owner.execute(sql.SQL("SET ROLE {}").format(role))
        owner.execute("RESET ROLE")
    except psycopg.errors.InsufficientPrivilege:
        return f"the database user may not create or use the role {APP_ROLE}; have an administrator create it and grant it"
    with owner.transaction():
        for statement in (
            "REVOKE ALL ON SCHEMA log FROM PUBLIC",
            "GRANT USAGE ON SCHEMA log TO {app}",
            "REVOKE ALL ON ALL TABLES IN SCHEMA log FROM PUBLIC, {app}",
            "REVOKE ALL ON ALL SEQUENCES IN SCHEMA log FROM PUBLIC, {app}",
            "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA log FROM PUBLIC, {app}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA log TO {app}",
            "GRANT EXECUTE ON FUNCTION log.append, log.head, log.held_back, log.watermark TO {app}",
            # Everything beside the log (inbox, read models, process state) belongs to the application.
            "GRANT USAGE, CREATE ON SCHEMA public TO {app}",
            "GRANT CREATE ON DATABASE {database} TO {app}",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO {app}",
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {app}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {app}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {app}",
        ):
            owner.execute(sql.SQL(statement).format(app=role, database=sql.Identifier(owner.info.dbname)))
    return ""


def _current_user(conn: Connection[TupleRow]) -> str:
    row = conn.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])
