"""What hospitals say brought a member to them: the reason (PV2-3) and the diagnoses (DG1), of each visit (messages.md 1.1, 1.2).

For people who judge whether a visit could have been avoided (domain.md 2.8). No rule rests on these words: they are a hospital's
first guess, often free text, and may tell of substance use (42 CFR Part 2), so they are sealed, and shown where somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.core import Command, Decision, Fact, On, Recorded, StreamId, personal

WORDS_MAX = 1_000
"""Visits, twice, of which words are kept of one member; more are not taken in."""


class About(StrEnum):
    REASON = "reason"
    DIAGNOSES = "diagnoses"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitExplained(Fact):
    """`order` ranks the message among those about the visit (domain.stay.facts.order_of). No words: the hospital took them back."""

    visit: StreamId
    about: About
    order: str
    words: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainVisit(Command):
    visit: StreamId
    about: About
    order: str
    words: str | None = personal()


@dataclass(frozen=True, slots=True)
class Explained:
    order: str
    words: str | None


Explanations = Mapping[tuple[StreamId, About], Explained]


def evolve(known: Explanations, recorded: Recorded) -> Explanations:
    """What was said last counts, whenever it came."""
    fact = recorded.fact
    assert isinstance(fact, VisitExplained)
    before = known.get((fact.visit, fact.about))
    if before is not None and before.order >= fact.order:
        return known
    return {**known, (fact.visit, fact.about): Explained(fact.order, fact.words)}


def without(known: Explanations, visit: StreamId) -> Explanations:
    return {key: said for key, said in known.items() if key[0] != visit}


def forgotten(known: Explanations) -> Explanations:
    """Once the member's personal data was erased."""
    return {key: replace(said, words=None) for key, said in known.items()}


def decide(command: ExplainVisit, known: Explanations) -> Decision:
    """Nothing where a later message said something, or an earlier one the same: hospitals repeat it in every update. The price:
    other words that were said before a repetition and came after it count as the last."""
    before = known.get((command.visit, command.about))
    if before is None and (not command.words or len(known) >= WORDS_MAX):
        return ()
    if before is not None and (before.order >= command.order or (before.words or "") == (command.words or "")):
        return ()
    return (VisitExplained(visit=command.visit, about=command.about, order=command.order, words=command.words),)


def moved(known: Explanations, visit: StreamId, rightful: StreamId) -> tuple[On, ...]:
    """A stay is another member's: so are the words about it, sealed with that member's key."""
    return tuple(
        On(rightful, VisitExplained(visit=visit, about=about, order=said.order, words=said.words))
        for (of, about), said in known.items()
        if of == visit and said.words
    )
