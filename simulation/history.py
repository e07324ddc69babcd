"""Months of an invented programme: plans send files, hospitals send messages, people call, visit and sometimes forget.

Everything goes in by the ways that the real ones use: files and messages through the front door, people's records as commands. Each
member lives one of the `LIVES`; a life is a table of what happens so many days after the plan's file came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from domain.alerts import AcknowledgeAlert
from domain.core import Command, Instant, Refusal, StreamId
from domain.episode.decider import CloseEpisode, Decline, Defer, Enrol
from domain.episode.facts import ClosureReason
from domain.episode.leads import AssignLeadCareManager
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.decider import LoseCoverage, OptOut, ReportDeath, RestoreCoverage
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt, RecordContact
from domain.outreach.facts import Outcome
from domain.requests import RequestState
from domain.staff.decider import JoinStaff, ShowLicence
from domain.staff.facts import Licence, Role
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact
from eventlog.gateway import Gateway
from simulation.health_plan import member_file
from simulation.hospital import Hospital
from simulation.people import Person, cast
from simulation.virtual import VirtualProgramme

PACIFIC = ZoneInfo("America/Los_Angeles")
SCRIPT = UUID("5f3b6c2e-0f9f-4d0c-8f0e-9d5d6e6f2b11")
"""The name space of the script's command ids and staff."""

PLANS = ("valley-health", "coast-care", "default")
FILE_EVERY_DAYS = 14


class FrontDoor(Protocol):
    """How files and messages get in, on the virtual clock; and how a CIN leads to its member."""

    def hl7(self, raw: bytes) -> None: ...

    def file(self, raw: bytes, plan: str) -> None: ...

    def member_of(self, cin: str) -> StreamId | None: ...


@dataclass(frozen=True, slots=True)
class Team:
    """The staff of the invented programme, by stream id."""

    care_managers: tuple[StreamId, ...]
    nurse: StreamId
    supervisor: StreamId
    operator: StreamId


@dataclass(frozen=True, slots=True)
class Scene:
    """One line of a life: so many days after the file, at a local hour, something happens."""

    day: int
    hour: float
    what: str
    with_: str = ""


def _(day: int, hour: float, what: str, with_: str = "") -> Scene:
    return Scene(day, hour, what, with_)


REACHED = (_(1, 10, "call", "no_answer"), _(3, 15.5, "call", "voicemail"), _(5, 11, "call", "reached"), _(7, 13, "enrol"))
CARED_FOR = (
    _(41, 9, "notice"), _(44, 10.5, "talk"), _(45, 14, "items", "discharge_document discharge_risk_assessment"),
    _(47, 15, "visit_home"), _(48, 10, "reconcile"), _(49, 11, "items", "follow_up_appointment medicines_obtained"),
    _(56, 10, "talk", "side_effects_asked day_14_contact"), _(72, 10, "items", "primary_care_connected needs_connected"),
)  # fmt: skip

LIVES: dict[str, tuple[Scene, ...]] = {
    "reached": REACHED,
    "reached_by_visit": (
        _(1, 17, "call", "no_answer"), _(4, 11, "call", "wrong_number"), _(6, 14, "visit", "reached"), _(9, 10, "enrol"),
    ),
    "reached_too_late": (
        _(2, 10, "call", "voicemail"), _(6, 14, "call", "no_answer"), _(14, 11, "call", "reached"), _(17, 9, "enrol"),
    ),
    "declined": (_(2, 9.5, "call", "voicemail"), _(4, 16, "call", "reached"), _(4, 16.1, "decline")),
    "deferred": (_(2, 11, "call", "reached"), _(2, 11.2, "defer"), _(50, 10, "call", "reached"), _(52, 10, "enrol")),
    "never_found": (
        _(1, 10, "call", "no_answer"), _(3, 17, "call", "voicemail"), _(6, 14, "visit", "not_there"), _(9, 10, "call", "no_answer"),
        _(16, 11, "call", "voicemail"), _(23, 15, "visit", "not_there"), _(34, 10, "close_unable_to_reach"),
    ),
    "stopped_texts": (_(2, 12, "stop_texts"), _(3, 10, "call", "no_answer"), _(8, 16, "visit", "reached"), _(10, 9, "enrol")),
    "hospital": (*REACHED, _(40, 21, "admit"), _(43, 15, "discharge"), *CARED_FOR),
    "hospital_forgotten": (
        *REACHED, _(30, 3, "admit"), _(33, 11, "discharge"), _(36, 10, "leave_word"), _(45, 14, "talk"),
    ),
    "hospital_twice": (
        *REACHED, _(25, 20, "admit"), _(27, 15, "discharge"), _(28, 10, "talk"), _(31, 4, "admit_again"),
        _(35, 13, "discharge_again"), _(36, 10, "talk"), _(39, 14, "visit_home"),
    ),
    "emergency": (*REACHED, _(20, 23, "emergency"), _(21, 4, "sent_home")),
    "admitted_in_error": (*REACHED, _(22, 9, "admit"), _(22, 13, "cancel_admission")),
    "uncovered": (
        *REACHED[:2], _(6, 0, "lose_coverage"), _(40, 9, "restore_coverage"), _(43, 10, "call", "reached"),
        _(45, 9, "enrol"),
    ),
    "died": (*REACHED, _(35, 8, "death"), _(38, 10, "close_deceased")),
    "bedside": (
        _(1, 10, "call", "no_answer"), _(3, 22, "admit"), _(5, 11, "visit", "reached"), _(6, 14, "discharge"), _(8, 9, "enrol"),
    ),
    "unheeded": (),
}  # fmt: skip

ORDER = (
    "reached", "hospital", "never_found", "reached", "declined", "hospital_forgotten", "reached_too_late", "emergency",
    "reached_by_visit", "uncovered", "hospital_twice", "deferred", "bedside", "stopped_texts", "admitted_in_error", "died",
    "reached", "unheeded",
)  # fmt: skip
"""Which life the members lead, one after another."""


@dataclass
class Programme:
    """The invented programme: who works there, who was assigned, and what they do."""

    gateway: Gateway
    door: FrontDoor
    run: VirtualProgramme
    hospital: Hospital = field(default_factory=Hospital)
    people: tuple[Person, ...] = ()
    team: Team | None = None
    refused: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def write(self, since: Instant, until: Instant, size: int, progress: Callable[[Instant], None] = lambda now: None) -> None:
        """Everything that happens from the opening of the programme until an instant."""
        self.people = cast(size)
        self.team = self._hire()
        arrivals = _arrivals(since, until, size)
        for number, person in enumerate(self.people):
            life = LIVES[ORDER[number % len(ORDER)]]
            for scene in life:
                at = _local(arrivals[number] + timedelta(days=scene.day), scene.hour)
                if at < until:
                    self.run.at(at, partial(self.perform, person, scene))
        for day in sorted(set(arrivals)):
            for plan_number, plan in enumerate(PLANS):
                listed = tuple(p for p in self.people if arrivals[p.number] == day and p.number % len(PLANS) == plan_number)
                if listed:
                    self.run.at(_local(day, 7 + plan_number), partial(self.assign, listed, plan, day))
        self.run.run_until(until, progress)

    def assign(self, people: tuple[Person, ...], plan: str, day: date) -> None:
        """A plan's file comes, and the supervisor gives each new member a lead care manager."""
        assert self.team is not None
        self.door.file(member_file(people, effective_on=day.replace(day=1), authorized_on=day - timedelta(days=6)), plan)
        for person in people:
            leads = self.team.care_managers
            lead = leads[person.number % len(leads)]
            self._tell(self._episode(person), AssignLeadCareManager, self.team.supervisor, staff=lead)

    def perform(self, person: Person, scene: Scene) -> None:
        """One scene of a life. What the rules refuse is kept in `refused`: a script may be wrong, a history not."""
        now, lead, with_ = self.run.now, self._lead(person), scene.with_
        assert self.team is not None
        match scene.what:
            case "call" | "visit":
                self._attempt(person, lead, Channel(scene.what), Outcome(with_))
            case "enrol":
                self._tell(self._episode(person), Enrol, lead, agreed="verbal")
            case "decline":
                self._tell(self._episode(person), Decline, lead, how="said so on the telephone")
            case "defer":
                until = (now + timedelta(days=45)).astimezone(PACIFIC).date()
                self._tell(self._episode(person), Defer, lead, until=until)
            case "close_unable_to_reach":
                self._tell(self._episode(person), CloseEpisode, self.team.supervisor, reason=ClosureReason.UNABLE_TO_REACH)
            case "stop_texts":
                self._tell(self._member(person), OptOut, lead, channel=Channel.TEXT, how="STOP")
            case "lose_coverage":
                self._tell(self._member(person), LoseCoverage, self.team.operator, reason="redetermination")
            case "restore_coverage":
                self._tell(self._member(person), RestoreCoverage, self.team.operator, reason="papers arrived")
            case "death":
                self._tell(self._member(person), ReportDeath, lead, source="family")
            case "close_deceased":
                self._tell(self._episode(person), CloseEpisode, self.team.supervisor, reason=ClosureReason.DECEASED)
            case "admit" | "admit_again" | "emergency":
                visit = self._visit(person, new=True)
                stay_class = "E" if scene.what == "emergency" else "I"
                self.door.hl7(self.hospital.admit(person, visit, now, now + timedelta(minutes=4), stay_class))
            case "discharge" | "discharge_again" | "sent_home":
                stay_class = "E" if scene.what == "sent_home" else "I"
                said_at = now + timedelta(minutes=11)
                self.door.hl7(self.hospital.discharge(person, self._visit(person), now, said_at, stay_class=stay_class))
            case "cancel_admission":
                self.door.hl7(self.hospital.cancel_admission(person, self._visit(person), now))
            case "notice":
                self._read_notices(person, lead)
            case "talk":
                items = ("call", "synchronous_interaction", *with_.split())
                self._talk(person, lead, Interaction.PHONE, 20, items)
            case "visit_home":
                items = ("visit", "medicines_understood")
                self._talk(person, lead, Interaction.IN_PERSON, 45, items)
            case "leave_word":
                said = {"interaction": Interaction.VOICEMAIL, "outcome": AttemptOutcome.VOICEMAIL}
                self._tell(self._transition(person), RecordTransitionAttempt, lead, **said)
            case "reconcile":
                self._done(person, self.team.nurse, "medication_reconciliation", Interaction.PHONE, SpokenTo.MEMBER)
            case "items":
                for item in with_.split():
                    self._done(person, lead, item, Interaction.DOCUMENT, SpokenTo.PRACTICE)
            case _:
                raise AssertionError(scene.what)

    # --- what people do ---

    def _hire(self) -> Team:
        spoken = (("en",), ("en", "es"), ("en", "vi"))
        managers = tuple(self._join(f"care manager {n}", (Role.CARE_MANAGER,), tongues) for n, tongues in enumerate(spoken, 1))
        nurse = self._join("nurse", (Role.CARE_MANAGER,))
        team = Team(managers, nurse, _staff("supervisor"), self._join("operator", (Role.OPERATOR,)))
        self._join("supervisor", (Role.SUPERVISOR, Role.CARE_MANAGER))
        self._tell(nurse, ShowLicence, team.supervisor, licence=Licence.RN, expires_on=date(2028, 6, 30))
        return team

    def _join(self, title: str, roles: tuple[Role, ...], languages: tuple[str, ...] = ("en",)) -> StreamId:
        stream = _staff(title)
        supervisor = None if title == "supervisor" else _staff("supervisor")
        address = f"{title.replace(' ', '.')}@throughline.example"
        said = {"name": title.title(), "email": address, "supervisor": supervisor}
        self._tell(stream, JoinStaff, "system", roles=roles, languages=languages, **said)
        return stream

    def _attempt(self, person: Person, lead: StreamId, channel: Channel, outcome: Outcome) -> None:
        member = self.gateway.load(self._member(person)).state
        points = member.usable_points(channel, self.run.now)
        point = points[0].id if points else ""
        after_the_end = self.gateway.load(self._episode(person)).state.closure(self.run.now) is not None
        kind: Any = RecordContact if after_the_end else RecordAttempt
        said = {} if after_the_end else {"outcome": outcome, "point": point}
        self._tell(self._outreach(person), kind, lead, channel=channel, minutes=8, **said)

    def _read_notices(self, person: Person, lead: StreamId) -> None:
        stream = self._transition(person)
        for request in self.gateway.load(stream).state.requests.by_key.values():
            unread = request.state is RequestState.SENT and request.acknowledged_at is None
            if unread and request.asked.template == "admission_notice":
                self._tell(stream, AcknowledgeAlert, lead, key=request.asked.key)

    def _talk(self, person: Person, by: StreamId, interaction: Interaction, minutes: int, items: tuple[str, ...]) -> None:
        said = {"interaction": interaction, "spoken_to": SpokenTo.MEMBER, "minutes": minutes, "items": items}
        self._tell(self._transition(person), RecordTransitionContact, by, **said)

    def _done(self, person: Person, by: StreamId, item: str, interaction: Interaction, spoken_to: SpokenTo) -> None:
        self._tell(self._transition(person), CompleteItem, by, item=item, interaction=interaction, spoken_to=spoken_to)

    def _tell(self, stream: StreamId, kind: type[Command], by: str, **said: Any) -> None:
        name = f"{stream}/{kind.__name__}"
        self._numbers[name] = number = self._numbers.get(name, 0) + 1
        command = kind(stream=stream, by=by, occurred_at=self.run.now, **said)
        outcome = self.gateway.handle(command, command_id=uuid5(SCRIPT, f"{name}/{number}"))
        if isinstance(outcome, Refusal):
            self.refused.append(f"{kind.__name__}: {outcome.code}")

    # --- who is who ---

    def _member(self, person: Person) -> StreamId:
        stream = self.door.member_of(person.cin)
        assert stream is not None, "a script names a member whom no plan assigned yet"
        return stream

    def _episode(self, person: Person) -> StreamId:
        episodes: tuple[StreamId, ...] = self.gateway.load(self._member(person)).state.episodes
        return episodes[-1]

    def _outreach(self, person: Person) -> StreamId:
        return self._episode(person).replace("episode-", "outreach-", 1)

    def _transition(self, person: Person) -> StreamId:
        return self._episode(person).replace("episode-", "transition-", 1)

    def _lead(self, person: Person) -> StreamId:
        assert self.team is not None
        return self.team.care_managers[person.number % len(self.team.care_managers)]

    def _visit(self, person: Person, new: bool = False) -> str:
        key = f"visit/{person.number}"
        self._numbers[key] = number = self._numbers.get(key, 0) + new
        return f"V{int(hashlib.sha256(key.encode()).hexdigest()[:6], 16):08d}{number}"


def _arrivals(since: Instant, until: Instant, size: int) -> tuple[date, ...]:
    """The day on which each member is assigned: files come every two weeks, and the last ones so that dues are near."""
    first, last = since.astimezone(PACIFIC).date(), until.astimezone(PACIFIC).date()
    days = [first + timedelta(days=n) for n in range(1, (last - first).days - 11, FILE_EVERY_DAYS)]
    days += [last - timedelta(days=n) for n in (9, 7, 3)]
    return tuple(days[number * len(days) // size] for number in range(size))


def _local(day: date, hour: float) -> datetime:
    clock = time(int(hour), round(hour % 1 * 60) % 60)
    return datetime.combine(day, clock, PACIFIC).astimezone(ZoneInfo("UTC"))


def _staff(title: str) -> StreamId:
    return f"staff-{uuid5(SCRIPT, title)}"
