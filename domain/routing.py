"""Which processes a fact wakes (design.md 3, `route`), and the tags by which the router finds the open ones.

A process that is woken for nothing plans and finds nothing to do: routing errs on the side of waking, and what a process `ignores`
is shown to change nothing by a property test. What differs from process to
process is said where each is registered (`domain.core.Process`), and not here.
"""

from __future__ import annotations

from domain.adoption.facts import PolicyAdopted
from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.catalog import PROCESSES
from domain.core import AllOpen, Fact, ProcessRef, Recorded, StreamId
from domain.member.facts import Claimed, EpisodeBegun, Released, StayAttributed
from domain.member.identity import MembersMerged, MembersSeparated


def route(recorded: Recorded) -> tuple[ProcessRef | AllOpen, ...]:
    """The processes that should look again because of a fact."""
    kind, _, id = recorded.stream.partition("-")
    match recorded.fact:
        case Claimed() | Released():
            return ()
        case CaseTaken(episode=episode) | CaseWeighed(episode=episode) | CaseReleased(episode=episode):
            # Not everybody else whom the same care manager leads: their weight is their own. And here only who asks for it.
            return _heeding(recorded.fact, episode.partition("-")[2])
        case PolicyAdopted():
            return _every(recorded.stream)
        case EpisodeBegun(episode=episode):
            return (*_every(recorded.stream), *_of_episode(episode))
        case MembersMerged(episodes=episodes) | MembersSeparated(episodes=episodes):
            return (*_every(recorded.stream), *(ref for episode in episodes for ref in _of_episode(episode)))
        case StayAttributed(episode=episode):
            return (*_every(recorded.stream), *(_of_episode(episode) if episode else ()))
        case fact if kind in PROCESSES:
            return (ProcessRef(kind, id), *(ref for ref in _heeding(fact, id) if ref.kind != kind))
        case fact if kind == "episode":
            return tuple(ProcessRef(process.kind, id) for process in PROCESSES.values() if not isinstance(fact, process.ignores))
        case _:
            return _every(recorded.stream)


def tags(recorded: Recorded) -> tuple[str, ...]:
    """What the router's index remembers of a process's own fact: the streams whose facts concern that process from now on.

    The index keeps a process's tags for good, since a late fact about a member or a stay may concern one that has ended. Only
    a policy's sweep (a tag that begins with `policy-`) is limited to the processes that are open, see `ends`."""
    process = PROCESSES.get(recorded.stream.partition("-")[0])
    return process.tags(recorded.fact) if process is not None else ()


def ties(recorded: Recorded) -> tuple[StreamId, ...]:
    """Of a fact of a stream that is no process: the streams whose facts concern from now on whatever this stream's concern.

    Members who were found to be one person. The tie stays when they are separated: waking for nothing is harmless."""
    match recorded.fact:
        case MembersMerged(survivor=survivor, retired=retired):
            return (retired if recorded.stream == survivor else survivor,)
        case _:
            return ()


def ends(recorded: Recorded) -> bool | None:
    """Whether a process's own fact says that it ended (True) or is open (False); None: it says neither."""
    process = PROCESSES.get(recorded.stream.partition("-")[0])
    if process is None:
        return None
    kind = type(recorded.fact)
    return True if kind is process.ends else False if kind in (process.opens, process.resumes) else None


def _every(stream: StreamId) -> tuple[AllOpen, ...]:
    return tuple(AllOpen(kind, stream) for kind in PROCESSES)


def _heeding(fact: Fact, id: str) -> tuple[ProcessRef, ...]:
    return tuple(ProcessRef(process.kind, id) for process in PROCESSES.values() if isinstance(fact, process.heeds))


def _of_episode(episode: StreamId) -> tuple[ProcessRef, ...]:
    return tuple(ProcessRef(kind, episode.partition("-")[2]) for kind in PROCESSES)
