"""The policy files that come with the programme, the faults of a file, and how a version comes into force."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import date
from itertools import combinations
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from domain.adoption.decider import AdoptPolicy
from domain.adoption.facts import PolicyAdopted
from domain.core import SYSTEM, Refusal
from domain.follow_up_policy import Cap
from domain.policy import Fault, Policy, PolicyBook, PolicyRefused, read_policy
from domain.rule_shapes import Basis
from domain.staff.decider import JoinStaff
from domain.staff.facts import Role
from simulation.memory import Memory
from tests.given import LEAD, OFFICE, POLICIES, Then, at

NAMES = ("default", "valley-health", "coast-care")
TEXTS = {name: (POLICIES / f"{name}.toml").read_text() for name in NAMES}
FILE = TEXTS["default"]


# --- the files -----------------------------------------------------------------------------------------------------------------


def test_these_are_all_files() -> None:
    assert {file.name for file in POLICIES.iterdir() if file.is_file()} == {f"{name}.toml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_valid_and_is_of_the_plan_that_names_it(name: str) -> None:
    policy = read_policy(TEXTS[name])
    assert (policy.plan, policy.version) == (name, "2026.1")
    assert policy.effective_on <= date(2026, 11, 20)
    assert {item.key for item in policy.transition.item} >= {"call", "visit", "medication_reconciliation", "needs_connected"}


NO_DIMENSION = {
    "version": "names the edition, and is no rule",
    "timezone": "all plans of California work in the same zone",
    "diagnosis_groups": "the codes of a diagnosis are the same for everybody (ICD-10-CM)",
    "holidays.days": "the law says on which days nobody works; a plan says which list counts, and where",
    "holidays.known_until": "says how far the law is known to us",
}

Dimension = dict[str, Any]
"""What one field says, by the list entries (item, rung, channel …) in which it stands."""


def dimensions(node: Any, kind: type = Policy, path: str = "", place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each field of the rules with its value: (field, place in lists and tables, value). The order of a list's entries is their
    place, unless they have keys. Of a section that a plan lacks there is nothing."""
    hints = get_type_hints(kind)
    for f in fields(kind):
        hint, at_path, value = required(hints[f.name]), f"{path}{f.name}", getattr(node, f.name)
        origin, args = get_origin(hint), get_args(hint)
        if isinstance(hint, type) and is_dataclass(hint):
            yield from dimensions(value, hint, f"{at_path}.", place) if value is not None else ()
        elif origin is tuple and is_dataclass(args[0]):
            entries = {str(getattr(entry, "key", index)): entry for index, entry in enumerate(value)}
            yield at_path, place, frozenset(entries) if hasattr(args[0], "key") else value
            for key, entry in entries.items():
                yield from dimensions(entry, type(entry), f"{at_path}.", f"{place}/{key}")
        elif origin is dict:
            yield at_path, place, frozenset(value)
            for key, entry in value.items():
                if is_dataclass(args[1]):
                    yield from dimensions(entry, type(entry), f"{at_path}.", f"{place}/{key}")
                else:
                    yield at_path, f"{place}/{key}", entry
        else:
            yield at_path, place, value


def required(hint: Any) -> Any:
    """The type of a field that may be left out."""
    return next(a for a in get_args(hint) if a is not type(None)) if isinstance(hint, UnionType) else hint


def by_field(policy: Policy) -> dict[str, Dimension]:
    found: dict[str, Dimension] = {}
    for field, place, value in dimensions(policy):
        found.setdefault(field, {})[place] = value
    return found


FIELDS = {name: by_field(read_policy(text)) for name, text in TEXTS.items()}
RULES = sorted(set().union(*FIELDS.values()) - NO_DIMENSION.keys())
RULES = [rule for rule in RULES if rule.split(".")[0] != "questionnaire"]  # questions: see test_questionnaires.py
RULES = [rule for rule in RULES if any(any(FIELDS[name].get(rule, {}).values()) for name in NAMES)]

SAME_EVERYWHERE = {
    "outreach.channels": "every channel is ruled in every file",
    "transition.item.key": "is what the items are compared by",
    "follow_up.assessment.questionnaire": "there is one questionnaire, which holds the state's standard questions (G p57)",
    "follow_up.authorisation.first_months": "is the state's (G p103)",
    "follow_up.authorisation.renewal_months": "is the state's (G p103)",
    "follow_up.authorisation.streamlined_days": "is the state's (G p105)",
    "follow_up.authorisation.carried_over_within_days": "is the state's (G p111)",
    "follow_up.cadence.overlay.key": "is what the overlays are compared by",
    "follow_up.cadence.overlay.circumstance": "the circumstance is what an overlay is named after",
    "follow_up.cadence.overlay.in_person": "Transitional Rent is visited everywhere (G p18)",
    "follow_up.cadence.step_up.after": "is what a step-up is compared by",
    "follow_up.tiers.rule.key": "is what the rules are compared by",
    "population": "which populations of focus there are is the state's (domain.md 2.8)",
    "population.key": "is what the populations are compared by",
    "population.code": "is the state's",
}


def differ(one: Dimension, other: Dimension) -> bool:
    """Whether two policies rule differently where both rule, or only one of them rules at all."""
    return bool(one) != bool(other) or any(one[place] != other[place] for place in one.keys() & other.keys())


@pytest.mark.parametrize("field", [rule for rule in RULES if rule not in SAME_EVERYWHERE])
def test_the_plans_differ_in_every_dimension_of_the_rules(field: str) -> None:
    """A choice between two values cannot be made in three different ways, nor can something be left out in two: then both of
    them occur."""
    said = {name: FIELDS[name].get(field, {}) for name in NAMES}
    alike = [pair for pair in combinations(NAMES, 2) if not differ(said[pair[0]], said[pair[1]])]
    two_ways = all(of_one.keys() <= {""} and isinstance(of_one.get("", True), bool | Basis | Cap) for of_one in said.values())
    left_out = [name for name, of_one in said.items() if not of_one]
    assert len(alike) <= (1 if two_ways or len(left_out) == 2 else 0), f"{field}: alike in {alike}: {said}"


# --- faults --------------------------------------------------------------------------------------------------------------------

HERE = "# here"
"""Marks the line on which a fault is expected."""

ASSESSED = (
    FILE[FILE.index("[follow_up.assessment]") : FILE.index("[follow_up.care_plan]")],
    FILE[FILE.index("[follow_up.care_plan]") : FILE.index("# Twelve months")],
)
"""The sections that rest on an assessment."""

WEIGHTS, AGAIN, REVIEWS = (
    next(line for line in FILE.splitlines() if line.startswith(name)) for name in ("weight_tenths", "again_days", "review_days")
)
"""Tables by tier."""

ORDER = 'order = ["high", "medium", "low"]'
IN_DANGER = "follow_up.tiers.rule[2].when[0][0]"
DANGER = FILE[FILE.index("when = [", FILE.index('key = "life_in_danger"')) :].partition("\n]")[0] + "\n]"
"""When the third rule of the tiers holds; nothing else rests on it."""


def condition(kind: str, **said: Any) -> str:
    """One condition in place of it."""
    return "when = [[{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in {"kind": kind, **said}.items()) + " }]]  # here"


FAULTS: dict[str, tuple[Any, ...]] = {
    # what stands in the default file, what is put in its place, the field, the beginning of the reason, what else is changed
    "out of limits": ("days = 10\n", "days = 0  # here\n", "initial_contact.days", "must lie between 1 and 120, not 0"),
    "far out of limits": ("attempts_min = 5\n", f"attempts_min = {10**30}  # here\n", "outreach.unable_to_reach.attempts_min",
        "must lie between 1 and 50"),
    "a text for a number": ("days = 10\n", 'days = "10"  # here\n', "initial_contact.days", "must be a whole number, not '10'"),
    "a fraction for a number": ("hours_min = 20", "hours_min = 20.5  # here", "outreach.spacing.hours_min",
        "must be a whole number, not 20.5"),
    "a yes for a number": ("grace_days = 2", "grace_days = true  # here", "late_entry.grace_days",
        "must be a whole number, not True"),
    "a number for a yes": ("emergency_visits = true", "emergency_visits = 1  # here", "transition.emergency_visits",
        "must be a true or false, not 1"),
    "a text for a date": ("effective_on = 2026-01-01", 'effective_on = "2026-01-01"  # here', "effective_on",
        "must be a date, not '2026-01-01'"),
    "an instant for a date": ("effective_on = 2026-01-01", "effective_on = 2026-01-01T00:00:00  # here", "effective_on",
        "must be a date"),
    "an instant for a day of the calendar": ("[holidays.federal]\nknown_until = 2027-12-31",
        "[holidays.federal]\nknown_until = 2027-12-31T00:00:00Z  # here", "holidays.federal.known_until", "must be a date"),
    "a number for a time": ("ends = 08:00:00", "ends = 8  # here", "quiet_hours.ends", "must be a time of day, not 8"),
    "an unknown choice": ('basis = "calendar"\nholiday_calendar = "none"\nclock_start',
        'basis = "working"  # here\nholiday_calendar = "none"\nclock_start', "initial_contact.basis",
        "must be one of calendar, business, not 'working'"),
    "an unknown field": ("grace_days = 2", "grace_days = 2\ngrace_hours = 3  # here", "late_entry.grace_hours",
        "is not known here; known are grace_days"),
    "an unknown section": ("[late_entry]", "[escalation]  # here\nafter = 3\n\n[late_entry]", "escalation", "is not known here"),
    "a field is missing": ("[late_entry]\ngrace_days = 2", "[late_entry]  # here", "late_entry.grace_days", "is missing"),
    "a section is missing": ("[late_entry]\ngrace_days = 2\n", "", "late_entry", "is missing", ("# The", "# here: The")),
    "a field of a rung is missing": ('[[outreach.rung]]\nopens_day = 5\ndue_day = 7\n',
        '[[outreach.rung]]  # here\nopens_day = 5\n', "outreach.rung[4].due_day", "is missing"),
    "a value for a section": ("[late_entry]\ngrace_days = 2", "", "late_entry", "must be a table",
        ('plan = "default"', 'late_entry = 2  # here\nplan = "default"')),
    "a value for a list": ("hours_of_day = [10:00:00, 14:00:00, 17:30:00]", "hours_of_day = 10:00:00  # here",
        "outreach.spacing.hours_of_day", "must be a list"),
    "an entry of a list": ("hours_of_day = [10:00:00, 14:00:00, 17:30:00]", "hours_of_day = [10:00:00, 14]  # here",
        "outreach.spacing.hours_of_day[1]", "must be a time of day, not 14"),
    "within a line": ('warn = [{ days_before = 3, to = "owner" }, { days_before = 1, to = "supervisor" }]',
        'warn = [{ days_before = 3, to = "owner" }, { days_before = 1, to = "boss" }]  # here', "initial_contact.warn[1].to",
        "must be one of owner, supervisor, not 'boss'"),
    "missing within a line": ('warn = [{ days_before = 2, to = "owner" },', 'warn = [{ days_before = 2 }, # here\n',
        "transition.warn[0].to", "is missing"),
    "a choice within a line": ('call = { performed_by = "person", message_counts_as_attempt = false }',
        'call = { performed_by = "robot", message_counts_as_attempt = false }  # here', "outreach.channels.call.performed_by",
        "must be one of machine, person, not 'robot'"),
    "an unknown channel": ("[outreach.channels]\n",
        '[outreach.channels]\nfax = { performed_by = "machine", message_counts_as_attempt = false }  # here\n',
        "outreach.channels.fax", "must be one of"),
    "a channel without a rule": ('meeting = { performed_by = "person", message_counts_as_attempt = false }\n', "",
        "outreach.channels.meeting", "is missing: every channel needs performed_by and message_counts_as_attempt",
        ("[outreach.channels]", "[outreach.channels]  # here")),
    "a zone that is none": ('timezone = "America/Los_Angeles"', 'timezone = "Pacific"  # here', "timezone",
        "'Pacific' is not a zone of the IANA list"),
    "a plan with a space": ('plan = "default"', 'plan = "Valley Health"  # here', "plan", "must be a short name"),
    "a version with a slash": ('version = "2026.1"', 'version = "2026/1"  # here', "version", "must be a short name"),
    "a year that is none": ("effective_on = 2026-01-01", "effective_on = 9999-12-31  # here", "effective_on",
        "must lie between the years 2000 and 2199"),
    "a rung due before it opens": ("opens_day = 5\ndue_day = 7\n", "opens_day = 5\ndue_day = 4  # here\n",
        "outreach.rung[4].due_day", "must not come before opens_day"),
    "a rung before the one above": ("opens_day = 8\ndue_day = 10\nchannel", "opens_day = 4  # here\ndue_day = 10\nchannel",
        "outreach.rung[5].opens_day", "must not come before the rung above it"),
    "a repeat without channels": ('channels = ["call", "visit"]', "channels = []  # here", "outreach.repeat[0].channels",
        "must name at least one channel"),
    "no hour of the day": ("hours_of_day = [10:00:00, 14:00:00, 17:30:00]", "hours_of_day = []  # here",
        "outreach.spacing.hours_of_day", "must name at least one hour"),
    "a calendar that is not listed": ('basis = "calendar"\nholiday_calendar = "none"\nclock_start',
        'basis = "calendar"\nholiday_calendar = "county"  # here\nclock_start', "initial_contact.holiday_calendar",
        "'county' is not listed under [holidays]"),
    "a calendar of an item that is not listed": ('basis = "business"\nholiday_calendar = "federal"',
        'basis = "business"\nholiday_calendar = "county"  # here', "transition.item[0].holiday_calendar",
        "'county' is not listed under [holidays]"),
    "a calendar that ends too early": ("[holidays.federal]\nknown_until = 2027-12-31",
        "[holidays.federal]\nknown_until = 2026-03-31  # here", "holidays.federal.known_until",
        "must reach at least to 2026-04-01"),
    "an item that stands twice": ('key = "visit"\n', 'key = "call"  # here\n', "transition.item[1].key", "'call' stands twice"),
    "an item due before it opens": ('key = "visit"\nopens_day = 0\ndue_day = 7',
        'key = "visit"\nopens_day = 9\ndue_day = 7  # here',
        "transition.item[1].due_day", "must lie between opens_day and closes_day"),
    "licences without need": ('evidence = "in_person"\n', 'evidence = "in_person"\nlicences = ["rn"]  # here\n',
        "transition.item[1].licences", "goes with evidence = 'licensed', and only with it"),
    "no licence where one is needed": ('licences = ["rn", "pharmacist", "prescriber"]', "licences = []  # here",
        "transition.item[3].licences", "goes with evidence = 'licensed', and only with it"),
    "an escalation after the window": ("escalate_after_hours = 16", "escalate_after_hours = 24  # here",
        "transition.admission_notice.escalate_after_hours", "must be less than hours"),
    # the year after enrolment
    "a phase without end": ("from_day = 0\nuntil_day = 90\n", "from_day = 90\nuntil_day = 90  # here\n",
        "follow_up.cadence.phase[0].until_day", "must come after from_day"),
    "a phase of nobody": ("every_days = { any = 14 }", "every_days = {}  # here", "follow_up.cadence.phase[2].every_days",
        "must name at least one tier, or 'any'"),
    "an interval of an unknown tier": ("every_days = { any = 14 }", "every_days = { urgent = 3, any = 14 }  # here",
        "follow_up.cadence.phase[2].every_days.urgent", "'urgent' is no tier of this plan; it has high, medium, low, any"),
    "an interval of no day": ("every_days = { any = 14 }", "every_days = { any = 0 }  # here",
        "follow_up.cadence.phase[2].every_days.any", "must lie between 1 and 365, not 0"),
    "an interval that is a text": ("every_days = { any = 14 }", 'every_days = { any = "weekly" }  # here',
        "follow_up.cadence.phase[2].every_days.any", "must be a whole number, not 'weekly'"),
    "an anchor that is none": ('anchor = "facility_exit"', 'anchor = "birthday"  # here', "follow_up.cadence.phase[2].anchor",
        "must be one of enrolment, facility_exit, not 'birthday'"),
    "visits of an unknown tier": ("in_person = [\n", "in_person = [  # here\n", "follow_up.cadence.in_person[2].tier",
        "'lowest' is no tier", ('{ tier = "low", count = 1', '{ tier = "lowest", count = 1')),
    "visits of a tier twice": ("in_person = [\n", "in_person = [  # here\n", "follow_up.cadence.in_person[2].tier",
        "'medium' stands twice", ('{ tier = "low", count = 1', '{ tier = "medium", count = 1')),
    "a step-up that is over before its first contact": ("step_up = [\n", "step_up = [  # here\n",
        "follow_up.cadence.step_up[2].every_days", "must not be longer than for_days",
        ("every_days = 14, for", "every_days = 31, for")),
    "a step-up twice": ("step_up = [\n", "step_up = [  # here\n", "follow_up.cadence.step_up[1].after",
        "'admission' stands twice", ('after = "discharge"', 'after = "admission"')),
    "an overlay of an unknown circumstance": ('circumstance = "receives_transitional_rent"', 'circumstance = "rents"  # here',
        "follow_up.cadence.overlay[0].circumstance", "'rents' is no circumstance that is recorded"),
    "an overlay with a key that is none": ('key = "transitional_rent"', 'key = "Transitional/Rent"  # here',
        "follow_up.cadence.overlay[0].key", "must be a short name", ("transitional_rent = 10", '"Transitional/Rent" = 10')),
    "a weight of an overlay that is none": ("overlay_tenths = { transitional_rent = 10 }", "overlay_tenths = { rent = 10 }  # here",
        "caseload.overlay_tenths.rent", "'rent' is no overlay"),
    "a weight of an unknown tier": (WEIGHTS, "weight_tenths = { urgent = 40, any = 10 }  # here",
        "caseload.weight_tenths.urgent", "'urgent' is no tier of this plan"),
    "a weight beyond all measure": (WEIGHTS, "weight_tenths = { high = 3000, any = 10 }  # here",
        "caseload.weight_tenths.high", "must lie between 0 and 1000, not 3000"),
    "a calendar of the cadence that is not listed": ('holiday_calendar = "none"\ncloses_after_days = 90',
        'holiday_calendar = "county"  # here\ncloses_after_days = 90', "follow_up.cadence.holiday_calendar",
        "'county' is not listed under [holidays]"),
    "a calendar of the authorisation that is not listed": ('carried_over_within_days = 90\nholiday_calendar = "federal"',
        'carried_over_within_days = 90\nholiday_calendar = "county"  # here', "follow_up.authorisation.holiday_calendar",
        "'county' is not listed under [holidays]"),
    "an assessment complete before it begins": ("complete_days = 60", "complete_days = 29  # here",
        "follow_up.assessment.complete_days", "must not come before begin_days"),
    "a questionnaire that is not there": ('questionnaire = "ecm-core@1"', 'questionnaire = "ecm-core@99"  # here',
        "follow_up.assessment.questionnaire", "'ecm-core@99' is not in the file"),
    "a questionnaire without a version": ('questionnaire = "ecm-core@1"', 'questionnaire = "ecm core"  # here',
        "follow_up.assessment.questionnaire", "must name a questionnaire with its version"),
    "reassessments of an unknown tier": (AGAIN, "again_days = { urgent = 30, any = 180 }  # here",
        "follow_up.assessment.again_days.urgent", "'urgent' is no tier of this plan"),
    "reviews of an unknown tier": (REVIEWS, "review_days = { urgent = 30, any = 180 }  # here",
        "follow_up.care_plan.review_days.urgent", "'urgent' is no tier of this plan"),
    "a count from an assessment that is not asked for": ("[follow_up.cadence]\n",
        '[follow_up.cadence]\nminimum_count = { count = 3, counted_from = "assessment", within_days = 0 }  # here\n',
        "follow_up.cadence.minimum_count.counted_from", "never begins without [follow_up.assessment]",
        (ASSESSED[0], ""), (ASSESSED[1], "")),
    "a care plan without an assessment": ("[follow_up.care_plan]", "[follow_up.care_plan]  # here", "follow_up.care_plan",
        "is counted from the completed assessment", (ASSESSED[0], "")),
    "a request before the authorisation began": ("streamlined_request_business_days_before = 5",
        "streamlined_request_business_days_before = 30  # here",
        "follow_up.authorisation.streamlined_request_business_days_before", "must be less than streamlined_days"),
    "a renewal asked for before there is one": ("renewal_request_days_before = 60", "renewal_request_days_before = 200  # here",
        "follow_up.authorisation.renewal_request_days_before", "must be shorter than what is renewed"),
    # tiers, populations of focus and what they rest on
    "no name for a tier": (ORDER, 'order = ["high", "medium", "low", "any"]  # here', "follow_up.tiers.order",
        "'any' cannot name a tier"),
    "a tier twice": (ORDER, 'order = ["high", "medium", "low", "high"]  # here', "follow_up.tiers.order", "'high' stands twice"),
    "a tier that is called as if there were none": (ORDER, 'order = ["high", "medium", "low", "none"]  # here',
        "follow_up.tiers.order", "'none' cannot name a tier"),
    "a tier in which those are who have none": ('otherwise = "low"', 'otherwise = "lowest"  # here', "follow_up.tiers.otherwise",
        "'lowest' is no tier of this plan; it has high, medium, low, none"),
    "a rule for an unknown tier": ('key = "life_in_danger"\ntier = "high"', 'key = "life_in_danger"\ntier = "top"  # here',
        "follow_up.tiers.rule[2].tier", "'top' is no tier of this plan"),
    "a rule twice": ('key = "life_in_danger"', 'key = "frequent_hospital_use"  # here', "follow_up.tiers.rule[2].key",
        "'frequent_hospital_use' stands twice"),
    "a rule that holds of nobody": (DANGER, "when = []  # here", "follow_up.tiers.rule[2].when", "must hold at least one line"),
    "a line that holds of nobody": (DANGER, "when = [[]]  # here", "follow_up.tiers.rule[2].when[0]", "is an empty line"),
    "a circumstance that nobody records": (DANGER, condition("circumstance", any_of=["sad"]), f"{IN_DANGER}.any_of",
        "'sad' is no circumstance that is recorded"),
    "a group of diagnoses that is not listed": (DANGER, condition("diagnosis", any_of=["gout"]), f"{IN_DANGER}.any_of",
        "'gout' is not listed under [diagnosis_groups]"),
    "a visit of no kind": (DANGER, condition("visits", any_of=["dentist"]), f"{IN_DANGER}.any_of",
        "'dentist' is no class of stay or visit; known are emergency, inpatient"),
    "an avoidable visit of no kind": (DANGER, condition("avoidable_visits", any_of=["dentist"]), f"{IN_DANGER}.any_of",
        "'dentist' is no class of stay or visit"),
    "a population that is not there": (DANGER, condition("population", any_of=["sailors"]), f"{IN_DANGER}.any_of",
        "'sailors' is no key of a [[population]]"),
    "a screening without a name": (DANGER, condition("screening", any_of=["PHQ 9"]), f"{IN_DANGER}.any_of",
        "'PHQ 9' is neither a questionnaire nor one of its questions"),
    "a condition that names nothing": (DANGER, condition("visits"), f"{IN_DANGER}.any_of", "must name what counts as visits"),
    "an age with names": (DANGER, condition("age", any_of=["old"]), f"{IN_DANGER}.any_of", "is not for ages; say at_least"),
    "an age that nobody has": (DANGER, condition("age", at_least=30, at_most=20), f"{IN_DANGER}.at_most",
        "must not be less than at_least"),
    "a highest number where there is none": (DANGER, condition("visits", any_of=["emergency"], at_most=5), f"{IN_DANGER}.at_most",
        "is for ages only"),
    "a look back at what has no day": (DANGER, condition("plan_tier", any_of=["high"], within_days=30),
        f"{IN_DANGER}.within_days", "does not go with plan_tier"),
    "a population twice": ('key = "homeless-families"', 'key = "homeless-adults"  # here', "population[1].key",
        "'homeless-adults' stands twice", ('"homeless-families"', '"homeless-adults"')),
    "a code of a population twice": ('code = "1b"', 'code = "1a"  # here', "population[1].code", "'1a' stands twice"),
    "a population that never begins": ('launch = [{ county = "every", on = 2023-07-01 }]', "launch = []  # here",
        "population[1].launch", "must name at least one county, or 'every'"),
    "a county twice": ('launch = [{ county = "every", on = 2023-07-01 }]',
        'launch = [{ county = "every", on = 2023-07-01 }, { county = "every", on = 2024-07-01 }]  # here',
        "population[1].launch[1].county", "'every' stands twice"),
    "a population of a population": ('[{ kind = "age", at_least = 0, at_most = 20 }],\n]',
        '[{ kind = "age", at_least = 0, at_most = 20 }],\n    [{ kind = "population", any_of = ["homeless-adults"] }],\n]',
        "population[1].when[2][0].any_of", "'homeless-adults' is no key of a [[population]] that this rule may ask for",
        ('when = [\n    [{ kind = "circumstance", any_of = ["homeless"] }],\n    [{ kind = "age", at_least = 0,',
         'when = [  # here\n    [{ kind = "circumstance", any_of = ["homeless"] }],\n    [{ kind = "age", at_least = 0,')),
    "a group without codes": ("[diagnosis_groups]\n", "[diagnosis_groups]\ngout = []  # here\n", "diagnosis_groups.gout",
        "must name at least one beginning of a code"),
    "a code that is none": ("[diagnosis_groups]\n", '[diagnosis_groups]\ngout = ["gout"]  # here\n', "diagnosis_groups.gout",
        "'gout' is no beginning of an ICD-10-CM code"),
    "a line that is no TOML": ("grace_days = 2", "grace_days =   # here", "the file", "is not TOML"),
    "a field twice": ("grace_days = 2", "grace_days = 2\ngrace_days = 3  # here", "the file", "is not TOML"),
    "a day that is none": ("effective_on = 2026-01-01", "effective_on = 2026-02-30  # here", "the file", "is not TOML"),
    "an open quote": ('plan = "default"', 'plan = "default  # here', "the file", "is not TOML"),
}  # fmt: skip


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(PolicyRefused) as refused:
        read_policy(text)
    return refused.value.faults


def rewritten(*lines: tuple[str, str]) -> str:
    text = FILE
    for line, instead in lines:
        assert line in text
        text = text.replace(line, instead, 1)
    return text


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_is_refused_with_its_line_and_its_reason(name: str) -> None:
    line, instead, field, reason, *also = FAULTS[name]
    text = rewritten((line, instead), *also)
    (fault,) = faults(text)
    expected = next(number for number, there in enumerate(text.splitlines(), start=1) if HERE in there)
    assert (fault.line, fault.field) == (expected, field)
    assert fault.reason.startswith(reason)
    assert str(fault).startswith(f"line {expected}: {field}: {reason}")


def test_all_mistakes_are_named_at_once() -> None:
    text = rewritten(("days = 10\n", "days = 500\n"), ("grace_days = 2", "grace = 2"), ("turns_max = 4", 'turns_max = "4"'))
    assert [fault.field for fault in faults(text)] == [
        "messages.turns_max", "late_entry.grace", "late_entry.grace_days", "initial_contact.days",
    ]  # fmt: skip


def test_an_empty_file_lacks_every_section() -> None:
    required = {f.name for f in fields(Policy) if f.default is MISSING and f.default_factory is MISSING}
    assert {fault.field for fault in faults("")} == required
    optional = {"follow_up", "caseload", "diagnosis_groups", "population", "questionnaire"}
    assert {f.name for f in fields(Policy)} - required == optional


@pytest.mark.parametrize("text", ["[" * 20_000, "x = " + "[" * 20_000, "days = " + "1" * 5_000, "\x00", "= 3", "x = 1\x07"])
def test_no_text_is_answered_with_anything_but_a_refusal(text: str) -> None:
    (fault,) = faults(text)
    assert fault.field == "the file" and fault.line == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('"' + "x" * 10_000 + '"', "'" + "x" * 59),
        ("{ a" + ".a" * 5_000 + " = 1 }", "a table"),
        ("[1, 2]", "a list"),
        ("{ a = 0x" + "f" * 5_000 + " }", "a table"),
    ],
)
def test_a_fault_does_not_repeat_the_whole_of_what_is_wrong(said: str, shown: str) -> None:
    (fault,) = faults(rewritten(("grace_days = 2", f"grace_days = {said}")))
    assert fault.reason == f"must be a whole number, not {shown}"


def test_a_number_of_any_size_is_out_of_limits() -> None:
    (fault,) = faults(rewritten(("grace_days = 2", "grace_days = 0x" + "f" * 5_000)))
    assert fault.reason == "must lie between 0 and 60, not a number of so many digits"


# --- adoption ------------------------------------------------------------------------------------------------------------------


def adopting(text: str = FILE, *, by: str = OFFICE, stream: str = "policy-default") -> AdoptPolicy:
    return AdoptPolicy(stream=stream, by=by, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def adopted(text: str = FILE) -> PolicyAdopted:
    policy = read_policy(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return PolicyAdopted(plan=policy.plan, version=policy.version, effective_on=policy.effective_on, text=text, sha256=digest)


class Office:
    """A programme with an operator and a care manager, which may have adopted the default file already."""

    def __init__(self, *texts: str) -> None:
        self.memory = Memory(PolicyBook(), at("2026-01-05 09:00 PST"))
        for stream, role in ((OFFICE, Role.OPERATOR), (LEAD, Role.CARE_MANAGER)):
            self.memory.handle(JoinStaff(stream=stream, by=SYSTEM, roles=(role,)))
        for text in texts:
            self.when(adopting(text)).then(adopted(text))

    def when(self, command: AdoptPolicy) -> Then:
        return Then(self.memory.handle(command))


SECOND = rewritten(('version = "2026.1"', 'version = "2026.2"'), ("effective_on = 2026-01-01", "effective_on = 2026-07-01"))


def test_a_version_is_adopted_by_an_event_that_holds_the_file() -> None:
    office = Office(FILE)
    (fact,) = office.memory.facts("policy-default", PolicyAdopted)
    assert fact.text == FILE
    assert fact.sha256 == hashlib.sha256((POLICIES / "default.toml").read_bytes()).hexdigest()
    assert (fact.version, fact.effective_on) == ("2026.1", date(2026, 1, 1))
    assert read_policy(fact.text) == read_policy(FILE)


def test_the_same_file_again_is_harmless() -> None:
    Office(FILE).when(adopting(FILE)).then()
    Office(FILE, SECOND).when(adopting(FILE)).then()


def test_a_version_once_adopted_is_never_changed() -> None:
    Office(FILE).when(adopting(rewritten(("days = 10\n", "days = 7\n")))).refused("version_taken")
    Office(FILE).when(adopting(FILE + "# a word more\n")).refused("version_taken")
    Office(FILE).when(adopting(SECOND)).then(adopted(SECOND))


def test_a_digest_of_another_text_is_not_believed() -> None:
    Office(FILE).when(replace(adopting(SECOND), sha256=adopting(FILE).sha256)).refused("digest_differs")


def test_a_file_is_adopted_for_its_own_plan() -> None:
    Office().when(adopting(FILE, stream="policy-valley-health")).refused("policy_of_another_plan")
    Office().when(adopting(TEXTS["coast-care"])).refused("policy_of_another_plan")
    Office().when(adopting(TEXTS["coast-care"], stream="policy-coast-care")).then(adopted(TEXTS["coast-care"]))


def test_who_runs_the_office_adopts_and_a_care_manager_does_not() -> None:
    Office().when(adopting(by=LEAD)).refused("not_authorised")
    Office().when(adopting(by="staff-nobody")).refused("actor_unknown")
    Office().when(adopting(by="source:plan")).refused("actor_unknown")
    Office().when(adopting(by=SYSTEM)).then(adopted())


def test_a_faulty_file_is_not_adopted_and_the_refusal_says_where() -> None:
    decision = Office().memory.handle(adopting(rewritten(("days = 10\n", "days = 0\n")), by=SYSTEM))
    assert isinstance(decision, Refusal)
    assert decision.code == "policy_faulty"
    assert decision.because == f"line {line_of('days = 10')}: initial_contact.days: must lie between 1 and 120, not 0"


def line_of(text: str) -> int:
    return FILE[: FILE.index(text)].count("\n") + 1


# --- the book of versions ------------------------------------------------------------------------------------------------------

BASE = read_policy(FILE)
SUMMER = replace(BASE, version="2026.2", effective_on=date(2026, 7, 1))
VALLEY = replace(BASE, plan="valley-health", version="2026.1", effective_on=date(2026, 2, 1))
BOOK = PolicyBook().with_adopted(SUMMER).with_adopted(VALLEY).with_adopted(BASE)


@pytest.mark.parametrize(
    ("plan", "when", "version"),
    [
        ("default", "2025-06-01 12:00 PDT", "default@2026.1"),
        ("default", "2026-06-30 23:59:59 PDT", "default@2026.1"),
        ("default", "2026-07-01 00:00 PDT", "default@2026.2"),
        ("unheard-of", "2026-08-01 12:00 PDT", "default@2026.2"),
        ("valley-health", "2026-01-15 12:00 PST", "valley-health@2026.1"),
        ("valley-health", "2026-08-01 12:00 PDT", "valley-health@2026.1"),
    ],
)
def test_in_force_is_the_last_version_that_has_begun_where_the_plan_works(plan: str, when: str, version: str) -> None:
    assert BOOK.in_force(plan, at(when)).id == version


def test_the_next_change_is_the_midnight_on_which_another_version_begins() -> None:
    assert BOOK.next_change("default", at("2026-03-01 12:00 PST")) == at("2026-07-01 00:00 PDT")
    assert BOOK.next_change("unheard-of", at("2026-03-01 12:00 PST")) == at("2026-07-01 00:00 PDT")
    assert BOOK.next_change("default", at("2026-07-01 00:00 PDT")) is None
    assert BOOK.next_change("valley-health", at("2026-03-01 12:00 PST")) is None


def test_a_version_is_found_by_its_name() -> None:
    assert BOOK.named("default@2026.2") == SUMMER
    assert BOOK.named("default@2026.3") is None


def test_a_version_that_comes_twice_stands_once() -> None:
    assert BOOK.with_adopted(BASE) == BOOK
    assert len(BOOK.policies) == 3


def test_the_order_of_adoption_does_not_matter() -> None:
    assert PolicyBook().with_adopted(BASE).with_adopted(VALLEY).with_adopted(SUMMER) == BOOK


def test_without_any_version_there_is_nothing_to_go_by() -> None:
    with pytest.raises(LookupError):
        PolicyBook().in_force("default", at("2026-03-01 12:00 PST"))
    with pytest.raises(LookupError):
        PolicyBook().with_adopted(VALLEY).in_force("coast-care", at("2026-03-01 12:00 PST"))
