"""Server processes that die with the process that started them, and the ports that they listen on.

A child gets its signal from the kernel when we die, however we die (Linux), and from `atexit` elsewhere. A pid file with the
process's start time lets a second start notice a living server and tell it from a stranger that got the same number.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import psutil

PORT_FIRST, PORT_LAST = 20_000, 32_000
"""Below the range that the system gives to outgoing connections, so that a restarted server finds its port free."""

PORT_TRIES_MAX = 500
STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


class GroundError(Exception):
    """A server could not be had. The text says what was tried and what the reader can do; it is shown as it is."""


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback that nothing listens on now. Raises GroundError when none is found in `PORT_TRIES_MAX` tries each."""
    with contextlib.ExitStack() as held:
        return tuple(_free_port(held) for _ in range(count))


def _free_port(held: contextlib.ExitStack) -> int:
    for _ in range(PORT_TRIES_MAX):
        candidate = random.randint(PORT_FIRST, PORT_LAST)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind(("127.0.0.1", candidate))
        except OSError:
            listener.close()
            continue
        held.enter_context(contextlib.closing(listener))
        return candidate
    raise GroundError(f"No free port between {PORT_FIRST} and {PORT_LAST} on 127.0.0.1. Stop what listens there and try again.")


def port_is_free(port: int) -> bool:
    """Whether nothing accepts connections on the port of the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) != 0


# A child whose death signal comes from the kernel gets it when the *thread* that started it ends. So all children are
# started by one thread that lives as long as the process.
_requests: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
_spawner_lock = threading.Lock()
_spawner: list[tuple[int, threading.Thread]] = []


def _serve_requests() -> None:
    while True:
        start, answer = _requests.get()
        try:
            answer.set_result(start())
        except BaseException as error:
            answer.set_exception(error)


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    group: int | None = None,
    folder: Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own (Ctrl-C does not reach it), its output appended to `log`.

    It gets `death_signal` when this process dies. `user` and `group` are numeric ids to run as. Raises OSError where the command
    cannot be started.
    """
    with _spawner_lock:
        if not _spawner or _spawner[0][0] != os.getpid():
            thread = threading.Thread(target=_serve_requests, name="ground-spawner", daemon=True)
            thread.start()
            _spawner[:] = [(os.getpid(), thread)]
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
                start_new_session=True,
                preexec_fn=before_exec,
            )

    answer: Future[subprocess.Popen[bytes]] = Future()
    _requests.put((start, answer))
    return answer.result()


def stop_at_exit(stop: Callable[[], None]) -> Callable[[], None]:
    """Call `stop` when this process (not a fork of it) ends; returns what takes the promise back."""
    owner = os.getpid()

    def guarded() -> None:
        if os.getpid() == owner:
            stop()

    atexit.register(guarded)
    return lambda: atexit.unregister(guarded)


@contextlib.contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Hold a lock file against other processes; waits for whoever holds it."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_pid(file: Path, pid: int) -> None:
    """Remember a process: its number and when it was created."""
    with contextlib.suppress(psutil.NoSuchProcess):
        file.write_text(f"{pid} {psutil.Process(pid).create_time():.2f}\n")


def living(file: Path) -> psutil.Process | None:
    """The process that a pid file names, if it still runs and is the same one."""
    try:
        number, created = file.read_text().split()
        process = psutil.Process(int(number))
        same = abs(process.create_time() - float(created)) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.Error):
        return None


def end(process: psutil.Process, gently: signal.Signals, *, seconds: float = STOP_SECONDS) -> None:
    """Ask a process to end, wait, and kill it when it does not. Returns when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(gently)
        if gone(process, seconds=seconds):
            return
        process.kill()
        gone(process, seconds=STOP_SECONDS)


def gone(process: psutil.Process, *, seconds: float) -> bool:
    """Wait until a process has ended with all its threads, so that its ports are free; False where it has not in so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if process.status() == psutil.STATUS_ZOMBIE and _ended(process):
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def _ended(zombie: psutil.Process) -> bool:
    """A process looks like a zombie as soon as its first thread ended; its ports are open until the last one has."""
    try:
        return os.waitpid(zombie.pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return zombie.num_threads() <= 1


def tail(log: Path, *, lines: int = 8) -> str:
    """The last lines of a log file, for a message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
