"""Visits that were judged, what the hospital says brought the member, and referrals that avoidable visits proposed.

The visits themselves are stays, or stand here where a claim told of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.followup.facts import Ground, ReferralProposalDismissed, ReferralProposalWithdrawn, ReferralProposed
from domain.member.circumstances import VisitJudged, VisitReported
from domain.member.visit_words import About, VisitExplained
from eventlog.codec import StoredFact
from projections.model import ReadModel

PROPOSED, WITHDRAWN, DISMISSED = "proposed", "withdrawn", "dismissed"
STATES = (PROPOSED, DISMISSED, WITHDRAWN)


@dataclass(frozen=True, slots=True)
class JudgedVisitRow:
    """`key` is `<member>|<visit>`. `avoidable` is None until somebody said so; once a person has, no claim outweighs it. `kind` and
    `on_day` are empty for a stay. `reason_position`, `diagnoses_position`: where in the log stands, sealed, what the hospital said
    last brought the member (0: nothing); the orders rank it."""

    key: str
    member: str
    visit: str
    kind: str = ""
    on_day: date | None = None
    learned_from: str = ""
    avoidable: bool | None = None
    reason: str = ""
    by: str = ""
    judged_at: datetime | None = None
    by_person: bool = False
    reason_order: str = ""
    reason_position: int = 0
    diagnoses_order: str = ""
    diagnoses_position: int = 0


def _visit_keys(stored: StoredFact) -> tuple[str, ...]:
    return (f"{stored.recorded.stream}|{stored.recorded.fact.visit}",)


def _visit(key: str, row: JudgedVisitRow | None, stored: StoredFact) -> JudgedVisitRow:
    r = stored.recorded
    row = row or JudgedVisitRow(key, r.stream, r.fact.visit)
    match r.fact:
        case VisitReported(kind=kind, on=day, learned_from=source, avoidable=avoidable):
            told = replace(row, kind=kind.value, on_day=day, learned_from=source)
            if avoidable is None or row.by_person:
                return told
            return replace(told, avoidable=avoidable, by=r.actor, judged_at=r.occurred_at)
        case VisitJudged(avoidable=avoidable, reason=reason):
            if row.by_person and row.judged_at is not None and row.judged_at > r.occurred_at:
                return row
            return replace(row, avoidable=avoidable, reason=reason, by=r.actor, judged_at=r.occurred_at, by_person=True)
        case VisitExplained(about=About.REASON, order=order) if order > row.reason_order:
            return replace(row, reason_order=order, reason_position=r.position)
        case VisitExplained(about=About.DIAGNOSES, order=order) if order > row.diagnoses_order:
            return replace(row, diagnoses_order=order, diagnoses_position=r.position)
        case _:
            return row


JUDGED_VISITS = ReadModel(
    name="judged_visits",
    row=JudgedVisitRow,
    keys=_visit_keys,
    fold=_visit,
    facts=(VisitExplained, VisitJudged, VisitReported),
    indexes=("member, visit",),
)


@dataclass(frozen=True, slots=True)
class ReferralProposalRow:
    """`key` is `<episode>|<population>`: the episode that was the member's last one when it was proposed."""

    key: str
    episode: str
    population: str
    state: str
    since: datetime
    by: str
    grounds: tuple[Ground, ...] = ()
    policy: str = ""
    reason: str = ""


def _proposal_keys(stored: StoredFact) -> tuple[str, ...]:
    recorded = stored.recorded
    return (f"episode-{recorded.stream.partition('-')[2]}|{recorded.fact.population}",)


def _proposal(key: str, row: ReferralProposalRow | None, stored: StoredFact) -> ReferralProposalRow:
    r = stored.recorded
    episode, _, population = key.partition("|")
    row = replace(row or ReferralProposalRow(key, episode, population, "", r.occurred_at, ""), since=r.occurred_at, by=r.actor)
    match r.fact:
        case ReferralProposed(grounds=grounds, policy=policy):
            return replace(row, state=PROPOSED, grounds=grounds, policy=policy, reason="")
        case ReferralProposalWithdrawn(reason=reason):
            return replace(row, state=WITHDRAWN, reason=reason)
        case ReferralProposalDismissed(reason=reason):
            return replace(row, state=DISMISSED, reason=reason)
        case _:
            return row


REFERRAL_PROPOSALS = ReadModel(
    name="referral_proposals",
    row=ReferralProposalRow,
    keys=_proposal_keys,
    fold=_proposal,
    facts=(ReferralProposalDismissed, ReferralProposalWithdrawn, ReferralProposed),
    indexes=("episode, population", "state, since, key"),
)
