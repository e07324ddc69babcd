"""All read models of the programme."""

from __future__ import annotations

from typing import Any

from projections.assessments import ASSESSMENTS
from projections.authorisations import AUTHORISATIONS
from projections.avoidable import JUDGED_VISITS, REFERRAL_PROPOSALS
from projections.belonging import BELONGING
from projections.care_plans import CARE_PLANS
from projections.caseloads import CASELOAD_RULES, CASES
from projections.contacts import CONTACTS
from projections.counts import FACT_COUNTS
from projections.deadlines import DEADLINES
from projections.disclosures import DISCLOSURES
from projections.enrolments import ENROLMENTS
from projections.episodes import EPISODES
from projections.follow_ups import FOLLOW_UPS
from projections.links import LINKS
from projections.lookup import member_lookup
from projections.members import MEMBERS
from projections.messages import MESSAGES
from projections.model import ReadModel
from projections.policies import POLICIES
from projections.populations import POPULATIONS
from projections.referrals import REFERRALS
from projections.staff import STAFF
from projections.stays import STAYS
from projections.tiers import TIERS
from projections.timeline import TIMELINE
from projections.transitions import TRANSITION_CARE, TRANSITION_STAYS


def read_models(index_key: bytes) -> tuple[ReadModel[Any], ...]:
    """Every read model; `index_key` (32 bytes) keys the digests by which members are searched."""
    return (
        BELONGING,
        LINKS,
        EPISODES,
        MEMBERS,
        DEADLINES,
        MESSAGES,
        STAYS,
        TRANSITION_STAYS,
        TRANSITION_CARE,
        ENROLMENTS,
        AUTHORISATIONS,
        REFERRALS,
        JUDGED_VISITS,
        REFERRAL_PROPOSALS,
        DISCLOSURES,
        ASSESSMENTS,
        CARE_PLANS,
        TIERS,
        POPULATIONS,
        FOLLOW_UPS,
        CONTACTS,
        STAFF,
        CASES,
        CASELOAD_RULES,
        POLICIES,
        TIMELINE,
        member_lookup(index_key),
        FACT_COUNTS,
    )
