"""The only writer: handle a command by loading, folding, deciding and appending, and again when somebody was faster.

    outcome = gateway.handle(command, command_id=..., causation=..., trace=...)
    match outcome:
        case Accepted(): ...      # recorded, or already so, or already carried out under this command id
        case Refusal(): ...       # the rules do not allow it: show it
        case Conflict(): ...      # the stream is not at the version that the caller expected, or stays busy

What a decision read is checked with what it writes: nothing is recorded on the strength of a consent that was withdrawn meanwhile.
No rule of the programme stands here.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import msgspec
from opentelemetry import trace as otel

from domain.core import (
    READ_ROUNDS,
    Command,
    Context,
    Decider,
    Fact,
    Instant,
    Loaded,
    On,
    Process,
    ProcessRef,
    Recorded,
    Refusal,
    StreamId,
)
from eventlog.clock import Clock
from eventlog.codec import FIRST_PREVIOUS, SELF_SEALED, Meta
from eventlog.erasure import ERASING_FACT
from eventlog.ids import named_id
from eventlog.keys import Erased
from eventlog.log import Log, Tail
from eventlog.recorder import Check, CommandRow, EventRow, Item, Known, LogAway, Moved, Remembered, Stored, Verdict
from eventlog.traces import context_of, current_traceparent

ATTEMPTS_MAX = 12
"""How often a command is decided anew because a stream that it reads or writes had moved."""

PAUSE_SECONDS_MAX = 0.1
FACTS_PER_DECISION_MAX = 200
ORDERS_MAX = 64
"""Of commands that may touch four streams each, as many as one append locks."""

ORDERS_OF_FEW_STREAMS_MAX = 256
"""Of commands of which several go to each stream: whoever gives them sees to it that they touch `LOCKS_MAX` streams at most."""

STATES_CACHED_MAX = 4_000
STATE_CACHE_SECONDS = 60.0
"""How long a folded state may be kept: no longer than a key, because it may hold what was unsealed with it."""

TIMELESS = ("occurred_at", "said_at", "message_id")
"""Fields of every command that its fingerprint leaves out: when, and by which message, it was said."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the command led to. No facts: it was already so. `repeated`: it was carried out before; these are the facts of then.

    `version` is the stream's version after the command (when it was first carried out: after its own facts), `position` that of its
    last fact in the log, 0 without facts.
    """

    stream: StreamId
    version: int
    facts: tuple[Recorded, ...] = ()
    position: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stream was not at the version expected. `expected` is what the caller, or the last attempt, had seen."""

    stream: StreamId
    expected: int
    actual: int


Outcome = Accepted | Refusal | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command with what the gateway needs to know about it."""

    command: Command
    command_id: UUID
    causation: str | None = None
    correlation: str | None = None
    expected_version: int | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedProcess:
    """A process's state with all that its plan reads. `watermark` was asked for before the load: everything up to it is in here.

    `recorded_at` is when the newest of it was recorded: whoever plans on it must not believe that it is earlier."""

    ref: ProcessRef
    state: Any
    version: int
    context: Context
    book: Any
    watermark: int
    recorded_at: Instant | None = None

    @property
    def versions(self) -> dict[StreamId, int]:
        """The versions at which all of it was seen: what `append_facts` is to check."""
        return {self.ref.stream: self.version, **{stream: loaded.version for stream, loaded in self.context.items()}}


class Appender(Protocol):
    """Stores an item: the recorder directly, or a committer that groups the items of many callers."""

    def append(self, item: Item) -> Verdict: ...


class Books(Protocol):
    """Gives the policy book of this moment; `newest` says what the log has of policies, where that was asked for already."""

    def __call__(self, newest: tuple[int, int] | None = None) -> Any: ...


def _no_book(newest: tuple[int, int] | None = None) -> None:
    return None


SubjectOf = Callable[[StreamId, Fact, Any], StreamId | None]
TagsOf = Callable[[Recorded], tuple[str, ...]]


def whose(stream: StreamId, fact: Fact, state: Any) -> StreamId | None:
    """Whose key seals a fact: the stream's own, or that of the member whom the fact or the stream's state names."""
    if stream.partition("-")[0] in SELF_SEALED:
        return stream
    member = getattr(fact, "member", None) or getattr(state, "member", None)
    return member if isinstance(member, str) and member else None


class Gateway:
    """Handles commands. Thread-safe.

    `books` gives the policy book of this moment; `tags` what a fact is found by in the router's index; `fingerprint_key` keys the
    HMAC by which a repeated command is recognised as the same. `forget_key` and `destroy_key` are the key ring's.
    """

    def __init__(
        self,
        log: Log,
        *,
        clock: Clock,
        deciders: Mapping[str, Decider],
        fingerprint_key: bytes,
        processes: Mapping[str, Process] | None = None,
        books: Books = _no_book,
        tags: TagsOf = lambda recorded: (),
        subject_of: SubjectOf = whose,
        appender: Appender | None = None,
        forget_key: Callable[[str], None] = lambda key_id: None,
        destroy_key: Callable[[str], None] = lambda key_id: None,
    ) -> None:
        assert len(fingerprint_key) >= 32
        self.log = log
        self.clock = clock
        self._deciders = deciders
        self._processes = processes or {}
        self._books = books
        self._tags = tags
        self._subject_of = subject_of
        self._appender: Appender = appender or log.recorder
        self._forget_key = forget_key
        self._destroy_key = destroy_key
        self._fingerprint_key = fingerprint_key
        self._states = _States()

    # -- writing

    def handle(
        self,
        command: Command,
        *,
        command_id: UUID,
        causation: str | None = None,
        correlation: str | None = None,
        expected_version: int | None = None,
        trace: str | None = None,
        now: Instant | None = None,
    ) -> Outcome:
        """Carry out one command; the same command id again gives the first result.

        `expected_version` is the version of the command's stream that the caller has seen. `trace` is a W3C traceparent. `now`
        counts where it is later than the gateway's clock. A refusal is not remembered: the same command may be allowed later.
        Raises LogAway, CannotUnwrap.
        """
        order = Order(
            command=command,
            command_id=command_id,
            causation=causation,
            correlation=correlation,
            expected_version=expected_version,
            trace=trace,
        )
        done = self.handle_many((order,), now=now)
        return done[0] if isinstance(done, tuple) else done

    def handle_many(self, orders: Sequence[Order], *, now: Instant | None = None) -> tuple[Accepted, ...] | Refusal | Conflict:
        """Carry out several commands as one: all are recorded or none. Each sees what those before it decided."""
        assert 0 < len(orders) <= ORDERS_OF_FEW_STREAMS_MAX and len({o.command_id for o in orders}) == len(orders)
        first = orders[0]
        with _span("gateway.handle", first.trace, command=type(first.command).__name__, stream=first.command.stream) as span:
            outcome = self._handle(orders, now)
            span.set_attribute("throughline.outcome", type(outcome).__name__ if not isinstance(outcome, tuple) else "Accepted")
            return outcome

    def preview(self, orders: Sequence[Order], *, now: Instant | None = None) -> tuple[Accepted, ...] | Refusal:
        """What `handle_many` would answer now; nothing is recorded. Facts that are not in the log stand at position 0.

        Raises LogAway, CannotUnwrap."""
        assert 0 < len(orders) <= ORDERS_MAX
        prints, work = tuple(map(self._print, orders)), _Work(self)
        repeated = self._first_results(orders, prints, work.look(self._foreseen(work, orders), [o.command_id for o in orders]))
        if isinstance(repeated, Refusal):
            return repeated
        new = [(o, p) for o, p in zip(orders, prints, strict=True) if o.command_id not in repeated]
        if new:
            work.load({o.command.stream for o, _ in new})
            work.settle_now(now, tuple(o.command.stream for o, _ in new))
            book = self._books(work.policies)
            for order, fingerprint in new:
                refused = work.decide(order, fingerprint, book)
                if refused is not None:
                    return refused
        ahead = {o.command_id: a for (o, _), a in zip(new, work.accepted(), strict=True)}
        return tuple(repeated.get(o.command_id) or ahead[o.command_id] for o in orders)

    def seen_with(self, facts: Iterable[Recorded]) -> dict[StreamId, Loaded]:
        """The streams of previewed facts as they would be with them."""
        found: dict[StreamId, Loaded] = {}
        for recorded in facts:
            before = found.get(recorded.stream) or self.load(recorded.stream)
            found[recorded.stream] = Loaded(self._fold(recorded.stream, before.state, recorded), before.version + 1)
        return found

    def handle_as_planned(
        self, ref: ProcessRef, planned: Callable[[LoadedProcess], Sequence[Order]], *, now: Instant | None = None
    ) -> LoadedProcess | None:
        """The process as it is left when `planned` asks for nothing more: it is asked again on what its orders led to, and all that
        they led to is recorded as one. Its watermark then is the last of that, because what it was loaded from had not moved.

        None: nothing was recorded, because an order was refused, said nothing new or was carried out before, or because somebody
        was faster. `handle_many` tells which.
        """
        with _span("gateway.handle", None, command="as_planned", stream=ref.stream):
            work = _Work(self)
            first = left = self._loaded(ref, work)
            orders, asked = planned(first), 0
            if orders:
                work.settle_now(now, (ref.stream,))
            while orders:
                asked += len(orders)
                if asked > ORDERS_MAX or not all(work.carried_out(order, self._print(order), first.book) for order in orders):
                    return None
                left = self._seen_by(ref, work, first.book, first.watermark)
                orders = planned(left)
            if left is first:
                return left
            stored = self._append(work)
            return replace(left, watermark=self._settled(work, stored, left.watermark)) if isinstance(stored, Stored) else None

    def append_facts(
        self,
        stream: StreamId,
        facts: Iterable[Fact | On],
        *,
        command_id: UUID,
        by: str,
        versions: Mapping[StreamId, int],
        occurred_at: Instant | None = None,
        causation: str | None = None,
        correlation: str | None = None,
        trace: str | None = None,
        now: Instant | None = None,
    ) -> Accepted | Refusal | Conflict:
        """Record facts that were decided elsewhere (a delivery begun, its outcome), if every stream of `versions` is still there.

        `versions` must name `stream`. Tried once: after a Conflict, load and decide again. Remembered like a command.
        """
        assert stream in versions, "the stream's own version must be checked"
        facts = tuple(facts)
        fingerprint = self._fingerprint(
            "append_facts", [stream, [self.log.codec.name_of(f.fact if isinstance(f, On) else f) for f in facts]]
        )
        order = Order(
            command=Command(stream=stream, by=by, occurred_at=occurred_at), command_id=command_id,
            causation=causation, correlation=correlation, trace=trace,
        )  # fmt: skip
        with _span("gateway.append", trace, command="append_facts", stream=stream):
            work = _Work(self)
            repeated = self._first_results((order,), (fingerprint,), work.look(versions, (command_id,)))
            if isinstance(repeated, Refusal):
                return repeated
            if repeated:
                return repeated[command_id]
            work.load(versions)
            for name, version in versions.items():
                if work.version(name) != version:
                    return Conflict(name, version, work.version(name))
            work.settle_now(now, (stream,))
            refused = work.record(order, facts, fingerprint)
            if refused is not None:
                return refused
            verdict = self._append(work)
            if isinstance(verdict, Known):
                repeated = self._first_results((order,), (fingerprint,), work.look((), (command_id,)))
                return repeated if isinstance(repeated, Refusal) else repeated[command_id]
            if isinstance(verdict, Moved):
                return Conflict(verdict.stream, work.version(verdict.stream), verdict.version)
            return work.accepted()[0]

    # -- reading, as the shell needs it

    def load(self, stream: StreamId) -> Loaded:
        """A stream's folded state and its version."""
        return self.load_many((stream,))[stream]

    def load_many(self, streams: Iterable[StreamId]) -> dict[StreamId, Loaded]:
        """Several streams at once, in one round trip."""
        work, wanted = _Work(self), tuple(dict.fromkeys(streams))
        work.load(wanted)
        return {stream: work.loaded(stream) for stream in wanted}

    def load_process(self, ref: ProcessRef) -> LoadedProcess:
        """A process's state with everything that its plan reads, and the watermark from before."""
        return self._loaded(ref, _Work(self))

    def forget(self, stream: StreamId | None = None) -> None:
        """Drop folded states: of a stream after its key was destroyed, of all after the log was restored."""
        self._states.forget(stream)

    # -- inside

    def _loaded(self, ref: ProcessRef, work: _Work) -> LoadedProcess:
        watermark = self.log.watermark()
        work.look(work.foreseen(ref.stream, partial(self._processes[ref.kind].reads, ref)))
        work.load((ref.stream,))
        return self._seen_by(ref, work, self._books(work.policies), watermark)

    def _settled(self, work: _Work, stored: Stored, watermark: int) -> int:
        """How far the log is read, after an append that found all that it had read unmoved: up to the append's own last fact,
        unless somebody who began before it may still show something, or policies moved, which no append checks."""
        still = min(max(stored.positions, default=watermark), self.log.watermark())
        return still if self.log.newest("policy") == work.policies else watermark

    def _seen_by(self, ref: ProcessRef, work: _Work, book: Any, watermark: int) -> LoadedProcess:
        """The process as an attempt sees it, its own facts included."""
        own = work.loaded(ref.stream)
        context = work.follow(ref.stream, lambda seen: self._processes[ref.kind].reads(ref, own.state, seen))
        return LoadedProcess(ref, own.state, own.version, context, book, watermark, work.newest())

    def _handle(self, orders: Sequence[Order], now: Instant | None) -> tuple[Accepted, ...] | Refusal | Conflict:
        prints = tuple(map(self._print, orders))
        moved: Moved | None = None
        seen_version = 0
        for attempt in range(ATTEMPTS_MAX):
            work = _Work(self)
            repeated = self._first_results(orders, prints, work.look(self._foreseen(work, orders), [o.command_id for o in orders]))
            if isinstance(repeated, Refusal):
                return repeated
            new = [(o, p) for o, p in zip(orders, prints, strict=True) if o.command_id not in repeated]
            if not new:
                return tuple(repeated[o.command_id] for o in orders)
            work.load({o.command.stream for o, _ in new})
            for order, _ in new:
                version = work.version(order.command.stream)
                if order.expected_version is not None and order.expected_version != version:
                    return Conflict(order.command.stream, order.expected_version, version)
            work.settle_now(now, tuple(o.command.stream for o, _ in new))
            book = self._books(work.policies)
            for order, fingerprint in new:
                refused = work.decide(order, fingerprint, book)
                if refused is not None:
                    return refused
            verdict = self._append(work)
            if isinstance(verdict, Stored):
                accepted = {o.command_id: a for (o, _), a in zip(new, work.accepted(), strict=True)}
                return tuple(repeated.get(o.command_id) or accepted[o.command_id] for o in orders)
            if isinstance(verdict, Known):
                continue
            moved, seen_version = verdict, work.version(verdict.stream)
            time.sleep(random.uniform(0, min(PAUSE_SECONDS_MAX, 0.002 * 2**attempt)))
        assert moved is not None, "a command is remembered and cannot be found"
        return Conflict(moved.stream, seen_version, moved.version)

    def _foreseen(self, work: _Work, orders: Sequence[Order]) -> dict[StreamId, None]:
        """The streams that the orders write and, as far as kept states tell, read."""
        found: dict[StreamId, None] = {}
        for order in orders:
            reads = partial(self._deciders[_kind(order.command.stream)].reads, order.command)
            found |= work.foreseen(order.command.stream, reads)
        return found

    def _append(self, work: _Work) -> Verdict:
        item = work.item()
        with _span("log.append", None, events=len(item.events), streams=len(item.checks)):
            verdict = self._appender.append(item)
        if isinstance(verdict, Moved):
            self._states.forget(verdict.stream)
            for key_id in work.keys:
                self._forget_key(key_id)
        if isinstance(verdict, Stored):
            work.stand_at(verdict.positions)
            for stream in {e.stream for e in item.events if e.name == ERASING_FACT}:
                self._erase(stream)
        return verdict

    def _erase(self, stream: StreamId) -> None:
        """The fact is recorded; now the key goes. If it cannot, `erasure.finish` sees to it."""
        with suppress(LogAway):
            self._destroy_key(stream)
        self._states.forget(stream)

    def _first_results(
        self, orders: Sequence[Order], prints: Sequence[bytes], remembered: Mapping[UUID, Remembered]
    ) -> dict[UUID, Accepted] | Refusal:
        results: dict[UUID, Accepted] = {}
        for order, fingerprint in zip(orders, prints, strict=True):
            first = remembered.get(order.command_id)
            if first is None:
                continue
            if not hmac.compare_digest(first.fingerprint, fingerprint):
                return Refusal(
                    "command-id-reused", "another command was carried out under this id; give the new one an id of its own"
                )
            facts = tuple(f.recorded for f in self.log.at(first.positions))
            own = [f.version for f in facts if f.stream == first.stream]
            results[order.command_id] = Accepted(
                first.stream,
                max(own) if own else self.log.version(first.stream),
                facts,
                facts[-1].position if facts else 0,
                repeated=True,
            )
        return results

    def _fold(self, stream: StreamId, state: Any, recorded: Recorded) -> Any:
        decider = self._deciders.get(_kind(stream))
        return state if decider is None else decider.evolve(state, recorded)

    def _print(self, order: Order) -> bytes:
        return self._fingerprint(type(order.command).__qualname__, _said(order.command))

    def _fingerprint(self, name: str, said: Any) -> bytes:
        return hmac.digest(self._fingerprint_key, name.encode() + b"\0" + _encoder.encode(said), hashlib.sha256)


class _Work:
    """One attempt: the streams as they were seen, and the events to be stored if they still are so."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._seen: dict[StreamId, _Seen] = {}
        self._read: dict[StreamId, int] = {}
        self._written: dict[StreamId, int] = {}
        self._events: list[EventRow] = []
        self._recorded: list[Recorded] = []
        self._command_of: list[int] = []
        self._commands: list[CommandRow] = []
        self._floor: Instant | None = None
        self._foreseen: dict[StreamId, _Entry] = {}
        self._trace: str | None = None
        self.keys: set[str] = set()
        self.policies: tuple[int, int] | None = None

    def foreseen(self, own: StreamId, reads: Callable[[Any, Context], tuple[StreamId, ...]]) -> dict[StreamId, None]:
        """The stream itself and those that `reads` would name if nothing had happened since their states were kept."""
        found: dict[StreamId, None] = {own: None}
        state = self._kept(own).state
        context: dict[StreamId, Loaded] = {}
        for _ in range(READ_ROUNDS):
            named = [s for s in reads(state, context) if s not in found]
            if not named:
                break
            found |= dict.fromkeys(named)
            context |= {s: self._kept(s) for s in named}
        return found

    def _kept(self, stream: StreamId) -> Loaded:
        seen = self._gateway._states.peek(stream) or _unwritten(self._gateway._deciders, stream)
        return Loaded(seen.state, seen.version)

    def look(self, streams: Iterable[StreamId], commands: Sequence[UUID] = ()) -> Mapping[UUID, Remembered]:
        """One round trip for what will probably be needed: `load` takes from it what it is asked for. Answers what is remembered of
        the commands."""
        states, deciders = self._gateway._states, self._gateway._deciders
        begun = states.begun(deciders, tuple(streams))
        look = self._gateway.log.look({s: seen.version for s, (seen, _) in begun.items()}, commands, "policy")
        self.policies = look.newest
        self._foreseen = states.folded(deciders, begun, look.tails)
        return look.remembered

    def load(self, streams: Iterable[StreamId]) -> None:
        """See the streams, and remember at which version: what is stored is stored only if they are still there."""
        wanted = [s for s in streams if s not in self._seen]
        missing = tuple(s for s in wanted if s not in self._foreseen)
        if missing:
            states, deciders = self._gateway._states, self._gateway._deciders
            begun = states.begun(deciders, missing)
            tails = self._gateway.log.tails({s: seen.version for s, (seen, _) in begun.items()})
            self._foreseen |= states.folded(deciders, begun, tails)
        for stream in wanted:
            self._seen[stream] = self._foreseen[stream][0]
            self._read[stream] = self._seen[stream].version

    def version(self, stream: StreamId) -> int:
        """The version at which the stream was seen, before this attempt's own facts."""
        return self._read[stream]

    def loaded(self, stream: StreamId) -> Loaded:
        seen = self._seen[stream]
        return Loaded(seen.state, seen.version)

    def newest(self) -> Instant | None:
        """When the newest of what was loaded was recorded."""
        return max((seen.recorded_at for seen in self._seen.values() if seen.recorded_at is not None), default=None)

    def follow(self, own: StreamId, reads: Callable[[Context], tuple[StreamId, ...]]) -> Context:
        """The streams that are asked for, until none is added."""
        context: dict[StreamId, Loaded] = {}
        for _ in range(READ_ROUNDS):
            named = [s for s in reads(context) if s != own and s not in context]
            if not named:
                return context
            self.load(named)
            context.update((s, self.loaded(s)) for s in named)
        assert all(s == own or s in context for s in reads(context)), f"what {own} reads does not settle in {READ_ROUNDS} rounds"
        return context

    def settle_now(self, now: Instant | None, streams: Iterable[StreamId]) -> None:
        """Fix this attempt's instant: the clock's, or the caller's where that is later; never below what the streams have."""
        instants = [self._gateway.clock.now(), *(at for s in streams if (at := self._seen[s].recorded_at) is not None)]
        if now is not None:
            instants.append(now)
        self._floor = max(instants)
        self._trace = current_traceparent()

    def carried_out(self, order: Order, fingerprint: bytes, book: Any) -> bool:
        """Whether an order led to facts."""
        before = len(self._events)
        self.load((order.command.stream,))
        return self.decide(order, fingerprint, book) is None and len(self._events) > before

    def decide(self, order: Order, fingerprint: bytes, book: Any) -> Refusal | None:
        command, stream = order.command, order.command.stream
        decider = self._gateway._deciders[_kind(stream)]
        state = self._seen[stream].state
        context = self.follow(stream, lambda seen: decider.reads(command, state, seen))
        assert self._floor is not None
        decision = decider.decide(command, state, context, book, self._floor)
        if isinstance(decision, Refusal):
            return decision
        return self.record(order, decision, fingerprint)

    def record(self, order: Order, decision: Sequence[Fact | On], fingerprint: bytes) -> Refusal | None:
        """Turn decided facts into events. A refusal when one of them concerns a person who was erased."""
        assert len(decision) <= FACTS_PER_DECISION_MAX
        codec, command = self._gateway.log.codec, order.command
        placed = [(d.stream, d.fact) if isinstance(d, On) else (command.stream, d) for d in decision]
        happened = [d.occurred_at if isinstance(d, On) else None for d in decision]
        self.load(dict.fromkeys(stream for stream, _ in placed))
        key_ids: list[str | None] = []
        for stream, fact in placed:
            key_id = self._whose(stream, fact, placed) if codec.is_sealed(fact) else None
            key_ids.append(key_id)
            if key_id is not None:
                self.keys.add(key_id)
                self.load((key_id,))  # its version is checked with the append: no sealing past an erasure
        assert self._floor is not None
        recorded_at = max([self._floor, *(at for s, _ in placed if (at := self._seen[s].recorded_at) is not None)])
        index = len(self._commands)
        trace = self._trace or order.trace
        for n, ((stream, fact), key_id, at) in enumerate(zip(placed, key_ids, happened, strict=True)):
            seen = self._seen[stream]
            event_id = named_id(order.command_id, str(n))
            recorded = Recorded(
                fact, str(event_id), stream, seen.version + 1, 0, at or command.occurred_at or recorded_at,
                command.said_at, recorded_at, command.by, command.message_id,
            )  # fmt: skip
            policy = getattr(fact, "policy", None)
            meta = Meta(
                occurred_at=recorded.occurred_at, recorded_at=recorded_at, actor=command.by, said_at=command.said_at,
                command_id=str(order.command_id), message_id=command.message_id, causation=order.causation,
                correlation=order.correlation, trace=trace,
                policy=policy if isinstance(policy, str) and policy else None, tags=self._gateway._tags(recorded),
            )  # fmt: skip
            try:
                row = codec.encode(
                    fact, stream=stream, version=recorded.version, event_id=event_id, meta=meta, key_id=key_id, previous=seen.hash
                )
            except Erased:
                return Refusal("erased", "the person's data was erased; nothing personal can be recorded about them any more")
            state = self._gateway._fold(stream, seen.state, recorded)
            self._seen[stream] = _Seen(state, recorded.version, row.hash, recorded_at)
            self._written[stream] = recorded.version
            self._events.append(row)
            self._recorded.append(recorded)
            self._command_of.append(index)
        self._commands.append(CommandRow(order.command_id, fingerprint, command.stream))
        return None

    def item(self) -> Item:
        own = {c.stream for c in self._commands}
        return Item(
            events=tuple(self._events),
            checks=tuple(Check(s, v, s in self._written or s in own) for s, v in self._read.items()),
            commands=tuple(self._commands),
            command_of=tuple(self._command_of),
        )

    def stand_at(self, positions: Sequence[int]) -> None:
        """The append was stored, at these positions. The states that it led to are kept: whoever asks next need not read it."""
        self._recorded = [_at(recorded, position) for recorded, position in zip(self._recorded, positions, strict=True)]
        self._gateway._states.keep({s: (self._seen[s], self._foreseen[s][1]) for s in self._written})

    def accepted(self) -> tuple[Accepted, ...]:
        """A result a command."""
        facts_of: list[list[Recorded]] = [[] for _ in self._commands]
        for recorded, of in zip(self._recorded, self._command_of, strict=True):
            facts_of[of].append(recorded)
        results = []
        for command, facts in zip(self._commands, facts_of, strict=True):
            own = [f.version for f in facts if f.stream == command.stream]
            version = own[-1] if own else self._seen[command.stream].version
            results.append(Accepted(command.stream, version, tuple(facts), facts[-1].position if facts else 0))
        return tuple(results)

    def _whose(self, stream: StreamId, fact: Fact, placed: Sequence[tuple[StreamId, Fact]]) -> StreamId:
        key_id = self._gateway._subject_of(stream, fact, self._seen[stream].state)
        if key_id is None:  # the stream begins with this decision: a fact beside it names the member
            key_id = next((k for s, f in placed if s == stream and (k := self._gateway._subject_of(s, f, None))), None)
        assert key_id is not None, f"{type(fact).__name__} says something personal; neither it nor its stream names a member"
        return key_id


@dataclass(frozen=True, slots=True)
class _Seen:
    """A stream as it was seen: folded, with what its next event is chained to."""

    state: Any
    version: int
    hash: bytes
    recorded_at: datetime | None


_Entry = tuple[_Seen, float]
"""A stream as it was seen, and until when that may be kept."""


@dataclass(slots=True)
class _States:
    """Folded states by stream, brought up to date by reading what is new. Bounded, and nothing in it grows old."""

    _kept: OrderedDict[StreamId, _Entry] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def peek(self, stream: StreamId) -> _Seen | None:
        """What is kept of a stream, if it has not grown old. It may be behind."""
        with self._lock:
            kept = self._kept.get(stream)
        return kept[0] if kept is not None and kept[1] > time.monotonic() else None

    def begun(self, deciders: Mapping[str, Decider], streams: Sequence[StreamId]) -> dict[StreamId, _Entry]:
        """From where each stream has to be read on, and until when its state may be kept."""
        now = time.monotonic()
        found: dict[StreamId, _Entry] = {}
        with self._lock:
            for stream in streams:
                kept = self._kept.get(stream)
                if kept is not None and kept[1] > now:
                    self._kept.move_to_end(stream)
                    found[stream] = kept
        return {s: found[s] if s in found else (_unwritten(deciders, s), now + STATE_CACHE_SECONDS) for s in streams}

    def folded(
        self, deciders: Mapping[str, Decider], begun: dict[StreamId, _Entry], tails: Mapping[StreamId, Tail]
    ) -> dict[StreamId, _Entry]:  # fmt: skip
        """The streams with what is new of them, which is kept."""
        for stream, tail in tails.items():
            seen, good_until = begun[stream]
            state = seen.state
            decider = deciders.get(_kind(stream))
            if decider is not None:
                state = decider.evolve_all(state, tail.facts)
            last = tail.facts[-1]
            begun[stream] = (_Seen(state, last.version, tail.hash, last.recorded_at), good_until)
        self.keep(begun)
        return begun

    def keep(self, entries: Mapping[StreamId, _Entry]) -> None:
        """Keep what is newer than what is kept, each no longer than it may be."""
        with self._lock:
            for stream, entry in entries.items():
                kept = self._kept.get(stream)
                if entry[0].version > 0 and (kept is None or kept[0].version <= entry[0].version):
                    self._kept[stream] = entry
                    self._kept.move_to_end(stream)
            while len(self._kept) > STATES_CACHED_MAX:
                self._kept.popitem(last=False)

    def forget(self, stream: StreamId | None) -> None:
        with self._lock:
            if stream is None:
                self._kept.clear()
            else:
                self._kept.pop(stream, None)


def _unwritten(deciders: Mapping[str, Decider], stream: StreamId) -> _Seen:
    decider = deciders.get(_kind(stream))
    return _Seen(None if decider is None else decider.initial(stream), 0, FIRST_PREVIOUS, None)


def _kind(stream: StreamId) -> str:
    return stream.partition("-")[0]


def _at(recorded: Recorded, position: int) -> Recorded:
    r = recorded
    return Recorded(
        r.fact, r.event_id, r.stream, r.version, position, r.occurred_at, r.said_at, r.recorded_at, r.actor, r.message_id
    )  # fmt: skip


def _said(command: Command) -> list[tuple[str, Any]]:
    return [(f.name, getattr(command, f.name)) for f in fields(command) if f.name not in TIMELESS]


_encoder = msgspec.json.Encoder(order="deterministic")
_tracer = otel.get_tracer("throughline.eventlog")


def _span(name: str, traceparent: str | None, **attributes: Any) -> Any:
    """A span under the caller's, or under the trace that came with the command; none where nobody asked for spans, because the
    library's empty ones cost a tenth of a command."""
    if isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
        return nullcontext(otel.INVALID_SPAN)
    parent = None
    if traceparent and not otel.get_current_span().get_span_context().is_valid:
        parent = context_of(traceparent)
    return _tracer.start_as_current_span(
        name, context=parent, attributes={f"throughline.{k}": v for k, v in attributes.items()}, record_exception=False
    )
