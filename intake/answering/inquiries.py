"""A hospital asks whether its patient is enrolled, and whom to name on the discharge document (domain.md 3.1).

Answered for one person exactly and no other: a CIN, or the record number that we know of that hospital, together with last name and
birth date. Whatever is partial, ambiguous, unknown or protected gets the same answer. Every question is in the access log before it
is answered, and every yes on the member's own stream before it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from domain.core import Refusal, StreamId
from domain.episode.disclosing import DiscloseEnrolment
from domain.episode.state import claim_on_open_episode
from domain.member.decider import Claim as ClaimState
from domain.member.decider import Member
from domain.member.disclosures import EnrolmentDisclosed
from domain.member.person import streams_of
from domain.staff.facts import StaffJoined
from eventlog.clock import Clock
from eventlog.gateway import Accepted, Conflict, Gateway
from intake.applying.apply import Busy
from intake.people.identity import IdentityKeys
from intake.people.index import IdentityIndex
from intake.reading.identifiers import cin_of, name_key, names_agree
from intake.senders.sources import Source
from intake.store.inbox import Inbox

AN_HOUR: Final = timedelta(hours=1)
TOLD, NOTHING, UNANSWERED = "told", "nothing_to_tell", "unanswered"
TRIES_MAX: Final = 3
ANSWER_EVERY_SECONDS: Final = 0.25
"""Answers leave this long after the question, or at the next multiple of it: what takes longer for a member whose enrolment is
protected than for a stranger is not to be measured."""


class NotAllowed(Exception):
    """The source may not ask at all."""


class TooMany(Exception):
    """The source asked as often as it may within the hour."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("inquiries_per_hour")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """About whom. Personal data: in memory, nowhere else. `record_number` is the asking source's own, of `authority` as its
    messages call it (empty: the source itself)."""

    family_name: str
    birth_date: date | None
    given_name: str = ""
    cin: str = ""
    record_number: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class CareManager:
    """Who leads the member's care. Both empty where nobody does yet, or nobody has a number: then it is the programme's own."""

    name: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer. No care manager: there is nothing to tell, for whatever reason."""

    inquiry_id: UUID
    answered_at: datetime
    enrolled: bool
    care_manager: CareManager | None = None


class Inquiries:
    """Answers hospitals. Thread-safe."""

    def __init__(
        self,
        inbox: Inbox,
        gateway: Gateway,
        identity: IdentityKeys,
        index: IdentityIndex,
        clock: Clock,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rest` waits for so many seconds."""
        self._pool = inbox.pool
        self._gateway = gateway
        self._identity = identity
        self._index = index
        self._clock = clock
        self._rest = rest

    def ask(self, source: Source, said: Inquiry) -> Told:
        """Raises NotAllowed, TooMany, LogAway, and what else says that the database is away: then nothing was answered."""
        if source.inquiries_per_hour == 0:
            raise NotAllowed
        begun, now, inquiry_id = time.monotonic(), self._clock.now(), uuid4()
        self._begun(source, inquiry_id, now)
        try:
            return self._answer(source, said, inquiry_id, now)
        finally:
            self._rest(ANSWER_EVERY_SECONDS - (time.monotonic() - begun) % ANSWER_EVERY_SECONDS)

    def _answer(self, source: Source, said: Inquiry, inquiry_id: UUID, now: datetime) -> Told:
        found = self._exactly(source, said)
        disclosed = self._disclosed(source, inquiry_id, *found) if found is not None else None
        self._ended(inquiry_id, NOTHING if disclosed is None else TOLD)
        if disclosed is None:
            return Told(inquiry_id, now, enrolled=False)
        return Told(inquiry_id, now, enrolled=True, care_manager=self._lead(disclosed.lead))

    # -- the access log

    def _begun(self, source: Source, inquiry_id: UUID, now: datetime) -> None:
        """Counts and writes as one: two questions at once are two."""
        with self._pool.connection() as conn, conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(hashtext('intake.inquiries'), hashtext(%s))", (source.name,))
            asked = conn.execute(
                "SELECT asked_at FROM intake.inquiries WHERE source_id = %s AND asked_at > %s ORDER BY asked_at DESC LIMIT %s",
                (source.name, now - AN_HOUR, source.inquiries_per_hour),
            ).fetchall()
            if len(asked) >= source.inquiries_per_hour:
                raise TooMany(max(1, int((asked[-1][0] + AN_HOUR - now).total_seconds())))
            conn.execute("INSERT INTO intake.inquiries VALUES (%s, %s, %s, %s)", (inquiry_id, source.name, now, UNANSWERED))

    def _ended(self, inquiry_id: UUID, answer: str) -> None:
        with self._pool.connection() as conn:
            conn.execute("UPDATE intake.inquiries SET answer = %s WHERE inquiry_id = %s", (answer, inquiry_id))

    # -- who it is

    def _exactly(self, source: Source, said: Inquiry) -> tuple[StreamId, str] | None:
        """(the episode of the one person meant, how they were named); None where it is not one person for certain, or where they
        have no episode."""
        if said.birth_date is None or not name_key(said.family_name):
            return None
        by_cin, by_number = self._holder(said.cin), self._numbered(source, said)
        members = {member for member in (by_cin, by_number) if member is not None}
        wanted = bool(said.cin.strip()) + bool(said.record_number.strip())
        if len(members) != 1 or wanted != (by_cin is not None) + (by_number is not None):
            return None
        (stream,) = members
        member = self._member(stream)
        if member.erased or not self._agrees(member, said):
            return None
        named = "+".join(how for how, by in (("cin", by_cin), ("record_number", by_number)) if by is not None)
        claims = (self._claim(claim_on_open_episode(each)).holder for each in streams_of(stream, self._member))
        episodes = [episode for episode in claims if episode is not None]
        return (episodes[0], f"{named}+name+birth_date") if len(episodes) == 1 else None

    def _agrees(self, member: Member, said: Inquiry) -> bool:
        assert said.birth_date is not None
        given = name_key(said.given_name)
        return (
            member.birth_date == said.birth_date.isoformat()
            and names_agree(member.family_name, said.family_name) is True
            and (not given or given == name_key(member.given_name))
        )

    def _holder(self, cin: str) -> StreamId | None:
        found = cin_of(cin) if cin.strip() else None
        return self._claim(self._identity.cin_claim(found)).holder if isinstance(found, str) else None

    def _numbered(self, source: Source, said: Inquiry) -> StreamId | None:
        """The member whom that hospital's messages gave this record number; nobody where two have it."""
        number = said.record_number.strip()
        if not number or said.birth_date is None:
            return None
        key = self._identity.record_number(source.authority(said.authority), number).hex()
        if self._index.has_news():
            self._index.catch_up(self._clock.now())
        person = (said.family_name, said.birth_date)
        with self._pool.connection() as conn:
            candidates: Iterable[StreamId] = self._index.named(conn, {person})[person]
        holding = [member for member in candidates if key in self._member(member).identity.numbers]
        return holding[0] if len(holding) == 1 else None

    # -- what is told

    def _disclosed(self, source: Source, inquiry_id: UUID, episode: StreamId, evidence: str) -> EnrolmentDisclosed | None:
        """The fact that says so, once it is written; None where nothing may be told."""
        command = DiscloseEnrolment(
            stream=episode, by=f"source:{source.name}", inquiry=str(inquiry_id), to=source.name, evidence=evidence
        )
        for _ in range(TRIES_MAX):
            outcome = self._gateway.handle(command, command_id=inquiry_id)
            if isinstance(outcome, Refusal):
                return None
            if isinstance(outcome, Accepted):
                return next((r.fact for r in outcome.facts if isinstance(r.fact, EnrolmentDisclosed)), None)
            assert isinstance(outcome, Conflict)
        raise Busy

    def _lead(self, staff: StreamId | None) -> CareManager:
        if staff is None:
            return CareManager()
        joined = next((r.fact for r in self._gateway.log.read(staff) if isinstance(r.fact, StaffJoined)), None)
        return CareManager(joined.name or "", joined.phone or "") if joined is not None else CareManager()

    def _member(self, stream: StreamId) -> Member:
        state = self._gateway.load(stream).state
        assert isinstance(state, Member)
        return state

    def _claim(self, stream: StreamId) -> ClaimState:
        state = self._gateway.load(stream).state
        assert isinstance(state, ClaimState)
        return state
