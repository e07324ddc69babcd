"""The world that tells the programme things over the wire: a hospital that sends each message until it is acknowledged, and plans
that send their files until they are answered. They live in the process of the run, so they outlive every role.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import httpx

from simulation.hospital import END, START, send_over_mllp
from tests.torture import deeds
from tests.torture.outgoing import note
from tests.torture.script import MESSAGES, Happening
from tests.torture.stage import Stage

LINES = 3
"""Connections of the hospital at once; each carries the messages of its own members, one after another."""

TWICE_PERCENT, BROKEN_PERCENT = 12, 6
"""Of a hundred messages so many are sent again after they were acknowledged, and so many are first broken off in their middle."""

ANSWER_SECONDS_MAX = 5.0
FILE_SECONDS_MAX = 20.0
PAUSE_SECONDS = 0.15
IDLE_SECONDS = 0.05
SAFE = b"MSA|AA|"
ACKNOWLEDGED, FILES = "acknowledged", "files"
"""Ledgers in the run's home: of the hospital and of the plans."""


@dataclass
class Outside:
    """Hospital and plans of a run. `told`: the ids of what was taken by the programme."""

    stage: Stage
    told: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        script = self.stage.script
        messages = [h for h in script.happenings if h.what in MESSAGES]
        for line in range(LINES):
            mine = [h for h in messages if h.person.number % LINES == line]
            self._begin(f"hospital-{line}", mine, self._message, Random(script.seed * 10 + line))
        files = [h for h in script.happenings if h.what == "file"]
        self._begin("plans", files, self._file, Random(script.seed * 10 + 9))

    def _begin(self, name: str, mine: list[Happening], tell: Callable[[Happening, Random], bool], dice: Random) -> None:
        thread = threading.Thread(target=self._tell_all, args=(mine, tell, dice), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self._over.set()
        until = time.monotonic() + ANSWER_SECONDS_MAX
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _tell_all(self, mine: list[Happening], tell: Callable[[Happening, Random], bool], dice: Random) -> None:
        for happening in mine:
            while not self._over.is_set() and self.stage.clock.now() < happening.arrives_at:
                self._over.wait(IDLE_SECONDS)
            while not self._over.is_set() and not tell(happening, dice):
                self._over.wait(PAUSE_SECONDS)
            if self._over.is_set():
                return
            self.told.add(happening.id)

    def _message(self, happening: Happening, dice: Random) -> bool:
        raw = deeds.message_of(happening, self.stage.script)
        if happening.id not in self.sent and dice.randrange(100) < BROKEN_PERCENT:
            self._break_off(raw)
        self.sent[happening.id] += 1
        if not self._is_acknowledged(raw):
            return False
        control_id = raw.split(b"\r", 1)[0].split(b"|")[9].decode()
        digest = hashlib.sha256(raw).hexdigest()
        note(self.stage.home / ACKNOWLEDGED, f"{control_id} {happening.id} {digest} {self.sent[happening.id]}")
        if dice.randrange(100) < TWICE_PERCENT:
            self.sent[happening.id] += 1
            self._is_acknowledged(raw)
        return True

    def _is_acknowledged(self, raw: bytes) -> bool:
        address = (self.stage.settings.throughline_host, self.stage.settings.throughline_hl7_port)
        try:
            return SAFE in send_over_mllp((raw,), *address, ANSWER_SECONDS_MAX)[0]
        except OSError:
            return False

    def _break_off(self, raw: bytes) -> None:
        """Half a message, then the line is dead."""
        self.sent["broken off"] += 1
        try:
            with socket.create_connection(
                (self.stage.settings.throughline_host, self.stage.settings.throughline_hl7_port), timeout=ANSWER_SECONDS_MAX
            ) as wire:
                wire.sendall((START + raw + END)[: len(raw) // 2])
        except OSError:
            return

    def _file(self, happening: Happening, dice: Random) -> bool:
        headers = {"Authorization": f"Bearer {self.stage.token}", "Content-Type": "text/csv"}
        url = f"http://{self.stage.settings.throughline_host}:{self.stage.settings.throughline_api_port}/v1/member-files"
        self.sent[happening.id] += 1
        try:
            answer = httpx.post(
                url, params={"plan": happening.with_}, content=deeds.file_of(happening), headers=headers, timeout=FILE_SECONDS_MAX
            )
        except httpx.HTTPError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        note(self.stage.home / FILES, f"{happening.id} {answer.json().get('file_id', '-')}")
        return bool(dice.randrange(100) >= TWICE_PERCENT or self._file(happening, dice))
