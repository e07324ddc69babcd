"""Every ADT trigger about a stay, through the real listener onto a real PostgreSQL, in any order of arrival (messages.md 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import permutations
from uuid import uuid4

import pytest

from domain.member.decider import WithdrawDeathReport
from domain.member.identity import RecogniseMessage
from domain.member.visit_words import About
from domain.staff.facts import Role
from domain.stay.course import Course
from domain.stay.facts import MemberAdmitted, Move, StayClass, StayContinuedElsewhere, VisitBecame
from eventlog.gateway import Accepted
from intake.senders.sources import Facility, Source, Sources
from intake.store.inbox import Status
from tests.intake.conftest import World, open_world
from tests.intake.making import MARISOL, TOMAS, Person, adt


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def in_the_ed(**more: str) -> str:
    said = {"control_id": "ED-1", "sent": "20260308090500", "admitted": "20260308090000", "visit": "V-ED", "stay_class": "E"}
    return adt("A04", **{**said, **more})  # type: ignore[arg-type]


def upstairs(**more: str) -> str:
    said = {"control_id": "UP-1", "sent": "20260308150500", "occurred": "20260308150000", "admitted": "20260308150000",
            "visit": "V-IP", "prior_visit": "V-ED", "stay_class": "I", "location": "3W^301^A^VALLEYGEN"}  # fmt: skip
    return adt("A06", **{**said, **more})  # type: ignore[arg-type]


def gone_home(**more: str) -> str:
    said = {"control_id": "OUT-1", "sent": "20260310100500", "discharged": "20260310100000", "visit": "V-IP", "disposition": "01"}
    return adt("A03", **{**said, **more})  # type: ignore[arg-type]


def stay_that_counts(world: World) -> str:
    """The only stay of the member that is not another one under a former number."""
    stays = [s for s in world.member(MARISOL).stays if world.gateway.load(s).state.continued_as is None]
    assert len(stays) == 1
    return stays[0]


def test_16_an_emergency_visit_that_becomes_an_admission_under_another_number_is_one_stay(world: World) -> None:
    world.register(MARISOL)
    rows = world.deliver(in_the_ed(), upstairs(), gone_home())
    assert [row.status for row in rows] == [Status.APPLIED] * 3
    course = world.gateway.load(stay_that_counts(world)).state.course()
    assert [a.at for a in course.admissions] == [utc(2026, 3, 8, 16, 0)]  # 09:00 Pacific daylight time: at the door of the ED
    assert course.stay_class is StayClass.INPATIENT and course.was_emergency
    assert course.discharge is not None and course.discharge.at == utc(2026, 3, 10, 17, 0)
    assert sum(isinstance(f, MemberAdmitted) for f in world.facts("stay-")) == 1
    assert sum(isinstance(f, VisitBecame) for f in world.facts("stay-")) == 1


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_16_in_every_order_of_arrival(world: World, order: tuple[int, ...]) -> None:
    world.register(MARISOL)
    said = (in_the_ed(), upstairs(), gone_home())
    for n in order:
        world.deliver(said[n])
    course = world.gateway.load(stay_that_counts(world)).state.course()
    assert [a.at for a in course.admissions] == [utc(2026, 3, 8, 16, 0)]
    assert course.stay_class is StayClass.INPATIENT and course.was_emergency and course.location == "3W^301^A"
    assert [(d.at, d.disposition) for d in course.discharges] == [(utc(2026, 3, 10, 17, 0), "01")]
    assert course.doubts == ()


@pytest.mark.parametrize("trigger", ["A42", "A45", "A50"])
def test_a_visit_that_only_gets_another_number_goes_on(world: World, trigger: str) -> None:
    world.register(MARISOL)
    first = adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", visit="V-1")
    renumbered = adt(trigger, control_id="B", sent="20260309090000", visit="V-2", prior_visit="V-1")
    back = adt("A03", control_id="C", sent="20260310100500", discharged="20260310100000", visit="V-2", disposition="01", cin="")
    rows = world.deliver(first, renumbered, back)
    assert [row.status for row in rows] == [Status.APPLIED] * 3
    course = world.gateway.load(stay_that_counts(world)).state.course()
    assert course.discharge is not None and len(course.admissions) == 1


def test_a_death_under_the_number_that_went_on_is_reported_before_any_index_knows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(MARISOL)
    world.deliver(in_the_ed())
    monkeypatch.setattr(world.door.index, "catch_up", lambda now: 0)
    world.deliver(upstairs())
    (row,) = world.deliver(gone_home(disposition="20"))
    assert row.status is Status.APPLIED and row.stay == stay_that_counts(world)
    assert world.member(MARISOL).death() is not None


@pytest.mark.parametrize("early", [True, False])
def test_a_doubt_under_the_number_that_went_on_waits_and_is_settled_there(
    world: World, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    world.register(MARISOL)
    world.deliver(in_the_ed())
    monkeypatch.setattr(world.door.index, "catch_up", lambda now: 0)
    doubtful = gone_home(disposition="30")
    (row,) = world.deliver(*((doubtful, upstairs()) if early else (upstairs(), doubtful)))[0 if early else 1 :][:1]
    assert (row.status, row.reason) == (Status.WAITING, "still_a_patient")
    world.deliver(gone_home(control_id="OUT-2", sent="20260310110500", visit="V-ED"))
    assert world.row_of(doubtful).status is Status.APPLIED


def test_a_message_without_a_number_of_the_person_waits_for_one_of_its_stay_that_has_it(world: World) -> None:
    world.register(MARISOL)
    (early,) = world.deliver(gone_home(visit="V-1", cin=""))
    assert early.status is Status.UNMATCHED
    admitted = adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", visit="V-1")
    world.deliver(admitted)
    world.door.worker.work_off()
    assert world.row_of(gone_home(visit="V-1", cin="")).status is Status.APPLIED
    assert world.course(MARISOL).discharge is not None


def test_a_cancelled_discharge_under_the_former_number_keeps_its_instant(world: World) -> None:
    world.register(MARISOL)
    world.deliver(
        adt("A03", control_id="C", sent="20260309100500", discharged="20260309100000", visit="V-2", disposition="01"),
        adt("A13", control_id="D", sent="20260309120000", occurred="20260309110000", visit="V-2"),
        adt("A45", control_id="B", sent="20260310090000", visit="V-2", prior_visit="V-1"),
    )
    (discharge,) = world.gateway.load(stay_that_counts(world)).state.course().discharges
    assert discharge.stopped_at == utc(2026, 3, 9, 18, 0)


def test_moves_inside_the_house_change_the_place_and_nothing_else(world: World) -> None:
    world.register(MARISOL)
    world.deliver(
        adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", location="4W^401^A^VALLEYGEN"),
        adt("A02", control_id="B", sent="20260309090000", location="ICU^2^^VALLEYGEN", prior_location="4W^401^A^VALLEYGEN"),
    )
    assert world.course(MARISOL).location == "ICU^2"
    world.deliver(adt("A12", control_id="C", sent="20260309100000", location="4W^401^A^VALLEYGEN"))
    course = world.course(MARISOL)
    assert course.location == "4W^401^A" and course.discharges == () and len(course.admissions) == 1


def test_a_move_to_another_house_ends_one_stay_and_begins_another(database: str) -> None:
    houses = (Facility(id="north", name="North", aliases=("NORTH",)), Facility(id="south", name="South", aliases=("SOUTH",)))
    source = Source(name="valley-general", addresses=("127.0.0.0/8",), facilities=houses, id_authorities={"MEDI-CAL": "cin"})
    world = open_world(database, Sources((source,)))
    world.register(MARISOL)
    rows = world.deliver(
        adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", location="4W^401^A^SOUTH"),
        adt("A02", control_id="B", sent="20260309090500", occurred="20260309090000", location="ICU^2^^NORTH",
            prior_location="4W^401^A^SOUTH"),
    )  # fmt: skip
    assert [row.status for row in rows] == [Status.APPLIED] * 2
    courses = {c.facility: c for c in (world.gateway.load(s).state.course() for s in world.member(MARISOL).stays)}
    assert courses["south"].discharge is not None and courses["south"].discharge.disposition == "02"
    assert courses["south"].discharge.at == utc(2026, 3, 9, 16, 0)
    assert courses["north"].admission is not None and courses["north"].admission.at == utc(2026, 3, 9, 16, 0)
    world.door.close()
    world.opened.close()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_a_cancelled_move_to_another_house_restores_the_one_that_was_left(
    database: str, named: bool, order: tuple[int, ...]
) -> None:
    houses = (Facility(id="north", name="North", aliases=("NORTH",)), Facility(id="south", name="South", aliases=("SOUTH",)))
    source = Source(name="valley-general", addresses=("127.0.0.0/8",), facilities=houses, id_authorities={"MEDI-CAL": "cin"})
    world = open_world(database, Sources((source,)))
    world.register(MARISOL)
    messages = (
        adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", location="4W^401^A^SOUTH"),
        adt("A02", control_id="B", sent="20260309090500", occurred="20260309090000", location="ICU^2^^NORTH",
            prior_location="4W^401^A^SOUTH"),
        adt("A12", control_id="C", sent="20260309110500", occurred="20260309110000", location="4W^401^A^SOUTH",
            prior_location="ICU^2^^NORTH" if named else ""),
    )  # fmt: skip
    for n in order:
        world.deliver(messages[n])
    assert {row.status for row in world.rows()} == {Status.APPLIED}
    courses = {c.facility: c for c in (world.gateway.load(s).state.course() for s in world.member(MARISOL).stays)}
    south, north = courses["south"], courses["north"]
    assert south.admission is not None and south.discharge is None and south.location == "4W^401^A"
    assert [(d.stopped_at, d.stop_reason) for d in south.discharges] == [(utc(2026, 3, 9, 18, 0), "move_cancelled")]
    assert north.cancelled and north.discharges == ()
    world.door.close()
    world.opened.close()


def test_a_move_between_houses_that_number_for_themselves_touches_nobody_else_s_visit(database: str) -> None:
    houses = (Facility(id="north", name="North", aliases=("NORTH",)), Facility(id="south", name="South", aliases=("SOUTH",)))
    source = Source(name="valley-general", addresses=("127.0.0.0/8",), facilities=houses, id_authorities={"MEDI-CAL": "cin"})
    world = open_world(database, Sources((source,)))
    world.register(MARISOL, TOMAS)
    world.deliver(
        adt("A01", control_id="T", person=TOMAS, visit="5005", admitted="20260308080000", location="4W^402^A^SOUTH"),
        adt("A01", control_id="M", visit="1001", admitted="20260308090000", location="4W^401^A^SOUTH"),
    )
    said = {"sent": "20260309090500", "occurred": "20260309090000", "visit": "5005", "location": "ICU^2^^NORTH",
            "prior_location": "4W^401^A^SOUTH"}  # fmt: skip
    moved = adt("A02", control_id="X", **said)  # type: ignore[arg-type]
    (row,) = world.deliver(moved)
    assert (row.status, row.reason) == (Status.WAITING, "visit_of_another_member")
    assert row.proposed == [world.member_of(MARISOL), world.member_of(TOMAS)]
    assert world.course(TOMAS).discharges == () and len(world.member(MARISOL).stays) == 1

    word = RecogniseMessage(stream=world.member_of(MARISOL), by=world.staff(Role.CARE_MANAGER), message=str(row.inbox_id))
    assert isinstance(world.gateway.handle(word, command_id=uuid4()), Accepted)
    world.door.worker.work_off()
    assert world.row_of(moved).status is Status.APPLIED
    assert world.course(TOMAS).discharges == () and len(world.member(TOMAS).stays) == 1
    assert {world.gateway.load(s).state.course().facility for s in world.member(MARISOL).stays} == {"south", "north"}

    (named,) = world.deliver(adt("A02", control_id="Y", **{**said, "visit": "5006", "alternate_visit": "1001"}))  # type: ignore[arg-type]
    assert named.status is Status.APPLIED
    ended = [c for c in (world.gateway.load(s).state.course() for s in world.member(MARISOL).stays) if c.discharge is not None]
    assert [(c.facility, c.discharge.disposition) for c in ended if c.discharge is not None] == [("south", "02")]
    assert [c.admission.at for c in ended if c.admission is not None] == [utc(2026, 3, 8, 16, 0)]
    world.door.close()
    world.opened.close()


@pytest.fixture
def two_houses(database: str) -> Iterator[World]:
    """A sender of two houses whose header names the group."""
    houses = (Facility(id="north", name="North", aliases=("NORTH",)), Facility(id="south", name="South", aliases=("SOUTH",)))
    source = Source(name="valley-general", addresses=("127.0.0.0/8",), facilities=houses, id_authorities={"MEDI-CAL": "cin"})
    world = open_world(database, Sources((source,)))
    world.register(MARISOL, TOMAS)
    yield world
    world.door.close()
    world.opened.close()


def courses_of(world: World, person: Person) -> dict[str, Course]:
    return {c.facility: c for c in (world.gateway.load(s).state.course() for s in world.member(person).stays)}


IN_SOUTH = adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000", location="4W^401^A^SOUTH")


@pytest.mark.parametrize("together", [True, False])
def test_a_message_that_names_no_house_is_about_the_only_one_that_has_the_visit(two_houses: World, together: bool) -> None:
    world = two_houses
    out = adt("A03", control_id="B", sent="20260309090500", discharged="20260309090000", location="", disposition="01")
    back = adt("A13", control_id="C", sent="20260309100500", occurred="20260309100000", location="")
    if together:
        world.deliver(IN_SOUTH, out, back)
    else:
        for message in (IN_SOUTH, out, back):
            world.deliver(message)
    assert {row.status for row in world.rows()} == {Status.APPLIED}
    ((house, course),) = courses_of(world, MARISOL).items()
    assert house == "south" and [d.stop_reason for d in course.discharges] == ["discharge_cancelled"]
    world.door.inbox.replay(world.row_of(out).inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    assert courses_of(world, MARISOL) == {house: course}


def test_a_message_that_names_none_of_several_houses_that_have_the_visit_waits(two_houses: World) -> None:
    world = two_houses
    world.deliver(IN_SOUTH, adt("A01", control_id="N", sent="20260308100500", admitted="20260308100000", location="ICU^2^^NORTH"))
    (out,) = world.deliver(adt("A03", control_id="B", sent="20260309090500", discharged="20260309090000", location=""))
    assert (out.status, out.reason) == (Status.WAITING, "house_unclear")
    assert [c.discharge for c in courses_of(world, MARISOL).values()] == [None, None]


def test_a_house_that_a_message_names_and_nobody_knows_is_none_of_the_others(two_houses: World) -> None:
    world = two_houses
    world.deliver(IN_SOUTH)
    (odd,) = world.deliver(adt("A08", control_id="B", sent="20260309090500", location="1^^^EAST"))
    assert odd.stay not in {s for s in world.member(MARISOL).stays if world.gateway.load(s).state.course().facility == "south"}


def test_a_move_that_does_not_say_from_where_ends_the_visit_in_the_only_house_that_has_it(two_houses: World) -> None:
    world = two_houses
    moved = adt("A02", control_id="B", sent="20260309090500", occurred="20260309090000", location="ICU^2^^NORTH")
    rows = world.deliver(IN_SOUTH, moved, adt("A02", control_id="C", sent="20260309100500", occurred="20260309100000",
                                              location="ICU^3^^NORTH"))  # fmt: skip
    assert [row.status for row in rows] == [Status.APPLIED] * 3
    courses = courses_of(world, MARISOL)
    south, north = courses["south"], courses["north"]
    assert south.discharge is not None and (south.discharge.disposition, south.discharge.at) == ("02", utc(2026, 3, 9, 16, 0))
    assert north.admission is not None and (north.admission.at, north.location) == (utc(2026, 3, 9, 16, 0), "ICU^3")
    world.door.inbox.replay(world.row_of(moved).inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    assert courses_of(world, MARISOL) == courses


def test_a_visit_of_the_same_number_of_somebody_else_is_ended_by_nobody_but_a_person(two_houses: World) -> None:
    world = two_houses
    world.deliver(IN_SOUTH)
    (moved,) = world.deliver(adt("A02", control_id="B", person=TOMAS, sent="20260309090500", occurred="20260309090000",
                                 location="ICU^2^^NORTH"))  # fmt: skip
    assert (moved.status, moved.reason) == (Status.WAITING, "visit_of_another_member")
    assert courses_of(world, MARISOL)["south"].discharge is None


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("trigger", ["A06", "A45"])
def test_a_number_that_is_another_member_s_visit_is_joined_by_nobody_but_a_person(
    world: World, trigger: str, together: bool
) -> None:
    world.register(MARISOL, TOMAS)
    said = (
        adt("A01", control_id="T", person=TOMAS, visit="V-9", sent="20260308080500", admitted="20260308080000"),
        adt("A01", control_id="M", visit="V-1", sent="20260308090500", admitted="20260308090000"),
        adt(trigger, control_id="J", visit="V-9", prior_visit="V-1", sent="20260309090500", occurred="20260309090000"),
    )
    if together:
        world.deliver(*said)
    else:
        for message in said:
            world.deliver(message)
    row = world.row_of(said[-1])
    assert (row.status, row.reason) == (Status.WAITING, "visit_of_another_member")
    assert not any(isinstance(f, StayContinuedElsewhere) for f in world.facts("stay-"))
    assert world.course(TOMAS).admission is not None and len(world.course(MARISOL).admissions) == 1


def test_what_is_announced_starts_nothing(world: World) -> None:
    world.register(MARISOL)
    world.deliver(adt("A05", control_id="A", sent="20260308090500", expected_admission="20260320"))
    course = world.course(MARISOL)
    assert course.admissions == () and [(a.move, a.expected_on) for a in course.announced] == [(Move.ADMISSION, date(2026, 3, 20))]
    world.deliver(adt("A38", control_id="B", sent="20260309090500"))
    assert world.course(MARISOL).announced == ()


def test_a_leave_is_no_discharge(world: World) -> None:
    world.register(MARISOL)
    world.deliver(
        adt("A01", control_id="A", sent="20260308090500", admitted="20260308090000"),
        adt("A21", control_id="B", sent="20260309090500", occurred="20260309090000"),
    )
    course = world.course(MARISOL)
    assert course.on_leave_since == utc(2026, 3, 9, 16, 0) and course.discharges == ()
    world.deliver(adt("A22", control_id="C", sent="20260309180500", occurred="20260309180000"))
    assert world.course(MARISOL).on_leave_since is None


def test_a_death_that_the_hospital_takes_back_is_somebody_s_to_withdraw(world: World) -> None:
    world.register(MARISOL)
    (died,) = world.deliver(gone_home(disposition="20"))
    assert died.status is Status.APPLIED
    back = adt("A13", control_id="BACK", sent="20260310120000", occurred="20260310113000", visit="V-IP")
    (row,) = world.deliver(back)
    assert (row.status, row.reason, row.member) == (Status.WAITING, "death_taken_back", world.member_of(MARISOL))
    later = gone_home(control_id="OUT-2", sent="20260310140500", discharged="20260310140000")
    (still,) = world.deliver(later)
    assert (still.status, still.reason) == (Status.WAITING, "death_taken_back")
    death, boss = world.member(MARISOL).death(), world.staff(Role.SUPERVISOR)
    assert death is not None
    word = WithdrawDeathReport(stream=world.member_of(MARISOL), by=boss, report=death[0], reason="a typing error")
    assert isinstance(world.gateway.handle(word, command_id=uuid4()), Accepted)
    (last,) = world.deliver(adt("A08", control_id="LAST", sent="20260310150000", visit="V-IP"))
    assert [world.row_of(m).status for m in (back, later)] == [Status.APPLIED] * 2 and last.status is Status.APPLIED


def test_a_message_that_names_no_house_is_read_in_the_zone_of_the_one_that_has_the_visit(database: str) -> None:
    houses = (
        Facility(id="north", name="North", aliases=("NORTH",)),
        Facility(id="south", name="South", aliases=("SOUTH",), timezone="America/Denver"),
    )
    source = Source(name="valley-general", addresses=("127.0.0.0/8",), facilities=houses, id_authorities={"MEDI-CAL": "cin"})
    world = open_world(database, Sources((source,)))
    world.register(MARISOL)
    out = adt("A03", control_id="B", sent="20260309090500", discharged="20260309090000", location="", disposition="01")
    again = adt("A08", control_id="C", sent="20260309090700", admitted="20260308093000", location="")
    world.deliver(IN_SOUTH, again, out)
    course = world.course(MARISOL)
    assert course.admission is not None and course.admission.at == utc(2026, 3, 8, 15, 30), "half past nine in Denver"
    assert course.discharge is not None and course.discharge.at == utc(2026, 3, 9, 15)
    world.door.inbox.replay(world.row_of(out).inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    assert world.course(MARISOL) == course
    world.door.close()
    world.opened.close()


IN = adt("A01", control_id="1", sent="20260308090500", admitted="20260308090000", location="4W^401^A^SOUTH")
NOTE = adt("A08", control_id="2", sent="20260308120500", location="") + "PV2|||^fell at home\r"
MOVED = adt("A02", control_id="3", sent="20260308150500", occurred="20260308150000", location="ICU^1^^SOUTH")
OUT = adt("A03", control_id="4", sent="20260309090500", discharged="20260309090000", location="", disposition="06")
UNDONE = adt("A13", control_id="5", sent="20260309100500", occurred="20260309100000", location="")
OUT_AGAIN = adt("A03", control_id="6", sent="20260310090500", discharged="20260310090000", location="", disposition="01")


@pytest.mark.parametrize(
    ("order", "together"),
    [
        *((order, False) for order in permutations((IN, NOTE, OUT, UNDONE))),
        *((order, False) for order in permutations((IN, MOVED, OUT))),
        ((OUT_AGAIN, OUT, UNDONE, IN), False),
        ((OUT_AGAIN, OUT, NOTE, UNDONE, IN), True),
        ((NOTE, IN, OUT), True),
    ],
)
def test_what_named_no_house_is_one_stay_with_the_admission_that_names_it_in_every_order(
    two_houses: World, order: tuple[str, ...], together: bool
) -> None:
    world = two_houses
    for messages in (order,) if together else zip(order):
        world.deliver(*messages)
    assert {row.status for row in world.rows()} == {Status.APPLIED}
    found = {house: c for house, c in courses_of(world, MARISOL).items() if c.admission is not None or c.discharges}
    ((house, course),) = found.items()
    assert house == "south" and course.admission is not None and course.admission.at == utc(2026, 3, 8, 16)
    left = course.discharge
    if OUT_AGAIN in order:
        assert left is not None and (left.at, left.disposition) == (utc(2026, 3, 10, 16), "01")
    elif UNDONE in order:
        assert left is None and [d.stop_reason for d in course.discharges] == ["discharge_cancelled"]
    else:
        assert left is not None and (left.at, left.disposition) == (utc(2026, 3, 9, 16), "06")
    if NOTE in order:
        (stay,) = [s for s in world.member(MARISOL).stays if world.gateway.load(s).state.course() == course]
        assert world.member(MARISOL).explained[stay, About.REASON].words == "fell at home"
    for row in world.rows():
        world.door.inbox.replay(row.inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    assert {house: c for house, c in courses_of(world, MARISOL).items() if c.admission is not None or c.discharges} == found


def test_what_named_no_house_and_is_of_somebody_else_stays_by_itself(two_houses: World) -> None:
    world = two_houses
    world.deliver(adt("A03", control_id="T", person=TOMAS, sent="20260309080500", discharged="20260309080000", location=""))
    (row,) = world.deliver(IN)
    assert row.status is Status.APPLIED
    assert [c.discharge is not None for c in courses_of(world, TOMAS).values()] == [True]
    assert courses_of(world, MARISOL)["south"].discharge is None
