"""P8, P9 and P10: the front door, from a hospital's socket to the checklist that somebody sees."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.ground import Databases, Ground
from benchmarks.hospital import Sent
from benchmarks.table import Measured, NotMeasured, Row, at_least, in_turns, told_only, within
from workers import composition, services
from workers.settings import Settings

P8_MESSAGES = 30_000
P8_SINGLE = 1_500
START_SECONDS_MAX = 60.0
L1 = "L1"


@dataclass(frozen=True, slots=True)
class Site:
    """The databases of one installation and what its processes are told."""

    databases: Databases
    home: Path
    temporal: str
    namespace: str
    hl7_port: int

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.databases.url,
            "KEYS_DATABASE_URL": self.databases.keys_url,
            "TEMPORAL_ADDRESS": self.temporal,
            "TEMPORAL_NAMESPACE": self.namespace,
            "THROUGHLINE_HOME": str(self.home),
            "THROUGHLINE_HL7_PORT": str(self.hl7_port),
            **more,
        }

    def settings(self) -> Settings:
        return Settings(
            database_url=self.databases.url, keys_database_url=self.databases.keys_url, temporal_address=self.temporal,
            temporal_namespace=self.namespace, throughline_home=self.home, throughline_hl7_port=self.hl7_port,
        )  # fmt: skip


@contextmanager
def site(ground: Ground) -> Iterator[Site]:
    """A fresh installation, its tables set up."""
    with ground.databases() as databases, ground.folder() as home:
        found = Site(databases, home, ground.temporal, ground.namespace(), free_port())
        composition.prepare(found.settings())
        with composition.open_system(found.settings()) as system:
            services.prepare_door(system)
        yield found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def role(at: Site, name: str, **more: str) -> Iterator[psutil.Process]:
    """A role in a process of its own, started by the command line as a container starts it."""
    with (at.home / f"{name}-{uuid.uuid4().hex[:6]}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "run", name], env=at.environment(**more), stdout=log, stderr=log
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(port: int) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NotMeasured(f"the HL7 listener did not come up within {START_SECONDS_MAX:g} s")


def hospital(port: int, *, messages: int, connections: int, window: int, first_person: int = 0, people: int = 5_000) -> Sent:
    """What a sender in a process of its own saw. Raises NotMeasured where a message was not accepted."""
    ran = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.hospital", f"--port={port}", f"--messages={messages}", f"--connections={connections}",
            f"--window={window}", f"--first-person={first_person}", f"--people={people}", f"--name=V{uuid.uuid4().hex[:8]}",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise NotMeasured(f"the sender failed: {ran.stderr.strip().splitlines()[-1] if ran.stderr else ran.returncode}")
    told = Sent(**json.loads(ran.stdout))
    if told.accepted != messages:
        raise NotMeasured(f"{told.accepted} of {messages} messages were accepted")
    return told


def stored(at: Site) -> int:
    with psycopg.connect(at.databases.url) as conn:
        row = conn.execute("SELECT count(*) FROM intake.inbox").fetchone()
    assert row is not None
    return int(row[0])


def fsync_seconds(folder: Path, *, times: int = 200) -> float:
    """The median of 8 kB written and flushed, on the disk that PostgreSQL's log is on."""
    page, took = os.urandom(8192), []
    file = folder / "fsync"
    with file.open("wb", buffering=0) as disk:
        for _ in range(times):
            began = time.perf_counter()
            disk.write(page)
            os.fdatasync(disk.fileno())
            took.append(time.perf_counter() - began)
    file.unlink()
    return sorted(took)[times // 2]


def cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def rows(ground: Ground) -> Iterator[Row]:
    yield from _stored_and_acknowledged(ground)


def _stored_and_acknowledged(ground: Ground) -> Iterator[Row]:
    """P8. Only the listener runs: what is stored is worked off in P9."""
    with site(ground) as at, role(at, "intake", THROUGHLINE_INTAKE="listen") as listener:
        wait_for_port(at.hl7_port)
        sent, costs = 0, []

        def rate(connections: int, window: int, messages: int) -> float:
            nonlocal sent
            used = cpu_seconds(listener)
            told = hospital(at.hl7_port, messages=messages, connections=connections, window=window)
            costs.append((cpu_seconds(listener) - used) / messages * 1e6)
            sent += messages
            if stored(at) != sent:
                raise NotMeasured(f"{stored(at)} of {sent} acknowledged messages are in the inbox")
            return messages / told.seconds

        rate(16, 16, P8_MESSAGES // 10)
        del costs[:]
        many, l1 = in_turns(lambda: rate(16, 16, P8_MESSAGES), ground.l1)
        yield at_least(
            "P8", "ADT stored and acknowledged, 16 connections, 16 in flight on each", many, "messages/s", L1, l1, 1.0, "L1"
        )
        yield told_only("P8-cpu", "the same, CPU of the listener", Measured(tuple(costs)), "us/message", L1, l1)
        outstanding = Measured(tuple(rate(64, 1, P8_MESSAGES // 2) for _ in range(3)))
        yield told_only("P8-outstanding", "the same, 64 connections, one outstanding on each", outstanding, "messages/s", L1, l1)
        alone, syncs = [], []
        for _ in range(3):
            syncs.append(fsync_seconds(at.home) * 1000)
            alone.append(hospital(at.hl7_port, messages=P8_SINGLE, connections=1, window=1))
        sync = Measured(tuple(syncs))
        limit = round(1 + sync.median, 3)
        p50, p99 = (Measured(tuple(waits)) for waits in zip(*((one.p50_ms, one.p99_ms) for one in alone), strict=True))
        yield within("P8-single", "one by one on one connection, p50", p50, "ms", limit, "1 ms + 8 kB write and fdatasync", sync)
        yield told_only("P8-single-p99", "one by one on one connection, p99", p99, "ms", "8 kB write and fdatasync", sync)
