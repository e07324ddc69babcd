"""Turning points in a member's life at which the criteria of discontinuation are looked at, and that end nothing by themselves.

A 21st birthday and the end of a pregnancy are no reasons to leave (domain.md 1.7, scenario 45); they ask for a person's look.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.calendar import start_of_day
from domain.core import EventId, Instant
from domain.criteria import birthday, born_on
from domain.episode.authorisations import DiscontinuationConsidered
from domain.member.circumstances import Circumstance
from domain.member.decider import Member
from domain.timeline import Timeline

OF_AGE = 21
TURNED_21 = "turned_21"
PREGNANCY_ENDED = "pregnancy_ended"


@dataclass(frozen=True, slots=True)
class Milestone:
    """What happened or will happen, when, and the fact that says so."""

    reason: str
    at: Instant
    known_by: EventId


def milestones(member: Member, since: Instant, zone: str) -> tuple[Milestone, ...]:
    """The turning points after an instant, earliest first; one that is known beforehand may lie ahead."""
    found = []
    if (born := born_on(member)) is not None:
        found.append(Milestone(TURNED_21, start_of_day(birthday(born, OF_AGE), zone), member.born_by))
    pregnancies = member.life.spells(Circumstance.PREGNANT)
    found += [
        Milestone(PREGNANCY_ENDED, s.until, s.ended_by) for s in pregnancies if s.until is not None and s.ended_by is not None
    ]
    return tuple(sorted((m for m in found if m.at > since), key=lambda m: (m.at, m.reason)))


def to_consider(said: Timeline, member: Member, since: Instant, zone: str) -> tuple[Milestone, ...]:
    """The turning points since which nobody looked at the criteria; `since`: the enrolment."""
    looks = [e.at for e in said if isinstance(e.fact, DiscontinuationConsidered)]
    return tuple(m for m in milestones(member, since, zone) if not any(at >= m.at for at in looks))
