"""Spreadsheets read as text: typed cells, marks, several sheets, files made to hurt; profiles (messages.md 3, 5; case 27)."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path

import pytest
from openpyxl import Workbook

from intake.files import tables
from intake.files.memberfile import RosterRow, cin_of_number, read_date, read_row, read_sheet
from intake.files.profiles import PROFILES as PROFILES_FOLDER
from intake.files.profiles import FileKind, ProfileInvalid, Profiles, profile_of
from intake.files.returns import harmless
from intake.files.tables import FileRefused, tables_of
from tests.intake.rosters import COAST_HEADER, coast, workbook

PROFILES = Profiles()
COAST, VALLEY, CANONICAL = PROFILES.of("coast-care"), PROFILES.of("valley-health"), PROFILES.of("somebody-else")
TODAY = date(2026, 3, 10)
NOBODY = "CIN,Last,First,DOB\n"


def saved(book: Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# --- workbooks ------------------------------------------------------------------------------------------


def test_27_a_workbook_with_typed_cells_and_blank_rows_above_is_read_right() -> None:
    sheet = read_sheet(workbook(COAST_HEADER, [coast(1, cin=9111111100), coast(2)], above=6), COAST)
    assert [number for number, _ in sheet.rows] == [8, 9], "the sheet's own numbers"
    row = read_row(*sheet.rows[0], COAST, TODAY)
    assert isinstance(row, RosterRow)
    assert (row.cin, row.birth_date, row.effective_on) == ("91111111E", date(1960, 1, 2), date(2026, 3, 1))
    assert row.address.endswith("CA 00741") and row.tier == "medium" and row.homeless
    assert [note.field for note in row.notes] == ["cin"]


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        ("00123", "@", "00123"), (123, "00000", "00123"), (937010001, "00000\\-0000", "93701-0001"),
        (91234567.0, "General", "91234567"), (0.5, "General", "0.5"), (1e15, "0.00E+00", "1000000000000000"), (-3, "000", "-3"),
        (1234567, "00000", "1234567"), (True, "General", "TRUE"), (date(1961, 4, 12), "m/d/yy", "1961-04-12"),
        (datetime.fromisoformat("1961-04-12T08:30"), "m/d/yy h:mm", "1961-04-12 08:30:00"), ("=1+1", "General", ""),
        ("#N/A", "General", ""), (None, "General", ""),
    ],
)  # fmt: skip
def test_a_cell_is_the_text_that_the_sheet_shows(value: object, form: str, shown: str) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"], sheet["B1"] = value, "end"
    sheet["A1"].number_format = form
    ((_, cells),) = tables_of(saved(book), len)[0].rows
    assert cells[0] == shown


def test_the_list_is_found_among_the_sheets() -> None:
    raw = workbook(COAST_HEADER, [coast(1)], sheet="Sheet7")
    with pytest.raises(FileRefused, match="0 sheets are called"):
        read_sheet(raw, COAST)
    loose = profile_of(
        "coast-care", (Path(tables.__file__).parent / "profiles/coast-care.toml").read_text().replace("sheets", "#"), "x"
    )
    assert read_sheet(raw, loose).name == "Sheet7", "the hidden sheet has the same header and is not meant"
    book = Workbook()
    for name in ("one", "two"):
        book.create_sheet(name).append(["CIN", "Last", "First", "DOB"])
    with pytest.raises(FileRefused, match="2 sheets look like the list"):
        read_sheet(saved(book), CANONICAL)


# --- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "family"),
    [
        ("CIN;Last;First;DOB\n91234567A;Núñez;Al;19610412\n".encode("windows-1252"), "Núñez"),
        ("\ufeffCIN\tLast\tFirst\tDOB\n91234567A\tNúñez\tAl\t19610412\n".encode("utf-16"), "Núñez"),
        ('CIN|Last|First|DOB\n91234567A|"Nú\n\nñez"|Al|19610412\n'.encode(), "Nú\n\nñez"),
        ('CIN,Last,First,DOB\n="91234567A",Núñez,Al,="19610412"\n'.encode(), "Núñez"),
        (("CIN,Last,First,DOB\n91234567A,Núñez,Al,19610412\n" + ",,,\n" * 500 + "\n" * 500).encode(), "Núñez"),
    ],
)
def test_text_files_of_every_program(raw: bytes, family: str) -> None:
    ((_, cells),) = read_sheet(raw, CANONICAL).rows
    assert (cells["cin"], cells["last_name"], cells["birth_date"]) == ("91234567A", family, "19610412")


def test_a_header_that_stands_twice() -> None:
    text = "CIN,Last,First,DOB,Phone,Phone,CIN\n91234567A,Q,Al,19610412,6615550101,6615550102,\n"
    sheet = read_sheet(text.encode(), CANONICAL)
    assert sheet.flags == ("header_repeated",)
    row = read_row(*sheet.rows[0], CANONICAL, TODAY)
    assert isinstance(row, RosterRow) and row.phones == ("+16615550101", "+16615550102")
    other = read_sheet(text.replace("6615550102,\n", "6615550102,98765432D\n").encode(), CANONICAL)
    assert (other.rows, [p.field for p in other.too_wide]) == ((), ["cin"]), "two CINs in one row are none"


@pytest.mark.parametrize(
    ("said", "cin"),
    [
        ("9123456700", "91234567E"), ("9.1234567E+09", "91234567E"), ("9123456000", "91234560E"), ("9.12E+09", None),
        ("91234567", None), ("9123456789", None), ("8123456700", None), ("9.1234567E+99", None), ("9,1234567E+9", "91234567E"),
    ],
)  # fmt: skip
def test_a_cin_that_a_spreadsheet_took_for_a_power_of_ten(said: str, cin: str | None) -> None:
    assert cin_of_number(said) == cin


def test_forms_of_dates() -> None:
    assert read_date("04/12/61", ("us2",), TODAY) == date(1961, 4, 12)
    assert read_date("04/12/25", ("us2",), TODAY) == date(2025, 4, 12)
    assert (
        read_date("12.4.1961", ("eu",))
        == read_date("Apr 12, 1961", ("text",))
        == read_date("12-April-1961", ("text",))
        == date(1961, 4, 12)
    )
    assert read_date("22383", ("serial",)) == date(1961, 4, 12)
    assert read_date("April 1961", ("text",)) is None


# --- files made to hurt ------------------------------------------------------------------------------------------


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(name, content)
    return out.getvalue()


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "UNPACKED_BYTES_MAX", 1_000_000)
    bomb = zipped("xl/worksheets/sheet1.xml", b"<row/>" * 1_000_000)
    assert len(bomb) < 20_000
    with pytest.raises(FileRefused, match="larger than"):
        tables_of(bomb, len)


@pytest.mark.parametrize(
    "raw",
    [
        zipped("xl/workbook.xml", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><workbook>&a;</workbook>'),
        zipped("hello.txt", b"no workbook at all"),
        workbook(COAST_HEADER, [coast(1)])[:-200],
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_what_is_no_workbook_is_refused_in_words(raw: bytes) -> None:
    with pytest.raises(FileRefused, match="workbook"):
        tables_of(raw, len)


def test_limits_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ("x," * (tables.COLUMNS_MAX + 1) + "x\n").encode()
    with pytest.raises(FileRefused, match="more than 512 columns"):
        tables_of(wide, len)
    monkeypatch.setattr(tables, "ROWS_MAX", 3)
    with pytest.raises(FileRefused, match="more than 3 rows"):
        tables_of(b"a\n\n\nb\n", len)
    monkeypatch.setattr(tables, "FILE_BYTES_MAX", 3)
    with pytest.raises(FileRefused, match="longer than 3 bytes"):
        tables_of(b"a,b\n", len)


def test_a_missing_quote_is_told_where_it_swallowed_rows() -> None:
    text = NOBODY + '91234567A,"Q,Al,19610412\n' + "98765432D,R,Bo,19610412\n" * 30
    ((number, cells),) = read_sheet(text.encode(), CANONICAL).rows
    problems = read_row(number, cells, CANONICAL, TODAY)
    assert not isinstance(problems, RosterRow)
    assert any("missing quote" in p.remedy for p in problems)


# --- profiles ------------------------------------------------------------------------------------------


def test_three_plans_differ_in_everything() -> None:
    bayside = PROFILES.of("bayside-partners")
    three = (COAST, VALLEY, bayside)
    for what in ("dates", "files", "required", "full_roster"):
        assert len({getattr(p, what) for p in three}) > 1, what
    assert len({p.codes["record_action"].get("x") for p in three}) > 1
    assert not {h for h, c in COAST._called.items() if c == "cin"} <= {h for h, c in VALLEY._called.items()}
    assert (COAST.drop_share_max, bayside.drop_share_max, COAST.sheets) == (0.25, 0.1, ("ECM Members*",))


def test_a_profile_is_chosen_by_plan_kind_and_file_name(tmp_path: Path) -> None:
    assert PROFILES.named_for("cc_mif_202603.XLSX").id == "coast-care"
    assert PROFILES.named_for("VH_AUTH_1.csv").kind is FileKind.AUTHORISATIONS
    with pytest.raises(FileRefused, match="no profile is named for this file"):
        PROFILES.named_for("roster.csv")
    (tmp_path / "coast-care.weekly.toml").write_text('files = ["CC_WEEK_*"]\nname = "weekly"\ncovers = "changes"\n')
    both = Profiles((PROFILES_FOLDER, tmp_path))
    assert both.of("coast-care", file_name="CC_WEEK_12.csv").id == "coast-care.weekly"
    assert both.of("coast-care", file_name="anything.csv").id == both.of("coast-care").id == "coast-care"
    assert both.of("nobodys-plan").name == "canonical"
    (tmp_path / "coast-care.weekly.toml").write_text('files = ["CC_WEEK_*"]\nname = "weekly, anew"\ncovers = "changes"\n')
    assert both.of("coast-care", file_name="CC_WEEK_12.csv").name == "weekly, anew", "a profile that has changed is read again"


GOOD = 'name = "x"\nversion = "1"\ndates = ["iso"]\n\n[columns]\ncin = ["No"]\n\n[codes.record_action]\n"z" = "add"\n'


@pytest.mark.parametrize(
    ("replaced", "by", "told"),
    [
        ('dates = ["iso"]', 'dates = ["ISO"]', "line 3: dates: write some of iso"),
        ('dates = ["iso"]', "covers = 1", "line 3: covers: write one of full_roster, changes"),
        ('dates = ["iso"]', "drop_share_max = 20", "line 3: drop_share_max: write a share"),
        ('dates = ["iso"]', "colour = 1", "line 3: colour: is not known"),
        ('dates = ["iso"]', 'required = ["cin", "shoe_size"]', "line 3: required: 'shoe_size' is no column"),
        ('cin = ["No"]', 'shoe_size = ["No"]', "line 6: columns.shoe_size: is no column"),
        ('cin = ["No"]', 'cin = "No"', "columns: write a list"),
        ('cin = ["No"]', 'cin = ["No"]\nphone = ["no."]', "line 7: columns.phone: 'no.' is called cin too"),
        ('"z" = "add"', '"z" = "adds"', "line 9: codes.record_action.z: means 'adds'; write one of add"),
        ('name = "x"', 'kind = "people"', "line 1: kind: write one of members, authorisations"),
        ('name = "x"', "name = ", "not TOML"),
    ],
)
def test_a_faulty_profile_is_told_with_its_line(replaced: str, by: str, told: str) -> None:
    assert profile_of("somebody", GOOD, "somebody.toml").columns["cin"][0] == "No"
    with pytest.raises(ProfileInvalid, match=r"somebody\.toml") as refused:
        profile_of("somebody", GOOD.replace(replaced, by), "somebody.toml")
    assert told in str(refused.value)


@pytest.mark.parametrize("cell", ["=1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "+HYPERLINK(A1)", "+", "+1+cmd|A0"])
def test_what_a_spreadsheet_would_reckon_with_goes_back_as_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "+16615550134", "O'Hara", "Núñez"])
def test_numbers_and_names_go_back_as_they_are(cell: str) -> None:
    assert harmless(cell) == cell
