"""A hospital that sends what hospitals send: ADT messages as bytes, for a listener or for the front door in the same process."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from zoneinfo import ZoneInfo

from simulation.people import Person

START, END = b"\x0b", b"\x1c\r"
ANSWER_BYTES_MAX = 64 * 1024


class NoAnswer(ConnectionError):
    """The listener closed the connection without an acknowledgement: the sender has to send again."""


@dataclass
class Hospital:
    """One sender. Times in its messages are local and without a zone, as real ones are."""

    application: str = "VISTAADT"
    facility: str = "VALLEYGEN"
    timezone: str = "America/Los_Angeles"
    prefix: str = "VG"
    _numbers: count[int] = field(default_factory=lambda: count(1), repr=False)

    def admit(self, person: Person, visit: str, at: datetime, said_at: datetime, stay_class: str = "I") -> bytes:
        trigger = "A04" if stay_class == "E" else "A01"
        return self._message(trigger, person, visit, said_at, occurred=at, stay_class=stay_class, admitted=at)

    def discharge(
        self, person: Person, visit: str, at: datetime, said_at: datetime, disposition: str = "01", stay_class: str = "I"
    ) -> bytes:
        return self._message(
            "A03", person, visit, said_at, occurred=at, stay_class=stay_class, discharged=at, disposition=disposition
        )

    def correct_discharge(self, person: Person, visit: str, at: datetime, said_at: datetime, disposition: str = "01") -> bytes:
        """A08 that puts a discharge right."""
        return self._message("A08", person, visit, said_at, occurred=said_at, discharged=at, disposition=disposition)

    def cancel_admission(self, person: Person, visit: str, said_at: datetime) -> bytes:
        return self._message("A11", person, visit, said_at, occurred=said_at)

    def cancel_discharge(self, person: Person, visit: str, said_at: datetime) -> bytes:
        return self._message("A13", person, visit, said_at, occurred=said_at)

    def _message(
        self,
        trigger: str,
        person: Person,
        visit: str,
        said_at: datetime,
        *,
        occurred: datetime,
        stay_class: str = "I",
        admitted: datetime | None = None,
        discharged: datetime | None = None,
        disposition: str = "",
    ) -> bytes:
        structure = {"A04": "ADT_A01", "A08": "ADT_A01", "A11": "ADT_A09", "A13": "ADT_A01"}.get(trigger, f"ADT_{trigger}")
        said = self._stamp(said_at)
        control_id = f"{self.prefix}{said}{next(self._numbers):05d}"
        visit_fields = {2: stay_class, 3: f"4E^412^A^{self.facility}", 19: visit, 36: disposition}
        visit_fields[44] = self._stamp(admitted) if admitted else ""
        visit_fields[45] = self._stamp(discharged) if discharged else ""
        name = f"{person.family_name.upper()}^{person.given_name.upper()}"
        address = f"{person.address}^^{person.city}^CA^{person.zip}"
        segments = (
            f"MSH|^~\\&|{self.application}|{self.facility}|THROUGHLINE|ECM|{said}||ADT^{trigger}^{structure}|{control_id}|P|2.5.1",
            f"EVN|{trigger}|{said}||||{self._stamp(occurred)}",
            f"PID|1||{person.number + 400000}^^^{self.facility}^MR~{person.cin}^^^MEDI-CAL^MC||{name}||{person.birth_date:%Y%m%d}"
            f"|{person.sex}|||{address}||{person.phone}",
            "PV1|" + "|".join(visit_fields.get(n, "1" if n == 1 else "") for n in range(1, 46)),
        )
        return "\r".join((*segments, "")).encode()

    def _stamp(self, at: datetime) -> str:
        return at.astimezone(ZoneInfo(self.timezone)).strftime("%Y%m%d%H%M%S")


def send_over_mllp(messages: tuple[bytes, ...], host: str, port: int, timeout_seconds: float = 10.0) -> tuple[bytes, ...]:
    """Send messages over one connection, each after the answer to the one before. The answers, unframed.

    Raises NoAnswer where the listener closes without one, OSError where it cannot be reached."""
    answers: list[bytes] = []
    with socket.create_connection((host, port), timeout=timeout_seconds) as wire:
        for message in messages:
            wire.sendall(START + message + END)
            answers.append(_answer(wire))
    return tuple(answers)


def _answer(wire: socket.socket) -> bytes:
    heard = b""
    while not heard.endswith(END):
        chunk = wire.recv(4096)
        if not chunk or len(heard) > ANSWER_BYTES_MAX:
            raise NoAnswer("no acknowledgement: the message has to be sent again")
        heard += chunk
    return heard.strip(START + END)
