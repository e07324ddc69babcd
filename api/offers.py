"""Everything that a person may record, by the name under which API and command line offer it: an explicit allow-list.

What is not listed here cannot be sent from outside: the plan's own commands (a due set, a miss found, a request begun) never are.
Names follow the facts: recording an opt-out adds one to the member's opt-outs.
"""

from __future__ import annotations

from api.offering import CARE, EPISODE, EVENT, LEADING, MEMBER, OFFICE, RUNNING, STAFF, STAY, Offer
from api.offers_of_follow_up import OFFERS_OF_FOLLOW_UP
from api.offers_of_the_year import OFFERS_OF_THE_YEAR
from domain import alerts, records
from domain.episode import closing, enrolment, holds, leads, rosters
from domain.episode import decider as episode
from domain.member import decider as member
from domain.member import identity
from domain.outreach import decider as outreach
from domain.staff import decider as staff
from domain.stay import decider as stay
from domain.transition import decider as transition

IDENTITY = "Who somebody is"

_PROGRAMME: tuple[Offer, ...] = (
    # the member
    Offer("members", "registrations", "register", member.RegisterMember, "Somebody becomes known to the programme", OFFICE,
          {"cin": "91234567A", "family_name": "Okafor", "given_name": "Ines", "birth_date": "1961-07-09", "language": "en"},
          founds=True, derived=("cin_claim",)),
    Offer("members", "identity-corrections", "correct-identity", member.CorrectIdentity, "Put name or birth date right", OFFICE,
          {"birth_date": "1961-07-09", "reason": "card shown"}),
    Offer("members", "languages", "choose-language", member.ChooseLanguage, "Say which language the member speaks", OFFICE,
          {"language": "vi"}),
    Offer("members", "relocations", "relocate", member.Relocate, "Say in which time zone the member lives now", OFFICE,
          {"timezone": "America/Denver"}),
    Offer("members", "contact-points", "learn-contact-point", member.LearnContactPoint, "Add a phone number, mail or post address",
          OFFICE, {"kind": "phone", "learned_from": "member", "value": "+14155550142"}, derived=("point",)),
    Offer("members", "contact-point-findings", "mark-contact-point", member.MarkContactPoint,
          "Say that a contact point reaches the member, or does not", OFFICE,
          {"point": "phone-2", "good": False, "reason": "disconnected"}),
    Offer("members", "opt-outs", "opt-out", member.OptOut, "The member does not want to be contacted this way", OFFICE,
          {"channel": "text", "how": "said on the phone"}),
    Offer("members", "opt-ins", "opt-in", member.OptIn, "The member may be contacted this way again", OFFICE, {"channel": "text"}),
    Offer("members", "consents", "consent", member.GiveConsent, "The member agrees to something named", OFFICE,
          {"scope": "data_sharing", "how": "verbal"}),
    Offer("members", "consent-withdrawals", "withdraw-consent", member.WithdrawConsent, "The member no longer agrees", OFFICE,
          {"scope": "data_sharing", "how": "verbal"}),
    Offer("members", "coverage-losses", "lose-coverage", member.LoseCoverage, "Medi-Cal coverage ended", RUNNING,
          {"reason": "redetermination", "occurred_at": "2026-10-31T23:59:59-07:00"}),
    Offer("members", "coverage-returns", "restore-coverage", member.RestoreCoverage, "Medi-Cal coverage is back", RUNNING,
          {"reason": "reinstated"}),
    Offer("members", "deaths", "death", member.ReportDeath, "The member is said to have died", OFFICE, {"source": "family"}),
    Offer("members", "death-withdrawals", "withdraw-death", member.WithdrawDeathReport, "The report of a death was wrong", LEADING,
          {"report": EVENT, "reason": "another person of that name"}),
    Offer("members", "stays", "attribute-stay", member.AttributeStay, "Say that a stay is this member's", OFFICE,
          {"stay": STAY, "episode": EPISODE, "evidence": "by_hand"}),
    Offer("members", "stay-detachments", "detach-stay", member.DetachStay, "A stay was another person's after all", OFFICE,
          {"stay": STAY, "reason": "mistaken identity"}),
    # who the member is
    Offer("members", "merges", "merge-members", identity.MergeMembers,
          "Two members are one person: the other one goes on as this one", RUNNING,
          {"retired": MEMBER, "evidence": ["birth_date", "family_name"], "reason": "the same card was shown"}, group=IDENTITY,
          remark="Nothing is copied: stays, deaths, opt-outs and circumstances of both count for the person as long as the merge "
          "stands. Separating them restores both exactly."),
    Offer("members", "separations", "separate-members", identity.SeparateMembers, "They are two people after all", RUNNING,
          {"retired": MEMBER, "reason": "two birth certificates"}, group=IDENTITY),
    Offer("members", "kept-apart", "keep-apart", identity.KeepMembersApart,
          "Two people, though something speaks for one; not asked again for the same evidence", OFFICE,
          {"other": MEMBER, "evidence": ["birth_date", "family_name"], "reason": "twins"}, group=IDENTITY),
    Offer("members", "cins", "replace-cin", identity.ReplaceCin, "The state gave the member another CIN; the former stays theirs",
          RUNNING, {"cin": "98765432D", "reason": "the state combined two records"}, derived=("cin_claim",), group=IDENTITY),
    Offer("members", "cin-withdrawals", "withdraw-cin", identity.WithdrawCinReplacement,
          "The newer CIN is not this member's after all", RUNNING, {"cin": "98765432D", "reason": "another person's"},
          derived=("cin_claim",), group=IDENTITY),
    Offer("members", "moved-stays", "move-stay", identity.MoveStay,
          "A stay was attributed to this member wrongly: it is another's", RUNNING,
          {"stay": STAY, "rightful": MEMBER, "episode": EPISODE, "reason": "mistaken identity"}, group=IDENTITY,
          remark="Both histories keep what was said in them. A death that the stay told of goes with it. Give the keys of the "
          "record numbers that its messages have as numbers; `throughline identity move-stay` finds them itself."),
    Offer("members", "forgotten-numbers", "forget-number", identity.ForgetRecordNumber,
          "A hospital's record number is not this member's after all", RUNNING, {"key": "4f1d…", "reason": "another patient's"},
          group=IDENTITY),
    Offer("members", "recognised-messages", "recognise-message", identity.RecogniseMessage, "A message is about this member",
          OFFICE, {"message": EVENT, "reason": "called her"}, group=IDENTITY),
    Offer("members", "disowned-messages", "disown-message", identity.DisownMessage, "A message is not about this member", OFFICE,
          {"message": EVENT, "reason": "her niece"}, derived=("numbers", "evidence"), group=IDENTITY,
          remark="An answer to the question about the message, which `throughline identity list` shows, is remembered for whoever "
          "has the numbers of that message, too."),
    Offer("members", "accepted-contact-points", "accept-contact-point", identity.AcceptContactPoint,
          "A number or address that a hospital has is the member's", OFFICE, {"point": "phone-2"}, group=IDENTITY),
    Offer("members", "rejected-contact-points", "reject-contact-point", identity.RejectContactPoint,
          "A number or address that a hospital has is not to be used", OFFICE, {"point": "phone-2", "reason": "the mother's"},
          group=IDENTITY),
    Offer("members", "erasures", "erase", member.ErasePersonalData,
          "Erase the member's personal data for ever: the key that opens it is destroyed", LEADING, {"reason": "asked in writing"},
          remark="Raw messages and files that name the member stay in the inbox as they were received, sealed under their month's "
          "key, until that key is destroyed; this command does not destroy it."),
    # the episode
    Offer("episodes", "assignments", "assignment", episode.ReceiveAssignment, "A plan gives us the member", OFFICE,
          {"member": MEMBER, "plan": "default", "received_at": "2026-11-20T09:00:00-08:00", "referral_source": "community"},
          founds=True),
    Offer("episodes", "repeated-assignments", "repeat-assignment", episode.ResendAssignment,
          "The plan sends the assignment again; no clock is reset", OFFICE, {"received_at": "2026-11-24T09:00:00-08:00"}),
    Offer("episodes", "assignment-withdrawals", "withdraw-assignment", closing.WithdrawAssignment, "The plan takes the member back",
          LEADING, {"reason": "assigned elsewhere"}),
    Offer("episodes", "roster-absences", "settle-roster-absence", rosters.SettleRosterAbsence,
          "What the plan says of a member who is missing from its full list: the assignment stands, or is withdrawn", LEADING,
          {"assignment": "stands", "reason": "left out by mistake, says the plan"}),
    Offer("episodes", "lead-care-managers", "assign", leads.AssignLeadCareManager, "Assign the lead care manager", RUNNING,
          {"staff": STAFF}),
    Offer("episodes", "hand-overs", "hand-over", leads.HandOver, "Hand the member over; open clocks keep their dues", CARE,
          {"receiver": STAFF, "note": "prefers calls after four"}),
    Offer("episodes", "lead-releases", "release", leads.ReleaseLeadCareManager, "Nobody leads the member's care now", RUNNING,
          {"reason": "left the organisation"}),
    Offer("episodes", "enrolments", "enrol", enrolment.Enrol, "The member agrees to the services", CARE, {"agreed": "verbal"}),
    Offer("episodes", "declines", "decline", closing.Decline, "The member does not want the services; outreach stops at once", CARE,
          {"how": "on the phone", "reason": "has a case worker"}),
    Offer("episodes", "deferrals", "defer", enrolment.Defer, "Not now: look again on a day", CARE, {"until": "2027-06-01"}),
    Offer("episodes", "holds", "hold", holds.Hold, "Let everything rest", LEADING, {"reason": "incarcerated"}),
    Offer("episodes", "resumptions", "resume", holds.Resume, "Go on after a hold", LEADING, {"reason": "released"}),
    Offer("episodes", "policy-reapplications", "reapply-policy", episode.ReapplyPolicy,
          "Move open clocks to another policy version", LEADING, {"policy": "default@2026.1", "reason": "agreed with the plan"}),
    Offer("episodes", "closures", "close", closing.CloseEpisode, "Close the episode with its reason", CARE,
          {"reason": "UNABLE_TO_REACH", "note": "ladder exhausted"}),
    Offer("episodes", "reinstatements", "reinstate", closing.ReinstateEpisode, "The closure was a mistake", LEADING,
          {"reason": "closed the wrong episode"}),
    # outreach
    Offer("outreach", "attempts", "attempt", outreach.RecordAttempt, "An attempt to reach the member", CARE,
          {"channel": "call", "outcome": "voicemail", "minutes": 3, "occurred_at": "2026-11-20T15:05:00-08:00"}),
    Offer("outreach", "contacts", "contact", outreach.RecordContact, "A two-way exchange with the member", CARE,
          {"channel": "call", "initiated_by": "staff", "minutes": 12}),
    Offer("outreach", "backdated-approvals", "approve-backdated", records.ApproveBackdatedRecord,
          "A record dated back further than the policy's grace counts", LEADING, {"record": EVENT, "reason": "visit log seen"}),
    Offer("outreach", "backdated-rejections", "reject-backdated", records.RejectBackdatedRecord,
          "A record dated back does not count", LEADING, {"record": EVENT, "reason": "no evidence"}),
    Offer("outreach", "struck-out-records", "strike-out", records.StrikeOutRecord, "An attempt or contact was recorded by mistake",
          CARE, {"record": EVENT, "reason": "another member"}),
    Offer("outreach", "alert-acknowledgements", "acknowledge-outreach", alerts.AcknowledgeAlert, "An alert was seen",
          CARE, {"key": "admitted/stay-9a7b5c3d-1e2f-5a4b-8c6d-0f9e8d7c6b5a#1"}),
    Offer("outreach", "unable-to-reach-rejections", "reject-unable-to-reach", outreach.RejectUnableToReach,
          "Do not give up: go on trying", LEADING, {"reason": "shelter has an address"}),
    Offer("outreach", "new-episode-dismissals", "dismiss-new-episode", outreach.DismissNewEpisode,
          "A contact after closure leads to no new episode", CARE, {"cause": EVENT, "reason": "wrong number"}),
    # stays by hand
    Offer("stays", "admissions", "admission", stay.EnterAdmission, "An admission that no message told us of", OFFICE,
          {"facility": "Valley SNF", "stay_class": "nursing_facility", "admitted_on": "2026-11-18", "member": MEMBER},
          founds=True),
    Offer("stays", "discharges", "discharge", stay.EnterDischarge, "A discharge that no message told us of", OFFICE,
          {"discharged_at": "2026-11-20T11:00:00-08:00", "disposition": "01"}),
    Offer("stays", "admission-cancellations", "cancel-admission", stay.CancelAdmission, "The stay never was", OFFICE),
    Offer("stays", "discharge-cancellations", "cancel-discharge", stay.CancelDischarge, "The member is still there", OFFICE),
    # transitional care
    Offer("transitions", "contacts", "transition-contact", transition.RecordTransitionContact,
          "A live exchange after a discharge, with the checklist items gone through in it", CARE,
          {"interaction": "phone", "spoken_to": "member", "minutes": 14, "items": ["call"]}),
    Offer("transitions", "attempts", "transition-attempt", transition.RecordTransitionAttempt,
          "An attempt after a discharge that reached nobody", CARE, {"interaction": "phone", "outcome": "voicemail"}),
    Offer("transitions", "done-items", "item", transition.CompleteItem,
          "A checklist item was done; the licence, where one is needed, is your own", CARE,
          {"item": "medication_reconciliation", "interaction": "document", "spoken_to": "practice"}),
    Offer("transitions", "reopened-items", "reopen-item", transition.ReopenItem, "A checklist item was not done after all", CARE,
          {"item": "medication_reconciliation", "reason": "an old list was used"}),
    Offer("transitions", "struck-out-records", "strike-out-transition", records.StrikeOutRecord,
          "A record was made by mistake", CARE, {"record": EVENT, "reason": "another member"}),
    Offer("transitions", "backdated-approvals", "approve-backdated-transition", records.ApproveBackdatedRecord,
          "A record dated back further than the policy's grace counts", LEADING, {"record": EVENT, "reason": "visit log seen"}),
    Offer("transitions", "backdated-rejections", "reject-backdated-transition", records.RejectBackdatedRecord,
          "A record dated back does not count", LEADING, {"record": EVENT, "reason": "no evidence"}),
    Offer("transitions", "stay-reviews", "review-stay", transition.ReviewStay, "Somebody looked into a stay that waits", CARE,
          {"stay": STAY, "finding": "still_admitted"}),
    Offer("transitions", "alert-acknowledgements", "acknowledge", alerts.AcknowledgeAlert, "An alert was seen", CARE,
          {"key": "notice/stay-9a7b5c3d-1e2f-5a4b-8c6d-0f9e8d7c6b5a/1"}),
    # staff
    Offer("staff", "joinings", "add", staff.JoinStaff, "Somebody works here now", RUNNING,
          {"name": "Dana Whitfield", "email": "dana@example.org", "languages": ["en", "es"], "roles": ["care_manager"]},
          founds=True),
    Offer("staff", "roles", "grant", staff.GrantRole, "Give a role", RUNNING, {"role": "supervisor"}),
    Offer("staff", "role-revocations", "revoke", staff.RevokeRole, "Take a role away", RUNNING, {"role": "supervisor"}),
    Offer("staff", "licences", "licence", staff.ShowLicence, "A licence was seen", RUNNING,
          {"licence": "rn", "expires_on": "2027-12-31"}),
    Offer("staff", "licence-revocations", "revoke-licence", staff.RevokeLicence, "A licence is no longer valid", RUNNING,
          {"licence": "rn"}),
    Offer("staff", "absences", "absence", staff.AnnounceAbsence, "Away from the first to the last day", RUNNING,
          {"first_day": "2026-12-21", "last_day": "2027-01-02"}),
    Offer("staff", "absence-cancellations", "call-off-absence", staff.CallOffAbsence, "The absence does not take place", RUNNING,
          {"first_day": "2026-12-21"}),
    Offer("staff", "spoken-languages", "languages", staff.NameLanguages, "All the languages they can speak with members", RUNNING,
          {"languages": ["en", "vi"]}),
    Offer("staff", "full-time-shares", "share", staff.AgreeFullTimeShare, "The share of full time from a day on", RUNNING,
          {"percent": 60, "from_day": "2026-12-01"}),
    Offer("staff", "trainings", "training", staff.CompleteTraining, "A training was completed, and until when it counts", RUNNING,
          {"training": "person_centred_planning", "completed_on": "2026-11-02", "expires_on": "2027-11-01"}),
    Offer("staff", "departures", "leave", staff.LeaveStaff, "Somebody leaves; their members need another lead", RUNNING,
          {"last_day": "2026-12-31"},
          remark="On the last day they may lead nobody any more: hand over first (`throughline staff hand-over --from`), or say "
          "with unassign_because that everybody is to have no lead."),
)  # fmt: skip

OFFERS: tuple[Offer, ...] = (*_PROGRAMME, *OFFERS_OF_THE_YEAR, *OFFERS_OF_FOLLOW_UP)
