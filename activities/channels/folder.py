"""Messages as files: letters for the print room, and the demo's outbox that one can read. One file per key, so twice is once."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from activities.channels.port import Failed, Outgoing, Sent, Told

NAME_SAFE = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Letters:
    """A folder that the print room empties; only its owner may read it."""

    folder: Path

    @property
    def idempotent(self) -> bool:
        return True

    def send(self, message: Outgoing) -> Told:
        return _store(self.folder, message, _letter(message))


@dataclass(frozen=True, slots=True)
class Outbox:
    """Every channel of the demo: a folder of readable files, nothing leaves the machine."""

    folder: Path

    @property
    def idempotent(self) -> bool:
        return True

    def send(self, message: Outgoing) -> Told:
        head = f"Channel:  {message.kind}\nTo:       {message.address}\nLanguage: {message.language}\nRequest:  {message.request}\n"
        return _store(self.folder / message.kind, message, f"{head}Subject:  {message.subject}\n\n{message.body}\n")


def _letter(message: Outgoing) -> str:
    return "\n".join((message.name, message.address.replace(", ", "\n"), "", message.subject, "", message.body, ""))


def _store(folder: Path, message: Outgoing, text: str) -> Told:
    """Write beside, flush, then rename: a reader sees the whole file or none, and the same key never gives a second one."""
    assert NAME_SAFE.fullmatch(message.key), "an idempotency key is a uuid"
    target = folder / f"{message.key}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            return Sent(target.name)
        handle, beside = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError:
        return Failed(False, "folder_not_writable")
    return Sent(target.name)
