"""Caseloads as they are shown: points beside the raw ratio, over the cap on any day and by whose leave, who has nobody, who has
room.

The plan's file lets a full-time care manager carry 60.0 points. Dana (staff-1) speaks Vietnamese and works full time; Luis
(staff-2) works half the time from 1 November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from activities.process_states import create_tables
from domain import catalog
from domain.adoption.facts import PolicyAdopted
from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed, LeadCareManagerAssigned, LeadCareManagerReleased
from domain.member.facts import LanguageChosen, MemberRegistered
from domain.staff.facts import (
    AbsenceAnnounced,
    FullTimeShareAgreed,
    LanguagesNamed,
    Role,
    RoleGranted,
    StaffJoined,
    StaffLeft,
    TrainingCompleted,
)
from projections.caseload_answers import Caseload
from projections.queries import Queries
from projections.registry import read_models
from projections.runner import Projector
from tests.given import POLICIES
from tests.projections.conftest import INDEX_KEY, NOON, World

DAY = timedelta(days=1)
DANA, LUIS, BOSS = "staff-1", "staff-2", "staff-9"


@dataclass(slots=True)
class Team:
    world: World
    queries: Queries
    projector: Projector

    def write(self, stream: str, *facts: Any, at: datetime = NOON, by: str = BOSS, whose: str | None = None) -> None:
        self.world.pen.write(stream, *facts, at=at, recorded_at=max(at, NOON), by=by, whose=whose)

    def case(self, n: int, staff: str, tenths: int, *grounds: str, at: datetime = NOON, **more: Any) -> None:
        """A member of an episode, on somebody's caseload."""
        self.write(f"member-{n}", MemberRegistered(given_name=f"Member {n}"), at=at, whose=f"member-{n}")
        self.write(f"episode-{n}", AssignmentReceived(member=f"member-{n}", plan="sunrise", received_at=at), at=at)
        self.write(f"episode-{n}", LeadCareManagerAssigned(staff=staff), at=at)
        taken = CaseTaken(episode=f"episode-{n}", weight_tenths=tenths, grounds=grounds, **more)
        self.write(f"caseload-{staff[6:]}", taken, at=at)

    def loads(self, **asked: Any) -> dict[str, Caseload]:
        self.projector.run_until_caught_up()
        return {c.staff: c for c in self.queries.caseload(now=NOON + DAY, **asked)}


@pytest.fixture
def team(world_of: Callable[[Sequence[Any]], World]) -> Team:
    world = world_of(catalog.FACTS)
    projector = world.projector(*read_models(INDEX_KEY))
    create_tables(world.pool)
    made = Team(world, Queries(world.pool, world.log, index_key=INDEX_KEY), projector)
    text = (POLICIES / "default.toml").read_text()
    assert "full_time_tenths = 600" in text and 'cap = "soft"' in text
    made.write("policy-default", PolicyAdopted(plan="default", version="1", effective_on=date(2026, 1, 1), text=text, sha256="00"))
    for staff, languages, name in ((DANA, ("en", "vi"), "Dana"), (LUIS, ("en", "es"), "Luis")):
        joined = StaffJoined(languages=languages, name=name)
        made.write(staff, joined, RoleGranted(role=Role.CARE_MANAGER), at=NOON - 90 * DAY, whose=staff)
    made.write(BOSS, StaffJoined(name="Bea"), RoleGranted(role=Role.SUPERVISOR), at=NOON - 90 * DAY, whose=BOSS)
    made.write(LUIS, FullTimeShareAgreed(percent=50, from_day=date(2026, 11, 1)))
    return made


def test_points_stand_beside_the_raw_ratio_by_tier(team: Team) -> None:
    team.case(1, DANA, 30, "tier:high")
    team.case(2, DANA, 30, "tier:high")
    team.case(3, DANA, 3, "not_enrolled")
    load = team.loads()[DANA]
    assert (load.members, load.points_tenths, load.cap_tenths, load.free_tenths, load.over_cap) == (3, 63, 600, 537, False)
    assert [(t.tier, t.members, t.points_tenths) for t in load.by_tier] == [("high", 2, 60), ("not_enrolled", 1, 3)]
    empty = team.loads()[LUIS]
    assert (empty.members, empty.cap_tenths, empty.share_percent) == (0, 300, 50), "who has room is shown too"


def test_who_was_over_the_cap_on_a_day_and_who_allowed_it(team: Team) -> None:
    """Luis carries 29.0 of 30.0 since 2 November; on the 5th a T1 of 3.0 came by leave of Bea, on the 9th she went again."""
    team.case(1, LUIS, 290, "tier:high")
    five, nine = NOON + 3 * DAY, NOON + 7 * DAY
    team.case(2, LUIS, 30, "tier:high", at=five, over_cap_because="knows the family", load_tenths=290, cap_tenths=300)
    team.write("caseload-2", CaseReleased(episode="episode-2", reason="handed_over"), at=nine)

    def over(at: datetime) -> list[tuple[str, str, str, str, int, int]]:
        rows = team.loads(as_of=at, over_cap=True, names=True)
        return [(b.staff_name, b.member_name, b.allowed_by_name, b.because, b.load_tenths, b.cap_tenths)
                for row in rows.values() for b in row.beyond]  # fmt: skip

    assert over(five - timedelta(minutes=1)) == []
    assert over(five) == [("Luis", "Member 2", "Bea", "knows the family", 290, 300)]
    then = team.loads(as_of=five)[LUIS]
    assert (then.members, then.points_tenths, then.cap_tenths, then.over_cap, then.owed) == (2, 320, 300, True, None)
    assert over(nine) == []
    assert team.loads(as_of=five, known_at=NOON)[LUIS].members == 1, "that day's word was not known yet"
    assert team.loads(as_of=NOON - DAY)[LUIS].share_percent == 50 and team.loads(as_of=NOON - 5 * DAY)[LUIS].cap_tenths == 600


def test_a_caseload_can_grow_over_the_cap_by_weight_alone(team: Team) -> None:
    team.case(1, LUIS, 290, "tier:high")
    team.write("caseload-2", CaseWeighed(episode="episode-1", weight_tenths=305, grounds=("tier:high", "transition")))
    load = team.loads()[LUIS]
    assert (load.points_tenths, load.over_cap, load.beyond) == (305, True, ())
    assert set(team.loads(over_cap=True)) == {LUIS}


def test_members_without_a_lead_are_visible_with_the_reason(team: Team) -> None:
    team.case(1, DANA, 30, "tier:high")
    team.case(2, DANA, 30, "tier:high")
    team.case(3, LUIS, 30, "tier:high")
    team.case(4, LUIS, 30, "tier:high")
    team.write("member-5", MemberRegistered(), LanguageChosen(language="vi"), whose="member-5")
    team.write("episode-5", AssignmentReceived(member="member-5", plan="sunrise", received_at=NOON - DAY))
    team.write("caseload-1", CaseReleased(episode="episode-1", reason="left"), at=NOON + timedelta(hours=1))
    team.write("episode-4", EpisodeClosed(reason=ClosureReason.OTHER))
    team.write("caseload-2", CaseReleased(episode="episode-4", reason="closed"))
    team.write(LUIS, StaffLeft(last_day=date(2026, 11, 2)))
    team.projector.run_until_caught_up()
    found = {
        w.episode: (w.because, w.last_lead_name, w.language) for w in team.queries.without_lead(now=NOON + DAY, names=True).items
    }
    assert found == {
        "episode-5": ("never_assigned", "", "vi"),
        "episode-3": ("left", "Luis", "en"),
        "episode-1": ("left", "Dana", "en"),
    }
    assert "episode-3" not in {w.episode for w in team.queries.without_lead(now=NOON).items}, "the last day still counts"


def test_offers_name_the_language_first_then_room_and_flag_the_interpreter(team: Team) -> None:
    for n, staff in ((3, "staff-3"), (4, "staff-4"), (5, "staff-5")):
        team.write(staff, StaffJoined(languages=("en",), name=f"Nr {n}"), RoleGranted(role=Role.CARE_MANAGER), whose=staff)
    team.write("staff-3", LanguagesNamed(languages=("en", "vi")))
    team.write("staff-4", AbsenceAnnounced(first_day=date(2026, 11, 1), last_day=date(2026, 11, 30)))
    team.write("staff-5", StaffLeft(last_day=date(2026, 12, 31)))
    team.case(1, DANA, 590, "tier:high")
    team.projector.run_until_caught_up()
    offers = team.queries.lead_offers(now=NOON, plan="sunrise", language="vi", weight_tenths=30, names=True)
    assert [(o.name, o.language_match, o.interpreter_needed, o.free_tenths, o.over_cap) for o in offers] == [
        ("Nr 3", True, False, 600, False),
        ("Dana", True, False, 10, True),
        ("Luis", False, True, 300, False),
    ]
    lighter = team.queries.lead_offers(now=NOON, plan="sunrise", language="vi", weight_tenths=10, not_to="staff-3")
    assert [(o.staff, o.over_cap) for o in lighter] == [(DANA, False), (LUIS, False)]


def test_what_puts_the_past_right_does_not_change_who_leads_now(team: Team) -> None:
    team.case(1, DANA, 30, "tier:high", at=NOON)
    team.write("episode-1", LeadCareManagerAssigned(staff=LUIS), at=NOON - DAY)
    team.write("episode-1", LeadCareManagerReleased(staff=LUIS, reason="slip of the pen"), at=NOON + DAY)
    team.projector.run_until_caught_up()
    row = team.queries.episode("episode-1")
    assert row is not None and (row.lead, row.lead_since) == (DANA, NOON)


def test_the_directory_shows_shares_and_trainings(team: Team) -> None:
    done = TrainingCompleted(training="person_centred_planning", completed_on=date(2026, 11, 2), expires_on=date(2027, 11, 1))
    team.write(LUIS, done, FullTimeShareAgreed(percent=80, from_day=date(2027, 1, 1)))
    team.projector.run_until_caught_up()
    row = team.queries.staff_member(LUIS)
    assert row is not None
    assert [(s.from_day, s.percent) for s in row.shares] == [(date(2026, 11, 1), 50), (date(2027, 1, 1), 80)]
    assert [(t.training, t.expires_on) for t in row.trainings] == [("person_centred_planning", date(2027, 11, 1))]
