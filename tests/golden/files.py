"""The golden files: one for every (name, version) of a fact that was ever written, in `events/<name>.v<version>.json`.

A file is never changed once its version was released. It holds the description of the class as it was, and two examples as bytes
of then. `becomes`, in files of old versions, is what each example is in the current version: written by `tests.golden.write`, read
by a person before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from domain.core import Fact
from eventlog.codec import Codec

FOLDER = Path(__file__).parent / "events"

Golden = dict[str, Any]


def path_of(name: str, version: int, folder: Path = FOLDER) -> Path:
    return folder / f"{name}.v{version}.json"


def all_files(folder: Path = FOLDER) -> dict[tuple[str, int], Golden]:
    """Every golden file by (name, version)."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        golden = json.loads(path.read_text())
        assert path == path_of(golden["name"], golden["version"], folder), f"{path.name} does not hold what its name says"
        found[golden["name"], golden["version"]] = golden
    return found


def example_parts(codec: Codec, fact: Fact) -> dict[str, Any]:
    """An example as a golden file holds it: the body, and what is sealed, in the clear."""
    body, secret = codec.parts(fact)
    return {"body": json.loads(body)} | ({} if secret is None else {"personal": json.loads(secret)})


def as_bytes(example: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """The bytes that an example was written as."""
    return msgspec.json.encode(example["body"]), msgspec.json.encode(example["personal"]) if "personal" in example else None


class NoKeys:
    """For codecs that only take apart and put together."""

    def to_seal(self, key_id: str) -> Any:
        raise AssertionError("golden files are not sealed")

    def to_unseal(self, key_id: str) -> Any:
        raise AssertionError("golden files are not sealed")

    def fetch(self, key_ids: object) -> None: ...
