"""What follows from the facts of a member's life under a policy's rules: the tier, and the populations of focus (domain.md 2.8).

Everything is a function of the time of the world. A fact counts from when it occurred, whenever it was recorded: a reported visit
from its report on, though not before its own day; a stay from its admission. So a window that runs out, a birthday or a launch day
turns an answer by mere passage of time, and those instants can be asked for beforehand.

Nothing here looks at what a person decided about the answer (an override, a rejected proposal), and nothing here writes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import pairwise, zip_longest
from typing import Any, assert_never

from domain.calendar import end_of_day, local_date, start_of_day
from domain.core import Alarm, Context, EventId, Instant, StreamId
from domain.episode.enrolment import PlanTierReported, ScreeningAnswered
from domain.episode.state import Episode
from domain.follow_up_policy import EVERY_COUNTY, Condition, ConditionKind, Formula, Population
from domain.followup.facts import NO_TIER, Ground, PopulationConfirmed, PopulationRejected
from domain.member.circumstances import (
    CATEGORY_LENGTH,
    MOMENTARY,
    Circumstance,
    DiagnosisRecorded,
    VisitJudged,
    VisitKind,
    VisitReported,
    county_named,
    spells_of,
    undotted,
)
from domain.member.decider import Member
from domain.policy import Policy, PolicyBook
from domain.remembered import Same, memory
from domain.stay.course import Course
from domain.stay.decider import Stay
from domain.timeline import Entry, Timeline

FACTS_PER_GROUND_MAX = 24
"""Of more facts than these a ground names the latest, but never fewer than the condition asks for."""

SPANS_MAX = 1000
"""No member's tier turns so often in the years of an episode; of more, the latest are told."""

BIRTH_YEAR_MIN = 1880
"""Nobody on the programme was born before; an earlier year is a slip of the pen, and says nothing of an age."""

ONE_DAY = timedelta(days=1)
ADMITTED_WITHIN = timedelta(hours=6)
"""Whoever left an emergency room before midnight and was admitted so soon, under whatever number, was on the way there."""
"""An emergency visit may go on past midnight: where nobody said when it ended, it turned into an admission of the next day."""

BEGINNING = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)

# --- what is looked at ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that rules may rest on. `stays`: the courses of the member's attributed stays. `confirmed`: a timeline with what staff
    said of populations of focus; its other facts are not looked at."""

    member: Member
    episode: Episode
    stays: Mapping[StreamId, Course] = field(default_factory=dict)
    confirmed: Timeline = ()


def evidence_of(member: Member, episode: Episode, context: Context, confirmed: Timeline = ()) -> Evidence:
    """The evidence in sight: of the member's stays those that the context holds."""
    seen = ((stay, context[stay].state) for stay in member.stays if stay in context)
    return Evidence(member, episode, {stay: state.course() for stay, state in seen if isinstance(state, Stay)}, confirmed)


# --- what comes out ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Met:
    """A rule was, is or will be met from `since` until `until` (None: for all that is known now)."""

    since: Instant
    until: Instant | None


@dataclass(frozen=True, slots=True)
class Found:
    """A formula is met: for each of its lines the condition that holds, and the facts that it rests on."""

    lines: tuple[tuple[ConditionKind, tuple[EventId, ...]], ...]

    @property
    def facts(self) -> tuple[EventId, ...]:
        return tuple(dict.fromkeys(id for _, facts in self.lines for id in facts))


@dataclass(frozen=True, slots=True)
class TierSpan:
    """The tier from `since` until `until` (None: still), a ground for each rule that gives it. The grounds are those of its
    beginning: where a later visit takes the place of one that falls out of the window, the span goes on."""

    since: Instant
    until: Instant | None
    tier: str
    grounds: tuple[Ground, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class PopulationMet:
    """A population of focus whose criteria are met, since when, and on which grounds now: one for each line of its criteria,
    and where the member's county is known one for the day on which it began there."""

    key: str
    code: str
    since: Instant
    grounds: tuple[Ground, ...]
    policy: str


def evaluate(formula: Formula, evidence: Evidence, policy: Policy, at: Instant) -> Found | None:
    """Whether a formula holds at an instant, and on which facts; None where it does not."""
    return _sight(evidence, policy).found(formula, at)


def met(formula: Formula, evidence: Evidence, policy: Policy) -> tuple[Met, ...]:
    """When a formula holds, earliest first, what lies ahead included: each boundary is an instant at which the answer turns."""
    return _as_met(_sight(evidence, policy).when(formula))


def tiers(evidence: Evidence, book: PolicyBook, plan: str, since: Instant, alarm: Alarm) -> tuple[TierSpan, ...]:
    """The computed history of the tier from `since` to now, earliest first and without gaps; the last span is open.

    At each instant the version in force then decides. Of what lies ahead the alarm keeps the next turn."""
    found: list[TierSpan] = []
    for policy, begins, ends in _in_force(book, plan, since, alarm):
        found.extend(_tiers_under(_sight(evidence, policy), begins, ends, alarm))
    if found and found[-1].until is not None:
        last = found.pop()
        found.append(TierSpan(last.since, None, last.tier, last.grounds, last.policy))
    return tuple(found[-SPANS_MAX:])


def changes(spans: Iterable[TierSpan]) -> tuple[TierSpan, ...]:
    """The history as a cadence needs it: neighbours of one tier are joined, with the grounds and the policy of the first."""
    found: list[TierSpan] = []
    for span in spans:
        if found and found[-1].tier == span.tier:
            before = found[-1]
            found[-1] = TierSpan(before.since, span.until, before.tier, before.grounds, before.policy)
        else:
            found.append(span)
    return tuple(found)


def tier_at(spans: tuple[TierSpan, ...], at: Instant) -> TierSpan | None:
    """The span in which an instant lies; None before the first."""
    place = bisect_right(spans, at, key=lambda span: span.since)
    return spans[place - 1] if place else None


def populations(evidence: Evidence, book: PolicyBook, plan: str, alarm: Alarm) -> tuple[PopulationMet, ...]:
    """The populations of focus whose criteria are met now, in the policy's order: those that have begun in the member's county, or
    where that is unknown or not named, in every other county. The alarm keeps the next turn."""
    policy = book.in_force_now(plan, alarm)
    sight = _sight(evidence, policy)
    found: list[PopulationMet] = []
    for population in policy.population:
        for since, until in sight.belongs(population):
            if not alarm.reached(since):
                break
            if until < NEVER and alarm.reached(until):
                continue
            grounds = sight.grounds_of(population, alarm.now)
            found.append(PopulationMet(population.key, population.code, since, grounds, policy.id))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A visit that may have been avoidable, of which nobody has said whether it was: of a hospital by its stay, else by its id."""

    visit: str
    kind: str
    on: date


@dataclass(frozen=True, slots=True)
class Screened:
    """A population of focus for avoidable use that would be met since then if all `candidates` could have been avoided."""

    key: str
    code: str
    since: Instant
    candidates: tuple[Candidate, ...]
    facts: tuple[EventId, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class Screening:
    """What somebody has to look at. `avoidable`: the populations of focus that are about avoidable use. `ahead`: by mere passage of
    time there will be more."""

    found: tuple[Screened, ...] = ()
    avoidable: frozenset[str] = frozenset()
    ahead: bool = False


def screened(evidence: Evidence, book: PolicyBook, plan: str, alarm: Alarm) -> Screening:
    """The populations of focus for avoidable use for which somebody has to look at visits: no message can show that a visit could
    have been avoided (domain.md 2.8). None where so many were judged that it is met, or no longer can be. The alarm keeps the next
    turn."""
    policy = book.in_force_now(plan, alarm)
    sight = _sight(evidence, policy)
    found: list[Screened] = []
    about, ahead = [p for p in policy.population if _is_about_avoidable_use(p)], False
    for population in about:
        met, met_later = _holding(sight.belongs(population), alarm)
        since, later = _holding(sight.possibly(population), alarm)
        ahead = ahead or met_later or later
        if since is None or met is not None:
            continue
        candidates, facts = sight.candidates(population, alarm)
        if candidates:
            found.append(Screened(population.key, population.code, since, candidates, facts, policy.id))
    return Screening(tuple(found), frozenset(p.key for p in about), ahead)


def _is_about_avoidable_use(population: Population) -> bool:
    return any(condition.kind is ConditionKind.AVOIDABLE_VISITS for line in population.when for condition in line)


def _holding(spans: Spans, alarm: Alarm) -> tuple[Instant | None, bool]:
    """Since when something holds that holds now, and whether it begins to later; the alarm keeps when it turns."""
    for since, until in spans:
        if not alarm.reached(since):
            return None, True
        if until == NEVER or not alarm.reached(until):
            return since, False
    return None, False


def born_on(member: Member) -> date | None:
    """The birth date; None where it is unknown, was erased or is none."""
    try:
        born = date.fromisoformat((member.birth_date or "")[:10])
    except ValueError:
        return None
    return born if born.year >= BIRTH_YEAR_MIN else None


def birthday(born: date, age: int) -> date:
    """The day on which somebody turns an age; who was born on 29 February does so on 1 March of a shorter year."""
    year = min(born.year + age, MAXYEAR - 1)
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def races_of(said: str) -> frozenset[str]:
    """What a file says of race and ethnicity, as rules name it; several are separated by commas, semicolons, bars or slashes."""
    return frozenset(plain for part in re.split(r"[;,|/]", said) if (plain := _plain(part)))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


# --- the history of the tier ---------------------------------------------------------------------------------------------------


def _in_force(book: PolicyBook, plan: str, since: Instant, alarm: Alarm) -> Iterable[tuple[Policy, Instant, Instant]]:
    """The versions that held from `since` to now, each with its time; the alarm keeps the next change."""
    policy, begins, ends = book.in_force(plan, since), since, book.next_change(plan, since)
    while ends is not None and alarm.reached(ends):
        following = book.in_force(plan, ends)
        if following is not policy:  # before its first day the first version holds all the same
            yield policy, begins, ends
            policy, begins = following, ends
        ends = book.next_change(plan, ends)
    yield policy, begins, ends or NEVER


def _tiers_under(sight: _Sight, begins: Instant, ends: Instant, alarm: Alarm) -> Iterable[TierSpan]:
    """The spans under one version. Whatever turns without changing the tier or its rules is no new span, and wakes nobody."""
    turns = {begins}
    rules = sight.policy.follow_up.tiers.rule if sight.policy.follow_up and sight.policy.follow_up.tiers else ()
    for rule in rules:
        turns.update(turn for span in sight.when(rule.when) for turn in span if begins < turn < ends)
    since, held, over = begins, sight.tier(begins), False
    for turn in sorted(turns):
        holds = sight.tier(turn)
        if holds == held:
            continue
        if not alarm.reached(turn):
            over = True
            break
        yield sight.tier_span(since, turn, held)
        since, held = turn, holds
    reached = not over and ends < NEVER and alarm.reached(ends)
    yield sight.tier_span(since, ends if reached else None, held)


# --- spans of time -------------------------------------------------------------------------------------------------------------

Spans = tuple[tuple[Instant, Instant], ...]
"""Half-open, earliest first, never touching; NEVER is an open end."""

ALWAYS: Spans = ((BEGINNING, NEVER),)


def _as_met(spans: Spans) -> tuple[Met, ...]:
    return tuple(Met(since, until if until < NEVER else None) for since, until in spans)


def _union(found: Iterable[tuple[Instant, Instant]]) -> Spans:
    joined: list[tuple[Instant, Instant]] = []
    for since, until in sorted(span for span in found if span[0] < span[1]):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(until, joined[-1][1]))
        else:
            joined.append((since, until))
    return tuple(joined)


def _both(one: Spans, other: Spans) -> Spans:
    if one == ALWAYS:
        return other
    shared = ((max(a, c), min(b, d)) for a, b in one for c, d in other if a < d and c < b)
    return _union(shared)


def _without(spans: Spans, gone: Spans) -> Spans:
    edges = [BEGINNING, *(edge for span in gone for edge in span), NEVER]
    return _both(spans, _union(zip(edges[::2], edges[1::2], strict=True)))


def _holds(spans: Spans, at: Instant) -> bool:
    return any(since <= at < until for since, until in spans)


# --- what a condition counts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Item:
    """Something that counts from `since` until `until`: as much as it weighs, and once for all items of one key."""

    key: str
    since: Instant
    until: Instant
    facts: tuple[EventId, ...]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class _Told:
    """A visit as one source tells it, known from `since` until another word took its place. `last_day`: until when it may have
    turned into an admission; `left`: when the patient left, where a hospital said so."""

    id: str
    by_hospital: bool
    kind: str
    day: date
    last_day: date
    since: Instant
    until: Instant
    facts: tuple[EventId, ...]
    left: Instant | None = None


@dataclass(frozen=True, slots=True)
class _Visit:
    """A visit, for as long as the same sources tell it: a hospital, a claim, or both. `came` and `left` are a hospital's word."""

    key: str
    ids: tuple[str, ...]
    kind: str
    day: date
    last_day: date
    since: Instant
    until: Instant
    facts: tuple[EventId, ...]
    came: Instant | None = None
    left: Instant | None = None


class _Sight:
    """The evidence under one version of a policy, whatever the time. What several rules look at is worked out once."""

    def __init__(self, evidence: Evidence, policy: Policy) -> None:
        self.evidence, self.policy, self.zone = evidence, policy, policy.timezone
        self._items: dict[tuple[ConditionKind, tuple[str, ...], int], tuple[_Item, ...]] = {}
        self._met: dict[Condition, Spans] = {}
        self._formulas: dict[Formula, Spans] = {}
        self._belongs: dict[str, Spans] = {}
        self._tiers: dict[Instant, tuple[str, tuple[str, ...]]] = {}
        self._visits: tuple[tuple[_Visit, Spans], ...] | None = None

    # --- formulas ---

    def when(self, formula: Formula) -> Spans:
        """When every line has a condition that holds; a formula without lines never does."""
        if formula not in self._formulas:
            spans = ALWAYS if formula else ()
            for line in formula:
                spans = _both(spans, _union(span for condition in line for span in self._when(condition)))
            self._formulas[formula] = spans
        return self._formulas[formula]

    def found(self, formula: Formula, at: Instant) -> Found | None:
        """The first condition of each line that holds at an instant, with its facts."""
        if not formula:
            return None
        lines: list[tuple[ConditionKind, tuple[EventId, ...]]] = []
        for line in formula:
            holding = next((condition for condition in line if _holds(self._when(condition), at)), None)
            if holding is None:
                return None
            lines.append((holding.kind, self._facts(holding, at)))
        return Found(tuple(lines))

    def belongs(self, population: Population) -> Spans:
        """When the criteria of a population of focus are met where it has begun."""
        if population.key not in self._belongs:
            self._belongs[population.key] = _both(self.when(population.when), self._launched(population))
        return self._belongs[population.key]

    def grounds_of(self, population: Population, at: Instant) -> tuple[Ground, ...]:
        found = self.found(population.when, at)
        assert found is not None, population.key
        grounds = [Ground(f"{population.key}/{kind}", facts) for kind, facts in found.lines]
        county = self.evidence.member.life.county(at)
        if county is not None:
            grounds.append(Ground(f"{population.key}/county", (county.event_id,)))
        return tuple(grounds)

    def _launched(self, population: Population) -> Spans:
        said = self.evidence.member.life.counties
        begins = {county_named(launch.county): start_of_day(launch.on, self.zone) for launch in population.launch}
        everywhere = begins.get(EVERY_COUNTY, NEVER)
        turns = [BEGINNING, *(entry.at for entry in said), NEVER]
        launches = [everywhere, *(begins.get(county_named(entry.fact.county), everywhere) for entry in said)]
        return _union((max(turns[i], launch), turns[i + 1]) for i, launch in enumerate(launches))

    # --- tiers ---

    def tier(self, at: Instant) -> tuple[str, tuple[str, ...]]:
        """The highest tier of which a rule holds, and the keys of all such rules."""
        if at not in self._tiers:
            self._tiers[at] = self._tier(at)
        return self._tiers[at]

    def _tier(self, at: Instant) -> tuple[str, tuple[str, ...]]:
        tiers = self.policy.follow_up.tiers if self.policy.follow_up else None
        if tiers is None:
            return NO_TIER, ()
        holding = [rule for rule in tiers.rule if _holds(self.when(rule.when), at)]
        tier = next((name for name in tiers.order if any(rule.tier == name for rule in holding)), tiers.otherwise)
        return tier, tuple(rule.key for rule in holding if rule.tier == tier)

    def tier_span(self, since: Instant, until: Instant | None, held: tuple[str, tuple[str, ...]]) -> TierSpan:
        tier, keys = held
        tiers = self.policy.follow_up.tiers if self.policy.follow_up else None
        formulas = {rule.key: rule.when for rule in tiers.rule} if tiers is not None else {}
        founds = ((key, self.found(formulas[key], since)) for key in keys)
        grounds = tuple(Ground(key, found.facts) for key, found in founds if found is not None)
        return TierSpan(since, until, tier, grounds, self.policy.id)

    # --- conditions ---

    def _when(self, condition: Condition) -> Spans:
        if condition not in self._met:
            self._met[condition] = self._count(condition)
        return self._met[condition]

    def _count(self, condition: Condition) -> Spans:
        wanted = 1 if condition.kind is ConditionKind.AGE else condition.at_least
        return self._as_many(wanted, self._counted(condition))

    def _as_many(self, wanted: int, items: Iterable[_Item]) -> Spans:
        """When as much counts as is wanted: a walk along the items' beginnings and ends."""
        if wanted <= 0:
            return ALWAYS
        turns: list[tuple[Instant, int, str, int]] = []
        for item in items:
            turns.append((item.since, 1, item.key, item.weight))
            turns.append((item.until, -1, item.key, item.weight))
        turns.sort()
        active: dict[str, int] = {}
        total, begun, found = 0, None, []
        for place, (instant, step, key, weight) in enumerate(turns):
            before = active.get(key, 0)
            active[key] = before + step
            if (before == 0) != (before + step == 0):
                total += step * weight
            if place + 1 < len(turns) and turns[place + 1][0] == instant:
                continue
            if begun is None and total >= wanted:
                begun = instant
            elif begun is not None and total < wanted:
                found.append((begun, instant))
                begun = None
        assert begun is None or begun == NEVER, wanted
        return _union(found)

    def _facts(self, condition: Condition, at: Instant) -> tuple[EventId, ...]:
        """What a condition that holds rests on: for each key the earliest item, the latest keys first to be named."""
        if condition.kind is ConditionKind.POPULATION:
            return self._facts_of_populations(condition, at)
        first: dict[str, _Item] = {}
        for item in self._counted(condition):
            if item.since <= at < item.until and (item.key not in first or item.since < first[item.key].since):
                first[item.key] = item
        named = sorted(first.values(), key=lambda item: (item.since, item.key))
        named = named[-max(FACTS_PER_GROUND_MAX, condition.at_least) :]
        return tuple(dict.fromkeys(id for item in named for id in item.facts))

    def _counted(self, condition: Condition) -> tuple[_Item, ...]:
        if condition.kind is ConditionKind.AGE:
            return self._ages(condition)
        key = (condition.kind, condition.any_of, condition.within_days)
        if key not in self._items:
            self._items[key] = tuple(item for item in self._look(condition) if item.since < item.until)
        return self._items[key]

    def _look(self, condition: Condition) -> Iterable[_Item]:
        names, days = condition.any_of, condition.within_days
        match condition.kind:
            case ConditionKind.CIRCUMSTANCE:
                return self._circumstances(names, days)
            case ConditionKind.DIAGNOSIS:
                return self._diagnoses(names, days)
            case ConditionKind.VISITS:
                return self._visited(names, days)
            case ConditionKind.AVOIDABLE_VISITS:
                return self._avoidable(names, days)
            case ConditionKind.PLAN_TIER:
                return self._plan_tiers(names)
            case ConditionKind.SCREENING:
                return self._screenings(names, days)
            case ConditionKind.AGE:
                return self._ages(condition)
            case ConditionKind.RACE:
                return self._races(names)
            case ConditionKind.POPULATION:
                return self._populations(names)
            case _:
                assert_never(condition.kind)

    def _out_of_sight(self, day: date, within_days: int) -> Instant:
        """When what happened on a day lies further back than a condition looks."""
        return end_of_day(day + timedelta(days=within_days), self.zone) if within_days else NEVER

    def _day(self, at: Instant) -> date:
        return local_date(at, self.zone)

    def _circumstances(self, names: tuple[str, ...], days: int) -> Iterable[_Item]:
        life = self.evidence.member.life
        for circumstance in (c for c in Circumstance if c in names):
            for span in life.spells(circumstance):
                if circumstance in MOMENTARY and days:
                    yield _Item(circumstance, span.since, self._out_of_sight(self._day(span.since), days), (span.begun_by,))
                    continue
                yield _Item(circumstance, span.since, span.until or NEVER, (span.begun_by,))
                if span.until is not None and span.ended_by is not None and days:
                    gone = self._out_of_sight(self._day(span.until), days)
                    yield _Item(circumstance, span.until, gone, (span.begun_by, span.ended_by))

    def _diagnoses(self, names: tuple[str, ...], days: int) -> Iterable[_Item]:
        """Codes of one category are one diagnosis. With `days`, it has to have been recorded, or recorded again, so lately."""
        groups = self.policy.diagnosis_groups
        beginnings = tuple(undotted(code) for name in names for code in groups.get(name, ()))
        by_code: dict[str, list[Entry]] = {}
        for entry in self.evidence.member.life.diagnoses:
            by_code.setdefault(undotted(entry.fact.code), []).append(entry)
        for code, said in by_code.items():
            if not code.startswith(beginnings):
                continue
            for span in spells_of(said, DiagnosisRecorded, code):
                until = span.until or NEVER
                for entry in (e for e in said if isinstance(e.fact, DiagnosisRecorded) and span.since <= e.at < until):
                    gone = self._out_of_sight(self._day(entry.at), days)
                    yield _Item(code[:CATEGORY_LENGTH], entry.at, min(until, gone), (entry.event_id,))

    def _plan_tiers(self, names: tuple[str, ...]) -> Iterable[_Item]:
        """The plan's last word on its own tier."""
        episode = self.evidence.episode
        said = [(e.at, e.event_id, e.fact.tier) for e in episode.said if isinstance(e.fact, PlanTierReported)]
        if episode.assignment is not None and episode.assignment.plan_tier:
            said.append((episode.assignment.received_at, episode.assigned_by, episode.assignment.plan_tier))
        said.sort()
        wanted = {name.strip().casefold() for name in names}
        for (at, event_id, tier), following in zip_longest(said, said[1:]):
            if tier.strip().casefold() in wanted:
                yield _Item("plan_tier", at, following[0] if following else NEVER, (event_id,))

    def _screenings(self, names: tuple[str, ...], days: int) -> Iterable[_Item]:
        """Each question's last score. A questionnaire without its version stands for all of them."""
        answers: dict[str, list[tuple[Entry, int]]] = {}
        for entry in self.evidence.episode.said:
            if not isinstance(entry.fact, ScreeningAnswered):
                continue
            questionnaire = entry.fact.questionnaire
            known = {questionnaire, questionnaire.partition("@")[0]}
            for question, score in dict(zip(entry.fact.questions, entry.fact.scores, strict=False)).items():
                if any(name in names for said in known for name in (said, f"{said}/{question}")):
                    answers.setdefault(f"{questionnaire.partition('@')[0]}/{question}", []).append((entry, score))
        for key, given in answers.items():
            for (entry, score), following in zip_longest(given, given[1:]):
                gone = self._out_of_sight(self._day(entry.at), days)
                until = min(gone, following[0].at if following else NEVER)
                if score:
                    yield _Item(key, entry.at, until, (entry.event_id,), score)

    def _ages(self, condition: Condition) -> tuple[_Item, ...]:
        born = born_on(self.evidence.member)
        if born is None:
            return ()
        since = start_of_day(birthday(born, condition.at_least), self.zone)
        until = start_of_day(birthday(born, condition.at_most + 1), self.zone)
        return (_Item("age", since, until, (self.evidence.member.born_by,)),)

    def _races(self, names: tuple[str, ...]) -> Iterable[_Item]:
        member = self.evidence.member
        if races_of(member.race_ethnicity) & {_plain(name) for name in names}:
            yield _Item("race", BEGINNING, NEVER, (member.registered_by,))

    # --- populations of focus, as a tier's rule asks for them ---

    def _populations(self, names: tuple[str, ...]) -> Iterable[_Item]:
        """Confirmed by somebody, or met and rejected by nobody."""
        for population in (p for p in self.policy.population if p.key in names):
            words = [*self._words(population.key)]
            spans = [(e, following.at if following else NEVER) for e, following in zip_longest(words, words[1:])]
            confirmed = _union((e.at, until) for e, until in spans if isinstance(e.fact, PopulationConfirmed))
            rejected = _union((e.at, until) for e, until in spans if isinstance(e.fact, PopulationRejected))
            holds = _union((*_without(self.belongs(population), rejected), *confirmed))
            yield from (_Item(population.key, since, until, ()) for since, until in holds)

    def _words(self, key: str) -> Iterable[Entry]:
        """What staff said of a population of focus, yes or no; the last word holds."""
        said = (e for e in self.evidence.confirmed if isinstance(e.fact, PopulationConfirmed | PopulationRejected))
        return (e for e in said if e.fact.population == key)

    def _facts_of_populations(self, condition: Condition, at: Instant) -> tuple[EventId, ...]:
        facts: list[EventId] = []
        for population in (p for p in self.policy.population if p.key in condition.any_of):
            word = [e for e in self._words(population.key) if e.at <= at]
            if word and isinstance(word[-1].fact, PopulationConfirmed):
                facts.append(word[-1].event_id)
            elif not word and _holds(self.belongs(population), at):
                facts.extend(id for ground in self.grounds_of(population, at) for id in ground.facts)
        return tuple(dict.fromkeys(facts))

    # --- visits ---

    def _visited(self, kinds: tuple[str, ...], days: int) -> Iterable[_Item]:
        for visit, since, until in self._counting(kinds, days):
            yield _Item(visit.key, since, until, visit.facts)

    def _avoidable(self, kinds: tuple[str, ...], days: int) -> Iterable[_Item]:
        """Visits while the last word on them, of a person or of a plan's code list, is that they could have been avoided."""
        words = self._words_on_visits()
        for visit, since, until in self._counting(kinds, days):
            said = _last_words(entry for id in visit.ids for entry in words.get(id, ()))
            for entry, following in zip_longest(said, said[1:]):
                upto = min(until, following.at if following else NEVER)
                if entry.fact.avoidable:
                    yield _Item(visit.key, max(since, entry.at), upto, tuple(dict.fromkeys((*visit.facts, entry.event_id))))

    # --- what could be avoidable ---

    def possibly(self, population: Population) -> Spans:
        """When the criteria would be met where the population has begun, were every visit avoidable that nobody found otherwise."""
        spans = self._launched(population)
        for line in population.when:
            lines = (self._possibly(c) if c.kind is ConditionKind.AVOIDABLE_VISITS else self._when(c) for c in line)
            spans = _both(spans, _union(span for found in lines for span in found))
        return spans

    def _possibly(self, condition: Condition) -> Spans:
        words = self._words_on_visits()
        items: list[_Item] = []
        for visit, since, until in self._counting(condition.any_of, condition.within_days):
            said = _last_words(entry for id in visit.ids for entry in words.get(id, ()))
            no = ((e.at, after.at if after else NEVER) for e, after in zip_longest(said, said[1:]) if not e.fact.avoidable)
            spans = _without(((since, until),), _union(no)) if said else ((since, until),)
            items.extend(_Item(visit.key, begins, ends, visit.facts) for begins, ends in spans)
        return self._as_many(condition.at_least, [item for item in items if item.since < item.until])

    def candidates(self, population: Population, alarm: Alarm) -> tuple[tuple[Candidate, ...], tuple[EventId, ...]]:
        """The visits that count now and of which nobody said anything, earliest first, with the facts that tell of them."""
        words = self._words_on_visits()
        found: dict[str, tuple[Candidate, tuple[EventId, ...]]] = {}
        conditions = [c for line in population.when for c in line if c.kind is ConditionKind.AVOIDABLE_VISITS]
        for visit, since, until in (v for c in conditions for v in self._counting(c.any_of, c.within_days)):
            if not alarm.reached(since) or (until < NEVER and alarm.reached(until)):
                continue
            said = [alarm.reached(entry.at) for id in visit.ids for entry in words.get(id, ())]
            if not any(said):
                found[visit.ids[0]] = (Candidate(visit.ids[0], visit.kind, visit.day), visit.facts)
        ordered = sorted(found.values(), key=lambda one: (one[0].on, one[0].visit))[-FACTS_PER_GROUND_MAX:]
        return tuple(one for one, _ in ordered), tuple(dict.fromkeys(id for _, facts in ordered for id in facts))

    def _words_on_visits(self) -> dict[str, list[Entry]]:
        """By the id of a visit or stay: who said whether it could have been avoided."""
        found: dict[str, list[Entry]] = {}
        for entry in self.evidence.member.life.visits:
            if entry.fact.avoidable is not None:
                found.setdefault(entry.fact.visit, []).append(entry)
        return found

    def _counting(self, kinds: tuple[str, ...], days: int) -> Iterable[tuple[_Visit, Instant, Instant]]:
        """The visits of some kinds, with when each counts."""
        for visit, spans in self._all_visits():
            if visit.kind in kinds:
                gone = self._out_of_sight(visit.day, days)
                yield from ((visit, since, min(until, gone)) for since, until in spans if since < gone)

    def _all_visits(self) -> tuple[tuple[_Visit, Spans], ...]:
        """Each visit with when it was one: an emergency until it turned into an admission. Of one kind and day a stay and a
        reported visit are one, told twice."""
        if self._visits is None:
            of_day: dict[tuple[str, date], list[_Told]] = {}
            for told in (*self._stays(), *self._reports()):
                if told.since < told.until:
                    of_day.setdefault((told.kind, told.day), []).append(told)
            visits = [visit for told in of_day.values() for visit in _paired(told)]
            admissions: dict[date, list[_Visit]] = {}
            for visit in visits:
                if visit.kind == VisitKind.INPATIENT:
                    admissions.setdefault(visit.day, []).append(visit)
            self._visits = tuple((visit, _until_admitted(visit, admissions)) for visit in visits)
        return self._visits

    def _stays(self) -> Iterable[_Told]:
        """The stays that are the member's and were not cancelled."""
        for id, attribution in self.evidence.member.stays.items():
            course = self.evidence.stays.get(id)
            admission = course.admission if course is not None else None
            if course is None or admission is None:
                continue
            left = course.discharge.at if course.discharge is not None else None
            at = admission.at or left
            if at is not None:
                day = admission.on or self._day(at)
                last_day = max(day, self._day(left)) if left is not None else day + ONE_DAY
                facts = (attribution.event_id, *admission.cause)
                yield _Told(id, True, course.stay_class, day, last_day, at, NEVER, facts, left)

    def _reports(self) -> Iterable[_Told]:
        """What was reported, each until it was reported otherwise."""
        said: dict[str, list[Entry]] = {}
        for entry in self.evidence.member.life.visits:
            if isinstance(entry.fact, VisitReported):
                said.setdefault(entry.fact.visit, []).append(entry)
        for id, reports in said.items():
            for entry, following in zip_longest(reports, reports[1:]):
                fact = entry.fact
                since = max(entry.at, start_of_day(fact.on, self.zone))
                until = following.at if following else NEVER
                yield _Told(id, False, fact.kind, fact.on, fact.on + ONE_DAY, since, until, (entry.event_id,))


SIGHTS_MAX = 2_000
"""So many members' evidence is remembered, each under one policy."""

_known_sights = memory(SIGHTS_MAX)


def _sight(evidence: Evidence, policy: Policy) -> _Sight:
    """The evidence under a policy: the one that was made before, as long as nothing that it looks at is another."""
    return _known_sights(Same(lambda: _Sight(evidence, policy), policy, *looked_at(evidence)))


def looked_at(evidence: Evidence) -> tuple[Any, ...]:
    """All of the evidence that any rule looks at."""
    member, episode = evidence.member, evidence.episode
    told = (e for e in episode.said if isinstance(e.fact, (PlanTierReported, ScreeningAnswered)))
    words = (e for e in evidence.confirmed if isinstance(e.fact, (PopulationConfirmed, PopulationRejected)))
    return (
        member.life, member.stays, member.birth_date, member.born_by, member.race_ethnicity, member.registered_by,
        episode.assignment, episode.assigned_by, *told, *words, *evidence.stays, *evidence.stays.values(),
    )  # fmt: skip


def _paired(told: list[_Told]) -> Iterable[_Visit]:
    """The visits of one kind and day: between any two turns the first that a hospital tells of is the first of the claims. What
    both tell of rests on the hospital's word."""
    if len(told) == 1:
        (only,) = told
        yield _visit((only,), 0, only.since, only.until)
        return
    turns = sorted({turn for one in told for turn in (one.since, one.until)})
    for since, until in pairwise(turns):
        active = sorted((one for one in told if one.since <= since < one.until), key=lambda one: one.id)
        stays = [one for one in active if one.by_hospital]
        claims = [one for one in active if not one.by_hospital]
        for place, pair in enumerate(zip_longest(stays, claims)):
            yield _visit(tuple(one for one in pair if one is not None), place, since, until)


def _visit(told: tuple[_Told, ...], place: int, since: Instant, until: Instant) -> _Visit:
    first = told[0]
    key = f"{first.kind}/{first.day}/{place}"
    came = first.since if first.by_hospital else None
    ids = tuple(one.id for one in told)
    return _Visit(key, ids, first.kind, first.day, first.last_day, since, until, first.facts, came, first.left)


def _until_admitted(visit: _Visit, admissions: Mapping[date, list[_Visit]]) -> Spans:
    """An emergency visit that ended in an admission counts as inpatient only (G p21), also where that was after midnight."""
    spans: Spans = ((visit.since, visit.until),)
    if visit.kind != VisitKind.EMERGENCY:
        return spans
    days = (visit.day + timedelta(days=ahead) for ahead in range((visit.last_day - visit.day).days + 1))
    became = [stay for day in days for stay in admissions.get(day, ())]
    if visit.left is not None:
        left, soon = visit.left, admissions.get(visit.last_day + ONE_DAY, ())
        became += [stay for stay in soon if stay.came is not None and left <= stay.came <= left + ADMITTED_WITHIN]
    admitted = _union((stay.since, stay.until) for stay in became)
    return _without(spans, admitted) if admitted else spans


def _last_words(said: Iterable[Entry]) -> list[Entry]:
    """Whether a visit could have been avoided, in the order of the world: once a person has said so, no claim outweighs it."""
    ordered = sorted(said, key=lambda e: (e.at, isinstance(e.fact, VisitJudged), e.event_id))
    judged = next((e.at for e in ordered if isinstance(e.fact, VisitJudged)), NEVER)
    return [e for e in ordered if isinstance(e.fact, VisitJudged) or e.at < judged]
