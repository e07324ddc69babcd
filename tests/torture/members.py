"""Members whose verdicts a person worked out with a calendar in hand, from domain.md and the text of policies/default.toml.

Every date is the local day of the run, counted from its Monday (day 0), and a local time of day. No verdict here was computed. Each
says which rule it follows; the last deed that decides it stands beside it, so that nothing is asked before it is decided.

    day   0   1   2   3   4   5   6 |  7   8   9  10  11  12  13 | 14  15  16  17  18  19  20 | 21 ...
         Mon Tue Wed Thu Fri Sat Sun| Mon Tue Wed Thu Fri Sat Sun| Mon Tue Wed Thu Fri Sat Sun| Mon

In 2027 the run's day 13 is March 14, on which clocks are put forward. No federal holiday lies in these weeks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from domain.core import Command, Instant, StreamId
from domain.episode.closing import CloseEpisode, Decline, ReinstateEpisode
from domain.episode.decider import ReceiveAssignment
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.episode.holds import Hold
from domain.episode.leads import AssignLeadCareManager
from domain.followup.decider import RecordFollowUpContact
from domain.interactions import Interaction, SpokenTo
from domain.member.circumstances import Circumstance, NoteCircumstance
from domain.member.decider import (
    AttributeStay,
    LearnContactPoint,
    LoseCoverage,
    OptOut,
    RegisterMember,
    ReportDeath,
    RestoreCoverage,
    WithdrawDeathReport,
)
from domain.member.facts import Channel, DeathReported, PointKind
from domain.outreach.decider import RecordAttempt
from domain.outreach.facts import Outcome
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from domain.stay.decider import RecordStatement
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayStatement,
    order_of,
)
from domain.transition.decider import RecordTransitionContact

PACIFIC = ZoneInfo("America/Los_Angeles")
OURS = UUID("7d0c8c4e-2f47-4f0c-8a37-0b5d1f6f2a90")
"""The name space of these members' streams."""

PLAN = "default"
HOSPITAL = "source:general"

StateOf = Callable[[StreamId], Any]
"""The folded state of a stream, as it is when the deed is told."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one member."""

    name: str

    def of(self, kind: str) -> StreamId:
        """Episode, outreach, transition and followup share their uuid."""
        return f"{kind}-{uuid5(OURS, f'{self.name}/episode')}"

    @property
    def member(self) -> StreamId:
        return f"member-{uuid5(OURS, self.name)}"

    def stay(self, number: int) -> StreamId:
        return f"stay-{uuid5(OURS, f'{self.name}/stay {number}')}"


LEAD, BOSS = (f"staff-{uuid5(OURS, who)}" for who in ("lead", "boss"))


@dataclass(frozen=True, slots=True)
class Moment:
    """A deed's place in time: when it happens, and when it is told (both local)."""

    start: Instant
    happens: str
    told: str

    @property
    def at(self) -> Instant:
        return instant(self.start, self.happens)

    @property
    def told_at(self) -> Instant:
        return instant(self.start, self.told)


Deed = Callable[[Streams, Moment, StateOf], tuple[Command, ...]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Something happens, "day 4 14:00", and is told then or later."""

    happens: str
    deed: Deed
    told: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says of one promise: the rule, the due, the word, and the moment from which that word stands.

    `word`: met, met_late, missed, withdrawn. For missed and met_late a miss stands in the log, as of the due; for the others none.
    """

    rule: str
    due: str
    word: str
    since: str
    why: str


@dataclass(frozen=True, slots=True)
class HandWritten:
    """One member. `texts_max`: how many texts may be handed over at most; None: it does not matter here."""

    name: str
    scenes: tuple[Scene, ...]
    verdicts: tuple[Verdict, ...]
    texts_max: int | None = None
    only: tuple[str, ...] = field(default=())
    """Rules of which there are no other promises than those listed."""


# --- deeds -----------------------------------------------------------------------------------------------------------------------


def assigned(who: Streams, moment: Moment, state_of: StateOf) -> tuple[Command, ...]:
    """The plan's word arrives: everything that the file says of the member."""
    at, claim = moment.at, f"claim-{uuid5(OURS, f'{who.name}/claim').hex}"
    names = {"family_name": "Handwritten", "given_name": who.name, "birth_date": "1980-05-05"}
    points = (
        ("phone-1", PointKind.PHONE, "+15550100"),
        ("mail-1", PointKind.EMAIL, "hand@example.org"),
        ("home-1", PointKind.ADDRESS, "1 Road"),
    )
    return (
        RegisterMember(stream=who.member, by="source:plan", occurred_at=at, cin_claim=claim, **names),
        *(
            LearnContactPoint(
                stream=who.member, by="source:plan", occurred_at=at, point=point, kind=kind, learned_from="plan_file", value=value
            )
            for point, kind, value in points
        ),
        ReceiveAssignment(stream=who.of("episode"), by="source:plan", occurred_at=at, member=who.member, plan=PLAN, received_at=at),
        AssignLeadCareManager(
            stream=who.of("episode"), by=BOSS, occurred_at=at, staff=LEAD, over_cap_because="nobody has more room"
        ),
    )


def called(outcome: Outcome) -> Deed:
    return lambda who, moment, state_of: (
        RecordAttempt(stream=who.of("outreach"), by=LEAD, occurred_at=moment.at, channel=Channel.CALL, outcome=outcome, minutes=5),
    )


reached, no_answer, voicemail = called(Outcome.REACHED), called(Outcome.NO_ANSWER), called(Outcome.VOICEMAIL)


def _episode(kind: type[Command], by: StreamId, **said: Any) -> Deed:
    return lambda who, moment, state_of: (kind(stream=who.of("episode"), by=by, occurred_at=moment.at, **said),)


def _member(kind: type[Command], by: str, **said: Any) -> Deed:
    return lambda who, moment, state_of: (kind(stream=who.member, by=by, occurred_at=moment.at, **said),)


enrolled = _episode(Enrol, LEAD, agreed="verbal")
declined = _episode(Decline, LEAD, how="said so on the telephone")
held = _episode(Hold, BOSS, reason="incarcerated")
closed_as_deceased = _episode(CloseEpisode, BOSS, reason=ClosureReason.DECEASED)
reinstated = _episode(ReinstateEpisode, BOSS, reason="namesake")
no_texts = _member(OptOut, LEAD, channel=Channel.TEXT, how="STOP")
death_reported = _member(ReportDeath, "source:plan", source="plan")
uncovered = _member(LoseCoverage, "source:plan", reason="redetermination")
covered = _member(RestoreCoverage, "source:plan", reason="papers arrived")
in_danger = _member(NoteCircumstance, LEAD, circumstance=Circumstance.AT_RISK_OF_SUICIDE, learned_from="member")


def death_withdrawn(who: Streams, moment: Moment, state_of: StateOf) -> tuple[Command, ...]:
    reports = [entry for entry in state_of(who.member).deaths if isinstance(entry.fact, DeathReported)]
    report = reports[-1].event_id
    return (WithdrawDeathReport(stream=who.member, by=BOSS, occurred_at=moment.at, report=report, reason="namesake"),)


def _statement(
    who: Streams, moment: Moment, number: int, statement: Callable[..., StayStatement], **said: Any
) -> tuple[Command, ...]:
    order = order_of(moment.at, moment.told_at, f"{moment.happens}/{number}", "by hand")
    whole = statement(order=order, received_at=moment.told_at, source="general", **said)
    return (
        RecordStatement(stream=who.stay(number), by=HOSPITAL, occurred_at=moment.at, said_at=moment.at, statement=whole),
        AttributeStay(
            stream=who.member,
            by=HOSPITAL,
            occurred_at=moment.at,
            stay=who.stay(number),
            episode=who.of("episode"),
            evidence="by_hand",
        ),
    )


def admitted(number: int = 1) -> Deed:
    return lambda who, moment, state_of: _statement(
        who, moment, number, MemberAdmitted, facility="general", stay_class=StayClass.INPATIENT, admitted_at=moment.at
    )


def discharged(number: int = 1, to: str = "01") -> Deed:
    return lambda who, moment, state_of: _statement(
        who, moment, number, MemberDischarged, facility="general", discharged_at=moment.at, disposition=to
    )


def discharge_cancelled(who: Streams, moment: Moment, state_of: StateOf) -> tuple[Command, ...]:
    return _statement(who, moment, 1, DischargeCancelled)


def admission_cancelled(who: Streams, moment: Moment, state_of: StateOf) -> tuple[Command, ...]:
    return _statement(who, moment, 1, AdmissionCancelled)


def spoken(how: Interaction) -> Deed:
    """With the member, after a discharge."""
    return lambda who, moment, state_of: (
        RecordTransitionContact(
            stream=who.of("transition"), by=LEAD, occurred_at=moment.at, interaction=how, spoken_to=SpokenTo.MEMBER, minutes=20
        ),
    )


phoned, visited = spoken(Interaction.PHONE), spoken(Interaction.IN_PERSON)


def followed_up(who: Streams, moment: Moment, state_of: StateOf) -> tuple[Command, ...]:
    said = {"interaction": Interaction.PHONE, "spoken_to": SpokenTo.MEMBER, "minutes": 15}
    return (RecordFollowUpContact(stream=who.of("followup"), by=LEAD, occurred_at=moment.at, **said),)


# --- the members -----------------------------------------------------------------------------------------------------------------

ATTEMPT, CONTACT = "initial_contact.attempt", "initial_contact.contact"
CALL, VISIT = "transition.call", "transition.visit"
INTERACTION, DAY_14 = "transition.synchronous_interaction", "transition.day_14_contact"
FOLLOW_UP = "followup.contact"

TEN_DAYS = "domain.md 2.3: calendar days from the local day of receipt, day 0; due at the end of day 10"
TWO_BUSINESS_DAYS = "default.toml call: 2 federal business days after the discharge's day, domain.md 7, 47"
SEVEN_DAYS = "default.toml visit: 7 calendar days after the discharge's day, domain.md 3 and 7, 47"

ASSIGNED = Scene("day 0 10:00", assigned)
ENROLLED = Scene("day 1 10:00", enrolled)
IN_HOSPITAL = (ASSIGNED, ENROLLED, Scene("day 2 09:30", admitted()))
HOME_ON_FRIDAY = (*IN_HOSPITAL, Scene("day 4 14:00", discharged()))


def both(due: str, word: str, since: str, why: str) -> tuple[Verdict, ...]:
    """The same of the first attempt and of the first two-way contact."""
    return (Verdict(ATTEMPT, due, word, since, why), Verdict(CONTACT, due, word, since, why))


MEMBERS: tuple[HandWritten, ...] = (
    HandWritten(
        "reached on day 9",
        (ASSIGNED, Scene("day 2 11:00", no_answer), Scene("day 9 15:00", reached)),
        (
            Verdict(ATTEMPT, "day 10 24:00", "met", "day 2 11:00", f"{TEN_DAYS}; 2.4: an attempt counts in vain too"),
            Verdict(CONTACT, "day 10 24:00", "met", "day 9 15:00", TEN_DAYS),
        ),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "reached in the last minute and entered the day after",
        (ASSIGNED, Scene("day 10 23:59", reached, told="day 11 09:00")),
        both("day 10 24:00", "met", "day 11 09:00", "domain.md 7, 13: what happened by then counts, whenever it was entered"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "reached on day 11",
        (ASSIGNED, Scene("day 11 09:00", reached)),
        (*both("day 10 24:00", "met_late", "day 11 09:00", f"{TEN_DAYS}; later is late"),),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "never heard of",
        (ASSIGNED,),
        both("day 10 24:00", "missed", "day 10 24:00", TEN_DAYS),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "wants no texts",
        (ASSIGNED, Scene("day 0 18:00", no_texts), Scene("day 3 11:00", voicemail)),
        (
            Verdict(ATTEMPT, "day 10 24:00", "met", "day 3 11:00", "domain.md 7, 16: a voicemail is an attempt"),
            Verdict(CONTACT, "day 10 24:00", "missed", "day 10 24:00", "domain.md 7, 16: and no contact"),
        ),
        texts_max=0,
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "declined",
        (ASSIGNED, Scene("day 4 16:00", declined)),
        both("day 10 24:00", "met", "day 4 16:00", "domain.md 2.3 and 7, 34: the clock stops at a decline, which was said to us"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "not dead after all",
        (
            ASSIGNED, Scene("day 4 09:00", death_reported), Scene("day 8 10:00", death_withdrawn), Scene("day 13 11:00", reached),
        ),
        both("day 14 24:00", "met", "day 13 11:00", "domain.md 7, 62: four local days were lost, from day 4 to day 8: 10 + 4"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "dead",
        (ASSIGNED, Scene("day 4 09:00", death_reported)),
        both("day 10 24:00", "withdrawn", "day 4 09:00", "domain.md 2.3 and 7, 62: the clock stops at death"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "closed by mistake and reinstated",
        (
            ASSIGNED, Scene("day 4 09:00", death_reported), Scene("day 5 09:00", closed_as_deceased),
            Scene("day 8 10:00", death_withdrawn), Scene("day 8 10:30", reinstated),
        ),
        both("day 14 24:00", "missed", "day 14 24:00", "domain.md 7, 62: days 4 to 8 are lost once"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "in jail",
        (ASSIGNED, Scene("day 3 09:00", held)),
        both("day 10 24:00", "missed", "day 10 24:00", "domain.md 7, 69: holds never suspend the initial deadline"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "without coverage for a while",
        (
            ASSIGNED, Scene("day 4 01:00", uncovered), Scene("day 9 09:00", covered), Scene("day 14 10:00", reached),
        ),
        both("day 15 24:00", "met", "day 14 10:00", "domain.md 7, 63: five local days were lost, from day 4 to day 9: 10 + 5"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "assigned before the clocks change",
        (
            Scene("day 6 10:00", assigned), Scene("day 16 23:30", reached, told="day 17 08:00"),
        ),
        both("day 16 24:00", "met", "day 17 08:00", "domain.md 2.3: never 240 hours; local midnight, day 6 + 10"),
        only=(ATTEMPT, CONTACT),
    ),
    HandWritten(
        "called on the evening of the second business day",
        (*HOME_ON_FRIDAY, Scene("day 8 19:00", phoned), Scene("day 12 10:00", visited)),
        (
            *both("day 10 24:00", "met", "day 1 10:00", "domain.md 2.3: who agrees to take part was spoken with"),
            Verdict(CALL, "day 8 24:00", "met", "day 8 19:00", f"{TWO_BUSINESS_DAYS}: Friday, Monday, Tuesday"),
            Verdict(INTERACTION, "day 11 24:00", "met", "day 8 19:00", "domain.md 1.10: days 1 to 7 after the discharge's day"),
            Verdict(VISIT, "day 11 24:00", "met_late", "day 12 10:00", f"{SEVEN_DAYS}: day 4 + 7; a day too late"),
            Verdict(DAY_14, "day 18 24:00", "met", "day 12 10:00", "default.toml day_14_contact: days 8 to 14 after it"),
        ),
        only=(ATTEMPT, CONTACT, CALL, VISIT, INTERACTION, DAY_14),
    ),
    HandWritten(
        "called on the third business day",
        (*HOME_ON_FRIDAY, Scene("day 9 10:00", phoned)),
        (
            Verdict(CALL, "day 8 24:00", "met_late", "day 9 10:00", TWO_BUSINESS_DAYS),
            Verdict(INTERACTION, "day 11 24:00", "met", "day 9 10:00", "domain.md 1.10: day 5 of 1 to 7"),
            Verdict(VISIT, "day 11 24:00", "missed", "day 11 24:00", f"{SEVEN_DAYS}; a telephone call is no visit"),
            Verdict(DAY_14, "day 18 24:00", "missed", "day 18 24:00", "default.toml day_14_contact: nobody from day 12 on"),
        ),
        only=(CALL, VISIT, INTERACTION, DAY_14),
    ),
    HandWritten(
        "discharge cancelled and said again",
        (*HOME_ON_FRIDAY, Scene("day 5 09:00", discharge_cancelled), Scene("day 7 10:00", discharged())),
        (
            Verdict(CALL, "day 8 24:00", "withdrawn", "day 5 09:00", "domain.md 7, 49: the discharge's clocks stop"),
            Verdict(CALL, "day 9 24:00", "missed", "day 9 24:00", "domain.md 7, 49: afresh from Monday: Wednesday"),
            Verdict(VISIT, "day 11 24:00", "withdrawn", "day 5 09:00", "domain.md 7, 49"),
            Verdict(VISIT, "day 14 24:00", "missed", "day 14 24:00", f"{SEVEN_DAYS}: day 7 + 7"),
        ),
        only=(CALL, VISIT),
    ),
    HandWritten(
        "again in hospital within the week",
        (
            *HOME_ON_FRIDAY, Scene("day 8 08:00", admitted(2)), Scene("day 11 12:00", discharged(2)), Scene("day 14 10:00", phoned),
        ),
        (
            Verdict(CALL, "day 8 24:00", "withdrawn", "day 8 08:00", "domain.md 7, 52: readmitted, the first rests"),
            Verdict(VISIT, "day 11 24:00", "withdrawn", "day 8 08:00", "domain.md 1.5: restarts at the last discharge"),
            Verdict(CALL, "day 15 24:00", "met", "day 14 10:00", f"{TWO_BUSINESS_DAYS}: Friday, Monday, Tuesday"),
            Verdict(INTERACTION, "day 18 24:00", "met", "day 14 10:00", "domain.md 7, 60c: once, at the last: day 11 + 7"),
            Verdict(VISIT, "day 18 24:00", "missed", "day 18 24:00", f"{SEVEN_DAYS}: day 11 + 7, across the change of clocks"),
        ),
        only=(CALL, VISIT),
    ),
    HandWritten(
        "moved to another hospital",
        (
            *IN_HOSPITAL, Scene("day 4 14:00", discharged(to="02")), Scene("day 4 17:00", admitted(2)),
            Scene("day 9 10:00", discharged(2)), Scene("day 11 18:30", phoned),
        ),
        (
            Verdict(CALL, "day 11 24:00", "met", "day 11 18:30", "domain.md 7, 53: a transfer is no end; Wednesday, Friday"),
            Verdict(VISIT, "day 16 24:00", "missed", "day 16 24:00", f"{SEVEN_DAYS}: day 9 + 7"),
        ),
        only=(CALL, VISIT),
    ),
    HandWritten(
        "discharge heard of after its call was due",
        (
            *IN_HOSPITAL, Scene("day 4 14:00", discharged(), told="day 9 09:00"), Scene("day 9 11:00", phoned),
        ),
        (
            Verdict(CALL, "day 8 24:00", "met_late", "day 9 11:00", "design.md 3: passed on arrival: missed"),
            Verdict(INTERACTION, "day 11 24:00", "met", "day 9 11:00", "domain.md 1.10"),
            Verdict(VISIT, "day 11 24:00", "missed", "day 11 24:00", SEVEN_DAYS),
        ),
        only=(CALL, VISIT, INTERACTION),
    ),
    HandWritten(
        "in danger and spoken with once",
        (
            ASSIGNED, ENROLLED, Scene("day 1 10:30", in_danger), Scene("day 6 11:00", followed_up),
        ),
        (
            Verdict(FOLLOW_UP, "day 8 24:00", "met", "day 6 11:00", "default.toml: tier high, every 7 days: day 1 + 7"),
            Verdict(FOLLOW_UP, "day 13 24:00", "missed", "day 13 24:00", "domain.md 7, 42: from the contact: day 6 + 7"),
            Verdict(FOLLOW_UP, "day 20 24:00", "missed", "day 20 24:00", "domain.md 7, 42: the miss is kept; 7 days on"),
        ),
    ),
    HandWritten(
        "followed up as it is usual",
        (ASSIGNED, ENROLLED, Scene("day 20 11:00", followed_up)),
        (
            Verdict(FOLLOW_UP, "day 31 24:00", "met", "day 20 11:00", "default.toml: tier low, every 30 days: day 1 + 30"),
            Verdict(FOLLOW_UP, "day 50 24:00", "missed", "day 50 24:00", "domain.md 7, 42: day 20 + 30, and nobody called"),
        ),
    ),
)  # fmt: skip

BY_NAME: Mapping[str, HandWritten] = {member.name: member for member in MEMBERS}


# --- telling it ------------------------------------------------------------------------------------------------------------------


def instant(start: Instant, when: str) -> Instant:
    """ "day 4 14:00" of a run that begins at `start`: a local time of day; 24:00 is the midnight that ends the day."""
    found = re.fullmatch(r"day (\d+) (\d\d):(\d\d)", when)
    assert found is not None, when
    day, hour, minute = (int(part) for part in found.groups())
    first = start.astimezone(PACIFIC).date()
    ends = hour == 24
    date = first + timedelta(days=day + ends)
    return datetime(date.year, date.month, date.day, 0 if ends else hour, minute, tzinfo=PACIFIC).astimezone(start.tzinfo)


def schedule(start: Instant) -> tuple[tuple[Instant, str, int], ...]:
    """Every scene in the order of telling: when, whose, and its place among the member's."""
    told = [
        (instant(start, scene.told or scene.happens), member.name, n) for member in MEMBERS for n, scene in enumerate(member.scenes)
    ]
    return tuple(sorted(told))


def commands(start: Instant, name: str, n: int, state_of: StateOf) -> tuple[Command, ...]:
    """What is told in a member's n-th scene, in order. Each has its own instant in the world."""
    scene = BY_NAME[name].scenes[n]
    return scene.deed(Streams(name), Moment(start, scene.happens, scene.told or scene.happens), state_of)


def staff() -> Iterable[Command]:
    """Who works there, to be carried out before the first scene."""
    yield JoinStaff(stream=BOSS, by="system", roles=(Role.SUPERVISOR,), supervisor=BOSS, name="Boss", email="boss@example.org")
    yield JoinStaff(stream=LEAD, by="system", roles=(Role.CARE_MANAGER,), supervisor=BOSS, name="Lead", email="lead@example.org")
