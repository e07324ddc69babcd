"""A little world of its own for the log's tests: a member with a consent, letters to the member, claims on a number.

It has every shape that the log must carry (personal fields, enums, nested values, facts on other streams, read streams) and none of
the programme's rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, assert_never

from domain.core import (
    Command,
    Context,
    Decider,
    Decision,
    Fact,
    Loaded,
    On,
    Process,
    ProcessRef,
    Recorded,
    Refusal,
    StreamId,
    personal,
)


class Tone(StrEnum):
    KIND = "kind"
    FORMAL = "formal"


@dataclass(frozen=True, slots=True)
class Enclosure:
    title: str
    pages: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Fact):
    language: str = "en"
    claim: StreamId | None = None
    name: str | None = personal()
    born_on: date | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentGiven(Fact):
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWithdrawn(Fact):
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Fact):
    """The member asked to be erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSent(Fact):
    member: StreamId
    tone: Tone = Tone.KIND
    due_at: datetime | None = None
    enclosures: tuple[Enclosure, ...] = ()
    policy: str = ""
    text: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Fact):
    by: StreamId


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    version: int
    type: type[Fact]


FACTS = (
    Entry("toy.registered", 1, Registered),
    Entry("toy.consent-given", 1, ConsentGiven),
    Entry("toy.consent-withdrawn", 1, ConsentWithdrawn),
    Entry("toy.forgotten", 1, Forgotten),
    Entry("toy.letter-sent", 1, LetterSent),
    Entry("toy.claimed", 1, Claimed),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Command):
    language: str = "en"
    claim: StreamId | None = None
    name: str | None = personal()
    born_on: date | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveConsent(Command):
    scope: str = "contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawConsent(Command):
    scope: str = "contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget(Command):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLetter(Command):
    member: StreamId
    text: str | None = personal()
    times: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    stream: StreamId
    registered: bool = False
    name: str | None = None
    scopes: frozenset[str] = frozenset()
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Campaign:
    member: StreamId | None = None
    letters: int = 0
    last_text: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    holder: StreamId | None = None


def evolve_member(state: Member, recorded: Recorded) -> Member:
    match recorded.fact:
        case Registered(name=name):
            return Member(state.stream, True, name, state.scopes, state.forgotten)
        case ConsentGiven(scope=scope):
            return Member(state.stream, state.registered, state.name, state.scopes | {scope}, state.forgotten)
        case ConsentWithdrawn(scope=scope):
            return Member(state.stream, state.registered, state.name, state.scopes - {scope}, state.forgotten)
        case Forgotten():
            return Member(state.stream, state.registered, state.name, state.scopes, True)
        case _:
            return state


def decide_member(command: Any, state: Member, context: Context, book: Any, now: datetime) -> Decision:
    match command:
        case Register(claim=claim):
            if state.registered:
                return ()
            if claim is not None and (held := context[claim].state.holder) is not None:
                return Refusal("claimed", f"{held} has this number; correct the number")
            fact = Registered(language=command.language, claim=claim, name=command.name, born_on=command.born_on)
            return (fact,) if claim is None else (fact, On(claim, Claimed(by=command.stream)))
        case GiveConsent(scope=scope):
            return () if scope in state.scopes else (ConsentGiven(scope=scope),)
        case WithdrawConsent(scope=scope):
            return (ConsentWithdrawn(scope=scope),) if scope in state.scopes else ()
        case Forget():
            return () if state.forgotten else (Forgotten(),)
        case _:
            assert_never(command)


def decide_campaign(command: Any, state: Campaign, context: Context, book: Any, now: datetime) -> Decision:
    member: Member = context[command.member].state
    if "contact" not in member.scopes:
        return Refusal("no-consent", "the member does not consent to contact; ask first")
    return tuple(LetterSent(member=command.member, text=command.text, policy="toy@1") for _ in range(command.times))


def evolve_campaign(state: Campaign, recorded: Recorded) -> Campaign:
    match recorded.fact:
        case LetterSent(member=member, text=text):
            return Campaign(member, state.letters + 1, text)
        case _:
            return state


def evolve_claim(state: Claim, recorded: Recorded) -> Claim:
    return Claim(recorded.fact.by) if isinstance(recorded.fact, Claimed) else state


def nothing(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    return ()


DECIDERS = {
    "member": Decider(
        "member",
        Member,
        evolve_member,
        decide_member,
        lambda command, state, context: (command.claim,) if isinstance(command, Register) and command.claim else (),
    ),
    "outreach": Decider(
        "outreach", lambda stream: Campaign(), evolve_campaign, decide_campaign, lambda command, state, context: (command.member,)
    ),
    "claim": Decider("claim", lambda stream: Claim(), evolve_claim, lambda *_: (), nothing),
}


def _plan(state: Any, context: Context, book: Any, now: datetime) -> Any:
    raise NotImplementedError("the log's tests do not plan")


def _reads(ref: ProcessRef, state: Campaign, context: Context) -> tuple[StreamId, ...]:
    return (state.member,) if state.member else ()


PROCESSES = {"outreach": Process("outreach", _plan, _reads)}

__all__ = ["DECIDERS", "FACTS", "PROCESSES", "Loaded"]
