"""Mistakes planted in the plan of the year after the enrolment, each with the law that has to catch it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from domain import clocks, criteria, requests
from domain.core import Alarm, Instant
from domain.episode.assessments import AssessmentBegun, AssessmentCompleted, AssessmentKind
from domain.episode.authorisations import AuthorisationBasis, AuthorisationGranted, AuthorisationRequested
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanWritten, Goal
from domain.episode.facts import ClosureReason, EpisodeClosed, EpisodeHeld, EpisodeResumed, MemberEnrolled
from domain.followup import cadence, sight, year
from domain.followup import plan as followup_plan
from domain.followup.facts import CadenceAgreed, FollowUpContactMade, TierOverridden
from domain.interactions import Interaction, SpokenTo
from domain.member.circumstances import Circumstance, CircumstanceNoted, VisitKind, VisitReported
from domain.member.facts import Channel, StayAttributed
from domain.outreach.facts import ContactMade
from domain.policy import Policy
from domain.records import RecordStruckOut
from domain.stay.facts import MemberDischarged
from tests.given import EPISODE, LEAD, MEMBER, OUTREACH, Told, at
from tests.properties import laws
from tests.properties.histories import FAILED, NEVER, Draft, History, admitted, beginning, local, source_of
from tests.properties.histories_followup import FOLLOW_UPS, FOLLOWUP, phase, policy_of
from tests.properties.mutants import (
    Mutant,
    dies,
    every_mutant_of,
    four_laws,
    is_final,
    is_judged,
    late_everywhere,
    newest_first,
    sleeps_through,
    told,
)

# --- histories -----------------------------------------------------------------------------------------------------------------


def _every(days: int, **changes: Any) -> Policy:
    """Nothing but a contact every so many days."""
    plain = FOLLOW_UPS[0]
    return policy_of(replace(plain, tiers=None, cadence=replace(plain.cadence, phase=(phase(3660, days),), **changes)))


WEEKLY = _every(7)
BY_TIER, AT_HOME, VISITED, ASSESSED = (policy_of(FOLLOW_UPS[n]) for n in (0, 2, 4, 7))


def history(*facts: Told, policy: Policy = WEEKLY, days: int = 30, answers: tuple[str, ...] = (NEVER,)) -> History:
    """A member enrolled on Monday, November 16, at ten."""
    day = date(2026, 11, 16)
    draft = Draft(None, day, days)
    beginning(draft, local(day, 9))
    draft.base(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), local(day, 10))
    draft.facts += [replace(fact, id=f"fact-{n}") for n, fact in enumerate(facts)]
    return draft.history("followup", (policy,), answers)


def a_talk(when: str, recorded: str | None = None, interaction: Interaction = Interaction.PHONE) -> Told:
    fact = FollowUpContactMade(member=MEMBER, interaction=interaction, spoken_to=SpokenTo.MEMBER)
    return told(FOLLOWUP, fact, when, recorded)


def the_tier(tier: str, when: str) -> Told:
    return told(FOLLOWUP, TierOverridden(tier=tier, reason="knows her"), when)


def a_version(version: int) -> CarePlanWritten:
    return CarePlanWritten(version=version, goals=(Goal(goal="g", topic="housing"),), tasks=(), member_took_part="phone")


def a_visit(visit: str, on: date) -> VisitReported:
    return VisitReported(visit=visit, kind=VisitKind.EMERGENCY, on=on, learned_from="plan_file")


def closed(when: str) -> Told:
    return told(EPISODE, EpisodeClosed(reason=ClosureReason.MEMBER_WITHDREW), when)


SILENCE = history(days=12)
TALK_THEN_CLOSED = history(a_talk("2026-11-18 12:00 PST"), closed("2026-11-20 12:00 PST"))
TALK_AT_THE_DUE = history(a_talk("2026-11-23 24:00 PST"))
TALK_LEARNED_LATE = history(a_talk("2026-11-22 12:00 PST", "2026-12-02 09:00 PST"))
TALK_ON_DAY_3 = history(a_talk("2026-11-19 12:00 PST"))
TALK_ON_DAYS_3_AND_12 = history(a_talk("2026-11-19 12:00 PST"), a_talk("2026-11-28 12:00 PST"))
TALK_ON_DAY_22 = history(a_talk("2026-12-08 12:00 PST"), days=24)
TALK_AFTER_A_MISS = history(a_talk("2026-11-25 12:00 PST"), a_talk("2026-12-03 12:00 PST"))
THREE_TALKS = history(
    a_talk("2026-11-18 12:00 PST"), a_talk("2026-11-24 12:00 PST"), a_talk("2026-11-29 12:00 PST", "2026-12-01 09:00 PST")
)
STRUCK_OUT_AFTER_A_MISS = history(
    a_talk("2026-11-23 09:00 PST", "2026-11-25 09:00 PST"),
    told(FOLLOWUP, RecordStruckOut(record="fact-0", reason="another member"), "2026-11-27 09:00 PST"),
)
HELD_FOR_FIVE_DAYS = history(
    told(EPISODE, EpisodeHeld(reason="incarcerated"), "2026-11-18 12:00 PST"),
    told(EPISODE, EpisodeResumed(reason="released"), "2026-11-23 12:00 PST"),
    a_talk("2026-11-26 12:00 PST"),
)
HIGH = the_tier("high", "2026-11-16 10:00 PST")
RISEN = history(the_tier("high", "2026-11-20 12:00 PST"), a_talk("2026-12-02 12:00 PST"), policy=BY_TIER)
RISEN_LATE = history(a_talk("2026-12-01 12:00 PST"), the_tier("high", "2026-12-08 12:00 PST"), policy=BY_TIER)
FALLEN = history(HIGH, the_tier("low", "2026-11-21 12:00 PST"), a_talk("2026-12-04 12:00 PST"), policy=BY_TIER)
FALLEN_AND_LATE = history(HIGH, the_tier("low", "2026-11-21 12:00 PST"), a_talk("2026-12-08 12:00 PST"), policy=BY_TIER)
WISHED_FOR = history(told(FOLLOWUP, CadenceAgreed(every_days=20, reason="asked"), "2026-11-17 12:00 PST"))
RENT_AND_A_CALL = history(
    told(
        MEMBER,
        CircumstanceNoted(circumstance=Circumstance.RECEIVES_TRANSITIONAL_RENT, learned_from="staff"),
        "2026-11-17 12:00 PST",
    ),
    a_talk("2026-11-25 12:00 PST"),
    policy=AT_HOME,
)
TALK_OF_THE_SEARCH = history(told(OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL), "2026-11-20 12:00 PST"))
BEGUN_ONLY = history(
    told(EPISODE, AssessmentBegun(assessment="a", kind=AssessmentKind.INITIAL, questionnaire="core@1"), "2026-11-18 12:00 PST"),
    policy=ASSESSED,
)
HIGH_AND_ONE_VISIT = history(
    HIGH,
    a_talk("2026-11-25 12:00 PST", interaction=Interaction.IN_PERSON),
    a_talk("2026-11-27 12:00 PST"),
    policy=VISITED,
    days=40,
)
STREAMLINED = history(
    told(
        EPISODE,
        AuthorisationGranted(
            authorisation="a", basis=AuthorisationBasis.STREAMLINED, first_day=date(2026, 11, 20), last_day=date(2026, 12, 20)
        ),
        "2026-11-20 12:00 PST",
    ),
    told(
        EPISODE,
        AuthorisationRequested(request="r", basis=AuthorisationBasis.INITIAL, following="a"),
        "2026-12-15 12:00 PST",
    ),
    policy=ASSESSED,
    days=40,
)
SECOND_VERSION_NOT_GIVEN = history(
    told(EPISODE, a_version(1), "2026-11-20 12:00 PST"),
    told(EPISODE, CarePlanCopyGiven(version=1, to="member", how="by hand"), "2026-11-21 12:00 PST"),
    told(EPISODE, a_version(2), "2026-11-25 12:00 PST"),
    policy=ASSESSED,
)
TWICE_IN_AN_EMERGENCY_ROOM = history(
    told(MEMBER, a_visit("one", date(2026, 11, 17)), "2026-11-17 23:00 PST"),
    told(MEMBER, a_visit("two", date(2026, 11, 18)), "2026-11-18 23:00 PST"),
    a_talk("2026-12-17 12:00 PST"),
    a_talk("2027-01-05 12:00 PST"),
    policy=BY_TIER,
    days=60,
)
FIVE_DAYS_INSIDE = history(
    told("stay-1", admitted(at("2026-11-20 12:00 PST")), "2026-11-20 12:00 PST"),
    told(MEMBER, StayAttributed(stay="stay-1", episode=EPISODE, evidence="cin+name"), "2026-11-20 12:00 PST"),
    told(
        "stay-1",
        MemberDischarged(**source_of(at("2026-11-25 12:00 PST")), discharged_at=at("2026-11-25 12:00 PST"), disposition="01"),
        "2026-11-25 12:00 PST",
    ),
    a_talk("2026-12-04 12:00 PST"),
    policy=AT_HOME,
)
ALERTS_FAIL = history(days=30, answers=(FAILED,))

# --- mutants -------------------------------------------------------------------------------------------------------------------


def stop_first(plant: pytest.MonkeyPatch) -> None:
    """What stopped is withdrawn, even what had been done before."""
    judge = clocks._judge

    def judged(clock: clocks.Clock, written: clocks.WrittenDue, alarm: Alarm, *owner: str) -> Any:
        return judge(replace(clock, met_at=None) if clock.stopped_at is not None else clock, written, alarm, *owner)

    plant.setattr(clocks, "_judge", judged)


def current_only(plant: pytest.MonkeyPatch) -> None:
    """Only clocks whose due lies ahead are enumerated."""
    keep = clocks.keep

    def kept(stream: str, found: Iterable[clocks.Clock], ledger: clocks.Clocks, alarm: Alarm, *owner: str) -> clocks.Kept:
        current = [c for c in found if c.window.due > alarm.now or c.key in ledger.written]
        return keep(stream, current, ledger, alarm, *owner)

    plant.setattr(followup_plan, "keep", kept)


def step_keys_by_ordinal(plant: pytest.MonkeyPatch) -> None:
    """A step's key counts what stands now instead of what was ever written."""
    step = clocks._step

    def keyed(stream: str, fact: clocks.ClockFact, generation: int, as_of: Instant) -> Any:
        return step(stream, fact, min(generation, 1), as_of)

    plant.setattr(clocks, "_step", keyed)


def contacts_by_ordinal(plant: pytest.MonkeyPatch) -> None:
    """A due is named by the place of its contact, in the order in which they became known."""
    chain = cadence.chain

    def numbered(anchors: Any, *args: Any, **more: Any) -> Any:
        places = {anchor.event_id: n for n, anchor in enumerate(sorted(anchors, key=lambda anchor: anchor.known_at))}
        return chain([replace(a, event_id=f"contact-no-{places[a.event_id]}") for a in anchors], *args, **more)

    plant.setattr(cadence, "chain", numbered)


def due_inclusive(plant: pytest.MonkeyPatch) -> None:
    """What happens at the due itself still counts."""
    plant.setattr(clocks, "_before_due", lambda at, rests_at, window: at <= window.due)


def by_receipt(plant: pytest.MonkeyPatch) -> None:
    """A contact counts from when it was written down."""
    contacts = sight._contacts
    plant.setattr(
        sight, "_contacts", lambda *args: tuple(replace(c, at=max(c.at, c.recorded_at)) for c in contacts(*args))
    )  # fmt: skip


def never_taken_back(plant: pytest.MonkeyPatch) -> None:
    """A miss stands, whatever becomes known."""
    steps = clocks._verdict_steps

    def kept(*args: Any) -> list[Any]:
        return [step for step in steps(*args) if not isinstance(step.command.fact, clocks.MissWithdrawn)]

    plant.setattr(clocks, "_verdict_steps", kept)


def no_alarm(plant: pytest.MonkeyPatch) -> None:
    """Instants are compared with now and then forgotten."""
    plant.setattr(Alarm, "reached", lambda alarm, instant: instant is not None and instant <= alarm.now)


def the_latest_alarm(plant: pytest.MonkeyPatch) -> None:
    """The alarm keeps the last instant instead of the first."""

    def reached(alarm: Alarm, instant: Instant | None) -> bool:
        if instant is not None and instant > alarm.now:
            alarm.at = max(instant, alarm.at or instant)
        return instant is not None and instant <= alarm.now

    plant.setattr(Alarm, "reached", reached)


def misses_unwanted(plant: pytest.MonkeyPatch) -> None:
    """The decider finds nothing new in a miss."""
    decide = clocks.Clocks.decide
    plant.setattr(
        clocks.Clocks, "decide", lambda state, fact: () if isinstance(fact, clocks.DeadlineMissed) else decide(state, fact)
    )


def tried_for_ever(plant: pytest.MonkeyPatch) -> None:
    """A transient failure is tried again every time, without a limit."""
    turn = requests._next_turn

    def again(want: Any, turns: tuple[Any, ...], retry: Any, alarm: Alarm) -> tuple[bool, str]:
        if turns and turns[-1].state is requests.RequestState.FAILED:
            return alarm.reached(turns[-1].changed_at + retry.wait), ""
        return turn(want, turns, retry, alarm)

    plant.setattr(requests, "_next_turn", again)


def _with_dues(plant: pytest.MonkeyPatch, moved: Any) -> None:
    """Every link's due as `moved` has it, of a link and of the one that its contact met."""
    chain = cadence.chain

    def chained(anchors: Any, pace: Any, days: Any, *args: Any, **more: Any) -> Any:
        found = chain(anchors, pace, days, *args, **more)
        met = {link.met.event_id: link for link in reversed(found.links) if link.met is not None}
        links = tuple(moved(link, met.get(link.anchor.event_id), days) for link in found.links)
        return replace(found, links=links)

    plant.setattr(cadence, "chain", chained)


def counted_from_the_due(plant: pytest.MonkeyPatch) -> None:
    """The next due counts from the due that was met and not from the contact."""

    def moved(link: Any, met: Any, days: Any) -> Any:
        return link if met is None or link.ordinal else replace(link, due=days.due(met.due, link.every_days, turned=True))

    _with_dues(plant, moved)


def shifted_twice(plant: pytest.MonkeyPatch) -> None:
    """After a miss the next due is moved by the delay, besides counting from the late contact."""

    def moved(link: Any, met: Any, days: Any) -> Any:
        late = max(timedelta(), link.anchor.at - met.due) if met is not None else timedelta()
        return replace(link, due=days.due(link.opens + late, link.every_days)) if late else link

    _with_dues(plant, moved)


def misses_drift(plant: pytest.MonkeyPatch) -> None:
    """The interval after a miss counts from the day after the one that was missed."""
    due = cadence.DayCount.due
    plant.setattr(cadence.DayCount, "due", lambda days, since, count, *, turned=False: due(days, since, count))


def tier_of_today(plant: pytest.MonkeyPatch) -> None:
    """The interval is always the one that holds now: a rise makes overdue what was not."""
    plant.setattr(cadence.Pace, "at", lambda pace, instant: pace.steps[-1])
    plant.setattr(cadence.Pace, "after", lambda pace, instant: ())


def tier_of_the_contact(plant: pytest.MonkeyPatch) -> None:
    """The interval stays what it was at the last contact: a rise takes no earlier due, a fall no later one."""
    plant.setattr(cadence.Pace, "after", lambda pace, instant: ())


def fall_from_its_own_day(plant: pytest.MonkeyPatch) -> None:
    """A longer interval counts from the day of the change, and not from the contact."""
    walked = cadence.walked

    def later(opens: Instant, pace: Any, days: Any, **more: Any) -> Any:
        due, lapsed_at, step = walked(opens, pace, days, **more)
        longer = [t for t in pace.after(opens) if t.at < due and t.every_days and t.every_days == step.every_days]
        return (max(due, days.due(longer[-1].at, step.every_days)) if longer else due), lapsed_at, step

    plant.setattr(cadence, "walked", later)


def rests_forgotten(plant: pytest.MonkeyPatch) -> None:
    """A due is not moved by the days on which the clock rested."""
    plant.setattr(cadence, "moved_day", lambda day, rests, zone: day)


def wish_forgotten(plant: pytest.MonkeyPatch) -> None:
    """What was agreed with the member changes nothing."""
    pace = cadence.contact_pace
    plant.setattr(cadence, "contact_pace", lambda seen, *, agreed: pace(seen, agreed=False))


def a_call_is_a_visit(plant: pytest.MonkeyPatch) -> None:
    """A phone call counts as a contact in person."""
    contacts = sight._contacts
    plant.setattr(sight, "_contacts", lambda *args: tuple(replace(c, in_person=True) for c in contacts(*args)))


def own_records_only(plant: pytest.MonkeyPatch) -> None:
    """What another process recorded of a talk with the member counts for nothing."""
    plant.setattr(sight, "_search_contacts", lambda said: iter(()))


def begun_is_completed(plant: pytest.MonkeyPatch) -> None:
    """An assessment closes its clock before its content is complete."""
    first = year._first

    def found(seen: Any, *kinds: type) -> Any:
        return first(seen, *((*kinds, AssessmentBegun) if AssessmentCompleted in kinds else kinds))

    plant.setattr(year, "_first", found)


def days_of_the_calendar(plant: pytest.MonkeyPatch) -> None:
    """Working days before an end are counted as calendar days."""
    plant.setattr(year, "business_days_before", lambda day, count, holidays: day - timedelta(days=count))


def any_version_will_do(plant: pytest.MonkeyPatch) -> None:
    """A copy of an older version closes what is owed of a newer one."""
    plant.setattr(year, "_is_members_copy", lambda fact, version: isinstance(fact, CarePlanCopyGiven))


def visits_count_for_ever(plant: pytest.MonkeyPatch) -> None:
    """What lies further back than a condition looks goes on counting."""
    plant.setattr(criteria._Sight, "_out_of_sight", lambda looking, day, within_days: criteria.NEVER)


def hospital_days_count(plant: pytest.MonkeyPatch) -> None:
    """The time in a hospital rests nothing, whatever the policy says."""
    stays = sight._stays
    plant.setattr(sight, "_stays", lambda *args: replace(stays(*args), inside=()))


MUTANTS = (
    Mutant(stop_first, "oracle", is_judged, TALK_THEN_CLOSED),
    Mutant(current_only, "catch-up", sleeps_through, TALK_LEARNED_LATE),
    Mutant(step_keys_by_ordinal, "quiet", four_laws, STRUCK_OUT_AFTER_A_MISS),
    Mutant(contacts_by_ordinal, "order", newest_first, THREE_TALKS),
    Mutant(due_inclusive, "final", is_final, TALK_AT_THE_DUE),
    Mutant(due_inclusive, "oracle", is_judged, TALK_AT_THE_DUE),
    Mutant(by_receipt, "order", late_everywhere, TALK_LEARNED_LATE),
    Mutant(never_taken_back, "order", late_everywhere, TALK_ON_DAY_3),
    Mutant(no_alarm, "live", four_laws, SILENCE),
    Mutant(the_latest_alarm, "punctual", laws.punctual, SILENCE),
    Mutant(misses_unwanted, "agreed", four_laws, SILENCE),
    Mutant(tried_for_ever, "bounded", four_laws, ALERTS_FAIL),
    Mutant(counted_from_the_due, "oracle", is_judged, TALK_ON_DAYS_3_AND_12),
    Mutant(shifted_twice, "oracle", is_judged, TALK_AFTER_A_MISS),
    Mutant(misses_drift, "oracle", is_judged, TALK_ON_DAY_22),
    Mutant(tier_of_today, "oracle", is_judged, RISEN_LATE),
    Mutant(tier_of_the_contact, "oracle", is_judged, RISEN),
    Mutant(tier_of_the_contact, "oracle", is_judged, FALLEN),
    Mutant(fall_from_its_own_day, "oracle", is_judged, FALLEN_AND_LATE),
    Mutant(rests_forgotten, "oracle", is_judged, HELD_FOR_FIVE_DAYS),
    Mutant(wish_forgotten, "oracle", is_judged, WISHED_FOR),
    Mutant(a_call_is_a_visit, "oracle", is_judged, RENT_AND_A_CALL),
    Mutant(a_call_is_a_visit, "oracle", is_judged, HIGH_AND_ONE_VISIT),
    Mutant(own_records_only, "oracle", is_judged, TALK_OF_THE_SEARCH),
    Mutant(begun_is_completed, "oracle", is_judged, BEGUN_ONLY),
    Mutant(days_of_the_calendar, "oracle", is_judged, STREAMLINED),
    Mutant(any_version_will_do, "oracle", is_judged, SECOND_VERSION_NOT_GIVEN),
    Mutant(visits_count_for_ever, "oracle", is_judged, TWICE_IN_AN_EMERGENCY_ROOM),
    Mutant(hospital_days_count, "oracle", is_judged, FIVE_DAYS_INSIDE),
)


@every_mutant_of(MUTANTS)
def test_it_dies_by_its_law(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    dies(mutant, monkeypatch)
