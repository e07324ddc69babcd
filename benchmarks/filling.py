"""Fills a log quickly with lives as they are in production, for measurements that need a large one.

`lives.jsonl.gz` holds every fact of a year and more of the invented programme (`simulation.history`), as the real gateway wrote
them, with what is personal unsealed; all of these people are invented. `fill` writes as many copies of these lives into a log as
are asked for, each with ids of its own, mixed as they would arrive: bodies and meta as they were encoded, sealed anew with real
keys, chained by the codec's hash, copied in with their commands.

`python -m benchmarks.filling` lives the year again and writes the file anew: after facts have changed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from eventlog.codec import FIRST_PREVIOUS, chained, spliced
from eventlog.keys import NONCE_BYTES, KeyRing
from eventlog.log import ROW_COLUMNS

LIVES = Path(__file__).parent / "lives.jsonl.gz"
LIVES_DAYS = 400
LIVES_MEMBERS = 24

MASTER_KEY = bytes(range(32))
"""Of every database that is filled here: whoever opens the log of a measurement uses it."""

SHARED = ("policy-",)
"""Streams that a programme has once, however many its members are."""

MIXED_OVER = 0.5
"""The copies of a life begin at different times: the latest so much of a year after the first."""

_IDS = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Line:
    """A fact of the file, each text cut at its ids: every second part is one. `secret` is empty where nothing is sealed."""

    stream: tuple[str, ...]
    name: str
    schema_version: int
    event_id: str
    body: tuple[str, ...]
    secret: tuple[str, ...]
    meta: tuple[str, ...]
    sealed_for: str
    command_id: str | None


@dataclass(frozen=True, slots=True)
class Filled:
    """What there is after a filling: events, and the copies of the invented people among whom they happened."""

    events: int
    members: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is to be stored; its position is the place in the order."""

    stream: str
    version: int
    name: str
    schema_version: int
    event_id: str
    body: bytes
    sealed: bytes | None
    meta: bytes
    hash: bytes
    command_id: str | None


def lives() -> tuple[Line, ...]:
    """The facts of the file, in the order in which they were recorded."""
    with gzip.open(LIVES, "rt") as file:
        return tuple(_line(json.loads(text)) for text in file)


def events(keys: KeyRing, *, count: int, copies: Iterator[int] | None = None) -> Iterator[Event]:
    """So many events or a few more: whole copies of the lives, mixed. `copies` numbers them; no number may come twice in a log."""
    lines = lives()
    dice = random.Random(5)
    numbers = [next(copies) if copies is not None else n for n in range(-(-count // len(lines)))]
    begins = {number: dice.random() * MIXED_OVER * len(lines) for number in numbers}
    order = sorted((begins[number] + at, number, at) for number in numbers for at in range(len(lines)))
    ends: dict[str, tuple[int, bytes]] = {}
    ids: dict[int, dict[str, str]] = {number: {} for number in numbers}
    for _, number, at in order:
        line, own = lines[at], ids[number]
        if line.stream[0].startswith(SHARED) and number:
            continue
        stream = _told(line.stream, number, own)
        version, previous = ends.get(stream, (0, FIRST_PREVIOUS))
        event_id = _own(line.event_id, number, own)
        body, meta = _told(line.body, number, own).encode(), _told(line.meta, number, own).encode()
        sealed = None
        if line.secret:
            nonce = os.urandom(NONCE_BYTES)
            key = keys.to_seal(_told(_cut(line.sealed_for), number, own))
            sealed = nonce + key.encrypt(nonce, _told(line.secret, number, own).encode(), UUID(event_id).bytes)
        digest = chained(previous, stream, version + 1, line.name, line.schema_version, event_id, body, sealed, meta)
        ends[stream] = (version + 1, digest)
        command_id = None if line.command_id is None else _own(line.command_id, number, own)
        yield Event(stream, version + 1, line.name, line.schema_version, event_id, body, sealed, meta, digest, command_id)


def fill(url: str, keys_url: str, *, count: int, first_copy: int = 0) -> Filled:
    """Put so many events, or a few more, into a log that `eventlog.opening.create` has set up, as its owner.

    `first_copy` is the number of the first copy of the lives: where a log is filled a second time, beyond those that are there.
    """
    with_quick_keys = f"{keys_url}{'&' if '?' in keys_url else '?'}options=-csynchronous_commit%3Doff"
    copies = iter(range(first_copy, first_copy + 1_000_000))
    ring = KeyRing(with_quick_keys, MASTER_KEY)
    try:
        with psycopg.connect(url) as owner:
            row = owner.execute("SELECT log.head()").fetchone()
            assert row is not None
            first = position = int(row[0])
            commands: dict[str, tuple[str, list[int]]] = {}
            with owner.cursor() as cursor, cursor.copy(f"COPY log.events ({_COPIED}) FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int8", "text", "int8", "text", "int4", "uuid", "bytea", "bytea", "bytea", "bytea"])
                for event in events(ring, count=count, copies=copies):
                    position += 1
                    copy.write_row(
                        (
                            position, event.stream, event.version, event.name, event.schema_version, UUID(event.event_id),
                            event.body, event.sealed, event.meta, event.hash,
                        )
                    )  # fmt: skip
                    if event.command_id is not None:
                        commands.setdefault(event.command_id, (event.stream, []))[1].append(position)
            with (
                owner.cursor() as cursor,
                cursor.copy("COPY log.commands (command_id, fingerprint, stream, positions) FROM STDIN (FORMAT binary)") as copy,
            ):
                copy.set_types(["uuid", "bytea", "text", "int8[]"])
                for command_id, (stream, positions) in commands.items():
                    copy.write_row((UUID(command_id), hashlib.sha256(command_id.encode()).digest(), stream, positions))
            owner.execute("SELECT setval('log.events_position_seq', %s)", (position,))
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("VACUUM ANALYZE log.events")
            owner.execute("ANALYZE log.commands")
            owner.execute("CHECKPOINT")  # or its writing would go on while something is measured
    finally:
        ring.close()
    used = next(copies) - first_copy
    return Filled(position - first, used * LIVES_MEMBERS)


_COPIED = ROW_COLUMNS.replace("::text", "")


def _told(parts: Sequence[str], number: int, own: dict[str, str]) -> str:
    """The text with the ids of a copy in place of those of the file."""
    if len(parts) == 1:
        return parts[0]
    found = list(parts)
    for at in range(1, len(found), 2):
        found[at] = _own(found[at], number, own)
    return "".join(found)


def _own(id: str, number: int, own: dict[str, str]) -> str:
    """The id of a copy that stands for one of the file."""
    made = own.get(id)
    if made is None:
        digest = hashlib.sha256(f"{number}/{id}".encode()).digest()
        made = own[id] = digest.hex() if len(id) == 64 else str(UUID(bytes=digest[:16], version=4))
    return made


def _cut(text: str) -> tuple[str, ...]:
    return tuple(_IDS.split(text))


def _line(said: dict[str, Any]) -> Line:
    return Line(
        stream=_cut(said["stream"]),
        name=said["name"],
        schema_version=said["schema_version"],
        event_id=said["event_id"],
        body=_cut(said["body"]),
        secret=_cut(said["secret"]) if said["secret"] else (),
        meta=_cut(said["meta"]),
        sealed_for=said["sealed_for"],
        command_id=said["command_id"],
    )


def write_lives(path: Path) -> int:
    """Live the year of the invented programme and write its facts; how many there are."""
    from intake.store import inbox
    from workers import composition
    from workers.composition import open_system
    from workers.demo import write_history
    from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database
    from workers.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="throughline-lives-") as home:
        Path(home).chmod(0o711)
        server = PostgresServer(Path(home) / "postgres", settings=FOR_TESTS).start()
        try:
            url = server.url("lives")
            for each in (url, server.url("lives_keys")):
                ensure_database(each)
            settings = load_settings().model_copy(
                update={"database_url": url, "keys_database_url": None, "throughline_home": Path(home)}
            )
            composition.prepare(settings)
            inbox.create(url)
            write_history(settings, lambda what, share: None, members=LIVES_MEMBERS, days=LIVES_DAYS)
            with open_system(settings) as system, gzip.open(path, "wt") as file:
                rows = system.log.recorder.rows(f"SELECT {ROW_COLUMNS} FROM log.events ORDER BY position", ())
                for row in rows:
                    file.write(json.dumps(_opened(row, system.opened.keys)) + "\n")
            return len(rows)
        finally:
            server.stop()


def _opened(row: Sequence[Any], keys: KeyRing) -> dict[str, Any]:
    _, stream, _, name, schema_version, event_id, body, sealed, meta, _ = row
    around = msgspec.json.decode(meta)
    sealed_for = around.get("key") or stream
    secret = b""
    if sealed is not None:
        cipher = keys.to_unseal(sealed_for)
        assert cipher is not None
        secret = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], UUID(event_id).bytes)
        assert msgspec.json.decode(spliced(body, secret))
    return {
        "stream": stream,
        "name": name,
        "schema_version": schema_version,
        "event_id": event_id,
        "body": body.decode(),
        "secret": secret.decode(),
        "meta": meta.decode(),
        "sealed_for": sealed_for,
        "command_id": around.get("command_id"),
    }


if __name__ == "__main__":
    write_lives(LIVES)
