"""How an episode ends: which reason rests on what, and who may decide it; the warm hand-off, the notice with its appeal
(domain.md 2.7).

Nothing closes an episode by itself: not a 21st birthday, not the end of a pregnancy, not days that are no longer authorised. What
the plan's own number for a reason is belongs to the plan's files and not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import assert_never

from domain.calendar import local_date
from domain.core import SYSTEM, Command, Context, Decision, Fact, Instant, On, Refusal, StreamId, personal
from domain.episode import leads
from domain.episode.authorisations import authorised, office_zone, standing_denials
from domain.episode.care_plans import GoalState, care_plan
from domain.episode.enrolment import Conflict, conflicts
from domain.episode.facts import (
    AssignmentWithdrawn,
    ClosureReason,
    EpisodeClosed,
    EpisodeReinstated,
    HoldCode,
    MemberDeclined,
)
from domain.episode.holds import why_held
from domain.episode.state import Episode, claim_on_open_episode, zone_of
from domain.member.circumstances import Circumstance
from domain.member.facts import Claimed, Released
from domain.member.person import the_person
from domain.policy import PolicyBook
from domain.staff.decider import staff_in
from domain.staff.facts import Role

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDownAgreed(Fact):
    """The member agrees to leave for a lower level of care, or because the goals are met."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmHandOffMade(Fact):
    """The member and whoever cares for them next were brought together. `to`: complex_care_management, basic_population_health,
    primary_care, other_ecm_provider."""

    to: str
    how: str
    with_whom: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOfActionReceived(Fact):
    """The plan told the member of the discontinuation, with the day until which they may appeal (G p116)."""

    sent_on: date
    effective_on: date
    appeal_until: date


ClosingFact = StepDownAgreed | WarmHandOffMade | NoticeOfActionReceived


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreeStepDown(Command):
    """The member's word; `how`: in_person, phone, video, or what they wrote."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeWarmHandOff(Command):
    """`to`: one of HAND_OFFS."""

    to: str
    how: str
    with_whom: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNoticeOfAction(Command):
    """The plan sends it also after the closure that it is about."""

    sent_on: date
    effective_on: date
    appeal_until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawAssignment(Command):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline(Command):
    """The member does not want the programme, or no longer: everything stops at once."""

    how: str = ""
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseEpisode(Command):
    """`note` says more in words without personal data; OTHER needs it."""

    reason: ClosureReason
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinstateEpisode(Command):
    reason: str


StepDownCommand = AgreeStepDown | MakeWarmHandOff | RecordNoticeOfAction
ClosingCommand = WithdrawAssignment | Decline | CloseEpisode

HAND_OFFS = ("complex_care_management", "basic_population_health", "primary_care", "other_ecm_provider")
LOWER_LEVELS = ("complex_care_management", "basic_population_health")
"""To whom a step-down leads (domain.md 2.7)."""

SUPERVISED = (ClosureReason.UNSAFE, ClosureReason.UNABLE_TO_REACH, ClosureReason.DECEASED)
"""Reasons that a supervisor decides on; every other one is the lead care manager's."""

BY_ANOTHER_NAME = {ClosureReason.DECLINED: "decline", ClosureReason.ASSIGNMENT_WITHDRAWN: "withdraw"}
"""Reasons that are recorded by a command of their own."""

# --- decide --------------------------------------------------------------------------------------------------------------------


def decide_before(command: StepDownCommand, state: Episode, context: Context, now: Instant) -> Decision:
    """What goes before a closure, or comes of it."""
    match command:
        case AgreeStepDown(how=how):
            agreed = StepDownAgreed(how=how)
            return () if any(isinstance(e.fact, StepDownAgreed) for e in state.said) else (agreed,)
        case MakeWarmHandOff():
            return _hand_off(command, state)
        case RecordNoticeOfAction():
            return _notice(command, state, context, now)
        case _:
            assert_never(command)


def _hand_off(command: MakeWarmHandOff, state: Episode) -> Decision:
    if command.to not in HAND_OFFS:
        return Refusal("hand_off_unknown", f"to: must be one of {', '.join(HAND_OFFS)}")
    if any(isinstance(e.fact, WarmHandOffMade) and e.fact.to == command.to for e in state.said):
        return ()
    return (WarmHandOffMade(to=command.to, how=command.how, with_whom=command.with_whom),)


def _notice(command: RecordNoticeOfAction, state: Episode, context: Context, now: Instant) -> Decision:
    if command.sent_on > local_date(now, zone_of(state, context)):
        return Refusal("sent_in_the_future", "sent_on: lies ahead; record the notice once it was sent")
    for name, day in (("effective_on", command.effective_on), ("appeal_until", command.appeal_until)):
        if day < command.sent_on:
            return Refusal("notice_ends_first", f"{name}: must not come before sent_on")
    notice = NoticeOfActionReceived(sent_on=command.sent_on, effective_on=command.effective_on, appeal_until=command.appeal_until)
    return () if any(e.fact == notice for e in state.said) else (notice,)


def decide(command: ClosingCommand, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    at = command.occurred_at or now
    if any(isinstance(e.fact, EpisodeReinstated) and e.at >= at for e in state.said):
        return Refusal("reinstated_since", "occurred_at: the episode was reinstated after that; leave it out to close it as of now")
    match command:
        case WithdrawAssignment(reason=reason):
            withdrawn = AssignmentWithdrawn(reason=reason)
            return (withdrawn, *_closed(command, state, ClosureReason.ASSIGNMENT_WITHDRAWN, reason, context))
        case Decline(how=how, reason=reason):
            declined = MemberDeclined(member=state.member, how=how, reason=reason)
            return (declined, *_closed(command, state, says(command, state), "", context))
        case CloseEpisode(reason=reason, note=note):
            refusal = _not_decided_by(command, state, context, now) or _rests_on_nothing(command, state, context, book, now)
            return refusal or _closed(command, state, reason, note, context)
        case _:
            assert_never(command)


def says(command: ClosingCommand, state: Episode) -> ClosureReason:
    """The reason with which a command closes. Who takes part already does not decline: they withdraw (domain.md 2.7)."""
    match command:
        case Decline():
            return ClosureReason.MEMBER_WITHDREW if state.enrolled() else ClosureReason.DECLINED
        case WithdrawAssignment():
            return ClosureReason.ASSIGNMENT_WITHDRAWN
        case CloseEpisode(reason=reason):
            return reason
        case _:
            assert_never(command)


def _closed(command: Command, state: Episode, reason: ClosureReason, note: str, context: Context) -> tuple[Fact | On, ...]:
    released = On(claim_on_open_episode(state.member), Released(holder=command.stream, because=reason))
    return (EpisodeClosed(reason=reason, note=note), released, *leads.let_go(command, state, context))


def _not_decided_by(command: CloseEpisode, state: Episode, context: Context, now: Instant) -> Refusal | None:
    """A closure is the lead care manager's to decide, or a supervisor's; where nobody leads, any care manager's."""
    lead = state.lead_care_manager(now)
    if command.by in (SYSTEM, lead) or lead is None or Role.SUPERVISOR in staff_in(context, command.by).roles:
        return None
    return Refusal("not_the_lead", "by: does not lead this member's care; ask the lead care manager or a supervisor")


def _rests_on_nothing(command: CloseEpisode, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Refusal | None:
    """Why a reason cannot be given: what it says is not on record."""
    member = the_person(state.member, context)
    match command.reason:
        case ClosureReason.DECLINED | ClosureReason.ASSIGNMENT_WITHDRAWN as reason:
            name = BY_ANOTHER_NAME[reason]
            return Refusal("closure_by_another_name", f"reason: {reason} is recorded by its own command ({name})")
        case ClosureReason.GOALS_MET:
            return _not_stepped_down(state) or _goals_open(state)
        case ClosureReason.STEP_DOWN:
            return _not_stepped_down(state)
        case ClosureReason.MEMBER_WITHDREW:
            return _never_enrolled(state, "record that they decline")
        case ClosureReason.UNABLE_TO_REACH:
            outreach = context.get(outreach_of(command.stream))
            if outreach is None or not outreach.state.unable_to_reach_proposed:
                return Refusal("not_proposed", "reason: unable-to-reach must have been proposed first, after the policy's minimum")
            return None
        case ClosureReason.DECEASED:
            if member.death() is None:
                return Refusal("no_report_of_death", "reason: no report of the member's death stands; record it first")
            return None
        case ClosureReason.INCARCERATED:
            if why_held(state, now) is not HoldCode.INCARCERATED and not member.life.holds(Circumstance.INCARCERATED, now):
                return Refusal("not_incarcerated", "reason: neither a hold nor the member's circumstances say so; record it first")
            return None
        case ClosureReason.DUPLICATIVE_PROGRAM:
            return _no_other_programme(state)
        case ClosureReason.LOST_MEDI_CAL:
            if not any(gap.since <= now and (gap.until is None or now < gap.until) for gap in member.uncovered()):
                return Refusal("coverage_not_lost", "reason: no loss of coverage stands; record it of the member first")
            return None
        case ClosureReason.NOT_REAUTHORIZED:
            return _still_authorised(state, book, now)
        case ClosureReason.OTHER:
            return None if command.note.strip() else Refusal("note_missing", "note: say what the other reason is")
        case (
            ClosureReason.UNSAFE | ClosureReason.CHANGED_PLAN | ClosureReason.MOVED_COUNTY | ClosureReason.MOVED_COUNTRY
        ):  # a person's word, and nothing else on record
            return None
        case _:
            assert_never(command.reason)


def _never_enrolled(state: Episode, remedy: str) -> Refusal | None:
    return None if state.enrolled() else Refusal("never_enrolled", f"reason: the member was never enrolled; {remedy}")


def _not_stepped_down(state: Episode) -> Refusal | None:
    """The member agreed, and was brought together with whoever cares for them next (domain.md 2.7)."""
    if refusal := _never_enrolled(state, "choose the reason that holds"):
        return refusal
    if not any(isinstance(e.fact, StepDownAgreed) for e in state.said):
        return Refusal("step_down_not_agreed", "reason: the member's agreement to step down is not recorded; record it first")
    if not any(isinstance(e.fact, WarmHandOffMade) and e.fact.to in LOWER_LEVELS for e in state.said):
        return Refusal("no_warm_hand_off", f"reason: no warm hand-off to {' or '.join(LOWER_LEVELS)} is recorded; make it first")
    return None


def _goals_open(state: Episode) -> Refusal | None:
    plan = care_plan(state.said)
    if plan is None:
        return Refusal("no_care_plan", "reason: there is no care plan whose goals could be met; choose the reason that holds")
    open_ = [goal for goal in plan.goals if goal.state is GoalState.OPEN]
    if open_:
        return Refusal("goals_open", f"reason: {len(open_)} goals of the care plan are open; record first that they are met")
    if not any(goal.state is GoalState.MET for goal in plan.goals):
        return Refusal("no_goal_met", "reason: every goal of the care plan was given up, none met; choose the reason that holds")
    return None


def _no_other_programme(state: Episode) -> Refusal | None:
    """The member is told that it is one or the other before it is the other (scenario 37); another provider's authorisation is
    enough by itself (scenario 36)."""
    standing = [c for c in conflicts(state.said) if c.settled is None or c.lost]
    if not standing:
        return Refusal("no_conflict", "reason: no other programme or provider stands against this one; raise the conflict first")
    if any(c.explained or (c.lost and c.raised.fact.conflict is Conflict.OTHER_PROVIDER) for c in standing):
        return None
    return Refusal("choice_not_explained", "reason: that the member was told of the choice is not recorded; explain it first")


def _still_authorised(state: Episode, book: PolicyBook, now: Instant) -> Refusal | None:
    today = local_date(now, office_zone(book, state, now))
    spans = authorised(state.said)
    if standing_denials(state.said) or (spans and all(s.last_day < today for s in spans)):
        return None
    return Refusal("not_denied", "reason: neither a denial nor authorised days that ran out are on record; record the plan's word")


def reinstate(command: ReinstateEpisode, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    """The closure was a mistake: the episode is the member's open one again, and back with whoever led it."""
    closed = state.closure(now)
    if closed is None:
        return ()
    if closed[1] >= (command.occurred_at or now):
        return Refusal("not_closed_then", "occurred_at: lies before the closure; leave it out to reinstate the episode as of now")
    if context[claim_on_open_episode(state.member)].state.holder is not None:
        return Refusal("episode_open", "stream: the member has another open episode; close that one first")
    back = leads.taken_again(command, state, context, book, now)
    if isinstance(back, Refusal):
        return back
    claimed = On(claim_on_open_episode(state.member), Claimed(holder=command.stream))
    return (EpisodeReinstated(reason=command.reason), claimed, *back)


def outreach_of(episode: StreamId) -> StreamId:
    return f"outreach-{episode.partition('-')[2]}"
