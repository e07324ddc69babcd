"""A member's life: who they are, how they may be reached, what covers them, and what they allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import available_timezones

from domain.core import Command, Context, Decider, Decision, EventId, Instant, On, Recorded, Refusal, StreamId, personal
from domain.member import circumstances, identity, sharing, visit_words
from domain.member.circumstances import CircumstanceCommand, CircumstanceFact, Circumstances
from domain.member.facts import (
    Channel,
    ChannelOptedIn,
    ChannelOptedOut,
    Claimed,
    ConsentGiven,
    ConsentWithdrawn,
    ContactPointFoundBad,
    ContactPointFoundGood,
    ContactPointLearned,
    CoverageLost,
    CoverageRestored,
    DeathReported,
    DeathReportWithdrawn,
    EpisodeBegun,
    IdentityCorrected,
    LanguageChosen,
    ListedByPlan,
    MemberRegistered,
    MemberRelocated,
    PersonalDataErased,
    PointKind,
    Released,
    StayAttributed,
    StayDetached,
    TakenOffByPlan,
)
from domain.member.identity import CinReplaced, CinReplacementWithdrawn, Identity, IdentityCommand, IdentityFact
from domain.member.sharing import Sharing, SharingCommand, SharingFact
from domain.member.visit_words import ExplainVisit, Explanations, VisitExplained
from domain.staff.decider import actor_stream, refused
from domain.staff.facts import Role
from domain.timeline import Span, Timeline, put, spans

CONTACT_POINTS_MAX = 50
CONTACT = "contact"
"""The scope of consent that allows messages at all."""

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterMember(Command):
    """`cin_claim` is the claim stream of the CIN, named by an HMAC of it: one person per CIN."""

    cin_claim: StreamId
    language: str = "en"
    timezone: str = "America/Los_Angeles"
    sex: str = ""
    race_ethnicity: str = ""
    cin: str | None = personal()
    family_name: str | None = personal()
    given_name: str | None = personal()
    birth_date: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectIdentity(Command):
    family_name: str | None = personal()
    given_name: str | None = personal()
    birth_date: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseLanguage(Command):
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocate(Command):
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnContactPoint(Command):
    """`point` is an opaque id, the same for the same value of the same member."""

    point: str
    kind: PointKind
    learned_from: str
    takes_texts: bool = True
    value: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkContactPoint(Command):
    point: str
    good: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut(Command):
    channel: Channel
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn(Command):
    channel: Channel
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveConsent(Command):
    scope: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawConsent(Command):
    scope: str
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseCoverage(Command):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCoverage(Command):
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByPlan(Command):
    plan: str
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOffByPlan(Command):
    plan: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDeath(Command):
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawDeathReport(Command):
    report: EventId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeStay(Command):
    stay: StreamId
    episode: StreamId | None
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachStay(Command):
    stay: StreamId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasePersonalData(Command):
    reason: str


# --- state ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One way to reach the member, known `since`. `said` holds what was found out about it, in the order of the world."""

    id: str
    kind: PointKind
    learned_from: str
    takes_texts: bool
    value: str | None
    since: Instant
    said: Timeline = ()

    def bad(self, now: Instant) -> bool:
        told = [entry for entry in self.said if entry.at <= now]
        return bool(told) and isinstance(told[-1].fact, ContactPointFoundBad)


@dataclass(frozen=True, slots=True)
class Attribution:
    stay: StreamId
    episode: StreamId | None
    evidence: str
    event_id: EventId
    recorded_at: Instant


@dataclass(frozen=True, slots=True)
class Member:
    """A person. What may be said late or twice is kept as timelines and asked with an instant. `registered_by` and `born_by` name
    the facts that say race and birth date."""

    registered: bool = False
    language: str = "en"
    timezone: str = "America/Los_Angeles"
    cin: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    birth_date: str | None = None
    sex: str = ""
    race_ethnicity: str = ""
    registered_by: EventId = ""
    born_by: EventId = ""
    points: Mapping[str, ContactPoint] = field(default_factory=dict)
    allowed: Timeline = ()
    coverage: Timeline = ()
    listed: Timeline = ()
    deaths: Timeline = ()
    stays: Mapping[StreamId, Attribution] = field(default_factory=dict)
    episodes: tuple[StreamId, ...] = ()
    life: Circumstances = field(default_factory=Circumstances)
    erased: bool = False
    sharing: Sharing = field(default_factory=Sharing)
    identity: Identity = field(default_factory=Identity)
    explained: Explanations = field(default_factory=dict)

    def cins(self) -> tuple[str, ...]:
        """The CIN that counts, and the frozen ones that still mean this member."""
        known = (self.cin, *(cin for _, cin in (*self.identity.former_cins, *self.identity.older_cins)))
        return tuple(dict.fromkeys(cin for cin in known if cin))

    def opted_out(self, channel: Channel, now: Instant) -> bool:
        said = [e.fact for e in self.allowed if e.at <= now and getattr(e.fact, "channel", None) is channel]
        return bool(said) and isinstance(said[-1], ChannelOptedOut)

    def contact_refused(self, now: Instant) -> bool:
        """Whether the member withdrew consent to being contacted by messages at all."""
        said = [e.fact for e in self.allowed if e.at <= now and getattr(e.fact, "scope", None) == CONTACT]
        return bool(said) and isinstance(said[-1], ConsentWithdrawn)

    def plans(self, now: Instant) -> Mapping[str, ListedByPlan]:
        """The plans whose files name the member as theirs, with what each said last."""
        found: dict[str, ListedByPlan] = {}
        for entry in self.listed:
            if entry.at <= now and isinstance(entry.fact, ListedByPlan):
                found[entry.fact.plan] = entry.fact
            elif entry.at <= now:
                found.pop(entry.fact.plan, None)
        return found

    def death(self) -> tuple[EventId, Instant] | None:
        """The earliest report of death that still stands."""
        withdrawn = {e.fact.report for e in self.deaths if isinstance(e.fact, DeathReportWithdrawn)}
        standing = (e for e in self.deaths if isinstance(e.fact, DeathReported) and e.event_id not in withdrawn)
        return next(((e.event_id, e.at) for e in standing), None)

    def wrongly_dead(self) -> tuple[Span, ...]:
        """The intervals in which a report of death stood that was withdrawn later."""
        reports = {e.event_id: e for e in self.deaths if isinstance(e.fact, DeathReported)}
        return tuple(
            Span(reports[e.fact.report].at, e.at, "death_reported", e.fact.report, e.event_id)
            for e in self.deaths
            if isinstance(e.fact, DeathReportWithdrawn) and e.fact.report in reports and reports[e.fact.report].at <= e.at
        )

    def uncovered(self) -> tuple[Span, ...]:
        """The intervals without Medi-Cal coverage."""
        return spans(self.coverage, CoverageLost, CoverageRestored, "coverage_lost")

    def lapses(self, return_days: Callable[[Instant], int]) -> tuple[tuple[Span, Instant], ...]:
        """Each loss of coverage that has not come back in time, and when that is certain. `return_days`: how long a loss at an
        instant may last."""
        found = ((gap, gap.since + timedelta(days=return_days(gap.since))) for gap in self.uncovered())
        return tuple((gap, lapses_at) for gap, lapses_at in found if gap.until is None or gap.until > lapses_at)

    def usable_points(self, channel: Channel, now: Instant) -> tuple[ContactPoint, ...]:
        """The contact points that a channel can use: known, neither bad nor of the wrong kind; the last learned first."""
        kind = KIND_OF.get(channel)
        fits = (p for p in self.points.values() if p.kind is kind and p.since <= now and not p.bad(now))
        return tuple(p for p in fits if p.takes_texts or channel is not Channel.TEXT)[::-1]


KIND_OF = {
    Channel.CALL: PointKind.PHONE,
    Channel.TEXT: PointKind.PHONE,
    Channel.EMAIL: PointKind.EMAIL,
    Channel.LETTER: PointKind.ADDRESS,
    Channel.VISIT: PointKind.ADDRESS,
}
"""The kind of contact point that a channel needs; a meeting needs none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who holds a claim now, and who held it last. A claim stream has a fold but takes no commands of its own."""

    holder: StreamId | None = None
    last_holder: StreamId | None = None
    released_because: str = ""


# --- evolve --------------------------------------------------------------------------------------------------------------------


def evolve(state: Member, recorded: Recorded) -> Member:
    match recorded.fact:
        case MemberRegistered() as f:
            by = recorded.event_id
            known = replace(state, registered=True, language=f.language, timezone=f.timezone, sex=f.sex, registered_by=by)
            known = replace(known, race_ethnicity=f.race_ethnicity, birth_date=f.birth_date, born_by=by if f.birth_date else "")
            return replace(known, cin=f.cin, family_name=f.family_name, given_name=f.given_name)
        case IdentityCorrected() as f:
            return replace(
                state,
                family_name=f.family_name or state.family_name,
                given_name=f.given_name or state.given_name,
                birth_date=f.birth_date or state.birth_date,
                born_by=recorded.event_id if f.birth_date else state.born_by,
            )
        case LanguageChosen(language=language):
            return replace(state, language=language)
        case MemberRelocated(timezone=timezone):
            return replace(state, timezone=timezone)
        case ContactPointLearned() as f:
            known_before = state.points.get(f.point)
            said = known_before.said if known_before else ()
            since = min(known_before.since, recorded.occurred_at) if known_before else recorded.occurred_at
            point = ContactPoint(f.point, f.kind, f.learned_from, f.takes_texts, f.value, since, said)
            proposed = identity.accepted(state.identity, f.point)
            return replace(state, points={**state.points, f.point: point}, identity=proposed)
        case ContactPointFoundBad(point=id) | ContactPointFoundGood(point=id) if id in state.points:
            point = replace(state.points[id], said=put(state.points[id].said, recorded))
            return replace(state, points={**state.points, id: point})
        case ChannelOptedOut() | ChannelOptedIn() | ConsentGiven() | ConsentWithdrawn():
            return replace(state, allowed=put(state.allowed, recorded))
        case CoverageLost() | CoverageRestored():
            return replace(state, coverage=put(state.coverage, recorded))
        case ListedByPlan() | TakenOffByPlan():
            return replace(state, listed=put(state.listed, recorded))
        case DeathReported() | DeathReportWithdrawn():
            return replace(state, deaths=put(state.deaths, recorded))
        case StayAttributed() as f:
            attribution = Attribution(f.stay, f.episode, f.evidence, recorded.event_id, recorded.recorded_at)
            return replace(state, stays={**state.stays, f.stay: attribution})
        case StayDetached(stay=stay):
            explained = visit_words.without(state.explained, stay)
            return replace(state, stays={k: v for k, v in state.stays.items() if k != stay}, explained=explained)
        case VisitExplained():
            return replace(state, explained=visit_words.evolve(state.explained, recorded))
        case CinReplaced(cin=cin) | CinReplacementWithdrawn(cin=cin):
            return replace(state, cin=cin, identity=identity.evolve(state.identity, recorded))
        case fact if isinstance(fact, IdentityFact):
            return replace(state, identity=identity.evolve(state.identity, recorded))
        case fact if isinstance(fact, SharingFact):
            return replace(state, sharing=sharing.evolve(state.sharing, recorded))
        case fact if isinstance(fact, CircumstanceFact):
            return replace(state, life=circumstances.evolve(state.life, recorded))
        case EpisodeBegun(episode=episode):
            return replace(state, episodes=(*state.episodes, episode))
        case PersonalDataErased():
            nobody = replace(state, cin=None, family_name=None, given_name=None, birth_date=None, born_by="", erased=True)
            nobody = replace(nobody, sharing=state.sharing.forgotten(), identity=state.identity.forgotten())
            nobody = replace(nobody, explained=visit_words.forgotten(state.explained))
            return replace(nobody, points={k: replace(p, value=None) for k, p in state.points.items()})
        case _:
            return state


def evolve_claim(state: Claim, recorded: Recorded) -> Claim:
    match recorded.fact:
        case Claimed(holder=holder):
            return replace(state, holder=holder)
        case Released(holder=holder, because=because) if holder == state.holder:
            return Claim(None, holder, because)
        case _:
            return state


# --- decide --------------------------------------------------------------------------------------------------------------------

CARERS = (Role.CARE_MANAGER, Role.SUPERVISOR)
OFFICE = (Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR)
ELIGIBILITY = (Role.SUPERVISOR, Role.OPERATOR)
"""Coverage moves every due of a member, also a past one, so it is not for those who owe the calls."""


def decide(command: Any, state: Member, context: Context, book: Any, now: Instant) -> Decision:
    may = ELIGIBILITY if isinstance(command, LoseCoverage | RestoreCoverage | identity.Weighty) else OFFICE
    a_persons_word = isinstance(command, IdentityCommand) and not isinstance(command, identity.FromFeeds)
    if refusal := refused(command.by, context, now, *may, feeds=not a_persons_word):
        return refusal
    if isinstance(command, RegisterMember | CorrectIdentity) and command.birth_date and not _is_day(command.birth_date):
        return Refusal("birth_date_faulty", "birth_date: is no day; write it as 1961-07-09")
    if isinstance(command, RegisterMember):
        return _register(command, state, context)
    if not state.registered:
        return Refusal("unknown_member", "stream: nobody is registered under this id; import a member file or register the member")
    if isinstance(command, CircumstanceCommand):
        return circumstances.decide(command, state.life, state.stays, state.timezone, now)
    at = command.occurred_at or now
    if isinstance(command, IdentityCommand):
        return identity.decide(command, state, context, at)
    match command:
        case CorrectIdentity() as c:
            wanted = (c.family_name or state.family_name, c.given_name or state.given_name, c.birth_date or state.birth_date)
            if wanted == (state.family_name, state.given_name, state.birth_date):
                return ()
            family_name, given_name, birth_date = c.family_name, c.given_name, c.birth_date
            return (IdentityCorrected(family_name=family_name, given_name=given_name, birth_date=birth_date, reason=c.reason),)
        case ChooseLanguage(language=language):
            return () if language == state.language else (LanguageChosen(language=language),)
        case Relocate(timezone=timezone):
            if timezone not in available_timezones():
                return Refusal("unknown_zone", "timezone: is not in the IANA list; use a name such as America/Los_Angeles")
            return () if timezone == state.timezone else (MemberRelocated(timezone=timezone),)
        case LearnContactPoint() as c:
            return _learn(c, state)
        case MarkContactPoint(point=point, good=good, reason=reason):
            if point not in state.points:
                return Refusal("unknown_contact_point", "point: the member has no such contact point; see `throughline timeline`")
            if state.points[point].bad(at) is not good:
                return ()
            return (ContactPointFoundGood(point=point),) if good else (ContactPointFoundBad(point=point, reason=reason),)
        case OptOut(channel=channel, how=how):
            return () if state.opted_out(channel, at) else (ChannelOptedOut(channel=channel, how=how),)
        case OptIn(channel=channel, how=how):
            return (ChannelOptedIn(channel=channel, how=how),) if state.opted_out(channel, at) else ()
        case GiveConsent(scope=scope, how=how):
            return (ConsentGiven(scope=scope, how=how),)
        case WithdrawConsent(scope=scope, how=how):
            return (ConsentWithdrawn(scope=scope, how=how),)
        case LoseCoverage(reason=reason):
            return () if _covered_said(state, at) is CoverageLost else (CoverageLost(reason=reason),)
        case RestoreCoverage(reason=reason):
            return (CoverageRestored(reason=reason),) if _covered_said(state, at) is CoverageLost else ()
        case ListByPlan(plan=plan, first_day=first_day, last_day=last_day):
            listed = ListedByPlan(plan=plan, first_day=first_day, last_day=last_day)
            return () if state.plans(at).get(plan) == listed else (listed,)
        case TakeOffByPlan(plan=plan, reason=reason):
            return (TakenOffByPlan(plan=plan, reason=reason),) if plan in state.plans(at) else ()
        case ReportDeath(source=source):
            return () if state.death() is not None else (DeathReported(source=source),)
        case WithdrawDeathReport(report=report, reason=reason):
            return _withdraw_death(report, reason, state, command.by, context, now)
        case AttributeStay() as c:
            known = state.stays.get(c.stay)
            if known is not None and known.episode == c.episode:
                return ()
            return (StayAttributed(stay=c.stay, episode=c.episode, evidence=c.evidence),)
        case DetachStay(stay=stay, reason=reason):
            return (StayDetached(stay=stay, reason=reason),) if stay in state.stays else ()
        case ExplainVisit() as c:
            return () if state.erased else visit_words.decide(c, state.explained)
        case c if isinstance(c, SharingCommand):
            return sharing.decide(c, state.sharing, state.timezone, at)
        case ErasePersonalData(reason=reason):
            if refusal := refused(command.by, context, now, Role.SUPERVISOR):
                return refusal
            return () if state.erased else (PersonalDataErased(reason=reason),)
        case _:
            raise AssertionError(f"member does not know {type(command).__name__}")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _register(command: RegisterMember, state: Member, context: Context) -> Decision:
    if state.registered:
        return ()
    claim = context[command.cin_claim].state if command.cin_claim in context else Claim()
    if claim.holder is not None and claim.holder != command.stream:
        return Refusal("cin_taken", "cin: belongs to a member already; use that member, or resolve the conflict by hand")
    registered = MemberRegistered(
        language=command.language,
        timezone=command.timezone,
        sex=command.sex,
        race_ethnicity=command.race_ethnicity,
        cin=command.cin,
        family_name=command.family_name,
        given_name=command.given_name,
        birth_date=command.birth_date,
    )
    return (registered, On(command.cin_claim, Claimed(holder=command.stream)))


def _learn(command: LearnContactPoint, state: Member) -> Decision:
    known = state.points.get(command.point)
    if known is not None and (known.value == command.value or command.value is None):
        return ()
    if known is None and len(state.points) >= CONTACT_POINTS_MAX:
        return Refusal("too_many_contact_points", f"point: a member has at most {CONTACT_POINTS_MAX}; mark the bad ones and reuse")
    learned = ContactPointLearned(
        point=command.point,
        kind=command.kind,
        learned_from=command.learned_from,
        takes_texts=command.takes_texts,
        value=command.value,
    )
    return (learned,)


def _covered_said(state: Member, at: Instant) -> type | None:
    said = [entry.fact for entry in state.coverage if entry.at <= at]
    return type(said[-1]) if said else None


def _withdraw_death(report: EventId, reason: str, state: Member, by: str, context: Context, now: Instant) -> Decision:
    if refusal := refused(by, context, now, Role.SUPERVISOR):
        return refusal
    if not any(e.event_id == report and isinstance(e.fact, DeathReported) for e in state.deaths):
        return Refusal("unknown_report", "report: is no report of this member's death; see `throughline timeline`")
    withdrawn = any(isinstance(e.fact, DeathReportWithdrawn) and e.fact.report == report for e in state.deaths)
    return () if withdrawn else (DeathReportWithdrawn(report=report, reason=reason),)


def reads(command: Any, state: Any, context: Context) -> tuple[StreamId, ...]:
    claims = (command.cin_claim,) if isinstance(command, RegisterMember) else ()
    return (*actor_stream(command.by), *claims, *identity.reads(command))


def _no_command(command: Any, state: Any, context: Context, book: Any, now: Instant) -> Decision:
    raise AssertionError("claims are made and released by the facts of others")


DECIDER = Decider("member", lambda stream: Member(), evolve, decide, reads)
CLAIM = Decider("claim", lambda stream: Claim(), evolve_claim, _no_command, lambda command, state, context: ())
