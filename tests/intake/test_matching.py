"""The wrong patient, never: matching as properties (style.md, pitfall 15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.people.matching import Candidate, Match, Matched, Reason, Review, Unmatched, agreement, match
from intake.reading.identifiers import CinProblem, cin_of, name_key, names_agree
from intake.reading.notification import MemberKeys

CINS = ("91234567A", "91234567C", "98765432D")
FAMILIES = ("Quillfeather", "Brackwater", "Quillfeather-Brackwater", "Ng", "")
GIVENS = ("Marisol", "Tomas", "Baby Boy", "")
DATES = (date(1961, 4, 12), date(1961, 12, 4), date(1990, 1, 1), date(2026, 3, 1))

people = st.lists(
    st.builds(
        Candidate,
        member=st.sampled_from(("member-1", "member-2", "member-3")),
        cin=st.sampled_from(CINS),
        family_name=st.sampled_from(FAMILIES),
        given_name=st.sampled_from(GIVENS),
        birth_date=st.none() | st.sampled_from(DATES),
    ),
    max_size=3,
    unique_by=lambda c: c.member,
)
said = st.builds(
    MemberKeys,
    cins=st.lists(st.sampled_from(CINS), max_size=2, unique=True).map(tuple),
    family_name=st.sampled_from(FAMILIES),
    given_name=st.sampled_from(GIVENS),
    birth_date=st.none() | st.sampled_from(DATES),
    newborn=st.booleans(),
)


@given(said, people, st.data())
def test_a_match_always_rests_on_two_things_that_agree(keys: MemberKeys, known: list[Candidate], draw: st.DataObject) -> None:
    some = st.sampled_from(known) if known else st.nothing()
    by_cin = draw.draw(st.lists(some, unique=True))
    by_name = draw.draw(st.lists(some, unique=True))
    of_visit = draw.draw(st.none() | some)
    found = match(keys, by_cin, by_name, of_visit)
    if not isinstance(found, Matched):
        return
    holder = next(c for c in (*by_cin, *([of_visit] if of_visit else [])) if c.member == found.member)
    dates, names = agreement(keys, holder)
    assert dates or names, "something beside the number must agree"
    if found.evidence.startswith("cin"):
        assert keys.cins == (holder.cin,), "and the number is the member's, and the only one"
    else:
        assert of_visit is not None
        assert found.member == of_visit.member
        assert not keys.cins or holder.cin in keys.cins, "a visit never outweighs another CIN"
    if of_visit is not None:
        assert found.member == of_visit.member, "a stay does not change hands by itself"


@given(said, people, people)
def test_a_name_alone_only_proposes(keys: MemberKeys, by_cin: list[Candidate], by_name: list[Candidate]) -> None:
    found = match(replace(keys, cins=()), by_cin, by_name)
    assert isinstance(found, Unmatched)
    for member in found.proposed:
        assert any(agreement(keys, c) == (True, True) for c in by_name if c.member == member)


@given(said, people, st.randoms())
def test_the_order_of_candidates_does_not_matter(keys: MemberKeys, by_cin: list[Candidate], chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(by_cin)
    chance.shuffle(shuffled)
    assert _kind(match(keys, by_cin, [])) == _kind(match(keys, shuffled, []))


def _kind(found: Match) -> object:
    return found if isinstance(found, Matched) else (type(found), found.reason, sorted(found.proposed))


MARISOL = Candidate("member-1", "91234567A", "Quillfeather", "Marisol", date(1961, 4, 12))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (MemberKeys(cins=("91234567A",), family_name="QUILLFEATHER", birth_date=date(1961, 4, 12)), "cin+birth_date+name"),
        (MemberKeys(cins=("91234567A",), family_name="Married", birth_date=date(1961, 4, 12)), "cin+birth_date"),
        (MemberKeys(cins=("91234567A",), family_name="Quillfeather", birth_date=date(1961, 12, 4)), "cin+name"),
        (MemberKeys(cins=("91234567A",), family_name="Nee", other_family_names=("Quillfeather",)), "cin+name"),
        (MemberKeys(cins=("91234567A",), family_name="Brackwater", birth_date=date(1948, 9, 30)), Reason.CONTRADICTED),
        (MemberKeys(cins=("91234567A",)), Reason.UNCONFIRMED),
        (MemberKeys(cins=("91234567A", "98765432D"), family_name="Quillfeather"), Reason.TWO_MEMBERS),
        (
            MemberKeys(
                cins=("91234567A",), family_name="Quillfeather", given_name="Baby Girl", birth_date=date(2026, 3, 1), newborn=True
            ),
            Reason.NEWBORN,
        ),
        (
            MemberKeys(cins=("91234567A",), family_name="Quillfeather", given_name="Leo", birth_date=date(1990, 1, 1)),
            Reason.OTHER_GENERATION,
        ),
    ],
)
def test_what_agrees_and_what_does_not(keys: MemberKeys, expected: str | Reason) -> None:
    found = match(keys, [MARISOL], [])
    if isinstance(expected, Reason):
        assert isinstance(found, Review)
        assert (found.reason, found.proposed) == (expected, ("member-1",))
    else:
        assert found == Matched("member-1", expected)


def test_a_later_message_of_a_known_stay_needs_no_cin_but_may_not_contradict() -> None:
    same = MemberKeys(family_name="Quillfeather", birth_date=date(1961, 4, 12))
    assert match(same, [], [], MARISOL) == Matched("member-1", "visit+birth_date")
    other = MemberKeys(family_name="Brackwater", birth_date=date(1948, 9, 30))
    assert match(other, [], [], MARISOL) == Review(Reason.VISIT_OF_ANOTHER, ("member-1",))
    elsewhere = Candidate("member-2", "98765432D", "Brackwater", "Tomas", date(1948, 9, 30))
    assert match(replace(other, cins=("98765432D",)), [elsewhere], [], MARISOL) == Review(
        Reason.VISIT_OF_ANOTHER, ("member-1", "member-2")
    )
    assert match(replace(same, cins=("98765432D",)), [], [], MARISOL) == Review(Reason.VISIT_OF_ANOTHER, ("member-1",))
    child = MemberKeys(family_name="Quillfeather", given_name="Baby Girl", birth_date=date(2026, 3, 9), newborn=True)
    assert match(child, [], [], MARISOL) == Review(Reason.NEWBORN, ("member-1",)), "on the account of its mother"
    husband = MemberKeys(family_name="Quillfeather", given_name="Anselm", birth_date=date(1958, 1, 2))
    assert match(husband, [], [], MARISOL) == Review(Reason.VISIT_OF_ANOTHER, ("member-1",))
    mistyped = MemberKeys(family_name="Quillfeather", given_name="Marisol", birth_date=date(1961, 12, 4))
    assert match(mistyped, [], [], MARISOL) == Matched("member-1", "visit+name")


@pytest.mark.parametrize(
    ("text", "cin"),
    [
        ("91234567A", "91234567A"),
        ("91234567a3", "91234567A"),
        ("91234567a3 9180", "91234567A"),
        (" 9123 4567 A ", "91234567A"),
        ("91234567B", None),
        ("91234567S", None),
        ("81234567A", None),
        ("9123456A", None),
        ("91234567A39", None),
        ("91234567AX9180", None),
        ("", None),
    ],
)
def test_a_cin_is_nine_characters_of_a_shape(text: str, cin: str | None) -> None:
    found = cin_of(text)
    assert (found if isinstance(found, str) else None) == cin
    if isinstance(found, CinProblem) and text:
        assert text not in found.because


def test_names_are_compared_by_their_letters() -> None:
    assert name_key("José  Ñuñez-O'Neil Jr.") == "JOSENUNEZONEIL"
    assert names_agree("Garcia-Lopez", "lopez") is True
    assert names_agree("García", "GARCIA") is True
    assert names_agree("Ng", "Nguyen") is False
    assert names_agree("UNK", "Garcia") is None
