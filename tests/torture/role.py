"""One role of the system as a process of its own, to be killed: `python -m tests.torture.role worker`.

The real composition root and the real roles. Different are only: short time limits (tests/torture/hasty.py), channels that keep a
ledger, a router's client that loses and doubles signals on demand, and whatever `TORTURE_DEFECT` plants.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import psycopg
from eventsourcing.persistence import OperationalError as EventStoreAway
from psycopg_pool import PoolTimeout
from temporalio.client import Client

import workflows.reconcile as reconcile_workflow
from api.commands import command_id_of
from domain.core import Refusal
from domain.outreach.decider import RecordAttempt
from eventlog import killpoints
from eventlog.clock import OffsetClock
from eventlog.gateway import Accepted
from eventlog.log import Log
from eventlog.recorder import LogAway
from intake.people.identity import IdentityKeys
from tests.torture import deeds
from tests.torture.hasty import WORKFLOWS
from tests.torture.outgoing import ledgers, lines, note
from tests.torture.script import BY_HAND, MESSAGES, Happening, Script
from workers import reconcile, roles, temporal_worker
from workers.composition import System, open_system
from workers.programme import the_programme
from workers.services import projector_of
from workers.settings import load_settings
from workers.telemetry import TelemetryTargets, start_telemetry

DEFECT = "TORTURE_DEFECT"
SCRIPT = "TORTURE_SCRIPT"
SENT, POSITIONS, TOLD, SIGNALS, TOKENS = "sent", "positions", "told", "signals.json", "tokens.json"
"""In the run's home: what channels handed over, what the reader saw, what writers were told, how signals fare, who may post."""

WRITERS = 2
WRITER_THREADS = 3
GUARDED = "guarded"
GUARDED_BEHIND = timedelta(minutes=5)
"""So far the guarded worker's clock lies behind: more than the two minutes that are allowed."""

RECONCILE_EVERY = timedelta(seconds=2)
RECONCILE_DEEP_EVERY = timedelta(seconds=5)
RECONCILE_GRACE = timedelta(seconds=3)
NUDGE_AGAIN_AFTER = timedelta(seconds=4)
RECONCILE_PASS_SECONDS_MAX = 4
"""A backup may hold a pass in the middle; restored, it keeps the next ones waiting until this is over."""
GRACEFUL = timedelta(seconds=1)

STILL_UNKNOWN = frozenset({"outreach_not_open", "no_transition", "no_follow_up", "unknown_item"})
"""Refusals for which a process has to look first: whoever is told so tries again."""

AWAY_AT_START = 75
"""What a role exits with that found no database: whoever supervises it starts it again."""

NOT_YET = "not_yet"
TRIES_SECONDS_MAX = 120.0
ANSWER_SECONDS_MAX = 10.0


class Away(Exception):
    """The API does not answer, or cannot now."""


AWAY = (Away, LogAway, psycopg.OperationalError, PoolTimeout)
_PR_SET_PDEATHSIG = 1


def run_role(role: str, environment: Mapping[str, str], log: str) -> None:
    """Be that role until told to stop, in a process that was forked for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(words, 1)
    os.dup2(words, 2)
    os.environ.update(environment)
    random.seed()
    importlib.reload(killpoints)
    main(role)


def main(role: str) -> None:
    start_telemetry(role, TelemetryTargets())
    hasten()
    if defect := os.environ.get(DEFECT):
        importlib.import_module("tests.torture.defects").plant(defect)
    settings = load_settings()
    home = settings.throughline_home
    clock = OffsetClock(lambda: -GUARDED_BEHIND) if role == GUARDED else None
    programme = replace(the_programme(), workflows=WORKFLOWS)
    try:
        opened = open_system(settings, channels=ledgers(home / SENT), programme=programme, clock=clock)
    except (EventStoreAway, *AWAY):
        sys.exit(AWAY_AT_START)
    with opened as system:
        kind, _, number = role.partition(":")
        match kind:
            case "writer":
                write(system, int(number or 0), home)
            case "reader":
                read_along(system.log, home / POSITIONS)
            case "worker" | "guarded":
                asyncio.run(_work(system, roles.WORKER))
            case _:
                asyncio.run(_work(system, kind))


async def _work(system: System, role: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await roles.work(system, projector_of(system), (role,), stop, print)


def hasten() -> None:
    """What production does in minutes is done in seconds, here and only here."""
    reconcile.EVERY = RECONCILE_EVERY
    reconcile.DEEP_EVERY = RECONCILE_DEEP_EVERY
    reconcile.NUDGE_AGAIN_AFTER = NUDGE_AGAIN_AFTER
    reconcile_workflow.PASS_SECONDS_MAX = RECONCILE_PASS_SECONDS_MAX
    defaults = reconcile.Reconciler.__init__.__kwdefaults__
    assert defaults is not None
    defaults["grace"] = RECONCILE_GRACE
    working = temporal_worker.run_worker.__kwdefaults__
    assert working is not None
    working["graceful"] = GRACEFUL
    temporal_worker.AWAY_SECONDS = 0.3
    connect = roles.connect_temporal

    async def connected(*given: Any, **more: Any) -> Client:
        client = await connect(*given, **more)
        return Careless(client, given[0].throughline_home / SIGNALS)  # type: ignore[return-value]

    roles.connect_temporal = connected


class Careless:
    """A client that loses and doubles signals, as many of a hundred as a file says. It stands between the router and Temporal."""

    def __init__(self, client: Client, file: Path) -> None:
        self._client = client
        self._file = file
        self._read_at = 0.0
        self._percent: Mapping[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def start_workflow(self, *given: Any, **more: Any) -> Any:
        dice = random.randrange(100)
        lost, doubled = self._now()
        if dice < lost:
            self._count("lost")
            return None
        if dice < lost + doubled:
            self._count("doubled")
            await self._client.start_workflow(*given, **more)
        return await self._client.start_workflow(*given, **more)

    def _now(self) -> tuple[int, int]:
        if time.monotonic() - self._read_at > 0.2:
            self._read_at = time.monotonic()
            try:
                self._percent = json.loads(self._file.read_text())
            except (FileNotFoundError, ValueError):
                self._percent = {}
            if self._percent.get("until", 0) < time.time():
                self._percent = {}
        return self._percent.get("lost", 0), self._percent.get("doubled", 0)

    def _count(self, what: str) -> None:
        note(self._file.with_name("signals"), what)


# --- the reader that runs along --------------------------------------------------------------------------------------------------


def read_along(log: Log, file: Path) -> None:
    """Tail the log from its beginning for as long as we live, and write down what came in which order."""
    position = 0
    while True:
        try:
            batch = log.after(position)
        except AWAY:
            time.sleep(0.2)
            continue
        if batch.facts:
            note(file, "\n".join(f"{stored.recorded.position} {stored.recorded.event_id}" for stored in batch.facts))
        elif batch.position == position:
            time.sleep(0.02)
        position = batch.position


# --- writers ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Writes down what staff say, each person's things in their order, again and again until the gateway has answered."""

    system: System
    script: Script
    journal: Path

    def __post_init__(self) -> None:
        self.identity = IdentityKeys(self.system.settings.keys().index)
        self.written = {words[0] for words in lines(self.journal) if words[1] != "command"}
        self.begun: dict[str, float] = {}
        self.tokens: dict[str, str] = json.loads((self.system.settings.throughline_home / TOKENS).read_text())

    def queues(self, mine: Callable[[str], bool]) -> list[list[Happening]]:
        """What is not told yet of those members who are mine, each in its order."""
        queues: dict[str, list[Happening]] = {}
        for happening in self.script.happenings:
            if happening.what == "file" or happening.what in MESSAGES or happening.id in self.written:
                continue
            name = happening.with_.partition("/")[0] if happening.what == BY_HAND else str(happening.person.number)
            if mine(name):
                queues.setdefault(name, []).append(happening)
        return list(queues.values())

    def work(self, queues: list[list[Happening]]) -> None:
        while queues:
            moved = False
            now = self.system.clock.now()
            for queue in queues:
                if queue and queue[0].arrives_at <= now and self.tell(queue[0]):
                    queue.pop(0)
                    moved = True
            if not moved:
                time.sleep(0.03)

    def tell(self, happening: Happening) -> bool:
        """Whether it is settled: accepted, or refused for good."""
        began = self.begun.setdefault(happening.id, time.monotonic())
        try:
            code = self._tried(happening)
        except deeds.NotYet:
            code = NOT_YET
        except AWAY:
            time.sleep(0.1)
            return False
        if code == NOT_YET or (code in STILL_UNKNOWN and time.monotonic() - began < TRIES_SECONDS_MAX):
            return False
        note(self.journal, f"{happening.id} {code or 'ok'}")
        return True

    def _tried(self, happening: Happening) -> str:
        for n, command in enumerate(deeds.commands_of(happening, self.script, self.system.gateway, self.identity)):
            if isinstance(command, RecordAttempt) and command.by in self.tokens and _over_the_wire(happening):
                if code := self._posted(happening, command):
                    return code
                continue
            id = deeds.command_id(happening, n)
            match self.system.gateway.handle(command, command_id=id):
                case Accepted() as accepted:
                    positions = ",".join(str(recorded.position) for recorded in accepted.facts)
                    note(self.journal, f"{happening.id} command {id} {accepted.stream} {positions or '-'}")
                case Refusal(code=code):
                    return code
                case _:
                    return NOT_YET
        return ""

    def _posted(self, happening: Happening, command: RecordAttempt) -> str:
        """The same over the API; empty where it was accepted, else the code of the refusal. Raises Away."""
        settings = self.system.settings
        said = {
            "channel": command.channel.value, "outcome": command.outcome.value, "minutes": command.minutes,
            "occurred_at": happening.at.isoformat(),
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {self.tokens[command.by]}", "Idempotency-Key": happening.id}
        try:
            answer = httpx.post(
                f"http://{settings.throughline_host}:{settings.throughline_api_port}/v1/outreach/{command.stream}/attempts",
                json=said, headers=headers, timeout=ANSWER_SECONDS_MAX,
            )  # fmt: skip
        except httpx.HTTPError:
            raise Away from None
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Away
        told = answer.json()
        if answer.status_code != httpx.codes.OK:
            return str(told["code"])
        id = command_id_of(happening.id, command.by)
        note(self.journal, f"{happening.id} command {id} {told['stream']} {told['position'] if told['facts'] else '-'}")
        return ""


def _over_the_wire(happening: Happening) -> bool:
    """Whether this one is told to the API: every third."""
    return crc32(happening.id.encode()) % 3 == 0


def write(system: System, number: int, home: Path) -> None:
    """The writer of that number, with its threads."""
    import pickle

    script: Script = pickle.loads(Path(os.environ[SCRIPT]).read_bytes())
    (home / TOLD).mkdir(exist_ok=True)
    threads = []
    for thread in range(WRITER_THREADS):
        place = number * WRITER_THREADS + thread
        writer = Writer(system, script, home / TOLD / f"{place}.log")
        queues = writer.queues(lambda name, place=place: crc32(name.encode()) % (WRITERS * WRITER_THREADS) == place)  # type: ignore[misc]
        threads.append(threading.Thread(target=writer.work, args=(queues,), daemon=True))
    for started in threads:
        started.start()
    while True:
        time.sleep(1.0)


if __name__ == "__main__":
    main(sys.argv[1])
