"""Planted mistakes, each with the law that has to catch it and one small history on which it does: the laws are worth something.

The same history keeps the law while nothing is planted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from domain import clocks, requests
from domain.core import Alarm, Instant
from domain.episode.facts import MemberEnrolled
from domain.member.facts import Channel, ChannelOptedOut, CoverageLost, CoverageRestored, StayAttributed
from domain.outreach import plan as outreach_plan
from domain.outreach.facts import ContactMade
from domain.policy import Policy
from domain.records import RecordStruckOut
from domain.stay import decider as stay_decider
from domain.stay.facts import MemberDischarged, StayDescribed
from domain.timeline import so_far
from domain.transition import departures as transition_departures
from domain.transition import plan as transition_plan
from tests.given import EPISODE, LEAD, MEMBER, OUTREACH, Told, at, varied
from tests.properties import laws
from tests.properties.histories import (
    FAILED,
    FEW_ITEMS,
    NEVER,
    SENT,
    SHORT,
    Draft,
    History,
    admitted,
    beginning,
    local,
    source_of,
)
from tests.properties.mutants import (
    Mutant,
    consents,
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


def history(kind: str, *facts: Told, answers: tuple[str, ...] = (NEVER,), days: int = 20, policy: Policy | None = None) -> History:
    """A member assigned on Friday, November 20, at ten (and enrolled an hour later, where it is about transitional care)."""
    day = date(2026, 11, 20)
    draft = Draft(None, day, days)
    beginning(draft, local(day, 10))
    if kind == "transition":
        draft.base(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), local(day, 11))
    draft.facts += [replace(fact, id=f"fact-{n}") for n, fact in enumerate(facts)]
    return draft.history(kind, (policy or varied(**SHORT, **FEW_ITEMS),), answers)


def a_contact(when: str, recorded: str | None = None) -> Told:
    return told(OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL), when, recorded)


def a_stay(stay: str, came: str, left: str, *, recorded: str | None = None) -> tuple[Told, ...]:
    discharged = MemberDischarged(**source_of(at(left)), discharged_at=at(left), disposition="01")
    return (
        told(stay, admitted(at(came)), came, recorded),
        told(MEMBER, StayAttributed(stay=stay, episode=EPISODE, evidence="cin+name"), came, recorded),
        told(stay, discharged, left, recorded),
    )


NOTHING = history("outreach")
CONTACT_ON_DAY_3 = history("outreach", a_contact("2026-11-23 12:00 PST"))
CONTACT_AT_THE_DUE = history("outreach", a_contact("2026-11-30 24:00 PST"))
CONTACT_LEARNED_LATE = history("outreach", a_contact("2026-11-30 09:00 PST", "2026-12-03 09:00 PST"))
CONTACT_THEN_ENROLMENT = history(
    "outreach",
    a_contact("2026-11-23 12:00 PST"),
    told(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), "2026-11-25 12:00 PST"),
)
CONTACT_STRUCK_OUT_AFTER_A_MISS = history(
    "outreach",
    a_contact("2026-11-30 09:00 PST", "2026-12-02 09:00 PST"),
    told(OUTREACH, RecordStruckOut(record="fact-0", reason="another member"), "2026-12-04 09:00 PST"),
)
OPTED_OUT_AT_NIGHT = history(
    "outreach", told(MEMBER, ChannelOptedOut(channel=Channel.TEXT), "2026-11-21 07:00 PST"), answers=(SENT,)
)  # fmt: skip
COVERAGE_LOST_AND_BACK = history(
    "outreach",
    told(MEMBER, CoverageLost(), "2026-11-24 00:00 PST"),
    told(MEMBER, CoverageRestored(), "2026-11-28 00:00 PST"),
    a_contact("2026-12-02 09:00 PST"),
)
ALERTS_FAIL = history("outreach", answers=(FAILED,), days=21)
TWO_STAYS = history(
    "transition",
    *a_stay("stay-1", "2026-11-21 09:00 PST", "2026-11-23 15:00 PST"),
    *a_stay("stay-2", "2026-12-04 09:00 PST", "2026-12-05 15:00 PST"),
    days=30,
)
CORRECTED_STAY = history(
    "transition",
    *a_stay("stay-1", "2026-11-21 09:00 PST", "2026-11-23 15:00 PST"),
    told(
        "stay-1",
        StayDescribed(**source_of(at("2026-11-24 09:00 PST")), discharged_at=at("2026-11-22 15:00 PST"), disposition="01"),
        "2026-11-24 09:00 PST",
    ),
    days=30,
)


def in_autumn() -> History:
    """Assigned on October 26, before the end of daylight time; a contact half an hour before the last midnight."""
    draft = Draft(None, date(2026, 10, 26), 15)
    beginning(draft, at("2026-10-26 10:00 PDT"))
    contact = Told(
        OUTREACH, ContactMade(member=MEMBER, channel=Channel.CALL), at("2026-11-05 23:30 PST"), at("2026-11-05 23:30 PST")
    )
    draft.facts.append(replace(contact, id="fact-0"))
    return draft.history("outreach", (varied(**SHORT),), (NEVER,))


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

    plant.setattr(outreach_plan, "keep", kept)
    plant.setattr(transition_plan, "keep", kept)


def step_keys_by_ordinal(plant: pytest.MonkeyPatch) -> None:
    """A step's key counts what stands now instead of what was ever written."""
    step = clocks._step

    def keyed(stream: str, fact: clocks.ClockFact, generation: int, as_of: Instant) -> Any:
        return step(stream, fact, min(generation, 1), as_of)

    plant.setattr(clocks, "_step", keyed)


def stays_by_ordinal(plant: pytest.MonkeyPatch) -> None:
    """A discharge is named by its place among the stays, in the order in which they became known."""
    departures = transition_departures.departures

    def numbered(visits: tuple[Any, ...], alarm: Alarm) -> Iterator[Any]:
        for n, departure in enumerate(departures(visits, alarm)):
            yield replace(departure, visit=replace(departure.visit, stay=f"stay-no-{n}"))

    plant.setattr(transition_plan, "departures", numbered)


def due_inclusive(plant: pytest.MonkeyPatch) -> None:
    """What happens at the due itself still counts."""
    plant.setattr(clocks, "_before_due", lambda at, rests_at, window: at <= window.due)


def by_receipt(plant: pytest.MonkeyPatch) -> None:
    """A record counts from when it was written down."""

    def received(timeline: Any, alarm: Alarm) -> Any:
        return so_far(tuple(entry._replace(at=entry.recorded_at) for entry in timeline), alarm)

    plant.setattr(outreach_plan, "so_far", received)


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


def nothing_forbidden(plant: pytest.MonkeyPatch) -> None:
    """What was once asked for is sent."""
    plant.setattr(outreach_plan, "_forbidden", lambda sight, asked: "")
    plant.setattr(outreach_plan, "_fallen", lambda sight, rung, until: rung)


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


def ten_times_24_hours(plant: pytest.MonkeyPatch) -> None:
    """Days are counted in hours."""

    def due(sight: Any, policy: Policy, start: date) -> Instant:
        begins = outreach_plan.start_of_day(start, policy.timezone)
        return begins + timedelta(hours=24 * (policy.initial_contact.days + 1))

    plant.setattr(outreach_plan, "_due", due)


def lost_days_forgotten(plant: pytest.MonkeyPatch) -> None:
    """A due is not moved by the days on which the clock rested."""
    plant.setattr(outreach_plan, "moved_day", lambda day, rests, zone: day)
    plant.setattr(transition_plan, "moved_day", lambda day, rests, zone: day)


def statements_by_arrival(plant: pytest.MonkeyPatch) -> None:
    """The last message that arrives has the last word about a stay."""
    plant.setattr(stay_decider, "insort", lambda grown, entry, key: grown.append(entry))


MUTANTS = (
    Mutant(stop_first, "oracle", is_judged, CONTACT_THEN_ENROLMENT),
    Mutant(current_only, "catch-up", sleeps_through, CONTACT_LEARNED_LATE),
    Mutant(step_keys_by_ordinal, "quiet", four_laws, CONTACT_STRUCK_OUT_AFTER_A_MISS),
    Mutant(stays_by_ordinal, "order", newest_first, TWO_STAYS),
    Mutant(due_inclusive, "final", is_final, CONTACT_AT_THE_DUE),
    Mutant(due_inclusive, "oracle", is_judged, CONTACT_AT_THE_DUE),
    Mutant(by_receipt, "order", late_everywhere, CONTACT_LEARNED_LATE),
    Mutant(never_taken_back, "order", late_everywhere, CONTACT_ON_DAY_3),
    Mutant(no_alarm, "live", four_laws, NOTHING),
    Mutant(the_latest_alarm, "punctual", laws.punctual, NOTHING),
    Mutant(nothing_forbidden, "consent", consents, OPTED_OUT_AT_NIGHT),
    Mutant(misses_unwanted, "agreed", four_laws, NOTHING),
    Mutant(tried_for_ever, "bounded", four_laws, ALERTS_FAIL),
    Mutant(ten_times_24_hours, "oracle", is_judged, in_autumn()),
    Mutant(lost_days_forgotten, "oracle", is_judged, COVERAGE_LOST_AND_BACK),
    Mutant(statements_by_arrival, "order", newest_first, CORRECTED_STAY),
)
EVERY_LAW = {"quiet", "agreed", "live", "punctual", "bounded", "consent", "order", "catch-up", "final", "oracle"}


@every_mutant_of(MUTANTS)
def test_it_dies_by_its_law(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    dies(mutant, monkeypatch)


def test_every_law_kills_a_mutant() -> None:
    assert {mutant.law for mutant in MUTANTS} == EVERY_LAW
