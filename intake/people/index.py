"""Indexes beside the log, filled from its facts: who has this last name and birth date, whom a hospital calls by this number, whose
a stay is, as which it goes on.

They propose and they speed up; who holds a CIN is asked of the log itself (its claim streams). Dropped, they are rebuilt from
position 0. What becomes known here wakes the messages that wait for it, whoever made it known: new members and numbers, what a
person decided about who somebody is or that nobody died, and that care for a plan began or ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from domain.catalog import entry_of
from domain.core import Recorded, StreamId
from domain.criteria import born_on
from domain.episode.facts import AssignmentReceived, EpisodeClosed, EpisodeReinstated
from domain.episode.rosters import RosterAbsenceSettled, missing
from domain.member.decider import Member
from domain.member.facts import (
    ContactPointLearned,
    DeathReportWithdrawn,
    IdentityCorrected,
    MemberRegistered,
    PersonalDataErased,
    PointKind,
    StayAttributed,
    StayDetached,
)
from domain.member.identity import (
    MESSAGE_ID,
    CinReplaced,
    CinReplacementWithdrawn,
    ContactPointProposalRejected,
    ContactPointProposed,
    FormerCinForgotten,
    FormerCinLearned,
    MembersKeptApart,
    MembersMerged,
    MembersSeparated,
    MessageDisowned,
    MessageRecognised,
    OnePersonAsked,
    RecordNumberForgotten,
    RecordNumberLearned,
    RecordNumberRetired,
)
from domain.stay.facts import StayContinuedElsewhere
from eventlog.arrays import byteas, texts
from eventlog.gateway import Gateway
from eventlog.log import ROW_COLUMNS, Log
from intake.people.identity import IdentityKeys
from intake.people.matching import IDENTITY_REASONS, POSSIBLE_MEMBER, Reason
from intake.people.readings import Sight
from intake.store.claims import INDEX_LOCK
from intake.store.inbox import ANOTHER_PLAN, DEATH_TAKEN_BACK, ENDS_LATER, NOT_ASSIGNED, Inbox

INDEX_NAME: Final = "intake/3"
"""Another name, another content: an index under a former one is filled anew."""

BATCH: Final = 500
PROPOSED_MAX: Final = 10
"""Members who are looked up under one key: more of them tell nobody apart."""

PAIRED_MAX: Final = 50
"""Members of one last name and birth date with whom somebody new is compared."""


class IdentityIndex:
    """Keeps the two tables up with the log. One caller at a time does the work; others find it done."""

    def __init__(self, inbox: Inbox, log: Log, gateway: Gateway, identity: IdentityKeys) -> None:
        self._inbox = inbox
        self._log = log
        self._gateway = gateway
        self._identity = identity
        self._taken_in = -1

    def catch_up(self, now: datetime) -> int:
        """Take in what the log has gained; how many waiting messages were woken. Raises LogAway."""
        incarnation = self._log.incarnation()
        woken = 0
        with self._inbox.pool.connection() as conn, conn.pipeline():
            while True:
                with conn.transaction():
                    conn.execute(f"SELECT pg_advisory_xact_lock({INDEX_LOCK})")
                    position, bound = self._position(conn, incarnation), self._log.watermark()
                    facts = self._indexed(position, bound)
                    if learned := self._take_all(conn, facts):
                        woken += self._inbox.wake_unmatched(conn, learned, now)
                    woken += sum(self._decided(conn, recorded, now) for recorded in facts)
                    woken += self._served(conn, facts, now)
                    woken += self._inbox.wake_at_their_day(conn, ENDS_LATER, now)
                    reached = facts[-1].position if len(facts) == BATCH else bound
                    if reached != position:
                        conn.execute(
                            "INSERT INTO intake.index_position VALUES (%s, %s, %s)"
                            " ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, incarnation = EXCLUDED.incarnation",
                            (INDEX_NAME, reached, incarnation),
                        )
                if len(facts) < BATCH:
                    break
        self._taken_in = reached
        return woken

    def has_news(self) -> bool:
        """Whether the log has gained something since `catch_up` last looked from here: a cheap question. Raises LogAway."""
        return self._log.watermark() != self._taken_in

    def is_behind(self, positions: int) -> bool:
        """Whether the log has gained so much that the indexes have not taken in, whoever keeps them up: a cheap question. Raises
        LogAway."""
        incarnation = self._log.incarnation()
        with self._inbox.pool.connection() as conn:
            reached = conn.execute(
                "SELECT position FROM intake.index_position WHERE name = %s AND incarnation = %s", (INDEX_NAME, incarnation)
            ).fetchone()
        return self._log.watermark() - (0 if reached is None else int(reached[0])) >= positions

    def called(self, conn: Connection[TupleRow], keys: Iterable[bytes]) -> dict[bytes, tuple[StreamId, ...]]:
        """The members who are found under each of some keys (of record numbers, hints), in one round trip."""
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        rows = conn.execute(
            "SELECT k.key, l.member FROM unnest(%s::bytea[]) AS k (key), LATERAL"
            " (SELECT member FROM intake.member_lookup WHERE key = k.key ORDER BY member LIMIT %s) AS l",
            (byteas(wanted), PROPOSED_MAX),
        ).fetchall()
        found: dict[bytes, list[StreamId]] = {}
        for key, member in rows:
            found.setdefault(key, []).append(member)
        return {key: tuple(members) for key, members in found.items()}

    def named(self, conn: Connection[TupleRow], people: Iterable[tuple[str, date]]) -> dict[tuple[str, date], tuple[StreamId, ...]]:
        """The members of each last name and birth date, in one round trip."""
        keys = {person: self._identity.name_and_birth_date(*person) for person in people}
        found = self.called(conn, keys.values())
        return {person: found.get(key, ()) for person, key in keys.items()}

    def registered(self, conn: Connection[TupleRow], people: Mapping[bytes, StreamId], now: datetime) -> None:
        """Who was registered just now, by the key of last name and birth date, is found by what is decided next on this
        connection, before the log's news are taken in."""
        conn.execute(
            "INSERT INTO intake.member_lookup (key, member, kind, since)"
            " SELECT p.key, p.member, %s, %s FROM unnest(%s::bytea[], %s::text[]) AS p (key, member) ON CONFLICT DO NOTHING",
            (NAME, now, byteas(list(people)), texts(list(people.values()))),
        )

    def _position(self, conn: Connection[TupleRow], incarnation: object) -> int:
        """Where to go on. A log that was restored since is read from its beginning."""
        row = conn.execute("SELECT position, incarnation FROM intake.index_position WHERE name = %s", (INDEX_NAME,)).fetchone()
        if row is not None and row[1] == incarnation:
            return int(row[0])
        conn.execute("DELETE FROM intake.member_lookup")
        conn.execute("DELETE FROM intake.stay_member")
        conn.execute("DELETE FROM intake.stay_continued")
        conn.execute("DELETE FROM intake.identity_open")
        return 0

    def _indexed(self, position: int, bound: int) -> list[Recorded]:
        """The next facts that the indexes are made of; the others, most of the log, are not even read."""
        rows = self._log.recorder.rows(
            f"SELECT {ROW_COLUMNS} FROM log.events WHERE position > %b AND position <= %b AND name = ANY(%b) ORDER BY position"
            f" LIMIT {BATCH}",
            (position, bound, texts(_NAMES)),
        )
        return self._log.codec.decode_all(rows)

    def _take_all(self, conn: Connection[TupleRow], facts: Sequence[Recorded]) -> list[bytes]:
        """The look-up keys under which members became known with these facts."""
        learned: list[bytes] = []
        news = _News()
        states = self._gateway.load_many(r.stream for r in facts if isinstance(r.fact, MemberRegistered | IdentityCorrected))
        for recorded in facts:
            match recorded.fact:
                case MemberRegistered() | IdentityCorrected():
                    learned += self._named(news, recorded, states[recorded.stream].state)
                case ContactPointLearned(point=point, kind=kind, value=value):
                    news.answered.append((recorded.stream, point))
                    if kind is PointKind.PHONE and value:
                        news.keep(recorded, HINT, self._identity.hints("", "", None, (value,)))
                        news.more[recorded.stream] = recorded.recorded_at
                case StayAttributed(stay=stay):
                    news.stays[stay] = recorded.stream
                case StayDetached(stay=stay):
                    news.write(conn)
                    conn.execute("DELETE FROM intake.stay_member WHERE stay = %s AND member = %s", (stay, recorded.stream))
                case (
                    ContactPointProposed()
                    | PersonalDataErased()
                    | MembersMerged()
                    | MembersSeparated()
                    | MembersKeptApart()
                    | OnePersonAsked()
                ):
                    news.write(conn)
                    self._take(conn, recorded)
                case _:
                    learned += self._take(conn, recorded)
        news.write(conn)
        return learned

    def _take(self, conn: Connection[TupleRow], recorded: Recorded) -> list[bytes]:
        """The look-up keys under which a member became known with this fact."""
        match recorded.fact:
            case ContactPointProposed(point=point):
                _open(conn, POINT, recorded.stream, point, recorded.recorded_at)
            case ContactPointProposalRejected(point=point):
                _close(conn, POINT, recorded.stream, point)
            case MembersMerged(survivor=survivor, retired=retired) if survivor == recorded.stream:
                _open(conn, LINK, survivor, retired, recorded.recorded_at)
                _close_pair(conn, survivor, retired)
            case MembersSeparated(survivor=survivor, retired=retired):
                _close(conn, LINK, survivor, retired)
                _pair(conn, {recorded.stream: recorded.recorded_at})
            case MembersKeptApart(other=other):
                _close_pair(conn, recorded.stream, other)
            case OnePersonAsked(other=other):
                one, another = sorted((recorded.stream, other))
                _open(conn, ASKED, one, another, recorded.recorded_at)
            case RecordNumberLearned(key=key) | RecordNumberRetired(key=key):
                _keep(conn, recorded, NUMBER, (bytes.fromhex(key),))
                return [bytes.fromhex(key)]
            case RecordNumberForgotten(key=key):
                conn.execute(
                    "DELETE FROM intake.member_lookup WHERE member = %s AND key = %s", (recorded.stream, bytes.fromhex(key))
                )
            case CinReplaced(claim=claim) | FormerCinLearned(claim=claim):
                return [bytes.fromhex(claim.partition("-")[2])]
            case PersonalDataErased():
                conn.execute("DELETE FROM intake.member_lookup WHERE member = %s", (recorded.stream,))
            case StayContinuedElsewhere(stay=stay):
                conn.execute("INSERT INTO intake.stay_continued VALUES (%s, %s) ON CONFLICT DO NOTHING", (recorded.stream, stay))
        return []

    def _named(self, news: _News, recorded: Recorded, member: Member) -> list[bytes]:
        """Somebody is registered, or called otherwise now."""
        born = born_on(member)
        hints = self._identity.hints(member.family_name or "", member.given_name or "", born, ())
        keys = [] if not member.family_name or born is None else [self._identity.name_and_birth_date(member.family_name, born)]
        news.called[recorded.stream] = recorded.recorded_at
        news.keep(recorded, NAME, keys)
        news.keep(recorded, ALIKE, hints)
        return [*keys, *map(self._identity.cin, member.cins())]

    def _decided(self, conn: Connection[TupleRow], recorded: Recorded, now: datetime) -> int:
        """What a person decided about who somebody is; how many messages that wakes."""
        match recorded.fact:
            case MembersMerged(survivor=one, retired=other) | MembersSeparated(survivor=one, retired=other):
                return self._inbox.wake_waiting(conn, (one, other), IDENTITY_REASONS, now)
            case MembersKeptApart(other=other):
                return self._inbox.wake_waiting(conn, (recorded.stream, other), IDENTITY_REASONS, now)
            case CinReplaced() | CinReplacementWithdrawn() | FormerCinLearned() | FormerCinForgotten() | RecordNumberForgotten():
                return self._inbox.wake_waiting(conn, (recorded.stream,), IDENTITY_REASONS, now)
            case DeathReportWithdrawn():
                return self._inbox.wake_waiting(conn, (recorded.stream,), (DEATH_TAKEN_BACK,), now)
            case MessageRecognised(message=message) | MessageDisowned(message=message) if not MESSAGE_ID.fullmatch(message):
                return 0  # of a time when it was not looked at
            case MessageRecognised(message=message):
                return self._inbox.recognised(conn, UUID(message), recorded.stream, by=recorded.actor, now=now)
            case MessageDisowned(message=message, numbers=numbers):
                told = self._inbox.recognised(conn, UUID(message), None, by=recorded.actor, now=now, still_open=Reason.OTHER_CIN)
                others = (
                    (*IDENTITY_REASONS, POSSIBLE_MEMBER) if numbers else ()
                )  # the same may be asked of another message of theirs
                return told + self._inbox.wake_waiting(conn, (recorded.stream,), others, now)
            case _:
                return 0

    def _served(self, conn: Connection[TupleRow], facts: Sequence[Recorded], now: datetime) -> int:
        """Care ended or began, whoever said so; how many rows of files that wakes: those that waited for the end of another plan's,
        and those that waited for an assignment. After an end the next row of every plan is looked at, the same as ever or not. Of
        whom the plan said that the assignment stands, that counts as listed: the next list without them is asked about again."""
        ended = {r.stream for r in facts if isinstance(r.fact, EpisodeClosed)}
        begun = {r.stream for r in facts if isinstance(r.fact, AssignmentReceived | EpisodeReinstated)}
        stands = {r.stream for r in facts if isinstance(r.fact, RosterAbsenceSettled) and r.fact.stands}
        if not ended | begun | stands:
            return 0
        sight = Sight(self._gateway)
        sight.fetch(ended | begun | stands)
        sight.fetch(sight.of(stream).member for stream in ended | begun | stands)

        def people(streams: set[StreamId]) -> list[StreamId]:
            return [each for stream in sorted(streams) for each in sight.person(sight.of(stream).member)]

        conn.execute("UPDATE intake.roster SET row_digest = '' WHERE member = ANY(%s) AND row_digest <> ''", (people(ended),))
        for stream in stands:
            if sight.own_episode(sight.of(stream).member) == stream and missing(sight.of(stream).said) is None:
                conn.execute(
                    "UPDATE intake.roster SET listed = true, row_digest = '' WHERE NOT listed AND plan = %s AND member = ANY(%s)",
                    (sight.of(stream).plan, people({stream})),
                )
        woken = self._inbox.wake_rows(conn, people(ended), ANOTHER_PLAN, now)
        return woken + self._inbox.wake_rows(conn, people(begun), NOT_ASSIGNED, now)


@dataclass(slots=True)
class _News:
    """What many facts add to the indexes, written together. `called`: whose former names go; `more`: of whom something more is
    known; `answered`: contact points that wait for nobody any more; `stays`: whose they are."""

    called: dict[StreamId, datetime] = field(default_factory=dict)
    more: dict[StreamId, datetime] = field(default_factory=dict)
    lookups: dict[tuple[bytes, StreamId], tuple[str, datetime]] = field(default_factory=dict)
    answered: list[tuple[StreamId, str]] = field(default_factory=list)
    stays: dict[StreamId, StreamId] = field(default_factory=dict)

    def keep(self, recorded: Recorded, kind: str, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.lookups.setdefault((key, recorded.stream), (kind, recorded.recorded_at))

    def write(self, conn: Connection[TupleRow]) -> None:
        if self.called:
            conn.execute(
                "DELETE FROM intake.member_lookup WHERE member = ANY(%s) AND kind IN (%s, %s)", (list(self.called), NAME, ALIKE)
            )
            conn.execute(
                "DELETE FROM intake.identity_open WHERE kind = %s AND (member = ANY(%s) OR subject = ANY(%s))",
                (PAIR, list(self.called), list(self.called)),
            )
        if self.lookups:
            conn.execute(
                "INSERT INTO intake.member_lookup (key, member, kind, since)"
                " SELECT * FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::timestamptz[]) ON CONFLICT DO NOTHING",
                (
                    byteas([key for key, _ in self.lookups]), texts([member for _, member in self.lookups]),
                    texts([kind for kind, _ in self.lookups.values()]), [since for _, since in self.lookups.values()],
                ),
            )  # fmt: skip
        if self.answered:
            conn.execute(
                "DELETE FROM intake.identity_open o USING unnest(%s::text[], %s::text[]) AS p (member, subject)"
                " WHERE o.kind = %s AND o.member = p.member AND o.subject = p.subject",
                (texts([member for member, _ in self.answered]), texts([point for _, point in self.answered]), POINT),
            )
        if self.stays:  # those that were attributed when their message was applied are known already
            conn.execute(
                "INSERT INTO intake.stay_member SELECT * FROM unnest(%s::text[], %s::text[])"
                " ON CONFLICT (stay) DO UPDATE SET member = EXCLUDED.member WHERE stay_member.member <> EXCLUDED.member",
                (texts(tuple(self.stays)), texts(tuple(self.stays.values()))),
            )
        _pair(conn, {**self.called, **self.more})
        self.called, self.more, self.lookups, self.answered, self.stays = {}, {}, {}, [], {}


def _keep(conn: Connection[TupleRow], recorded: Recorded, kind: str, keys: Iterable[bytes]) -> None:
    conn.execute(
        "INSERT INTO intake.member_lookup (key, member, kind, since) SELECT k, %s, %s, %s FROM unnest(%s::bytea[]) AS k"
        " ON CONFLICT DO NOTHING",
        (recorded.stream, kind, recorded.recorded_at, list(keys)),
    )


def _open(conn: Connection[TupleRow], kind: str, member: StreamId, subject: str, since: datetime) -> None:
    conn.execute("INSERT INTO intake.identity_open VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", (kind, member, subject, since))


def _close(conn: Connection[TupleRow], kind: str, member: StreamId, subject: str) -> None:
    conn.execute("DELETE FROM intake.identity_open WHERE kind = %s AND member = %s AND subject = %s", (kind, member, subject))


def _close_pair(conn: Connection[TupleRow], member: StreamId, other: StreamId) -> None:
    for kind in (PAIR, ASKED):
        _close(conn, kind, *sorted((member, other)))


def _pair(conn: Connection[TupleRow], members: Mapping[StreamId, datetime]) -> None:
    """Something more is known of members, since when: whoever has the same last name and birth date may be the same person."""
    if members:
        conn.execute(
            "INSERT INTO intake.identity_open SELECT %s, least(own.member, other.member), greatest(own.member, other.member),"
            " min(news.since) FROM unnest(%s::text[], %s::timestamptz[]) AS news (member, since)"
            " JOIN intake.member_lookup own ON own.member = news.member AND own.kind = %s, LATERAL"
            " (SELECT l.member FROM intake.member_lookup l WHERE l.key = own.key AND l.kind = own.kind AND l.member <> own.member"
            " ORDER BY l.member LIMIT %s) AS other GROUP BY 2, 3 ON CONFLICT DO NOTHING",
            (PAIR, list(members), list(members.values()), NAME, PAIRED_MAX),
        )


NAME, ALIKE, NUMBER, HINT = "name", "alike", "number", "hint"
"""What a key was made of: last name and birth date, or some of a name, replaced by the next; a number, which stays until it is
forgotten; a phone, which proves nothing."""

POINT, LINK, PAIR, ASKED = "contact_point", "link", "pair", "asked"
"""What is kept of questions that no message asks. A pair: members of one last name and birth date, until somebody merges them or
keeps them apart; what is learned of one of them later opens it again. Asked: a pair that somebody asks about, however called."""

_DECIDED: Final = (
    MembersMerged, MembersSeparated, MembersKeptApart, CinReplaced, CinReplacementWithdrawn, FormerCinLearned, FormerCinForgotten,
    OnePersonAsked, MessageRecognised, MessageDisowned, DeathReportWithdrawn,
)  # fmt: skip
_INDEXED: Final = (
    MemberRegistered, IdentityCorrected, PersonalDataErased, StayAttributed, StayDetached, StayContinuedElsewhere,
    ContactPointLearned, ContactPointProposed, ContactPointProposalRejected,
    RecordNumberLearned, RecordNumberRetired, RecordNumberForgotten, *_DECIDED,
    AssignmentReceived, EpisodeClosed, EpisodeReinstated, RosterAbsenceSettled,
)  # fmt: skip
_NAMES: Final = tuple(entry_of(kind).name for kind in _INDEXED)
