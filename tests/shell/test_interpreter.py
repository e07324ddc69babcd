"""The shell itself on a real server: the loop, the comparison of positions, the renewal of runs, and that nothing makes it fail.

`advance` and `deliver` are scripted here; what they do with a real log is in the neighbouring files.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker import Worker, WorkerDeploymentConfig

from domain.core import ProcessRef
from workflows import shell
from workflows.shell import Limits, Outcome, Shell

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]

EVENTS_MAX = 200
"""No run may write more (engine.md, rule 29)."""


@workflow.defn(name="toy")
class Toy(Shell):
    limits: ClassVar[Limits] = Limits(
        retry_wait=timedelta(milliseconds=100),
        without_success_max=timedelta(seconds=1),
        deliver_without_success_max=timedelta(seconds=1),
        stuck_wait=timedelta(seconds=1),
        stuck_rounds_max=2,
        idle_wait=timedelta(milliseconds=200),
    )

    @workflow.run
    async def run(self, process: ProcessRef) -> None:
        await self.interpret(process)


@dataclass
class Script:
    """What the scripted activities answer, and what they were asked."""

    answer: Callable[[int, int], Outcome]
    deliver_answer: Callable[[int], bool] = lambda n: True
    asked: list[tuple[datetime, int]] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)

    @activity.defn(name="advance")
    async def advance(self, process: ProcessRef, now: datetime, seen: int) -> Outcome:
        self.asked.append((now, seen))
        return self.answer(len(self.asked), seen)

    @activity.defn(name="deliver")
    async def deliver(self, process: ProcessRef, key: str, now: datetime) -> bool:
        self.delivered.append(key)
        return self.deliver_answer(len(self.delivered))


@asynccontextmanager
async def running(client: Client, script: Script, build: str = "one") -> AsyncIterator[None]:
    version = WorkerDeploymentConfig(WorkerDeploymentVersion("throughline", build), use_worker_versioning=False)
    async with (
        Worker(client, task_queue=shell.WORKFLOW_QUEUE, workflows=[Toy], activities=[script.advance], deployment_config=version),
        Worker(client, task_queue=shell.DELIVER_QUEUE, activities=[script.deliver]),
    ):
        yield


async def start(client: Client) -> WorkflowHandle[Toy, None]:
    ref = ProcessRef("toy", str(uuid.uuid4()))
    return await client.start_workflow(Toy.run, ref, id=ref.stream, task_queue=shell.WORKFLOW_QUEUE)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def runs_of(client: Client, handle: WorkflowHandle[Toy, None]) -> list[int]:
    """The number of history events of each run of the workflow, first to last."""
    lengths: list[int] = []
    run_id: str | None = handle.result_run_id
    while run_id:
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        lengths.append(len(history.events))
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return lengths


@pytest.fixture
async def client(temporal_address: str, temporal_namespace: str) -> Client:
    return await Client.connect(temporal_address, namespace=temporal_namespace)


async def test_it_ends_when_nothing_is_owed(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=seen, done=True))
    async with running(client, script):
        await asyncio.wait_for((await start(client)).result(), 10)
    assert len(script.asked) == 1


async def test_it_sleeps_until_the_wake_up_and_no_longer(client: Client) -> None:
    skipper = TimeSkipper(client, config=TimeSkippingConfig(enabled=False))
    script = Script(lambda n, seen: Outcome(position=seen, wait_seconds=9 * 86_400, waiting_for="next_attempt", done=n > 1))
    async with running(client, script):
        handle = await start(skipper.client)
        await until(lambda: len(script.asked) == 1)
        assert await skipper.fast_forward(handle, timedelta(days=8))
        assert len(script.asked) == 1
        await skipper.fast_forward(handle, timedelta(days=2))
        await asyncio.wait_for(handle.result(), 10)
    (first, _), (second, _) = script.asked
    assert timedelta(days=9) <= second - first < timedelta(days=9, minutes=1)


async def test_news_that_arrives_while_it_closes_is_looked_at(client: Client) -> None:
    """The process is done as of position 5 while position 7 was already signalled: it must look again (engine.md C)."""
    hold = asyncio.Event()

    class Slow(Script):
        @activity.defn(name="advance")
        async def advance(self, process: ProcessRef, now: datetime, seen: int) -> Outcome:
            self.asked.append((now, seen))
            if len(self.asked) == 1:
                await hold.wait()
            return Outcome(position=max(5, seen), done=True)

    script = Slow(lambda n, seen: Outcome(0))
    async with running(client, script):
        handle = await start(client)
        await until(lambda: len(script.asked) == 1)
        await handle.signal(shell.NEWS, 7)
        await handle.signal(shell.NEWS, 3)
        hold.set()
        await asyncio.wait_for(handle.result(), 10)
    assert [seen for _, seen in script.asked] == [0, 7]


async def test_a_signal_below_the_position_does_not_wake_it(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=max(10, seen), wait_seconds=3600.0, done=seen == 11))
    async with running(client, script):
        handle = await start(client)
        await until(lambda: len(script.asked) == 1)
        for position in (3, 10, 10):
            await handle.signal(shell.NEWS, position)
        await handle.signal(shell.NEWS, 11)
        await asyncio.wait_for(handle.result(), 15)
    assert [seen for _, seen in script.asked] == [0, 11]


async def test_runs_stay_short_however_often_it_is_woken(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=n, effects=("one",) if n < 40 else (), done=n >= 40))
    async with running(client, script):
        handle = await start(client)
        await asyncio.wait_for(handle.result(), 60)
    lengths = await runs_of(client, handle)
    assert len(script.delivered) >= 36, "a run that is due for renewal leaves an effect to the next one"
    assert len(lengths) >= 3
    assert max(lengths) < EVENTS_MAX


async def test_an_advance_that_keeps_failing_leaves_the_workflow_alive(client: Client) -> None:
    broken = True

    def answer(n: int, seen: int) -> Outcome:
        if broken:
            raise ApplicationError("broken")
        return Outcome(position=seen, done=True)

    script = Script(answer)
    async with running(client, script):
        handle = await start(client)
        # Two rounds of attempts fail, then the run is renewed: still running, not failed.
        async with asyncio.timeout(30):
            while len(await runs_of(client, handle)) < 2:
                await asyncio.sleep(0.2)
        broken = False
        await asyncio.wait_for(handle.result(), 20)


async def test_an_effect_that_cannot_be_delivered_backs_off(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=seen, effects=("one",), wait_seconds=3600), deliver_answer=lambda n: n > 4)
    script.answer = lambda n, seen: Outcome(position=seen, effects=("one",) if len(script.delivered) < 5 else (), done=True)
    async with running(client, script):
        handle = await start(client)
        began = asyncio.get_running_loop().time()
        await asyncio.wait_for(handle.result(), 30)
        lasted = asyncio.get_running_loop().time() - began
    assert len(script.delivered) == 5
    assert lasted > 0.2 + 0.4 + 0.8 + 1.0, "the pauses grow"


async def test_a_new_version_of_the_worker_renews_the_run(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=seen, wait_seconds=3600.0))
    async with running(client, script, build="one"):
        handle = await start(client)
        await until(lambda: len(script.asked) == 1)
    async with running(client, script, build="two"):
        await handle.signal(shell.NEWS, 1)
        async with asyncio.timeout(20):
            while len(await runs_of(client, handle)) < 2:
                await asyncio.sleep(0.1)
        await client.get_workflow_handle(handle.id).terminate()


async def test_a_run_is_renewed_after_thirty_days_though_nothing_happens(client: Client) -> None:
    """A year-long wait never outlives a month of deployments: the alarm is set anew by a fresh run."""
    skipper = TimeSkipper(client, config=TimeSkippingConfig(enabled=False))
    script = Script(lambda n, seen: Outcome(position=seen, wait_seconds=None, waiting_for="next_stay"))
    async with running(client, script):
        handle = await start(skipper.client)
        await until(lambda: len(script.asked) == 1)
        await skipper.fast_forward(client.get_workflow_handle(handle.id), timedelta(days=100))
        lengths = await runs_of(client, handle)
        assert len(lengths) == 4 and max(lengths) < 40
        await client.get_workflow_handle(handle.id).terminate()


async def test_a_nudge_wakes_it_though_nothing_is_new(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=10, wait_seconds=3600.0))
    async with running(client, script):
        handle = await start(client)
        await until(lambda: len(script.asked) == 1)
        await handle.signal(shell.NUDGE)
        await until(lambda: len(script.asked) == 2)
        await handle.terminate()


async def test_a_signal_that_makes_no_sense_is_ignored(client: Client) -> None:
    script = Script(lambda n, seen: Outcome(position=seen, wait_seconds=3600.0, done=n > 1))
    async with running(client, script):
        handle = await start(client)
        await until(lambda: len(script.asked) == 1)
        await handle.signal(shell.NEWS, "not a position")
        await handle.signal("unheard-of", 1)
        await handle.signal(shell.NEWS, 1)
        await asyncio.wait_for(handle.result(), 10)
