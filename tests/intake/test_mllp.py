"""Framing and the listener's manners (messages.md 1.6): real sockets, no database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.listening.mllp import FRAMES_WAITING_MAX, Answers, Framer, FrameTooLong, Limits, Listener, framed
from intake.listening.tls import server_context
from intake.senders.sources import Source, Sources, load_sources
from intake.senders.throttle import Throttle
from tests.intake.certificates import Authority

SOURCES = load_sources()
NOBODY = Sources((Source(name="elsewhere", addresses=("10.0.0.0/8",)),))


@given(st.lists(st.binary(max_size=30).map(lambda b: b.translate(None, b"\x0b\x1c")), max_size=5), st.integers(1, 9))
def test_frames_survive_any_cutting(payloads: list[bytes], size: int) -> None:
    stream = b"".join(framed(payload) for payload in payloads)
    framer = Framer()
    found = [frame for at in range(0, len(stream), size) for frame in framer.feed(stream[at : at + size])]
    assert found == payloads
    assert (framer.skipped, framer.inside) == (0, False)


def test_junk_missing_returns_and_new_starts() -> None:
    framer = Framer()
    assert framer.feed(b"junk\x0bone\x1c\x0btwo\x1c\rmore\x0bbroken\x0bthree\x1c\r") == [b"one", b"two", b"three"]
    assert framer.skipped == len(b"junk") + len(b"more") + len(b"broken")


def test_the_limit_is_the_first_byte_too_many() -> None:
    assert Framer(4).feed(b"\x0b1234\x1c") == [b"1234"]
    with pytest.raises(FrameTooLong):
        Framer(4).feed(b"\x0b12345")


async def echo(frames: Sequence[bytes], source: Source, peer: str) -> Answers:
    return [None if frame == b"silent" else b"ack " + frame for frame in frames]


async def talk(listener: Listener, *pieces: bytes, replies: int, half_close: bool = False) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if len(pieces) < 200:
            await asyncio.sleep(0)
    if half_close:
        writer.write_eof()
    found = [(await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5))[1:-2] for _ in range(replies)]
    if half_close:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    return found


def run(test, listener: Listener) -> None:  # type: ignore[no-untyped-def]
    async def around() -> None:
        await listener.start()
        try:
            await test(listener)
        finally:
            await listener.stop()

    asyncio.run(around())


def test_one_byte_packets_two_frames_and_half_closing() -> None:
    async def test(listener: Listener) -> None:
        whole = framed(b"first message")
        assert await talk(listener, *(whole[at : at + 1] for at in range(len(whole))), replies=1) == [b"ack first message"]
        assert await talk(listener, framed(b"1") + framed(b"2") + b"\x0b3\x1c", replies=3, half_close=True) == [
            b"ack 1",
            b"ack 2",
            b"ack 3",
        ]
        assert await talk(listener, framed(b"silent") + framed(b"4"), replies=1) == [b"ack 4"]
        assert listener.counts.frames == 6

    run(test, Listener(echo, SOURCES))


def test_answers_keep_the_order_of_the_messages_and_reading_pauses() -> None:
    paused: list[bool] = []

    async def slow_first(frames: Sequence[bytes], source: Source, peer: str) -> Answers:
        assert len(frames) <= FRAMES_WAITING_MAX
        await asyncio.sleep(0.05 if b"0" in frames else 0)
        paused.extend(not connection._reading for connection in listener.connections)
        return frames

    async def test(listener: Listener) -> None:
        numbers = [str(n).encode() for n in range(200)]
        assert await talk(listener, b"".join(framed(n) for n in numbers), replies=200) == numbers

    listener = Listener(slow_first, SOURCES)
    run(test, listener)
    assert paused[0] and not paused[-1]


@pytest.mark.parametrize("meanwhile", ["too_late", "gone"])
@pytest.mark.parametrize("stored", [True, False])
def test_what_happens_in_the_very_turn_in_which_the_answer_comes_is_counted_once(meanwhile: str, stored: bool) -> None:
    faults: list[object] = []
    handed: list[asyncio.Future[Answers]] = []

    def handle(frames: Sequence[bytes], source: Source, peer: str) -> asyncio.Future[Answers]:
        handed.append(asyncio.get_running_loop().create_future())
        return handed[-1]

    async def test(listener: Listener) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(framed(b"m"))
        async with asyncio.timeout(5):
            while not handed:
                await asyncio.sleep(0)
            (connection,) = listener.connections
            handed[0].set_result([b"ok"]) if stored else handed[0].set_exception(RuntimeError())
            connection._give_up() if meanwhile == "too_late" else connection.connection_lost(None)
            if meanwhile == "too_late" and stored:
                assert (await reader.readuntil(b"\x1c\r"))[1:-2] == b"ok"
            for _ in range(5):
                await asyncio.sleep(0)
        writer.close()
        assert listener.counts.unanswered == (meanwhile == "too_late" and not stored)

    run(test, Listener(handle, SOURCES))
    assert faults == []


@pytest.mark.parametrize("trouble", ["raises", "late", "too_long", "too_slow"])
def test_trouble_closes_the_connection_and_leaves_the_listener_alive(trouble: str) -> None:
    async def handle(frames: Sequence[bytes], source: Source, peer: str) -> Answers:
        if b"bad" in frames and trouble == "raises":
            raise RuntimeError("a name that must not be logged")
        if b"bad" in frames and trouble == "late":
            await asyncio.sleep(1)
        return frames

    async def test(listener: Listener) -> None:
        sent = {"too_long": b"\x0b" + b"x" * 2000, "too_slow": b"\x0bhalf a frame"}.get(trouble, framed(b"bad"))
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(sent)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionError:
            pass  # a reset: closed as well
        writer.close()
        assert await talk(listener, framed(b"good"), replies=1) == [b"good"]
        counts = listener.counts
        assert (counts.unanswered, counts.too_long, counts.too_slow) == {
            "raises": (1, 0, 0), "late": (1, 0, 0), "too_long": (0, 1, 0), "too_slow": (0, 0, 1),
        }[trouble]  # fmt: skip

    run(test, Listener(handle, SOURCES, limits=Limits(frame_bytes_max=1000, answer_seconds_max=0.2, frame_seconds_max=0.3)))


def test_a_sender_that_nobody_knows_is_turned_away() -> None:
    async def test(listener: Listener) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionError:
            pass
        writer.close()
        assert listener.counts.refused == 1

    run(test, Listener(echo, NOBODY))


def test_a_public_address_needs_client_certificates() -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="client certificates"):
            await Listener(echo, SOURCES, host="0.0.0.0").start()

    asyncio.run(test())


def test_what_waits_is_limited_in_bytes_too() -> None:
    """Reading pauses, and no more is handed over at once than may be in memory."""
    handed: list[int] = []
    paused: list[bool] = []

    async def main() -> None:
        async def slow(frames: Sequence[bytes], source: Source, peer: str) -> Answers:
            handed.append(len(frames))
            await asyncio.sleep(0.05)
            paused.append(any(not connection._reading for connection in listener.connections))
            return [b"ok"] * len(frames)

        listener = Listener(slow, SOURCES, limits=Limits(bytes_waiting_max=100))
        await listener.start()
        assert await talk(listener, framed(b"x" * 40) * 9, replies=9) == [b"ok"] * 9
        assert not any(paused[-1:]), "and goes on when there is room"
        await listener.stop()

    asyncio.run(main())
    assert sum(handed) == 9 and max(handed) == 2 and paused[0]


def test_whoever_never_reads_its_answers_is_let_go() -> None:
    async def main() -> None:
        async def wordy(frames: Sequence[bytes], source: Source, peer: str) -> Answers:
            return [b"x" * 16_000_000] * len(frames)

        listener = Listener(wordy, SOURCES, limits=Limits(unread_seconds_max=0.1))
        await listener.start()
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=10)
        writer.write(framed(b"m"))
        async with asyncio.timeout(5):
            while not listener.counts.too_slow or listener.connections:
                await asyncio.sleep(0.01)
        writer.close()
        await listener.stop()

    asyncio.run(main())


def test_handshakes_under_way_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        ours = Authority(tmp_path, "programme")
        context = server_context(ours.held.pem, ours.held.key, None, SOURCES)
        listener = Listener(echo, SOURCES, tls=context, limits=Limits(handshakes_max=1))
        await listener.start()
        _, knocking = await asyncio.open_connection("127.0.0.1", listener.port)
        while not listener._handshakes:
            await asyncio.sleep(0)
        reader, turned_away = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert (listener.counts.refused, listener._handshakes) == (1, 1)
            knocking.close()
            while listener._handshakes:
                await asyncio.sleep(0.01)
        turned_away.close()
        await listener.stop()

    asyncio.run(main())


def test_who_sends_more_than_it_may_is_slowed_down_and_not_turned_away() -> None:
    source = Source(name="runaway", addresses=("127.0.0.1/32",), messages_per_minute=600)
    throttle = Throttle()
    throttle.took(source, 600)  # the minute's bucket is empty: ten a second from here

    async def main() -> float:
        listener = Listener(echo, Sources((source,)), took=throttle.took)
        await listener.start()
        begun = time.monotonic()
        for _ in range(2):
            assert await talk(listener, framed(b"m") * 4, replies=4) == [b"ack m"] * 4
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(framed(b"a"))
        await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        writer.write(framed(b"b"))
        await asyncio.wait_for(reader.readuntil(b"\x1c\r"), 5)
        took = time.monotonic() - begun
        writer.close()
        await listener.stop()
        return took

    assert asyncio.run(main()) > 0.5
    assert throttle.wait_seconds(source) > 0, "over HTTP it counts as well"
    assert Throttle().took(Source(name="free"), 1_000_000) == 0.0
