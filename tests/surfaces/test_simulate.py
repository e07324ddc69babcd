"""`throughline simulate` as a user gives it: tables, JSON, files, and what a wrong word is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simulation.distributions.reading import DEFAULT
from tests.given import POLICIES
from workers.cli import app

SMALL = ("simulate", "--members", "12", "--weeks", "5")


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_a_year_is_shown_as_tables() -> None:
    shown = call(*SMALL)
    assert shown.exit_code == 0, shown.output
    for title in ("Promises by rule", "Contacts", "Enrolments", "Workload"):
        assert title in shown.stdout
    assert "Tiers" in shown.stdout or "Nobody was enrolled." in shown.stdout
    assert "12 members, 5 weeks, seed 1" in shown.stdout
    assert "initial_contact.contact" in shown.stdout


def test_json_tables_and_pictures_say_the_same(tmp_path: Path) -> None:
    asked = call(*SMALL, "--json", "--out", str(tmp_path / "tables"), "--plot", str(tmp_path / "pictures"))
    assert asked.exit_code == 0, asked.output
    told = json.loads(asked.stdout)
    assert told["members"] == 12 and told["refused"] == []
    lines = (tmp_path / "tables" / "promises.csv").read_text().splitlines()[1:]
    assert len(lines) == len(told["promises"]) > 0
    assert {picture.name for picture in (tmp_path / "pictures").iterdir()} == {"promises.svg", "enrolments.svg", "workload.svg"}


def test_the_same_words_are_the_same_year() -> None:
    assert call(*SMALL, "--json").stdout == call(*SMALL, "--json").stdout
    assert call(*SMALL, "--json", "--seed", "2").stdout != call(*SMALL, "--json").stdout


def test_two_policies_stand_side_by_side(tmp_path: Path) -> None:
    own = POLICIES / "coast-care.toml"
    same = call(*SMALL, "--compare", str(own))
    assert same.exit_code == 0 and "≠" not in same.stdout
    other = tmp_path / "other.toml"
    other.write_text(
        own.read_text().replace('version = "2026.1"', 'version = "2026.9"').replace("attempts_min = ", "attempts_min = 1")
    )
    shown = call(*SMALL, "--compare", str(other))
    assert shown.exit_code == 0, shown.output
    assert "coast-care@2026.9" in shown.stdout and "second" in shown.stdout


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--weeks", "2", "--days", "9"), 2, "--days"),
        (("--members", "0"), 2, "--members"),
        (("--staff", "1"), 2, "--staff"),
        (("--policy", "/nowhere.toml"), 2, "--policy"),
        (("--history", "--members", "3"), 2, "--members"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused(words: tuple[str, ...], status: int, told: str) -> None:
    refused = call("simulate", *words)
    assert refused.exit_code == status, refused.output
    assert told in refused.output and "Traceback" not in refused.output


def test_bad_files_are_refused_with_place_and_remedy(tmp_path: Path) -> None:
    policy, data = tmp_path / "policy.toml", tmp_path / "data.toml"
    policy.write_text((POLICIES / "default.toml").read_text().replace("days = 10", "days = -1"))
    data.write_text(DEFAULT.read_text().replace("is = 0.12", "is = 12"))
    for option, file, place in (("--policy", policy, "initial_contact.days"), ("--distributions", data, "findable")):
        refused = call("simulate", option, str(file))
        assert refused.exit_code == 1 and place in refused.output and "→" in refused.output and file.name in refused.output
