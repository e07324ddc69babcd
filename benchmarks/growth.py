"""P15: what an append, a load and the way to a visible row cost with ten times the events and members in the database.

Two databases side by side, filled with lives as they are in production, one with ten times as many; each measurement is made in the
one and in the other in turns, by the same parts as P1, P4 and P7.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import appends, long_life, reading, visible
from benchmarks.filling import fill, lives
from benchmarks.ground import Databases, Ground
from benchmarks.table import Measured, Row, at_most, in_turns
from eventlog.clock import FixedClock, SystemClock

COPIES = 2
"""Of the lived year, in the smaller database."""

TIMES = 10
GROWTH_MAX = 1.3
FEW = "with a tenth of them"

CALLERS = 16
APPEND_SECONDS = 1.5
LOADS = 60
VISIBLE_A_SECOND = 300
"""Less than P7's: two databases, each with its projector, share the machine meanwhile."""


def rows(ground: Ground) -> Iterator[Row]:
    with ground.databases() as few, ground.databases() as many:
        once = fill(few.url, few.keys_url, count=COPIES * len(lives()))
        ten_times = fill(many.url, many.keys_url, count=TIMES * COPIES * len(lives()))
        assert ten_times.members == TIMES * once.members
        kept = f"{ten_times.events:,} events of {ten_times.members:,} members in the log"
        for id, what, unit, measure in (
            ("P15-append", f"one of {CALLERS} callers' appends, direct", "µs", _appends),
            ("P15-load", f"load and fold of {long_life.EVENTS} events, p50", "ms", _loads),
            ("P15-visible", f"append -> visible row at {VISIBLE_A_SECOND}/s, p99", "ms", _visible),
        ):
            cost, cost_of_few = measure(few, many)
            yield at_most(id, f"{what}; {kept}", cost, unit, FEW, cost_of_few, GROWTH_MAX, "that")


def _appends(few: Databases, many: Databases) -> tuple[Measured, Measured]:
    load = appends.Load(CALLERS, "direct")
    with appends.callers(few, processes=1, each=CALLERS) as in_few, appends.callers(many, processes=1, each=CALLERS) as in_many:
        return in_turns(
            lambda: 1e6 / appends.appends(in_many, load, seconds=APPEND_SECONDS).a_second,
            lambda: 1e6 / appends.appends(in_few, load, seconds=APPEND_SECONDS).a_second,
        )


def _loads(few: Databases, many: Databases) -> tuple[Measured, Measured]:
    facts, clock = long_life.lived().whole(), FixedClock(SystemClock().now())
    with long_life.open_for(few) as in_few, long_life.open_for(many) as in_many:
        loads = []
        for opened in (in_many, in_few):
            streams = long_life.write(long_life.gateway_for(opened, clock), clock, facts)
            loads.append(reading.fresh_load(long_life.gateway_for(opened, clock), streams))
        load_many, load_few = loads
        return in_turns(lambda: reading.p50_ms(load_many, LOADS), lambda: reading.p50_ms(load_few, LOADS))


def _visible(few: Databases, many: Databases) -> tuple[Measured, Measured]:
    with visible.ours(few, a_second=VISIBLE_A_SECOND) as in_few, visible.ours(many, a_second=VISIBLE_A_SECOND) as in_many:
        return in_turns(lambda: in_many().p99, lambda: in_few().p99)
