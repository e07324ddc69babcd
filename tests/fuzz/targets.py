"""What is fuzzed, and what must hold whatever comes in. A target raises where it does not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from intake.listening import acks
from intake.listening.mllp import Framer, FrameTooLong, framed
from intake.reading import er7, fhir, subscriptions
from intake.reading.forms import FHIR_TRANSPORT, NotRead, Read, read_stored
from intake.reading.notification import Notification
from intake.reading.statements import statements_of
from intake.senders import clients
from intake.senders.sources import AckMode, Source
from intake.store.inbox import Row, Status
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
    assert (whole.skipped, whole.inside) == (pieces.skipped, pieces.inside)
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


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def notifications(raw: bytes) -> None:
    """A body is a subscription's notification, or refused; what it says can be kept, and its events are bundles."""
    read = subscriptions.read(raw)
    if isinstance(read, fhir.Refused):
        assert read.status in (400, 422) and read.remedy
        return
    for text in (read.id, read.subscription, read.topic, read.status, read.kind, read.control_id):
        assert "\0" not in text.encode().decode()
    assert all(0 <= number < 1 << 63 for number in (*read.events, read.total or 0))
    for bundle in read.bundles:
        bundles(bundle)


_KEY = ec.derive_private_key(4711, ec.SECP384R1())
_POINT = _KEY.public_key().public_numbers()
_KEYS = ({"kty": "EC", "kid": "k", "crv": "P-384", "x": _base64(_POINT.x.to_bytes(48)), "y": _base64(_POINT.y.to_bytes(48))},)


def assertions(raw: bytes) -> None:
    """A head and claims, a line each, well signed: they are believed or not, and nothing else happens."""
    head, _, claims = raw.partition(b"\n")
    signed = f"{_base64(head)}.{_base64(claims)}"
    r, s = decode_dss_signature(_KEY.sign(signed.encode(), ec.ECDSA(hashes.SHA384())))

    def seen(client: str, jti: str, until: datetime) -> bool:
        assert "\0" not in jti.encode().decode() and until > NOW
        return False

    for text in (f"{signed}.{_base64(r.to_bytes(48) + s.to_bytes(48))}", raw.decode("latin-1")):
        try:
            clients.believe(clients.read_assertion(text), _KEYS, audience=("https://t",), now=NOW, seen=seen)
        except clients.NotBelieved:
            continue


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

_NOTIFIED = (
    b'{"resourceType":"Bundle","id":"n","type":"history","entry":[{"resource":{"resourceType":"Parameters","parameter":['
    b'{"name":"subscription","valueReference":{"reference":"S/1"}},{"name":"topic","valueCanonical":"t"},'
    b'{"name":"status","valueCode":"active"},{"name":"type","valueCode":"event-notification"},'
    b'{"name":"events-since-subscription-start","valueString":"9"},{"name":"notification-event","part":['
    b'{"name":"event-number","valueString":"9"},{"name":"focus","valueReference":{"reference":"Encounter/e"}}]}]}},'
    b'{"fullUrl":"Encounter/e","resource":{"resourceType":"Encounter","id":"e","status":"finished"}}]}'
)
_CLAIMED = b'{"iss":"c","sub":"c","aud":"https://t","jti":"1","exp":%d}' % (int(NOW.timestamp()) + 200)

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
    "notifications": (
        notifications,
        (
            _NOTIFIED,
            _NOTIFIED.replace(b'"9"', b'"99999999999999999999"'),
            _NOTIFIED.replace(b'"9"', b'"' + b"9" * 5_000 + b'"'),
            _NOTIFIED.replace(b'"t"', b'"\\u0000"'),
            _NOTIFIED.replace(b'"active"', b'"\\ud800"'),
            _NOTIFIED[: _NOTIFIED.index(b'[{"name":"event-number')] + b"5}]}}]}",
            _NOTIFIED.replace(b'"9"', b'["9"]'),
        ),
    ),
    "assertions": (
        assertions,
        tuple(
            b'{"alg":"ES384","kid":"k"}\n' + _CLAIMED.replace(*change)
            for change in (
                (b"", b""),
                (b'"https://t"', b'{"a":1}'),
                (b'"https://t"', b'[{"a":1},["https://t"],"https://t"]'),
                (b'"1"', b'"\\u0000"'),
                (b'"1"', b'"\\ud800"'),
                (b'"jti"', b'"nbf":1e999,"jti"'),
            )
        ),
    ),
}
"""By name: what is called, and what to begin with."""
