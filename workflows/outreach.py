"""The campaign to reach a member, on Temporal: its name. What it does is planned in domain/outreach/plan.py."""

from __future__ import annotations

from temporalio import workflow

from domain.core import ProcessRef
from workflows.shell import Shell


@workflow.defn(name="outreach")
class Outreach(Shell):
    """Sleeps for days between a rung of the ladder and the next; lives for weeks."""

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)
