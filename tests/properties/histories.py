"""Histories for the laws: what the outside world said of a member, with when it happened, was said and was recorded.

A history knows nothing of plans. Every outside fact has an id of its own, so that a history recorded in another order still names
the same things. What the generators cover is counted by `features`, from the history alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from domain.core import Fact, Instant, StreamId
from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    ClosureReason,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.facts import (
    Channel,
    ChannelOptedIn,
    ChannelOptedOut,
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
    MemberRegistered,
    PointKind,
    StayAttributed,
    StayDetached,
)
from domain.outreach.facts import AttemptMade, ContactMade, Outcome
from domain.policy import ClockStart, Performer, Policy, Satisfies
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.requests import MessageBounced, MessageFailed, MessageRequested, MessageSent, RequestFact
from domain.rule_shapes import Basis
from domain.staff.facts import AbsenceAnnounced, Licence, Role, RoleGranted, StaffJoined
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    order_of,
)
from domain.transition.facts import (
    ChecklistItemDone,
    ChecklistItemReopened,
    Finding,
    StayReviewed,
    TransitionAttemptMade,
    TransitionContactMade,
)
from tests.given import BOSS, DEFAULT, EPISODE, HOME, LEAD, MAIL, MEMBER, NURSE, OUTREACH, PHONE, TRANSITION, Told, varied

PACIFIC = ZoneInfo("America/Los_Angeles")
DAY = timedelta(days=1)
FACTS_MAX = 14
"""Outside facts drawn beside those that every history begins with."""

NEVER, SENT, BOUNCED, FAILED, REFUSED, SILENT = "never", "sent", "bounced", "failed", "refused", "silent"
ANSWERS = (SENT, BOUNCED, FAILED, REFUSED, SILENT, NEVER)


@dataclass(frozen=True, slots=True)
class History:
    """What happens to one process's member. `facts` are in the order of recording; `answers` is how the world of the channels
    answers, the same for the same message in every run; `until` is where a run ends, after everything was recorded."""

    kind: str
    policies: tuple[Policy, ...]
    facts: tuple[Told, ...]
    until: Instant
    answers: tuple[str, ...] = (NEVER,)

    @property
    def process(self) -> StreamId:
        return f"{self.kind}-1"

    def carrier(self, asked: MessageRequested) -> tuple[RequestFact, ...] | None:
        match self.answers[zlib.crc32(asked.key.encode()) % len(self.answers)]:
            case "sent":
                return (MessageSent(key=asked.key),)
            case "bounced":
                return (MessageSent(key=asked.key), MessageBounced(key=asked.key, code="bounced"))
            case "failed":
                return (MessageFailed(key=asked.key, permanent=False, code="busy"),)
            case "refused":
                return (MessageFailed(key=asked.key, permanent=True, code="no_such_number"),)
            case "silent":
                return ()
            case _:
                return None

    @property
    def drawn(self) -> tuple[Told, ...]:
        """The facts beside those that every history begins with."""
        return tuple(f for f in self.facts if not (f.id or "").startswith("base"))

    def recorded_as(self, delays: tuple[timedelta, ...]) -> History:
        """The same facts, each recorded after another delay; what a history begins with stays where it is."""
        moved = [
            replace(f, recorded_at=f.at + delay) if f in self.drawn else f for f, delay in zip(self.facts, delays, strict=True)
        ]
        first = self.facts[0].recorded_at
        moved = _recordable(self.process, [replace(f, recorded_at=max(f.recorded_at, first)) for f in moved])
        return replace(self, facts=_in_order_of_recording(moved), until=max(self.until, *(f.recorded_at for f in moved)))

    def without(self, *ids: str | None) -> History:
        return replace(self, facts=tuple(f for f in self.facts if f.id not in ids))


def _recordable(process: StreamId, facts: list[Told]) -> list[Told]:
    """A stay is attributed once something was said of it, and detached once it was attributed. And nobody records on a process that
    has not begun: an outreach begins with its assignment, a transition with a stay that is known to be the member's."""
    heard_at = {stay: min(f.recorded_at for f in facts if f.stream == stay) for stay in {f.stream for f in facts}}
    stays = {f.id: f.fact.stay for f in facts if isinstance(f.fact, StayAttributed)}
    facts = [replace(f, recorded_at=max(f.recorded_at, heard_at[stays[f.id]])) if f.id in stays else f for f in facts]
    known_at = {f.fact.stay: f.recorded_at for f in facts if f.id in stays}
    facts = [
        replace(f, recorded_at=max(f.recorded_at, known_at[f.fact.stay] + EDGE)) if isinstance(f.fact, StayDetached) else f
        for f in facts
    ]
    if process != TRANSITION and not any(f.stream == TRANSITION for f in facts):
        return facts
    begun: list[Instant] = []
    for attributed in (f for f in facts if isinstance(f.fact, StayAttributed)):
        heard = [f.recorded_at for f in facts if f.stream == attributed.fact.stay]
        begun += [max(attributed.recorded_at, min(heard), min(f.at for f in facts if f.stream == attributed.fact.stay))]
    if not begun:
        return [f for f in facts if f.stream != TRANSITION]
    return [replace(f, recorded_at=max(f.recorded_at, min(begun))) if f.stream == TRANSITION else f for f in facts]


def _in_order_of_recording(facts: list[Told]) -> tuple[Told, ...]:
    return tuple(sorted(facts, key=lambda f: (f.recorded_at, not (f.id or "").startswith("base"))))


def local(day: date, hours: float = 0) -> Instant:
    """An instant by the clock on a Pacific wall; the only calendar that the generators know."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=PACIFIC)
    return (midnight.replace(tzinfo=None) + timedelta(hours=hours)).replace(tzinfo=PACIFIC).astimezone(UTC)


# --- what is covered -----------------------------------------------------------------------------------------------------------

FEATURES = ("two stays", "a correction after a due", "DST", "suspension and resumption", "late learning")
CORRECTIONS = (
    RecordStruckOut, BackdatedRecordApproved, BackdatedRecordRejected, ChecklistItemReopened, DeathReportWithdrawn,
    EpisodeReinstated, AdmissionCancelled, DischargeCancelled, StayDescribed, StayDetached,
)  # fmt: skip
FIRST_DUE_DAYS = 10


def features(history: History) -> frozenset[str]:
    """What a history covers, by looking at it."""
    found = set()
    stays = {f.stream for f in history.facts if isinstance(f.fact, MemberAdmitted | MemberDischarged)}
    if len(stays) >= 2:
        found.add("two stays")
    begun = [f.at for f in history.facts if isinstance(f.fact, AssignmentReceived | MemberDischarged)]
    first_due = min(begun) + FIRST_DUE_DAYS * DAY
    if any(isinstance(f.fact, CORRECTIONS) and f.recorded_at > first_due for f in history.facts):
        found.add("a correction after a due")
    since = history.facts[0].at
    if since.astimezone(PACIFIC).utcoffset() != history.until.astimezone(PACIFIC).utcoffset():
        found.add("DST")
    pairs = ((CoverageLost, CoverageRestored), (EpisodeHeld, EpisodeResumed), (DeathReported, DeathReportWithdrawn))
    for begins, ends in pairs:
        began = [f.at for f in history.facts if isinstance(f.fact, begins)]
        ended = [f.at for f in history.facts if isinstance(f.fact, ends)]
        if began and ended and min(began) < max(ended):
            found.add("suspension and resumption")
    if any(f.recorded_at - f.at > DAY for f in history.facts):
        found.add("late learning")
    return frozenset(found)


# --- policies ------------------------------------------------------------------------------------------------------------------

SHORT = {"outreach__rung": DEFAULT.outreach.rung[:4], "outreach__repeat": (), "follow_up": None, "caseload": None, "population": ()}
"""A ladder of four rungs: what the laws say of four they say of a hundred, and sooner. Nothing is asked for after the enrolment but
where a history is about that."""

BY_PEOPLE = {f"outreach__channels__{c}__performed_by": Performer.PERSON for c in Channel}
COUNTING = {f"outreach__channels__{c}__message_counts_as_attempt": True for c in Channel}
EAGER = {"outreach__unable_to_reach__attempts_min": 2, "outreach__unable_to_reach__days_min": 5}

POLICIES = tuple(
    varied(**SHORT, **changes)
    for changes in (
        {},
        {"initial_contact__satisfied_by": Satisfies.ATTEMPT, **EAGER},
        {"initial_contact__basis": Basis.BUSINESS, "initial_contact__holiday_calendar": "federal", **BY_PEOPLE},
        {"initial_contact__clock_start": ClockStart.ASSIGNMENT_EFFECTIVE, "initial_contact__days": 14, **EAGER},
        {"initial_contact__satisfied_by": Satisfies.IN_PERSON_CONTACT, "initial_contact__closes_after_days": 0, **COUNTING},
        {"initial_contact__days": 3, "outreach__coverage_return_days": 5, "messages__expires_after_hours": 72},
        {"quiet_hours__begins": DEFAULT.quiet_hours.ends, "late_entry__grace_days": 0},
    )
)


@st.composite
def policies(draw: st.DrawFn, day: date, among: tuple[Policy, ...] = POLICIES) -> tuple[Policy, ...]:
    """A policy, and perhaps another version that comes into force within the history."""
    first = draw(st.sampled_from(among))
    if draw(st.integers(0, 2)):
        return (first,)
    later = replace(draw(st.sampled_from(among)), version="2026.2", effective_on=day + draw(st.integers(-2, 20)) * DAY)
    return (first, later)


# --- instants ------------------------------------------------------------------------------------------------------------------

DAYS = (
    date(2026, 3, 3), date(2026, 2, 27), date(2026, 10, 26), date(2026, 10, 23), date(2026, 11, 20), date(2026, 12, 21),
    date(2026, 5, 20), date(2026, 7, 1), date(2026, 9, 1),
)  # fmt: skip
"""Days on which a history may begin: before both changes of clocks, before holidays, and in plain times."""

EDGE = timedelta(seconds=1)


def moments(day: date, days_max: int) -> st.SearchStrategy[Instant]:
    """Instants after a day: any hour, or around a local midnight, where the dues lie."""
    any_hour = st.tuples(st.integers(0, days_max), st.integers(0, 23)).map(lambda t: local(day + t[0] * DAY, t[1] + 0.5))
    edges = st.tuples(st.integers(1, days_max), st.sampled_from((-EDGE, timedelta(), EDGE))).map(
        lambda t: local(day + t[0] * DAY) + t[1]
    )
    return st.one_of(any_hour, any_hour, edges)


NOTICES = st.sampled_from((timedelta(), timedelta(hours=3), timedelta(hours=20), 5 * DAY))
"""How long ahead of its instant a fact is announced, where one can be: the end of a coverage, a planned admission."""

DELAYS = st.sampled_from((timedelta(), timedelta(), timedelta(minutes=5), timedelta(hours=20), 3 * DAY, 12 * DAY, 25 * DAY))


# --- what happens to a member --------------------------------------------------------------------------------------------------


@dataclass
class Draft:
    """A history in the making."""

    draw: Any
    day: date
    days_max: int
    facts: list[Told] = field(default_factory=list)

    def base(self, stream: StreamId, fact: Fact, at: Instant) -> None:
        """What is there from the beginning, recorded at once."""
        self.facts.append(Told(stream, fact, at, at, id=f"base-{len(self.facts):02}"))

    def add(
        self, stream: StreamId, fact: Fact, at: Instant | None = None, *, after: Instant | None = None, announced: bool = False
    ) -> Told:
        """Something that happens, and is recorded at once or later. `after`: it cannot have been recorded before. `announced`: it
        may have been recorded ahead."""
        at = at if at is not None else self.moment()
        ahead = announced and self.draw(st.integers(1, 4)) == 1
        recorded_at = at - self.draw(NOTICES) if ahead else at + self.draw(DELAYS)
        recorded_at = max(recorded_at, after) if after is not None else recorded_at
        told = Told(stream, fact, at, max(recorded_at, self.facts[0].at), id=f"fact-{len(self.facts):02}")
        self.facts.append(told)
        return told

    def moment(self) -> Instant:
        return self.draw(moments(self.day, self.days_max))

    def two_moments(self) -> tuple[Instant, Instant]:
        first, second = sorted((self.moment(), self.moment()))
        return (first, second) if first < second else (first, second + timedelta(hours=5))

    def again(self, chance: int = 6) -> None:
        """Perhaps the last fact is recorded once more, by another feed."""
        if self.draw(st.integers(1, chance)) == 1:
            last = self.facts[-1]
            self.facts.append(replace(last, id=f"fact-{len(self.facts):02}", recorded_at=last.recorded_at + timedelta(hours=1)))

    def history(self, kind: str, policies_: tuple[Policy, ...], answers: tuple[str, ...]) -> History:
        facts = _in_order_of_recording(_recordable(f"{kind}-1", self.facts))
        until = max(local(self.day + (self.days_max + 6) * DAY, 9), facts[-1].recorded_at)
        return History(kind, policies_, facts, until, answers)


def beginning(draft: Draft, at: Instant, **assignment: Any) -> None:
    """Staff, a member with points of contact, and an assignment."""
    before = at - timedelta(hours=1)
    for stream, role in ((LEAD, Role.CARE_MANAGER), (NURSE, Role.CARE_MANAGER), (BOSS, Role.SUPERVISOR)):
        draft.base(stream, StaffJoined(supervisor=BOSS), before)
        draft.base(stream, RoleGranted(role=role), before)
    draft.base(MEMBER, MemberRegistered(), before)
    for point, kind in ((PHONE, PointKind.PHONE), (MAIL, PointKind.EMAIL), (HOME, PointKind.ADDRESS)):
        draft.base(MEMBER, ContactPointLearned(point=point, kind=kind, learned_from="plan_file"), before)
    draft.base(EPISODE, AssignmentReceived(member=MEMBER, plan="valley", received_at=at, **assignment), at)
    draft.base(MEMBER, EpisodeBegun(episode=EPISODE), at)
    draft.base(EPISODE, LeadCareManagerAssigned(staff=LEAD), at)


def an_attempt(d: Draft) -> None:
    at = d.moment()
    outcomes = (Outcome.NO_ANSWER, Outcome.NO_ANSWER, Outcome.VOICEMAIL, Outcome.REACHED, Outcome.SENT)
    channel, outcome = d.draw(st.sampled_from(tuple(Channel))), d.draw(st.sampled_from(outcomes))
    in_person = channel in (Channel.VISIT, Channel.MEETING)
    individualized = channel is not Channel.LETTER or d.draw(st.booleans())
    needs = d.draw(st.integers(1, 6)) == 1
    made = AttemptMade(
        member=MEMBER, channel=channel, outcome=outcome, in_person=in_person, individualized=individualized, approval_needed=needs
    )
    record = d.add(OUTREACH, made, at)
    d.again()
    if needs:
        verdict = BackdatedRecordRejected if d.draw(st.integers(1, 3)) == 1 else BackdatedRecordApproved
        d.add(OUTREACH, verdict(record=record.id or ""), after=record.recorded_at)
    if d.draw(st.integers(1, 5)) == 1:
        d.add(OUTREACH, RecordStruckOut(record=record.id or "", reason="wrong member"), after=record.recorded_at)


def a_contact(d: Draft) -> None:
    d.add(OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL, in_person=d.draw(st.booleans())))


def a_struck_out_contact(d: Draft) -> None:
    record = d.add(OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL))
    d.add(OUTREACH, RecordStruckOut(record=record.id or "", reason="another member"), after=record.recorded_at)


def a_channel_closed(d: Draft) -> None:
    channel = d.draw(st.sampled_from((Channel.TEXT, Channel.LETTER)))
    since, until = d.two_moments()
    d.add(MEMBER, ChannelOptedOut(channel=channel), since)
    d.again()
    if d.draw(st.booleans()):
        d.add(MEMBER, ChannelOptedIn(channel=channel), until)


def consent_withdrawn(d: Draft) -> None:
    since, until = d.two_moments()
    d.add(MEMBER, ConsentWithdrawn(scope="contact"), since)
    if d.draw(st.booleans()):
        d.add(MEMBER, ConsentGiven(scope="contact"), until)


def a_bad_point(d: Draft) -> None:
    point = d.draw(st.sampled_from((PHONE, HOME)))
    since, until = d.two_moments()
    d.add(MEMBER, ContactPointFoundBad(point=point, reason="disconnected"), since)
    if d.draw(st.booleans()):
        d.add(MEMBER, ContactPointFoundGood(point=point), until)


def a_new_point(d: Draft) -> None:
    d.add(MEMBER, ContactPointLearned(point="phone-2", kind=PointKind.PHONE, learned_from="staff"))


def coverage_lost(d: Draft) -> None:
    since, until = d.two_moments()
    d.add(MEMBER, CoverageLost(), since, announced=True)
    d.again()
    if d.draw(st.integers(1, 4)) > 1:
        d.add(MEMBER, CoverageRestored(), until, announced=True)


def a_hold(d: Draft) -> None:
    since, until = d.two_moments()
    d.add(EPISODE, EpisodeHeld(reason="incarcerated"), since)
    if d.draw(st.integers(1, 4)) > 1:
        d.add(EPISODE, EpisodeResumed(reason="released"), until)


def a_death(d: Draft) -> None:
    since, until = d.two_moments()
    report = d.add(MEMBER, DeathReported(source="plan"), since)
    if d.draw(st.integers(1, 4)) > 1:
        d.add(MEMBER, DeathReportWithdrawn(report=report.id or "", reason="namesake"), until, after=report.recorded_at)


def not_now(d: Draft) -> None:
    at = d.moment()
    until = at.astimezone(PACIFIC).date() + d.draw(st.integers(1, 12)) * DAY
    d.add(EPISODE, DeferralAgreed(until=until), at)


def enrolled(d: Draft) -> None:
    d.add(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD))


def declined(d: Draft) -> None:
    said = d.add(EPISODE, MemberDeclined(member=MEMBER))
    d.facts.append(replace(said, fact=EpisodeClosed(reason=ClosureReason.DECLINED), id=f"fact-{len(d.facts):02}"))


def closed(d: Draft) -> None:
    since, until = d.two_moments()
    reason = d.draw(st.sampled_from((ClosureReason.UNABLE_TO_REACH, ClosureReason.OTHER, ClosureReason.DECEASED)))
    d.add(EPISODE, EpisodeClosed(reason=reason), since)
    if d.draw(st.booleans()):
        d.add(EPISODE, EpisodeReinstated(reason="by mistake"), until)


def re_applied(d: Draft) -> None:
    d.add(EPISODE, PolicyReapplied(policy=d.draw(st.sampled_from(("default@2026.1", "default@2026.2"))), reason="asked"))


def re_sent(d: Draft) -> None:
    at = d.moment()
    d.add(EPISODE, AssignmentResent(received_at=at), at)
    d.again(2)


def away(d: Draft) -> None:
    first = d.day + d.draw(st.integers(0, 12)) * DAY
    d.add(LEAD, AbsenceAnnounced(first_day=first, last_day=first + 3 * DAY), local(d.day, 12))


def a_stay(
    d: Draft, stay: StreamId = "stay-1", *, stay_class: StayClass = StayClass.INPATIENT, corrected: bool | None = None
) -> None:
    """A hospital's statements about one visit, said in one order and arriving in any."""
    came, left = d.two_moments()
    statements: list[tuple[Instant, Any]] = [(came, admitted(came, stay_class))]
    if corrected or d.draw(st.integers(1, 5)) > 1:
        disposition = d.draw(st.sampled_from(("01", "01", "06", "03", "02", "07", "")))
        statements.append((left, MemberDischarged(**source_of(left), discharged_at=left, disposition=disposition)))
        match d.draw(st.integers(1, 8)) if corrected is None else 1 if corrected else 8:
            case 1:
                moved = left - timedelta(hours=d.draw(st.sampled_from((3, 30))))
                corrected_at = left + d.draw(st.integers(1, 8)) * DAY
                fact: Any = StayDescribed(**source_of(corrected_at), discharged_at=max(moved, came), disposition="01")
                statements.append((corrected_at, fact))
            case 2:
                back, gone = left + DAY, left + 2 * DAY
                statements.append((back, DischargeCancelled(**source_of(back))))
                if d.draw(st.booleans()):
                    statements.append((gone, MemberDischarged(**source_of(gone), discharged_at=gone, disposition="01")))
            case 3:
                never = left + 2 * DAY
                statements.append((never, AdmissionCancelled(**source_of(never))))
            case _:
                pass
    for said_at, fact in statements:
        d.add(stay, fact, said_at, announced=isinstance(fact, MemberAdmitted | MemberDischarged))
        d.again(5)
    known = d.add(MEMBER, StayAttributed(stay=stay, episode=EPISODE, evidence="cin+name"), came)
    if d.draw(st.integers(1, 12)) == 1:
        d.add(MEMBER, StayDetached(stay=stay, reason="another person"), left, after=known.recorded_at)


def source_of(said_at: Instant) -> dict[str, Any]:
    order = order_of(said_at, said_at, f"control-{said_at:%Y%m%d%H%M%S}", "0")
    return {"order": order, "received_at": said_at, "source": "adt", "facility": "General"}


def admitted(at: Instant, stay_class: StayClass = StayClass.INPATIENT) -> MemberAdmitted:
    return MemberAdmitted(**source_of(at), stay_class=stay_class, admitted_at=at)


def two_stays(d: Draft) -> None:
    a_stay(d, "stay-1")
    a_stay(d, "stay-2")


# --- outreach ------------------------------------------------------------------------------------------------------------------

ANY_OF_OUTREACH = (
    an_attempt, an_attempt, an_attempt, an_attempt, a_contact, a_struck_out_contact, a_channel_closed, consent_withdrawn,
    a_bad_point, a_new_point, coverage_lost, a_hold, a_death, not_now, enrolled, declined, closed, re_applied,
    re_sent, away, a_stay,
)  # fmt: skip
THEMES_OF_OUTREACH = (
    (), (two_stays,), (a_struck_out_contact,), (coverage_lost,), (a_death,), (a_hold,), (closed,), (an_attempt,) * 3,
)  # fmt: skip
OUTREACH_DAYS = 24


@st.composite
def outreach_histories(draw: st.DrawFn, answers: tuple[str, ...] | None = (NEVER,)) -> History:
    """A member who is looked for. `answers` None: the world of the channels is drawn too."""
    day = draw(st.sampled_from(DAYS))
    d = Draft(draw, day, OUTREACH_DAYS)
    at = local(day, draw(st.sampled_from((0, 10, 23.5))))
    effective_on = draw(st.sampled_from((None, day - 30 * DAY, day, day + 3 * DAY)))
    beginning(d, at, effective_on=effective_on)
    for happens in draw(st.sampled_from(THEMES_OF_OUTREACH)):
        happens(d)
    for happens in draw(st.lists(st.sampled_from(ANY_OF_OUTREACH), max_size=5)):
        if len(d.facts) < FACTS_MAX + 15:
            happens(d)
    if answers is None:
        answers = tuple(draw(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4)))
    return d.history("outreach", draw(policies(day)), answers)


# --- transitional care ---------------------------------------------------------------------------------------------------------

ITEMS = ("call", "visit", "synchronous_interaction", "medication_reconciliation", "medicines_obtained", "follow_up_appointment")
FEW_ITEMS = {"transition__item": tuple(item for item in DEFAULT.transition.item if item.key in ITEMS)}

IN_BUSINESS_DAYS = {"basis": Basis.BUSINESS, "holiday_calendar": "federal"}
TRANSITION_POLICIES = tuple(
    varied(**SHORT, **FEW_ITEMS, **changes)
    for changes in (
        {},
        {"transition__support_days_min": 9, "transition__restart_within_days": 3, "outreach__coverage_return_days": 5},
        {"transition__item__0__due_day": 1, **{f"transition__item__1__{k}": v for k, v in IN_BUSINESS_DAYS.items()}},
        {"transition__item__5__needed_to_end": False, "transition__linked_within_days": 0, "transition__discharge_review_days": 2},
    )
)  # fmt: skip
TRANSITION_DAYS = 26


def _in_house_first(d: Draft) -> None:
    """Most histories begin with a stay that ended: what the plan is about."""
    a_stay(d, "stay-1")


def an_interaction(d: Draft) -> None:
    interaction = d.draw(st.sampled_from((Interaction.PHONE, Interaction.PHONE, Interaction.IN_PERSON, Interaction.VIDEO)))
    spoken_to = d.draw(st.sampled_from((SpokenTo.MEMBER, SpokenTo.MEMBER, SpokenTo.CAREGIVER, SpokenTo.FACILITY)))
    needs = d.draw(st.integers(1, 6)) == 1
    made = TransitionContactMade(member=MEMBER, interaction=interaction, spoken_to=spoken_to, approval_needed=needs)
    record = d.add(TRANSITION, made)
    d.again()
    if needs:
        verdict = BackdatedRecordRejected if d.draw(st.integers(1, 3)) == 1 else BackdatedRecordApproved
        d.add(TRANSITION, verdict(record=record.id or "", reason="paper log"), after=record.recorded_at)
    if d.draw(st.integers(1, 5)) == 1:
        d.add(TRANSITION, RecordStruckOut(record=record.id or "", reason="another member"), after=record.recorded_at)


def a_try(d: Draft) -> None:
    fact = TransitionAttemptMade(member=MEMBER, interaction=Interaction.VOICEMAIL, outcome=AttemptOutcome.VOICEMAIL)
    d.add(TRANSITION, fact)


def an_item(d: Draft) -> None:
    key = d.draw(st.sampled_from(ITEMS))
    licence = d.draw(st.sampled_from((Licence.RN, None))) if key == "medication_reconciliation" else None
    done = ChecklistItemDone(
        member=MEMBER, item=key, interaction=Interaction.IN_PERSON, spoken_to=SpokenTo.MEMBER, licence=licence
    )  # fmt: skip
    record = d.add(TRANSITION, done)
    if d.draw(st.integers(1, 4)) == 1:
        d.add(TRANSITION, ChecklistItemReopened(item=key, done=record.id or "", reason="not so"), after=record.recorded_at)


def a_record_struck_out(d: Draft) -> None:
    made = TransitionContactMade(member=MEMBER, interaction=Interaction.IN_PERSON, spoken_to=SpokenTo.MEMBER)
    record = d.add(TRANSITION, made)
    d.add(TRANSITION, RecordStruckOut(record=record.id or "", reason="another member"), after=record.recorded_at)


def a_review(d: Draft) -> None:
    finding = d.draw(st.sampled_from(tuple(Finding)))
    d.add(TRANSITION, StayReviewed(stay=d.draw(st.sampled_from(("stay-1", "stay-2"))), finding=finding))


def a_hand_over(d: Draft) -> None:
    d.add(EPISODE, LeadCareManagerHandedOver(member=MEMBER, giver=LEAD, receiver=NURSE))


def an_emergency_visit(d: Draft) -> None:
    a_stay(d, "stay-2", stay_class=StayClass.EMERGENCY)


def a_nursing_facility(d: Draft) -> None:
    a_stay(d, "stay-2", stay_class=StayClass.NURSING_FACILITY)


def a_corrected_stay(d: Draft) -> None:
    a_stay(d, "stay-1", corrected=True)


ANY_OF_TRANSITION = (
    an_interaction, an_interaction, an_interaction, a_try, an_item, an_item, a_record_struck_out, a_review, a_hand_over, away,
    coverage_lost, a_hold, a_death, closed, re_applied,
)  # fmt: skip
THEMES_OF_TRANSITION = (
    (_in_house_first,), (_in_house_first,), (two_stays,), (two_stays,), (a_corrected_stay,), (_in_house_first, a_record_struck_out),
    (_in_house_first, coverage_lost), (_in_house_first, a_hold), (_in_house_first, a_death), (_in_house_first, an_emergency_visit),
    (_in_house_first, a_nursing_facility), (),
)  # fmt: skip


@st.composite
def transition_histories(draw: st.DrawFn, answers: tuple[str, ...] | None = (NEVER,)) -> History:
    """An enrolled member who goes to hospital."""
    day = draw(st.sampled_from(DAYS))
    d = Draft(draw, day, TRANSITION_DAYS)
    before = local(day - DAY, 10)
    beginning(d, before)
    d.base(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), before + timedelta(hours=draw(st.sampled_from((1, 1, 1, 100)))))
    for happens in draw(st.sampled_from(THEMES_OF_TRANSITION)):
        happens(d)
    for happens in draw(st.lists(st.sampled_from(ANY_OF_TRANSITION), max_size=6)):
        if len(d.facts) < FACTS_MAX + 18:
            happens(d)
    if answers is None:
        answers = tuple(draw(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4)))
    return d.history("transition", draw(policies(day, TRANSITION_POLICIES)), answers)
