"""Messages are worked off in batches: side by side where none bears on another, else in order; and none suffers for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain.staff.facts import Role
from domain.stay.facts import StayClass
from eventlog.gateway import Conflict, Gateway
from eventlog.recorder import LogRecorder
from intake.reading import notification
from intake.store.inbox import Status
from intake.worker import BATCH_MAX
from tests.intake.conftest import World, open_world
from tests.intake.making import MARISOL, TOMAS, Person, adt

PEOPLE = tuple(
    replace(MARISOL, cin=f"9000000{n}A", mrn=f"MRN-{n}", family=f"Family{chr(65 + n)}", born=f"19610{n + 1}12") for n in range(8)
)


def test_messages_of_one_stay_in_one_batch_are_taken_in_order(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.send(
        adt("A01", control_id="1", admitted="20260309100000"),
        adt("A01", control_id="2", person=TOMAS, visit="V-78", admitted="20260309110000"),
        adt("A08", control_id="3", sent="20260310161000", stay_class="O"),
        adt("A03", control_id="4", sent="20260310162000", discharged="20260310150000", disposition="01"),
        adt("A03", control_id="5", sent="20260310162000", discharged="20260310150000", disposition="01"),
    )
    assert world.door.worker.work_some() == 5
    found = {row.control_id: (row.status, row.flags) for row in world.rows()}
    assert found["5"] == (Status.DUPLICATE, ["probable_resend"]), "the second of the batch has heard the first"
    assert {found[n][0] for n in "1234"} == {Status.APPLIED}
    course = world.course(MARISOL)
    assert course.discharge is not None and course.stay_class is not StayClass.EMERGENCY
    assert world.course(TOMAS).discharge is None


def test_a_message_at_fault_is_alone_at_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(MARISOL, TOMAS)
    world.send(adt("A01", control_id="good"), adt("A01", control_id="bad", person=TOMAS, visit="V-78"))
    usual = notification.normalise

    def broken(message: Any, source: Any, received_at: Any, *more: Any) -> Any:
        if message.msh.text(10) == "bad":
            raise KeyError(TOMAS.family)
        return usual(message, source, received_at, *more)

    monkeypatch.setattr(notification, "normalise", broken)
    assert world.door.worker.work_some() == 2
    rows = {row.control_id: row for row in world.rows()}
    assert rows["good"].status is Status.APPLIED
    assert (rows["bad"].status, rows["bad"].error, rows["bad"].attempts) == (Status.RECEIVED, "KeyError", 1)


def test_what_cannot_be_stored_together_is_stored_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(MARISOL, TOMAS)
    world.send(adt("A01", control_id="1"), adt("A01", control_id="2", person=TOMAS, visit="V-78"))
    usual = Gateway.handle_many

    def never_together(self: Gateway, orders: Any, **more: Any) -> Any:
        streams = {order.command.stream for order in orders if order.command.stream.startswith("stay-")}
        return Conflict(min(streams), 0, 1) if len(streams) > 1 else usual(self, orders, **more)

    monkeypatch.setattr(Gateway, "handle_many", never_together)
    world.door.worker.work_off()
    assert [row.status for row in world.rows()] == [Status.APPLIED, Status.APPLIED]


def test_a_batch_costs_hardly_more_round_trips_than_a_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(*PEOPLE)
    trips = 0
    usual = LogRecorder.again_while_away

    def counted(self: LogRecorder, act: Callable[[Any], Any]) -> Any:
        nonlocal trips
        trips += 1
        return usual(self, act)

    monkeypatch.setattr(LogRecorder, "again_while_away", counted)

    def of(*people: Person) -> int:
        nonlocal trips
        world.send(*(adt("A01", control_id=f"{p.mrn}-{len(people)}", person=p, visit=f"V{p.mrn}-{len(people)}") for p in people))
        trips = 0
        assert world.door.worker.work_some() == len(people) <= BATCH_MAX
        return trips

    alone, together = of(PEOPLE[0]), of(*PEOPLE)
    assert {row.status for row in world.rows()} == {Status.APPLIED}
    assert (alone, together) == (5, 5), "claims, people, memory and streams, append, courses"


def test_whoever_catches_up_the_index_does_so_for_all_processes(world: World) -> None:
    index = world.door.index
    world.staff(Role.OPERATOR)
    assert index.is_behind(1) and not index.is_behind(100)
    elsewhere = open_world(world.url, create=False)
    elsewhere.door.index.catch_up(world.clock.now())
    elsewhere.door.close()
    elsewhere.opened.close()
    assert not index.is_behind(1)
