"""Every law of design.md 3 for every plan that is registered, on histories that nobody wrote by hand.

THROUGHLINE_EXAMPLES=500 makes a long search of it; what is found there belongs into `test_mutants.py` or a scenario by name.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from domain.catalog import PROCESSES
from tests.properties import laws
from tests.properties.histories import DELAYS, History
from tests.properties.judge import may_begin
from tests.properties.kinds import COMPLETE, CORRECTS, COVERED, HISTORIES, JUDGES

EXAMPLES = int(os.environ.get("THROUGHLINE_EXAMPLES", "0"))
SAMPLE = 300
SHARE_MIN = 0.05


def searching(examples: int):  # type: ignore[no-untyped-def]
    """As many examples; the same ones every time and not made smaller, unless a long search was asked for."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        phases=tuple(Phase) if EXAMPLES else (Phase.explicit, Phase.generate),
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


every_plan = pytest.mark.parametrize("kind", sorted(PROCESSES))


def histories_of(kind: str, data: st.DataObject, *, answered: bool) -> History:
    return data.draw(HISTORIES[kind](None) if answered else HISTORIES[kind]())


def test_every_plan_has_histories_a_judge_and_its_corrections() -> None:
    assert set(PROCESSES) <= set(HISTORIES) == set(JUDGES) == set(CORRECTS) == set(COVERED) == set(COMPLETE)


def keeps(law: str, history: History) -> None:
    """The law holds; what breaks another law shows in that one's test."""
    try:
        laws.quiet_agreed_live_bounded(history)
    except laws.Broken as broken:
        if broken.law == law:
            raise


@every_plan
@searching(30)
@given(data=st.data())
def test_quiet(kind: str, data: st.DataObject) -> None:
    keeps("quiet", histories_of(kind, data, answered=True))


@every_plan
@searching(30)
@given(data=st.data())
def test_agreed(kind: str, data: st.DataObject) -> None:
    keeps("agreed", histories_of(kind, data, answered=True))


@every_plan
@searching(30)
@given(data=st.data())
def test_live(kind: str, data: st.DataObject) -> None:
    keeps("live", histories_of(kind, data, answered=True))


@every_plan
@searching(30)
@given(data=st.data())
def test_bounded(kind: str, data: st.DataObject) -> None:
    keeps("bounded", histories_of(kind, data, answered=True))


@every_plan
@searching(40)
@given(data=st.data())
def test_punctual(kind: str, data: st.DataObject) -> None:
    laws.punctual(histories_of(kind, data, answered=True))


@every_plan
@searching(45)
@given(data=st.data())
def test_consent(kind: str, data: st.DataObject) -> None:
    laws.consent(histories_of(kind, data, answered=True), may_begin)


@every_plan
@searching(45)
@given(data=st.data(), answered=st.booleans())
def test_order(kind: str, data: st.DataObject, answered: bool) -> None:
    history = histories_of(kind, data, answered=answered)
    count = len(history.facts)
    delays = data.draw(st.lists(DELAYS, min_size=count, max_size=count))
    asleep = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    laws.order(history, history.recorded_as(tuple(delays)), tuple(asleep))


@every_plan
@searching(40)
@given(data=st.data())
def test_catch_up(kind: str, data: st.DataObject) -> None:
    history = histories_of(kind, data, answered=False)
    count = len(history.facts)
    asleep = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    laws.catch_up(history, tuple(asleep))


@every_plan
@searching(30)
@given(data=st.data())
def test_final(kind: str, data: st.DataObject) -> None:
    laws.final(histories_of(kind, data, answered=False), CORRECTS[kind])


@every_plan
@searching(100)
@given(data=st.data())
def test_oracle(kind: str, data: st.DataObject) -> None:
    laws.oracle(histories_of(kind, data, answered=False), JUDGES[kind], COMPLETE[kind])


@every_plan
def test_the_generators_cover_what_they_are_for(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    covered: Counter[str] = Counter()
    wanted, features = COVERED[kind]

    @seed(20261122)
    @settings(searching(SAMPLE), max_examples=SAMPLE, derandomize=False)
    @given(HISTORIES[kind](None))
    def sample(history: History) -> None:
        covered.update(features(history))
        covered["histories"] += 1

    sample()
    total = covered["histories"]
    with capsys.disabled():
        shares = ", ".join(f"{name} {covered[name] / total:.0%}" for name in wanted)
        print(f"\n{kind}: {total} histories: {shares}")
    assert total >= SAMPLE * 0.9
    assert {name for name in wanted if covered[name] < SHARE_MIN * total} == set()
