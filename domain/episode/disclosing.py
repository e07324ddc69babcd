"""Who outside may learn that a member is enrolled, and who leads their care (domain.md 3.1: the name belongs on the discharge
document).

A hospital takes part in the member's care, so it may, unless the member took back that anything is shared; and unless substance
use is on record: then the mere fact that they are with us is protected until they, or whoever decides for them, authorised it in
writing (42 CFR Part 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.caseload.decider import policy_in_force
from domain.core import Command, Context, Decision, Instant, On, Refusal, StreamId
from domain.episode.state import Episode
from domain.member.circumstances import undotted
from domain.member.decider import Member
from domain.member.disclosures import EnrolmentDisclosed, EnrolmentWithheld
from domain.member.facts import ConsentWithdrawn
from domain.member.person import in_context, the_person
from domain.member.sharing import Audience, Content, Why, withheld_because
from domain.policy import PolicyBook

DATA_SHARING = "data_sharing"
"""The scope of consent that, taken back, lets nobody outside learn anything."""

SUBSTANCE_USE = "substance_use"
"""As policies call the group of diagnoses that 42 CFR Part 2 protects."""
SUBSTANCE_USE_CODES = ("F10", "F11", "F12", "F13", "F14", "F15", "F16", "F18", "F19")
"""Disorders due to the use of substances (ICD-10-CM): protected whatever a plan's policy says, or leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscloseEnrolment(Command):
    """`to` asked, under the id `inquiry` of the access log; `evidence`: how it named the member, exactly."""

    inquiry: str
    to: str
    evidence: str


def decide(command: DiscloseEnrolment, state: Episode, context: Context, book: PolicyBook, now: Instant) -> Decision:
    """What becomes known outside, as a fact of the member's stream."""
    if state.enrolled() is None or state.closure(now) is not None:
        return Refusal("not_enrolled", "stream: the member is not enrolled; there is nothing to tell")
    about = {"inquiry": command.inquiry, "to": command.to, "episode": command.stream, "evidence": command.evidence}
    why = withheld(the_person(state.member, context), state.plan, book, now)
    if why is not None:
        return (On(state.member, EnrolmentWithheld(why=why.value, **about)),)
    return (On(state.member, EnrolmentDisclosed(lead=state.lead_care_manager(now), **about)),)


def withheld(member: Member, plan: str, book: PolicyBook, now: Instant) -> Why | None:
    """Why a hospital may not learn of the enrolment; None where it may."""
    said = [e.fact for e in member.allowed if e.at <= now and getattr(e.fact, "scope", None) == DATA_SHARING]
    if said and isinstance(said[-1], ConsentWithdrawn):
        return Why.SHARING_NOT_AUTHORISED
    topic = Content.SUBSTANCE_USE if _substance_use_on_record(member, plan, book, now) else Content.CARE_PLAN
    return withheld_because(topic.value, Audience.FACILITY, member.sharing, now, member.timezone)


def _substance_use_on_record(member: Member, plan: str, book: PolicyBook, now: Instant) -> bool:
    policy = policy_in_force(book, plan, now)
    of_the_policy = policy.diagnosis_groups.get(SUBSTANCE_USE, ()) if policy is not None else ()
    beginnings = (*SUBSTANCE_USE_CODES, *map(undotted, of_the_policy))
    codes = {undotted(entry.fact.code) for entry in member.life.diagnoses}
    spells = (span for code in codes if code.startswith(beginnings) for span in member.life.diagnosed(code))
    return any(span.since <= now and (span.until is None or now < span.until) for span in spells)


def reads(member: StreamId, context: Context) -> tuple[StreamId, ...]:
    """The person, under each number by which they are known."""
    return in_context(member, context)
