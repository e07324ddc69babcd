"""The acceptance cases of messages.md 6 on a system at work: the real listener and API, intake, router, worker, projector and
Temporal.

One running system for all of them, a member for each, looked at as people look at it: through the API. Case 22 is in test_wire.py,
23 in tests/faults/test_half_a_minute_away.py, 24 in tests/faults/test_front_door.py; test_cases.py has most without workflows.

The dates are those of the cases, of the next March: Tuesday is two days after the Sunday on which the clocks were set forward.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api import tokens
from domain.clocks import DueSet, DueWithdrawn
from domain.core import ProcessRef
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.member.identity import MergeMembers
from domain.requests import MessageRequested
from domain.staff.facts import Role
from domain.stay.course import Course, Way
from domain.stay.facts import MemberAdmitted, MemberDischarged
from domain.transition.facts import TransitionalCareEnded
from eventlog.clock import OffsetClock
from intake.door import FrontDoor
from intake.listening.mllp import framed
from intake.store.inbox import Row, Status
from tests.intake.making import CSV_HEADER, Person, adt, member_file
from tests.intake.rosters import COAST_HEADER, coast, workbook
from tests.shell.world import Post, World, settings_for, system_for, until, world_of
from tests.surfaces.test_whole import at_work
from workers.ground.child import free_ports
from workers.services import door_of, prepare_door, projector_of

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(400)]

PEOPLE = 40
SETTLED_SECONDS = 90.0
NAMES = (
    "Abernathy", "Brackwater", "Castellan", "Dunmore", "Ellsworth", "Fairbairn", "Goldfinch", "Harrowgate", "Inglenook", "Jarrow",
)  # fmt: skip

REGISTRY = """
[[source]]
name = "valley-general"
addresses = ["127.0.0.1/32"]
[[source.facilities]]
id = "valley-general"
name = "Valley General Hospital"
aliases = ["VALLEYGEN"]
[source.id_authorities]
"MEDI-CAL" = "cin"

[[source]]
name = "coast-general"
addresses = ["127.0.0.2/32"]
ignore_offsets = true
accept_other_types = true
[[source.facilities]]
id = "coast-general"
name = "Coast General Hospital"
aliases = ["VALLEYGEN"]
[source.id_authorities]
"MEDI-CAL" = "cin"
"""
VALLEY, COAST = "127.0.0.1", "127.0.0.2"


def clocks_set_forward() -> date:
    """The second Sunday of March, of the next year in which it lies ahead."""
    first = date(datetime.now(UTC).year + 1, 3, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7)


SUNDAY = clocks_set_forward()
TUESDAY = SUNDAY + timedelta(days=2)


def local(clock: str, day: date = TUESDAY) -> str:
    """A time as a hospital writes it: `1530` of a day, without a zone."""
    return f"{day:%Y%m%d}{clock}00"


def utc(hour: int, minute: int = 0, *, day: date = TUESDAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The end of a local day after the clocks were set forward: seven hours into the next one in Greenwich."""
    return utc(7, day=day + timedelta(days=1))


def person(n: int) -> Person:
    family = f"{NAMES[n % 10]}{'abcdefgh'[n // 10]}"
    return Person(cin=f"912345{n:02d}A", mrn=f"MRN-{n}", family=family, given="Marisol", born=f"196{n % 10}0{n % 9 + 1}12")


def a01(who: Person, **more: str) -> str:
    said = {"control_id": f"ADM-{who.mrn}", "sent": local("0905", SUNDAY), "admitted": local("0900", SUNDAY), "visit": who.mrn}
    return adt("A01", person=who, **(said | more))  # type: ignore[arg-type]


def a03(who: Person, **more: str) -> str:
    said = {
        "control_id": f"DIS-{who.mrn}",
        "sent": local("1535"),
        "discharged": local("1530"),
        "disposition": "01",
        "visit": who.mrn,
    }
    return adt("A03", person=who, **(said | more))  # type: ignore[arg-type]


def told(who: Person, trigger: str, **more: str) -> str:
    said = {"control_id": f"{trigger}-{who.mrn}", "sent": local("1550"), "visit": who.mrn} | more
    return adt(trigger, person=who, **said)  # type: ignore[arg-type]


def raw_of(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


@dataclass(slots=True)
class AtWork:
    """The running system. Its clock stood at Friday noon when people were enrolled, and began on Tuesday at 16:30 for the cases."""

    world: World
    door: FrontDoor
    port: int
    api: str
    moved: list[timedelta]
    bearer: dict[Role, str] = field(default_factory=dict)

    # -- sending

    def answers(self, *messages: str | bytes, of: str = VALLEY) -> list[bytes]:
        """The acknowledgements of messages that are sent over one connection, each after the answer to the one before."""
        found = []
        with socket.create_connection((VALLEY, self.port), timeout=30.0, source_address=(of, 0)) as wire:
            for message in messages:
                wire.sendall(framed(raw_of(message)))
                heard = b""
                while not heard.endswith(b"\x1c\r"):
                    piece = wire.recv(4096)
                    assert piece, "closed without an answer"
                    heard += piece
                found.append(heard[1:-2])
        return found

    def send(self, *messages: str | bytes, of: str = VALLEY) -> list[Row]:
        """Messages that are acknowledged with AA, byte for byte as table 5.1 says, and settled by the running system."""
        for message, answer in zip(messages, self.answers(*messages, of=of), strict=True):
            self.acknowledged(raw_of(message), answer)
        return [self.settled(message) for message in messages]

    def acknowledged(self, message: bytes, answer: bytes, code: str = "AA", error: str = "") -> None:
        """Sides swapped; trigger, version and control id said again; a number and a time of its own; a CR at the end."""
        said = re.split(rb"[\r\n]", message.removeprefix("\ufeff".encode()), maxsplit=1)[0].rstrip().decode("latin-1").split("|")
        said += [""] * (18 - len(said))
        trigger = said[8].partition("^")[2]
        charset = f"||||||{said[17]}" if said[17] else ""
        wanted = (
            rf"MSH\|\^~\\&\|{said[4]}\|{said[5]}\|{said[2]}\|{said[3]}\|(\d{{14}})\+0000\|\|ACK\^{trigger}\^ACK\|T[0-9a-f]{{16}}"
            rf"\|{said[10]}\|{said[11]}{re.escape(charset)}\rMSA\|{code}\|{said[9]}\r{re.escape(error)}"
        )
        found = re.fullmatch(wanted, answer.decode("latin-1"))
        assert found, (wanted, answer)
        stamp = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert abs(stamp - self.world.system.clock.now()) < timedelta(minutes=2)

    def row(self, message: str | bytes) -> Row:
        """The only row that has these bytes."""
        raw = raw_of(message)
        known = self.door.inbox.find(files=False, limit=1_000)
        (found,) = [row for row in known if row.transport != "part" and self.door.inbox.raw(row.inbox_id) == raw]
        return found

    def settled(self, message: str | bytes) -> Row:
        asyncio.run(until(lambda: self.row(message).status is not Status.RECEIVED, SETTLED_SECONDS))
        return self.row(message)

    # -- what became of it

    def ask(self, path: str, role: Role = Role.SUPERVISOR, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.bearer[role]}"}
        answer = httpx.get(f"{self.api}{path}", params=query, headers=headers, timeout=30.0)
        assert answer.status_code == 200, answer.text
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.content

    def seen(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """A list as people see it once the read models have caught up."""
        head, projector = self.world.system.log.watermark(), projector_of(self.world.system)
        asyncio.run(until(lambda: all(model.position >= head for model in projector.status()), SETTLED_SECONDS))
        items: list[dict[str, Any]] = self.ask(path, **query)["items"]
        return items

    def stay_seen(self, who: Person) -> dict[str, Any]:
        """The member's stay on the transitions board."""
        (row,) = self.seen("/v1/transitions", member=self.member(who))
        return row

    def owed_seen(self, who: Person) -> set[str]:
        """The rules of what is owed after the member's stays, as the worklist shows it."""
        return {item["rule"] for item in self.seen("/v1/worklist", member=self.member(who), rule="transition", limit=200)}

    def story(self, who: Person) -> list[str]:
        """What the timeline tells of the member's stays, in the order of learning."""
        told = self.seen(f"/v1/members/{self.member(who)}/timeline", kinds="stay", order="recorded")
        return [entry["sentence"] for entry in told]

    def facts(self, row: Row) -> list[Any]:
        """The facts that a message led to."""
        caused = self.door.inbox.show(row.inbox_id).caused
        return [stored.recorded.fact for stored in self.world.system.log.at([c.position for c in caused])]

    def member(self, who: Person) -> str:
        holder = self.world.system.gateway.load(self.door.identity.cin_claim(who.cin)).state.holder
        assert isinstance(holder, str)
        return holder

    def transition(self, who: Person) -> ProcessRef:
        episode = self.world.system.gateway.load(self.member(who)).state.episodes[-1]
        return ProcessRef("transition", episode.removeprefix("episode-"))

    def stays(self, who: Person) -> list[Any]:
        found = [
            self.world.system.gateway.load(stay).state for stay in self.world.system.gateway.load(self.member(who)).state.stays
        ]
        return [stay for stay in found if stay.continued_as is None]

    def course(self, who: Person) -> Course:
        (stay,) = self.stays(who)
        course = stay.course()
        assert isinstance(course, Course)
        return course

    def quiet(self, who: Person) -> None:
        """Until the member's transition has read everything and nothing waits to be sent."""
        asyncio.run(self.world.settled(self.transition(who), seconds=SETTLED_SECONDS))

    def dues(self, who: Person, rule: str) -> list[DueSet]:
        return [r.fact for r in self.world.facts(self.transition(who), DueSet) if r.fact.rule == f"transition.{rule}"]

    def clock(self, who: Person, rule: str = "visit") -> tuple[datetime, datetime]:
        """From when, and until when, something is owed after the member's only discharge."""
        (due,) = self.dues(who, rule)
        return due.opens_at, due.due_at

    def open_dues(self, who: Person) -> set[str]:
        """The rules of what is owed and was not withdrawn."""
        owed: dict[str, str] = {}
        for recorded in self.world.system.log.read(self.transition(who).stream):
            match recorded.fact:
                case DueSet(key=key, rule=rule):
                    owed[key] = rule
                case DueWithdrawn(key=key):
                    owed.pop(key)
        return set(owed.values())

    def notices(self, who: Person) -> list[str]:
        """To whom alerts about an admission went."""
        asked = [r.fact for r in self.world.facts(self.transition(who), MessageRequested)]
        return [fact.recipient for fact in asked if fact.want.startswith("notice/")]

    def runs(self, who: Person) -> list[str]:
        """The statuses of the runs of the member's transition in Temporal."""

        async def found() -> list[str]:
            query = f'WorkflowId = "{self.transition(who).stream}"'
            return [e.status.name if e.status else "" async for e in (await self._client()).list_workflows(query)]

        return asyncio.run(found())

    async def _client(self) -> Any:
        from workers.composition import connect_temporal

        return await connect_temporal(self.world.system.settings)


@pytest.fixture(scope="module")
def running(module_database: str, temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    from workers.ground.temporal import register_namespace

    namespace = f"cases-{module_database[-17:].replace('_', '-')}"
    asyncio.run(register_namespace(temporal_address, namespace))
    hl7_port, api_port = free_ports(2)
    home: Path = tmp_path_factory.mktemp("home")
    (home / "sources.toml").write_text(REGISTRY)
    settings = settings_for(module_database, temporal_address, namespace, home).model_copy(
        update={"throughline_hl7_port": hl7_port, "throughline_api_port": api_port, "throughline_sources": home / "sources.toml"}
    )
    moved = [utc(20, day=SUNDAY - timedelta(days=2)) - datetime.now(UTC)]
    post = Post()
    with system_for(settings, post, clock=OffsetClock(lambda: moved[0])) as system:
        prepare_door(system)
        projector_of(system).create()
        world = asyncio.run(world_of(system, post))
        world.adopt()
        world.adopt("coast-care")
        door = door_of(system)
        running = AtWork(world, door, hl7_port, f"http://127.0.0.1:{api_port}", moved)
        for role in (Role.SUPERVISOR, Role.OPERATOR, Role.AUDITOR, Role.HOSPITAL):
            subject = "source:valley-general" if role is Role.HOSPITAL else f"staff-{uuid4()}"
            _, running.bearer[role] = tokens.mint(
                system.pool, role=role, subject=subject, now=system.clock.now(), life=timedelta(days=60)
            )
        people = [person(n) for n in range(PEOPLE) if n != STRANGER]
        receipt = door.files.import_file(member_file(*people), plan="default")
        assert receipt.accepted == len(people), receipt
        lead = world.staff(Role.CARE_MANAGER)
        for who in people:
            enrol(running, who, lead)
        with at_work(system, "worker", "router", "projector", "intake", "api"):
            moved[0] = utc(23, 30) - datetime.now(UTC)
            asyncio.run(until(lambda: _serves(running.api), SETTLED_SECONDS))
            yield running
        door.close()


def _serves(api: str) -> bool:
    try:
        return httpx.get(f"{api}/livez", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


def enrol(running: AtWork, who: Person, lead: str) -> None:
    episode = running.transition(who).stream.replace("transition-", "episode-")
    running.world.do(AssignLeadCareManager(stream=episode, by="system", staff=lead))
    running.world.do(Enrol(stream=episode, by=lead, agreed="verbal"))


STRANGER = 18


def test_1_and_2_an_admission_nine_times(running: AtWork) -> None:
    who = person(1)
    message, seconds = a01(who), []
    for _ in range(9):
        begun = time.monotonic()
        (answer,) = running.answers(message)
        seconds.append(time.monotonic() - begun)
        running.acknowledged(message.encode(), answer)
    assert min(seconds) < 1.0, "how fast it is on a machine with nothing else to do is measured by P8"
    row = running.settled(message)
    assert (row.status, row.repeats) == (Status.APPLIED, 8)
    (admitted, *_) = running.facts(row)
    assert isinstance(admitted, MemberAdmitted) and admitted.admitted_at == utc(16, day=SUNDAY)
    assert [s.said[0].fact for s in running.stays(who)] == [admitted] and len(running.stays(who)[0].said) == 1
    running.quiet(who)
    assert running.runs(who).count("RUNNING") == 1
    assert len(running.notices(who)) == 1 and running.dues(who, "visit") == [], "nobody has left"
    assert running.stay_seen(who)["items_open"] == 0, "and so the checklist has not begun"
    (listed,) = [r for r in running.seen("/v1/inbox") if r["control_id"] == row.control_id]
    assert (listed["status"], listed["repeats"], listed["flags"]) == ("applied", 8, [])
    assert running.ask(f"/v1/inbox/{row.inbox_id}/raw") == message.encode()
    seen = running.stay_seen(who)
    assert (seen["status"], seen["stay_class"], seen["facility"]) == ("admitted", "inpatient", "valley-general")
    assert seen["admitted_at"] == utc(16, day=SUNDAY).isoformat().replace("+00:00", "Z")


def test_3_one_control_id_with_two_bodies(running: AtWork) -> None:
    who = person(3)
    first, second = running.send(a01(who, control_id="SAME-3"), a03(who, control_id="SAME-3"))
    assert (first.flags, second.flags) == ([], ["control_id_reused"])
    assert (first.status, second.status) == (Status.APPLIED, Status.APPLIED)
    assert isinstance(running.facts(first)[0], MemberAdmitted) and isinstance(running.facts(second)[0], MemberDischarged)
    shown = {r["inbox_id"]: r["flags"] for r in running.seen("/v1/inbox") if r["control_id"] == "SAME-3"}
    assert shown == {str(first.inbox_id): [], str(second.inbox_id): ["control_id_reused"]}


def test_4_8_and_9_a_discharge_that_comes_first_starts_the_clock_once_and_nothing_reopens_it(running: AtWork) -> None:
    who = person(4)
    running.send(a03(who))
    running.quiet(who)
    begun, runs = (running.dues(who, "call"), running.dues(who, "visit")), running.runs(who)
    assert runs.count("RUNNING") == 1
    assert running.clock(who) == (utc(22, 30), end_of(TUESDAY + timedelta(days=7)))
    assert running.clock(who, "call") == (utc(22, 30), end_of(TUESDAY + timedelta(days=2))), "two business days"
    running.send(a01(who))
    running.quiet(who)
    running.send(told(who, "A08"))
    running.quiet(who)
    assert (running.dues(who, "call"), running.dues(who, "visit")) == begun, "the clocks run as they did"
    assert {"transition.call", "transition.visit"} <= running.open_dues(who) & running.owed_seen(who)
    course = running.course(who)
    assert course.discharge is not None and (course.discharge.at, course.discharge.disposition) == (utc(22, 30), "01")
    assert course.admission is not None and course.admission.at == utc(16, day=SUNDAY)
    assert running.runs(who) == runs, "no second workflow"
    seen = running.stay_seen(who)
    assert (seen["status"], seen["disposition"]) == ("discharged", "01")
    assert (seen["admitted_at"], seen["discharged_at"]) == (f"{SUNDAY}T16:00:00Z", f"{TUESDAY}T22:30:00Z")


def test_5_a_discharge_in_the_hour_that_there_was_not(running: AtWork) -> None:
    who = person(5)
    (row,) = running.send(a03(who, discharged=local("0230", SUNDAY), sent=local("0400", SUNDAY)))
    assert (row.status, row.flags) == (Status.APPLIED, ["missing_hour"])
    running.quiet(who)
    assert running.clock(who) == (utc(10, 30, day=SUNDAY), end_of(SUNDAY + timedelta(days=7)))
    assert running.clock(who, "call")[1] == end_of(TUESDAY)


def test_6_a_date_stays_a_date(running: AtWork) -> None:
    who, monday = person(6), SUNDAY + timedelta(days=1)
    (row,) = running.send(a03(who, discharged=f"{monday:%Y%m%d}"))
    assert (row.status, row.flags) == (Status.APPLIED, ["day_only"])
    running.quiet(who)
    assert running.clock(who) == (end_of(monday), end_of(monday + timedelta(days=7))), "from the end of that day"
    assert running.clock(who, "call")[1] == end_of(monday + timedelta(days=2))
    assert running.stay_seen(who)["discharged_on"] == str(monday)
    entries = running.seen(f"/v1/members/{running.member(who)}/timeline", kinds="stay")
    assert [(e["sentence"], e["occurred_on"]) for e in entries] == [("Discharged (disposition 01)", str(monday))]


def test_7_the_offset_of_the_header_counts_unless_the_source_s_are_ignored(running: AtWork) -> None:
    one, other = person(7), person(8)
    (said,) = running.send(a03(one, sent=f"{local('1635')}-0500"))
    (ignored,) = running.send(a03(other, sent=f"{local('1535')}-0500"), of=COAST)
    assert (said.source_id, ignored.source_id) == ("valley-general", "coast-general")
    assert "offset_ignored" in ignored.flags and "offset_ignored" not in said.flags
    for who in (one, other):
        running.quiet(who)
    assert running.clock(one)[0] == utc(20, 30)
    assert running.clock(other)[0] == utc(22, 30)


def test_10_a_cancelled_discharge_stops_the_clock_and_the_next_one_starts_a_new_one(running: AtWork) -> None:
    who = person(10)
    running.send(a01(who))
    running.send(a03(who))
    running.quiet(who)
    assert {"transition.call", "transition.visit"} <= running.open_dues(who)
    running.send(told(who, "A13"))
    running.quiet(who)
    assert running.course(who).discharge is None and running.course(who).admission is not None
    assert running.open_dues(who) == {"transition.notice", "transition.notice_read"}, (
        "nothing is owed after a discharge that was none"
    )
    assert running.stay_seen(who)["status"] == "admitted"
    running.send(a03(who, control_id="DIS-AGAIN", sent=local("1610"), discharged=local("1605")))
    running.quiet(who)
    stopped, begun = running.dues(who, "visit")
    assert (stopped.opens_at, begun.opens_at) == (utc(22, 30), utc(23, 5)) and stopped.key != begun.key
    assert running.runs(who).count("RUNNING") == 1
    assert running.story(who) == [
        "Admitted (inpatient)", "Discharged (disposition 01)", "Discharge cancelled: the member is still there",
        "Discharged (disposition 01)",
    ]  # fmt: skip
    assert running.stay_seen(who)["discharged_at"] == f"{TUESDAY}T23:05:00Z"


def test_11_a_cancellation_before_its_admission_leaves_nothing_to_do_and_sends_nothing(running: AtWork) -> None:
    who = person(11)
    (cancelled,) = running.send(told(who, "A11", sent=local("0800")))
    assert cancelled.status is Status.APPLIED and running.course(who).admissions == (), "parked with the stay"
    running.quiet(who)
    (admitted,) = running.send(a01(who))
    assert admitted.status is Status.APPLIED and admitted.stay == cancelled.stay
    running.quiet(who)
    assert running.course(who).cancelled
    assert running.open_dues(who) == set() == running.owed_seen(who)
    assert running.world.facts(running.transition(who), MessageRequested) == []
    assert {stay["status"] for stay in running.seen("/v1/transitions", member=running.member(who))} <= {"cancelled"}


def test_12_a_cancelled_admission_takes_back_what_was_owed(running: AtWork) -> None:
    who = person(12)
    (admitted,) = running.send(a01(who))
    running.quiet(who)
    assert running.open_dues(who) == {"transition.notice", "transition.notice_read"}
    assert running.owed_seen(who) >= {"transition.notice_read", "transition.discharge_review"}
    (cancelled,) = running.send(told(who, "A11"))
    running.quiet(who)
    assert running.open_dues(who) == set() == running.owed_seen(who)
    withdrawn = [r.fact for r in running.world.facts(running.transition(who), DueWithdrawn)]
    assert {fact.rule for fact in withdrawn} == {"transition.notice", "transition.notice_read"}
    assert [r.fact.reason for r in running.world.facts(running.transition(who), TransitionalCareEnded)] == ["no_stay"]
    kept = running.door.inbox.find(stay=admitted.stay)
    assert {(row.inbox_id, row.status) for row in kept} == {(r.inbox_id, Status.APPLIED) for r in (admitted, cancelled)}
    assert running.stay_seen(who)["status"] == "cancelled"


@pytest.mark.parametrize(("n", "disposition", "later"), [(13, "20", False), (14, "41", False), (15, "01", True)])
def test_13_a_death_ends_all_contact(running: AtWork, n: int, disposition: str, later: bool) -> None:
    who = person(n)
    rows = running.send(a01(who), a03(who, disposition=disposition))
    running.quiet(who)
    if later:
        assert {"transition.call", "transition.visit"} <= running.open_dues(who)
        rows = running.send(told(who, "A08", disposition="20"))
        running.quiet(who)
    assert [row.status for row in rows] == [Status.APPLIED] * len(rows)
    discharge = running.course(who).discharge
    assert discharge is not None and discharge.way is Way.EXPIRED
    death = running.world.system.gateway.load(running.member(who)).state.death()
    assert death is not None and death[1] == utc(22, 30)
    assert not running.open_dues(who) - {"transition.notice"} and not running.owed_seen(who)
    seen = running.seen("/v1/members", limit=200)
    assert [m["died_at"] for m in seen if m["member"] == running.member(who)] == [f"{TUESDAY}T22:30:00Z"]

    def silent() -> bool:
        """Nothing is left that would have somebody speak with them, in any of their processes."""
        owed = running.seen("/v1/worklist", member=running.member(who), limit=200)
        return not [o for o in owed if not o["rule"].startswith(("transition.notice", "outreach.death", "follow_up.death"))]

    asyncio.run(until(silent, SETTLED_SECONDS))


def test_14_still_a_patient_is_no_discharge_and_somebody_looks(running: AtWork) -> None:
    who = person(16)
    _, row = running.send(a01(who), a03(who, disposition="30"))
    assert (row.status, row.reason) == (Status.WAITING, "still_a_patient")
    running.quiet(who)
    assert running.course(who).discharge is None and running.dues(who, "visit") == []
    assert "transition.contradiction" in running.owed_seen(who)
    (listed,) = [r for r in running.seen("/v1/inbox", status="waiting") if r["inbox_id"] == str(row.inbox_id)]
    assert listed["reason"] == "still_a_patient"
    seen = running.stay_seen(who)
    assert (seen["status"], seen["doubtful"]) == ("admitted", True)


@pytest.mark.parametrize(("n", "said", "code"), [(20, "Home w/ family", ""), (21, "O", ""), (22, "1", "01")])
def test_15_a_disposition_is_kept_as_it_was_said_and_the_clock_starts(running: AtWork, n: int, said: str, code: str) -> None:
    who = person(n)
    (row,) = running.send(a03(who, disposition=said))
    assert row.flags == ([] if code else ["disposition_unmapped"])
    (fact, *_) = running.facts(row)
    assert (fact.disposition, fact.disposition_said) == (code, said)
    running.quiet(who)
    assert running.clock(who)[0] == utc(22, 30)
    assert running.story(who) == [f"Discharged (disposition {code or 'not mapped'})"]


def test_16_an_emergency_visit_that_becomes_an_admission_is_one_stay_with_one_notice_each(running: AtWork) -> None:
    who = person(23)
    running.send(told(who, "A04", visit="ED-16", stay_class="E", admitted=local("0900", SUNDAY), sent=local("0905", SUNDAY)))
    running.quiet(who)
    assert len(running.notices(who)) == 1
    running.send(
        told(who, "A06", visit="IN-16", prior_visit="ED-16", occurred=local("1500", SUNDAY), sent=local("1505", SUNDAY),
             admitted=local("1500", SUNDAY))
    )  # fmt: skip
    running.quiet(who)
    course = running.course(who)
    assert course.admission is not None and course.admission.at == utc(16, day=SUNDAY) and course.was_emergency
    assert course.stay_class.value == "inpatient" and len(running.notices(who)) == 2
    assert running.runs(who).count("RUNNING") == 1
    seen = [stay for stay in running.seen("/v1/transitions", member=running.member(who)) if stay["status"] == "admitted"]
    assert [stay["stay_class"] for stay in seen] == ["inpatient"]


def test_17_two_members_are_never_merged_by_a_message_and_a_retired_number_finds_the_survivor(running: AtWork) -> None:
    one, other = person(24), person(25)
    running.send(a01(one), a01(other))
    merge = "\r".join([*told(one, "A40").split("\r")[:3], f"MRG|{other.mrn}^^^VGH^MR", ""])
    (asked,) = running.send(merge)
    assert (asked.status, asked.reason, asked.proposed) == (
        Status.WAITING,
        "merge_of_two_members",
        [running.member(one), running.member(other)],
    )
    gateway = running.world.system.gateway
    assert {gateway.load(running.member(p)).state.identity.survivor for p in (one, other)} == {None}
    questions = [set(q["members"]) for q in running.ask("/v1/identity/questions")]
    assert {running.member(one), running.member(other)} in questions, "side by side, for a person"
    boss = running.world.staff(Role.SUPERVISOR)
    running.world.do(MergeMembers(stream=running.member(one), by=boss, retired=running.member(other), reason="one patient"))
    asyncio.run(until(lambda: running.row(merge).status is Status.APPLIED, SETTLED_SECONDS))
    (late,) = running.send(a03(replace(other, cin=""), control_id="LATE-17", visit="V-17-LATE"))
    assert late.status is Status.APPLIED
    assert running.member(one) in (late.member, gateway.load(late.member or "").state.identity.survivor)


def test_19_a_contradicted_cin_is_not_attached_and_a_card_number_is(running: AtWork) -> None:
    who, stranger = person(26), Person(cin=person(26).cin, mrn="MRN-WRONG", family="Nobody", given="Else", born="19300101", sex="M")
    (wrong,) = running.send(a01(stranger, control_id="WRONG-19"))
    assert (wrong.status, wrong.reason, wrong.proposed) == (Status.WAITING, "cin_contradicted", [running.member(who)])
    assert running.facts(wrong) == [] and running.stays(who) == []
    (card,) = running.send(a01(who, control_id="CARD-19", cin=f"{who.cin.lower()}3 9180"))
    assert (card.status, card.member, card.evidence) == (Status.APPLIED, running.member(who), "cin+birth_date+name")


DAMAGES = {
    "lf": lambda t: t.replace("\r", "\n"),
    "crlf": lambda t: t.replace("\r", "\r\n"),
    "double-cr": lambda t: t.replace("\r", "\r\r"),
    "bom": lambda t: "\ufeff" + t,
    "no-final-cr": lambda t: t.rstrip("\r"),
    "trailing-blanks": lambda t: t.replace("\r", "  \r"),
}


def test_20_damaged_line_ends_say_the_same(running: AtWork) -> None:
    who = person(28)
    plain = a03(who, control_id="PLAIN-20", visit="V-20-plain")
    damaged = [damage(a03(who, control_id=f"{name}-20", visit=f"V-20-{name}")) for name, damage in DAMAGES.items()]
    first, *rows = running.send(plain, *damaged)
    assert {row.status for row in rows} == {Status.APPLIED} and {tuple(row.flags) for row in rows} == {tuple(first.flags)}
    for row, message in zip(rows, damaged, strict=True):
        assert running.ask(f"/v1/inbox/{row.inbox_id}/raw") == message.encode()
        told, meant = running.facts(row)[0], running.facts(first)[0]
        assert replace(told, order="", received_at=meant.received_at) == replace(meant, order="")


def test_21_one_name_in_three_encodings(running: AtWork) -> None:
    who = replace(person(29), family="JOSÉ")
    receipt = running.door.files.import_file(member_file(replace(who, cin="91234599A")), plan="default")
    assert receipt.accepted == 1
    who = replace(who, cin="91234599A", mrn="MRN-JOSE")
    declared = a01(who, control_id="L1-21", visit="V-21-1", charset="8859/1").encode("iso-8859-1")
    undeclared = a01(who, control_id="L2-21", visit="V-21-2").encode("iso-8859-1")
    utf8 = a01(who, control_id="L3-21", visit="V-21-3", charset="UNICODE UTF-8").encode()
    rows = running.send(declared, undeclared, utf8)
    assert [(row.status, row.evidence) for row in rows] == [(Status.APPLIED, "cin+birth_date+name")] * 3, "the name is the file's"
    assert ["charset_guessed" in row.flags for row in rows] == [False, True, False]


def test_25_what_is_not_for_us_is_answered_kept_and_not_acted_on(running: AtWork) -> None:
    who = person(30)
    greeting, lab = b"good morning", f"MSH|^~\\&|LAB|VALLEYGEN|T|E|{local('1600')}||ORU^R01|R-25|P|2.5.1\rPID|1\r"
    said, refused = running.answers(greeting, lab)
    assert re.fullmatch(
        rb"MSH\|\^~\\&\|THROUGHLINE\|\|\|\|\d{14}\+0000\|\|ACK\|T[0-9a-f]{16}\|P\|2.5.1\rMSA\|AR\|\r"
        rb"ERR\|\|\|100\^Segment sequence error\^HL70357\|E\r", said,
    )  # fmt: skip
    running.acknowledged(lab.encode(), refused, "AR", "ERR|||200^Unsupported message type^HL70357|E\r")
    (elsewhere,) = running.answers(lab, of=COAST)
    running.acknowledged(lab.encode(), elsewhere, "AA")
    test, allergies = running.send(a01(who, control_id="TEST-25", processing="T"), told(who, "A60"))
    assert (running.row(greeting).status, running.row(greeting).reason) == (Status.DEAD, "not_hl7")
    asyncio.run(until(lambda: not running.door.inbox.find(status=Status.RECEIVED, files=False), SETTLED_SECONDS))
    of_lab = {row.source_id: (row.status, row.reason) for row in running.door.inbox.find(control_id="R-25")}
    assert of_lab == {
        "valley-general": (Status.IGNORED, "type_not_taken"), "coast-general": (Status.IGNORED, "type_not_taken"),
    }  # fmt: skip
    assert (test.status, test.reason) == (Status.IGNORED, "not_production")
    assert (allergies.status, allergies.reason) == (Status.IGNORED, "trigger_not_modelled")
    assert running.facts(test) == [] and running.stays(who) == []


@pytest.mark.parametrize(
    ("n", "order"), [(31, "discharge admit transfer"), (32, "transfer discharge admit"), (33, "admit transfer discharge")]
)
def test_26_notifications_in_any_order_and_twice_are_one_stay_that_ended(running: AtWork, n: int, order: str) -> None:
    who = person(n)
    headers = {"Authorization": f"Bearer {running.bearer[Role.HOSPITAL]}", "Content-Type": "application/fhir+json"}

    def post(event: str, **more: str) -> str:
        body = bundle(who, event, **more)
        answer = httpx.post(f"{running.api}/v1/fhir/$process-message", content=body, headers=headers, timeout=30.0)
        assert (answer.status_code, answer.content) == (200, b"")
        return str(answer.headers["Throughline-Receipt"])

    receipts = [post(event) for _ in range(2) for event in order.split()]
    assert receipts[:3] == receipts[3:], "twice is once"
    relayed = post("admit", id="relayed", stamped=utc(23).isoformat())

    def applied() -> bool:
        return all(running.ask(f"/v1/inbox/{receipt}")["status"] == "applied" for receipt in {*receipts, relayed})

    asyncio.run(until(applied, SETTLED_SECONDS))
    running.quiet(who)
    course = running.course(who)
    assert course.discharge is not None and (course.discharge.at, course.discharge.disposition) == (utc(22, 30), "01")
    assert len(course.admissions) == 1 and running.clock(who) == (utc(22, 30), end_of(TUESDAY + timedelta(days=7)))
    assert running.runs(who).count("RUNNING") == 1
    assert running.stay_seen(who)["status"] == "discharged"


def bundle(who: Person, event: str, *, id: str = "", stamped: str = "") -> bytes:
    """A Da Vinci notification of one encounter, as the guide's examples are: `period.end` although it goes on, the disposition in
    the retired system."""
    encounter, patient = f"urn:uuid:e-{who.mrn}", f"urn:uuid:p-{who.mrn}"
    at = {"admit": utc(16, 5, day=SUNDAY), "transfer": utc(10), "discharge": utc(22, 35)}[event]
    end = {"admit": utc(17, day=SUNDAY), "transfer": utc(10), "discharge": utc(22, 30)}[event]
    disposition = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/nubc-UB92", "code": "1"}]}
    return json.dumps({
        "resourceType": "Bundle", "id": f"{id or event}-{who.mrn}", "type": "message", "timestamp": stamped or at.isoformat(),
        "entry": [
            {"fullUrl": f"urn:uuid:h-{event}", "resource": {
                "resourceType": "MessageHeader", "id": f"h-{id or event}", "source": {"endpoint": "https://h.example"},
                "eventCoding": {"code": f"notification-{event}"}, "focus": [{"reference": encounter}],
            }},
            {"fullUrl": encounter, "resource": {
                "resourceType": "Encounter", "id": "e9", "status": "finished" if event == "discharge" else "in-progress",
                "class": {"code": "IMP"}, "subject": {"reference": patient},
                "identifier": [{"type": {"coding": [{"code": "VN"}]}, "value": who.mrn}],
                "period": {"start": utc(16, day=SUNDAY).isoformat(), "end": end.isoformat()},
                **({"hospitalization": {"dischargeDisposition": disposition}} if event == "discharge" else {}),
            }},
            {"fullUrl": patient, "resource": {
                "resourceType": "Patient", "identifier": [{"system": "CIN", "value": who.cin}],
                "name": [{"family": who.family, "given": [who.given]}],
                "birthDate": f"{who.born[:4]}-{who.born[4:6]}-{who.born[6:]}",
            }},
        ],
    }).encode()  # fmt: skip


def upload(running: AtWork, body: bytes, **query: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {running.bearer[Role.OPERATOR]}", "Content-Type": "text/csv"}
    answer = httpx.post(f"{running.api}/v1/files", params=query, content=body, headers=headers, timeout=60.0)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_27_and_28_files_as_plans_write_them(running: AtWork) -> None:
    header = CSV_HEADER.replace(",", ";")
    lines = [
        header,
        "93000001A;Marlowe;Ana;1961-04-12;F;English;(661) 555-0101;2026-03-01",
        ";;;;;;;",
        "9300;Wrong;Cin;1961-04-12;F;;;",
    ]
    semicolons = ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()
    told = upload(running, semicolons, plan="default")
    assert (told["accepted"], told["rejected"]) == (1, 1)
    (fault,) = [line for line in running.ask(f"/v1/files/{told['file_id']}/rows")["items"] if line["outcome"] == "rejected"]
    assert (fault["row"], fault["field"]) == (4, "cin"), "the sheet's own number"
    assert running.member(Person(cin="93000001A"))

    people = [coast(n) for n in range(2, 12)]
    sheet = workbook(COAST_HEADER, [coast(1, cin=9111111100), *people, coast(12, cin="oops")], above=6)
    told = upload(running, sheet, plan="coast-care", full_roster=True)
    assert (told["accepted"], told["rejected"]) == (11, 1), told
    assert running.member(Person(cin="91111111E")), "a spreadsheet took the number for a power of ten"
    rows = running.ask(f"/v1/files/{told['file_id']}/rows")["items"]
    assert [(line["row"], line["field"]) for line in rows if line["outcome"] == "rejected"] == [(19, "cin")]
    episode = running.world.system.gateway.load(running.member(Person(cin="91111111E"))).state.episodes[-1]
    outreach = ProcessRef("outreach", episode.removeprefix("episode-"))
    asyncio.run(until(lambda: running.world.row(outreach) is not None, SETTLED_SECONDS))

    def of_episodes() -> Counter[str]:
        return Counter(
            type(s.recorded.fact).__name__ for s in running.world.system.log.all() if s.recorded.actor.startswith("source:")
        )

    before = of_episodes()
    again = upload(running, sheet, plan="coast-care", full_roster=True)
    assert again["file_id"] == told["file_id"] and again["duplicate"] is True
    shrunk = workbook(COAST_HEADER, people[:4], above=6)
    stopped = upload(running, shrunk, plan="coast-care", full_roster=True)
    assert "7 of 11 members" in stopped["stopped"], stopped
    file = running.ask(f"/v1/files/{stopped['file_id']}")
    assert of_episodes() == before, (file, "nothing came of either")
    (waits,) = [f for f in running.ask("/v1/files")["items"] if f["file_id"] == stopped["file_id"]]
    assert (waits["status"], waits["reason"]) == ("waiting", "roster_shrank")


def test_18_somebody_who_becomes_known_a_day_later_owes_from_the_time_of_the_discharge(running: AtWork) -> None:
    """The last, because the clock goes on by a day."""
    who = person(STRANGER)
    (row,) = running.send(a03(who))
    assert (row.status, row.reason) == (Status.UNMATCHED, "no_member_with_this_cin")
    (count,) = [c for c in running.ask("/v1/inbox-counts") if c["status"] == "unmatched"]
    assert count["messages"] == 1
    running.moved[0] += timedelta(days=1)
    assert running.door.files.import_file(member_file(who), plan="default").accepted == 1
    lead = running.world.staff(Role.CARE_MANAGER)
    episode = running.transition(who).stream.replace("transition-", "episode-")
    running.world.do(AssignLeadCareManager(stream=episode, by="system", staff=lead))
    running.world.do(Enrol(stream=episode, by=lead, agreed="verbal", occurred_at=utc(17, day=SUNDAY + timedelta(days=1))))
    asyncio.run(until(lambda: running.door.inbox.show(row.inbox_id).row.status is Status.APPLIED, SETTLED_SECONDS))
    steps = [t.reason for t in running.door.inbox.show(row.inbox_id).transitions]
    assert steps == ["", "no_member_with_this_cin", "member_became_known", ""]
    (fact, *_) = running.facts(running.row(a03(who)))
    assert fact.discharged_at == utc(22, 30) and fact.received_at == row.received_at
    running.quiet(who)
    assert running.clock(who) == (utc(22, 30), end_of(TUESDAY + timedelta(days=7)))
    assert running.stay_seen(who)["discharged_at"] == f"{TUESDAY}T22:30:00Z"
    assert not [c for c in running.ask("/v1/inbox-counts") if c["status"] == "unmatched" and c["messages"]]
