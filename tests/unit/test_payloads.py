"""What one release writes for Temporal another must read, whichever JSON it was written by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import JSONPlainPayloadConverter, PayloadConverter

from domain.core import ProcessRef
from workers.payloads import PLAIN, OwnValues, Payloads
from workflows.shell import Outcome

VALUES = (
    ProcessRef("outreach", "5d3c"),
    Outcome(position=7, effects=("rung/1#1", "rung/2#1"), wait_seconds=12.5, waiting_for="answer", done=False),
    Outcome(position=7),
    datetime(2026, 3, 8, 9, 59, 59, 123_456, tzinfo=UTC),
    datetime(2026, 3, 8, tzinfo=UTC),
    41,
    True,
    0.25,
    "né",
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!s:.20}")
def test_each_of_both_converters_reads_what_the_other_wrote(value: Any) -> None:
    own, plain = OwnValues(), JSONPlainPayloadConverter()
    for writing, reading in ((own, plain), (plain, own), (own, own)):
        written = writing.to_payload(value)
        assert written is not None and written.metadata["encoding"] == PLAIN.encode()
        assert reading.from_payload(written, type(value)) == value


def test_other_values_are_left_to_the_library() -> None:
    for value in (None, b"bytes", ["a", 1], {"a": 1}):
        (written,) = Payloads().to_payloads([value])
        assert PayloadConverter.default.from_payload(written) == value
        assert Payloads().from_payload(written) == value


def test_a_payload_of_another_shape_is_refused_without_its_text() -> None:
    wrong = Payload(metadata={"encoding": PLAIN.encode()}, data=b'{"kind": "secret"}')
    with pytest.raises(RuntimeError, match=r"^not a ProcessRef$"):
        OwnValues().from_payload(wrong, ProcessRef)
