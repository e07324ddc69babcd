"""TLS of the HL7 listener: which certificates hospitals may present, and what becomes of a connection that presents none of them.

A listener's own handshake, not the event loop's, because a refused hospital has to be noticed, and has to be told why: the loop
drops it without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from intake.senders.sources import Sources

HANDSHAKE_SECONDS_MAX: Final = 20.0
FAREWELL_SECONDS_MAX: Final = 2.0
"""How long a refused client may take to read why and to go away."""
NAME_CHARS_MAX: Final = 80

# OpenSSL's numbers (X509_V_ERR_…).
_EXPIRED, _NOT_YET_VALID = 10, 9


def server_context(certificate: Path, key: Path | None, authorities: Path | None, sources: Sources) -> ssl.SSLContext:
    """A context that requires a client certificate: one of the registry's own, or one that an authority of `authorities` or of the
    registry signed."""
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    if authorities is not None:
        context.load_verify_locations(authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate that a source pins needs no authority above it
    if sources.trusted:
        context.load_verify_locations(cadata="\n".join(sources.trusted))
    return context


class _Negotiation(ssl.SSLObject):
    """One end of a connection. A handshake that fails carries the alert that tells the other end why: the event loop closes the
    connection before it sends that."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            failure.__dict__[_ALERT] = self.outgoing.read()
            raise


_ALERT: Final = "alert"


class _Context(ssl.SSLContext):
    """Makes connections that keep their alert."""

    sslobject_class = _Negotiation

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(made, _Negotiation)
        made.outgoing = outgoing
        return made


def named(certificate_der: bytes) -> str:
    """A certificate for people: whom it names, and the beginning of its fingerprint."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        subject = certificate.subject.rfc4514_string()[:NAME_CHARS_MAX]
    except ValueError:
        subject = "unreadable"
    return f"{subject}, SHA-256 {Sources.fingerprint(certificate_der)[:16]}…"


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a handshake came to nothing; `worth_noting` where somebody seems to have meant it."""

    reason: str
    worth_noting: bool


def why(failure: Exception) -> Failed:
    """The reason of a failed handshake, as a code."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        match failure.verify_code:
            case code if code == _EXPIRED:
                return Failed("certificate_expired", True)
            case code if code == _NOT_YET_VALID:
                return Failed("certificate_not_yet_valid", True)
        return Failed("certificate_not_trusted", True)
    if isinstance(failure, ssl.SSLError):
        reason = (failure.reason or "").lower()
        if reason == "peer_did_not_return_a_certificate":
            return Failed("certificate_missing", True)
        if reason in ("wrong_version_number", "http_request", "unsupported_protocol", "no_shared_cipher"):
            return Failed("no_tls_that_we_speak", True)
        return Failed("handshake_failed", True)
    return Failed("went_away", False)


class Handshake(asyncio.Protocol):
    """A connection before it is secure. Nothing of it is read until the handshake reads."""

    def __init__(self, shake: Callable[[asyncio.Transport], Awaitable[None]]) -> None:
        self._shake = shake
        self._task: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._task = asyncio.ensure_future(self._shake(transport))


class Early(asyncio.Protocol):
    """What comes right behind the handshake, until the connection's own protocol takes over."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._ended = False
        self._lost: tuple[Exception | None] | None = None

    def data_received(self, data: bytes) -> None:
        self._received += data

    def eof_received(self) -> bool:
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = (exc,)

    def hand_over(self, transport: asyncio.Transport, to: asyncio.Protocol) -> None:
        """From now on the connection is `to`'s, with all that came before."""
        transport.set_protocol(to)
        to.connection_made(transport)
        if self._received:
            to.data_received(bytes(self._received))
        if self._ended:
            to.eof_received()
        if self._lost is not None:
            to.connection_lost(*self._lost)


async def secured(
    transport: asyncio.Transport,
    context: ssl.SSLContext,
    connection: Callable[[], asyncio.Protocol],
    refused: Callable[[Failed], None],
) -> None:
    """Makes a connection secure and hands it to what `connection` makes; or says why not, to `refused` and then to the other end,
    and the connection is closed."""
    early = Early()
    with contextlib.ExitStack() as held:
        try:
            # A second hold on the connection: by the time that the alert is known, the event loop has let go of its own.
            line = held.enter_context(transport.get_extra_info("socket").dup())
            made = await asyncio.get_running_loop().start_tls(
                transport, early, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX
            )
        except (ssl.SSLError, OSError) as failure:
            transport.abort()
            refused(why(failure))
            if alert := failure.__dict__.get(_ALERT, b""):
                await _farewell(line, alert)
            return
    if made is None:
        refused(Failed("went_away", False))
    else:
        early.hand_over(made, connection())


async def _farewell(line: socket.socket, alert: bytes) -> None:
    """Tells the other end why, and waits until it went: to close while something of it is unread would take the alert back."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS_MAX):
            await loop.sock_sendall(line, alert)
            line.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(line, 65_536):
                pass
