"""HL7 over HTTP, and the registry of sources (table 5.1, messages.md 2.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from intake.listening.mllp import FRAME_BYTES_MAX
from intake.listening.receive import HttpAnswer, receive_http
from intake.senders.sources import SourcesInvalid, load_sources
from intake.store.inbox import CannotStore, Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL, adt

HEADERS = {"content-type": "application/hl7-v2"}
FACILITY = '\n[[source.facilities]]\nid = "{0}"\nname = "{0}"\naliases = ["{1}"]'


def posted(world: World, body: bytes, **headers: str) -> HttpAnswer:
    said = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return receive_http(world.door.reception, body, said, world.source)


def test_acknowledgements_of_all_kinds_go_with_200(world: World) -> None:
    world.register(MARISOL)
    stored = posted(world, adt("A01").encode())
    assert (stored.status, stored.headers["Content-Type"]) == (200, "application/hl7-v2")
    assert b"\rMSA|AA|C1\r" in stored.body
    refused = posted(world, b"MSH|^~\\&|A|B|C|D|1||ORU^R01|77|P|2.5\r")
    assert (refused.status, b"MSA|AR|77" in refused.body) == (200, True)
    assert b"\rMSA|AA|C1\r" in posted(world, adt("A01").encode()).body
    world.door.worker.work_off()
    assert [row.transport for row in world.rows(Status.APPLIED)] == ["http"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"hello", {}, 400),
        (adt("A01").encode(), {"content_type": "application/json"}, 415),
        (b"MSH" + b"x" * FRAME_BYTES_MAX, {}, 413),
    ],
)
def test_faults_of_the_transport_have_codes_of_their_own(world: World, body: bytes, headers: dict[str, str], status: int) -> None:
    assert posted(world, body, **headers).status == status


def test_nobody_and_a_source_that_does_not_send_over_http_get_401(world: World) -> None:
    for source in (None, world.source.model_copy(update={"transports": ("mllp",)})):
        answer = receive_http(world.door.reception, adt("A01").encode(), HEADERS, source)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert world.rows() == ()


def test_the_charset_of_the_content_type_is_used(world: World) -> None:
    raw = adt("A01").replace("Quillfeather", "PEÑA").encode("iso-8859-1")
    posted(world, raw, content_type="application/hl7-v2; charset=ISO-8859-1")
    world.door.worker.work_off()
    (row,) = world.rows()
    assert "charset_guessed" not in row.flags


def test_what_cannot_be_stored_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **more: object) -> None:
        raise CannotStore("OperationalError")

    monkeypatch.setattr(type(world.door.inbox), "store_all", away)
    answer = posted(world, adt("A01").encode())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "write 1 to"),
        ("nonsense", "not TOML"),
        ('[[source]]\nname = "A B"', "source 1: name"),
        ('[[source]]\nname = "a"\ntimezone = "Mars/Olympus"', "IANA"),
        ('[[source]]\nname = "a"\ncharset = "UTF-16"', "UTF-8"),
        ('[[source]]\nname = "a"\nack = "auto"', "source 1: ack"),
        ('[[source]]\nname = "a"\ntoken_sha256 = "' + "0" * 64 + '"', "no such field"),
        ('[[source]]\nname = "a"\ntime_zone = "UTC"', "time_zone: there is no such field; take it away or write timezone"),
        ('[[source]]\nname = "a"\n[[source]]\nname = "a"', "one name"),
        ('[[source]]\nname = "a"' + FACILITY.format("x", "Q") + FACILITY.format("y", "q"), "alias"),
    ],
)
def test_a_faulty_registry_says_where_and_what(tmp_path: Path, text: str, because: str) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(text)
    with pytest.raises(SourcesInvalid, match=because):
        load_sources(file)


def test_who_sends_is_known_by_certificate_or_address() -> None:
    sources = load_sources()
    assert sources.at_address("127.0.0.1") is sources.named("valley-general")
    assert sources.at_address("192.0.2.1") is None
    assert sources.at_address("") is None
    assert sources.presenting_certificate(b"any") is None
