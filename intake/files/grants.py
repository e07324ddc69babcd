"""What a row of an authorisation file asks of the log: days granted, extended, denied or ended (domain.md 2.2, 2.5).

A row about somebody whom we do not know, or do not serve for this plan, waits until they are known; it is never dropped.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from domain.calendar import local_date
from domain.core import Command, Instant, StreamId
from domain.episode.authorisations import (
    AuthorisationBasis,
    AuthorisationGranted,
    DenyAuthorisation,
    GrantAuthorisation,
)
from domain.episode.referrals import AnswerReferral, PlanAnswer, referrals
from domain.episode.state import Episode
from domain.member.decider import Member
from domain.staff.decider import OFFICE_ZONE
from intake.files.lines import Asked, Reading, not_taken
from intake.files.listing import Seen, member_of
from intake.files.memberfile import AuthorisationRow
from intake.files.tables import ROWS_MAX
from intake.people.identity import IdentityKeys
from intake.reading.identifiers import first_names_agree, names_agree
from intake.store.inbox import NOT_ASSIGNED, Settlement, Status

NO_REASON: Final = "the plan gave no reason"
_ANSWERS: Final = {"approved": PlanAnswer.APPROVED, "denied": PlanAnswer.DENIED}
"""What an authorisation file says to a referral that waits for the plan's word."""


def asked(sight: Seen, identity: IdentityKeys, reading: Reading) -> Asked | Settlement:
    """What a row asks for; or what becomes of it where that is nothing."""
    said = reading.said
    assert isinstance(said, AuthorisationRow)
    member, registered = member_of(sight, identity, reading)
    if not registered:
        return _unmatched(reading, said)
    state = sight.member(member)
    if not reading.row.released_by and (conflict := _somebody_else(reading, said, state, member)) is not None:
        return conflict
    if said.decision == "pending":
        return reading.left_out(
            "pending_at_plan", "decision", "the plan has not decided yet", "send the row again with the decision"
        )
    episode = _episode(sight, member, reading.plan)
    if episode is None:
        because = "we do not serve this member for this plan; the row is taken up when we do"
        return reading.waits(NOT_ASSIGNED, "cin", because, "send the member's row of the member file", member)
    work = Asked(reading, identity, member, f"source:plan-{reading.plan}", notes=list(said.notes))
    command = _command(work, said, episode, sight.episode(episode))
    if isinstance(command, Settlement):
        return command
    work.add("authorisation", command)
    work.may_have("authorisation")
    return work


def _unmatched(reading: Reading, said: AuthorisationRow) -> Settlement:
    """The row is found again by its CIN when somebody becomes known under it."""
    problem = reading.problem(
        "cin", "we do not know this member; the row is taken up when we do", "send the member's own row first"
    )
    waits = not_taken(Status.UNMATCHED, "member_unknown", (problem, *said.notes))
    return Settlement(status=waits.status, reason=waits.reason, outcome=waits.outcome, parser=waits.parser, lookup=(reading.key,))


def _somebody_else(reading: Reading, said: AuthorisationRow, state: Member, member: StreamId) -> Settlement | None:
    if state.erased:
        return reading.waits("member_erased", "cin", "this person's data was erased", "ask a supervisor", member)
    if said.birth_date is not None and state.birth_date != said.birth_date.isoformat():
        because = "another birth date is known under this CIN"
        return reading.waits("birth_date_conflict", "birth_date", because, "ask the plan which is right", member)
    families, givens = names_agree(state.family_name, said.family_name), first_names_agree(state.given_name, said.given_name)
    if givens is False or (families is False and givens is not True):
        because, column = "another person is known under this CIN", "last_name" if families is False else "first_name"
        return reading.waits("identity_conflict", column, because, "ask the plan who holds it", member)
    return None


def _episode(sight: Seen, member: StreamId, plan: str) -> StreamId | None:
    """The episode that a plan's word is about: the open one, else the last one with that plan: its word may come after the end."""
    former = (episode for one in sight.person(member) for episode in reversed(sight.member(one).episodes))
    candidates = (*sight.open_episodes(member), *former)
    sight.fetch(candidates)
    return next((episode for episode in candidates if sight.episode(episode).plan == plan), None)


def _said(work: Asked) -> dict[str, Any]:
    """What the row's command has in common with others. A file says its rows one after the other, all before it came: of
    two about one authorisation the lower one is the last word."""
    row = work.reading.row
    return work.said() | {"occurred_at": row.received_at - timedelta(microseconds=ROWS_MAX - (row.line or 0))}


def _after(asked_at: Instant, said: AuthorisationRow) -> bool:
    """Whether the plan can have decided on what was asked then: a row that is sent again answers nothing that came later."""
    return said.decided_on is None or said.decided_on >= local_date(asked_at, OFFICE_ZONE)


def _command(work: Asked, said: AuthorisationRow, stream: StreamId, episode: Episode) -> Command | Settlement:
    granted = {e.fact.number: e.fact for e in episode.said if isinstance(e.fact, AuthorisationGranted) and e.fact.number}
    known = granted.get(said.number)
    waiting = [r for r in referrals(episode.said) if r.waits and _after(r.at, said)]
    if said.decision in _ANSWERS and len(waiting) == 1 and known is None and not said.request:
        yes = said.decision == "approved"
        told_on = said.decided_on or local_date(work.reading.row.received_at, OFFICE_ZONE)
        return AnswerReferral(
            stream=stream, answer=_ANSWERS[said.decision], communicated_on=told_on, referral=waiting[0].id, number=said.number,
            first_day=said.first_day if yes else None, last_day=said.last_day if yes else None,
            reason="" if yes else said.reason or NO_REASON, **_said(work),
        )  # fmt: skip
    match said.decision:
        case "denied":
            assert said.decided_on is not None
            return DenyAuthorisation(
                stream=stream, communicated_on=said.decided_on, request=said.request, reason=said.reason, **_said(work)
            )
        case "ended":
            assert said.last_day is not None
            if known is None:
                because = "the authorisation that it ends is not known here"
                return work.reading.waits("unknown_authorisation", "auth_number", because, "send the approval first", work.member)
            return GrantAuthorisation(
                stream=stream, basis=known.basis, first_day=known.first_day, last_day=said.last_day,
                authorisation=known.authorisation, number=said.number, **_said(work),
            )  # fmt: skip
        case _:
            basis = known.basis if known is not None and said.decision == "approved" else AuthorisationBasis(said.basis)
            return GrantAuthorisation(
                stream=stream, basis=basis, first_day=said.first_day or (known.first_day if known is not None else None),
                last_day=said.last_day, authorisation=known.authorisation if known is not None else f"plan-{said.number}",
                number=said.number, **_said(work),
            )  # fmt: skip
