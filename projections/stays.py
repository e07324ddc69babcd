"""Hospital stays, as their statements add up.

For each question the statement that was said last wins, never the one that came last (messages.md, decision 6): the row keeps what
each statement says and is told anew by the core's own fold whenever one is added.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any, get_args

import msgspec

from domain.member.facts import StayAttributed, StayDetached
from domain.stay.course import Course, Said, course_of
from domain.stay.facts import StayContinuedElsewhere, StayStatement
from eventlog.codec import StoredFact
from projections.model import ReadModel

PLANNED, ADMITTED, DISCHARGED, CANCELLED, CONTINUED = "planned", "admitted", "discharged", "cancelled", "continued"
STATUSES = (PLANNED, ADMITTED, DISCHARGED, CANCELLED, CONTINUED)

STATEMENTS = {kind.__name__: kind for kind in get_args(StayStatement)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one message, or one person, said of the stay: the statement's kind with its fields, and what surrounds it."""

    kind: str
    fields: dict[str, Any]
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str

    def said(self) -> Said:
        """As the core has it."""
        fact = msgspec.convert(self.fields, STATEMENTS[self.kind])
        return Said(fact, self.event_id, self.occurred_at, self.recorded_at, self.actor)


@dataclass(frozen=True, slots=True)
class StayRow:
    """`key` is the stay's stream. `member` is None until the stay is attributed. `doubtful`: something said of it waits for a
    person and does not count yet: a time too far ahead, a discharge before the admission, "still a patient". `continued_as` is the
    stay for which its statements count, where the hospital gave the visit another number."""

    key: str
    member: str | None = None
    episode: str | None = None
    status: str = ADMITTED
    stay_class: str = ""
    facility: str = ""
    location: str = ""
    source: str = ""
    admitted_at: datetime | None = None
    admitted_on: date | None = None
    expected_discharge_on: date | None = None
    on_leave_since: datetime | None = None
    discharged_at: datetime | None = None
    discharged_on: date | None = None
    disposition: str = ""
    disposition_class: str = ""
    died: bool = False
    doubtful: bool = False
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None
    continued_as: str | None = None
    statements: tuple[Statement, ...] = ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    fact = stored.recorded.fact
    return (fact.stay if isinstance(fact, StayAttributed | StayDetached) else stored.recorded.stream,)


def _fold(key: str, row: StayRow | None, stored: StoredFact) -> StayRow:
    recorded = stored.recorded
    row = row or StayRow(key)
    match recorded.fact:
        case StayAttributed(episode=episode):
            return replace(row, member=recorded.stream, episode=episode)
        case StayDetached():
            return replace(row, member=None, episode=None) if row.member == recorded.stream else row
        case StayContinuedElsewhere(stay=stay):
            return replace(row, continued_as=stay, status=CONTINUED)
        case fact:
            told = Statement(
                kind=type(fact).__name__,
                fields={field.name: getattr(fact, field.name) for field in fields(fact)},
                event_id=recorded.event_id,
                occurred_at=recorded.occurred_at,
                recorded_at=recorded.recorded_at,
                actor=recorded.actor,
            )
            return _told(replace(row, statements=(*row.statements, told), source=getattr(fact, "source", row.source)))


def _told(row: StayRow) -> StayRow:
    said = sorted((statement.said() for statement in row.statements), key=lambda s: s.rank)
    course = course_of(said)
    admission = course.admissions[-1] if course.admissions else None
    discharge = course.discharges[-1] if course.discharges and course.discharges[-1].stopped_by is None else None
    received = [s.fact.received_at for s in said]
    return replace(
        row,
        status=row.status if row.continued_as is not None else _status(course),
        stay_class=course.stay_class.value,
        facility=course.facility,
        location=course.location,
        admitted_at=admission.at if admission is not None else None,
        admitted_on=admission.on if admission is not None else None,
        expected_discharge_on=course.expected_discharge_on,
        on_leave_since=course.on_leave_since,
        discharged_at=discharge.at if discharge is not None else None,
        discharged_on=discharge.day if discharge is not None else None,
        disposition=discharge.disposition if discharge is not None else "",
        disposition_class=discharge.way.value if discharge is not None else "",
        died=course.death is not None,
        doubtful=bool(course.doubts),
        first_received_at=min(received),
        last_received_at=max(received),
    )


def _status(course: Course) -> str:
    if course.cancelled:
        return CANCELLED
    if course.discharge is not None:
        return DISCHARGED
    return PLANNED if course.announced and not course.admissions else ADMITTED


STAYS = ReadModel(
    name="stays",
    row=StayRow,
    keys=_keys,
    fold=_fold,
    facts=(StayAttributed, StayDetached, StayContinuedElsewhere, *STATEMENTS.values()),
    indexes=("member, admitted_at", "episode"),
)
