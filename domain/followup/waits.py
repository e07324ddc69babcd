"""What goes on in a year until a person says otherwise: somebody is asked to look, again and again, so that it is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from domain.calendar import end_of_day
from domain.core import Because, EventId, Instant, Obligation, ObligationState, Window
from domain.episode.authorisations import care_to_carry_over
from domain.episode.enrolment import open_conflicts, undone_steps
from domain.episode.milestones import to_consider
from domain.episode.rosters import missing
from domain.followup.approvals import standing_denials
from domain.followup.cadence import Link
from domain.followup.facts import FollowUpReviewed, PopulationProposed, ReferralProposed
from domain.followup.minimums import MINIMUM, Count
from domain.followup.sight import Sight
from domain.followup.year import lapsed
from domain.waits import Wait, turn_of


def looks(sight: Sight, silent: Link | None, count: Count | None) -> Iterator[Obligation]:
    """The turn of each wait that runs now; a review answers that turn, or the wait whenever it is. `silent`: the last link of the
    contacts after which none is counted any more; `count`: a least number without a day."""
    for wait in _waits(sight, silent, count):
        yield turn_of(wait, sight.episode.member, sight.alarm, sight.reviews, _answers)
    if count is not None and count.reached:
        yield _reached(sight, count)


def _answers(key: str, review: object) -> bool:
    return isinstance(review, FollowUpReviewed) and review.about in (key, key.rpartition("/")[0])


def _wait(
    sight: Sight,
    reason: str,
    about: str,
    cause: tuple[EventId, ...],
    since: Instant,
    owed_by: str,
    how: str = "",
    rule: str = "",
) -> Wait:
    return Wait(
        key=f"{reason}/{about}",
        rule=rule or f"followup.{reason}",
        policy=sight.guard.id,
        cause=cause,
        since=since,
        every_days=_often(sight),
        owed_by=owed_by,
        how=how,
    )


def _often(sight: Sight) -> int:
    rules = sight.guard.follow_up
    return rules.review_every_days if rules is not None else sight.guard.transition.review_every_days


def _waits(sight: Sight, silent: Link | None, count: Count | None) -> Iterator[Wait]:
    """What is waited for. Nothing but approvals is, once everything has stopped; while it rests, its resumption as well."""
    for entry in sight.unapproved:
        yield _wait(sight, "approval", entry.event_id, (entry.event_id,), entry.at, sight.to.supervisor)
    yield from _screened(sight)
    if sight.stop is not None:
        return
    for raised in open_conflicts(sight.told):
        how = f"settle: {raised.fact.conflict}" + (f", {raised.fact.programme}" if raised.fact.programme else "")
        yield _wait(sight, "conflict", raised.event_id, (raised.event_id,), raised.at, sight.to.owner, how)
    for refused in standing_denials(sight):
        assert refused.answer is not None and refused.answered_at is not None
        until = refused.answer.appeal_until
        appeal = f", appeal until {until.isoformat()}" if until is not None else ""
        how = f"the plan said no{appeal}: decide how to go on"
        yield _wait(sight, "referral_denied", refused.id, (refused.answered_by,), refused.answered_at, sight.to.owner, how)
    if (absent := missing(sight.told)) is not None:
        how = "ask the plan: the member is missing from its full list; say whether the assignment stands"
        yield _wait(sight, "missing_from_roster", absent[1], (absent[1],), absent[0], sight.to.supervisor, how)
    yield from _populations(sight)
    yield from _carried_over(sight)
    resting = next((span for span in sight.rests if span.until is None), None)
    if resting is not None and sight.enrolled is not None:
        yield _wait(sight, f"rest_{resting.reason}", resting.begun_by, (resting.begun_by,), resting.since, sight.to.supervisor)
    if sight.enrolled is not None and sight.rules is not None and not any(span.until is None for span in sight.lost):
        yield from _of_the_year(sight, silent, count)


def _of_the_year(sight: Sight, silent: Link | None, count: Count | None) -> Iterator[Wait]:
    start = sight.started
    if undone := undone_steps(sight.told):
        yield _wait(
            sight, "enrolment_steps", start.event_id, (start.event_id,), start.at, sight.to.owner, f"undone: {', '.join(undone)}"
        )
    if silent is not None:
        how = f"no contact in {silent.ordinal + 1} intervals: decide how to go on"
        yield _wait(sight, "silence", silent.anchor.event_id, (silent.anchor.event_id,), silent.due, sight.to.supervisor, how)
    if count is not None and not count.reached:
        facts = (count.start.event_id, *(c.event_id for c in count.done))
        yield _wait(sight, "minimum_count", count.start.event_id, facts, count.start.at, sight.to.owner, count.how, MINIMUM)
    for turned in to_consider(sight.told, sight.member, start.at, sight.office):
        if sight.alarm.reached(turned.at):
            how = "look at the criteria of discontinuation; it is no reason by itself"
            yield _wait(sight, turned.reason, turned.known_by, (turned.known_by,), turned.at, sight.to.owner, how)
    rules = sight.rules
    days = lapsed(sight) if rules is not None and rules.authorisation is not None else None
    if days is not None:
        since = max(end_of_day(days.last_day, sight.office), start.at)
        facts = (days.granted_by, *((days.cut_short_by,) if days.cut_short_by else ()))
        how = f"nothing is authorised since {days.last_day.isoformat()}; care goes on"
        yield _wait(sight, "authorisation_lapsed", days.authorisation, facts, since, sight.to.supervisor, how)


def _carried_over(sight: Sight) -> Iterator[Wait]:
    """Care that the member had lately with another plan, until it is carried over or the member enrols (domain.md scenario 64)."""
    episode, rules = sight.episode, sight.guard.follow_up
    assignment = episode.assignment
    if assignment is None or assignment.previous is None or rules is None:
        return
    if care_to_carry_over(episode, sight.previous, rules.authorisation, sight.guard.timezone):
        how = "carry the care over: authorisation, agreement and care plan come along"
        yield _wait(sight, "carry_over", assignment.previous, (episode.assigned_by,), assignment.received_at, sight.to.owner, how)


def _screened(sight: Sight) -> Iterator[Wait]:
    """Visits of which nobody has said whether they could have been avoided, where it may matter; who might be referred anew."""
    since = sight.stop.at if sight.stop is not None else sight.since
    for found in sight.screening.found:
        count = len(found.candidates)
        how = f"say of {count} visits whether they could have been avoided (population of focus {found.code})"
        yield _wait(sight, "avoidable_visits", found.key, found.facts, max(found.since, since), sight.to.owner, how)
    for population, word in sight.state.referrals.items():
        if isinstance(word.fact, ReferralProposed) and sight.over_for_now:
            facts = tuple(sorted(word.facts))
            how = "refer the member anew, or dismiss the proposal"
            yield _wait(sight, "referral_proposed", population, facts, word.at, sight.to.owner, how)


def _populations(sight: Sight) -> Iterator[Wait]:
    """Populations of focus that were proposed, until staff confirm or reject them."""
    for met in sight.populations:
        last_word = sight.state.populations.get(met.key)
        if last_word is not None and isinstance(last_word.fact, PopulationProposed):
            facts = tuple(dict.fromkeys(fact for ground in met.grounds for fact in ground.facts))
            how = f"confirm or reject population of focus {met.code}"
            yield _wait(sight, "population", met.key, facts, max(met.since, sight.since), sight.to.owner, how)


def _reached(sight: Sight, count: Count) -> Obligation:
    last = count.done[count.wanted - 1]
    return Obligation(
        key=f"minimum_count/{count.start.event_id}",
        window=Window(count.start.at, last.at, last.at),
        act_by=last.at,
        state=ObligationState.MET,
        owed_by=sight.to.owner,
        because=Because(
            MINIMUM,
            sight.policy.id,
            (count.start.event_id, *(c.event_id for c in count.done[: count.wanted])),
        ),
        subject=sight.episode.member,
        met_at=last.at,
        how=count.how,
    )
