"""Two indexes beside the log, filled from its facts: who has this last name and birth date, and whose a stay is.

They propose and they speed up; who holds a CIN is asked of the log itself (its claim streams). Dropped, they are rebuilt from
position 0. New members found here wake the messages that wait for them, whoever registered those members.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from domain.core import Recorded, StreamId
from domain.member.facts import IdentityCorrected, MemberRegistered, PersonalDataErased, StayAttributed, StayDetached
from eventlog.gateway import Gateway
from eventlog.log import Log
from intake.identity import IdentityKeys
from intake.inbox import Inbox

INDEX_NAME: Final = "intake"
BATCH: Final = 500
PROPOSED_MAX: Final = 10


class IdentityIndex:
    """Keeps the two tables up with the log. One caller at a time does the work; others find it done."""

    def __init__(self, inbox: Inbox, log: Log, gateway: Gateway, identity: IdentityKeys) -> None:
        self._inbox = inbox
        self._log = log
        self._gateway = gateway
        self._identity = identity

    def catch_up(self, now: datetime) -> int:
        """Take in what the log has gained; how many waiting messages were woken. Raises LogAway."""
        incarnation = self._log.incarnation()
        learned: list[bytes] = []
        with self._inbox.pool.connection() as conn:
            while True:
                with conn.transaction():
                    conn.execute("SELECT pg_advisory_xact_lock(hashtext('intake.index'), 0)")
                    position = self._position(conn, incarnation)
                    batch = self._log.after(position, limit=BATCH)
                    for stored in batch.facts:
                        learned += self._take(conn, stored.recorded)
                    conn.execute(
                        "INSERT INTO intake.index_position VALUES (%s, %s, %s)"
                        " ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, incarnation = EXCLUDED.incarnation",
                        (INDEX_NAME, batch.position, incarnation),
                    )
                if len(batch.facts) < BATCH:
                    break
        return self._inbox.wake_unmatched(learned, now) if learned else 0

    def named(self, conn: Connection[TupleRow], people: Iterable[tuple[str, date]]) -> dict[tuple[str, date], tuple[StreamId, ...]]:
        """The members of each last name and birth date, in one round trip."""
        keys = {person: self._identity.name_and_birth_date(*person) for person in people}
        if not keys:
            return {}
        rows = conn.execute(
            "SELECT key, member FROM intake.member_lookup WHERE key = ANY(%s) ORDER BY key, member", (list(keys.values()),)
        ).fetchall()
        return {person: tuple(m for k, m in rows if k == key)[:PROPOSED_MAX] for person, key in keys.items()}

    def _position(self, conn: Connection[TupleRow], incarnation: object) -> int:
        """Where to go on. A log that was restored since is read from its beginning."""
        row = conn.execute("SELECT position, incarnation FROM intake.index_position WHERE name = %s", (INDEX_NAME,)).fetchone()
        if row is not None and row[1] == incarnation:
            return int(row[0])
        conn.execute("DELETE FROM intake.member_lookup")
        conn.execute("DELETE FROM intake.stay_member")
        return 0

    def _take(self, conn: Connection[TupleRow], recorded: Recorded) -> list[bytes]:
        """The look-up keys under which a member became known with this fact."""
        match recorded.fact:
            case MemberRegistered() | IdentityCorrected():
                member = self._gateway.load(recorded.stream).state
                if not member.family_name or not member.birth_date:
                    return []
                conn.execute("DELETE FROM intake.member_lookup WHERE member = %s", (recorded.stream,))
                key = self._identity.name_and_birth_date(member.family_name, date.fromisoformat(member.birth_date))
                conn.execute("INSERT INTO intake.member_lookup VALUES (%s, %s) ON CONFLICT DO NOTHING", (key, recorded.stream))
                return [key, self._identity.cin(member.cin)] if member.cin else [key]
            case PersonalDataErased():
                conn.execute("DELETE FROM intake.member_lookup WHERE member = %s", (recorded.stream,))
            case StayAttributed(stay=stay):
                conn.execute(
                    "INSERT INTO intake.stay_member VALUES (%s, %s) ON CONFLICT (stay) DO UPDATE SET member = EXCLUDED.member",
                    (stay, recorded.stream),
                )
            case StayDetached(stay=stay):
                conn.execute("DELETE FROM intake.stay_member WHERE stay = %s AND member = %s", (stay, recorded.stream))
        return []
