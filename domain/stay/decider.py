"""A stay: what the hospital's and people's statements about one visit add up to (messages.md 1.1 and decision 6).

Every statement is kept; what they add up to is `course.py`'s business. Whose stay it is, and what is owed after it, is decided
elsewhere.

A hospital may give a visit another number. Then the stay that was known first goes on: it takes over what was said under the other
number, and what is said under that number later is written there too.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from domain.calendar import end_of_day, start_of_day
from domain.core import Command, Context, Decider, Decision, Fact, Instant, On, Recorded, Refusal, StreamId
from domain.member.decider import Member
from domain.member.facts import DeathReported, StayAttributed
from domain.remembered import Same, memory
from domain.staff.decider import OFFICE_ZONE, actor_stream, refused
from domain.staff.facts import Role
from domain.stay.course import AHEAD_MAX, WAY_OF, Course, Said, Way, course_of, way_of
from domain.stay.facts import (
    BY_HAND,
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayContinuedElsewhere,
    StayDescribed,
    StayStatement,
    order_of,
)

STATEMENTS_MAX = 400
"""No stay needs more; a feed that says more is broken, and a person looks at it."""

JOINED_STATEMENTS_MAX = 100
"""Statements that one joining takes over at once; a visit of which more was said is no mere renumbering."""


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStatement(Command):
    """What a hospital's message says of a stay."""

    statement: StayStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStay(Command):
    """The hospital's word that the visit of `other` is this one under another number; or under the same one in messages that named
    no house, where it turned out to be in this `facility`."""

    other: StreamId
    source: str
    trigger: str = ""
    facility: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterAdmission(Command):
    """A person's word: a phoned admission, a nursing facility, a jail. Give `admitted_at`, or `admitted_on` where only the day is
    known. With `member` the stay is attributed to them in the same breath, and to `episode` where one is open."""

    facility: str
    stay_class: StayClass
    admitted_at: Instant | None = None
    admitted_on: date | None = None
    expected_discharge_on: date | None = None
    member: StreamId | None = None
    episode: StreamId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterDischarge(Command):
    """A person's word that the member left. Give `discharged_at`, or `discharged_on` where only the day is known."""

    facility: str = ""
    discharged_at: Instant | None = None
    discharged_on: date | None = None
    disposition: str = ""
    member: StreamId | None = None
    episode: StreamId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAdmission(Command):
    """A person's word that the stay never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDischarge(Command):
    """A person's word that the member is still there."""


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stay:
    """All statements about one visit, lowest rank first. `continued_as`: the stay for which they count, where it is another."""

    said: tuple[Said, ...] = ()
    continued_as: StreamId | None = None

    @property
    def heard_at(self) -> Instant | None:
        """When the first word about it reached us."""
        return min((said.fact.received_at for said in self.said), default=None)

    def instants(self) -> frozenset[Instant]:
        """Every time that was ever stated of it, or at which it was heard: a death that it told of was reported at one of these,
        and may have been corrected since."""
        ended = (said.fact.discharged_at for said in self.said if isinstance(said.fact, MemberDischarged | StayDescribed))
        heard = (at for said in self.said for at in (said.occurred_at, said.fact.received_at))
        died = (said.fact.died_at for said in self.said if isinstance(said.fact, StayDescribed))
        return frozenset((*heard, *(at for at in (*ended, *died) if at is not None)))

    def told_of_death(self) -> bool:
        """Whether any statement ever said that the member died there."""
        ended = (said.fact for said in self.said if isinstance(said.fact, MemberDischarged | StayDescribed))
        return any(
            (isinstance(fact, StayDescribed) and fact.died) or (fact.disposition and way_of(fact.disposition) is Way.EXPIRED)
            for fact in ended
        )

    def course(self) -> Course:
        if self.continued_as is not None:
            return Course.nothing()
        return _known_courses(Same(lambda: course_of(self.said), self.said))


COURSES_MAX = 2_000
"""What so many stays add up to is remembered."""

_known_courses = memory(COURSES_MAX)

# --- evolve --------------------------------------------------------------------------------------------------------------------


def evolve(state: Stay, recorded: Recorded) -> Stay:
    fact = recorded.fact
    if isinstance(fact, StayContinuedElsewhere):
        return replace(state, continued_as=fact.stay)
    if not isinstance(fact, StayStatement) or any(said.event_id == recorded.event_id for said in state.said):
        return state
    grown = list(state.said)
    entry = Said(fact, recorded.event_id, recorded.occurred_at, recorded.recorded_at, recorded.actor)
    insort(grown, entry, key=lambda said: said.rank)
    return replace(state, said=tuple(grown))


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Stay, context: Context, book: Any, now: Instant) -> Decision:
    if len(state.said) >= STATEMENTS_MAX:
        return Refusal("too_many_statements", f"stream: holds {STATEMENTS_MAX} statements; ask the sender what is wrong")
    if isinstance(command, RecordStatement | JoinStay):
        if refusal := refused(command.by, context, now, Role.OPERATOR, Role.HOSPITAL, feeds=True):
            return refusal
        survivor, stay = _survivor(command.stream, state, context)
        if isinstance(command, JoinStay):
            return _join(command, survivor, stay, context)
        told = _record(command.statement, stay)
        return told if survivor == command.stream else tuple(On(survivor, fact) for fact in told)
    if state.continued_as is not None:
        return Refusal("stay_continued", f"stream: the hospital gave this visit another number; write it to {state.continued_as}")
    if refusal := refused(command.by, context, now, Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR):
        return refusal
    order = order_of(command.said_at or now, now, "", f"{BY_HAND}|{type(command).__name__}")
    match command:
        case EnterAdmission():
            return _enter_admission(command, order, state, context, now)
        case EnterDischarge():
            return _enter_discharge(command, order, state, context, now)
        case CancelAdmission():
            if state.course().admission is None:
                return ()
            return (AdmissionCancelled(order=order, received_at=now, source=BY_HAND),)
        case CancelDischarge():
            if state.course().discharge is None:
                return ()
            return (DischargeCancelled(order=order, received_at=now, source=BY_HAND),)
        case _:
            raise AssertionError(f"stay does not know {type(command).__name__}")


def _record(statement: StayStatement, state: Stay) -> tuple[Fact, ...]:
    """The statement, unless this very one is there already (a hospital's retry, a second feed's copy keeps its own order)."""
    known = (said.fact for said in state.said if said.fact.order == statement.order)
    return () if any(_says_the_same(fact, statement) for fact in known) else (statement,)


def _survivor(stream: StreamId, state: Stay, context: Context) -> tuple[StreamId, Stay]:
    """The stay for which this one's statements count, and its state."""
    while state.continued_as is not None:
        stream = state.continued_as
        state = context[stream].state
        assert isinstance(state, Stay)
    return stream, state


def _join(command: JoinStay, survivor: StreamId, stay: Stay, context: Context) -> Decision:
    """The statements of the other visit, written to the one that goes on; and under the other, where they went."""
    other = context[command.other].state
    assert isinstance(other, Stay)
    gone, other = _survivor(command.other, other, context)
    if gone == survivor:
        return ()
    if len(other.said) > JOINED_STATEMENTS_MAX or len(stay.said) + len(other.said) > STATEMENTS_MAX:
        return Refusal(
            "too_many_statements", "other: holds too many statements for a renumbered visit; ask the sender what is wrong"
        )
    said_there = ((_in_house(said.fact, command.facility), said.occurred_at) for said in other.said)
    taken = (On(survivor, statement, at) for statement, at in said_there if _record(statement, stay))
    ended = StayContinuedElsewhere(stay=survivor, source=command.source, trigger=command.trigger)
    return (On(gone, ended), *taken)


def _in_house(statement: StayStatement, facility: str) -> StayStatement:
    return replace(statement, facility=facility) if facility else statement


def _says_the_same(a: StayStatement, b: StayStatement) -> bool:
    return type(a) is type(b) and replace(a, received_at=b.received_at, source=b.source) == b


def _enter_admission(command: EnterAdmission, order: str, state: Stay, context: Context, now: Instant) -> Decision:
    on = command.admitted_on
    at = command.admitted_at or (start_of_day(on, OFFICE_ZONE) if on is not None else None)
    if at is None:
        return Refusal("time_missing", "admitted_at: give the instant, or admitted_on where only the day is known")
    if at > now:
        return Refusal("time_ahead", "admitted_at: lies ahead; enter an admission once it has happened")
    if command.facility == "":
        return Refusal("facility_missing", "facility: must name where the member is")
    admitted = MemberAdmitted(
        order=order,
        received_at=now,
        source=BY_HAND,
        facility=command.facility,
        stay_class=command.stay_class,
        admitted_at=at,
        admitted_on=on,
        expected_discharge_on=command.expected_discharge_on,
    )
    return _with_attribution((admitted,), command, context)


def _enter_discharge(command: EnterDischarge, order: str, state: Stay, context: Context, now: Instant) -> Decision:
    on = command.discharged_on
    at = command.discharged_at or (end_of_day(on, OFFICE_ZONE) if on is not None else None)
    if at is None:
        return Refusal("time_missing", "discharged_at: give the instant, or discharged_on where only the day is known")
    if at > now + AHEAD_MAX:
        return Refusal("time_ahead", "discharged_at: lies more than a day ahead; enter a discharge once it has happened")
    if command.disposition and command.disposition not in WAY_OF:
        return Refusal("disposition_unknown", "disposition: must be a two-digit code of table 0112, such as 01 for home")
    if not state.said and not command.facility:
        return Refusal("facility_missing", "facility: must name where the member was")
    if way_of(command.disposition) is Way.STILL_A_PATIENT:
        return Refusal(
            "no_discharge", "disposition: 30 means that the member is still there; enter the discharge once it has happened"
        )
    discharged = MemberDischarged(
        order=order,
        received_at=now,
        source=BY_HAND,
        facility=command.facility,
        discharged_at=at,
        discharged_on=on if command.discharged_at is None else None,
        disposition=command.disposition,
    )
    return _with_attribution((discharged,), command, context)


def _with_attribution(
    facts: tuple[Fact, ...], command: EnterAdmission | EnterDischarge, context: Context
) -> tuple[Fact | On, ...] | Refusal:
    if command.member is None:
        return facts
    member = context[command.member].state
    assert isinstance(member, Member)
    if not member.registered:
        return Refusal("unknown_member", "member: is not registered; register the member first")
    known = member.stays.get(command.stream)
    told: tuple[Fact | On, ...] = facts
    if known is None or known.episode != command.episode:
        attributed = StayAttributed(stay=command.stream, episode=command.episode, evidence=BY_HAND)
        told = (*told, On(command.member, attributed))
    died = isinstance(command, EnterDischarge) and way_of(command.disposition) is Way.EXPIRED
    return (*told, On(command.member, DeathReported(source="staff"))) if died and member.death() is None else told


def reads(command: Any, state: Stay, context: Context) -> tuple[StreamId, ...]:
    members = (command.member,) if isinstance(command, EnterAdmission | EnterDischarge) and command.member else ()
    others = (command.other,) if isinstance(command, JoinStay) else ()
    return (*actor_stream(command.by), *members, *others, *_continuations(state, others, context))


def _continuations(state: Stay, others: tuple[StreamId, ...], context: Context) -> Iterator[StreamId]:
    """Where the stays went on, as far as that is known."""
    for stay in (state, *(context[other].state for other in others if other in context)):
        while stay.continued_as is not None:
            yield stay.continued_as
            if stay.continued_as not in context:
                break
            stay = context[stay.continued_as].state


DECIDER = Decider("stay", lambda stream: Stay(), evolve, decide, reads)
