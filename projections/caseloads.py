"""Who carried which member, with which weight and since when: every word of it, so that any day can be looked at again.

The rules that cap caseloads stand beside it, one row a policy version.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from domain.adoption.facts import PolicyAdopted
from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.staff.facts import OFFICE_ZONE
from eventlog.codec import StoredFact
from projections.model import ReadModel

TAKEN, WEIGHED, RELEASED = "taken", "weighed", "released"
BETWEEN_GROUNDS = " "


@dataclass(frozen=True, slots=True)
class CaseWord:
    """`key` is the event; `said` what it says of the case: taken, weighed, released. `because`: why beyond the cap, or why
    released. `load_tenths` and `cap_tenths`: the caseload as it was taken on, and its cap (0: none)."""

    key: str
    position: int
    staff: str
    episode: str
    said: str
    occurred_at: datetime
    recorded_at: datetime
    weight_tenths: int
    grounds: str
    because: str
    load_tenths: int
    cap_tenths: int
    policy: str
    told_by: str


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.event_id,)


def _fold(key: str, row: CaseWord | None, stored: StoredFact) -> CaseWord:
    recorded = stored.recorded
    said, weight, grounds, because, load, cap, policy = _words(recorded.fact)
    return CaseWord(
        key=key,
        position=recorded.position,
        staff=f"staff-{recorded.stream.partition('-')[2]}",
        episode=recorded.fact.episode,
        said=said,
        occurred_at=recorded.occurred_at,
        recorded_at=recorded.recorded_at,
        weight_tenths=weight,
        grounds=BETWEEN_GROUNDS.join(grounds),
        because=because,
        load_tenths=load,
        cap_tenths=cap,
        policy=policy,
        told_by=recorded.actor,
    )


def _words(fact: object) -> tuple[str, int, tuple[str, ...], str, int, int, str]:
    match fact:
        case CaseTaken():
            over, load, cap = fact.over_cap_because, fact.load_tenths, fact.cap_tenths
            return TAKEN, fact.weight_tenths, fact.grounds, over, load, cap, fact.policy
        case CaseWeighed():
            return WEIGHED, fact.weight_tenths, fact.grounds, "", 0, 0, ""
        case CaseReleased():
            return RELEASED, 0, (), fact.reason, 0, 0, ""
        case _:
            raise AssertionError(f"a caseload says nothing like {type(fact).__name__}")


CASES = ReadModel(
    name="cases",
    row=CaseWord,
    keys=_keys,
    fold=_fold,
    facts=(CaseTaken, CaseWeighed, CaseReleased),
    append_only=True,
    indexes=("staff, episode, position", "episode, position"),
)


@dataclass(frozen=True, slots=True)
class CaseloadRule:
    """`key` is `<plan>|<version>|<sha256>`. `cap`: hard, soft, or empty where the plan caps nobody's caseload."""

    key: str
    plan: str
    effective_on: date
    timezone: str
    cap: str
    full_time_tenths: int


def _rule_keys(stored: StoredFact) -> tuple[str, ...]:
    fact: PolicyAdopted = stored.recorded.fact
    return (f"{fact.plan}|{fact.version}|{fact.sha256}",)


def _rule(key: str, row: CaseloadRule | None, stored: StoredFact) -> CaseloadRule:
    fact: PolicyAdopted = stored.recorded.fact
    said = _said(fact.text)
    rules = said.get("caseload", {})
    zone = said.get("timezone", OFFICE_ZONE)
    return row or CaseloadRule(key, fact.plan, fact.effective_on, zone, rules.get("cap", ""), rules.get("full_time_tenths", 0))


def _said(text: str) -> dict[str, Any]:
    """The file's content. Adoption refuses what cannot be read; where it stands in the log all the same, it caps nobody."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


CASELOAD_RULES = ReadModel(
    name="caseload_rules",
    row=CaseloadRule,
    keys=_rule_keys,
    fold=_rule,
    facts=(PolicyAdopted,),
    indexes=("plan, effective_on",),
)
