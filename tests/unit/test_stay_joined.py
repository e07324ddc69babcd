"""Two visit numbers, one visit: whatever is known of either, and whenever the hospital says that they are one, the stay that goes
on tells the same (messages.md 1.1: A06 with a prior visit, A44, A45, A47)."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.core import Command, Instant, Refusal
from domain.stay.course import Course
from domain.stay.decider import JOINED_STATEMENTS_MAX, EnterDischarge, JoinStay, RecordStatement
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    LeaveBegun,
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
from simulation.memory import Memory
from tests.given import at, book

OLD, NEW, NEWEST = "stay-old", "stay-new", "stay-newest"
FEED = "source:mercy"
HEARD = at("2026-11-25 12:00 PST")


def rank(said_at: Instant, tag: str) -> dict[str, object]:
    return {"order": order_of(said_at, HEARD, tag, tag), "received_at": HEARD, "source": "mercy", "facility": "mercy"}


def says(stream: str, statement: StayStatement, when: Instant) -> RecordStatement:
    return RecordStatement(stream=stream, by=FEED, occurred_at=when, said_at=when, statement=statement)


def join(survivor: str, other: str) -> JoinStay:
    return JoinStay(stream=survivor, by=FEED, other=other, source="mercy", trigger="A45")


def came(stream: str, when: str, stay_class: StayClass = StayClass.EMERGENCY) -> RecordStatement:
    return says(stream, MemberAdmitted(**rank(at(when), f"in {when}"), stay_class=stay_class, admitted_at=at(when)), at(when))  # type: ignore[arg-type]


def left(stream: str, when: str) -> RecordStatement:
    return says(stream, MemberDischarged(**rank(at(when), f"out {when}"), discharged_at=at(when), disposition="01"), at(when))  # type: ignore[arg-type]


def not_left(stream: str, when: str) -> RecordStatement:
    return says(stream, DischargeCancelled(**rank(at(when), f"back {when}")), at(when))  # type: ignore[arg-type]


def became(stream: str, when: str) -> RecordStatement:
    statement = VisitBecame(**rank(at(when), f"became {when}"), stay_class=StayClass.INPATIENT, changed_at=at(when))  # type: ignore[arg-type]
    return says(stream, statement, at(when))


def after(*commands: Command) -> Memory:
    memory = Memory(book(), HEARD)
    for command in commands:
        decision = memory.handle(command)
        assert not isinstance(decision, Refusal), decision
        memory.now += timedelta(minutes=1)
    return memory


def told(memory: Memory, stream: str = OLD) -> tuple[object, ...]:
    """What the stay tells, without the ids of events: those of what was taken over are new."""
    course: Course = memory.load(stream).state.course()
    return (
        course.facility, course.stay_class, course.location, course.expected_discharge_on, course.on_leave_since,
        course.was_emergency,
        [(a.at, a.stopped_at) for a in course.admissions],
        [(d.at, d.disposition, d.stopped_at, d.stop_reason, d.doubt) for d in course.discharges],
        [(c.stay_class, c.since) for c in course.classes], [(p.location, p.since) for p in course.places],
        course.death is not None, sorted(d.code for d in course.doubts), [(a.move, a.expected_on) for a in course.announced],
    )  # fmt: skip


def test_every_order_of_arrival_tells_the_same_stay_the_joining_included() -> None:
    said = (
        came(OLD, "2026-11-16 09:00 PST"),
        became(NEW, "2026-11-16 15:00 PST"),
        join(OLD, NEW),
        left(NEW, "2026-11-20 14:00 PST"),
        not_left(NEW, "2026-11-20 15:00 PST"),
    )
    expected = told(after(*said))
    for arrival in permutations(said):
        assert told(after(*arrival)) == expected


def test_a_visit_that_got_a_third_number_is_still_one() -> None:
    said = (
        came(OLD, "2026-11-16 09:00 PST"),
        join(OLD, NEW),
        join(NEW, NEWEST),
        left(NEWEST, "2026-11-20 14:00 PST"),
    )
    expected = told(after(*said))
    for arrival in permutations(said):
        memory = after(*arrival)
        assert told(memory) == expected
        assert memory.load(NEWEST).state.course() == Course.nothing() == memory.load(NEW).state.course()


def test_what_is_cancelled_under_the_other_number_keeps_its_instant() -> None:
    memory = after(
        came(NEW, "2026-11-16 09:00 PST"), left(NEW, "2026-11-18 09:00 PST"), not_left(NEW, "2026-11-18 10:00 PST"), join(OLD, NEW)
    )
    (discharge,) = memory.load(OLD).state.course().discharges
    assert discharge.stopped_at == at("2026-11-18 10:00 PST")


def test_joining_twice_or_the_other_way_round_is_harmless() -> None:
    memory = after(came(OLD, "2026-11-16 09:00 PST"), join(OLD, NEW))
    assert memory.handle(join(OLD, NEW)) == ()
    assert memory.handle(join(NEW, OLD)) == ()
    assert memory.handle(join(OLD, OLD)) == ()


def test_people_write_to_the_stay_that_goes_on() -> None:
    memory = after(came(OLD, "2026-11-16 09:00 PST"), join(OLD, NEW))
    refusal = memory.handle(EnterDischarge(stream=NEW, by="system", facility="mercy", discharged_at=HEARD))
    assert isinstance(refusal, Refusal) and refusal.code == "stay_continued" and OLD in refusal.because


def test_a_visit_of_which_very_much_was_said_is_not_taken_over() -> None:
    many = [left(NEW, f"2026-11-20 {n // 60:02}:{n % 60:02} PST") for n in range(JOINED_STATEMENTS_MAX + 1)]
    refusal = after(*many).handle(join(OLD, NEW))
    assert isinstance(refusal, Refusal) and refusal.code == "too_many_statements"


STATEMENTS = (
    lambda r, at_, cls: MemberAdmitted(**r, stay_class=cls, admitted_at=at_, location="3W"),
    lambda r, at_, cls: MemberDischarged(**r, discharged_at=at_, disposition="01", stay_class=cls),
    lambda r, at_, cls: MemberDischarged(**r, discharged_at=at_, disposition="30"),
    lambda r, at_, cls: StayDescribed(**r, stay_class=cls, discharged_at=at_, disposition="03"),
    lambda r, at_, cls: StayDescribed(**r, died=True),
    lambda r, at_, cls: AdmissionCancelled(**r),
    lambda r, at_, cls: DischargeCancelled(**r),
    lambda r, at_, cls: VisitBecame(**r, stay_class=cls, changed_at=at_, admitted_at=None, location="5E"),
    lambda r, at_, cls: MemberMoved(**r, moved_at=at_, location="ICU"),
    lambda r, at_, cls: MoveCancelled(**r),
    lambda r, at_, cls: MoveAnnounced(**r, move=Move.DISCHARGE, expected_on=at_.date()),
    lambda r, at_, cls: LeaveBegun(**r, left_at=at_),
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Command], list[Command]]:
    """What hospitals say of one visit under two numbers, in two orders of arrival, the second with repetitions."""
    said: list[Command] = [join(OLD, NEW)]
    for n in range(draw(st.integers(1, 7))):
        said_at = HEARD - timedelta(hours=draw(st.integers(1, 60)))
        happened = said_at - timedelta(hours=draw(st.integers(-30, 30)))
        make = draw(st.sampled_from(STATEMENTS))
        stay_class = draw(st.sampled_from((StayClass.EMERGENCY, StayClass.INPATIENT, StayClass.UNKNOWN)))
        said.append(says(draw(st.sampled_from((OLD, NEW))), make(rank(said_at, str(n)), happened, stay_class), happened))  # type: ignore[no-untyped-call]
    again = draw(st.lists(st.sampled_from(said), max_size=3))
    return said, draw(st.permutations(said)) + again


@settings(deadline=None)
@given(arrivals())
def test_any_arrival_with_repetitions_tells_the_same_stay(both: tuple[list[Command], list[Command]]) -> None:
    first, second = both
    assert told(after(*first)) == told(after(*second))


@pytest.mark.parametrize("stream", [OLD, NEW])
def test_a_message_under_either_number_is_written_to_the_stay_that_goes_on(stream: str) -> None:
    memory = after(join(OLD, NEW), came(stream, "2026-11-16 09:00 PST"))
    assert memory.load(OLD).state.course().admission is not None
    assert memory.load(NEW).state.said == ()
