"""What must be so after a run, whatever was killed, cut, lost, doubled or moved in it.

Each check looks at the system as it was left and at what those outside remember, and at nothing that a worker says of itself: what
reconcile finds and the doctor shows is worked out here once more, from the log. A check that had nothing to look at has checked
nothing, so it counts what it looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.advance import JITTER_MAX
from activities.rounds import command_id
from domain.core import AllOpen, Instant, Obligation, ProcessRef, Recorded
from domain.requests import DeliveryBegun, DeliveryOutcomeUnknown, MessageFailed, MessageRequested, MessageSent
from intake.store.inbox import ATTEMPTS_MAX, Status
from projections.runner import ProjectorStopped
from tests.given import Told
from tests.properties.histories import History
from tests.properties.judge import may_begin
from tests.torture import verdicts
from tests.torture.left import Left, Tally, opened
from tests.torture.options import Checked, Run
from tests.torture.outgoing import IDEMPOTENT
from workers.composition import connect_temporal
from workers.router import POLICY
from workers.services import door_of, projector_of

NOT_MADE = "the check could not be made:"
ASKED_AT_ONCE = 16
TIMER_SLACK = timedelta(minutes=1)
"""A busy machine starts a timer some seconds after its length was worked out; a clock that was moved makes it hours late."""

ABOUT_TO_LOOK = frozenset(
    f"EVENT_TYPE_{what}"
    for what in (
        "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_TIMED_OUT", "ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "TIMER_FIRED",
    )
)  # fmt: skip
"""What a workflow's history may end with where its worker was taken away while it looked: the next worker goes on with that."""


Check = Callable[[Left, Tally], None]


def run(run: Run, *names: str) -> list[Checked]:
    """Every check, or those named, each with what it looked at. One that cannot be made, or comes too late, says so."""
    with opened(run) as left:
        return [_checked(left, name, CHECKS[name]) for name in names or CHECKS]


def _checked(left: Left, name: str, check: Check) -> Checked:
    tally = Tally(name)
    if time.monotonic() > left.run.deadline:
        tally.find("", "there was no time left for this check")
        return tally.checked
    try:
        check(left, tally)
    except Exception as error:
        tally.find("", f"{NOT_MADE} {type(error).__name__}: {error}"[:300])
    if not tally.looked_at and not tally.findings:
        tally.find("", "nothing was looked at")
    return tally.checked


# --- order -----------------------------------------------------------------------------------------------------------------------


def positions(left: Left, tally: Tally) -> None:
    """A reader that ran along saw the log as it is: everything, once, in its order."""
    seen = [(int(position), event_id) for position, event_id in _lines(left.run.positions)]
    there = [(recorded.position, recorded.event_id) for recorded in left.recorded]
    tally.looked_at = len(seen)
    missed, known = set(there) - set(seen), set(seen) - set(there)
    for position, _ in sorted(missed):
        tally.find(position, "never shown to the reader that ran along")
    for position, _ in sorted(known):
        tally.find(position, "shown to the reader that ran along, and not in the log")
    for (before, _), (position, _) in pairwise(seen):
        if position <= before:
            tally.find(position, f"shown after {before}")


# --- facts and commands ----------------------------------------------------------------------------------------------------------


def facts(left: Left, tally: Tally) -> None:
    """Versions without a gap, no event twice, and every fact is the result of exactly one command that is remembered."""
    tally.look(left.system.log.incarnation() == left.run.incarnation, "", "the log lives another life than at the start")
    versions: dict[str, int] = defaultdict(int)
    ids: set[str] = set()
    owner: dict[int, UUID] = {}
    there = {stored.recorded.position: stored for stored in left.facts}
    for id, stream, of_command in left.query("SELECT command_id, stream, positions FROM log.commands"):
        for position in of_command:
            tally.look(position in there, position, f"command memory names it for {stream}; the log has nothing there")
            tally.look(position not in owner, position, "two commands are said to have led to it")
            owner[position] = id
    for stored in left.facts:
        recorded = stored.recorded
        versions[recorded.stream] += 1
        tally.look(recorded.version == versions[recorded.stream], recorded.stream, f"version {recorded.version} follows a gap")
        tally.look(recorded.event_id not in ids, recorded.stream, f"the event of version {recorded.version} is there twice")
        ids.add(recorded.event_id)
        command = owner.get(recorded.position)
        tally.look(
            command is not None and str(command) == stored.meta.command_id,
            recorded.position,
            f"a fact of {recorded.stream} that no command is remembered to have led to",
        )
        versions[recorded.stream] = recorded.version


def steps(left: Left, tally: Tally) -> None:
    """What a plan wanted, and what was written of a delivery, was carried out once under an id of process and key."""
    done: dict[tuple[str, str, str], set[str | None]] = defaultdict(set)
    for stored in left.facts:
        meta, recorded = stored.meta, stored.recorded
        process = left.system.programme.process_of(meta.correlation or "")
        if process is None or meta.causation is None:
            continue
        fact = type(recorded.fact).__name__
        allowed = {str(command_id(process, key)) for key in (meta.causation, f"begun/{meta.causation}", f"{fact}/{meta.causation}")}
        tally.look(meta.command_id in allowed, recorded.stream, f"{fact} under an id that is not of process and key")
        once = (process.stream, meta.causation, fact if isinstance(recorded.fact, DELIVERY) else "")
        done[once].add(meta.command_id)
    for (process_id, key, _), commands in done.items():
        tally.look(len(commands) == 1, process_id, f"{key} was carried out {len(commands)} times")


DELIVERY = (DeliveryBegun, MessageSent, MessageFailed, DeliveryOutcomeUnknown)


def told(left: Left, tally: Tally) -> None:
    """Whatever a writer was told is carried out, is: its command is remembered and its facts are there."""
    remembered = {str(id): tuple(there) for id, there in left.query("SELECT command_id, positions FROM log.commands")}
    stored = {recorded.position for recorded in left.recorded}
    for journal in _journals(left.run.told):
        for id, word, *more in _lines(journal):
            if word != "command":
                continue
            command, _, positions = more
            there = remembered.get(command)
            tally.look(there is not None, id, "acknowledged to its writer, and not in the command memory")
            promised = tuple(int(position) for position in positions.split(",") if position != "-")
            tally.look(there is None or promised == there, id, f"its writer was told of positions {positions}, kept is {there}")
            tally.look(stored.issuperset(promised), id, "acknowledged to its writer, and its facts are not there")


def hash_chains(left: Left, tally: Tally) -> None:
    """Every stream's hashes follow from what is stored."""
    tally.looked_at = len({recorded.stream for recorded in left.recorded})
    for bad in left.system.log.verify():
        tally.find(bad.stream, f"version {bad.version}: {bad.reason}")


# --- the front door --------------------------------------------------------------------------------------------------------------


def messages(left: Left, tally: Tally) -> None:
    """Every message that was acknowledged is in the inbox once, byte for byte, and came to an end; its facts are in the log."""
    door = door_of(left.system)
    try:
        rows = left.query("SELECT inbox_id, control_id, sha256, sealed, key_id, status, attempts FROM intake.inbox")
        by_key: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in rows:
            by_key[row[1], bytes(row[2]).hex()].append(row)
        for control_id, _, digest, *_ in _lines(left.run.acknowledged):
            found = by_key[control_id, digest]
            tally.look(len(found) == 1, control_id, f"acknowledged, and {len(found)} times in the inbox")
            for id, _, _, sealed, key_id, status, attempts in found:
                raw = door.inbox.unseal(bytes(sealed), id, key_id)
                tally.look(raw is not None and hashlib.sha256(raw).hexdigest() == digest, id, "stored with other bytes")
                tally.look(status != Status.RECEIVED, id, "acknowledged, and never brought to an end")
                tally.look(not (status == Status.DEAD and attempts >= ATTEMPTS_MAX), id, "given up after too many failures")
        taken = {str(row[0]): row[5] for row in rows}
        for happening, file, *_ in _lines(left.run.files):
            tally.look(taken.get(file, Status.RECEIVED) != Status.RECEIVED, happening, "a file that was taken, and not worked off")
        there = {(recorded.position, recorded.event_id) for recorded in left.recorded}
        for id, position, event_id in left.query("SELECT inbox_id, position, event_id FROM intake.caused"):
            tally.look((position, str(event_id)) in there, id, f"is said to have caused what is not at position {position}")
    finally:
        door.close()


# --- what was sent ---------------------------------------------------------------------------------------------------------------


@dataclass
class _Sending:
    """What the log and the channels know of one request."""

    process: str
    asked: MessageRequested
    begun: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    handed_over: int = 0
    idempotent: bool = True


def deliveries(left: Left, tally: Tally) -> None:
    """The channels' own ledger against the log: nothing handed over twice where twice is twice, nothing without a beginning, no
    outcome without a hand-over, no beginning without an outcome."""
    by_key: dict[str, _Sending] = {}
    for recorded in left.recorded:
        ref = left.system.programme.process_of(recorded.stream)
        if ref is None:
            continue
        if isinstance(recorded.fact, MessageRequested):
            by_key[str(command_id(ref, f"send/{recorded.fact.key}"))] = _Sending(recorded.stream, recorded.fact)
        elif isinstance(recorded.fact, DELIVERY):
            sending = by_key[str(command_id(ref, f"send/{recorded.fact.key}"))]
            match recorded.fact:
                case DeliveryBegun():
                    sending.begun += 1
                case MessageSent():
                    sending.sent += 1
                case MessageFailed():
                    sending.failed += 1
                case DeliveryOutcomeUnknown():
                    sending.unknown += 1
    for key, kind, *_ in _lines(left.run.sent):
        known = by_key.get(key)
        tally.look(known is not None, key, "handed over, and nobody asked for it")
        if known is not None:
            known.handed_over += 1
            known.idempotent = kind in IDEMPOTENT
    for sending in by_key.values():
        times, key = sending.handed_over, f"{sending.process} {sending.asked.key}"
        tally.look(times <= 1 or sending.idempotent, key, f"handed over {times} times to a channel where twice is twice")
        tally.look(not times or sending.begun == 1, key, "handed over without a beginning in the log")
        tally.look(sending.begun <= 1 and sending.sent <= 1, key, f"begun {sending.begun} and sent {sending.sent} times")
        tally.look(not sending.sent or times > 0, key, "sent by the log, and never handed over")
        ended = sending.sent + sending.failed + sending.unknown
        tally.look(not sending.begun or ended > 0, key, "begun, and without an outcome")
        tally.look(not times or sending.sent + sending.unknown > 0, key, "handed over, and neither sent nor uncertain by the log")


def consent(left: Left, tally: Tally) -> None:
    """Nothing begins to be sent to a member who, by what the log held before, had said no, had died or was let go."""
    requests: dict[tuple[str, str], MessageRequested] = {}
    by_member: dict[str, list[Recorded]] = defaultdict(list)
    by_episode: dict[str, list[Recorded]] = defaultdict(list)
    for recorded in left.recorded:
        kind, _, id = recorded.stream.partition("-")
        if kind == "member":
            by_member[recorded.stream].append(recorded)
        elif kind == "episode":
            by_episode[id].append(recorded)
        elif isinstance(recorded.fact, MessageRequested):
            requests[recorded.stream, recorded.fact.key] = recorded.fact
        elif isinstance(recorded.fact, DeliveryBegun):
            asked = requests[recorded.stream, recorded.fact.key]
            if asked.recipient.startswith("member-"):
                before = [*by_member[asked.recipient], *by_episode[id]]
                known = tuple(_as_told(r, recorded) for r in before if r.occurred_at <= recorded.occurred_at)
                history = History(kind="outreach", policies=(), facts=known, until=recorded.recorded_at)
                fine = may_begin(history, recorded.recorded_at, asked)
                tally.look(fine, recorded.stream, f"{asked.kind} begun at position {recorded.position} against a recorded no")


def _as_told(r: Recorded, begun: Recorded) -> Told:
    return Told(r.stream, r.fact, r.occurred_at, min(r.recorded_at, begun.recorded_at), r.actor, id=r.event_id)


# --- processes -------------------------------------------------------------------------------------------------------------------

_STATE = "SELECT process, position, wake_at, done, stuck, effects FROM process_state"
_OBLIGATIONS = """SELECT process, key, rule, opens, due, closes, act_by, state, owed_by, subject, governing, suspended, policy,
                         facts, reason, how, met_at FROM process_obligation"""


def re_planned(left: Left, tally: Tally) -> None:
    """What is written of a process is what planning it from the log says; nothing is left to be done."""
    states = {row[0]: row[1:] for row in left.query(_STATE)}
    owed: dict[str, dict[str, tuple[Any, ...]]] = defaultdict(dict)
    for row in left.query(_OBLIGATIONS):
        owed[row[0]][row[1]] = row[2:]
    for ref, look in left.looks.items():
        plan, state = look.plan, states.get(ref.stream)
        if state is None:
            tally.look(False, ref.stream, "in the log, and nobody has looked at it")
            continue
        _, wake_at, done, stuck, effects = state
        tally.look(not plan.steps, ref.stream, f"steps are left undone: {[step.key for step in plan.steps][:3]}")
        tally.look(not plan.effects and not effects, ref.stream, "requests are left without an outcome")
        tally.look(not stuck, ref.stream, f"stuck: {stuck}")
        tally.look(done == plan.done, ref.stream, f"written as done={done}, planned as done={plan.done}")
        tally.look(done or wake_at == plan.wake_at, ref.stream, f"is to wake at {wake_at}, planned: {plan.wake_at}")
        planned = {obligation.key: _row(obligation) for obligation in plan.obligations}
        tally.look(set(planned) == set(owed[ref.stream]), ref.stream, "other obligations are written than planned")
        for key in set(planned) & set(owed[ref.stream]):
            tally.look(planned[key] == owed[ref.stream][key], f"{ref.stream} {key}", "written otherwise than planned")


def _row(owed: Obligation) -> tuple[Any, ...]:
    because, window = owed.because, owed.window
    return (
        because.rule, window.opens, window.due, window.closes, owed.act_by, owed.state.value, owed.owed_by, owed.subject,
        owed.governing, owed.suspended, because.policy, list(because.facts), because.reason, owed.how, owed.met_at,
    )  # fmt: skip


def wake_ups(left: Left, tally: Tally) -> None:
    """Every process that is not done has an open workflow with a timer that goes off in time, has read its last news and is not
    overdue; nothing else runs."""
    states = {row[0]: row for row in left.query(_STATE)}
    news = _news(left)
    open_: dict[ProcessRef, Instant] = {}
    for ref, look in left.looks.items():
        _, position, wake_at, done, _, _ = states.get(ref.stream, (ref.stream, 0, None, False, "", []))
        tally.look(position >= news.get(ref, 0), ref.stream, f"behind: has read up to {position}, concerned by {news.get(ref, 0)}")
        if not look.plan.done:
            tally.look(wake_at is not None and not done, ref.stream, "owes something, and no wake-up is written")
            tally.look(wake_at is None or wake_at > left.run.stopped_at, ref.stream, f"overdue: was to wake at {wake_at}")
            if wake_at is not None:
                open_[ref] = wake_at
    asyncio.run(_asked(left, open_, tally))


def _news(left: Left) -> dict[ProcessRef, int]:
    """The last position that concerns each process, worked out from the log and not from the router's index. Policies aside: they
    concern whoever is open, and those look again anyway."""
    programme = left.system.programme
    carriers: dict[str, set[ProcessRef]] = defaultdict(set)
    found: dict[ProcessRef, int] = {}
    for recorded in left.recorded:
        own = programme.process_of(recorded.stream)
        if own is not None:
            for tag in programme.tags(recorded):
                carriers[tag].add(own)
        for target in programme.route(recorded):
            match target:
                case ProcessRef():
                    found[target] = recorded.position
                case AllOpen(kind=kind, tag=tag) if not tag.startswith(POLICY):
                    found.update(dict.fromkeys((ref for ref in carriers[tag] if ref.kind == kind), recorded.position))
    return found


async def _asked(left: Left, open_: Mapping[ProcessRef, Instant], tally: Tally) -> None:
    """Ask Temporal itself for each workflow: visibility may be behind."""
    client = await connect_temporal(left.run.settings)
    slots = asyncio.Semaphore(ASKED_AT_ONCE)

    async def wakes(ref: ProcessRef, wake_at: Instant) -> None:
        async with slots:
            status, fires_at, why = await _timer(client, ref)
        tally.look(status is WorkflowExecutionStatus.RUNNING, ref.stream, f"missing: owes something, and its workflow is {status}")
        if status is WorkflowExecutionStatus.RUNNING:
            tally.look(fires_at is not None or why in ABOUT_TO_LOOK, ref.stream, f"its workflow runs and has no timer: {why}")
            if fires_at is not None and why not in ABOUT_TO_LOOK:
                ahead = left.run.stopped_at - datetime.now(UTC)  # the programme's clock runs so far ahead of the servers'
                late = fires_at + max(ahead, timedelta()) - wake_at
                tally.look(
                    late <= JITTER_MAX + TIMER_SLACK or fires_at <= datetime.now(UTC), ref.stream, f"its timer is {late} late"
                )

    await asyncio.gather(*(wakes(ref, wake_at) for ref, wake_at in open_.items()))
    kinds = ", ".join(f"'{kind}'" for kind in left.system.programme.processes)
    running = client.list_workflows(f'ExecutionStatus = "Running" AND WorkflowType IN ({kinds})')
    known = {ref.stream for ref in open_}
    for id in [execution.id async for execution in running if execution.id not in known]:
        status, _, why = await _timer(client, ProcessRef.of(id))
        ends = status is not WorkflowExecutionStatus.RUNNING or why in ABOUT_TO_LOOK
        tally.look(ends, id, "orphaned: nothing is owed, and its workflow waits")


async def _timer(client: Client, ref: ProcessRef) -> tuple[WorkflowExecutionStatus | None, Instant | None, str]:
    """Whether the workflow runs, when its timer goes off, and what it does where it has none."""
    handle = client.get_workflow_handle(ref.stream)
    try:
        described = await handle.describe()
        if described.status is not WorkflowExecutionStatus.RUNNING:
            return described.status, None, ""
        history = await handle.fetch_history()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None, None, ""
        raise
    timers: dict[int, Instant] = {}
    for event in history.events:
        match event.event_type:
            case EventType.EVENT_TYPE_TIMER_STARTED:
                started = event.timer_started_event_attributes
                begun_at = event.event_time.ToDatetime(tzinfo=UTC)
                timers[event.event_id] = begun_at + started.start_to_fire_timeout.ToTimedelta()
            case EventType.EVENT_TYPE_TIMER_FIRED:
                timers.pop(event.timer_fired_event_attributes.started_event_id, None)
            case EventType.EVENT_TYPE_TIMER_CANCELED:
                timers.pop(event.timer_canceled_event_attributes.started_event_id, None)
    last = EventType.Name(history.events[-1].event_type)
    return described.status, min(timers.values(), default=None), last


# --- read models -----------------------------------------------------------------------------------------------------------------


def read_models(left: Left, tally: Tally) -> None:
    """What is shown equals what a rebuild comes to, row for row; nothing is parked, stopped or behind."""
    projector = projector_of(left.system)
    for status in projector.status():
        tally.look(status.lag == 0, status.name, f"{status.lag} positions behind ({status.state})")
        tally.look(status.parked == 0 and status.stopped_at is None, status.name, f"{status.state}, {status.parked} facts parked")
    for name in projector.models:
        shown = _rows(left, name)
        try:
            projector.rebuild(name)
        except ProjectorStopped as stopped:
            tally.find(name, str(stopped))
            continue
        rebuilt = _rows(left, name)
        tally.looked_at += len(rebuilt)
        wrong = sorted(key for key in {*shown, *rebuilt} if shown.get(key) != rebuilt.get(key))
        if wrong:
            tally.find(name, f"{len(wrong)} of {len(rebuilt)} rows differ from a rebuild")


def _rows(left: Left, name: str) -> dict[str, str]:
    """Each row's digest, by its key. Read models' names are ours."""
    return dict(left.query(f"SELECT t.key, md5(t::text) FROM read.{name} t"))


# --- the two-minute guard --------------------------------------------------------------------------------------------------------


def guard(left: Left, tally: Tally) -> None:
    """Where clocks were torn apart, a decision was refused."""
    jumps = [event for event in left.run.events if event.kind == "clock-guard"]
    for event in jumps or [None]:
        tally.look(left.run.refusals_by_guard > 0 or event is None, "", "clocks were torn apart, and no decision was refused")


# --- reading ledgers -------------------------------------------------------------------------------------------------------------


def _lines(file: Any) -> list[list[str]]:
    """The words of each whole line of a ledger; one that a kill cut short was never told."""
    if not file.exists():
        return []
    return [line.split() for line in file.read_text().split("\n")[:-1] if line.strip()]


def _journals(folder: Any) -> Iterable[Any]:
    return sorted(folder.glob("*.log")) if folder.is_dir() else [folder]


CHECKS: Mapping[str, Check] = {
    "positions": positions,
    "facts": facts,
    "steps": steps,
    "told": told,
    "hash chains": hash_chains,
    "messages": messages,
    "deliveries": deliveries,
    "consent": consent,
    "re-planned": re_planned,
    "wake-ups": wake_ups,
    "verdicts": verdicts.undisturbed,
    "by hand": verdicts.by_hand,
    "guard": guard,
    "read models": read_models,
}
