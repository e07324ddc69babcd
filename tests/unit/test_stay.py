"""A stay is what its statements add up to, whenever they arrive (messages.md 1.1, 1.3 and decision 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations

import pytest

from domain.core import Recorded
from domain.stay.course import WAY_OF, Course, Way, way_of
from domain.stay.decider import (
    STATEMENTS_MAX,
    CancelAdmission,
    CancelDischarge,
    EnterAdmission,
    EnterDischarge,
    RecordStatement,
    Stay,
    evolve,
)
from domain.stay.facts import (
    AdmissionCancelled,
    AnnouncementWithdrawn,
    DischargeCancelled,
    LeaveBegun,
    LeaveEnded,
    MemberAdmitted,
    MemberDischarged,
    MemberMoved,
    Move,
    MoveAnnounced,
    MoveCancelled,
    StayClass,
    StayDescribed,
    StayStatement,
    VisitBecame,
    order_of,
)
from intake.reading.dispositions import disposition_table
from tests.given import LEAD, MEMBER, NURSE, STAY, Story, at, given, told

MONDAY = "2026-11-16 09:00 PST"
FRIDAY = "2026-11-20 14:00 PST"


def admitted(when: str = MONDAY, said: str | None = None, **more: object) -> MemberAdmitted:
    statement = MemberAdmitted(
        order="",
        received_at=at(said or when),
        source="mercy",
        facility="mercy",
        stay_class=StayClass.INPATIENT,
        admitted_at=at(when),
    )
    return _said(replace(statement, **more), said or when)  # type: ignore[arg-type]


def discharged(when: str = FRIDAY, said: str | None = None, **more: object) -> MemberDischarged:
    statement = MemberDischarged(
        order="", received_at=at(said or when), source="mercy", facility="mercy", discharged_at=at(when), disposition="01"
    )
    return _said(replace(statement, **more), said or when)  # type: ignore[arg-type]


def described(said: str, **more: object) -> StayDescribed:
    statement = StayDescribed(order="", received_at=at(said), source="mercy", facility="mercy")
    return _said(replace(statement, **more), said)  # type: ignore[arg-type]


def admission_cancelled(said: str) -> AdmissionCancelled:
    return _said(AdmissionCancelled(order="", received_at=at(said), source="mercy"), said)


def discharge_cancelled(said: str) -> DischargeCancelled:
    return _said(DischargeCancelled(order="", received_at=at(said), source="mercy"), said)


def became(stay_class: StayClass, when: str, **more: object) -> VisitBecame:
    statement = VisitBecame(
        order="", received_at=at(when), source="mercy", facility="mercy", stay_class=stay_class, changed_at=at(when)
    )
    return _said(replace(statement, **more), when)  # type: ignore[arg-type]


def said_again(statement: VisitBecame, said: str) -> VisitBecame:
    return _said(replace(statement, received_at=at(said)), said)  # type: ignore[return-value]


def moved(location: str, when: str) -> MemberMoved:
    statement = MemberMoved(order="", received_at=at(when), source="mercy", facility="mercy", moved_at=at(when), location=location)
    return _said(statement, when)  # type: ignore[return-value]


def move_cancelled(when: str) -> MoveCancelled:
    return _said(MoveCancelled(order="", received_at=at(when), source="mercy"), when)  # type: ignore[return-value]


def announced(move: Move, when: str, on: str | None = None) -> MoveAnnounced:
    day = date.fromisoformat(on) if on else None
    statement = MoveAnnounced(order="", received_at=at(when), source="mercy", facility="mercy", move=move, expected_on=day)
    return _said(statement, when)  # type: ignore[return-value]


def called_off(move: Move, when: str) -> AnnouncementWithdrawn:
    return _said(AnnouncementWithdrawn(order="", received_at=at(when), source="mercy", move=move), when)  # type: ignore[return-value]


def on_leave(when: str) -> LeaveBegun:
    return _said(LeaveBegun(order="", received_at=at(when), source="mercy", facility="mercy", left_at=at(when)), when)  # type: ignore[return-value]


def back(when: str) -> LeaveEnded:
    return _said(LeaveEnded(order="", received_at=at(when), source="mercy", facility="mercy", back_at=at(when)), when)  # type: ignore[return-value]


def _said(statement: StayStatement, said: str) -> object:  # type: ignore[misc]
    return replace(statement, order=order_of(at(said), statement.received_at, type(statement).__name__, ""))


def course(*statements: StayStatement) -> Course:
    """What the statements add up to in this order of arrival; an event's id goes with the statement, not with its place."""
    state = Stay()
    for place, statement in enumerate(statements):
        event_id = f"event {statement.order}"
        said_at = statement.received_at
        recorded = Recorded(statement, event_id, STAY, place + 1, place + 1, said_at, said_at, said_at, "source:mercy")
        state = evolve(state, recorded)
    return state.course()


@pytest.mark.parametrize(
    "statements",
    [
        (admitted(), discharged(), discharge_cancelled("2026-11-20 18:00 PST"), discharged("2026-11-23 10:00 PST")),
        (admitted(), discharged(), described("2026-11-20 18:00 PST", discharged_at=at("2026-11-20 09:00 PST"), disposition="03")),
        (admitted(), discharged(), admission_cancelled("2026-11-21 09:00 PST"), admitted("2026-11-22 09:00 PST")),
        (admitted(), described("2026-11-17 09:00 PST", admitted_at=at("2026-11-15 22:00 PST")), discharged(),
         discharged(said="2026-11-20 15:00 PST", disposition="20")),
        (discharged(disposition="30"), discharged("2026-11-21 10:00 PST"), admitted(),
         described("2026-11-22 09:00 PST", died=True)),
        (admitted(stay_class=StayClass.EMERGENCY, location="ED^4"),
         became(StayClass.INPATIENT, "2026-11-16 15:00 PST", location="3W^301"),
         moved("ICU^2", "2026-11-17 03:00 PST"), move_cancelled("2026-11-17 04:00 PST"), discharged()),
        (announced(Move.ADMISSION, "2026-11-10 09:00 PST", "2026-11-16"), admitted(),
         announced(Move.DISCHARGE, "2026-11-18 09:00 PST", "2026-11-19"),
         called_off(Move.DISCHARGE, "2026-11-19 09:00 PST"), on_leave("2026-11-19 10:00 PST"), back("2026-11-19 20:00 PST")),
        (became(StayClass.OBSERVATION, "2026-11-17 09:00 PST"), admitted(), admission_cancelled("2026-11-18 09:00 PST"),
         became(StayClass.INPATIENT, "2026-11-19 09:00 PST"), discharged()),
    ],
)  # fmt: skip
def test_every_order_of_arrival_adds_up_to_the_same_stay(statements: tuple[StayStatement, ...]) -> None:
    expected = course(*statements)
    for arrival in permutations(statements):
        assert course(*arrival) == expected


def test_an_emergency_visit_that_became_an_admission_is_one_stay_that_began_at_its_door() -> None:
    arrived = admitted("2026-11-16 09:00 PST", stay_class=StayClass.EMERGENCY, location="ED^4")
    upstairs = became(StayClass.INPATIENT, "2026-11-16 15:00 PST", admitted_at=at("2026-11-16 15:00 PST"), location="3W^301")
    for arrival in permutations((arrived, upstairs)):
        both = course(*arrival)
        assert len(both.admissions) == 1 and both.admissions[0].at == at("2026-11-16 09:00 PST")
        assert both.stay_class is StayClass.INPATIENT and both.was_emergency and both.location == "3W^301"
        assert [c.since for c in both.classes] == [at("2026-11-16 09:00 PST"), at("2026-11-16 15:00 PST")]


def test_a_visit_that_became_something_opens_a_stay_of_which_nothing_was_heard() -> None:
    only = course(became(StayClass.INPATIENT, MONDAY))
    assert only.admission is not None and only.admission.at == at(MONDAY)


def test_who_gets_a_bed_after_the_emergency_room_let_them_go_is_still_there() -> None:
    arrived = admitted("2026-11-16 22:00 PST", stay_class=StayClass.EMERGENCY)
    let_go = discharged("2026-11-17 02:00 PST")
    upstairs = became(StayClass.INPATIENT, "2026-11-17 04:00 PST")
    for arrival in permutations((arrived, let_go, upstairs)):
        there = course(*arrival)
        assert there.discharge is None and there.admission is not None
        assert [(d.at, d.stop_reason) for d in there.discharges] == [(at("2026-11-17 02:00 PST"), "became_inpatient")]
    home = discharged("2026-11-18 11:00 PST")
    again = said_again(upstairs, "2026-11-19 09:00 PST")
    for arrival in permutations((arrived, let_go, upstairs, home, again)):
        gone = course(*arrival).discharge
        assert gone is not None and gone.at == at("2026-11-18 11:00 PST"), "the change said once more brings nobody back"


def test_a_change_of_class_that_lies_before_the_discharge_leaves_it_alone() -> None:
    home = discharged("2026-11-17 12:00 PST", "2026-11-17 12:00 PST")
    late = said_again(became(StayClass.INPATIENT, "2026-11-17 04:00 PST"), "2026-11-17 13:00 PST")
    gone = course(admitted("2026-11-16 22:00 PST", stay_class=StayClass.EMERGENCY), home, late)
    assert gone.discharge is not None and gone.stay_class is StayClass.INPATIENT


def test_a_cancelled_move_brings_the_member_back_to_where_they_were_and_no_further() -> None:
    here = admitted(location="3W^301")
    there = moved("ICU^2", "2026-11-17 03:00 PST")
    assert course(here, there).location == "ICU^2"
    assert course(here, there, move_cancelled("2026-11-17 04:00 PST")).location == "3W^301"
    assert course(here, move_cancelled("2026-11-17 04:00 PST")).location == "3W^301"


def test_a_move_within_a_stay_that_nobody_opened_makes_somebody_look_until_somebody_does() -> None:
    there = moved("ICU^2", "2026-11-17 03:00 PST")
    assert [doubt.code for doubt in course(there, moved("3W^1", "2026-11-17 09:00 PST")).doubts] == ["moved_before_admission"]
    for arrival in permutations((admitted(), there)):
        assert course(*arrival).doubts == () and course(*arrival).location == "ICU^2"
    assert course(there, discharged()).doubts == () == course(there, move_cancelled("2026-11-17 04:00 PST")).doubts


def test_what_is_announced_starts_nothing_and_goes_when_it_happens_or_is_called_off() -> None:
    planned = course(announced(Move.ADMISSION, "2026-11-10 09:00 PST", "2026-11-16"))
    assert planned.admissions == () and [a.move for a in planned.announced] == [Move.ADMISSION]
    assert course(announced(Move.ADMISSION, "2026-11-10 09:00 PST", "2026-11-16"), admitted()).announced == ()
    leaving = announced(Move.DISCHARGE, "2026-11-18 09:00 PST", "2026-11-19")
    assert course(admitted(), leaving).discharge is None
    assert course(admitted(), leaving).expected_discharge_on == date(2026, 11, 19)
    assert course(admitted(), leaving, called_off(Move.DISCHARGE, "2026-11-19 09:00 PST")).expected_discharge_on is None
    assert course(admitted(), leaving, discharged()).announced == ()


def test_a_leave_is_no_discharge() -> None:
    away = course(admitted(), on_leave("2026-11-19 10:00 PST"))
    assert away.discharges == () and away.on_leave_since == at("2026-11-19 10:00 PST")
    assert course(admitted(), on_leave("2026-11-19 10:00 PST"), back("2026-11-19 20:00 PST")).on_leave_since is None
    assert course(admitted(), on_leave("2026-11-19 10:00 PST"), discharged()).on_leave_since is None


def test_the_same_statement_folded_twice_counts_once() -> None:
    assert course(admitted(), discharged(), discharged()) == course(admitted(), discharged())


def test_a_discharge_before_its_admission_makes_a_stay_that_is_over() -> None:
    only = course(discharged())
    assert only.admission is not None and only.admission.at is None
    assert only.discharge is not None and only.discharge.at == at(FRIDAY)
    both = course(discharged(), admitted())
    assert both.admission is not None and both.admission.at == at(MONDAY)
    assert both.discharge is not None and both.discharge.at == at(FRIDAY)


def test_a_correction_wins_over_a_delayed_original() -> None:
    correction = discharged("2026-11-20 09:00 PST", said="2026-11-20 18:00 PST")
    original = discharged("2026-11-20 10:00 PST", said="2026-11-20 10:00 PST")
    left = course(admitted(), correction, original).discharge
    assert left is not None and left.at == at("2026-11-20 09:00 PST")


@pytest.mark.parametrize("said", ["2026-10-01 09:00 PDT", "2026-11-20 16:30 PST"])
def test_a_statement_whose_time_cannot_be_believed_ranks_below_all_that_can(said: str) -> None:
    """MSH-7 more than 30 days before the receipt, or more than an hour after it."""
    received = at("2026-11-20 15:00 PST")
    odd = order_of(at(said), received, "z", "z")
    assert odd < order_of(at("2026-11-01 09:00 PST"), received, "a", "a")
    assert order_of(None, received, "z", "z") < order_of(at("2026-11-19 09:00 PST"), received, "a", "a")


def test_an_update_never_opens_closes_or_reopens() -> None:
    assert course(described(FRIDAY, discharged_at=at(FRIDAY))).admissions == ()
    open_still = course(admitted(), described(FRIDAY, discharged_at=at(FRIDAY)))
    assert open_still.discharge is None
    cancelled = course(
        admitted(),
        discharged(),
        discharge_cancelled("2026-11-20 18:00 PST"),
        described("2026-11-20 19:00 PST", discharged_at=at(FRIDAY)),
    )
    assert cancelled.discharge is None and len(cancelled.discharges) == 1


def test_a_discharge_that_only_an_update_tells_of_makes_somebody_look() -> None:
    told_ = described("2026-11-20 16:00 PST", discharged_at=at(FRIDAY), disposition="01")
    here = course(admitted(), told_)
    assert here.discharge is None and [doubt.code for doubt in here.doubts] == ["discharge_only_described"]
    for arrival in permutations((admitted(), told_, discharged(FRIDAY, "2026-11-20 17:00 PST"))):
        assert course(*arrival).doubts == () and course(*arrival).discharge is not None
    assert course(admitted(), told_, discharge_cancelled("2026-11-20 17:00 PST")).doubts == ()
    assert course(admitted(), described(FRIDAY, discharged_at=at("2026-11-24 09:00 PST"))).doubts == (), "what is expected"
    assert course(told_).doubts == (), "of a stay that nobody opened: long ago, for all we know"


def test_a_cancelled_discharge_stays_visible_with_the_instant_of_its_cancellation() -> None:
    told_all = course(admitted(), discharged(), discharge_cancelled("2026-11-20 18:00 PST"), discharged("2026-11-23 10:00 PST"))
    first, second = told_all.discharges
    assert (first.at, first.stopped_at, first.stop_reason) == (at(FRIDAY), at("2026-11-20 18:00 PST"), "discharge_cancelled")
    assert (second.at, second.stopped_at) == (at("2026-11-23 10:00 PST"), None)
    assert second.after == first.stopped_by


@pytest.mark.parametrize(
    ("first", "second"), [("999", "1000"), ("MSG-9-A", "MSG-10-A"), ("0009", "0010"), ("09", "010"), ("A", "B")]
)
def test_of_two_that_were_said_in_the_same_minute_the_later_number_counts(first: str, second: str) -> None:
    said = "2026-11-20 14:05 PST"
    left = replace(discharged(FRIDAY, said), order=order_of(at(said), at(said), first, "ff"))
    back = replace(discharge_cancelled(said), order=order_of(at(said), at(said), second, "00"))
    for arrival in permutations((admitted(), left, back)):
        assert course(*arrival).discharge is None and course(*arrival).discharges[-1].stopped_by is not None


@pytest.mark.parametrize(("happens", "counts"), [("2029-11-20 18:00 PST", "2026-11-20 18:00 PST"), ("2026-11-21 09:00 PST",) * 2])
def test_a_cancellation_dated_far_ahead_counts_from_when_it_was_heard(happens: str, counts: str) -> None:
    """Recorders' clocks say 2029; up to a day ahead an event counts from its instant (messages.md 1.4)."""
    state = Stay()
    for n, statement in enumerate((admitted(), discharged(), discharge_cancelled("2026-11-20 18:00 PST")), start=1):
        heard = statement.received_at
        at_ = at(happens) if isinstance(statement, DischargeCancelled) else heard
        state = evolve(state, Recorded(statement, f"event {n}", STAY, n, n, at_, heard, heard, "source:mercy"))
    assert [d.stopped_at for d in state.course().discharges] == [at(counts)]


def test_a_cancellation_of_the_admission_takes_the_discharge_with_it() -> None:
    gone = course(admitted(), discharged(), admission_cancelled("2026-11-21 09:00 PST"))
    assert gone.cancelled and gone.discharge is None
    assert gone.discharges[0].stop_reason == "admission_cancelled"


def test_a_discharge_that_repeats_what_was_said_gives_no_new_cause() -> None:
    once = course(admitted(), discharged()).discharge
    twice = course(admitted(), discharged(), discharged(said="2026-11-20 15:00 PST")).discharge
    assert once is not None and twice is not None and twice.cause == once.cause


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ((admitted(), discharged(disposition="30")), "still_a_patient"),
        ((admitted(), discharged("2026-11-15 10:00 PST", said=FRIDAY)), "discharge_before_admission"),
        ((admitted(), discharged("2026-11-22 14:00 PST", said=FRIDAY)), "discharge_ahead"),
        ((admitted("2026-11-18 09:00 PST", said=MONDAY),), "admission_ahead"),
        ((admitted(), admission_cancelled("2026-11-17 09:00 PST"), discharged()), "discharged_after_cancellation"),
        ((admitted(), discharged(), described("2026-11-21 09:00 PST", died=True)), "death_contradicted"),
    ],
)
def test_a_contradiction_waits_for_review(statements: tuple[StayStatement, ...], code: str) -> None:
    assert [doubt.code for doubt in course(*statements).doubts] == [code]


@pytest.mark.parametrize("code", ["still_a_patient", "discharge_before_admission", "discharge_ahead"])
def test_a_doubtful_discharge_does_not_count_until_it_is_corrected(code: str) -> None:
    doubtful = {
        "still_a_patient": discharged(disposition="30"),
        "discharge_before_admission": discharged("2026-11-15 10:00 PST", said=FRIDAY),
        "discharge_ahead": discharged("2026-11-22 14:00 PST", said=FRIDAY),
    }[code]
    assert course(admitted(), doubtful).discharge is None
    corrected = course(admitted(), doubtful, discharged("2026-11-20 16:00 PST"))
    assert corrected.discharge is not None and corrected.doubts == ()


def test_a_discharge_less_than_a_day_ahead_counts_from_its_instant() -> None:
    ahead = course(admitted(), discharged("2026-11-21 10:00 PST", said=FRIDAY))
    assert ahead.discharge is not None and ahead.doubts == ()


@pytest.mark.parametrize("disposition", ["20", "40", "41", "42"])
def test_an_expired_disposition_is_a_death_also_when_it_comes_late(disposition: str) -> None:
    at_once, late = (
        course(admitted(), discharged(disposition=disposition)),
        course(admitted(), discharged(), described("2026-11-21 09:00 PST", disposition=disposition)),
    )
    for died in (at_once, late):
        assert died.death is not None and died.death.at == at(FRIDAY)
    corrected = course(admitted(), discharged(disposition=disposition), described("2026-11-21 09:00 PST", disposition="01"))
    assert corrected.death is None


def test_a_death_lies_before_the_message_that_tells_of_it() -> None:
    heard = "2026-11-20 14:05 PST"
    day_only = discharged(
        FRIDAY, heard, discharged_at=at("2026-11-21 00:00 PST"), discharged_on=date(2026, 11, 20), disposition="20"
    )
    ahead = described(heard, discharged_at=at("2029-11-20 09:00 PST"), died=True)
    for told_ in (course(admitted(), day_only), course(admitted(), ahead)):
        assert told_.death is not None and told_.death.at == at(heard)


def test_every_code_of_the_table_leads_somewhere() -> None:
    assert set(WAY_OF) == disposition_table().codes
    assert way_of("") is Way.UNMAPPED
    assert way_of("88") is way_of("43") and way_of("95") is way_of("70")


# --- by hand, and as commands ----------------------------------------------------------------------------------------------------


def at_work() -> Story:
    return Story("2026-11-20 15:00 PST")


def test_a_statement_that_is_known_is_harmless() -> None:
    story = at_work()
    record = RecordStatement(stream=STAY, by="source:mercy", occurred_at=at(FRIDAY), statement=discharged())
    assert len(story.do(record)) == 1
    again = replace(record, statement=replace(record.statement, received_at=at("2026-11-20 15:01 PST"), source="exchange"))
    assert story.do(again) == ()


def test_a_stay_takes_only_so_many_statements() -> None:
    first = at(MONDAY)
    many = (
        told(STAY, replace(admitted(), order=f"1|{n:05}", received_at=first + timedelta(minutes=n)), MONDAY)
        for n in range(STATEMENTS_MAX)
    )
    record = RecordStatement(stream=STAY, by="source:mercy", statement=discharged())
    given(*many).when(record, "2026-11-20 15:00 PST").refused("too_many_statements")


def test_a_phoned_discharge_with_a_day_only_counts_from_the_end_of_the_day() -> None:
    story = at_work()
    story.do(EnterAdmission(stream=STAY, by=LEAD, facility="jail", stay_class=StayClass.JAIL, admitted_on=date(2026, 11, 10)))
    story.do(EnterDischarge(stream=STAY, by=LEAD, discharged_on=date(2026, 11, 19), disposition="01"))
    told_by_hand = story.memory.load(STAY).state.course()
    assert told_by_hand.admission.at == at("2026-11-10 00:00 PST")
    assert told_by_hand.discharge.at == at("2026-11-19 24:00 PST")
    assert told_by_hand.discharge.day == date(2026, 11, 19)


def test_a_stay_entered_for_a_member_is_attributed_in_the_same_breath() -> None:
    story = at_work()
    story.do(
        EnterAdmission(
            stream=STAY, by=LEAD, facility="seaview", stay_class=StayClass.NURSING_FACILITY, admitted_at=at(MONDAY), member=MEMBER
        )
    )
    assert STAY in story.memory.load(MEMBER).state.stays  # fmt: skip


def test_what_was_entered_by_hand_is_taken_back_by_hand() -> None:
    story = at_work()
    entered = {"facility": "seaview", "stay_class": StayClass.NURSING_FACILITY, "admitted_at": at(MONDAY)}
    story.do(EnterAdmission(stream=STAY, by=LEAD, **entered))
    story.do(EnterDischarge(stream=STAY, by=LEAD, discharged_at=at(FRIDAY)))
    story.memory.now = at("2026-11-20 16:00 PST")
    story.do(CancelDischarge(stream=STAY, by=NURSE))
    assert story.memory.load(STAY).state.course().discharge is None
    assert story.do(CancelDischarge(stream=STAY, by=NURSE)) == ()
    story.memory.now = at("2026-11-20 17:00 PST")
    story.do(CancelAdmission(stream=STAY, by=NURSE))
    assert story.memory.load(STAY).state.course().cancelled
    assert story.do(CancelAdmission(stream=STAY, by=NURSE)) == ()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (EnterAdmission(stream=STAY, by=LEAD, facility="f", stay_class=StayClass.JAIL), "time_missing"),
        (EnterAdmission(stream=STAY, by=LEAD, facility="", stay_class=StayClass.JAIL, admitted_at=at(MONDAY)), "facility_missing"),
        (EnterAdmission(stream=STAY, by=LEAD, facility="f", stay_class=StayClass.JAIL, admitted_at=at("2026-11-21 09:00 PST")),
         "time_ahead"),
        (EnterDischarge(stream=STAY, by=LEAD, facility="f"), "time_missing"),
        (EnterDischarge(stream=STAY, by=LEAD, facility="f", discharged_at=at("2026-11-22 09:00 PST")), "time_ahead"),
        (EnterDischarge(stream=STAY, by=LEAD, facility="f", discharged_at=at(FRIDAY), disposition="77"), "disposition_unknown"),
        (EnterDischarge(stream=STAY, by=LEAD, facility="f", discharged_at=at(FRIDAY), disposition="30"), "no_discharge"),
        (EnterDischarge(stream=STAY, by=LEAD, discharged_at=at(FRIDAY)), "facility_missing"),
        (EnterDischarge(stream=STAY, by=LEAD, facility="f", discharged_at=at(FRIDAY), member="member-x"), "unknown_member"),
        (EnterAdmission(stream=STAY, by="staff-nobody", facility="f", stay_class=StayClass.JAIL, admitted_at=at(MONDAY)),
         "actor_unknown"),
    ],
)  # fmt: skip
def test_a_refusal_says_why(command: EnterAdmission | EnterDischarge, code: str) -> None:
    assert at_work().refused(command) == code
