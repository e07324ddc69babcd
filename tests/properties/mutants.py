"""How planted mistakes are told: the law that has to catch each, and one small history on which it does.

The mistakes themselves stand beside, by kind of process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.given import Told, at
from tests.properties import laws
from tests.properties.histories import History
from tests.properties.judge import may_begin
from tests.properties.kinds import COMPLETE, CORRECTS, JUDGES

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    plant: Plant
    law: str
    check: Callable[[History], None]
    history: History


def every_mutant_of(mutants: tuple[Mutant, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutant", mutants, ids=lambda mutant: f"{mutant.plant.__name__}-{mutant.law}")


def dies(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history keeps the law while nothing is planted, and breaks it once something is."""
    mutant.check(mutant.history)
    mutant.plant(monkeypatch)
    with pytest.raises(laws.Broken) as died:
        mutant.check(mutant.history)
    assert died.value.law == mutant.law


def told(stream: str, fact: Any, when: str, recorded: str | None = None) -> Told:
    return Told(stream, fact, at(when), at(recorded or when))


# --- the laws, as a mutant is tried with them ----------------------------------------------------------------------------------


def sleeps_through(check: History) -> None:
    laws.catch_up(check, (True,) * len(check.facts))


def late_everywhere(check: History) -> None:
    laws.order(check, check.recorded_as(tuple(timedelta(days=5) for _ in check.facts)))


def newest_first(check: History) -> None:
    """The same facts, the last one recorded first."""
    latest = max(f.recorded_at for f in check.drawn)
    delays = {f.id: latest - f.at + (latest - f.at) for f in check.drawn}
    laws.order(check, check.recorded_as(tuple(delays.get(f.id, timedelta()) for f in check.facts)))


def four_laws(check: History) -> None:
    laws.quiet_agreed_live_bounded(check)


def consents(check: History) -> None:
    laws.consent(check, may_begin)


def is_final(check: History) -> None:
    laws.final(check, CORRECTS[check.kind])


def is_judged(check: History) -> None:
    laws.oracle(check, JUDGES[check.kind], COMPLETE[check.kind])
