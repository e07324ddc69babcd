"""What a row of a member file asks of the log: a member, contact points, an assignment, or its end (domain.md 2.3, 2.5, 2.9).

A file repeats for months what we know better by then: what it says once is not said again, a number that was found bad stays bad,
and nobody who said no is taken on again by a list. What a person has to decide waits for one, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from domain.calendar import end_of_day, local_date
from domain.core import StreamId
from domain.episode.closing import CloseEpisode, WithdrawAssignment
from domain.episode.decider import ReceiveAssignment, ResendAssignment
from domain.episode.enrolment import Conflict, RaiseConflict, ReportPlanTier, plan_tier
from domain.episode.facts import MEMBER_SAID_NO, ClosureReason
from domain.episode.referrals import AnswerReferral, PlanAnswer, referrals
from domain.episode.rosters import NameOnRosterAgain, ReportPlanPopulations, missing, plan_populations
from domain.episode.state import Episode, claim_on_open_episode
from domain.member.circumstances import Circumstance, CircumstanceNoted, LearnCounty, NoteCircumstance, county_named
from domain.member.decider import Claim as ClaimState
from domain.member.decider import (
    CorrectIdentity,
    LearnContactPoint,
    ListByPlan,
    Member,
    RegisterMember,
    ReportDeath,
    TakeOffByPlan,
)
from domain.member.facts import ListedByPlan, PointKind
from domain.staff.decider import OFFICE_ZONE
from intake.files.lines import Asked, Listing, Reading
from intake.files.memberfile import RosterRow
from intake.people.identity import IdentityKeys
from intake.people.readings import Sight
from intake.people.recognising import candidate
from intake.people.scoring import Likely, score, shared, weights_on
from intake.reading.identifiers import first_names_agree, names_agree, phone_key
from intake.reading.notification import MemberKeys
from intake.store.inbox import ANOTHER_PLAN, ENDS_LATER, Row, Settlement

PLAN_FILE: Final = "plan_file"


class Seen(Sight):
    """The streams that rows need to be seen."""

    __slots__ = ()

    def claim(self, stream: StreamId) -> ClaimState:
        state = self.of(stream)
        assert isinstance(state, ClaimState)
        return state

    def episode(self, stream: StreamId) -> Episode:
        state = self.of(stream)
        assert isinstance(state, Episode)
        return state


def needed(sight: Seen, identity: IdentityKeys, readings: Sequence[Reading]) -> None:
    """Loads what rows of members are decided on, in a few round trips."""
    sight.fetch(identity.cin_claim(r.said.cin) for r in readings)
    sight.fetch(_own(sight, identity, r) or identity.member(r.said.cin) for r in readings)
    members = [member_of(sight, identity, r)[0] for r in readings]
    sight.fetch((*members, *map(claim_on_open_episode, members)))
    sight.fetch(other for m in members for other in sight.member(m).identity.linked)
    people = [other for m in members for other in sight.person(m)]
    sight.fetch(map(claim_on_open_episode, people))
    sight.fetch(holder for p in people if (holder := sight.own_episode(p)) is not None)


def member_of(sight: Seen, identity: IdentityKeys, reading: Reading) -> tuple[StreamId, bool]:
    """(whom a row is about, whether they are registered): where two members were found to be one person, who goes on."""
    own = _own(sight, identity, reading)
    if own is None:
        return identity.member(reading.said.cin), False
    return sight.member(own).identity.survivor or own, True


def _own(sight: Seen, identity: IdentityKeys, reading: Reading) -> StreamId | None:
    """Who holds the CIN of a row; where nobody does, whom a person named."""
    row = reading.row
    named = row.member if row.released_by and row.member and sight.member(row.member).registered else None
    return sight.holder(identity.cin_claim(reading.said.cin)) or named


def alike(sight: Sight, called: Iterable[StreamId], given_name: str, row: Row) -> tuple[StreamId, ...]:
    """Of members of the last name and birth date that a row says, those whom it may mean: for a person to say."""
    people = dict.fromkeys(sight.member(one).identity.survivor or one for one in called)
    return tuple(
        one
        for one in people
        if not sight.member(one).erased
        and first_names_agree(sight.member(one).given_name, given_name) is not False
        and not sight.disowned(one, str(row.inbox_id))
    )


def compared(sight: Sight, member: StreamId, said: RosterRow, row: Row) -> Likely:
    """What speaks for a row's being about a member."""
    known = candidate(sight, member, in_full=True)
    keys = MemberKeys(
        family_name=said.family_name, given_name=said.given_name, birth_date=said.birth_date, sex=said.sex.upper()[:1],
        phone=shared([phone_key(phone) for phone in said.phones], known),
    )  # fmt: skip
    return score(keys, known, weights_on(row.received_at.date()))


def open_episode(sight: Seen, member: StreamId, plan: str) -> StreamId | None:
    """The open episode of the person, whichever of their members holds it: the plan's, where there are two."""
    episodes = sight.open_episodes(member)
    return next((one for one in episodes if sight.episode(one).plan == plan), episodes[0] if episodes else None)


def _dead(sight: Seen, member: StreamId) -> bool:
    return any(sight.member(one).death() is not None for one in sight.person(member))


def asked(sight: Seen, identity: IdentityKeys, reading: Reading, before: Listing | None, now: datetime) -> Asked | Settlement:
    """What a row asks for; or what becomes of it where that is nothing."""
    said = reading.said
    assert isinstance(said, RosterRow)
    member, registered = member_of(sight, identity, reading)
    work = Asked(reading, identity, member, f"source:plan-{reading.plan}", notes=list(said.notes))
    own = _own(sight, identity, reading)
    if own is not None and (conflict := _identity_conflict(work, said, own, sight.member(own))) is not None:
        return conflict
    if registered and sight.holder(identity.cin_claim(said.cin)) is None:
        work.note("cin", "we know this member under another CIN", "say which of the two is the newer one")
    match said.action:
        case "add" if over(reading, said):
            refused = _taken_back(sight, work, said, "assignment_ended", now)
        case "add":
            refused = _listed(sight, work, said, registered, before, now)
        case "term":
            refused = _taken_back(sight, work, said, said.term_reason or PLAN_FILE, now)
        case _:
            refused = _not_to_be_served(sight, work, said, registered, before)
    if refused is not None:
        return refused
    if work.waiting is not None:
        return work
    listed = said.action == "add" and not over(reading, said)
    points = tuple(identity.contact_point(member, kind.value, value) for kind, value in _points(said))
    work.listing = Listing(member, reading.digest, listed, reading.file, points)
    return work


def over(reading: Reading, said: RosterRow) -> bool:
    """Whether the assignment had ended before the file came."""
    return said.ends_on is not None and said.ends_on < local_date(reading.row.received_at, OFFICE_ZONE)


def _points(said: RosterRow) -> list[tuple[PointKind, str]]:
    points = [*((PointKind.PHONE, p) for p in said.phones), (PointKind.EMAIL, said.email), (PointKind.ADDRESS, said.address)]
    return [(kind, value) for kind, value in points if value]


def _listed(
    sight: Seen, work: Asked, said: RosterRow, registered: bool, before: Listing | None, now: datetime
) -> Settlement | None:
    state = sight.member(work.member)
    if _dead(sight, work.member):
        because = "the member is reported dead; if that is wrong, a supervisor withdraws the report"
        return work.reading.waits("reported_dead", "cin", because, "tell the plan, or ask who is meant", work.member)
    if not registered:
        work.registers = True
        work.add("register", RegisterMember(
            stream=work.member, cin_claim=work.identity.cin_claim(said.cin), cin=said.cin, family_name=said.family_name,
            given_name=said.given_name, birth_date=said.birth_date.isoformat(), language=said.language, sex=said.sex,
            race_ethnicity=said.race_ethnicity, **work.said(),
        ))  # fmt: skip
    else:
        work.may_have("register")
    listing = ListedByPlan(plan=work.reading.plan, first_day=said.effective_on, last_day=said.ends_on)
    if state.plans(work.reading.row.received_at).get(work.reading.plan) != listing:
        work.add("listed", ListByPlan(
            stream=work.member, plan=listing.plan, first_day=listing.first_day, last_day=listing.last_day, **work.said()
        ))  # fmt: skip
    work.may_have("listed")
    _contact(work, said, state)
    _life(work, said, state)
    return _assigned(sight, work, said, before, now)


def _contact(work: Asked, said: RosterRow, state: Member) -> None:
    """New ways to reach the member. What is known keeps its origin and what was found out about it (scenario 10)."""
    now = work.reading.row.received_at
    for kind, value in _points(said):
        point = work.identity.contact_point(work.member, kind.value, value)
        known = state.points.get(point)
        if known is None:
            work.add(f"point|{point}", LearnContactPoint(
                stream=work.member, point=point, kind=kind, learned_from=PLAN_FILE, value=value, **work.said()
            ))  # fmt: skip
        else:
            work.may_have(f"point|{point}")
            if known.bad(now):
                work.note(
                    kind.value, "it was tried and does not reach the member", "see the file of new contact points that we return"
                )


def _life(work: Asked, said: RosterRow, state: Member) -> None:
    """What the plan says of the member's life, once: files repeat for months what we know better by then (S1)."""
    from_plan = {"learned_from": PLAN_FILE, **work.said()}
    noted = (e.fact for e in state.life.noted if isinstance(e.fact, CircumstanceNoted))
    if said.homeless and not any(f.circumstance is Circumstance.HOMELESS and f.learned_from == PLAN_FILE for f in noted):
        work.add("homeless", NoteCircumstance(stream=work.member, circumstance=Circumstance.HOMELESS, **from_plan))
    counties = [county_named(e.fact.county) for e in state.life.counties if e.fact.learned_from == PLAN_FILE]
    if county_named(said.county) and county_named(said.county) != (counties[-1] if counties else ""):
        work.add("county", LearnCounty(stream=work.member, county=said.county, **from_plan))
    work.may_have("homeless", "county", "identity", "tier", "populations", "assign", "resend", "again", "referral")


def _identity_conflict(work: Asked, said: RosterRow, own: StreamId, state: Member) -> Settlement | None:
    """A CIN that stands for somebody else here waits for a person: a twin has the same last name and birth date (domain.md 7,
    scenario 6). A new last name alone is taken over."""
    reading = work.reading
    if state.erased:
        return reading.waits("member_erased", "cin", "this person's data was erased", "ask a supervisor", work.member)
    dates = state.birth_date == said.birth_date.isoformat()
    families = names_agree(state.family_name, said.family_name)
    givens = first_names_agree(state.given_name, said.given_name)
    if not reading.row.released_by:
        if not dates:
            because = "another birth date is known under this CIN"
            return reading.waits("birth_date_conflict", "birth_date", because, "ask the plan which is right", work.member)
        if givens is False:
            because, column = "another person is known under this CIN", "last_name" if families is False else "first_name"
            return reading.waits("identity_conflict", column, because, "ask the plan who holds it", work.member)
    if not (dates and families is not False and givens is not False):
        work.add("identity", CorrectIdentity(
            stream=own, family_name=said.family_name, given_name=said.given_name,
            birth_date=said.birth_date.isoformat(), reason=PLAN_FILE, **work.said(),
        ))  # fmt: skip
    return None


def _assigned(sight: Seen, work: Asked, said: RosterRow, before: Listing | None, now: datetime) -> Settlement | None:
    reading = work.reading
    open_, claim = open_episode(sight, work.member, reading.plan), sight.claim(claim_on_open_episode(work.member))
    said_no = any(sight.claim(claim_on_open_episode(one)).released_because in MEMBER_SAID_NO for one in sight.person(work.member))
    listed_before = before is not None and before.listed
    if open_ is not None and sight.episode(open_).plan == reading.plan:
        _listed_again(work, said, open_, sight.episode(open_), before)
    elif open_ is not None and not _settled_between_plans(reading):
        because = "the member has an open episode under another plan; one assignment governs at a time"
        work.waiting = reading.waits(
            ANOTHER_PLAN, "plan_id", because, "settle with both plans from when on whose it is", work.member
        )
    elif open_ is not None:
        changed = {**work.said(), "by": reading.row.released_by}
        work.add("changed", CloseEpisode(stream=open_, reason=ClosureReason.CHANGED_PLAN, **changed))
        _assign(work, said)
    elif said_no:
        work.reason = "declined_before"
        work.note("cin", "the member said no to us and is not taken on again by a list", "take them off it, or refer them anew")
    elif listed_before and claim.released_because != ClosureReason.ASSIGNMENT_WITHDRAWN and not _anew(sight, work, said, now):
        work.reason = "closed_before"  # the plan has not taken our closure in yet: still listing is not listing anew
        work.note("cin", "the episode was closed; listing the member still does not open another", "take in our return file")
    else:
        _assign(work, said)
    return None


def _anew(sight: Seen, work: Asked, said: RosterRow, now: datetime) -> bool:
    """Whether the plan cannot mean an assignment of its own that ended: there was none, or its first day lies after the end."""
    last = sight.claim(claim_on_open_episode(work.member)).last_holder
    if last is None or sight.episode(last).plan != work.reading.plan:
        return True
    closure = sight.episode(last).closure(now)
    return closure is not None and said.effective_on is not None and said.effective_on > local_date(closure[1], OFFICE_ZONE)


def _settled_between_plans(reading: Reading) -> bool:
    """Whether a person let the row go on that waited because of another plan: whoever said who the member is did not say so."""
    problems = (reading.row.outcome or {}).get("problems", ())
    return bool(reading.row.released_by) and any(problem["field"] == "plan_id" for problem in problems)


def _assign(work: Asked, said: RosterRow) -> None:
    reading = work.reading
    episode = work.identity.episode(reading.row.inbox_id)
    work.add("assign", ReceiveAssignment(
        stream=episode, member=work.member, plan=reading.plan, received_at=reading.row.received_at,
        effective_on=said.effective_on, authorized_on=said.authorized_on, referral_source=said.referral_source,
        plan_tier=said.tier, **work.said(),
    ))  # fmt: skip
    if said.populations:
        work.add("populations", ReportPlanPopulations(stream=episode, populations=said.populations, **work.said()))


def _listed_again(work: Asked, said: RosterRow, stream: StreamId, episode: Episode, before: Listing | None) -> None:
    """The plan lists the member whom we serve for it: no clock restarts (domain.md 2.3). What was asked of the plan is answered."""
    reading, received_at = work.reading, work.reading.row.received_at
    if said.tier and said.tier != plan_tier(episode, received_at):
        work.add("tier", ReportPlanTier(stream=stream, tier=said.tier, **work.said()))
    if said.populations and said.populations != plan_populations(episode.said):
        work.add("populations", ReportPlanPopulations(stream=stream, populations=said.populations, **work.said()))
    if missing(episode.said) is not None:
        work.add("again", NameOnRosterAgain(stream=stream, file=str(reading.file), **work.said()))
    elif before is not None and before.listed and before.file != reading.file:
        work.add("resend", ResendAssignment(stream=stream, received_at=received_at, **work.said()))
    listed_anew = before is None or not before.listed
    if listed_anew and len(waiting := [r for r in referrals(episode.said) if r.waits]) == 1:
        told_on = local_date(received_at, OFFICE_ZONE)
        work.add("referral", AnswerReferral(
            stream=stream, answer=PlanAnswer.APPROVED, communicated_on=told_on, referral=waiting[0].id,
            first_day=said.authorized_on, **work.said(),
        ))  # fmt: skip


def _taken_back(sight: Seen, work: Asked, said: RosterRow, reason: str, now: datetime) -> Settlement | None:
    """The plan ends the assignment: on its own last day, not on the day on which it says so."""
    reading, row = work.reading, work.reading.row
    open_ = open_episode(sight, work.member, work.reading.plan)
    ours = open_ is not None and sight.episode(open_).plan == reading.plan
    on_list = reading.plan in sight.member(work.member).plans(row.received_at)
    over_at = end_of_day(said.ends_on, OFFICE_ZONE) if said.ends_on is not None else row.received_at
    if (ours or on_list) and now < over_at and not row.released_by:
        because = "the assignment ends on a later day"
        waits = reading.waits(ENDS_LATER, "assignment_end_date", because, "nothing: it ends when that day is over", work.member)
        return replace(waits, again_at=over_at)
    work.may_have("withdraw", "taken_off")
    ended = {**work.said(), "occurred_at": max(row.received_at, min(over_at, now))}
    if on_list:
        work.add("taken_off", TakeOffByPlan(stream=work.member, plan=reading.plan, reason=reason, **ended))
    if not ours:
        if said.action == "add" and not work.orders:
            because = "the assignment had ended before the file came, and we have none of this plan's"
            return reading.left_out("assignment_over", "assignment_end_date", because, "leave it out, or correct the end date")
        work.reason = "not_assigned"
        return None
    assert open_ is not None
    work.add("withdraw", WithdrawAssignment(stream=open_, reason=reason, **ended))
    return None


def _not_to_be_served(sight: Seen, work: Asked, said: RosterRow, registered: bool, before: Listing | None) -> Settlement | None:
    """The plan itself says that the member opted out, is served by somebody else, or died. An open episode is for people to end."""
    reading, open_ = work.reading, open_episode(sight, work.member, work.reading.plan) if registered else None
    ours = open_ is not None and sight.episode(open_).plan == reading.plan
    if said.action == "deceased" and registered:
        if not _dead(sight, work.member):
            work.add("death", ReportDeath(stream=work.member, source="plan", **work.said()))
        work.may_have("death")
        return None
    if not ours:
        work.reason = f"{said.action}_at_plan"
        because = {
            "opted_out": "the plan says that they opted out",
            "elsewhere": "the plan says that another provider serves them",
            "deceased": "the plan says that they died",
        }[said.action]
        remedy = "leave them out of the list of members to serve"
        if before is None or not before.listed:
            return reading.left_out(work.reason, "record_action", because, remedy)
        work.note("record_action", because, remedy)  # kept as no longer listed: a later listing is a new one
        return None
    assert open_ is not None
    if said.action == "elsewhere":
        work.add("conflict", RaiseConflict(stream=open_, conflict=Conflict.OTHER_PROVIDER, programme="plan_file", **work.said()))
        work.may_have("conflict")
        work.note("record_action", "we serve this member; a person settles it", "tell us which provider's authorisation stands")
        return None
    because = "the plan says that they opted out, and we serve them"
    return reading.waits("opted_out_at_plan", "record_action", because, "ask the member, then record what they said", work.member)
