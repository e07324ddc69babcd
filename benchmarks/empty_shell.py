"""The smallest workflow that waits as a process does: the reference of every figure of the shell. No rule, no log, no database.

Its activity has a queue of its own, as in the measurements of engine.md B0. The signal's name is that of workflows/shell.py, which
is not imported: a workflow would carry its own copy of it.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

EMPTY = "empty"
QUEUE = "empty-activities"
NEWS = "news"
NOTHING = "nothing"
SLEEP = timedelta(hours=7)


@workflow.defn(name=EMPTY)
class Empty:
    """One activity, then a wait for a signal or a timer; again after each."""

    def __init__(self) -> None:
        self.news = 0

    @workflow.signal(name=NEWS)
    def hear(self, position: int) -> None:
        self.news = max(self.news, position)

    @workflow.run
    async def run(self, id: str) -> None:
        while True:
            seen = self.news
            await workflow.execute_activity(
                NOTHING, id, result_type=float, task_queue=QUEUE, start_to_close_timeout=timedelta(seconds=30)
            )
            await self._news_after(seen)

    async def _news_after(self, seen: int) -> None:
        try:
            await workflow.wait_condition(lambda: self.news > seen, timeout=SLEEP)
        except TimeoutError:
            return
