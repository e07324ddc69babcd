"""Tails the log and tells processes that it has something for them: at least once, in any order, harmless (design.md 4).

It decides nothing and skips nothing. A process that Temporal refuses is parked; when Temporal is away it waits, and everything else
of the system goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.service import RPCError

from domain.core import AllOpen, ProcessRef
from eventlog import killpoints
from eventlog.codec import StoredFact
from eventlog.log import Batch, Log
from eventlog.recorder import LogAway
from eventlog.wake import Poller
from workers.heartbeat import POSTGRESQL, TEMPORAL, Beat, unheard
from workers.programme import Programme
from workers.reconcile import age_of_last_pass
from workers.router_store import AnotherIncarnation, AnotherRouter, Findings, RouterStore
from workers.signals import TemporalAway, send_news, send_nudge
from workers.telemetry import continued

POLICY = "policy-"
"""Tags of policies name thousands of processes: a fact about one starts a sweep instead of a burst."""

TIED = "member-"
"""What stands in a process's place under a tag, and begins so, is a stream to which the tag's is tied."""

AWAY = (TemporalAway, LogAway, psycopg.OperationalError, PoolTimeout)

_log = structlog.get_logger("throughline.router")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the router may be."""

    batch: int = 500
    in_flight: int = 32
    idle_seconds: float = 1.0
    sweep_per_second: int = 20
    sweep_seconds: float = 1.0
    away_seconds: float = 0.5
    away_seconds_max: float = 15.0
    reconcile_age_seconds_max: float = 300.0
    reconcile_asked_seconds: float = 60.0


class Router:
    """One router of a log. A second one beside it is harmless: both may signal, one of them tracks."""

    def __init__(self, log: Log, store: RouterStore, programme: Programme, client: Client, pace: Pace = Pace()) -> None:
        self._log = log
        self._store = store
        self._programme = programme
        self._client = client
        self._pace = pace
        self._slots = asyncio.Semaphore(pace.in_flight)

    async def run(self, stop: asyncio.Event, beat: Beat = unheard) -> None:
        """Route until told to stop. Raises AnotherIncarnation where the log was restored."""
        with Poller(self._log) as poller:
            await asyncio.gather(
                self._until(stop, lambda: self._tail(stop, poller, beat), beat),
                self._until(stop, lambda: self._side_work(stop)),
            )

    async def turn(self, watermark: int | None = None) -> int:
        """Route one batch, up to a watermark where it was asked for already. The position that is reached."""
        start, batch, found = await asyncio.to_thread(self._next, watermark)
        if batch.position == start:
            return start
        failed = await self._tell(found.news, found.traces)
        killpoints.passing(killpoints.SIGNAL_TRACKING)
        await asyncio.to_thread(self._store.track, start, batch.position, found, failed)
        _log.info("routed", position=batch.position, facts=len(batch.facts), signals=len(found.news), parked=len(failed))
        return batch.position

    def _next(self, watermark: int | None = None) -> tuple[int, Batch, Findings]:
        """Where to go on from, the facts from there, and what they mean: in one thread, because each change of it costs time."""
        start = self._store.begin(self._log.incarnation())
        batch = self._log.after(start, limit=self._pace.batch, bound=watermark)
        return start, batch, self.find(batch.facts)

    def find(self, facts: Iterable[StoredFact]) -> Findings:
        """Which processes the facts may concern."""
        found = Findings()
        wanted: dict[tuple[str, str], tuple[int, str | None]] = {}
        for stored in facts:
            recorded, trace = stored.recorded, stored.meta.trace
            own = self._programme.process_of(recorded.stream)
            if own is not None:
                if (ended := self._programme.ends(recorded)) is not None:
                    found.open[own] = not ended
                found.tags.update((tag, own.stream) for tag in self._programme.tags(recorded))
                _tell(found, own, recorded.position, trace)
            found.tags.update((tied, recorded.stream) for tied in self._programme.ties(recorded))
            for target in self._programme.route(recorded):
                match target:
                    case ProcessRef():
                        _tell(found, target, recorded.position, trace)
                    case AllOpen(kind=kind, tag=tag):
                        wanted[kind, tag] = (recorded.position, trace)
        self._resolve(wanted, found)
        return found

    def _resolve(self, wanted: Mapping[tuple[str, str], tuple[int, str | None]], found: Findings) -> None:
        """Tags to processes: from the index, and from what this very batch adds to it. A process that ended keeps its tags, because
        a late correction must wake it; only a sweep passes over it."""
        if not wanted:
            return
        if ties := [(tag, stream) for tag, stream in found.tags if stream.startswith(TIED)]:
            wanted = {**{(k, s): at for (k, t), at in wanted.items() for tag, s in ties if tag == t}, **wanted}
        indexed = self._store.tagged(wanted)
        fresh = [(ProcessRef.of(stream), tag) for tag, stream in found.tags]
        for (kind, tag), (position, trace) in wanted.items():
            carriers = {*indexed[kind, tag], *(ref for ref, own in fresh if own == tag and ref.kind == kind)}
            if not tag.startswith(POLICY):
                for ref in carriers:
                    _tell(found, ref, position, trace)
                continue
            ended = self._store.closed(carriers)
            found.sweep.update((ref, position) for ref in carriers - ended)

    async def _tell(self, news: Mapping[ProcessRef, int], traces: Mapping[ProcessRef, str]) -> dict[ProcessRef, str]:
        """Signal all, many at a time; those of one episode one after the other, because what one of them writes the others read:
        side by side they would wait for each other in Temporal and in the worker, and the first would be done as late as the last.
        Those that Temporal refused, with the code. Raises TemporalAway."""
        failed: dict[ProcessRef, str] = {}

        async def one(process: ProcessRef, position: int) -> None:
            async with self._slots:
                with continued("router.signal", traces.get(process), process=process.stream, position=position):
                    try:
                        await send_news(self._client, process, position)
                    except RPCError as error:
                        failed[process] = f"temporal_{error.status.name.lower()}"
                        _log.error("process parked", process=process.stream, code=failed[process])

        async def one_by_one(processes: Iterable[ProcessRef]) -> None:
            for process in processes:
                await one(process, news[process])

        together: dict[str, list[ProcessRef]] = {}
        for process in news:
            together.setdefault(process.id, []).append(process)
        await _all(map(one_by_one, together.values()))
        return failed

    async def _tail(self, stop: asyncio.Event, poller: Poller, beat: Beat) -> None:
        watermark: int | None = None
        while not stop.is_set():
            try:
                position = await self.turn(watermark)
            except AnotherRouter:
                _log.warning("another router tracks", retry_seconds=self._pace.away_seconds)
                beat()
                await _pause(stop, self._pace.away_seconds)  # both may run for days: each then has its turn, neither spins
                continue
            beat()
            seen = await poller.beyond(position, self._pace.idle_seconds)
            watermark = seen if seen > position else None

    async def _side_work(self, stop: asyncio.Event) -> None:
        """What is not urgent: sweeps at their rate, parked processes when their next try is due, the age of reconcile."""
        asked_at = -self._pace.reconcile_asked_seconds
        while not stop.is_set():
            now = asyncio.get_running_loop().time()
            if now - asked_at >= self._pace.reconcile_asked_seconds:
                asked_at = now
                await asyncio.to_thread(self._look_after_reconcile)
            sweep = await asyncio.to_thread(self._store.take_sweep, self._pace.sweep_per_second)
            failed = await self._tell(sweep, {})
            for process, code in failed.items():
                await asyncio.to_thread(self._store.parked_again, process, sweep[process], code)
            await asyncio.to_thread(self._store.swept, sweep)
            await self._try_parked()
            await _pause(stop, self._pace.sweep_seconds)

    def _look_after_reconcile(self) -> None:
        """Whoever looks after the processes is looked after here: its Schedule may be gone with Temporal's database."""
        age = age_of_last_pass(self._store.pool)
        if age is None or age.total_seconds() > self._pace.reconcile_age_seconds_max:
            _log.error("reconcile is late", age_seconds=None if age is None else age.total_seconds())

    async def _try_parked(self) -> None:
        due = await asyncio.to_thread(self._store.parked_due, self._pace.in_flight)
        if not due:
            return
        failed = await self._tell(due, {})
        for process, code in failed.items():
            await asyncio.to_thread(self._store.parked_again, process, due[process], code)
        await asyncio.to_thread(self._store.released, [process for process in due if process not in failed])

    async def _until(self, stop: asyncio.Event, work: Callable[[], Awaitable[None]], beat: Beat = unheard) -> None:
        """Go on with some work until told to stop, through outages of PostgreSQL and Temporal. Other errors end the router."""
        pause = self._pace.away_seconds
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await work()
            except AWAY as error:
                if asyncio.get_running_loop().time() - began > self._pace.away_seconds_max:
                    pause = self._pace.away_seconds
                _log.warning("away", error=type(error).__name__, retry_seconds=pause)
                beat(TEMPORAL if isinstance(error, TemporalAway) else POSTGRESQL)
                await _pause(stop, pause)
                pause = min(pause * 2, self._pace.away_seconds_max)
            except BaseException:
                stop.set()
                raise


def check_incarnation(log: Log, store: RouterStore) -> UUID:
    """Refuse to work on a log that was restored since the workflows were built. Raises AnotherIncarnation."""
    incarnation = log.incarnation()
    known = store.known_incarnation()
    if known is not None and known != incarnation:
        raise AnotherIncarnation
    return incarnation


def _tell(found: Findings, process: ProcessRef, position: int, trace: str | None) -> None:
    found.tell(process, position)
    if trace is not None:
        found.traces[process] = trace


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until told to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """Wait for all; raise the first error after the last has ended."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


__all__ = ["AnotherIncarnation", "Pace", "Router", "check_incarnation", "send_nudge"]
