"""A Temporal of our own starts, is found again, keeps its namespaces over a kill and can skip a workflow's time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from workers.ground.child import free_ports, port_is_free
from workers.ground.postgres import FOR_TESTS, PostgresServer
from workers.ground.temporal import RETENTION, TemporalServer, register_namespace
from workers.ground.temporal_build import schema_tool_program, web_pages_program
from workers.ground.temporal_on_postgres import DEBIAN_BINARIES, postgres_persistence
from workers.ground.temporal_program import find_program
from workers.ground.temporal_web import TemporalWebPages

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
    server = TemporalServer(ground_folder / "temporal-killed", program=find_program(at_once=True)).start()
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
    first = TemporalServer(ground_folder / "temporal-shared", program=find_program(at_once=True)).start()
    try:
        second = TemporalServer(ground_folder / "temporal-shared", program=find_program(at_once=True)).start()
        assert (second.owned, second.address) == (False, first.address)
        second.stop()
        assert first.running
    finally:
        first.stop()


@pytest.mark.kills
def test_temporal_keeps_its_workflows_in_a_postgres_as_in_production(ground_folder: Path) -> None:
    tool = schema_tool_program()
    if not (DEBIAN_BINARIES / "postgres").exists():
        pytest.skip("Debian's PostgreSQL 15 is not installed (apt-get install postgresql-15): Temporal on PostgreSQL was not tried")
    if tool is None:
        pytest.skip("Temporal's schema tool is not here (it is built along with the server): Temporal on PostgreSQL was not tried")
    postgres = PostgresServer(ground_folder / "postgres-of-temporal", settings=FOR_TESTS, binaries=DEBIAN_BINARIES).start()
    try:
        database = postgres_persistence(postgres.url(), schema_tool=tool)
        assert postgres_persistence(postgres.url(), schema_tool=tool) == database, "a second time changes nothing"
        server = TemporalServer(ground_folder / "temporal-on-postgres", program=find_program(at_once=True), database=database)
        try:
            server.start()
            asyncio.run(register_namespace(server.address, "kept"))
            server.kill()
            server.start()
            assert retention_days(server.address, "kept") == 30
            assert not list(server.folder.glob("*.db")), "nothing is kept in files"
        finally:
            server.stop()
    finally:
        postgres.stop()


@pytest.mark.kills
def test_the_web_pages_are_served_where_they_were_built(ground_folder: Path, temporal_address: str) -> None:
    program = web_pages_program()
    if program is None:
        pytest.skip("Temporal's web pages are not here (they are built along with the server): they were not tried")
    (port,) = free_ports(1)
    pages = TemporalWebPages(
        ground_folder / "web", program=program, temporal_address=temporal_address, namespace="default", port=port
    )
    assert pages.start()
    try:
        assert httpx.get(pages.url).status_code == 200
    finally:
        pages.stop()
    assert port_is_free(port)


STARTS_WEB_PAGES = """
import sys, time
from pathlib import Path
from workers.ground.child import free_ports
from workers.ground.temporal_web import provide_web_pages
pages = provide_web_pages(Path(sys.argv[1]), temporal_address=sys.argv[2], namespace="default", port=free_ports(1)[0])
print("served" if pages else "none", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_web_pages_die_with_whoever_started_them(tmp_path: Path, temporal_address: str) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS_WEB_PAGES, str(tmp_path), temporal_address], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    if starter.stdout.readline().strip() == "none":
        starter.kill()
        pytest.skip("the program of the web pages was not built here")
    pages = psutil.Process(int((tmp_path / "temporal" / "web.pid").read_text().split()[0]))
    starter.terminate()
    starter.wait(timeout=10)
    assert psutil.wait_procs([pages], timeout=10)[1] == []
