"""Reads FHIR R4 message bundles of the Da Vinci notifications (messages.md 2.1, 2.2): bytes to a `Bundle`, it to a `Notification`.

Tolerant towards content and strict towards what the guide makes obligatory of the envelope. The message's event says what happened;
an encounter's status and period only fill in, because senders set both before they are true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from domain.member.visit_words import About
from domain.stay.facts import Move
from intake.reading.dispositions import Disposition, disposition_table
from intake.reading.identifiers import cin_of, phone_key, plausible_birth_date, zip_key
from intake.reading.notification import (
    DIAGNOSES_MAX,
    FLAG_BIRTH_DATE_INVALID,
    FLAG_CIN_CONFLICT,
    FLAG_CIN_INVALID,
    FLAG_CLASS_UNKNOWN,
    FLAG_DAY_ONLY,
    FLAG_DEATH_CONTRADICTED,
    FLAG_DISCHARGE_BEFORE_ADMISSION,
    FLAG_DISPOSITION_UNMAPPED,
    FLAG_EVENT_TIME_MISSING,
    FLAG_FACILITY_UNKNOWN,
    FLAG_FUTURE,
    FLAG_NEWBORN,
    FLAG_SENT_TIME_DOUBTFUL,
    FLAG_VISIT_KEY_WEAK,
    FUTURE_MAX,
    SAID_AFTER_RECEIPT_MAX,
    SAID_BEFORE_RECEIPT_MAX,
    UNKNOWN_CLASS,
    WORDS_CHARS_MAX,
    Ignored,
    Kind,
    MemberKeys,
    Notification,
    VisitKey,
    VisitKeyBasis,
    diagnosis,
    is_a_word,
    is_newborn,
    means_a_record,
)
from intake.reading.times import Precision, Time, Zone, on_a_day, parse
from intake.senders.sources import Facility, Source
from intake.store.inbox import CONTROL_ID_MAX

PARSER_VERSION: Final = "fhir/1"
FLAG_STATUS_CONTRADICTS: Final = "status_contradicts_event"
SOCIAL_SECURITY: Final = "us-ssn"
"""How the system of social security numbers is called: no hospital's record number."""

LOCATION_CHARS_MAX: Final = 120

PLANNED: Final = "encounter-planned"
DESCRIBED: Final = "encounter-described"
"""What subscriptions tell of beside the guide's events: an encounter that is to be, and one of which no more is said."""

_EVENTS: Final = {
    "notification-admit": Kind.ADMITTED,
    "notification-transfer": Kind.MOVED,
    "notification-discharge": Kind.DISCHARGED,
    PLANNED: Kind.ANNOUNCED,
    DESCRIBED: Kind.DESCRIBED,
}
_CLASSES: Final = {
    "EMER": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "SS": "inpatient",
    "OBSENC": "observation",
    "AMB": "outpatient",
    "HH": "outpatient",
    "VR": "outpatient",
    "PRENC": "unknown",
}
_CANCELLED: Final = frozenset({"cancelled", "entered-in-error"})
_CONTRADICT: Final = {
    Kind.ADMITTED: frozenset({"planned", "finished"}),
    Kind.MOVED: frozenset({"planned", "finished", *_CANCELLED}),
    Kind.DISCHARGED: frozenset({"planned", "arrived", "triaged", "in-progress", "onleave", *_CANCELLED}),
}
"""Statuses that deny what the event says: the event counts all the same (messages.md 2.2). There is no event for a cancellation, so
only an admission's status says one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a body is no message that we can take. `code` and `expression` are OperationOutcome's; `remedy` is for its sender."""

    status: int
    code: str
    expression: str
    remedy: str

    @property
    def as_reason(self) -> str:
        """As the inbox has it, whether it was found at the door or when the message was read again."""
        return f"fhir_{self.code.replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A message bundle: its header, what the header is about, and every resource by each name that a reference may use."""

    id: str
    timestamp: str
    header: dict[str, Any]
    event: str
    encounter: dict[str, Any]
    resources: dict[str, dict[str, Any]]

    @property
    def control_id(self) -> str:
        """The bundle's id and its header's: what a repeated delivery has in common."""
        return f"{self.id}/{text_of(self.header, 'id')}"[:CONTROL_ID_MAX]

    def found(self, reference: object) -> dict[str, Any]:
        """The resource of a Reference; empty where it is not in the bundle."""
        return self.resources.get(text_of(reference, "reference"), {})

    def of_type(self, kind: str) -> Iterator[dict[str, Any]]:
        seen: set[int] = set()
        for resource in self.resources.values():
            if resource.get("resourceType") == kind and id(resource) not in seen:
                seen.add(id(resource))
                yield resource


def read(raw: bytes) -> Bundle | Refused:
    """The bundle of a message, checked for what the guide asks of its envelope."""
    try:
        body = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return Refused(400, "invalid", "Bundle", "the body is not JSON in UTF-8; send one FHIR R4 Bundle as application/fhir+json")
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle" or body.get("type") != "message":
        return Refused(400, "invalid", "Bundle.type", "send a Bundle whose type is message")
    for field in ("id", "timestamp"):
        if not text_of(body, field):
            return Refused(422, "required", f"Bundle.{field}", f"the guide asks for {field} in every notification")
    entries = body.get("entry")
    if not isinstance(entries, list) or len(entries) < 2:
        return Refused(422, "required", "Bundle.entry", "send the MessageHeader first and the Encounter that it is about")
    resources: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            return Refused(400, "structure", f"Bundle.entry[{number}].resource", "each entry holds one resource")
        names = (
            text_of(entry, "fullUrl"),
            f"{resource['resourceType']}/{text_of(resource, 'id')}",
            f"urn:uuid:{text_of(resource, 'id')}",
        )
        for name in names:
            resources.setdefault(name, resource)
    header = entries[0]["resource"]
    if header["resourceType"] != "MessageHeader":
        return Refused(422, "required", "Bundle.entry[0].resource", "the first entry is the MessageHeader")
    event = text_of(header.get("eventCoding"), "code")
    if not event:
        return Refused(422, "required", "MessageHeader.eventCoding", "name the event, for instance notification-discharge")
    focus = next(iter(items_of(header, "focus")), None)
    if focus is None or not text_of(focus, "reference"):
        return Refused(422, "required", "MessageHeader.focus", "refer to the Encounter that the message is about")
    encounter = resources.get(text_of(focus, "reference"), {})
    if not encounter:
        return Refused(422, "not-found", "MessageHeader.focus[0].reference", "the Encounter that it names is not in the bundle")
    if event in _EVENTS and encounter["resourceType"] != "Encounter":
        return Refused(
            422, "value", "MessageHeader.focus[0].reference", "an admission, transfer or discharge is about an Encounter"
        )
    return Bundle(text_of(body, "id"), text_of(body, "timestamp"), header, event, encounter, resources)


def normalise(bundle: Bundle, source: Source, received_at: datetime) -> Notification | Ignored:
    """What the message says. `received_at` judges its timestamp and events that lie ahead."""
    what = _EVENTS.get(bundle.event)
    if what is None:
        return Ignored("event_not_modelled")
    encounter, flags = bundle.encounter, list[str]()
    known = _facility(bundle, source)
    zone = Zone(source.zone_at(known.id) if known is not None else source.timezone)
    status = text_of(encounter, "status")
    stay_class = _CLASSES.get(text_of(encounter.get("class"), "code").upper(), UNKNOWN_CLASS)
    if stay_class == UNKNOWN_CLASS:
        flags.append(FLAG_CLASS_UNKNOWN)
    if status in _CANCELLED and what is Kind.ADMITTED:
        what = Kind.ADMISSION_CANCELLED
    elif status in _CONTRADICT.get(what, ()):
        flags.append(FLAG_STATUS_CONTRADICTS)

    said_at = _instant(bundle.timestamp, zone)
    if said_at is None or not received_at - SAID_BEFORE_RECEIPT_MAX <= said_at <= received_at + SAID_AFTER_RECEIPT_MAX:
        said_at = None
        flags.append(FLAG_SENT_TIME_DOUBTFUL)
    period = encounter.get("period")
    admitted, left = (on_a_day(_time(text_of(period, edge), zone), flags) for edge in ("start", "end"))
    sent = _time(bundle.timestamp, zone)
    occurred = {Kind.ADMITTED: admitted, Kind.DISCHARGED: left}.get(what) or sent
    if occurred is None:
        flags.append(FLAG_EVENT_TIME_MISSING)
    else:
        if occurred.precision < Precision.HOUR:
            flags.append(FLAG_DAY_ONLY)
        if occurred.begins(zone) > received_at + SAID_AFTER_RECEIPT_MAX:
            flags.append(FLAG_FUTURE)
    discharged = occurred if what is Kind.DISCHARGED else None
    if admitted is not None and discharged is not None and discharged.ends(zone) < admitted.begins(zone):
        flags.append(FLAG_DISCHARGE_BEFORE_ADMISSION)

    member, (died, died_at), member_flags = patient_of(bundle, source, received_at, zone)
    disposition = _disposition(encounter, source) if what is Kind.DISCHARGED else None
    if disposition is not None and not disposition.mapped:
        flags.append(FLAG_DISPOSITION_UNMAPPED)
    if died and disposition is not None and disposition.mapped and disposition.code not in ("20", "40", "41", "42"):
        flags.append(FLAG_DEATH_CONTRADICTED)
    facility, visit, visit_flags = _visit(bundle, source, known)
    return Notification(
        kind=what,
        trigger=bundle.event,
        control_id=bundle.control_id,
        member=member,
        facility=facility,
        visit=visit,
        stay_class=stay_class,
        class_said=text_of(encounter.get("class"), "code"),
        occurred=occurred,
        said_at=said_at,
        zone=zone,
        admitted=admitted if what in (Kind.ADMITTED, Kind.DISCHARGED) else None,
        discharged=discharged,
        disposition=disposition,
        died=died,
        died_at=died_at,
        location=_location(encounter),
        move=Move.ADMISSION if what is Kind.ANNOUNCED else "",
        expected=admitted.day if what is Kind.ANNOUNCED and admitted is not None else None,
        explained=_explained(bundle),
        flags=tuple(dict.fromkeys((*flags, *member_flags, *visit_flags))),
    )


def patient_of(
    bundle: Bundle, source: Source, received_at: datetime, zone: Zone
) -> tuple[MemberKeys, tuple[bool | None, Time | None], list[str]]:
    """The patient, whether they died and when, and what is odd about them. A policy's number counts where the patient is its
    beneficiary."""
    patient = bundle.found(bundle.encounter.get("subject"))
    if not patient:
        patient = next(bundle.of_type("Patient"), {})
    flags: list[str] = []
    cins: dict[str, None] = {}
    numbers: dict[tuple[str, str], None] = {}
    for identifier in items_of(patient, "identifier"):
        value, authority = text_of(identifier, "value"), source.authority(text_of(identifier, "system"))
        found = cin_of(value)
        if isinstance(found, str):
            cins[found] = None
        elif authority == "cin" or _codings(identifier.get("type")) & {"MA", "MC"}:
            flags.append(FLAG_CIN_INVALID)
        elif SOCIAL_SECURITY not in text_of(identifier, "system") and all(
            means_a_record(value, kind) for kind in _codings(identifier.get("type")) or ("",)
        ):
            numbers[(authority, value)] = None
    for coverage in bundle.of_type("Coverage"):
        beneficiary = bundle.found(coverage.get("beneficiary"))
        found = cin_of(text_of(coverage, "subscriberId"))
        if isinstance(found, str) and (not beneficiary or beneficiary is patient) and _is_self(coverage):
            cins[found] = None
    if len(cins) > 1:
        flags.append(FLAG_CIN_CONFLICT)
    names = sorted(items_of(patient, "name"), key=lambda name: text_of(name, "use") not in ("official", "usual", ""))
    families = tuple(dict.fromkeys(family for name in names if (family := text_of(name, "family"))))
    given = next((g for name in names for g in texts_of(name, "given")), "")
    born = _time(text_of(patient, "birthDate"), zone)
    birth_date = born.day if born is not None and born.precision >= Precision.DAY else None
    if text_of(patient, "birthDate") and (birth_date is None or not plausible_birth_date(birth_date, received_at.date())):
        birth_date = None
        flags.append(FLAG_BIRTH_DATE_INVALID)
    newborn = is_newborn(given, birth_date, received_at.date())
    if newborn:
        flags.append(FLAG_NEWBORN)
    phone = next(
        (phone_key(text_of(t, "value")) for t in items_of(patient, "telecom") if text_of(t, "system") in ("phone", "sms")), ""
    )
    alive = patient.get("deceasedBoolean") is False
    when = _time(text_of(patient, "deceasedDateTime"), zone)
    died_at = when if when is not None and when.begins(zone) <= received_at + FUTURE_MAX else None
    died = True if patient.get("deceasedBoolean") is True or died_at is not None else False if alive else None
    keys = MemberKeys(
        cins=tuple(cins),
        record_numbers=tuple(numbers),
        family_name=families[0] if families else "",
        other_family_names=families[1:],
        given_name=given,
        birth_date=birth_date,
        sex=text_of(patient, "gender").upper()[:1],
        phone=phone,
        zip=next((code for a in items_of(patient, "address") if (code := zip_key(text_of(a, "postalCode")))), ""),
        newborn=newborn,
    )
    return keys, (died, died_at), flags


def _is_self(coverage: dict[str, Any]) -> bool:
    return not coverage.get("relationship") or bool(_codings(coverage["relationship"]) & {"self", "SELF"})


def _facility(bundle: Bundle, source: Source) -> Facility | None:
    """The sender's facility that a message is about; None where the registry does not know it."""
    if len(source.facilities) == 1:
        return source.facilities[0]
    called = (source.facility_called(name) for name in _facility_names(bundle) if name)
    return next((listed for listed in called if listed is not None), None)


def _visit(bundle: Bundle, source: Source, known: Facility | None) -> tuple[str, VisitKey, list[str]]:
    """Where the stay is, and its key: a visit number, any identifier, else the encounter's own id within the source."""
    encounter = bundle.encounter
    facility = known.id if known is not None else next(filter(None, _facility_names(bundle)), source.name)
    scope = f"facility:{known.id}" if known is not None else f"source:{source.name}"
    flags = [] if known is not None else [FLAG_FACILITY_UNKNOWN]
    identifiers = sorted(items_of(encounter, "identifier"), key=lambda i: "VN" not in _codings(i.get("type")))
    number = next((value for i in identifiers if (value := text_of(i, "value"))), "")
    if number:
        return facility, VisitKey(scope, number, VisitKeyBasis.VISIT_NUMBER), flags
    if text_of(encounter, "id"):
        return facility, VisitKey(f"source:{source.name}:encounter", text_of(encounter, "id"), VisitKeyBasis.ACCOUNT), flags
    subject = text_of(encounter.get("subject"), "reference")
    key = VisitKey(scope, f"{subject}|{text_of(encounter.get('period'), 'start')[:10]}", VisitKeyBasis.SYNTHETIC)
    return facility, key, [*flags, FLAG_VISIT_KEY_WEAK]


def _explained(bundle: Bundle) -> dict[About, str]:
    """The encounter's reasons, and the conditions that come with it, in the hospital's words."""
    reasons = [_words(concept) for concept in items_of(bundle.encounter, "reasonCode")]
    conditions = [_words(condition.get("code")) for condition in islice(bundle.of_type("Condition"), DIAGNOSES_MAX)]
    said = {About.REASON: reasons, About.DIAGNOSES: conditions}
    told = {about: "; ".join(dict.fromkeys(filter(is_a_word, words)))[:WORDS_CHARS_MAX] for about, words in said.items()}
    return {about: words for about, words in told.items() if words}


def _words(concept: object) -> str:
    coding = next(iter(items_of(concept, "coding")), {})
    return diagnosis(text_of(coding, "code"), text_of(concept, "text") or text_of(coding, "display"), "")


def _location(encounter: dict[str, Any]) -> str:
    """The place inside the house that the encounter names last."""
    places = [text_of(place.get("location"), "display") for place in items_of(encounter, "location")]
    return places[-1][:LOCATION_CHARS_MAX] if places else ""


def _facility_names(bundle: Bundle) -> Iterator[str]:
    """What the message calls the hospital: its provider, its locations, then who answers for the message or sent it."""
    provider = bundle.encounter.get("serviceProvider")
    yield text_of(bundle.found(provider), "name") or text_of(provider, "display")
    for place in items_of(bundle.encounter, "location"):
        location = place.get("location")
        yield text_of(bundle.found(location), "name") or text_of(location, "display")
    for role in ("responsible", "sender"):
        who = bundle.header.get(role)
        yield text_of(bundle.found(who), "name") or text_of(who, "display")


def _disposition(encounter: dict[str, Any], source: Source) -> Disposition | None:
    """The first code that the table knows; else what was said, as it was said."""
    said = encounter.get("hospitalization")
    concept = said.get("dischargeDisposition") if isinstance(said, dict) else None
    if not isinstance(concept, dict):
        return None
    words = [*(text_of(coding, "code") for coding in items_of(concept, "coding")), text_of(concept, "text")]
    read = [disposition_table().read(word, source) for word in words if word]
    return next((found for found in read if found.mapped), read[0] if read else None)


def _time(text: str, zone: Zone) -> Time | None:
    """A FHIR date, dateTime or instant; None where it is not one."""
    compact, offset = text.strip(), ""
    if "T" in compact:
        day, _, clock = compact.partition("T")
        for sign in ("Z", "+", "-"):
            if sign in clock:
                clock, _, offset = clock.partition(sign)
                offset = "+0000" if sign == "Z" else sign + offset.replace(":", "")
                break
        compact = day + clock
    return parse(compact.replace("-", "").replace(":", "") + offset, zone)


def _instant(text: str, zone: Zone) -> datetime | None:
    found = _time(text, zone)
    return found.at if found is not None and found.precision >= Precision.MINUTE else None


def text_of(of: object, field: str) -> str:
    """A string; without what no database keeps and no person writes: NUL, halves of a character."""
    value = of.get(field) if isinstance(of, dict) else None
    return value.replace("\0", "").encode("utf-8", "ignore").decode().strip() if isinstance(value, str) else ""


def texts_of(of: object, field: str) -> Sequence[str]:
    value = of.get(field) if isinstance(of, dict) else None
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def items_of(of: object, field: str) -> Sequence[dict[str, Any]]:
    value = of.get(field) if isinstance(of, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _codings(concept: object) -> set[str]:
    return {text_of(coding, "code") for coding in items_of(concept, "coding")}
