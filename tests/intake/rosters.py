"""Rosters as plans send them, dirty ones included: workbooks with typed cells, old programs' text. Everybody is invented."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from openpyxl import Workbook

COAST_HEADER = (
    "Medi-Cal ID (CIN)", "CC Member #", "Mbr Last Nm", "Mbr First Nm", "Mbr DOB", "Sex Cd", "Spoken Lang", "Res Addr 1", "Res City",
    "Res St", "Res Zip", "Res County FIPS", "Home Ph", "Cell Ph", "HMLS IND", "ECM POF(s)", "Risk Lvl", "ECM Assignment Status",
    "ECM Eff Dt", "ECM Term Dt",
)  # fmt: skip


def workbook(header: Sequence[str], rows: Sequence[Sequence[Any]], *, sheet: str = "ECM Members 2026", above: int = 2) -> bytes:
    """A workbook with a cover, a hidden sheet of codes, and the list below a title and a blank row; cells keep their types."""
    book = Workbook()
    cover = book.active
    assert cover is not None
    cover.title = "Read me"
    cover["B2"] = "Confidential"
    codes = book.create_sheet("Codes")
    codes.append(list(header))
    codes.sheet_state = "hidden"
    listed = book.create_sheet(sheet)
    if above:
        listed.cell(row=1, column=1, value="ECM members, for Throughline only")
    for number, cells in enumerate((header, *rows), start=above + 1):
        for column, value in enumerate(cells, start=1):
            cell = listed.cell(row=number, column=column, value=value)
            if isinstance(value, date):
                cell.number_format = "m/d/yyyy"
            if header[column - 1] == "Res Zip":
                cell.number_format = "00000"
    for _ in range(3):
        listed.append(["", None, " "])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def coast(
    n: int,
    *,
    cin: Any = "",
    family: str = "",
    given: str = "",
    born: Any = None,
    phone: Any = None,
    address: str = "",
    tier: Any = 2,
    status: str = "Assigned",
    effective: Any = date(2026, 3, 1),
    term: Any = None,
) -> list[Any]:
    """The row of the n-th member of Coast Care; what is not said is as it is in the first file."""
    return [
        cin or f"9{n:07d}A", 70_000 + n, family or f"Tidewater{_letters(n)}", given or "Robin",
        born or date(1960, 1, 1 + n % 28), "F", "SPA",
        address or f"{n} Harbor Way", "Seal Beach", "CA", 740 + n, "06059", phone or f"(562) 555-{1000 + n}", None,
        "H" if n == 1 else None, "POF1;POF3", tier, status, effective, term,
    ]  # fmt: skip


def _letters(n: int) -> str:
    return chr(97 + n // 26) + chr(97 + n % 26)


VALLEY_HEADER = (
    "CLIENT INDEX NO;LNAME;FNAME;BIRTH DT;GENDER CD;LANG;ADDR1;CITY NM;ST;ZIP5;CNTY;PHONE;HOMELESS Y/N;FOCUS POP;ACUITY CD;TRAN CD;"
    "ASGN EFF;TERM RSN"
)


def valley(*rows: str) -> bytes:
    """Valley Health's file, as the old program writes it."""
    return "\r\n".join([VALLEY_HEADER, *rows, ";" * 17, ""]).encode("windows-1252")
