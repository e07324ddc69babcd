"""The directory of members: what may be read of them without their key. No name, number, address or birth date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.member.facts import (
    ChannelOptedIn,
    ChannelOptedOut,
    ConsentGiven,
    ConsentWithdrawn,
    ContactPointFoundBad,
    ContactPointFoundGood,
    ContactPointLearned,
    CoverageLost,
    CoverageRestored,
    DeathReported,
    DeathReportWithdrawn,
    EpisodeBegun,
    LanguageChosen,
    MemberRegistered,
    MemberRelocated,
    PersonalDataErased,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

EPISODES_MAX = 200


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """A way to reach the member, without its number or address."""

    point: str
    kind: str
    learned_from: str
    takes_texts: bool
    bad_because: str = ""


@dataclass(frozen=True, slots=True)
class MemberDirectoryRow:
    """`key` is the member's stream."""

    key: str
    registered_at: datetime
    language: str
    timezone: str
    episode: str | None = None
    episodes: tuple[str, ...] = ()
    points: tuple[ContactPoint, ...] = ()
    opted_out: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()
    coverage_lost_at: datetime | None = None
    died_at: datetime | None = None
    erased_at: datetime | None = None


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def _fold(key: str, row: MemberDirectoryRow | None, stored: StoredFact) -> MemberDirectoryRow | None:
    fact, at = stored.recorded.fact, stored.recorded.occurred_at
    if isinstance(fact, MemberRegistered):
        if row is not None:
            return replace(row, language=fact.language, timezone=fact.timezone)
        return MemberDirectoryRow(key, at, fact.language, fact.timezone)
    if row is None:
        row = MemberDirectoryRow(key, at, "", "")
    match fact:
        case LanguageChosen(language=language):
            return replace(row, language=language)
        case MemberRelocated(timezone=timezone):
            return replace(row, timezone=timezone)
        case ContactPointLearned() as learned:
            point = ContactPoint(learned.point, learned.kind.value, learned.learned_from, learned.takes_texts)
            return replace(row, points=(*(p for p in row.points if p.point != learned.point), point))
        case ContactPointFoundBad(point=point_id, reason=reason):
            return replace(row, points=tuple(replace(p, bad_because=reason) if p.point == point_id else p for p in row.points))
        case ContactPointFoundGood(point=point_id):
            return replace(row, points=tuple(replace(p, bad_because="") if p.point == point_id else p for p in row.points))
        case ChannelOptedOut(channel=channel):
            return replace(row, opted_out=tuple(sorted({*row.opted_out, channel.value})))
        case ChannelOptedIn(channel=channel):
            return replace(row, opted_out=tuple(c for c in row.opted_out if c != channel.value))
        case ConsentGiven(scope=scope):
            return replace(row, consents=tuple(sorted({*row.consents, scope})))
        case ConsentWithdrawn(scope=scope):
            return replace(row, consents=tuple(c for c in row.consents if c != scope))
        case CoverageLost():
            return replace(row, coverage_lost_at=at)
        case CoverageRestored():
            return replace(row, coverage_lost_at=None)
        case DeathReported():
            return replace(row, died_at=at)
        case DeathReportWithdrawn():
            return replace(row, died_at=None)
        case EpisodeBegun(episode=episode):
            return replace(row, episode=episode, episodes=(*row.episodes, episode)[-EPISODES_MAX:])
        case PersonalDataErased():
            return replace(row, erased_at=at)
        case _:
            return row


MEMBERS = ReadModel(
    name="members",
    row=MemberDirectoryRow,
    keys=_keys,
    fold=_fold,
    facts=(
        ChannelOptedIn,
        ChannelOptedOut,
        ConsentGiven,
        ConsentWithdrawn,
        ContactPointFoundBad,
        ContactPointFoundGood,
        ContactPointLearned,
        CoverageLost,
        CoverageRestored,
        DeathReported,
        DeathReportWithdrawn,
        EpisodeBegun,
        LanguageChosen,
        MemberRegistered,
        MemberRelocated,
        PersonalDataErased,
    ),
    indexes=("registered_at, key",),
)
