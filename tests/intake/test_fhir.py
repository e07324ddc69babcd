"""FHIR message bundles at the door (messages.md 2.1, 2.2, 5.1; case 26)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.stay.facts import StayClass
from intake.listening.mllp import FRAME_BYTES_MAX
from intake.listening.receive_fhir import receive_bundle
from intake.reading import fhir
from intake.reading.forms import NotRead, read_stored
from intake.reading.notification import Ignored, Kind, Notification, VisitKeyBasis
from intake.senders.sources import Facility, Source
from intake.store.inbox import CannotStore, Status
from tests.intake.conftest import NOW, World
from tests.intake.making import MARISOL, Person

HEADERS = {"content-type": "application/fhir+json"}
SOURCE = Source(
    name="grace", facilities=(Facility(id="grace", name="Grace", aliases=("GRACE HOSPITAL",)),), id_authorities={"urn:cin": "cin"}
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def bundle(
    event: str,
    *,
    id: str = "b1",
    timestamp: str = "2026-03-10T15:35:00-07:00",
    status: str = "in-progress",
    start: str = "2026-03-08T09:00:00-07:00",
    end: str = "",
    visit: str = "V-1",
    person: Person = MARISOL,
    encounter: dict[str, Any] | None = None,
    patient: dict[str, Any] | None = None,
    more: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A message bundle as the guide has it; `encounter` and `patient` add to or replace what stands in those resources."""
    born = f"{person.born[:4]}-{person.born[4:6]}-{person.born[6:]}"
    return {
        "resourceType": "Bundle", "id": id, "type": "message", "timestamp": timestamp,
        "entry": [
            {"fullUrl": "urn:uuid:h", "resource": {
                "resourceType": "MessageHeader", "id": f"h-{id}", "eventCoding": {"code": f"notification-{event}"},
                "source": {"endpoint": "https://grace.example"}, "focus": [{"reference": "urn:uuid:e"}]}},
            {"fullUrl": "urn:uuid:e", "resource": {
                "resourceType": "Encounter", "id": "e", "identifier": [{"value": visit}], "status": status,
                "class": {"code": "IMP"},
                "subject": {"reference": "urn:uuid:p"}, "period": {"start": start, **({"end": end} if end else {})},
                "serviceProvider": {"display": "GRACE HOSPITAL"}, **(encounter or {})}},
            {"fullUrl": "urn:uuid:p", "resource": {
                "resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:cin", "value": person.cin}],
                "name": [{"family": person.family, "given": [person.given]}], "birthDate": born, **(patient or {})}},
            *({"fullUrl": f"urn:uuid:m{n}", "resource": resource} for n, resource in enumerate(more)),
        ],
    }  # fmt: skip


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


def said(body: dict[str, Any], source: Source = SOURCE) -> Notification:
    read = fhir.read(raw(body))
    assert isinstance(read, fhir.Bundle), read
    found = fhir.normalise(read, source, NOW)
    assert isinstance(found, Notification), found
    return found


# --- what it says --------------------------------------------------------------------------------------------------------------


def test_a_discharge_says_when_from_where_and_where_to() -> None:
    home = {"hospitalization": {"dischargeDisposition": {"coding": [{"system": "http://hl7.org/nubc-UB92", "code": "1"}]}}}
    found = said(bundle("discharge", status="finished", end="2026-03-10T15:30:00-07:00", encounter=home))
    assert found.kind is Kind.DISCHARGED and found.occurred is not None and found.occurred.at == utc(2026, 3, 10, 22, 30)
    assert found.disposition is not None and found.disposition.code == "01"
    assert (found.facility, found.visit.value, found.stay_class) == ("grace", "V-1", "inpatient")
    assert found.said_at == utc(2026, 3, 10, 22, 35)
    assert (found.member.cins, found.member.family_name, found.member.birth_date) == (
        (MARISOL.cin,), MARISOL.family, date(1961, 4, 12),
    )  # fmt: skip


def test_an_end_in_an_admission_ends_nothing() -> None:
    """The guide's own examples set period.end while the encounter is in progress."""
    found = said(bundle("admit", end="2026-03-08T10:00:00-07:00"))
    assert found.kind is Kind.ADMITTED and found.discharged is None


def test_a_day_stays_a_day() -> None:
    found = said(bundle("discharge", status="finished", end="2026-03-10"))
    assert found.occurred is not None and found.occurred.at is None and "day_only" in found.flags
    month = said(bundle("discharge", status="finished", end="2026-03"))
    assert month.occurred is not None and month.occurred.at == utc(2026, 3, 10, 22, 35) and "day_missing" in month.flags


def test_a_day_ends_where_the_facility_is() -> None:
    houses = (
        Facility(id="grace", name="Grace", aliases=("GRACE HOSPITAL",), timezone="America/Denver"),
        Facility(id="b", name="B"),
    )
    found = said(bundle("discharge", status="finished", end="2026-03-10"), SOURCE.model_copy(update={"facilities": houses}))
    assert found.occurred is not None and found.occurred.ends(found.zone) == utc(2026, 3, 11, 6)


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_an_encounter_that_never_was_is_a_cancelled_admission(status: str) -> None:
    assert said(bundle("admit", status=status)).kind is Kind.ADMISSION_CANCELLED


@pytest.mark.parametrize(
    ("event", "status", "kind"),
    [
        *(("discharge", status, Kind.DISCHARGED) for status in ("in-progress", "planned", "cancelled", "entered-in-error")),
        ("transfer", "cancelled", Kind.MOVED), ("admit", "planned", Kind.ADMITTED), ("admit", "finished", Kind.ADMITTED),
    ],
)  # fmt: skip
def test_the_event_outranks_a_status_that_contradicts_it(event: str, status: str, kind: Kind) -> None:
    found = said(bundle(event, status=status, end="2026-03-10T15:30:00-07:00"))
    assert found.kind is kind and "status_contradicts_event" in found.flags
    assert said(bundle(event, status="unknown")).flags == said(bundle(event, status="")).flags


def test_a_number_hides_in_the_coverage_of_the_patient_only() -> None:
    own = {"resourceType": "Coverage", "subscriberId": "98765432D", "beneficiary": {"reference": "urn:uuid:p"}}
    mothers = {**own, "relationship": {"coding": [{"code": "child"}]}}
    assert said(bundle("admit", patient={"identifier": []}, more=(own,))).member.cins == ("98765432D",)
    assert said(bundle("admit", patient={"identifier": []}, more=(mothers,))).member.cins == ()


def test_a_social_security_number_is_no_record_number() -> None:
    system, kind = "http://hl7.org/fhir/sid/us-ssn", {"coding": [{"code": "SS"}]}
    told = [
        {"system": system, "value": "123-45-6789"},
        {"value": "987-65-4321", "type": kind},
        {"system": "urn:mrn", "value": "M-1"},
    ]
    numbers = said(bundle("admit", patient={"identifier": told})).member.record_numbers
    assert [number for _, number in numbers] == ["M-1"]


def test_a_visit_number_comes_before_other_identifiers_and_the_encounters_own_id() -> None:
    two = {"identifier": [{"value": "X"}, {"value": "V-9", "type": {"coding": [{"code": "VN"}]}}]}
    assert said(bundle("admit", encounter=two)).visit.value == "V-9"
    none = said(bundle("admit", encounter={"identifier": []})).visit
    assert (none.value, none.basis) == ("e", VisitKeyBasis.ACCOUNT)


def test_a_death_in_the_patient_is_noticed() -> None:
    assert said(bundle("discharge", status="finished", end="2026-03-10T15:30:00-07:00", patient={"deceasedBoolean": True})).died


@pytest.mark.parametrize(
    ("patient", "died"),
    [({"deceasedBoolean": False}, False), ({"deceasedDateTime": "9999-12-31"}, None), ({"deceasedDateTime": "2026-03-09"}, True)],
)
def test_a_death_is_one_that_has_come(patient: dict[str, Any], died: bool | None) -> None:
    assert said(bundle("admit", patient=patient)).died is died


def test_an_event_that_is_not_modelled_is_kept_and_ignored() -> None:
    read = fhir.read(raw(bundle("newborn")))
    assert isinstance(read, fhir.Bundle)
    assert fhir.normalise(read, SOURCE, NOW) == Ignored("event_not_modelled")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(("encounter", "patient")), st.sampled_from((
    "identifier", "period", "class", "location", "hospitalization", "name", "telecom", "birthDate", "subject", "serviceProvider",
    "status", "deceasedDateTime", "gender", "id",
)), ANYTHING)  # fmt: skip
def test_nothing_in_an_element_makes_the_reader_raise(where: str, field: str, value: object) -> None:
    read = fhir.read(raw(bundle("discharge", **{where: {field: value}})))  # type: ignore[arg-type]
    if isinstance(read, fhir.Bundle):
        fhir.normalise(read, SOURCE, NOW)


# --- at the door ---------------------------------------------------------------------------------------------------------------


def post(world: World, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else raw(body)
    said = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = receive_bundle(world.door.reception, content, said, world.source)
    return answer.status, json.loads(answer.body) if answer.body else {}


def without(body: dict[str, Any], entry: int, field: str) -> dict[str, Any]:
    body["entry"][entry]["resource"].pop(field)
    return body


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid"),
        (b"\xff\xfe", 400, "invalid"),
        (b"[" * 100_000, 400, "invalid"),
        ({"resourceType": "Patient"}, 400, "invalid"),
        ({**bundle("admit"), "type": "collection"}, 400, "invalid"),
        ({**bundle("admit"), "entry": []}, 422, "required"),
        ({**bundle("admit"), "timestamp": ""}, 422, "required"),
        (without(bundle("admit"), 0, "focus"), 422, "required"),
        (without(bundle("admit"), 0, "eventCoding"), 422, "required"),
        ({**bundle("admit"), "entry": [bundle("admit")["entry"][0], bundle("admit")["entry"][2]]}, 422, "not-found"),
    ],
)
def test_what_is_refused_is_kept_and_says_what_is_missing(world: World, body: object, status: int, code: str) -> None:
    found, outcome = post(world, body)
    assert (found, outcome["resourceType"], outcome["issue"][0]["code"]) == (status, "OperationOutcome", code)
    assert outcome["issue"][0]["diagnostics"]
    (row,) = world.rows()
    assert row.status is Status.DEAD and world.door.inbox.raw(row.inbox_id) == (body if isinstance(body, bytes) else raw(body))
    again = read_stored(world.door.inbox.raw(row.inbox_id), row, SOURCE)
    assert again == NotRead(row.reason, fhir.PARSER_VERSION), "as at the door"


def test_faults_of_the_transport_keep_nothing(world: World) -> None:
    assert post(world, bundle("admit"), content_type="text/xml")[0] == 415
    assert receive_bundle(world.door.reception, raw(bundle("admit")), HEADERS, None).status == 401
    assert world.rows() == ()


def test_a_bundle_that_is_too_long_is_refused(world: World) -> None:
    assert post(world, b" " * (FRAME_BYTES_MAX + 1))[0] == 413


def test_what_cannot_be_stored_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **more: object) -> None:
        raise CannotStore("OperationalError")

    monkeypatch.setattr(type(world.door.inbox), "store_all", away)
    status, outcome = post(world, bundle("admit"))
    assert (status, outcome["issue"][0]["code"]) == (503, "transient")


ADMIT = bundle("admit", id="a", timestamp="2026-03-08T09:05:00-07:00", end="2026-03-08T10:00:00-07:00")
TRANSFER = bundle("transfer", id="t", timestamp="2026-03-09T08:00:00-07:00",
                  encounter={"location": [{"location": {"display": "ICU"}}]})  # fmt: skip
DISCHARGE = bundle("discharge", id="d", timestamp="2026-03-10T15:35:00-07:00", status="finished", end="2026-03-10T15:30:00-07:00",
                   encounter={"hospitalization": {"dischargeDisposition": {"text": "home"}}})  # fmt: skip
RELAYED = bundle("admit", id="relayed", timestamp="2026-03-10T16:00:00-07:00")


@pytest.mark.parametrize("order", list(permutations((ADMIT, TRANSFER, DISCHARGE)))[::2])
def test_26_any_order_twice_and_a_late_relayed_admission_are_one_stay_that_is_over(world: World, order: tuple[Any, ...]) -> None:
    world.register(MARISOL)
    for body in (*order, *order, RELAYED):
        assert post(world, body)[0] == 200
        world.door.worker.work_off()
    rows = world.rows()
    assert {row.status for row in rows} <= {Status.APPLIED, Status.DUPLICATE} and sum(row.repeats for row in rows) == 3
    course = world.course(MARISOL)
    assert course.discharge is not None and course.discharge.at == utc(2026, 3, 10, 22, 30) and course.discharge.disposition == "01"
    assert len(course.admissions) == 1 and course.stay_class is StayClass.INPATIENT and course.location == "ICU"


def test_a_child_under_its_mother_s_number_is_not_its_mother(world: World) -> None:
    world.register(MARISOL)
    child = {"name": [{"family": MARISOL.family}], "birthDate": "2026-03-09"}
    assert post(world, bundle("discharge", status="finished", end="2026-03-10T15:30:00-07:00", patient=child))[0] == 200
    world.door.worker.work_off()
    (row,) = world.rows()
    assert (row.status, row.reason) == (Status.WAITING, "newborn") and "newborn" in row.flags
    assert not world.member(MARISOL).stays


def test_an_unknown_member_is_a_200_and_waits_for_the_member_file(world: World) -> None:
    assert post(world, ADMIT)[0] == 200
    world.door.worker.work_off()
    assert [row.status for row in world.rows()] == [Status.UNMATCHED]
    world.register(MARISOL)
    world.door.worker.work_off()
    assert [row.status for row in world.rows()] == [Status.APPLIED]
