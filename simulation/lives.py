"""What the members of the invented programme live through: each life a table of what happens so many days after the plan's file.

Only what comes from outside, or what somebody decides once, stands here. What care managers do day after day because it is owed
they read off their worklist (`simulation.office`); how well they do it for a member is the life's `Diligence`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scene:
    """One line of a life: so many days after the file, at a local hour, something happens."""

    day: int
    hour: float
    what: str
    with_: str = ""


@dataclass(frozen=True, slots=True)
class Diligence:
    """How what is owed to a member gets done: of a hundred dues so many too late, so many never; and from when to when nobody
    does anything, in days after the file."""

    late_percent: int = 8
    never_percent: int = 4
    idle_from_day: int = 100_000
    idle_until_day: int = 100_000


def _(day: int, hour: float, what: str, with_: str = "") -> Scene:
    return Scene(day, hour, what, with_)


REACHED = (_(1, 10, "call", "no_answer"), _(3, 15.5, "call", "voicemail"), _(5, 11, "call", "reached"), _(7, 13, "enrol"))
CARED_FOR = (
    _(41, 9, "notice"), _(44, 10.5, "talk"), _(45, 14, "items", "discharge_document discharge_risk_assessment"),
    _(47, 15, "visit_home"), _(48, 10, "reconcile"), _(49, 11, "items", "follow_up_appointment medicines_obtained"),
    _(56, 10, "talk", "side_effects_asked day_14_contact"), _(72, 10, "items", "primary_care_connected needs_connected"),
)  # fmt: skip

LIVES: dict[str, tuple[Scene, ...]] = {
    "reached": (*REACHED, _(8, 10, "diagnose", "I10"), _(8, 10.1, "diagnose", "E11.9")),
    "reached_by_visit": (
        _(1, 17, "call", "no_answer"), _(4, 11, "call", "wrong_number"), _(6, 14, "visit", "reached"), _(9, 10, "enrol"),
        _(75, 11, "agree", "21"), _(200, 11, "agree_no_more"),
    ),
    "reached_too_late": (
        _(2, 10, "call", "voicemail"), _(6, 14, "call", "no_answer"), _(14, 11, "call", "reached"), _(17, 9, "enrol"),
        _(150, 14, "withdraws"),
    ),
    "declined": (_(2, 9.5, "call", "voicemail"), _(4, 16, "call", "reached"), _(4, 16.1, "decline")),
    "deferred": (_(2, 11, "call", "reached"), _(2, 11.2, "defer"), _(50, 10, "call", "reached"), _(52, 10, "enrol")),
    "never_found": (
        _(1, 10, "call", "no_answer"), _(3, 17, "call", "voicemail"), _(6, 14, "visit", "not_there"), _(9, 10, "call", "no_answer"),
        _(16, 11, "call", "voicemail"), _(23, 15, "visit", "not_there"), _(34, 10, "close_unable_to_reach"),
    ),
    "stopped_texts": (_(2, 12, "stop_texts"), _(3, 10, "call", "no_answer"), _(8, 16, "visit", "reached"), _(10, 9, "enrol")),
    "hospital": (*REACHED, _(40, 21, "admit"), _(43, 15, "discharge"), *CARED_FOR),
    "hospital_forgotten": (
        *REACHED, _(30, 3, "admit"), _(33, 11, "discharge"), _(36, 10, "leave_word"), _(45, 14, "talk"),
    ),
    "hospital_twice": (
        *REACHED, _(25, 20, "admit"), _(27, 15, "discharge"), _(28, 10, "talk"), _(31, 4, "admit_again"),
        _(35, 13, "discharge_again"), _(36, 10, "talk"), _(39, 14, "visit_home"),
    ),
    "emergency": (
        *REACHED, _(20, 23, "emergency"), _(21, 4, "sent_home"),
        *(_(day, 22, "emergency_visit") for day in (60, 71, 83, 96, 110)),
    ),
    "admitted_in_error": (*REACHED, _(22, 9, "admit"), _(22, 13, "cancel_admission")),
    "uncovered": (
        *REACHED[:2], _(6, 0, "lose_coverage"), _(40, 9, "restore_coverage"), _(43, 10, "call", "reached"),
        _(45, 9, "enrol"),
    ),
    "died": (*REACHED, _(35, 8, "death"), _(38, 10, "close_deceased")),
    "bedside": (
        _(1, 10, "call", "no_answer"), _(3, 22, "admit"), _(5, 11, "visit", "reached"), _(6, 14, "discharge"), _(8, 9, "enrol"),
    ),
    "unheeded": (),
    # Whole years.
    "homeless": (
        *REACHED, _(7, 14, "note", "homeless"), _(7, 14.1, "diagnose", "F20.9"), _(30, 10, "diagnose", "E11.65"),
        _(60, 9, "note", "receives_transitional_rent"), _(60, 9.1, "end", "homeless"), _(60, 9.2, "note", "unstably_housed"),
        _(240, 9, "end", "receives_transitional_rent"),
    ),
    "jailed": (
        *REACHED, _(9, 11, "diagnose", "F11.20"), _(120, 8, "note", "incarcerated"), _(120, 9, "hold", "incarcerated"),
        _(166, 10, "end", "incarcerated"), _(166, 11, "resume", "released"), _(166, 11.2, "note", "released_from_incarceration"),
    ),
    "graduate": (
        *REACHED, _(9, 11, "diagnose", "I50.9"), _(300, 10, "goals_met"), _(310, 10, "agree_step_down"),
        _(318, 11, "hand_off_warmly"), _(320, 15, "close_goals_met"),
    ),
    "changes_plan": (*REACHED, _(180, 10, "change_plan"), _(183, 9, "carry_over")),
    "neglected": (*REACHED, _(9, 11, "diagnose", "F33.2"), _(9, 11.1, "note", "food_insecure"), _(300, 10, "withdraws")),
    "expecting": (*REACHED, _(8, 9, "note", "pregnant"), _(150, 4, "end", "pregnant"), _(150, 4.1, "note", "gave_birth")),
}  # fmt: skip

DILIGENCE = {
    "neglected": Diligence(late_percent=25, never_percent=25, idle_from_day=90, idle_until_day=160),
    "hospital_forgotten": Diligence(late_percent=30, never_percent=15),
    "homeless": Diligence(late_percent=4, never_percent=2),
}

ORDER = (
    "hospital", "jailed", "homeless", "changes_plan", "expecting", "graduate", "reached", "reached_by_visit", "neglected",
    "declined", "hospital_forgotten", "never_found", "reached_too_late", "emergency", "deferred", "uncovered", "hospital_twice",
    "bedside", "stopped_texts", "admitted_in_error", "died", "reached", "unheeded", "unheeded",
)  # fmt: skip
"""Which life the members lead, one after another. Three plans take turns, so each life is always lived under the same one."""

WHOLE_YEARS = 9
"""So many of them, the first ones, are lived from the first weeks of the programme on."""
