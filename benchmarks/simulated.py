"""P12: how many member-years a second go through the pure core, on one core.

A member-year is an enrolled member's year as `throughline simulate` lives it: each fact decided and folded, each process planned
until it is quiet, the staff's days included. Only years of at least 100 facts count; the time of any other is charged to them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from benchmarks.ground import Ground
from benchmarks.table import Measured, NotMeasured, Row, in_turns, told_only
from domain.policy import PolicyBook, read_policy
from simulation.distributions.reading import DEFAULT, Distributions, Population, read_distributions
from simulation.programme_year import ProgrammeYear
from simulation.throws import Throws
from workers.first_policies import POLICIES

MEMBERS, DAYS = 8, 372
FACTS_MIN = 100
GOAL = 100.0
"""Member-years a second."""

ROUNDS = 400_000
LOOP = "rounds of a loop of pure Python a second"


@dataclass(frozen=True, slots=True)
class Lived:
    """One run: whole years of at least `FACTS_MIN` facts, all facts, all plans, seconds of this process's own time."""

    years: int
    facts: int
    plans: int
    seconds: float


def rows(ground: Ground) -> Iterator[Row]:
    """P12, and what a fact and a plan cost."""
    data, book = programme(), own_policies()
    lived: list[Lived] = []

    def years_a_second() -> float:
        lived.append(live(data, book))
        return lived[-1].years / lived[-1].seconds

    measured, loop = in_turns(years_a_second, rounds_a_second)
    what = f"simulated member-years of at least {FACTS_MIN} facts, one core"
    yield replace(told_only("P12", what, measured, "1/s", LOOP, loop), goal=f">= {GOAL:g} a second", met=measured.median >= GOAL)
    plans = Measured(tuple(run.plans / run.seconds for run in lived))
    facts = Measured(tuple(run.facts / run.seconds for run in lived))
    yield told_only("P12-plans", "of it: plans made", plans, "1/s", LOOP, loop)
    yield told_only("P12-facts", "of it: facts decided, folded and routed", facts, "1/s", LOOP, loop)


def programme() -> Distributions:
    """Members who all enrol in the first days, stay for the year, and have a contact a month as the default policy has it for most:
    a year of little more than the facts that are asked for."""
    found = read_distributions(DEFAULT.read_text())
    population = tuple(_enrolling(p, 1.0 if p.name == "referred by a hospital" else 0.0) for p in found.population)
    return msgspec.structs.replace(found, population=population)


def _enrolling(population: Population, share: float) -> Population:
    numbers = {
        "share": share, "arrive_within_days": 1, "findable": 1, "answers_call": 1, "answers_visit": 1, "agrees": 1, "deaths": 0,
        "withdrawals": 0, "stays": 0.25, "emergencies": 0.5,
    }  # fmt: skip
    changed = {name: msgspec.structs.replace(getattr(population, name), is_=float(value)) for name, value in numbers.items()}
    healthy = msgspec.structs.replace(population.diagnoses, of={"I10": 1.0})
    return msgspec.structs.replace(population, diagnoses=healthy, **changed)


def own_policies() -> PolicyBook:
    book = PolicyBook()
    for file in sorted(POLICIES.glob("*.toml")):
        book = book.with_adopted(read_policy(file.read_text()))
    return book


def live(data: Distributions, book: PolicyBook) -> Lived:
    """A year of so many members, seed 1. Raises NotMeasured where no year has the facts that are asked for."""
    run = ProgrammeYear(data, book, Throws(1), MEMBERS, DAYS)
    began = time.process_time()
    run.run()
    seconds = time.process_time() - began
    of_member = Counter(r.stream.partition("-")[2].partition("i")[0].partition("e")[0] for r in run.core.log)
    years = sum(1 for member in run.cast if of_member[str(member.number)] >= FACTS_MIN)
    if not years or run.refused:
        raise NotMeasured(f"{years} of {MEMBERS} members have {FACTS_MIN} facts; the rules refused {len(run.refused)} commands")
    return Lived(years, len(run.core.log), run.core.plans_made, seconds)


def rounds_a_second() -> float:
    """What this core is worth in pure Python, in the same run: a loop with a dictionary and an addition."""
    began, counts = time.process_time(), dict[int, int]()
    for number in range(ROUNDS):
        counts[number & 1023] = counts.get(number & 1023, 0) + number
    return ROUNDS / (time.process_time() - began)
