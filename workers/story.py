"""What the demo tells: a plan's file, a bedside, a discharge with its checklist, a year with its tier and its contacts, a caseload
that is handed over, a deadline that is near, one that is missed.

Everything goes over the wire, and what is shown is what the commands of a user show.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from api.tokens import mint
from domain.core import StreamId
from domain.staff.facts import Role
from eventlog.clock import OffsetClock
from intake.people.identity import IdentityKeys
from simulation.desk import PACIFIC
from simulation.health_plan import member_file
from simulation.hospital import Hospital, send_over_mllp
from simulation.people import Person, cast
from workers.clock import StoredOffset
from workers.composition import System
from workers.demo import Past, Stage, advance_clock, environment, until

PLAN = "default"
"""Its deadline is met by a person only: whatever the hour, nobody has met it when the story comes to it."""

NEW_MEMBERS = 3
HTTP_SECONDS_MAX = 60.0
TOKEN_LIFE = timedelta(days=2)
COMMAND_SECONDS_MAX = 60.0
AFTER_THE_DUE = timedelta(minutes=5)
COLUMNS_IN_A_FILE = 180

Heading = Callable[[str], None]
Print = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Followed:
    """A follow-up that runs: whose it is, the key of the contact that is owed, and by whom."""

    process: StreamId
    member: StreamId
    key: str
    lead: StreamId


@dataclass(frozen=True, slots=True)
class Story:
    """Tells it to `print_`, chapter by chapter, on a demo that is at work. Raises DemoFailed where something does not appear."""

    stage: Stage
    past: Past
    system: System
    heading: Heading
    print_: Print

    def tell(self) -> None:
        self._file_arrives()
        member = self._member_of(self.past.people[0])
        self._hospital_admits(self.past.people[0], member)
        self._hospital_discharges(self.past.people[0], member)
        if (followed := self._followed_up()) is not None:
            self._tier_has_reasons(followed)
            self._contact_moves_the_due(followed)
            self._caseload_is_handed_over(followed)
        self._deadline_is_near()
        self._deadline_is_missed()
        self._auditor_asks(member)

    # --- chapters ---

    def _file_arrives(self) -> None:
        self.heading("A health plan's member file arrives")
        people = cast(len(self.past.people) + NEW_MEMBERS, seed=7)[-NEW_MEMBERS:]
        today = self._now().astimezone(PACIFIC).date()
        listed = (*people, replace(people[0], cin="91234567B", given_name="Typo"))
        file = member_file(listed, effective_on=today, authorized_on=today - timedelta(days=6))
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "text/csv"}
        import httpx  # every command of the command line would wait for it

        answer = httpx.post(
            f"{self.stage.api}/v1/member-files?plan={PLAN}", content=file, headers=headers, timeout=HTTP_SECONDS_MAX
        )
        answer.raise_for_status()
        receipt = answer.json()
        self.print_(f"POST /v1/member-files → {answer.status_code}: " + _told(receipt, "rows", "accepted", "unchanged", "rejected"))
        for problem in receipt["problems"]:
            self.print_(f"  row {problem['row']}: {problem['field']}: {problem['reason']} → {problem['remedy']}")
        member = self._member_of(people[0])
        until("outreach of a new member", lambda: self._owed(member, "initial_contact.contact") is not None)
        self._show("deadlines", "--member", member)

    def _hospital_admits(self, person: Person, member: StreamId) -> None:
        self.heading("A hospital admits an enrolled member: the lead care manager hears of it within 24 hours")
        said_at = self._now()
        self._send(Hospital(prefix="LIVE").admit(person, "LIVE-1", said_at - timedelta(days=2, minutes=20), said_at))
        until("the notice of the admission", lambda: self._owed(member, "transition.notice_read") is not None)
        self._show("worklist", "--member", member, "--kind", "transition")

    def _hospital_discharges(self, person: Person, member: StreamId) -> None:
        self.heading("The hospital discharges: the checklist appears, each item with its day and its rule")
        said_at = self._now()
        self._send(Hospital(prefix="LIVE2").discharge(person, "LIVE-1", said_at - timedelta(minutes=12), said_at))
        until("the checklist after the discharge", lambda: self._owed(member, "transition.visit") is not None)
        self._show("worklist", "--member", member, "--kind", "transition")

    def _tier_has_reasons(self, followed: Followed) -> None:
        self.heading("A member's year: which tier, on which facts, and when somebody has to speak with them next")
        self._show("tier", followed.member)
        self._show("worklist", "--member", followed.member, "--kind", "followup")

    def _contact_moves_the_due(self, followed: Followed) -> None:
        self.heading("Their lead care manager calls: the next contact is due so many days after this one")
        said = ("--interaction", "phone", "--minutes", "15", "--as", followed.lead)
        self._show("record", "follow-up-contact", followed.process, *said)
        until("the due of the next contact", lambda: self._contact_owed(followed.process) not in (None, followed.key))
        self._show("worklist", "--member", followed.member, "--kind", "followup", "--rule", "followup.contact")

    def _caseload_is_handed_over(self, followed: Followed) -> None:
        self.heading("A care manager goes on leave: their members are handed over, each with a note, and no due moves")
        assert self.past.supervisor
        self._show("caseload")
        receiver = next(lead for lead in self.past.care_managers if lead != followed.lead)
        said = ("--note", "prefers mornings", "--over-cap-because", "two weeks of leave", "--as", self.past.supervisor)
        self._show("staff", "hand-over", "--from", followed.lead, "--to", receiver, *said)
        until("the member's new lead", lambda: self._owed_by(followed.process) == receiver)
        self._show("caseload")
        self._show("worklist", "--member", followed.member, "--kind", "followup", "--rule", "followup.contact")

    def _deadline_is_near(self) -> None:
        self.heading("A deadline is near: what is owed until then, soonest first")
        _, _, due_at = self._nearest_deadline()
        until_day = (due_at - timedelta(seconds=1)).astimezone(PACIFIC).date().isoformat()
        self._show("worklist", "--kind", "outreach", "--due-before", until_day, "--limit", "8")

    def _deadline_is_missed(self) -> None:
        process, rule, due_at = self._nearest_deadline()
        self.heading(f"The clock moves past {due_at.astimezone(PACIFIC):%a %d %b %H:%M}: nobody called, and the miss says why")
        advance_clock(self.stage.settings, due_at + AFTER_THE_DUE - self._now())
        until("the miss in the log", lambda: self._state(process, rule) == "missed")
        self._show("explain", process, "--rule", rule)

    def _auditor_asks(self, member: StreamId) -> None:
        self.heading("An auditor asks: what did you know two days ago, and was anything altered?")
        self._show("history", member, "--as-of", self._day(-2), "--known-at", self._day(-2))
        self._show("audit", "verify")

    # --- means ---

    def _send(self, message: bytes) -> None:
        answer = send_over_mllp((message,), *self.stage.hl7)[0]
        segments = answer.decode(errors="replace").split("\r")
        self.print_(f"MLLP {message.split(b'|')[8].decode()} → {segments[1] if len(segments) > 1 else segments[0]}")

    def _show(self, *words: str) -> None:
        """Run a command of ours as a user would, and show both."""
        self.print_(f"\n$ throughline --demo {' '.join(words)}")
        ran = subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env={**environment(self.stage.settings), "FORCE_COLOR": "1", "COLUMNS": str(_columns())},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        self.print_(ran.stdout.rstrip() or ran.stderr.rstrip())

    def _token(self) -> str:
        now, subject = self._now(), self.past.operator
        return mint(self.system.pool, role=Role.OPERATOR, subject=subject, now=now, life=TOKEN_LIFE, label="demo")[1]

    def _now(self) -> datetime:
        return OffsetClock(StoredOffset(self.stage.settings.throughline_home)).now()

    def _day(self, ahead: int) -> str:
        return (self._now().astimezone(PACIFIC).date() + timedelta(days=ahead)).isoformat()

    def _member_of(self, person: Person) -> StreamId:
        identity = IdentityKeys(self.stage.settings.keys().index)
        holder: StreamId | None = self.system.gateway.load(identity.cin_claim(person.cin)).state.holder
        assert holder is not None, "the file was applied, so its members are known"
        return holder

    def _owed(self, member: StreamId, rule: str) -> str | None:
        rows = self._rows("SELECT state FROM process_obligation WHERE member = %s AND rule = %s", member, rule)
        return rows[0][0] if rows else None

    def _state(self, process: StreamId, rule: str) -> str | None:
        rows = self._rows("SELECT state FROM process_obligation WHERE process = %s AND rule = %s", process, rule)
        return rows[0][0] if rows else None

    def _followed_up(self) -> Followed | None:
        """An enrolled member to whom a contact is owed, if there is one: with a tier before those without, then the nearest due."""
        rows = self._rows(
            "SELECT process, member, key, owed_by FROM process_obligation WHERE rule = 'followup.contact' AND state = 'open'"
            " AND NOT suspended AND starts_with(owed_by, 'staff-') ORDER BY due, process"
        )
        found = [Followed(*row) for row in rows]
        tiered = [f for f in found if getattr(self.system.gateway.load(f.process).state.found, "grounds", ())]
        return next(iter(tiered or found), None)

    def _contact_owed(self, process: StreamId) -> str | None:
        rows = self._rows(
            "SELECT key FROM process_obligation WHERE process = %s AND rule = 'followup.contact' AND state = 'open'", process
        )
        return rows[0][0] if rows else None

    def _owed_by(self, process: StreamId) -> str | None:
        rows = self._rows(
            "SELECT owed_by FROM process_obligation WHERE process = %s AND rule = 'followup.contact' AND state = 'open'", process
        )
        return rows[0][0] if rows else None

    def _nearest_deadline(self) -> tuple[StreamId, str, datetime]:
        """The initial contact deadline that comes first: its process, its rule, its due."""
        rows = self._rows(
            "SELECT process, rule, due FROM process_obligation WHERE starts_with(rule, 'initial_contact.')"
            " AND state = 'open' AND governing AND NOT suspended ORDER BY due, process LIMIT 1"
        )
        return rows[0][0], rows[0][1], rows[0][2]

    def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        with self.system.pool.connection() as conn:
            return conn.execute(query.encode(), values).fetchall()


def _columns() -> int:
    """The width of the terminal; a wide one where the story goes into a file."""
    return shutil.get_terminal_size((COLUMNS_IN_A_FILE, 40)).columns


def _told(receipt: dict[str, Any], *names: str) -> str:
    return ", ".join(f"{receipt[name]} {name}" for name in names)
