"""Keyed names for what may not be written down: HMACs of CINs, record numbers, names and visits, and the stream ids made of them.

Without the key from the environment nobody can try all CINs against a stored value (design.md 2). Every name is separated by its
kind, so that no value of one kind can pass for another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, cast
from uuid import UUID

from domain.core import StreamId
from eventlog.ids import named_id
from intake.reading.identifiers import name_key, phone_key

_BLOCK_BYTES: Final = 64
_NAMESPACE: Final = UUID("6f2d3c0e-6b8b-5b6e-9a55-0c4a6f1d7e21")


@dataclass(frozen=True, slots=True)
class IdentityKeys:
    """Makes keyed names. `index_key` is THROUGHLINE_INDEX_KEY's 32 bytes."""

    index_key: bytes
    _inner: Any = field(init=False, repr=False, compare=False)
    _outer: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert len(self.index_key) == 32
        # HMAC (RFC 2104) with the key's own two blocks hashed once: a message is digested a dozen times.
        block = self.index_key.ljust(_BLOCK_BYTES, b"\0")
        object.__setattr__(self, "_inner", hashlib.sha256(bytes(byte ^ 0x36 for byte in block)))
        object.__setattr__(self, "_outer", hashlib.sha256(bytes(byte ^ 0x5C for byte in block)))

    def __repr__(self) -> str:
        return "IdentityKeys(…)"

    def digest(self, kind: str, *parts: str) -> bytes:
        """The HMAC of some values; each is preceded by its length, so that no two lists run into one."""
        said = kind.encode() + b"".join([len(p).to_bytes(4, "big") + p for p in map(str.encode, parts)])
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(said)
        outer.update(inner.digest())
        return cast("bytes", outer.digest())

    def cin(self, cin: str) -> bytes:
        return self.digest("cin", cin)

    def cin_claim(self, cin: str) -> StreamId:
        """The claim stream that keeps one person one member."""
        return f"claim-{self.cin(cin).hex()}"

    def record_number(self, authority: str, number: str) -> bytes:
        return self.digest("mrn", authority, number)

    def name_and_birth_date(self, family_name: str, birth_date: date) -> bytes:
        return self.digest("name+birth_date", name_key(family_name), birth_date.isoformat())

    def hints(self, family_name: str, given_name: str, birth_date: date | None, phones: Iterable[str]) -> tuple[bytes, ...]:
        """Under what somebody may be found who is meant, though something is written otherwise: never a proof of anything."""
        family, given = name_key(family_name), name_key(given_name)
        found = [self.digest("phone", key) for phone in phones if (key := phone_key(phone))]
        if given and birth_date is not None:
            found.append(self.digest("given+birth_date", given, birth_date.isoformat()))
        if family and given:
            found.append(self.digest("names", family, given))
        return tuple(found)

    def pair(self, *keys: bytes) -> str:
        """The name of what speaks for two members' being one person: the same for the same numbers."""
        return self.digest("pair", *(key.hex() for key in sorted(keys))).hex()[:16]

    def member(self, cin: str) -> StreamId:
        """The stream of a person who is registered under this CIN for the first time: the same however often it is tried."""
        return f"member-{named_id(_NAMESPACE, 'member' + self.cin(cin).hex())}"

    def stay(self, scope: str, visit: str) -> StreamId:
        """The stream of one hospital stay."""
        return f"stay-{named_id(_NAMESPACE, 'stay' + self.digest('visit', scope, visit.strip().upper()).hex())}"

    def contact_point(self, member: StreamId, kind: str, value: str) -> str:
        """The id of a contact point: the same for the same value of the same member."""
        plain = (phone_key(value) or value.strip()) if kind == "phone" else " ".join(value.split()).casefold()
        return str(named_id(_NAMESPACE, self.digest("contact", member, kind, plain).hex()))

    def command(self, inbox_id: UUID, what: str) -> UUID:
        """The id of a command that a message leads to: the same at every attempt."""
        return named_id(inbox_id, what)

    def episode(self, inbox_id: UUID) -> StreamId:
        """The stream of the episode that a row of a file opens."""
        return f"episode-{named_id(inbox_id, 'episode')}"
