"""The registry of senders: what is wrong with it is said with its line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from intake.senders.sources import Source, Sources, SourcesInvalid, load_sources

GOOD = """# Two hospitals
[[source]]
name = "near"
addresses = ["10.0.0.0/8"]

[[source]]
name = "far"
timezone = "America/New_York"
charset = "8859/1"
ack_mode = "enhanced"
expected_every_minutes = 60
expected_from = 07:00:00
expected_until = 19:00:00

[[source.facilities]]
id = "far-general"
name = "Far General"

[[source.facilities]]
id = "far-clinic"
name = "Far Clinic"
aliases = ["FC"]

[source.disposition_aliases]
"HOME" = "01"
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("America/New_York", "Eastern", 8, "IANA names, e.g. America/Los_Angeles"),
        ('charset = "8859/1"', 'charset = "UTF-16"', 9, "write one of ASCII"),
        ('ack_mode = "enhanced"', 'ack_mode = "sometimes"', 10, "'auto', 'original' or 'enhanced'"),
        ("expected_until = 19:00:00", "expected_until = 06:00:00", 6, "expected_from must lie before expected_until"),
        (
            "expected_every_minutes = 60",
            "expected_evry = 60",
            11,
            "take it away or write expected_from or expected_on or expected_every_minutes or expected_until",
        ),
        ("expected_every_minutes = 60", "token = 60", 11, "take it away or write one of accept_other_types, "),
        ('id = "far-clinic"', 'id = "Far Clinic"', 20, "pattern"),
        ('id = "far-clinic"\n', "", 19, "is missing; write it"),
        ('aliases = ["FC"]', 'aliases = ["far-general"]', 6, "names two facilities"),
        ('aliases = ["FC"]', 'timezone = "Mars/Base"', 22, "is no time zone"),
        ('name = "far"\n', 'name = "near"\n', 0, "two sources have one name, near"),
        ('"10.0.0.0/8"', '"ten"', 4, "10.0.0.0/8"),
        ('ack_mode = "enhanced"', 'application_acks_to = "far:70000"', 10, "the port from 1 to 65535"),
        ("# Two", "= Two", 0, "not TOML"),
    ],
)
def test_a_fault_is_named_with_its_line_and_the_remedy(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    file = tmp_path / "sources.toml"
    assert GOOD.count(old) == 1
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(SourcesInvalid) as wrong:
        load_sources(file)
    assert said in str(wrong.value)
    assert line == 0 or f", line {line}: source " in str(wrong.value), str(wrong.value)


def test_a_good_registry_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(GOOD)
    near, far = load_sources(file).rows
    assert (near.name, far.timezone, far.facility_called("fc").id) == ("near", "America/New_York", "far-clinic")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"addresses": ("10.0.0.0/8",)}, {"addresses": ("10.1.2.3/32",)}, "addresses 10.0.0.0/8 and 10.1.2.3/32"),
        ({"addresses": ("10.1.2.3/32",)}, {"addresses": ("::/0", "10.0.0.0/8")}, "addresses 10.0.0.0/8 and 10.1.2.3/32"),
        ({"certificate_sha256": ("a" * 64,)}, {"certificate_sha256": ("b" * 64, "a" * 64)}, f"certificate_sha256 {'a' * 64}"),
        ({"client_id": "x", "jwks_file": "x"}, {"client_id": "x", "jwks_file": "x"}, "one client_id"),
    ],
)
def test_no_peer_can_be_two_sources(one: dict[str, Any], other: dict[str, Any], said: str) -> None:
    rows = (Source(name="near", **one), Source(name="far", **other))
    with pytest.raises(SourcesInvalid, match=re.escape(said)):
        Sources(rows)


def test_sources_beside_each_other_are_two() -> None:
    near = Source(name="near", addresses=("10.0.0.0/9", "10.0.1.0/24", "::1/128"))
    far = Source(name="far", addresses=("10.128.0.0/9",), certificate_names=("hl7.example",), authorities=("x.pem",))
    web = Source(name="web", addresses=("10.0.0.0/8",), transports=("http",))
    found = Sources((near, far, web))
    assert [found.at_address(a) for a in ("10.0.1.1", "10.128.0.1", "11.0.0.1")] == [near, far, None]
