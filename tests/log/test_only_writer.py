"""The gateway is the only writer: the application's role may call the append and nothing else; nobody changes what is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from eventlog import database as ground
from eventlog.opening import create
from tests.log.conftest import World

INSERT = (
    "INSERT INTO log.events (position, stream, version, name, schema_version, event_id, body, meta, hash)"
    " VALUES (nextval('log.events_position_seq'), 'toy-1', 1, 'n', 1, gen_random_uuid(), '', '', '')"
)


@pytest.mark.parametrize(
    "statement",
    [
        INSERT,
        "UPDATE log.events SET body = ''",
        "DELETE FROM log.events",
        "TRUNCATE log.events",
        "INSERT INTO log.commands VALUES (gen_random_uuid(), '', 's', '{}')",
        "DELETE FROM log.commands",
        "SELECT nextval('log.events_position_seq')",
        "SELECT setval('log.events_position_seq', 1)",
        "ALTER TABLE log.events DISABLE TRIGGER ALL",
        "DROP TABLE log.events",
        "INSERT INTO log.incarnations DEFAULT VALUES",
        "SELECT log.new_incarnation()",
        "CREATE TABLE log.more ()",
        "ALTER FUNCTION log.head() RENAME TO tail",
    ],
)
def test_the_application_cannot_write_past_the_append(world: World, statement: str) -> None:
    world.member()
    with ground.connect(world.url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.encode())


def test_the_logs_own_connections_are_the_applications(world: World) -> None:
    assert world.log.recorder.rows("SELECT current_user::text", ()) == [(ground.APP_ROLE,)]


@pytest.mark.parametrize("statement", ["UPDATE log.events SET body = ''", "DELETE FROM log.events", "TRUNCATE log.events"])
def test_not_even_the_owner_changes_an_event_by_mistake(world: World, statement: str) -> None:
    world.member()
    with psycopg.connect(world.url) as owner, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(statement.encode())


def test_the_application_keeps_its_own_tables_beside_the_log(world: World) -> None:
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute("CREATE TABLE made_by_owner (n int)")
    with ground.open_pool(world.url) as pool, pool.connection() as conn:
        conn.execute("CREATE TABLE made_by_application (n int)")
        conn.execute("INSERT INTO made_by_application VALUES (1)")
        conn.execute("INSERT INTO made_by_owner VALUES (1)")
        conn.execute("CREATE SCHEMA read_models")


def test_where_no_role_can_be_made_it_is_said_and_the_log_still_cannot_be_changed(postgres_url: str, database: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as root:
        role_existed = root.execute("SELECT FROM pg_roles WHERE rolname = 'tl_poor'").fetchone()
        if not role_existed:
            root.execute("CREATE ROLE tl_poor LOGIN PASSWORD 'poor'")
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as root:
        for each in (name, f"{name}_keys"):
            root.execute(f'ALTER DATABASE "{each}" OWNER TO tl_poor'.encode())
    poor = psycopg.conninfo.make_conninfo(database, user="tl_poor", password="poor")
    poor_keys = psycopg.conninfo.make_conninfo(database + "_keys", user="tl_poor", password="poor")
    made = create(poor, poor_keys)
    assert not made.role_split and database_role_is_named(made.why)
    with ground.connect(poor) as conn:
        conn.execute(INSERT)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            conn.execute("DELETE FROM log.events")


def database_role_is_named(why: str) -> bool:
    return ground.APP_ROLE in why


def test_setting_up_twice_at_once_is_harmless(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        grounds = list(pool.map(lambda _: create(database, database + "_keys"), range(4)))
    assert len({g.incarnation for g in grounds}) == 1 and all(g.role_split for g in grounds)


def test_a_restore_begins_another_incarnation(world: World) -> None:
    first = world.log.incarnation()
    assert ground.incarnation(world.url).id == first
    second = ground.new_incarnation(world.url)
    assert second.id != first and world.log.incarnation() == second.id
    ground.create(world.url)
    assert world.log.incarnation() == second.id, "setting up again is no restore"


def test_a_log_that_was_read_into_another_database_notices(database: str, postgres_url: str) -> None:
    """A dump, a recovery to a point in time and a promoted standby have another origin than the log that they hold."""
    create(database, database + "_keys")
    with psycopg.connect(database, autocommit=True) as owner:
        before = ground.incarnation(database).id
        owner.execute("UPDATE log.incarnations SET origin = '7000000000000000000/1/16384'")
    assert create(database, database + "_keys").incarnation != before
    after = ground.incarnation(database).id
    assert create(database, database + "_keys").incarnation == after
