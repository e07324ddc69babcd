"""What a hospital says of a patient, and not of a visit: that two numbers are one person's, how the person is reached, that a
record was deleted (messages.md 1.1: A18, A28, A29, A31, A34, A36, A40, A47; A30, A39 and A46 of older senders say the same).

Reads and normalises; looks nothing up and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.core import Instant
from domain.member.facts import PointKind
from intake.reading.er7 import Message, Segment
from intake.reading.identifiers import cin_of, phone_key
from intake.reading.notification import (
    FLAG_SENT_TIME_DOUBTFUL,
    SAID_AFTER_RECEIPT_MAX,
    SAID_BEFORE_RECEIPT_MAX,
    Ignored,
    MemberKeys,
    death_in,
    facility_of,
    member_keys,
    record_number,
    trigger_of,
    zone_of,
)
from intake.reading.times import Precision, on_a_day, parse
from intake.senders.sources import Source

FLAG_TWO_PEOPLE_NAMED: Final = "two_people_named"
"""The name beside the retired number (MRG-7) is another one than the patient's."""

POINTS_MAX: Final = 8
"""Numbers and addresses of one message."""


class PersonKind(StrEnum):
    MERGED = "merged"
    TOLD = "told"
    DELETED = "deleted"


KINDS: Final = {
    "A18": PersonKind.MERGED,
    "A30": PersonKind.MERGED,
    "A34": PersonKind.MERGED,
    "A36": PersonKind.MERGED,
    "A39": PersonKind.MERGED,
    "A40": PersonKind.MERGED,
    "A46": PersonKind.MERGED,
    "A47": PersonKind.MERGED,
    "A28": PersonKind.TOLD,
    "A31": PersonKind.TOLD,
    "A29": PersonKind.DELETED,
}


@dataclass(frozen=True, slots=True)
class PersonNotice:
    """One message's word about a patient. `retired` are numbers, `retired_cins` CINs that were given up for those of `member`.
    `points` are how the hospital reaches the patient: (kind, value). `died_at`: when the patient died, if it says so; `alive`: it
    says that the patient has not."""

    kind: PersonKind
    trigger: str
    control_id: str
    member: MemberKeys
    occurred_at: Instant
    said_at: datetime | None
    retired: tuple[tuple[str, str], ...] = ()
    retired_cins: tuple[str, ...] = ()
    points: tuple[tuple[PointKind, str], ...] = ()
    died_at: Instant | None = None
    alive: bool = False
    flags: tuple[str, ...] = ()


def normalise(message: Message, source: Source, received_at: datetime) -> PersonNotice | Ignored:
    """What the message says. `received_at` judges MSH-7, and stands in for an event's missing time."""
    _, trigger = trigger_of(message)
    msh, evn, pid, mrg = message.msh, message.first("EVN"), message.first("PID"), message.first("MRG")
    if msh.text(11).upper() in ("T", "D") and source.production:
        return Ignored("not_production")
    known, _ = facility_of(message, source)
    zone = zone_of(message, source, known.id if known is not None else "")
    sent = parse(msh.text(7), zone)
    said_at = sent.at if sent is not None and sent.precision >= Precision.MINUTE else None
    member, found = member_keys(message, source, received_at)
    flags = [*message.charset.flags, *found]
    if said_at is None or not received_at - SAID_BEFORE_RECEIPT_MAX <= said_at <= received_at + SAID_AFTER_RECEIPT_MAX:
        said_at = None
        flags.append(FLAG_SENT_TIME_DOUBTFUL)
    recorded = on_a_day(parse(evn.text(6), zone), flags) or on_a_day(parse(evn.text(2), zone), flags)
    occurred = recorded or on_a_day(sent, flags)
    happened = min(occurred.begins(zone), received_at) if occurred is not None else received_at
    died, when = death_in(pid, zone, received_at)
    dated = on_a_day(when, flags)
    died_at = min(dated.begins(zone), received_at) if dated is not None else happened
    kind = KINDS[trigger]
    own = tuple(authority for authority, _ in member.record_numbers[:1])
    retired, retired_cins = _retired(mrg, source, own) if kind is PersonKind.MERGED else ((), ())
    if kind is PersonKind.MERGED and not retired and not retired_cins:
        return Ignored("no_number_retired")
    prior = mrg.text(7)
    if prior and member.family_name and prior.upper() != member.family_name.upper():
        flags.append(FLAG_TWO_PEOPLE_NAMED)
    return PersonNotice(
        kind=kind,
        trigger=trigger,
        control_id=msh.text(10),
        member=member,
        occurred_at=happened,
        said_at=said_at,
        retired=tuple(number for number in retired if number not in member.record_numbers),
        retired_cins=tuple(cin for cin in retired_cins if cin not in member.cins),
        points=tuple(_points(pid))[:POINTS_MAX] if kind is PersonKind.TOLD else (),
        died_at=died_at if died else None,
        alive=died is False,
        flags=tuple(dict.fromkeys(flags)),
    )


def _retired(mrg: Segment, source: Source, own: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The numbers that were given up: MRG-1, and MRG-4 of older versions. One without an authority is the sender's own, or of
    the authority of the patient's first number (`own`): what is given up is a number of the same kind."""
    numbers: dict[tuple[str, str], None] = {}
    cins: dict[str, None] = {}
    for said in (*mrg.repetitions(1), *mrg.repetitions(4)):
        found = cin_of(said.text(1))
        if isinstance(found, str):
            cins[found] = None
        else:
            named = said.text(4) or said.text(4, 2)
            authorities = (source.authority(named),) if named else (source.authority(""), *own)
            numbers |= {number: None for a in authorities if said.text(1) and (number := record_number(said, a)) is not None}
    return tuple(numbers), tuple(cins)


def _points(pid: Segment) -> dict[tuple[PointKind, str], None]:
    """Phone numbers and mail addresses (PID-13, PID-14), and the postal address (PID-11)."""
    found: dict[tuple[PointKind, str], None] = {}
    for said in (*pid.repetitions(13), *pid.repetitions(14)):
        for part in (said.text(1), said.text(12)):
            if key := phone_key(part):
                found[PointKind.PHONE, key] = None
        if "@" in said.text(4):
            found[PointKind.EMAIL, said.text(4)] = None
    for said in pid.repetitions(11):
        street, line, city, state, code = (said.text(part) for part in (1, 2, 3, 4, 5))
        if street and city:
            place = " ".join(part for part in (state, code) if part)
            found[PointKind.ADDRESS, ", ".join(part for part in (street, line, city, place) if part)] = None
    return found
