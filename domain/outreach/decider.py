"""The outreach stream: records of people, and what the plan decided."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from domain.calendar import local_date
from domain.clocks import ClockFact, Clocks, KeepClock
from domain.core import Command, Context, Decider, Decision, EventId, Fact, Instant, On, Recorded, Refusal, StreamId, personal
from domain.member.decider import CARERS, Member
from domain.member.facts import Channel, ContactPointFoundBad
from domain.outreach.facts import (
    USELESS_POINT,
    AttemptMade,
    BackdatedRecordApproved,
    BackdatedRecordRejected,
    ContactMade,
    NewEpisodeDismissed,
    NewEpisodeProposed,
    Outcome,
    OutreachEnded,
    OutreachOpened,
    OutreachResumed,
    RecordStruckOut,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
    UnableToReachRejected,
)
from domain.policy import PolicyBook
from domain.requests import KeepRequest, RequestFact, Requests
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role
from domain.timeline import Entry, Timeline, put

MINUTES_MAX = 24 * 60
AHEAD_MAX = timedelta(minutes=5)
"""A record may be dated ahead by no more than two clocks disagree."""

IN_PERSON = (Channel.VISIT, Channel.MEETING)

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
class ApproveBackdatedRecord(Command):
    record: EventId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectBackdatedRecord(Command):
    record: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeOutRecord(Command):
    record: EventId
    reason: str


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

    def record(self, event_id: EventId) -> Entry | None:
        """The attempt or contact with an event id."""
        return next((e for e in self.said if e.event_id == event_id and isinstance(e.fact, AttemptMade | ContactMade)), None)


def evolve(state: Outreach, recorded: Recorded) -> Outreach:
    if isinstance(recorded.fact, ClockFact):
        return replace(state, clocks=state.clocks.evolve(recorded))
    if isinstance(recorded.fact, RequestFact):
        return replace(state, requests=state.requests.evolve(recorded))
    match recorded.fact:
        case OutreachOpened() as fact:
            return replace(state, opened=fact)
        case AttemptMade() | ContactMade() | BackdatedRecordApproved() | BackdatedRecordRejected() | RecordStruckOut():
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


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Outreach, context: Context, book: PolicyBook, now: Instant) -> Decision:
    match command:
        case KeepClock(fact=fact):
            return state.clocks.decide(fact)
        case KeepRequest(fact=request_fact):
            return state.requests.decide(request_fact)
        case CarryOutreach(fact=carried):
            return _carry(carried, state)
    if state.opened is None:
        return Refusal("outreach_not_open", "stream: no outreach runs under this id; see `throughline worklist`")
    match command:
        case RecordAttempt() | RecordContact():
            return refused(command.by, context, now, *CARERS, feeds=True) or _record(command, state, context, book, now)
        case ApproveBackdatedRecord(record=record, reason=reason):
            return _settle(command.by, record, BackdatedRecordApproved(record=record, reason=reason), state, context, now)
        case RejectBackdatedRecord(record=record, reason=reason):
            return _settle(command.by, record, BackdatedRecordRejected(record=record, reason=reason), state, context, now)
        case StrikeOutRecord(record=record, reason=reason):
            return _strike_out(command, state, context, now)
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
    if at > now + AHEAD_MAX:
        return Refusal("in_the_future", "occurred_at: lies ahead; record an attempt after it was made")
    if not 0 <= command.minutes <= MINUTES_MAX:
        return Refusal("minutes_out_of_range", f"minutes: must lie between 0 and {MINUTES_MAX}")
    approval_needed = dated_back_days(at, state, book, now) > book.in_force(state.plan, now).late_entry.grace_days
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


def dated_back_days(at: Instant, state: Outreach, book: PolicyBook, now: Instant) -> int:
    """Local days between what is recorded and its recording."""
    zone = book.in_force(state.plan, now).timezone
    return (local_date(now, zone) - local_date(at, zone)).days


def _settle(by: str, record: EventId, fact: Fact, state: Outreach, context: Context, now: Instant) -> Decision:
    if refusal := refused(by, context, now, Role.SUPERVISOR):
        return refusal
    entry = state.record(record)
    if entry is None or not entry.fact.approval_needed:
        return Refusal("nothing_to_approve", "record: is no backdated attempt or contact of this outreach")
    if entry.actor == by:
        return Refusal("own_record", "by: nobody approves a record of their own; ask another supervisor")
    settled = any(getattr(e.fact, "record", None) == record and not isinstance(e.fact, RecordStruckOut) for e in state.said)
    return () if settled else (fact,)


def _strike_out(command: StrikeOutRecord, state: Outreach, context: Context, now: Instant) -> Decision:
    entry = state.record(command.record)
    if entry is None:
        return Refusal("unknown_record", "record: is no attempt or contact of this outreach; see `throughline timeline`")
    own = entry.actor == command.by
    if refusal := refused(command.by, context, now, *(CARERS if own else (Role.SUPERVISOR,))):
        return refusal
    struck = any(isinstance(e.fact, RecordStruckOut) and e.fact.record == command.record for e in state.said)
    return () if struck else (RecordStruckOut(record=command.record, reason=command.reason),)


def reads(command: Any, state: Outreach, context: Context) -> tuple[StreamId, ...]:
    actor = actor_stream(command.by)
    if isinstance(command, RecordAttempt) and state.member:
        return (*actor, state.member)
    return actor


DECIDER = Decider("outreach", lambda stream: Outreach(stream=stream), evolve, decide, reads)
