"""Histories that were recorded earlier must replay under the shell of today: what runs for a year meets many deployments.

The files in tests/golden/histories stay for as long as a run of their time may still be open. To add those of a release:
THROUGHLINE_RECORD_HISTORIES=<name of the release> pytest tests/shell/test_replay.py
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from domain.core import SYSTEM, ProcessRef
from domain.episode.closing import CloseEpisode, Decline
from domain.episode.enrolment import Enrol
from domain.episode.facts import ClosureReason
from domain.followup.facts import FollowUpEnded, FollowUpOpened
from domain.outreach.facts import OutreachEnded
from domain.staff.facts import Role
from tests.shell.test_interpreter import Script, Toy, runs_of, start
from tests.shell.test_interpreter import running as scripted
from tests.shell.world import World, until
from workers.payloads import CONVERTER
from workers.temporal_worker import PASSED_THROUGH
from workflows import shell
from workflows.followup import FollowUp
from workflows.outreach import Outreach
from workflows.reconcile import Reconcile
from workflows.shell import Outcome
from workflows.transition import Transition

HISTORIES = Path(__file__).resolve().parents[1] / "golden" / "histories"
RECORD = "THROUGHLINE_RECORD_HISTORIES"
RELEASE = os.environ.get(RECORD, "")

recorded = sorted(HISTORIES.glob("*.json"))


def replayer() -> Replayer:
    sandbox = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
    kinds = [Outreach, Transition, FollowUp, Reconcile, Toy]
    return Replayer(workflows=kinds, workflow_runner=sandbox, data_converter=CONVERTER)


@pytest.mark.anyio
@pytest.mark.parametrize("file", recorded, ids=[file.stem for file in recorded])
async def test_a_recorded_run_replays(file: Path) -> None:
    await replayer().replay_workflow(WorkflowHistory.from_json("replayed", file.read_text()))


@pytest.mark.anyio
async def test_a_changed_shell_would_be_noticed() -> None:
    """The replay is not blind: the same run with an activity of another name does not replay."""
    file = next(file for file in recorded if file.stem.endswith("outreach-1"))
    told = file.read_text().replace('"name": "deliver"', '"name": "send"')
    assert told != file.read_text()
    with pytest.raises(Exception, match=r"(?i)nondeterminism|non-determinis"):
        await replayer().replay_workflow(WorkflowHistory.from_json("replayed", told))


def test_what_is_recorded_names_no_machine() -> None:
    assert recorded, f"record some: {RECORD}=<release> pytest {Path(__file__).name}"
    for file in recorded:
        assert set(re.findall(r'"identity": "([^"]*)"', file.read_text())) <= {"recorded"}
        assert len(json.loads(file.read_text())["events"]) < 200


# --- recording -------------------------------------------------------------------------------------------------------------------


MACHINE = {"identity": "recorded", "stackTrace": "", "workerInstanceKey": "recorded"}


def without_machine(said: Any) -> Any:
    """The history without what names the machine and the folders that it was recorded in."""
    if isinstance(said, dict):
        return {key: MACHINE.get(key, without_machine(value)) for key, value in said.items()}
    if isinstance(said, list):
        return [without_machine(value) for value in said]
    return re.sub(r"^[0-9]+@.*", "recorded", said) if isinstance(said, str) else said


def save(name: str, histories: list[WorkflowHistory]) -> None:
    for number, history in enumerate(histories, 1):
        told = without_machine(json.loads(history.to_json()))
        (HISTORIES / f"{RELEASE}-{name}-{number}.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


@pytest.mark.temporal
@pytest.mark.anyio
async def record_an_outreach_to_its_end(world: World) -> None:
    async with world.running():
        outreach = world.assign(world.member(), lead=world.staff(Role.CARE_MANAGER))
        await world.settled(outreach)
        await world.sleep(outreach, timedelta(days=12))
        await world.settled(outreach)
        world.do(Decline(stream=f"episode-{outreach.id}", by=SYSTEM))
        await until(lambda: bool(world.facts(outreach, OutreachEnded)), 30)
        await asyncio.wait_for(world.handle(outreach).result(), 30)
    save("outreach", [history for _, history in reversed(await world.runs(outreach))])


@pytest.mark.temporal
@pytest.mark.anyio
async def record_failures_and_nudges(temporal_address: str, temporal_namespace: str) -> None:
    client = await Client.connect(temporal_address, namespace=temporal_namespace)

    def answer(n: int, seen: int) -> Outcome:
        if n in (2, 3, 4, 5, 6, 7, 8, 9):
            raise RuntimeError
        return Outcome(position=n, effects=("one",) if n < 14 else (), wait_seconds=1.0, waiting_for="contact", done=n >= 14)

    script = Script(answer, deliver_answer=lambda n: n != 1)
    async with scripted(client, script):
        handle = await start(client)
        for position in (3, 1):
            await handle.signal(shell.NEWS, position)
        await handle.signal(shell.NUDGE)
        await asyncio.wait_for(handle.result(), 60)
        assert len(await runs_of(client, handle)) >= 1
    found = [e async for e in client.list_workflows(f'WorkflowId = "{handle.id}"')]
    save("failures", [await client.get_workflow_handle(e.id, run_id=e.run_id).fetch_history() for e in reversed(found)])


@pytest.mark.temporal
@pytest.mark.anyio
async def record_a_follow_up_to_its_end(world: World) -> None:
    async with world.running():
        lead, boss = world.staff(Role.CARE_MANAGER), world.staff(Role.SUPERVISOR)
        id = world.assign(world.member(), lead=lead).id
        followup, episode = ProcessRef("followup", id), f"episode-{id}"
        await until(lambda: bool(world.facts(followup, FollowUpOpened)), 30)
        world.do(Enrol(stream=episode, by=lead, agreed="verbal"))
        await world.settled(followup)
        await world.sleep(followup, timedelta(days=35))
        await world.settled(followup)
        world.do(CloseEpisode(stream=episode, by=boss, reason=ClosureReason.MEMBER_WITHDREW))
        await until(lambda: bool(world.facts(followup, FollowUpEnded)), 30)
        await asyncio.wait_for(world.handle(followup).result(), 30)
    save("followup", [history for _, history in reversed(await world.runs(followup))])


if RELEASE:
    test_a_follow_up_is_recorded = record_a_follow_up_to_its_end
    test_outreach_is_recorded = record_an_outreach_to_its_end
    test_failures_are_recorded = record_failures_and_nudges
