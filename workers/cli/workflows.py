"""`workflows …`: what each process is doing, what Temporal really runs, and how to mend the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from domain.catalog import PROCESSES
from domain.core import ProcessRef
from projections.answers import ProcessRow
from projections.words import listed, plain, waited
from workers.cli import frame as f
from workers.cli.frame import Cursor, Json, Limit, Stop
from workers.cli.people import stream_of
from workers.cli.running import Role, temporal
from workers.composition import System, connect_temporal
from workers.heartbeat import SILENCE_SECONDS_MAX, silence_seconds
from workers.rebuild import rebuild as rebuild_all
from workers.reconcile import age_of_last_pass
from workers.services import queries_of
from workers.signals import TemporalAway, send_nudge
from workflows.shell import DELIVER_QUEUE, WORKFLOW_QUEUE

app = typer.Typer(
    help="The long-running processes, and the Temporal workflows that run them.", no_args_is_help=True, rich_markup_mode="rich"
)

POLLED_WITHIN = timedelta(seconds=75)
"""A worker asks for work at least once a minute; one that has not is dead."""

ASK_SECONDS = 10.0
RPC_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Workers:
    """Whether somebody does the work of the queues: what Temporal saw, and what the processes themselves wrote down."""

    temporal: bool
    polled_at: Mapping[str, datetime | None]
    worker_silent_seconds: float | None
    router_silent_seconds: float | None
    reconciled_seconds_ago: float | None

    def dead(self, now: datetime) -> bool:
        """Whether a queue was asked by nobody for too long."""
        return self.temporal and any(at is None or now - at > POLLED_WITHIN for at in self.polled_at.values())


@dataclass(frozen=True, slots=True)
class Running:
    """What Temporal runs for a process."""

    status: str
    run_id: str = ""
    history_events: int = 0
    started_at: datetime | None = None
    activity: str = ""
    activity_attempt: int = 0
    activity_error: str = ""
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A process with what Temporal says of it. `verdict`: waiting, working, ended; retrying, overdue, stuck, missing, orphaned,
    worker_dead; unknown where Temporal does not answer."""

    row: ProcessRow
    running: Running | None
    verdict: str


@app.command("list")
def list_workflows(
    kind: Annotated[str | None, typer.Option(help=f"Only of this kind: {listed(PROCESSES)}.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only of this health plan.")] = None,
    member: Annotated[str | None, typer.Option(help="Only of this member: an id or a CIN.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only what is stuck or failing.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what should have woken already.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also what has ended.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """Each process: phase, attempt n of m, next wake-up, last error, retries, age, stuck or not, compared with what Temporal runs.

    Example:

        throughline workflows list --overdue
    """
    with f.opened() as system:
        page = queries_of(system).processes(
            now=system.clock.now(), kind=kind, plan=plan,
            member=None if member is None else stream_of(system, member, kind="member"),
            stuck=True if stuck else None, overdue=overdue, done=None if all_ else False, limit=limit, cursor=cursor,
        )  # fmt: skip
        workers, seen = _asked(system, page.items)
        now = system.clock.now()
        if json:
            f.as_json({"workers": _workers(workers, now), "items": [_flat(s) for s in seen], "next_cursor": page.next_cursor})
            return
        _show_workers(workers, now)
        rows = [
            (
                s.row.process,
                _verdict(s.verdict),
                waited(s.row.phase),
                f"{s.row.turn} of {s.row.turns_max}" if s.row.turn else "",
                f.local(s.row.wake_at),
                waited(s.row.waiting_for),
                _error(s),
                s.row.attempts or "",
                _age(s.row.age_seconds),
                s.running.status if s.running else "?",
            )
            for s in seen
        ]
        columns = ("process", "verdict", "phase", "attempt", "wakes", "waits for", "last error", "retries", "age", "temporal")
        note = f"more with --cursor {page.next_cursor}" if page.next_cursor else ""
        f.table("Processes", columns, rows, empty="No process is open.", note=note)


@app.command("show")
def show(about: Annotated[str, typer.Argument(help="A process, such as outreach-1c2d3e4f.")], json: Json = False) -> None:
    """One process: what it owes next, and what Temporal runs for it.

    Example:

        throughline workflows show outreach-1c2d3e4f
    """
    with f.opened() as system:
        stream = stream_of(system, about)
        row = queries_of(system).process(stream, now=system.clock.now())
        if row is None:
            remedy = "are router and worker alive? `throughline workflows list` says"
            raise Stop(f"{stream} was never advanced.", field="id", remedy=remedy, code="unknown_process")
        workers, (seen,) = _asked(system, (row,))
        now = system.clock.now()
        if json:
            f.as_json({"workers": _workers(workers, now), **_flat(seen)})
            return
        _show_workers(workers, now)
        tree = Tree(Text.assemble((row.process, "bold"), "  ", _verdict(seen.verdict)))
        for said in (
            f"phase {waited(row.phase)}" if row.phase else "", f"attempt {row.turn} of {row.turns_max}" if row.turn else "",
            f"wakes {f.local(row.wake_at)}, waits for {waited(row.waiting_for)}" if row.wake_at else "waits for news only",
            f"last advanced {f.local(row.updated_at)}, log read up to {row.position}, by build {row.code}",
            row.failing_since and f"failing since {f.local(row.failing_since)}: {row.last_error}, {row.attempts} times in a row",
            f"to be sent: {', '.join(row.effects)}" if row.effects else "",
        ):  # fmt: skip
            if said:
                tree.add(said)
        _add_running(tree, seen.running)
        f.tree(tree)


@app.command("nudge")
def nudge(about: Annotated[str, typer.Argument(help="A process, such as outreach-1c2d3e4f.")], json: Json = False) -> None:
    """Make a process look again, and start its workflow where none runs. Harmless at any time.

    Example:

        throughline workflows nudge outreach-1c2d3e4f
    """
    with f.opened() as system, temporal(system.settings) as settings:
        process = ProcessRef.of(stream_of(system, about))
        if process.kind not in system.programme.processes:
            raise Stop(f"{process.stream} is no process.", field="id", remedy=f"give one of these: {listed(PROCESSES)}")

        async def told() -> None:
            await send_nudge(await connect_temporal(settings), process)

        asyncio.run(told())
        f.done(f"{process.stream} looks again as soon as a worker is there.", json=json, process=process.stream)


@app.command("rebuild")
def rebuild(
    terminate: Annotated[bool, typer.Option("--terminate", help="End the workflows that run in the namespace first.")] = False,
    per_second: Annotated[float, typer.Option(min=1.0, max=1000.0, help="At most so many starts a second.")] = 100.0,
    json: Json = False,
) -> None:
    """Create every open workflow anew from the log: after Temporal's database was lost, or after the log was restored.

    Stop router and workers first. Cut short, it goes on where it was.

    Example:

        throughline workflows rebuild --terminate
    """
    with f.opened() as system, temporal(system.settings) as settings, f.progress("Starting workflows", quiet=json) as bar:

        async def rebuilt() -> Any:
            client = await connect_temporal(settings)
            return await rebuild_all(
                system.log, system.pool, client, system.programme, terminate=terminate, per_second=per_second, progress=bar
            )

        done = asyncio.run(rebuilt())
    if json:
        f.as_json(done)
    else:
        again = ", going on where the last one was cut short" if done.resumed else ""
        f.out.print(f"{done.started} of {done.total} workflows started{again}; they know the log up to position {done.position}.")


# --- what Temporal says --------------------------------------------------------------------------------------------------------


def _asked(system: System, rows: tuple[ProcessRow, ...]) -> tuple[Workers, tuple[Seen, ...]]:
    with temporal(system.settings, start=False) as settings:
        now = system.clock.now()
        reconciled = age_of_last_pass(system.pool)
        home = settings.throughline_home
        polled: dict[str, datetime | None] = {}
        running: dict[str, Running] = {}
        answered = settings.temporal_address is not None
        if answered:
            try:
                polled, running = asyncio.run(asyncio.wait_for(_ask(settings, rows), ASK_SECONDS + len(rows)))
            except (RPCError, RuntimeError, TimeoutError, TemporalAway):
                answered = False
        workers = Workers(
            answered, polled, silence_seconds(home, Role.WORKER), silence_seconds(home, Role.ROUTER),
            None if reconciled is None else reconciled.total_seconds(),
        )  # fmt: skip
        real_now = datetime.now(now.tzinfo)
        dead = workers.dead(real_now)
        return workers, tuple(
            Seen(row, running.get(row.process), _judge(row, running.get(row.process), answered=answered, dead=dead)) for row in rows
        )


async def _ask(settings: Any, rows: tuple[ProcessRow, ...]) -> tuple[dict[str, datetime | None], dict[str, Running]]:
    client = await connect_temporal(settings)
    polled = {
        WORKFLOW_QUEUE: await _polled(client, WORKFLOW_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        DELIVER_QUEUE: await _polled(client, DELIVER_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    }
    told = await asyncio.gather(*(_described(client, row.process) for row in rows))
    return polled, {row.process: running for row, running in zip(rows, told, strict=True)}


async def _polled(client: Client, queue: str, kind: TaskQueueType.ValueType) -> datetime | None:
    """When somebody last asked for work of the queue."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind),
        timeout=RPC_TIMEOUT,
    )
    times = [poller.last_access_time.ToDatetime(tzinfo=UTC) for poller in answer.pollers]
    return max(times, default=None)


async def _described(client: Client, process: str) -> Running:
    try:
        found = await client.get_workflow_handle(process).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return Running("absent")
        raise
    return _running(found)


def _running(found: WorkflowExecutionDescription) -> Running:
    pending = list(found.raw_description.pending_activities)
    first = pending[0] if pending else None
    return Running(
        status=found.status.name.lower() if found.status else "unknown",
        run_id=found.run_id,
        history_events=found.history_length,
        started_at=found.start_time,
        activity=first.activity_type.name if first else "",
        activity_attempt=first.attempt if first else 0,
        activity_error=first.last_failure.application_failure_info.type if first and first.HasField("last_failure") else "",
        next_attempt_at=first.scheduled_time.ToDatetime(tzinfo=UTC) if first and first.HasField("scheduled_time") else None,
    )


def _judge(row: ProcessRow, running: Running | None, *, answered: bool, dead: bool) -> str:
    """What somebody who looks has to know first."""
    if not answered or running is None:
        return "stuck" if row.stuck else "unknown"
    runs = running.status == "running"
    if runs and row.done:
        return "orphaned"
    if not row.done and not runs:
        return "missing"
    if not row.done and dead:
        return "worker_dead"
    if row.stuck:
        return "stuck"
    if running.activity_attempt > 1 or row.failing_since is not None:
        return "retrying"
    if row.done:
        return "ended"
    return "overdue" if row.overdue_seconds > 120 else "working" if running.activity else "waiting"


# --- showing -------------------------------------------------------------------------------------------------------------------

BAD = ("stuck", "missing", "orphaned", "worker_dead", "overdue")


def _verdict(verdict: str) -> Text:
    return Text(plain(verdict), "bold red" if verdict in BAD else "yellow" if verdict in ("retrying", "unknown") else "green")


def _error(seen: Seen) -> str:
    return seen.row.stuck or seen.row.last_error or (seen.running.activity_error if seen.running else "")


def _show_workers(workers: Workers, now: datetime) -> None:
    real_now = datetime.now(now.tzinfo)
    if not workers.temporal:
        f.err.print(Text("Temporal does not answer: what it runs is not known. Deadlines wait for it.", "bold red"))
    elif workers.dead(real_now):
        silent = {queue: at for queue, at in workers.polled_at.items() if at is None or real_now - at > POLLED_WITHIN}
        since = ", ".join(f"{queue} since {f.local(at) if at else 'always'}" for queue, at in silent.items())
        f.err.print(
            Text(f"No worker asks for work ({since}). Nothing goes on until one does: `throughline run worker`.", "bold red")
        )
    for name, silence in (("worker", workers.worker_silent_seconds), ("router", workers.router_silent_seconds)):
        if silence is not None and silence > SILENCE_SECONDS_MAX:
            f.err.print(Text(f"The {name} of this machine was last alive {_age(silence)} ago.", "yellow"))
    if workers.reconciled_seconds_ago is not None and workers.reconciled_seconds_ago > 300:
        f.err.print(Text(f"Reconcile last ran {_age(workers.reconciled_seconds_ago)} ago; it runs each minute.", "yellow"))


def _workers(workers: Workers, now: datetime) -> dict[str, Any]:
    return {**asdict(workers), "dead": workers.dead(datetime.now(now.tzinfo))}


def _flat(seen: Seen) -> dict[str, Any]:
    return {"verdict": seen.verdict, "process": seen.row, "temporal": seen.running}


def _add_running(tree: Tree, running: Running | None) -> None:
    if running is None:
        tree.add(Text("what Temporal runs is not known", "yellow"))
        return
    branch = tree.add(f"Temporal: {running.status} {running.run_id}".rstrip())
    if running.started_at:
        branch.add(f"this run began {f.local(running.started_at)}, {running.history_events} history events")
    if running.activity:
        said = f"{running.activity}, attempt {running.activity_attempt}"
        error = f", last error {running.activity_error}" if running.activity_error else ""
        branch.add(f"in work: {said}{error}, next attempt {f.local(running.next_attempt_at) or 'now'}")


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
