"""The ground of a measurement: servers of its own, as durable as in production, and what they reach by themselves.

L1 is pgbench's single-row durable insert with 16 clients into a table of the shape that event stores have (engine.md A1); LC is
COPY OUT of the log in rows a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
import psycopg

from benchmarks.table import NotMeasured
from eventlog.opening import create
from workers.ground.postgres import PostgresServer, drop_database, ensure_database, packaged_binaries
from workers.ground.temporal import TemporalServer, register_namespace
from workers.ground.temporal_program import find_program

CLIENTS = 16
L1_SECONDS = 3
ROW_BYTES = 590


@dataclass(frozen=True, slots=True)
class Databases:
    """The log's database and that of the keys, set up and empty."""

    url: str
    keys_url: str


@dataclass(frozen=True, slots=True)
class ProcessorSeconds:
    """Processor time of the servers, in seconds."""

    postgres: float
    temporal: float


class Ground:
    """The servers of one run, each started when it is first asked for. Use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stops: list[PostgresServer | TemporalServer] = []

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._stops):
            server.stop()

    @cached_property
    def postgres(self) -> PostgresServer:
        """A server as in production: what it acknowledges is on the disk."""
        server = PostgresServer(self._folder / "postgres").start()
        self._stops.append(server)
        return server

    @cached_property
    def temporal(self) -> str:
        """The address of a Temporal server."""
        server = TemporalServer(self._folder / "temporal", program=find_program(), time_skipping=False).start()
        self._stops.append(server)
        return server.address

    def processor_seconds(self) -> ProcessorSeconds:
        """What the servers that were started have used so far."""
        used = {PostgresServer: 0.0, TemporalServer: 0.0}
        for server in self._stops:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(server.pid)
                used[type(server)] += sum(process.cpu_times()[:4]) + sum(sum(c.cpu_times()[:2]) for c in process.children())
        return ProcessorSeconds(used[PostgresServer], used[TemporalServer])

    def namespace(self) -> str:
        """A fresh namespace of the Temporal server."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        asyncio.run(register_namespace(self.temporal, name))
        return name

    @contextmanager
    def databases(self) -> Iterator[Databases]:
        """Two fresh databases, set up for the log; dropped afterwards."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        found = Databases(self.postgres.url(name), self.postgres.url(f"{name}_keys"))
        for url in (found.url, found.keys_url):
            ensure_database(url)
        try:
            create(found.url, found.keys_url)
            yield found
        finally:
            for url in (found.url, found.keys_url):
                drop_database(url)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder that is removed afterwards."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            yield Path(name)

    def l1(self, *, seconds: int = L1_SECONDS, clients: int = CLIENTS) -> float:
        """Durable single-row inserts a second."""
        url = self.postgres.url()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("DROP TABLE IF EXISTS l1")
            conn.execute(
                "CREATE TABLE l1 (originator_id uuid NOT NULL, version bigint NOT NULL, topic text NOT NULL, state jsonb NOT NULL,"
                " id bigserial PRIMARY KEY, UNIQUE (originator_id, version))"
            )
        state = '{"text": "' + "x" * (ROW_BYTES - 12) + '"}'
        return self.pgbench(
            f"INSERT INTO l1 (originator_id, version, topic, state) VALUES (gen_random_uuid(), 1, 'measured', '{state}');\n",
            url, seconds=seconds, clients=clients,
        )  # fmt: skip

    def pgbench(self, script: str, url: str, *, seconds: int = L1_SECONDS, clients: int = CLIENTS) -> float:
        """Runs of a script a second. Raises NotMeasured where pgbench is missing."""
        binaries = packaged_binaries()
        program = None if binaries is None else binaries / "pgbench"
        if program is None or not program.exists():
            raise NotMeasured("pgbench was not found: `make setup` installs the packaged PostgreSQL, which brings it")
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            ran = subprocess.run(
                [str(program), "-n", "-c", str(clients), "-j", "2", "-T", str(seconds), "-M", "prepared", "-f", file.name, url],
                capture_output=True, text=True, timeout=seconds + 60, check=False,
            )  # fmt: skip
        found = re.search(r"tps = ([\d.]+)", ran.stdout)
        if ran.returncode or found is None:
            raise NotMeasured(f"pgbench ended with {ran.returncode}: is the server reachable?")
        return float(found.group(1))

    def lc(self, url: str) -> float:
        """Rows of the log a second that COPY gives out, of the events that are there."""
        with psycopg.connect(url) as conn:
            count = conn.execute("SELECT count(*) FROM log.events").fetchone()
            assert count is not None
            if not count[0]:
                raise NotMeasured("the log is empty")
            began = time.perf_counter()
            with conn.cursor() as cursor, cursor.copy("COPY log.events TO STDOUT (FORMAT binary)") as copy:
                for _ in copy:
                    pass
            return float(count[0]) / (time.perf_counter() - began)
