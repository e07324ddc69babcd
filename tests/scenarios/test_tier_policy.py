"""Every field of a policy's rules of tiers and populations of focus changes what is found of somebody; and the scenarios of
domain.md 7 about what is found: a tier that rests on facts, the plan's tier beside it, the 21st birthday.

The member is assigned and enrolled on Monday 2 November 2026 at ten; days are reckoned by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from domain.core import Alarm
from domain.criteria import evidence_of, populations
from domain.episode.enrolment import ReportPlanTier, plan_tier
from domain.episode.facts import EpisodeClosed
from domain.follow_up_policy import EVERY_COUNTY, Condition, ConditionKind, Launch, Population, TierRule, Tiers
from domain.followup.decider import ConfirmPopulation, LiftTierOverride, OverrideTier, RejectPopulation
from domain.followup.facts import NO_TIER, PopulationProposalWithdrawn, PopulationProposed, TierFound
from domain.member.circumstances import (
    Circumstance,
    EndCircumstance,
    JudgeVisit,
    LearnCounty,
    NoteCircumstance,
    RecordDiagnosis,
    ReportVisit,
    RuleOutDiagnosis,
    VisitKind,
)
from domain.member.decider import CorrectIdentity
from domain.policy import Policy
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, OFFICE, at, varied
from tests.scenarios.hospital_story import HospitalStory

FOLLOWUP = EPISODE.replace("episode", "followup", 1)
STARTS = "2026-11-02 10:00 PST"

K, C = ConditionKind, Circumstance
STREET = Condition(kind=K.CIRCUMSTANCE, any_of=("homeless", "food_insecure"))
ILL = Condition(kind=K.DIAGNOSIS, any_of=("illness",))
YOUNG = Condition(kind=K.AGE, at_least=0, at_most=20)
assert DEFAULT.follow_up is not None
BASE = replace(
    DEFAULT,
    follow_up=replace(
        DEFAULT.follow_up,
        tiers=Tiers(
            order=("high", "medium", "low"),
            otherwise="low",
            rule=(
                TierRule(key="street", tier="high", when=((STREET,),)),
                TierRule(key="illness", tier="medium", when=((ILL,),)),
            ),
        ),
    ),
    diagnosis_groups={"illness": ("E11", "E10"), "injury": ("S72",)},
    population=(
        Population(key="shelter", code="1", launch=(Launch(county=EVERY_COUNTY, on=date(2022, 1, 1)),), when=((STREET,),)),
        Population(key="young", code="2", launch=(Launch(county="orange", on=date(2022, 1, 1)),), when=((YOUNG,),)),
    ),
)


class LifeStory(HospitalStory):
    """What is learned of the member's life, and what the follow-up makes of it."""

    def is_(self, circumstance: Circumstance, since: str | None = None) -> LifeStory:
        occurred_at = at(since) if since else None
        self.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, learned_from="member", occurred_at=occurred_at))
        return self

    def is_no_longer(self, circumstance: Circumstance) -> LifeStory:
        self.do(EndCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance))
        return self

    def diagnosed(self, code: str) -> LifeStory:
        self.do(RecordDiagnosis(stream=MEMBER, by="source:plan", code=code, learned_from="plan_file"))
        return self

    def emergency(self, visit: str, on: date) -> LifeStory:
        kind = VisitKind.EMERGENCY
        self.do(ReportVisit(stream=MEMBER, by="source:plan", visit=visit, kind=kind, on=on, learned_from="plan_file"))
        return self

    def born(self, on: str) -> LifeStory:
        self.do(CorrectIdentity(stream=MEMBER, by=OFFICE, birth_date=on))
        return self

    def lives_in(self, county: str) -> LifeStory:
        self.do(LearnCounty(stream=MEMBER, by="source:plan", county=county, learned_from="plan_file"))
        return self

    @property
    def found(self) -> list[tuple[str, list[str]]]:
        """Every tier that was written, with the keys of its reasons."""
        return [(fact.tier, [ground.rule for ground in fact.grounds]) for fact in self.facts(TierFound, FOLLOWUP)]

    @property
    def tier(self) -> str:
        return self.found[-1][0] if self.found else NO_TIER

    @property
    def proposed(self) -> list[str]:
        gone = [fact.population for fact in self.facts(PopulationProposalWithdrawn, FOLLOWUP)]
        return [f.population for f in self.facts(PopulationProposed, FOLLOWUP) if f.population not in gone]


# --- every field of the rules --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """`shows` looks at a story told under the policy; `changes` is what differs, `before` and `after` what it shows."""

    changes: dict[str, Any]
    shows: Callable[[LifeStory], Any]
    before: Any
    after: Any

    def told(self, **changes: Any) -> Any:
        return self.shows(LifeStory(STARTS, varied(BASE, **changes)))


def homeless(story: LifeStory) -> LifeStory:
    return story.is_(C.HOMELESS)


def homeless_and_ill(story: LifeStory) -> LifeStory:
    return homeless(story).diagnosed("E11.9")


def of(told: Callable[[LifeStory], LifeStory]) -> Callable[[LifeStory], str]:
    return lambda story: told(story).tier


def reasons(story: LifeStory) -> list[str]:
    return homeless(story).found[-1][1]


def found_in(told: Callable[[LifeStory], LifeStory]) -> Callable[[LifeStory], list[str]]:
    return lambda story: told(story).proposed


def codes(story: LifeStory) -> list[str]:
    """What files call the populations that are met."""
    homeless(story)
    member, episode = (story.memory.load(stream).state for stream in (MEMBER, EPISODE))
    return [met.code for met in populations(evidence_of(member, episode, {}), story.memory.book, "valley", Alarm(story.memory.now))]


def housed_again(story: LifeStory) -> LifeStory:
    homeless(story).on("2026-11-20 10:00 PST")
    return story.is_no_longer(C.HOMELESS)


def young(story: LifeStory) -> LifeStory:
    return story.born("2006-05-05").lives_in("orange")


TIERS = "follow_up__tiers"
STREET_RULE, ILLNESS_RULE = f"{TIERS}__rule__0", f"{TIERS}__rule__1"
STREET_WHEN, SHELTER_WHEN = f"{STREET_RULE}__when__0__0", "population__0__when__0__0"
YOUNG_WHEN = "population__1__when__0__0"
SHELTER_LAUNCH = "population__0__launch"

CASES: dict[str, Case] = {
    "follow_up.tiers": Case({TIERS: None}, of(homeless), "high", NO_TIER),
    "follow_up.tiers.order": Case(
        {f"{TIERS}__order": ("medium", "high", "low")}, of(homeless_and_ill), "high", "medium"
    ),
    "follow_up.tiers.otherwise": Case({f"{TIERS}__otherwise": NO_TIER}, lambda story: story.tier, "low", NO_TIER),
    "follow_up.tiers.rule": Case({f"{TIERS}__rule": ()}, of(homeless), "high", "low"),
    "follow_up.tiers.rule.key": Case({f"{STREET_RULE}__key": "no_home"}, reasons, ["street"], ["no_home"]),
    "follow_up.tiers.rule.tier": Case({f"{STREET_RULE}__tier": "medium"}, of(homeless), "high", "medium"),
    "follow_up.tiers.rule.when": Case({f"{STREET_RULE}__when": ((STREET,), (ILL,))}, of(homeless), "high", "low"),
    "follow_up.tiers.rule.when.kind": Case(
        {f"{STREET_RULE}__when__0__0": replace(STREET, kind=K.POPULATION, any_of=("young",))}, of(homeless), "high", "low"
    ),
    "follow_up.tiers.rule.when.any_of": Case({f"{STREET_WHEN}__any_of": ("pregnant",)}, of(homeless), "high", "low"),
    "follow_up.tiers.rule.when.at_least": Case({f"{STREET_WHEN}__at_least": 2}, of(homeless), "high", "low"),
    "follow_up.tiers.rule.when.at_most": Case(
        {f"{STREET_WHEN}": replace(YOUNG, at_most=19)}, of(lambda story: homeless(story).born("2006-05-05")), "high", "low"
    ),
    "follow_up.tiers.rule.when.within_days": Case({f"{STREET_WHEN}__within_days": 30}, of(housed_again), "low", "high"),
    "diagnosis_groups": Case(
        {"diagnosis_groups": {"illness": ("S72",)}}, of(lambda story: story.diagnosed("E11.9")), "medium", "low"
    ),
    "population": Case({"population": ()}, found_in(homeless), ["shelter"], []),
    "population.key": Case({"population__0__key": "no_home"}, found_in(homeless), ["shelter"], ["no_home"]),
    "population.code": Case({"population__0__code": "1a"}, codes, ["1"], ["1a"]),
    "population.launch": Case(
        {SHELTER_LAUNCH: (Launch(county="orange", on=date(2022, 1, 1)),)}, found_in(homeless), ["shelter"], []
    ),
    "population.launch.county": Case({f"{SHELTER_LAUNCH}__0__county": "kings"}, found_in(homeless), ["shelter"], []),
    "population.launch.on": Case({f"{SHELTER_LAUNCH}__0__on": date(2026, 11, 3)}, found_in(homeless), ["shelter"], []),
    "population.when": Case({"population__0__when": ((STREET,), (ILL,))}, found_in(homeless), ["shelter"], []),
    "population.when.kind": Case(
        {SHELTER_WHEN: replace(STREET, kind=K.DIAGNOSIS, any_of=("illness",))}, found_in(homeless), ["shelter"], []
    ),
    "population.when.any_of": Case({f"{SHELTER_WHEN}__any_of": ("pregnant",)}, found_in(homeless), ["shelter"], []),
    "population.when.at_least": Case({f"{SHELTER_WHEN}__at_least": 2}, found_in(homeless), ["shelter"], []),
    "population.when.at_most": Case({f"{YOUNG_WHEN}__at_most": 18}, found_in(young), ["young"], []),
    "population.when.within_days": Case({f"{SHELTER_WHEN}__within_days": 30}, found_in(housed_again), [], ["shelter"]),
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(CASES))
def test_every_field_changes_what_is_found_of_somebody(path: str) -> None:
    case = CASES[path]
    assert case.before != case.after
    assert case.told() == case.before
    assert case.told(**case.changes) == case.after


# --- the tier ------------------------------------------------------------------------------------------------------------------


def told(policy: Policy = BASE, starts: str = STARTS) -> LifeStory:
    return LifeStory(starts, policy)


def test_a_tier_is_written_with_its_reasons_and_falls_when_they_do() -> None:
    story = told().is_(C.HOMELESS).diagnosed("E11.9")
    story.on("2026-12-01 10:00 PST")
    story.is_no_longer(C.HOMELESS)
    story.do(RuleOutDiagnosis(stream=MEMBER, by=LEAD, code="E11.9", reason="another member's"))
    assert story.found == [("low", []), ("high", ["street"]), ("medium", ["illness"]), ("low", [])]


def test_what_is_learned_late_counts_from_when_it_was_so() -> None:
    """On 20 November it comes to be known that the member lost the home on the 6th: the tier is high from the 6th on."""
    story = told()
    story.on("2026-11-20 10:00 PST")
    story.is_(C.HOMELESS, since="2026-11-06 18:00 PST")
    assert [r.occurred_at for r in story.recorded(TierFound, FOLLOWUP)][-1] == at("2026-11-06 18:00 PST")


def test_a_window_that_runs_out_ends_the_tier_by_itself() -> None:
    """Two emergencies within thirty days, 1 and 3 November: high to the end of 1 December, and nobody does anything."""
    often = Condition(kind=K.VISITS, any_of=("emergency",), at_least=2, within_days=30)
    story = told(varied(BASE, **{f"{STREET_RULE}__when": ((often,),)}))
    story.emergency("c1", date(2026, 11, 1)).on("2026-11-04 10:00 PST")
    story.emergency("c2", date(2026, 11, 3)).on("2026-12-20 10:00 PST")
    written = [(r.occurred_at, r.fact.tier) for r in story.recorded(TierFound, FOLLOWUP)]
    assert written[-2:] == [(at("2026-11-04 10:00 PST"), "high"), (at("2026-12-01 24:00 PST"), "low")]


def test_the_plans_tier_stands_beside_ours_and_is_never_overwritten() -> None:
    """S1: the plan says low, our rules say high; the plan's next word changes nothing of ours."""
    story = told()
    story.do(ReportPlanTier(stream=EPISODE, by="source:plan", tier="low"))
    story.is_(C.HOMELESS)
    story.do(ReportPlanTier(stream=EPISODE, by="source:plan", tier="medium"))
    assert story.tier == "high"
    assert plan_tier(story.memory.load(EPISODE).state, story.memory.now) == "medium"


def test_a_person_may_say_otherwise_and_what_the_rules_find_stays_visible() -> None:
    story = told().is_(C.HOMELESS)
    story.do(OverrideTier(stream=FOLLOWUP, by=BOSS, tier="low", reason="lives with a sister"))
    assert (story.tier, story.memory.load(FOLLOWUP).state.overridden_tier(story.memory.now)) == ("high", "low")
    story.on("2026-11-09 10:00 PST").do(LiftTierOverride(stream=FOLLOWUP, by=BOSS))
    assert story.memory.load(FOLLOWUP).state.overridden_tier(story.memory.now) is None


# --- populations of focus ------------------------------------------------------------------------------------------------------


def test_a_population_is_proposed_with_its_grounds_and_a_person_decides() -> None:
    story = told().is_(C.HOMELESS)
    (proposal,) = story.facts(PopulationProposed, FOLLOWUP)
    assert [ground.rule for ground in proposal.grounds] == ["shelter/circumstance"]
    story.do(ConfirmPopulation(stream=FOLLOWUP, by=LEAD, population="shelter"))
    story.is_no_longer(C.HOMELESS)
    assert story.facts(PopulationProposalWithdrawn, FOLLOWUP) == []


def test_what_nobody_confirmed_is_withdrawn_when_its_grounds_are_gone_and_what_was_rejected_is_not_proposed_again() -> None:
    story = told().is_(C.HOMELESS).is_no_longer(C.HOMELESS)
    assert story.proposed == []
    rejected = told().is_(C.HOMELESS)
    rejected.do(RejectPopulation(stream=FOLLOWUP, by=LEAD, population="shelter", reason="has a flat"))
    rejected.diagnosed("E11.9").on("2026-12-01 10:00 PST")
    assert rejected.proposed == ["shelter"]


def test_a_population_is_proposed_at_the_midnight_of_its_launch() -> None:
    story = told(varied(BASE, population__0__launch__0__on=date(2026, 11, 10))).is_(C.HOMELESS)
    story.on("2026-11-12 10:00 PST")
    assert [r.occurred_at for r in story.recorded(PopulationProposed, FOLLOWUP)] == [at("2026-11-10 00:00 PST")]


def test_a_visit_counts_as_avoidable_from_the_word_of_a_person() -> None:
    avoidable = Condition(kind=K.AVOIDABLE_VISITS, any_of=("emergency",), within_days=365)
    story = told(varied(BASE, population__0__when=((avoidable,),))).emergency("c1", date(2026, 11, 1))
    assert story.proposed == []
    story.do(JudgeVisit(stream=MEMBER, by=LEAD, visit="c1", avoidable=True, reason="a sore throat"))
    assert story.proposed == ["shelter"]


# --- scenario 45 ---------------------------------------------------------------------------------------------------------------


def test_45_the_21st_birthday_is_no_reason_to_end_and_other_populations_are_looked_at() -> None:
    """Born on 20 November 2005, homeless with diabetes, under the default policy (G p11, p52)."""
    story = told(DEFAULT).born("2005-11-20").is_(C.HOMELESS).diagnosed("E11.9")
    assert story.proposed == ["homeless-families"]
    story.on("2026-11-25 10:00 PST")
    assert story.proposed == ["homeless-adults"]
    turned = [r.occurred_at for r in story.recorded(PopulationProposed, FOLLOWUP)][-1]
    assert turned == at("2026-11-20 00:00 PST")
    assert story.facts(EpisodeClosed, EPISODE) == []
    assert story.memory.load(EPISODE).state.closure(story.memory.now) is None


def test_45_a_confirmed_population_of_children_stays_with_the_members_history() -> None:
    story = told(DEFAULT).born("2005-11-20").is_(C.HOMELESS)
    story.do(ConfirmPopulation(stream=FOLLOWUP, by=LEAD, population="homeless-families"))
    story.on("2026-11-25 10:00 PST")
    assert story.facts(PopulationProposalWithdrawn, FOLLOWUP) == []
    assert story.memory.load(EPISODE).state.closure(story.memory.now) is None
