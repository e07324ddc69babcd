"""Whose stream is it? Every stream of a member's history, from when on that was known, and until when it was believed.

A stay becomes a member's when somebody says so, often after its first messages; and may be found to be another person's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.catalog import PROCESSES
from domain.episode.facts import AssignmentReceived
from domain.member.facts import MemberRegistered, StayAttributed, StayDetached
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class Belonging:
    """`key` is `<stream>|<member>`. `known_since` and `known_until` are instants of recording."""

    key: str
    stream: str
    member: str
    known_since: datetime
    known_until: datetime | None = None
    evidence: str = ""


def _pairs(stored: StoredFact) -> tuple[tuple[str, str], ...]:
    stream, fact = stored.recorded.stream, stored.recorded.fact
    match fact:
        case MemberRegistered():
            return ((stream, stream),)
        case AssignmentReceived(member=member):
            uuid = stream.partition("-")[2]  # which every process of the episode carries (design.md 2)
            return ((stream, member), *((f"{kind}-{uuid}", member) for kind in PROCESSES))
        case StayAttributed(stay=stay) | StayDetached(stay=stay):
            return ((stay, stream),)
        case _:
            return ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return tuple(f"{stream}|{member}" for stream, member in _pairs(stored))


def _fold(key: str, row: Belonging | None, stored: StoredFact) -> Belonging | None:
    at, fact = stored.recorded.recorded_at, stored.recorded.fact
    stream, _, member = key.partition("|")
    if isinstance(fact, StayDetached):
        return row if row is None else replace(row, known_until=at)
    if row is not None and row.known_until is None:
        return row
    evidence = fact.evidence if isinstance(fact, StayAttributed) else ""
    return Belonging(key, stream, member, at if row is None else row.known_since, None, evidence)


BELONGING = ReadModel(
    name="belonging",
    row=Belonging,
    keys=_keys,
    fold=_fold,
    facts=(MemberRegistered, AssignmentReceived, StayAttributed, StayDetached),
    indexes=("member, stream", "stream"),
)
