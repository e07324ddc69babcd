"""What people record when they follow a member up: contacts, what was agreed, tier and populations of focus.

The third part of the allow-list (see `offers`).
"""

from __future__ import annotations

from api.offering import CARE, EVENT, LEADING, Offer
from domain import alerts, records
from domain.followup import decider as followup

OFFERS_OF_FOLLOW_UP: tuple[Offer, ...] = (
    Offer("follow-ups", "contacts", "follow-up-contact", followup.RecordFollowUpContact,
          "A live exchange with the member, or with somebody else about them", CARE,
          {"interaction": "phone", "spoken_to": "member", "minutes": 15, "occurred_at": "2026-11-20T15:05:00-08:00"}),
    Offer("follow-ups", "attempts", "follow-up-attempt", followup.RecordFollowUpAttempt,
          "An attempt that reached nobody; it moves no due", CARE, {"interaction": "phone", "outcome": "voicemail"}),
    Offer("follow-ups", "agreed-cadences", "agree-cadence", followup.AgreeCadence,
          "The member wants fewer or more contacts; the plan's own interval stays visible", CARE,
          {"every_days": 30, "reason": "works nights", "wish": "not before noon"}),
    Offer("follow-ups", "cadence-agreement-ends", "end-cadence", followup.EndCadenceAgreement,
          "The plan's own interval holds again", CARE, {"reason": "day shift now"}),
    Offer("follow-ups", "tier-overrides", "override-tier", followup.OverrideTier,
          "Say which tier it is, whatever the rules find; what they find stays visible", CARE,
          {"tier": "high", "reason": "lost her housing last night"}),
    Offer("follow-ups", "lifted-tier-overrides", "lift-tier-override", followup.LiftTierOverride,
          "The tier that the rules find holds again", CARE, {"reason": "settled in"}),
    Offer("follow-ups", "confirmed-populations", "confirm-population", followup.ConfirmPopulation,
          "The member belongs to a population of focus", CARE, {"population": "homeless-adults"}),
    Offer("follow-ups", "rejected-populations", "reject-population", followup.RejectPopulation,
          "The member does not belong to a population of focus", CARE,
          {"population": "homeless-adults", "reason": "lives with her sister"}),
    Offer("follow-ups", "dismissed-referrals", "dismiss-referral", followup.DismissReferralProposal,
          "The member is not referred anew, whatever their visits propose", CARE,
          {"population": "avoidable-use-adults", "reason": "has a clinic of her own now"}),
    Offer("follow-ups", "reviews", "review-follow-up", followup.ReviewFollowUp,
          "Somebody looked at what goes on; the worklist shows the key", CARE,
          {"about": "review/1", "finding": "goes_on"}),
    Offer("follow-ups", "struck-out-records", "strike-out-follow-up", records.StrikeOutRecord, "A record was made by mistake", CARE,
          {"record": EVENT, "reason": "another member"}),
    Offer("follow-ups", "backdated-approvals", "approve-backdated-follow-up", records.ApproveBackdatedRecord,
          "A record dated back further than the policy's grace counts", LEADING, {"record": EVENT, "reason": "visit log seen"}),
    Offer("follow-ups", "backdated-rejections", "reject-backdated-follow-up", records.RejectBackdatedRecord,
          "A record dated back does not count", LEADING, {"record": EVENT, "reason": "no evidence"}),
    Offer("follow-ups", "alert-acknowledgements", "acknowledge-follow-up", alerts.AcknowledgeAlert, "An alert was seen", CARE,
          {"key": "warn/contact/1"}),
)  # fmt: skip
