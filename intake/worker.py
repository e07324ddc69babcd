"""Works the inbox off: one message at a time a thread, any number of threads and processes, none of them in the others' way.

What fails is tried again with growing pauses and is dead after the fifth time, visibly. Where the database is away nothing counts
as an attempt: the message was not at fault.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
import structlog
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from psycopg_pool import PoolTimeout

from eventlog.clock import Clock
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.apply import Applier
from intake.inbox import Claim, Inbox, Settlement, Status
from intake.index import IdentityIndex
from intake.roster import MemberFiles
from intake.sources import Sources

IDLE_SECONDS: Final = 0.1
AWAY_SECONDS: Final = 1.0
CATCH_UP_EVERY: Final = 20
"""Messages between two looks at who became known; when idle, every time."""

log = structlog.get_logger("intake.worker")
_tracer = otel.get_tracer("throughline.intake")
_propagator = TraceContextTextMapPropagator()


class Away(Exception):
    """PostgreSQL or the keys cannot be reached now. Nothing was attempted."""


@dataclass(slots=True)
class Worker:
    """Takes due messages and settles them. `run` until `stop` is set; `work_off` until nothing is due."""

    inbox: Inbox
    applier: Applier
    files: MemberFiles
    index: IdentityIndex
    sources: Sources
    clock: Clock

    def run(self, stop: threading.Event) -> None:
        """Works until told to stop. Survives PostgreSQL's absence."""
        since = 0
        while not stop.is_set():
            try:
                if since % CATCH_UP_EVERY == 0:
                    self.index.catch_up(self.clock.now())
                if self.work_one() is None:
                    since = 0
                    stop.wait(IDLE_SECONDS)
                else:
                    since += 1
            except (Away, LogAway, CannotUnwrap, psycopg.Error, PoolTimeout) as away:
                log.warning("intake_waits", failure=type(away).__name__)
                stop.wait(AWAY_SECONDS)

    def work_off(self, limit: int = 100_000) -> int:
        """Works off everything that is due now, and what that wakes; how many messages that were. Raises Away."""
        done = 0
        self.index.catch_up(self.clock.now())
        while done < limit:
            if self.work_one() is not None:
                done += 1
            elif not self.index.catch_up(self.clock.now()):
                break
        return done

    def work_one(self) -> Status | None:
        """Settles the next message that is due; None where there is none. Raises Away."""
        claimed: UUID | None = None
        whole_file: UUID | None = None
        try:
            with self.inbox.claim(self.clock.now()) as claim:
                if claim is None:
                    return None
                row = claim.row
                claimed = row.inbox_id
                if row.transport == "file" and row.line is None:
                    whole_file = row.inbox_id
                else:
                    parent = _propagator.extract({"traceparent": row.trace}) if row.trace else None
                    with _tracer.start_as_current_span("intake.apply", context=parent) as span:
                        span.set_attribute("throughline.inbox_id", str(row.inbox_id))
                        settlement = self._settlement(claim)
                        claim.settle(settlement, self.clock.now())
                        span.set_attribute("throughline.status", settlement.status.value)
            if whole_file is not None:
                self.files.carry_on(whole_file)
                return Status.APPLIED
        except (LogAway, CannotUnwrap, psycopg.OperationalError, PoolTimeout) as away:
            raise Away(type(away).__name__) from None
        except Exception as failure:
            assert claimed is not None, "nothing was claimed, and yet something failed"
            # Only the kind of failure is kept: its text may quote what the message says.
            status = self.inbox.fail(claimed, type(failure).__name__, self.clock.now())
            log.error("message_failed", inbox_id=str(claimed), failure=type(failure).__name__, status=status.value)
            return status
        log.info("message_settled", inbox_id=str(claimed), status=settlement.status.value, reason=settlement.reason)
        return settlement.status

    def _settlement(self, claim: Claim) -> Settlement:
        if claim.row.transport == "file":
            return self.files.apply(claim)
        source = self.sources.named(claim.row.source_id)
        if source is None:
            return Settlement(status=Status.WAITING, reason="source_unknown")
        return self.applier.apply(claim, source)
