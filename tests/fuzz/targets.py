"""What is fuzzed, and what must hold whatever comes in. A target raises where it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from intake import acks, er7, fhir
from intake.forms import FHIR_TRANSPORT, NotRead, Read, read_stored
from intake.inbox import Row, Status
from intake.mllp import Framer, FrameTooLong, framed
from intake.notification import Notification
from intake.sources import AckMode, Source
from intake.statements import statements_of
from tests.intake.making import adt

NOW = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
SOURCES = (
    Source(name="plain"),
    Source.model_validate({
        "name": "other", "timezone": "America/New_York", "ignore_offsets": True, "charset": "8859/1", "ack_mode": "enhanced",
        "facilities": [{"id": "far", "name": "Far", "aliases": ["VALLEYGEN"]}], "disposition_aliases": {"O": "01"},
        "accept_other_types": True, "production": False,
    }),
)  # fmt: skip
FRAME_MAX = 4096


def row(transport: str) -> Row:
    return Row(
        inbox_id=UUID(int=1), source_id="plain", transport=transport, peer="", control_id="", kind="", sha256=b"", received_at=NOW,
        charset="", status=Status.RECEIVED, reason="", flags=[], error="", attempts=0, next_attempt_at=NOW, settled_at=None,
        parser="", trace="", repeats=0, stay=None, member=None, evidence="", proposed=[], released_by="", part_of=None, line=None,
        outcome=None,
    )  # fmt: skip


def hl7(raw: bytes) -> None:
    """Whatever it is, it is read or refused; what is read can be asked for anything; what it says can be said to the log."""
    for source in SOURCES:
        message = er7.read(raw, source.charset or None)
        if isinstance(message, er7.Message):
            assert message.raw == raw
            for line in message.lines[:40]:
                for segment in message.all(line[:3])[:2]:
                    for number in range(1, min(line.count(message.delimiters.field), 60) + 2):
                        segment.text(number, 1)
                        segment.value(number)
        found = read_stored(raw, row("mllp"), source)
        assert isinstance(found, NotRead) or isinstance(message, er7.Message)
        if isinstance(found, Read) and isinstance(found.said, Notification):
            for statement in statements_of(found.said, source, NOW, "order"):
                assert statement.source == source.name


def acknowledgement(raw: bytes) -> None:
    """Every message gets an answer that can be read, with its own id in it; or none because it wants none."""
    for source in SOURCES:
        for mode in AckMode:
            header = acks.peek(raw, source)
            verdict = acks.judge(header, source)
            answer = acks.acknowledge(header, verdict, mode, NOW, "T1")
            if answer is None:
                assert mode is not AckMode.ORIGINAL
                continue
            assert answer.endswith(b"\r") and b"\x0b" not in answer and b"\x1c" not in answer, "it would break its own frame"
            lines = answer.split(b"\r")
            assert lines[0].startswith(b"MSH") and lines[1].startswith(b"MSA"), "a line end got into a field"


def framing(raw: bytes) -> None:
    """In whatever pieces the bytes come, the frames are the same; no byte is lost or told twice."""
    whole, pieces = Framer(FRAME_MAX), Framer(FRAME_MAX)
    size = raw[0] % 7 + 1 if raw else 1
    at_once = _fed(whole, [raw])
    in_pieces = _fed(pieces, [raw[n : n + size] for n in range(0, len(raw), size)])
    assert at_once == in_pieces
    assert (whole.skipped, whole.resyncs, whole.inside) == (pieces.skipped, pieces.resyncs, pieces.inside)
    for frame in at_once[0]:
        assert len(frame) <= FRAME_MAX and b"\x0b" not in frame and b"\x1c" not in frame
        assert _fed(Framer(FRAME_MAX), [framed(frame)]) == ([frame], False)


def _fed(framer: Framer, pieces: list[bytes]) -> tuple[list[bytes], bool]:
    frames: list[bytes] = []
    for piece in pieces:
        try:
            frames += framer.feed(piece)
        except FrameTooLong:
            return frames, True
    return frames, False


def bundles(raw: bytes) -> None:
    """A body is a message bundle, or refused with a status and a remedy; what it says can be said to the log."""
    read = fhir.read(raw)
    if isinstance(read, fhir.Refused):
        assert read.status in (400, 422) and read.remedy
        return
    found = read_stored(raw, row(FHIR_TRANSPORT), SOURCES[0])
    assert isinstance(found, Read)
    if isinstance(found.said, Notification):
        list(statements_of(found.said, SOURCES[0], NOW, "order"))


_ADMIT = adt("A01", admitted="20260310120000", account="AC-1", expected="20260314")
_BUNDLE = (
    b'{"resourceType":"Bundle","id":"b","type":"message","timestamp":"2026-03-10T12:00:00-08:00","entry":[{"resource":'
    b'{"resourceType":"MessageHeader","id":"h","eventCoding":{"code":"notification-discharge"},"focus":[{"reference":"urn:uuid:e"}]}'
    b'},{"fullUrl":"urn:uuid:e","resource":{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"IMP"},'
    b'"subject":{"reference":"urn:uuid:p"},"identifier":[{"type":{"coding":[{"code":"VN"}]},"value":"V-1"}],"period":'
    b'{"start":"2026-03-09","end":"2026-03-10T12:00:00-08:00"},"hospitalization":{"dischargeDisposition":{"coding":[{"code":"01"}]}}'
    b'}},{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","identifier":[{"system":"CIN","value":"91234567A"}],"name":'
    b'[{"family":"O","given":["I"]}],"birthDate":"1961-07-09"}}]}'
)

TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "hl7": (
        hl7,
        tuple(
            text.encode()
            for text in (
                _ADMIT,
                adt("A03", discharged="20260308023000.5-0700", disposition="Home w/ family", death="Y", charset="8859/1"),
                adt("A06", prior_visit="V-76", recorded="2026", occurred="20261101013000"),
                adt("A02", prior_location="4W^1^A^ELSEWHERE"),
                adt("A08", discharged='""', stay_class="ff").replace("|", "#"),
                adt("A40").replace("\r", "\r\n") + "MRG|MRN-9^^^VGH^MR\rPID|1||2\rMRG|3\r",
                _ADMIT.replace("Marisol", "Mar\\X69\\sol\\.br\\\\F\\~JOS\u00c9^^^"),
            )
        ),
    ),
    "acknowledgement": (
        acknowledgement,
        (_ADMIT.encode(), adt("A03", accept_ack="AL", application_ack="NE").encode(), b"MSH^~|\\&^A"),
    ),
    "framing": (framing, (framed(_ADMIT.encode()), b"junk" + framed(b"A") + framed(b"B")[:-1] + b"\x0bC\x0bD\x1c\r")),
    "bundles": (bundles, (_BUNDLE,)),
}
"""By name: what is called, and what to begin with."""
