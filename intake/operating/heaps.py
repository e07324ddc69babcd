"""Messages and rows of files that are left for a person, heaped by what ails them: one cause is one thing to do, however many.

What is asked about by itself is not here: a file that waits for its word, a question about who somebody is. Nor is what waits for
nobody: a message for its own parts, a row for its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from intake.people.identity_desk import ROSTER_REASONS
from intake.people.matching import IDENTITY_REASONS
from intake.store.inbox import ENDS_LATER, PARTS_OPEN, Inbox

HEAPS_MAX: Final = 200
LATE: Final = timedelta(minutes=15)
"""A message that was due for so long and that no worker took up: longer than any pause between attempts."""

_HEAPS: Final = """
SELECT i.status, i.source_id, CASE WHEN i.transport <> 'file' THEN 'message' WHEN i.line IS NULL THEN 'file' ELSE 'row' END AS what,
    i.reason, i.error, CASE WHEN i.status = 'dead' AND i.transport = 'file' THEN coalesce(i.part_of, i.inbox_id) END AS file,
    count(*) AS messages, min(i.received_at) AS since, (array_agg(i.inbox_id ORDER BY i.inbox_id))[1] AS first
FROM intake.inbox i
WHERE (i.status = 'dead'
    OR i.status = 'unmatched' AND i.proposed = '{}'
    OR i.status = 'waiting' AND NOT i.reason = ANY(%(elsewhere)s) AND (i.transport <> 'file' OR i.line IS NOT NULL)
    OR i.status = 'received' AND i.next_attempt_at < %(late)s)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY since, first
LIMIT %(limit)s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """So many of one source, in one state for one reason. `what`: message, file or row; `file`: of which refused or rejected file.
    `first`: the oldest of them."""

    status: str
    source_id: str
    what: str
    reason: str
    error: str
    file: UUID | None
    messages: int
    since: datetime
    first: UUID


def heaps(inbox: Inbox, now: datetime) -> tuple[Heap, ...]:
    """What is left, the oldest first."""
    elsewhere = [*IDENTITY_REASONS, *ROSTER_REASONS, PARTS_OPEN, ENDS_LATER]
    asked = {"elsewhere": elsewhere, "late": now - LATE, "limit": HEAPS_MAX}
    with inbox.pool.connection() as conn, conn.cursor(row_factory=class_row(Heap)) as cursor:
        return tuple(cursor.execute(_HEAPS, asked).fetchall())
