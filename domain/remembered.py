"""What was worked out of the very same immutable things is not worked out again.

A plan is made anew after every fact, and most of what it looks at is what it was before. States are immutable and keep the parts
that a fact did not touch, so that the same object means the same content; nothing is ever compared deeply.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import is_
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class Same(Generic[Found]):
    """Equal to what names the very same objects; `work` is what to do where nothing is known of them yet.

    As long as an answer is remembered, so are the objects: none of them can be another by then."""

    __slots__ = ("_hash", "of", "work")

    def __init__(self, work: Callable[[], Found], *of: Any) -> None:
        self.of, self.work = of, work
        self._hash = hash(tuple(map(id, of)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and len(self.of) == len(other.of) and all(map(is_, self.of, other.of))


def memory(answers_max: int) -> Callable[[Same[Found]], Found]:
    """Answers by what they were made of, the latest asked for; each caller has its own."""

    @lru_cache(maxsize=answers_max)
    def answer(same: Same[Found]) -> Found:
        return same.work()

    return answer
