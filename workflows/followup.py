"""The year after enrolment, on Temporal: its name. What it does is planned in domain/followup/plan.py."""

from __future__ import annotations

from temporalio import workflow

from domain.core import ProcessRef
from workflows.shell import Shell


@workflow.defn(name="followup")
class FollowUp(Shell):
    """Sleeps from one contact to the next due; lives for about a year."""

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)
