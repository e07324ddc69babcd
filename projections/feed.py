"""The log as projectors read it: batches in order, each row fetched once and decoded once for all read models.

A rebuild reads by itself: only the facts that its read model wants, the next batch while this one is folded.

Personal data stays sealed: the fold of a read model sees None in those fields, so that no read model can hold any and no outage of
the keys can stop one. Only a read model that says `unseals` is given the facts opened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.core import Fact
from eventlog.codec import Codec, NamedFact, StoredFact, UnknownFact
from eventlog.log import ROW_COLUMNS, Log

_SELECT = f"SELECT {ROW_COLUMNS} FROM log.events WHERE position > %b AND position <= %b"
_QUERY = f"{_SELECT} ORDER BY position LIMIT %b"
_AT = f"SELECT {ROW_COLUMNS} FROM log.events WHERE position = ANY(%b) ORDER BY position"
_POSITION, _STREAM, _VERSION, _NAME = range(4)

_Wish = tuple[frozenset[str] | None, int, int]
"""What a rebuild reads: the names, from where, how much."""

BATCHES_KEPT = 4
"""Read models stand at the same place, or nearly: the next one finds the batch here."""


class _LeaveSealed:
    """Keys that open nothing: what is sealed reads as if it had been erased."""

    def to_seal(self, key_id: str) -> AESGCM:
        raise AssertionError("a read model writes no facts")

    def to_unseal(self, key_id: str) -> AESGCM | None:
        return None

    def fetch(self, key_ids: Iterable[str], *, make: bool = False) -> None:
        return None


@dataclass(slots=True)
class Facts:
    """Rows as facts, in order, each decoded when it is come to and kept by nobody."""

    rows: Sequence[Any]
    decode: Callable[[Sequence[Any]], StoredFact]

    def __iter__(self) -> Iterator[StoredFact]:
        return map(self.decode, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, fact: object) -> bool:
        return any(each == fact for each in self)


@dataclass(slots=True)
class RawBatch:
    """Rows of the log up to `position`. `wanted`: all of them are what one read model asked for. Else they are decoded one by one,
    when a read model asks, and kept for the next."""

    rows: list[Any]
    position: int
    wanted: bool
    _sealed: Codec
    _open: Codec
    _decoded: dict[int, StoredFact] = field(default_factory=dict)
    _opened: dict[int, StoredFact] = field(default_factory=dict)
    _keys_fetched: bool = False

    def facts(self, names: frozenset[str] | None, *, unsealed: bool) -> Collection[StoredFact]:
        """The facts with these names (None: all), in order. Raises UnknownFact, and CannotUnwrap where `unsealed`: now, or as one
        goes through them."""
        rows = self.rows if self.wanted or names is None else [row for row in self.rows if row[_NAME] in names]
        codec = self._open if unsealed else self._sealed
        if unsealed and not self._keys_fetched:
            codec.fetch_keys(rows)
            self._keys_fetched = True
        if self.wanted:
            return Facts(rows, codec.decode_stored)
        kept = self._opened if unsealed else self._decoded
        found = []
        for row in rows:
            fact = kept.get(row[_POSITION])
            if fact is None:
                fact = kept[row[_POSITION]] = codec.decode_stored(row)
            found.append(fact)
        return found


class Feed:
    """Reads the log for the projectors of one process. Not thread-safe: each thread has its own."""

    def __init__(self, log: Log, facts: Sequence[NamedFact]) -> None:
        self.log = log
        self._sealed = Codec(facts, _LeaveSealed())
        self._names = {entry.type: entry.name for entry in facts}
        self._known = frozenset(self._names.values())
        self._kept: OrderedDict[tuple[int, int], RawBatch] = OrderedDict()
        self._ahead: tuple[_Wish, Future[RawBatch]] | None = None
        self._reader = ThreadPoolExecutor(1, "reads-ahead")

    def names(self, facts: Iterable[type[Fact]]) -> frozenset[str] | None:
        """The stable names of fact classes; None for none, which means all."""
        return frozenset(self._names[kind] for kind in facts) or None

    def after(self, position: int, *, limit: int, until: int) -> RawBatch:
        """The rows after a position, up to the watermark `until`. Raises LogAway, UnknownFact."""
        kept = self._kept.get((position, limit))
        if kept is not None and kept.position <= until and (kept.rows or kept.position == until):
            return kept
        if until <= position:
            return self._batch([], position)
        batch = self._read(_QUERY, position, limit, until)
        self._kept[(position, limit)] = batch
        while len(self._kept) > BATCHES_KEPT:
            self._kept.popitem(last=False)
        return batch

    def wanted(self, names: frozenset[str] | None, position: int, *, limit: int, until: int) -> RawBatch:
        """As `after`, but with the facts of these names only, and those that nobody knows, which are an error. The batch that comes
        next is read meanwhile."""
        ahead, self._ahead = self._ahead, None
        if until <= position:
            return self._batch([], position, wanted=True)
        if ahead is not None and ahead[0] == (names, position, limit):
            batch = ahead[1].result()
        else:
            batch = self._read_wanted(names, position, limit, until)
        if batch.position < until and batch.rows:
            following = self._reader.submit(self._read_wanted, names, batch.position, limit, until)
            self._ahead = ((names, batch.position, limit), following)
        return batch

    def _read_wanted(self, names: frozenset[str] | None, position: int, limit: int, until: int) -> RawBatch:
        """What is not wanted is left out by PostgreSQL. The names are those of the catalog, written out: so they are looked up in a
        hash and not one after another."""
        unwanted = ",".join(f'"{name}"' for name in sorted(self._known - (names or self._known)))
        query = f"{_SELECT} AND name <> ALL ('{{{unwanted}}}'::text[]) ORDER BY position LIMIT %b" if unwanted else _QUERY
        return self._read(query, position, limit, until, wanted=True)

    def _read(self, query: str, position: int, limit: int, until: int, *, wanted: bool = False) -> RawBatch:
        rows = self.log.recorder.rows(query, (position, until, limit))
        for row in rows:
            if row[_NAME] not in self._known:
                raise UnknownFact(f"{row[_NAME]} at position {row[_POSITION]} is not in this program's catalog: run a newer one")
        return self._batch(rows, rows[-1][_POSITION] if len(rows) == limit else until, wanted=wanted)

    def at(self, positions: Sequence[int], *, unsealed: bool) -> list[StoredFact]:
        """The facts at these positions, in order."""
        return list(self._batch(self.log.recorder.rows(_AT, (list(positions),)), 0).facts(None, unsealed=unsealed))

    def _batch(self, rows: list[Any], position: int, *, wanted: bool = False) -> RawBatch:
        return RawBatch(rows, position, wanted, self._sealed, self.log.codec)


Progress = Callable[[int, int], None]
"""Told (position, head) now and then during long work."""
