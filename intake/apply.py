"""From a stored message to the log: parse, match, and hand the statement to the stay and the attribution to the member.

Everything goes through the gateway, under command ids made of the inbox id, so a message may be worked off any number of times.
What a statement means for a member is decided by the core; what is odd about one is written on the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from domain.core import Command, Instant, Recorded, Refusal, StreamId
from domain.episode.decider import Episode, claim_on_open_episode
from domain.member.decider import AttributeStay, Member, ReportDeath
from domain.member.decider import Claim as ClaimState
from domain.stay.decider import Course, RecordStatement, Stay
from domain.stay.facts import (
    AdmissionCancelled,
    DischargeCancelled,
    MemberAdmitted,
    MemberDischarged,
    StayClass,
    StayDescribed,
    StayStatement,
    order_of,
)
from eventlog.gateway import Conflict, Gateway, Order
from intake.er7 import DELETED, Message, Unreadable, read
from intake.identity import IdentityKeys
from intake.inbox import FLAG_PROBABLE_RESEND, Claim, Settlement, Status
from intake.index import IdentityIndex
from intake.matching import Candidate, Match, Matched, Reason, Review, Unmatched, match
from intake.notification import (
    PARSER_VERSION,
    UNKNOWN_CLASS,
    Ignored,
    Kind,
    MemberKeys,
    Notification,
    normalise,
)
from intake.sources import Source
from intake.times import Precision

FLAG_DISCHARGE_TIME_DELETED: Final = "discharge_time_deleted"
FLAG_REPLAY_DIFFERS: Final = "replay_differs"
BY_HAND: Final = "by_hand"

_EXPIRED: Final = ("20", "40", "41", "42")


class Busy(Exception):
    """The streams stayed busy; the message is to be tried again."""


class Sight:
    """The streams that one message needs to be seen, each loaded once."""

    __slots__ = ("_gateway", "_states")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._states: dict[StreamId, Any] = {}

    def of(self, stream: StreamId) -> Any:
        if stream not in self._states:
            self._states[stream] = self._gateway.load(stream).state
        return self._states[stream]

    def member(self, stream: StreamId) -> Member:
        state = self.of(stream)
        assert isinstance(state, Member)
        return state

    def holder(self, claim: StreamId) -> StreamId | None:
        """Who holds a claim now."""
        state = self.of(claim)
        assert isinstance(state, ClaimState)
        return state.holder


@dataclass(frozen=True, slots=True)
class Found:
    """A match; `erased` where the data of the person whom it is about was destroyed."""

    match: Match
    erased: bool = False


class Applier:
    """Works off one message. Thread-safe."""

    def __init__(self, gateway: Gateway, identity: IdentityKeys, index: IdentityIndex) -> None:
        self._gateway = gateway
        self._identity = identity
        self._index = index

    def apply(self, claim: Claim, source: Source) -> Settlement:
        """What becomes of a message. Raises Busy, LogAway, CannotUnwrap: then it is tried again."""
        row = claim.row
        raw = claim.raw()
        if raw is None:
            return Settlement(status=Status.DEAD, reason="bytes_erased")
        charset = row.charset or source.charset
        message = read(raw, charset or None)
        if isinstance(message, Unreadable):
            return Settlement(status=Status.DEAD, reason="not_hl7", parser=PARSER_VERSION)
        said = normalise(message, source, row.received_at)
        semantic = self._semantic_hash(message)
        flags = (FLAG_PROBABLE_RESEND,) if claim.resent(semantic) else ()
        if isinstance(said, Ignored):
            return Settlement(status=Status.IGNORED, reason=said.reason, flags=flags, semantic_hash=semantic, parser=PARSER_VERSION)
        return self._apply(claim, said, source, (*flags, *said.flags), semantic)

    def _apply(self, claim: Claim, said: Notification, source: Source, flags: tuple[str, ...], semantic: bytes) -> Settlement:
        row = claim.row
        stay = self._identity.stay(said.visit.scope, said.visit.value)
        claim.one_at_a_time(stay)
        statement_key = self._statement_key(stay, said)
        known_member = claim.member_of(stay)
        sight = Sight(self._gateway)

        def settled(status: Status, reason: str = "", **more: object) -> Settlement:
            return Settlement(
                status=status, reason=reason, flags=(*flags, *extra), stay=stay, semantic_hash=semantic,
                parser=PARSER_VERSION, **more,  # type: ignore[arg-type]
            )  # fmt: skip

        extra: list[str] = [FLAG_DISCHARGE_TIME_DELETED] if said.discharged is DELETED else []
        if known_member is None and said.stay_class == StayClass.OUTPATIENT and said.kind in _ABOUT_A_STAY_ONLY:
            return settled(Status.IGNORED, "outpatient_visit")
        if row.released_by and row.member:
            who, evidence, by = row.member, BY_HAND, _actor(row.released_by, source)
        else:
            found = self._match(claim.conn, sight, said.member, known_member)
            if found.erased:
                return settled(Status.IGNORED, Reason.ERASED.value)
            match found.match:
                case Matched(member=who, evidence=evidence):
                    by = f"source:{source.name}"
                case Review(reason=why, proposed=proposed):
                    return settled(Status.WAITING, why.value, proposed=proposed)
                case Unmatched(reason=why, proposed=proposed):
                    lookup = self._lookup_keys(said.member)
                    return settled(Status.UNMATCHED, why.value, proposed=proposed, lookup=lookup)
        if claim.said_before(statement_key) is not None:
            return settled(Status.DUPLICATE, "said_before", member=who, evidence=evidence)

        statements = tuple(self._statements(said, source, row.received_at, row.control_id, row.sha256.hex()))
        occurred_at = self._occurred_at(said, row.received_at)
        orders = [
            self._order(claim, f"statement|{n}", RecordStatement(
                stream=stay, by=f"source:{source.name}", occurred_at=occurred_at, said_at=said.said_at,
                message_id=str(row.inbox_id), statement=statement,
            ))
            for n, statement in enumerate(statements)
        ]  # fmt: skip
        attribution = self._attribution(sight, who, stay, occurred_at)
        if attribution is not None:
            episode = attribution[0]
            orders.append(
                self._order(claim, f"attribution|{who}|{episode}", AttributeStay(
                    stream=who, by=by, occurred_at=occurred_at, said_at=said.said_at, message_id=str(row.inbox_id),
                    stay=stay, episode=episode, evidence=evidence,
                ))
            )  # fmt: skip
        outcome = self._gateway.handle_many(orders)
        if isinstance(outcome, Conflict):
            raise Busy
        if isinstance(outcome, Refusal):
            if outcome.code == "command-id-reused":
                extra.append(FLAG_REPLAY_DIFFERS)
                return settled(Status.APPLIED, member=who, evidence=evidence, statement_key=statement_key)
            return settled(Status.WAITING, outcome.code, member=who, evidence=evidence)
        claim.attribute(stay, who)
        caused = [recorded for accepted in outcome for recorded in accepted.facts]
        course = self._course(stay)
        caused += self._report_death(claim, course, who, source, said)
        doubts = {d.event_id: d.code for d in course.doubts}
        claim.settle_doubts(stay, tuple(doubts.values()), row.received_at)
        mine = next((doubts[r.event_id] for r in caused if r.event_id in doubts), "")
        return settled(
            Status.WAITING if mine and not row.released_by else Status.APPLIED,
            mine,
            member=who,
            evidence=evidence,
            statement_key=statement_key,
            caused=tuple((recorded, self._gateway.log.codec.name_of(recorded.fact)) for recorded in caused),
        )

    # -- whose it is

    def _match(self, conn: Connection[TupleRow], sight: Sight, said: MemberKeys, of_stay: StreamId | None) -> Found:
        holders = [h for cin in said.cins if (h := sight.holder(self._identity.cin_claim(cin))) is not None]
        by_cin = [_candidate(sight, member) for member in dict.fromkeys(holders)]
        if any(erased for _, erased in by_cin):
            return Found(Unmatched(Reason.ERASED), erased=True)
        by_name: list[Candidate] = []
        if said.family_name and said.birth_date is not None:
            by_name = [_candidate(sight, member)[0] for member in self._index.named(conn, said.family_name, said.birth_date)]
        of_visit = _candidate(sight, of_stay) if of_stay is not None else None
        if of_visit is not None and of_visit[1]:
            return Found(Unmatched(Reason.ERASED), erased=True)
        return Found(match(said, [c for c, _ in by_cin], by_name, of_visit[0] if of_visit else None))

    def _lookup_keys(self, said: MemberKeys) -> tuple[bytes, ...]:
        keys = [self._identity.cin(cin) for cin in said.cins]
        if said.family_name and said.birth_date is not None:
            keys.append(self._identity.name_and_birth_date(said.family_name, said.birth_date))
        return tuple(keys)

    # -- what it says

    def _statements(
        self, said: Notification, source: Source, received_at: Instant, control_id: str, digest: str
    ) -> Iterable[StayStatement]:
        order = order_of(said.said_at, received_at, control_id, digest)
        stay_class = StayClass(said.stay_class)
        heard_class = None if said.stay_class == UNKNOWN_CLASS else stay_class
        name, facility, trigger, zone = source.name, said.facility, said.trigger, said.zone
        disposition = said.disposition
        admitted_at = said.admitted.begins(zone) if said.admitted is not None else None
        discharged = said.discharged if said.discharged is not None and said.discharged is not DELETED else None
        discharged_at = discharged.ends(zone) if discharged is not None else None
        discharged_on = discharged.day if discharged is not None and discharged.precision < Precision.HOUR else None
        match said.kind:
            case Kind.ADMITTED | Kind.REGISTERED:
                day_only = said.admitted is not None and said.admitted.precision < Precision.HOUR
                yield MemberAdmitted(
                    order=order,
                    received_at=received_at,
                    source=name,
                    facility=facility,
                    stay_class=stay_class,
                    admitted_at=admitted_at or received_at,
                    admitted_on=said.admitted.day if said.admitted is not None and day_only else None,
                    expected_discharge_on=said.expected_discharge,
                    trigger=trigger,
                )
            case Kind.DISCHARGED:
                yield MemberDischarged(
                    order=order,
                    received_at=received_at,
                    source=name,
                    facility=facility,
                    discharged_at=discharged_at or received_at,
                    discharged_on=discharged_on,
                    disposition=disposition.code if disposition else "",
                    disposition_said=disposition.said if disposition else "",
                    stay_class=heard_class,
                    admitted_at=admitted_at,
                    trigger=trigger,
                )
            case Kind.DESCRIBED:
                yield StayDescribed(
                    order=order,
                    received_at=received_at,
                    source=name,
                    facility=facility,
                    stay_class=heard_class,
                    admitted_at=admitted_at,
                    discharged_at=discharged_at,
                    discharged_on=discharged_on,
                    disposition=disposition.code if disposition else None,
                    disposition_said=disposition.said if disposition else "",
                    died=said.died,
                    trigger=trigger,
                )
            case Kind.ADMISSION_CANCELLED:
                yield AdmissionCancelled(order=order, received_at=received_at, source=name, facility=facility, trigger=trigger)
            case Kind.DISCHARGE_CANCELLED:
                yield DischargeCancelled(order=order, received_at=received_at, source=name, facility=facility, trigger=trigger)
        expired = disposition is not None and disposition.code in _EXPIRED
        if said.died and not expired and said.kind in (Kind.ADMITTED, Kind.REGISTERED, Kind.DISCHARGED):
            yield StayDescribed(order=order, received_at=received_at, source=name, facility=facility, died=True, trigger=trigger)

    def _occurred_at(self, said: Notification, received_at: Instant) -> Instant:
        if said.occurred is None:
            return received_at
        return said.occurred.ends(said.zone) if said.kind is Kind.DISCHARGED else said.occurred.begins(said.zone)

    def _statement_key(self, stay: StreamId, said: Notification) -> bytes:
        """Equal for two messages that say the same of the same stay at the same time: a resend adds nothing."""
        occurred = said.occurred.text if said.occurred is not None else ""
        content = (said.stay_class, said.admitted, said.discharged, said.disposition, said.died, said.expected_discharge)
        return self._identity.digest("statement", stay, said.trigger, occurred, str(said.said_at), repr(content))

    def _semantic_hash(self, message: Message) -> bytes:
        """Of the message without what differs in a mere resend (MSH-7, MSH-10, EVN-2). Keyed, because it is about a person."""
        parts: list[str] = []
        for line in message.lines:
            fields = line.split(message.delimiters.field)
            skipped = {"MSH": (6, 9), "EVN": (2,)}.get(line[:3], ())
            parts.append(message.delimiters.field.join(f for n, f in enumerate(fields) if n not in skipped))
        return self._identity.digest("message", *parts)

    # -- what follows

    def _attribution(self, sight: Sight, member: StreamId, stay: StreamId, occurred_at: Instant) -> tuple[StreamId | None] | None:
        """(the episode to attribute the stay to,), or None where it is attributed as it should be.

        A stay that was nobody's episode goes to the one that is open now, if the news is not older than that episode.
        """
        known, open_episode = sight.member(member).stays.get(stay), sight.holder(claim_on_open_episode(member))
        if known is None:
            return (open_episode,)
        if known.episode is not None or open_episode is None:
            return None
        episode = sight.of(open_episode)
        assert isinstance(episode, Episode)
        begun = episode.assignment is not None and occurred_at >= episode.assignment.received_at
        return (open_episode,) if begun else None

    def _report_death(
        self, claim: Claim, course: Course, member: StreamId, source: Source, said: Notification
    ) -> tuple[Recorded, ...]:
        """A death that the stay's statements tell of is reported to the member's own stream, where it stops all contact. A report
        that was withdrawn since is not repeated."""
        death = course.death
        if death is None:
            return ()
        state = self._gateway.load(member).state
        assert isinstance(state, Member)
        if state.death() is not None or any(entry.recorded_at >= death.known_at for entry in state.deaths):
            return ()
        command = ReportDeath(
            stream=member, by=f"source:{source.name}", occurred_at=death.at, said_at=said.said_at,
            message_id=str(claim.row.inbox_id), source="hospital",
        )  # fmt: skip
        outcome = self._gateway.handle_many((self._order(claim, f"death|{death.event_id}", command),))
        if isinstance(outcome, Conflict):
            raise Busy
        return () if isinstance(outcome, Refusal) else tuple(r for accepted in outcome for r in accepted.facts)

    def _order(self, claim: Claim, what: str, command: Command) -> Order:
        row = claim.row
        return Order(
            command=command,
            command_id=self._identity.command(row.inbox_id, what),
            causation=str(row.inbox_id),
            correlation=str(row.inbox_id),
            trace=row.trace or None,
        )

    def _course(self, stay: StreamId) -> Course:
        state = self._gateway.load(stay).state
        assert isinstance(state, Stay)
        return state.course()


def _candidate(sight: Sight, stream: StreamId) -> tuple[Candidate, bool]:
    """What matching needs of a member, and whether their data was erased."""
    member = sight.member(stream)
    born = date.fromisoformat(member.birth_date) if member.birth_date else None
    return Candidate(stream, member.cin, member.family_name, member.given_name, born), member.erased


_ABOUT_A_STAY_ONLY: Final = (Kind.DESCRIBED, Kind.ADMISSION_CANCELLED, Kind.DISCHARGE_CANCELLED)
"""Of an outpatient visit that we never took up, these say nothing that anybody needs."""


def _actor(person: str, source: Source) -> str:
    return person if person.startswith("staff-") else f"source:{source.name}"
