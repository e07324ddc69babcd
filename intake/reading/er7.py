"""Reads HL7 v2 messages in ER7 form, whatever state real senders leave them in (messages.md 1.2, 1.6, 3).

For the front door's own use: tolerant, lazy, and silent. It never raises on content, changes no byte of what it was given, and
knows nothing of what a field means. What cannot be read at all is a value, `Unreadable`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final

from intake.senders.charsets import CHARSETS

HEADER_PEEK_BYTES: Final = 4096
"""How much of a message the acknowledgement may look at: the header is in it, or there is none."""

FLAG_CHARSET_GUESSED: Final = "charset_guessed"
FLAG_CHARSET_UNKNOWN: Final = "charset_unknown"
FLAG_CHARSET_CONTRADICTED: Final = "charset_contradicted"

_BOM = codecs.BOM_UTF8
_WIDE_BYTES = 16
"""In a message of wider characters than bytes one of the first four is NUL, whatever the byte order."""

_LINE_ENDS = re.compile("\r\n|\r|\n")
_SEGMENT_ID_CHARS = 3
_CHARSET_AT = 17
"""Where MSH-18 stands in a header that is split: MSH-1 is the separator itself."""


class Deleted(Enum):
    """The two quotes that mean "delete the value"; an empty field means "unchanged"."""

    DELETED = '""'


DELETED: Final = Deleted.DELETED
_TWO_QUOTES: Final[str] = DELETED.value


class CharsetBasis(StrEnum):
    """Who said in which character set a message is."""

    DECLARED = "declared"
    SOURCE = "source"
    TRIED = "tried"
    GUESSED = "guessed"


@dataclass(frozen=True, slots=True)
class Charset:
    """The decision how to read a message's bytes, kept with the message so that a later reader can doubt it."""

    name: str
    basis: CharsetBasis
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What MSH-1 and MSH-2 say. `truncation` is version 2.7's fifth character."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""


@lru_cache(maxsize=256)
def _divided(delimiters: Delimiters) -> Callable[[str], re.Match[str] | None]:
    """Finds a delimiter within a field: most fields have none."""
    marks = (delimiters.component, delimiters.repetition, delimiters.subcomponent)
    return re.compile("|".join(re.escape(mark) for mark in marks if mark)).search


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Not an HL7 v2 message. `because` says what is missing, without a word of the content."""

    because: str


class Segment:
    """One line of a message, cut into fields."""

    __slots__ = ("_delimiters", "_divided", "_encoding", "_fields", "_plain", "_shift", "name")

    def __init__(self, text: str, delimiters: Delimiters, encoding: str) -> None:
        self.name = text[:_SEGMENT_ID_CHARS]
        self._shift = 1 if self.name in _HEADERS else 0  # MSH-1 is the separator itself
        self._fields = text.split(delimiters.field)
        said = delimiters.field.join(self._fields[2:]) if self._shift else text
        # Nearly all lines: nothing to unescape, nothing that says "deleted".
        self._plain = '"' not in said and (not delimiters.escape or delimiters.escape not in said)
        self._divided = _divided(delimiters)
        self._delimiters = delimiters
        self._encoding = encoding

    def field(self, number: int) -> str:
        """Field `number`, counted as the standard does, as it came; empty where the segment is shorter."""
        at = number - self._shift
        if at == 0 and self._shift:
            return self._delimiters.field
        return self._fields[at].strip() if 0 < at < len(self._fields) else ""

    def repetitions(self, number: int) -> tuple[Repetition, ...]:
        """The repetitions of a field that say anything."""
        whole, mark = self.field(number), self._delimiters.repetition
        if not whole:
            return ()
        if not mark or mark not in whole or (self._shift and number == 2):
            return (Repetition(whole, self._delimiters, self._encoding),)
        return tuple(Repetition(part, self._delimiters, self._encoding) for said in whole.split(mark) if (part := said.strip()))

    def first(self, number: int) -> Repetition:
        """The first repetition; empty where there is none."""
        whole, mark = self.field(number), self._delimiters.repetition
        if mark and mark in whole and not (self._shift and number == 2):
            whole = next((part for said in whole.split(mark) if (part := said.strip())), "")
        return Repetition(whole, self._delimiters, self._encoding)

    def text(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """A value of the first repetition, unescaped; empty where it is absent or deleted."""
        at = number - self._shift
        if not 0 < at < len(self._fields) or not (whole := self._fields[at]):
            return "" if at or not self._shift else self._delimiters.field
        if not self._plain or (self._shift and number == 2):
            return self.first(number).text(component, subcomponent)
        if self._divided(whole) is None:
            return whole.strip() if component == 1 == subcomponent else ""
        d = self._delimiters
        if d.repetition and d.repetition in whole:
            whole = next((part for said in whole.split(d.repetition) if (part := said.strip())), "")
        return _part(whole, d, component, subcomponent)

    def value(self, number: int, component: int = 1) -> str | Deleted | None:
        """A value, `DELETED` where two quotes stand, None where nothing does."""
        return self.first(number).value(component)


_HEADERS = frozenset({"MSH", "FHS", "BHS"})
_USUAL = frozenset({"MSH", "EVN", "PID", "PV1", "PV2", "DG1", "IN1", "IN2", "NK1", "OBX", "AL1", "GT1", "MRG", "PD1", "ZPD"})


class Repetition:
    """One repetition of a field: components and subcomponents, unescaped only after they are split."""

    __slots__ = ("_delimiters", "_encoding", "raw")

    def __init__(self, raw: str, delimiters: Delimiters, encoding: str) -> None:
        self.raw = raw
        self._delimiters = delimiters
        self._encoding = encoding

    def value(self, component: int = 1, subcomponent: int = 1) -> str | Deleted | None:
        if self.raw == _TWO_QUOTES:
            return DELETED
        part = _part(self.raw, self._delimiters, component, subcomponent)
        if not part:
            return None
        if part == _TWO_QUOTES:
            return DELETED
        return unescape(part, self._delimiters, self._encoding).strip() or None

    def text(self, component: int = 1, subcomponent: int = 1) -> str:
        d = self._delimiters
        if '"' not in self.raw and (not d.escape or d.escape not in self.raw):
            return _part(self.raw, d, component, subcomponent)
        said = self.value(component, subcomponent)
        return said if isinstance(said, str) else ""

    @property
    def deleted(self) -> bool:
        return self.raw == DELETED.value


class Message:
    """A message that could be read. `raw` is exactly what was received."""

    __slots__ = ("_firsts", "_lines", "_segments", "charset", "delimiters", "msh", "raw")

    def __init__(self, raw: bytes, lines: list[str], delimiters: Delimiters, charset: Charset) -> None:
        self.raw = raw
        self.charset = charset
        self.delimiters = delimiters
        self._lines = lines
        self._segments: dict[int, Segment] = {}
        self._firsts: dict[str, Segment] = {}
        self.msh = self._segment(0)

    def _segment(self, index: int) -> Segment:
        if index not in self._segments:
            self._segments[index] = Segment(self._lines[index], self.delimiters, self.charset.name)
        return self._segments[index]

    def all(self, name: str) -> tuple[Segment, ...]:
        return tuple(self._segment(index) for index, line in enumerate(self._lines) if line[:_SEGMENT_ID_CHARS] == name)

    def first(self, name: str) -> Segment:
        """The first segment of that name; one without fields where there is none."""
        found = self._firsts.get(name)
        if found is None:
            at = next((n for n, line in enumerate(self._lines) if line[:_SEGMENT_ID_CHARS] == name), None)
            found = Segment(name, self.delimiters, self.charset.name) if at is None else self._segment(at)
            self._firsts[name] = found
        return found

    def has(self, name: str) -> bool:
        return any(line[:_SEGMENT_ID_CHARS] == name for line in self._lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The segments as text, without their ends: what a comparison of two messages may look at."""
        return tuple(self._lines)


def read(raw: bytes, source_charset: str | None = None) -> Message | Unreadable:
    """A message out of received bytes; `source_charset` is what the source is known to send where MSH-18 says nothing.

    Accepts LF, CRLF, doubled CR, a byte order mark, blank lines, trailing blanks and a missing last CR. A line that cannot be a
    segment belongs to the one before it: senders let line feeds slip into free text.
    """
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\x00" in raw[:_WIDE_BYTES]:
        return Unreadable("the message is in a character set that MLLP cannot carry (UTF-16 or UTF-32): send UTF-8")
    body = raw.removeprefix(_BOM)
    if b"\x00" in body:  # what ends a text in C: no database keeps it, and it says nothing
        body = body.replace(b"\x00", b"")
    head = _LINE_ENDS.split(body[: _head_end(body)].decode("iso-8859-1"))
    header = next((line.strip() for line in head if line.strip() and line.strip()[:_SEGMENT_ID_CHARS] not in ("FHS", "BHS")), "")
    delimiters = delimiters_of(header)
    if delimiters is None:
        return Unreadable("the message does not begin with an MSH segment")
    said = header.split(delimiters.field, _CHARSET_AT + 1)
    charset, text = decode(body, said[_CHARSET_AT].strip() if len(said) > _CHARSET_AT else "", delimiters, source_charset)
    lines: list[str] = []
    for line in text.split("\r") if b"\n" not in body else _LINE_ENDS.split(text):
        line = line.strip(" \t\v\x1c\x00")
        if not line or (not lines and not line.startswith("MSH")):
            continue
        if lines and not _is_segment(line, delimiters):
            lines[-1] += "\n" + line
        else:
            lines.append(line)
    if not lines:
        return Unreadable("the message does not begin with an MSH segment")
    return Message(raw, lines, delimiters, charset)


def _head_end(body: bytes) -> int:
    """How much of the message has to be looked at for its header: its first line, if that is one."""
    end = body.find(b"\r", 0, HEADER_PEEK_BYTES)
    return end if end >= 0 and body.startswith(b"MSH") else HEADER_PEEK_BYTES


def delimiters_of(header: str) -> Delimiters | None:
    """What MSH-1 and MSH-2 declare, by position; None where the line is no MSH segment.

    MSH-2 may have two to five characters. A doubled escape character (a vendor's own escaping of its sample) counts once.
    """
    if not header.startswith("MSH") or len(header) < 5 or header[3].isalnum() or header[3].isspace():
        return None
    separator = header[3]
    encoding = header[4:].split(separator, 1)[0].strip()
    if len(encoding) < 2:
        return None
    return _delimiters(separator, encoding)


@lru_cache(maxsize=256)
def _delimiters(separator: str, encoding: str) -> Delimiters:
    component, repetition, *rest = tuple(encoding)
    escape = rest[0] if rest else "\\"
    if len(rest) >= 2 and rest[1] == escape:
        del rest[1]
    subcomponent = rest[1] if len(rest) >= 2 else "&"
    truncation = rest[2] if len(rest) >= 3 else ""
    taken = {separator, component, repetition}
    return Delimiters(
        field=separator,
        component=component,
        repetition=repetition,
        escape="" if escape in taken else escape,
        subcomponent="" if subcomponent in taken | {escape} else subcomponent,
        truncation=truncation,
    )


def decode(body: bytes, declared: str, delimiters: Delimiters, source_charset: str | None) -> tuple[Charset, str]:
    """MSH-18, then the source's own, then UTF-8 strictly, then Windows-1252 with a flag (messages.md 1.6)."""
    flags: list[str] = []
    wanted = declared.split(delimiters.repetition)[0].strip().upper() if delimiters.repetition else declared.strip().upper()
    for name, basis in ((wanted, CharsetBasis.DECLARED), ((source_charset or "").strip().upper(), CharsetBasis.SOURCE)):
        if not name:
            continue
        encoding = CHARSETS.get(name)
        if encoding is None:
            flags.append(FLAG_CHARSET_UNKNOWN)
            continue
        try:
            return Charset(encoding, basis, tuple(flags)), body.decode(encoding)
        except UnicodeDecodeError:
            flags.append(FLAG_CHARSET_CONTRADICTED)
    try:
        return Charset("utf-8", CharsetBasis.TRIED, tuple(flags)), body.decode("utf-8")
    except UnicodeDecodeError:
        flags.append(FLAG_CHARSET_GUESSED)
    return Charset("windows-1252", CharsetBasis.GUESSED, tuple(flags)), body.decode("windows-1252", errors="replace")


def unescape(text: str, delimiters: Delimiters, encoding: str = "utf-8") -> str:
    r"""Replaces `\F\ \S\ \T\ \R\ \E\ \P\ \Xdd..\ \.br\` and drops highlighting; what is not an escape stays as it is."""
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    out: list[str] = []
    rest = text
    while True:
        before, opened, after = rest.partition(mark)
        out.append(before)
        if not opened:
            return "".join(out)
        sequence, closed, remainder = after.partition(mark)
        meaning = _meaning(sequence, delimiters, encoding) if closed else None
        if meaning is None:
            out.append(mark)
            rest = after
        else:
            out.append(meaning)
            rest = remainder


def _meaning(sequence: str, delimiters: Delimiters, encoding: str) -> str | None:
    match sequence[:1]:
        case "F" if sequence == "F":
            return delimiters.field
        case "S" if sequence == "S":
            return delimiters.component
        case "T" if sequence == "T":
            return delimiters.subcomponent
        case "R" if sequence == "R":
            return delimiters.repetition
        case "E" if sequence == "E":
            return delimiters.escape
        case "P" if sequence == "P":
            return delimiters.truncation or "#"
        case "H" | "N" if len(sequence) == 1:
            return ""
        case "X":
            try:
                return bytes.fromhex(sequence[1:]).decode(encoding, errors="replace")
            except ValueError:
                return None
        case "C" | "M" if len(sequence) in (5, 7) and sequence[1:].isalnum():
            return ""  # a switch to another character set: nothing to show
        case ".":
            return "\n" if sequence[1:3] in ("br", "sp") else "" if sequence[1:3] in ("in", "ti", "fi", "nf", "sk", "ce") else None
        case _:
            return None


def _part(whole: str, delimiters: Delimiters, component: int, subcomponent: int) -> str:
    """A subcomponent of a component."""
    parts = whole.split(delimiters.component, component)
    if component > len(parts):
        return ""
    part, mark = parts[component - 1], delimiters.subcomponent
    return _nth(part, mark, subcomponent).strip() if subcomponent != 1 or (mark and mark in part) else part.strip()


def _nth(text: str, separator: str, number: int) -> str:
    if not separator or separator not in text:
        return text if number == 1 else ""
    if number == 1:
        return text[: text.index(separator)]
    parts = text.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""


def _is_segment(line: str, delimiters: Delimiters) -> bool:
    name = line[:_SEGMENT_ID_CHARS]
    if name in _USUAL and line[_SEGMENT_ID_CHARS : _SEGMENT_ID_CHARS + 1] == delimiters.field:
        return True
    return (
        len(name) == _SEGMENT_ID_CHARS
        and name.isascii()
        and name.isalnum()
        and name[0].isupper()
        and name.upper() == name
        and line[_SEGMENT_ID_CHARS : _SEGMENT_ID_CHARS + 1] in ("", delimiters.field)
    )
