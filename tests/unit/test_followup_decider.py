"""What people may say in a follow-up, and what they are told when they may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from domain.core import SYSTEM
from domain.episode.facts import AssignmentReceived, ClosureReason, EpisodeClosed, MemberEnrolled
from domain.follow_up_policy import Launch, Population, Tiers
from domain.followup.decider import (
    AgreeCadence,
    ConfirmPopulation,
    EndCadenceAgreement,
    LiftTierOverride,
    OverrideTier,
    RecordFollowUpAttempt,
    RecordFollowUpContact,
    RejectPopulation,
    ReviewFollowUp,
)
from domain.followup.facts import (
    CadenceAgreed,
    CadenceAgreementEnded,
    Finding,
    FollowUpAttemptMade,
    FollowUpContactMade,
    FollowUpOpened,
    FollowUpReviewed,
    PopulationConfirmed,
    PopulationProposed,
    PopulationRejected,
    TierOverridden,
    TierOverrideLifted,
)
from domain.interactions import AttemptOutcome, Interaction, SpokenTo
from domain.staff.facts import Role, RoleGranted, StaffJoined
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, OFFICE, Given, Told, at, given, told, varied

FOLLOWUP = EPISODE.replace("episode", "followup", 1)
ASSIGNED, ENROLLED, TODAY = "2026-11-01 10:00 PST", "2026-11-02 10:00 PST", "2026-11-20 10:00 PST"

HOMELESS = Population(key="homeless", code="1a", launch=(Launch(county="every", on=date(2026, 1, 1)),), when=())
assert DEFAULT.follow_up is not None
TIERED = replace(DEFAULT.follow_up, tiers=Tiers(order=("high", "low"), otherwise="low", rule=()))
POLICY = varied(follow_up=TIERED, population=(HOMELESS,))
PHONE: dict[str, Any] = {"interaction": Interaction.PHONE}

STAFF = tuple(
    told(stream, fact, ASSIGNED)
    for stream, role in ((LEAD, Role.CARE_MANAGER), (BOSS, Role.SUPERVISOR), (OFFICE, Role.OPERATOR))
    for fact in (StaffJoined(supervisor=BOSS), RoleGranted(role=role))
)
YEAR = (
    *STAFF,
    told(EPISODE, AssignmentReceived(member=MEMBER, plan="valley", received_at=at(ASSIGNED)), ASSIGNED),
    told(EPISODE, MemberEnrolled(agreed="verbal", to_whom=LEAD), ENROLLED),
    told(
        FOLLOWUP,
        FollowUpOpened(member=MEMBER, episode=EPISODE, plan="valley", policy=POLICY.id, since=at(ENROLLED)),
        ENROLLED,
    ),
)
PROPOSED = told(FOLLOWUP, PopulationProposed(population="homeless", grounds=(), policy=POLICY.id), ENROLLED)


def year(*more: Told) -> Given:
    return given(*YEAR, *more, policies=(POLICY,))


def by_lead(kind: type, **fields: Any) -> Any:
    return kind(stream=FOLLOWUP, by=fields.pop("by", LEAD), **fields)


def test_a_contact_says_how_and_with_whom() -> None:
    said = {"interaction": Interaction.IN_PERSON, "spoken_to": SpokenTo.CAREGIVER, "minutes": 30}
    year().when(by_lead(RecordFollowUpContact, **said), TODAY).then(FollowUpContactMade(member=MEMBER, **said))


def test_an_attempt_says_how_it_ended() -> None:
    said = {"interaction": Interaction.PHONE, "outcome": AttemptOutcome.NO_ANSWER}
    year().when(by_lead(RecordFollowUpAttempt, **said), TODAY).then(FollowUpAttemptMade(member=MEMBER, **said))


def test_what_lies_further_back_than_the_grace_waits_for_approval() -> None:
    long_ago = by_lead(RecordFollowUpContact, **PHONE, occurred_at=at("2026-11-10 10:00 PST"))
    waiting = FollowUpContactMade(member=MEMBER, interaction=Interaction.PHONE, spoken_to=SpokenTo.MEMBER, approval_needed=True)
    year().when(long_ago, TODAY).then(waiting)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (by_lead(RecordFollowUpContact, interaction=Interaction.TEXT), "no_exchange"),
        (by_lead(RecordFollowUpContact, **PHONE, spoken_to=SpokenTo.NOBODY), "no_exchange"),
        (by_lead(RecordFollowUpContact, **PHONE, minutes=2000), "minutes_out_of_range"),
        (by_lead(RecordFollowUpContact, **PHONE, occurred_at=at("2026-11-21 10:00 PST")), "in_the_future"),
        (by_lead(RecordFollowUpContact, **PHONE, occurred_at=at("2026-11-01 12:00 PST")), "not_enrolled"),
        (by_lead(RecordFollowUpContact, **PHONE, by=OFFICE), "not_authorised"),
        (by_lead(RecordFollowUpContact, **PHONE, by="staff-nobody"), "actor_unknown"),
        (by_lead(RecordFollowUpContact, **PHONE, by=SYSTEM), "person_needed"),
        (by_lead(RecordFollowUpContact, **PHONE, by="source:plan"), "person_needed"),
        (by_lead(AgreeCadence, every_days=0, reason="x"), "days_out_of_range"),
        (by_lead(AgreeCadence, every_days=366, reason="x"), "days_out_of_range"),
        (by_lead(AgreeCadence, every_days=7, reason=""), "reason_missing"),
        (by_lead(AgreeCadence, every_days=7, reason="x", occurred_at=at("2026-11-10 10:00 PST")), "dated_back"),
        (by_lead(OverrideTier, tier="gold", reason="x"), "unknown_tier"),
        (by_lead(OverrideTier, tier="high", reason=""), "reason_missing"),
        (by_lead(ConfirmPopulation, population="astronauts"), "unknown_population"),
        (by_lead(RejectPopulation, population="homeless", reason="x"), "not_proposed"),
        (by_lead(ReviewFollowUp, about="", finding=Finding.ASKED), "about_missing"),
    ],
)
def test_a_refusal_names_the_field_and_the_remedy(command: Any, code: str) -> None:
    year().when(command, TODAY).refused(code)


def test_without_an_episode_there_is_no_follow_up() -> None:
    given(*STAFF, policies=(POLICY,)).when(by_lead(RecordFollowUpContact, **PHONE), TODAY).refused("no_follow_up")


def test_after_the_closure_a_contact_belongs_to_a_new_episode_and_one_before_it_is_still_recorded() -> None:
    closed = year(told(EPISODE, EpisodeClosed(reason=ClosureReason.MEMBER_WITHDREW), "2026-11-19 10:00 PST"))
    closed.when(by_lead(RecordFollowUpContact, **PHONE), TODAY).refused("episode_closed")
    before = by_lead(RecordFollowUpContact, **PHONE, occurred_at=at("2026-11-19 09:00 PST"))
    closed.when(before, TODAY).then(FollowUpContactMade(member=MEMBER, interaction=Interaction.PHONE, spoken_to=SpokenTo.MEMBER))


def test_an_agreement_is_made_replaced_and_ended_once() -> None:
    agreed = told(FOLLOWUP, CadenceAgreed(every_days=7, reason="wants more"), "2026-11-10 10:00 PST")
    year().when(by_lead(AgreeCadence, every_days=7, reason="wants more"), TODAY).then(
        CadenceAgreed(every_days=7, reason="wants more")
    )
    year(agreed).when(by_lead(AgreeCadence, every_days=7, reason="wants more"), TODAY).then()
    year(agreed).when(by_lead(AgreeCadence, every_days=9, reason="less"), TODAY).then(CadenceAgreed(every_days=9, reason="less"))
    year(agreed).when(by_lead(EndCadenceAgreement, reason="enough"), TODAY).then(CadenceAgreementEnded(reason="enough"))
    year().when(by_lead(EndCadenceAgreement, reason="enough"), TODAY).then()


def test_a_tier_is_overridden_and_the_override_lifted_once() -> None:
    said = told(FOLLOWUP, TierOverridden(tier="high", reason="lives in a car"), "2026-11-10 10:00 PST")
    override = by_lead(OverrideTier, tier="high", reason="lives in a car")
    year().when(override, TODAY).then(TierOverridden(tier="high", reason="lives in a car"))
    year(said).when(override, TODAY).then()
    year(said).when(by_lead(OverrideTier, tier="none", reason="x"), TODAY).then(TierOverridden(tier="none", reason="x"))
    year(said).when(by_lead(LiftTierOverride), TODAY).then(TierOverrideLifted())
    year().when(by_lead(LiftTierOverride), TODAY).then()


def test_a_population_is_confirmed_or_rejected_and_the_last_word_counts() -> None:
    confirm, reject = (
        by_lead(ConfirmPopulation, population="homeless"),
        by_lead(RejectPopulation, population="homeless", reason="x"),
    )
    confirmed = told(FOLLOWUP, PopulationConfirmed(population="homeless"), "2026-11-10 10:00 PST")
    rejected = told(FOLLOWUP, PopulationRejected(population="homeless", reason="x"), "2026-11-10 10:00 PST")
    year(PROPOSED).when(confirm, TODAY).then(PopulationConfirmed(population="homeless"))
    year().when(confirm, TODAY).then(PopulationConfirmed(population="homeless"))
    year(PROPOSED, confirmed).when(confirm, TODAY).then()
    year(PROPOSED, confirmed).when(reject, TODAY).then(PopulationRejected(population="homeless", reason="x"))
    year(PROPOSED, rejected).when(reject, TODAY).then()
    year(PROPOSED, rejected).when(confirm, TODAY).then(PopulationConfirmed(population="homeless"))


def test_a_review_says_what_was_found() -> None:
    said = {"about": "silence/x/3", "finding": Finding.GOES_ON}
    year().when(by_lead(ReviewFollowUp, **said), TODAY).then(FollowUpReviewed(**said))
