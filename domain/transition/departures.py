"""The member's way through hospitals and facilities, as far as it concerns one episode: who is inside where, and who left when.

A departure is a discharge with what it leads to and what ends its checklist: its own cancellation, the next stay, a stay that is
linked to it. Which promises follow is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from domain.calendar import local_date
from domain.core import Alarm, EventId, Instant, StreamId
from domain.policy import Policy
from domain.stay.course import Admission, Course, Discharge, Way
from domain.stay.facts import StayClass
from domain.stops import Stop
from domain.timeline import Span

HOSPITAL = (StayClass.INPATIENT, StayClass.OBSERVATION, StayClass.UNKNOWN)
"""A stay of these is an admission: it interrupts what is owed after an earlier discharge."""

ELSEWHERE = (StayClass.NURSING_FACILITY, StayClass.JAIL)
"""Settings in which a member may live for long: home checklists end there, the rest goes on."""

HOMEWARD = (Way.HOME, Way.HOME_HEALTH, Way.AGAINST_ADVICE, Way.UNMAPPED)
ONWARD = (Way.TRANSFER, Way.ADMITTED_HERE)
"""The member is in another hospital now: the transition goes on there, and this discharge has no checklist of its own."""

UNDER_OTHER_CARE = (*ONWARD, Way.HOSPICE)
"""Nothing is owed after these but that somebody finds out where the member is, and what follows."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay that concerns the episode, and the policy version that its clocks keep."""

    stay: StreamId
    course: Course
    policy: Policy
    since: Instant


@dataclass(frozen=True, slots=True)
class Inside:
    """The member was there from `since` until `until` (None: still)."""

    since: Instant
    until: Instant | None
    cause: EventId


@dataclass(frozen=True, slots=True)
class Departure:
    """A discharge that counts. `day` is day 0. `stop` ends its checklist, `home_stop` only what is owed at home; `rests` are the
    times in which the member was in a hospital again without ending it. `followed`: another stay began after it."""

    visit: Visit
    discharge: Discharge
    day: date
    stop: Stop | None
    home_stop: Stop | None
    rests: tuple[Span, ...]
    followed: bool

    @property
    def key(self) -> str:
        """Names the discharge for good, whatever is corrected about it: the stay, and the cancellation that it follows, if any."""
        return run_key(self.visit.stay, self.discharge.after)

    @property
    def at(self) -> Instant:
        return self.discharge.at

    @property
    def way(self) -> Way:
        return self.discharge.way

    @property
    def emergency(self) -> bool:
        return self.visit.course.stay_class is StayClass.EMERGENCY


def run_key(stay: StreamId, after: EventId) -> str:
    return f"{stay}~{after}" if after else stay


def began_at(course: Course) -> Instant | None:
    """When the stay began, as far as is known: by its first run, else by its discharge, else when we heard of it."""
    if not course.admissions:
        return None
    first = course.admissions[0]
    left = min((d.at for d in course.discharges), default=first.received_at)
    return first.at or min(left, first.received_at)


def inside(course: Course, alarm: Alarm) -> tuple[Inside, ...]:
    """The times in the house, earliest first, as far as they have begun by now."""
    found = (spell for run in course.admissions for spell in _spells(run, course.discharges))
    begun = (spell for spell in found if alarm.reached(spell.since))
    return tuple(s if s.until is None or alarm.reached(s.until) else replace(s, until=None) for s in begun)


def _spells(run: Admission, discharges: tuple[Discharge, ...]) -> Iterator[Inside]:
    own = [d for d in discharges if d.of == run.after and not d.doubt]
    since: Instant | None = run.at or min((*(d.at for d in own), run.received_at))
    cause = run.cause[-1]
    for discharge in own:
        if since is not None and discharge.at > since:
            yield Inside(since, discharge.at, cause)
        back = discharge.stopped_by is not None and run.stopped_by != discharge.stopped_by
        since = discharge.stopped_at if back else None
        cause = discharge.stopped_by or cause
    if since is not None and (run.stopped_at is None or run.stopped_at > since):
        yield Inside(since, run.stopped_at, cause)


def departures(visits: tuple[Visit, ...], alarm: Alarm) -> Iterator[Departure]:
    """Every discharge that has come and may be believed, past and cancelled ones included."""
    for visit in visits:
        for discharge in visit.course.discharges:
            if not discharge.doubt and alarm.reached(discharge.at):
                others = tuple(other for other in visits if other.stay != visit.stay)
                if not _already_elsewhere(visit, discharge, others, alarm):
                    yield _departure(visit, discharge, others, alarm)


def _already_elsewhere(visit: Visit, discharge: Discharge, others: tuple[Visit, ...], alarm: Alarm) -> bool:
    """Whether the member had been admitted to another hospital before this one's discharge: the two are one transition."""
    return any(
        visit.since < run.at < discharge.at and _stands_at(discharge.at, run, other, alarm)
        for other in others
        if other.course.stay_class in HOSPITAL
        for run in other.course.admissions
        if run.at is not None
    )


def _stands_at(at: Instant, run: Admission, other: Visit, alarm: Alarm) -> bool:
    return any(s.since <= at and (s.until is None or s.until > at) for s in inside(other.course, alarm)) and run.stopped_by is None


def _departure(visit: Visit, discharge: Discharge, others: tuple[Visit, ...], alarm: Alarm) -> Departure:
    day = discharge.day or local_date(discharge.at, visit.policy.timezone)
    stops: list[Stop] = []
    home_stops: list[Stop] = []
    rests: list[Span] = []
    followed = False
    if discharge.stopped_by is not None and discharge.stopped_at is not None and alarm.reached(discharge.stopped_at):
        stops.append(Stop(discharge.stopped_at, discharge.stopped_by, discharge.stop_reason))
    rule = visit.policy.transition
    for other, run, admitted_at in _admitted_later(discharge, others, alarm):
        stop = Stop(admitted_at, run.cause[-1], "linked_stay")
        days = (local_date(admitted_at, visit.policy.timezone) - day).days
        linked = days <= rule.linked_within_days
        if run.stopped_by is not None:
            rests.append(Span(admitted_at, run.stopped_at, "admission_cancelled", stop.by, run.stopped_by))
            continue
        followed = True
        if linked and other.course.stay_class in ELSEWHERE:
            home_stops.append(stop)
            stops.extend(_discharged_again(other, day, rule.restart_within_days, alarm))
        elif linked and (visit.course.stay_class is StayClass.EMERGENCY or discharge.way in ONWARD):
            stops.append(stop)
        elif days <= rule.restart_within_days and visit.course.stay_class is not StayClass.EMERGENCY:
            stops.append(replace(stop, reason="readmitted"))
        else:
            stays_inside = (s for s in inside(other.course, alarm) if s.since >= admitted_at)
            rests.extend(Span(s.since, s.until, "in_hospital", s.cause) for s in stays_inside)
    return Departure(visit, discharge, day, _first(stops), _first(home_stops), tuple(rests), followed)


def _admitted_later(discharge: Discharge, others: tuple[Visit, ...], alarm: Alarm) -> Iterator[tuple[Visit, Admission, Instant]]:
    """Admissions after the discharge. An emergency visit interrupts nothing; once it becomes an admission, its class says so."""
    for other in others:
        if other.course.stay_class in (*HOSPITAL, *ELSEWHERE):
            for run in other.course.admissions:
                if run.at is not None and run.at >= discharge.at and alarm.reached(run.at):
                    yield other, run, run.at


def _discharged_again(other: Visit, day: date, within_days: int, alarm: Alarm) -> Iterator[Stop]:
    """Of several discharges within the days only the last one counts (domain.md 1.10)."""
    again = other.course.discharge
    if again is not None and alarm.reached(again.at):
        if (local_date(again.at, other.policy.timezone) - day).days <= within_days:
            yield Stop(again.at, again.cause[-1], "discharged_again")


def _first(stops: Iterable[Stop]) -> Stop | None:
    return min(stops, key=lambda stop: (stop.at, stop.by), default=None)
