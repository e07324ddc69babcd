"""Messages in work: what each says, what was loaded to understand it, and what it asks of the log."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from domain.core import Command, StreamId
from domain.episode.state import claim_on_open_episode
from domain.member.decider import Claim as ClaimState
from domain.member.decider import Member
from domain.member.person import streams_of
from eventlog.gateway import Gateway, Order
from intake.people.identity import IdentityKeys
from intake.reading.notification import Ignored, Notification
from intake.reading.persons import PersonNotice
from intake.senders.sources import Source
from intake.store.claims import Question
from intake.store.inbox import Row, Settlement, Status


class Sight:
    """The streams that messages need to be seen, each loaded once, as many as possible in one round trip."""

    __slots__ = ("_gateway", "_people", "_states")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._states: dict[StreamId, Any] = {}
        self._people: dict[StreamId, tuple[StreamId, ...]] = {}

    def fetch(self, streams: Iterable[StreamId]) -> None:
        wanted = [stream for stream in dict.fromkeys(streams) if stream not in self._states]
        if wanted:
            self._states |= {stream: loaded.state for stream, loaded in self._gateway.load_many(wanted).items()}

    def has(self, stream: StreamId) -> bool:
        """Whether a stream was loaded."""
        return stream in self._states

    def of(self, stream: StreamId) -> Any:
        if stream not in self._states:
            self.fetch((stream,))
        return self._states[stream]

    def member(self, stream: StreamId) -> Member:
        state = self.of(stream)
        assert isinstance(state, Member)
        return state

    def holder(self, claim: StreamId) -> StreamId | None:
        """Who holds a claim now."""
        state = self.of(claim)
        assert isinstance(state, ClaimState)
        return state.holder

    def person(self, member: StreamId) -> tuple[StreamId, ...]:
        """The member, and whoever is the same person."""
        return self._people.get(member) or self._people.setdefault(member, streams_of(member, self.member))

    def disowned(self, member: StreamId, message: str) -> bool:
        """Whether somebody found that a message is not about the person."""
        return any(self.member(of).identity.messages.get(message) is False for of in self.person(member))

    def own_episode(self, member: StreamId) -> StreamId | None:
        """The open episode of the member, not of another one who is the same person."""
        return self.holder(claim_on_open_episode(member))

    def open_episodes(self, member: StreamId) -> tuple[StreamId, ...]:
        """The open episodes of the person: the member's own first."""
        own = map(self.own_episode, self.person(member))
        return tuple(episode for episode in own if episode is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A message that could be read, and what it is about. `trace` is the span in which it is worked off.

    `stay` is the one for which the message counts; `renumbered` the stay of a number that turned out to be the same visit's; `left`
    the stay in another facility that the member was moved from, or brought back from. `houses`: the sender's facilities that may be
    meant, and the stay that the visit would be there. `unhoused`: the stay of what was said of the visit without naming a house;
    `renumbered` too, where this message shows in which house it is."""

    row: Row
    source: Source
    said: Notification | PersonNotice | Ignored
    parser: str
    semantic: bytes
    trace: str
    stay: StreamId | None = None
    statement_key: bytes | None = None
    renumbered: StreamId | None = None
    left: StreamId | None = None
    houses: tuple[tuple[str, StreamId], ...] = ()
    unhoused: StreamId | None = None

    @property
    def question(self) -> Question:
        return Question(self.row, self.semantic, self.stay, self.statement_key)

    @property
    def besides(self) -> tuple[StreamId, ...]:
        """The stays of other numbers that it bears on: whose they are has to be asked too, since any house numbers for itself."""
        return tuple(stay for stay in (self.renumbered, self.left) if stay is not None and stay != self.stay)

    @property
    def concerned(self) -> tuple[StreamId, ...]:
        """All the stays that it bears on."""
        alone = (stay for stay in (self.stay, self.unhoused) if stay is not None)
        return (*alone, *self.besides, *(stay for _, stay in self.houses))

    def without(self, stays: Container[StreamId]) -> Reading:
        """The message as far as it does not bear on some stays of other numbers."""
        if self.renumbered not in stays and self.left not in stays:
            return self
        return replace(
            self, renumbered=None if self.renumbered in stays else self.renumbered, left=None if self.left in stays else self.left
        )  # fmt: skip

    def settled(self, status: Status, reason: str = "", flags: Sequence[str] = (), **more: Any) -> Settlement:
        return Settlement(
            status=status, reason=reason, flags=tuple(flags), stay=self.stay, semantic_hash=self.semantic,
            parser=self.parser, **more,
        )  # fmt: skip

    def order(self, identity: IdentityKeys, what: str, command: Command) -> Order:
        """A command that the message leads to, under an id that is the same at every attempt."""
        row = self.row
        return Order(
            command=command,
            command_id=identity.command(row.inbox_id, what),
            causation=str(row.inbox_id),
            correlation=str(row.inbox_id),
            trace=self.trace or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a message asks of the log: whose it is, on which evidence, and the commands that say so. `person`: the member and
    whoever is the same person; `proposed`: who is to be asked about where the log refuses."""

    reading: Reading
    flags: tuple[str, ...]
    member: StreamId
    evidence: str
    orders: tuple[Order, ...]
    person: tuple[StreamId, ...] = ()
    proposed: tuple[StreamId, ...] = ()

    def on(self, goes_on: Mapping[StreamId, StreamId]) -> Wanted:
        """The same of the stay that goes on."""
        stay = self.reading.stay
        at = None if stay is None else goes_on.get(stay, stay)
        return self if at == stay else replace(self, reading=replace(self.reading, stay=at))
