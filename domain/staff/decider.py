"""Staff: who works here, in which roles, under which licences, and when they are away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from domain.calendar import end_of_day, local_date, start_of_day
from domain.caseload.facts import CaseReleased
from domain.caseload.state import FULL_TIME_PERCENT, Load, caseload_of, load_in
from domain.core import (
    ONE_SECOND,
    SYSTEM,
    Alarm,
    Command,
    Context,
    Decider,
    Decision,
    Instant,
    On,
    Recorded,
    Refusal,
    StreamId,
    personal,
)
from domain.episode.facts import LeadCareManagerReleased
from domain.remembered import Same, memory
from domain.staff.facts import OFFICE_ZONE as OFFICE_ZONE
from domain.staff.facts import (
    AbsenceAnnounced,
    AbsenceCalledOff,
    FullTimeShareAgreed,
    LanguagesNamed,
    Licence,
    LicenceRevoked,
    LicenceShown,
    Role,
    RoleGranted,
    RoleRevoked,
    StaffJoined,
    StaffLeft,
    TrainingCompleted,
)

UNASSIGNED_AT_ONCE_MAX = 60
"""Members that one departure can leave without a lead: a decision has its limit of facts. More are handed over first."""

TRAINING_LENGTH_MAX = 60
LANGUAGES_MAX = 20

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
    """`unassign_because`: the reason for which everybody whose lead they are is left without one, in the same decision."""

    last_day: date
    unassign_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameLanguages(Command):
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreeFullTimeShare(Command):
    percent: int
    from_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteTraining(Command):
    training: str
    completed_on: date
    expires_on: date | None = None


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staff:
    """One person. `absences` maps the first day to the last; `licences` and `trainings` to the last valid day; `shares` the first
    day of a share of full time to its percent."""

    joined: bool = False
    languages: tuple[str, ...] = ()
    supervisor: StreamId | None = None
    roles: frozenset[Role] = frozenset()
    licences: Mapping[Licence, date] = field(default_factory=dict)
    absences: Mapping[date, date] = field(default_factory=dict)
    trainings: Mapping[str, TrainingCompleted] = field(default_factory=dict)
    shares: Mapping[date, int] = field(default_factory=dict)
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

    def share_percent(self, at: Instant) -> int:
        """The share of full time that holds on the local day; full time where none was agreed."""
        day = local_date(at, OFFICE_ZONE)
        return self.shares[begun] if (begun := max((d for d in self.shares if d <= day), default=None)) else FULL_TIME_PERCENT

    def trained(self, training: str, at: Instant) -> bool:
        """Whether a training counts on the local day."""
        day, done = local_date(at, OFFICE_ZONE), self.trainings.get(training)
        return done is not None and done.completed_on <= day and (done.expires_on is None or day <= done.expires_on)


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
        case LanguagesNamed(languages=languages):
            return replace(state, languages=languages)
        case FullTimeShareAgreed(percent=percent, from_day=day):
            return replace(state, shares={**state.shares, day: percent})
        case TrainingCompleted(training=training) as done:
            return replace(state, trainings={**state.trainings, training: done})
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
        case LeaveStaff():
            return _leave(command, state, context, now)
        case NameLanguages(languages=languages):
            return _name_languages(languages, state)
        case AgreeFullTimeShare(percent=percent, from_day=day):
            if not 1 <= percent <= FULL_TIME_PERCENT:
                return Refusal("share_out_of_range", "percent: must be from 1 to 100; who does not work at all leaves instead")
            return () if state.shares.get(day) == percent else (FullTimeShareAgreed(percent=percent, from_day=day),)
        case CompleteTraining():
            return _complete_training(command, state)
        case _:
            raise AssertionError(f"staff does not know {type(command).__name__}")


def _leave(command: LeaveStaff, state: Staff, context: Context, now: Instant) -> Decision:
    """Nobody who leaves keeps members silently (domain.md scenario 65). A departure may be announced while they still lead, so that
    there is time to hand over; on the last day everybody must have gone to somebody else, or be left without a lead by name."""
    left = () if state.left_on == command.last_day else (StaffLeft(last_day=command.last_day),)
    cases = tuple(load_in(context, command.stream).cases)
    if not cases or (not command.unassign_because and command.last_day > local_date(now, OFFICE_ZONE)):
        return left
    if not command.unassign_because:
        return Refusal(
            "still_leads",
            f"last_day: they still lead {len(cases)} members' care; `throughline staff hand-over --from` gives them to others,"
            " or say why they are to have no lead (unassign_because)",
        )
    if len(cases) > UNASSIGNED_AT_ONCE_MAX:
        return Refusal(
            "too_many_to_unassign",
            f"unassign_because: {len(cases)} members are too many at once; `throughline staff hand-over --from` takes each",
        )
    unassigned = (
        On(stream, fact)
        for episode in cases
        for stream, fact in (
            (episode, LeadCareManagerReleased(staff=command.stream, reason=command.unassign_because)),
            (caseload_of(command.stream), CaseReleased(episode=episode, reason="left")),
        )
    )
    return (*left, *unassigned)


def _name_languages(languages: tuple[str, ...], state: Staff) -> Decision:
    named = tuple(dict.fromkeys(language.strip().lower() for language in languages))
    if not named or len(named) > LANGUAGES_MAX or not all(named):
        return Refusal("languages_missing", "languages: name at least one, by its code; such as en, es, vi")
    return () if named == state.languages else (LanguagesNamed(languages=named),)


def _complete_training(command: CompleteTraining, state: Staff) -> Decision:
    if not command.training or len(command.training) > TRAINING_LENGTH_MAX:
        return Refusal("training_unnamed", "training: must name the training in a word; such as person_centred_planning")
    if command.expires_on is not None and command.expires_on < command.completed_on:
        return Refusal("training_expired", "expires_on: must not come before completed_on")
    done = TrainingCompleted(training=command.training, completed_on=command.completed_on, expires_on=command.expires_on)
    return () if state.trainings.get(command.training) == done else (done,)


def reads(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    """Who leaves: what they carry too, and each episode of it."""
    actor = actor_stream(command.by)
    if not isinstance(command, LeaveStaff):
        return actor
    carried = caseload_of(command.stream)
    loaded = context.get(carried)
    cases = tuple(loaded.state.cases) if loaded is not None and isinstance(loaded.state, Load) else ()
    return (*actor, carried, *(cases if command.unassign_because else ()))


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
    return person.present(alarm.turning_at(_known_turns(Same(lambda: _turns(person), person))))


STAFF_MAX = 1_000
"""The comings and goings of so many people are remembered."""

_known_turns = memory(STAFF_MAX)


def _turns(person: Staff) -> tuple[Instant, ...]:
    """The instants at which somebody's presence turns, earliest first: no plan is to look again where nothing does."""
    days = person.presence_changes()
    edges = sorted({edge(day, OFFICE_ZONE) for day in days for edge in (start_of_day, end_of_day)})
    return tuple(edge for edge in edges if person.present(edge) != person.present(edge - ONE_SECOND))


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
