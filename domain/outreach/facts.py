"""What is said of the campaign to reach a member."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.core import EventId, Fact, StreamId, personal
from domain.member.facts import Channel


class Outcome(StrEnum):
    """How an attempt went. Only `reached` is a two-way contact; every individualised attempt counts as an attempt."""

    REACHED = "reached"
    NO_ANSWER = "no_answer"
    VOICEMAIL = "voicemail"
    LEFT_WITH_OTHER = "left_with_other"
    WRONG_NUMBER = "wrong_number"
    DISCONNECTED = "disconnected"
    NOT_THERE = "not_there"
    RETURNED = "returned"
    SENT = "sent"


USELESS_POINT = {Outcome.WRONG_NUMBER: "wrong_number", Outcome.DISCONNECTED: "disconnected", Outcome.RETURNED: "returned_mail"}
"""Outcomes that show that a contact point does not reach the member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutreachOpened(Fact):
    """The campaign began; `policy` is the version that its open clocks keep (domain.md 2.3)."""

    member: StreamId
    episode: StreamId
    plan: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade(Fact):
    """Somebody tried to reach the member (domain.md 2.4). `individualized` is False for a mass mailing, which is no attempt.
    `approval_needed`: dated back further than the grace, so it counts only once a supervisor approves."""

    member: StreamId
    channel: Channel
    outcome: Outcome
    point: str = ""
    minutes: int = 0
    in_person: bool = False
    individualized: bool = True
    interpreter: bool = False
    language: str = ""
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactMade(Fact):
    """A two-way exchange that was not an attempt of ours: the member called, wrote or came. `initiated_by`: member, family,
    staff."""

    member: StreamId
    channel: Channel
    in_person: bool = False
    initiated_by: str = "member"
    minutes: int = 0
    approval_needed: bool = False
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnableToReachProposed(Fact):
    """The policy's minimum was tried in vain: a person is asked to decide."""

    attempts: int
    channels: tuple[Channel, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnableToReachProposalWithdrawn(Fact):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnableToReachRejected(Fact):
    """A supervisor decided to go on trying."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEpisodeProposed(Fact):
    """After the end of this episode the member was heard or seen again; a person decides whether a new one opens."""

    cause: EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEpisodeDismissed(Fact):
    cause: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutreachEnded(Fact):
    """Nothing is owed here any more."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutreachResumed(Fact):
    reason: str
