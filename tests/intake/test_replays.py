"""Messages taken up again: singly or by filter, through the present parser and registry, and rehearsed before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.staff.facts import Role
from domain.stay.facts import MemberDischarged
from intake.applying import apply
from intake.operating.replays import Rehearsal, Selection, chosen, discard_chosen, replay_chosen
from intake.reading import forms
from intake.referrals.desk import FORM_KIND
from intake.referrals.referral import EXAMPLE
from intake.senders.sources import Sources
from intake.store.inbox import Row, Status, UnknownMessage
from tests.intake.conftest import World
from tests.intake.making import MARISOL, TOMAS, adt


def a03(**more: str) -> str:
    said = {"control_id": "DIS-1", "sent": "20260310153500", "discharged": "20260310153000", "disposition": "O"} | more
    return adt("A03", **said)  # type: ignore[arg-type]


def learn(world: World, **changed: object) -> None:
    """The registry's source says something else from now on."""
    sources = Sources((world.source.model_copy(update=changed),))
    world.door.sources = world.door.worker.sources = sources
    world.door.rehearsal = Rehearsal(
        world.door.inbox, world.gateway, lambda onto: apply.Applier(onto, world.door.identity, world.door.index),
        lambda onto: world.door.referrals, sources,
    )  # fmt: skip


def replay(world: World, row: Row) -> Row:
    world.door.inbox.replay(row.inbox_id, by="staff-somebody", now=world.clock.now())
    world.door.worker.work_off()
    return world.door.inbox.show(row.inbox_id).row


def test_a_replay_that_reads_the_same_adds_nothing_and_its_rehearsal_says_so(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03())
    before, head = world.caused(row), world.opened.log.watermark()
    told = world.door.rehearsal.of(row.inbox_id, world.clock.now())
    assert (told.differs, told.added) == (False, ())
    assert [c for c in told.compared if c.differs] == [] and any(c.field == "MemberDischarged.discharged_at" for c in told.compared)
    for _ in range(3):
        assert replay(world, row).status is Status.APPLIED
    assert (world.caused(row), world.opened.log.watermark()) == (before, head)


def test_a_mapping_that_was_learned_later_corrects_what_was_read_before(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03())
    assert "disposition_unmapped" in row.flags
    learn(world, disposition_aliases={"O": "01"})
    told = world.door.rehearsal.of(row.inbox_id, world.clock.now())
    head = world.opened.log.watermark()
    assert told.differs and [added.fact for added in told.added] == ["stay.member-discharged"]
    assert [(c.field, c.before, c.now) for c in told.compared if c.differs] == [("MemberDischarged.disposition", "", "01")]
    assert (told.before.status, told.now.status) == ("applied", "applied") and "replay_differs" in told.now.flags
    assert world.opened.log.watermark() == head, "a rehearsal records nothing"
    assert world.door.inbox.show(row.inbox_id).row.settled_at == row.settled_at

    for _ in range(2):
        again = replay(world, row)
        assert (again.status, "replay_differs" in again.flags) == (Status.APPLIED, True)
    discharge = world.course(MARISOL).discharge
    assert discharge is not None and discharge.disposition == "01"
    assert len([fact for fact in world.facts("stay-") if isinstance(fact, MemberDischarged)]) == 2, "the correction, once"

    learn(world, disposition_aliases={})
    replay(world, row)
    discharge = world.course(MARISOL).discharge
    assert discharge is not None and discharge.disposition == "", "an alias that was wrong is taken back by the next reading"
    assert len(world.course(MARISOL).discharges) == 1, "one discharge, read three times"


def test_a_dead_letter_is_rehearsed_with_what_it_would_add(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(MARISOL)
    with monkeypatch.context() as broken:
        broken.setattr(apply, "read_stored", lambda raw, row, source: forms.NotRead("not_hl7", "er7/0"))
        dead, other = world.deliver(a03(), a03(control_id="DIS-2", visit="V-78"))
    assert (dead.status, dead.parser) == (Status.DEAD, "er7/0")
    told = world.door.rehearsal.of(dead.inbox_id, world.clock.now())
    assert (told.before.status, told.now.status) == ("dead", "applied")
    assert (told.before.parser, told.now.parser) == ("er7/0", "er7/1")
    learned = "member.record-number-learned"
    assert [added.fact for added in told.added] == ["stay.member-discharged", "member.stay-attributed", learned]
    assert all(c.before == "" for c in told.compared) and told.person == {
        "cins": 1, "record_numbers": 1, "names": 1, "birth_dates": 1, "phones": 0,
    }  # fmt: skip
    assert world.facts("stay-") == []
    assert replay(world, dead).status is Status.APPLIED
    assert world.door.inbox.show(other.inbox_id).row.status is Status.DEAD


def test_messages_are_chosen_by_source_trigger_reason_state_and_time(world: World) -> None:
    world.register(MARISOL)
    unknown, outpatient = world.deliver(a03(person=TOMAS), adt("A04", control_id="OUT", stay_class="O", visit="V-9"))
    world.clock.advance(timedelta(hours=2))
    (late,) = world.deliver(adt("A60", control_id="ALG"))

    def found(**wanted: object) -> set[str]:
        ids = chosen(world.door.inbox, Selection(**wanted))  # type: ignore[arg-type]
        return {world.door.inbox.show(id).row.control_id for id in ids}

    assert found() == {"DIS-1", "OUT", "ALG"}
    assert found(statuses=(Status.UNMATCHED,)) == {"DIS-1"}
    assert found(statuses=(Status.UNMATCHED, Status.IGNORED), trigger="a04") == {"OUT"}
    assert found(reason="trigger_not_modelled") == {"ALG"}
    assert found(flag="disposition_unmapped") == {"DIS-1"}
    assert found(received_from=world.clock.now()) == {"ALG"}
    assert found(received_until=world.clock.now()) == {"DIS-1", "OUT"}
    assert found(source="another") == set()
    assert found(limit=1) == {"DIS-1"}
    assert Selection().empty and not Selection(trigger="A03").empty and not Selection(flag="class_unknown").empty

    learn(world, class_aliases={"O": "OBS"})
    rehearsed = {r.control_id: r for r in world.door.rehearsal.all_of(Selection(statuses=(Status.IGNORED,)), world.clock.now())}
    assert (rehearsed["OUT"].now.status, rehearsed["ALG"].differs) == ("applied", False)
    assert replay_chosen(world.door.inbox, Selection(statuses=(Status.IGNORED,)), by="system", now=world.clock.now()) == 2
    world.door.worker.work_off()
    states = {row.control_id: row.status for row in world.rows()}
    assert states == {"DIS-1": Status.UNMATCHED, "OUT": Status.APPLIED, "ALG": Status.IGNORED}
    assert unknown.status is Status.UNMATCHED and outpatient.status is Status.IGNORED and late.status is Status.IGNORED


def test_a_rehearsed_death_counts_what_would_follow_for_the_member(world: World) -> None:
    (row,) = world.deliver(a03(disposition="20"))
    assert row.status is Status.UNMATCHED
    world.register(MARISOL)
    told = world.door.rehearsal.of(row.inbox_id, world.clock.now())
    assert [a.fact for a in told.added] == [
        "stay.member-discharged", "member.stay-attributed", "member.record-number-learned", "member.death-reported",
    ]  # fmt: skip
    assert world.member(MARISOL).death() is None


def test_a_referral_is_rehearsed_as_one_and_a_file_of_them_is_no_message(world: World) -> None:
    desk = world.door.referrals
    sheet = "Source,Last Name,First Name,DOB,Member CIN,Reason\nphysician,Vega,Marisol,1961-04-12,91234567A,no home\n"
    assert desk.import_file(sheet.encode(), plan="default", by=world.staff(Role.CARE_MANAGER)).accepted == 1
    head = world.opened.log.watermark()
    (applied,) = [row for row in world.rows(Status.APPLIED) if row.kind == FORM_KIND]
    told = world.door.rehearsal.of(applied.inbox_id, world.clock.now())
    assert (told.now.status, told.added) == ("applied", ())
    waits = desk.take(json.dumps({**EXAMPLE, "id": "2", "person": EXAMPLE["person"] | {"cin": ""}}).encode(), source_id="referrals")
    assert waits.status is Status.UNMATCHED
    (told,) = world.door.rehearsal.all_of(Selection(statuses=(Status.UNMATCHED,)), world.clock.now())
    assert (told.differs, told.now.status, told.now.reason) == (False, "unmatched", "no_cin")
    assert chosen(world.door.inbox, Selection(statuses=(Status.APPLIED,))) == (applied.inbox_id,), "the file itself is none"
    assert world.opened.log.watermark() == head
    assert [row.status for row in world.rows(Status.UNMATCHED)] == [Status.UNMATCHED]


def test_what_is_not_there_cannot_be_rehearsed(world: World) -> None:
    with pytest.raises(UnknownMessage):
        world.door.rehearsal.of(UUID(int=1), world.clock.now())


def test_all_of_one_cause_are_set_aside_and_the_rows_of_a_file_only_where_it_is_named(world: World) -> None:
    bad = [replace(MARISOL, cin=f"9123456{n}B") for n in range(3)]
    files = [world.register(*people) for people in (bad, (TOMAS, replace(bad[0], family="Other")))]
    (unknown,) = world.deliver(a03())
    (applied,) = world.deliver(adt("A01", person=TOMAS, control_id="C-9", visit="V-9"))

    def set_aside(**which: Any) -> int:
        selection = Selection(**which)
        return discard_chosen(world.door.inbox, selection, reason="told_the_plan", by="staff-somebody", now=world.clock.now())

    assert set_aside(statuses=(Status.DEAD,)) == 0, "rows are not meant unless their file is named"
    assert set_aside(file=files[0].file_id, statuses=(Status.DEAD,)) == 3
    rows = world.door.inbox.find(part_of=files[0].file_id)
    assert {(row.status, row.reason) for row in rows} == {(Status.IGNORED, "told_the_plan")}
    assert len(world.door.inbox.find(part_of=files[1].file_id, status=Status.DEAD)) == 1
    assert set_aside(statuses=(Status.APPLIED,)) == 0
    assert set_aside(source=unknown.source_id) == 1, "what was applied is no longer anybody's to set aside"
    assert world.door.inbox.show(applied.inbox_id).row.status is Status.APPLIED
