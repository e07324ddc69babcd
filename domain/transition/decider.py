"""The transition stream: what people did after each stay, and what the plan decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from domain import bookkeeping, records
from domain.alerts import AcknowledgeAlert, acknowledge
from domain.clocks import Clocks
from domain.core import SYSTEM, Command, Context, Decider, Decision, EventId, Fact, Instant, Recorded, Refusal, StreamId, personal
from domain.interactions import SYNCHRONOUS, AttemptOutcome, Interaction, SpokenTo
from domain.member.decider import CARERS
from domain.policy import ChecklistItem, Evidence, PolicyBook
from domain.records import ApproveBackdatedRecord, RejectBackdatedRecord, StrikeOutRecord
from domain.remembered import Notebook
from domain.requests import Requests
from domain.staff.decider import actor_stream, refused, staff_in
from domain.staff.facts import Licence
from domain.timeline import Timeline, put
from domain.transition.checklist import shortfall
from domain.transition.facts import (
    ChecklistItemDone,
    ChecklistItemReopened,
    Finding,
    StayReviewed,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionContactMade,
    TransitionEntrusted,
)

RECORDS = (TransitionContactMade, TransitionAttemptMade, ChecklistItemDone)

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
class ReviewStay(Command):
    stay: StreamId
    finding: Finding
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryTransition(Command):
    """What the plan decided about the transition itself."""

    fact: TransitionalCareOpened | TransitionEntrusted | TransitionalCareEnded | TransitionalCareResumed


# --- state ---------------------------------------------------------------------------------------------------------------------


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
    notebook: Notebook = field(default_factory=Notebook, compare=False, repr=False)

    @property
    def episode(self) -> StreamId:
        return f"episode-{self.stream.partition('-')[2]}"

    @property
    def member(self) -> StreamId:
        return next((opened.member for opened in self.opened.values()), "")

    @property
    def plan(self) -> str:
        return next((opened.plan for opened in self.opened.values()), "")


def reopened(said: Timeline) -> frozenset[EventId]:
    """The records of done items that were found not to be so."""
    return frozenset(e.fact.done for e in said if isinstance(e.fact, ChecklistItemReopened))


# --- evolve --------------------------------------------------------------------------------------------------------------------


SAID = (TransitionContactMade, TransitionAttemptMade, ChecklistItemDone, ChecklistItemReopened, StayReviewed)
"""What people recorded and what is nothing but `said`."""


def evolve(state: Transition, recorded: Recorded) -> Transition:
    if (kept := bookkeeping.entered(state, recorded)) is not None:
        return kept
    match recorded.fact:
        case TransitionalCareOpened() as fact:
            return replace(state, opened={**state.opened, fact.stay: fact}, openings_ever=state.openings_ever + 1)
        case TransitionEntrusted() as fact:
            return replace(state, entrusted=fact, entrusted_ever=state.entrusted_ever + 1)
        case fact if isinstance(fact, SAID):
            return replace(state, said=put(state.said, recorded))
        case TransitionalCareEnded():
            return replace(state, ended=True, endings_ever=state.endings_ever + 1)
        case TransitionalCareResumed():
            return replace(state, ended=False)
        case _:
            return state


def evolve_all(state: Transition, history: Sequence[Recorded]) -> Transition:
    return bookkeeping.entered_all(state, history, SAID, evolve)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Transition, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if (kept := bookkeeping.decided(command, state)) is not None:
        return kept
    if isinstance(command, CarryTransition):
        return _carry(command.fact, state)
    if not state.opened:
        return Refusal(
            "no_transition", "stream: no stay in hospital is known for this episode; enter one with `throughline record admission`"
        )
    if not actor_stream(command.by):
        return Refusal("person_needed", "by: must be somebody on the staff; the software closes no item")
    match command:
        case RecordTransitionContact() | RecordTransitionAttempt() | CompleteItem():
            return _record(command, state, context, book, now)
        case ReopenItem():
            return refused(command.by, context, now, *CARERS) or _reopen(command, state)
        case ApproveBackdatedRecord() | RejectBackdatedRecord() | StrikeOutRecord():
            return records.decide(command, state.said, RECORDS, context, now)
        case ReviewStay(stay=stay, finding=finding, note=note):
            if refusal := refused(command.by, context, now, *CARERS):
                return refusal
            if stay not in state.opened:
                return Refusal("unknown_stay", "stay: is not one of this episode's; see `throughline transitions`")
            return (StayReviewed(stay=stay, finding=finding, note=note),)
        case AcknowledgeAlert():
            return acknowledge(command, state.requests, context, now)
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
    if refusal := records.untimely(at, now):
        return refusal
    late = records.approval_needed(at, book.in_force(state.plan, now), now)
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
    if refusal := records.too_long(command.minutes):
        return refusal
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


def reads(command: Any, state: Transition, context: Context) -> tuple[StreamId, ...]:
    return () if command.by == SYSTEM else actor_stream(command.by)


DECIDER = Decider("transition", lambda stream: Transition(stream=stream), evolve, decide, reads, evolve_all)
