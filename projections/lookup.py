"""Finding a member by name, number or birth date, where none of these may be written down: keyed digests only.

A name is looked up by the digest of its first letters; whoever searches unseals the candidates and compares the rest in memory.
This is the one read model whose fold sees personal data, and its rows hold none.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass, replace

from domain.member.facts import IdentityCorrected, MemberRegistered, PersonalDataErased
from eventlog.codec import StoredFact
from projections.model import ReadModel

NAME_LETTERS = 3
"""How many first letters of a name are looked up: enough to narrow down, too few to be a name."""

DIGEST_HEX_LENGTH = 32


@dataclass(frozen=True, slots=True)
class LookupRow:
    """`key` is the member's stream. Each digest is empty where nothing is known."""

    key: str
    cin: str = ""
    birth_date: str = ""
    family: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


def digest(index_key: bytes, kind: str, value: str) -> str:
    """The keyed digest under which a value of a kind (cin, birth_date, name) is looked up; empty for an empty value."""
    if not value:
        return ""
    return hmac.digest(index_key, f"search|{kind}|{value}".encode(), hashlib.sha256).hex()[:DIGEST_HEX_LENGTH]


def words(name: str) -> tuple[str, ...]:
    """The words of a name, folded: without accents and case, letters only."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).casefold()
    spaced = "".join(c if c.isalpha() else " " for c in plain)
    return tuple(word for word in spaced.split() if word)


def name_digests(index_key: bytes, name: str) -> tuple[str, ...]:
    """The digests of the first letters of each word of a name."""
    return tuple(dict.fromkeys(digest(index_key, "name", word[:NAME_LETTERS]) for word in words(name)))


def normal_cin(text: str) -> str:
    """A CIN as it is compared: blanks and case aside, without what a card adds behind the ninth character."""
    return "".join(text.split()).upper()[:9]


def _keys(stored: StoredFact) -> tuple[str, ...]:
    return (stored.recorded.stream,)


def member_lookup(index_key: bytes) -> ReadModel[LookupRow]:
    """The read model under this key (THROUGHLINE_INDEX_KEY). Another key needs a rebuild, by command."""

    def fold(key: str, row: LookupRow | None, stored: StoredFact) -> LookupRow | None:
        row = row or LookupRow(key)
        match stored.recorded.fact:
            case MemberRegistered() as said:
                row = replace(row, cin=digest(index_key, "cin", normal_cin(said.cin or "")))
                return _named(row, said.family_name, said.given_name, said.birth_date)
            case IdentityCorrected() as said:
                return _named(row, said.family_name, said.given_name, said.birth_date)
            case PersonalDataErased():
                return LookupRow(key)
            case _:
                return row

    def _named(row: LookupRow, family: str | None, given: str | None, birth_date: str | None) -> LookupRow:
        return replace(
            row,
            family=row.family if family is None else name_digests(index_key, family),
            given=row.given if given is None else name_digests(index_key, given),
            birth_date=row.birth_date if birth_date is None else digest(index_key, "birth_date", birth_date),
        )

    return ReadModel(
        name="member_lookup",
        row=LookupRow,
        keys=_keys,
        fold=fold,
        facts=(IdentityCorrected, MemberRegistered, PersonalDataErased),
        indexes=("cin", "birth_date", "USING gin (family)", "USING gin (given)"),
        unseals=True,
    )
