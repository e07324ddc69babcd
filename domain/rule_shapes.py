"""What the rule shapes of every process are made of: limits, day bases, warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


def within(low: int, high: int) -> Any:
    """A whole number with its limits, both included."""
    return field(metadata={"limits": (low, high)})


class Basis(StrEnum):
    CALENDAR = "calendar"
    BUSINESS = "business"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """An alert to somebody a number of days before `act_by`. `to`: owner or supervisor."""

    days_before: int = within(0, 60)
    to: str = field(metadata={"one_of": ("owner", "supervisor")})
