"""From the log to a quiet plan: load, plan, append, again (design.md 4, `advance`). The plan decides; this only carries out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid5

from activities.watch import APART_MAX
from domain.core import Instant, Plan, Process, ProcessRef, Refusal, Step, StreamId
from eventlog import killpoints
from eventlog.gateway import ORDERS_MAX, Accepted, Gateway, LoadedProcess, Order, Outcome

ROUNDS_MAX = 8
ROUNDS_SECONDS_MAX = 10.0
"""No round begins later than this, so that an advance ends before Temporal gives it up. One that is given up does no harm."""

NOT_QUIET = "not_quiet"
SAID_NOTHING_NEW = "step_without_effect"
BUSY = "log_busy"

STUCK_WAIT = timedelta(seconds=30)
STUCK_WAIT_MAX = timedelta(hours=1)

PROCESS_IDS = UUID("6f5f0a3e-6d0e-4a55-9d0b-0c6f1a4f7e21")
"""The name space of command ids; never to be changed, or every step would be carried out again."""


@dataclass(frozen=True, slots=True)
class Look:
    """A process as it was loaded, the instant that it was planned at, and the plan."""

    loaded: LoadedProcess
    now: Instant
    plan: Plan


@dataclass(frozen=True, slots=True)
class Quiet:
    """The look that is left when everything that can be written is written. `stuck`: the code of a step that could not be."""

    look: Look
    stuck: str = ""


def command_id(process: ProcessRef, key: str) -> UUID:
    """The same for the same step of the same process, for ever: never of a run, an activity or an attempt (engine.md B4)."""
    return uuid5(uuid5(PROCESS_IDS, process.stream), key)


class Rounds:
    """Plans and appends until a plan is quiet. Thread-safe."""

    def __init__(self, gateway: Gateway, processes: Mapping[str, Process]) -> None:
        self._gateway = gateway
        self._processes = processes

    def look(self, process: ProcessRef, now: Instant) -> Look:
        """The process as it is, and its plan. Writes nothing.

        What was recorded since `now` was taken must count, or a message would go out after a STOP that came while we loaded.
        """
        return self._planned(self._gateway.load_process(process), now)

    def until_quiet(self, process: ProcessRef, now: Instant) -> Quiet:
        """Carry out the planned steps, at most eight rounds. A step that fails does not keep the others back."""
        failed: dict[str, tuple[dict[StreamId, int], str]] = {}
        until = time.monotonic() + ROUNDS_SECONDS_MAX
        look = self._all_at_once(process, now)
        for _ in range(ROUNDS_MAX):
            versions, steps = look.loaded.versions, look.plan.steps
            fresh = [step for step in steps if failed.get(step.key, ({}, ""))[0] != versions]
            if not fresh:
                return Quiet(look, next((failed[step.key][1] for step in steps), ""))
            killpoints.passing(killpoints.LOAD_APPEND)
            for code, step in zip(self._carry_out(process, fresh, look.now), fresh, strict=True):
                if code:
                    failed[step.key] = (versions, code)
            look = self.look(process, now)
            if time.monotonic() > until:
                break
        return Quiet(look, NOT_QUIET if look.plan.steps else "")

    def _planned(self, loaded: LoadedProcess, now: Instant) -> Look:
        now = not_before(now, loaded.recorded_at)
        return Look(loaded, now, self._processes[loaded.ref.kind].plan(loaded.state, loaded.context, loaded.book, now))

    def _all_at_once(self, process: ProcessRef, now: Instant) -> Look:
        """The look after what the plan asked for, and what it asked for after that, was recorded in one go. Where something stood
        in the way nothing was, and what is left is carried out round by round."""
        looks: list[Look] = []

        def orders(loaded: LoadedProcess) -> tuple[Order, ...]:
            looks.append(self._planned(loaded, now))
            steps = looks[-1].plan.steps
            if steps:
                killpoints.passing(killpoints.LOAD_APPEND)
            return tuple(_order(process, step) for step in steps)

        left = self._gateway.handle_as_planned(process, orders, now=now)
        if left is None:
            return self.look(process, now)
        return replace(looks[-1], loaded=left)  # only our own facts came to it: the plan is the one that asked for no more

    def _carry_out(self, process: ProcessRef, steps: Sequence[Step], now: Instant) -> tuple[str, ...]:
        """Write the steps: as one, and where that is not possible each by itself, so that one which is refused keeps no other back.
        For each the code of what kept it back, "" where something was written."""
        orders = tuple(_order(process, step) for step in steps)
        together = self._gateway.handle_many(orders, now=now) if len(orders) <= ORDERS_MAX else None
        if isinstance(together, tuple):
            return tuple(map(_kept_back, together))
        return tuple(self._alone(order, now) for order in orders)

    def _alone(self, order: Order, now: Instant) -> str:
        outcome = self._gateway.handle_many((order,), now=now)
        return _kept_back(outcome[0] if isinstance(outcome, tuple) else outcome)


def _order(process: ProcessRef, step: Step) -> Order:
    return Order(
        command=replace(step.command, occurred_at=step.as_of),
        command_id=command_id(process, step.key),
        causation=step.key,
        correlation=process.stream,
    )


def _kept_back(outcome: Outcome) -> str:
    """The code of what kept a step back, "" where something was written."""
    match outcome:
        case Accepted(facts=facts, repeated=repeated):
            return "" if facts and not repeated else SAID_NOTHING_NEW
        case Refusal(code=code):
            return f"refused_{code}"
        case _:
            return BUSY


def not_before(now: Instant, recorded_at: Instant | None) -> Instant:
    """Now, but not before what was read was recorded, as far as the clocks of one system may differ."""
    return now if recorded_at is None else max(now, min(recorded_at, now + APART_MAX))


def wait_when_stuck(attempts: int) -> timedelta:
    """Doubles with every look that found it stuck, up to an hour."""
    return min(STUCK_WAIT * (1 << min(attempts, 10)), STUCK_WAIT_MAX)
