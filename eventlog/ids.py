"""Ids that are made of another id and a name, so that the same attempt makes the same id: each event has one, and each command."""

from __future__ import annotations

from hashlib import sha1
from typing import Final
from uuid import UUID

_TAKEN: Final = 0xF000_C000_0000_0000_0000
"""The bits of an id that say how it was made."""

_VERSION_5: Final = 0x5000_8000_0000_0000_0000


def named_id(namespace: UUID, name: str) -> UUID:
    """What `uuid.uuid5` gives, without its detours, which cost as much as the digest."""
    digest = sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16], "big") & ~_TAKEN | _VERSION_5)
