"""How a command of the domain is offered to people: its address, its word on the command line, who may send it, an example.

What is offered stands in `offers` and its parts; nothing here knows a single command.
"""

from __future__ import annotations

import types
from collections import abc
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

from domain.core import Command
from domain.staff.facts import Role

SURROUNDING = frozenset(f.name for f in fields(Command))
"""Fields of every command: stream and actor come from the address and from the token, the rest from the transport."""

CARE = (Role.CARE_MANAGER, Role.SUPERVISOR)
OFFICE = (Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR)
LEADING = (Role.SUPERVISOR,)
RUNNING = (Role.SUPERVISOR, Role.OPERATOR)
READERS = (Role.CARE_MANAGER, Role.SUPERVISOR, Role.OPERATOR, Role.AUDITOR)
"""Who may look at what belongs to people."""


@dataclass(frozen=True, slots=True)
class Given:
    """One thing that a command says: its name, its type, and its default (MISSING where it must be given). `takes`: the words that
    it takes, where its type does not say them."""

    name: str
    type: Any
    default: Any
    takes: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is MISSING


@dataclass(frozen=True, eq=False)
class Offer:
    """A command as it is offered.

    `resource` and `noun` make the address, `verb` the word of the command line; `stream` is the kind of stream that it is for.
    `roles` may send it; what exactly each may do, the decider knows. `example` is a body that fits. `founds`: the stream begins
    with it. `derived` fields are worked out from the others (an HMAC of an identifier) and never sent. `remark`: what somebody who
    sends it has to know beforehand. `paired`: two lists of the command that belong together by place, sent as one object under the
    second name. `group`: under which heading it stands, where that is not its resource's. `takes`: by field, the words that it
    takes.
    """

    resource: str
    noun: str
    verb: str
    command: type[Command]
    summary: str
    roles: tuple[Role, ...]
    example: Mapping[str, Any] = field(default_factory=dict)
    founds: bool = False
    derived: tuple[str, ...] = ()
    remark: str = ""
    paired: tuple[str, str] | None = None
    group: str = ""
    takes: Mapping[str, Iterable[str]] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        return KINDS[self.resource]

    @cached_property
    def given(self) -> tuple[Given, ...]:
        hints = get_type_hints(self.command)
        hidden = SURROUNDING.union(self.derived, self.paired[:1] if self.paired else ())
        given = (
            Given(f.name, hints[f.name], f.default, tuple(self.takes.get(f.name, ())))
            for f in fields(self.command)
            if f.name not in hidden
        )
        return tuple(self._as_sent(g, hints) for g in given)

    def _as_sent(self, given: Given, hints: Mapping[str, Any]) -> Given:
        if self.paired is None or given.name != self.paired[1]:
            return given
        return Given(given.name, Mapping[str, get_args(plain(given.type))[0]], MISSING)  # type: ignore[misc]

    @property
    def has_parts(self) -> bool:
        """Whether something in it is written more easily in a file: an object, or a list of them."""
        return any(part_of(given.type) is not None or is_mapping(given.type) for given in self.given)


KINDS = {
    "members": "member",
    "episodes": "episode",
    "outreach": "outreach",
    "stays": "stay",
    "transitions": "transition",
    "follow-ups": "followup",
    "staff": "staff",
}
"""The kind of stream behind each resource."""

EVENT = "0b0e8c52-4a3e-5b51-9c5d-2f6b6a7a9d10"
STAFF = "staff-5f0c2a1e-8d4b-4c57-9a53-0e6b1f2d7c88"
MEMBER = "member-3e1d7c5a-2b9f-5e84-8c16-7d0a4f9b6e21"
EPISODE = "episode-1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
STAY = "stay-9a7b5c3d-1e2f-5a4b-8c6d-0f9e8d7c6b5a"
"""Ids for examples."""


def plain(hint: Any) -> Any:
    """A type without its None."""
    if get_origin(hint) in (Union, types.UnionType):
        kept = [a for a in get_args(hint) if a is not type(None)]
        return kept[0] if len(kept) == 1 else hint
    return hint


def part_of(hint: Any) -> type | None:
    """The dataclass that a list is of; None where it is something else."""
    kind = plain(hint)
    inner = get_args(kind)[0] if get_origin(kind) is tuple else None
    return inner if isinstance(inner, type) and is_dataclass(inner) else None


def is_mapping(hint: Any) -> bool:
    """Whether it is an object of names and values."""
    return get_origin(plain(hint)) in (Mapping, abc.Mapping, dict)
