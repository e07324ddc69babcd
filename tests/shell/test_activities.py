"""`advance` and `deliver` on a real log, called as the worker calls them, without Temporal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.advance import JITTER_FROM, JITTER_MAX, Advance, outcome_of
from activities.channels.port import Sent
from activities.codes import Coded, code_of
from activities.delivery import Delivery, Move, next_move
from activities.process_states import STUCK_AFTER, ProcessStates, Seen
from activities.rounds import ROUNDS_MAX, STUCK_WAIT_MAX, Rounds, command_id, not_before, wait_when_stuck
from activities.watch import APART_MAX, Watch
from domain.core import SYSTEM, Plan, Process, ProcessRef, Step
from domain.member.decider import ErasePersonalData, OptOut
from domain.member.facts import Channel
from domain.outreach.decider import CarryOutreach, RecordAttempt
from domain.outreach.facts import Outcome, OutreachOpened
from domain.requests import (
    DeliveryBegun,
    DeliveryOutcomeUnknown,
    MessageFailed,
    MessageRequested,
    MessageSent,
    Request,
    RequestState,
)
from eventlog.clock import FixedClock
from eventlog.gateway import Gateway
from tests.shell.test_outreach_on_temporal import AT_ONCE
from tests.shell.world import Post, World, settings_for, system_for, world_of
from workers.programme import Programme, the_programme

pytestmark = pytest.mark.anyio

UNSURE_AFTER = timedelta(seconds=40)


@contextmanager
def opened(database: str, home: Path, programme: Programme | None = None) -> Iterator[Callable[[], Any]]:
    post = Post()
    with system_for(settings_for(database, "127.0.0.1:1", "none", home), post, programme) as system:
        yield lambda: world_of(system, post)


@pytest.fixture
async def world(database: str, tmp_path: Path) -> AsyncIterator[World]:
    with opened(database, tmp_path) as make:
        there: World = await make()
        there.adopt(**AT_ONCE)
        yield there


def advance(world: World, ref: ProcessRef, *, now: datetime | None = None, seen: int = 0) -> Any:
    activity, _ = world.system.activities("test")
    return activity.advance(ref, now or world.system.clock.now(), seen)


def delivery_of(world: World) -> Delivery:
    return world.system.activities("test")[1]._delivery


# --- advance -------------------------------------------------------------------------------------------------------------------


async def test_it_plans_until_quiet_and_shows_what_is_owed(world: World) -> None:
    ref = world.assign(world.member())
    outcome = advance(world, ref)
    assert outcome.position == world.system.log.watermark() and not outcome.done
    assert outcome.effects == ("rung/1#1",) and 0 < outcome.wait_seconds < 15 * 86_400
    before = world.facts(ref)
    assert advance(world, ref).effects == outcome.effects and world.facts(ref) == before
    row = world.row(ref)
    assert row is not None and (row["stuck"], row["done"], row["attempts"]) == ("", False, 0)
    assert row["member"].startswith("member-") and row["plan"] == "default" and row["turn"] == 0
    owed = world.query("SELECT key, owed_by, member, governing FROM process_obligation WHERE process = %s", ref.stream)
    assert any(key.startswith("initial_contact.") and governing for key, _, _, governing in owed)


async def test_all_that_a_look_leads_to_is_appended_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The opening, the dues that follow from it and the message that follows from those."""
    ref = world.assign(world.member())
    appended: list[int] = []
    append = Gateway._append
    monkeypatch.setattr(Gateway, "_append", lambda self, work: appended.append(len(work.item().events)) or append(self, work))
    advance(world, ref)
    assert appended == [len(world.facts(ref))] and {"OutreachOpened", "DueSet", "MessageRequested"} <= set(world.facts(ref))
    advance(world, ref)
    assert len(appended) == 1


async def test_what_somebody_else_wrote_meanwhile_is_planned_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the append the member opts out: nothing of the old plan is recorded."""
    ref = world.assign(world.member())
    append, others = Gateway._append, ["the member"]

    def late(self: Gateway, work: Any) -> Any:
        if others:
            others.pop()
            member = work.loaded(f"episode-{ref.id}").state.member
            world.do(OptOut(stream=member, by=SYSTEM, channel=Channel.TEXT, how="reply"))
        return append(self, work)

    monkeypatch.setattr(Gateway, "_append", late)
    outcome = advance(world, ref)
    assert outcome.position == world.system.log.watermark()
    assert not [r for r in world.facts(ref, MessageRequested) if r.fact.kind == "text"]


async def test_news_beyond_the_log_is_not_forgotten(world: World) -> None:
    ref = world.assign(world.member())
    assert advance(world, ref, seen=9_999).position == 9_999


async def test_an_older_look_does_not_overwrite_a_later_one(world: World) -> None:
    ref = world.assign(world.member())
    position = advance(world, ref).position
    now = world.system.clock.now()
    old = Seen(
        process=ref, position=position - 1, now=now, wake_at=None, done=True, stuck="", waiting_for="", effects=(), obligations=()
    )
    states = ProcessStates(world.system.pool)
    assert not states.write(old)
    row = world.row(ref)
    assert row is not None and not row["done"]
    assert states.write(replace(old, position=position)), "the same position is not older: time may have passed"


def _with_step(*steps: Callable[[Any], Step]) -> Programme:
    """The programme with an outreach that plans impossible steps before its own."""
    sound = the_programme().processes["outreach"]

    def plan(state: Any, context: Any, book: Any, now: Any) -> Plan:
        found = sound.plan(state, context, book, now)
        return replace(found, steps=(*(step(state) for step in steps), *found.steps)) if state.opened else found

    return replace(the_programme(), processes={**the_programme().processes, "outreach": Process("outreach", plan, sound.reads)})


def _refused(state: Any) -> Step:
    nobody = "staff-00000000-0000-4000-8000-000000000000"
    command = RecordAttempt(stream=state.stream, by=nobody, channel=Channel.CALL, outcome=Outcome.NO_ANSWER)
    return Step("refused/1", command, datetime(2026, 1, 1, tzinfo=UTC))


def _in_vain(state: Any) -> Step:
    assert isinstance(state.opened, OutreachOpened)
    command = CarryOutreach(stream=state.stream, by=SYSTEM, fact=state.opened)
    return Step("in_vain/1", command, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("step", "code"), [(_refused, "refused_actor_unknown"), (_in_vain, "step_without_effect")])
async def test_a_step_that_cannot_be_carried_out_keeps_no_other_back(
    database: str, tmp_path: Path, step: Callable[[Any], Step], code: str
) -> None:
    with opened(database, tmp_path, _with_step(step)) as make:
        world: World = await make()
        world.adopt(**AT_ONCE)
        ref = world.assign(world.member())
        waits = [advance(world, ref).wait_seconds for _ in range(3)]
        row, facts = world.row(ref), world.facts(ref)
    assert row is not None and (row["stuck"], row["last_error"], row["attempts"]) == (code, code, 3)
    assert "DueSet" in facts and "MessageRequested" in facts, "its other steps were carried out"
    assert waits[0] < waits[1] < waits[2], "it backs off"


async def test_a_plan_that_fails_is_counted_and_called_stuck_after_ten_minutes(database: str, tmp_path: Path) -> None:
    def explode(state: Any, context: Any, book: Any, now: Any) -> Plan:
        raise AssertionError("somebody's name")

    sound = the_programme().processes["outreach"]
    broken = replace(the_programme(), processes={"outreach": replace(sound, plan=explode)})
    with opened(database, tmp_path, broken) as make:
        world: World = await make()
        world.adopt()
        ref = world.assign(world.member())
        began = world.system.clock.now()
        for after, stuck in ((timedelta(), ""), (STUCK_AFTER / 2, ""), (STUCK_AFTER + timedelta(seconds=5), "defect_assertion")):
            with pytest.raises(AssertionError):
                advance(world, ref, now=began + after)
            row = world.row(ref)
            assert row is not None and (row["stuck"], row["last_error"]) == (stuck, "defect_assertion")
        assert row["attempts"] == 3


async def test_a_decision_that_the_guard_refused_is_shown_of_the_process(world: World) -> None:
    ref = world.assign(world.member())
    rounds, _ = world.system.carriers()
    guarded = Advance(rounds, ProcessStates(world.system.pool), Watch(world.system.clock, APART_MAX))
    with pytest.raises(Coded):
        guarded.advance(ref, world.system.clock.now() + 2 * APART_MAX, 0)
    row = world.row(ref)
    assert row is not None and (row["last_error"], row["attempts"]) == ("clocks_apart", 1) and row["failing_since"] is not None
    assert world.facts(ref) == []


def test_waits_are_bounded_and_long_ones_are_spread() -> None:
    assert wait_when_stuck(0) < wait_when_stuck(1) < wait_when_stuck(50) == STUCK_WAIT_MAX
    now = datetime(2026, 11, 23, tzinfo=UTC)
    waits = set()
    for n in range(20):
        seen = Seen(
            process=ProcessRef("outreach", f"{n}"),
            position=1,
            now=now,
            wake_at=now + JITTER_FROM,
            done=False,
            stuck="",
            waiting_for="",
            effects=(),
            obligations=(),
        )
        wait = outcome_of(seen).wait_seconds
        assert wait is not None and JITTER_FROM <= timedelta(seconds=wait) <= JITTER_FROM + JITTER_MAX
        waits.add(wait)
        short = outcome_of(replace(seen, wake_at=now + timedelta(minutes=5)))
        assert short.wait_seconds == 300.0
    assert len(waits) > 10
    assert ROUNDS_MAX == 8


def test_clocks_that_are_far_apart_are_a_fault_and_not_a_decision() -> None:
    own = datetime(2026, 11, 23, 12, tzinfo=UTC)
    strict, movable = Watch(FixedClock(own)), Watch(FixedClock(own), None)
    assert strict.now(own + APART_MAX) == own + APART_MAX and strict.now(own - timedelta(minutes=9)) == own
    with pytest.raises(Coded) as apart:
        strict.now(own + APART_MAX + timedelta(seconds=1))
    assert code_of(apart.value) == "clocks_apart"
    assert movable.now(own + timedelta(days=20)) == own + timedelta(days=20)


def test_a_command_id_comes_of_process_and_step_alone() -> None:
    one, other = ProcessRef("outreach", "1"), ProcessRef("outreach", "2")
    assert command_id(one, "a") == command_id(one, "a")
    assert len({command_id(one, "a"), command_id(one, "b"), command_id(other, "a")}) == 3
    assert str(command_id(one, "a")) == "9fa307b7-7d11-5773-b37c-4ed7fe5c7448", "written down: a change would repeat every step"


# --- deliver -------------------------------------------------------------------------------------------------------------------


def request(state: RequestState, changed_at: datetime) -> Request:
    asked = MessageRequested(key="k", want="k", turn=1, kind="text", recipient="r", template="t", expires_at=changed_at)
    return Request(asked, changed_at, state, changed_at)


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "age", "listed", "idempotent", "move"),
    [
        (RequestState.REQUESTED, timedelta(), True, False, Move.BEGIN),
        (RequestState.REQUESTED, timedelta(), False, False, Move.LEAVE),
        (RequestState.BEGUN, UNSURE_AFTER - timedelta(seconds=1), True, True, Move.LEAVE),
        (RequestState.BEGUN, UNSURE_AFTER, True, True, Move.RESEND),
        (RequestState.BEGUN, UNSURE_AFTER, True, False, Move.GIVE_UP),
        (RequestState.SENT, UNSURE_AFTER, True, True, Move.LEAVE),
    ],
)
def test_what_is_to_be_done_about_a_request(
    state: RequestState, age: timedelta, listed: bool, idempotent: bool, move: Move
) -> None:
    assert next_move(request(state, NOW - age), listed, NOW, UNSURE_AFTER, idempotent) is move


def test_nothing_is_done_about_what_was_never_asked_for() -> None:
    assert next_move(None, True, NOW, UNSURE_AFTER, True) is Move.LEAVE


async def test_it_sends_once_and_not_again(world: World) -> None:
    ref = world.assign(world.member())
    (key,) = advance(world, ref).effects
    now = world.system.clock.now()
    assert delivery_of(world).deliver(ref, key, now, UNSURE_AFTER)
    assert not delivery_of(world).deliver(ref, key, now, UNSURE_AFTER)
    assert len(world.post.sent) == len(world.facts(ref, DeliveryBegun)) == len(world.facts(ref, MessageSent)) == 1


async def test_an_opt_out_between_the_look_and_the_beginning_stops_the_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write skew: the plan still listed the text when the member's STOP was recorded."""
    member = world.member()
    ref = world.assign(member)
    (key,) = advance(world, ref).effects
    delivery = delivery_of(world)
    look, stopped = delivery._rounds.look, []

    def look_then_stop(*arguments: Any) -> Any:
        found = look(*arguments)
        if not stopped:
            stopped.append(world.do(OptOut(stream=member, by=SYSTEM, channel=Channel.TEXT)))
        return found

    monkeypatch.setattr(delivery._rounds, "look", look_then_stop)
    assert not delivery.deliver(ref, key, world.system.clock.now(), UNSURE_AFTER)
    assert not world.post.sent and not world.facts(ref, DeliveryBegun)


async def test_an_opt_out_that_came_after_the_look_at_the_clock_counts(world: World) -> None:
    """The instant was taken, then the STOP was recorded, then the log was loaded."""
    member = world.member()
    ref = world.assign(member)
    (key,) = advance(world, ref).effects
    now = world.system.clock.now()
    world.do(OptOut(stream=member, by=SYSTEM, channel=Channel.TEXT))
    assert not delivery_of(world).deliver(ref, key, now, UNSURE_AFTER)
    assert not world.post.sent


def test_a_clock_that_was_wrong_by_a_year_does_not_make_it_a_year_later() -> None:
    assert not_before(NOW, None) == NOW == not_before(NOW, NOW - timedelta(hours=1))
    assert not_before(NOW, NOW + timedelta(seconds=3)) == NOW + timedelta(seconds=3)
    assert not_before(NOW, NOW + timedelta(days=365)) == NOW + APART_MAX


@pytest.mark.parametrize("idempotent", [True, False])
async def test_begun_long_ago_is_sent_again_only_where_twice_is_once(world: World, idempotent: bool) -> None:
    ref = world.assign(world.member())
    (key,) = advance(world, ref).effects
    now = world.system.clock.now()
    delivery = delivery_of(world)
    assert delivery._begun(delivery._rounds.look(ref, now), key), "somebody began and was never heard of again"
    world.post.idempotent = idempotent
    assert not delivery.deliver(ref, key, now + timedelta(seconds=5), UNSURE_AFTER), "it may still be at work"
    assert delivery.deliver(ref, key, now + UNSURE_AFTER, UNSURE_AFTER)
    assert len(world.post.sent) == (1 if idempotent else 0)
    assert len(world.facts(ref, MessageSent if idempotent else DeliveryOutcomeUnknown)) == 1


async def test_nobody_is_written_to_whose_data_was_erased(world: World) -> None:
    member = world.member()
    ref = world.assign(member)
    (key,) = advance(world, ref).effects
    world.do(ErasePersonalData(stream=member, by=SYSTEM, reason="asked"))
    delivered = delivery_of(world).deliver(ref, key, world.system.clock.now(), UNSURE_AFTER)
    assert not world.post.sent
    assert not delivered or world.facts(ref, MessageFailed)[0].fact.permanent


async def test_the_activity_takes_its_own_limit_as_the_age_of_doubt(world: World) -> None:
    ref = world.assign(world.member())
    (key,) = advance(world, ref).effects
    _, deliver = world.system.activities("test")
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, start_to_close_timeout=UNSURE_AFTER)
    assert environment.run(deliver.deliver, ref, key, world.system.clock.now())
    assert world.post.sent[0].key == str(command_id(ref, f"send/{key}"))
    assert isinstance(world.facts(ref, MessageSent)[0].fact, MessageSent) and Sent


async def test_processes_of_one_episode_do_not_look_at_the_same_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them writes the other reads: two looks at once would plan twice. Each is planned, one after the other."""
    ref = world.assign(world.member())
    activity, _ = world.system.activities("test")
    at_once, most = [0], [0]
    until_quiet = Rounds.until_quiet

    def counted(self: Rounds, process: ProcessRef, now: datetime) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        try:
            return until_quiet(self, process, now)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(Rounds, "until_quiet", counted)
    refs = [ProcessRef(kind, ref.id) for kind in ("transition", "followup", "outreach")]
    await asyncio.gather(*(asyncio.to_thread(activity.advance, each, world.system.clock.now(), 0) for each in refs))
    assert most == [1] and world.facts(ref)
