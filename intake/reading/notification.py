"""What a hospital's message says, in the programme's words: one `Notification` a message, whatever its form (messages.md 1.1-1.4).

Reads, normalises and flags; it does not look anything up and decides nothing. What it could not make sense of is kept as it came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.member.visit_words import About
from intake.reading.dispositions import Disposition, disposition_table
from intake.reading.er7 import DELETED, Deleted, Message, Repetition, Segment
from intake.reading.identifiers import cin_in, name_key, phone_key, plausible_birth_date, zip_key
from intake.reading.times import Precision, Time, Zone, offset_of, on_a_day, parse
from intake.senders.sources import Facility, Source

PARSER_VERSION: Final = "er7/1"

SAID_BEFORE_RECEIPT_MAX: Final = timedelta(days=30)
SAID_AFTER_RECEIPT_MAX: Final = timedelta(hours=1)
"""Outside of these the sender's clock cannot be believed: the statement ranks below all others (messages.md, decision 6)."""

FUTURE_MAX: Final = timedelta(hours=24)
"""An event further ahead of its receipt waits for a person (messages.md 1.4)."""

NEWBORN_DAYS_MAX: Final = 60
NO_RECORD_NUMBERS: Final = frozenset({"SS", "SSN", "DL", "PPN", "VN", "AN", "XX", "BC", "TAX"})
"""Types of identifier (table 0203) by which no hospital keeps its patients' records: never taken for a record number."""

_NEWBORN_NAMES = ("BABYBOY", "BABYGIRL", "BABY", "NEWBORN", "INFANT", "BOY", "GIRL", "BB", "BG")

FLAG_SENT_TIME_DOUBTFUL: Final = "sent_time_doubtful"
FLAG_TRIGGER_HINT_DIFFERS: Final = "evn1_differs"
FLAG_EVENT_TIME_MISSING: Final = "event_time_missing"
FLAG_VISIT_KEY_WEAK: Final = "visit_key_weak"
FLAG_FACILITY_UNKNOWN: Final = "facility_unknown"
FLAG_CLASS_UNKNOWN: Final = "class_unknown"
FLAG_DISPOSITION_UNMAPPED: Final = "disposition_unmapped"
FLAG_DEATH_CONTRADICTED: Final = "death_contradicts_disposition"
FLAG_CIN_CONFLICT: Final = "two_cins"
FLAG_CIN_INVALID: Final = "cin_invalid"
FLAG_BIRTH_DATE_INVALID: Final = "birth_date_invalid"
FLAG_DAY_ONLY: Final = "day_only"
FLAG_FUTURE: Final = "event_ahead_of_receipt"
FLAG_DISCHARGE_BEFORE_ADMISSION: Final = "discharge_before_admission"
FLAG_NEWBORN: Final = "newborn"


class Kind(StrEnum):
    """What a message says of a stay."""

    ADMITTED = "admitted"
    REGISTERED = "registered"
    DISCHARGED = "discharged"
    DESCRIBED = "described"
    ADMISSION_CANCELLED = "admission_cancelled"
    DISCHARGE_CANCELLED = "discharge_cancelled"
    BECAME = "became"
    MOVED = "moved"
    MOVE_CANCELLED = "move_cancelled"
    ANNOUNCED = "announced"
    CALLED_OFF = "called_off"
    LEAVE_BEGUN = "leave_begun"
    LEAVE_ENDED = "leave_ended"
    RENUMBERED = "renumbered"


KINDS: Final = {
    "A01": Kind.ADMITTED,
    "A02": Kind.MOVED,
    "A03": Kind.DISCHARGED,
    "A04": Kind.REGISTERED,
    "A05": Kind.ANNOUNCED,
    "A06": Kind.BECAME,
    "A07": Kind.BECAME,
    "A08": Kind.DESCRIBED,
    "A11": Kind.ADMISSION_CANCELLED,
    "A12": Kind.MOVE_CANCELLED,
    "A13": Kind.DISCHARGE_CANCELLED,
    "A14": Kind.ANNOUNCED,
    "A15": Kind.ANNOUNCED,
    "A16": Kind.ANNOUNCED,
    "A17": Kind.MOVED,
    "A21": Kind.LEAVE_BEGUN,
    "A22": Kind.LEAVE_ENDED,
    "A23": Kind.ADMISSION_CANCELLED,
    "A25": Kind.CALLED_OFF,
    "A26": Kind.CALLED_OFF,
    "A27": Kind.CALLED_OFF,
    "A38": Kind.CALLED_OFF,
    "A35": Kind.RENUMBERED,
    "A41": Kind.RENUMBERED,
    "A42": Kind.RENUMBERED,
    "A44": Kind.RENUMBERED,
    "A45": Kind.RENUMBERED,
    "A49": Kind.RENUMBERED,
    "A50": Kind.RENUMBERED,
}
"""What each trigger says of a stay (messages.md 1.1); A35, A42, A49 and A50 say of an account or a visit what A41 and A45 say."""

_CANCELLED_BY_ZBE: Final = {
    Kind.ADMITTED: Kind.ADMISSION_CANCELLED,
    Kind.REGISTERED: Kind.ADMISSION_CANCELLED,
    Kind.DISCHARGED: Kind.DISCHARGE_CANCELLED,
    Kind.MOVED: Kind.MOVE_CANCELLED,
    Kind.ANNOUNCED: Kind.CALLED_OFF,
    Kind.ADMISSION_CANCELLED: Kind.ADMISSION_CANCELLED,
    Kind.DISCHARGE_CANCELLED: Kind.DISCHARGE_CANCELLED,
    Kind.MOVE_CANCELLED: Kind.MOVE_CANCELLED,
    Kind.CALLED_OFF: Kind.CALLED_OFF,
}
"""What a trigger says where ZBE-4 cancels it; INSERT and UPDATE are what every statement is (messages.md 1.2)."""

ACCOUNTS: Final = ("A35", "A41", "A44", "A49")
"""Accounts that become one, or go to another patient: where visits are known by their account, these are about a visit."""

MOVES: Final = {
    "A05": "admission",
    "A14": "admission",
    "A27": "admission",
    "A38": "admission",
    "A15": "transfer",
    "A26": "transfer",
    "A16": "discharge",
    "A25": "discharge",
}
"""What is announced, or called off."""

TRACKING: Final = frozenset({"A09", "A10"})
"""A patient on the way from one place to another: kept, nothing follows."""

# Table 0004 and what is written in its place. Anything else is `unknown`, and still a stay if a trigger opens one.
_CLASSES: Final = {
    "I": "inpatient",
    "INPATIENT": "inpatient",
    "IMP": "inpatient",
    "E": "emergency",
    "EMERGENCY": "emergency",
    "EMER": "emergency",
    "ED": "emergency",
    "OBS": "observation",
    "OBSENC": "observation",
    "OBSERVATION": "observation",
    "O": "outpatient",
    "OUTPATIENT": "outpatient",
    "AMB": "outpatient",
    "R": "outpatient",
    "B": "inpatient",
}
UNKNOWN_CLASS: Final = "unknown"
_OF_NO_STAY: Final = frozenset({"P", "C", "N", "U"})
"""Values of table 0004 that do not say what kind of stay it is; every other is somebody's own."""


class VisitKeyBasis(StrEnum):
    VISIT_NUMBER = "visit_number"
    ACCOUNT = "account"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class VisitKey:
    """By what the messages of one stay are recognised: (`scope`, `value`). A synthetic one is a guess, and says so."""

    scope: str
    value: str
    basis: VisitKeyBasis


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """Whom the message is about, as far as it says. Personal data: never logged, never stored but sealed."""

    cins: tuple[str, ...] = ()
    record_numbers: tuple[tuple[str, str], ...] = ()
    family_name: str = ""
    other_family_names: tuple[str, ...] = ()
    given_name: str = ""
    birth_date: date | None = None
    sex: str = ""
    phone: str = ""
    zip: str = ""
    newborn: bool = False


WORDS_CHARS_MAX: Final = 1_000
DIAGNOSES_MAX: Final = 20
WORD_LETTERS_MIN: Final = 3
"""Of what a hospital says brought its patient so much is kept; a code has three letters and digits at least."""

_DIAGNOSED_AS: Final = {"A": "admitting", "W": "working", "F": "final", "D": "discharge"}


@dataclass(frozen=True, slots=True)
class Notification:
    """One message's statement.

    `occurred` is the event's own time and None where no field has one; `said_at` is MSH-7 where it can be believed. `discharged` is
    `DELETED` where the message takes a discharge time back. `facility` is the registry's id, or what the message says.

    `died` is None where nothing is said of it, False where the message says that the patient has not; `died_at`: when, if so.

    `move` and `expected` belong to announcements. `prior_visit` is the number that the visit had before, or the same visit at
    `prior_facility`, from which the member was moved here, or brought back. `houses` are the sender's facilities that may be meant
    where the message names none, or does not say from which one the member was moved here: where the visit is, the log knows.

    `unhoused`: the visit of this number as messages of the sender's say it that name no house, where this one names one.

    `explained`: what the hospital says brought the patient, in its own words; empty words where it takes them back.
    """

    kind: Kind
    trigger: str
    control_id: str
    member: MemberKeys
    facility: str
    visit: VisitKey
    stay_class: str
    class_said: str
    occurred: Time | None
    said_at: datetime | None
    zone: Zone
    admitted: Time | None = None
    discharged: Time | Deleted | None = None
    disposition: Disposition | None = None
    died: bool | None = None
    died_at: Time | None = None
    expected_discharge: date | None = None
    location: str = ""
    move: str = ""
    expected: date | None = None
    prior_visit: VisitKey | None = None
    prior_facility: str = ""
    houses: tuple[str, ...] = ()
    unhoused: VisitKey | None = None
    explained: Mapping[About, str] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def facility_known(self) -> bool:
        return FLAG_FACILITY_UNKNOWN not in self.flags

    def in_house(self, house: str) -> VisitKey:
        """The visit of this number in one of the sender's houses."""
        return VisitKey(f"facility:{house}", self.visit.value, self.visit.basis)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that we keep and do nothing with. `reason` is a code that operators can filter by."""

    reason: str


def trigger_of(message: Message) -> tuple[str, str]:
    """(type, trigger) out of MSH-9; EVN-1 is asked only where MSH-9 has no trigger (messages.md, decision 5)."""
    kind = message.msh.text(9, 1).upper()
    trigger = message.msh.text(9, 2).upper()
    if kind and not trigger:
        trigger = message.first("EVN").text(1).upper()
    return kind, trigger


def normalise(message: Message, source: Source, received_at: datetime, house: str = "") -> Notification | Ignored:
    """What the message says. `received_at` judges MSH-7 and events that lie ahead. `house`: the sender's facility whose visit it
    turned out to be about, where it names none: its times are of that one's zone."""
    kind, trigger = trigger_of(message)
    if kind != "ADT":
        return Ignored("type_not_taken")
    if trigger not in KINDS:
        return Ignored("tracking_only" if trigger in TRACKING else "trigger_not_modelled")
    if message.msh.text(11).upper() in ("T", "D") and source.production:
        return Ignored("not_production")
    msh, evn, pid, pv1 = message.msh, message.first("EVN"), message.first("PID"), message.first("PV1")
    flags = list(message.charset.flags)
    known, called = facility_of(message, source)
    zone = zone_of(message, source, house or (known.id if known is not None else ""))
    class_said = pv1.text(2)
    stay_class = _stay_class(class_said, source)
    odd_class = bool(class_said) and stay_class == UNKNOWN_CLASS and source.class_called(class_said) not in _OF_NO_STAY
    died, died_at = death_in(pid, zone, received_at)
    in_passing = trigger == "A04" and stay_class not in ("emergency", "observation")
    if in_passing and not died:
        if odd_class:
            return Ignored("registration_class_unknown")
        return Ignored("inpatient_registration" if stay_class == "inpatient" else "outpatient_registration")
    if odd_class:
        flags.append(FLAG_CLASS_UNKNOWN)
    if evn.text(1) and evn.text(1).upper() != trigger:
        flags.append(FLAG_TRIGGER_HINT_DIFFERS)

    sent = parse(msh.text(7), zone)
    said_at = sent.at if sent is not None and sent.precision >= Precision.MINUTE else None
    if said_at is None or not received_at - SAID_BEFORE_RECEIPT_MAX <= said_at <= received_at + SAID_AFTER_RECEIPT_MAX:
        said_at = None
        flags.append(FLAG_SENT_TIME_DOUBTFUL)

    admitted = began = on_a_day(parse(pv1.text(44), zone), flags)
    left = pv1.value(45)
    discharged = DELETED if left is DELETED else on_a_day(parse(left, zone), flags) if isinstance(left, str) else None
    died_at = on_a_day(died_at, flags)
    what = Kind.DESCRIBED if in_passing else KINDS[trigger]
    if source.zbe and message.first("ZBE").text(4).upper() == "CANCEL":
        if what not in _CANCELLED_BY_ZBE:
            return Ignored("cancellation_not_modelled")
        what = _CANCELLED_BY_ZBE[what]
    first = {Kind.ADMITTED: admitted, Kind.DISCHARGED: discharged if isinstance(discharged, Time) else None}.get(what)
    recorded = on_a_day(parse(evn.text(6), zone), flags) or on_a_day(parse(evn.text(2), zone), flags)
    occurred = first or recorded or on_a_day(sent, flags)
    if occurred is None:
        flags.append(FLAG_EVENT_TIME_MISSING)
    else:
        flags.extend(occurred.flags)
        if occurred.precision < Precision.HOUR:
            flags.append(FLAG_DAY_ONLY)
        if occurred.begins(zone) > received_at + SAID_AFTER_RECEIPT_MAX:
            flags.append(FLAG_FUTURE)
    match what:
        case Kind.ADMITTED | Kind.REGISTERED:
            admitted, discharged = admitted or occurred, None  # messages.md 1.2: PV1-45 stands in messages where nobody left
        case Kind.DISCHARGED:
            discharged = occurred
        case Kind.DESCRIBED:
            pass
        case Kind.BECAME:
            discharged = None
        case _:
            admitted = discharged = None
    for said in (admitted, discharged):
        flags.extend(said.flags if isinstance(said, Time) else ())
    if admitted is not None and isinstance(discharged, Time) and discharged.ends(zone) < admitted.begins(zone):
        flags.append(FLAG_DISCHARGE_BEFORE_ADMISSION)

    disposition = None
    if what in (Kind.DISCHARGED, Kind.DESCRIBED) and (where := pv1.value(36)) is not None:
        disposition = disposition_table().read(where.value if isinstance(where, Deleted) else where, source)
        if not disposition.mapped:
            flags.append(FLAG_DISPOSITION_UNMAPPED)
    if died and disposition is not None and disposition.mapped and disposition.code not in ("20", "40", "41", "42"):
        flags.append(FLAG_DEATH_CONTRADICTED)

    member, member_flags = member_keys(message, source, received_at)
    flags.extend(member_flags)
    facility, visit, visit_flags = _visit(message, source, known, called, member, began or occurred)
    flags.extend(visit_flags)
    prior_facility, prior_visit = _prior(message, source, trigger, what, facility, visit)
    if what is Kind.RENUMBERED and visit.basis is VisitKeyBasis.SYNTHETIC:
        return Ignored("no_visit_named")
    return Notification(
        kind=what,
        trigger=trigger,
        control_id=msh.text(10),
        member=member,
        facility=facility,
        visit=visit,
        stay_class=stay_class,
        class_said=class_said,
        occurred=occurred,
        said_at=said_at,
        zone=zone,
        admitted=admitted,
        discharged=discharged,
        disposition=disposition,
        died=died,
        died_at=died_at,
        expected_discharge=_day(message.first("PV2").text(9), zone),
        location=_location(pv1),
        move=MOVES.get(trigger, ""),
        expected=_expected(message, trigger, zone),
        prior_visit=prior_visit,
        prior_facility=prior_facility,
        houses=() if prior_visit is not None else _houses(message, source, what, facility, visit),
        unhoused=_unhoused(message, source, known, visit),
        explained=_explained(message),
        flags=tuple(dict.fromkeys(flags)),
    )


def death_in(pid: Segment, zone: Zone, received_at: datetime) -> tuple[bool | None, Time | None]:
    """Whether the patient died, and when: PID-30, and where it is empty PID-29. None: neither says anything. A time that has not
    come (31 December 9999) stands for nothing."""
    said, when = pid.value(30), parse(pid.text(29), zone)
    at = when if when is not None and when.begins(zone) <= received_at + FUTURE_MAX else None
    match said.upper() if isinstance(said, str) else said:
        case "Y" | "YES":
            return True, at
        case "N" | "NO" | Deleted.DELETED:
            return False, None
        case _:
            return (True if at is not None else False if pid.value(29) is DELETED else None), at


def _day(text: str, zone: Zone) -> date | None:
    said = parse(text, zone)
    return said.day if said is not None and said.precision >= Precision.DAY else None


def _expected(message: Message, trigger: str, zone: Zone) -> date | None:
    """The day for which something is announced: PV2-8 for an admission, PV2-9 for a discharge, else EVN-3."""
    field = {"admission": 8, "discharge": 9}.get(MOVES.get(trigger, ""))
    said = _day(message.first("PV2").text(field), zone) if field is not None else None
    return said or (_day(message.first("EVN").text(3), zone) if trigger in MOVES else None)


def _explained(message: Message) -> dict[About, str]:
    """The reason of admission (PV2-3) and the diagnoses (DG1) as the hospital writes them: code, name, which kind of diagnosis, and
    by which coding. What is no word is none (messages.md 1.2)."""
    found: dict[About, str] = {}
    reason = message.first("PV2").first(3)
    said = reason.text(2) or reason.text(1)
    if reason.value() is DELETED:
        found[About.REASON] = ""
    elif is_a_word(said):
        found[About.REASON] = said[:WORDS_CHARS_MAX]
    diagnoses = []
    for segment in message.all("DG1")[:DIAGNOSES_MAX]:
        code, name = segment.text(3), segment.text(3, 2) or segment.text(4)
        kinds = (_DIAGNOSED_AS.get(segment.text(6).upper(), ""), segment.text(3, 3))
        if is_a_word(f"{code} {name}"):
            diagnoses.append(diagnosis(code, name, ", ".join(filter(None, kinds))))
    if diagnoses:
        found[About.DIAGNOSES] = "; ".join(dict.fromkeys(diagnoses))[:WORDS_CHARS_MAX]
    return found


def is_a_word(said: str) -> bool:
    """Whether somebody may make something of it: `!` and other junk stands in these fields."""
    return sum(map(str.isalnum, said)) >= WORD_LETTERS_MIN


def diagnosis(code: str, name: str, kind: str) -> str:
    """As it is shown: F10.20 Alcohol dependence (admitting, I10)."""
    return " ".join(filter(None, (code, name if name != code else "", f"({kind})" if kind else "")))


def _location(pv1: Segment) -> str:
    """Unit, room and bed, as the hospital writes them."""
    return "^".join(pv1.text(3, part) for part in (1, 2, 3)).rstrip("^")


def facility_in(pv1: Segment, field: int) -> str:
    """The facility of a location (PV1-3, PV1-6): its name, or its OID where that is all there is."""
    return pv1.text(field, 4) or pv1.first(field).text(4, 2)


def _prior(
    message: Message, source: Source, trigger: str, what: Kind, facility: str, visit: VisitKey
) -> tuple[str, VisitKey | None]:  # fmt: skip
    """The number under which the visit ran before (MRG-5, else PV1-50), or the facility that the member was moved from (PV1-6.4;
    with a cancellation the one that the move had led to), with the visit's number there where one is said.

    A hospital that numbers its visits anew on a change of class, or in another house, says so here: a stay must not fall in two."""
    pv1 = message.first("PV1")
    if what in (Kind.MOVED, Kind.MOVE_CANCELLED):
        left = source.facility_called(facility_in(pv1, 6))
        if left is None or left.id == facility:
            return "", None
        number = message.first("MRG").text(5) or pv1.text(50)
        basis = VisitKeyBasis.VISIT_NUMBER if number else visit.basis
        return left.id, VisitKey(f"facility:{left.id}", number or visit.value, basis)
    if trigger in ACCOUNTS and visit.basis is VisitKeyBasis.ACCOUNT:
        number = message.first("MRG").text(3)
        return "", VisitKey(visit.scope, number, visit.basis) if number and number != visit.value else None
    if what in (Kind.BECAME, Kind.RENUMBERED):
        number = message.first("MRG").text(5) or pv1.text(50)
        if number and number != visit.value:
            return "", VisitKey(visit.scope, number, VisitKeyBasis.VISIT_NUMBER)
    return "", None


def _stay_class(said: str, source: Source) -> str:
    return _CLASSES.get(source.class_called(said), UNKNOWN_CLASS)


def record_number(said: Repetition, authority: str) -> tuple[str, str] | None:
    """(authority, number) of an identifier by which a hospital keeps records; None for others, and for what stands for nothing."""
    number = said.text(1)
    return (authority, number) if means_a_record(number, said.text(5)) else None


def means_a_record(number: str, kind: str) -> bool:
    """Whether an identifier of a type (table 0203) is one by which records are kept, and stands for somebody."""
    stands_for_nobody = len(set(number)) < 2 or (not any(map(str.isdigit, number)) and not name_key(number))
    return not stands_for_nobody and kind.upper() not in NO_RECORD_NUMBERS


def member_keys(message: Message, source: Source, received_at: datetime) -> tuple[MemberKeys, list[str]]:
    """Whom PID and IN1 name, and what is odd about it."""
    pid = message.first("PID")
    flags: list[str] = []
    cins: dict[str, None] = {}
    numbers: dict[tuple[str, str], None] = {}
    for said in (*pid.repetitions(3), *pid.repetitions(2), *pid.repetitions(4)):
        value = said.text(1)
        if not value:
            continue
        authority = source.authority(said.text(4) or said.text(4, 2))
        if (found := cin_in(value)) is not None:
            cins[found] = None
        elif authority == "cin" or said.text(5).upper() in ("MA", "MC"):
            flags.append(FLAG_CIN_INVALID)
        elif (number := record_number(said, authority)) is not None:
            numbers[number] = None
    for field in (18, 19):
        if (found := cin_in(pid.text(field))) is not None:
            cins[found] = None
    for insurance in message.all("IN1"):
        if _is_self(insurance):
            for field in (36, 2, 49):
                if (found := cin_in(insurance.text(field))) is not None:
                    cins[found] = None
    if len(cins) > 1:
        flags.append(FLAG_CIN_CONFLICT)

    names = pid.repetitions(5)
    families = tuple(dict.fromkeys(family for said in names if name_key(family := said.text(1))))
    given = names[0].text(2) if names else ""
    born = parse(pid.text(7), Zone(source.timezone))
    birth_date = born.day if born is not None and born.precision >= Precision.DAY else None
    if pid.text(7) and (birth_date is None or not plausible_birth_date(birth_date, received_at.date())):
        birth_date = None
        flags.append(FLAG_BIRTH_DATE_INVALID)
    newborn = is_newborn(given, birth_date, received_at.date())
    if newborn:
        flags.append(FLAG_NEWBORN)
    return (
        MemberKeys(
            cins=tuple(cins),
            record_numbers=tuple(numbers),
            family_name=families[0] if families else "",
            other_family_names=families[1:],
            given_name=given,
            birth_date=birth_date,
            sex=pid.text(8).upper()[:1],
            phone=phone_key(pid.text(13)) or phone_key(pid.text(13, 12)),
            zip=zip_key(pid.text(11, 5)),
            newborn=newborn,
        ),
        flags,
    )


def is_newborn(given: str, birth_date: date | None, today: date) -> bool:
    """Whether somebody goes by no name of their own yet, or was born so lately that numbers may be their mother's."""
    named = name_key(given).startswith(_NEWBORN_NAMES[:5]) or name_key(given) in _NEWBORN_NAMES
    return named or (birth_date is not None and today - birth_date <= timedelta(days=NEWBORN_DAYS_MAX))


def _is_self(insurance: Segment) -> bool:
    """A policy that is somebody else's (a mother's, say) carries somebody else's number."""
    return insurance.text(17).upper() in ("", "SEL", "SELF", "SLF", "18", "S", "PATIENT")


def _houses(message: Message, source: Source, what: Kind, facility: str, visit: VisitKey) -> tuple[str, ...]:
    """Where the visit may be, as far as the message leaves that open; of a visit without a number nobody can say."""
    pv1, evn = message.first("PV1"), message.first("EVN")
    others = tuple(house.id for house in source.facilities if house.id != facility)
    if visit.basis is VisitKeyBasis.SYNTHETIC or what in (Kind.MOVE_CANCELLED, Kind.RENUMBERED) or facility_in(pv1, 6):
        return ()
    if visit.scope == f"facility:{facility}":
        return others if what is Kind.MOVED else ()
    return others if not (facility_in(pv1, 3) or evn.text(7) or evn.text(7, 2) or pv1.text(39)) else ()


def zone_of(message: Message, source: Source, facility: str) -> Zone:
    """What holds for the times of a message that say no zone: MSH-7's, else the facility's, else the source's (messages.md 1.4)."""
    return Zone(source.zone_at(facility), offset_of(message.msh.text(7)), source.ignore_offsets)


def facility_of(message: Message, source: Source) -> tuple[Facility | None, str]:
    """The sender's facility that a message is about, None where the registry does not know it; and what the message calls it."""
    pv1, evn = message.first("PV1"), message.first("EVN")
    said = {
        "PV1-3.4": facility_in(pv1, 3),
        "MSH-4": _header_facility(message),
        "EVN-7": evn.text(7) or evn.text(7, 2),
        "PV1-39": pv1.text(39),
    }
    names = [said[field] for field in source.facility_fields if said[field]]
    known = next((listed for name in names if (listed := source.facility_called(name)) is not None), None)
    if known is None:  # the bed is given up: where the patient was before names the house
        known = source.facility_called(facility_in(pv1, 6))
    if known is None and len(source.facilities) == 1:
        known = source.facilities[0]  # a sender of one hospital: an odd name is a building or a unit of it
    return known, names[0] if names else source.name


def _header_facility(message: Message) -> str:
    return message.msh.text(4) or message.msh.text(4, 2)


def _unhoused_scope(message: Message, source: Source) -> str:
    return f"source:{source.name}:{_header_facility(message).upper()}"


def _unhoused(message: Message, source: Source, known: Facility | None, visit: VisitKey) -> VisitKey | None:
    if known is None or len(source.facilities) < 2 or visit.basis is VisitKeyBasis.SYNTHETIC:
        return None
    return VisitKey(_unhoused_scope(message, source), visit.value, visit.basis)


def _visit(
    message: Message, source: Source, known: Facility | None, called: str, member: MemberKeys, when: Time | None
) -> tuple[str, VisitKey, list[str]]:  # fmt: skip
    pid, pv1 = message.first("PID"), message.first("PV1")
    flags: list[str] = []
    if known is not None:
        facility, scope = known.id, f"facility:{known.id}"
    else:
        # Scoped by the header's facility, which every message of a sender has, so that a stay does not fall in two.
        facility, scope = called, _unhoused_scope(message, source)
        flags.append(FLAG_FACILITY_UNKNOWN)
    if pv1.text(19):
        return facility, VisitKey(scope, pv1.text(19), VisitKeyBasis.VISIT_NUMBER), flags
    if pid.text(18):
        return facility, VisitKey(scope, pid.text(18), VisitKeyBasis.ACCOUNT), flags
    flags.append(FLAG_VISIT_KEY_WEAK)
    person = (
        "/".join(member.record_numbers[0]) if member.record_numbers
        else member.cins[0] if member.cins
        else f"{name_key(member.family_name)}/{name_key(member.given_name)}/{member.birth_date}"
    )  # fmt: skip
    day = when.day.isoformat() if when is not None else "?"
    return facility, VisitKey(scope, f"{person}|{day}", VisitKeyBasis.SYNTHETIC), flags
