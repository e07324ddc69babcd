"""Works off the files of health plans: lists of members and of authorisations (domain.md 2.3, 2.9; messages.md 5 "Files").

A file and each of its rows stand in the inbox like any message: `file_hash:line`. One bad row never holds up the rest, a file that
was here before leads to nothing, and nobody is taken off the programme because a file does not name them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from domain.core import Refusal, StreamId
from domain.episode.rosters import MissOnRoster
from domain.episode.state import claim_on_open_episode
from domain.member.decider import Member
from eventlog.clock import Clock
from eventlog.gateway import ORDERS_MAX, ORDERS_OF_FEW_STREAMS_MAX, Accepted, Conflict, Gateway, Order
from eventlog.keys import CannotUnwrap
from eventlog.opening import PolicyShelf
from eventlog.recorder import LOCKS_MAX, LogAway
from intake.applying.apply import Busy
from intake.files import grants, listing, returns
from intake.files.lines import (
    BATCH_MAX,
    REJECTED,
    ROW_PARSER,
    SUPERSEDED,
    UNCHANGED,
    Asked,
    Lines,
    Listing,
    Reading,
    Rows,
    next_rows,
    not_taken,
)
from intake.files.listing import Seen
from intake.files.memberfile import READERS, RosterRow, RowProblem, Sheet, read_sheet
from intake.files.profiles import FileKind, Profile, Profiles, expect_plan
from intake.files.reports import Outcome, ReportLine, lines_of, said_of, totals
from intake.files.tables import FileRefused
from intake.people.identity import IdentityKeys
from intake.people.index import IdentityIndex
from intake.people.matching import POSSIBLE_MEMBER, Reason
from intake.people.readings import Sight
from intake.people.recognising import apart_on, compared
from intake.people.scoring import Likely
from intake.store.claims import next_of_files
from intake.store.inbox import Arrival, Inbox, Row, Settlement, Status, UnknownMessage

TAKEOVER: Final = timedelta(minutes=10)
"""When a worker goes on with a file whose importer is gone."""

STREAMS_OF_A_ROW_MAX: Final = 8
"""The member, the claims on their CIN and open episode, the episode; those of other members who are the same person, the episode of
another plan, whoever let the row go on."""
ROWS_AT_ONCE: Final = LOCKS_MAX // STREAMS_OF_A_ROW_MAX
"""In one append."""

INDEXED_ROWS: Final = 4 * BATCH_MAX
"""After so many rows the index takes in whom they made known, while their streams still are at hand."""

FILE_KIND: Final = "member_file"
FULL_ROSTER_KIND: Final = "full_roster"
AUTHORISATIONS_KIND: Final = "authorisation_file"
SHRANK: Final = "roster_shrank"
OTHERS_SINCE: Final = "other_files_since"
"""On the receipt of a file that was here before: the plan has sent others of its kind since, and may mean this one anew."""

REFUSED: Final = "file_refused"

_ROW_KINDS: Final = {FileKind.MEMBERS: "row", FileKind.AUTHORISATIONS: "authorisation_row"}
_UNREAD: Final = "!"
"""In place of cells: what was wrong with a row that has none."""

Progress = Callable[[int, int], None]
"""(rows done, rows in all)."""


def _quiet(done: int, of: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a file. `rows` = `accepted` + `unchanged` + `rejected` + `waiting`.

    `duplicate`: the same bytes were here before, nothing was done. `stopped` says why a whole file waits, and what to do;
    `refused` why one could not be read at all.
    `missing` are members whom the plan listed before and a full roster no longer names: shown, never ended by us.
    """

    file_id: UUID
    plan: str
    rows: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    waiting: int = 0
    duplicate: bool = False
    stopped: str = ""
    refused: str = ""
    problems: tuple[RowProblem, ...] = ()
    missing: tuple[StreamId, ...] = ()
    flags: tuple[str, ...] = ()
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a file. `stops`: so many members would be missing that a person would be asked first."""

    profile: str
    lines: tuple[ReportLine, ...]
    missing: tuple[StreamId, ...] = ()
    stops: bool = False
    flags: tuple[str, ...] = ()
    unknown_headers: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[Outcome, int]:
        return totals(self.lines)


ANY_CIN: Final = "90000000A"
"""Stands in for a CIN that is missing, to see whether anything else is."""


class MemberFiles:
    """Imports the files of plans. Thread-safe; two importers of one file share the work."""

    def __init__(
        self,
        inbox: Inbox,
        gateway: Gateway,
        identity: IdentityKeys,
        index: IdentityIndex,
        clock: Clock,
        book: PolicyShelf,
        profiles: Profiles | None = None,
    ) -> None:
        self._inbox = inbox
        self._lines = Lines(inbox)
        self._gateway = gateway
        self._identity = identity
        self._index = index
        self._clock = clock
        self._book = book
        self.profiles = profiles or Profiles()

    # -- a file

    def import_file(
        self,
        raw: bytes,
        *,
        plan: str,
        kind: FileKind = FileKind.MEMBERS,
        file_name: str = "",
        full_roster: bool | None = None,
        confirmed: bool = False,
        peer: str = "",
        progress: Progress = _quiet,
    ) -> Receipt:
        """Stores a file and applies it. `full_roster`: left out, what the plan's profile says of files so named; `confirmed` is a
        person's word that a shrunken one is right; `peer` is who sent it.

        Raises FileRefused where it cannot be read as a whole (it is kept as dead), PlanUnknown, CannotStore, LogAway.
        """
        expect_plan(self._book(), plan)
        profile = self.profiles.of(plan, kind, file_name=file_name)
        full = _names_everybody(profile, file_name) if full_roster is None else full_roster
        now = self._clock.now()
        arrival = Arrival(
            raw=raw, source_id=source_of(plan), transport="file", control_id="file", peer=peer, kind=_kind_of(profile, full=full)
        )
        try:
            sheet = read_sheet(raw, profile)
        except FileRefused as refused:
            kept = self._inbox.store(arrival._replace(status=Status.DEAD, reason=REFUSED), now)
            self._lines.refuse(kept.inbox_id, reason=REFUSED, error=str(refused))
            raise
        stored = self._inbox.store(arrival, now, due=now + TAKEOVER)
        row = self._inbox.show(stored.inbox_id).row
        if stored.repeated and row.status is Status.DEAD and row.reason == REFUSED:
            self._lines.read_anew(row.inbox_id, arrival.kind, by=peer or f"source:{row.source_id}", now=now)
        elif stored.repeated and row.status not in (Status.RECEIVED, Status.WAITING):
            return replace(_receipt(row, duplicate=True), flags=(OTHERS_SINCE,) if self._lines.followed(row) else ())
        elif row.status is Status.WAITING:
            if not confirmed:
                return _receipt(row)
            self._still_the_last(row)
            self._inbox.release(row.inbox_id, by=peer or f"source:{source_of(plan)}", now=now)
        return self._carry_on(row, profile, sheet, full=full, confirmed=confirmed, progress=progress)

    def carry_on(self, file_id: UUID, *, confirmed: bool = False, progress: Progress = _quiet) -> Receipt:
        """Applies what is not yet applied of a stored file: also after a crash in its middle."""
        shown = self._inbox.show(file_id)
        row, raw = shown.row, shown.raw
        assert raw is not None and row.line is None
        profile, full = self._profile_of(row)
        return self._carry_on(row, profile, read_sheet(raw, profile), full=full, confirmed=confirmed, progress=progress)

    def _carry_on(self, row: Row, profile: Profile, sheet: Sheet, *, full: bool, confirmed: bool, progress: Progress) -> Receipt:
        self._index.catch_up(self._clock.now())
        missing, listed = self._missing(profile.plan, sheet, row.inbox_id) if full else ((), 0)
        if full and not (confirmed or row.released_by) and len(missing) > profile.drop_share_max * listed:
            return self._finish(row, Receipt(
                row.inbox_id, profile.plan, rows=len(sheet.rows) + len(sheet.too_wide), profile=profile.id,
                stopped=f"{len(missing)} of {listed} members listed before are missing from this full roster; nothing was applied. "
                "Ask the plan; then confirm the file, or reject it with a reason.",
            ))  # fmt: skip
        self._store_lines(row, profile, sheet)
        self._work_off(row.inbox_id, len(sheet.rows) + len(sheet.too_wide), progress)
        if full:
            self._miss(row, profile.plan, missing)
            about = [self._subject(FileKind.MEMBERS, profile.plan, cin) for cin in sheet.cins]
            self._lines.give_way(row, about, self._clock.now())
        self._index.catch_up(self._clock.now())
        return self._finish(row, self._tally(row, profile, missing, sheet.flags))

    def _store_lines(self, row: Row, profile: Profile, sheet: Sheet) -> None:
        unread = [(p.row, {_UNREAD: json.dumps(asdict(p))}) for p in sheet.too_wide]
        lines = sorted((n, json.dumps(dict(c), ensure_ascii=False, sort_keys=True).encode()) for n, c in (*sheet.rows, *unread))
        self._lines.store(row, lines, kind=_row_kind_of(profile), due=self._clock.now() + TAKEOVER)

    def _work_off(self, file_id: UUID, rows: int, progress: Progress) -> None:
        open_ = self._lines.counts(file_id).get(Status.RECEIVED, 0)
        done, after, news = rows - open_, 0, 0
        while taken := self._batch(file=file_id, after=after):
            done, after, news = done + len(taken), taken[-1].line or 0, news + len(taken)
            progress(min(done, rows), rows)
            if news >= INDEXED_ROWS:
                self._index.catch_up(self._clock.now())
                news = 0

    def _profile_of(self, row: Row) -> tuple[Profile, bool]:
        """How a file, or a row of one, is read, and whether it is a full roster."""
        what, _, layout = row.kind.partition(":")
        kind = FileKind.AUTHORISATIONS if what in (AUTHORISATIONS_KIND, _ROW_KINDS[FileKind.AUTHORISATIONS]) else FileKind.MEMBERS
        plan = plan_of(row.source_id)
        profile = self.profiles.with_id(layout, kind) if layout else self.profiles.of(plan, kind)
        return profile, what == FULL_ROSTER_KIND

    def confirm(self, file_id: UUID, *, reason: str, by: str, progress: Progress = _quiet) -> Receipt:
        """A person's word that a file which stopped is right; it then goes on. `reason` is a code.

        Raises UnknownMessage, FileRefused where a later one was applied since."""
        self._still_the_last(self._file(file_id))
        self._lines.confirm(file_id, reason=reason, by=by, now=self._clock.now())
        return self.carry_on(file_id, progress=progress)

    def reject(self, file_id: UUID, *, reason: str, by: str) -> None:
        """A person's word that nothing is to follow from a file which stopped. `reason` is a code. Raises UnknownMessage."""
        self._lines.reject(file_id, reason=reason, by=by, now=self._clock.now())

    def _still_the_last(self, row: Row) -> None:
        if self._lines.followed(row):
            raise FileRefused("the plan sent another full roster since, and that one was applied: reject this file")

    def files(self, *, plan: str = "", waiting: bool = False, before: UUID | None = None, limit: int = 100) -> tuple[Row, ...]:
        """The files themselves, the newest first."""
        return self._lines.files(plan=plan, status=Status.WAITING if waiting else None, before=before, limit=limit)

    def receipt(self, file_id: UUID) -> Receipt:
        """What became of a file, as its rows stand now. Raises UnknownMessage."""
        row = self._file(file_id)
        profile, _ = self._profile_of(row)
        told = _receipt(row)
        if row.status is Status.WAITING or not self._lines.counts(file_id):
            return told
        missing = tuple((row.outcome or {}).get("missing", ()))
        return self._tally(row, profile, missing, flags=tuple(row.flags))

    def report(self, file_id: UUID, *, after: int = 0, only_remarkable: bool = False) -> Iterator[ReportLine]:
        """What became of each row of a file below a line, in the sheet's order. Raises UnknownMessage."""
        self._file(file_id)
        return lines_of(self._lines, file_id, after=after, only_remarkable=only_remarkable)

    def new_points_csv(self, plan: str) -> Iterator[str]:
        """What the plan does not have: a CSV, piece by piece. Raises PlanUnknown."""
        expect_plan(self._book(), plan)
        return returns.as_csv(returns.new_points(self._lines, self._gateway, plan, self._clock.now()))

    def _file(self, file_id: UUID) -> Row:
        row = self._lines.file(file_id)
        if row is None:
            raise UnknownMessage(f"{file_id} is no file; see `throughline files list`")
        return row

    def preview(
        self, raw: bytes, *, plan: str, kind: FileKind = FileKind.MEMBERS, file_name: str = "", full_roster: bool | None = None
    ) -> Preview:
        """What would become of a file, by what is known now. Nothing is written, and nothing of it is kept. Raises FileRefused,
        PlanUnknown."""
        expect_plan(self._book(), plan)
        profile = self.profiles.of(plan, kind, file_name=file_name)
        sheet = read_sheet(raw, profile)
        full = _names_everybody(profile, file_name) if full_roster is None else full_roster
        missing, listed = self._missing(plan, sheet) if full else ((), 0)
        lines = [line for p in sheet.too_wide for line in said_of(p.row, Status.DEAD, REJECTED, {"problems": [asdict(p)]})]
        seen: dict[bytes, bytes] = {}
        for start in range(0, len(sheet.rows), BATCH_MAX):
            lines += self._rehearsed(sheet.rows[start : start + BATCH_MAX], profile, seen)
        return Preview(
            profile=profile.id,
            lines=tuple(sorted(lines, key=lambda line: line.row)),
            missing=missing,
            stops=full and len(missing) > profile.drop_share_max * listed,
            flags=sheet.flags,
            unknown_headers=sheet.unknown_headers,
        )

    def _rehearsed(
        self, rows: Sequence[tuple[int, Mapping[str, str]]], profile: Profile, seen: dict[bytes, bytes]
    ) -> Iterator[ReportLine]:
        now, readings = self._clock.now(), list[Reading]()
        for number, cells in rows:
            said = READERS[profile.kind](number, cells, profile, now.date())
            if isinstance(said, tuple):
                yield from said_of(number, Status.DEAD, REJECTED, {"problems": [asdict(problem) for problem in said]})
                continue
            reading = self._reading(_imagined(number, now), profile, said)
            if seen.get(reading.subject) == reading.digest:
                yield from said_of(number, Status.DUPLICATE, "said_twice_in_this_file", {})
            else:
                seen[reading.subject] = reading.digest
                readings.append(reading)
        with self._inbox.pool.connection() as conn:
            before = Rows(self._inbox, conn, ()).listings([(r.plan, r.key) for r in readings if isinstance(r.said, RosterRow)])
            decided = list(self._asked(conn, readings, before))
        for reading, found in decided:
            line = reading.row.line or 0
            if isinstance(found, Settlement):
                yield from said_of(line, found.status, found.reason, found.outcome or {})
            elif found.waiting is not None:
                yield from said_of(line, found.waiting.status, found.waiting.reason, found.waiting.outcome or {})
            else:
                status = Status.APPLIED if found.orders else Status.DUPLICATE
                yield from said_of(line, status, found.reason, {"notes": [asdict(note) for note in found.notes]})

    # -- rows

    def work_some(self) -> int:
        """Settles rows of any file that are due; how many that were. Raises LogAway."""
        return len(self._batch())

    def _batch(self, *, file: UUID | None = None, after: int = 0) -> tuple[Row, ...]:
        """The rows that were settled, or that failed: what fails on a row is that row's alone. Raises LogAway."""
        taken: tuple[Row, ...] = ()
        try:
            with next_rows(self._inbox, self._clock.now(), file=file, after=after) as rows:
                taken = rows.rows
                rows.settle(self._settlements(rows), self._clock.now())
        except _NOT_THE_ROWS_FAULT:
            raise
        except Exception:
            for row in taken:  # one of them is at fault: the others shall not suffer
                self._alone(row)
        return taken

    def _alone(self, row: Row) -> None:
        try:
            with next_rows(self._inbox, self._clock.now(), row=row.inbox_id) as rows:
                rows.settle(self._settlements(rows), self._clock.now())
        except _NOT_THE_ROWS_FAULT:
            raise  # the file goes on when the database is back
        except Exception as failure:
            self._inbox.fail(row.inbox_id, type(failure).__name__, self._clock.now())

    def _settlements(self, rows: Rows) -> list[tuple[Row, Settlement]]:
        """What becomes of every row of a batch: those about the same person one after the other, all others side by side.

        Raises Busy, LogAway, CannotUnwrap: then they are tried again."""
        settled: list[tuple[Row, Settlement]] = []
        pending: list[Reading] = []
        kinds = {(row.source_id, row.kind): row for row in rows.rows}
        profiles = {kind: self._profile_of(row)[0] for kind, row in kinds.items()}
        for row in rows.rows:
            found = self.read(rows, row, profiles[row.source_id, row.kind])
            if isinstance(found, Settlement):
                settled.append((row, found))
            else:
                pending.append(found)
        if pending:
            rows.one_at_a_time(name for r in pending for name in (self._identity.cin_claim(r.said.cin), r.person.hex()))
        while pending:
            wave, pending = _apart(pending)
            settled += self._wave(rows, wave)
        return settled

    def read(self, rows: Rows, row: Row, profile: Profile) -> Settlement | Reading:
        """A row, or what is wrong with it."""
        raw = rows.raw(row)
        if raw is None:
            return Settlement(status=Status.DEAD, reason="bytes_erased", parser=ROW_PARSER)
        cells: dict[str, str] = json.loads(raw)
        if _UNREAD in cells:
            return not_taken(Status.DEAD, REJECTED, (RowProblem(**json.loads(cells[_UNREAD])),))
        said: Any = READERS[profile.kind](row.line or 0, cells, profile, row.received_at.date())
        if isinstance(said, tuple) and {problem.field for problem in said} == {"cin"} and not cells.get("cin"):
            said = self._without_cin(rows, row, profile, cells, said)
        if isinstance(said, Settlement):
            return said
        if isinstance(said, tuple):
            return not_taken(Status.DEAD, REJECTED, said)
        return self._reading(row, profile, said)

    def _without_cin(
        self, rows: Rows, row: Row, profile: Profile, cells: Mapping[str, str], problems: tuple[RowProblem, ...]
    ) -> Any:
        """A row that lacks nothing but the CIN: whoever is called so and was born then is proposed to a person (domain.md scenario
        3), and taken once that person has said so. What is wrong with it, where nobody is."""

        def with_cin(cin: str) -> Any:
            return READERS[profile.kind](row.line or 0, {**cells, "cin": cin}, profile, row.received_at.date())

        if row.released_by and row.member:
            member = self._gateway.load(row.member).state
            return with_cin(member.cin) if isinstance(member, Member) and member.cin else problems
        said = with_cin(ANY_CIN)
        if not isinstance(said, RosterRow):
            return problems
        key = (said.family_name, said.birth_date)
        called = self._index.named(rows.conn, {key})[key]
        proposed = listing.alike(Sight(self._gateway), called, said.given_name, row)
        if not proposed:
            return problems
        reason = POSSIBLE_MEMBER if len(proposed) == 1 else Reason.TWO_MEMBERS.value
        return replace(not_taken(Status.WAITING, reason, problems), proposed=proposed)

    def _reading(self, row: Row, profile: Profile, said: Any) -> Reading:
        listed = isinstance(said, RosterRow)
        return Reading(
            row, profile, said, self._identity.cin(said.cin), self._identity.digest(profile.kind, profile.plan, repr(said)),
            self._subject(profile.kind, profile.plan, said.cin, "" if listed else said.number),
            self._identity.name_and_birth_date(said.family_name, said.birth_date) if listed else b"",
        )  # fmt: skip

    def _subject(self, kind: FileKind, plan: str, cin: str, number: str = "") -> bytes:
        """What a row is about: a member, or one authorisation of theirs."""
        return self._identity.digest("about", kind, plan, cin, number)

    def _wave(self, rows: Rows, wave: Sequence[Reading]) -> list[tuple[Row, Settlement]]:
        """Rows of which none bears on another."""
        before = rows.listings([(r.plan, r.key) for r in wave if isinstance(r.said, RosterRow)])
        settled: list[tuple[Row, Settlement]] = []
        work: list[Asked] = []
        kept: dict[tuple[str, bytes], Listing] = {}
        known: dict[bytes, StreamId] = {}
        for reading, found in self._asked(rows.conn, wave, before):
            if isinstance(found, Asked):
                work.append(found)
            else:
                settled.append((reading.row, found))
                if found.status is Status.DUPLICATE:
                    kept[reading.plan, reading.key] = replace(before[reading.plan, reading.key], file=reading.file)
        if new := [one.member for one in work if one.registers]:
            rows.make_keys(new)
        for one, outcome in zip(work, self._outcomes(work), strict=True):
            settlement = self._settled(one, outcome)
            settled.append((one.reading.row, settlement))
            if one.listing is not None and not isinstance(outcome, Refusal):
                kept[one.reading.plan, one.reading.key] = one.listing
                if one.registers:
                    known[one.reading.person] = one.member
        if known:
            self._index.registered(rows.conn, known, self._clock.now())
        if kept:
            rows.keep(kept)
        rows.supersede({r.subject: r.file for r in wave}, self._clock.now())
        about = {r.row.inbox_id: r.subject for r in wave}
        return [(row, replace(to, semantic_hash=about[row.inbox_id])) for row, to in settled]

    def _asked(
        self, conn: Connection[TupleRow], wave: Sequence[Reading], before: Mapping[tuple[str, bytes], Listing]
    ) -> Iterator[tuple[Reading, Asked | Settlement]]:
        """What each row asks of the log, seen in a few round trips for all of them."""
        looked: list[Reading] = []
        for reading in wave:
            known = before.get((reading.plan, reading.key))
            if known is not None and known.file > reading.file:
                because = "a later file says what holds now"
                yield reading, reading.left_out(SUPERSEDED, "row", because, "nothing: see that file's report")
            elif (
                known is not None
                and known.digest == reading.digest
                and not reading.row.released_by
                and known.listed == _lists(reading)
            ):
                yield reading, _unchanged(reading, known.member)
            else:
                looked.append(reading)
        if not looked:
            return
        sight = Seen(self._gateway)
        listing.needed(sight, self._identity, looked)
        doubtful = self._doubtful(conn, sight, looked)
        for reading in looked:
            if (likely := doubtful.get(reading.row.inbox_id)) is not None:
                yield reading, _under_another_cin(reading, likely)
            elif isinstance(reading.said, RosterRow):
                yield (
                    reading,
                    listing.asked(sight, self._identity, reading, before.get((reading.plan, reading.key)), self._clock.now()),
                )
            else:
                yield reading, grants.asked(sight, self._identity, reading)

    def _doubtful(self, conn: Connection[TupleRow], sight: Seen, looked: Sequence[Reading]) -> dict[UUID, tuple[Likely, ...]]:
        """The rows under an unknown CIN that may be about somebody whom we know under another one, and who that is: nobody of whom
        it was found before that they do not have this CIN, unless something more agrees now."""
        unknown = {
            reading.row.inbox_id: (reading, reading.said)
            for reading in looked
            if isinstance(reading.said, RosterRow)
            and not reading.row.released_by
            and not listing.member_of(sight, self._identity, reading)[1]
        }
        called = self._index.called(conn, (reading.person for reading, _ in unknown.values()))
        sight.fetch(member for members in called.values() for member in members)
        found: dict[UUID, tuple[Likely, ...]] = {}
        for id, (reading, said) in unknown.items():
            alike = listing.alike(sight, called.get(reading.person, ()), said.given_name, reading.row)
            likely = [listing.compared(sight, one, said, reading.row) for one in alike]
            decided = {one.member: apart_on(self._identity, sight, one.member, (reading.key.hex(),)) for one in likely}
            found[id] = tuple(one for one in likely if one.is_news_to(decided[one.member]))
        return {id: likely for id, likely in found.items() if likely}

    def _outcomes(self, work: Sequence[Asked]) -> list[tuple[Accepted, ...] | Refusal]:
        """What the log made of each row: as many in one append as it takes; one by one where they do not go together.

        Raises Busy."""
        found: list[tuple[Accepted, ...] | Refusal] = []
        for group in _together(work):
            orders = [order for one in group for order in one.orders]
            together = self._gateway.handle_many(orders) if len(group) > 1 and orders else None
            if isinstance(together, tuple):
                rest = iter(together)
                found += [tuple(islice(rest, len(one.orders))) for one in group]
            else:
                found += map(self._outcome, group)
        return found

    def _outcome(self, one: Asked) -> tuple[Accepted, ...] | Refusal:
        if not one.orders:
            return ()
        outcome = self._gateway.handle_many(one.orders)
        if isinstance(outcome, Conflict):
            raise Busy
        return outcome

    def _settled(self, one: Asked, outcome: tuple[Accepted, ...] | Refusal) -> Settlement:
        if isinstance(outcome, Refusal):
            field, mark, because = outcome.because.partition(": ")
            said, _, remedy = (because if mark else outcome.because).partition("; ")
            return one.reading.waits(outcome.code, field if mark else "row", said, remedy or "see the member", one.member)
        caused = [recorded for accepted in outcome for recorded in accepted.facts] or self._caused_before(one)
        named = tuple((recorded, self._gateway.log.codec.name_of(recorded.fact)) for recorded in caused)
        if one.waiting is not None:
            return replace(one.waiting, caused=named)
        return Settlement(
            status=Status.APPLIED if caused else Status.DUPLICATE,
            reason=one.reason or ("" if caused else UNCHANGED),
            member=one.member,
            evidence=one.evidence,
            parser=ROW_PARSER,
            outcome={"notes": [asdict(note) for note in one.notes]} if one.notes else None,
            caused=named,
        )

    def _caused_before(self, one: Asked) -> list[Any]:
        """What an attempt that broke off between the log and the inbox has recorded for this row."""
        ids = one.ids
        if not ids:
            return []
        remembered = self._gateway.log.look({}, ids, "policy").remembered.values()
        positions = sorted({position for first in remembered for position in first.positions})
        return [stored.recorded for stored in self._gateway.log.at(positions)]

    # -- the whole file

    def _missing(self, plan: str, sheet: Sheet, file: UUID | None = None) -> tuple[tuple[StreamId, ...], int]:
        """Whom the plan listed before and a full roster does not name, under any CIN of theirs; how many it listed. What later
        files than this one say is not asked."""
        named = set(map(self._identity.cin, sheet.cins))
        listed = self._lines.listed(plan, until=file)
        there = {member for key, member in listed if key in named}
        sight = Seen(self._gateway)
        absent = list(dict.fromkeys(member for _, member in listed if member not in there))
        sight.fetch(absent)
        sight.fetch(other for member in absent for other in sight.person(member))

        def is_named(member: StreamId) -> bool:
            person = sight.person(member)
            return any(one in there or not named.isdisjoint(map(self._identity.cin, sight.member(one).cins())) for one in person)

        return tuple(member for member in absent if not is_named(member)), len({member for _, member in listed})

    def _miss(self, row: Row, plan: str, members: Sequence[StreamId]) -> None:
        """Says of each that a full roster no longer names them. Their episodes go on until somebody ends them (scenario 9)."""
        for start in range(0, len(members), ORDERS_MAX):
            some = members[start : start + ORDERS_MAX]
            sight = Seen(self._gateway)
            sight.fetch(some)
            sight.fetch(claim_on_open_episode(one) for member in some for one in sight.person(member))
            open_ = list(dict.fromkeys(episode for member in some for episode in sight.open_episodes(member)))
            sight.fetch(open_)
            orders = [
                Order(
                    command=MissOnRoster(
                        stream=episode, by=f"source:{row.source_id}", occurred_at=row.received_at, message_id=str(row.inbox_id),
                        file=str(row.inbox_id),
                    ),
                    command_id=self._identity.command(row.inbox_id, f"missing|{episode}"),
                    causation=str(row.inbox_id),
                    correlation=str(row.inbox_id),
                )
                for episode in open_ if sight.episode(episode).plan == plan
            ]  # fmt: skip
            if orders and not isinstance(self._gateway.handle_many(orders), tuple):
                for order in orders:  # somebody closed one of the episodes in this moment
                    if isinstance(self._gateway.handle_many((order,)), Conflict):
                        raise Busy
            self._lines.unlist(plan, some)

    def _tally(self, row: Row, profile: Profile, missing: tuple[StreamId, ...], flags: tuple[str, ...]) -> Receipt:
        counts = self._lines.counts(row.inbox_id)
        told = self._lines.told(row.inbox_id, only_remarkable=True)
        problems = tuple(RowProblem(**p) for one in told for p in one.outcome.get("problems", ()))
        return Receipt(
            row.inbox_id,
            profile.plan,
            rows=sum(counts.values()),
            accepted=counts.get(Status.APPLIED, 0),
            unchanged=counts.get(Status.DUPLICATE, 0),
            rejected=counts.get(Status.DEAD, 0) + counts.get(Status.IGNORED, 0),
            waiting=sum(counts.get(status, 0) for status in (Status.WAITING, Status.UNMATCHED, Status.RECEIVED)),
            problems=problems,
            missing=missing,
            flags=flags,
            profile=profile.id,
        )

    def _finish(self, row: Row, receipt: Receipt) -> Receipt:
        with next_of_files(self._inbox, self._clock.now(), row.inbox_id) as claim:
            if claim is not None:
                outcome = {k: v for k, v in asdict(receipt).items() if k not in ("file_id", "problems", "missing")}
                outcome["missing"] = list(receipt.missing)
                outcome["flags"] = list(receipt.flags)
                status, reason = (Status.WAITING, SHRANK) if receipt.stopped else (Status.APPLIED, "")
                claim.settle(
                    Settlement(status=status, reason=reason, outcome=outcome, parser=ROW_PARSER, flags=receipt.flags),
                    self._clock.now(),
                )
        return receipt


_NOT_THE_ROWS_FAULT: Final = (LogAway, CannotUnwrap, psycopg.OperationalError, PoolTimeout)


def source_of(plan: str) -> str:
    """The inbox's source of a plan's files."""
    return f"plan-{plan}"


def plan_of(source_id: str) -> str:
    assert source_id.startswith("plan-"), source_id
    return source_id.removeprefix("plan-")


def _names_everybody(profile: Profile, file_name: str) -> bool:
    """Whether a file of this name is a full roster: what a profile says of its files holds for those that are named like them."""
    return profile.full_roster and (not profile.files or profile.named_for(file_name))


def _kind_of(profile: Profile, *, full: bool) -> str:
    """What the inbox calls a file: what it is, and the layout where it is not the plan's usual one."""
    kinds = {FileKind.MEMBERS: FULL_ROSTER_KIND if full else FILE_KIND, FileKind.AUTHORISATIONS: AUTHORISATIONS_KIND}
    return kinds[profile.kind] + _layout(profile)


def _row_kind_of(profile: Profile) -> str:
    return _ROW_KINDS[profile.kind] + _layout(profile)


def _layout(profile: Profile) -> str:
    return "" if profile.id in (profile.plan, f"{profile.plan}.{profile.kind}") else f":{profile.id}"


def _lists(reading: Reading) -> bool:
    said = reading.said
    return isinstance(said, RosterRow) and said.action == "add" and not listing.over(reading, said)


def _under_another_cin(reading: Reading, likely: tuple[Likely, ...]) -> Settlement:
    because = "we know somebody of this name and birth date under another CIN; a person says whether it is the same"
    waits = reading.waits(Reason.OTHER_CIN.value, "cin", because, "say whether one CIN replaced the other")
    outcome = {**(waits.outcome or {}), **compared(likely, (reading.key.hex(),))}
    return replace(waits, proposed=tuple(one.member for one in likely), outcome=outcome)


def _unchanged(reading: Reading, member: StreamId) -> Settlement:
    notes = [asdict(note) for note in reading.said.notes]
    return Settlement(
        status=Status.DUPLICATE, reason=UNCHANGED, member=member, parser=ROW_PARSER, outcome={"notes": notes} if notes else None
    )


def _imagined(number: int, now: datetime) -> Row:
    """A row that stands in no inbox."""
    nothing: dict[str, Any] = dict.fromkeys(("settled_at", "stay", "member", "part_of", "outcome"))
    empty: dict[str, Any] = dict.fromkeys(
        ("source_id", "peer", "control_id", "kind", "charset", "reason", "error", "parser", "trace"), ""
    )
    empty |= dict.fromkeys(("evidence", "released_by"), "")
    return Row(
        inbox_id=_NOWHERE, transport="file", sha256=b"", received_at=now, status=Status.RECEIVED, flags=[], attempts=0,
        next_attempt_at=now, repeats=0, proposed=[], line=number, **nothing, **empty,
    )  # fmt: skip


_NOWHERE: Final = UUID(int=(1 << 128) - 1)
"""After whatever came."""


def _apart(readings: Sequence[Reading]) -> tuple[list[Reading], list[Reading]]:
    """Those of which none can be about the same person as another, and the rest, in order."""
    wave: list[Reading] = []
    rest: list[Reading] = []
    taken: set[bytes] = set()
    for reading in readings:
        names = {reading.key, reading.person} - {b""}
        (rest if names & taken else wave).append(reading)
        taken |= names
    return wave, rest


def _together(work: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Parts that one append can take: most of a row's commands go to its member."""
    group: list[Asked] = []
    orders = 0
    for one in work:
        if group and (len(group) == ROWS_AT_ONCE or orders + len(one.orders) > ORDERS_OF_FEW_STREAMS_MAX):
            yield group
            group, orders = [], 0
        group.append(one)
        orders += len(one.orders)
    if group:
        yield group


def _receipt(row: Row, *, duplicate: bool = False) -> Receipt:
    """The receipt of a file that was here before; of what it led to then, not now."""
    told = row.outcome or {}
    numbers = {k: told.get(k, 0) for k in ("rows", "accepted", "unchanged", "rejected", "waiting")}
    stopped = "" if duplicate else str(told.get("stopped", ""))
    return Receipt(
        row.inbox_id,
        plan_of(row.source_id),
        duplicate=duplicate,
        stopped=stopped,
        profile=str(told.get("profile", "")),
        refused=row.error if row.status is Status.DEAD and row.reason == REFUSED else "",
        **numbers,
    )
