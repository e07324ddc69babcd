"""The ground for tests: a real PostgreSQL and a real Temporal, once a test process; a fresh database or namespace a test.

`DATABASE_URL` and `TEMPORAL_ADDRESS`, where set, are used instead of servers of our own. Tests that kill or scan a server
start their own with `workers.ground.postgres.PostgresServer` and `workers.ground.temporal.TemporalServer`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.ground.child import GroundError
from workers.ground.postgres import FOR_TESTS, PostgresServer, drop_database, ensure_database, with_database

DATABASE_URL = os.environ.pop("DATABASE_URL", None)
TEMPORAL_ADDRESS = os.environ.pop("TEMPORAL_ADDRESS", None)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing that a test runs may touch the data of the user who runs it."""
    home = Path(tempfile.mkdtemp(prefix="throughline-test-"))
    home.chmod(0o711)  # root's PostgreSQL runs as an account without rights, which must be able to pass
    config.stash[HOME] = home
    os.environ["THROUGHLINE_HOME"] = str(home)
    for name in ("THROUGHLINE_MASTER_KEY", "THROUGHLINE_INDEX_KEY"):
        os.environ[name] = base64.b64encode(secrets.token_bytes(32)).decode()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


HOME = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def ground_folder(pytestconfig: pytest.Config) -> Path:
    """An empty folder of this test process, in which servers may keep their files."""
    return pytestconfig.stash[HOME]


@pytest.fixture(scope="session")
def postgres_url(ground_folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL server: a database in which nothing is to be kept."""
    if DATABASE_URL:
        yield DATABASE_URL
        return
    server = PostgresServer(ground_folder / "postgres", settings=FOR_TESTS).start()
    yield server.url()
    server.stop()


def _fresh_database(server_url: str) -> Iterator[str]:
    url = with_database(server_url, f"test_{uuid.uuid4().hex[:16]}")
    keys_url = url + "_keys"
    ensure_database(url)
    ensure_database(keys_url)
    yield url
    drop_database(url)
    drop_database(keys_url)


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The address of a fresh, empty database; `<address>_keys` is another one beside it. Both are dropped afterwards."""
    yield from _fresh_database(postgres_url)


@pytest.fixture(scope="module")
def module_database(postgres_url: str) -> Iterator[str]:
    """The same for all tests of a module."""
    yield from _fresh_database(postgres_url)


@pytest.fixture(scope="session")
def temporal_address(ground_folder: Path) -> Iterator[str]:
    """The host:port of a real Temporal server with time skipping on."""
    from workers.ground.temporal import TemporalServer
    from workers.ground.temporal_program import find_program

    if TEMPORAL_ADDRESS:
        yield TEMPORAL_ADDRESS
        return
    try:
        program = find_program(at_once=True)
    except GroundError as error:
        pytest.fail(f"{error}\n  - or run `make ground`, which builds one", pytrace=False)
    server = TemporalServer(ground_folder / "temporal", program=program).start()
    yield server.address
    server.stop()


@pytest.fixture
def temporal_namespace(temporal_address: str) -> str:
    """The name of a fresh namespace of the Temporal server."""
    from workers.ground.temporal import register_namespace

    name = f"test-{uuid.uuid4().hex[:16]}"
    asyncio.run(register_namespace(temporal_address, name))
    return name


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests marked `anyio` run on asyncio."""
    return "asyncio"
