"""Adds the golden files that are missing. Never changes one that is there.

    python -m tests.golden.write

After a new fact, or a new version of one: run it, read what it wrote, commit it with the change. A fact that was never released may
have its file deleted and written again; afterwards a change needs a new version and a step in eventlog/upcasts.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from domain.catalog import FACTS
from eventlog.codec import Codec, NamedFact
from tests.golden import examples
from tests.golden.files import FOLDER, NoKeys, all_files, as_bytes, example_parts, path_of


def write_missing(facts: Sequence[NamedFact] = FACTS, folder: Path = FOLDER, codec: Codec | None = None) -> list[Path]:
    """The files that were added."""
    codec = codec or Codec(facts, NoKeys())
    added = []
    there = all_files(folder)
    for entry in facts:
        if (entry.name, entry.version) not in there:
            golden = {
                "name": entry.name,
                "version": entry.version,
                "class": examples.described(entry.type),
                "full": example_parts(codec, examples.full(entry.type)),
                "bare": example_parts(codec, examples.bare(entry.type)),
            }
            path = path_of(entry.name, entry.version, folder)
            _write(path, golden)
            added.append(path)
        for version in range(1, entry.version):
            old, becomes = there[entry.name, version], path_of(entry.name, version, folder / "becomes" / f"v{entry.version}")
            if not becomes.exists():
                becomes.parent.mkdir(parents=True, exist_ok=True)
                facts_now = {k: codec.assembled(entry.name, version, *as_bytes(old[k])) for k in ("full", "bare")}
                _write(becomes, {k: example_parts(codec, fact) for k, fact in facts_now.items()})
                added.append(becomes)
    return added


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for path in write_missing():
        print(path.name)
