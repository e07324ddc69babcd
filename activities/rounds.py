"""From the log to a quiet plan: load, plan, append, again (design.md 4, `advance`). The plan decides; this only carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from domain.core import Instant, Plan, Process, ProcessRef, Refusal, Step, StreamId
from eventlog import killpoints
from eventlog.gateway import Accepted, Gateway, LoadedProcess

ROUNDS_MAX = 8
NOT_QUIET = "not_quiet"
SAID_NOTHING_NEW = "step_without_effect"
BUSY = "log_busy"

STUCK_WAIT = timedelta(seconds=30)
STUCK_WAIT_MAX = timedelta(hours=1)

PROCESS_IDS = UUID("6f5f0a3e-6d0e-4a55-9d0b-0c6f1a4f7e21")
"""The name space of command ids; never to be changed, or every step would be carried out again."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """The plan that is left when everything that can be written is written. `stuck`: the code of a step that could not be."""

    loaded: LoadedProcess
    plan: Plan
    stuck: str = ""


def command_id(process: ProcessRef, key: str) -> UUID:
    """The same for the same step of the same process, for ever: never of a run, an activity or an attempt (engine.md B4)."""
    return uuid5(uuid5(PROCESS_IDS, process.stream), key)


class Rounds:
    """Plans and appends until a plan is quiet. Thread-safe."""

    def __init__(self, gateway: Gateway, processes: Mapping[str, Process]) -> None:
        self._gateway = gateway
        self._processes = processes

    def look(self, process: ProcessRef, now: Instant) -> tuple[LoadedProcess, Plan]:
        """The process as it is, and its plan at an instant. Writes nothing."""
        loaded = self._gateway.load_process(process)
        return loaded, self._processes[process.kind].plan(loaded.state, loaded.context, loaded.book, now)

    def until_quiet(self, process: ProcessRef, now: Instant) -> Quiet:
        """Carry out the planned steps, at most eight rounds. A step that fails does not keep the others back."""
        failed: dict[str, tuple[dict[StreamId, int], str]] = {}
        for _ in range(ROUNDS_MAX):
            loaded, plan = self.look(process, now)
            fresh = [step for step in plan.steps if failed.get(step.key, ({}, ""))[0] != loaded.versions]
            if not fresh:
                return Quiet(loaded, plan, next((failed[step.key][1] for step in plan.steps), ""))
            killpoints.passing(killpoints.LOAD_APPEND)
            for step in fresh:
                code = self._carry_out(process, step, now)
                if code:
                    failed[step.key] = (loaded.versions, code)
        return Quiet(*self.look(process, now), NOT_QUIET)

    def _carry_out(self, process: ProcessRef, step: Step, now: Instant) -> str:
        """Write one step. The code of what kept it back, "" where something was written."""
        outcome = self._gateway.handle(
            replace(step.command, occurred_at=step.as_of),
            command_id=command_id(process, step.key),
            causation=step.key,
            correlation=process.stream,
            now=now,
        )
        match outcome:
            case Accepted(facts=facts, repeated=repeated):
                return "" if facts and not repeated else SAID_NOTHING_NEW
            case Refusal(code=code):
                return f"refused_{code}"
            case _:
                return BUSY


def wait_when_stuck(attempts: int) -> timedelta:
    """Doubles with every look that found it stuck, up to an hour."""
    return min(STUCK_WAIT * (1 << min(attempts, 10)), STUCK_WAIT_MAX)


def named(state: Any, *names: str) -> Any:
    """The first of these attributes that a process's state has; states of different processes differ."""
    return next((value for name in names if (value := getattr(state, name, None)) is not None), None)
