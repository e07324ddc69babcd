"""What the plan authorised, for how long, and what was asked of it (domain.md 2.2, 2.5). A lapse never deletes an episode.

Days are the plan's local days, first and last both included. What is payable follows from what the plan said; nothing here decides
whether the member is cared for.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from domain.calendar import local_date
from domain.caseload.decider import policy_in_force
from domain.core import Command, Context, Decision, EventId, Fact, Instant, Refusal, StreamId
from domain.episode.care_plans import CarePlanWritten, care_plan
from domain.episode.enrolment import in_the_way
from domain.episode.facts import MEMBER_SAID_NO, ClosureReason, EpisodeClosed, HoldCode, MemberEnrolled
from domain.episode.holds import HoldCommand, Resume, code_of, why_held
from domain.episode.state import Episode
from domain.follow_up_policy import Authorisation
from domain.member.circumstances import Circumstance, Circumstances
from domain.member.decider import Member
from domain.policy import PolicyBook
from domain.staff.decider import OFFICE_ZONE
from domain.timeline import Entry, Timeline, until

# --- facts ---------------------------------------------------------------------------------------------------------------------


class AuthorisationBasis(StrEnum):
    """Why a span is authorised: the first year, six months again, thirty days while the plan decides, ECM received with another
    plan within the last 90 days, the day of a release."""

    INITIAL = "initial"
    RENEWAL = "renewal"
    STREAMLINED = "streamlined"
    CONTINUITY = "continuity"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationGranted(Fact):
    """The plan pays for the days from the first to the last, both included. `authorisation` is our own id of it."""

    authorisation: str
    basis: AuthorisationBasis
    first_day: date
    last_day: date
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationRequested(Fact):
    """We asked the plan. `following` is the authorisation that runs out, if one does."""

    request: str
    basis: AuthorisationBasis
    following: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationDenied(Fact):
    """The plan said no and told us on `communicated_on`; until the end of that day it pays (G p109)."""

    request: str
    communicated_on: date
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscontinuationConsidered(Fact):
    """The member was looked at against the criteria of discontinuation, not of eligibility (G p116). `outcome`: continue,
    step_down, graduate."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CareCarriedOver(Fact):
    """Authorisation, agreement and care plan came along from an episode with another plan (domain.md scenario 64). `evidence`:
    old_plan, claims, member, old_provider, other."""

    previous: StreamId
    evidence: str
    last_service_on: date


AuthorisationFact = (
    AuthorisationGranted | AuthorisationRequested | AuthorisationDenied | DiscontinuationConsidered | CareCarriedOver
)


# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAuthorisation(Command):
    """The plan's word. Left out: `last_day` follows from the plan's policy, `first_day` from the basis, `authorisation` from both.
    The same `authorisation` once more puts right what was recorded of it."""

    basis: AuthorisationBasis
    first_day: date | None = None
    last_day: date | None = None
    authorisation: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAuthorisation(Command):
    """`following`: the authorisation that runs out (empty: the one that runs)."""

    basis: AuthorisationBasis
    request: str = ""
    following: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyAuthorisation(Command):
    """`request`: empty for the only one that waits."""

    communicated_on: date
    request: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsiderDiscontinuation(Command):
    """`outcome`: continue, step_down, graduate."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryOver(Command):
    """The member comes from an episode with another plan. `last_service_on`: left out, the day on which that one was closed."""

    previous: StreamId
    evidence: str
    last_service_on: date | None = None


AuthorisationCommand = GrantAuthorisation | RequestAuthorisation | DenyAuthorisation | ConsiderDiscontinuation | CarryOver

OUTCOMES = ("continue", "step_down", "graduate")
EVIDENCE = ("old_plan", "claims", "member", "old_provider", "other")
"""How it may be known that another plan paid for care (domain.md 2.5, G p111)."""

CARRIED_OVER = "carried_over"
AUTHORISED_DAYS_MAX = 1_830
"""About five years: a longer span is a slip of the pen."""

ONE_DAY = timedelta(days=1)

# --- days and months -----------------------------------------------------------------------------------------------------------


def last_day_after_months(first_day: date, months: int) -> date:
    """The last day of so many months: the day before the same day of the month in which they end, or the end of that month where it
    has no such day. Twelve months from 1 March end on the last of February, also in a leap year."""
    assert months > 0, months
    years, month = divmod(first_day.month - 1 + months, 12)
    year, month = first_day.year + years, month + 1
    days = monthrange(year, month)[1]
    if first_day.day > days:
        return date(year, month, days)
    return date(year, month, first_day.day) - ONE_DAY


def last_day_of(basis: AuthorisationBasis, first_day: date, rules: Authorisation) -> date:
    """How long the plan authorises on a basis: days where it has not decided yet, six months again, else as at the beginning."""
    match basis:
        case AuthorisationBasis.STREAMLINED:
            return first_day + timedelta(days=rules.streamlined_days - 1)
        case AuthorisationBasis.RENEWAL:
            return last_day_after_months(first_day, rules.renewal_months)
        case AuthorisationBasis.INITIAL | AuthorisationBasis.CONTINUITY | AuthorisationBasis.RELEASE:
            return last_day_after_months(first_day, rules.first_months)
        case _:
            assert_never(basis)


# --- what is known -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthorisedDays:
    """The plan pays from the first to the last day. `granted_by` and `cut_short_by` are the facts that say so: a denial ends the
    streamlined days at the end of the day on which it was communicated (G p109)."""

    authorisation: str
    basis: AuthorisationBasis
    first_day: date
    last_day: date
    number: str
    granted_by: EventId
    cut_short_by: EventId = ""

    def cover(self, day: date) -> bool:
        return self.first_day <= day <= self.last_day


def authorised(said: Timeline) -> tuple[AuthorisedDays, ...]:
    """All that is authorised, earliest first. Of one authorisation the last word counts."""
    spans = []
    for entry in _last_words(said, AuthorisationGranted, "authorisation").values():
        f = entry.fact
        days = AuthorisedDays(f.authorisation, f.basis, f.first_day, f.last_day, f.number, entry.event_id)
        denial = _denial_of(days, said)
        if denial is not None and denial.fact.communicated_on < days.last_day:
            days = replace(days, last_day=denial.fact.communicated_on, cut_short_by=denial.event_id)
        if days.first_day <= days.last_day:
            spans.append(days)
    return tuple(sorted(spans, key=lambda s: (s.first_day, s.last_day, s.authorisation)))


def _denial_of(days: AuthorisedDays, said: Timeline) -> Entry | None:
    """The denial that ends days which were authorised only until the plan decides: of the request that followed them, or of one
    that names none and was denied while they ran."""
    if days.basis is not AuthorisationBasis.STREAMLINED:
        return None
    requests = {e.fact.request: e.fact for e in said if isinstance(e.fact, AuthorisationRequested)}
    found = []
    for request, denial in _last_words(said, AuthorisationDenied, "request").items():
        asked = requests.get(request)
        names_none = asked is not None and not asked.following and asked.basis is not AuthorisationBasis.RENEWAL
        meanwhile = days.first_day <= denial.fact.communicated_on <= days.last_day
        if (asked is not None and asked.following == days.authorisation) or (names_none and meanwhile):
            found.append(denial)
    return min(found, key=lambda e: (e.fact.communicated_on, e.event_id), default=None)


def _last_words(said: Timeline, kind: type[Fact], name: str) -> dict[str, Entry]:
    """For each id what was said of it last, in the order of the world."""
    return {getattr(entry.fact, name): entry for entry in said if isinstance(entry.fact, kind)}


def covers(said: Timeline, day: date) -> AuthorisedDays | None:
    """What authorises a day; the one that lasts longest where several do."""
    return max((s for s in authorised(said) if s.cover(day)), key=lambda s: (s.last_day, s.authorisation), default=None)


def gaps(said: Timeline, first_day: date, last_day: date) -> tuple[tuple[date, date], ...]:
    """The unauthorised days from one day to another, as first and last day of each gap."""
    found, since = [], first_day
    for span in authorised(said):
        if span.first_day > last_day:
            break
        if span.first_day > since:
            found.append((since, span.first_day - ONE_DAY))
        since = max(since, span.last_day + ONE_DAY)
    if since <= last_day:
        found.append((since, last_day))
    return tuple(found)


def runs_out_on(said: Timeline, day: date) -> date | None:
    """The last day of the unbroken run of authorised days that covers a day, or of the last run before it; None where there is
    none."""
    run: tuple[date, date] | None = None
    for span in authorised(said):
        if run is not None and span.first_day <= run[1] + ONE_DAY:
            run = (run[0], max(run[1], span.last_day))
        elif span.first_day <= day or run is None:
            run = (span.first_day, span.last_day)
        else:
            break
    return run[1] if run is not None and run[0] <= day else None


def denials(said: Timeline) -> tuple[Entry, ...]:
    return tuple(_last_words(said, AuthorisationDenied, "request").values())


def standing_denials(said: Timeline) -> tuple[Entry, ...]:
    """The denials after which nothing was granted."""
    granted = [e for e in said if isinstance(e.fact, AuthorisationGranted)]
    return tuple(denial for denial in denials(said) if not any(g.at >= denial.at for g in granted))


def open_requests(said: Timeline) -> tuple[Entry, ...]:
    """What was asked and neither denied nor granted on the same basis since."""
    denied = {e.fact.request for e in denials(said)}
    granted = [e for e in said if isinstance(e.fact, AuthorisationGranted)]
    return tuple(
        e
        for e in said
        if isinstance(e.fact, AuthorisationRequested)
        and e.fact.request not in denied
        and not any(g.fact.basis is e.fact.basis and g.at >= e.at for g in granted)
    )


def released_on(state: Episode, life: Circumstances, at: Instant, zone: str) -> date | None:
    """The day of the last release from incarceration by an instant: a hold for it that ended, or what was noted of the member."""
    ends = (s.until for s in state.holds() if code_of(s, state) is HoldCode.INCARCERATED)
    held = (ended_at for ended_at in ends if ended_at is not None and ended_at <= at)
    noted = (s.since for c in RELEASES for s in life.spells(c) if s.since <= at)
    days = [local_date(instant, zone) for instant in (*held, *noted)]
    return max(days, default=None)


RELEASES = (Circumstance.RELEASED_FROM_INCARCERATION, Circumstance.RELEASED_FROM_YOUTH_FACILITY)


def plan_begins_on(state: Episode, zone: str) -> date:
    """The first day for which the plan may authorise: its own effective day, else the day on which its word came."""
    assert state.assignment is not None
    return state.assignment.effective_on or local_date(state.assignment.received_at, zone)


# --- decide --------------------------------------------------------------------------------------------------------------------


def decide(
    command: AuthorisationCommand, state: Episode, context: Context, book: PolicyBook, at: Instant, now: Instant
) -> Decision:
    match command:
        case GrantAuthorisation():
            return _grant(command, state, context, book, at)
        case RequestAuthorisation():
            return _request(command, state, book, at)
        case DenyAuthorisation():
            return _deny(command, state, book, now)
        case ConsiderDiscontinuation(outcome=outcome, reason=reason):
            return _consider(outcome, reason, state, office_zone(book, state, at), at)
        case CarryOver():
            return _carry_over(command, state, context, book, now)
        case _:
            assert_never(command)


def rules_of(book: PolicyBook, plan: str, at: Instant) -> Authorisation | None:
    """The plan's rules of authorisation at an instant; None where it has none, or was never adopted."""
    policy = policy_in_force(book, plan, at)
    return policy.follow_up.authorisation if policy is not None and policy.follow_up is not None else None


def office_zone(book: PolicyBook, state: Episode, at: Instant) -> str:
    """The plan's own zone: authorised days are its days, wherever the member lives."""
    policy = policy_in_force(book, state.plan, at)
    return policy.timezone if policy is not None else OFFICE_ZONE


def granted(
    command: GrantAuthorisation, state: Episode, context: Context, book: PolicyBook, at: Instant
) -> AuthorisationGranted | Refusal:
    """The grant with what follows from its basis and from the plan's policy filled in."""
    first_day = command.first_day or _first_day(command.basis, state, context, book, at)
    if isinstance(first_day, Refusal):
        return first_day
    rules = rules_of(book, state.plan, at)
    if command.last_day is None and rules is None:
        return Refusal("last_day_missing", "last_day: the plan's policy says nothing of authorisations; name the last day")
    last_day = command.last_day or (last_day_of(command.basis, first_day, rules) if rules else first_day)
    if not first_day <= last_day <= first_day + timedelta(days=AUTHORISED_DAYS_MAX):
        return Refusal("last_day_wrong", f"last_day: on or after first_day, and at most {AUTHORISED_DAYS_MAX} days later")
    return AuthorisationGranted(
        authorisation=command.authorisation or f"{command.basis}-{first_day}",
        basis=command.basis,
        first_day=first_day,
        last_day=last_day,
        number=command.number,
    )


def _first_day(basis: AuthorisationBasis, state: Episode, context: Context, book: PolicyBook, at: Instant) -> date | Refusal:
    zone = office_zone(book, state, at)
    match basis:
        case AuthorisationBasis.RENEWAL:
            last_day = runs_out_on(state.said, local_date(at, zone))
            return last_day + ONE_DAY if last_day else Refusal("first_day_missing", "first_day: nothing runs out; name it")
        case AuthorisationBasis.RELEASE:
            released = released_on(state, _life(state, context), at, zone)
            if released is None:
                return Refusal("first_day_missing", "first_day: no release is known; note it of the member, or name the first day")
            return max(released, plan_begins_on(state, zone))
        case _:
            return plan_begins_on(state, zone)


def _grant(command: GrantAuthorisation, state: Episode, context: Context, book: PolicyBook, at: Instant) -> Decision:
    fact = granted(command, state, context, book, at)
    if isinstance(fact, Refusal):
        return fact
    known = _last_words(state.said, AuthorisationGranted, "authorisation").get(fact.authorisation)
    return () if known is not None and known.fact == fact else (fact,)


def _request(command: RequestAuthorisation, state: Episode, book: PolicyBook, at: Instant) -> Decision:
    zone = office_zone(book, state, at)
    today = local_date(at, zone)
    running = covers(state.said, today)
    following = command.following or (running.authorisation if running else "")
    if command.following and command.following not in {s.authorisation for s in authorised(state.said)}:
        return Refusal("unknown_authorisation", "following: is no authorisation of this episode; see `throughline timeline`")
    request = command.request or f"{command.basis}-{today}"
    if any(isinstance(e.fact, AuthorisationRequested) and e.fact.request == request for e in state.said):
        return ()
    if command.basis is AuthorisationBasis.RENEWAL and (refusal := _not_reassessed(following, state, zone, at)):
        return refusal
    return (AuthorisationRequested(request=request, basis=command.basis, following=following),)


def _not_reassessed(following: str, state: Episode, zone: str, at: Instant) -> Refusal | None:
    """A renewal is asked for after a look at the criteria of discontinuation since the running days began (G p116, scenario 70)."""
    since = next((s.first_day for s in authorised(state.said) if s.authorisation == following), date.min)
    seen = [e for e in until(state.said, at) if isinstance(e.fact, DiscontinuationConsidered) and local_date(e.at, zone) >= since]
    if not seen:
        return Refusal("not_reassessed", "basis: look at the criteria of discontinuation first, and record what came of it")
    if seen[-1].fact.outcome != OUTCOMES[0]:
        return Refusal("not_to_be_continued", f"basis: the last look at the criteria said {seen[-1].fact.outcome}; look again")
    return None


def _deny(command: DenyAuthorisation, state: Episode, book: PolicyBook, now: Instant) -> Decision:
    if command.communicated_on > local_date(now, office_zone(book, state, now)):
        return Refusal("communicated_in_the_future", "communicated_on: lies ahead; name the day on which the plan told us")
    waiting = open_requests(state.said)
    if not command.request and len(waiting) != 1:
        return Refusal("request_missing", f"request: {len(waiting)} wait for the plan's word; name the one that was denied")
    request = command.request or waiting[0].fact.request
    if not any(isinstance(e.fact, AuthorisationRequested) and e.fact.request == request for e in state.said):
        return Refusal("unknown_request", "request: was never made for this episode; see `throughline timeline`")
    denied = AuthorisationDenied(request=request, communicated_on=command.communicated_on, reason=command.reason)
    known = _last_words(state.said, AuthorisationDenied, "request").get(request)
    return () if known is not None and known.fact == denied else (denied,)


def _consider(outcome: str, reason: str, state: Episode, zone: str, at: Instant) -> Decision:
    if outcome not in OUTCOMES:
        return Refusal("outcome_unknown", f"outcome: must be one of {', '.join(OUTCOMES)}")
    if state.enrolled() is None:
        return Refusal("not_enrolled", "stream: the member is not enrolled; the criteria are for members who are")
    considered = DiscontinuationConsidered(outcome=outcome, reason=reason)
    known = any(e.fact == considered and local_date(e.at, zone) == local_date(at, zone) for e in state.said)
    return () if known else (considered,)


def _carry_over(command: CarryOver, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    """Authorisation, agreement and care plan of the old episode, where care was received lately (G p111, scenario 64)."""
    if any(isinstance(e.fact, CareCarriedOver) and e.fact.previous == command.previous for e in state.said):
        return ()
    if command.evidence not in EVIDENCE:
        return Refusal("evidence_unknown", f"evidence: must be one of {', '.join(EVIDENCE)}")
    old = context[command.previous].state if command.previous in context else Episode()
    if not isinstance(old, Episode) or old.assignment is None or old.member != state.member or old.plan == state.plan:
        return Refusal("no_other_plan", "previous: is no episode of this member with another plan; see `throughline member`")
    if old.enrolled() is None:
        return Refusal("no_care_before", "previous: the member was never enrolled there; ask for their agreement now")
    if _ended_because(old) in MEMBER_SAID_NO:
        return Refusal("said_no_before", "previous: the member said no there; ask for their agreement now")
    if state.enrolled() is not None:
        return Refusal("enrolled_before", "stream: the member is enrolled here already; there is nothing to carry over")
    if refusal := in_the_way(state, context, now):
        return refusal
    rules = rules_of(book, state.plan, now)
    if rules is None:
        return Refusal("nothing_to_go_by", "stream: the plan's policy says nothing of authorisations; enrol the member instead")
    zone = office_zone(book, state, now)
    first_day, last_service_on = plan_begins_on(state, zone), command.last_service_on or _ended_on(old, zone)
    if last_service_on is None:
        return Refusal("last_service_missing", "last_service_on: that episode is still open; name the day of the last service")
    if last_service_on > local_date(now, zone):
        return Refusal("last_service_in_the_future", "last_service_on: lies ahead; name the day of the last service")
    days = rules.carried_over_within_days
    if (first_day - last_service_on).days > days:
        return Refusal("too_long_ago", f"last_service_on: lies more than {days} days before the plan took over; enrol instead")
    over = CareCarriedOver(previous=command.previous, evidence=command.evidence, last_service_on=last_service_on)
    basis = AuthorisationBasis.CONTINUITY
    authorisation = AuthorisationGranted(
        authorisation=f"{basis}-{first_day}", basis=basis, first_day=first_day, last_day=last_day_of(basis, first_day, rules)
    )
    enrolled = MemberEnrolled(agreed=CARRIED_OVER, to_whom=command.by)
    return (over, authorisation, enrolled, *_care_plan(command.previous, old, state))


def care_to_carry_over(state: Episode, old: Episode, rules: Authorisation | None, zone: str) -> bool:
    """Whether an episode follows one of the member's with another plan in which they were cared for lately, as the log knows."""
    ended_on = _ended_on(old, zone)
    if rules is None or ended_on is None or state.enrolled() is not None or old.enrolled() is None:
        return False
    if _ended_because(old) not in LEFT_WITH_NEEDS:
        return False
    lately = (plan_begins_on(state, zone) - ended_on).days <= rules.carried_over_within_days
    return lately and old.member == state.member and old.plan != state.plan


def of_release(
    command: HoldCommand, state: Episode, context: Context, book: PolicyBook, at: Instant
) -> tuple[AuthorisationGranted, ...]:
    """Who is released is authorised from the day of the release, or from the first day with the plan where that is later (G p106,
    scenario 69): written with the end of a hold for incarceration, unless that day is authorised already."""
    if not isinstance(command, Resume) or why_held(state, at) is not HoldCode.INCARCERATED:
        return ()
    zone = office_zone(book, state, at)
    first_day, rules = max(local_date(at, zone), plan_begins_on(state, zone)), rules_of(book, state.plan, at)
    if rules is None or covers(state.said, first_day) is not None:
        return ()
    basis = AuthorisationBasis.RELEASE
    last_day = last_day_of(basis, first_day, rules)
    return (AuthorisationGranted(authorisation=f"{basis}-{first_day}", basis=basis, first_day=first_day, last_day=last_day),)


LEFT_WITH_NEEDS = (
    ClosureReason.CHANGED_PLAN,
    ClosureReason.ASSIGNMENT_WITHDRAWN,
    ClosureReason.MOVED_COUNTY,
    ClosureReason.LOST_MEDI_CAL,
)
"""Reasons for which care ended without anybody's finding that it was not needed any more."""


def _ended(old: Episode) -> Entry | None:
    return next((e for e in reversed(old.said) if isinstance(e.fact, EpisodeClosed)), None)


def _ended_on(old: Episode, zone: str) -> date | None:
    closed = _ended(old)
    return local_date(closed.at, zone) if closed is not None else None


def _ended_because(old: Episode) -> ClosureReason | None:
    closed = _ended(old)
    return closed.fact.reason if closed is not None else None


def _care_plan(previous: StreamId, old: Episode, new: Episode) -> tuple[CarePlanWritten, ...]:
    """The old plan as it was left, as the first version here, where none was written here already."""
    left = care_plan(old.said)
    return () if left is None or care_plan(new.said) is not None else (left.going_on(previous),)


def _life(state: Episode, context: Context) -> Circumstances:
    loaded = context.get(state.member)
    return loaded.state.life if loaded is not None and isinstance(loaded.state, Member) else Circumstances()
