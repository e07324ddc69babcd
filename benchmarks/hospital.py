"""A hospital for measurements: ADT messages of many people, all different, and a sender that costs next to nothing.

The sender is a process of its own (`python -m benchmarks.hospital`), so that what it costs is not counted as the listener's. It
makes all frames before it begins, keeps `--window` of them unanswered on each of `--connections`, and prints what it saw as JSON.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from eventlog.clock import SystemClock

LOCAL = ZoneInfo("America/Los_Angeles")
WARD = 500
"""Stays whose messages come between an admission and its discharge."""

SAID_LATER = timedelta(minutes=4)
_LETTERS = "ACDEFGHMNTUVWXYZ"
"""Letters that a CIN may end with."""

_SYLLABLES = ("BRA", "CAS", "DEL", "FEN", "GOR", "HAL", "JUN", "KEL", "LOM", "MAR", "NOR", "PEL", "QUI", "ROS", "SAN", "TOV")
STREETS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Grove", "Hazel")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody invented; the same number is always the same person."""

    number: int

    @property
    def cin(self) -> str:
        return f"9{self.number:07d}{_LETTERS[self.number % len(_LETTERS)]}"

    @property
    def family(self) -> str:
        n, parts = self.number, []
        for _ in range(4):
            n, at = divmod(n, len(_SYLLABLES))
            parts.append(_SYLLABLES[at])
        return "".join(parts).title()

    @property
    def given(self) -> str:
        return _SYLLABLES[self.number % 16].title() + "ina"

    @property
    def born(self) -> str:
        return f"{1935 + self.number % 60}{1 + self.number % 12:02d}{1 + self.number % 28:02d}"


def adt(trigger: str, person: Person, *, visit: str, control_id: str, sent: datetime, came: datetime, gone: datetime) -> bytes:
    """One message as hospitals send it: with address, insurance and diagnosis, some 700 bytes. `gone` counts for an A03 only."""
    said, admitted, discharged = (f"{at.astimezone(LOCAL):%Y%m%d%H%M%S}" for at in (sent, came, gone))
    left, when = (("01", discharged), discharged) if trigger == "A03" else (("", ""), admitted)
    n = person.number
    return "\r".join((
        f"MSH|^~\\&|EPICADT|VALLEYGEN|THROUGHLINE|ECM|{said}||ADT^{trigger}^ADT_A01|{control_id}|P|2.5.1|||||USA",
        f"EVN|{trigger}|{said}|||SMITH^J^NURSE|{when}|VALLEYGEN",
        f"PID|1||MRN{n:07d}^^^VGH^MR~{person.cin}^^^MEDI-CAL^MA||{person.family}^{person.given}^Q||{person.born}|"
        f"{'FM'[n % 2]}||2106-3|{100 + n % 9000} {STREETS[n % 8]} St^^Bakersfield^CA^{93301 + n % 12}^USA||"
        f"(661)555-{n % 10000:04d}^PRN^PH||EN|S||ACC{n:08d}|||||||||||||N",
        f"PV1|1|I|4W^{400 + n % 40}^A^VALLEYGEN|U|||1043219876^OKAFOR^ADA^^^DR|||MED||||7|||1043219876^OKAFOR^ADA|IP|{visit}|"
        f"MCD||||||||||||||||{left[0]}|||VALLEYGEN|||||{admitted}|{left[1]}",
        "DG1|1|I10|I50.23^Acute on chronic systolic heart failure^I10||" + admitted + "|A",
        f"IN1|1|HMO01|KHS^^^KERN^PI|Kern Health Systems|||||||||||HMO|{person.family}^{person.given}|SEL|{person.born}",
        "",
    )).encode()  # fmt: skip


def stays(people: Sequence[int], messages: int, *, name: str, now: datetime, only: str = "") -> list[bytes]:
    """Messages of whole stays: the admissions of a ward, then its discharges, person by person and over again; `only`: of one
    trigger."""
    if only:
        return [of_stay(only, people, n, name=name, now=now) for n in range(messages)]
    found = []
    for n in range(messages):
        ward, at = divmod(n, 2 * WARD)
        found.append(of_stay("A01" if at < WARD else "A03", people, ward * WARD + at % WARD, name=name, now=now))
    return found


def of_stay(trigger: str, people: Sequence[int], n: int, *, name: str, now: datetime) -> bytes:
    """A message of the n-th stay of a name."""
    person, visit = Person(people[n % len(people)]), f"{name}{n:07d}"
    came, gone = (now - timedelta(hours=hours, seconds=n % 3600) for hours in (30, 2))
    sent = (came if trigger == "A01" else gone) + SAID_LATER
    return adt(trigger, person, visit=visit, control_id=f"{visit}{trigger}", sent=sent, came=came, gone=gone)


def mllp(message: bytes) -> bytes:
    return b"\x0b" + message + b"\x1c\r"


@dataclass(slots=True)
class _Line:
    """One connection with what it has still to send."""

    conn: socket.socket
    frames: list[bytes]
    sent: int = 0
    answered: int = 0
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender saw. The waits are those for an answer, 0 where several frames were in flight on a connection."""

    answered: int
    accepted: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float


def secured(conn: socket.socket, certificates: Path | None) -> socket.socket:
    """The connection under TLS with the sender's certificate (benchmarks/certificates.py), or as it is."""
    if certificates is None:
        return conn
    context = ssl.create_default_context(cafile=certificates / "authority.pem")
    context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    return context.wrap_socket(conn, server_hostname="127.0.0.1")


def received(conn: socket.socket) -> bytes:
    """What has come; with TLS all of it, because a part that is decrypted already makes no socket readable."""
    said = conn.recv(65_536)
    while isinstance(conn, ssl.SSLSocket) and conn.pending():
        said += conn.recv(65_536)
    return said


def send(port: int, messages: list[bytes], *, connections: int, window: int, certificates: Path | None = None) -> Sent:
    """Send all messages, `window` of them unanswered on each connection; what it took and what was answered."""
    lines = {}
    poll = select.epoll()
    for n in range(connections):
        conn = socket.create_connection(("127.0.0.1", port))
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = secured(conn, certificates)
        lines[conn.fileno()] = _Line(conn, [mllp(m) for m in messages[n::connections]])
        poll.register(conn.fileno(), select.EPOLLIN)
    waits: list[float] = []
    accepted = 0
    began, used = time.perf_counter(), time.process_time()
    for line in lines.values():
        _send_more(line, window)
    left = {fd for fd, line in lines.items() if line.frames}
    while left:
        for fd, _ in poll.poll():
            line = lines[fd]
            said = received(line.conn)
            if not said:
                raise ConnectionError("the listener closed a connection")
            if window == 1:
                waits.append(time.perf_counter() - line.sent_at)
            line.answered += said.count(b"\x1c")
            accepted += said.count(b"MSA|AA|")
            if line.answered == len(line.frames):
                left.discard(fd)
            else:
                _send_more(line, window)
    seconds = time.perf_counter() - began
    for line in lines.values():
        line.conn.close()
    waits.sort()
    return Sent(
        answered=sum(line.answered for line in lines.values()),
        accepted=accepted,
        seconds=seconds,
        cpu_seconds=time.process_time() - used,
        p50_ms=1000 * waits[len(waits) // 2] if waits else 0.0,
        p99_ms=1000 * waits[len(waits) * 99 // 100] if waits else 0.0,
    )


def _send_more(line: _Line, window: int) -> None:
    upto = min(line.answered + window, len(line.frames))
    if upto > line.sent:
        line.sent_at = time.perf_counter()
        line.conn.sendall(b"".join(line.frames[line.sent : upto]))
        line.sent = upto


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--only", default="")
    wanted.add_argument("--certificates", type=Path, default=None)
    for name in ("port", "connections", "window", "messages", "first_person", "people"):
        wanted.add_argument(f"--{name.replace('_', '-')}", type=int, required=True)
    wanted.add_argument("--name", required=True)
    asked = wanted.parse_args()
    people = range(asked.first_person, asked.first_person + asked.people)
    messages = stays(people, asked.messages, name=asked.name, now=SystemClock().now(), only=asked.only)
    told = send(asked.port, messages, connections=asked.connections, window=asked.window, certificates=asked.certificates)
    sys.stdout.write(json.dumps(asdict(told)) + "\n")


if __name__ == "__main__":
    main()
