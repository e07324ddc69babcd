"""The trace's way through Temporal: client -> start or signal -> workflow -> activity, as one header that holds a traceparent.

Temporal's own tracing interceptor puts exceptions' texts into spans and keeps a run's first trace for ever; this one does neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.trace import SpanKind
from temporalio import activity, client, worker
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

from eventlog.traces import current_traceparent
from workers.telemetry.traces import continued
from workflows.tracing import HEADER, PassTrace


class TraceInterceptor(client.Interceptor, worker.Interceptor):
    """Give one to the client; workers made with that client use it too."""

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        return _FromClient(next)

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:
        return _IntoActivity(next)

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor] | None:
        return PassTrace


class _FromClient(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:
        return await super().start_workflow(replace(input, headers=_with_trace(input.headers)))

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        await super().signal_workflow(replace(input, headers=_with_trace(input.headers)))


class _IntoActivity(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        info = activity.info()
        with continued(
            f"activity.{info.activity_type}", _trace_of(input.headers), kind=SpanKind.CONSUMER,
            process=info.workflow_id, attempt=info.attempt,
        ):  # fmt: skip
            return await super().execute_activity(input)


def _with_trace(headers: Mapping[str, Payload]) -> dict[str, Payload]:
    traceparent = current_traceparent()
    if traceparent is None:
        return dict(headers)
    return {**headers, HEADER: PayloadConverter.default.to_payload(traceparent)}


def _trace_of(headers: Mapping[str, Payload]) -> str | None:
    payload = headers.get(HEADER)
    return None if payload is None else str(PayloadConverter.default.from_payload(payload, str))
