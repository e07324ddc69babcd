"""Answers to senders, exactly as messages.md 1.5 and table 5.1 have them.

An answer says whether a message is safe with us, never what we think of it: a business problem is no negative acknowledgement.
Where nothing could be stored there is no answer at all, and that is not decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from intake.reading.er7 import HEADER_PEEK_BYTES, Delimiters, Message, read
from intake.senders.sources import AckMode, Source
from intake.store.inbox import CONTROL_ID_MAX

OUR_APPLICATION: Final = "THROUGHLINE"
KIND_MAX: Final = 20
"""Type and trigger are three letters each; what is longer is none."""

FORMS_MAX: Final = 1_000
"""Forms of headers that are remembered: some hospitals, their triggers and versions."""

_FIELDS_CUT: Final = 10
"""MSH-1 to MSH-10 are cut apart, the rest stays whole."""

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


@dataclass(frozen=True, slots=True)
class Form:
    """What messages have in common whose headers differ in their times and control ids alone: what becomes of them at the door,
    and their answer but for both. `parts` of it stand around the time, the answer's own id and the control id; None: none is
    wanted."""

    verdict: Verdict
    kind: str
    readable: bool
    parts: tuple[bytes, bytes, bytes, bytes] | None
    encoding: str = "utf-8"

    def answer(self, stamp: bytes, ack_id: bytes, control_id_raw: str) -> bytes | None:
        """The acknowledgement of one message. `stamp` is `stamp_of(now)`; the control id goes to MSA-2 as it came."""
        if self.parts is None:
            return None
        before, after_time, after_id, end = self.parts
        control_id = _plain(control_id_raw.encode(self.encoding, errors="replace"))
        return b"".join((before, stamp, after_time, ack_id, after_id, control_id, end))


class Seen(NamedTuple):
    """A message's header as far as storing and answering need it."""

    control_id_raw: str
    form: Form

    @property
    def control_id(self) -> str:
        return self.control_id_raw[:CONTROL_ID_MAX]


class Forms:
    """Looks at headers. A sender's headers are all alike, so the work is done once for each form."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Source, Form]] = {}

    def look(self, raw: bytes, source: Source, mode: AckMode | None = None) -> Seen:
        """What the door needs of a message; `mode`: how it is to be answered, where not as the source wants it.

        Where the header is plain ASCII with all fields up to MSH-11, it is cut with a few splits; every other is read in full."""
        end = raw.find(b"\r", 0, HEADER_PEEK_BYTES)
        line = raw[: max(end, 0)]
        fields = line.split(b"|", _FIELDS_CUT)
        if len(fields) <= _FIELDS_CUT or fields[0] != b"MSH" or b"\n" in line or b"\0" in line or not line.isascii():
            return self._read(raw, source, mode)
        _, encoding, application, facility, to_application, to_facility, _, _, type, control_id, rest = fields
        key = (source.name, mode, encoding, application, facility, to_application, to_facility, type, rest)
        known = self._known.get(key)
        if known is None or known[0] is not source:
            if len(self._known) >= FORMS_MAX:
                self._known.clear()
            known = source, self._read(raw, source, mode).form
            self._known[key] = known
        form = known[1]
        return Seen(control_id.decode("ascii").strip() if form.readable else "", form)

    def _read(self, raw: bytes, source: Source, mode: AckMode | None) -> Seen:
        header = peek(raw, source)
        form = form_of(header, judge(header, source), mode or source.ack_mode)
        return Seen(header.control_id_raw if header else "", form)


def stamp_of(now: datetime) -> bytes:
    """MSH-7 of an answer that is given now."""
    return now.strftime("%Y%m%d%H%M%S+0000").encode()


def form_of(header: Header | None, verdict: Verdict, mode: AckMode) -> Form:
    """The answer to a header but for the times and ids. Sender and receiver change places."""
    kind = f"{header.type}^{header.trigger}".strip("^")[:KIND_MAX] if header else ""
    code = accept_code(header, verdict, mode)
    if code is None:
        return Form(verdict, kind, header is not None, None)
    d = header.delimiters if header else Delimiters()
    field, component = d.field, d.component
    # As it was said, unescaped: what is no name of an event might hold a line's end, and is not said again.
    trigger = header.trigger if header and header.trigger.isascii() and header.trigger.isalnum() else ""
    structure = component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    before_time = [
        "MSH",
        (header.encoding_characters if header else "^~\\&"),
        (header.receiver[0] if header and header.receiver[0] else OUR_APPLICATION),
        (header.receiver[1] if header else ""),
        *(header.sender if header else ("", "")),
        "",
    ]
    after_id = [
        (header.processing_id if header and header.processing_id else "P"),
        (header.version if header and header.version else "2.5.1"),
    ]
    if header and header.charset:
        after_id += ["", "", "", "", "", header.charset]
    error = ""
    if verdict in _ERRORS:
        number, text = _ERRORS[verdict]
        error = field.join(("ERR", "", "", component.join((number, text, "HL70357")), "E")) + "\r"
    encoding = header.charset_name if header else "utf-8"
    texts = (
        field.join(before_time),
        field.join(("", "", structure, "")),
        field.join(("", *after_id)) + "\r" + field.join(("MSA", code, "")),
        "\r" + error,
    )
    before, after_time, to_control_id, end = (_plain(text.encode(encoding, errors="replace")) for text in texts)
    return Form(verdict, kind, header is not None, (before, after_time, to_control_id, end), encoding)


def _plain(said: bytes) -> bytes:
    """Without what would end an answer's frame: over HTTP a header may hold it."""
    return said.replace(b"\x0b", b"").replace(b"\x1c", b"")


def acknowledge(header: Header | None, verdict: Verdict, mode: AckMode, now: datetime, ack_id: str) -> bytes | None:
    """The acknowledgement's bytes, or None where the sender wants none.

    `ack_id` is the acknowledgement's own control id.
    """
    form = form_of(header, verdict, mode)
    return form.answer(stamp_of(now), ack_id.encode(), header.control_id_raw if header else "")


def accept_code(header: Header | None, verdict: Verdict, mode: AckMode) -> str | None:
    """MSA-1 of what is answered at the door; None where nothing is."""
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
