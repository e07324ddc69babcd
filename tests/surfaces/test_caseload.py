"""Caseloads on the real log and through every surface: races for the last place, handing over, offers, who was over the cap.

The policy here caps at 2.0 points, hard; a member who is not enrolled weighs 0.6: three fit (1.8), a fourth does not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from domain.adoption.decider import AdoptPolicy
from domain.caseload.state import caseload_of
from domain.core import Refusal
from domain.episode.decider import ReceiveAssignment
from domain.episode.leads import AssignLeadCareManager, HandOver
from domain.member.decider import RegisterMember
from domain.staff.decider import AnnounceAbsence, JoinStaff, LeaveStaff
from domain.staff.facts import Role
from eventlog.clock import FixedClock
from eventlog.gateway import Accepted
from tests.surfaces.conftest import MONDAY, POLICY, World, open_world
from workers.cli import app, frame
from workers.composition import open_system
from workers.services import projector_of

FITTING = 3
Call = Callable[..., Result]


def adopt_tight_caps(world: World) -> None:
    text = POLICY.read_text()
    for pattern, said in (
        (r'(?m)^version = ".*"$', 'version = "2026.tight"'),
        (r"(?m)^effective_on = 2026-01-01$", "effective_on = 2026-01-02"),
        (r"(?m)^full_time_tenths = \d+$", "full_time_tenths = 20"),
        (r'(?m)^cap = "soft"$', 'cap = "hard"'),
        (r"(?m)^not_enrolled_tenths = \d+$", "not_enrolled_tenths = 6"),
    ):
        text, changed = re.subn(pattern, said, text, count=1)
        assert changed == 1, pattern
    world.do(AdoptPolicy(stream="policy-default", by="system", text=text, sha256=hashlib.sha256(text.encode()).hexdigest()))


def staff(world: World, name: str = "", languages: tuple[str, ...] = ("en",)) -> str:
    stream = f"staff-{uuid4()}"
    mail = f"{name.casefold()}@example.org" if name else None
    world.do(JoinStaff(stream=stream, by="system", name=name or None, email=mail, languages=languages, roles=(Role.CARE_MANAGER,)))
    return stream


def member(world: World, language: str = "en", lead: str | None = None) -> str:
    """An open episode of a new member."""
    stream, episode = f"member-{uuid4()}", f"episode-{uuid4()}"
    world.do(RegisterMember(stream=stream, by="source:plan", cin_claim=f"claim-{uuid4()}", language=language))
    world.do(ReceiveAssignment(stream=episode, by="source:plan", member=stream, plan="default", received_at=world.clock.now()))
    if lead is not None:
        world.do(AssignLeadCareManager(stream=episode, by=world.supervisor, staff=lead))
    return episode


def carried(world: World, who: str) -> set[str]:
    return set(world.system.gateway.load(caseload_of(who)).state.cases)


class Ticking(FixedClock):
    """No two commands in the same instant, as in life."""

    def now(self) -> datetime:
        self.advance(timedelta(microseconds=1))
        return super().now()


@pytest.fixture(scope="module")
def tight(module_database: str) -> Iterator[World]:
    for world in open_world(module_database, Ticking(MONDAY)):
        adopt_tight_caps(world)
        projector_of(world.system).create()
        yield world


@pytest.fixture
def call(tight: World) -> Iterator[Call]:
    before, frame.asked.settings = frame.asked.settings, tight.system.settings

    def give(*words: str, stdin: str | None = None) -> Result:
        gives = words[0] == "staff" and words[1] not in ("list", "offer")
        return CliRunner().invoke(app, [*words, *(("--as", tight.supervisor) if gives else ())], input=stdin)

    yield give
    frame.asked.settings = before


# --- races ---------------------------------------------------------------------------------------------------------------------


def test_two_assignments_at_the_same_time_do_not_both_take_the_last_place(tight: World) -> None:
    """Eight members for one care manager at once, from two programs: three fit, whoever comes first."""
    with open_system(tight.system.settings, clock=tight.clock, pool_max=6) as another:
        gateways = (tight.system.gateway, another.gateway)
        for _ in range(6):
            lead = staff(tight)
            episodes = [member(tight) for _ in range(8)]

            def assign(n: int, lead: str = lead, episodes: list[str] = episodes) -> Any:
                command = AssignLeadCareManager(stream=episodes[n], by=tight.supervisor, staff=lead)
                return gateways[n % 2].handle(command, command_id=uuid4())

            with ThreadPoolExecutor(8) as pool:
                outcomes = list(pool.map(assign, range(8)))
            assert sum(isinstance(o, Accepted) for o in outcomes) == FITTING
            assert {o.code for o in outcomes if isinstance(o, Refusal)} == {"over_cap"}
            assert carried(tight, lead) == {e for e, o in zip(episodes, outcomes, strict=True) if isinstance(o, Accepted)}


def test_two_hand_overs_at_the_same_time_leave_the_member_with_one(tight: World) -> None:
    giver, receivers = staff(tight), [staff(tight) for _ in range(4)]
    episode = member(tight, lead=giver)

    def give(receiver: str) -> Any:
        return tight.system.gateway.handle(HandOver(stream=episode, by=tight.supervisor, receiver=receiver), command_id=uuid4())

    with ThreadPoolExecutor(4) as pool:
        assert all(isinstance(o, Accepted) for o in pool.map(give, receivers)), "each in its turn"
    lead = tight.system.gateway.load(episode).state.lead_care_manager(tight.clock.now())
    holders = [who for who in (giver, *receivers) if episode in carried(tight, who)]
    assert len(holders) == 1
    assert lead in receivers


# --- handing over --------------------------------------------------------------------------------------------------------------


def test_all_members_go_to_one_and_who_does_not_fit_is_listed(tight: World, call: Call) -> None:
    giver, receiver = staff(tight, "Giver1"), staff(tight, "Receiver1")
    episodes = {member(tight, lead=giver) for _ in range(3)}
    member(tight, lead=receiver)
    done = call("staff", "hand-over", "--from", "giver1@example.org", "--to", receiver, "--note", "all is well", "--json")
    assert done.exit_code == 1, "somebody was left"
    rows = json.loads(done.stdout)
    assert {row["episode"] for row in rows} == episodes and sum(not row["refused"] for row in rows) == 2
    (left,) = (row for row in rows if row["refused"])
    assert "they carry 1.8 of 2.0 points, and this member weighs 0.6" in left["refused"]
    assert carried(tight, giver) == {left["episode"]}

    again = call("staff", "hand-over", "--from", giver, "--to", receiver, "--over-cap-because", "until January", "--json")
    assert again.exit_code == 0, again.output
    assert [row["episode"] for row in json.loads(again.stdout)] == [left["episode"]], "only who was left"
    assert carried(tight, giver) == set()
    empty = call("staff", "hand-over", "--from", giver, "--to", receiver)
    assert empty.exit_code == 0 and "leads nobody any more" in empty.output


def test_spread_goes_by_language_and_room_and_absent_people_get_nobody(tight: World, call: Call) -> None:
    giver = staff(tight, "Giver2")
    speaks, absent = staff(tight, "Speaks", ("en", "hmn")), staff(tight, "Absent", ("en", "hmn"))
    first, last = MONDAY.date(), date(2099, 12, 31)
    tight.do(AnnounceAbsence(stream=absent, by=tight.supervisor, first_day=first, last_day=last))
    hmong = {member(tight, "hmn", lead=giver) for _ in range(2)}
    (english,) = {member(tight, "en", lead=giver)}
    shown = call("staff", "hand-over", "--from", giver, "--spread", "--dry-run", "--json")
    assert set(json.loads(shown.stdout)) == {*hmong, english}
    done = call("staff", "hand-over", "--from", giver, "--spread", "--json")
    assert done.exit_code == 0, done.output
    by_episode = {row["episode"]: row for row in json.loads(done.stdout)}
    assert {by_episode[e]["to"] for e in hmong} == {speaks}
    assert not any(by_episode[e]["interpreter_needed"] for e in hmong)
    assert by_episode[english]["to"] not in ("", absent, giver)
    assert carried(tight, absent) == set()


def test_one_member_goes_and_to_nobody_for_a_reason(tight: World, call: Call) -> None:
    giver, receiver = staff(tight, "Giver3"), staff(tight, "Receiver3")
    episode, other = member(tight, lead=giver), member(tight, lead=giver)
    assert call("staff", "hand-over", episode, "--to", receiver).exit_code == 0
    assert carried(tight, receiver) == {episode} and carried(tight, giver) == {other}
    wrong = call("staff", "hand-over", episode, "--from", giver, "--to", receiver)
    assert wrong.exit_code == 1 and "is led by" in wrong.output
    assert call("staff", "hand-over", other, "--unassign-because", "asked for another").exit_code == 0
    assert carried(tight, giver) == set()
    assert call("staff", "hand-over", "--from", giver).exit_code == 2


def test_who_leaves_on_the_day_is_refused_while_they_lead(tight: World, call: Call) -> None:
    giver = staff(tight, "Giver4")
    member(tight, lead=giver)
    today = MONDAY.date().isoformat()
    refused = call("staff", "leave", giver, "--last-day", today)
    assert refused.exit_code == 1 and "hand-over --from" in refused.output
    assert call("staff", "leave", giver, "--last-day", today, "--unassign-because", "moved away").exit_code == 0
    projector_of(tight.system).run_until_caught_up()
    waiting = json.loads(call("caseload", "--without-lead", "--json").stdout)["items"]
    assert ("left", giver) in {(row["because"], row["last_lead"]) for row in waiting}


# --- what is shown -------------------------------------------------------------------------------------------------------------


def test_an_offer_names_the_language_and_the_room(tight: World, call: Call) -> None:
    speaks = staff(tight, "Thao", ("en", "lo"))
    episode = member(tight, "lo")
    told = json.loads(call("staff", "offer", episode, "--json").stdout)
    assert (told["language"], told["weight_tenths"], told["grounds"]) == ("lo", 6, ["not_enrolled"])
    assert (told["offers"][0]["staff"], told["offers"][0]["language_match"]) == (speaks, True)
    assert all(offer["interpreter_needed"] for offer in told["offers"][1:])
    table = call("staff", "offer", episode).output
    assert "language match (lo)" in table and "interpreter needed" in table
    over_http = tight.get(f"/v1/episodes/{episode}/lead-offers").json()
    assert over_http["offers"][0]["staff"] == speaks
    assert tight.get(f"/v1/episodes/episode-{uuid4()}/lead-offers").status_code == 404


def test_beyond_the_cap_is_shown_with_who_allowed_it_on_any_day(tight: World, call: Call) -> None:
    lead = staff(tight, "Full")
    for _ in range(FITTING):
        member(tight, lead=lead)
    episode = member(tight)
    refused = call("staff", "assign", episode, "--staff", lead)
    assert refused.exit_code == 1 and "they carry 1.8 of 2.0 points" in refused.output
    because = "knows the family"
    tight.do(AssignLeadCareManager(stream=episode, by=tight.supervisor, staff=lead, over_cap_because=because))
    projector_of(tight.system).run_until_caught_up()
    (row,) = (c for c in json.loads(call("caseload", "--over-cap", "--json").stdout) if c["staff"] == lead)
    assert (row["members"], row["points_tenths"], row["cap_tenths"], row["over_cap"]) == (4, 24, 20, True)
    (beyond,) = row["beyond"]
    assert (beyond["because"], beyond["allowed_by_name"], beyond["load_tenths"]) == (because, "Rosa Lindqvist", 18)
    shown = call("caseload", "--over-cap").output
    assert "Taken beyond the cap" in shown and "1:4" in shown and "2.4 of 2.0" in shown
    assert lead not in {c["staff"] for c in json.loads(call("caseload", "--over-cap", "--as-of", "2026-11-15", "--json").stdout)}
    then = tight.get("/v1/caseload", as_of="2026-11-16", over_cap=True).json()
    assert lead in {c["staff"] for c in then}
    assert tight.get("/v1/caseload", as_of="the other day").status_code == 422
    unled = tight.get("/v1/members-without-lead").json()["items"]
    assert tight.episode in {row["episode"] for row in unled}


def test_languages_shares_and_trainings_go_in_and_are_listed(tight: World, call: Call) -> None:
    who = staff(tight, "Learns")
    assert call("staff", "languages", who, "--languages", "en", "--languages", "es").exit_code == 0
    assert call("staff", "share", who, "--percent", "60", "--from-day", "2026-11-01").exit_code == 0
    words = ("--training", "person_centred_planning", "--completed-on", "2026-11-02", "--expires-on", "2027-11-01")
    assert call("staff", "training", who, *words).exit_code == 0
    (row,) = (s for s in json.loads(call("staff", "list", "--json").stdout)["items"] if s["staff"] == who)
    assert row["languages"] == ["en", "es"] and row["shares"] == [{"from_day": "2026-11-01", "percent": 60}]
    assert row["trainings"][0]["training"] == "person_centred_planning"
    assert "person centred planning to 2027-11-01" in call("staff", "list").output
    posted = tight.post(f"/v1/staff/{who}/spoken-languages", {"languages": ["en", "vi"]}, Role.OPERATOR)
    assert posted.status_code in (200, 201), posted.text


def test_a_leave_in_one_decision_is_all_or_nothing(tight: World) -> None:
    lead = staff(tight)
    episodes = [member(tight, lead=lead) for _ in range(FITTING)]
    done = tight.do(LeaveStaff(stream=lead, by=tight.supervisor, last_day=MONDAY.date(), unassign_because="left"))
    assert len(done.facts) == 1 + 2 * FITTING
    assert all(tight.system.gateway.load(e).state.lead_care_manager(tight.clock.now()) is None for e in episodes)
