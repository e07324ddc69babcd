"""What a care manager carries, and what a case weighs: read wherever somebody is to take one more (domain.md 4, scenario 66).

Points are counted in tenths. The caseload stream of a member of staff carries the uuid of their staff stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.core import Recorded, StreamId
from domain.follow_up_policy import ANY_TIER, Caseload

NOT_ENROLLED = "not_enrolled"
TRANSITION = "transition"
FULL_TIME_PERCENT = 100


def caseload_of(staff: StreamId) -> StreamId:
    """The caseload stream of a member of staff."""
    return f"caseload-{staff.partition('-')[2]}"


@dataclass(frozen=True, slots=True)
class Weight:
    """What a case weighs, and on which grounds."""

    tenths: int
    grounds: tuple[str, ...] = ()


def weight(
    rules: Caseload | None, tier: str, *, enrolled: bool, in_transition: bool = False, overlays: tuple[str, ...] = ()
) -> Weight:
    """What a member weighs under a plan's rules: 0 where it has none. A tier that they do not name weighs as `any`, or
    as the lightest.

    `in_transition`: within `transition_days` of a discharge. `overlays`: keys of the special overlays that hold."""
    if rules is None:
        return Weight(0)
    if not enrolled:
        return Weight(rules.not_enrolled_tenths, (NOT_ENROLLED,))
    table = rules.weight_tenths
    tenths = table.get(tier, table.get(ANY_TIER, min(table.values(), default=0)))
    grounds: tuple[str, ...] = (f"tier:{tier}",)
    if in_transition and rules.transition_tenths:
        tenths, grounds = tenths + rules.transition_tenths, (*grounds, TRANSITION)
    for key in overlays:
        if key in rules.overlay_tenths:
            tenths, grounds = tenths + rules.overlay_tenths[key], (*grounds, f"overlay:{key}")
    return Weight(tenths, grounds)


def cap_tenths(rules: Caseload, share_percent: int) -> int:
    """What somebody with this share of full time may carry."""
    return rules.full_time_tenths * share_percent // FULL_TIME_PERCENT


def points(tenths: int) -> str:
    """As people read it: 59.0"""
    return f"{tenths // 10}.{tenths % 10}"


@dataclass(frozen=True, slots=True)
class Load:
    """The cases by episode; `said` counts every fact that ever spoke of an episode, so that keys made of it only grow."""

    cases: Mapping[StreamId, Weight] = field(default_factory=dict)
    said: Mapping[StreamId, int] = field(default_factory=dict)

    @property
    def tenths(self) -> int:
        return sum(case.tenths for case in self.cases.values())

    def generation(self, episode: StreamId) -> int:
        return self.said.get(episode, 0)


def evolve(state: Load, recorded: Recorded) -> Load:
    match recorded.fact:
        case CaseTaken(episode=episode, weight_tenths=tenths, grounds=grounds):
            cases = {**state.cases, episode: Weight(tenths, grounds)}
        case CaseWeighed(episode=episode, weight_tenths=tenths, grounds=grounds):
            weighed = {episode: Weight(tenths, grounds)} if episode in state.cases else {}
            cases = {**state.cases, **weighed}
        case CaseReleased(episode=episode):
            cases = {held: case for held, case in state.cases.items() if held != episode}
        case _:
            return state
    return replace(state, cases=cases, said={**state.said, episode: state.generation(episode) + 1})


def load_in(context: Mapping[StreamId, object], staff: StreamId) -> Load:
    """What somebody carries, as the context has it; nothing where it was not read."""
    loaded = context.get(caseload_of(staff))
    state = getattr(loaded, "state", None)
    return state if isinstance(state, Load) else Load()
