"""Scenarios of domain.md 7 through the real front door, on the whole system at work: 5, 9, 53 to 57 and 58.

Hospitals speak HL7 over MLLP, the plan sends files over HTTP, staff record over HTTP; intake, router, worker, projector and API
run, and a process's time is skipped on a real Temporal server. One system for all of them, somebody else in each.

It is five o'clock in the afternoon of a Friday, day 0 of most stories; `friday(10)` is its ten o'clock, `friday(10, day=-1)` that
of the Thursday before. What is expected is counted by hand: two business days after a Friday end with the Tuesday.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from api import tokens
from domain.clocks import DeadlineMissed
from domain.core import ProcessRef
from domain.staff.facts import Role
from eventlog.clock import OffsetClock, SystemClock
from intake.store.inbox import Status
from tests.intake.making import CSV_HEADER, Person, adt
from tests.intake.test_cases_at_work import AtWork
from tests.shell.world import POLICIES, Post, settings_for, system_for, until, world_of
from tests.surfaces.test_whole import at_work
from workers.ground.child import free_ports
from workers.roles import ROLES
from workers.services import door_of, prepare_door, projector_of

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(300)]

PACIFIC = ZoneInfo("America/Los_Angeles")
WAIT_SECONDS = 60.0

FUH = """
[[transition.item]]
key = "psychiatric_follow_up"
opens_day = 1
due_day = 7
basis = "calendar"
holiday_calendar = "none"
closes_day = 30
evidence = "in_person"
"""
"""What a plan writes into its file that holds us to FUH: in person, days one to seven, day 0 is none."""

AT_HOME = ("call", "medicines_obtained", "medicines_understood", "side_effects_asked")
"""What belongs to a discharge home only; the call within two business days is TCM's."""


def coming_friday() -> datetime:
    """Five in the afternoon of the next Friday: no earlier than the server's own time, which a workflow never goes behind."""
    today = SystemClock().now().astimezone(PACIFIC).date()
    day = today + timedelta(days=(4 - today.weekday()) % 7 or 7)
    return datetime.combine(day, time(17), PACIFIC).astimezone(UTC)


FRIDAY = coming_friday()


def friday(hour: int, minute: int = 0, *, day: int = 0) -> datetime:
    """An hour of the Friday, or of so many days after it."""
    local = FRIDAY.astimezone(PACIFIC).date() + timedelta(days=day)
    return datetime.combine(local, time(hour, minute), PACIFIC).astimezone(UTC)


def end_of(*, day: int) -> datetime:
    """The local midnight that ends a day."""
    return friday(0, day=day + 1)


def as_said(instant: datetime) -> str:
    """As a hospital writes it: without a zone."""
    return f"{instant.astimezone(PACIFIC):%Y%m%d%H%M%S}"


def came(who: Person, visit: str, at: datetime, **more: str) -> str:
    said = {"sent": as_said(at), "admitted": as_said(at), "visit": visit} | more
    return adt("A01", person=who, control_id=f"{visit}-in", **said)  # type: ignore[arg-type]


def left(who: Person, visit: str, at: datetime, *, to: str = "01", **more: str) -> str:
    said = {"sent": as_said(at), "discharged": as_said(at), "disposition": to, "visit": visit} | more
    return adt("A03", person=who, control_id=f"{visit}-out", **said)  # type: ignore[arg-type]


@dataclass(slots=True)
class Programme(AtWork):
    """The running programme, with the API in front of it."""

    lead: str = ""

    # --- over HTTP ---

    def asked(self, method: str, path: str, role: Role, **sent: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.bearer[role]}", "Idempotency-Key": str(uuid4())}
        told = httpx.request(method, f"{self.api}/v1{path}", headers=headers | sent.pop("headers", {}), timeout=30.0, **sent)
        assert told.status_code < 300, told.text
        return told.json()

    def get(self, path: str, role: Role = Role.SUPERVISOR, **query: Any) -> Any:
        return self.asked("GET", path, role, params=query)

    def record(self, path: str, role: Role = Role.CARE_MANAGER, /, **said: Any) -> Any:
        body = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}
        return self.asked("POST", path, role, json=body)

    def load(self, *rows: str, plan: str, header: str = CSV_HEADER, **how: Any) -> Any:
        raw = "\r\n".join([header, *rows, ""]).encode()
        return self.asked(
            "POST", "/files", Role.OPERATOR, content=raw, params={"plan": plan, **how}, headers={"Content-Type": "text/csv"}
        )

    def adopt_text(self, text: str) -> None:
        self.asked("POST", "/policies", Role.OPERATOR, content=text.encode(), headers={"Content-Type": "application/toml"})

    # --- somebody ---

    def enrolled(self, who: Person, *, plan: str = "default") -> Person:
        """Listed by the plan, led, and enrolled on Thursday morning."""
        assert self.load(row_of(who), plan=plan)["accepted"] == 1
        return self.led_and_enrolled(who)

    def led_and_enrolled(self, who: Person) -> Person:
        episode = self.episode(who)
        self.record(f"/episodes/{episode}/lead-care-managers", Role.SUPERVISOR, staff=self.lead)
        self.record(f"/episodes/{episode}/enrolments", agreed="verbal", occurred_at=friday(8, day=-1))
        return who

    def episode(self, who: Person) -> str:
        return self.transition(who).stream.replace("transition-", "episode-")

    def owed(self, who: Person) -> dict[str, Any]:
        """What the worklist shows of the member, by key, once their transition has read everything."""
        self.quiet(who)
        items = self.get("/worklist", member=self.member(who), limit=200)["items"]
        return {item["key"]: item for item in items}

    def of_stay(self, who: Person, stay: str) -> dict[str, Any]:
        """What is owed after a stay, by the checklist's item."""
        return {key.removesuffix(f"/{stay}"): item for key, item in self.owed(who).items() if key.endswith(f"/{stay}")}

    def stay_ids(self, who: Person) -> list[str]:
        return list(self.world.system.gateway.load(self.member(who)).state.stays)

    def skip_to(self, process: ProcessRef, instant: datetime) -> None:
        """Let Temporal's time of a process pass until an instant."""

        async def skipped() -> None:
            there = await world_of(self.world.system, self.world.post)
            await there.sleep(process, instant - SystemClock().now())

        asyncio.run(skipped())

    def missed(self, who: Person) -> dict[str, datetime]:
        return {r.fact.key: r.occurred_at for r in self.world.facts(self.transition(who), DeadlineMissed)}


def row_of(who: Person) -> str:
    return f"{who.cin},{who.family},{who.given},{who.born},{who.sex},English,{who.phone},2026-03-01"


def somebody(n: int, family: str) -> Person:
    return Person(
        cin=f"9555000{n:01d}A", mrn=f"MRN-5{n}", family=family, given="Ilse", born=f"19{50 + n}0412", phone=f"(661) 555-02{n:02d}"
    )


@pytest.fixture(scope="module")
def programme(module_database: str, temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programme]:
    from workers.ground.temporal import register_namespace

    namespace = f"scenarios-{module_database[-17:].replace('_', '-')}"
    asyncio.run(register_namespace(temporal_address, namespace))
    hl7_port, api_port = free_ports(2)
    settings = settings_for(module_database, temporal_address, namespace, tmp_path_factory.mktemp("home"))
    settings = settings.model_copy(update={"throughline_hl7_port": hl7_port, "throughline_api_port": api_port})
    post, offset = Post(), FRIDAY - SystemClock().now()
    with system_for(settings, post, clock=OffsetClock(lambda: offset)) as system:
        prepare_door(system)
        projector_of(system).create()
        world = asyncio.run(world_of(system, post))
        door = door_of(system)
        there = Programme(world, door, hl7_port, f"http://127.0.0.1:{api_port}", [])
        boss, there.lead = world.staff(Role.SUPERVISOR, Role.OPERATOR), world.staff(Role.CARE_MANAGER)
        for role, subject in ((Role.SUPERVISOR, boss), (Role.OPERATOR, boss), (Role.CARE_MANAGER, there.lead)):
            _, there.bearer[role] = tokens.mint(
                system.pool, role=role, subject=subject, now=system.clock.now(), life=timedelta(days=30)
            )
        with at_work(system, *ROLES):
            asyncio.run(until(lambda: answers(there), WAIT_SECONDS))
            no_holidays = re.sub(r"(\[holidays\.federal\]\n.*\ndays = )\[.*?\n\]", r"\1[]", default_policy(), flags=re.DOTALL)
            there.adopt_text(no_holidays)
            there.adopt_text(
                no_holidays.replace('plan = "default"', 'plan = "with-fuh"').replace(
                    "\n# The year after", f"{FUH}\n# The year after"
                )
            )
            yield there
        door.close()


def default_policy() -> str:
    return (POLICIES / "default.toml").read_text()


def answers(there: Programme) -> bool:
    try:
        return httpx.get(f"{there.api}/readyz").status_code == 200
    except httpx.TransportError:
        return False


# --- 53: to another facility -----------------------------------------------------------------------------------------------------


def test_53_a_transfer_to_a_nursing_facility_goes_on_and_only_the_way_home_from_there_starts_what_belongs_at_home(
    programme: Programme,
) -> None:
    who = programme.enrolled(somebody(1, "Ashgrove"))
    programme.send(
        came(who, "S53", friday(9, day=-1)),
        left(who, "S53", friday(10), to="03"),
    )
    (hospital,) = programme.stay_ids(who)
    after = programme.of_stay(who, hospital)
    assert {item: after[item]["due_at"] for item in ("visit", "synchronous_interaction", "medication_reconciliation")} == {
        "visit": shown(end_of(day=7)), "synchronous_interaction": shown(end_of(day=7)),
        "medication_reconciliation": shown(end_of(day=30)),
    }  # fmt: skip
    assert not set(AT_HOME) & set(after), "it is a transition; what is about a home waits for one"

    entered = programme.record(
        "/stays/admissions", facility="Seaview SNF", stay_class="nursing_facility", admitted_at=friday(12),
        member=programme.member(who), episode=programme.episode(who),
    )  # fmt: skip
    nursing = entered["stream"]
    assert not set(AT_HOME) & set(programme.of_stay(who, nursing))
    programme.record(f"/stays/{nursing}/discharges", discharged_at=friday(15), disposition="01")
    home = programme.of_stay(who, nursing)
    assert {item: home[item]["due_at"] for item in AT_HOME} == {
        "call": shown(end_of(day=4)),  # Monday, Tuesday
        "medicines_obtained": shown(end_of(day=7)), "medicines_understood": shown(end_of(day=7)),
        "side_effects_asked": shown(end_of(day=14)),
    }  # fmt: skip
    assert programme.runs(who).count("RUNNING") == 1, "one process for both stays"


def test_53_a_transfer_to_another_hospital_of_which_nothing_is_heard_is_asked_about(programme: Programme) -> None:
    who = programme.enrolled(somebody(2, "Birkenau"))
    programme.send(
        came(who, "T53", friday(9, day=-1)),
        left(who, "T53", friday(10), to="02"),
    )
    (first,) = programme.stay_ids(who)
    assert f"placement_review/{first}/0" in programme.owed(who) and not set(AT_HOME) & set(programme.of_stay(who, first))
    asked = programme.get("/worklist/front-door", Role.CARE_MANAGER, kind="decision")["items"]
    (look,) = (matter for matter in asked if matter["key"] == f"placement_review/{first}/0")
    assert look["since"] == shown(friday(10)) and look["members"] == [programme.member(who)]
    assert [todo["call"].split()[1] for todo in look["todo"]] == [
        f"/v1/streams/{first}/timeline", f"/v1/transitions/{programme.transition(who).stream}/stay-reviews",
    ]  # fmt: skip
    assert look["todo"][1]["body"]["stay"] == first
    programme.send(
        came(who, "T53-B", friday(12), facility="ST BRENDAN", location="2N^210^B^ST BRENDAN"),
    )
    (_, second) = programme.stay_ids(who)
    owed = programme.owed(who)
    assert f"placement_review/{first}/0" not in owed and f"discharge_review/{second}/0" in owed
    assert programme.runs(who).count("RUNNING") == 1


# --- 54: the emergency room ------------------------------------------------------------------------------------------------------


def an_emergency(programme: Programme, who: Person, visit: str) -> str:
    """From Thursday, ten in the evening, to Friday, two in the morning."""
    programme.send(
        adt("A04", person=who, control_id=f"{visit}-1", sent=as_said(friday(22, day=-1)), admitted=as_said(friday(22, day=-1)),
            visit=visit, stay_class="E"),
        left(who, visit, friday(2), stay_class="E"),
    )  # fmt: skip
    (stay,) = programme.stay_ids(who)
    return stay


def test_54_an_emergency_visit_is_followed_up_within_seven_days_of_which_its_own_is_one(programme: Programme) -> None:
    who = programme.enrolled(somebody(3, "Calloway"))
    stay = an_emergency(programme, who, "E54")
    after = programme.of_stay(who, stay)
    assert after["follow_up_appointment"]["due_at"] == shown(end_of(day=7))
    assert "visit" not in after, "nobody was in hospital"
    programme.record(
        f"/transitions/{programme.transition(who).stream}/done-items", item="follow_up_appointment",
        interaction="document", spoken_to="practice", occurred_at=friday(16),
    )  # fmt: skip
    assert "follow_up_appointment" not in programme.of_stay(who, stay), "the same day counts"


def test_54_an_emergency_visit_that_nobody_follows_up_is_missed_when_its_seventh_day_ends(programme: Programme) -> None:
    who = programme.enrolled(somebody(4, "Dunleavy"))
    stay = an_emergency(programme, who, "F54")
    programme.quiet(who)
    programme.skip_to(programme.transition(who), friday(9, day=8))
    assert programme.missed(who)[f"follow_up_appointment/{stay}"] == end_of(day=7)


def test_54_an_emergency_visit_that_becomes_an_admission_counts_once_as_a_stay(programme: Programme) -> None:
    who = programme.enrolled(somebody(5, "Eastlake"))
    an_emergency(programme, who, "G54")
    programme.quiet(who)
    programme.send(
        adt("A06", person=who, control_id="G54-3", sent=as_said(friday(4)), admitted=as_said(friday(22, day=-1)), visit="G54-IN",
            prior_visit="G54"),
    )  # fmt: skip
    owed = programme.owed(who)
    assert not [key for key in owed if key.startswith(("follow_up_appointment/", "call/"))], "who is in hospital was not discharged"
    programme.send(
        left(who, "G54-IN", friday(14)),
    )
    owed = programme.owed(who)
    assert [item["due_at"] for key, item in owed.items() if key.startswith("call/")] == [shown(end_of(day=4))]
    assert [item["due_at"] for key, item in owed.items() if key.startswith("visit/")] == [shown(end_of(day=7))]

    def counted() -> bool:
        found = programme.get("/utilisation-visits", member=programme.member(who))["items"]
        return [visit["kind"] for visit in found] == ["inpatient"]

    asyncio.run(until(counted, WAIT_SECONDS))


# --- 55: after psychiatry --------------------------------------------------------------------------------------------------------


def out_of_psychiatry(programme: Programme, who: Person, visit: str) -> str:
    """Admitted and discharged on Thursday: day 0 is Thursday."""
    programme.send(
        came(who, visit, friday(9, day=-1), location="PSY^12^A^VALLEYGEN"),
        left(who, visit, friday(11, day=-1), location="PSY^12^A^VALLEYGEN"),
    )
    (stay,) = programme.stay_ids(who)
    return stay


def visited(programme: Programme, who: Person, at: datetime) -> None:
    programme.record(
        f"/transitions/{programme.transition(who).stream}/contacts", interaction="in_person", spoken_to="member", occurred_at=at
    )


def test_55_a_visit_on_the_day_of_a_psychiatric_discharge_does_not_meet_fuh_and_one_on_the_next_day_does(
    programme: Programme,
) -> None:
    who = programme.enrolled(somebody(6, "Fenwick"), plan="with-fuh")
    stay = out_of_psychiatry(programme, who, "P55")
    assert programme.of_stay(who, stay)["psychiatric_follow_up"]["due_at"] == shown(end_of(day=6)), "Thursday and seven days"
    visited(programme, who, friday(15, day=-1))
    after = programme.of_stay(who, stay)
    assert "visit" not in after, "the visit itself was made"
    assert after["psychiatric_follow_up"]["state"] == "open"
    visited(programme, who, friday(11))
    assert "psychiatric_follow_up" not in programme.of_stay(who, stay)


def test_55_where_only_the_day_itself_was_visited_fuh_is_missed(programme: Programme) -> None:
    who = programme.enrolled(somebody(7, "Garrick"), plan="with-fuh")
    stay = out_of_psychiatry(programme, who, "Q55")
    programme.quiet(who)
    visited(programme, who, friday(15, day=-1))
    programme.quiet(who)
    programme.skip_to(programme.transition(who), friday(9, day=7))
    missed = programme.missed(who)
    assert missed[f"psychiatric_follow_up/{stay}"] == end_of(day=6) and f"visit/{stay}" not in missed


# --- 56: no contact in hospital --------------------------------------------------------------------------------------------------


def test_56_who_wants_no_contact_in_hospital_is_left_alone_and_the_liaison_goes_on(programme: Programme) -> None:
    who = programme.enrolled(somebody(8, "Hathersage"))
    papers = ("discharge_document", "discharge_risk_assessment", "follow_up_appointment")
    programme.send(came(who, "L56", friday(9, day=-1)))
    programme.quiet(who)
    (stay,) = programme.stay_ids(who)
    transition = f"/transitions/{programme.transition(who).stream}"
    programme.record(f"{transition}/attempts", interaction="in_person", outcome="refused", occurred_at=friday(14, day=-1))
    assert f"discharge_review/{stay}/0" in programme.owed(who), "somebody still looks after the stay"
    programme.record(f"{transition}/contacts", interaction="phone", spoken_to="facility", occurred_at=friday(9))
    programme.send(left(who, "L56", friday(11)))
    after = programme.of_stay(who, stay)
    assert {item: after[item]["due_at"] for item in papers} == {
        "discharge_document": shown(end_of(day=2)), "discharge_risk_assessment": shown(end_of(day=2)),
        "follow_up_appointment": shown(end_of(day=7)),
    }  # fmt: skip
    for item in papers[:2]:
        programme.record(
            f"{transition}/done-items", item=item, interaction="document", spoken_to="facility", occurred_at=friday(12)
        )
    after = programme.of_stay(who, stay)
    assert not set(papers[:2]) & set(after) and "follow_up_appointment" in after
    assert after["synchronous_interaction"]["state"] == "open", "neither a refusal nor a talk with the ward is an interaction"


# --- 57, 58: whose it is ---------------------------------------------------------------------------------------------------------


def test_57_an_admission_of_somebody_who_declined_is_kept_and_offered_to_a_person(programme: Programme) -> None:
    who = somebody(9, "Inkpen")
    assert programme.load(row_of(who), plan="default")["accepted"] == 1
    episode = programme.episode(who)
    programme.record(f"/episodes/{episode}/lead-care-managers", Role.SUPERVISOR, staff=programme.lead)
    programme.record(f"/episodes/{episode}/declines", how="phone", occurred_at=friday(9, day=-1))
    outreach = ProcessRef("outreach", programme.transition(who).id)
    asyncio.run(programme.world.settled(outreach, seconds=WAIT_SECONDS))
    (row,) = programme.send(came(who, "D57", friday(12)))
    assert row.status is Status.APPLIED and programme.course(who).admission is not None

    def offered() -> bool:
        rules = {item["rule"] for item in programme.get("/worklist", member=programme.member(who))["items"]}
        return rules == {"outreach.review.new_episode"}

    asyncio.run(until(offered, WAIT_SECONDS))
    assert programme.world.system.gateway.load(programme.member(who)).state.episodes == (episode,)


def test_58_a_message_that_fits_two_members_starts_nothing_until_somebody_says_whose_it_is(programme: Programme) -> None:
    one = Person(cin="95550011A", mrn="MRN-58", family="Jessamy", given="Ottilie", born="19710905")
    other = replace(one, cin="95550012A", mrn="MRN-59")
    programme.enrolled(one)
    assert programme.load(row_of(other), plan="default")["accepted"] == 0, "whoever is of one name and birth date is asked about"
    (asked,) = [q for q in programme.get("/identity/questions", kind="message") if q["members"] == [programme.member(one)]]
    programme.record(f"/identity/questions/{asked['id']}/decisions", decision="keep_apart", reason="two people: spoke with both")
    asyncio.run(until(lambda: programme.door.inbox.show(UUID(asked["id"])).row.status is Status.APPLIED, WAIT_SECONDS))
    programme.led_and_enrolled(other)
    nobody = replace(one, cin="", mrn="MRN-NEW")
    rows = programme.send(
        came(nobody, "W58", friday(9, day=-1)),
        left(nobody, "W58", friday(10)),
    )
    assert {row.status for row in rows} == {Status.UNMATCHED}
    assert (programme.stay_ids(one), programme.stay_ids(other)) == ([], []), "no clock runs for either"
    waiting = [
        q
        for q in programme.get("/identity/questions", kind="message")
        if set(q["members"]) == {programme.member(one), programme.member(other)}
    ]
    assert len(waiting) == 2 and all(q["since"] and q["waits_seconds"] >= 0 for q in waiting), "for how long is to be seen"
    programme.record(
        f"/identity/questions/{waiting[0]['id']}/decisions",
        decision="attach",
        member=programme.member(other),
        reason="called her",
    )

    def applied() -> bool:
        return all(programme.door.inbox.show(row.inbox_id).row.status is Status.APPLIED for row in rows)

    asyncio.run(until(applied, WAIT_SECONDS))  # the other one with it: the hospital's number is known now
    (stay,) = programme.stay_ids(other)
    assert programme.of_stay(other, stay)["call"]["due_at"] == shown(end_of(day=4)), "from the discharge, not from the decision"
    assert programme.stay_ids(one) == []


# --- 5, 9: what plans and the state say ------------------------------------------------------------------------------------------


def test_5_under_the_older_and_the_newer_cin_it_is_one_member_with_one_transition(programme: Programme) -> None:
    who = programme.enrolled(Person(cin="95550013A", mrn="MRN-60", family="Kestrel", given="Imke", born="19630606"))
    member = programme.member(who)
    programme.record(f"/members/{member}/cins", Role.SUPERVISOR, cin="95550014A", reason="the state combined two records")
    newer = replace(who, cin="95550014A", mrn="MRN-61")
    programme.send(
        came(who, "C5", friday(9, day=-1)),
        left(newer, "C5", friday(10)),
    )
    assert programme.member(newer) == member
    (stay,) = programme.stay_ids(who)
    assert programme.of_stay(who, stay)["call"]["due_at"] == shown(end_of(day=4))
    programme.record(f"/members/{member}/cin-withdrawals", Role.SUPERVISOR, cin="95550014A", reason="another person's")
    state = programme.world.system.gateway.load(member).state
    assert state.cin == who.cin and state.cins() == (who.cin,) and programme.stay_ids(who) == [stay]
    assert programme.world.system.gateway.load(programme.door.identity.cin_claim("95550014A")).state.holder is None


def test_9_whom_the_plans_full_list_leaves_out_is_asked_about_and_nobody_is_ended(programme: Programme) -> None:
    people = [Person(cin=f"9555002{n}A", mrn="", family=f"Larch{chr(97 + n)}", given="Ada", born=f"195{n}0202") for n in range(6)]
    programme.adopt_text(default_policy().replace('plan = "default"', 'plan = "with-rosters"'))
    assert programme.load(*(row_of(p) for p in people), plan="with-rosters", full_roster=True)["accepted"] == 6
    receipt = programme.load(*(row_of(p) for p in people[:5]), plan="with-rosters", full_roster=True)
    assert receipt["missing"] == 1 or len(receipt["missing"]) == 1
    absent = people[5]

    def asked() -> bool:
        rules = {item["rule"] for item in programme.get("/worklist", member=programme.member(absent), limit=200)["items"]}
        return "followup.missing_from_roster" in rules

    asyncio.run(until(asked, WAIT_SECONDS))
    state = programme.world.system.gateway.load(programme.episode(absent)).state
    assert state.closure(FRIDAY) is None
    programme.record(
        f"/episodes/{programme.episode(absent)}/roster-absences", Role.SUPERVISOR, assignment="stands", reason="left out by mistake"
    )
    asyncio.run(until(lambda: not asked(), WAIT_SECONDS))


def shown(instant: datetime) -> str:
    """As the API writes an instant."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
