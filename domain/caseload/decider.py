"""Taking a case, letting it go, and weighing it: who may carry how much (domain.md 4, scenarios 65 and 66).

Cases are taken and let go by the episode's own decisions, which write the facts of this stream beside theirs; so two assignments
at the same time meet at the stream's version, and the second one is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.caseload.state import Load, Weight, cap_tenths, caseload_of, evolve, load_in, points
from domain.core import Command, Context, Decider, Decision, Instant, On, Refusal, StreamId
from domain.follow_up_policy import Cap, Caseload
from domain.policy import Policy, PolicyBook
from domain.staff.decider import actor_stream, refused, staff_in
from domain.staff.facts import Role

OVER_SOFT_CAP = "over the soft cap"
"""What the fact says where a soft cap was passed without anybody's reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighCase(Command):
    """`stream`: the caseload. What the follow-up found: the case weighs so much now, on these grounds."""

    episode: StreamId
    weight_tenths: int
    grounds: tuple[str, ...] = ()


def decide(command: Any, state: Load, context: Context, book: Any, now: Instant) -> Decision:
    if refusal := refused(command.by, context, now, Role.SUPERVISOR):
        return refusal
    match command:
        case WeighCase(episode=episode, weight_tenths=tenths, grounds=grounds):
            if state.cases.get(episode, Weight(tenths, grounds)) == Weight(tenths, grounds):
                return ()
            return (CaseWeighed(episode=episode, weight_tenths=tenths, grounds=grounds),)
        case _:
            raise AssertionError(f"caseload does not know {type(command).__name__}")


def reads(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    return actor_stream(command.by)


DECIDER = Decider("caseload", lambda stream: Load(), evolve, decide, reads)
"""What one care manager carries."""


# --- taking and letting go: used by the decisions on an episode ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What somebody carries and may carry under a plan's policy; `cap_tenths` 0: no cap."""

    load_tenths: int
    cap_tenths: int
    rules: Caseload | None
    policy: str

    def over(self, tenths: int) -> bool:
        """Whether a case of so many tenths would not fit any more. What weighs nothing always does."""
        return self.rules is not None and tenths > 0 and self.load_tenths + tenths > self.cap_tenths


def policy_in_force(book: PolicyBook, plan: str, now: Instant) -> Policy | None:
    """The plan's policy; None before any was adopted, when nobody's caseload has a cap."""
    try:
        return book.in_force(plan, now)
    except LookupError:
        return None


def room(staff: StreamId, context: Context, book: PolicyBook, plan: str, now: Instant) -> Room:
    """How much of a caseload is free under the plan's policy in force now, by the share of full time."""
    load, policy = load_in(context, staff).tenths, policy_in_force(book, plan, now)
    if policy is None or policy.caseload is None:
        return Room(load_tenths=load, cap_tenths=0, rules=None, policy="")
    cap = cap_tenths(policy.caseload, staff_in(context, staff).share_percent(now))
    return Room(load_tenths=load, cap_tenths=cap, rules=policy.caseload, policy=policy.id)


def taken(
    staff: StreamId, episode: StreamId, weight: Weight, found: Room, *, by: str, because: str, context: Context, now: Instant
) -> On | Refusal:
    """The case on somebody's caseload; a refusal with the figures where it does not fit and the rules do not let it pass.

    `because`: the reason that was given for going beyond the cap; it is recorded only where that is so."""
    over = found.over(weight.tenths)
    if over and found.rules is not None and found.rules.cap is Cap.HARD:
        if not because:
            remedy = "choose somebody with more room, or a supervisor gives a reason (over_cap_because)"
            return Refusal("over_cap", f"staff: {_figures(weight, found)}; {remedy}")
        if refused(by, context, now, Role.SUPERVISOR) is not None:
            return Refusal("over_cap", f"over_cap_because: {_figures(weight, found)}; only a supervisor goes beyond a hard cap")
    fact = CaseTaken(
        episode=episode,
        weight_tenths=weight.tenths,
        over_cap_because=(because or OVER_SOFT_CAP) if over else "",
        grounds=weight.grounds,
        load_tenths=found.load_tenths,
        cap_tenths=found.cap_tenths,
        policy=found.policy,
    )
    return On(caseload_of(staff), fact)


def released(staff: StreamId | None, episode: StreamId, reason: str, context: Context) -> tuple[On, ...]:
    """The case off somebody's caseload, where it is on it."""
    if staff is None or episode not in load_in(context, staff).cases:
        return ()
    return (On(caseload_of(staff), CaseReleased(episode=episode, reason=reason)),)


def _figures(weight: Weight, found: Room) -> str:
    carried, most = points(found.load_tenths), points(found.cap_tenths)
    return f"they carry {carried} of {most} points, and this member weighs {points(weight.tenths)}"
