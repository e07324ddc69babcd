"""Who works in the simulated programme, and what the minutes of their days go to.

Everybody has a share of full time, leave, languages, perhaps a licence, and so many minutes a day. What there are no minutes for
waits for the next day: it is done late, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import ceil

from domain.core import StreamId
from domain.staff.facts import Licence, Role
from simulation.distributions.reading import Distributions, Post
from simulation.throws import Throws

WORKING_DAYS = 5
LEAVE_BLOCK_DAYS = 5
"""Leave is taken by the week."""


class TooFewStaff(ValueError):
    """Fewer care managers than teams."""


@dataclass
class Worker:
    """One of the staff. By the Monday of a week: `spent`, minutes; `waiting`, minutes of what was due by its end and was not done;
    `carried`, the members they led."""

    stream: StreamId
    name: str
    team: str
    role: Role
    percent: int
    languages: tuple[str, ...]
    day_minutes: float
    licence: Licence | None = None
    leave: frozenset[date] = frozenset()
    left_today: float = 0.0
    balance: float = 0.0
    spent: dict[date, float] = field(default_factory=lambda: defaultdict(float))
    waiting: dict[date, float] = field(default_factory=lambda: defaultdict(float))
    carried: dict[date, int] = field(default_factory=lambda: defaultdict(int))

    def present(self, day: date) -> bool:
        return day.isoweekday() <= WORKING_DAYS and day not in self.leave

    def begin(self, day: date) -> None:
        """The minutes of a day; what the last work of an earlier day ran over is taken off."""
        if self.present(day):
            self.left_today = self.balance = self.day_minutes + min(0.0, self.balance)
        else:
            self.left_today = 0.0

    def spend(self, minutes: float, day: date) -> None:
        self.left_today = self.balance = self.left_today - minutes
        self.spent[monday(day)] += minutes

    def available(self, week: date) -> float:
        """The minutes of a week, its leave taken off."""
        return sum(self.day_minutes for n in range(WORKING_DAYS) if self.present(week + timedelta(days=n)))

    @property
    def posts(self) -> float:
        return self.percent / 100


def monday(day: date) -> date:
    return day - timedelta(days=day.isoweekday() - 1)


def hire(found: Distributions, members: int, care_managers: int | None, days: int, throws: Throws) -> tuple[Worker, ...]:
    """The staff that so many members need by the data; or so many care managers, spread over the teams as the data would.

    Raises TooFewStaff where a team would have nobody."""
    wanted = []
    for team in found.team:
        served = sum(p.share.is_ for p in found.population if p.name in team.populations) * members
        wanted.append((team, served / team.members_per_full_time.is_))
    if care_managers is None:
        sizes = [_people(team, posts) for team, posts in wanted]
    else:
        if care_managers < len(wanted):
            raise TooFewStaff(f"{care_managers} care managers are fewer than the {len(wanted)} teams of the data")
        sizes = _spread(care_managers, [posts for _, posts in wanted])
    managers = (
        worker
        for (team, _), size in zip(wanted, sizes, strict=True)
        for worker in _people_of(found, team, team.name, Role.CARE_MANAGER, size, days, throws)
    )
    nurses = _people(found.nurses, members / found.nurses.members_per_full_time.is_)
    bosses = _people(found.supervisors, members / found.supervisors.members_per_full_time.is_)
    return (
        *managers,
        *_people_of(found, found.nurses, "nurse", Role.CARE_MANAGER, nurses, days, throws, Licence.RN),
        *_people_of(found, found.supervisors, "supervisor", Role.SUPERVISOR, bosses, days, throws),
    )


def _people(post: Post, full_time: float) -> int:
    """How many people fill so many full-time posts, their shares going round; at least one."""
    filled, count = 0.0, 0
    while count == 0 or filled < full_time - 0.05:
        filled += post.full_time.of[count % len(post.full_time.of)] / 100
        count += 1
    return count


def _spread(count: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion, each at least 1, that add up to the count. More never makes one of them smaller."""
    sizes = [1] * len(weights)
    for _ in range(count - len(weights)):
        poorest = max(range(len(weights)), key=lambda n: weights[n] / sizes[n])
        sizes[poorest] += 1
    return sizes


def _people_of(
    found: Distributions, post: Post, team: str, role: Role, size: int, days: int, throws: Throws, licence: Licence | None = None
) -> Iterator[Worker]:
    for number in range(1, size + 1):
        percent = post.full_time.of[(number - 1) % len(post.full_time.of)]
        name = f"{team} {number}"
        weekly = found.week.full_time_minutes.is_ * found.week.for_members.is_ * percent / 100
        yield Worker(
            stream=f"staff-{name.replace(' ', '.')}",
            name=name,
            team=team,
            role=role,
            percent=percent,
            languages=post.languages.of[(number - 1) % len(post.languages.of)],
            day_minutes=weekly / WORKING_DAYS,
            licence=licence,
            leave=frozenset(_leave(found.begins_on, days, post.leave_days.is_, name, throws)),
        )


def _leave(first: date, days: int, leave_days: float, name: str, throws: Throws) -> Iterator[date]:
    """Whole weeks, somewhere in each equal part of the time."""
    blocks = round(leave_days * days / 365 / LEAVE_BLOCK_DAYS)
    weeks = ceil(days / 7)
    for block in range(blocks):
        week = int((block + throws.of("leave", name, block)) * weeks / blocks)
        begins = monday(first) + timedelta(weeks=week)
        yield from (begins + timedelta(days=n) for n in range(LEAVE_BLOCK_DAYS))
