"""Reads a spreadsheet's bytes, CSV or XLSX, as rows of text with the numbers that a spreadsheet program shows beside them.

Everything is text as it was typed or is shown: a spreadsheet's own guesses destroy CINs and ZIP codes. What is hostile (a bomb of
zeros, a million columns, a document type) is refused before it costs anything. Nothing here knows what a column means.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any, Final

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
ROWS_MAX: Final = 1_000_000
COLUMNS_MAX: Final = 512
UNPACKED_BYTES_MAX: Final = 512 * 1024 * 1024
"""What a workbook may become when it is unpacked; its parts are read no further than they say they are long."""
PARTS_MAX: Final = 2_000
SHEETS_MAX: Final = 50
HEADER_WITHIN_ROWS: Final = 20
"""Plans put titles above their headers; further down than this there is none."""

_DELIMITERS: Final = (",", ";", "\t", "|")
_DOCUMENT_TYPE_WITHIN_BYTES: Final = 64 * 1024
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_AS_TEXT = re.compile(r'="(?P<text>[^"]*)"')
_FILLED = re.compile(r"[0\-() ]*00[0\-() ]*")

Cells = Sequence[str]
Known = Callable[[Cells], int]
"""How many of a row's cells are headers that mean something."""


class FileRefused(Exception):
    """The file as a whole cannot be read. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet. `rows`: (number as the sheet shows it, the first is 1; cells), without rows that are blank altogether."""

    rows: tuple[tuple[int, tuple[str, ...]], ...]
    name: str = ""
    hidden: bool = False
    encoding: str = ""
    delimiter: str = ""
    flags: tuple[str, ...] = ()


def tables_of(raw: bytes, known: Known) -> tuple[Table, ...]:
    """The sheets of a workbook, or the one table of a CSV file, whose separator is the one under which most headers are `known`.

    Raises FileRefused."""
    if len(raw) > FILE_BYTES_MAX:
        raise FileRefused(f"the file is longer than {FILE_BYTES_MAX} bytes; send it in parts")
    if raw.startswith(b"PK\x03\x04"):
        return tuple(_sheets(raw))
    if raw.startswith(_OLD_WORKBOOK):
        raise FileRefused("the file is a workbook of the old kind, or has a password; save it as .xlsx without one")
    text, encoding, flags = _decoded(raw)
    delimiter = _delimiter(text, known)
    rows = tuple(_bounded(_records(text, delimiter)))
    return (Table(rows, encoding=encoding, delimiter=delimiter, flags=flags),)


def _bounded(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows that say something, trimmed, within the limits."""
    for number, cells in rows:
        if number > ROWS_MAX:
            raise FileRefused(f"the file has more than {ROWS_MAX} rows; send it in parts")
        while cells and not cells[-1].strip():
            cells.pop()
        if len(cells) > COLUMNS_MAX:
            raise FileRefused(f"row {number} has more than {COLUMNS_MAX} columns; delete what is right of the list")
        if cells:
            yield number, tuple(cell.strip() for cell in cells)


# --- CSV -----------------------------------------------------------------------------------------------------------------------


def _decoded(raw: bytes) -> tuple[str, str, tuple[str, ...]]:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16"), "utf-16", ()
        except UnicodeDecodeError:
            raise FileRefused("the file is damaged: it begins as UTF-16 and does not go on so; save it as CSV UTF-8") from None
    if b"\0" in raw:
        raise FileRefused("the file is no text and no workbook; save it as CSV UTF-8 or .xlsx")
    try:
        return raw.decode("utf-8-sig"), "utf-8", ()
    except UnicodeDecodeError:
        return raw.decode("windows-1252", errors="replace"), "windows-1252", ("charset_guessed",)


def _delimiter(text: str, known: Known) -> str:
    head = "\n".join(islice(_lines(text), HEADER_WITHIN_ROWS))

    def most(delimiter: str) -> int:
        try:
            return max(map(known, csv.reader(io.StringIO(head), delimiter=delimiter)), default=0)
        except csv.Error:
            return 0

    return max(_DELIMITERS, key=most)


def _lines(text: str) -> Iterator[str]:
    """The first lines, blank ones left out, without cutting up the rest of a long text."""
    for line in io.StringIO(text[: HEADER_WITHIN_ROWS * 64 * 1024], newline=None):
        if line.strip():
            yield line.rstrip("\n")


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(FILE_BYTES_MAX)
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1):
            yield number, [_unwrapped(cell) for cell in cells]
    except csv.Error as broken:
        raise FileRefused(f"the file is no CSV: {broken}") from None


def _unwrapped(cell: str) -> str:
    """Exports write ="01234" so that a spreadsheet leaves the text alone."""
    found = _AS_TEXT.fullmatch(cell) if cell.startswith('="') else None
    return found["text"] if found else cell


# --- XLSX ----------------------------------------------------------------------------------------------------------------------


def _sheets(raw: bytes) -> Iterator[Table]:
    import openpyxl  # a quarter of a second, and every command of the command line would wait for it

    _harmless(raw)
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets[:SHEETS_MAX]:
            sheet.reset_dimensions()  # what a sheet says of its own size is often wrong
            rows = tuple(_bounded(_rows_of(sheet)))
            yield Table(rows, name=sheet.title, hidden=sheet.sheet_state != "visible", encoding="xlsx")
        book.close()
    except (FileRefused, MemoryError):
        raise
    except Exception:  # whatever a damaged or invented workbook makes of the reader
        raise FileRefused("the workbook cannot be read; open it, save it as .xlsx again, and send that") from None


def _harmless(raw: bytes) -> None:
    """Looks at the parts of a workbook before they are unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            listed = parts.infolist()
            if len(listed) > PARTS_MAX or sum(part.file_size for part in listed) > UNPACKED_BYTES_MAX:
                raise FileRefused(f"the workbook is larger than {UNPACKED_BYTES_MAX} bytes inside; send it in parts or as CSV")
            if any(part.flag_bits & 1 for part in listed):
                raise FileRefused("the workbook has a password; send it without one")
            for part in listed:
                if part.filename.endswith((".xml", ".rels")):
                    with parts.open(part) as opened:
                        if b"<!DOCTYPE" in opened.read(_DOCUMENT_TYPE_WITHIN_BYTES):
                            raise FileRefused("the workbook holds what no spreadsheet program writes; save it anew and send that")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError):
        raise FileRefused("the workbook is damaged; open it, save it as .xlsx again, and send that") from None


def _rows_of(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        yield number, [_shown(cell) for cell in cells[: COLUMNS_MAX + 1]]


def _shown(cell: Any) -> str:
    """A cell as text, as the sheet shows it: whole numbers without a point, dates as 2026-11-20, a format's zeros in front."""
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            return "" if cell.data_type == "e" else _unwrapped(value)
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return _number(value, cell.number_format)
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _number(value: float, form: str) -> str:
    if value != int(value):
        return format(Decimal(repr(value)), "f")
    plain = form.replace("\\", "").replace('"', "")
    digits = str(int(value))
    if value < 0 or not _FILLED.fullmatch(plain):
        return digits
    width = plain.count("0")
    if len(digits) > width:
        return digits
    filled = iter(digits.rjust(width, "0"))
    return "".join(next(filled) if sign == "0" else sign for sign in plain)
