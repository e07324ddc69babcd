"""What the plan authorised, for how long, and what was asked of it (domain.md 2.2, 2.5). A lapse never deletes an episode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.core import Fact, StreamId

# --- facts ---------------------------------------------------------------------------------------------------------------------


class AuthorisationBasis(StrEnum):
    """Why a span is authorised: the first year, six months again, thirty days while the plan decides, ECM received with another
    plan within the last 90 days, the day of a release."""

    INITIAL = "initial"
    RENEWAL = "renewal"
    STREAMLINED = "streamlined"
    CONTINUITY = "continuity"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationGranted(Fact):
    """The plan pays for the days from the first to the last, both included. `authorisation` is our own id of it."""

    authorisation: str
    basis: AuthorisationBasis
    first_day: date
    last_day: date
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationRequested(Fact):
    """We asked the plan. `following` is the authorisation that runs out, if one does."""

    request: str
    basis: AuthorisationBasis
    following: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationDenied(Fact):
    """The plan said no and told us on `communicated_on`; until the end of that day it pays (G p109)."""

    request: str
    communicated_on: date
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscontinuationConsidered(Fact):
    """The member was looked at against the criteria of discontinuation, not of eligibility (G p116). `outcome`: continue,
    step_down, graduate."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CareCarriedOver(Fact):
    """Authorisation, agreement and care plan came along from an episode with another plan (domain.md scenario 64). `evidence`:
    old_plan, claims, member, old_provider, other."""

    previous: StreamId
    evidence: str
    last_service_on: date


AuthorisationFact = (
    AuthorisationGranted | AuthorisationRequested | AuthorisationDenied | DiscontinuationConsidered | CareCarriedOver
)
