"""What rules find in a life: each kind of condition, the tier over the year, populations of focus. All days worked out by hand.

A look back of n days on day d: it still counts on day d + n, and from the midnight after that no more.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.core import Alarm
from domain.criteria import Met, birthday, changes, evaluate, met, populations, races_of, tier_at, tiers
from domain.episode.enrolment import PlanTierReported, ScreeningAnswered
from domain.episode.facts import AssignmentReceived
from domain.follow_up_policy import Condition, ConditionKind, Launch, Population
from domain.followup.facts import NO_TIER, Ground, PopulationConfirmed, PopulationRejected
from domain.member.circumstances import (
    Circumstance,
    CircumstanceEnded,
    CircumstanceNoted,
    CountyLearned,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    VisitJudged,
    VisitKind,
    VisitReported,
)
from domain.policy import Policy, read_policy
from domain.stay.facts import AdmissionCancelled, StayClass
from tests.given import DEFAULT, EPISODE, MEMBER, POLICIES, at, book
from tests.lives import FOLLOW_UP, Life, condition, rule, ruled, steps

VALLEY, COAST = (read_policy((POLICIES / f"{plan}.toml").read_text()) for plan in ("valley-health", "coast-care"))
GROUPS = replace(DEFAULT, diagnosis_groups={"illness": ("F20", "E11", "I1")})
K = ConditionKind
NOBODY = Life().registered(None)


def noted(circumstance: Circumstance) -> CircumstanceNoted:
    return CircumstanceNoted(circumstance=circumstance, learned_from="member")


def ended(circumstance: Circumstance) -> CircumstanceEnded:
    return CircumstanceEnded(circumstance=circumstance)


def visit(id: str, on: date, kind: VisitKind = VisitKind.EMERGENCY, avoidable: bool | None = None) -> VisitReported:
    return VisitReported(visit=id, kind=kind, on=on, learned_from="plan_file", avoidable=avoidable)


def diagnosed(code: str) -> DiagnosisRecorded:
    return DiagnosisRecorded(code=code, learned_from="plan_file")


def counts(life: Life, wanted: Condition, when: str, policy: Policy = DEFAULT) -> int:
    """How much counts at an instant: the highest number that the condition would still be content with."""
    found = 0
    while life.holds(replace(wanted, at_least=found + 1), when, policy) is not None:
        found += 1
    return found


def facts(life: Life, wanted: Condition, when: str, policy: Policy = DEFAULT) -> set[str]:
    found = life.holds(wanted, when, policy)
    return set(found.facts) if found is not None else set()


# --- circumstances -------------------------------------------------------------------------------------------------------------

HOMELESS = condition(K.CIRCUMSTANCE, "homeless")
SINCE_MARCH = NOBODY.said(noted(Circumstance.HOMELESS), "2026-03-01 09:00 PST", "lost")
UNTIL_MAY = SINCE_MARCH.said(ended(Circumstance.HOMELESS), "2026-05-10 15:00 PDT", "moved_in")


def test_a_circumstance_counts_from_its_beginning_to_its_end() -> None:
    assert facts(UNTIL_MAY, HOMELESS, "2026-03-01 08:59 PST") == set()
    assert facts(UNTIL_MAY, HOMELESS, "2026-03-01 09:00 PST") == {"lost"}
    assert facts(UNTIL_MAY, HOMELESS, "2026-05-10 14:59 PDT") == {"lost"}
    assert facts(UNTIL_MAY, HOMELESS, "2026-05-10 15:00 PDT") == set()


def test_a_look_back_counts_from_the_end_of_what_lasted() -> None:
    """Ended on 10 May, thirty days back: to the end of 9 June. Then both facts are named."""
    lately = replace(HOMELESS, within_days=30)
    assert facts(UNTIL_MAY, lately, "2026-05-10 15:00 PDT") == {"lost", "moved_in"}
    assert facts(UNTIL_MAY, lately, "2026-06-09 23:59 PDT") == {"lost", "moved_in"}
    assert facts(UNTIL_MAY, lately, "2026-06-10 00:00 PDT") == set()
    assert facts(SINCE_MARCH, lately, "2030-01-01 00:00 PST") == {"lost"}


def test_a_release_counts_from_its_day() -> None:
    """Released on 10 January 2026, a year back: to the end of 10 January 2027; a second release on 1 June begins another year."""
    lately = condition(K.CIRCUMSTANCE, "released_from_incarceration", within_days=365)
    once = NOBODY.said(noted(Circumstance.RELEASED_FROM_INCARCERATION), "2026-01-10 08:00 PST", "first")
    assert facts(once, lately, "2027-01-10 23:59 PST") == {"first"}
    assert facts(once, lately, "2027-01-11 00:00 PST") == set()
    twice = once.said(noted(Circumstance.RELEASED_FROM_INCARCERATION), "2026-06-01 08:00 PDT", "second")
    assert facts(twice, lately, "2027-06-01 23:59 PDT") == {"second"}


def test_circumstances_of_several_kinds_are_counted() -> None:
    hardship = condition(K.CIRCUMSTANCE, "homeless", "food_insecure", "without_transport")
    life = SINCE_MARCH.said(noted(Circumstance.FOOD_INSECURE), "2026-04-01 09:00 PDT")
    life = life.said(noted(Circumstance.PREGNANT), "2026-04-01 09:00 PDT")
    assert counts(life, hardship, "2026-03-15 09:00 PDT") == 1
    assert counts(life, hardship, "2026-04-15 09:00 PDT") == 2


# --- diagnoses -----------------------------------------------------------------------------------------------------------------

ILL = condition(K.DIAGNOSIS, "illness")


def test_a_diagnosis_belongs_to_a_group_by_the_beginning_of_its_code() -> None:
    life = NOBODY.said(diagnosed("e119"), "2026-03-01 09:00 PST", "diabetes").said(diagnosed("M54.5"), "2026-03-01 09:00 PST")
    assert facts(life, ILL, "2026-03-02 09:00 PST", GROUPS) == {"diabetes"}
    assert facts(life, condition(K.DIAGNOSIS, "other"), "2026-03-02 09:00 PST", GROUPS) == set()


def test_codes_of_one_category_are_one_illness() -> None:
    life = NOBODY
    for code in ("E11.9", "E11.65", "I10", "I11.0"):
        life = life.said(diagnosed(code), "2026-03-01 09:00 PST")
    assert counts(life, ILL, "2026-03-02 09:00 PST", GROUPS) == 3


def test_a_diagnosis_that_was_ruled_out_counts_no_more() -> None:
    life = NOBODY.said(diagnosed("F20.0"), "2026-03-01 09:00 PST").said(DiagnosisRuledOut(code="F20.0"), "2026-04-01 09:00 PDT")
    assert counts(life, ILL, "2026-03-31 09:00 PDT", GROUPS) == 1
    assert counts(life, ILL, "2026-04-01 09:00 PDT", GROUPS) == 0
    assert counts(life, replace(ILL, within_days=365), "2026-04-01 09:00 PDT", GROUPS) == 0


def test_a_diagnosis_may_have_to_be_of_late() -> None:
    """Recorded on 1 March, thirty days: to the end of 31 March; recorded again on 1 May: from then on once more."""
    lately = replace(ILL, within_days=30)
    life = NOBODY.said(diagnosed("I10"), "2026-03-01 09:00 PST", "march").said(diagnosed("I10"), "2026-05-01 09:00 PDT", "may")
    assert facts(life, lately, "2026-03-31 23:59 PDT", GROUPS) == {"march"}
    assert facts(life, lately, "2026-04-01 00:00 PDT", GROUPS) == set()
    assert facts(life, lately, "2026-05-02 00:00 PDT", GROUPS) == {"may"}


# --- visits --------------------------------------------------------------------------------------------------------------------

EMERGENCIES = condition(K.VISITS, "emergency", within_days=365)
INPATIENT = condition(K.VISITS, "inpatient", within_days=365)


def test_a_reported_visit_counts_from_its_report_and_lies_back_from_its_day() -> None:
    """Visited on 3 February, reported on 20 March; a year back ends with 3 February 2027."""
    life = NOBODY.said(visit("c1", date(2026, 2, 3)), "2026-03-20 09:00 PDT", "claim")
    assert counts(life, EMERGENCIES, "2026-03-20 08:59 PDT") == 0
    assert facts(life, EMERGENCIES, "2026-03-20 09:00 PDT") == {"claim"}
    assert counts(life, EMERGENCIES, "2027-02-03 23:59 PST") == 1
    assert counts(life, EMERGENCIES, "2027-02-04 00:00 PST") == 0


def test_a_visit_that_was_reported_otherwise_is_what_was_said_last() -> None:
    life = NOBODY.said(visit("c1", date(2026, 2, 3)), "2026-03-01 09:00 PST")
    life = life.said(visit("c1", date(2026, 2, 3), VisitKind.INPATIENT), "2026-04-01 09:00 PDT", "corrected")
    assert (counts(life, EMERGENCIES, "2026-03-15 09:00 PDT"), counts(life, INPATIENT, "2026-03-15 09:00 PDT")) == (1, 0)
    assert (counts(life, EMERGENCIES, "2026-04-15 09:00 PDT"), counts(life, INPATIENT, "2026-04-15 09:00 PDT")) == (0, 1)


def test_a_stay_counts_from_its_admission_with_its_own_word_and_whose_it_is() -> None:
    life = NOBODY.stayed("stay-1", StayClass.INPATIENT, "2026-02-03 20:00 PST", "2026-02-06 10:00 PST")
    assert facts(life, INPATIENT, "2026-02-03 20:00 PST") == {"stay-1/in", "stay-1/whose"}
    assert facts(life.without("stay-1/whose"), INPATIENT, "2026-02-04 20:00 PST") == set()


def test_a_stay_that_never_was_counts_never() -> None:
    life = NOBODY.stayed("stay-1", StayClass.INPATIENT, "2026-02-03 20:00 PST")
    cancelled = AdmissionCancelled(order="3", received_at=at("2026-02-04 08:00 PST"), source="ward")
    life = life.said(cancelled, "2026-02-04 08:00 PST", "cancelled", "stay-1")
    assert counts(life, INPATIENT, "2026-02-05 20:00 PST") == 0


def test_a_claim_and_a_stay_of_the_same_day_and_kind_count_once() -> None:
    """Two claims of that day are two visits, of which the hospital told one."""
    stay = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 20:00 PST", "2026-02-03 23:00 PST")
    told_twice = stay.said(visit("c1", date(2026, 2, 3)), "2026-03-01 09:00 PST", "claim")
    assert counts(told_twice, EMERGENCIES, "2026-03-02 09:00 PST") == 1
    assert counts(told_twice.said(visit("c2", date(2026, 2, 3)), "2026-03-01 09:00 PST"), EMERGENCIES, "2026-03-02 09:00 PST") == 2
    assert counts(told_twice.said(visit("c2", date(2026, 2, 5)), "2026-03-01 09:00 PST"), EMERGENCIES, "2026-03-02 09:00 PST") == 2
    assert facts(told_twice.without("stay-1/in"), EMERGENCIES, "2026-03-02 09:00 PST") == {"claim"}


def test_an_emergency_that_became_an_admission_counts_once_as_inpatient() -> None:
    """G p21. The patient came on the 3rd in the evening and was admitted after midnight: until then it is an emergency."""
    life = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 22:00 PST")
    life = life.stayed("stay-2", StayClass.INPATIENT, "2026-02-04 03:00 PST")
    assert (counts(life, EMERGENCIES, "2026-02-04 02:59 PST"), counts(life, INPATIENT, "2026-02-04 02:59 PST")) == (1, 0)
    assert (counts(life, EMERGENCIES, "2026-02-04 03:00 PST"), counts(life, INPATIENT, "2026-02-04 03:00 PST")) == (0, 1)


def test_an_emergency_left_before_midnight_for_an_admission_elsewhere_counts_once() -> None:
    life = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 20:00 PST", "2026-02-03 23:50 PST")
    moved = life.stayed("stay-2", StayClass.INPATIENT, "2026-02-04 00:30 PST")
    assert (counts(moved, EMERGENCIES, "2026-02-05 00:00 PST"), counts(moved, INPATIENT, "2026-02-05 00:00 PST")) == (0, 1)
    later = life.stayed("stay-2", StayClass.INPATIENT, "2026-02-04 05:51 PST")
    assert (counts(later, EMERGENCIES, "2026-02-05 00:00 PST"), counts(later, INPATIENT, "2026-02-05 00:00 PST")) == (1, 1)


def test_an_emergency_that_was_over_is_a_visit_of_its_own() -> None:
    """Home at 23:00 of the 3rd; what brings the patient on the 4th is another thing."""
    life = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 20:00 PST", "2026-02-03 23:00 PST")
    life = life.stayed("stay-2", StayClass.INPATIENT, "2026-02-04 18:00 PST")
    assert (counts(life, EMERGENCIES, "2026-02-05 00:00 PST"), counts(life, INPATIENT, "2026-02-05 00:00 PST")) == (1, 1)


def test_a_claim_for_the_emergency_of_an_admission_counts_once_as_inpatient() -> None:
    life = NOBODY.stayed("stay-1", StayClass.INPATIENT, "2026-02-03 22:00 PST", "2026-02-08 12:00 PST")
    life = life.said(visit("c1", date(2026, 2, 3)), "2026-03-01 09:00 PST").said(
        visit("c2", date(2026, 2, 2)), "2026-03-01 09:00 PST"
    )
    assert (counts(life, EMERGENCIES, "2026-03-02 09:00 PST"), counts(life, INPATIENT, "2026-03-02 09:00 PST")) == (0, 1)


# --- visits that could have been avoided ---------------------------------------------------------------------------------------

AVOIDABLE = condition(K.AVOIDABLE_VISITS, "emergency", "inpatient", within_days=365)


def test_nobody_said_that_it_could_have_been_avoided() -> None:
    assert counts(NOBODY.said(visit("c1", date(2026, 2, 3)), "2026-02-04 09:00 PST"), AVOIDABLE, "2026-03-01 09:00 PST") == 0


def test_a_code_list_or_a_person_says_that_a_visit_could_have_been_avoided() -> None:
    listed = NOBODY.said(visit("c1", date(2026, 2, 3), avoidable=True), "2026-02-04 09:00 PST", "claim")
    assert facts(listed, AVOIDABLE, "2026-03-01 09:00 PST") == {"claim"}
    judged = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 20:00 PST", "2026-02-03 22:00 PST")
    judged = judged.said(VisitJudged(visit="stay-1", avoidable=True), "2026-02-10 09:00 PST", "judged")
    assert counts(judged, AVOIDABLE, "2026-02-10 08:59 PST") == 0
    assert facts(judged, AVOIDABLE, "2026-02-10 09:00 PST") == {"stay-1/in", "stay-1/whose", "judged"}


def test_a_persons_word_outweighs_every_list_and_the_last_one_holds() -> None:
    life = NOBODY.said(visit("c1", date(2026, 2, 3), avoidable=True), "2026-02-04 09:00 PST")
    life = life.said(VisitJudged(visit="c1", avoidable=False), "2026-02-10 09:00 PST")
    assert counts(life, AVOIDABLE, "2026-02-10 09:00 PST") == 0
    resent = life.said(visit("c1", date(2026, 2, 3), avoidable=True), "2026-02-20 09:00 PST")
    assert counts(resent, AVOIDABLE, "2026-02-21 09:00 PST") == 0
    again = resent.said(VisitJudged(visit="c1", avoidable=True), "2026-02-25 09:00 PST")
    assert counts(again, AVOIDABLE, "2026-02-26 09:00 PST") == 1


def test_what_is_said_of_the_claim_is_said_of_its_stay() -> None:
    life = NOBODY.stayed("stay-1", StayClass.EMERGENCY, "2026-02-03 20:00 PST", "2026-02-03 22:00 PST")
    life = life.said(visit("c1", date(2026, 2, 3), avoidable=True), "2026-02-20 09:00 PST")
    assert counts(life, AVOIDABLE, "2026-02-21 09:00 PST") == 1


# --- the plan's tier, screenings, age, race ------------------------------------------------------------------------------------


def test_the_plans_last_word_on_its_own_tier_counts() -> None:
    high = condition(K.PLAN_TIER, "high", "1")
    received = AssignmentReceived(member=MEMBER, plan="valley", received_at=at("2026-02-01 10:00 PST"), plan_tier="HIGH")
    life = NOBODY.said(received, "2026-02-01 10:00 PST", "assigned", EPISODE)
    life = life.said(PlanTierReported(tier="low"), "2026-03-01 10:00 PST", "lowered", EPISODE)
    life = life.said(PlanTierReported(tier="1"), "2026-04-01 10:00 PDT", "raised", EPISODE)
    assert facts(life, high, "2026-02-01 10:00 PST") == {"assigned"}
    assert facts(life, high, "2026-03-01 10:00 PST") == set()
    assert facts(life, high, "2026-04-01 10:00 PDT") == {"raised"}


def answered(questionnaire: str, **scores: int) -> ScreeningAnswered:
    return ScreeningAnswered(questionnaire=questionnaire, questions=tuple(scores), scores=tuple(scores.values()))


def test_the_scores_of_a_screening_are_summed_each_questions_last() -> None:
    """3 + 2 on 1 February; on 1 March q1 is answered with 0: then 2, and the first sitting still speaks for q2."""
    screening = condition(K.SCREENING, "mini")
    life = NOBODY.said(answered("mini@1", q1=3, q2=2), "2026-02-01 10:00 PST", "first", EPISODE)
    life = life.said(answered("mini@2", q1=0), "2026-03-01 10:00 PST", "second", EPISODE)
    assert counts(life, screening, "2026-02-02 10:00 PST") == 5
    assert counts(life, screening, "2026-03-02 10:00 PST") == 2
    assert facts(life, screening, "2026-03-02 10:00 PST") == {"first"}


def test_a_single_question_of_one_version_may_be_asked_for() -> None:
    life = NOBODY.said(answered("phq-9@1", q1=3, q9=1), "2026-02-01 10:00 PST", "first", EPISODE)
    assert counts(life, condition(K.SCREENING, "phq-9/q9"), "2026-02-02 10:00 PST") == 1
    assert counts(life, condition(K.SCREENING, "phq-9@1/q1"), "2026-02-02 10:00 PST") == 3
    assert counts(life, condition(K.SCREENING, "phq-9@2"), "2026-02-02 10:00 PST") == 0


ADULT, CHILD = condition(K.AGE, at_least=21), condition(K.AGE, at_least=0, at_most=20)


def test_somebody_is_an_adult_from_the_midnight_of_the_21st_birthday_where_the_plan_works() -> None:
    life = Life().registered("2005-11-20")
    assert facts(life, CHILD, "2026-11-19 23:59 PST") == {"registered"} and facts(life, ADULT, "2026-11-19 23:59 PST") == set()
    assert facts(life, ADULT, "2026-11-20 00:00 PST") == {"registered"} and facts(life, CHILD, "2026-11-20 00:00 PST") == set()


@pytest.mark.parametrize("born", [None, "", "unknown", "1066-10-14"])
def test_an_unknown_age_meets_no_condition_of_age(born: str | None) -> None:
    life = Life().registered(born)
    assert facts(life, ADULT, "2026-11-20 00:00 PST") == facts(life, CHILD, "2026-11-20 00:00 PST") == set()


def test_who_was_born_on_a_leap_day_has_a_birthday_every_year() -> None:
    assert birthday(date(2004, 2, 29), 21) == date(2025, 3, 1)
    assert birthday(date(2004, 2, 29), 20) == date(2024, 2, 29)


def test_race_is_read_as_files_write_it() -> None:
    assert races_of("Black or African American; White") == {"black_or_african_american", "white"}
    assert races_of(" - ") == frozenset()
    life = Life().registered(race="White, Alaska Native")
    assert facts(life, condition(K.RACE, "alaska_native"), "2026-11-20 00:00 PST") == {"registered"}
    assert facts(life, condition(K.RACE, "black"), "2026-11-20 00:00 PST") == set()


# --- formulas ------------------------------------------------------------------------------------------------------------------


def test_of_every_line_some_condition_must_hold_and_the_first_of_them_is_named() -> None:
    formula = ((ILL, HOMELESS), (ADULT,))
    life = Life().registered("1980-05-05").said(noted(Circumstance.HOMELESS), "2026-03-01 09:00 PST", "lost")
    found = evaluate(formula, life.evidence, GROUPS, at("2026-03-02 09:00 PST"))
    assert found is not None
    assert found.lines == ((K.CIRCUMSTANCE, ("lost",)), (K.AGE, ("registered",)))
    assert evaluate(formula, life.without("lost").evidence, GROUPS, at("2026-03-02 09:00 PST")) is None
    assert evaluate((), life.evidence, GROUPS, at("2026-03-02 09:00 PST")) is None


def test_when_a_formula_is_met_is_known_beforehand() -> None:
    """Two emergencies in thirty days, 1 and 11 March: from the 11th to the end of the 31st."""
    formula = ((condition(K.VISITS, "emergency", at_least=2, within_days=30),),)
    life = NOBODY.said(visit("c1", date(2026, 3, 1)), "2026-03-01 09:00 PST")
    life = life.said(visit("c2", date(2026, 3, 11)), "2026-03-11 09:00 PDT")
    assert met(formula, life.evidence, DEFAULT) == (Met(at("2026-03-11 09:00 PDT"), at("2026-03-31 24:00 PDT")),)


# --- the tier over time --------------------------------------------------------------------------------------------------------

OFTEN = rule("often", "high", condition(K.VISITS, "emergency", at_least=2, within_days=30))
STREET = rule("street", "medium", HOMELESS)
RULES = ruled(OFTEN, STREET)
TWO_VISITS = (
    NOBODY.said(noted(Circumstance.HOMELESS), "2026-02-01 09:00 PST", "lost")
    .said(visit("c1", date(2026, 3, 1)), "2026-03-01 09:00 PST", "v1")
    .said(visit("c2", date(2026, 3, 11)), "2026-03-11 09:00 PDT", "v2")
    .said(ended(Circumstance.HOMELESS), "2026-06-01 09:00 PDT", "moved_in")
)
YEAR = ("2026-01-01 00:00 PST", "2026-12-31 00:00 PST")


def test_the_history_of_the_tier_names_rules_and_facts() -> None:
    spans = TWO_VISITS.tiers(RULES, *YEAR)
    assert [(s.since, s.until, s.tier, s.grounds) for s in spans] == [
        (at("2026-01-01 00:00 PST"), at("2026-02-01 09:00 PST"), "low", ()),
        (at("2026-02-01 09:00 PST"), at("2026-03-11 09:00 PDT"), "medium", (Ground("street", ("lost",)),)),
        (at("2026-03-11 09:00 PDT"), at("2026-03-31 24:00 PDT"), "high", (Ground("often", ("v1", "v2")),)),
        (at("2026-03-31 24:00 PDT"), at("2026-06-01 09:00 PDT"), "medium", (Ground("street", ("lost",)),)),
        (at("2026-06-01 09:00 PDT"), None, "low", ()),
    ]
    assert tier_at(spans, at("2026-03-11 09:00 PDT")) == spans[2]
    assert tier_at(spans, at("2025-12-31 00:00 PST")) is None


def test_without_a_fact_that_a_reason_names_the_tier_is_another_one() -> None:
    without = TWO_VISITS.without("v1").tiers(RULES, *YEAR)
    assert "high" not in {span.tier for span in without}


def test_every_rule_of_the_tier_is_a_reason_and_a_further_one_begins_a_span_of_its_own() -> None:
    policy = ruled(OFTEN, rule("danger", "high", condition(K.CIRCUMSTANCE, "at_risk_of_suicide")), STREET)
    life = TWO_VISITS.said(noted(Circumstance.AT_RISK_OF_SUICIDE), "2026-03-20 09:00 PDT", "said_so")
    high = [span for span in life.tiers(policy, *YEAR) if span.tier == "high"]
    assert [[g.rule for g in span.grounds] for span in high] == [["often"], ["often", "danger"], ["danger"]]
    assert [tier for _, tier in steps(changes(life.tiers(policy, *YEAR)))] == ["low", "medium", "high"]


def test_the_alarm_is_set_to_the_next_turn_of_the_tier_and_to_no_other() -> None:
    """On 15 March: the end of the window of the 31st. On 1 April: the end of homelessness of June, which was dated ahead."""
    for now, turn in (("2026-03-15 09:00 PDT", "2026-03-31 24:00 PDT"), ("2026-04-01 09:00 PDT", "2026-06-01 09:00 PDT")):
        alarm = Alarm(at(now))
        TWO_VISITS.tiers(RULES, YEAR[0], now, alarm)
        assert alarm.at == at(turn)
    alarm = Alarm(at(YEAR[1]))
    TWO_VISITS.tiers(RULES, *YEAR, alarm)
    assert alarm.at is None


def test_what_is_dated_ahead_does_not_count_yet() -> None:
    assert TWO_VISITS.tiers(RULES, YEAR[0], "2026-01-15 00:00 PST")[-1].tier == "low"


def test_each_instant_is_judged_by_the_version_that_was_in_force() -> None:
    """From 1 May on homelessness alone gives the highest tier."""
    stricter = replace(ruled(rule("street", "high", HOMELESS)), version="2026.2", effective_on=date(2026, 5, 1))
    alarm = Alarm(at("2026-04-15 09:00 PDT"))
    adopted = book(RULES, stricter)
    tiers(TWO_VISITS.evidence, adopted, "default", at(YEAR[0]), alarm)
    assert alarm.at == at("2026-05-01 00:00 PDT")
    spans = tiers(TWO_VISITS.evidence, adopted, "default", at(YEAR[0]), Alarm(at(YEAR[1])))
    assert [(s.since, s.tier, s.policy) for s in spans[3:]] == [
        (at("2026-03-31 24:00 PDT"), "medium", "default@2026.1"),
        (at("2026-05-01 00:00 PDT"), "high", "default@2026.2"),
        (at("2026-06-01 09:00 PDT"), "low", "default@2026.2"),
    ]


def test_a_plan_without_tiers_and_a_plan_without_follow_up_have_none() -> None:
    for policy in (VALLEY, replace(DEFAULT, follow_up=None)):
        spans = TWO_VISITS.tiers(policy, *YEAR)
        assert [(s.since, s.until, s.tier, s.grounds) for s in spans] == [(at(YEAR[0]), None, NO_TIER, ())]


def test_a_year_with_hundreds_of_facts_is_looked_at_in_no_time() -> None:
    """Three hundred visits, circumstances and diagnoses under the default rules. Measured 3 ms; the limit leaves room for a slow
    machine."""
    life, day = Life().registered(), at("2026-01-01 10:00 PST")
    kinds, lives = tuple(VisitKind), tuple(Circumstance)
    for number in range(100):
        when = day + timedelta(days=3 * number, hours=number % 7)
        life = life.said(visit(f"c{number}", when.date(), kinds[number % 3], avoidable=number % 2 == 0), when)
        life = life.said((noted if number % 3 else ended)(lives[number % len(lives)]), when + timedelta(hours=1))
        life = life.said(diagnosed(f"F{20 + number % 30}.{number % 9}"), when + timedelta(hours=2))
    evidence, adopted = life.evidence, book(DEFAULT)
    times = []
    for _ in range(5):
        started = time.process_time()
        tiers(evidence, adopted, "default", day, Alarm(at(YEAR[1])))
        times.append(time.process_time() - started)
    assert min(times) < 0.025, times


# --- populations of focus, as a tier's rule asks for them ----------------------------------------------------------------------

SHELTER = Population(key="shelter", code="1", launch=(Launch(county="every", on=date(2022, 1, 1)),), when=((HOMELESS,),))
BELONGS = replace(ruled(rule("focus", "high", condition(K.POPULATION, "shelter"))), population=(SHELTER,))


def test_a_population_counts_while_it_is_met_unless_staff_rejected_it() -> None:
    life = UNTIL_MAY.said(
        PopulationRejected(population="shelter", reason="stays with family"), "2026-04-01 09:00 PDT", "no", FOLLOW_UP
    )
    assert steps(life.tiers(BELONGS, *YEAR)) == [
        (at(YEAR[0]), "low"), (at("2026-03-01 09:00 PST"), "high"), (at("2026-04-01 09:00 PDT"), "low"),
    ]  # fmt: skip
    assert life.tiers(BELONGS, *YEAR)[1].grounds == (Ground("focus", ("lost",)),)


def test_a_population_that_was_confirmed_counts_until_it_is_rejected() -> None:
    life = UNTIL_MAY.said(PopulationConfirmed(population="shelter"), "2026-04-01 09:00 PDT", "yes", FOLLOW_UP)
    life = life.said(PopulationRejected(population="shelter", reason="settled"), "2026-09-01 09:00 PDT", "no", FOLLOW_UP)
    assert steps(changes(life.tiers(BELONGS, *YEAR))) == [
        (at(YEAR[0]), "low"), (at("2026-03-01 09:00 PST"), "high"), (at("2026-09-01 09:00 PDT"), "low"),
    ]  # fmt: skip
    assert life.holds(condition(K.POPULATION, "shelter"), "2026-07-01 09:00 PDT", BELONGS) is not None
    assert facts(life, condition(K.POPULATION, "shelter"), "2026-07-01 09:00 PDT", BELONGS) == {"yes"}


# --- populations of focus ------------------------------------------------------------------------------------------------------

BORN_1980 = Life().registered("1980-05-05")
"""An adult; nobody knows the county."""


def test_homeless_adults_need_a_complex_need() -> None:
    life = BORN_1980.said(noted(Circumstance.HOMELESS), "2026-03-01 09:00 PST", "lost")
    assert life.met(DEFAULT, "2026-03-02 09:00 PST") == {}
    life = life.said(diagnosed("F10.20"), "2026-03-05 09:00 PST", "drinks")
    found = life.met(DEFAULT, "2026-03-06 09:00 PST")
    assert set(found) == {"homeless-adults"}
    assert found["homeless-adults"].since == at("2026-03-05 09:00 PST")
    assert found["homeless-adults"].grounds == (
        Ground("homeless-adults/circumstance", ("lost",)),
        Ground("homeless-adults/diagnosis", ("drinks",)),
        Ground("homeless-adults/age", ("registered",)),
    )


def test_a_homeless_child_needs_nothing_more() -> None:
    life = Life().registered("2015-05-05").said(noted(Circumstance.HOMELESS), "2026-03-01 09:00 PST")
    assert set(life.met(DEFAULT, "2026-03-02 09:00 PST")) == {"homeless-families"}


def with_emergencies(life: Life, *days: date) -> Life:
    for number, day in enumerate(days):
        life = life.said(visit(f"c{number}", day, avoidable=True), at(f"{day} 20:00 PST"))
    return life


FIVE = (date(2026, 1, 10), date(2026, 2, 10), date(2026, 3, 20), date(2026, 5, 1), date(2026, 7, 20))


@pytest.mark.parametrize(
    ("policy", "first", "last"),
    [
        # five in a year: with the fifth, on 20 July, until the first is a year ago, on 10 January 2027
        (DEFAULT, "2026-07-20 20:00 PST", "2027-01-10 23:59 PST"),
        # four in a year: with the fourth, on 1 May, until the second is a year ago, on 10 February 2027
        (VALLEY, "2026-05-01 20:00 PST", "2027-02-10 23:59 PST"),
    ],
)
def test_avoidable_emergencies_of_an_adult_are_counted_over_a_year(policy: Policy, first: str, last: str) -> None:
    life = with_emergencies(BORN_1980.said(CountyLearned(county="kings", learned_from="plan_file"), "2020-01-02 00:00 UTC"), *FIVE)
    before, after = at(first) - timedelta(seconds=1), at(last) + timedelta(minutes=1)
    assert "avoidable-use-adults" not in life.met(policy, before)
    assert life.met(policy, first)["avoidable-use-adults"].since == at(first)
    assert "avoidable-use-adults" in life.met(policy, last)
    assert "avoidable-use-adults" not in life.met(policy, after)


def test_a_plan_may_count_half_a_year_only() -> None:
    """CalOptima's rule (C2). From 10 January to 20 July there are 191 days; a sixth on 25 July makes five since 10 February."""
    assert "avoidable-use-adults" not in with_emergencies(BORN_1980, *FIVE).met(COAST, "2026-07-21 09:00 PDT")
    six = with_emergencies(BORN_1980, *FIVE, date(2026, 7, 25))
    assert "avoidable-use-adults" in six.met(COAST, "2026-07-26 09:00 PDT")
    assert "avoidable-use-adults" in six.met(COAST, "2026-08-12 23:59 PDT")
    assert "avoidable-use-adults" not in six.met(COAST, "2026-08-13 00:00 PDT")


def test_a_child_needs_three_emergencies_or_two_stays() -> None:
    child = Life().registered("2015-05-05")
    assert "avoidable-use-children" not in with_emergencies(child, *FIVE[:2]).met(DEFAULT, "2026-07-21 09:00 PDT")
    assert "avoidable-use-children" in with_emergencies(child, *FIVE[:3]).met(DEFAULT, "2026-07-21 09:00 PDT")
    stays = child.said(visit("s1", FIVE[0], VisitKind.INPATIENT, True), "2026-01-11 09:00 PST")
    stays = stays.said(visit("s2", FIVE[1], VisitKind.NURSING_FACILITY, True), "2026-02-11 09:00 PST")
    assert "avoidable-use-children" in stays.met(DEFAULT, "2026-07-21 09:00 PDT")


def test_serious_mental_illness_needs_hardship_and_danger() -> None:
    life = BORN_1980.said(diagnosed("F20.0"), "2026-03-01 09:00 PST").said(
        noted(Circumstance.FOOD_INSECURE), "2026-03-02 09:00 PST"
    )
    assert life.met(DEFAULT, "2026-03-03 09:00 PST") == {}
    danger = life.said(noted(Circumstance.AT_RISK_OF_OVERDOSE), "2026-03-04 09:00 PST")
    assert set(danger.met(DEFAULT, "2026-03-05 09:00 PST")) == {"serious-mental-illness-adults"}
    twice = life.stayed("stay-1", StayClass.INPATIENT, "2026-03-04 09:00 PST").stayed(
        "stay-2", StayClass.EMERGENCY, "2026-04-04 09:00 PDT"
    )
    assert set(twice.met(DEFAULT, "2026-04-05 09:00 PDT")) == {"serious-mental-illness-adults"}
    assert set(
        Life().registered("2012-01-01").said(diagnosed("F90.0"), "2026-03-01 09:00 PST").met(DEFAULT, "2026-03-02 09:00 PST")
    ) == {"serious-mental-illness-children"}


def test_after_a_release_a_year_is_looked_back() -> None:
    """Released on 10 January 2026: to the end of 10 January 2027; with Coast Care's 300 days to the end of 6 November 2026."""
    life = BORN_1980.said(diagnosed("I10"), "2025-03-01 09:00 PST")
    life = life.said(noted(Circumstance.RELEASED_FROM_INCARCERATION), "2026-01-10 08:00 PST")
    assert "incarceration-adults" in life.met(DEFAULT, "2027-01-10 23:59 PST")
    assert "incarceration-adults" not in life.met(DEFAULT, "2027-01-11 00:00 PST")
    assert "incarceration-adults" in life.met(COAST, "2026-11-06 23:59 PST")
    assert "incarceration-adults" not in life.met(COAST, "2026-11-07 00:00 PST")


def lives(life: Life, *circumstances: Circumstance) -> Life:
    for circumstance in circumstances:
        life = life.said(noted(circumstance), "2026-03-01 09:00 PST", circumstance)
    return life


C = Circumstance
CHILD_OF_2015 = Life().registered("2015-05-05")
WHO_BELONGS: dict[str, tuple[Life, tuple[Circumstance, ...]]] = {
    "long-term-care-risk": (BORN_1980, (C.NEEDS_LOWER_ACUITY_NURSING, C.WITHOUT_TRANSPORT, C.CAN_STAY_WITH_SUPPORT)),
    "nursing-facility-to-community": (
        BORN_1980, (C.LIVES_IN_NURSING_FACILITY, C.WANTS_TO_MOVE_TO_COMMUNITY, C.CAN_LIVE_IN_COMMUNITY),
    ),
    "california-childrens-services": (CHILD_OF_2015, (C.IN_WHOLE_CHILD_MODEL, C.FOUR_ADVERSE_CHILDHOOD_EXPERIENCES)),
    "child-welfare": (CHILD_OF_2015, (C.ADOPTION_ASSISTANCE,)),
    "incarceration-children": (CHILD_OF_2015, (C.RELEASED_FROM_YOUTH_FACILITY,)),
    "birth-equity-adults": (Life().registered("2000-05-05", "Black or African American"), (C.PREGNANT,)),
    "birth-equity-children": (Life().registered("2008-05-05", "Native Hawaiian/Other Pacific Islander"), (C.GAVE_BIRTH,)),
}  # fmt: skip


@pytest.mark.parametrize("key", WHO_BELONGS)
@pytest.mark.parametrize("policy", [DEFAULT, COAST], ids=lambda policy: policy.plan)
def test_each_population_needs_all_of_its_criteria(key: str, policy: Policy) -> None:
    born, circumstances = WHO_BELONGS[key]
    life = lives(born, *circumstances)
    assert set(life.met(policy, "2026-03-02 09:00 PST")) == {key}
    for one in circumstances:
        assert key not in life.without(one).met(policy, "2026-03-02 09:00 PST"), one


def test_who_aged_out_of_foster_care_belongs_to_child_welfare_up_to_26() -> None:
    """Born on 5 May 2001: an adult since 2022, and 26 on 5 May 2027; the birthday itself is too late."""
    life = lives(Life().registered("2001-05-05"), C.AGED_OUT_OF_FOSTER_CARE)
    assert set(life.met(DEFAULT, "2027-05-04 23:59 PDT")) == {"child-welfare"}
    assert life.met(DEFAULT, "2027-05-05 00:00 PDT") == {}
    assert lives(Life().registered("2001-05-05"), C.ADOPTION_ASSISTANCE).met(DEFAULT, "2026-03-02 09:00 PST") == {}


def test_a_population_begins_in_each_county_on_its_own_day() -> None:
    """Valley Health: Kings on 1 January 2022, Fresno half a year later; elsewhere it has no members."""
    ill = BORN_1980.said(noted(Circumstance.HOMELESS), "2021-03-01 09:00 PST").said(diagnosed("E11.9"), "2021-03-01 09:00 PST")

    def begun(county: str, day: str) -> set[str]:
        life = ill.said(CountyLearned(county=county, learned_from="plan_file"), "2021-04-01 09:00 PDT", "county") if county else ill
        return set(life.met(VALLEY, f"{day} 12:00 PST"))

    assert begun("Kings County", "2021-12-31") == set()
    assert begun("Kings County", "2022-01-01") == {"homeless-adults"}
    assert begun("Fresno", "2022-06-30") == set()
    assert begun("Fresno", "2022-07-01") == {"homeless-adults"}
    assert begun("Orange", "2026-07-01") == begun("", "2026-07-01") == set()


def test_a_county_that_is_not_known_begins_with_all_others() -> None:
    """Default: Orange on 1 January 2022, all others on 1 July; the ground names who said where the member lives."""
    ill = BORN_1980.said(noted(Circumstance.HOMELESS), "2020-03-01 09:00 PST").said(diagnosed("E11.9"), "2020-03-01 09:00 PST")
    known = ill.said(CountyLearned(county="orange", learned_from="plan_file"), "2020-04-01 09:00 PDT", "county")
    assert ill.met(DEFAULT, "2022-06-30 12:00 PDT") == {}
    assert set(ill.met(DEFAULT, "2022-07-01 12:00 PDT")) == {"homeless-adults"}
    found = known.met(DEFAULT, "2022-01-01 12:00 PST")["homeless-adults"]
    assert found.since == at("2022-01-01 00:00 PST")
    assert found.grounds[-1] == Ground("homeless-adults/county", ("county",))


def test_who_moves_is_looked_at_where_they_live_now() -> None:
    ill = BORN_1980.said(noted(Circumstance.HOMELESS), "2020-03-01 09:00 PST").said(diagnosed("E11.9"), "2020-03-01 09:00 PST")
    moved = ill.said(CountyLearned(county="kings", learned_from="plan_file"), "2020-04-01 09:00 PDT")
    moved = moved.said(CountyLearned(county="orange", learned_from="member"), "2026-04-01 09:00 PDT")
    assert set(moved.met(VALLEY, "2026-03-31 12:00 PDT")) == {"homeless-adults"}
    assert moved.met(VALLEY, "2026-04-01 12:00 PDT") == {}


# --- scenario 45: the 21st birthday --------------------------------------------------------------------------------------------


def test_at_21_the_populations_of_children_are_left_and_those_of_adults_are_looked_at() -> None:
    """Born on 20 November 2005, homeless and with diabetes. The plan wakes at the midnight of the birthday."""
    life = Life().registered("2005-11-20").said(noted(Circumstance.HOMELESS), "2026-03-01 09:00 PST")
    life = life.said(diagnosed("E11.9"), "2026-03-01 09:00 PST")
    alarm = Alarm(at("2026-11-19 12:00 PST"))
    found = populations(life.evidence, book(DEFAULT), "default", alarm)
    assert ([p.key for p in found], alarm.at) == (["homeless-families"], at("2026-11-20 00:00 PST"))
    after = life.met(DEFAULT, "2026-11-20 00:00 PST")
    assert set(after) == {"homeless-adults"}
    assert after["homeless-adults"].since == at("2026-11-20 00:00 PST")
