"""Who leads a member's care: assigning, handing over, releasing (domain.md 2.6, scenario 65).

Open clocks keep their due dates whoever leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.core import Command, Context, Decision, Instant, Refusal, StreamId, personal
from domain.episode.facts import LeadCareManagerAssigned, LeadCareManagerHandedOver, LeadCareManagerReleased
from domain.staff.decider import staff_in
from domain.staff.facts import Role

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignLeadCareManager(Command):
    staff: StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver(Command):
    receiver: StreamId
    note: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLeadCareManager(Command):
    reason: str


LeadCommand = AssignLeadCareManager | HandOver | ReleaseLeadCareManager


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What of an episode matters to who leads it: `lead` is who does at the instant that a command speaks of."""

    member: StreamId
    lead: StreamId | None


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(command: LeadCommand, case: Case, context: Context, now: Instant) -> Decision:
    match command:
        case AssignLeadCareManager():
            return _assign(command, case, context, now)
        case HandOver():
            return _hand_over(command, case, context, now)
        case ReleaseLeadCareManager(reason=reason):
            return (LeadCareManagerReleased(staff=case.lead, reason=reason),) if case.lead else ()


def _assign(command: AssignLeadCareManager, case: Case, context: Context, now: Instant) -> Decision:
    if case.lead == command.staff:
        return ()
    if case.lead is not None:
        return Refusal("has_a_lead", "staff: the member has a lead care manager; hand over instead (`throughline staff hand-over`)")
    return _no_care_manager(command.staff, context, now) or (LeadCareManagerAssigned(staff=command.staff),)


def _hand_over(command: HandOver, case: Case, context: Context, now: Instant) -> Decision:
    if case.lead == command.receiver:
        return ()
    if case.lead is None:
        return Refusal("no_lead", "stream: nobody is lead care manager; assign one instead")
    handed_over = LeadCareManagerHandedOver(member=case.member, giver=case.lead, receiver=command.receiver, note=command.note)
    return _no_care_manager(command.receiver, context, now) or (handed_over,)


def _no_care_manager(stream: StreamId, context: Context, now: Instant) -> Refusal | None:
    person = staff_in(context, stream)
    if not person.works(now) or Role.CARE_MANAGER not in person.roles:
        return Refusal("no_care_manager", "staff: is not a care manager who works here; see `throughline staff list`")
    return None


def reads(command: Any) -> tuple[StreamId, ...]:
    """The streams that a decision on who leads needs, besides the actor's."""
    match command:
        case AssignLeadCareManager(staff=staff):
            return (staff,)
        case HandOver(receiver=receiver):
            return (receiver,)
        case _:
            return ()
