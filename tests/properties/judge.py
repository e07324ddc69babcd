"""Independent judges: what the rules of domain.md say of a history, worked out in the plainest way, with no help from the plans.

Nothing of `domain.clocks`, `domain.calendar` or of any plan may be imported here: two that copy from each other agree for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.core import Instant
from domain.episode.facts import (
    AssignmentReceived,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.interactions import Interaction, SpokenTo
from domain.member.facts import (
    Channel,
    ChannelOptedIn,
    ChannelOptedOut,
    ConsentGiven,
    ConsentWithdrawn,
    CoverageLost,
    CoverageRestored,
    DeathReported,
    DeathReportWithdrawn,
    StayAttributed,
    StayDetached,
)
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.policy import ChecklistItem, Policy
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.requests import MessageRequested
from domain.stay.facts import AdmissionCancelled, DischargeCancelled, MemberAdmitted, MemberDischarged, StayDescribed
from domain.transition.facts import ChecklistItemDone, ChecklistItemReopened, TransitionContactMade
from tests.given import Told
from tests.properties.histories import History

PACIFIC = ZoneInfo("America/Los_Angeles")
DAY = timedelta(days=1)


def midnight_after(day: date) -> Instant:
    tomorrow = day + DAY
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=PACIFIC)


def day_of(at: Instant) -> date:
    return at.astimezone(PACIFIC).date()


Gap = tuple[Instant, Instant | None]
"""Since when, and until when (None: still)."""


def verdict(done: list[Instant], due: Instant, stopped: Instant | None, rests_since: Instant | None, now: Instant) -> str:
    """Met if it was done before the due and before everything stopped; else nothing is owed if it stopped before the due; else open
    while the due lies ahead; else missed. The due of a clock that rests lies ahead."""
    rests = rests_since is not None and rests_since < due
    met = [d for d in done if stopped is None or d <= stopped]
    if met and (met[0] < due or (rests and met[0] >= rests_since)):
        return "met"
    if stopped is not None and (stopped < due or (rests and stopped >= rests_since)):
        return "withdrawn"
    return "open" if now < due or rests else "missed"


# --- the initial contact deadline ----------------------------------------------------------------------------------------------


def initial_contact(history: History) -> dict[str, str]:
    """Domain.md 2.3: first attempt, first two-way contact, and contact in person where the policy asks for it."""
    said = sorted((f for f in history.facts if f.at <= history.until), key=lambda f: (f.at, f.id or ""))
    assigned = next(f for f in history.facts if isinstance(f.fact, AssignmentReceived))
    lost, rests_since, stopped = _losses(said, history)
    found: dict[str, str] = {}
    for name, done in _done(said).items():
        policy = _in_force(history, day_of(assigned.fact.received_at))
        due = _due(policy, assigned.fact, lost)
        for word in (f for f in said if isinstance(f.fact, PolicyReapplied)):
            another = next((p for p in history.policies if p.id == word.fact.policy), None)
            over = [t for t in (due, stopped, *(d for d in done)) if t is not None]
            if another is not None and word.at < min(over):
                policy, due = another, max(_due(another, assigned.fact, lost), midnight_after(day_of(word.at)))
        if name == "in_person_contact" and policy.initial_contact.satisfied_by != name:
            continue
        found[f"initial_contact.{name}/{assigned.id}"] = verdict(done, due, stopped, rests_since, history.until)
    return found


def _done(said: list[Told]) -> dict[str, list[Instant]]:
    """When what satisfies each verdict was done."""
    gone = {f.fact.record for f in said if isinstance(f.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {f.fact.record for f in said if isinstance(f.fact, BackdatedRecordApproved)}
    spoken = [f for f in said if isinstance(f.fact, MemberEnrolled | MemberDeclined | DeferralAgreed)]
    records = [f for f in said if isinstance(f.fact, AttemptMade | ContactMade) and f.id not in gone]
    records = [f for f in records if not f.fact.approval_needed or f.id in approved]
    talks = [f for f in records if isinstance(f.fact, ContactMade) or f.fact.outcome is Outcome.REACHED]
    tries = [f for f in records if isinstance(f.fact, ContactMade) or f.fact.individualized]
    return {
        "attempt": sorted(f.at for f in (*tries, *spoken)),
        "contact": sorted(f.at for f in (*talks, *spoken)),
        "in_person_contact": [f.at for f in talks if f.fact.in_person],
    }


def _due(policy: Policy, assigned: AssignmentReceived, lost: list[tuple[Instant, Instant]]) -> Instant:
    rule = policy.initial_contact
    starts = {"received": day_of(assigned.received_at), "assignment_effective": assigned.effective_on, "authorized": None}
    start = starts[rule.clock_start] or day_of(assigned.received_at)
    return _end_of(start, rule.days, rule.basis, rule.holiday_calendar, policy, lost)


def _end_of(start: date, days: int, basis: str, calendar: str, policy: Policy, lost: list[tuple[Instant, Instant]]) -> Instant:
    """The end of the last of so many days, moved on by the days that were lost before it was over."""
    holidays = policy.holidays[calendar].days if calendar != "none" else ()

    def works(day: date) -> bool:
        return basis == "calendar" or (day.weekday() < 5 and day not in holidays)

    day, left = start, days
    while left:
        day += DAY
        left -= works(day)
    shifted = day
    for since, until in lost:
        if since < midnight_after(shifted):
            shifted += day_of(until) - day_of(since)
    while shifted != day and not works(shifted):
        shifted += DAY
    return midnight_after(shifted)


def _in_force(history: History, day: date) -> Policy:
    versions = sorted(history.policies, key=lambda p: p.effective_on)
    return [p for p in versions if p.effective_on <= day][-1] if versions[0].effective_on <= day else versions[0]


def _losses(said: list[Told], history: History) -> tuple[list[tuple[Instant, Instant]], Instant | None, Instant | None]:
    """Of outreach: the times without coverage and those of a wrong death or closure; since when that goes on; when all stopped."""
    days = _return_days(said, history)
    stopped = _stopped(said, history.until, lambda since: days, MemberEnrolled)
    return (*_seen_from(stopped, _lost(said)), stopped)


def _lost(said: list[Told]) -> list[Gap]:
    undone = {f.fact.report: f.at for f in said if isinstance(f.fact, DeathReportWithdrawn)}
    deaths = [(f.at, undone[f.id or ""]) for f in said if isinstance(f.fact, DeathReported) and f.id in undone]
    closures = [(s, u) for s, u in _pairs(said, EpisodeClosed, EpisodeReinstated) if u is not None]
    return [*_pairs(said, CoverageLost, CoverageRestored), *closures, *((s, u) for s, u in deaths if s <= u)]


def _stopped(said: list[Told], now: Instant, return_days: Callable[[Instant], int], *ends: type) -> Instant | None:
    """When everything stopped: a closure or death that stands, or one of `ends`; or coverage that lapsed before any of these."""
    undone = {f.fact.report for f in said if isinstance(f.fact, DeathReportWithdrawn)}
    stops = [since for since, until in _pairs(said, EpisodeClosed, EpisodeReinstated) if until is None]
    stops += [f.at for f in said if isinstance(f.fact, DeathReported) and f.id not in undone]
    stops += [f.at for f in said if isinstance(f.fact, ends)][:1]
    stopped = min(stops, default=None)
    for since, until in [*_pairs(said, CoverageLost, CoverageRestored)][::-1]:
        lapse = since + return_days(since) * DAY
        if lapse <= min(now, stopped or lapse) and (until is None or until > lapse):
            stopped = since if stopped is None or lapse < stopped else stopped
    return stopped


def _seen_from(stopped: Instant | None, spans: list[Gap]) -> tuple[list[tuple[Instant, Instant]], Instant | None]:
    """The spans without overlaps, as they were when everything stopped; and since when one goes on."""
    merged: list[Gap] = []
    for since, until in sorted(spans, key=lambda span: span[0]):
        last = merged[-1] if merged else None
        if last is None or (last[1] is not None and since > last[1]):
            merged.append((since, until))
        elif last[1] is not None:
            merged[-1] = (last[0], None if until is None else max(last[1], until))
    if stopped is not None:
        merged = [(since, until if until is not None and until <= stopped else None) for since, until in merged if since < stopped]
    rests_since = next((since for since, until in merged if until is None), None)
    return [(s, u) for s, u in merged if u is not None], rests_since


def _return_days(said: list[Told], history: History) -> int:
    words = [f.fact.policy for f in said if isinstance(f.fact, PolicyReapplied)]
    named = [p for word in words for p in history.policies if p.id == word]
    assigned = next(f for f in history.facts if isinstance(f.fact, AssignmentReceived))
    policy = named[-1] if named else _in_force(history, day_of(assigned.fact.received_at))
    return policy.outreach.coverage_return_days


def _pairs(said: list[Told], begins: type, ends: type) -> Iterator[tuple[Instant, Instant | None]]:
    since = None
    for f in said:
        if isinstance(f.fact, begins) and since is None:
            since = f.at
        elif isinstance(f.fact, ends) and since is not None:
            yield since, f.at
            since = None
    if since is not None:
        yield since, None


# --- the checklist after a discharge -------------------------------------------------------------------------------------------

HOMEWARD, ONWARD = ("01", "06", "07", ""), ("02",)
LIVE = (Interaction.IN_PERSON, Interaction.PHONE, Interaction.VIDEO)


def checklist(history: History) -> dict[str, str]:
    """Domain.md 3, for members with one stay whose discharge nobody cancelled: the rest is told in scenarios."""
    said = sorted((f for f in history.facts if f.at <= history.until), key=lambda f: (f.at, f.id or ""))
    stays = {f.stream for f in history.facts if f.stream.startswith("stay-")}
    unclear = AdmissionCancelled | DischargeCancelled | StayDetached | PolicyReapplied
    if len(stays) != 1 or any(isinstance(f.fact, unclear) for f in history.facts):
        return {}
    (stay,) = stays
    words = sorted((f for f in history.facts if f.stream == stay), key=lambda f: (f.fact.order, f.id or ""))
    came = min(f.fact.admitted_at for f in words if isinstance(f.fact, MemberAdmitted))
    left_at, where = None, ""
    for word in words:
        if isinstance(word.fact, MemberDischarged) or (isinstance(word.fact, StayDescribed) and left_at is not None):
            left_at, where = word.fact.discharged_at, word.fact.disposition or where
    enrolled_at = next(f.at for f in said if isinstance(f.fact, MemberEnrolled))
    policy = _in_force(history, day_of(came))
    stopped = _stopped(said, history.until, lambda at: _in_force(history, day_of(at)).outreach.coverage_return_days)
    if left_at is None or left_at > history.until or left_at < enrolled_at or where in ONWARD:
        return {}
    if stopped is not None and stopped <= left_at:
        return {}
    spans = [*_lost(said), *_pairs(said, EpisodeHeld, EpisodeResumed)]
    after = [(max(since, left_at), until) for since, until in spans if until is None or until > left_at]
    lost, rests_since = _seen_from(stopped, after)
    found: dict[str, str] = {}
    for item in policy.transition.item:
        if not item.home_only or where in HOMEWARD:
            due = _end_of(day_of(left_at), item.due_day, item.basis, item.holiday_calendar, policy, lost)
            opens = left_at if not item.opens_day else midnight_after(day_of(left_at) + (item.opens_day - 1) * DAY)
            done = [f.at for f in _that_count(said) if f.at >= opens and _closes(item, f, said)]
            found[f"{item.key}/{stay}"] = verdict(done, due, stopped, rests_since, history.until)
    return found


def _that_count(said: list[Told]) -> list[Told]:
    gone = {f.fact.record for f in said if isinstance(f.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {f.fact.record for f in said if isinstance(f.fact, BackdatedRecordApproved)}
    records = [f for f in said if isinstance(f.fact, TransitionContactMade | ChecklistItemDone) and f.id not in gone]
    return [f for f in records if not f.fact.approval_needed or f.id in approved]


def _closes(item: ChecklistItem, record: Told, said: list[Told]) -> bool:
    fact = record.fact
    void = {f.fact.done for f in said if isinstance(f.fact, ChecklistItemReopened)}
    named = isinstance(fact, ChecklistItemDone) and fact.item == item.key
    who = (SpokenTo.MEMBER, SpokenTo.CAREGIVER) if item.caregiver_counts else (SpokenTo.MEMBER,)
    if named and record.id in void:
        return False
    match item.evidence:
        case "contact":
            return fact.interaction in LIVE and fact.spoken_to in who
        case "in_person":
            return fact.interaction is Interaction.IN_PERSON and fact.spoken_to in who
        case "discussed":
            return named and fact.interaction in LIVE and fact.spoken_to in who
        case "licensed":
            return named and fact.licence in item.licences
        case _:
            return named


# --- messages ------------------------------------------------------------------------------------------------------------------


def may_begin(history: History, now: Instant, message: MessageRequested) -> bool:
    """Whether a message to the member may begin, by what had happened and had been recorded."""
    known = sorted((f for f in history.facts if f.recorded_at <= now and f.at <= now), key=lambda f: (f.at, f.id or ""))
    channel = [f.fact for f in known if getattr(f.fact, "channel", None) == message.kind]
    opted = [fact for fact in channel if isinstance(fact, ChannelOptedOut | ChannelOptedIn)]
    agreed = [f.fact for f in known if isinstance(f.fact, ConsentGiven | ConsentWithdrawn) and f.fact.scope == "contact"]
    ended = [f.fact for f in known if isinstance(f.fact, EpisodeClosed | EpisodeReinstated)]
    undone = {f.fact.report for f in known if isinstance(f.fact, DeathReportWithdrawn)}
    dead = any(isinstance(f.fact, DeathReported) and f.id not in undone for f in known)
    assert message.kind in tuple(Channel)
    return not (
        dead
        or (opted and isinstance(opted[-1], ChannelOptedOut))
        or (agreed and isinstance(agreed[-1], ConsentWithdrawn))
        or (ended and isinstance(ended[-1], EpisodeClosed))
    )


# --- corrections ---------------------------------------------------------------------------------------------------------------


def corrects_outreach(history: History, told: Told, due: Instant) -> bool:
    """Whether a fact at or after the due takes back, or settles, something from before it."""
    before = {f.id for f in history.facts if f.at < due}
    match told.fact:
        case RecordStruckOut(record=record) | BackdatedRecordApproved(record=record) | BackdatedRecordRejected(record=record):
            return record in before
        case DeathReportWithdrawn(report=report):
            return report in before
        case EpisodeReinstated():
            return any(isinstance(f.fact, EpisodeClosed) and f.at < due for f in history.facts)
        case _:
            return False


def corrects_transition(history: History, told: Told, due: Instant) -> bool:
    """A hospital's later word about a stay, and whose stay it is, correct what was known of it."""
    before = {f.id for f in history.facts if f.at < due}
    match told.fact:
        case ChecklistItemReopened(done=id):
            return id in before
        case StayDescribed() | MemberDischarged() | AdmissionCancelled() | StayAttributed() | StayDetached():
            return True
        case _:
            return corrects_outreach(history, told, due)
