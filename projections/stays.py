"""Hospital stays, as their statements add up.

For each question the statement that was said last wins, never the one that came last (messages.md, decision 6): the row keeps what
each statement says and is told anew, lowest rank first, whenever one is added. `domain.stay` decides over the same statements; a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from domain.member.facts import StayAttributed, StayDetached
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    StayStatement,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

ADMITTED, DISCHARGED, CANCELLED = "admitted", "discharged", "cancelled"
STATUSES = (ADMITTED, DISCHARGED, CANCELLED)

AHEAD_MAX = timedelta(hours=24)
"""A time further ahead of its receipt waits for review and is not shown as if it were so (messages.md 1.4)."""

STILL_A_PATIENT = "still_a_patient"
UNMAPPED = "unmapped"

DISPOSITION_CLASSES: Mapping[str, str] = {
    code: name
    for name, codes in (
        ("home", "01 81"),
        ("home_health", "06 86"),
        ("transfer", "02 05 43 65 66 82 85 88 93 94"),
        ("facility", "03 04 61 62 63 64 69 70 83 84 89 90 91 92 95"),
        ("against_advice", "07"),
        ("expired", "20 40 41 42"),
        ("court", "21 87"),
        (STILL_A_PATIENT, "30"),
        ("hospice", "50 51"),
        ("admitted_here", "09"),
    )
    for code in codes.split()
}
"""What a discharge disposition amounts to (messages.md 1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one message, or one person, said of the stay."""

    order: str
    event_id: str
    kind: str
    received_at: datetime
    facility: str = ""
    stay_class: str = ""
    admitted_at: datetime | None = None
    admitted_on: date | None = None
    discharged_at: datetime | None = None
    discharged_on: date | None = None
    disposition: str | None = None
    disposition_said: str = ""
    died: bool = False


@dataclass(frozen=True, slots=True)
class StayRow:
    """`key` is the stay's stream. `member` is None until the stay is attributed. `doubtful`: something said of it waits for a
    person and does not count yet: a time too far ahead, a discharge before the admission, "still a patient"."""

    key: str
    member: str | None = None
    episode: str | None = None
    status: str = ADMITTED
    stay_class: str = ""
    facility: str = ""
    source: str = ""
    admitted_at: datetime | None = None
    admitted_on: date | None = None
    discharged_at: datetime | None = None
    discharged_on: date | None = None
    disposition: str = ""
    disposition_class: str = ""
    died: bool = False
    doubtful: bool = False
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None
    statements: tuple[Statement, ...] = ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    fact = stored.recorded.fact
    return (fact.stay if isinstance(fact, StayAttributed | StayDetached) else stored.recorded.stream,)


def _fold(key: str, row: StayRow | None, stored: StoredFact) -> StayRow:
    fact = stored.recorded.fact
    row = row or StayRow(key)
    match fact:
        case StayAttributed(episode=episode):
            return replace(row, member=stored.recorded.stream, episode=episode)
        case StayDetached():
            return replace(row, member=None, episode=None) if row.member == stored.recorded.stream else row
        case _:
            statements = tuple(
                sorted((*row.statements, _statement(stored.recorded.event_id, fact)), key=lambda s: (s.order, s.event_id))
            )
            return _told(replace(row, statements=statements, source=fact.source))


def _statement(event_id: str, fact: StayStatement) -> Statement:
    said = Statement(
        order=fact.order, event_id=event_id, kind=type(fact).__name__, received_at=fact.received_at, facility=fact.facility
    )
    match fact:
        case MemberAdmitted():
            return replace(said, stay_class=_known(fact.stay_class), admitted_at=fact.admitted_at, admitted_on=fact.admitted_on)
        case MemberDischarged():
            return replace(
                said,
                stay_class=_known(fact.stay_class),
                admitted_at=fact.admitted_at,
                discharged_at=fact.discharged_at,
                discharged_on=fact.discharged_on,
                disposition=fact.disposition,
                disposition_said=fact.disposition_said,
            )
        case StayDescribed():
            return replace(
                said,
                stay_class=_known(fact.stay_class),
                admitted_at=fact.admitted_at,
                discharged_at=fact.discharged_at,
                discharged_on=fact.discharged_on,
                disposition=fact.disposition,
                died=fact.died,
            )
        case AdmissionCancelled() | DischargeCancelled():
            return said


def _known(stay_class: StayClass | None) -> str:
    return "" if stay_class in (None, StayClass.UNKNOWN) else stay_class.value


@dataclass(slots=True)
class _Course:
    """The stay while its statements are gone through."""

    stands: bool = False
    cancelled: bool = False
    facility: str = ""
    stay_class: str = ""
    admitted: tuple[datetime, date | None] | None = None
    discharged: tuple[datetime, date | None] | None = None
    disposition: str = ""
    died: bool = False
    doubtful: bool = False

    def take(self, said: Statement) -> None:
        self.facility = said.facility or self.facility
        self.stay_class = said.stay_class or self.stay_class
        match said.kind:
            case "MemberAdmitted":
                self._open(said)
            case "MemberDischarged":
                self._open(said)
                self._discharge(said)
            case "StayDescribed":
                self._describe(said)
            case "AdmissionCancelled":
                self.cancelled = self.cancelled or self.stands
                self.stands, self.discharged, self.disposition, self.doubtful = False, None, "", False
            case "DischargeCancelled":
                self.discharged, self.disposition, self.doubtful = None, "", False

    def _open(self, said: Statement) -> None:
        if not self.stands:
            self.stands, self.cancelled, self.admitted = True, False, None
        self._admit(said)

    def _admit(self, said: Statement) -> None:
        if said.admitted_at is None or not self.stands:
            return
        if _ahead(said.admitted_at, said):
            self.doubtful = True
            return
        self.admitted = (said.admitted_at, said.admitted_on)

    def _discharge(self, said: Statement) -> None:
        assert said.discharged_at is not None and said.disposition is not None
        if DISPOSITION_CLASSES.get(said.disposition) == STILL_A_PATIENT or _ahead(said.discharged_at, said):
            self.doubtful = True
            return
        if self.discharged is None or said.disposition or said.disposition_said:
            self.disposition = said.disposition
        self.discharged = (said.discharged_at, said.discharged_on)

    def _describe(self, said: Statement) -> None:
        self._admit(said)
        self.died = self.died or said.died
        if self.discharged is None:
            return
        if said.discharged_at is not None and not _ahead(said.discharged_at, said):
            self.discharged = (said.discharged_at, said.discharged_on)
        if said.disposition is not None and DISPOSITION_CLASSES.get(said.disposition) != STILL_A_PATIENT:
            self.disposition = said.disposition


def _ahead(at: datetime, said: Statement) -> bool:
    return at > said.received_at + AHEAD_MAX


def _told(row: StayRow) -> StayRow:
    course = _Course()
    for said in row.statements:
        course.take(said)
    admitted_at, admitted_on = course.admitted or (None, None)
    discharged_at, discharged_on = course.discharged or (None, None)
    backwards = admitted_at is not None and discharged_at is not None and discharged_at < admitted_at
    received = [s.received_at for s in row.statements]
    return replace(
        row,
        status=CANCELLED if course.cancelled else DISCHARGED if course.discharged and not backwards else ADMITTED,
        stay_class=course.stay_class or StayClass.UNKNOWN.value,
        facility=course.facility,
        admitted_at=admitted_at,
        admitted_on=admitted_on,
        discharged_at=discharged_at,
        discharged_on=discharged_on,
        disposition=course.disposition,
        disposition_class=DISPOSITION_CLASSES.get(course.disposition, UNMAPPED) if course.discharged else "",
        died=course.died,
        doubtful=course.doubtful or backwards,
        first_received_at=min(received),
        last_received_at=max(received),
    )


STAYS = ReadModel(
    name="stays",
    row=StayRow,
    keys=_keys,
    fold=_fold,
    facts=(
        StayAttributed,
        StayDetached,
        MemberAdmitted,
        MemberDischarged,
        StayDescribed,
        AdmissionCancelled,
        DischargeCancelled,
    ),
    indexes=("member, admitted_at", "episode"),
)
