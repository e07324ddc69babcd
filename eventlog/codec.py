"""Facts to bytes and back: the envelope, the sealed part, the hash.

A fact's body is JSON with its fields in the order of the class. Fields declared `personal()` leave the body: they are sealed with
the person's own key, bound to the event's id. What surrounds a fact (times, actor, causation, policy version, tags) is its meta.
The codec knows facts by the catalog's stable names only, never by Python paths.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.core import Fact, Recorded, personal_fields
from eventlog.keys import NONCE_BYTES, CannotUnwrap
from eventlog.recorder import EventRow
from eventlog.upcasts import STEPS, Step, upcast

FIRST_PREVIOUS = bytes(32)
"""What the first event of a stream is chained to."""

BODY_BYTES_MAX = 256 * 1024
"""Of a fact's body, and of its sealed part: a policy file must fit, a scanned letter must not."""

SELF_SEALED = frozenset({"member", "staff"})
"""Streams whose own id names the key that seals their facts."""


class NamedFact(Protocol):
    """What the codec needs of a catalog entry."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def type(self) -> type[Fact]: ...


class Ciphers(Protocol):
    """What the codec needs of the keys: `eventlog.keys.KeyRing`."""

    def to_seal(self, key_id: str) -> AESGCM: ...
    def to_unseal(self, key_id: str) -> AESGCM | None: ...
    def fetch(self, key_ids: Iterable[str]) -> None: ...


class UnknownFact(Exception):
    """The log holds a fact that this program does not know, or cannot read. Reading stops: to skip it would be to lie."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What surrounds a fact. `key` names the sealing key where that is not the stream itself."""

    occurred_at: datetime
    recorded_at: datetime
    actor: str
    said_at: datetime | None = None
    command_id: str | None = None
    message_id: str | None = None
    causation: str | None = None
    correlation: str | None = None
    trace: str | None = None
    policy: str | None = None
    tags: tuple[str, ...] = ()
    key: str | None = None


class _Told(msgspec.Struct, frozen=True, gc=False):
    """What a fold is told of a fact's meta; the rest is passed over."""

    occurred_at: datetime
    recorded_at: datetime
    actor: str
    said_at: datetime | None = None
    message_id: str | None = None
    key: str | None = None


class StoredFact(NamedTuple):
    """A fact with everything that is stored around it. `erased`: it had personal data whose key was destroyed since."""

    recorded: Recorded
    name: str
    schema_version: int
    meta: Meta
    hash: bytes
    erased: bool = False


class Codec:
    """Encodes and decodes the facts of one catalog. Thread-safe."""

    def __init__(self, facts: Sequence[NamedFact], ciphers: Ciphers, *, steps: Mapping[tuple[str, int], Step] = STEPS) -> None:
        self._ciphers = ciphers
        self._steps = steps
        self._by_type: dict[type, _Shape] = {}
        self._by_name: dict[str, _Shape] = {}
        for entry in facts:
            missing = [v for v in range(1, entry.version) if (entry.name, v) not in steps]
            assert not missing, f"{entry.name}: no step in upcasts.py from version {missing[0]}"
            personal = personal_fields(entry.type)
            shape = _Shape(
                entry.name,
                entry.version,
                entry.type,
                _keys(f.name for f in fields(entry.type) if f.name not in personal),  # type: ignore[arg-type]
                _keys(personal),
                msgspec.json.Decoder(entry.type).decode,
            )
            assert entry.type not in self._by_type and entry.name not in self._by_name, f"{entry.name} stands twice in the catalog"
            self._by_type[entry.type] = self._by_name[entry.name] = shape

    def name_of(self, fact: Fact) -> str:
        return self._by_type[type(fact)].name

    def is_sealed(self, fact: Fact) -> bool:
        """Whether the fact says something personal."""
        return any(getattr(fact, name) is not None for name, _ in self._by_type[type(fact)].personal)

    def parts(self, fact: Fact) -> tuple[bytes, bytes | None]:
        """The fact's body, and what is to be sealed of it (None when nothing personal is said), both in the clear."""
        return self._by_type[type(fact)].split(fact)

    def assembled(self, name: str, version: int, body: bytes, secret: bytes | None) -> Fact:
        """The fact of a body and of what was sealed, brought to the current version. Raises UnknownFact."""
        shape = self._by_name.get(name)
        if shape is None or not 1 <= version <= shape.version:
            raise UnknownFact(f"{name} v{version}: a newer program wrote it, or its name left the catalog")
        if secret is not None:
            body = spliced(body, secret)
        try:
            if version == shape.version:
                fact: Fact = shape.decode(body)
                return fact
            upcasted = upcast(name, version, shape.version, msgspec.json.decode(body), self._steps)
            return msgspec.convert(upcasted, shape.type)
        except _UNREADABLE:
            raise UnknownFact(f"{name} v{version}: {_OTHER_FIELDS}") from None

    def encode(
        self, fact: Fact, *, stream: str, version: int, event_id: UUID, meta: Meta, key_id: str | None, previous: bytes
    ) -> EventRow:
        """The row of a new event, chained to the hash of the one before it in its stream.

        `key_id` names the key of the person whom a sealed fact concerns. Raises keys.Erased, keys.CannotUnwrap.
        """
        shape = self._by_type[type(fact)]
        body, secret = shape.split(fact)
        sealed = None
        if secret is not None:
            assert key_id, f"{shape.name} says something personal; whose it is must be known"
            nonce = os.urandom(NONCE_BYTES)
            sealed = nonce + self._ciphers.to_seal(key_id).encrypt(nonce, secret, event_id.bytes)
            if key_id != stream:
                meta = msgspec.structs.replace(meta, key=key_id)
        assert len(body) <= BODY_BYTES_MAX and (sealed is None or len(sealed) <= BODY_BYTES_MAX), f"{shape.name} is too large"
        meta_bytes = _encode(meta)
        name = shape.name
        digest = chained(previous, stream, version, name, shape.version, str(event_id), body, sealed, meta_bytes)
        return EventRow(stream, version, name, shape.version, event_id, body, sealed, meta_bytes, digest)

    def decode(self, row: Sequence[Any]) -> Recorded:
        """The fact of a row (position, stream, version, name, schema_version, event_id as text, body, sealed, meta, hash)."""
        return self.decode_all((row,))[0]

    def decode_all(self, rows: Sequence[Sequence[Any]]) -> list[Recorded]:
        """The facts of rows. Brings the keys that they need into the cache, at once."""
        return self._recorded(rows, list(map(_decode_told, [row[8] for row in rows])))

    def decode_stored(self, row: Sequence[Any]) -> StoredFact:
        """The fact of a row with all that is stored around it."""
        meta = _decode_meta(row[8])
        erased = row[7] is not None and self._ciphers.to_unseal(meta.key or row[1]) is None
        return StoredFact(self._recorded((row,), (meta,))[0], row[3], row[4], meta, row[9], erased)

    def fetch_keys(self, rows: Iterable[Sequence[Any]]) -> None:
        """Bring the keys that a batch of rows needs into the cache, at once."""
        self._ciphers.fetch({_decode_told(row[8]).key or row[1] for row in rows if row[7] is not None})

    def _recorded(self, rows: Sequence[Sequence[Any]], metas: Sequence[Meta | _Told]) -> list[Recorded]:
        """One pass in which nothing is called for a fact that C does not do: a load makes thousands."""
        ciphers = self._ciphers_of({meta.key or row[1] for row, meta in zip(rows, metas, strict=True) if row[7] is not None})
        by_name, found = self._by_name, []
        for row, meta in zip(rows, metas, strict=True):
            position, stream, version, name, schema_version, event_id, body, sealed, _, _ = row
            if sealed is not None and (cipher := ciphers[meta.key or stream]) is not None:
                try:
                    secret = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _id_bytes(event_id))
                except InvalidTag:
                    raise CannotUnwrap(f"the sealed part of the event at position {position} does not open with its key") from None
                body = spliced(body, secret)
            shape = by_name.get(name)
            try:
                if shape is not None and schema_version == shape.version:
                    fact = shape.decode(body)
                else:
                    fact = self.assembled(name, schema_version, body, None)
            except (UnknownFact, *_UNREADABLE) as error:
                reason = error if isinstance(error, UnknownFact) else f"{name} v{schema_version}: {_OTHER_FIELDS}"
                raise UnknownFact(f"the event at position {position} cannot be read: {reason}") from None
            found.append(Recorded(
                fact, event_id, stream, version, position,
                meta.occurred_at, meta.said_at, meta.recorded_at, meta.actor, meta.message_id,
            ))  # fmt: skip
        return found

    def _ciphers_of(self, key_ids: set[str]) -> dict[str, AESGCM | None]:
        """The ciphers of these keys; None for those that were destroyed."""
        if len(key_ids) > 1:
            self._ciphers.fetch(key_ids)
        return {key_id: self._ciphers.to_unseal(key_id) for key_id in key_ids}


def chained(
    previous: bytes,
    stream: str,
    version: int,
    name: str,
    schema_version: int,
    event_id: str,
    body: bytes,
    sealed: bytes | None,
    meta: bytes,
) -> bytes:
    """An event's hash: over its predecessor's, then each part with its length before it. Position is left out, and what is sealed
    enters as it is stored, so the chain outlives both a renumbering and the destruction of a key."""
    digest = hashlib.sha256(previous)
    for part in (
        stream.encode(),
        str(version).encode(),
        f"{name} v{schema_version}".encode(),
        event_id.encode(),
        hashlib.sha256(body).digest(),
        hashlib.sha256(sealed or b"").digest(),
        hashlib.sha256(meta).digest(),
    ):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def spliced(body: bytes, secret: bytes) -> bytes:
    """One JSON object out of two that share no field: decoded in one pass, without a dict in between."""
    if body == b"{}":
        return secret
    return body[:-1] + b"," + secret[1:]


def _id_bytes(event_id: str) -> bytes:
    return bytes.fromhex(event_id.replace("-", ""))


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one fact class is written and read. `open` and `personal` are its fields with their keys in JSON."""

    name: str
    version: int
    type: type[Fact]
    open: tuple[tuple[str, bytes], ...]
    personal: tuple[tuple[str, bytes], ...]
    decode: Callable[[bytes], Any]

    def split(self, fact: Fact) -> tuple[bytes, bytes | None]:
        """The body, and what is to be sealed (None when nothing personal is said)."""
        if not self.personal:
            return _encode(fact), None
        secret = [(key, value) for name, key in self.personal if (value := getattr(fact, name)) is not None]
        return _joined((key, getattr(fact, name)) for name, key in self.open), _joined(secret) if secret else None


def _joined(members: Iterable[tuple[bytes, Any]]) -> bytes:
    """A JSON object with its members in this order."""
    return b"{" + b",".join([key + _encode(value) for key, value in members]) + b"}"


def _keys(names: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, _encode(name) + b":") for name in names)


_encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic").encode
_decode_meta = msgspec.json.Decoder(Meta).decode
_decode_told = msgspec.json.Decoder(_Told).decode

_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError)
_OTHER_FIELDS = "its fields are not those of its class"
