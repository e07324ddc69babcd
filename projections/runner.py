"""Carries read models forward: in batches, exactly once, past poison, rebuilt beside the one that is shown.

- A batch is folded per key in memory and written with one upsert; rows, parked facts and the position commit together. The position
  moves by compare-and-swap from where the batch began, which is the first thing that the transaction does: a second projector of
  the same build waits there, sees that it came too late, and has written nothing.
- A fact that a fold cannot take, or whose row the table refuses, is parked under its row's key, and later facts of that key queue
  behind it. Only fold, data and integrity errors park: when the database or the keys are away, nothing moves.
- A rebuild writes a build of its own while the shown one goes on; at the end view and active build change in one transaction.

Nothing here knows what a read model is about.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from eventlog.codec import NamedFact, StoredFact, UnknownFact
from eventlog.keys import CannotUnwrap
from eventlog.log import Log
from eventlog.recorder import LogAway
from projections import store
from projections.feed import Feed, Progress, RawBatch
from projections.folding import Amiss, Groups, Kept, Poison, folded, grouped, poured, queue_behind, set_aside, where
from projections.model import ReadModel
from projections.store import Advanced, Build, Conn, Parked

LIVE_FACTS_MAX = 2_000
"""Of one transaction of a live projector: short, so that readers and the other projector wait for milliseconds."""

REBUILD_FACTS_MAX = 20_000
"""Of one transaction of a rebuild: engine.md A2 measured 146 000 facts a second at this size, 53 000 at a thousand."""

PARKED_FACTS_MAX = 50_000
"""Of one build. When so much waits, it is not a bad fact but a bad fold: the read model stops instead."""

SWAP_ATTEMPTS_MAX = 20


class ProjectorAway(Exception):
    """PostgreSQL or the keys cannot be reached: nothing was written, try again later. `code` has no values in it."""


class KeysAway(ProjectorAway):
    """The keys cannot be had: only a read model that unseals has to wait."""


class ProjectorStopped(Exception):
    """A read model cannot go on and must not skip: somebody has to look. The text names the read model and the reason."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step did. `caught_up`: it reached the watermark. `overtaken`: another projector had taken the batch, or the build."""

    facts: int
    position: int
    caught_up: bool
    parked: int = 0
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """What a step of several read models did: those named have caught up; the others have to step by themselves."""

    names: frozenset[str] = frozenset()
    facts: int = 0


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry of parked facts came to: how many were folded, how many still wait."""

    folded: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuild that is now shown."""

    name: str
    build: str
    facts: int
    position: int


class ModelState(StrEnum):
    """`behind`: facts wait. `rebuilding`: another build is about to be shown. `other_program`: what is shown was built by a program
    with another fold, and only `rebuild` takes it back."""

    LIVE = "live"
    BEHIND = "behind"
    REBUILDING = "rebuilding"
    STOPPED = "stopped"
    OTHER_PROGRAM = "other_program"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How a read model stands. `lag` counts positions up to the watermark. `building` is the build that is being made, if any."""

    name: str
    state: ModelState
    build: str
    fingerprint: str
    position: int
    lag: int
    parked: int
    discarded: int
    moved_at: datetime
    stopped_at: datetime | None
    stopped_because: str
    building: Build | None = None


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Facts and rows hold no circles: looking for some among so many took a third of the time of a batch."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Touched:
    """What a batch means to a read model: its facts by the rows that they touch, and how many facts there are."""

    groups: Groups
    facts: int


class Projector:
    """Carries a set of read models forward, one step at a time. One thread at a time; any number of processes."""

    def __init__(
        self,
        pool: ConnectionPool[Connection[TupleRow]],
        log: Log,
        models: Sequence[ReadModel[Any]],
        facts: Sequence[NamedFact],
        *,
        live_facts_max: int = LIVE_FACTS_MAX,
        rebuild_facts_max: int = REBUILD_FACTS_MAX,
        parked_facts_max: int = PARKED_FACTS_MAX,
    ) -> None:
        self.models = {model.name: model for model in models}
        assert len(self.models) == len(models), "two read models share a name"
        self.log = log
        self._pool = pool
        self._feed = Feed(log, facts)
        self._wanted = {model.name: self._feed.names(model.facts) for model in models}
        self._live_facts_max = live_facts_max
        self._rebuild_facts_max = rebuild_facts_max
        self._parked_facts_max = parked_facts_max
        self._built: dict[str, Kept] = {}
        """By read model: the rows of the build that this projector is making."""
        self._places: dict[str, tuple[str, int]] = {}
        """By read model: the build that was shown when it was looked at last, and where it stood."""

    # -- set-up

    def create(self) -> None:
        """Make the tables that are missing. A read model that was never built is shown at once, empty, and catches up."""
        with self._connection() as conn, conn.transaction():
            store.create(conn)
            for model in self.models.values():
                self._show_first(conn, model)

    # -- going forward

    def step(self, name: str, *, until: int | None = None) -> Stepped:
        """Fold the next batch into the build that is shown, or into the one that is to replace it.

        Raises ProjectorAway, ProjectorStopped.
        """
        model = self.models[name]
        until = self._watermark() if until is None else until
        with self._connection() as conn:
            found = store.shown_and_incarnation(conn, name)
            if found is not None and found[0].fingerprint == model.fingerprint and found[0].incarnation == found[1]:
                build, live = found[0], True
            else:
                own = self._own_build(conn, model)
                if own is None:
                    return Stepped(0, 0, caught_up=True, overtaken=True)
                build, live = own
        if live:
            done = self._step(model, build, until)
            self._places[name] = (build.build, done.position)
            return done
        done = self._build_on(model, build, until)
        if done.caught_up and not done.overtaken:
            self._swap(model, build.build)
        return done

    def step_together(self, names: Collection[str], *, until: int) -> Together:
        """Fold what is new into all those of these read models that stand furthest, in one transaction and four round trips.

        Exactly once, as in `step`. Read models with which anything is amiss, by themselves or in this batch, are left to `step`; so
        are all of them while they are more than a batch behind: then it is the rows that take time, which `step` copies in.
        Raises ProjectorAway.
        """
        start = max((self._places[name][1] for name in names if name in self._places), default=until)
        ours = {name: self._places[name][0] for name in names if name in self._places and self._places[name][1] == start}
        if start >= until:
            return Together()
        try:
            batch = self._feed.after(start, limit=self._live_facts_max, until=until)
        except LogAway as away:
            raise ProjectorAway(type(away).__name__) from None
        except UnknownFact:
            return Together()
        if batch.position < until:
            return Together()
        for name in ours:
            del self._places[name]
        touched = {name: found for name in ours if (found := self._touched(self.models[name], batch)) is not None}
        moved = self._carry({name: ours[name] for name in touched}, touched, start, batch.position)
        self._places.update((name, (ours[name], batch.position)) for name in moved)
        return Together(moved, sum(touched[name].facts for name in moved))

    def _touched(self, model: ReadModel[Any], batch: RawBatch) -> _Touched | None:
        """The facts by the rows that they touch; None where that cannot be said."""
        try:
            facts = batch.facts(self._wanted[model.name], unsealed=model.unseals)
            return _Touched(grouped(model, facts), len(facts))
        except (UnknownFact, Poison, CannotUnwrap, LogAway):
            return None

    def _carry(self, builds: Mapping[str, str], touched: Mapping[str, _Touched], start: int, end: int) -> frozenset[str]:
        """Fold and write what all these touch, and move them; the names of those that moved."""
        try:
            with self._connection() as conn, conn.pipeline(), conn.transaction():
                advancing = store.advance_all(conn, builds, start=start, end=end)
                asked = {
                    name: store.ask(conn, self.models[name], builds[name], tuple(found.groups))
                    for name, found in touched.items()
                    if found.groups and not self.models[name].append_only
                }
                moved = frozenset(name for name, _ in advancing)
                for name in moved:
                    model = self.models[name]
                    outcome = folded(model, store.loaded(model, asked[name]) if name in asked else {}, touched[name].groups)
                    if outcome.parked:
                        raise Amiss
                    store.save(conn, model, builds[name], list(outcome.rows.values()), outcome.gone)
        except (Amiss, psycopg.DataError, psycopg.IntegrityError, psycopg.errors.UndefinedTable):
            return frozenset()  # a fact that cannot be folded, a row that is refused, a table that was replaced and dropped
        return moved

    def run_until_caught_up(self, *names: str) -> int:
        """Step every read model (or those named) until each has reached the watermark of now; the number of facts folded."""
        until, folded = self._watermark(), 0
        behind = dict.fromkeys(names or self.models)
        while behind:
            together = self.step_together(behind, until=until)
            folded += together.facts
            for name in tuple(behind):
                if name not in together.names:
                    done = self.step(name, until=until)
                    folded += done.facts
                    if not done.caught_up:
                        continue
                del behind[name]
        return folded

    # -- rebuilding

    def rebuild(self, name: str, *, progress: Progress = lambda position, head: None) -> Rebuilt:
        """Build the read model anew beside the one that is shown, and show it. Goes on where an interrupted rebuild stopped.

        `progress` is told (position, head). Raises ProjectorAway, ProjectorStopped.
        """
        model = self.models[name]
        with self._connection() as conn:
            store.create(conn)
            with conn.transaction():
                store.active(conn, name, lock=True)
                build = self._unfinished(conn, model) or store.begin(conn, model, self.log.incarnation())
        facts = 0
        while True:
            until = self._watermark()
            done = self._build_on(model, build, until)
            facts += done.facts
            progress(done.position, until)
            with self._connection() as conn:
                found = store.build(conn, name, build.build)
                now_active = store.active(conn, name)
            if now_active is not None and now_active.build == build.build:
                return Rebuilt(name, build.build, facts, now_active.position)
            if found is None:
                raise ProjectorStopped(f"{name}: the build was dropped while it was being built; start the rebuild again")
            build = found
            if done.caught_up and not done.overtaken and self._swap(model, build.build):
                return Rebuilt(name, build.build, facts, done.position)

    def sweep(self) -> int:
        """Drop tables that were replaced; those still held by a reader stay for the next time."""
        dropped = 0
        with self._connection() as conn:
            for old in store.all_builds(conn):
                if old.retired:
                    try:
                        with conn.transaction():
                            store.drop(conn, old.name, old.build)
                        dropped += 1
                    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                        continue
        return dropped

    # -- looking

    def status(self) -> tuple[ModelStatus, ...]:
        """How every read model stands that was ever built."""
        watermark = self._watermark()
        with self._connection() as conn:
            shown = store.active_builds(conn)
            return tuple(
                self._status(conn, model, shown[model.name], watermark) for model in self.models.values() if model.name in shown
            )

    def _status(self, conn: Conn, model: ReadModel[Any], shown: str, watermark: int) -> ModelStatus:
        builds = store.builds(conn, model.name)
        active = next(b for b in builds if b.build == shown)
        building = next((b for b in builds if b.build != shown and not b.retired), None)
        if active.stopped_at is not None:
            state = ModelState.STOPPED
        elif active.fingerprint != model.fingerprint and store.was_shown(conn, model.name, model.fingerprint):
            state = ModelState.OTHER_PROGRAM
        elif active.fingerprint != model.fingerprint or building is not None:
            state = ModelState.REBUILDING
        else:
            state = ModelState.LIVE if active.position >= watermark else ModelState.BEHIND
        return ModelStatus(
            name=model.name,
            state=state,
            build=active.build,
            fingerprint=active.fingerprint,
            position=active.position,
            lag=max(0, watermark - active.position),
            parked=store.parked_count(conn, model.name, shown),
            discarded=len(store.discarded(conn, model.name, active.fingerprint)),
            moved_at=active.moved_at,
            stopped_at=active.stopped_at,
            stopped_because=active.stopped_because,
            building=building,
        )

    # -- parked facts

    def parked(self, name: str, *, key: str | None = None) -> tuple[Parked, ...]:
        """The facts that wait, in the build that is shown."""
        with self._connection() as conn:
            shown = store.active(conn, name)
            return () if shown is None else store.parked(conn, name, shown.build, key)

    def retry_parked(self, name: str, *, key: str | None = None) -> Retried:
        """Fold what is parked, in order; whatever still fails stays parked, with everything behind it."""
        model = self.models[name]
        folded = 0
        for each in [key] if key is not None else sorted({p.key for p in self.parked(name)}):
            with self._connection() as conn, conn.transaction():
                shown = self._lock_shown(conn, model)
                folded += self._retry_key(conn, model, shown, each)
        return Retried(folded, len(self.parked(name, key=key)))

    def discard_parked(self, name: str, *, key: str, position: int, by: str, because: str) -> Retried:
        """Leave one fact out of one row, by a person's explicit word, kept with its reason; then fold what queued behind it.

        Raises KeyError where nothing like that is parked.
        """
        assert by and because, "nothing is discarded silently: say who and why"
        model = self.models[name]
        with self._connection() as conn, conn.transaction():
            shown = self._lock_shown(conn, model)
            found = next((p for p in store.parked(conn, name, shown.build, key) if p.position == position), None)
            if found is None:
                raise KeyError(f"{name}: nothing is parked at position {position} under that key")
            store.discard(conn, shown, found, by, because)
            folded = self._retry_key(conn, model, shown, key)
        return Retried(folded, len(self.parked(name, key=key)))

    # -- one batch

    def _build_on(self, model: ReadModel[Any], build: Build, until: int) -> Stepped:
        """A step of a build that nobody is shown yet. Its rows stay in memory from one step to the next."""
        kept = self._built.pop(model.name, None)
        if kept is None or (kept.build, kept.position) != (build.build, build.position):
            kept = Kept(build.build, whole=build.position == 0)
        done = self._step(model, build, until, kept)
        if not done.overtaken and not done.caught_up:
            kept.position = done.position
            self._built[model.name] = kept
        return done

    @_without_collecting()
    def _step(self, model: ReadModel[Any], build: Build, until: int, kept: Kept | None = None) -> Stepped:
        try:
            names = self._wanted[model.name]
            if kept is None:
                batch = self._feed.after(build.position, limit=self._live_facts_max, until=until)
            else:
                batch = self._feed.wanted(names, build.position, limit=self._rebuild_facts_max, until=until)
            if batch.position == build.position:
                return Stepped(0, build.position, caught_up=True)
            with self._connection() as conn, conn.transaction():
                advanced = store.advance(conn, model.name, build.build, start=build.position, end=batch.position)
                if advanced is None:
                    return Stepped(0, build.position, caught_up=False, overtaken=True)
                facts = batch.facts(names, unsealed=model.unseals)
                poured = self._poured(conn, model, build, facts, advanced)
                parked = 0 if poured else self._apply(conn, model, build, facts, advanced, kept)
            return Stepped(len(facts), batch.position, caught_up=batch.position >= until, parked=parked)
        except UnknownFact as unknown:
            self._stop(model, build, str(unknown))
        except Poison as poison:
            self._stop(model, build, poison.reason)
        except CannotUnwrap as away:
            raise KeysAway(type(away).__name__) from None
        except LogAway as away:
            raise ProjectorAway(type(away).__name__) from None
        raise AssertionError("unreachable")

    def _poured(self, conn: Conn, model: ReadModel[Any], build: Build, facts: Collection[StoredFact], advanced: Advanced) -> bool:
        """Fold facts, copying their rows in at the same time, where no row depends on another and nothing is parked."""
        if not model.append_only or advanced.some_parked or advanced.some_discarded:
            return False
        try:
            with conn.transaction():
                store.insert(conn, model, build.build, poured(model, facts))
        except (Amiss, psycopg.DataError, psycopg.IntegrityError):
            return False
        return True

    def _apply(
        self, conn: Conn, model: ReadModel[Any], build: Build, facts: Collection[StoredFact], advanced: Advanced, kept: Kept | None
    ) -> int:
        """Fold facts into the rows of a build; the number of facts set aside."""
        if not facts:
            return 0
        groups = grouped(model, facts)
        waiting = store.parked_keys(conn, model.name, build.build) if advanced.some_parked else frozenset()
        left_out = store.discarded(conn, model.name, build.fingerprint) if advanced.some_discarded else frozenset()
        queued = set_aside(groups, waiting, left_out)
        rows = {} if kept is None else kept.rows
        if kept is None or not kept.whole:
            rows.update(store.load(conn, model, build.build, [key for key in groups if key not in rows]))
        outcome = folded(model, rows, groups)
        try:
            with conn.transaction():
                if kept is None:
                    store.save(conn, model, build.build, list(outcome.rows.values()), outcome.gone)
                else:
                    if fresh := [row for key, row in outcome.rows.items() if key not in rows]:
                        store.insert(conn, model, build.build, fresh)
                    changed = [row for key, row in outcome.rows.items() if key in rows]
                    store.save(conn, model, build.build, changed, outcome.gone)
                    if not model.append_only:
                        kept.take(outcome)
        except (psycopg.DataError, psycopg.IntegrityError):
            outcome.parked = self._one_by_one(conn, model, build, groups)
            if kept is not None:
                kept.forget()
        set_apart = queued + outcome.parked
        if outcome.parked and model.on_poison == "stop":
            first = min(outcome.parked, key=lambda p: p.position)
            raise Poison(f"the fact at position {first.position} cannot be counted: {first.reason}")
        if set_apart:
            store.park(conn, model.name, build.build, set_apart)
            total = store.parked_count(conn, model.name, build.build)
            if total > self._parked_facts_max:
                raise Poison(f"{total} facts would be parked, more than {self._parked_facts_max}: the fold is at fault")
        return len(set_apart)

    def _one_by_one(self, conn: Conn, model: ReadModel[Any], build: Build, groups: Groups) -> list[Parked]:
        """The slow way, after a batch whose rows the table refused: find the fact that did it, and keep everything before it."""
        return [p for key, facts in groups.items() for p in self._fold_and_save(conn, model, build, key, facts)]

    def _fold_and_save(
        self, conn: Conn, model: ReadModel[Any], build: Build, key: str, facts: Sequence[StoredFact]
    ) -> list[Parked]:
        """Fold and write fact by fact, for one key; what is set aside from the first failure on."""
        row = store.load(conn, model, build.build, (key,)).get(key)
        for index, fact in enumerate(facts):
            try:
                after = model.fold(key, row, fact)
            except Exception as error:
                return queue_behind(key, facts[index:], where(error))
            try:
                if after is not row:
                    with conn.transaction():
                        store.save(conn, model, build.build, [] if after is None else [after], [key] if after is None else [])
                row = after
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                return queue_behind(key, facts[index:], where(error))
        return []

    def _retry_key(self, conn: Conn, model: ReadModel[Any], shown: Build, key: str) -> int:
        waiting = store.parked(conn, model.name, shown.build, key)
        if not waiting:
            return 0
        facts = self._feed.at([p.position for p in waiting], unsealed=model.unseals)
        still = self._fold_and_save(conn, model, shown, key, facts)
        kept = {p.position for p in still}
        store.unpark(conn, model.name, shown.build, key, [p.position for p in waiting if p.position not in kept])
        store.park(conn, model.name, shown.build, still)
        return len(waiting) - len(still)

    # -- builds

    def _own_build(self, conn: Conn, model: ReadModel[Any]) -> tuple[Build, bool] | None:
        """The build that this program can fold, and whether it is the shown one or one that is to replace it.

        None: a program with another fold is in charge, and ours was replaced before; `rebuild` is how a person takes it back.
        """
        with conn.transaction():
            shown = store.active(conn, model.name)
            if shown is None:
                return self._show_first(conn, model), True
            incarnation = self.log.incarnation()
            if shown.fingerprint == model.fingerprint and shown.incarnation == incarnation:
                return shown, True
            if shown.fingerprint != model.fingerprint and store.was_shown(conn, model.name, model.fingerprint):
                return None
            store.active(conn, model.name, lock=True)
            return self._unfinished(conn, model) or store.begin(conn, model, incarnation), False

    def _show_first(self, conn: Conn, model: ReadModel[Any]) -> Build:
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (store.CREATE_LOCK,))
            shown = store.active(conn, model.name)
            if shown is None:
                shown = self._unfinished(conn, model) or store.begin(conn, model, self.log.incarnation())
                store.index(conn, model, shown.build)
                store.show(conn, model, shown)
            return shown

    def _unfinished(self, conn: Conn, model: ReadModel[Any]) -> Build | None:
        """A build of ours that was begun and is not shown yet."""
        shown = store.active(conn, model.name)
        incarnation = self.log.incarnation()
        for build in store.builds(conn, model.name):
            ours = build.fingerprint == model.fingerprint and build.incarnation == incarnation and not build.retired
            if ours and (shown is None or build.build != shown.build):
                return build
        return None

    def _lock_shown(self, conn: Conn, model: ReadModel[Any]) -> Build:
        shown = store.active(conn, model.name, lock=True)
        if shown is None or shown.fingerprint != model.fingerprint:
            raise ProjectorStopped(f"{model.name}: what is shown was built by another version of the program; rebuild it first")
        locked = store.build(conn, model.name, shown.build, lock=True)
        assert locked is not None
        return locked

    def _swap(self, model: ReadModel[Any], new: str) -> bool:
        """Show the new build, at a position that is not behind the old one's. False: it has to catch up more first."""
        with self._connection() as conn:
            fresh = store.build(conn, model.name, new)
            if fresh is None:
                return False
            if not fresh.indexed:
                with conn.transaction():
                    store.index(conn, model, new)
        for _ in range(SWAP_ATTEMPTS_MAX):
            with self._connection() as conn, conn.transaction():
                shown = store.active(conn, model.name, lock=True)
                if shown is not None and shown.build == new:
                    return True
                old = None if shown is None else store.build(conn, model.name, shown.build, lock=True)
                ours = store.build(conn, model.name, new, lock=True)
                if ours is None or ours.retired:
                    return False
                if old is None or old.incarnation != ours.incarnation or ours.position >= old.position:
                    store.show(conn, model, ours)
                    for other in store.builds(conn, model.name):
                        if other.build != new and (shown is None or other.build == shown.build or _is_stale(other, ours)):
                            store.retire(conn, model.name, other.build)
                    break
                behind = old.position
            self._step(model, ours, behind)
        else:
            return False
        self.sweep()
        return True

    # -- inside

    def _watermark(self) -> int:
        try:
            return self.log.watermark()
        except LogAway as away:
            raise ProjectorAway(str(away)) from None

    def _stop(self, model: ReadModel[Any], build: Build, because: str) -> None:
        with self._connection() as conn:
            store.stop(conn, model.name, build.build, because)
        raise ProjectorStopped(f"{model.name}: {because}")

    @contextmanager
    def _connection(self) -> Iterator[Conn]:
        try:
            with self._pool.connection() as conn:
                yield conn
        except CannotUnwrap as away:
            raise KeysAway(type(away).__name__) from None
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, LogAway) as away:
            raise ProjectorAway(type(away).__name__) from None


def _is_stale(build: Build, shown: Build) -> bool:
    """A build that nobody will finish: of another program, or of an earlier life of the log."""
    return build.fingerprint != shown.fingerprint or build.incarnation != shown.incarnation
