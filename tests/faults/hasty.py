"""The outreach workflow with short time limits, so that the loss of a worker is noticed in seconds. The shell is the real one."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from temporalio import workflow

from domain.core import ProcessRef
from workflows.shell import Limits, Shell


@workflow.defn(name="outreach")
class HastyOutreach(Shell):
    limits: ClassVar[Limits] = Limits(
        advance_start_to_close=timedelta(seconds=4),
        deliver_start_to_close=timedelta(seconds=4),
        retry_wait_max=timedelta(seconds=2),
        idle_wait=timedelta(milliseconds=500),
    )

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)
