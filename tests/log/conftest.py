"""What the log's tests stand on: a fresh log of the toy world, its keys, its gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from domain.core import Command
from eventlog import opening
from eventlog.clock import FixedClock
from eventlog.gateway import Accepted, Gateway
from eventlog.log import Log
from eventlog.opening import OpenLog
from eventlog.recorder import LogRecorder
from tests.log import toy

NOON = datetime(2026, 11, 2, 20, 0, tzinfo=UTC)
MASTER = bytes(range(32))
FINGERPRINTS = b"f" * 32


@dataclass(frozen=True, slots=True)
class World:
    """One log with everything around it."""

    url: str
    open: OpenLog
    clock: FixedClock
    gateway: Gateway

    @property
    def log(self) -> Log:
        return self.open.log

    def do(self, command: Command, **more: Any) -> Accepted:
        """Carry out a command that must be accepted."""
        outcome = self.gateway.handle(command, command_id=uuid4(), **more)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def member(self, name: str | None = "Ada Planted", *, consents: bool = True) -> str:
        """A registered member."""
        stream = f"member-{uuid4()}"
        self.do(toy.Register(stream=stream, by="system", name=name))
        if consents:
            self.do(toy.GiveConsent(stream=stream, by="system"))
        return stream


def gateway_of(opened: OpenLog, clock: FixedClock, **more: Any) -> Gateway:
    return Gateway(
        opened.log,
        clock=clock,
        deciders=toy.DECIDERS,
        processes=toy.PROCESSES,
        fingerprint_key=FINGERPRINTS,
        forget_key=opened.keys.forget,
        **more,
    )


Opener = Callable[..., OpenLog]


@pytest.fixture(scope="module")
def created(module_database: str) -> str:
    """The address of a database with a log, which the tests of a module share; each uses streams of its own.

    A module whose tests need a log of their own overrides this (`created_for_each`).
    """
    return create_log(module_database)


def create_log(url: str) -> str:
    opening.create(url, url + "_keys")
    return url


def created_for_each() -> Any:
    """`created = created_for_each()` in a module gives every test an empty log."""

    @pytest.fixture(name="created")
    def fresh(database: str) -> str:
        return create_log(database)

    return fresh


@pytest.fixture
def another(created: str) -> Iterator[Opener]:
    """Opens the log once more, as another process would."""
    opened: list[OpenLog] = []

    def again(**more: Any) -> OpenLog:
        opened.append(opening.open_log(created, created + "_keys", **{"master_key": MASTER, "facts": toy.FACTS, **more}))
        return opened[-1]

    yield again
    for log in opened:
        log.close()


@pytest.fixture
def world(created: str, another: Opener) -> World:
    opened = another()
    clock = FixedClock(NOON)
    return World(created, opened, clock, gateway_of(opened, clock))


@pytest.fixture
def world_recorder(world: World) -> LogRecorder:
    return world.log.recorder


@pytest.fixture(autouse=True)
def _no_library_flag() -> None:
    """The library's own functions lose events (engine.md A2); nobody may have switched them on."""
    assert os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS") is None
