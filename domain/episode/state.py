"""What is known of one episode, folded from its stream: read by its own decisions and by every process of the member's care."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.core import Alarm, Context, EventId, Instant, Recorded, StreamId
from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    ClosureReason,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    LeadCareManagerReleased,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.member.decider import Member
from domain.timeline import Span, Timeline, put, put_all, spans, until

LEAD_FACTS = (LeadCareManagerAssigned, LeadCareManagerHandedOver, LeadCareManagerReleased)


def claim_on_open_episode(member: StreamId) -> StreamId:
    """The claim that keeps one member one open episode."""
    return f"claim-open-{member}"


@dataclass(frozen=True, slots=True)
class Episode:
    """`said` holds everything that starts, stops or suspends a promise, in the order of the world."""

    assignment: AssignmentReceived | None = None
    assigned_by: EventId = ""
    assigned_known_at: Instant | None = None
    said: Timeline = ()
    resent: int = 0

    @property
    def member(self) -> StreamId:
        return self.assignment.member if self.assignment else ""

    @property
    def plan(self) -> str:
        return self.assignment.plan if self.assignment else ""

    def lead_care_manager(self, now: Instant) -> StreamId | None:
        """Who leads at an instant. Of two words of the same instant the one that was recorded later stands: whoever gave it had
        seen the other."""
        holder: StreamId | None = None
        told = (e for e in self.said if isinstance(e.fact, LEAD_FACTS) and e.at <= now)
        for entry in sorted(told, key=lambda e: (e.at, e.recorded_at)):
            match entry.fact:
                case LeadCareManagerAssigned(staff=staff):
                    holder = staff
                case LeadCareManagerHandedOver(receiver=receiver):
                    holder = receiver
                case LeadCareManagerReleased(staff=staff) if staff == holder:
                    holder = None
        return holder

    def leads_now(self, alarm: Alarm) -> StreamId | None:
        """Who leads now; the alarm keeps whatever was said for an instant ahead."""
        return self.lead_care_manager(alarm.turning_at(entry.at for entry in self.said))

    def enrolled(self) -> tuple[EventId, Instant] | None:
        return next(((e.event_id, e.at) for e in self.said if isinstance(e.fact, MemberEnrolled)), None)

    def closure(self, now: Instant) -> tuple[EventId, Instant, ClosureReason] | None:
        """The closure that stands at an instant: the first one that nobody undid."""
        closings = spans(until(self.said, now), EpisodeClosed, EpisodeReinstated, "closed")
        if not closings or closings[-1].until is not None:
            return None
        standing = next(e for e in self.said if e.event_id == closings[-1].begun_by)
        return standing.event_id, standing.at, standing.fact.reason

    def closed_by_mistake(self) -> tuple[Span, ...]:
        """The intervals for which a closure stood that was undone."""
        return tuple(s for s in spans(self.said, EpisodeClosed, EpisodeReinstated, "closed_by_mistake") if s.until is not None)

    def holds(self) -> tuple[Span, ...]:
        return spans(self.said, EpisodeHeld, EpisodeResumed, "held")

    def reapplied(self, now: Instant) -> str | None:
        """The policy version that open clocks were moved to, if a person did that."""
        told = [e.fact.policy for e in self.said if e.at <= now and isinstance(e.fact, PolicyReapplied)]
        return told[-1] if told else None


def evolve(state: Episode, recorded: Recorded) -> Episode:
    match recorded.fact:
        case AssignmentReceived() as fact:
            return replace(state, assignment=fact, assigned_by=recorded.event_id, assigned_known_at=recorded.recorded_at)
        case AssignmentResent():
            return replace(state, resent=state.resent + 1)
        case _:
            return replace(state, said=put(state.said, recorded))


def evolve_all(state: Episode, history: Sequence[Recorded]) -> Episode:
    """As `evolve` one after another; what is only `said`, nearly all of it, at once."""
    told = [r for r in history if not isinstance(r.fact, (AssignmentReceived, AssignmentResent))]
    for recorded in history:
        if isinstance(recorded.fact, (AssignmentReceived, AssignmentResent)):
            state = evolve(state, recorded)
    return replace(state, said=put_all(state.said, told))


def zone_of(state: Episode, context: Context) -> str:
    """The member's own zone, where the member was read."""
    loaded = context.get(state.member)
    return loaded.state.timezone if loaded is not None else Member().timezone
