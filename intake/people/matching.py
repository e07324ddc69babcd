"""Whose message is this? A pure answer, with its evidence (messages.md 5, Match).

A match needs a CIN, or a record number that we know of that very sender, *and* something else that agrees with it. A name alone
only ever proposes somebody to a person (scoring.py). To attach a message to the wrong member is the worst thing that the front door
can do, so every doubt ends with a human.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from domain.core import StreamId
from intake.reading.identifiers import name_key, names_agree
from intake.reading.notification import MemberKeys

GENERATION_YEARS: Final = 12
"""Birth dates further apart than this, under one last name, are a parent's and a child's."""


class Reason(StrEnum):
    """Why a message was not attached."""

    NO_SUCH_CIN = "no_member_with_this_cin"
    NO_CIN = "no_cin"
    CONTRADICTED = "cin_contradicted"
    UNCONFIRMED = "cin_unconfirmed"
    TWO_MEMBERS = "two_members"
    NEWBORN = "newborn"
    OTHER_GENERATION = "other_generation"
    VISIT_OF_ANOTHER = "visit_of_another_member"
    NUMBER_OF_ANOTHER = "number_of_another_member"
    NUMBER_CONTRADICTED = "number_contradicted"
    OTHER_CIN = "another_cin"
    MERGE_OF_TWO = "merge_of_two_members"
    PERSON_DELETED = "person_deleted"
    NEW_CIN = "new_cin_unknown"
    FORMER_CIN = "former_cin_unknown"
    """A hospital gave up one CIN of its patient for another, and nobody of ours has the one, or the other."""
    NOT_AUTHORISED = "not_authorised"
    ACTOR_UNKNOWN = "actor_unknown"
    """Somebody said whose it is, and may not do what follows from that: somebody else has to say it too."""
    ERASED = "member_erased"


IDENTITY_REASONS: Final = frozenset(reason.value for reason in Reason) - {Reason.ERASED.value}
"""Why a message waits for somebody to say whose it is."""


POSSIBLE_MEMBER: Final = "possible_member"
"""Why a row of a file, or a referral, waits for it: a name and a birth date alone are no match."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered member as far as matching needs them; None and empty where it is not known.

    `former_cins` are frozen ones that still mean them. `also` are the other members who are the same person: what agrees with one
    of them agrees with all."""

    member: StreamId
    cin: str | None
    family_name: str | None
    given_name: str | None
    birth_date: date | None
    former_cins: tuple[str, ...] = ()
    sex: str = ""
    phones: tuple[str, ...] = ()
    zips: tuple[str, ...] = ()
    also: tuple[Candidate, ...] = ()

    @property
    def person(self) -> frozenset[StreamId]:
        """The members who are this one person."""
        return frozenset((self.member, *(other.member for other in self.also)))

    @property
    def cins(self) -> frozenset[str]:
        """Every CIN that means this person."""
        own = frozenset((*((self.cin,) if self.cin is not None else ()), *self.former_cins))
        return own.union(*(other.cins for other in self.also))


@dataclass(frozen=True, slots=True)
class Matched:
    """It is this member. `evidence` names what agreed, not the values."""

    member: StreamId
    evidence: str


@dataclass(frozen=True, slots=True)
class Review:
    """A person has to look: something points at these members and something else speaks against it."""

    reason: Reason
    proposed: tuple[StreamId, ...]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Nobody was found. `proposed`: members of the same last name and birth date, for a person to choose from."""

    reason: Reason
    proposed: tuple[StreamId, ...] = ()


Match = Matched | Review | Unmatched


def match(
    said: MemberKeys,
    by_cin: Sequence[Candidate],
    by_name: Sequence[Candidate],
    of_visit: Candidate | None = None,
    by_number: Sequence[Candidate] = (),
) -> Match:
    """Whose message it is.

    `by_cin` are the members who hold one of the message's CINs, `by_name` those with its last name and birth date, `of_visit` the
    member to whom the same stay was attributed already, `by_number` those whom its sender calls by one of its record numbers.
    """
    holders = _people(candidate for candidate in by_cin if candidate.cins & set(said.cins))
    if len(holders) > 1 or (holders and not holders[0].cins >= set(said.cins)):
        return Review(Reason.TWO_MEMBERS, tuple(holder.member for holder in holders))
    found = _by_cin(said, holders[0]) if holders else None
    called = _people(by_number)
    if found is not None and isinstance(found, Matched):
        strangers = [c for c in called if found.member not in c.person and agreement(said, c) == (True, True)]
        if strangers:
            return Review(Reason.NUMBER_OF_ANOTHER, (found.member, *(c.member for c in strangers)))
    if of_visit is not None:
        others = [c.member for c in called if of_visit.member not in c.person and agreement(said, c) == (True, True)]
        if found is None and others:
            return Review(Reason.VISIT_OF_ANOTHER, (of_visit.member, *others))
        return _with_visit(said, of_visit, found)
    if found is not None:
        return found
    if called:
        return _by_number(said, called)
    proposed = tuple(dict.fromkeys(c.member for c in by_name if agreement(said, c) == (True, True)))
    return Unmatched(Reason.NO_SUCH_CIN if said.cins else Reason.NO_CIN, proposed)


def _people(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One of each person, the first that was found."""
    found: list[Candidate] = []
    for candidate in candidates:
        if not any(candidate.member in other.person for other in found):
            found.append(candidate)
    return found


def agreement(said: MemberKeys, candidate: Candidate) -> tuple[bool | None, bool | None]:
    """(birth dates agree, last names agree); None where one side does not say."""
    dates, names = _own_agreement(said, candidate)
    for other in candidate.also:
        theirs = _own_agreement(said, other)
        dates, names = _best(dates, theirs[0]), _best(names, theirs[1])
    return dates, names


def _own_agreement(said: MemberKeys, candidate: Candidate) -> tuple[bool | None, bool | None]:
    dates = None if said.birth_date is None or candidate.birth_date is None else said.birth_date == candidate.birth_date
    names = [names_agree(name, candidate.family_name) for name in (said.family_name, *said.other_family_names)]
    return dates, True if True in names else False if False in names else None


def _best(one: bool | None, other: bool | None) -> bool | None:
    return True if one or other else False if one is False or other is False else None


def _by_cin(said: MemberKeys, holder: Candidate) -> Matched | Review:
    dates, names = agreement(said, holder)
    if dates and names:
        return Matched(holder.member, "cin+birth_date+name")
    if dates:
        return Matched(holder.member, "cin+birth_date")
    if names:
        if said.newborn:  # under the mother's number, with or without a birth date
            return Review(Reason.NEWBORN, (holder.member,))
        if dates is False and _other_generation(said, holder):
            return Review(Reason.OTHER_GENERATION, (holder.member,))
        if dates is False and _other_first_name(said, holder):  # a brother, a wife: the number is the policy holder's
            return Review(Reason.CONTRADICTED, (holder.member,))
        return Matched(holder.member, "cin+name")
    if dates is None and names is None:
        return Review(Reason.UNCONFIRMED, (holder.member,))
    return Review(Reason.CONTRADICTED, (holder.member,))


def _by_number(said: MemberKeys, called: Sequence[Candidate]) -> Matched | Review:
    """The sender knows the person by a number that we learned from it: birth date and names have to agree as far as they are said,
    the first name too, because twins come by each other's numbers."""
    proposed = tuple(candidate.member for candidate in called)
    if len(called) > 1:
        return Review(Reason.TWO_MEMBERS, proposed)
    (only,) = called
    if said.cins and only.cins and not only.cins & set(said.cins):
        return Review(Reason.OTHER_CIN, proposed)
    dates, names = agreement(said, only)
    if dates is None and names is None:
        return Review(Reason.UNCONFIRMED, proposed)
    if said.newborn and not dates:
        return Review(Reason.NEWBORN, proposed)
    if dates is False or names is False or _other_first_name(said, only):
        return Review(Reason.NUMBER_CONTRADICTED, proposed)
    return Matched(only.member, "+".join(["number", *(["birth_date"] if dates else []), *(["name"] if names else [])]))


def _other_first_name(said: MemberKeys, candidate: Candidate) -> bool:
    """Whether both sides have a first name and neither begins like the other: Marisol and M. are no contradiction."""
    ours = [name_key(c.given_name) for c in (candidate, *candidate.also)]
    theirs = name_key(said.given_name)
    known = [name for name in ours if name]
    return bool(theirs and known) and not any(a.startswith(theirs) or theirs.startswith(a) for a in known)


def _with_visit(said: MemberKeys, known: Candidate, found: Matched | Review | None) -> Match:
    """A later message of a stay whose member is known: it need not carry the CIN, but it may not speak against that member."""
    if found is not None:
        if isinstance(found, Matched) and found.member not in known.person:
            return Review(Reason.VISIT_OF_ANOTHER, (known.member, found.member))
        return found
    if said.cins and known.cins and not known.cins & set(said.cins):
        return Review(Reason.VISIT_OF_ANOTHER, (known.member,))
    dates, names = agreement(said, known)
    if said.newborn and not dates:  # an account may be the mother's and the child's
        return Review(Reason.NEWBORN, (known.member,))
    if dates is False and (not names or _other_first_name(said, known)):
        return Review(Reason.VISIT_OF_ANOTHER, (known.member,))
    if names is False and not dates:
        return Review(Reason.VISIT_OF_ANOTHER, (known.member,))
    if dates or names:
        return Matched(known.member, "visit+birth_date" if dates else "visit+name")
    return Review(Reason.UNCONFIRMED, (known.member,))


def _other_generation(said: MemberKeys, holder: Candidate) -> bool:
    assert said.birth_date is not None and holder.birth_date is not None
    given = name_key(said.given_name), name_key(holder.given_name)
    apart = abs(said.birth_date.year - holder.birth_date.year) >= GENERATION_YEARS
    return apart and all(given) and given[0] != given[1]
