"""Answers to senders, exactly as messages.md 1.5 and table 5.1 have them.

An answer says whether a message is safe with us, never what we think of it: a business problem is no negative acknowledgement.
Where nothing could be stored there is no answer at all, and that is not decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from intake.er7 import HEADER_PEEK_BYTES, Delimiters, Message, read
from intake.sources import AckMode, Source

OUR_APPLICATION: Final = "THROUGHLINE"
CONTROL_ID_MAX: Final = 250
"""Longer than any version allows (199); what is beyond cannot be an id and is not kept in a column."""

_FIRST_LINE_END = re.compile(rb"[\r\n]")
_WANTED_ON_SUCCESS: Final = frozenset({"AL", "SU"})
_WANTED_ON_ERROR: Final = frozenset({"AL", "ER"})


class Verdict(StrEnum):
    """What became of a message at the door."""

    STORED = "stored"
    NOT_HL7 = "not_hl7"
    FIELD_MISSING = "field_missing"
    TYPE_NOT_TAKEN = "type_not_taken"

    @property
    def accepted(self) -> bool:
        return self is Verdict.STORED


# ERR-3, table 0357: code and text.
_ERRORS: Final = {
    Verdict.NOT_HL7: ("100", "Segment sequence error"),
    Verdict.FIELD_MISSING: ("101", "Required field missing"),
    Verdict.TYPE_NOT_TAKEN: ("200", "Unsupported message type"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """What an acknowledgement needs of a message; values are unescaped, `control_id_raw` is as it came."""

    delimiters: Delimiters
    encoding_characters: str
    sender: tuple[str, str]
    receiver: tuple[str, str]
    type: str
    trigger: str
    control_id_raw: str
    processing_id: str
    version: str
    accept_ack: str
    application_ack: str
    charset: str
    charset_name: str

    @property
    def control_id(self) -> str:
        return self.control_id_raw[:CONTROL_ID_MAX]


def peek(raw: bytes, source: Source) -> Header | None:
    """The header out of the first 4 KiB; None where the message does not begin with one."""
    head = raw[:HEADER_PEEK_BYTES]
    ended = _FIRST_LINE_END.search(head, max(head.find(b"MSH"), 0))
    message = read(head[: ended.start()] if ended else head, source.charset or None)
    return header_of(message) if isinstance(message, Message) else None


def header_of(message: Message) -> Header:
    msh = message.msh
    what = msh.first(9)
    kind, trigger = what.text(1).upper(), what.text(2).upper()
    return Header(
        delimiters=message.delimiters,
        encoding_characters=msh.field(2),
        sender=(msh.field(3), msh.field(4)),
        receiver=(msh.field(5), msh.field(6)),
        type=kind,
        trigger=trigger,
        control_id_raw=msh.field(10),
        processing_id=msh.field(11),
        version=msh.field(12),
        accept_ack=msh.text(15).upper(),
        application_ack=msh.text(16).upper(),
        charset=msh.field(18),
        charset_name=message.charset.name,
    )


def judge(header: Header | None, source: Source) -> Verdict:
    """What a message's header says about it. Anything with a type that we take is stored, whatever is wrong with the rest."""
    if header is None:
        return Verdict.NOT_HL7
    if not header.type:
        return Verdict.FIELD_MISSING
    if header.type != "ADT" and not source.accept_other_types:
        return Verdict.TYPE_NOT_TAKEN
    return Verdict.STORED


def acknowledge(header: Header | None, verdict: Verdict, mode: AckMode, now: datetime, ack_id: str) -> bytes | None:
    """The acknowledgement's bytes, or None where the sender wants none.

    `ack_id` is the acknowledgement's own control id. Sender and receiver change places; MSH-10 goes to MSA-2 as it came.
    """
    code = _code(header, verdict, mode)
    if code is None:
        return None
    d = header.delimiters if header else Delimiters()
    field, component = d.field, d.component
    trigger = header.trigger if header else ""
    structure = component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    msh = [
        "MSH",
        (header.encoding_characters if header else "^~\\&"),
        (header.receiver[0] if header and header.receiver[0] else OUR_APPLICATION),
        (header.receiver[1] if header else ""),
        *(header.sender if header else ("", "")),
        now.strftime("%Y%m%d%H%M%S+0000"),
        "",
        structure,
        ack_id,
        (header.processing_id if header and header.processing_id else "P"),
        (header.version if header and header.version else "2.5.1"),
    ]
    if header and header.charset:
        msh += ["", "", "", "", "", header.charset]
    lines = [field.join(msh), field.join(("MSA", code, header.control_id_raw if header else ""))]
    if verdict in _ERRORS:
        number, text = _ERRORS[verdict]
        lines.append(field.join(("ERR", "", "", component.join((number, text, "HL70357")), "E")))
    encoding = header.charset_name if header else "utf-8"
    return ("\r".join(lines) + "\r").encode(encoding, errors="replace")


def _code(header: Header | None, verdict: Verdict, mode: AckMode) -> str | None:
    accept, application = (header.accept_ack, header.application_ack) if header else ("", "")
    simple, committed = ("AA", "CA") if verdict.accepted else ("AR", "CR")
    wanted = _WANTED_ON_SUCCESS if verdict.accepted else _WANTED_ON_ERROR
    match mode:
        case AckMode.ORIGINAL:
            return simple
        case AckMode.ENHANCED:
            return None if accept == "NE" or (accept and accept not in wanted) else committed
        case AckMode.AUTO:
            if accept in ("AL", "ER", "SU"):
                return committed if accept in wanted else None
            if accept == "NE" and application == "NE":
                return None
            return simple
