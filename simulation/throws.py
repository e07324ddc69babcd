"""Dice that always fall the same way for the same seed and the same question, in whatever order they are asked.

So two runs under different policies, or with more staff, throw alike wherever they ask alike: what differs is what was changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

FACES = 2**64
ASKED_AGAIN_MAX = 50_000
"""A morning asks what the morning before asked."""


@dataclass(frozen=True, slots=True)
class Throws:
    """The dice of one run."""

    seed: int

    @lru_cache(maxsize=ASKED_AGAIN_MAX)  # noqa: B019 (dice are few, and live as long as their run)
    def of(self, *about: object) -> float:
        """From 0 up to, not including, 1."""
        asked = "/".join(map(str, (self.seed, *about)))
        return int.from_bytes(blake2b(asked.encode(), digest_size=8).digest(), "big") / FACES

    def one_of(self, shares: dict[str, float], *about: object) -> str:
        """A name, each as often as its share says."""
        left = self.of(*about)
        for name, share in shares.items():
            left -= share
            if left < 0:
                return name
        return next(reversed(shares))

    def times(self, per_year: float, until_days: float, *about: object) -> list[float]:
        """The days from 0 on at which something happens that comes so often a year, by chance alone."""
        found: list[float] = []
        day = 0.0
        while per_year > 0:
            day -= math.log(1 - self.of(*about, len(found))) * 365 / per_year
            if day >= until_days:
                break
            found.append(day)
        return found
