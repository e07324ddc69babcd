"""Outreach end to end: the real plan on a real log and a real Temporal server, with skipped time."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.channels.feedback import receive_feedback
from activities.channels.port import Failed, Outgoing, Sent, Told
from activities.channels.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature, timestamp_of
from domain.clocks import DeadlineMissed, DueSet
from domain.member.facts import Channel, ChannelOptedOut
from domain.requests import DeliveryOutcomeUnknown, MessageFailed, MessageSent
from domain.staff.facts import Role
from eventlog.clock import SystemClock
from eventlog.gateway import Accepted
from tests.shell.world import (
    EVENTS_MAX,
    PLANTED,
    PLANTED_MAIL,
    PLANTED_PHONE,
    Post,
    World,
    settings_for,
    system_for,
    until,
    world_of,
)
from workers.composition import webhook_secret
from workers.programme import the_programme

pytestmark = [pytest.mark.temporal, pytest.mark.anyio]


async def test_day_ten_passes_unheeded_and_the_miss_is_recorded(world: World) -> None:
    lead = world.staff(Role.CARE_MANAGER)
    async with world.running():
        outreach = world.assign(world.member(), lead=lead)
        row = await world.settled(outreach)
        assert not row["done"] and row["wake_at"] is not None
        due = next(r.fact for r in world.facts(outreach, DueSet) if r.fact.governing and r.fact.rule.startswith("initial_contact"))
        assert not world.facts(outreach, DeadlineMissed)
        await world.sleep(outreach, timedelta(days=11, hours=2))
        await world.settled(outreach)
    missed = [r for r in world.facts(outreach, DeadlineMissed) if r.fact.key == due.key]
    assert len(missed) == 1
    assert missed[0].occurred_at == due.due_at, "a miss counts as of its instant"
    assert [m.address for m in world.post.sent if m.kind == "text"] == [PLANTED_PHONE]
    assert await world.status(outreach) is WorkflowExecutionStatus.RUNNING
    assert max(length for length, _ in await world.runs(outreach)) < EVENTS_MAX


AT_ONCE = {
    "begins = 20:00:00\nends = 08:00:00": "begins = 00:00:00\nends = 00:00:00",
    'opens_day = 1\ndue_day = 3\nchannel = "text"': 'opens_day = 0\ndue_day = 3\nchannel = "text"',
    'version = "2026.1"': 'version = "2026.2"',
}
"""No quiet hours, and a text on the first day."""


async def test_a_delivery_that_fails_for_good_falls_to_a_person(world: World) -> None:
    world.adopt(**AT_ONCE)
    world.post.answer = lambda n, message: Failed(True, "address_refused")
    async with world.running():
        outreach = world.assign(world.member())
        await until(lambda: bool(world.facts(outreach, MessageFailed)), 30)
        row = await world.settled(outreach)
    (failed,) = world.facts(outreach, MessageFailed)
    assert failed.fact.permanent and failed.fact.code == "address_refused"
    assert world.post.kinds() == ["text"], "tried once"
    assert any(r.fact.key == "attempt/1/by_person" for r in world.facts(outreach, DueSet))
    owed = world.query("SELECT key FROM process_obligation WHERE process = %s AND state = 'open'", outreach.stream)
    assert ("attempt/1/by_person",) in owed
    assert row["stuck"] == ""
    assert await world.status(outreach) is WorkflowExecutionStatus.RUNNING


async def test_a_failure_for_now_is_asked_for_again_and_sent_once(world: World) -> None:
    world.adopt(**AT_ONCE)
    world.post.answer = lambda n, message: Failed(False, "provider_busy") if n == 1 else Sent("second")
    async with world.running():
        outreach = world.assign(world.member())
        await until(lambda: bool(world.facts(outreach, MessageFailed)), 30)
        await world.settled(outreach)
        await world.sleep(outreach, timedelta(hours=1))
        await until(lambda: bool(world.facts(outreach, MessageSent)), 30)
    assert [m.request for m in world.post.sent] == ["rung/1#1", "rung/1#2"]
    assert len({m.key for m in world.post.sent}) == 2, "a new request has a key of its own"


async def test_stop_reaches_the_member_and_no_further_text_is_sent(world: World) -> None:
    """STOP comes back by the signed webhook, becomes a fact of the member, and the campaign goes on without texts."""
    world.adopt(**AT_ONCE)
    secret = webhook_secret(world.system.settings)
    async with world.running():
        outreach = world.assign(world.member())
        await until(lambda: bool(world.facts(outreach, MessageSent)), 30)
        (sent,) = world.post.sent
        now = SystemClock().now()
        context = {"process": sent.process, "request": sent.request, "recipient": sent.recipient, "point": sent.point}
        body = json.dumps({"id": "r1", "event": "stop", "context": {**context, "channel": "text"}}).encode()
        headers = {TIMESTAMP_HEADER: timestamp_of(now), SIGNATURE_HEADER: signature(secret, timestamp_of(now), body)}
        for _ in range(2):
            for order in receive_feedback(body, headers, secret, now):
                assert isinstance(world.system.gateway.handle(order.command, command_id=order.command_id), Accepted)
        await world.settled(outreach)
    member = world.system.gateway.load(sent.recipient).state
    assert member.opted_out(Channel.TEXT, SystemClock().now())
    assert [type(r.fact) for r in world.system.log.read(sent.recipient)].count(ChannelOptedOut) == 1


async def test_a_sender_that_breaks_leaves_an_outcome_all_the_same(world: World) -> None:
    def explode(n: int, message: Outgoing) -> Told:
        raise RuntimeError(f"could not send to {message.address}")

    world.adopt(**AT_ONCE)
    world.post.answer = explode
    async with world.running():
        outreach = world.assign(world.member())
        await until(lambda: bool(world.facts(outreach, DeliveryOutcomeUnknown)), 30)
        await world.settled(outreach)
    assert len(world.post.sent) == 1


async def test_what_temporal_keeps_names_nobody(
    database: str, temporal_address: str, temporal_namespace: str, tmp_path: Path
) -> None:
    """Inputs, results, signals, summaries and failures of a whole run, with a plan that fails in the worst way."""

    def explode(state: Any, context: Any, book: Any, now: Any) -> Any:
        member = context[state.member].state if state.member in context else None
        if member is not None and state.requests.by_key:
            raise AssertionError(f"nobody knows {member.given_name} {member.family_name} of {member.points}")
        return sound.plan(state, context, book, now)

    sound = the_programme().processes["outreach"]
    broken = replace(the_programme(), processes={**the_programme().processes, "outreach": replace(sound, plan=explode)})
    post = Post()
    with system_for(settings_for(database, temporal_address, temporal_namespace, tmp_path), post, broken) as system:
        world = await world_of(system, post)
        world.adopt(**AT_ONCE)
        async with world.running():
            outreach = world.assign(world.member())
            await until(lambda: bool((row := world.row(outreach)) and row["last_error"]), 30)
            row = world.row(outreach)
            described = await world.handle(outreach).describe()
            while "defect_assertion" not in str(described.raw_description):  # written by us before Temporal hears of it
                await asyncio.sleep(0.05)
                described = await world.handle(outreach).describe()
            histories = [history.to_json() for _, history in await world.runs(outreach)]
    assert row is not None and row["last_error"] == "defect_assertion"
    everything = "".join(histories) + str(described.raw_description)
    assert "defect_assertion" in everything, "the failure itself is there, as a code"
    payloads = re.findall(r'"data": "([^"]+)"', everything)
    texts = [everything, *(base64.b64decode(payload).decode(errors="replace") for payload in payloads)]
    for planted in (*PLANTED.split(), PLANTED_PHONE, PLANTED_MAIL, "91234567A", "Planted Street", "nobody knows"):
        assert not any(planted in text for text in texts), planted
