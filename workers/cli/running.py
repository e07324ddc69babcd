"""`up`, `run`, `doctor`: everything in one process, one role, and what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from projections.runner import Projector
from workers.cli import frame as f
from workers.cli.frame import Json, Stop
from workers.composition import System, open_system
from workers.first_policies import adopt_first_policies
from workers.ground.child import GroundError
from workers.ground.temporal import TemporalGround, TemporalServer, begin_temporal, provide_temporal
from workers.ground.temporal_program import find_program
from workers.ground.temporal_web import provide_web_pages
from workers.services import projector_of
from workers.settings import Settings
from workers.telemetry import TelemetryTargets, start_telemetry
from workers.watching import readings

UNBINDABLE = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


FIRST_STEPS = (
    "Nobody works here yet. In another terminal:",
    "  throughline staff add --name 'Rosa Lindqvist' --email rosa@example.org --roles supervisor --roles operator",
    "  throughline token create --role supervisor --for rosa@example.org --as rosa@example.org",
    "  throughline import-members roster.csv --plan default",
)


class Role(StrEnum):
    """What a process can be (workers/roles.py)."""

    WORKER = "worker"
    ROUTER = "router"
    PROJECTOR = "projector"
    INTAKE = "intake"
    API = "api"


NEED_TEMPORAL = frozenset((Role.WORKER, Role.ROUTER))
"""All else works without it, and does not wait for it."""


def up() -> None:
    """Run everything in this terminal: PostgreSQL and Temporal where none are given, all workers, the API, the HL7 listener.

    Hospitals are answered as soon as PostgreSQL is there; deadlines and messages wait for Temporal.
    Ctrl-C ends all of it; what was recorded stays. The first start adopts the policies of the folder `policies/`.

    Example:

        throughline up
    """
    settings = f.asked.load()
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(f.ground(settings))
        _run(settings, tuple(Role), stack)


def run(role: Annotated[Role, typer.Argument(help="Which one.")]) -> None:
    """Run one role only, as a container does.

    Example:

        throughline run router
    """
    settings = f.asked.load()
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(f.ground(settings))
        _run(settings, (role,), stack)


def doctor(json: Json = False) -> None:
    """Look at everything that the system stands on, and say what to do about what is missing.

    Example:

        throughline doctor
    """
    from workers.doctor import examine, healthy  # what it looks at takes a second to import

    checks = examine(f.asked.load())
    if json:
        f.as_json(checks)
    else:
        rows = [(f.coloured(c.status.value), c.name, c.found, c.remedy) for c in checks]
        f.table("What is there", ("", "check", "found", "what to do"), rows, empty="Nothing was looked at.")
    if not healthy(checks):
        raise typer.Exit(f.REFUSED)


@contextlib.contextmanager
def temporal(settings: Settings, *, start: bool = True) -> Iterator[Settings]:
    """Settings with Temporal's address: the one given, else a server of our own, started for as long as this needs it.

    Not `start`: a server that runs, or no address. Raises GroundError.
    """
    if settings.temporal_address is None and not start:
        yield settings.model_copy(update={"temporal_address": _running_temporal(settings)})
        return
    found = provide_temporal(
        settings.throughline_home,
        address=settings.temporal_address,
        namespace=settings.temporal_namespace,
        port=settings.throughline_temporal_port,
        say=_dim,
    )
    try:
        yield settings.model_copy(update={"temporal_address": found.address})
    finally:
        found.stop()


def _running_temporal(settings: Settings) -> str | None:
    try:
        server = TemporalServer(settings.throughline_home / "temporal", program=find_program(at_once=True))
    except GroundError:
        return None
    return server.address if server.found() else None


def _run(settings: Settings, roles: Sequence[Role], stack: contextlib.ExitStack) -> None:
    logs = settings.throughline_home / "logs"
    alone = len(roles) == 1
    ground = None
    if NEED_TEMPORAL.isdisjoint(roles):
        settings = settings.model_copy(update={"temporal_address": settings.temporal_address or _running_temporal(settings)})
    else:
        ground = begin_temporal(
            settings.throughline_home, address=settings.temporal_address, namespace=settings.temporal_namespace,
            port=settings.throughline_temporal_port, say=_dim,
        )  # fmt: skip
        stack.callback(ground.stop)
        settings = settings.model_copy(update={"temporal_address": ground.address})
        if not alone:
            f.out.print(f"Temporal       {ground.address}, {ground.source}")
    telemetry = start_telemetry(
        roles[0].value if alone else "up",
        TelemetryTargets(
            log_file=None if alone else logs / "up.jsonl",
            spans_file=None if alone else logs / "spans.jsonl",
            metrics_file=None if alone else logs / "metrics.jsonl",
            otlp_endpoint=settings.otel_exporter_otlp_endpoint,
        ),
    )
    f.set_up(settings)
    system = stack.enter_context(open_system(settings))
    projector = projector_of(system)
    stack.enter_context(telemetry.watching(lambda: readings(system, projector)))
    if adopted := adopt_first_policies(system):
        f.out.print(f"Adopted {adopted} policies of policies/, because none was adopted yet.")
    if not alone:
        f.out.print(f"Logs           {logs}")
    try:
        asyncio.run(_until_told(system, projector, roles, ground))
    finally:
        telemetry.flush()
    f.out.print("Stopped.")


async def _until_told(system: System, projector: Projector, roles: Sequence[Role], ground: TemporalGround | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            os._exit(130)  # asked a second time: what hangs is left to the supervisor's kill
        f.err.print("Stopping; again to stop at once.", style="dim")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    if len(roles) > 1:
        if not system.log.streams("staff"):
            for line in FIRST_STEPS:
                f.out.print(line, markup=False)
        f.out.print("Ctrl-C stops everything.")
    from workers.roles import work  # brings the web framework, which no other command needs

    attending = None if ground is None else asyncio.create_task(_attend(system.settings, ground, web=len(roles) > 1))
    try:
        await work(system, projector, roles, stop, lambda line: f.out.print(line, markup=False))
    except OSError as error:
        if error.errno not in UNBINDABLE:
            raise
        raise Stop(
            f"A port could not be bound: {error.strerror or type(error).__name__}.",
            remedy="`throughline doctor` shows which port is taken and which setting moves it", status=f.AWAY,
        ) from None  # fmt: skip
    finally:
        if attending is not None:
            attending.cancel()


async def _attend(settings: Settings, ground: TemporalGround, *, web: bool) -> None:
    """See that Temporal answers, while everything that does not need it works; then `web`, its pages."""
    await ground.answers(_dim)
    if not web:
        return
    pages = await asyncio.to_thread(
        provide_web_pages, settings.throughline_home, temporal_address=ground.address, namespace=ground.namespace,
        port=settings.throughline_temporal_ui_port,
    )  # fmt: skip
    if pages is not None:
        f.out.print(f"Temporal web   http://127.0.0.1:{pages.port}")


def _dim(line: str) -> None:
    f.err.print(line, style="dim", markup=False)


def mount(app: typer.Typer) -> None:
    for command in (up, run, doctor):
        app.command(rich_help_panel="Running it")(command)
