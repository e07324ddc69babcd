"""Channels that write a line for each message handed over, and forget nothing when their worker dies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from activities.channels.port import Channel, Outgoing, Sent, Told
from workers.composition import KINDS

IDEMPOTENT = frozenset({"text", "call", "letter"})
"""The kinds whose channel counts a key once; mail and alerts are doubled by whoever sends them twice."""


@dataclass(frozen=True)
class Ledger:
    """Hands over by appending a line to a file, before the answer: key, kind, process, request, whether a key counts once, told."""

    file: Path
    idempotent: bool

    def send(self, message: Outgoing) -> Told:
        once = "yes" if self.idempotent else "no"
        note(self.file, f"{message.key} {message.kind} {message.process} {message.request} {once} sent")
        return Sent(message.key)


def ledgers(file: Path) -> dict[str, Channel]:
    return {kind: Ledger(file, kind in IDEMPOTENT) for kind in KINDS}


def note(file: Path, line: str) -> None:
    """Append a line that survives whoever wrote it."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode() + b"\n")
    finally:
        os.close(handle)


def lines(file: Path) -> list[list[str]]:
    """The whole lines of a ledger, each as its words."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        return []
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
