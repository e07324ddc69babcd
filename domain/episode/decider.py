"""An episode: from a plan's assignment through enrolment to a closure with its reason.

Who may say something, and when nothing can be said any more, is decided here; what is said, in the module of its subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from domain import records
from domain.core import Command, Context, Decider, Decision, Instant, On, Refusal, StreamId
from domain.episode import assessments, authorisations, care_plans, closing, disclosing, enrolment, holds, leads, referrals, rosters
from domain.episode.assessments import AssessmentCommand
from domain.episode.authorisations import (
    AuthorisationCommand,
    CarryOver,
    ConsiderDiscontinuation,
    DenyAuthorisation,
    GrantAuthorisation,
    RequestAuthorisation,
)
from domain.episode.care_plans import CarePlanCommand
from domain.episode.closing import (
    SUPERVISED,
    CloseEpisode,
    ClosingCommand,
    Decline,
    RecordNoticeOfAction,
    ReinstateEpisode,
    StepDownCommand,
    WithdrawAssignment,
)
from domain.episode.disclosing import DiscloseEnrolment
from domain.episode.enrolment import (
    AnswerScreening,
    Defer,
    Enrol,
    EnrolmentCommand,
    ExplainChoice,
    RaiseConflict,
    RecordEnrolmentVisit,
    ReportPlanTier,
    SettleProviderChange,
)
from domain.episode.facts import MEMBER_SAID_NO, AssignmentReceived, AssignmentResent, PolicyReapplied
from domain.episode.holds import Hold, HoldCommand, Resume
from domain.episode.leads import AssignLeadCareManager, LeadCommand, ReleaseLeadCareManager
from domain.episode.referrals import AnswerReferral, ReceiveReferral, ReferralCommand, WithdrawReferral
from domain.episode.rosters import (
    MissOnRoster,
    NameOnRosterAgain,
    ReportPlanPopulations,
    RosterCommand,
    SettleRosterAbsence,
    Standing,
)
from domain.episode.state import Episode, claim_on_open_episode, evolve, evolve_all
from domain.member.decider import CARERS, OFFICE, Claim, Member
from domain.member.facts import Claimed, EpisodeBegun
from domain.member.person import in_context
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
class ReapplyPolicy(Command):
    """`policy`: the id of an adopted version, such as default@2026.2."""

    policy: str
    reason: str


FromFeeds = (
    ResendAssignment
    | WithdrawAssignment
    | ReportPlanTier
    | RaiseConflict
    | GrantAuthorisation
    | DenyAuthorisation
    | RecordNoticeOfAction
    | AnswerReferral
    | WithdrawReferral
    | MissOnRoster
    | NameOnRosterAgain
    | ReportPlanPopulations
    | DiscloseEnrolment
)
"""What a plan's file, or a hospital that referred the member or asks about them, may say without a person of ours."""

AfterClosure = GrantAuthorisation | DenyAuthorisation | RecordNoticeOfAction | AnswerReferral
"""The plan's word on days and rights, which may come when the episode is over."""

Dated = (
    AssessmentCommand
    | CarePlanCommand
    | Enrol
    | Decline
    | Defer
    | RecordEnrolmentVisit
    | AnswerScreening
    | ExplainChoice
    | SettleProviderChange
    | RequestAuthorisation
    | ConsiderDiscontinuation
)
"""What is done or heard on a day, and may meet a deadline."""

# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: Any, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if isinstance(command, ReceiveAssignment):
        return refused(command.by, context, now, *OFFICE, feeds=True) or _receive(command, state, context, book, now)
    if isinstance(command, ReceiveReferral):
        return refused(command.by, context, now, *OFFICE, feeds=True) or _refer(command, state, context, book, now)
    if state.assignment is None:
        return Refusal("unknown_episode", "stream: is no episode; see `throughline worklist` for the open ones")
    if refusal := refused(command.by, context, now, *_who_may(command), feeds=isinstance(command, FromFeeds)):
        return refusal
    if isinstance(command, ResendAssignment):
        return (AssignmentResent(received_at=command.received_at),)
    if isinstance(command, ReinstateEpisode):
        return closing.reinstate(command, state, context, book, now)
    if isinstance(command, DiscloseEnrolment):
        return disclosing.decide(command, state, context, book, now)
    if (closed := state.closure(now)) is not None and not isinstance(command, AfterClosure):
        if isinstance(command, ClosingCommand) and closing.says(command, state) is closed[2]:
            return ()
        return Refusal("episode_closed", f"stream: the episode was closed as {closed[2]}; a new contact proposes a new one")
    at = command.occurred_at or now
    if refusal := _untimely(command, state, context, book, at, now):
        return refusal
    match command:
        case _ if isinstance(command, LeadCommand):
            return leads.decide(command, state, context, book, now)
        case _ if isinstance(command, EnrolmentCommand):
            return enrolment.decide(command, state, context, at, now)
        case _ if isinstance(command, AssessmentCommand):
            return assessments.decide(command, state, book, at)
        case _ if isinstance(command, CarePlanCommand):
            return care_plans.decide(command, state, context, at, now)
        case _ if isinstance(command, AuthorisationCommand):
            return authorisations.decide(command, state, context, book, at, now)
        case _ if isinstance(command, ReferralCommand):
            return referrals.decide(command, state, context, book, at, now)
        case _ if isinstance(command, HoldCommand):
            return (*holds.decide(command, state, at), *authorisations.of_release(command, state, context, book, at))
        case _ if isinstance(command, StepDownCommand):
            return closing.decide_before(command, state, context, now)
        case _ if isinstance(command, ClosingCommand):
            return closing.decide(command, state, context, book, now)
        case _ if isinstance(command, RosterCommand):
            return _on_the_roster(command, state, context, book, now)
        case ReapplyPolicy(policy=policy, reason=reason):
            if book.named(policy) is None:
                return Refusal("unknown_policy", f"policy: {policy!r} was never adopted; see `throughline policy list`")
            return () if state.reapplied(at) == policy else (PolicyReapplied(policy=policy, reason=reason),)
        case _:
            raise AssertionError(f"episode does not know {type(command).__name__}")


def _on_the_roster(command: RosterCommand, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    told = rosters.decide(command, state)
    if isinstance(told, Refusal) or not isinstance(command, SettleRosterAbsence) or command.assignment is Standing.STANDS:
        return told
    withdraw = WithdrawAssignment(stream=command.stream, by=command.by, occurred_at=command.occurred_at, reason=command.reason)
    closed = closing.decide(withdraw, state, context, book, now)
    return closed if isinstance(closed, Refusal) else (*told, *closed)


def _untimely(command: Any, state: Episode, context: Context, book: PolicyBook, at: Instant, now: Instant) -> Refusal | None:
    """What the member said to us is a contact, so it cannot lie ahead; and where it is dated back further than the policy's grace,
    a supervisor has to stand for it, as for every other record (domain.md scenario 14). As said today, everybody may record it."""
    if not isinstance(command, Dated | EnrolmentCommand | AuthorisationCommand | StepDownCommand):
        return None
    if refusal := records.untimely(at, now):
        return refusal
    if not isinstance(command, Dated) or now - at < ONE_DAY or not records.approval_needed(at, book.in_force(state.plan, now), now):
        return None
    if refused(command.by, context, now, Role.SUPERVISOR) is None:
        return None
    return Refusal(
        "dated_back",
        "occurred_at: lies further back than the plan's grace; leave it out to record it as of now, or ask a supervisor",
    )


def _who_may(command: Any) -> tuple[Role, ...]:
    match command:
        case CloseEpisode(reason=reason) if reason in SUPERVISED:
            return (Role.SUPERVISOR,)
        case Hold() | Resume() | ReapplyPolicy() | ReinstateEpisode() | WithdrawAssignment() | SettleRosterAbsence():
            return (Role.SUPERVISOR,)
        case AssignLeadCareManager() | ReleaseLeadCareManager():
            return (Role.SUPERVISOR, Role.OPERATOR)
        case _ if isinstance(command, FromFeeds | CarryOver):
            return OFFICE
        case _:
            return CARERS


def _receive(command: ReceiveAssignment, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    if state.assignment is not None:
        return ()
    member, claim = context[command.member].state, context[claim_on_open_episode(command.member)].state
    assert isinstance(member, Member) and isinstance(claim, Claim)
    if not member.registered:
        return Refusal("unknown_member", "member: is not registered; register the member first")
    if claim.holder is not None:
        return Refusal("episode_open", "member: has an open episode; a re-sent assignment is recorded there")
    claims = (claim_on_open_episode(other) for other in in_context(command.member, context))
    if any(claim in context and context[claim].state.holder is not None for claim in claims):
        return Refusal("episode_open", "member: is one person with a member who has an open episode; record it there")
    if claim.released_because in MEMBER_SAID_NO and not command.reengage:
        return Refusal("declined_before", "member: said no earlier; a new episode needs a person's word that this was revoked")
    if records.untimely(command.received_at, now) is not None:
        return Refusal(
            "received_in_the_future", "received_at: lies ahead; the clock starts on the day on which the plan's word came"
        )
    if refusal := book.unknown(command.plan):
        return refusal
    if command.previous is not None and command.previous not in member.episodes:
        return Refusal("not_their_episode", "previous: is no episode of this member; see `throughline member`")
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


def _refer(command: ReceiveReferral, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    """A referral opens an episode as a plan's word does, or is added to the one that is there."""
    at = command.occurred_at or now
    if records.untimely(at, now) is not None:
        return Refusal("received_in_the_future", "occurred_at: lies ahead; the clocks start when the referral came")
    if state.assignment is not None:
        if state.member != command.member:
            return Refusal("not_their_episode", "member: is not whom this episode is about")
        return referrals.received(command, state, book, at, opens=False)
    opening = ReceiveAssignment(
        stream=command.stream,
        by=command.by,
        member=command.member,
        plan=command.plan,
        received_at=at,
        referral_source=command.source,
        reengage=command.reengage and not command.by.startswith("source:"),
    )
    begun = _receive(opening, state, context, book, now)
    told = begun if isinstance(begun, Refusal) else referrals.received(command, state, book, at, opens=True)
    return told if isinstance(told, Refusal) or isinstance(begun, Refusal) else (*begun, *told)


def reads(command: Any, state: Episode, context: Context) -> tuple[StreamId, ...]:
    actor = actor_stream(command.by)
    match command:
        case ReceiveAssignment(member=member) | ReceiveReferral(member=member):
            everybody = in_context(member, context)
            return (*actor, *everybody, *map(claim_on_open_episode, everybody))
        case _ if not state.member:
            return actor
        case DiscloseEnrolment():
            return (*actor, *disclosing.reads(state.member, context))
        case _ if isinstance(command, LeadCommand):
            return (*actor, *leads.reads(command, state))
        case _ if isinstance(command, ClosingCommand | ReinstateEpisode | SettleRosterAbsence):
            lead = leads.carried_again(command.stream, state) if isinstance(command, ReinstateEpisode) else leads.carried(state)
            everybody = in_context(state.member, context)
            return (*actor, *everybody, claim_on_open_episode(state.member), closing.outreach_of(command.stream), *lead)
        case CarryOver(previous=previous) if previous.startswith("episode-"):
            return (*actor, state.member, previous)
        case _ if isinstance(command, CarePlanCommand):
            return (*actor, *care_plans.reads(command, state.member))
        case _ if isinstance(command, EnrolmentCommand | AuthorisationCommand | ReferralCommand | HoldCommand | StepDownCommand):
            return (*actor, state.member)
        case _:
            return actor


DECIDER = Decider("episode", lambda stream: Episode(), evolve, decide, reads, evolve_all)
