"""What ends every promise of an episode, whichever process made it: closure, death, and coverage that did not come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from domain.core import Alarm, EventId, Instant, later
from domain.episode.state import Episode
from domain.member.decider import Member
from domain.member.facts import DeathReportWithdrawn
from domain.stay.course import Course
from domain.timeline import so_far


@dataclass(frozen=True, slots=True)
class Stop:
    """From when something is not owed any more, and why. `certain_at`: when that was settled, where it was long in the balance."""

    at: Instant
    by: EventId
    reason: str
    certain_at: Instant | None = None

    @property
    def settled(self) -> Stop:
        """The stop as of the instant at which it was certain: for what goes on while coverage may still come back."""
        return replace(self, at=self.certain_at or self.at)


def earliest(*stops: Stop | None) -> Stop | None:
    return min((stop for stop in stops if stop is not None), key=lambda stop: (stop.at, stop.by), default=None)


def stop_of(
    episode: Episode, member: Member, return_days: Callable[[Instant], int], alarm: Alarm, more: Iterable[Stop] = ()
) -> Stop | None:
    """The earliest of closure, death and `more`; or coverage lost for longer than it may come back, before any of these.

    `return_days`: how long a loss of coverage at an instant may last (domain.md 2.2: 90 days)."""
    found = list(more)
    if (closure := episode.closure(alarm.turning_at(entry.at for entry in episode.said))) is not None:
        found.append(Stop(closure[1], closure[0], f"closed_{closure[2].lower()}"))
    if (death := member.death()) is not None and alarm.reached(death[1]):
        found.append(Stop(death[1], death[0], "death_reported"))
    stop = earliest(*found)
    for gap, lapses_at in member.lapses(return_days):
        if (stop is None or lapses_at < stop.at) and alarm.reached(lapses_at):
            return Stop(gap.since, gap.begun_by, "coverage_lost", lapses_at)
    return stop


def deaths_in_hospital(courses: Iterable[Course], member: Member, alarm: Alarm) -> tuple[Stop, ...]:
    """A hospital's word of a death stops everything even before it is reported to the member's own stream, unless somebody has
    found since that it was wrong."""
    reversed_at = later(*(e.at for e in so_far(member.deaths, alarm) if isinstance(e.fact, DeathReportWithdrawn)))
    deaths = (course.death for course in courses if course.death is not None)
    standing = (d for d in deaths if alarm.reached(d.at) and (reversed_at is None or reversed_at < d.known_at))
    return tuple(Stop(death.at, death.event_id, "death_reported") for death in standing)
