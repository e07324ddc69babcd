"""The activity `deliver`: one request, begun, sent once, with an outcome in the log (design.md 4)."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.delivery import Delivery
from activities.watch import Watch
from domain.core import ProcessRef
from workflows.shell import DELIVER

_log = structlog.get_logger("throughline.deliver")


class Deliver:
    """The activity with what it needs."""

    def __init__(self, delivery: Delivery, watch: Watch) -> None:
        self._delivery = delivery
        self._watch = watch

    @activity.defn(name=DELIVER)
    def deliver(self, process: ProcessRef, key: str, workflow_now: datetime) -> bool:
        """Whether anything was written. What was begun longer ago than this activity may last has lost its worker."""
        unsure_after = activity.info().start_to_close_timeout or timedelta(minutes=1)
        written = self._delivery.deliver(process, key, self._watch.now(workflow_now), unsure_after)
        _log.info("delivered", process=process.stream, outcome="written" if written else "left")
        return written
