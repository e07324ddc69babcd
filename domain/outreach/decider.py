"""The outreach stream: records of people, and what the plan decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from domain import bookkeeping, records
from domain.alerts import AcknowledgeAlert, acknowledge
from domain.clocks import Clocks
from domain.core import Command, Context, Decider, Decision, EventId, Fact, Instant, On, Recorded, Refusal, StreamId, personal
from domain.member.decider import CARERS, Member
from domain.member.facts import Channel, ContactPointFoundBad
from domain.outreach.facts import (
    USELESS_POINT,
    AttemptMade,
    ContactMade,
    NewEpisodeDismissed,
    NewEpisodeProposed,
    Outcome,
    OutreachEnded,
    OutreachOpened,
    OutreachResumed,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
    UnableToReachRejected,
)
from domain.policy import PolicyBook
from domain.records import ApproveBackdatedRecord, RejectBackdatedRecord, StrikeOutRecord
from domain.remembered import Notebook
from domain.requests import Requests
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role
from domain.timeline import Entry, Timeline, put

IN_PERSON = (Channel.VISIT, Channel.MEETING)
RECORDS = (AttemptMade, ContactMade)

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAttempt(Command):
    channel: Channel
    outcome: Outcome
    point: str = ""
    minutes: int = 0
    individualized: bool = True
    interpreter: bool = False
    language: str = ""
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordContact(Command):
    channel: Channel
    in_person: bool = False
    initiated_by: str = "member"
    minutes: int = 0
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectUnableToReach(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DismissNewEpisode(Command):
    cause: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryOutreach(Command):
    """What the plan decided about the campaign itself."""

    fact: (
        OutreachOpened
        | UnableToReachProposed
        | UnableToReachProposalWithdrawn
        | NewEpisodeProposed
        | OutreachEnded
        | OutreachResumed
    )


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outreach:
    """The campaign. `said` holds the records of people; `proposal` the standing proposal of unable-to-reach."""

    stream: StreamId = ""
    opened: OutreachOpened | None = None
    clocks: Clocks = field(default_factory=Clocks)
    requests: Requests = field(default_factory=Requests)
    said: Timeline = ()
    proposal: Entry | None = None
    proposals_ever: int = 0
    rejected_at: Instant | None = None
    new_episodes: Timeline = ()
    ended: bool = False
    endings_ever: int = 0
    notebook: Notebook = field(default_factory=Notebook, compare=False, repr=False)

    @property
    def member(self) -> StreamId:
        return self.opened.member if self.opened else ""

    @property
    def plan(self) -> str:
        return self.opened.plan if self.opened else ""

    @property
    def episode(self) -> StreamId:
        return f"episode-{self.stream.partition('-')[2]}"

    @property
    def unable_to_reach_proposed(self) -> bool:
        return self.proposal is not None


SAID = (AttemptMade, ContactMade)
"""What people recorded and what is nothing but `said`."""


def evolve(state: Outreach, recorded: Recorded) -> Outreach:
    if (kept := bookkeeping.entered(state, recorded)) is not None:
        return kept
    match recorded.fact:
        case OutreachOpened() as fact:
            return replace(state, opened=fact)
        case fact if isinstance(fact, SAID):
            return replace(state, said=put(state.said, recorded))
        case UnableToReachProposed():
            return replace(state, proposal=put((), recorded)[0], proposals_ever=state.proposals_ever + 1)
        case UnableToReachProposalWithdrawn():
            return replace(state, proposal=None)
        case UnableToReachRejected():
            return replace(state, proposal=None, rejected_at=recorded.occurred_at)
        case NewEpisodeProposed() | NewEpisodeDismissed():
            return replace(state, new_episodes=put(state.new_episodes, recorded))
        case OutreachEnded():
            return replace(state, ended=True, endings_ever=state.endings_ever + 1)
        case OutreachResumed():
            return replace(state, ended=False)
        case _:
            return state


def evolve_all(state: Outreach, history: Sequence[Recorded]) -> Outreach:
    return bookkeeping.entered_all(state, history, SAID, evolve)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Outreach, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if (kept := bookkeeping.decided(command, state)) is not None:
        return kept
    if isinstance(command, CarryOutreach):
        return _carry(command.fact, state)
    if state.opened is None:
        return Refusal("outreach_not_open", "stream: no outreach runs under this id; see `throughline worklist`")
    match command:
        case RecordAttempt() | RecordContact():
            return refused(command.by, context, now, *CARERS, feeds=True) or _record(command, state, context, book, now)
        case ApproveBackdatedRecord() | RejectBackdatedRecord() | StrikeOutRecord():
            return records.decide(command, state.said, RECORDS, context, now)
        case AcknowledgeAlert():
            return acknowledge(command, state.requests, context, now)
        case RejectUnableToReach(reason=reason):
            if refusal := refused(command.by, context, now, Role.SUPERVISOR):
                return refusal
            return (UnableToReachRejected(reason=reason),) if state.proposal else ()
        case DismissNewEpisode(cause=cause, reason=reason):
            if refusal := refused(command.by, context, now, *CARERS):
                return refusal
            proposed = {e.fact.cause for e in state.new_episodes if isinstance(e.fact, NewEpisodeProposed)}
            dismissed = {e.fact.cause for e in state.new_episodes if isinstance(e.fact, NewEpisodeDismissed)}
            return (NewEpisodeDismissed(cause=cause, reason=reason),) if cause in proposed - dismissed else ()
        case _:
            raise AssertionError(f"outreach does not know {type(command).__name__}")


def _carry(fact: Fact, state: Outreach) -> Decision:
    """What the plan decided, or nothing where the stream already says so."""
    match fact:
        case OutreachOpened():
            already = state.opened is not None
        case UnableToReachProposed():
            already = state.proposal is not None
        case UnableToReachProposalWithdrawn():
            already = state.proposal is None
        case NewEpisodeProposed(cause=cause):
            already = any(e.fact.cause == cause for e in state.new_episodes)
        case OutreachEnded():
            already = state.ended
        case OutreachResumed():
            already = not state.ended
        case _:
            raise AssertionError(type(fact).__name__)
    return () if already else (fact,)


def _record(command: RecordAttempt | RecordContact, state: Outreach, context: Context, book: PolicyBook, now: Instant) -> Decision:
    at = command.occurred_at or now
    if refusal := records.untimely(at, now) or records.too_long(command.minutes):
        return refusal
    approval_needed = records.approval_needed(at, book.in_force(state.plan, now), now)
    if isinstance(command, RecordContact):
        contact = ContactMade(
            member=state.member,
            channel=command.channel,
            in_person=command.in_person or command.channel in IN_PERSON,
            initiated_by=command.initiated_by,
            minutes=command.minutes,
            approval_needed=approval_needed,
            note=command.note,
        )
        return (contact,)
    member = context[state.member].state
    assert isinstance(member, Member)
    if command.point and command.point not in member.points:
        return Refusal("unknown_contact_point", "point: the member has no such contact point; leave it out or add it first")
    attempt = AttemptMade(
        member=state.member,
        channel=command.channel,
        outcome=command.outcome,
        point=command.point,
        minutes=command.minutes,
        in_person=command.channel in IN_PERSON,
        individualized=command.individualized,
        interpreter=command.interpreter,
        language=command.language or member.language,
        approval_needed=approval_needed,
        note=command.note,
    )
    why_useless = USELESS_POINT.get(command.outcome)
    if command.point and why_useless and not member.points[command.point].bad(at):
        return (attempt, On(state.member, ContactPointFoundBad(point=command.point, reason=why_useless)))
    return (attempt,)


def reads(command: Any, state: Outreach, context: Context) -> tuple[StreamId, ...]:
    actor = actor_stream(command.by)
    if isinstance(command, RecordAttempt) and state.member:
        return (*actor, state.member)
    return actor


DECIDER = Decider("outreach", lambda stream: Outreach(stream=stream), evolve, decide, reads, evolve_all)
