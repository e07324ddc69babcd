"""The judge of the year after the enrolment: the rules of domain.md 2.2, 2.6, 4 and scenarios 38 to 44, walked day by day.

It lives through a member's year with one pointer on the wall calendar: at each instant at which anything may turn it asks which
interval holds and moves the due. Nothing of the plan, of `domain.clocks`, `domain.calendar` or `domain.criteria` is known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.core import Instant
from domain.episode.enrolment import PlanTierReported, ScreeningAnswered
from domain.episode.facts import AssignmentReceived, EpisodeHeld, EpisodeResumed, MemberEnrolled, PolicyReapplied
from domain.follow_up_policy import Cadence, Condition, ConditionKind, PhaseAnchor, StepUpAfter
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    CadenceAgreementEnded,
    FollowUpContactMade,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import SpokenTo
from domain.member.circumstances import (
    CircumstanceEnded,
    CircumstanceNoted,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    VisitReported,
)
from domain.member.facts import StayDetached
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.policy import Policy
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.stay.facts import AdmissionCancelled, DischargeCancelled, MemberAdmitted, MemberDischarged, StayClass, StayDescribed
from domain.transition.facts import TransitionContactMade
from tests.given import Told
from tests.properties.histories import History
from tests.properties.judge import (
    DAY,
    LIVE,
    Gap,
    _end_of,
    _in_force,
    _lost,
    _pairs,
    _seen_from,
    _stopped,
    corrects_transition,
    day_of,
    midnight_after,
    verdict,
)

Verdicts = dict[str, str]


def midnight(day: date) -> Instant:
    return midnight_after(day - DAY)


# --- what is known of the year -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Year:
    """What happened by the end of the history, in the order of the world."""

    history: History
    said: list[Told]
    enrolled: Told
    policy: Policy
    stopped: Instant | None

    @property
    def cadence(self) -> Cadence:
        assert self.policy.follow_up is not None
        return self.policy.follow_up.cadence

    def of(self, *kinds: type) -> list[Told]:
        return [f for f in self.said if isinstance(f.fact, kinds)]

    def last(self, at: Instant, *kinds: type) -> Any:
        told = [f.fact for f in self.of(*kinds) if f.at <= at]
        return told[-1] if told else None


UNCLEAR = AdmissionCancelled | DischargeCancelled | StayDescribed | StayDetached | PolicyReapplied
"""Corrections of a hospital and of a policy: the rest is told in scenarios."""


def year(history: History) -> Verdicts:
    """Every verdict that the rules of the year give, for members whose hospital took nothing back."""
    said = sorted((f for f in history.facts if f.at <= history.until), key=lambda f: (f.at, f.id or ""))
    enrolled = next((f for f in said if isinstance(f.fact, MemberEnrolled)), None)
    if enrolled is None or any(isinstance(f.fact, UNCLEAR) for f in history.facts):
        return {}
    policy = _in_force(history, day_of(enrolled.at))
    stopped = _stopped(said, history.until, lambda at: _in_force(history, day_of(at)).outreach.coverage_return_days)
    if policy.follow_up is None or (stopped is not None and stopped <= enrolled.at):
        return {}
    seen = Year(history, said, enrolled, policy, stopped)
    return dict(contacts(seen))


# --- the tier ------------------------------------------------------------------------------------------------------------------


def tier_at(seen: Year, at: Instant) -> str:
    """A person's word; else the highest tier of which a rule of the policy in force then holds."""
    word = seen.last(at, TierOverridden, TierOverrideLifted)
    if isinstance(word, TierOverridden):
        return word.tier
    policy = _in_force(seen.history, day_of(at))
    rules = policy.follow_up.tiers if policy.follow_up is not None else None
    if rules is None:
        return NO_TIER
    hold = {rule.tier for rule in rules.rule if all(any(holds(seen, c, policy, at) for c in line) for line in rule.when)}
    return next((tier for tier in rules.order if tier in hold), rules.otherwise)


def holds(seen: Year, condition: Condition, policy: Policy, at: Instant) -> bool:
    if condition.kind is ConditionKind.PLAN_TIER:
        told = seen.last(at, PlanTierReported)
        assigned = next(f.fact for f in seen.history.facts if isinstance(f.fact, AssignmentReceived))
        return (told.tier if told is not None else assigned.plan_tier) in condition.any_of
    if condition.kind is ConditionKind.SCREENING:
        told = seen.last(at, ScreeningAnswered)
        return told is not None and told.questionnaire in condition.any_of and sum(told.scores) >= condition.at_least
    return sum(1 for since, until in _times(seen, condition, policy, at) if _within(condition, until, at)) >= condition.at_least


def _within(condition: Condition, until: Instant | None, at: Instant) -> bool:
    if until is None or until > at:
        return True
    return condition.within_days > 0 and day_of(at) - day_of(until) <= condition.within_days * DAY


def _times(seen: Year, condition: Condition, policy: Policy, at: Instant) -> Iterator[Gap]:
    """When what the condition looks at was so, as far as it had begun; of a visit only its day counts."""
    told = [f for f in seen.said if f.at <= at]
    match condition.kind:
        case ConditionKind.CIRCUMSTANCE:
            for name in condition.any_of:
                named = [f for f in told if getattr(f.fact, "circumstance", None) == name]
                yield from _pairs(named, CircumstanceNoted, CircumstanceEnded)
        case ConditionKind.DIAGNOSIS:
            starts = tuple(start for group in condition.any_of for start in policy.diagnosis_groups[group])
            codes = {f.fact.code.replace(".", "") for f in told if isinstance(f.fact, DiagnosisRecorded)}
            for code in sorted(code for code in codes if code.startswith(starts)):
                named = [f for f in told if getattr(f.fact, "code", "").replace(".", "") == code]
                yield from _pairs(named, DiagnosisRecorded, DiagnosisRuledOut)
        case ConditionKind.VISITS:
            for day in _visited(told, condition.any_of):
                yield midnight(day), midnight(day)


def _visited(told: list[Told], kinds: tuple[str, ...]) -> Iterator[date]:
    """The day of each visit; a stay and a claim of one kind and day are one visit, told twice."""
    claims = {f.fact.visit: (f.fact.kind, f.fact.on) for f in told if isinstance(f.fact, VisitReported)}
    stays = {f.stream: (f.fact.stay_class, day_of(f.at)) for f in told if isinstance(f.fact, MemberAdmitted)}
    claimed, stayed = Counter(claims.values()), Counter(stays.values())
    for kind, day in sorted({*claimed, *stayed}):
        if kind in kinds:
            yield from [day] * max(claimed[kind, day], stayed[kind, day])


# --- the interval --------------------------------------------------------------------------------------------------------------


def interval_at(seen: Year, at: Instant) -> int | None:
    """The shortest of what the phases, or the member's wish instead of them, and the step-ups ask for at an instant."""
    today, tier = day_of(at), tier_at(seen, at)
    wish = seen.last(at, CadenceAgreed, CadenceAgreementEnded)
    asked = []
    for phase in seen.cadence.phase:
        every = phase.every_days.get(tier, phase.every_days.get("any"))
        start = day_of(seen.enrolled.at)
        if phase.anchor is PhaseAnchor.FACILITY_EXIT:
            left = [f.at for f in seen.of(MemberDischarged) if f.at <= at]
            if not left:
                continue
            start = day_of(left[-1])
        k = (today - start).days
        if every is not None and (phase.from_day < k <= phase.until_day or k == phase.from_day == 0):
            asked.append(every)
    if isinstance(wish, CadenceAgreed):
        asked = [wish.every_days]
    for step_up in seen.cadence.step_up:
        for happened in _triggers(seen, step_up.after):
            if happened <= at and today - day_of(happened) <= step_up.for_days * DAY:
                asked.append(step_up.every_days)
    return min(asked, default=None)


def _triggers(seen: Year, after: StepUpAfter) -> Iterator[Instant]:
    classes = {f.stream: f.fact.stay_class for f in seen.of(MemberAdmitted)}
    for f in seen.of(MemberAdmitted, MemberDischarged):
        emergency = classes.get(f.stream) is StayClass.EMERGENCY
        match after:
            case StepUpAfter.EMERGENCY if emergency and isinstance(f.fact, MemberAdmitted):
                yield f.at
            case StepUpAfter.ADMISSION if not emergency and isinstance(f.fact, MemberAdmitted):
                yield f.at
            case StepUpAfter.DISCHARGE if not emergency and isinstance(f.fact, MemberDischarged):
                yield f.at
            case _:
                pass


# --- contacts ------------------------------------------------------------------------------------------------------------------


def talks(seen: Year) -> list[Told]:
    """Every two-way exchange with the member that counts, from the enrolment on, whoever wrote it down."""
    gone = {f.fact.record for f in seen.said if isinstance(f.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {f.fact.record for f in seen.said if isinstance(f.fact, BackdatedRecordApproved)}
    who = (SpokenTo.MEMBER, SpokenTo.CAREGIVER) if seen.cadence.caregiver_counts else (SpokenTo.MEMBER,)
    found = []
    for f in seen.of(FollowUpContactMade, TransitionContactMade, ContactMade, AttemptMade):
        if f.id in gone or (f.fact.approval_needed and f.id not in approved) or f.at < seen.enrolled.at:
            continue
        if (
            isinstance(f.fact, ContactMade)
            or (isinstance(f.fact, AttemptMade) and f.fact.outcome is Outcome.REACHED)
            or (not isinstance(f.fact, AttemptMade) and f.fact.interaction in LIVE and f.fact.spoken_to in who)
        ):
            found.append(f)
    return [f for f in found if seen.stopped is None or f.at <= seen.stopped]


INTERVALS_MAX = 200


def contacts(seen: Year) -> Iterator[tuple[str, str]]:
    """A chain from the enrolment, and from each contact: an interval, and another one as long as nobody makes contact."""
    anchors = [seen.enrolled, *talks(seen)]
    for anchor, after in zip(anchors, [*anchors[1:], None], strict=True):
        start, start_day = anchor.at, day_of(anchor.at)
        for n in range(INTERVALS_MAX):
            due, rests_since = due_after(seen, start, start_day, after)
            if due is None:
                break
            found = verdict([after.at] if after is not None else [], due, seen.stopped, rests_since, seen.history.until)
            yield f"contact/{anchor.id}/{n}", found
            if found != "missed":
                break
            start, start_day = due, day_of(due) - DAY


def due_after(seen: Year, start: Instant, start_day: date, after: Told | None) -> tuple[Instant | None, Instant | None]:
    """The due that counts from `start`, as it stood when it came or the next contact was made; and since when it rests."""
    ends = min(t for t in (seen.history.until, seen.stopped, after.at if after is not None else None) if t is not None)
    interval = interval_at(seen, start)
    due, rests_since = _counted(seen, start, start_day, interval)
    for at in _turns(seen, start, ends):
        now = interval_at(seen, at)
        if now == interval:
            continue
        if due is not None and at >= due and (rests_since is None or rests_since >= due):
            break
        if now is not None and (interval is None or now < interval):
            sooner, rests_since = _counted(seen, at, day_of(at), now)
            due = min(due or sooner, sooner)
        else:
            later, rests_since = _counted(seen, start, start_day, now)
            due = max(due, later) if due is not None and later is not None else None
        interval = now
    return due, rests_since


def _turns(seen: Year, since: Instant, until: Instant) -> Iterator[Instant]:
    """Every local midnight and every instant at which something happened."""
    days = (day_of(until) - day_of(since)).days
    instants = {midnight_after(day_of(since) + n * DAY) for n in range(days + 1)} | {f.at for f in seen.said}
    yield from sorted(t for t in instants if since < t < until)


def _counted(seen: Year, start: Instant, day: date, interval: int | None) -> tuple[Instant | None, Instant | None]:
    """The end of so many days, moved by what of them was lost since."""
    spans = [*_lost(seen.said), *_pairs(seen.said, EpisodeHeld, EpisodeResumed), *_inside(seen)]
    lost, rests_since = _seen_from(seen.stopped, [(max(s, start), u) for s, u in spans if u is None or u > start])
    if interval is None:
        return None, rests_since
    return _end_of(day, interval, seen.cadence.basis, seen.cadence.holiday_calendar, seen.policy, lost), rests_since


def _inside(seen: Year) -> Iterator[Gap]:
    """The times in a hospital, where the policy lets the cadence rest in them."""
    if seen.cadence.rests_in_hospital:
        for stay in {f.stream for f in seen.of(MemberAdmitted)}:
            own = [f for f in seen.said if f.stream == stay]
            yield from _pairs(own, MemberAdmitted, MemberDischarged)


# --- corrections ---------------------------------------------------------------------------------------------------------------


def corrects_followup(history: History, told: Told, due: Instant) -> bool:
    """Whether a fact at or after the due takes back, or settles, something from before it."""
    return corrects_transition(history, told, due)
