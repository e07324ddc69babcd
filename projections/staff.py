"""The staff directory: roles, licences and trainings with their last day, languages, shares of full time, absences. Names stay
sealed in the log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.staff.facts import (
    AbsenceAnnounced,
    AbsenceCalledOff,
    FullTimeShareAgreed,
    LanguagesNamed,
    LicenceRevoked,
    LicenceShown,
    RoleGranted,
    RoleRevoked,
    StaffJoined,
    StaffLeft,
    TrainingCompleted,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

ABSENCES_MAX = 100


@dataclass(frozen=True, slots=True)
class HeldLicence:
    licence: str
    expires_on: date


@dataclass(frozen=True, slots=True)
class Absence:
    """From the first to the last local day, both included."""

    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class ShareOfFullTime:
    """So many percent of full time from that local day on."""

    from_day: date
    percent: int


@dataclass(frozen=True, slots=True)
class DoneTraining:
    """`expires_on`: the last day on which it counts; None: it always does."""

    training: str
    completed_on: date
    expires_on: date | None


@dataclass(frozen=True, slots=True)
class StaffDirectoryRow:
    """`key` is the staff stream."""

    key: str
    joined_at: datetime
    languages: tuple[str, ...] = ()
    supervisor: str | None = None
    roles: tuple[str, ...] = ()
    licences: tuple[HeldLicence, ...] = ()
    absences: tuple[Absence, ...] = ()
    last_day: date | None = None
    shares: tuple[ShareOfFullTime, ...] = ()
    trainings: tuple[DoneTraining, ...] = ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: StaffDirectoryRow | None, stored: StoredFact) -> StaffDirectoryRow | None:
    fact, at = stored.recorded.fact, stored.recorded.occurred_at
    if row is None:
        row = StaffDirectoryRow(key, at)
    match fact:
        case StaffJoined(languages=languages, supervisor=supervisor):
            return replace(row, languages=languages, supervisor=supervisor, last_day=None)
        case RoleGranted(role=role):
            return replace(row, roles=tuple(sorted({*row.roles, role.value})))
        case RoleRevoked(role=role):
            return replace(row, roles=tuple(r for r in row.roles if r != role.value))
        case LicenceShown(licence=licence, expires_on=expires_on):
            others = (held for held in row.licences if held.licence != licence.value)
            return replace(row, licences=(*others, HeldLicence(licence.value, expires_on)))
        case LicenceRevoked(licence=licence):
            return replace(row, licences=tuple(held for held in row.licences if held.licence != licence.value))
        case AbsenceAnnounced(first_day=first_day, last_day=last_day):
            others_ = (a for a in row.absences if a.first_day != first_day)
            absences = sorted((*others_, Absence(first_day, last_day)), key=lambda a: a.first_day)
            return replace(row, absences=tuple(absences[-ABSENCES_MAX:]))
        case AbsenceCalledOff(first_day=first_day):
            return replace(row, absences=tuple(a for a in row.absences if a.first_day != first_day))
        case StaffLeft(last_day=last_day):
            return replace(row, last_day=last_day)
        case LanguagesNamed(languages=languages):
            return replace(row, languages=languages)
        case FullTimeShareAgreed(percent=percent, from_day=from_day):
            shares = (*(s for s in row.shares if s.from_day != from_day), ShareOfFullTime(from_day, percent))
            return replace(row, shares=tuple(sorted(shares, key=lambda s: s.from_day)))
        case TrainingCompleted(training=training, completed_on=completed_on, expires_on=expires_on):
            trainings = (t for t in row.trainings if t.training != training)
            return replace(row, trainings=(*trainings, DoneTraining(training, completed_on, expires_on)))
        case _:
            return row


STAFF = ReadModel(
    name="staff",
    row=StaffDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(
        AbsenceAnnounced,
        AbsenceCalledOff,
        FullTimeShareAgreed,
        LanguagesNamed,
        LicenceRevoked,
        LicenceShown,
        RoleGranted,
        RoleRevoked,
        StaffJoined,
        StaffLeft,
        TrainingCompleted,
    ),
)
