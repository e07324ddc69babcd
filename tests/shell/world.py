"""What the shell's tests stand on: the real programme on a fresh log, a fresh namespace, workers and router in this process."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from activities.advance import JITTER_MAX
from activities.channels.port import Channel, Outgoing, Sent, Told
from domain.adoption.decider import AdoptPolicy
from domain.core import SYSTEM, Command, ProcessRef
from domain.episode.decider import ReceiveAssignment
from domain.episode.leads import AssignLeadCareManager
from domain.member.decider import LearnContactPoint, RegisterMember
from domain.member.facts import PointKind
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from eventlog.clock import Clock
from eventlog.gateway import Accepted
from workers.composition import KINDS, System, connect_temporal, open_system, prepare
from workers.ground.postgres import ensure_database
from workers.programme import Programme
from workers.router import Pace, Router
from workers.settings import Settings
from workers.temporal_worker import run_worker

POLICIES = Path(__file__).resolve().parents[2] / "policies"
EVENTS_MAX = 200
"""No run may write more history (engine.md, rule 29)."""

PACE = Pace(idle_seconds=0.1, sweep_seconds=0.1, away_seconds=0.1, away_seconds_max=0.5)
PLANTED = "Zerlina Quetzalcoatl"
PLANTED_PHONE = "+15550123456"
PLANTED_MAIL = "zerlina.quetzalcoatl@example.net"


@dataclass
class Post:
    """A channel that keeps what it is given. `answer` says what becomes of the n-th message."""

    answer: Callable[[int, Outgoing], Told] = lambda n, message: Sent(f"ref-{n}")
    idempotent: bool = True
    sent: list[Outgoing] = field(default_factory=list)

    def send(self, message: Outgoing) -> Told:
        self.sent.append(message)
        return self.answer(len(self.sent), message)

    def kinds(self) -> list[str]:
        return [message.kind for message in self.sent]


@dataclass
class World:
    """The programme's system with a client of its namespace."""

    system: System
    client: Client
    post: Post
    skipper: TimeSkipper

    def do(self, command: Command, **more: Any) -> Accepted:
        """Carry out a command that must be accepted."""
        outcome = self.system.gateway.handle(command, command_id=uuid.uuid4(), **more)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def adopt(self, name: str = "default", **replaced: str) -> None:
        """Adopt a policy file, with some of its lines replaced."""
        text = (POLICIES / f"{name}.toml").read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.do(AdoptPolicy(stream=f"policy-{name}", by=SYSTEM, text=text, sha256=digest))

    def staff(self, *roles: Role) -> str:
        stream = f"staff-{uuid.uuid4()}"
        self.do(JoinStaff(stream=stream, by=SYSTEM, roles=roles, name="Quimby Staffperson", email="staff@example.org"))
        return stream

    def member(self) -> str:
        """A member with a phone, a mail address and a postal address."""
        stream = f"member-{uuid.uuid4()}"
        given, _, family = PLANTED.partition(" ")
        self.do(
            RegisterMember(
                stream=stream,
                by=SYSTEM,
                cin_claim=f"claim-{uuid.uuid4().hex}",
                cin="91234567A",
                family_name=family,
                given_name=given,
                birth_date="1961-02-03",
            )
        )
        for point, kind, value in (
            ("p1", PointKind.PHONE, PLANTED_PHONE),
            ("m1", PointKind.EMAIL, PLANTED_MAIL),
            ("a1", PointKind.ADDRESS, "1 Planted Street, Sacramento"),
        ):
            self.do(LearnContactPoint(stream=stream, by=SYSTEM, point=point, kind=kind, learned_from="staff", value=value))
        return stream

    def assign(self, member: str, *, received_at: datetime | None = None, lead: str | None = None) -> ProcessRef:
        """A plan assigns the member. The outreach that follows from it."""
        id = str(uuid.uuid4())
        at = received_at or self.system.clock.now()
        self.do(
            ReceiveAssignment(
                stream=f"episode-{id}", by="source:test", occurred_at=at, member=member, plan="default", received_at=at
            )
        )
        if lead is not None:
            self.do(AssignLeadCareManager(stream=f"episode-{id}", by=SYSTEM, staff=lead))
        return ProcessRef("outreach", id)

    def facts(self, process: ProcessRef, kind: type | None = None) -> list[Any]:
        """What is recorded in the process's stream: of one class, or the class names of all."""
        recorded = self.system.log.read(process.stream)
        if kind is None:
            return [type(r.fact).__name__ for r in recorded]
        return [r for r in recorded if isinstance(r.fact, kind)]

    def row(self, process: ProcessRef) -> dict[str, Any] | None:
        """The process's row of process_state."""
        with self.system.pool.connection() as conn:
            cursor = conn.execute("SELECT * FROM process_state WHERE process = %s", (process.stream,))
            found = cursor.fetchone()
            assert cursor.description is not None
            return None if found is None else dict(zip([c.name for c in cursor.description], found, strict=True))

    def query(self, statement: str, *arguments: Any) -> list[Any]:
        with self.system.pool.connection() as conn:
            return conn.execute(statement.encode(), arguments).fetchall()

    def handle(self, process: ProcessRef) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(process.stream)

    async def runs(self, process: ProcessRef) -> list[tuple[int, Any]]:
        """The length and the history of each run, newest first."""
        found = []
        async for execution in self.client.list_workflows(f'WorkflowId = "{process.stream}"'):
            history = await self.client.get_workflow_handle(process.stream, run_id=execution.run_id).fetch_history()
            found.append((len(history.events), history))
        return found

    async def status(self, process: ProcessRef) -> WorkflowExecutionStatus | None:
        return (await self.handle(process).describe()).status

    async def settled(self, process: ProcessRef, *, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the process has read everything in the log and nothing waits to be delivered. Its row."""

        def quiet() -> bool:
            if self.system.router_store().position() < self.system.log.watermark():
                return False
            told = self.query("SELECT position FROM router_process WHERE process = %s", process.stream)
            row = self.row(process)
            return bool(told and row and row["position"] >= told[0][0] and not row["effects"])

        await until(quiet, seconds)
        row = self.row(process)
        assert row is not None
        return row

    async def sleep(self, process: ProcessRef, duration: timedelta) -> bool:
        """Let time pass for the process, and wait until nothing is overdue. False where it ended before.

        The server may jump to the end as soon as a run was renewed, before the new run has looked: what is due is then seen late.
        """
        going_on = await self.skipper.fast_forward(self.handle(process), duration)
        now = await self.skipper.get_current_time(self.handle(process)) if going_on else None

        def looked() -> bool:
            row = self.row(process)
            return bool(row and (row["done"] or row["wake_at"] is None or row["wake_at"] + JITTER_MAX >= now))

        if now is not None:
            await until(looked, 60.0)
        return going_on

    @asynccontextmanager
    async def running(self, *, router: bool = True, worker: bool = True, schedule: bool = False) -> AsyncIterator[None]:
        """Router and worker in this process."""
        stop = asyncio.Event()
        tasks = []
        if router:
            told = Router(self.system.log, self.system.router_store(), self.system.programme, self.skipper.client, PACE)
            tasks.append(asyncio.create_task(told.run(stop)))
        if worker:
            work = run_worker(self.system, stop, schedule=schedule, graceful=timedelta(seconds=2))
            tasks.append(asyncio.create_task(work))
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


def settings_for(database: str, address: str, namespace: str, home: Path) -> Settings:
    return Settings(
        database_url=database,
        keys_database_url=database + "_keys",
        temporal_address=address,
        temporal_namespace=namespace,
        throughline_home=home,
    )


@contextmanager
def system_for(
    settings: Settings, post: Channel, programme: Programme | None = None, clock: Clock | None = None
) -> Iterator[System]:
    assert settings.database_url is not None and settings.keys_database_url is not None
    ensure_database(settings.database_url)
    ensure_database(settings.keys_database_url)
    prepare(settings)
    with open_system(settings, channels=dict.fromkeys(KINDS, post), programme=programme, clock=clock) as system:
        yield system


async def world_of(system: System, post: Post) -> World:
    client = await connect_temporal(system.settings)
    return World(system, client, post, TimeSkipper(client, config=TimeSkippingConfig(enabled=False)))


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so; asked off the event loop, because it may ask the database."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
