"""What became of a message, told to whoever sent it: its own messages only, and nothing about a person.

That a message was applied says that its patient is a member, and that it matched nobody says the opposite. A source is told which
of the two only where the registry says so (`tells_membership`); others learn that it was taken. Whether a patient is in the
programme is another question, with its own rules and a record of every answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from intake.senders.sources import Source
from intake.store.inbox import Inbox, Row, Status

FOLLOWED_MAX: Final = 100
TAKEN: Final = "taken"

_ABOUT_A_PERSON: Final = frozenset({Status.APPLIED, Status.DUPLICATE, Status.UNMATCHED})
_OF_THE_MESSAGE: Final = {
    "not_hl7": "It could not be read. Send HL7 v2 in ER7, beginning with MSH, or a FHIR message bundle.",
    "too_many_messages": "Its frame held thousands of messages. Send each in a frame of its own.",
    "field_missing": "MSH-9 is empty. Say the message type and the trigger event, such as ADT^A01.",
    "type_not_taken": "Only ADT messages are taken here. Ask the programme if it should take others of yours.",
    "trigger_not_modelled": "Nothing follows from this trigger event; you need not send it.",
    "tracking_only": "Nothing follows from this trigger event; you need not send it.",
    "not_production": "MSH-11 says that it is a test (T or D). Send P for what is to be acted on.",
    "outpatient_registration": "An outpatient registration; nothing follows from it.",
    "inpatient_registration": "An A04 of an inpatient class; nothing follows from it. Send an A01 for each admission.",
    "registration_class_unknown": "PV1-2 is no class that we know. Tell the programme what it means: is it an emergency?",
    "outpatient_visit": "An outpatient visit; nothing follows from it.",
    "fhir_invalid": "It is no FHIR message bundle; the answer said what was wrong.",
    "fhir_required": "The bundle lacks something; the answer said what.",
    "fhir_not_found": "A reference of the bundle leads nowhere; the answer said which.",
    "fhir_code_invalid": "It names something that we do not know, such as a health plan; the answer said what.",
    "fhir_too_long": "The notification told of too many events; the answer said how many go into one.",
    "gave_up": "It failed again and again on our side; the programme has been told.",
    "still_a_patient": "An A03 with disposition 30 is no discharge. Send the A03 again when the patient has left.",
    "house_unclear": "Several of your houses have a visit of this number. Say in PV1-3.4, or PV1-6.4 of a move, which one it is.",
    "payload_not_sent": "Only that something happened was sent, not what. Send full resources, so that nobody has to fetch them.",
    "handshake": "The subscription's handshake.",
    "heartbeat": "The subscription's heartbeat.",
}
"""Reasons that say something of the message alone, and what its sender can do about each."""

_OF_A_PERSON: Final = frozenset({"still_a_patient", "outpatient_visit"})
"""Of these, reasons that a message can only have where its patient is known, or only where they are not."""

_ODD: Final = frozenset({
    "charset_contradicted", "charset_guessed", "charset_unknown", "class_unknown", "control_id_reused", "day_only",
    "discharge_before_admission", "discharge_time_deleted", "disposition_unmapped", "event_ahead_of_receipt",
    "event_time_missing", "evn1_differs", "facility_unknown", "missing_hour", "offset_ignored", "probable_resend",
    "repeated_hour", "sent_time_doubtful", "status_contradicts_event", "visit_key_weak",
})  # fmt: skip
"""What is odd about the message itself, whoever its patient is."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a sender is told of its message."""

    receipt: UUID
    control_id: str
    kind: str
    received_at: datetime
    settled_at: datetime | None
    repeats: int
    state: str
    reason: str
    flags: tuple[str, ...]
    remedy: str


def follow(inbox: Inbox, source: Source, *, receipt: UUID | None = None, control_id: str | None = None) -> tuple[Followed, ...]:
    """The source's messages with this receipt or control id, the newest first."""
    assert (receipt is None) != (control_id is None)
    found = inbox.find(source_id=source.name, inbox_id=receipt, control_id=control_id, files=False, limit=FOLLOWED_MAX)
    return tuple(_told(row, source) for row in found)


def _told(row: Row, source: Source) -> Followed:
    status, reason = row.status, row.reason if row.reason in _OF_THE_MESSAGE else ""
    state, flags = status.value, tuple(row.flags)
    if not source.tells_membership:
        reason = "" if reason in _OF_A_PERSON else reason
        flags = tuple(flag for flag in flags if flag in _ODD)
        if status in _ABOUT_A_PERSON or (status in (Status.WAITING, Status.IGNORED) and not reason):
            state = TAKEN
        elif status is Status.RECEIVED and row.parser:
            state = TAKEN  # taken up again: that somebody became known is not told either
    elif not reason:
        reason = row.reason
    settled_at = row.settled_at if state != TAKEN else None
    return Followed(
        row.inbox_id, row.control_id, row.kind, row.received_at, settled_at, row.repeats, state, reason, flags,
        _OF_THE_MESSAGE.get(reason, ""),
    )  # fmt: skip
