"""Applies member files: a plan's list becomes members, contact points and assignments (domain.md 2.3, 2.9; messages.md 5 "Files").

A file and each of its rows stand in the inbox like any message: `file_hash:line`. One bad row never holds up the rest, a file that
was here before leads to nothing, and nobody is taken off the programme because a file does not name them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from domain.core import Command, Refusal, StreamId
from domain.episode.closing import WithdrawAssignment
from domain.episode.decider import ReceiveAssignment, ResendAssignment
from domain.episode.enrolment import ReportPlanTier, plan_tier
from domain.episode.facts import MEMBER_SAID_NO, ClosureReason
from domain.episode.state import Episode, claim_on_open_episode
from domain.member.circumstances import Circumstance, CircumstanceNoted, LearnCounty, NoteCircumstance, county_named
from domain.member.decider import Claim as ClaimState
from domain.member.decider import CorrectIdentity, LearnContactPoint, Member, RegisterMember
from domain.member.facts import PointKind
from eventlog.clock import Clock
from eventlog.gateway import Conflict, Gateway, Order
from eventlog.keys import CannotUnwrap
from eventlog.recorder import LogAway
from intake.apply import Busy
from intake.claims import Claim, next_of_files
from intake.identifiers import cin_of, names_agree
from intake.identity import IdentityKeys
from intake.inbox import Arrival, Inbox, Row, Settlement, Status
from intake.index import IdentityIndex
from intake.memberfile import FileRefused, RosterRow, RowProblem, load_profile, read_row, read_sheet

SHRINK_SHARE_MAX: Final = 0.2
"""A full roster that lacks more than this share of the members listed before is not believed without a person's word."""

TAKEOVER: Final = timedelta(minutes=10)
"""When a worker goes on with a file whose importer is gone."""

PROBLEMS_SHOWN_MAX: Final = 1_000
ROSTER_PARSER: Final = "csv/1"

FILE_KIND: Final = "member_file"
FULL_ROSTER_KIND: Final = "full_roster"

REJECTED: Final = "row_rejected"
UNCHANGED: Final = "unchanged"

PLAN_FILE: Final = "plan_file"

Progress = Callable[[int, int], None]
"""(rows done, rows in all)."""


def _quiet(done: int, of: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a file. `rows` = `accepted` + `unchanged` + `rejected`; `to_review` of the rejected wait for a person.

    `duplicate`: the same bytes were here before, nothing was done. `stopped` says why a whole file waits, and what to do.
    `missing` are members whom the plan listed before and a full roster no longer names: shown, never ended by us.
    """

    file_id: UUID
    plan: str
    rows: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    to_review: int = 0
    duplicate: bool = False
    stopped: str = ""
    problems: tuple[RowProblem, ...] = ()
    missing: tuple[StreamId, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """The commands of one row, in the order in which they have to be decided."""

    claim: Claim
    identity: IdentityKeys
    by: str
    orders: list[Order] = field(default_factory=list)

    def add(self, what: str, command: Command) -> None:
        inbox_id = self.claim.row.inbox_id
        causation, correlation = str(inbox_id), str(self.claim.row.part_of or inbox_id)
        command_id = self.identity.command(inbox_id, what)
        self.orders.append(Order(command=command, command_id=command_id, causation=causation, correlation=correlation))

    def said(self) -> dict[str, Any]:
        """What all commands of the row have in common."""
        row = self.claim.row
        return {"by": self.by, "occurred_at": row.received_at, "message_id": str(row.inbox_id)}


class MemberFiles:
    """Imports member files. Thread-safe; two importers of one file share the work."""

    def __init__(self, inbox: Inbox, gateway: Gateway, identity: IdentityKeys, index: IdentityIndex, clock: Clock) -> None:
        self._inbox = inbox
        self._gateway = gateway
        self._identity = identity
        self._index = index
        self._clock = clock

    def import_file(
        self,
        raw: bytes,
        *,
        plan: str,
        full_roster: bool = False,
        confirmed: bool = False,
        peer: str = "",
        progress: Progress = _quiet,
    ) -> Receipt:
        """Stores a file and applies it. `confirmed` is a person's word that a shrunken full roster is right; `peer` is who sent it.

        Raises FileRefused where it cannot be read as a whole (it is kept as dead), CannotStore, LogAway.
        """
        profile = load_profile(plan)
        now = self._clock.now()
        try:
            read_sheet(raw, profile)
        except FileRefused:
            refused = Arrival(
                raw=raw, source_id=source_of(plan), transport="file", control_id="file", kind=FILE_KIND, peer=peer,
                status=Status.DEAD, reason="file_refused",
            )  # fmt: skip
            self._inbox.store(refused, now)
            raise
        arrival = Arrival(
            raw=raw, source_id=source_of(plan), transport="file", control_id="file", peer=peer,
            kind=FULL_ROSTER_KIND if full_roster else FILE_KIND,
        )  # fmt: skip
        stored = self._inbox.store(arrival, now, due=now + TAKEOVER)
        row = self._inbox.show(stored.inbox_id).row
        if stored.repeated and row.status not in (Status.RECEIVED, Status.WAITING):
            return _receipt(row, duplicate=True)
        if row.status is Status.WAITING:
            if not confirmed:
                return _receipt(row)
            self._inbox.release(row.inbox_id, by=peer or f"source:{source_of(plan)}", now=now)
        return self.carry_on(row.inbox_id, confirmed=confirmed, progress=progress)

    def carry_on(self, file_id: UUID, *, confirmed: bool = False, progress: Progress = _quiet) -> Receipt:
        """Applies what is not yet applied of a stored file: also after a crash in its middle."""
        shown = self._inbox.show(file_id)
        row, raw = shown.row, shown.raw
        assert raw is not None and row.line is None
        plan = plan_of(row.source_id)
        profile = load_profile(plan)
        sheet = read_sheet(raw, profile)
        full = row.kind == FULL_ROSTER_KIND
        missing = self._missing(plan, sheet.rows) if full else ()
        listed = self._listed(plan) if full else 0
        if full and not (confirmed or row.released_by) and len(missing) > SHRINK_SHARE_MAX * listed:
            stopped = (
                f"{len(missing)} of {listed} members listed before are missing from this full roster; nothing was applied. "
                "Ask the plan; if it is right, import it again and confirm."
            )
            return self._finish(row, Receipt(row.inbox_id, plan, rows=len(sheet.rows) + len(sheet.too_wide), stopped=stopped))
        now = self._clock.now()
        lines = [(n, json.dumps(dict(cells), ensure_ascii=False, sort_keys=True).encode()) for n, cells in sheet.rows]
        self._inbox.store_lines(
            row.inbox_id, lines, source_id=row.source_id, file_sha256=row.sha256.hex(), now=row.received_at, due=now + TAKEOVER
        )
        open_lines = self._inbox.open_lines(row.inbox_id)
        for done, line_id in enumerate(open_lines, start=1):
            self.work_off(line_id)
            progress(len(lines) - len(open_lines) + done, len(lines))
        if full:
            self._inbox.unlist(plan, [member for _, member in missing])
        self._index.catch_up(self._clock.now())
        return self._finish(row, self._tally(row, plan, sheet.too_wide, tuple(m for _, m in missing), sheet.flags))

    def work_off(self, line_id: UUID) -> Status | None:
        """Applies one row; None where somebody else has it or had it. What fails on a row is the row's alone. Raises LogAway."""
        try:
            with next_of_files(self._inbox, self._clock.now(), line_id) as claim:
                if claim is None:
                    return None
                settlement = self.apply(claim)
                claim.settle(settlement, self._clock.now())
                return settlement.status
        except (LogAway, CannotUnwrap, psycopg.OperationalError, PoolTimeout):
            raise  # not the row's fault: the file goes on when the database is back
        except Exception as failure:
            return self._inbox.fail(line_id, type(failure).__name__, self._clock.now())

    def apply(self, claim: Claim) -> Settlement:
        """What becomes of one row. Raises Busy, LogAway, CannotUnwrap."""
        raw, row = claim.raw(), claim.row
        if raw is None:
            return Settlement(status=Status.DEAD, reason="bytes_erased", parser=ROSTER_PARSER)
        plan = plan_of(row.source_id)
        assert row.line is not None
        read = read_row(row.line, json.loads(raw), load_profile(plan), row.received_at.date())
        if not isinstance(read, RosterRow):
            return _rejected(Status.DEAD, REJECTED, read)
        return self._apply(claim, read, plan)

    # -- one row

    def _apply(self, claim: Claim, said: RosterRow, plan: str) -> Settlement:
        row = claim.row
        key, digest = self._identity.cin(said.cin), self._identity.digest("roster", plan, repr(said))
        claim.one_at_a_time(self._identity.cin_claim(said.cin))
        before = claim.roster(plan, key)
        listed = said.action != "term"
        if before is not None and before[1:] == (digest, listed) and not row.released_by:
            claim.seen_again(plan, key, row.part_of or row.inbox_id)
            return Settlement(status=Status.DUPLICATE, reason=UNCHANGED, member=before[0], parser=ROSTER_PARSER)
        holder = self._claim_state(self._identity.cin_claim(said.cin)).holder
        member = holder or self._identity.member(said.cin)
        work = _Work(claim, self._identity, f"source:{source_of(plan)}")
        refused: Settlement | str
        if said.action == "term":
            refused = self._term(work, said, plan, member)
        else:
            refused = self._list(work, said, plan, member, holder is not None, before is not None and before[2])
        if isinstance(refused, Settlement):
            return refused
        caused = []
        if work.orders:
            outcome = self._gateway.handle_many(work.orders)
            if isinstance(outcome, Conflict):
                raise Busy
            if isinstance(outcome, Refusal):
                return _rejected(
                    Status.WAITING, outcome.code, (RowProblem(row.line or 0, "row", outcome.because, "see the member"),)
                )
            caused = [recorded for accepted in outcome for recorded in accepted.facts]
        claim.keep_roster(plan, key, member, digest, listed=listed, file_id=row.part_of or row.inbox_id)
        return Settlement(
            status=Status.APPLIED if caused else Status.DUPLICATE,
            reason=refused or ("" if caused else UNCHANGED),
            member=member,
            evidence="cin",
            parser=ROSTER_PARSER,
            caused=tuple((recorded, self._gateway.log.codec.name_of(recorded.fact)) for recorded in caused),
        )

    def _list(
        self, work: _Work, said: RosterRow, plan: str, member: StreamId, registered: bool, listed_before: bool
    ) -> Settlement | str:
        """The commands of a row that lists a member; a reason where one of them is left out."""
        state = self._member(member)
        common = work.said()
        if not registered:
            work.add("register", RegisterMember(
                stream=member, cin_claim=self._identity.cin_claim(said.cin), cin=said.cin, family_name=said.family_name,
                given_name=said.given_name, birth_date=said.birth_date.isoformat(), language=said.language, sex=said.sex,
                race_ethnicity=said.race_ethnicity, **common,
            ))  # fmt: skip
        elif (conflict := self._identity_conflict(work, said, member, state)) is not None:
            return conflict
        points = [*((PointKind.PHONE, p) for p in said.phones), (PointKind.EMAIL, said.email), (PointKind.ADDRESS, said.address)]
        for kind, value in points:
            if not value:
                continue
            point = self._identity.contact_point(member, kind.value, value)
            if point not in state.points:
                work.add(f"point|{point}", LearnContactPoint(
                    stream=member, point=point, kind=kind, learned_from="plan_file", value=value, **common
                ))  # fmt: skip
        self._life(work, said, member, state)
        return self._assign(work, said, plan, member, listed_before)

    def _life(self, work: _Work, said: RosterRow, member: StreamId, state: Member) -> None:
        """What the plan says of the member's life, once: files repeat for months what we know better by then (S1)."""
        from_plan = {"learned_from": PLAN_FILE, **work.said()}
        noted = (e.fact for e in state.life.noted if isinstance(e.fact, CircumstanceNoted))
        if said.homeless and not any(f.circumstance is Circumstance.HOMELESS and f.learned_from == PLAN_FILE for f in noted):
            work.add("homeless", NoteCircumstance(stream=member, circumstance=Circumstance.HOMELESS, **from_plan))
        counties = [county_named(e.fact.county) for e in state.life.counties if e.fact.learned_from == PLAN_FILE]
        if county_named(said.county) and county_named(said.county) != (counties[-1] if counties else ""):
            work.add("county", LearnCounty(stream=member, county=said.county, **from_plan))

    def _identity_conflict(self, work: _Work, said: RosterRow, member: StreamId, state: Member) -> Settlement | None:
        """A CIN that stands for somebody else here waits for a person; a new last or first name alone is taken over."""
        if state.erased:
            return _rejected(
                Status.WAITING, "member_erased", (_problem(work, "cin", "this person's data was erased", "ask a supervisor"),)
            )
        dates = state.birth_date == said.birth_date.isoformat()
        families = names_agree(state.family_name, said.family_name)
        givens = names_agree(state.given_name, said.given_name)
        if not work.claim.row.released_by:
            if not dates:
                problem = _problem(work, "birth_date", "another birth date is known under this CIN", "ask the plan which is right")
                return _rejected(Status.WAITING, "birth_date_conflict", (problem,))
            if families is False and givens is False:
                problem = _problem(work, "last_name", "another person is known under this CIN", "ask the plan who holds it")
                return _rejected(Status.WAITING, "identity_conflict", (problem,))
        if not (dates and families is not False and givens is not False):
            work.add("identity", CorrectIdentity(
                stream=member, family_name=said.family_name, given_name=said.given_name,
                birth_date=said.birth_date.isoformat(), reason="plan_file", **work.said(),
            ))  # fmt: skip
        return None

    def _assign(self, work: _Work, said: RosterRow, plan: str, member: StreamId, listed_before: bool) -> Settlement | str:
        claim = self._claim_state(claim_on_open_episode(member))
        received_at = work.claim.row.received_at
        if claim.holder is not None:
            episode = self._episode(claim.holder)
            if episode.plan != plan:
                problem = _problem(work, "plan_id", "the member has an open episode under another plan", "settle it with the plans")
                return _rejected(Status.WAITING, "assigned_under_another_plan", (problem,))
            if said.tier and said.tier != plan_tier(episode, received_at):
                work.add("tier", ReportPlanTier(stream=claim.holder, tier=said.tier, **work.said()))
            if listed_before:
                work.add("resend", ResendAssignment(stream=claim.holder, received_at=received_at, **work.said()))
            return ""
        if claim.released_because in MEMBER_SAID_NO:
            return "declined_before"
        if claim.last_holder is not None and listed_before and claim.released_because != ClosureReason.ASSIGNMENT_WITHDRAWN:
            return "closed_before"  # the plan has not taken our closure in yet: still listing is not listing anew
        work.add("assign", ReceiveAssignment(
            stream=self._identity.episode(work.claim.row.inbox_id), member=member, plan=plan, received_at=received_at,
            effective_on=said.effective_on, authorized_on=said.authorized_on, referral_source=said.referral_source,
            plan_tier=said.tier, **work.said(),
        ))  # fmt: skip
        return ""

    def _term(self, work: _Work, said: RosterRow, plan: str, member: StreamId) -> str:
        claim = self._claim_state(claim_on_open_episode(member))
        if claim.holder is None or self._episode(claim.holder).plan != plan:
            return "not_assigned"
        work.add("withdraw", WithdrawAssignment(stream=claim.holder, reason=said.term_reason or "plan_file", **work.said()))
        return ""

    # -- the whole file

    def _listed(self, plan: str) -> int:
        return len(self._inbox.listed(plan))

    def _missing(self, plan: str, rows: Sequence[tuple[int, Mapping[str, str]]]) -> tuple[tuple[bytes, StreamId], ...]:
        named = {self._identity.cin(cin) for _, cells in rows if isinstance(cin := cin_of(cells.get("cin", "")), str)}
        return tuple((key, member) for key, member in self._inbox.listed(plan) if key not in named)

    def _tally(
        self, row: Row, plan: str, too_wide: tuple[RowProblem, ...], missing: tuple[StreamId, ...], flags: tuple[str, ...]
    ) -> Receipt:
        counts = self._inbox.line_counts(row.inbox_id)
        problems = [*too_wide, *(RowProblem(**p) for p in self._inbox.line_problems(row.inbox_id, PROBLEMS_SHOWN_MAX))]
        to_review = counts.get(Status.WAITING, 0)
        return Receipt(
            row.inbox_id,
            plan,
            rows=sum(counts.values()) + len(too_wide),
            accepted=counts.get(Status.APPLIED, 0),
            unchanged=counts.get(Status.DUPLICATE, 0),
            rejected=counts.get(Status.DEAD, 0) + counts.get(Status.RECEIVED, 0) + to_review + len(too_wide),
            to_review=to_review,
            problems=tuple(sorted(problems, key=lambda p: p.row))[:PROBLEMS_SHOWN_MAX],
            missing=missing,
            flags=flags,
        )

    def _finish(self, row: Row, receipt: Receipt) -> Receipt:
        with next_of_files(self._inbox, self._clock.now(), row.inbox_id) as claim:
            if claim is not None:
                outcome = {k: v for k, v in asdict(receipt).items() if k not in ("file_id", "problems", "missing")}
                outcome["missing"] = list(receipt.missing)
                outcome["flags"] = list(receipt.flags)
                status, reason = (Status.WAITING, "roster_shrank") if receipt.stopped else (Status.APPLIED, "")
                claim.settle(
                    Settlement(status=status, reason=reason, outcome=outcome, parser=ROSTER_PARSER, flags=receipt.flags),
                    self._clock.now(),
                )
        return receipt

    def _claim_state(self, stream: StreamId) -> ClaimState:
        state = self._gateway.load(stream).state
        assert isinstance(state, ClaimState)
        return state

    def _member(self, stream: StreamId) -> Member:
        state = self._gateway.load(stream).state
        assert isinstance(state, Member)
        return state

    def _episode(self, stream: StreamId) -> Episode:
        state = self._gateway.load(stream).state
        assert isinstance(state, Episode)
        return state


def source_of(plan: str) -> str:
    """The inbox's source of a plan's files."""
    return f"plan-{plan}"


def plan_of(source_id: str) -> str:
    assert source_id.startswith("plan-"), source_id
    return source_id.removeprefix("plan-")


def _problem(work: _Work, column: str, reason: str, remedy: str) -> RowProblem:
    return RowProblem(work.claim.row.line or 0, column, reason, remedy)


def _rejected(status: Status, reason: str, problems: Sequence[RowProblem]) -> Settlement:
    outcome = {"problems": [asdict(problem) for problem in problems]}
    return Settlement(status=status, reason=reason, outcome=outcome, parser=ROSTER_PARSER)


def _receipt(row: Row, *, duplicate: bool = False) -> Receipt:
    """The receipt of a file that was here before; of what it led to then, not now."""
    told = row.outcome or {}
    numbers = {k: told.get(k, 0) for k in ("rows", "accepted", "unchanged", "rejected", "to_review")}
    stopped = "" if duplicate else str(told.get("stopped", ""))
    return Receipt(row.inbox_id, plan_of(row.source_id), duplicate=duplicate, stopped=stopped, **numbers)
