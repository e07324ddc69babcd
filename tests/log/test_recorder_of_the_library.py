"""The library's own recorder test cases, run on our recorder.

NonInterleavingNotificationIDs is left out on purpose: without a table lock, two appends at the same time may draw their positions
in turns. Every reader still sees them in one order and without gaps (docs/adr/0005-recorder-lock.md; test_order.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent, Tracking
from eventsourcing.tests import persistence as theirs

from eventlog import database as ground
from eventlog.database import LogDatastore
from eventlog.recorder import LogProcessRecorder, LogRecorder
from workers.ground.postgres import drop_database, ensure_database, with_database


class OnOurGround:
    """Gives a library test case a fresh log for every test method."""

    server: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _ground(self, postgres_url: str) -> Iterator[None]:
        self.url = with_database(postgres_url, f"test_{uuid4().hex[:16]}")
        ensure_database(self.url)
        ground.create(self.url)
        yield
        for datastore in self.__dict__.pop("opened", []):
            datastore.close()
        drop_database(self.url)

    def new_originator_id(self) -> str:
        return f"toy-{uuid4()}"

    def datastore(self, **more: Any) -> LogDatastore:
        datastore = LogDatastore(self.url, **more)
        self.__dict__.setdefault("opened", []).append(datastore)
        return datastore


class TestApplicationRecorder(OnOurGround, theirs.ApplicationRecorderTestCase):  # type: ignore[type-arg, misc]
    def create_recorder(self) -> LogRecorder:
        recorder = LogRecorder(self.datastore())
        recorder.create_table()
        return recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestProcessRecorder(OnOurGround, theirs.ProcessRecorderTestCase):  # type: ignore[misc]
    def create_recorder(self) -> LogProcessRecorder:
        recorder = LogProcessRecorder(self.datastore(as_owner=True))
        recorder.create_table()
        return recorder


class TestTrackingRecorder(OnOurGround, theirs.TrackingRecorderTestCase):  # type: ignore[misc]
    def create_recorder(self) -> LogProcessRecorder:
        recorder = LogProcessRecorder(self.datastore(as_owner=True))
        recorder.create_table()
        return recorder


def test_the_library_functions_that_lose_events_and_tracking_are_not_there(created: str) -> None:
    """With POSTGRES_ENABLE_DB_FUNCTIONS the library loses events and drops tracking (engine.md 0.2, 0.3): we never create them."""
    with psycopg.connect(created) as conn:
        names = {row[0] for row in conn.execute("SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
                                                "WHERE nspname IN ('log', 'public')")}  # fmt: skip
    assert "append" in names and not {n for n in names if n.startswith("es_insert_events")}


def test_tracking_is_stored_with_its_event_or_not_at_all(created: str) -> None:
    """What the library's functions get wrong (engine.md 0.3): the same tracking must not be accepted twice."""
    datastore = LogDatastore(created, as_owner=True)
    try:
        recorder = LogProcessRecorder(datastore)
        recorder.create_table()
        recorder.insert_events([StoredEvent("toy-1", 1, "t", b"{}")], tracking=Tracking("up", 7))
        assert recorder.max_tracking_id("up") == 7
        with pytest.raises(IntegrityError):
            recorder.insert_events([StoredEvent("toy-1", 2, "t", b"{}")], tracking=Tracking("up", 7))
        assert len(recorder.select_events("toy-1")) == 1
        with pytest.raises((IntegrityError, ProgrammingError)):
            recorder.insert_events([StoredEvent("toy-1", 1, "t", b"{}")], tracking=Tracking("up", 8))
        assert recorder.max_tracking_id("up") == 7
    finally:
        datastore.close()
