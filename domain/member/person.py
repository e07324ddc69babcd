"""The person whom a member's stream is about: this member, together with those who were found to be the same person.

Whoever plans or attributes asks here, and not the stream alone. A link is followed and nothing is copied: once it is gone, so is
everything that came over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from domain.core import Context, StreamId
from domain.member.circumstances import Circumstances
from domain.member.decider import Member
from domain.remembered import Same, memory
from domain.timeline import Timeline

PERSONS_MAX = 500
"""People of several members whose whole is remembered."""


def streams_of(stream: StreamId, member_of: Callable[[StreamId], Member | None]) -> tuple[StreamId, ...]:
    """The member's own stream first, then those of the same person, as far as `member_of` knows them. A link leads from one to who
    goes on, and from there to all others: two steps reach everybody."""
    found: dict[StreamId, None] = {stream: None}
    reached = [stream]
    while reached:
        member = member_of(reached.pop())
        fresh = [other for other in (member.identity.linked if member is not None else ()) if other not in found]
        found |= dict.fromkeys(fresh)
        reached += fresh
    return tuple(found)


def in_context(stream: StreamId, context: Context) -> tuple[StreamId, ...]:
    """The streams of a person, those that are still to be read included."""
    return streams_of(stream, lambda of: context[of].state if of in context else None)


def the_person(stream: StreamId, context: Context) -> Member:
    """The member with what is known of the same person under other numbers: stays, deaths, what they allowed, their life.

    Names, numbers, contact points and coverage stay the member's own: they are what somebody registered."""
    own = context[stream].state
    assert isinstance(own, Member)
    if not own.identity.linked:
        return own
    others = tuple(context[other].state for other in in_context(stream, context)[1:] if other in context)
    return _known(Same(lambda: together(own, others), own, *others))


_known: Callable[[Same[Member]], Member] = memory(PERSONS_MAX)


def together(own: Member, others: tuple[Member, ...]) -> Member:
    """What several members' streams say of one person."""
    everybody = (own, *others)
    stays = sorted(chain.from_iterable(m.stays.values() for m in everybody), key=lambda a: (a.recorded_at, a.event_id))
    return replace(
        own,
        stays={attribution.stay: attribution for attribution in stays},
        deaths=_in_order(m.deaths for m in everybody),
        allowed=_in_order(m.allowed for m in everybody),
        life=Circumstances(
            noted=_in_order(m.life.noted for m in everybody),
            diagnoses=_in_order(m.life.diagnoses for m in everybody),
            visits=_in_order(m.life.visits for m in everybody),
            counties=own.life.counties or _in_order(m.life.counties for m in others),
        ),
    )


def _in_order(timelines: Iterator[Timeline]) -> Timeline:
    return tuple(sorted(chain.from_iterable(timelines), key=lambda entry: entry.order))
