"""The invented programme on the real log: its people do what is allowed, its processes come to rest, streams stay short, and years
are lived in many ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.catalog import PROCESSES
from domain.clocks import DeadlineMissed
from domain.core import ProcessRef, Recorded
from domain.episode.assessments import AssessmentAnswered, AssessmentCompleted
from domain.episode.authorisations import AuthorisationBasis, AuthorisationGranted, CareCarriedOver
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten, GoalMet
from domain.episode.closing import WarmHandOffMade
from domain.episode.facts import ClosureReason, EpisodeClosed, EpisodeHeld, EpisodeResumed, LeadCareManagerHandedOver
from domain.followup.facts import CadenceAgreed, FollowUpContactMade
from domain.interactions import Interaction
from intake import inbox
from intake.inbox import Inbox, Status
from simulation.lives import ORDER
from workers import composition
from workers.composition import System, open_system
from workers.demo import HISTORY_DAYS, MEMBERS, Past, write_history
from workers.settings import Settings, load_settings

STREAM_FACTS_MAX = 500
"""A stream is one lifetime of one thing; a longer one is cut wrongly (style.md, pitfall 9)."""

YEAR_DAYS = 365

pytestmark = pytest.mark.timeout(900)
"""The whole history is written in the first of these tests: under a minute on a machine of its own, and more on a shared one."""


@pytest.fixture(scope="module")
def settings(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    own = load_settings().model_copy(update={"database_url": module_database, "throughline_home": home})
    composition.prepare(own)
    inbox.create(module_database)
    return own


@pytest.fixture(scope="module")
def past(settings: Settings) -> Past:
    """The history of the demo itself, in which each life is lived."""
    assert len(ORDER) <= MEMBERS
    return write_history(settings, lambda what, share: None)


@pytest.fixture(scope="module")
def system(settings: Settings, past: Past) -> Iterator[System]:
    with open_system(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def facts(system: System) -> tuple[Recorded, ...]:
    return tuple(stored.recorded for stored in system.log.all())


def of(facts: tuple[Recorded, ...], *kinds: type) -> list[Any]:
    return [r.fact for r in facts if isinstance(r.fact, kinds)]


def test_the_rules_allow_what_the_script_does(past: Past) -> None:
    assert past.refused == ()
    assert len(past.people) == MEMBERS


def test_streams_stay_short(facts: tuple[Recorded, ...]) -> None:
    lengths = Counter(r.stream for r in facts)
    assert {stream: length for stream, length in lengths.items() if length >= STREAM_FACTS_MAX} == {}
    assert {stream.partition("-")[0] for stream in lengths} >= {
        "member",
        "episode",
        "stay",
        "staff",
        "caseload",
        "policy",
        *PROCESSES,
    }


def test_somebody_lives_a_whole_year(facts: tuple[Recorded, ...]) -> None:
    assert HISTORY_DAYS > YEAR_DAYS
    spoken: dict[str, list[Recorded]] = {}
    for r in facts:
        if isinstance(r.fact, FollowUpContactMade):
            spoken.setdefault(r.stream, []).append(r)
    days = {stream: (told[-1].occurred_at - told[0].occurred_at).days for stream, told in spoken.items()}
    assert max(days.values()) > YEAR_DAYS - 30
    longest = max(days, key=lambda stream: days[stream])
    assert {r.fact.interaction for r in spoken[longest]} >= {Interaction.PHONE, Interaction.IN_PERSON}


def test_a_year_holds_what_a_year_holds(facts: tuple[Recorded, ...]) -> None:
    for kind in (
        AssessmentCompleted, CarePlanCopyGiven, CarePlanReviewed, GoalMet, WarmHandOffMade, CareCarriedOver, CadenceAgreed,
        EpisodeHeld, EpisodeResumed, LeadCareManagerHandedOver,
    ):  # fmt: skip
        assert of(facts, kind), kind
    sittings = Counter(r.stream for r in facts if isinstance(r.fact, AssessmentAnswered))
    assert max(sittings.values()) > 1, "an assessment is broken off and goes on another day"
    assert max(plan.version for plan in of(facts, CarePlanWritten)) > 1
    assert {granted.basis for granted in of(facts, AuthorisationGranted)} >= {
        AuthorisationBasis.INITIAL, AuthorisationBasis.RENEWAL, AuthorisationBasis.CONTINUITY,
    }  # fmt: skip
    assert {closed.reason for closed in of(facts, EpisodeClosed)} >= {
        ClosureReason.GOALS_MET, ClosureReason.CHANGED_PLAN, ClosureReason.MEMBER_WITHDREW, ClosureReason.DECEASED,
        ClosureReason.UNABLE_TO_REACH,
    }  # fmt: skip


def test_promises_are_kept_and_broken(facts: tuple[Recorded, ...]) -> None:
    missed = [r for r in facts if isinstance(r.fact, DeadlineMissed) and r.fact.governing]
    assert any(r.fact.rule == "initial_contact.contact" for r in missed)
    assert all(r.occurred_at == r.fact.due_at for r in missed), "a miss is recorded as of its due"
    contacts = Counter(r.stream for r in missed if r.fact.rule == "followup.contact")
    assert max(contacts.values()) > 3, "somebody's year goes wrong"
    kept = {r.stream for r in facts if isinstance(r.fact, FollowUpContactMade)} - contacts.keys()
    assert kept, "and somebody's does not"


def test_every_process_is_at_rest(system: System) -> None:
    rounds, _ = system.carriers()
    now = max(stored.recorded.recorded_at for stored in system.log.all())
    for kind in PROCESSES:
        for stream in system.log.streams(kind):
            assert rounds.look(ProcessRef.of(stream), now).plan.steps == (), stream


def test_nothing_was_altered(system: System) -> None:
    assert list(system.log.verify()) == []


def test_every_message_ends_in_one_state(system: System, settings: Settings) -> None:
    counts = Inbox(system.pool, system.opened.keys).counts()
    assert counts[Status.APPLIED] > 0
    assert {status for status, count in counts.items() if count} <= {Status.APPLIED, Status.DUPLICATE}
