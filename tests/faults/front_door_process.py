"""A listener in a process of its own, so that a test can have it killed: prints its port, then listens until it dies."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from tests.intake.conftest import open_world


async def listen(url: str) -> None:
    world = open_world(url)
    world.door.start_workers(threading.Event(), threads=1)
    listener = world.door.listener()
    sys.stdout.write(f"{await listener.start()}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(listen(os.environ["TEST_DATABASE_URL"]))
