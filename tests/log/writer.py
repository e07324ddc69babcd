"""A writer in a process of its own, for the test of order: many threads, hot streams, claims, until it is killed or told to end.

python -m tests.log.writer URL KEYS_URL SEED THREADS ACKNOWLEDGED_FILE STOP_FILE
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path
from uuid import UUID, uuid5

from domain.core import Command
from eventlog.clock import SystemClock
from eventlog.gateway import Accepted
from eventlog.opening import open_log
from eventlog.recorder import LogAway
from tests.log import toy
from tests.log.conftest import MASTER, gateway_of

HOT_MEMBERS = tuple(f"member-{uuid5(UUID(int=0), f'member {n}')}" for n in range(12))
HOT_CAMPAIGNS = tuple(f"outreach-{uuid5(UUID(int=0), f'outreach {n}')}" for n in range(12))
CLAIMS = tuple(f"claim-{n:04x}" for n in range(200))


def command_of(dice: random.Random) -> Command:
    """Something that touches what others are touching too."""
    chance = dice.random()
    if chance < 0.15:
        return toy.GiveConsent(stream=dice.choice(HOT_MEMBERS), by="system")
    if chance < 0.30:
        return toy.WithdrawConsent(stream=dice.choice(HOT_MEMBERS), by="system")
    if chance < 0.45:
        return toy.Register(stream=f"member-{UUID(int=dice.getrandbits(128))}", by="system", claim=dice.choice(CLAIMS), name="Ada")
    campaign = dice.choice(HOT_CAMPAIGNS) if chance < 0.6 else f"outreach-{UUID(int=dice.getrandbits(128))}"
    return toy.SendLetter(
        stream=campaign, by="system", member=dice.choice(HOT_MEMBERS), text="hello", times=20 if dice.random() < 0.25 else 1
    )


def main(url: str, keys_url: str, seed: int, threads: int, acknowledged: Path, stop: Path) -> None:
    opened = open_log(url, keys_url, master_key=MASTER, facts=toy.FACTS, pool_max=threads + 1)
    gateway = gateway_of(opened, SystemClock())
    out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(number: int) -> None:
        dice = random.Random(f"{seed} {number}")
        while not stop.exists():
            command, command_id = command_of(dice), UUID(int=dice.getrandbits(128))
            try:
                outcome = gateway.handle(command, command_id=command_id)
                if isinstance(outcome, Accepted) and dice.random() < 0.1:
                    again = gateway.handle(command, command_id=command_id)
                    assert isinstance(again, Accepted) and again.repeated and again.facts == outcome.facts
            except LogAway:
                continue
            positions = (
                " ".join(str(f.position) for f in outcome.facts) if isinstance(outcome, Accepted) else type(outcome).__name__
            )
            os.write(out, f"{command_id} {positions}\n".encode())

    working = [threading.Thread(target=write, args=(n,)) for n in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    opened.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]), Path(sys.argv[6]))
