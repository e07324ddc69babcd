"""Old facts made readable: one function a step, from one schema version of a fact to the next, dict to dict.

A change that only adds a field with a default needs no step. Any other change of a fact: raise its version in the catalog, write
one step here, and add the golden file of the new version (`python -m tests.golden.write`). A new meaning is a new fact, not a step.
Steps see the personal fields too, unless the person was erased; they must bear their absence. They are never removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]
"""A fact's fields as JSON has them."""

Step = Callable[[Fields], Fields]

STEPS: dict[tuple[str, int], Step] = {}
"""By (stable name, version read): gives the fields of version + 1."""


def upcast(name: str, version: int, current: int, fields_: Fields, steps: Mapping[tuple[str, int], Step] = STEPS) -> Fields:
    """The fields as the current version has them. Raises KeyError where a step is missing; the codec refuses such a catalog."""
    for at in range(version, current):
        fields_ = steps[name, at](fields_)
    return fields_
