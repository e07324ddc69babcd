"""The front door in the same process, on a virtual clock: what is handed in is stored, answered and worked off at once."""

from __future__ import annotations

from domain.core import StreamId
from eventlog.gateway import Gateway
from intake.door import FrontDoor
from intake.listening.receive import Received
from intake.senders.sources import Source


class Entrance:
    """Hands a scripted hospital's messages and plans' files to the real front door."""

    def __init__(self, door: FrontDoor, gateway: Gateway, source: Source) -> None:
        self._door = door
        self._gateway = gateway
        self._source = source

    def hl7(self, raw: bytes) -> None:
        answer = self._door.reception.receive(Received(raw, self._source, "mllp", peer="simulated")).answer
        assert answer is not None and b"|AA|" in answer, "the front door did not take a scripted message"
        self._door.worker.work_off()

    def file(self, raw: bytes, plan: str) -> None:
        self._door.files.import_file(raw, plan=plan, full_roster=False, peer="simulated")

    def member_of(self, cin: str) -> StreamId | None:
        holder: StreamId | None = self._gateway.load(self._door.identity.cin_claim(cin)).state.holder
        return holder
