"""Other ways in than a plan's file: somebody referred the member, and the plan has to say whether it pays (domain.md 2.2, 2.12).

A referral starts what a file's row starts, so an episode opens with it; besides, the plan's own days to decide run. Whoever is in
an open episode already is not begun anew by another referral, and the plan is not asked twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import assert_never

from domain.calendar import NO_HOLIDAYS, add_business_days, end_of_day, local_date
from domain.caseload.decider import policy_in_force
from domain.core import Command, Context, Decision, EventId, Fact, Instant, Refusal, StreamId, personal
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationDenied,
    AuthorisationGranted,
    AuthorisationRequested,
    GrantAuthorisation,
    granted,
    office_zone,
    rules_of,
)
from domain.episode.state import Episode
from domain.policy import PolicyBook
from domain.timeline import Timeline

# --- facts ---------------------------------------------------------------------------------------------------------------------


class ReferralSource(StrEnum):
    """Who refers, or how we came upon the member (domain.md 2.12)."""

    HOSPITAL = "hospital"
    NURSING_FACILITY = "nursing_facility"
    PHYSICIAN = "physician"
    SOCIAL_WORKER = "social_worker"
    CHILDCARE_PROGRAMME = "childcare_programme"
    COMMUNITY_ORGANISATION = "community_organisation"
    COLLEAGUE = "colleague"
    CHART_REVIEW = "chart_review"
    UTILISATION = "utilisation"
    MEMBER = "member"
    FAMILY = "family"
    PLAN = "plan"


class Urgency(StrEnum):
    ROUTINE = "routine"
    EXPEDITED = "expedited"


class PlanAnswer(StrEnum):
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralReceived(Fact):
    """Somebody referred the member, at `occurred_at`. `populations`: of focus, as the referrer suspects. `answer_due_at`: until
    when the plan has to say yes or no under `policy`; None where it need not be asked. `repeats`: an earlier referral of this
    episode."""

    referral: str
    source: ReferralSource
    organisation: str = ""
    urgency: Urgency = Urgency.ROUTINE
    populations: tuple[str, ...] = ()
    answer_due_at: Instant | None = None
    policy: str = ""
    repeats: str = ""
    referred_by: str | None = personal()
    reason: str | None = personal()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralAnswered(Fact):
    """The plan said yes or no, and told us on `communicated_on`. After a no the member may appeal until `appeal_until`."""

    referral: str
    answer: PlanAnswer
    communicated_on: date
    reason: str = ""
    appeal_until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralWithdrawn(Fact):
    """Whoever referred takes it back, or it was a mistake; the plan's answer is not waited for any more."""

    referral: str
    reason: str


ReferralFact = ReferralReceived | ReferralAnswered | ReferralWithdrawn

# --- commands ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveReferral(Command):
    """Opens an episode where the stream is none yet; else it is added to that one, open or closed. `occurred_at` is when it came,
    which starts every clock. `referral`: its id; left out, the stream's. `reengage`: a person's word that somebody who said no is
    to be asked again."""

    member: StreamId
    plan: str
    source: ReferralSource
    referral: str = ""
    organisation: str = ""
    urgency: Urgency = Urgency.ROUTINE
    populations: tuple[str, ...] = ()
    reengage: bool = False
    referred_by: str | None = personal()
    reason: str | None = personal()

    @property
    def id(self) -> str:
        return self.referral or self.stream


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReferral(Command):
    """The plan's word. `referral`: left out, the only one that waits, or the last one answered. Days and `number` go with a yes
    (left out, as the plan's policy says), `reason` and `appeal_until` with a no."""

    answer: PlanAnswer
    communicated_on: date
    referral: str = ""
    first_day: date | None = None
    last_day: date | None = None
    number: str = ""
    reason: str = ""
    appeal_until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawReferral(Command):
    """`referral`: left out, the only one that waits, or the last one answered."""

    reason: str
    referral: str = ""


ReferralCommand = AnswerReferral | WithdrawReferral

POPULATIONS_MAX = 20
WORDS_LENGTH_MAX = 2_000
NAME_LENGTH_MAX = 200

# --- what is known -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Referral:
    """One referral and what became of it: the last answer counts, the first one is what the plan's deadline asks for."""

    id: str
    fact: ReferralReceived
    received_by: EventId
    at: Instant
    recorded_at: Instant
    answer: ReferralAnswered | None = None
    answered_by: EventId = ""
    answered_at: Instant | None = None
    first_answered: tuple[Instant, EventId] | None = None
    withdrawn: tuple[Instant, EventId] | None = None

    @property
    def waits(self) -> bool:
        """Whether the plan still has to say something."""
        return self.fact.answer_due_at is not None and self.answer is None and self.withdrawn is None

    @property
    def request(self) -> str:
        """The request for authorisation that goes with it."""
        return request_of(self.id)


def request_of(referral: str) -> str:
    return f"referral-{referral}"


def referrals(said: Timeline) -> tuple[Referral, ...]:
    """All referrals of an episode, in the order of the world."""
    found: dict[str, Referral] = {}
    for e in said:
        if isinstance(e.fact, ReferralReceived):
            found.setdefault(e.fact.referral, Referral(e.fact.referral, e.fact, e.event_id, e.at, e.recorded_at))
    for e in said:
        if isinstance(e.fact, ReferralAnswered) and (known := found.get(e.fact.referral)) is not None:
            first = known.first_answered or (e.at, e.event_id)
            found[known.id] = replace(known, answer=e.fact, answered_by=e.event_id, answered_at=e.at, first_answered=first)
        elif isinstance(e.fact, ReferralWithdrawn) and (known := found.get(e.fact.referral)) is not None:
            found[known.id] = replace(known, withdrawn=known.withdrawn or (e.at, e.event_id))
    return tuple(found.values())


def denied(said: Timeline) -> tuple[Referral, ...]:
    """The referrals of which the plan's last word is no, where nothing was granted since."""
    yes = [e.at for e in said if isinstance(e.fact, AuthorisationGranted)]
    refused = (r for r in referrals(said) if r.answer is not None and r.answer.answer is PlanAnswer.DENIED and r.withdrawn is None)
    return tuple(r for r in refused if r.answered_at is not None and not any(at >= r.answered_at for at in yes))


# --- decide --------------------------------------------------------------------------------------------------------------------


def received(command: ReceiveReferral, state: Episode, book: PolicyBook, at: Instant, *, opens: bool) -> Decision:
    """What a referral adds to an episode, a new one (`opens`) or one that is there."""
    known = referrals(state.said)
    if any(r.id == command.id for r in known):
        return ()
    if refusal := _faulty(command):
        return refusal
    standing = [r for r in known if r.withdrawn is None and (r.answer is None or r.answer.answer is PlanAnswer.APPROVED)]
    asked_again = not opens and state.closure(at) is None and not standing and bool(known)
    due_at, policy = _answer_due(command, book, at) if opens or asked_again else (None, "")
    fact = ReferralReceived(
        referral=command.id,
        source=command.source,
        organisation=command.organisation,
        urgency=command.urgency,
        populations=command.populations,
        answer_due_at=due_at,
        policy=policy,
        repeats=standing[0].id if standing else "",
        referred_by=command.referred_by,
        reason=command.reason,
    )
    if due_at is None:
        return (fact,)
    return (fact, AuthorisationRequested(request=request_of(command.id), basis=AuthorisationBasis.INITIAL))


def _faulty(command: ReceiveReferral) -> Refusal | None:
    if len(command.id) > NAME_LENGTH_MAX:
        return Refusal("name_too_long", f"referral: its id has at most {NAME_LENGTH_MAX} characters")
    if len(command.populations) > POPULATIONS_MAX:
        return Refusal("too_many_populations", f"populations: at most {POPULATIONS_MAX}")
    if len(command.organisation) > NAME_LENGTH_MAX or len(command.referred_by or "") > NAME_LENGTH_MAX:
        return Refusal("name_too_long", f"organisation: names have at most {NAME_LENGTH_MAX} characters")
    if len(command.reason or "") > WORDS_LENGTH_MAX:
        return Refusal("reason_too_long", f"reason: at most {WORDS_LENGTH_MAX} characters")
    return None


def _answer_due(command: ReceiveReferral, book: PolicyBook, at: Instant) -> tuple[Instant | None, str]:
    """Until when the plan decides, and under which version: so many business days, or hours where it is expedited (G p104). Not
    where the plan itself refers. Where its holidays are not known so far ahead, every weekday counts: an early question to the plan
    does less harm than none."""
    policy, rules = policy_in_force(book, command.plan, at), rules_of(book, command.plan, at)
    if policy is None or rules is None or command.source is ReferralSource.PLAN:
        return None, ""
    if command.urgency is Urgency.EXPEDITED:
        return at + timedelta(hours=rules.decided_within_hours_expedited), policy.id
    today, holidays = local_date(at, policy.timezone), policy.calendar(rules.holiday_calendar)
    day = add_business_days(today, rules.decided_within_business_days, holidays)
    if day is None:
        day = add_business_days(today, rules.decided_within_business_days, NO_HOLIDAYS)
    assert day is not None, "it reaches as far as anybody asks"
    return end_of_day(day, policy.timezone), policy.id


def decide(command: ReferralCommand, state: Episode, context: Context, book: PolicyBook, at: Instant, now: Instant) -> Decision:
    known = {r.id: r for r in referrals(state.said)}
    asked = [r for r in known.values() if r.fact.answer_due_at is not None and r.withdrawn is None]
    meant = [r for r in asked if r.waits] or asked[-1:]
    if not command.referral and len(meant) != 1:
        return Refusal("referral_missing", f"referral: {len(meant)} wait for the plan's word; name the one that is meant")
    referral = known.get(command.referral) if command.referral else meant[0]
    if referral is None:
        return Refusal("unknown_referral", "referral: is none of this episode; see `throughline referrals`")
    match command:
        case WithdrawReferral(reason=reason):
            return () if referral.withdrawn is not None else (ReferralWithdrawn(referral=referral.id, reason=reason),)
        case AnswerReferral():
            return _answer(command, referral, state, context, book, at, now)
        case _:
            assert_never(command)


def _answer(
    command: AnswerReferral, referral: Referral, state: Episode, context: Context, book: PolicyBook, at: Instant, now: Instant
) -> Decision:
    if command.communicated_on > local_date(now, office_zone(book, state, now)):
        return Refusal("communicated_in_the_future", "communicated_on: lies ahead; name the day on which the plan told us")
    no = command.answer is PlanAnswer.DENIED
    if no and not command.reason.strip():
        return Refusal("reason_missing", "reason: say why the plan said no; the member may ask")
    if no and command.appeal_until is not None and command.appeal_until < command.communicated_on:
        return Refusal("appeal_ends_first", "appeal_until: must not come before communicated_on")
    said = ReferralAnswered(
        referral=referral.id,
        answer=command.answer,
        communicated_on=command.communicated_on,
        reason=command.reason,
        appeal_until=command.appeal_until if no else None,
    )
    if referral.answer == said:
        return ()
    if no:
        return (said, AuthorisationDenied(request=referral.request, communicated_on=command.communicated_on, reason=command.reason))
    grant = GrantAuthorisation(
        stream=command.stream, by=command.by, basis=AuthorisationBasis.INITIAL, first_day=command.first_day,
        last_day=command.last_day, number=command.number,
    )  # fmt: skip
    days = granted(grant, state, context, book, at)
    return days if isinstance(days, Refusal) else (said, days)
