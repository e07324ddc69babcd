"""Acknowledgements: messages.md 1.5 and table 5.1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from intake.acks import Verdict, acknowledge, judge, peek
from intake.sources import AckMode, Source
from tests.intake.making import adt

NOW = datetime(2026, 3, 10, 23, 0, 1, tzinfo=UTC)
SOURCE = Source(name="valley-general")


def answer(raw: str, source: Source = SOURCE) -> list[str] | None:
    header = peek(raw.encode(), source)
    ack = acknowledge(header, judge(header, source), source.ack_mode, NOW, "ACK-1")
    if ack is None:
        return None
    assert ack.endswith(b"\r")
    return ack.decode().rstrip("\r").split("\r")


def test_original_mode_swaps_the_sides_and_echoes_the_id() -> None:
    lines = answer(adt("A03", control_id="MSG-0042", version="2.3"))
    assert lines == [
        "MSH|^~\\&|THROUGHLINE|ECM|VALLEY|VALLEYGEN|20260310230001+0000||ACK^A03^ACK|ACK-1|P|2.3",
        "MSA|AA|MSG-0042",
    ]


@pytest.mark.parametrize(
    ("mode", "accept", "application", "code"),
    [
        (AckMode.AUTO, "", "", "AA"),
        (AckMode.AUTO, "AL", "NE", "CA"),
        (AckMode.AUTO, "AL", "AL", "CA"),
        (AckMode.AUTO, "SU", "", "CA"),
        (AckMode.AUTO, "ER", "NE", None),
        (AckMode.AUTO, "NE", "NE", None),
        (AckMode.AUTO, "NE", "AL", "AA"),
        (AckMode.AUTO, "", "AL", "AA"),
        (AckMode.ORIGINAL, "AL", "NE", "AA"),
        (AckMode.ORIGINAL, "NE", "NE", "AA"),
        (AckMode.ENHANCED, "", "", "CA"),
        (AckMode.ENHANCED, "NE", "AL", None),
    ],
)
def test_modes(mode: AckMode, accept: str, application: str, code: str | None) -> None:
    lines = answer(adt("A01", accept_ack=accept, application_ack=application), Source(name="s", ack_mode=mode))
    assert (lines[1].split("|")[1] if lines else None) == code


@pytest.mark.parametrize(
    ("raw", "verdict", "code", "error"),
    [
        ("hello", Verdict.NOT_HL7, "AR", "100"),
        ("MSH|^~\\&|A|B|C|D|20260310|||77|P|2.5\r", Verdict.FIELD_MISSING, "AR", "101"),
        ("MSH|^~\\&|A|B|C|D|20260310||ORU^R01|77|P|2.5\r", Verdict.TYPE_NOT_TAKEN, "AR", "200"),
        ("MSH|^~\\&|A|B|C|D|20260310||ORU^R01|77|P|2.5|||AL\r", Verdict.TYPE_NOT_TAKEN, "CR", "200"),
    ],
)
def test_what_no_resending_can_mend_is_rejected(raw: str, verdict: Verdict, code: str, error: str) -> None:
    assert judge(peek(raw.encode(), SOURCE), SOURCE) is verdict
    lines = answer(raw)
    assert lines is not None
    assert lines[1] == ("MSA|AR|" if verdict is Verdict.NOT_HL7 else f"MSA|{code}|77")
    assert lines[2].split("|")[3].startswith(f"{error}^")
    assert lines[2].split("|")[4] == "E"


def test_other_types_are_taken_where_the_source_says_so() -> None:
    lines = answer("MSH|^~\\&|A|B|C|D|1||ORU^R01|77|P|2.5\r", Source(name="s", accept_other_types=True))
    assert lines is not None
    assert lines[1] == "MSA|AA|77"


@pytest.mark.parametrize(
    "raw", ["MSH|^~\\&\r", "MSH|^~\\&||||||||||\r", "MSH^~|\\&^A^B^C^D^1^^ADT|A01^9^P^2.5^USA\r", "MSH|^~\\&|A|B|C|D|1||ADT\r"]
)
def test_a_short_or_odd_header_is_answered_too(raw: str) -> None:
    assert answer(raw) is not None


def test_odd_delimiters_are_used_in_the_answer() -> None:
    lines = answer("MSH#!@%*#APP#FAC#R#F#20260310##ADT!A01#ID 1#P#2.5\r")
    assert lines is not None
    assert lines[0].startswith("MSH#!@%*#R#F#APP#FAC#")
    assert lines[1] == "MSA#AA#ID 1"
