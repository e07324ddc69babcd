"""The doctor finds what is wrong, says what to do about it, and shows no password."""

from __future__ import annotations

import json
import os
import socket
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

import eventlog.database
from eventlog import opening
from workers.doctor import Check, Status, examine, healthy
from workers.ground.child import write_pid
from workers.heartbeat import Heartbeat
from workers.settings import load_settings


def look(**environment: str) -> dict[str, Check]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "TEMPORAL_ADDRESS"):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        checks = examine(load_settings())
    for check in checks:
        assert check.found
        assert check.remedy or check.status is Status.OK, f"{check.name} names no remedy"
        assert "could not be looked at" not in check.found, check
    return {check.name: check for check in checks}


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path)


def test_servers_that_answer_are_named_with_their_versions(home: str, database: str, temporal_address: str) -> None:
    checks = look(THROUGHLINE_HOME=home, DATABASE_URL=database, TEMPORAL_ADDRESS=temporal_address)
    assert checks["postgresql"].status is Status.OK
    assert "version 1" in checks["postgresql"].found
    assert "can skip time" in checks["temporal"].found
    assert checks["log"].found.startswith("not set up yet")
    life = opening.create(database, database + "_keys").incarnation
    assert str(life) in look(THROUGHLINE_HOME=home, DATABASE_URL=database, TEMPORAL_ADDRESS=temporal_address)["log"].found


def test_a_log_restored_under_the_router_is_said(home: str, database: str) -> None:
    opening.create(database, database + "_keys")
    known = eventlog.database.incarnation(database).id
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(files("workers").joinpath("router.sql").read_bytes())
        connection.execute("INSERT INTO router_tracking (name, position, incarnation) VALUES ('router', 7, %s)", (known,))
    assert look(THROUGHLINE_HOME=home, DATABASE_URL=database)["log"].status is Status.OK
    eventlog.database.new_incarnation(database)
    check = look(THROUGHLINE_HOME=home, DATABASE_URL=database)["log"]
    assert check.status is Status.FAIL
    assert "workflows rebuild" in check.remedy


def test_a_server_that_does_not_answer_fails_without_its_password(home: str) -> None:
    checks = look(
        THROUGHLINE_HOME=home, DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/throughline", TEMPORAL_ADDRESS="127.0.0.1:1"
    )
    assert (checks["postgresql"].status, checks["temporal"].status) == (Status.FAIL, Status.FAIL)
    assert "DATABASE_URL" in checks["postgresql"].remedy
    assert not any("hunter2" in check.found + check.remedy for check in checks.values())
    assert not healthy(tuple(checks.values()))


def test_nothing_yet_is_not_a_fault_and_nothing_is_made(tmp_path: Path) -> None:
    checks = look(THROUGHLINE_HOME=str(tmp_path / "new"))
    assert "no data yet" in checks["postgresql"].found
    assert healthy(tuple(checks.values()))
    assert not (tmp_path / "new").exists()


def test_a_wrong_key_fails_and_a_readable_one_is_warned_of(tmp_path: Path) -> None:
    assert look(THROUGHLINE_HOME=str(tmp_path), THROUGHLINE_MASTER_KEY="c2hvcnQ=")["master key"].status is Status.FAIL
    with pytest.MonkeyPatch.context() as patch:
        for name in ("THROUGHLINE_MASTER_KEY", "THROUGHLINE_INDEX_KEY"):
            patch.delenv(name)
        patch.setenv("THROUGHLINE_HOME", str(tmp_path))
        load_settings().keys()
        (tmp_path / "index.key").chmod(0o644)
        checks = look(THROUGHLINE_HOME=str(tmp_path))
    assert checks["master key"].status is Status.OK
    assert (checks["index key"].status, checks["index key"].remedy) == (Status.WARN, f"chmod 600 {tmp_path / 'index.key'}")


def test_a_port_in_use_names_the_setting_unless_it_is_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        strange = look(THROUGHLINE_HOME=str(tmp_path), THROUGHLINE_API_PORT=port)["api port"]
        assert strange.status is Status.WARN
        assert "THROUGHLINE_API_PORT" in strange.remedy
        Heartbeat(tmp_path, "api")()
        checks = look(THROUGHLINE_HOME=str(tmp_path), THROUGHLINE_API_PORT=port)
        assert checks["api port"].status is Status.OK
        assert checks["api"].found.startswith("alive")
        assert "hl7 loopback port" not in checks, "it is bound only beside one with TLS"
        set_to = {"THROUGHLINE_HL7_LOOPBACK_PORT": port, "THROUGHLINE_HL7_CERTIFICATE": "listener.pem"}
        assert "LOOPBACK" in look(THROUGHLINE_HOME=str(tmp_path), **set_to)["hl7 loopback port"].remedy


def test_our_own_web_pages_are_no_stranger_on_their_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        look_at = {"THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_TEMPORAL_UI_PORT": str(port)}
        assert look(**look_at)["temporal web port"].status is Status.WARN
        (tmp_path / "temporal" / "web").mkdir(parents=True)
        (tmp_path / "temporal" / "web" / "throughline.yaml").write_text(json.dumps({"port": port}))
        write_pid(tmp_path / "temporal" / "web.pid", os.getpid())
        assert look(**look_at)["temporal web port"].found == f"{port}, ours"
