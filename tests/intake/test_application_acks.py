"""Enhanced mode in full: every answer of table 5.1, and the application acknowledgement as a message of its own."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import pytest

from eventlog.keys import KeysAway
from intake.answering import application_acks
from intake.answering.application_acks import ApplicationAcks, send_over_mllp
from intake.listening.acks import acknowledge, judge, peek
from intake.listening.mllp import framed
from intake.listening.receive import Received
from intake.senders.notices import ACKS, Trouble
from intake.senders.sources import AckMode, Sources
from intake.store.inbox import Arrival, Status
from tests.intake.conftest import NOW, World
from tests.intake.making import MARISOL, adt

SAYS = ("", "AL", "NE", "ER", "SU")
ORU = "MSH|^~\\&|LAB|V|T|E|20260310160000||ORU^R01|R-1|P|2.5.1|||{}|{}\r"


def code(raw: str, mode: AckMode, world: World) -> str | None:
    header = peek(raw.encode(), world.source)
    answer = acknowledge(header, judge(header, world.source), mode, NOW, "T1")
    return None if answer is None else answer.decode().split("\r")[1].split("|")[1]


@pytest.mark.parametrize(
    ("mode", "taken", "refused"),
    [
        # by MSH-15 in the order of SAYS, with MSH-16 empty
        (AckMode.ORIGINAL, ["AA"] * 5, ["AR"] * 5),
        (AckMode.ENHANCED, ["CA", "CA", None, None, "CA"], ["CR", "CR", None, "CR", None]),
        (AckMode.AUTO, ["AA", "CA", "AA", None, "CA"], ["AR", "CR", "AR", "CR", None]),
    ],
)
def test_the_accept_acknowledgement_is_what_msh_15_asks_for(
    world: World, mode: AckMode, taken: list[str | None], refused: list[str | None]
) -> None:
    assert [code(adt("A01", accept_ack=said), mode, world) for said in SAYS] == taken
    assert [code(ORU.format(said, ""), mode, world) for said in SAYS] == refused
    assert code(adt("A01", accept_ack="NE", application_ack="NE"), AckMode.AUTO, world) is None


@pytest.mark.parametrize(("accept", "stored", "bad"), [("", "AA", "AR"), ("AL", "CA", "CR")])
def test_table_5_1_over_mllp(world: World, accept: str, stored: str, bad: str) -> None:
    world.register(MARISOL)
    good = adt("A01", accept_ack=accept, admitted="20260310120000")
    odd = [
        adt("A01", control_id="UNKNOWN", cin="98765432D", accept_ack=accept), adt("A11", control_id="NO-MATCH", accept_ack=accept),
        adt("A03", control_id="CODE", disposition="ZZ", accept_ack=accept), adt("A60", control_id="A60", accept_ack=accept),
        adt("A24", control_id="A24", accept_ack=accept), adt("A01", control_id="TEST", processing="T", accept_ack=accept),
    ]  # fmt: skip
    said = world.send(good, good, *odd, ORU.format(accept, ""), "MSH|^~\\&|A|B|C|D|1|||77|P|2.5\r", "no HL7")
    codes = [answer.split("\r")[1].split("|")[1] for answer in said]
    assert codes == [stored] * 8 + [bad, "AR", "AR"]


def test_the_application_acknowledgement_comes_later_to_whoever_asked(world: World) -> None:
    taken: list[bytes] = []
    refuse = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as hospital:

        def listen() -> None:
            while True:
                try:
                    connection, _ = hospital.accept()
                except OSError:
                    return
                with connection:
                    said = b""
                    while not said.endswith(b"\x1c\r"):
                        said += connection.recv(4096)
                    if not refuse.is_set():
                        taken.append(said[1:-2])
                        connection.sendall(framed(b"MSH|^~\\&|\rMSA|AA|1\r"))

        threading.Thread(target=listen, daemon=True).start()
        to = f"127.0.0.1:{hospital.getsockname()[1]}"
        source = world.source.model_copy(update={"application_acks_to": to})
        acks = ApplicationAcks(world.door.inbox, Sources((source,)), world.clock, send_over_mllp)
        world.register(MARISOL)
        asked = {"accept_ack": "AL", "application_ack": "AL"}
        world.send(
            adt("A01", control_id="ASKED", admitted="20260310120000", **asked),  # type: ignore[arg-type]
            adt("A08", control_id="SILENT", accept_ack="AL", application_ack="NE"),
            adt("A08", control_id="ERRORS-ONLY", accept_ack="AL", application_ack="ER"),
        )
        assert acks.send_due(world.clock.now()) == 0, "nothing was worked off yet"
        world.door.worker.work_off()
        refuse.set()
        assert acks.send_due(world.clock.now()) == 0
        refuse.clear()
        assert acks.send_due(world.clock.now()) == 0, "not at once again"
        world.clock.advance(timedelta(seconds=6))
        assert acks.send_due(world.clock.now()) == 1
        world.clock.advance(timedelta(hours=2))
        assert acks.send_due(world.clock.now()) == 0, "once is enough"
    (message,) = taken
    header, msa = message.decode().rstrip("\r").split("\r")
    assert msa == "MSA|AA|ASKED" and header.startswith("MSH|^~\\&|THROUGHLINE|ECM|VALLEY|VALLEYGEN|")
    assert header.split("|")[9].startswith("A")


def test_what_was_answered_for_good_at_the_door_is_not_answered_again(world: World) -> None:
    sent: list[bytes] = []
    for mode in (AckMode.AUTO, AckMode.ORIGINAL):
        source = world.source.model_copy(update={"application_acks_to": "hospital:2575", "ack_mode": mode})
        acks = ApplicationAcks(
            world.door.inbox, Sources((source,)), world.clock, lambda message, *_: bool(sent.append(message)) or True
        )
        both = {"accept_ack": "AL", "application_ack": "AL"} if mode is AckMode.ORIGINAL else {"application_ack": "AL"}
        for raw in (
            ORU.format("AL", "AL"), ORU.format("SU", "AL"), f"MSH|^~\\&|A|B|C|D|1|||{mode}|P|2.5.1|||AL|AL\r",
            adt("A60", control_id=f"AA-{mode}", **both),  # type: ignore[arg-type]
        ):  # fmt: skip
            world.door.reception.receive(Received(raw.encode(), source, "mllp"))
        world.door.worker.work_off()
        assert acks.send_due(world.clock.now()) == 0
    assert sent == []


def test_a_hospital_that_cannot_be_reached_holds_up_the_others_once(world: World) -> None:
    tried: list[str] = []

    def send(message: bytes, host: str, port: int) -> bool:
        tried.append(host)
        if host == "gone":
            raise TimeoutError
        return True

    rows = [world.source.model_copy(update={"name": name, "application_acks_to": f"{name}:2575"}) for name in ("gone", "here")]
    acks = ApplicationAcks(
        world.door.inbox, Sources(tuple(r.model_copy(update={"addresses": ()}) for r in rows)), world.clock, send
    )
    asked = adt("A60", accept_ack="AL", application_ack="AL").encode()
    for row in rows:
        for n in range(3):
            arrival = Arrival(asked, f"{row.name}-{n}", row.name, "mllp", status=Status.IGNORED, reason="event_not_used")
            world.door.inbox.store(arrival, world.clock.now())
    assert acks.send_due(world.clock.now()) == 3 and tried.count("gone") == 1
    assert acks.send_due(world.clock.now()) == 0 and tried.count("gone") == 1
    world.clock.advance(timedelta(seconds=6))
    assert acks.send_due(world.clock.now()) == 0 and tried.count("gone") == 2
    world.clock.advance(timedelta(days=1, seconds=-1))
    assert acks.send_due(world.clock.now()) == 0 and tried.count("gone") == 2, "nobody wants it any more"


def test_while_the_keys_are_away_acknowledgements_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acks = ApplicationAcks(
        world.door.inbox, Sources((world.source.model_copy(update={"application_acks_to": "h:1"}),)), world.clock
    )
    stop, looks = threading.Event(), []

    def away(*_: object) -> int:
        looks.append(1)
        if len(looks) == 2:
            stop.set()
        raise KeysAway("OperationalError")

    monkeypatch.setattr(acks, "send_due", away)
    monkeypatch.setattr(application_acks, "LOOK_SECONDS", 0.0)
    acks.run(stop, Trouble(world.door.notices, world.clock, ACKS))
    assert len(looks) == 2
