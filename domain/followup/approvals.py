"""What the plan has to say to a referral, and by when (domain.md 2.2, 2.12): its clock runs from when the referral came.

The due was decided with the referral, under the policy of that day, so neither an enrolment nor a later version moves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from domain.clocks import Clock
from domain.core import EventId, Instant, Window
from domain.episode.authorisations import AuthorisationGranted
from domain.episode.referrals import Referral, denied, referrals
from domain.followup.sight import Sight
from domain.stops import Stop, earliest

ANSWER_LATE_DAYS_MAX = 60
"""An answer that comes within so many days of its due is late; after that nobody expects it any more."""

RULE = "followup.referral.answer"


def clocks(sight: Sight) -> Iterator[Clock]:
    """One clock for each referral that the plan has to answer: met by its answer, or by authorised days however they were told."""
    for referral in referrals(sight.told):
        due = referral.fact.answer_due_at
        if due is None or sight.over(referral.at):
            continue
        met = _answered(sight, referral)
        stop = _stop(sight, referral)
        yield Clock(
            key=f"referral_answer/{referral.id}",
            rule=RULE,
            window=Window(referral.at, due, due + timedelta(days=ANSWER_LATE_DAYS_MAX)),
            policy=referral.fact.policy,
            cause=(referral.received_by,),
            known_at=referral.recorded_at,
            subject=sight.episode.member,
            met_at=met[0] if met else None,
            met_by=met[1] if met else None,
            stopped_at=stop.at if stop else None,
            stopped_by=stop.by if stop else None,
            stop_reason=stop.reason if stop else "",
            how="the plan decides by then: ask it for its answer",
        )


def _answered(sight: Sight, referral: Referral) -> tuple[Instant, EventId] | None:
    granted = ((e.at, e.event_id) for e in sight.told if isinstance(e.fact, AuthorisationGranted) and e.at >= referral.at)
    found = [*((referral.first_answered,) if referral.first_answered is not None else ()), *granted]
    return min(found, default=None)


def _stop(sight: Sight, referral: Referral) -> Stop | None:
    withdrawn = Stop(*referral.withdrawn, "referral_withdrawn") if referral.withdrawn is not None else None
    return earliest(withdrawn, sight.stop)


def standing_denials(sight: Sight) -> tuple[Referral, ...]:
    """Referrals to which the plan said no, until days are authorised or the episode ends."""
    return denied(sight.told)
