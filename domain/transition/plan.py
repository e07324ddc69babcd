"""What is owed to a member around each hospital stay, and what happens next (domain.md 3).

Top-down: `plan`; what is in sight of it; the notice of an admission; the checklist after a discharge; what somebody has to look at
again and again; alerts; the end. Every clock that the timeline implies is enumerated, past ones included; `domain.clocks` writes
and judges them. No item closes by a tick: what meets a clock is a record of a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Any

from domain import records
from domain.alerts import MISS_ALERT_DAYS, Recipients, alert, misses, one_per_miss, recipients, warnings
from domain.calendar import add_days, end_of_day, local_date, start_of_day
from domain.clocks import Clock, Clocks, keep
from domain.core import (
    SYSTEM,
    Alarm,
    Context,
    EventId,
    Fact,
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
from domain.episode.facts import LeadCareManagerAssigned, LeadCareManagerHandedOver, PolicyReapplied
from domain.episode.state import Episode
from domain.member.decider import Member
from domain.member.person import in_context, the_person
from domain.policy import ChecklistItem, Evidence, Policy, PolicyBook, policy_tags
from domain.remembered import NotingAlarm
from domain.requests import USELESS, MessageRequested, Request, Requests, RequestState, Want, pursue
from domain.staff.decider import staff_in
from domain.stay.course import Admission, Course
from domain.stay.decider import Stay
from domain.stay.facts import StayClass
from domain.stops import Stop, deaths_in_hospital, earliest, stop_of
from domain.timeline import Entry, Span, Timeline, before, merged, moved_day, so_far
from domain.transition.checklist import closes
from domain.transition.decider import RECORDS, CarryTransition, Transition, reopened
from domain.transition.departures import (
    HOMEWARD,
    UNDER_OTHER_CARE,
    Departure,
    Visit,
    began_at,
    departures,
    inside,
    run_key,
)
from domain.transition.facts import (
    ChecklistItemDone,
    Finding,
    StayReviewed,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionEntrusted,
)
from domain.waits import Wait, turn_of, unheeded

NOTICE_CLOSES_DAYS = 30
"""Until then an admission that nobody was told of can still be told late."""

STAYS_MAX = 120
"""The newest stays of an episode are in sight; of older ones what is written stands. A decision may read at most 256 streams."""


def plan(state: Transition, context: Context, book: PolicyBook, now: Instant) -> Plan:
    """What is owed after the stays of an enrolled member, and the next steps."""
    alarm = NotingAlarm(now, state.notebook)
    sight = _look(state, context, book, alarm)
    if sight is None:
        return Plan(waiting_for="enrolment", wake_at=alarm.at, done=alarm.at is None)
    if openings := tuple(_openings(sight)):
        return Plan(steps=openings, wake_at=alarm.at, waiting_for="opening")

    once, frame = alarm.as_before, sight.frame
    left = once("departures", lambda: tuple(departures(sight.visits, alarm)), sight.visits)
    notices = once("notices", lambda: tuple(_notices(sight)), frame, state.requests)
    items = once("items", lambda: _items_owed(sight, left), frame, left, sight.records, sight.void)
    clocks = once("clocks", lambda: (*notices, *items), notices, items)
    kept = keep(state.stream, clocks, _in_sight(sight), alarm, sight.to.owner)
    waits = once(
        "looks", lambda: tuple(_looks(sight, left)),
        frame, sight.to, left, sight.records, sight.void, sight.unapproved, sight.reviews,
    )  # fmt: skip
    obligations = once("owed", lambda: (*kept.obligations, *waits), kept.obligations, waits)
    wants = once(
        "wants", lambda: tuple(_alerts(sight, kept.obligations, waits)),
        frame, sight.to, sight.lead, kept.obligations, waits, state.clocks, state.requests,
    )  # fmt: skip
    retry = sight.guard.messages.retry
    sent = once(
        "sent", lambda: pursue(state.stream, wants, state.requests, lambda asked: "", retry, alarm), wants, state.requests, retry
    )
    steps = (*kept.steps, *sent.steps, *_entrusted(sight))

    supported = once(
        "supported", lambda: [departure for departure in left if not alarm.reached(_support_ends(sight, departure))], frame, left
    )
    waiting, summary = once("waiting", lambda: _waiting(sight, obligations, supported), obligations, supported, sight.stop)
    busy = bool(steps or sent.effects or sent.waiting or waits)
    owed = busy or sight.ahead or bool(supported) or waiting
    ending = tuple(_ending(sight, owed))
    return Plan(
        steps=(*steps, *ending),
        effects=sent.effects,
        obligations=obligations,
        wake_at=alarm.at,
        waiting_for=summary,
        done=not owed and not ending,
    )


# --- what is in sight ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the plan looks at, as far as it has happened by now.

    `guard` is the policy in force now, for what protects the member and the staff; each visit has its own, which its clocks keep.
    `reapplied` are the versions to which a person moved what was open then. `known` are the stays of which something was said,
    `visits` those that concern the episode; `ahead`: one is announced that has not begun. `records` are what people did;
    `unapproved` waits for a supervisor; `void` names done items that were reopened. `frame`: all that every clock rests on but what
    was recorded here, and who is there."""

    state: Transition
    episode: Episode
    member: Member
    enrolled_at: Instant
    guard: Policy
    reapplied: tuple[tuple[Instant, Policy], ...]
    alarm: Alarm
    known: tuple[Visit, ...]
    visits: tuple[Visit, ...]
    ahead: bool
    records: Timeline
    unapproved: Timeline
    reviews: Timeline
    void: frozenset[EventId]
    stop: Stop | None
    rests: tuple[Span, ...]
    lead: StreamId | None
    boss: StreamId | None
    to: Recipients
    frame: tuple[Any, ...]

    @property
    def now(self) -> Instant:
        return self.alarm.now


def _look(state: Transition, context: Context, book: PolicyBook, alarm: Alarm) -> Sight | None:
    loaded = context.get(state.episode)
    episode: Episode = loaded.state if loaded is not None else Episode()
    enrolled = episode.enrolled()
    if episode.assignment is None or enrolled is None or not alarm.reached(enrolled[1]):
        return None
    member, once = the_person(episode.member, context), alarm.as_before
    courses = tuple(_courses(state, member, context))
    ground = once(
        "ground", lambda: _ground(state, episode, member, enrolled[1], courses, book, alarm),
        state.opened, episode.assignment, episode.said, member.deaths, member.coverage, courses, book,
    )  # fmt: skip
    said = once("said", lambda: _said(state.said, alarm), state.said)
    lead = once("lead", lambda: episode.leads_now(alarm), episode.said)
    person = staff_in(context, lead)
    boss = staff_in(context, person.supervisor)
    to = once("to", lambda: recipients(lead, context, alarm), lead, person, boss)
    frame = (ground, enrolled[1], member.timezone, episode.member)
    return Sight(
        state=state,
        episode=episode,
        member=member,
        enrolled_at=enrolled[1],
        guard=ground.guard,
        reapplied=ground.reapplied,
        alarm=alarm,
        known=ground.known,
        visits=ground.visits,
        ahead=ground.ahead,
        records=said.records,
        unapproved=said.unapproved,
        reviews=said.reviews,
        void=said.void,
        stop=ground.stop,
        rests=ground.rests,
        lead=lead,
        boss=person.supervisor,
        to=to,
        frame=once("frame", lambda: frame, frame),
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """What begins, ends and rests the promises of every stay: see `Sight`."""

    guard: Policy
    reapplied: tuple[tuple[Instant, Policy], ...]
    known: tuple[Visit, ...]
    visits: tuple[Visit, ...]
    ahead: bool
    stop: Stop | None
    rests: tuple[Span, ...]


def _ground(
    state: Transition,
    episode: Episode,
    member: Member,
    enrolled_at: Instant,
    courses: tuple[tuple[StreamId, Course, Instant], ...],
    book: PolicyBook,
    alarm: Alarm,
) -> Ground:
    for entry in chain(episode.said, member.deaths, member.coverage):
        alarm.reached(entry.at)
    guard = book.in_force_now(episode.plan, alarm)
    stop = _stop(episode, member, courses, book, alarm)
    known = tuple(_known(courses, state, episode, book, alarm))
    return Ground(
        guard=guard,
        reapplied=tuple(_reapplied(episode, book, alarm)),
        known=known,
        visits=tuple(visit for visit in known if _concerns(visit, enrolled_at, stop, alarm)),
        ahead=any(not alarm.reached(since) for _, _, since in courses),
        stop=stop,
        rests=merged((*episode.holds(), *member.uncovered(), *member.wrongly_dead(), *episode.closed_by_mistake()), alarm),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What people recorded here, sorted by what it is for."""

    records: Timeline
    unapproved: Timeline
    reviews: Timeline
    void: frozenset[EventId]


def _said(timeline: Timeline, alarm: Alarm) -> Said:
    said = so_far(timeline, alarm)
    counts, unapproved = records.counted(said, RECORDS)
    return Said(counts, unapproved, tuple(e for e in said if isinstance(e.fact, StayReviewed)), reopened(said))


def _courses(state: Transition, member: Member, context: Context) -> Iterator[tuple[StreamId, Course, Instant]]:
    """The member's stays that may concern this episode, and when each began."""
    for stay in _attributed(state, member)[-STAYS_MAX:]:
        loaded = context.get(stay)
        course = loaded.state.course() if loaded is not None and isinstance(loaded.state, Stay) else Course.nothing()
        heard_at = loaded.state.heard_at if loaded is not None else None
        yield stay, course, began_at(course) or heard_at or member.stays[stay].recorded_at


def _known(
    courses: Iterable[tuple[StreamId, Course, Instant]], state: Transition, episode: Episode, book: PolicyBook, alarm: Alarm
) -> Iterator[Visit]:
    for stay, course, since in courses:
        if alarm.reached(since):
            yield Visit(stay, course, _pinned(state.opened.get(stay), since, episode.plan, book), since)


def _concerns(visit: Visit, enrolled_at: Instant, stop: Stop | None, alarm: Alarm) -> bool:
    """Whether the member was inside, or left, while the episode was open and they were enrolled."""
    emergency = visit.course.stay_class is StayClass.EMERGENCY and not visit.policy.transition.emergency_visits
    outpatient = visit.course.stay_class is StayClass.OUTPATIENT and not visit.course.downgraded
    if not visit.course.admissions or emergency or outpatient or (stop is not None and stop.settled.at <= visit.since):
        return False
    over_at = None if any(s.until is None for s in inside(visit.course, alarm)) else _left_at(visit.course)
    return over_at is None or over_at >= enrolled_at


def _attributed(state: Transition, member: Member) -> tuple[StreamId, ...]:
    """The stays that may concern this episode, those attributed last at the end."""
    ours = (None, state.episode)
    return tuple(stay for stay, attribution in member.stays.items() if attribution.episode in ours)


def _in_sight(sight: Sight) -> Clocks:
    """The written dues, but for those of stays that are too long ago to be looked at again."""
    past = frozenset(_attributed(sight.state, sight.member)[:-STAYS_MAX])
    written = sight.state.clocks.written
    return Clocks({key: due for key, due in written.items() if _stay_of(key) not in past}) if past else sight.state.clocks


def _left_at(course: Course) -> Instant | None:
    return later(*(d.at for d in course.discharges), *(a.stopped_at for a in course.admissions))


def _pinned(opened: TransitionalCareOpened | None, since: Instant, plan_name: str, book: PolicyBook) -> Policy:
    """The version that a stay's clocks keep: the one of its opening, unless the stay turned out to have begun under another."""
    fresh = book.in_force(plan_name, since)
    if opened is None or book.in_force(plan_name, opened.since) is not fresh:
        return fresh
    return book.named(opened.policy) or fresh


def _reapplied(episode: Episode, book: PolicyBook, alarm: Alarm) -> Iterator[tuple[Instant, Policy]]:
    """The versions to which a person moved the clocks that were open then."""
    for word in so_far(episode.said, alarm):
        policy = book.named(word.fact.policy) if isinstance(word.fact, PolicyReapplied) else None
        if policy is not None:
            yield word.at, policy


def _stop(
    episode: Episode, member: Member, courses: tuple[tuple[StreamId, Course, Instant], ...], book: PolicyBook, alarm: Alarm
) -> Stop | None:
    """What ends every promise of the episode."""
    died = deaths_in_hospital((course for _, course, _ in courses), member, alarm)
    return stop_of(episode, member, lambda at: book.in_force(episode.plan, at).outreach.coverage_return_days, alarm, died)


def _openings(sight: Sight) -> Iterator[Step]:
    """Each stay that concerns the episode is opened once, and again where it turned out to have begun under another policy.

    So is one that was only said to concern it: by its opening this process is found when more becomes known."""
    for visit in sight.known:
        opened = sight.state.opened.get(visit.stay)
        said_to_be = sight.member.stays[visit.stay].episode == sight.state.episode
        if not (said_to_be or visit in sight.visits) or (opened is not None and opened.policy == visit.policy.id):
            continue
        fact = TransitionalCareOpened(
            stay=visit.stay,
            member=sight.episode.member,
            episode=sight.state.episode,
            plan=sight.episode.plan,
            policy=visit.policy.id,
            since=visit.since,
        )
        yield _carry(sight, f"opened/{visit.stay}/{sight.state.openings_ever}", fact)


def _entrusted(sight: Sight) -> Iterator[Step]:
    fact = TransitionEntrusted(lead=sight.lead, supervisor=sight.boss)
    if sight.visits and fact != sight.state.entrusted:
        yield _carry(sight, f"entrusted/{sight.state.entrusted_ever}", fact)


# --- the notice of an admission ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """That somebody is to be told of a stay: from when, and what became of it."""

    visit: Visit
    run: Admission
    from_at: Instant
    told_at: Instant | None
    read_at: Instant | None
    stop: Stop | None

    @property
    def key(self) -> str:
        return run_key(self.visit.stay, self.run.after)


def _each_notice(sight: Sight) -> Iterator[Notice]:
    for visit in sight.visits:
        for run in visit.course.admissions:
            if run.at is not None and not sight.alarm.reached(run.at):
                continue
            from_at = max(run.received_at, sight.enrolled_at)
            cancelled = Stop(run.stopped_at, run.stopped_by, "admission_cancelled") if run.stopped_at and run.stopped_by else None
            stop = earliest(cancelled, sight.stop.settled if sight.stop is not None else None)
            if not sight.alarm.reached(from_at) or (stop is not None and stop.at <= from_at):
                continue
            asked = [
                r
                for r in sight.state.requests.by_key.values()
                if r.asked.want.startswith(f"notice/{run_key(visit.stay, run.after)}/")
            ]
            read_at = earlier(*(r.acknowledged_at for r in asked))
            sent_at = earlier(*(r.sent_at for r in asked if r.state not in USELESS))
            yield Notice(visit, run, from_at, earlier(sent_at, read_at), read_at, stop)


def _notices(sight: Sight) -> Iterator[Clock]:
    """Within 24 hours of the message somebody is told of the stay; until it is read it stays in sight (domain.md 2.2)."""
    for notice in _each_notice(sight):
        policy, run = notice.visit.policy, notice.run
        due_at = notice.from_at + timedelta(hours=policy.transition.admission_notice.hours)
        for rule, met_at in (("notice", notice.told_at), ("notice_read", notice.read_at)):
            yield Clock(
                key=f"{rule}/{notice.key}",
                rule=f"transition.{rule}",
                window=Window(notice.from_at, due_at, due_at + timedelta(days=NOTICE_CLOSES_DAYS)),
                policy=policy.id,
                cause=run.cause,
                known_at=run.known_at,
                subject=sight.episode.member,
                met_at=met_at,
                stopped_at=notice.stop.at if notice.stop else None,
                stopped_by=notice.stop.by if notice.stop else None,
                stop_reason=notice.stop.reason if notice.stop else "",
                how="read the alert and say so" if rule == "notice_read" else "",
            )


def _notice_alerts(sight: Sight) -> Iterator[Want]:
    """To the lead care manager; to the supervisor where there is none, none present, no way through, or nobody has read it. Of an
    emergency visit that became an admission the lead hears once more: they were told of the visit (messages.md 6, case 16)."""
    for notice in _each_notice(sight):
        rule = notice.visit.policy.transition.admission_notice
        expires_at = notice.from_at + timedelta(days=MISS_ALERT_DAYS)
        if notice.stop is not None or sight.alarm.reached(expires_at):
            continue
        about, policy = notice.visit.stay, notice.visit.policy.id
        to_lead = f"notice/{notice.key}/{sight.lead}"
        lead_present = sight.lead is not None and sight.to.owner == sight.lead
        if lead_present and _became_admission(notice.visit):
            yield alert(f"notice/{notice.key}/admitted/{sight.lead}", sight.to.owner, "admission_notice", about, expires_at, policy)
        if notice.read_at is not None:
            continue
        if lead_present:
            yield alert(to_lead, sight.to.owner, "admission_notice", about, expires_at, policy)
        unread = sight.alarm.reached(notice.from_at + timedelta(hours=rule.escalate_after_hours))
        if unread or not lead_present or _fallen(to_lead, sight.state.requests, sight.guard):
            to_boss = f"notice/{notice.key}/escalated/{sight.to.supervisor}"
            yield alert(to_boss, sight.to.supervisor, "admission_notice_escalated", about, expires_at, policy)


def _became_admission(visit: Visit) -> bool:
    """Whether a visit to the emergency department, of which somebody was told, went on as an admission."""
    course = visit.course
    return visit.policy.transition.emergency_visits and course.was_emergency and course.stay_class is StayClass.INPATIENT


def _fallen(want: str, requests: Requests, policy: Policy) -> bool:
    """Whether an alert has not reached its recipient and is not tried again."""
    turns = requests.of(want)
    return bool(turns) and (
        _lost(turns[-1]) or (turns[-1].state is RequestState.FAILED and len(turns) >= policy.messages.turns_max)
    )


def _lost(request: Request) -> bool:
    return request.state in (*USELESS, RequestState.EXPIRED, RequestState.UNKNOWN)


# --- the checklist after a discharge -------------------------------------------------------------------------------------------


def _items_owed(sight: Sight, left: tuple[Departure, ...]) -> tuple[Clock, ...]:
    return tuple(chain.from_iterable(_checklist(sight, departure) for departure in left))


def _checklist(sight: Sight, departure: Departure) -> Iterator[Clock]:
    """One clock for each item that is owed after this discharge."""
    if departure.way in UNDER_OTHER_CARE or not sight.enrolled_at <= departure.at:
        return
    for owed in _items(sight, departure):
        item, stop = owed.item, _stop_of(sight, departure, owed.item)
        if not _applies(item, departure) or (stop is not None and stop.at <= departure.at):
            continue
        window, reaches = _window(sight, owed, departure)
        met = _met_by(sight, item, window)
        act_by = _act_by(sight, item, window)
        yield Clock(
            key=f"{item.key}/{departure.key}",
            rule=f"transition.{item.key}",
            window=window,
            policy=owed.policy.id,
            cause=departure.discharge.cause,
            known_at=departure.discharge.known_at,
            subject=sight.episode.member,
            met_at=met.at if met else None,
            met_by=met.event_id if met else None,
            stopped_at=stop.at if stop else None,
            stopped_by=stop.by if stop else None,
            stop_reason=stop.reason if stop else "",
            suspended_since=_resting_since(_rests(sight, departure)),
            act_by=act_by,
            how=_how(item, departure, reaches, _attempts(sight, window)),
            feasible=reaches and act_by >= window.opens,
        )


@dataclass(frozen=True, slots=True)
class Owed:
    """An item of the checklist, the policy version that its clock keeps, and when that one was re-applied, if it was."""

    policy: Policy
    item: ChecklistItem
    moved_at: Instant | None = None


def _items(sight: Sight, departure: Departure) -> Iterable[Owed]:
    """The items of the stay's own policy version; those that were open when another was re-applied follow that one."""
    own = departure.visit.policy
    owed = {item.key: Owed(own, item) for item in own.transition.item}
    for moved_at, policy in sight.reapplied:
        if moved_at > departure.visit.since:
            settled = {key: o for key, o in owed.items() if _settled_at(sight, o, departure) <= moved_at}
            owed = settled | {i.key: Owed(policy, i, moved_at) for i in policy.transition.item if i.key not in settled}
    return owed.values()


def _settled_at(sight: Sight, owed: Owed, departure: Departure) -> Instant:
    """When an item was no longer open: at its due, or when it was done or everything stopped before."""
    window, _ = _window(sight, owed, departure)
    met, stop = _met_by(sight, owed.item, window), _stop_of(sight, departure, owed.item)
    return min(window.due, met.at if met else window.due, stop.at if stop else window.due)


def _stop_of(sight: Sight, departure: Departure, item: ChecklistItem) -> Stop | None:
    return earliest(departure.stop, sight.stop, departure.home_stop if item.home_only else None)


def _applies(item: ChecklistItem, departure: Departure) -> bool:
    if departure.emergency and not item.after_emergency:
        return False
    return not item.home_only or departure.way in HOMEWARD


def _window(sight: Sight, owed: Owed, departure: Departure) -> tuple[Window, bool]:
    """From the discharge, or the opening day, to the end of the due day, moved on by the days of rest.

    The second value is False where the holiday calendar does not reach the due: the calendar day is shown, and it is a task for
    staff to name the holidays."""
    policy, item = owed.policy, owed.item
    rests, office = _rests(sight, departure), policy.timezone
    holidays = policy.calendar(item.holiday_calendar)
    counted_day = add_days(departure.day, item.due_day, item.basis, holidays)
    due_day = moved_day(counted_day or departure.day + timedelta(days=item.due_day), rests, office)
    while item.basis == "business" and counted_day not in (None, due_day) and not holidays.is_business_day(due_day):
        due_day += timedelta(days=1)
    closing_day = moved_day(departure.day + timedelta(days=item.closes_day), rests, office)
    opens = departure.at
    if item.before_discharge:
        opens = min(opens, departure.visit.since)
    elif item.opens_day > 0:
        opens = max(opens, start_of_day(departure.day + timedelta(days=item.opens_day), office))
    due = max(opens, end_of_day(due_day, office))
    if owed.moved_at is not None:
        due = max(due, end_of_day(local_date(owed.moved_at, office), office))
    return Window(opens, due, max(due, end_of_day(closing_day, office))), counted_day is not None


def _rests(sight: Sight, departure: Departure) -> tuple[Span, ...]:
    """The times in which nothing could be done, from the discharge on."""
    spans = (*sight.rests, *departure.rests)
    after = (s for s in spans if s.until is None or s.until > departure.at)
    stop = earliest(departure.stop, sight.stop)
    rests = merged((replace(s, since=max(s.since, departure.at)) for s in after), sight.alarm)
    return before(rests, stop.at if stop is not None else None)


def _resting_since(rests: tuple[Span, ...]) -> Instant | None:
    return next((span.since for span in rests if span.until is None), None)


def _met_by(sight: Sight, item: ChecklistItem, window: Window) -> Entry | None:
    """The first record in the window that closes the item and was not taken back."""
    return next((e for e in _closing(sight, item, window.opens) if e.at < window.closes), None)


def _closing(sight: Sight, item: ChecklistItem, opens: Instant) -> Iterator[Entry]:
    for entry in sight.records:
        if isinstance(entry.fact, TransitionAttemptMade) or entry.at < opens:
            continue
        taken_back = isinstance(entry.fact, ChecklistItemDone) and entry.fact.item == item.key and entry.event_id in sight.void
        if not taken_back and closes(item, entry.fact):
            yield entry


def _act_by(sight: Sight, item: ChecklistItem, window: Window) -> Instant:
    """The last moment for it: what needs the member ends before their quiet hours begin."""
    if item.evidence in (Evidence.DONE, Evidence.LICENSED):
        return window.due
    return sight.guard.quiet_hours.hours.last_allowed(window.due, sight.member.timezone)


def _attempts(sight: Sight, window: Window) -> int:
    return sum(1 for e in sight.records if isinstance(e.fact, TransitionAttemptMade) and window.opens <= e.at < window.closes)


def _how(item: ChecklistItem, departure: Departure, reaches: bool, attempts: int) -> str:
    """What the person who does it should know."""
    parts = [item.evidence.value if item.evidence is not Evidence.LICENSED else f"by {' or '.join(item.licences)}"]
    if departure.way.value == "against_advice":
        parts.append("left against advice: as early as possible")
    if attempts and item.evidence is Evidence.CONTACT:
        parts.append(f"{attempts} attempts without an exchange")
    if not reaches:
        parts.append("the holiday calendar does not reach the due day: have it extended")
    return "; ".join(parts)


def _support_ends(sight: Sight, departure: Departure) -> Instant:
    """The end of the day until which support lasts at least; at once where the discharge has none, or it was cut short."""
    own = departure.visit.policy
    stop = earliest(departure.stop, sight.stop)
    if stop is not None or not _supports(sight, departure):
        return stop.at if stop is not None else departure.at
    last = departure.day + timedelta(days=own.transition.support_days_min)
    return end_of_day(moved_day(last, _rests(sight, departure), own.timezone), own.timezone)


def _supports(sight: Sight, departure: Departure) -> bool:
    return not (departure.emergency or departure.way in UNDER_OTHER_CARE) and departure.at >= sight.enrolled_at


def _outstanding(sight: Sight, departure: Departure) -> tuple[str, ...]:
    """What keeps the support going after its least number of days (domain.md scenario 61)."""
    needed = (owed for owed in _items(sight, departure) if owed.item.needed_to_end and _applies(owed.item, departure))
    opens = {owed.item.key: (_window(sight, owed, departure)[0].opens, owed.item) for owed in needed}
    return tuple(key for key, (opens_at, item) in opens.items() if next(_closing(sight, item, opens_at), None) is None)


# --- what somebody has to look at, again and again -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """What somebody has to look at, and the stay that a review must be about to answer it (None: any)."""

    wait: Wait
    stay: StreamId | None

    def answered(self, key: str, review: object) -> bool:
        return self.stay is None or (isinstance(review, StayReviewed) and review.stay == self.stay)


def _wait(
    reason: str,
    about: str,
    cause: EventId,
    since: Instant,
    every_days: int,
    owed_by: str,
    policy: str,
    stay: StreamId | None = None,
) -> Looked:
    wait = Wait(
        key=f"{reason}/{about}",
        rule=f"transition.{reason}",
        policy=policy,
        cause=(cause,),
        since=since,
        every_days=every_days,
        owed_by=owed_by,
    )
    return Looked(wait, stay)


def _looks(sight: Sight, left: tuple[Departure, ...]) -> Iterator[Obligation]:
    for found in _waits(sight, left):
        yield turn_of(found.wait, sight.episode.member, sight.alarm, sight.reviews, found.answered)


def _waits(sight: Sight, left: tuple[Departure, ...]) -> Iterator[Looked]:
    """What is waited for. Nothing is, once everything has stopped; while it rests, only for its resumption."""
    yield from _unapproved(sight)
    if sight.stop is not None:
        return
    resting = next((span for span in sight.rests if span.until is None), None)
    if resting is not None and sight.visits:
        yield _wait(
            f"rest_{resting.reason}",
            resting.begun_by,
            resting.begun_by,
            resting.since,
            _often(sight),
            sight.to.supervisor,
            sight.guard.id,
        )
        return
    for visit in sight.visits:
        yield from _still_inside(sight, visit)
        yield from _contradictions(sight, visit)
    for departure in left:
        yield from _elsewhere(sight, departure)
        yield from _goes_on(sight, departure)


def _unapproved(sight: Sight) -> Iterator[Looked]:
    """Records dated back beyond the grace, which a supervisor has to approve or reject."""
    for entry in sight.unapproved:
        yield _wait("approval", entry.event_id, entry.event_id, entry.at, _often(sight), sight.to.supervisor, sight.guard.id)


def _often(sight: Sight) -> int:
    return sight.guard.transition.review_every_days


def _still_inside(sight: Sight, visit: Visit) -> Iterator[Looked]:
    """A stay whose discharge nobody has heard of: a message that never comes is noticed."""
    spells = inside(visit.course, sight.alarm)
    if spells and spells[-1].until is None:
        since, days = max(spells[-1].since, sight.enrolled_at), visit.policy.transition.discharge_review_days
        yield _wait("discharge_review", visit.stay, spells[-1].cause, since, days, sight.to.owner, visit.policy.id, visit.stay)


def _contradictions(sight: Sight, visit: Visit) -> Iterator[Looked]:
    """What the hospital said does not fit together, and waits until it is corrected."""
    for doubt in visit.course.doubts:
        about, since, every = f"{visit.stay}/{doubt.code}", doubt.since, visit.policy.transition.review_every_days
        yield _wait("contradiction", about, doubt.event_id, since, every, sight.to.owner, visit.policy.id, visit.stay)


def _elsewhere(sight: Sight, departure: Departure) -> Iterator[Looked]:
    """Transferred, or in a hospice: somebody finds out where the member is, until they are known to be somewhere."""
    if departure.way not in UNDER_OTHER_CARE or departure.stop is not None or departure.followed:
        return
    settled = (e for e in sight.reviews if e.fact.stay == departure.visit.stay and e.fact.finding is Finding.SETTLED)
    if departure.at >= sight.enrolled_at and not any(e.at >= departure.at for e in settled):
        every, cause = departure.visit.policy.transition.review_every_days, departure.discharge.cause[-1]
        yield _wait(
            "placement_review",
            departure.key,
            cause,
            departure.at,
            every,
            sight.to.owner,
            departure.visit.policy.id,
            departure.visit.stay,
        )


def _goes_on(sight: Sight, departure: Departure) -> Iterator[Looked]:
    """Support beyond its least number of days, because needs are not connected."""
    ends_at = _support_ends(sight, departure)
    over = departure.stop is not None or not _supports(sight, departure)
    if not over and sight.alarm.reached(ends_at) and _outstanding(sight, departure):
        every, cause = departure.visit.policy.transition.review_every_days, departure.discharge.cause[-1]
        yield _wait(
            "support_review", departure.key, cause, ends_at, every, sight.to.owner, departure.visit.policy.id, departure.visit.stay
        )


# --- alerts --------------------------------------------------------------------------------------------------------------------


def _alerts(sight: Sight, kept: tuple[Obligation, ...], waits: tuple[Obligation, ...]) -> Iterator[Want]:
    """To staff: admissions, dues that are near or missed, waits that nobody has looked at. None after everything stopped."""
    if sight.stop is not None:
        return
    yield from _notice_alerts(sight)
    checklist = tuple(o for o in kept if not o.because.rule.startswith("transition.notice"))
    for policy_id, group in _by_policy(checklist).items():
        policy = next((v.policy for v in sight.visits if v.policy.id == policy_id), sight.guard)
        for want in warnings(_one_per_due(group), policy.transition.warn, sight.to, sight.alarm):
            yield replace(want, about=_stay_of(want.about))
    missed = one_per_miss(kept, sight.state.clocks, lambda owed: owed.key.partition("/")[2])
    yield from misses(missed, sight.state.clocks, sight.to, sight.alarm)
    yield from unheeded(waits, sight.to.supervisor)


def _by_policy(owed: Iterable[Obligation]) -> dict[str, list[Obligation]]:
    groups: dict[str, list[Obligation]] = {}
    for obligation in owed:
        groups.setdefault(obligation.because.policy, []).append(obligation)
    return groups


def _one_per_due(owed: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """One warning for everything that is due after a discharge at the same time, as long as any of it is open."""
    groups: dict[tuple[str, Instant], Obligation] = {}
    for obligation in owed:
        if obligation.state is ObligationState.OPEN and not obligation.suspended:
            at = (obligation.key.partition("/")[2], obligation.window.due)
            first = groups.get(at)
            act_by = min(obligation.act_by, first.act_by) if first else obligation.act_by
            groups[at] = replace(obligation, key=f"checklist/{at[0]}", act_by=act_by)
    return tuple(groups.values())


def _stay_of(key: str) -> StreamId:
    return key.partition("/")[2].partition("~")[0]


# --- the end -------------------------------------------------------------------------------------------------------------------


def _ending(sight: Sight, owed: bool) -> Iterator[Step]:
    if not sight.state.opened:
        return
    generation = sight.state.endings_ever
    if not owed and not sight.state.ended:
        supported = any(not visit.course.cancelled for visit in sight.visits)
        reason = sight.stop.reason if sight.stop is not None else "supported" if supported else "no_stay"
        yield _carry(sight, f"ended/{generation}", TransitionalCareEnded(reason=reason))
    elif owed and sight.state.ended:
        yield _carry(sight, f"resumed/{generation}", TransitionalCareResumed(reason="owed_again"))


def _waiting(sight: Sight, obligations: tuple[Obligation, ...], supported: list[Departure]) -> tuple[bool, str]:
    """Whether anything is open; and the summary of the timer: a rule or a reason, never anything about the member."""
    pending = [o for o in obligations if o.state is ObligationState.OPEN]
    if pending:
        return True, min(pending, key=lambda o: o.window.due).because.rule
    if supported:
        return False, "support"
    return False, sight.stop.reason if sight.stop is not None else "nothing"


def _carry(sight: Sight, key: str, fact: Fact) -> Step:
    command = CarryTransition(stream=sight.state.stream, by=SYSTEM, occurred_at=sight.now, fact=fact)  # type: ignore[arg-type]
    return Step(key, command, sight.now)


def reads(ref: ProcessRef, state: Transition, context: Context) -> tuple[StreamId, ...]:
    """The episode; then its member and lead care managers; then the member's stays and the supervisors."""
    wanted: list[StreamId] = [state.episode]
    loaded = context.get(state.episode)
    if loaded is None or loaded.state.assignment is None:
        return tuple(wanted)
    episode: Episode = loaded.state
    wanted.extend(in_context(episode.member, context))
    if episode.member in context:
        wanted.extend(_attributed(state, the_person(episode.member, context))[-STAYS_MAX:])
    leads = dict.fromkeys(
        entry.fact.receiver if isinstance(entry.fact, LeadCareManagerHandedOver) else entry.fact.staff
        for entry in episode.said
        if isinstance(entry.fact, LeadCareManagerAssigned | LeadCareManagerHandedOver)
    )
    wanted.extend(leads)
    wanted.extend(dict.fromkeys(boss for lead in leads if (boss := staff_in(context, lead).supervisor) is not None))
    return tuple(wanted)


def _tags(fact: Any) -> tuple[StreamId, ...]:
    match fact:
        case TransitionalCareOpened(stay=stay, member=member, episode=episode, plan=plan_name):
            return (stay, member, episode, *policy_tags(plan_name))
        case TransitionEntrusted(lead=lead, supervisor=supervisor):
            return tuple(stream for stream in (lead, supervisor) if stream)
        case MessageRequested(about=about) if about.startswith("stay-"):
            return (about,)
        case _:
            return ()


PROCESS = Process(
    "transition",
    plan,
    reads,
    opens=TransitionalCareOpened,
    ends=TransitionalCareEnded,
    resumes=TransitionalCareResumed,
    tags=_tags,
    ignores=OF_CARE,
)
