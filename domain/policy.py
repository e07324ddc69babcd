"""What a health plan requires, as data: the rule shapes, the reader of a policy file, and the book of all versions (design.md 1.4).

Code knows the shapes; every number and choice stands in `policies/*.toml`. A file is complete in itself: it inherits nothing, so
the bytes that were adopted say everything.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date, time, timedelta
from enum import StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from domain import follow_up_contradictions, questionnaires
from domain.calendar import NO_HOLIDAYS, Holidays, QuietHours, local_date, start_of_day, zone
from domain.core import Alarm, Instant, Refusal
from domain.follow_up_policy import Caseload, FollowUp, Population
from domain.member.facts import Channel
from domain.questionnaires import Questionnaire
from domain.remembered import Same, memory
from domain.requests import Retry
from domain.rule_shapes import Basis, Warn, within
from domain.staff.facts import Licence

DEFAULT_PLAN = "default"
CALENDAR_REACH_DAYS_MIN = 90
"""A policy is adopted only if its holiday calendars reach at least this far beyond its first day."""

EFFECTIVE_YEAR_MIN, EFFECTIVE_YEAR_MAX = 2000, 2199
"""The programme is younger and every rule shorter: an effective day outside is a slip of the pen."""

SAID_LENGTH_MAX = 60
"""Characters of a wrong value that a fault repeats."""

HEADER = re.compile(r"\[{1,2}[^\[\]{}=,]+\]{1,2}\s*(#.*)?")
"""A line that begins a table; a line within a list of lists is none."""


class ClockStart(StrEnum):
    RECEIVED = "received"
    ASSIGNMENT_EFFECTIVE = "assignment_effective"
    AUTHORIZED = "authorized"


class Satisfies(StrEnum):
    """What counts as the initial contact (domain.md 2.3)."""

    CONTACT = "contact"
    ATTEMPT = "attempt"
    IN_PERSON_CONTACT = "in_person_contact"


class Performer(StrEnum):
    MACHINE = "machine"
    PERSON = "person"


class Evidence(StrEnum):
    """What closes an item of the transitional-care checklist: any live exchange with the member; any in person; this item gone
    through in a live exchange; done by a licensed person; done and recorded."""

    CONTACT = "contact"
    IN_PERSON = "in_person"
    DISCUSSED = "discussed"
    LICENSED = "licensed"
    DONE = "done"


# --- rule shapes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialContact:
    """The initial contact deadline (domain.md 2.3). Done between the due and `closes_after_days` later it counts as late."""

    days: int = within(1, 120)
    basis: Basis
    holiday_calendar: str
    clock_start: ClockStart
    satisfied_by: Satisfies
    closes_after_days: int = within(0, 365)
    warn: tuple[Warn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEntry:
    """Records dated back further than this count only after a supervisor's approval."""

    grace_days: int = within(0, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRule:
    """Who performs a rung on this channel, and whether a machine's message counts as an attempt (domain.md 2.4)."""

    performed_by: Performer
    message_counts_as_attempt: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A step of the outreach ladder: to be done from local day `opens_day` to the end of `due_day` after the assignment (day 0)."""

    opens_day: int = within(0, 730)
    due_day: int = within(0, 730)
    channel: Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """After the rungs: again every so many days until a day, going round the channels."""

    every_days: int = within(1, 180)
    until_day: int = within(1, 730)
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """How attempts are to vary: hours between two, bands of the day to go through, and after how many failures in a row on a
    channel another one is proposed."""

    hours_min: int = within(0, 336)
    hours_of_day: tuple[time, ...]
    same_channel_failures_max: int = within(1, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnableToReach:
    """The least that must have been tried before unable-to-reach may be proposed, and how long a supervisor has to decide."""

    attempts_min: int = within(1, 50)
    channels_min: int = within(1, 6)
    days_min: int = within(0, 365)
    decide_within_days: int = within(1, 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """How long a request is of use, and how a transient failure is retried."""

    expires_after_hours: int = within(1, 720)
    turns_max: int = within(1, 10)
    retry_after_minutes: int = within(1, 1440)

    @property
    def retry(self) -> Retry:
        return Retry(self.turns_max, timedelta(minutes=self.retry_after_minutes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outreach:
    """How a member is looked for, and for how long."""

    spacing: Spacing
    unable_to_reach: UnableToReach
    review_every_days: int = within(1, 180)
    coverage_return_days: int = within(0, 365)
    channels: dict[Channel, ChannelRule]
    rung: tuple[Rung, ...]
    repeat: tuple[Repeat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionNotice:
    """The lead care manager hears of an admission within `hours`; unread or undelivered after `escalate_after_hours` the supervisor
    hears of it too (domain.md 2.2, G p117)."""

    hours: int = within(1, 168)
    escalate_after_hours: int = within(0, 168)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItem:
    """One thing owed after a discharge (day 0). `closes_day`: until the end of that day it can still be done late.

    `caregiver_counts`: a talk with the caregiver does as well. `home_only`: not owed where the member went to another facility.
    `before_discharge`: it may be done from the admission on. `after_emergency`: owed after an emergency visit too.
    `needed_to_end`: support goes on until it is done (domain.md scenario 61)."""

    key: str
    opens_day: int = within(0, 60)
    due_day: int = within(0, 120)
    basis: Basis
    holiday_calendar: str
    closes_day: int = within(0, 365)
    evidence: Evidence
    licences: tuple[Licence, ...] = ()
    caregiver_counts: bool = False
    home_only: bool = False
    before_discharge: bool = False
    after_emergency: bool = False
    needed_to_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Transitional care (domain.md 3).

    A discharge is supported for `support_days_min` days at least. A readmission up to `restart_within_days` after it ends its
    checklist, which the next discharge starts afresh; after a later one it rests meanwhile. A transfer, or an emergency visit, and
    the admission up to `linked_within_days` later are one transition. `discharge_review_days`: how often somebody is asked to look
    at a stay whose discharge has not been heard of; `review_every_days`: at anything else that goes on."""

    support_days_min: int = within(1, 365)
    restart_within_days: int = within(0, 90)
    linked_within_days: int = within(0, 30)
    discharge_review_days: int = within(1, 90)
    review_every_days: int = within(1, 90)
    emergency_visits: bool
    admission_notice: AdmissionNotice
    item: tuple[ChecklistItem, ...]
    warn: tuple[Warn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HolidayCalendar:
    """A named list of holidays, complete up to and including `known_until`."""

    known_until: date
    days: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Members are left alone from `begins` to `ends`, in their own zone."""

    begins: time
    ends: time

    @property
    def hours(self) -> QuietHours:
        return QuietHours(self.begins, self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of one plan's rules. `effective_on`: the first local day on which it is in force.

    `diagnosis_groups`: the beginnings of ICD-10-CM codes by the name that conditions use. Without `follow_up` the plan asks for
    nothing after the enrolment, without `caseload` nobody's is capped. `questionnaire`: the questions of assessments."""

    plan: str
    version: str
    effective_on: date
    timezone: str
    quiet_hours: Quiet
    messages: Messages
    late_entry: LateEntry
    initial_contact: InitialContact
    outreach: Outreach
    transition: Transition
    holidays: dict[str, HolidayCalendar]
    follow_up: FollowUp | None = None
    caseload: Caseload | None = None
    diagnosis_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    population: tuple[Population, ...] = ()
    questionnaire: tuple[Questionnaire, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.plan}@{self.version}"

    @property
    def effective_at(self) -> Instant:
        return start_of_day(self.effective_on, self.timezone)

    def calendar(self, name: str) -> Holidays:
        if name == NO_HOLIDAYS.name:
            return NO_HOLIDAYS
        listed = self.holidays[name]
        return _known_calendars(Same(lambda: Holidays(name, frozenset(listed.days), listed.known_until), listed, name))


PLAN_UNKNOWN = "plan_unknown"
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

CALENDARS_MAX = 100
_known_calendars = memory(CALENDARS_MAX)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """Every adopted version of every plan, earliest first. A plan without versions of its own follows `default`."""

    policies: tuple[Policy, ...] = ()

    def with_adopted(self, policy: Policy) -> PolicyBook:
        kept = (p for p in self.policies if p.id != policy.id)
        return PolicyBook(tuple(sorted((*kept, policy), key=lambda p: (p.effective_on, p.plan, p.version))))

    def _of(self, plan: str) -> tuple[Policy, ...]:
        return tuple(p for p in self.policies if p.plan == plan) or tuple(p for p in self.policies if p.plan == DEFAULT_PLAN)

    def in_force(self, plan: str, at: Instant) -> Policy:
        """The version that holds at an instant; before the first one, the first one.

        Raises LookupError where neither the plan nor `default` has ever been adopted."""
        versions = self._of(plan)
        if not versions:
            raise LookupError("no policy was adopted for this plan, and no default")
        held = [p for p in versions if p.effective_at <= at]
        return held[-1] if held else versions[0]

    @property
    def plans(self) -> tuple[str, ...]:
        """The health plans that there are: of each, a policy was adopted."""
        return tuple(sorted({policy.plan for policy in self.policies}))

    def unknown(self, plan: str) -> Refusal | None:
        """Why nobody is taken on for a plan; None where there is such a plan. A new plan begins with its policy, so a name without
        one is a slip of the keyboard, and whoever came under it would be of a plan that does not exist."""
        if plan in self.plans:
            return None
        said = f"{plan!r} is" if _PLAN.fullmatch(plan) else "this is"
        known = f"write one of {', '.join(self.plans)}; for a new plan" if self.plans else "no policy was adopted yet:"
        how = "adopt its policy first (throughline policy adopt)"
        return Refusal(PLAN_UNKNOWN, f"plan: {said} no health plan of ours; {known} {how}")

    def named(self, policy_id: str) -> Policy | None:
        """The version with an id like `default@2026.1`."""
        return next((p for p in self.policies if p.id == policy_id), None)

    def in_force_now(self, plan: str, alarm: Alarm) -> Policy:
        """The version that holds now; the alarm keeps the next change."""
        return self.in_force(plan, alarm.turning_at(p.effective_at for p in self._of(plan)))

    def next_change(self, plan: str, after: Instant) -> Instant | None:
        """The next instant after which another version holds."""
        return min((p.effective_at for p in self._of(plan) if p.effective_at > after), default=None)


def policy_tags(plan: str) -> tuple[str, str]:
    """The streams whose facts change which version of a plan's policy is in force."""
    return (f"policy-{plan}", f"policy-{DEFAULT_PLAN}")


# --- reading a file ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in a policy file: the line, where that could be found, and what to do about it."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason}"


class PolicyRefused(ValueError):
    """A policy file with mistakes; `faults` names each."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(str(f) for f in faults))
        self.faults = faults


def read_policy(text: str) -> Policy:
    """The policy that a file holds.

    Raises PolicyRefused with every mistake that was found: syntax, unknown or missing fields, values out of limits, rules that
    contradict each other."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and brackets nested as deep
        raise PolicyRefused((_syntax_fault(text, error),)) from None
    faults: list[Fault] = []
    policy = _build(Policy, table, "", text, faults)
    if not faults:
        assert isinstance(policy, Policy)
        faults.extend(_contradictions(policy, text))
    if faults:
        raise PolicyRefused(tuple(faults))
    assert isinstance(policy, Policy)
    return policy


def _syntax_fault(text: str, error: Exception) -> Fault:
    found = re.search(r"at line (\d+)", str(error))
    line = int(found.group(1)) if found else text.count("\n") + 1
    return Fault(line, "the file", f"is not TOML: {re.sub(r' ?[(]at .*[)]', '', str(error))}")


def _build(kind: Any, value: Any, path: str, text: str, faults: list[Fault]) -> Any:
    """A value of the declared type, with a fault for everything that does not fit."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _build(next(a for a in get_args(kind) if a is not type(None)), value, path, text, faults)
    if origin is tuple:
        if not isinstance(value, list):
            return _fault(faults, text, path, "must be a list")
        return tuple(_build(get_args(kind)[0], v, f"{path}[{i}]", text, faults) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            return _fault(faults, text, path, "must be a table")
        of_key, of_value = get_args(kind)
        where = {k: _join(path, k) for k in value}
        return {_build(of_key, k, where[k], text, faults): _build(of_value, v, where[k], text, faults) for k, v in value.items()}
    if is_dataclass(kind):
        return _build_table(kind, value, path, text, faults)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in tuple(kind):
            return _fault(faults, text, path, f"must be one of {', '.join(kind)}, not {_said(value)}")
        return kind(value)
    if type(value) is not kind:  # a bool is no whole number, and a date with a time of day is no date
        return _fault(faults, text, path, f"must be a {_word(kind)}, not {_said(value)}")
    return value


def _build_table(kind: Any, value: Any, path: str, text: str, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        return _fault(faults, text, path, "must be a table")
    hints, known = get_type_hints(kind), {f.name for f in fields(kind)}
    before = len(faults)
    for name in sorted(value.keys() - known):
        _fault(faults, text, _join(path, name), f"is not known here; known are {', '.join(sorted(known))}")
    built: dict[str, Any] = {}
    for f in fields(kind):
        where = _join(path, f.name)
        if f.name not in value:
            if f.default is MISSING and f.default_factory is MISSING:
                _fault(faults, text, where, "is missing")
            continue
        built[f.name] = _build(hints[f.name], value[f.name], where, text, faults)
        limits, choices = f.metadata.get("limits"), f.metadata.get("one_of")
        if limits and isinstance(built[f.name], int) and not limits[0] <= built[f.name] <= limits[1]:
            _fault(faults, text, where, f"must lie between {limits[0]} and {limits[1]}, not {_said(built[f.name])}")
        if choices and isinstance(built[f.name], str) and built[f.name] not in choices:
            _fault(faults, text, where, f"must be one of {', '.join(choices)}, not {_said(built[f.name])}")
    return kind(**built) if len(faults) == before else None


def _contradictions(policy: Policy, text: str) -> list[Fault]:
    """Rules that fit their types but not each other."""
    faults: list[Fault] = []

    def fault(path: str, reason: str) -> None:
        _fault(faults, text, path, reason)

    try:
        zone(policy.timezone)
    except (KeyError, ValueError, OSError):
        fault("timezone", f"{policy.timezone!r} is not a zone of the IANA list, such as America/Los_Angeles")
        return faults
    if not EFFECTIVE_YEAR_MIN <= policy.effective_on.year <= EFFECTIVE_YEAR_MAX:
        fault("effective_on", f"must lie between the years {EFFECTIVE_YEAR_MIN} and {EFFECTIVE_YEAR_MAX}")
        return faults
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", policy.plan):
        fault("plan", "must be a short name of lower-case letters, digits and hyphens")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,30}", policy.version):
        fault("version", "must be a short name such as 2026.1")
    for index, rung in enumerate(policy.outreach.rung):
        if rung.due_day < rung.opens_day:
            fault(f"outreach.rung[{index}].due_day", "must not come before opens_day")
        if index and rung.opens_day < policy.outreach.rung[index - 1].opens_day:
            fault(f"outreach.rung[{index}].opens_day", "must not come before the rung above it")
    for channel in Channel:
        if channel not in policy.outreach.channels:
            fault(f"outreach.channels.{channel}", "is missing: every channel needs performed_by and message_counts_as_attempt")
    for index, repeat in enumerate(policy.outreach.repeat):
        if not repeat.channels:
            fault(f"outreach.repeat[{index}].channels", "must name at least one channel")
    if not policy.outreach.spacing.hours_of_day:
        fault("outreach.spacing.hours_of_day", "must name at least one hour")
    used = [("initial_contact", policy.initial_contact.holiday_calendar)]
    keys: set[str] = set()
    for index, item in enumerate(policy.transition.item):
        path = f"transition.item[{index}]"
        used.append((path, item.holiday_calendar))
        if item.key in keys:
            fault(f"{path}.key", f"{item.key!r} stands twice")
        keys.add(item.key)
        if item.due_day < item.opens_day or item.closes_day < item.due_day:
            fault(f"{path}.due_day", "must lie between opens_day and closes_day")
        if (item.evidence is Evidence.LICENSED) != bool(item.licences):
            fault(f"{path}.licences", "goes with evidence = 'licensed', and only with it")
    if policy.transition.admission_notice.escalate_after_hours >= policy.transition.admission_notice.hours:
        fault("transition.admission_notice.escalate_after_hours", "must be less than hours: the supervisor hears inside the window")
    used.extend(follow_up_contradictions.calendars(policy.follow_up))
    year = (policy.follow_up, policy.caseload, policy.diagnosis_groups, policy.population)
    for path, reason in follow_up_contradictions.contradictions(*year):
        fault(path, reason)
    assessment = policy.follow_up.assessment if policy.follow_up else None
    for path, reason in questionnaires.contradictions(policy.questionnaire, assessment.questionnaire if assessment else None):
        fault(path, reason)
    for path, name in used:
        if name != NO_HOLIDAYS.name and name not in policy.holidays:
            fault(f"{path}.holiday_calendar", f"{name!r} is not listed under [holidays]; list it, or use 'none'")
    reach = policy.effective_on + timedelta(days=CALENDAR_REACH_DAYS_MIN)
    for name, listed in policy.holidays.items():
        if listed.known_until < reach:
            fault(f"holidays.{name}.known_until", f"must reach at least to {reach}: name the holidays up to then")
    return faults


def _fault(faults: list[Fault], text: str, path: str, reason: str) -> None:
    faults.append(Fault(_line_of(text, path), path, reason))


def _line_of(text: str, path: str) -> int:
    """The line on which a path such as `outreach.rung[2].due_day` stands; where it is missing, or stands within a line, the
    line of what it belongs to."""
    while path:
        table, _, key = path.rpartition(".")
        name = re.sub(r"\[\d+\]$", "", key)
        line = _scan(text, table, name) or _header(text, path)
        if line is not None:
            return line
        path = table if name == key else path[: path.rindex("[")]
    return 1


def _scan(text: str, table: str, key: str) -> int | None:
    inside = table == ""
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        stripped = raw.strip()
        if HEADER.fullmatch(stripped):
            inside = _current(stripped, seen) == table
        elif inside and re.match(rf"\"?{re.escape(key)}\"?\s*=", stripped):
            return number
    return None


def _header(text: str, table: str) -> int | None:
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        stripped = raw.strip()
        if HEADER.fullmatch(stripped) and _current(stripped, seen) == table:
            return number
    return None


def _current(header: str, seen: dict[str, int]) -> str:
    """The path of a table header; `[[…]]` headers are counted, those within another one afresh for each."""
    path = ""
    names = header.split("]")[0].strip("[ ").split(".")
    for depth, name in enumerate(names):
        path = _join(path, name)
        if depth == len(names) - 1 and header.startswith("[["):
            seen[path] = seen.get(path, -1) + 1
        if path in seen:
            path = f"{path}[{seen[path]}]"
    return path


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _word(kind: type) -> str:
    return {int: "whole number", str: "text", bool: "true or false", date: "date", time: "time of day"}.get(kind, kind.__name__)


def _said(value: Any) -> str:
    """A wrong value as a fault repeats it; it may be of any size."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case int() if abs(value) >= 10**SAID_LENGTH_MAX:
            return "a number of so many digits"
        case _:
            return repr(value)[:SAID_LENGTH_MAX]


def policy_day(policy: Policy, at: Instant) -> date:
    """The local day of an instant where the plan works."""
    return local_date(at, policy.timezone)
