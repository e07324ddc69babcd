"""The numbers and names by which a person is known in messages and files, brought to one form for comparing.

Comparing is all they are for: what a sender wrote is kept beside them. Nothing here decides who somebody is (matching.py).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

CIN_LETTERS_NEVER: Final = frozenset("BIJKLOPQRS")
"""Letters that no Client Index Number ends with (domain.md 6)."""

CIN_CHARS: Final = 9

_CIN = re.compile(r"9\d{7}[A-Z]")
_CARD_TAIL = re.compile(r"\d(?:\d{4})?")
_BLANKS = re.compile(r"[\s\-\u00a0]+")
_ZIP = re.compile(r"(?<!\d)(\d{5})(?:-?\d{4})?$")
_BEGINS_LIKE_CIN = re.compile(r"[\s\-\u00a0]*9").match
_NOT_DIGITS = re.compile(r"\D")
_NOT_LETTERS = re.compile(r"[^A-Z]+")
_NOBODY: Final = ("UNK", "UNKNOWN")
_SUFFIXES: Final = frozenset({"JR", "SR", "II", "III", "IV"})
BIRTH_YEAR_MIN: Final = 1880
"""An earlier birth date is a sentinel or a slip of the hand."""


@dataclass(frozen=True, slots=True)
class CinProblem:
    """Why a value is no CIN. `because` names what is wrong and never the value."""

    because: str


def cin_of(text: str) -> str | CinProblem:
    """The nine characters of a CIN out of 9, 10 (with check digit) or 14 (a card's number) characters, blanks and case aside."""
    plain = _BLANKS.sub("", text).upper()
    if not plain:
        return CinProblem("it is empty")
    if len(plain) not in (9, 10, 14):
        return CinProblem(f"it has {len(plain)} characters; a CIN has 9, with its check digit 10, on a card 14")
    if not _CIN.fullmatch(plain[:9]):
        return CinProblem("it is not a 9, seven digits and a letter")
    if plain[8] in CIN_LETTERS_NEVER:
        return CinProblem(f"no CIN ends with the letter {plain[8]}")
    if plain[9:] and not _CARD_TAIL.fullmatch(plain[9:]):
        return CinProblem("what follows the nine characters is not a check digit and an issue date")
    return plain[:9]


def cin_in(text: str) -> str | None:
    """The CIN that a value of a message is; None for every other value, and for none at all."""
    if len(text) < CIN_CHARS or _BEGINS_LIKE_CIN(text) is None:  # most are
        return None
    found = cin_of(text)
    return found if isinstance(found, str) else None


def looks_like_cin(text: str) -> bool:
    return cin_in(text) is not None


def name_key(text: str | None) -> str:
    """A name for comparing: upper case, letters only, accents and a trailing suffix dropped. Empty where there is none."""
    if not text:
        return ""
    if text.isascii() and text.isalpha():  # nothing to drop
        key = text.upper()
        return "" if key in _NOBODY else key
    plain = unicodedata.normalize("NFKD", text).upper()
    words = [_NOT_LETTERS.sub("", word) for word in "".join(c for c in plain if not unicodedata.combining(c)).split()]
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    joined = "".join(words)
    return "" if joined in _NOBODY else joined


def names_agree(one: str | None, other: str | None) -> bool | None:
    """Whether two last names are the same; None where one of them is not known.

    A double name agrees with either of its parts (Garcia-Lopez and Lopez): parts of three letters or more only.
    """
    first, second = name_key(one), name_key(other)
    if not first or not second:
        return None
    return first == second or bool(_parts(one) & {second}) or bool(_parts(other) & {first})


def first_names_agree(one: str | None, other: str | None) -> bool | None:
    """Whether two first names can be one person's, as Marisol's and M.'s can; None where one of them is not known."""
    first, second = name_key(one), name_key(other)
    if not first or not second:
        return None
    return first.startswith(second) or second.startswith(first) or names_agree(one, other)


def _parts(name: str | None) -> set[str]:
    words = re.split(r"[\s\-]+", (name or "").strip())
    return {key for word in words if len(words) > 1 and len(key := name_key(word)) >= 3}


def phone_key(text: str | None) -> str:
    """A phone number for comparing: its last ten digits; empty where there are fewer."""
    digits = _NOT_DIGITS.sub("", text or "")
    return digits[-10:] if len(digits) >= 10 else ""


def zip_key(text: str | None) -> str:
    """The five digits of a postal code, in what is one or ends with one; empty where there is none."""
    found = _ZIP.search((text or "").strip())
    return found[1] if found else ""


def plausible_birth_date(day: date, today: date) -> bool:
    """A birth date that somebody can have; a day ahead is allowed for the sake of zones."""
    return day.year >= BIRTH_YEAR_MIN and day <= today + timedelta(days=1)
