"""Codes in words: what every sentence, list and account says in the same way."""

from __future__ import annotations

from collections.abc import Iterable

_PROMISES = {
    "followup": "follow-up",
    "follow_up": "follow-up",
}


def plain(code: str) -> str:
    """A code in words: `first_attempt` -> `first attempt`."""
    return code.replace("_", " ").replace("-", " ").strip()


def promise(rule: str) -> str:
    """What is owed under a rule, in words: `transition.call_within_days` -> `transition: call within days`."""
    kind, _, what = rule.partition(".")
    kind = _PROMISES.get(kind, plain(kind))
    return f"{kind}: {plain(what.replace('.', ', '))}" if what else kind


def listed(codes: Iterable[str]) -> str:
    """Codes in words, as an enumeration: `a, b and c`."""
    said = [plain(code) for code in codes]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}" if said else ""


def several(count: int, one: str, many: str = "") -> str:
    """`1 goal`, `3 goals`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def because(reason: str) -> str:
    """A reason behind what it is the reason of; nothing where there is none."""
    return f" ({reason.replace('_', ' ')})" if reason else ""


def minutes(count: int) -> str:
    return f", {count} min" if count else ""


def approval(needed: bool) -> str:
    return "; counts once a supervisor approves it" if needed else ""


def whom(spoken_to: str) -> str:
    return "nobody" if spoken_to == "nobody" else f"the {plain(spoken_to)}"
