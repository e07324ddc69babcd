"""The ER7 reader on what real senders do to messages (messages.md 1.2, 1.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.reading.er7 import DELETED, CharsetBasis, Message, Unreadable, read
from tests.intake.making import adt


def message(raw: bytes | str, charset: str | None = None) -> Message:
    found = read(raw.encode() if isinstance(raw, str) else raw, charset)
    assert isinstance(found, Message), found
    return found


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("\r", "\n"),
        lambda text: text.replace("\r", "\r\n"),
        lambda text: text.replace("\r", "\r\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\r"),
        lambda text: text.replace("\r", "   \r"),
        lambda text: "\r\n" + text,
    ],
    ids=["lf", "crlf", "double-cr", "bom", "no-final-cr", "trailing-blanks", "leading-blank-line"],
)
def test_line_ends_and_marks_change_nothing_but_the_raw_bytes(damage) -> None:  # type: ignore[no-untyped-def]
    plain, damaged = adt("A01", admitted="20260310080000"), damage(adt("A01", admitted="20260310080000"))
    found = message(damaged)
    assert found.raw == damaged.encode()
    assert found.lines == message(plain).lines
    assert found.first("PV1").text(44) == "20260310080000"


def test_delimiters_come_from_the_header() -> None:
    raw = "MSH#!@%*#APP#FAC#R#F#20260310##ADT!A24#ID1#P#2.5\rPID#1##123!!!VGH!MR@91234567A!!!MEDI-CAL!MA##O%X23%Brien*Sub!Ann\r"
    found = message(raw)
    assert found.msh.text(9, 2) == "A24"
    assert [said.text(1) for said in found.first("PID").repetitions(3)] == ["123", "91234567A"]
    assert found.first("PID").text(5) == "O#Brien"
    assert found.first("PID").first(5).text(1, 2) == "Sub"


def test_component_separator_may_be_the_tilde() -> None:
    raw = "MSH|~^\\&|A|B|C|D|20260310||ADT~A24|1|P|2.3\r"
    assert message(raw).msh.text(9, 1) == "ADT"
    assert message(raw).msh.text(9, 2) == "A24"


@pytest.mark.parametrize("encoding", ["^~", "^~}", "^~\\&", "^~\\&#", "^~\\\\&"])
def test_header_may_declare_two_to_five_characters(encoding: str) -> None:
    found = message(f"MSH|{encoding}|A|B|C|D|20260310||ADT^A01|1|P|2.7\rPID|1||7^^^X&1.2&ISO^MR~8\r")
    assert found.msh.text(9, 2) == "A01"
    assert found.first("PID").first(3).text(4, 1) == "X"
    assert len(found.first("PID").repetitions(3)) == 2


def test_escapes_are_undone_after_splitting_and_unknown_ones_stay() -> None:
    raw = r"PID|1||a\F\b\S\c\T\d\R\e\E\f\X4A4F\g\.br\h\H\i\Q\j"
    assert message("MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5\r" + raw).first("PID").text(3) == "a|b^c&d~e\\fJOg\nhi\\Q\\j"


def test_deleted_is_not_empty() -> None:
    pid = message('MSH|^~\\&|A|B|C|D|1||ADT^A08|1|P|2.5\rPID|1||""||""^Ann|\r').first("PID")
    assert pid.value(3) is DELETED
    assert pid.value(5, 1) is DELETED
    assert pid.value(5, 2) == "Ann"
    assert pid.value(6) is None
    assert pid.text(3) == ""


def test_a_line_feed_inside_of_free_text_stays_with_its_segment() -> None:
    found = message("MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5\rNTE|1||first line\nsecond line\rPV1|1|I\r")
    assert found.first("NTE").text(3) == "first line\nsecond line"
    assert found.first("PV1").text(2) == "I"


@pytest.mark.parametrize(
    ("encoded", "declared", "basis", "flags"),
    [
        ("iso-8859-1", "8859/1", CharsetBasis.DECLARED, ()),
        ("iso-8859-1", "", CharsetBasis.GUESSED, ("charset_guessed",)),
        ("utf-8", "UNICODE UTF-8", CharsetBasis.DECLARED, ()),
        ("utf-8", "", CharsetBasis.TRIED, ()),
        ("utf-8", "ASCII", CharsetBasis.TRIED, ("charset_contradicted",)),
        ("utf-8", "KLINGON", CharsetBasis.TRIED, ("charset_unknown",)),
        ("utf-8", "~ISO IR87", CharsetBasis.TRIED, ()),
    ],
)
def test_character_set_is_decided_in_order(encoded: str, declared: str, basis: CharsetBasis, flags: tuple[str, ...]) -> None:
    raw = f"MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5||||||{declared}\rPID|1||1||JOSÉ\r".encode(encoded)
    found = message(raw)
    assert found.first("PID").text(5) == "JOSÉ"
    assert (found.charset.basis, found.charset.flags) == (basis, flags)


def test_source_says_the_character_set_where_the_message_does_not() -> None:
    raw = "MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5\rPID|1||1||ŒUVRE\r".encode("windows-1252")
    assert message(raw, "windows-1252").first("PID").text(5) == "ŒUVRE"
    assert message(raw, "windows-1252").charset.flags == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"PID|1",
        b"MSH",
        b"MSH|",
        b"MSH|^\r",
        "MSH|^~\\&|A".encode("utf-16"),
        "MSH|^~\\&|A".encode("utf-32-be"),
        b"\x00\x01MSH|^~\\&|",
    ],
)
def test_what_is_no_message_is_a_value(raw: bytes) -> None:
    assert isinstance(read(raw), Unreadable)


@given(st.binary(max_size=400))
def test_nothing_makes_the_reader_raise(tail: bytes) -> None:
    for raw in (tail, b"MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5\rPID|" + tail, b"MSH" + tail):
        found = read(raw)
        if isinstance(found, Message):
            for segment in (*found.all("MSH"), *found.all("PID")):
                for number in range(1, 20):
                    for said in segment.repetitions(number):
                        said.value(1)
                        said.value(2, 2)


def test_plain_text_survives_any_delimiters() -> None:
    @given(st.sampled_from("|#!"), st.text(alphabet="abcXYZ 0129", min_size=1, max_size=20))
    def check(separator: str, text: str) -> None:
        found = message(f"MSH{separator}^~\\&{separator}A\rPID{separator}1{separator}{separator}{text}\r")
        assert found.first("PID").text(3) == text.strip()

    check()
