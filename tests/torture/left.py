"""A finished run, opened for looking at: its system, the whole log read once, and every process planned from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from activities.rounds import Look
from domain.core import ProcessRef, Recorded
from eventlog.clock import FixedClock
from eventlog.codec import StoredFact
from tests.torture.options import Checked, Finding, Run
from workers.composition import System, open_system

FINDINGS_MAX = 20
"""Of one check; the rest is counted."""


@dataclass(frozen=True)
class Left:
    """What a run left behind."""

    run: Run
    system: System

    @cached_property
    def facts(self) -> tuple[StoredFact, ...]:
        """The whole log, in its order."""
        return tuple(self.system.log.all())

    @cached_property
    def recorded(self) -> tuple[Recorded, ...]:
        return tuple(stored.recorded for stored in self.facts)

    @cached_property
    def processes(self) -> tuple[ProcessRef, ...]:
        """Every process that the log speaks of."""
        found = (self.system.programme.process_of(recorded.stream) for recorded in self.recorded)
        return tuple(dict.fromkeys(ref for ref in found if ref is not None))

    @cached_property
    def looks(self) -> Mapping[ProcessRef, Look]:
        """Every process as it is to be planned at the end, from the log alone."""
        rounds, _ = self.system.carriers()
        return {ref: rounds.look(ref, self.run.stopped_at) for ref in self.processes}

    def query(self, statement: str, *arguments: Any) -> list[Any]:
        with self.system.pool.connection() as conn:
            return conn.execute(statement.encode(), arguments).fetchall()


@contextmanager
def opened(run: Run) -> Iterator[Left]:
    """The run's system under a clock that stands still where the run stopped."""
    with open_system(run.settings, clock=FixedClock(run.stopped_at)) as system:
        yield Left(run, system)


class Tally:
    """What one check looked at and found."""

    def __init__(self, check: str) -> None:
        self.check = check
        self.looked_at = 0
        self.findings: list[Finding] = []
        self._more = 0

    def look(self, fine: bool, subject: object, what: str) -> None:
        """One thing was looked at; `what` is wrong with it unless it is fine."""
        self.looked_at += 1
        if not fine:
            self.find(subject, what)

    def find(self, subject: object, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(self.check, str(subject), what))
        else:
            self._more += 1

    @property
    def checked(self) -> Checked:
        more = (Finding(self.check, "", f"and {self._more} more"),) if self._more else ()
        return Checked(self.check, self.looked_at, (*self.findings, *more))
