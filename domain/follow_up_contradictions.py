"""Rules of the year after enrolment that fit their types but not each other: each with its field and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from domain.follow_up_policy import (
    ANY_TIER,
    EVERY_COUNTY,
    Cadence,
    Caseload,
    Condition,
    ConditionKind,
    CountedFrom,
    FollowUp,
    Formula,
    Population,
    Tiers,
)
from domain.followup.facts import NO_TIER
from domain.member.circumstances import Circumstance, VisitKind
from domain.stay.facts import StayClass

Said = Iterator[tuple[str, str]]
"""The path of a field, and what is wrong with it and how to mend it."""

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""Names that become part of the keys of what is owed."""

DIAGNOSIS_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?")
"""The beginning of an ICD-10-CM code: a category at least."""

SCREENING = re.compile(r"[a-z0-9][a-z0-9-]*(@[0-9]+)?(/[a-z0-9][a-z0-9_.-]*)?")

DAYS_MAX = 3660
TENTHS_MAX = 1000
AGE_MAX = 1000
"""What `at_most` is where a file does not say it."""

VISITS = tuple(sorted({*VisitKind, *StayClass} - {StayClass.UNKNOWN}))

LOOKS_BACK = frozenset(
    {
        ConditionKind.CIRCUMSTANCE,
        ConditionKind.DIAGNOSIS,
        ConditionKind.VISITS,
        ConditionKind.AVOIDABLE_VISITS,
        ConditionKind.SCREENING,
    }
)


def calendars(follow_up: FollowUp | None) -> tuple[tuple[str, str], ...]:
    """The holiday calendars that are used, with the section that uses each."""
    if follow_up is None:
        return ()
    used = [("follow_up.cadence", follow_up.cadence.holiday_calendar)]
    if follow_up.authorisation is not None:
        used.append(("follow_up.authorisation", follow_up.authorisation.holiday_calendar))
    return tuple(used)


def contradictions(
    follow_up: FollowUp | None,
    caseload: Caseload | None,
    diagnosis_groups: Mapping[str, tuple[str, ...]],
    population: tuple[Population, ...],
) -> Said:
    """Everything in the sections of the year that cannot be meant so, each with its field and the remedy."""
    tiers = follow_up.tiers.order if follow_up is not None and follow_up.tiers is not None else ()
    populations = tuple(p.key for p in population)
    yield from _of_groups(diagnosis_groups)
    yield from _twice("population", "key", populations)
    yield from _twice("population", "code", tuple(p.code for p in population))
    for index, listed in enumerate(population):
        path = f"population[{index}]"
        if not KEY.fullmatch(listed.key):
            yield f"{path}.key", "must be a short name of lower-case letters, digits and hyphens"
        if not listed.launch:
            yield f"{path}.launch", f"must name at least one county, or {EVERY_COUNTY!r}: else it never begins"
        yield from _twice(f"{path}.launch", "county", tuple(launch.county for launch in listed.launch))
        yield from _of_formula(listed.when, f"{path}.when", diagnosis_groups, ())
    if follow_up is not None:
        if follow_up.tiers is not None:
            yield from _of_tiers(follow_up.tiers, diagnosis_groups, populations)
        yield from _of_follow_up(follow_up, tiers)
    if caseload is not None:
        overlays = {o.key for o in follow_up.cadence.overlay} if follow_up is not None else set()
        yield from _by_tier(caseload.weight_tenths, "caseload.weight_tenths", tiers, 0, TENTHS_MAX)
        for key, tenths in caseload.overlay_tenths.items():
            path = f"caseload.overlay_tenths.{key}"
            if key not in overlays:
                yield path, f"{key!r} is no overlay; name the key of one of follow_up.cadence.overlay"
            if not 0 <= tenths <= TENTHS_MAX:
                yield path, f"must lie between 0 and {TENTHS_MAX}, not {tenths}"


def _of_groups(groups: Mapping[str, tuple[str, ...]]) -> Said:
    for name, beginnings in groups.items():
        path = f"diagnosis_groups.{name}"
        if not beginnings:
            yield path, "must name at least one beginning of a code: no diagnosis belongs to it"
        for beginning in beginnings:
            if not DIAGNOSIS_CODE.fullmatch(beginning):
                yield path, f"{beginning!r} is no beginning of an ICD-10-CM code, such as F20 or O09.9"


def _of_tiers(tiers: Tiers, groups: Mapping[str, tuple[str, ...]], populations: tuple[str, ...]) -> Said:
    path = "follow_up.tiers"
    if not tiers.order:
        yield f"{path}.order", "must name at least one tier; a plan without tiers has no such table"
    for name in tiers.order:
        if name in (ANY_TIER, NO_TIER) or not KEY.fullmatch(name):
            yield (
                f"{path}.order",
                f"{name!r} cannot name a tier: lower-case letters, digits, hyphens; not {ANY_TIER}, {NO_TIER}",
            )
        if tiers.order.count(name) > 1:
            yield f"{path}.order", f"{name!r} stands twice"
            break
    if tiers.otherwise not in (*tiers.order, NO_TIER):
        yield f"{path}.otherwise", _unknown_tier(tiers.otherwise, tiers.order, NO_TIER)
    yield from _twice(f"{path}.rule", "key", tuple(rule.key for rule in tiers.rule))
    for index, rule in enumerate(tiers.rule):
        where = f"{path}.rule[{index}]"
        if rule.tier not in tiers.order:
            yield f"{where}.tier", _unknown_tier(rule.tier, tiers.order)
        yield from _of_formula(rule.when, f"{where}.when", groups, populations)


def _of_formula(formula: Formula, path: str, groups: Mapping[str, tuple[str, ...]], populations: tuple[str, ...]) -> Said:
    if not formula:
        yield path, "must hold at least one line of conditions: without one it is never so"
    for line, conditions in enumerate(formula):
        if not conditions:
            yield f"{path}[{line}]", "is an empty line, of which no condition can hold; name one, or leave it out"
        for place, condition in enumerate(conditions):
            yield from _of_condition(condition, f"{path}[{line}][{place}]", groups, populations)


def _of_condition(condition: Condition, path: str, groups: Mapping[str, tuple[str, ...]], populations: tuple[str, ...]) -> Said:
    kind = condition.kind
    if bool(condition.any_of) is (kind is ConditionKind.AGE):
        named = "is not for ages; say at_least and at_most" if condition.any_of else f"must name what counts as {kind}"
        yield f"{path}.any_of", named
    for name in condition.any_of:
        wrong = _wrong_name(kind, name, groups, populations)
        if wrong:
            yield f"{path}.any_of", wrong
    if condition.at_most < condition.at_least:
        yield f"{path}.at_most", "must not be less than at_least"
    if kind is not ConditionKind.AGE and condition.at_most != AGE_MAX:
        yield f"{path}.at_most", "is for ages only"
    if condition.within_days and kind not in LOOKS_BACK:
        yield f"{path}.within_days", f"does not go with {kind}: it has no day to look back to"


def _wrong_name(kind: ConditionKind, name: str, groups: Mapping[str, tuple[str, ...]], populations: tuple[str, ...]) -> str:
    match kind:
        case ConditionKind.CIRCUMSTANCE if name not in tuple(Circumstance):
            return f"{name!r} is no circumstance that is recorded; see domain/member/circumstances.py"
        case ConditionKind.DIAGNOSIS if name not in groups:
            return f"{name!r} is not listed under [diagnosis_groups]; list it there"
        case ConditionKind.VISITS | ConditionKind.AVOIDABLE_VISITS if name not in VISITS:
            return f"{name!r} is no class of stay or visit; known are {', '.join(VISITS)}"
        case ConditionKind.SCREENING if not SCREENING.fullmatch(name):
            return f"{name!r} is neither a questionnaire nor one of its questions, such as phq-9 or phq-9/q9"
        case ConditionKind.POPULATION if name not in populations:
            return f"{name!r} is no key of a [[population]] that this rule may ask for"
        case _:
            return ""


def _of_follow_up(follow_up: FollowUp, tiers: tuple[str, ...]) -> Said:
    yield from _of_cadence(follow_up.cadence, tiers)
    assessment, care_plan, authorisation = follow_up.assessment, follow_up.care_plan, follow_up.authorisation
    counted = follow_up.cadence.minimum_count
    if assessment is None and counted is not None and counted.counted_from is CountedFrom.ASSESSMENT:
        yield (
            "follow_up.cadence.minimum_count.counted_from",
            "never begins without [follow_up.assessment]; count from enrolment",
        )
    if assessment is not None:
        if assessment.complete_days < assessment.begin_days:
            yield "follow_up.assessment.complete_days", "must not come before begin_days"
        yield from _by_tier(assessment.again_days, "follow_up.assessment.again_days", tiers, 1, DAYS_MAX)
    if care_plan is not None:
        if assessment is None:
            yield "follow_up.care_plan", "is counted from the completed assessment; add [follow_up.assessment]"
        yield from _by_tier(care_plan.review_days, "follow_up.care_plan.review_days", tiers, 1, DAYS_MAX)
    if authorisation is not None:
        if authorisation.streamlined_request_business_days_before >= authorisation.streamlined_days:
            yield "follow_up.authorisation.streamlined_request_business_days_before", "must be less than streamlined_days"
        if authorisation.renewal_request_days_before >= 28 * min(authorisation.first_months, authorisation.renewal_months):
            yield "follow_up.authorisation.renewal_request_days_before", "must be shorter than what is renewed"


def _of_cadence(cadence: Cadence, tiers: tuple[str, ...]) -> Said:
    path = "follow_up.cadence"
    for index, phase in enumerate(cadence.phase):
        where = f"{path}.phase[{index}]"
        if phase.until_day <= phase.from_day:
            yield f"{where}.until_day", "must come after from_day: the phase never holds"
        if not phase.every_days:
            yield f"{where}.every_days", f"must name at least one tier, or {ANY_TIER!r}"
        yield from _by_tier(phase.every_days, f"{where}.every_days", tiers, 1, 365)
    for index, owed in enumerate(cadence.in_person):
        if owed.tier not in (*tiers, ANY_TIER, NO_TIER):
            yield f"{path}.in_person[{index}].tier", _unknown_tier(owed.tier, tiers, ANY_TIER)
    yield from _twice(f"{path}.in_person", "tier", tuple(owed.tier for owed in cadence.in_person))
    for index, step in enumerate(cadence.step_up):
        if step.every_days > step.for_days:
            yield f"{path}.step_up[{index}].every_days", "must not be longer than for_days: no contact would ever fall into it"
    yield from _twice(f"{path}.step_up", "after", tuple(step.after for step in cadence.step_up))
    for index, overlay in enumerate(cadence.overlay):
        where = f"{path}.overlay[{index}]"
        if overlay.circumstance not in tuple(Circumstance):
            wrong = _wrong_name(ConditionKind.CIRCUMSTANCE, overlay.circumstance, {}, ())
            yield f"{where}.circumstance", wrong
        if not KEY.fullmatch(overlay.key):
            yield f"{where}.key", "must be a short name of lower-case letters, digits and hyphens"
    yield from _twice(f"{path}.overlay", "key", tuple(overlay.key for overlay in cadence.overlay))


def _by_tier(table: Mapping[str, int], path: str, tiers: tuple[str, ...], low: int, high: int) -> Said:
    for name, said in table.items():
        if name not in (*tiers, ANY_TIER, NO_TIER):
            yield f"{path}.{name}", _unknown_tier(name, tiers, ANY_TIER)
        if not low <= said <= high:
            yield f"{path}.{name}", f"must lie between {low} and {high}, not {said if abs(said) < 10**60 else 'so large a number'}"


def _unknown_tier(name: str, tiers: tuple[str, ...], *besides: str) -> str:
    if not tiers:
        return f"{name!r} is a tier, and the plan has none; use {ANY_TIER!r}, or list it in follow_up.tiers.order"
    return f"{name!r} is no tier of this plan; it has {', '.join((*tiers, *besides))}"


def _twice(path: str, field_name: str, names: tuple[str, ...]) -> Said:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{path}[{index}].{field_name}", f"'{name}' stands twice"
