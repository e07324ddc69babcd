"""The invented programme on the real log: its people do what is allowed, its processes come to rest, streams stay short, and years
are lived in many ways."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from domain.catalog import PROCESSES
from domain.clocks import DeadlineMissed
from domain.core import ProcessRef, Recorded
from domain.episode.assessments import AssessmentAnswered, AssessmentCompleted
from domain.episode.authorisations import AuthorisationBasis, AuthorisationGranted, CareCarriedOver
from domain.episode.care_plans import CarePlanCopyGiven, CarePlanReviewed, CarePlanWritten, GoalMet
from domain.episode.closing import WarmHandOffMade
from domain.episode.facts import (
    AssignmentReceived,
    ClosureReason,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeResumed,
    LeadCareManagerHandedOver,
)
from domain.followup.facts import CadenceAgreed, FollowUpContactMade
from domain.interactions import Interaction
from intake.store import inbox
from intake.store.inbox import Status
from simulation.lives import ORDER
from simulation.what_if import OUTCOMES, decided, differences, ledger, replayed, what_if
from tests.given import DEFAULT, POLICIES, varied
from workers import composition
from workers.cli import app, frame, simulating
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
    with system.pool.connection() as conn:
        found = {Status(status) for (status,) in conn.execute("SELECT DISTINCT status FROM intake.inbox").fetchall()}
    assert Status.APPLIED in found and found <= {Status.APPLIED, Status.DUPLICATE}


# --- the log once more, under the same policies and under others ---------------------------------------------------------------


def test_the_log_replays_without_a_difference(facts: tuple[Recorded, ...]) -> None:
    """Identity: from the outside facts alone the programme decides what it decided."""
    found = what_if(facts, None)
    assert found.faithful == found.differences == ()
    assert found.before == found.after


def test_another_policy_moves_its_own_plans_dues_only(facts: tuple[Recorded, ...]) -> None:
    stricter = varied(DEFAULT, version="what-if", initial_contact__days=5)
    before, after = replayed(facts), replayed(facts, stricter)
    moved = [d for d in differences(ledger(before.log), ledger(after.log)) if d.what == "due_moved"]
    assert any(d.about == "initial_contact.contact" for d in moved)
    of_plan = {r.stream.partition("-")[2] for r in facts if isinstance(r.fact, AssignmentReceived) and r.fact.plan == "default"}
    assert {d.stream.partition("-")[2] for d in moved} <= of_plan
    kept = [[r.event_id for r in log if not decided(r) and not isinstance(r.fact, OUTCOMES)] for log in (facts, after.log)]
    assert kept[0] == kept[1], "what came from outside is kept"


def written(settings: Settings) -> dict[str, int]:
    """Of both databases every table's rows, and how often rows were ever written."""
    found: dict[str, int] = {}
    for url in composition.addresses(settings):
        with psycopg.connect(url, autocommit=True) as conn:
            tables = conn.execute(
                "SELECT schemaname, relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables"
            ).fetchall()
            for schema, name, changes in tables:
                counted = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
                row = conn.execute(counted).fetchone()
                assert row is not None
                found |= {f"{schema}.{name}": row[0], f"{schema}.{name} changes": changes}
    return found


def test_what_if_writes_nothing(system: System, settings: Settings, tmp_path: Path) -> None:
    """Log head, commands and every other row are what they were; the database itself refuses a write on that connection."""
    policy = tmp_path / "stricter.toml"
    text = (POLICIES / "default.toml").read_text()
    policy.write_text(text.replace('version = "2026.1"', 'version = "2026.9"').replace("\ndays = 10\n", "\ndays = 5\n"))
    frame_before, frame.asked.settings = frame.asked.settings, settings
    try:
        before, head = written(settings), system.log.watermark()
        asked = CliRunner().invoke(app, ["simulate", "--history", "--policy", str(policy), "--json"])
    finally:
        frame.asked.settings = frame_before
    assert asked.exit_code == 0, asked.output
    told = json.loads(asked.stdout)
    assert told["faithful"] == [] and told["differences"]
    assert (written(settings), system.log.watermark()) == (before, head)
    with psycopg.connect(simulating.reading_only(composition.addresses(settings)[0])) as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("CREATE TABLE written (a int)")
