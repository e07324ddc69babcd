"""What waits for a person about who somebody is, and what their word leads to (domain.md 7: scenarios 3, 4, 6, 58)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from domain.core import Refusal
from domain.member.decider import CorrectIdentity
from domain.member.facts import MemberRegistered
from domain.member.identity import LearnFormerCin, MembersKeptApart, MembersMerged, MoveStay, RecogniseMessage, ReplaceCin
from domain.staff.facts import Role
from eventlog.gateway import Accepted
from intake.people import identity_desk
from intake.people.identity_desk import Choice, Kind, NoSuchChoice, Question, UnknownQuestion, ask_instead
from intake.store.inbox import Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL, TOMAS, Person, adt
from tests.intake.test_identity import TWIN, do, merged, only_number, told

DOUBLE = replace(MARISOL, cin="97654321E", mrn="MRN-3003")
"""The same person, registered a second time under another CIN."""


def only(world: World, kind: Kind) -> Question:
    (found,) = world.door.desk.questions(kind=kind)
    return found


def decide(world: World, question: Question, choice: Choice, by: str, **more: str) -> Accepted:
    outcome = world.door.desk.decide(question.id, choice, by=by, command_id=uuid4(), reason="looked at both", **more)  # type: ignore[arg-type]
    assert isinstance(outcome, Accepted), outcome
    world.door.worker.work_off()
    return outcome


def registered_twice(world: World, one: Person = MARISOL, other: Person = DOUBLE) -> None:
    """A supervisor lets the row under the other CIN be taken as it is."""
    world.register(one)
    (row,) = world.door.inbox.find(part_of=world.register(other).file_id)
    world.door.inbox.release(row.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()


def test_58_a_message_that_fits_two_members_waits_visibly_and_starts_nothing(world: World) -> None:
    registered_twice(world)
    (row,) = world.deliver(only_number(replace(MARISOL, cin=""), "MRN-X"))
    assert row.status is Status.UNMATCHED
    assert not world.facts("stay-")
    world.clock.set(world.clock.now() + timedelta(hours=5))
    question = only(world, Kind.MESSAGE)
    assert (question.id, set(question.members)) == (row.inbox_id, {world.member_of(MARISOL), world.member_of(TWIN)})
    assert question.waits == timedelta(hours=5)
    sides = world.door.desk.question(row.inbox_id).sides
    assert [s.who for s in sides] == ["message", *question.members]
    assert [s.family_name for s in sides] == ["Quillfeather"] * 3
    carer = world.staff(Role.CARE_MANAGER)
    with pytest.raises(NoSuchChoice, match="member"):
        world.door.desk.decide(row.inbox_id, Choice.ATTACH, by=carer, command_id=uuid4(), reason="?")
    decide(world, question, Choice.ATTACH, carer, member=world.member_of(TWIN))
    assert world.door.inbox.show(row.inbox_id).row.status is Status.APPLIED
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert len(world.facts("stay-")) == 1


def test_a_decision_again_under_its_id_gives_the_first_result(world: World) -> None:
    registered_twice(world)
    question, boss, command_id = only(world, Kind.PAIR), world.staff(Role.SUPERVISOR), uuid4()
    first = world.door.desk.decide(question.id, Choice.MERGE, by=boss, command_id=command_id, reason="one card")
    world.door.worker.work_off()
    again = world.door.desk.decide(question.id, Choice.MERGE, by=boss, command_id=command_id, reason="one card")
    assert isinstance(first, Accepted) and isinstance(again, Accepted)
    assert (again.repeated, [f.event_id for f in again.facts]) == (True, [f.event_id for f in first.facts])
    with pytest.raises(UnknownQuestion, match="identity list"):
        world.door.desk.decide(question.id, Choice.MERGE, by=boss, command_id=uuid4(), reason="one card")


def test_two_members_of_one_name_and_birth_date_are_proposed_and_kept_apart_for_good(world: World) -> None:
    world.register(TOMAS)
    registered_twice(world)
    question = only(world, Kind.PAIR)
    assert set(question.members) == {world.member_of(MARISOL), world.member_of(DOUBLE)}
    assert question.pair == ("birth_date", "family_name", "given_name", "sex", "phone")
    decide(world, question, Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    assert world.door.desk.questions(kind=Kind.PAIR) == ()
    assert len([f for f in world.facts("member-") if isinstance(f, MembersKeptApart)]) == 2


def test_a_pair_that_was_kept_apart_hides_none_and_is_asked_again_once_more_agrees(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_desk, "PAGE", 1)
    other_phone = replace(DOUBLE, phone="(661) 555-0177")
    registered_twice(world, MARISOL, other_phone)
    carer, pair = world.staff(Role.CARE_MANAGER), {world.member_of(MARISOL), world.member_of(DOUBLE)}
    decide(world, only(world, Kind.PAIR), Choice.KEEP_APART, carer)
    world.register(replace(other_phone, phone="(661) 555-0178"))  # more is known of one; nothing more agrees
    assert world.door.desk.questions(kind=Kind.PAIR) == ()
    brother = replace(TOMAS, cin="96543217A", mrn="MRN-4004", phone="(661) 555-0190")
    registered_twice(world, TOMAS, brother)
    behind = only(world, Kind.PAIR)
    assert set(behind.members) == {world.member_of(TOMAS), world.member_of(brother)}
    world.register(replace(other_phone, phone=MARISOL.phone))
    again = next(q for q in world.door.desk.questions(kind=Kind.PAIR) if set(q.members) == pair)
    assert "phone" in again.pair
    boss = world.staff(Role.SUPERVISOR)
    for question in (behind, again):
        decide(world, question, Choice.MERGE, boss)
    assert world.door.desk.questions(kind=Kind.PAIR) == ()


def test_whoever_may_not_merge_is_refused(world: World) -> None:
    registered_twice(world)
    question = only(world, Kind.PAIR)
    carer = world.staff(Role.CARE_MANAGER)
    refused = world.door.desk.decide(question.id, Choice.MERGE, by=carer, command_id=uuid4(), reason="one")
    assert isinstance(refused, Refusal) and refused.code == "not_authorised"


def test_6_twins_are_no_pair_of_one_person_unless_the_first_names_agree(world: World) -> None:
    world.register(MARISOL, TWIN)
    for question in world.door.desk.questions(kind=Kind.PAIR):
        assert question.likely[0]["strong"] is False
    assert not [f for f in world.facts("member-") if isinstance(f, MembersMerged)]


def test_a_merge_by_the_hospital_over_two_members_is_merged_or_kept_apart_at_the_desk(world: World) -> None:
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01"), adt("A01", person=TOMAS, control_id="C2", visit="V-2"))
    world.door.worker.work_off()
    (row,) = world.deliver(merged((MARISOL, TOMAS.mrn)))
    question = only(world, Kind.MESSAGE)
    assert (question.reason, question.choices) == ("merge_of_two_members", (Choice.MERGE, Choice.KEEP_APART))
    decide(world, question, Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    assert world.door.inbox.show(row.inbox_id).row.reason == "kept_apart"
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_one_person_with_two_open_episodes_is_a_question(world: World) -> None:
    registered_twice(world)
    decide(world, only(world, Kind.PAIR), Choice.MERGE, world.staff(Role.SUPERVISOR))
    question = only(world, Kind.TWO_EPISODES)
    assert (question.reason, question.choices) == ("two_open_episodes", ())


def test_what_a_hospital_proposes_is_accepted_or_rejected(world: World) -> None:
    world.register(MARISOL)
    world.deliver(told("A31"))
    world.door.worker.work_off()
    carer = world.staff(Role.CARE_MANAGER)
    found = world.door.desk.questions(kind=Kind.CONTACT_POINT)
    assert len(found) == 3
    for question, choice in zip(found, (Choice.ACCEPT, Choice.REJECT, Choice.REJECT), strict=True):
        decide(world, question, choice, carer)
    assert world.door.desk.questions(kind=Kind.CONTACT_POINT) == ()
    assert [p.learned_from for p in world.member(MARISOL).points.values()].count("hospital") == 1


def test_4_one_cin_with_two_birth_dates_is_a_question_and_overwrites_nothing(world: World) -> None:
    world.register(MARISOL)
    other = Person(**{**{f: getattr(MARISOL, f) for f in MARISOL.__dataclass_fields__}, "born": "19620413"})
    world.register(other)
    question = only(world, Kind.MESSAGE)
    assert (question.reason, question.members) == ("birth_date_conflict", (world.member_of(MARISOL),))
    assert world.member(MARISOL).birth_date == "1961-04-12"
    decide(world, question, Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert world.member(MARISOL).birth_date == "1961-04-12"


NEWER = "98765400A"


def waiting_under_another_cin(world: World) -> Question:
    """Marisol is known; a list has her under a CIN that nobody knows."""
    world.register(MARISOL)
    receipt = world.register(replace(MARISOL, cin=NEWER, phone="(661) 555-0177"))
    assert (receipt.accepted, receipt.waiting) == (0, 1)
    question = only(world, Kind.MESSAGE)
    assert (question.reason, question.members) == ("another_cin", (world.member_of(MARISOL),))
    return question


def test_5_a_row_under_an_unknown_cin_of_somebody_known_is_taken_for_them_once_somebody_said_so(world: World) -> None:
    question = waiting_under_another_cin(world)
    decide(world, question, Choice.ATTACH, world.staff(Role.CARE_MANAGER))
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert len(world.member(MARISOL).points) == 2
    assert len([f for f in world.facts("member-") if isinstance(f, MemberRegistered)]) == 1


def test_5_a_row_under_an_unknown_cin_is_taken_up_once_that_cin_is_known_to_be_the_newer_one(world: World) -> None:
    waiting_under_another_cin(world)
    claim = world.door.identity.cin_claim(NEWER)
    replaced = ReplaceCin(stream=world.member_of(MARISOL), by=world.staff(Role.SUPERVISOR), cin=NEWER, cin_claim=claim)
    assert isinstance(world.gateway.handle(replaced, command_id=uuid4()), Accepted)
    world.door.worker.work_off()
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert len(world.member(MARISOL).points) == 2


def test_6_a_row_under_an_unknown_cin_that_is_somebody_elses_registers_them(world: World) -> None:
    question = waiting_under_another_cin(world)
    decide(world, question, Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert world.member_of(replace(MARISOL, cin=NEWER)) != world.member_of(MARISOL)
    assert len(world.member(MARISOL).points) == 1


# --- kept apart once, for every message of that person and for the member whom they become ---------------------------------------

NIECE = replace(MARISOL, cin=NEWER, mrn="MRN-9009", phone="(661) 555-0177")
"""Somebody of Marisol's name and birth date who is not she."""


def referred(world: World) -> Question:
    person = {"cin": NEWER, "family_name": NIECE.family, "given_name": NIECE.given, "birth_date": "1961-04-12"}
    form = {"plan": "default", "source": "hospital", "urgency": "routine", "person": person}
    world.door.referrals.take(json.dumps(form).encode(), source_id=world.source.name)
    return only(world, Kind.MESSAGE)


def listed(world: World) -> Question:
    world.register(NIECE)
    return only(world, Kind.MESSAGE)


def admitted(world: World) -> Question:
    world.deliver(adt("A01", person=NIECE, control_id="N1", visit="V-N"))
    return only(world, Kind.MESSAGE)


@pytest.mark.parametrize("first", [referred, listed, admitted])
@pytest.mark.parametrize("second", [referred, listed, admitted])
def test_6_two_people_are_kept_apart_once(
    world: World, first: Callable[[World], Question], second: Callable[[World], Question]
) -> None:
    world.register(MARISOL)
    decide(world, first(world), Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    if second is not first:
        with pytest.raises(ValueError, match="not enough values"):
            second(world)
    world.door.worker.work_off()
    if first is not admitted or second is not admitted:  # a message alone makes nobody a member
        assert world.member_of(NIECE) != world.member_of(MARISOL)
    assert world.door.desk.questions() == ()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_6_one_word_settles_all_that_waits_of_the_same_two_people(world: World, at: int) -> None:
    world.register(MARISOL)
    admitted(world)
    with pytest.raises(ValueError, match="too many"):
        listed(world)
    with pytest.raises(ValueError, match="too many"):
        referred(world)
    questions = world.door.desk.questions(kind=Kind.MESSAGE)
    assert len(questions) == 3
    decide(world, questions[at], Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    world.door.worker.work_off()
    assert world.door.desk.questions() == ()
    assert len(world.member(NIECE).stays) == 1 and not world.member(MARISOL).stays


def test_6_who_was_kept_apart_is_asked_about_again_once_more_agrees_or_it_is_taken_back(world: World) -> None:
    world.register(MARISOL)
    world.register(NIECE)
    question, carer = only(world, Kind.MESSAGE), world.staff(Role.CARE_MANAGER)
    assert [one["evidence"][0][0] for one in question.likely] == ["birth_date"]
    decide(world, question, Choice.KEEP_APART, carer)
    assert world.door.desk.questions() == ()
    do(world, RecogniseMessage(stream=world.member_of(MARISOL), by=carer, message=str(question.id), reason="it was she"))
    back = only(world, Kind.PAIR)
    assert set(back.members) == {world.member_of(MARISOL), world.member_of(NIECE)}
    decide(world, back, Choice.KEEP_APART, carer)
    assert world.door.desk.questions() == ()
    world.register(replace(NIECE, phone=MARISOL.phone))  # with Marisol's phone number
    assert "phone" in only(world, Kind.PAIR).pair


def test_6_a_number_that_is_the_member_s_own_keeps_nobody_apart(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(adt("A01", person=replace(MARISOL, family="Elsewhere", born="19900101"), control_id="W", visit="V-W"))
    assert (row.status, row.reason) == (Status.WAITING, "cin_contradicted")
    decide(world, only(world, Kind.MESSAGE), Choice.KEEP_APART, world.staff(Role.CARE_MANAGER))
    (row,) = world.deliver(adt("A01", control_id="R", visit="V-R"))
    assert (row.status, row.member) == (Status.APPLIED, world.member_of(MARISOL))
    world.register(NIECE)
    assert only(world, Kind.MESSAGE).members == (world.member_of(MARISOL),)


def test_5_one_file_with_both_cins_of_somebody_registers_them_once(world: World) -> None:
    world.register(MARISOL, replace(MARISOL, cin=NEWER), replace(MARISOL, cin="98765401A", given="Beatriz"))
    question = only(world, Kind.MESSAGE)
    assert (question.reason, question.members) == ("another_cin", (world.member_of(MARISOL),))
    assert len([f for f in world.facts("member-") if isinstance(f, MemberRegistered)]) == 2, "she and her twin"


def test_3_a_row_without_a_cin_is_proposed_and_taken_once_somebody_said_so(world: World) -> None:
    world.register(MARISOL)
    world.register(replace(MARISOL, cin="", phone="(661) 555-0177"), replace(TOMAS, cin=""))
    question = only(world, Kind.MESSAGE)
    assert (question.reason, question.members) == ("possible_member", (world.member_of(MARISOL),))
    assert len(world.member(MARISOL).points) == 1
    decide(world, question, Choice.ATTACH, world.staff(Role.CARE_MANAGER))
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert len(world.member(MARISOL).points) == 2


# --- a stay that would have to move ----------------------------------------------------------------------------------------------


def attached_wrongly(world: World) -> Question:
    """Tomas came under Marisol's number: she has his stay, and the message that says so waits."""
    world.register(MARISOL, TOMAS)
    world.deliver(adt("A01", person=replace(TOMAS, cin=MARISOL.cin, born=MARISOL.born), control_id="WRONG"))
    world.deliver(adt("A03", person=TOMAS, control_id="OUT", discharged="20260310150000"))
    question = only(world, Kind.MESSAGE)
    assert question.reason == "visit_of_another_member"
    return question


def moved(world: World) -> bool:
    return not world.member(MARISOL).stays and len(world.member(TOMAS).stays) == 1


def test_whoever_may_not_move_a_stay_is_told_at_once_and_somebody_else_says_it_again(world: World) -> None:
    question, carer, right = attached_wrongly(world), world.staff(Role.CARE_MANAGER), world.member_of(TOMAS)
    said = world.door.desk.decide(question.id, Choice.ATTACH, by=carer, command_id=uuid4(), reason="wristband", member=right)
    assert isinstance(said, Refusal) and said.code == "not_authorised"
    assert only(world, Kind.MESSAGE) == question
    # the same word by another way than the desk is accepted, and leaves the question where it can be seen
    do(world, RecogniseMessage(stream=right, by=carer, message=str(question.id), reason="his wristband"))
    left = only(world, Kind.MESSAGE)
    assert (left.reason, left.members) == ("not_authorised", (right, world.member_of(MARISOL)))
    decide(world, left, Choice.ATTACH, world.staff(Role.SUPERVISOR), member=right)
    assert moved(world) and world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_a_message_that_is_not_about_its_stay_s_member_asks_whose_the_stay_is(world: World) -> None:
    question, wrong, right = attached_wrongly(world), world.member_of(MARISOL), world.member_of(TOMAS)
    decide(world, question, Choice.KEEP_APART, world.staff(Role.CARE_MANAGER), member=wrong)
    left = only(world, Kind.MESSAGE)
    assert (left.reason, left.members) == ("visit_of_another_member", (right, wrong))
    decide(world, left, Choice.ATTACH, world.staff(Role.SUPERVISOR), member=right)
    assert moved(world) and world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_what_was_said_before_of_a_message_can_be_said_again(world: World) -> None:
    world.register(MARISOL, TOMAS)
    boss, one, other = world.staff(Role.SUPERVISOR), world.member_of(MARISOL), world.member_of(TOMAS)
    message = only_number(replace(TOMAS, born="19480903"), "MRN-7")
    (row,) = world.deliver(message)
    first = world.door.desk.question(row.inbox_id)
    decide(world, first, Choice.ATTACH, boss, member=one)
    (stay,) = world.member(MARISOL).stays
    for _ in range(2):  # to and fro: the same words again, and each counts
        do(world, MoveStay(stream=one, by=boss, stay=stay, rightful=other, reason="mistaken identity"))
        world.door.inbox.replay(row.inbox_id, by=boss, now=world.clock.now())
        world.door.worker.work_off()
        decide(world, only(world, Kind.MESSAGE), Choice.ATTACH, boss, member=one)
        assert world.row_of(message).status is Status.APPLIED
        assert list(world.member(MARISOL).stays) == [stay] and not world.member(TOMAS).stays


def test_a_merge_by_the_hospital_over_three_members_is_answered_one_by_one(world: World) -> None:
    world.register(MARISOL, TOMAS, TWIN)
    people = ((MARISOL, "C1", "V-1"), (TOMAS, "C2", "V-2"), (TWIN, "C3", "V-3"))
    world.deliver(*(adt("A01", person=p, control_id=c, visit=v) for p, c, v in people))
    message = merged((MARISOL, f"{TOMAS.mrn}^^^VGH^MR~{TWIN.mrn}"))
    (row,) = world.deliver(message)
    question = only(world, Kind.MESSAGE)
    who, *others = question.members
    assert (row.reason, who, set(others)) == (
        "merge_of_two_members", world.member_of(MARISOL), {world.member_of(TOMAS), world.member_of(TWIN)}
    )  # fmt: skip
    boss, niece, same = world.staff(Role.SUPERVISOR), world.member_of(TOMAS), world.member_of(TWIN)
    with pytest.raises(NoSuchChoice, match="compared"):
        world.door.desk.decide(row.inbox_id, Choice.MERGE, by=boss, command_id=uuid4(), reason="?")
    decide(world, question, Choice.KEEP_APART, boss, member=niece)
    left = only(world, Kind.MESSAGE)
    assert left.members == (who, same)
    decide(world, left, Choice.MERGE, boss, member=who)
    assert world.gateway.load(same).state.identity.survivor == who
    assert world.row_of(message).reason == "kept_apart"
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()


# --- a death that its hospital takes back ----------------------------------------------------------------------------------------


def died_and_taken_back(world: World) -> Question:
    world.register(MARISOL)
    world.deliver(
        adt("A03", control_id="OUT", sent="20260310100500", discharged="20260310100000", disposition="20"),
        adt("A13", control_id="BACK", sent="20260310120000", occurred="20260310113000"),
    )
    assert world.member(MARISOL).death() is not None
    return only(world, Kind.MESSAGE)


def test_a_death_that_a_hospital_took_back_is_withdrawn_at_the_desk_and_what_waited_is_applied(world: World) -> None:
    question = died_and_taken_back(world)
    assert (question.reason, question.members) == ("death_taken_back", (world.member_of(MARISOL),))
    assert question.choices == (Choice.WITHDRAW_DEATH, Choice.DEATH_STANDS)
    carer = world.staff(Role.CARE_MANAGER)
    said = world.door.desk.decide(question.id, Choice.WITHDRAW_DEATH, by=carer, command_id=uuid4(), reason="typing error")
    assert isinstance(said, Refusal) and said.code == "not_authorised"
    decide(world, question, Choice.WITHDRAW_DEATH, world.staff(Role.SUPERVISOR))
    assert world.member(MARISOL).death() is None and world.course(MARISOL).discharge is None
    assert world.door.inbox.show(question.id).row.status is Status.APPLIED
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_a_death_that_is_true_though_a_hospital_took_it_back_stands(world: World) -> None:
    question = died_and_taken_back(world)
    decide(world, question, Choice.DEATH_STANDS, world.staff(Role.CARE_MANAGER))
    assert world.member(MARISOL).death() is not None
    assert world.door.inbox.show(question.id).row.status is Status.APPLIED
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_whoever_found_that_a_death_stands_is_not_asked_for_the_same_word_again(world: World) -> None:
    decide(world, died_and_taken_back(world), Choice.DEATH_STANDS, world.staff(Role.CARE_MANAGER))
    world.clock.advance(timedelta(hours=1))
    rows = world.deliver(
        adt("A08", control_id="BED", sent="20260310123000", location="4W^402^B^VALLEYGEN"),
        adt("A13", control_id="BACK-2", sent="20260310124000", occurred="20260310113000"),
        adt("A31", control_id="LIVES", sent="20260310125000", death="N"),
    )
    assert [row.status for row in rows] == [Status.APPLIED] * 3
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    world.deliver(
        adt("A08", control_id="DIED", sent="20260310130000", death="Y"),
        adt("A08", control_id="LIVED", sent="20260310131000", death="N"),
    )
    assert only(world, Kind.MESSAGE).reason == "death_taken_back", "a death that was said anew is taken back anew"


# --- a CIN that a hospital gave up -----------------------------------------------------------------------------------------------


def test_5_a_hospital_s_new_cin_of_a_member_is_taken_once_somebody_found_that_the_state_gave_it(world: World) -> None:
    world.register(MARISOL)
    newer = replace(MARISOL, cin="97654321E", mrn="MRN-NEW")
    message = merged((newer, MARISOL.cin))
    world.deliver(message)
    question, member = only(world, Kind.MESSAGE), world.member_of(MARISOL)
    assert (question.reason, question.members) == ("new_cin_unknown", (member,))
    refused = world.door.desk.decide(
        question.id, Choice.REPLACE_CIN, by=world.staff(Role.CARE_MANAGER), command_id=uuid4(), reason="?"
    )
    assert isinstance(refused, Refusal) and refused.code == "not_authorised"
    decide(world, question, Choice.REPLACE_CIN, world.staff(Role.SUPERVISOR))
    assert world.member(MARISOL).cins() == (newer.cin, MARISOL.cin)
    assert world.row_of(message).status is Status.APPLIED and world.door.desk.questions(kind=Kind.MESSAGE) == ()
    (row,) = world.deliver(adt("A01", person=newer, visit="V-5"))
    assert (row.status, row.member) == (Status.APPLIED, member)


def test_a_former_cin_that_nobody_has_is_looked_at(world: World) -> None:
    world.register(MARISOL)
    message = merged((MARISOL, "97654321E"))
    world.deliver(message)
    question = only(world, Kind.MESSAGE)
    assert question.reason == "former_cin_unknown"
    assert question.choices == (Choice.FORMER_CIN, Choice.ATTACH, Choice.KEEP_APART)
    decide(world, question, Choice.ATTACH, world.staff(Role.CARE_MANAGER))
    assert world.row_of(message).status is Status.APPLIED and world.door.desk.questions(kind=Kind.MESSAGE) == ()


def test_5_a_former_cin_that_nobody_has_is_recorded_as_the_member_s(world: World) -> None:
    world.register(MARISOL)
    older = replace(MARISOL, cin="97654321E", mrn="MRN-OLD")
    unmatched = adt("A01", person=replace(older, given="M", born=""), control_id="OLD", visit="V-6")
    world.deliver(unmatched)
    assert world.row_of(unmatched).status is Status.UNMATCHED
    message = merged((MARISOL, older.cin))
    world.deliver(message)
    question = next(q for q in world.door.desk.questions() if q.reason == "former_cin_unknown")
    decide(world, question, Choice.FORMER_CIN, world.staff(Role.SUPERVISOR))
    assert world.member(MARISOL).cins() == (MARISOL.cin, older.cin)
    assert world.row_of(message).status is Status.APPLIED
    assert world.row_of(unmatched).status is Status.APPLIED, "a message under the older CIN finds the member"


@pytest.mark.parametrize(
    ("choice", "cins"), [(Choice.REPLACE_CIN, (NEWER, MARISOL.cin)), (Choice.FORMER_CIN, (MARISOL.cin, NEWER))]
)
def test_5_which_cin_of_a_row_is_the_older_one_is_said_at_the_desk(world: World, choice: Choice, cins: tuple[str, ...]) -> None:
    question = waiting_under_another_cin(world)
    assert question.choices == (Choice.REPLACE_CIN, Choice.FORMER_CIN, Choice.ATTACH, Choice.KEEP_APART)
    decide(world, question, choice, world.staff(Role.SUPERVISOR))
    assert world.member(MARISOL).cins() == cins
    assert world.door.desk.questions(kind=Kind.MESSAGE) == ()
    assert len(world.member(MARISOL).points) == 2
    before = len(world.facts("episode-"))
    world.register(replace(MARISOL, cin=NEWER, given="Mari"))
    assert world.door.desk.questions() == () and len(world.facts("episode-")) - before <= 1


def test_5_a_cin_of_another_member_becomes_a_question_about_both(world: World) -> None:
    world.register(MARISOL, TOMAS)
    boss, hers, his = world.staff(Role.SUPERVISOR), world.member_of(MARISOL), world.member_of(TOMAS)
    said = LearnFormerCin(stream=hers, by=boss, cin=TOMAS.cin, cin_claim=world.door.identity.cin_claim(TOMAS.cin), reason="card")
    command_id = uuid4()
    refused = ask_instead(world.gateway, said, command_id, world.gateway.handle(said, command_id=command_id))
    assert isinstance(refused, Refusal) and refused.code == "cin_taken" and "identity list" in refused.because
    world.door.worker.work_off()
    question = only(world, Kind.PAIR)
    assert (set(question.members), question.reason, question.pair) == ({hers, his}, "said_to_be_one", ("phone", "cin"))
    do(world, CorrectIdentity(stream=hers, by=boss, given_name="Marisol A"))
    world.door.worker.work_off()
    assert only(world, Kind.PAIR) == question, "another name does not answer it"
    decide(world, question, Choice.KEEP_APART, boss)
    again = ask_instead(world.gateway, said, uuid4(), world.gateway.handle(said, command_id=uuid4()))
    assert isinstance(again, Refusal) and "kept apart" in again.because
    world.door.worker.work_off()
    assert world.door.desk.questions() == ()
