"""Reads a plan's files of members and of authorisations: bytes to rows, rows to what they say (domain.md 2.9; messages.md 5).

Everything is text until a field is asked for: a spreadsheet's guesses destroy CINs and ZIP codes. A row that cannot be read says
which field, why and what to do; it never stands in the way of the others. Nothing here looks anything up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Final

from intake.files.profiles import FileKind, Profile
from intake.files.tables import HEADER_WITHIN_ROWS, FileRefused, Table, tables_of
from intake.reading.identifiers import CinProblem, cin_of, name_key, plausible_birth_date

CELL_CHARS_MAX: Final = 10_000
CELL_LINES_MAX: Final = 20
"""A cell with more lines than this swallowed the rows below it: a quote is missing."""
PHONES_MAX: Final = 3
POPULATIONS_MAX: Final = 16

REPEATED: Final = {"phone": "phone_2", "phone_2": "phone_3"}
"""Where a header stands twice, the second column is another of the same kind."""

_ISO = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?")
_US = re.compile(r"(\d{1,2})[/\-](\d{1,2})[/\-](\d{4})(?: 0?0:00(?::00)?| 12:00(?::00)? AM)?")
_US_SHORT = re.compile(r"(\d{1,2})[/\-](\d{1,2})[/\-](\d{2})")
_EU = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SERIAL = re.compile(r"\d{4,6}")
_NAMED = re.compile(r"(?:(\d{1,2})[ \-])?([A-Za-z]{3})[a-z]*\.?[ \-](?:(\d{1,2}),? )?(\d{4})")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SERIAL_ZERO: Final = date(1899, 12, 30)
_POWER = re.compile(r"(9)(?:[.,](\d{1,7}))?E\+?(\d{1,2})", re.IGNORECASE)
_LISTED = re.compile(r"[;,|/]")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was not taken, or what is to be known of one that was. Says nothing personal: not the value, only what is wrong
    with it."""

    row: int
    field: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's rows as text by canonical column, with the sheet's own row numbers (the first is 1). `unread`: what may be
    CINs in rows that could not be taken apart: whoever is named there is not missing."""

    rows: tuple[tuple[int, Mapping[str, str]], ...]
    too_wide: tuple[RowProblem, ...]
    encoding: str
    delimiter: str
    unknown_headers: tuple[str, ...]
    flags: tuple[str, ...] = ()
    name: str = ""
    unread: tuple[str, ...] = ()

    @property
    def cins(self) -> tuple[str, ...]:
        """Whom the sheet names, by their CINs, in rows that cannot be read further too."""
        named = (*(cells.get("cin", "") for _, cells in self.rows), *self.unread)
        return tuple(cin for cell in named if (cin := is_cin(cell)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """What one row says of a member. Personal data: sealed or in memory, nowhere else. `notes` are no part of what it says."""

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
    ends_on: date | None = None
    populations: tuple[str, ...] = ()
    notes: tuple[RowProblem, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationRow:
    """What one row says of an authorisation. Name and birth date are None where the file does not say them."""

    cin: str
    number: str
    decision: str
    basis: str
    family_name: str = ""
    given_name: str = ""
    birth_date: date | None = None
    first_day: date | None = None
    last_day: date | None = None
    decided_on: date | None = None
    request: str = ""
    reason: str = ""
    notes: tuple[RowProblem, ...] = field(default=(), repr=False, compare=False)


# --- a file ----------------------------------------------------------------------------------------------------------------------


def read_sheet(raw: bytes, profile: Profile) -> Sheet:
    """The rows of a file. Takes what spreadsheet programs make of one: marks, separators, blank rows and titles above the header,
    several sheets of which one is the list.

    Raises FileRefused where there is no header with the columns that the profile needs, or the file is over a limit.
    """
    table = _the_list(tables_of(raw, profile.known), profile)
    at, names, unknown, flags = _header(table, profile)
    rows: list[tuple[int, Mapping[str, str]]] = []
    too_wide: list[RowProblem] = []
    unread: list[str] = []
    for number, cells in table.rows[at:]:
        surplus = [cell for cell in cells[len(names) :] if cell]
        if surplus:
            because = f"it has {len(cells)} cells under a header of {len(names)}"
            too_wide.append(RowProblem(number, "row", because, "put cells that contain the separator in quotes"))
            unread += cells  # whichever of them is the CIN
            continue
        row: dict[str, str] = {}
        twice: list[str] = []
        for name, cell in zip(names, cells, strict=False):
            if name is None or not cell:
                continue
            if row.setdefault(name, cell) != cell:
                twice.append(name)
        if twice:
            because = "two columns of this name say different things"
            too_wide.append(RowProblem(number, twice[0], because, "leave one of them out"))
            unread.append(row.get("cin", ""))
        else:
            rows.append((number, row))
    return Sheet(
        tuple(rows),
        tuple(too_wide),
        table.encoding,
        table.delimiter,
        unknown,
        tuple(dict.fromkeys((*table.flags, *flags))),
        table.name,
        tuple(cell for cell in unread if is_cin(cell)),
    )


def _the_list(tables: Sequence[Table], profile: Profile) -> Table:
    """The sheet that holds the list: the one that the profile names, else the only visible one with all columns that are needed."""
    if profile.sheets:
        named = [t for t in tables if any(fnmatchcase(t.name.casefold(), p.casefold()) for p in profile.sheets)]
        if len(named) == 1 or (tables and not tables[0].name):
            return named[0] if named else tables[0]
        raise FileRefused(f"{len(named)} sheets are called {' or '.join(profile.sheets)}; name the sheet in the plan's profile")
    shown = [t for t in tables if not t.hidden] or list(tables)
    complete = [t for t in shown if not _missing(t, profile)]
    if len(complete) > 1:
        raise FileRefused(f"{len(complete)} sheets look like the list; name one under sheets in the plan's profile")
    if not shown:
        raise FileRefused("the workbook has no sheet; put the list on one")
    return complete[0] if complete else max(shown, key=lambda t: max((profile.known(c) for _, c in _top(t)), default=0))


def _top(table: Table) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return table.rows[:HEADER_WITHIN_ROWS]


def _missing(table: Table, profile: Profile) -> list[str]:
    """The columns that are needed and that no row near the top has all together."""
    best = max((cells for _, cells in _top(table)), key=profile.known, default=())
    there = {profile.column_called(cell) for cell in best}
    return [column for column in profile.required if column not in there]


def _header(table: Table, profile: Profile) -> tuple[int, list[str | None], tuple[str, ...], tuple[str, ...]]:
    missing = _missing(table, profile)
    if missing:
        raise FileRefused(
            f"the file has no column for {', '.join(missing)}; give it one, or add what the plan calls it to intake/files/profiles"
        )
    at = max(range(len(_top(table))), key=lambda n: (profile.known(table.rows[n][1]), -n))
    names: list[str | None] = []
    flags: list[str] = []
    for cell in table.rows[at][1]:
        name = profile.column_called(cell)
        if name is not None and name in names:
            flags.append("header_repeated")
            while name in names and name in REPEATED:
                name = REPEATED[name]
        names.append(name)
    unknown = tuple(cell for cell, name in zip(table.rows[at][1], names, strict=True) if name is None and cell)
    return at + 1, names, unknown, tuple(flags)


# --- a row -----------------------------------------------------------------------------------------------------------------------


class _Reading:
    """A row in work: what was found, and everything that is wrong."""

    def __init__(self, number: int, cells: Mapping[str, str], profile: Profile, today: date) -> None:
        self.number, self.cells, self.profile, self.today = number, cells, profile, today
        self.problems: list[RowProblem] = []
        self.notes: list[RowProblem] = []
        for column in profile.required:
            if not cells.get(column):
                self.wrong(column, "it is empty", f"fill in {column}")
        codes = profile.codes.get("plan_id", {})
        if codes and (whose := cells.get("plan_id", "")) and codes.get(whose.strip().casefold()) != profile.plan:
            self.wrong("plan_id", "it is a row of another plan", "send it with that plan's file, or add the code to the profile")
        for column, cell in cells.items():
            if len(cell) > CELL_CHARS_MAX or cell.count("\n") > CELL_LINES_MAX:
                because = f"it is longer than {CELL_CHARS_MAX} characters or {CELL_LINES_MAX} lines"
                self.wrong(column, because, "look for a missing quote in the rows before")

    def wrong(self, column: str, reason: str, remedy: str) -> None:
        self.problems.append(RowProblem(self.number, column, reason, remedy))

    def note(self, column: str, reason: str, remedy: str) -> None:
        self.notes.append(RowProblem(self.number, column, reason, remedy))

    def cin(self) -> str:
        said = self.cells.get("cin", "")
        if not said:
            return ""
        found = cin_of(said)
        if isinstance(found, str):
            if len(re.sub(r"[\s\-\u00a0]", "", said)) == 14:
                self.note(
                    "cin", "it is a card's number; the first nine characters were taken", "send the nine characters of the CIN"
                )
            return found
        restored = cin_of_number(said)
        if restored is not None:
            self.note("cin", "the spreadsheet took it for a number; it was put back", "format the column as text and send it so")
            return restored
        if re.fullmatch(r"[\d.,]+(?:E\+?\d+)?", said, re.IGNORECASE):
            self.wrong(
                "cin", "the spreadsheet took it for a number", "format the column as text, type the CIN again, and send it so"
            )
        else:
            self.wrong("cin", found.because, "correct the CIN with the plan; a card's 14 characters are accepted too")
        return ""

    def day(self, column: str) -> date | None:
        said = self.cells.get(column, "")
        found = read_date(said, self.profile.dates, self.today) if said else None
        if said and found is None:
            self.wrong(column, "it is no date that can be read", f"write it as {_examples(self.profile.dates)}")
        return found

    def birth_date(self) -> date | None:
        born = self.day("birth_date")
        if born is not None and not plausible_birth_date(born, self.today):
            self.wrong("birth_date", "nobody on the programme can be born then", "correct the birth date with the plan")
        return born

    def code(self, column: str) -> str:
        """What a code means; a problem where the profile does not know it."""
        meaning = self.profile.meaning(column, self.cells.get(column, ""))
        if meaning is None:
            codes = sorted(code for code in self.profile.codes.get(column, {}) if code)
            self.wrong(column, "the profile does not know this code", f"write one of {', '.join(codes)}, or add it to the profile")
        return meaning or ""

    def names(self) -> None:
        for column in ("last_name", "first_name"):
            if self.cells.get(column) and not name_key(self.cells[column]):
                self.wrong(column, "it has no letters", f"fill in {column}")


def read_row(number: int, cells: Mapping[str, str], profile: Profile, today: date) -> RosterRow | tuple[RowProblem, ...]:
    """What a row of a member file says, or everything that is wrong with it."""
    row = _Reading(number, cells, profile, today)
    cin, born = row.cin(), row.birth_date()
    effective_on, authorized_on, ends_on = (
        row.day("assignment_effective_date"),
        row.day("auth_start"),
        row.day("assignment_end_date"),
    )
    action, homeless = row.code("record_action"), row.code("homelessness_ind")
    row.names()
    if row.problems or born is None:
        return tuple(row.problems)
    place = " ".join(part for part in (cells.get("state", ""), cells.get("zip", "")) if part)
    phones = [dialled(cells[c]) for c in ("phone", "phone_2", "phone_3") if cells.get(c)]
    for phone in phones:
        if not phone.startswith("+1"):
            row.note("phone", "it is no phone number of ten digits; it is kept as it came", "send ten digits")
    language = (profile.meaning("language", cells.get("language", "")) or "").casefold()
    street = " ".join(cells.get("address", "").split())
    return RosterRow(
        action=action,
        cin=cin,
        family_name=cells["last_name"],
        given_name=cells["first_name"],
        birth_date=born,
        sex=(profile.meaning("sex", cells.get("sex", "")) or "").upper()[:1],
        language=language[:35] or "en",
        race_ethnicity=profile.meaning("race_ethnicity", cells.get("race_ethnicity", "")) or "",
        phones=tuple(dict.fromkeys(phones))[:PHONES_MAX],
        email=cells.get("email", ""),
        address=", ".join(part for part in (street, cells.get("city", ""), place) if part) if street else "",
        county=profile.meaning("county", cells.get("county", "")) or "",
        homeless=homeless == "yes",
        tier=profile.meaning("tier", cells.get("tier", "")) or "",
        effective_on=effective_on,
        authorized_on=authorized_on,
        referral_source=profile.meaning("referral_source", cells.get("referral_source", "")) or "plan_file",
        term_reason=profile.meaning("term_reason", cells.get("term_reason", "")) or "",
        ends_on=ends_on,
        populations=_populations(cells.get("pof", ""), profile),
        notes=tuple(row.notes),
    )


def read_authorisation(
    number: int, cells: Mapping[str, str], profile: Profile, today: date
) -> AuthorisationRow | tuple[RowProblem, ...]:
    """What a row of an authorisation file says, or everything that is wrong with it."""
    row = _Reading(number, cells, profile, today)
    cin, born = row.cin(), row.birth_date()
    first_day, last_day, decided_on = row.day("auth_start"), row.day("auth_end"), row.day("decided_on")
    decision, basis = row.code("decision"), row.code("basis")
    if decision == "extended" and basis == "initial":
        basis = "renewal"
    if decision == "denied" and decided_on is None and not cells.get("decided_on"):
        row.wrong("decided_on", "it is empty", "write the day on which the plan told us; until its end it pays")
    if decision == "ended" and last_day is None and not cells.get("auth_end"):
        row.wrong("auth_end", "it is empty", "write the last day that the plan pays for")
    if first_day is not None and last_day is not None and last_day < first_day:
        row.wrong("auth_end", "it lies before the first day", "correct the days with the plan")
    if row.problems:
        return tuple(row.problems)
    return AuthorisationRow(
        cin=cin, number=cells["auth_number"], decision=decision, basis=basis, family_name=cells.get("last_name", ""),
        given_name=cells.get("first_name", ""), birth_date=born, first_day=first_day, last_day=last_day, decided_on=decided_on,
        request=cells.get("request", ""), reason=cells.get("reason", ""), notes=tuple(row.notes),
    )  # fmt: skip


Reader = Callable[[int, Mapping[str, str], Profile, date], RosterRow | AuthorisationRow | tuple[RowProblem, ...]]
READERS: Final[Mapping[FileKind, Reader]] = {FileKind.MEMBERS: read_row, FileKind.AUTHORISATIONS: read_authorisation}


def _populations(said: str, profile: Profile) -> tuple[str, ...]:
    parts = (part.strip() for part in _LISTED.split(said))
    found = dict.fromkeys(profile.meaning("pof", part) or part for part in parts if part)
    return tuple(found)[:POPULATIONS_MAX]


def cin_of_number(said: str) -> str | None:
    """The CIN out of what a spreadsheet makes of one that looks like a power of ten: 91234567E2, a CIN that ends with E and its
    check digit, becomes 9123456700 or 9.1234567E+09. None where digits were lost, or it was no such thing."""
    found, digits = _POWER.fullmatch(said.strip()), said.strip().replace(",", "")
    if found is not None:
        mantissa, power = found[1] + (found[2] or ""), int(found[3])
        digits = mantissa.ljust(8, "0") + "0" * (power - 7) if len(mantissa) == 8 and 8 <= power <= 16 else ""
    if not re.fullmatch(r"9\d{7}0{1,9}(?:\.0+)?", digits):
        return None
    digits = digits.partition(".")[0]
    return f"{digits[:8]}E"


def read_date(text: str, order: Sequence[str], today: date | None = None) -> date | None:
    """A date in one of the forms of the profile; None where it is none. A year of two digits is a guess, so it is refused unless
    the profile says us2: then it lies within the hundred years up to `today`."""
    said = text.strip()
    for form in order:
        if (found := _day(form, said, today)) is not None:
            try:
                return date(*found)
            except ValueError:
                return None
    return None


def _day(form: str, said: str, today: date | None) -> tuple[int, int, int] | None:
    """(year, month, day) as a form has them."""
    match form:
        case "iso" if found := _ISO.fullmatch(said):
            year, month, day = map(int, found.groups())
        case "us" if found := _US.fullmatch(said):
            month, day, year = map(int, found.groups())
        case "eu" if found := _EU.fullmatch(said):
            day, month, year = map(int, found.groups())
        case "us2" if (found := _US_SHORT.fullmatch(said)) and today is not None:
            month, day, short = map(int, found.groups())
            year = today.year - today.year % 100 + short
            year -= 100 if year > today.year else 0
        case "serial" if _SERIAL.fullmatch(said):
            counted = _SERIAL_ZERO + timedelta(days=int(said))
            year, month, day = counted.year, counted.month, counted.day
        case "text" if (found := _NAMED.fullmatch(said)) and found[2].casefold() in _MONTHS and bool(found[1]) != bool(found[3]):
            year, month, day = int(found[4]), _MONTHS.index(found[2].casefold()) + 1, int(found[1] or found[3])
        case _:
            return None
    return year, month, day


_WRITTEN: Final = {
    "iso": "2026-11-20", "us": "11/20/2026", "us2": "11/20/26", "eu": "20.11.2026", "serial": "46346", "text": "Nov 20, 2026",
}  # fmt: skip


def _examples(forms: Sequence[str]) -> str:
    written = " or ".join(_WRITTEN[form] for form in forms)
    return written if "us2" in forms else f"{written}, with four digits for the year"


def dialled(text: str) -> str:
    """A phone number as it is dialled, +1 and ten digits; what is no such number stays as it came."""
    digits = re.sub(r"\D", "", text)
    if len(digits) == 11 and digits.startswith("1"):
        digits = digits[1:]
    return f"+1{digits}" if len(digits) == 10 else text.strip()


def is_cin(text: str) -> str | None:
    """The CIN that a cell means, whatever a spreadsheet made of it; None where it means none."""
    found = cin_of(text)
    return cin_of_number(text) if isinstance(found, CinProblem) else found
