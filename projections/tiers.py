"""The tier of each episode: what the rules found and on which grounds, what a person said otherwise, and what the plan says.

The plan's tier stands beside ours and never in its place. Of people's words the last in the world's order holds; of what the rules
found the last that was written, because each says what they find from its day on, over all that is known by then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.episode.enrolment import PlanTierReported
from domain.episode.facts import AssignmentReceived
from domain.followup.facts import Ground, TierFound, TierOverridden, TierOverrideLifted
from eventlog.codec import StoredFact
from projections.model import ReadModel

KEPT_MAX = 100


@dataclass(frozen=True, slots=True)
class TierSaid:
    """One word on a tier, whoever had it. `what`: found, overridden, lifted, or the plan's. `at` is when it holds from."""

    at: datetime
    event_id: str
    position: int
    what: str
    tier: str
    by: str
    grounds: tuple[Ground, ...] = ()
    policy: str = ""
    reason: str = ""


FOUND, OVERRIDDEN, LIFTED, PLANS = "found", "overridden", "lifted", "plan"


@dataclass(frozen=True, slots=True)
class TierRow:
    """`key` is the episode's stream. `tier` is the one that holds: the override's, else the found one."""

    key: str
    said: tuple[TierSaid, ...] = ()
    tier: str = ""
    since: datetime | None = None
    found: str = ""
    grounds: tuple[Ground, ...] = ()
    policy: str = ""
    overridden: bool = False
    overridden_by: str = ""
    override_reason: str = ""
    plan_tier: str = ""
    plan_tier_at: datetime | None = None


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return ("episode-" + stored.recorded.stream.partition("-")[2],)


def _fold(key: str, row: TierRow | None, stored: StoredFact) -> TierRow | None:
    word = _word(stored)
    if word is None:
        return row
    row = row or TierRow(key)
    said = tuple(sorted((*row.said, word), key=lambda s: (s.at, s.event_id)))[-KEPT_MAX:]
    return replace(row, **standing(said), said=said)


def standing(said: tuple[TierSaid, ...]) -> dict[str, Any]:
    """What holds after all that was said; `said` is in the world's order."""
    found = max((s for s in said if s.what == FOUND), key=lambda s: s.position, default=None)
    word = next((s for s in reversed(said) if s.what in (OVERRIDDEN, LIFTED)), None)
    plans = next((s for s in reversed(said) if s.what == PLANS), None)
    over = word if word is not None and word.what == OVERRIDDEN else None
    holds = over or found
    lifted_at = word.at if word is not None and over is None else None
    return {
        "tier": holds.tier if holds else "",
        "since": max(filter(None, (holds.at, lifted_at))) if holds else None,
        "found": found.tier if found else "",
        "grounds": found.grounds if found else (),
        "policy": found.policy if found else "",
        "overridden": over is not None,
        "overridden_by": over.by if over else "",
        "override_reason": over.reason if over else "",
        "plan_tier": plans.tier if plans else "",
        "plan_tier_at": plans.at if plans else None,
    }


def _word(stored: StoredFact) -> TierSaid | None:
    r = stored.recorded
    match r.fact:
        case TierFound(tier=tier, grounds=grounds, policy=policy):
            return TierSaid(r.occurred_at, r.event_id, r.position, FOUND, tier, r.actor, grounds, policy)
        case TierOverridden(tier=tier, reason=reason):
            return TierSaid(r.occurred_at, r.event_id, r.position, OVERRIDDEN, tier, r.actor, reason=reason)
        case TierOverrideLifted(reason=reason):
            return TierSaid(r.occurred_at, r.event_id, r.position, LIFTED, "", r.actor, reason=reason)
        case PlanTierReported(tier=tier):
            return TierSaid(r.occurred_at, r.event_id, r.position, PLANS, tier, r.actor)
        case AssignmentReceived(plan_tier=tier) if tier:
            return TierSaid(r.occurred_at, r.event_id, r.position, PLANS, tier, r.actor)
        case _:
            return None


TIERS = ReadModel(
    name="tiers",
    row=TierRow,
    keys=_keys,
    fold=_fold,
    facts=(AssignmentReceived, PlanTierReported, TierFound, TierOverridden, TierOverrideLifted),
    indexes=("tier, key",),
)
