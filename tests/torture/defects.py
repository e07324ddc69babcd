"""Eight defects, each planted into a process of a test, so that the checks can be seen to notice it. Production has no switch for
any of them: a plant replaces a function in this process, or the function in the database, and nothing undoes it.

Each is what somebody might well have written, and each leaves everything right as long as nothing goes wrong at the wrong moment.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module, resources
from types import SimpleNamespace
from typing import Any

import psycopg

from activities import delivery
from eventlog import killpoints
from eventlog.database import CREATE_LOCK, connect
from eventlog.gateway import Gateway
from eventlog.recorder import Item, LogRecorder, Verdict
from intake.listening import receive
from intake.store.inbox import Arrival, Inbox, Status, Stored, uuid7
from projections import store
from workers import reconcile, router, temporal_worker

LATER_SECONDS = 0.02
"""How long what was acknowledged too early waits to be stored."""


def plant(name: str) -> None:
    """Plant one defect into this process, for good; none where the name is empty."""
    if name:
        DEFECTS[name]()


# --- the log ---------------------------------------------------------------------------------------------------------------------


def skip_a_lock() -> None:
    """The append takes no lock on the streams that it reads and writes."""
    _alter((r"pg_advisory_xact_lock(_shared)?\(hashtextextended\(p_check_stream\[i\], 0\)\)", "NULL"))


def drop_the_duplicate_check() -> None:
    """Nobody asks whether a command was carried out before."""
    _alter(
        (r"EXISTS \(SELECT FROM log\.commands m WHERE m\.command_id = (c\.id|ANY \(p_command_id\))\)", "false"),
        (r"(INSERT INTO log\.commands [^;]*)", r"\1 ON CONFLICT DO NOTHING"),
    )
    Gateway._first_results = lambda self, *given: {}  # type: ignore[assignment, method-assign]


def ignore_read_versions() -> None:
    """The versions of the streams that a decision only read are not compared."""
    append_batch, append_facts = LogRecorder.append_batch, Gateway.append_facts

    def written_only(self: LogRecorder, items: Sequence[Item]) -> tuple[Verdict, ...]:
        blind = [i._replace(checks=tuple(c if c.written else c._replace(version=None) for c in i.checks)) for i in items]
        return append_batch(self, blind)

    def own_only(self: Gateway, stream: str, facts: Any, *, versions: Mapping[str, int], **more: Any) -> Any:
        return append_facts(self, stream, facts, versions={stream: versions[stream]}, **more)

    LogRecorder.append_batch = written_only  # type: ignore[method-assign]
    Gateway.append_facts = own_only  # type: ignore[method-assign, assignment]


def _alter(*changes: tuple[str, str]) -> None:
    """Put another `log.append` into the database that this process works on."""
    text = resources.files("eventlog").joinpath("append.sql").read_text()
    function = text[text.index("CREATE OR REPLACE FUNCTION log.append(") : text.index("END $$;") + len("END $$;")]
    for old, new in changes:
        function, count = re.subn(old, new, function)
        assert count, f"log.append has changed: {old}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as owner, owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
        owner.execute(function.encode())


# --- processes -------------------------------------------------------------------------------------------------------------------


def forget_the_position_at_done() -> None:
    """A workflow whose process is done ends, whatever was signalled since."""
    forgetful = import_module("tests.torture.forgetful").WORKFLOWS
    for name in ("tests.torture.role", "tests.torture.targeted", "__main__"):
        if hasattr(sys.modules.get(name), "WORKFLOWS"):
            sys.modules[name].WORKFLOWS = forgetful  # type: ignore[union-attr]


def forget_the_reconcile() -> None:
    """Nobody compares what should be with what is."""

    async def no_schedule(client: Any) -> None:
        return None

    async def no_pass(self: reconcile.Reconciler, *, deep: bool) -> reconcile.Found:
        return reconcile.Found(0, 0, 0 if deep else None, 0 if deep else None, 0)

    temporal_worker.ensure_schedule = no_schedule
    reconcile.Reconciler.run_pass = no_pass  # type: ignore[method-assign]


def resend_after_an_unknown_outcome() -> None:
    """What was begun and has no outcome is sent again, whatever the channel makes of a second time."""
    next_move = delivery.next_move

    def once_more(*given: Any) -> delivery.Move:
        move = next_move(*given)
        return delivery.Move.RESEND if move is delivery.Move.GIVE_UP else move

    delivery.next_move = once_more


# --- the edges -------------------------------------------------------------------------------------------------------------------


def acknowledge_before_storing() -> None:
    """The answer goes out first; what is acknowledged is stored a moment later."""
    store_all = Inbox.store_all

    def later(self: Inbox, arrivals: Sequence[Arrival], now: datetime, **more: Any) -> tuple[Stored, ...]:
        def kept() -> None:
            time.sleep(LATER_SECONDS)
            killpoints.passing(killpoints.STORE_ACKNOWLEDGE)
            store_all(self, arrivals, now, **more)

        threading.Thread(target=kept, daemon=True).start()
        return tuple(Stored(uuid7(now), False, Status.RECEIVED) for _ in arrivals)

    # The kill point lies between storing and acknowledging, in whichever order they come.
    elsewhere = SimpleNamespace(STORE_ACKNOWLEDGE=killpoints.STORE_ACKNOWLEDGE, passing=lambda point: None)
    Inbox.store_all = later  # type: ignore[method-assign]
    Inbox.ready = lambda self, now: False  # type: ignore[method-assign]  # nothing goes over the loop's own connections
    receive.killpoints = elsewhere  # type: ignore[assignment]


def track_before_writing() -> None:
    """Projector and router write down how far they are before they have done what lies there."""
    advance, advance_all = store.advance, store.advance_all

    def tracked(conn: Any, *given: Any, **more: Any) -> Any:
        with connect(os.environ["DATABASE_URL"]) as first:
            return advance(first, *given, **more)

    def all_tracked(conn: Any, *given: Any, **more: Any) -> Any:
        with connect(os.environ["DATABASE_URL"]) as first:
            return advance_all(first, *given, **more).fetchall()

    store.advance, store.advance_all = tracked, all_tracked
    tell = router.Router._tell

    async def turn(self: router.Router) -> int:
        incarnation = self._log.incarnation()
        start = self._store.begin(incarnation)
        batch = self._log.after(start, limit=self._pace.batch)
        if batch.position == start:
            return start
        found = self.find(batch.facts)
        self._store.track(start, batch.position, found, {})
        killpoints.passing(killpoints.SIGNAL_TRACKING)
        await tell(self, found.news, found.traces)
        return batch.position

    router.Router.turn = turn  # type: ignore[method-assign]


DEFECTS: Mapping[str, Callable[[], None]] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        skip_a_lock,
        drop_the_duplicate_check,
        ignore_read_versions,
        forget_the_position_at_done,
        forget_the_reconcile,
        acknowledge_before_storing,
        track_before_writing,
        resend_after_an_unknown_outcome,
    )
}
NAMES = tuple(DEFECTS)
