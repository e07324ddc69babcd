"""Columns of values as PostgreSQL's binary arrays, packed and unpacked by us: an append sends twenty of them, and the driver's own
way of finding out what each holds took a third of the function calls of a whole command.

The statement names each parameter's type (`%b::bigint[]`), so none is sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
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


def _packer(oid: int, as_bytes: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], Packed]:
    empty = Packed(struct.pack("!iII", 0, 0, oid))

    def pack(values: Sequence[Any]) -> Packed:
        if not values:
            return empty
        parts = [b""]
        nulls = 0
        for value in values:
            if value is None:
                nulls = 1
                parts.append(_NULL)
            else:
                item = as_bytes(value)
                parts += (_LENGTH(len(item)), item)
        parts[0] = _HEAD.pack(1, nulls, oid, len(values), 1)
        return Packed(b"".join(parts))

    return pack


integers = _packer(INTEGER, struct.Struct("!i").pack)
bigints = _packer(BIGINT, struct.Struct("!q").pack)
booleans = _packer(BOOLEAN, lambda yes: b"\x01" if yes else b"\x00")
texts = _packer(TEXT, lambda text: text.encode())
uuids = _packer(UUID_, lambda id: id.bytes)
byteas = _packer(BYTEA, bytes)
timestamps = _packer(TIMESTAMPTZ, timestamp)
dates = _packer(DATE, lambda day: _LENGTH(day.toordinal() - _EPOCH_DAY))


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


_SIZED_BIGINT = struct.Struct("!iq")
_SIZED_INTEGER = struct.Struct("!ii")
