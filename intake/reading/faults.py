"""What is wrong with a value that somebody sent, and what to send instead: the validation library's own words are for programmers.

Over the API, in a referral's row and on the command line a fault reads alike. The value itself is never repeated, as it may name a
person; what is repeated are our own limits and lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

DAY, INSTANT, TIME = "2026-11-20", "2026-11-20T15:00:00-08:00", "15:05"
EXAMPLE: Final = "0192f3a4-7b1c-7d2e-8f3a-4b5c6d7e8f90"
NAME_SHOWN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
"""What a field that nobody knows may be called to be named: other names may be somebody's."""
HIDDEN: Final = "…"


@dataclass(frozen=True, slots=True)
class InputFault:
    """`field`: the path of what is wrong, such as person.birth_date or goals[0].text; `fault`: what is wrong with it; `remedy`:
    what to send instead."""

    field: str
    fault: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.fault}; {self.remedy}"


Context = Mapping[str, Any]
Said = tuple[str, str] | Callable[[Context], tuple[str, str]]
"""What is wrong and what to send instead."""


def fault_of(error: Mapping[str, Any], *, skip: int = 0) -> InputFault:
    """One error of the validation library in our words. `skip`: so many parts of its place say where the value was sent, not which
    field it is."""
    said = WORDS.get(error["type"], OTHERWISE)
    fault, remedy = said(error.get("ctx", {})) if callable(said) else said
    return InputFault(path_of(error["loc"][skip:]), fault, remedy)


def path_of(place: Sequence[str | int]) -> str:
    """A place as people write it: names with dots, elements of lists in brackets."""
    path = ""
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            name = part if NAME_SHOWN.fullmatch(part) else HIDDEN
            path += f".{name}" if path else name
    return path


# --- what to say of each kind of error -------------------------------------------------------------------------------------------


def _of_form(context: Context) -> tuple[str, str]:
    pattern = str(context.get("pattern", ""))
    if (found := _OF_A_STREAM.fullmatch(pattern)) is not None:
        return (
            f"is no {found[1]} id",
            f"write it as the lists show it, such as {found[1]}-{EXAMPLE}",
        )
    return FORMS.get(pattern, ("is not of the form that it must have", "write it as the description of the API shows it"))


_OF_A_STREAM = re.compile(r"\^([a-z]+)-\[0-9[Aa]-[Zz][Aa]-[Zz]-\]\{1,64\}\$")
_PLAN: Final = ("is not the name of a health plan", "write it in small letters, digits and hyphens, such as valley-health")
_CODE: Final = ("is not a code", "write small letters and underlines, such as plan_confirmed_by_phone")
FORMS: Final[Mapping[str, tuple[str, str]]] = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": _PLAN,
    r"^[a-z][a-z0-9_]{0,63}$": _CODE,
    r"^[a-z0-9_]{3,60}$": _CODE,
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$": ("is not a code", "write up to 40 letters, digits, hyphens and underlines, such as 2a"),
    r"^[a-z]{2,20}-[0-9A-Za-z-]{1,64}$": (
        "is no stream id", f"write it as the lists show it, such as episode-{EXAMPLE}",
    ),
    r"^[^\x00]{1,200}$": ("is no stream id", "write up to 200 characters, as the lists show it"),
    r"^[0-9a-f]{16}$": ("is no stranger id", "write its 16 characters as the list shows them"),
}  # fmt: skip
"""What the patterns of our fields mean."""


def _one_of(context: Context) -> tuple[str, str]:
    return "is none of the values that it may have", f"write one of {str(context.get('expected', '')).replace(chr(39), '')}"


def _own(context: Context) -> tuple[str, str]:
    """A rule of our own, which says both."""
    fault, _, remedy = str(context.get("error", "")).partition("; ")
    return fault or "is not right", remedy or "correct it, or leave it out"


def _too_short(unit: str) -> Callable[[Context], tuple[str, str]]:
    def said(context: Context) -> tuple[str, str]:
        least = context.get("min_length", 1)
        return "is empty" if least == 1 else "is too short", f"send at least {_counted(least, unit)}"

    return said


def _too_long(unit: str) -> Callable[[Context], tuple[str, str]]:
    return lambda context: ("is too long", f"send at most {_counted(context.get('max_length', 0), unit)}")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _beyond(limit: str, fault: str, within: str) -> Callable[[Context], tuple[str, str]]:
    return lambda context: (fault, f"send a number {within} {context.get(limit)}")


_TEXT: Final = ("is no text", "send it in quotation marks")
_WHOLE: Final = ("is no whole number", "send digits alone, such as 3")
_NUMBER: Final = ("is no number", "send one such as 1.5")
_TRUTH: Final = ("is neither true nor false", "send true or false")
_DAY: Final = ("is no day", f"write it as {DAY}")
_INSTANT: Final = ("is no instant", f"write day, time and zone, such as {INSTANT}")
_TIME: Final = ("is no time of day", f"write it as {TIME}")
_ID: Final = ("is no id", f"send it as you got it, such as {EXAMPLE}")
_OBJECT: Final = ("is no object", 'send one in braces, such as {"name": "value"}')
_LIST: Final = ("is no list", "send one in brackets, such as [1, 2]")
_NO_JSON: Final = ("is no JSON", "send one JSON object in UTF-8")
OTHERWISE: Final = ("is not right", "send it as the description of the API shows it (/v1/openapi.json)")

WORDS: Final[Mapping[str, Said]] = {
    "missing": ("is missing", "send it; the description of the API has an example (/v1/docs)"),
    "extra_forbidden": ("is no field that is known here", "leave it out, or see how it is called (/v1/docs)"),
    "invalid_key": ("has a name that is no text", "send names in quotation marks"),
    "json_invalid": _NO_JSON,
    "json_type": _NO_JSON,
    "recursion_loop": _NO_JSON,
    "recursion_depth_exceeded": ("has too much within each other", "send it flatter"),
    "string_type": _TEXT,
    "string_unicode": ("holds characters that are no text", "send UTF-8"),
    "string_not_ascii": ("holds other characters than ASCII", "send plain letters, digits and signs"),
    "string_too_short": _too_short("character"),
    "string_too_long": _too_long("character"),
    "string_pattern_mismatch": _of_form,
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE),
    "int_parsing_size": ("is too large a number", "send a smaller one"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number", "decimal_type", "decimal_parsing"), _NUMBER),
    "greater_than": _beyond("gt", "is too small", "above"),
    "greater_than_equal": _beyond("ge", "is too small", "of at least"),
    "less_than": _beyond("lt", "is too large", "below"),
    "less_than_equal": _beyond("le", "is too large", "of at most"),
    "multiple_of": lambda context: ("lies between two steps", f"send a multiple of {context.get('multiple_of')}"),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"), _DAY),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"), _INSTANT),
    "timezone_aware": ("does not say its time zone", f"write it with its zone, such as {INSTANT}"),
    "timezone_naive": ("says a time zone", "write it without one, such as 2026-11-20T15:00:00"),
    **dict.fromkeys(("time_type", "time_parsing"), _TIME),
    **dict.fromkeys(("uuid_type", "uuid_parsing", "uuid_version"), _ID),
    "enum": _one_of,
    "literal_error": _one_of,
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"), _OBJECT),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), _LIST),
    "too_short": _too_short("item"),
    "too_long": _too_long("item"),
    "none_required": ("must be left empty", "send null, or leave it out"),
    "value_error": _own,
    "assertion_error": _own,
}
"""By what the validation library calls an error. A test asks every field of the API for what it can get wrong."""
