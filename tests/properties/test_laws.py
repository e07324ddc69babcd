"""Every law of design.md 3 for every plan that is registered, on histories that nobody wrote by hand.

THROUGHLINE_EXAMPLES=500 makes a long search of it; what is found there belongs into `test_mutants.py` or a scenario by name.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from domain.catalog import PROCESSES
from tests.properties import laws
from tests.properties.histories import DELAYS, History
from tests.properties.judge import may_begin
from tests.properties.kinds import COMPLETE, CORRECTS, COVERED, HISTORIES, JUDGES, SHARE_OF_EXAMPLES

EXAMPLES = int(os.environ.get("THROUGHLINE_EXAMPLES", "0"))
SAMPLE = 300
SHARE_MIN = 0.05


def searching(law: str, kind: str, examples: int, check: Callable[[st.DataObject], None]) -> None:
    """As many examples; the same ones every time and not made smaller, unless a long search was asked for."""

    @settings(
        max_examples=EXAMPLES or round(examples * SHARE_OF_EXAMPLES[kind]),
        phases=tuple(Phase) if EXAMPLES else (Phase.explicit, Phase.generate),
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        check(data)

    (tried if EXAMPLES else seed(zlib.crc32(f"{law}/{kind}".encode()))(tried))()


KINDS = tuple(sorted(set(PROCESSES) - {"followup"}))
"""The kinds that are tried here; the year after the enrolment, which takes as long as these two, in `test_laws_followup.py`."""


def histories_of(kind: str, data: st.DataObject, *, answered: bool) -> History:
    return data.draw(HISTORIES[kind](None) if answered else HISTORIES[kind]())


def test_every_plan_has_histories_a_judge_and_its_corrections() -> None:
    tables = (HISTORIES, JUDGES, CORRECTS, COVERED, COMPLETE, SHARE_OF_EXAMPLES)
    assert all(set(table) == set(PROCESSES) for table in tables)


@pytest.mark.parametrize("law", ["quiet", "agreed", "live", "bounded"])
def test_of_each_plan(law: str, kind: str) -> None:
    """The law holds; what breaks another law shows in that one's test."""

    def keeps(data: st.DataObject) -> None:
        try:
            laws.quiet_agreed_live_bounded(histories_of(kind, data, answered=True))
        except laws.Broken as broken:
            if broken.law == law:
                raise

    searching(law, kind, 30, keeps)


def test_punctual(kind: str) -> None:
    searching("punctual", kind, 40, lambda data: laws.punctual(histories_of(kind, data, answered=True)))


def test_remembered(kind: str) -> None:
    """Late, re-ordered and doubled facts included."""

    def keeps(data: st.DataObject) -> None:
        history = histories_of(kind, data, answered=data.draw(st.booleans()))
        count = len(history.facts)
        laws.remembered(history.recorded_as(tuple(data.draw(st.lists(DELAYS, min_size=count, max_size=count)))))

    searching("remembered", kind, 8, keeps)


def test_heeded(kind: str) -> None:
    searching("heeded", kind, 5, lambda data: laws.heeded(histories_of(kind, data, answered=True)))


def test_consent(kind: str) -> None:
    searching("consent", kind, 45, lambda data: laws.consent(histories_of(kind, data, answered=True), may_begin))


def _asleep(data: st.DataObject, history: History) -> tuple[bool, ...]:
    count = len(history.facts)
    return tuple(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))


def test_order(kind: str) -> None:
    def keeps(data: st.DataObject) -> None:
        history = histories_of(kind, data, answered=data.draw(st.booleans()))
        count = len(history.facts)
        delays = data.draw(st.lists(DELAYS, min_size=count, max_size=count))
        laws.order(history, history.recorded_as(tuple(delays)), _asleep(data, history))

    searching("order", kind, 45, keeps)


def test_catch_up(kind: str) -> None:
    def keeps(data: st.DataObject) -> None:
        history = histories_of(kind, data, answered=False)
        laws.catch_up(history, _asleep(data, history))

    searching("catch-up", kind, 40, keeps)


def test_final(kind: str) -> None:
    searching("final", kind, 30, lambda data: laws.final(histories_of(kind, data, answered=False), CORRECTS[kind]))


def test_oracle(kind: str) -> None:
    def keeps(data: st.DataObject) -> None:
        laws.oracle(histories_of(kind, data, answered=False), JUDGES[kind], COMPLETE[kind])

    searching("oracle", kind, 100, keeps)


def test_the_generators_cover_what_they_are_for(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    covered: Counter[str] = Counter()
    wanted, features = COVERED[kind]

    def sample(data: st.DataObject) -> None:
        history = histories_of(kind, data, answered=True)
        covered.update(features(history))
        covered["histories"] += 1

    searching("coverage", kind, round(SAMPLE / SHARE_OF_EXAMPLES[kind]), sample)
    total = covered["histories"]
    with capsys.disabled():
        shares = ", ".join(f"{name} {covered[name] / total:.0%}" for name in wanted)
        print(f"\n{kind}: {total} histories: {shares}")
    assert total >= SAMPLE * 0.9
    assert {name for name in wanted if covered[name] < SHARE_MIN * total} == set()
