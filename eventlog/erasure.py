"""Carries out erasures: whoever's stream says so loses the key, now or after a crash in between.

The fact comes first and the key goes after it, so a process that dies between the two leaves an erasure to be finished, never a
destroyed key that no fact explains. Call `finish` after recording the fact, and at intervals.
"""

from __future__ import annotations

from collections.abc import Callable

from domain.core import StreamId
from eventlog.keys import KeyRing
from eventlog.log import Log

ERASING_FACT = "member.personal-data-erased"
"""Its stable name; schema.sql has an index for it."""


def finish(log: Log, keys: KeyRing, *, forget: Callable[[StreamId], None] = lambda stream: None) -> tuple[StreamId, ...]:
    """Destroy the key of everybody whose erasure is recorded and not yet done; who they were. `forget` is the gateway's."""
    rows = log.recorder.rows(
        "SELECT DISTINCT stream FROM log.events WHERE name = 'member.personal-data-erased' AND position <= %b", (log.watermark(),)
    )
    owed = keys.not_destroyed(row[0] for row in rows)
    for stream in owed:
        keys.destroy(stream)
        forget(stream)
    return owed
