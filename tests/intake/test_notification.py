"""What a message says, field by field (messages.md 1.1 to 1.4): no database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from domain.stay.course import Way, way_of
from intake.reading.er7 import DELETED, Message, read
from intake.reading.notification import Ignored, Kind, Notification, VisitKeyBasis, normalise
from intake.reading.persons import PersonNotice
from intake.reading.persons import normalise as normalise_person
from intake.reading.times import Time
from intake.senders.sources import Facility, Source
from tests.intake.conftest import NOW, notification
from tests.intake.making import MARISOL, adt

PLAIN = Source(name="plain")
ONE = Source(name="one", facilities=(Facility(id="one-hospital", name="One", aliases=("ONE",)),))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def ignored(text: str, source: Source = PLAIN) -> str:
    message = read(text.encode())
    assert isinstance(message, Message)
    said = normalise(message, source, NOW)
    assert isinstance(said, Ignored)
    return said.reason


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("A01", Kind.ADMITTED),
        ("A03", Kind.DISCHARGED),
        ("A08", Kind.DESCRIBED),
        ("A11", Kind.ADMISSION_CANCELLED),
        ("A13", Kind.DISCHARGE_CANCELLED),
        ("A02", Kind.MOVED),
        ("A05", Kind.ANNOUNCED),
        ("A06", Kind.BECAME),
        ("A07", Kind.BECAME),
        ("A12", Kind.MOVE_CANCELLED),
        ("A14", Kind.ANNOUNCED),
        ("A15", Kind.ANNOUNCED),
        ("A16", Kind.ANNOUNCED),
        ("A21", Kind.LEAVE_BEGUN),
        ("A22", Kind.LEAVE_ENDED),
        ("A23", Kind.ADMISSION_CANCELLED),
        ("A25", Kind.CALLED_OFF),
        ("A26", Kind.CALLED_OFF),
        ("A27", Kind.CALLED_OFF),
        ("A38", Kind.CALLED_OFF),
    ],
)
def test_the_trigger_is_msh_9_whatever_evn_1_says(trigger: str, kind: Kind) -> None:
    said = notification(adt(trigger, evn1="A01"))
    assert said.kind is kind
    assert ("evn1_differs" in said.flags) is (trigger != "A01")


def test_a_registration_counts_for_the_emergency_class_only() -> None:
    assert notification(adt("A04", stay_class="E")).kind is Kind.REGISTERED
    assert notification(adt("A04", stay_class="OBS")).stay_class == "observation"
    assert ignored(adt("A04", stay_class="O")) == "outpatient_registration"
    assert ignored(adt("A04", stay_class="")) == ignored(adt("A04", stay_class="P")) == "outpatient_registration"
    assert ignored(adt("A04", stay_class="I")) == "inpatient_registration", "nobody else says so, where no A01 follows"
    assert ignored(adt("A04", stay_class="ER")) == "registration_class_unknown", "it may be an emergency: somebody has to say"


@pytest.mark.parametrize("trigger", ["A24", "A28", "A31", "A40", "A60", "Z99"])
def test_other_triggers_are_kept_and_not_acted_on(trigger: str) -> None:
    assert ignored(adt(trigger)) == "trigger_not_modelled"


@pytest.mark.parametrize("trigger", ["A09", "A10"])
def test_somebody_on_the_way_is_kept_and_nothing_follows(trigger: str) -> None:
    assert ignored(adt(trigger)) == "tracking_only"


def test_what_is_announced_and_for_which_day() -> None:
    planned = notification(adt("A05", expected_admission="20260320"))
    assert (planned.move, planned.expected) == ("admission", date(2026, 3, 20))
    leaving = notification(adt("A16", expected="20260312"))
    assert (leaving.move, leaving.expected) == ("discharge", date(2026, 3, 12))
    assert notification(adt("A25")).expected is None


def test_a_change_of_class_names_the_number_that_the_visit_had_before() -> None:
    said = notification(adt("A06", visit="V-2", prior_visit="V-1", alternate_visit="V-0"))
    assert said.prior_visit is not None and (said.prior_visit.value, said.prior_visit.scope) == ("V-1", said.visit.scope)
    by_alternate = notification(adt("A06", visit="V-2", alternate_visit="V-0")).prior_visit
    assert by_alternate is not None and by_alternate.value == "V-0"
    assert notification(adt("A06", visit="V-2", alternate_visit="V-2")).prior_visit is None
    assert notification(adt("A08", visit="V-2", alternate_visit="V-0")).prior_visit is None


def test_a_move_to_another_house_names_the_one_that_was_left() -> None:
    two = Source(name="two", facilities=(Facility(id="north", name="North", aliases=("N",)), Facility(id="south", name="South")))
    there = notification(adt("A02", location="4W^1^A^N", prior_location="2E^3^B^SOUTH", facility="N"), two)
    assert (there.facility, there.prior_facility) == ("north", "south") and there.prior_visit is not None
    inside = notification(adt("A02", location="4W^1^A^N", prior_location="2E^3^B^N", facility="N"), two)
    assert (inside.prior_facility, inside.prior_visit, inside.location) == ("", None, "4W^1^A")


def test_test_messages_are_not_acted_on_in_production_only() -> None:
    assert ignored(adt("A01", processing="D")) == "not_production"
    assert notification(adt("A01", processing="T"), Source(name="lab", production=False)).kind is Kind.ADMITTED


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"admitted": "20260310080000", "occurred": "20260310081000", "recorded": "20260310082000"}, "20260310080000"),
        ({"occurred": "20260310081000", "recorded": "20260310082000"}, "20260310081000"),
        ({"recorded": "20260310082000"}, "20260310082000"),
        ({}, "20260310160000"),
    ],
)
def test_an_admission_occurred_at_the_first_field_that_says_so(fields: dict[str, str], text: str) -> None:
    said = notification(adt("A01", **fields))  # type: ignore[arg-type]
    assert said.occurred is not None
    assert said.occurred.text == text
    assert said.admitted == said.occurred


@pytest.mark.parametrize("discharged", ["202603", "2026"])
def test_what_names_no_day_dates_nothing(discharged: str) -> None:
    said = notification(adt("A03", discharged=discharged, occurred="20260310150000", admitted="202603"))
    assert said.occurred is not None and said.occurred.text == "20260310150000"
    assert said.discharged == said.occurred and said.admitted is None and "day_missing" in said.flags
    told = notification(adt("A08", discharged=discharged))
    assert told.discharged is None and "day_missing" in told.flags


def test_a_cancellation_does_not_occur_at_the_admission_and_ends_nothing() -> None:
    said = notification(adt("A11", admitted="20260309080000", discharged="20260310080000", occurred="20260310090000"))
    assert said.occurred is not None
    assert said.occurred.text == "20260310090000"
    assert (said.admitted, said.discharged) == (None, None)


def test_a_discharge_time_counts_on_a_discharge_or_an_update_only() -> None:
    when = "20260310080000"
    assert notification(adt("A01", discharged=when)).discharged is None
    assert notification(adt("A03", discharged=when)).discharged is not None
    assert notification(adt("A08", discharged=when)).discharged is not None
    assert notification(adt("A08", discharged='""')).discharged is DELETED
    assert notification(adt("A03")).discharged == notification(adt("A03")).occurred


def test_the_senders_clock_is_believed_within_thirty_days_and_an_hour() -> None:
    for sent, believed in [
        ("20260310160000", True),
        ("20260310172900", True),
        ("20260310173100", False),
        ("20260208163100", True),
        ("20260208152900", False),
        ("198908181126", False),
        ("20260310", False),
        ("", False),
    ]:
        said = notification(adt("A01", sent=sent, admitted="20260310080000"))
        assert (said.said_at is not None) is believed, sent
        assert ("sent_time_doubtful" in said.flags) is not believed


def test_visit_key_falls_back_to_account_and_then_to_a_guess() -> None:
    by_number, by_account = notification(adt("A01")), notification(adt("A01", visit="", account="ACC-9"))
    assert (by_number.visit.value, by_number.visit.basis) == ("V-77", VisitKeyBasis.VISIT_NUMBER)
    assert (by_account.visit.value, by_account.visit.basis) == ("ACC-9", VisitKeyBasis.ACCOUNT)
    guessed = notification(adt("A03", visit="", admitted="20260308090000", discharged="20260310090000"))
    assert guessed.visit.basis is VisitKeyBasis.SYNTHETIC
    assert "visit_key_weak" in guessed.flags
    assert guessed.visit == notification(adt("A01", visit="", admitted="20260308090000")).visit


def test_facility_comes_from_the_first_field_that_the_source_prefers() -> None:
    assert notification(adt("A01")).facility == "valley-general"
    odd = adt("A01", facility="ODD", location="4W^401^A^ANNEX")
    assert notification(odd, ONE).facility == "one-hospital"  # a sender of one hospital
    unknown = notification(odd, PLAIN)
    assert (unknown.facility, unknown.visit.scope) == ("ANNEX", "source:plain:ODD")
    assert "facility_unknown" in unknown.flags
    assert notification(odd, Source(name="plain", facility_fields=("MSH-4",))).facility == "ODD"
    assert notification(adt("A01", facility="ODD", location=""), PLAIN).visit == unknown.visit


def test_cins_are_found_wherever_they_hide_but_not_on_somebody_elses_policy() -> None:
    def with_insurance(relation: str, field: int) -> str:
        fields = {17: relation, field: "98765432D"}
        return adt("A01", cin="") + "IN1|" + "|".join(fields.get(n, "") for n in range(1, 50)) + "\r"

    assert notification(adt("A01")).member.cins == ("91234567A",)
    assert notification(with_insurance("", 36)).member.cins == ("98765432D",)
    assert notification(with_insurance("SEL", 2)).member.cins == ("98765432D",)
    assert notification(with_insurance("MTH", 36)).member.cins == ()
    two = notification(adt("A01") + "IN1|" + "|".join({36: "98765432D"}.get(n, "") for n in range(1, 50)) + "\r")
    assert "two_cins" in two.flags
    assert "cin_invalid" in notification(adt("A01", cin="91234567B")).flags


def test_who_it_is_about() -> None:
    keys = notification(adt("A01")).member
    assert (keys.family_name, keys.given_name, keys.birth_date, keys.sex) == ("Quillfeather", "Marisol", date(1961, 4, 12), "F")
    assert keys.record_numbers == (("valley-general/VGH", "MRN-1001"),)
    assert notification(adt("A01").replace("19610412", "18010101")).member.birth_date is None


def test_a_newborn_is_noticed() -> None:
    assert notification(adt("A01").replace("^Marisol", "^BABYBOY")).member.newborn
    assert notification(adt("A01").replace("19610412", "20260301")).member.newborn
    assert not notification(adt("A01")).member.newborn


def test_expected_discharge_and_death() -> None:
    said = notification(adt("A01", expected="20260315", died_at="20260310120000"))
    assert said.expected_discharge == date(2026, 3, 15)
    assert said.died
    assert notification(adt("A01", expected="!")).expected_discharge is None


@pytest.mark.parametrize("said", ["INPATIENT", "i", "99", "ff", ""])
def test_an_odd_class_is_unknown_and_still_a_stay(said: str) -> None:
    found = notification(adt("A01", stay_class=said))
    assert found.kind is Kind.ADMITTED
    assert found.stay_class == ("inpatient" if said.lower() in ("inpatient", "i") else "unknown")
    assert found.class_said == said


def test_nothing_in_a_field_makes_the_reader_raise() -> None:
    for junk in ('""', "^^^", "&&&", "~~~", "\\", "\\X\\", "!", "0", "99999999", "20260310250000", "é" * 300):
        names = ("sent", "visit", "account", "stay_class", "admitted", "discharged", "disposition", "recorded")
        fields = dict.fromkeys(names, junk)
        for trigger in ("A01", "A03", "A08", "A11", "A13"):
            message = read(adt(trigger, **fields, occurred=junk, location=junk, death=junk, expected=junk).encode())  # type: ignore[arg-type]
            assert isinstance(message, Message)
            normalise(message, PLAIN, NOW)


def test_an_event_ahead_of_its_receipt_is_flagged() -> None:
    ahead = (NOW + timedelta(hours=26)).strftime("%Y%m%d%H%M%S+0000")
    assert "event_ahead_of_receipt" in notification(adt("A03", discharged=ahead)).flags
    assert MARISOL.family not in repr(notification(adt("A03", discharged=ahead)).flags)


def test_a_death_that_an_outpatient_registration_tells_of_is_a_word_about_the_visit() -> None:
    said = notification(adt("A04", stay_class="O", death="Y"))
    assert (said.kind, said.died) == (Kind.DESCRIBED, True)


@pytest.mark.parametrize(
    ("said", "way"),
    [("home", Way.HOME), ("alt-home", Way.HOME), ("other-hcf", Way.FACILITY), ("hosp", Way.HOSPICE), ("long", Way.FACILITY),
     ("aadvice", Way.AGAINST_ADVICE), ("exp", Way.EXPIRED), ("psy", Way.TRANSFER), ("rehab", Way.FACILITY), ("snf", Way.FACILITY),
     ("oth", Way.UNMAPPED)],
)  # fmt: skip
def test_the_words_of_fhir_lead_where_fhir_says(said: str, way: Way) -> None:
    disposition = notification(adt("A03", discharged="20260310153000", disposition=said)).disposition
    assert disposition is not None and disposition.said == said and way_of(disposition.code) is way


HOUSES = Source(name="two", facilities=(
    Facility(id="north", name="North", aliases=("NORTH", "1.2.3")), Facility(id="south", name="South", aliases=("SOUTH",)),
))  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {"location": "4W^401^A^&1.2.3&ISO"},
        {"location": "", "facility": "^1.2.3^ISO"},
        {"location": "", "facility": "GROUP", "prior_location": "4W^401^A^NORTH"},
        {"location": "4W^401^A", "facility": "GROUP", "prior_location": "4W^401^A^&1.2.3&ISO"},
    ],
    ids=["by its OID", "the header's OID", "the bed is given up", "given up, by its OID"],
)
def test_a_house_is_known_by_its_oid_and_by_where_the_patient_was(said: dict[str, str]) -> None:
    found = notification(adt("A03", discharged="20260310153000", **said), HOUSES)  # type: ignore[arg-type]
    assert (found.facility, found.visit.scope) == ("north", "facility:north") and "facility_unknown" not in found.flags


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [("A01", Kind.ADMISSION_CANCELLED), ("A03", Kind.DISCHARGE_CANCELLED), ("A02", Kind.MOVE_CANCELLED), ("A16", Kind.CALLED_OFF),
     ("A13", Kind.DISCHARGE_CANCELLED)],
)  # fmt: skip
def test_a_cancel_in_zbe_4_takes_back_what_the_trigger_says_where_the_source_writes_it(trigger: str, kind: Kind) -> None:
    text = adt(trigger, discharged="20260310153000") + "ZBE|1|20260310153000||CANCEL|N\r"
    source = Source(name="zbe", zbe=True)
    found = notification(text, source)
    assert found.kind is kind and found.discharged is None and found.disposition is None
    assert notification(text.replace("CANCEL", "UPDATE"), source).kind is notification(text).kind, "said of no other source"


def test_every_time_that_counts_is_flagged_where_its_hour_is_twice_or_never() -> None:
    twice = notification(adt("A08", discharged="20251102013000"))
    assert "repeated_hour" in twice.flags and twice.discharged.at == utc(2025, 11, 2, 8, 30)  # type: ignore[union-attr]
    assert "missing_hour" in notification(adt("A03", admitted="20260308023000", discharged="20260310100000")).flags


# --- facilities of several time zones --------------------------------------------------------------------------------------------

EXCHANGE = Source(name="exchange", facilities=(
    Facility(id="valley", name="Valley", aliases=("VALLEY",)),
    Facility(id="mesa", name="Mesa", aliases=("MESA",), timezone="America/Phoenix"),
    Facility(id="front-range", name="Front Range", aliases=("RANGE",), timezone="America/Denver"),
))  # fmt: skip
"""One sender of three hospitals: in California, in Arizona, which keeps standard time all year, and in Colorado."""


def at_house(house: str, trigger: str = "A03", received_at: datetime = NOW, source: Source = EXCHANGE, **said: str) -> Notification:
    return notification(adt(trigger, location=f"4W^401^A^{house}", **said), source, received_at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("house", "local", "at", "flag"),
    [
        ("VALLEY", "20260210153000", utc(2026, 2, 10, 23, 30), ""),
        ("MESA", "20260210153000", utc(2026, 2, 10, 22, 30), ""),
        ("RANGE", "20260210153000", utc(2026, 2, 10, 22, 30), ""),
        ("VALLEY", "20260308023000", utc(2026, 3, 8, 10, 30), "missing_hour"),
        ("MESA", "20260308023000", utc(2026, 3, 8, 9, 30), ""),
        ("RANGE", "20260308023000", utc(2026, 3, 8, 9, 30), "missing_hour"),
        ("VALLEY", "20260310153000", utc(2026, 3, 10, 22, 30), ""),
        ("MESA", "20260310153000", utc(2026, 3, 10, 22, 30), ""),
        ("RANGE", "20260310153000", utc(2026, 3, 10, 21, 30), ""),
        ("VALLEY", "20261101013000", utc(2026, 11, 1, 8, 30), "repeated_hour"),
        ("MESA", "20261101013000", utc(2026, 11, 1, 8, 30), ""),
        ("RANGE", "20261101013000", utc(2026, 11, 1, 7, 30), "repeated_hour"),
        ("VALLEY", "20261101153000", utc(2026, 11, 1, 23, 30), ""),
        ("MESA", "20261101153000", utc(2026, 11, 1, 22, 30), ""),
    ],
)
def test_a_time_without_a_zone_is_of_the_facility_s(house: str, local: str, at: datetime, flag: str) -> None:
    said = at_house(house, received_at=at + timedelta(minutes=10), discharged=local, sent=local)
    assert isinstance(said.discharged, Time)
    assert (said.discharged.at, said.said_at) == (at, at)
    assert {"missing_hour", "repeated_hour"} & set(said.flags) == ({flag} if flag else set())


def test_every_time_of_a_message_is_read_in_the_facility_s_zone() -> None:
    said = at_house("RANGE", "A08", admitted="20260301100000", occurred="20260302110000", death="Y", died_at="20260303120000")
    assert said.admitted is not None and said.occurred is not None and said.died_at is not None
    assert (said.admitted.at, said.occurred.at) == (utc(2026, 3, 1, 17), utc(2026, 3, 2, 18))
    assert said.died_at.at == utc(2026, 3, 3, 19)
    day = at_house("RANGE", discharged="20260310").discharged
    assert isinstance(day, Time) and day.ends(said.zone) == utc(2026, 3, 11, 6), "the end of the day in Colorado"


def test_what_a_message_says_of_its_zone_outranks_the_facility_s() -> None:
    header = at_house("RANGE", sent="20260310160000-0500", discharged="20260310153000").discharged
    assert isinstance(header, Time) and (header.at, header.zone) == (utc(2026, 3, 10, 20, 30), "msh7")
    own = at_house("RANGE", discharged="20260310153000-0700").discharged
    assert isinstance(own, Time) and own.at == utc(2026, 3, 10, 22, 30)
    wrong = EXCHANGE.model_copy(update={"ignore_offsets": True})
    ignored = at_house("RANGE", source=wrong, sent="20260310160000-0500", discharged="20260310153000-0700").discharged
    assert isinstance(ignored, Time) and ignored.at == utc(2026, 3, 10, 21, 30)


def test_a_patient_s_death_is_dated_in_the_zone_of_the_facility_that_tells_it() -> None:
    message = read(adt("A31", facility="RANGE", death="Y", died_at="20260303120000").encode())
    assert isinstance(message, Message)
    told = normalise_person(message, EXCHANGE, NOW)
    assert isinstance(told, PersonNotice) and told.died_at == utc(2026, 3, 3, 19)
