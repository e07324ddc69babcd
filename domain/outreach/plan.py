"""What the campaign to reach a member owes, and what it does next (domain.md 2.3 and 2.4).

Top-down: `plan`; what is in sight of it; the 10-day rule; the ladder of attempts; the messages; unable-to-reach; what comes after
the end. Every clock that the timeline implies is enumerated, past ones included; `domain.clocks` writes and judges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from functools import lru_cache, partial
from itertools import chain, zip_longest
from typing import Any

from domain import records
from domain.alerts import ALERT, ANY_CARE_MANAGER, Recipients, alert, misses, recipients, warnings
from domain.calendar import DAYS_REMEMBERED, add_days, end_of_day, instant_at, local_date, start_of_day
from domain.clocks import Clock, Variant, keep
from domain.core import (
    ONE_SECOND,
    SYSTEM,
    Alarm,
    Because,
    Context,
    EventId,
    Instant,
    Obligation,
    ObligationState,
    Plan,
    Process,
    ProcessRef,
    Step,
    StreamId,
    Window,
    earlier,
    later,
)
from domain.episode.care import OF_CARE
from domain.episode.facts import (
    AssignmentReceived,
    ClosureReason,
    DeferralAgreed,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.episode.referrals import ReferralReceived
from domain.episode.state import Episode
from domain.member.decider import KIND_OF, MarkContactPoint, Member
from domain.member.facts import Channel
from domain.member.person import in_context, the_person
from domain.outreach.decider import RECORDS, CarryOutreach, Outreach
from domain.outreach.facts import (
    AttemptMade,
    ContactMade,
    NewEpisodeDismissed,
    NewEpisodeProposed,
    Outcome,
    OutreachEnded,
    OutreachOpened,
    OutreachResumed,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
)
from domain.policy import Performer, Policy, PolicyBook, Rung, Satisfies, policy_tags
from domain.remembered import NotingAlarm, Same, memory
from domain.requests import OUT, USELESS, MessageRequested, Pursued, Request, RequestState, Want, pursue
from domain.staff.decider import staff_in
from domain.stay.decider import Stay
from domain.stops import Stop, stop_of
from domain.timeline import Entry, Span, Timeline, before, merged, moved_day, so_far
from domain.waits import Wait, turn_of

RUNGS_MAX = 120
"""Steps of a ladder; a policy that asks for more asks for something else."""

REPEAT_DAYS_MAX = 6
"""A repeated rung is due within a week of its opening, however long the interval."""

BEDSIDE_DAYS = 3
"""After so many days an alert about an admission is no news any more."""


def plan(state: Outreach, context: Context, book: PolicyBook, now: Instant) -> Plan:
    """What is owed to a member who was assigned and is not enrolled yet, and the next steps."""
    alarm = NotingAlarm(now, state.notebook)
    sight = _look(state, context, book, alarm)
    if sight is None:
        return Plan(waiting_for="assignment", done=True)
    if state.opened is None:
        return Plan(steps=(_open(sight),), waiting_for="opening")

    once, frame, requests = alarm.as_before, sight.frame, state.requests
    climbed = once("ladder", lambda: tuple(_ladder(sight)), frame, requests)
    decider = sight.to.supervisor if state.proposal is not None else None
    clocks = once("clocks", lambda: _clocks(sight, climbed), frame, climbed, state.proposal, decider)
    kept = keep(state.stream, clocks, state.clocks, alarm)
    waits = once("looks", lambda: tuple(_reviews(sight)), frame, sight.to, state.new_episodes)
    ends = once("calendar ends", lambda: tuple(_calendar_ends(sight)), frame)
    obligations = once("owed", lambda: (*kept.obligations, *waits, *ends), kept.obligations, waits, ends)
    wants = once(
        "wants", lambda: (*_messages(sight, climbed), *_alerts(sight, kept.obligations)),
        frame, sight.to, climbed, kept.obligations, requests, state.clocks, state.proposal,
    )  # fmt: skip
    sent = once("sent", lambda: _sent(sight, wants), frame, wants, requests)
    turns = once(
        "turns", lambda: (*_points_found_bad(sight), *_unable_to_reach(sight), *_new_episodes(sight)),
        frame, requests, state.proposal, state.proposals_ever, state.rejected_at, state.new_episodes,
    )  # fmt: skip
    steps = (*kept.steps, *sent.steps, *turns)

    waiting = once("waiting", lambda: any(o.state is ObligationState.OPEN for o in obligations), obligations)
    announced = once("announced", lambda: any(_announced(sight)), sight.stays)
    busy = bool(steps or sent.effects or sent.waiting or waiting)
    owed = busy or sight.stop is None or announced
    ending = tuple(_ending(sight, owed, bool(steps)))
    return Plan(
        steps=(*steps, *ending),
        effects=sent.effects,
        obligations=obligations,
        wake_at=alarm.at,
        waiting_for=_waiting_for(sight, waits),
        done=not owed and state.ended and not steps,
        turn=len(sight.attempts),
        turns_max=sight.policy.outreach.unable_to_reach.attempts_min,
    )


def _clocks(sight: Sight, climbed: tuple[Climbed, ...]) -> tuple[Clock, ...]:
    return (*_initial_contact(sight), *_person_rungs(sight, climbed), *_decisions(sight))


def _sent(sight: Sight, wants: tuple[Want, ...]) -> Pursued:
    state, retry = sight.state, sight.policy.messages.retry
    return pursue(state.stream, wants, state.requests, lambda asked: _forbidden(sight, asked), retry, sight.alarm)


# --- what is in sight ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """A policy, and the word by which a person re-applied it (None: the one of the opening)."""

    policy: Policy
    at: Instant | None = None
    word: EventId = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the plan looks at, as far as it has happened by now.

    `versions` are the policies that clocks keep: the one of the opening, then each that a person re-applied; `policy` is the last.
    `guard` is the one in force now, for what protects the member. `dated` are the instants of all that was said of episode and
    member. `frame`: all that every clock rests on, whoever is there."""

    state: Outreach
    episode: Episode
    assignment: AssignmentReceived
    member: Member
    versions: tuple[Version, ...]
    guard: Policy
    alarm: Alarm
    dated: frozenset[Instant]
    attempts: Timeline
    contacts: Timeline
    unapproved: Timeline
    referred: Timeline
    enrolled: tuple[EventId, Instant] | None
    closure: tuple[EventId, Instant, ClosureReason] | None
    stop: Stop | None
    rests: tuple[Span, ...]
    lost: tuple[Span, ...]
    lead: StreamId | None
    to: Recipients
    stays: tuple[tuple[StreamId, EventId, Instant, Stay], ...]
    frame: tuple[Any, ...]

    @property
    def now(self) -> Instant:
        return self.alarm.now

    @property
    def moment(self) -> Instant:
        """Now, for what nothing changes but what is said of episode and member."""
        return self.alarm.turning_at(self.dated)

    @property
    def policy(self) -> Policy:
        return self.versions[-1].policy

    @property
    def office(self) -> str:
        return self.policy.timezone

    @property
    def day_zero(self) -> date:
        return local_date(self.assignment.received_at, self.office)

    @property
    def first_contact(self) -> Entry | None:
        return self.contacts[0] if self.contacts else None


def _look(state: Outreach, context: Context, book: PolicyBook, alarm: Alarm) -> Sight | None:
    loaded = context.get(state.episode)
    if loaded is None or loaded.state.assignment is None:
        return None
    episode: Episode = loaded.state
    assignment = episode.assignment
    assert assignment is not None
    member, once = the_person(assignment.member, context), alarm.as_before
    ground = once(
        "ground", lambda: _ground(state, episode, member, book, alarm),
        state.opened, state.said, state.requests, assignment, episode.said, member, book,
    )  # fmt: skip
    lead = once("lead", lambda: episode.leads_now(alarm), episode.said)
    person = staff_in(context, lead)
    boss = staff_in(context, person.supervisor)
    to = once("to", lambda: recipients(lead, context, alarm, unled=ANY_CARE_MANAGER), lead, person, boss)
    stays = tuple(_stays(member, context))
    frame = (ground, lead, stays, member, assignment, episode.assigned_by, episode.assigned_known_at)
    return Sight(
        state=state,
        episode=episode,
        assignment=assignment,
        member=member,
        versions=ground.versions,
        guard=ground.guard,
        alarm=alarm,
        dated=ground.dated,
        attempts=ground.attempts,
        contacts=ground.contacts,
        unapproved=ground.unapproved,
        referred=ground.referred,
        enrolled=ground.enrolled,
        closure=ground.closure,
        stop=ground.stop,
        rests=ground.rests,
        lost=ground.lost,
        lead=lead,
        to=to,
        stays=stays,
        frame=once("frame", lambda: frame, frame),
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """What was said and done of the search, and what begins, ends and rests it: see `Sight`."""

    versions: tuple[Version, ...]
    guard: Policy
    dated: frozenset[Instant]
    attempts: Timeline
    contacts: Timeline
    unapproved: Timeline
    referred: Timeline
    enrolled: tuple[EventId, Instant] | None
    closure: tuple[EventId, Instant, ClosureReason] | None
    stop: Stop | None
    rests: tuple[Span, ...]
    lost: tuple[Span, ...]


def _ground(state: Outreach, episode: Episode, member: Member, book: PolicyBook, alarm: Alarm) -> Ground:
    points = member.points.values()
    said = chain(episode.said, member.allowed, member.deaths, member.coverage, *(p.said for p in points))
    dated = frozenset((*(entry.at for entry in said), *(point.since for point in points)))
    now = alarm.turning_at(dated)
    versions = tuple(_versions(state, episode, book, alarm))
    policy = versions[-1].policy
    attempts, contacts, unapproved = _counted(state, episode, policy, alarm)
    stop = _stop(episode, member, policy, alarm)
    stopped_at = stop.at if stop is not None else None
    rests = (*_lost(episode, member), *episode.holds(), *_deferrals(episode, member))
    return Ground(
        versions=versions,
        guard=book.in_force_now(episode.plan, alarm),
        dated=dated,
        attempts=attempts,
        contacts=contacts,
        unapproved=unapproved,
        referred=tuple(e for e in so_far(episode.said, alarm) if isinstance(e.fact, ReferralReceived)),
        enrolled=episode.enrolled(),
        closure=episode.closure(now),
        stop=stop,
        rests=before(merged(rests, alarm), stopped_at),
        lost=before(merged(_lost(episode, member), alarm), stopped_at),
    )


def _versions(state: Outreach, episode: Episode, book: PolicyBook, alarm: Alarm) -> Iterator[Version]:
    """The version of the opening, then each one that a person re-applied to what was open (domain.md 2.3)."""
    assert episode.assignment is not None
    opened = book.named(state.opened.policy) if state.opened else None
    yield Version(opened or book.in_force(episode.plan, episode.assignment.received_at))
    for word in so_far(episode.said, alarm):
        policy = book.named(word.fact.policy) if isinstance(word.fact, PolicyReapplied) else None
        if policy is not None:
            yield Version(policy, word.at, word.event_id)


def _counted(state: Outreach, episode: Episode, policy: Policy, alarm: Alarm) -> tuple[Timeline, Timeline, Timeline]:
    """Attempts, two-way contacts, and records that wait for approval. A contact is an attempt too.

    What was struck out does not count; what is dated back counts once approved. Agreeing to take part, declining and "not now" are
    things that the member said to us: contacts."""
    counted, unapproved = records.counted(so_far(state.said, alarm), RECORDS)
    spoken = [e for e in so_far(episode.said, alarm) if isinstance(e.fact, MemberEnrolled | MemberDeclined | DeferralAgreed)]
    contacts = [e for e in counted if isinstance(e.fact, ContactMade) or e.fact.outcome is Outcome.REACHED]
    tries = [e for e in counted if isinstance(e.fact, ContactMade) or e.fact.individualized]
    machine = [
        Entry(r.sent_at, r.asked.key, r.asked, r.sent_at, SYSTEM)
        for r in state.requests.by_key.values()
        if r.sent_at is not None and r.asked.kind in policy.outreach.channels and _message_counts(policy, Channel(r.asked.kind))
    ]
    return _in_order(tries, spoken, machine), _in_order(contacts, spoken), unapproved


def _message_counts(policy: Policy, channel: Channel) -> bool:
    return policy.outreach.channels[channel].message_counts_as_attempt


def _in_order(*parts: Iterable[Entry]) -> Timeline:
    return tuple(sorted(chain(*parts), key=lambda entry: entry.order))


def _lost(episode: Episode, member: Member) -> tuple[Span, ...]:
    """When no clock could run: no coverage, or a death or closure that was undone."""
    return (*member.uncovered(), *member.wrongly_dead(), *episode.closed_by_mistake())


def _deferrals(episode: Episode, member: Member) -> tuple[Span, ...]:
    told = (e for e in episode.said if isinstance(e.fact, DeferralAgreed))
    return tuple(Span(e.at, start_of_day(e.fact.until, member.timezone), "deferred", e.event_id) for e in told)


def _stop(episode: Episode, member: Member, policy: Policy, alarm: Alarm) -> Stop | None:
    """What ends every promise of the episode, or enrolment, which ends the search."""
    agreed = episode.enrolled()
    enrolled = [Stop(agreed[1], agreed[0], "enrolled")] if agreed is not None and alarm.reached(agreed[1]) else []
    return stop_of(episode, member, lambda at: policy.outreach.coverage_return_days, alarm, enrolled)


def _stays(member: Member, context: Context) -> Iterator[tuple[StreamId, EventId, Instant, Stay]]:
    for stay, attribution in member.stays.items():
        loaded = context.get(stay)
        if loaded is not None:
            yield stay, attribution.event_id, attribution.recorded_at, loaded.state


def _owed_by(sight: Sight) -> str:
    return sight.lead or ANY_CARE_MANAGER


# --- the 10-day rule -----------------------------------------------------------------------------------------------------------


def _initial_contact(sight: Sight) -> Iterator[Clock]:
    """The initial contact deadline (domain.md 2.3): one clock per verdict, one of them governing.

    Holds never suspend it; loss of coverage, and a death or closure that was undone, do."""
    for verdict, entries in _verdicts(sight).items():
        policy, due_at = _kept_version(sight, entries)
        if due_at is None or (verdict not in ALWAYS_SHOWN and verdict != policy.initial_contact.satisfied_by):
            continue
        opens_at = start_of_day(min(_governing_start(sight, policy), sight.day_zero), policy.timezone)
        last_day = local_date(due_at, policy.timezone) + timedelta(days=policy.initial_contact.closes_after_days - 1)
        dues = {name: _due(sight, policy, day) for name, day in _starts(sight).items()}
        effective_due = dues.get("assignment_effective")
        act_by = sight.guard.quiet_hours.hours.last_allowed(due_at, sight.member.timezone)
        met = next((e for e in entries if e.at >= opens_at), None)
        yield Clock(
            key=f"initial_contact.{verdict}/{sight.episode.assigned_by}",
            rule=f"initial_contact.{verdict}",
            window=Window(opens_at, due_at, max(due_at, end_of_day(last_day, policy.timezone))),
            policy=policy.id,
            cause=(sight.episode.assigned_by,),
            known_at=sight.episode.assigned_known_at or sight.assignment.received_at,
            owed_by=_owed_by(sight),
            subject=sight.assignment.member,
            met_at=met.at if met else None,
            met_by=met.event_id if met else None,
            stopped_at=sight.stop.at if sight.stop else None,
            stopped_by=sight.stop.by if sight.stop else None,
            stop_reason=sight.stop.reason if sight.stop else "",
            suspended_since=_rests_since(sight.lost),
            governing=verdict == policy.initial_contact.satisfied_by,
            variants=tuple(Variant(name, due) for name, due in dues.items() if due is not None),
            backdated=effective_due is not None and effective_due < sight.assignment.received_at,
            act_by=act_by,
            feasible=act_by >= opens_at,
        )


def _kept_version(sight: Sight, entries: Timeline) -> tuple[Policy, Instant | None]:
    """The version that a clock keeps, and its due: a re-applied one only where the clock was still open at that word,
    and never with a due before the end of its day."""
    policy = sight.versions[0].policy
    due_at = _due(sight, policy, _governing_start(sight, policy))
    done_at = earlier(entries[0].at if entries else None, sight.stop.at if sight.stop else None)
    for version in sight.versions[1:]:
        over_at = earlier(due_at, done_at)
        if version.at is not None and (over_at is None or version.at < over_at):
            policy, due_at = version.policy, _due(sight, version.policy, _governing_start(sight, version.policy))
            if due_at is not None:
                due_at = max(due_at, end_of_day(local_date(version.at, policy.timezone), policy.timezone))
    return policy, due_at


def _starts(sight: Sight) -> dict[str, date]:
    """The days from which the plan's rule could count; the file may not have said all of them."""
    known = {
        "received": sight.day_zero,
        "assignment_effective": sight.assignment.effective_on,
        "authorized": sight.assignment.authorized_on,
    }
    return {name: day for name, day in known.items() if day is not None}


def _governing_start(sight: Sight, policy: Policy) -> date:
    """The day from which the plan counts; the day of receipt where the file did not say that day."""
    return _starts(sight).get(policy.initial_contact.clock_start.value, sight.day_zero)


def _due(sight: Sight, policy: Policy, start: date) -> Instant | None:
    """The end of the last day, moved on by the days on which the clock rested; None beyond the holiday calendar."""
    rule = policy.initial_contact
    holidays = policy.calendar(rule.holiday_calendar)
    day = add_days(start, rule.days, rule.basis, holidays)
    if day is None:
        return None
    moved = moved_day(day, sight.lost, policy.timezone)
    while moved != day and rule.basis == "business" and not holidays.is_business_day(moved):
        moved += timedelta(days=1)
    return end_of_day(moved, policy.timezone)


ALWAYS_SHOWN = (Satisfies.ATTEMPT.value, Satisfies.CONTACT.value)
"""First attempt and first two-way contact are always both computed and shown."""


def _verdicts(sight: Sight) -> dict[str, Timeline]:
    """What satisfies each verdict."""
    return {
        Satisfies.ATTEMPT.value: sight.attempts,
        Satisfies.CONTACT.value: sight.contacts,
        Satisfies.IN_PERSON_CONTACT.value: tuple(e for e in sight.contacts if getattr(e.fact, "in_person", False)),
    }


def _rests_since(rests: Iterable[Span]) -> Instant | None:
    return next((s.since for s in rests if s.until is None), None)


def _calendar_ends(sight: Sight) -> Iterator[Obligation]:
    """A due beyond the plan's holiday calendar is a task for staff, not a guess."""
    start = _governing_start(sight, sight.policy)
    if sight.stop is not None or _due(sight, sight.policy, start) is not None:
        return
    days = sight.policy.initial_contact.days
    due_at = end_of_day(start + timedelta(days=days), sight.office)
    yield Obligation(
        key=f"extend_calendar/{sight.episode.assigned_by}",
        window=Window(start_of_day(start, sight.office), due_at, due_at),
        act_by=due_at,
        state=ObligationState.OPEN,
        owed_by="role:operator",
        because=Because("initial_contact.holiday_calendar", sight.policy.id, (sight.episode.assigned_by,), "calendar_too_short"),
        subject=sight.assignment.member,
    )


# --- the ladder ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Climbed:
    """A rung that has opened: by whom it is to be performed, and how that stands. `name` is its place on its policy's ladder."""

    name: str
    rung: Rung
    policy: Policy
    opens_at: Instant
    due_at: Instant
    expires_at: Instant
    by_machine: bool
    fallen: str = ""
    fallen_at: Instant | None = None

    @property
    def want(self) -> str:
        return f"rung/{self.name}"


def _ladder(sight: Sight) -> Iterator[Climbed]:
    """The rungs that opened before the campaign stopped, was answered or rested; the alarm keeps the next one."""
    until = earlier(
        sight.stop.at if sight.stop else None,
        sight.first_contact.at if sight.first_contact else None,
        _rests_since(sight.rests),
    )
    for version, replaced_at in _ladders(sight):
        policy = version.policy
        for index, rung in enumerate(_known_rungs(Same(partial(_rungs, policy), policy))):
            opens_day = moved_day(sight.day_zero + timedelta(days=rung.opens_day), sight.rests, policy.timezone)
            due_day = moved_day(sight.day_zero + timedelta(days=rung.due_day), sight.rests, policy.timezone)
            opens_at = max(start_of_day(opens_day, policy.timezone), sight.assignment.received_at)
            if version.at is not None and opens_at < version.at:
                continue
            ends_at = earlier(until, replaced_at)
            if (ends_at is not None and opens_at >= ends_at) or not sight.alarm.reached(opens_at):
                break
            due_at = max(end_of_day(due_day, policy.timezone), opens_at)
            by_machine = policy.outreach.channels[rung.channel].performed_by is Performer.MACHINE
            expires_at = min(due_at, opens_at + timedelta(hours=policy.messages.expires_after_hours))
            name = f"{index}~{version.word}" if version.word else str(index)
            climbed = Climbed(name, rung, policy, opens_at, due_at, expires_at, by_machine)
            yield _fallen(sight, climbed, until) if by_machine else climbed


def _ladders(sight: Sight) -> Iterator[tuple[Version, Instant | None]]:
    """Each version's ladder, up to the word that replaced it: what had opened by then stays what it was."""
    for version, successor in zip_longest(sight.versions, sight.versions[1:]):
        yield version, successor.at if successor is not None else None


LADDERS_MAX = 100
"""The ladders of so many versions are remembered."""

_known_rungs = memory(LADDERS_MAX)


def _rungs(policy: Policy) -> tuple[Rung, ...]:
    """The rungs of the file, then its repeats going round their channels."""
    rungs = [*policy.outreach.rung]
    day = max((r.opens_day for r in policy.outreach.rung), default=0)
    for repeat in policy.outreach.repeat:
        turn = 0
        while day + repeat.every_days <= repeat.until_day and len(rungs) < RUNGS_MAX:
            day += repeat.every_days
            due_day = day + min(repeat.every_days - 1, REPEAT_DAYS_MAX)
            rungs.append(Rung(opens_day=day, due_day=due_day, channel=repeat.channels[turn % len(repeat.channels)]))
            turn += 1
    return tuple(rungs)


def _fallen(sight: Sight, rung: Climbed, until: Instant | None) -> Climbed:
    """The rung with the reason why no machine will perform it any more, and since when: then it falls to a person, unless the
    campaign stopped, was answered or rested before.

    Where nothing was sent, that is a matter of what happened when, not of when we learned of it."""
    turns = sight.state.requests.of(rung.want)
    last = turns[-1] if turns else None
    if any(turn.state in OUT for turn in turns) or (last is not None and last.state is RequestState.BEGUN):
        return rung
    if last is not None and last.state in USELESS:
        reason, since = last.code or last.state.value, last.changed_at
    elif last is not None and last.state is RequestState.FAILED and len(turns) >= sight.policy.messages.turns_max:
        reason, since = last.code or "failed", last.changed_at
    else:
        reason, since = _unusable_since(sight, rung.rung.channel, rung.opens_at, min(sight.moment, rung.expires_at - ONE_SECOND))
        if not reason and sight.alarm.reached(rung.expires_at):
            reason, since = "expired", rung.expires_at
    return replace(rung, fallen=reason, fallen_at=since) if reason and (until is None or since < until) else rung


def _unusable_since(sight: Sight, channel: Channel, since: Instant, at: Instant) -> tuple[str, Instant]:
    """Why a machine cannot use a channel at an instant, and from when on, at most from `since`."""
    member = sight.member
    points = member.points.values()
    turns = {e.at for e in chain(member.allowed, *(p.said for p in points))} | {p.since for p in points}
    reason = ""
    for instant in (since, *sorted(turn for turn in turns if since < turn <= at)):
        found = "consent_withdrawn" if member.contact_refused(instant) else _unusable(sight, channel, instant)
        since = since if reason else instant
        reason = found
    return reason, since


def _unusable(sight: Sight, channel: Channel, at: Instant) -> str:
    if sight.member.opted_out(channel, at):
        return "opted_out"
    if channel in KIND_OF and not sight.member.usable_points(channel, at):
        return "no_contact_point"
    return ""


def _person_rungs(sight: Sight, climbed: Iterable[Climbed]) -> Iterator[Clock]:
    """A rung for a person is a promise with a due; each attempt performs the earliest open rung that still waits for one."""
    mine = [c for c in climbed if not c.by_machine or c.fallen]
    over = sight.stop is not None or sight.first_contact is not None
    how = {} if over else {channel: _suggestion(sight, channel) for channel in {c.rung.channel for c in mine}}
    attempts = list(sight.attempts)
    for rung in mine:
        due_at = rung.due_at
        if rung.fallen_at is not None:
            due_at = max(due_at, end_of_day(local_date(rung.fallen_at, sight.office) + timedelta(days=1), sight.office))
        performed = next((a for a in attempts if rung.opens_at <= a.at < due_at), None)
        if performed is not None:
            attempts.remove(performed)
        stop_at = earlier(sight.stop.at if sight.stop else None, sight.first_contact.at if sight.first_contact else None)
        answered = sight.first_contact is not None and stop_at == sight.first_contact.at
        contact_id = sight.first_contact.event_id if sight.first_contact else None
        yield Clock(
            key=f"attempt/{rung.name}" + ("/by_person" if rung.fallen else ""),
            rule="outreach.attempt",
            window=Window(rung.opens_at, due_at, due_at),
            policy=rung.policy.id,
            cause=(sight.episode.assigned_by,),
            known_at=sight.episode.assigned_known_at or sight.assignment.received_at,
            owed_by=_owed_by(sight),
            subject=sight.assignment.member,
            met_at=performed.at if performed else None,
            met_by=performed.event_id if performed else None,
            stopped_at=stop_at,
            stopped_by=contact_id if answered else sight.stop.by if sight.stop else None,
            stop_reason="contact_made" if answered else sight.stop.reason if sight.stop else "",
            suspended_since=_rests_since(sight.rests),
            act_by=sight.guard.quiet_hours.hours.last_allowed(due_at, sight.member.timezone),
            how=how.get(rung.rung.channel, ""),
        )


def _suggestion(sight: Sight, wanted: Channel) -> str:
    """How to try next: a channel that can work, another one after failures in a row, an hour that was tried least."""
    spacing = sight.guard.outreach.spacing
    tried = [e for e in sight.attempts if isinstance(e.fact, AttemptMade)]
    last = [e.fact.channel for e in tried[-spacing.same_channel_failures_max :]]
    tired = len(last) == spacing.same_channel_failures_max and len(set(last)) == 1
    order = dict.fromkeys((wanted, Channel.VISIT, Channel.MEETING, Channel.CALL))
    usable = [c for c in order if not _unusable(sight, c, sight.moment) and not (tired and c is last[0])]
    channel = usable[0] if usable else Channel.MEETING
    hour = _least_tried_hour(sight, [e.at for e in tried])
    parts = [channel.value, f"around {hour:%H:%M}"]
    if tried:
        parts.append(f"not before {tried[-1].at + timedelta(hours=spacing.hours_min):%Y-%m-%dT%H:%MZ}")
        parts.append(f"rather not on a {_weekday(tried[-1].at, sight.member.timezone)}")
    if sight.member.language != "en":
        parts.append(f"in {sight.member.language}, or with an interpreter")
    return ", ".join(parts)


def _least_tried_hour(sight: Sight, tried_at: Iterable[Instant]) -> time:
    """The hour of the policy's that was tried least; of two the earlier in the file."""
    hours, zone = sight.guard.outreach.spacing.hours_of_day, sight.member.timezone
    nearest = [_nearest(at, hours, zone) for at in tried_at]
    return hours[min(range(len(hours)), key=nearest.count)]


@lru_cache(maxsize=DAYS_REMEMBERED)
def _nearest(at: Instant, hours: tuple[time, ...], zone: str) -> int:
    day = local_date(at, zone)
    return min(range(len(hours)), key=lambda i: abs((instant_at(day, hours[i], zone) - at).total_seconds()))


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _weekday(at: Instant, zone: str) -> str:
    return WEEKDAYS[local_date(at, zone).weekday()]


# --- messages ------------------------------------------------------------------------------------------------------------------


def _messages(sight: Sight, climbed: Iterable[Climbed]) -> Iterator[Want]:
    """The rungs that a machine performs. Nothing is wanted from a member who answered, or while the campaign stopped or rests."""
    if sight.stop is not None or sight.first_contact is not None or _rests_since(sight.rests) is not None:
        return
    quiet = sight.guard.quiet_hours.hours
    for rung in climbed:
        if not rung.by_machine or rung.fallen:
            continue
        moment = max(sight.now, _moment(sight, rung))
        points = sight.member.usable_points(rung.rung.channel, sight.moment)
        yield Want(
            key=rung.want,
            kind=rung.rung.channel.value,
            recipient=sight.assignment.member,
            point=points[0].id if points else "",
            template="outreach_invitation",
            language=sight.member.language,
            not_before=quiet.next_allowed(moment, sight.member.timezone),
            expires_at=rung.expires_at,
            policy=rung.policy.id,
        )


def _moment(sight: Sight, rung: Climbed) -> Instant:
    """When a machine may try: not too soon after the last try, as long as the message is of use then."""
    spacing = timedelta(hours=sight.guard.outreach.spacing.hours_min)
    sent = (r.sent_at for r in sight.state.requests.by_key.values() if r.asked.kind != ALERT and r.sent_at is not None)
    last = later(*(e.at for e in sight.attempts), *sent)
    spaced = rung.opens_at if last is None else max(rung.opens_at, last + spacing)
    return spaced if spaced < rung.expires_at else rung.opens_at


def _forbidden(sight: Sight, asked: MessageRequested) -> str:
    """Why a message to the member may not begin to be sent now; staff alerts are always allowed."""
    if asked.kind == ALERT:
        return ""
    if sight.member.opted_out(Channel(asked.kind), sight.moment):
        return "opted_out"
    if sight.member.contact_refused(sight.moment):
        return "consent_withdrawn"
    if sight.stop is not None:
        return sight.stop.reason
    if asked.point and asked.point not in {p.id for p in sight.member.usable_points(Channel(asked.kind), sight.moment)}:
        return "contact_point_bad"
    return ""


def _points_found_bad(sight: Sight) -> Iterator[Step]:
    """A permanent failure disables the contact point that it was sent to, once."""
    for request in sight.state.requests.by_key.values():
        point = sight.member.points.get(request.asked.point)
        if request.state not in USELESS or point is None or any(e.at >= request.changed_at for e in point.said):
            continue
        if not point.bad(sight.moment):
            yield _mark_bad(sight, request)


def _mark_bad(sight: Sight, request: Request) -> Step:
    command = MarkContactPoint(
        stream=sight.assignment.member,
        by=SYSTEM,
        occurred_at=request.changed_at,
        point=request.asked.point,
        good=False,
        reason=request.code or "undeliverable",
    )
    return Step(f"point_bad/{request.asked.key}", command, request.changed_at)


def _alerts(sight: Sight, obligations: tuple[Obligation, ...]) -> Iterator[Want]:
    """To staff: near and missed deadlines (single rungs are for the worklist), decisions to take, a member at a bedside."""
    obligations = tuple(o for o in obligations if o.because.rule != "outreach.attempt")
    yield from misses(obligations, sight.state.clocks, sight.to, sight.alarm)
    if sight.stop is None:
        yield from warnings(obligations, sight.policy.initial_contact.warn, sight.to, sight.alarm)
        yield from _bedside(sight)
    proposal = sight.state.proposal
    if proposal is not None:
        expires_at = proposal.at + timedelta(days=sight.policy.outreach.unable_to_reach.decide_within_days)
        key = f"decide_unable_to_reach/{proposal.event_id}"
        yield alert(key, sight.to.supervisor, "decide_unable_to_reach", sight.state.stream, expires_at, sight.policy.id)


def _bedside(sight: Sight) -> Iterator[Want]:
    """Before enrolment an admission tells the owner of the outreach: a bedside is a place to reach someone."""
    for stay, _, known_at, state in sight.stays:
        if _in_house(sight, state):
            expires_at = known_at + timedelta(days=BEDSIDE_DAYS)
            if not sight.alarm.reached(expires_at):
                yield alert(f"admitted/{stay}", sight.to.owner, "member_in_hospital", stay, expires_at, sight.policy.id)


def _in_house(sight: Sight, stay: Stay) -> bool:
    """Whether the member is in a hospital or facility now, as far as we know."""
    course = stay.course()
    admission, discharge = course.admission, course.discharge
    admitted = admission is not None and admission.at is not None and sight.alarm.reached(admission.at)
    return admitted and (discharge is None or not sight.alarm.reached(discharge.at))


# --- unable to reach -----------------------------------------------------------------------------------------------------------


def _unable_to_reach(sight: Sight) -> Iterator[Step]:
    """Proposed after the policy's minimum, withdrawn when contact comes or the minimum was none (scenario 26). A person decides."""
    generation, reason = sight.state.proposals_ever, _not_in_vain(sight)
    if sight.state.proposal is not None:
        if reason:
            yield _carry(sight, f"utr_withdrawn/{generation}", UnableToReachProposalWithdrawn(reason=reason), sight.now)
    elif not reason and _asked_again(sight):
        channels = tuple(sorted({_channel(e) for e in sight.attempts}))
        proposed = UnableToReachProposed(attempts=len(sight.attempts), channels=channels, policy=sight.policy.id)
        yield _carry(sight, f"utr/{generation}", proposed, sight.now)


def _not_in_vain(sight: Sight) -> str:
    """What speaks against unable-to-reach; "" once the policy's minimum was tried in vain."""
    rule = sight.policy.outreach.unable_to_reach
    if sight.first_contact is not None:
        return "contact_made"
    if sight.stop is not None:
        return sight.stop.reason
    if _rests_since(sight.rests) is not None:
        return "resting"
    enough = len(sight.attempts) >= rule.attempts_min and len({_channel(e) for e in sight.attempts}) >= rule.channels_min
    days_over = sight.alarm.reached(start_of_day(sight.day_zero + timedelta(days=rule.days_min), sight.office))
    return "" if enough and days_over else "minimum_not_tried"


def _asked_again(sight: Sight) -> bool:
    """Whether a supervisor who decided to go on may be asked: after the policy's interval, and an attempt since."""
    since = sight.state.rejected_at
    if since is None:
        return True
    waited = sight.alarm.reached(since + timedelta(days=sight.policy.outreach.review_every_days))
    return waited and any(e.at > since for e in sight.attempts)


def _channel(entry: Entry) -> Channel:
    kind = entry.fact.kind if isinstance(entry.fact, MessageRequested) else getattr(entry.fact, "channel", Channel.MEETING)
    return Channel(kind)


def _decisions(sight: Sight) -> Iterator[Clock]:
    """A supervisor owes an answer to a proposal of unable-to-reach."""
    proposal = sight.state.proposal
    if proposal is None:
        return
    days = sight.policy.outreach.unable_to_reach.decide_within_days
    due_at = end_of_day(local_date(proposal.at, sight.office) + timedelta(days=days), sight.office)
    yield Clock(
        key=f"decide_unable_to_reach/{proposal.event_id}",
        rule="outreach.decide_unable_to_reach",
        window=Window(proposal.at, due_at, due_at),
        policy=sight.policy.id,
        cause=(proposal.event_id,),
        known_at=proposal.recorded_at,
        owed_by=sight.to.supervisor,
        subject=sight.assignment.member,
        stopped_at=sight.stop.at if sight.stop else None,
        stopped_by=sight.stop.by if sight.stop else None,
        stop_reason=sight.stop.reason if sight.stop else "",
    )


# --- waits, and what comes after the end ---------------------------------------------------------------------------------------


def _reviews(sight: Sight) -> Iterator[Obligation]:
    """Every wait for a person carries a day on which somebody is asked to look; it comes back until the wait is over."""
    for cause, since, reason, owed_by in _waits(sight):
        wait = Wait(
            key=f"review/{reason}/{cause}",
            rule=f"outreach.review.{reason}",
            policy=sight.policy.id,
            cause=(cause,),
            since=since,
            every_days=sight.policy.outreach.review_every_days,
            owed_by=owed_by,
        )
        yield turn_of(wait, sight.assignment.member, sight.alarm)


def _waits(sight: Sight) -> Iterator[tuple[EventId, Instant, str, str]]:
    for entry in sight.unapproved:
        yield entry.event_id, entry.recorded_at if entry.recorded_at <= sight.now else sight.now, "approval", sight.to.supervisor
    for proposed in _pending_new_episodes(sight):
        yield proposed.fact.cause, proposed.at, "new_episode", sight.to.supervisor
    closed = sight.closure is not None
    if sight.stop is not None:
        if not closed and sight.stop.reason != "enrolled":
            yield sight.stop.by, sight.stop.at, f"close_{sight.stop.reason}", sight.to.supervisor
        return
    resting = next((s for s in sight.rests if s.until is None), None)
    if resting is not None:
        yield resting.begun_by, resting.since, resting.reason, sight.to.supervisor
    elif sight.first_contact is not None:
        yield sight.first_contact.event_id, sight.first_contact.at, "enrolment", _owed_by(sight)
    else:
        yield sight.episode.assigned_by, sight.assignment.received_at, "contact", _owed_by(sight)


def _new_episodes(sight: Sight) -> Iterator[Step]:
    """Contact, or a stay in hospital, after an unsuccessful end proposes a new episode (domain.md scenarios 27, 35 and 57). One
    proposal at a time; what came before a dismissal was dismissed with it."""
    dismissals = [e.at for e in so_far(sight.state.new_episodes, sight.alarm) if isinstance(e.fact, NewEpisodeDismissed)]
    asked = {e.fact.cause for e in sight.state.new_episodes}
    if not _pending_new_episodes(sight):
        for cause, at in _reappearances(sight):
            if cause not in asked and not any(at <= dismissed_at for dismissed_at in dismissals):
                yield _carry(sight, f"new_episode/{cause}", NewEpisodeProposed(cause=cause), sight.now)
                return


def _reappearances(sight: Sight) -> tuple[tuple[EventId, Instant], ...]:
    """Where the member was heard or seen, or referred, after the end, if no later episode answered that."""
    closure = sight.closure
    if closure is None or closure[2] is ClosureReason.DECEASED or not _last_episode(sight):
        return ()
    heard = ((e.event_id, e.at) for e in sight.contacts if not isinstance(e.fact, MemberDeclined))
    seen = ((attributed, at) for _, attributed, _, state in sight.stays for at in _came(sight, state))
    referred = ((e.event_id, e.at) for e in sight.referred)
    found = chain(heard, seen, referred)
    return tuple(sorted(((cause, at) for cause, at in found if at > closure[1]), key=lambda found: found[::-1]))


def _came(sight: Sight, stay: Stay) -> Iterator[Instant]:
    """When the member came to a hospital, as far as anybody said."""
    course = stay.course()
    admission, discharge = course.admission, course.discharge
    if admission is not None:
        came_at = admission.at or (discharge.at if discharge is not None else admission.received_at)
        if sight.alarm.reached(came_at):
            yield came_at


def _announced(sight: Sight) -> Iterator[bool]:
    """Of each stay, whether it is announced and has not begun: the member may be seen again."""
    for _, _, _, state in sight.stays:
        admission = state.course().admission
        yield admission is not None and admission.at is not None and not sight.alarm.reached(admission.at)


def _pending_new_episodes(sight: Sight) -> tuple[Entry, ...]:
    """Proposals that nobody dismissed, and whose cause still stands."""
    dismissed = {e.fact.cause for e in sight.state.new_episodes if isinstance(e.fact, NewEpisodeDismissed)}
    standing = {cause for cause, _ in _reappearances(sight)} - dismissed
    proposed = (e for e in so_far(sight.state.new_episodes, sight.alarm) if isinstance(e.fact, NewEpisodeProposed))
    return tuple(e for e in proposed if e.fact.cause in standing)


def _last_episode(sight: Sight) -> bool:
    """Whether no episode of the member began after this one."""
    return not sight.member.episodes or sight.member.episodes[-1] == sight.state.episode


def _ending(sight: Sight, owed: bool, more: bool) -> Iterator[Step]:
    generation = sight.state.endings_ever
    if not owed and not sight.state.ended and not more and sight.stop is not None:
        yield _carry(sight, f"ended/{generation}", OutreachEnded(reason=sight.stop.reason), sight.now)
    elif owed and sight.state.ended:
        yield _carry(sight, f"resumed/{generation}", OutreachResumed(reason=_waiting_for(sight, ())), sight.now)


def _waiting_for(sight: Sight, waits: tuple[Obligation, ...]) -> str:
    if waits:
        return waits[0].because.rule.removeprefix("outreach.review.")
    return sight.stop.reason if sight.stop is not None else "contact"


def _open(sight: Sight) -> Step:
    opened = OutreachOpened(
        member=sight.assignment.member, episode=sight.state.episode, plan=sight.assignment.plan, policy=sight.versions[0].policy.id
    )
    at = min(sight.assignment.received_at, sight.now)
    return Step("opened/0", CarryOutreach(stream=sight.state.stream, by=SYSTEM, occurred_at=at, fact=opened), at)


def _carry(sight: Sight, key: str, fact: Any, at: Instant) -> Step:
    return Step(key, CarryOutreach(stream=sight.state.stream, by=SYSTEM, occurred_at=at, fact=fact), at)


def reads(ref: ProcessRef, state: Outreach, context: Context) -> tuple[StreamId, ...]:
    """The episode; then its member; then the member's stays and the staff concerned."""
    wanted: list[StreamId] = [state.episode]
    loaded = context.get(state.episode)
    if loaded is None or loaded.state.assignment is None:
        return tuple(wanted)
    episode: Episode = loaded.state
    wanted.extend(in_context(episode.member, context))
    if episode.member in context:
        wanted.extend(the_person(episode.member, context).stays)
    leads = {e.fact.staff for e in episode.said if hasattr(e.fact, "staff")} | {
        e.fact.receiver for e in episode.said if hasattr(e.fact, "receiver")
    }
    wanted.extend(sorted(leads))
    wanted.extend(sorted({boss for lead in leads if (boss := staff_in(context, lead).supervisor) is not None}))
    return tuple(wanted)


def _tags(fact: Any) -> tuple[StreamId, ...]:
    match fact:
        case OutreachOpened(member=member, episode=episode, plan=plan_name):
            return (member, episode, *policy_tags(plan_name))
        case MessageRequested(about=about) if about.startswith("stay-"):
            return (about,)
        case _:
            return ()


PROCESS = Process(
    "outreach", plan, reads, opens=OutreachOpened, ends=OutreachEnded, resumes=OutreachResumed, tags=_tags, ignores=OF_CARE
)
