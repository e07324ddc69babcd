"""Who leads a member's care: assigning, handing over, releasing (domain.md 2.6, scenarios 65 and 66).

Open clocks keep their due dates whoever leads. Each of these decisions, and each closure, writes beside its own fact what the care
managers carry from now on, so that no two of them can fill the same place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from domain.caseload.decider import policy_in_force, released, room, taken
from domain.caseload.state import Weight, caseload_of, load_in, weight
from domain.core import SYSTEM, Command, Context, Decision, Fact, Instant, On, Refusal, Step, StreamId, personal
from domain.episode.facts import LeadCareManagerAssigned, LeadCareManagerHandedOver, LeadCareManagerReleased
from domain.episode.state import LEAD_FACTS, Episode
from domain.followup.decider import FollowUp
from domain.followup.facts import NO_TIER
from domain.policy import PolicyBook
from domain.staff.decider import staff_in
from domain.staff.facts import Role
from domain.timeline import Entry

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignLeadCareManager(Command):
    """`over_cap_because`: why they may take the member although their caseload is full."""

    staff: StreamId
    over_cap_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver(Command):
    """`over_cap_because`: why the receiver may take the member although their caseload is full."""

    receiver: StreamId
    over_cap_because: str = ""
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLeadCareManager(Command):
    reason: str


LeadCommand = AssignLeadCareManager | HandOver | ReleaseLeadCareManager


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: LeadCommand, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    lead = state.lead_care_manager(command.occurred_at or now)
    match command:
        case AssignLeadCareManager(staff=staff):
            if lead == staff:
                return ()
            if lead is not None:
                return Refusal(
                    "has_a_lead", "staff: the member has a lead care manager; hand over instead (`throughline staff hand-over`)"
                )
            return _given(command, staff, LeadCareManagerAssigned(staff=staff), state, context, book, now)
        case HandOver(receiver=receiver):
            if lead == receiver:
                return ()
            if lead is None:
                return Refusal("no_lead", "stream: nobody is lead care manager; assign one instead")
            fact = LeadCareManagerHandedOver(member=state.member, giver=lead, receiver=receiver, note=command.note)
            return _given(command, receiver, fact, state, context, book, now)
        case ReleaseLeadCareManager(reason=reason):
            if lead is None:
                return ()
            fact_of_release = LeadCareManagerReleased(staff=lead, reason=reason)
            if _leads_after(command, fact_of_release, state, now) == last_lead(state):
                return (fact_of_release,)
            return (fact_of_release, *released(lead, command.stream, "left" if command.by == SYSTEM else "released", context))


def _given(
    command: AssignLeadCareManager | HandOver,
    receiver: StreamId,
    fact: Fact,
    state: Episode,
    context: Context,
    book: PolicyBook,
    now: Instant,
) -> Decision:
    """The member goes to somebody: the case off the one caseload and on the other, where it fits."""
    if refusal := _no_care_manager(receiver, context, now):
        return refusal
    if _leads_after(command, fact, state, now) == last_lead(state):
        return (fact,)
    on = _taken(command, receiver, command.over_cap_because, state, context, book, now)
    return on if isinstance(on, Refusal) else (fact, *released(last_lead(state), command.stream, "handed_over", context), on)


def _leads_after(command: Command, fact: Fact, state: Episode, now: Instant) -> StreamId | None:
    """Who leads last once the fact stands where it belongs. Where that is who leads last already, it puts right the past only, and
    nobody's caseload moves."""
    said = (*state.said, Entry(command.occurred_at or now, "", fact, now, command.by))
    return last_lead(replace(state, said=said))


def last_lead(state: Episode) -> StreamId | None:
    """Who leads after all that was said: on whose caseload the member is, while the episode is open."""
    last = max((entry.at for entry in state.said if isinstance(entry.fact, LEAD_FACTS)), default=None)
    return None if last is None else state.lead_care_manager(last)


def left_behind(episode: StreamId, state: Episode, lead: StreamId, left_at: Instant, now: Instant) -> Step:
    """Who left leads nobody: a member who is still with them at the end of their last day has no lead from then on, and that by
    name (domain.md scenario 65)."""
    told = [entry.at for entry in state.said if isinstance(entry.fact, LEAD_FACTS)]
    at = max(left_at, *(said_at for said_at in told if said_at <= now))
    command = ReleaseLeadCareManager(stream=episode, by=SYSTEM, occurred_at=at, reason="left")
    return Step(f"left/{lead}/{len(told)}", command, at)


def _no_care_manager(stream: StreamId, context: Context, now: Instant) -> Refusal | None:
    person = staff_in(context, stream)
    if not person.works(now) or Role.CARE_MANAGER not in person.roles:
        return Refusal("no_care_manager", "staff: is not a care manager who works here; see `throughline staff list`")
    if person.left_on is not None:
        return Refusal("leaving", f"staff: leaves after {person.left_on}; choose somebody who stays")
    return None


# --- the caseload beside it ----------------------------------------------------------------------------------------------------


def tier(follow_up: FollowUp, at: Instant) -> str:
    """A person's word on the tier, else what the rules found last."""
    return follow_up.overridden_tier(at) or (follow_up.found.tier if follow_up.found else NO_TIER)


def weighs(episode: StreamId, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Weight:
    """What the member weighs: as on the caseload that the case is on, else by enrolment and tier."""
    lead = last_lead(state)
    carried = load_in(context, lead).cases.get(episode) if lead else None
    if carried is not None:
        return carried
    policy = policy_in_force(book, state.plan, now)
    loaded = context.get(follow_up_of(episode))
    found = tier(loaded.state, now) if loaded is not None and isinstance(loaded.state, FollowUp) else NO_TIER
    return weight(policy.caseload if policy else None, found, enrolled=state.enrolled() is not None)


def _taken(
    command: Command, receiver: StreamId, because: str, state: Episode, context: Context, book: PolicyBook, now: Instant
) -> On | Refusal:
    found = room(receiver, context, book, state.plan, now)
    case = weighs(command.stream, state, context, book, now)
    return taken(receiver, command.stream, case, found, by=command.by, because=because, context=context, now=now)


def let_go(command: Command, state: Episode, context: Context) -> tuple[On, ...]:
    """What a closure does to the lead's caseload."""
    return released(last_lead(state), command.stream, "closed", context)


def taken_again(command: Any, state: Episode, context: Context, book: PolicyBook, now: Instant) -> tuple[On, ...] | Refusal:
    """What undoing a closure does to it: the member is back with whoever led then."""
    lead = last_lead(state)
    if lead is None:
        return ()
    on = _taken(command, lead, command.reason or "reinstated", state, context, book, now)
    return on if isinstance(on, Refusal) else (on,)


def follow_up_of(episode: StreamId) -> StreamId:
    return f"followup-{episode.partition('-')[2]}"


def reads(command: Any, state: Episode) -> tuple[StreamId, ...]:
    """The streams that a decision on who leads needs, besides the actor's."""
    weight = reads_of_weight(command.stream, state)
    match command:
        case AssignLeadCareManager(staff=receiver) | HandOver(receiver=receiver):
            return (*weight, receiver, caseload_of(receiver))
        case _:
            return carried(state)


def reads_of_weight(episode: StreamId, state: Episode) -> tuple[StreamId, ...]:
    """Where it stands what the member weighs: the caseload that they are on, and the follow-up with their tier."""
    return (*carried(state), follow_up_of(episode))


def carried(state: Episode) -> tuple[StreamId, ...]:
    """The caseload that the member is on, which a closure needs."""
    lead = last_lead(state)
    return () if lead is None else (caseload_of(lead),)


def carried_again(episode: StreamId, state: Episode) -> tuple[StreamId, ...]:
    """What the undoing of a closure needs: the lead's share of full time, their caseload and the member's tier."""
    lead = last_lead(state)
    return () if lead is None else (lead, caseload_of(lead), follow_up_of(episode))
