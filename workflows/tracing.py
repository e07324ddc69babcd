"""Hands the trace of the last news on to the activities that it leads to: one header, nothing else.

A trace belongs to what caused it: an hour after the news, what the workflow does is its timer's doing and begins a new trace.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import worker, workflow
from temporalio.api.common.v1 import Payload

HEADER = "traceparent"
TRACE_AGE_MAX = timedelta(hours=1)


class PassTrace(worker.WorkflowInboundInterceptor):
    """Remembers the header of the start and of every signal."""

    trace: Payload | None = None
    heard_at: datetime | None = None

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Outward(outbound, self))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:
        self.hear(input.headers.get(HEADER))
        return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        self.hear(input.headers.get(HEADER))
        await super().handle_signal(input)

    def hear(self, payload: Payload | None) -> None:
        if payload is not None:
            self.trace, self.heard_at = payload, workflow.now()

    def headers(self) -> dict[str, Payload]:
        fresh = self.heard_at is not None and workflow.now() - self.heard_at < TRACE_AGE_MAX
        return {HEADER: self.trace} if fresh and self.trace is not None else {}


class _Outward(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, inward: PassTrace) -> None:
        super().__init__(next)
        self._inward = inward

    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = {**input.headers, **self._inward.headers()}
        return super().start_activity(input)

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> Any:
        input.headers = {**input.headers, **self._inward.headers()}
        return super().continue_as_new(input)
