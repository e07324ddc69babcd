"""Acknowledgements: messages.md 1.5 and table 5.1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intake.listening.acks import Forms, Verdict, acknowledge, judge, peek, stamp_of
from intake.senders.sources import AckMode, Source
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


ODD = st.text(alphabet='|^~\\&#\r\n \t\0"AMSHDTé0129', max_size=6)


@given(
    st.lists(ODD | st.just("") | st.just("ADT^A01"), min_size=3, max_size=20),
    st.sampled_from(["MSH", "MSH", "\ufeffMSH", " MSH", "MS"]),
)
@example(["^~\\&", "A", "B", "C", "D", "2026", "", "ADT^A03", " ID 1 ", "P", "2.5"], "MSH")
def test_a_form_that_is_known_says_what_reading_the_header_says(fields: list[str], name: str) -> None:
    raw = "|".join((name, *fields)).encode()
    for ended in (raw, raw + b"\rPID|1\r", raw + b"\nPID|1"):
        header = peek(ended, SOURCE)
        verdict = judge(header, SOURCE)
        forms = Forms()
        for _ in range(2):
            seen = forms.look(ended, SOURCE)
            answer = seen.form.answer(stamp_of(NOW), b"ACK-1", seen.control_id_raw)
            assert answer == acknowledge(header, verdict, SOURCE.ack_mode, NOW, "ACK-1")
            assert (seen.form.verdict, seen.form.readable) == (verdict, header is not None)
            assert seen.control_id_raw == (header.control_id_raw if header else "")


def test_forms_differ_where_anything_but_times_and_control_ids_does() -> None:
    forms, other = Forms(), Source(name="valley-general", accept_other_types=True)
    said = "MSH|^~\\&|A|B|C|D|1||ORU^R01|{}|P|2.5\r"
    assert forms.look(said.format(1).encode(), SOURCE).form is forms.look(said.format(2).encode(), SOURCE).form
    assert forms.look(said.format(3).encode(), other).form.verdict is Verdict.STORED, "the registry was read anew"
    assert forms.look(said.replace("|P|", "|T|").format(4).encode(), SOURCE).form.verdict is Verdict.TYPE_NOT_TAKEN
