"""Every field of a policy's rules of transitional care changes what happens to somebody; a field without such a case fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from domain.interactions import Interaction, SpokenTo
from domain.policy import ChecklistItem, Evidence, Transition
from domain.rule_shapes import Basis, Warn
from domain.staff.facts import Licence
from domain.stay.facts import StayClass
from domain.transition.decider import CompleteItem
from domain.transition.facts import TransitionalCareEnded
from tests.given import LEAD, NURSE, STAY, TRANSITION, at
from tests.scenarios.hospital_story import SECOND, HospitalStory

CALL, VISIT, DOCUMENT = f"call/{STAY}", f"visit/{STAY}", f"discharge_document/{STAY}"
MEDICINES, PRIMARY = f"medicines_obtained/{STAY}", f"primary_care_connected/{STAY}"

CALL_AT, VISIT_AT, RECONCILED_AT, OBTAINED_AT, DOCUMENT_AT, PRIMARY_AT = 0, 1, 3, 4, 7, 11
"""Where the items stand in the default policy's list."""


@dataclass(frozen=True)
class Case:
    """`shows` looks at a story told under a policy; `changes` is what differs, `before` and `after` what it shows."""

    changes: dict[str, Any]
    shows: Callable[[HospitalStory], Any]
    before: Any
    after: Any


# --- what is told ----------------------------------------------------------------------------------------------------------------


def admitted(story: HospitalStory) -> HospitalStory:
    return story.admitted("2026-11-18 09:30 PST", heard="2026-11-18 10:00 PST")


def home(story: HospitalStory) -> HospitalStory:
    return admitted(story).discharged("2026-11-20 14:00 PST")


def all_done(story: HospitalStory) -> HospitalStory:
    home(story).visits("2026-11-23 10:00 PST").completes("follow_up_appointment", "2026-11-23 10:30 PST")
    return story.completes("needs_connected", "2026-11-23 11:00 PST")


def ended_at(story: HospitalStory) -> Any:
    story.on("2027-01-20 09:00 PST")
    return [r.occurred_at for r in story.recorded(TransitionalCareEnded, TRANSITION)]


def due(key: str) -> Callable[[HospitalStory], Any]:
    return lambda story: home(story).due(key)


def warned(story: HospitalStory) -> list[tuple[Any, str]]:
    home(story).on("2026-11-28 09:00 PST")
    near = [r for r in story.memory.streams[TRANSITION] if getattr(r.fact, "template", "") == "deadline_near"]
    return [(r.occurred_at, r.fact.recipient) for r in near if r.fact.expires_at == at("2026-11-27 24:00 PST")]


def admitted_two_days_after_an_emergency(story: HospitalStory) -> str:
    story.admitted("2026-11-18 22:00 PST", as_=StayClass.EMERGENCY).discharged("2026-11-19 02:00 PST")
    return story.admitted("2026-11-21 09:00 PST", SECOND).state(f"follow_up_appointment/{STAY}").value


def readmitted_on_day_6(story: HospitalStory) -> str:
    home(story).admitted("2026-11-26 09:00 PST", SECOND)
    return story.state(f"day_14_contact/{STAY}").value


def emergency(key: str) -> Callable[[HospitalStory], bool]:
    def shows(story: HospitalStory) -> bool:
        story.admitted("2026-11-18 22:00 PST", as_=StayClass.EMERGENCY).discharged("2026-11-19 02:00 PST")
        return key in story.open_keys()

    return shows


def escalated(story: HospitalStory) -> list[Any]:
    admitted(story).on("2026-11-21 09:00 PST")
    found = [r for r in story.memory.streams[TRANSITION] if getattr(r.fact, "template", "") == "admission_notice_escalated"]
    return [r.occurred_at for r in found]


def after_a_caregiver(story: HospitalStory) -> str:
    return home(story).talks("2026-11-23 10:00 PST", to=SpokenTo.CAREGIVER).state(CALL).value


def after_a_visit(story: HospitalStory) -> str:
    return home(story).visits("2026-11-23 10:00 PST").state(VISIT).value


def after_a_phone_call(story: HospitalStory) -> str:
    return home(story).talks("2026-11-23 10:00 PST").state(VISIT).value


def done_before_discharge(story: HospitalStory) -> str:
    admitted(story).completes("discharge_document", "2026-11-19 10:00 PST").discharged("2026-11-20 14:00 PST")
    return story.state(DOCUMENT).value


def to_a_nursing_facility(story: HospitalStory) -> bool:
    return MEDICINES in admitted(story).discharged("2026-11-20 14:00 PST", to="03").open_keys()


def done_on_day_31(story: HospitalStory) -> str:
    return home(story).completes("medicines_obtained", "2026-12-21 10:00 PST").state(MEDICINES).value


def reconciled_by_a_nurse(story: HospitalStory) -> str:
    home(story).on("2026-11-23 10:00 PST")
    done = CompleteItem(stream=TRANSITION, by=NURSE, item="medication_reconciliation", interaction=Interaction.DOCUMENT)
    decision = story.memory.handle(done)
    return getattr(decision, "code", "done")


def looked_at_first(story: HospitalStory) -> Any:
    return admitted(story).due(f"discharge_review/{STAY}/0")


def looked_at_after_support(story: HospitalStory) -> Any:
    return home(story).on("2026-12-21 09:00 PST").due(f"support_review/{STAY}/0")


def keys(story: HospitalStory) -> bool:
    return any(key.startswith("welcome_call/") for key in home(story).open_keys())


def listed(story: HospitalStory) -> int:
    return len({o.key for o in home(story).transition.obligations if not o.key.startswith("notice")})


ONE_ITEM = (ChecklistItem(
    key="visit", opens_day=0, due_day=7, basis=Basis.CALENDAR, holiday_calendar="none", closes_day=30, evidence=Evidence.IN_PERSON
),)  # fmt: skip

CASES: dict[str, Case] = {
    "support_days_min": Case(
        {"transition__support_days_min": 45},
        lambda story: ended_at(all_done(story)),
        [at("2026-12-20 24:00 PST")],
        [at("2027-01-04 24:00 PST")],
    ),
    "restart_within_days": Case({"transition__restart_within_days": 5}, readmitted_on_day_6, "withdrawn", "open"),
    "linked_within_days": Case(
        {"transition__linked_within_days": 2}, admitted_two_days_after_an_emergency, "open", "withdrawn"
    ),
    "discharge_review_days": Case(
        {"transition__discharge_review_days": 3}, looked_at_first, at("2026-11-25 09:30 PST"), at("2026-11-21 09:30 PST")
    ),
    "review_every_days": Case(
        {"transition__review_every_days": 14},
        looked_at_after_support,
        at("2026-12-28 00:00 PST"),
        at("2027-01-04 00:00 PST"),
    ),
    "emergency_visits": Case({"transition__emergency_visits": False}, emergency(CALL), True, False),
    "admission_notice.hours": Case(
        {"transition__admission_notice__hours": 48},
        lambda story: admitted(story).due(f"notice/{STAY}"),
        at("2026-11-19 10:00 PST"),
        at("2026-11-20 10:00 PST"),
    ),
    "admission_notice.escalate_after_hours": Case(
        {"transition__admission_notice__escalate_after_hours": 4},
        escalated,
        [at("2026-11-19 02:00 PST")],
        [at("2026-11-18 14:00 PST")],
    ),
    "item": Case({"transition__item": ONE_ITEM}, listed, 13, 1),
    "item.key": Case({f"transition__item__{CALL_AT}__key": "welcome_call"}, keys, False, True),
    "item.opens_day": Case(
        {f"transition__item__{VISIT_AT}__opens_day": 4}, after_a_visit, "met", "open"
    ),
    "item.due_day": Case(
        {f"transition__item__{VISIT_AT}__due_day": 5}, due(VISIT), at("2026-11-27 24:00 PST"), at("2026-11-25 24:00 PST")
    ),
    "item.basis": Case(
        {f"transition__item__{CALL_AT}__basis": Basis.CALENDAR}, due(CALL), at("2026-11-24 24:00 PST"), at("2026-11-22 24:00 PST")
    ),
    "item.holiday_calendar": Case(
        {f"transition__item__{CALL_AT}__holiday_calendar": "none"},
        lambda story: admitted(story).discharged("2026-11-25 11:00 PST").due(CALL),
        at("2026-11-30 24:00 PST"),
        at("2026-11-27 24:00 PST"),
    ),
    "item.closes_day": Case({f"transition__item__{OBTAINED_AT}__closes_day": 40}, done_on_day_31, "missed", "met_late"),
    "item.evidence": Case(
        {f"transition__item__{VISIT_AT}__evidence": Evidence.CONTACT}, after_a_phone_call, "open", "met"
    ),
    "item.licences": Case(
        {f"transition__item__{RECONCILED_AT}__licences": (Licence.PHARMACIST,)}, reconciled_by_a_nurse, "done", "licence_missing"
    ),
    "item.caregiver_counts": Case(
        {f"transition__item__{CALL_AT}__caregiver_counts": False}, after_a_caregiver, "met", "open"
    ),
    "item.home_only": Case({f"transition__item__{OBTAINED_AT}__home_only": False}, to_a_nursing_facility, False, True),
    "item.before_discharge": Case(
        {f"transition__item__{DOCUMENT_AT}__before_discharge": False}, done_before_discharge, "met", "open"
    ),
    "item.after_emergency": Case({f"transition__item__{PRIMARY_AT}__after_emergency": True}, emergency(PRIMARY), False, True),
    "item.needed_to_end": Case(
        {f"transition__item__{PRIMARY_AT}__needed_to_end": True},
        lambda story: ended_at(all_done(story)),
        [at("2026-12-20 24:00 PST")],
        [],
    ),
    "warn": Case(
        {"transition__warn": ()},
        warned,
        [(at("2026-11-25 19:59:59 PST"), LEAD), (at("2026-11-26 19:59:59 PST"), "staff-boss")],
        [],
    ),
    "warn.days_before": Case(
        {"transition__warn": (Warn(days_before=3, to="owner"),)}, warned,
        [(at("2026-11-25 19:59:59 PST"), LEAD), (at("2026-11-26 19:59:59 PST"), "staff-boss")],
        [(at("2026-11-24 19:59:59 PST"), LEAD)],
    ),
    "warn.to": Case(
        {"transition__warn": (Warn(days_before=2, to="supervisor"),)}, warned,
        [(at("2026-11-25 19:59:59 PST"), LEAD), (at("2026-11-26 19:59:59 PST"), "staff-boss")],
        [(at("2026-11-25 19:59:59 PST"), "staff-boss")],
    ),
}  # fmt: skip


def paths(kind: type, before: str = "") -> Iterator[str]:
    """The fields of a rule shape and of the shapes in it; one that only holds another shape is no field of its own."""
    hints = get_type_hints(kind)
    for f in fields(kind):
        hint, path = hints[f.name], f"{before}{f.name}"
        inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if is_dataclass(inner):
            assert isinstance(inner, type)
            yield from paths(inner, f"{path}.")
        if inner is hint and is_dataclass(inner):
            continue
        yield path


@pytest.mark.parametrize("path", sorted(paths(Transition)))
def test_every_field_changes_what_happens_to_somebody(path: str) -> None:
    assert path in CASES, f"transition.{path} has no case of a member whose outcome it changes"
    case = CASES[path]
    assert case.shows(HospitalStory("2026-11-02 09:00 PST")) == case.before
    assert case.shows(HospitalStory("2026-11-02 09:00 PST", **case.changes)) == case.after


def test_every_case_is_of_a_field() -> None:
    assert set(CASES) == set(paths(Transition))


def test_a_due_beyond_the_holiday_calendar_is_a_task_for_staff_and_no_guess() -> None:
    story = HospitalStory("2027-12-01 09:00 PST").admitted("2027-12-20 09:30 PST").discharged("2027-12-30 14:00 PST")
    owed = story.item(CALL)
    assert owed.state.value == "infeasible"
    assert "holiday calendar" in owed.how


def test_the_day_of_the_discharge_is_counted_where_the_plan_works() -> None:
    story = HospitalStory("2026-11-02 09:00 PST", timezone="America/New_York")
    story.admitted("2026-11-18 09:30 PST").discharged("2026-11-20 22:30 PST")
    assert story.due(VISIT) == at("2026-11-28 24:00 EST")
