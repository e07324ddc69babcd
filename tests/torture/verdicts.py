"""Whether every promise got the verdict that it deserves: that of an undisturbed run, and that which a person wrote down.

The undisturbed run is worked out anew from what the outside said: every fact of the finished log that no process wrote is told to
the same core in memory, at the instant at which it was recorded, under its own id, on a clock that never jumps and with channels
that never fail. What a process may write differently when it could not act in time is left out of the comparison, and nothing
else: requests, alerts and what hangs on them (the notice of an admission, a machine's rungs and those that fell to a person), the
recurring looks, and when something was recorded.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from domain.adoption.facts import PolicyAdopted
from domain.clocks import Clocks
from domain.core import Instant, Plan, ProcessRef, Recorded, StreamId
from domain.policy import PolicyBook
from domain.requests import AlertAcknowledged, DeliveryBegun, MessageBounced, MessageDelivered, Requests
from eventlog.codec import StoredFact
from simulation.memory import Memory
from tests.given import always_sent
from tests.torture import members
from tests.torture.left import Left, Tally
from tests.torture.members import HandWritten, Streams, instant

WORD_OF_THE_MACHINE = ("transition.notice", "outreach.attempt")
"""Rules of what is met, or falls to a person, by what a channel made of a message: notices, and the rungs of the ladder."""

FIRST_ATTEMPT = "initial_contact.attempt"
"""So is this one, where the policy counts a message as an attempt."""

Verdict = tuple[str, Instant, str, bool]
"""Of one promise: its rule, its due, its state, and whether a miss stands in the log."""


def verdicts_of(plan: Plan, clocks: Clocks, book: PolicyBook) -> Counter[Verdict]:
    """The verdicts of a process, by rule and due. Keys hold ids of what the process wrote itself, so they are no part of it."""
    found: Counter[Verdict] = Counter()
    for owed in plan.obligations:
        written, rule = clocks.written.get(owed.key), owed.because.rule
        by_machine = rule.startswith(WORD_OF_THE_MACHINE) or (rule == FIRST_ATTEMPT and _counts_messages(book, owed.because.policy))
        if written is not None and not by_machine:
            found[rule, owed.window.due, owed.state.value, written.missed is not None] += 1
    return found


def _counts_messages(book: PolicyBook, version: str) -> bool:
    policy = book.named(version)
    return policy is not None and any(channel.message_counts_as_attempt for channel in policy.outreach.channels.values())


# --- against an undisturbed run ---------------------------------------------------------------------------------------------------


def undisturbed(left: Left, tally: Tally) -> None:
    """Every deadline's verdict equals that of an undisturbed run over the same outside facts."""
    outside = [stored for stored in left.facts if not by_a_process(left, stored)]
    policies = [stored.recorded for stored in outside if isinstance(stored.recorded.fact, PolicyAdopted)]
    book = next(iter(left.looks.values())).loaded.book if left.looks else PolicyBook()
    tally.look(bool(policies), "", "no policy was adopted")
    for group in _groups(outside):
        if time.monotonic() > left.run.deadline:
            tally.find("", "there was no time left to compare the other members")
            return
        memory = replayed(group, book, left.run.stopped_at)
        told = {recorded.stream for recorded in group}
        mine = [ref for ref in left.processes if f"episode-{ref.id}" in told]
        for ref in mine:
            look = left.looks[ref]
            there = verdicts_of(look.plan, look.loaded.state.clocks, book)
            wanted = verdicts_of(memory.plan(ref), memory.load(ref.stream).state.clocks, book)
            tally.looked_at += wanted.total()
            for verdict, sign in (*((v, "only here") for v in there - wanted), *((v, "only undisturbed") for v in wanted - there)):
                rule, due, state, missed = verdict
                tally.find(ref.stream, f"{sign}: {rule} due {due:%Y-%m-%d %H:%M}Z {state}{', a miss stands' if missed else ''}")


def by_a_process(left: Left, stored: StoredFact) -> bool:
    """Whether a plan's step or a delivery wrote the fact."""
    return left.system.programme.process_of(stored.meta.correlation or "") is not None


SHARED = ("staff", "policy", "caseload", "claim")
"""Kinds of stream that belong to no one member."""


def _groups(outside: Iterable[StoredFact]) -> Iterable[list[Recorded]]:
    """The outside facts of each member with all that concerns them, in the order of the log; what concerns everybody is in each."""
    heads: dict[StreamId, StreamId] = {}

    def head(stream: StreamId) -> StreamId:
        while heads.setdefault(stream, stream) != stream:
            stream = heads[stream]
        return stream

    facts = [stored.recorded for stored in outside]
    for recorded in facts:
        if not recorded.stream.startswith(SHARED):
            own = _of_episode(recorded.stream)
            for name in ("member", "episode", "stay"):
                linked = getattr(recorded.fact, name, None)
                if isinstance(linked, str) and linked.startswith(("member-", "episode-", "stay-")):
                    heads[head(own)] = head(linked)
            head(own)
    by_head: dict[StreamId, list[Recorded]] = defaultdict(list)
    everybody: list[Recorded] = []
    for recorded in facts:
        if recorded.stream.startswith(SHARED):
            episode = getattr(recorded.fact, "episode", None)
            if episode is not None:
                by_head[head(episode)].append(recorded)
            elif not recorded.stream.startswith("policy"):
                everybody.append(recorded)
        else:
            by_head[head(_of_episode(recorded.stream))].append(recorded)
    for group in by_head.values():
        yield sorted((*everybody, *group), key=lambda recorded: recorded.position)


def _of_episode(stream: StreamId) -> StreamId:
    """Processes belong to their episode."""
    kind, _, id = stream.partition("-")
    return stream if kind in ("member", "stay") else f"episode-{id}"


def replayed(outside: Iterable[Recorded], book: PolicyBook, until: Instant) -> Memory:
    """The core in memory after these facts, each told when it was recorded, with its own id."""
    facts = list(outside)
    memory = Memory(book, min(recorded.recorded_at for recorded in facts), carrier=always_sent)
    for recorded in facts:
        memory.run_until(max(memory.now, recorded.recorded_at))
        fact = recorded.fact
        if isinstance(fact, AlertAcknowledged | MessageBounced | MessageDelivered):
            fact = replace(fact, key=_same_want(memory.load(recorded.stream).state.requests, fact.key))
        memory.keep(
            recorded.stream, fact, at=recorded.occurred_at, by=recorded.actor, said_at=recorded.said_at,
            message_id=recorded.message_id, event_id=recorded.event_id,
        )  # fmt: skip
        memory.settle()
    memory.run_until(max(memory.now, until))
    return memory


def _same_want(requests: Requests, key: str) -> str:
    """The request here that serves what another one served there: it may have been asked for once less."""
    if key in requests.by_key:
        return key
    same = requests.of(key.rpartition("#")[0])
    return same[-1].asked.key if same else key


# --- against what a person wrote down --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """How many verdicts had been decided by then, and what contradicts them."""

    compared: int
    said: tuple[str, ...]


def contradictions(
    member: HandWritten,
    start: Instant,
    stopped_at: Instant,
    state_of: Callable[[StreamId], Any],
    plan_of: Callable[[ProcessRef], Plan],
) -> Compared:
    """What the processes of a member say otherwise than the person did, of all that was decided before the run stopped."""
    streams = Streams(member.name)
    found: Counter[tuple[str, Instant, str]] = Counter()
    stands: dict[tuple[str, Instant], bool] = {}
    for ref in (ProcessRef.of(streams.of(kind)) for kind in ("outreach", "transition", "followup")):
        state = state_of(ref.stream)
        if state is None:
            continue
        written = state.clocks.written
        for owed in plan_of(ref).obligations:
            if owed.key in written:
                found[owed.because.rule, owed.window.due, owed.state.value] += 1
                miss = written[owed.key].missed
                stands[owed.because.rule, owed.window.due] = miss is not None and miss.due_at == owed.window.due
    decided = [v for v in member.verdicts if instant(start, v.since) < stopped_at]
    said = []
    for verdict in decided:
        due = instant(start, verdict.due)
        if found[verdict.rule, due, verdict.word] != 1:
            there = sorted(f"{state} due {at:%m-%d %H:%M}Z" for rule, at, state in found if rule == verdict.rule)
            said.append(
                f"{verdict.rule}: {verdict.word}, due {verdict.due} ({due:%m-%d %H:%M}Z) as {verdict.why}; there is {there}"
            )
        elif stands[verdict.rule, due] != (verdict.word in ("missed", "met_late")):
            said.append(f"{verdict.rule}: {verdict.word}, due {verdict.due}; the miss in the log says otherwise")
    if len(decided) == len(member.verdicts):
        listed = Counter(v.rule for v in member.verdicts)
        there_are = Counter(rule for rule, _, _ in found.elements())
        said += [
            f"{rule}: {there_are[rule]} promises, not {listed[rule]}" for rule in member.only if there_are[rule] != listed[rule]
        ]
    return Compared(len(decided), tuple(said))


def by_hand(left: Left, tally: Tally) -> None:
    """Every hand-written member got the verdicts that a person wrote down; a miss is written as of its due."""
    state_of = {ref.stream: look.loaded.state for ref, look in left.looks.items()}
    plans: Mapping[ProcessRef, Plan] = {ref: look.plan for ref, look in left.looks.items()}
    for member in members.MEMBERS:
        streams = Streams(member.name)
        if streams.of("outreach") not in state_of:
            assigned_at = instant(left.run.script.start, member.scenes[0].happens) if left.run.script else left.run.stopped_at
            tally.look(left.run.stopped_at <= assigned_at, streams.of("outreach"), f"{member.name}: nobody knows them")
            continue
        found = contradictions(member, left.run.script.start, left.run.stopped_at, state_of.get, plans.__getitem__)
        tally.looked_at += found.compared
        for said in found.said:
            tally.find(streams.of("episode"), f"{member.name}: {said}")
        if member.texts_max is not None:
            sent = _texts(left, streams.of("outreach"))
            tally.look(sent <= member.texts_max, streams.of("outreach"), f"{member.name}: {sent} texts begun")


def _texts(left: Left, stream: StreamId) -> int:
    """How many texts were begun in a process's stream."""
    state = next(look.loaded.state for ref, look in left.looks.items() if ref.stream == stream)
    requests: Requests = state.requests
    begun = {r.fact.key for r in left.recorded if r.stream == stream and isinstance(r.fact, DeliveryBegun)}
    return sum(request.asked.kind == "text" and key in begun for key, request in requests.by_key.items())
