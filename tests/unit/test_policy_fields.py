"""Every field of a policy changes what happens to somebody; a field without such a case fails.

The rules of transitional care and of the year after enrolment have their cases in `tests/scenarios/test_*_policy.py`; all others
have theirs here. A case tells one story twice: under a policy file, and under the same file with a line changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from domain.core import Refusal
from domain.episode.decider import ReapplyPolicy, ReceiveAssignment
from domain.member.decider import LoseCoverage, RestoreCoverage
from domain.member.facts import Channel
from domain.outreach.decider import RecordAttempt, RecordContact
from domain.outreach.facts import Outcome, UnableToReachProposed
from domain.policy import Policy, read_policy
from domain.requests import DeliveryBegun, MessageFailed, MessageRequested, RequestExpired, RequestFact
from tests.given import BOSS, EPISODE, LEAD, MEMBER, OUTREACH, POLICIES, Story, at
from tests.scenarios.test_caseload_policy import CASES as CASELOAD_CASES
from tests.scenarios.test_follow_up_policy import CASES as FOLLOW_UP_CASES
from tests.scenarios.test_questions_policy import CASES as QUESTION_CASES
from tests.scenarios.test_tier_policy import CASES as TIER_CASES
from tests.scenarios.test_transition_policy import CASES as TRANSITION_CASES

FILE = (POLICIES / "default.toml").read_text()
ATTEMPT, CONTACT = "initial_contact.attempt", "initial_contact.contact"

Line = tuple[str, str]
"""Text of a policy file that stands there once, and what is put in its place."""


def rewritten(text: str, *lines: Line) -> str:
    for line, instead in lines:
        assert text.count(line) == 1, f"stands {text.count(line)} times: {line!r}"
        text = text.replace(line, instead)
    return text


@dataclass(frozen=True)
class Case:
    """`change` is the line that changes what `shows` finds at the end of its story from `before` to `after`.

    `given` is what else differs from the default file, under both; `beside` are files that were adopted with it."""

    change: Line | tuple[Line, ...]
    shows: Callable[[Story], Any]
    before: Any
    after: Any
    given: tuple[Line, ...] = ()
    beside: tuple[str, ...] = ()
    starts: str = "2026-11-20 10:00 PST"

    @property
    def changes(self) -> tuple[Line, ...]:
        return self.change if isinstance(self.change[0], tuple) else (self.change,)

    def told(self, *changes: Line) -> Any:
        """The outcome of the story under the file with the changes."""
        texts = (rewritten(FILE, *self.given, *changes), *self.beside)
        return self.shows(Story(self.starts, *(read_policy(text) for text in texts)))


# --- what is told --------------------------------------------------------------------------------------------------------------


def due(story: Story) -> Any:
    return story.assigned().owed(CONTACT).window.due


def due_of_an_authorised_member(story: Story) -> Any:
    return story.assigned(authorized_on=date(2026, 11, 12)).owed(CONTACT).window.due


def assigned_by_the_hills(story: Story) -> Any:
    """When the first contact is due of a member of the plan `hills`, or why they cannot be taken on."""
    decision = story.memory.handle(ASSIGNED)
    if isinstance(decision, Refusal):
        return decision.code
    story.memory.settle()
    return story.owed(CONTACT).window.due


def rule_that_governs(story: Story) -> Any:
    return story.assigned().owed(CONTACT).because.policy


def act_by(story: Story) -> Any:
    return story.assigned().owed(CONTACT).act_by


def reapplied(story: Story) -> Any:
    """What becomes of a supervisor's word that the member's open clock moves to a version."""
    story.assigned().on("2026-11-21 09:00 PST")
    decision = story.memory.handle(ReapplyPolicy(stream=EPISODE, by=BOSS, policy="default@2026.1", reason="asked by the plan"))
    return getattr(decision, "code", "done")


def begun(kind: str) -> Callable[[Story], Any]:
    """When messages of a kind began to be sent within five weeks."""

    def shows(story: Story) -> Any:
        story.assigned().on("2026-12-25 12:00 PST")
        keys = {asked.key for asked in story.facts(MessageRequested) if asked.kind == kind}
        return [r.occurred_at for r in story.recorded(DeliveryBegun) if r.fact.key in keys]

    return shows


def never_now(asked: MessageRequested) -> tuple[RequestFact, ...]:
    """A world in which every channel is busy."""
    return (MessageFailed(key=asked.key, permanent=False, code="busy"),)


def tried_again(story: Story) -> Any:
    story.memory.carrier = never_now
    story.assigned().on("2026-11-21 20:00 PST")
    keys = {asked.key for asked in story.facts(MessageRequested) if asked.kind == "text"}
    return [r.occurred_at for r in story.recorded(DeliveryBegun) if r.fact.key in keys]


def text_given_up_at(story: Story) -> Any:
    """Nobody takes up any message: when the text to the member is of no use any more."""
    story.memory.carrier = None
    story.assigned().on("2026-11-25 12:00 PST")
    keys = {asked.key for asked in story.facts(MessageRequested) if asked.kind == "text"}
    return [r.occurred_at for r in story.recorded(RequestExpired) if r.fact.key in keys]


def attempt(channel: Channel, outcome: Outcome = Outcome.NO_ANSWER) -> RecordAttempt:
    return RecordAttempt(stream=OUTREACH, by=LEAD, channel=channel, outcome=outcome)


def entered_the_day_after(story: Story) -> Any:
    story.assigned().on("2026-11-25 09:00 PST")
    story.do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL, occurred_at=at("2026-11-24 11:00 PST")))
    return story.owed(CONTACT).state.value


def after_a_voicemail(story: Story) -> Any:
    story.assigned().on("2026-11-23 11:00 PST").do(attempt(Channel.CALL, Outcome.VOICEMAIL))
    (governing,) = [o for o in story.all_owed("initial_contact") if o.governing]
    return governing.state.value


def met_a_week_late(story: Story) -> Any:
    story.assigned().on("2026-12-07 11:00 PST").do(attempt(Channel.CALL, Outcome.REACHED))
    return story.owed(CONTACT).state.value


def warned(story: Story) -> Any:
    story.assigned().on("2026-12-02 09:00 PST")
    near = [r for r in story.recorded(MessageRequested) if r.fact.template == "deadline_near"]
    return [(r.occurred_at, r.fact.recipient) for r in near]


def looked_at(story: Story) -> Any:
    return story.assigned().owed("outreach.review.contact").window.due


def covered_again_after_two_months(story: Story) -> Any:
    story.assigned().on("2026-11-23 09:00 PST").do(LoseCoverage(stream=MEMBER, by="source:plan"))
    story.on("2027-01-22 09:00 PST").do(RestoreCoverage(stream=MEMBER, by="source:plan"))
    return story.owed(CONTACT).state.value


def advice(story: Story) -> Any:
    """How the next attempt is to be made after two calls in vain: channel, hour, not before."""
    story.assigned()
    for day in (20, 21):
        story.on(f"2026-11-{day} 14:00 PST").do(attempt(Channel.CALL))
    story.on("2026-11-23 09:00 PST")
    (rung,) = [o for o in story.all_owed("outreach.attempt") if o.key == "attempt/2"]
    return rung.how.split(", ")[:3]


def proposed_at(story: Story) -> Any:
    """When a supervisor is asked to decide: after five attempts over two channels, one of them late, all in vain."""
    story.assigned()
    for day, channel in ((2, Channel.CALL), (4, Channel.CALL), (8, Channel.VISIT), (15, Channel.CALL), (22, Channel.VISIT)):
        story.on(f"2026-09-{day:02} 11:00 PDT").do(attempt(channel))
    story.on("2026-10-05 11:00 PDT").do(attempt(Channel.CALL))
    story.on("2026-10-06 11:00 PDT").do(attempt(Channel.MEETING, Outcome.NOT_THERE))
    story.on("2026-11-20 09:00 PST")
    return [r.occurred_at for r in story.recorded(UnableToReachProposed)]


def to_be_decided_by(story: Story) -> Any:
    proposed_at(story)
    return story.owed("outreach.decide_unable_to_reach").window.due


def promised(until: str) -> Callable[[Story], Any]:
    """What a person owes on the ladder until a day: keys and dues."""

    def shows(story: Story) -> Any:
        story.assigned().on(until)
        return [(o.key, o.window.due) for o in story.all_owed("outreach.attempt")]

    return shows


def opened_as(key: str, until: str) -> Callable[[Story], Any]:
    """When an attempt opened, and by which channel it is proposed."""

    def shows(story: Story) -> Any:
        story.assigned().on(until)
        return [(o.window.opens, o.how.split(", ")[0]) for o in story.all_owed("outreach.attempt") if o.key == key]

    return shows


def attempt_by_software(story: Story) -> Any:
    story.assigned().on("2026-11-22 09:00 PST")
    owed = story.owed(ATTEMPT)
    return owed.state.value, owed.met_at


def days_of_promises(story: Story) -> Any:
    """On which days after the assignment an attempt for a person opens, within nine months."""
    story.assigned().on("2027-08-20 09:00 PDT")
    return [(o.window.opens.date() - date(2026, 11, 20)).days for o in story.all_owed("outreach.attempt")]


def asked_to_extend_the_calendar(story: Story) -> Any:
    return [o.owed_by for o in story.assigned().all_owed("initial_contact.holiday_calendar")]


DAYS: Line = ("days = 10\n", "days = 7\n")
BUSINESS: Line = ('days = 10\nbasis = "calendar"', 'days = 10\nbasis = "business"')
FEDERAL: Line = ('basis = "business"\nholiday_calendar = "none"', 'basis = "business"\nholiday_calendar = "federal"')
IN_WEEKDAYS, IN_FEDERAL_DAYS = (BUSINESS,), (BUSINESS, FEDERAL)
SECOND_VERSION: Line = ('version = "2026.1"', 'version = "2026.2"')
NO_THANKSGIVING: Line = (
    "2026-11-26, 2026-12-25,\n    2027-01-01, 2027-01-18, 2027-02-15, 2027-05-31, 2027-06-18",
    "2026-12-25,\n    2027-01-01, 2027-01-18, 2027-02-15, 2027-05-31, 2027-06-18",
)
LADDER = FILE[FILE.index("[[outreach.rung]]") : FILE.index("[[outreach.repeat]]")]
REPEATS = FILE[FILE.index("[[outreach.repeat]]") : FILE.index("[transition]")]
NO_RUNG: Line = ("[outreach]\n", "[outreach]\nrung = []\n")
NO_REPEAT: Line = ("[outreach]\n", "[outreach]\nrepeat = []\n")
BY_DEFAULT = [0, 3, 5, 8, 15, 22, 29, 89, 119, 179]
"""The days of the default ladder without those of the text and the letters, which software sends."""

VISIT_RUNG = 'opens_day = 5\ndue_day = 7\nchannel = "visit"'
AUTUMN = "2026-09-01 10:00 PDT"
ALERTED = [(at("2026-11-27 19:59:59 PST"), LEAD), (at("2026-11-29 19:59:59 PST"), BOSS)]

ASSIGNED = ReceiveAssignment(stream=EPISODE, by="source:plan", member=MEMBER, plan="hills", received_at=at("2026-11-20 10:00 PST"))

CASES: dict[str, Case] = {
    "plan": Case(
        ('plan = "hills"', 'plan = "valley"'), assigned_by_the_hills, at("2026-11-27 24:00 PST"), "plan_unknown",
        given=(DAYS, ('plan = "default"', 'plan = "hills"')), beside=(FILE,),
    ),
    "version": Case(
        ('version = "2026.1"', 'version = "2026.3"'), reapplied, "done", "unknown_policy",
        beside=(rewritten(FILE, SECOND_VERSION, ("effective_on = 2026-01-01", "effective_on = 2026-10-01")),),
    ),
    "effective_on": Case(
        ("effective_on = 2026-10-01", "effective_on = 2026-12-01"), due, at("2026-11-27 24:00 PST"), at("2026-11-30 24:00 PST"),
        given=(SECOND_VERSION, DAYS, ("effective_on = 2026-01-01", "effective_on = 2026-10-01")), beside=(FILE,),
    ),
    "timezone": Case(
        ('timezone = "America/Los_Angeles"', 'timezone = "America/New_York"'), due,
        at("2026-11-30 24:00 PST"), at("2026-12-01 24:00 EST"), starts="2026-11-20 22:30 PST",
    ),
    "quiet_hours.begins": Case(
        ("begins = 20:00:00", "begins = 22:00:00"), act_by, at("2026-11-30 19:59:59 PST"), at("2026-11-30 21:59:59 PST")
    ),
    "quiet_hours.ends": Case(
        ("ends = 08:00:00", "ends = 09:30:00"), begun("text"), [at("2026-11-21 08:00 PST")], [at("2026-11-21 09:30 PST")]
    ),
    "messages.expires_after_hours": Case(
        ("expires_after_hours = 24", "expires_after_hours = 48"), text_given_up_at,
        [at("2026-11-22 00:00 PST")], [at("2026-11-23 00:00 PST")],
    ),
    "messages.turns_max": Case(
        ("turns_max = 4", "turns_max = 2"), tried_again,
        [at(f"2026-11-21 {clock} PST") for clock in ("08:00", "08:15", "08:45", "09:45")],
        [at(f"2026-11-21 {clock} PST") for clock in ("08:00", "08:15")],
    ),
    "messages.retry_after_minutes": Case(
        ("retry_after_minutes = 15", "retry_after_minutes = 60"), tried_again,
        [at(f"2026-11-21 {clock} PST") for clock in ("08:00", "08:15", "08:45", "09:45")],
        [at(f"2026-11-21 {clock} PST") for clock in ("08:00", "09:00", "11:00", "15:00")],
    ),
    "late_entry.grace_days": Case(("grace_days = 2", "grace_days = 0"), entered_the_day_after, "met", "open"),
    "initial_contact.days": Case(DAYS, due, at("2026-11-30 24:00 PST"), at("2026-11-27 24:00 PST")),
    "initial_contact.basis": Case(BUSINESS, due, at("2026-11-30 24:00 PST"), at("2026-12-04 24:00 PST")),
    "initial_contact.holiday_calendar": Case(
        FEDERAL, due, at("2026-12-04 24:00 PST"), at("2026-12-07 24:00 PST"), given=IN_WEEKDAYS
    ),
    "initial_contact.clock_start": Case(
        ('clock_start = "received"', 'clock_start = "authorized"'), due_of_an_authorised_member,
        at("2026-11-30 24:00 PST"), at("2026-11-22 24:00 PST"),
    ),
    "initial_contact.satisfied_by": Case(
        ('satisfied_by = "contact"', 'satisfied_by = "attempt"'), after_a_voicemail, "open", "met"
    ),
    "initial_contact.closes_after_days": Case(
        ("closes_after_days = 30", "closes_after_days = 5"), met_a_week_late, "met_late", "missed"
    ),
    "initial_contact.warn": Case(
        ('warn = [{ days_before = 3, to = "owner" }, { days_before = 1, to = "supervisor" }]', "warn = []"), warned, ALERTED, []
    ),
    "initial_contact.warn.days_before": Case(
        ('warn = [{ days_before = 3, to = "owner" }', 'warn = [{ days_before = 5, to = "owner" }'), warned,
        ALERTED, [(at("2026-11-25 19:59:59 PST"), LEAD), ALERTED[1]],
    ),
    "initial_contact.warn.to": Case(
        ('warn = [{ days_before = 3, to = "owner" }', 'warn = [{ days_before = 3, to = "supervisor" }'), warned,
        ALERTED, [(at("2026-11-27 19:59:59 PST"), BOSS), ALERTED[1]],
    ),
    "outreach.review_every_days": Case(
        ("review_every_days = 14", "review_every_days = 5"), looked_at, at("2026-12-04 10:00 PST"), at("2026-11-25 10:00 PST")
    ),
    "outreach.coverage_return_days": Case(
        ("coverage_return_days = 90", "coverage_return_days = 30"), covered_again_after_two_months, "open", "withdrawn"
    ),
    "outreach.spacing.hours_min": Case(
        ("hours_min = 20", "hours_min = 48"), advice,
        ["call", "around 10:00", "not before 2026-11-22T18:00Z"], ["call", "around 10:00", "not before 2026-11-23T22:00Z"],
    ),
    "outreach.spacing.hours_of_day": Case(
        ("hours_of_day = [10:00:00, ", "hours_of_day = [11:30:00, "), advice,
        ["call", "around 10:00", "not before 2026-11-22T18:00Z"], ["call", "around 11:30", "not before 2026-11-22T18:00Z"],
    ),
    "outreach.spacing.same_channel_failures_max": Case(
        ("same_channel_failures_max = 3", "same_channel_failures_max = 2"), advice,
        ["call", "around 10:00", "not before 2026-11-22T18:00Z"], ["visit", "around 10:00", "not before 2026-11-22T18:00Z"],
    ),
    "outreach.unable_to_reach.attempts_min": Case(
        ("attempts_min = 5", "attempts_min = 6"), proposed_at, [at("2026-10-01 00:00 PDT")], [at("2026-10-05 11:00 PDT")],
        starts=AUTUMN,
    ),
    "outreach.unable_to_reach.channels_min": Case(
        ("channels_min = 2", "channels_min = 3"), proposed_at, [at("2026-10-01 00:00 PDT")], [at("2026-10-06 11:00 PDT")],
        starts=AUTUMN,
    ),
    "outreach.unable_to_reach.days_min": Case(
        ("days_min = 30\ndecide", "days_min = 60\ndecide"), proposed_at, [at("2026-10-01 00:00 PDT")], [at("2026-10-31 00:00 PDT")],
        starts=AUTUMN,
    ),
    "outreach.unable_to_reach.decide_within_days": Case(
        ("decide_within_days = 7", "decide_within_days = 3"), to_be_decided_by,
        at("2026-10-08 24:00 PDT"), at("2026-10-04 24:00 PDT"), starts=AUTUMN,
    ),
    "outreach.channels.performed_by": Case(
        ('text = { performed_by = "machine"', 'text = { performed_by = "person"'), promised("2026-11-21 12:00 PST"),
        [("attempt/0", at("2026-11-22 24:00 PST"))],
        [("attempt/0", at("2026-11-22 24:00 PST")), ("attempt/1", at("2026-11-23 24:00 PST"))],
    ),
    "outreach.channels.message_counts_as_attempt": Case(
        ('text = { performed_by = "machine", message_counts_as_attempt = false',
         'text = { performed_by = "machine", message_counts_as_attempt = true'),
        attempt_by_software, ("open", None), ("met", at("2026-11-21 08:00 PST")),
    ),
    "outreach.rung": Case(
        ((LADDER, ""), NO_RUNG), promised("2026-11-21 12:00 PST"), [("attempt/0", at("2026-11-22 24:00 PST"))], []
    ),
    "outreach.rung.opens_day": Case(
        (VISIT_RUNG, VISIT_RUNG.replace("opens_day = 5", "opens_day = 6")), opened_as("attempt/4", "2026-11-27 12:00 PST"),
        [(at("2026-11-25 00:00 PST"), "visit")], [(at("2026-11-26 00:00 PST"), "visit")],
    ),
    "outreach.rung.due_day": Case(
        ("opens_day = 0\ndue_day = 2\nchannel", "opens_day = 0\ndue_day = 1\nchannel"), promised("2026-11-21 12:00 PST"),
        [("attempt/0", at("2026-11-22 24:00 PST"))], [("attempt/0", at("2026-11-21 24:00 PST"))],
    ),
    "outreach.rung.channel": Case(
        (VISIT_RUNG, VISIT_RUNG.replace("visit", "meeting")), opened_as("attempt/4", "2026-11-27 12:00 PST"),
        [(at("2026-11-25 00:00 PST"), "visit")], [(at("2026-11-25 00:00 PST"), "meeting")],
    ),
    "outreach.repeat": Case(((REPEATS, ""), NO_REPEAT), days_of_promises, BY_DEFAULT, [0, 3, 5, 8]),
    "outreach.repeat.every_days": Case(
        ("every_days = 7\nuntil", "every_days = 10\nuntil"), days_of_promises, BY_DEFAULT, [0, 3, 5, 8, 18, 28, 88, 118, 178]
    ),
    "outreach.repeat.until_day": Case(
        ("until_day = 180", "until_day = 90"), days_of_promises, BY_DEFAULT, [0, 3, 5, 8, 15, 22, 29, 89]
    ),
    "outreach.repeat.channels": Case(
        ('channels = ["call", "visit"]', 'channels = ["meeting", "visit"]'), opened_as("attempt/6", "2026-12-06 12:00 PST"),
        [(at("2026-12-05 00:00 PST"), "call")], [(at("2026-12-05 00:00 PST"), "meeting")],
    ),
    "holidays": Case(
        (("[holidays.federal]", "[holidays.bank]"), ("[holidays.ca_state]", "[holidays.federal]")), due,
        at("2026-12-07 24:00 PST"), at("2026-12-08 24:00 PST"), given=IN_FEDERAL_DAYS,
    ),
    "holidays.known_until": Case(
        ("[holidays.federal]\nknown_until = 2027-12-31", "[holidays.federal]\nknown_until = 2026-12-01"),
        asked_to_extend_the_calendar, [], ["role:operator"], given=IN_FEDERAL_DAYS,
    ),
    "holidays.days": Case(
        NO_THANKSGIVING, due, at("2026-12-07 24:00 PST"), at("2026-12-04 24:00 PST"), given=IN_FEDERAL_DAYS
    ),
}  # fmt: skip


# --- the whole schema ----------------------------------------------------------------------------------------------------------


def paths(kind: type = Policy, before: str = "") -> Iterator[str]:
    """The fields of a rule shape and of the shapes in it.

    A field that only holds another shape, or one such shape for each member of an enumeration, is none of its own; one that may be
    left out is, and a list is."""
    hints = get_type_hints(kind)
    for f in fields(kind):
        hint, path = hints[f.name], f"{before}{f.name}"
        inner = innermost(hint)
        if is_dataclass(inner):
            assert isinstance(inner, type)
            yield from paths(inner, f"{path}.")
        closed = inner is hint or (get_origin(hint) is dict and issubclass(get_args(hint)[0], Enum))
        if not (is_dataclass(inner) and closed):
            yield path


def innermost(hint: Any) -> Any:
    """What a list, a list of lists, a table or a section that may be left out is made of."""
    match get_origin(hint):
        case origin if origin in (Union, UnionType):
            return innermost(next(a for a in get_args(hint) if a is not type(None)))
        case origin if origin is tuple:
            return innermost(get_args(hint)[0])
        case origin if origin is dict:
            return innermost(get_args(hint)[1])
        case _:
            return hint


EVERY_CASE: dict[str, Any] = {
    **CASES,
    **{f"transition.{path}": case for path, case in TRANSITION_CASES.items()},
    **FOLLOW_UP_CASES,
    **CASELOAD_CASES,
    **TIER_CASES,
    **QUESTION_CASES,
}


@pytest.mark.parametrize("path", sorted(paths()))
def test_every_field_has_a_case_of_a_member_whose_outcome_it_changes(path: str) -> None:
    assert path in EVERY_CASE, f"{path} has no case; add one here, or to those of its section in tests/scenarios"
    case = EVERY_CASE[path]
    assert case.before != case.after
    if isinstance(case, Case):
        assert case.told() == case.before
        assert case.told(*case.changes) == case.after


def test_every_case_is_of_a_field() -> None:
    assert set(EVERY_CASE) == set(paths())


def test_a_field_without_a_case_would_be_found() -> None:
    @dataclass(frozen=True)
    class Grown(Policy):
        weekend_days: tuple[int, ...]

    assert set(paths(Grown)) - set(EVERY_CASE) == {"weekend_days"}
