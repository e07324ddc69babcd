"""Short runs, each aimed at one moment: small, quick, and so hot that a defect of that moment shows every time.

They stand on the real log, the real rules and the real roles, and leave behind what a whole run leaves behind, so that the same
checks judge both. What is to have a defect, or to die, is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import importlib
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import psycopg
from temporalio.client import Client

from domain.core import Command, Instant, ProcessRef
from domain.episode.closing import CloseEpisode, ReinstateEpisode
from domain.episode.facts import ClosureReason
from domain.member.decider import OptOut
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt
from domain.outreach.facts import Outcome, OutreachEnded
from eventlog import killpoints
from eventlog.clock import FixedClock
from eventlog.gateway import Accepted
from eventlog.log import Log
from intake.listening.mllp import framed
from projections.runner import Projector
from tests.intake.making import adt
from tests.torture import defects, hasty, members
from tests.torture.members import BOSS, LEAD, Moment, Streams
from tests.torture.options import Run
from tests.torture.outgoing import ledgers, lines, note
from workers import projector as projector_loop
from workers import reconcile
from workers.composition import System, connect_temporal, open_system, prepare
from workers.first_policies import adopt_first_policies
from workers.ground.postgres import ensure_database
from workers.programme import the_programme
from workers.router import Pace, Router
from workers.services import door_of, prepare_door, projector_of
from workers.settings import Settings, load_settings
from workers.temporal_worker import run_worker

START = datetime(2027, 3, 1, 15, tzinfo=UTC)
"""A Monday, seven in the morning Pacific."""

DEFECT = "TORTURE_DEFECT"
SEED = "TORTURE_SEED"
CHILD_SECONDS_MAX = 100.0
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
"""Processes that begin in milliseconds, with everything imported and nothing running."""

LOOK_SECONDS_MAX = 60.0
SENT, TAIL, TOLD = "sent", "tail", "told"


@dataclass(frozen=True)
class Place:
    """Databases and a folder of one short run; a defect to plant, "" for none."""

    settings: Settings
    home: Path
    defect: str
    seed: int

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this run is started with."""
        return {
            **{name: os.environ[name] for name in ("THROUGHLINE_MASTER_KEY", "THROUGHLINE_INDEX_KEY")},
            "DATABASE_URL": self.settings.database_url or "",
            "KEYS_DATABASE_URL": self.settings.keys_database_url or "",
            "TEMPORAL_ADDRESS": self.settings.temporal_address or "localhost:1",
            "TEMPORAL_NAMESPACE": self.settings.temporal_namespace,
            "THROUGHLINE_HOME": str(self.home),
            DEFECT: self.defect,
            SEED: str(self.seed),
        }

    def start(self, deed: str, **environment: str) -> ForkServerProcess:
        """A process that does a deed, with the defect planted. Its words go to a file of the run."""
        told = (deed, {**self.environment, **environment}, str(self.home / f"{deed}.log"))
        process = FORKS.Process(target=be, args=told, daemon=True)
        process.start()
        return process

    def do(self, deed: str, **environment: str) -> int | None:
        """Have a deed done and wait for its end; how it ended."""
        process = self.start(deed, **environment)
        process.join(CHILD_SECONDS_MAX)
        process.kill()
        process.join()
        return process.exitcode

    def finished(self, stopped_at: Instant) -> Run:
        with open_system(self.settings) as system:
            incarnation = system.log.incarnation()
        return Run(
            seed=self.seed, script=None, home=self.home, settings=self.settings, incarnation=incarnation, stopped_at=stopped_at,
            sent=self.home / SENT, acknowledged=self.home / "acknowledged", files=self.home / "files", told=self.home / TOLD,
            positions=self.home / TAIL, events=(), kills={}, refusals_by_guard=0, settled=True, unsettled="",
            deadline=time.monotonic() + LOOK_SECONDS_MAX,
        )  # fmt: skip


def place(
    url: str, home: Path, *, defect: str = "", seed: int = 1, address: str | None = None, namespace: str = "default"
) -> Place:
    """Fresh databases with tables, policies and staff."""
    settings = Settings(
        database_url=url,
        keys_database_url=f"{url}_keys",
        temporal_address=address,
        temporal_namespace=namespace,
        throughline_home=home,
    )
    ensure_database(url)
    ensure_database(f"{url}_keys")
    prepare(settings)
    with open_system(settings, clock=FixedClock(START)) as system:
        prepare_door(system)
        adopt_first_policies(system)
        for command in members.staff():
            tell(system, command)
    return Place(settings, home, defect, seed)


def tell(system: System, command: Command, id: UUID | None = None) -> Accepted:
    """Carry out a command that must be accepted."""
    outcome = system.gateway.handle(command, command_id=id or uuid4())
    assert isinstance(outcome, Accepted), outcome
    return outcome


def assign(system: System, who: Streams, when: str) -> ProcessRef:
    """A member is assigned; their outreach, planned and quiet."""
    for command in members.assigned(who, Moment(START, when, when), lambda stream: None):
        tell(system, command)
    outreach = ProcessRef.of(who.of("outreach"))
    rounds, _ = system.carriers()
    assert not rounds.until_quiet(outreach, system.clock.now()).stuck
    return outreach


@contextlib.contextmanager
def read_along(log: Log, file: Path) -> Iterator[None]:
    """A reader that tails the log from its beginning, and at the end reads what is left."""
    stop = threading.Event()

    def read() -> None:
        position = 0
        with file.open("w") as seen:
            while True:
                last = stop.is_set()
                batch = log.after(position)
                position = batch.position
                seen.writelines(f"{s.recorded.position} {s.recorded.event_id}\n" for s in batch.facts)
                if last and not batch.facts:
                    return
                time.sleep(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


# --- many at the same moment -----------------------------------------------------------------------------------------------------

CONTENDED = 14
CONTENDED_AT = "day 1 10:00"

SLOW_DISK = """
CREATE FUNCTION public.slow_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.015); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_disk AFTER INSERT ON log.events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.name = 'member.channel-opted-out') EXECUTE FUNCTION public.slow_disk();"""
"""Saying STOP takes a while to commit, as on a disk that is busy: what else is written meanwhile must wait or notice."""

"""Members about whom several people write at the same instant."""


def contend(place: Place) -> None:
    """A text goes out while its member says STOP; the same record comes twice, from two sides; others write to the same stream."""
    dice = random.Random(place.seed)
    clock = FixedClock(members.instant(START, CONTENDED_AT))
    with psycopg.connect(place.settings.database_url or "", autocommit=True) as owner:
        owner.execute(SLOW_DISK.encode())
    with contextlib.ExitStack() as stack:
        systems = [
            stack.enter_context(open_system(place.settings, clock=clock, channels=ledgers(place.home / SENT))) for _ in range(2)
        ]
        texts = [(who, assign(systems[0], who, "day 0 10:00")) for who in (Streams(f"contended {n}") for n in range(CONTENDED))]
        stack.enter_context(read_along(systems[0].log, place.home / TAIL))
        with ThreadPoolExecutor(5) as pool:
            for who, outreach in texts:
                at_once(pool, dice, [*_contenders(place, systems, who, outreach)])
        for _, outreach in texts:
            finish(systems[0], outreach, clock.now())


def _contenders(place: Place, systems: Sequence[System], who: Streams, outreach: ProcessRef) -> Iterator[Callable[[], object]]:
    """What five people do at once. Outreach's one request is the text of day 1."""
    one, other = systems
    now = one.clock.now()
    rounds, delivery = one.carriers()
    (effect,) = rounds.look(outreach, now).plan.effects

    def attempt(minutes: int) -> RecordAttempt:
        said = {"channel": Channel.CALL, "outcome": Outcome.NO_ANSWER, "minutes": minutes}
        return RecordAttempt(stream=outreach.stream, by=LEAD, occurred_at=now, **said)

    twice = uuid5(members.OURS, f"{place.seed} {who.name} twice")
    yield lambda: delivery.deliver(outreach, effect.key, now, timedelta(minutes=1))
    yield lambda: _written(place, other, OptOut(stream=who.member, by=LEAD, occurred_at=now, channel=Channel.TEXT), uuid4())
    yield lambda: _written(place, one, attempt(1), twice)
    yield lambda: _written(place, other, attempt(1), twice)
    yield lambda: _written(place, other, attempt(2), uuid4())


def _written(place: Place, system: System, command: Command, id: UUID) -> None:
    """Write, and remember that it was acknowledged."""
    outcome = system.gateway.handle(command, command_id=id)
    if isinstance(outcome, Accepted):
        positions = ",".join(str(recorded.position) for recorded in outcome.facts)
        note(place.home / TOLD, f"{command.stream} command {id} {outcome.stream} {positions or '-'}")


def at_once(pool: ThreadPoolExecutor, dice: random.Random, deeds: Sequence[Callable[[], object]]) -> None:
    """All of them, begun within a few milliseconds. Whoever is turned away has achieved nothing and was told so."""
    gate = threading.Barrier(len(deeds))

    def begin(deed: Callable[[], object], pause: float) -> None:
        gate.wait()
        time.sleep(pause)
        with contextlib.suppress(Exception):
            deed()

    for done in [pool.submit(begin, deed, dice.uniform(0, 0.006)) for deed in deeds]:
        done.result()


def finish(system: System, process: ProcessRef, now: Instant) -> None:
    """Bring every request of a process to an outcome."""
    rounds, delivery = system.carriers()
    for effect in rounds.until_quiet(process, now).look.plan.effects:
        delivery.deliver(process, effect.key, now, timedelta())


# --- dying between the hand-over and its outcome ---------------------------------------------------------------------------------

WARNED = 6
"""Members whose lead care manager is warned of a deadline by an alert: a channel on which twice is twice."""

WARNED_AT = "day 8 10:00"


def warn(place: Place) -> None:
    """Members nobody spoke with until three days before the due: an alert is asked for, for each."""
    with open_system(place.settings, clock=FixedClock(members.instant(START, WARNED_AT))) as system:
        for n in range(WARNED):
            assign(system, Streams(f"warned {n}"), "day 0 10:00")


def send(place: Place) -> None:
    """Deliver what is asked for. Whatever was begun before has lost its worker."""
    with open_system(
        place.settings, clock=FixedClock(members.instant(START, WARNED_AT)), channels=ledgers(place.home / SENT)
    ) as system:
        for n in range(WARNED):
            finish(system, ProcessRef.of(Streams(f"warned {n}").of("outreach")), system.clock.now())


# --- dying between storing and acknowledging -------------------------------------------------------------------------------------

MESSAGES = 40
PORT = "port"


def listen(place: Place) -> None:
    """The HL7 listener and the worker of the inbox, until it dies. Its port goes to a file."""

    async def listening() -> None:
        with open_system(place.settings, clock=FixedClock(START)) as system:
            door = door_of(system)
            door.start_workers(threading.Event(), threads=1)
            note(place.home / PORT, str(await door.listener().start()))
            await asyncio.Event().wait()

    asyncio.run(listening())


def hospital(place: Place, kills: int, **armed: str) -> None:
    """Send messages one by one, each until it is acknowledged, to a listener that dies so many times on the way."""
    listener = _listener(place, **armed)
    wire: socket.socket | None = None
    try:
        for n in range(MESSAGES):
            raw = adt("A01", control_id=f"T{n}", visit=f"V{n}", sent="20270301080000", admitted="20270301070000").encode()
            times = 0
            while True:
                times += 1
                try:
                    wire = wire or socket.create_connection(("127.0.0.1", int(lines(place.home / PORT)[-1][0])), timeout=10)
                    wire.sendall(framed(raw))
                    if b"MSA|AA|" in _answer(wire):
                        break
                except OSError:
                    wire = None
                    listener.join(10)
                    assert listener.exitcode == -signal.SIGKILL, f"the listener ended with {listener.exitcode}"
                    kills -= 1
                    listener = _listener(place, **(armed if kills > 0 else {}))
            note(place.home / "acknowledged", f"T{n} T{n} {hashlib.sha256(raw).hexdigest()} {times}")

        def worked_off() -> bool:
            nonlocal listener
            if not listener.is_alive():  # where storing comes after the answer, the last death may come after the last answer
                listener = _listener(place)
            return not _received(place)

        _until(worked_off)
    finally:
        if wire is not None:
            wire.close()
        listener.kill()
        listener.join()


def _listener(place: Place, **armed: str) -> ForkServerProcess:
    before = len(lines(place.home / PORT))
    listener = place.start("listen", **armed)
    _until(lambda: len(lines(place.home / PORT)) > before)
    return listener


def _answer(wire: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\x1c\r"):
        more = wire.recv(4096)
        if not more:
            raise ConnectionResetError
        received += more
    return received


def _received(place: Place) -> bool:
    with psycopg.connect(place.settings.database_url or "") as conn:
        return bool(conn.execute("SELECT 1 FROM intake.inbox WHERE status = 'received'").fetchone())


# --- connections cut while read models go forward --------------------------------------------------------------------------------

PROJECTED = 5
CUTS = 4

SLOW_COUNTS = """
CREATE FUNCTION public.slow_counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
DO $$ DECLARE counts text; BEGIN
    SELECT c.oid::regclass INTO counts FROM pg_class c WHERE c.relkind = 'r' AND c.relname LIKE 'fact\\_counts\\_\\_%';
    EXECUTE format('CREATE CONSTRAINT TRIGGER slow_counts AFTER INSERT OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW WHEN (NEW.key LIKE ''member.%%'') EXECUTE FUNCTION public.slow_counts()', counts);
END $$;"""
"""What was folded of members takes its time to commit: cut then, it must be folded again."""


def project(place: Place) -> None:
    """The projector, in small batches."""
    projector_loop.AWAY_SECONDS_MIN = 0.05
    with open_system(place.settings, clock=FixedClock(START)) as system:
        models = projector_of(system).models.values()
        projector = Projector(system.pool, system.log, tuple(models), system.programme.facts, live_facts_max=4)
        projector_loop.project(projector, threading.Event(), lambda: None)


def cut(place: Place) -> Instant:
    """Cut every connection of the projector again and again, while it commits; then let it finish."""
    url, now = place.settings.database_url or "", members.instant(START, CONTENDED_AT)
    with open_system(place.settings, clock=FixedClock(now)) as system:
        projector = projector_of(system)
        projector.create()
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(SLOW_COUNTS.encode())
            for n in range(PROJECTED):
                assign(system, Streams(f"projected {n}"), "day 0 10:00")
            worker = place.start("project")
            try:
                cuts, until = 0, time.monotonic() + CHILD_SECONDS_MAX
                while not all(status.lag == 0 for status in projector.status()):
                    if cuts < CUTS and owner.execute(_COMMITTING).fetchone():
                        owner.execute(_CUT)
                        cuts += 1
                    time.sleep(0.02)
                    assert time.monotonic() < until and worker.exitcode is None, "the projector does not catch up"
                assert cuts, "nothing was cut"
            finally:
                worker.kill()
                worker.join()
    return now


_COMMITTING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
_CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"""


# --- news while a process closes; news that never comes --------------------------------------------------------------------------

CLOSED = 24
AT_ONCE = 3
ENDS_SECONDS_MAX = 3.0
DROPPED_PERCENT = 60
QUIET_SECONDS_MAX = 12.0
WORKFLOWS = hasty.WORKFLOWS


def close(place: Place) -> None:
    """Members whose episode is closed, and reinstated a moment later: what is owed to them has ended, or is about to."""
    asyncio.run(_rouse(place, dropped_percent=0))


def drop(place: Place) -> None:
    """The same, with a router whose signals get lost, and a reconcile afterwards."""
    asyncio.run(_rouse(place, dropped_percent=DROPPED_PERCENT))


async def _rouse(place: Place, *, dropped_percent: int) -> None:
    programme = replace(the_programme(), workflows=WORKFLOWS)
    clock = FixedClock(members.instant(START, CONTENDED_AT))
    dice = random.Random(place.seed)
    with open_system(place.settings, clock=clock, channels=ledgers(place.home / SENT), programme=programme) as system:
        client = await connect_temporal(system.settings, lazy=False)
        everybody = [Streams(f"roused {n}") for n in range(CLOSED)]
        for who in everybody:
            for command in members.assigned(who, Moment(START, "day 0 10:00", "day 0 10:00"), lambda stream: None):
                await asyncio.to_thread(tell, system, command)
        stop = asyncio.Event()
        losing = Losing(client, dice, 0)
        told = Router(system.log, system.router_store(), programme, losing, Pace(idle_seconds=0.05))  # type: ignore[arg-type]
        working = [
            asyncio.create_task(told.run(stop)),
            asyncio.create_task(run_worker(system, stop, schedule=False, graceful=timedelta(seconds=1))),
        ]
        try:
            await _quiet(system)
            losing.percent = dropped_percent
            slots = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(_closed_and_reinstated(system, who, slots) for who in everybody))
            await _quiet(system)
            if dropped_percent:
                losing.percent = 0
                reconciler = reconcile.Reconciler(system.pool, client, clock, programme.processes, grace=timedelta())
                await reconciler.run_pass(deep=True)
                await _quiet(system)
        finally:
            stop.set()
            await asyncio.gather(*working)


async def _closed_and_reinstated(system: System, who: Streams, slots: asyncio.Semaphore) -> None:
    """Closed; and reinstated in the very moment in which the outreach says that it ended, while its workflow is about to return."""
    closed_at, outreach = system.clock.now() - timedelta(hours=1), who.of("outreach")
    closing = CloseEpisode(stream=who.of("episode"), by=BOSS, occurred_at=closed_at, reason=ClosureReason.MOVED_COUNTY)
    reinstating = ReinstateEpisode(stream=who.of("episode"), by=BOSS, reason="another county's list")

    def closed_and_reinstated() -> None:
        before = system.log.version(outreach)
        tell(system, closing)
        until = time.monotonic() + ENDS_SECONDS_MAX
        while time.monotonic() < until and not any(
            isinstance(recorded.fact, OutreachEnded) for recorded in system.log.read(outreach, after=before)
        ):
            time.sleep(0.002)
        tell(system, reinstating)

    async with slots:
        await asyncio.to_thread(closed_and_reinstated)


@dataclass
class Losing:
    """A client that loses so many of a hundred signals."""

    client: Client
    dice: random.Random
    percent: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    async def start_workflow(self, *given: Any, **more: Any) -> Any:
        if self.dice.randrange(100) >= self.percent:
            return await self.client.start_workflow(*given, **more)
        return None


async def _quiet(system: System) -> None:
    """Until the router has told everything and nobody is behind; given up where nothing moves any more."""
    until, before = time.monotonic() + QUIET_SECONDS_MAX, None
    while time.monotonic() < until:
        await asyncio.sleep(0.2)
        behind = await asyncio.to_thread(_behind, system)
        if not behind and system.router_store().position() >= system.log.watermark():
            return await asyncio.sleep(0.5)  # who is done still has to return
        if behind != before:
            until, before = time.monotonic() + QUIET_SECONDS_MAX / 3, behind


def _behind(system: System) -> int:
    with system.pool.connection() as conn:
        row = conn.execute(
            "SELECT count(*) FROM router_process p LEFT JOIN process_state s USING (process)"
            " WHERE (p.open OR s.process IS NOT NULL) AND (p.position > coalesce(s.position, 0) OR cardinality(s.effects) > 0)"
        ).fetchone()
    return int(row[0]) if row else 0


# --- being a process of a run ----------------------------------------------------------------------------------------------------

DEEDS: dict[str, Callable[[Place], None]] = {deed.__name__: deed for deed in (contend, warn, send, listen, project, close, drop)}


def be(deed: str, environment: Mapping[str, str], log: str) -> None:
    """Do a deed in a process that was forked for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # die with whoever wanted it
    words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(words, 1)
    os.dup2(words, 2)
    os.environ.update(environment)
    importlib.reload(killpoints)
    defects.plant(environment[DEFECT])
    settings = load_settings()
    DEEDS[deed](Place(settings, settings.throughline_home, environment[DEFECT], int(environment[SEED])))


def _until(so: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)
