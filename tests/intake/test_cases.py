"""The acceptance cases of messages.md 6, through the real listener onto a real PostgreSQL, by their numbers.

Expected instants are literals worked out by hand; the source's zone is America/Los_Angeles, and the member is known.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from domain.member.decider import WithdrawDeathReport
from domain.member.facts import StayAttributed
from domain.staff.facts import Role
from domain.stay.decider import Way
from domain.stay.facts import MemberAdmitted, MemberDischarged, StayClass
from eventlog.gateway import Accepted
from intake.senders.sources import Sources
from intake.store.inbox import Status
from tests.intake.conftest import World, notification, open_world
from tests.intake.making import MARISOL, TOMAS, adt


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def a01(**more: str) -> str:
    return adt("A01", **{"control_id": "ADM-1", "sent": "20260308090500", "admitted": "20260308090000"} | more)  # type: ignore[arg-type]


def a03(**more: str) -> str:
    return adt(
        "A03",
        **{"control_id": "DIS-1", "sent": "20260310153500", "discharged": "20260310153000", "disposition": "01"} | more,  # type: ignore[arg-type]
    )


def a08(**more: str) -> str:
    return adt("A08", **{"control_id": "UPD-1", "sent": "20260310160000"} | more)  # type: ignore[arg-type]


def a11(**more: str) -> str:
    return adt("A11", **{"control_id": "CAN-1", "sent": "20260309120000"} | more)  # type: ignore[arg-type]


def a13(**more: str) -> str:
    return adt("A13", **{"control_id": "CDI-1", "sent": "20260310155000"} | more)  # type: ignore[arg-type]


def test_1_an_admission_is_stored_as_sent_and_becomes_one_fact(world: World) -> None:
    world.register(MARISOL)
    raw = a01()
    (answer,) = world.send(raw)
    assert answer.split("\r")[1] == "MSA|AA|ADM-1"
    (row,) = world.rows()
    assert row.status is Status.RECEIVED
    world.door.worker.work_off()
    shown = world.door.inbox.show(row.inbox_id)
    assert shown.raw == raw.encode()
    assert shown.row.status is Status.APPLIED
    assert [c.fact for c in shown.caused] == ["stay.member-admitted", "member.stay-attributed", "member.record-number-learned"]
    assert [t.status for t in shown.transitions] == ["received", "applied"]
    (admitted,) = world.facts("stay-")
    assert isinstance(admitted, MemberAdmitted)
    assert admitted.admitted_at == utc(2026, 3, 8, 16)  # 09:00 daylight time, the day the clocks changed
    assert (admitted.facility, admitted.stay_class) == ("valley-general", StayClass.INPATIENT)
    (attribution,) = world.member(MARISOL).stays.values()
    assert attribution.episode == world.member(MARISOL).episodes[-1]
    assert attribution.evidence == "cin+birth_date+name"


def test_2_the_same_bytes_nine_times_are_one_fact(world: World) -> None:
    world.register(MARISOL)
    answers = world.send(*[a03()] * 9)
    assert [answer.split("\r")[1] for answer in answers] == ["MSA|AA|DIS-1"] * 9
    world.door.worker.work_off()
    (row,) = world.rows()
    assert (row.status, row.repeats) == (Status.APPLIED, 8)
    assert len(world.facts("stay-")) == 1


def test_3_a_control_id_with_two_bodies_is_two_messages(world: World) -> None:
    world.register(MARISOL)
    first, second = world.deliver(a01(control_id="SAME"), a03(control_id="SAME"))
    assert first.flags == []
    assert second.flags == ["control_id_reused"]
    assert (first.status, second.status) == (Status.APPLIED, Status.APPLIED)
    assert len(world.facts("stay-")) == 2


def test_4_the_clock_starts_at_the_time_of_discharge(world: World) -> None:
    world.register(MARISOL)
    world.deliver(a03())
    discharge = world.course(MARISOL).discharge
    assert discharge is not None
    assert discharge.at == utc(2026, 3, 10, 22, 30)
    assert (discharge.disposition, discharge.way) == ("01", Way.HOME)
    (recorded,) = (s.recorded for s in world.opened.log.all() if isinstance(s.recorded.fact, MemberDischarged))
    assert recorded.occurred_at == utc(2026, 3, 10, 22, 30)
    assert recorded.said_at == utc(2026, 3, 10, 22, 35)
    assert recorded.recorded_at == world.clock.now()


def test_5_a_time_in_the_missing_hour_is_shifted_forward(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(discharged="20260308023000", sent="20260308040000"))
    assert "missing_hour" in row.flags
    discharge = world.course(MARISOL).discharge
    assert discharge is not None
    assert discharge.at == utc(2026, 3, 8, 10, 30)


def test_6_a_date_stays_a_date(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(discharged="20260310"))
    assert "day_only" in row.flags
    discharge = world.course(MARISOL).discharge
    assert discharge is not None
    assert discharge.day == date(2026, 3, 10)
    assert discharge.at == utc(2026, 3, 11, 7)  # the end of that local day


def test_7_the_header_offset_counts_unless_the_source_ignores_offsets(database: str) -> None:
    usual = notification(a03(sent="20260310183500-0500"))
    assert usual.discharged.at == utc(2026, 3, 10, 20, 30)  # type: ignore[union-attr]
    world = open_world(database)
    ignoring = Sources((world.source.model_copy(update={"ignore_offsets": True}),))
    world.door.sources = world.door.worker.sources = ignoring
    world.register(MARISOL)
    world.deliver(a03(sent="20260310153500-0500"))
    discharge = world.course(MARISOL).discharge
    assert discharge is not None
    assert discharge.at == utc(2026, 3, 10, 22, 30)
    world.door.close()
    world.opened.close()


def test_8_a_discharge_before_its_admission_is_one_stay_and_stays_discharged(world: World) -> None:
    world.register(MARISOL)
    world.deliver(a03())
    world.clock.advance(timedelta(seconds=3))
    world.deliver(a01())
    course = world.course(MARISOL)
    assert course.discharge is not None
    assert course.discharge.at == utc(2026, 3, 10, 22, 30)
    assert course.admission is not None
    assert course.admission.at == utc(2026, 3, 8, 16)
    assert len([f for f in world.facts("member-") if type(f).__name__ == "StayAttributed"]) == 1


def test_9_an_update_without_a_discharge_time_does_not_reopen(world: World) -> None:
    world.register(MARISOL)
    world.deliver(a01(), a03(), a08())
    assert world.course(MARISOL).discharge is not None


def test_9b_a_discharge_that_only_an_update_tells_of_waits_for_somebody_or_for_the_discharge(world: World) -> None:
    world.register(MARISOL)
    update = a08(discharged="20260310153000", disposition="01")
    _, row = world.deliver(a01(), update)
    assert (row.status, row.reason) == (Status.WAITING, "discharge_only_described")
    world.deliver(a03(sent="20260310161500"))
    assert world.row_of(update).status is Status.APPLIED and world.course(MARISOL).discharge is not None


def test_10_a_cancelled_discharge_stops_the_clock_and_the_next_one_starts_a_new_one(world: World) -> None:
    world.register(MARISOL)
    world.deliver(a01(), a03(), a13())
    course = world.course(MARISOL)
    assert course.discharge is None
    assert course.admission is not None
    assert course.discharges[-1].stop_reason == "discharge_cancelled"
    world.deliver(a03(control_id="DIS-2", sent="20260310161000", discharged="20260310160500"))
    course = world.course(MARISOL)
    assert course.discharge is not None
    assert course.discharge.at == utc(2026, 3, 10, 23, 5)
    assert len(course.discharges) == 2
    assert len(world.facts("stay-")) == 4


def test_11_a_cancellation_before_its_admission_is_parked_in_the_stay(world: World) -> None:
    world.register(MARISOL)
    (cancelled,) = world.deliver(a11())
    assert cancelled.status is Status.APPLIED
    assert world.course(MARISOL).admissions == ()
    world.deliver(a01())
    course = world.course(MARISOL)
    assert course.cancelled
    assert course.admission is None


def test_12_a_cancelled_admission_keeps_both_messages(world: World) -> None:
    world.register(MARISOL)
    rows = world.deliver(a01(), a11())
    assert [row.status for row in rows] == [Status.APPLIED] * 2
    assert world.course(MARISOL).cancelled
    assert [world.caused(row)[0] for row in rows] == ["stay.member-admitted", "stay.admission-cancelled"]


@pytest.mark.parametrize(
    "messages",
    [(a01(), a03(disposition="20")), (a01(), a03(disposition="41")), (a01(), a03(), a08(disposition="20"))],
    ids=["died here", "died in a facility", "said later"],
)
def test_13_a_death_reaches_the_members_own_stream(world: World, messages: tuple[str, ...]) -> None:
    world.register(MARISOL)
    rows = world.deliver(*messages)
    course = world.course(MARISOL)
    assert course.death is not None
    assert course.discharge is not None
    assert course.discharge.way is Way.EXPIRED
    death = world.member(MARISOL).death()
    assert death is not None
    assert death[1] == utc(2026, 3, 10, 22, 30)
    assert world.caused(rows[-1])[-1] == "member.death-reported"


def test_13b_a_report_of_death_that_was_withdrawn_is_not_repeated(world: World) -> None:
    world.register(MARISOL)
    world.deliver(a03(disposition="20"))
    death = world.member(MARISOL).death()
    assert death is not None
    supervisor = world.staff(Role.SUPERVISOR)
    world.clock.advance(timedelta(hours=1))
    withdrawn = WithdrawDeathReport(stream=world.member_of(MARISOL), by=supervisor, report=death[0], reason="another patient")
    assert isinstance(world.gateway.handle(withdrawn, command_id=uuid4()), Accepted)
    world.deliver(a08())
    assert world.member(MARISOL).death() is None


def test_13c_a_death_indicator_outweighs_the_disposition_and_somebody_looks(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(death="Y"))
    assert "death_contradicts_disposition" in row.flags
    assert (row.status, row.reason) == (Status.WAITING, "death_contradicted")
    assert world.course(MARISOL).death is not None


def test_13d_a_death_that_an_update_of_an_outpatient_visit_tells_of_is_heard(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a08(stay_class="O", death="Y"))
    assert row.status is Status.APPLIED and world.member(MARISOL).death() is not None


@pytest.mark.parametrize(
    "said", [{"discharged": "20260310", "disposition": "20"}, {"death": "Y", "recorded": "20290310153000", "discharged": ""}]
)
def test_13e_contact_ends_when_the_hospital_tells_of_the_death_whatever_its_time(world: World, said: dict[str, str]) -> None:
    world.register(MARISOL)
    world.deliver(a03(**said) if "disposition" in said else a08(**said))
    death = world.member(MARISOL).death()
    assert death is not None and death[1] == world.clock.now()


def test_13f_a_death_is_what_pid_30_says_and_pid_29_says_when(world: World) -> None:
    world.register(MARISOL)
    assert notification(a01(died_at="99991231")).died is None
    alive = notification(a01(died_at="20260309120000", death="N"))
    assert (alive.died, alive.died_at) == (False, None)
    assert notification(a01(died_at="20260309120000")).died is True
    world.deliver(a08(died_at="20260309120000", death="Y"))
    death = world.member(MARISOL).death()
    assert death is not None and death[1] == utc(2026, 3, 9, 19)


@pytest.mark.parametrize(
    ("told", "taken_back"),
    [
        (a08(death="Y"), a08(control_id="BACK", sent="20260310161000", death="N")),
        (a08(death="Y"), a08(control_id="BACK", sent="20260310161000", death='""')),
        (a03(disposition="20"), a08(control_id="BACK", sent="20260310161000", disposition='""')),
        (a03(death="Y", disposition=""), a13(control_id="BACK", sent="20260310161000", death="N")),
    ],
    ids=["indicator", "indicator deleted", "disposition deleted", "discharge cancelled"],
)
def test_13g_a_death_that_an_update_takes_back_is_somebody_s_to_withdraw(world: World, told: str, taken_back: str) -> None:
    world.register(MARISOL)
    first, second = world.deliver(told, taken_back)
    assert first.status is Status.APPLIED
    assert (second.status, second.reason) == (Status.WAITING, "death_taken_back")
    assert world.course(MARISOL).death is None


@pytest.mark.parametrize("told", [adt("A31", death="Y"), a08(death="Y"), a03(disposition="20")], ids=["A31", "A08", "A03"])
@pytest.mark.parametrize("said", ["N", '""'])
def test_13h_a_death_that_a_word_about_the_person_takes_back_is_somebody_s_to_withdraw(world: World, told: str, said: str) -> None:
    world.register(MARISOL)
    first, second = world.deliver(told, adt("A31", control_id="BACK", sent="20260310161000", death=said))
    assert first.status is Status.APPLIED
    assert (second.status, second.reason) == (Status.WAITING, "death_taken_back")
    assert second.proposed == [world.member_of(MARISOL)]
    assert world.member(MARISOL).death() is not None


def test_13i_a_person_who_never_was_reported_dead_lives_without_anybody_s_look(world: World) -> None:
    world.register(MARISOL)
    before, died = world.deliver(
        adt("A31", control_id="LIVES", death="N"), adt("A31", control_id="DIED", sent="20260310161000", death="Y")
    )
    (late,) = world.deliver(adt("A31", control_id="LATE", sent="20260310155000", death="N"))
    assert [row.status for row in (before, died, late)] == [Status.APPLIED] * 3


def test_14_still_a_patient_is_no_discharge_but_something_to_look_at(world: World) -> None:
    world.register(MARISOL)
    _, row = world.deliver(a01(), a03(disposition="30"))
    assert (row.status, row.reason) == (Status.WAITING, "still_a_patient")
    course = world.course(MARISOL)
    assert course.discharge is None
    assert [doubt.code for doubt in course.doubts] == ["still_a_patient"]
    world.deliver(a03(control_id="DIS-2", sent="20260310160000"))
    assert world.course(MARISOL).discharge is not None
    settled = world.door.inbox.show(row.inbox_id).row
    assert (settled.status, settled.reason) == (Status.APPLIED, "settled_by_later_message")


@pytest.mark.parametrize(
    ("said", "code", "flagged"), [("Home w/ family", "", True), ("O", "", True), ("1", "01", False), ("06", "06", False)]
)
def test_15_dispositions_are_kept_verbatim(world: World, said: str, code: str, flagged: bool) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(disposition=said))
    (fact,) = world.facts("stay-")
    assert (fact.disposition, fact.disposition_said) == (code, said)
    assert ("disposition_unmapped" in row.flags) is flagged
    assert world.course(MARISOL).discharge is not None


def test_18_a_message_of_an_unknown_member_waits_for_the_member_file(world: World) -> None:
    (row,) = world.deliver(a03())
    assert (row.status, row.reason) == (Status.UNMATCHED, "no_member_with_this_cin")
    assert {fact.plan for fact in world.facts()} == {"default"}, "nothing but the policy"
    world.clock.advance(timedelta(days=1))
    world.register(MARISOL)
    world.door.worker.work_off()
    shown = world.door.inbox.show(row.inbox_id)
    assert shown.row.status is Status.APPLIED
    assert [t.reason for t in shown.transitions] == ["", "no_member_with_this_cin", "member_became_known", ""]
    discharge = world.course(MARISOL).discharge
    assert discharge is not None
    assert discharge.at == utc(2026, 3, 10, 22, 30)
    (fact,) = world.facts("stay-")
    assert fact.received_at == utc(2026, 3, 10, 23, 30)


def test_18b_a_person_says_whose_message_it_is(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(cin=""))
    assert (row.status, row.reason) == (Status.UNMATCHED, "no_cin")
    assert row.proposed == [world.member_of(MARISOL)]
    supervisor = world.staff(Role.SUPERVISOR)
    world.door.inbox.resolve(row.inbox_id, world.member_of(MARISOL), by=supervisor, now=world.clock.now())
    world.door.worker.work_off()
    shown = world.door.inbox.show(row.inbox_id)
    assert (shown.row.status, shown.row.evidence) == (Status.APPLIED, "by_hand")
    assert [t.by for t in shown.transitions] == ["source:valley-general", "system", supervisor, supervisor]
    (attributed,) = (s.recorded for s in world.opened.log.all() if isinstance(s.recorded.fact, StayAttributed))
    assert attributed.actor == supervisor


def test_18c_whoever_may_not_resolve_it_leaves_it_waiting(world: World) -> None:
    world.register(MARISOL)
    (row,) = world.deliver(a03(cin=""))
    world.door.inbox.resolve(row.inbox_id, world.member_of(MARISOL), by=world.staff(Role.AUDITOR), now=world.clock.now())
    world.door.worker.work_off()
    assert world.door.inbox.show(row.inbox_id).row.reason == "not_authorised"
    assert world.facts("stay-") == []


def test_19_a_contradicted_cin_is_never_attached(world: World) -> None:
    world.register(MARISOL)
    stranger = replace(TOMAS, cin=MARISOL.cin)
    (row,) = world.deliver(a01(person=stranger))  # type: ignore[arg-type]
    assert (row.status, row.reason) == (Status.WAITING, "cin_contradicted")
    assert row.proposed == [world.member_of(MARISOL)]
    assert world.facts("stay-") == []
    card = f"{MARISOL.cin[:9].lower()}3 9180"
    (row,) = world.deliver(a01(control_id="CARD", cin=card))
    assert row.status is Status.APPLIED
    assert row.member == world.member_of(MARISOL)


def test_19b_a_brother_or_a_wife_with_the_member_s_cin_is_not_attached(world: World) -> None:
    world.register(MARISOL)
    sister = replace(MARISOL, mrn="MRN-9", given="Luisa", born="19630101")
    (row,) = world.deliver(a01(person=sister))  # type: ignore[arg-type]
    assert (row.status, row.reason) == (Status.WAITING, "cin_contradicted")
    (row,) = world.deliver(a01(person=replace(MARISOL, born="19630101"), control_id="SLIP"))  # type: ignore[arg-type]
    assert (row.status, row.evidence) == (Status.APPLIED, "cin+name"), "the first name agrees: a slip of the hand"


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.replace("\r", "\n"),
        lambda t: t.replace("\r", "\r\n"),
        lambda t: t.replace("\r", "\r\r"),
        lambda t: "\ufeff" + t,
        lambda t: t.rstrip("\r"),
        lambda t: t.replace("\r", "  \r"),
        lambda t: t + "\0",
    ],
    ids=["lf", "crlf", "double-cr", "bom", "no-final-cr", "trailing-blanks", "nul"],
)
def test_20_damaged_line_ends_say_the_same(world: World, damage) -> None:  # type: ignore[no-untyped-def]
    assert notification(damage(a03())) == notification(a03())
    world.register(MARISOL)
    (row,) = world.deliver(damage(a03()))
    assert row.status is Status.APPLIED
    assert world.door.inbox.raw(row.inbox_id) == damage(a03()).encode()


@pytest.mark.parametrize("batch", [("FHS|^~\\&\rBHS|^~\\&\r", "BTS|3\rFTS|1\r"), ("", "")], ids=["batch", "glued together"])
def test_20b_of_several_messages_in_one_frame_each_is_worked_off(world: World, batch: tuple[str, str]) -> None:
    world.register(MARISOL, TOMAS)
    latin = a03(person=TOMAS, visit="V-2", control_id="B", charset="8859/1").replace("Tomas", "Tomás")  # type: ignore[arg-type]
    merged = adt("A40", control_id="C").replace(
        "PV1|", "MRG|OLD-1^^^VGH^MR\rPID|1||MRN-2002^^^VGH^MR||X^Y\rMRG|OLD-2^^^VGH^MR\rPV1|"
    )
    whole = batch[0].encode() + a03(control_id="A").encode() + latin.encode("iso-8859-1") + merged.encode() + batch[1].encode()
    (answer,) = world.send(whole)
    assert answer.split("\r")[1] == "MSA|AA|A"
    world.door.worker.work_off()
    assert world.course(MARISOL).discharge is not None and world.course(TOMAS).discharge is not None
    (row,) = (row for row in world.rows() if row.part_of is None)
    assert len(world.door.inbox.find(part_of=row.inbox_id)) == 4, "two visits, and a merge of two patients"
    assert world.door.inbox.raw(row.inbox_id) == whole


def test_21_one_name_in_three_encodings(world: World) -> None:
    jose = replace(MARISOL, family="JOSÉ")
    world.register(replace(jose, family="José"))
    declared = a01(person=jose, control_id="L1", charset="8859/1").encode("iso-8859-1")  # type: ignore[arg-type]
    undeclared = a01(person=jose, control_id="L2").encode("iso-8859-1")  # type: ignore[arg-type]
    utf8 = a01(person=jose, control_id="L3", charset="UNICODE UTF-8").encode()  # type: ignore[arg-type]
    rows = world.deliver(declared, undeclared, utf8)
    assert [notification(raw).member.family_name for raw in (declared, undeclared, utf8)] == ["JOSÉ"] * 3
    assert ["charset_guessed" in row.flags for row in rows] == [False, True, False]
    assert {row.evidence for row in rows} == {"cin+birth_date+name"}


def test_25_what_is_not_for_us_is_answered_kept_and_not_acted_on(world: World) -> None:
    world.register(MARISOL)
    oru = "MSH|^~\\&|LAB|VALLEYGEN|T|E|20260310160000||ORU^R01|R-1|P|2.5.1\rPID|1\r"
    answers = world.send("good morning", oru, a01(processing="T"), adt("A60", control_id="ALG"))
    assert [a.split("\r")[1] for a in answers] == ["MSA|AR|", "MSA|AR|R-1", "MSA|AA|ADM-1", "MSA|AA|ALG"]
    world.door.worker.work_off()
    assert [(row.status.value, row.reason) for row in reversed(world.rows())] == [
        ("dead", "not_hl7"),
        ("ignored", "type_not_taken"),
        ("ignored", "not_production"),
        ("ignored", "trigger_not_modelled"),
    ]
    assert world.door.inbox.raw(world.rows()[-1].inbox_id) == b"good morning"
    assert world.facts("stay-") == []
