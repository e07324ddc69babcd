"""Keeps an error's own words out of Temporal: nothing crosses to it but a code."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.codes import code_of


class OnlyCodes(Interceptor):
    """Replaces every exception that an activity would hand to Temporal by its code: no text, no cause, no traceback."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _OnlyCodes(next)


class _OnlyCodes(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except (CancelledError, activity._CompleteAsyncError):
            raise
        except Exception as error:
            code = code_of(error)
        raise ApplicationError(code, type=code)
