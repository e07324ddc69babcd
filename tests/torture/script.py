"""What the outside world does in a run: members, their lives and days, all from one seed. Pure: two runs of a seed perform the
same script.

Each happening has an instant in the world and one at which somebody tells us: some hear of it a day later. World time lies ahead of
the machine's clock, because activities take the later of Temporal's clock and ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from random import Random

from domain.core import Instant
from simulation.desk import local
from simulation.lives import Scene
from simulation.people import Person, cast
from tests.torture import members

START = date(2027, 3, 1)
"""A Monday. Two weeks later clocks are put forward; a holiday of the state follows at the end of the month."""

OPENS_AT = 7.0
PLANS = ("default", "valley-health", "coast-care")
ARRIVE_DAYS_MAX = 10
"""Members arrive within so many days (a third of the run where that is longer)."""

LATE_MINUTES_MAX = 25
LATE_HOURS_MAX = 20
LATE_PERCENT = 12
"""Of a hundred things so many are told up to a day late: within the grace of every policy."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens to some people at an instant, and when it is told. `id` is the same in every run of the seed."""

    id: str
    at: Instant
    arrives_at: Instant
    people: tuple[Person, ...]
    what: str
    with_: str = ""

    @property
    def person(self) -> Person:
        assert len(self.people) == 1, self.what
        return self.people[0]


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that happens in a run. `lives`: which life each person leads, by number. `happenings` in order of telling."""

    seed: int
    start: Instant
    stop: Instant
    people: tuple[Person, ...]
    lives: Mapping[int, str]
    happenings: tuple[Happening, ...]


def _(day: int, hour: float, what: str, with_: str = "") -> Scene:
    return Scene(day, hour, what, with_)


REACHED = (_(1, 10, "call", "no_answer"), _(3, 15.5, "call", "voicemail"), _(5, 11, "call", "reached"), _(6, 13, "enrol"))
AFTER_ENROLMENT = (_(20, 11, "follow_up"), _(34, 10, "follow_up"), _(50, 15, "follow_up_attempt"), _(52, 10, "follow_up"))

LIVES: dict[str, tuple[Scene, ...]] = {
    "reached": (*REACHED, _(7, 10, "diagnose", "I10"), *AFTER_ENROLMENT),
    "visited": (_(1, 17, "call", "no_answer"), _(4, 11, "call", "wrong_number"), _(5, 14, "visit", "reached"), _(8, 10, "enrol")),
    "too_late": (_(2, 10, "call", "voicemail"), _(6, 14, "call", "no_answer"), _(13, 11, "call", "reached"), _(14, 9, "enrol")),
    "declined": (
        _(1, 3, "emergency"), _(1, 7, "sent_home"),
        _(2, 9.5, "call", "voicemail"), _(4, 16, "call", "reached"), _(4, 16.5, "decline"),
    ),
    "never_found": (
        _(0, 22, "admit"), _(2, 11, "discharge"),
        _(1, 10, "call", "no_answer"), _(3, 17, "call", "voicemail"), _(6, 14, "visit", "not_there"), _(9, 10, "call", "no_answer"),
        _(16, 11, "call", "voicemail"), _(23, 15, "visit", "not_there"),
    ),
    "stopped_texts": (_(2, 12, "stop_texts"), _(3, 10, "call", "no_answer"), _(8, 16, "visit", "reached"), _(9, 9, "enrol")),
    "hospital": (
        *REACHED, _(7, 21, "admit"), _(9, 15, "discharge"), _(10, 10.5, "talk", "call synchronous_interaction"),
        _(11, 9, "item", "discharge_document"), _(13, 15, "visit_home", "visit"), _(16, 10, "item", "follow_up_appointment"),
        *AFTER_ENROLMENT,
    ),
    "hospital_forgotten": (*REACHED, _(7, 3, "admit"), _(9, 11, "discharge"), _(11, 10, "leave_word"), _(40, 14, "talk")),
    "hospital_twice": (
        *REACHED, _(7, 20, "admit"), _(8, 15, "discharge"), _(9, 10, "talk", "call"), _(11, 4, "admit"), _(13, 13, "discharge"),
        _(14, 10, "talk", "call synchronous_interaction"), _(16, 14, "visit_home", "visit"),
    ),
    "emergency": (*REACHED, _(8, 23, "emergency"), _(9, 4, "sent_home"), _(30, 22, "emergency"), _(31, 2, "sent_home")),
    "admitted_in_error": (*REACHED, _(8, 9, "admit"), _(8, 13, "cancel_admission")),
    "discharged_in_error": (
        *REACHED, _(7, 9, "admit"), _(9, 10, "discharge"), _(9, 16, "cancel_discharge"), _(11, 12, "discharge"),
    ),
    "discharge_corrected": (
        *REACHED, _(7, 9, "admit"), _(9, 18, "discharge"), _(10, 12, "correct_discharge"), _(11, 10, "talk", "call"),
    ),
    "uncovered": (
        *REACHED[:2], _(4, 1, "lose_coverage"), _(9, 9, "restore_coverage"), _(11, 10, "call", "reached"), _(12, 9, "enrol"),
    ),
    "died": (*REACHED, _(11, 8, "death")),
    "bedside": (
        _(1, 10, "call", "no_answer"), _(2, 22, "admit"), _(4, 11, "visit", "reached"), _(5, 14, "discharge"), _(7, 9, "enrol"),
        _(7, 10, "talk", "call"),
    ),
    "held": (*REACHED, _(8, 9, "hold", "incarcerated"), _(18, 10, "resume", "released"), _(19, 10, "follow_up")),
    "withdraws": (*REACHED, _(9, 9, "diagnose", "F33.2"), _(12, 10, "withdraws")),
    "unheeded": (
        _(1, 2, "emergency"), _(1, 5, "sent_home"), _(1, 6, "correct_discharge"), _(12, 3, "emergency"), _(12, 9, "sent_home"),
    ),
}  # fmt: skip
ORDER = tuple(LIVES)


def start_after(now: Instant) -> Instant:
    """The first possible start that lies ahead: the first Monday of March of the year of `START` or a later one."""
    year = START.year
    while True:
        day = next(day for n in range(1, 8) if (day := date(year, 3, n)).isoweekday() == 1)
        if (start := local(day, OPENS_AT)) > now + timedelta(days=1):
            return start
        year += 1


def make_script(seed: int, size: int, days: int, start: Instant) -> Script:
    """So many members over so many days."""
    dice = Random(seed)
    people = cast(size, seed)
    first = start.astimezone(UTC).date()
    arrive_days = max(1, min(ARRIVE_DAYS_MAX, days // 2), days // 3)
    lives, arrivals = {}, {}
    for person in people:
        lives[person.number] = ORDER[(person.number + seed) % len(ORDER)]
        arrivals[person.number] = first + timedelta(days=dice.randrange(arrive_days))
    found = list(_files(people, arrivals, dice))
    for person in people:
        found += _told(person, LIVES[lives[person.number]], arrivals[person.number], dice)
    stop = start + timedelta(days=days)
    found += _by_hand(start)
    kept = tuple(sorted((h for h in found if h.arrives_at < stop), key=lambda h: (h.arrives_at, h.id)))
    return Script(seed, start, stop, people, lives, kept)


def plan_of(person: Person) -> str:
    return PLANS[person.number % len(PLANS)]


def _files(people: tuple[Person, ...], arrivals: Mapping[int, date], dice: Random) -> list[Happening]:
    """One file a plan and day."""
    found = []
    for day in sorted(set(arrivals.values())):
        for number, plan in enumerate(PLANS):
            listed = tuple(p for p in people if arrivals[p.number] == day and plan_of(p) == plan)
            if listed:
                at = local(day, OPENS_AT + 0.25 * number) + timedelta(minutes=5)
                found.append(Happening(f"file/{day}/{plan}", at, at + timedelta(minutes=dice.randrange(4)), listed, "file", plan))
    return found


def _told(person: Person, life: tuple[Scene, ...], arrives_on: date, dice: Random) -> list[Happening]:
    """A life as it is told. What staff write down is told in the order in which it happened; hospitals' messages may overtake."""
    found, told_until = [], local(arrives_on, 0)
    for n, scene in enumerate((_(0, 9 + person.number % 8 * 0.1, "lead"), *life)):
        at = local(arrives_on + timedelta(days=scene.day), scene.hour)
        late = timedelta(minutes=dice.randrange(1, LATE_MINUTES_MAX))
        if scene.what != "lead" and dice.randrange(100) < LATE_PERCENT:
            late = timedelta(hours=dice.uniform(1, LATE_HOURS_MAX))
        arrives_at = at + late
        if scene.what not in MESSAGES:
            arrives_at = told_until = max(arrives_at, told_until + timedelta(minutes=1))
        found.append(Happening(f"{person.number}/{n}", at, arrives_at, (person,), scene.what, scene.with_))
    return found


MESSAGES = ("admit", "discharge", "cancel_admission", "cancel_discharge", "correct_discharge", "emergency", "sent_home")
"""What a hospital tells; everything else but a plan's file is told by staff."""

BY_HAND = "by hand"
"""A scene of a hand-written member (tests/torture/members.py); `with_` is the member's name and the place of the scene."""


def _by_hand(start: Instant) -> list[Happening]:
    told = members.schedule(start)
    return [Happening(f"hand/{n}/{name.replace(' ', '-')}", at, at, (), BY_HAND, f"{name}/{n}") for at, name, n in told]
