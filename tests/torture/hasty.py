"""The workflows of the programme with short time limits, and a reconcile that looks every few seconds: what takes production
minutes is noticed within a run. The shell and everything else is the real one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from temporalio import workflow

from domain.core import ProcessRef
from workflows.shell import Limits, Shell

SHORT = Limits(
    advance_start_to_close=timedelta(seconds=6),
    deliver_start_to_close=timedelta(seconds=6),
    retry_wait=timedelta(milliseconds=300),
    retry_wait_max=timedelta(seconds=2),
    without_success_max=timedelta(seconds=30),
    deliver_without_success_max=timedelta(seconds=20),
    stuck_wait=timedelta(seconds=1),
    stuck_rounds_max=3,
    idle_wait=timedelta(milliseconds=500),
    idle_wait_max=timedelta(seconds=4),
)


@workflow.defn(name="outreach")
class HastyOutreach(Shell):
    limits: ClassVar[Limits] = SHORT

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


@workflow.defn(name="transition")
class HastyTransition(Shell):
    limits: ClassVar[Limits] = SHORT

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


@workflow.defn(name="followup")
class HastyFollowUp(Shell):
    limits: ClassVar[Limits] = SHORT

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


WORKFLOWS = (HastyOutreach, HastyTransition, HastyFollowUp)
