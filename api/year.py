"""A member's year on a day, as staff knew it on a day: tier with its grounds, cadence, steps, authorisation, plan, populations.

Folded from the log like everything in `looking_back`: which tier it was, under which rule version and on which evidence, is read
off the facts that were written then, never worked out anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from api.known import Fact, Known
from domain.calendar import local_date
from domain.catalog import PROCESSES
from domain.clocks import DueSet, Variant
from domain.core import EventId, Instant, ObligationState, ProcessRef, Recorded, StreamId
from domain.episode import authorisations, enrolment
from domain.episode.assessments import assessments
from domain.episode.care_plans import GoalState, care_plan
from domain.episode.facts import MemberEnrolled
from domain.episode.holds import why_held
from domain.episode.state import Episode
from domain.followup.decider import FollowUp, agreements, covers
from domain.followup.facts import (
    NO_TIER,
    CadenceAgreed,
    Ground,
    PopulationConfirmed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    PopulationRejected,
    TierFound,
    TierOverridden,
    TierOverrideLifted,
)
from domain.policy import PolicyBook
from domain.records import BackdatedRecordApproved, BackdatedRecordRejected, RecordStruckOut
from domain.staff.decider import OFFICE_ZONE
from domain.timeline import Timeline, until
from eventlog.log import Log
from projections.contacts import is_exchange

CONTACT = "followup.contact"


@dataclass(frozen=True, slots=True)
class GroundThen:
    """A reason: the rule's key in its policy, and the facts that it rests on, in words."""

    rule: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class TierThen:
    """`tier` is the one that held; `found` what the rules found, under `policy`, on `grounds`; `plan_tier` the plan's own."""

    tier: str
    since: datetime | None = None
    found: str = ""
    found_since: datetime | None = None
    grounds: tuple[GroundThen, ...] = ()
    policy: str = ""
    overridden: bool = False
    overridden_by: StreamId = ""
    overridden_at: datetime | None = None
    override_reason: str = ""
    plan_tier: str = ""


@dataclass(frozen=True, slots=True)
class CadenceThen:
    """How often contact was due. `agreed_every_days` 0: the plan's own interval held. `counts_from` is what the next due counts
    from; `default_due_at` what it would be by the plan's own interval, where that differs; `why` names the interval and its
    reason."""

    agreed_every_days: int = 0
    agreed_because: str = ""
    agreed_at: datetime | None = None
    agreed_by: StreamId = ""
    next_due_at: datetime | None = None
    act_by: datetime | None = None
    default_due_at: datetime | None = None
    counts_from: Fact | None = None
    why: str = ""
    policy: str = ""
    suspended: bool = False
    missed: int = 0
    last_contact: Fact | None = None


@dataclass(frozen=True, slots=True)
class StepThen:
    """A step of the enrolment; undone while `done_at` is None."""

    step: str
    done_at: datetime | None = None
    how: str = ""
    by: StreamId = ""


@dataclass(frozen=True, slots=True)
class ConflictThen:
    raised: EventId
    conflict: str
    programme: str
    raised_at: datetime
    checked_on: date | None = None
    choice_explained_at: datetime | None = None
    settled_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class PopulationThen:
    """A population of focus. `state`: proposed, confirmed, rejected, or withdrawn (proposed no longer)."""

    population: str
    state: str
    since: datetime
    by: StreamId
    grounds: tuple[GroundThen, ...]
    policy: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuthorisedThen:
    authorisation: str
    basis: str
    first_day: date
    last_day: date
    number: str
    cut_short: bool = False


@dataclass(frozen=True, slots=True)
class AssessmentThen:
    """An assessment, without its answers."""

    assessment: str
    kind: str
    questionnaire: str
    begun_at: datetime
    answered: int
    sittings: int
    completed_at: datetime | None = None
    abandoned_because: str = ""


@dataclass(frozen=True, slots=True)
class CarePlanThen:
    """The version in force, without its texts."""

    version: int
    written_at: datetime
    written_by: StreamId
    goals_open: int
    goals_met: int
    goals_given_up: int
    tasks_open: int
    member_took_part: str
    copy_given_at: datetime | None = None
    reviewed_at: datetime | None = None
    carried_over_from: StreamId = ""


@dataclass(frozen=True, slots=True)
class YearThen:
    """An episode in its year. `policy` is the version that its clocks keep. `authorised_until` ends the unbroken run of authorised
    days; None: nothing is authorised."""

    episode: StreamId
    member: StreamId
    plan: str
    policy: str
    lead_care_manager: StreamId | None
    enrolled_at: datetime | None
    agreed: str
    agreed_how: str
    closed_at: datetime | None
    closed_because: str
    held_because: str
    tier: TierThen
    cadence: CadenceThen
    steps: tuple[StepThen, ...]
    conflicts: tuple[ConflictThen, ...]
    provider_change_since: datetime | None
    populations: tuple[PopulationThen, ...]
    authorised: tuple[AuthorisedThen, ...]
    authorised_until: date | None
    assessment: AssessmentThen | None = None
    care_plan: CarePlanThen | None = None


def years_then(log: Log, member: StreamId, *, as_of: Instant, known_at: Instant) -> tuple[YearThen, ...]:
    """Every episode of a member, the newest first, on a day, from what was recorded by a day. Empty: there was none."""
    known = Known(log, known_at)
    person = known.state(member).state
    episodes: tuple[StreamId, ...] = person.episodes
    known.read(episodes)
    book = known.book()
    found = (year_then(known, episode, book, as_of) for episode in reversed(episodes))
    return tuple(year for year in found if year is not None)


def year_then(known: Known, stream: StreamId, book: PolicyBook, at: Instant) -> YearThen | None:
    """An episode's year at an instant; None where there was no such episode yet."""
    episode: Episode = known.state(stream).state
    if episode.assignment is None or episode.assignment.received_at > at:
        return None
    ref = ProcessRef("followup", stream.partition("-")[2])
    followed: FollowUp = known.state(ref.stream).state
    written = tuple(r for r in known.facts(ref.stream) if r.occurred_at <= at)
    said = until(episode.said, at)
    cadence = _cadence(known, ref, followed, book, at)
    enrolled, closed = episode.enrolled(), episode.closure(at)
    agreed = next((e.fact for e in said if enrolled and e.event_id == enrolled[0] and isinstance(e.fact, MemberEnrolled)), None)
    change = enrolment.open_provider_change(said)
    held = why_held(episode, at)
    return YearThen(
        episode=stream,
        member=episode.member,
        plan=episode.plan,
        policy=followed.opened.policy if followed.opened else "",
        lead_care_manager=episode.lead_care_manager(at),
        enrolled_at=enrolled[1] if enrolled and agreed else None,
        agreed=agreed.agreed if agreed else "",
        agreed_how=agreed.how if agreed else "",
        closed_at=closed[1] if closed else None,
        closed_because=closed[2].value if closed else "",
        held_because=held.value if held else "",
        tier=_tier(known, episode, followed, written, at),
        cadence=cadence,
        steps=_steps(said),
        conflicts=_conflicts(said),
        provider_change_since=change.at if change else None,
        populations=_populations(known, written),
        authorised=tuple(
            AuthorisedThen(s.authorisation, s.basis.value, s.first_day, s.last_day, s.number, bool(s.cut_short_by))
            for s in authorisations.authorised(said)
        ),
        authorised_until=authorisations.runs_out_on(said, local_date(at, OFFICE_ZONE)),
        assessment=_assessment(said),
        care_plan=_care_plan(said),
    )


# --- tier and populations ------------------------------------------------------------------------------------------------------


def _tier(known: Known, episode: Episode, followed: FollowUp, written: tuple[Recorded, ...], at: Instant) -> TierThen:
    """Of what the rules found the last that was written; of people's words the last in the world's order."""
    found = next((r for r in reversed(written) if isinstance(r.fact, TierFound)), None)
    word = next((e for e in reversed(until(followed.said, at)) if isinstance(e.fact, TierOverridden | TierOverrideLifted)), None)
    over = word if word is not None and isinstance(word.fact, TierOverridden) else None
    told = found.fact if found is not None else None
    since = [i for i in (found.occurred_at if found else None, word.at if word else None) if i is not None]
    return TierThen(
        tier=over.fact.tier if over else told.tier if told else NO_TIER,
        since=over.at if over else max(since, default=None),
        found=told.tier if told else "",
        found_since=found.occurred_at if found else None,
        grounds=_grounds(known, told.grounds) if told else (),
        policy=told.policy if told else "",
        overridden=over is not None,
        overridden_by=over.actor if over else "",
        overridden_at=over.at if over else None,
        override_reason=over.fact.reason if over else "",
        plan_tier=enrolment.plan_tier(episode, at),
    )


def _grounds(known: Known, grounds: tuple[Ground, ...]) -> tuple[GroundThen, ...]:
    return tuple(GroundThen(g.rule, tuple(f for id in g.facts if (f := known.fact(id)) is not None)) for g in grounds)


def _populations(known: Known, written: tuple[Recorded, ...]) -> tuple[PopulationThen, ...]:
    """The last word on each, in the order of the first; grounds and policy are the last proposal's."""
    found: dict[str, PopulationThen] = {}
    for r in written:
        match r.fact:
            case PopulationProposed(population=name, grounds=grounds, policy=policy):
                found[name] = PopulationThen(name, "proposed", r.occurred_at, r.actor, _grounds(known, grounds), policy)
            case PopulationProposalWithdrawn(population=name):
                found[name] = _after(found.get(name), name, "withdrawn", r, "")
            case PopulationConfirmed(population=name, reason=reason):
                found[name] = _after(found.get(name), name, "confirmed", r, reason)
            case PopulationRejected(population=name, reason=reason):
                found[name] = _after(found.get(name), name, "rejected", r, reason)
    return tuple(found.values())


def _after(before: PopulationThen | None, name: str, state: str, r: Recorded, reason: str) -> PopulationThen:
    grounds, policy = (before.grounds, before.policy) if before is not None else ((), "")
    return PopulationThen(name, state, r.occurred_at, r.actor, grounds, policy, reason)


# --- cadence -------------------------------------------------------------------------------------------------------------------


def _cadence(known: Known, ref: ProcessRef, followed: FollowUp, book: PolicyBook, at: Instant) -> CadenceThen:
    """What the same plan that runs the programme owes at that instant."""
    last_contact = _last_contact(known, ref.id, at)
    if followed.opened is None:
        return CadenceThen(last_contact=last_contact)
    plan = known.planned(ref, book, at)
    contacts = sorted((o for o in plan.obligations if o.because.rule == CONTACT), key=lambda o: o.window.due)
    found = (getattr(step.command, "fact", None) for step in plan.steps)
    to_write = next((fact for fact in found if isinstance(fact, DueSet) and fact.rule == CONTACT), None)
    running = next((o for o in contacts if o.state is ObligationState.OPEN), None)
    word = next((e for span, _ in agreements(followed.said) if covers(span, at) for e in followed.said
                 if e.event_id == span.begun_by and isinstance(e.fact, CadenceAgreed)), None)  # fmt: skip
    due = followed.clocks.written.get(running.key) if running is not None else None
    variants: tuple[Variant, ...] = due.due.variants if due is not None else ()
    anchor = known.fact(running.because.facts[0]) if running is not None and running.because.facts else None
    return CadenceThen(
        agreed_every_days=word.fact.every_days if word else 0,
        agreed_because=word.fact.reason if word else "",
        agreed_at=word.at if word else None,
        agreed_by=word.actor if word else "",
        next_due_at=to_write.due_at if to_write else running.window.due if running else None,
        act_by=running.act_by if running else None,
        default_due_at=next((v.due_at for v in variants if v.name == "default"), None),
        counts_from=anchor,
        why=running.how if running else "",
        policy=running.because.policy if running else "",
        suspended=running.suspended if running else False,
        missed=sum(o.state in (ObligationState.MISSED, ObligationState.MET_LATE) for o in contacts),
        last_contact=last_contact,
    )


def _last_contact(known: Known, id: str, at: Instant) -> Fact | None:
    """The last live exchange with the member or their caregiver that counts, of whichever process."""
    facts = [r for kind in PROCESSES for r in known.facts(f"{kind}-{id}") if r.occurred_at <= at]
    gone = {r.fact.record for r in facts if isinstance(r.fact, RecordStruckOut | BackdatedRecordRejected)}
    approved = {r.fact.record for r in facts if isinstance(r.fact, BackdatedRecordApproved)}
    counting = (
        r
        for r in facts
        if is_exchange(r.fact) and r.event_id not in gone and (not r.fact.approval_needed or r.event_id in approved)
    )
    last = max(counting, key=lambda r: (r.occurred_at, r.event_id), default=None)
    return known.fact(last.event_id) if last is not None else None


# --- enrolment, assessment, care plan ------------------------------------------------------------------------------------------


def _steps(said: Timeline) -> tuple[StepThen, ...]:
    done = enrolment.steps_done(said)
    entries = {e.event_id: e for e in said}
    found = []
    for step in enrolment.EnrolmentStep:
        entry = entries.get(done.get(step, ""))
        if entry is None:
            found.append(StepThen(step.value))
        else:
            found.append(StepThen(step.value, entry.at, getattr(entry.fact, "how", ""), entry.actor))
    return tuple(found)


def _conflicts(said: Timeline) -> tuple[ConflictThen, ...]:
    return tuple(
        ConflictThen(
            raised=c.raised.event_id,
            conflict=c.raised.fact.conflict.value,
            programme=c.raised.fact.programme,
            raised_at=c.raised.at,
            checked_on=c.raised.fact.checked_on,
            choice_explained_at=c.explained.at if c.explained else None,
            settled_at=c.settled.at if c.settled else None,
            outcome=c.settled.fact.outcome if c.settled else "",
        )
        for c in enrolment.conflicts(said)
    )


def _assessment(said: Timeline) -> AssessmentThen | None:
    """The newest."""
    every = assessments(said)
    if not every:
        return None
    a = every[-1]
    return AssessmentThen(
        a.id, a.kind.value, a.questionnaire, a.begun_at, len(a.answers), a.sittings, a.completed_at, a.abandoned_because
    )


def _care_plan(said: Timeline) -> CarePlanThen | None:
    plan = care_plan(said)
    if plan is None:
        return None
    states = [g.state for g in plan.goals]
    return CarePlanThen(
        version=plan.version,
        written_at=plan.written_at,
        written_by=plan.written_by,
        goals_open=states.count(GoalState.OPEN),
        goals_met=states.count(GoalState.MET),
        goals_given_up=states.count(GoalState.GIVEN_UP),
        tasks_open=sum(t.done_on is None for t in plan.tasks),
        member_took_part=plan.member_took_part,
        copy_given_at=plan.copy_given_at,
        reviewed_at=plan.reviewed_at,
        carried_over_from=plan.carried_over_from,
    )
