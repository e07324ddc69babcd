"""What the laws are told of each kind of process: its histories, what these must cover, its judge, and what corrects what.

A plan that is registered and stands in none of these tables fails the laws' first test.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from domain.core import Instant
from tests.given import Told
from tests.properties.histories import FEATURES, History, features, outreach_histories, transition_histories
from tests.properties.histories_followup import FEATURES_OF_FOLLOWUP, features_of_followup, followup_histories
from tests.properties.judge import checklist, corrects_outreach, corrects_transition, initial_contact
from tests.properties.judge_followup import corrects_followup, year

Histories = Callable[..., st.SearchStrategy[History]]
Judge = Callable[[History], dict[str, str]]
Corrects = Callable[[History, Told, Instant], bool]

HISTORIES: dict[str, Histories] = {
    "outreach": outreach_histories,
    "transition": transition_histories,
    "followup": followup_histories,
}
COVERED: dict[str, tuple[tuple[str, ...], Callable[[History], frozenset[str]]]] = {
    "outreach": (FEATURES, features),
    "transition": (FEATURES, features),
    "followup": (FEATURES_OF_FOLLOWUP, features_of_followup),
}
JUDGES: dict[str, Judge] = {"outreach": initial_contact, "transition": checklist, "followup": year}
CORRECTS: dict[str, Corrects] = {
    "outreach": corrects_outreach,
    "transition": corrects_transition,
    "followup": corrects_followup,
}
COMPLETE: dict[str, tuple[str, ...]] = {"outreach": (), "transition": (), "followup": ("contact/",)}
"""Of dues whose key begins so the judge knows every one: a plan that has another is wrong."""
SHARE_OF_EXAMPLES: dict[str, float] = {"outreach": 1, "transition": 1, "followup": 0.4}
"""How many of a law's examples a kind gets: a year takes longer to live through than three weeks."""
