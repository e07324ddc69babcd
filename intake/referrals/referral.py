"""Reads what somebody says who refers a person: one JSON object, or one row of a file (domain.md 2.12). Nothing is looked up here.

The form is the same over the API, on the command line and in a file; a FHIR ServiceRequest is read by `service_request` and says
the same. What cannot be read names the field, the reason and the remedy, and never the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from domain.episode.referrals import ReferralSource, Urgency
from domain.staff.facts import OFFICE_ZONE
from intake.files.memberfile import RowProblem, dialled, read_date
from intake.files.tables import HEADER_WITHIN_ROWS, FileRefused, tables_of
from intake.reading.faults import fault_of
from intake.reading.identifiers import CinProblem, cin_of, name_key, phone_key, plausible_birth_date
from intake.reading.notification import MemberKeys

REFERRAL_PARSER: Final = "referral/1"
ROWS_MAX: Final = 20_000
POPULATIONS_MAX: Final = 20

Line = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True)]
Plan = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]

EXAMPLE: Final[dict[str, Any]] = {
    "id": "SB-2026-0117",
    "plan": "default",
    "source": "hospital",
    "organisation": "St. Brendan Medical Center",
    "referred_by": "Dr. Amara Osei",
    "reason": "Third emergency visit in two months, no fixed address",
    "urgency": "routine",
    "populations": ["2a"],
    "person": {
        "cin": "91234567A", "family_name": "Okafor", "given_name": "Ines", "birth_date": "1961-07-09", "phone": "+14155550142",
    },
}  # fmt: skip


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonForm(_Form):
    """Who is referred. Without a CIN the referral waits until somebody says who it is."""

    family_name: Line = Field(min_length=1)
    given_name: Line = ""
    birth_date: date
    cin: Annotated[str, StringConstraints(max_length=20)] = Field("", description="Nine characters, or what stands on the card")
    sex: Annotated[str, StringConstraints(max_length=20)] = ""
    phone: Annotated[str, StringConstraints(max_length=40)] = ""
    language: Annotated[str, StringConstraints(max_length=35)] = ""

    @field_validator("cin")
    @classmethod
    def _cin_is_one(cls, said: str) -> str:
        found = cin_of(said) if said.strip() else ""
        if isinstance(found, CinProblem):
            raise ValueError(f"{found.because}; correct it, or leave it out")
        return found

    @field_validator("family_name")
    @classmethod
    def _name_has_letters(cls, said: str) -> str:
        if not name_key(said):
            raise ValueError("it has no letters; say the person's last name")
        return said


class ReferralForm(_Form):
    """One referral. `id`: the referrer's own; the same one again is the same referral. `received_at`: when it came, where that was
    before now (on paper, by phone)."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    plan: Plan
    source: ReferralSource
    person: PersonForm
    id: Annotated[str, StringConstraints(max_length=100, strip_whitespace=True)] = ""
    organisation: Line = ""
    referred_by: Line = ""
    reason: Words = ""
    urgency: Urgency = Urgency.ROUTINE
    populations: Annotated[tuple[Code, ...], Field(max_length=POPULATIONS_MAX)] = ()
    received_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundReferral:
    """What a referral says, however it was written. Personal data: sealed or in memory, nowhere else. `withdrawn`: an earlier one
    of the same id is taken back."""

    person: MemberKeys
    plan: str
    source: ReferralSource
    external_id: str = ""
    organisation: str = ""
    referred_by: str = ""
    reason: str = ""
    urgency: Urgency = Urgency.ROUTINE
    populations: tuple[str, ...] = ()
    received_at: datetime | None = None
    phone: str = ""
    language: str = ""
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Faulty:
    """What is wrong with a referral that cannot be taken."""

    problems: tuple[RowProblem, ...]


def read_form(raw: bytes, received_on: date, line: int = 0) -> InboundReferral | Faulty:
    """What a JSON object says."""
    try:
        form = ReferralForm.model_validate_json(raw)
    except ValidationError as wrong:
        return Faulty(tuple(problems_of(wrong, line)))
    said = form.person
    if not plausible_birth_date(said.birth_date, received_on):
        return Faulty((RowProblem(line, "person.birth_date", "nobody can be born then", "correct the birth date"),))
    person = MemberKeys(
        cins=(said.cin,) if said.cin else (),
        family_name=said.family_name,
        given_name=said.given_name,
        birth_date=said.birth_date,
        sex=said.sex.upper()[:1],
        phone=phone_key(said.phone),
    )
    return InboundReferral(
        person=person, plan=form.plan, source=form.source, external_id=form.id, organisation=form.organisation,
        referred_by=form.referred_by, reason=form.reason, urgency=form.urgency, populations=form.populations,
        received_at=form.received_at, phone=dialled(said.phone) if said.phone else "", language=said.language,
    )  # fmt: skip


def problems_of(wrong: ValidationError, line: int = 0) -> Iterator[RowProblem]:
    """Each mistake by its field; the values stay out."""
    for error in wrong.errors(include_input=False, include_url=False):
        found = fault_of(error)
        where = found.field or "referral"
        remedy = found.remedy if error["type"] in ("value_error", "extra_forbidden") else REMEDIES.get(where, found.remedy)
        yield RowProblem(line, where, found.fault, remedy)


REMEDIES: Final = {
    "referral": "send one JSON object",
    "plan": "name the health plan in small letters, such as default",
    "source": f"write one of {', '.join(ReferralSource)}",
    "urgency": f"write one of {', '.join(Urgency)}",
    "person.birth_date": "write it as 1961-07-09",
    "person.family_name": "say the person's last name",
    "received_at": "write it with its zone, such as 2026-11-20T10:00-08:00",
}

# --- a file of them --------------------------------------------------------------------------------------------------------------

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("referralid", "referralnumber"),
    "plan": ("planid", "healthplan"),
    "source": ("referralsource", "referrersource"),
    "organisation": ("organization", "agency", "facility", "referringorganization"),
    "referred_by": ("referredby", "referrer", "referringprovider"),
    "reason": ("referralreason", "notes"),
    "urgency": ("priority",),
    "populations": ("pof", "populationoffocus", "populationsoffocus"),
    "received_on": ("referraldate", "dateofreferral", "receivedon", "date"),
    "cin": ("membercin", "clientindexnumber", "medicalid"),
    "family_name": ("lastname", "last", "surname", "familyname"),
    "given_name": ("firstname", "first", "givenname"),
    "birth_date": ("dob", "dateofbirth", "birthdate"),
    "sex": ("gender",),
    "phone": ("phonenumber", "telephone"),
    "language": ("preferredlanguage", "spokenlanguage"),
}
"""What the columns of a file of referrals may be called, blanks, case and punctuation aside."""

REQUIRED: Final = ("source", "family_name", "birth_date")
OF_THE_PERSON: Final = ("cin", "family_name", "given_name", "birth_date", "sex", "phone", "language")
_DATES: Final = ("iso", "us")


@dataclass(frozen=True, slots=True)
class ReferralRow:
    """A row of a file as the JSON object that it stands for; `number` is the sheet's own."""

    number: int
    form: Mapping[str, Any] = field(default_factory=dict)


def read_rows(raw: bytes, plan: str) -> tuple[ReferralRow, ...]:
    """The rows of a CSV file or of a workbook's first sheet with the columns; `plan` is for rows that name none. Raises
    FileRefused."""
    for table in tables_of(raw, lambda cells: sum(_column(cell) != "" for cell in cells)):
        for at, (_, cells) in enumerate(table.rows[:HEADER_WITHIN_ROWS]):
            names = [_column(cell) for cell in cells]
            if all(column in names for column in REQUIRED):
                rows = table.rows[at + 1 :]
                if len(rows) > ROWS_MAX:
                    raise FileRefused(f"the file has more than {ROWS_MAX} rows; send it in parts")
                return tuple(_row(number, dict(zip(names, map(str.strip, said), strict=False)), plan) for number, said in rows)
    raise FileRefused(f"the file has no row that names the columns {', '.join(REQUIRED)}; the row above the referrals names them")


def _row(number: int, cells: Mapping[str, str], plan: str) -> ReferralRow:
    said = {name: cell for name, cell in cells.items() if name and cell}
    person = {name: said[name] for name in OF_THE_PERSON if name in said}
    if (born := read_date(said.get("birth_date", ""), _DATES)) is not None:
        person["birth_date"] = born.isoformat()
    form: dict[str, Any] = {name: said[name] for name in ("id", "organisation", "referred_by", "reason") if name in said}
    form |= {"plan": said.get("plan", plan), "source": _word(said.get("source", "")), "person": person}
    if "urgency" in said:
        form["urgency"] = _word(said["urgency"])
    if "populations" in said:
        form["populations"] = [part.strip() for part in said["populations"].replace("|", ";").split(";") if part.strip()]
    if "received_on" in said:
        day = read_date(said["received_on"], _DATES)
        noon = datetime.combine(day, time(12), ZoneInfo(OFFICE_ZONE)) if day is not None else None
        form["received_at"] = noon.isoformat() if noon is not None else said["received_on"]
    return ReferralRow(number, form)


def _word(text: str) -> str:
    return "_".join(text.strip().casefold().replace("-", " ").split())


def _column(header: str) -> str:
    plain = "".join(c for c in header.casefold() if c.isalnum())
    return next((name for name, called in COLUMNS.items() if plain == name.replace("_", "") or plain in called), "")
