"""Wires what the API needs out of a `System` and its front door; and says whether requests can be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError

import psycopg
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.service import RPCError

from api import tokens
from api.services import Dependency, Feedback, Services
from eventlog.recorder import LogAway
from intake.door import FrontDoor, open_door
from intake.files.profiles import PROFILES, Profiles
from intake.senders.notices import Kind
from intake.senders.sources import load_sources
from intake.store import inbox
from projections.queries import Queries
from projections.registry import read_models
from projections.runner import Projector
from workers.composition import System, addresses

LAG_MAX = 20_000
"""A router that is further behind than this wakes processes for what was long ago."""

HEALTH_SECONDS = 3.0


def prepare_door(system: System) -> None:
    """Create or complete the tables of inbox and tokens. Safe to repeat; after `composition.prepare`."""
    inbox.create(addresses(system.settings)[0])
    tokens.create_tables(system.pool)


def projector_of(system: System) -> Projector:
    """The projector of all read models, on an open system."""
    return Projector(system.pool, system.log, read_models(system.settings.keys().index), system.programme.facts)


def queries_of(system: System) -> Queries:
    """The questions that can be asked."""
    return Queries(system.pool, system.log, index_key=system.settings.keys().index)


def door_of(system: System) -> FrontDoor:
    """The front door on an open system. Raises SourcesInvalid."""
    settings = system.settings
    door = open_door(
        addresses(settings)[0],
        gateway=system.gateway,
        keys=system.opened.keys,
        index_key=settings.keys().index,
        clock=system.clock,
        sources=load_sources(settings.throughline_sources),
    )
    if settings.throughline_profiles is not None:
        door.files.profiles = Profiles((PROFILES, settings.throughline_profiles))
    return door


def services_of(
    system: System,
    door: FrontDoor,
    *,
    ready: Callable[[], tuple[Dependency, ...]] | None = None,
    feedback: Feedback | None = None,
) -> Services:
    """What the API needs."""
    return Services(
        gateway=system.gateway,
        pool=system.pool,
        clock=system.clock,
        processes=system.programme.processes,
        identity=door.identity,
        inbox=door.inbox,
        reception=door.reception,
        files=door.files,
        referrals=door.referrals,
        inquiries=door.inquiries,
        strangers=door.strangers,
        programme=(system.settings.throughline_organisation, system.settings.throughline_callback),
        sources=door.sources,
        door=door,
        queries=queries_of(system),
        public_url=system.settings.public_url(),
        ready=ready or (lambda: readiness(system)),
        feedback=feedback,
    )


def readiness(
    system: System, client: Client | None = None, loop: asyncio.AbstractEventLoop | None = None
) -> tuple[Dependency, ...]:
    """What requests depend on, the database and the log's life; and what only deadlines wait for: how far the router is behind,
    Temporal (asked on its loop)."""
    database = _database(system)
    if not database.ready:
        return (database,)
    told = (database, _incarnation(system), _lag(system), _work(system))
    return told if client is None or loop is None else (*told, _temporal(client, loop))


def _database(system: System) -> Dependency:
    try:
        system.log.watermark()
    except (LogAway, psycopg.Error, PoolTimeout):
        return Dependency("database", False, "does not answer")
    return Dependency("database", True, "answers")


def _incarnation(system: System) -> Dependency:
    with system.pool.connection(timeout=HEALTH_SECONDS) as conn:
        row = conn.execute("SELECT incarnation FROM router_tracking LIMIT 1").fetchone()
    same = row is None or row[0] is None or row[0] == system.log.incarnation()
    return Dependency("incarnation", same, "the same" if same else "the log was restored: run `throughline workflows rebuild`")


def _lag(system: System) -> Dependency:
    with system.pool.connection(timeout=HEALTH_SECONDS) as conn:
        row = conn.execute("SELECT min(position) FROM router_tracking").fetchone()
    behind = 0 if row is None or row[0] is None else max(0, system.log.watermark() - int(row[0]))
    return Dependency("lag", behind <= LAG_MAX, f"the router is {behind} positions behind", needed=False)


def _work(system: System) -> Dependency:
    with system.pool.connection(timeout=HEALTH_SECONDS) as conn:
        rows = conn.execute(
            "SELECT source_id, subject FROM intake.notices WHERE kind = %s AND ended_at IS NULL ORDER BY since",
            (Kind.FAILING_WORK,),
        ).fetchall()
    failing = ", ".join(f"{work} ({failure})" for work, failure in rows)
    said = f"fails again and again: {failing}; see `throughline inbox feeds`" if failing else "goes well"
    return Dependency("work", not failing, said, needed=False)


def _temporal(client: Client, loop: asyncio.AbstractEventLoop) -> Dependency:
    async def asked() -> bool:
        return bool(await client.service_client.check_health())

    try:
        answers = asyncio.run_coroutine_threadsafe(asked(), loop).result(HEALTH_SECONDS)
    except (RPCError, RuntimeError, FutureTimeoutError, CancelledError):
        answers = False
    return Dependency("temporal", answers, "answers" if answers else "does not answer; deadlines wait for it", needed=False)
