"""Small histories on which a plan once broke a law: found by search or by planting mistakes, kept by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.episode.facts import PolicyReapplied
from domain.followup.facts import CadenceAgreed
from domain.interactions import Interaction
from tests.given import EPISODE
from tests.properties import laws
from tests.properties.histories import History
from tests.properties.histories_followup import FOLLOW_UPS, FOLLOWUP, policy_of
from tests.properties.mutants import four_laws, is_final, is_judged, late_everywhere, sleeps_through, told
from tests.properties.test_mutants_followup import FIVE_DAYS_INSIDE, WEEKLY, a_talk, history

assert WEEKLY.follow_up is not None
WEEKLY_CADENCE = WEEKLY.follow_up.cadence
NO_INTERVAL = policy_of(replace(FOLLOW_UPS[0], cadence=replace(FOLLOW_UPS[0].cadence, phase=())))

RESTS_INSIDE = replace(
    policy_of(replace(FOLLOW_UPS[0], tiers=None, cadence=replace(WEEKLY_CADENCE, rests_in_hospital=True))),
    version="2026.2",
    effective_on=date(2027, 6, 1),
)

FOUND = {
    "a policy is re-applied that lets the cadence rest in a hospital, after a stay": replace(
        history(
            *FIVE_DAYS_INSIDE.drawn[:3],
            a_talk("2026-11-26 12:00 PST"),
            told(EPISODE, PolicyReapplied(policy="default@2026.2", reason="asked"), "2026-12-05 12:00 PST"),
        ),
        policies=(WEEKLY, RESTS_INSIDE),
    ),
    "a period begins after one whose visits were all made, and nothing else wakes": history(
        a_talk("2026-11-25 12:00 PST", interaction=Interaction.IN_PERSON),
        a_talk("2026-12-25 12:00 PST", interaction=Interaction.IN_PERSON),
        policy=policy_of(FOLLOW_UPS[4]),
        days=70,
    ),
    "no interval is asked for between two phases": history(policy=policy_of(FOLLOW_UPS[2]), days=70),
    "a contact before anything was asked for": history(
        a_talk("2026-11-20 09:00 PST"),
        told(FOLLOWUP, CadenceAgreed(every_days=6, reason="asked"), "2026-11-21 09:00 PST"),
        a_talk("2026-11-24 09:00 PST"),
        policy=NO_INTERVAL,
    ),
}
every_one = pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)


@every_one
def test_it_keeps_the_laws(found: History) -> None:
    four_laws(found)
    laws.punctual(found)
    is_judged(found)
    is_final(found)
    sleeps_through(found)
    late_everywhere(found)
