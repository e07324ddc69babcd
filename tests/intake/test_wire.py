"""Case 22 and mutual TLS: what senders and networks do to a listener that stores for real."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from intake.listening.mllp import FRAME_BYTES_MAX, framed
from intake.senders.sources import Source, Sources
from tests.intake.conftest import World, open_world
from tests.intake.making import adt


async def answers(reader: asyncio.StreamReader, count: int) -> list[str]:
    return [(await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 10))[1:-2].decode().split("\r")[1] for _ in range(count)]


def test_22_odd_framing_is_answered_in_order_and_a_giant_is_refused(world: World) -> None:
    async def talk() -> None:
        listener = world.door.listener()
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for byte in framed(adt("A60", control_id="ONE-BYTE").encode()):
            writer.write(bytes((byte,)))
            await writer.drain()
        writer.write(framed(adt("A60", control_id="FIRST").encode()) + framed(adt("A60", control_id="SECOND").encode()))
        writer.write(b"junk" + framed(adt("A60", control_id="AFTER-JUNK").encode()))
        writer.write(framed(adt("A60", control_id="NO-CR").encode())[:-1])
        expected = ["ONE-BYTE", "FIRST", "SECOND", "AFTER-JUNK", "NO-CR"]
        assert await answers(reader, 5) == [f"MSA|AA|{control_id}" for control_id in expected]
        writer.close()

        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        try:
            writer.write(b"\x0b" + b"x" * (20 * 1024 * 1024))
            await writer.drain()
            assert await asyncio.wait_for(reader.read(), 10) == b""
        except ConnectionError:
            pass
        writer.close()
        assert listener.counts.too_long == 1
        assert FRAME_BYTES_MAX == 16 * 1024 * 1024

        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(framed(adt("A60", control_id="STILL-ALIVE").encode()))
        assert await answers(reader, 1) == ["MSA|AA|STILL-ALIVE"]
        writer.close()
        await listener.stop()

    asyncio.run(talk())
    assert len(world.rows()) == 6


def test_a_long_message_is_stored_whole(world: World) -> None:
    note = "NTE|1||" + "x" * 3_000_000 + "\r"
    (answer,) = world.send(adt("A60") + note)
    assert "MSA|AA|C1" in answer
    (row,) = world.rows()
    assert world.door.inbox.raw(row.inbox_id) == (adt("A60") + note).encode()


def test_a_client_certificate_names_the_source_and_nobody_else_gets_in(database: str, tmp_path: Path) -> None:
    authority, hospital, stranger = (certificate(tmp_path, name) for name in ("authority", "hospital", "stranger"))
    fingerprint = sha256(
        x509.load_pem_x509_certificate(hospital[0].read_bytes()).public_bytes(serialization.Encoding.DER)
    ).hexdigest()
    sources = Sources((Source(name="far-hospital", certificate_sha256=(fingerprint,)),))
    world = open_world(database, sources)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*authority)
    server_side.verify_mode = ssl.CERT_REQUIRED
    for pinned in (hospital, stranger):
        server_side.load_verify_locations(pinned[0])

    def client(own: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authority[0]))
        context.check_hostname = False
        if own:
            context.load_cert_chain(*own)
        return context

    async def talk() -> list[bytes]:
        listener = world.door.listener(tls=server_side)
        await listener.start()
        said = []
        for own in (hospital, stranger, None):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=client(own))
                writer.write(framed(adt("A60").encode()))
                said.append(await asyncio.wait_for(reader.read(200), 10))
                writer.close()
            except (ConnectionError, ssl.SSLError):
                said.append(b"")
        await listener.stop()
        return said

    first, second, third = asyncio.run(talk())
    assert b"MSA|AA|C1" in first
    assert (second, third) == (b"", b"")
    assert [row.source_id for row in world.rows()] == ["far-hospital"]
    world.door.close()
    world.opened.close()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(pem)
    return files
