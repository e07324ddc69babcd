"""How the people of the invented programme get their word into the record, and how they find whom they speak of.

Every word is a command through the real gateway. What the rules refuse is kept in `refused`: a script may be wrong, a history not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from domain.core import Command, Instant, Refusal, StreamId
from domain.staff.decider import JoinStaff, ShowLicence
from domain.staff.facts import Licence, Role
from eventlog.gateway import Gateway
from simulation.people import Person

PACIFIC = ZoneInfo("America/Los_Angeles")
SCRIPT = UUID("5f3b6c2e-0f9f-4d0c-8f0e-9d5d6e6f2b11")
"""The name space of the script's command ids and staff."""


LICENCE_RUNS = timedelta(days=1500)


class FrontDoor(Protocol):
    """How files and messages get in, on the virtual clock; and how a CIN leads to its member."""

    def hl7(self, raw: bytes) -> None: ...

    def file(self, raw: bytes, plan: str) -> None: ...

    def member_of(self, cin: str) -> StreamId | None: ...


@dataclass(frozen=True, slots=True)
class Team:
    """The staff of the invented programme, by stream id. The last of the care managers leaves one day."""

    care_managers: tuple[StreamId, ...]
    nurse: StreamId
    supervisor: StreamId
    operator: StreamId


@dataclass
class Desk:
    """Where the programme's people write down what they do, each thing at the instant at which it happens."""

    gateway: Gateway
    door: FrontDoor
    now: Callable[[], Instant]
    refused: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def tell(self, stream: StreamId, kind: type[Command], by: str, /, **said: Any) -> bool:
        """Whether the rules allowed it."""
        number = self.number(f"{stream}/{kind.__name__}")
        command = kind(stream=stream, by=by, occurred_at=self.now(), **said)
        outcome = self.gateway.handle(command, command_id=uuid5(SCRIPT, f"{stream}/{kind.__name__}/{number}"))
        if isinstance(outcome, Refusal):
            self.refused.append(f"{kind.__name__}: {outcome.code}: {outcome.because}")
        return not isinstance(outcome, Refusal)

    def number(self, name: str, new: bool = True) -> int:
        """How many of a name there were, this one among them."""
        self._numbers[name] = number = self._numbers.get(name, 0) + new
        return number

    def today(self) -> date:
        return self.now().astimezone(PACIFIC).date()

    # --- who is who ---

    def member(self, person: Person) -> StreamId:
        stream = self.door.member_of(person.cin)
        assert stream is not None, "a script names a member whom no plan assigned yet"
        return stream

    def episode(self, person: Person) -> StreamId:
        episodes: tuple[StreamId, ...] = self.gateway.load(self.member(person)).state.episodes
        return episodes[-1]

    def of_episode(self, kind: str, person: Person) -> StreamId:
        """The outreach, transition or follow-up of the member's latest episode."""
        return self.episode(person).replace("episode-", f"{kind}-", 1)

    def lead(self, person: Person) -> StreamId:
        """The lead care manager; where there is none, nobody's work is left undone by the script: an AssertionError."""
        lead = self.lead_of(self.episode(person))
        assert lead is not None, "a script lets somebody act for a member whom nobody leads"
        return lead

    def lead_of(self, episode: StreamId) -> StreamId | None:
        lead: StreamId | None = self.gateway.load(episode).state.lead_care_manager(self.now())
        return lead

    # --- who works there ---

    def hire(self) -> Team:
        spoken = (("en",), ("en", "es"), ("en", "vi"))
        managers = tuple(self._join(f"care manager {n}", (Role.CARE_MANAGER,), tongues) for n, tongues in enumerate(spoken, 1))
        nurse = self._join("nurse", (Role.CARE_MANAGER,))
        team = Team(managers, nurse, staff("supervisor"), self._join("operator", (Role.OPERATOR,)))
        self._join("supervisor", (Role.SUPERVISOR, Role.CARE_MANAGER))
        self.tell(nurse, ShowLicence, team.supervisor, licence=Licence.RN, expires_on=self.today() + LICENCE_RUNS)
        return team

    def _join(self, title: str, roles: tuple[Role, ...], languages: tuple[str, ...] = ("en",)) -> StreamId:
        stream = staff(title)
        supervisor = None if title == "supervisor" else staff("supervisor")
        address = f"{title.replace(' ', '.')}@throughline.example"
        said = {"name": title.title(), "email": address, "supervisor": supervisor}
        self.tell(stream, JoinStaff, "system", roles=roles, languages=languages, **said)
        return stream


def local(day: date, hour: float) -> datetime:
    """An instant of the programme's local day."""
    clock = time(int(hour), round(hour % 1 * 60) % 60)
    return datetime.combine(day, clock, PACIFIC).astimezone(ZoneInfo("UTC"))


def staff(title: str) -> StreamId:
    return f"staff-{uuid5(SCRIPT, title)}"
