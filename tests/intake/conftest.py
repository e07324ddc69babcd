"""What the front door's tests stand on: a fresh log and inbox, the real catalog, a listener on a real socket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.adoption.decider import AdoptPolicy
from domain.catalog import DECIDERS, FACTS
from domain.member.decider import Member
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from domain.stay.decider import Course
from eventlog import opening
from eventlog.clock import FixedClock
from eventlog.gateway import Accepted, Gateway
from eventlog.opening import OpenLog, PolicyShelf
from intake.door import FrontDoor, open_door
from intake.files.roster import Receipt
from intake.listening.acks import peek
from intake.listening.mllp import Limits, framed
from intake.reading.er7 import Message, read
from intake.reading.notification import Notification, normalise
from intake.senders.sources import Source, Sources, load_sources
from intake.store import inbox as intake_inbox
from intake.store.inbox import Row, Status
from tests.intake.making import Person, member_file

NOW = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
MASTER = bytes(range(32))
INDEX = bytes(range(32, 64))
POLICIES = Path(__file__).parents[2] / "policies"


@dataclass(slots=True)
class World:
    """A front door onto a fresh log. Its clock stands at 16:30 Pacific on 2026-03-10 until it is moved."""

    url: str
    opened: OpenLog
    gateway: Gateway
    clock: FixedClock
    door: FrontDoor

    def send(self, *messages: str | bytes, limits: Limits | None = None) -> list[str]:
        """Sends messages over one MLLP connection, one after the other, and gives the acknowledgements."""
        return asyncio.run(self._send([m.encode() if isinstance(m, str) else m for m in messages], limits))

    async def _send(self, messages: list[bytes], limits: Limits | None) -> list[str]:
        listener = self.door.listener(limits=limits)
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        answers = []
        for message in messages:
            writer.write(framed(message))
            answers.append((await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 10))[1:-2].decode())
        writer.close()
        await listener.stop()
        return answers

    def deliver(self, *messages: str | bytes) -> list[Row]:
        """Sends messages, works the inbox off, and gives the rows of what was sent, in the order of sending."""
        for answer in self.send(*messages):
            assert "\rMSA|AA|" in answer or "\rMSA|CA|" in answer, answer
        self.door.worker.work_off()
        return [self.row_of(message) for message in messages]

    def row_of(self, message: str | bytes) -> Row:
        raw = message.encode() if isinstance(message, str) else message
        header = peek(raw, self.source)
        assert header is not None
        found = [row for row in self.door.inbox.find(control_id=header.control_id) if self.door.inbox.raw(row.inbox_id) == raw]
        assert len(found) == 1
        return found[0]

    @property
    def source(self) -> Source:
        return self.door.sources.rows[0]

    def rows(self, status: Status | None = None) -> tuple[Row, ...]:
        return self.door.inbox.find(status=status, files=False)

    def facts(self, kind: str = "") -> list[Any]:
        """The facts of all streams of a kind, in the order of the log."""
        return [stored.recorded.fact for stored in self.opened.log.all() if stored.recorded.stream.startswith(kind)]

    def adopt(self, *plans: str) -> None:
        """The policies of plans; of a plan that has none of its own, the default one under its name."""
        for plan in plans:
            own = POLICIES / f"{plan}.toml"
            text = (own if own.exists() else POLICIES / "default.toml").read_text().replace('plan = "default"', f'plan = "{plan}"')
            digest = hashlib.sha256(text.encode()).hexdigest()
            command = AdoptPolicy(stream=f"policy-{plan}", by="system", text=text, sha256=digest)
            assert isinstance(self.gateway.handle(command, command_id=uuid4()), Accepted)

    def register(self, *people: Person, plan: str = "default", **more: Any) -> Receipt:
        return self.door.files.import_file(member_file(*people), plan=plan, **more)

    def staff(self, role: Role) -> str:
        """Somebody of the staff with a role."""
        stream = f"staff-{uuid4()}"
        joined = self.gateway.handle(JoinStaff(stream=stream, by="system", name="Somebody", roles=(role,)), command_id=uuid4())
        assert isinstance(joined, Accepted), joined
        return stream

    def member_of(self, person: Person) -> str:
        holder = self.gateway.load(self.door.identity.cin_claim(person.cin)).state.holder
        assert isinstance(holder, str)
        return holder

    def member(self, person: Person) -> Member:
        state = self.gateway.load(self.member_of(person)).state
        assert isinstance(state, Member)
        return state

    def course(self, person: Person) -> Course:
        """The course of the only stay of a member."""
        (stay,) = self.member(person).stays
        course = self.gateway.load(stay).state.course()
        assert isinstance(course, Course)
        return course

    def caused(self, row: Row) -> list[str]:
        return [caused.fact for caused in self.door.inbox.show(row.inbox_id).caused]


def open_world(url: str, sources: Sources | None = None, *, create: bool = True) -> World:
    """A second door onto a log that exists is a second process's; it need not `create` the tables and adopt the default policy."""
    keys_url = url + "_keys"
    if create:
        opening.create(url, keys_url)
        intake_inbox.create(url)
    opened = opening.open_log(url, keys_url, master_key=MASTER, facts=FACTS)
    clock = FixedClock(NOW)
    gateway = Gateway(opened.log, clock=clock, deciders=DECIDERS, fingerprint_key=INDEX, books=PolicyShelf(opened.log))
    door = open_door(url, gateway=gateway, keys=opened.keys, index_key=INDEX, clock=clock, sources=sources or load_sources())
    world = World(url, opened, gateway, clock, door)
    if create:
        world.adopt("default")
    return world


def assert_kept_as_told(world: World) -> None:
    """What the gateway keeps of its own appends is what the log says of them."""
    streams = {stored.recorded.stream for stored in world.opened.log.all()}
    kept = world.gateway.load_many(streams)
    world.gateway.forget()
    assert world.gateway.load_many(streams) == kept


@pytest.fixture
def world(database: str) -> Iterator[World]:
    world = open_world(database)
    yield world
    assert_kept_as_told(world)
    world.door.close()
    world.opened.close()


def notification(text: str | bytes, source: Source | None = None, received_at: datetime = NOW) -> Notification:
    """What a message says, without any database."""
    message = read(text.encode() if isinstance(text, str) else text)
    assert isinstance(message, Message)
    said = normalise(message, source or load_sources().rows[0], received_at)
    assert isinstance(said, Notification), said
    return said
