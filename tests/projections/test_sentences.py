"""The year after enrolment in words: what a nurse would say, with what an auditor asks for, and nothing that is sealed."""

from __future__ import annotations

from datetime import date

import pytest

from domain.caseload.facts import CaseTaken, CaseWeighed
from domain.core import Fact, personal_fields
from domain.episode.authorisations import AuthorisationBasis, AuthorisationGranted
from domain.episode.care_plans import CarePlanWritten, Goal, GoalState, Task
from domain.episode.closing import NoticeOfActionReceived
from domain.episode.enrolment import Conflict, ConflictRaised, EnrolmentStep, EnrolmentStepDone, ScreeningAnswered
from domain.episode.referrals import PlanAnswer, ReferralAnswered, ReferralReceived, ReferralSource, ReferralWithdrawn, Urgency
from domain.followup import facts as followup
from domain.followup.facts import CadenceAgreed, FollowUpContactMade, Ground, PopulationProposed, TierFound, TierOverridden
from domain.interactions import Interaction, SpokenTo
from domain.member.circumstances import Circumstance, CircumstanceNoted, DataSharingAuthorised, VisitKind, VisitReported
from domain.member.disclosures import EnrolmentDisclosed, EnrolmentWithheld
from projections.sentences import sentence
from projections.words import listed, promise, several

SAID: tuple[tuple[Fact, str], ...] = (
    (CircumstanceNoted(circumstance=Circumstance.HOMELESS, learned_from="member"), "Circumstance noted: homeless (from member)"),
    (VisitReported(visit="v-1", kind=VisitKind.EMERGENCY, on=date(2026, 10, 3), learned_from="plan_file", avoidable=False),
     "Visit reported: emergency on 2026-10-03, not avoidable (from plan file)"),
    (DataSharingAuthorised(authorisation="a-1", content="substance_use", recipients=("plan", "family"),
                           expires_on=date(2027, 1, 2)),
     "Sharing authorised in writing: substance use with plan and family, until 2027-01-02"),
    (EnrolmentStepDone(step=EnrolmentStep.FIRST_APPOINTMENT, how="in_person"),
     "Enrolment step done: first appointment (in person)"),
    (ScreeningAnswered(questionnaire="prapare", questions=("a", "b"), scores=(2, 3)),
     "Screening prapare answered: 2 questions, score 5"),
    (ConflictRaised(conflict=Conflict.EXCLUSIVE_PROGRAMME, programme="hospice"),
     "Conflict: a programme that excludes this one (hospice)"),
    (AuthorisationGranted(authorisation="a-1", basis=AuthorisationBasis.INITIAL, first_day=date(2026, 11, 2),
                          last_day=date(2027, 11, 1)), "Authorised from 2026-11-02 to 2027-11-01 (initial)"),
    (ReferralReceived(referral="r-1", source=ReferralSource.SOCIAL_WORKER, urgency=Urgency.EXPEDITED, repeats="r-0"),
     "Referred by social worker (expedited), once more"),
    (ReferralAnswered(referral="r-1", answer=PlanAnswer.DENIED, communicated_on=date(2026, 11, 24), reason="criteria not met",
                      appeal_until=date(2027, 1, 23)),
     "The plan denied the referral, told on 2026-11-24, appeal until 2027-01-23 (criteria not met)"),
    (ReferralWithdrawn(referral="r-1", reason="sent twice"), "The referral was withdrawn (sent twice)"),
    (EnrolmentDisclosed(inquiry="i-1", to="valley-general", episode="episode-1", lead="staff-1"),
     "Told to valley general, which asked: enrolled; the lead care manager was named"),
    (EnrolmentWithheld(inquiry="i-1", to="valley-general", episode="episode-1", why="part_2_not_authorised"),
     "Asked by valley general and told nothing (part 2 not authorised)"),
    (CarePlanWritten(version=2, goals=(Goal(goal="g-1", topic="housing", state=GoalState.MET), Goal(goal="g-2", topic="pain")),
                     tasks=(Task(task="t-1", goal="g-2", owner="member"),), member_took_part="in_person"),
     "Care plan, version 2: 2 goals (1 met), 1 task; the member took part (in person)"),
    (NoticeOfActionReceived(sent_on=date(2026, 11, 2), effective_on=date(2026, 11, 12), appeal_until=date(2027, 1, 1)),
     "Notice of action: ends on 2026-11-12, appeal until 2027-01-01"),
    (FollowUpContactMade(member="member-1", interaction=Interaction.PHONE, spoken_to=SpokenTo.CAREGIVER, minutes=12),
     "Follow-up contact by phone with the caregiver, 12 min"),
    (CadenceAgreed(every_days=1, reason="asked for daily calls"),
     "Agreed with the member: a contact every 1 day (asked for daily calls)"),
    (TierFound(tier="tier_1", grounds=(Ground("homeless_and_ill"), Ground("many_visits"), Ground("many_visits")), policy="p@1"),
     "Tier found: tier 1 (homeless and ill and many visits)"),
    (TierFound(tier=followup.NO_TIER, grounds=(), policy="p@1"), "No tier"),
    (TierOverridden(tier="tier_2", reason="lives with her co-dependent son"),
     "Tier set by hand: tier 2 (lives with her co-dependent son)"),
    (PopulationProposed(population="avoidable_utilisation", grounds=(Ground("five_visits"),), policy="p@1"),
     "Population of focus proposed: avoidable utilisation (five visits)"),
    (CaseTaken(episode="episode-1", weight_tenths=25, over_cap_because="over the soft cap"),
     "A case taken on: 2.5 points, beyond the cap (over the soft cap)"),
    (CaseWeighed(episode="episode-1", weight_tenths=10, grounds=("tier", "transition")),
     "A case weighs 1 point now (tier and transition)"),
)  # fmt: skip


@pytest.mark.parametrize(("fact", "said"), SAID, ids=lambda value: type(value).__name__ if isinstance(value, Fact) else "")
def test_a_fact_of_the_year_in_words(fact: Fact, said: str) -> None:
    assert sentence(fact) == said


def test_no_sentence_says_what_is_sealed() -> None:
    planted = "Quintanilla"
    for fact, _ in SAID:
        opened = {name: {"g-1": planted} if name == "texts" else planted for name in personal_fields(type(fact))}
        assert planted not in sentence(type(fact)(**{**{n: getattr(fact, n) for n in fact.__dataclass_fields__}, **opened}))  # type: ignore[attr-defined]


def test_words() -> None:
    assert (listed(()), listed(("a_b",)), listed(("a", "b", "c"))) == ("", "a b", "a, b and c")
    assert [several(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]
    assert promise("transition.call_within_days") == "transition: call within days"
    assert promise("followup.in_person") == "follow-up: contact in person"
    assert promise("followup.overlay.transitional_rent") == "follow-up: contact for transitional rent"
    assert promise("followup.rest_held") == "follow-up: look whether it still rests (held)"
    assert promise("followup.something.new") == "follow-up: something, new"
