"""An operator's view of the front door's feeds and of replays; a hospital's view of what became of its messages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api import tokens
from domain.staff.facts import Role
from intake.senders.notices import Kind
from tests.surfaces.conftest import CIN, PLANTED_NAME, World
from workers.cli.sending import built

HL7 = {"Content-Type": "application/hl7-v2"}


def message(world: World, trigger: str = "A03", *, cin: str = CIN, name: str = PLANTED_NAME, disposition: str = "01") -> bytes:
    now = world.clock.now()
    return built(
        trigger, cin=cin, name=f"{name}^MARIA", born="1959-04-03", visit=f"V-{cin[:4]}", facility="VALLEYGEN", patient_class="I",
        disposition=disposition, at=now, now=now,
    )  # fmt: skip


def sent(world: World, raw: bytes) -> str:
    answer = world.api.post("/v1/hl7", content=raw, headers={**world.as_role(Role.HOSPITAL), **HL7})
    assert answer.status_code == 200
    return str(answer.headers["Throughline-Receipt"])


def control_id(raw: bytes) -> str:
    return raw.split(b"|")[9].decode()


def test_a_hospital_follows_its_messages_and_learns_nothing_of_who_is_a_member(world: World) -> None:
    known, unknown, refused = (
        message(world),
        message(world, cin="98765432C", name="SOMEBODY"),
        b"MSH|^~\\&|A|B|C|D|1||ORU^R01|R-1|P|2.5\r",
    )
    receipts = [sent(world, raw) for raw in (known, unknown, refused)]
    first = world.get(f"/v1/sent-messages/{receipts[0]}", role=Role.HOSPITAL).json()
    assert (first["state"], first["control_id"], first["repeats"]) == ("received", control_id(known), 0)
    world.door.worker.work_off()
    told = [world.get(f"/v1/sent-messages/{receipt}", role=Role.HOSPITAL).json() for receipt in receipts]
    assert [(t["state"], t["reason"]) for t in told] == [("taken", ""), ("taken", ""), ("ignored", "type_not_taken")]
    assert told[2]["remedy"].startswith("Only ADT messages")
    known_keys, unknown_keys = ({k: v for k, v in t.items() if k in ("state", "reason", "settled_at", "flags")} for t in told[:2])
    assert known_keys == unknown_keys, "whether somebody is a member is another question"
    for t in told:
        assert CIN not in str(t) and PLANTED_NAME not in str(t) and "member-" not in str(t) and "stay-" not in str(t)
    sent(world, known)
    (again,) = world.get("/v1/sent-messages", role=Role.HOSPITAL, control_id=control_id(known)).json()
    assert (again["receipt"], again["repeats"]) == (receipts[0], 1)
    assert world.get("/v1/sent-messages", role=Role.OPERATOR, control_id="x").status_code == 403


def test_what_only_a_members_message_can_be_held_for_is_not_told(world: World) -> None:
    pair = [message(world, disposition="30"), message(world, disposition="30", cin="98765432C", name="SOMEBODY")]
    receipts = [sent(world, raw) for raw in pair]
    world.door.worker.work_off()
    assert [row.status.value for row in world.door.inbox.find(files=False)] == ["unmatched", "waiting"]
    told = [world.get(f"/v1/sent-messages/{receipt}", role=Role.HOSPITAL).json() for receipt in receipts]
    member, stranger = ({k: t[k] for k in ("state", "reason", "remedy", "settled_at", "flags")} for t in told)
    assert member == stranger and member["state"] == "taken"


def test_nobody_follows_the_messages_of_another_source(world: World) -> None:
    receipt = sent(world, message(world))
    _, shown = tokens.mint(
        world.system.pool, role=Role.HOSPITAL, subject="source:elsewhere", now=world.clock.now(), life=timedelta(days=1)
    )
    stranger = {"Authorization": f"Bearer {shown}"}
    assert world.api.get(f"/v1/sent-messages/{receipt}", headers=stranger).status_code == 404
    assert world.api.get("/v1/sent-messages", params={"control_id": "C1"}, headers=stranger).json() == []


def test_a_source_that_may_know_is_told_what_became_of_its_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = world.services.sources
    (row,) = (r for r in sources.rows if r.name == "valley-general")
    monkeypatch.setitem(sources._by_name, row.name, row.model_copy(update={"tells_membership": True}))
    receipts = [sent(world, raw) for raw in (message(world), message(world, cin="98765432C", name="SOMEBODY"))]
    world.door.worker.work_off()
    states = [world.get(f"/v1/sent-messages/{receipt}", role=Role.HOSPITAL).json()["state"] for receipt in receipts]
    assert states == ["applied", "unmatched"]


def test_messages_are_rehearsed_and_replayed_by_filter(world: World) -> None:
    sent(world, message(world, cin="98765432C", name="SOMEBODY"))
    sent(world, message(world))
    world.door.worker.work_off()
    body = {"statuses": ["applied"], "trigger": "A03", "dry_run": True}
    told = world.post("/v1/inbox/replays", body, role=Role.OPERATOR).json()
    (one,) = told["rehearsed"]
    assert (told["taken_up"], one["differs"], one["before"]["status"], one["now"]["status"]) == (0, False, "applied", "applied")
    single = world.get(f"/v1/inbox/{one['inbox_id']}/rehearsal", role=Role.OPERATOR).json()
    assert single == one and CIN not in str(single)
    taken = world.post("/v1/inbox/replays", {"statuses": ["applied", "unmatched"]}, role=Role.OPERATOR)
    assert (taken.status_code, taken.json()) == (202, {"taken_up": 2, "rehearsed": []})
    assert world.door.worker.work_off() == 2
    sent(world, message(world, disposition="HM"))
    world.door.worker.work_off()
    (odd,) = world.get("/v1/inbox", role=Role.OPERATOR, flag="disposition_unmapped").json()["items"]
    flagged = world.post("/v1/inbox/replays", {"flag": "disposition_unmapped", "dry_run": True}, role=Role.OPERATOR).json()
    assert [one["inbox_id"] for one in flagged["rehearsed"]] == [odd["inbox_id"]]
    assert world.post("/v1/inbox/replays", {}, role=Role.OPERATOR).json()["code"] == "filter_missing"
    assert world.post("/v1/inbox/replays", {"statuses": ["received"]}, role=Role.OPERATOR).status_code == 422
    assert world.post("/v1/inbox/replays", body, role=Role.AUDITOR).status_code == 403


def test_feeds_and_notices_are_shown_and_ended(world: World) -> None:
    sent(world, message(world))
    (feed,) = (row for row in world.get("/v1/feeds", role=Role.AUDITOR).json() if row["source"] == "valley-general")
    assert (feed["silent"], feed["expected_every_seconds"]) == (False, None) and feed["heard_at"] is not None
    world.door.notices.note(Kind.MISSED_EVENTS, "valley-general", "3 of subscription s-1", world.clock.now())
    (notice,) = world.get("/v1/notices", role=Role.OPERATOR).json()
    assert notice["kind"] == "missed_events" and notice["remedy"] and "s-1" in notice["said"]
    path = f"/v1/notices/{notice['notice_id']}/endings"
    assert world.post(path, {}, role=Role.CARE_MANAGER).status_code == 403
    assert world.post(path, {}, role=Role.OPERATOR).status_code == 202
    assert world.post(path, {}, role=Role.OPERATOR).status_code == 404
    assert world.get("/v1/notices", role=Role.OPERATOR).json() == []
    (ended,) = world.get("/v1/notices", role=Role.OPERATOR, ended=True).json()
    assert ended["ended_by"] == world.supervisor
