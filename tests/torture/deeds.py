"""A happening of the script as commands, as a hospital's message or as a plan's file. The same for every run of a script."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from domain.core import Command, StreamId
from domain.episode.closing import CloseEpisode, Decline
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.episode.holds import Hold, Resume
from domain.episode.leads import AssignLeadCareManager
from domain.followup.decider import RecordFollowUpAttempt, RecordFollowUpContact
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.circumstances import Circumstance, EndCircumstance, NoteCircumstance, RecordDiagnosis
from domain.member.decider import LoseCoverage, OptOut, ReportDeath, RestoreCoverage
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt
from domain.outreach.facts import Outcome
from domain.transition.decider import CompleteItem, RecordTransitionAttempt, RecordTransitionContact
from eventlog.gateway import Gateway
from intake.people.identity import IdentityKeys
from simulation.desk import PACIFIC, staff
from simulation.health_plan import member_file
from simulation.hospital import Hospital
from simulation.people import Person
from tests.torture import members
from tests.torture.script import BY_HAND, Happening, Script

TORTURE = UUID("2c7b7d52-6a0f-4f0c-9a54-0f7a1f5b9e11")
"""The name space of the script's command ids."""

CARE_MANAGERS = 3
AUTHORISED_DAYS_BEFORE = timedelta(days=6)
SAID_MINUTES_AFTER = timedelta(minutes=7)
CORRECTED_BY = timedelta(hours=5)


class NotYet(Exception):
    """What the deed speaks of is not known to the programme yet: try again later."""


def lead_of(person: Person) -> StreamId:
    return staff(f"care manager {person.number % CARE_MANAGERS + 1}")


def command_id(happening: Happening, n: int) -> UUID:
    """The id of a happening's n-th command: the same at every attempt and in every run."""
    return uuid5(TORTURE, f"{happening.id}/{n}")


def first_commands(happening_id: str) -> tuple[str, ...]:
    """The id of the first command that a happening leads to."""
    return (str(uuid5(TORTURE, f"{happening_id}/0")),)


def file_of(happening: Happening) -> bytes:
    """The plan's file."""
    day = happening.at.astimezone(PACIFIC).date()
    return member_file(happening.people, effective_on=day.replace(day=1), authorized_on=day - AUTHORISED_DAYS_BEFORE)


def message_of(happening: Happening, script: Script) -> bytes:
    """The hospital's message, byte for byte the same whenever it is asked for. Its control id names the happening."""
    person, at = happening.person, happening.at
    said_at = min(at + SAID_MINUTES_AFTER, happening.arrives_at)
    hospital = Hospital(prefix=f"T{happening.id.replace('/', 'X')}Y")
    visit = f"V{script.seed % 1000}{person.number:05d}{_visits_before(happening, script)}"
    match happening.what:
        case "admit":
            return hospital.admit(person, visit, at, said_at)
        case "discharge":
            return hospital.discharge(person, visit, at, said_at, happening.with_ or "01")
        case "emergency":
            return hospital.admit(person, visit, at, said_at, "E")
        case "sent_home":
            return hospital.discharge(person, visit, at, said_at, stay_class="E")
        case "cancel_admission":
            return hospital.cancel_admission(person, visit, said_at)
        case "cancel_discharge":
            return hospital.cancel_discharge(person, visit, said_at)
        case "correct_discharge":
            return hospital.correct_discharge(person, visit, at - CORRECTED_BY, said_at)
        case _:
            raise AssertionError(happening.what)


def _visits_before(happening: Happening, script: Script) -> int:
    """Which visit of the person it is: admissions up to then."""
    number = happening.person.number
    return sum(
        h.what in ("admit", "emergency") and len(h.people) == 1 and h.person.number == number and h.at <= happening.at
        for h in script.happenings
    )


def commands_of(happening: Happening, script: Script, gateway: Gateway, identity: IdentityKeys) -> Iterator[Command]:
    """What staff write down. Raises NotYet where the plan's file was not applied yet."""
    if happening.what == BY_HAND:
        name, _, n = happening.with_.partition("/")
        yield from members.commands(script.start, name, int(n), lambda stream: gateway.load(stream).state)
    else:
        yield from _commands_of(happening, gateway, identity)


def _commands_of(happening: Happening, gateway: Gateway, identity: IdentityKeys) -> Iterator[Command]:
    person = happening.person
    member = identity.member(person.cin)
    episodes = gateway.load(member).state.episodes
    if not episodes:
        raise NotYet
    episode: StreamId = episodes[-1]

    def said(kind: type[Command], stream: StreamId = episode, by: str = lead_of(person), **more: Any) -> Command:
        return kind(stream=stream, by=by, occurred_at=happening.at, **more)

    def of(kind: str) -> StreamId:
        return episode.replace("episode-", f"{kind}-", 1)

    with_ = happening.with_
    match happening.what:
        case "lead":
            why = "nobody has more room"
            yield said(AssignLeadCareManager, by=staff("supervisor"), staff=lead_of(person), over_cap_because=why)
        case "call" | "visit":
            yield said(RecordAttempt, of("outreach"), channel=Channel(happening.what), outcome=Outcome(with_), minutes=8)
        case "enrol":
            yield said(Enrol, agreed="verbal")
        case "decline":
            yield said(Decline, how="said so on the telephone")
        case "stop_texts":
            yield said(OptOut, member, channel=Channel.TEXT, how="STOP")
        case "talk" | "visit_home":
            interaction = Interaction.PHONE if happening.what == "talk" else Interaction.IN_PERSON
            told = {"interaction": interaction, "spoken_to": SpokenTo.MEMBER, "minutes": 20, "items": tuple(with_.split())}
            yield said(RecordTransitionContact, of("transition"), **told)
        case "leave_word":
            outcome = AttemptOutcome.VOICEMAIL
            yield said(RecordTransitionAttempt, of("transition"), interaction=Interaction.VOICEMAIL, outcome=outcome)
        case "item":
            for item in with_.split():
                yield said(CompleteItem, of("transition"), item=item, interaction=Interaction.DOCUMENT, spoken_to=SpokenTo.PRACTICE)
        case "lose_coverage":
            yield said(LoseCoverage, member, staff("operator"), reason="redetermination")
        case "restore_coverage":
            yield said(RestoreCoverage, member, staff("operator"), reason="papers arrived")
        case "death":
            yield said(ReportDeath, member, source="family")
        case "withdraws":
            yield said(CloseEpisode, reason=ClosureReason.MEMBER_WITHDREW)
        case "diagnose":
            yield said(RecordDiagnosis, member, "source:plan", code=with_, learned_from="plan_file")
        case "note":
            yield said(NoteCircumstance, member, circumstance=Circumstance(with_), learned_from="member")
        case "end":
            yield said(EndCircumstance, member, circumstance=Circumstance(with_))
        case "hold":
            yield said(Hold, by=staff("supervisor"), reason=with_)
        case "resume":
            yield said(Resume, by=staff("supervisor"), reason=with_)
        case "follow_up":
            yield said(RecordFollowUpContact, of("followup"), interaction=Interaction.PHONE, minutes=15)
        case "follow_up_attempt":
            yield said(RecordFollowUpAttempt, of("followup"), interaction=Interaction.PHONE, outcome=AttemptOutcome.NO_ANSWER)
        case _:
            raise AssertionError(happening.what)
