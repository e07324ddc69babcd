"""A member's life as facts, and what the rules find in it: for the tests of tiers and populations of focus.

`Life` is built of facts with an id and an instant each, folded by the deciders of the streams that they belong to. A life without
one of its facts, or with them recorded in another order, is another life: that is what the properties compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from domain.catalog import DECIDERS
from domain.core import Alarm, EventId, Fact, Instant, Loaded, Recorded, StreamId, fold
from domain.criteria import Evidence, Found, PopulationMet, TierSpan, evaluate, evidence_of, populations, tiers
from domain.follow_up_policy import Condition, ConditionKind, Formula, TierRule, Tiers
from domain.member.facts import MemberRegistered, StayAttributed
from domain.policy import Policy
from domain.stay.facts import MemberAdmitted, MemberDischarged, StayClass
from domain.timeline import Timeline, put
from tests.given import DEFAULT, EPISODE, MEMBER, at, book

FOLLOW_UP = "followup-1"


@dataclass(frozen=True, slots=True)
class Lived:
    """A fact of a stream, and when it occurred."""

    stream: StreamId
    id: EventId
    at: Instant
    fact: Any


@dataclass(frozen=True, slots=True)
class Life:
    """The facts in the order in which they are recorded."""

    facts: tuple[Lived, ...] = ()

    def said(self, fact: Fact, when: str | Instant, id: EventId = "", stream: StreamId = MEMBER) -> Life:
        instant = at(when) if isinstance(when, str) else when
        return Life((*self.facts, Lived(stream, id or f"fact-{len(self.facts)}", instant, fact)))

    def registered(self, born: str | None = "1980-05-05", race: str = "", when: str | Instant = "2020-01-01 00:00 UTC") -> Life:
        return self.said(MemberRegistered(birth_date=born, race_ethnicity=race), when, "registered")

    def stayed(self, stay: StreamId, as_: StayClass, since: str | Instant, until: str | Instant | None = None) -> Life:
        """A stay of the member's, as its hospital told it."""
        came = at(since) if isinstance(since, str) else since
        left = at(until) if isinstance(until, str) else until
        admitted = MemberAdmitted(
            order="1", received_at=came, source="ward", facility="ward", stay_class=as_, admitted_at=came, trigger="A01"
        )
        life = self.said(admitted, came, f"{stay}/in", stay)
        if left is not None:
            discharged = MemberDischarged(order="2", received_at=left, source="ward", facility="ward", discharged_at=left)
            life = life.said(discharged, left, f"{stay}/out", stay)
        return life.said(StayAttributed(stay=stay, episode=EPISODE, evidence="by_hand"), came, f"{stay}/whose")

    def without(self, id: EventId) -> Life:
        return Life(tuple(lived for lived in self.facts if lived.id != id))

    @property
    def evidence(self) -> Evidence:
        streams: dict[StreamId, list[Recorded]] = {MEMBER: [], EPISODE: []}
        confirmed: Timeline = ()
        for position, lived in enumerate(self.facts, start=1):
            recorded = Recorded(
                fact=lived.fact,
                event_id=lived.id,
                stream=lived.stream,
                version=len(streams.setdefault(lived.stream, [])) + 1,
                position=position,
                occurred_at=lived.at,
                said_at=None,
                recorded_at=lived.at,
                actor="system",
            )
            streams[lived.stream].append(recorded)
            if lived.stream == FOLLOW_UP:
                confirmed = put(confirmed, recorded)
        context: dict[StreamId, Loaded] = {
            stream: fold(DECIDERS[stream.partition("-")[0]], stream, told)
            for stream, told in streams.items()
            if stream != FOLLOW_UP
        }
        return evidence_of(context[MEMBER].state, context[EPISODE].state, context, confirmed)

    # --- what the rules find ---

    def holds(self, condition: Condition, when: str | Instant, policy: Policy = DEFAULT) -> Found | None:
        return evaluate(((condition,),), self.evidence, policy, at(when) if isinstance(when, str) else when)

    def tiers(self, policy: Policy, since: str | Instant, now: str | Instant, alarm: Alarm | None = None) -> tuple[TierSpan, ...]:
        begins, ends = (at(i) if isinstance(i, str) else i for i in (since, now))
        return tiers(self.evidence, book(policy), policy.plan, begins, alarm or Alarm(ends))

    def met(self, policy: Policy, now: str | Instant) -> dict[str, PopulationMet]:
        instant = at(now) if isinstance(now, str) else now
        return {p.key: p for p in populations(self.evidence, book(policy), policy.plan, Alarm(instant))}


def condition(kind: ConditionKind, *any_of: str, at_least: int = 1, at_most: int = 1000, within_days: int = 0) -> Condition:
    return Condition(kind=kind, any_of=any_of, at_least=at_least, at_most=at_most, within_days=within_days)


def rule(key: str, tier: str, *lines: Condition | tuple[Condition, ...]) -> TierRule:
    formula: Formula = tuple(line if isinstance(line, tuple) else (line,) for line in lines)
    return TierRule(key=key, tier=tier, when=formula)


def ruled(*rules: TierRule, policy: Policy = DEFAULT, order: tuple[str, ...] = ("high", "medium", "low")) -> Policy:
    """The policy with these rules for its tiers."""
    assert policy.follow_up is not None
    return replace(policy, follow_up=replace(policy.follow_up, tiers=Tiers(order=order, otherwise=order[-1], rule=rules)))


def steps(spans: tuple[TierSpan, ...]) -> list[tuple[Instant, str]]:
    return [(span.since, span.tier) for span in spans]
