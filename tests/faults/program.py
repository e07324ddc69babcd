"""A router or a worker as a process of its own, to be killed: `python -m tests.faults.program router|worker`.

The real composition root, but with short time limits, so that the loss of a worker is noticed in seconds, and a ledger as channel:
a file that gets a line for each message handed over, so that nothing sent is forgotten by whoever dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from activities.channels.port import Outgoing, Sent, Told
from tests.faults.hasty import HastyOutreach
from workers.composition import KINDS, connect_temporal, open_system
from workers.programme import the_programme
from workers.router import Pace, Router
from workers.settings import load_settings
from workers.temporal_worker import run_worker
from workflows.transition import Transition

LEDGER = "TEST_LEDGER"
IDEMPOTENT = "TEST_IDEMPOTENT"


@dataclass(frozen=True)
class Ledger:
    """Hands over by writing a line. Where it is idempotent, whoever reads it counts a key once."""

    file: Path
    idempotent: bool

    def send(self, message: Outgoing) -> Told:
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{message.key} {message.kind}\n".encode())
        os.fsync(handle)
        os.close(handle)
        return Sent(message.key)


async def main(role: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ledger = Ledger(Path(os.environ[LEDGER]), os.environ.get(IDEMPOTENT, "yes") == "yes")
    programme = replace(the_programme(), workflows=(HastyOutreach, Transition))
    with open_system(load_settings(), channels=dict.fromkeys(KINDS, ledger), programme=programme) as system:
        if role == "router":
            client = await connect_temporal(system.settings)
            await Router(system.log, system.router_store(), programme, client, Pace(idle_seconds=0.1)).run(stop)
        else:
            await run_worker(system, stop, schedule=False, graceful=timedelta(seconds=1))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
