"""Who a message is about, as numbers are learned, retired and merged, through the real listener (messages.md 1.1, 6: case 17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from domain.core import Command
from domain.episode.state import claim_on_open_episode
from domain.member.decider import DetachStay, RegisterMember, WithdrawDeathReport
from domain.member.identity import (
    ContactPointProposed,
    DisownMessage,
    KeepMembersApart,
    MembersMerged,
    MergeMembers,
    MessageDisowned,
    MoveStay,
    RecogniseMessage,
    RecordNumberLearned,
    RecordNumberRetired,
    ReplaceCin,
    SeparateMembers,
    WithdrawCinReplacement,
)
from domain.staff.facts import Role
from domain.stay.facts import MemberAdmitted, MemberMoved
from eventlog.gateway import Accepted
from intake.reading import forms
from intake.store.inbox import Row, Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL, TOMAS, Person, adt

STRANGER = Person(cin="", mrn="MRN-9001", family="Halloway", given="Ines", born="19700203")
TWIN = replace(MARISOL, cin="97654321E", mrn="MRN-1002", given="Soledad")


def merged(*pairs: tuple[Person, str], trigger: str = "A40", control_id: str = "MERGE-1", sent: str = "20260310161500") -> str:
    """One message: each person's number survives, the other one is retired."""
    lines = [f"MSH|^~\\&|VALLEY|VALLEYGEN|THROUGHLINE|ECM|{sent}||ADT^{trigger}|{control_id}|P|2.5.1", f"EVN|{trigger}|{sent}"]
    for person, retired in pairs:
        cin = f"~{person.cin}^^^MEDI-CAL^MA" if person.cin else ""
        lines.append(f"PID|1||{person.mrn}^^^VGH^MR{cin}||{person.family}^{person.given}||{person.born}|{person.sex}")
        lines.append(f"MRG|{retired}^^^VGH^MR")
    return "\r".join([*lines, ""])


def told(trigger: str, person: Person = MARISOL, control_id: str = "TOLD-1", points: str = "") -> str:
    cin = f"~{person.cin}^^^MEDI-CAL^MA" if person.cin else ""
    phone = points or "||(661) 555-0199^PRN^PH~^NET^Internet^m@example.org"
    return "\r".join([
        f"MSH|^~\\&|VALLEY|VALLEYGEN|THROUGHLINE|ECM|20260310160000||ADT^{trigger}|{control_id}|P|2.5.1",
        f"EVN|{trigger}|20260310160000",
        f"PID|1||{person.mrn}^^^VGH^MR{cin}||{person.family}^{person.given}||{person.born}|{person.sex}|||"
        f"12 Elm St^^Bakersfield^CA^93301{phone}", "PV1|1|N", "",
    ])  # fmt: skip


def only_number(person: Person, mrn: str, visit: str = "V-90", **more: str) -> str:
    """A message that has no CIN, only the hospital's own number."""
    return adt("A01", person=replace(person, cin="", mrn=mrn), control_id=f"N-{mrn}-{visit}", visit=visit, **more)  # type: ignore[arg-type]


def do(world: World, command: Command) -> Accepted:
    outcome = world.gateway.handle(command, command_id=uuid4())
    assert isinstance(outcome, Accepted), outcome
    world.door.worker.work_off()
    return outcome


def states(rows: Iterable[Row]) -> list[tuple[Status, str]]:
    return [(row.status, row.reason) for row in rows]


# --- numbers -------------------------------------------------------------------------------------------------------------------


def test_an_applied_message_teaches_the_number_by_which_its_sender_knows_the_member(world: World) -> None:
    world.register(MARISOL)
    world.deliver(adt("A01"))
    (learned,) = (f for f in world.facts("member-") if isinstance(f, RecordNumberLearned))
    assert learned.number == "MRN-1001"
    assert "MRN-1001" not in learned.key
    world.door.worker.work_off()
    (row,) = world.deliver(only_number(MARISOL, "MRN-1001"))
    assert (row.status, row.evidence, row.member) == (Status.APPLIED, "number+birth_date+name", world.member_of(MARISOL))


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (replace(MARISOL, born="19750101"), "number_contradicted"),
        (replace(MARISOL, family="Brackwater"), "number_contradicted"),
        (replace(MARISOL, given="Soledad"), "number_contradicted"),
        (replace(MARISOL, given="BABYBOY", born=""), "newborn"),
        (replace(MARISOL, family="UNK", born=""), "cin_unconfirmed"),
    ],
    ids=["birth_date", "family_name", "first_name_of_a_twin", "newborn", "unknown"],
)
def test_a_known_number_is_not_enough_where_something_speaks_against_it(world: World, person: Person, reason: str) -> None:
    world.register(MARISOL)
    world.deliver(adt("A01"))
    world.door.worker.work_off()
    (row,) = world.deliver(only_number(person, "MRN-1001"))
    assert (row.status, row.reason, row.proposed) == (Status.WAITING, reason, [world.member_of(MARISOL)])


def test_a_social_security_number_is_no_record_number(world: World) -> None:
    world.register(MARISOL)
    message = adt("A01").replace("MRN-1001^^^VGH^MR", "123456789^^^SSA^SS~000000000^^^VGH^MR")
    world.deliver(message)
    assert not [f for f in world.facts("member-") if isinstance(f, RecordNumberLearned)]


def test_another_hospital_s_number_is_another_number(world: World) -> None:
    world.register(MARISOL)
    world.deliver(adt("A01"))
    world.door.worker.work_off()
    elsewhere = only_number(MARISOL, "MRN-1001").replace("^^^VGH^MR", "^^^MERCY^MR")
    (row,) = world.deliver(elsewhere)
    assert (row.status, row.reason) == (Status.UNMATCHED, "no_cin")
    assert row.proposed == [world.member_of(MARISOL)]


# --- case 17 -------------------------------------------------------------------------------------------------------------------


def test_17_a_retired_number_without_an_authority_is_of_the_same_one_as_the_patient_s(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01"), adt("A01", person=TOMAS, visit="V-2", control_id="T"))
    (both,) = world.deliver(merged((MARISOL, TOMAS.mrn)).replace(f"MRG|{TOMAS.mrn}^^^VGH^MR", f"MRG|{TOMAS.mrn}"))
    assert (both.status, both.reason) == (Status.WAITING, "merge_of_two_members")
    world.deliver(merged((MARISOL, "MRN-OLD"), control_id="BARE").replace("MRG|MRN-OLD^^^VGH^MR", "MRG|MRN-OLD"))
    (late,) = world.deliver(only_number(MARISOL, "MRN-OLD"))
    assert (late.status, late.member) == (Status.APPLIED, world.member_of(MARISOL))


@pytest.mark.parametrize("trigger", ["A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47"])
def test_17_a_retired_number_finds_the_survivor(world: World, trigger: str) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(merged((MARISOL, "MRN-OLD"), trigger=trigger))
    assert (row.status, row.member) == (Status.APPLIED, world.member_of(MARISOL))
    (late,) = world.deliver(only_number(MARISOL, "MRN-OLD"))
    assert (late.status, late.evidence) == (Status.APPLIED, "number+birth_date+name")
    assert late.member == world.member_of(MARISOL)


def history(person: Person) -> tuple[str, ...]:
    """A visit under a number, that number's end, and a visit under each of both afterwards."""
    old = f"{person.mrn}-OLD"
    return (
        adt("A01", person=replace(person, mrn=old), control_id=f"FIRST-{old}", visit=f"{old}-1"),
        merged((replace(person, cin=""), old), control_id=f"MERGE-{old}"),
        only_number(person, old, visit=f"{old}-2"),
        only_number(person, person.mrn, visit=f"{old}-3"),
    )


def test_17_in_every_order_of_arrival(world: World) -> None:
    orders = list(permutations(range(4)))[::3]
    people = [replace(MARISOL, cin=f"9123456{n}A", mrn=f"MRN-{n}", family=f"Quill{'abcdefgh'[n]}") for n in range(len(orders))]
    world.register(*people)
    for turn in range(4):
        world.deliver(*(history(person)[order[turn]] for person, order in zip(people, orders, strict=True)))
        world.door.worker.work_off()
    for person in people:
        rows = [world.row_of(message) for message in history(person)]
        assert [row.status for row in rows] == [Status.APPLIED] * 4
        assert {row.member for row in rows} == {world.member_of(person)}
        assert len(world.member(person).stays) == 3
        numbers = {n.number: bool(n.into) for n in world.member(person).identity.numbers.values()}
        assert numbers == {f"{person.mrn}-OLD": True, person.mrn: False}


def test_17_two_members_are_never_merged_by_a_message(world: World) -> None:
    world.register(MARISOL, TWIN)
    world.deliver(adt("A01"), adt("A01", person=TWIN, control_id="C2", visit="V-2"))
    world.door.worker.work_off()
    one, other = world.member_of(MARISOL), world.member_of(TWIN)
    (row,) = world.deliver(merged((MARISOL, TWIN.mrn)))
    assert (row.status, row.reason, row.proposed) == (Status.WAITING, "merge_of_two_members", [one, other])
    assert not [f for f in world.facts("member-") if isinstance(f, MembersMerged | RecordNumberRetired)]
    boss = world.staff(Role.SUPERVISOR)
    do(world, MergeMembers(stream=one, by=boss, retired=other, reason="one patient"))
    assert world.row_of(merged((MARISOL, TWIN.mrn))).status is Status.APPLIED
    (late,) = world.deliver(only_number(TWIN, TWIN.mrn, visit="V-9"))
    assert late.status is Status.APPLIED
    sight = world.gateway.load(late.member or "").state
    assert one in (late.member, sight.identity.survivor)


def test_17_what_was_kept_apart_is_not_asked_again_for_the_same_numbers(world: World) -> None:
    world.register(MARISOL, TWIN)
    world.deliver(adt("A01"), adt("A01", person=TWIN, control_id="C2", visit="V-2"))
    world.door.worker.work_off()
    (row,) = world.deliver(merged((MARISOL, TWIN.mrn)))
    outcome = world.door.inbox.show(row.inbox_id).row.outcome
    assert outcome is not None
    apart = KeepMembersApart(
        stream=world.member_of(MARISOL), by=world.staff(Role.CARE_MANAGER), other=world.member_of(TWIN),
        evidence=(outcome["pair"],), reason="twins",
    )  # fmt: skip
    do(world, apart)
    again = merged((MARISOL, TWIN.mrn), control_id="MERGE-2", sent="20260310171500")
    (second,) = world.deliver(again)
    assert states([world.row_of(merged((MARISOL, TWIN.mrn))), second]) == [(Status.IGNORED, "kept_apart")] * 2


def test_a_message_about_several_people_is_taken_apart(world: World) -> None:
    world.register(MARISOL, TOMAS)
    message = merged((MARISOL, "MRN-A"), (TOMAS, "MRN-B"), (STRANGER, "MRN-C"))
    (whole,) = world.deliver(message)
    parts = sorted(world.door.inbox.find(part_of=whole.inbox_id), key=lambda part: part.line or 0)
    assert states(parts) == [(Status.APPLIED, ""), (Status.APPLIED, ""), (Status.UNMATCHED, "no_cin")]
    assert (whole.status, whole.reason) == (Status.WAITING, "parts_open")
    world.door.inbox.discard(parts[2].inbox_id, reason="nobody_of_ours", by="staff-x", now=world.clock.now())
    world.door.inbox.replay(parts[1].inbox_id, by="staff-x", now=world.clock.now())
    world.door.worker.work_off()
    assert states([world.row_of(message)]) == [(Status.APPLIED, "parts_settled")]
    assert len([f for f in world.facts("member-") if isinstance(f, RecordNumberRetired)]) == 2


def test_a_message_about_several_people_ends_with_whoever_is_settled_last(world: World) -> None:
    world.register(MARISOL)
    message = merged((MARISOL, "MRN-A"), (STRANGER, "MRN-C"))
    (whole,) = world.deliver(message)
    applied, open_one = sorted(world.door.inbox.find(part_of=whole.inbox_id), key=lambda part: part.line or 0)
    assert states([applied, open_one]) == [(Status.APPLIED, ""), (Status.UNMATCHED, "no_cin")]
    world.door.inbox.discard(open_one.inbox_id, reason="nobody_of_ours", by="staff-x", now=world.clock.now())
    assert states([world.row_of(message)]) == [(Status.APPLIED, "parts_settled")], "nothing else comes to settle it"

    def told(row: Row) -> list[tuple[str, str]]:
        return [(t.status, t.by) for t in world.door.inbox.show(row.inbox_id).transitions]

    feed = f"source:{world.source.name}"
    assert told(open_one) == [("received", feed), ("unmatched", "system"), ("ignored", "staff-x")]
    world.door.inbox.replay(whole.inbox_id, by="staff-x", now=world.clock.now())
    world.door.worker.work_off()
    assert told(open_one)[3:] == [("received", "system"), ("unmatched", "system")], "a replay takes up everything"
    world.door.inbox.discard(open_one.inbox_id, reason="nobody_of_ours", by="staff-x", now=world.clock.now())
    world.door.inbox.discard(
        applied.inbox_id, reason="x", by="staff-x", now=world.clock.now(), only=(Status.DUPLICATE, Status.APPLIED)
    )
    with world.door.inbox.pool.connection() as conn:
        conn.execute("UPDATE intake.inbox SET status = 'waiting' WHERE inbox_id = %s", (whole.inbox_id,))
    world.door.inbox.release(whole.inbox_id, by="staff-y", now=world.clock.now())
    world.door.worker.work_off()
    assert states(world.door.inbox.find(part_of=whole.inbox_id)) == [(Status.IGNORED, "nobody_of_ours"), (Status.IGNORED, "x")]
    assert states([world.row_of(message)]) == [(Status.APPLIED, "parts_settled")], "what was discarded stays so, and the whole ends"


def test_a_message_about_more_people_than_we_take_is_dead_and_not_half_applied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "GROUPS_MAX", 2)
    world.register(MARISOL, TOMAS)
    (whole,) = world.deliver(merged((MARISOL, "MRN-A"), (TOMAS, "MRN-B"), (STRANGER, "MRN-C")))
    assert states([whole]) == [(Status.DEAD, "too_many_people")]
    assert not world.door.inbox.find(part_of=whole.inbox_id)


def test_a_swap_of_beds_is_two_moves(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01"), adt("A01", person=TOMAS, control_id="C2", visit="V-78", location="4W^402^B^VALLEYGEN"))
    first = adt("A17", control_id="SWAP", sent="20260310170000", location="4W^402^B^VALLEYGEN")
    second = adt("A17", person=TOMAS, visit="V-78", location="4W^401^A^VALLEYGEN")
    swap = first + "\r".join(second.split("\r")[2:])
    (row,) = world.deliver(swap)
    assert states([row]) == [(Status.APPLIED, "parts_settled")]
    assert [f.location for f in world.facts("stay-") if isinstance(f, MemberMoved)] == ["4W^402^B", "4W^401^A"]
    assert (world.course(MARISOL).location, world.course(TOMAS).location) == ("4W^402^B", "4W^401^A")


def test_a_message_about_several_people_ends_with_a_doubt_that_a_later_message_settles(world: World) -> None:
    world.register(MARISOL, TOMAS)
    out = {"discharged": "20260310150000", "disposition": "01"}
    world.deliver(adt("A01"), adt("A01", person=TOMAS, control_id="C2", visit="V-78"), adt("A03", control_id="OUT", **out))  # type: ignore[arg-type]
    first = adt("A17", control_id="SWAP", sent="20260310161000", location="4W^402^B^VALLEYGEN", death="Y")
    second = adt("A17", person=TOMAS, visit="V-78", location="4W^401^A^VALLEYGEN")
    swap = first + "\r".join(second.split("\r")[2:])
    (whole,) = world.deliver(swap)
    parts = sorted(world.door.inbox.find(part_of=whole.inbox_id), key=lambda part: part.line or 0)
    assert states([whole, *parts]) == [
        (Status.WAITING, "parts_open"), (Status.WAITING, "death_contradicted"), (Status.APPLIED, "")
    ]  # fmt: skip
    world.deliver(adt("A03", control_id="OUT-2", sent="20260310162000", **{**out, "disposition": "20"}))  # type: ignore[arg-type]
    assert states(world.door.inbox.find(inbox_id=parts[0].inbox_id)) == [(Status.APPLIED, "settled_by_later_message")]
    assert states([world.row_of(swap)]) == [(Status.APPLIED, "parts_settled")]


@pytest.mark.parametrize("trigger", ["A41", "A44"])
def test_an_account_that_becomes_another_keeps_its_stay(world: World, trigger: str) -> None:
    world.register(MARISOL)
    world.deliver(adt("A01", visit="", account="ACC-1"))
    lines = adt(trigger, control_id="ACC", sent="20260310170000", visit="", account="ACC-2").split("\r")
    lines.insert(3, "MRG|MRN-1001^^^VGH^MR||ACC-1")
    (row,) = world.deliver("\r".join(lines))
    assert states([row]) == [(Status.APPLIED, "")]
    world.deliver(adt("A03", control_id="OUT", visit="", account="ACC-2", discharged="20260310180000", sent="20260310180000"))
    stays = [s for s in world.member(MARISOL).stays if world.gateway.load(s).state.continued_as is None]
    assert len(stays) == 1
    assert world.gateway.load(stays[0]).state.course().discharge is not None
    assert len([f for f in world.facts("stay-") if isinstance(f, MemberAdmitted)]) == 1


@pytest.mark.parametrize("trigger", ["A44", "A45"])
def test_a_visit_that_goes_to_another_member_waits_for_a_person(world: World, trigger: str) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01", account="ACC-1"), adt("A01", person=TOMAS, control_id="C2", visit="V-78"))
    world.door.worker.work_off()
    lines = adt(trigger, person=TOMAS, control_id="MOVED", sent="20260310170000", account="ACC-1").split("\r")
    lines.insert(3, "MRG|MRN-1001^^^VGH^MR||ACC-1||V-77")
    (row,) = world.deliver("\r".join(lines))
    assert (row.status, row.reason) == (Status.WAITING, "visit_of_another_member")


# --- people told of ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", ["A28", "A31"])
def test_what_a_hospital_says_of_a_person_is_proposed_and_opens_no_stay(world: World, trigger: str) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(told(trigger))
    assert row.status is Status.APPLIED
    assert not world.facts("stay-")
    proposed = [f for f in world.facts("member-") if isinstance(f, ContactPointProposed)]
    assert {(f.kind.value, f.value, f.source) for f in proposed} == {
        ("phone", "6615550199", "valley-general"), ("email", "m@example.org", "valley-general"),
        ("address", "12 Elm St, Bakersfield, CA 93301", "valley-general"),
    }  # fmt: skip
    assert not {f.point for f in proposed} & set(world.member(MARISOL).points)


@pytest.mark.parametrize("trigger", ["A28", "A31"])
@pytest.mark.parametrize(("said", "died_at"), [("|Y", None), ("20260309|", "2026-03-09T07:00:00+00:00")])
def test_a_death_that_a_hospital_tells_of_beside_any_visit_is_reported(
    world: World, trigger: str, said: str, died_at: str | None
) -> None:
    world.register(MARISOL)
    lines = told(trigger).split("\r")
    lines[2] = "|".join([*lines[2].split("|")[:14], *[""] * 15, said])
    (row,) = world.deliver("\r".join(lines))
    death = world.member(MARISOL).death()
    assert row.status is Status.APPLIED and death is not None
    assert died_at is None or death[1].isoformat() == died_at
    supervisor = world.staff(Role.SUPERVISOR)
    do(world, WithdrawDeathReport(stream=world.member_of(MARISOL), by=supervisor, report=death[0], reason="she answers"))
    world.door.inbox.replay(row.inbox_id, by=supervisor, now=world.clock.now())
    world.door.worker.work_off()
    assert world.member(MARISOL).death() is None


def test_a_message_that_tells_the_number_wakes_those_that_have_no_other(world: World) -> None:
    world.register(MARISOL)
    (early,) = world.deliver(only_number(MARISOL, "MRN-1001"))
    assert early.status is Status.UNMATCHED
    world.deliver(told("A31"))
    world.door.worker.work_off()
    assert world.row_of(only_number(MARISOL, "MRN-1001")).status is Status.APPLIED


def test_a_deleted_person_is_a_question_and_nothing_more(world: World) -> None:
    world.register(MARISOL)
    before = len(world.facts())
    (ours, theirs) = world.deliver(told("A29"), told("A29", STRANGER, control_id="TOLD-2"))
    assert (ours.status, ours.reason, ours.proposed) == (Status.WAITING, "person_deleted", [world.member_of(MARISOL)])
    assert theirs.status is Status.UNMATCHED
    assert len(world.facts()) == before


# --- a person's word -----------------------------------------------------------------------------------------------------------


def test_a_person_s_word_attaches_a_message_and_another_s_keeps_it_away(world: World) -> None:
    world.register(MARISOL)
    carer = world.staff(Role.CARE_MANAGER)
    message = only_number(replace(MARISOL, born="19610421"), "MRN-7")
    (row,) = world.deliver(message)
    assert (row.status, row.proposed) == (Status.UNMATCHED, [world.member_of(MARISOL)])  # two digits turned round
    assert row.outcome is not None and row.outcome["proposed"][0]["weights"] == "2026.1"
    recognised = RecogniseMessage(stream=world.member_of(MARISOL), by=carer, message=str(row.inbox_id), reason="called her")
    do(world, recognised)
    assert (world.row_of(message).status, world.row_of(message).evidence) == (Status.APPLIED, "by_hand")
    other = only_number(replace(MARISOL, born="19610421"), "MRN-8", visit="V-8")
    (second,) = world.deliver(other)
    do(world, DisownMessage(stream=world.member_of(MARISOL), by=carer, message=str(second.inbox_id), reason="her niece"))
    assert (world.row_of(other).status, world.row_of(other).proposed) == (Status.UNMATCHED, [])
    assert [f.message for f in world.facts("member-") if isinstance(f, MessageDisowned)] == [str(second.inbox_id)]


def test_6_twins_are_told_apart_by_nobody_but_a_person(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(only_number(replace(TWIN), "MRN-1002"))
    assert (row.status, row.member) == (Status.UNMATCHED, None)
    for one in (row.outcome or {"proposed": []})["proposed"]:
        assert one["strong"] is False


def test_5_both_cins_are_one_member_and_taking_it_back_restores_both(world: World) -> None:
    world.register(MARISOL)
    office = world.staff(Role.OPERATOR)
    newer = replace(MARISOL, cin="97654321E")
    (waiting,) = world.deliver(adt("A01", person=newer, control_id="NEW", visit="V-5"))
    assert waiting.status is Status.UNMATCHED
    member, claim = world.member_of(MARISOL), world.door.identity.cin_claim(newer.cin)
    do(world, ReplaceCin(stream=member, by=office, cin_claim=claim, cin=newer.cin, reason="state's letter"))
    (old,) = world.deliver(adt("A01", control_id="OLD", visit="V-6"))
    new = world.row_of(adt("A01", person=newer, control_id="NEW", visit="V-5"))
    assert [(r.status, r.member) for r in (new, old)] == [(Status.APPLIED, member)] * 2
    (both,) = world.deliver(
        adt("A01", control_id="BOTH", visit="V-7", person=replace(MARISOL, mrn=f"{newer.cin}^^^MEDI-CAL^MA~X1"))
    )
    assert both.status is Status.APPLIED
    assert len(world.member(MARISOL).stays) == 3
    do(world, WithdrawCinReplacement(stream=member, by=office, cin_claim=claim, cin=newer.cin, reason="another person's"))
    nobody, still = world.deliver(
        adt("A01", person=replace(newer, mrn=""), control_id="NEW-2", visit="V-8"),
        adt("A01", person=replace(MARISOL, mrn=""), control_id="OLD-2", visit="V-9"),
    )
    assert (nobody.status, nobody.reason) == (Status.UNMATCHED, "no_member_with_this_cin")
    assert (still.status, still.member) == (Status.APPLIED, member)
    assert world.member(MARISOL).cins() == (MARISOL.cin,) and len(world.member(MARISOL).stays) == 4


def test_merge_and_separation_leave_matching_as_it_was(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01"), adt("A01", person=TOMAS, control_id="C2", visit="V-78"))
    world.door.worker.work_off()
    boss = world.staff(Role.SUPERVISOR)
    one, other = world.member_of(MARISOL), world.member_of(TOMAS)
    mixed = adt("A01", person=replace(TOMAS, mrn=MARISOL.mrn), cin=f"{MARISOL.cin}", control_id="MIX", visit="V-99")
    (before,) = world.deliver(mixed)
    assert (before.status, before.reason) == (Status.WAITING, "cin_contradicted")
    do(world, MergeMembers(stream=one, by=boss, retired=other, reason="one person"))
    assert world.row_of(mixed).status is Status.APPLIED
    do(world, SeparateMembers(stream=one, by=boss, retired=other, reason="no"))
    (after,) = world.deliver(mixed.replace("|MIX|", "|MIX-2|").replace("V-99", "V-98"))
    assert (after.status, after.reason, after.proposed) == (before.status, before.reason, before.proposed)


def test_what_arrived_while_two_were_merged_is_the_member_s_own_after_they_are_separated(world: World) -> None:
    world.register(MARISOL)
    boss, one = world.staff(Role.SUPERVISOR), world.member_of(MARISOL)
    other, claim = f"member-{uuid4()}", world.door.identity.cin_claim(TOMAS.cin)
    do(world, RegisterMember(
        stream=other, by="system", cin_claim=claim, cin=TOMAS.cin, family_name=TOMAS.family, given_name=TOMAS.given,
        birth_date="1948-09-30",
    ))  # fmt: skip
    do(world, MergeMembers(stream=one, by=boss, retired=other, reason="one person"))
    (row,) = world.deliver(adt("A01", person=TOMAS, visit="V-78"))
    assert (row.status, row.member) == (Status.APPLIED, other)
    do(world, SeparateMembers(stream=one, by=boss, retired=other, reason="no"))
    world.clock.advance(timedelta(hours=1))
    world.register(TOMAS)
    own = world.gateway.load(claim_on_open_episode(other)).state.holder
    assert own is not None
    world.clock.advance(timedelta(hours=1))
    out = {"discharged": "20260310181000", "sent": "20260310181500"}
    world.deliver(adt("A03", person=TOMAS, control_id="OUT", visit="V-78", **out))  # type: ignore[arg-type]
    assert [a.episode for a in world.member(TOMAS).stays.values()] == [own]


def test_a_visit_under_the_numbers_of_both_is_one_member_s_after_they_are_separated(world: World) -> None:
    world.register(MARISOL, TOMAS)
    boss, one, other = world.staff(Role.SUPERVISOR), world.member_of(MARISOL), world.member_of(TOMAS)
    do(world, MergeMembers(stream=one, by=boss, retired=other, reason="one person"))
    rows = world.deliver(
        adt("A01", person=TOMAS), adt("A03", control_id="OUT", sent="20260310161500", discharged="20260310161000", disposition="20")
    )
    assert [(r.status, r.member) for r in rows] == [(Status.APPLIED, other), (Status.APPLIED, one)]
    do(world, SeparateMembers(stream=one, by=boss, retired=other, reason="no"))
    assert not world.member(MARISOL).stays and world.member(MARISOL).death() is None
    (stay,) = world.member(TOMAS).stays
    assert world.member(TOMAS).death() is not None
    (late,) = world.deliver(adt("A08", control_id="LATE", sent="20260310162000"))
    assert (late.status, late.reason, set(late.proposed)) == (Status.WAITING, "visit_of_another_member", {one, other})
    do(world, MoveStay(stream=other, by=boss, stay=stay, rightful=one, reason="mistaken identity"))
    assert not world.member(TOMAS).stays and world.member(TOMAS).death() is None
    assert list(world.member(MARISOL).stays) == [stay] and world.member(MARISOL).death() is not None


def test_a_wrong_match_is_corrected_by_hand_with_a_later_message_of_the_stay(world: World) -> None:
    world.register(MARISOL, TOMAS)
    wrong = adt("A01", person=replace(TOMAS, cin=MARISOL.cin, born=MARISOL.born), control_id="WRONG")
    (first,) = world.deliver(wrong)
    assert (first.status, first.member) == (Status.APPLIED, world.member_of(MARISOL))
    world.door.worker.work_off()
    discharge = adt("A03", person=TOMAS, control_id="OUT", discharged="20260310150000", disposition="20")
    (second,) = world.deliver(discharge)
    assert (second.status, second.reason) == (Status.WAITING, "visit_of_another_member")
    boss = world.staff(Role.SUPERVISOR)
    do(world, RecogniseMessage(stream=world.member_of(TOMAS), by=boss, message=str(second.inbox_id), reason="his wristband"))
    assert world.row_of(discharge).status is Status.APPLIED
    assert not world.member(MARISOL).stays and len(world.member(TOMAS).stays) == 1
    assert world.member(MARISOL).death() is None and world.member(TOMAS).death() is not None
    assert not world.member(MARISOL).identity.numbers
    assert [n.number for n in world.member(TOMAS).identity.numbers.values()] == [TOMAS.mrn]


def test_a_replay_does_not_move_a_stay_back_that_was_moved_since(world: World) -> None:
    world.register(MARISOL, TOMAS)
    boss, wrong, right = world.staff(Role.SUPERVISOR), world.member_of(MARISOL), world.member_of(TOMAS)
    message = only_number(replace(TOMAS, born="19480903"), "MRN-7")
    (row,) = world.deliver(message)
    do(world, RecogniseMessage(stream=wrong, by=boss, message=str(row.inbox_id), reason="mistaken"))
    (stay,) = world.member(MARISOL).stays
    do(world, MoveStay(stream=wrong, by=boss, stay=stay, rightful=right, reason="his wristband"))
    world.door.inbox.replay(row.inbox_id, by=boss, now=world.clock.now())
    world.door.worker.work_off()
    again = world.row_of(message)
    assert (again.status, again.reason, again.proposed) == (Status.WAITING, "visit_of_another_member", [wrong, right])
    assert not world.member(MARISOL).stays and list(world.member(TOMAS).stays) == [stay]
    do(world, RecogniseMessage(stream=right, by=boss, message=str(row.inbox_id), reason="his wristband"))
    assert (world.row_of(message).status, world.row_of(message).member) == (Status.APPLIED, right)


def test_a_replay_does_not_give_a_stay_back_that_was_detached_since(world: World) -> None:
    world.register(MARISOL)
    message = adt("A01")
    (row,) = world.deliver(message)
    (stay,) = world.member(MARISOL).stays
    office, nameless = world.staff(Role.OPERATOR), replace(MARISOL, cin="", mrn="")
    do(world, DetachStay(stream=world.member_of(MARISOL), by=office, stay=stay, reason="somebody else's"))
    world.door.inbox.replay(row.inbox_id, by=office, now=world.clock.now())
    world.door.worker.work_off()
    assert not world.member(MARISOL).stays
    (later,) = world.deliver(adt("A08", person=nameless, control_id="LATER", sent="20260310160500"))
    assert (later.status, later.member) == (Status.UNMATCHED, None)


def test_a_message_that_says_what_was_said_of_the_wrong_member_moves_the_stay_once_somebody_says_whose_it_is(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01", person=replace(TOMAS, cin=MARISOL.cin, born=MARISOL.born), control_id="WRONG"))
    again = adt("A01", person=TOMAS, control_id="AGAIN")
    (row,) = world.deliver(again)
    assert (row.status, row.reason) == (Status.WAITING, "visit_of_another_member")
    boss = world.staff(Role.SUPERVISOR)
    do(world, RecogniseMessage(stream=world.member_of(TOMAS), by=boss, message=str(row.inbox_id), reason="his wristband"))
    assert world.row_of(again).status is Status.APPLIED
    assert not world.member(MARISOL).stays and len(world.member(TOMAS).stays) == 1


def test_whoever_may_not_move_a_stay_leaves_the_message_waiting(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01", person=replace(TOMAS, cin=MARISOL.cin, born=MARISOL.born), control_id="WRONG"))
    world.door.worker.work_off()
    discharge = adt("A03", person=TOMAS, control_id="OUT", discharged="20260310150000")
    (second,) = world.deliver(discharge)
    carer = world.staff(Role.CARE_MANAGER)
    do(world, RecogniseMessage(stream=world.member_of(TOMAS), by=carer, message=str(second.inbox_id), reason="his wristband"))
    assert (world.row_of(discharge).status, world.row_of(discharge).reason) == (Status.WAITING, "not_authorised")
    assert len(world.member(MARISOL).stays) == 1
