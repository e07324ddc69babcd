"""What each source's feed is measured by, beside what its tables tell: how soon it is answered, and how late it tells of things.

Numbers by source alone; nothing of any message.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from opentelemetry import metrics

from domain.core import Recorded
from domain.stay.facts import StayStatement

ACK_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 8.0)
LAG_SECONDS: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0, 864_000.0)

_meter = metrics.get_meter("throughline.intake")
_acks = _meter.create_histogram(
    "throughline.ack.duration", unit="s", description="From a message's receipt to its answer",
    explicit_bucket_boundaries_advisory=ACK_SECONDS,
)  # fmt: skip
_lags = _meter.create_histogram(
    "throughline.message.lag", unit="s", description="From an event to the receipt of the message that tells of it",
    explicit_bucket_boundaries_advisory=LAG_SECONDS,
)  # fmt: skip


def answered(source: str, seconds: float) -> None:
    """Messages that came together were answered, so many seconds after they came."""
    _acks.record(seconds, {"source": source})


def applied(source: str, caused: Iterable[Recorded]) -> None:
    """A message was applied: how late it was, by what it states of a stay. An event that lies ahead is not late at all."""
    for recorded in caused:
        if isinstance(recorded.fact, StayStatement):
            late = max(recorded.fact.received_at - recorded.occurred_at, timedelta(0))
            _lags.record(late.total_seconds(), {"source": source})
            return
