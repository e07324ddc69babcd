"""`python -m workers.ground.as_in_production COMMAND…`: run a command on servers like production's, gone afterwards.

`DATABASE_URL` names a PostgreSQL 15 of Debian, `TEMPORAL_ADDRESS` a Temporal that keeps its workflows in another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from workers.ground.child import GroundError
from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database
from workers.ground.temporal import TemporalServer
from workers.ground.temporal_build import schema_tool_program
from workers.ground.temporal_on_postgres import DEBIAN_BINARIES, postgres_persistence
from workers.ground.temporal_program import find_program


def run(command: list[str]) -> int:
    """The command's exit status. Raises GroundError where the servers cannot be had."""
    tool = schema_tool_program()
    if not (DEBIAN_BINARIES / "postgres").exists():
        raise GroundError("Debian's PostgreSQL 15 is not installed: apt-get install postgresql-15")
    if tool is None:
        raise GroundError("Temporal's schema tool is not here: it is built along with the server by `make ground`")
    with tempfile.TemporaryDirectory(prefix="throughline-ground-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        servers = [
            PostgresServer(folder / name, settings=FOR_TESTS, binaries=DEBIAN_BINARIES) for name in ("log", "temporal-tables")
        ]
        try:
            log, tables = (server.start() for server in servers)
            database = postgres_persistence(tables.url(), schema_tool=tool)
            temporal = TemporalServer(folder / "temporal", program=find_program(at_once=True), database=database).start()
            try:
                ensure_database(log.url("throughline"))
                environment = {**os.environ, "DATABASE_URL": log.url("throughline"), "TEMPORAL_ADDRESS": temporal.address}
                return subprocess.run(command, env=environment, check=False).returncode
            finally:
                temporal.stop()
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except GroundError as error:
        sys.exit(str(error))
