"""Which processes a fact wakes (design.md 3, `route`), and the tags by which the router finds the open ones.

A process that is woken for nothing plans and finds nothing to do: routing errs on the side of waking.
"""

from __future__ import annotations

from domain.adoption.facts import PolicyAdopted
from domain.core import AllOpen, ProcessRef, Recorded, StreamId
from domain.member.facts import Claimed, EpisodeBegun, Released, StayAttributed
from domain.outreach.facts import OutreachEnded, OutreachOpened, OutreachResumed
from domain.requests import MessageRequested
from domain.transition.facts import TransitionalCareEnded, TransitionalCareOpened, TransitionalCareResumed, TransitionEntrusted

PER_EPISODE = ("outreach", "transition")
"""The kinds of process that run once per episode and carry its uuid."""


def route(recorded: Recorded) -> tuple[ProcessRef | AllOpen, ...]:
    """The processes that should look again because of a fact."""
    kind, _, id = recorded.stream.partition("-")
    match recorded.fact:
        case Claimed() | Released():
            return ()
        case PolicyAdopted():
            return _every(recorded.stream)
        case EpisodeBegun(episode=episode):
            return (*_every(recorded.stream), *_of_episode(episode))
        case StayAttributed(episode=episode):
            return (*_every(recorded.stream), *(_of_episode(episode) if episode else ()))
        case _ if kind in PER_EPISODE:
            return (ProcessRef(kind, id),)
        case _ if kind == "episode":
            return _of_episode(recorded.stream)
        case _:
            return _every(recorded.stream)


def tags(recorded: Recorded) -> tuple[str, ...]:
    """What the router's index remembers of a process's own fact: the streams whose facts concern that process from now on.

    The index keeps a process's tags for good, since a late fact about a member or a stay may concern one that has ended. Only
    a policy's sweep (a tag that begins with `policy-`) is limited to the processes that are open, see `ends`."""
    match recorded.fact:
        case OutreachOpened(member=member, episode=episode, plan=plan):
            return (member, episode, f"policy-{plan}", "policy-default")
        case TransitionalCareOpened(stay=stay, member=member, episode=episode, plan=plan):
            return (stay, member, episode, f"policy-{plan}", "policy-default")
        case TransitionEntrusted(lead=lead, supervisor=supervisor):
            return tuple(stream for stream in (lead, supervisor) if stream)
        case MessageRequested(about=about) if about.startswith("stay-"):
            return (about,)
        case _:
            return ()


def ends(recorded: Recorded) -> bool | None:
    """Whether a process's own fact says that it ended (True) or is open (False); None: it says neither."""
    match recorded.fact:
        case OutreachEnded() | TransitionalCareEnded():
            return True
        case OutreachOpened() | OutreachResumed() | TransitionalCareOpened() | TransitionalCareResumed():
            return False
        case _:
            return None


def _every(stream: StreamId) -> tuple[AllOpen, ...]:
    return tuple(AllOpen(kind, stream) for kind in PER_EPISODE)


def _of_episode(episode: StreamId) -> tuple[ProcessRef, ...]:
    return tuple(ProcessRef(kind, episode.partition("-")[2]) for kind in PER_EPISODE)
