"""Takes referrals: stored, matched, and turned into an episode like a file's row (domain.md 2.12).

Whoever is known already gets it on their episode; who is not becomes a new member; where the match is doubtful it waits for a
person, as a message does, and is taken up again once somebody said whose it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID, uuid5

import psycopg
from psycopg_pool import PoolTimeout

from domain.core import Command, Refusal, StreamId
from domain.episode.facts import MEMBER_SAID_NO
from domain.episode.referrals import ReceiveReferral, ReferralReceived, WithdrawReferral, referrals
from domain.episode.state import Episode, claim_on_open_episode
from domain.member.decider import Claim as ClaimState
from domain.member.decider import LearnContactPoint, Member, RegisterMember
from domain.member.facts import PointKind
from domain.member.person import streams_of
from domain.policy import PLAN_UNKNOWN
from eventlog.clock import Clock
from eventlog.gateway import Conflict, Gateway, Order
from eventlog.keys import CannotUnwrap
from eventlog.opening import PolicyShelf
from eventlog.recorder import LogAway
from intake.applying.apply import BY_HAND, Busy
from intake.files.memberfile import RowProblem
from intake.files.profiles import expect_plan
from intake.people.identity import IdentityKeys
from intake.people.index import IdentityIndex
from intake.people.matching import POSSIBLE_MEMBER, Matched, Reason, Review
from intake.people.readings import Sight
from intake.people.recognising import Asked, Found, Recogniser
from intake.reading.fhir import Refused
from intake.referrals import service_request
from intake.referrals.referral import REFERRAL_PARSER, Faulty, InboundReferral, read_form, read_rows
from intake.senders.sources import Sources
from intake.store.claims import Claim, next_of_files
from intake.store.inbox import Arrival, Inbox, Row, Settlement, Status, UnknownMessage

TRANSPORT: Final = "referral"
FORM_KIND: Final = "referral"
FHIR_KIND: Final = "ServiceRequest"
FILE_KIND: Final[LiteralString] = "referral_file"
BY_STAFF: Final = "staff"
"""The inbox's source of what staff enter; who it was stands beside it."""

TAKEOVER: Final = timedelta(minutes=2)
"""When a worker goes on with a referral whose taker is gone."""
PROBLEMS_SHOWN_MAX: Final = 1_000
_IDS: Final = UUID("9a3c4b0e-5d1f-5e62-8f37-2b7c6d5e4f30")

OPENED, ADDED, AGAIN, TO_BE_REENGAGED, WITHDRAWN = "", "added_to_open_episode", "said_before", "declined_before", "withdrawn"
"""What a referral led to: an episode; a line on the one that is open; nothing; a proposal to try again; an end of waiting."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a referral. `status` as of every message; `member` and `episode` are for staff, never for who referred."""

    inbox_id: UUID
    status: Status
    reason: str
    repeated: bool = False
    referral: str = ""
    member: StreamId | None = None
    episode: StreamId | None = None
    answer_due_at: datetime | None = None
    problems: tuple[RowProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferralFileReceipt:
    """What became of a file of referrals. `rows` = `accepted` + `repeated` + `waiting` + `rejected`. `duplicate`: the same bytes
    were here before."""

    file_id: UUID
    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    waiting: int = 0
    rejected: int = 0
    duplicate: bool = False
    problems: tuple[RowProblem, ...] = ()


@dataclass(slots=True)
class _Work:
    claim: Claim
    identity: IdentityKeys
    by: str
    at: datetime
    orders: list[Order] = field(default_factory=list)

    def add(self, what: str, said_as: Callable[..., Command], /, **said: Any) -> None:
        inbox_id = self.claim.row.inbox_id
        command = said_as(by=self.by, occurred_at=self.at, message_id=str(inbox_id), **said)
        command_id = self.identity.command(inbox_id, what)
        self.orders.append(Order(command=command, command_id=command_id, causation=str(inbox_id), correlation=str(inbox_id)))


def _quiet(done: int, of: int) -> None:
    """No progress is shown."""


class ReferralDesk:
    """Takes referrals one by one, from whichever way in. Thread-safe."""

    def __init__(
        self,
        inbox: Inbox,
        gateway: Gateway,
        identity: IdentityKeys,
        index: IdentityIndex,
        clock: Clock,
        sources: Sources,
        book: PolicyShelf,
    ) -> None:
        self._inbox = inbox
        self._gateway = gateway
        self._identity = identity
        self._index = index
        self._recogniser = Recogniser(identity, index)
        self._clock = clock
        self._sources = sources
        self._book = book

    # -- taking

    def expect_plan(self, plan: str) -> None:
        """Raises PlanUnknown where there is no such health plan: said before anything is kept, it can be put right at once."""
        expect_plan(self._book(), plan)

    def no_plan(self, plan: str) -> str:
        """The same in words, for who names a plan in a coverage."""
        known = ", ".join(sorted(self.plans())) or "none yet"
        return f"{plan!r} is no health plan of ours; name one of {known} as payor.identifier.value, or send no Coverage"

    def plans(self) -> frozenset[str]:
        """The health plans that there are."""
        return frozenset(self._book().plans)

    def take(
        self,
        raw: bytes,
        *,
        source_id: str,
        control_id: str = "",
        kind: str = FORM_KIND,
        by: str = "",
        trace: str = "",
        at_once: bool = True,
    ) -> Taken:
        """Store a referral and work it off (`at_once`; else a worker does). `by`: the member of staff who enters it. Raises
        CannotStore: then it is not taken."""
        now = self._clock.now()
        arrival = Arrival(raw=raw, source_id=source_id, transport=TRANSPORT, control_id=control_id, kind=kind, peer=by, trace=trace)
        stored = self._inbox.store(arrival, now, due=now + TAKEOVER if at_once else now)
        if at_once and stored.status is Status.RECEIVED:
            self._index.catch_up(now)
            self.work_off(stored.inbox_id)
        return self.taken(stored.inbox_id, repeated=stored.repeated)

    def keep(self, raw: bytes, *, source_id: str, status: Status, reason: str, trace: str = "") -> None:
        """Store what is no referral itself: what cannot be one, as dead, and a body whose requests are stored beside it. Nobody can
        say later that it was never sent. Raises CannotStore."""
        arrival = Arrival(
            raw=raw, source_id=source_id, transport=TRANSPORT, control_id="", kind=FHIR_KIND, trace=trace, status=status,
            reason=reason,
        )  # fmt: skip
        self._inbox.store(arrival, self._clock.now())

    def import_file(self, raw: bytes, *, plan: str, by: str, progress: Progress = _quiet) -> ReferralFileReceipt:
        """Takes every row of a file that can be read, and names the others. `plan`: of rows that name none. Raises FileRefused,
        PlanUnknown, CannotStore, LogAway."""
        self.expect_plan(plan)
        rows = read_rows(raw, plan)
        digest = hashlib.sha256(raw).hexdigest()
        file = Arrival(
            raw=raw, source_id=BY_STAFF, transport=TRANSPORT, control_id=digest, kind=FILE_KIND, peer=by, status=Status.APPLIED
        )
        stored = self._inbox.store(file, self._clock.now())
        problems: list[RowProblem] = []
        counts = dict.fromkeys(("accepted", "repeated", "waiting", "rejected"), 0)
        for done, row in enumerate(rows, start=1):
            body = json.dumps(row.form, ensure_ascii=False, sort_keys=True).encode()
            control_id = str(row.form.get("id") or f"{digest}:{row.number}")
            taken = self.take(body, source_id=BY_STAFF, control_id=control_id, by=by)
            counts[_counted(taken)] += 1
            problems += [RowProblem(row.number, p.field, p.reason, p.remedy) for p in taken.problems]
            progress(done, len(rows))
        return ReferralFileReceipt(
            file_id=stored.inbox_id,
            rows=len(rows),
            duplicate=stored.repeated,
            problems=tuple(problems[:PROBLEMS_SHOWN_MAX]),
            **counts,
        )

    def taken(self, inbox_id: UUID, *, repeated: bool = False) -> Taken:
        """What became of a referral so far. Raises UnknownMessage."""
        row = self._inbox.show(inbox_id).row
        told = row.outcome or {}
        due = told.get("answer_due_at")
        return Taken(
            inbox_id=inbox_id,
            status=row.status,
            reason=row.reason,
            repeated=repeated,
            referral=str(told.get("referral", "")),
            member=row.member,
            episode=told.get("episode"),
            answer_due_at=datetime.fromisoformat(due) if due else None,
            problems=tuple(RowProblem(**problem) for problem in told.get("problems", ())),
        )

    def found(self, inbox_id: UUID, *, source: str | None = None) -> Taken | None:
        """What became of a referral so far; None where there is none, or none of that source."""
        try:
            row = self._inbox.show(inbox_id).row
        except UnknownMessage:
            return None
        if row.transport != TRANSPORT or (source is not None and row.source_id != source):
            return None
        return self.taken(inbox_id)

    def work_off(self, inbox_id: UUID) -> Status | None:
        """Applies one referral; None where somebody else has it or had it. Raises LogAway and what else says that the database is
        away: then it is taken up again by a worker."""
        try:
            with next_of_files(self._inbox, self._clock.now(), inbox_id) as claim:
                if claim is None:
                    return None
                settlement = self.apply(claim)
                claim.settle(settlement, self._clock.now())
                return settlement.status
        except (LogAway, CannotUnwrap, psycopg.OperationalError, PoolTimeout):
            raise
        except Exception as failure:
            return self._inbox.fail(inbox_id, type(failure).__name__, self._clock.now())

    def apply(self, claim: Claim) -> Settlement:
        """What becomes of one referral. Raises Busy, LogAway, CannotUnwrap."""
        row, raw = claim.row, claim.raw()
        if raw is None:
            return Settlement(status=Status.DEAD, reason="bytes_erased", parser=REFERRAL_PARSER)
        said = self._read(row, raw)
        if isinstance(said, Faulty):
            outcome = {"problems": [asdict(problem) for problem in said.problems]}
            return Settlement(status=Status.DEAD, reason="referral_faulty", outcome=outcome, parser=REFERRAL_PARSER)
        if not said.withdrawn and said.plan not in self.plans():
            return self._of_no_plan(row)
        claim.one_at_a_time(self._lock(said))
        whose = self._whose(claim, said)
        if isinstance(whose, Settlement):
            return whose
        member, evidence, registered = whose
        return self._applied(claim, said, member, evidence, registered=registered)

    def _read(self, row: Row, raw: bytes) -> InboundReferral | Faulty:
        if row.kind != FHIR_KIND:
            return read_form(raw, row.received_at.date())
        found = service_request.read_requests(raw)
        source = self._sources.named(row.source_id)
        if isinstance(found, Refused) or source is None:
            where, remedy = (found.expression, found.remedy) if isinstance(found, Refused) else ("source", "register the source")
            return Faulty((RowProblem(0, where, "it cannot be read", remedy),))
        # A request that came with others is stored by itself; those that were kept before that have the whole body.
        number = int(row.control_id.rpartition("#")[2] or 0) if len(found.requests) > 1 else 0
        return service_request.read_request(found, number, source, row.received_at, self.plans())

    def _of_no_plan(self, row: Row) -> Settlement:
        """What was taken already waits for its plan, which its sender may not be able to say better; what is entered here is put
        right by whoever entered it. Either is taken up anew once the plan is there."""
        known = ", ".join(sorted(self.plans())) or "none yet"
        if row.kind == FHIR_KIND:
            status, how = Status.WAITING, "correct the source's plan_of_referrals, or adopt the new plan's policy, then replay this"
        else:
            status, how = Status.DEAD, "write one of those, or adopt the new plan's policy and replay this"
        problem = RowProblem(0, "plan", f"it is no health plan of ours (those are: {known})", how)
        return Settlement(status=status, reason=PLAN_UNKNOWN, outcome={"problems": [asdict(problem)]}, parser=REFERRAL_PARSER)

    def _lock(self, said: InboundReferral) -> str:
        person = said.person
        if person.cins:
            return self._identity.cin_claim(person.cins[0])
        return self._identity.digest("referred", person.family_name, str(person.birth_date)).hex()

    # -- whose it is

    def _whose(self, claim: Claim, said: InboundReferral) -> tuple[StreamId, str, bool] | Settlement:
        """(member, evidence, whether they are registered), or why it waits."""
        row, person = claim.row, said.person
        by_hand = row.member if row.released_by and row.member else None
        seen = self._recogniser.see(claim.conn, Sight(self._gateway), (Asked(person, by_hand=by_hand),))
        if by_hand is not None:
            return by_hand, BY_HAND, True
        found = self._recogniser.recognise(seen, person, None, str(row.inbox_id), row.received_at.date())
        if found.erased:
            return _waits(Status.IGNORED, Reason.ERASED.value)
        match found.match:
            case Matched(member=member, evidence=evidence):
                return member, evidence, True
            case Review(reason=why):
                return _waits(Status.WAITING, why.value, found)
            case _ if found.match.proposed or any(one.strong for one in found.likely):
                return _waits(Status.WAITING, POSSIBLE_MEMBER, found)
            case _ if not person.cins or not person.family_name or person.birth_date is None:
                lacking = "no_cin" if not person.cins else "identity_incomplete"
                return _waits(Status.UNMATCHED, lacking, found, self._recogniser.lookup(seen, person))
            case _:
                return self._identity.member(person.cins[0]), "cin", False

    # -- what follows

    def _applied(self, claim: Claim, said: InboundReferral, member: StreamId, evidence: str, *, registered: bool) -> Settlement:
        row = claim.row
        by_staff = row.peer.startswith("staff-")
        by = row.peer if by_staff else f"source:{row.source_id}"
        # When it reached us is ours to say: a sender's own date would open an episode whose first deadline is missed already.
        came_at = min(said.received_at, row.received_at) if by_staff and said.received_at is not None else row.received_at
        work = _Work(claim, self._identity, by, came_at)
        referral = self._referral_id(row, said)
        episode, holder, reason = self._episode_for(member, row.inbox_id)
        if said.withdrawn:
            return self._withdrawn(work, member, evidence, referral, episode)
        if registered and any(self._member(one).death() is not None for one in streams_of(member, self._member)):
            return _waits(Status.WAITING, "member_died")
        if not registered:
            self._register(work, said, member)
        if said.phone:
            point = self._identity.contact_point(member, PointKind.PHONE.value, said.phone)
            if not registered or point not in self._member(member).points:
                work.add(f"point|{point}", LearnContactPoint, stream=member, point=point, kind=PointKind.PHONE,
                         learned_from=TRANSPORT, value=said.phone)  # fmt: skip
        work.add(
            "referral", ReceiveReferral, stream=episode, member=holder, plan=said.plan, referral=referral, source=said.source,
            organisation=said.organisation, urgency=said.urgency, populations=said.populations,
            referred_by=said.referred_by or None, reason=said.reason or None,
        )  # fmt: skip
        return self._settled(work, member, evidence, referral, episode, reason)

    def _referral_id(self, row: Row, said: InboundReferral) -> str:
        """The same for the same sender's same id, however often it is sent and whatever else it says."""
        if not said.external_id:
            return str(row.inbox_id)
        return str(uuid5(_IDS, self._identity.digest("referral", row.source_id, said.external_id).hex()))

    def _episode_for(self, member: StreamId, inbox_id: UUID) -> tuple[StreamId, StreamId, str]:
        """(the episode that takes the referral, whose it is, what that means): the open one; of somebody who said no the last one,
        which stays closed; else a new one. Whichever member of the person has it."""
        claims = {one: self._claim(claim_on_open_episode(one)) for one in streams_of(member, self._member)}
        for one, claim in claims.items():
            if claim.holder is not None:
                return claim.holder, one, ADDED
        for one, claim in claims.items():
            if claim.last_holder is not None and claim.released_because in MEMBER_SAID_NO:
                return claim.last_holder, one, TO_BE_REENGAGED
        return self._identity.episode(inbox_id), member, OPENED

    def _register(self, work: _Work, said: InboundReferral, member: StreamId) -> None:
        person = said.person
        assert person.birth_date is not None
        work.add(
            "register", RegisterMember, stream=member, cin_claim=self._identity.cin_claim(person.cins[0]), cin=person.cins[0],
            family_name=person.family_name, given_name=person.given_name, birth_date=person.birth_date.isoformat(), sex=person.sex,
            **({"language": said.language} if said.language else {}),
        )  # fmt: skip

    def _withdrawn(self, work: _Work, member: StreamId, evidence: str, referral: str, episode: StreamId) -> Settlement:
        state = self._gateway.load(episode).state
        assert isinstance(state, Episode)
        if not any(known.id == referral for known in referrals(state.said)):
            return Settlement(
                status=Status.IGNORED, reason="nothing_to_withdraw", member=member, evidence=evidence, parser=REFERRAL_PARSER
            )
        work.add("withdraw", WithdrawReferral, stream=episode, referral=referral, reason="taken_back_by_sender")
        return self._settled(work, member, evidence, referral, episode, WITHDRAWN)

    def _settled(self, work: _Work, member: StreamId, evidence: str, referral: str, episode: StreamId, reason: str) -> Settlement:
        outcome = self._gateway.handle_many(work.orders)
        if isinstance(outcome, Conflict):
            raise Busy
        if isinstance(outcome, Refusal):
            problem = RowProblem(0, "referral", outcome.because, "see the member")
            return Settlement(
                status=Status.WAITING, reason=outcome.code, member=member, evidence=evidence, parser=REFERRAL_PARSER,
                outcome={"problems": [asdict(problem)]},
            )  # fmt: skip
        caused = [recorded for accepted in outcome for recorded in accepted.facts]
        due = next((r.fact.answer_due_at for r in caused if isinstance(r.fact, ReferralReceived)), None)
        said = {"referral": referral, "episode": episode, "answer_due_at": due.isoformat() if due is not None else None}
        return Settlement(
            status=Status.APPLIED if caused else Status.DUPLICATE,
            reason=reason if caused else AGAIN,
            member=member,
            evidence=evidence,
            parser=REFERRAL_PARSER,
            outcome=said,
            caused=tuple((recorded, self._gateway.log.codec.name_of(recorded.fact)) for recorded in caused),
        )

    def _claim(self, stream: StreamId) -> ClaimState:
        state = self._gateway.load(stream).state
        assert isinstance(state, ClaimState)
        return state

    def _member(self, stream: StreamId) -> Member:
        state = self._gateway.load(stream).state
        assert isinstance(state, Member)
        return state


def _counted(taken: Taken) -> str:
    if taken.repeated or taken.status is Status.DUPLICATE:
        return "repeated"
    if taken.status is Status.APPLIED:
        return "accepted"
    return "rejected" if taken.status in (Status.DEAD, Status.IGNORED) else "waiting"


def _waits(status: Status, reason: str, found: Found | None = None, lookup: tuple[bytes, ...] = ()) -> Settlement:
    proposed, outcome = (found.proposed, found.outcome) if found is not None else ((), None)
    return Settlement(status=status, reason=reason, proposed=proposed, outcome=outcome, lookup=lookup, parser=REFERRAL_PARSER)
