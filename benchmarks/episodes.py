"""Real facts from which processes begin, recorded through the gateway: members, assignments, enrolments, stays in hospital."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import timedelta

from domain.core import SYSTEM, Command, Instant, ProcessRef, StreamId
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.member.decider import LearnContactPoint, RegisterMember
from domain.member.facts import PointKind
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from domain.stay.decider import EnterAdmission, EnterDischarge
from domain.stay.facts import StayClass
from eventlog.gateway import ORDERS_MAX, Order
from workers.composition import System
from workers.first_policies import adopt_first_policies

KINDS = ("outreach", "followup", "transition")
MEMBERS_PER_LEAD = 30


def begin(system: System, count: int, *, seed: int, kinds: Sequence[str] = KINDS) -> tuple[ProcessRef, ...]:
    """As many processes that have never been looked at and then wait: members who were just assigned, who just enrolled, who just
    came home, in equal parts and in turns. Adopts the project's policies where there are none.

    The first look at a homecoming alerts the lead care manager; the others have nothing to send at first."""
    adopt_first_policies(system)
    dice, now = random.Random(seed), system.clock.now()
    begun: list[ProcessRef] = []
    waiting: list[Command] = []
    lead = ""
    for number in range(count):
        if number % MEMBERS_PER_LEAD == 0:
            lead = f"staff-{uuid.uuid4()}"
            roles = (Role.CARE_MANAGER, Role.SUPERVISOR)
            waiting.append(JoinStaff(stream=lead, by=SYSTEM, roles=roles, name="Lead", email="lead@example.org"))
        process = ProcessRef(kinds[number % len(kinds)], str(uuid.uuid4()))
        begun.append(process)
        waiting += _story(process, lead, now - timedelta(minutes=dice.uniform(0, 30)))
        if len(waiting) > ORDERS_MAX // 2:
            _record(system, waiting)
            waiting = []
    if waiting:
        _record(system, waiting)
    return tuple(begun)


def _story(process: ProcessRef, lead: StreamId, at: Instant) -> list[Command]:
    """What was recorded of a member until the moment at which the process has something to do."""
    episode, member, stay = f"episode-{process.id}", f"member-{uuid.uuid4()}", f"stay-{uuid.uuid4()}"
    days = {"outreach": 0, "followup": 4, "transition": 9}[process.kind]
    assigned_at = at - timedelta(days=days)
    said: list[Command] = [
        RegisterMember(
            stream=member, by=SYSTEM, cin_claim=f"claim-{uuid.uuid4().hex}", cin="91234567A",
            family_name="Examplefamily", given_name="Given", birth_date="1961-02-03",
        ),
        LearnContactPoint(
            stream=member, by=SYSTEM, point="p1", kind=PointKind.PHONE, learned_from="staff", value="+15550123456"
        ),
        ReceiveAssignment(
            stream=episode, by="source:bench", occurred_at=assigned_at, member=member, plan="default", received_at=assigned_at
        ),
        AssignLeadCareManager(stream=episode, by=SYSTEM, staff=lead),
    ]  # fmt: skip
    if process.kind == "followup":
        said.append(Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=at))
    if process.kind == "transition":
        said += (
            Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=at - timedelta(days=5)),
            EnterAdmission(
                stream=stay, by=lead, facility="general", stay_class=StayClass.INPATIENT, admitted_at=at - timedelta(days=3),
                member=member, episode=episode,
            ),
            EnterDischarge(stream=stay, by=lead, facility="general", discharged_at=at, disposition="01"),
        )  # fmt: skip
    return said


def _record(system: System, commands: list[Command]) -> None:
    done = system.gateway.handle_many([Order(command=command, command_id=uuid.uuid4()) for command in commands])
    assert isinstance(done, tuple), done
