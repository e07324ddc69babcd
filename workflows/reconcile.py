"""The system's own recurring job on Temporal: run by a Schedule, one activity, no state."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflows.shell import WORKFLOW_QUEUE

RECONCILE = "reconcile"
PASS_SECONDS_MAX = 30


@workflow.defn(name="reconcile")
class Reconcile:
    """One pass a minute. A pass that fails is left to the next one."""

    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.execute_activity(
                RECONCILE,
                task_queue=WORKFLOW_QUEUE,
                start_to_close_timeout=timedelta(seconds=PASS_SECONDS_MAX),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError:
            return
