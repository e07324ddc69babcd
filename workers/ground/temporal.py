"""Temporal: the server that `TEMPORAL_ADDRESS` names, else one of our own, from a program found, downloaded or built.

Our own server is the official one, listens on 127.0.0.1 only and keeps its database in files of a folder, so that a restart
finds every workflow. `time_skipping` lets tests and the demo move a workflow's clock; it changes nothing for a workflow that
nobody moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workers.ground.child import (
    GroundError,
    end,
    free_ports,
    gone,
    living,
    one_at_a_time,
    port_is_free,
    spawn,
    stop_at_exit,
    tail,
    write_pid,
)
from workers.ground.temporal_build import Say, silent
from workers.ground.temporal_program import Program, find_program

NAMESPACE = "throughline"
RETENTION = timedelta(days=30)
"""How long Temporal keeps a closed workflow. The log keeps what it did for ever."""

START_SECONDS = 60.0
NAMESPACE_SECONDS = 30.0
STARTS_MAX = 3
ANSWER_SECONDS = 10.0
"""One try to reach a server, which may take a connection and then say nothing."""

AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 0.1, 5.0
PATIENCE_SECONDS = 10.0
"""A server of our own needs some seconds: only after so long somebody is told that it does not answer."""

PORTS = (
    "FRONTEND_GRPC_PORT",
    "FRONTEND_HTTP_PORT",
    "FRONTEND_MEMBERSHIP_PORT",
    "HISTORY_GRPC_PORT",
    "HISTORY_MEMBERSHIP_PORT",
    "MATCHING_GRPC_PORT",
    "MATCHING_MEMBERSHIP_PORT",
    "WORKER_GRPC_PORT",
    "WORKER_MEMBERSHIP_PORT",
)
"""Every port that a server opens: each server has its own, the first is the one that clients use."""


@dataclass(frozen=True, slots=True)
class TemporalGround:
    """The Temporal in use: its address and namespace, where it came from, and our own server if there is one."""

    address: str
    namespace: str
    source: str
    server: TemporalServer | None

    async def answers(self, say: Say = silent) -> None:
        """Return once Temporal answers and has the namespace, however long that takes. A server of our own is launched; again,
        where it ended meanwhile. `say` gets a line where it takes long, and another one when it is over."""
        began, pause, told = time.monotonic(), AGAIN_SECONDS_MIN, False
        while True:
            try:
                if self.server is not None:
                    await asyncio.to_thread(self.server.launch)
                async with asyncio.timeout(ANSWER_SECONDS):
                    await _make_namespace(self.address, self.namespace, RETENTION)
                break
            except Exception as error:  # whatever it is: others of this process do not need Temporal, so it may not end them
                if not told and time.monotonic() - began > PATIENCE_SECONDS:
                    told = True
                    say(
                        f"Temporal at {self.address} does not answer ({type(error).__name__}): {self._remedy()} It is asked again "
                        "until it does; whatever does not need it goes on."
                    )
            await asyncio.sleep(pause)
            pause = min(AGAIN_SECONDS_MAX, 1.5 * pause)
        if told:
            say(f"Temporal at {self.address} answers.")

    def _remedy(self) -> str:
        return "is it up, and is TEMPORAL_ADDRESS its host:port?" if self.server is None else f"its log is {self.server.log}."

    def stop(self) -> None:
        """Stop the server if it was started here; one that was found stays."""
        if self.server is not None:
            self.server.stop()


def begin_temporal(
    home: Path, *, address: str | None, namespace: str = NAMESPACE, port: int | None = None, say: Say = silent
) -> TemporalGround:
    """Find Temporal, or settle on the address of a server of our own. `TemporalGround.answers` launches it and waits for it, when
    whatever does not need it has begun: its start takes the processors from them. `say` gets a line of progress where its program
    has to be made first.

    Raises GroundError with the remedies where no program can be had.
    """
    if address:
        return TemporalGround(address, namespace, "TEMPORAL_ADDRESS", None)
    program = find_program(say)
    server = TemporalServer(home / "temporal", program=program, port=port)
    server.settle()
    return TemporalGround(server.address, namespace, _source(program, found=server.running), server)


def provide_temporal(
    home: Path, *, address: str | None, namespace: str = NAMESPACE, port: int | None = None, say: Say = silent
) -> TemporalGround:
    """Find or start Temporal and make sure that the namespace exists. `say` gets a line of progress where it takes long.

    Raises GroundError with the remedies where none can be had. Not for use inside a running event loop.
    """
    server: TemporalServer | None = None
    if address:
        source = "TEMPORAL_ADDRESS"
    else:
        program = find_program(say)
        server = TemporalServer(home / "temporal", program=program, port=port).start()
        address, source = server.address, _source(program, found=not server.owned)
    asyncio.run(register_namespace(address, namespace))
    return TemporalGround(address, namespace, source, server)


async def register_namespace(address: str, namespace: str, *, retention: timedelta = RETENTION) -> None:
    """Make a namespace unless it is there, and return when it can be used. Raises GroundError where the server does not answer."""
    until = time.monotonic() + NAMESPACE_SECONDS
    while True:
        try:
            await _make_namespace(address, namespace, retention)
            return
        except (RPCError, RuntimeError) as error:
            if time.monotonic() > until:
                raise GroundError(
                    f"Temporal at {address} does not answer or refuses the namespace {namespace} ({type(error).__name__}). "
                    "Check TEMPORAL_ADDRESS (host:port), or unset it to use a server of our own."
                ) from None
            await asyncio.sleep(0.1)


async def _make_namespace(address: str, namespace: str, retention: timedelta) -> None:
    """Make a namespace unless it is there, and ask for it. Raises RPCError or RuntimeError where it cannot be used yet."""
    client = await Client.connect(address, namespace=namespace)
    request = RegisterNamespaceRequest(
        namespace=namespace, workflow_execution_retention_period=Duration(seconds=int(retention.total_seconds()))
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))


def _source(program: Program, *, found: bool) -> str:
    return f"{program.source}, {'already running' if found else 'started now'}"


class TemporalServer:
    """A Temporal server with its files in a folder: `start`, `stop`, `kill` and `restart` it on the same ports.

    `database` replaces the files by a PostgreSQL: the environment settings of the official server (see `postgres_persistence`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        program: Program,
        port: int | None = None,
        time_skipping: bool = True,
        database: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.program = program
        self.owned = False
        self._port = port
        self._time_skipping = time_skipping
        self._database = database
        self._ports: tuple[int, ...] = ()
        self._child: subprocess.Popen[bytes] | None = None
        self._forget: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        """What a client connects to, as host:port."""
        assert self._ports, "start the server first"
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return living(self._pid_file) is not None

    @property
    def pid(self) -> int | None:
        """The process's number, None when it does not run."""
        process = living(self._pid_file)
        return process.pid if process else None

    def start(self) -> TemporalServer:
        """Start the server and wait until it is healthy, or use the one that runs in the folder.

        Raises GroundError with the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self.folder / "start.lock"):
            self._start()
        return self

    def settle(self) -> None:
        """Settle on the address: that of the server that runs in the folder, else the one at which `launch` will start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self.folder / "start.lock"):
            if not self.found():
                self._choose_ports()
            self._port = self._ports[0]

    def launch(self) -> None:
        """Launch the server at the address that was settled on, and do not wait for it. Nothing to do where it runs."""
        with one_at_a_time(self.folder / "start.lock"):
            if self.found():
                return
            self._choose_ports()
            self._launch()
            if not self.owned:
                self.owned = True
                self._forget = stop_at_exit(self.stop)

    def _start(self) -> None:
        if self.found():
            if self._wait_until_healthy():
                return
            if self.running:
                raise GroundError(f"Temporal runs in {self.folder} but does not answer. The end of its log:\n{tail(self.log)}")
        for attempt in range(1, STARTS_MAX + 1):
            self._choose_ports()
            self._launch()
            if self._wait_until_healthy():
                break
            if attempt == STARTS_MAX:
                raise GroundError(f"Temporal did not start in {self.folder}. The end of its log:\n{tail(self.log)}")
            time.sleep(1.0 * attempt)
        self.owned = True
        self._forget = stop_at_exit(self.stop)

    def found(self) -> bool:
        """Whether a server runs in the folder; if so it is used from now on, and left running by `stop`."""
        if living(self._pid_file) is None:
            return False
        if not self.owned:
            self._ports = self._remembered_ports()
        return True

    def stop(self) -> None:
        """Stop the server if it was started by this object. Every workflow is kept."""
        if self.owned and (process := living(self._pid_file)) is not None:
            end(process, signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until it is gone."""
        if (process := living(self._pid_file)) is not None:
            process.kill()
            gone(process, seconds=10.0)
        self._reap()

    def restart(self) -> TemporalServer:
        """Start again on the same ports, after `stop` or `kill` or while it runs."""
        self.stop()
        return self.start()

    def drop_database(self) -> None:
        """Forget every workflow: delete the files of a stopped server."""
        assert not self.running and self._database is None
        for file in self.folder.glob("*.db*"):
            file.unlink()

    def _reap(self) -> None:
        self._forget()
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=5.0)
        self._child, self.owned = None, False
        if not self.running:
            self._pid_file.unlink(missing_ok=True)

    def _choose_ports(self) -> None:
        """Keep the ports of an earlier start while they are free."""
        remembered = self._ports or self._remembered_ports()
        if len(remembered) != len(PORTS) or not all(map(port_is_free, remembered)) or self._port not in (None, remembered[0]):
            remembered = free_ports(len(PORTS))
            if self._port is not None:
                remembered = (self._port, *remembered[1:])
        self._ports = remembered
        self._ports_file.write_text(json.dumps(dict(zip(PORTS, remembered, strict=True))))

    def _remembered_ports(self) -> tuple[int, ...]:
        try:
            written = json.loads(self._ports_file.read_text())
            return tuple(int(written[name]) for name in PORTS)
        except (OSError, ValueError, KeyError):
            return ()

    def _launch(self) -> None:
        dynamic = self.folder / "dynamic.yaml"
        dynamic.write_text(_dynamic_configuration(time_skipping=self._time_skipping))
        ports = dict(zip(PORTS, map(str, self._ports), strict=True))
        files = {
            "DB": "sqlite",
            "DBNAME": str(self.folder / "temporal.db"),
            "VISIBILITY_DBNAME": str(self.folder / "visibility.db"),
        }
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "BIND_ON_IP": "127.0.0.1",
            "LOG_LEVEL": "error",
            "DYNAMIC_CONFIG_FILE_PATH": str(dynamic),
            **ports,
            **(self._database or files),
        }
        command = self.program.command(ports=ports, files=files)
        self._child = spawn(command, log=self.log, environment=environment, folder=self.folder)
        write_pid(self._pid_file, self._child.pid)

    def _wait_until_healthy(self) -> bool:
        return asyncio.run(self._healthy())

    async def _healthy(self) -> bool:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if not self.running or (self._child is not None and self._child.poll() is not None):
                return False
            with contextlib.suppress(RPCError, RuntimeError):
                client = await Client.connect(self.address)
                if await client.service_client.check_health(timeout=timedelta(seconds=2)):
                    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="temporal-system"))
                    return True
            await asyncio.sleep(0.05)
        return False

    @property
    def _pid_file(self) -> Path:
        return self.folder / "server.pid"

    @property
    def _ports_file(self) -> Path:
        return self.folder / "ports.json"


def _dynamic_configuration(*, time_skipping: bool) -> str:
    settings = {
        "frontend.WorkflowTimeSkippingEnabled": time_skipping,
        "frontend.namespaceRPS": 100_000,
        "frontend.rps": 100_000,
        "limit.historyCount.suggestContinueAsNew": 200,
    }
    return "".join(f"{name}:\n  - value: {json.dumps(value)}\n" for name, value in settings.items())
