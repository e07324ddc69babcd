"""What every process's stream keeps alike, besides its own words: dues, requests, and what was settled of people's records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from domain.clocks import ClockFact, KeepClock
from domain.core import Decision, Recorded
from domain.records import RecordFact
from domain.requests import KeepRequest, RequestFact
from domain.timeline import put

State = TypeVar("State", bound=Any)
"""A process's state: it has `clocks`, `requests` and `said`."""


def entered(state: State, recorded: Recorded) -> State | None:
    """The state with one more fact of these; None where it is one of the process's own."""
    match recorded.fact:
        case fact if isinstance(fact, ClockFact):
            return replace(state, clocks=state.clocks.evolve(recorded))
        case fact if isinstance(fact, RequestFact):
            return replace(state, requests=state.requests.evolve(recorded))
        case fact if isinstance(fact, RecordFact):
            return replace(state, said=put(state.said, recorded))
        case _:
            return None


def decided(command: Any, state: Any) -> Decision | None:
    """What the plan found of a due or a request, or nothing where the stream says so already; None where it is another command."""
    match command:
        case KeepClock(fact=due):
            clocks: Decision = state.clocks.decide(due)
            return clocks
        case KeepRequest(fact=request):
            requests: Decision = state.requests.decide(request)
            return requests
        case _:
            return None
