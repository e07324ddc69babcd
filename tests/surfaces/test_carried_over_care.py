"""Care that goes on under another plan, on the real log: sealed texts come along, and go with the member's key (scenario 64)."""

from __future__ import annotations

from datetime import date, timedelta

from domain.episode.authorisations import CarryOver, authorised
from domain.episode.care_plans import Goal, WriteCarePlan, care_plan
from domain.episode.closing import CloseEpisode
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.member.decider import ErasePersonalData
from tests.surfaces.conftest import World

OWN_HOME = "A lease of her own, near the sister"
NEXT = "episode-00000000-0000-4000-8000-0000000000e2"


def test_the_old_plan_s_texts_are_readable_in_the_new_episode_until_the_member_is_erased(world: World) -> None:
    by = world.care_manager
    world.do(Enrol(stream=world.episode, by=by, agreed="verbal", how="phone"))
    goals = (Goal(goal="home", topic="housing"),)
    world.do(WriteCarePlan(stream=world.episode, by=by, goals=goals, texts={"home": OWN_HOME}, member_took_part="in_person"))
    world.clock.set(world.clock.now() + timedelta(days=40))
    world.do(CloseEpisode(stream=world.episode, by=by, reason=ClosureReason.CHANGED_PLAN))
    world.clock.set(world.clock.now() + timedelta(days=20))
    received_at = world.clock.now()
    world.adopt("coast")
    world.do(ReceiveAssignment(stream=NEXT, by="source:plan", member=world.member, plan="coast", received_at=received_at))
    world.system.gateway.forget()
    carried = world.do(CarryOver(stream=NEXT, by=by, previous=world.episode, evidence="old_plan"))
    assert [type(recorded.fact).__name__ for recorded in carried.facts] == [
        "CareCarriedOver",
        "AuthorisationGranted",
        "MemberEnrolled",
        "CarePlanWritten",
    ]
    world.system.gateway.forget()
    episode = world.system.gateway.load(NEXT).state
    plan = care_plan(episode.said)
    assert plan is not None and plan.texts == {"home": OWN_HOME}
    assert [(span.first_day, span.last_day) for span in authorised(episode.said)] == [(date(2027, 1, 15), date(2028, 1, 14))]
    with world.system.pool.connection() as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            found = connection.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', (f"%{OWN_HOME}%",)).fetchone()
            assert found == (0,), f"{table} holds the text unsealed"
    world.do(ErasePersonalData(stream=world.member, by=world.supervisor, reason="asked in writing"))
    world.system.gateway.forget()
    erased = care_plan(world.system.gateway.load(NEXT).state.said)
    assert erased is not None and erased.texts == {} and [goal.topic for goal in erased.goals] == ["housing"]
