"""Every fact that was ever written can be read for ever, and is written as it always was (design.md 5, ADR 0004)."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.catalog import DECIDERS, FACTS
from domain.core import Fact, personal, personal_fields
from eventlog.codec import SELF_SEALED, Codec, UnknownFact
from eventlog.upcasts import STEPS
from tests.golden import examples
from tests.golden.files import FOLDER, NoKeys, all_files, as_bytes, example_parts, path_of
from tests.golden.write import write_missing

CODEC = Codec(FACTS, NoKeys())
FILES = all_files()
CURRENT = {entry.name: entry for entry in FACTS}
TELL = "run `python -m tests.golden.write`, read what it wrote and commit it"


@pytest.mark.parametrize("entry", FACTS, ids=lambda e: f"{e.name}.v{e.version}")
def test_every_fact_has_a_golden_file_of_every_version(entry: Any) -> None:
    for version in range(1, entry.version + 1):
        assert (entry.name, version) in FILES, f"{entry.name} v{version} has no golden file: {TELL}"


@pytest.mark.parametrize("name_version", FILES, ids=lambda nv: f"{nv[0]}.v{nv[1]}")
def test_every_golden_file_still_says_what_it_said(name_version: tuple[str, int]) -> None:
    (name, version), golden = name_version, FILES[name_version]
    entry = CURRENT.get(name)
    assert entry is not None, f"{name} was written once; its class and its name must stay in the catalog"
    assert version <= entry.version
    made = {"full": examples.full, "bare": examples.bare}
    for which, make in made.items():
        body, secret = as_bytes(golden[which])
        fact = CODEC.assembled(name, version, body, secret)
        assert isinstance(fact, entry.type)
        if version < entry.version:
            becomes = path_of(name, version, FOLDER / "becomes" / f"v{entry.version}")
            assert becomes.exists(), f"what {name} v{version} becomes is not written down: {TELL}"
            assert example_parts(CODEC, fact) == json.loads(becomes.read_text())[which]
        elif golden["class"] == examples.described(entry.type):
            assert fact == make(entry.type)
            assert CODEC.parts(fact) == (body, secret), "it must be written byte for byte as it was"
        else:  # a field with a default was added since
            again = {**example_parts(CODEC, fact)["body"], **example_parts(CODEC, fact).get("personal", {})}
            assert again.items() >= {**golden[which]["body"], **golden[which].get("personal", {})}.items()


@pytest.mark.parametrize("entry", FACTS, ids=lambda e: e.name)
def test_a_changed_class_has_a_new_version(entry: Any) -> None:
    golden = FILES.get((entry.name, entry.version))
    if golden is None:
        pytest.skip("it has no golden file yet: another test says so")
    why = examples.fields_broken_by(golden["class"], examples.described(entry.type))
    assert why is None, f"{entry.type.__name__}: {why}. Raise its version in the catalog and write the step in eventlog/upcasts.py"


@pytest.mark.parametrize("entry", FACTS, ids=lambda e: e.name)
def test_names_are_stable_and_not_of_python(entry: Any) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", entry.name), "kind.what-happened"
    assert entry.version >= 1 and entry.type.__module__ not in entry.name


@pytest.mark.parametrize("entry", [e for e in FACTS if personal_fields(e.type)], ids=lambda e: e.name)
def test_whose_a_sealed_fact_is_can_be_told(entry: Any) -> None:
    """Its own stream's, or that of the member whom it or its stream's state names (eventlog.gateway.whose)."""
    kind = entry.name.partition(".")[0]
    named = "member" in {f.name for f in dataclasses.fields(entry.type)}
    assert named or kind in SELF_SEALED or hasattr(DECIDERS[kind].initial(f"{kind}-0"), "member")


def test_every_step_leads_somewhere() -> None:
    for name, version in STEPS:
        assert name in CURRENT and version < CURRENT[name].version, f"the step {name} v{version} leads to no version"


# -- the mechanism itself, on a fact that changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed(Fact):
    kilograms: int
    who: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedWithDefault(Fact):
    kilograms: int
    scale: str = "hospital"
    who: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedInGrams(Fact):
    grams: int
    who: str | None = personal()


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    version: int
    type: type[Fact]


def _to_grams(fields: dict[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in fields.items() if k != "kilograms"}, "grams": fields["kilograms"] * 1000}


def test_an_old_version_is_read_through_its_step(tmp_path: Path) -> None:
    first, second = Entry("toy.weighed", 1, Weighed), Entry("toy.weighed", 2, WeighedInGrams)
    assert [p.name for p in write_missing([first], tmp_path)] == ["toy.weighed.v1.json"]
    assert write_missing([first], tmp_path) == [], "never twice"
    with pytest.raises(AssertionError, match="no step"):
        Codec([second], NoKeys())
    codec = Codec([second], NoKeys(), steps={("toy.weighed", 1): _to_grams})
    added = [str(p.relative_to(tmp_path)) for p in write_missing([second], tmp_path, codec)]
    assert added == ["toy.weighed.v2.json", "becomes/v2/toy.weighed.v1.json"]
    old = all_files(tmp_path)["toy.weighed", 1]
    fact = codec.assembled("toy.weighed", 1, *as_bytes(old["full"]))
    assert fact == WeighedInGrams(grams=old["full"]["body"]["kilograms"] * 1000, who=old["full"]["personal"]["who"])
    assert codec.assembled("toy.weighed", 1, as_bytes(old["full"])[0], None) == WeighedInGrams(grams=1000), "erased"
    with pytest.raises(UnknownFact):
        codec.assembled("toy.weighed", 3, b"{}", None)


def test_a_field_with_a_default_needs_no_version(tmp_path: Path) -> None:
    write_missing([Entry("toy.weighed", 1, Weighed)], tmp_path)
    golden = all_files(tmp_path)["toy.weighed", 1]
    assert examples.fields_broken_by(golden["class"], examples.described(WeighedWithDefault)) is None
    codec = Codec([Entry("toy.weighed", 1, WeighedWithDefault)], NoKeys())
    assert codec.assembled("toy.weighed", 1, *as_bytes(golden["bare"])) == WeighedWithDefault(kilograms=1)


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        (Weighed, WeighedInGrams, "kilograms is gone"),
        (WeighedWithDefault, Weighed, "scale is gone"),
        (Weighed, dataclasses.make_dataclass("W", [("kilograms", float), ("who", str | None, personal())]), "type changed"),
        (Weighed, dataclasses.make_dataclass("W", [("kilograms", int), ("who", str | None, None)]), "sealed otherwise"),
        (
            Weighed,
            dataclasses.make_dataclass("W", [("kilograms", int), ("unit", str), ("who", str | None, personal())]),
            "new and has no",
        ),
        (
            WeighedWithDefault,
            dataclasses.make_dataclass("W", [("kilograms", int), ("scale", str, "home"), ("who", str | None, personal())]),
            "another default",
        ),
    ],
)
def test_what_breaks_a_version_is_noticed(was: type, now: type, why: str) -> None:
    found = examples.fields_broken_by(examples.described(was), examples.described(now))
    assert found is not None and why in found
