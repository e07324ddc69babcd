"""Client certificates over the real listener: which of them name a source, and what becomes of all the others."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from intake.listening.mllp import Listener, framed
from intake.listening.tls import server_context
from intake.senders.sources import SourcesInvalid, load_sources
from tests.intake.certificates import Authority, Held
from tests.intake.conftest import World, open_world
from tests.intake.making import adt


@dataclass(slots=True)
class Secured:
    """A listener with TLS and a plain port on the loopback, and who may knock at it."""

    world: World
    ours: Authority
    theirs: Authority
    pinned: Held
    named: Held

    def talk(self, *clients: ssl.SSLContext | None) -> list[str]:
        """What each client is answered, in turn; None knocks at the plain port. Empty: the connection was closed."""
        return asyncio.run(self._talk(clients))

    async def _talk(self, clients: tuple[ssl.SSLContext | None, ...]) -> list[str]:
        context = server_context(self.ours.held.pem, self.ours.held.key, None, self.world.door.sources)
        listener = self.world.door.listener(tls=context, plain_port=0)
        await listener.start()
        said = [await self._said(listener, client, n) for n, client in enumerate(clients)]
        await listener.stop()
        assert listener.connections == set()
        return said

    async def _said(self, listener: Listener, client: ssl.SSLContext | None, n: int) -> str:
        port = listener.plain_port if client is None else listener.port
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            writer.write(framed(adt("A60", control_id=f"T-{n}").encode()))
            said = await asyncio.wait_for(reader.read(400), 10)
            writer.close()
        except (ConnectionError, ssl.SSLError):
            return ""
        return said.decode()

    def noticed(self) -> list[str]:
        self.world.door._threads.submit(lambda: None).result()  # what was noted before is written by now
        return [notice.subject for notice in self.world.door.notices.open()]


@pytest.fixture
def secured(database: str, tmp_path: Path) -> Iterator[Secured]:
    ours, theirs = Authority(tmp_path, "programme"), Authority(tmp_path, "hospitals")
    pinned, named = theirs.signs("pinned"), theirs.signs("named", dns="hl7.far.example")
    registry = tmp_path / "sources.toml"
    registry.write_text(
        '[[source]]\nname = "pinned"\ncertificates = ["pinned.pem"]\n'
        '[[source]]\nname = "named"\nauthorities = ["hospitals.pem"]\ncertificate_names = ["hl7.far.example"]\n'
        '[[source]]\nname = "here"\naddresses = ["127.0.0.1/32"]\n'
    )
    world = open_world(database, load_sources(registry))
    yield Secured(world, ours, theirs, pinned, named)
    world.door.close()
    world.opened.close()


def test_a_certificate_names_the_source_by_fingerprint_or_by_a_name_that_its_authority_gave(secured: Secured) -> None:
    clients = [held.presented_to(secured.ours) for held in (secured.pinned, secured.named)]
    said = secured.talk(*clients, None)
    assert [f"MSA|AA|T-{n}" in answer for n, answer in enumerate(said)] == [True, True, True]
    assert [row.source_id for row in reversed(secured.world.rows())] == ["pinned", "named", "here"]
    assert secured.noticed() == []


def test_wrong_expired_and_missing_certificates_are_refused_and_noticed(secured: Secured, tmp_path: Path) -> None:
    unknown = secured.theirs.signs("unknown")  # trusted by TLS, in no source
    expired = secured.theirs.signs("expired", dns="hl7.far.example", days=(-3, -1))
    early = secured.theirs.signs("early", dns="hl7.far.example", days=(1, 3))
    forged = Authority(tmp_path, "forger").signs("forged", dns="hl7.far.example")
    clients = [held.presented_to(secured.ours) for held in (unknown, expired, early, forged)]
    said = secured.talk(*clients, secured.ours.trusted(), secured.named.presented_to(secured.ours))
    assert said[:5] == [""] * 5
    assert "MSA|AA|T-5" in said[5], "the listener goes on"
    noticed = secured.noticed()
    assert noticed[0].startswith("unknown sender: CN=unknown,O=A hospital, SHA-256 ")
    assert [n.partition(":")[0] for n in noticed[1:]] == [
        "certificate expired", "certificate not yet valid", "certificate not trusted", "certificate missing",
    ]  # fmt: skip
    assert [row.source_id for row in secured.world.rows()] == ["named"]


def test_a_refused_client_is_told_why_before_the_connection_is_closed(secured: Secured, tmp_path: Path) -> None:
    expired = secured.theirs.signs("expired", dns="hl7.far.example", days=(-3, -1))
    forged = Authority(tmp_path, "forger").signs("forged", dns="hl7.far.example")

    async def alert(listener: Listener, client: ssl.SSLContext) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=client)
            for _ in range(40):  # what is on its way already must not take the alert back
                writer.write(framed(b"x" * 9_000))
            await asyncio.wait_for(reader.read(1), 10)
        except (ssl.SSLError, ConnectionError) as told:
            return str(getattr(told, "reason", type(told).__name__))
        return "nothing"

    async def talk() -> list[str]:
        context = server_context(secured.ours.held.pem, secured.ours.held.key, None, secured.world.door.sources)
        listener = secured.world.door.listener(tls=context)
        await listener.start()
        said = []
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for client in (secured.ours.trusted(), *(held.presented_to(secured.ours) for held in (expired, forged))):
                client.maximum_version = version
                said.append(await alert(listener, client))
        await listener.stop()
        return said

    assert asyncio.run(talk()) == [
        "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "TLSV1_ALERT_UNKNOWN_CA",
    ]  # fmt: skip


def test_plain_text_at_the_secure_port_is_refused_and_a_mere_knock_is_not_noticed(secured: Secured) -> None:
    async def talk() -> bytes:
        context = server_context(secured.ours.held.pem, secured.ours.held.key, None, secured.world.door.sources)
        listener = secured.world.door.listener(tls=context)
        await listener.start()
        _, knock = await asyncio.open_connection("127.0.0.1", listener.port)
        knock.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(framed(adt("A60").encode()))
        try:
            said = await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            said = b""
        writer.close()
        assert listener.plain_port is None and listener.counts.refused == 2
        await listener.stop()
        return said

    assert b"MSA" not in asyncio.run(talk())
    assert secured.noticed() == ["no tls that we speak: 127.0.0.1"]


def test_many_frames_and_slow_ones_come_through_tls_as_they_do_without(secured: Secured) -> None:
    async def talk() -> list[str]:
        context = server_context(secured.ours.held.pem, secured.ours.held.key, None, secured.world.door.sources)
        listener = secured.world.door.listener(tls=context)
        await listener.start()
        client = secured.pinned.presented_to(secured.ours)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=client)
        sent = b"".join(framed(adt("A60", control_id=f"M-{n}").encode()) for n in range(50))
        for start in range(0, len(sent), 701):
            writer.write(sent[start : start + 701])
            await writer.drain()
        said = [(await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 10)).decode().split("\r")[1] for _ in range(50)]
        writer.close()
        await listener.stop()
        return said

    assert asyncio.run(talk()) == [f"MSA|AA|M-{n}" for n in range(50)]


@pytest.mark.parametrize(
    ("row", "line", "said"),
    [
        ('certificates = ["absent.pem"]', 3, "cannot be read"),
        ('authorities = ["sources.toml"]', 3, "holds no certificate"),
        ('certificate_names = ["hl7.far.example"]', 2, "need authorities"),
        ('certificate_sha256 = ["AB:CD"]', 3, "pattern"),
    ],
)
def test_a_registry_names_the_line_of_a_wrong_certificate(tmp_path: Path, row: str, line: int, said: str) -> None:
    registry = tmp_path / "sources.toml"
    registry.write_text(f'# hospitals\n[[source]]\n{row}\nname = "far"\n')
    with pytest.raises(SourcesInvalid, match=said) as wrong:
        load_sources(registry)
    assert f", line {line}: source 1: " in str(wrong.value)


def test_a_name_counts_only_from_the_very_authority_that_its_source_trusts(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    same_name = Authority(tmp_path / "elsewhere", "hospitals")
    assert same_name.held.subject == secured.theirs.held.subject
    posing = same_name.signs("posing", dns="hl7.far.example")
    assert secured.world.door.sources.presenting_certificate(_der(secured.named)) is not None
    assert secured.world.door.sources.presenting_certificate(_der(posing)) is None


def _der(held: Held) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return held.certificate.public_bytes(Encoding.DER)
