"""Which program runs our own Temporal server: one built before, `temporal` on PATH, the SDK's download, or one built now.

The order is design.md 7. A program counts only if its server can skip time (1.32 or later): tests and the demo need it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.ground.child import GroundError
from workers.ground.temporal_build import VERSION, Say, build, built_before, cache_folder, silent

SKIPS_TIME_FROM = (1, 32, 0)
DOWNLOAD_SILENCE_SECONDS = 10.0
"""The SDK's download is given up when so long nothing (more) of it arrived."""

DOWNLOAD_SECONDS_MAX = 300.0
UNFINISHED = ".downloading"

REMEDIES = f"""
Do one of these, then try again:
  - start a Temporal server {VERSION} yourself and set TEMPORAL_ADDRESS=host:port
  - put a `temporal` command-line tool with a server of {".".join(map(str, SKIPS_TIME_FROM))} or later on PATH
  - let this machine reach a Go module proxy (GOPROXY) and PyPI, so that the server can be built: 5 minutes, once
  - copy a server built elsewhere to ~/.cache/throughline/temporal-server/{VERSION}/server"""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can run a Temporal server. `source` says in words where it came from."""

    path: Path
    source: str
    development: bool = False
    """The command-line tool with its development server, instead of the server itself."""

    def command(self, *, ports: Mapping[str, str], files: Mapping[str, str]) -> tuple[str, ...]:
        """The command line that starts the server; the official server takes the rest of its settings from the environment."""
        if not self.development:
            return (str(self.path), "--allow-no-auth", "start")
        return (
            *(str(self.path), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"),
            *("--port", ports["FRONTEND_GRPC_PORT"], "--http-port", ports["FRONTEND_HTTP_PORT"], "--db-filename", files["DBNAME"]),
            *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
        )


def find_program(say: Say = silent, *, at_once: bool = False) -> Program:
    """The first of the ways that works; `say` gets a line of progress where it takes long. `at_once`: do not download or build.

    Raises GroundError that tells what was tried and what can be done.
    """
    tried: list[str] = []
    for way in (_built, _on_path, _kept) if at_once else (_built, _on_path, _kept, _downloaded, _build_now):
        try:
            if (program := way(say)) is not None:
                return program
        except GroundError as error:
            tried.append(f"  - {error}")
    raise GroundError("\n".join(("No Temporal server could be had:", *tried)) + REMEDIES)


def _built(say: Say) -> Program | None:
    built = built_before()
    return Program(built.server, f"the official server {built.version}, built before") if built else None


def _on_path(say: Say) -> Program | None:
    found = shutil.which("temporal")
    if found is None:
        raise GroundError("`temporal` is not on PATH")
    version = _server_version(Path(found))
    if version < SKIPS_TIME_FROM:
        raise GroundError(
            f"`temporal` on PATH cannot skip time: its server is {_dotted(version)}, wanted is {_dotted(SKIPS_TIME_FROM)}"
        )
    return Program(Path(found), f"`temporal` on PATH, server {_dotted(version)}", development=True)


def _kept(say: Say) -> Program | None:
    """What the SDK downloaded before for its own test environment."""
    for path in _downloads().iterdir():
        if path.is_file() and os.access(path, os.X_OK) and path.suffix != UNFINISHED:
            version = _server_version(path)
            if version < SKIPS_TIME_FROM:
                raise GroundError(f"the Temporal SDK's own download cannot skip time: its server is {_dotted(version)}")
            return Program(path, f"the Temporal SDK's download, server {_dotted(version)}", development=True)
    return None


def _downloaded(say: Say) -> Program | None:
    say("Asking for the Temporal SDK's own download.")
    _download(_downloads())
    if (program := _kept(say)) is None:
        raise GroundError(f"the Temporal SDK's own download did not come ({DOWNLOAD_SILENCE_SECONDS:.0f} s of silence)")
    return program


def _downloads() -> Path:
    folder = cache_folder() / "temporal-sdk-download"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_DOWNLOAD = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment

async def main():
    environment = await WorkflowEnvironment.start_local(download_dest_dir=sys.argv[1], dev_server_log_level="error")
    await environment.shutdown()

asyncio.run(main())
"""


def _download(folder: Path) -> None:
    """Let the SDK download in a process of its own, for as long as something arrives."""
    child = subprocess.Popen(
        [sys.executable, "-c", _DOWNLOAD, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    started = last_progress = time.monotonic()
    arrived = 0
    try:
        while child.poll() is None and time.monotonic() - started < DOWNLOAD_SECONDS_MAX:
            now_there = sum(path.stat().st_size for path in folder.iterdir())
            if now_there > arrived:
                arrived, last_progress = now_there, time.monotonic()
            if time.monotonic() - last_progress > DOWNLOAD_SILENCE_SECONDS:
                break
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for unfinished in folder.glob("*" + UNFINISHED):
            unfinished.unlink()


def _build_now(say: Say) -> Program | None:
    built = build(say)
    return Program(built.server, f"the official server {built.version}, built now")


def _server_version(path: Path) -> tuple[int, ...]:
    """The version of the server inside the command-line tool, empty where it does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        if match := re.search(r"[Ss]erver (\d+)\.(\d+)\.(\d+)", said):
            return tuple(map(int, match.groups()))
    return ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "unknown"
