"""Reads a plan's member file: bytes to rows, rows to what they say (domain.md 2.9, messages.md 5 "Files").

Everything is text until a field is asked for: a spreadsheet's guesses destroy CINs and ZIP codes. A row that cannot be read says
which field, why and what to do; it never stands in the way of the others. Nothing here looks anything up.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.identifiers import CinProblem, cin_of, name_key, plausible_birth_date

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
ROWS_MAX: Final = 1_000_000
HEADER_WITHIN_ROWS: Final = 20
"""Plans put titles above their headers; further down than this there is none."""
CELL_CHARS_MAX: Final = 10_000

_PROFILES: Final = Path(__file__).with_name("profiles")
_DELIMITERS: Final = (",", ";", "\t", "|")
_PLAIN = re.compile(r"[^a-z0-9]+")
_ISO = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?")
_US = re.compile(r"(\d{1,2})[/\-](\d{1,2})[/\-](\d{4})(?: 0?0:00(?::00)?)?")
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_YES = ("y", "yes", "1", "true")


class FileRefused(Exception):
    """The file as a whole cannot be read. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was not taken. Says nothing personal: not the value, only what is wrong with it."""

    row: int
    field: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How one plan writes its member file."""

    name: str
    version: str
    required: tuple[str, ...]
    dates: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    actions: Mapping[str, str]
    languages: Mapping[str, str]

    def column_called(self, header: str) -> str | None:
        """The canonical column that a header means."""
        wanted = _plain(header)
        if not wanted:
            return None
        return next((c for c, aliases in self.columns.items() if wanted == _plain(c) or wanted in map(_plain, aliases)), None)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's rows as text by canonical column, with the sheet's own row numbers (the first is 1)."""

    rows: tuple[tuple[int, Mapping[str, str]], ...]
    too_wide: tuple[RowProblem, ...]
    encoding: str
    delimiter: str
    unknown_headers: tuple[str, ...]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """What one row says of a member. Personal data: sealed or in memory, nowhere else."""

    action: str
    cin: str
    family_name: str
    given_name: str
    birth_date: date
    sex: str = ""
    language: str = "en"
    race_ethnicity: str = ""
    phones: tuple[str, ...] = ()
    email: str = ""
    address: str = ""
    county: str = ""
    homeless: bool = False
    tier: str = ""
    effective_on: date | None = None
    authorized_on: date | None = None
    referral_source: str = "plan_file"
    term_reason: str = ""
    plan_id: str = ""


@lru_cache(maxsize=64)
def load_profile(plan: str) -> Profile:
    """A plan's profile, completed by the canonical one; the canonical one where the plan has none. Raises FileRefused."""
    if not _PLAN.fullmatch(plan):
        raise FileRefused("plan: write the plan's id in small letters, digits and hyphens")
    canonical = tomllib.loads((_PROFILES / "canonical.toml").read_text(encoding="utf-8"))
    path = _PROFILES / f"{plan}.toml"
    own: dict[str, Any] = {}
    if path.exists():
        try:
            own = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as broken:
            raise FileRefused(f"{path.name}: not TOML: {broken}") from None
        unknown = set(own) - set(canonical) | set(own.get("columns", {})) - set(canonical["columns"])
        if unknown:
            raise FileRefused(f"{path.name}: {sorted(unknown)[0]!r} is not known; see profiles/canonical.toml for what is")
    columns = {c: (*own.get("columns", {}).get(c, ()), *aliases) for c, aliases in canonical["columns"].items()}
    return Profile(
        name=own.get("name", canonical["name"]),
        version=own.get("version", canonical["version"]),
        required=tuple(own.get("required", canonical["required"])),
        dates=tuple(own.get("dates", canonical["dates"])),
        columns=columns,
        actions={**canonical["actions"], **own.get("actions", {})},
        languages={**canonical["languages"], **own.get("languages", {})},
    )


def read_sheet(raw: bytes, profile: Profile) -> Sheet:
    """The rows of a CSV file. Takes a byte order mark, semicolons, tabs, bars, blank rows and titles above the header.

    Raises FileRefused where there is no header with the columns that the profile needs, or the file is over a limit.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise FileRefused(f"the file is longer than {FILE_BYTES_MAX} bytes; send it in parts")
    text, encoding, flags = _decoded(raw)
    delimiter = _delimiter(text, profile)
    records = _records(text, delimiter)
    at, names, unknown = _header(records, profile)
    rows: list[tuple[int, Mapping[str, str]]] = []
    too_wide: list[RowProblem] = []
    for number, cells in records[at:]:
        if not any(cell.strip() for cell in cells):
            continue
        surplus = [cell for cell in cells[len(names) :] if cell.strip()]
        if surplus:
            because = f"it has {len(cells)} cells under a header of {len(names)}"
            too_wide.append(RowProblem(number, "row", because, "put cells that contain the separator in quotes"))
            continue
        row: dict[str, str] = {}
        for name, cell in zip(names, cells, strict=False):
            if name is not None and cell.strip():
                row.setdefault(name, cell.strip())
        rows.append((number, row))
        if len(rows) > ROWS_MAX:
            raise FileRefused(f"the file has more than {ROWS_MAX} rows; send it in parts")
    return Sheet(tuple(rows), tuple(too_wide), encoding, delimiter, unknown, flags)


def read_row(number: int, cells: Mapping[str, str], profile: Profile, today: date) -> RosterRow | tuple[RowProblem, ...]:
    """What a row says, or everything that is wrong with it."""
    problems: list[RowProblem] = []

    def wrong(field: str, reason: str, remedy: str) -> None:
        problems.append(RowProblem(number, field, reason, remedy))

    for column in profile.required:
        if not cells.get(column, ""):
            wrong(column, "it is empty", f"fill in {column}")
    for column, cell in cells.items():
        if len(cell) > CELL_CHARS_MAX:
            wrong(column, f"it is longer than {CELL_CHARS_MAX} characters", "look for a missing quote in the rows before")
    cin = cin_of(cells.get("cin", ""))
    if isinstance(cin, CinProblem) and cells.get("cin"):
        wrong("cin", cin.because, "correct the CIN with the plan; a card's 14 characters are accepted too")
    dates: dict[str, date | None] = {}
    for column in ("birth_date", "assignment_effective_date", "auth_start"):
        said = cells.get(column, "")
        dates[column] = read_date(said, profile.dates) if said else None
        if said and dates[column] is None:
            wrong(column, "it is no date that can be read", "write it as 2026-11-20 or 11/20/2026, with four digits for the year")
    born = dates["birth_date"]
    if born is not None and not plausible_birth_date(born, today):
        wrong("birth_date", "nobody on the programme can be born then", "correct the birth date with the plan")
    action = profile.actions.get(cells.get("record_action", "").strip().casefold())
    if action is None:
        wrong("record_action", "the action is not known", f"write one of {', '.join(sorted(set(profile.actions.values())))}")
    for column in ("last_name", "first_name"):
        if cells.get(column) and not name_key(cells[column]):
            wrong(column, "it has no letters", f"fill in {column}")
    if problems or isinstance(cin, CinProblem) or born is None or action is None:
        return tuple(problems)
    street = cells.get("address", "")
    place = " ".join(part for part in (cells.get("state", ""), cells.get("zip", "")) if part)
    language = cells.get("language", "").casefold()
    return RosterRow(
        action=action,
        cin=cin,
        family_name=cells["last_name"],
        given_name=cells["first_name"],
        birth_date=born,
        sex=cells.get("sex", "").upper()[:1],
        language=profile.languages.get(language, language[:35]) or "en",
        race_ethnicity=cells.get("race_ethnicity", ""),
        phones=tuple(dict.fromkeys(dialled(cells[c]) for c in ("phone", "phone_2") if cells.get(c))),
        email=cells.get("email", ""),
        address=", ".join(part for part in (street, cells.get("city", ""), place) if part) if street else "",
        county=cells.get("county", ""),
        homeless=cells.get("homelessness_ind", "").strip().casefold() in _YES,
        tier=cells.get("tier", ""),
        effective_on=dates["assignment_effective_date"],
        authorized_on=dates["auth_start"],
        referral_source=cells.get("referral_source", "") or "plan_file",
        term_reason=cells.get("term_reason", ""),
        plan_id=cells.get("plan_id", ""),
    )


def read_date(text: str, order: tuple[str, ...]) -> date | None:
    """A date in one of the forms of the profile; None where it is none. A year of two digits is a guess, so it is refused."""
    for form in order:
        found = (_ISO if form == "iso" else _US).fullmatch(text.strip())
        if found is None:
            continue
        first, second, third = (int(part) for part in found.groups())
        try:
            return date(first, second, third) if form == "iso" else date(third, first, second)
        except ValueError:
            return None
    return None


def dialled(text: str) -> str:
    """A phone number as it is dialled, +1 and ten digits; what is no such number stays as it came."""
    digits = re.sub(r"\D", "", text)
    if len(digits) == 11 and digits.startswith("1"):
        digits = digits[1:]
    return f"+1{digits}" if len(digits) == 10 else text.strip()


def _decoded(raw: bytes) -> tuple[str, str, tuple[str, ...]]:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16"), "utf-16", ()
        except UnicodeDecodeError:
            raise FileRefused("the file is damaged: it begins as UTF-16 and does not go on so; save it as CSV UTF-8") from None
    if raw.startswith(b"PK\x03\x04"):
        raise FileRefused("the file is a workbook; save it as CSV UTF-8 and send that")
    try:
        return raw.decode("utf-8-sig"), "utf-8", ()
    except UnicodeDecodeError:
        return raw.decode("windows-1252", errors="replace"), "windows-1252", ("charset_guessed",)


def _delimiter(text: str, profile: Profile) -> str:
    """The separator under which most headers are known."""
    head = "\n".join(text.splitlines()[:HEADER_WITHIN_ROWS])

    def known(delimiter: str) -> int:
        rows = csv.reader(io.StringIO(head), delimiter=delimiter)
        return max((len({c for cell in row if (c := profile.column_called(cell))}) for row in rows), default=0)

    return max(_DELIMITERS, key=known)


def _records(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    csv.field_size_limit(FILE_BYTES_MAX)
    try:
        return list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1))
    except csv.Error as broken:
        raise FileRefused(f"the file is no CSV: {broken}") from None


def _header(records: list[tuple[int, list[str]]], profile: Profile) -> tuple[int, list[str | None], tuple[str, ...]]:
    best: tuple[int, list[str | None]] | None = None
    for at, (_, cells) in enumerate(records[:HEADER_WITHIN_ROWS]):
        names = list(_once(profile.column_called(cell) for cell in cells))
        if best is None or sum(n is not None for n in names) > sum(n is not None for n in best[1]):
            best = (at, names)
    missing = [c for c in profile.required if best is None or c not in best[1]]
    if best is None or missing:
        raise FileRefused(
            f"the file has no column for {', '.join(missing)}; give it one, or add what the plan calls it to intake/profiles"
        )
    at, names = best
    while names and names[-1] is None and not records[at][1][len(names) - 1].strip():
        names.pop()
    unknown = tuple(cell.strip() for cell, name in zip(records[at][1], names, strict=False) if name is None and cell.strip())
    return at + 1, names, unknown


def _once(names: Iterator[str | None]) -> Iterator[str | None]:
    """A column that is named twice counts where it stands first."""
    seen: set[str] = set()
    for name in names:
        yield None if name in seen else name
        if name is not None:
            seen.add(name)


def _plain(header: str) -> str:
    return _PLAIN.sub("", header.casefold())
