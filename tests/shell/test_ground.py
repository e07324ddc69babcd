"""The ground holds: PostgreSQL and Temporal start, are found again, survive a kill and are gone after a stop."""

from __future__ import annotations

from pathlib import Path

import psycopg

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
        assert "duplicate key" in log
        assert "Quetzalcoatl" not in log
        assert "INSERT" not in log
    finally:
        server.stop()


def test_another_database_of_the_same_server() -> None:
    assert with_database("postgresql://u:p@h:5/a?sslmode=require", "b") == "postgresql://u:p@h:5/b?sslmode=require"
