"""The hash chain: whatever is changed in a stored event, `verify` names the first bad one of its stream."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from tests.log import toy
from tests.log.conftest import World, created_for_each

created = created_for_each()

Tamper = Callable[[psycopg.Connection[tuple[object, ...]], str], None]


def _history(world: World) -> str:
    member = world.member()
    world.do(toy.WithdrawConsent(stream=member, by="system"))
    world.do(toy.GiveConsent(stream=member, by="system", scope="services"))
    return member


def _as_owner(world: World, statement: str, *parameters: object) -> None:
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER events_are_immutable")
        owner.execute(statement.encode(), parameters)
        owner.execute("ALTER TABLE log.events ENABLE TRIGGER events_are_immutable")


@pytest.mark.parametrize(
    "change",
    [
        "body = convert_to(replace(convert_from(body, 'UTF8'), 'contact', 'kontakt'), 'UTF8')",
        "meta = convert_to(replace(convert_from(meta, 'UTF8'), 'system', 'somebody'), 'UTF8')",
        "name = 'toy.consent-withdrawn'",
        "schema_version = 2",
        "event_id = gen_random_uuid()",
        "sealed = '\\x00'",
        "hash = sha256(hash)",
    ],
)
def test_any_change_is_found(world: World, change: str) -> None:
    untouched, member = _history(world), _history(world)
    assert list(world.log.verify()) == []
    _as_owner(world, f"UPDATE log.events SET {change} WHERE stream = %s AND version = 2", member)
    for found in (list(world.log.verify()), list(world.log.verify(member))):
        assert [(b.stream, b.version) for b in found] == [(member, 2)], "the first bad event, and only that"
    assert list(world.log.verify(untouched)) == []


def test_a_removed_event_is_found_at_the_one_after_it(world: World) -> None:
    member = _history(world)
    _as_owner(world, "DELETE FROM log.events WHERE stream = %s AND version = 2", member)
    (bad,) = world.log.verify()
    assert (bad.stream, bad.version, bad.reason) == (member, 3, "version 2 is missing before it")


def test_events_that_changed_places_are_found(world: World) -> None:
    member = _history(world)
    _as_owner(
        world,
        "UPDATE log.events SET version = CASE version WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE stream = %s AND version IN (2, 3)",
        member,
    )
    _as_owner(world, "UPDATE log.events SET version = -version WHERE version < 0")
    (bad,) = world.log.verify()
    assert (bad.stream, bad.version) == (member, 2)


def test_an_event_moved_to_another_stream_is_found(world: World) -> None:
    member, other = _history(world), f"member-{uuid4()}"
    _as_owner(world, "UPDATE log.events SET stream = %s WHERE stream = %s", other, member)
    (bad,) = world.log.verify()
    assert (bad.stream, bad.version) == (other, 1)


def test_positions_may_be_renumbered(world: World) -> None:
    """A restore into another log gives other positions; that is no tampering."""
    _history(world)
    _as_owner(world, "UPDATE log.events SET position = position + 1000000")
    assert list(world.log.verify()) == []


def test_verify_tells_how_far_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.log.VERIFY_BATCH", 3)
    first, second = _history(world), _history(world)
    told: list[tuple[int, int]] = []
    assert list(world.log.verify(progress=lambda done, total: told.append((done, total)))) == []
    assert told[0] == (3, 8) and told[-1] == (8, 8)
    _as_owner(world, "UPDATE log.events SET hash = '\\x00' WHERE version = 1")
    assert sorted(b.stream for b in world.log.verify()) == sorted([first, second])


def test_a_bare_event_written_past_the_gateway_is_named(world: World) -> None:
    from eventsourcing.persistence import StoredEvent

    world.log.recorder.insert_events([StoredEvent("toy-1", 1, "toy.claimed", b"{}")])
    (bad,) = world.log.verify()
    assert bad.stream == "toy-1"
