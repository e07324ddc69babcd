"""Each fact as a person would say it, without a name, a number or free text: those are unsealed, where they may be, at query time.

Instants are left to whoever shows the sentence, because only they know the reader's zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import assert_never

from domain.adoption.facts import PolicyAdopted
from domain.clocks import DeadlineMissed, DueSet, DueWithdrawn, MissWithdrawn
from domain.core import Fact
from domain.episode.facts import (
    AssignmentReceived,
    AssignmentResent,
    AssignmentWithdrawn,
    DeferralAgreed,
    EpisodeClosed,
    EpisodeHeld,
    EpisodeReinstated,
    EpisodeResumed,
    HoldCode,
    LeadCareManagerAssigned,
    LeadCareManagerHandedOver,
    LeadCareManagerReleased,
    MemberDeclined,
    MemberEnrolled,
    PolicyReapplied,
)
from domain.episode.rosters import MissedOnRoster, NamedOnRosterAgain, PlanPopulationsReported, RosterAbsenceSettled
from domain.member.disclosures import EnrolmentDisclosed, EnrolmentWithheld
from domain.member.facts import (
    ChannelOptedIn,
    ChannelOptedOut,
    ConsentGiven,
    ConsentWithdrawn,
    ContactPointFoundBad,
    ContactPointFoundGood,
    ContactPointLearned,
    CoverageLost,
    CoverageRestored,
    DeathReported,
    DeathReportWithdrawn,
    EpisodeBegun,
    IdentityCorrected,
    LanguageChosen,
    ListedByPlan,
    MemberRegistered,
    MemberRelocated,
    PersonalDataErased,
    StayAttributed,
    StayDetached,
    TakenOffByPlan,
)
from domain.member.identity import (
    CinReplaced,
    CinReplacementWithdrawn,
    ContactPointProposalRejected,
    ContactPointProposed,
    FormerCinForgotten,
    FormerCinLearned,
    IdentityFact,
    MembersKeptApart,
    MembersMerged,
    MembersSeparated,
    MessageDisowned,
    MessageRecognised,
    OnePersonAsked,
    RecordNumberForgotten,
    RecordNumberLearned,
    RecordNumberRetired,
)
from domain.outreach.facts import (
    AttemptMade,
    ContactMade,
    NewEpisodeDismissed,
    NewEpisodeProposed,
    OutreachEnded,
    OutreachOpened,
    OutreachResumed,
    UnableToReachProposalWithdrawn,
    UnableToReachProposed,
    UnableToReachRejected,
)
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
from domain.stay.facts import (
    AdmissionCancelled,
    AnnouncementWithdrawn,
    DischargeCancelled,
    LeaveBegun,
    LeaveEnded,
    MemberAdmitted,
    MemberDischarged,
    MemberMoved,
    MoveAnnounced,
    MoveCancelled,
    StayContinuedElsewhere,
    StayDescribed,
    VisitBecame,
)
from domain.transition.facts import (
    ChecklistItemDone,
    ChecklistItemReopened,
    StayReviewed,
    TransitionalCareEnded,
    TransitionalCareOpened,
    TransitionalCareResumed,
    TransitionAttemptMade,
    TransitionContactMade,
    TransitionEntrusted,
)
from projections.sentences_of_the_year import of_the_year
from projections.words import approval, minutes, plain, promise, whom

SENTENCE_LENGTH_MAX = 300


def sentence(fact: Fact) -> str:
    """What happened, in words. A fact that has no sentence of its own is named by its class."""
    kind = type(fact)
    if kind not in _SAYERS:
        _SAYERS[kind] = next((say for say in (*_OURS, of_the_year) if say(fact)), _by_name)
    return (_SAYERS[kind](fact) or _by_name(fact))[:SENTENCE_LENGTH_MAX]


_SAYERS: dict[type[Fact], Callable[[Fact], str]] = {}
"""Who has words for a class of facts, as was found out by asking in turn the first time."""


def _of_clocks_and_messages(fact: Fact) -> str:
    match fact:
        case DueSet(generation=0) as due:
            late = ", already past when it became known" if due.late_on_arrival else ""
            return f"Promise made: {promise(due.rule)}{_not_governing(due.governing)}{late}"
        case DueSet() as due:
            return f"Promise set anew: {promise(due.rule)}{_not_governing(due.governing)}"
        case DueWithdrawn(rule=rule, reason=reason):
            return f"Promise withdrawn: {promise(rule)} ({plain(reason)})"
        case DeadlineMissed() as missed:
            late = ", learned of too late to keep" if missed.late_on_arrival else ""
            return f"Deadline missed: {promise(missed.rule)}{_not_governing(missed.governing)}{late}"
        case MissWithdrawn(rule=rule, reason=reason):
            return f"Miss taken back: {promise(rule)} ({plain(reason)})"
        case MessageRequested() as asked:
            turn = f", turn {asked.turn}" if asked.turn > 1 else ""
            return f"{_kind(asked.kind)} to be sent: {plain(asked.template)}{turn}"
        case DeliveryBegun():
            return "Sending began"
        case MessageSent():
            return "Sent"
        case MessageFailed(permanent=permanent, code=code):
            return f"Sending failed{' for good' if permanent else ''} ({plain(code)})"
        case DeliveryOutcomeUnknown():
            return "Nobody can say whether it was sent: a person has to look"
        case RequestExpired():
            return "Message not sent in time: of no use any more"
        case RequestWithdrawn(reason=reason):
            return f"Message not sent after all ({plain(reason)})"
        case MessageDelivered():
            return "Message arrived"
        case MessageBounced(code=code):
            return f"Message came back ({plain(code)})"
        case AlertAcknowledged():
            return "Alert seen"
        case _:
            return ""


def _of_care(fact: Fact) -> str:
    match fact:
        case OutreachOpened():
            return "Outreach opened"
        case AttemptMade() as tried:
            how = f"{plain(tried.channel)}: {plain(tried.outcome)}{minutes(tried.minutes)}"
            return f"Attempt by {how}{approval(tried.approval_needed)}"
        case ContactMade() as met:
            who = "staff" if met.initiated_by == "staff" else f"the {plain(met.initiated_by)}"
            how = f"{plain(met.channel)}, begun by {who}{minutes(met.minutes)}"
            return f"Contact by {how}{approval(met.approval_needed)}"
        case BackdatedRecordApproved():
            return "A record dated back was approved"
        case BackdatedRecordRejected():
            return "A record dated back was rejected"
        case RecordStruckOut(reason=reason):
            return f"A record was struck out ({plain(reason)})"
        case UnableToReachProposed() as proposed:
            tried_so_far = f"{proposed.attempts} attempts over {len(proposed.channels)} channels"
            return f"Unable to reach: {tried_so_far}; a supervisor is to decide"
        case UnableToReachProposalWithdrawn(reason=reason):
            return f"Unable-to-reach proposal withdrawn ({plain(reason)})"
        case UnableToReachRejected():
            return "Unable to reach was not accepted: outreach goes on"
        case NewEpisodeProposed():
            return "A new episode is proposed: the member was heard of after the end"
        case NewEpisodeDismissed():
            return "The proposed new episode was dismissed"
        case OutreachEnded(reason=reason):
            return f"Outreach ended ({plain(reason)})"
        case OutreachResumed():
            return "Outreach resumed"
        case TransitionalCareOpened():
            return "Transitional care: a stay concerns this episode"
        case TransitionEntrusted(lead=lead):
            return "Transitional care rests with a lead care manager" if lead else "Transitional care rests with nobody yet"
        case TransitionContactMade() as met:
            how = f"{plain(met.interaction)} with {whom(met.spoken_to)}{minutes(met.minutes)}"
            return f"Transition contact by {how}{approval(met.approval_needed)}"
        case TransitionAttemptMade() as tried:
            return f"Transition attempt by {plain(tried.interaction)}: {plain(tried.outcome)}{approval(tried.approval_needed)}"
        case ChecklistItemDone() as done:
            licence = f", licence {done.licence.value}" if done.licence is not None else ""
            how = f"{plain(done.interaction)} with {whom(done.spoken_to)}"
            return f"Checklist item done: {plain(done.item)} ({how}{licence}){approval(done.approval_needed)}"
        case ChecklistItemReopened(item=item):
            return f"Checklist item open again: {plain(item)}"
        case StayReviewed(finding=finding):
            return f"Stay looked into: {plain(finding)}"
        case TransitionalCareEnded(reason=reason):
            return f"Transitional care ended ({plain(reason)})"
        case TransitionalCareResumed():
            return "Transitional care resumed"
        case _:
            return ""


def _of_the_member(fact: Fact) -> str:
    match fact:
        case MemberRegistered():
            return "Member registered"
        case IdentityCorrected():
            return "Identity corrected"
        case LanguageChosen(language=language):
            return f"Language chosen: {language}"
        case MemberRelocated(timezone=timezone):
            return f"Moved to the time zone {timezone}"
        case ContactPointLearned(kind=kind, learned_from=learned_from):
            return f"Contact point learned: {plain(kind)} (from {plain(learned_from)})"
        case ContactPointFoundBad(reason=reason):
            return f"Contact point of no use ({plain(reason)})"
        case ContactPointFoundGood():
            return "Contact point is good after all"
        case ChannelOptedOut(channel=channel):
            return f"Opted out of {plain(channel)}"
        case ChannelOptedIn(channel=channel):
            return f"Opted back in to {plain(channel)}"
        case ConsentGiven(scope=scope):
            return f"Consent given: {plain(scope)}"
        case ConsentWithdrawn(scope=scope):
            return f"Consent withdrawn: {plain(scope)}"
        case CoverageLost():
            return "Coverage lost"
        case CoverageRestored():
            return "Coverage restored"
        case ListedByPlan(plan=plan, first_day=first_day):
            return f"The plan {plan} lists the member as its own" + (f", from {first_day}" if first_day else "")
        case TakenOffByPlan(plan=plan, reason=reason):
            return f"The plan {plan} no longer lists the member" + (f" ({plain(reason)})" if reason else "")
        case DeathReported(source=source):
            return f"Death reported (by {plain(source)})"
        case DeathReportWithdrawn():
            return "The report of death was wrong"
        case StayAttributed(evidence=evidence):
            return f"A hospital stay is this member's ({plain(evidence).replace('+', ' and ')})"
        case StayDetached():
            return "A hospital stay was another person's after all"
        case EpisodeBegun():
            return "An episode of this member began"
        case fact if isinstance(fact, IdentityFact):
            return _of_identity(fact)
        case EnrolmentDisclosed(to=to, lead=lead):
            who = "the lead care manager was named" if lead else "nobody leads yet"
            return f"Told to {plain(to)}, which asked: enrolled; {who}"
        case EnrolmentWithheld(to=to, why=why):
            return f"Asked by {plain(to)} and told nothing ({plain(why)})"
        case PersonalDataErased():
            return "Personal data erased"
        case MemberAdmitted(stay_class=stay_class):
            return f"Admitted ({plain(stay_class)})"
        case MemberDischarged(disposition=disposition):
            return f"Discharged (disposition {disposition or 'not mapped'})"
        case StayDescribed():
            return "The hospital told more of the stay"
        case AdmissionCancelled():
            return "Admission cancelled: the stay never was"
        case DischargeCancelled():
            return "Discharge cancelled: the member is still there"
        case VisitBecame(stay_class=stay_class):
            return f"The visit became {plain(stay_class)}"
        case MemberMoved():
            return "Moved inside the hospital"
        case MoveCancelled():
            return "The move inside the hospital was taken back"
        case MoveAnnounced(move=move, expected_on=expected_on):
            return f"{plain(move).capitalize()} announced" + (f" for {expected_on}" if expected_on else "")
        case AnnouncementWithdrawn(move=move):
            return f"The announced {plain(move)} was called off"
        case LeaveBegun():
            return "On leave from the hospital, expected back"
        case LeaveEnded():
            return "Back from leave"
        case StayContinuedElsewhere():
            return "The hospital gave the visit another number"
        case _:
            return ""


def _of_identity(fact: IdentityFact) -> str:
    match fact:
        case RecordNumberLearned(authority=authority):
            return f"A hospital knows the member by a record number ({authority})"
        case RecordNumberRetired(authority=authority):
            return f"A hospital gave a record number of the member up for another one ({authority})"
        case RecordNumberForgotten():
            return "A record number was not this member's after all"
        case CinReplaced():
            return "The state gave the member another CIN; the former one still means this member"
        case CinReplacementWithdrawn():
            return "The newer CIN was not this member's after all"
        case FormerCinLearned():
            return "Somebody found that an older CIN still means the member"
        case FormerCinForgotten():
            return "The older CIN was never this member's"
        case OnePersonAsked(evidence=evidence):
            return f"Somebody asks whether two members are one person{_on(evidence)}"
        case MembersMerged(evidence=evidence):
            return f"Two members were found to be one person{_on(evidence)}"
        case MembersSeparated():
            return "Two members who had been merged are two people after all"
        case MembersKeptApart(evidence=evidence):
            return f"Two members were looked at and kept apart{_on(evidence)}"
        case MessageRecognised():
            return "Somebody found that a message is about this member"
        case MessageDisowned():
            return "Somebody found that a message is not about this member"
        case ContactPointProposed(kind=kind, source=source):
            return f"Contact point proposed: {plain(kind)} (from {source or 'a hospital'}); nobody has looked at it yet"
        case ContactPointProposalRejected():
            return "The proposed contact point was not taken over"
        case _:
            assert_never(fact)


def _on(evidence: tuple[str, ...]) -> str:
    return f" ({', '.join(map(plain, evidence))})" if evidence else ""


def _of_the_episode(fact: Fact) -> str:
    match fact:
        case AssignmentReceived(plan=plan):
            return f"Assigned by the plan {plan}"
        case AssignmentResent():
            return "The plan listed the member again"
        case MissedOnRoster():
            return "Missing from the plan's full list; nothing ends by that"
        case NamedOnRosterAgain():
            return "The plan's list names the member again"
        case RosterAbsenceSettled(stands=stands, reason=reason):
            return f"Asked the plan: the assignment {'stands' if stands else 'is withdrawn'} ({reason})"
        case PlanPopulationsReported(populations=populations):
            return f"Populations of focus as the plan says: {', '.join(map(plain, populations))}"
        case AssignmentWithdrawn(reason=reason):
            return f"Assignment withdrawn ({plain(reason)})"
        case LeadCareManagerAssigned():
            return "Lead care manager assigned"
        case LeadCareManagerHandedOver():
            return "Handed over to another lead care manager"
        case LeadCareManagerReleased(reason=reason):
            return f"No lead care manager now ({plain(reason)})"
        case MemberEnrolled(agreed=agreed, how=how):
            return f"Enrolled ({plain(agreed)} agreement{f', {plain(how)}' if how else ''})"
        case MemberDeclined():
            return "Declined the programme"
        case DeferralAgreed(until=until):
            return f"Not now: outreach rests until {until.isoformat()}"
        case EpisodeHeld(reason=reason, code=code):
            why = "" if code in (HoldCode.OTHER, reason) else f", {code}"
            return f"On hold{why} ({plain(reason)})"
        case EpisodeResumed():
            return "Hold ended"
        case PolicyReapplied(policy=policy):
            return f"Open clocks move to the policy {policy}"
        case EpisodeClosed(reason=reason):
            return f"Episode closed ({plain(reason.value.lower())})"
        case EpisodeReinstated():
            return "Episode reinstated: the closure rested on an error"
        case PolicyAdopted(plan=plan, version=version, effective_on=day):
            return f"Policy {version} of {plan} adopted, in force from {day.isoformat()}"
        case _:
            return ""


def _by_name(fact: Fact) -> str:
    """`RoleGranted(role=…)` -> `Role granted: care manager`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(fact).__name__).lower()
    open_fields = [f.name for f in fields(fact) if not f.metadata.get("personal")]  # type: ignore[arg-type]
    said = [plain(value) for name in open_fields if isinstance(value := getattr(fact, name), str) and "-" not in value and value]
    return words.capitalize() + (f": {', '.join(said)}" if said else "")


def _not_governing(governing: bool) -> str:
    return "" if governing else " (shown beside the one that counts)"


def _kind(kind: str) -> str:
    return {"email": "E-mail", "call": "Voice call"}.get(kind, plain(kind).capitalize())


_OURS = (_of_care, _of_clocks_and_messages, _of_the_member, _of_the_episode)
