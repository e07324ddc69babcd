"""Transitional care as scenarios: domain.md 7, 46 to 52, 57 and 59 to 63. Dates are worked out by hand; no test imports a calendar.

In 2026 the 20th of November is a Friday, Thanksgiving (a federal holiday) the 26th, a Thursday.
"""

from __future__ import annotations

from datetime import date

import pytest

from domain.alerts import AcknowledgeAlert
from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn
from domain.core import ObligationState
from domain.episode.closing import CloseEpisode
from domain.episode.decider import ReapplyPolicy
from domain.episode.facts import ClosureReason
from domain.episode.holds import Hold, Resume
from domain.episode.leads import HandOver
from domain.interactions import Interaction, SpokenTo
from domain.member.decider import AttributeStay, DetachStay, LoseCoverage, ReportDeath, RestoreCoverage, WithdrawDeathReport
from domain.member.facts import DeathReported
from domain.records import ApproveBackdatedRecord, StrikeOutRecord
from domain.requests import MessageRequested
from domain.staff.decider import AnnounceAbsence, ShowLicence
from domain.staff.facts import Licence
from domain.stay.decider import EnterAdmission, EnterDischarge
from domain.stay.facts import StayClass, VisitBecame
from domain.transition.decider import (
    CompleteItem,
    RecordTransitionContact,
    ReopenItem,
    ReviewStay,
)
from domain.transition.facts import (
    ChecklistItemDone,
    Finding,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionContactMade,
)
from tests.given import BOSS, DEPUTY, EPISODE, LEAD, MEMBER, NURSE, STAY, TRANSITION, at, varied
from tests.scenarios.hospital_story import SECOND, HospitalStory, nothing_arrives

OPEN, MET, MISSED = ObligationState.OPEN, ObligationState.MET, ObligationState.MISSED
LATE, WITHDRAWN = ObligationState.MET_LATE, ObligationState.WITHDRAWN

CALL, VISIT, INTERACTION = f"call/{STAY}", f"visit/{STAY}", f"synchronous_interaction/{STAY}"
NOTICE, READ = f"notice/{STAY}", f"notice_read/{STAY}"


def in_hospital() -> HospitalStory:
    """Admitted on Wednesday the 18th at 9:30; the message came at 10:00."""
    return HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 09:30 PST", heard="2026-11-18 10:00 PST")


def home_on_friday() -> HospitalStory:
    return in_hospital().discharged("2026-11-20 14:00 PST", heard="2026-11-20 14:05 PST")


# --- 46: the notice --------------------------------------------------------------------------------------------------------------


def test_46_the_lead_care_manager_is_told_within_24_hours_of_the_message() -> None:
    story = in_hospital()
    (alert,) = story.alerts("admission_notice", TRANSITION)
    assert (alert.recipient, alert.about) == (LEAD, STAY)
    assert story.due(NOTICE) == at("2026-11-19 10:00 PST")
    assert story.state(NOTICE) is MET
    assert story.state(READ) is OPEN and story.item(READ).owed_by == LEAD


@pytest.mark.parametrize(("emergency_visits", "told"), [(True, 2), (False, 1)])
def test_46_an_emergency_visit_that_becomes_an_admission_is_told_of_once_more(emergency_visits: bool, told: int) -> None:
    story = HospitalStory("2026-11-02 09:00 PST", varied(transition__emergency_visits=emergency_visits))
    story.admitted("2026-11-18 22:00 PST", as_=StayClass.EMERGENCY)
    assert len(story.alerts("admission_notice", TRANSITION)) == told - 1
    became = VisitBecame(
        order="", received_at=at("2026-11-19 03:00 PST"), source="mercy", facility="mercy", stay_class=StayClass.INPATIENT,
        changed_at=at("2026-11-19 03:00 PST"),
    )  # fmt: skip
    story.hears(STAY, "2026-11-19 03:00 PST", became, None, None)
    story.described("2026-11-19 09:00 PST").on("2026-11-19 12:00 PST")
    assert [a.recipient for a in story.alerts("admission_notice", TRANSITION)] == [LEAD] * told, "one each"
    assert story.due(NOTICE) == at("2026-11-19 22:00 PST") if emergency_visits else True, "the clock of the first stands"


def test_an_admission_that_becomes_an_outpatient_visit_in_the_same_bed_goes_on() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 22:00 PST")
    became = VisitBecame(
        order="", received_at=at("2026-11-19 03:00 PST"), source="mercy", facility="mercy", stay_class=StayClass.OUTPATIENT,
        changed_at=at("2026-11-19 03:00 PST"),
    )  # fmt: skip
    story.hears(STAY, "2026-11-19 03:00 PST", became, None, None).on("2026-11-19 12:00 PST")
    assert story.said(TransitionalCareEnded) == []
    story.discharged("2026-11-20 10:00 PST", as_=StayClass.OUTPATIENT).on("2026-11-20 12:00 PST")
    assert story.state(CALL) is OPEN


def test_46_the_lateness_of_the_feed_is_kept_beside_the_notice() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 09:30 PST", heard="2026-11-20 08:00 PST")
    (opened,) = story.said(TransitionalCareOpened)
    assert opened.since == at("2026-11-18 09:30 PST")
    assert story.item(NOTICE).window.opens == at("2026-11-20 08:00 PST")
    assert story.due(NOTICE) == at("2026-11-21 08:00 PST")


def test_46_an_unread_notice_goes_to_the_supervisor_inside_the_24_hours_and_stays_open() -> None:
    story = in_hospital().on("2026-11-19 01:59 PST")
    assert not story.alerts("admission_notice_escalated", TRANSITION)
    story.on("2026-11-19 02:00 PST")
    (alert,) = story.alerts("admission_notice_escalated", TRANSITION)
    assert alert.recipient == BOSS
    story.on("2026-11-25 10:00 PST")
    assert story.state(READ) is MISSED
    story.do(AcknowledgeAlert(stream=TRANSITION, by=LEAD, key=f"notice/{STAY}/{LEAD}#1"))
    assert story.state(READ) is LATE


def test_46_a_notice_that_is_read_in_time_alerts_nobody_else() -> None:
    story = in_hospital().on("2026-11-18 11:00 PST")
    story.do(AcknowledgeAlert(stream=TRANSITION, by=LEAD, key=f"notice/{STAY}/{LEAD}#1"))
    story.on("2026-11-20 11:00 PST")
    assert story.state(READ) is MET
    assert not story.alerts("admission_notice_escalated", TRANSITION)


def test_46_without_a_lead_care_manager_the_supervisors_are_told_at_once() -> None:
    story = HospitalStory("2026-11-02 09:00 PST", lead=None).admitted("2026-11-18 09:30 PST")
    (alert,) = story.alerts("admission_notice_escalated", TRANSITION)
    assert alert.recipient == "role:supervisor"
    assert story.item(READ).owed_by == "role:supervisor"


def test_46_an_absent_lead_care_manager_s_supervisor_is_told_and_owes_until_the_return() -> None:
    story = HospitalStory("2026-11-02 09:00 PST")
    story.do(AnnounceAbsence(stream=LEAD, by=BOSS, first_day=date(2026, 11, 16), last_day=date(2026, 11, 20)))
    story.admitted("2026-11-18 09:30 PST")
    assert [a.recipient for a in story.alerts("admission_notice_escalated", TRANSITION)] == [BOSS]
    assert story.item(READ).owed_by == BOSS
    story.on("2026-11-21 00:00 PST")
    assert story.item(READ).owed_by == LEAD


def test_46_an_alert_that_cannot_be_delivered_falls_to_the_supervisor_at_once() -> None:
    story = HospitalStory("2026-11-02 09:00 PST")
    story.memory.carrier = nothing_arrives
    story.admitted("2026-11-18 09:30 PST")
    assert [a.recipient for a in story.alerts("admission_notice_escalated", TRANSITION)] == [BOSS]
    story.on("2026-11-20 09:30 PST")
    assert story.state(NOTICE) is MISSED


def test_46_after_a_hand_over_the_new_lead_care_manager_is_told_of_what_is_unread() -> None:
    story = in_hospital()
    story.do(HandOver(stream=EPISODE, by=BOSS, receiver=NURSE))
    assert [a.recipient for a in story.alerts("admission_notice", TRANSITION)] == [LEAD, NURSE]
    assert story.due(NOTICE) == at("2026-11-19 10:00 PST")


# --- 47: the checklist -----------------------------------------------------------------------------------------------------------


def test_47_after_a_friday_discharge_home_the_call_is_due_on_tuesday() -> None:
    story = home_on_friday()
    assert story.due(CALL) == at("2026-11-24 24:00 PST")
    assert story.due(VISIT) == at("2026-11-27 24:00 PST")
    assert story.due(INTERACTION) == at("2026-11-27 24:00 PST")
    assert story.item(INTERACTION).window.opens == at("2026-11-21 00:00 PST")
    assert story.due(f"day_14_contact/{STAY}") == at("2026-12-04 24:00 PST")
    assert story.due(f"medication_reconciliation/{STAY}") == at("2026-12-20 24:00 PST")
    assert len(story.said(DueSet)) == 15


def test_47_a_discharge_before_thanksgiving_skips_the_holiday_and_the_weekend() -> None:
    story = in_hospital().discharged("2026-11-25 11:00 PST")
    assert story.due(CALL) == at("2026-11-30 24:00 PST")
    assert story.due(VISIT) == at("2026-12-02 24:00 PST")


def test_47_support_ends_no_earlier_than_the_thirtieth_day() -> None:
    story = home_on_friday().visits("2026-11-23 10:00 PST")
    story.completes("follow_up_appointment", "2026-11-24 10:00 PST").completes("needs_connected", "2026-12-01 10:00 PST")
    story.completes("medication_reconciliation", "2026-12-01 11:00 PST", by=NURSE)
    story.completes("primary_care_connected", "2026-12-01 12:00 PST")
    story.on("2026-12-20 23:59 PST")
    assert not story.said(TransitionalCareEnded)
    story.on("2026-12-21 00:00 PST")
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="supported")]
    assert story.transition.done


def test_47_a_window_across_the_change_of_clocks_ends_at_the_local_midnight() -> None:
    story = HospitalStory("2026-10-01 09:00 PDT").admitted("2026-10-26 09:00 PDT").discharged("2026-10-29 14:00 PDT")
    assert story.due(VISIT) == at("2026-11-05 24:00 PST")


def test_47_where_only_the_day_is_known_the_clocks_count_from_its_end() -> None:
    story = in_hospital().discharged("2026-11-20 24:00 PST", on_day=date(2026, 11, 20), heard="2026-11-20 16:00 PST")
    assert f"discharge_review/{STAY}/0" in story.open_keys()
    story.on("2026-11-21 00:00 PST")
    assert story.due(CALL) == at("2026-11-24 24:00 PST")
    assert story.due(VISIT) == at("2026-11-27 24:00 PST")


# --- 48 to 51: cancelled, corrected, out of order, twice -------------------------------------------------------------------------


def test_48_a_cancelled_admission_withdraws_everything_and_keeps_both_messages() -> None:
    story = in_hospital().admission_cancelled("2026-11-18 15:00 PST")
    assert story.state(READ) is WITHDRAWN
    assert story.state(NOTICE) is MET
    assert story.open_keys() == set()
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="no_stay")], "nobody was supported"
    assert len(story.memory.facts(STAY)) == 2


def test_49_a_cancelled_discharge_stops_its_clocks_and_a_later_one_starts_them_afresh() -> None:
    story = home_on_friday().discharge_cancelled("2026-11-21 09:00 PST")
    (cancelled,) = [r.event_id for r in story.recorded(object, STAY)][2:]
    assert story.state(CALL) is WITHDRAWN
    assert story.item(CALL).because.facts[-1] == cancelled
    assert story.open_keys() == {f"discharge_review/{STAY}/0"}
    story.discharged("2026-11-23 10:00 PST")
    assert story.due(f"call/{STAY}~{cancelled}") == at("2026-11-25 24:00 PST")
    assert story.due(f"visit/{STAY}~{cancelled}") == at("2026-11-30 24:00 PST")
    assert story.state(CALL) is WITHDRAWN


def test_49_what_was_missed_before_the_cancellation_stays_missed() -> None:
    story = home_on_friday().discharge_cancelled("2026-11-25 09:00 PST")
    assert story.state(CALL) is MISSED
    assert story.state(VISIT) is WITHDRAWN


def test_49_a_corrected_time_of_discharge_rewrites_only_the_dues_that_change() -> None:
    story = home_on_friday().described("2026-11-20 18:00 PST", discharged_at=at("2026-11-19 09:00 PST"))
    assert story.due(CALL) == at("2026-11-23 24:00 PST")
    assert story.due(VISIT) == at("2026-11-26 24:00 PST")
    assert not [m for m in story.said(DeadlineMissed) if not m.key.startswith("notice")]


def test_49_a_correction_after_the_due_takes_the_miss_back_and_sets_the_new_due() -> None:
    story = home_on_friday().on("2026-11-25 09:00 PST")
    assert story.state(CALL) is MISSED
    story.described("2026-11-25 10:00 PST", discharged_at=at("2026-11-24 09:00 PST"))
    assert story.due(CALL) == at("2026-11-27 24:00 PST")
    assert story.state(CALL) is OPEN
    assert [m.reason for m in story.said(MissWithdrawn) if m.key == CALL] == ["due_moved"]


@pytest.mark.parametrize("delayed", [False, True])
def test_50_a_discharge_that_comes_before_its_admission_ends_in_the_same_state(delayed: bool) -> None:
    story = HospitalStory("2026-11-02 09:00 PST")
    admission = {"when": "2026-11-18 09:30 PST", "said": "2026-11-18 09:31 PST"}
    discharge = {"when": "2026-11-20 14:00 PST", "said": "2026-11-20 14:01 PST"}
    if delayed:
        story.discharged(**discharge, heard="2026-11-20 14:05 PST").admitted(**admission, heard="2026-11-20 16:00 PST")
    else:
        story.admitted(**admission, heard="2026-11-20 14:05 PST").discharged(**discharge, heard="2026-11-20 16:00 PST")
    story.on("2026-11-20 17:00 PST")
    assert story.due(CALL) == at("2026-11-24 24:00 PST")
    assert story.due(NOTICE) == at("2026-11-21 14:05 PST")
    assert story.open_keys() >= {CALL, VISIT, INTERACTION, READ}
    assert f"discharge_review/{STAY}/0" not in story.open_keys()


def test_50_a_late_admission_or_update_never_reopens_the_stay() -> None:
    story = home_on_friday()
    story.described("2026-11-20 20:00 PST", stay_class=StayClass.INPATIENT)
    story.admitted("2026-11-18 09:30 PST", heard="2026-11-21 09:00 PST", said="2026-11-18 09:31 PST")
    assert story.state(CALL) is OPEN
    assert f"discharge_review/{STAY}/0" not in story.open_keys()


def test_50_a_delayed_original_never_overrides_its_correction() -> None:
    story = in_hospital()
    story.discharged("2026-11-19 09:00 PST", said="2026-11-20 18:00 PST", heard="2026-11-20 18:05 PST")
    story.discharged("2026-11-20 10:00 PST", said="2026-11-20 10:00 PST", heard="2026-11-20 19:00 PST")
    assert story.due(CALL) == at("2026-11-23 24:00 PST")


def test_51_the_same_discharge_twice_is_one_discharge() -> None:
    story = home_on_friday().discharged("2026-11-20 14:00 PST", heard="2026-11-20 15:00 PST", said="2026-11-20 14:05 PST")
    assert len([d for d in story.said(DueSet) if d.rule == "transition.call"]) == 1
    assert [o.key for o in story.transition.obligations if o.because.rule == "transition.call"] == [CALL]
    assert story.due(CALL) == at("2026-11-24 24:00 PST")


# --- 52, 60c: again in hospital --------------------------------------------------------------------------------------------------


def test_52_a_readmission_on_day_4_suspends_the_first_checklist_and_the_last_discharge_starts_it_afresh() -> None:
    story = home_on_friday().admitted("2026-11-24 08:00 PST", SECOND)
    assert story.state(CALL) is WITHDRAWN
    assert story.item(CALL).because.reason == "readmitted"
    story.discharged("2026-11-27 12:00 PST", SECOND)
    assert story.due(f"visit/{SECOND}") == at("2026-12-04 24:00 PST")
    assert story.item(f"visit/{SECOND}").owed_by == LEAD
    story.completes("follow_up_appointment", "2026-11-30 10:00 PST").completes("needs_connected", "2026-11-30 10:00 PST")
    story.on("2026-12-27 23:59 PST")
    assert not story.said(TransitionalCareEnded)
    story.on("2026-12-28 00:00 PST")
    assert story.said(TransitionalCareEnded)


def test_52_a_readmission_after_the_restart_days_lets_the_first_checklist_rest_meanwhile() -> None:
    story = home_on_friday().admitted("2026-11-30 08:00 PST", SECOND)
    assert story.item(f"day_14_contact/{STAY}").suspended
    story.discharged("2026-12-03 12:00 PST", SECOND)
    assert story.due(f"day_14_contact/{STAY}") == at("2026-12-07 24:00 PST")
    assert story.due(f"day_14_contact/{SECOND}") == at("2026-12-17 24:00 PST")
    assert story.state(VISIT) is MISSED


def test_52_a_readmission_that_is_cancelled_gives_the_first_checklist_its_days_back() -> None:
    story = home_on_friday().admitted("2026-11-23 08:00 PST", SECOND)
    assert story.state(VISIT) is WITHDRAWN
    story.admission_cancelled("2026-11-24 09:00 PST", SECOND)
    assert story.state(VISIT) is OPEN
    assert story.due(VISIT) == at("2026-11-28 24:00 PST")


def test_60c_two_discharges_within_seven_days_count_once_at_the_last() -> None:
    story = HospitalStory("2026-12-15 09:00 PST").admitted("2026-12-29 09:00 PST").discharged("2027-01-01 10:00 PST")
    story.admitted("2027-01-03 10:00 PST", SECOND).discharged("2027-01-05 10:00 PST", SECOND).on("2027-01-20 10:00 PST")
    assert story.state(INTERACTION) is WITHDRAWN
    assert story.state(f"synchronous_interaction/{SECOND}") is MISSED
    assert story.due(f"synchronous_interaction/{SECOND}") == at("2027-01-12 24:00 PST")


# --- 53, 54: facilities, transfers, emergency visits -----------------------------------------------------------------------------


def test_53_a_transfer_to_a_nursing_facility_is_no_end_and_starts_nothing_that_belongs_at_home() -> None:
    story = in_hospital().discharged("2026-11-20 14:00 PST", to="03")
    keys = story.open_keys()
    assert {INTERACTION, VISIT, f"medication_reconciliation/{STAY}"} <= keys, "it is a transition, and its care goes on"
    at_home = {CALL, f"medicines_obtained/{STAY}", f"medicines_understood/{STAY}", f"side_effects_asked/{STAY}"}
    assert not keys & at_home, "TCM's call within two business days is about homes"


def test_53_a_nursing_facility_can_be_entered_by_hand_and_its_discharge_home_starts_the_full_checklist() -> None:
    story = in_hospital().discharged("2026-11-20 14:00 PST", to="03").on("2026-11-20 18:00 PST")
    entered = {"facility": "seaview", "stay_class": StayClass.NURSING_FACILITY, "admitted_at": at("2026-11-20 16:00 PST")}
    story.do(EnterAdmission(stream=SECOND, by=LEAD, member=MEMBER, episode=EPISODE, **entered))
    assert story.state(INTERACTION) is OPEN
    story.on("2026-12-10 12:00 PST")
    story.do(EnterDischarge(stream=SECOND, by=LEAD, discharged_on=date(2026, 12, 9), disposition="01"))
    assert story.due(f"call/{SECOND}") == at("2026-12-11 24:00 PST")
    assert story.due(f"medicines_obtained/{SECOND}") == at("2026-12-16 24:00 PST")


def test_53_a_transfer_to_another_hospital_waits_for_its_admission() -> None:
    story = in_hospital().discharged("2026-11-20 14:00 PST", to="02")
    assert story.open_keys() - {READ} == {f"placement_review/{STAY}/0"}
    story.admitted("2026-11-20 17:00 PST", SECOND)
    assert story.open_keys() - {READ} == {f"discharge_review/{SECOND}/0", f"notice_read/{SECOND}"}


def test_53_a_transfer_whose_admission_was_said_first_is_one_transition() -> None:
    story = in_hospital().admitted("2026-11-20 13:00 PST", SECOND).discharged("2026-11-20 14:00 PST", to="02")
    assert CALL not in story.open_keys() and f"placement_review/{STAY}/0" not in story.open_keys()
    story.discharged("2026-11-25 10:00 PST", SECOND)
    assert f"call/{SECOND}" in story.open_keys()


def test_54_an_emergency_visit_without_admission_is_followed_up() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 22:00 PST", as_=StayClass.EMERGENCY)
    story.discharged("2026-11-19 02:00 PST")
    assert story.due(f"follow_up_appointment/{STAY}") == at("2026-11-26 24:00 PST")
    assert VISIT not in story.open_keys()


def test_54_an_emergency_visit_that_becomes_an_admission_counts_once() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-18 22:00 PST", as_=StayClass.EMERGENCY)
    story.discharged("2026-11-19 02:00 PST").admitted("2026-11-19 02:30 PST", SECOND)
    assert story.state(f"follow_up_appointment/{STAY}") is WITHDRAWN
    assert story.item(f"follow_up_appointment/{STAY}").because.reason == "linked_stay"


# --- 57, 58: whose stay it is ----------------------------------------------------------------------------------------------------


def test_57_before_enrolment_a_stay_starts_nothing_here() -> None:
    story = HospitalStory("2026-11-02 09:00 PST", enrolled=False).admitted("2026-11-18 09:30 PST")
    story.discharged("2026-11-20 14:00 PST").on("2026-12-20 09:00 PST")
    assert story.said() == []


def test_57_a_stay_of_a_closed_episode_starts_nothing() -> None:
    story = HospitalStory("2026-11-02 09:00 PST")
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.MEMBER_WITHDREW))
    story.admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:00 PST").on("2026-12-20 09:00 PST")
    assert story.open_keys() == set()
    assert story.said(DueSet) == story.said(MessageRequested) == []
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="closed_member_withdrew")]


def test_57_the_end_of_the_episode_withdraws_what_is_open() -> None:
    story = home_on_friday().on("2026-11-23 09:00 PST")
    story.do(CloseEpisode(stream=EPISODE, by=BOSS, reason=ClosureReason.MOVED_COUNTY))
    assert story.open_keys() == set()
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="closed_moved_county")]
    before = len(story.said())
    story.on("2027-02-01 09:00 PST")
    assert len(story.said()) == before


def test_58_no_clock_runs_before_the_message_is_matched_and_the_waiting_is_visible() -> None:
    story = HospitalStory("2026-11-02 09:00 PST")
    story.admitted("2026-11-18 09:30 PST", attributed=False).discharged("2026-11-20 14:00 PST", attributed=False)
    story.on("2026-11-25 09:00 PST")
    assert story.said() == []
    story.do(AttributeStay(stream=MEMBER, by=BOSS, stay=STAY, episode=EPISODE, evidence="by_hand"))
    assert story.state(NOTICE) is LATE
    assert story.state(CALL) is MISSED
    assert story.state(VISIT) is OPEN
    assert {m.rule: m.late_on_arrival for m in story.said(DeadlineMissed)}["transition.call"] is False


def test_58_a_stay_that_was_another_person_s_withdraws_what_it_started() -> None:
    story = home_on_friday().on("2026-11-25 09:00 PST")
    story.do(DetachStay(stream=MEMBER, by=BOSS, stay=STAY, reason="another patient"))
    assert story.transition.obligations == ()
    assert [m.key for m in story.said(MissWithdrawn)]
    assert story.said(TransitionalCareEnded)


# --- 59, 62: death ---------------------------------------------------------------------------------------------------------------


def test_59_a_discharge_by_death_owes_nothing() -> None:
    story = in_hospital().discharged("2026-11-20 14:00 PST", to="20")
    assert story.open_keys() == set()
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="death_reported")]


def test_59_a_late_update_with_disposition_20_turns_a_discharge_into_a_death() -> None:
    story = home_on_friday().described("2026-11-21 09:00 PST", disposition="20")
    assert story.open_keys() == set()
    assert CALL in {w.key for w in story.said(DueWithdrawn)}


def test_59_a_death_that_is_entered_by_hand_is_reported_to_the_member_s_own_stream() -> None:
    story = in_hospital().on("2026-11-20 15:00 PST")
    entered = {"discharged_at": at("2026-11-20 14:00 PST"), "disposition": "20", "member": MEMBER, "episode": EPISODE}
    story.do(EnterDischarge(stream=STAY, by=LEAD, **entered))
    assert len(story.facts(DeathReported, MEMBER)) == 1
    assert story.open_keys() == set()


def test_62_a_report_of_death_stops_everything_and_its_reversal_restores_it_with_new_dues() -> None:
    story = home_on_friday().on("2026-11-21 09:00 PST")
    story.do(ReportDeath(stream=MEMBER, by=LEAD, source="family"))
    assert story.open_keys() == set()
    assert {w.reason for w in story.said(DueWithdrawn)} == {"death_reported"}
    sent = len(story.said(MessageRequested))
    story.on("2026-11-24 09:00 PST")
    assert len(story.said(MessageRequested)) == sent
    (report,) = story.recorded(DeathReported, MEMBER)
    story.do(WithdrawDeathReport(stream=MEMBER, by=BOSS, report=report.event_id, reason="another person"))
    assert story.state(VISIT) is OPEN
    assert story.due(VISIT) == at("2026-11-30 24:00 PST")
    assert story.due(CALL) == at("2026-11-27 24:00 PST")
    assert story.said(TransitionalCareResumed)


# --- 60, 60a, 60b: what closes an item -------------------------------------------------------------------------------------------


def test_60_medicines_reconciled_by_an_unlicensed_person_stay_open_until_a_nurse_does_it() -> None:
    story = home_on_friday().on("2026-11-23 10:00 PST")
    tick = {"item": "medication_reconciliation", "interaction": Interaction.DOCUMENT}
    assert story.refused(CompleteItem(stream=TRANSITION, by=LEAD, **tick)) == "licence_missing"
    assert story.state(f"medication_reconciliation/{STAY}") is OPEN
    story.do(CompleteItem(stream=TRANSITION, by=NURSE, **tick))
    assert story.state(f"medication_reconciliation/{STAY}") is MET
    (done,) = story.said(ChecklistItemDone)
    assert done.licence is Licence.RN


def test_60_the_licence_must_be_valid_on_the_day_on_which_it_was_done() -> None:
    story = home_on_friday()
    story.do(ShowLicence(stream=NURSE, by=BOSS, licence=Licence.RN, expires_on=date(2026, 11, 22)))
    story.on("2026-11-23 10:00 PST")
    tick = {"item": "medication_reconciliation", "interaction": Interaction.DOCUMENT}
    assert story.refused(CompleteItem(stream=TRANSITION, by=NURSE, **tick)) == "licence_missing"
    story.do(CompleteItem(stream=TRANSITION, by=NURSE, occurred_at=at("2026-11-22 16:00 PST"), **tick))
    assert story.state(f"medication_reconciliation/{STAY}") is MET


def test_60_no_item_closes_by_a_tick_of_the_software() -> None:
    story = home_on_friday()
    tick = CompleteItem(stream=TRANSITION, by="system", item="medicines_obtained", interaction=Interaction.DOCUMENT)
    assert story.refused(tick) == "person_needed"


def test_60_an_item_that_was_found_not_to_be_done_is_open_again_and_says_why() -> None:
    story = home_on_friday().completes("medicines_obtained", "2026-11-23 10:00 PST")
    assert story.state(f"medicines_obtained/{STAY}") is MET
    story.do(ReopenItem(stream=TRANSITION, by=LEAD, item="medicines_obtained", reason="the pharmacy had none"))
    assert story.state(f"medicines_obtained/{STAY}") is OPEN


def test_60_an_item_that_is_reopened_after_its_due_is_missed_as_of_the_due() -> None:
    story = home_on_friday().completes("medicines_obtained", "2026-11-23 10:00 PST").on("2026-12-01 10:00 PST")
    story.do(ReopenItem(stream=TRANSITION, by=LEAD, item="medicines_obtained", reason="the pharmacy had none"))
    (missed,) = [r for r in story.recorded(DeadlineMissed, TRANSITION) if r.fact.rule == "transition.medicines_obtained"]
    assert missed.occurred_at == at("2026-11-27 24:00 PST")


def test_60a_voicemails_and_a_call_with_the_ward_nurse_are_no_interaction() -> None:
    story = home_on_friday().leaves_voicemail("2026-11-21 10:00 PST").leaves_voicemail("2026-11-23 10:00 PST")
    story.talks("2026-11-24 10:00 PST", to=SpokenTo.FACILITY).on("2026-11-28 00:00 PST")
    assert story.state(INTERACTION) is MISSED
    assert len(story.said(TransitionAttemptMade)) == 2
    assert "2 attempts" in story.item(INTERACTION).how


def test_60a_a_voicemail_cannot_be_recorded_as_a_contact() -> None:
    story = home_on_friday()
    said = {"interaction": Interaction.VOICEMAIL, "spoken_to": SpokenTo.MEMBER}
    assert story.refused(RecordTransitionContact(stream=TRANSITION, by=LEAD, **said)) == "no_exchange"


def test_60b_a_live_call_on_the_day_of_discharge_meets_the_two_day_call_and_not_the_seven_day_interaction() -> None:
    story = home_on_friday().talks("2026-11-20 16:00 PST")
    assert story.state(CALL) is MET
    assert story.state(INTERACTION) is OPEN
    story.talks("2026-11-27 19:30 PST")
    assert story.state(INTERACTION) is MET


def test_60b_a_caregiver_counts_for_the_call_and_not_for_the_interaction_with_the_member() -> None:
    story = home_on_friday().talks("2026-11-23 10:00 PST", to=SpokenTo.CAREGIVER)
    assert story.state(CALL) is MET
    assert story.state(INTERACTION) is OPEN


def test_one_call_closes_what_was_gone_through_in_it() -> None:
    story = home_on_friday().talks("2026-11-23 10:00 PST", items=("medicines_understood", "side_effects_asked"))
    assert story.state(f"medicines_understood/{STAY}") is MET
    assert story.state(f"side_effects_asked/{STAY}") is MET
    assert story.state(CALL) is MET


def test_a_call_on_the_last_evening_that_is_entered_late_takes_the_miss_back() -> None:
    story = home_on_friday().on("2026-11-25 08:00 PST")
    assert story.state(CALL) is MISSED
    story.talks("2026-11-24 19:30 PST", entered="2026-11-25 09:00 PST")
    assert story.state(CALL) is MET
    assert [m.reason for m in story.said(MissWithdrawn) if m.key == CALL] == ["learned_late"]


def test_a_call_after_the_due_is_late_and_leaves_the_verdict() -> None:
    story = home_on_friday().talks("2026-11-25 09:00 PST")
    assert story.state(CALL) is LATE
    assert [m.key for m in story.said(DeadlineMissed) if m.key == CALL] == [CALL]
    assert not [m for m in story.said(MissWithdrawn) if m.key == CALL]


def test_a_record_dated_back_beyond_the_grace_counts_once_a_supervisor_approves() -> None:
    story = home_on_friday().on("2026-11-26 09:00 PST")
    story.talks("2026-11-23 10:00 PST", entered="2026-11-26 09:00 PST")
    assert story.state(CALL) is MISSED
    (record,) = story.recorded(TransitionContactMade, TRANSITION)
    approval = {"stream": TRANSITION, "record": record.event_id}
    assert story.refused(ApproveBackdatedRecord(by=LEAD, **approval)) == "not_authorised"
    story.do(ApproveBackdatedRecord(by=BOSS, **approval))
    assert story.state(CALL) is MET


def test_a_contact_that_was_struck_out_no_longer_counts() -> None:
    story = home_on_friday().talks("2026-11-23 10:00 PST")
    (record,) = story.recorded(TransitionContactMade, TRANSITION)
    story.do(StrikeOutRecord(stream=TRANSITION, by=LEAD, record=record.event_id, reason="another member"))
    assert story.state(CALL) is OPEN


# --- 61: until the needs are connected -------------------------------------------------------------------------------------------


def test_61_on_day_30_with_an_appointment_outstanding_support_goes_on_and_somebody_looks_every_week() -> None:
    story = home_on_friday().completes("needs_connected", "2026-12-01 10:00 PST").on("2026-12-21 08:00 PST")
    assert not story.said(TransitionalCareEnded)
    assert f"support_review/{STAY}/0" in story.open_keys()
    assert story.due(f"support_review/{STAY}/0") == at("2026-12-28 00:00 PST")
    story.on("2026-12-28 08:00 PST")
    assert story.alerts("please_look", TRANSITION)
    story.do(ReviewStay(stream=TRANSITION, by=LEAD, stay=STAY, finding=Finding.NEEDS_OUTSTANDING))
    assert story.state(f"support_review/{STAY}/1") is MET
    story.completes("follow_up_appointment", "2026-12-30 10:00 PST")
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="supported")]


def test_a_discharge_message_that_never_comes_is_noticed() -> None:
    story = in_hospital().on("2026-11-26 09:00 PST")
    assert story.due(f"discharge_review/{STAY}/1") == at("2026-12-02 09:30 PST")
    assert [a.recipient for a in story.alerts("please_look", TRANSITION)] == [LEAD]
    story.on("2026-12-03 09:00 PST")
    assert [a.recipient for a in story.alerts("please_look", TRANSITION)] == [LEAD, BOSS]
    story.do(ReviewStay(stream=TRANSITION, by=LEAD, stay=STAY, finding=Finding.STILL_ADMITTED))
    assert story.state(f"discharge_review/{STAY}/2") is MET


def test_a_discharge_as_still_a_patient_is_none_and_asks_for_a_look() -> None:
    story = in_hospital().discharged("2026-11-20 14:00 PST", to="30")
    assert {f"contradiction/{STAY}/still_a_patient/0", f"discharge_review/{STAY}/0"} <= story.open_keys()
    assert CALL not in story.open_keys()
    story.discharged("2026-11-21 10:00 PST", to="01")
    assert f"contradiction/{STAY}/still_a_patient/0" not in story.open_keys()
    assert story.due(CALL) == at("2026-11-24 24:00 PST")


# --- 63: coverage, holds, policies -----------------------------------------------------------------------------------------------


def test_63_loss_of_coverage_suspends_and_a_return_moves_the_dues_by_the_days_lost() -> None:
    story = HospitalStory("2026-11-02 09:00 PST").admitted("2026-11-24 09:00 PST").discharged("2026-11-28 10:00 PST")
    story.on("2026-12-01 00:00 PST").do(LoseCoverage(stream=MEMBER, by="source:plan", reason="redetermination"))
    assert story.item(VISIT).suspended
    story.on("2026-12-15 09:00 PST")
    assert story.state(VISIT) is OPEN
    story.do(RestoreCoverage(stream=MEMBER, by="source:plan"))
    assert story.due(VISIT) == at("2026-12-19 24:00 PST")
    assert not story.item(VISIT).suspended


def test_63_coverage_that_does_not_return_within_90_days_ends_it() -> None:
    story = home_on_friday().on("2026-12-01 00:00 PST")
    story.do(LoseCoverage(stream=MEMBER, by="source:plan", reason="redetermination"))
    story.on("2027-02-28 23:00 PST")
    assert not story.said(TransitionalCareEnded)
    story.on("2027-03-01 00:00 PST")
    assert story.said(TransitionalCareEnded) == [TransitionalCareEnded(reason="coverage_lost")]


def test_a_hold_suspends_and_somebody_is_asked_to_look() -> None:
    story = home_on_friday().on("2026-11-23 09:00 PST")
    story.do(Hold(stream=EPISODE, by=BOSS, reason="another programme"))
    assert story.item(VISIT).suspended
    story.on("2026-12-02 09:00 PST")
    assert [o.because.rule for o in story.transition.obligations if o.key.startswith("rest_")] == ["transition.rest_held"]
    story.do(Resume(stream=EPISODE, by=BOSS, reason="cleared"))
    assert story.due(VISIT) == at("2026-12-06 24:00 PST")


def test_a_new_policy_leaves_open_clocks_as_they_are_until_it_is_re_applied() -> None:
    first = varied()
    second = varied(version="2026.2", effective_on=date(2026, 11, 21), transition__item__1__due_day=5)
    story = HospitalStory("2026-11-02 09:00 PST", first, second).admitted("2026-11-18 09:30 PST").discharged("2026-11-20 14:00 PST")
    story.on("2026-11-23 09:00 PST")
    assert story.due(VISIT) == at("2026-11-27 24:00 PST")
    story.do(ReapplyPolicy(stream=EPISODE, by=BOSS, policy=second.id, reason="agreed with the plan"))
    assert story.due(VISIT) == at("2026-11-25 24:00 PST")
    assert story.item(VISIT).because.policy == second.id


# --- warnings --------------------------------------------------------------------------------------------------------------------


def test_a_near_due_warns_the_owner_two_days_before_and_the_supervisor_one_day_before() -> None:
    story = home_on_friday().visits("2026-11-20 16:00 PST")

    def warned() -> list[str]:
        near = story.alerts("deadline_near", TRANSITION)
        return [asked.recipient for asked in near if asked.expires_at == at("2026-11-27 24:00 PST")]

    story.on("2026-11-25 19:59 PST")
    assert warned() == []
    story.on("2026-11-25 20:00 PST")
    assert warned() == [LEAD]
    story.on("2026-11-26 20:00 PST")
    assert warned() == [LEAD, BOSS]


def test_only_the_recipient_or_a_supervisor_acknowledges_an_alert() -> None:
    story = in_hospital()
    key = f"notice/{STAY}/{LEAD}#1"
    assert story.refused(AcknowledgeAlert(stream=TRANSITION, by=NURSE, key=key)) == "not_authorised"
    story.do(AcknowledgeAlert(stream=TRANSITION, by=DEPUTY, key=key))
    assert story.state(READ) is MET
