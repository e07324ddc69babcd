"""The senders against real servers: SMTP, a signed webhook, letters as files; what comes back; the texts."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from activities.channels.email import Smtp
from activities.channels.feedback import BadFeedback, receive_feedback
from activities.channels.folder import Letters, Outbox
from activities.channels.port import Failed, Outgoing, Sent, Unsure
from activities.channels.signature import (
    IDEMPOTENCY_HEADER,
    REPLAY_WINDOW,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    is_recent,
    is_signed,
    signature,
    timestamp_of,
)
from activities.channels.templates import Letterhead, written
from activities.channels.webhook import TRIES_MAX, Webhook
from domain.member.decider import MarkContactPoint, OptIn, OptOut
from domain.outreach.decider import RecordContact
from domain.requests import KeepRequest, MessageBounced, MessageDelivered
from workers.ground.child import free_ports

SECRET = b"a secret of a test, long enough"
NOW = datetime(2026, 11, 23, 17, tzinfo=UTC)
MEMBER = f"member-{uuid.uuid4()}"
OUTREACH = f"outreach-{uuid.uuid4()}"

MESSAGE = Outgoing(
    key=str(uuid.uuid4()),
    kind="email",
    process=OUTREACH,
    request="rung/1#1",
    recipient=MEMBER,
    point="m1",
    language="es",
    address="zerlina@example.net",
    subject="Un mensaje",
    body="Hola, señora.",
    name="Zerlina Quetzalcoatl",
)


def test_a_message_does_not_show_what_is_personal() -> None:
    shown = repr(MESSAGE)
    assert not any(secret in shown for secret in ("zerlina", "Zerlina", "Hola", "Un mensaje"))


# --- mail ----------------------------------------------------------------------------------------------------------------------


@dataclass
class Mailbox:
    """An SMTP server's handler; `answer` is what it says to the data of a message."""

    answer: str = "250 OK"
    recipient_answer: str = "250 OK"
    got: list[bytes] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.recipient_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append(envelope.content)
        if self.answer == "hang up":
            session.transport = None
            server.transport.abort()
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, Smtp]]:
    (port,) = free_ports(1)
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, Smtp(host="127.0.0.1", port=port, sender="care@example.org", security="none", seconds_max=3.0)
    controller.stop()


def test_a_mail_arrives_with_its_key_as_message_id(mailbox: tuple[Mailbox, Smtp]) -> None:
    box, smtp = mailbox
    assert smtp.send(MESSAGE) == Sent(f"<{MESSAGE.key}@example.org>")
    (raw,) = box.got
    mail = message_from_bytes(raw)
    assert mail["Message-ID"] == f"<{MESSAGE.key}@example.org>" and mail["To"] == MESSAGE.address
    assert "Hola, señora." in str(mail.get_payload(decode=True), "utf-8")
    assert not smtp.idempotent


@pytest.mark.parametrize(
    ("data", "recipient", "told"),
    [
        ("554 no", "250 OK", Failed(True, "message_refused")),
        ("451 later", "250 OK", Failed(False, "message_refused_for_now")),
        ("250 OK", "550 nobody here", Failed(True, "address_refused")),
        ("250 OK", "450 busy", Failed(False, "address_refused_for_now")),
        ("hang up", "250 OK", Unsure()),
    ],
)
def test_what_a_mail_server_says_becomes_a_code(mailbox: tuple[Mailbox, Smtp], data: str, recipient: str, told: object) -> None:
    box, smtp = mailbox
    box.answer, box.recipient_answer = data, recipient
    assert smtp.send(MESSAGE) == told


def test_no_mail_server_is_a_failure_for_now() -> None:
    (port,) = free_ports(1)
    assert Smtp(host="127.0.0.1", port=port, sender="a@b.c", security="none").send(MESSAGE) == Failed(False, "mail_server_away")


def test_an_address_with_a_line_break_is_refused_and_not_smuggled(mailbox: tuple[Mailbox, Smtp]) -> None:
    box, smtp = mailbox
    for address in ("a@b.c\r\nBcc: other@example.net", "nobody"):
        assert smtp.send(replace(MESSAGE, address=address)) == Failed(True, "bad_address")
    assert box.got == []


# --- webhook ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """A messaging provider on the wire. `answers` are its status codes, the last one for ever."""

    answers: list[int]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def provider() -> Iterator[Callable[..., Provider]]:
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: int) -> Provider:
        there = Provider(list(answers))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                there.requests.append((dict(self.headers), body))
                code = there.answers.pop(0) if len(there.answers) > 1 else there.answers[0]
                self.send_response(code)
                self.end_headers()
                self.wfile.write(b'{"id": "provider-7"}')

            def log_message(self, *args: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        there.url = f"http://127.0.0.1:{server.server_address[1]}/messages"
        return there

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def webhook(url: str) -> Webhook:
    return Webhook(url=url, secret=SECRET, seconds_max=3.0, pause_seconds=0.01)


def test_a_text_goes_out_signed_and_under_its_key(provider: Callable[..., Provider]) -> None:
    there = provider(202)
    assert webhook(there.url).send(replace(MESSAGE, kind="text")) == Sent("provider-7")
    ((headers, body),) = there.requests
    assert headers[IDEMPOTENCY_HEADER] == MESSAGE.key
    assert is_signed(SECRET, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], body)
    said = json.loads(body)
    assert said["to"] == MESSAGE.address and said["text"] == MESSAGE.body
    assert said["context"] == {"process": OUTREACH, "request": "rung/1#1", "recipient": MEMBER, "point": "m1", "channel": "text"}


@pytest.mark.parametrize(
    ("answers", "told", "tries"),
    [
        ([400], Failed(True, "address_refused"), 1),
        ([403], Failed(False, "provider_refuses_us"), TRIES_MAX),
        ([503], Failed(False, "provider_busy"), TRIES_MAX),
        ([429, 200], Sent("provider-7"), 2),
    ],
)
def test_what_a_provider_answers_becomes_a_code(
    provider: Callable[..., Provider], answers: list[int], told: object, tries: int
) -> None:
    there = provider(*answers)
    assert webhook(there.url).send(MESSAGE) == told
    assert len(there.requests) == tries
    assert len({headers[IDEMPOTENCY_HEADER] for headers, _ in there.requests}) == 1


def test_no_provider_is_a_failure_for_now() -> None:
    (port,) = free_ports(1)
    assert webhook(f"http://127.0.0.1:{port}/").send(MESSAGE) == Failed(False, "provider_away")


# --- files -----------------------------------------------------------------------------------------------------------------------


def test_a_letter_is_one_file_however_often_it_is_sent(tmp_path: Path) -> None:
    letters = Letters(tmp_path / "letters")
    message = replace(MESSAGE, kind="letter", address="1 Planted Street, Sacramento")
    assert letters.send(message) == letters.send(message) == Sent(f"{MESSAGE.key}.txt")
    (file,) = (tmp_path / "letters").iterdir()
    assert file.read_text().splitlines()[:3] == ["Zerlina Quetzalcoatl", "1 Planted Street", "Sacramento"]
    assert file.stat().st_mode & 0o077 == 0


def test_the_outbox_can_be_read(tmp_path: Path) -> None:
    assert isinstance(Outbox(tmp_path).send(replace(MESSAGE, kind="text")), Sent)
    assert "Hola, señora." in (tmp_path / "text" / f"{MESSAGE.key}.txt").read_text()


# --- texts -----------------------------------------------------------------------------------------------------------------------

TEMPLATES = Path(__file__).resolve().parents[2] / "activities" / "channels" / "templates"
NEVER = ("ECM", "Enhanced Care", "CalAIM", "Medi-Cal", "diagnos", "homeless", "hospital", "addict", "mental")


def test_members_are_written_to_in_their_language_and_never_about_what_ails_them() -> None:
    for language in ("en", "es", "vi"):
        text = written("outreach_invitation", language, Letterhead())
        assert text is not None and text.language == language and "STOP" in text.body
        assert not any(word.lower() in (text.subject + text.body).lower() for word in NEVER)
    fallback = written("outreach_invitation", "hy", Letterhead())
    assert fallback is not None and fallback.language == "en"
    assert written("../outreach_invitation", "en", Letterhead()) is None


def test_every_template_can_be_filled_in() -> None:
    names = sorted({file.name.split(".")[0] for file in TEMPLATES.glob("*.txt")})
    assert len(names) > 5
    for name in names:
        text = written(name, "en", Letterhead(), about="x", process=OUTREACH)
        assert text is not None and text.subject and text.body and "$" not in text.body


def test_every_template_that_a_plan_names_is_there() -> None:
    """A request for a template that is not there would fail for good at every member."""
    root = TEMPLATES.parents[2] / "domain"
    named = {
        word.strip('"')
        for file in (root / "outreach" / "plan.py", root / "transition" / "plan.py", root / "alerts.py")
        for line in file.read_text().splitlines()
        if "alert(" in line or "template=" in line
        for word in line.replace("(", " ").replace(",", " ").replace("=", " ").split()
        if word.startswith('"') and word.endswith('"') and "_" in word and "/" not in word
    }
    assert {"outreach_invitation", "deadline_near", "deadline_missed"} <= named
    assert not {name for name in named if not (TEMPLATES / f"{name}.en.txt").exists()}


# --- what comes back --------------------------------------------------------------------------------------------------------------


def report(event: str, *, at: datetime = NOW, secret: bytes = SECRET, **more: Any) -> tuple[bytes, dict[str, str]]:
    context = {"process": OUTREACH, "request": "rung/1#1", "recipient": MEMBER, "point": "p1", "channel": "text"}
    body = json.dumps({"id": "r-1", "event": event, "context": context, **more}).encode()
    timestamp = timestamp_of(at)
    return body, {TIMESTAMP_HEADER.lower(): timestamp, SIGNATURE_HEADER: signature(secret, timestamp, body)}


def test_reports_become_commands() -> None:
    def commands(event: str, **more: Any) -> list[Any]:
        return [order.command for order in receive_feedback(*report(event, **more), SECRET, NOW)]

    (delivered,) = commands("delivered")
    assert isinstance(delivered, KeepRequest) and delivered.fact == MessageDelivered(key="rung/1#1")
    bounced, bad = commands("bounced", code="unknown_number")
    assert bounced.fact == MessageBounced(key="rung/1#1", code="unknown_number")
    assert isinstance(bad, MarkContactPoint) and (bad.stream, bad.point, bad.good) == (MEMBER, "p1", False)
    (stop,), (start,) = commands("stop"), commands("start")
    assert isinstance(stop, OptOut) and isinstance(start, OptIn) and stop.stream == MEMBER
    (answer,) = commands("answered")
    assert isinstance(answer, RecordContact) and answer.initiated_by == "member" and answer.stream == OUTREACH


def test_the_same_report_gives_the_same_command_ids() -> None:
    first = receive_feedback(*report("bounced"), SECRET, NOW)
    again = receive_feedback(*report("bounced", at=NOW + timedelta(minutes=1)), SECRET, NOW + timedelta(minutes=1))
    assert [order.command_id for order in first] == [order.command_id for order in again]
    assert len({order.command_id for order in first}) == 2


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (report("stop", secret=b"another secret, long enough too"), 401),
        (report("stop", at=NOW - REPLAY_WINDOW - timedelta(seconds=1)), 401),
        ((report("stop")[0] + b" ", report("stop")[1]), 401),
        ((report("stop")[0], {}), 401),
        (report("poem"), 422),
        (report("stop", context={"recipient": "staff-1", "channel": "text"}), 422),
        (report("stop", context="x"), 422),
        (report("delivered", at_="x", id=""), 422),
        (report("x" * 20_000), 413),
    ],
)
def test_what_is_not_signed_recent_and_understood_is_refused(broken: tuple[bytes, dict[str, str]], status: int) -> None:
    with pytest.raises(BadFeedback) as refused:
        receive_feedback(*broken, SECRET, NOW)
    assert refused.value.status == status
    assert MEMBER not in str(refused.value)


def test_the_replay_window_has_two_sides() -> None:
    assert is_recent(timestamp_of(NOW + REPLAY_WINDOW), NOW)
    assert not is_recent(timestamp_of(NOW + REPLAY_WINDOW + timedelta(seconds=1)), NOW)
    assert not is_recent(base64.b64encode(b"x").decode(), NOW)
