"""A health plan that assigns members: its member file as bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date

from simulation.people import Person

COLUMNS = (
    "CIN", "Last Name", "First Name", "DOB", "Gender", "Language", "Phone", "Email", "Address", "City", "State", "Zip",
    "Assignment Effective Date", "Authorization Start", "Action", "Tier",
)  # fmt: skip
LANGUAGES = {"en": "English", "es": "Spanish", "vi": "Vietnamese", "hmn": "Hmong"}


def member_file(people: Iterable[Person], effective_on: date, authorized_on: date, action: str = "add") -> bytes:
    """A CSV file as a plan would send it: with a byte order mark, a header and one row a member."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for person in people:
        rows.writerow(_row(person, effective_on, authorized_on, action))
    return text.getvalue().encode("utf-8-sig")


def _row(person: Person, effective_on: date, authorized_on: date, action: str) -> tuple[str, ...]:
    return (
        person.cin, person.family_name, person.given_name, person.birth_date.isoformat(), person.sex,
        LANGUAGES.get(person.language, person.language), person.phone, person.email, person.address, person.city, "CA", person.zip,
        effective_on.isoformat(), authorized_on.isoformat(), action, "high" if person.number % 3 == 0 else "",
    )  # fmt: skip
