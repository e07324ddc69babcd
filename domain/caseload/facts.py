"""What is said of a care manager's caseload: the facts of a `caseload-` stream, which carries the uuid of the staff member."""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Fact, StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTaken(Fact):
    """A member's episode weighs on this care manager from now on, by so many tenths of a point. `over_cap_because`: the reason for
    going beyond the cap, where it was."""

    episode: StreamId
    weight_tenths: int
    over_cap_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseWeighed(Fact):
    """It weighs otherwise now: another tier, a transition begun or over, a special overlay. `grounds`: tier, transition, overlay
    keys."""

    episode: StreamId
    weight_tenths: int
    grounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReleased(Fact):
    """`reason`: handed_over, released, closed."""

    episode: StreamId
    reason: str
