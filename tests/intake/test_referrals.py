"""Referrals at the front door (domain.md 2.12): matched like everything else, waiting visibly, begun like a file's row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.adoption.decider import AdoptPolicy
from domain.episode.closing import Decline
from domain.episode.facts import AssignmentReceived
from domain.episode.referrals import ReferralReceived, ReferralSource, ReferralWithdrawn, Urgency
from domain.member.decider import RegisterMember, ReportDeath
from domain.member.facts import ContactPointLearned, MemberRegistered
from domain.member.identity import MergeMembers
from domain.staff.facts import Role
from eventlog.gateway import Accepted
from intake.files.tables import FileRefused
from intake.listening.receive import HttpAnswer
from intake.reading.fhir import Refused
from intake.referrals import service_request
from intake.referrals.desk import FHIR_KIND, Taken
from intake.referrals.receive import receive_service_request
from intake.referrals.referral import EXAMPLE, Faulty, InboundReferral, read_form, read_rows
from intake.senders.sources import Source
from intake.senders.throttle import Throttle
from intake.store.inbox import Status
from tests.given import POLICIES
from tests.intake.conftest import NOW, World
from tests.intake.making import MARISOL, TOMAS, Person

TODAY = date(2026, 3, 10)


def form(whom: Person = MARISOL, /, **changes: Any) -> dict[str, Any]:
    who = {"cin": whom.cin, "family_name": whom.family, "given_name": whom.given, "birth_date": iso(whom.born)}
    who |= changes.pop("person", {})
    return {"plan": "default", "source": "physician", "referred_by": "Dr. Osei", "person": who} | changes


def iso(born: str) -> str:
    return f"{born[:4]}-{born[4:6]}-{born[6:]}"


def take(world: World, said: dict[str, Any], **more: Any) -> Taken:
    return world.door.referrals.take(json.dumps(said).encode(), **({"source_id": "referrals"} | more))


# --- reading


def test_the_example_of_the_form_is_read() -> None:
    said = read_form(json.dumps(EXAMPLE).encode(), TODAY)
    assert isinstance(said, InboundReferral)
    assert (said.person.cins, said.person.birth_date, said.phone) == (("91234567A",), date(1961, 7, 9), "+14155550142")
    assert (said.source, said.urgency, said.populations) == (ReferralSource.HOSPITAL, Urgency.ROUTINE, ("2a",))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"plan": "No Such!"}, "plan"),
        ({"source": "the cat"}, "source"),
        ({"urgency": "now"}, "urgency"),
        ({"received_at": "2026-03-10T10:00:00"}, "received_at"),
        ({"person": {"cin": "91234567B"}}, "person.cin"),
        ({"person": {"birth_date": "sometime"}}, "person.birth_date"),
        ({"person": {"birth_date": "2061-01-01"}}, "person.birth_date"),
        ({"person": {"family_name": "..."}}, "person.family_name"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_mistake_names_field_reason_and_remedy_and_no_value(changes: dict[str, Any], field: str) -> None:
    said = read_form(json.dumps(form(**changes)).encode(), TODAY, line=7)
    assert isinstance(said, Faulty)
    (problem,) = said.problems
    assert (problem.row, problem.field) == (7, field)
    assert problem.reason and problem.remedy
    assert "91234567B" not in problem.reason + problem.remedy


def test_what_is_no_json_is_said_so() -> None:
    assert isinstance(read_form(b"\xff{", TODAY), Faulty)


# --- who it is


def adopt(world: World, plan: str = "default", **replaced: str) -> None:
    """A plan's policy, so that the plan's days are known; of a plan that has none, the default one but for a few words."""
    own, default = POLICIES / f"{plan}.toml", (POLICIES / "default.toml").read_text()
    text = own.read_text() if own.exists() else default.replace('plan = "default"', f'plan = "{plan}"')
    for old, new in (('version = "2026.1"', 'version = "2026.1.1"'), *replaced.items()):
        assert old in text
        text = text.replace(old, new)
    command = AdoptPolicy(stream=f"policy-{plan}", by="system", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())
    assert isinstance(world.gateway.handle(command, command_id=uuid4()), Accepted)


def test_a_referral_of_somebody_unknown_makes_a_member_with_an_episode_and_the_plans_clock(world: World) -> None:
    adopt(world)
    taken = take(world, form(person={"phone": "(661) 555-0134"}))
    assert (taken.status, taken.reason) == (Status.APPLIED, "")
    assert taken.member == world.member_of(MARISOL)
    assert len(world.facts("member")) == 3, "registered, a phone, an episode"
    (registered, point, _) = world.facts("member")
    assert isinstance(registered, MemberRegistered) and registered.family_name == MARISOL.family
    assert isinstance(point, ContactPointLearned) and (point.value, point.learned_from) == ("+16615550134", "referral")
    assigned, referral, *_ = world.facts("episode")
    assert isinstance(assigned, AssignmentReceived) and assigned.referral_source == "physician"
    assert isinstance(referral, ReferralReceived) and referral.referred_by == "Dr. Osei"
    # Tuesday 2026-03-10 in California, five business days: 11, 12, 13, 16, 17; summer time since the 8th.
    assert taken.answer_due_at == referral.answer_due_at == datetime(2026, 3, 18, 7, tzinfo=UTC)


def test_a_referral_of_a_known_member_lands_on_their_open_episode(world: World) -> None:
    world.register(MARISOL)
    taken = take(world, form())
    assert (taken.status, taken.reason) == (Status.APPLIED, "added_to_open_episode")
    assert len([f for f in world.facts("episode") if isinstance(f, AssignmentReceived)]) == 1
    assert [f.answer_due_at for f in world.facts("episode") if isinstance(f, ReferralReceived)] == [None]


@pytest.mark.parametrize("declined", [False, True])
def test_a_referral_of_a_merged_person_goes_where_their_episode_is(world: World, declined: bool) -> None:
    adopt(world)
    world.register(MARISOL)
    boss, survivor, other = world.staff(Role.SUPERVISOR), world.member_of(MARISOL), f"member-{uuid4()}"
    (episode,) = world.member(MARISOL).episodes
    commands = [
        RegisterMember(
            stream=other, by="system", cin_claim=world.door.identity.cin_claim(TOMAS.cin), cin=TOMAS.cin,
            family_name=TOMAS.family, given_name=TOMAS.given, birth_date="1948-09-30",
        ),
        MergeMembers(stream=survivor, by=boss, retired=other, reason="one person"),
        *([Decline(stream=episode, by=boss)] if declined else []),
    ]  # fmt: skip
    for command in commands:
        assert isinstance(world.gateway.handle(command, command_id=uuid4()), Accepted)
    taken = take(world, form(TOMAS))
    assert (taken.status, taken.episode) == (Status.APPLIED, episode)
    death = ReportDeath(stream=survivor, by="source:mercy", source="hospital")
    assert isinstance(world.gateway.handle(death, command_id=uuid4()), Accepted)
    assert take(world, form(TOMAS, id="another")).reason == "member_died"


def test_the_same_referral_again_is_nothing_new_however_it_comes(world: World) -> None:
    first = take(world, form(id="R-7"))
    again = take(world, form(id="R-7"))
    assert again.repeated and again.inbox_id == first.inbox_id
    other_words = take(world, form(id="R-7", reason="called once more"))
    assert (other_words.status, other_words.reason) == (Status.DUPLICATE, "said_before")
    assert other_words.referral == first.referral
    assert len([f for f in world.facts("episode") if isinstance(f, ReferralReceived)]) == 1


def test_a_second_referral_by_somebody_else_starts_no_second_clock(world: World) -> None:
    adopt(world)
    first = take(world, form())
    second = take(world, form(source="family", referred_by="Ana"))
    assert second.reason == "added_to_open_episode" and second.episode == first.episode
    told = [f for f in world.facts("episode") if isinstance(f, ReferralReceived)]
    assert [f.repeats for f in told] == ["", first.referral]
    assert [f.answer_due_at is None for f in told] == [False, True]


def test_a_name_alone_waits_for_a_person_and_is_applied_once_somebody_said_whose_it_is(world: World) -> None:
    world.register(MARISOL)
    taken = take(world, form(person={"cin": ""}))
    assert (taken.status, taken.reason) == (Status.WAITING, "possible_member")
    row = world.door.inbox.show(taken.inbox_id).row
    assert row.proposed == [world.member_of(MARISOL)]
    boss = world.staff(Role.SUPERVISOR)
    world.door.inbox.resolve(taken.inbox_id, world.member_of(MARISOL), by=boss, now=world.clock.now())
    world.door.worker.work_off()
    assert world.door.referrals.taken(taken.inbox_id).reason == "added_to_open_episode"


def test_another_cin_with_the_same_name_and_birth_date_is_doubtful(world: World) -> None:
    world.register(MARISOL)
    taken = take(world, form(replace(MARISOL, cin=TOMAS.cin)))
    assert (taken.status, taken.reason) == (Status.WAITING, "possible_member")


def test_a_known_cin_with_another_name_and_birth_date_waits(world: World) -> None:
    world.register(MARISOL)
    taken = take(world, form(replace(TOMAS, cin=MARISOL.cin)))
    assert (taken.status, taken.reason) == (Status.WAITING, "cin_contradicted")


def test_without_a_cin_a_stranger_waits_until_the_plan_names_them(world: World) -> None:
    taken = take(world, form(person={"cin": ""}))
    assert (taken.status, taken.reason) == (Status.UNMATCHED, "no_cin")
    world.register(MARISOL)
    world.door.worker.work_off()
    after = world.door.referrals.taken(taken.inbox_id)
    assert (after.status, after.reason) == (Status.WAITING, "possible_member"), "a name alone never decides"


def test_57_who_declined_is_not_begun_anew(world: World) -> None:
    world.register(MARISOL)
    episode = world.gateway.load(world.member_of(MARISOL)).state.episodes[-1]
    manager = world.staff(Role.CARE_MANAGER)
    declined = world.gateway.handle(Decline(stream=episode, by=manager, how="phone"), command_id=uuid4())
    assert isinstance(declined, Accepted)
    taken = take(world, form())
    assert (taken.status, taken.reason, taken.episode) == (Status.APPLIED, "declined_before", episode)
    assert len([f for f in world.facts("episode") if isinstance(f, AssignmentReceived)]) == 1


def test_staff_who_enter_a_referral_stand_on_it(world: World) -> None:
    manager = world.staff(Role.CARE_MANAGER)
    came = NOW - timedelta(days=2)
    taken = take(world, form(received_at=came.isoformat()), source_id="staff", by=manager)
    (told, *_) = [r for r in world.opened.log.read(str(taken.episode)) if isinstance(r.fact, ReferralReceived)]
    assert (told.actor, told.occurred_at) == (manager, came)


def test_a_senders_own_date_does_not_make_its_referral_older(world: World) -> None:
    adopt(world)
    taken = take(world, form(received_at=(world.clock.now() - timedelta(days=300)).isoformat()))
    assert taken.status is Status.APPLIED
    (assigned,) = [f for f in world.facts("episode-") if isinstance(f, AssignmentReceived)]
    assert assigned.received_at == world.clock.now()


def test_what_cannot_be_read_is_kept_as_dead_with_its_mistakes(world: World) -> None:
    taken = take(world, form(plan="NO"))
    assert (taken.status, taken.reason) == (Status.DEAD, "referral_faulty")
    assert [p.field for p in taken.problems] == ["plan"]


def test_a_referral_whose_taker_died_is_taken_up_by_a_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.door.referrals, "work_off", lambda inbox_id: None)
    taken = take(world, form())
    assert taken.status is Status.RECEIVED
    monkeypatch.undo()
    world.clock.set(world.clock.now() + timedelta(minutes=3))
    world.door.worker.work_off()
    assert world.door.referrals.taken(taken.inbox_id).status is Status.APPLIED


# --- files

SHEET = """\
Referral Date,Source,Organization,Last Name,First Name,DOB,Member CIN,Reason,POF,Priority
3/9/2026,Community organisation,Harbor House,Vega,Marisol,4/12/1961,91234567A,sleeps in her car,1a;2a,routine
2026-03-09,physician,,Quill,Ann,1970-01-02,91234567B,,,
2026-03-09,social worker,,Quill,Ann,1970-01-02,,,,expedited
"""


def test_a_file_of_referrals_is_taken_row_by_row_and_reported(world: World) -> None:
    manager = world.staff(Role.CARE_MANAGER)
    receipt = world.door.referrals.import_file(SHEET.encode(), plan="default", by=manager)
    assert (receipt.rows, receipt.accepted, receipt.waiting, receipt.rejected, receipt.repeated) == (3, 1, 1, 1, 0)
    assert [(p.row, p.field) for p in receipt.problems] == [(3, "person.cin")]
    (told,) = [f for f in world.facts("episode") if isinstance(f, ReferralReceived)]
    assert (told.source, told.organisation, told.populations) == (
        ReferralSource.COMMUNITY_ORGANISATION, "Harbor House", ("1a", "2a"),
    )  # fmt: skip
    before = len(world.facts())
    again = world.door.referrals.import_file(SHEET.encode(), plan="default", by=manager)
    assert again.duplicate and (again.accepted, again.repeated) == (0, 3)
    assert len(world.facts()) == before


OF_PLANS = """\
Source,Last Name,DOB,Member CIN,Health Plan
family,Vega,4/12/1961,91234567A,default
family,Quill,1970-01-02,98765432D,defualt
"""


def test_a_row_of_a_plan_that_there_is_not_is_rejected_and_kept_until_the_plan_is_there(world: World) -> None:
    manager = world.staff(Role.CARE_MANAGER)
    receipt = world.door.referrals.import_file(OF_PLANS.encode(), plan="default", by=manager)
    assert (receipt.rows, receipt.accepted, receipt.rejected) == (2, 1, 1)
    (problem,) = receipt.problems
    assert (problem.row, problem.field) == (3, "plan")
    assert problem.reason == "it is no health plan of ours (those are: default)"
    assert problem.remedy == "write one of those, or adopt the new plan's policy and replay this"
    assert len([f for f in world.facts("episode") if isinstance(f, AssignmentReceived)]) == 1
    (row,) = world.rows(Status.DEAD)
    assert row.reason == "plan_unknown"
    assert b"defualt" in (world.door.inbox.raw(row.inbox_id) or b"")
    world.adopt("defualt")
    world.door.inbox.replay(row.inbox_id, by=manager, now=world.clock.now())
    world.door.worker.work_off()
    assert [f.plan for f in world.facts("episode") if isinstance(f, AssignmentReceived)] == ["default", "defualt"]


def test_a_file_without_the_columns_is_refused() -> None:
    with pytest.raises(FileRefused, match="source, family_name, birth_date"):
        read_rows(b"a,b\n1,2\n", "default")


# --- FHIR

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "CIN", "value": "91234567A"}],
    "name": [{"family": "Vega", "given": ["Marisol"]}],
    "birthDate": "1961-04-12",
    "telecom": [{"system": "phone", "value": "661-555-0134"}],
    "communication": [{"language": {"coding": [{"code": "es"}]}}],
}
REQUEST = {
    "resourceType": "ServiceRequest",
    "identifier": [{"value": "SR-1"}],
    "status": "active",
    "intent": "order",
    "priority": "urgent",
    "contained": [PATIENT, {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Osei", "given": ["Amara"]}]}],
    "subject": {"reference": "#p1"},
    "requester": {"reference": "#d1"},
    "reasonCode": [{"text": "third admission this winter"}],
    "orderDetail": [{"coding": [{"code": "2a"}]}],
}


def send_fhir(world: World, body: dict[str, Any]) -> Taken:
    raw = json.dumps(body).encode()
    found = service_request.read_requests(raw)
    assert not isinstance(found, Refused), found
    control_id = f"{service_request.external_id(found, 0)}#0"
    return world.door.referrals.take(raw, source_id=world.source.name, control_id=control_id, kind=FHIR_KIND)


def test_a_service_request_says_what_a_form_says(world: World) -> None:
    found = service_request.read_requests(json.dumps(REQUEST).encode())
    assert not isinstance(found, Refused)
    said = service_request.read_request(found, 0, world.source, NOW, frozenset({"default"}))
    assert (said.person.cins, said.person.family_name, said.person.birth_date) == (("91234567A",), "Vega", date(1961, 4, 12))
    assert (said.source, said.referred_by, said.urgency) == (ReferralSource.PHYSICIAN, "Amara Osei", Urgency.EXPEDITED)
    assert (said.reason, said.populations, said.phone, said.language) == (
        "third admission this winter", ("2a",), "+16615550134", "es",
    )  # fmt: skip


def test_a_bundle_names_patient_organisation_and_plan_beside_the_request(world: World) -> None:
    request = {**REQUEST, "contained": [], "subject": {"reference": "urn:uuid:p1"}, "requester": {"reference": "Organization/o1"}}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": request},
            {"fullUrl": "urn:uuid:p1", "resource": PATIENT},
            {"resource": {"resourceType": "Organization", "id": "o1", "name": "Mercy Hospital"}},
            {"resource": {"resourceType": "Coverage", "id": "c1", "payor": [{"display": "Valley Health"}]}},
        ],
    }
    found = service_request.read_requests(json.dumps(bundle).encode())
    assert not isinstance(found, Refused)
    said = service_request.read_request(found, 0, world.source, NOW, frozenset({"default", "valley-health"}))
    assert (said.source, said.organisation, said.plan) == (ReferralSource.HOSPITAL, "Mercy Hospital", "valley-health")
    assert said.person.cins == ("91234567A",)


def receive(world: World, body: dict[str, Any]) -> HttpAnswer:
    throttle = Throttle()
    return receive_service_request(world.door.referrals, throttle, json.dumps(body).encode(), {}, world.source)


def covered_by(*payors: str) -> dict[str, Any]:
    coverages = [
        {"resourceType": "Coverage", "id": f"c{n}", "beneficiary": {"reference": "#p1"}, "payor": [{"display": payor}]}
        for n, payor in enumerate(payors)
    ]
    return {**REQUEST, "contained": [*REQUEST["contained"], *coverages]}


def test_a_coverage_by_a_plan_that_there_is_not_is_refused_at_the_door_and_kept(world: World) -> None:
    told = receive(world, covered_by("Medi-Cal"))
    (issue,) = json.loads(told.body)["issue"]
    assert (told.status, issue["code"], issue["expression"]) == (422, "code-invalid", ["Coverage.payor"])
    assert issue["diagnostics"] == (
        "'medi-cal' is no health plan of ours; name one of default as payor.identifier.value, or send no Coverage"
    )
    (row,) = world.rows()
    assert (row.status, row.reason) == (Status.DEAD, "fhir_code_invalid")
    assert receive(world, covered_by("Medi-Cal", "Default")).status == 201, "one of them is the plan"
    assert receive(world, {**covered_by("Medi-Cal"), "status": "revoked"}).status in (200, 201), "what is taken back is heard"


def test_what_was_taken_already_waits_for_its_plan(world: World) -> None:
    taken = send_fhir(world, covered_by("Seaside Plan"))
    assert (taken.status, taken.reason) == (Status.WAITING, "plan_unknown")
    assert [(p.field, p.reason) for p in taken.problems] == [("plan", "it is no health plan of ours (those are: default)")]
    assert not [f for f in world.facts() if isinstance(f, AssignmentReceived)]
    world.adopt("seaside-plan")
    world.door.inbox.replay(taken.inbox_id, by=world.staff(Role.SUPERVISOR), now=world.clock.now())
    world.door.worker.work_off()
    assert [f.plan for f in world.facts() if isinstance(f, AssignmentReceived)] == ["seaside-plan"]


def test_a_request_is_taken_and_taken_back(world: World) -> None:
    taken = send_fhir(world, REQUEST)
    assert (taken.status, taken.reason) == (Status.APPLIED, "")
    back = send_fhir(world, {**REQUEST, "status": "revoked"})
    assert (back.status, back.reason) == (Status.APPLIED, "withdrawn")
    (fact,) = [f for f in world.facts("episode") if isinstance(f, ReferralWithdrawn)]
    assert fact.referral == taken.referral
    never = send_fhir(world, {**REQUEST, "identifier": [{"value": "SR-2"}], "status": "entered-in-error"})
    assert (never.status, never.reason) == (Status.IGNORED, "nothing_to_withdraw")


def test_a_source_that_refers_too_often_is_slowed_down(world: World) -> None:
    source, throttle = Source(name="harbor", transports=("http",), messages_per_minute=1), Throttle()
    body = json.dumps(REQUEST).encode()
    statuses = [receive_service_request(world.door.referrals, throttle, body, {}, source).status for _ in range(2)]
    assert statuses == [201, 429]


@pytest.mark.parametrize(
    ("body", "status", "code", "expression"),
    [
        (b"{", 400, "invalid", "ServiceRequest"),
        ({"resourceType": "Patient"}, 400, "invalid", "resourceType"),
        ({"resourceType": "Bundle", "entry": []}, 422, "required", "Bundle.entry"),
        ({**REQUEST, "subject": {}}, 422, "required", "ServiceRequest.subject"),
        ({**REQUEST, "subject": {"reference": "#nobody"}}, 422, "not-found", "ServiceRequest.subject"),
        ({**REQUEST, "status": "draft"}, 422, "business-rule", "ServiceRequest.status"),
    ],
)
def test_a_request_that_cannot_be_taken_says_why(body: Any, status: int, code: str, expression: str) -> None:
    found = service_request.read_requests(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert isinstance(found, Refused)
    assert (found.status, found.code, found.expression) == (status, code, expression)
