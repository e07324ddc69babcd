"""Every fact, command and process of the programme by its stable name: what the log writes and the shell runs.

A name outlives every rename of a class; a version outlives every change of its fields (design.md 5).
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.adoption import decider as adoption
from domain.adoption import facts as adoption_facts
from domain.caseload import decider as caseload
from domain.caseload import facts as caseload_facts
from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn
from domain.core import Decider, Fact, Process, StreamId
from domain.episode import assessments, authorisations, care_plans, closing, enrolment, referrals, rosters
from domain.episode import decider as episode
from domain.episode import facts as episode_facts
from domain.followup import decider as followup
from domain.followup import facts as followup_facts
from domain.followup import plan as followup_plan
from domain.member import circumstances, disclosures, identity, visit_words
from domain.member import decider as member
from domain.member import facts as member_facts
from domain.outreach import decider as outreach
from domain.outreach import facts as outreach_facts
from domain.outreach import plan as outreach_plan
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.requests import (
    AlertAcknowledged,
    DeliveryBegun,
    DeliveryOutcomeUnknown,
    MessageBounced,
    MessageDelivered,
    MessageFailed,
    MessageRequested,
    MessageSent,
    RequestExpired,
    RequestWithdrawn,
)
from domain.staff import decider as staff
from domain.staff import facts as staff_facts
from domain.stay import decider as stay
from domain.stay import facts as stay_facts
from domain.transition import decider as transition
from domain.transition import facts as transition_facts
from domain.transition import plan as transition_plan


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact's stable name, the schema version that is written today, and the class that carries it."""

    name: str
    version: int
    type: type[Fact]


FACTS: tuple[Entry, ...] = (
    Entry("clock.due-set", 1, DueSet),
    Entry("clock.due-withdrawn", 1, DueWithdrawn),
    Entry("clock.deadline-missed", 1, DeadlineMissed),
    Entry("clock.miss-withdrawn", 1, MissWithdrawn),
    Entry("request.message-requested", 1, MessageRequested),
    Entry("request.delivery-begun", 1, DeliveryBegun),
    Entry("request.message-sent", 1, MessageSent),
    Entry("request.message-failed", 1, MessageFailed),
    Entry("request.delivery-outcome-unknown", 1, DeliveryOutcomeUnknown),
    Entry("request.expired", 1, RequestExpired),
    Entry("request.withdrawn", 1, RequestWithdrawn),
    Entry("request.message-delivered", 1, MessageDelivered),
    Entry("request.message-bounced", 1, MessageBounced),
    Entry("request.alert-acknowledged", 1, AlertAcknowledged),
    Entry("record.backdated-record-approved", 1, BackdatedRecordApproved),
    Entry("record.backdated-record-rejected", 1, BackdatedRecordRejected),
    Entry("record.struck-out", 1, RecordStruckOut),
    Entry("claim.claimed", 1, member_facts.Claimed),
    Entry("claim.released", 1, member_facts.Released),
    Entry("member.registered", 1, member_facts.MemberRegistered),
    Entry("member.identity-corrected", 1, member_facts.IdentityCorrected),
    Entry("member.language-chosen", 1, member_facts.LanguageChosen),
    Entry("member.relocated", 1, member_facts.MemberRelocated),
    Entry("member.contact-point-learned", 1, member_facts.ContactPointLearned),
    Entry("member.contact-point-found-bad", 1, member_facts.ContactPointFoundBad),
    Entry("member.contact-point-found-good", 1, member_facts.ContactPointFoundGood),
    Entry("member.channel-opted-out", 1, member_facts.ChannelOptedOut),
    Entry("member.channel-opted-in", 1, member_facts.ChannelOptedIn),
    Entry("member.consent-given", 1, member_facts.ConsentGiven),
    Entry("member.consent-withdrawn", 1, member_facts.ConsentWithdrawn),
    Entry("member.coverage-lost", 1, member_facts.CoverageLost),
    Entry("member.coverage-restored", 1, member_facts.CoverageRestored),
    Entry("member.listed-by-plan", 1, member_facts.ListedByPlan),
    Entry("member.taken-off-by-plan", 1, member_facts.TakenOffByPlan),
    Entry("member.death-reported", 1, member_facts.DeathReported),
    Entry("member.death-report-withdrawn", 1, member_facts.DeathReportWithdrawn),
    Entry("member.stay-attributed", 1, member_facts.StayAttributed),
    Entry("member.stay-detached", 1, member_facts.StayDetached),
    Entry("member.episode-begun", 1, member_facts.EpisodeBegun),
    Entry("member.personal-data-erased", 1, member_facts.PersonalDataErased),
    Entry("member.circumstance-noted", 1, circumstances.CircumstanceNoted),
    Entry("member.circumstance-ended", 1, circumstances.CircumstanceEnded),
    Entry("member.diagnosis-recorded", 1, circumstances.DiagnosisRecorded),
    Entry("member.diagnosis-ruled-out", 1, circumstances.DiagnosisRuledOut),
    Entry("member.visit-reported", 1, circumstances.VisitReported),
    Entry("member.visit-judged", 1, circumstances.VisitJudged),
    Entry("member.visit-explained", 1, visit_words.VisitExplained),
    Entry("member.county-learned", 1, circumstances.CountyLearned),
    Entry("member.party-named", 1, circumstances.PartyNamed),
    Entry("member.authority-shown", 1, circumstances.AuthorityShown),
    Entry("member.authority-ended", 1, circumstances.AuthorityEnded),
    Entry("member.data-sharing-authorised", 1, circumstances.DataSharingAuthorised),
    Entry("member.data-sharing-revoked", 1, circumstances.DataSharingRevoked),
    Entry("member.record-number-learned", 1, identity.RecordNumberLearned),
    Entry("member.record-number-retired", 1, identity.RecordNumberRetired),
    Entry("member.record-number-forgotten", 1, identity.RecordNumberForgotten),
    Entry("member.cin-replaced", 1, identity.CinReplaced),
    Entry("member.cin-replacement-withdrawn", 1, identity.CinReplacementWithdrawn),
    Entry("member.former-cin-learned", 1, identity.FormerCinLearned),
    Entry("member.former-cin-forgotten", 1, identity.FormerCinForgotten),
    Entry("member.one-person-asked", 1, identity.OnePersonAsked),
    Entry("member.members-merged", 1, identity.MembersMerged),
    Entry("member.members-separated", 1, identity.MembersSeparated),
    Entry("member.members-kept-apart", 1, identity.MembersKeptApart),
    Entry("member.message-recognised", 1, identity.MessageRecognised),
    Entry("member.message-disowned", 1, identity.MessageDisowned),
    Entry("member.contact-point-proposed", 1, identity.ContactPointProposed),
    Entry("member.contact-point-proposal-rejected", 1, identity.ContactPointProposalRejected),
    Entry("member.enrolment-disclosed", 1, disclosures.EnrolmentDisclosed),
    Entry("member.enrolment-withheld", 1, disclosures.EnrolmentWithheld),
    Entry("episode.assignment-received", 1, episode_facts.AssignmentReceived),
    Entry("episode.assignment-resent", 1, episode_facts.AssignmentResent),
    Entry("episode.assignment-withdrawn", 1, episode_facts.AssignmentWithdrawn),
    Entry("episode.lead-care-manager-assigned", 1, episode_facts.LeadCareManagerAssigned),
    Entry("episode.lead-care-manager-handed-over", 1, episode_facts.LeadCareManagerHandedOver),
    Entry("episode.lead-care-manager-released", 1, episode_facts.LeadCareManagerReleased),
    Entry("episode.member-enrolled", 1, episode_facts.MemberEnrolled),
    Entry("episode.member-declined", 1, episode_facts.MemberDeclined),
    Entry("episode.deferral-agreed", 1, episode_facts.DeferralAgreed),
    Entry("episode.held", 1, episode_facts.EpisodeHeld),
    Entry("episode.resumed", 1, episode_facts.EpisodeResumed),
    Entry("episode.policy-reapplied", 1, episode_facts.PolicyReapplied),
    Entry("episode.closed", 1, episode_facts.EpisodeClosed),
    Entry("episode.reinstated", 1, episode_facts.EpisodeReinstated),
    Entry("episode.enrolment-step-done", 1, enrolment.EnrolmentStepDone),
    Entry("episode.screening-answered", 1, enrolment.ScreeningAnswered),
    Entry("episode.plan-tier-reported", 1, enrolment.PlanTierReported),
    Entry("episode.conflict-raised", 1, enrolment.ConflictRaised),
    Entry("episode.conflict-settled", 1, enrolment.ConflictSettled),
    Entry("episode.choice-explained", 1, enrolment.ChoiceExplained),
    Entry("episode.provider-change-requested", 1, enrolment.ProviderChangeRequested),
    Entry("episode.provider-change-settled", 1, enrolment.ProviderChangeSettled),
    Entry("episode.authorisation-granted", 1, authorisations.AuthorisationGranted),
    Entry("episode.authorisation-requested", 1, authorisations.AuthorisationRequested),
    Entry("episode.authorisation-denied", 1, authorisations.AuthorisationDenied),
    Entry("episode.discontinuation-considered", 1, authorisations.DiscontinuationConsidered),
    Entry("episode.care-carried-over", 1, authorisations.CareCarriedOver),
    Entry("episode.referral-received", 1, referrals.ReferralReceived),
    Entry("episode.referral-answered", 1, referrals.ReferralAnswered),
    Entry("episode.referral-withdrawn", 1, referrals.ReferralWithdrawn),
    Entry("episode.assessment-begun", 1, assessments.AssessmentBegun),
    Entry("episode.assessment-answered", 1, assessments.AssessmentAnswered),
    Entry("episode.assessment-completed", 1, assessments.AssessmentCompleted),
    Entry("episode.assessment-abandoned", 1, assessments.AssessmentAbandoned),
    Entry("episode.care-plan-written", 1, care_plans.CarePlanWritten),
    Entry("episode.care-plan-goal-met", 1, care_plans.GoalMet),
    Entry("episode.care-plan-goal-given-up", 1, care_plans.GoalGivenUp),
    Entry("episode.care-plan-task-finished", 1, care_plans.CareTaskFinished),
    Entry("episode.care-plan-copy-given", 1, care_plans.CarePlanCopyGiven),
    Entry("episode.care-plan-reviewed", 1, care_plans.CarePlanReviewed),
    Entry("episode.step-down-agreed", 1, closing.StepDownAgreed),
    Entry("episode.warm-hand-off-made", 1, closing.WarmHandOffMade),
    Entry("episode.notice-of-action-received", 1, closing.NoticeOfActionReceived),
    Entry("episode.missed-on-roster", 1, rosters.MissedOnRoster),
    Entry("episode.named-on-roster-again", 1, rosters.NamedOnRosterAgain),
    Entry("episode.roster-absence-settled", 1, rosters.RosterAbsenceSettled),
    Entry("episode.plan-populations-reported", 1, rosters.PlanPopulationsReported),
    Entry("outreach.opened", 1, outreach_facts.OutreachOpened),
    Entry("outreach.attempt-made", 1, outreach_facts.AttemptMade),
    Entry("outreach.contact-made", 1, outreach_facts.ContactMade),
    Entry("outreach.unable-to-reach-proposed", 1, outreach_facts.UnableToReachProposed),
    Entry("outreach.unable-to-reach-proposal-withdrawn", 1, outreach_facts.UnableToReachProposalWithdrawn),
    Entry("outreach.unable-to-reach-rejected", 1, outreach_facts.UnableToReachRejected),
    Entry("outreach.new-episode-proposed", 1, outreach_facts.NewEpisodeProposed),
    Entry("outreach.new-episode-dismissed", 1, outreach_facts.NewEpisodeDismissed),
    Entry("outreach.ended", 1, outreach_facts.OutreachEnded),
    Entry("outreach.resumed", 1, outreach_facts.OutreachResumed),
    Entry("stay.member-admitted", 1, stay_facts.MemberAdmitted),
    Entry("stay.member-discharged", 1, stay_facts.MemberDischarged),
    Entry("stay.described", 1, stay_facts.StayDescribed),
    Entry("stay.admission-cancelled", 1, stay_facts.AdmissionCancelled),
    Entry("stay.discharge-cancelled", 1, stay_facts.DischargeCancelled),
    Entry("stay.visit-became", 1, stay_facts.VisitBecame),
    Entry("stay.member-moved", 1, stay_facts.MemberMoved),
    Entry("stay.move-cancelled", 1, stay_facts.MoveCancelled),
    Entry("stay.move-announced", 1, stay_facts.MoveAnnounced),
    Entry("stay.announcement-withdrawn", 1, stay_facts.AnnouncementWithdrawn),
    Entry("stay.leave-begun", 1, stay_facts.LeaveBegun),
    Entry("stay.leave-ended", 1, stay_facts.LeaveEnded),
    Entry("stay.continued-elsewhere", 1, stay_facts.StayContinuedElsewhere),
    Entry("transition.opened", 1, transition_facts.TransitionalCareOpened),
    Entry("transition.entrusted", 1, transition_facts.TransitionEntrusted),
    Entry("transition.contact-made", 1, transition_facts.TransitionContactMade),
    Entry("transition.attempt-made", 1, transition_facts.TransitionAttemptMade),
    Entry("transition.item-done", 1, transition_facts.ChecklistItemDone),
    Entry("transition.item-reopened", 1, transition_facts.ChecklistItemReopened),
    Entry("transition.stay-reviewed", 1, transition_facts.StayReviewed),
    Entry("transition.ended", 1, transition_facts.TransitionalCareEnded),
    Entry("transition.resumed", 1, transition_facts.TransitionalCareResumed),
    Entry("followup.opened", 1, followup_facts.FollowUpOpened),
    Entry("followup.entrusted", 1, followup_facts.FollowUpEntrusted),
    Entry("followup.stay-noticed", 1, followup_facts.StayNoticed),
    Entry("followup.contact-made", 1, followup_facts.FollowUpContactMade),
    Entry("followup.attempt-made", 1, followup_facts.FollowUpAttemptMade),
    Entry("followup.cadence-agreed", 1, followup_facts.CadenceAgreed),
    Entry("followup.cadence-agreement-ended", 1, followup_facts.CadenceAgreementEnded),
    Entry("followup.tier-found", 1, followup_facts.TierFound),
    Entry("followup.tier-overridden", 1, followup_facts.TierOverridden),
    Entry("followup.tier-override-lifted", 1, followup_facts.TierOverrideLifted),
    Entry("followup.population-proposed", 1, followup_facts.PopulationProposed),
    Entry("followup.population-proposal-withdrawn", 1, followup_facts.PopulationProposalWithdrawn),
    Entry("followup.population-confirmed", 1, followup_facts.PopulationConfirmed),
    Entry("followup.population-rejected", 1, followup_facts.PopulationRejected),
    Entry("followup.referral-proposed", 1, followup_facts.ReferralProposed),
    Entry("followup.referral-proposal-withdrawn", 1, followup_facts.ReferralProposalWithdrawn),
    Entry("followup.referral-proposal-dismissed", 1, followup_facts.ReferralProposalDismissed),
    Entry("followup.reviewed", 1, followup_facts.FollowUpReviewed),
    Entry("followup.ended", 1, followup_facts.FollowUpEnded),
    Entry("followup.resumed", 1, followup_facts.FollowUpResumed),
    Entry("staff.joined", 1, staff_facts.StaffJoined),
    Entry("staff.role-granted", 1, staff_facts.RoleGranted),
    Entry("staff.role-revoked", 1, staff_facts.RoleRevoked),
    Entry("staff.licence-shown", 1, staff_facts.LicenceShown),
    Entry("staff.licence-revoked", 1, staff_facts.LicenceRevoked),
    Entry("staff.absence-announced", 1, staff_facts.AbsenceAnnounced),
    Entry("staff.absence-called-off", 1, staff_facts.AbsenceCalledOff),
    Entry("staff.left", 1, staff_facts.StaffLeft),
    Entry("staff.languages-named", 1, staff_facts.LanguagesNamed),
    Entry("staff.full-time-share-agreed", 1, staff_facts.FullTimeShareAgreed),
    Entry("staff.training-completed", 1, staff_facts.TrainingCompleted),
    Entry("caseload.case-taken", 1, caseload_facts.CaseTaken),
    Entry("caseload.case-weighed", 1, caseload_facts.CaseWeighed),
    Entry("caseload.case-released", 1, caseload_facts.CaseReleased),
    Entry("policy.adopted", 1, adoption_facts.PolicyAdopted),
)

DECIDERS: dict[str, Decider] = {
    decider.kind: decider
    for decider in (
        member.DECIDER,
        member.CLAIM,
        episode.DECIDER,
        outreach.DECIDER,
        stay.DECIDER,
        transition.DECIDER,
        followup.DECIDER,
        staff.DECIDER,
        caseload.DECIDER,
        adoption.DECIDER,
    )
}

PROCESSES: dict[str, Process] = {
    process.kind: process for process in (outreach_plan.PROCESS, transition_plan.PROCESS, followup_plan.PROCESS)
}

_BY_TYPE = {entry.type: entry for entry in FACTS}
_BY_NAME = {entry.name: entry for entry in FACTS}
assert len(_BY_TYPE) == len(_BY_NAME) == len(FACTS), "a name or a class stands twice in the catalog"


def entry_of(kind: type[Fact]) -> Entry:
    return _BY_TYPE[kind]


def entry_named(name: str) -> Entry | None:
    return _BY_NAME.get(name)


def decider_of(stream: StreamId) -> Decider:
    """The decider of a stream, by the kind that its id begins with."""
    return DECIDERS[stream.partition("-")[0]]
