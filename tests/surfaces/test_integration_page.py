"""What docs/integration.md says is what happens: its registry is loaded, its messages are sent, its answers are compared."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api import tokens
from domain.staff.facts import Role
from eventlog.clock import FixedClock
from intake.listening.mllp import framed
from intake.listening.tls import server_context
from intake.referrals.referral import EXAMPLE
from intake.senders.sources import load_sources
from tests.intake.certificates import Authority
from tests.surfaces.conftest import MONDAY, World, open_world
from tests.surfaces.test_backend_services import assertion, jwks

PAGE = (Path(__file__).parents[2] / "docs" / "integration.md").read_text()


def blocks(kind: str) -> list[str]:
    """The fenced blocks of the page with this heading."""
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", PAGE, flags=re.M | re.S)


def segments(block: str) -> list[str]:
    return block.strip("\n").split("\n")


def comparable(answer: list[str]) -> list[str]:
    """An acknowledgement without its own number."""
    header = answer[0].split("|")
    assert re.fullmatch(r"T[0-9a-f]{16}", header[9]), header[9]
    return ["|".join([*header[:9], "", *header[10:]]), *answer[1:]]


@pytest.fixture
def connected(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Authority, Path]]:
    """The page's registry in use, with the certificates that it names."""
    authority, folder = Authority(tmp_path, "programme"), tmp_path / "registry"
    folder.mkdir()
    hospital = authority.signs("st-brendan")
    (folder / "st-brendan.pem").write_bytes(hospital.pem.read_bytes())
    (folder / "county.pem").write_bytes(authority.held.pem.read_bytes())
    (folder / "st-brendan.jwks").write_text(json.dumps({"keys": jwks()}))
    (registry,) = blocks("toml registry")
    (folder / "sources.toml").write_text(registry)
    monkeypatch.setenv("THROUGHLINE_SOURCES", str(folder / "sources.toml"))
    for world in open_world(database, FixedClock(MONDAY)):
        yield world, authority, hospital.pem


def test_what_the_page_pastes_over_mllp_and_tls_is_answered_as_it_says(connected: tuple[World, Authority, Path]) -> None:
    world, authority, pem = connected
    sent, expected = blocks("hl7 sent mllp"), blocks("hl7 answered mllp")
    assert len(sent) == len(expected) == 3

    async def talk() -> list[list[str]]:
        context = server_context(authority.held.pem, authority.held.key, None, world.door.sources)
        listener = world.door.listener(tls=context, plain_port=0)
        await listener.start()
        client = authority.trusted()
        client.load_cert_chain(pem, pem.with_suffix(".key"))
        said = []
        for port, tls in ((listener.plain_port, None), (listener.port, client)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            for message in sent:
                writer.write(framed(message.encode()))
                answer = (await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 10))[1:-2].decode()
                said.append(answer.rstrip("\r").split("\r"))
            writer.close()
        await listener.stop()
        return said

    said = [comparable(answer) for answer in asyncio.run(talk())]
    assert said == [comparable(segments(block)) for block in expected] * 2
    assert {row.source_id for row in world.door.inbox.find()} == {"st-brendan"}
    assert [row.repeats for row in world.door.inbox.find()] == [1, 1, 1]


@pytest.mark.parametrize("program", ["nc", "openssl"])
def test_what_the_page_pastes_into_a_shell_shows_what_it_says(connected: tuple[World, Authority, Path], program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    world, authority, pem = connected
    (pasted,) = [each for each in re.findall(r"(?:^    .*\n)+", PAGE, flags=re.M) if "printf" in each and f" {program} " in each]
    folder = pem.parent
    (folder / "admission.hl7").write_text(blocks("hl7 sent mllp")[0])
    (folder / "programme.pem").write_bytes(authority.held.pem.read_bytes())

    async def run() -> str:
        listener = world.door.listener(
            tls=server_context(authority.held.pem, authority.held.key, None, world.door.sources), plain_port=0
        )
        await listener.start()
        typed = pasted.replace("127.0.0.1 2575", f"127.0.0.1 {listener.plain_port}")
        typed = typed.replace("hl7.programme.example:2575", f"127.0.0.1:{listener.port}")
        shell = await asyncio.create_subprocess_shell(typed, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        shown, _ = await asyncio.wait_for(shell.communicate(), 20)
        await listener.stop()
        return shown.decode()

    shown = asyncio.run(run())
    assert comparable(segments(shown)) == comparable(segments(blocks("hl7 answered mllp")[0]))


def test_what_the_page_sends_over_http_and_fhir_is_answered_as_it_says(connected: tuple[World, Authority, Path]) -> None:
    world, _, _ = connected
    _, shown = tokens.mint(
        world.system.pool, role=Role.HOSPITAL, subject="source:st-brendan", now=world.clock.now(), life=timedelta(days=1)
    )
    token = {"Authorization": f"Bearer {shown}"}

    def post(path: str, body: str | bytes, kind: str) -> Any:
        assert path in PAGE and kind in PAGE
        return world.api.post(path, content=body, headers={**token, "Content-Type": kind})

    for _ in range(2):
        answer = post("/v1/hl7", blocks("hl7 sent mllp")[0].replace("\n", "\r"), "application/hl7-v2")
    assert answer.status_code == 200
    (expected,) = blocks("hl7 answered http")
    assert comparable(answer.text.rstrip("\r").split("\r")) == comparable(segments(expected))
    world.door.worker.work_off()
    followed = world.api.get("/v1/sent-messages?control_id=SB-000001", headers=token).json()
    (page,) = blocks("json followed")
    assert [row | {"receipt": ""} for row in followed] == [row | {"receipt": ""} for row in json.loads(page)]
    assert followed[0]["receipt"] == answer.headers["Throughline-Receipt"]

    (bundle,) = blocks("json sent fhir")
    taken = post("/v1/fhir/$process-message", bundle, "application/fhir+json")
    assert (taken.status_code, taken.content) == (200, b"") and taken.headers["Throughline-Receipt"]
    world.door.worker.work_off()
    (row,) = world.door.inbox.find(inbox_id=UUID(taken.headers["Throughline-Receipt"]))
    assert row.kind == "notification-discharge" and row.status.value in ("unmatched", "waiting")
    refused = post("/v1/fhir/$process-message", bundle.replace('"type": "message"', '"type": "batch"', 1), "application/fhir+json")
    (outcome,) = blocks("json answered fhir 400")
    assert refused.status_code == 400 and refused.json() == json.loads(outcome)

    american = {**EXAMPLE, "person": {**EXAMPLE["person"], "birth_date": "07/09/1961"}}
    wrong = world.api.post("/v1/referrals", json=american, headers=token)
    (problem,) = blocks("json answered referral 422")
    assert wrong.status_code == 422 and {k: v for k, v in wrong.json().items() if k != "trace_id"} == json.loads(problem)


def test_a_backend_gets_a_token_as_the_page_says(connected: tuple[World, Authority, Path]) -> None:
    world, _, _ = connected
    (curl,) = re.findall(r"curl -d grant_type.*\n.*", PAGE)
    form = dict(part.split("=", 1) for part in re.findall(r"-d (\S+)", curl))
    endpoint = world.api.get("/v1/fhir/.well-known/smart-configuration").json()["token_endpoint"]
    assert re.search(r"http://127\.0\.0\.1:8470(/\S+)", curl)[1] == endpoint.removeprefix("http://127.0.0.1:8470")  # type: ignore[index]
    jwt = assertion(world, iss="st-brendan-backend", sub="st-brendan-backend")
    told = world.api.post(endpoint.removeprefix("http://127.0.0.1:8470"), data=form | {"client_assertion": jwt}).json()
    assert (told["expires_in"], told["scope"]) == (300, "system/Bundle.c")
    (bundle,) = blocks("json sent fhir")
    token = {"Authorization": f"Bearer {told['access_token']}", "Content-Type": "application/fhir+json"}
    assert world.api.post("/v1/fhir/$process-message", content=bundle, headers=token).status_code == 200
    asked = world.api.post("/v1/enrolment-inquiries", json={}, headers={"Authorization": token["Authorization"]})
    (outcome,) = blocks("json answered scope 403")
    assert asked.status_code == 403 and asked.json() == json.loads(outcome)
    (offered,) = re.findall(r"^\| scope \|.*?\n\n", PAGE, flags=re.M | re.S)
    known = world.api.get("/v1/fhir/.well-known/smart-configuration").json()["scopes_supported"]
    assert re.findall(r"^\| `(\S+)` \|", offered, flags=re.M) == known


def test_the_pages_registry_is_read_as_it_says(connected: tuple[World, Authority, Path]) -> None:
    brendan, county = connected[0].door.sources.rows
    assert (brendan.name, len(brendan.certificate_sha256), brendan.expected_every_minutes) == ("st-brendan", 1, 120)
    assert county.certificate_names == ("hl7.county.example",)
    described = set(brendan.model_fields_set) | set(county.model_fields_set)
    assert described <= set(type(brendan).model_fields) and load_sources().rows[0].name == "valley-general"
