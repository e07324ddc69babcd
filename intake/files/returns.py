"""What we know better than a plan's file: new phone numbers and addresses, in columns of a return file (domain.md 2.9).

Only what the plan does not have is in it: a contact point that reaches the member and that its own files do not name. What came
from another plan's file is that plan's, and is not passed on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from domain.calendar import local_date
from domain.core import StreamId
from domain.member.decider import ContactPoint, Member
from domain.member.facts import Channel, ContactPointFoundGood
from domain.staff.decider import OFFICE_ZONE
from eventlog.gateway import Gateway
from intake.files.lines import Lines
from intake.files.listing import PLAN_FILE

MEMBERS_AT_ONCE: Final = 64

COLUMNS: Final = (
    "MCP Identifier", "CIN", "Last Name", "First Name", "New Address Indicator", "Residential Address", "New Phone Indicator",
    "Phone", "Phone On File Does Not Reach Member", "RTF Production Date",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewPoints:
    """What a plan does not know yet of a member. Personal data: for the plan that assigned them, nobody else."""

    plan: str
    member: StreamId
    cin: str
    family_name: str
    given_name: str
    phone: str
    address: str
    phone_is_bad: bool
    produced_on: date

    @property
    def cells(self) -> tuple[str, ...]:
        """The row, in the order of COLUMNS."""
        return (
            self.plan, self.cin, self.family_name, self.given_name, _yes(self.address), self.address, _yes(self.phone), self.phone,
            _yes(self.phone_is_bad), self.produced_on.isoformat(),
        )  # fmt: skip


def new_points(lines: Lines, gateway: Gateway, plan: str, now: datetime) -> Iterator[NewPoints]:
    """Of every member whom the plan lists, what is better than what its files say; nothing of those with nothing new."""
    after, produced_on = "", local_date(now, OFFICE_ZONE)
    while some := lines.knows(plan, after=after, limit=MEMBERS_AT_ONCE):
        loaded = gateway.load_many(member for member, _ in some)
        for stream, named in some:
            state = loaded[stream].state
            assert isinstance(state, Member)
            phone, address = _better(state, named, Channel.CALL, now), _better(state, named, Channel.LETTER, now)
            bad = [p for p in named if p in state.points and state.points[p].bad(now)]
            phone_is_bad = any(state.points[p].kind == "phone" for p in bad)
            if state.cin and not state.erased and (phone or address or phone_is_bad):
                yield NewPoints(
                    plan,
                    stream,
                    state.cin,
                    state.family_name or "",
                    state.given_name or "",
                    phone,
                    address,
                    phone_is_bad,
                    produced_on,
                )
        after = some[-1][0]


def as_csv(found: Iterator[NewPoints]) -> Iterator[str]:
    """The return file, piece by piece."""
    yield _written(COLUMNS)
    for one in found:
        yield _written(one.cells)


def _better(state: Member, named: tuple[str, ...], channel: Channel, now: datetime) -> str:
    """The best contact point that reaches the member and that the plan does not name: found good, else the last one."""
    ours = [p for p in state.usable_points(channel, now) if p.id not in named and p.learned_from != PLAN_FILE and p.value]
    best = max(ours, key=lambda p: (_found_good(p, now), p.since), default=None)
    return best.value or "" if best is not None else ""


def _found_good(point: ContactPoint, now: datetime) -> bool:
    return any(isinstance(entry.fact, ContactPointFoundGood) and entry.at <= now for entry in point.said)


def _yes(value: object) -> str:
    return "Y" if value else "N"


def _written(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([harmless(cell) for cell in cells])
    return out.getvalue()


def harmless(cell: str) -> str:
    """What a spreadsheet program would take for a formula is told to be text; a phone number keeps its plus."""
    formula = cell[:1] in ("=", "-", "@", "\t", "\r") or (cell[:1] == "+" and not cell[1:].isdecimal())
    return f"'{cell}" if formula else cell
