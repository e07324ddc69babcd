"""Each person's data key: made on first use, kept wrapped in a database of its own, destroyed to erase.

The keys' database is not the log's, so a backup of the log alone opens nothing. Two states must never be confused: a key that was
*destroyed* (the person was erased: read on, with nothing where the personal data was) and a key that *cannot be unwrapped* (wrong
master key, lost row, damage: stop, before anything is decided on half of the truth).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from eventlog.recorder import AWAY_ATTEMPTS_MAX, CONNECTION_WAIT_SECONDS, RECONNECT_SECONDS, LogAway

KEY_BYTES = 32
NONCE_BYTES = 12
CACHE_SECONDS = 60.0
"""How long a process may go on using a key that was destroyed elsewhere."""

CACHED_KEYS_MAX = 50_000
AT_HAND_SECONDS = 1.0

_T = TypeVar("_T")

_CREATE = """
CREATE TABLE IF NOT EXISTS data_keys (
    key_id          text        COLLATE "C" NOT NULL PRIMARY KEY,
    wrapped         bytea,
    wrapped_by      text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    destroyed_at    timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
)"""


class CannotUnwrap(Exception):
    """A key that should be there is not usable. Reading has to stop: this is not an erasure."""


class KeysAway(LogAway):
    """The keys' database cannot be reached: to be tried again, like the log itself."""


class Erased(Exception):
    """The key was destroyed: nothing can be sealed for this person any more."""


def master_key(text: str) -> bytes:
    """The master key from its base64 form. Raises ValueError, naming the variable, when it is not 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("THROUGHLINE_MASTER_KEY is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"THROUGHLINE_MASTER_KEY holds {len(key)} bytes; it needs {KEY_BYTES} (openssl rand -base64 32)")
    return key


def create(url: str) -> None:
    """Create the table of wrapped keys in the database at `url`, as its owner. Safe to repeat."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))
        owner.execute("SET client_min_messages = warning")
        owner.execute(_CREATE)


class KeyRing:
    """The data keys, by key id (a member's or staff member's stream id), as ready ciphers. Thread-safe."""

    def __init__(self, url: str, master: bytes, *, pool_max: int = 4, cache_seconds: float = CACHE_SECONDS) -> None:
        assert len(master) == KEY_BYTES and cache_seconds <= CACHE_SECONDS
        self._master = AESGCM(master)
        self._wrapped_by = hashlib.sha256(b"throughline master key" + master).hexdigest()[:16]
        self._cache_seconds = cache_seconds
        self._cache: dict[str, tuple[AESGCM | None, float]] = {}
        self._lock = threading.Lock()
        self._pool: ConnectionPool[psycopg.Connection[TupleRow]] = ConnectionPool(
            url,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=pool_max,
            open=True,
            name="keys",
            timeout=CONNECTION_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
        )

    def close(self) -> None:
        self._pool.close()

    def to_seal(self, key_id: str) -> AESGCM:
        """The cipher to seal a person's data with; the key is made when there is none.

        Raises Erased when it was destroyed, CannotUnwrap when it is there but not usable, KeysAway.
        """
        cipher = self._cached(key_id)
        if cipher is _UNKNOWN:
            cipher = self._fetched((key_id,), make=True)[key_id]
        if cipher is None:
            raise Erased(key_id)
        assert isinstance(cipher, AESGCM)
        return cipher

    def to_unseal(self, key_id: str) -> AESGCM | None:
        """The cipher to read a person's data with; None when the key was destroyed. Raises CannotUnwrap in every other
        case, KeysAway."""
        cipher = self._cached(key_id)
        if cipher is _UNKNOWN:
            cipher = self._fetched((key_id,))[key_id]
        assert cipher is None or isinstance(cipher, AESGCM)
        return cipher

    def at_hand(self, key_id: str) -> bool:
        """Whether `to_seal` answers at once, and still will in a moment."""
        found = self._cache.get(key_id)
        return found is not None and found[0] is not None and found[1] > time.monotonic() + AT_HAND_SECONDS

    def fetch(self, key_ids: Iterable[str]) -> None:
        """Bring the keys into the cache, in one query: before a batch is read."""
        wanted = {k for k in key_ids if self._cached(k) is _UNKNOWN}
        if wanted:
            self._fetched(wanted)

    def make(self, key_ids: Iterable[str]) -> None:
        """Make the keys that there are not, and bring all into the cache, in two queries: before many people are written of for the
        first time. A key that was destroyed stays so."""
        wanted = {k for k in key_ids if self._cached(k) is _UNKNOWN}
        if wanted:
            self._fetched(wanted, make=True)

    def _fetched(self, key_ids: Iterable[str], *, make: bool = False) -> dict[str, AESGCM | None]:
        wanted = sorted(key_ids)
        rows = self._again_while_away(lambda conn: self._rows(conn, wanted, make=make))
        missing = sorted(set(wanted) - {row[0] for row in rows})
        if missing:
            raise CannotUnwrap(f"no key and no record of its destruction for {missing[0]}: restore the keys' database")
        ciphers = {row[0]: self._unwrapped(*row) for row in rows}
        good_until = time.monotonic() + self._cache_seconds
        with self._lock:
            if len(self._cache) + len(ciphers) > CACHED_KEYS_MAX:
                self._cache.clear()
            self._cache.update((key_id, (cipher, good_until)) for key_id, cipher in ciphers.items())
        return ciphers

    def not_destroyed(self, key_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of the keys that no tombstone stands for, whether or not there is such a key. Raises KeysAway."""
        wanted = sorted(set(key_ids))
        if not wanted:
            return ()
        query = "SELECT key_id FROM data_keys WHERE key_id = ANY(%s) AND destroyed_at IS NOT NULL"
        rows = self._again_while_away(lambda conn: conn.execute(query, (wanted,)).fetchall())
        return tuple(sorted(set(wanted) - {row[0] for row in rows}))

    def destroy(self, key_id: str) -> None:
        """Erase: what was sealed with this key is unreadable from now on, for ever. A tombstone keeps the key from coming back.

        Raises KeysAway.
        """
        self._again_while_away(
            lambda conn: conn.execute(
                "INSERT INTO data_keys (key_id, wrapped, wrapped_by, destroyed_at) VALUES (%s, NULL, %s, clock_timestamp())"
                " ON CONFLICT (key_id) DO UPDATE SET wrapped = NULL, destroyed_at = clock_timestamp()"
                " WHERE data_keys.destroyed_at IS NULL",
                (key_id, self._wrapped_by),
            )
        )
        self.forget(key_id)

    def forget(self, key_id: str) -> None:
        """Drop a key from this process's cache."""
        with self._lock:
            self._cache.pop(key_id, None)

    def _rows(self, conn: psycopg.Connection[TupleRow], key_ids: list[str], *, make: bool) -> list[TupleRow]:
        query = "SELECT key_id, wrapped, wrapped_by FROM data_keys WHERE key_id = ANY(%s)"
        rows = conn.execute(query, (key_ids,)).fetchall()
        if not make or len(rows) == len(key_ids):
            return rows
        new = sorted(set(key_ids) - {row[0] for row in rows})  # in one order for everybody: no two makers wait for each other
        conn.execute(
            "INSERT INTO data_keys (key_id, wrapped, wrapped_by)"
            " SELECT k.id, k.wrapped, %s FROM unnest(%s::text[], %s::bytea[]) AS k (id, wrapped) ON CONFLICT DO NOTHING",
            (self._wrapped_by, new, [self._wrap(key_id, AESGCM.generate_key(KEY_BYTES * 8)) for key_id in new]),
        )
        return conn.execute(query, (key_ids,)).fetchall()

    def _again_while_away(self, act: Callable[[psycopg.Connection[TupleRow]], _T]) -> _T:
        """Do it, again after a pause when the connection was lost. Every act here bears repetition."""
        for attempt in range(1, AWAY_ATTEMPTS_MAX + 1):
            try:
                with self._pool.connection() as conn:
                    return act(conn)
            except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
                if attempt == AWAY_ATTEMPTS_MAX or isinstance(lost, PoolTimeout):
                    raise KeysAway(f"the keys' database cannot be reached ({type(lost).__name__}): see KEYS_DATABASE_URL") from None
                self._pool.check()
                time.sleep(min(1.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def _cached(self, key_id: str) -> Any:
        found = self._cache.get(key_id)
        if found is None or found[1] < time.monotonic():
            return _UNKNOWN
        return found[0]

    def _wrap(self, key_id: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, key, key_id.encode())

    def _unwrapped(self, key_id: str, wrapped: bytes | None, wrapped_by: str) -> AESGCM | None:
        if wrapped is None:
            return None
        if wrapped_by != self._wrapped_by:
            raise CannotUnwrap(f"the key of {key_id} was wrapped by another master key: see THROUGHLINE_MASTER_KEY")
        try:
            return AESGCM(self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_id.encode()))
        except InvalidTag:
            raise CannotUnwrap(f"the wrapped key of {key_id} is damaged: restore the keys' database") from None


_UNKNOWN = object()
_CREATE_LOCK = 0x6B657973
