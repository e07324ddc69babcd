"""What the measurements of read models stand on: a filled log is a real one, and what is measured comes to the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.filling import MASTER_KEY, fill, lives
from benchmarks.ground import Databases
from benchmarks.read_models import HEAVIEST, LIGHTEST, LIVE, Opened, opened
from domain import catalog
from domain.core import personal_fields
from eventlog.opening import create, open_log

COPIES = 2


@pytest.fixture
def databases(database: str) -> Databases:
    found = Databases(database, database + "_keys")
    create(found.url, found.keys_url)
    return found


@pytest.fixture
def log(databases: Databases) -> Iterator[Opened]:
    filled = fill(databases.url, databases.keys_url, count=COPIES * len(lives()))
    with opened(databases, filled.events) as found:
        yield found


def test_a_filled_log_is_a_real_one(databases: Databases) -> None:
    first = fill(databases.url, databases.keys_url, count=1)
    second = fill(databases.url, databases.keys_url, count=1, first_copy=1)
    with open_log(databases.url, databases.keys_url, master_key=MASTER_KEY, facts=catalog.FACTS) as found:
        stored = tuple(found.log.all())
        assert len(stored) == first.events + second.events
        assert list(found.log.verify()) == [], "every chain is whole"
        personal = [s for s in stored if personal_fields(type(s.recorded.fact))]
        assert len(personal) > 100 and not any(s.erased for s in personal), "what is personal was sealed and can be opened"
        assert len({s.recorded.event_id for s in stored}) == len(stored)
        assert found.log.watermark() == len(stored)


def test_what_is_measured_comes_to_the_same_rows(log: Opened) -> None:
    rows: list[object] = []
    for name in (LIGHTEST, HEAVIEST, LIVE):
        assert log.rebuilt(name) > 0
        rows.append(_rows(log, name))
    assert log.carried(LIGHTEST, HEAVIEST, LIVE, until=log.events) > 0
    assert [_rows(log, name) for name in (LIGHTEST, HEAVIEST, LIVE)] == rows


def _rows(log: Opened, name: str) -> object:
    with log.pool.connection() as conn:
        return conn.execute(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY key)) FROM read.{name} t".encode()).fetchone()
