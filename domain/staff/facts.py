"""What is said of a member of staff: the facts of a `staff-` stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import Fact, StreamId, personal

OFFICE_ZONE = "America/Los_Angeles"
"""Licences, absences, shares of full time and last days are counted in the office's local days."""


class Role(StrEnum):
    """What a person may do here; also the roles of bearer tokens."""

    CARE_MANAGER = "care_manager"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"
    HOSPITAL = "hospital"
    AUDITOR = "auditor"


class Licence(StrEnum):
    """Licences under which a medication reconciliation counts: prescriber, pharmacist or registered nurse (domain.md 3.2)."""

    RN = "rn"
    PHARMACIST = "pharmacist"
    PRESCRIBER = "prescriber"
    LCSW = "lcsw"
    LVN = "lvn"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffJoined(Fact):
    languages: tuple[str, ...] = ("en",)
    supervisor: StreamId | None = None
    name: str | None = personal()
    email: str | None = personal()
    phone: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGranted(Fact):
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRevoked(Fact):
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceShown(Fact):
    """A licence was seen; `expires_on` is the last day on which it is valid."""

    licence: Licence
    expires_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceRevoked(Fact):
    licence: Licence


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsenceAnnounced(Fact):
    """Away from the first to the last local day, both included."""

    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsenceCalledOff(Fact):
    first_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffLeft(Fact):
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagesNamed(Fact):
    """All the languages in which they can speak with members, from now on."""

    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTimeShareAgreed(Fact):
    """They work so many percent of full time from that local day on."""

    percent: int
    from_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCompleted(Fact):
    """`training` names it, such as person_centred_planning. `expires_on`: the last day on which it counts (None: always)."""

    training: str
    completed_on: date
    expires_on: date | None = None
