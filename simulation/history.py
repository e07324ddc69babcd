"""A year and more of an invented programme: plans send files, hospitals send messages, people call, visit and sometimes forget.

Everything goes in by the ways that the real ones use: files and messages through the front door, people's records as commands. Each
member lives one of the `LIVES`; what care managers do because it is owed they read off their worklist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

from domain.alerts import AcknowledgeAlert
from domain.core import Instant, StreamId
from domain.episode.authorisations import AuthorisationBasis, CarryOver, GrantAuthorisation
from domain.episode.closing import AgreeStepDown, CloseEpisode, Decline, MakeWarmHandOff
from domain.episode.enrolment import Defer, Enrol, EnrolmentStep, RecordEnrolmentVisit
from domain.episode.facts import ClosureReason
from domain.episode.holds import Hold, Resume
from domain.episode.leads import AssignLeadCareManager, HandOver
from domain.followup.decider import AgreeCadence, EndCadenceAgreement
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.circumstances import (
    Circumstance,
    EndCircumstance,
    LearnCounty,
    NoteCircumstance,
    RecordDiagnosis,
    ReportVisit,
    VisitKind,
)
from domain.member.decider import LoseCoverage, OptOut, ReportDeath, RestoreCoverage
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt, RecordContact
from domain.outreach.facts import Outcome
from domain.requests import RequestState
from domain.staff.decider import LeaveStaff
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact
from eventlog.gateway import Gateway
from simulation.desk import PACIFIC, Desk, FrontDoor, Team, local
from simulation.health_plan import member_file
from simulation.hospital import Hospital
from simulation.lives import LIVES, ORDER, WHOLE_YEARS, Scene
from simulation.office import Office, meet_goals
from simulation.people import Person, cast
from simulation.virtual import VirtualProgramme

PLANS = ("valley-health", "coast-care", "default")
FILE_EVERY_DAYS = 14
COUNTIES = {"Stockton": "San Joaquin", "Modesto": "Stanislaus", "Merced": "Merced"}
FIRST_WEEKS_DAYS = 28
"""Within these the members arrive who are to live whole years."""

LEAVES_DAYS_BEFORE_END = 75
"""When a care manager leaves, and hands over everybody."""


@dataclass
class Programme:
    """The invented programme: who works there, who was assigned, and what they do."""

    gateway: Gateway
    door: FrontDoor
    run: VirtualProgramme
    hospital: Hospital = field(default_factory=Hospital)
    people: tuple[Person, ...] = ()
    team: Team | None = None
    gone: StreamId | None = None
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk(self.gateway, self.door, lambda: self.run.now)

    @property
    def refused(self) -> list[str]:
        return self.desk.refused

    @property
    def staying(self) -> tuple[StreamId, ...]:
        """The care managers who have not left."""
        assert self.team is not None
        return tuple(lead for lead in self.team.care_managers if lead != self.gone)

    def write(self, since: Instant, until: Instant, size: int, progress: Callable[[Instant], None] = lambda now: None) -> None:
        """Everything that happens from the opening of the programme until an instant."""
        self.people = cast(size)
        self.team = self.desk.hire()
        arrivals = _arrivals(since, until, size)
        for person in self.people:
            for scene in LIVES[life_of(person)]:
                at = local(arrivals[person.number] + timedelta(days=scene.day), scene.hour)
                if at < until:
                    self.run.at(at, partial(self.perform, person, scene))
        for day in sorted(set(arrivals)):
            for plan in PLANS:
                listed = tuple(p for p in self.people if arrivals[p.number] == day and plan_of(p) == plan)
                if listed:
                    self.run.at(local(day, 7 + PLANS.index(plan)), partial(self.assign, listed, plan, day))
        last = until.astimezone(PACIFIC).date()
        leaves_on = last - timedelta(days=LEAVES_DAYS_BEFORE_END)
        if local(leaves_on, 16) > since:
            self.run.at(local(leaves_on, 16), self.leave)
        office = Office(self.desk, self.run, self.team, dict(zip(self.people, arrivals, strict=True)))
        office.open(since, until)
        self.run.run_until(until, progress)

    def assign(self, people: tuple[Person, ...], plan: str, day: date) -> None:
        """A plan's file comes, and the supervisor gives each new member a lead care manager."""
        assert self.team is not None
        self.door.file(member_file(people, effective_on=day.replace(day=1), authorized_on=day - timedelta(days=6)), plan)
        for person in people:
            leads = self.team.care_managers
            lead = leads[person.number % len(leads)]
            if self.gone is not None and lead == self.gone:
                lead = leads[0]
            said = {"staff": lead, "over_cap_because": "nobody has more room"}
            self.desk.tell(self.desk.episode(person), AssignLeadCareManager, self.team.supervisor, **said)
            self.desk.tell(
                self.desk.member(person), LearnCounty, "source:plan", county=COUNTIES[person.city], learned_from="plan_file"
            )

    def leave(self) -> None:
        """The last of the care managers leaves; everybody goes to the first, with a note each."""
        assert self.team is not None
        giver, receiver = self.team.care_managers[-1], self.team.care_managers[0]
        self.gone = giver
        for person in self.people:
            if self.door.member_of(person.cin) is None:
                continue
            episode = self.gateway.load(self.desk.episode(person)).state
            if episode.lead_care_manager(self.run.now) == giver and episode.closure(self.run.now) is None:
                said = {"receiver": receiver, "note": "Knows you are coming.", "over_cap_because": "until somebody new is found"}
                self.desk.tell(self.desk.episode(person), HandOver, self.team.supervisor, **said)
        last_day = (self.run.now + timedelta(days=3)).astimezone(PACIFIC).date()
        self.desk.tell(giver, LeaveStaff, self.team.supervisor, last_day=last_day)

    def perform(self, person: Person, scene: Scene) -> None:
        """One scene of a life."""
        told = (
            self._of_the_beginning(person, scene)
            or self._of_the_hospital(person, scene)
            or self._of_a_life(person, scene)
            or self._of_the_year(person, scene)
        )
        assert told, scene.what

    # --- what people do ---

    def _of_the_beginning(self, person: Person, scene: Scene) -> bool:
        """Outreach, agreement and refusal."""
        assert self.team is not None
        desk, episode, lead = self.desk, self.desk.episode(person), self.desk.lead(person)
        match scene.what:
            case "call" | "visit":
                self._attempt(person, lead, Channel(scene.what), Outcome(scene.with_))
            case "enrol":
                self._enrol(person, lead)
            case "decline":
                desk.tell(episode, Decline, lead, how="said so on the telephone")
            case "defer":
                until = (self.run.now + timedelta(days=45)).astimezone(PACIFIC).date()
                desk.tell(episode, Defer, lead, until=until)
            case "close_unable_to_reach":
                desk.tell(episode, CloseEpisode, self.team.supervisor, reason=ClosureReason.UNABLE_TO_REACH)
            case "close_deceased":
                desk.tell(episode, CloseEpisode, self.team.supervisor, reason=ClosureReason.DECEASED)
            case _:
                return False
        return True

    def _enrol(self, person: Person, lead: StreamId) -> None:
        """The member agrees, some steps of the enrolment are done in the same visit, and the plan authorises."""
        episode = self.desk.episode(person)
        self.desk.tell(episode, Enrol, lead, agreed="verbal")
        steps = (EnrolmentStep.SCREENING, EnrolmentStep.AGREEMENT_DOCUMENTS, EnrolmentStep.FIRST_APPOINTMENT)
        self.desk.tell(episode, RecordEnrolmentVisit, lead, steps=steps[: 1 + person.number % 3], how="in_person")
        today = self.desk.today()
        self.desk.tell(episode, GrantAuthorisation, "source:plan", basis=AuthorisationBasis.INITIAL, first_day=today)

    def _of_the_hospital(self, person: Person, scene: Scene) -> bool:
        """What hospitals send, and transitional care."""
        now, with_ = self.run.now, scene.with_
        assert self.team is not None
        match scene.what:
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
                self._read_notices(person)
            case "talk":
                self._talk(person, Interaction.PHONE, 20, ("call", "synchronous_interaction", *with_.split()))
            case "visit_home":
                self._talk(person, Interaction.IN_PERSON, 45, ("visit", "medicines_understood"))
            case "leave_word":
                said = {"interaction": Interaction.VOICEMAIL, "outcome": AttemptOutcome.VOICEMAIL}
                transition = self.desk.of_episode("transition", person)
                self.desk.tell(transition, RecordTransitionAttempt, self.desk.lead(person), **said)
            case "reconcile":
                self._done(person, self.team.nurse, "medication_reconciliation", Interaction.PHONE, SpokenTo.MEMBER)
            case "items":
                for item in self._asked_for(person, with_.split()):
                    self._done(person, self.desk.lead(person), item, Interaction.DOCUMENT, SpokenTo.PRACTICE)
            case _:
                return False
        return True

    def _of_a_life(self, person: Person, scene: Scene) -> bool:
        """What becomes known of the member's life and health."""
        assert self.team is not None
        desk, member, with_ = self.desk, self.desk.member(person), scene.with_
        match scene.what:
            case "note":
                said = {"circumstance": Circumstance(with_), "learned_from": "member"}
                desk.tell(member, NoteCircumstance, desk.lead(person), **said)
            case "end":
                desk.tell(member, EndCircumstance, desk.lead(person), circumstance=Circumstance(with_))
            case "diagnose":
                desk.tell(member, RecordDiagnosis, "source:plan", code=with_, learned_from="plan_file")
            case "emergency_visit":
                today = self.desk.today()
                told: dict[str, Any] = {"kind": VisitKind.EMERGENCY, "on": today, "learned_from": "plan_file", "avoidable": True}
                desk.tell(member, ReportVisit, "source:plan", visit=f"claim-line-{desk.number('claim')}", **told)
            case "stop_texts":
                desk.tell(member, OptOut, desk.lead(person), channel=Channel.TEXT, how="STOP")
            case "lose_coverage":
                desk.tell(member, LoseCoverage, self.team.operator, reason="redetermination")
            case "restore_coverage":
                desk.tell(member, RestoreCoverage, self.team.operator, reason="papers arrived")
            case "death":
                desk.tell(member, ReportDeath, desk.lead(person), source="family")
            case _:
                return False
        return True

    def _of_the_year(self, person: Person, scene: Scene) -> bool:
        """Agreements, holds, change of plan, and how the year ends."""
        assert self.team is not None
        desk, episode = self.desk, self.desk.episode(person)
        match scene.what:
            case "agree":
                said = {"every_days": int(scene.with_), "reason": "works shifts and asked for fewer calls"}
                desk.tell(desk.of_episode("followup", person), AgreeCadence, desk.lead(person), **said)
            case "agree_no_more":
                follow_up = desk.of_episode("followup", person)
                desk.tell(follow_up, EndCadenceAgreement, desk.lead(person), reason="the shifts are over")
            case "hold":
                desk.tell(episode, Hold, self.team.supervisor, reason=scene.with_)
            case "resume":
                desk.tell(episode, Resume, self.team.supervisor, reason=scene.with_)
            case "withdraws":
                desk.tell(episode, CloseEpisode, desk.lead(person), reason=ClosureReason.MEMBER_WITHDREW)
            case "change_plan":
                desk.tell(episode, CloseEpisode, desk.lead(person), reason=ClosureReason.CHANGED_PLAN)
                self.assign((person,), PLANS[(PLANS.index(plan_of(person)) + 1) % len(PLANS)], self.desk.today())
            case "carry_over":
                previous = self.gateway.load(desk.member(person)).state.episodes[-2]
                said = {"previous": previous, "evidence": "old_plan", "last_service_on": self.desk.today() - timedelta(days=5)}
                desk.tell(episode, CarryOver, self.team.operator, **said)
            case "goals_met":
                meet_goals(desk, episode, desk.lead(person))
            case "agree_step_down":
                desk.tell(episode, AgreeStepDown, desk.lead(person), how="in person")
            case "hand_off_warmly":
                said = {"to": "basic_population_health", "how": "three-way call"}
                desk.tell(episode, MakeWarmHandOff, desk.lead(person), **said)
            case "close_goals_met":
                desk.tell(episode, CloseEpisode, desk.lead(person), reason=ClosureReason.GOALS_MET)
            case _:
                return False
        return True

    def _attempt(self, person: Person, lead: StreamId, channel: Channel, outcome: Outcome) -> None:
        desk = self.desk
        points = self.gateway.load(desk.member(person)).state.usable_points(channel, self.run.now)
        point = points[0].id if points else ""
        after_the_end = self.gateway.load(desk.episode(person)).state.closure(self.run.now) is not None
        kind: Any = RecordContact if after_the_end else RecordAttempt
        said = {} if after_the_end else {"outcome": outcome, "point": point}
        desk.tell(desk.of_episode("outreach", person), kind, lead, channel=channel, minutes=8, **said)

    def _read_notices(self, person: Person) -> None:
        stream = self.desk.of_episode("transition", person)
        for request in self.gateway.load(stream).state.requests.by_key.values():
            unread = request.state is RequestState.SENT and request.acknowledged_at is None
            if unread and request.asked.template == "admission_notice":
                self.desk.tell(stream, AcknowledgeAlert, self.desk.lead(person), key=request.asked.key)

    def _talk(self, person: Person, interaction: Interaction, minutes: int, items: tuple[str, ...]) -> None:
        items = self._asked_for(person, items)
        said = {"interaction": interaction, "spoken_to": SpokenTo.MEMBER, "minutes": minutes, "items": items}
        self.desk.tell(self.desk.of_episode("transition", person), RecordTransitionContact, self.desk.lead(person), **said)

    def _asked_for(self, person: Person, items: Iterable[str]) -> tuple[str, ...]:
        """Those of the items that are on the checklist of the member's plan."""
        plan = self.gateway.load(self.desk.episode(person)).state.plan
        listed = {item.key for item in self.run.book.in_force(plan, self.run.now).transition.item}
        return tuple(item for item in items if item in listed)

    def _done(self, person: Person, by: StreamId, item: str, interaction: Interaction, spoken_to: SpokenTo) -> None:
        said = {"item": item, "interaction": interaction, "spoken_to": spoken_to}
        self.desk.tell(self.desk.of_episode("transition", person), CompleteItem, by, **said)

    def _visit(self, person: Person, new: bool = False) -> str:
        key = f"visit/{person.number}"
        return f"V{int(hashlib.sha256(key.encode()).hexdigest()[:6], 16):08d}{self.desk.number(key, new)}"


def life_of(person: Person) -> str:
    return ORDER[person.number % len(ORDER)]


def plan_of(person: Person) -> str:
    """The plan that assigned the member first."""
    return PLANS[person.number % len(PLANS)]


def _arrivals(since: Instant, until: Instant, size: int) -> tuple[date, ...]:
    """The day on which each member is assigned: who is to live a whole year within the first weeks, the others one after another,
    and the last ones so that dues are near."""
    first, last = since.astimezone(PACIFIC).date(), until.astimezone(PACIFIC).date()
    days = [first + timedelta(days=n) for n in range(1, (last - first).days - 11, FILE_EVERY_DAYS)]
    days += [last - timedelta(days=n) for n in (9, 7, 3)]
    first_weeks = [day for day in days if day <= first + timedelta(days=FIRST_WEEKS_DAYS)]
    whole = ORDER[:WHOLE_YEARS]
    return tuple(
        first_weeks[number % len(first_weeks)] if ORDER[number % len(ORDER)] in whole else days[number * len(days) // size]
        for number in range(size)
    )
