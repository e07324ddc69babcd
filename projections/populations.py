"""Populations of focus: which were proposed for an episode and on which grounds, and what staff said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.followup.facts import (
    Ground,
    PopulationConfirmed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    PopulationRejected,
)
from eventlog.codec import StoredFact
from projections.model import ReadModel

PROPOSED, WITHDRAWN, CONFIRMED, REJECTED = "proposed", "withdrawn", "confirmed", "rejected"
STATES = (PROPOSED, CONFIRMED, REJECTED, WITHDRAWN)


@dataclass(frozen=True, slots=True)
class PopulationRow:
    """`key` is `<episode>|<population>`. `state` is the last word that was recorded, as it is for the follow-up itself; grounds and
    policy are the proposal's."""

    key: str
    episode: str
    population: str
    state: str
    since: datetime
    by: str
    grounds: tuple[Ground, ...] = ()
    policy: str = ""
    proposed_at: datetime | None = None
    reason: str = ""


def _keys(stored: StoredFact) -> tuple[str, ...]:
    recorded = stored.recorded
    return (f"episode-{recorded.stream.partition('-')[2]}|{recorded.fact.population}",)


def _fold(key: str, row: PopulationRow | None, stored: StoredFact) -> PopulationRow:
    r = stored.recorded
    episode, _, population = key.partition("|")
    row = row or PopulationRow(key, episode, population, "", r.occurred_at, r.actor)
    match r.fact:
        case PopulationProposed(grounds=grounds, policy=policy):
            return _said(replace(row, grounds=grounds, policy=policy, proposed_at=r.occurred_at), stored, PROPOSED, "")
        case PopulationProposalWithdrawn():
            return _said(row, stored, WITHDRAWN, "")
        case PopulationConfirmed(reason=reason):
            return _said(row, stored, CONFIRMED, reason)
        case PopulationRejected(reason=reason):
            return _said(row, stored, REJECTED, reason)
        case _:
            return row


def _said(row: PopulationRow, stored: StoredFact, state: str, reason: str) -> PopulationRow:
    r = stored.recorded
    return replace(row, state=state, since=r.occurred_at, by=r.actor, reason=reason)


POPULATIONS = ReadModel(
    name="populations",
    row=PopulationRow,
    keys=_keys,
    fold=_fold,
    facts=(PopulationConfirmed, PopulationProposalWithdrawn, PopulationProposed, PopulationRejected),
    indexes=("episode, population", "state, since, key"),
)
