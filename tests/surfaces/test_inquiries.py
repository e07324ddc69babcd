"""A hospital asks whether its patient is enrolled: one exact person or nothing, every answer on record, no oftener than allowed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager
from domain.member.circumstances import RecordDiagnosis
from domain.member.identity import LearnRecordNumber
from domain.staff.facts import Role
from intake.answering import inquiries
from tests.surfaces.conftest import CIN, PLANTED_NAME, World, plan_and_project
from tests.surfaces.test_referrals import give

ASK = "/v1/enrolment-inquiries"
WHO = {"cin": CIN, "family_name": PLANTED_NAME, "birth_date": "1959-04-03"}


def enrolled(world: World) -> World:
    world.do(AssignLeadCareManager(stream=world.episode, by=world.supervisor, staff=world.care_manager))
    world.do(Enrol(stream=world.episode, by=world.care_manager, agreed="verbal", how="phone"))
    return world


def ask(world: World, said: dict[str, Any], role: Role = Role.HOSPITAL) -> Any:
    return world.api.post(ASK, json=said, headers=world.as_role(role))


def told(world: World, **changes: str) -> str:
    answer = ask(world, WHO | changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["answer"])


def logged(world: World) -> list[tuple[str, ...]]:
    with world.system.pool.connection() as conn:
        return conn.execute("SELECT source_id, answer FROM intake.inquiries ORDER BY asked_at, answer").fetchall()


def test_the_care_managers_name_and_number_and_the_answer_on_record(world: World) -> None:
    answer = ask(enrolled(world), WHO)
    said = answer.json()
    assert said["answer"] == "enrolled" and said["care_manager"] == {"name": "Dana Whitfield", "phone": ""}
    assert said["programme"]["phone"] == world.system.settings.throughline_callback
    plan_and_project(world)
    (row,) = world.get("/v1/disclosures", role=Role.AUDITOR, member=world.member).json()["items"]
    assert (row["asked_by"], row["answer"], row["lead"], row["inquiry"]) == (
        world.door.sources.rows[0].name, "told", world.care_manager, said["inquiry_id"],
    )  # fmt: skip
    shown = give(world, "member", "disclosures", CIN)
    assert shown.exit_code == 0 and said["inquiry_id"] in shown.output and "Dana Whitfield" in shown.output
    (count,) = world.get("/v1/inquiry-counts", role=Role.AUDITOR).json()
    assert (count["asked"], count["told"], count["nothing_to_tell"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"cin": ""},
        {"cin": "91234567B"},
        {"cin": "98765432D"},
        {"family_name": ""},
        {"family_name": "Somebody"},
        {"birth_date": "1959-04-04"},
        {"given_name": "Anna"},
        {"record_number": "MRN-OF-SOMEBODY"},
    ],
    ids=str,
)
def test_partial_wrong_and_unknown_are_answered_alike_and_leave_no_name(shared: World, changes: dict[str, str]) -> None:
    answer = ask(shared, WHO | changes)
    said = answer.json()
    assert (said["answer"], said["care_manager"], said["programme"]) == ("nothing_to_tell", None, None)


@pytest.fixture(scope="module")
def shared(shared_world: World) -> World:
    return enrolled(shared_world)


def test_by_its_own_record_number(shared: World) -> None:
    source = shared.door.sources.rows[0]
    key = shared.door.identity.record_number(source.authority(""), "MRN-1001").hex()
    shared.do(
        LearnRecordNumber(stream=shared.member, by=f"source:{source.name}", authority=source.name, key=key, number="MRN-1001")
    )
    assert told(shared, cin="", record_number="MRN-1001") == "enrolled"
    assert told(shared, record_number="MRN-1001") == "enrolled"
    assert told(shared, cin="", record_number="MRN-1001", authority="ELSEWHERE") == "nothing_to_tell"


def test_an_assigned_member_who_did_not_agree_yet_is_nobody(world: World) -> None:
    assert told(world) == "nothing_to_tell"
    assert logged(world) == [(world.door.sources.rows[0].name, "nothing_to_tell")]
    assert not [f for f in world.system.log.all() if f.name.startswith("member.enrolment")]


def test_what_is_protected_is_answered_like_nobody_and_shown_to_the_auditor(world: World) -> None:
    enrolled(world).do(RecordDiagnosis(stream=world.member, by=world.care_manager, code="F10.20", learned_from="member"))
    assert told(world) == "nothing_to_tell"
    plan_and_project(world)
    (row,) = world.get("/v1/disclosures", role=Role.AUDITOR).json()["items"]
    assert (row["answer"], row["why"], row["lead"]) == ("withheld", "part_2_not_authorised", "")
    assert [answer for _, answer in logged(world)] == ["nothing_to_tell"]


def test_only_hospitals_that_may_and_only_so_often(world: World) -> None:
    assert ask(world, WHO, role=Role.CARE_MANAGER).status_code == 403
    source = world.door.sources.rows[0]
    object.__setattr__(source, "inquiries_per_hour", 2)
    assert [ask(world, WHO).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(world, WHO)
    assert refused.json()["code"] == "too_many_inquiries" and int(refused.headers["Retry-After"]) == 3600
    world.clock.set(world.clock.now() + timedelta(minutes=61))
    assert ask(world, WHO).status_code == 200
    object.__setattr__(source, "inquiries_per_hour", 0)
    assert ask(world, WHO).json()["code"] == "source_may_not_ask"


def test_how_long_it_takes_tells_nothing(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer leaves a whole number of intervals after its question."""
    left_at: list[float] = []
    monkeypatch.setattr(shared.door.inquiries, "_rest", lambda seconds: left_at.append(time.monotonic() + seconds))
    asked_at: list[float] = []
    begin = inquiries.Inquiries._begun

    def begun(self: Any, *told: Any) -> None:
        asked_at.append(time.monotonic())
        begin(self, *told)

    monkeypatch.setattr(inquiries.Inquiries, "_begun", begun)
    for changes in ({}, {"cin": "98765432D"}, {"family_name": ""}):
        told(shared, **changes)
    assert len(asked_at) == len(left_at) == 3
    for begun_at, left in zip(asked_at, left_at, strict=True):
        intervals = (left - begun_at) / inquiries.ANSWER_EVERY_SECONDS
        assert intervals > 0.9 and abs(intervals - round(intervals)) < 0.1
