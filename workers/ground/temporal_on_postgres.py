"""Temporal's tables in a PostgreSQL, as in production: made by Temporal's schema tool, handed over as the server's settings."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workers.ground.child import GroundError

DEBIAN_BINARIES = Path("/usr/lib/postgresql/15/bin")
"""Debian's PostgreSQL has the extension btree_gin, which the visibility tables want; the packaged one has not."""

SCHEMAS = (("temporal", "postgresql/v12/temporal"), ("temporal_visibility", "postgresql/v12/visibility"))
TOOL_SECONDS_MAX = 120.0


def postgres_persistence(url: str, *, schema_tool: Path) -> Mapping[str, str]:
    """Make or update both of Temporal's databases on the server of `url`; returns the settings for `TemporalServer(database=…)`.

    Raises GroundError with what the schema tool said.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", str(parts.port or 5432)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    reach = {"SQL_PLUGIN": "postgres12", "SQL_HOST": host, "SQL_PORT": port, "SQL_USER": user, "SQL_PASSWORD": password}
    for name, schema in SCHEMAS:
        environment = {**reach, "SQL_DATABASE": name}
        _run(schema_tool, environment, "--quiet", "create")
        _run(schema_tool, environment, "--quiet", "setup-schema", "-v", "0.0")
        _run(schema_tool, environment, "update-schema", "--schema-name", schema)
    return {
        "DB": "postgres12",
        "POSTGRES_SEEDS": host,
        "DB_PORT": port,
        "POSTGRES_USER": user,
        "POSTGRES_PWD": password,
        "DBNAME": SCHEMAS[0][0],
        "VISIBILITY_DBNAME": SCHEMAS[1][0],
    }


def _run(tool: Path, environment: Mapping[str, str], *arguments: str) -> None:
    ran = subprocess.run(
        [str(tool), *arguments], env=dict(environment), capture_output=True, text=True, timeout=TOOL_SECONDS_MAX, check=False
    )
    if ran.returncode != 0:
        raise GroundError(f"Temporal's schema tool failed at {' '.join(arguments)}: {(ran.stderr or ran.stdout).strip()[-400:]}")
