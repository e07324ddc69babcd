"""Every law for the plan of the year after the enrolment: the tests of `test_laws.py`, in a file of their own so that two workers
can share them."""

from __future__ import annotations

from tests.properties.test_laws import (
    test_catch_up,
    test_consent,
    test_final,
    test_of_each_plan,
    test_oracle,
    test_order,
    test_punctual,
    test_remembered,
    test_the_generators_cover_what_they_are_for,
)

KINDS = ("followup",)

__all__ = [
    "test_catch_up",
    "test_consent",
    "test_final",
    "test_of_each_plan",
    "test_oracle",
    "test_order",
    "test_punctual",
    "test_remembered",
    "test_the_generators_cover_what_they_are_for",
]
