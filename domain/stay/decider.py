"""A stay: what the hospital's and people's statements about one visit add up to (messages.md 1.1 and decision 6).

Every statement is kept; `Stay.course` folds them by what was said when, never by arrival. A cancellation ends a run: what was
stated before it stays visible as something that began and was taken back. Whose stay it is, and what is owed after it, is decided
elsewhere.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, assert_never

from domain.calendar import end_of_day, start_of_day
from domain.core import Command, Context, Decider, Decision, EventId, Fact, Instant, On, Recorded, Refusal, StreamId
from domain.member.decider import Member
from domain.member.facts import DeathReported, StayAttributed
from domain.remembered import Same, memory
from domain.staff.decider import OFFICE_ZONE, actor_stream, refused
from domain.staff.facts import Role
from domain.stay.facts import (
    BY_HAND,
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    StayStatement,
    order_of,
)

STATEMENTS_MAX = 400
"""No stay needs more; a feed that says more is broken, and a person looks at it."""

AHEAD_MAX = timedelta(hours=24)
"""An event dated further ahead of its receipt waits for review; up to here it counts from its instant (messages.md 1.4)."""


class Way(StrEnum):
    """Where a discharge leads: messages.md 1.3."""

    HOME = "home"
    HOME_HEALTH = "home_health"
    TRANSFER = "transfer"
    FACILITY = "facility"
    AGAINST_ADVICE = "against_advice"
    EXPIRED = "expired"
    COURT = "court"
    STILL_A_PATIENT = "still_a_patient"
    HOSPICE = "hospice"
    ADMITTED_HERE = "admitted_here"
    UNMAPPED = "unmapped"


WAY_OF: Mapping[str, Way] = {
    code: way
    for way, codes in (
        (Way.HOME, "01 81"),
        (Way.HOME_HEALTH, "06 86"),
        (Way.TRANSFER, "02 05 43 65 66 82 85 88 93 94"),
        (Way.FACILITY, "03 04 61 62 63 64 69 70 83 84 89 90 91 92 95"),
        (Way.AGAINST_ADVICE, "07"),
        (Way.EXPIRED, "20 40 41 42"),
        (Way.COURT, "21 87"),
        (Way.STILL_A_PATIENT, "30"),
        (Way.HOSPICE, "50 51"),
        (Way.ADMITTED_HERE, "09"),
    )
    for code in codes.split()
}
"""The disposition codes (HL7 0112 in the United States), and what each leads to. Our own table: HL7 publishes none."""


def way_of(disposition: str) -> Way:
    """What follows from a normalised disposition code; an unknown one is treated as a return home, and says so."""
    return WAY_OF.get(disposition, Way.UNMAPPED)


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStatement(Command):
    """What a hospital's message says of a stay."""

    statement: StayStatement


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
class Said:
    """One statement, with the instants that belong to it."""

    fact: StayStatement
    event_id: EventId
    occurred_at: Instant
    recorded_at: Instant
    actor: str

    @property
    def rank(self) -> tuple[str, EventId]:
        return (self.fact.order, self.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A run of the stay: from the first statement that it is, to the one that cancelled it. `after` is the cancellation before it
    ("" for the first run) and names the run for good. `at` is None while nobody has said when the member came."""

    after: EventId
    at: Instant | None
    on: date | None
    cause: tuple[EventId, ...]
    received_at: Instant
    known_at: Instant
    stopped_at: Instant | None = None
    stopped_by: EventId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discharge:
    """A run of being discharged, up to the cancellation of the discharge or of the whole stay, if any. `day` is set where only the
    local day is known; `at` is then its end. `of` is the `after` of the admission that it ends. `disposed_by` said where to.
    `doubt` names why it waits for review instead of counting."""

    after: EventId
    of: EventId
    at: Instant
    day: date | None
    disposition: str
    disposed_by: EventId
    disposed_known_at: Instant
    cause: tuple[EventId, ...]
    received_at: Instant
    known_at: Instant
    stopped_at: Instant | None = None
    stopped_by: EventId | None = None
    stop_reason: str = ""
    doubt: str = ""

    @property
    def way(self) -> Way:
        return way_of(self.disposition)


@dataclass(frozen=True, slots=True)
class Death:
    """The member died in this stay, as the hospital says. `known_at`: when its message reached us."""

    event_id: EventId
    at: Instant
    known_at: Instant


@dataclass(frozen=True, slots=True)
class Doubt:
    """A contradiction that a person has to look at. `since`: when the message reached us."""

    code: str
    event_id: EventId
    since: Instant


@dataclass(frozen=True, slots=True)
class Course:
    """The stay as all statements together tell it, earliest run first. The last run of each kind is the current one."""

    facility: str
    stay_class: StayClass
    admissions: tuple[Admission, ...]
    discharges: tuple[Discharge, ...]
    death: Death | None
    doubts: tuple[Doubt, ...]
    expected_discharge_on: date | None = None

    @classmethod
    def nothing(cls) -> Course:
        """Nobody has said anything."""
        return cls("", StayClass.UNKNOWN, (), (), None, ())

    @property
    def admission(self) -> Admission | None:
        """The admission that stands; None where the stay was cancelled or nothing says that it is."""
        last = self.admissions[-1] if self.admissions else None
        return last if last is not None and last.stopped_by is None else None

    @property
    def discharge(self) -> Discharge | None:
        """The discharge that stands and may be believed."""
        last = self.discharges[-1] if self.discharges else None
        return last if last is not None and last.stopped_by is None and not last.doubt else None

    @property
    def cancelled(self) -> bool:
        return bool(self.admissions) and self.admission is None


@dataclass(frozen=True, slots=True)
class Stay:
    """All statements about one visit, lowest rank first."""

    said: tuple[Said, ...] = ()

    @property
    def heard_at(self) -> Instant | None:
        """When the first word about it reached us."""
        return min((said.fact.received_at for said in self.said), default=None)

    def course(self) -> Course:
        return _known_courses(Same(lambda: _Fold(self.said).course(), self.said))


COURSES_MAX = 2_000
"""What so many stays add up to is remembered."""

_known_courses = memory(COURSES_MAX)

# --- evolve --------------------------------------------------------------------------------------------------------------------


def evolve(state: Stay, recorded: Recorded) -> Stay:
    fact = recorded.fact
    if not isinstance(fact, StayStatement) or any(said.event_id == recorded.event_id for said in state.said):
        return state
    grown = list(state.said)
    entry = Said(fact, recorded.event_id, recorded.occurred_at, recorded.recorded_at, recorded.actor)
    insort(grown, entry, key=lambda said: said.rank)
    return Stay(tuple(grown))


class _Fold:
    """Walks the statements once, lowest rank first: for each slot the latest word wins, and a cancellation ends the run."""

    def __init__(self, said: tuple[Said, ...]) -> None:
        self.facility = ""
        self.stay_class = StayClass.UNKNOWN
        self.expected: date | None = None
        self.admissions: list[Admission] = []
        self.discharges: list[Discharge] = []
        self.doubts: dict[str, Doubt] = {}
        self.died: Death | None = None
        for entry in said:
            self._take(entry)

    def course(self) -> Course:
        discharges = [self._checked(d) for d in self.discharges]
        return Course(
            facility=self.facility,
            stay_class=self.stay_class,
            admissions=tuple(self.admissions),
            discharges=tuple(discharges),
            death=self._death(discharges),
            doubts=tuple(self.doubts.values()),
            expected_discharge_on=self.expected,
        )

    def _take(self, said: Said) -> None:
        fact = said.fact
        self.facility = fact.facility or self.facility
        match fact:
            case MemberAdmitted():
                self.stay_class = _known(fact.stay_class) or self.stay_class
                self.expected = fact.expected_discharge_on or self.expected
                self._admitted(said, fact.admitted_at, fact.admitted_on, opens=True)
            case MemberDischarged():
                self.stay_class = _known(fact.stay_class) or self.stay_class
                if self.admissions and self.admissions[-1].stopped_by is not None:
                    self._doubt("discharged_after_cancellation", said)
                self._admitted(said, fact.admitted_at, None, opens=True)
                self._discharged(said, fact)
            case StayDescribed():
                self.stay_class = _known(fact.stay_class) or self.stay_class
                self._admitted(said, fact.admitted_at, None, opens=False)
                self._described(said, fact)
            case AdmissionCancelled():
                self._stop_discharge(said, "admission_cancelled")
                self._stop_admission(said)
                self.doubts.clear()
            case DischargeCancelled():
                self._stop_discharge(said, "discharge_cancelled")
                self._settle("still_a_patient", "discharge_ahead", "discharged_after_cancellation")
            case _:
                assert_never(fact)

    def _admitted(self, said: Said, at: Instant | None, on: date | None, opens: bool) -> None:
        """A word about the admission. Only an admission or a discharge opens a run; a description fills in."""
        if at is not None and at > said.fact.received_at + AHEAD_MAX:
            self._doubt("admission_ahead", said)
            at = None
        elif at is not None:
            self._settle("admission_ahead")
        last = self.admissions[-1] if self.admissions else None
        if last is None or last.stopped_by is not None:
            if opens:
                after = (last.stopped_by or "") if last is not None else ""
                self.admissions.append(
                    Admission(
                        after=after,
                        at=at,
                        on=on,
                        cause=(said.event_id,),
                        received_at=said.fact.received_at,
                        known_at=said.recorded_at,
                    )
                )
            return
        if opens:
            last = replace(
                last, received_at=min(last.received_at, said.fact.received_at), known_at=min(last.known_at, said.recorded_at)
            )
        if at is not None:
            last = replace(last, at=at, on=on, cause=_cause(last, at, said))
        self.admissions[-1] = last

    def _discharged(self, said: Said, fact: MemberDischarged) -> None:
        if way_of(fact.disposition) is Way.STILL_A_PATIENT:
            self._doubt("still_a_patient", said)
            return
        if fact.discharged_at > fact.received_at + AHEAD_MAX:
            self._doubt("discharge_ahead", said)
            return
        self._settle("still_a_patient", "discharge_ahead")
        current = self._current_discharge()
        if current is None:
            after = (self.discharges[-1].stopped_by or "") if self.discharges else ""
            self.discharges.append(
                Discharge(
                    after=after,
                    of=self.admissions[-1].after,
                    at=fact.discharged_at,
                    day=fact.discharged_on,
                    disposition=fact.disposition,
                    disposed_by=said.event_id,
                    disposed_known_at=said.fact.received_at,
                    cause=(said.event_id,),
                    received_at=said.fact.received_at,
                    known_at=said.recorded_at,
                )
            )
            return
        if fact.disposition or fact.disposition_said:
            current = _disposed(current, fact.disposition, said)
        self.discharges[-1] = replace(
            current,
            at=fact.discharged_at,
            day=fact.discharged_on,
            cause=_cause(current, fact.discharged_at, said),
            received_at=min(current.received_at, fact.received_at),
            known_at=min(current.known_at, said.recorded_at),
        )

    def _described(self, said: Said, fact: StayDescribed) -> None:
        """A late update corrects a discharge that stands; it never makes or unmakes one."""
        if fact.died:
            self.died = Death(said.event_id, fact.discharged_at or said.occurred_at, fact.received_at)
        current = self._current_discharge()
        if current is None:
            if fact.disposition is not None and way_of(fact.disposition) is Way.EXPIRED:
                self.died = Death(said.event_id, fact.discharged_at or said.occurred_at, fact.received_at)
            return
        if fact.discharged_at is not None and fact.discharged_at > fact.received_at + AHEAD_MAX:
            self._doubt("discharge_ahead", said)
        elif fact.discharged_at is not None:
            self._settle("discharge_ahead")
            cause = _cause(current, fact.discharged_at, said)
            current = replace(current, at=fact.discharged_at, day=fact.discharged_on, cause=cause)
        if fact.disposition is not None and way_of(fact.disposition) is Way.STILL_A_PATIENT:
            self._doubt("still_a_patient", said)
        elif fact.disposition is not None:
            self._settle("still_a_patient")
            current = _disposed(current, fact.disposition, said)
        self.discharges[-1] = current

    def _current_discharge(self) -> Discharge | None:
        last = self.discharges[-1] if self.discharges else None
        return last if last is not None and last.stopped_by is None else None

    def _stop_discharge(self, said: Said, reason: str) -> None:
        if (current := self._current_discharge()) is not None:
            self.discharges[-1] = replace(current, stopped_at=said.occurred_at, stopped_by=said.event_id, stop_reason=reason)

    def _stop_admission(self, said: Said) -> None:
        last = self.admissions[-1] if self.admissions else None
        if last is not None and last.stopped_by is None:
            self.admissions[-1] = replace(last, stopped_at=said.occurred_at, stopped_by=said.event_id)

    def _checked(self, discharge: Discharge) -> Discharge:
        """A discharge that comes before its admission is kept and waits for a person."""
        admission = self.admissions[-1] if self.admissions else None
        if discharge.stopped_by is not None or admission is None or admission.at is None:
            return discharge
        if discharge.at >= admission.at:
            return discharge
        code = "discharge_before_admission"
        self.doubts[code] = Doubt(code, discharge.cause[-1], discharge.received_at)
        return replace(discharge, doubt=code)

    def _death(self, discharges: list[Discharge]) -> Death | None:
        """Said by an expired disposition of the discharge that stands, or by a death indicator, which outweighs another
        disposition but makes somebody look."""
        current = discharges[-1] if discharges and discharges[-1].stopped_by is None else None
        if current is not None and current.way is Way.EXPIRED:
            return Death(current.disposed_by, current.at, current.disposed_known_at)
        if self.died is not None and current is not None and current.way is not Way.UNMAPPED:
            self.doubts["death_contradicted"] = Doubt("death_contradicted", self.died.event_id, self.died.known_at)
        return self.died

    def _doubt(self, code: str, said: Said) -> None:
        self.doubts[code] = Doubt(code, said.event_id, said.fact.received_at)

    def _settle(self, *codes: str) -> None:
        for code in codes:
            self.doubts.pop(code, None)


def _known(stay_class: StayClass | None) -> StayClass | None:
    return None if stay_class in (None, StayClass.UNKNOWN) else stay_class


def _disposed(discharge: Discharge, disposition: str, said: Said) -> Discharge:
    if disposition == discharge.disposition:
        return discharge
    return replace(discharge, disposition=disposition, disposed_by=said.event_id, disposed_known_at=said.fact.received_at)


def _cause(run: Admission | Discharge, at: Instant, said: Said) -> tuple[EventId, ...]:
    """What opened the run, and what moved its time last: enough to explain a due. Saying the same again changes nothing."""
    return run.cause if run.at == at else tuple(dict.fromkeys((run.cause[0], said.event_id)))


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Stay, context: Context, book: Any, now: Instant) -> Decision:
    if len(state.said) >= STATEMENTS_MAX:
        return Refusal("too_many_statements", f"stream: holds {STATEMENTS_MAX} statements; ask the sender what is wrong")
    if isinstance(command, RecordStatement):
        return refused(command.by, context, now, Role.OPERATOR, Role.HOSPITAL, feeds=True) or _record(command.statement, state)
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


def _record(statement: StayStatement, state: Stay) -> Decision:
    """The statement, unless this very one is there already (a hospital's retry, a second feed's copy keeps its own order)."""
    known = (said.fact for said in state.said if said.fact.order == statement.order)
    return () if any(_says_the_same(fact, statement) for fact in known) else (statement,)


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
    return (*actor_stream(command.by), *members)


DECIDER = Decider("stay", lambda stream: Stay(), evolve, decide, reads)
