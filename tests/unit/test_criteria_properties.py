"""Whatever happens in a life: the computed history is what a judge of each single instant says, in whatever order the facts came,
and every fact that is named as a reason is one.

The judge walks the facts of one instant and knows nothing of spans.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.core import Alarm, Instant
from domain.criteria import evaluate, met, populations, tier_at, tiers
from domain.episode.enrolment import PlanTierReported, ScreeningAnswered
from domain.episode.facts import AssignmentReceived
from domain.follow_up_policy import Condition, ConditionKind, Launch, Population
from domain.followup.facts import PopulationConfirmed, PopulationRejected
from domain.member.circumstances import (
    MOMENTARY,
    Circumstance,
    CircumstanceEnded,
    CircumstanceNoted,
    CountyLearned,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    VisitJudged,
    VisitKind,
    VisitReported,
)
from domain.member.facts import MemberRegistered, StayAttributed
from domain.policy import Policy
from domain.stay.facts import AdmissionCancelled, MemberAdmitted, MemberDischarged, StayClass
from tests.given import EPISODE, MEMBER, book
from tests.lives import FOLLOW_UP, Life, Lived, condition, rule, ruled

EXAMPLES = int(os.environ.get("THROUGHLINE_EXAMPLES", "50"))
ZONE = ZoneInfo("America/Los_Angeles")
FIRST = datetime(2026, 1, 1, 8, tzinfo=UTC)
DAYS = 120
MINUTE = timedelta(minutes=1)
settled = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

K, C = ConditionKind, Circumstance
ADULT = condition(K.AGE, at_least=21)
RULES = (
    rule("emergencies", "high", condition(K.VISITS, "emergency", at_least=2, within_days=20)),
    rule("stays", "high", condition(K.VISITS, "inpatient", "nursing_facility", within_days=15)),
    rule("avoidable", "medium", condition(K.AVOIDABLE_VISITS, "emergency", "inpatient", within_days=30)),
    rule("hardship", "medium", condition(K.CIRCUMSTANCE, "homeless", "food_insecure", at_least=2), ADULT),
    rule("lately", "high", (condition(K.CIRCUMSTANCE, "homeless", "released_from_incarceration", within_days=10),), ADULT),
    rule("ill", "medium", condition(K.DIAGNOSIS, "illness", at_least=2)),
    rule("ill_lately", "high", condition(K.DIAGNOSIS, "illness", within_days=12), condition(K.RACE, "white")),
    rule("screened", "medium", condition(K.SCREENING, "mini", at_least=4, within_days=40)),
    rule("asked", "high", condition(K.SCREENING, "mini/q2", at_least=3)),
    rule("plan", "medium", condition(K.PLAN_TIER, "high")),
    rule("focus", "medium", condition(K.POPULATION, "shelter", "young")),
)
LAUNCH = (Launch(county="kings", on=date(2026, 2, 1)), Launch(county="every", on=date(2026, 3, 1)))
FOCUS = (
    Population(key="shelter", code="1", launch=LAUNCH, when=((condition(K.CIRCUMSTANCE, "homeless", within_days=5),), (ADULT,))),
    Population(key="young", code="2", launch=LAUNCH, when=((condition(K.AGE, at_least=0, at_most=20),),)),
)
GROUPS: dict[str, tuple[str, ...]] = {"illness": ("F20", "E11")}
OLD = replace(ruled(*RULES), diagnosis_groups=GROUPS, population=FOCUS)
NEW = replace(ruled(*RULES[:5:2], order=("high", "low")), diagnosis_groups=GROUPS, population=FOCUS[:1])
NEW = replace(NEW, version="2026.2", effective_on=date(2026, 3, 15))
BOOK = book(OLD, NEW)


def in_force(at: Instant) -> Policy:
    return BOOK.in_force("default", at)


# --- lives ---------------------------------------------------------------------------------------------------------------------

HOURS = st.sampled_from([0, 0, 9, 15, 23])
instants = st.builds(lambda day, hour: FIRST + timedelta(days=day, hours=hour), st.integers(0, DAYS), HOURS)
VISITS = ("c1", "c2", "c3", "c4")
STAYS = ("stay-1", "stay-2")
CIRCUMSTANCES = (C.HOMELESS, C.HOMELESS, C.FOOD_INSECURE, C.RELEASED_FROM_INCARCERATION)
WINDOWS = (0, 5, 10, 12, 15, 20, 30, 40)
"""How many days the rules look back."""

BUSY_DAYS = 25
"""Visits fall into these first days, so that several are of one day."""


@st.composite
def visits(draw: st.DrawFn) -> tuple[Instant, VisitReported]:
    at = FIRST + timedelta(days=draw(st.integers(0, BUSY_DAYS)), hours=draw(HOURS))
    on = at.astimezone(ZONE).date() - timedelta(days=draw(st.sampled_from([0, 0, 1, 2, 10])))
    kind = draw(st.sampled_from([VisitKind.EMERGENCY, VisitKind.EMERGENCY, VisitKind.INPATIENT, VisitKind.NURSING_FACILITY]))
    visit, avoidable = draw(st.sampled_from(VISITS)), draw(st.sampled_from([None, True, False]))
    return at, VisitReported(visit=visit, kind=kind, on=on, learned_from="plan_file", avoidable=avoidable)


def some(fact: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[list[tuple[Instant, Any]]]:
    return st.lists(st.tuples(instants, fact), max_size=most)


OF_MEMBER = (
    some(st.builds(partial(CircumstanceNoted, learned_from="x"), circumstance=st.sampled_from(CIRCUMSTANCES)), 4),
    some(st.builds(CircumstanceEnded, circumstance=st.sampled_from(CIRCUMSTANCES)), 3),
    some(st.builds(partial(DiagnosisRecorded, learned_from="x"), code=st.sampled_from(["F20.1", "F20.9", "E11.9", "M54"])), 4),
    some(st.builds(DiagnosisRuledOut, code=st.sampled_from(["F20.1", "E119"])), 1),
    some(st.builds(VisitJudged, visit=st.sampled_from((*VISITS, *STAYS)), avoidable=st.booleans()), 3),
    some(st.builds(partial(CountyLearned, learned_from="x"), county=st.sampled_from(["kings", "orange"])), 2),
    st.lists(visits(), max_size=6),
)
OF_EPISODE = (
    some(st.builds(PlanTierReported, tier=st.sampled_from(["high", "low"])), 2),
    some(
        st.builds(
            partial(ScreeningAnswered, questionnaire="mini@1", questions=("q1", "q2")),
            scores=st.tuples(st.integers(0, 4), st.integers(0, 4)),
        ),
        3,
    ),
)
OF_FOLLOW_UP = (
    some(st.builds(PopulationConfirmed, population=st.sampled_from(["shelter", "young"])), 1),
    some(st.builds(partial(PopulationRejected, reason="x"), population=st.sampled_from(["shelter", "young"])), 1),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    born = draw(st.sampled_from([None, "1990-01-01", "2005-03-01", "2004-02-29", "2005-04-20", "2010-01-01"]))
    life = Life().registered(born, draw(st.sampled_from(["", "White"])), FIRST - timedelta(days=400))
    received = AssignmentReceived(member=MEMBER, plan="default", received_at=FIRST, plan_tier=draw(st.sampled_from(["", "high"])))
    life = life.said(received, FIRST, "assigned", EPISODE)
    for stream, sorts in ((MEMBER, OF_MEMBER), (EPISODE, OF_EPISODE), (FOLLOW_UP, OF_FOLLOW_UP)):
        for at, fact in (told for sort in sorts for told in draw(sort)):
            life = life.said(fact, at, f"fact-{len(life.facts):02}", stream)
    for stay in STAYS[: draw(st.integers(0, 2))]:
        since = FIRST + timedelta(days=draw(st.integers(0, BUSY_DAYS)), hours=draw(HOURS))
        left = draw(st.sampled_from([None, 2, 20, 50]))
        kind = draw(st.sampled_from([StayClass.EMERGENCY, StayClass.INPATIENT, StayClass.OBSERVATION]))
        life = life.stayed(stay, kind, since, since + timedelta(hours=left) if left else None)
        if draw(st.integers(0, 5)) == 0:
            cancelled = AdmissionCancelled(order="9", received_at=since, source="ward")
            life = life.said(cancelled, since, f"{stay}/never", stay)
    return life


def looked_at(life: Life) -> list[Instant]:
    """The instants at which something may turn, and the last before each: facts, ends of windows, birthdays and launches."""
    days = {lived.at.astimezone(ZONE).date() for lived in life.facts}
    days |= {lived.fact.on for lived in life.facts if isinstance(lived.fact, VisitReported)}
    days = {day + timedelta(days=back + 1) for day in days for back in WINDOWS}
    days |= {date(2026, month, day) for month in (2, 3, 4) for day in (1, 15, 20)}
    midnights = {datetime.combine(day, datetime.min.time(), ZONE).astimezone(UTC) for day in days}
    turns = midnights | {lived.at for lived in life.facts}
    return sorted(at for turn in turns for at in (turn - MINUTE, turn) if at >= FIRST)


END = FIRST + timedelta(days=DAYS + 400)

# --- the judge -----------------------------------------------------------------------------------------------------------------


class Judge:
    """What holds at one instant, by the facts that had occurred."""

    def __init__(self, life: Life, at: Instant) -> None:
        ending = CircumstanceEnded | DiagnosisRuledOut | VisitJudged
        known = [lived for lived in life.facts if lived.at <= at]
        self.known = sorted(known, key=lambda k: (k.at, isinstance(k.fact, ending), k.id))
        self.life, self.at, self.policy = life, at, in_force(at)

    def day(self, at: Instant) -> date:
        return at.astimezone(ZONE).date()

    def of(self, *kinds: type) -> Iterable[Lived]:
        return (lived for lived in self.known if isinstance(lived.fact, kinds))

    def near(self, day: date, wanted: Condition) -> bool:
        return not wanted.within_days or (self.day(self.at) - day).days <= wanted.within_days

    def tier(self) -> tuple[str, set[str]]:
        rules = self.policy.follow_up.tiers if self.policy.follow_up else None
        assert rules is not None
        holding = [r for r in rules.rule if all(any(self.holds(c) for c in line) for line in r.when)]
        tier = next((name for name in rules.order if name in {r.tier for r in holding}), rules.otherwise)
        return tier, {r.key for r in holding if r.tier == tier}

    def populations(self) -> set[str]:
        counties = list(self.of(CountyLearned))
        county: Any = counties[-1].fact if counties else None
        found = set()
        for population in self.policy.population:
            days = {launch.county: launch.on for launch in population.launch}
            begins = days.get(county.county if county else "every", days["every"])
            if begins <= self.day(self.at) and all(any(self.holds(c) for c in line) for line in population.when):
                found.add(population.key)
        return found

    def holds(self, wanted: Condition) -> bool:
        match wanted.kind:
            case K.AGE:
                return self.age() is not None and wanted.at_least <= (self.age() or 0) <= wanted.at_most
            case K.RACE:
                return any(f.fact.race_ethnicity.lower() in wanted.any_of for f in self.of(MemberRegistered))
            case K.PLAN_TIER:
                said = [f.fact for f in self.of(AssignmentReceived, PlanTierReported)]
                tiers_said: list[str] = [getattr(f, "plan_tier", getattr(f, "tier", "")) for f in said]
                return next((t for t in reversed(tiers_said) if t), "") in wanted.any_of
            case K.SCREENING:
                return sum(self.scores(wanted)) >= wanted.at_least
            case K.CIRCUMSTANCE:
                return sum(self.circumstance(Circumstance(name), wanted) for name in wanted.any_of) >= wanted.at_least
            case K.DIAGNOSIS:
                return len(self.diagnoses(wanted)) >= wanted.at_least
            case K.VISITS:
                return sum(1 for _ in self.visits(wanted)) >= wanted.at_least
            case K.AVOIDABLE_VISITS:
                return sum(1 for ids in self.visits(wanted) if self.avoidable(ids)) >= wanted.at_least
            case _:
                return any(self.belongs(key) for key in wanted.any_of)

    def age(self) -> int | None:
        for lived in self.of(MemberRegistered):
            if lived.fact.birth_date:
                born, today = date.fromisoformat(lived.fact.birth_date), self.day(self.at)
                return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        return None

    def scores(self, wanted: Condition) -> Iterable[int]:
        for place, question in enumerate(("q1", "q2")):
            answers = list(self.of(ScreeningAnswered))
            if answers and self.near(self.day(answers[-1].at), wanted) and {"mini", f"mini/{question}"} & set(wanted.any_of):
                yield answers[-1].fact.scores[place]

    def circumstance(self, name: Circumstance, wanted: Condition) -> bool:
        said = [f for f in self.of(CircumstanceNoted, CircumstanceEnded) if f.fact.circumstance is name]
        if name in MOMENTARY:
            ends = [f.at for f in said if isinstance(f.fact, CircumstanceEnded)]
            begun = [f.at for f in said if isinstance(f.fact, CircumstanceNoted) and f.at not in ends]
            return any(self.near(self.day(at), wanted) for at in begun)
        since: Instant | None = None
        over: list[Instant] = []
        for lived in said:
            if isinstance(lived.fact, CircumstanceNoted):
                since = since or lived.at
            elif since is not None:
                over.extend([lived.at] if lived.at > since else [])
                since = None
        return since is not None or (wanted.within_days > 0 and any(self.near(self.day(at), wanted) for at in over))

    def diagnoses(self, wanted: Condition) -> set[str]:
        recorded: dict[str, list[Instant]] = {}
        for lived in self.of(DiagnosisRecorded, DiagnosisRuledOut):
            code = lived.fact.code.replace(".", "")
            if isinstance(lived.fact, DiagnosisRuledOut):
                recorded.pop(code, None)
            elif code.startswith(GROUPS["illness"]):
                recorded.setdefault(code, []).append(lived.at)
        return {code[:3] for code, ats in recorded.items() if any(self.near(self.day(at), wanted) for at in ats)}

    def visits(self, wanted: Condition) -> Iterable[tuple[str, ...]]:
        """The ids of each visit that counts: a stay and a report of one day and kind are one."""
        claims: dict[str, VisitReported] = {f.fact.visit: f.fact for f in self.of(VisitReported)}
        stays = {stay: seen for stay in STAYS if (seen := self.stay(stay)) is not None}
        told = [(kind, day, last, id) for id, (kind, day, last) in stays.items()]
        said = [(str(c.kind), c.on, c.on + timedelta(days=1), id) for id, c in claims.items()]
        admitted = {day for kind, day, _, _ in (*told, *said) if kind == "inpatient"}
        for kind, day in sorted({(kind, day) for kind, day, _, _ in (*told, *said)}):
            if kind not in wanted.any_of or not self.near(day, wanted):
                continue
            ours, theirs = (sorted(v for v in source if v[:2] == (kind, day)) for source in (told, said))
            for place in range(max(len(ours), len(theirs))):
                pair = [v for source in (sorted(ours, key=lambda v: v[3]), theirs) for v in source[place : place + 1]]
                last = pair[0][2]
                if kind == "emergency" and (any(day <= other <= last for other in admitted) or self.soon(pair[0][3], last)):
                    continue
                yield tuple(v[3] for v in pair)

    def soon(self, visit: str, last: date) -> bool:
        """Whether the patient left an emergency room late and was admitted within six hours, on the next day."""
        by_id = [(f.stream, f.fact) for f in self.life.facts]
        left = next((f.discharged_at for of, f in by_id if of == visit and isinstance(f, MemberDischarged)), None)
        came = [f.admitted_at for of, f in by_id if isinstance(f, MemberAdmitted) and (self.stay(of) or "")[:1] == ("inpatient",)]
        return left is not None and any(
            left <= at <= left + timedelta(hours=6) and self.day(at) == last + timedelta(days=1) for at in came
        )

    def stay(self, stay: str) -> tuple[str, date, date] | None:
        """Its class, its day, and until when it may have turned into an admission; whatever was said of it later is known."""
        all_said = [lived.fact for lived in self.life.facts if lived.stream == stay]
        came = next((f for f in all_said if isinstance(f, MemberAdmitted)), None)
        left = next((f for f in all_said if isinstance(f, MemberDischarged)), None)
        whose = any(isinstance(f.fact, StayAttributed) and f.fact.stay == stay for f in self.life.facts)
        if came is None or not whose or came.admitted_at > self.at or any(isinstance(f, AdmissionCancelled) for f in all_said):
            return None
        day = self.day(came.admitted_at)
        return str(came.stay_class), day, self.day(left.discharged_at) if left else day + timedelta(days=1)

    def avoidable(self, ids: tuple[str, ...]) -> bool:
        words = [f.fact for f in self.of(VisitReported, VisitJudged) if f.fact.visit in ids and f.fact.avoidable is not None]
        by_people = [word for word in words if isinstance(word, VisitJudged)]
        last: Any = (by_people or words or [None])[-1]
        return last is not None and last.avoidable is True

    def belongs(self, key: str) -> bool:
        words = [f.fact for f in self.of(PopulationConfirmed, PopulationRejected) if f.fact.population == key]
        if key not in {p.key for p in self.policy.population}:
            return False
        return isinstance(words[-1], PopulationConfirmed) if words else key in self.populations()


# --- properties ----------------------------------------------------------------------------------------------------------------


@settled
@given(lives())
def test_the_computed_history_is_what_a_judge_says_of_each_instant(life: Life) -> None:
    spans = tiers(life.evidence, BOOK, "default", FIRST, Alarm(END))
    assert spans[0].since == FIRST and spans[-1].until is None
    assert all(before.until == after.since for before, after in pairwise(spans))
    for at in looked_at(life):
        span = tier_at(spans, at)
        assert span is not None
        assert (span.tier, {ground.rule for ground in span.grounds}) == Judge(life, at).tier(), at


@settled
@given(lives())
def test_the_populations_are_those_that_a_judge_finds_at_each_instant(life: Life) -> None:
    evidence = life.evidence
    for at in looked_at(life)[::5]:
        assert {p.key for p in populations(evidence, BOOK, "default", Alarm(at))} == Judge(life, at).populations(), at


@settled
@given(lives(), st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_to_be_known_does_not_matter(life: Life, dice: Any) -> None:
    other = list(life.facts)
    dice.shuffle(other)
    assert tiers(Life(tuple(other)).evidence, BOOK, "default", FIRST, Alarm(END)) == tiers(
        life.evidence, BOOK, "default", FIRST, Alarm(END)
    )


@settled
@given(lives())
def test_without_a_fact_that_is_named_the_tier_or_its_reasons_are_others(life: Life) -> None:
    for span in tiers(life.evidence, BOOK, "default", FIRST, Alarm(END)):
        for id in {fact for ground in span.grounds for fact in ground.facts}:
            without = tier_at(tiers(life.without(id).evidence, BOOK, "default", FIRST, Alarm(END)), span.since)
            assert without is not None
            assert (without.tier, without.grounds, without.since) != (span.tier, span.grounds, span.since), id


@settled
@given(lives(), instants)
def test_without_a_fact_that_is_named_a_population_or_its_reasons_are_others(life: Life, at: Instant) -> None:
    for found in life.met(OLD, at).values():
        for id in {fact for ground in found.grounds for fact in ground.facts}:
            without = life.without(id).met(OLD, at).get(found.key)
            assert without is None or without.grounds != found.grounds, id


@settled
@given(lives(), instants)
def test_nothing_turns_before_the_alarm(life: Life, now: Instant) -> None:
    alarm = Alarm(now)
    so_far = tiers(life.evidence, BOOK, "default", FIRST, alarm)
    turns = [span.since for span in tiers(life.evidence, BOOK, "default", FIRST, Alarm(END)) if span.since > now]
    assert (alarm.at is None or alarm.at > now) and (not turns or (alarm.at is not None and alarm.at <= turns[0]))
    assert so_far[-1].until is None

    alarm = Alarm(now)
    found = populations(life.evidence, BOOK, "default", alarm)
    for at in looked_at(life):
        if at > now and (alarm.at is None or at < alarm.at):
            assert {p.key for p in populations(life.evidence, BOOK, "default", Alarm(at))} == {p.key for p in found}, at


@settled
@given(lives(), st.sampled_from(RULES))
def test_a_formula_holds_exactly_when_it_is_said_to(life: Life, one: Any) -> None:
    evidence = life.evidence
    spans = met(one.when, evidence, OLD)
    for at in looked_at(life)[::7]:
        inside = any(span.since <= at and (span.until is None or at < span.until) for span in spans)
        assert (evaluate(one.when, evidence, OLD, at) is not None) == inside, at
