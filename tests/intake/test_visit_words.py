"""What hospitals say brought a member: read, sealed, ranked by when it was said, moved with its stay (messages.md 1.1, 1.2)."""

from __future__ import annotations

from itertools import permutations

import pytest

from domain.member.decider import ErasePersonalData
from domain.member.identity import MoveStay
from domain.member.visit_words import About, Explained
from domain.staff.facts import Role
from tests.intake.conftest import World, notification
from tests.intake.making import MARISOL, TOMAS, Person, adt
from tests.intake.test_identity import do

REASON, DIAGNOSES = About.REASON, About.DIAGNOSES
CAME = adt("A01", control_id="1", sent="20260308090500", admitted="20260308090000") + "PV2|||^fell at home\r"
CORRECTED = (
    adt("A08", control_id="2", sent="20260308120500") + "PV2|||FALL^fell down the stairs^L\rDG1|1||S72.001A^Hip fracture^I10||X|A\r"
)
LEFT = (
    adt("A03", control_id="3", sent="20260310100500", discharged="20260310100000", disposition="01")
    + "DG1|1||F10.20^Alcohol dependence^I10|||F\rDG1|2|I9|820.8|Hip fracture||F\rDG1|3||!\r"
)


def explained(world: World, person: Person = MARISOL) -> dict[About, str | None]:
    member = world.member(person)
    assert all(stay in member.stays for stay, _ in member.explained)
    return {about: said.words for (_, about), said in member.explained.items()}


@pytest.mark.parametrize(
    ("segments", "found"),
    [
        ("PV2|||R07.9^Chest pain^I10\r", {REASON: "Chest pain"}),
        ("PV2|||CHEST PAIN\r", {REASON: "CHEST PAIN"}),
        ("PV2|||!\r", {}),
        ('PV2|||""\r', {REASON: ""}),
        ("DG1|1||I10\r", {DIAGNOSES: "I10"}),
        ("DG1|1||J44.1^COPD^I10|||W\r", {DIAGNOSES: "J44.1 COPD (working, I10)"}),
        ("DG1|1||J44.1^COPD\rDG1|2||J44.1^COPD\rDG1|3|||Asthma\r", {DIAGNOSES: "J44.1 COPD; Asthma"}),
        ("DG1|1\rPV2\r", {}),
    ],
)
def test_what_is_read(segments: str, found: dict[About, str]) -> None:
    assert notification(adt("A01") + segments).explained == found


@pytest.mark.parametrize("order", [*permutations((CAME, CORRECTED, LEFT))])
def test_what_was_said_last_counts_in_every_order_of_arrival(world: World, order: tuple[str, ...]) -> None:
    world.register(MARISOL)
    for message in order:
        world.deliver(message)
    assert explained(world) == {
        REASON: "fell down the stairs",
        DIAGNOSES: "F10.20 Alcohol dependence (final, I10); 820.8 Hip fracture (final)",
    }
    with world.door.inbox.pool.connection() as conn:
        stored = conn.execute("SELECT convert_from(body, 'UTF8') FROM log.events WHERE name = 'member.visit-explained'").fetchall()
    assert stored and not [body for (body,) in stored if "Alcohol" in body or "fell" in body], "it is sealed"


def test_what_is_repeated_is_said_once_and_what_is_taken_back_is_gone(world: World) -> None:
    world.register(MARISOL)
    world.deliver(CAME, adt("A08", control_id="2", sent="20260308120500") + "PV2|||^fell at home\r")
    before = len(world.facts("member-"))
    world.deliver(adt("A08", control_id="4", sent="20260308130500") + "PV2|||^fell at home\r")
    assert len(world.facts("member-")) == before
    world.deliver(adt("A08", control_id="5", sent="20260308140500") + 'PV2|||""\r')
    assert explained(world) == {REASON: ""}


def test_it_goes_with_the_stay_to_whom_it_belongs_and_with_the_key_of_whoever_is_erased(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(CAME, LEFT)
    boss, said = world.staff(Role.SUPERVISOR), explained(world)
    (stay,) = world.member(MARISOL).stays
    do(world, MoveStay(stream=world.member_of(MARISOL), by=boss, stay=stay, rightful=world.member_of(TOMAS), reason="not she"))
    assert (explained(world), explained(world, TOMAS)) == ({}, said)
    do(world, ErasePersonalData(stream=world.member_of(MARISOL), by=boss, reason="asked"))
    assert explained(world, TOMAS) == said
    his = world.member_of(TOMAS)
    do(world, ErasePersonalData(stream=his, by=boss, reason="asked"))
    world.gateway.forget()
    left = world.gateway.load(his).state.explained
    assert set(left) == {(stay, about) for about in said} and all(isinstance(e, Explained) and not e.words for e in left.values())
