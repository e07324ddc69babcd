"""Whose message is this? A pure answer, with its evidence (messages.md 5, Match).

A match needs the CIN *and* something else that agrees with it. A name alone only ever proposes somebody to a person. To attach a
message to the wrong member is the worst thing that the front door can do, so every doubt ends with a human.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from domain.core import StreamId
from intake.identifiers import name_key, names_agree
from intake.notification import MemberKeys

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
    ERASED = "member_erased"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered member as far as matching needs them; None and empty where it is not known."""

    member: StreamId
    cin: str | None
    family_name: str | None
    given_name: str | None
    birth_date: date | None


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


def match(said: MemberKeys, by_cin: Sequence[Candidate], by_name: Sequence[Candidate], of_visit: Candidate | None = None) -> Match:
    """Whose message it is.

    `by_cin` are the members who hold one of the message's CINs, `by_name` those with its last name and birth date, `of_visit` the
    member to whom the same stay was attributed already.
    """
    holders = {candidate.member: candidate for candidate in by_cin if candidate.cin in said.cins}
    if len(holders) > 1 or (len(said.cins) > 1 and holders):
        return Review(Reason.TWO_MEMBERS, tuple(holders))
    found = _by_cin(said, next(iter(holders.values()))) if holders else None
    if of_visit is not None:
        return _with_visit(said, of_visit, found)
    if found is not None:
        return found
    proposed = tuple(dict.fromkeys(c.member for c in by_name if agreement(said, c) == (True, True)))
    return Unmatched(Reason.NO_SUCH_CIN if said.cins else Reason.NO_CIN, proposed)


def agreement(said: MemberKeys, candidate: Candidate) -> tuple[bool | None, bool | None]:
    """(birth dates agree, last names agree); None where one side does not say."""
    dates = None if said.birth_date is None or candidate.birth_date is None else said.birth_date == candidate.birth_date
    names = [names_agree(name, candidate.family_name) for name in (said.family_name, *said.other_family_names)]
    return dates, True if True in names else False if False in names else None


def _by_cin(said: MemberKeys, holder: Candidate) -> Matched | Review:
    dates, names = agreement(said, holder)
    if dates and names:
        return Matched(holder.member, "cin+birth_date+name")
    if dates:
        return Matched(holder.member, "cin+birth_date")
    if names:
        if dates is False and said.newborn:
            return Review(Reason.NEWBORN, (holder.member,))
        if dates is False and _other_generation(said, holder):
            return Review(Reason.OTHER_GENERATION, (holder.member,))
        return Matched(holder.member, "cin+name")
    if dates is None and names is None:
        return Review(Reason.UNCONFIRMED, (holder.member,))
    return Review(Reason.CONTRADICTED, (holder.member,))


def _with_visit(said: MemberKeys, known: Candidate, found: Matched | Review | None) -> Match:
    """A later message of a stay whose member is known: it need not carry the CIN, but it may not speak against that member."""
    if found is not None:
        if isinstance(found, Matched) and found.member != known.member:
            return Review(Reason.VISIT_OF_ANOTHER, (known.member, found.member))
        return found
    if said.cins and known.cin is not None and known.cin not in said.cins:
        return Review(Reason.VISIT_OF_ANOTHER, (known.member,))
    dates, names = agreement(said, known)
    if dates is False or names is False:
        if not (dates or names):
            return Review(Reason.VISIT_OF_ANOTHER, (known.member,))
    if dates or names:
        return Matched(known.member, "visit+birth_date" if dates else "visit+name")
    return Review(Reason.UNCONFIRMED, (known.member,))


def _other_generation(said: MemberKeys, holder: Candidate) -> bool:
    assert said.birth_date is not None and holder.birth_date is not None
    given = name_key(said.given_name), name_key(holder.given_name)
    apart = abs(said.birth_date.year - holder.birth_date.year) >= GENERATION_YEARS
    return apart and all(given) and given[0] != given[1]
