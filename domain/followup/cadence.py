"""How often somebody speaks with the member: the interval at each instant, and the chain of dues that follows from it.

A chain hangs on anchors: the enrolment, then every contact. From each anchor the next due counts, and while nobody makes contact
the next one from the due that was missed. Whatever makes the interval shorter counts from its own day and takes the earlier due;
what makes it longer counts from the anchor and never makes anything overdue (domain.md scenarios 40 and 42).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from domain.calendar import NO_HOLIDAYS, Holidays, add_days, end_of_day, local_date
from domain.clocks import Clock, Variant
from domain.core import Alarm, EventId, Instant, Window, earlier
from domain.follow_up_policy import ANY_TIER, FollowUp, Overlay, PhaseAnchor, StepUpAfter
from domain.followup.decider import covers
from domain.followup.sight import Contact, Sight, Turn, Version, clipped
from domain.member.circumstances import Circumstance
from domain.timeline import Span, moved_day

LINKS_MAX = 20
"""So many links of a chain, the newest, are in sight: of what is older stands what is written."""

OVERLAY_LINKS_MAX = 8
SPELLS_MAX = 3
"""Likewise of the chain of a circumstance, and of the times in which it was so."""

SILENT_LINKS_MAX = 12
"""After so many intervals in a row without a contact no further miss is counted: somebody is asked to look, again and again."""

CONTACT = "followup.contact"


# --- intervals -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """From an instant on a contact is due every so many days (None: none is asked for), and why: in words, and the facts that it
    rests on besides the anchor (a person's word on the tier, an agreement, a stay)."""

    at: Instant
    every_days: int | None
    why: str = ""
    cause: tuple[EventId, ...] = ()


@dataclass(frozen=True, slots=True)
class Pace:
    """The interval at each instant, as far as it can be known now: steps in order, neighbours differ."""

    steps: tuple[Step, ...]

    def at(self, instant: Instant) -> Step:
        place = bisect_right(self.steps, instant, key=lambda step: step.at)
        return self.steps[place - 1] if place else Step(instant, None)

    def after(self, instant: Instant) -> tuple[Step, ...]:
        return self.steps[bisect_right(self.steps, instant, key=lambda step: step.at) :]

    def asked_from(self, instant: Instant) -> Instant | None:
        """The instant itself, or the first one after it at which a contact is asked for."""
        if self.at(instant).every_days is not None:
            return instant
        return next((step.at for step in self.after(instant) if step.every_days is not None), None)


def by_version(sight: Sight, table: Callable[[FollowUp], Mapping[str, int]], since: Instant, why: str = "") -> Pace:
    """An interval that follows the tier, or `any`, alone, under each version's own table."""
    edges = {since, *(t.since for t in sight.tiers), *(v.at for v in sight.versions if v.at is not None)}
    steps = []
    for edge in sorted(edge for edge in edges if edge >= since):
        rules, held = sight.version_at(edge).rules, sight.held_at(edge)
        days = _of_tier(table(rules), held.tier) if rules is not None else None
        steps.append(Step(edge, days, why) if why else Step(edge, days, f"tier {held.tier}", _named(held.word)))
    return _joined(steps)


def _of_tier(table: Mapping[str, int], tier: str) -> int | None:
    return table.get(tier, table.get(ANY_TIER))


def _joined(steps: Iterable[Step]) -> Pace:
    """Neighbours that say the same are one."""
    found: list[Step] = []
    for step in steps:
        if not found or replace(found[-1], at=step.at) != step:
            found.append(step)
    return Pace(tuple(found))


def contact_pace(sight: Sight, *, agreed: bool) -> Pace:
    """The interval of the contacts: the shortest of the phases (or what the member agreed to in their place) and the step-ups."""
    since = sight.started.at
    edges = {since, *(t.since for t in sight.tiers), *(v.at for v in sight.versions if v.at is not None)}
    wishes = sight.wishes if agreed else ()
    edges.update(edge for span, _ in wishes for edge in (span.since, span.until) if edge is not None)
    windows = {v.policy.id: tuple(_windows(sight, v)) for v in sight.versions}
    for window in windows.values():
        edges.update(edge for w in window for edge in (w.since, w.until))
    return _joined(
        _step(sight, edge, windows[sight.version_at(edge).policy.id], wishes) for edge in sorted(e for e in edges if e >= since)
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """A phase or a step-up: an interval by tier that holds from `since` until `until`."""

    since: Instant
    until: Instant
    every_days: dict[str, int]
    phase: bool
    why: str
    cause: EventId = ""


def _windows(sight: Sight, version: Version) -> Iterator[_Window]:
    rules, zone = version.rules, version.policy.timezone
    if rules is None:
        return
    for number, phase in enumerate(rules.cadence.phase, start=1):
        start = (Turn(sight.started.at, ""),)
        for anchor in start if phase.anchor is PhaseAnchor.ENROLMENT else sight.stays.exits:
            since = anchor.at if phase.from_day == 0 else _day_ends(anchor.at, phase.from_day, zone)
            until = _day_ends(anchor.at, phase.until_day, zone)
            if since < until:
                yield _Window(since, until, phase.every_days, True, f"phase {number}", anchor.cause)
    for step_up in rules.cadence.step_up:
        for turn in _turns(sight, step_up.after):
            until = _day_ends(turn.at, step_up.for_days, zone)
            yield _Window(turn.at, until, {ANY_TIER: step_up.every_days}, False, f"after {step_up.after}", turn.cause)


def _turns(sight: Sight, after: StepUpAfter) -> tuple[Turn, ...]:
    match after:
        case StepUpAfter.ADMISSION:
            return sight.stays.admissions
        case StepUpAfter.DISCHARGE:
            return sight.stays.exits
        case StepUpAfter.EMERGENCY:
            return sight.stays.emergencies


def _day_ends(anchor: Instant, days: int, zone: str) -> Instant:
    return end_of_day(local_date(anchor, zone) + timedelta(days=days), zone)


def _step(sight: Sight, at: Instant, windows: tuple[_Window, ...], wishes: tuple[tuple[Span, int], ...]) -> Step:
    if sight.version_at(at).rules is None:
        return Step(at, None)
    held = sight.held_at(at)
    wish = next(((days, span.begun_by) for span, days in wishes if covers(span, at)), None)
    found: list[tuple[int, str, tuple[EventId, ...]]] = []
    if wish is not None:
        found.append((wish[0], "agreed with the member", _named(wish[1])))
    for window in windows:
        days = _of_tier(window.every_days, held.tier)
        if days is None or not window.since <= at < window.until or (window.phase and wish is not None):
            continue
        if window.phase:
            found.append((days, f"{window.why}, tier {held.tier}", _named(window.cause, held.word)))
        else:
            found.append((days, window.why, _named(window.cause)))
    return Step(at, *min(found)) if found else Step(at, None)


def _named(*events: EventId) -> tuple[EventId, ...]:
    return tuple(event for event in events if event)


# --- days ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Basis:
    """From an instant on (None: from the beginning) days are counted so."""

    at: Instant | None
    basis: str
    holidays: Holidays


CALENDAR = (Basis(None, "calendar", NO_HOLIDAYS),)


@dataclass(frozen=True, slots=True)
class DayCount:
    """How days are counted: the office's zone, in calendar or business days, moved on by the local days of every rest."""

    zone: str
    rests: tuple[Span, ...]
    bases: tuple[Basis, ...] = CALENDAR

    def due(self, since: Instant, days: int, *, turned: bool = False) -> Instant:
        """The end of the day so many days after an instant. `turned`: something turned then, and what turns at a local midnight
        turned at the end of the day before."""
        start, counted, basis = self._start(since, turned), self._counted(since, days, turned), self._basis(since)
        if not self.rests:
            return end_of_day(counted or start + timedelta(days=days), self.zone)
        moved = moved_day(counted or start + timedelta(days=days), clipped(self.rests, since), self.zone)
        while basis.basis == "business" and counted not in (None, moved) and not basis.holidays.is_business_day(moved):
            moved += timedelta(days=1)
        return end_of_day(moved, self.zone)

    def reaches(self, since: Instant, days: int) -> bool:
        """Whether the holiday calendar is known so far ahead."""
        return self._counted(since, days, False) is not None

    def _start(self, since: Instant, turned: bool) -> date:
        return local_date(since - timedelta(microseconds=1) if turned else since, self.zone)

    def _counted(self, since: Instant, days: int, turned: bool) -> date | None:
        basis = self._basis(since)
        return add_days(self._start(since, turned), days, basis.basis, basis.holidays)

    def resting_since(self, since: Instant) -> Instant | None:
        """From when on nothing runs, where a rest goes on."""
        return next((span.since for span in clipped(self.rests, since) if span.until is None), None)

    def _basis(self, at: Instant) -> Basis:
        return self.bases[0] if len(self.bases) == 1 else [b for b in self.bases if b.at is None or b.at <= at][-1]


def cadence_days(sight: Sight) -> DayCount:
    """The days of the cadence, in each version's own basis."""
    return sight.alarm.as_before("cadence days", lambda: _cadence_days(sight), sight.versions, sight.rests)


def _cadence_days(sight: Sight) -> DayCount:
    bases = tuple(
        Basis(v.at, v.rules.cadence.basis, v.policy.calendar(v.rules.cadence.holiday_calendar))
        for v in sight.versions
        if v.rules is not None
    )
    whole = bases if bases and bases[0].at is None else (*CALENDAR, *bases)
    return DayCount(sight.office, sight.rests, whole)


def period_days(sight: Sight) -> DayCount:
    return DayCount(sight.office, sight.rests)


def calendar_days(sight: Sight) -> DayCount:
    """For what goes on while the member is in a hospital: calendar days, moved on where no clock could run."""
    return DayCount(sight.office, sight.lost)


# --- chains --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a due counts from: a contact, the enrolment, a completed assessment."""

    at: Instant
    event_id: EventId
    known_at: Instant


@dataclass(frozen=True, slots=True)
class Link:
    """One due of a chain: the `ordinal`-th since its anchor, met by the next anchor if that comes in time."""

    anchor: Anchor
    ordinal: int
    opens: Instant
    due: Instant
    every_days: int
    why: str
    cause: tuple[EventId, ...]
    met: Anchor | None
    lapsed_at: Instant | None
    resting_since: Instant | None

    @property
    def name(self) -> str:
        return f"{self.anchor.event_id}/{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Chain:
    """The links in sight, and which anchors have left it. `silent`: the last link after which nothing is counted any more."""

    links: tuple[Link, ...]
    past: frozenset[EventId]
    silent: Link | None = None


def chain(
    anchors: Sequence[Anchor],
    pace: Pace,
    days: DayCount,
    alarm: Alarm,
    until: Instant | None,
    *,
    name: str,
    links_max: int = LINKS_MAX,
    silent_max: int = SILENT_LINKS_MAX,
) -> Chain:
    """The newest links. `until`: from then on nothing is asked for (None: it goes on). `name`: the chain's alone."""
    found: list[tuple[Link, ...]] = []
    count = 0
    place = len(anchors) - 1
    while place >= 0 and count < links_max:
        after = anchors[place + 1] if place + 1 < len(anchors) else None
        links = _links_from(name, anchors[place], after, pace, days, alarm, until, silent_max)
        found.append(links)
        count, place = count + len(links), place - 1
    past = frozenset(anchor.event_id for anchor in anchors[: place + 1])
    newest = found[0] if found else ()
    silent = newest[-1] if newest and _silent(newest[-1], alarm, until, silent_max) else None
    return Chain(tuple(link for links in reversed(found) for link in links), past, silent)


def _silent(last: Link, alarm: Alarm, until: Instant | None, silent_max: int) -> bool:
    over = until is not None and until <= last.due
    if last.ordinal != silent_max or last.met is not None or over:
        return False
    return last.due <= alarm.now if last.resting_since is not None else alarm.reached(last.due)


def _links_from(
    name: str,
    anchor: Anchor,
    after: Anchor | None,
    pace: Pace,
    days: DayCount,
    alarm: Alarm,
    until: Instant | None,
    silent_max: int,
) -> tuple[Link, ...]:
    """The links of one anchor: those that are past are what they were."""
    return alarm.as_before(
        (name, anchor.event_id), lambda: tuple(_links(anchor, after, pace, days, alarm, until, silent_max)),
        anchor, after, pace, days, until, silent_max,
    )  # fmt: skip


def _links(
    anchor: Anchor, after: Anchor | None, pace: Pace, days: DayCount, alarm: Alarm, until: Instant | None, silent_max: int
) -> Iterator[Link]:
    base = anchor.at
    for ordinal in range(silent_max + 1):
        opens = pace.asked_from(base)
        if opens is None or (until is not None and until <= opens) or (after is not None and after.at < opens):
            return
        if not alarm.reached(opens):
            return
        due, lapsed_at, step = walked(opens, pace, days, turned=opens != anchor.at, until=after.at if after is not None else None)
        rests = days.resting_since(opens)
        resting = rests if rests is not None and rests < due else None
        yield Link(anchor, ordinal, opens, due, step.every_days or 0, step.why, step.cause, after, lapsed_at, resting)
        ends = due if lapsed_at is None else lapsed_at
        met, over = after is not None and after.at < ends, until is not None and until <= ends
        if resting is not None or met or over or not alarm.reached(ends):
            return
        base = ends


def walked(
    opens: Instant, pace: Pace, days: DayCount, *, turned: bool, until: Instant | None = None
) -> tuple[Instant, Instant | None, Step]:
    """The due of what opens at an instant, through every change of the interval before it; and from when on nothing is asked for
    any more, where that comes before the due. `turned`: it opened by a due or a change, and not by what somebody did. `until`: what
    changed after the contact that met it changes it no more."""
    step = pace.at(opens)
    assert step.every_days is not None
    due = days.due(opens, step.every_days, turned=turned)
    for turn in pace.after(opens):
        if turn.at >= due or (until is not None and turn.at >= until):
            break
        if turn.every_days is None:
            return due, turn.at, step
        assert step.every_days is not None
        if turn.every_days < step.every_days:
            due = min(due, days.due(turn.at, turn.every_days, turned=True))
        elif turn.every_days > step.every_days:
            due = max(due, days.due(opens, turn.every_days, turned=turned))
        step = turn
    return due, None, step


# --- contacts ------------------------------------------------------------------------------------------------------------------


def counting(sight: Sight) -> tuple[Contact, ...]:
    """The contacts that count: with the member, or where the policy of their day says so with their caregiver."""
    return sight.alarm.as_before("counting", lambda: _counting(sight), sight.contacts, sight.versions)


def _counting(sight: Sight) -> tuple[Contact, ...]:
    return tuple(c for c in sight.contacts if c.with_member or _caregiver_counts(sight.version_at(c.at)))


def _caregiver_counts(version: Version) -> bool:
    return version.rules is not None and version.rules.cadence.caregiver_counts


def contacts(sight: Sight) -> tuple[Chain, tuple[Clock, ...]]:
    """The chain of the contacts and its clocks."""
    pace = sight.alarm.as_before("pace", lambda: contact_pace(sight, agreed=True), sight.frame, sight.wishes)
    found = contact_chain(sight, pace)
    return found, tuple(contact_clocks(sight, found, pace))


def contact_chain(sight: Sight, pace: Pace) -> Chain:
    start = sight.started
    anchors = [Anchor(start.at, start.event_id, start.recorded_at)]
    anchors += [Anchor(c.at, c.event_id, c.recorded_at) for c in counting(sight) if c.at > start.at]
    until = sight.stop.at if sight.stop is not None else None
    return chain(anchors, pace, cadence_days(sight), sight.alarm, until, name="contacts from")


def contact_clocks(sight: Sight, found: Chain, pace: Pace) -> Iterator[Clock]:
    """One clock for each interval, met by the next contact. Where the member agreed to another interval, the due that the policy
    would give stands beside it (domain.md scenario 41)."""
    days = cadence_days(sight)
    default = contact_pace(sight, agreed=False) if sight.wishes else pace
    for link in found.links:
        tried = bisect_left(sight.attempts, link.due) - bisect_left(sight.attempts, link.opens)
        yield _contact_clock(sight, link, days, tried, pace, default)


def _contact_clock(sight: Sight, link: Link, days: DayCount, tried: int, pace: Pace, default: Pace) -> Clock:
    def clock() -> Clock:
        variants: tuple[Variant, ...] = ()
        if default is not pace and (default_due := _due_of(link, default, days)) != link.due:
            variants = (Variant("agreed", link.due), *((Variant("default", default_due),) if default_due else ()))
        how = f"every {link.every_days} days: {link.why}" + (f"; {tried} attempts without an exchange" if tried else "")
        return clock_of(sight, "contact", CONTACT, link, closing(sight, link), how, days=days, variants=variants)

    return sight.alarm.as_before(("contact clock", link.name), clock, sight.frame, link, days, tried, pace, default)


def _due_of(link: Link, pace: Pace, days: DayCount) -> Instant | None:
    """The due that another interval would have given."""
    asked = pace.asked_from(link.opens)
    return walked(asked, pace, days, turned=asked != link.anchor.at)[0] if asked is not None else None


def closing(sight: Sight, link: Link) -> int:
    """For how many days after its due a contact can still be made late."""
    rules = sight.version_at(link.opens).rules or sight.rules
    assert rules is not None
    return rules.cadence.closes_after_days


def clock_of(
    sight: Sight,
    name: str,
    rule: str,
    link: Link,
    closes_after_days: int,
    how: str,
    *,
    days: DayCount,
    variants: tuple[Variant, ...] = (),
    span: Span | None = None,
    with_member: bool = True,
) -> Clock:
    """The clock of a link. `span`: the circumstance that asks for it. `with_member`: it ends before their quiet hours begin."""
    closing_day = local_date(link.due, days.zone) + timedelta(days=closes_after_days - 1)
    stop_at, stop_by, reason = _stopped(sight, link, span)
    act_by = sight.guard.quiet_hours.hours.last_allowed(link.due, sight.member.timezone) if with_member else link.due
    reaches = days.reaches(link.opens, link.every_days)
    return Clock(
        key=f"{name}/{link.name}",
        rule=rule,
        window=Window(link.opens, link.due, max(link.due, end_of_day(closing_day, days.zone))),
        policy=sight.version_at(link.opens).policy.id,
        cause=tuple(dict.fromkeys((link.anchor.event_id, *link.cause, *((span.begun_by,) if span else ())))),
        known_at=link.anchor.known_at,
        subject=sight.episode.member,
        met_at=link.met.at if link.met else None,
        met_by=link.met.event_id if link.met else None,
        stopped_at=stop_at,
        stopped_by=stop_by,
        stop_reason=reason,
        suspended_since=link.resting_since,
        variants=variants,
        act_by=act_by,
        how=how if reaches else f"{how}; the holiday calendar does not reach the due day: have it extended",
        feasible=reaches,
    )


def _stopped(sight: Sight, link: Link, span: Span | None) -> tuple[Instant | None, EventId | None, str]:
    """What ends a link first: the end of everything, of the interval, or of the circumstance that asked for it."""
    stops: list[tuple[Instant, EventId | None, str]] = []
    if sight.stop is not None:
        stops.append((sight.stop.at, sight.stop.by, sight.stop.reason))
    if link.lapsed_at is not None:
        stops.append((link.lapsed_at, None, "no_interval"))
    if span is not None and span.until is not None:
        stops.append((span.until, span.ended_by, "circumstance_ended"))
    return min(stops, key=lambda stop: stop[0]) if stops else (None, None, "")


# --- overlays ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overlaid:
    """A time in which a circumstance asks for contacts of its own, and their chain."""

    overlay: Overlay
    span: Span
    chain: Chain

    @property
    def name(self) -> str:
        return f"overlay.{self.overlay.key}"


def overlays(sight: Sight) -> Iterator[Overlaid]:
    """A chain for each time in which a circumstance asks for contacts of its own: weekly in person for Transitional Rent."""
    known = {overlay.key: overlay for v in sight.versions if v.rules is not None for overlay in v.rules.cadence.overlay}
    for overlay in known.values():
        spells = tuple(_spells(sight, overlay))
        for number, span in enumerate(spells):
            found = _overlay_chain(sight, overlay, span)
            gone = frozenset(link.anchor.event_id for link in found.links) | found.past
            yield Overlaid(overlay, span, found if number >= len(spells) - SPELLS_MAX else Chain((), gone))


def overlays_now(found: Iterable[Overlaid]) -> tuple[str, ...]:
    """The keys of the overlays that hold now."""
    return tuple(dict.fromkeys(o.overlay.key for o in found if o.span.until is None))


def overlay_clocks(sight: Sight, overlaid: Overlaid) -> Iterator[Clock]:
    overlay, days = overlaid.overlay, cadence_days(sight)
    for link in overlaid.chain.links:
        how = f"every {link.every_days} days{', in person' if overlay.in_person else ''}"
        rule = f"followup.{overlaid.name}"
        yield clock_of(sight, overlaid.name, rule, link, closing(sight, link), how, days=days, span=overlaid.span)


def _spells(sight: Sight, overlay: Overlay) -> Iterator[Span]:
    """The times of the circumstance in the year, of which the first may have begun before it."""
    for span in sight.member.life.spells(Circumstance(overlay.circumstance)):
        if sight.alarm.reached(span.since) and not sight.over(span.since):
            ended = span.until is not None and sight.alarm.reached(span.until)
            if not ended or (span.until is not None and span.until > sight.started.at):
                yield span if ended else replace(span, until=None, ended_by=None)


def _overlay_chain(sight: Sight, overlay: Overlay, span: Span) -> Chain:
    since = max(span.since, sight.started.at)
    noted_at = next((e.recorded_at for e in sight.member.life.noted if e.event_id == span.begun_by), since)
    within = (c for c in counting(sight) if c.at > since and (span.until is None or c.at < span.until))
    seen = (c for c in within if c.in_person or not overlay.in_person)
    first = Anchor(since, span.begun_by, max(noted_at, sight.started.recorded_at))
    anchors = [first, *(Anchor(c.at, c.event_id, c.recorded_at) for c in seen)]
    until = earlier(span.until, sight.stop.at if sight.stop is not None else None)
    pace = by_version(sight, lambda rules: _days_of(rules, overlay.key), since, overlay.key)
    name = f"overlay {overlay.key} {span.begun_by} from"
    return chain(anchors, pace, cadence_days(sight), sight.alarm, until, name=name, links_max=OVERLAY_LINKS_MAX)


def _days_of(rules: FollowUp, key: str) -> dict[str, int]:
    every_days = next((overlay.every_days for overlay in rules.cadence.overlay if overlay.key == key), None)
    return {} if every_days is None else {ANY_TIER: every_days}
