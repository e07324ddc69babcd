"""Personal data in the log: sealed with the person's own key, gone when that is destroyed, and never silently half there."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import psycopg
import pytest

from domain.core import Refusal
from eventlog.gateway import Conflict
from eventlog.keys import CannotUnwrap, KeyRing, master_key
from tests.log import toy
from tests.log.conftest import MASTER, Opener, World, created_for_each, gateway_of

created = created_for_each()

PLANTED = "Wilhelmina Planted"


def _letter(world: World, member: str, text: str | None = "about your diabetes") -> str:
    stream = f"outreach-{uuid4()}"
    world.do(toy.SendLetter(stream=stream, by="system", member=member, text=text))
    return stream


def test_nothing_personal_stands_in_the_clear(world: World) -> None:
    stream = f"member-{uuid4()}"
    world.do(toy.Register(stream=stream, by="system", language="hmn", name=PLANTED, born_on=date(1950, 2, 3)))
    with psycopg.connect(world.url) as conn:
        rows = conn.execute("SELECT body, sealed, meta FROM log.events").fetchall()
        remembered = conn.execute("SELECT fingerprint FROM log.commands").fetchall()
    everything = b"".join(part for row in (*rows, *remembered) for part in row)
    assert PLANTED.encode() not in everything and b"1950" not in everything
    assert b"hmn" in everything, "what rules fold over stays readable"
    assert world.log.read(stream)[0].fact == toy.Registered(language="hmn", name=PLANTED, born_on=date(1950, 2, 3))


def test_a_letter_is_sealed_with_the_members_key_and_checks_the_members_version(world: World) -> None:
    member = world.member()
    stream = _letter(world, member)
    (stored,) = world.log.read_stored(stream)
    assert stored.meta.key == member
    with psycopg.connect(world.url + "_keys") as conn:
        assert conn.execute("SELECT key_id FROM data_keys").fetchall() == [(member,)]


def test_a_sealed_part_opens_for_its_own_event_only(world: World, another: Opener) -> None:
    member = world.member()
    first, second = _letter(world, member, "first"), _letter(world, member, "second")
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER events_are_immutable")
        owner.execute(
            "UPDATE log.events SET sealed = (SELECT sealed FROM log.events WHERE stream = %s) WHERE stream = %s", (first, second)
        )
    with pytest.raises(CannotUnwrap):
        another().log.read(second)


def test_erased_people_are_read_without_what_was_personal(world: World, another: Opener) -> None:
    member = world.member(PLANTED)
    stream = _letter(world, member)
    world.do(toy.Forget(stream=member, by="system"))
    world.open.keys.destroy(member)
    world.gateway.forget(member)
    for log in (world.log, another().log):
        registered = log.read_stored(member)[0]
        assert registered.erased and registered.recorded.fact == toy.Registered()
        (letter,) = log.read_stored(stream)
        assert letter.erased and letter.recorded.fact == toy.LetterSent(member=member, policy="toy@1")
    assert not world.log.read_stored(member)[1].erased, "the fact had nothing personal to lose"
    assert list(world.log.verify()) == [], "the chain outlives the key"


def test_nothing_can_be_sealed_for_erased_people_and_their_key_does_not_come_back(world: World, another: Opener) -> None:
    member = world.member()
    world.open.keys.destroy(member)
    for gateway in (world.gateway, gateway_of(another(), world.clock)):
        refusal = gateway.handle(
            toy.SendLetter(stream=f"outreach-{uuid4()}", by="system", member=member, text="hello"), command_id=uuid4()
        )
        assert isinstance(refusal, Refusal) and refusal.code == "erased"
    _letter(world, member, text=None)
    world.open.keys.destroy(member)  # again, harmless


def test_a_sealed_append_does_not_pass_an_erasure_that_came_between(world: World, another: Opener) -> None:
    """Loaded, then the member asks to be forgotten, then the append: refused because the member's stream moved."""
    member, outreach = world.member(), f"outreach-{uuid4()}"
    world.gateway.load(member)
    versions = {outreach: 0, member: 2}
    world.do(toy.Forget(stream=member, by="system"))
    outcome = world.gateway.append_facts(
        outreach, [toy.LetterSent(member=member, text="late")], command_id=uuid4(), by="system", versions=versions
    )
    assert outcome == Conflict(member, expected=2, actual=3)
    # and where the caller did not think of naming the member's stream, the gateway does
    item = {}
    real = world.log.recorder.append

    class Between:
        def append(self, item_: object) -> object:
            item["checks"] = {c.stream: c.written for c in item_.checks}  # type: ignore[attr-defined]
            return real(item_)  # type: ignore[arg-type]

    gateway = gateway_of(world.open, world.clock, appender=Between())
    gateway.append_facts(
        outreach, [toy.LetterSent(member=member, text="late")], command_id=uuid4(), by="system", versions={outreach: 0}
    )
    assert item["checks"] == {outreach: True, member: False}


def test_a_wrong_master_key_stops_reading(world: World, another: Opener) -> None:
    member = world.member()
    with pytest.raises(CannotUnwrap, match="THROUGHLINE_MASTER_KEY"):
        another(master_key=bytes(32)).log.read(member)


def test_a_lost_key_row_stops_reading(world: World, another: Opener) -> None:
    member = world.member()
    with psycopg.connect(world.url + "_keys", autocommit=True) as owner:
        owner.execute("DELETE FROM data_keys")
    with pytest.raises(CannotUnwrap, match="no record of its destruction"):
        another().log.read(member)


def test_a_damaged_wrapped_key_stops_reading(world: World, another: Opener) -> None:
    member = world.member()
    with psycopg.connect(world.url + "_keys", autocommit=True) as owner:
        owner.execute("UPDATE data_keys SET wrapped = overlay(wrapped placing '\\x0000'::bytea from 20)")
    with pytest.raises(CannotUnwrap, match="damaged"):
        another().log.read(member)


def test_a_wrapped_key_does_not_open_under_another_name(world: World, another: Opener) -> None:
    first, second = world.member(), world.member()
    with psycopg.connect(world.url + "_keys", autocommit=True) as owner:
        owner.execute(
            "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE key_id = %s) WHERE key_id = %s", (first, second)
        )
    with pytest.raises(CannotUnwrap):
        another().log.read(second)


def test_a_key_destroyed_elsewhere_is_forgotten_in_time(world: World, another: Opener) -> None:
    member = world.member(PLANTED)
    elsewhere = another(cache_seconds=0.0)
    assert elsewhere.log.read(member)[0].fact.name == PLANTED
    world.open.keys.destroy(member)
    assert elsewhere.log.read(member)[0].fact.name is None
    with pytest.raises(AssertionError):
        KeyRing(world.url + "_keys", MASTER, cache_seconds=61)


def test_a_key_that_is_not_a_key_is_named() -> None:
    with pytest.raises(ValueError, match="base64"):
        master_key("not base64!")
    with pytest.raises(ValueError, match="32"):
        master_key("c2hvcnQ=")
