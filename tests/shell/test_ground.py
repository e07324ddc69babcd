"""The ground holds: PostgreSQL and Temporal start, are found again, survive a kill and are gone after a stop."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from workers.ground.postgres import FOR_TESTS, PostgresServer, database_name, with_database


def test_a_fresh_database_is_empty_and_has_one_for_keys_beside_it(database: str) -> None:
    for url in (database, database + "_keys"):
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT current_database(), count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row == (database_name(url), 0)


def test_what_was_committed_survives_a_kill_of_postgres(ground_folder: Path) -> None:
    server = PostgresServer(ground_folder / "postgres-killed", settings=FOR_TESTS).start()
    try:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert server.port == port
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        server.stop()
    assert not server.running


def test_a_running_postgres_is_found_and_left_running(ground_folder: Path) -> None:
    first = PostgresServer(ground_folder / "postgres-shared", settings=FOR_TESTS).start()
    try:
        second = PostgresServer(ground_folder / "postgres-shared", settings=FOR_TESTS).start()
        assert (second.owned, second.port) == (False, first.port)
        second.stop()
        assert first.running
    finally:
        first.stop()


def test_the_log_of_postgres_quotes_no_value(ground_folder: Path) -> None:
    server = PostgresServer(ground_folder / "postgres-quiet", settings=FOR_TESTS).start()
    try:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE once (name text PRIMARY KEY)")
            for _ in range(2):
                try:
                    connection.execute("INSERT INTO once VALUES (%s)", ["Quetzalcoatl"])
                except psycopg.errors.UniqueViolation:
                    pass
        log = server.log.read_text()
        assert "ready to accept connections" in log
        assert "duplicate key" not in log, "an error of a statement quotes values in its detail, so none is logged"
        assert "Quetzalcoatl" not in log
        assert "INSERT" not in log
    finally:
        server.stop()


def test_another_database_of_the_same_server() -> None:
    assert with_database("postgresql://u:p@h:5/a?sslmode=require", "b") == "postgresql://u:p@h:5/b?sslmode=require"


STARTS_BOTH = """
import sys, time
from pathlib import Path
from workers.ground.postgres import FOR_TESTS, PostgresServer
from workers.ground.temporal import TemporalServer
from workers.ground.temporal_program import find_program

folder = Path(sys.argv[1])
postgres = PostgresServer(folder / "postgres", settings=FOR_TESTS).start()
temporal = TemporalServer(folder / "temporal", program=find_program(at_once=True)).start()
print(postgres.pid, temporal.pid, flush=True)
if sys.argv[2] == "crash":
    time.sleep(600)
"""


@pytest.mark.kills
@pytest.mark.temporal
@pytest.mark.parametrize("how", ["crash", "end"])
def test_servers_die_with_whoever_started_them(ground_folder: Path, how: str) -> None:
    folder = ground_folder / f"orphans-{how}"
    folder.mkdir(mode=0o711)
    parent = subprocess.Popen([sys.executable, "-c", STARTS_BOTH, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    started = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(started) == 2
    if how == "crash":
        parent.kill()
    parent.wait(timeout=30)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive


def test_two_who_start_one_server_at_once_share_it(ground_folder: Path) -> None:
    servers = [PostgresServer(ground_folder / "postgres-raced", settings=FOR_TESTS) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(PostgresServer.start, servers))
    try:
        assert sorted(server.owned for server in servers) == [False, False, True]
        assert len({server.url() for server in servers}) == 1
    finally:
        for server in servers:
            server.stop()
    assert not servers[0].running
