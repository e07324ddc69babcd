"""What people record of a member's life, the enrolment, authorisation, assessment, care plan, and the end.

The second part of the allow-list (see `offers`).
"""

from __future__ import annotations

from api.offering import CARE, EPISODE, MEMBER, OFFICE, Offer
from domain.episode import assessments, authorisations, care_plans, closing, enrolment, referrals
from domain.interactions import SYNCHRONOUS
from domain.member import circumstances, sharing

LIFE = "The member's life"
SHARING = "Who may be told what"
ENROLMENT = "Enrolment and authorisation"
ASSESSMENT = "Assessment and care plan"
ENDING = "Ending well"

LIVE = tuple(way.value for way in SYNCHRONOUS)
SOURCES = ("member", "staff", "plan_file", "screening", "hospital", "county")
"""From whom something is known."""

OFFERS_OF_THE_YEAR: tuple[Offer, ...] = (
    # the member's life
    Offer("members", "circumstances", "circumstance", circumstances.NoteCircumstance,
          "Something is so in the member's life from a day on", OFFICE, {"circumstance": "homeless", "learned_from": "member"},
          group=LIFE,
          takes={"learned_from": SOURCES}),
    Offer("members", "circumstance-ends", "end-circumstance", circumstances.EndCircumstance, "It is no longer so", OFFICE,
          {"circumstance": "homeless", "reason": "moved into a flat"}, group=LIFE),
    Offer("members", "diagnoses", "diagnosis", circumstances.RecordDiagnosis, "A diagnosis, by its ICD-10-CM code", OFFICE,
          {"code": "F32.1", "learned_from": "plan_file"}, group=LIFE,
          takes={"learned_from": SOURCES}),
    Offer("members", "ruled-out-diagnoses", "rule-out-diagnosis", circumstances.RuleOutDiagnosis,
          "A diagnosis was wrong, or holds no longer", OFFICE, {"code": "F32.1", "reason": "another person's record"}, group=LIFE),
    Offer("members", "visits", "visit", circumstances.ReportVisit, "A visit that no hospital's message told us of", OFFICE,
          {"visit": "claim-2026-10-0042", "kind": "emergency", "on": "2026-10-03", "learned_from": "plan_file"}, group=LIFE,
          takes={"learned_from": SOURCES}),
    Offer("members", "visit-judgements", "judge-visit", circumstances.JudgeVisit,
          "Whether a visit or a stay could have been avoided", OFFICE,
          {"visit": "claim-2026-10-0042", "avoidable": True, "reason": "ran out of insulin"}, group=LIFE),
    Offer("members", "counties", "county", circumstances.LearnCounty, "In which county the member lives", OFFICE,
          {"county": "los_angeles", "learned_from": "member"}, group=LIFE,
          takes={"learned_from": SOURCES}),
    # who may be told what
    Offer("members", "parties", "party", sharing.NameParty, "Somebody in the member's life: caregiver, guardian, family", OFFICE,
          {"relation": "conservator", "name": "Rosa Ibarra", "phone": "+14155550177"}, group=SHARING,
          takes={"relation": sharing.RELATIONS}),
    Offer("members", "authorities", "authority", sharing.ShowAuthority,
          "A document was seen by which somebody may decide, or be told something", OFFICE,
          {"party": "party-1", "scope": "share_information", "document": "court order", "until": "2027-12-31"}, group=SHARING,
          takes={"scope": sharing.SCOPES}),
    Offer("members", "authority-ends", "end-authority", sharing.EndAuthority, "It holds no longer", OFFICE,
          {"party": "party-1", "scope": "share_information", "reason": "order lifted"}, group=SHARING,
          takes={"scope": sharing.SCOPES}),
    Offer("members", "data-sharing-authorisations", "authorise-sharing", sharing.AuthoriseDataSharing,
          "The member's written word on who may be told what; care never waits for it", OFFICE,
          {"content": "substance_use", "recipients": ["plan", "primary_care"], "expires_on": "2027-11-20", "how": "signed form"},
          group=SHARING,
          takes={"content": sharing.Content, "recipients": sharing.RECIPIENTS}),
    Offer("members", "data-sharing-revocations", "revoke-sharing", sharing.RevokeDataSharing,
          "The member takes the written word back", OFFICE, {"authorisation": "authorisation-1", "reason": "said on the phone"},
          group=SHARING),
    # enrolment and authorisation
    Offer("episodes", "enrolment-visits", "enrolment-visit", enrolment.RecordEnrolmentVisit,
          "What one meeting or call got done of the enrolment: any steps, in any order", CARE,
          {"steps": ["screening", "agreement_documents", "first_appointment"], "how": "in_person"}, group=ENROLMENT,
          takes={"how": LIVE}),
    Offer("episodes", "screenings", "screening", enrolment.AnswerScreening,
          "A short questionnaire was answered: question and score", CARE,
          {"questionnaire": "ecm-screening", "scores": {"housing": 3, "food": 2}}, paired=("questions", "scores"), group=ENROLMENT),
    Offer("episodes", "plan-tiers", "plan-tier", enrolment.ReportPlanTier,
          "The plan's own tier; it stands beside ours and never in its place", OFFICE, {"tier": "high"}, group=ENROLMENT),
    Offer("episodes", "conflicts", "conflict", enrolment.RaiseConflict,
          "Another provider, or a programme that excludes this one, has the member too", OFFICE,
          {"conflict": "exclusive_programme", "programme": "hospice", "checked_on": "2026-11-20"}, group=ENROLMENT,
          takes={"programme": (*enrolment.PROGRAMMES, "or whose authorisation is open")}),
    Offer("episodes", "conflict-settlements", "settle-conflict", enrolment.SettleConflict, "What became of a conflict", CARE,
          {"outcome": "member_chose_us", "reason": "said so in the visit"}, group=ENROLMENT,
          remark="Of another provider: ours, theirs, no_conflict. Of an exclusive programme: member_chose_us, member_chose_other, "
          "no_conflict. Where several are open, --raised names the event that raised it.",
          takes={"outcome": dict.fromkeys(outcome for known in enrolment.OUTCOMES.values() for outcome in known)}),
    Offer("episodes", "explained-choices", "explain-choice", enrolment.ExplainChoice,
          "The member was told what each programme offers, and that it is one or the other", CARE, {"how": "in_person"},
          group=ENROLMENT,
          takes={"how": LIVE}),
    Offer("episodes", "provider-change-requests", "request-provider-change", enrolment.RequestProviderChange,
          "The member wants another provider; services go on meanwhile", CARE, {"reason": "too far to travel"}, group=ENROLMENT),
    Offer("episodes", "provider-change-settlements", "settle-provider-change", enrolment.SettleProviderChange,
          "What became of the wish for another provider", CARE, {"outcome": "stays"}, group=ENROLMENT,
          takes={"outcome": enrolment.PROVIDER_CHANGE_OUTCOMES}),
    Offer("episodes", "authorisations", "authorisation", authorisations.GrantAuthorisation,
          "The plan authorised a span of days; without a last day, as long as the plan's policy says", OFFICE,
          {"basis": "initial", "first_day": "2026-11-20", "number": "A-20931"}, group=ENROLMENT),
    Offer("episodes", "authorisation-requests", "request-authorisation", authorisations.RequestAuthorisation,
          "The plan was asked", CARE, {"basis": "renewal"}, group=ENROLMENT,
          remark="A renewal needs a look at the criteria of discontinuation first (consider-discontinuation, outcome continue)."),
    Offer("episodes", "authorisation-denials", "deny-authorisation", authorisations.DenyAuthorisation,
          "The plan said no; it pays until the end of the day on which it told us", OFFICE,
          {"communicated_on": "2026-11-25", "reason": "criteria not met"}, group=ENROLMENT),
    Offer("episodes", "referrals", "referral", referrals.ReceiveReferral,
          "Refer a member whom we know: a proposal is taken up, somebody called", OFFICE,
          {"member": MEMBER, "plan": "default", "source": "utilisation", "populations": ["2a"], "reengage": True},
          founds=True, derived=("referral",), group=ENROLMENT,
          remark="Opens a new episode. Of somebody who said no before only with --reengage: your word that they want to be asked "
          "again. Whoever is not a member yet is referred with `throughline refer`."),
    Offer("episodes", "referral-answers", "answer-referral", referrals.AnswerReferral,
          "The plan said yes or no to a referral; a no has its reason, and the last day of appeal", OFFICE,
          {"answer": "denied", "communicated_on": "2026-11-24", "reason": "criteria not met", "appeal_until": "2027-01-23"},
          group=ENROLMENT,
          remark="A yes authorises days: first and last day as given, or as the plan's policy says. The referral need not be named "
          "where only one waits."),
    Offer("episodes", "referral-withdrawals", "withdraw-referral", referrals.WithdrawReferral,
          "Whoever referred takes it back; the plan's answer is not waited for any more", OFFICE,
          {"reason": "sent for another patient"}, group=ENROLMENT),
    Offer("episodes", "discontinuation-reviews", "consider-discontinuation", authorisations.ConsiderDiscontinuation,
          "The member was looked at against the criteria of discontinuation", CARE,
          {"outcome": "continue", "reason": "two goals open"}, group=ENROLMENT,
          takes={"outcome": authorisations.OUTCOMES}),
    Offer("episodes", "carried-over-care", "carry-over", authorisations.CarryOver,
          "The member comes from another plan with authorisation, agreement and care plan", OFFICE,
          {"previous": EPISODE, "evidence": "old_plan", "last_service_on": "2026-10-31"}, group=ENROLMENT,
          takes={"evidence": authorisations.EVIDENCE}),
    # assessment and care plan
    Offer("episodes", "assessments", "begin-assessment", assessments.BeginAssessment,
          "Begin the assessment, or the next one; which questions there are, the plan's policy says", CARE, {}, group=ASSESSMENT),
    Offer("episodes", "assessment-answers", "answer-assessment", assessments.AnswerAssessment,
          "Save the answers of one sitting: the same or somebody else goes on later", CARE,
          {"answers": {"health_rating": "fair", "food": "yes"}}, paired=("questions", "answers"),
          group=ASSESSMENT),
    Offer("episodes", "assessment-completions", "complete-assessment", assessments.CompleteAssessment,
          "Every required question has an answer", CARE, {}, group=ASSESSMENT),
    Offer("episodes", "abandoned-assessments", "abandon-assessment", assessments.AbandonAssessment, "It will not be finished", CARE,
          {"reason": "the member broke it off"}, group=ASSESSMENT),
    Offer("episodes", "care-plans", "care-plan", care_plans.WriteCarePlan, "Write a whole new version of the care plan", CARE,
          {
              "goals": [{"goal": "g-1", "topic": "housing"}, {"goal": "g-2", "topic": "medication"}],
              "tasks": [{"task": "t-1", "goal": "g-1", "owner": "member", "due_on": "2026-12-15"}],
              "texts": {"g-1": "A lease in her own name", "g-2": "Pills in one box", "t-1": "Bring the letter of the shelter"},
              "member_took_part": "in_person",
          }, group=ASSESSMENT,
          remark="A version replaces the one before as a whole: send every goal and task that is to stand. The texts are sealed. "
          f"Topics of goals: {', '.join(care_plans.TOPICS)}. Owners of tasks: a staff id, or {', '.join(care_plans.TEAM)}.",
          takes={"member_took_part": care_plans.TOOK_PART}),
    Offer("episodes", "met-goals", "meet-goal", care_plans.MeetGoal, "A goal of the care plan was reached", CARE, {"goal": "g-1"},
          group=ASSESSMENT),
    Offer("episodes", "given-up-goals", "give-up-goal", care_plans.GiveUpGoal, "A goal of the care plan was given up", CARE,
          {"goal": "g-2", "reason": "no longer wanted"}, group=ASSESSMENT),
    Offer("episodes", "finished-tasks", "finish-task", care_plans.FinishTask, "A task of the care plan was done", CARE,
          {"task": "t-1"}, group=ASSESSMENT),
    Offer("episodes", "care-plan-copies", "care-plan-copy", care_plans.GiveCarePlanCopy,
          "Somebody got a copy, and was told how to ask for changes", CARE, {"to": "member", "how": "in_person"}, group=ASSESSMENT,
          takes={"to": care_plans.COPY_TO, "how": care_plans.COPY_WAYS}),
    Offer("episodes", "care-plan-reviews", "review-care-plan", care_plans.ReviewCarePlan,
          "Somebody with a clinical licence looked at the care plan; the licence is your own", CARE, {"outcome": "agreed"},
          group=ASSESSMENT,
          takes={"outcome": care_plans.OUTCOMES}),
    # ending well
    Offer("episodes", "step-downs", "agree-step-down", closing.AgreeStepDown,
          "The member agrees to leave for a lower level of care, or because the goals are met", CARE, {"how": "in_person"},
          group=ENDING,
          takes={"how": LIVE}),
    Offer("episodes", "warm-hand-offs", "warm-hand-off", closing.MakeWarmHandOff,
          "The member and whoever cares for them next were brought together", CARE,
          {"to": "basic_population_health", "how": "phone", "with_whom": "Ms. Abara, nurse line"}, group=ENDING,
          takes={"to": closing.HAND_OFFS, "how": LIVE}),
    Offer("episodes", "notices-of-action", "notice-of-action", closing.RecordNoticeOfAction,
          "The plan told the member of the discontinuation", OFFICE,
          {"sent_on": "2026-11-20", "effective_on": "2026-11-30", "appeal_until": "2027-01-19"}, group=ENDING),
)  # fmt: skip
