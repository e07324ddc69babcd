"""Handing over one or all members of somebody: each member by a hand-over of their own, so that it can be stopped and resumed.

Whom it was done for is no longer led by the giver: whoever runs it again goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from api.placing import NoEpisode, placing
from domain.caseload.state import Load, caseload_of
from domain.core import Command, Refusal, StreamId
from domain.episode.leads import HandOver, ReleaseLeadCareManager, last_lead
from domain.episode.state import Episode
from eventlog.gateway import Accepted, Gateway
from projections.caseload_answers import LeadOffer
from projections.queries import Queries

HAND_OVERS = UUID("2b1d3c9a-6f04-4c53-9a55-6d0f5f6f3a10")
"""The name space of the command ids of these hand-overs."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What became of one member: `to` who leads now (empty: nobody), or `refused` with what was in the way. `interpreter_needed`:
    the receiver does not speak the member's language."""

    episode: str
    member: str
    to: str
    refused: str = ""
    interpreter_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to happen: to one receiver, or spread over all who are offered; or to nobody, with a reason. Given by `by`."""

    giver: StreamId
    by: str
    to: StreamId | None = None
    note: str | None = None
    over_cap_because: str = ""
    unassign_because: str = ""


def led_by(gateway: Gateway, giver: StreamId) -> tuple[StreamId, ...]:
    """The open episodes that somebody leads, as the log has them."""
    load = gateway.load(caseload_of(giver)).state
    return tuple(sorted(load.cases)) if isinstance(load, Load) else ()


def hand_over(
    gateway: Gateway,
    queries: Queries,
    wish: Wish,
    episodes: tuple[StreamId, ...],
    *,
    now: Callable[[], datetime],
    caught_up: Callable[[], object],
) -> Iterator[HandedOver]:
    """One after another. `caught_up` brings the read models up, so that offers see the hand-overs before. Raises LogAway."""
    for episode in episodes:
        state = gateway.load(episode).state
        if not isinstance(state, Episode) or last_lead(state) != wish.giver or state.closure(now()) is not None:
            continue
        yield _one(gateway, queries, wish, episode, state, now=now, caught_up=caught_up)


def _one(
    gateway: Gateway,
    queries: Queries,
    wish: Wish,
    episode: StreamId,
    state: Episode,
    *,
    now: Callable[[], datetime],
    caught_up: Callable[[], object],
) -> HandedOver:
    if wish.unassign_because:
        command: Command = ReleaseLeadCareManager(stream=episode, by=wish.by, reason=wish.unassign_because)
        return HandedOver(episode, state.member, "", _refused(gateway, command, wish))
    if wish.to is not None:
        language = gateway.load(state.member).state.language
        speaks = language in gateway.load(wish.to).state.languages
        return HandedOver(episode, state.member, wish.to, _refused(gateway, _to(wish, episode, wish.to), wish), not speaks)
    caught_up()
    try:
        offers = placing(gateway, queries, episode, now=now()).offers
    except NoEpisode:
        return HandedOver(episode, state.member, "", "the episode was closed meanwhile")
    best = _best(offers, beyond=bool(wish.over_cap_because))
    if best is None:
        return HandedOver(episode, state.member, "", "nobody who is there has room; give a reason to go beyond the cap")
    refused = _refused(gateway, _to(wish, episode, best.staff), wish)
    return HandedOver(episode, state.member, "" if refused else best.staff, refused, best.interpreter_needed)


def _best(offers: tuple[LeadOffer, ...], *, beyond: bool) -> LeadOffer | None:
    """The first who has room, whatever they speak: with an interpreter a member is better off than without a lead."""
    return next((offer for offer in offers if not offer.over_cap), offers[0] if offers and beyond else None)


def _to(wish: Wish, episode: StreamId, receiver: StreamId) -> HandOver:
    return HandOver(stream=episode, by=wish.by, receiver=receiver, note=wish.note, over_cap_because=wish.over_cap_because)


def _refused(gateway: Gateway, command: Command, wish: Wish) -> str:
    """What was in the way; empty where it was done. The command's id counts how often this episode was handed over by the giver."""
    said = gateway.load(caseload_of(wish.giver)).state.generation(command.stream)
    key = f"{type(command).__name__}/{command.stream}/{wish.giver}/{getattr(command, 'receiver', '')}/{said}"
    outcome = gateway.handle(command, command_id=uuid5(HAND_OVERS, key))
    match outcome:
        case Accepted():
            return ""
        case Refusal(code="command-id-reused"):
            return "it was asked for in other words just now; ask again"
        case Refusal(because=because):
            return because
        case _:
            return "somebody else was at work on it just now; ask again"
