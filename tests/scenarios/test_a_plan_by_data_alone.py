"""A third plan of a kind that no file of ours has comes by a file alone: no tiers, a least number of contacts within so many
business days, one population of focus that begins in two counties on different days.

Verdicts are reckoned by hand from the calendar: in November 2026 the 2nd is a Monday; the 11th, 26th and 27th are free.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

from typer.testing import CliRunner

from domain.adoption.facts import PolicyAdopted
from domain.clocks import DeadlineMissed
from domain.core import Instant
from domain.episode.enrolment import Enrol
from domain.followup.decider import RecordFollowUpAttempt, RecordFollowUpContact
from domain.followup.facts import NO_TIER, PopulationProposed, TierFound
from domain.interactions import AttemptOutcome, Interaction
from domain.member.circumstances import Circumstance, LearnCounty, NoteCircumstance
from domain.member.facts import Channel
from domain.outreach.decider import RecordContact
from domain.policy import read_policy
from eventlog.opening import PolicyShelf
from tests.given import EPISODE, LEAD, MEMBER, OUTREACH, Story, at
from workers.cli import app, frame
from workers.composition import open_system
from workers.settings import load_settings

PLAN = """
plan = "delta-county"
version = "2026.1"
effective_on = 2026-10-01
timezone = "America/Los_Angeles"

[quiet_hours]
begins = 20:30:00
ends = 08:30:00

[messages]
expires_after_hours = 6
turns_max = 2
retry_after_minutes = 45

[late_entry]
grace_days = 3

[initial_contact]
days = 5
basis = "business"
holiday_calendar = "county"
clock_start = "received"
satisfied_by = "contact"
closes_after_days = 10
warn = []

[outreach]
review_every_days = 30
coverage_return_days = 45
rung = []
repeat = [{ every_days = 5, until_day = 40, channels = ["call"] }]
spacing = { hours_min = 1, hours_of_day = [11:00:00], same_channel_failures_max = 5 }
unable_to_reach = { attempts_min = 4, channels_min = 1, days_min = 20, decide_within_days = 3 }

[outreach.channels]
call = { performed_by = "person", message_counts_as_attempt = false }
text = { performed_by = "person", message_counts_as_attempt = false }
email = { performed_by = "person", message_counts_as_attempt = false }
letter = { performed_by = "person", message_counts_as_attempt = false }
visit = { performed_by = "person", message_counts_as_attempt = false }
meeting = { performed_by = "person", message_counts_as_attempt = false }

[transition]
support_days_min = 20
restart_within_days = 0
linked_within_days = 0
discharge_review_days = 3
review_every_days = 5
emergency_visits = false
item = []
warn = []
admission_notice = { hours = 12, escalate_after_hours = 6 }

[follow_up]
review_every_days = 12
provider_change_days = 30
warn = []

[follow_up.cadence]
basis = "business"
holiday_calendar = "county"
closes_after_days = 7
rests_in_hospital = false
caregiver_counts = false
minimum_count = { count = 3, counted_from = "enrolment", within_days = 15 }

[[population]]
key = "homelessness"
code = "1"
when = [[{ kind = "circumstance", any_of = ["homeless"] }]]

[[population.launch]]
county = "San Joaquin"
on = 2026-01-01

[[population.launch]]
county = "Stanislaus"
on = 2026-11-16

[holidays.county]
known_until = 2027-06-30
days = [2026-10-12, 2026-11-11, 2026-11-26, 2026-11-27, 2026-12-25, 2027-01-01]
"""

FOLLOWUP = EPISODE.replace("episode", "followup", 1)
DUE = at("2026-11-24 24:00 PST")
"""The fifteenth business day after Monday the 2nd: 4 in that week, 4 around the 11th, 5, and Monday and Tuesday."""


def story(county: str = "San Joaquin") -> Story:
    """A homeless member of the county, assigned on Monday 26 October, spoken with on Friday, enrolled on Monday 2 November."""
    told = Story("2026-10-26 10:00 PDT", read_policy(PLAN))
    told.do(LearnCounty(stream=MEMBER, by="source:plan", county=county, learned_from="plan_file"))
    told.assigned(plan="delta-county")
    told.do(NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=Circumstance.HOMELESS, learned_from="member"))
    told.on("2026-10-30 15:00 PDT").do(RecordContact(stream=OUTREACH, by=LEAD, channel=Channel.CALL))
    told.on("2026-11-02 10:00 PST").do(Enrol(stream=EPISODE, by=LEAD, agreed="verbal"))
    return told


def spoken(told: Story, *when: str) -> Story:
    for instant in when:
        told.on(instant).do(RecordFollowUpContact(stream=FOLLOWUP, by=LEAD, interaction=Interaction.PHONE))
    return told


def counted(told: Story) -> list[str]:
    """What became of the three contacts that the plan asks for."""
    owed = told.all_owed("followup.minimum", FOLLOWUP)
    assert {o.window.due for o in owed} == {DUE}
    assert {o.because.policy for o in owed} == {"delta-county@2026.1"}
    return [o.state.value for o in owed]


def proposed(told: Story) -> list[Instant]:
    return [r.occurred_at for r in told.recorded(PopulationProposed, FOLLOWUP)]


def test_the_initial_contact_counts_business_days_of_the_county() -> None:
    owed = story().owed("initial_contact.contact")
    assert owed.window.due == at("2026-11-02 24:00 PST")
    assert owed.state.value == "met"
    late = Story("2026-11-09 10:00 PST", read_policy(PLAN)).assigned(plan="delta-county").owed("initial_contact.contact")
    assert late.window.due == at("2026-11-17 24:00 PST"), "Veterans Day, the 11th, is no business day"


def test_three_contacts_by_the_last_minute_meet_the_count() -> None:
    told = spoken(story(), "2026-11-05 11:00 PST", "2026-11-12 11:00 PST", "2026-11-24 23:50 PST").on("2026-12-04 09:00 PST")
    assert counted(told) == ["met", "met", "met"]
    assert told.facts(DeadlineMissed, FOLLOWUP) == []


def test_attempts_do_not_count_and_what_comes_after_the_day_is_late() -> None:
    told = spoken(story(), "2026-11-05 11:00 PST").on("2026-11-20 10:00 PST")
    nobody = AttemptOutcome.NO_ANSWER
    told.do(RecordFollowUpAttempt(stream=FOLLOWUP, by=LEAD, interaction=Interaction.PHONE, outcome=nobody))
    spoken(told, "2026-11-25 09:00 PST").on("2026-12-04 09:00 PST")
    assert counted(told) == ["met", "met_late", "missed"]
    assert [r.occurred_at for r in told.recorded(DeadlineMissed, FOLLOWUP)] == [DUE, DUE]


def test_nothing_else_is_asked_for() -> None:
    """No interval, no assessment, no care plan, no visit: whoever has no such rule is owed no such thing."""
    told = story().on("2027-02-01 09:00 PST")
    asked = {o.because.rule for o in told.plan(FOLLOWUP).obligations}
    assert asked == {"followup.minimum", "followup.enrolment_steps", "followup.population"}
    assert {fact.tier for fact in told.facts(TierFound, FOLLOWUP)} <= {NO_TIER}


def test_a_population_begins_in_each_county_on_its_own_day() -> None:
    assert proposed(story("San Joaquin")) == [at("2026-10-26 10:00 PDT")]
    elsewhere = story("Stanislaus")
    assert proposed(elsewhere.on("2026-11-15 23:59 PST")) == []
    assert proposed(elsewhere.on("2026-11-16 09:00 PST")) == [at("2026-11-16 00:00 PST")]
    assert proposed(story("Merced").on("2027-01-15 09:00 PST")) == [], "a county that is not named has not begun"


def test_an_operator_adopts_it_by_the_command_that_adopts_every_other(database: str, tmp_path: Path) -> None:
    file = tmp_path / "delta-county.toml"
    file.write_text(PLAN)
    before = frame.asked.settings
    frame.asked.settings = load_settings().model_copy(update={"database_url": database, "throughline_home": tmp_path})
    try:
        checked = CliRunner().invoke(app, ["policy", "check", str(file)])
        assert checked.exit_code == 0, checked.output
        done = CliRunner().invoke(app, ["policy", "adopt", str(file)])
        assert done.exit_code == 0, done.output
        listed = CliRunner().invoke(app, ["policy", "list", "--json"])
        assert [found["plan"] for found in json.loads(listed.output)] == ["delta-county"]
        with open_system(frame.asked.settings) as system:
            (recorded,) = system.log.read("policy-delta-county")
            assert recorded.fact == PolicyAdopted(
                plan="delta-county",
                version="2026.1",
                effective_on=date(2026, 10, 1),
                text=PLAN,
                sha256=hashlib.sha256(PLAN.encode()).hexdigest(),
            )
            assert PolicyShelf(system.log)().in_force("delta-county", at("2026-11-02 10:00 PST")) == read_policy(PLAN)
    finally:
        frame.asked.settings = before
