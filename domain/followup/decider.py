"""The follow-up stream: what people did and agreed in the year after enrolment, and what the plan found and decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from domain import bookkeeping, records
from domain.alerts import AcknowledgeAlert, acknowledge
from domain.clocks import Clocks
from domain.core import SYSTEM, Command, Context, Decider, Decision, EventId, Fact, Instant, Recorded, Refusal, StreamId, personal
from domain.episode.state import Episode
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    CadenceAgreementEnded,
    Finding,
    FollowUpAttemptMade,
    FollowUpContactMade,
    FollowUpEnded,
    FollowUpEntrusted,
    FollowUpOpened,
    FollowUpResumed,
    FollowUpReviewed,
    PopulationConfirmed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    PopulationRejected,
    ReferralProposalDismissed,
    ReferralProposalWithdrawn,
    ReferralProposed,
    StayNoticed,
    TierFound,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import SYNCHRONOUS, AttemptOutcome, Interaction, SpokenTo
from domain.member.decider import CARERS
from domain.policy import PolicyBook
from domain.records import ApproveBackdatedRecord, RejectBackdatedRecord, StrikeOutRecord
from domain.remembered import Notebook
from domain.requests import Requests
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role
from domain.timeline import Span, Timeline, put

RECORDS = (FollowUpContactMade, FollowUpAttemptMade)
CADENCE_DAYS_MIN, CADENCE_DAYS_MAX = 1, 365
ABOUT_LENGTH_MAX = 200

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFollowUpContact(Command):
    """A live exchange with the member, or with somebody else about them."""

    interaction: Interaction
    spoken_to: SpokenTo = SpokenTo.MEMBER
    minutes: int = 0
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFollowUpAttempt(Command):
    interaction: Interaction
    outcome: AttemptOutcome
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreeCadence(Command):
    """The member wants a contact every so many days, until further notice."""

    every_days: int
    reason: str
    wish: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCadenceAgreement(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideTier(Command):
    """A person says which tier it is, whatever the rules find. `tier`: one of the policy's, or `none`."""

    tier: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftTierOverride(Command):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPopulation(Command):
    population: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectPopulation(Command):
    population: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DismissReferralProposal(Command):
    """The member is not referred anew, for now: visits that are found avoidable later propose it again."""

    population: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFollowUp(Command):
    """Somebody looked. `about`: the key of what asked for it, as the worklist shows it."""

    about: str
    finding: Finding
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryFollowUp(Command):
    """What the plan found out or decided about the follow-up itself."""

    fact: (
        FollowUpOpened
        | FollowUpEntrusted
        | StayNoticed
        | TierFound
        | PopulationProposed
        | PopulationProposalWithdrawn
        | ReferralProposed
        | ReferralProposalWithdrawn
        | FollowUpEnded
        | FollowUpResumed
    )


Agreement = AgreeCadence | EndCadenceAgreement | OverrideTier | LiftTierOverride
"""What moves dues from its own day on: nobody dates it back beyond the grace but a supervisor."""

# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposal:
    """What became of a population of focus: the last word on it, and when that was."""

    fact: PopulationProposed | PopulationProposalWithdrawn | PopulationConfirmed | PopulationRejected
    event_id: EventId
    at: Instant


@dataclass(frozen=True, slots=True)
class ReferralWord:
    """The last word on referring the member anew for a population of focus; `facts`: of the grounds that were looked at."""

    fact: ReferralProposed | ReferralProposalWithdrawn | ReferralProposalDismissed
    at: Instant
    facts: frozenset[EventId] = frozenset()


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The year of one episode. `said` holds what people recorded and agreed, in the order of the world; `found` is the tier that
    the rules gave last, `populations` the last word on each population of focus. `notebook`: what the last plans found."""

    stream: StreamId = ""
    opened: FollowUpOpened | None = None
    openings_ever: int = 0
    entrusted: FollowUpEntrusted | None = None
    entrusted_ever: int = 0
    stays: tuple[StreamId, ...] = ()
    found: TierFound | None = None
    found_ever: int = 0
    populations: Mapping[str, Proposal] = field(default_factory=dict)
    proposals_ever: int = 0
    referrals: Mapping[str, ReferralWord] = field(default_factory=dict)
    referrals_ever: int = 0
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
        return self.opened.member if self.opened else ""

    @property
    def plan(self) -> str:
        return self.opened.plan if self.opened else ""

    def agreed_days(self, at: Instant) -> int | None:
        return next((days for span, days in agreements(self.said) if covers(span, at)), None)

    def overridden_tier(self, at: Instant) -> str | None:
        return next((tier for span, tier in overrides(self.said) if covers(span, at)), None)


def agreements(said: Timeline) -> tuple[tuple[Span, int], ...]:
    """The times in which an interval agreed with the member held, with its days; a new agreement replaces the old one."""
    return tuple((span, fact.every_days) for span, fact in _held(said, CadenceAgreed, CadenceAgreementEnded))


def overrides(said: Timeline) -> tuple[tuple[Span, str], ...]:
    """The times in which a person's word on the tier held."""
    return tuple((span, fact.tier) for span, fact in _held(said, TierOverridden, TierOverrideLifted))


def _held(said: Timeline, begins: type[Fact], ends: type[Fact]) -> list[tuple[Span, Any]]:
    """From each fact of the one sort to the next of either sort."""
    told = [e for e in said if isinstance(e.fact, (begins, ends))]
    found: list[tuple[Span, Any]] = []
    for entry, after in zip_longest(told, told[1:]):
        if isinstance(entry.fact, begins):
            span = Span(
                entry.at, after.at if after else None, "agreed", entry.event_id, after.event_id if after is not None else None
            )
            found.append((span, entry.fact))
    return found


def covers(span: Span, at: Instant) -> bool:
    return span.since <= at and (span.until is None or at < span.until)


# --- evolve --------------------------------------------------------------------------------------------------------------------


SAID = (
    FollowUpContactMade, FollowUpAttemptMade, CadenceAgreed, CadenceAgreementEnded, TierOverridden, TierOverrideLifted,
    FollowUpReviewed,
)  # fmt: skip
"""What people recorded and agreed and what is nothing but `said`."""


def evolve(state: FollowUp, recorded: Recorded) -> FollowUp:
    if (kept := bookkeeping.entered(state, recorded)) is not None:
        return kept
    match recorded.fact:
        case FollowUpOpened() as fact:
            return replace(state, opened=fact, openings_ever=state.openings_ever + 1)
        case FollowUpEntrusted() as fact:
            return replace(state, entrusted=fact, entrusted_ever=state.entrusted_ever + 1)
        case StayNoticed(stay=stay):
            return state if stay in state.stays else replace(state, stays=(*state.stays, stay))
        case TierFound() as fact:
            return replace(state, found=fact, found_ever=state.found_ever + 1)
        case PopulationProposed() | PopulationProposalWithdrawn() | PopulationConfirmed() | PopulationRejected() as fact:
            last_word = Proposal(fact, recorded.event_id, recorded.occurred_at)
            populations, ever = {**state.populations, fact.population: last_word}, state.proposals_ever + 1
            said = put(state.said, recorded) if isinstance(fact, PopulationConfirmed | PopulationRejected) else state.said
            return replace(state, populations=populations, proposals_ever=ever, said=said)
        case ReferralProposed() | ReferralProposalWithdrawn() | ReferralProposalDismissed() as fact:
            before = state.referrals.get(fact.population)
            grounds = fact.grounds if isinstance(fact, ReferralProposed) else ()
            facts = frozenset(id for ground in grounds for id in ground.facts) or (before.facts if before else frozenset())
            word = ReferralWord(fact, recorded.occurred_at, facts)
            return replace(state, referrals={**state.referrals, fact.population: word}, referrals_ever=state.referrals_ever + 1)
        case fact if isinstance(fact, SAID):
            return replace(state, said=put(state.said, recorded))
        case FollowUpEnded():
            return replace(state, ended=True, endings_ever=state.endings_ever + 1)
        case FollowUpResumed():
            return replace(state, ended=False)
        case _:
            return state


def evolve_all(state: FollowUp, history: Sequence[Recorded]) -> FollowUp:
    return bookkeeping.entered_all(state, history, SAID, evolve)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: FollowUp, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if (kept := bookkeeping.decided(command, state)) is not None:
        return kept
    if isinstance(command, CarryFollowUp):
        return _carry(command.fact, state)
    if state.opened is None:
        return Refusal("no_follow_up", "stream: follows up no episode; see `throughline worklist` for the open ones")
    if not actor_stream(command.by):
        return Refusal("person_needed", "by: must be somebody on the staff; the software speaks with nobody")
    match command:
        case ApproveBackdatedRecord() | RejectBackdatedRecord() | StrikeOutRecord():
            return records.decide(command, state.said, RECORDS, context, now)
        case AcknowledgeAlert():
            return acknowledge(command, state.requests, context, now)
    if refusal := refused(command.by, context, now, *CARERS):
        return refusal
    at = command.occurred_at or now
    if refusal := records.untimely(at, now) or _dated_back(command, state, context, book, at, now):
        return refusal
    match command:
        case RecordFollowUpContact() | RecordFollowUpAttempt():
            return _record(command, state, context, book, at, now)
        case AgreeCadence():
            return _agree(command, state, at)
        case EndCadenceAgreement(reason=reason):
            return (CadenceAgreementEnded(reason=reason),) if state.agreed_days(at) is not None else ()
        case OverrideTier():
            return _override(command, state, book, at, now)
        case LiftTierOverride(reason=reason):
            return (TierOverrideLifted(reason=reason),) if state.overridden_tier(at) is not None else ()
        case ConfirmPopulation(population=population, reason=reason):
            return _settle(PopulationConfirmed(population=population, reason=reason), state, book, now)
        case RejectPopulation(population=population, reason=reason):
            return _settle(PopulationRejected(population=population, reason=reason), state, book, now)
        case DismissReferralProposal(population=population, reason=reason):
            return _dismiss(population, reason, state)
        case ReviewFollowUp(about=about, finding=finding, note=note):
            if not 0 < len(about) <= ABOUT_LENGTH_MAX:
                return Refusal("about_missing", "about: must be the key of what was looked at; `throughline worklist` shows it")
            return (FollowUpReviewed(about=about, finding=finding, note=note),)
        case _:
            raise AssertionError(f"followup does not know {type(command).__name__}")


def _carry(fact: Fact, state: FollowUp) -> Decision:
    """What the plan decided, or nothing where the stream already says so."""
    match fact:
        case FollowUpOpened():
            already = state.opened == fact
        case FollowUpEntrusted():
            already = state.entrusted == fact
        case StayNoticed(stay=stay):
            already = stay in state.stays
        case TierFound():
            already = state.found == fact
        case PopulationProposed(population=population) | PopulationProposalWithdrawn(population=population):
            last_word = state.populations.get(population)
            already = last_word is not None and last_word.fact == fact
        case ReferralProposed(population=population) | ReferralProposalWithdrawn(population=population):
            known = state.referrals.get(population)
            already = known is not None and known.fact == fact
        case FollowUpEnded():
            already = state.ended
        case FollowUpResumed():
            already = not state.ended
        case _:
            raise AssertionError(type(fact).__name__)
    return () if already else (fact,)


def _dated_back(command: Any, state: FollowUp, context: Context, book: PolicyBook, at: Instant, now: Instant) -> Refusal | None:
    """An agreement or a tier moves dues from its day on: dated back further than the grace it needs a supervisor."""
    if not isinstance(command, Agreement) or not records.approval_needed(at, book.in_force(state.plan, now), now):
        return None
    if refused(command.by, context, now, Role.SUPERVISOR) is None:
        return None
    return Refusal(
        "dated_back",
        "occurred_at: lies further back than the plan's grace; leave it out to record it as of now, or ask a supervisor",
    )


def _record(
    command: RecordFollowUpContact | RecordFollowUpAttempt,
    state: FollowUp,
    context: Context,
    book: PolicyBook,
    at: Instant,
    now: Instant,
) -> Decision:
    if refusal := _not_followed_up(state, context, at, now):
        return refusal
    late = records.approval_needed(at, book.in_force(state.plan, now), now)
    if isinstance(command, RecordFollowUpAttempt):
        attempt = FollowUpAttemptMade(
            member=state.member,
            interaction=command.interaction,
            outcome=command.outcome,
            approval_needed=late,
            note=command.note,
        )
        return (attempt,)
    if refusal := records.too_long(command.minutes):
        return refusal
    if command.interaction not in SYNCHRONOUS or command.spoken_to is SpokenTo.NOBODY:
        return Refusal("no_exchange", "interaction: is no live exchange with anybody; record an attempt instead")
    contact = FollowUpContactMade(
        member=state.member,
        interaction=command.interaction,
        spoken_to=command.spoken_to,
        minutes=command.minutes,
        approval_needed=late,
        note=command.note,
    )
    return (contact,)


def _not_followed_up(state: FollowUp, context: Context, at: Instant, now: Instant) -> Refusal | None:
    """Before the enrolment a contact belongs to the search, after the closure to a new episode."""
    loaded = context.get(state.episode)
    episode = loaded.state if loaded is not None else Episode()
    assert isinstance(episode, Episode)
    enrolled = episode.enrolled()
    if enrolled is None or at < enrolled[1]:
        return Refusal(
            "not_enrolled", "occurred_at: lies before the member's enrolment; record it as outreach (`throughline record contact`)"
        )
    closed = episode.closure(now)
    if closed is not None and closed[1] <= at:
        return Refusal("episode_closed", f"stream: the episode was closed as {closed[2]}; a new contact proposes a new one")
    return None


def _agree(command: AgreeCadence, state: FollowUp, at: Instant) -> Decision:
    if not CADENCE_DAYS_MIN <= command.every_days <= CADENCE_DAYS_MAX:
        return Refusal("days_out_of_range", f"every_days: must lie between {CADENCE_DAYS_MIN} and {CADENCE_DAYS_MAX}")
    if not command.reason:
        return Refusal("reason_missing", "reason: must say why; the plan's own interval stays visible beside it")
    if state.agreed_days(at) == command.every_days:
        return ()
    return (CadenceAgreed(every_days=command.every_days, reason=command.reason, wish=command.wish),)


def _override(command: OverrideTier, state: FollowUp, book: PolicyBook, at: Instant, now: Instant) -> Decision:
    rules = book.in_force(state.plan, now).follow_up
    known = (*(rules.tiers.order if rules is not None and rules.tiers is not None else ()), NO_TIER)
    if command.tier not in known:
        return Refusal("unknown_tier", f"tier: the plan's policy knows {', '.join(known)}")
    if not command.reason:
        return Refusal("reason_missing", "reason: must say why the rules are wrong about this member")
    return () if state.overridden_tier(at) == command.tier else (TierOverridden(tier=command.tier, reason=command.reason),)


def _settle(fact: PopulationConfirmed | PopulationRejected, state: FollowUp, book: PolicyBook, now: Instant) -> Decision:
    known = [population.key for population in book.in_force(state.plan, now).population]
    last_word = state.populations.get(fact.population)
    if fact.population not in known and last_word is None:
        return Refusal("unknown_population", f"population: the plan's policy knows {', '.join(known) or 'none'}")
    if isinstance(fact, PopulationRejected) and last_word is None:
        return Refusal("not_proposed", "population: was not proposed for this member; there is nothing to reject")
    return () if last_word is not None and type(last_word.fact) is type(fact) else (fact,)


def _dismiss(population: str, reason: str, state: FollowUp) -> Decision:
    word = state.referrals.get(population)
    if word is None or isinstance(word.fact, ReferralProposalWithdrawn):
        return Refusal("not_proposed", "population: no referral is proposed for it; see `throughline referral-proposals`")
    if not reason.strip():
        return Refusal("reason_missing", "reason: say why the member is not referred")
    if isinstance(word.fact, ReferralProposalDismissed):
        return ()
    return (ReferralProposalDismissed(population=population, reason=reason),)


def reads(command: Any, state: FollowUp, context: Context) -> tuple[StreamId, ...]:
    if command.by == SYSTEM:
        return ()
    episode = (state.episode,) if isinstance(command, RecordFollowUpContact | RecordFollowUpAttempt) else ()
    return (*actor_stream(command.by), *episode)


DECIDER = Decider("followup", lambda stream: FollowUp(stream=stream), evolve, decide, reads, evolve_all)
