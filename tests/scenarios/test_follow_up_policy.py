"""Every field of a policy's rules of the year after enrolment changes what happens to somebody; those of tiers have their cases in
`test_tier_policy.py`.

The member is assigned and enrolled on Monday 2 November 2026 at ten. Days are reckoned by hand; in that month the 11th and the 26th
are holidays, and it ends on a Monday.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from domain.clocks import DeadlineMissed
from domain.core import Instant, ObligationState, Refusal
from domain.episode.assessments import AnswerAssessment, BeginAssessment, CompleteAssessment
from domain.episode.authorisations import AuthorisationBasis, AuthorisationGranted, CarryOver, GrantAuthorisation
from domain.episode.care_plans import Goal, WriteCarePlan
from domain.episode.closing import CloseEpisode
from domain.episode.enrolment import RequestProviderChange
from domain.episode.facts import ClosureReason
from domain.episode.referrals import ReceiveReferral, ReferralSource, Urgency
from domain.follow_up_policy import (
    ANY_TIER,
    Assessment,
    Authorisation,
    Cadence,
    CarePlan,
    CountedFrom,
    FollowUp,
    InPerson,
    MinimumCount,
    Overlay,
    Phase,
    PhaseAnchor,
    StepUp,
    StepUpAfter,
)
from domain.followup.decider import RecordFollowUpContact
from domain.interactions import Interaction, SpokenTo
from domain.member.circumstances import Circumstance, NoteCircumstance
from domain.policy import Policy
from domain.rule_shapes import Basis, Warn
from tests.given import BOSS, DEFAULT, EPISODE, LEAD, MEMBER, OFFICE, at, varied
from tests.scenarios.hospital_story import HospitalStory

FOLLOWUP = EPISODE.replace("episode", "followup", 1)
STARTS = "2026-11-02 10:00 PST"

RULES = FollowUp(
    review_every_days=30,
    provider_change_days=30,
    warn=(Warn(days_before=2, to="owner"),),
    cadence=Cadence(
        basis=Basis.CALENDAR,
        holiday_calendar="none",
        closes_after_days=30,
        rests_in_hospital=False,
        caregiver_counts=False,
        phase=(
            Phase(anchor=PhaseAnchor.ENROLMENT, from_day=0, until_day=90, every_days={ANY_TIER: 14}),
            Phase(anchor=PhaseAnchor.ENROLMENT, from_day=90, until_day=3660, every_days={ANY_TIER: 30}),
        ),
        in_person=(InPerson(tier=ANY_TIER, count=1, per_days=30),),
        step_up=(StepUp(after=StepUpAfter.ADMISSION, every_days=3, for_days=21),),
        overlay=(Overlay(key="rent", circumstance="receives_transitional_rent", every_days=7, in_person=True),),
    ),
    assessment=Assessment(
        questionnaire="ecm-core@1", begin_days=10, complete_days=20, closes_after_days=30, again_days={ANY_TIER: 90}
    ),
    care_plan=CarePlan(
        written_within_days=10,
        copy_within_days=5,
        clinical_review_within_days=6,
        closes_after_days=30,
        review_days={ANY_TIER: 40},
    ),
    authorisation=Authorisation(
        first_months=12,
        renewal_months=6,
        streamlined_days=30,
        streamlined_request_business_days_before=5,
        renewal_request_days_before=30,
        carried_over_within_days=90,
        holiday_calendar="none",
    ),
)
BASE = replace(DEFAULT, follow_up=RULES)
COUNT = MinimumCount(count=3, counted_from=CountedFrom.ENROLMENT, within_days=20)


@dataclass(frozen=True)
class Case:
    """`shows` looks at a story told under the rules and `given`; `changes` is what differs, `before` and `after` what it shows."""

    changes: dict[str, Any]
    shows: Callable[[HospitalStory], Any]
    before: Any
    after: Any
    given: dict[str, Any] = field(default_factory=dict)

    def told(self, **changes: Any) -> Any:
        return self.shows(HospitalStory(STARTS, under(**self.given, **changes)))


def under(**changes: Any) -> Policy:
    return varied(BASE, **{path if path == "follow_up" else f"follow_up__{path}": value for path, value in changes.items()})


# --- what is told ----------------------------------------------------------------------------------------------------------------


def due(rule: str, *before: Callable[[HospitalStory], object]) -> Callable[[HospitalStory], list[Instant]]:
    """When what is open of a rule is due, after something was done."""

    def shows(story: HospitalStory) -> list[Instant]:
        for done in before:
            done(story)
        return [o.window.due for o in story.all_owed(rule, FOLLOWUP) if o.state is ObligationState.OPEN]

    return shows


def became(rule: str, *before: Callable[[HospitalStory], object]) -> Callable[[HospitalStory], list[str]]:
    """What became of everything of a rule."""

    def shows(story: HospitalStory) -> list[str]:
        for done in before:
            done(story)
        return [o.state.value for o in story.all_owed(rule, FOLLOWUP)]

    return shows


def speaks(when: str, how: Interaction = Interaction.PHONE, to: SpokenTo = SpokenTo.MEMBER) -> Callable[[HospitalStory], object]:
    said = RecordFollowUpContact(stream=FOLLOWUP, by=LEAD, interaction=how, spoken_to=to)
    return lambda story: story.on(when).do(said)


def until(when: str) -> Callable[[HospitalStory], object]:
    return lambda story: story.on(when)


def admitted(when: str) -> Callable[[HospitalStory], object]:
    return lambda story: story.admitted(when)


def discharged(when: str) -> Callable[[HospitalStory], object]:
    return lambda story: story.discharged(when)


def noted(circumstance: Circumstance, when: str) -> Callable[[HospitalStory], object]:
    said = NoteCircumstance(stream=MEMBER, by=LEAD, circumstance=circumstance, learned_from="member")
    return lambda story: story.on(when).do(said)


def referred_anew(urgency: Urgency) -> Callable[[HospitalStory], list[Instant]]:
    """Until when the plan answers the referral that opens the next episode, on Tuesday the 3rd at nine."""

    def shows(story: HospitalStory) -> list[Instant]:
        story.on("2026-11-03 09:00 PST").do(CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.MOVED_COUNTY))
        source = ReferralSource.PHYSICIAN
        referral = ReceiveReferral(
            stream="episode-2", by=LEAD, member=MEMBER, plan="default", referral="r-1", source=source, urgency=urgency
        )
        story.do(referral)
        return [o.window.due for o in story.all_owed("followup.referral.answer", "followup-2")]

    return shows


def renting(story: HospitalStory) -> object:
    return noted(Circumstance.RECEIVES_TRANSITIONAL_RENT, "2026-11-03 09:00 PST")(story)


def begins(when: str) -> Callable[[HospitalStory], object]:
    return lambda story: story.on(when).do(BeginAssessment(stream=EPISODE, by=LEAD))


def assessed(story: HospitalStory) -> object:
    """The whole assessment in one sitting, on Thursday the 5th."""
    begins("2026-11-05 09:00 PST")(story)
    required = DEFAULT.questionnaire[0].required
    answers = tuple(q.choices[0] if q.choices else {"yes_no": "no", "number": "2"}.get(q.kind, "well") for q in required)
    story.do(AnswerAssessment(stream=EPISODE, by=LEAD, questions=tuple(q.key for q in required), answers=answers))
    return story.do(CompleteAssessment(stream=EPISODE, by=LEAD))


def writes(when: str) -> Callable[[HospitalStory], object]:
    said = WriteCarePlan(
        stream=EPISODE, by=LEAD, goals=(Goal(goal="home", topic="housing"),), member_took_part="phone", texts={"home": "stays"}
    )
    return lambda story: story.on(when).do(said)


def planned(story: HospitalStory) -> object:
    """The first care plan, on Monday the 9th."""
    assessed(story)
    return writes("2026-11-09 09:00 PST")(story)


def granted(basis: AuthorisationBasis, until: date | None = None) -> Callable[[HospitalStory], object]:
    said = GrantAuthorisation(stream=EPISODE, by="source:plan", basis=basis, first_day=date(2026, 11, 2), last_day=until)
    return lambda story: story.do(said)


def last_day(basis: AuthorisationBasis) -> Callable[[HospitalStory], list[date]]:
    def shows(story: HospitalStory) -> list[date]:
        granted(basis)(story)
        return [fact.last_day for fact in story.facts(AuthorisationGranted, EPISODE)]

    return shows


def carried_over(story: HospitalStory) -> str:
    """The member changes the plan; ECM was last received with the old one sixty days before the new one's assignment."""
    story.on("2026-11-10 09:00 PST").do(CloseEpisode(stream=EPISODE, by=LEAD, reason=ClosureReason.CHANGED_PLAN))
    story.on("2027-01-04 09:00 PST").beside("hills").assigned(episode="episode-2", previous=EPISODE, plan="hills")
    said = CarryOver(stream="episode-2", by=OFFICE, previous=EPISODE, evidence="old_plan", last_service_on=date(2026, 11, 5))
    decision = story.memory.handle(said)
    return decision.code if isinstance(decision, Refusal) else "carried over"


def warned(story: HospitalStory) -> list[tuple[Instant, str]]:
    """Who was told that the first contact is due by the end of the 16th."""
    story.on("2026-11-16 23:00 PST")
    told = [r for r in story.memory.streams[FOLLOWUP] if getattr(r.fact, "template", "") == "deadline_near"]
    return [(r.occurred_at, r.fact.recipient) for r in told if r.fact.about.startswith("contact/")]


def asked_for(rule: str, *before: Callable[[HospitalStory], object]) -> Callable[[HospitalStory], bool]:
    def shows(story: HospitalStory) -> bool:
        for done in before:
            done(story)
        return bool(story.all_owed(rule, FOLLOWUP))

    return shows


def overlays(story: HospitalStory) -> set[str]:
    renting(story)
    return {o.because.rule for o in story.plan(FOLLOWUP).obligations if ".overlay." in o.because.rule}


def questions(story: HospitalStory) -> str:
    decision = story.memory.handle(BeginAssessment(stream=EPISODE, by=LEAD))
    return decision.code if isinstance(decision, Refusal) else "begun"


def silent_misses(story: HospitalStory) -> list[Instant]:
    story.on("2026-12-20 09:00 PST")
    return [r.occurred_at for r in story.recorded(DeadlineMissed, FOLLOWUP) if r.fact.rule == "followup.contact"]


CONTACT = "followup.contact"
IN_BUSINESS_DAYS = {"cadence__basis": Basis.BUSINESS}
COUNTED = {"cadence__minimum_count": COUNT}
NOV_16 = [at("2026-11-16 24:00 PST")]

CASES: dict[str, Case] = {
    "follow_up": Case(
        {"follow_up": None}, asked_for(CONTACT), True, False
    ),
    "follow_up.review_every_days": Case(
        {"review_every_days": 5}, due("followup.enrolment_steps"),
        [at("2026-12-02 10:00 PST")], [at("2026-11-07 10:00 PST")],
    ),
    "follow_up.provider_change_days": Case(
        {"provider_change_days": 10},
        due("followup.provider_change", lambda story: story.do(RequestProviderChange(stream=EPISODE, by=LEAD))),
        [at("2026-12-02 24:00 PST")], [at("2026-11-12 24:00 PST")],
    ),
    "follow_up.warn": Case({"warn": ()}, warned, [(at("2026-11-14 19:59:59 PST"), LEAD)], []),
    "follow_up.warn.days_before": Case(
        {"warn": (Warn(days_before=4, to="owner"),)}, warned,
        [(at("2026-11-14 19:59:59 PST"), LEAD)], [(at("2026-11-12 19:59:59 PST"), LEAD)],
    ),
    "follow_up.warn.to": Case(
        {"warn": (Warn(days_before=2, to="supervisor"),)}, warned,
        [(at("2026-11-14 19:59:59 PST"), LEAD)], [(at("2026-11-14 19:59:59 PST"), BOSS)],
    ),
    # --- cadence ---
    "follow_up.cadence.basis": Case(IN_BUSINESS_DAYS, due(CONTACT), NOV_16, [at("2026-11-20 24:00 PST")]),
    "follow_up.cadence.holiday_calendar": Case(
        {"cadence__holiday_calendar": "federal"}, due(CONTACT), [at("2026-11-20 24:00 PST")], [at("2026-11-23 24:00 PST")],
        given=IN_BUSINESS_DAYS,
    ),
    "follow_up.cadence.closes_after_days": Case(
        {"cadence__closes_after_days": 5}, became(CONTACT, speaks("2026-11-25 09:00 PST")),
        ["met_late", "met", "open"], ["missed", "met", "open"],
    ),
    "follow_up.cadence.rests_in_hospital": Case(
        {"cadence__rests_in_hospital": True},
        due(CONTACT, admitted("2026-11-05 09:00 PST"), discharged("2026-11-09 15:00 PST")),
        NOV_16, [at("2026-11-20 24:00 PST")], given={"cadence__step_up": ()},
    ),
    "follow_up.cadence.caregiver_counts": Case(
        {"cadence__caregiver_counts": True}, due(CONTACT, speaks("2026-11-06 09:00 PST", to=SpokenTo.CAREGIVER)),
        NOV_16, [at("2026-11-20 24:00 PST")],
    ),
    "follow_up.cadence.phase": Case({"cadence__phase": ()}, due(CONTACT), NOV_16, []),
    "follow_up.cadence.phase.anchor": Case(
        {"cadence__phase__0__anchor": PhaseAnchor.FACILITY_EXIT}, due(CONTACT), NOV_16, []
    ),
    "follow_up.cadence.phase.from_day": Case(
        {"cadence__phase__0__from_day": 5}, due(CONTACT, until("2026-11-10 09:00 PST")), NOV_16, [at("2026-11-21 24:00 PST")]
    ),
    "follow_up.cadence.phase.until_day": Case(
        {"cadence__phase__0__until_day": 10}, due(CONTACT, until("2026-11-14 09:00 PST")), NOV_16, []
    ),
    "follow_up.cadence.phase.every_days": Case(
        {"cadence__phase__0__every_days__any": 7}, due(CONTACT), NOV_16, [at("2026-11-09 24:00 PST")]
    ),
    "follow_up.cadence.in_person": Case(
        {"cadence__in_person": ()}, due("followup.in_person"), [at("2026-12-02 24:00 PST")], []
    ),
    "follow_up.cadence.in_person.tier": Case(
        {"cadence__in_person__0__tier": "high"}, due("followup.in_person"), [at("2026-12-02 24:00 PST")], []
    ),
    "follow_up.cadence.in_person.count": Case(
        {"cadence__in_person__0__count": 2}, became("followup.in_person", speaks("2026-11-05 09:00 PST", Interaction.IN_PERSON)),
        ["met"], ["met", "open"],
    ),
    "follow_up.cadence.in_person.per_days": Case(
        {"cadence__in_person__0__per_days": 14}, due("followup.in_person"), [at("2026-12-02 24:00 PST")], NOV_16
    ),
    "follow_up.cadence.minimum_count": Case(
        COUNTED, due("followup.minimum"), [], [at("2026-11-22 24:00 PST")] * 3
    ),
    "follow_up.cadence.minimum_count.count": Case(
        {"cadence__minimum_count__count": 2}, became("followup.minimum", speaks("2026-11-05 09:00 PST")),
        ["met", "open", "open"], ["met", "open"], given=COUNTED,
    ),
    "follow_up.cadence.minimum_count.counted_from": Case(
        {"cadence__minimum_count__counted_from": CountedFrom.ASSESSMENT}, due("followup.minimum", assessed),
        [at("2026-11-22 24:00 PST")] * 3, [at("2026-11-25 24:00 PST")] * 3, given=COUNTED,
    ),
    "follow_up.cadence.minimum_count.within_days": Case(
        {"cadence__minimum_count__within_days": 30}, due("followup.minimum"),
        [at("2026-11-22 24:00 PST")] * 3, [at("2026-12-02 24:00 PST")] * 3, given=COUNTED,
    ),
    "follow_up.cadence.step_up": Case(
        {"cadence__step_up": ()}, due(CONTACT, admitted("2026-11-05 09:00 PST")), [at("2026-11-08 24:00 PST")], NOV_16
    ),
    "follow_up.cadence.step_up.after": Case(
        {"cadence__step_up__0__after": StepUpAfter.DISCHARGE}, due(CONTACT, admitted("2026-11-05 09:00 PST")),
        [at("2026-11-08 24:00 PST")], NOV_16,
    ),
    "follow_up.cadence.step_up.every_days": Case(
        {"cadence__step_up__0__every_days": 5}, due(CONTACT, admitted("2026-11-05 09:00 PST")),
        [at("2026-11-08 24:00 PST")], [at("2026-11-10 24:00 PST")],
    ),
    "follow_up.cadence.step_up.for_days": Case(
        {"cadence__step_up__0__for_days": 3},
        due(CONTACT, admitted("2026-11-05 09:00 PST"), speaks("2026-11-08 12:00 PST"), until("2026-11-09 09:00 PST")),
        [at("2026-11-11 24:00 PST")], [at("2026-11-22 24:00 PST")],
    ),
    "follow_up.cadence.overlay": Case(
        {"cadence__overlay": ()}, due("followup.overlay", renting), [at("2026-11-10 24:00 PST")], []
    ),
    "follow_up.cadence.overlay.key": Case(
        {"cadence__overlay__0__key": "housing"}, overlays, {"followup.overlay.rent"}, {"followup.overlay.housing"}
    ),
    "follow_up.cadence.overlay.circumstance": Case(
        {"cadence__overlay__0__circumstance": "pregnant"}, due("followup.overlay", renting), [at("2026-11-10 24:00 PST")], []
    ),
    "follow_up.cadence.overlay.every_days": Case(
        {"cadence__overlay__0__every_days": 5}, due("followup.overlay", renting),
        [at("2026-11-10 24:00 PST")], [at("2026-11-08 24:00 PST")],
    ),
    "follow_up.cadence.overlay.in_person": Case(
        {"cadence__overlay__0__in_person": False}, due("followup.overlay", renting, speaks("2026-11-06 12:00 PST")),
        [at("2026-11-10 24:00 PST")], [at("2026-11-13 24:00 PST")],
    ),
    # --- assessment ---
    "follow_up.assessment": Case({"assessment": None}, asked_for("followup.assessment"), True, False),
    "follow_up.assessment.questionnaire": Case(
        {"assessment__questionnaire": "other@1"}, questions, "begun", "no_questionnaire"
    ),
    "follow_up.assessment.begin_days": Case(
        {"assessment__begin_days": 4}, due("followup.assessment.begin"), [at("2026-11-12 24:00 PST")], [at("2026-11-06 24:00 PST")]
    ),
    "follow_up.assessment.complete_days": Case(
        {"assessment__complete_days": 30}, due("followup.assessment.complete"),
        [at("2026-11-22 24:00 PST")], [at("2026-12-02 24:00 PST")],
    ),
    "follow_up.assessment.closes_after_days": Case(
        {"assessment__closes_after_days": 3}, became("followup.assessment.begin", begins("2026-11-17 09:00 PST")),
        ["met_late"], ["missed"],
    ),
    "follow_up.assessment.again_days": Case(
        {"assessment__again_days__any": 60}, due("followup.assessment.again", assessed),
        [at("2027-02-03 24:00 PST")], [at("2027-01-04 24:00 PST")],
    ),
    # --- care plan ---
    "follow_up.care_plan": Case({"care_plan": None}, asked_for("followup.care_plan", assessed), True, False),
    "follow_up.care_plan.written_within_days": Case(
        {"care_plan__written_within_days": 8}, due("followup.care_plan.first", assessed),
        [at("2026-11-15 24:00 PST")], [at("2026-11-13 24:00 PST")],
    ),
    "follow_up.care_plan.copy_within_days": Case(
        {"care_plan__copy_within_days": 0}, due("followup.care_plan.copy", planned), [at("2026-11-14 24:00 PST")], []
    ),
    "follow_up.care_plan.clinical_review_within_days": Case(
        {"care_plan__clinical_review_within_days": 8}, due("followup.care_plan.clinical_review", planned),
        [at("2026-11-15 24:00 PST")], [at("2026-11-17 24:00 PST")],
    ),
    "follow_up.care_plan.closes_after_days": Case(
        {"care_plan__closes_after_days": 1}, became("followup.care_plan.first", assessed, writes("2026-11-18 09:00 PST")),
        ["met_late"], ["missed"],
    ),
    "follow_up.care_plan.review_days": Case(
        {"care_plan__review_days__any": 20}, due("followup.care_plan.review", planned),
        [at("2026-12-19 24:00 PST")], [at("2026-11-29 24:00 PST")],
    ),
    # --- authorisation ---
    "follow_up.authorisation": Case(
        {"authorisation": None}, asked_for("followup.authorisation", granted(AuthorisationBasis.INITIAL, date(2027, 11, 1))),
        True, False,
    ),
    "follow_up.authorisation.first_months": Case(
        {"authorisation__first_months": 9}, last_day(AuthorisationBasis.INITIAL), [date(2027, 11, 1)], [date(2027, 8, 1)]
    ),
    "follow_up.authorisation.renewal_months": Case(
        {"authorisation__renewal_months": 4}, last_day(AuthorisationBasis.RENEWAL), [date(2027, 5, 1)], [date(2027, 3, 1)]
    ),
    "follow_up.authorisation.streamlined_days": Case(
        {"authorisation__streamlined_days": 20}, last_day(AuthorisationBasis.STREAMLINED), [date(2026, 12, 1)], [date(2026, 11, 21)]
    ),
    "follow_up.authorisation.streamlined_request_business_days_before": Case(
        {"authorisation__streamlined_request_business_days_before": 8},
        due("followup.authorisation.streamlined_request", granted(AuthorisationBasis.STREAMLINED)),
        [at("2026-11-24 24:00 PST")], [at("2026-11-19 24:00 PST")],
    ),
    "follow_up.authorisation.renewal_request_days_before": Case(
        {"authorisation__renewal_request_days_before": 45},
        due("followup.authorisation.renewal_request", granted(AuthorisationBasis.INITIAL)),
        [at("2027-10-02 24:00 PDT")], [at("2027-09-17 24:00 PDT")],
    ),
    "follow_up.authorisation.carried_over_within_days": Case(
        {"authorisation__carried_over_within_days": 30}, carried_over, "carried over", "too_long_ago"
    ),
    "follow_up.authorisation.holiday_calendar": Case(
        {"authorisation__holiday_calendar": "federal"},
        due("followup.authorisation.streamlined_request", granted(AuthorisationBasis.STREAMLINED)),
        [at("2026-11-24 24:00 PST")], [at("2026-11-23 24:00 PST")],
    ),
    "follow_up.authorisation.decided_within_business_days": Case(
        {"authorisation__decided_within_business_days": 3}, referred_anew(Urgency.ROUTINE),
        [at("2026-11-10 24:00 PST")], [at("2026-11-06 24:00 PST")],
    ),
    "follow_up.authorisation.decided_within_hours_expedited": Case(
        {"authorisation__decided_within_hours_expedited": 24}, referred_anew(Urgency.EXPEDITED),
        [at("2026-11-06 09:00 PST")], [at("2026-11-04 09:00 PST")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(CASES))
def test_every_field_changes_what_happens_to_somebody(path: str) -> None:
    case = CASES[path]
    assert case.before != case.after
    assert case.told() == case.before
    assert case.told(**case.changes) == case.after


def test_nobody_speaks_with_the_member_and_every_interval_is_a_miss_of_its_own() -> None:
    assert silent_misses(HospitalStory(STARTS, BASE)) == [
        at("2026-11-16 24:00 PST"), at("2026-11-30 24:00 PST"), at("2026-12-14 24:00 PST"),
    ]  # fmt: skip
