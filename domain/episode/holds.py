"""While an episode rests: in jail, in hospital, or for another reason that a supervisor gives (domain.md scenario 69).

A hold never stops the initial deadline. It is not a closure: the member comes back, and nothing starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Command, Instant
from domain.episode.facts import EpisodeHeld, EpisodeResumed, HoldCode
from domain.episode.state import Episode
from domain.timeline import Span

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Command):
    """`code`: left out, it is read from the reason where that is one of the codes."""

    reason: str
    code: HoldCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command):
    reason: str


HoldCommand = Hold | Resume

# --- what is known -------------------------------------------------------------------------------------------------------------


def held(state: Episode, at: Instant) -> Span | None:
    """The hold that stands at an instant."""
    return next((s for s in state.holds() if s.since <= at and (s.until is None or at < s.until)), None)


def code_of(hold: Span, state: Episode) -> HoldCode:
    return next((code_said(e.fact) for e in state.said if e.event_id == hold.begun_by), HoldCode.OTHER)


def why_held(state: Episode, at: Instant) -> HoldCode | None:
    """Why the episode rests at an instant; None where it does not."""
    hold = held(state, at)
    return code_of(hold, state) if hold is not None else None


def code_said(fact: EpisodeHeld) -> HoldCode:
    """The code of a hold; of one from before there were codes, the one that its reason names."""
    return fact.code if fact.code is not HoldCode.OTHER else _named(fact.reason)


def _named(reason: str) -> HoldCode:
    return next((code for code in HoldCode if code == reason.strip().lower()), HoldCode.OTHER)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: HoldCommand, state: Episode, at: Instant) -> tuple[EpisodeHeld | EpisodeResumed, ...]:
    standing = held(state, at)
    match command:
        case Hold(reason=reason, code=code):
            return () if standing else (EpisodeHeld(reason=reason, code=code or _named(reason)),)
        case Resume(reason=reason):
            return (EpisodeResumed(reason=reason),) if standing else ()
