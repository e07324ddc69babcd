"""What goes wrong in a run, and when: every choice from one seed. Each fault is counted; while `calm` is set nothing happens.

First each kind once, in shuffled order, then at random. A fault returns when the system can be well again: what was stopped runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg
from temporalio.service import RPCError

from tests.torture import crew as crews
from tests.torture.crew import Crew
from tests.torture.options import ChaosEvent
from tests.torture.role import GUARDED, SIGNALS
from tests.torture.stage import NAMESPACE, Stage
from workers.composition import connect_temporal
from workers.ground.postgres import with_database
from workers.ground.temporal import register_namespace
from workers.rebuild import rebuild
from workers.signals import TemporalAway

KILLED = {
    "kill-writer": crews.WRITING,
    "kill-router": (crews.ROUTER,),
    "kill-projector": (crews.PROJECTOR,),
    "kill-worker": crews.WORKERS,
    "kill-intake": (crews.INTAKE,),
    "kill-api": (crews.API,),
}
OFTEN = 4
"""Once each kind was done, roles are killed so much more often than anything else happens."""

POINTS, JUMP = "kill-points", "clock-jump"
FIRST_SECONDS, SECONDS = (0.2, 1.2), (0.8, 4.0)
"""Between two faults: as long as each kind is still to be done once, and afterwards."""

SLOWNESS_MAX, QUEUE_USUAL = 3.0, 3.0
"""How many wait for each core while a run is undisturbed by others; and no pause grows by more than this factor."""

LOST_PERCENT, DOUBLED_PERCENT = 30, 40
SIGNALS_SECONDS = 5.0
LIVES_SECONDS = 1.5
"""A role that lives shorter is not killed by chance; kill points may still hit it."""

GUARD_SECONDS_MAX = 8.0
REBUILDS_MAX = 5
FROZEN_SECONDS = (0.3, 5.5)
AWAY_SECONDS = (0.0, 2.5)


@dataclass
class Chaos:
    """Does the faults of one run in a thread of its own. `only`: the kinds that are allowed."""

    stage: Stage
    seed: int
    only: frozenset[str]
    crew: Crew = field(init=False)
    events: list[ChaosEvent] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    guard_refusals: int = 0
    _began: float = field(default_factory=time.monotonic)
    _calm: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)
        self._arms = Random(self.seed + 1)
        self._armed: Counter[str] = Counter()
        self.crew = Crew(self.stage, self.arm)

    @property
    def faults(self) -> Mapping[str, Callable[[], str | None]]:
        """Every kind of fault that is done at a moment; what it did in words, None where it could not be done now."""
        kills: dict[str, Callable[[], str | None]] = {
            kind: (lambda names=names: self._kill(names))
            for kind, names in KILLED.items()  # type: ignore[misc]
        }
        return {
            **kills,
            "freeze": self._freeze,
            "postgres-stop": lambda: self._postgres(self.stage.postgres.stop),
            "postgres-kill": lambda: self._postgres(self.stage.postgres.kill),
            "cut": self._cut,
            "temporal-kill": self._temporal_kill,
            "temporal-restore": self._temporal_restore,
            "temporal-rebuild": self._temporal_rebuild,
            "signals-lost": lambda: self._signals(lost=LOST_PERCENT),
            "signals-doubled": lambda: self._signals(doubled=DOUBLED_PERCENT),
            "clock-guard": self._clock_guard,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in KINDS if kind in self.only)

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events)

    # --- when ---

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self._thread.start()

    def calm(self) -> None:
        """Begin no other fault."""
        self._calm.set()

    def end(self, seconds: float = 20.0) -> None:
        """No more faults: wait until the one under way is over and everybody is up."""
        self.calm()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def dealt(self) -> bool:
        """Whether each kind was done at least once."""
        return all(self.count(kind) for kind in self.kinds)

    def _run(self) -> None:
        deck: list[str] = []
        faults = self.faults
        if not self.only & set(faults):
            return
        while not self._calm.wait(slowness() * self._dice.uniform(*(SECONDS if self.dealt else FIRST_SECONDS))):
            if not deck:
                often = OFTEN if self.dealt else 1
                deck = [kind for kind in self.kinds if kind in faults for _ in range(often if kind.startswith("kill") else 1)]
                self._dice.shuffle(deck)
            kind = deck.pop()
            try:
                detail = faults[kind]()
            except Exception as error:  # a fault that fails is a failure of the run, not the end of its thread
                self.errors.append(f"{kind}: {type(error).__name__}: {error}"[:300])
                continue
            if detail is None:
                deck.insert(0, kind)
            else:
                self.note(kind, detail)

    def note(self, kind: str, detail: str = "") -> None:
        self.events.append(ChaosEvent(time.monotonic() - self._began, self.stage.clock.now(), kind, detail))

    def arm(self, role: str) -> str:
        """The kill point at which a role that starts now is to die: the one of its own that was armed least often."""
        points = dict(crews.POINTS_OF.get(role.partition(":")[0], ()))
        if not points or POINTS not in self.only or self._calm.is_set():
            return ""
        point = min(points, key=lambda name: (self._armed[name], name))
        self._armed[point] += 1
        return f"{point}:{self._arms.randint(1, points[point])}"

    # --- what ---

    def _kill(self, names: tuple[str, ...]) -> str | None:
        """One of them that has lived long enough to have begun something."""
        name = self._dice.choice(names)
        return name if self.crew.age_seconds(name) > LIVES_SECONDS * slowness() and self.crew.kill(name) else None

    def _freeze(self) -> str | None:
        name = self._dice.choice([name for name in crews.EVERYBODY if name != crews.READER])
        seconds = self._dice.uniform(*FROZEN_SECONDS)
        return f"{name} for {seconds:.1f} s" if self.crew.freeze(name, seconds) else None

    def _postgres(self, down: Callable[[], None]) -> str:
        down()
        seconds = self._dice.uniform(*AWAY_SECONDS)
        self._calm.wait(seconds)
        self.stage.postgres.start()
        return f"away for {seconds:.1f} s"

    def _cut(self) -> str | None:
        """Cut a third of all connections, or all of them."""
        percent = self._dice.choice((34, 100))
        assert self.stage.settings.database_url is not None
        try:
            with psycopg.connect(with_database(self.stage.settings.database_url, "postgres"), autocommit=True) as conn:
                cut = conn.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname LIKE 'torture%%' AND hashint4(pid) & 127 < %s",
                    (percent * 128 // 100,),
                ).fetchone()
        except psycopg.Error:
            return None
        return f"{cut[0] if cut else 0} connections"

    def _temporal_kill(self) -> str:
        self.stage.temporal.kill()
        self._calm.wait(self._dice.uniform(*AWAY_SECONDS))
        self.stage.temporal.start()
        return ""

    def _temporal_restore(self) -> str | None:
        """The first time a backup is taken of the crashed server's files; the next time that old one is put back."""
        backup = self.stage.home / "temporal-backup"
        files = self.stage.temporal.folder
        if not backup.exists():
            self.stage.temporal.kill()
            _copy(files, backup)
            self.stage.temporal.start()
            self.note("temporal-backup")
            return None
        self.stage.temporal.kill()
        for file in files.glob("*.db*"):
            file.unlink()
        _copy(backup, files)
        shutil.rmtree(backup)
        self.stage.temporal.start()
        return "from the backup that was taken last"

    def _temporal_rebuild(self) -> str | None:
        """Temporal's files are gone; every workflow is made anew from the log, with router and workers away, as is written."""
        away = (crews.ROUTER, *crews.WORKERS)
        self.crew.end(away)
        self.stage.temporal.kill()
        self.stage.temporal.drop_database()
        self.stage.temporal.start()
        asyncio.run(register_namespace(self.stage.temporal.address, NAMESPACE))
        try:
            rebuilt = asyncio.run(self._rebuilt())
        finally:
            self.crew.start(away)
        return f"{rebuilt} processes"

    async def _rebuilt(self) -> int:
        """A server that was just made needs a moment until it knows its namespace everywhere; a rebuild goes on where it was."""
        with self.stage.connect() as system:
            client = await connect_temporal(self.stage.settings)
            for attempt in range(1, REBUILDS_MAX + 1):
                try:
                    done = await rebuild(system.log, system.pool, client, system.programme, per_second=1_000)
                    return done.total
                except (RPCError, TemporalAway):
                    if attempt == REBUILDS_MAX:
                        raise
                    await asyncio.sleep(attempt)
        raise AssertionError

    def _signals(self, lost: int = 0, doubled: int = 0) -> str:
        """For a while the router's signals are lost or doubled, whatever else happens meanwhile."""
        file = self.stage.home / SIGNALS
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps({"lost": lost, "doubled": doubled, "until": time.time() + SIGNALS_SECONDS}))
        beside.replace(file)
        return f"{lost or doubled} of a hundred"

    def _clock_guard(self) -> str | None:
        """Only a worker is left whose clock lies five minutes behind Temporal's, as in production: it must not decide."""
        self.crew.end(crews.WORKERS)
        refused = 0
        try:
            self.crew.start((GUARDED,))
            until = time.monotonic() + GUARD_SECONDS_MAX
            while time.monotonic() < until and not refused and not self._calm.is_set():
                time.sleep(0.2)
                refused = self._refused()
        finally:
            self.crew.end((GUARDED,))
            self.crew.start(crews.WORKERS)
        self.guard_refusals += refused
        return f"{refused} processes not decided on" if refused else None

    def _refused(self) -> int:
        assert self.stage.settings.database_url is not None
        try:
            with psycopg.connect(self.stage.settings.database_url, connect_timeout=3) as conn:
                row = conn.execute(_REFUSED).fetchone()
        except psycopg.Error:
            return 0
        return int(row[0]) if row else 0


def slowness() -> float:
    """How much longer everything takes on a machine that others work on too: the pauses between faults grow with it."""
    return min(SLOWNESS_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / QUEUE_USUAL))


_REFUSED = "SELECT count(*) FROM process_state WHERE last_error = 'clocks_apart' AND failing_since IS NOT NULL"


def _copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in source.glob("*.db*"):
        shutil.copy2(file, target / file.name)


KINDS = (
    *KILLED, "freeze", "postgres-stop", "postgres-kill", "cut", "temporal-kill", "temporal-restore", "temporal-rebuild",
    "signals-lost", "signals-doubled", "clock-guard", JUMP,
)  # fmt: skip
"""Every kind of fault by name, without the kill points. The jumps of the clock are done by whoever moves it (conductor.py)."""
