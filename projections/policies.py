"""The policy versions that were adopted, without their text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from domain.adoption.facts import PolicyAdopted
from eventlog.codec import StoredFact
from projections.model import ReadModel


@dataclass(frozen=True, slots=True)
class AdoptedPolicy:
    """`key` is `<plan>|<version>|<sha256>`: a version adopted twice with other bytes is shown twice."""

    key: str
    plan: str
    version: str
    effective_on: date
    sha256: str
    adopted_at: datetime
    adopted_by: str
    event_id: str


def _keys(stored: StoredFact) -> tuple[str, ...]:
    fact: PolicyAdopted = stored.recorded.fact
    return (f"{fact.plan}|{fact.version}|{fact.sha256}",)


def _fold(key: str, row: AdoptedPolicy | None, stored: StoredFact) -> AdoptedPolicy:
    fact: PolicyAdopted = stored.recorded.fact
    return row or AdoptedPolicy(
        key,
        fact.plan,
        fact.version,
        fact.effective_on,
        fact.sha256,
        stored.recorded.recorded_at,
        stored.recorded.actor,
        stored.recorded.event_id,
    )


POLICIES = ReadModel(
    name="policies", row=AdoptedPolicy, keys=_keys, fold=_fold, facts=(PolicyAdopted,), indexes=("plan, effective_on",)
)
