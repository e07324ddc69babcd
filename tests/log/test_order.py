"""Nobody who reads on from a position ever misses an event, whoever is killed in the middle (design.md 5, engine.md A2).

Writers in several processes are killed and connections cut while a reader follows. What the reader saw is then compared with
what is stored: nothing missed, nothing out of order, nothing doubled, no dead-lock, every hash right, no letter without consent.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from benchmarks.tailing import CarelessReader, Order, Reader, Writers, compared, terminate_backends
from eventlog import opening
from eventlog.codec import StoredFact
from eventlog.recorder import Check, CommandRow, EventRow, Item, LogRecorder, Stored
from tests.log import toy
from tests.log.conftest import MASTER, World, created_for_each
from tests.log.writer import CLAIMS
from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database

created = created_for_each()

WRITING_SECONDS, WRITING_SECONDS_MAX = 12.0, 60.0
EVENTS_MIN = 800
"""On a busy machine the test goes on until it has seen this many."""

EVENTS_BETWEEN_BLOWS = 25
PROCESSES, THREADS = 3, 4


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory, ground_folder: Path) -> Iterator[PostgresServer]:
    """A server that may be maltreated."""
    server = PostgresServer(ground_folder / "postgres-to-be-killed", settings={**FOR_TESTS, "max_connections": "60"}).start()
    yield server
    server.stop()


@pytest.mark.timeout(150)
def test_nothing_is_missed_when_writers_are_killed(own_server: PostgresServer, tmp_path: Path) -> None:
    dice = random.Random(int(os.environ.get("GAP_TEST_SEED", "2026")))
    url, keys_url = own_server.url("gaps"), own_server.url("gaps_keys")
    for each in (url, keys_url):
        ensure_database(each)
    opening.create(url, keys_url)
    stop = tmp_path / "stop"

    def writer(seed: int) -> subprocess.Popen[bytes]:
        arguments = [url, keys_url, str(seed), str(THREADS), str(tmp_path / f"acknowledged-{seed}"), str(stop)]
        return subprocess.Popen([sys.executable, "-m", "tests.log.writer", *arguments], cwd=Path(__file__).parents[2])

    with opening.open_log(url, keys_url, master_key=MASTER, facts=toy.FACTS) as opened:
        facts: list[StoredFact] = []
        reader = Reader(opened.log, facts.append)
        reader.start()
        writers = Writers(writer, PROCESSES, dice)
        cut = crashes = 0
        try:
            began, struck_at_event = time.monotonic(), 0
            with_own_eyes = psycopg.connect(url, autocommit=True)

            def goes_on() -> bool:
                seconds, enough = time.monotonic() - began, len(facts) >= EVENTS_MIN and writers.killed >= 3 and crashes > 0
                return reader.failed is None and seconds < (WRITING_SECONDS if enough else WRITING_SECONDS_MAX)

            while goes_on():
                time.sleep(dice.uniform(0.1, 0.3))
                if len(facts) < struck_at_event + EVENTS_BETWEEN_BLOWS:
                    continue  # let them write something worth losing
                struck_at_event = len(facts)
                cut += terminate_backends(with_own_eyes)
                if dice.random() < 0.15:
                    writers.kill_one()
                if not crashes and len(facts) > EVENTS_MIN / 2:
                    own_server.kill()
                    own_server.start()
                    crashes += 1
                    with_own_eyes = psycopg.connect(url, autocommit=True)
        finally:
            stop.touch()
            codes = writers.joined()
        assert codes == [0] * PROCESSES
        reader.drain()  # only now, with every writer gone, may it be asked for everything

        with psycopg.connect(url, autocommit=True) as conn:
            stored = [row[0] for row in conn.execute("SELECT position FROM log.events ORDER BY position").fetchall()]
            remembered = dict(conn.execute("SELECT command_id::text, positions FROM log.commands").fetchall())
            deadlocks = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'gaps'").fetchone()
        print(
            f"{len(stored)} events, {stored[-1] - len(stored)} holes, {writers.killed} writers killed, {cut} connections cut,"
            f" {crashes} server crash; reader away {reader.away} times"
        )
        assert writers.killed and cut and crashes and len(stored) >= EVENTS_MIN, "the test did not do what it is for"
        assert reader.seen == stored
        assert compared(reader.seen, stored) == Order(0, 0, 0)
        assert deadlocks == (0,)
        assert list(opened.log.verify()) == []
        _every_acknowledgement_holds(tmp_path, remembered)
        _no_letter_without_consent(facts)
        _one_holder_a_claim(facts)


def _every_acknowledgement_holds(folder: Path, remembered: dict[str, list[int]]) -> None:
    acknowledged = 0
    for path in folder.glob("acknowledged-*"):
        for line in path.read_text().splitlines():
            command_id, _, positions = line.partition(" ")
            if positions in ("Refusal", "Conflict"):
                assert command_id not in remembered
            else:
                assert remembered[command_id] == [int(p) for p in positions.split()]
                acknowledged += 1
    assert acknowledged > 100
    positions_of = [p for positions in remembered.values() for p in positions]
    assert len(positions_of) == len(set(positions_of)), "one event stands for two commands"


def _no_letter_without_consent(seen: list[StoredFact]) -> None:
    consenting: set[str] = set()
    letters = 0
    for stored in seen:
        match stored.recorded.fact:
            case toy.ConsentGiven():
                consenting.add(stored.recorded.stream)
            case toy.ConsentWithdrawn():
                consenting.discard(stored.recorded.stream)
            case toy.LetterSent(member=member):
                assert member in consenting, f"a letter at {stored.recorded.position} after consent was withdrawn"
                letters += 1
    assert letters


def _one_holder_a_claim(seen: list[StoredFact]) -> None:
    holders: dict[str, int] = {}
    for stored in seen:
        if isinstance(stored.recorded.fact, toy.Claimed):
            holders[stored.recorded.stream] = holders.get(stored.recorded.stream, 0) + 1
    assert holders and set(holders) <= set(CLAIMS)
    assert set(holders.values()) == {1}


# -- the check itself


def test_a_reader_that_ignores_the_registered_writers_is_caught(world: World, world_recorder: LogRecorder, created: str) -> None:
    """An append that is slow to commit: whoever reads up to the newest number goes past it, and it is missed for ever."""
    careful, careless = Reader(world.log), CarelessReader(world.log)
    world.member()
    with psycopg.connect(created) as slow:
        slow.execute(
            "SELECT pg_advisory_xact_lock_shared(1414287184, (SELECT last_value FROM log.events_position_seq)::int);"
            " INSERT INTO log.events SELECT nextval('log.events_position_seq'), 'late-' || stream, version, name, schema_version,"
            " gen_random_uuid(), body, sealed, meta, hash FROM log.events WHERE sealed IS NULL LIMIT 1"
        )
        world.member()
        for reader in (careful, careless):
            reader.read_on()
        slow.commit()
    for reader in (careful, careless):
        reader.drain()
    with psycopg.connect(created) as conn:
        stored = [row[0] for row in conn.execute("SELECT position FROM log.events").fetchall()]
    assert compared(careful.seen, stored) == Order(0, 0, 0)
    assert compared(careless.seen, stored) == Order(missed=1, reordered=0, doubled=0)


@pytest.mark.parametrize(
    ("seen", "order"),
    [([1, 2, 4], Order(0, 0, 0)), ([1, 4], Order(1, 0, 0)), ([1, 4, 2], Order(0, 1, 0)), ([1, 2, 2, 4], Order(0, 0, 1))],
)
def test_what_was_seen_is_compared_with_what_is_stored(seen: list[int], order: Order) -> None:
    assert compared(seen, [1, 2, 4]) == order


# -- the watermark's own traps


def _item(stream: str, version: int, events: int = 1) -> Item:
    rows = tuple(EventRow(stream, version + n, "toy.claimed", 1, uuid4(), b"{}", None, b"{}", b"") for n in range(events))
    return Item(rows, (Check(stream, version - 1, True),), (CommandRow(uuid4(), b"f", stream),))


def test_a_reader_stops_below_an_append_under_way(world_recorder: LogRecorder, created: str) -> None:
    stored = world_recorder.append(_item("toy-1", 1))
    assert isinstance(stored, Stored)
    with psycopg.connect(created) as slow:
        slow.execute(
            "SELECT pg_advisory_xact_lock_shared(1414287184, %s); SELECT nextval('log.events_position_seq')".replace(
                "%s", str(stored.positions[-1])
            )
        )
        faster = world_recorder.append(_item("toy-2", 1))
        assert isinstance(faster, Stored)
        assert world_recorder.watermark() == stored.positions[-1] < faster.positions[-1]
        assert [n.id for n in world_recorder.select_notifications(None, 10)] == list(stored.positions)
        slow.rollback()
    assert world_recorder.watermark() == faster.positions[-1]


def test_locks_of_another_database_and_of_streams_do_not_hold_readers_back(
    world_recorder: LogRecorder, created: str, postgres_url: str
) -> None:
    stored = world_recorder.append(_item("toy-1", 1))
    assert isinstance(stored, Stored)
    one_key_that_looks_like_ours = 1414287184 << 32
    with psycopg.connect(postgres_url) as elsewhere, psycopg.connect(created) as here:
        elsewhere.execute("SELECT pg_advisory_xact_lock_shared(1414287184, 0)")
        here.execute(f"SELECT pg_advisory_xact_lock({one_key_that_looks_like_ours})")
        assert world_recorder.watermark() == stored.positions[-1]


def test_positions_beyond_two_billion_keep_their_order(world_recorder: LogRecorder, created: str) -> None:
    """One lock key has 31 bits of position; the class carries the rest."""
    with psycopg.connect(created, autocommit=True) as owner:
        owner.execute("SELECT setval('log.events_position_seq', %s)", (2**31 + 5,))
        stored = world_recorder.append(_item("toy-1", 1))
        assert stored == Stored((2**31 + 6,))
        assert world_recorder.watermark() == 2**31 + 6
    with psycopg.connect(created) as slow:
        slow.execute("SELECT pg_advisory_xact_lock_shared(1414287184 + 1, 6); SELECT nextval('log.events_position_seq')")
        world_recorder.append(_item("toy-2", 1))
        assert world_recorder.watermark() == 2**31 + 6


def test_nothing_announces_from_inside_the_append_and_no_table_is_locked(created: str) -> None:
    """A NOTIFY or a table lock in the writing transaction would serialise every commit (engine.md A1b)."""
    with psycopg.connect(created) as conn:
        row = conn.execute("SELECT lower(prosrc) FROM pg_proc WHERE oid = 'log.append'::regproc").fetchone()
        cache = conn.execute("SELECT seqcache FROM pg_sequence WHERE seqrelid = 'log.events_position_seq'::regclass").fetchone()
    assert row is not None and "notify" not in row[0] and "lock table" not in row[0]
    assert cache == (1,), "a session that keeps numbers back would write below readers"
