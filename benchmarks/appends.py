"""P1, P2: durable appends under the full contract, against plain inserts and against the library's own recorder.

An append is what the gateway stores for one command: a real fact with something personal in it, encoded, sealed under the member's
key, hashed and chained; a command id that is remembered; the version of the stream that is written and of one that is read. Its
caller waits for the verdict and then makes the next. Beside it, as that is what a user gets, whole commands through the gateway.

The callers are threads of processes of their own; each works on members of its own, unless the load is meant to collide.
"""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from uuid import UUID, uuid4, uuid5

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from benchmarks.ground import Databases, Ground
from benchmarks.table import REPEATS, Measured, NotMeasured, Row, at_least, told_only, within
from domain.core import Fact
from domain.member.decider import CorrectIdentity, RegisterMember
from domain.member.facts import IdentityCorrected, MemberRegistered
from eventlog.clock import SystemClock
from eventlog.codec import FIRST_PREVIOUS, Codec, Meta
from eventlog.committer import Committer
from eventlog.gateway import Accepted, Appender, Gateway
from eventlog.opening import OpenLog, PolicyShelf, open_log
from eventlog.recorder import Check, CommandRow, Item, Stored
from workers.programme import the_programme

SECONDS = 2.0
WARM_SECONDS = 0.4
ANSWER_SECONDS_MAX = 120.0
L1_SECONDS = 2
L1 = "single-row inserts (L1)"

MEMBERS_EACH = 50
"""Members of one caller."""

LIBRARY_TABLE = "of_the_library"

HOT_MEMBERS = tuple(f"member-{uuid5(UUID(int=0), f'hot {n}')}" for n in range(20))
HOT_SHARE_MIN = 0.25
"""Of what the same load reaches on streams of its own: below it, a load full of conflicts has collapsed."""

KEY = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Load:
    """`callers` threads in each process, storing directly, grouped, or through the library's own recorder (one event an append,
    nothing of the contract). `whole`: commands through the gateway. `hot`: all callers on the same few members."""

    callers: int
    way: str
    whole: bool = False
    hot: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What one process did in the time that counts: how long each append took, and how many were refused in the end."""

    seconds: tuple[float, ...]
    refused: int
    processor_seconds: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Acknowledged appends a second; their median and 99th percentile in ms; those refused a second; what the callers' processes
    used of a processor for one, in µs."""

    a_second: float
    p50: float
    p99: float
    refused: float
    processor_us: float


def rows(ground: Ground) -> Iterator[Row]:
    with ground.databases() as databases, callers(databases, processes=2, each=32) as two:
        yield from _of_one_process(ground, two[:1])
        yield from _of_two_processes(ground, two)


def _of_one_process(ground: Ground, one: Sequence[Connection]) -> Iterator[Row]:
    found, l1 = _in_turns(
        {
            "direct": lambda: appends(one, Load(16, "direct")),
            "grouped": lambda: appends(one, Load(16, "grouped")),
            "command": lambda: appends(one, Load(16, "direct", whole=True)),
            "command grouped": lambda: appends(one, Load(16, "grouped", whole=True)),
            "alone": lambda: appends(one, Load(1, "direct"), seconds=1.0),
            "alone grouped": lambda: appends(one, Load(1, "grouped"), seconds=1.0),
        },
        ground,
    )
    yield at_least("P1", "appends, full contract, 16 callers, direct", _rate(found["direct"]), "/s", L1, l1, 0.25, "L1")
    yield at_least("P1-grouped", "appends, full contract, 16 callers, grouped", _rate(found["grouped"]), "/s", L1, l1, 0.45, "L1")
    yield told_only("P1-command", "whole commands, 16 callers, direct", _rate(found["command"]), "/s", L1, l1)
    yield told_only("P1-command-grouped", "whole commands, 16 callers, grouped", _rate(found["command grouped"]), "/s", L1, l1)
    yield told_only(
        "P1-alone", "a lone caller's append, grouped, p50", _p50(found["alone grouped"]), "ms", "direct", _p50(found["alone"])
    )


def _of_two_processes(ground: Ground, two: Sequence[Connection]) -> Iterator[Row]:
    found, l1 = _in_turns(
        {
            "grouped": lambda: appends(two, Load(32, "grouped")),
            "library": lambda: appends(two, Load(32, "library")),
            "command": lambda: appends(two, Load(32, "grouped", whole=True)),
            "cold": lambda: appends(two, Load(16, "grouped", whole=True)),
            "hot": lambda: appends(two, Load(16, "grouped", whole=True, hot=True)),
        },
        ground,
    )
    grouped, hot, cold = (found[name] for name in ("grouped", "hot", "cold"))
    yield at_least("P2", "appends, full contract, 64 callers in 2 processes, grouped", _rate(grouped), "/s", L1, l1, 1.0, "L1")
    yield within("P2-p99", "the same, how long one took, p99", Measured(tuple(r.p99 for r in grouped)), "ms", 35, L1, l1)
    yield at_least(
        "P2-library", "the same, against the library's recorder", _rate(grouped), "/s",
        "library", _rate(found["library"]), 12, "library",
    )  # fmt: skip
    yield told_only("P2-command", "whole commands, 64 callers in 2 processes, grouped", _rate(found["command"]), "/s", L1, l1)
    yield at_least(
        "P2-hot", "commands, 32 callers on 20 hot streams", _rate(hot), "/s", "on streams of their own", _rate(cold),
        HOT_SHARE_MIN, "those",
    )  # fmt: skip
    yield told_only(
        "P2-hot-refused", "of them refused as conflicts, after all attempts", Measured(tuple(r.refused for r in hot)), "/s",
        "accepted", _rate(hot),
    )  # fmt: skip


def _in_turns(measures: Mapping[str, Callable[[], Rate]], ground: Ground) -> tuple[dict[str, list[Rate]], Measured]:
    """Every load and L1, alternately."""
    found: dict[str, list[Rate]] = {name: [] for name in measures}
    l1 = []
    for _ in range(REPEATS):
        l1.append(ground.l1(seconds=L1_SECONDS))
        for name, measure in measures.items():
            found[name].append(measure())
    return found, Measured(tuple(l1))


def _rate(repeats: Sequence[Rate]) -> Measured:
    return Measured(tuple(r.a_second for r in repeats))


def _p50(repeats: Sequence[Rate]) -> Measured:
    return Measured(tuple(r.p50 for r in repeats))


def appends(processes: Sequence[Connection], load: Load, *, seconds: float = SECONDS) -> Rate:
    """What the load reaches, by all processes together."""
    for process in processes:
        process.send((load, seconds))
    done = [_answer(process) for process in processes]
    times = sorted(t for each in done for t in each.seconds)
    if not times:
        raise NotMeasured(f"nothing was stored by {load}")
    return Rate(
        len(times) / seconds,
        statistics.median(times) * 1000,
        times[int(len(times) * 0.99)] * 1000,
        sum(each.refused for each in done) / seconds,
        sum(each.processor_seconds for each in done) / len(times) * 1e6,
    )


@contextmanager
def callers(databases: Databases, *, processes: int, each: int) -> Iterator[list[Connection]]:
    """Processes that carry out loads of up to `each` callers, begun together as far as a pipe allows."""
    with library(databases.url, callers=1) as recorder:
        recorder.create_table()
    context = multiprocessing.get_context("spawn")
    ends, started = [], []
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(databases, each, theirs), daemon=True)
            process.start()
            theirs.close()
            ends.append(ours)
            started.append(process)
        for end in ends:
            _answer(end)
        yield ends
    finally:
        for end in ends:
            end.close()
        for process in started:
            process.join(timeout=10)
            process.kill()


def _answer(process: Connection) -> Done:
    try:
        if not process.poll(ANSWER_SECONDS_MAX):
            raise NotMeasured(f"a process of callers did not answer within {ANSWER_SECONDS_MAX:.0f} s")
        answer = process.recv()
    except (EOFError, ConnectionError):
        raise NotMeasured("a process of callers ended: see what it printed above") from None
    assert isinstance(answer, Done)
    return answer


# -- in the callers' process


Act = Callable[[], bool]
"""One append; whether it was stored."""


def _work(databases: Databases, callers_max: int, loads: Connection) -> None:
    programme = the_programme()
    with open_log(databases.url, databases.keys_url, master_key=KEY, facts=programme.facts, pool_max=callers_max + 2) as opened:
        authors = [Author(opened.log.codec) for _ in range(callers_max)]
        for author in authors:
            author.begin(opened.log.recorder)
        loads.send(Done((), 0, 0.0))
        while True:
            try:
                load, seconds = loads.recv()
            except EOFError:
                return
            with _acts(opened, load, authors, databases.url) as acts:
                loads.send(_carried_out(acts, seconds))


def _carried_out(acts: Sequence[Act], seconds: float) -> Done:
    times: list[list[float]] = [[] for _ in acts]
    refused = [0 for _ in acts]
    here = threading.Barrier(len(acts) + 1)
    failed: list[BaseException] = []

    def call(me: int, act: Act) -> None:
        here.wait()
        counted_from = time.perf_counter() + WARM_SECONDS
        until = counted_from + seconds
        try:
            while (began := time.perf_counter()) < until:
                stored = act()
                if began < counted_from:
                    continue
                if stored:
                    times[me].append(time.perf_counter() - began)
                else:
                    refused[me] += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(me, act)) for me, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    here.wait()
    time.sleep(WARM_SECONDS)
    used = time.process_time()
    for thread in threads:
        thread.join()
    used = time.process_time() - used
    if failed:
        raise failed[0]
    return Done(tuple(t for own in times for t in own), sum(refused), used)


@contextmanager
def _acts(opened: OpenLog, load: Load, authors: Sequence[Author], url: str) -> Iterator[list[Act]]:
    """What each caller of the load does again and again."""
    authors = authors[: load.callers]
    if load.way == "library":
        with library(url, callers=load.callers) as recorder:
            yield [LibraryAuthor(recorder).append for _ in authors]
        return
    opened.keys.fetch(own.stream for author in authors for own in author.members)  # those that have grown old in the cache
    appender: Appender = Committer(opened.log.recorder) if load.way == "grouped" else opened.log.recorder
    if load.whole:
        gateway = _gateway(opened, appender)
        if load.hot:
            _register_hot(gateway)
        yield [_commanding(gateway, HOT_MEMBERS if load.hot else tuple(m.stream for m in author.members)) for author in authors]
        for author in authors:
            author.catch_up(opened)
    else:
        yield [_appending(author, appender) for author in authors]


@dataclass(slots=True)
class OwnStream:
    """A member's stream as its only writer knows it."""

    stream: str
    version: int = 0
    hash: bytes = FIRST_PREVIOUS


class Author:
    """One caller's members, and the next append to one of them as the gateway would make it."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._next = 0
        self.members = [OwnStream(f"member-{uuid4()}") for _ in range(MEMBERS_EACH)]

    def begin(self, appender: Appender) -> None:
        """Register the members."""
        for own in self.members:
            self.append(own, MemberRegistered(cin="91234567A", family_name="Measured", given_name="Ana"), (), appender)

    def append_next(self, appender: Appender) -> bool:
        self._next += 1
        own, read = self.members[self._next % MEMBERS_EACH], self.members[(self._next + 1) % MEMBERS_EACH]
        fact = IdentityCorrected(family_name=f"Name {self._next}", given_name="Ana", birth_date="1970-01-01", reason="measured")
        self.append(own, fact, (Check(read.stream, read.version, False),), appender)
        return True

    def append(self, own: OwnStream, fact: Fact, read: tuple[Check, ...], appender: Appender) -> None:
        now, command_id = SystemClock().now(), uuid4()
        row = self._codec.encode(
            fact, stream=own.stream, version=own.version + 1, event_id=uuid5(command_id, "0"), key_id=own.stream,
            meta=Meta(occurred_at=now, recorded_at=now, actor="system", command_id=str(command_id)), previous=own.hash,
        )  # fmt: skip
        fingerprint = hmac.digest(KEY, command_id.bytes, hashlib.sha256)
        item = Item((row,), (Check(own.stream, own.version, True), *read), (CommandRow(command_id, fingerprint, own.stream),), (0,))
        verdict = appender.append(item)
        assert isinstance(verdict, Stored), "nobody else writes these streams"
        own.version, own.hash = row.version, row.hash

    def catch_up(self, opened: OpenLog) -> None:
        """See what commands have written to the members."""
        tails = opened.log.tails({own.stream: own.version for own in self.members})
        for own in self.members:
            if own.stream in tails:
                own.version, own.hash = tails[own.stream].facts[-1].version, tails[own.stream].hash


def _appending(author: Author, appender: Appender) -> Act:
    return lambda: author.append_next(appender)


def _commanding(gateway: Gateway, members: Sequence[str]) -> Act:
    dice = random.Random()

    def act() -> bool:
        command = CorrectIdentity(
            stream=dice.choice(members), by="system", family_name=f"Name {dice.random()}", given_name="Ana", reason="measured"
        )
        return isinstance(gateway.handle(command, command_id=uuid4()), Accepted)

    return act


def _gateway(opened: OpenLog, appender: Appender) -> Gateway:
    programme = the_programme()
    return Gateway(
        opened.log, clock=SystemClock(), deciders=programme.deciders, processes=programme.processes, fingerprint_key=KEY,
        books=PolicyShelf(opened.log), tags=programme.tags, appender=appender, forget_key=opened.keys.forget,
    )  # fmt: skip


def _register_hot(gateway: Gateway) -> None:
    for stream in HOT_MEMBERS:
        uuid = UUID(stream.removeprefix("member-"))
        command = RegisterMember(stream=stream, by="system", cin_claim=f"claim-{uuid.hex}", family_name="Hot", given_name="Ana")
        outcome = gateway.handle(command, command_id=uuid5(uuid, "registered"))
        assert isinstance(outcome, Accepted)


@contextmanager
def library(url: str, *, callers: int) -> Iterator[PostgresApplicationRecorder]:
    """The library's recorder as it comes, with a connection for each caller."""
    parts = conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(parts["dbname"]), host=str(parts["host"]), port=str(parts["port"]), user=str(parts["user"]),
        password=str(parts.get("password") or ""), pool_size=callers, max_overflow=2,
    )  # fmt: skip
    try:
        yield PostgresApplicationRecorder(datastore, events_table_name=LIBRARY_TABLE)
    finally:
        datastore.close()


class LibraryAuthor:
    """One caller's events through the library's recorder, in streams as long as those of the others."""

    def __init__(self, recorder: PostgresApplicationRecorder) -> None:
        self._recorder = recorder
        self._next = 0
        self._originators = [uuid4() for _ in range(MEMBERS_EACH)]

    def append(self) -> bool:
        version, member = divmod(self._next, MEMBERS_EACH)
        self._next += 1
        self._recorder.insert_events([StoredEvent(self._originators[member], version + 1, "measured", b"x" * 500)])
        return True
