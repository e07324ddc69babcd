"""What a plan keeps names all that it looked at: whatever `work` reads of the sight is in `of` (domain.remembered).

The law `remembered` would find most of what was left out, on the history that happens to change just that. This finds it on any.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import pytest
from hypothesis import strategies as st

from domain.core import Alarm, Instant
from domain.episode.state import Episode
from domain.followup import sight as of_followup
from domain.followup.decider import FollowUp
from domain.member.decider import Member
from domain.outreach import plan as of_outreach
from domain.outreach.decider import Outreach
from domain.policy import Policy
from domain.remembered import NotingAlarm
from domain.transition import plan as of_transition
from domain.transition.decider import Transition
from tests.properties import laws
from tests.properties.test_laws import histories_of, searching

KINDS = ("followup", "outreach", "transition")
BUNDLES = (Episode, Member, FollowUp, Outreach, Transition)
"""Of these it is told which of their parts are read."""

UNCHANGING = ("stream", "episode", "notebook")
"""Of a process's own state."""


@dataclass
class Read:
    """Something that was read; `of`: what it was worked out of, if it was."""

    what: str
    value: object
    of: tuple[Read, ...] = ()

    def named(self, among: dict[int, object]) -> bool:
        if self.value is None or id(self.value) in among or (self.of and all(read.named(among) for read in self.of)):
            return True
        return self.value in among.values()


class Reads:
    """The pages that are being written, each with what was read meanwhile."""

    def __init__(self) -> None:
        self.open: list[list[Read]] = []

    def note(self, name: str, value: object, of: tuple[Read, ...] = ()) -> Any:
        if isinstance(value, BUNDLES):
            return Bundle(value, name, self)
        if self.open and not isinstance(value, Alarm) and not callable(value):
            self.open[-1].append(Read(name, value, of))
        return value


class Bundle:
    """Passes on what it is asked for, and notes it."""

    def __init__(self, of: object, name: str, reads: Reads) -> None:
        self.of, self.name, self.reads = of, name, reads

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.of, name)
        return value if name in UNCHANGING else self.reads.note(f"{self.name}.{name}", value)


def parts(of: object, depth: int = 5) -> Iterator[object]:
    """Something and all that it consists of."""
    of = of.of if isinstance(of, Bundle) else of
    yield of
    if depth and isinstance(of, tuple | frozenset):
        for part in of:
            yield from parts(part, depth - 1)
    elif depth and is_dataclass(of) and not isinstance(of, Policy):
        for field in fields(of):
            yield from parts(getattr(of, field.name), depth - 1)


def plant(patch: pytest.MonkeyPatch) -> Reads:
    """Nothing is kept, and what is read while something is found is compared with what it is said to be found of."""
    reads = Reads()

    def as_before(alarm: NotingAlarm, name: Hashable, work: Callable[[], Any], *of: object) -> Any:
        reads.open.append([])
        found = work()
        seen = {id(read.value): read for read in reads.open.pop()}
        named = {id(part): part for part in parts(of)}
        for read in seen.values():
            if not read.named(named):
                raise laws.Broken("looked at", f"{name!r} looks at {read.what}, which it does not name")
        if reads.open:
            reads.open[-1].extend(seen.values())
        return found

    patch.setattr(NotingAlarm, "as_before", as_before)
    for module in (of_followup, of_outreach, of_transition):
        patch.setattr(module, "Sight", _noting(module.Sight, reads))
    return reads


def _noting(kind: type, reads: Reads) -> type:
    """The sight, which notes what is read of it; of what it works out itself, the result and what it rests on."""
    names = {field.name for field in fields(kind)}
    results = {name for name in dir(kind) if isinstance(getattr(kind, name), property)} - {"now", "moment"}

    class Noting(kind):  # type: ignore[misc]
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if name not in results:
                value = super().__getattribute__(name)
                return reads.note(name, value) if name in names else value
            reads.open.append([])
            value = super().__getattribute__(name)
            return reads.note(name, value, tuple(reads.open.pop()))

    return Noting


def test_what_is_kept_names_all_that_it_looked_at(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    def keeps(data: st.DataObject) -> None:
        laws.run(histories_of(kind, data, answered=True))

    searching("looked at", kind, 3, keeps)


def test_what_was_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = plant(monkeypatch)
    alarm = NotingAlarm.__new__(NotingAlarm)
    wanted: tuple[Instant, ...] = ()
    with pytest.raises(laws.Broken):
        alarm.as_before("clocks", lambda: reads.note("told", ("said",)), wanted)
    assert alarm.as_before("clocks", lambda: reads.note("told", ("said",)), ("said",)) == ("said",)
