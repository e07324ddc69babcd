"""The loop: change an input that is known, run it, keep it where it went where none had gone before.

Where it went is which line followed which, in the modules of the front door; `sys.settrace` tells. A run is known by its seed.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

INPUT_MAX = 8_192
CRASHES = Path(__file__).with_name("crashes")
STEPS_MAX = 200_000
"""Lines of one run: more is an input that makes us slow, which is a finding too."""

TOKENS = (
    b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b"\r\n", b"\x0b", b"\x1c", b"\x1c\r", b'""', b"MSH", b"PID", b"PV1", b"EVN",
    b"MRG", b"ADT^A01", b"A13", b"\\F\\", b"\\X0D\\", b"\\Xzz\\", b"\\.br\\", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\xc9",
    b"8859/1", b"UNICODE UTF-8", b"99999999999999", b"20260308023000", b"20261101013000", b"0000", b"+9999", b"-0500", b"20260230",
    b"AL", b"NE", b"ER", b"SU", b"{", b"}", b"[", b"]", b"null", b"1e999", b'"', b"-", b":", b'"entry":', b'"reference":',
)  # fmt: skip


class TooSlow(Exception):
    """One input took more lines of code than any message needs."""


@dataclass
class Found:
    """What a run came to."""

    executions: int = 0
    edges: int = 0
    corpus: int = 0
    crashes: list[tuple[bytes, BaseException]] = field(default_factory=list)


class Coverage:
    """Which line followed which, in the modules whose files lie below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._ours: dict[CodeType, bool] = {}
        self._edges: set[tuple[CodeType, int, int]] = set()
        self.seen: set[tuple[CodeType, int, int]] = set()
        self._steps = 0

    def of(self, run: Callable[[], None]) -> bool:
        """Whether a run went where none had gone."""
        self._edges, self._steps = set(), 0
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            run()
        finally:
            sys.settrace(before)
            new = self._edges - self.seen
            self.seen |= new
        return bool(new)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = code.co_filename.startswith(self._folder)
        if not ours:
            return None
        last, edges = 0, self._edges

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                edges.add((code, last, frame.f_lineno))
                last = frame.f_lineno
                self._steps += 1
                if self._steps > STEPS_MAX:
                    raise TooSlow
            return line

        return line


def fuzz(
    target: Callable[[bytes], None], seeds: Sequence[bytes], *, seed: int, seconds: float, folder: Path, executions: int = 10**9
) -> Found:
    """Run until the time or the executions are over. A crash is kept once for each place where it happens."""
    chance, coverage, found = random.Random(seed), Coverage(folder), Found()
    corpus: list[bytes] = []
    places: set[str] = set()

    def run(raw: bytes) -> None:
        found.executions += 1
        try:
            if coverage.of(lambda: target(raw)):
                corpus.append(raw)
        except Exception as failure:
            place = _place(failure)
            if place not in places:
                places.add(place)
                found.crashes.append((raw, failure))

    for raw in (*seeds, b""):
        run(raw)
    until = time.monotonic() + seconds
    while time.monotonic() < until and found.executions < executions:
        raw = chance.choice(corpus[-32:] if chance.random() < 0.5 else corpus) if corpus else b""
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            raw = changed(raw, corpus or [b"MSH|"], chance)
        run(raw[:INPUT_MAX])
    found.edges, found.corpus = len(coverage.seen), len(corpus)
    return found


def changed(raw: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """An input with one change."""
    at = chance.randint(0, len(raw))
    length = chance.choice((1, 1, 2, 4, 16, 64))
    match chance.randrange(8):
        case 0:
            return raw[:at] + bytes((chance.randrange(256),)) + raw[at + 1 :]
        case 1:
            return raw[:at] + chance.choice(TOKENS) + raw[at:]
        case 2:
            return raw[:at] + chance.choice(TOKENS) + raw[at + length :]
        case 3:
            return raw[:at] + raw[at + length :]
        case 4:
            return raw[:at] + raw[at : at + length] * chance.randint(2, 8) + raw[at:]
        case 5:
            other = chance.choice(corpus)
            return raw[:at] + other[chance.randint(0, len(other)) :]
        case 6:
            lines = raw.split(b"\r")
            chance.shuffle(lines)
            return b"\r".join(lines)
        case _:
            fields = raw.split(b"|")
            fields.insert(chance.randint(0, len(fields)), chance.choice(fields))
            return b"|".join(fields)


def _place(failure: BaseException) -> str:
    """Where it happened: the kind of failure and the innermost line."""
    traceback = failure.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback is not None else ""
    return f"{type(failure).__name__} {where}"


def kept(name: str, raw: bytes) -> Path:
    """A crash as a file, which the tests replay from now on."""
    CRASHES.mkdir(exist_ok=True)
    file = CRASHES / f"{name}-{hashlib.sha256(raw).hexdigest()[:12]}.bin"
    file.write_bytes(raw)
    return file


def smaller(target: Callable[[bytes], None], raw: bytes, kind: type[BaseException]) -> bytes:
    """The crash with everything taken away that it does not need."""
    size = len(raw) // 2
    while size:
        at = 0
        while at < len(raw):
            tried = raw[:at] + raw[at + size :]
            try:
                target(tried)
                at += size
            except kind:
                raw = tried
            except Exception:
                at += size
        size //= 2
    return raw
