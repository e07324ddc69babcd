"""Looks up whom messages may be about, and asks `matching` and `scoring` (messages.md 5, Match).

What is a match, and what only a proposal, is decided there; here is what they need: the members who hold a CIN, whom a sender calls
by a number, who is called alike, and who of all these is one person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from domain.core import StreamId
from domain.criteria import born_on
from domain.episode.state import claim_on_open_episode
from domain.member.facts import PointKind
from domain.member.identity import NUMBERS_MAX, LearnRecordNumber
from eventlog.gateway import Order
from intake.people.identity import IdentityKeys
from intake.people.index import IdentityIndex
from intake.people.matching import Candidate, Match, Matched, Reason, Unmatched, match
from intake.people.readings import Reading, Sight
from intake.people.scoring import Likely, Weights, likely, score, weights_on
from intake.reading.identifiers import phone_key, zip_key
from intake.reading.notification import MemberKeys

FLAG_NUMBER_OF_ANOTHER: Final = "number_of_another_member"
"""A record number of the message is known as another member's: it is not learned."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to look up: a message's keys, numbers and CINs that it says were given up, and whose its stay is, if that is known."""

    keys: MemberKeys
    of_stay: StreamId | None = None
    by_hand: StreamId | None = None
    retired: tuple[tuple[str, str], ...] = ()
    retired_cins: tuple[str, ...] = ()


class Names:
    """The keyed names of one batch of messages: every step asks for the same ones again, and each is a digest."""

    __slots__ = ("_claims", "_identity", "_numbers", "_people")

    def __init__(self, identity: IdentityKeys) -> None:
        self._identity = identity
        self._claims: dict[str, StreamId] = {}
        self._numbers: dict[tuple[str, str], bytes] = {}
        self._people: dict[tuple[str, date], tuple[bytes, ...]] = {}

    def claims(self, cins: Iterable[str]) -> list[StreamId]:
        """The claim streams of CINs."""
        known = self._claims
        return [known.get(cin) or known.setdefault(cin, self._identity.cin_claim(cin)) for cin in cins]

    def numbers(self, numbers: Iterable[tuple[str, str]]) -> tuple[bytes, ...]:
        """The keys of record numbers: (authority, number)."""
        known = self._numbers
        return tuple([known.get(each) or known.setdefault(each, self._identity.record_number(*each)) for each in numbers])

    def keys(self, said: MemberKeys) -> tuple[str, ...]:
        """The keys of all the numbers that a message has, as facts name them."""
        numbers = (
            *(claim.partition("-")[2] for claim in self.claims(said.cins)),
            *(n.hex() for n in self.numbers(said.record_numbers)),
        )
        return numbers[:NUMBERS_MAX]

    def of(self, said: MemberKeys) -> tuple[bytes, ...]:
        """The key of a last name and a birth date, where a message says both."""
        if not said.family_name or said.birth_date is None:
            return ()
        person, known = (said.family_name, said.birth_date), self._people
        return known.get(person) or known.setdefault(person, (self._identity.name_and_birth_date(*person),))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was loaded: the streams, and who is found under which key; and what was made of it so far."""

    sight: Sight
    names: Names
    called: Mapping[bytes, tuple[StreamId, ...]]
    _candidates: dict[StreamId, Candidate] = field(default_factory=dict)

    def candidate(self, member: StreamId) -> Candidate:
        """What matching needs of a member and of whoever is the same person."""
        return self._candidates.get(member) or self._candidates.setdefault(member, candidate(self.sight, member))


@dataclass(frozen=True, slots=True)
class Found:
    """A match; `erased` where the data of the person whom it is about was destroyed. `likely`: who is proposed, and why; `numbers`:
    the keys of the numbers that the message has."""

    match: Match
    erased: bool = False
    likely: tuple[Likely, ...] = field(default=())
    numbers: tuple[str, ...] = ()

    @property
    def proposed(self) -> tuple[StreamId, ...]:
        """Everybody who is to be shown to a person, the likeliest first."""
        named = () if isinstance(self.match, Matched) else self.match.proposed
        return tuple(dict.fromkeys((*(one.member for one in self.likely), *named)))

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What was compared, as it is kept beside the message."""
        return compared(self.likely, self.numbers) if self.likely else None


class Recogniser:
    """Answers whose messages are. Thread-safe."""

    def __init__(self, identity: IdentityKeys, index: IdentityIndex) -> None:
        self._identity = identity
        self._index = index

    def see(self, conn: Connection[TupleRow], sight: Sight, asked: Sequence[Asked]) -> Seen:
        """Everybody whom the messages may be about, and their open episodes, in three round trips; two more for those whom no
        number names, and for people of several members."""
        names = Names(self._identity)
        called = self._index.called(conn, (key for one in asked for key in _firm(names, one)))
        claims = names.claims(cin for one in asked for cin in (*one.keys.cins, *one.retired_cins))
        sight.fetch(claims)
        holders = [holder for claim in claims if (holder := sight.holder(claim)) is not None]
        known = [member for one in asked for member in (one.of_stay, one.by_hand) if member is not None]
        self._fetch(sight, (*holders, *known, *(member for found in called.values() for member in found)))
        seen = Seen(sight, names, called)
        unsure = [one for one in asked if not self._named(one, seen)]
        if unsure:
            hinted = self._index.called(conn, (key for one in unsure for key in self._hints(one.keys)))
            self._fetch(sight, (member for found in hinted.values() for member in found))
            seen = Seen(sight, names, {**called, **hinted})
        return seen

    def recognise(
        self, seen: Seen, said: MemberKeys, of_stay: StreamId | None, message: str, received_on: date
    ) -> Found:  # fmt: skip
        """Whose a message is. `message` is its id: who somebody said is not meant is no candidate."""
        sight = seen.sight
        holders = self._holders(seen, said.cins)
        if any(sight.member(member).erased for member in holders):
            return Found(Unmatched(Reason.ERASED), erased=True)
        if of_stay is not None and sight.member(of_stay).erased:
            return Found(Unmatched(Reason.ERASED), erased=True)
        by_cin = self._candidates(seen, holders, message)
        numbers = seen.names.keys(said)
        weights = weights_on(received_on)

        def proposable(keys: Iterable[bytes]) -> list[Candidate]:
            """Without those whom somebody compared with whoever has these numbers, unless something more agrees now."""
            found = self._candidates(seen, self._under(seen, keys), message)
            return [c for c in found if not self._kept_apart(sight, c.member, said, numbers, weights)]

        by_name = proposable(seen.names.of(said))
        by_number = self._candidates(seen, self._under(seen, seen.names.numbers(said.record_numbers)), message)
        of_visit = seen.candidate(of_stay) if of_stay is not None and not sight.disowned(of_stay, message) else None
        found = match(said, by_cin, by_name, of_visit, by_number)
        if isinstance(found, Matched):
            return Found(found)
        everybody = {c.member: c for c in (*by_cin, *by_number, *by_name, *proposable(self._hints(said)))}
        in_full = (candidate(sight, member, in_full=True) for member in everybody)
        return Found(found, likely=likely(said, in_full, weights), numbers=numbers)

    def holders(self, seen: Seen, numbers: Iterable[tuple[str, str]], cins: Iterable[str], message: str) -> tuple[Candidate, ...]:
        """The members who are called by one of some numbers, or hold one of some CINs."""
        members = (*self._holders(seen, cins), *self._under(seen, seen.names.numbers(numbers)))
        return tuple(self._candidates(seen, members, message))

    def lookup(
        self, seen: Seen, said: MemberKeys, retired: Iterable[tuple[str, str]] = (), cins: Iterable[str] = ()
    ) -> tuple[bytes, ...]:  # fmt: skip
        """The keys under which whoever becomes known wakes a message that nobody was found for."""
        held = map(self._identity.cin, (*said.cins, *cins))
        return (*held, *seen.names.of(said), *seen.names.numbers((*said.record_numbers, *retired)))

    def taught(self, seen: Seen, reading: Reading, said: MemberKeys, member: StreamId, **told: Any) -> Iterator[Order | str]:
        """What a message teaches of the numbers by which its sender calls the member it is about; a flag where that is doubtful."""
        person = seen.sight.person(member)
        known = {key for of in person for key in seen.sight.member(of).identity.numbers}
        if len(known) + len(said.record_numbers) > NUMBERS_MAX:
            return
        for (authority, number), key in zip(said.record_numbers, seen.names.numbers(said.record_numbers), strict=True):
            if key.hex() in known:
                continue
            if set(seen.called.get(key, ())) - set(person):
                yield FLAG_NUMBER_OF_ANOTHER
                continue
            yield reading.order(self._identity, f"number|{member}|{key.hex()}", LearnRecordNumber(
                stream=member, by=f"source:{reading.source.name}", authority=authority, key=key.hex(), number=number, **told,
            ))  # fmt: skip

    # -- inside

    def _fetch(self, sight: Sight, members: Iterable[StreamId]) -> None:
        """Members with whoever is one person with them, and their open episodes."""
        wanted = tuple(dict.fromkeys(members))
        while wanted:
            sight.fetch((*wanted, *map(claim_on_open_episode, wanted)))
            linked = [other for member in wanted for other in sight.member(member).identity.linked]
            wanted = tuple(dict.fromkeys(other for other in linked if not sight.has(other)))

    def _named(self, one: Asked, seen: Seen) -> bool:
        """Whether a number, a visit or a person names somebody already: then nobody else needs to be looked for."""
        if one.of_stay is not None or one.by_hand is not None:
            return True
        held = self._holders(seen, (*one.keys.cins, *one.retired_cins))
        return bool(held) or any(seen.called.get(key) for key in seen.names.numbers((*one.keys.record_numbers, *one.retired)))

    def _holders(self, seen: Seen, cins: Iterable[str]) -> tuple[StreamId, ...]:
        found = map(seen.sight.holder, seen.names.claims(cins))
        return tuple(dict.fromkeys([member for member in found if member is not None]))

    def _candidates(self, seen: Seen, members: Iterable[StreamId], message: str) -> list[Candidate]:
        return [seen.candidate(member) for member in dict.fromkeys(members) if not seen.sight.disowned(member, message)]

    def _kept_apart(self, sight: Sight, member: StreamId, said: MemberKeys, numbers: Iterable[str], weights: Weights) -> bool:
        decided = apart_on(self._identity, sight, member, numbers)
        return bool(decided) and not score(said, candidate(sight, member, in_full=True), weights).is_news_to(decided)

    def _under(self, seen: Seen, keys: Iterable[bytes]) -> tuple[StreamId, ...]:
        found = [member for key in keys for member in seen.called.get(key, ())]
        return tuple([member for member in dict.fromkeys(found) if not seen.sight.member(member).erased])

    def _hints(self, said: MemberKeys) -> tuple[bytes, ...]:
        return self._identity.hints(said.family_name, said.given_name, said.birth_date, (said.phone,) if said.phone else ())


def _firm(names: Names, one: Asked) -> tuple[bytes, ...]:
    """The keys that may name somebody firmly."""
    return (*names.of(one.keys), *names.numbers((*one.keys.record_numbers, *one.retired)))


def compared(found: Iterable[Likely], numbers: Iterable[str]) -> dict[str, Any]:
    """What somebody who decides is shown beside a message, and by which numbers their decision is remembered."""
    return {"proposed": [one.plain() for one in found], "numbers": list(numbers)}


def apart_on(identity: IdentityKeys, sight: Sight, member: StreamId, numbers: Iterable[str]) -> frozenset[str]:
    """On which evidence somebody found that whoever has one of these numbers is not this person. A number that is the person's own
    by now speaks of nobody else."""
    person = [sight.member(of) for of in sight.person(member)]
    if not any(one.identity.strangers for one in person):
        return frozenset()
    foreign = frozenset(numbers) - numbers_of(identity, sight, member)
    return frozenset().union(*(one.identity.apart_from(foreign) for one in person))


def numbers_of(identity: IdentityKeys, sight: Sight, member: StreamId) -> frozenset[str]:
    """The keys of the numbers by which a person is known."""
    person = [sight.member(of) for of in sight.person(member)]
    return frozenset(key for one in person for key in (*(identity.cin(cin).hex() for cin in one.cins()), *one.identity.numbers))


def candidate(sight: Sight, stream: StreamId, *, in_full: bool = False) -> Candidate:
    """What matching needs of a member and of whoever is the same person; `in_full` with what only a score looks at."""
    also = tuple(_alone(sight, other, in_full) for other in sight.person(stream)[1:])
    return _alone(sight, stream, in_full, also)


def _alone(sight: Sight, stream: StreamId, in_full: bool, also: tuple[Candidate, ...] = ()) -> Candidate:
    member = sight.member(stream)
    born = born_on(member)
    former = tuple(cin for cin in member.cins() if cin != member.cin)
    plain = Candidate(stream, member.cin, member.family_name, member.given_name, born, former_cins=former, also=also)
    if not in_full:
        return plain
    points = [(point.kind, point.value or "") for point in member.points.values()]
    return Candidate(
        stream, member.cin, member.family_name, member.given_name, born, former_cins=former, also=also, sex=member.sex,
        phones=tuple(phone_key(value) for kind, value in points if kind is PointKind.PHONE),
        zips=tuple(zip_key(value) for kind, value in points if kind is PointKind.ADDRESS),
    )  # fmt: skip
