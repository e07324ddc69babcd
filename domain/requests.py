"""Messages as facts: asked for, begun, sent or failed (design.md 3, point 3).

A plan says what it `Want`s sent; `pursue` turns that into requests, retries, expiries and withdrawals, and lists as effects exactly
the requests that may be carried out now. Whom to write to and when is the process's business and not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

from domain.core import SYSTEM, Alarm, Command, Effect, Fact, Instant, Recorded, Step, StreamId

# --- facts ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequested(Fact):
    """Something is to be sent. `kind`: text, email, letter, call (a machine's voice call) or alert (to staff).

    `want` is what it serves; `turn` counts the requests for it from 1; `key` is both. `recipient` is a member's or staff stream
    id, or `role:<role>`; `point` is the member's contact point. `about` is the obligation or stream that an alert speaks of.
    """

    key: str
    want: str
    turn: int
    kind: str
    recipient: str
    template: str
    expires_at: Instant
    language: str = "en"
    point: str = ""
    about: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryBegun(Fact):
    """The sender is about to hand the message over. What happens between this and an outcome is not known for certain."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent(Fact):
    """The channel took it; `reference` is the channel's own id."""

    key: str
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed(Fact):
    """The channel refused it. Permanent: this contact point or channel is of no use. `code` is ours, never the channel's text."""

    key: str
    permanent: bool
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOutcomeUnknown(Fact):
    """Begun, and nobody can say whether it was sent. A person looks at it, unless the channel can be asked again safely."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExpired(Fact):
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWithdrawn(Fact):
    """It is no longer wanted or no longer allowed: opt-out, decline, death, contact."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered(Fact):
    """The channel says that it arrived."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBounced(Fact):
    """The channel says, after having taken it, that it did not arrive."""

    key: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAcknowledged(Fact):
    """The person to whom it was addressed has seen it."""

    key: str


RequestFact = (
    MessageRequested
    | DeliveryBegun
    | MessageSent
    | MessageFailed
    | DeliveryOutcomeUnknown
    | RequestExpired
    | RequestWithdrawn
    | MessageDelivered
    | MessageBounced
    | AlertAcknowledged
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRequest(Command):
    """Write what a plan wants sent, or what became of it."""

    fact: RequestFact


# --- state ---------------------------------------------------------------------------------------------------------------------


class RequestState(StrEnum):
    REQUESTED = "requested"
    BEGUN = "begun"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    FAILED_FOR_GOOD = "failed_for_good"
    BOUNCED = "bounced"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


WITHOUT_OUTCOME = (RequestState.REQUESTED, RequestState.BEGUN)
USELESS = (RequestState.FAILED_FOR_GOOD, RequestState.BOUNCED)
ASKED_AGAIN = (RequestState.FAILED, RequestState.WITHDRAWN)
OUT = (RequestState.SENT, RequestState.DELIVERED, RequestState.UNKNOWN)


class Request(NamedTuple):
    """One request and what became of it. `changed_at` is when its state was reached, by the world's time."""

    asked: MessageRequested
    asked_at: Instant
    state: RequestState
    changed_at: Instant
    code: str = ""
    acknowledged_at: Instant | None = None
    sent_at: Instant | None = None

    def became(self, state: RequestState, at: Instant, *, code: str | None = None, sent_at: Instant | None = None) -> Request:
        return Request(
            self.asked, self.asked_at, state, at, self.code if code is None else code, self.acknowledged_at, sent_at or self.sent_at
        )


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests of a stream, by key."""

    by_key: Mapping[str, Request] = field(default_factory=dict)

    def of(self, want: str) -> tuple[Request, ...]:
        """The requests that served a want, first to last."""
        return tuple(r for r in self.by_key.values() if r.asked.want == want)

    def evolve(self, recorded: Recorded) -> Requests:
        return self.evolve_all((recorded,))

    def evolve_all(self, history: Iterable[Recorded]) -> Requests:
        by_key = dict(self.by_key)
        for recorded in history:
            fact, at = recorded.fact, recorded.occurred_at
            old = by_key.get(fact.key)
            if old is not None:
                by_key[fact.key] = _evolved(old, fact, at)
            elif isinstance(fact, MessageRequested):
                by_key[fact.key] = Request(fact, at, RequestState.REQUESTED, at)
        return Requests(by_key)

    def decide(self, fact: RequestFact) -> tuple[Fact, ...]:
        """The fact, or nothing where it would say nothing new."""
        if isinstance(fact, MessageRequested):
            return () if fact.key in self.by_key else (fact,)
        old = self.by_key.get(fact.key)
        if old is None:
            return ()
        match fact:
            case DeliveryBegun() | RequestExpired():
                wanted = old.state is RequestState.REQUESTED
            case RequestWithdrawn():
                wanted = old.state in WITHOUT_OUTCOME
            case MessageSent() | MessageFailed():
                wanted = old.state in (RequestState.BEGUN, RequestState.UNKNOWN)
            case DeliveryOutcomeUnknown():
                wanted = old.state is RequestState.BEGUN
            case MessageDelivered() | MessageBounced():
                wanted = old.state not in (RequestState.DELIVERED, RequestState.BOUNCED)
            case AlertAcknowledged():
                wanted = old.acknowledged_at is None
            case _:
                assert_never(fact)
        return (fact,) if wanted else ()


def _evolved(old: Request, fact: RequestFact, at: Instant) -> Request:
    match fact:
        case DeliveryBegun():
            return old.became(RequestState.BEGUN, at)
        case MessageSent():
            return old.became(RequestState.SENT, at, sent_at=at)
        case MessageFailed(permanent=permanent, code=code):
            return old.became(RequestState.FAILED_FOR_GOOD if permanent else RequestState.FAILED, at, code=code)
        case DeliveryOutcomeUnknown():
            return old.became(RequestState.UNKNOWN, at)
        case RequestExpired():
            return old.became(RequestState.EXPIRED, at)
        case RequestWithdrawn(reason=reason):
            return old.became(RequestState.WITHDRAWN, at, code=reason)
        case MessageDelivered():
            return old.became(RequestState.DELIVERED, at)
        case MessageBounced(code=code):
            return old.became(RequestState.BOUNCED, at, code=code)
        case AlertAcknowledged():
            return old._replace(acknowledged_at=at)
        case MessageRequested():
            return old
        case _:
            assert_never(fact)


# --- planning ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Something that should be sent once. `not_before` holds it back (quiet hours); from `expires_at` on it is of no use."""

    key: str
    kind: str
    recipient: str
    template: str
    expires_at: Instant
    not_before: Instant | None = None
    language: str = "en"
    point: str = ""
    about: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a transient failure is tried again, and how long to wait first (doubled each time)."""

    turns_max: int
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Pursued:
    """`fallen`: wants that no machine will fulfil (failed for good, turns used up, expired), with the code. `waiting`: wants
    that are to be asked for, or asked for again, later."""

    steps: tuple[Step, ...]
    effects: tuple[Effect, ...]
    fallen: Mapping[str, str]
    waiting: tuple[str, ...]


def pursue(
    stream: StreamId,
    wants: Iterable[Want],
    ledger: Requests,
    forbidden: Callable[[MessageRequested], str],
    retry: Retry,
    alarm: Alarm,
) -> Pursued:
    """Bring the requests up to date with what is wanted now.

    `forbidden` gives the reason why a request may not be carried out, or "". A request that has not begun and is forbidden or no
    longer wanted is withdrawn.
    """
    steps: list[Step] = []
    effects: list[Effect] = []
    fallen: dict[str, str] = {}
    waiting: list[str] = []
    wanted = {want.key: want for want in wants}
    for request in ledger.by_key.values():
        if request.state not in WITHOUT_OUTCOME:
            continue
        asked = request.asked
        want = wanted.get(asked.want)
        if request.state is RequestState.BEGUN:
            effects.append(Effect(asked.key, asked.kind, asked.expires_at))
        elif alarm.reached(asked.expires_at):
            steps.append(_step(stream, RequestExpired(key=asked.key), alarm.now))
        elif reason := (forbidden(asked) or ("" if want is not None else "no_longer_wanted")):
            steps.append(_step(stream, RequestWithdrawn(key=asked.key, reason=reason), alarm.now))
        elif want is not None and (want.not_before is None or alarm.reached(want.not_before)):
            effects.append(Effect(asked.key, asked.kind, asked.expires_at))
    for want in wanted.values():
        turns = ledger.of(want.key)
        request_now, code = _next_turn(want, turns, retry, alarm)
        if code:
            fallen[want.key] = code
        elif (not turns or turns[-1].state in ASKED_AGAIN) and not alarm.reached(want.expires_at):
            asked = _asked(want, len(turns) + 1)
            if request_now and not forbidden(asked):
                steps.append(_step(stream, asked, alarm.now))
            else:
                waiting.append(want.key)
    return Pursued(tuple(steps), tuple(effects), fallen, tuple(waiting))


def _next_turn(want: Want, turns: tuple[Request, ...], retry: Retry, alarm: Alarm) -> tuple[bool, str]:
    """Whether to ask (again) now, and the code with which the want has fallen to a person."""
    if want.not_before is not None and not alarm.reached(want.not_before):
        return False, ""
    if not turns:
        return True, ""
    last = turns[-1]
    if last.state in USELESS:
        return False, last.code or last.state.value
    if last.state is RequestState.EXPIRED:
        return False, "expired"
    if last.state is RequestState.WITHDRAWN:
        return True, ""
    if last.state is RequestState.FAILED:
        if len(turns) >= retry.turns_max:
            return False, last.code or "failed"
        return alarm.reached(last.changed_at + retry.wait * 2 ** (len(turns) - 1)), ""
    return False, ""


def _asked(want: Want, turn: int) -> MessageRequested:
    return MessageRequested(
        key=f"{want.key}#{turn}",
        want=want.key,
        turn=turn,
        kind=want.kind,
        recipient=want.recipient,
        template=want.template,
        expires_at=want.expires_at,
        language=want.language,
        point=want.point,
        about=want.about,
        policy=want.policy,
    )


def _step(stream: StreamId, fact: RequestFact, now: Instant) -> Step:
    return Step(f"{type(fact).__name__}/{fact.key}", KeepRequest(stream=stream, by=SYSTEM, occurred_at=now, fact=fact), now)
