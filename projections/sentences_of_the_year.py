"""The year after enrolment, fact by fact, as a person would say it: what is known of the member's life, the steps of the
enrolment, authorisation, assessment, care plan, closing, follow-up, caseload.

Like `sentences`: no name, no number of a person, no free text that is sealed.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.caseload.facts import CaseReleased, CaseTaken, CaseWeighed
from domain.core import Fact
from domain.episode.assessments import AssessmentAbandoned, AssessmentAnswered, AssessmentBegun, AssessmentCompleted
from domain.episode.authorisations import (
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    CareCarriedOver,
    DiscontinuationConsidered,
)
from domain.episode.care_plans import (
    CarePlanCopyGiven,
    CarePlanReviewed,
    CarePlanWritten,
    CareTaskFinished,
    GoalGivenUp,
    GoalMet,
    GoalState,
)
from domain.episode.closing import NoticeOfActionReceived, StepDownAgreed, WarmHandOffMade
from domain.episode.enrolment import (
    ChoiceExplained,
    Conflict,
    ConflictRaised,
    ConflictSettled,
    EnrolmentStepDone,
    PlanTierReported,
    ProviderChangeRequested,
    ProviderChangeSettled,
    ScreeningAnswered,
)
from domain.episode.referrals import PlanAnswer, ReferralAnswered, ReferralReceived, ReferralWithdrawn
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    CadenceAgreementEnded,
    FollowUpAttemptMade,
    FollowUpContactMade,
    FollowUpEnded,
    FollowUpEntrusted,
    FollowUpOpened,
    FollowUpResumed,
    FollowUpReviewed,
    Ground,
    PopulationConfirmed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    PopulationRejected,
    ReferralProposalDismissed,
    ReferralProposalWithdrawn,
    ReferralProposed,
    StayNoticed,
    TierFound,
    TierOverridden,
    TierOverrideLifted,
)
from domain.member.circumstances import (
    AuthorityEnded,
    AuthorityShown,
    CircumstanceEnded,
    CircumstanceNoted,
    CountyLearned,
    DataSharingAuthorised,
    DataSharingRevoked,
    DiagnosisRecorded,
    DiagnosisRuledOut,
    PartyNamed,
    VisitJudged,
    VisitReported,
)
from domain.member.visit_words import VisitExplained
from projections.words import approval, because, listed, minutes, plain, several, whom

TENTHS = 10


def of_the_year(fact: Fact) -> str:
    """What happened, in words; nothing where it is no fact of the year after enrolment."""
    for say in (
        _of_life, _of_the_enrolment, _of_the_referral, _of_the_authorisation, _of_assessment_and_plan, _of_follow_up, _of_tiers,
        _of_closing,
    ):  # fmt: skip
        if said := say(fact):
            return said
    return ""


def _of_life(fact: Fact) -> str:
    match fact:
        case CircumstanceNoted(circumstance=what, learned_from=source):
            return f"Circumstance noted: {plain(what)} (from {plain(source)})"
        case CircumstanceEnded(circumstance=what, reason=reason):
            return f"No longer so: {plain(what)}{because(reason)}"
        case DiagnosisRecorded(code=code, learned_from=source):
            return f"Diagnosis recorded: {code} (from {plain(source)})"
        case DiagnosisRuledOut(code=code, reason=reason):
            return f"Diagnosis ruled out: {code}{because(reason)}"
        case VisitReported(kind=kind, on=day, learned_from=source, avoidable=avoidable):
            judged = {None: "", True: ", avoidable", False: ", not avoidable"}[avoidable]
            return f"Visit reported: {plain(kind)} on {day.isoformat()}{judged} (from {plain(source)})"
        case VisitJudged(avoidable=avoidable, reason=reason):
            return f"A visit was found {'avoidable' if avoidable else 'not avoidable'}{because(reason)}"
        case VisitExplained(about=about):
            return f"A hospital said what brought the member: {plain(about)}"
        case CountyLearned(county=county, learned_from=source):
            return f"Lives in the county {plain(county).title()} (from {plain(source)})"
        case PartyNamed(relation=relation):
            return f"Somebody in the member's life named: {plain(relation)}"
        case AuthorityShown(scope=scope, document=document, until=until):
            end = f", until {until.isoformat()}" if until else ""
            return f"Authority to {plain(scope)} shown ({plain(document)}{end})"
        case AuthorityEnded(scope=scope, reason=reason):
            return f"Authority to {plain(scope)} ended{because(reason)}"
        case DataSharingAuthorised(content=content, recipients=recipients, expires_on=until):
            end = f", until {until.isoformat()}" if until else ""
            return f"Sharing authorised in writing: {plain(content)} with {listed(recipients)}{end}"
        case DataSharingRevoked(reason=reason):
            return f"An authorisation to share was revoked{because(reason)}"
        case _:
            return ""


def _of_the_enrolment(fact: Fact) -> str:
    match fact:
        case EnrolmentStepDone(step=step, how=how):
            return f"Enrolment step done: {plain(step)}{because(how)}"
        case ScreeningAnswered(questionnaire=name, questions=questions, scores=scores):
            return f"Screening {name} answered: {several(len(questions), 'question')}, score {sum(scores)}"
        case PlanTierReported(tier=tier, learned_from=source):
            return f"The plan's own tier: {plain(tier)} (from {plain(source)})"
        case ConflictRaised(conflict=Conflict.OTHER_PROVIDER, programme=programme):
            return f"Conflict: another provider holds an authorisation{because(programme)}"
        case ConflictRaised(programme=programme):
            return f"Conflict: a programme that excludes this one{because(programme)}"
        case ConflictSettled(outcome=outcome, reason=reason):
            return f"Conflict settled: {plain(outcome)}{because(reason)}"
        case ChoiceExplained(how=how):
            return f"The choice between the programmes was explained to the member{because(how)}"
        case ProviderChangeRequested():
            return "The member wants another provider; services go on meanwhile"
        case ProviderChangeSettled(outcome=outcome):
            return f"The wish for another provider is settled: {plain(outcome)}"
        case _:
            return ""


def _of_the_referral(fact: Fact) -> str:
    match fact:
        case ReferralReceived(source=source, urgency=urgency, repeats=repeats):
            again = ", once more" if repeats else ""
            return f"Referred by {plain(source)} ({urgency}){again}"
        case ReferralAnswered(answer=PlanAnswer.APPROVED, communicated_on=day):
            return f"The plan approved the referral, told on {day.isoformat()}"
        case ReferralAnswered(communicated_on=day, reason=reason, appeal_until=until):
            appeal = f", appeal until {until.isoformat()}" if until is not None else ""
            return f"The plan denied the referral, told on {day.isoformat()}{appeal}{because(reason)}"
        case ReferralWithdrawn(reason=reason):
            return f"The referral was withdrawn{because(reason)}"
        case _:
            return ""


def _of_the_authorisation(fact: Fact) -> str:
    match fact:
        case AuthorisationGranted(basis=basis, first_day=first, last_day=last):
            return f"Authorised from {first.isoformat()} to {last.isoformat()} ({plain(basis)})"
        case AuthorisationRequested(basis=basis):
            return f"Authorisation requested ({plain(basis)})"
        case AuthorisationDenied(communicated_on=day, reason=reason):
            return f"Authorisation denied, as told on {day.isoformat()}{because(reason)}"
        case DiscontinuationConsidered(outcome=outcome, reason=reason):
            return f"Looked at against the criteria of discontinuation: {plain(outcome)}{because(reason)}"
        case CareCarriedOver(evidence=evidence, last_service_on=day):
            return f"Care carried over from another plan: last served on {day.isoformat()} (known from {plain(evidence)})"
        case _:
            return ""


def _of_assessment_and_plan(fact: Fact) -> str:
    match fact:
        case AssessmentBegun(kind=kind, questionnaire=questionnaire):
            return f"Assessment begun: {plain(kind)}, questionnaire {questionnaire}"
        case AssessmentAnswered(questions=questions):
            return f"Assessment: {several(len(questions), 'answer')} written down"
        case AssessmentCompleted():
            return "Assessment completed: every required question has an answer"
        case AssessmentAbandoned(reason=reason):
            return f"Assessment abandoned{because(reason)}"
        case CarePlanWritten() as plan:
            met = sum(goal.state is GoalState.MET for goal in plan.goals)
            goals = several(len(plan.goals), "goal") + (f" ({met} met)" if met else "")
            carried = ", carried over from an earlier episode" if plan.carried_over_from else ""
            part = _part(plan.member_took_part)
            return f"Care plan, version {plan.version}: {goals}, {several(len(plan.tasks), 'task')}; {part}{carried}"
        case GoalMet(goal=goal):
            return f"Care plan: goal {goal} met"
        case GoalGivenUp(goal=goal):
            return f"Care plan: goal {goal} given up"
        case CareTaskFinished(task=task):
            return f"Care plan: task {task} done"
        case CarePlanCopyGiven(version=version, to=to, how=how, withheld=withheld):
            less = f", {several(len(withheld), 'entry', 'entries')} left out" if withheld else ""
            return f"Copy of care plan version {version} given to {whom(to)}{because(how)}{less}"
        case CarePlanReviewed(version=version, outcome=outcome, licence=licence):
            return f"Clinical review of care plan version {version}: {plain(outcome)} (licence {licence.value})"
        case _:
            return ""


def _part(member_took_part: str) -> str:
    match member_took_part:
        case "declined":
            return "the member did not want to take part"
        case "caregiver":
            return "the caregiver took part"
        case how:
            return f"the member took part ({plain(how)})"


def _of_follow_up(fact: Fact) -> str:
    match fact:
        case FollowUpOpened():
            return "Follow-up opened"
        case FollowUpEntrusted(lead=lead):
            return "Follow-up rests with a lead care manager" if lead else "Follow-up rests with nobody yet"
        case StayNoticed():
            return "Follow-up heeds a stay of the member"
        case FollowUpContactMade() as met:
            how = f"{plain(met.interaction)} with {whom(met.spoken_to)}{minutes(met.minutes)}"
            return f"Follow-up contact by {how}{approval(met.approval_needed)}"
        case FollowUpAttemptMade() as tried:
            return f"Follow-up attempt by {plain(tried.interaction)}: {plain(tried.outcome)}{approval(tried.approval_needed)}"
        case CadenceAgreed(every_days=days, reason=reason):
            return f"Agreed with the member: a contact every {several(days, 'day')}{because(reason)}"
        case CadenceAgreementEnded(reason=reason):
            return f"The plan's own interval holds again{because(reason)}"
        case FollowUpReviewed(finding=finding):
            return f"Follow-up looked into: {plain(finding)}"
        case FollowUpEnded(reason=reason):
            return f"Follow-up ended{because(reason)}"
        case FollowUpResumed(reason=reason):
            return f"Follow-up resumed{because(reason)}"
        case _:
            return ""


def _of_tiers(fact: Fact) -> str:
    match fact:
        case TierFound(tier=tier, grounds=grounds):
            return f"Tier found: {plain(tier)}{_grounds(grounds)}" if tier != NO_TIER else "No tier"
        case TierOverridden(tier=tier, reason=reason):
            return f"Tier set by hand: {plain(tier)}{because(reason)}"
        case TierOverrideLifted(reason=reason):
            return f"The tier that the rules find holds again{because(reason)}"
        case PopulationProposed(population=population, grounds=grounds):
            return f"Population of focus proposed: {plain(population)}{_grounds(grounds, of=population)}"
        case PopulationProposalWithdrawn(population=population):
            return f"Population of focus no longer proposed: {plain(population)}"
        case ReferralProposed(population=population):
            return f"A new referral is proposed: {plain(population)}, by visits since the end"
        case ReferralProposalWithdrawn(reason=reason):
            return f"The proposed referral stands no longer{because(reason)}"
        case ReferralProposalDismissed(reason=reason):
            return f"The proposed referral was dismissed{because(reason)}"
        case PopulationConfirmed(population=population, reason=reason):
            return f"Population of focus confirmed: {plain(population)}{because(reason)}"
        case PopulationRejected(population=population, reason=reason):
            return f"Population of focus rejected: {plain(population)}{because(reason)}"
        case _:
            return ""


def _of_closing(fact: Fact) -> str:
    match fact:
        case StepDownAgreed(how=how):
            return f"Agreed with the member: to leave for a lower level of care{because(how)}"
        case WarmHandOffMade(to=to, how=how):
            return f"Warm hand-off to {plain(to)}{because(how)}"
        case NoticeOfActionReceived(effective_on=effective, appeal_until=appeal):
            return f"Notice of action: ends on {effective.isoformat()}, appeal until {appeal.isoformat()}"
        case CaseTaken(weight_tenths=tenths, over_cap_because=over):
            return f"A case taken on: {_points(tenths)}{f', beyond the cap ({plain(over)})' if over else ''}"
        case CaseWeighed(weight_tenths=tenths, grounds=grounds):
            return f"A case weighs {_points(tenths)} now{because(listed(grounds))}"
        case CaseReleased(reason=reason):
            return f"A case given up{because(reason)}"
        case _:
            return ""


def _grounds(grounds: Iterable[Ground], *, of: str = "") -> str:
    """The rules' keys; of a population of focus, whose parts they are, without its own."""
    return because(listed(dict.fromkeys(ground.rule.removeprefix(f"{of}/") for ground in grounds)))


def _points(tenths: int) -> str:
    whole, rest = divmod(tenths, TENTHS)
    return f"{whole}.{rest} points" if rest else several(whole, "point")
