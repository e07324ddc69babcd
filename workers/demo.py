"""The demo: an invented programme with a year of history, then a day in its life over the wire, then the clock moves.

It runs on databases, a namespace and a home folder of its own, and leaves those of anybody else alone. What the story shows it gets
by the commands and addresses that a user has.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.core import StreamId
from eventlog.clock import FixedClock
from intake.door import open_door
from intake.senders.sources import load_sources
from intake.store import inbox
from simulation.entrance import Entrance
from simulation.history import Programme
from simulation.people import Person
from simulation.virtual import Accepting, VirtualProgramme
from workers import composition
from workers.clock import StoredOffset
from workers.composition import KINDS, System, addresses, connect_temporal, open_system
from workers.first_policies import adopt_first_policies
from workers.ground.child import spawn
from workers.ground.postgres import PostgresGround, database_name, drop_database, ensure_database, provide_postgres, with_database
from workers.ground.temporal import TemporalGround, provide_temporal
from workers.ground.temporal_web import TemporalWebPages, provide_web_pages
from workers.rebuild import rebuild
from workers.reconcile import nudge_all
from workers.settings import Settings

HISTORY_DAYS = 400
MEMBERS = 24
DATABASE = "throughline_demo"
SOURCE = "valley-general"
FOLDER = "demo"
GROUND_FILE = "ground.json"
GROUND_MODE = 0o600

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 40.0
APPEAR_SECONDS_MAX = 90.0

Say = Callable[[str], None]
Progress = Callable[[str, float], None]
"""(what is being done, share of it that is done)."""


class DemoRuns(Exception):
    """Another demo runs on this machine. The text says what to do."""


class DemoFailed(Exception):
    """Something of the demo did not come up in time. The text says what, and where its log is."""


def demo_home(settings: Settings) -> Path:
    return settings.throughline_home / FOLDER


def demo_settings(settings: Settings) -> Settings:
    """The settings by which a command speaks to the demo that runs here. Raises DemoFailed where none does."""
    home = demo_home(settings)
    try:
        ground = json.loads((home / GROUND_FILE).read_text())
    except FileNotFoundError:
        raise DemoFailed("No demo runs here. Start one with `make demo`, in another terminal.") from None
    return settings.model_copy(update={**ground, "throughline_home": home})


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo stands on, and the settings by which its own processes find it."""

    settings: Settings
    postgres: PostgresGround
    temporal: TemporalGround
    web: TemporalWebPages | None

    @property
    def api(self) -> str:
        return f"http://{self.settings.throughline_host}:{self.settings.throughline_api_port}"

    @property
    def hl7(self) -> tuple[str, int]:
        return self.settings.throughline_host, self.settings.throughline_hl7_port


@contextlib.contextmanager
def only_demo(settings: Settings) -> Iterator[None]:
    """Hold the demo's place on this machine. Raises DemoRuns."""
    home = demo_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "running").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise DemoRuns(
                f"A demo runs already (process {lock.read().strip() or 'unknown'}). Use it: `throughline --demo worklist`; "
                "or stop it with Ctrl-C where it runs, and start again."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            (home / GROUND_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def stage(settings: Settings, say: Say) -> Iterator[Stage]:
    """Servers, empty databases and an empty namespace. Raises GroundError."""
    home = demo_home(settings)
    StoredOffset(home).clear()
    with contextlib.ExitStack() as stack:
        postgres = provide_postgres(home, database_url=settings.database_url)
        stack.callback(postgres.stop)
        say(f"PostgreSQL: {postgres.source}")
        url = with_database(postgres.url, DATABASE)
        keys_url = with_database(postgres.url, f"{DATABASE}_keys")
        for each in (url, keys_url):
            assert database_name(each).startswith(DATABASE), "the demo empties only its own databases"
            drop_database(each)
            ensure_database(each)
        namespace = f"throughline-demo-{secrets.token_hex(3)}"
        temporal = provide_temporal(home, address=settings.temporal_address, namespace=namespace, say=say)
        stack.callback(temporal.stop)
        say(f"Temporal: {temporal.source}")
        web = provide_web_pages(
            home, temporal_address=temporal.address, namespace=namespace, port=settings.throughline_temporal_ui_port
        )
        if web is not None:
            stack.callback(web.stop)
        ground = {
            "database_url": url,
            "keys_database_url": keys_url,
            "temporal_address": temporal.address,
            "temporal_namespace": namespace,
        }
        own = settings.model_copy(update={**ground, "throughline_home": home})
        _keep_ground(home, ground)
        composition.prepare(own)
        inbox.create(url)
        yield Stage(own, postgres, temporal, web)


def _keep_ground(home: Path, ground: dict[str, str]) -> None:
    file = home / GROUND_FILE
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, GROUND_MODE), "w") as written:
        json.dump(ground, written)


# --- a year of history ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """What the history left behind."""

    people: tuple[Person, ...]
    operator: StreamId
    supervisor: StreamId
    care_managers: tuple[StreamId, ...]
    facts: int
    refused: tuple[str, ...]


def write_history(own: Settings, progress: Progress, members: int = MEMBERS, days: int = HISTORY_DAYS) -> Past:
    """A year and more of an invented programme, through the real gateway and front door on a virtual clock that ends now."""
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    clock = FixedClock(since)
    with open_system(own, clock=clock, channels=dict.fromkeys(KINDS, Accepting())) as system:
        adopt_first_policies(system)
        sources = load_sources(own.throughline_sources)
        source = sources.named(SOURCE)
        assert source is not None, "the demo's hospital is among its sources"
        door = open_door(
            addresses(own)[0],
            gateway=system.gateway,
            keys=system.opened.keys,
            index_key=own.keys().index,
            clock=clock,
            sources=sources,
        )
        try:
            run = VirtualProgramme(system.log, *system.carriers(), clock, frozenset(system.programme.processes))
            programme = Programme(system.gateway, Entrance(door, system.gateway, source), run)
            programme.write(since, until, members, lambda now: progress("history", (now - since) / (until - since)))
            assert programme.team is not None
            team, stay = programme.team, programme.staying
            return Past(programme.people, team.operator, team.supervisor, stay, system.log.watermark(), tuple(programme.refused))
        finally:
            door.close()


def rebuild_workflows(own: Settings, progress: Progress) -> int:
    """Start a workflow for every open process of the log; how many there are."""

    async def rebuilt(system: System) -> int:
        client = await connect_temporal(own)
        done = await rebuild(
            system.log,
            system.pool,
            client,
            system.programme,
            progress=lambda done, total: progress("workflows", done / max(total, 1)),
        )
        return done.total

    with open_system(own) as system:
        return asyncio.run(rebuilt(system))


# --- the programme at work -----------------------------------------------------------------------------------------------------


def environment(own: Settings) -> dict[str, str]:
    """The environment in which a command of ours speaks to the demo."""
    assert own.database_url and own.keys_database_url and own.temporal_address
    return {
        **os.environ,
        "DATABASE_URL": own.database_url,
        "KEYS_DATABASE_URL": own.keys_database_url,
        "TEMPORAL_ADDRESS": own.temporal_address,
        "TEMPORAL_NAMESPACE": own.temporal_namespace,
        "THROUGHLINE_HOME": str(own.throughline_home),
    }


@contextlib.contextmanager
def at_work(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """All workers, the API and the listener, as `throughline up` runs them; ended with it. Raises DemoFailed."""
    words_of(stage).unlink(missing_ok=True)
    child = spawn([sys.executable, "-m", "workers.cli", "up"], log=words_of(stage), environment=environment(stage.settings))
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(STOP_SECONDS_MAX)


def words_of(stage: Stage) -> Path:
    """The file with what `throughline up` said."""
    return stage.settings.throughline_home / "up.log"


def until(what: str, holds: Callable[[], bool], seconds: float = APPEAR_SECONDS_MAX) -> None:
    """Wait until something is so. Raises DemoFailed."""
    give_up_at = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up_at:
            raise DemoFailed(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.1)


def advance_clock(own: Settings, by: timedelta) -> tuple[datetime, int]:
    """Move the demo's clock ahead and let every process look. The demo's new now, and how many processes were told."""

    async def nudged(system: System) -> int:
        return await nudge_all(system.pool, await connect_temporal(own))

    StoredOffset(own.throughline_home).advance(by)
    with open_system(own) as system:
        return system.clock.now(), asyncio.run(nudged(system))
