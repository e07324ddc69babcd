"""People whom no plan gave us (domain.md 2.8, scenario 57): kept, counted by person, shown to somebody, referred or not."""

from __future__ import annotations

from dataclasses import replace

from domain.episode.facts import AssignmentReceived
from domain.episode.referrals import ReferralReceived, ReferralSource
from domain.staff.facts import Role
from intake.referrals.strangers import Stranger
from intake.store.inbox import Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL, TOMAS, Person, adt
from tests.intake.test_referrals import adopt

VISITS = 'kind = "avoidable_visits", any_of = ["emergency"], at_least = '
DAYS = ("20251105", "20251203", "20260107", "20260204", "20260304")


def come(world: World, *days: str, person: Person = MARISOL, visit: str = "E", stay_class: str = "E", **more: str) -> None:
    """Emergency visits, one a day, each with its own number."""
    world.deliver(
        *(
            adt("A04", person=person, control_id=f"{visit}{day}", sent=f"{day}150000", visit=f"{visit}-{day}",
                stay_class=stay_class, admitted=f"{day}140000", **more)
            for day in days
        )
    )  # fmt: skip


def found(world: World) -> list[Stranger]:
    return list(world.door.strangers.candidates(names=True))


def test_57_five_visits_of_somebody_unknown_are_kept_counted_and_shown(world: World) -> None:
    adopt(world)
    come(world, *DAYS[:4])
    assert found(world) == [], "four are too few for an adult"
    come(world, DAYS[4])
    (stranger,) = found(world)
    assert (stranger.populations, len(stranger.visits), stranger.with_cin) == (("2a",), 5, True)
    assert stranger.person == "Marisol Quillfeather 1961-04-12"
    assert [visit.on.isoformat().replace("-", "") for visit in stranger.visits] == list(DAYS)
    (sealed,) = world.door.strangers.candidates()
    assert sealed.person == "" and MARISOL.cin not in repr(sealed)
    assert world.facts("member") == [] == world.facts("episode"), "nobody is begun by it"
    assert {row.status for row in world.rows()} == {Status.UNMATCHED}


def test_a_visit_that_was_cancelled_or_became_a_stay_counts_as_what_it_is(world: World) -> None:
    adopt(world)
    come(world, *DAYS)
    world.deliver(adt("A11", control_id="X1", sent="20260304160000", visit="E-20260304", stay_class="E"))
    assert found(world) == []
    come(world, "20260305")
    assert len(found(world)) == 1
    world.deliver(adt("A06", control_id="X2", sent="20260305180000", visit="E-20260305", stay_class="I"))
    assert found(world) == [], "four emergency visits and one stay"


def test_each_is_somebody_by_their_own_number_and_twins_are_two(world: World) -> None:
    adopt(world)
    come(world, *DAYS[:3])
    come(world, *DAYS[3:], person=TOMAS, visit="T")
    assert found(world) == []
    twin = replace(MARISOL, given="Marta", cin="", mrn="MRN-9")
    come(world, *DAYS[3:], person=twin, visit="W", cin="")
    assert found(world) == []


def test_a_child_is_shown_from_the_third_visit_on(world: World) -> None:
    adopt(world)
    come(world, *DAYS[:3], person=replace(MARISOL, born="20150301"))
    (stranger,) = found(world)
    assert stranger.populations == ("2b",)


def test_where_a_plan_has_begun_in_some_counties_only_they_are_shown_with_those(world: World) -> None:
    adopt(world, plan="valley-health")
    child = replace(MARISOL, born="20150301")
    world.deliver(adt("A01", person=child, control_id="I1", sent="20260304150000", visit="I-1", admitted="20260304140000"))
    world.deliver(
        adt("A03", person=child, control_id="I2", sent="20260306150000", visit="I-1", admitted="20260304140000",
            discharged="20260306140000", disposition="01")
    )  # fmt: skip
    (stranger,) = world.door.strangers.candidates(plan="valley-health")
    assert (stranger.populations, stranger.counties) == (("2b",), ("fresno", "kings")), "one stay of a child is enough there"
    world.door.strangers.dismiss(stranger.id, plan="valley-health", by=world.staff(Role.CARE_MANAGER), reason="lives in Kern")
    assert world.door.strangers.candidates(plan="valley-health") == ()


def test_referred_they_become_a_member_to_whom_the_visits_belong(world: World) -> None:
    adopt(world)
    come(world, *DAYS)
    (stranger,) = found(world)
    manager = world.staff(Role.CARE_MANAGER)
    taken = world.door.strangers.refer(stranger.id, plan="default", by=manager, reason="five visits")
    assert (taken.status, taken.member) == (Status.APPLIED, world.member_of(MARISOL))
    (referral,) = [f for f in world.facts("episode") if isinstance(f, ReferralReceived)]
    assert referral.source is ReferralSource.UTILISATION
    assert len([f for f in world.facts("episode") if isinstance(f, AssignmentReceived)]) == 1
    world.door.worker.work_off()
    assert len(world.member(MARISOL).stays) == 5
    assert found(world) == []


def test_dismissed_they_are_shown_again_once_they_come_again(world: World) -> None:
    adopt(world)
    come(world, *DAYS)
    (stranger,) = found(world)
    world.door.strangers.dismiss(stranger.id, plan="default", by=world.staff(Role.CARE_MANAGER), reason="lives abroad")
    assert found(world) == []
    come(world, "20260309")
    (again,) = found(world)
    assert (again.id, again.dismissed, len(again.visits)) == (stranger.id, "lives abroad", 6)


def test_without_a_cin_the_referral_waits_for_somebody_who_knows_it(world: World) -> None:
    adopt(world)
    nobody = replace(MARISOL, cin="", mrn="MRN-5")
    come(world, *DAYS, person=nobody, cin="")
    (stranger,) = found(world)
    assert not stranger.with_cin
    taken = world.door.strangers.refer(stranger.id, plan="default", by=world.staff(Role.CARE_MANAGER))
    assert (taken.status, taken.reason) == (Status.UNMATCHED, "no_cin")


def test_under_the_rules_of_whichever_plan_looks_first_somebody_is_shown(world: World) -> None:
    adopt(world)
    adopt(world, "early", **{f"{VISITS}5": f"{VISITS}3"})
    come(world, *DAYS[:3])
    assert found(world) == [], "three are too few for the programme's own rules"
    (stranger,) = world.door.strangers.candidates(plan=None)
    assert (stranger.plan, stranger.populations) == ("early", ("2a",))
    come(world, *DAYS[3:])
    assert [s.plan for s in world.door.strangers.candidates(plan=None)] == ["default"]
