"""Makes one deterministic object of any fact class from its type hints, and describes the class: what golden files hold.

Two examples a class: `full` has a value in every field, `bare` only where the class demands one. Instants grow from field to field,
so that windows are in order.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from domain.core import personal_fields

FIRST_INSTANT = datetime(2026, 11, 2, 17, 30, 15, 250_000, tzinfo=UTC)
FIRST_DAY = date(2026, 2, 3)


def full(kind: type) -> Any:
    return _Maker().make(kind, kind.__name__)


def bare(kind: type) -> Any:
    return _Maker().make(kind, kind.__name__, bare=True)


class _Maker:
    """Counts what it made, so that two fields never hold the same instant."""

    def __init__(self) -> None:
        self.made = 0

    def make(self, hint: Any, name: str, *, bare: bool = False) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self.make(next(a for a in arguments if a is not type(None)), name)
        if origin is tuple:
            inner = (arguments[0], arguments[0]) if len(arguments) == 2 and arguments[1] is Ellipsis else arguments
            return tuple(self.make(a, name) for a in inner)
        if origin is frozenset:
            return frozenset({self.make(arguments[0], name)})
        if origin in (dict, Mapping):
            return {self.make(arguments[0], name): self.make(arguments[1], name)}
        if origin is typing.Literal:
            return arguments[0]
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            hints = typing.get_type_hints(hint)
            wanted = [f for f in dataclasses.fields(hint) if not bare or _required(f)]
            return hint(**{f.name: self.make(hints[f.name], f.name) for f in wanted})
        if isinstance(hint, type) and issubclass(hint, Enum):
            return list(hint)[-1]
        self.made += 1
        return self._plain(hint, name)

    def _plain(self, hint: Any, name: str) -> Any:
        plain: dict[Any, Any] = {
            str: f"{name} \u00e9\u4e2d",
            int: self.made,
            bool: True,
            float: 1.5,
            bytes: b"\x00\xff",
            Decimal: Decimal("1.50"),
            datetime: FIRST_INSTANT + timedelta(hours=self.made),
            date: FIRST_DAY + timedelta(days=self.made),
            time: time(9, 30),
            timedelta: timedelta(hours=36),
            UUID: UUID(int=self.made),
        }
        assert hint in plain, f"{name}: no example for a field of type {hint}; add one here, or use a type that is known"
        return plain[hint]


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


# -- the description


def described(kind: type) -> dict[str, dict[str, Any]]:
    """Every field of a class: its type with all that is nested in it, whether it is personal, and its default if it has one."""
    hints, personal = typing.get_type_hints(kind), personal_fields(kind)
    found: dict[str, dict[str, Any]] = {}
    for field in dataclasses.fields(kind):
        found[field.name] = {"type": _type(hints[field.name])}
        if field.name in personal:
            found[field.name]["personal"] = True
        if not _required(field):
            found[field.name]["default"] = repr(field.default) if field.default is not dataclasses.MISSING else "made"
    return found


def _type(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"one of": [_type(a) for a in arguments]}
    if origin is not None:
        name = origin.__name__ if isinstance(origin, type) else str(origin)
        return {name: ["..." if a is Ellipsis else _type(a) if not isinstance(a, str | int) else a for a in arguments]}
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return {"fields": described(hint)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"values": [str(member.value) for member in hint]}
    return "None" if hint is type(None) else hint.__name__


def broken_by(was: Any, now: Any) -> str | None:
    """Why a class described as `now` may not be written under the version of one described as `was`; None if it may.

    Allowed: another value of an enumeration, another field that has a default. Everything else needs a new version and a step.
    """
    if isinstance(was, dict) and isinstance(now, dict):
        if set(was) == set(now) == {"values"}:
            gone = [v for v in was["values"] if v not in now["values"]]
            return f"value {gone[0]!r} is gone" if gone else None
        if set(was) == set(now) == {"fields"}:
            return fields_broken_by(was["fields"], now["fields"])
        if set(was) == set(now) and len(was) == 1:
            (key,) = was
            if len(was[key]) == len(now[key]):
                return next((why for w, n in zip(was[key], now[key], strict=True) if (why := broken_by(w, n))), None)
    return None if was == now else f"its type changed from {was} to {now}"


def fields_broken_by(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    for name, before in was.items():
        after = now.get(name)
        if after is None:
            return f"field {name} is gone"
        if before.get("personal") != after.get("personal"):
            return f"field {name} is sealed otherwise"
        if "default" in before and "default" not in after:
            return f"field {name} has lost its default"
        if before.get("default") != after.get("default") and "default" in before:
            return f"field {name} has another default"
        if why := broken_by(before["type"], after["type"]):
            return f"field {name}: {why}"
    for name, after in now.items():
        if name not in was and "default" not in after:
            return f"field {name} is new and has no default"
    return None
