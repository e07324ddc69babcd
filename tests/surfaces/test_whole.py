"""The whole system at work on servers of its own: one trace from a message to the activity, nothing personal left behind.

The scan is trusted only as far as it can see: in every place that it reads, something planted on purpose has to be found.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client
from typer.testing import CliRunner

from activities.channels.port import Outgoing, Sent, Told
from api import tokens
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from simulation.hospital import send_over_mllp
from workers.cli import app, frame
from workers.cli import workflows as workflows_commands
from workers.cli.sending import built
from workers.composition import System, connect_temporal, open_system
from workers.first_policies import adopt_first_policies
from workers.ground.child import free_ports
from workers.ground.postgres import FOR_TESTS, PostgresServer, ensure_database
from workers.ground.temporal import TemporalServer, register_namespace
from workers.ground.temporal_program import find_program
from workers.roles import ROLES, work
from workers.services import projector_of
from workers.settings import load_settings
from workers.telemetry import TelemetryTargets, start_telemetry
from workers.telemetry.allowed import WITHHELD
from workers.telemetry.traces import JsonLines, as_row

pytestmark = [pytest.mark.temporal, pytest.mark.kills, pytest.mark.timeout(300)]

FAMILY, GIVEN, CIN = "Quintanilla", "Marisol", "91234567A"
PHONE, MAIL, STREET = "4155550142", "marisol.q@example.org", "2718 Persimmon Hollow"
STAFF_NAME, STAFF_MAIL = "Wilhelmina Throckmorton", "w.throckmorton@example.org"
NOTE = "sleeps behind the laundromat"
STRANGER = "Oyelaran"
PLANTED = (FAMILY, GIVEN, CIN, PHONE, MAIL, STREET, "Throckmorton", STAFF_MAIL, NOTE, STRANGER)
ROSTER = (
    "CIN,Last Name,First Name,DOB,Language,Phone,Email,Address\n"
    f'{CIN},{FAMILY},{GIVEN},1959-04-03,en,{PHONE},{MAIL},"{STREET}"\n'
    f"91234567B,{STRANGER},Wrong,1960-13-01,en,,,\n"
)
WAIT_SECONDS = 60.0


class Careless:
    """A sender that fails as libraries do: with everything that it knows in the text of its error."""

    idempotent = True

    def __init__(self) -> None:
        self.seen: list[Outgoing] = []

    def send(self, message: Outgoing) -> Told:
        self.seen.append(message)
        if len(self.seen) == 1:
            raise ValueError(f"550 <{message.address}> {message.name} rejected: {message.subject} {message.body} {FAMILY} {CIN}")
        return Sent("ok")


@dataclass
class Whole:
    """The system at work, with what it leaves behind."""

    system: System
    postgres: PostgresServer
    temporal: TemporalServer
    log_file: Path
    spans: InMemorySpanExporter
    channel: Careless
    staff: str
    token: dict[Role, str] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.system.settings.throughline_api_port}"

    def headers(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token[role]}", "Idempotency-Key": str(uuid4())}

    def hl7(self, *messages: bytes) -> tuple[bytes, ...]:
        return send_over_mllp(messages, "127.0.0.1", self.system.settings.throughline_hl7_port)


def until(what: str, holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        with suppress(httpx.TransportError):
            if holds():
                return
        time.sleep(0.2)
    pytest.fail(f"{what}: not so after {WAIT_SECONDS:.0f} s")


@contextmanager
def at_work(system: System, *roles: str) -> Iterator[None]:
    """Roles of the system in a thread of their own."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(work(system, projector_of(system), roles, stop, lambda line: None))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, name="-".join(roles))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60.0)
        loop.close()
    assert not ended and not thread.is_alive(), ended


@pytest.fixture(scope="module")
def whole(ground_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = ground_folder / "whole"
    folder.mkdir(mode=0o711)
    log_file = folder / "up.jsonl"
    telemetry = start_telemetry("test", TelemetryTargets(log_file=log_file))
    postgres = PostgresServer(folder / "postgres", settings=FOR_TESTS).start()
    temporal = TemporalServer(folder / "temporal", program=find_program(at_once=True), time_skipping=False).start()
    try:
        url = postgres.url("whole")
        for each in (url, f"{url}_keys"):
            ensure_database(each)
        asyncio.run(register_namespace(temporal.address, "whole"))
        api_port, hl7_port = free_ports(2)
        settings = load_settings().model_copy(
            update={
                "database_url": url, "keys_database_url": f"{url}_keys", "temporal_address": temporal.address,
                "temporal_namespace": "whole", "throughline_home": folder / "home", "throughline_api_port": api_port,
                "throughline_hl7_port": hl7_port,
            }
        )  # fmt: skip
        frame.set_up(settings)
        channel = Careless()
        with telemetry.spans_in_memory() as spans, open_system(
            settings, channels=dict.fromkeys(("text", "call", "email", "letter", "alert"), channel)
        ) as system:  # fmt: skip
            adopt_first_policies(system)
            staff = f"staff-{uuid4()}"
            join = JoinStaff(stream=staff, by="system", name=STAFF_NAME, email=STAFF_MAIL, roles=tuple(Role)[:3], supervisor=staff)
            system.gateway.handle(join, command_id=uuid4())
            there = Whole(system, postgres, temporal, log_file, spans, channel, staff)
            for role in (Role.CARE_MANAGER, Role.OPERATOR, Role.HOSPITAL):
                subject = "source:valley-general" if role is Role.HOSPITAL else staff
                _, there.token[role] = tokens.mint(
                    system.pool, role=role, subject=subject, now=system.clock.now(), life=timedelta(days=1)
                )
            with at_work(system, *(role for role in ROLES if role != "worker")):
                with at_work(system, "worker"):
                    until("the API answers", lambda: httpx.get(f"{there.api}/readyz").status_code == 200)
                    a_day(there)
                    yield there
                said = listed(there, polled_within=2.0)
                assert said["workers"]["dead"], "the worker is gone, and workflows list says so"
                assert all(item["verdict"] == "worker_dead" for item in said["items"])
            rebuilt = json.loads(call(there, "workflows", "rebuild", "--terminate", "--json"))
            assert rebuilt["started"] == rebuilt["total"] >= 1
    finally:
        temporal.stop()
        postgres.stop()


def listed(there: Whole, polled_within: float | None = None) -> dict[str, Any]:
    """What `workflows list` says; with a quicker idea of when a worker is dead."""
    patience = workflows_commands.POLLED_WITHIN
    try:
        if polled_within is not None:
            time.sleep(polled_within + 1)
            workflows_commands.POLLED_WITHIN = timedelta(seconds=polled_within)  # type: ignore[misc]
        said: dict[str, Any] = json.loads(call(there, "workflows", "list", "--json"))
        return said
    finally:
        workflows_commands.POLLED_WITHIN = patience  # type: ignore[misc]


def call(there: Whole, *words: str) -> str:
    """A command to this system, in this process."""
    before, frame.asked.settings = frame.asked.settings, there.system.settings
    try:
        shown = CliRunner().invoke(app, list(words))
        assert shown.exit_code == 0, shown.output
        return shown.stdout
    finally:
        frame.asked.settings = before
        start_telemetry("test", TelemetryTargets(log_file=there.log_file))


def a_day(there: Whole) -> None:
    """A roster, an admission and a discharge, work of a care manager; and everything that goes wrong on a bad day."""
    post, get = httpx.post, httpx.get
    operator, carer = there.headers(Role.OPERATOR), there.headers(Role.CARE_MANAGER)
    receipt = post(
        f"{there.api}/v1/member-files?plan=default",
        content=ROSTER.encode(),
        headers=operator | {"Content-Type": "text/csv"},
        timeout=30,
    )
    assert receipt.json()["accepted"] == 1, receipt.text
    member = there.system.log.streams("member")[0]
    (episode,) = there.system.log.streams("episode")
    outreach = episode.replace("episode-", "outreach-")
    until("the outreach opened", lambda: there.system.log.version(outreach) > 0)
    attempt = {"channel": "call", "outcome": "voicemail", "note": NOTE}
    done = post(f"{there.api}/v1/outreach/{outreach}/attempts", json=attempt, headers=carer)
    assert done.status_code == 200, done.text
    lead = post(f"{there.api}/v1/episodes/{episode}/lead-care-managers", json={"staff": there.staff}, headers=operator)
    assert lead.status_code == 200, lead.text
    enrolled = post(
        f"{there.api}/v1/episodes/{episode}/enrolments", json={"agreed": "verbal"}, headers=there.headers(Role.CARE_MANAGER)
    )
    assert enrolled.status_code == 200, enrolled.text
    now = there.system.clock.now()
    said = {
        "cin": CIN,
        "name": f"{FAMILY.upper()}^{GIVEN.upper()}",
        "born": "1959-04-03",
        "visit": "V-900",
        "facility": "VALLEYGEN",
        "patient_class": "I",
        "disposition": "01",
        "now": now,
    }
    answers = there.hl7(
        built("A01", **said, at=now - timedelta(hours=30)),  # type: ignore[arg-type]
        built("A03", **said, at=now - timedelta(hours=2)),  # type: ignore[arg-type]
        built("A01", **{**said, "cin": "98765432C", "name": f"{STRANGER.upper()}^LOST", "visit": "V-901"}, at=now),  # type: ignore[arg-type]
        f"MSH|^~\\&|X|VALLEYGEN|T|T|2026||ORU^R01|1|P|2.5\rPID|1||{CIN}||{FAMILY}^{GIVEN}\r".encode(),
        f"{FAMILY} {GIVEN} {PHONE} is no HL7".encode(),
    )
    there.hl7(built("A01", **{**said, "visit": "V-902"}, at=now))  # type: ignore[arg-type]
    assert b"MSA|AA" in answers[0]
    until("the stay is the member's", lambda: len(there.system.log.streams("stay")) >= 1)
    # a bad day: every way in which somebody may put a name where none belongs
    for path in (
        f"/v1/members/{FAMILY}/timeline",
        f"/v1/members/{member}/timeline?cursor={FAMILY}",
        f"/v1/{GIVEN}",
        f"/v1/worklist?plan={FAMILY}&rule={NOTE}",
        f"/v1/members/{member}/history?as_of={FAMILY}",
        f"/v1/deadlines?cursor={forged(FAMILY)}",
        f"/v1/worklist?cursor={forged(FAMILY)}",
    ):
        assert get(f"{there.api}{path}", headers=carer).status_code in (200, 400, 404, 422), path
    for path, body in (
        (f"/v1/members/{member}/consents", {"scope": f"{FAMILY} {NOTE}", GIVEN: PHONE}),
        (f"/v1/members/{member}/contact-points", {"kind": "phone", "learned_from": "member", "value": "+1" + PHONE}),
        (f"/v1/episodes/{episode}/enrolments", {"agreed": f"{FAMILY} said yes"}),
        (f"/v1/members/{member}/relocations", {"timezone": STREET}),
        ("/v1/members/registrations", {"cin": f"{CIN}X{PHONE}", "family_name": FAMILY}),
    ):  # fmt: skip
        post(f"{there.api}{path}", json=body, headers=there.headers(Role.CARE_MANAGER))
    post(f"{there.api}/v1/members/{member}/consents", content=f'{{"scope": "{FAMILY}'.encode(), headers=carer)
    get(f"{there.api}/v1/worklist?names=true", headers={"Authorization": f"Bearer tl_{FAMILY}"})
    with suppress(psycopg.Error), there.system.pool.connection() as conn:
        conn.execute("INSERT INTO api_token SELECT * FROM api_token WHERE subject <> %s", (FAMILY,))
    until("the careless sender failed", lambda: there.channel.seen)
    until("every process was advanced", lambda: all_quiet(there))


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(["o.act_by,o.process,o.key", text, text, text]).encode()).decode().rstrip("=")


def all_quiet(there: Whole) -> bool:
    with there.system.pool.connection() as conn:
        row = conn.execute("SELECT count(*), count(*) FILTER (WHERE position = 0) FROM process_state").fetchone()
    return bool(row and row[0] >= 2 and not row[1])


# --- the scan ------------------------------------------------------------------------------------------------------------------


def found_in(content: bytes) -> list[str]:
    """The planted words in some bytes: as they are, in capitals, as UTF-16, in each of the three alignments of base64."""
    hits = []
    low = content.lower()
    for word in PLANTED:
        plain = word.lower().encode()
        encoded = [base64.b64encode(b"\0" * shift + word.encode())[4 if shift else 0 : -4] for shift in range(3)]
        if plain in low or word.encode("utf-16-le").lower() in low or any(len(e) > 7 and e in content for e in encoded):
            hits.append(word)
    return hits


def places(there: Whole) -> dict[str, bytes]:
    """Everything that the system leaves behind outside of its own sealed tables."""
    there.temporal_history = asyncio.run(histories(there.system))  # type: ignore[attr-defined]
    files = [path for path in there.temporal.folder.rglob("*") if path.is_file()]
    return {
        "log lines": there.log_file.read_bytes(),
        "spans": "\n".join(json.dumps(as_row(s)) + s.to_json() for s in there.spans.get_finished_spans()).encode(),
        "postgres log": there.postgres.log.read_bytes(),
        "temporal database": b"".join(path.read_bytes() for path in files),
        "temporal histories": there.temporal_history,  # type: ignore[attr-defined]
        "temporal log": there.temporal.log.read_bytes(),
    }


async def histories(system: System) -> bytes:
    client: Client = await connect_temporal(system.settings)
    told = [
        (await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()).to_json()
        async for run in client.list_workflows()
    ]
    # payloads are base64 in this form: what they hold is laid open for the scan
    opened = [base64.b64decode(word) for text in told for word in text.split('"') if len(word) > 8 and _is_base64(word)]
    return "\n".join(told).encode() + b"\n".join(opened)


def _is_base64(word: str) -> bool:
    try:
        base64.b64decode(word, validate=True)
    except ValueError:
        return False
    return True


def test_nothing_personal_is_left_behind(whole: Whole) -> None:
    scanned = places(whole)
    assert len(scanned["temporal database"]) > 100_000 and b"outreach-" in scanned["temporal histories"]
    assert b"router.signal" in scanned["spans"] or b"activity.advance" in scanned["spans"]
    assert scanned["log lines"].count(b"\n") > 20 and b"LOG:" in scanned["postgres log"]
    found = {place: hits for place, content in scanned.items() if (hits := found_in(content))}
    assert not found, found


def test_the_scan_sees_what_is_leaked_on_purpose(whole: Whole) -> None:
    """One leak a place, on a copy where that is possible: a scan that misses one is blind there."""
    with whole.log_file.open("a") as log:
        log.write(json.dumps({"event": "leak", "name": FAMILY}) + "\n")
    from opentelemetry import trace

    whole.spans.clear()
    leaky = whole.log_file.with_name("leaky-spans.jsonl")
    raw = JsonLines(leaky)
    span = trace.get_tracer("leak").start_span("leak", attributes={"name": FAMILY})
    span.end()
    raw.export((span,))  # type: ignore[arg-type]
    assert found_in(leaky.read_bytes()) == [FAMILY], "an exporter without the filter would let it out"
    assert not found_in("".join(s.to_json() for s in whole.spans.get_finished_spans()).encode()), "with it, nothing comes out"
    with psycopg.connect(whole.postgres.url("whole"), autocommit=True) as owner:
        owner.execute(f"DO $$ BEGIN RAISE LOG 'leak {FAMILY}'; END $$")

    async def leak() -> None:
        client = await connect_temporal(whole.system.settings)
        await client.start_workflow("leak", f"{GIVEN} {FAMILY}", id=f"leak-{CIN}", task_queue="nobody")

    asyncio.run(leak())
    until("Temporal wrote it", lambda: FAMILY in found_in(places(whole)["temporal database"]))
    scanned = places(whole)
    for place in ("log lines", "postgres log", "temporal database", "temporal histories"):
        assert FAMILY in found_in(scanned[place]), f"the scan is blind for the {place}"

    async def undo() -> None:
        client = await connect_temporal(whole.system.settings)
        await client.get_workflow_handle(f"leak-{CIN}").terminate()

    asyncio.run(undo())


def test_what_the_careless_sender_saw_was_real(whole: Whole) -> None:
    """Otherwise nothing personal was near when it failed, and the scan proved nothing."""
    told = " ".join(f"{m.address} {m.name} {m.subject} {m.body}" for m in whole.channel.seen[:1])
    assert STAFF_MAIL in told or PHONE in told or MAIL in told or STREET in told, told


# --- one trace -----------------------------------------------------------------------------------------------------------------


def test_one_trace_from_the_message_to_the_activity(whole: Whole) -> None:
    now = whole.system.clock.now()
    whole.hl7(
        built("A01", cin=CIN, name=f"{FAMILY}^{GIVEN}", born="1959-04-03", visit=f"V-{os.urandom(3).hex()}", facility="VALLEYGEN",
              patient_class="E", disposition="", at=now, now=now)
    )  # fmt: skip
    until(
        "one trace holds all of it",
        lambda: joined(whole, "hl7.receive", "intake.apply", "log.append", "router.", "activity.advance"),
    )


def test_one_trace_from_the_request_to_the_activity(whole: Whole) -> None:
    trace_id = os.urandom(16).hex()
    (episode,) = whole.system.log.streams("episode")
    body = {"channel": "call", "outcome": "no_answer"}
    headers = whole.headers(Role.CARE_MANAGER) | {"traceparent": f"00-{trace_id}-{os.urandom(8).hex()}-01"}
    path = f"/v1/outreach/{episode.replace('episode-', 'outreach-')}/attempts"
    answer = httpx.post(f"{whole.api}{path}", json=body, headers=headers)
    assert answer.status_code == 200 and answer.headers["Trace-Id"] == trace_id
    until(
        "one trace holds all of it",
        lambda: (
            joined(whole, "POST /v1/outreach/{stream}/attempts", "gateway.handle", "log.append", "router.", "activity.advance")
            == trace_id
        ),
    )


def joined(there: Whole, *names: str) -> str:
    """The trace in which spans of all these names stand."""
    by_trace: dict[int, set[str]] = {}
    for span in there.spans.get_finished_spans():
        assert span.context is not None and span.name != WITHHELD
        by_trace.setdefault(span.context.trace_id, set()).add(span.name)
    fits = (t for t, had in by_trace.items() if all(any(h.startswith(name) for h in had) for name in names))
    return next((f"{t:032x}" for t in fits), "")


def test_workflows_list_agrees_with_temporal_while_all_is_well(whole: Whole) -> None:
    said = listed(whole)
    assert not said["workers"]["dead"]
    items = said["items"]
    assert isinstance(items, list) and items
    assert {item["temporal"]["status"] for item in items} == {"running"}
    assert {item["verdict"] for item in items} <= {"waiting", "working", "retrying"}, items


def test_one_workflow_is_shown_and_nudged(whole: Whole) -> None:
    (episode,) = whole.system.log.streams("episode")
    transition = episode.replace("episode-", "transition-")
    said = json.loads(call(whole, "workflows", "show", transition, "--json"))
    assert (
        said["process"]["process"] == transition
        and said["temporal"]["run_id"]
        and said["verdict"] in ("waiting", "working", "retrying")
    )
    assert transition in call(whole, "workflows", "show", transition[:24])
    assert "looks again" in call(whole, "workflows", "nudge", transition)


def test_the_inbox_shows_bytes_and_facts_and_says_why(whole: Whole) -> None:
    rows = json.loads(call(whole, "inbox", "list", "--json"))["items"]
    applied = next(row for row in rows if row["status"] == "applied" and row["kind"].startswith("ADT^A01"))
    shown = json.loads(call(whole, "inbox", "show", applied["inbox_id"], "--json"))
    assert FAMILY.upper() in shown["raw"].upper() and shown["caused"] and shown["steps"]
    assert "how it came to this" in call(whole, "inbox", "show", applied["inbox_id"], "--no-raw")


def test_metrics_are_read_from_the_running_system(whole: Whole) -> None:
    from workers.watching import readings

    projector = projector_of(whole.system)
    until("the readers are level", lambda: max(readings(whole.system, projector).lag.values()) == 0)
    found = readings(whole.system, projector)
    assert found.processes_open >= 1 and found.unmatched == 1 and found.parked == 0
    numbers = start_telemetry("test", TelemetryTargets(log_file=whole.log_file)).numbers()
    assert numbers["throughline.append.events"] > 5 and numbers["throughline.append.duration.count"] > 5
