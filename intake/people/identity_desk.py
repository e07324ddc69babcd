"""What waits for a person about who somebody is: one list, with what speaks for and against side by side, and the decisions.

Messages whose match is doubtful, deaths that a hospital took back, pairs of members who may be one person, members who are one
person with two open episodes, contact points that a hospital proposed. A decision is a command on a member's stream; what follows
from it follows from the facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final
from uuid import UUID, uuid5

from psycopg.rows import class_row

from domain.core import Command, Refusal, StreamId
from domain.criteria import born_on
from domain.episode.state import claim_on_open_episode
from domain.member.decider import Member, WithdrawDeathReport
from domain.member.facts import PointKind
from domain.member.identity import (
    BY_HAND,
    AcceptContactPoint,
    AskWhetherOne,
    DisownMessage,
    KeepMembersApart,
    LearnFormerCin,
    MergeMembers,
    MoveStay,
    RecogniseMessage,
    RejectContactPoint,
    ReplaceCin,
)
from eventlog.clock import Clock
from eventlog.gateway import Accepted, Conflict, Gateway, Order, Outcome
from intake.people.identity import IdentityKeys
from intake.people.index import ASKED, LINK, PAIR, POINT
from intake.people.matching import IDENTITY_REASONS, POSSIBLE_MEMBER, Candidate, Reason
from intake.people.readings import Sight
from intake.people.recognising import apart_on, candidate, numbers_of
from intake.people.scoring import Likely, score, shared, weights_on
from intake.reading.forms import Read, read_stored
from intake.reading.identifiers import cin_of, phone_key
from intake.reading.notification import Ignored, MemberKeys
from intake.reading.persons import PersonNotice
from intake.senders.sources import Sources
from intake.store.inbox import DEATH_TAKEN_BACK, ROW_COLUMNS, Inbox, Row

QUESTIONS_MAX: Final = 500
PAGE: Final = 200
"""Of what may be a question, so much is loaded and compared at once."""

ROSTER_REASONS: Final = ("birth_date_conflict", "identity_conflict", POSSIBLE_MEMBER, "no_cin")
"""Why rows of files and referrals wait for somebody to say who is meant (domain.md 7, scenarios 3 and 4)."""

CIN: Final = "cin"
"""What speaks for two members' being one person where a CIN of the one is said to be the other's."""

_NAMESPACE: Final = UUID("b2c1f6de-8d55-5a0e-9f0b-0a6f3fd0a6c4")


class Kind(StrEnum):
    MESSAGE = "message"
    PAIR = "pair"
    TWO_EPISODES = "two_episodes"
    CONTACT_POINT = "contact_point"


class Choice(StrEnum):
    """What a person may find."""

    ATTACH = "attach"
    KEEP_APART = "keep_apart"
    MERGE = "merge"
    REPLACE_CIN = "replace_cin"
    FORMER_CIN = "former_cin"
    WITHDRAW_DEATH = "withdraw_death"
    DEATH_STANDS = "death_stands"
    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Side:
    """One of those who are compared: `who` is `message` or a member. Personal; None where it is not asked for or not known."""

    who: str
    cins: tuple[str, ...] = ()
    family_name: str | None = None
    given_name: str | None = None
    birth_date: date | None = None
    sex: str = ""
    phones: tuple[str, ...] = ()
    zips: tuple[str, ...] = ()
    record_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something to look at. `since`: from when on it waits; `reason`: why. `members` may be meant, `likely` says what was compared;
    `pair` names what speaks for two members' being one. `sides` are given where they are asked for."""

    id: UUID
    kind: Kind
    reason: str
    since: datetime
    waits: timedelta
    members: tuple[StreamId, ...]
    choices: tuple[Choice, ...]
    source: str = ""
    message_kind: str = ""
    subject: str = ""
    pair: tuple[str, ...] = ()
    likely: tuple[dict[str, Any], ...] = ()
    sides: tuple[Side, ...] = field(default=(), repr=False)


class UnknownQuestion(LookupError):
    """Nothing under this id waits for anybody. The text says what to do."""


class NoSuchChoice(ValueError):
    """The question cannot be answered so. The text names the field and the remedy."""


class IdentityDesk:
    """Lists the questions and carries out what a person found. Thread-safe."""

    def __init__(self, inbox: Inbox, gateway: Gateway, identity: IdentityKeys, sources: Sources, clock: Clock) -> None:
        self._inbox = inbox
        self._gateway = gateway
        self._identity = identity
        self._sources = sources
        self._clock = clock

    def questions(self, *, kind: Kind | None = None, limit: int = 100, now: datetime | None = None) -> tuple[Question, ...]:
        """What waits, the longest first."""
        assert 0 < limit <= QUESTIONS_MAX
        at = now or self._clock.now()
        found = [q for of in Kind if kind in (None, of) for q in islice(self._of_kind(of, at), limit)]
        return tuple(sorted(found, key=lambda q: (q.since, q.id))[:limit])

    def question(self, id: UUID, *, unseal: bool = True) -> Question:
        """One of them, with all that is compared side by side. Raises UnknownQuestion."""
        at = self._clock.now()
        found = next(self._messages(at, id), None) or next(
            (q for kind in Kind for q in islice(self._of_kind(kind, at), QUESTIONS_MAX) if q.id == id), None
        )
        if found is None:
            raise UnknownQuestion(f"nothing waits under {id}; see `throughline identity list`")
        return _with(found, tuple(self._sides(found))) if unseal else found

    def decide(
        self, id: UUID, choice: Choice, *, by: str, command_id: UUID, reason: str, member: StreamId | None = None
    ) -> Outcome:  # fmt: skip
        """Carry out what somebody found. The same command id again gives the first result, also once nothing waits any more.

        Raises UnknownQuestion, NoSuchChoice."""
        if (first := self._gateway.log.look({}, (command_id,), "policy").remembered.get(command_id)) is not None:
            facts = tuple(stored.recorded for stored in self._gateway.log.at(first.positions))
            position = facts[-1].position if facts else 0
            return Accepted(first.stream, self._gateway.log.version(first.stream), facts, position, repeated=True)
        question = self.question(id, unseal=False)
        if choice not in question.choices:
            raise NoSuchChoice(f"decision: {choice} is none here; choose {', '.join(question.choices)}")
        command = self._command(question, choice, by, reason, member)
        if isinstance(command, RecogniseMessage) and (refusal := self._may_not_move(id, command)) is not None:
            return refusal
        return ask_instead(self._gateway, command, command_id, self._gateway.handle(command, command_id=command_id))

    def _command(self, question: Question, choice: Choice, by: str, reason: str, member: StreamId | None) -> Command:
        match choice:
            case Choice.MERGE if len(question.members) == 2:
                survivor = member or question.members[0]
                if survivor not in question.members:
                    raise NoSuchChoice(f"member: name who goes on, one of {', '.join(question.members)}")
                (retired,) = (m for m in question.members if m != survivor)
                return MergeMembers(stream=survivor, by=by, retired=retired, evidence=question.pair, reason=reason)
            case Choice.MERGE:
                one, other = _two_of(question, member)
                return MergeMembers(stream=one, by=by, retired=other, evidence=question.pair, reason=reason)
            case Choice.KEEP_APART if question.pair and len(question.members) > 1:
                one, other = _two_of(question, member)
                return KeepMembersApart(stream=one, by=by, other=other, evidence=question.pair, reason=reason)
            case Choice.ATTACH | Choice.KEEP_APART:
                whose = _whom(question, member)
                if choice is Choice.ATTACH:
                    return RecogniseMessage(stream=whose, by=by, message=str(question.id), reason=reason)
                numbers, evidence = self._compared_by(question, whose)
                return DisownMessage(
                    stream=whose, by=by, message=str(question.id), numbers=numbers, evidence=evidence, reason=reason
                )  # fmt: skip
            case Choice.WITHDRAW_DEATH:
                (whose,) = question.members
                standing = Sight(self._gateway).member(whose).death()
                if standing is None:
                    raise NoSuchChoice(
                        "decision: nobody says any more that this member died; what waited for it is taken up by itself"
                    )
                return WithdrawDeathReport(stream=whose, by=by, report=standing[0], reason=reason)
            case Choice.DEATH_STANDS:
                return RecogniseMessage(stream=question.members[0], by=by, message=str(question.id), reason=reason)
            case Choice.REPLACE_CIN | Choice.FORMER_CIN:
                whose = _whom(question, member)
                cin = self._unknown_cin(question.id, Sight(self._gateway).member(whose).cins())
                if cin is None:
                    raise NoSuchChoice("decision: the message cannot be read any more, or names no other CIN")
                said_as = ReplaceCin if choice is Choice.REPLACE_CIN else LearnFormerCin
                return said_as(stream=whose, by=by, cin_claim=self._identity.cin_claim(cin), cin=cin, reason=reason)
            case Choice.ACCEPT:
                return AcceptContactPoint(stream=question.members[0], by=by, point=question.subject)
            case Choice.REJECT:
                return RejectContactPoint(stream=question.members[0], by=by, point=question.subject, reason=reason)

    def _compared_by(self, question: Question, whose: StreamId) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys of a message's numbers, and what agreed of it with somebody."""
        numbers = (self._inbox.show(question.id).row.outcome or {}).get("numbers", ())
        person = Sight(self._gateway).person(whose)
        found = next((one["evidence"] for one in question.likely if one["member"] in person), ())
        return tuple(numbers), tuple(feature for feature, _, points in found if points > 0)

    def _unknown_cin(self, message: UUID, known: Sequence[str]) -> str | None:
        """A CIN that a message names, or says was given up, and that is not one of those which are known."""
        side = self._of_message(message)
        said = [cin_of(cin) for cin in (side.cins if side is not None else ())]
        return next((cin for cin in said if isinstance(cin, str) and cin not in known), None)

    def _may_not_move(self, message: UUID, command: RecogniseMessage) -> Refusal | None:
        """Why somebody may not attach a message that takes its stay along from another member: said at once, where the message
        would only wait on. None where they may, or where no stay has to be moved."""
        with self._inbox.pool.connection() as conn:
            row = conn.execute(
                "SELECT s.stay, s.member FROM intake.inbox i JOIN intake.stay_member s ON s.stay = i.stay WHERE i.inbox_id = %s",
                (message,),
            ).fetchone()
        if row is None or row[1] in Sight(self._gateway).person(command.stream):
            return None
        stay, wrong = row
        move = MoveStay(stream=wrong, by=command.by, stay=stay, rightful=command.stream, reason=BY_HAND)
        refused = self._gateway.preview((Order(command=move, command_id=uuid5(message, "move")),))
        return refused if isinstance(refused, Refusal) and refused.code in (Reason.NOT_AUTHORISED, Reason.ACTOR_UNKNOWN) else None

    # -- what waits

    def _of_kind(self, kind: Kind, now: datetime) -> Iterator[Question]:
        match kind:
            case Kind.MESSAGE:
                return self._messages(now)
            case Kind.PAIR:
                return self._pairs(now)
            case Kind.TWO_EPISODES:
                return self._two_episodes(now)
            case Kind.CONTACT_POINT:
                return self._contact_points(now)

    def _messages(self, now: datetime, id: UUID | None = None) -> Iterator[Question]:
        query = (
            f"SELECT {ROW_COLUMNS} FROM intake.inbox WHERE (status = 'waiting' AND reason = ANY(%s)"
            " OR status = 'unmatched' AND proposed <> '{}') AND (%s::uuid IS NULL OR inbox_id = %s)"
            " ORDER BY inbox_id LIMIT %s"
        )
        reasons = [*IDENTITY_REASONS, *ROSTER_REASONS, DEATH_TAKEN_BACK]
        with self._inbox.pool.connection() as conn, conn.cursor(row_factory=class_row(Row)) as cursor:
            rows = cursor.execute(query, (reasons, id, id, QUESTIONS_MAX)).fetchall()
        for row in rows:
            told = row.outcome or {}
            choices = _choices(row)
            members = tuple(row.proposed) or ((row.member,) if row.member else ())
            yield Question(
                id=row.inbox_id, kind=Kind.MESSAGE, reason=row.reason, since=row.received_at, waits=now - row.received_at,
                members=members, source=row.source_id, message_kind=row.kind,
                choices=choices,
                pair=(told["pair"],) if Choice.MERGE in choices and "pair" in told else (),
                likely=tuple(told.get("proposed", ())) if isinstance(told.get("proposed"), list) else (),
            )  # fmt: skip

    def _pairs(self, now: datetime) -> Iterator[Question]:
        """Members who are called alike or said to be one person; not those whom somebody kept apart on the same evidence."""
        sight, told = Sight(self._gateway), set[UUID]()
        for page in chain(self._kept(PAIR), self._kept(ASKED)):
            sight.fetch(member for one, other, _ in page for member in (one, other))
            for one, other, since in page:
                id = uuid5(_NAMESPACE, f"{one}|{other}")
                found = self._compared(sight, one, other)
                if found is None or id in told:
                    continue
                apart, asked = self._apart(sight, one, other), sight.member(one).identity.asked.get(other, frozenset())
                alike = found.score >= weights_on(self._clock.now().date()).propose and found.is_news_to(apart)
                if alike or asked - apart:
                    told.add(id)
                    yield Question(
                        id=id, kind=Kind.PAIR, reason="alike" if alike else "said_to_be_one", since=since, waits=now - since,
                        members=(one, other), choices=(Choice.MERGE, Choice.KEEP_APART),
                        pair=(*found.agreeing, *sorted(asked)), likely=(found.plain(),),
                    )  # fmt: skip

    def _compared(self, sight: Sight, one: StreamId, other: StreamId) -> Likely | None:
        """What speaks for two members' being one person; None where there is nothing to ask."""
        if sight.member(one).erased or sight.member(other).erased or other in sight.person(one):
            return None
        known = candidate(sight, other, in_full=True)
        return score(_keys_of(sight.member(one), known), known, weights_on(self._clock.now().date()))

    def _apart(self, sight: Sight, one: StreamId, other: StreamId) -> frozenset[str]:
        """On which evidence somebody kept the two apart: as members, or when one of them was but what a message said."""
        decided = sight.member(one).identity.apart.get(other, frozenset())
        for a, b in ((one, other), (other, one)):
            decided |= apart_on(self._identity, sight, a, numbers_of(self._identity, sight, b))
        return decided

    def _two_episodes(self, now: datetime) -> Iterator[Question]:
        """One person with two open episodes: only one may go on, and somebody has to close the other."""
        sight = Sight(self._gateway)
        for page in self._kept(LINK):
            sight.fetch(claim_on_open_episode(member) for survivor, retired, _ in page for member in (survivor, retired))
            for survivor, retired, since in page:
                if sight.own_episode(survivor) is not None and sight.own_episode(retired) is not None:
                    yield Question(
                        id=uuid5(_NAMESPACE, f"episodes|{survivor}|{retired}"), kind=Kind.TWO_EPISODES,
                        reason="two_open_episodes", since=since, waits=now - since, members=(survivor, retired), choices=(),
                    )  # fmt: skip

    def _contact_points(self, now: datetime) -> Iterator[Question]:
        for page in self._kept(POINT):
            for member, point, since in page:
                yield Question(
                    id=uuid5(_NAMESPACE, f"point|{member}|{point}"), kind=Kind.CONTACT_POINT, reason="hospital_has_another",
                    since=since, waits=now - since, members=(member,), subject=point, choices=(Choice.ACCEPT, Choice.REJECT),
                )  # fmt: skip

    def _kept(self, kind: str) -> Iterator[Sequence[tuple[StreamId, str, datetime]]]:
        """All that is kept of a kind, the longest first: what turns out to be no question hides none of those behind it."""
        after = (datetime.min.replace(tzinfo=UTC), "", "")
        while True:
            with self._inbox.pool.connection() as conn:
                page = conn.execute(
                    "SELECT member, subject, since FROM intake.identity_open WHERE kind = %s"
                    " AND (since, member, subject) > (%s, %s, %s) ORDER BY since, member, subject LIMIT %s",
                    (kind, *after, PAGE),
                ).fetchall()
            if not page:
                return
            yield page
            member, subject, since = page[-1]
            after = (since, member, subject)

    # -- side by side

    def _sides(self, question: Question) -> Iterator[Side]:
        if question.kind is Kind.MESSAGE and (side := self._of_message(question.id)) is not None:
            yield side
        for stream in question.members:
            member = self._gateway.load(stream).state
            assert isinstance(member, Member)
            if question.kind is Kind.CONTACT_POINT:
                proposal = member.identity.proposals.get(question.subject)
                if proposal is not None:
                    yield Side(f"{proposal.source or proposal.learned_from}: {proposal.kind.value}", phones=(proposal.value or "",))
            yield _of_member(stream, member)

    def _of_message(self, id: UUID) -> Side | None:
        shown = self._inbox.show(id)
        source = self._sources.named(shown.row.source_id)
        if shown.raw is None:
            return None
        if shown.row.transport == "file":
            told = json.loads(shown.raw)
            names = {key: str(told.get(key, "")) for key in ("cin", "last_name", "first_name", "birth_date")}
            cins = (names["cin"],) if names["cin"] else ()
            return Side("message", cins, names["last_name"], names["first_name"], None)
        found = read_stored(shown.raw, shown.row, source) if source is not None else None
        if not isinstance(found, Read) or isinstance(found.said, Ignored):
            return None
        said = found.said.member
        numbers = tuple(number for _, number in said.record_numbers)
        given_up = found.said.retired_cins if isinstance(found.said, PersonNotice) else ()
        return Side(
            "message", (*said.cins, *given_up), said.family_name or None, said.given_name or None, said.birth_date, said.sex,
            (said.phone,) if said.phone else (), (said.zip,) if said.zip else (), numbers,
        )  # fmt: skip


def _choices(row: Row) -> tuple[Choice, ...]:
    """What a person may find of a message that waits."""
    if row.reason == Reason.MERGE_OF_TWO and len(row.proposed) > 1:
        return (Choice.MERGE, Choice.KEEP_APART)
    if row.reason == DEATH_TAKEN_BACK:
        return (Choice.WITHDRAW_DEATH, Choice.DEATH_STANDS)
    if row.reason == Reason.NEW_CIN:
        return (Choice.REPLACE_CIN, Choice.ATTACH, Choice.KEEP_APART)
    if row.reason == Reason.FORMER_CIN:
        return (Choice.FORMER_CIN, Choice.ATTACH, Choice.KEEP_APART)
    if row.reason == Reason.OTHER_CIN:
        return (Choice.REPLACE_CIN, Choice.FORMER_CIN, Choice.ATTACH, Choice.KEEP_APART)
    return (Choice.ATTACH, Choice.KEEP_APART)


def ask_instead(gateway: Gateway, command: Command, command_id: UUID, outcome: Outcome) -> Outcome:
    """What became of a command; where it was refused because a CIN is another member's, whether both are one person is asked."""
    if not (isinstance(command, ReplaceCin | LearnFormerCin) and isinstance(outcome, Refusal) and outcome.code == "cin_taken"):
        return outcome
    holder = Sight(gateway).holder(command.cin_claim)
    if holder is None or holder == command.stream:
        return outcome
    ask = AskWhetherOne(stream=command.stream, by=command.by, other=holder, evidence=(CIN,), reason=command.reason)
    if isinstance(gateway.handle(ask, command_id=uuid5(command_id, "ask")), Refusal | Conflict):
        return outcome
    if CIN in Sight(gateway).member(command.stream).identity.apart.get(holder, frozenset()):
        return Refusal(outcome.code, "cin: belongs to a member who was kept apart from this one; merge them if that was wrong")
    remedy = "whether both are one person is asked now, see `throughline identity list --kind pair`"
    return Refusal(outcome.code, f"cin: belongs to another member; {remedy}")


def _whom(question: Question, member: StreamId | None) -> StreamId:
    """Who is meant: the only one in question, where nobody is named."""
    if member is None and len(question.members) != 1:
        raise NoSuchChoice(f"member: name one of {', '.join(question.members)}")
    return member or question.members[0]


def _two_of(question: Question, other: StreamId | None) -> tuple[StreamId, StreamId]:
    """The first of those in question and the other one: `other` has to name them where there are several."""
    one, *others = question.members
    if other in others:
        return one, other
    if len(others) > 1:
        raise NoSuchChoice(f"member: name the one whom you compared with {one}: one of {', '.join(others)}")
    return one, others[0]


def _keys_of(member: Member, known: Candidate) -> MemberKeys:
    """A member as if a message were about them."""
    phones = [phone_key(p.value) for p in member.points.values() if p.kind is PointKind.PHONE and p.value]
    return MemberKeys(
        family_name=member.family_name or "", given_name=member.given_name or "",
        birth_date=born_on(member), sex=member.sex.upper()[:1],
        phone=shared(phones, known),
    )  # fmt: skip


def _of_member(stream: StreamId, member: Member) -> Side:
    def values(kind: PointKind) -> tuple[str, ...]:
        return tuple(p.value for p in member.points.values() if p.kind is kind and p.value)

    numbers = tuple(n.number for n in member.identity.numbers.values() if n.number)
    born = born_on(member)
    return Side(
        stream, member.cins(), member.family_name, member.given_name, born, member.sex, values(PointKind.PHONE),
        values(PointKind.ADDRESS), numbers,
    )  # fmt: skip


def _with(question: Question, sides: Iterable[Side]) -> Question:
    return Question(**{**{f: getattr(question, f) for f in Question.__dataclass_fields__}, "sides": tuple(sides)})
