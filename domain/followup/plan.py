"""What is owed to a member in the year after enrolment, and what happens next (domain.md 2.2, 2.6, 2.8, 4).

Top-down: `plan`; the clocks of the year; what the rules find of tier, populations and weight; alerts; the end. Before the enrolment
only the findings are written and conflicts waited for. Every clock that the timeline implies is enumerated, past ones included;
`domain.clocks` writes and judges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from domain import records
from domain.alerts import misses, one_per_miss, warnings
from domain.calendar import end_of_day
from domain.caseload.decider import WeighCase
from domain.caseload.facts import CASES
from domain.caseload.state import Weight, caseload_of, load_in, weight
from domain.clocks import Clock, Clocks, keep
from domain.core import (
    SYSTEM,
    Context,
    Fact,
    Instant,
    Obligation,
    ObligationState,
    Plan,
    Process,
    ProcessRef,
    Step,
    StreamId,
)
from domain.episode.enrolment import Conflict, RaiseConflict, exclusions_to_raise
from domain.episode.leads import left_behind
from domain.follow_up_policy import Caseload
from domain.followup import approvals, cadence, minimums, year
from domain.followup.cadence import Chain, Overlaid
from domain.followup.decider import CarryFollowUp, FollowUp
from domain.followup.facts import (
    NO_TIER,
    FollowUpEnded,
    FollowUpEntrusted,
    FollowUpOpened,
    FollowUpResumed,
    PopulationProposalWithdrawn,
    PopulationProposed,
    ReferralProposalWithdrawn,
    ReferralProposed,
    StayNoticed,
    TierFound,
)
from domain.followup.sight import Contact, Sight, attributed, left_within, look, streams
from domain.followup.waits import looks
from domain.outreach.facts import AttemptMade, ContactMade
from domain.policy import PolicyBook, policy_tags
from domain.remembered import NotingAlarm
from domain.requests import Pursued, Want, pursue
from domain.staff.decider import staff_in
from domain.staff.facts import OFFICE_ZONE
from domain.transition.facts import ChecklistItemDone, TransitionContactMade
from domain.waits import unheeded


def plan(state: FollowUp, context: Context, book: PolicyBook, now: Instant) -> Plan:
    """What is owed to an assigned member, above all once they are enrolled, and the next steps."""
    alarm = NotingAlarm(now, state.notebook)
    sight = look(state, context, book, alarm)
    if sight is None:
        return Plan(waiting_for="assignment", done=True)
    if opening := tuple(_opening(sight)):
        return Plan(steps=opening, wake_at=alarm.at, waiting_for="opening")

    found = _year(sight)
    written = _in_sight(sight, found)
    kept = keep(state.stream, found.clocks, written, alarm, sight.to.owner)
    waits = _looks(sight, found.contacts)
    obligations = alarm.as_before("owed", lambda: (*kept.obligations, *waits), kept.obligations, waits)
    sent = _sent(sight, kept.obligations, written, waits)
    left = tuple(_left(sight, context))
    weighed = () if left else _weighed(sight, found.overlays, context)
    findings = (*_findings(sight), *_referrals(sight), *left, *weighed, *_entrusted(sight, waits))

    waiting, summary = alarm.as_before("waiting", lambda: _waiting(sight, obligations), obligations, sight.stop, sight.enrolled)
    busy = bool(kept.steps or sent.steps or sent.effects or sent.waiting or waiting)
    owed = busy or sight.ahead or sight.screening.ahead or (sight.stop is None and alarm.at is not None)
    steps = (*kept.steps, *sent.steps, *findings, *_ending(sight, owed))
    return Plan(
        steps=steps,
        effects=sent.effects,
        obligations=obligations,
        wake_at=alarm.at,
        waiting_for=summary,
        done=not owed and not steps,
    )


def _opening(sight: Sight) -> Iterator[Step]:
    """Opened with the assignment, and once more with the enrolment, which chooses the policy version that the year keeps."""
    opened, policy = sight.state.opened, sight.versions[0].policy.id
    if opened is None or (opened.policy, opened.since) != (policy, sight.since):
        fact = FollowUpOpened(
            member=sight.episode.member, episode=sight.state.episode, plan=sight.episode.plan, policy=policy, since=sight.since
        )
        yield _carry(sight, f"opened/{sight.state.openings_ever}", fact)


# --- the clocks of the year ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Year:
    """Every clock in sight. `past`, `past_keys`: the first parts of keys, and the keys, of what has left it."""

    clocks: tuple[Clock, ...]
    past: frozenset[str] = frozenset()
    past_keys: frozenset[str] = frozenset()
    contacts: Chain | None = None
    overlays: tuple[Overlaid, ...] = ()


def _year(sight: Sight) -> Year:
    """What is in sight changes with little of what happens; then only those parts are found anew that it changes."""
    once, frame, told, contacts, life = sight.alarm.as_before, sight.frame, sight.told, sight.contacts, sight.member.life
    return once("year", lambda: _parts(sight), frame, told, contacts, sight.attempts, sight.wishes, life)


def _parts(sight: Sight) -> Year:
    once, frame, told, contacts = sight.alarm.as_before, sight.frame, sight.told, sight.contacts
    answers = once("answers", lambda: tuple(approvals.clocks(sight)), frame, told)
    if sight.enrolled is None or all(version.rules is None for version in sight.versions):
        return Year(answers)
    talks, of_talks = once("talks", lambda: cadence.contacts(sight), frame, contacts, sight.attempts, sight.wishes)
    overlays, of_overlays = once("overlays", lambda: _overlays(sight), frame, contacts, sight.member.life)
    visits = tuple(c for c in cadence.counting(sight) if c.in_person)
    of_visits, past_visits = once("visits", lambda: _visits(sight, visits), frame, visits)
    minimum = once("minimum", lambda: tuple(minimums.minimum_count(sight)), frame, contacts, told)
    promises = once("promises", lambda: tuple(year.clocks(sight)), frame, told)
    reviews, of_reviews = once("reviews", lambda: _reviews(sight), frame, told)

    chains = (("contact", talks), *((o.name, o.chain) for o in overlays), *((r.name, r.chain) for r in reviews))
    return Year(
        clocks=(*of_talks, *of_overlays, *of_visits, *minimum, *promises, *of_reviews, *answers),
        past=frozenset(f"{name}/{id}" for name, chain in chains for id in chain.past) | past_visits,
        past_keys=year.past_keys(sight),
        contacts=talks,
        overlays=overlays,
    )


def _overlays(sight: Sight) -> tuple[tuple[Overlaid, ...], tuple[Clock, ...]]:
    found = tuple(cadence.overlays(sight))
    return found, tuple(clock for overlaid in found for clock in cadence.overlay_clocks(sight, overlaid))


def _visits(sight: Sight, visits: tuple[Contact, ...]) -> tuple[tuple[Clock, ...], frozenset[str]]:
    return tuple(minimums.in_person(sight, visits)), minimums.past_periods(sight)


def _reviews(sight: Sight) -> tuple[tuple[year.Recurring, ...], tuple[Clock, ...]]:
    found = year.chains(sight)
    return found, tuple(year.chain_clocks(sight, found))


def _in_sight(sight: Sight, found: Year) -> Clocks:
    """The written dues without those that have left the sight: of these stands what is written."""
    written, past, keys = sight.state.clocks, found.past, found.past_keys
    if not past and not keys:
        return written

    def kept() -> Clocks:
        return Clocks({k: due for k, due in written.written.items() if k not in keys and k.rpartition("/")[0] not in past})

    return sight.alarm.as_before("written", kept, written, past, keys)


def _looks(sight: Sight, contacts: Chain | None) -> tuple[Obligation, ...]:
    """The waits that run now."""
    once, member, silent, count = sight.alarm.as_before, sight.member, None, None
    if contacts is not None:
        silent = contacts.silent
    if sight.enrolled is not None:
        count = once("count", lambda: minimums.without_a_day(sight), sight.frame, sight.contacts, sight.told)
    return once(
        "looks", lambda: tuple(looks(sight, silent, count)),
        sight.frame, sight.to, sight.since, sight.told, sight.unapproved, sight.reviews, sight.populations, sight.state.populations,
        silent, count, sight.episode, sight.previous, member.life, member.birth_date, member.born_by, sight.screening,
        sight.state.referrals, sight.over_for_now,
    )  # fmt: skip


# --- what the rules find -------------------------------------------------------------------------------------------------------


def _findings(sight: Sight) -> tuple[Step, ...]:
    """Stays, tier, populations of focus and excluding programmes, where what is known differs from what is written."""
    if sight.stop is not None:
        return ()
    state, member = sight.state, sight.member
    return sight.alarm.as_before(
        "findings", lambda: tuple(_found(sight)),
        state.stays, state.found, state.found_ever, state.populations, state.proposals_ever, member.stays, member.life,
        sight.found, sight.populations, sight.told,
    )  # fmt: skip


def _found(sight: Sight) -> Iterator[Step]:
    state = sight.state
    for stay in attributed(state, sight.member):
        if stay not in state.stays:
            yield _carry(sight, f"stay/{stay}", StayNoticed(stay=stay))
    yield from _tier(sight)
    met = {found.key: found for found in sight.populations}
    for key, found in met.items():
        last_word = state.populations.get(key)
        if last_word is None or isinstance(last_word.fact, PopulationProposalWithdrawn):
            fact = PopulationProposed(population=key, grounds=found.grounds, policy=found.policy)
            yield _carry(sight, f"population/{key}/{state.proposals_ever}", fact)
    for key, last_word in state.populations.items():
        if isinstance(last_word.fact, PopulationProposed) and key not in met:
            yield _carry(sight, f"population/{key}/{state.proposals_ever}", PopulationProposalWithdrawn(population=key))
    life = sight.member.life
    for exclusion in exclusions_to_raise(sight.told, life, sight.alarm.turning_at(entry.at for entry in life.noted)):
        raised = RaiseConflict(
            stream=state.episode,
            by=SYSTEM,
            occurred_at=exclusion.since,
            conflict=Conflict.EXCLUSIVE_PROGRAMME,
            programme=exclusion.programme,
        )
        yield Step(f"exclusion/{exclusion.noted_by}", raised, exclusion.since)


def _referrals(sight: Sight) -> Iterator[Step]:
    """After the end of an episode: whether what is known of the member's visits proposes that they are referred anew."""
    state = sight.state
    met = {found.key: found for found in sight.populations if found.key in sight.screening.avoidable} if sight.over_for_now else {}
    for stay in attributed(state, sight.member) if sight.over_for_now else ():
        if stay not in state.stays:
            yield _carry(sight, f"stay/{stay}", StayNoticed(stay=stay))
    for key, found in met.items():
        word = state.referrals.get(key)
        news = word is None or not {id for ground in found.grounds for id in ground.facts} <= word.facts
        standing = word is not None and isinstance(word.fact, ReferralProposed)
        if not standing and (news or (word is not None and isinstance(word.fact, ReferralProposalWithdrawn))):
            fact = ReferralProposed(population=key, grounds=found.grounds, policy=found.policy)
            yield _carry(sight, f"referral/{key}/{state.referrals_ever}", fact)
    for key, word in state.referrals.items():
        if isinstance(word.fact, ReferralProposed) and key not in met:
            reason = "no_longer_met" if sight.over_for_now else "taken_up"
            yield _carry(sight, f"referral/{key}/{state.referrals_ever}", ReferralProposalWithdrawn(population=key, reason=reason))


def _tier(sight: Sight) -> Iterator[Step]:
    """The tier that the rules find now, as of the instant from which they do."""
    if not sight.found:
        return
    now, written = sight.found[-1], sight.state.found
    known = (written.tier, written.grounds) if written is not None else (NO_TIER, ())
    if (now.tier, now.grounds) != known:
        fact = TierFound(tier=now.tier, grounds=now.grounds, policy=now.policy)
        command = CarryFollowUp(stream=sight.state.stream, by=SYSTEM, occurred_at=now.since, fact=fact)
        yield Step(f"tier/{sight.state.found_ever}", command, now.since)


def _weighed(sight: Sight, overlays: tuple[Overlaid, ...], context: Context) -> Iterator[Step]:
    """The case weighs on its lead care manager what the policy says now (domain.md 4)."""
    rules = sight.guard.caseload
    if sight.lead is None or sight.stop is not None or rules is None:
        return
    load = load_in(context, sight.lead)
    episode = sight.state.episode
    wanted = sight.alarm.as_before("weight", lambda: _weight(sight, rules, overlays), sight.frame, overlays)
    if load.cases.get(episode, wanted) != wanted:
        command = WeighCase(
            stream=caseload_of(sight.lead),
            by=SYSTEM,
            occurred_at=sight.now,
            episode=episode,
            weight_tenths=wanted.tenths,
            grounds=wanted.grounds,
        )
        yield Step(f"weigh/{caseload_of(sight.lead)}/{load.generation(episode)}", command, sight.now)


def _weight(sight: Sight, rules: Caseload, overlays: tuple[Overlaid, ...]) -> Weight:
    enrolled = sight.enrolled is not None
    return weight(
        rules,
        sight.tier_at(sight.alarm.turning_at(held.since for held in sight.tiers)),
        enrolled=enrolled,
        in_transition=enrolled and left_within(sight, rules.transition_days),
        overlays=cadence.overlays_now(overlays),
    )


def _left(sight: Sight, context: Context) -> Iterator[Step]:
    """A lead care manager whose last day has passed does not keep the member silently."""
    left_on = staff_in(context, sight.lead).left_on
    if sight.lead is None or sight.stop is not None or left_on is None:
        return
    left_at = end_of_day(left_on, OFFICE_ZONE)
    if sight.alarm.reached(left_at):
        yield left_behind(sight.state.episode, sight.episode, sight.lead, left_at, sight.now)


def _entrusted(sight: Sight, waits: tuple[Obligation, ...]) -> Iterator[Step]:
    fact = FollowUpEntrusted(lead=sight.lead, supervisor=sight.boss)
    concerned = sight.enrolled is not None or bool(waits) or sight.lead is not None
    if sight.stop is None and concerned and fact != sight.state.entrusted:
        yield _carry(sight, f"entrusted/{sight.state.entrusted_ever}", fact)


# --- alerts --------------------------------------------------------------------------------------------------------------------


def _sent(sight: Sight, kept: tuple[Obligation, ...], written: Clocks, waits: tuple[Obligation, ...]) -> Pursued:
    alarm, retry, requests = sight.alarm, sight.guard.messages.retry, sight.state.requests
    wants = alarm.as_before(
        "wants", lambda: tuple(_alerts(sight, kept, written, waits)), kept, written, waits, sight.stop, sight.rules, sight.to
    )
    return alarm.as_before(
        "sent", lambda: pursue(sight.state.stream, wants, requests, lambda asked: "", retry, alarm), wants, requests, retry
    )


def _alerts(sight: Sight, kept: tuple[Obligation, ...], written: Clocks, waits: tuple[Obligation, ...]) -> Iterator[Want]:
    """To staff: dues that are near or missed, waits that nobody has looked at. None after everything stopped."""
    if sight.stop is not None:
        return
    if sight.rules is not None:
        yield from warnings(_one_per_due(kept), sight.rules.warn, sight.to, sight.alarm)
    yield from misses(one_per_miss(kept, written, lambda owed: owed.because.rule), written, sight.to, sight.alarm)
    yield from unheeded(waits, sight.to.supervisor)


def _one_per_due(owed: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """One warning for all that a rule wants by the same instant, as long as any of it is open."""
    groups: dict[tuple[str, Instant], Obligation] = {}
    for obligation in owed:
        if obligation.state is ObligationState.OPEN and not obligation.suspended:
            groups.setdefault((obligation.because.rule, obligation.window.due), obligation)
    return tuple(groups.values())


# --- the end -------------------------------------------------------------------------------------------------------------------


def _ending(sight: Sight, owed: bool) -> Iterator[Step]:
    """It ends when everything has stopped. While the episode lives it only pauses when nothing is owed, before the enrolment or
    under a plan that asks for nothing, so that the sweep of a new policy reaches it."""
    generation = sight.state.endings_ever
    if sight.stop is not None and not owed and not sight.state.ended:
        yield _carry(sight, f"ended/{generation}", FollowUpEnded(reason=sight.stop.reason))
    elif sight.state.ended and (owed or sight.stop is None):
        yield _carry(sight, f"resumed/{generation}", FollowUpResumed(reason="owed_again"))


def _waiting(sight: Sight, obligations: tuple[Obligation, ...]) -> tuple[bool, str]:
    """Whether anything is open; and the summary of the timer: a rule or a reason, never anything about the member."""
    pending = [o for o in obligations if o.state is ObligationState.OPEN]
    if pending:
        return True, min(pending, key=lambda o: o.window.due).because.rule
    if sight.stop is not None:
        return False, sight.stop.reason
    return False, "nothing" if sight.enrolled is not None else "enrolment"


def _carry(sight: Sight, key: str, fact: Fact) -> Step:
    command = CarryFollowUp(stream=sight.state.stream, by=SYSTEM, occurred_at=sight.now, fact=fact)  # type: ignore[arg-type]
    return Step(key, command, sight.now)


def _reads(ref: ProcessRef, state: FollowUp, context: Context) -> tuple[StreamId, ...]:
    return streams(state, context)


def _tags(fact: Any) -> tuple[StreamId, ...]:
    """Not the caseload: whatever is said there of this case comes with a fact of the episode, or from here."""
    match fact:
        case FollowUpOpened(member=member, episode=episode, plan=plan_name):
            return (member, episode, *policy_tags(plan_name))
        case FollowUpEntrusted(lead=lead, supervisor=supervisor):
            return tuple(stream for stream in (lead, supervisor) if stream)
        case StayNoticed(stay=stay):
            return (stay,)
        case _:
            return ()


PROCESS = Process(
    "followup",
    plan,
    _reads,
    opens=FollowUpOpened,
    ends=FollowUpEnded,
    resumes=FollowUpResumed,
    tags=_tags,
    heeds=(*CASES, AttemptMade, ContactMade, TransitionContactMade, ChecklistItemDone, *records.FACTS),
)
