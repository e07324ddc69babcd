"""Staff: who works here, in which roles, under which licences, and when they are away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from domain.calendar import end_of_day, local_date, start_of_day
from domain.core import SYSTEM, Alarm, Command, Context, Decider, Decision, Instant, Recorded, Refusal, StreamId, personal
from domain.staff.facts import (
    AbsenceAnnounced,
    AbsenceCalledOff,
    Licence,
    LicenceRevoked,
    LicenceShown,
    Role,
    RoleGranted,
    RoleRevoked,
    StaffJoined,
    StaffLeft,
)

OFFICE_ZONE = "America/Los_Angeles"
"""Licences and absences are counted in the office's local days."""

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStaff(Command):
    languages: tuple[str, ...] = ("en",)
    supervisor: StreamId | None = None
    roles: tuple[Role, ...] = ()
    name: str | None = personal()
    email: str | None = personal()
    phone: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRole(Command):
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeRole(Command):
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowLicence(Command):
    licence: Licence
    expires_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeLicence(Command):
    licence: Licence


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceAbsence(Command):
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOffAbsence(Command):
    first_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveStaff(Command):
    last_day: date


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staff:
    """One person. `absences` maps the first day to the last; `licences` to the last valid day."""

    joined: bool = False
    languages: tuple[str, ...] = ()
    supervisor: StreamId | None = None
    roles: frozenset[Role] = frozenset()
    licences: Mapping[Licence, date] = field(default_factory=dict)
    absences: Mapping[date, date] = field(default_factory=dict)
    left_on: date | None = None
    name: str | None = None
    email: str | None = None

    def works(self, at: Instant) -> bool:
        return self.joined and (self.left_on is None or local_date(at, OFFICE_ZONE) <= self.left_on)

    def present(self, at: Instant) -> bool:
        """Employed and not away on the local day."""
        day = local_date(at, OFFICE_ZONE)
        return self.works(at) and not any(first <= day <= last for first, last in self.absences.items())

    def presence_changes(self) -> tuple[date, ...]:
        """The days on which `present` can turn: a plan that asked wakes then."""
        ends = (self.left_on,) if self.left_on else ()
        return (*self.absences.keys(), *self.absences.values(), *ends)

    def licensed(self, wanted: tuple[Licence, ...], at: Instant) -> Licence | None:
        """A licence of the wanted ones that is valid on the local day."""
        day = local_date(at, OFFICE_ZONE)
        return next((w for w in wanted if w in self.licences and day <= self.licences[w]), None)


def evolve(state: Staff, recorded: Recorded) -> Staff:
    match recorded.fact:
        case StaffJoined() as f:
            known = replace(state, joined=True, left_on=None, languages=f.languages, supervisor=f.supervisor)
            return replace(known, name=f.name, email=f.email)
        case RoleGranted(role=role):
            return replace(state, roles=state.roles | {role})
        case RoleRevoked(role=role):
            return replace(state, roles=state.roles - {role})
        case LicenceShown(licence=licence, expires_on=day):
            return replace(state, licences={**state.licences, licence: day})
        case LicenceRevoked(licence=licence):
            return replace(state, licences={k: v for k, v in state.licences.items() if k is not licence})
        case AbsenceAnnounced(first_day=first, last_day=last):
            return replace(state, absences={**state.absences, first: last})
        case AbsenceCalledOff(first_day=first):
            return replace(state, absences={k: v for k, v in state.absences.items() if k != first})
        case StaffLeft(last_day=day):
            return replace(state, left_on=day)
        case _:
            return state


def decide(command: Any, state: Staff, context: Context, book: Any, now: Instant) -> Decision:
    if refusal := refused(command.by, context, now, Role.SUPERVISOR, Role.OPERATOR):
        return refusal
    match command:
        case JoinStaff():
            if state.joined and state.left_on is None:
                return ()
            joined = StaffJoined(
                languages=command.languages,
                supervisor=command.supervisor,
                name=command.name,
                email=command.email,
                phone=command.phone,
            )
            return (joined, *(RoleGranted(role=role) for role in command.roles))
        case _ if not state.joined:
            return Refusal("unknown_staff", "stream: is nobody on the staff; add them first, with `throughline staff add`")
        case GrantRole(role=role):
            return () if role in state.roles else (RoleGranted(role=role),)
        case RevokeRole(role=role):
            return (RoleRevoked(role=role),) if role in state.roles else ()
        case ShowLicence(licence=licence, expires_on=day):
            return () if state.licences.get(licence) == day else (LicenceShown(licence=licence, expires_on=day),)
        case RevokeLicence(licence=licence):
            return (LicenceRevoked(licence=licence),) if licence in state.licences else ()
        case AnnounceAbsence(first_day=first, last_day=last):
            if last < first:
                return Refusal("absence_ends_first", "last_day: must not come before first_day")
            return () if state.absences.get(first) == last else (AbsenceAnnounced(first_day=first, last_day=last),)
        case CallOffAbsence(first_day=first):
            return (AbsenceCalledOff(first_day=first),) if first in state.absences else ()
        case LeaveStaff(last_day=day):
            return () if state.left_on == day else (StaffLeft(last_day=day),)
        case _:
            raise AssertionError(f"staff does not know {type(command).__name__}")


def reads(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    return actor_stream(command.by)


DECIDER = Decider("staff", lambda stream: Staff(), evolve, decide, reads)


# --- authority: used by every decider ------------------------------------------------------------------------------------------


def actor_stream(by: str) -> tuple[StreamId, ...]:
    """The stream to read to know what an actor may do: none for the software itself and for feeds."""
    return (by,) if by.startswith("staff-") else ()


def staff_in(context: Context, stream: str | None) -> Staff:
    """The person, or a nobody."""
    loaded = context.get(stream) if stream else None
    return loaded.state if loaded is not None and isinstance(loaded.state, Staff) else Staff()


def present_now(person: Staff, alarm: Alarm) -> bool:
    """Whether somebody is there now; the alarm keeps the days on which that turns."""
    for day in person.presence_changes():
        alarm.reached(start_of_day(day, OFFICE_ZONE))
        alarm.reached(end_of_day(day, OFFICE_ZONE))
    return person.present(alarm.now)


def refused(by: str, context: Context, at: Instant, *roles: Role, feeds: bool = False) -> Refusal | None:
    """Why an actor may not do something that needs one of the roles; None where they may.

    The software itself may do everything; a feed (`source:…`) only where `feeds`."""
    if by == SYSTEM or (feeds and by.startswith("source:")):
        return None
    person = staff_in(context, by)
    wanted = " or ".join(role.value for role in roles)
    if not person.works(at):
        return Refusal("actor_unknown", f"by: is nobody on the staff today; needed is a {wanted}")
    if not person.roles & set(roles):
        return Refusal("not_authorised", f"by: has not the role that this needs: {wanted}; ask somebody who has")
    return None
