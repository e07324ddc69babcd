"""PostgreSQL is stopped, started and killed while hospitals send without a pause: what was acknowledged is kept, what is not kept
is not acknowledged, and the senders hear nothing but the end of their connections (messages.md 1.5, 5.1)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from intake.listening.mllp import ANSWER_SECONDS_MAX
from intake.store.inbox import Status
from tests.faults.kills import message
from tests.faults.senders import Heard, Hospital, control_id
from tests.intake.conftest import World, open_world
from tests.intake.making import MARISOL
from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database, with_database

pytestmark = [pytest.mark.kills, pytest.mark.timeout(240)]

MESSAGES = 900
HOSPITALS = 6
WINDOW = 8
OUTAGES = (("stop", 2.0), ("kill", 7.0), ("kill", 2.0))
"""How it goes, and for how many seconds. The long one is longer than a message may wait for a connection to the database."""

SETTLED_SECONDS = 0.5
"""What the database had committed before it went is still answered, so much later at most."""

BUSY_SECONDS = 4.0
"""The machine may be so late with everything."""


def test_nothing_acknowledged_is_lost_and_nothing_is_acknowledged_while_the_database_is_away(ground_folder: Path) -> None:
    server = PostgresServer(ground_folder / "away-at-the-door" / "postgres", settings=FOR_TESTS).start()
    url = with_database(server.url(), "outage")
    ensure_database(url)
    ensure_database(url + "_keys")
    world, stop = open_world(url), threading.Event()
    appliers = []
    try:
        world.register(MARISOL)
        appliers = world.door.start_workers(stop, threads=2)
        heard, away = asyncio.run(under_load(world, server))
        for gone_at, back_at in away:
            assert not heard.answered_between(gone_at + SETTLED_SECONDS, back_at), "acknowledged while there was no database"
        gone_at, back_at = max(away, key=lambda each: each[1] - each[0])
        ended = [end for _, end in heard.closed if gone_at - SETTLED_SECONDS <= end <= back_at]
        assert len(ended) >= HOSPITALS, "every sender's connection was closed, so that it sends again"
        late = [round(end - since, 1) for since, end in heard.closed if end - since > ANSWER_SECONDS_MAX + BUSY_SECONDS]
        assert not late, f"left waiting: {late}"
        answers = [answer.split(b"\r")[1].split(b"|") for _, answer in heard.answers]
        assert {answer[1] for answer in answers} == {b"AA"}, "neither AE nor AR: those would not be sent again"
        assert Counter(answer[2] for answer in answers) == Counter(control_id(message(n)) for n in range(MESSAGES))
        until_applied(world)
        found = world.door.inbox.find(files=False, limit=MESSAGES + 1)
        rows = {row.control_id: row for row in found}
        assert len(rows) == len(found) == MESSAGES
        assert {row.status for row in found} == {Status.APPLIED}
        for n in range(0, MESSAGES, 97):
            assert world.door.inbox.raw(rows[f"D-{n}"].inbox_id) == message(n)
        told = [fact.order for fact in world.facts("stay-")]
        assert len(told) == len(set(told)) == MESSAGES, "one fact each, however often it was sent"
    finally:
        stop.set()
        for thread in appliers:
            thread.join(30)
        world.door.close()
        world.opened.close()
        server.stop()


async def under_load(world: World, server: PostgresServer) -> tuple[Heard, list[tuple[float, float]]]:
    """What the senders heard, and when the database was away."""
    listener = world.door.listener()
    await listener.start()
    heard, away = Heard(), []
    hospitals = [
        Hospital(listener.port, [message(n) for n in range(i, MESSAGES, HOSPITALS)], heard, WINDOW) for i in range(HOSPITALS)
    ]
    sending = [asyncio.create_task(hospital.send_all()) for hospital in hospitals]
    for turn, (how, seconds) in enumerate(OUTAGES, start=1):
        while len(heard.answers) < MESSAGES * turn // (len(OUTAGES) + 1):
            assert not all(task.done() for task in sending)
            await asyncio.sleep(0.005)
        await asyncio.to_thread(server.stop if how == "stop" else server.kill)
        gone_at = time.monotonic()
        await asyncio.sleep(seconds)
        away.append((gone_at, time.monotonic()))
        await asyncio.to_thread(server.start)
    await asyncio.gather(*sending)
    await listener.stop()
    return heard, away


def until_applied(world: World) -> None:
    give_up = time.monotonic() + 120
    while world.door.inbox.has_work(world.clock.now()):
        assert time.monotonic() < give_up, "messages stay in work"
        time.sleep(0.1)
