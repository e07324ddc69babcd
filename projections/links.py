"""Which members are one person: a row for each direction of a link, with when it was known. Read by every question about a member.

Nothing of the other read models depends on it: a merge and its end move no row of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.member.identity import MembersMerged, MembersSeparated
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when two members were held to be one; by the instants of recording."""

    since: datetime
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Link:
    """`key` is `<member>|<other>`, said once in each direction. `survivor` is the one of them who goes on; `merged`: they are one
    now."""

    key: str
    member: str
    other: str
    survivor: str
    merged: bool
    spans: tuple[Span, ...] = ()


def _keys(stored: StoredFact) -> tuple[str, ...]:
    fact = stored.recorded.fact
    return (f"{fact.survivor}|{fact.retired}", f"{fact.retired}|{fact.survivor}")


def _fold(key: str, row: Link | None, stored: StoredFact) -> Link | None:
    fact, at = stored.recorded.fact, stored.recorded.recorded_at
    member, _, other = key.partition("|")
    row = row or Link(key, member, other, fact.survivor, False)
    if row.merged is isinstance(fact, MembersMerged):  # it is said on both streams
        return row
    if isinstance(fact, MembersMerged):
        return replace(row, survivor=fact.survivor, merged=True, spans=(*row.spans, Span(at)))
    return replace(row, merged=False, spans=(*row.spans[:-1], replace(row.spans[-1], until=at)))


LINKS = ReadModel(
    name="links",
    row=Link,
    keys=_keys,
    fold=_fold,
    facts=(MembersMerged, MembersSeparated),
    indexes=("member",),
)
