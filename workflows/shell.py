"""The one interpreter of every process (design.md 4): advance, deliver, compare positions, wait. No rule of the programme is here.

The log holds what is true; a run of this shell is an alarm clock that may be lost, doubled or rebuilt at any moment. It is frozen
after the first release: a change here must replay every history in tests/golden/histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception
from temporalio.workflow import ContinueAsNewVersioningBehavior

from domain.core import ProcessRef

WORKFLOW_QUEUE = "throughline"
DELIVER_QUEUE = "throughline-deliver"
"""Two queues: a slow mail server never keeps a deadline waiting (engine.md B3). `advance` is asked for on the workflow's own, so
that Temporal hands it to the worker in its answer to the very task that asked for it (decision 27)."""

NEWS = "news"
"""The signal of the router: a position of the log that concerns the process."""

NUDGE = "nudge"
"""The signal of reconcile, of a sweep and of a clock that was moved: look again, whatever you know."""

ADVANCE = "advance"
DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `advance` found. `position` is how far it had read the log; `wait_seconds` is a duration, because clocks differ."""

    position: int
    effects: tuple[str, ...] = ()
    wait_seconds: float | None = None
    waiting_for: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """What was heard: the highest position of the log, and how many nudges. Both only grow."""

    position: int = 0
    nudges: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much a run may; each process may have its own."""

    advance_start_to_close: timedelta = timedelta(seconds=30)
    deliver_start_to_close: timedelta = timedelta(seconds=30)
    retry_wait: timedelta = timedelta(seconds=1)
    retry_wait_max: timedelta = timedelta(seconds=30)
    without_success_max: timedelta = timedelta(minutes=10)
    deliver_without_success_max: timedelta = timedelta(minutes=2)
    stuck_wait: timedelta = timedelta(minutes=1)
    stuck_rounds_max: int = 6
    idle_wait: timedelta = timedelta(seconds=2)
    idle_wait_max: timedelta = timedelta(minutes=15)
    wait_min: timedelta = timedelta(seconds=1)
    run_age_max: timedelta = timedelta(days=30)
    history_events_max: int = 150


class Shell:
    """Interprets the plan of one process until nothing is owed. `process` and `news` are all that it holds."""

    limits: ClassVar[Limits] = Limits()

    process: ProcessRef
    news: News

    def __init__(self) -> None:
        self.news = News()

    @workflow.signal(name=NEWS)
    def hear(self, position: int) -> None:
        """The log has something at `position` that may concern this process. Lost, doubled or shuffled: harmless."""
        self.news = News(max(self.news.position, position), self.news.nudges)

    @workflow.signal(name=NUDGE)
    def nudged(self) -> None:
        """Look again, though nothing may be new."""
        self.news = News(self.news.position, self.news.nudges + 1)

    async def interpret(self, process: ProcessRef) -> None:
        """The loop of design.md 4. Nothing in it makes the workflow fail."""
        self.process = process
        began_under = workflow.info().get_current_deployment_version()
        idle = stuck = 0
        while True:
            seen = self.news
            try:
                outcome = await self._advance(seen.position)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                await self._rest(seen.position, seen, self.limits.stuck_wait * 2**stuck, "stuck")
                stuck += 1
                if stuck >= self.limits.stuck_rounds_max or self._aged(began_under):
                    await self._renew()
                continue
            stuck = 0
            progressed = await self._deliver(outcome.effects, began_under)
            again = progressed or self._heard(outcome.position, seen)
            if outcome.done and not outcome.effects and not again:
                return
            if self._aged(began_under):
                # A new run begins with an advance, so nothing that is still unheard can be lost with this one.
                await self._renew()
            if again:
                idle = 0
                continue
            wait = self._wait_of(outcome)
            if outcome.effects:
                wait = min(wait, self.limits.idle_wait * 2 ** min(idle, 12), self.limits.idle_wait_max)
                idle += 1
            await self._rest(outcome.position, seen, wait, outcome.waiting_for)

    async def _advance(self, seen: int) -> Outcome:
        outcome: Outcome = await workflow.execute_activity(
            ADVANCE,
            args=[self.process, workflow.now(), seen],
            result_type=Outcome,
            task_queue=WORKFLOW_QUEUE,
            start_to_close_timeout=self.limits.advance_start_to_close,
            schedule_to_close_timeout=self.limits.without_success_max,
            retry_policy=self._retry,
        )
        return outcome

    async def _deliver(self, effects: tuple[str, ...], began_under: object) -> bool:
        """Carry out what was asked for, one after another. Whether anything new was written in the log."""
        progressed = False
        for key in effects:
            if self._aged(began_under):
                break
            try:
                progressed |= await workflow.execute_activity(
                    DELIVER,
                    args=[self.process, key, workflow.now()],
                    result_type=bool,
                    task_queue=DELIVER_QUEUE,
                    start_to_close_timeout=self.limits.deliver_start_to_close,
                    schedule_to_close_timeout=self.limits.deliver_without_success_max,
                    retry_policy=self._retry,
                )
            except ActivityError as error:
                # The request is still in the log, so the next advance lists it again; the pause before it grows.
                if is_cancelled_exception(error):
                    raise
        return progressed

    def _heard(self, position: int, seen: News) -> bool:
        """Whether there is news beyond a position, or a nudge that came after `seen`."""
        return self.news.position > position or self.news.nudges > seen.nudges

    async def _rest(self, position: int, seen: News, wait: timedelta, why: str) -> None:
        try:
            await workflow.wait_condition(lambda: self._heard(position, seen), timeout=wait, timeout_summary=why or None)
        except TimeoutError:
            return

    def _wait_of(self, outcome: Outcome) -> timedelta:
        """At least a second, at most until this run is due to be renewed."""
        left = self.limits.run_age_max - (workflow.now() - workflow.info().start_time)
        wanted = left if outcome.wait_seconds is None else timedelta(seconds=outcome.wait_seconds)
        return max(min(wanted, left), self.limits.wait_min)

    def _aged(self, began_under: object) -> bool:
        info = workflow.info()
        return (
            info.get_current_history_length() > self.limits.history_events_max
            or info.is_continue_as_new_suggested()
            or workflow.now() - info.start_time >= self.limits.run_age_max
            or info.is_target_worker_deployment_version_changed()
            or info.get_current_deployment_version() != began_under
        )

    async def _renew(self) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.process, initial_versioning_behavior=ContinueAsNewVersioningBehavior.AUTO_UPGRADE)

    @property
    def _retry(self) -> RetryPolicy:
        return RetryPolicy(initial_interval=self.limits.retry_wait, maximum_interval=self.limits.retry_wait_max)
