"""Signal-with-start: the one way in which this system speaks to a workflow. Needs no worker; harmless when repeated."""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from domain.core import ProcessRef
from workflows.shell import NEWS, NUDGE, WORKFLOW_QUEUE

AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.NOT_FOUND,
)
"""Answers that say nothing about the process: Temporal is away, or its namespace is not there yet."""


SIGNAL_SECONDS_MAX: Final = 30.0
"""A server that takes a connection and says nothing is away too."""


class TemporalAway(Exception):
    """Temporal cannot be reached. Carries no text."""


async def send_news(client: Client, process: ProcessRef, position: int) -> None:
    """Tell the process that the log has something for it at a position; start it where it does not run.

    Raises TemporalAway, or RPCError where Temporal refuses this process.
    """
    await _signal(client, process, NEWS, [position])


async def send_nudge(client: Client, process: ProcessRef) -> None:
    """Make the process look again, though nothing may be new; start it where it does not run. Raises as `send_news`."""
    await _signal(client, process, NUDGE, [])


async def _signal(client: Client, process: ProcessRef, signal: str, args: list[int]) -> None:
    try:
        async with asyncio.timeout(SIGNAL_SECONDS_MAX):
            await client.start_workflow(
                process.kind,
                process,
                id=process.stream,
                task_queue=WORKFLOW_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=signal,
                start_signal_args=args,
                static_summary=process.kind,
            )
    except RPCError as error:
        if error.status in AWAY:
            raise TemporalAway from None
        raise
    except (RuntimeError, TimeoutError):  # a lazy client that cannot connect
        raise TemporalAway from None
