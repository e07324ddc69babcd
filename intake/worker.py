"""Works the inbox off, batch by batch: any number of threads and processes, none of them in the others' way.

What fails is tried again with growing pauses and is dead after the fifth time, visibly. Where the database is away nothing counts
as an attempt: the message was not at fault.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from eventlog.clock import Clock
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.applying.apply import Applier
from intake.files.roster import MemberFiles
from intake.people.index import IdentityIndex
from intake.referrals.desk import TRANSPORT as REFERRAL
from intake.referrals.desk import ReferralDesk
from intake.senders import measured
from intake.senders.notices import Oddities, Trouble
from intake.senders.sources import Sources
from intake.store.claims import next_messages, next_of_files
from intake.store.inbox import Inbox, Row, Settlement, Status

POLL_SECONDS: Final = 0.05
"""Between two looks at an idle inbox; what this very process has stored is announced by the bell."""

AWAY_SECONDS: Final = 1.0
BATCH_MAX: Final = 128
"""Messages of one batch. What it costs beside the messages themselves is some twenty round trips and two commits."""

CATCH_UP_LOOK: Final = 500
CATCH_UP_BEHIND: Final = 1_000
CATCH_UP_SECONDS_MAX: Final = 5.0
"""Messages between two looks at what the log has gained: how much is taken in at once, and less than that after how long. Meanwhile
everybody else who works messages off stands still."""

CATCH_UP_SECONDS: Final = 0.1
"""The time between two looks when idle."""

log = structlog.get_logger("intake.worker")


class Away(Exception):
    """PostgreSQL or the keys cannot be reached now. Nothing was attempted. The text is the name of `failure`, and nothing else."""

    def __init__(self, failure: type[Exception]) -> None:
        super().__init__(failure.__name__)
        self.failure = failure


@dataclass(slots=True)
class Worker:
    """Takes due messages and settles them. `run` until `stop` is set; `work_off` until nothing is due."""

    inbox: Inbox
    applier: Applier
    files: MemberFiles
    referrals: ReferralDesk
    index: IdentityIndex
    sources: Sources
    clock: Clock
    odd: Oddities
    bell: threading.Event = field(default_factory=threading.Event)

    def run(self, stop: threading.Event, trouble: Trouble) -> None:
        """Works until told to stop. Survives PostgreSQL's absence."""
        since, looked_at, late_at = CATCH_UP_LOOK, 0.0, 0.0
        while not stop.is_set():
            rung = self.bell.is_set()
            self.bell.clear()  # then look: whatever is stored from here on rings it again
            try:
                if since >= CATCH_UP_LOOK:
                    if self.index.is_behind(CATCH_UP_BEHIND if time.monotonic() < late_at else 1):
                        self.index.catch_up(self.clock.now())
                        late_at = time.monotonic() + CATCH_UP_SECONDS_MAX
                    since = 0
                done = self.work_some() if rung or self.inbox.has_work(self.clock.now()) else 0
                since += done
                trouble.round_went_well()
                if done:
                    continue
                if time.monotonic() - looked_at >= CATCH_UP_SECONDS:
                    looked_at = time.monotonic()
                    if self.index.has_news():
                        self.index.catch_up(self.clock.now())
                self.bell.wait(POLL_SECONDS)
            except (Away, LogAway, CannotUnwrap, psycopg.Error, PoolTimeout) as away:
                failure = away.failure if isinstance(away, Away) else type(away)
                log.warning("intake_waits", failure=failure.__name__)
                trouble.met(failure)
                stop.wait(AWAY_SECONDS)

    def work_off(self, limit: int = 100_000) -> int:
        """Works off everything that is due now, and what that wakes; how many messages that were. Raises Away."""
        done = 0
        self.index.catch_up(self.clock.now())
        while done < limit:
            some = self.work_some()
            done += some
            if not some and not self.index.catch_up(self.clock.now()):
                break
        return done

    def work_some(self) -> int:
        """Settles a batch of messages and a file, or rows of files, that are due; how many that were. Raises Away."""
        try:
            return self._messages() + self._file()
        except _ABSENCES as away:
            raise Away(type(away)) from None

    def _messages(self) -> int:
        taken: tuple[Row, ...] = ()
        try:
            with next_messages(self.inbox, self.clock.now(), limit=BATCH_MAX) as batch:
                taken = batch.rows
                self._tell(self.applier.apply(batch, self.sources, self.clock.now()) if taken else ())
        except _ABSENCES:
            raise
        except Exception:
            for row in taken:  # one of them is at fault: the others shall not suffer
                self._alone(row)
        return len(taken)

    def _alone(self, row: Row) -> None:
        try:
            with next_messages(self.inbox, self.clock.now(), limit=1, inbox_id=row.inbox_id) as batch:
                self._tell(self.applier.apply(batch, self.sources, self.clock.now()) if batch.rows else ())
        except _ABSENCES:
            raise
        except Exception as failure:
            self._failed(row.inbox_id, failure)

    def _file(self) -> int:
        claimed: Row | None = None
        try:
            with next_of_files(self.inbox, self.clock.now()) as claim:
                if claim is None:
                    return 0
                claimed = claim.row
                if claimed.transport == REFERRAL:
                    settlement = self.referrals.apply(claim)
                    claim.settle(settlement, self.clock.now())
                    self._tell(((claimed, settlement),))
            if claimed.transport != REFERRAL and claimed.line is not None:
                return self.files.work_some()  # with others that are due
            if claimed.transport != REFERRAL:
                self.files.carry_on(claimed.inbox_id)
        except _ABSENCES:
            raise
        except Exception as failure:
            assert claimed is not None, "nothing was claimed, and yet something failed"
            self._failed(claimed.inbox_id, failure)
        return 1

    def _failed(self, inbox_id: UUID, failure: Exception) -> None:
        # Only the kind of failure is kept: its text may quote what the message says.
        status = self.inbox.fail(inbox_id, type(failure).__name__, self.clock.now())
        log.error("message_failed", inbox_id=str(inbox_id), failure=type(failure).__name__, status=status.value)

    def _tell(self, settled: Iterable[tuple[Row, Settlement]]) -> None:
        settled = tuple(settled)
        for row, to in settled:
            if row.transport not in ("file", REFERRAL):
                self.odd.look(row.source_id, to.reason, to.flags, self.clock.now())
                measured.applied(row.source_id, (recorded for recorded, _ in to.caused))
        found = Counter(to.status for _, to in settled)
        if found:
            log.info(
                "messages_settled", count=found.total(), applied=found[Status.APPLIED], unmatched=found[Status.UNMATCHED],
                waiting=found[Status.WAITING], dead=found[Status.DEAD],
            )  # fmt: skip


_ABSENCES: Final = (LogAway, CannotUnwrap, psycopg.OperationalError, PoolTimeout)
"""Nothing counts as an attempt while one of these is raised: the message was not at fault."""
