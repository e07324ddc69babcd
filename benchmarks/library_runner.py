"""The library's own way to a read model, beside ours: its application and ProjectionRunner, one upsert and tracking an event."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from benchmarks.ground import Databases
from benchmarks.processes import READY, WAIT_SECONDS_MAX, asked, paced

VIEW = "public.seen_by_library"
SAID = "x" * 300
"""What an event says: about as much as a fact."""

APPENDED_AT_ONCE = 100


class Basket(Aggregate):
    """As plain as an aggregate can be: one event that says something of the size of a fact."""

    @event("Began")
    def __init__(self, said: str) -> None:
        self.said = said


class Baskets(Application[Any]):
    """The library's application."""

    def begin(self) -> str:
        """Append one event; its aggregate's id."""
        basket = Basket(said=SAID)
        self.save(basket)
        return str(basket.id)


_TABLE = SQL("CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, events bigint NOT NULL)").format(Identifier(*VIEW.split(".")))
_SEE = f"INSERT INTO {VIEW} AS seen VALUES (%s, 1) ON CONFLICT (key) DO UPDATE SET events = seen.events + 1".encode()


class SeenRecorder(PostgresTrackingRecorder):
    """Writes one row an event, with the tracking, in one transaction: the library's way."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(_TABLE)

    def see(self, key: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(_SEE, (key,))


class Seen(Projection[Any]):
    """The projection that keeps the view."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.see(str(domain_event.originator_id), tracking)


def environment(databases: Databases) -> dict[str, str]:
    """How the library is told of the database."""
    parts = conninfo_to_dict(databases.url)
    said = {"DBNAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        **{f"POSTGRES_{name}": str(parts.get(key) or "") for name, key in said.items()},
    }


def carry(databases: Databases, end: Connection) -> None:
    """Run the library's runner in this process until told to stop."""
    with ProjectionRunner(application_class=Baskets, projection_class=Seen, view_class=SeenRecorder, env=environment(databases)):
        end.send(READY)
        asked(end)


def write(databases: Databases, end: Connection) -> None:
    """Append events, so many a second, as often as asked."""
    app = Baskets(env=environment(databases))
    end.send(READY)
    while (wish := asked(end)) is not None:
        a_second, count = wish
        paced(a_second, count, lambda _: app.begin(), end)


def projected_a_second(databases: Databases, count: int) -> float:
    """How many events a second the runner folds that find it behind."""
    app = Baskets(env=environment(databases))
    for first in range(0, count, APPENDED_AT_ONCE):
        saved = app.save(*(Basket(said=SAID) for _ in range(min(APPENDED_AT_ONCE, count - first))))
    began = time.monotonic()
    with ProjectionRunner(
        application_class=Baskets, projection_class=Seen, view_class=SeenRecorder, env=environment(databases)
    ) as runner:
        runner.wait(saved[-1].notification.id, timeout=WAIT_SECONDS_MAX)
        return count / (time.monotonic() - began)
