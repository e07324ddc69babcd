"""The vocabulary of the core: facts recorded, commands decided, processes planned (design.md 3).

Everything that decides about a member's care speaks in these types. Nothing here may read a clock, do I/O or import beyond the
standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

StreamId = str
"""`<kind>-<uuid>`: also the workflow id, the URL and the span attribute. Opaque: says nothing about the member."""

EventId = str
Instant = datetime
"""An aware datetime in UTC."""

Found = TypeVar("Found")

SYSTEM = "system"
"""The actor of what the software itself decided (a miss, a proposal, a request)."""


class Fact:
    """Something that happened or was decided, in the past tense. Subclasses are frozen dataclasses."""

    __slots__ = ()


def personal() -> Any:
    """A fact's field of personal data: sealed with the member's own key in the log, None after the key was erased."""
    return field(default=None, metadata={"personal": True})


def personal_fields(kind: type) -> tuple[str, ...]:
    """The names of the fields of a fact or command class that were declared with `personal()`."""
    return tuple(f.name for f in fields(kind) if f.metadata.get("personal"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that somebody asks for, in the imperative. Subclasses add what it says.

    `stream` is where its facts go. `by` is the actor: a staff stream id, `system`, or `source:<name>`. `occurred_at` is when it
    happened in the world (None: now). `said_at` is when a hospital's system said so; `message_id` names the inbox row.
    """

    stream: StreamId
    by: str
    occurred_at: Instant | None = None
    said_at: Instant | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class On:
    """A fact that a decision writes to another stream than the command's own: a claim, made or released with it. `occurred_at` is
    given where it is not the command's: a fact that is taken over from elsewhere."""

    stream: StreamId
    fact: Fact
    occurred_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the rules do not allow: a value that the API shows. `because` names the field and the remedy."""

    code: str
    because: str


Decision = tuple[Fact | On, ...] | Refusal
"""What `decide` returns. An empty tuple means: already so, harmless."""


class Recorded(NamedTuple):
    """A fact as the log keeps it: what `evolve` and `route` see. A named tuple because so many are made: every load of a stream
    makes one a fact, and a frozen dataclass takes four times as long to make.

    `position` is its place in the whole log, `version` its place in its stream (from 1). `occurred_at` is when it happened in the
    world, `said_at` when a hospital's system said so (MSH-7), `recorded_at` when it entered the log.
    """

    fact: Any
    event_id: EventId
    stream: StreamId
    version: int
    position: int
    occurred_at: Instant
    said_at: Instant | None
    recorded_at: Instant
    actor: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The folded state of a stream and the version up to which it is folded (0: the stream is empty)."""

    state: Any
    version: int


Context = Mapping[StreamId, Loaded]
"""The streams that a decision or a plan read besides its own."""


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A long-running process: the kind is also its folder in `domain/`; `<kind>-<id>` is its stream and its workflow id."""

    kind: str
    id: str

    @property
    def stream(self) -> StreamId:
        return f"{self.kind}-{self.id}"

    @classmethod
    def of(cls, stream: StreamId) -> ProcessRef:
        kind, _, id = stream.partition("-")
        assert kind and id, stream
        return cls(kind, id)


@dataclass(frozen=True, slots=True)
class AllOpen:
    """Every open process of the kind that carries the tag; resolved by the router's index."""

    kind: str
    tag: str


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open: `opens <= t < due` is on time, `due <= t < closes` is late, afterwards it can no longer be met."""

    opens: Instant
    due: Instant
    closes: Instant

    def __post_init__(self) -> None:
        assert self.opens <= self.due <= self.closes, self


class ObligationState(StrEnum):
    OPEN = "open"
    MET = "met"
    MET_LATE = "met_late"
    MISSED = "missed"
    WITHDRAWN = "withdrawn"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True)
class Because:
    """Why something is owed or was decided: the rule, the policy version that held it, and the facts that it rests on."""

    rule: str
    policy: str
    facts: tuple[EventId, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Obligation:
    """A promise: what is owed, by when, by whom, and why.

    `act_by` is the last moment at which acting is still allowed (quiet hours before a midnight due). `owed_by` is a staff stream
    id, or a role where nobody is assigned. `subject` is the stream of whom or what it concerns. `governing` is False for a
    verdict that is computed and shown beside the one that counts. `suspended` obligations do not run.
    """

    key: str
    window: Window
    act_by: Instant
    state: ObligationState
    owed_by: str
    because: Because
    subject: StreamId = ""
    governing: bool = True
    suspended: bool = False
    met_at: Instant | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A command that the plan wants carried out. `as_of` is when it counts as having happened: the due instant for a miss.

    `key` names the rule, the cause and a generation that only grows; `command_id = uuid5(process, key)`.
    """

    key: str
    command: Command
    as_of: Instant


@dataclass(frozen=True, slots=True)
class Effect:
    """A request written in the log that has no outcome yet. `deliver` carries it out."""

    key: str
    kind: str
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process does next, seen from its whole folded state at one instant. `turn` of `turns_max` is for people to read:
    attempts made, and how many the policy asks for at least."""

    steps: tuple[Step, ...] = ()
    effects: tuple[Effect, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    wake_at: Instant | None = None
    waiting_for: str = ""
    done: bool = False
    turn: int | None = None
    turns_max: int | None = None


class Alarm:
    """Keeps the earliest instant strictly later than `now` of all that a plan compares with it (design.md 3, point 5).

    Whoever reads `now` itself, instead of asking whether an instant was `reached`, has an answer for this very instant and no
    other: `fixed` says so to `domain.remembered`."""

    __slots__ = ("_now", "at", "fixed")

    def __init__(self, now: Instant) -> None:
        self._now = now
        self.at: Instant | None = None
        self.fixed = False

    @property
    def now(self) -> Instant:
        self.fixed = True
        return self._now

    def reached(self, instant: Instant | None) -> bool:
        """Whether the instant has come; if not, the plan is to look again then."""
        if instant is None:
            return False
        if instant <= self._now:
            return True
        if self.at is None or instant < self.at:
            self.at = instant
        return False

    def turning_at(self, instants: Iterable[Instant]) -> Instant:
        """Now, for an answer that turns at these instants and at no other."""
        for instant in instants:
            self.reached(instant)
        return self._now

    def turns_since(self, since: Instant, every: timedelta) -> int:
        """How many whole turns are over, none before `since`; the plan is to look again at the end of the one that runs."""
        turn = max(0, (self._now - since) // every)
        self.reached(since + every * (turn + 1))
        return turn

    def as_before(self, name: Hashable, work: Callable[[], Found], *of: object) -> Found:
        """What `work` finds. `domain.remembered` has an alarm that does not work out again what was found before of the same."""
        return work()


class PolicyReader(Protocol):
    """Marks a parameter that is a `domain.policy.PolicyBook`, which this module may not import."""


Evolve = Callable[[Any, Recorded], Any]
EvolveAll = Callable[[Any, Sequence[Recorded]], Any]
Decide = Callable[[Any, Any, Context, Any, Instant], Decision]
Planner = Callable[[Any, Context, Any, Instant], Plan]
Reads = Callable[[StreamId, Any, Context], tuple[StreamId, ...]]


@dataclass(frozen=True, slots=True)
class Decider:
    """One kind of stream: how its state begins, changes and answers commands.

    `initial(stream)` gives the empty state. `reads(command, state, context)` names the other streams that deciding a command needs;
    it is asked repeatedly until it names nothing new, at most `READ_ROUNDS` times. `at_once` does with many facts what `evolve`
    does with one after another, where a kind of stream can do that faster: loading is nothing else.
    """

    kind: str
    initial: Callable[[StreamId], Any]
    evolve: Evolve
    decide: Decide
    reads: Callable[[Any, Any, Context], tuple[StreamId, ...]]
    at_once: EvolveAll | None = None

    def evolve_all(self, state: Any, history: Sequence[Recorded]) -> Any:
        """The state after several facts."""
        if self.at_once is not None:
            return self.at_once(state, history)
        for recorded in history:
            state = self.evolve(state, recorded)
        return state


def no_tags(fact: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Process:
    """A decider that also plans: `plan(state, context, book, now)` after `reads(ref, state, context)` was followed.

    There is one of each kind per episode, under the episode's uuid. The rest says how it is found and woken, once for everybody
    who has to know (routing, the router's index, the read models): its own facts that open, end and resume it; `tags`, the streams
    whose facts concern it from a fact of its own on; `heeds`, facts of its episode's other processes, and of caseloads, that
    concern it too; `ignores`, facts of its episode that never change what it plans."""

    kind: str
    plan: Planner
    reads: Callable[[ProcessRef, Any, Context], tuple[StreamId, ...]]
    opens: type[Fact] | None = None
    ends: type[Fact] | None = None
    resumes: type[Fact] | None = None
    tags: Callable[[Any], tuple[str, ...]] = no_tags
    heeds: tuple[type[Fact], ...] = ()
    ignores: tuple[type[Fact], ...] = ()


READ_ROUNDS = 6


def fold(decider: Decider, stream: StreamId, history: Iterable[Recorded]) -> Loaded:
    """The state of a stream after its history, with the version of the last fact."""
    history = tuple(history)
    return Loaded(decider.evolve_all(decider.initial(stream), history), history[-1].version if history else 0)


def later(*instants: Instant | None) -> Instant | None:
    return max((i for i in instants if i is not None), default=None)


def earlier(*instants: Instant | None) -> Instant | None:
    return min((i for i in instants if i is not None), default=None)


ONE_SECOND = timedelta(seconds=1)
