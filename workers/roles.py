"""What a process can be: worker, router, projector, intake, api. `throughline up` is all of them in one, `throughline run` is one.

Each role is a coroutine that works until it is told to stop, survives outages of what it depends on, and beats while it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from temporalio.client import Client

from activities.channels.feedback import BadFeedback, receive_feedback
from api.app import create_app
from api.docs import DOCS
from api.services import Feedback, HookAnswer
from eventlog import erasure
from eventlog.gateway import Conflict
from eventlog.recorder import LogAway
from eventlog.traces import current_traceparent
from intake.door import FrontDoor
from intake.listening.mllp import LOOPBACK, Limits
from intake.listening.tls import server_context
from intake.senders.sources import Sources
from projections.runner import Projector
from workers.composition import System, connect_temporal, webhook_secret
from workers.heartbeat import Heartbeat
from workers.projector import project
from workers.router import Router
from workers.services import door_of, readiness, services_of
from workers.settings import Settings
from workers.temporal_worker import run_worker

WORKER, ROUTER, PROJECTOR, INTAKE, API = ROLES = ("worker", "router", "projector", "intake", "api")

BEAT_SECONDS = 5.0
API_GRACE_SECONDS = 10
API_CONCURRENT_MAX = 200
API_BACKLOG = 256

Say = Callable[[str], None]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shared:
    """What the roles of one process have in common. `say` tells the person at the terminal where something listens."""

    system: System
    door: FrontDoor
    client: Client | None
    """None where no Temporal is known: only the API may do without."""
    projector: Projector
    stop: asyncio.Event
    say: Say

    def beat(self, role: str) -> Heartbeat:
        return Heartbeat(self.system.settings.throughline_home, role)


async def work(system: System, projector: Projector, roles: Sequence[str], stop: asyncio.Event, say: Say) -> None:
    """Do the work of some roles until `stop` is set. The first role that cannot go on ends all; its error is raised."""
    assert set(roles) <= set(ROLES) and roles
    door = await asyncio.to_thread(door_of, system)
    with contextlib.suppress(LogAway):  # an erasure that a crash cut short; else the next start finishes it
        await asyncio.to_thread(erasure.finish, system.log, system.opened.keys, forget=system.gateway.forget)
    try:
        client = await connect_temporal(system.settings) if system.settings.temporal_address else None
        shared = Shared(system, door, client, projector, stop, say)
        tasks = [asyncio.create_task(_ROLES[role](shared), name=role) for role in roles]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((*tasks, stopped), return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        stopped.cancel()
        for role, result in zip(roles, ended, strict=True):
            if isinstance(result, Exception):
                _log.error("role ended", role=role, exc_info=result)
                raise result
    finally:
        await asyncio.to_thread(door.close)


async def _worker(shared: Shared) -> None:
    await run_worker(shared.system, shared.stop, beat=shared.beat(WORKER))


async def _router(shared: Shared) -> None:
    system = shared.system
    assert shared.client is not None, "whoever starts a router knows of a Temporal"
    router = Router(system.log, system.router_store(), system.programme, shared.client)
    await router.run(shared.stop, beat=shared.beat(ROUTER))


async def _projector(shared: Shared) -> None:
    stop = threading.Event()
    async with _thread(shared.stop, stop, lambda: project(shared.projector, stop, shared.beat(PROJECTOR))):
        pass


async def _intake(shared: Shared) -> None:
    part = shared.system.settings.throughline_intake
    async with contextlib.AsyncExitStack() as running:
        if part != "apply":
            await running.enter_async_context(_listening(shared))
        if part != "listen":
            await running.enter_async_context(_applying(shared))
        await _beating(shared.stop, shared.beat(INTAKE))


@asynccontextmanager
async def _listening(shared: Shared) -> AsyncIterator[None]:
    """The HL7 listener, and at the end the answers to what is in progress."""
    settings = shared.system.settings
    tls = tls_of(settings, shared.door.sources)
    listener = shared.door.listener(
        host=settings.throughline_host,
        port=settings.throughline_hl7_port,
        tls=tls,
        plain_on_network=settings.throughline_hl7_plain,
        shared=settings.throughline_hl7_shared,
        plain_port=settings.throughline_hl7_loopback_port,
        limits=Limits(idle_seconds_max=settings.throughline_hl7_idle_seconds),
    )
    port = await listener.start()
    shared.say(f"HL7 listener   {'mllps' if tls else 'mllp'}://{settings.throughline_host}:{port}")
    if tls and listener.plain_port is not None:
        shared.say(f"               mllp://{LOOPBACK}:{listener.plain_port}, for this machine")
    try:
        yield
    finally:
        await listener.stop()


@asynccontextmanager
async def _applying(shared: Shared) -> AsyncIterator[None]:
    """Threads that work the inbox off."""
    stop = threading.Event()
    threads = shared.door.start_workers(stop, shared.system.settings.throughline_intake_threads)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)


def tls_of(settings: Settings, sources: Sources) -> ssl.SSLContext | None:
    """The listener's TLS, with client certificates required; None where no certificate is set."""
    certificate = settings.throughline_hl7_certificate
    if certificate is None:
        return None
    key, authorities = settings.throughline_hl7_certificate_key, settings.throughline_hl7_client_authorities
    return server_context(certificate, key, authorities, sources)


async def _api(shared: Shared) -> None:
    system, loop = shared.system, asyncio.get_running_loop()
    settings = system.settings
    services = services_of(
        system,
        shared.door,
        ready=lambda: readiness(system, shared.client, loop),
        feedback=feedback_of(system),
    )
    app = await asyncio.to_thread(create_app, services)  # it takes a second, in which the HL7 listener answers
    listening = socket.create_server((settings.throughline_host, settings.throughline_api_port), backlog=API_BACKLOG)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=API_GRACE_SECONDS,
            limit_concurrency=API_CONCURRENT_MAX,
            lifespan="off",
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        address = f"http://{settings.throughline_host}:{settings.throughline_api_port}"
        shared.say(f"API            {address}/v1, its documentation {address}{DOCS}")
    beating = asyncio.create_task(_beating(shared.stop, shared.beat(API)))
    await asyncio.wait((serving, beating), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    beating.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs all roles."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def feedback_of(system: System) -> Feedback:
    """The signed webhook of the message provider: its reports become facts before it is answered."""
    secret = webhook_secret(system.settings)

    def receive(body: bytes, headers: Mapping[str, str]) -> HookAnswer:
        try:
            orders = receive_feedback(body, headers, secret, system.clock.now())
        except BadFeedback as bad:
            return HookAnswer(bad.status, "feedback_refused", str(bad))
        for order in orders:
            outcome = system.gateway.handle(order.command, command_id=order.command_id, trace=current_traceparent())
            if isinstance(outcome, Conflict):
                return HookAnswer(503, "busy", "The stream is busy; send the report again.")
        return HookAnswer(202, "recorded")

    return receive


@asynccontextmanager
async def _thread(stop: asyncio.Event, told: threading.Event, work: Callable[[], None]) -> AsyncIterator[None]:
    """Work in a thread until `stop`, or until the work itself ends."""
    running: asyncio.Task[Any] = asyncio.create_task(asyncio.to_thread(work))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    told.set()
    stopping.cancel()
    await running
    yield


async def _beating(stop: asyncio.Event, beat: Callable[[], None]) -> None:
    while not stop.is_set():
        beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_SECONDS)


_ROLES: Mapping[str, Callable[[Shared], Coroutine[Any, Any, None]]] = {
    WORKER: _worker,
    ROUTER: _router,
    PROJECTOR: _projector,
    INTAKE: _intake,
    API: _api,
}
