"""A part of the front door in a process of its own, so that a test can have it killed: prints its port, then works until it dies.

Arguments: `both` (the default), `listen [port]` or `apply`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from tests.intake.conftest import open_world


async def work(url: str, part: str = "both", port: str = "0") -> None:
    world = open_world(url, create=False)
    bound = 0
    if part != "listen":
        world.door.start_workers(threading.Event(), threads=1)
    if part != "apply":
        listener = world.door.listener(port=int(port))
        bound = await listener.start()
    sys.stdout.write(f"{bound}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(os.environ["TEST_DATABASE_URL"], *sys.argv[1:]))
