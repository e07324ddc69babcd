"""What is owed after each stay in hospital, on Temporal: its name. What it does is planned in domain/transition/plan.py."""

from __future__ import annotations

from temporalio import workflow

from domain.core import ProcessRef
from workflows.shell import Shell


@workflow.defn(name="transition")
class Transition(Shell):
    """Ends when nothing is owed and begins again with the next stay; lives for at least thirty days after each."""

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)
