"""The transition stream: what people did after each stay, and what the plan decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from domain.calendar import local_date
from domain.clocks import ClockFact, Clocks, KeepClock
from domain.core import SYSTEM, Command, Context, Decider, Decision, EventId, Fact, Instant, Recorded, Refusal, StreamId, personal
from domain.member.decider import CARERS
from domain.policy import ChecklistItem, Evidence, PolicyBook
from domain.requests import AlertAcknowledged, KeepRequest, RequestFact, Requests
from domain.staff.decider import actor_stream, refused, staff_in
from domain.staff.facts import Licence, Role
from domain.timeline import Entry, Timeline, put
from domain.transition.checklist import shortfall
from domain.transition.facts import (
    SYNCHRONOUS,
    AttemptOutcome,
    BackdatedTransitionRecordApproved,
    BackdatedTransitionRecordRejected,
    ChecklistItemDone,
    ChecklistItemReopened,
    Finding,
    Interaction,
    SpokenTo,
    StayReviewed,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionContactMade,
    TransitionEntrusted,
    TransitionRecordStruckOut,
)

MINUTES_MAX = 24 * 60
AHEAD_MAX = timedelta(minutes=5)
"""A record may be dated ahead by no more than two clocks disagree."""

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTransitionContact(Command):
    """A live exchange. `items` are the checklist items that were gone through in it."""

    interaction: Interaction
    spoken_to: SpokenTo
    minutes: int = 0
    items: tuple[str, ...] = ()
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTransitionAttempt(Command):
    interaction: Interaction
    outcome: AttemptOutcome
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteItem(Command):
    """An item of the checklist was done. The licence, where one is needed, is the actor's own, valid on the day it was done."""

    item: str
    interaction: Interaction
    spoken_to: SpokenTo = SpokenTo.NOBODY
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenItem(Command):
    """What was recorded as done does not count; `done` names the record (None: the latest that counts)."""

    item: str
    reason: str
    done: EventId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeOutTransitionRecord(Command):
    record: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveBackdatedTransitionRecord(Command):
    record: EventId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectBackdatedTransitionRecord(Command):
    record: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStay(Command):
    stay: StreamId
    finding: Finding
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeAlert(Command):
    """The person to whom an alert was addressed has seen it; a supervisor may say so for another."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryTransition(Command):
    """What the plan decided about the transition itself."""

    fact: TransitionalCareOpened | TransitionEntrusted | TransitionalCareEnded | TransitionalCareResumed


# --- state ---------------------------------------------------------------------------------------------------------------------

Record = TransitionContactMade | TransitionAttemptMade | ChecklistItemDone


@dataclass(frozen=True, slots=True)
class Transition:
    """What is owed after the stays of one episode. `opened` holds the last opening of each stay; `said` the records of people."""

    stream: StreamId = ""
    opened: Mapping[StreamId, TransitionalCareOpened] = field(default_factory=dict)
    openings_ever: int = 0
    entrusted: TransitionEntrusted | None = None
    entrusted_ever: int = 0
    clocks: Clocks = field(default_factory=Clocks)
    requests: Requests = field(default_factory=Requests)
    said: Timeline = ()
    ended: bool = False
    endings_ever: int = 0

    @property
    def episode(self) -> StreamId:
        return f"episode-{self.stream.partition('-')[2]}"

    @property
    def member(self) -> StreamId:
        return next((opened.member for opened in self.opened.values()), "")

    @property
    def plan(self) -> str:
        return next((opened.plan for opened in self.opened.values()), "")

    def record(self, event_id: EventId) -> Entry | None:
        """The contact, attempt or done item with an event id."""
        return next((e for e in self.said if e.event_id == event_id and isinstance(e.fact, Record)), None)


def counted(said: Timeline) -> tuple[Timeline, Timeline]:
    """The records that count, and those that wait for a supervisor's approval. What was struck out or rejected is neither."""
    gone = {e.fact.record for e in said if isinstance(e.fact, TransitionRecordStruckOut | BackdatedTransitionRecordRejected)}
    approved = {e.fact.record for e in said if isinstance(e.fact, BackdatedTransitionRecordApproved)}
    records = [e for e in said if isinstance(e.fact, Record) and e.event_id not in gone]
    waiting = tuple(e for e in records if e.fact.approval_needed and e.event_id not in approved)
    return tuple(e for e in records if e not in waiting), waiting


def reopened(said: Timeline) -> frozenset[EventId]:
    """The records of done items that were found not to be so."""
    return frozenset(e.fact.done for e in said if isinstance(e.fact, ChecklistItemReopened))


# --- evolve --------------------------------------------------------------------------------------------------------------------


def evolve(state: Transition, recorded: Recorded) -> Transition:
    if isinstance(recorded.fact, ClockFact):
        return replace(state, clocks=state.clocks.evolve(recorded))
    if isinstance(recorded.fact, RequestFact):
        return replace(state, requests=state.requests.evolve(recorded))
    match recorded.fact:
        case TransitionalCareOpened() as fact:
            return replace(state, opened={**state.opened, fact.stay: fact}, openings_ever=state.openings_ever + 1)
        case TransitionEntrusted() as fact:
            return replace(state, entrusted=fact, entrusted_ever=state.entrusted_ever + 1)
        case TransitionContactMade() | TransitionAttemptMade() | ChecklistItemDone() | ChecklistItemReopened():
            return replace(state, said=put(state.said, recorded))
        case (
            TransitionRecordStruckOut() | BackdatedTransitionRecordApproved() | BackdatedTransitionRecordRejected() | StayReviewed()
        ):
            return replace(state, said=put(state.said, recorded))
        case TransitionalCareEnded():
            return replace(state, ended=True, endings_ever=state.endings_ever + 1)
        case TransitionalCareResumed():
            return replace(state, ended=False)
        case _:
            return state


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Transition, context: Context, book: PolicyBook, now: Instant) -> Decision:
    match command:
        case KeepClock(fact=fact):
            return state.clocks.decide(fact)
        case KeepRequest(fact=request_fact):
            return state.requests.decide(request_fact)
        case CarryTransition(fact=carried):
            return _carry(carried, state)
    if not state.opened:
        return Refusal(
            "no_transition", "stream: no stay in hospital is known for this episode; enter one with `throughline record stay`"
        )
    if not actor_stream(command.by):
        return Refusal("person_needed", "by: must be somebody on the staff; the software closes no item")
    match command:
        case RecordTransitionContact() | RecordTransitionAttempt() | CompleteItem():
            return _record(command, state, context, book, now)
        case ReopenItem():
            return refused(command.by, context, now, *CARERS) or _reopen(command, state)
        case StrikeOutTransitionRecord():
            return _strike_out(command, state, context, now)
        case ApproveBackdatedTransitionRecord(record=record, reason=reason):
            return _settle(command.by, record, BackdatedTransitionRecordApproved(record=record, reason=reason), state, context, now)
        case RejectBackdatedTransitionRecord(record=record, reason=reason):
            return _settle(command.by, record, BackdatedTransitionRecordRejected(record=record, reason=reason), state, context, now)
        case ReviewStay(stay=stay, finding=finding, note=note):
            if refusal := refused(command.by, context, now, *CARERS):
                return refusal
            if stay not in state.opened:
                return Refusal("unknown_stay", "stay: is not one of this episode's; see `throughline transitions`")
            return (StayReviewed(stay=stay, finding=finding, note=note),)
        case AcknowledgeAlert(key=key):
            return _acknowledge(command.by, key, state, context, now)
        case _:
            raise AssertionError(f"transition does not know {type(command).__name__}")


def _carry(fact: Fact, state: Transition) -> Decision:
    """What the plan decided, or nothing where the stream already says so."""
    match fact:
        case TransitionalCareOpened():
            already = state.opened.get(fact.stay) == fact
        case TransitionEntrusted():
            already = state.entrusted == fact
        case TransitionalCareEnded():
            already = state.ended
        case TransitionalCareResumed():
            already = not state.ended
        case _:
            raise AssertionError(type(fact).__name__)
    return () if already else (fact,)


def _record(
    command: RecordTransitionContact | RecordTransitionAttempt | CompleteItem,
    state: Transition,
    context: Context,
    book: PolicyBook,
    now: Instant,
) -> Decision:
    at = command.occurred_at or now
    if at > now + AHEAD_MAX:
        return Refusal("in_the_future", "occurred_at: lies ahead; record it once it has happened")
    late = dated_back_days(at, state, book, now) > book.in_force(state.plan, now).late_entry.grace_days
    match command:
        case RecordTransitionAttempt(interaction=interaction, outcome=outcome, note=note):
            if refusal := refused(command.by, context, now, *CARERS):
                return refusal
            attempt = TransitionAttemptMade(
                member=state.member, interaction=interaction, outcome=outcome, approval_needed=late, note=note
            )
            return (attempt,)
        case CompleteItem():
            return _complete((command.item,), command, state, context, book, late, now)
        case RecordTransitionContact():
            if refusal := refused(command.by, context, now, *CARERS) or _no_exchange(command):
                return refusal
            done = _complete(command.items, command, state, context, book, late, now)
            if isinstance(done, Refusal):
                return done
            contact = TransitionContactMade(
                member=state.member,
                interaction=command.interaction,
                spoken_to=command.spoken_to,
                minutes=command.minutes,
                approval_needed=late,
                note=command.note,
            )
            return (contact, *done)


def _no_exchange(command: RecordTransitionContact) -> Refusal | None:
    if not 0 <= command.minutes <= MINUTES_MAX:
        return Refusal("minutes_out_of_range", f"minutes: must lie between 0 and {MINUTES_MAX}")
    if command.interaction not in SYNCHRONOUS or command.spoken_to is SpokenTo.NOBODY:
        return Refusal("no_exchange", "interaction: is no live exchange with anybody; record an attempt instead")
    return None


def _complete(
    keys: Iterable[str],
    command: RecordTransitionContact | CompleteItem,
    state: Transition,
    context: Context,
    book: PolicyBook,
    late: bool,
    now: Instant,
) -> tuple[Fact, ...] | Refusal:
    """Each item as done, or what the event lacks to close it."""
    listed = _checklist(state, book)
    done: list[Fact] = []
    for key in keys:
        item = listed.get(key)
        if item is None:
            return Refusal("unknown_item", f"item: {key!r} is not on the checklist; there are {', '.join(sorted(listed))}")
        licence = staff_in(context, command.by).licensed(item.licences, command.occurred_at or now)
        if refusal := _not_theirs(item, licence, command.by, context, now):
            return refusal
        if lacks := shortfall(item, command.interaction, command.spoken_to, licence):
            return lacks
        done.append(
            ChecklistItemDone(
                member=state.member,
                item=key,
                interaction=command.interaction,
                spoken_to=command.spoken_to,
                licence=licence,
                approval_needed=late,
                note=command.note if isinstance(command, CompleteItem) else None,
            )
        )
    return tuple(done)


def _checklist(state: Transition, book: PolicyBook) -> dict[str, ChecklistItem]:
    """All items of the policy versions that this transition's clocks keep, the latest version's shape of each."""
    pinned = (book.named(opened.policy) for opened in state.opened.values())
    return {item.key: item for policy in pinned if policy is not None for item in policy.transition.item}


def _not_theirs(item: ChecklistItem, licence: Licence | None, by: str, context: Context, now: Instant) -> Refusal | None:
    """A pharmacist or nurse may do what needs their licence without being a care manager."""
    if item.evidence is Evidence.LICENSED and licence is not None and staff_in(context, by).works(now):
        return None
    return refused(by, context, now, *CARERS)


def dated_back_days(at: Instant, state: Transition, book: PolicyBook, now: Instant) -> int:
    """Local days between what is recorded and its recording."""
    zone = book.in_force(state.plan, now).timezone
    return (local_date(now, zone) - local_date(at, zone)).days


def _reopen(command: ReopenItem, state: Transition) -> Decision:
    known = [e for e in state.said if isinstance(e.fact, ChecklistItemDone) and e.fact.item == command.item]
    gone = reopened(state.said)
    if command.done is not None:
        if all(e.event_id != command.done for e in known):
            return Refusal("unknown_record", "done: is no record of this item; see `throughline timeline`")
        done = command.done
    else:
        standing = [e.event_id for e in known if e.event_id not in gone]
        if not standing:
            return () if known else Refusal("nothing_done", "item: was never recorded as done; there is nothing to reopen")
        done = standing[-1]
    return () if done in gone else (ChecklistItemReopened(item=command.item, done=done, reason=command.reason),)


def _strike_out(command: StrikeOutTransitionRecord, state: Transition, context: Context, now: Instant) -> Decision:
    entry = state.record(command.record)
    if entry is None:
        return Refusal("unknown_record", "record: is no record of this transition; see `throughline timeline`")
    if refusal := refused(command.by, context, now, *(CARERS if entry.actor == command.by else (Role.SUPERVISOR,))):
        return refusal
    struck = any(isinstance(e.fact, TransitionRecordStruckOut) and e.fact.record == command.record for e in state.said)
    return () if struck else (TransitionRecordStruckOut(record=command.record, reason=command.reason),)


def _settle(by: str, record: EventId, fact: Fact, state: Transition, context: Context, now: Instant) -> Decision:
    if refusal := refused(by, context, now, Role.SUPERVISOR):
        return refusal
    entry = state.record(record)
    if entry is None or not entry.fact.approval_needed:
        return Refusal("nothing_to_approve", "record: is no backdated record of this transition")
    if entry.actor == by:
        return Refusal("own_record", "by: nobody approves a record of their own; ask another supervisor")
    settlements = BackdatedTransitionRecordApproved | BackdatedTransitionRecordRejected
    settled = any(isinstance(e.fact, settlements) and e.fact.record == record for e in state.said)
    return () if settled else (fact,)


def _acknowledge(by: str, key: str, state: Transition, context: Context, now: Instant) -> Decision:
    request = state.requests.by_key.get(key)
    if request is None:
        return Refusal("unknown_alert", "key: is no alert of this transition; see `throughline worklist`")
    if by != request.asked.recipient and (refusal := refused(by, context, now, Role.SUPERVISOR)):
        return refusal
    return state.requests.decide(AlertAcknowledged(key=key))


def reads(command: Any, state: Transition, context: Context) -> tuple[StreamId, ...]:
    return () if command.by == SYSTEM else actor_stream(command.by)


DECIDER = Decider("transition", lambda stream: Transition(stream=stream), evolve, decide, reads)
