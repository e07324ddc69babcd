"""The simulated year: same seed, same year; finite minutes; who may do what; what the data promise; what a bad file is told."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from domain.core import Instant
from domain.episode.care_plans import CarePlanReviewed
from domain.episode.facts import LeadCareManagerAssigned
from domain.followup.facts import FollowUpAttemptMade, FollowUpContactMade
from domain.outreach.facts import AttemptMade
from domain.policy import Policy, PolicyBook, read_policy
from domain.staff.facts import Licence
from simulation.distributions.reading import (
    DEFAULT,
    Distributions,
    DistributionsRefused,
    numbers,
    read_distributions,
)
from simulation.findings import Findings, findings
from simulation.plots import draw
from simulation.programme_year import ProgrammeYear
from simulation.tables import write_tables
from simulation.throws import Throws
from simulation.workload import TooFewStaff
from tests.given import POLICIES, varied

SEEDS = (1, 2, 3)
OWN = {policy.plan: policy for policy in (read_policy(file.read_text()) for file in sorted(POLICIES.glob("*.toml")))}
DATA = read_distributions(DEFAULT.read_text())


def book(**other: Policy) -> PolicyBook:
    found = PolicyBook()
    for policy in {**OWN, **other}.values():
        found = found.with_adopted(policy)
    return found


def year(
    seed: int = 1, *, members: int = 30, days: int = 60, staff: int | None = None, data: Distributions = DATA
) -> ProgrammeYear:
    return ProgrammeYear(data, book(), Throws(seed), members, days, staff).run()


@cache
def half_a_year() -> ProgrammeYear:
    return year(members=14, days=150, data=mostly("referred by a hospital", arrive_within_days=10))


def changed(path: str, value: Any, data: Distributions = DATA) -> Distributions:
    """The data with one number changed, by its path."""
    names = path.split(".")
    parts: list[Any] = [data]
    for name in names[:-1]:
        parts.append(getattr(parts[-1], name))
    for part, name in zip(reversed(parts), reversed(names), strict=True):
        value = msgspec.structs.replace(part, **{name: value})
    assert isinstance(value, Distributions)
    return value


def mostly(population: str, **numbers_: float) -> Distributions:
    """All members of one population, with some of its numbers changed."""
    found = []
    for p in DATA.population:
        share = 1.0 if p.name == population else 0.0
        told = {"share": share, **numbers_} if p.name == population else {"share": share}
        new = {name: msgspec.structs.replace(getattr(p, name), is_=value) for name, value in told.items()}
        found.append(msgspec.structs.replace(p, **new))
    return msgspec.structs.replace(DATA, population=tuple(found))


# --- runs ----------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_year_and_another_seed_another() -> None:
    one, again, other = (findings(year(seed)) for seed in (1, 1, 2))
    assert one == again
    assert one.promises != other.promises


def test_the_rules_allow_what_the_simulated_people_do() -> None:
    assert half_a_year().refused == []


def test_half_a_year_holds_what_half_a_year_holds() -> None:
    found = findings(half_a_year())
    rules = {p.rule for p in found.promises if p.judged}
    assert {"initial_contact.contact", "followup.contact", "followup.assessment.complete", "transition.call"} <= rules
    kinds = dict(found.contacts)
    assert kinds["follow-up: phone"] and kinds["follow-up: in_person"] and kinds["outreach: call, in vain"]
    assert sum(count for _, count in found.tiers) == sum(e.enrolled for e in found.enrolments) > 0
    assert all(sum((p.met, p.met_late, p.missed, p.infeasible)) == p.judged for p in found.promises)


# --- staff ---------------------------------------------------------------------------------------------------------------------


def done_badly(staff: int, seed: int) -> int:
    """Promises missed or kept late in five weeks by people who have few minutes."""
    short_of_time = changed("week.for_members", msgspec.structs.replace(DATA.week.for_members, is_=0.08))
    told = findings(year(seed, members=45, days=35, staff=staff, data=short_of_time)).all_promises
    return told.missed + told.met_late


@pytest.mark.parametrize("seed", SEEDS)
def test_load_above_capacity_gives_misses_and_more_staff_fewer_of_them(seed: int) -> None:
    few, more, many = (done_badly(staff, seed) for staff in (3, 6, 12))
    assert few > more >= many


def test_minutes_are_finite() -> None:
    """Nobody spends more than the minutes of a week, but for the last work of a day, which is finished."""
    longest = DATA.minutes.assessment.high * DATA.minutes.interpreter.is_ + DATA.minutes.enrolment.high
    run = half_a_year()
    for worker in run.staff:
        for week, minutes in worker.spent.items():
            assert minutes <= worker.available(week) + longest, (worker.name, week)


def actors(run: ProgrammeYear, *kinds: type) -> list[tuple[str, Instant]]:
    return [(r.actor, r.recorded_at) for r in run.core.log if isinstance(r.fact, kinds) and r.actor.startswith("staff-")]


def test_nobody_works_while_on_leave() -> None:
    run = half_a_year()
    leave = {worker.stream: worker.leave for worker in run.staff}
    assert any(leave.values())
    done = actors(run, AttemptMade, FollowUpContactMade, FollowUpAttemptMade)
    assert done
    assert not [who for who, at in done if at.date() in leave[who]]


def test_what_needs_a_licence_is_done_by_who_has_it() -> None:
    run = half_a_year()
    licensed = {worker.stream for worker in run.staff if worker.licence is Licence.RN}
    reviewed = actors(run, CarePlanReviewed)
    assert reviewed and {who for who, _ in reviewed} <= licensed


def test_members_are_given_to_who_speaks_their_language() -> None:
    run = year(members=120, days=10, data=mostly("plan list", arrive_within_days=3))
    tongues = {worker.stream: worker.languages for worker in run.staff}
    led = [(r.stream, r.fact.staff) for r in run.core.log if isinstance(r.fact, LeadCareManagerAssigned)]
    languages = {member.episode: member.language for member in run.cast}
    spoken = {language for worker in run.staff for language in worker.languages if worker.team == "field"}
    assert led and all(languages[episode] in tongues[lead] for episode, lead in led if languages[episode] in spoken)


def test_too_few_staff_for_the_teams_is_refused() -> None:
    with pytest.raises(TooFewStaff, match="3 teams"):
        year(staff=2)


# --- the ranges of domain.md ---------------------------------------------------------------------------------------------------


@cache
def spring() -> tuple[Findings, ...]:
    """The whole default programme, for as long as most of the outreach lasts."""
    return (findings(year(members=round(DATA.members.count.is_), days=56)),)


def test_the_default_enrols_from_one_to_sixty_in_a_hundred() -> None:
    """S1: 1 %-60 % of those targeted."""
    stale = spring()[0].enrolments[0]
    referred = findings(year(members=30, days=42, data=mostly("referred by a hospital", arrive_within_days=7))).enrolments[-1]
    assert (stale.population, stale.assigned) == ("stale list", 150)
    assert 0.0 <= stale.success <= 0.03
    assert 0.4 <= referred.success <= 0.8


@pytest.mark.parametrize(("findable", "agrees", "least", "most"), [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.9, 1.0)])
def test_the_data_reach_both_ends(findable: float, agrees: float, least: float, most: float) -> None:
    data = mostly("referred by a hospital", findable=findable, agrees=agrees, answers_call=0.9, arrive_within_days=3)
    enrolled = findings(year(members=20, days=42, data=data)).enrolments[-1]
    assert enrolled.assigned == 20
    assert least <= enrolled.success <= most


def test_the_default_caseloads_lie_between_one_to_eight_and_one_to_150() -> None:
    """S1: ratios from 1:8 to 1:150."""
    found = spring()[0]
    of_team = {case.team: case.most_per_full_time for case in found.caseloads}
    assert 6 <= of_team["street"] <= 10
    assert 140 <= of_team["telephone"] <= 150
    assert of_team["street"] < of_team["field"] < of_team["telephone"]


def test_default_load_is_above_capacity_somewhere_and_it_shows() -> None:
    found = spring()[0]
    assert any(week.load is not None and week.load > 1 for week in found.weeks)
    assert found.all_promises.missed > 0


# --- two policies --------------------------------------------------------------------------------------------------------------


def test_the_same_policy_gives_the_same_year_and_a_stricter_one_another() -> None:
    first, same = findings(year()), findings(year())
    assert first == same
    stricter = varied(OWN["coast-care"], initial_contact__days=3)
    run = ProgrammeYear(DATA, book(**{"coast-care": stricter}), Throws(1), 30, 60).run()
    other = findings(run)
    assert other.all_promises != first.all_promises
    assert [e.assigned for e in other.enrolments] == [e.assigned for e in first.enrolments]


# --- files ---------------------------------------------------------------------------------------------------------------------


def test_every_number_says_its_unit_and_its_source() -> None:
    found = numbers(DATA)
    assert len(found) > 80
    assert all(number.unit and number.source for _, number in found)
    assert any("S1" in number.source for _, number in found)


@pytest.mark.parametrize(
    ("written", "instead", "field", "said"),
    [
        ("is = 0.75", "is = 0.7", "population.share", "adds up to"),
        ("is = 0.12", "is = 1.2", "population[stale list].findable", "share"),
        ("is = 0.12", 'is = "many"', "population[0].findable.is", "Expected"),
        ("low = 12", "low = 120", "minutes.call_answered", "ends before it begins"),
        ("food_insecure = 0.2", "hungry = 0.2", "population[stale list].circumstances", "hungry"),
        ('populations = ["homeless adults"]', 'populations = ["nobody"]', "population[homeless adults]", "0 teams"),
        ("unit = \"members\", source = \"our own assumption\"", 'unit = "", source = "x"', "members.count", "no unit"),
        ("begins_on", "begins", "the file", "begins"),
        ("[members]", "[members", "the file", "TOML"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_place_and_a_remedy(written: str, instead: str, field: str, said: str) -> None:
    text = DEFAULT.read_text()
    assert written in text
    with pytest.raises(DistributionsRefused) as refused:
        read_distributions(text.replace(written, instead, 1))
    assert refused.value.field == field
    assert said in refused.value.said
    assert refused.value.remedy


def test_tables_and_pictures_are_written(tmp_path: Path) -> None:
    found = findings(year(members=12, days=30))
    tables = write_tables(found, tmp_path / "tables")
    assert all(table.read_text().count("\n") >= 1 for table in tables)
    assert "initial_contact" in (tmp_path / "tables" / "promises.csv").read_text()
    for pictures in (draw([("", found)], tmp_path / "one"), draw([("first", found), ("second", found)], tmp_path / "two")):
        for picture in pictures:
            assert ElementTree.parse(picture).getroot().tag.endswith("svg")
