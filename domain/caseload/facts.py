"""What is said of a care manager's caseload: the facts of a `caseload-` stream, which carries the uuid of the staff member."""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Fact, StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseTaken(Fact):
    """A member's episode weighs on this care manager from now on, by so many tenths of a point, on these grounds (see CaseWeighed).

    `load_tenths` is what they carried before, `cap_tenths` what the policy version lets them carry (0: no cap). `over_cap_because`:
    the reason for going beyond it, where it was; who took it upon them is the fact's actor."""

    episode: StreamId
    weight_tenths: int
    over_cap_because: str = ""
    grounds: tuple[str, ...] = ()
    load_tenths: int = 0
    cap_tenths: int = 0
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseWeighed(Fact):
    """It weighs otherwise now: another tier, a transition begun or over, a special overlay. `grounds`: not_enrolled, tier:<tier>,
    transition, overlay:<key>."""

    episode: StreamId
    weight_tenths: int
    grounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReleased(Fact):
    """`reason`: handed_over, released, closed, left."""

    episode: StreamId
    reason: str


CASES: tuple[type[Fact], ...] = (CaseTaken, CaseWeighed, CaseReleased)
"""They name the episode of which they are said."""
