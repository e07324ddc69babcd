"""The activity `advance`: from the log to a quiet plan, seen by the worklist, and how long to sleep (design.md 4)."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.codes import code_of
from activities.process_states import ProcessStates, Seen
from activities.rounds import Quiet, Rounds, wait_when_stuck
from activities.watch import Watch
from domain.core import ProcessRef
from workflows.shell import ADVANCE, Outcome

EFFECTS_MAX = 20
"""Delivered in one round; the rest is listed again by the next."""

JITTER_FROM = timedelta(hours=1)
JITTER_MAX = timedelta(seconds=20)
"""Long waits end up to this much later, each process at its own moment: thousands of dues fall on one midnight (rule 33)."""

TURNS = 256
TURN_SECONDS_MAX = 5.0

_log = structlog.get_logger("throughline.advance")


class Turns:
    """Within a worker, processes of one episode look one after another: what one of them writes the others read, so that looks at
    the same time would plan twice, and the one that somebody waits for would take as long as all of them.

    For speed only: the append checks what was read. So whoever has waited too long goes ahead."""

    def __init__(self) -> None:
        self._locks = tuple(threading.Lock() for _ in range(TURNS))

    @contextmanager
    def of(self, process: ProcessRef) -> Iterator[None]:
        """Wait for the turn of a process; some that have nothing to do with it share its lock."""
        lock = self._locks[zlib.crc32(process.id.encode()) % TURNS]
        mine = lock.acquire(timeout=TURN_SECONDS_MAX)
        try:
            yield
        finally:
            if mine:
                lock.release()


class Advance:
    """The activity with what it needs."""

    def __init__(self, rounds: Rounds, states: ProcessStates, watch: Watch) -> None:
        self._rounds = rounds
        self._states = states
        self._watch = watch
        self._turns = Turns()

    @activity.defn(name=ADVANCE)
    def advance(self, process: ProcessRef, workflow_now: datetime, seen: int) -> Outcome:
        """Plan and append until quiet; tell the workflow what to deliver and how long to sleep. Raises when it could not."""
        now = workflow_now
        try:
            now = self._watch.now(workflow_now)
            with self._turns.of(process):
                found = self._seen(self._rounds.until_quiet(process, now), seen)
                self._states.write(found)  # somebody looks at the worklist; whoever is next can wait for it too
        except Exception as error:
            self._states.failed(process, code_of(error), now)
            _log.warning("advance failed", process=process.stream, code=code_of(error))
            raise
        _log.info("advanced", process=process.stream, position=found.position, effects=len(found.effects))
        if found.stuck:
            _log.error("process is stuck", process=process.stream, code=found.stuck)
        return outcome_of(found)

    def _seen(self, quiet: Quiet, seen: int) -> Seen:
        loaded, now, plan = quiet.look.loaded, quiet.look.now, quiet.look.plan
        wake_at = plan.wake_at
        if quiet.stuck:
            retry_at = now + wait_when_stuck(self._states.attempts(loaded.ref))
            wake_at = min(wake_at, retry_at) if wake_at else retry_at
        return Seen(
            process=loaded.ref,
            position=max(seen, loaded.watermark),
            now=now,
            wake_at=wake_at,
            done=plan.done and not quiet.stuck,
            stuck=quiet.stuck,
            waiting_for=quiet.stuck or plan.waiting_for,
            effects=tuple(effect.key for effect in plan.effects),
            obligations=plan.obligations,
            member=getattr(loaded.state, "member", ""),
            plan=getattr(loaded.state, "plan", ""),
            phase=plan.waiting_for,
            turn=plan.turn,
            turns_max=plan.turns_max,
        )


def outcome_of(found: Seen) -> Outcome:
    """What the workflow is told: a duration instead of an instant, because its clock may be another."""
    wait = None if found.wake_at is None else max(found.wake_at - found.now, timedelta())
    if wait is not None and wait >= JITTER_FROM:
        wait += JITTER_MAX * (zlib.crc32(found.process.id.encode()) % 1_000) / 1_000
    return Outcome(
        position=found.position,
        effects=found.effects[:EFFECTS_MAX],
        wait_seconds=None if wait is None else wait.total_seconds(),
        waiting_for=found.waiting_for,
        done=found.done,
    )
