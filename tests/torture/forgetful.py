"""A shell that returns as soon as its process is done, whatever it has heard meanwhile: a planted defect, never to be imported but
by tests. Workflows live in a sandbox that imports them anew, so this one cannot be patched in and is written out."""

from __future__ import annotations

from typing import ClassVar

from temporalio import workflow

from domain.core import ProcessRef
from tests.torture.hasty import SHORT
from workflows.shell import Limits, News, Outcome, Shell


class Forgetful(Shell):
    """Forgets to compare positions at `done`."""

    limits: ClassVar[Limits] = SHORT
    done = False

    async def _advance(self, seen: int) -> Outcome:
        outcome = await super()._advance(seen)
        self.done = outcome.done
        return outcome

    def _heard(self, position: int, seen: News) -> bool:
        return not self.done and super()._heard(position, seen)


@workflow.defn(name="outreach")
class ForgetfulOutreach(Forgetful):
    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


@workflow.defn(name="transition")
class ForgetfulTransition(Forgetful):
    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


@workflow.defn(name="followup")
class ForgetfulFollowUp(Forgetful):
    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


WORKFLOWS = (ForgetfulOutreach, ForgetfulTransition, ForgetfulFollowUp)
