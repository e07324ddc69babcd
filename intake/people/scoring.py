"""How much speaks for a message's being about a member, as a sum of points with the reason of each (messages.md 5, Match).

For people who decide: nothing is ever attached by a sum. The points are data (`matching.toml`), each version from a day on, so that
what was shown then can be explained later. Evidence names what was compared and never a value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

from domain.core import StreamId
from intake.people.matching import Candidate
from intake.reading.identifiers import name_key, names_agree
from intake.reading.notification import MemberKeys

PROPOSED_MAX: Final = 10
"""Members that are shown beside a message, the likeliest first."""


class Verdict(StrEnum):
    AGREES = "agrees"
    NEARLY = "nearly"
    DIFFERS = "differs"


NAMED_BY: Final = ("birth_date", "family_name", "given_name")
"""Where one of these differs nobody is likely, whatever the sum: twins share all the rest."""

NO_NEWS: Final = frozenset({"sex"})
"""Half of all people share it: nobody is asked a second time because it agrees, too."""

FEATURES: Final = ("birth_date", "family_name", "given_name", "sex", "phone", "zip")


@dataclass(frozen=True, slots=True)
class Weights:
    """The points of one version. Whoever reaches `propose` is shown, whoever reaches `strong` as likely."""

    name: str
    since: date
    propose: int
    strong: int
    points: Mapping[Verdict, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was compared, and what it speaks."""

    feature: str
    verdict: Verdict
    points: int


@dataclass(frozen=True, slots=True)
class Likely:
    """A member who may be whom the message is about."""

    member: StreamId
    score: int
    strong: bool
    weights: str
    evidence: tuple[Evidence, ...]

    @property
    def agreeing(self) -> tuple[str, ...]:
        """What agreed, by name."""
        return tuple(e.feature for e in self.evidence if e.points > 0)

    def is_news_to(self, decided: frozenset[str]) -> bool:
        """Whether something agrees on which two people were not kept apart: only then are they proposed again."""
        return not decided.issuperset(feature for feature in self.agreeing if feature not in NO_NEWS)

    def plain(self) -> dict[str, Any]:
        """As it is kept beside the message."""
        said = [[e.feature, e.verdict.value, e.points] for e in self.evidence]
        return {"member": self.member, "score": self.score, "strong": self.strong, "weights": self.weights, "evidence": said}


class WeightsInvalid(Exception):
    """The file of weights cannot be used. The text names the version, the field and the remedy."""


@cache
def versions() -> tuple[Weights, ...]:
    """All versions of `matching.toml`, the oldest first."""
    return read_weights(resources.files("intake.people").joinpath("matching.toml").read_text(encoding="utf-8"))


def weights_on(day: date) -> Weights:
    """The version that holds on a day; before the first one, the first."""
    known = versions()
    return next((version for version in reversed(known) if version.since <= day), known[0])


def read_weights(text: str) -> tuple[Weights, ...]:
    """The versions in a file. Raises WeightsInvalid."""
    found = []
    for table in tomllib.loads(text).get("version", []):
        name = table.get("name", "")
        if not isinstance(name, str) or not name or not isinstance(table.get("from"), date):
            raise WeightsInvalid("matching.toml: each [[version]] needs a name and a day (from = 2026-01-01)")
        points = {verdict: table.get(verdict.value, {}) for verdict in Verdict}
        for verdict, by_feature in points.items():
            unknown = sorted(set(by_feature) - set(FEATURES))
            sign = -1 if verdict is Verdict.DIFFERS else 1
            wrong = [feature for feature, n in by_feature.items() if not isinstance(n, int) or n * sign < 0]
            if unknown or wrong:
                said = f"matching.toml: {name}.{verdict.value}: {', '.join(unknown + wrong)}"
                raise WeightsInvalid(f"{said}: name one of {', '.join(FEATURES)}, with whole points, below zero where it differs")
        propose, strong = table.get("propose"), table.get("strong")
        if not (isinstance(propose, int) and isinstance(strong, int) and 0 < propose <= strong):
            raise WeightsInvalid(f"matching.toml: {name}: propose and strong must be whole sums, propose the smaller one")
        found.append(Weights(name, table["from"], propose, strong, points))
    if not found or found != sorted(found, key=lambda version: version.since):
        raise WeightsInvalid("matching.toml: write at least one [[version]], the oldest first")
    return tuple(found)


def shared(phones: Sequence[str], known: Candidate) -> str:
    """Of somebody's phones the one that a member has too; else the first."""
    return next((phone for phone in phones if phone in known.phones), phones[0] if phones else "")


def likely(said: MemberKeys, candidates: Iterable[Candidate], weights: Weights) -> tuple[Likely, ...]:
    """Those who may be meant, the likeliest first."""
    scored = [score(said, candidate, weights) for candidate in candidates]
    enough = [one for one in scored if one.score >= weights.propose]
    return tuple(sorted(enough, key=lambda one: (-one.score, one.member))[:PROPOSED_MAX])


def score(said: MemberKeys, candidate: Candidate, weights: Weights) -> Likely:
    """What speaks for the candidate and what against; of several members who are one person, the one of whom most speaks for it."""
    best: Likely | None = None
    for known in (candidate, *candidate.also):
        evidence = tuple(
            Evidence(feature, verdict, weights.points[verdict].get(feature, 0))
            for feature in FEATURES
            if (verdict := _COMPARED[feature](said, known)) is not None
        )
        total = sum(e.points for e in evidence)
        if best is None or total > best.score:
            firm = not any(e.verdict is Verdict.DIFFERS and e.feature in NAMED_BY for e in evidence)
            best = Likely(candidate.member, total, firm and total >= weights.strong, weights.name, evidence)
    assert best is not None
    return best


def _birth_date(said: MemberKeys, known: Candidate) -> Verdict | None:
    if said.birth_date is None or known.birth_date is None:
        return None
    if said.birth_date == known.birth_date:
        return Verdict.AGREES
    return Verdict.NEARLY if _slip(said.birth_date, known.birth_date) else Verdict.DIFFERS


def _slip(one: date, other: date) -> bool:
    """Whether two dates differ as dates do that somebody mistyped: day and month swapped, one digit, or two beside each other."""
    swapped = (one.year, one.month, one.day) == (other.year, other.day, other.month)
    a, b = one.strftime("%Y%m%d"), other.strftime("%Y%m%d")
    places = [n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    turned = len(places) == 2 and places[1] == places[0] + 1 and a[places[0]] == b[places[1]] and a[places[1]] == b[places[0]]
    return swapped or len(places) == 1 or turned


def _family_name(said: MemberKeys, known: Candidate) -> Verdict | None:
    agree = [names_agree(name, known.family_name) for name in (said.family_name, *said.other_family_names)]
    return Verdict.AGREES if True in agree else Verdict.DIFFERS if False in agree else None


def _given_name(said: MemberKeys, known: Candidate) -> Verdict | None:
    ours, theirs = name_key(known.given_name), name_key(said.given_name)
    if not ours or not theirs or said.newborn:
        return None
    if ours == theirs:
        return Verdict.AGREES
    return Verdict.NEARLY if ours.startswith(theirs) or theirs.startswith(ours) else Verdict.DIFFERS


def _sex(said: MemberKeys, known: Candidate) -> Verdict | None:
    ours, theirs = known.sex.upper()[:1], said.sex
    if ours not in ("F", "M") or theirs not in ("F", "M"):
        return None
    return Verdict.AGREES if ours == theirs else Verdict.DIFFERS


def _phone(said: MemberKeys, known: Candidate) -> Verdict | None:
    return None if not said.phone or not known.phones else Verdict.AGREES if said.phone in known.phones else Verdict.DIFFERS


def _zip(said: MemberKeys, known: Candidate) -> Verdict | None:
    return None if not said.zip or not known.zips else Verdict.AGREES if said.zip in known.zips else Verdict.DIFFERS


_COMPARED: Final = {
    "birth_date": _birth_date,
    "family_name": _family_name,
    "given_name": _given_name,
    "sex": _sex,
    "phone": _phone,
    "zip": _zip,
}
