"""Hospitals that send until they are acknowledged, as real ones do: on silence, and on a closed connection, they send again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from intake.listening.mllp import framed

SILENCE_SECONDS = 20.0
"""More than the listener may take to answer or to close: a sender that waits longer was left alone."""

AGAIN_SECONDS = 0.25


@dataclass
class Heard:
    """What senders heard, and when (`time.monotonic`). `closed`: of connections that ended without the answers that were due, since
    when these were waited for and when the end came."""

    answers: list[tuple[float, bytes]] = field(default_factory=list)
    closed: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0

    def answered_between(self, begin: float, end: float) -> list[bytes]:
        return [answer for at, answer in self.answers if begin <= at <= end]


@dataclass
class Hospital:
    """One connection at a time; up to `window` messages under way on it. The answers must come in the order of the messages."""

    port: int
    messages: Sequence[bytes]
    heard: Heard
    window: int = 1

    async def send_all(self) -> None:
        waiting = list(self.messages)
        while waiting:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            since = time.monotonic()
            try:
                while waiting:
                    under_way, since = waiting[: self.window], time.monotonic()
                    writer.write(b"".join(map(framed, under_way)))
                    self.heard.sent += len(under_way)
                    for message in under_way:
                        answer = (await asyncio.wait_for(reader.readuntil(b"\x1c\r"), SILENCE_SECONDS))[1:-2]
                        self.heard.answers.append((time.monotonic(), answer))
                        assert control_id(message) == answer.split(b"\r")[1].split(b"|")[2], "an answer to another message"
                        waiting.remove(message)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.heard.closed.append((since, time.monotonic()))
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                writer.close()


def control_id(message: bytes) -> bytes:
    return message.split(b"|")[9]
