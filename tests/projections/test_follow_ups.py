"""The year after enrolment as read models: where each member stands, whoever learned what in which order."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from domain.core import ObligationState
from domain.episode.authorisations import AuthorisationBasis, AuthorisationDenied, AuthorisationGranted, AuthorisationRequested
from domain.episode.enrolment import (
    Conflict,
    ConflictRaised,
    ConflictSettled,
    EnrolmentStep,
    EnrolmentStepDone,
    PlanTierReported,
    ProviderChangeRequested,
)
from domain.episode.facts import AssignmentReceived, EpisodeClosed, MemberEnrolled
from domain.episode.facts import ClosureReason as Closure
from domain.followup.facts import (
    CadenceAgreed,
    CadenceAgreementEnded,
    FollowUpAttemptMade,
    FollowUpContactMade,
    FollowUpOpened,
    Ground,
    PopulationConfirmed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    PopulationRejected,
    TierFound,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.member.facts import Channel
from domain.outreach.facts import AttemptMade, Outcome
from domain.records import BackdatedRecordApproved, RecordStruckOut
from domain.transition.facts import TransitionContactMade
from projections.queries import BadFilter
from tests.projections.conftest import NOON
from tests.projections.test_queries import DAY, Programme, owed
from tests.projections.test_queries import programme as programme

STAFF = "staff-00000000-0000-4000-8000-0000000000a1"


class Year:
    """An enrolled member and a pen for what is said of their year."""

    def __init__(self, programme: Programme, *, enrolled: bool = True, family: str = "Plantagenet") -> None:
        self.programme = programme
        self.member = programme.member(family)
        self.uuid = programme.episode(self.member, lead=STAFF)
        if enrolled:
            self.episode(MemberEnrolled(agreed="verbal", to_whom=STAFF))

    def episode(self, *facts: Any, day: float = 0, **more: Any) -> tuple[str, ...]:
        return self._write(f"episode-{self.uuid}", facts, day, more)

    def followup(self, *facts: Any, day: float = 0, **more: Any) -> tuple[str, ...]:
        return self._write(f"followup-{self.uuid}", facts, day, more)

    def _write(self, stream: str, facts: Any, day: float, more: dict[str, Any]) -> tuple[str, ...]:
        return self.programme.world.pen.write(stream, *facts, at=NOON + day * DAY, whose=self.member, **more)

    def met(self, interaction: Interaction = Interaction.PHONE, with_whom: SpokenTo = SpokenTo.MEMBER, **more: Any) -> Any:
        return FollowUpContactMade(member=self.member, interaction=interaction, spoken_to=with_whom, **more)

    def row(self, day: float = 30, **more: Any) -> Any:
        (found,) = self.programme.shown().follow_ups(now=NOON + day * DAY, member=self.member, **more).items
        return found


@pytest.fixture
def year(programme: Programme) -> Year:
    return Year(programme)


def test_steps_done_and_undone_whichever_order_they_came_in(year: Year) -> None:
    year.episode(EnrolmentStepDone(step=EnrolmentStep.FIRST_APPOINTMENT, how="in_person"), day=2)
    year.episode(EnrolmentStepDone(step=EnrolmentStep.SCREENING), EnrolmentStepDone(step=EnrolmentStep.SCREENING), day=1)
    row = year.row()
    assert (row.steps_done, row.steps_undone) == (("screening", "first_appointment"), ("assessment", "agreement_documents"))
    queries = year.programme.queries
    assert (
        queries.follow_ups(now=NOON, step_undone="assessment").items
        and not queries.follow_ups(now=NOON, step_undone="screening").items
    )
    with pytest.raises(BadFilter, match="step_undone"):
        queries.follow_ups(now=NOON, step_undone="dancing")


def test_the_tier_is_the_overrides_while_it_stands_and_the_plans_stands_beside(year: Year) -> None:
    year.followup(TierOverridden(tier="low", reason="knows everybody"), day=5, by=STAFF)
    year.followup(TierFound(tier="high", grounds=(Ground("homeless", ("e-1",)),), policy="sunrise@1"), day=1)
    year.episode(PlanTierReported(tier="tier 3"), day=3)
    year.episode(PlanTierReported(tier="tier 2"), day=2)
    row = year.row()
    assert (row.tier, row.tier_found, row.tier_overridden, row.override_reason) == ("low", "high", True, "knows everybody")
    assert row.plan_tier == "tier 3", "the plan's last word in the world's order"
    year.followup(TierOverrideLifted(reason="moved"), day=6)
    row = year.row()
    assert (row.tier, row.tier_overridden, row.override_reason) == ("high", False, "")
    assert not year.programme.queries.follow_ups(now=NOON, tier="low").items


def test_the_last_contact_is_a_live_one_with_the_member_that_counts(year: Year) -> None:
    year.followup(year.met(), day=1)
    year.followup(year.met(with_whom=SpokenTo.FACILITY), day=2)
    year.followup(year.met(Interaction.VOICEMAIL), day=3)
    year.followup(FollowUpAttemptMade(member=year.member, interaction=Interaction.PHONE, outcome=AttemptOutcome.NO_ANSWER), day=4)
    assert (year.row().last_contact_at, year.row().last_contact_how) == (NOON + DAY, "phone")
    (backdated,) = year.followup(year.met(Interaction.IN_PERSON, approval_needed=True), day=8)
    assert year.row().last_contact_at == NOON + DAY, "it waits for a supervisor"
    year.followup(BackdatedRecordApproved(record=backdated), day=9)
    assert (year.row().last_contact_at, year.row().last_contact_how) == (NOON + 8 * DAY, "in_person")
    year.followup(RecordStruckOut(record=backdated, reason="another member"), day=10)
    assert year.row().last_contact_at == NOON + DAY
    standings = {(c.how, c.standing) for c in year.programme.queries.contacts(member=year.member).items}
    assert ("in_person", "struck_out") in standings, "what was struck out stays readable"


def test_a_contact_of_any_process_counts_and_is_listed(year: Year) -> None:
    pen = year.programme.world.pen
    tried = AttemptMade(member=year.member, channel=Channel.CALL, outcome=Outcome.REACHED, minutes=4)
    pen.write(f"outreach-{year.uuid}", tried, at=NOON + DAY, whose=year.member, by=STAFF, recorded_at=NOON + 3 * DAY)
    spoken = TransitionContactMade(member=year.member, interaction=Interaction.PHONE, spoken_to=SpokenTo.CAREGIVER)
    pen.write(f"transition-{year.uuid}", spoken, at=NOON + 2 * DAY, whose=year.member)
    rows = year.programme.shown().contacts(member=year.member, newest_first=False).items
    assert [(c.kind, c.how, c.two_way) for c in rows] == [("contact", "call", True), ("contact", "phone", True)]
    assert rows[0].by == STAFF and rows[0].entry_lag_seconds == 2 * 86400
    assert year.row().last_contact_at == NOON + 2 * DAY


def test_members_whom_nobody_spoke_with_for_so_many_days(programme: Programme) -> None:
    quiet, spoken, new, closed = (Year(programme, family=name) for name in ("Quiet", "Spoken", "New", "Closed"))
    quiet.followup(quiet.met(), day=1)
    spoken.followup(spoken.met(), day=25)
    closed.episode(EpisodeClosed(reason=Closure.GOALS_MET), day=2)
    programme.world.pen.write(
        f"episode-{new.uuid}", AssignmentReceived(member=new.member, plan="sunrise", received_at=NOON + 29 * DAY), at=NOON
    )
    queries, now = programme.shown(), NOON + 30 * DAY

    def silent(days: int, **more: Any) -> set[str]:
        return {m.member for m in queries.members(now=now, no_contact_days=days, **more).items}

    assert silent(14) == {quiet.member}
    assert silent(14, status="closed") == {closed.member}, "asked for, a closed episode is shown too"
    assert silent(1) == {quiet.member, spoken.member}
    assert {r.member for r in queries.follow_ups(now=now, no_contact_days=14).items} == {quiet.member}
    for days in (0, 4000):
        with pytest.raises(BadFilter, match="no_contact_days"):
            silent(days)


def test_populations_are_proposed_confirmed_rejected_or_no_longer_proposed(year: Year) -> None:
    grounds = (Ground("homeless_and_ill", ("e-1", "e-2")),)
    for name in ("homelessness", "utilisation", "nursing_facility", "birth_equity"):
        year.followup(PopulationProposed(population=name, grounds=grounds, policy="sunrise@1"), day=1)
    year.followup(PopulationConfirmed(population="homelessness"), day=0.5, by=STAFF)
    year.followup(PopulationRejected(population="utilisation", reason="visits of another person"), day=2, by=STAFF)
    year.followup(PopulationProposalWithdrawn(population="birth_equity"), day=3)
    found = {p.population: p for p in year.programme.shown().populations(member=year.member).items}
    assert {name: p.state for name, p in found.items()} == {
        "homelessness": "confirmed", "utilisation": "rejected", "nursing_facility": "proposed", "birth_equity": "withdrawn",
    }  # fmt: skip
    assert found["homelessness"].grounds == grounds and found["homelessness"].by == STAFF
    assert found["utilisation"].reason == "visits of another person" and found["utilisation"].proposed_at == NOON + DAY
    assert (year.row().populations_proposed, year.row().populations_confirmed) == (("nursing_facility",), ("homelessness",))
    assert [p.population for p in year.programme.queries.populations(state="proposed").items] == ["nursing_facility"]


def test_authorisation_conflicts_and_what_else_stands_open(year: Year) -> None:
    assert year.row().authorised_until is None
    for basis, first, last in (
        (AuthorisationBasis.INITIAL, date(2026, 11, 2), date(2027, 11, 1)),
        (AuthorisationBasis.STREAMLINED, date(2026, 11, 2), date(2026, 12, 1)),
    ):
        year.episode(AuthorisationGranted(authorisation=basis.value, basis=basis, first_day=first, last_day=last))
    (raised,) = year.episode(ConflictRaised(conflict=Conflict.OTHER_PROVIDER, programme="other provider"), day=1)
    year.episode(ProviderChangeRequested(reason="too far"), day=2)
    year.followup(CadenceAgreed(every_days=30, reason="works nights"), day=3)
    row = year.row()
    assert row.authorised_until == date(2027, 11, 1) and row.conflicts_open == 1 and row.agreed_every_days == 30
    assert row.provider_change_since == NOON + 2 * DAY
    year.episode(ConflictSettled(raised=raised, outcome="ours"), day=4)
    year.followup(CadenceAgreementEnded(reason="day shift now"), day=5)
    row = year.row()
    assert (row.conflicts_open, row.agreed_every_days) == (0, 0)
    queries = year.programme.queries
    assert queries.follow_ups(now=NOON, authorised_before=date(2027, 12, 1)).items
    assert not queries.follow_ups(now=NOON, authorised_before=date(2027, 11, 1)).items


def test_streamlined_days_end_with_the_day_on_which_the_plans_no_was_told(year: Year) -> None:
    streamlined = AuthorisationGranted(
        authorisation="s-1", basis=AuthorisationBasis.STREAMLINED, first_day=date(2026, 11, 2), last_day=date(2026, 12, 1)
    )
    year.episode(streamlined, AuthorisationRequested(request="r-1", basis=AuthorisationBasis.INITIAL, following="s-1"))
    assert year.row().authorised_until == date(2026, 12, 1)
    year.episode(AuthorisationDenied(request="r-1", communicated_on=date(2026, 11, 20)), day=18)
    assert year.row().authorised_until == date(2026, 11, 20)


def test_the_next_contact_due_and_what_is_overdue_come_from_the_worklist(year: Year) -> None:
    process = f"followup-{year.uuid}"
    year.programme.world.pen.write(
        process,
        FollowUpOpened(member=year.member, episode=f"episode-{year.uuid}", plan="sunrise", policy="sunrise@1", since=NOON),
    )
    due = NOON + 7 * DAY
    year.programme.planned(
        process, year.member, "sunrise",
        owed("contact/a/1", due + 7 * DAY, rule="followup.contact"),
        owed("contact/a/0", due, rule="followup.contact", state=ObligationState.MISSED),
        owed("assessment", due - timedelta(days=3), rule="followup.assessment.begin"),
    )  # fmt: skip
    row = year.row(day=9)
    assert row.process == process and row.episode == f"episode-{year.uuid}"
    assert row.next_contact_due_at == due + 7 * DAY
    assert (row.open, row.overdue, row.missed) == (2, 1, 1)
    assert year.programme.queries.follow_ups(now=NOON + 9 * DAY, overdue=True).items
    (item,) = year.programme.queries.worklist(now=NOON, kind="followup", rule="followup.assessment.begin").items
    assert item.what == "follow-up: begin the assessment"


def test_only_who_is_enrolled_is_followed_up_unless_asked(programme: Programme) -> None:
    assigned = Year(programme, enrolled=False)
    assert programme.shown().follow_ups(now=NOON).items == ()
    (row,) = programme.queries.follow_ups(now=NOON, status="assigned", names=True).items
    assert row.member == assigned.member and row.member_name == "Ada Plantagenet" and row.tier == ""


def test_a_page_ends_and_goes_on(programme: Programme) -> None:
    years = [Year(programme) for _ in range(3)]
    for y in years:
        y.followup(PopulationProposed(population="homelessness", grounds=(), policy="p@1"), y.met())
    queries = programme.shown()
    for ask in (
        lambda **more: queries.follow_ups(now=NOON, **more), lambda **more: queries.populations(**more),
        lambda **more: queries.contacts(**more),
    ):  # fmt: skip
        first = ask(limit=2)
        rest = ask(limit=2, cursor=first.next_cursor)
        assert len(first.items) == 2 and len(rest.items) == 1 and rest.next_cursor is None


def test_what_the_rules_find_last_holds_though_it_holds_from_an_earlier_day(year: Year) -> None:
    year.followup(TierFound(tier="high", grounds=(), policy="sunrise@1"), day=10)
    year.followup(TierFound(tier="low", grounds=(), policy="sunrise@1"), day=1)
    assert (year.row().tier, year.row().tier_found) == ("low", "low")
