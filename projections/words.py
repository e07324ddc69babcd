"""Codes in words: what every sentence, list and account says in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_PROMISES = {
    "contact": "contact with the member",
    "in_person": "contact in person",
    "minimum": "least number of contacts",
    "assessment.begin": "begin the assessment",
    "assessment.complete": "complete the assessment",
    "assessment.again": "assess again",
    "care_plan.first": "write the care plan",
    "care_plan.copy": "give a copy of the care plan",
    "care_plan.clinical_review": "clinical review of the care plan",
    "care_plan.review": "review the care plan",
    "authorisation.renewal_request": "ask for the authorisation again",
    "authorisation.streamlined_request": "ask for the authorisation after the streamlined one",
    "authorisation.discontinuation": "look at the criteria of discontinuation",
    "referral.answer": "the plan's answer to the referral",
    "avoidable_visits": "say which visits could have been avoided",
    "referral_proposed": "refer the member anew, or dismiss it",
    "referral_denied": "decide how to go on after the plan's no",
    "provider_change": "settle the change of provider",
    "approval": "approve a record dated back",
    "conflict": "settle a conflict",
    "missing_from_roster": "missing from the plan's list: ask whether the assignment stands",
    "population": "confirm or reject a population of focus",
    "enrolment_steps": "finish the steps of the enrolment",
    "silence": "decide how to go on, nobody was reached",
    "authorisation_lapsed": "nothing is authorised any more",
}
"""What the follow-up owes, by rule; the others are their own words."""


CODES_KEPT = 4_096
"""Said so often that they are worth keeping."""


@lru_cache(CODES_KEPT)
def plain(code: str) -> str:
    """A code in words: `first_attempt` -> `first attempt`."""
    return code.replace("_", " ").replace("-", " ").strip()


@lru_cache(CODES_KEPT)
def promise(rule: str) -> str:
    """What is owed under a rule, in words: `transition.call_within_days` -> `transition: call within days`."""
    kind, _, what = rule.partition(".")
    if kind == "followup":
        return f"follow-up: {_of_follow_up(what)}"
    return f"{plain(kind)}: {plain(what.replace('.', ', '))}" if what else plain(kind)


def _of_follow_up(what: str) -> str:
    if what in _PROMISES:
        return _PROMISES[what]
    if what.startswith("overlay."):
        return f"contact for {plain(what.removeprefix('overlay.'))}"
    if what.startswith("rest_"):
        return f"look whether it still rests ({plain(what.removeprefix('rest_'))})"
    return plain(what.removeprefix("").replace(".", ", "))


def waited(said: str) -> str:
    """What a process waits for, in words: a rule's promise, or a plain code."""
    return promise(said) if "." in said else plain(said)


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
