"""Puts the log together for a process: datastore, recorder, keys, codec. The composition roots call this and nothing deeper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from eventsourcing.persistence import PersistenceError

from domain.policy import PolicyBook, read_policy
from eventlog import database, keys
from eventlog.codec import Codec, NamedFact
from eventlog.database import Ground, LogDatastore
from eventlog.keys import KeyRing
from eventlog.log import Log
from eventlog.recorder import LogAway, LogRecorder


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The log, open for reading and writing. Close it, or use it in a `with`."""

    log: Log
    keys: KeyRing
    datastore: LogDatastore

    def close(self) -> None:
        self.datastore.close()
        self.keys.close()

    def __enter__(self) -> OpenLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def create(url: str, keys_url: str) -> Ground:
    """Set up both databases, which must exist. Safe to repeat."""
    keys.create(keys_url)
    return database.create(url)


def open_log(
    url: str, keys_url: str, *, master_key: bytes, facts: Sequence[NamedFact], pool_max: int = 12, cache_seconds: float = 60.0
) -> OpenLog:
    """Open the log of a database that `create` has set up. `facts` is the catalog; `master_key` has 32 bytes. Raises LogAway."""
    datastore = LogDatastore(url, pool_max=pool_max)
    ring = KeyRing(keys_url, master_key, cache_seconds=cache_seconds)
    try:
        recorder = LogRecorder(datastore)
    except PersistenceError as away:  # the library asks the database for its types
        ring.close()
        datastore.close()
        raise LogAway(f"the log cannot be opened ({type(away.__cause__ or away).__name__})") from None
    return OpenLog(Log(recorder, Codec(facts, ring)), ring, datastore)


class PolicyShelf:
    """The policy book as the log has it: folded from the `policy-` streams, again whenever one of them has news."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._seen: tuple[tuple[int, int], PolicyBook] = ((0, 0), PolicyBook())

    def __call__(self, newest: tuple[int, int] | None = None) -> PolicyBook:
        """The book of this moment. `newest`: what the log has of policies, where that was asked for already."""
        newest = self._log.newest("policy") if newest is None else newest
        seen, book = self._seen
        if newest != seen:
            book = PolicyBook()
            for recorded in sorted(
                (r for facts in self._log.read_many(self._log.streams("policy")).values() for r in facts), key=lambda r: r.position
            ):
                text = getattr(recorded.fact, "text", None)
                if isinstance(text, str):
                    book = book.with_adopted(read_policy(text))
            self._seen = (newest, book)
        return book
