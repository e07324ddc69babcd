"""The role processes of a run: started from a fork server in milliseconds, watched, and started again when they died."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess

from eventlog import killpoints
from tests.torture.role import AWAY_AT_START, GUARDED, WRITERS, run_role
from tests.torture.stage import Stage

WORKERS = ("worker:0", "worker:1")
ROUTER, PROJECTOR, INTAKE, API, READER = "router", "projector", "intake", "api", "reader"
WRITING = tuple(f"writer:{n}" for n in range(WRITERS))
EVERYBODY = (READER, *WORKERS, ROUTER, PROJECTOR, INTAKE, API, *WRITING)

POINTS_OF: Mapping[str, tuple[tuple[str, int], ...]] = {
    "worker": ((killpoints.LOAD_APPEND, 30), (killpoints.BEGUN_SEND, 3), (killpoints.SEND_OUTCOME, 3)),
    ROUTER: ((killpoints.SIGNAL_TRACKING, 12),),
    INTAKE: ((killpoints.STORE_ACKNOWLEDGE, 2),),
}
"""The kill points that each role passes, and after how many passings at most it is to die there."""

LOOK_SECONDS = 0.1
RESTART_SECONDS = 0.3
STOP_SECONDS = 6.0
"""A role that does not end within so long after it was asked to is killed, and counted."""


def begin_forking() -> None:
    """Start the process from which all roles are forked; it takes seconds to import everything, once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.torture.role"])
    forkserver.ensure_running()


class Crew:
    """All role processes. `arming`: asked before each start which kill point a role is to die at (`name:passings`), if any."""

    def __init__(self, stage: Stage, arming: Callable[[str], str]) -> None:
        self._stage = stage
        self._arming = arming
        self._context = multiprocessing.get_context("forkserver")
        self._processes: dict[str, ForkServerProcess] = {}
        self._wanted: dict[str, bool] = {}
        self._born: dict[str, float] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="crew", daemon=True)
        self.deaths: Counter[str] = Counter()
        self.unexpected: list[str] = []

    def start(self, names: Iterable[str] = EVERYBODY) -> None:
        for name in names:
            self._begin(name)
        if not self._watcher.is_alive():
            self._watcher.start()

    def _begin(self, name: str) -> None:
        with self._lock:
            if self._over.is_set():
                return
            environment = dict(self._stage.environment)
            environment[killpoints.KILL_AT] = self._arming(name)
            if name == GUARDED:
                environment["THROUGHLINE_MODE"] = "production"
            log = str(self._stage.home / f"{name.replace(':', '-')}.log")
            process = self._context.Process(target=run_role, args=(name, environment, log), name=name)
            process.start()
            self._processes[name] = process
            self._born[name] = time.monotonic()
            self._wanted[name] = True

    def pid(self, name: str) -> int | None:
        with self._lock:
            process = self._processes.get(name)
            return process.pid if process is not None and process.is_alive() else None

    def age_seconds(self, name: str) -> float:
        """How long the process has lived; 0 where it does not."""
        return time.monotonic() - self._born[name] if self.pid(name) is not None else 0.0

    def kill(self, name: str) -> bool:
        """SIGKILL; the watcher starts it again. Whether it lived."""
        if (pid := self.pid(name)) is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def freeze(self, name: str, seconds: float) -> bool:
        """Stop a process in the middle of whatever it does, and let it go on later as if nothing had been. Whether it lived."""
        if (pid := self.pid(name)) is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        process = self._processes[name]

        def go_on() -> None:
            if process.is_alive():
                os.kill(pid, signal.SIGCONT)

        thaw = threading.Timer(seconds, go_on)
        thaw.daemon = True
        thaw.start()
        return True

    def end(self, names: Iterable[str], *, gently: bool = False) -> None:
        """End some and do not start them again until `start`."""
        ending = []
        with self._lock:
            for name in names:
                self._wanted[name] = False
                if (process := self._processes.get(name)) is not None and process.is_alive() and process.pid is not None:
                    os.kill(process.pid, signal.SIGTERM if gently else signal.SIGKILL)
                    ending.append(process)
        until = time.monotonic() + STOP_SECONDS
        for process in ending:
            process.join(max(0.1, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(STOP_SECONDS)

    def end_all(self) -> None:
        """The end of the run: nobody is started again."""
        self._over.set()
        self.end(tuple(self._processes))

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                dead = [n for n, p in self._processes.items() if self._wanted[n] and not p.is_alive()]
            for name in dead:
                code = self._processes[name].exitcode
                self.deaths[name] += 1
                if code not in (-signal.SIGKILL, AWAY_AT_START):
                    self.unexpected.append(f"{name} ended by itself with {code}")
            if dead:
                self._over.wait(RESTART_SECONDS)
                for name in dead:
                    with self._lock:
                        if self._wanted[name] and not self._processes[name].is_alive():
                            self._begin(name)
