"""P8, P9 and P10: the front door, from a hospital's socket to the checklist that somebody sees."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
from temporalio.client import Client, WorkflowHandle
from temporalio.converter import PayloadConverter

from benchmarks.certificates import signed_in
from benchmarks.empty_shell import NEWS, Empty
from benchmarks.ground import Databases, Ground
from benchmarks.hospital import Person, Sent, mllp, of_stay
from benchmarks.table import REPEATS, Measured, NotMeasured, Row, at_least, at_most, in_turns, told_only, within
from domain.core import SYSTEM, Command
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.member.decider import RegisterMember
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from eventlog.clock import SystemClock
from eventlog.gateway import Order
from intake.people.identity import IdentityKeys
from projections.queries import Queries
from workers import composition, services
from workers.first_policies import adopt_first_policies
from workers.settings import Settings
from workflows.shell import WORKFLOW_QUEUE

P8_MESSAGES = 30_000
P8_SINGLE = 1_500
P8_TLS_MESSAGES = 10_000
P9_MESSAGES = 6_000
P9_MEMBERS, P9_STRANGERS = 500, 100
P9_PROCESSES = 2
P9_LOOK_SECONDS = 0.02
P10_MESSAGES = 25
P10_WARMED = 5
P10_PER_SECOND = 5.0
P10_SECONDS_MAX = 10.0
P10_LOOK_SECONDS = 0.002
P10_IDLE_SECONDS = 5.0
P10_NAME = "WARD"
CHECKLIST = "transition.call"
"""An item of every checklist after a discharge home."""

START_SECONDS_MAX = 150.0
L1 = "L1"
RECORDED_AT_ONCE = 20


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


def hospital(
    port: int,
    *,
    messages: int,
    connections: int,
    window: int,
    first_person: int = 0,
    people: int = 5_000,
    only: str = "",
    name: str = "",
    certificates: Path | None = None,
) -> Sent:
    """What a sender in a process of its own saw. Raises NotMeasured where a message was not accepted."""
    told: dict[str, object] = {
        "port": port, "messages": messages, "connections": connections, "window": window, "first-person": first_person,
        "people": people, "name": name or f"V{uuid.uuid4().hex[:8]}", "only": only,
    }  # fmt: skip
    if certificates is not None:
        told["certificates"] = certificates
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.hospital", *(f"--{what}={value}" for what, value in told.items())],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise NotMeasured(f"the sender failed: {ran.stderr.strip().splitlines()[-1] if ran.stderr else ran.returncode}")
    saw = Sent(**json.loads(ran.stdout))
    if saw.accepted != messages:
        raise NotMeasured(f"{saw.accepted} of {messages} messages were accepted")
    return saw


def stored(at: Site) -> int:
    with psycopg.connect(at.databases.url) as conn:
        row = conn.execute("SELECT count(*) FROM intake.inbox").fetchone()
    assert row is not None
    return int(row[0])


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


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
    yield from _under_tls(ground)
    yield from _worked_off(ground)
    yield from _seen_by_staff(ground)


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


def _under_tls(ground: Ground) -> Iterator[Row]:
    """P8 as hospitals send over a network: TLS, each side with a certificate."""
    with site(ground) as at:
        made = signed_in(at.home)
        registry = at.home / "sources.toml"
        registry.write_text(f'[[source]]\nname = "measured"\ncertificate_sha256 = ["{made.client_sha256}"]\n')
        told = {
            "THROUGHLINE_INTAKE": "listen", "THROUGHLINE_SOURCES": str(registry),
            "THROUGHLINE_HL7_CERTIFICATE": made.file("server.pem"), "THROUGHLINE_HL7_CERTIFICATE_KEY": made.file("server.key"),
            "THROUGHLINE_HL7_CLIENT_AUTHORITIES": made.file("authority.pem"),
        }  # fmt: skip
        with role(at, "intake", **told):
            wait_for_port(at.hl7_port)

            def rate(messages: int) -> float:
                sent = hospital(at.hl7_port, messages=messages, connections=16, window=16, certificates=made.folder)
                return messages / sent.seconds

            rate(P8_MESSAGES // 10)
            many, l1 = in_turns(lambda: rate(P8_TLS_MESSAGES), lambda: ground.l1(seconds=1))
        yield told_only("P8-tls", "P8 under TLS with client certificates", many, "messages/s", L1, l1)


# --- P9 --------------------------------------------------------------------------------------------------------------------------


def _worked_off(ground: Ground) -> Iterator[Row]:
    """The appliers stand still while the messages are stored, so that each turn measures them alone, and warm."""
    with site(ground) as at, ExitStack() as running:
        system = running.enter_context(composition.open_system(at.settings()))
        registered(system, range(P9_MEMBERS))
        running.enter_context(role(at, "intake", THROUGHLINE_INTAKE="listen"))
        appliers = [running.enter_context(role(at, "intake", THROUGHLINE_INTAKE="apply")) for _ in range(P9_PROCESSES)]
        wait_for_port(at.hl7_port)
        costs: list[float] = []

        def rate(messages: int) -> float:
            for applier in appliers:
                applier.suspend()
            hospital(at.hl7_port, messages=messages, connections=16, window=16, people=P9_MEMBERS + P9_STRANGERS)
            used = sum(map(cpu_seconds, appliers))
            began = time.perf_counter()
            for applier in appliers:
                applier.resume()
            _wait_until_settled(system)
            seconds = time.perf_counter() - began
            costs.append((sum(map(cpu_seconds, appliers)) - used) / messages * 1e6)
            return messages / seconds

        rate(P9_MESSAGES // 5)
        _wait_until_settled(system)
        del costs[:]
        done, l1 = in_turns(lambda: rate(P9_MESSAGES), ground.l1)
        _check_outcomes(system)
        what = f"ADT to finished facts, {P9_PROCESSES} processes; one message in six is about a stranger"
        yield at_least("P9", what, done, "messages/s", L1, l1, 0.4, "L1")
        yield told_only("P9-cpu", "the same, CPU of the appliers", Measured(tuple(costs)), "us/message", L1, l1)


def _wait_until_settled(system: composition.System) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    with system.pool.connection() as conn:
        while conn.execute("SELECT EXISTS (SELECT FROM intake.inbox WHERE status = 'received')").fetchone() != (False,):
            if time.monotonic() > until:
                raise NotMeasured(f"the inbox was not worked off within {START_SECONDS_MAX:g} s")
            time.sleep(P9_LOOK_SECONDS)


def _check_outcomes(system: composition.System) -> None:
    """A rate of messages that failed would be no rate."""
    with system.pool.connection() as conn:
        counted = conn.execute("SELECT status, count(*) FROM intake.inbox GROUP BY status").fetchall()
    found = {str(status): int(count) for status, count in counted}
    strangers = found.pop("unmatched", 0) / max(1, sum(found.values()))
    if set(found) != {"applied"} or not 0.1 < strangers < 0.4:
        raise NotMeasured(f"the messages did not end as they should have: {found}")


# --- P10 -------------------------------------------------------------------------------------------------------------------------


def _seen_by_staff(ground: Ground) -> Iterator[Row]:
    """The whole chain as in production: a listener that applies, a router, a worker and a projector, each a process of its own."""
    people = range(P10_WARMED + REPEATS * P10_MESSAGES)
    with site(ground) as at, ExitStack() as running:
        system = running.enter_context(composition.open_system(at.settings()))
        members = enrolled(system, people)
        roles = [running.enter_context(role(at, name)) for name in ("intake", "router", "worker", "projector")]
        bare = running.enter_context(bare_shell(ground))
        wait_for_port(at.hl7_port)
        hospital(at.hl7_port, messages=len(people), connections=1, window=1, people=len(people), only="A01", name=P10_NAME)
        _wait_until_quiet(system, [f"transition-{m.episode}" for m in members])
        watch = Watch(services.queries_of(system), system)
        _discharges(at, watch, members[:P10_WARMED])
        whole, empty = [], []
        for turn in range(REPEATS):
            empty.append(bare.latencies(P10_MESSAGES))
            first = P10_WARMED + turn * P10_MESSAGES
            whole.append(_discharges(at, watch, members[first : first + P10_MESSAGES]))
        used, began = [cpu_seconds(each) for each in roles], time.monotonic()
        time.sleep(P10_IDLE_SECONDS)
        idle = [(cpu_seconds(each) - was) / (time.monotonic() - began) * 100 for each, was in zip(roles, used, strict=True)]
    what = "last byte of an A03 -> workflow has advanced -> checklist in the worklist, 5 a second"
    for id, name, share in (("P10", "p50", 0.5), ("P10-p99", "p99", 0.99)):
        a = Measured(tuple(_quantile(one, share) * 1000 for one in empty))
        value = Measured(tuple(_quantile(one, share) * 1000 for one in whole))
        yield at_most(id, f"{what}, {name}", value, "ms", f"A {name}: bare signal to activity", a, 3.0, f"A {name}")
    per_cent = Measured((sum(idle),))
    names = "listener and applier, router, worker, projector"
    yield told_only(
        "P10-idle", f"CPU of {names} together while nothing happens", per_cent, "% of a core", "100 %", Measured((100.0,))
    )


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolled member by number, with the id that episode and processes have in common."""

    number: int
    episode: str


def registered(system: composition.System, people: Sequence[int]) -> list[Enrolled]:
    """Members of a plan, assigned ten days ago."""
    adopt_first_policies(system)
    identity, assigned_at = IdentityKeys(system.settings.keys().index), system.clock.now() - timedelta(days=10)
    found = [Enrolled(number, str(uuid.uuid4())) for number in people]
    said: list[Command] = []
    for one in found:
        person = Person(one.number)
        member, episode = identity.member(person.cin), f"episode-{one.episode}"
        said += (
            RegisterMember(
                stream=member, by=SYSTEM, cin_claim=identity.cin_claim(person.cin), cin=person.cin, family_name=person.family,
                given_name=person.given, birth_date=f"{person.born[:4]}-{person.born[4:6]}-{person.born[6:]}",
            ),
            ReceiveAssignment(
                stream=episode, by="source:bench", occurred_at=assigned_at, member=member, plan="default", received_at=assigned_at
            ),
        )  # fmt: skip
    _record(system, said)
    return found


def enrolled(system: composition.System, people: Sequence[int]) -> list[Enrolled]:
    """Registered members, each with a lead care manager and enrolled for some days."""
    found, lead = registered(system, people), f"staff-{uuid.uuid4()}"
    roles = (Role.CARE_MANAGER, Role.SUPERVISOR)
    said: list[Command] = [JoinStaff(stream=lead, by=SYSTEM, name="Lead", email="lead@example.org", roles=roles)]
    enrolled_at = system.clock.now() - timedelta(days=5)
    for one in found:
        episode = f"episode-{one.episode}"
        said.append(AssignLeadCareManager(stream=episode, by=SYSTEM, staff=lead))
        said.append(Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=enrolled_at))
    _record(system, said)
    return found


def _record(system: composition.System, commands: Sequence[Command]) -> None:
    for first in range(0, len(commands), RECORDED_AT_ONCE):
        orders = [Order(command=command, command_id=uuid.uuid4()) for command in commands[first : first + RECORDED_AT_ONCE]]
        done = system.gateway.handle_many(orders)
        assert isinstance(done, tuple), done


def _wait_until_quiet(system: composition.System, processes: Sequence[str]) -> None:
    """Until every process has been advanced and nothing has been for a second."""
    until, seen, since = time.monotonic() + START_SECONDS_MAX, 0, time.monotonic()
    while time.monotonic() < until:
        with system.pool.connection() as conn:
            row = conn.execute(
                "SELECT count(*) FILTER (WHERE process = ANY(%s)), coalesce(sum(position), 0)::bigint FROM process_state",
                (list(processes),),
            ).fetchone()
        assert row is not None
        if row[1] != seen:
            seen, since = row[1], time.monotonic()
        if row[0] == len(processes) and time.monotonic() - since > 2:
            return
        time.sleep(0.1)
    raise NotMeasured("the workflows did not come to rest")


@dataclass(frozen=True, slots=True)
class BareShell:
    """An empty shell on the same server, its worker a process of its own."""

    address: str
    namespace: str

    def latencies(self, signals: int) -> list[float]:
        """Seconds from each signal until its workflow's activity runs, at the rate of P10."""
        return asyncio.run(self._latencies(signals))

    async def _latencies(self, signals: int) -> list[float]:
        client = await Client.connect(self.address, namespace=self.namespace)
        handles = [
            await client.start_workflow(Empty.run, id, id=id, task_queue=WORKFLOW_QUEUE)
            for id in (f"empty-{uuid.uuid4()}" for _ in range(signals))
        ]
        for handle in handles:
            while len(await _ran_at(handle)) < 1:
                await asyncio.sleep(0.02)
        sent, began = [], time.perf_counter()
        for n, handle in enumerate(handles):
            await asyncio.sleep(max(0.0, began + n / P10_PER_SECOND - time.perf_counter()))
            sent.append(SystemClock().now().timestamp())
            await handle.signal(NEWS, 1)
        await asyncio.sleep(0.5)
        ran = []
        for handle in handles:
            while len(found := await _ran_at(handle)) < 2:
                await asyncio.sleep(0.02)
            ran.append(found[1])
        return [at - said for at, said in zip(ran, sent, strict=True)]


async def _ran_at(handle: WorkflowHandle[Empty, None]) -> list[float]:
    """When each of a workflow's activities ran."""
    history = await handle.fetch_history()
    done = [
        e.activity_task_completed_event_attributes for e in history.events if e.HasField("activity_task_completed_event_attributes")
    ]
    return [PayloadConverter.default.from_payloads(each.result.payloads)[0] for each in done]


@contextmanager
def bare_shell(ground: Ground) -> Iterator[BareShell]:
    namespace = ground.namespace()
    with ground.folder() as home:
        worker = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker_process", "empty", "1000"],
            env={**os.environ, "TEMPORAL_ADDRESS": ground.temporal, "TEMPORAL_NAMESPACE": namespace, "THROUGHLINE_HOME": str(home)},
        )
        try:
            yield BareShell(ground.temporal, namespace)
        finally:
            worker.terminate()
            worker.wait(20)


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the worklist as operations staff do. A cheap question comes first, or the looking would be what is measured."""

    queries: Queries
    system: composition.System

    def until_seen(self, process: str) -> float:
        """The instant at which the checklist after a discharge is in the worklist of a process."""
        until = time.monotonic() + P10_SECONDS_MAX
        with self.system.pool.connection() as conn:
            while time.monotonic() < until:
                found = conn.execute(_CHECKLIST, (process,), prepare=True).fetchone()
                if found is not None:
                    page = self.queries.worklist(now=self.system.clock.now(), process=process)
                    assert any(item.rule == CHECKLIST for item in page.items), "the worklist does not show it"
                    return time.perf_counter()
                time.sleep(P10_LOOK_SECONDS)
        raise NotMeasured(f"a checklist was not in the worklist {P10_SECONDS_MAX:g} s after the discharge")


_CHECKLIST = f"SELECT FROM process_obligation WHERE process = %s AND rule = '{CHECKLIST}' LIMIT 1"


def _discharges(at: Site, watch: Watch, members: Sequence[Enrolled]) -> list[float]:
    """Seconds from the last byte of each discharge to its checklist, at a steady rate whatever the answers take."""
    now = SystemClock().now()
    frames = [mllp(of_stay("A03", range(m.number + 1), m.number, name=P10_NAME, now=now)) for m in members]
    with socket.create_connection(("127.0.0.1", at.hl7_port)) as conn, ThreadPoolExecutor(4) as looking:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen = []
        began = time.perf_counter()
        for n, (frame, member) in enumerate(zip(frames, members, strict=True)):
            time.sleep(max(0.0, began + n / P10_PER_SECOND - time.perf_counter()))
            conn.sendall(frame)
            sent = time.perf_counter()
            seen.append((sent, looking.submit(watch.until_seen, f"transition-{member.episode}")))
            said = conn.recv(4096)
            if b"MSA|AA|" not in said:
                raise NotMeasured("a discharge was not accepted")
        return [found.result() - sent for sent, found in seen]
