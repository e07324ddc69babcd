"""What a run is asked for, and what it leaves behind for the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from domain.core import Instant
from tests.torture.script import Script
from workers.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """`minutes`: of the whole run, settling and checks included. `only`: the kinds of faults that are allowed. `short`: come
    to rest as soon as each of them was done and each kill point was hit."""

    seed: int
    minutes: float
    members: int
    days: int
    only: frozenset[str]
    defect: str = ""
    short: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: a stream id, a position or a key, and what about it. Nothing personal."""

    check: str
    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: how much it looked at, and what it found."""

    check: str
    looked_at: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ChaosEvent:
    """A fault that was done: seconds after the start of the run, when it was in the programme, and what."""

    after_seconds: float
    world_at: Instant
    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run, at rest: nobody works any more, both servers are up.

    Ledgers, a line each: `sent` (key, kind, process, request, yes or no whether the channel counts a key once, told),
    `acknowledged` (control id, happening, sha256, times sent),
    `files` (happening, file id), `told` (a folder: happening, ok or a refusal's code;
    before it, for each accepted command: happening, "command", command id, stream, positions or "-"), `positions` (position, event
    id, in the order in which a reader saw them). `deadline`: in time.monotonic(), by when checks are to be finished.
    """

    seed: int
    script: Script
    home: Path
    settings: Settings
    incarnation: UUID
    stopped_at: Instant
    sent: Path
    acknowledged: Path
    files: Path
    told: Path
    positions: Path
    events: tuple[ChaosEvent, ...]
    kills: Mapping[str, int]
    refusals_by_guard: int
    settled: bool
    unsettled: str
    deadline: float
