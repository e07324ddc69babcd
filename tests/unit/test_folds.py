"""A stream folded at once is the stream folded fact by fact: for every stream of a year of the invented programme."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import msgspec
import pytest

from benchmarks.filling import lives
from domain.catalog import DECIDERS, FACTS
from domain.core import Recorded, StreamId
from eventlog.codec import Meta, spliced

CUTS = (0, 1, 7, 40)
"""Where a history is cut in two: what a kept state has, and what is new."""


@cache
def histories() -> dict[StreamId, tuple[Recorded, ...]]:
    types = {entry.name: entry.type for entry in FACTS}
    found: dict[StreamId, list[Recorded]] = defaultdict(list)
    for position, line in enumerate(lives(), start=1):
        stream, body, secret = ("".join(part) for part in (line.stream, line.body, line.secret))
        fact = msgspec.json.decode(spliced(body.encode(), secret.encode()) if secret else body, type=types[line.name])
        meta = msgspec.json.decode("".join(line.meta), type=Meta)
        told = found[stream]
        told.append(
            Recorded(
                fact, line.event_id, stream, len(told) + 1, position,
                meta.occurred_at, meta.said_at, meta.recorded_at, meta.actor, meta.message_id,
            )
        )  # fmt: skip
    return {stream: tuple(told) for stream, told in found.items()}


@pytest.mark.parametrize("kind", [kind for kind, decider in DECIDERS.items() if decider.at_once is not None])
def test_a_stream_folded_at_once_is_the_stream_folded_fact_by_fact(kind: str) -> None:
    decider = DECIDERS[kind]
    own = {stream: history for stream, history in histories().items() if stream.partition("-")[0] == kind}
    assert own
    for stream, history in own.items():
        state = decider.initial(stream)
        for recorded in history:
            state = decider.evolve(state, recorded)
        for cut in CUTS:
            kept = decider.evolve_all(decider.initial(stream), history[:cut])
            at_once = decider.evolve_all(kept, history[cut:])
            assert at_once == state, (stream, cut)
            assert repr(at_once) == repr(state), "what is kept by key is kept in the same order"


def test_every_kind_that_is_folded_at_once_is_a_long_one() -> None:
    assert {kind for kind, decider in DECIDERS.items() if decider.at_once} == {"episode", "outreach", "transition", "followup"}
