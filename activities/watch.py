"""What time it is for a decision: the later of the workflow's clock and ours (design.md 4, Clock port)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from activities.codes import Coded
from domain.core import Instant
from eventlog.clock import Clock

APART_MAX = timedelta(minutes=2)
"""Two clocks of one system that differ by more are a fault to mend, not a basis for a decision."""


@dataclass(frozen=True, slots=True)
class Watch:
    """`apart_max` None: demo and tests, where clocks are moved on purpose."""

    clock: Clock
    apart_max: timedelta | None = APART_MAX

    def now(self, workflow_now: Instant) -> Instant:
        """The later of both clocks. Raises Coded("clocks_apart") where they differ by more than they may.

        Temporal's clock may lag behind: an activity that was retried got its instant when it was first asked for. Ahead it may
        not be.
        """
        own = self.clock.now()
        if self.apart_max is not None and workflow_now - own > self.apart_max:
            raise Coded("clocks_apart")
        return max(own, workflow_now)
