"""What of a member's life is recorded, what is refused, and what changes nothing."""

from __future__ import annotations

from datetime import date

import pytest

from domain.core import Command
from domain.member.circumstances import (
    ENTRIES_MAX,
    Circumstance,
    CircumstanceEnded,
    CircumstanceNoted,
    Circumstances,
    CountyLearned,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    EndCircumstance,
    JudgeVisit,
    LearnCounty,
    NoteCircumstance,
    RecordDiagnosis,
    ReportVisit,
    RuleOutDiagnosis,
    VisitJudged,
    VisitKind,
    VisitReported,
    decide,
)
from domain.member.decider import Member
from domain.member.facts import IdentityCorrected, MemberRegistered, PersonalDataErased, StayAttributed
from domain.staff.facts import Role, RoleGranted, StaffJoined
from domain.timeline import Entry
from tests.given import EPISODE, LEAD, MEMBER, STAY, Given, Told, at, given, told

NOW = "2026-11-20 10:00 PST"
HOMELESS, RELEASED = Circumstance.HOMELESS, Circumstance.RELEASED_FROM_INCARCERATION


def known(*facts: Told) -> Given:
    """A member and a lead care manager, and what was said."""
    return given(
        told(LEAD, StaffJoined(), "2026-01-02 09:00 PST"),
        told(LEAD, RoleGranted(role=Role.CARE_MANAGER), "2026-01-02 09:00 PST"),
        told(MEMBER, MemberRegistered(birth_date="1980-05-05"), "2026-01-02 09:00 PST"),
        *facts,
    )


def homeless(when: str) -> Told:
    return told(MEMBER, CircumstanceNoted(circumstance=HOMELESS, learned_from="member"), when)


def housed(when: str) -> Told:
    return told(MEMBER, CircumstanceEnded(circumstance=HOMELESS), when)


def note(circumstance: Circumstance = HOMELESS, since: str | None = None, learned_from: str = "member") -> NoteCircumstance:
    occurred_at = at(since) if since else None
    return NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, learned_from=learned_from, occurred_at=occurred_at)


def end(since: str | None = None, circumstance: Circumstance = HOMELESS) -> EndCircumstance:
    return EndCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, occurred_at=at(since) if since else None)


def diagnose(code: str) -> RecordDiagnosis:
    return RecordDiagnosis(stream=MEMBER, by="source:plan", code=code, learned_from="plan_file")


def rule_out(code: str) -> RuleOutDiagnosis:
    return RuleOutDiagnosis(stream=MEMBER, by=LEAD, code=code, reason="another member's")


def report(visit: str = "claim-7", on: date = date(2026, 11, 3), avoidable: bool | None = None) -> ReportVisit:
    return ReportVisit(
        stream=MEMBER, by="source:plan", visit=visit, kind=VisitKind.EMERGENCY, on=on, learned_from="plan_file", avoidable=avoidable
    )


REPORTED = VisitReported(visit="claim-7", kind=VisitKind.EMERGENCY, on=date(2026, 11, 3), learned_from="plan_file")
HYPERTENSION = told(MEMBER, DiagnosisRecorded(code="I10", learned_from="member"), "2026-02-01 09:00 PST")


# --- circumstances -------------------------------------------------------------------------------------------------------------


def test_a_circumstance_is_noted_once_while_it_lasts() -> None:
    known().when(note(), NOW).then(CircumstanceNoted(circumstance=HOMELESS, learned_from="member"))
    known(homeless("2026-03-01 09:00 PST")).when(note(), NOW).then()
    again = known(homeless("2026-03-01 09:00 PST"), housed("2026-05-01 09:00 PDT"))
    again.when(note(), NOW).then(CircumstanceNoted(circumstance=HOMELESS, learned_from="member"))


def test_that_it_was_so_before_we_knew_is_worth_saying() -> None:
    """From January on, although we had heard of it in March."""
    life = known(homeless("2026-03-01 09:00 PST"))
    life.when(note(since="2026-01-15 09:00 PST"), NOW).then(CircumstanceNoted(circumstance=HOMELESS, learned_from="member"))


def test_what_never_was_so_need_not_end() -> None:
    known().when(end(), NOW).then()
    known(homeless("2026-03-01 09:00 PST")).when(end(), NOW).then(CircumstanceEnded(circumstance=HOMELESS))
    known(homeless("2026-03-01 09:00 PST"), housed("2026-05-01 09:00 PDT")).when(end(), NOW).then()


def test_a_release_is_one_event_a_day() -> None:
    """A second release half a year later is another one; the same one told by the county and the member is not."""
    released = told(MEMBER, CircumstanceNoted(circumstance=RELEASED, learned_from="county"), "2026-11-20 07:00 PST")
    known(released).when(note(RELEASED), NOW).then()
    known(released).when(note(RELEASED), "2027-05-20 10:00 PDT").then(
        CircumstanceNoted(circumstance=RELEASED, learned_from="member")
    )


def test_an_end_at_the_very_instant_of_the_noting_means_that_it_never_was() -> None:
    """Whichever id comes first."""
    for first, second in (("a", "b"), ("b", "a")):
        life = known(
            told(MEMBER, CircumstanceNoted(circumstance=HOMELESS, learned_from="plan_file"), "2026-03-01 09:00 PST", id=first),
            told(MEMBER, CircumstanceEnded(circumstance=HOMELESS), "2026-03-01 09:00 PST", id=second),
        )
        assert life.memory.load(MEMBER).state.life.spells(HOMELESS) == ()


def test_a_spell_runs_from_the_first_noting_to_the_first_end() -> None:
    life = known(
        homeless("2026-03-01 09:00 PST"),
        homeless("2026-04-01 09:00 PDT"),
        housed("2026-05-01 09:00 PDT"),
        homeless("2026-09-01 09:00 PDT"),
    )
    spells = life.memory.load(MEMBER).state.life.spells(HOMELESS)
    assert [(s.since, s.until) for s in spells] == [
        (at("2026-03-01 09:00 PST"), at("2026-05-01 09:00 PDT")),
        (at("2026-09-01 09:00 PDT"), None),
    ]


# --- diagnoses -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["E11.9", "e119", " E11.9 "])
def test_a_diagnosis_is_kept_as_people_write_it(written: str) -> None:
    known().when(diagnose(written), NOW).then(DiagnosisRecorded(code="E11.9", learned_from="plan_file"))


def test_the_same_diagnosis_changes_nothing_and_a_ruled_out_one_may_come_back() -> None:
    known(HYPERTENSION).when(diagnose("i10"), NOW).then()
    ruled_out = told(MEMBER, DiagnosisRuledOut(code="I10"), "2026-05-01 09:00 PDT")
    known(HYPERTENSION, ruled_out).when(diagnose("I10"), NOW).then(DiagnosisRecorded(code="I10", learned_from="plan_file"))


def test_only_what_was_recorded_is_ruled_out() -> None:
    known(HYPERTENSION).when(rule_out("I10"), NOW).then(DiagnosisRuledOut(code="I10", reason="another member's"))
    known(HYPERTENSION).when(rule_out("I11.0"), NOW).refused("unknown_diagnosis")
    known(HYPERTENSION, told(MEMBER, DiagnosisRuledOut(code="I10"), "2026-05-01 09:00 PDT")).when(rule_out("I10"), NOW).then()


# --- visits --------------------------------------------------------------------------------------------------------------------


def test_the_same_claim_twice_is_one_and_another_word_on_it_corrects_it() -> None:
    known().when(report(), NOW).then(REPORTED)
    life = known(told(MEMBER, REPORTED, "2026-11-10 09:00 PST"))
    life.when(report(), NOW).then()
    life.when(report(avoidable=True), NOW).then(
        VisitReported(visit="claim-7", kind=VisitKind.EMERGENCY, on=date(2026, 11, 3), learned_from="plan_file", avoidable=True)
    )


def test_a_person_judges_a_reported_visit_or_a_stay() -> None:
    life = known(
        told(MEMBER, REPORTED, "2026-11-10 09:00 PST"),
        told(MEMBER, StayAttributed(stay=STAY, episode=EPISODE, evidence="by_hand"), "2026-11-10 09:00 PST"),
        told(MEMBER, VisitJudged(visit=STAY, avoidable=True), "2026-11-11 09:00 PST"),
    )
    life.when(JudgeVisit(stream=MEMBER, by=LEAD, visit="claim-7", avoidable=True), NOW).then(
        VisitJudged(visit="claim-7", avoidable=True)
    )
    life.when(JudgeVisit(stream=MEMBER, by=LEAD, visit=STAY, avoidable=True), NOW).then()
    life.when(JudgeVisit(stream=MEMBER, by=LEAD, visit=STAY, avoidable=False), NOW).then(VisitJudged(visit=STAY, avoidable=False))
    life.when(JudgeVisit(stream=MEMBER, by=LEAD, visit="stay-2", avoidable=True), NOW).refused("unknown_visit")


# --- county --------------------------------------------------------------------------------------------------------------------


def learn_county(county: str) -> LearnCounty:
    return LearnCounty(stream=MEMBER, by="source:plan", county=county, learned_from="plan_file")


def test_a_county_is_known_by_one_name() -> None:
    known().when(learn_county("San Diego County"), NOW).then(CountyLearned(county="san_diego", learned_from="plan_file"))
    life = known(told(MEMBER, CountyLearned(county="san_diego", learned_from="member"), "2026-02-01 09:00 PST"))
    life.when(learn_county("SAN DIEGO"), NOW).then()
    life.when(learn_county("Orange"), NOW).then(CountyLearned(county="orange", learned_from="plan_file"))


# --- refusals ------------------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Command, str]] = {
    "a circumstance of tomorrow": (note(since="2026-11-21 10:00 PST"), "in_the_future"),
    "an end of tomorrow": (end("2026-11-21 10:00 PST"), "in_the_future"),
    "nobody told": (note(learned_from=" "), "source_missing"),
    "no code at all": (diagnose("diabetes"), "no_diagnosis_code"),
    "a chapter": (diagnose("E1"), "no_diagnosis_code"),
    "too long a code": (diagnose("E11.90000"), "no_diagnosis_code"),
    "a visit of tomorrow": (report(on=date(2026, 11, 21)), "in_the_future"),
    "a circumstance of another century": (note(since="1890-01-01 10:00 PST"), "too_long_ago"),
    "a visit of another century": (report(on=date(1890, 1, 1)), "too_long_ago"),
    "a visit without an id": (report(visit=""), "no_visit_id"),
    "a stay is no claim": (report(visit=STAY), "no_visit_id"),
    "no county": (learn_county(" - "), "county_missing"),
    "a county of digits": (learn_county("12"), "county_missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_the_field_and_the_remedy(case: str) -> None:
    command, code = REFUSED[case]
    known().when(command, NOW).refused(code)


def test_a_visit_of_today_is_no_visit_of_tomorrow_where_the_member_lives() -> None:
    """At 22:00 in Los Angeles it is the next day already in Greenwich."""
    known().when(report(on=date(2026, 11, 20)), "2026-11-20 22:00 PST").then(
        VisitReported(visit="claim-7", kind=VisitKind.EMERGENCY, on=date(2026, 11, 20), learned_from="plan_file")
    )
    known().when(report(on=date(2026, 11, 21)), "2026-11-20 22:00 PST").refused("in_the_future")


def test_nobody_unknown_may_say_anything_and_nothing_is_said_of_nobody() -> None:
    stranger = NoteCircumstance(stream=MEMBER, by="staff-nobody", circumstance=HOMELESS, learned_from="member")
    known().when(stranger, NOW).refused("actor_unknown")
    other = NoteCircumstance(stream="member-2", by=LEAD, circumstance=HOMELESS, learned_from="member")
    known().when(other, NOW).refused("unknown_member")


def test_a_life_has_an_end_of_entries() -> None:
    entry = Entry(at(NOW), "e", DiagnosisRecorded(code="I10", learned_from="x"), at(NOW), LEAD)
    full = Circumstances(diagnoses=(entry,) * ENTRIES_MAX)
    refusal = decide(diagnose("E11.9"), full, {}, "America/Los_Angeles", at(NOW))
    assert getattr(refusal, "code", "") == "too_many_entries"


# --- who the member is ---------------------------------------------------------------------------------------------------------


def test_which_fact_says_when_the_member_was_born() -> None:
    """A correction of the name is none of the birth date; after the erasure nobody knows it."""
    born = told(MEMBER, MemberRegistered(birth_date="1980-05-05", race_ethnicity="Asian"), "2026-01-02 09:00 PST", id="r")
    named = told(MEMBER, IdentityCorrected(family_name="Doe"), "2026-01-03 09:00 PST", id="n")
    corrected = told(MEMBER, IdentityCorrected(birth_date="1981-05-05"), "2026-01-04 09:00 PST", id="c")
    erased = told(MEMBER, PersonalDataErased(reason="asked"), "2026-01-05 09:00 PST", id="e")

    def said(*facts: Told) -> tuple[str | None, str]:
        state: Member = given(*facts).memory.load(MEMBER).state
        return state.birth_date, state.born_by

    assert said(born, named) == ("1980-05-05", "r")
    assert said(born, named, corrected) == ("1981-05-05", "c")
    assert said(born, corrected, erased) == (None, "")
