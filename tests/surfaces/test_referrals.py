"""Other ways in over HTTP and on the command line: who refers is told that it is kept, staff what it led to."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from api.referrals import SERVICE_REQUEST_EXAMPLE
from domain.core import ProcessRef
from domain.episode.closing import CloseEpisode
from domain.episode.facts import ClosureReason
from domain.staff.facts import Role
from intake.referrals.referral import EXAMPLE
from tests.surfaces.conftest import CIN, PLANTED_NAME, World, plan_and_project
from workers.cli import app, frame
from workers.cli.sending import built

FHIR = {"Content-Type": "application/fhir+json"}


def known() -> dict[str, Any]:
    """A referral of the member who has an open episode."""
    return {
        "plan": "default",
        "source": "community_organisation",
        "organisation": "Harbor House",
        "person": {"cin": CIN, "family_name": PLANTED_NAME, "birth_date": "1959-04-03"},
    }


def send(world: World, body: Any, role: Role = Role.CARE_MANAGER, **headers: str) -> Any:
    return world.api.post("/v1/referrals", json=body, headers={**world.as_role(role), **headers})


def test_a_referral_of_a_stranger_becomes_a_member_with_the_plans_clock(world: World) -> None:
    stranger = {**EXAMPLE, "person": {**EXAMPLE["person"], "cin": "98765432D"}}
    answer = send(world, stranger)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["state"], told["status"]) == ("received", "applied")
    # Monday 2026-11-16, five business days: 17, 18, 19, 20, 23.
    assert told["answer_due_at"] == "2026-11-24T08:00:00Z"
    again = send(world, stranger)
    assert again.status_code == 200 and again.json()["state"] == "repeated"
    answered = world.post(
        f"/v1/episodes/{told['episode']}/referral-answers",
        {"answer": "denied", "communicated_on": "2026-11-16", "reason": "criteria not met", "appeal_until": "2027-01-15"},
    )
    assert answered.status_code == 200, answered.text
    plan_and_project(world)
    (row,) = world.get("/v1/referrals", state="denied", names=True).json()["items"]
    assert (row["source"], row["organisation"], row["appeal_until"]) == ("hospital", "St. Brendan Medical Center", "2027-01-15")
    assert row["member_name"] == "Ines Okafor"
    ways = {(w["source"], w["episodes"]) for w in world.get("/v1/ways-in").json()}
    assert ways == {("hospital", 1), ("plan_file", 1)}


def test_who_refers_is_not_told_who_is_a_member(world: World) -> None:
    answer = send(world, known(), role=Role.HOSPITAL)
    assert answer.status_code == 201
    told = answer.json()
    assert set(told) == {"inbox_id", "state", "problems"} and told["state"] == "received"
    mine = world.get(f"/v1/referrals/{told['inbox_id']}/receipt", role=Role.HOSPITAL)
    assert mine.json() == told
    for_staff = world.get(f"/v1/referrals/{told['inbox_id']}/receipt").json()
    assert (for_staff["reason"], for_staff["member"]) == ("added_to_open_episode", world.member)
    assert send(world, known(), role=Role.AUDITOR).status_code == 403
    stranger = {**EXAMPLE, "person": {**EXAMPLE["person"], "cin": "98765432D"}}
    unknown = send(world, stranger, role=Role.HOSPITAL).json()
    assert set(unknown) == set(told), "an unknown person's referral looks the same"


def test_mistakes_are_named_and_values_kept_out(world: World) -> None:
    answer = send(world, {**EXAMPLE, "person": {**EXAMPLE["person"], "cin": "91234567B"}})
    assert answer.status_code == 422
    assert "91234567B" not in answer.text and "cin" in answer.text


def test_a_service_request_is_kept_and_answered_as_fhir_asks(world: World) -> None:
    path, role = "/v1/fhir/ServiceRequest", world.as_role(Role.HOSPITAL)
    answer = world.api.post(path, content=json.dumps(SERVICE_REQUEST_EXAMPLE), headers={**role, **FHIR})
    assert answer.status_code == 201 and answer.json()["resourceType"] == "OperationOutcome"
    assert world.api.get(answer.headers["Location"], headers=role).json()["state"] == "received"
    assert world.api.post(path, content=json.dumps(SERVICE_REQUEST_EXAMPLE), headers={**role, **FHIR}).status_code == 200
    lost = {**SERVICE_REQUEST_EXAMPLE, "subject": {"reference": "Patient/elsewhere"}}
    refused = world.api.post(path, content=json.dumps(lost), headers={**role, **FHIR})
    (issue,) = refused.json()["issue"]
    assert refused.status_code == 422 and (issue["code"], issue["expression"]) == ("not-found", ["ServiceRequest.subject"])
    assert world.api.post(path, content="{}", headers={**role, "Content-Type": "text/plain"}).status_code == 415
    assert world.api.post(path, content="{}", headers={**world.as_role(Role.OPERATOR), **FHIR}).status_code == 403


def test_requests_of_one_bundle_are_kept_one_by_one_each_with_its_own_patient(world: World) -> None:
    world.adopt("valley-health")
    entries: list[dict[str, Any]] = []
    for n, (cin, family, plan) in enumerate((("97654321E", "Okafor", "valley-health"), ("98765432D", "Vega", "default"))):
        patient = {"resourceType": "Patient", "id": f"p{n}", "identifier": [{"system": "CIN", "value": cin}],
                   "name": [{"family": family, "given": ["Ines"]}], "birthDate": f"196{n}-07-09"}  # fmt: skip
        named = {"reference": f"urn:uuid:p{n}"}
        request = {**SERVICE_REQUEST_EXAMPLE, "identifier": [{"value": f"SR-{n}"}], "subject": named, "contained": []}
        covered = {"resourceType": "Coverage", "id": f"c{n}", "beneficiary": named, "payor": [{"display": plan}]}
        entries += [{"resource": request}, {"fullUrl": f"urn:uuid:p{n}", "resource": patient}, {"resource": covered}]
    body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    role = world.as_role(Role.HOSPITAL)
    answer = world.api.post("/v1/fhir/ServiceRequest", content=body, headers={**role, **FHIR})
    assert answer.status_code == 201, answer.text
    assert world.api.post("/v1/fhir/ServiceRequest", content=body, headers={**role, **FHIR}).status_code == 200
    rows = [row for row in world.door.inbox.find() if row.transport == "referral"]
    stored = {row.control_id: world.door.inbox.raw(row.inbox_id) or b"" for row in rows}
    assert stored[""] == body.encode() and len(stored) == 3
    assert b"Vega" not in stored["SR-0#0"] and b"Okafor" not in stored["SR-1#1"]
    world.door.worker.work_off()
    known = [world.door.inbox.show(row.inbox_id).row.member or "" for row in rows if row.control_id]
    members = [world.system.gateway.load(member).state for member in known]
    assert {member.family_name for member in members} == {"Okafor", "Vega"}
    plans = [world.system.gateway.load(member.episodes[-1]).state.plan for member in members]
    assert sorted(plans) == ["default", "valley-health"]


def test_a_file_of_referrals_over_http(world: World) -> None:
    sheet = f"source,last name,dob,cin\nfamily,{PLANTED_NAME},1959-04-03,{CIN}\nfamily,X,someday,\n".encode()
    told = world.api.post("/v1/referral-files?plan=default", content=sheet, headers=world.as_role(Role.OPERATOR)).json()
    assert (told["rows"], told["accepted"], told["rejected"]) == (2, 1, 1)
    assert {(p["row"], p["field"]) for p in told["problems"]} == {(3, "person.birth_date")}
    broken = world.api.post("/v1/referral-files?plan=default", content=b"a,b\n", headers=world.as_role(Role.OPERATOR))
    assert broken.status_code == 422 and broken.json()["code"] == "file_refused"


def give(world: World, *words: str) -> Result:
    before, frame.asked.settings = frame.asked.settings, world.system.settings
    try:
        return CliRunner().invoke(app, list(words))
    finally:
        frame.asked.settings = before


def test_on_the_command_line(world: World, tmp_path: Path) -> None:
    me = ("--as", world.care_manager)
    stranger = ("--family-name", "Okafor", "--born", "1961-07-09", "--source", "physician", "--urgency", "expedited")
    waits = give(world, "refer", *stranger, *me)
    assert waits.exit_code == 1 and "no cin" in waits.output and "throughline inbox resolve" in waits.output
    taken = give(world, "refer", *stranger, "--cin", "98765432D", *me)
    assert taken.exit_code == 0 and "the plan answers by" in taken.output, taken.output
    wrong = give(world, "refer", *stranger, "--cin", "98765432B", *me)
    assert wrong.exit_code == 2 and "person.cin" in wrong.output
    file = tmp_path / "referrals.csv"
    file.write_text(f"source,last name,dob,cin\nfamily,{PLANTED_NAME},1959-04-03,{CIN}\n")
    assert "1 row: 1 taken" in give(world, "import-referrals", str(file), *me).output
    plan_and_project(world)
    listed = json.loads(give(world, "referrals", "--state", "waits", "--json").output)
    assert [(r["source"], r["urgency"]) for r in listed["items"]] == [("physician", "expedited")]
    assert "physician" in give(world, "ways-in").output


def test_visits_are_judged_and_propose_a_referral_that_is_dismissed(world: World) -> None:
    for number in range(5):
        body = {
            "visit": f"claim-{number}", "kind": "emergency", "on": f"2026-0{number + 2}-10", "learned_from": "plan_file",
        }  # fmt: skip
        assert world.post(f"/v1/members/{world.member}/visits", body).status_code == 200
    world.do(CloseEpisode(stream=world.episode, by=world.supervisor, reason=ClosureReason.MOVED_COUNTY))
    advanced(world)
    (owed,) = world.get("/v1/worklist", rule="followup.avoidable_visits").json()["items"]
    assert owed["how"] == "say of 5 visits whether they could have been avoided (population of focus 2a)"
    listed = world.get("/v1/utilisation-visits", state="open").json()["items"]
    assert [v["visit"] for v in listed] == [f"claim-{n}" for n in range(5)]
    assert "claim-3" in give(world, "avoidable-visits", CIN).output
    for visit in listed:
        judged = {"visit": visit["visit"], "avoidable": True, "reason": "ran out of insulin"}
        assert world.post(f"/v1/members/{world.member}/visit-judgements", judged).status_code == 200
    advanced(world)
    assert world.get("/v1/utilisation-visits").json()["items"] == []
    (proposal,) = world.get("/v1/referral-proposals", state="proposed").json()["items"]
    assert (proposal["member"], proposal["population"]) == (world.member, "avoidable-use-adults")
    assert "avoidable use adults" in give(world, "referral-proposals").output
    (owed,) = world.get("/v1/worklist", rule="followup.referral_proposed").json()["items"]
    assert owed["member"] == world.member
    dismissed = world.post(
        f"/v1/follow-ups/{owed['process']}/dismissed-referrals",
        {"population": "avoidable-use-adults", "reason": "has a clinic of her own now"},
    )
    assert dismissed.status_code == 200, dismissed.text
    advanced(world)
    assert world.get("/v1/worklist", rule="followup.referral_proposed").json()["items"] == []
    assert world.get("/v1/referral-proposals", state="dismissed").json()["items"][0]["reason"] == "has a clinic of her own now"
    anew = {"member": world.member, "plan": "default", "source": "utilisation", "reengage": True}
    assert world.post("/v1/episodes/referrals", anew).status_code == 201


def test_whoever_judges_a_visit_may_see_what_the_hospital_says_brought_the_member(world: World) -> None:
    now, facility = world.clock.now(), world.door.sources.rows[0].facilities[0].aliases[0]
    message = built(
        "A01", cin=CIN, name=f"{PLANTED_NAME}^Maria", born="1959-04-03", visit="V-78", facility=facility, patient_class="E",
        disposition="", at=now, now=now,
    )  # fmt: skip
    headers = {**world.as_role(Role.HOSPITAL), "Content-Type": "application/hl7-v2"}
    words = b"PV2|||^ran out of insulin\rDG1|1||E10.10^Ketoacidosis^I10|||A\r"
    assert world.api.post("/v1/hl7", content=message + words, headers=headers).status_code == 200
    world.door.worker.work_off()
    plan_and_project(world)
    (sealed,) = world.get("/v1/utilisation-visits", member=world.member).json()["items"]
    assert (sealed["kind"], sealed["admit_reason"], sealed["diagnoses"]) == ("emergency", "", "")
    (shown,) = world.get("/v1/utilisation-visits", member=world.member, unseal=True).json()["items"]
    assert (shown["admit_reason"], shown["diagnoses"]) == ("ran out of insulin", "E10.10 Ketoacidosis (admitting, I10)")
    assert "insulin" not in give(world, "avoidable-visits", CIN, "--json").output
    assert "ran out of insulin" in give(world, "avoidable-visits", CIN, "--unseal", "--json").output
    timeline = world.get(f"/v1/members/{world.member}/timeline").text
    assert "A hospital said what brought the member" in timeline and "insulin" not in timeline


def advanced(world: World) -> None:
    """What worker and projector would do."""
    advance, _ = world.system.activities("test")
    advance.advance(ProcessRef.of(world.episode.replace("episode-", "followup-")), world.clock.now(), 0)
    plan_and_project(world)


def test_strangers_who_come_often_are_listed_referred_and_dismissed(world: World) -> None:
    facility = world.door.sources.rows[0].facilities[0].aliases[0]
    for number in range(5):
        at = world.clock.now() - timedelta(days=20 * number + 1)
        message = built(
            "A04", cin="98765432D", name="BRACKWATER^TOMAS", born="1948-09-30", visit=f"V-{number}", facility=facility,
            patient_class="E", disposition="", at=at, now=at,
        )  # fmt: skip
        sent = world.api.post(
            "/v1/hl7", content=message, headers={**world.as_role(Role.HOSPITAL), "Content-Type": "application/hl7-v2"}
        )
        assert sent.status_code == 200
    world.door.worker.work_off()
    (stranger,) = world.get("/v1/strangers").json()
    assert stranger["populations"] == ["2a"] and stranger["person"] == "" and len(stranger["visits"]) == 5
    assert world.get("/v1/strangers", names=True).json()[0]["person"] == "TOMAS BRACKWATER 1948-09-30"
    assert world.get("/v1/strangers", role=Role.HOSPITAL).status_code == 403
    shown = give(world, "strangers", "list", "--json")
    assert shown.exit_code == 0, shown.output
    path = f"/v1/strangers/{stranger['id']}"
    assert world.api.post(f"{path}/dismissals", json={"reason": "abroad"}, headers=world.as_role(Role.OPERATOR)).status_code == 202
    assert world.get("/v1/strangers").json() == []
    referred = world.api.post(f"{path}/referrals", json={"reason": "came back"}, headers=world.as_role(Role.CARE_MANAGER))
    assert referred.status_code == 201 and referred.json()["status"] == "applied", referred.text
    gone = world.api.post("/v1/strangers/0123456789abcdef/referrals", json={}, headers=world.as_role(Role.CARE_MANAGER))
    assert gone.status_code == 404
