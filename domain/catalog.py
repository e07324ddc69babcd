"""Every fact, command and process of the programme by its stable name: what the log writes and the shell runs.

A name outlives every rename of a class; a version outlives every change of its fields (design.md 5).
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.core import Decider, Fact, Process


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact's stable name, the schema version that is written today, and the class that carries it."""

    name: str
    version: int
    type: type[Fact]


FACTS: tuple[Entry, ...] = ()

DECIDERS: dict[str, Decider] = {}

PROCESSES: dict[str, Process] = {}

_BY_TYPE = {entry.type: entry for entry in FACTS}
_BY_NAME = {entry.name: entry for entry in FACTS}
assert len(_BY_TYPE) == len(_BY_NAME) == len(FACTS), "a name or a class stands twice in the catalog"


def entry_of(kind: type[Fact]) -> Entry:
    return _BY_TYPE[kind]


def entry_named(name: str) -> Entry | None:
    return _BY_NAME.get(name)


def decider_of(stream: str) -> Decider:
    return DECIDERS[stream.partition("-")[0]]
