"""What was worked out of the same things is not worked out again.

A plan looks at the whole of its state every time and never at what came last (design.md 3). Most of what it looks at is what it was
at the last plan, and is not looked at anew: a `Notebook` goes with a process's state from fact to fact and holds, by name, what the
plans found so far. A plan asks through its alarm, `alarm.as_before(name, work, *of)`. What was found stands as long as

- everything in `of`, all that `work` looks at besides the clock, equals what it was then, and
- no instant has come since with which `work` compared the clock. The alarm knows them: it keeps them for the plan's wake-up
  anyway. Whoever read `now` itself has an answer for that very instant.

So a fact that comes late, is corrected or withdrawn needs no special code: `of` is another then. With a plain `Alarm` everything is
worked out from nothing, and a property test holds that both give the same plan on every history.

`memory` does likewise, by identity, for what members share and no clock turns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from functools import lru_cache
from operator import is_
from typing import Any, Generic, NamedTuple, TypeVar

from domain.core import Alarm, Instant

Found = TypeVar("Found")

# --- of one process, by name ---------------------------------------------------------------------------------------------------

PAGES_MAX = 2_000
"""A notebook that is full begins anew."""

NEVER = datetime.max.replace(tzinfo=UTC)


class _Page(NamedTuple):
    """What was found of something at `since`: it stands until `until`, or for that instant alone. `at`, `fixed`: what the alarm was
    told meanwhile."""

    since: Instant
    until: Instant
    of: tuple[object, ...]
    found: Any
    at: Instant | None
    fixed: bool


class Notebook:
    """What the plans of one process found, by name. Nothing depends on it but how long a plan takes."""

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[Hashable, _Page] = {}


class NotingAlarm(Alarm):
    """An alarm with a notebook."""

    __slots__ = ("_pages",)

    def __init__(self, now: Instant, notebook: Notebook) -> None:
        super().__init__(now)
        self._pages = notebook.pages

    def as_before(self, name: Hashable, work: Callable[[], Found], *of: object) -> Found:
        page = self._pages.get(name)
        if page is not None:
            since, until, page_of, found, at, fixed = page
            if (since <= self._now < until or since == self._now) and page_of == of:
                if at is not None and (self.at is None or at < self.at):
                    self.at = at
                if fixed:
                    self.fixed = True
                return found  # type: ignore[no-any-return]
        return self._found(name, work, of)

    def _found(self, name: Hashable, work: Callable[[], Found], of: tuple[object, ...]) -> Found:
        at, fixed = self._cleared()
        found = work()
        self._note(name, of, found)
        if fixed:
            self.fixed = True
        if at is not None and (self.at is None or at < self.at):
            self.at = at
        return found

    def _cleared(self) -> tuple[Instant | None, bool]:
        """What the alarm was told so far, which it is not any more."""
        told = self.at, self.fixed
        self.at, self.fixed = None, False
        return told

    def _note(self, name: Hashable, of: tuple[object, ...], found: object) -> None:
        if len(self._pages) >= PAGES_MAX:
            self._pages.clear()
        until = self._now if self.fixed else NEVER if self.at is None else self.at
        self._pages[name] = _Page(self._now, until, of, found, self.at, self.fixed)


# --- shared, by identity -------------------------------------------------------------------------------------------------------


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
