"""The invented programme on the real log: its people do what is allowed, its processes come to rest, streams stay short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.catalog import PROCESSES
from domain.clocks import DeadlineMissed
from domain.core import ProcessRef
from intake import inbox
from intake.inbox import Inbox, Status
from workers import composition
from workers.composition import System, open_system
from workers.demo import Past, write_history
from workers.settings import Settings, load_settings

MEMBERS = 18
"""As many as there are lives, so each is lived once."""

DAYS = 100
STREAM_FACTS_MAX = 500
"""A stream is one lifetime of one thing; a longer one is cut wrongly (style.md, pitfall 9)."""


@pytest.fixture(scope="module")
def settings(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    own = load_settings().model_copy(update={"database_url": module_database, "throughline_home": home})
    composition.prepare(own)
    inbox.create(module_database)
    return own


@pytest.fixture(scope="module")
def past(settings: Settings) -> Past:
    return write_history(settings, lambda what, share: None, members=MEMBERS, days=DAYS)


@pytest.fixture(scope="module")
def system(settings: Settings, past: Past) -> Iterator[System]:
    with open_system(settings) as opened:
        yield opened


def test_the_rules_allow_what_the_script_does(past: Past) -> None:
    assert past.refused == ()
    assert len(past.people) == MEMBERS


def test_streams_stay_short(system: System) -> None:
    lengths = Counter(stored.recorded.stream for stored in system.log.all())
    assert max(lengths.values()) < STREAM_FACTS_MAX
    assert {stream.partition("-")[0] for stream in lengths} >= {"member", "episode", "stay", "staff", "policy", *PROCESSES}


def test_promises_are_kept_and_broken(system: System) -> None:
    facts = [stored.recorded for stored in system.log.all()]
    missed = [r for r in facts if isinstance(r.fact, DeadlineMissed) and r.fact.governing]
    assert any(r.fact.rule == "initial_contact.contact" for r in missed)
    assert all(r.occurred_at == r.fact.due_at for r in missed), "a miss is recorded as of its due"


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
