"""What the follow-up plan looks at: everything that is known of one episode's year, as far as it has happened by now.

Nothing is decided here. Contacts count wherever they were recorded; a tier is what the rules find unless a person says otherwise;
of a hospital stay only its times matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Any

from domain import criteria, records
from domain.alerts import ANY_CARE_MANAGER, Recipients, recipients
from domain.calendar import end_of_day, local_date
from domain.caseload.state import caseload_of
from domain.core import Alarm, Context, EventId, Instant, StreamId, earlier
from domain.criteria import Evidence, PopulationMet, Screening, TierSpan
from domain.episode.facts import ClosureReason, LeadCareManagerAssigned, LeadCareManagerHandedOver, PolicyReapplied
from domain.episode.state import Episode
from domain.follow_up_policy import FollowUp as Rules
from domain.followup.decider import RECORDS, FollowUp, agreements, covers, overrides
from domain.followup.facts import NO_TIER, FollowUpAttemptMade, FollowUpReviewed
from domain.interactions import SYNCHRONOUS, Interaction, SpokenTo
from domain.member.decider import Member
from domain.member.facts import Channel
from domain.member.person import in_context, the_person
from domain.outreach import decider as outreach
from domain.outreach.facts import ContactMade, Outcome
from domain.policy import Policy, PolicyBook
from domain.staff.decider import staff_in
from domain.stay.course import Course
from domain.stay.decider import Stay
from domain.stay.facts import StayClass
from domain.stops import Stop, deaths_in_hospital, stop_of
from domain.timeline import Entry, Span, Timeline, before, merged, so_far
from domain.transition import decider as transition
from domain.transition.departures import ELSEWHERE, HOSPITAL, inside
from domain.transition.facts import TransitionAttemptMade

STAYS_MAX = 100
"""The newest stays of a member are in sight; a decision may read at most 256 streams."""

IN_PERSON_CHANNELS = (Channel.VISIT, Channel.MEETING)
CONFINED = (*HOSPITAL, StayClass.JAIL)
"""Where nobody can be visited at home: time inside rests the cadence, where the policy says so."""


@dataclass(frozen=True, slots=True)
class Version:
    """A policy, and the word by which a person re-applied it (None: the one of the opening)."""

    policy: Policy
    at: Instant | None = None

    @property
    def rules(self) -> Rules | None:
        return self.policy.follow_up


@dataclass(frozen=True, slots=True)
class Contact:
    """A two-way exchange about the member's care. `with_member`: with themselves; otherwise with their caregiver."""

    at: Instant
    event_id: EventId
    recorded_at: Instant
    in_person: bool
    with_member: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """Something happened in a house: the member came, left, or was seen in an emergency room."""

    at: Instant
    cause: EventId


@dataclass(frozen=True, slots=True)
class Stays:
    """What the member's stays mean here. `inside`: the times in a hospital or jail; `known`: when somebody is or was inside."""

    admissions: tuple[Turn, ...] = ()
    exits: tuple[Turn, ...] = ()
    emergencies: tuple[Turn, ...] = ()
    inside: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class TierHeld:
    """The tier that counts from `since` until `until` (None: still): by the rules, or by a person's `word`."""

    since: Instant
    until: Instant | None
    tier: str
    word: EventId = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the plan looks at.

    `versions` are the policies that clocks keep: the one of the opening, then each that a person re-applied. `guard` is the one in
    force now, for what protects member and staff. `lost` are the times in which no clock could run; `rests` those in which the
    cadence rests besides. `told` is what was said of the episode, `said` what was said here, `wishes` the times in which an agreed
    interval held. `previous`: the episode before it. `ahead`: something is announced for an instant that has not come. `frame`: all
    that every clock of the year rests on, whatever was said and done in it, and whoever is there."""

    state: FollowUp
    episode: Episode
    member: Member
    previous: Episode
    enrolled: Entry | None
    since: Instant
    guard: Policy
    versions: tuple[Version, ...]
    alarm: Alarm
    told: Timeline
    said: Timeline
    wishes: tuple[tuple[Span, int], ...]
    contacts: tuple[Contact, ...]
    attempts: tuple[Instant, ...]
    unapproved: Timeline
    reviews: Timeline
    stays: Stays
    found: tuple[TierSpan, ...]
    tiers: tuple[TierHeld, ...]
    populations: tuple[PopulationMet, ...]
    screening: Screening
    stop: Stop | None
    lost: tuple[Span, ...]
    rests: tuple[Span, ...]
    ahead: bool
    lead: StreamId | None
    boss: StreamId | None
    to: Recipients
    frame: tuple[Any, ...]

    @property
    def now(self) -> Instant:
        return self.alarm.now

    @property
    def policy(self) -> Policy:
        return self.versions[-1].policy

    @property
    def office(self) -> str:
        return self.policy.timezone

    @property
    def rules(self) -> Rules | None:
        """What the plan asks of the year; None before the enrolment, or where it asks for nothing."""
        return self.policy.follow_up if self.enrolled is not None else None

    @property
    def started(self) -> Entry:
        """The enrolment, from which the year counts."""
        assert self.enrolled is not None
        return self.enrolled

    def version_at(self, at: Instant) -> Version:
        return self.versions[0] if len(self.versions) == 1 else [v for v in self.versions if v.at is None or v.at <= at][-1]

    def held_at(self, at: Instant) -> TierHeld:
        held = (t for t in self.tiers if t.since <= at and (t.until is None or at < t.until))
        return next(held, TierHeld(at, None, NO_TIER))

    def tier_at(self, at: Instant) -> str:
        return self.held_at(at).tier

    @property
    def over_for_now(self) -> bool:
        """Whether the episode is over and the member may be referred anew."""
        return self.stop is not None and reengageable(self.stop, self.state, self.member)

    def over(self, at: Instant) -> bool:
        """Whether everything had stopped by an instant."""
        return self.stop is not None and self.stop.at <= at


def look(state: FollowUp, context: Context, book: PolicyBook, alarm: Alarm) -> Sight | None:
    """None where no episode was assigned."""
    loaded = context.get(state.episode)
    episode: Episode = loaded.state if loaded is not None else Episode()
    if episode.assignment is None:
        return None
    member = the_person(episode.member, context)
    before_it = context.get(episode.assignment.previous) if episode.assignment.previous else None
    courses = tuple(_courses(state, member, context))
    ground = alarm.as_before(
        "ground", lambda: _ground(state, episode, member, courses, book, alarm),
        state.opened, episode.assignment, episode.said, member.deaths, member.coverage, courses, book,
    )  # fmt: skip
    said = alarm.as_before("said", lambda: _said(state.said, alarm), state.said)
    found, tiers, populations, screening = _found(state, episode, member, context, book, ground, said.overrides, alarm)
    lead = alarm.as_before("lead", lambda: episode.leads_now(alarm), episode.said)
    person = staff_in(context, lead)
    boss = staff_in(context, person.supervisor)
    to = alarm.as_before("to", lambda: recipients(lead, context, alarm, unled=ANY_CARE_MANAGER), lead, person, boss)
    frame = (
        ground.enrolled, ground.versions, ground.guard, ground.stop, ground.lost, ground.rests, tiers, ground.stays,
        member.timezone, episode.member,
    )  # fmt: skip
    return Sight(
        state=state,
        episode=episode,
        member=member,
        previous=before_it.state if before_it is not None else Episode(),
        enrolled=ground.enrolled,
        since=ground.since,
        guard=ground.guard,
        versions=ground.versions,
        alarm=alarm,
        told=ground.told,
        said=said.said,
        wishes=said.wishes,
        contacts=_contacts(state, context, ground, alarm) if ground.enrolled is not None else (),
        attempts=said.attempts,
        unapproved=said.unapproved,
        reviews=said.reviews,
        stays=ground.stays,
        found=found,
        tiers=tiers,
        populations=populations,
        screening=screening,
        stop=ground.stop,
        lost=ground.lost,
        rests=ground.rests,
        ahead=alarm.as_before(
            "ahead", lambda: _ahead(state, episode, member, alarm),
            state.said, episode.said, member.deaths, member.coverage, member.life,
        ),
        lead=lead,
        boss=person.supervisor,
        to=to,
        frame=alarm.as_before("frame", lambda: frame, frame),
    )  # fmt: skip


def _ahead(state: FollowUp, episode: Episode, member: Member, alarm: Alarm) -> bool:
    """Whether something is announced for an instant that has not come; the alarm keeps all of it."""
    life = member.life
    dated = chain(episode.said, member.deaths, member.coverage, state.said, life.noted, life.diagnoses, life.visits, life.counties)
    return bool([entry.at for entry in dated if not alarm.reached(entry.at)])


@dataclass(frozen=True, slots=True)
class Ground:
    """What begins, ends and rests the year, and the policies that hold in it: see `Sight`."""

    enrolled: Entry | None
    since: Instant
    guard: Policy
    versions: tuple[Version, ...]
    told: Timeline
    stays: Stays
    stop: Stop | None
    lost: tuple[Span, ...]
    rests: tuple[Span, ...]


def _ground(
    state: FollowUp, episode: Episode, member: Member, courses: tuple[Course, ...], book: PolicyBook, alarm: Alarm
) -> Ground:
    assert episode.assignment is not None
    guard = book.in_force_now(episode.plan, alarm)
    died = deaths_in_hospital(courses, member, alarm)
    stop = stop_of(episode, member, lambda at: book.in_force(episode.plan, at).outreach.coverage_return_days, alarm, died)
    enrolled = _enrolled(episode, alarm)
    since = enrolled.at if enrolled is not None else episode.assignment.received_at
    versions = tuple(_versions(state, episode, since, book, alarm))
    stays = _stays(courses, alarm)
    stopped_at = stop.at if stop is not None else None
    lost = (*episode.holds(), *member.uncovered(), *member.wrongly_dead(), *episode.closed_by_mistake())
    confined = tuple(_confined(stays, versions))
    return Ground(
        enrolled=enrolled,
        since=since,
        guard=guard,
        versions=versions,
        told=so_far(episode.said, alarm),
        stays=stays,
        stop=stop,
        lost=before(merged(lost, alarm), stopped_at),
        rests=before(merged((*lost, *confined), alarm), stopped_at),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What was said here, sorted by what it is for."""

    said: Timeline
    attempts: tuple[Instant, ...]
    unapproved: Timeline
    reviews: Timeline
    wishes: tuple[tuple[Span, int], ...]
    overrides: tuple[tuple[Span, str], ...]


def _said(timeline: Timeline, alarm: Alarm) -> Said:
    said = so_far(timeline, alarm)
    counts, unapproved = records.counted(said, RECORDS)
    return Said(
        said=said,
        attempts=tuple(e.at for e in counts if isinstance(e.fact, FollowUpAttemptMade)),
        unapproved=unapproved,
        reviews=tuple(e for e in said if isinstance(e.fact, FollowUpReviewed)),
        wishes=agreements(said),
        overrides=overrides(said),
    )


def _found(
    state: FollowUp,
    episode: Episode,
    member: Member,
    context: Context,
    book: PolicyBook,
    ground: Ground,
    words: tuple[tuple[Span, str], ...],
    alarm: Alarm,
) -> tuple[tuple[TierSpan, ...], tuple[TierHeld, ...], tuple[PopulationMet, ...], Screening]:
    """What the rules find, and the tiers that count."""
    assert episode.assignment is not None
    plan, since = episode.plan, min(ground.since, episode.assignment.received_at)
    stays = tuple(context[stay].state for stay in member.stays if stay in context)
    evidence, rests_on = alarm.as_before(
        "evidence", lambda: _evidence(state, episode, member, context), state.said, episode, member, stays
    )
    found = alarm.as_before("found", lambda: criteria.tiers(evidence, book, plan, since, alarm), rests_on, book, since)
    tiers = alarm.as_before("tiers", lambda: tuple(_held(found, words, ground.since)), found, words, ground.since)
    met = alarm.as_before("populations", lambda: criteria.populations(evidence, book, plan, alarm), rests_on, book)
    over = ground.stop is not None and not reengageable(ground.stop, state, member)
    screening = Screening() if over else alarm.as_before(
        "screening", lambda: criteria.screened(evidence, book, plan, alarm), rests_on, book
    )  # fmt: skip
    return found, tiers, met, screening


def reengageable(stop: Stop, state: FollowUp, member: Member) -> bool:
    """Whether an episode is over in a way after which the member may come again, and none of theirs came after it."""
    last = not member.episodes or member.episodes[-1] == state.episode
    ended_well = stop.reason.startswith("closed_") and stop.reason != f"closed_{ClosureReason.DECEASED.lower()}"
    return last and ended_well and member.death() is None


def _evidence(state: FollowUp, episode: Episode, member: Member, context: Context) -> tuple[Evidence, tuple[Any, ...]]:
    evidence = criteria.evidence_of(member, episode, context, state.said)
    return evidence, criteria.looked_at(evidence)


def _enrolled(episode: Episode, alarm: Alarm) -> Entry | None:
    agreed = episode.enrolled()
    if agreed is None or not alarm.reached(agreed[1]):
        return None
    return next(e for e in episode.said if e.event_id == agreed[0])


def _versions(state: FollowUp, episode: Episode, since: Instant, book: PolicyBook, alarm: Alarm) -> Iterator[Version]:
    """The version of the opening, chosen anew only where the enrolment is learned of or corrected; then those re-applied."""
    opened = state.opened
    pinned = book.named(opened.policy) if opened is not None and opened.since == since else None
    yield Version(pinned or book.in_force(episode.plan, since))
    for word in so_far(episode.said, alarm):
        policy = book.named(word.fact.policy) if isinstance(word.fact, PolicyReapplied) and word.at >= since else None
        if policy is not None:
            yield Version(policy, word.at)


def kept_version(
    sight: Sight, since: Instant, done_at: Instant | None, due_of: Callable[[Version], Instant | None]
) -> tuple[Version, Instant] | None:
    """The version that a clock keeps, and its due: that of its beginning, or one that was re-applied while it was open, whose due
    never comes before the end of that day. None where nothing is asked for."""
    version = sight.version_at(since)
    due = due_of(version)
    for later_one in sight.versions:
        if later_one.at is None or later_one.at <= since:
            continue
        over_at = earlier(due, done_at, sight.stop.at if sight.stop is not None else None)
        if over_at is None or later_one.at < over_at:
            zone = later_one.policy.timezone
            version, due = later_one, due_of(later_one)
            due = max(due, end_of_day(local_date(later_one.at, zone), zone)) if due is not None else None
    return (version, due) if due is not None else None


def _confined(stays: Stays, versions: tuple[Version, ...]) -> Iterator[Span]:
    """The times inside that rest the cadence: those for which the version that was kept then says so."""
    for version, after in zip(versions, (*versions[1:], None), strict=True):
        if version.rules is not None and version.rules.cadence.rests_in_hospital:
            for span in stays.inside:
                since = max(span.since, version.at or span.since)
                until = earlier(span.until, after.at if after is not None else None)
                if until is None or since < until:
                    yield replace(span, since=since, until=until)


# --- who was spoken with -------------------------------------------------------------------------------------------------------


def _contacts(state: FollowUp, context: Context, ground: Ground, alarm: Alarm) -> tuple[Contact, ...]:
    """The exchanges from the enrolment until everything stopped, whichever process recorded them, earliest first.

    What one visit wrote down more than once (a contact and the items that were gone through in it) is one contact."""
    id = state.stream.partition("-")[2]
    transitions, searches = context.get(f"transition-{id}"), context.get(f"outreach-{id}")
    theirs: Timeline = transitions.state.said if transitions is not None else ()
    of_search: Timeline = searches.state.said if searches is not None else ()
    of = (
        *alarm.as_before("own contacts", lambda: _exchanges(so_far(state.said, alarm), RECORDS), state.said),
        *alarm.as_before("their contacts", lambda: _exchanges(so_far(theirs, alarm), transition.RECORDS), theirs),
        *alarm.as_before("contacts of the search", lambda: _search_contacts(so_far(of_search, alarm)), of_search),
    )
    return alarm.as_before("contacts", lambda: _in_the_year(of, ground), of, ground.enrolled, ground.stop)


def _in_the_year(exchanges: tuple[Contact, ...], ground: Ground) -> tuple[Contact, ...]:
    assert ground.enrolled is not None
    found: dict[tuple[Instant, bool], Contact] = {}
    for contact in sorted(exchanges, key=lambda c: (c.at, not c.in_person, c.event_id)):
        if contact.at >= ground.enrolled.at and (ground.stop is None or contact.at <= ground.stop.at):
            found.setdefault((contact.at, contact.with_member), contact)
    return tuple(found.values())


def _exchanges(said: Timeline, kinds: records.Kinds) -> tuple[Contact, ...]:
    counts, _ = records.counted(said, kinds)
    spoken = (e for e in counts if not isinstance(e.fact, TransitionAttemptMade) and hasattr(e.fact, "spoken_to"))
    return tuple(
        Contact(
            entry.at,
            entry.event_id,
            entry.recorded_at,
            entry.fact.interaction is Interaction.IN_PERSON,
            entry.fact.spoken_to is SpokenTo.MEMBER,
        )
        for entry in spoken
        if entry.fact.interaction in SYNCHRONOUS and entry.fact.spoken_to in (SpokenTo.MEMBER, SpokenTo.CAREGIVER)
    )


def _search_contacts(said: Timeline) -> tuple[Contact, ...]:
    """Of the search for the member: whoever was reached, and whoever came or called by themselves."""
    counts, _ = records.counted(said, outreach.RECORDS)
    return tuple(
        Contact(
            entry.at,
            entry.event_id,
            entry.recorded_at,
            entry.fact.in_person or entry.fact.channel in IN_PERSON_CHANNELS,
            True,
        )
        for entry in counts
        if isinstance(entry.fact, ContactMade) or entry.fact.outcome is Outcome.REACHED
    )


# --- stays ---------------------------------------------------------------------------------------------------------------------


def attributed(state: FollowUp, member: Member) -> tuple[StreamId, ...]:
    """The member's stays in sight: the newest ones; another episode's count for the tier all the same."""
    return tuple(member.stays)[-STAYS_MAX:]


def _courses(state: FollowUp, member: Member, context: Context) -> Iterator[Course]:
    """The stays that may concern this episode."""
    for stay in attributed(state, member):
        loaded = context.get(stay)
        if member.stays[stay].episode in (None, state.episode) and loaded is not None and isinstance(loaded.state, Stay):
            yield loaded.state.course()


def _stays(courses: Iterable[Course], alarm: Alarm) -> Stays:
    admissions: list[Turn] = []
    exits: list[Turn] = []
    emergencies: list[Turn] = []
    confined: list[Span] = []
    for course in courses:
        came = [Turn(run.at, run.cause[-1]) for run in course.admissions if run.at is not None and run.stopped_by is None]
        came = [turn for turn in came if alarm.reached(turn.at)]
        if course.stay_class is StayClass.EMERGENCY:
            emergencies.extend(came)
        if course.stay_class in HOSPITAL:
            admissions.extend(came)
        if course.stay_class in (*HOSPITAL, *ELSEWHERE):
            left = (d for d in course.discharges if d.stopped_by is None and not d.doubt)
            exits.extend(Turn(d.at, d.cause[-1]) for d in left if alarm.reached(d.at))
        if course.stay_class in CONFINED:
            confined.extend(Span(s.since, s.until, "in_hospital", s.cause) for s in inside(course, alarm))
    return Stays(_in_order(admissions), _in_order(exits), _in_order(emergencies), tuple(confined))


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: (turn.at, turn.cause)))


def left_within(sight: Sight, days: int) -> bool:
    """Whether the member left a house so many days ago or less; the alarm keeps the end of it."""
    return any(
        not sight.alarm.reached(end_of_day(local_date(turn.at, sight.office) + timedelta(days=days), sight.office))
        for turn in sight.stays.exits
    )


# --- tiers and populations -----------------------------------------------------------------------------------------------------


def _held(found: tuple[TierSpan, ...], words: tuple[tuple[Span, str], ...], since: Instant) -> Iterator[TierHeld]:
    """What the rules found, but for the times in which a person's word held."""
    ruled = criteria.changes(found)
    edges = {t.since for t in ruled} | {edge for span, _ in words for edge in (span.since, span.until) if edge is not None}
    instants = sorted(edge for edge in edges if edge > since)
    for begins, ends in zip((since, *instants), (*instants, None), strict=True):
        word = next((TierHeld(begins, ends, tier, span.begun_by) for span, tier in words if covers(span, begins)), None)
        span_ = criteria.tier_at(ruled, begins)
        yield word or TierHeld(begins, ends, span_.tier if span_ is not None else NO_TIER)


# --- people --------------------------------------------------------------------------------------------------------------------


def streams(state: FollowUp, context: Context) -> tuple[StreamId, ...]:
    """What the plan reads: the episode and its other processes; then member and leads; then stays, supervisors and caseloads."""
    id = state.stream.partition("-")[2]
    wanted: list[StreamId] = [state.episode, f"outreach-{id}", f"transition-{id}"]
    loaded = context.get(state.episode)
    if loaded is None or loaded.state.assignment is None:
        return tuple(wanted)
    episode: Episode = loaded.state
    wanted.extend(in_context(episode.member, context))
    if (previous := episode.assignment.previous if episode.assignment else None) and previous.startswith("episode-"):
        wanted.append(previous)
    if episode.member in context:
        wanted.extend(attributed(state, the_person(episode.member, context)))
    leads = dict.fromkeys(
        entry.fact.receiver if isinstance(entry.fact, LeadCareManagerHandedOver) else entry.fact.staff
        for entry in episode.said
        if isinstance(entry.fact, LeadCareManagerAssigned | LeadCareManagerHandedOver)
    )
    wanted.extend(leads)
    wanted.extend(caseload_of(lead) for lead in leads)
    wanted.extend(dict.fromkeys(boss for lead in leads if (boss := staff_in(context, lead).supervisor) is not None))
    return tuple(wanted)


def clipped(rests: Iterable[Span], since: Instant) -> tuple[Span, ...]:
    """The rests from an instant on."""
    return tuple(replace(s, since=max(s.since, since)) for s in rests if s.until is None or s.until > since)
