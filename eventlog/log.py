"""Reading the log: a stream, a stream as it was or as it was known, everything from a position on, the watermark.

Readers get facts in the order in which they became visible, without gaps: `after` never shows an event while an earlier one may
still appear. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from domain.core import EventId, Recorded, StreamId
from eventlog.arrays import bigints, texts, uuids
from eventlog.codec import FIRST_PREVIOUS, Codec, StoredFact, chained
from eventlog.recorder import LogRecorder, Remembered, Statement

BATCH_MAX = 10_000
STREAM_LENGTH_MAX = 20_000
"""Of one stream; design.md expects 500. Above it something writes in a loop, and reading it must not take the process with it."""

VERIFY_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Facts from a position on. `position` is where to go on from: beyond the last fact where numbers were drawn and not used."""

    facts: tuple[StoredFact, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What a stream has after a version, with the hash of its last event, to which the next one is chained."""

    facts: tuple[Recorded, ...]
    hash: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What one question to the log brought: what streams have after a version, the first results of commands that were carried
    out, and how much the streams of one kind have, see `newest`."""

    tails: Mapping[StreamId, Tail]
    remembered: Mapping[UUID, Remembered]
    newest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class BadEvent:
    """The first event of a stream whose hash does not follow from what is stored."""

    stream: StreamId
    version: int
    position: int
    name: str
    reason: str


_COLUMNS = "position, stream, version, name, schema_version, event_id::text, body, sealed, meta, hash"
ROW_COLUMNS = _COLUMNS
"""What a row of the log must hold, in this order, for the codec to decode it: for readers with queries of their own."""

_STREAM = f"SELECT {_COLUMNS} FROM log.events WHERE stream = %b AND version > %b"
_WANTED = f"""FROM unnest($1::text[], $2::bigint[]) AS wanted (stream, version)
    CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM log.events f WHERE f.stream = wanted.stream AND f.version > wanted.version
                        ORDER BY f.version LIMIT {STREAM_LENGTH_MAX}) AS e"""
_TAILS = Statement("log.tails", f"SELECT e.* {_WANTED}")
_NEWEST = Statement(
    "log.newest", "SELECT count(*), coalesce(max(position), 0) FROM log.events WHERE stream >= $1::text AND stream < $2::text"
)
_LOOK = Statement(
    "log.look",
    f"""SELECT 't', e.*, NULL::bigint[]
    {_WANTED}
    UNION ALL
    SELECT 'c', NULL, stream, NULL, NULL, NULL, command_id::text, fingerprint, NULL, NULL, NULL, positions
    FROM log.commands WHERE command_id = ANY($3::uuid[])
    UNION ALL
    SELECT 'n', coalesce(max(position), 0), NULL, count(*), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM log.events WHERE stream >= $4::text AND stream < $5::text""",
)
"""The parts of a `Look`, each row marked by its first column: a stream's tail, a command, how much a kind has."""
_T = TypeVar("_T")


class Log:
    """The log for reading. Thread-safe."""

    def __init__(self, recorder: LogRecorder, codec: Codec) -> None:
        self.recorder = recorder
        self.codec = codec

    def read(
        self,
        stream: StreamId,
        *,
        after: int = 0,
        version: int | None = None,
        known_at: datetime | None = None,
    ) -> tuple[Recorded, ...]:
        """The facts of a stream in order: after a version, up to a version, as recorded up to an instant (`known_at`, included).

        What *occurred* up to an instant is a question for the fold, because corrections come later. An unknown stream is empty.
        """
        facts = tuple(self.codec.decode_all(self._stream_rows(stream, after, version)))
        return facts if known_at is None else tuple(f for f in facts if f.recorded_at <= known_at)

    def read_stored(
        self, stream: StreamId, *, after: int = 0, version: int | None = None, known_at: datetime | None = None
    ) -> tuple[StoredFact, ...]:
        """As `read`, with all that is stored around each fact."""
        facts = self._decoded(self._stream_rows(stream, after, version), self.codec.decode_stored)
        return facts if known_at is None else tuple(f for f in facts if f.recorded.recorded_at <= known_at)

    def read_many(self, streams: Sequence[StreamId]) -> dict[StreamId, tuple[Recorded, ...]]:
        """Several streams at once; an unknown one is empty."""
        found: dict[StreamId, list[Recorded]] = {stream: [] for stream in streams}
        query = f"SELECT {_COLUMNS} FROM log.events WHERE stream = ANY(%b) ORDER BY stream, version"
        for recorded in self.codec.decode_all(self.recorder.rows(query, (list(streams),))):
            found[recorded.stream].append(recorded)
        return {stream: tuple(facts) for stream, facts in found.items()}

    def tails(self, versions: Mapping[StreamId, int]) -> dict[StreamId, Tail]:
        """What each of several streams has after the version given, in one query; streams with nothing new are left out."""
        return self._tails(self.recorder.answer(_TAILS, (texts(tuple(versions)), bigints(tuple(versions.values())))))

    def look(self, versions: Mapping[StreamId, int], commands: Sequence[UUID], kind: str) -> Look:
        """Streams after the versions given, first results of commands, and how much the streams of a kind have, in one query."""
        wanted = (texts(tuple(versions)), bigints(tuple(versions.values())))
        found = self.recorder.answer(_LOOK, (*wanted, uuids(commands), f"{kind}-".encode(), f"{kind}.".encode()))
        remembered = {UUID(row[6]): Remembered(row[7], row[2], tuple(row[11])) for row in found if row[0] == "c"}
        newest = next((int(row[3]), int(row[1])) for row in found if row[0] == "n")
        return Look(self._tails([row[1:11] for row in found if row[0] == "t"]), remembered, newest)

    def _tails(self, rows: list[Any]) -> dict[StreamId, Tail]:
        rows.sort(key=itemgetter(1, 2))  # they come in this order nearly always, and PostgreSQL would sort all of each row
        facts = self.codec.decode_all(rows)
        found: dict[StreamId, Tail] = {}
        first = 0
        for stream, of_it in groupby(rows, key=itemgetter(1)):
            last = first + len(list(of_it))
            found[stream] = Tail(tuple(facts[first:last]), rows[last - 1][9])
            first = last
        return found

    def after(self, position: int, *, limit: int = 500, until: int | None = None, bound: int | None = None) -> Batch:
        """The facts after a position, in the order of the log, up to the watermark (or `until`, where that is lower).

        `bound` is a watermark that was asked for already. Go on from the batch's `position`.
        """
        assert 0 < limit <= BATCH_MAX
        bound = self.watermark() if bound is None else bound
        if until is not None:
            bound = min(bound, until)
        if bound <= position:
            return Batch((), position)
        rows = self.recorder.rows(
            f"SELECT {_COLUMNS} FROM log.events WHERE position > %b AND position <= %b ORDER BY position LIMIT %b",
            (position, bound, limit),
        )
        facts = self._decoded(rows, self.codec.decode_stored)
        return Batch(facts, facts[-1].recorded.position if len(facts) == limit else bound)

    def all(self, position: int = 0, *, batch: int = 5_000) -> Iterator[StoredFact]:
        """Every fact after a position, up to the watermark of the first moment."""
        bound = self.watermark()
        while True:
            found = self.after(position, limit=batch, bound=bound)
            yield from found.facts
            position = found.position
            if position >= bound:
                return

    def at(self, positions: Sequence[int]) -> tuple[StoredFact, ...]:
        """The facts at these positions."""
        if not positions:
            return ()
        rows = self.recorder.rows(
            f"SELECT {_COLUMNS} FROM log.events WHERE position = ANY(%b) ORDER BY position", (list(positions),)
        )
        return self._decoded(rows, self.codec.decode_stored)

    def watermark(self) -> int:
        """The position up to which nothing can appear any more."""
        return self.recorder.watermark()

    def version(self, stream: StreamId) -> int:
        """The version of a stream's last fact; 0 where it has none."""
        rows = self.recorder.rows("SELECT version FROM log.events WHERE stream = %b ORDER BY version DESC LIMIT 1", (stream,))
        return int(rows[0][0]) if rows else 0

    def streams(self, kind: str) -> tuple[StreamId, ...]:
        """Every stream of a kind. For kinds of which there are few (policy, staff)."""
        rows = self.recorder.rows(
            "SELECT DISTINCT stream FROM log.events WHERE stream >= %b AND stream < %b", (f"{kind}-", f"{kind}.")
        )
        return tuple(sorted(row[0] for row in rows))

    def newest(self, kind: str) -> tuple[int, int]:
        """How many facts the streams of a kind have, and the position of the newest: changes whenever one is added."""
        row = self.recorder.answer(_NEWEST, (f"{kind}-".encode(), f"{kind}.".encode()))[0]
        return int(row[0]), int(row[1])

    def incarnation(self) -> UUID:
        """The id of the log's present life: whoever knows another one must not trust its positions."""
        found: UUID = self.recorder.rows("SELECT id FROM log.incarnations ORDER BY number DESC LIMIT 1", ())[0][0]
        return found

    def verify(
        self,
        stream: StreamId | None = None,
        *,
        after: StreamId = "",
        until: StreamId | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[BadEvent]:
        """Recompute every hash, of one stream or of all, and name the first bad event of each broken stream.

        Needs no key: what is sealed is checked as it is stored. `after` and `until` (itself included) name a part of the streams,
        in the log's order of them, for those who verify in steps. `progress` is told (events checked, events in all).
        """
        bounds, arguments = ("stream > %b", [after]) if stream is None else ("stream = %b", [stream])
        if stream is None and until is not None:
            bounds, arguments = f"{bounds} AND stream <= %b", [*arguments, until]
        total = int(self.recorder.rows(f"SELECT count(*) FROM log.events WHERE {bounds}", arguments)[0][0])
        checked, at_stream, at_version, previous, broken = 0, "", 0, FIRST_PREVIOUS, False
        cursor: tuple[str, int] = (after if stream is None else stream, -1)
        while True:
            rows = self.recorder.rows(
                f"SELECT {_COLUMNS} FROM log.events WHERE (stream, version) > (%b::text, %b::bigint) AND {bounds}"
                f" ORDER BY stream, version LIMIT {VERIFY_BATCH}",
                (*cursor, *arguments),
            )
            for row in rows:
                if row[1] != at_stream:
                    at_stream, at_version, previous, broken = row[1], 0, FIRST_PREVIOUS, False
                reason = "" if broken else _fault(row, at_version, previous)
                if reason:
                    broken = True
                    yield BadEvent(row[1], row[2], row[0], row[3], reason)
                at_version, previous = row[2], row[9]
            checked += len(rows)
            if progress is not None:
                progress(checked, max(total, checked))
            if len(rows) < VERIFY_BATCH:
                return
            cursor = (rows[-1][1], rows[-1][2])

    def stream_after(self, after: StreamId, events: int) -> StreamId | None:
        """The stream in which the so-many-th event after a stream lies; None where no more than so many are left. A part of the
        log up to it has at most that many events and the rest of one stream."""
        assert events > 0
        rows = self.recorder.rows(
            "SELECT stream FROM log.events WHERE stream > %b ORDER BY stream, version OFFSET %b LIMIT 2", (after, events - 1)
        )
        return str(rows[0][0]) if len(rows) > 1 else None

    def event(self, stream: StreamId, event_id: EventId) -> StoredFact | None:
        """One event of a stream by its id."""
        rows = self.recorder.rows(
            f"SELECT {_COLUMNS} FROM log.events WHERE stream = %b AND event_id = %b", (stream, UUID(event_id))
        )
        return self._decoded(rows, self.codec.decode_stored)[0] if rows else None

    def _stream_rows(self, stream: StreamId, after: int, version: int | None) -> list[Any]:
        if version is None:
            rows = self.recorder.rows(f"{_STREAM} ORDER BY version LIMIT {STREAM_LENGTH_MAX + 1}", (stream, after))
        else:
            query = f"{_STREAM} AND version <= %b ORDER BY version LIMIT {STREAM_LENGTH_MAX + 1}"
            rows = self.recorder.rows(query, (stream, after, version))
        assert len(rows) <= STREAM_LENGTH_MAX, f"{stream} has more than {STREAM_LENGTH_MAX} events"
        return rows

    def _decoded(self, rows: Sequence[Any], decode: Callable[[Sequence[Any]], _T]) -> tuple[_T, ...]:
        if len(rows) > 1:
            self.codec.fetch_keys(rows)
        return tuple(map(decode, rows))


def _fault(row: Sequence[Any], at_version: int, previous: bytes) -> str:
    if row[2] != at_version + 1:
        return f"version {at_version + 1} is missing before it"
    if chained(previous, row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]) != row[9]:
        return "its hash does not follow from what is stored"
    return ""
