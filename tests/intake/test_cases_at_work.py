"""The acceptance cases of messages.md 6 that speak of workflows, on a system at work: listener, intake, router, worker, Temporal.

One running system for all of them, a member for each. What the others say of one message is in test_cases.py, through the same
listener; case 22 and 23 are in test_wire.py, 24 in tests/faults, 27 and 28 in test_member_file.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.clocks import DueSet, DueWithdrawn
from domain.core import ProcessRef
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.requests import MessageRequested
from domain.staff.facts import Role
from domain.stay.course import Course
from intake.door import FrontDoor
from intake.listening.receive import HttpAnswer
from intake.listening.receive_fhir import receive_bundle
from intake.store.inbox import Row, Status
from simulation.hospital import send_over_mllp
from tests.intake.making import Person, adt, member_file
from tests.shell.world import Post, World, settings_for, system_for, until, world_of
from tests.surfaces.test_whole import at_work
from workers.ground.child import free_ports
from workers.services import door_of, prepare_door

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(240)]

PACIFIC = ZoneInfo("America/Los_Angeles")
FAMILIES = (
    "Abernathy", "Brackwater", "Castellan", "Dunmore", "Ellsworth", "Fairbairn", "Goldfinch", "Harrowgate", "Inglenook", "Jay",
)  # fmt: skip


def person(n: int) -> Person:
    return Person(cin=f"9123450{n}A", mrn=f"MRN-{n}", family=FAMILIES[n], given="Marisol", born=f"19610{n % 9 + 1}12")


@dataclass(slots=True)
class AtWork:
    """The running system. `now` is fixed at its start, so that what messages say does not depend on how fast the machine is."""

    world: World
    door: FrontDoor
    port: int
    now: datetime

    def at(self, **ago: float) -> str:
        """A local time so long ago, as a hospital writes it: without a zone."""
        return f"{(self.now - timedelta(**ago)).astimezone(PACIFIC):%Y%m%d%H%M%S}"

    def instant(self, **ago: float) -> datetime:
        return (self.now - timedelta(**ago)).replace(microsecond=0)

    def send(self, *messages: str) -> list[Row]:
        """Messages over one connection, acknowledged each, and settled by the running workers."""
        raw = [message.encode() for message in messages]
        for message, answer in zip(raw, send_over_mllp(raw, "127.0.0.1", self.port), strict=True):
            assert f"MSA|AA|{message.split(b'|')[9].decode()}\r".encode() in answer + b"\r"
        return [self.settled(message.split("|")[9]) for message in messages]

    def settled(self, control_id: str) -> Row:
        def done() -> bool:
            return all(row.status is not Status.RECEIVED for row in self.door.inbox.find(control_id=control_id))

        asyncio.run(until(done, 30.0))
        return self.door.inbox.find(control_id=control_id)[0]

    def known(self, n: int, *, enrolled_days_ago: float = 1.7) -> Person:
        """A member who is enrolled, with a lead care manager."""
        who = person(n)
        receipt = self.door.files.import_file(member_file(who), plan="default")
        assert receipt.accepted == 1, receipt
        lead = self.world.staff(Role.CARE_MANAGER)
        episode = self.transition(who).stream.replace("transition-", "episode-")
        self.world.do(AssignLeadCareManager(stream=episode, by="system", staff=lead))
        self.world.do(Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=self.now - timedelta(days=enrolled_days_ago)))
        return who

    def member(self, who: Person) -> str:
        holder = self.world.system.gateway.load(self.door.identity.cin_claim(who.cin)).state.holder
        assert isinstance(holder, str)
        return holder

    def transition(self, who: Person) -> ProcessRef:
        episode = self.world.system.gateway.load(self.member(who)).state.episodes[-1]
        return ProcessRef("transition", episode.removeprefix("episode-"))

    def course(self, who: Person) -> Course:
        (stay,) = self.world.system.gateway.load(self.member(who)).state.stays
        course = self.world.system.gateway.load(stay).state.course()
        assert isinstance(course, Course)
        return course

    def quiet(self, who: Person) -> None:
        """Until the member's transition has read everything and nothing waits to be sent."""
        asyncio.run(self.world.settled(self.transition(who), seconds=60.0))

    def dues(self, who: Person, rule: str = "transition.call") -> list[DueSet]:
        return [r.fact for r in self.world.facts(self.transition(who), DueSet) if r.fact.rule == rule]

    def open_dues(self, who: Person) -> set[str]:
        """The keys of what is owed and was not withdrawn."""
        process = self.transition(who)
        owed: set[str] = set()
        for recorded in self.world.system.log.read(process.stream):
            match recorded.fact:
                case DueSet(key=key):
                    owed.add(key)
                case DueWithdrawn(key=key):
                    owed.discard(key)
        return owed

    def notices(self, who: Person) -> int:
        """Alerts that tell the lead care manager of an admission."""
        wants = [r.fact.want for r in self.world.facts(self.transition(who), MessageRequested)]
        return len([want for want in wants if want.startswith("notice/")])

    def workflows(self, who: Person) -> list[str]:
        """The statuses of the runs of the member's transition in Temporal, the newest first."""

        async def found() -> list[str]:
            from workers.composition import connect_temporal

            client = await connect_temporal(self.world.system.settings)
            query = f'WorkflowId = "{self.transition(who).stream}"'
            return [e.status.name if e.status else "" async for e in client.list_workflows(query)]

        return asyncio.run(found())


@pytest.fixture(scope="module")
def running(module_database: str, temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    from workers.ground.temporal import register_namespace

    namespace = f"cases-{module_database[-17:].replace('_', '-')}"
    asyncio.run(register_namespace(temporal_address, namespace))
    (port,) = free_ports(1)
    settings = settings_for(module_database, temporal_address, namespace, tmp_path_factory.mktemp("home"))
    settings = settings.model_copy(update={"throughline_hl7_port": port})
    post = Post()
    with system_for(settings, post) as system:
        prepare_door(system)
        world = asyncio.run(world_of(system, post))
        world.adopt()
        door = door_of(system)
        with at_work(system, "worker", "router", "intake"):
            yield AtWork(world, door, port, system.clock.now())
        door.close()


def a01(running: AtWork, who: Person, **more: str) -> str:
    said = {"control_id": f"ADM-{who.mrn}", "sent": running.at(hours=30), "admitted": running.at(hours=30), "visit": who.mrn} | more
    return adt("A01", person=who, **said)  # type: ignore[arg-type]


def a03(running: AtWork, who: Person, **more: str) -> str:
    said = {
        "control_id": f"DIS-{who.mrn}", "sent": running.at(hours=2), "discharged": running.at(hours=2), "disposition": "01",
        "visit": who.mrn,
    }  # fmt: skip
    return adt("A03", person=who, **(said | more))  # type: ignore[arg-type]


def told(running: AtWork, who: Person, trigger: str, **more: str) -> str:
    said = {"control_id": f"{trigger}-{who.mrn}", "sent": running.at(hours=1), "visit": who.mrn} | more
    return adt(trigger, person=who, **said)  # type: ignore[arg-type]


def test_1_and_2_an_admission_nine_times_is_one_workflow_and_one_notice(running: AtWork) -> None:
    who = running.known(0)
    message = a01(running, who)
    (row, *_) = running.send(*[message] * 9)
    assert (row.status, row.repeats) == (Status.APPLIED, 8)
    assert running.door.inbox.raw(row.inbox_id) == message.encode()
    running.quiet(who)
    assert running.workflows(who).count("RUNNING") == 1
    assert running.notices(who) == 1
    assert running.dues(who) == [], "nobody has left"


def test_4_8_and_9_a_discharge_that_comes_first_starts_the_clock_once_and_nothing_reopens_it(running: AtWork) -> None:
    who = running.known(1)
    running.send(a03(running, who))
    running.quiet(who)
    (call,) = running.dues(who)
    running.send(a01(running, who), told(running, who, "A08"))
    running.quiet(who)
    assert running.dues(who) == [call], "the clock runs as it did"
    assert call.key in running.open_dues(who)
    course = running.course(who)
    assert course.discharge is not None and course.discharge.at == running.instant(hours=2)
    assert course.admission is not None and course.admission.at == running.instant(hours=30)
    assert running.workflows(who).count("RUNNING") == 1


def test_10_a_cancelled_discharge_stops_the_clock_and_the_next_one_starts_a_new_one(running: AtWork) -> None:
    who = running.known(2)
    running.send(a01(running, who), a03(running, who))
    running.quiet(who)
    (first,) = running.dues(who)
    running.send(told(running, who, "A13"))
    running.quiet(who)
    assert first.key not in running.open_dues(who)
    running.send(a03(running, who, control_id="DIS-2", sent=running.at(minutes=30), discharged=running.at(minutes=40)))
    running.quiet(who)
    second = running.dues(who)[-1]
    assert second.key != first.key and second.key in running.open_dues(who)
    assert running.workflows(who).count("RUNNING") == 1


def test_11_a_cancellation_before_its_admission_leaves_nothing_to_do_and_sends_nothing(running: AtWork) -> None:
    who = running.known(3)
    cancelled, admitted = running.send(told(running, who, "A11"), a01(running, who))
    assert (cancelled.status, admitted.status) == (Status.APPLIED, Status.APPLIED)
    running.quiet(who)
    assert running.course(who).cancelled
    assert (running.notices(who), running.open_dues(who)) == (0, set())


def test_12_a_cancelled_admission_takes_back_what_was_owed(running: AtWork) -> None:
    who = running.known(4)
    running.send(a01(running, who))
    running.quiet(who)
    owed = running.open_dues(who)
    assert owed, "the lead care manager has to be told"
    rows = running.send(told(running, who, "A11"))
    running.quiet(who)
    assert running.open_dues(who) & {key for key in owed if key.startswith("notice_read/")} == set()
    assert [row.status for row in rows] == [Status.APPLIED]
    assert len(running.door.inbox.find(stay=rows[0].stay)) == 2, "both messages are kept"


@pytest.mark.parametrize(("n", "disposition", "later"), [(5, "20", False), (6, "01", True)], ids=["at discharge", "said later"])
def test_13_a_death_ends_all_contact(running: AtWork, n: int, disposition: str, later: bool) -> None:
    who = running.known(n)
    running.send(a01(running, who), a03(running, who, disposition=disposition))
    if later:
        running.quiet(who)
        assert running.open_dues(who)
        running.send(told(running, who, "A08", disposition="20"))
    running.quiet(who)
    assert running.world.system.gateway.load(running.member(who)).state.death() is not None
    assert not [key for key in running.open_dues(who) if key.startswith(("call", "visit", "transition"))]


def test_16_an_emergency_visit_that_becomes_an_admission_is_one_stay_with_one_notice_each(running: AtWork) -> None:
    who = running.known(7)
    running.send(
        told(running, who, "A04", visit="ED-7", stay_class="E", admitted=running.at(hours=31), sent=running.at(hours=31)),
        told(running, who, "A06", visit="IN-7", prior_visit="ED-7", admitted=running.at(hours=31), sent=running.at(hours=30)),
    )
    running.quiet(who)
    course = running.course(who) if len(running.world.system.gateway.load(running.member(who)).state.stays) == 1 else None
    stays = {running.door.identity.stay(*_visit(running, number)) for number in ("ED-7", "IN-7")}
    goes_on = [s for s in stays if running.world.system.gateway.load(s).state.continued_as is None]
    assert len(goes_on) == 1, "two numbers, one stay"
    course = running.world.system.gateway.load(goes_on[0]).state.course()
    assert course.admission is not None and course.admission.at == running.instant(hours=31)
    assert running.notices(who) in (1, 2)
    assert running.workflows(who).count("RUNNING") == 1


def _visit(running: AtWork, number: str) -> tuple[str, str]:
    """The scope and value under which a visit number is looked up."""
    from tests.intake.conftest import notification

    said = notification(adt("A01", visit=number, admitted=running.at(hours=1)), running.door.sources.rows[0], running.now)
    return said.visit.scope, said.visit.value


def test_18_somebody_who_becomes_known_later_owes_from_the_time_of_the_discharge(running: AtWork) -> None:
    who = person(8)
    (row,) = running.send(a03(running, who, sent=running.at(hours=20), discharged=running.at(hours=20)))
    assert row.status is Status.UNMATCHED
    running.known(8)

    def applied() -> bool:
        return running.door.inbox.show(row.inbox_id).row.status is Status.APPLIED

    asyncio.run(until(applied, 30.0))
    running.quiet(who)
    assert running.course(who).discharge.at == running.instant(hours=20)  # type: ignore[union-attr]
    assert len(running.dues(who)) == 1


def test_26_notifications_in_the_wrong_order_and_twice_are_one_stay_that_ended(running: AtWork) -> None:
    who = running.known(9)
    discharge, transfer, admit = (bundle(running, who, event) for event in ("discharge", "transfer", "admit"))
    source = running.door.sources.named("valley-general")

    def sent(body: bytes) -> HttpAnswer:
        return receive_bundle(running.door.reception, body, {"content-type": "application/fhir+json"}, source)

    for body in (discharge, admit, transfer, discharge, admit):
        assert sent(body).status == 200
    for event in ("discharge", "transfer", "admit"):
        rows = running.door.inbox.find(source_id="valley-general", files=False, limit=500)
        (row,) = (r for r in rows if r.kind == f"notification-{event}")
        assert running.settled(row.control_id).status is Status.APPLIED
    running.quiet(who)
    course = running.course(who)
    assert course.discharge is not None and course.discharge.at == running.instant(hours=2)
    assert course.admission is not None and len(running.dues(who)) == 1
    assert running.workflows(who).count("RUNNING") == 1


def bundle(running: AtWork, who: Person, event: str) -> bytes:
    """A Da Vinci notification of one encounter; the relayed admission is stamped later than the discharge."""
    encounter, patient = "urn:uuid:00000000-0000-4000-8000-0000000000e9", "urn:uuid:00000000-0000-4000-8000-0000000000a9"
    left = {"end": running.instant(hours=2).isoformat()} if event == "discharge" else {}
    hours = {"discharge": 2, "transfer": 10, "admit": 1}[event]
    return json.dumps({
        "resourceType": "Bundle", "id": f"b-{event}", "type": "message", "timestamp": running.instant(hours=hours).isoformat(),
        "entry": [
            {"resource": {
                "resourceType": "MessageHeader", "id": f"h-{event}", "source": {"endpoint": "https://h.example"},
                "eventCoding": {"code": f"notification-{event}"}, "focus": [{"reference": encounter}],
            }},
            {"fullUrl": encounter, "resource": {
                "resourceType": "Encounter", "id": "e9", "status": "finished" if event == "discharge" else "in-progress",
                "class": {"code": "IMP"}, "subject": {"reference": patient},
                "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": who.mrn}],
                "period": {"start": running.instant(hours=30).isoformat(), **left},
                "hospitalization": {"dischargeDisposition": {"coding": [{"code": "01"}]}} if left else {},
            }},
            {"fullUrl": patient, "resource": {
                "resourceType": "Patient", "identifier": [{"system": "CIN", "value": who.cin}],
                "name": [{"family": who.family, "given": [who.given]}],
                "birthDate": f"{who.born[:4]}-{who.born[4:6]}-{who.born[6:]}",
            }},
        ],
    }).encode()  # fmt: skip


def test_the_other_cases_on_the_running_system(running: AtWork) -> None:
    """Cases 3, 14, 15, 19, 20, 21 and 25: their states, as the running workers settle them."""
    who = replace(person(0), mrn="MRN-OTHER")
    wrong = replace(person(1), cin=person(0).cin)
    same = running.at(hours=3)
    rows = running.send(
        a01(running, who, control_id="SAME-3", visit="V-3"),
        a01(running, who, control_id="LF-20", visit="V-20").replace("\r", "\n"),
        a03(running, who, control_id="STILL-14", visit="V-3", disposition="30"),
        a03(running, who, control_id="TEXT-15", visit="V-20", disposition="Home w/ family"),
        told(running, wrong, "A01", control_id="WRONG-19", visit="V-19", admitted=same),
        a01(running, who, control_id="TEST-25", visit="V-25", processing="T"),
        told(running, who, "A60", control_id="A60-25"),
    )
    assert [(row.status.value, row.reason) for row in rows] == [
        ("applied", ""), ("applied", ""), ("waiting", "still_a_patient"), ("applied", ""), ("waiting", "cin_contradicted"),
        ("ignored", "not_production"), ("ignored", "trigger_not_modelled"),
    ]  # fmt: skip
    (again,) = send_over_mllp([a03(running, who, control_id="SAME-3", visit="V-3").encode()], "127.0.0.1", running.port)
    assert b"MSA|AA|SAME-3" in again
    assert sorted(row.flags == ["control_id_reused"] for row in running.door.inbox.find(control_id="SAME-3")) == [False, True]
    (refused,) = send_over_mllp([b"good morning"], "127.0.0.1", running.port)
    assert b"MSA|AR|" in refused
