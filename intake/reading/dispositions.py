"""The versioned table of discharge dispositions (messages.md 1.3). Where a code leads is the core's business, not ours."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from intake.senders.sources import Source

_TABLE: Final = Path(__file__).with_name("dispositions.toml")

STILL_A_PATIENT: Final = "30"
"""On a discharge this contradicts the message: nobody was discharged."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """What a message said of where the member went. `code` is empty where the table does not know what was said."""

    said: str
    code: str
    table: str

    @property
    def mapped(self) -> bool:
        return bool(self.code)


@dataclass(frozen=True, slots=True)
class DispositionTable:
    version: str
    codes: frozenset[str]
    aliases: dict[str, str]

    def read(self, said: str, source: Source) -> Disposition:
        """The normalised code: the source's own aliases first, then the codes, then the common aliases."""
        wanted = said.strip()
        own = next((code for alias, code in source.disposition_aliases.items() if alias.upper() == wanted.upper()), wanted)
        code = own if own in self.codes else self.aliases.get(own.lower(), "")
        return Disposition(said=said, code=code, table=self.version)


@lru_cache(maxsize=1)
def disposition_table() -> DispositionTable:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    codes = frozenset(table["codes"])
    assert set(table["aliases"].values()) <= codes, "an alias leads to a code that the table does not have"
    return DispositionTable(table["version"], codes, dict(table["aliases"]))
