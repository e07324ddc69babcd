"""What P1 and P2 measure is the real thing: sealed facts in chains that hold, acknowledged once; whole commands, and conflicts."""

from __future__ import annotations

from benchmarks.appends import KEY, MEMBERS_EACH, Load, appends, callers
from benchmarks.ground import Databases
from eventlog.opening import open_log
from tests.log.conftest import created_for_each
from workers.programme import the_programme

created = created_for_each()


def test_what_is_measured_is_stored_sealed_and_chained(created: str) -> None:
    databases = Databases(created, created + "_keys")
    with callers(databases, processes=1, each=2) as one:
        rates = [
            appends(one, load, seconds=0.2)
            for load in (
                Load(2, "direct"),
                Load(2, "grouped"),
                Load(2, "grouped", whole=True),
                Load(2, "grouped", whole=True, hot=True),
                Load(1, "grouped"),
                Load(1, "library"),
            )
        ]
    assert all(rate.a_second > 0 and rate.p99 >= rate.p50 > 0 for rate in rates)
    with open_log(created, created + "_keys", master_key=KEY, facts=the_programme().facts) as opened:
        assert list(opened.log.verify()) == []
        ((events, sealed, commands),) = opened.log.recorder.rows(
            "SELECT count(*), count(sealed), (SELECT count(*) FROM log.commands) FROM log.events WHERE stream LIKE 'member-%%'", ()
        )
    told = sum(rate.a_second * 0.2 for rate in rates[:-1])
    assert events == sealed == commands
    assert events >= 2 * MEMBERS_EACH + told, "what was acknowledged is there, and what came before it counted"
