"""The MLLP listener: frames in, acknowledgements out, strictly in order (messages.md 1.6).

It knows nothing of HL7: a `handle` function takes the frames that wait on a connection and returns their answers; until it has, it
is given no more of that connection. Where it fails or takes too long, the connection is closed without an answer, because senders
resend on silence and move on after a refusal.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import structlog

from intake.listening.tls import Failed, Handshake, named, secured
from intake.senders.measured import answered
from intake.senders.sources import Source, Sources

START_BLOCK: Final = 0x0B
END_BLOCK: Final = 0x1C
CARRIAGE_RETURN: Final = 0x0D
START_BYTE: Final = bytes((START_BLOCK,))
END_BYTES: Final = bytes((END_BLOCK, CARRIAGE_RETURN))
BETWEEN_FRAMES: Final = END_BYTES + START_BYTE

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
ANSWER_SECONDS_MAX: Final = 8.0
"""A later acknowledgement is matched to the wrong message by some engines: closing is safer (messages.md 1.5)."""
FRAME_SECONDS_MAX: Final = 60.0
"""A frame that takes longer to arrive is a stuck sender."""
FRAMES_WAITING_MAX: Final = 16
"""Frames of one connection kept in memory; beyond it reading pauses, and TCP slows the sender down."""
BYTES_WAITING_MAX: Final = 2 * FRAME_BYTES_MAX
"""And bytes: sixteen of the longest frames would be a quarter of a gibibyte a connection."""
UNREAD_SECONDS_MAX: Final = 60.0
"""Whoever sends and does not read its answers for so long is stuck."""
CONNECTIONS_MAX: Final = 1_000
HANDSHAKES_MAX: Final = 100
"""Under way at a time: anybody who reaches the port may begin one, and each holds a descriptor."""
LOOPBACK: Final = "127.0.0.1"

Answers = Sequence[bytes | None]
"""One for each frame, in their order; None: the sender wants none."""

Handle = Callable[[Sequence[bytes], Source, str], Awaitable[Answers]]
"""(frames of one connection, source, peer) -> their answers. Raises where they could not be stored."""

Refused = Callable[[str, str], None]
"""(reason, who) of a connection that was refused, to be noticed by somebody. Does not block."""

log = structlog.get_logger("intake.mllp")


class FrameTooLong(Exception):
    """A frame went over the limit."""


class Framer:
    """Cuts a stream of bytes, in whatever pieces it comes, into frames. Counts what it skipped."""

    __slots__ = ("_bytes_max", "_frame", "_skip_return", "skipped")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._frame: bytearray | None = None
        self._skip_return = False
        self.skipped = 0

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._frame is not None

    def feed(self, received: bytes) -> list[bytes]:
        """The frames that these bytes complete. 0x1C ends a frame whatever follows it; 0x0B inside of one begins it anew."""
        frames: list[bytes] = []
        at = 0
        while at < len(received):
            if self._frame is None:
                if received[at] == START_BLOCK and (end := received.find(END_BLOCK, at)) >= 0:
                    frame = received[at + 1 : end]
                    if START_BYTE not in frame and len(frame) <= self._bytes_max:  # whole and clean, as nearly all are
                        frames.append(frame)
                        self._skip_return, at = True, end + 1
                        if at < len(received) and received[at] == CARRIAGE_RETURN:
                            self._skip_return, at = False, at + 1
                        continue
                start = received.find(START_BLOCK, at)
                between = received[at : start if start >= 0 else len(received)]
                if self._skip_return and between:
                    between = between.removeprefix(bytes((CARRIAGE_RETURN,)))
                    self._skip_return = False
                self.skipped += len(between)
                if start < 0:
                    break
                self._frame, self._skip_return, at = bytearray(), False, start + 1
            end = received.find(END_BLOCK, at)
            piece = received[at : end if end >= 0 else len(received)]
            again = piece.rfind(START_BLOCK)
            if again >= 0:
                begun = piece.count(START_BLOCK)
                self.skipped += len(self._frame) + again - (begun - 1)
                self._frame, piece = bytearray(), piece[again + 1 :]
            if len(self._frame) + len(piece) > self._bytes_max:
                raise FrameTooLong
            self._frame += piece
            if end < 0:
                break
            frames.append(bytes(self._frame))
            self._frame, self._skip_return, at = None, True, end + 1
        return frames


def framed(answer: bytes) -> bytes:
    return START_BYTE + answer + END_BYTES


@dataclass(slots=True)
class Counts:
    """What the listener has seen since it started. Of each trouble there is a log line too."""

    refused: int = 0
    frames: int = 0
    unanswered: int = 0
    too_long: int = 0
    too_slow: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The named limits, so that a test can be quick about them."""

    frame_bytes_max: int = FRAME_BYTES_MAX
    answer_seconds_max: float = ANSWER_SECONDS_MAX
    frame_seconds_max: float = FRAME_SECONDS_MAX
    idle_seconds_max: float | None = None
    connections_max: int = CONNECTIONS_MAX
    bytes_waiting_max: int = BYTES_WAITING_MAX
    unread_seconds_max: float = UNREAD_SECONDS_MAX
    handshakes_max: int = HANDSHAKES_MAX


@dataclass(slots=True)
class Listener:
    """Listens on one address. `start` binds it, `stop` lets the messages in progress finish."""

    handle: Handle
    sources: Sources
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    limits: Limits = field(default_factory=Limits)
    plain_on_network: bool = False
    shared: bool = False
    """Whether other listeners may be bound to the same port: the system then deals out the connections among them."""
    plain_port: int | None = None
    """With TLS: a second port, on the loopback only and without TLS, for senders on this machine."""
    refused: Refused = lambda reason, who: None
    took: Callable[[Source, int], float] = lambda source, count: 0.0
    """(source, how many of its messages were handed over) -> for how many seconds nothing more is."""
    before: Callable[[], None] = lambda: None
    """Called on the event loop before the first connection comes; `after` once the last one is gone."""
    after: Callable[[], None] = lambda: None

    counts: Counts = field(default_factory=Counts)
    connections: set[Connection] = field(default_factory=set)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _handshakes: int = 0

    async def start(self) -> int:
        """Binds the address and returns the port. Refuses an address that others can reach without client certificates."""
        if not _is_loopback(self.host) and not self.plain_on_network:
            if self.tls is None or self.tls.verify_mode != ssl.CERT_REQUIRED:
                raise ValueError(
                    f"the HL7 listener may not be bound to {self.host} without client certificates: give it a TLS context that "
                    "requires them, or bind it to 127.0.0.1"
                )
        self.before()
        self.port = await self._bind(self.host, self.port, secure=self.tls is not None)
        if self.tls is not None and self.plain_port is not None:
            self.plain_port = await self._bind(LOOPBACK, self.plain_port, secure=False)
        return self.port

    async def _bind(self, host: str, port: int, *, secure: bool) -> int:
        make = (lambda: Handshake(self._shake)) if secure else (lambda: Connection(self))
        server = await asyncio.get_running_loop().create_server(make, host, port, reuse_port=self.shared or None)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _shake(self, transport: asyncio.Transport) -> None:
        """What follows a connection to the secure port."""
        assert self.tls is not None
        address, *_ = transport.get_extra_info("peername") or ("",)
        if self._handshakes >= self.limits.handshakes_max:
            self.counts.refused += 1
            log.warning("connection_refused", reason="too_many_handshakes")
            transport.abort()
            return
        self._handshakes += 1
        try:
            await secured(transport, self.tls, lambda: Connection(self), lambda failed: self._unsecured(failed, str(address)))
        finally:
            self._handshakes -= 1

    def _unsecured(self, failed: Failed, address: str) -> None:
        self.counts.refused += 1
        log.warning("connection_refused", reason=failed.reason)
        if failed.worth_noting:
            self.refused(failed.reason, address)

    async def stop(self) -> None:
        """Accepts nothing more, answers what is in progress, closes what is left after the longest time an answer may take."""
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.finish()
        ended = [connection.ended for connection in tuple(self.connections)]
        if ended:
            await asyncio.wait(ended, timeout=self.limits.answer_seconds_max)
        for connection in tuple(self.connections):
            connection.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self.after()

    def source_of(self, transport: asyncio.BaseTransport) -> tuple[Source | None, str]:
        """Who is at the other end: by client certificate, else by address. Never by what the messages say."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        certificate = _certificate(transport)
        if certificate:
            return self.sources.presenting_certificate(certificate), address
        return self.sources.at_address(address), address


class Connection(asyncio.Protocol):
    """One sender's connection: reads, hands over what waits, writes the answers, hands over what came meanwhile."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._framer = Framer(listener.limits.frame_bytes_max)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._source: Source | None = None
        self._peer = ""
        self._no_more = False
        self._reading = True
        self._writable = True
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Future[Answers] | None = None
        self._handed_over_at = 0.0
        self._too_late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        source, self._peer = self._listener.source_of(transport)
        if source is None or len(self._listener.connections) >= self._limits.connections_max:
            self._listener.counts.refused += 1
            reason = "unknown_sender" if source is None else "too_many"
            log.warning("connection_refused", reason=reason)
            self._listener.refused(reason, who_is(transport) or self._peer)
            transport.abort()
            return
        self._transport, self._source = transport, source
        self._listener.connections.add(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._source is None:
            return
        counts, was_inside = self._listener.counts, self._framer.inside
        skipped = self._framer.skipped
        try:
            frames = self._framer.feed(data)
        except FrameTooLong:
            counts.too_long += 1
            log.warning("frame_too_long", source=self._source.name, limit=self._limits.frame_bytes_max)
            self.abort()
            return
        if self._framer.skipped > skipped:
            log.info("bytes_skipped", source=self._source.name, count=self._framer.skipped - skipped)
        if frames:
            self._waiting.extend(frames)
            self._waiting_bytes += sum(map(len, frames))
            self._hand_over()
            if self._full() and self._transport is not None and self._reading:
                self._transport.pause_reading()
                self._reading = False
        if frames or was_inside != self._framer.inside:
            self._watch()

    def eof_received(self) -> bool:
        self.finish()
        return True  # half closed: answers still go out

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        self._stop_watching()
        self._stop_waiting_for_reader()
        if self._rest is not None:
            self._rest.cancel()
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._work is not None:
            self._work.remove_done_callback(self._answer)
            self._work.cancel()
            self._end_work()
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._writable = False
        self._unread = asyncio.get_running_loop().call_later(self._limits.unread_seconds_max, self._never_read)

    def resume_writing(self) -> None:
        self._writable = True
        self._stop_waiting_for_reader()
        self._hand_over()

    def finish(self) -> None:
        """Takes nothing more; closes once what waits is answered."""
        self._no_more = True
        self._hand_over()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _hand_over(self) -> None:
        """Everything that waits, as one: unless something is under way, the sender does not read its answers, or sent too much."""
        if (
            self._work is not None
            or self._rest is not None
            or self._transport is None
            or self._source is None
            or not self._writable
        ):
            return
        if not self._waiting:
            if self._no_more:
                self._transport.close()
            return
        frames = self._next_frames()
        if not self._reading and not self._full(share=2):
            self._transport.resume_reading()
            self._reading = True
        self._listener.counts.frames += len(frames)
        if pause := self._listener.took(self._source, len(frames)):
            self._rest = asyncio.get_running_loop().call_later(pause, self._rested)
        loop = asyncio.get_running_loop()
        self._handed_over_at = loop.time()
        self._too_late = loop.call_later(self._limits.answer_seconds_max, self._give_up)
        self._work = asyncio.ensure_future(self._listener.handle(frames, self._source, self._peer))
        self._work.add_done_callback(self._answer)

    def _rested(self) -> None:
        self._rest = None
        self._hand_over()

    def _next_frames(self) -> list[bytes]:
        """At least one; of more as many as may be in memory."""
        frames = [self._waiting.popleft()]
        size = len(frames[0])
        while self._waiting and len(frames) < FRAMES_WAITING_MAX and size + len(self._waiting[0]) <= self._limits.bytes_waiting_max:
            frames.append(self._waiting.popleft())
            size += len(frames[-1])
        self._waiting_bytes -= size
        return frames

    def _full(self, *, share: int = 1) -> bool:
        """Whether more waits than this share of what may."""
        return len(self._waiting) > FRAMES_WAITING_MAX // share or self._waiting_bytes > self._limits.bytes_waiting_max // share

    def _answer(self, work: asyncio.Future[Answers]) -> None:
        if work is not self._work:
            return  # the sender has gone in the very turn of the loop in which it was stored
        self._end_work()
        failure = asyncio.CancelledError() if work.cancelled() else work.exception()
        if failure is not None:
            self._unanswered(type(failure).__name__)
            return
        assert self._transport is not None and self._source is not None
        answers = [answer for answer in work.result() if answer is not None]
        if answers:
            self._transport.write(framed(BETWEEN_FRAMES.join(answers)))
        answered(self._source.name, asyncio.get_running_loop().time() - self._handed_over_at)
        self._hand_over()

    def _give_up(self) -> None:
        """It takes too long: an answer would come too late."""
        work = self._work
        if work is None or work.done():
            return  # the answer has come in this very turn of the loop, and goes out in it
        work.remove_done_callback(self._answer)
        work.cancel()
        self._end_work()
        self._unanswered(TimeoutError.__name__)

    def _unanswered(self, failure: str) -> None:
        # Only the kind of failure is told: a database's message quotes values.
        self._listener.counts.unanswered += 1
        log.error("message_not_answered", source=self._source.name if self._source else "", failure=failure)
        self.abort()

    def _end_work(self) -> None:
        self._work = None
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _watch(self) -> None:
        """One timer at a time: for the rest of a frame, else for the next one where idling is limited."""
        self._stop_watching()
        seconds = self._limits.frame_seconds_max if self._framer.inside else self._limits.idle_seconds_max
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._too_slow)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _never_read(self) -> None:
        self._listener.counts.too_slow += 1
        log.warning("answers_not_read", source=self._source.name if self._source else "")
        self.abort()

    def _too_slow(self) -> None:
        if self._framer.inside:
            self._listener.counts.too_slow += 1
            log.warning("frame_too_slow", source=self._source.name if self._source else "")
            self.abort()
        elif self._work is None:
            self.finish()


def who_is(transport: asyncio.BaseTransport) -> str:
    """The certificate at the other end, for people; empty where there is none."""
    certificate = _certificate(transport)
    return named(certificate) if certificate else ""


def _certificate(transport: asyncio.BaseTransport) -> bytes | None:
    tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
    return tls.getpeercert(binary_form=True) if tls is not None else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
