"""The inbox's promises: one state for every message, nothing lost, nothing twice, nothing personal in the clear."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from intake.applying.apply import Applier
from intake.operating.replays import Selection, replay_chosen
from intake.people import recognising
from intake.store.inbox import ATTEMPTS_MAX, Arrival, CannotStore, Status, UnknownMessage, uuid7
from intake.worker import Away
from tests.intake.conftest import NOW, World, open_world
from tests.intake.making import MARISOL, TOMAS, adt


def test_ids_sort_by_time_and_within_one_millisecond() -> None:
    ids = [uuid7(NOW) for _ in range(1_000)] + [uuid7(NOW + timedelta(milliseconds=1))]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(i.version, i.variant) for i in ids} == {(7, "specified in RFC 4122")}


def test_nothing_personal_stands_in_the_clear(world: World) -> None:
    world.register(MARISOL)
    world.deliver(adt("A01"))
    world.deliver(adt("A01", person=TOMAS, control_id="C2", visit="V-78"))
    with psycopg.connect(world.url) as conn:
        tables = [
            row[0]
            for row in conn.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'intake'").fetchall()
        ]
        assert len(tables) >= 10
        stored = "\n".join(str(conn.execute(f"SELECT * FROM intake.{table}").fetchall()) for table in tables)  # type: ignore[arg-type]
    for person in (MARISOL, TOMAS):
        for secret in (person.cin, person.family, person.given, person.mrn, "1961-04-12", "19480930"):
            assert secret not in stored
            assert secret.encode().hex() not in stored


def test_what_fails_is_tried_again_and_is_dead_after_the_fifth_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(MARISOL)
    world.send(adt("A01"))

    def broken(self: Applier, batch: object, sources: object, now: object) -> None:
        raise KeyError(MARISOL.family)

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "apply", broken)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            assert world.door.worker.work_off() == 1
            (row,) = world.rows()
            assert (row.attempts, row.error) == (attempt, "KeyError")
            assert world.door.worker.work_off() == 0, "not before the pause is over"
            world.clock.advance(timedelta(minutes=3))
    assert (row.status, row.reason) == (Status.DEAD, "gave_up")
    told = world.door.inbox.show(row.inbox_id).transitions
    assert [t.status for t in told] == ["received"] * 5 + ["dead"]
    assert MARISOL.family not in str(told)
    world.door.inbox.replay(row.inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    assert world.door.inbox.show(row.inbox_id).row.status is Status.APPLIED


def test_a_replayed_message_causes_nothing_twice(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(adt("A01"))
    before = len(world.facts())
    every = Selection(statuses=(Status.APPLIED,), source=row.source_id)
    assert replay_chosen(world.door.inbox, every, by="staff-somebody", now=world.clock.now()) == 1
    world.door.worker.work_off()
    shown = world.door.inbox.show(row.inbox_id)
    assert shown.row.status is Status.APPLIED
    assert [c.fact for c in shown.caused] == ["stay.member-admitted", "member.stay-attributed", "member.record-number-learned"]
    assert len(world.facts()) == before


def test_a_resend_under_a_new_id_adds_nothing_but_a_discharge_after_its_cancellation_counts(world: World) -> None:
    world.register(MARISOL)
    first = adt("A03", discharged="20260310153000", control_id="D-1", sent="20260310154000")
    resent = adt("A03", discharged="20260310153000", control_id="D-2", sent="20260310154000")
    rows = world.deliver(first, resent)
    assert [row.status for row in rows] == [Status.APPLIED, Status.DUPLICATE]
    assert rows[1].reason == "said_before"
    assert "probable_resend" in rows[1].flags
    assert len(world.facts("stay-")) == 1
    cancelled = adt("A13", control_id="D-3", sent="20260310155000")
    again = adt("A03", discharged="20260310153000", control_id="D-4", sent="20260310155500")
    assert [row.status for row in world.deliver(cancelled, again)] == [Status.APPLIED] * 2
    course = world.course(MARISOL)
    assert course.discharge is not None
    assert len(course.discharges) == 2


def test_two_workers_share_the_work_and_a_stay_is_never_in_two_hands(world: World) -> None:
    world.register(MARISOL, TOMAS)
    messages = [
        adt("A08", person=person, control_id=f"{person.mrn}-{n}", visit=f"V-{person.mrn}", sent=f"202603101600{n:02d}")
        for n in range(20)
        for person in (MARISOL, TOMAS)
    ]
    world.send(*messages)
    other = open_world(world.url)
    threads = [threading.Thread(target=w.door.worker.work_off) for w in (world, other, world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (world.rows(Status.RECEIVED), len(world.facts("stay-"))) == ((), 40)
    assert len([f for f in world.facts("member-") if type(f).__name__ == "StayAttributed"]) == 2
    other.door.close()
    other.opened.close()


def test_a_message_of_a_known_stay_needs_no_cin_and_another_persons_is_not_taken(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01", admitted="20260308090000"))
    (without,) = world.deliver(adt("A03", control_id="C2", cin="", discharged="20260310150000"))
    assert (without.status, without.evidence) == (Status.APPLIED, "visit+birth_date")
    (other,) = world.deliver(adt("A08", control_id="C3", person=TOMAS))
    assert (other.status, other.reason) == (Status.WAITING, "visit_of_another_member")
    assert set(other.proposed) == {world.member_of(MARISOL), world.member_of(TOMAS)}


def test_a_member_who_becomes_known_while_their_message_is_read_is_found_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = recognising.match
    arriving: list[threading.Thread] = []

    def becomes_known() -> None:
        world.register(MARISOL)
        world.door.worker.index.catch_up(world.clock.now())

    def while_somebody_is_registered(*known: Any) -> Any:
        found = usual(*known)
        if not arriving:
            arriving.append(threading.Thread(target=becomes_known))
            arriving[0].start()
            arriving[0].join(1.0)
        return found

    monkeypatch.setattr(recognising, "match", while_somebody_is_registered)
    message = adt("A01")
    world.send(message)
    assert world.door.worker.work_some() == 1
    arriving[0].join(20)
    world.door.worker.work_off()
    assert [at.reason for at in world.door.inbox.show(world.row_of(message).inbox_id).transitions][1:] == [
        "no_member_with_this_cin", "member_became_known", "",
    ]  # fmt: skip
    assert world.row_of(message).status is Status.APPLIED


def test_an_index_dropped_is_rebuilt_from_the_log(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01"))
    with psycopg.connect(world.url, autocommit=True) as conn:
        read = "SELECT * FROM intake.{} ORDER BY 1, 2"
        kept = [conn.execute(read.format(t)).fetchall() for t in ("member_lookup", "stay_member")]  # type: ignore[arg-type]
        for table in ("member_lookup", "stay_member", "index_position"):
            conn.execute(f"DELETE FROM intake.{table}")  # type: ignore[arg-type]
        world.door.index.catch_up(world.clock.now())
        assert [conn.execute(read.format(t)).fetchall() for t in ("member_lookup", "stay_member")] == kept  # type: ignore[arg-type]
    assert [len(rows) for rows in kept] == [9, 1]  # of each a name, a phone and two hints; and the number that was learned


def test_outpatient_updates_of_visits_never_taken_up_leave_no_trace_in_the_log(world: World) -> None:
    world.register(MARISOL)
    rows = world.deliver(adt("A04", stay_class="O"), adt("A08", stay_class="O", control_id="C2"))
    assert [row.reason for row in rows] == ["outpatient_registration", "outpatient_visit"]
    assert world.facts("stay-") == []


def test_a_waiting_message_is_released_or_discarded_by_a_person(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(adt("A03", disposition="30", discharged="20260310150000"))
    assert row.status is Status.WAITING
    world.door.inbox.discard(row.inbox_id, reason="sent_in_error", by="staff-somebody", now=world.clock.now())
    assert world.door.inbox.show(row.inbox_id).row.status is Status.IGNORED
    with pytest.raises(UnknownMessage):
        world.door.inbox.release(row.inbox_id, by="staff-somebody", now=world.clock.now())
    with pytest.raises(UnknownMessage):
        world.door.inbox.show(uuid4())


def test_pages_and_filters(world: World) -> None:
    world.send(*[adt("A60", control_id=f"C{n}") for n in range(5)])
    world.door.worker.work_off()
    first = world.door.inbox.find(limit=3)
    rest = world.door.inbox.find(limit=3, before=first[-1].inbox_id)
    assert [row.control_id for row in (*first, *rest)] == ["C4", "C3", "C2", "C1", "C0"]
    assert len(world.door.inbox.find(status=Status.IGNORED, reason="trigger_not_modelled")) == 5
    assert world.door.inbox.find(since=NOW + timedelta(seconds=1)) == ()


def test_without_the_database_nothing_is_stored_and_nothing_is_attempted(world: World) -> None:
    world.door.inbox.pool.close()
    with pytest.raises(CannotStore):
        world.door.inbox.store(Arrival(raw=b"x", source_id="s", transport="mllp", control_id="c"), NOW)
    with pytest.raises(Away):
        world.door.worker.work_some()
    assert isinstance(uuid7(NOW), UUID)


def test_an_attempt_that_failed_does_not_undo_what_another_worker_settled(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(adt("A01", admitted="20260310120000"))
    assert row.status is Status.APPLIED
    assert world.door.inbox.fail(row.inbox_id, "TooLate", world.clock.now()) is Status.APPLIED
    after = world.door.inbox.show(row.inbox_id)
    assert (after.row.status, after.row.attempts, after.row.error) == (Status.APPLIED, row.attempts, "")
    assert "TooLate" not in {t.error for t in after.transitions}
