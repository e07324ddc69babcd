"""From a stored message to the log: parse, match, and hand the statement to the stay and the attribution to the member.

Everything goes through the gateway, under command ids made of the inbox id, so a message may be worked off any number of times.
What a statement means for a member is decided by the core; what is odd about one is written on the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Final
from uuid import UUID

from opentelemetry import trace as otel

from domain.core import Instant, Recorded, Refusal, StreamId
from domain.episode.state import Episode
from domain.member.decider import AttributeStay, Member, ReportDeath
from domain.member.identity import MESSAGE_ID, MoveStay
from domain.member.visit_words import ExplainVisit
from domain.stay.course import Course, Said, course_of
from domain.stay.decider import JoinStay, RecordStatement, Stay
from domain.stay.facts import (
    MOVED_AWAY,
    AdmissionCancelled,
    MemberAdmitted,
    MemberDischarged,
    MemberMoved,
    MoveCancelled,
    StayClass,
    StayStatement,
)
from domain.timeline import Entry
from eventlog.gateway import ORDERS_MAX, Accepted, Conflict, Gateway, Order
from eventlog.traces import context_of, traceparent_of
from intake.people import person_orders
from intake.people.identity import IdentityKeys
from intake.people.index import IdentityIndex
from intake.people.matching import Matched, Reason, Review, Unmatched
from intake.people.readings import Reading, Sight, Wanted
from intake.people.recognising import Asked, Recogniser, Seen
from intake.reading.er7 import DELETED
from intake.reading.forms import NotRead, Parts, Read, read_stored
from intake.reading.notification import Ignored, Kind, Notification, VisitKey
from intake.reading.persons import PersonNotice
from intake.reading.statements import occurred_at_of, rank_of, statements_of
from intake.senders.sources import Source, Sources
from intake.store.claims import NUMBERS_MAX, Heard, Messages
from intake.store.inbox import DEATH_TAKEN_BACK, HOUSE_UNCLEAR, PARTS_OPEN, REPLAYED, Row, Settlement, Status

FLAG_PROBABLE_RESEND: Final = "probable_resend"
FLAG_DISCHARGE_TIME_DELETED: Final = "discharge_time_deleted"
FLAG_REPLAY_DIFFERS: Final = "replay_differs"
BY_HAND: Final = "by_hand"

TO_ANOTHER_HOSPITAL: Final = "02"
"""The disposition of a stay that ends because its hospital moved the member to another of its facilities."""

_tracer = otel.get_tracer("throughline.intake")


class Busy(Exception):
    """The streams stayed busy; the message is to be tried again."""


class Applier:
    """Works off batches of messages. Thread-safe."""

    def __init__(self, gateway: Gateway, identity: IdentityKeys, index: IdentityIndex) -> None:
        self._gateway = gateway
        self._identity = identity
        self._recogniser = Recogniser(identity, index)

    def apply(self, batch: Messages, sources: Sources, now: Instant) -> Iterable[tuple[Row, Settlement]]:
        """Settle every message of the batch; what became of each. Raises Busy, LogAway, CannotUnwrap: then they are tried again.

        Messages of the same stay, and those that say the same, are worked off one after the other; all others side by side."""
        settled: list[tuple[Row, Settlement]] = []
        with _spans(batch.rows) as traces:
            pending: list[Reading] = []
            for row, trace in zip(batch.rows, traces, strict=True):
                found = self._read(batch, row, sources, trace, now)
                if isinstance(found, Settlement):
                    settled.append((row, found))
                else:
                    pending.append(found)
            batch.settle(settled, now)
            pending = self._continued(batch, pending)
            batch.one_at_a_time(stay for r in pending for stay in r.concerned)
            while pending:
                wave, pending = _apart(pending)
                done = self._wave(batch, wave, now)
                batch.settle(done, now)
                settled += done
            wholes = {row.inbox_id if to.reason == PARTS_OPEN else row.part_of for row, to in settled}
            batch.settle_wholes((whole for whole in wholes if whole is not None), now)
        return settled

    def _read(self, batch: Messages, row: Row, sources: Sources, trace: str, now: Instant) -> Settlement | Reading:
        source = sources.named(row.source_id)
        if source is None:
            return Settlement(status=Status.WAITING, reason="source_unknown")
        raw = batch.raw(row)
        if raw is None:
            return Settlement(status=Status.DEAD, reason="bytes_erased")
        found = read_stored(raw, row, source)
        if isinstance(found, NotRead):
            return Settlement(status=Status.DEAD, reason=found.reason, parser=found.parser)
        if isinstance(found, Parts):
            batch.take_apart(row, found.parts, now)
            return Settlement(status=Status.WAITING, reason=PARTS_OPEN, parser=found.parser)
        said, semantic = found.said, self._identity.digest("message", *found.content)
        if not isinstance(said, Notification):
            return Reading(row=row, source=source, said=said, parser=found.parser, semantic=semantic, trace=trace)
        stay, renumbered, left = self._stay_of(said.visit), None, None
        if said.prior_visit is not None:
            prior = self._stay_of(said.prior_visit)
            if said.prior_facility:
                left = prior
            else:
                stay, renumbered = prior, stay
        return Reading(
            row=row, source=source, said=said, parser=found.parser, semantic=semantic, trace=trace, stay=stay,
            statement_key=self._statement_key(stay, said), renumbered=renumbered, left=left,
            houses=tuple((house, self._stay_of(said.in_house(house))) for house in said.houses),
            unhoused=self._stay_of(said.unhoused) if said.unhoused is not None else None,
        )  # fmt: skip

    def _continued(self, batch: Messages, readings: Sequence[Reading]) -> list[Reading]:
        """The messages with the stays for which they count: a hospital may have given a visit another number. Where this is not
        known yet, the log writes a message to the stay that goes on by itself."""
        asked = {stay for r in readings for stay in (r.stay, r.left, *(stay for _, stay in r.houses)) if stay is not None}
        goes_on = batch.continued(asked)
        if not goes_on:
            return list(readings)
        return [
            replace(
                r, stay=r.stay and goes_on.get(r.stay, r.stay), left=r.left and goes_on.get(r.left, r.left),
                houses=tuple((house, goes_on.get(stay, stay)) for house, stay in r.houses),
            )
            for r in readings
        ]  # fmt: skip

    def _wave(self, batch: Messages, wave: Sequence[Reading], now: Instant) -> list[tuple[Row, Settlement]]:
        """Messages of which none bears on another."""
        settled: list[tuple[Row, Settlement]] = []
        housed: list[Reading] = []
        named = [r.unhoused for r in wave if r.unhoused is not None]
        unhoused = self._gateway.load_many(named) if named else {}
        for reading in wave:
            if reading.unhoused is not None and unhoused[reading.unhoused].state.said:
                reading = self._with_what_named_no_house(reading, unhoused[reading.unhoused].state)
            at = self._in_its_house(batch, reading)
            if isinstance(at, Settlement):
                settled.append((reading.row, at))
            else:
                housed.append(at)
        wave = housed
        heard = batch.heard([r.question for r in wave])
        owners = batch.owners({stay for r in wave for stay in r.besides})
        seen = self._seen(batch, wave, heard)
        wanted: list[Wanted] = []
        for reading in wave:
            found = self._asked(seen, reading, heard[reading.row.inbox_id], owners)
            if isinstance(found, Wanted):
                wanted.append(found)
            else:
                settled.append((reading.row, found))
        if wanted:
            settled += self._carried_out(batch, wanted, now)
        return settled

    def _stay_of(self, visit: VisitKey) -> StreamId:
        return self._identity.stay(visit.scope, visit.value)

    def _in_its_house(self, batch: Messages, reading: Reading) -> Reading | Settlement:
        """The message as being about the visit in the one house that has it; it waits where several have, and nobody has looked.

        What was said before it decides who has the visit open, however late it comes. Of a visit that is over everywhere a
        message is where it was, but for an admission: that begins one."""
        said = reading.said
        if not reading.houses:
            return reading
        assert isinstance(said, Notification) and reading.stay is not None
        here = reading.stay
        loaded = self._gateway.load_many((here, *(stay for _, stay in reading.houses)))
        states = {stream: it.state for stream, it in loaded.items()}
        known = [(house, stay) for house, stay in reading.houses if states[stay].said and states[stay].continued_as is None]
        said_at = {house: said if said.facility_known else self._said_in(batch, reading, house) for house, _ in known}
        open_ = [(house, stay) for house, stay in known if _is_open(states[stay], rank_of(said_at[house], reading.row))]
        if said.facility_known:
            meant = [] if _is_open(states[here], rank_of(said, reading.row)) else open_
        else:
            meant = open_ or ([] if said.kind in (Kind.ADMITTED, Kind.REGISTERED) else known)
        if len(meant) > 1 and not reading.row.released_by:
            return reading.settled(Status.WAITING, HOUSE_UNCLEAR, said.flags)
        if len(meant) != 1:
            return replace(reading, houses=())
        ((house, stay),) = meant
        if said.facility_known:
            said = replace(said, prior_facility=house)
            return replace(reading, said=said, left=stay, houses=())
        said = replace(said_at[house], facility=house, visit=said.in_house(house))
        return replace(reading, said=said, stay=stay, statement_key=self._statement_key(stay, said), houses=())

    def _with_what_named_no_house(self, reading: Reading, unhoused: Stay) -> Reading:
        """The message with the stay of those that came before it and named no house, where each of them would be about its house,
        had it come after (`_in_its_house`); else they stay by themselves. In another zone they would have said other times."""
        said, source, here = reading.said, reading.source, reading.stay
        assert isinstance(said, Notification) and here is not None
        if unhoused.continued_as is not None or reading.renumbered is not None or source.zone_at(said.facility) != source.timezone:
            return reading
        stays = {house.id: self._stay_of(said.in_house(house.id)) for house in source.facilities} | {said.facility: here}
        loaded = self._gateway.load_many(stays.values())
        states: dict[str, Stay] = {house: loaded[stay].state for house, stay in stays.items()}
        order, at = rank_of(said, reading.row), reading.row.received_at
        told = (Said(fact, "", at, at, "") for fact in statements_of(said, source, at, order))
        states[said.facility] = Stay(tuple(sorted((*states[said.facility].said, *told), key=lambda one: one.rank)))
        known = {house: state for house, state in states.items() if state.said and state.continued_as is None}
        for statement in (entry.fact for entry in unhoused.said):
            open_ = [house for house, state in known.items() if _is_open(state, statement.order)]
            begins = isinstance(statement, MemberAdmitted)
            if (open_ or ([] if begins else list(known))) != [said.facility]:
                return reading
        return replace(reading, renumbered=reading.unhoused)

    def _said_in(self, batch: Messages, reading: Reading, house: str) -> Notification:
        """What a message that names no house says if it is about one's visit: its times are of that house's zone."""
        said, raw = reading.said, batch.raw(reading.row)
        assert isinstance(said, Notification) and raw is not None
        if reading.source.zone_at(house) == said.zone.name:
            return said
        found = read_stored(raw, reading.row, reading.source, house)
        assert isinstance(found, Read) and isinstance(found.said, Notification)
        return found.said

    def _seen(self, batch: Messages, wave: Sequence[Reading], heard: Mapping[UUID, Heard]) -> Seen:
        """Everybody whom the messages may be about."""
        asked = []
        for r in wave:
            by_hand = r.row.member if r.row.released_by and r.row.member else None
            if isinstance(r.said, Notification):
                asked.append(Asked(r.said.member, heard[r.row.inbox_id].member, by_hand))
            elif isinstance(r.said, PersonNotice):
                asked.append(Asked(r.said.member, None, by_hand, r.said.retired, r.said.retired_cins))
        return self._recogniser.see(batch.conn, Sight(self._gateway), asked)

    def _asked(
        self, seen: Seen, reading: Reading, heard: Heard, owners: Mapping[StreamId, StreamId]
    ) -> Wanted | Settlement:  # fmt: skip
        row, said, source = reading.row, reading.said, reading.source
        flags = (FLAG_PROBABLE_RESEND,) if heard.resent else ()
        if isinstance(said, Ignored):
            return reading.settled(Status.IGNORED, said.reason, flags)
        if isinstance(said, PersonNotice):
            return person_orders.asked(self._recogniser, self._identity, seen, reading, (*flags, *said.flags))
        assert reading.stay is not None
        flags = (*flags, *said.flags, *((FLAG_DISCHARGE_TIME_DELETED,) if said.discharged is DELETED else ()))
        passing = said.stay_class == StayClass.OUTPATIENT and said.kind in _ABOUT_A_STAY_ONLY and not said.died
        if passing and heard.member is None:
            return reading.settled(Status.IGNORED, "outpatient_visit", flags)
        if row.released_by and row.member:
            if row.reason == REPLAYED and heard.member is not None and heard.member not in seen.sight.person(row.member):
                both = (row.member, heard.member)  # the stay was moved since: the older word does not move it back
                return reading.settled(Status.WAITING, Reason.VISIT_OF_ANOTHER.value, flags, proposed=both)
            who, evidence, by = row.member, BY_HAND, _actor(row.released_by, source)
        else:
            found = self._recogniser.recognise(seen, said.member, heard.member, str(row.inbox_id), row.received_at.date())
            if found.erased:
                return reading.settled(Status.IGNORED, Reason.ERASED.value, flags)
            match found.match:
                case Matched(member=who, evidence=evidence):
                    by = f"source:{source.name}"
                case Review(reason=why):
                    return reading.settled(Status.WAITING, why.value, flags, proposed=found.proposed, outcome=found.outcome)
                case Unmatched(reason=why):
                    return reading.settled(
                        Status.UNMATCHED, why.value, flags, proposed=found.proposed, outcome=found.outcome,
                        lookup=self._recogniser.lookup(seen, said.member),
                    )  # fmt: skip
        theirs = seen.sight.person(who)
        foreign = {stay: owners[stay] for stay in reading.besides if stay in owners and owners[stay] not in theirs}
        if reading.unhoused is not None and foreign.pop(reading.unhoused, None) is not None:
            reading = reading.without({reading.unhoused})  # somebody else's, in another house
        if foreign and evidence != BY_HAND:
            proposed = tuple(dict.fromkeys((who, *foreign.values())))
            return reading.settled(Status.WAITING, Reason.VISIT_OF_ANOTHER.value, flags, proposed=proposed)
        reading = reading.without(foreign)
        elsewhere = (heard.member,) if heard.member is not None and heard.member not in theirs else ()
        if elsewhere and evidence != BY_HAND:  # not theirs, somebody said; whose the stay is then, nobody has said yet
            return reading.settled(Status.WAITING, Reason.VISIT_OF_ANOTHER.value, flags, proposed=(who, *elsewhere))
        if heard.said_before and not elsewhere:
            return reading.settled(Status.DUPLICATE, "said_before", flags, member=who, evidence=evidence)
        anew = self._reading_anew(seen.sight, reading, said) if row.parser else 0
        if anew:
            flags = (*flags, FLAG_REPLAY_DIFFERS)
        orders = [*self._orders(seen, reading, said, who, evidence, by, anew, heard.member)]
        orders += self._explained(seen.sight, reading, said, who)
        told = {"occurred_at": occurred_at_of(said, row.received_at), "said_at": said.said_at, "message_id": str(row.inbox_id)}
        for taught in self._recogniser.taught(seen, reading, said.member, who, **told):
            if isinstance(taught, str):
                flags = (*flags, taught)
            else:
                orders.append(taught)
        proposed = (who, *elsewhere)
        return Wanted(
            reading=reading, flags=flags, member=who, evidence=evidence, orders=tuple(orders), person=theirs, proposed=proposed
        )  # fmt: skip

    def _orders(
        self, seen: Seen, reading: Reading, said: Notification, member: StreamId, evidence: str, by: str, anew: int,
        before: StreamId | None,
    ) -> Iterable[Order]:  # fmt: skip
        """The statements for the stay; and for the member that the stay is theirs, where that is not known yet. `anew`: which
        reading of the message this is, where an earlier one said something else; `before`: whose the stay was until now."""
        row, source, stay, sight = reading.row, reading.source, reading.stay, seen.sight
        assert stay is not None
        occurred_at = occurred_at_of(said, row.received_at)
        told: dict[str, Any] = {"occurred_at": occurred_at, "said_at": said.said_at, "message_id": str(row.inbox_id)}
        feed = f"source:{source.name}"
        if reading.renumbered is not None:
            house = said.facility if reading.renumbered == reading.unhoused else ""
            join = JoinStay(
                stream=stay, by=feed, other=reading.renumbered, source=source.name, trigger=said.trigger, facility=house, **told
            )  # fmt: skip
            yield reading.order(self._identity, "join", join)
        order, which = rank_of(said, row), f"|{anew}" if anew else ""
        order += f"|~{anew:04d}" if anew else ""  # ranks right above what this message was understood to say before
        for n, statement in enumerate(statements_of(said, source, row.received_at, order)):
            record = RecordStatement(stream=stay, by=feed, statement=statement, **told)
            yield reading.order(self._identity, f"statement|{n}{which}", record)
        for n, (other, statement) in enumerate(self._between_houses(sight, reading, said, member, order, occurred_at)):
            record = RecordStatement(stream=other, by=feed, statement=statement, **told)
            yield reading.order(self._identity, f"left{n or ''}{which}", record)
        if before is not None and before not in sight.person(member):
            sight.fetch((before,))
            numbers = tuple(key.hex() for key in seen.names.numbers(said.member.record_numbers))
            moved = MoveStay(
                stream=before, by=by, stay=stay, rightful=member, episode=sight.own_episode(member), numbers=numbers,
                reason=evidence, message_id=str(row.inbox_id),
            )  # fmt: skip
            known = sight.member(before).stays.get(stay)  # another word, if it is theirs by another one than before
            yield reading.order(self._identity, f"moved|{before}|{member}|{known.event_id if known else ''}", moved)
            return
        for concerned in (stay,) if reading.left is None else (reading.left, stay):
            # One of the person's members has it: were it two, both would after they are separated.
            whose = next((one for one in sight.person(member) if concerned in sight.member(one).stays), member)
            attribution = self._attribution(sight, whose, concerned, occurred_at)
            if attribution is not None:
                (episode,) = attribution
                yield reading.order(self._identity, f"attribution|{whose}|{concerned}|{episode}", AttributeStay(
                    stream=whose, by=by, stay=concerned, episode=episode, evidence=evidence, **told,
                ))  # fmt: skip

    def _explained(self, sight: Sight, reading: Reading, said: Notification, member: StreamId) -> Iterator[Order]:
        """What the hospital says brought the member: on the stream of whoever has the stay, whose key seals it."""
        if not said.explained and reading.renumbered is None:
            return
        row, stay, order = reading.row, reading.stay, rank_of(said, reading.row)
        assert stay is not None
        occurred_at = occurred_at_of(said, row.received_at)
        whose = next((one for one in sight.person(member) if stay in sight.member(one).stays), member)
        before = sight.member(whose).explained.items()
        taken = [(about, e.order, e.words or "") for (of, about), e in before if of == reading.renumbered]
        told = [*taken, *((about, order, words) for about, words in said.explained.items())]
        for about, order, words in sorted(told, key=lambda each: each[1]):
            # Read anew, it may say something else: then it is another command.
            digest = self._identity.digest("words", order, words, occurred_at.isoformat()).hex()[:16]
            yield reading.order(self._identity, f"explained|{whose}|{about}|{digest}", ExplainVisit(
                stream=whose, by=f"source:{reading.source.name}", visit=stay, about=about, order=order, words=words,
                occurred_at=occurred_at, said_at=said.said_at, message_id=str(row.inbox_id),
            ))  # fmt: skip

    def _between_houses(
        self, sight: Sight, reading: Reading, said: Notification, member: StreamId, order: str, occurred_at: Instant
    ) -> Iterator[tuple[StreamId, StayStatement]]:
        """What a move between facilities says of the other one's stay: it ends where the member was moved from; it never was where
        a move had led to that is cancelled, by this message or by one that came before the move."""
        row, source = reading.row, reading.source
        who: dict[str, Any] = {"source": source.name, "trigger": said.trigger}
        if said.kind is Kind.MOVE_CANCELLED:
            left = reading.left or self._moved_to(sight, reading, member)
            if left is not None:
                yield left, AdmissionCancelled(order=order, received_at=row.received_at, facility=said.prior_facility, **who)
        elif reading.left is not None:
            yield reading.left, MemberDischarged(
                order=order, received_at=row.received_at, facility=said.prior_facility, discharged_at=occurred_at,
                disposition=TO_ANOTHER_HOSPITAL, **who,
            )  # fmt: skip
            later = (s.fact for s in sight.of(reading.left).said if s.fact.order > order and isinstance(s.fact, _WHERE_TO))
            cancelled = next(later, None)
            if isinstance(cancelled, MoveCancelled) and reading.stay is not None:
                who = {"source": cancelled.source, "trigger": cancelled.trigger}
                yield reading.stay, AdmissionCancelled(
                    order=cancelled.order, received_at=cancelled.received_at, facility=said.facility, **who
                )  # fmt: skip

    def _moved_to(self, sight: Sight, reading: Reading, member: StreamId) -> StreamId | None:
        """The stay in another facility that the latest move out of this one opened: both were said by the same message."""
        assert reading.stay is not None
        ended = (said.fact for said in sight.of(reading.stay).said if isinstance(said.fact, MemberDischarged))
        moves = [fact.order for fact in ended if fact.trigger == MOVED_AWAY]
        stays = [stay for one in sight.person(member) for stay in sight.member(one).stays if stay != reading.stay] if moves else []
        sight.fetch(stays)
        return next((stay for stay in stays if any(s.fact.order == max(moves) for s in sight.of(stay).said)), None)

    def _carried_out(self, batch: Messages, wanted: Sequence[Wanted], now: Instant) -> list[tuple[Row, Settlement]]:
        outcomes = self._outcomes(wanted)
        done = [w for w in wanted if isinstance(outcomes[w.reading.row.inbox_id], tuple)]
        stays = {stay: w for w in done for stay in (w.reading.stay, w.reading.left) if stay is not None}
        known: dict[StreamId, Stay] = {}
        whose: dict[StreamId, StreamId] = {}
        if stays:
            joined = {w.reading.renumbered: w.reading.stay for w in done if w.reading.renumbered is not None}
            people = {member for w in stays.values() for member in w.person}
            loaded = {stream: found.state for stream, found in self._gateway.load_many({*stays, *joined, *people}).items()}
            # Whose they are is the log's word: a replay may have repeated what was said before a stay was moved.
            whose = {stay: member for stay, w in stays.items() for member in reversed(w.person) if stay in loaded[member].stays}
            batch.attribute(whose | {former: whose[stay] for former, stay in joined.items() if stay in whose}, now)
            goes_on, known = self._surviving({stay: loaded[stay] for stay in (*stays, *joined)})
            whose = {goes_on[stay]: member for stay, member in whose.items()} | whose
            batch.renumber({stay: goes_on[stay] for stay in joined})
            wanted = [w.on(goes_on) for w in wanted]
        settled = [(w.reading.row, self._settled(batch, w, outcomes[w.reading.row.inbox_id], known, whose)) for w in wanted]
        if stays:
            standing = {stay: tuple(doubt.code for doubt in it.course().doubts) for stay, it in known.items()}
            batch.settle_doubts(standing, [w.reading.row.inbox_id for w in done], now)
        return settled

    def _surviving(self, states: dict[StreamId, Stay]) -> tuple[dict[StreamId, StreamId], dict[StreamId, Stay]]:
        """As which each stay goes on, by the log itself: the index may not know yet; and those that do, under both names."""
        goes_on = {stay: stay for stay in states}
        for _ in range(NUMBERS_MAX):
            goes_on = {stay: states[at].continued_as or at for stay, at in goes_on.items()}
            missing = {at for at in goes_on.values() if at not in states}
            if not missing:
                break
            for stay, loaded in self._gateway.load_many(missing).items():
                assert isinstance(loaded.state, Stay)
                states[stay] = loaded.state
        return goes_on, {name: states.get(at, Stay()) for stay, at in goes_on.items() for name in (stay, at)}

    def _outcomes(self, wanted: Sequence[Wanted]) -> dict[UUID, tuple[Accepted, ...] | Refusal]:
        """What the log made of each message: as many in one append as it takes; one by one where they do not go together.

        Raises Busy."""
        found: dict[UUID, tuple[Accepted, ...] | Refusal] = {}
        for group in _together(wanted):
            found |= self._outcomes_of(group)
        return found

    def _outcomes_of(self, wanted: Sequence[Wanted]) -> dict[UUID, tuple[Accepted, ...] | Refusal]:
        if not any(w.orders for w in wanted):
            return {w.reading.row.inbox_id: () for w in wanted}
        if len(wanted) > 1:
            together = self._gateway.handle_many([order for w in wanted for order in w.orders])
            if isinstance(together, tuple):
                rest = iter(together)
                return {w.reading.row.inbox_id: tuple(islice(rest, len(w.orders))) for w in wanted}
        found: dict[UUID, tuple[Accepted, ...] | Refusal] = {}
        for w in wanted:
            outcome = self._gateway.handle_many(w.orders) if w.orders else ()
            if isinstance(outcome, Conflict):
                raise Busy
            found[w.reading.row.inbox_id] = outcome
        return found

    def _settled(
        self, batch: Messages, w: Wanted, outcome: tuple[Accepted, ...] | Refusal, stays: Mapping[StreamId, Stay],
        whose: Mapping[StreamId, StreamId],
    ) -> Settlement:  # fmt: skip
        reading, row = w.reading, w.reading.row
        if isinstance(outcome, Refusal):
            if outcome.code == "command-id-reused":
                return reading.settled(
                    Status.APPLIED, "", (*w.flags, FLAG_REPLAY_DIFFERS), member=w.member, evidence=w.evidence,
                    statement_key=reading.statement_key,
                )  # fmt: skip
            return reading.settled(Status.WAITING, outcome.code, w.flags, member=w.member, evidence=w.evidence, proposed=w.proposed)
        caused = [recorded for accepted in outcome for recorded in accepted.facts]
        doubts: dict[str, str] = {}
        taken_back: tuple[StreamId, ...] = ()
        if reading.stay is not None and isinstance(reading.said, Notification):
            stay, holder = stays[reading.stay], whose.get(reading.stay, w.member)
            course = stay.course()
            caused += self._report_death(reading, course, holder, reading.said)
            doubts = {doubt.event_id: doubt.code for doubt in course.doubts}
            report = self._death_stands_alone(stay, holder)
            if report is not None and (
                row.released_by or _took_back(stay, caused) or not self._stands(batch, reading, holder, report)
            ):
                taken_back = (holder,)
        elif isinstance(reading.said, PersonNotice) and reading.said.alive:
            report = self._said_to_live(reading, w.member)
            if report is not None and (row.released_by or not self._stands(batch, reading, w.member, report)):
                taken_back = (w.member,)
        mine = next((doubts[r.event_id] for r in caused if r.event_id in doubts), DEATH_TAKEN_BACK if taken_back else "")
        return reading.settled(
            Status.WAITING if mine and not row.released_by else Status.APPLIED,
            mine,
            w.flags,
            member=w.member,
            evidence=w.evidence,
            proposed=taken_back if mine == DEATH_TAKEN_BACK else (),
            statement_key=reading.statement_key,
            caused=tuple((recorded, self._gateway.log.codec.name_of(recorded.fact)) for recorded in caused),
        )

    # -- what it says

    def _statement_key(self, stay: StreamId, said: Notification) -> bytes:
        """Equal for two messages that say the same of the same stay at the same time: a resend adds nothing."""
        occurred = said.occurred.text if said.occurred is not None else ""
        content = (
            said.stay_class, said.admitted, said.discharged, said.disposition, said.died, said.died_at, said.expected_discharge,
            said.location, said.move, said.expected, said.prior_visit, said.kind,
        )  # fmt: skip
        return self._identity.digest("statement", stay, said.trigger, occurred, str(said.said_at), repr(content))

    def _reading_anew(self, sight: Sight, reading: Reading, said: Notification) -> int:
        """Which reading of this message the present one is: 0 for the first, or where it says what the first said. A parser or a
        registry that has learned since makes another, which corrects the earlier; nothing is taken back."""
        assert reading.stay is not None
        state, order = sight.of(reading.stay), rank_of(said, reading.row)
        assert isinstance(state, Stay)
        heard = [s.fact for s in state.said if s.fact.order.startswith(order)]
        if not heard:
            return 0
        numbers = sorted({fact.order for fact in heard})
        latest = [replace(fact, order=order) for fact in heard if fact.order == numbers[-1]]
        now_said = [
            replace(s, received_at=latest[0].received_at)
            for s in statements_of(said, reading.source, reading.row.received_at, order)
        ]
        same = len(now_said) == len(latest) and all(statement in latest for statement in now_said)
        return len(numbers) - 1 if same else len(numbers)

    # -- what follows

    def _attribution(self, sight: Sight, member: StreamId, stay: StreamId, occurred_at: Instant) -> tuple[StreamId | None] | None:
        """(the episode to attribute the stay to,), or None where it is attributed as it should be.

        A stay that was nobody's episode goes to the one that is open now, if the news is not older than that episode. Of a person
        of several members it is the member's own: another's sees the stay through the link, as long as there is one (ADR 0025).
        """
        known, open_episode = sight.member(member).stays.get(stay), sight.own_episode(member)
        if known is None:
            return (open_episode,)
        if known.episode is not None or open_episode is None:
            return None
        episode = sight.of(open_episode)
        assert isinstance(episode, Episode)
        begun = episode.assignment is not None and occurred_at >= episode.assignment.received_at
        return (open_episode,) if begun else None

    def _report_death(self, reading: Reading, course: Course, member: StreamId, said: Notification) -> tuple[Recorded, ...]:
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
            stream=member, by=f"source:{reading.source.name}", occurred_at=death.at, said_at=said.said_at,
            message_id=str(reading.row.inbox_id), source="hospital",
        )  # fmt: skip
        outcome = self._gateway.handle_many((reading.order(self._identity, f"death|{death.event_id}", command),))
        if isinstance(outcome, Conflict):
            raise Busy
        return () if isinstance(outcome, Refusal) else tuple(r for accepted in outcome for r in accepted.facts)

    def _stands(self, batch: Messages, reading: Reading, member: StreamId, report: Entry) -> bool:
        """Whether somebody found before that the report stands although this stay, or this hospital, takes it back."""
        state = self._gateway.load(member).state
        assert isinstance(state, Member)
        recognised = [
            UUID(message) for message, theirs in state.identity.messages.items() if theirs and MESSAGE_ID.fullmatch(message)
        ]
        return batch.released(DEATH_TAKEN_BACK, reading.row.source_id, recognised, reading.stay, report.recorded_at)

    def _death_stands_alone(self, stay: Stay, member: StreamId) -> Entry | None:
        """The report that the member died, where it is on this stay's word, and the stay does not say so any more."""
        if stay.course().death is not None or not stay.told_of_death():
            return None
        state = self._gateway.load(member).state
        assert isinstance(state, Member)
        report, stated = _standing_report(state), stay.instants()
        return report if report is not None and report.at in stated else None

    def _said_to_live(self, reading: Reading, member: StreamId) -> Entry | None:
        """The report that the member died, where it is on the word of the very hospital that says otherwise since."""
        said = reading.said
        assert isinstance(said, PersonNotice)
        state = self._gateway.load(member).state
        assert isinstance(state, Member)
        report, said_at = _standing_report(state), said.said_at or reading.row.received_at
        theirs = report is not None and report.actor == f"source:{reading.source.name}" and said_at >= report.at
        return report if theirs else None


def _apart(readings: Sequence[Reading]) -> tuple[list[Reading], list[Reading]]:
    """Those of which none bears on another, and the rest, in order."""
    wave: list[Reading] = []
    rest: list[Reading] = []
    taken: set[StreamId | bytes] = set()
    for reading in readings:
        keys: set[StreamId | bytes] = {*reading.concerned, reading.semantic}
        (rest if keys & taken else wave).append(reading)
        taken |= keys
    return wave, rest


def _together(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Parts that one append can take: a command locks four streams at most."""
    group: list[Wanted] = []
    orders = 0
    for w in wanted:
        if group and orders + len(w.orders) > ORDERS_MAX:
            yield group
            group, orders = [], 0
        group.append(w)
        orders += len(w.orders)
    if group:
        yield group


@contextmanager
def _spans(rows: Sequence[Row]) -> Iterator[list[str]]:
    """The messages' own spans under those in which they were received, as traceparents. Where nobody records spans there is none
    but the first, which tells so; the messages' traces go on as they are."""
    spans = [_span(row) for row in rows[:1]]
    if spans and spans[0].is_recording():
        spans += map(_span, rows[1:])
    traces = [traceparent_of(span) or row.trace for span, row in zip(spans, rows, strict=False)]
    try:
        yield traces + [row.trace for row in rows[len(spans) :]]
    finally:
        for span in spans:
            span.end()


def _span(row: Row) -> otel.Span:
    return _tracer.start_span("intake.apply", context=context_of(row.trace), attributes={"throughline.inbox_id": str(row.inbox_id)})


def _standing_report(member: Member) -> Entry | None:
    """The report of death that stands, where it is a hospital's."""
    standing = member.death()
    found = (entry for entry in member.deaths if standing is not None and entry.event_id == standing[0])
    return next((entry for entry in found if entry.fact.source == person_orders.FROM_HOSPITAL), None)


def _is_open(stay: Stay, order: str) -> bool:
    """Whether the member was there by what was said before a message of this rank."""
    course = course_of(said for said in stay.said if said.fact.order < order)
    return course.admission is not None and course.discharge is None


def _took_back(stay: Stay, caused: Sequence[Recorded]) -> bool:
    """Whether the stay told of a death until these statements came."""
    mine = {recorded.event_id for recorded in caused}
    return course_of(said for said in stay.said if said.event_id not in mine).death is not None


_WHERE_TO: Final = (MemberMoved, MoveCancelled, MemberDischarged)
"""What says where the member went from a facility."""

_ABOUT_A_STAY_ONLY: Final = (Kind.DESCRIBED, Kind.ADMISSION_CANCELLED, Kind.DISCHARGE_CANCELLED)
"""Of an outpatient visit that we never took up, these say nothing that anybody needs."""


def _actor(person: str, source: Source) -> str:
    return person if person.startswith("staff-") else f"source:{source.name}"
