"""The judge of the year after the enrolment: the rules of domain.md 2.2, 2.6, 4 and scenarios 38 to 44, walked day by day.

It lives through a member's year with one pointer on the wall calendar: at each instant at which anything may turn it asks which
interval holds and moves the due. Nothing of the plan, of `domain.clocks`, `domain.calendar` or `domain.criteria` is known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from domain.core import Instant
from domain.episode.assessments import AssessmentBegun, AssessmentCompleted
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationGranted,
    AuthorisationRequested,
    DiscontinuationConsidered,
)
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten
from domain.episode.enrolment import PlanTierReported, ProviderChangeRequested, ProviderChangeSettled, ScreeningAnswered
from domain.episode.facts import AssignmentReceived, EpisodeHeld, EpisodeResumed, MemberEnrolled, PolicyReapplied
from domain.follow_up_policy import Cadence, Condition, ConditionKind, CountedFrom, PhaseAnchor, StepUpAfter
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    CadenceAgreementEnded,
    FollowUpContactMade,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import Interaction, SpokenTo
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


VISIT = VisitReported | MemberAdmitted
"""An emergency that turned into an admission counts once (G p21): who was seen as both is told in scenarios, too."""


def year(history: History) -> Verdicts:
    """Every verdict that the rules of the year give, for members whose hospital took nothing back."""
    said = sorted((f for f in history.facts if f.at <= history.until), key=lambda f: (f.at, f.id or ""))
    enrolled = next((f for f in said if isinstance(f.fact, MemberEnrolled)), None)
    if enrolled is None or any(isinstance(f.fact, UNCLEAR) for f in history.facts):
        return {}
    seen_at_all = [f.fact for f in said if isinstance(f.fact, VISIT)]
    seen_as = {str(fact.kind if isinstance(fact, VisitReported) else fact.stay_class) for fact in seen_at_all}
    if {"emergency", "inpatient"} <= seen_as:
        return {}
    policy = _in_force(history, day_of(enrolled.at))
    stopped = _stopped(said, history.until, lambda at: _in_force(history, day_of(at)).outreach.coverage_return_days)
    if policy.follow_up is None or (stopped is not None and stopped <= enrolled.at):
        return {}
    seen = Year(history, said, enrolled, policy, stopped)
    return dict([*contacts(seen), *overlays(seen), *visits(seen), *least_number(seen), *settling(seen), *authorised(seen)])


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
        exits = list(_triggers(seen, StepUpAfter.DISCHARGE))
        for start in [seen.enrolled.at] if phase.anchor is PhaseAnchor.ENROLMENT else exits:
            k = (today - day_of(start)).days
            if every is not None and start <= at and (phase.from_day < k <= phase.until_day or k == phase.from_day == 0):
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


def talks(seen: Year, *, in_person: bool = False) -> list[Told]:
    """Every two-way exchange that counts, after the enrolment, whoever wrote it down; what is written of one instant is one."""
    gone = {f.fact.record for f in seen.said if isinstance(f.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {f.fact.record for f in seen.said if isinstance(f.fact, BackdatedRecordApproved)}
    who = (SpokenTo.MEMBER, SpokenTo.CAREGIVER) if seen.cadence.caregiver_counts else (SpokenTo.MEMBER,)
    found: dict[tuple[Instant, bool], Told] = {}
    for f in seen.of(FollowUpContactMade, TransitionContactMade, ContactMade, AttemptMade):
        if f.id in gone or (f.fact.approval_needed and f.id not in approved) or f.at < seen.enrolled.at:
            continue
        if isinstance(f.fact, ContactMade | AttemptMade):
            at_hand, counts = f.fact.in_person, isinstance(f.fact, ContactMade) or f.fact.outcome is Outcome.REACHED
        else:
            at_hand = f.fact.interaction is Interaction.IN_PERSON
            counts = f.fact.interaction in LIVE and f.fact.spoken_to in who
        if counts and (at_hand or not in_person) and (seen.stopped is None or f.at <= seen.stopped):
            found.setdefault((f.at, not at_hand), f)
    of_an_instant = {at: found[at, far] for at, far in sorted(found, reverse=True)}
    return [of_an_instant[at] for at in sorted(of_an_instant)]


def contacts(seen: Year) -> Iterator[tuple[str, str]]:
    """A chain from the enrolment, and from each contact: an interval, and another one as long as nobody makes contact."""
    talked = [f for f in talks(seen) if f.at > seen.enrolled.at]
    yield from chained(seen, "contact", seen.enrolled, seen.enrolled.at, talked, seen.stopped, interval_at)


def overlays(seen: Year) -> Iterator[tuple[str, str]]:
    """A chain of its own for each time of a circumstance that asks for one."""
    for overlay in seen.cadence.overlay:
        named = [f for f in seen.said if getattr(f.fact, "circumstance", None) == overlay.circumstance]
        for since, until in _pairs(named, CircumstanceNoted, CircumstanceEnded):
            begins = max(since, seen.enrolled.at)
            ends = min((t for t in (until, seen.stopped) if t is not None), default=None)
            if ends is not None and ends <= begins:
                continue
            noted = next(f for f in named if f.at == since and isinstance(f.fact, CircumstanceNoted))
            own = [f for f in talks(seen, in_person=overlay.in_person) if f.at > begins and (until is None or f.at < until)]
            yield from chained(seen, f"overlay.{overlay.key}", noted, begins, own, ends, _always(overlay.every_days))


SILENT_INTERVALS_MAX = 13
"""Of a chain after which nobody made contact; later ones are counted no more."""

Interval = Callable[[Year, Instant], int | None]


def _always(every: int) -> Interval:
    return lambda seen, at: every


def chained(
    seen: Year,
    name: str,
    first: Told,
    begins: Instant,
    talked: list[Told],
    stopped: Instant | None,
    interval: Interval,
    *,
    care: bool = False,
    links_max: int = SILENT_INTERVALS_MAX,
) -> Iterator[tuple[str, str]]:
    """From the first anchor and from each contact: what becomes of each interval until the next contact. `care`: it is not about
    contacts, so that days are calendar days and a stay in a hospital does not matter."""
    anchors = [(first.id, begins), *((f.id, f.at) for f in talked)]
    for (id, start), (_, after) in zip(anchors, [*anchors[1:], ("", None)], strict=True):
        opens, day = _asked_from(seen, start, interval), day_of(start)
        for n in range(links_max):
            if opens is None or opens > seen.history.until or (after is not None and after < opens):
                break
            if stopped is not None and stopped <= opens:
                break
            day = turned_on(opens) if opens > start else day
            due, rests_since, lapsed = due_from(seen, opens, day, interval, after, care)
            ends = min((t for t in (stopped, lapsed) if t is not None), default=None)
            found = verdict([after] if after is not None else [], due, ends, rests_since, seen.history.until)
            yield f"{name}/{id}/{n}", found
            if found == "missed":
                start, day = due, turned_on(due)
            elif found == "withdrawn" and lapsed is not None and ends == lapsed:
                start, day = lapsed, turned_on(lapsed)
            else:
                break
            opens = _asked_from(seen, start, interval)


def turned_on(at: Instant) -> date:
    """The day on which something turned; what turns at a midnight turned at the end of the day before."""
    return day_of(at - timedelta(microseconds=1))


def _asked_from(seen: Year, start: Instant, interval: Interval) -> Instant | None:
    """The instant itself or the first one after it at which a contact is asked for."""
    turns = (start, *_turns(seen, start, seen.history.until))
    return next((t for t in turns if interval(seen, t) is not None), None)


def due_from(
    seen: Year, opens: Instant, day: date, interval: Interval, after: Instant | None, care: bool
) -> tuple[Instant, Instant | None, Instant | None]:
    """The due that counts from a day, as it stood when it came or the next contact was made; since when it rests, and from when on
    nothing is asked for any more."""
    every = interval(seen, opens)
    assert every is not None
    due, rests_since = counted(seen, opens, day, every, care)
    ends = min(t for t in (seen.history.until, after) if t is not None)
    for at in _turns(seen, opens, ends):
        now = interval(seen, at)
        if at >= due:
            break
        if now is None:
            return due, rests_since, at
        if now < every:
            due = min(due, counted(seen, at, turned_on(at), now, care)[0])
        elif now > every:
            due = max(due, counted(seen, opens, day, now, care)[0])
        every = now
    return due, rests_since, None


def counted(seen: Year, start: Instant, day: date, every: int, care: bool = False) -> tuple[Instant, Instant | None]:
    """The end of so many days, moved by what of them was lost since; and since when it rests."""
    inside = [] if care else [(max(s, start), u) for s, u in _inside(seen) if u is None or u > start]
    lost, rests_since = _seen_from(seen.stopped, [*_gaps(seen, start), *inside])
    basis, holidays = ("calendar", "none") if care else (seen.cadence.basis, seen.cadence.holiday_calendar)
    return _end_of(day, every, basis, holidays, seen.policy, lost), rests_since


def _turns(seen: Year, since: Instant, until: Instant) -> Iterator[Instant]:
    """Every local midnight and every instant at which something happened."""
    days = (day_of(until) - day_of(since)).days
    instants = {midnight_after(day_of(since) + n * DAY) for n in range(days + 1)} | {f.at for f in seen.said}
    yield from sorted(t for t in instants if since < t < until)


# --- least numbers -------------------------------------------------------------------------------------------------------------


def visits(seen: Year) -> Iterator[tuple[str, str]]:
    """So many visits in each period from the enrolment on, as many as were asked for during the whole of it."""
    came = talks(seen, in_person=True)
    inside = [(max(s, seen.enrolled.at), u) for s, u in _inside(seen) if u is None or u > seen.enrolled.at]
    lost, rests_since = _seen_from(seen.stopped, [*_gaps(seen, seen.enrolled.at), *inside])
    for per_days in {rule.per_days for rule in seen.cadence.in_person}:
        opens = seen.enrolled.at
        for number in range(1000):
            if opens > seen.history.until or (seen.stopped is not None and seen.stopped <= opens):
                break
            days = (number + 1) * per_days
            due = _end_of(day_of(seen.enrolled.at), days, "calendar", "none", seen.policy, lost)
            within = [f.at for f in came if f.at >= opens]
            asked = {t: _seen_at_allasked(seen, per_days, t) for t in (opens, *_turns(seen, opens, min(due, seen.history.until)))}
            for k in range(1, asked[opens] + 1):
                fell = next((t for t, wanted in asked.items() if wanted < k), None)
                ends = min((t for t in (seen.stopped, fell) if t is not None), default=None)
                found = verdict(within[k - 1 : k], due, ends, rests_since, seen.history.until)
                yield f"in_person/{per_days}/{number}/{k}", found
            if rests_since is not None and rests_since < due:
                break
            opens = due


def _seen_at_allasked(seen: Year, per_days: int, at: Instant) -> int:
    table = {rule.tier: rule.count for rule in seen.cadence.in_person if rule.per_days == per_days}
    return table.get(tier_at(seen, at), table.get("any", 0))


def least_number(seen: Year) -> Iterator[tuple[str, str]]:
    """So many contacts within so many days of the enrolment or of the first completed assessment."""
    rule = seen.cadence.minimum_count
    if rule is None or not rule.within_days:
        return
    start = seen.enrolled
    if rule.counted_from is CountedFrom.ASSESSMENT:
        done = seen.of(AssessmentCompleted)
        if not done:
            return
        start = done[0]
    begins = max(start.at, seen.enrolled.at)
    if seen.stopped is None or seen.stopped > begins:
        due, rests_since = counted(seen, begins, day_of(begins), rule.within_days)
        made = [f.at for f in talks(seen) if f.at >= begins]
        for k in range(1, rule.count + 1):
            yield f"minimum/{start.id}/{k}", verdict(made[k - 1 : k], due, seen.stopped, rests_since, seen.history.until)


def _gaps(seen: Year, since: Instant) -> list[Gap]:
    """The times from an instant on in which no clock could run; a stay in a hospital is none of them."""
    spans = [*_lost(seen.said), *_pairs(seen.said, EpisodeHeld, EpisodeResumed)]
    return [(max(s, since), u) for s, u in spans if u is None or u > since]


def _inside(seen: Year) -> Iterator[Gap]:
    """The times in a hospital, where the policy lets the cadence rest in them."""
    if seen.cadence.rests_in_hospital:
        for stay in {f.stream for f in seen.of(MemberAdmitted)}:
            own = [f for f in seen.said if f.stream == stay]
            if own[0].fact.stay_class is not StayClass.EMERGENCY:
                yield from _pairs(own, MemberAdmitted, MemberDischarged)


# --- assessment, care plan, authorisation --------------------------------------------------------------------------------------


def settling(seen: Year) -> Iterator[tuple[str, str]]:
    """What closes by content only: a completed assessment, a written plan, a request that was sent."""
    rules = seen.policy.follow_up
    assert rules is not None
    completed, written = seen.of(AssessmentCompleted), seen.of(CarePlanWritten)
    if rules.assessment is not None:
        begun = seen.of(AssessmentBegun, AssessmentCompleted)
        yield from promised(seen, "assessment_begin", seen.enrolled, rules.assessment.begin_days, begun)
        yield from promised(seen, "assessment_complete", seen.enrolled, rules.assessment.complete_days, completed)
        yield from again(seen, "assessment_again", completed, rules.assessment.again_days)
    if rules.care_plan is not None:
        asked = rules.care_plan
        if completed and asked.written_within_days:
            yield from promised(seen, "care_plan_first", completed[0], asked.written_within_days, written)
        for version, newer in zip(written, [*written[1:], None], strict=False):
            given = [f for f in seen.of(CarePlanCopyGiven) if f.fact.version == version.fact.version]
            copies = [f for f in given if f.fact.to in ("member", "guardian", "conservator")]
            reviews = [f for f in seen.of(CarePlanReviewed) if f.fact.version == version.fact.version]
            if asked.copy_within_days:
                yield from promised(seen, "care_plan_copy", version, asked.copy_within_days, copies, newer)
            if asked.clinical_review_within_days:
                yield from promised(seen, "care_plan_clinical_review", version, asked.clinical_review_within_days, reviews, newer)
        yield from again(seen, "care_plan_review", seen.of(CarePlanWritten, CarePlanReviewed), asked.review_days)
    for wanted in seen.of(ProviderChangeRequested):
        settled = [f for f in seen.of(ProviderChangeSettled) if f.fact.requested == wanted.id and f.at >= wanted.at]
        yield from promised(seen, "provider_change", wanted, rules.provider_change_days, settled, rests=False)


def authorised(seen: Year) -> Iterator[tuple[str, str]]:
    """Before the days run out that the plan pays for: asked for more, and looked at the member against the criteria of leaving."""
    assert seen.policy.follow_up is not None
    rules = seen.policy.follow_up.authorisation
    if rules is None:
        return
    spans = {f.fact.authorisation: f for f in seen.of(AuthorisationGranted)[::-1]}
    for name, granted in spans.items():
        span = next(f.fact for f in seen.of(AuthorisationGranted)[::-1] if f.fact.authorisation == name)
        begun, opens = midnight(span.first_day), max(granted.at, seen.enrolled.at)
        if seen.stopped is not None and seen.stopped <= opens:
            continue
        more = [other for other in spans.values() if other.fact.last_day > span.last_day]
        streamlined = span.basis is AuthorisationBasis.STREAMLINED
        asked = [f for f in seen.of(AuthorisationRequested) if f.fact.following == name]
        met = sorted(f.at for f in (*asked, *more))
        looked = [f.at for f in seen.of(DiscontinuationConsidered) if f.at >= begun]
        day = span.last_day - rules.renewal_request_days_before * DAY
        if streamlined:
            day = _working_days_before(span.last_day, rules.streamlined_request_business_days_before, seen, rules.holiday_calendar)
        due = max(midnight_after(day), midnight_after(day_of(opens)))
        word = "streamlined_request" if streamlined else "renewal_request"
        yield f"{word}/{name}", verdict(met, due, seen.stopped, None, seen.history.until)
        if not streamlined:
            yield f"discontinuation/{name}", verdict(looked, due, seen.stopped, None, seen.history.until)


def _working_days_before(day: date, count: int, seen: Year, calendar: str) -> date:
    while count:
        day -= DAY
        count -= day.weekday() < 5 and day not in seen.policy.holidays[calendar].days
    return day


def promised(
    seen: Year, name: str, start: Told, days: int, done: list[Told], newer: Told | None = None, *, rests: bool = True
) -> Iterator[tuple[str, str]]:
    """One due: so many calendar days from something, or from the enrolment where that came later. `newer` took its place."""
    begins = max(start.at, seen.enrolled.at)
    ends = min((t for t in (seen.stopped, newer.at if newer is not None else None) if t is not None), default=None)
    if ends is None or ends > begins:
        due, rests_since = counted(seen, begins, day_of(begins), days, care=True)
        if not rests:
            due, rests_since = midnight_after(day_of(begins) + days * DAY), None
        yield f"{name}/{start.id}", verdict([f.at for f in done], due, ends, rests_since, seen.history.until)


def again(seen: Year, name: str, done: list[Told], every_days: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Counted from the last time, by the tier."""

    def interval(seen: Year, at: Instant) -> int | None:
        return every_days.get(tier_at(seen, at), every_days.get("any")) if at >= seen.enrolled.at else None

    if done:
        yield from chained(seen, name, done[0], done[0].at, done[1:], seen.stopped, interval, care=True, links_max=1)


# --- corrections ---------------------------------------------------------------------------------------------------------------


def corrects_followup(history: History, told: Told, due: Instant) -> bool:
    """Whether a fact at or after the due takes back, or settles, something from before it."""
    return corrects_transition(history, told, due)
