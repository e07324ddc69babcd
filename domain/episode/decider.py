"""An episode: from a plan's assignment through enrolment to a closure with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from domain import records
from domain.calendar import local_date
from domain.core import Command, Context, Decider, Decision, Instant, On, Refusal, StreamId, personal
from domain.episode import leads
from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    AssignmentWithdrawn,
    ClosureReason,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.episode.leads import AssignLeadCareManager, HandOver, ReleaseLeadCareManager
from domain.episode.state import Episode as Episode
from domain.episode.state import claim_on_open_episode as claim_on_open_episode
from domain.episode.state import evolve
from domain.member.decider import CARERS, OFFICE, Claim, Member
from domain.member.facts import Claimed, EpisodeBegun, Released
from domain.policy import PolicyBook
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role

ONE_DAY = timedelta(days=1)
"""What is younger cannot lie further back than any grace, which is counted in days."""


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveAssignment(Command):
    """Opens an episode. `reengage`: a person's word that a member who declined, or whose episode ended, is to be tried again."""

    member: StreamId
    plan: str
    received_at: datetime
    effective_on: date | None = None
    authorized_on: date | None = None
    referral_source: str = "plan_file"
    plan_tier: str = ""
    previous: StreamId | None = None
    reengage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendAssignment(Command):
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawAssignment(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(Command):
    """`agreed`: verbal or written."""

    agreed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline(Command):
    how: str = ""
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer(Command):
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapplyPolicy(Command):
    """`policy`: the id of an adopted version, such as default@2026.2."""

    policy: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseEpisode(Command):
    reason: ClosureReason
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinstateEpisode(Command):
    reason: str


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if isinstance(command, ReceiveAssignment):
        return refused(command.by, context, now, *OFFICE, feeds=True) or _receive(command, state, context, now)
    if state.assignment is None:
        return Refusal("unknown_episode", "stream: is no episode; see `throughline worklist` for the open ones")
    at = command.occurred_at or now
    feeds = isinstance(command, ResendAssignment | WithdrawAssignment)
    if refusal := refused(command.by, context, now, *_who_may(command), feeds=feeds):
        return refusal
    if isinstance(command, ResendAssignment):
        return (AssignmentResent(received_at=command.received_at),)
    if isinstance(command, ReinstateEpisode):
        return _reinstate(command, state, context, book, now)
    if (closed := state.closure(now)) is not None:
        if isinstance(command, Decline | CloseEpisode | WithdrawAssignment) and _says(command) is closed[2]:
            return ()
        return Refusal("episode_closed", f"stream: the episode was closed as {closed[2]}; a new contact proposes a new one")
    if refusal := _untimely(command, state, context, book, at, now):
        return refusal
    match command:
        case WithdrawAssignment(reason=reason):
            withdrawn = ClosureReason.ASSIGNMENT_WITHDRAWN
            return (AssignmentWithdrawn(reason=reason), *_closed(command, state, context, withdrawn, reason))
        case AssignLeadCareManager() | HandOver() | ReleaseLeadCareManager():
            return leads.decide(command, state, context, book, now)
        case Enrol(agreed=agreed):
            if agreed not in ("verbal", "written"):
                return Refusal("agreement_unknown", "agreed: must be verbal or written")
            return () if state.enrolled() else (MemberEnrolled(agreed=agreed, to_whom=command.by),)
        case Decline(how=how, reason=reason):
            declined = MemberDeclined(member=state.member, how=how, reason=reason)
            return (declined, *_closed(command, state, context, ClosureReason.DECLINED, ""))
        case Defer(until=until):
            if until <= local_date(at, _zone(state, context)):
                return Refusal("deferral_in_the_past", "until: must be a day after the conversation")
            return (DeferralAgreed(until=until),)
        case Hold(reason=reason):
            return () if _held(state, at) else (EpisodeHeld(reason=reason),)
        case Resume(reason=reason):
            return (EpisodeResumed(reason=reason),) if _held(state, at) else ()
        case ReapplyPolicy(policy=policy, reason=reason):
            if book.named(policy) is None:
                return Refusal("unknown_policy", f"policy: {policy!r} was never adopted; see `throughline policy list`")
            return () if state.reapplied(at) == policy else (PolicyReapplied(policy=policy, reason=reason),)
        case CloseEpisode(reason=reason, note=note):
            return _close(command, reason, note, state, context, now)
        case _:
            raise AssertionError(f"episode does not know {type(command).__name__}")


def _untimely(command: Any, state: Episode, context: Context, book: PolicyBook, at: Instant, now: Instant) -> Refusal | None:
    """What the member said to us is a contact, so it cannot lie ahead; and where it is dated back further than the policy's grace,
    a supervisor has to stand for it, as for every other record (domain.md scenario 14). As said today, everybody may record it."""
    if not isinstance(command, Enrol | Decline | Defer):
        return None
    if refusal := records.untimely(at, now):
        return refusal
    if now - at < ONE_DAY or not records.approval_needed(at, book.in_force(state.plan, now), now):
        return None
    if refused(command.by, context, now, Role.SUPERVISOR) is None:
        return None
    return Refusal(
        "dated_back",
        "occurred_at: lies further back than the plan's grace; leave it out to record it as of now, or ask a supervisor",
    )


def _who_may(command: Any) -> tuple[Role, ...]:
    match command:
        case CloseEpisode(reason=ClosureReason.UNABLE_TO_REACH | ClosureReason.UNSAFE | ClosureReason.DECEASED):
            return (Role.SUPERVISOR,)
        case Hold() | Resume() | ReapplyPolicy() | ReinstateEpisode() | WithdrawAssignment():
            return (Role.SUPERVISOR,)
        case AssignLeadCareManager() | ReleaseLeadCareManager():
            return (Role.SUPERVISOR, Role.OPERATOR)
        case ResendAssignment():
            return OFFICE
        case _:
            return CARERS


def _receive(command: ReceiveAssignment, state: Episode, context: Context, now: Instant) -> Decision:
    if state.assignment is not None:
        return ()
    member, claim = context[command.member].state, context[claim_on_open_episode(command.member)].state
    assert isinstance(member, Member) and isinstance(claim, Claim)
    if not member.registered:
        return Refusal("unknown_member", "member: is not registered; register the member first")
    if claim.holder is not None:
        return Refusal("episode_open", "member: has an open episode; a re-sent assignment is recorded there")
    if claim.released_because == ClosureReason.DECLINED and not command.reengage:
        return Refusal("declined_before", "member: declined earlier; a new episode needs a person's word that this was revoked")
    if records.untimely(command.received_at, now) is not None:
        return Refusal(
            "received_in_the_future", "received_at: lies ahead; the clock starts on the day on which the plan's word came"
        )
    if command.plan == "":
        return Refusal("plan_missing", "plan: must name the health plan")
    received = AssignmentReceived(
        member=command.member,
        plan=command.plan,
        received_at=command.received_at,
        effective_on=command.effective_on,
        authorized_on=command.authorized_on,
        referral_source=command.referral_source,
        plan_tier=command.plan_tier,
        previous=command.previous or claim.last_holder,
    )
    claimed = On(claim_on_open_episode(command.member), Claimed(holder=command.stream))
    return (received, claimed, On(command.member, EpisodeBegun(episode=command.stream)))


def _closed(
    command: Command, state: Episode, context: Context, reason: ClosureReason, note: str
) -> tuple[EpisodeClosed | On, ...]:
    released = On(claim_on_open_episode(state.member), Released(holder=command.stream, because=reason))
    return (EpisodeClosed(reason=reason, note=note), released, *leads.let_go(command, state, context))


def _close(command: Any, reason: ClosureReason, note: str, state: Episode, context: Context, now: Instant) -> Decision:
    if reason in (ClosureReason.DECLINED, ClosureReason.ASSIGNMENT_WITHDRAWN):
        return Refusal("closure_by_another_name", f"reason: {reason} is recorded by its own command (decline, withdraw)")
    if reason is ClosureReason.UNABLE_TO_REACH:
        outreach = context.get(_outreach_of(command.stream))
        if outreach is None or not outreach.state.unable_to_reach_proposed:
            return Refusal("not_proposed", "reason: unable-to-reach must have been proposed first, after the policy's minimum")
    if reason is ClosureReason.DECEASED and context[state.member].state.death() is None:
        return Refusal("no_report_of_death", "reason: no report of the member's death stands; record it first")
    return _closed(command, state, context, reason, note)


def _reinstate(command: ReinstateEpisode, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if state.closure(now) is None:
        return ()
    claim = context[claim_on_open_episode(state.member)].state
    if claim.holder is not None:
        return Refusal("episode_open", "stream: the member has another open episode; close that one first")
    claimed = On(claim_on_open_episode(state.member), Claimed(holder=command.stream))
    carried = leads.taken_again(command, state, context, book, now)
    return carried if isinstance(carried, Refusal) else (EpisodeReinstated(reason=command.reason), claimed, *carried)


def _held(state: Episode, at: Instant) -> bool:
    return any(span.since <= at and (span.until is None or at < span.until) for span in state.holds())


def _says(command: Any) -> ClosureReason:
    match command:
        case Decline():
            return ClosureReason.DECLINED
        case WithdrawAssignment():
            return ClosureReason.ASSIGNMENT_WITHDRAWN
        case _:
            reason = command.reason
            assert isinstance(reason, ClosureReason)
            return reason


def _zone(state: Episode, context: Context) -> str:
    loaded = context.get(state.member)
    return loaded.state.timezone if loaded is not None else "America/Los_Angeles"


def _outreach_of(episode: StreamId) -> StreamId:
    return f"outreach-{episode.partition('-')[2]}"


def reads(command: Any, state: Episode, context: Context) -> tuple[StreamId, ...]:
    actor = actor_stream(command.by)
    match command:
        case ReceiveAssignment(member=member):
            return (*actor, member, claim_on_open_episode(member))
        case AssignLeadCareManager() | HandOver() | ReleaseLeadCareManager():
            return (*actor, *leads.reads(command, state))
        case Defer() if state.member:
            return (*actor, state.member)
        case CloseEpisode() | Decline() | WithdrawAssignment() | ReinstateEpisode() if state.member:
            lead = leads.carried_again(command.stream, state) if isinstance(command, ReinstateEpisode) else leads.carried(state)
            return (*actor, state.member, claim_on_open_episode(state.member), _outreach_of(command.stream), *lead)
        case _:
            return actor


DECIDER = Decider("episode", lambda stream: Episode(), evolve, decide, reads)
