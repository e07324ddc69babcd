"""A file of distributions: what a simulated programme is drawn from. Reading it, and what is wrong with one.

The shape says which numbers there must be; `Figure`, `Range` and the like say of each its unit and its source.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import msgspec

from domain.member.circumstances import Circumstance

HERE = Path(__file__).parent
DEFAULT = HERE / "default.toml"
MEMBERS_MAX = 20_000


class DistributionsRefused(ValueError):
    """A file that is no programme: `field` says which place of it, `remedy` what to do."""

    def __init__(self, field: str, said: str, remedy: str) -> None:
        super().__init__(said)
        self.field, self.said, self.remedy = field, said, remedy


class _Sourced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    unit: str
    source: str


class Figure(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One number."""

    is_: float = msgspec.field(name="is")


class Range(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Evenly spread from `low` to `high`."""

    low: float
    high: float

    def at(self, throw: float) -> float:
        """The value at a throw from 0 to 1."""
        return self.low + throw * (self.high - self.low)


class Shares(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A share for each name."""

    of: dict[str, float]


class Percents(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whole percents that go round the people of a team."""

    of: tuple[int, ...]


class Tongues(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sets of languages that go round the people of a team."""

    of: tuple[tuple[str, ...], ...]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Members(_Part, frozen=True, kw_only=True):
    count: Figure


class Population(_Part, frozen=True, kw_only=True):
    """Members whom one plan's files name, and who are alike in how they answer and what happens to them."""

    name: str
    plan: str
    share: Figure
    arrive_within_days: Figure
    findable: Figure
    answers_call: Figure
    answers_visit: Figure
    agrees: Figure
    keeps_contact: Figure
    languages: Shares
    diagnoses: Shares
    circumstances: Shares
    stays: Figure
    emergencies: Figure
    deaths: Figure
    withdrawals: Figure


class Post(_Part, frozen=True, kw_only=True):
    """People of one kind: as many as the members need at so many to one full-time post."""

    members_per_full_time: Figure
    full_time: Percents
    languages: Tongues
    leave_days: Figure


class Team(Post, frozen=True, kw_only=True):
    """Care managers of some populations."""

    name: str
    populations: tuple[str, ...]


class Week(_Part, frozen=True, kw_only=True):
    full_time_minutes: Figure
    for_members: Figure
    look_ahead_days: Figure


class Minutes(_Part, frozen=True, kw_only=True):
    """How long things take."""

    call_answered: Range
    call_in_vain: Range
    visit: Range
    visit_in_vain: Range
    letter: Range
    enrolment: Range
    assessment: Range
    care_plan: Range
    clinical_review: Range
    reconciliation: Range
    paperwork: Range
    decision: Range
    interpreter: Figure


class Hospital(_Part, frozen=True, kw_only=True):
    stay_days: Range
    emergency_hours: Range
    word_after_hours: Range


class HealthPlan(_Part, frozen=True, kw_only=True):
    authorises_after_days: Range
    told_after_days: Range


class Distributions(_Part, frozen=True, kw_only=True):
    """One invented programme."""

    begins_on: date
    members: Members
    population: tuple[Population, ...]
    team: tuple[Team, ...]
    nurses: Post
    supervisors: Post
    week: Week
    minutes: Minutes
    hospital: Hospital
    health_plan: HealthPlan

    def team_of(self, population: str) -> Team:
        return next(team for team in self.team if population in team.populations)


def read_distributions(text: str) -> Distributions:
    """The programme that a file describes. Raises DistributionsRefused with the first mistake."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DistributionsRefused("the file", f"is not TOML: {error}", "mend that line") from None
    try:
        found = msgspec.convert(table, Distributions, strict=False)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        remedy = "see simulation/distributions/default.toml, in which every number stands with unit and source"
        raise DistributionsRefused(place.strip("`.") or "the file", said, remedy) from None
    _refuse_contradictions(found)
    return found


def _refuse_contradictions(found: Distributions) -> None:
    for place, value in numbers(found):
        _refuse_number(place, value)
    names = [population.name for population in found.population]
    if len(set(names)) != len(names) or not names:
        raise DistributionsRefused("population", "needs names, each once", "name every population differently")
    total = sum(population.share.is_ for population in found.population)
    if abs(total - 1) > 0.001:
        raise DistributionsRefused("population.share", f"adds up to {total:.3f}", "make the shares add up to 1")
    for population in found.population:
        unknown = set(population.circumstances.of) - set(Circumstance)
        if unknown:
            place = f"population[{population.name}].circumstances"
            raise DistributionsRefused(place, f"{sorted(unknown)[0]!r} is not known", f"one of {', '.join(Circumstance)}")
        if abs(sum(population.languages.of.values()) - 1) > 0.001:
            raise DistributionsRefused(f"population[{population.name}].languages", "does not add up to 1", "make the shares do so")
        serving = [team.name for team in found.team if population.name in team.populations]
        if len(serving) != 1:
            place = f"population[{population.name}]"
            raise DistributionsRefused(place, f"is served by {len(serving)} teams", "name it under one team's populations")
    for team in found.team:
        if strange := set(team.populations) - set(names):
            raise DistributionsRefused(f"team[{team.name}].populations", f"{sorted(strange)[0]!r} is not there", "name one that is")
    posts = {"nurses": found.nurses, "supervisors": found.supervisors, **{f"team[{team.name}]": team for team in found.team}}
    for place, post in posts.items():
        if post.members_per_full_time.is_ < 1:
            raise DistributionsRefused(f"{place}.members_per_full_time", "must be at least 1", "give one post at least one member")
        if not post.full_time.of or not all(1 <= percent <= 100 for percent in post.full_time.of):
            raise DistributionsRefused(f"{place}.full_time", "must be percents from 1 to 100", "name at least one")
        if not post.languages.of or not all(post.languages.of):
            raise DistributionsRefused(f"{place}.languages", "is empty", "name at least one language for each")
    if not 1 <= found.members.count.is_ <= MEMBERS_MAX:
        raise DistributionsRefused("members.count", f"must lie between 1 and {MEMBERS_MAX}", "ask for fewer members")


def _refuse_number(place: str, value: _Sourced) -> None:
    numbers: tuple[float, ...] = ()
    match value:
        case Figure(is_=number):
            numbers = (number,)
        case Range(low=low, high=high):
            numbers = (low, high)
        case Shares(of=shares):
            numbers = tuple(shares.values())
        case Percents(of=percents):
            numbers = percents
    if not value.unit or not value.source:
        raise DistributionsRefused(place, "has no unit or no source", 'say both; where nobody says so: "our own assumption"')
    if any(number < 0 or number != number or number == float("inf") for number in numbers):
        raise DistributionsRefused(place, "must be a number from 0 on", "give a share, a count or a time")
    if value.unit.startswith("share") and any(number > 1 for number in numbers):
        raise DistributionsRefused(place, "is a share, and more than 1", "give it as 0.25 for a quarter")
    if isinstance(value, Range) and value.high < value.low:
        raise DistributionsRefused(place, "ends before it begins", "give low, then high")


def numbers(part: msgspec.Struct, place: str = "") -> list[tuple[str, _Sourced]]:
    """Every number of the file with its place."""
    found: list[tuple[str, _Sourced]] = []
    for name in part.__struct_fields__:
        value, where = getattr(part, name), f"{place}.{name}" if place else name
        if isinstance(value, _Sourced):
            found.append((where, value))
        elif isinstance(value, msgspec.Struct):
            found += numbers(value, where)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, msgspec.Struct):
                    found += numbers(item, f"{where}[{getattr(item, 'name', index)}]")
    return found
