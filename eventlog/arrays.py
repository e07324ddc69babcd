"""Columns of values as PostgreSQL's binary arrays, packed and unpacked by us: an append sends twenty of them, and the driver's own
way of finding out what each holds took a third of the function calls of a whole command.

The statement names each parameter's type (`%b::bigint[]`), so none is sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_HEAD = struct.Struct("!iIIii")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_MICROSECONDS = struct.Struct("!q").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts instants and days."""

_EPOCH_DAY = _EPOCH.toordinal()

BOOLEAN, BYTEA, BIGINT, INTEGER, TEXT, DATE, TIMESTAMPTZ, UUID_ = 16, 17, 20, 23, 25, 1082, 1184, 2950
"""The types' object ids: fixed for ever in PostgreSQL's catalog."""


class Packed(bytes):
    """An array as it goes over the wire."""


class PackedDumper(Dumper):
    """Sends what is packed already."""

    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        return obj


def timestamp(at: datetime) -> bytes:
    """An instant as it goes over the wire."""
    since = at - _EPOCH
    return _MICROSECONDS((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def teach(adapters: AdaptersMap) -> None:
    """Let a connection take packed arrays."""
    adapters.register_dumper(Packed, PackedDumper)


def _packer(oid: int, sized: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], Packed]:
    """Packs arrays of a type, of which `sized` gives a value with its length before it."""
    empty = Packed(struct.pack("!iII", 0, 0, oid))

    def pack(values: Sequence[Any]) -> Packed:
        if not values:
            return empty
        nulls = None in values
        items = [_NULL if value is None else sized(value) for value in values] if nulls else map(sized, values)
        return Packed(_HEAD.pack(1, nulls, oid, len(values), 1) + b"".join(items))

    return pack


def _packer_of_bytes(oid: int, plain: Callable[[Any], bytes] | None) -> Callable[[Sequence[Any]], Packed]:
    """Packs arrays of a type whose values differ in length; `plain` gives the bytes of one, None: it is bytes already. Nothing of
    ours is called for a single value: an append packs hundreds."""
    empty = Packed(struct.pack("!iII", 0, 0, oid))

    def pack(values: Sequence[Any]) -> Packed:
        if not values:
            return empty
        if None in values:
            found = [None if value is None else value if plain is None else plain(value) for value in values]
            items = [_NULL if value is None else _LENGTH(len(value)) + value for value in found]
            return Packed(_HEAD.pack(1, True, oid, len(values), 1) + b"".join(items))
        items = [_LENGTH(len(value)) + value for value in (values if plain is None else map(plain, values))]
        return Packed(_HEAD.pack(1, False, oid, len(values), 1) + b"".join(items))

    return pack


_SIZED_INTEGER = struct.Struct("!ii")
_SIZED_BIGINT = struct.Struct("!iq")

integers = _packer(INTEGER, partial(_SIZED_INTEGER.pack, 4))
bigints = _packer(BIGINT, partial(_SIZED_BIGINT.pack, 8))
booleans = _packer(BOOLEAN, {False: _LENGTH(1) + b"\x00", True: _LENGTH(1) + b"\x01"}.__getitem__)
texts = _packer_of_bytes(TEXT, str.encode)
uuids = _packer_of_bytes(UUID_, attrgetter("bytes"))
packed_uuids = _packer_of_bytes(UUID_, None)
"""Ids that are bytes already."""

byteas = _packer_of_bytes(BYTEA, None)
timestamps = _packer(TIMESTAMPTZ, lambda at: _LENGTH(8) + timestamp(at))
dates = _packer(DATE, lambda day: _SIZED_INTEGER.pack(4, day.toordinal() - _EPOCH_DAY))


def bigints_of(array: bytes) -> tuple[int, ...]:
    """The values of a packed array of which none is NULL; so the two below."""
    return tuple(value for _, value in _SIZED_BIGINT.iter_unpack(array[_HEAD.size :]))


def integers_of(array: bytes) -> tuple[int, ...]:
    return tuple(value for _, value in _SIZED_INTEGER.iter_unpack(array[_HEAD.size :]))


def texts_of(array: bytes) -> tuple[str, ...]:
    found, at = [], _HEAD.size
    while at < len(array):
        size = int.from_bytes(array[at : at + 4], "big")
        found.append(array[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return tuple(found)
