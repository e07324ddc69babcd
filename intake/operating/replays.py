"""Taking messages up again: which ones, and what would become of them, before anybody does it (messages.md 5, dead letter).

A replay runs the present parser over the stored bytes under the message's own id, so what it has caused is not caused twice. A
rehearsal does the very same, on a transaction that is rolled back and a gateway that records nothing, and shows the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, LiteralString
from uuid import UUID

from domain.core import Loaded, Recorded, Refusal, StreamId, personal_fields
from domain.stay.facts import StayStatement
from eventlog.gateway import Accepted, Conflict, Gateway, Order
from intake.applying.apply import Applier
from intake.reading.forms import NotRead, Parts, read_stored
from intake.reading.notification import Ignored, Notification
from intake.reading.persons import PersonNotice
from intake.referrals.desk import FILE_KIND, ReferralDesk
from intake.referrals.desk import TRANSPORT as REFERRAL
from intake.senders.sources import Sources
from intake.store.claims import Claim, Messages
from intake.store.inbox import REPLAY_MAX, REPLAYED, ROW_COLUMNS, Inbox, Row, Status, UnknownMessage

REHEARSED_MAX: Final = 200
"""Messages of one dry run: each is read, matched and decided as if in earnest."""

_SINGLY: Final[LiteralString] = f"transport <> 'file' AND kind <> '{FILE_KIND}'"
"""What is a message, and no file with rows of its own."""

DISCARDABLE: Final = (Status.UNMATCHED, Status.WAITING, Status.DEAD)
REPLAYABLE: Final = tuple(status for status in Status if status is not Status.RECEIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which messages: every condition that is given must hold. `trigger` is that of MSH-9.2 (A03), or a FHIR event code; `file`:
    the rows of that file, which are meant by no other condition."""

    statuses: tuple[Status, ...] = ()
    source: str | None = None
    trigger: str | None = None
    reason: str | None = None
    flag: str | None = None
    received_from: datetime | None = None
    received_until: datetime | None = None
    file: UUID | None = None
    limit: int = REPLAY_MAX

    @property
    def empty(self) -> bool:
        """Whether it leaves everything that ever came: nobody means that."""
        told = (self.source, self.trigger, self.reason, self.flag, self.received_from, self.received_until, self.file)
        return not self.statuses and not any(told)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands, or would."""

    status: str
    reason: str
    flags: tuple[str, ...]
    parser: str
    stay: StreamId | None
    member: StreamId | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that the message says: as it was understood when it was applied, and as it is understood now. Empty: not said."""

    field: str
    before: str
    now: str

    @property
    def differs(self) -> bool:
        return self.before != self.now


@dataclass(frozen=True, slots=True)
class Added:
    """A fact that a replay would add."""

    stream: StreamId
    fact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a replay of a message would do. Names nobody: of the person only is told which keys the message has."""

    inbox_id: UUID
    source: str
    kind: str
    control_id: str
    received_at: datetime
    before: Standing
    now: Standing
    compared: tuple[Compared, ...]
    added: tuple[Added, ...]
    person: Mapping[str, int]

    @property
    def differs(self) -> bool:
        return bool(self.added) or any(c.differs for c in self.compared) or _outcome(self.before) != _outcome(self.now)


def chosen(inbox: Inbox, selection: Selection) -> tuple[UUID, ...]:
    """The messages that a selection means, the oldest first; no file of members or referrals, no row of a plan's file that is not
    named, and none that is in work."""
    conditions: list[LiteralString] = [_SINGLY] if selection.file is None else ["transport = 'file' AND part_of = %(file)s"]
    conditions.append("status = ANY(%(statuses)s)")
    if selection.source is not None:
        conditions.append("source_id = %(source)s")
    if selection.trigger is not None:
        conditions.append("(kind = %(trigger)s OR split_part(kind, '^', 2) = upper(%(trigger)s))")
    if selection.reason is not None:
        conditions.append("reason = %(reason)s")
    if selection.flag is not None:
        conditions.append("%(flag)s = ANY(flags)")
    if selection.received_from is not None:
        conditions.append("received_at >= %(received_from)s")
    if selection.received_until is not None:
        conditions.append("received_at < %(received_until)s")
    values = {
        "statuses": [s.value for s in selection.statuses or REPLAYABLE if s is not Status.RECEIVED], "source": selection.source,
        "trigger": selection.trigger, "reason": selection.reason, "flag": selection.flag,
        "received_from": selection.received_from, "received_until": selection.received_until, "file": selection.file,
        "limit": min(selection.limit, REPLAY_MAX),
    }  # fmt: skip
    with inbox.pool.connection() as conn:
        rows = conn.execute(
            f"SELECT inbox_id FROM intake.inbox WHERE {' AND '.join(conditions)} ORDER BY inbox_id LIMIT %(limit)s", values
        ).fetchall()
    return tuple(row[0] for row in rows)


def replay_chosen(inbox: Inbox, selection: Selection, *, by: str, now: datetime) -> int:
    """Take all of them up again; how many they were. One that somebody else took up meanwhile is passed over."""
    taken = 0
    for inbox_id in chosen(inbox, selection):
        try:
            inbox.replay(inbox_id, by=by, now=now)
        except UnknownMessage:
            continue
        taken += 1
    return taken


def discard_chosen(inbox: Inbox, selection: Selection, *, reason: str, by: str, now: datetime) -> int:
    """Nothing is to follow from all of them; how many they were. Only what is open can be set aside."""
    statuses = tuple(status for status in selection.statuses or DISCARDABLE if status in DISCARDABLE)
    set_aside = 0
    for inbox_id in chosen(inbox, replace(selection, statuses=statuses)) if statuses else ():
        try:
            inbox.discard(inbox_id, reason=reason, by=by, now=now)
        except UnknownMessage:
            continue
        set_aside += 1
    return set_aside


class Rehearsal:
    """Replays that leave nothing behind. `applier` and `referrals` make those who apply messages and referrals onto a gateway."""

    def __init__(
        self, inbox: Inbox, gateway: Gateway, applier: Callable[[Gateway], Applier], referrals: Callable[[Gateway], ReferralDesk],
        sources: Sources,
    ) -> None:  # fmt: skip
        self._inbox = inbox
        self._gateway = gateway
        self._applier = applier
        self._referrals = referrals
        self._sources = sources

    def all_of(self, selection: Selection, now: datetime) -> Iterator[Rehearsed]:
        """What a replay of a selection would do, message by message; of at most `REHEARSED_MAX`."""
        for inbox_id in chosen(self._inbox, selection)[:REHEARSED_MAX]:
            yield self.of(inbox_id, now)

    def of(self, inbox_id: UUID, now: datetime) -> Rehearsed:
        """What a replay of one message would do. Raises UnknownMessage, LogAway, CannotUnwrap."""
        dry = _Dry(self._gateway)
        with self._inbox.pool.connection() as conn, conn.transaction(force_rollback=True):
            found = conn.execute(
                f"SELECT sealed, key_id, {ROW_COLUMNS} FROM intake.inbox WHERE inbox_id = %s AND {_SINGLY}", (inbox_id,)
            ).fetchall()
            if not found:
                raise UnknownMessage(f"there is no message {inbox_id} in the inbox")
            batch = Messages(self._inbox, conn, found)
            (row,) = batch.rows
            raw, before = batch.raw(row), self._caused(conn.execute(_CAUSED, (inbox_id,)).fetchall())
            taken_up = Messages(self._inbox, conn, _taken_up(found))
            if row.transport == REFERRAL:
                claim = Claim(self._inbox, conn, *taken_up.rows)
                claim.settle(self._referrals(dry).apply(claim), now)
            else:
                self._applier(dry).apply(taken_up, self._sources, now)
            after = conn.execute(f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE inbox_id = %s", (inbox_id,)).fetchone()
        assert after is not None
        then = Row(**dict(zip(_NAMES, after, strict=True)))
        said = self._said(raw, row) if row.transport != REFERRAL else None
        now_says = {} if not isinstance(said, Notification) else _spoken(dry.said or before)
        return Rehearsed(
            inbox_id=inbox_id, source=row.source_id, kind=row.kind, control_id=row.control_id, received_at=row.received_at,
            before=_standing(row), now=_standing(then),
            compared=_compared(_spoken(before), now_says),
            added=tuple(Added(r.stream, self._gateway.log.codec.name_of(r.fact)) for r in dry.added),
            person=_person(said),
        )  # fmt: skip

    def _caused(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Recorded, ...]:
        return tuple(stored.recorded for stored in self._gateway.log.at([row[0] for row in rows]))

    def _said(self, raw: bytes | None, row: Row) -> Notification | PersonNotice | Ignored | None:
        source = self._sources.named(row.source_id)
        if raw is None or source is None:
            return None
        found = read_stored(raw, row, source)
        return None if isinstance(found, NotRead | Parts) else found.said


class _Dry(Gateway):
    """The gateway, but for its writing: what it would record is kept, and later loads see it."""

    def __init__(self, real: Gateway) -> None:
        vars(self).update(vars(real))
        self._ahead: dict[StreamId, Loaded] = {}
        self.added: list[Recorded] = []
        self.said: list[Recorded] = []

    def handle_many(self, orders: Sequence[Order], *, now: datetime | None = None) -> tuple[Accepted, ...] | Refusal | Conflict:
        told = self.preview(orders, now=now)
        if isinstance(told, tuple):
            new = [recorded for accepted in told if not accepted.repeated for recorded in accepted.facts]
            self.added += new
            self.said += [recorded for accepted in told for recorded in accepted.facts]
            self._ahead |= self.seen_with(new)
        return told

    def load_many(self, streams: Iterable[StreamId]) -> dict[StreamId, Loaded]:
        return {stream: self._ahead.get(stream, loaded) for stream, loaded in super().load_many(streams).items()}


_NAMES: Final = tuple(name.strip() for name in ROW_COLUMNS.split(","))
_CAUSED: Final[LiteralString] = "SELECT position FROM intake.caused WHERE inbox_id = %s ORDER BY position"
_NOT_COMPARED: Final = frozenset({"order", "received_at", "source"})


def _taken_up(found: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows as `Inbox.replay` leaves them."""
    as_now = {"status": Status.RECEIVED.value, "reason": REPLAYED, "error": "", "attempts": 0}
    return [(*row[:2], *(as_now.get(name, value) for name, value in zip(_NAMES, row[2:], strict=True))) for row in found]


def _spoken(facts: Iterable[Recorded]) -> dict[str, str]:
    """What statements say, field by field; what is personal is left out. A later reading of the same message counts."""
    found: dict[str, str] = {}
    for recorded in facts:
        fact = recorded.fact
        if isinstance(fact, StayStatement):
            hidden = _NOT_COMPARED | set(personal_fields(type(fact)))
            found |= {f"{type(fact).__name__}.{f.name}": _text(getattr(fact, f.name)) for f in fields(fact) if f.name not in hidden}
            found[f"{type(fact).__name__}.occurred_at"] = _text(recorded.occurred_at)
    return found


def _compared(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[Compared, ...]:
    names = dict.fromkeys((*now, *before))
    return tuple(Compared(n, before.get(n, ""), now.get(n, "")) for n in names if before.get(n) or now.get(n))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat()
        case Enum():
            return str(value.value)
        case _:
            return str(value)


def _person(said: Notification | PersonNotice | Ignored | None) -> dict[str, int]:
    """How many keys to a person the message has, of each kind."""
    if said is None or isinstance(said, Ignored):
        return {}
    keys = asdict(said.member)
    return {
        "cins": len(keys["cins"]), "record_numbers": len(keys["record_numbers"]), "names": int(bool(keys["family_name"])),
        "birth_dates": int(keys["birth_date"] is not None), "phones": int(bool(keys["phone"])),
    }  # fmt: skip


def _standing(row: Row) -> Standing:
    return Standing(row.status.value, row.reason, tuple(row.flags), row.parser, row.stay, row.member, row.evidence)


def _outcome(standing: Standing) -> tuple[str, str, str | None, str | None]:
    return standing.status, standing.reason, standing.stay, standing.member
