"""The stays read model tells a stay as the core does, whatever was said in whatever order it arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.core import Recorded
from domain.stay.decider import Stay, evolve
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    order_of,
)
from eventlog.codec import Meta, StoredFact
from projections.stays import STAYS, StayRow

START = datetime(2026, 11, 2, tzinfo=UTC)
STAY = "stay-1"
DISPOSITIONS = ("", "01", "03", "20", "30", "zz")


@st.composite
def statements(draw: st.DrawFn) -> list[Any]:
    """What a hospital may say of one stay, each with its own time of saying, out of order and contradictory."""
    said = []
    for n in range(draw(st.integers(1, 7))):
        received_at = START + timedelta(hours=draw(st.integers(0, 96)))
        said_at = received_at - timedelta(hours=draw(st.integers(0, 60)))
        rank = {
            "order": order_of(said_at, received_at, f"c{n}", "d"),
            "received_at": received_at,
            "source": "mercy",
            "facility": draw(st.sampled_from(("", "Mercy", "Grace"))),
        }
        at = START + timedelta(hours=draw(st.integers(-48, 130)))
        maybe_at = draw(st.sampled_from((None, at)))
        stay_class = draw(st.sampled_from((None, StayClass.INPATIENT, StayClass.EMERGENCY, StayClass.UNKNOWN)))
        match draw(st.sampled_from(["admit", "discharge", "describe", "cancel", "reopen"])):
            case "admit":
                said.append(MemberAdmitted(**rank, stay_class=stay_class or StayClass.UNKNOWN, admitted_at=at))
            case "discharge":
                said.append(
                    MemberDischarged(
                        **rank,
                        discharged_at=at,
                        disposition=draw(st.sampled_from(DISPOSITIONS)),
                        disposition_said=draw(st.sampled_from(("", "home"))),
                        stay_class=stay_class,
                        admitted_at=draw(st.sampled_from((None, START))),
                    )
                )
            case "describe":
                disposition = draw(st.sampled_from((None, *DISPOSITIONS)))
                said.append(StayDescribed(**rank, stay_class=stay_class, discharged_at=maybe_at, disposition=disposition))
            case "cancel":
                said.append(AdmissionCancelled(**rank))
            case _:
                said.append(DischargeCancelled(**rank))
    return said


@settings(max_examples=300, deadline=None)
@given(statements())
def test_the_row_tells_the_stay_as_the_core_does(said: list[Any]) -> None:
    row: StayRow | None = None
    state = Stay()
    for n, fact in enumerate(said, start=1):
        recorded = Recorded(fact, f"e{n}", STAY, n, n, START, None, START, "source:mercy")
        meta = Meta(occurred_at=START, recorded_at=START, actor="source:mercy")
        row = STAYS.fold(STAY, row, StoredFact(recorded, "stay", 1, meta, b""))
        state = evolve(state, recorded)
    assert row is not None
    course = state.course()
    assert (row.status == "cancelled") == course.cancelled
    assert row.facility == course.facility and row.stay_class == course.stay_class.value
    standing = course.admission
    assert row.admitted_at == (standing.at if standing is not None else row.admitted_at)
    last = course.discharges[-1] if course.discharges else None
    stands = last is not None and last.stopped_by is None
    assert (row.status == "discharged") == (course.discharge is not None and not course.cancelled)
    if stands and last is not None and last.doubt:
        assert row.doubtful
    if stands and last is not None and not course.cancelled:
        assert (row.discharged_at, row.disposition, row.disposition_class) == (last.at, last.disposition, last.way.value)
