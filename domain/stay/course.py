"""What the statements about one visit add up to: `course` (messages.md 1.1 and decision 6).

Statements are folded by what was said when, never by arrival, so that every order in which they reach us tells the same stay. A
cancellation ends a run: what was stated before it stays visible as something that began and was taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from domain.core import EventId, Instant
from domain.stay.facts import (
    MOVED_AWAY,
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
)

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
        """Of two that were said in the same second, or minute, the one with the higher control id is the later: senders count them,
        so what is a number in them compares as one."""
        parts = self.fact.order.split("|", 3)  # whether it is believed, when it was said, control id, the rest: order_of
        parts[2:3] = [_DIGITS.sub(_by_size, control_id) for control_id in parts[2:3]]
        return ("|".join(parts), self.event_id)


_DIGITS = re.compile(r"[0-9]+")


def _by_size(number: re.Match[str]) -> str:
    """A number so that it sorts as text: how long it is comes first."""
    digits = number[0].lstrip("0")
    return f"{len(digits):03}{digits}"


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
class Classed:
    """From when on the visit was of a class, and the statement that said so. `became`: by a change of class (A06, A07)."""

    stay_class: StayClass
    since: Instant
    event_id: EventId
    became: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """Where in the house the member was brought, and when. `moved`: by a move, which can be cancelled."""

    location: str
    since: Instant
    event_id: EventId
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the hospital expects, and for which local day, where it names one."""

    move: Move
    expected_on: date | None
    event_id: EventId


@dataclass(frozen=True, slots=True)
class Course:
    """The stay as all statements together tell it, earliest run first. The last run of each kind is the current one.

    `classes` and `places` are the visit's own history, `announced` what is expected and has not happened; `on_leave_since` is set
    while the member is out and expected back."""

    facility: str
    stay_class: StayClass
    admissions: tuple[Admission, ...]
    discharges: tuple[Discharge, ...]
    death: Death | None
    doubts: tuple[Doubt, ...]
    expected_discharge_on: date | None = None
    classes: tuple[Classed, ...] = ()
    places: tuple[Placed, ...] = ()
    announced: tuple[Announcement, ...] = ()
    on_leave_since: Instant | None = None

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

    @property
    def location(self) -> str:
        """Unit, room and bed as last told; empty where nobody said."""
        return self.places[-1].location if self.places else ""

    @property
    def was_emergency(self) -> bool:
        """Whether it is, or began as, a visit to the emergency department."""
        return any(c.stay_class is StayClass.EMERGENCY for c in self.classes)

    @property
    def downgraded(self) -> bool:
        """Whether somebody who was admitted is an outpatient now, in the same bed: the stay goes on (messages.md 1.1, A07)."""
        return (
            bool(self.classes)
            and (last := self.classes[-1]).became
            and last.stay_class is StayClass.OUTPATIENT
            and any(c.stay_class in (StayClass.INPATIENT, StayClass.OBSERVATION) for c in self.classes)
        )


def course_of(said: Iterable[Said]) -> Course:
    """The stay that the statements tell, lowest rank first."""
    return _Fold(said).course()


class _Fold:
    """Walks the statements once, lowest rank first: for each slot the latest word wins, and a cancellation ends the run."""

    def __init__(self, said: Iterable[Said]) -> None:
        self.facility = ""
        self.expected: date | None = None
        self.classes: list[Classed] = []
        self.places: list[Placed] = []
        self.announced: dict[Move, Announcement] = {}
        self.on_leave_since: Instant | None = None
        self.admissions: list[Admission] = []
        self.discharges: list[Discharge] = []
        self.moved_away = False
        self.doubts: dict[str, Doubt] = {}
        self.died: Death | None = None
        for entry in said:
            self._take(entry)

    def course(self) -> Course:
        discharges = [self._checked(d) for d in self.discharges]
        expected = self.announced.get(Move.DISCHARGE)
        return Course(
            facility=self.facility,
            stay_class=self.classes[-1].stay_class if self.classes else StayClass.UNKNOWN,
            admissions=tuple(self.admissions),
            discharges=tuple(discharges),
            death=self._death(discharges),
            doubts=tuple(self.doubts.values()),
            expected_discharge_on=(expected.expected_on if expected is not None else None) or self.expected,
            classes=tuple(self.classes),
            places=tuple(self.places),
            announced=tuple(sorted(self.announced.values(), key=lambda a: a.move)),
            on_leave_since=self.on_leave_since,
        )

    def _take(self, said: Said) -> None:
        fact = said.fact
        self.facility = fact.facility or self.facility
        match fact:
            case MemberAdmitted():
                self._classed(fact.stay_class, fact.admitted_at, said)
                self._placed(fact.location, fact.admitted_at, said)
                self.expected = fact.expected_discharge_on or self.expected
                self.announced.pop(Move.ADMISSION, None)
                self._admitted(said, fact.admitted_at, fact.admitted_on, opens=True)
            case VisitBecame():
                if self._stands:
                    self._fill_in(said, fact.admitted_at)
                else:
                    self._admitted(said, fact.admitted_at or fact.changed_at, None, opens=True)
                if self._was_only_left(fact):
                    self._stop_discharge(said, "became_inpatient")
                self._classed(fact.stay_class, fact.changed_at, said)
                self._placed(fact.location, fact.changed_at, said)
                self.announced.pop(Move.ADMISSION, None)
            case MemberDischarged():
                self._classed(fact.stay_class, fact.admitted_at or fact.discharged_at, said)
                if self.admissions and not self._stands:
                    self._doubt("discharged_after_cancellation", said)
                self._admitted(said, fact.admitted_at, None, opens=True)
                self._discharged(said, fact)
                self.moved_away = fact.trigger == MOVED_AWAY
                self.announced.clear()
                self.on_leave_since = None
            case StayDescribed():
                self._classed(fact.stay_class, fact.admitted_at or said.occurred_at, said)
                self._admitted(said, fact.admitted_at, None, opens=False)
                self._described(said, fact)
            case AdmissionCancelled():
                self._stop_discharge(said, "admission_cancelled")
                self._stop_admission(said)
                self.doubts.clear()
                self.announced.clear()
                self.on_leave_since = None
            case DischargeCancelled():
                self._stop_discharge(said, "discharge_cancelled")
                self._settle("still_a_patient", "discharge_ahead", "discharged_after_cancellation", "discharge_only_described")
            case MemberMoved():
                self.announced.pop(Move.TRANSFER, None)
                if not self.admissions and "moved_before_admission" not in self.doubts:
                    self._doubt("moved_before_admission", said)  # from another house perhaps, where the visit goes on for ever
                self.places.append(Placed(fact.location, fact.moved_at, said.event_id, moved=True))
            case MoveCancelled():
                self._settle("moved_before_admission")
                if self.moved_away and self._current_discharge() is not None:
                    self._stop_discharge(said, "move_cancelled")
                elif self.places and self.places[-1].moved:
                    self.places.pop()
            case MoveAnnounced():
                self.announced[fact.move] = Announcement(fact.move, fact.expected_on, said.event_id)
            case AnnouncementWithdrawn():
                self.announced.pop(fact.move, None)
            case LeaveBegun():
                self.on_leave_since = fact.left_at
            case LeaveEnded():
                self.on_leave_since = None
            case _:
                assert_never(fact)

    @property
    def _stands(self) -> bool:
        return bool(self.admissions) and self.admissions[-1].stopped_by is None

    def _classed(self, stay_class: StayClass | None, since: Instant, said: Said) -> None:
        known = _known(stay_class)
        if known is not None and (not self.classes or self.classes[-1].stay_class is not known):
            self.classes.append(Classed(known, since, said.event_id, became=isinstance(said.fact, VisitBecame)))

    def _placed(self, location: str, since: Instant, said: Said) -> None:
        if location and (not self.places or self.places[-1].location != location):
            self.places.append(Placed(location, since, said.event_id))

    def _fill_in(self, said: Said, at: Instant | None) -> None:
        """When the member came, where nobody has said so yet: what a change of class says of it may be the time of the change."""
        if self.admissions[-1].at is None:
            self._admitted(said, at, None, opens=False)

    def _admitted(self, said: Said, at: Instant | None, on: date | None, opens: bool) -> None:
        """A word about the admission. Only an admission or a discharge opens a run; a description fills in."""
        if at is not None and at > said.fact.received_at + AHEAD_MAX:
            self._doubt("admission_ahead", said)
            at = None
        elif at is not None:
            self._settle("admission_ahead")
        last = self.admissions[-1] if self.admissions else None
        if last is None or not self._stands:
            if opens:
                self._settle("moved_before_admission")
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
        self._settle("still_a_patient", "discharge_ahead", "discharge_only_described")
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
        """A late update corrects a discharge that stands; it never makes or unmakes one. What it says of one that nobody told of
        makes somebody look: the message that should have was lost, or never is sent."""
        if fact.died:
            self.died = _death(said.event_id, fact.died_at or fact.discharged_at or said.occurred_at, fact.received_at)
        elif fact.alive:
            self.died = None
        current = self._current_discharge()
        if current is None:
            if fact.disposition is not None and way_of(fact.disposition) is Way.EXPIRED:
                self.died = _death(said.event_id, fact.discharged_at or said.occurred_at, fact.received_at)
            elif self._stands and fact.discharged_at is not None and fact.discharged_at <= fact.received_at:
                self._doubt("discharge_only_described", said)
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

    def _was_only_left(self, fact: VisitBecame) -> bool:
        """Whether the discharge that stands was from the emergency room or a clinic, and a bed followed it: not the end of the
        visit. A change that was said once before, or that lies before the discharge, ends nothing."""
        current = self._current_discharge()
        before = self.classes[-1].stay_class if self.classes else StayClass.UNKNOWN
        inpatient = StayClass.INPATIENT
        return current is not None and before is not inpatient and fact.stay_class is inpatient and current.at <= fact.changed_at

    def _current_discharge(self) -> Discharge | None:
        last = self.discharges[-1] if self.discharges else None
        return last if last is not None and last.stopped_by is None else None

    def _stop_discharge(self, said: Said, reason: str) -> None:
        if (current := self._current_discharge()) is not None:
            self.discharges[-1] = replace(current, stopped_at=_taken_back_at(said), stopped_by=said.event_id, stop_reason=reason)

    def _stop_admission(self, said: Said) -> None:
        last = self.admissions[-1] if self.admissions else None
        if last is not None and last.stopped_by is None:
            self.admissions[-1] = replace(last, stopped_at=_taken_back_at(said), stopped_by=said.event_id)

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
            return _death(current.disposed_by, current.at, current.disposed_known_at)
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


def _death(event_id: EventId, at: Instant, known_at: Instant) -> Death:
    """A death lies before the message that tells of it, whatever time that has: the end of the day, or a slip of the hand."""
    return Death(event_id, min(at, known_at), known_at)


def _taken_back_at(said: Said) -> Instant:
    """From when a cancellation counts: where its own time lies too far ahead to be believed, from when it reached us."""
    return said.occurred_at if said.occurred_at <= said.fact.received_at + AHEAD_MAX else said.fact.received_at


def _disposed(discharge: Discharge, disposition: str, said: Said) -> Discharge:
    if disposition == discharge.disposition:
        return discharge
    return replace(discharge, disposition=disposition, disposed_by=said.event_id, disposed_known_at=said.fact.received_at)


def _cause(run: Admission | Discharge, at: Instant, said: Said) -> tuple[EventId, ...]:
    """What opened the run, and what moved its time last: enough to explain a due. Saying the same again changes nothing."""
    return run.cause if run.at == at else tuple(dict.fromkeys((run.cause[0], said.event_id)))
