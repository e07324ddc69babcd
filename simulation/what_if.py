"""The real log, lived through once more in memory under another policy: what would have been due, missed and sent.

What came from outside stays as it is: what plans and hospitals sent, what people did and recorded, what became of a message. What
the programme decided by itself (dues, misses, requests, tiers, ends) is planned anew. Nothing is written anywhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain.adoption.facts import PolicyAdopted
from domain.caseload.facts import CaseReleased, CaseWeighed
from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn
from domain.core import SYSTEM, EventId, Instant, Recorded, StreamId
from domain.episode.enrolment import ConflictRaised
from domain.episode.facts import LeadCareManagerReleased
from domain.followup.facts import (
    NO_TIER,
    FollowUpEnded,
    FollowUpEntrusted,
    FollowUpOpened,
    FollowUpResumed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    StayNoticed,
    TierFound,
)
from domain.member.facts import ContactPointFoundBad
from domain.outreach.facts import (
    NewEpisodeProposed,
    OutreachEnded,
    OutreachOpened,
    OutreachResumed,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
)
from domain.policy import Policy, PolicyBook, read_policy
from domain.requests import (
    DeliveryBegun,
    DeliveryOutcomeUnknown,
    MessageFailed,
    MessageRequested,
    MessageSent,
    RequestExpired,
    RequestFact,
    RequestWithdrawn,
)
from domain.transition.facts import TransitionalCareEnded, TransitionalCareOpened, TransitionalCareResumed, TransitionEntrusted
from simulation.core import Core, Promises, always_sent

DECIDED = (
    DueSet, DueWithdrawn, DeadlineMissed, MissWithdrawn, MessageRequested, DeliveryBegun, RequestExpired, RequestWithdrawn,
    OutreachOpened, UnableToReachProposed, UnableToReachProposalWithdrawn, NewEpisodeProposed, OutreachEnded, OutreachResumed,
    TransitionalCareOpened, TransitionEntrusted, TransitionalCareEnded, TransitionalCareResumed, FollowUpOpened, FollowUpEntrusted,
    StayNoticed, TierFound, PopulationProposed, PopulationProposalWithdrawn, FollowUpEnded, FollowUpResumed,
)  # fmt: skip
"""Facts that only a plan writes."""

DECIDED_BY_SYSTEM = (CaseWeighed, CaseReleased, ContactPointFoundBad, ConflictRaised, LeadCareManagerReleased)
"""Facts that a plan writes where the software itself is their actor."""

OUTCOMES = (MessageSent, MessageFailed, DeliveryOutcomeUnknown)
"""What the channels said of a message that was begun: kept by its key."""

REACTS_WITHIN = timedelta(minutes=1)
"""So long after a fact every process that it concerns has looked again, unless the log shows earlier that it has."""


NO_TIME, SHORTLY = timedelta(), timedelta(microseconds=1)


def decided(recorded: Recorded) -> bool:
    """Whether the programme decided a fact by itself."""
    return isinstance(recorded.fact, DECIDED) or (recorded.actor == SYSTEM and isinstance(recorded.fact, DECIDED_BY_SYSTEM))


@dataclass
class Replay(Core):
    """A log that gives to what it decides the ids that the real one gave: the n-th due of a stream is its n-th due here too."""

    ids: dict[tuple[StreamId, type], deque[EventId]] = field(default_factory=lambda: defaultdict(deque))

    def keep(self, stream: StreamId, fact: Any, *, event_id: EventId | None = None, **said: Any) -> Recorded:
        known = self.ids.get((stream, type(fact)))
        return super().keep(stream, fact, event_id=event_id or (known.popleft() if known else None), **said)


def replayed(
    log: Sequence[Recorded], other: Policy | None = None, progress: Callable[[int, int], None] = lambda d, o: None
) -> Replay:
    """The log's outside facts, each at the instant at which it was recorded; in between the programme acts as it would have.

    `other` takes the place of every version of its plan, from the beginning on."""
    outcomes: dict[tuple[StreamId, str], tuple[RequestFact, ...]] = {}
    for r in log:
        if isinstance(r.fact, OUTCOMES):
            outcomes[r.stream, r.fact.key] = (*outcomes.get((r.stream, r.fact.key), ()), r.fact)
    replay = Replay(PolicyBook() if other is None else PolicyBook((other,)), log[0].recorded_at, carrier=always_sent)
    for r in log:
        if decided(r):
            replay.ids[r.stream, type(r.fact)].append(r.event_id)
    acted_at: Instant | None = None
    for done, r in enumerate(log):
        if decided(r):
            acted_at = r.recorded_at
            continue
        if isinstance(r.fact, OUTCOMES):
            continue
        if acted_at is not None or r.recorded_at - replay.now > REACTS_WITHIN:
            # What a process wants at the very instant of the fact comes after it, unless the log has it before.
            replay.run_until(max(replay.now, r.recorded_at - (NO_TIME if acted_at == r.recorded_at else SHORTLY)))
        replay.now, acted_at = max(replay.now, r.recorded_at), None
        if isinstance(r.fact, PolicyAdopted) and (other is None or r.fact.plan != other.plan):
            replay.book = replay.book.with_adopted(read_policy(r.fact.text))
        replay.keep(r.stream, r.fact, at=r.occurred_at, by=r.actor, said_at=r.said_at, message_id=r.message_id, event_id=r.event_id)
        progress(done, len(log))
    replay.run_until(max(replay.now, log[-1].recorded_at))
    return replay


# --- what differs --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """What a log says in the end of one due: when it is, whether it was missed, whether it was withdrawn."""

    rule: str
    due_at: Instant
    missed: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a log says in the end of everything that the programme decides."""

    dues: dict[tuple[StreamId, str], Standing]
    requests: dict[tuple[StreamId, str], str]
    tiers: dict[StreamId, tuple[str, ...]]
    ended: frozenset[StreamId]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is in one log and not so in the other. `what`: only_before, only_after, due_moved, verdict."""

    what: str
    about: str
    stream: StreamId
    key: str


def ledger(log: Iterable[Recorded]) -> Ledger:
    """Folded from the facts alone."""
    dues: dict[tuple[StreamId, str], Standing] = {}
    requests: dict[tuple[StreamId, str], str] = {}
    tiers: dict[StreamId, list[str]] = defaultdict(list)
    ended: set[StreamId] = set()
    for r in log:
        match r.fact:
            case DueSet() as f:
                before = dues.get((r.stream, f.key))
                dues[r.stream, f.key] = Standing(f.rule, f.due_at, before is not None and before.missed, withdrawn=False)
            case DeadlineMissed() as f:
                dues[r.stream, f.key] = Standing(f.rule, f.due_at, missed=True, withdrawn=False)
            case MissWithdrawn() as f:
                dues[r.stream, f.key] = Standing(f.rule, dues[r.stream, f.key].due_at, missed=False, withdrawn=False)
            case DueWithdrawn() as f:
                known = dues[r.stream, f.key]
                dues[r.stream, f.key] = Standing(f.rule, known.due_at, known.missed, withdrawn=True)
            case MessageRequested() as f:
                requests[r.stream, f.key] = f.template
            case TierFound() as f:
                tiers[r.stream].append(f.tier)
            case OutreachEnded() | TransitionalCareEnded() | FollowUpEnded():
                ended.add(r.stream)
            case OutreachResumed() | TransitionalCareResumed() | FollowUpResumed():
                ended.discard(r.stream)
    return Ledger(dues, requests, {stream: tuple(found) for stream, found in tiers.items()}, frozenset(ended))


def differences(before: Ledger, after: Ledger) -> tuple[Difference, ...]:
    """Everything in which two ledgers differ; none where the same was decided."""
    found: list[Difference] = []
    for owed in dict.fromkeys((*before.dues, *after.dues)):
        one, other = before.dues.get(owed), after.dues.get(owed)
        if one == other:
            continue
        rule = (one or other).rule  # type: ignore[union-attr]
        what = "only_after" if one is None else "only_before" if other is None else "verdict"
        if one is not None and other is not None and one.due_at != other.due_at:
            what = "due_moved"
        found.append(Difference(what, rule, *owed))
    for asked in dict.fromkeys((*before.requests, *after.requests)):
        if (asked in before.requests) != (asked in after.requests):
            what = "only_before" if asked in before.requests else "only_after"
            found.append(Difference(what, f"message {before.requests.get(asked) or after.requests[asked]}", *asked))
    for stream in dict.fromkeys((*before.tiers, *after.tiers)):
        one_tier, other_tier = before.tiers.get(stream, ()), after.tiers.get(stream, ())
        if one_tier != other_tier:
            found.append(Difference("verdict", "tier", stream, f"{', '.join(one_tier)} -> {', '.join(other_tier)}"))
    found.extend(Difference("only_before", "end", stream, "ended") for stream in sorted(before.ended - after.ended))
    found.extend(Difference("only_after", "end", stream, "ended") for stream in sorted(after.ended - before.ended))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The log as it is, and as it would be under another policy. `faithful`: how the log and its replay under its own policies
    differ, which should be nothing; then what differs is the policy's doing."""

    facts: int
    until: Instant
    policy: str
    before: tuple[Promises, ...]
    after: tuple[Promises, ...]
    tiers: tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]
    faithful: tuple[Difference, ...]
    differences: tuple[Difference, ...]


def what_if(log: Sequence[Recorded], other: Policy | None, progress: Callable[[int, int], None] = lambda d, o: None) -> WhatIf:
    """Both replays, and what differs between them. Without `other` the second is the first."""
    identity = replayed(log, None, progress)
    changed = replayed(log, other, progress) if other is not None else identity
    written, first, second = ledger(log), ledger(identity.log), ledger(changed.log)
    return WhatIf(
        facts=len(log),
        until=log[-1].recorded_at,
        policy=other.id if other is not None else "",
        before=identity.promises(),
        after=changed.promises(),
        tiers=(_tiers(identity), _tiers(changed)),
        faithful=differences(written, first),
        differences=differences(first, second),
    )


def _tiers(replay: Replay) -> tuple[tuple[str, int], ...]:
    """The tier that was found last, of every follow-up."""
    states = (loaded.state for stream, loaded in replay.folded.items() if stream.startswith("followup-"))
    return tuple(sorted(Counter(state.found.tier if state.found is not None else NO_TIER for state in states).items()))
