"""The other promises of the year: assessment, care plan, authorisation, change of provider (domain.md 2.2, 2.6, 4).

A clock closes by content only: a completed assessment, a written plan, a request that was sent. What the plan authorised runs out
on its day whatever else rests; a lapse is shown and never ends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import zip_longest

from domain.calendar import business_days_before, end_of_day, local_date, start_of_day
from domain.clocks import Clock
from domain.core import EventId, Instant, Window, earlier
from domain.episode.assessments import AssessmentBegun, AssessmentCompleted
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationGranted,
    AuthorisationRequested,
    AuthorisedDays,
    DiscontinuationConsidered,
)
from domain.episode.authorisations import authorised as authorised_days
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten
from domain.episode.enrolment import provider_changes
from domain.follow_up_policy import FollowUp
from domain.followup.cadence import Anchor, Chain, by_version, calendar_days, chain, clock_of
from domain.followup.sight import Sight, Version, kept_version
from domain.stops import Stop, earliest
from domain.timeline import Entry

CHAIN_MAX = 4
VERSIONS_MAX = 3
SPANS_MAX = 4
"""So many reassessments, versions of the care plan and authorised spans, the newest, are in sight."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A clock of one due: what it is called, from when it counts, and what meets it."""

    name: str
    rule: str
    start: Entry
    met: Entry | None
    closes_after_days: Callable[[FollowUp], int]
    days: Callable[[FollowUp], int | None]
    stop: Stop | None = None
    how: str = ""
    rests: bool = True


def clocks(sight: Sight) -> Iterator[Clock]:
    """Everything but the contacts. What comes again and again is given by `chains`."""
    for promise in (*_assessment(sight), *_care_plan(sight), *_provider_changes(sight)):
        yield from _clock(sight, promise)
    yield from _authorisations(sight)


@dataclass(frozen=True, slots=True)
class Recurring:
    """What comes again and again, counted from the last time."""

    name: str
    rule: str
    chain: Chain
    closes_after_days: Callable[[FollowUp], int]
    how: str


def chains(sight: Sight) -> tuple[Recurring, ...]:
    """Reassessments and reviews of the care plan, each counted from the last one, by tier."""
    completed = [e for e in sight.told if isinstance(e.fact, AssessmentCompleted)]
    worked_on = [e for e in sight.told if isinstance(e.fact, CarePlanWritten | CarePlanReviewed)]
    again = _chain(sight, "assessments from", completed, lambda rules: rules.assessment.again_days if rules.assessment else {})
    review = _chain(sight, "care plans from", worked_on, lambda rules: rules.care_plan.review_days if rules.care_plan else {})
    return (
        Recurring("assessment_again", "followup.assessment.again", again, _assessment_closes, "complete another assessment"),
        Recurring("care_plan_review", "followup.care_plan.review", review, _care_plan_closes, "review or renew the care plan"),
    )


def chain_clocks(sight: Sight, found: Iterable[Recurring]) -> Iterator[Clock]:
    days = calendar_days(sight)
    for again in found:
        for link in again.chain.links:
            rules = sight.version_at(link.opens).rules or sight.rules
            assert rules is not None
            closes, how = again.closes_after_days(rules), f"{again.how}; {link.why}"
            yield clock_of(sight, again.name, again.rule, link, closes, how, days=days, with_member=False)


def _chain(sight: Sight, name: str, entries: list[Entry], table: Callable[[FollowUp], dict[str, int]]) -> Chain:
    anchors = [Anchor(e.at, e.event_id, max(e.recorded_at, sight.started.recorded_at)) for e in entries]
    pace = by_version(sight, table, sight.started.at)
    until = sight.stop.at if sight.stop is not None else None
    return chain(anchors, pace, calendar_days(sight), sight.alarm, until, name=name, links_max=CHAIN_MAX, silent_max=0)


# --- assessment ----------------------------------------------------------------------------------------------------------------


def _assessment_closes(rules: FollowUp) -> int:
    return rules.assessment.closes_after_days if rules.assessment else 0


def _assessment(sight: Sight) -> Iterator[Promise]:
    """Begun and completed within so many days of the enrolment; only a completed one closes (domain.md scenario 38)."""
    begun = _first(sight, AssessmentBegun, AssessmentCompleted)
    yield Promise(
        "assessment_begin",
        "followup.assessment.begin",
        sight.started,
        begun,
        _assessment_closes,
        lambda rules: rules.assessment.begin_days if rules.assessment else None,
        how="begin the assessment",
    )
    yield Promise(
        "assessment_complete",
        "followup.assessment.complete",
        sight.started,
        _first(sight, AssessmentCompleted),
        _assessment_closes,
        lambda rules: rules.assessment.complete_days if rules.assessment else None,
        how="complete the assessment, the required questions included",
    )


def _first(sight: Sight, *kinds: type) -> Entry | None:
    return next((e for e in sight.told if isinstance(e.fact, kinds)), None)


# --- care plan -----------------------------------------------------------------------------------------------------------------


def _care_plan_closes(rules: FollowUp) -> int:
    return rules.care_plan.closes_after_days if rules.care_plan else 0


def _asked(days: Callable[[FollowUp], int]) -> Callable[[FollowUp], int | None]:
    """Days of which 0 means that it is not asked for."""
    return lambda rules: (days(rules) or None) if rules.care_plan else None


def _care_plan(sight: Sight) -> Iterator[Promise]:
    """The first plan after the assessment; of each version the copy for the member and the clinical review, until another version
    takes its place (domain.md scenario 43)."""
    assessed = _first(sight, AssessmentCompleted)
    if assessed is not None:
        yield Promise(
            "care_plan_first",
            "followup.care_plan.first",
            assessed,
            _first(sight, CarePlanWritten),
            _care_plan_closes,
            _asked(lambda rules: rules.care_plan.written_within_days if rules.care_plan else 0),
            how="write the care plan",
        )
    written = [e for e in sight.told if isinstance(e.fact, CarePlanWritten)]
    for version, after in list(zip_longest(written, written[1:]))[-VERSIONS_MAX:]:
        number = version.fact.version
        superseded = Stop(after.at, after.event_id, "superseded") if after is not None else None
        given = next((e for e in sight.told if _is_members_copy(e.fact, number)), None)
        reviewed = next((e for e in sight.told if isinstance(e.fact, CarePlanReviewed) and e.fact.version == number), None)
        yield Promise(
            "care_plan_copy",
            "followup.care_plan.copy",
            version,
            given,
            _care_plan_closes,
            _asked(lambda rules: rules.care_plan.copy_within_days if rules.care_plan else 0),
            superseded,
            f"give the member a copy of version {number}",
        )
        yield Promise(
            "care_plan_clinical_review",
            "followup.care_plan.clinical_review",
            version,
            reviewed,
            _care_plan_closes,
            _asked(lambda rules: rules.care_plan.clinical_review_within_days if rules.care_plan else 0),
            superseded,
            f"have version {number} reviewed by somebody with a licence",
        )


def _is_members_copy(fact: object, version: int) -> bool:
    return isinstance(fact, CarePlanCopyGiven) and fact.version == version and fact.is_members_own


# --- change of provider --------------------------------------------------------------------------------------------------------


def _provider_changes(sight: Sight) -> Iterator[Promise]:
    """The member wants another ECM provider: settled within so many days, and services go on meanwhile (G p113)."""
    for requested, settled in provider_changes(sight.told)[-SPANS_MAX:]:
        yield Promise(
            "provider_change",
            "followup.provider_change",
            requested,
            settled,
            lambda rules: rules.provider_change_days,
            lambda rules: rules.provider_change_days,
            how="settle the change of provider; services go on",
            rests=False,
        )


# --- one promise ---------------------------------------------------------------------------------------------------------------


def _clock(sight: Sight, promise: Promise) -> Iterator[Clock]:
    start_at = max(promise.start.at, sight.started.at)
    if sight.over(start_at) or (promise.stop is not None and promise.stop.at <= start_at):
        return
    days = calendar_days(sight)

    def due_of(version: Version) -> Instant | None:
        count = promise.days(version.rules) if version.rules is not None else None
        if count is None:
            return None
        return days.due(start_at, count) if promise.rests else _unmoved(sight, start_at, count)

    kept = kept_version(sight, start_at, promise.met.at if promise.met else None, due_of)
    if kept is None:
        return
    version, due = kept
    assert version.rules is not None
    rests = days.resting_since(start_at) if promise.rests else None
    stop = earliest(sight.stop, promise.stop)
    closing_day = local_date(due, sight.office) + timedelta(days=promise.closes_after_days(version.rules) - 1)
    yield Clock(
        key=f"{promise.name}/{promise.start.event_id}",
        rule=promise.rule,
        window=Window(start_at, due, max(due, end_of_day(closing_day, sight.office))),
        policy=version.policy.id,
        cause=tuple(dict.fromkeys((promise.start.event_id, sight.started.event_id))),
        known_at=max(promise.start.recorded_at, sight.started.recorded_at),
        subject=sight.episode.member,
        met_at=promise.met.at if promise.met else None,
        met_by=promise.met.event_id if promise.met else None,
        stopped_at=stop.at if stop else None,
        stopped_by=stop.by if stop else None,
        stop_reason=stop.reason if stop else "",
        suspended_since=rests if rests is not None and rests < due else None,
        how=promise.how,
    )


def _unmoved(sight: Sight, since: Instant, days: int) -> Instant:
    return end_of_day(local_date(since, sight.office) + timedelta(days=days), sight.office)


# --- authorisation -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorised:
    """A span that the plan authorised, as it was last said of it. `granted`: when it first was."""

    granted: Entry
    said: Entry

    @property
    def fact(self) -> AuthorisationGranted:
        fact = self.said.fact
        assert isinstance(fact, AuthorisationGranted)
        return fact


def authorised(sight: Sight) -> tuple[Authorised, ...]:
    """The spans, earliest last day first."""
    found: dict[str, Authorised] = {}
    for entry in sight.told:
        if isinstance(entry.fact, AuthorisationGranted):
            known = found.get(entry.fact.authorisation)
            found[entry.fact.authorisation] = Authorised(known.granted if known else entry, entry)
    return tuple(sorted(found.values(), key=lambda span: (span.fact.last_day, span.fact.authorisation)))


def lapsed(sight: Sight) -> AuthorisedDays | None:
    """What ran out last, where no day is authorised now; streamlined days do with a communicated denial. The alarm keeps what
    turns it."""
    spans = authorised_days(sight.told)
    begin = (start_of_day(span.first_day, sight.office) for span in spans)
    end = (end_of_day(span.last_day, sight.office) for span in spans)
    today = local_date(sight.alarm.turning_at((*begin, *end)), sight.office)
    if any(span.cover(today) for span in spans):
        return None
    past = (span for span in spans if span.last_day < today)
    return max(past, key=lambda span: (span.last_day, span.authorisation), default=None)


def _authorisations(sight: Sight) -> Iterator[Clock]:
    """Before the end of a span the renewal is asked for, and the member looked at against the criteria of discontinuation; of a
    streamlined one the request is sent so many business days before its end (G p103, p105, p109, p116)."""
    spans = authorised(sight)
    for span in spans[-SPANS_MAX:]:
        later_spans = [s for s in spans if s.fact.last_day > span.fact.last_day]
        if span.fact.basis is AuthorisationBasis.STREAMLINED:
            asked = _requested(sight, span, AuthorisationBasis.INITIAL)
            yield from _before_end(sight, span, "streamlined_request", _met_first(asked, later_spans), _streamlined_due)
            continue
        asked = _requested(sight, span, AuthorisationBasis.RENEWAL)
        yield from _before_end(sight, span, "renewal_request", _met_first(asked, later_spans), _renewal_due)
        considered = (e for e in sight.told if isinstance(e.fact, DiscontinuationConsidered))
        begun = start_of_day(span.fact.first_day, sight.office)
        yield from _before_end(sight, span, "discontinuation", next((e for e in considered if e.at >= begun), None), _renewal_due)


def _requested(sight: Sight, span: Authorised, basis: AuthorisationBasis) -> Entry | None:
    """The first request that follows the span: by its id, or by its kind since the span began."""
    begun = start_of_day(span.fact.first_day, sight.office)
    for entry in sight.told:
        if isinstance(entry.fact, AuthorisationRequested):
            named = entry.fact.following == span.fact.authorisation
            if named or (not entry.fact.following and entry.fact.basis is basis and entry.at >= min(begun, span.granted.at)):
                return entry
    return None


def _met_first(asked: Entry | None, later_spans: list[Authorised]) -> Entry | None:
    """The request, or that the plan authorised more days without one."""
    found = [*((asked,) if asked is not None else ()), *(s.granted for s in later_spans)]
    return min(found, key=lambda e: e.order, default=None)


def _renewal_due(version: Version, last_day: date) -> date | None:
    rules = version.rules.authorisation if version.rules is not None else None
    return last_day - timedelta(days=rules.renewal_request_days_before) if rules is not None else None


def _streamlined_due(version: Version, last_day: date) -> date | None:
    rules = version.rules.authorisation if version.rules is not None else None
    if rules is None:
        return None
    holidays = version.policy.calendar(rules.holiday_calendar)
    return business_days_before(last_day, rules.streamlined_request_business_days_before, holidays)


def _before_end(
    sight: Sight, span: Authorised, name: str, met: Entry | None, due_day: Callable[[Version, date], date | None]
) -> Iterator[Clock]:
    last_day, zone = span.fact.last_day, sight.office
    opens = max(span.granted.at, sight.started.at)

    def due_of(version: Version) -> Instant | None:
        day = due_day(version, last_day)
        return max(end_of_day(day, zone), end_of_day(local_date(opens, zone), zone)) if day is not None else None

    kept = kept_version(sight, opens, met.at if met else None, due_of)
    if kept is None or sight.over(opens):
        return
    version, due = kept
    stopped_at = earlier(sight.stop.at if sight.stop else None)
    event: EventId = span.said.event_id
    yield Clock(
        key=f"{name}/{span.fact.authorisation}",
        rule=f"followup.authorisation.{name}",
        window=Window(opens, due, max(due, end_of_day(last_day, zone))),
        policy=version.policy.id,
        cause=(event,),
        known_at=max(span.granted.recorded_at, sight.started.recorded_at),
        subject=sight.episode.member,
        met_at=met.at if met else None,
        met_by=met.event_id if met else None,
        stopped_at=stopped_at,
        stopped_by=sight.stop.by if sight.stop else None,
        stop_reason=sight.stop.reason if sight.stop else "",
        how=f"the authorised days end on {last_day.isoformat()}",
    )


def past_keys(sight: Sight) -> frozenset[str]:
    """Keys of clocks that have left the sight: older versions of the care plan, older spans, older changes of provider."""
    written = [e for e in sight.told if isinstance(e.fact, CarePlanWritten)][:-VERSIONS_MAX]
    old = {f"{name}/{e.event_id}" for e in written for name in ("care_plan_copy", "care_plan_clinical_review")}
    spans = authorised(sight)[:-SPANS_MAX]
    names = ("renewal_request", "discontinuation", "streamlined_request")
    old |= {f"{name}/{s.fact.authorisation}" for s in spans for name in names}
    return frozenset(old | {f"provider_change/{asked.event_id}" for asked, _ in provider_changes(sight.told)[:-SPANS_MAX]})
