"""A Temporal of our own starts, is found again, keeps its namespaces over a kill and can skip a workflow's time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from workers.ground.temporal import RETENTION, TemporalServer, register_namespace
from workers.ground.temporal_program import find_program

pytestmark = pytest.mark.temporal


def retention_days(address: str, namespace: str) -> float:
    async def ask() -> float:
        client = await Client.connect(address, namespace=namespace)
        answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
        return answer.config.workflow_execution_retention_ttl.seconds / 86_400

    return asyncio.run(ask())


def test_a_namespace_keeps_closed_workflows_for_thirty_days(temporal_address: str, temporal_namespace: str) -> None:
    assert retention_days(temporal_address, temporal_namespace) == RETENTION.days == 30


@pytest.mark.kills
def test_a_namespace_survives_a_kill_and_is_gone_with_its_database(ground_folder: Path) -> None:
    server = TemporalServer(ground_folder / "temporal-killed", program=find_program()).start()
    try:
        address = server.address
        asyncio.run(register_namespace(address, "kept"))
        server.kill()
        assert not server.running
        server.start()
        assert server.address == address
        assert retention_days(address, "kept") == 30
        server.stop()
        server.drop_database()
        server.start()
        asyncio.run(register_namespace(address, "kept"))
    finally:
        server.stop()
    assert not server.running


@pytest.mark.kills
def test_a_running_server_is_found_and_left_running(ground_folder: Path) -> None:
    first = TemporalServer(ground_folder / "temporal-shared", program=find_program()).start()
    try:
        second = TemporalServer(ground_folder / "temporal-shared", program=find_program()).start()
        assert (second.owned, second.address) == (False, first.address)
        second.stop()
        assert first.running
    finally:
        first.stop()
