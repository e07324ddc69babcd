"""The verdicts that a person wrote down, against the core on an undisturbed clock: a slip of the pen shows here first."""

from __future__ import annotations

import pytest

from domain.core import Refusal
from simulation.memory import Memory
from tests.given import always_sent, at, book
from tests.torture import members
from tests.torture.verdicts import contradictions

START = at("2027-03-01 07:00 PST")


@pytest.fixture(scope="module")
def undisturbed() -> Memory:
    memory = Memory(book(), START, carrier=always_sent)
    for command in members.staff():
        assert not isinstance(memory.handle(command), Refusal)
    for when, name, n in members.schedule(START):
        memory.run_until(when)
        for command in members.commands(START, name, n, lambda stream: memory.load(stream).state):
            decision = memory.handle(command)
            assert not isinstance(decision, Refusal), (name, n, decision)
            memory.settle()
    memory.run_until(members.instant(START, "day 60 12:00"))
    return memory


@pytest.mark.parametrize("name", members.BY_NAME)
def test_the_core_says_what_a_person_says(undisturbed: Memory, name: str) -> None:
    found = contradictions(members.BY_NAME[name], START, undisturbed.now, lambda s: undisturbed.load(s).state, undisturbed.plan)
    assert found.compared > 0
    assert found.said == ()
