"""Temporal's own web pages, where they could be had: built along with the server. Never required."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from pathlib import Path

from workers.ground.child import end, free_ports, living, port_is_free, spawn, stop_at_exit, write_pid
from workers.ground.temporal_build import web_pages_program

START_SECONDS = 15.0
_FOLDER, _PID_FILE, _CONFIGURATION = "temporal", "web.pid", "web/throughline.yaml"


class TemporalWebPages:
    """The server of the web pages, for one Temporal: `start` and `stop` it."""

    def __init__(self, folder: Path, *, program: Path, temporal_address: str, namespace: str, port: int) -> None:
        self.folder = folder
        self.program = program
        self.port = port
        self._temporal_address = temporal_address
        self._namespace = namespace
        self._pid_file = folder / _PID_FILE

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.port}/namespaces/{self._namespace}/workflows"

    def start(self) -> bool:
        """Start and wait until the pages are served; False where they are not within `START_SECONDS`."""
        if not port_is_free(self.port):
            self.port = free_ports(1)[0]
        configuration = self.folder / _CONFIGURATION
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(  # JSON is YAML
            json.dumps(
                {
                    "temporalGrpcAddress": self._temporal_address,
                    "host": "127.0.0.1",
                    "port": self.port,
                    "enableUi": True,
                    "defaultNamespace": self._namespace,
                }
            )
        )
        command = [str(self.program), "--root", str(self.folder), "--config", "web", "--env", "throughline", "start"]
        # It takes a SIGTERM as a wish and outlives it; it keeps nothing, so nothing is lost by a harder word.
        child = spawn(command, log=self.folder / "web.log", folder=self.folder, death_signal=signal.SIGKILL)
        write_pid(self._pid_file, child.pid)
        stop_at_exit(self.stop)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
            time.sleep(0.05)
        self.stop()
        return False

    def stop(self) -> None:
        """Stop serving."""
        if (process := living(self._pid_file)) is not None:
            end(process, signal.SIGTERM, seconds=5.0)
        self._pid_file.unlink(missing_ok=True)


def provide_web_pages(home: Path, *, temporal_address: str, namespace: str, port: int) -> TemporalWebPages | None:
    """Serve Temporal's web pages if their program was built; None, and no complaint, where that cannot be."""
    program = web_pages_program()
    if program is None:
        return None
    pages = TemporalWebPages(home / _FOLDER, program=program, temporal_address=temporal_address, namespace=namespace, port=port)
    try:
        return pages if pages.start() else None
    except OSError:
        return None


def served_on(home: Path) -> int | None:
    """The port on which our own web pages are served now; None where they are not."""
    if living(home / _FOLDER / _PID_FILE) is None:
        return None
    return int(json.loads((home / _FOLDER / _CONFIGURATION).read_text())["port"])
