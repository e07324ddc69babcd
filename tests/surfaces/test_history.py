"""As of a day, as known on a day: what staff knew then, and what turned out to have been so."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.core import ProcessRef
from domain.episode.enrolment import Enrol
from domain.episode.leads import AssignLeadCareManager, HandOver
from domain.member.decider import ChooseLanguage, LoseCoverage, OptOut, ReportDeath, RestoreCoverage, WithdrawDeathReport
from domain.member.facts import Channel
from domain.staff.decider import GrantRole
from domain.staff.facts import Role
from domain.stay.decider import EnterAdmission, EnterDischarge
from domain.stay.facts import StayClass
from tests.surfaces.conftest import CIN, MONDAY, World, plan_and_project
from tests.surfaces.test_referrals import give

STAY = "stay-00000000-0000-4000-8000-0000000000a1"


def day(number: int, hour: int = 12) -> datetime:
    """A day of November 2026, in the office's noon unless said otherwise."""
    return datetime(2026, 11, number, hour + 8, tzinfo=UTC)


def asked(world: World, as_of: datetime, known_at: datetime | None = None) -> dict[str, Any]:
    query = {"as_of": as_of.isoformat(), "known_at": (known_at or as_of).isoformat()}
    answer = world.get(f"/v1/members/{world.member}/history", **query)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_a_fact_learned_late_changes_the_day_but_not_what_was_known_on_it(world: World) -> None:
    world.clock.set(day(20))
    world.do(LoseCoverage(stream=world.member, by="source:plan", occurred_at=day(17), reason="redetermination"))
    assert asked(world, day(18), known_at=day(19))["covered"], "on the 19th nobody knew that coverage had ended on the 17th"
    assert not asked(world, day(18), known_at=day(21))["covered"], "as known on the 21st it had"
    world.clock.set(day(25))
    world.do(RestoreCoverage(stream=world.member, by="source:plan", occurred_at=day(22)))
    assert not asked(world, day(21), known_at=day(26))["covered"] and asked(world, day(23), known_at=day(26))["covered"]


def test_a_death_that_was_none_is_none_on_every_day_once_that_is_known(world: World) -> None:
    world.clock.set(day(18))
    reported = world.do(ReportDeath(stream=world.member, by=world.supervisor, source="family", occurred_at=day(17)))
    world.clock.set(day(20))
    report = reported.facts[0].event_id
    world.do(WithdrawDeathReport(stream=world.member, by=world.supervisor, report=report, reason="another person"))
    assert asked(world, day(17, 13), known_at=day(19))["died_at"] is not None
    assert asked(world, day(17, 13), known_at=day(21))["died_at"] is None


def test_who_led_and_what_was_agreed_on_a_day(world: World) -> None:
    world.clock.set(day(17))
    world.do(GrantRole(stream=world.supervisor, by="system", role=Role.CARE_MANAGER))
    world.do(AssignLeadCareManager(stream=world.episode, by=world.supervisor, staff=world.care_manager))
    world.clock.set(day(18))
    world.do(Enrol(stream=world.episode, by=world.care_manager, agreed="verbal"))
    world.do(ChooseLanguage(stream=world.member, by=world.care_manager, language="vi"))
    world.do(OptOut(stream=world.member, by=world.care_manager, channel=Channel.TEXT))
    world.clock.set(day(20))
    world.do(HandOver(stream=world.episode, by=world.care_manager, receiver=world.supervisor))
    before, between, after = (asked(world, day(n, 15)) for n in (16, 19, 21))
    assert [s["episodes"][0]["status"] for s in (before, between, after)] == ["assigned", "enrolled", "enrolled"]
    leads = [s["episodes"][0]["lead_care_manager"] for s in (before, between, after)]
    assert leads == [None, world.care_manager, world.supervisor]
    assert (before["language"], between["language"], before["opted_out"], between["opted_out"]) == ("en", "vi", [], ["text"])


def test_a_discharge_entered_late_is_on_its_day_only_for_those_who_know(world: World) -> None:
    world.clock.set(day(18))
    admission = EnterAdmission(
        stream=STAY, by=world.care_manager, facility="Valley SNF", stay_class=StayClass.NURSING_FACILITY, admitted_at=day(18, 9),
        member=world.member, episode=world.episode,
    )  # fmt: skip
    world.do(admission)
    world.clock.set(day(24))
    world.do(EnterDischarge(stream=STAY, by=world.care_manager, discharged_at=day(21), disposition="01"))
    assert asked(world, day(22), known_at=day(23))["stays"][0]["status"] == "admitted"
    assert asked(world, day(22), known_at=day(25))["stays"][0]["status"] == "discharged"
    assert asked(world, day(20), known_at=day(25))["stays"][0]["discharged_at"] is None
    assert asked(world, day(17), known_at=day(25))["stays"] == []


def test_what_was_owed_then_is_planned_from_what_was_known_then(world: World) -> None:
    later = MONDAY + timedelta(days=1)
    said = asked(world, later)
    assert said["owed"] == [] and said["facts_known"] == 3, "the outreach had not been planned by then"


def test_a_day_without_a_time_is_never_shown_with_one(world: World) -> None:
    """Case 6 of messages.md 6, as people see it: on the board, in the timeline, in the history and in what explains a due."""
    world.do(AssignLeadCareManager(stream=world.episode, by=world.supervisor, staff=world.care_manager))
    world.do(Enrol(stream=world.episode, by=world.care_manager, agreed="verbal"))
    world.clock.set(day(20))
    came = EnterAdmission(
        stream=STAY, by=world.care_manager, facility="Valley General", stay_class=StayClass.INPATIENT,
        admitted_on=date(2026, 11, 17), occurred_at=day(17, 0), member=world.member, episode=world.episode,
    )  # fmt: skip
    world.do(came)
    left = EnterDischarge(
        stream=STAY, by=world.care_manager, discharged_on=date(2026, 11, 18), occurred_at=day(19, 0), disposition="01"
    )
    assert world.do(left).facts[0].fact.discharged_at == day(19, 0), "the clocks run from the end of that day"  # type: ignore[union-attr]
    advance, _ = world.system.activities("test")
    advance.advance(ProcessRef.of(world.episode.replace("episode-", "transition-")), world.clock.now(), 0)
    plan_and_project(world)
    (row,) = world.get("/v1/transitions", member=world.member).json()["items"]
    assert (row["admitted_on"], row["discharged_on"]) == ("2026-11-17", "2026-11-18")
    (stay,) = asked(world, day(20, 15))["stays"]
    assert (stay["admitted_on"], stay["discharged_on"]) == ("2026-11-17", "2026-11-18")
    entries = world.get(f"/v1/streams/{STAY}/timeline").json()["items"]
    assert [e["occurred_on"] for e in entries] == ["2026-11-17", "2026-11-18"]
    (owed, *_) = [o for e in world.get(f"/v1/members/{world.member}/explanation").json() for o in e["owed"] if "visit" in o["rule"]]
    assert "2026-11-18" in [fact["occurred_on"] for fact in owed["because"]]
    shown = [
        give(world, "transitions").output, give(world, "timeline", STAY).output, give(world, "timeline", CIN).output,
        give(world, "history", CIN).output, give(world, "explain", CIN, "--all").output,
    ]  # fmt: skip
    for text in shown:
        told = [
            line for line in text.splitlines() if any(w in line for w in ("Discharged", "Admitted", "discharged", "inpatient at"))
        ]
        assert "Wed 2026-11-18" in "".join(told) and "00:00" not in "".join(told), text
