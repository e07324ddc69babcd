"""Silent feeds, in the hours in which something is expected of them; and messages for which nobody was found in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from intake.senders import measured
from intake.senders.feeds import FeedWatch, expected_between
from intake.senders.notices import Kind, UnknownNotice
from intake.senders.sources import Source, Sources
from intake.store.inbox import Status
from tests.intake.conftest import World
from tests.intake.making import MARISOL, adt
from workers.telemetry.metrics import as_numbers


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


CLINIC = Source.model_validate({
    "name": "valley-general", "addresses": ["127.0.0.0/8"], "expected_every_minutes": 90, "expected_from": "08:00:00",
    "expected_until": "18:00:00", "expected_on": ["mon", "tue", "wed", "thu", "fri"], "unmatched_days": 30,
})  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [
        (utc(2026, 3, 10, 16), utc(2026, 3, 10, 18), 2.0),  # Tuesday, 09:00 to 11:00 Pacific
        (utc(2026, 3, 11, 0, 30), utc(2026, 3, 11, 15, 30), 1.0),  # 17:30 to 08:30: half an hour each
        (utc(2026, 3, 14, 1), utc(2026, 3, 16, 16), 1.0),  # Friday 18:00 to Monday 09:00
        (utc(2026, 3, 6, 18), utc(2026, 3, 9, 18), 11.0),  # over the clock change: Friday 10:00 to 18:00, Monday 08:00 to 11:00
        (utc(2026, 3, 10, 18), utc(2026, 3, 10, 16), 0.0),
    ],
)
def test_silence_is_counted_in_expected_hours(begin: datetime, end: datetime, hours: float) -> None:
    assert expected_between(CLINIC, begin, end) == timedelta(hours=hours)


def test_a_silent_feed_is_noticed_and_its_end_too(world: World) -> None:
    watch = FeedWatch(world.door.inbox, world.door.notices, Sources((CLINIC, Source(name="anytime"))), world.clock)
    world.clock.advance(utc(2026, 3, 10, 16) - world.clock.now())  # 09:00
    world.deliver(adt("A60", control_id="FIRST"))
    assert [feed.silent for feed in watch.look(world.clock.now())] == [False, False]
    world.clock.advance(timedelta(minutes=90))
    watch.look(world.clock.now())
    assert world.door.notices.open() == ()
    world.clock.advance(timedelta(minutes=1))
    for _ in range(3):
        feeds = watch.look(world.clock.now())
    assert [(feed.source, feed.silent) for feed in feeds] == [("valley-general", True), ("anytime", False)]
    (notice,) = world.door.notices.open()
    assert (notice.kind, notice.source_id, notice.since, notice.times) == ("silent_feed", "valley-general", utc(2026, 3, 10, 16), 3)
    assert notice.said == "valley-general is silent: a message is expected every 90 minutes" and "Call the sender" in notice.remedy

    world.deliver(adt("A60", control_id="BACK"))
    watch.look(world.clock.now())
    assert world.door.notices.open() == ()
    (ended,) = world.door.notices.all()
    assert (ended.ended_at, ended.ended_by) == (world.clock.now(), "system")

    world.clock.advance(utc(2026, 3, 11, 0) - world.clock.now())
    world.deliver(adt("A60", control_id="EVENING"))  # 17:00: an hour of today is left
    world.clock.advance(timedelta(hours=15, minutes=20))  # 08:20
    assert not watch.look(world.clock.now())[0].silent
    world.clock.advance(timedelta(minutes=15))
    assert watch.look(world.clock.now())[0].silent


def test_a_feed_that_never_sent_is_silent_from_when_we_knew_of_it(world: World) -> None:
    watch = FeedWatch(world.door.inbox, world.door.notices, Sources((CLINIC,)), world.clock)
    world.clock.advance(utc(2026, 3, 10, 16) - world.clock.now())
    watch.look(world.clock.now())
    world.clock.advance(timedelta(hours=2))
    (feed,) = watch.look(world.clock.now())
    assert (feed.silent, feed.heard_at, feed.silent_for) == (True, None, timedelta(hours=2))


def test_nobody_found_in_time_is_ignored_with_a_trace(world: World) -> None:
    watch = FeedWatch(world.door.inbox, world.door.notices, Sources((CLINIC,)), world.clock)
    (row,) = world.deliver(adt("A01", admitted="20260310120000"))
    assert row.status is Status.UNMATCHED
    world.clock.advance(timedelta(days=29, hours=23))
    assert watch.expire(world.clock.now()) == 0
    world.clock.advance(timedelta(hours=2))
    assert (watch.expire(world.clock.now()), watch.expire(world.clock.now())) == (1, 0)
    shown = world.door.inbox.show(row.inbox_id)
    assert (shown.row.status, shown.row.reason) == (Status.IGNORED, "nobody_found_in_time")
    assert (shown.transitions[-1].by, shown.transitions[-1].at) == ("system", world.clock.now())
    assert shown.raw is not None


def test_a_person_ends_a_notice_and_old_refusals_end_by_themselves(world: World) -> None:
    notices, now = world.door.notices, world.clock.now()
    assert notices.note(Kind.MISSED_EVENTS, "valley-general", "3 of subscription s-1", now)
    assert not notices.note(Kind.MISSED_EVENTS, "valley-general", "3 of subscription s-1", now)
    assert notices.note(Kind.REFUSED_SENDER, "", "certificate expired", now)
    missed, refused = notices.open()
    notices.end_one(missed.notice_id, now, by="staff-rosa")
    with pytest.raises(UnknownNotice):
        notices.end_one(missed.notice_id, now, by="staff-rosa")
    assert notices.open() == (refused,)
    assert notices.end_old_refusals(now + timedelta(hours=23)) == 0
    assert notices.end_old_refusals(now + timedelta(hours=25)) == 1
    assert notices.open() == ()


def test_test_messages_and_codes_that_the_registry_does_not_know_are_noticed_once(world: World) -> None:
    world.register(MARISOL)
    rows = world.deliver(
        adt("A01", control_id="T", processing="T"), adt("A01", control_id="D", processing="D"),
        adt("A04", control_id="ER", stay_class="ER"), adt("A03", control_id="HM", discharged="20260310100000", disposition="HM"),
        adt("A08", control_id="FF", stay_class="ff"), adt("A04", control_id="IN", stay_class="I"),
    )  # fmt: skip
    assert [row.reason for row in rows[:3]] == ["not_production", "not_production", "registration_class_unknown"]
    assert sorted(notice.said for notice in world.door.notices.open()) == [
        "valley-general registers inpatients: an A04 with an inpatient class (PV1-2)",
        "valley-general sends test messages (MSH-11 is T or D)",
        "valley-general writes a class (PV1-2) that the registry does not know",
        "valley-general writes a disposition (PV1-36) that the registry does not know",
    ]
    assert all(notice.times == 1 and notice.remedy for notice in world.door.notices.open())


def test_how_soon_a_source_is_answered_and_how_late_it_tells_are_metrics(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    monkeypatch.setattr(measured, "_acks", meter.create_histogram("acks"))
    monkeypatch.setattr(measured, "_lags", meter.create_histogram("lags"))
    world.register(MARISOL)
    world.deliver(
        adt("A01", control_id="IN", admitted="20260310160000"), adt("A03", control_id="OUT", discharged="20260310162955"),
        adt("A60", control_id="NO-STAY"),
    )  # fmt: skip
    numbers = as_numbers(reader.get_metrics_data())
    said = f"{{source={world.source.name}}}"
    assert numbers[f"acks.count{said}"] == 3 and 0 < numbers[f"acks.sum{said}"] < 30
    assert (numbers[f"lags.count{said}"], numbers[f"lags.sum{said}"]) == (2, 1_805), "half an hour, and five seconds"
