"""How each plan writes its files, as data: headers, codes, dates, sheets, and what a file of the plan is (messages.md 5 "Files").

A profile is a file beside canonical.toml: `<plan>.toml` for the plan's member files, `<plan>.<layout>.toml` for others. What it
does not say is taken from the canonical profile of its kind. It is checked as a whole when loaded; a fault names its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

from domain.core import Refusal
from domain.policy import PolicyBook
from intake.files.tables import FileRefused

PROFILES: Final = Path(__file__).with_name("profiles")
DATE_FORMS: Final = ("iso", "us", "us2", "eu", "serial", "text")
"""iso: 2026-11-20, 20261120. us: 11/20/2026. us2: 11/20/61, a birth date of this or the last century. eu: 20.11.2026. serial: a
spreadsheet's number of a day. text: Nov 20, 2026 or 20-Nov-2026."""
ACTIONS: Final = ("add", "term", "opted_out", "elsewhere", "deceased")
DECISIONS: Final = ("approved", "extended", "denied", "ended", "pending")
BASES: Final = ("initial", "renewal", "streamlined", "continuity", "release")
YES_NO: Final = ("yes", "no")

_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PLAIN = re.compile(r"[^a-z0-9]+")


class FileKind(StrEnum):
    """What a plan's file is about."""

    MEMBERS = "members"
    AUTHORISATIONS = "authorisations"


CANONICAL: Final = {FileKind.MEMBERS: "canonical.toml", FileKind.AUTHORISATIONS: "canonical.authorisations.toml"}
_MEANINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "record_action": ACTIONS, "homelessness_ind": YES_NO, "decision": DECISIONS, "basis": BASES,
}  # fmt: skip
"""Columns of which only certain values mean something to us; those of the others are kept as the profile writes them."""


class PlanUnknown(ValueError):
    """Something came for a health plan that there is not. `refusal` names the field, the plans that there are and the remedy."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.because)
        self.refusal = refusal


def expect_plan(book: PolicyBook, plan: str) -> None:
    """Raises PlanUnknown where nobody ever adopted a policy of this plan."""
    if refusal := book.unknown(plan):
        raise PlanUnknown(refusal)


class ProfileInvalid(FileRefused):
    """A profile that cannot be used. The text names file, line and remedy."""


@dataclass(frozen=True)
class Profile:
    """How one plan writes one kind of file. `codes`: for a column what its values mean, in small letters; `drop_share_max`: from
    which share of missing members on a full roster is suspicious."""

    id: str
    plan: str
    kind: FileKind
    name: str
    version: str
    required: tuple[str, ...]
    dates: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    sheets: tuple[str, ...] = ()
    full_roster: bool = False
    drop_share_max: float = 0.2

    @cached_property
    def _called(self) -> Mapping[str, str]:
        called: dict[str, str] = {}
        for column, aliases in self.columns.items():
            for alias in (column, *aliases):
                called.setdefault(plain(alias), column)
        return called

    def column_called(self, header: str) -> str | None:
        """The canonical column that a header means."""
        return self._called.get(plain(header))

    def known(self, cells: Sequence[str]) -> int:
        """How many different columns a row of headers names."""
        return len({column for cell in cells if (column := self.column_called(cell))})

    def meaning(self, column: str, said: str) -> str | None:
        """What a code of a column means; None where the profile does not know it."""
        codes = self.codes.get(column, {})
        found = codes.get(said.strip().casefold())
        return found if found is not None or column in _MEANINGS else said.strip()

    def named_for(self, file_name: str) -> bool:
        """Whether a file of this name is of this profile."""
        return any(fnmatchcase(file_name.casefold(), pattern.casefold()) for pattern in self.files)


class Profiles:
    """The profiles of some folders; of one that is in several, the last counts. Read anew whenever a file has changed."""

    def __init__(self, folders: Sequence[Path] = (PROFILES,)) -> None:
        self._folders = tuple(folders)
        self._kept: tuple[tuple[tuple[Path, int], ...], dict[str, Profile]] = ((), {})

    def all(self) -> tuple[Profile, ...]:
        """Every profile that a plan has. Raises ProfileInvalid."""
        return tuple(self._loaded().values())

    def of(self, plan: str, kind: FileKind = FileKind.MEMBERS, *, file_name: str = "") -> Profile:
        """The profile of a plan's file: by its name where one is named for it, else the plan's own, else the canonical one.

        Raises FileRefused."""
        if not _PLAN.fullmatch(plan):
            raise FileRefused("plan: write the plan's id in small letters, digits and hyphens")
        own = [p for p in self._loaded().values() if p.plan == plan and p.kind is kind]
        named = [p for p in own if file_name and p.named_for(file_name)]
        chosen = named or [p for p in own if p.id in (plan, f"{plan}.{kind}")] or own[:1]
        return chosen[0] if chosen else _canonical(kind, plan)

    def with_id(self, id: str, kind: FileKind) -> Profile:
        """The profile that a file was read with before; the plan's own where that one is gone. Raises FileRefused."""
        return self._loaded().get(id) or self.of(id.partition(".")[0], kind)

    def named_for(self, file_name: str) -> Profile:
        """The one profile that a file of this name is of. Raises FileRefused."""
        found = [p for p in self._loaded().values() if p.named_for(file_name)]
        if len(found) != 1:
            which = f"{len(found)} profiles are" if found else "no profile is"
            raise FileRefused(f"{which} named for this file; say of which plan it is, and what (members or authorisations)")
        return found[0]

    def _loaded(self) -> dict[str, Profile]:
        paths = [p for folder in self._folders for p in sorted(folder.glob("*.toml")) if p.name not in CANONICAL.values()]
        stamp = tuple((path, path.stat().st_mtime_ns) for path in paths)
        if stamp != self._kept[0]:
            self._kept = (stamp, {path.stem: profile_of(path.stem, path.read_text(encoding="utf-8"), path.name) for path in paths})
        return self._kept[1]


def profile_of(id: str, text: str, file: str) -> Profile:
    """A profile out of its TOML, completed by the canonical one of its kind. Raises ProfileInvalid."""
    own = _parsed(text, file)
    faults = list(_faults_of_kind(own))
    if not faults:
        kind = FileKind(own.get("kind", "members"))
        faults = list(_faults(own, _canonical(kind, "").columns))
    if faults:
        path, because = faults[0]
        raise ProfileInvalid(f"{file}, line {_line_of(text, path)}: {'.'.join(path)}: {because}")
    plan = own.get("plan", id.partition(".")[0])
    return _completed(id, plan, kind, own)


@lru_cache(maxsize=128)
def _canonical(kind: FileKind, plan: str) -> Profile:
    own = tomllib.loads((PROFILES / CANONICAL[kind]).read_text(encoding="utf-8"))
    return Profile(
        id=plan if kind is FileKind.MEMBERS else f"{plan}.{kind}", plan=plan, kind=kind, name=own["name"], version=own["version"],
        required=tuple(own["required"]), dates=tuple(own["dates"]), columns={c: tuple(a) for c, a in own["columns"].items()},
        codes=_folded(own["codes"]), drop_share_max=own.get("drop_share_max", 0.2),
    )  # fmt: skip


def _completed(id: str, plan: str, kind: FileKind, own: Mapping[str, Any]) -> Profile:
    base = _canonical(kind, plan)
    codes = {column: {**base.codes.get(column, {}), **said} for column, said in _folded(own.get("codes", {})).items()}
    return Profile(
        id=id,
        plan=plan,
        kind=kind,
        name=own.get("name", base.name),
        version=str(own.get("version", base.version)),
        required=tuple(own.get("required", base.required)),
        dates=tuple(own.get("dates", base.dates)),
        columns={c: (*own.get("columns", {}).get(c, ()), *aliases) for c, aliases in base.columns.items()},
        codes={**base.codes, **codes},
        files=tuple(own.get("files", ())),
        sheets=tuple(own.get("sheets", ())),
        full_roster=own.get("covers", "changes") == "full_roster",
        drop_share_max=float(own.get("drop_share_max", base.drop_share_max)),
    )


def _folded(codes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {column: {code.strip().casefold(): meaning for code, meaning in said.items()} for column, said in codes.items()}


# --- what can be wrong -----------------------------------------------------------------------------------------------------------

Fault = tuple[tuple[str, ...], str]
"""Where (as the keys that lead there), and what is wrong with a remedy."""


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        raise ProfileInvalid(f"{file}: not TOML: {broken}") from None


def _faults_of_kind(own: Mapping[str, Any]) -> Iterator[Fault]:
    if own.get("kind", "members") not in tuple(FileKind):
        yield ("kind",), f"write one of {', '.join(FileKind)}"


def _faults(own: Mapping[str, Any], columns: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in own.items():
        check = _CHECKS.get(key)
        if check is None:
            yield (key,), f"is not known; write one of {', '.join(_CHECKS)}"
        elif because := check(value):
            yield (key,), because
    if any(_CHECKS[key](value) for key, value in own.items() if key in _CHECKS):
        return
    for key in ("columns", "codes"):
        for column in own.get(key, {}):
            if column not in columns:
                yield (key, column), "is no column of ours; see canonical.toml for what they are called"
    for column in own.get("required", ()):
        if column not in columns:
            yield ("required",), f"{column!r} is no column of ours; see canonical.toml for what they are called"
    yield from _twice(own.get("columns", {}))
    for column, codes in own.get("codes", {}).items():
        for code, meaning in codes.items():
            if column in _MEANINGS and meaning not in _MEANINGS[column]:
                yield ("codes", column, code), f"means {meaning!r}; write one of {', '.join(_MEANINGS[column])}"


def _twice(columns: Mapping[str, Sequence[str]]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for column, aliases in columns.items():
        for alias in aliases:
            other = seen.setdefault(plain(alias), column)
            if other != column:
                yield ("columns", column), f"{alias!r} is called {other} too; a header means one column"


def _text(value: Any) -> str:
    return "" if isinstance(value, str | int) and str(value).strip() else "write a text"


def _texts(value: Any) -> str:
    return "" if isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value) else "write a list of texts"


def _one_of(*words: str) -> Callable[[Any], str]:
    return lambda value: "" if value in words else f"write one of {', '.join(words)}"


def _all_of(words: Iterable[str]) -> Callable[[Any], str]:
    wanted = tuple(words)
    return lambda value: _texts(value) or ("" if value and set(value) <= set(wanted) else f"write some of {', '.join(wanted)}")


def _share(value: Any) -> str:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    return "" if good else "write a share above 0 and up to 1, such as 0.2"


def _lists(value: Any) -> str:
    return "" if isinstance(value, dict) and not any(map(_texts, value.values())) else "write a list of headers for each column"


def _codes(value: Any) -> str:
    good = isinstance(value, dict) and all(
        isinstance(codes, dict) and all(isinstance(meaning, str) for meaning in codes.values()) for codes in value.values()
    )
    return "" if good else "write a table of codes for each column, such as [codes.tier]"


_CHECKS: Final[Mapping[str, Callable[[Any], str]]] = {
    "name": _text,
    "version": _text,
    "plan": lambda value: "" if isinstance(value, str) and _PLAN.fullmatch(value) else "write small letters, digits and hyphens",
    "kind": _one_of(*FileKind),
    "covers": _one_of("full_roster", "changes"),
    "files": _texts,
    "sheets": _texts,
    "required": _texts,
    "dates": _all_of(DATE_FORMS),
    "drop_share_max": _share,
    "columns": _lists,
    "codes": _codes,
}


def _line_of(text: str, path: Sequence[str]) -> int:
    """The line on which a key stands; that of its table where it cannot be found."""
    *tables, key = path
    header, at, table_at = ".".join(tables), 1, 1
    here = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            here = stripped.strip("[]").strip()
            if here == ".".join(path):
                return number
            table_at = number if here == header else table_at
        elif here == header and stripped.partition("=")[0].strip().strip("\"'") == key:
            return number
        at = number
    return table_at if tables else min(at, 1)


def plain(header: str) -> str:
    """A header for comparing: without case, blanks and punctuation."""
    return _PLAIN.sub("", header.casefold())
