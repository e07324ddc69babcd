"""Who could lead a member's care: what the member weighs, as an assignment would weigh it now, and the care managers with room.

The same for the command line and the API. Nothing is decided here: an offer is only a proposal, and the assignment looks again.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Instant, Loaded, StreamId
from domain.episode.leads import last_lead, reads_of_weight, weighs
from domain.episode.state import Episode
from eventlog.gateway import Gateway
from eventlog.opening import PolicyShelf
from projections.caseload_answers import LeadOffer
from projections.queries import Queries


class NoEpisode(LookupError):
    """The stream is no open episode."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Somebody who is to have a lead, and who could be that. `lead` is who leads now, if anybody does."""

    episode: str
    member: str
    plan: str
    language: str
    weight_tenths: int
    grounds: tuple[str, ...]
    lead: str
    offers: tuple[LeadOffer, ...]


def placing(gateway: Gateway, queries: Queries, episode: StreamId, *, now: Instant, names: bool = False) -> Placing:
    """Who could take the member of an episode. Raises NoEpisode."""
    state = gateway.load(episode).state
    if not isinstance(state, Episode) or state.assignment is None or state.closure(now) is not None:
        raise NoEpisode(episode)
    book = PolicyShelf(gateway.log)()
    context: dict[StreamId, Loaded] = {stream: gateway.load(stream) for stream in reads_of_weight(episode, state)}
    weight, lead = weighs(episode, state, context, book, now), last_lead(state)
    language = gateway.load(state.member).state.language
    offers = queries.lead_offers(now=now, plan=state.plan, language=language, weight_tenths=weight.tenths, not_to=lead, names=names)
    return Placing(episode, state.member, state.plan, language, weight.tenths, weight.grounds, lead or "", offers)
