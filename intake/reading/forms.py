"""A stored message, read by the reader of its form: HL7 v2 in ER7, or a FHIR message bundle.

What it says is the same for everything that follows; which reader said so is kept with the message, because a replay may run a
later one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from intake.reading import er7, fhir, notification, persons, subscriptions
from intake.reading.notification import Ignored, Notification
from intake.reading.persons import PersonNotice
from intake.reading.subscriptions import PAYLOAD_NOT_SENT
from intake.senders.sources import Source
from intake.store.inbox import Row

FHIR_TRANSPORT: Final = "fhir"

GROUPED: Final = frozenset({
    "A17", "A18", "A30", "A34", "A35", "A36", "A39", "A40", "A41", "A42", "A44", "A45", "A46", "A47", "A49", "A50",
})  # fmt: skip
"""Triggers whose messages may be about several people, or several numbers (messages.md 1.1)."""

GROUPS_MAX: Final = 200
"""People, or pairs of numbers, of one message. One that has more is taken for none of them, visibly, and not for the first ones."""

TOO_MANY_GROUPS: Final = "too_many_people"

PARTS_MAX: Final = 5_000
"""Messages of one frame; a batch of more is a file, and nobody's message."""

_HEADER: Final = re.compile(rb"(?:^|(?<=[\r\n]))[ \t]*MSH(?=[^A-Za-z0-9\s])")

_MERELY_RESENT: Final = {"MSH": (6, 9), "EVN": (2,)}
"""What differs in an ER7 message that is sent again: MSH-7, MSH-10, EVN-2 (positions after the segment's name)."""

_ENVELOPE: Final = frozenset({"id", "timestamp", "meta"})
"""What differs in a bundle that is sent again."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a message says, who read it, and its content without what differs in a mere resend."""

    said: Notification | PersonNotice | Ignored
    parser: str
    content: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotRead:
    """Bytes that are no message of their form, or one of more people than we take from one."""

    reason: str
    parser: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Several messages in one, or one about several people: a message each, in the order in which they stand there."""

    parts: tuple[bytes, ...]
    parser: str


def read_stored(raw: bytes, row: Row, source: Source, house: str = "") -> Read | Parts | NotRead:
    """What a message says. `house`: the sender's facility whose visit it turned out to be about, where it names none."""
    if row.transport == FHIR_TRANSPORT:
        if row.part_of is None and row.kind.startswith("subscription-"):
            notified = subscriptions.read(raw)
            if isinstance(notified, fhir.Refused):
                return NotRead(notified.as_reason, fhir.PARSER_VERSION)
            if notified.bundles:
                return Parts(notified.bundles, fhir.PARSER_VERSION)
            why = PAYLOAD_NOT_SENT if notified.type == subscriptions.EVENT_NOTIFICATION else notified.type
            return Read(Ignored(why), fhir.PARSER_VERSION, (row.sha256.hex(),))
        bundle = fhir.read(raw)
        if isinstance(bundle, fhir.Refused):
            return NotRead(bundle.as_reason, fhir.PARSER_VERSION)
        return Read(fhir.normalise(bundle, source, row.received_at), fhir.PARSER_VERSION, _of_bundle(raw))
    charset = row.charset or source.charset or None
    message = er7.read(raw, charset)
    if isinstance(message, er7.Unreadable):
        return NotRead("not_hl7", notification.PARSER_VERSION)
    if row.part_of is None and len(parts := tuple(_parts(raw, message, charset))) > 1:
        if len(parts) > PARTS_MAX:
            return NotRead("too_many_messages", notification.PARSER_VERSION)
        return Parts(parts, notification.PARSER_VERSION)
    _, trigger = notification.trigger_of(message)
    if trigger in GROUPED and len(_groups(message)) > GROUPS_MAX:
        return NotRead(TOO_MANY_GROUPS, notification.PARSER_VERSION)
    said = (
        persons.normalise(message, source, row.received_at)
        if trigger in persons.KINDS
        else notification.normalise(message, source, row.received_at, house)
    )
    return Read(said, notification.PARSER_VERSION, _of_er7(message))


def _parts(raw: bytes, message: er7.Message, charset: str | None) -> Iterator[bytes]:
    """What one frame holds, as a message each: several headers are a batch, or messages that were glued together."""
    begins = [found.start() for found in _HEADER.finditer(raw)] if raw.count(b"MSH") > 1 else []
    for begin, end in pairwise((*begins, len(raw))) if len(begins) > 1 else ((0, len(raw)),):
        said = er7.read(raw[begin:end], charset) if len(begins) > 1 else message
        grouped = isinstance(said, er7.Message) and notification.trigger_of(said)[1] in GROUPED
        groups = _groups(said) if isinstance(said, er7.Message) and grouped else ()
        yield from groups if 1 < len(groups) <= GROUPS_MAX else (raw[begin:end],)


def _groups(message: er7.Message) -> tuple[bytes, ...]:
    """A message for each patient (A17), or for each pair of numbers (MRG) of a patient, under the same header."""
    lines = message.lines
    first = next((n for n, line in enumerate(lines) if line.startswith("PID")), len(lines))
    groups: list[list[str]] = []
    for line in lines[first:]:
        if line.startswith("PID"):
            groups.append([line])
        elif line.startswith("MRG") and any(known.startswith("MRG") for known in groups[-1]):
            groups.append([*(known for known in groups[-1] if known.startswith("PID")), line])
        else:
            groups[-1].append(line)
    texts = ("\r".join([*lines[:first], *group, ""]) for group in groups)
    return tuple(text.encode(message.charset.name, "replace") for text in texts)


def _of_er7(message: er7.Message) -> tuple[str, ...]:
    mark = message.delimiters.field
    parts = []
    for line in message.lines:
        if (skipped := _MERELY_RESENT.get(line[:3])) is not None:
            fields = line.split(mark)
            for n in reversed(skipped):
                del fields[n : n + 1]
            line = mark.join(fields)
        parts.append(line)
    return tuple(parts)


def _of_bundle(raw: bytes) -> tuple[str, ...]:
    body: dict[str, Any] = json.loads(raw.decode("utf-8-sig"))
    header = body["entry"][0].get("resource", {})
    said = [{k: v for k, v in body.items() if k not in _ENVELOPE and k != "entry"}, {k: v for k, v in header.items() if k != "id"}]
    return tuple(json.dumps(part, sort_keys=True) for part in (*said, *body["entry"][1:]))
