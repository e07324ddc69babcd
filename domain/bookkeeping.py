"""What every process's stream keeps alike, besides its own words: dues, requests, and what was settled of people's records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

from domain.clocks import ClockFact, KeepClock
from domain.core import Decision, Fact, Recorded
from domain.records import FACTS as RECORD_FACTS
from domain.records import RecordFact
from domain.requests import KeepRequest, RequestFact
from domain.timeline import put, put_all

State = TypeVar("State", bound=Any)
"""A process's state: it has `clocks`, `requests` and `said`."""

CLOCK_FACTS, REQUEST_FACTS = get_args(ClockFact), get_args(RequestFact)


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


def entered_all(
    state: State, history: Sequence[Recorded], said: tuple[type[Fact], ...], own: Callable[[State, Recorded], State]
) -> State:
    """The state with many facts. What every process keeps, and the facts that are only `said`, are each of them apart from all the
    rest of the state: they are gathered and entered at once, and what is left is entered one after another by `own`."""
    dues: list[Recorded] = []
    requests: list[Recorded] = []
    told: list[Recorded] = []
    others: list[Recorded] = []
    of = {**dict.fromkeys(said, told), **dict.fromkeys(CLOCK_FACTS, dues), **dict.fromkeys(REQUEST_FACTS, requests)}
    of |= dict.fromkeys(RECORD_FACTS, told)
    for recorded in history:
        of.get(type(recorded.fact), others).append(recorded)
    for recorded in others:
        state = own(state, recorded)
    return replace(
        state,
        clocks=state.clocks.evolve_all(dues) if dues else state.clocks,
        requests=state.requests.evolve_all(requests) if requests else state.requests,
        said=put_all(state.said, told),
    )


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
