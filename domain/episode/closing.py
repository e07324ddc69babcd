"""How an episode ends well: the warm hand-off, the notice with its appeal, and who may decide which reason (domain.md 2.7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.core import Fact, personal

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDownAgreed(Fact):
    """The member agrees to leave for a lower level of care, or because the goals are met."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmHandOffMade(Fact):
    """The member and whoever cares for them next were brought together. `to`: complex_care_management, basic_population_health,
    primary_care, other_ecm_provider."""

    to: str
    how: str
    with_whom: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOfActionReceived(Fact):
    """The plan told the member of the discontinuation, with the day until which they may appeal (G p116)."""

    sent_on: date
    effective_on: date
    appeal_until: date


ClosingFact = StepDownAgreed | WarmHandOffMade | NoticeOfActionReceived
